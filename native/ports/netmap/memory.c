/*
 * memory.c - the memory that a registration shares with the kernel: mapping it, and
 * finding the rings in it. See device.h. Control thread.
 *
 * Other programs write to the same memory, so each offset is checked against its size, once:
 * what is used later is kept here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "memory.h"

#define RINGS_MAX 4096 /* of one direction; more cannot be */

static struct pb_netmap_memory *memories;

static int nonsense(const struct pb_port *port, const char *what, struct pb_error *error)
{
    return pb_port_fail(port, error, EPROTO, "%s in netmap's memory cannot be; load a module of API %d, that of "
                        "github.com/luigirizzo/netmap", what, NETMAP_API);
}

int pb_netmap_memory_open(const struct pb_port *port, const struct netmap_register *request, int fd,
                          struct pb_netmap_memory **opened, struct pb_error *error)
{
    struct pb_netmap_memory *memory = memories;
    while (memory != NULL && (memory->engine != port->engine_handle || memory->id != request->mem_id))
        memory = memory->next;
    if (memory == NULL) {
        memory = calloc(1, sizeof(*memory));
        if (memory == NULL)
            return pb_port_no_memory(port, error);
        memory->engine = port->engine_handle;
        memory->id = request->mem_id;
        memory->bytes = request->memsize;
        memory->pool.free = PB_NETMAP_NONE;
        memory->base = mmap(NULL, memory->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (memory->base == MAP_FAILED) {
            int code = errno;
            free(memory);
            return pb_port_fail_errno(port, error, code, "raise the limit of address space (ulimit -v), or make netmap's memory "
                                      "smaller (/sys/module/netmap/parameters)", "cannot map the %llu MiB of netmap's memory %u",
                                      (unsigned long long)(request->memsize >> 20), request->mem_id);
        }
        memory->next = memories;
        memories = memory;
    }
    memory->devices++;
    *opened = memory;
    return 0;
}

void pb_netmap_memory_close(struct pb_netmap_memory *memory)
{
    if (--memory->devices > 0)
        return;
    struct pb_netmap_memory **at = &memories;
    while (*at != memory)
        at = &(*at)->next;
    *at = memory->next;
    munmap(memory->base, memory->bytes);
    pb_netmap_pool_free(&memory->pool);
    free(memory);
}

/* All rings of a memory have the same buffers. */
static bool same_buffers(struct pb_netmap_memory *memory, const struct netmap_ring *ring)
{
    uint64_t at = (uint64_t)((const uint8_t *)ring - memory->base) + (uint64_t)ring->buf_ofs;
    uint32_t bytes = ring->buf_size;
    if (at >= memory->bytes || bytes < 64 || bytes > memory->bytes - at)
        return false;
    uint64_t count = (memory->bytes - at) / bytes;
    struct pb_netmap_pool *pool = &memory->pool;
    if (pool->buffers == NULL) {
        pool->buffers = memory->base + at;
        pool->buffer_bytes = bytes;
        pool->buffers_count = count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
    }
    return pool->buffers == memory->base + at && pool->buffer_bytes == bytes;
}

static int find_ring(struct pb_netmap_device *device, const struct pb_port *port, int64_t offset,
                     struct pb_netmap_ring *ring, struct pb_error *error)
{
    struct pb_netmap_memory *memory = device->memory;
    uint64_t at = (uint64_t)((uint8_t *)device->shared - memory->base) + (uint64_t)offset;
    if (at % 8 != 0 || at > memory->bytes || memory->bytes - at < sizeof(struct netmap_ring))
        return nonsense(port, "the place of a ring", error);
    struct netmap_ring *shared = (struct netmap_ring *)(void *)(memory->base + at);
    uint32_t slots = shared->num_slots, head = shared->head, tail = shared->tail;
    if (slots < 2 || slots > (memory->bytes - at - sizeof(*shared)) / sizeof(struct netmap_slot) || head >= slots ||
        tail >= slots)
        return nonsense(port, "a ring's size", error);
    if (shared->offset_mask != 0)
        return pb_port_fail(port, error, EOPNOTSUPP, "another program has it open with packet offsets, which this "
                            "driver does not know; end that one first");
    if (!same_buffers(memory, shared))
        return nonsense(port, "the place of the buffers", error);
    *ring = (struct pb_netmap_ring){.shared = shared, .slots = slots, .head = head, .tail = head};
    return 0;
}

/* The rings of one direction that are bound; `first` is its first ring's place in the list of offsets. */
static int find_rings(struct pb_netmap_device *device, const struct pb_port *port, enum pb_port_role role, uint32_t first,
                      uint32_t count, struct pb_error *error)
{
    device->rings[role] = calloc(count + 1, sizeof(*device->rings[role]));
    if (device->rings[role] == NULL)
        return pb_port_no_memory(port, error);
    for (uint32_t i = 0; i < count; i++) {
        int64_t offset = device->shared->ring_ofs[first + i];
        if (offset == 0)
            continue;
        int result = find_ring(device, port, offset, &device->rings[role][device->rings_count[role]++], error);
        if (result < 0)
            return result;
    }
    if (device->rings_count[role] == 0)
        return pb_port_fail(port, error, ENXIO, "netmap gave it no %s ring; see the kernel log",
                            role == PB_PORT_INPUT ? "receive" : "send");
    return 0;
}

int pb_netmap_rings_find(struct pb_netmap_device *device, const struct pb_port *port, uint64_t offset, struct pb_error *error)
{
    struct pb_netmap_memory *memory = device->memory;
    if (offset % 8 != 0 || offset > memory->bytes || memory->bytes - offset < sizeof(struct netmap_if))
        return nonsense(port, "the place of the interface", error);
    device->shared = (struct netmap_if *)(void *)(memory->base + offset);
    uint32_t tx = device->shared->tx_rings, rx = device->shared->rx_rings, host_tx = device->shared->host_tx_rings;
    if (tx > RINGS_MAX || rx > RINGS_MAX || host_tx > RINGS_MAX ||
        ((uint64_t)tx + host_tx + rx) * sizeof(int64_t) > memory->bytes - offset - sizeof(struct netmap_if))
        return nonsense(port, "the number of rings", error);
    int result = find_rings(device, port, PB_PORT_OUTPUT, 0, tx, error);
    return result < 0 ? result : find_rings(device, port, PB_PORT_INPUT, tx + host_tx, rx, error);
}
