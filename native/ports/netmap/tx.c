/*
 * tx.c - sending through netmap rings.
 *
 * A packet of a netmap input of the same memory, which no other output sees, goes out
 * by swapping the two slots' buffers; any other is copied. What a ring has no room for
 * waits in extra buffers (pool.h), or, where the source can wait, is refused. Every
 * batch ends with a sync of the ring it went to, so nothing lies there unseen.
 *
 * Packets keep their order: an interface with several rings sends what came in by ring
 * n of a netmap input by its ring n, and all else by its first.
 * Engine thread, but for opening and closing.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "netmap_port.h"

#define RETRY_NS 1000000 /* poll() tells when some ring has room, not which: with several, look again after this */
#define DRAIN_MS 100     /* the longest that close() waits for room */

static struct pb_netmap_ring *rings_of(const struct pb_netmap_tx *tx)
{
    return tx->device->rings[PB_PORT_OUTPUT];
}

static uint32_t rings_count(const struct pb_netmap_tx *tx)
{
    return tx->device->rings_count[PB_PORT_OUTPUT];
}

static struct pb_netmap_pool *pool_of(const struct pb_netmap_tx *tx)
{
    return &tx->device->memory->pool;
}

/* ----------------------------------------------------------------- rings */

/* Hand over what was put into rings, and see what room there is. */
static void sync_rings(struct pb_port *port, struct pb_netmap_tx *tx)
{
    for (uint32_t i = 0; i < rings_count(tx); i++)
        pb_netmap_ring_publish(&rings_of(tx)[i]);
    bool synced = pb_netmap_sync(port, tx->device);
    for (uint32_t i = 0; synced && i < rings_count(tx); i++)
        pb_netmap_ring_look(port, &rings_of(tx)[i]);
    if (synced)
        pb_port_sent(port, tx->put_packets, tx->put_bytes);
    else
        pb_port_count(port, PB_NETMAP_TX_ERROR, tx->put_packets);
    tx->put_packets = tx->put_bytes = 0;
}

/* The slot to put the next packet into. NULL: there is none, or the ring is damaged. */
static struct netmap_slot *next_slot(struct pb_port *port, const struct pb_netmap_tx *tx, struct pb_netmap_ring *ring)
{
    if (ring->head == ring->tail)
        return NULL;
    struct netmap_slot *slot = &ring->shared->slots[ring->head];
    if (__builtin_expect(__atomic_load_n(&slot->buf_idx, __ATOMIC_RELAXED) < pool_of(tx)->buffers_count, 1))
        return slot;
    pb_netmap_damaged(port, ring);
    return NULL;
}

static void put_done(struct pb_netmap_tx *tx, struct pb_netmap_ring *ring, uint32_t length)
{
    ring->head = pb_netmap_ring_next(ring, ring->head);
    tx->put_packets++;
    tx->put_bytes += length;
}

/* The buffer that a slot of ours holds; next_slot() has checked it, another program may have written it since. */
static uint32_t buffer_of(const struct pb_netmap_pool *pool, const struct netmap_slot *slot)
{
    uint32_t buffer = __atomic_load_n(&slot->buf_idx, __ATOMIC_RELAXED);
    return buffer < pool->buffers_count ? buffer : 0;
}

/* ----------------------------------------------------- where a packet comes from */

/* What can be said of all packets of a batch at once. */
struct source {
    const struct pb_tx *tx;
    const struct pb_netmap_place *places; /* of the input's packets; NULL: it is no netmap port */
    bool swaps; /* buffers of its slots may change hands */
};

static struct source source_of(struct pb_port *port, const struct pb_netmap_tx *state, const struct pb_tx *tx)
{
    struct source source = {.tx = tx};
    if (tx->from->operations == port->operations) {
        const struct pb_netmap_rx *rx = tx->from->state;
        source.places = rx->places;
        source.swaps = tx->sole && rx->device->memory == state->device->memory;
    }
    return source;
}

/* The slot whose buffer a packet still is as it came, for swapping; NULL: it has to be copied. That its
 * data begins where the buffer does also says that the slot's index is the one that was checked: it is
 * *buffer, and is not read again, because another program may write it at any time. */
