/*
 * rx.c - receiving from netmap rings.
 *
 * Packets are lent where they lie. Their slots go back to the kernel with the first sync
 * after rx_release(): until then outputs of the same memory swap their own buffers into
 * them. Engine thread, but for opening and closing.
 */
#include <errno.h>
#include <stdlib.h>

#include "../../core/clock.h"
#include "netmap_port.h"

#define LOOK_NS 1000000000 /* nobody tells that an interface went down: look */

/* Lend packets of one ring, from its head on. Returns the count in `packets` then. */
static uint32_t lend(struct pb_port *port, struct pb_netmap_ring *ring, uint32_t ring_number, struct pb_packet *packets,
                     uint32_t count, uint32_t packets_max, uint64_t now_ns)
{
    struct pb_netmap_rx *rx = port->state;
    const struct pb_netmap_pool pool = rx->device->memory->pool; /* a copy stays in registers */
    struct pb_netmap_place *places = rx->places;
    struct netmap_slot *slots = ring->shared->slots;
    uint32_t slot = ring->head, invalid = 0;
    while (slot != ring->tail && count < packets_max) {
        struct netmap_slot *at = &slots[slot];
        /* Read once: another program may write them while we look. */
        uint32_t buffer = __atomic_load_n(&at->buf_idx, __ATOMIC_RELAXED);
        uint32_t length = __atomic_load_n(&at->len, __ATOMIC_RELAXED);
        slot = pb_netmap_ring_next(ring, slot);
        if (buffer >= pool.buffers_count || length > pool.buffer_bytes || length == 0) {
            invalid++;
            continue;
        }
        const uint8_t *data = pb_netmap_buffer(&pool, buffer);
        __builtin_prefetch(data);
        pb_packet_init(&packets[count], data, length, length, now_ns, PB_LINK_ETHERNET);
        places[count++] = (struct pb_netmap_place){.slot = at, .ring = ring_number};
    }
    ring->head = slot;
    if (invalid > 0)
        pb_port_count(port, PB_NETMAP_RX_INVALID, invalid);
    return count;
}

uint32_t pb_netmap_rx_batch(struct pb_port *port, struct pb_packet *packets, uint32_t packets_max)
{
    struct pb_netmap_rx *rx = port->state;
    struct pb_netmap_device *device = rx->device;
    uint32_t rings = device->rings_count[PB_PORT_INPUT], count = 0;
    /* Each time, also with packets left: it gives slots back that the sender waits for. */
    if (!pb_netmap_sync(port, device))
        return 0;
    uint64_t now_ns = pb_clock_wall_ns();
    for (uint32_t i = 0; i < rings && count < packets_max; i++) {
        uint32_t number = rx->first + i < rings ? rx->first + i : rx->first + i - rings;
        struct pb_netmap_ring *ring = &device->rings[PB_PORT_INPUT][number];
        pb_netmap_ring_look(port, ring);
        if (ring->head != ring->tail)
            count = lend(port, ring, number, packets, count, packets_max, now_ns);
    }
    rx->first = rx->first + 1 < rings ? rx->first + 1 : 0;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += packets[i].wire_len;
    if (count == 0) {
        pb_netmap_rx_release(port); /* of slots that were all invalid */
        return 0;
    }
    if (__builtin_expect(device->interface.down, 0))
        pb_netmap_look(port, device); /* it must be up again */
    pb_port_received(port, count, bytes);
    return count;
}

void pb_netmap_rx_release(struct pb_port *port)
{
    struct pb_netmap_rx *rx = port->state;
    struct pb_netmap_device *device = rx->device;
    for (uint32_t i = 0; i < device->rings_count[PB_PORT_INPUT]; i++)
        pb_netmap_ring_publish(&device->rings[PB_PORT_INPUT][i]);
}

bool pb_netmap_rx_wait(struct pb_port *port, struct pb_wait *wait)
{
    struct pb_netmap_rx *rx = port->state;
    struct pb_netmap_device *device = rx->device;
    for (uint32_t i = 0; i < device->rings_count[PB_PORT_INPUT]; i++)
        if (!device->interface.gone && device->rings[PB_PORT_INPUT][i].head != device->rings[PB_PORT_INPUT][i].tail)
            return false;
    int64_t now_ns = pb_clock_steady_ns();
    if (device->interface.index != 0 && now_ns - rx->looked_ns >= LOOK_NS) {
        rx->looked_ns = now_ns;
        pb_netmap_look(port, device);
    }
    /* poll() looks at the rings itself. */
    *wait = (struct pb_wait){.fd = device->interface.gone ? -1 : device->fd,
                             .events = POLLIN,
                             .timeout_ns = device->interface.index != 0 && !device->interface.gone ? LOOK_NS : -1};
    return true;
}

bool pb_netmap_rx_undelivered(struct pb_port *port)
{
    const struct pb_netmap_rx *rx = port->state;
    const struct pb_netmap_device *device = rx->device;
    for (uint32_t i = 0; i < device->rings_count[PB_PORT_INPUT]; i++)
        if (device->rings[PB_PORT_INPUT][i].head != device->rings[PB_PORT_INPUT][i].tail)
            return !device->interface.gone;
    return false;
}

int pb_netmap_rx_open(struct pb_port *port, struct pb_netmap_device *device, struct pb_error *error)
{
    struct pb_netmap_rx *rx = calloc(1, sizeof(*rx));
    struct pb_netmap_place *places = calloc(port->batch_packets, sizeof(*places));
    if (rx == NULL || places == NULL) {
        free(rx);
        free(places);
        return pb_port_no_memory(port, error);
    }
    *rx = (struct pb_netmap_rx){.device = device, .places = places};
    /* What a writer may wait for, a writer of a pipe or of a VALE port: its ring fills up, and nothing is lost. */
    port->pausable = pb_port_option_boolean(port, "pausable");
    port->endless = true;
    port->writable = true; /* slots are ours until they are released */
    port->state = rx;
    return 0;
}

void pb_netmap_rx_close(struct pb_port *port)
{
    struct pb_netmap_rx *rx = port->state;
    free(rx->places);
    free(rx);
}