static inline __attribute__((always_inline)) struct netmap_slot *slot_of(const struct source *source,
                                                                         const struct pb_netmap_pool *pool, uint16_t index,
                                                                         uint32_t *buffer)
{
    if (!source->swaps || index >= source->tx->lent)
        return NULL;
    struct netmap_slot *slot = source->places[index].slot;
    *buffer = __atomic_load_n(&slot->buf_idx, __ATOMIC_RELAXED);
    return source->tx->packets[index].data == pb_netmap_buffer(pool, *buffer) ? slot : NULL;
}

static uint32_t ring_for(const struct source *source, const struct pb_netmap_tx *tx, uint16_t index)
{
    uint32_t count = rings_count(tx);
    return count == 1 || source->places == NULL || index >= source->tx->lent ? 0 : source->places[index].ring % count;
}

/* Give a received packet's slot another buffer. */
static void give_other(struct netmap_slot *received, uint32_t other)
{
    received->buf_idx = other;
    received->flags |= NETMAP_SLOT_BUF_CHANGED;
}

/* The counter of the reason why a packet must not be sent; PB_NETMAP_COUNTERS: none. */
static inline enum pb_netmap_counter objection(const struct pb_packet *packet, uint32_t frame_max, uint32_t buffer_bytes)
{
    static const enum pb_netmap_counter reasons[] = PB_FRAME_REASONS(PB_NETMAP, PB_NETMAP_COUNTERS);
    if (packet->captured_len > buffer_bytes)
        return PB_NETMAP_TOO_LONG;
    return reasons[pb_frame_check(packet, PB_LINK_ETHERNET, frame_max)];
}

/* Put packets into the ring that the one at `done` goes to. Returns the first that was not: there is no
 * room, it goes to another ring, or must not be sent. Measured, 60 bytes in the first cache: 4 ns
 * each for swapping, 5 for copying. */
static uint32_t put_run(struct pb_port *port, struct pb_netmap_tx *state, const struct source *source, uint32_t done)
{
    const struct pb_tx *tx = source->tx;
    const struct pb_netmap_pool pool = *pool_of(state); /* what no store here can change stays in registers */
    const uint32_t number = ring_for(source, state, tx->index[done]), from = done, frame_max = state->device->frame_max;
    const bool several = rings_count(state) > 1;
    struct pb_netmap_ring *ring = &rings_of(state)[number];
    struct netmap_slot *const slots = ring->shared->slots;
    uint32_t head = ring->head, swapped = 0;
    const uint32_t tail = ring->tail, slots_count = ring->slots;
    uint64_t bytes = 0;
    for (; done < tx->count && head != tail; done++) {
        const uint16_t index = tx->index[done];
        const struct pb_packet *packet = &tx->packets[index];
        struct netmap_slot *slot = &slots[head];
        uint32_t buffer = __atomic_load_n(&slot->buf_idx, __ATOMIC_RELAXED);
        if (objection(packet, frame_max, pool.buffer_bytes) != PB_NETMAP_COUNTERS || (several && ring_for(source, state, index) != number))
            break;
        if (__builtin_expect(buffer >= pool.buffers_count, 0)) {
            ring->head = head;
            pb_netmap_damaged(port, ring);
            break;
        }
        uint32_t held;
        struct netmap_slot *received = slot_of(source, &pool, index, &held);
        if (received != NULL) {
            give_other(received, buffer);
            slot->buf_idx = held;
            slot->flags = NETMAP_SLOT_BUF_CHANGED;
            swapped++;
        } else {
            memcpy(pb_netmap_buffer(&pool, buffer), packet->data, packet->captured_len);
            slot->flags &= NETMAP_SLOT_BUF_CHANGED; /* a swap that the kernel has not seen stays one */
        }
        slot->len = (uint16_t)packet->captured_len;
        bytes += packet->captured_len;
        head = head + 1 == slots_count ? 0 : head + 1;
    }
    ring->head = head;
    state->put_packets += done - from;
    state->put_bytes += bytes;
    pb_port_count(port, PB_NETMAP_SWAPPED, swapped);
    return done;
}

/* ------------------------------------------------------------- extra buffers */

static void count_taken_back(struct pb_port *port, struct pb_netmap_tx *tx)
{
    pb_port_count(port, PB_NETMAP_TAKEN_BACK, tx->queue.taken_back);
    tx->queue.taken_back = 0;
    pb_counter_set(&port->counters[PB_PORT_IN_FLIGHT], tx->queue.count);
}

/* Keep a packet in an extra buffer; false: there is none for it. */
static bool keep(struct pb_netmap_tx *tx, const struct source *source, uint16_t index)
{
    struct pb_netmap_pool *pool = pool_of(tx);
    const struct pb_packet *packet = &source->tx->packets[index];
    uint32_t number = pb_netmap_pool_take(pool, &tx->queue);
    if (number == PB_NETMAP_NONE)
        return false;
    struct pb_netmap_extra *extra = &pool->extras[number];
    uint32_t held;
    struct netmap_slot *received = slot_of(source, pool, index, &held);
    if (received != NULL) {
        give_other(received, extra->buffer);
        extra->buffer = held;
    } else {
        memcpy(pb_netmap_buffer(pool, extra->buffer), packet->data, packet->captured_len);
    }
    extra->length = (uint16_t)packet->captured_len;
    extra->ring = (uint16_t)ring_for(source, tx, index);
    pb_netmap_queue_put(pool, &tx->queue, number);
    return true;
}

/* Move what waits into the rings, in order, as far as there is room. */
static void move_kept(struct pb_port *port, struct pb_netmap_tx *tx)
{
    struct pb_netmap_pool *pool = pool_of(tx);
    while (tx->queue.count > 0) {
        struct pb_netmap_extra *extra = &pool->extras[tx->queue.first];
        struct pb_netmap_ring *ring = &rings_of(tx)[extra->ring];
        struct netmap_slot *slot = next_slot(port, tx, ring);
        if (slot == NULL)
            return;
        uint32_t buffer = buffer_of(pool, slot);
        slot->buf_idx = extra->buffer;
        slot->len = extra->length;
        slot->flags = NETMAP_SLOT_BUF_CHANGED;
        extra->buffer = buffer;
        put_done(tx, ring, extra->length);
        pb_netmap_queue_drop_first(pool, &tx->queue);
    }
}

void pb_netmap_tx_drain(struct pb_port *port)
{
    struct pb_netmap_tx *tx = port->state;
    count_taken_back(port, tx);
    if (tx->device->interface.gone || (tx->device->interface.down && tx->queue.count > 0)) {
        pb_port_count(port, PB_NETMAP_TX_ERROR, tx->queue.count);
        while (tx->queue.count > 0)
            pb_netmap_queue_drop_first(pool_of(tx), &tx->queue);
    } else if (tx->queue.count > 0) {
        sync_rings(port, tx);
        move_kept(port, tx);
        if (tx->put_packets > 0)
            sync_rings(port, tx);
    }
    pb_counter_set(&port->counters[PB_PORT_IN_FLIGHT], tx->queue.count);
}

/* ------------------------------------------------------------------- a batch */

static bool has_room(const struct pb_netmap_tx *tx, const struct source *source, uint16_t index)
{
    const struct pb_netmap_ring *ring = &rings_of(tx)[ring_for(source, tx, index)];
    return ring->head != ring->tail;
}

/* No ring has had room for the packet: keep it, or count it. False: it is refused. */
static bool put_later(struct pb_port *port, struct pb_netmap_tx *tx, const struct source *source, uint16_t index)
{
    if (tx->device->interface.gone || rings_of(tx)[ring_for(source, tx, index)].damaged)
        pb_port_count(port, PB_NETMAP_TX_ERROR, 1);
    else if (source->tx->may_wait)
        return false;
    else if (!keep(tx, source, index))
        pb_port_count(port, PB_NETMAP_TX_FULL, 1);
    return true;
}

/* Hand over what was put so far: meanwhile the reader may have gone on, and there is room for the packet. */
static bool make_room(struct pb_port *port, struct pb_netmap_tx *tx, const struct source *source, uint16_t index)
{
    sync_rings(port, tx);
    move_kept(port, tx);
    return tx->queue.count == 0 && has_room(tx, source, index);
}

uint32_t pb_netmap_tx_batch(struct pb_port *port, const struct pb_tx *tx)
{
    struct pb_netmap_tx *state = port->state;
    if (state->device->interface.down)
        pb_netmap_look(port, state->device); /* is it up again? */
    if (state->device->interface.down) {
        pb_port_count(port, PB_NETMAP_TX_ERROR, tx->count);
        return tx->count;
    }
    const struct source source = source_of(port, state, tx);
    bool full = false; /* making room has made none: not worth another try in this batch */
    uint32_t done = 0;
    for (bool going_on = true; done < tx->count && going_on;) {
        if (state->queue.count == 0)
            done = put_run(port, state, &source, done);
        if (done == tx->count)
            break;
        enum pb_netmap_counter reason = objection(&tx->packets[tx->index[done]], state->device->frame_max,
                                                  pool_of(state)->buffer_bytes);
        if (reason != PB_NETMAP_COUNTERS) {
            pb_port_count(port, reason, 1);
            done++;
        } else if (state->queue.count > 0 || !has_room(state, &source, tx->index[done])) {
            full = full || !make_room(port, state, &source, tx->index[done]);
            going_on = !full || put_later(port, state, &source, tx->index[done]);
            done += full && going_on;
        }
    }
    state->refused = done < tx->count;
    if (state->put_packets > 0)
        sync_rings(port, state);
    count_taken_back(port, state);
    return done;
}

bool pb_netmap_tx_wait(struct pb_port *port, struct pb_wait *wait)
{
    struct pb_netmap_tx *tx = port->state;
    bool waits = tx->refused || tx->queue.count > 0;
    if (tx->refused)
        sync_rings(port, tx);
    pb_netmap_tx_drain(port);
    for (uint32_t i = 0; tx->refused && i < rings_count(tx); i++)
        if (tx->device->interface.gone || pb_netmap_ring_space(&rings_of(tx)[i]) > 0)
            return false;
    bool polled = rings_count(tx) == 1 && waits && !tx->device->interface.gone;
    *wait = (struct pb_wait){.fd = polled ? tx->device->fd : -1,
                             .events = POLLOUT,
                             .timeout_ns = waits && !polled ? RETRY_NS : -1};
    return true;
}

bool pb_netmap_tx_undelivered(struct pb_port *port)
{
    struct pb_netmap_tx *tx = port->state;
    sync_rings(port, tx);
    for (uint32_t i = 0; !tx->device->interface.gone && i < rings_count(tx); i++)
        if (!rings_of(tx)[i].damaged && pb_netmap_ring_space(&rings_of(tx)[i]) < rings_of(tx)[i].slots - 1)
            return true;
    return false;
}

int pb_netmap_tx_open(struct pb_port *port, struct pb_netmap_device *device, struct pb_error *error)
{
    struct pb_netmap_tx *tx = calloc(1, sizeof(*tx));
    if (tx == NULL)
        return pb_port_no_memory(port, error);
    tx->device = device;
    pb_netmap_queue_add(pool_of(tx), &tx->queue);
    for (uint32_t i = 0; i < rings_count(tx); i++)
        pb_netmap_ring_look(port, &rings_of(tx)[i]);
    port->state = tx;
    return 0;
}

void pb_netmap_tx_close(struct pb_port *port)
{
    struct pb_netmap_tx *tx = port->state;
    for (int i = 0; i < DRAIN_MS && tx->queue.count > 0; i++) {
        pb_netmap_tx_drain(port);
        if (tx->queue.count > 0)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    /* The reader was too slow for the time that there was. */
    pb_port_count(port, PB_NETMAP_TX_FULL, pb_netmap_queue_remove(pool_of(tx), &tx->queue));
    count_taken_back(port, tx);
    free(tx);
}
