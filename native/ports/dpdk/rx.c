/*
 * rx.c - receiving: buffers of DPDK are lent where they are. Engine thread.
 *
 * What is in several buffers, or in one that somebody else sees, is copied into
 * an arena: bricks see packets in one piece and may write on them.
 */
#include <errno.h>

#include "../../core/clock.h"
#include "../../core/reserve.h"
#include "dpdk_port.h"
#include "memif_calls.h"

#define BURST 64 /* buffers asked for at a time: they are in the nearest cache still when they are looked at */

static size_t arena_bytes(const struct pb_port *port)
{
    return (size_t)port->batch_packets * PB_FRAME_BYTES_LIVE_MAX;
}

/* Copy a packet into the arena, which has room for a batch of the longest; false: it is longer. */
static bool copy_out(struct pb_dpdk_rx *rx, struct rte_mbuf *mbuf, struct pb_packet *packet, uint64_t timestamp_ns)
{
    uint32_t length = rte_pktmbuf_pkt_len(mbuf);
    if (length > PB_FRAME_BYTES_LIVE_MAX)
        return false;
    uint8_t *to = rx->arena + rx->arena_used;
    const void *from = rte_pktmbuf_read(mbuf, 0, length, to);
    if (from != to)
        memcpy(to, from, length);
    rx->arena_used += length;
    pb_packet_init(packet, to, length, length, timestamp_ns, PB_LINK_ETHERNET);
    return true;
}

/* In one piece, and nobody else's. */
static inline bool is_own(const struct rte_mbuf *mbuf)
{
    /* One reference and one segment, by one comparison. */
    static const uint16_t one_each[] = {1, 1};
    _Static_assert(offsetof(struct rte_mbuf, nb_segs) == offsetof(struct rte_mbuf, refcnt) + sizeof(uint16_t), "side by side");
    return memcmp(&mbuf->refcnt, one_each, sizeof(one_each)) == 0 && RTE_MBUF_DIRECT(mbuf);
}

/* One that cannot be lent as it is: its place in the batch, or it is given back. */
static uint32_t take_odd(struct pb_port *port, struct pb_dpdk_rx *rx, struct rte_mbuf *mbuf, struct pb_packet *packet,
                         uint64_t timestamp_ns)
{
    rx->plain = false;
    if (is_own(mbuf)) { /* only of another pool: a ring between two devices */
        pb_packet_init(packet, rte_pktmbuf_mtod(mbuf, const uint8_t *), mbuf->data_len, mbuf->data_len, timestamp_ns, PB_LINK_ETHERNET);
        return 1;
    }
    if (copy_out(rx, mbuf, packet, timestamp_ns))
        return 1;
    rte_pktmbuf_free(mbuf);
    pb_port_count(port, PB_DPDK_RX_TOO_LONG, 1);
    return 0;
}

static inline void note_hash(struct pb_packet *packet, const struct rte_mbuf *mbuf)
{
    if ((mbuf->ol_flags & RTE_MBUF_F_RX_RSS_HASH) != 0)
        pb_packet_set_nic_hash(packet, mbuf->hash.rss);
}

/* Lend what buffers hold, from the front, as long as they are the usual ones: one segment, nobody else's, of
 * the device's pool. Returns how many. */
static inline uint32_t lend_usual(const struct rte_mempool *pool, struct rte_mbuf *const *mbufs, uint32_t count,
                                  struct pb_packet *packets, uint64_t timestamp_ns, uint64_t *bytes)
{
    uint64_t sum = 0;
    uint32_t i = 0;
    for (; i < count; i++) {
        const struct rte_mbuf *mbuf = mbufs[i];
        if (unlikely(!is_own(mbuf) || mbuf->pool != pool))
            break;
        uint32_t length = mbuf->data_len;
        pb_packet_init(&packets[i], rte_pktmbuf_mtod(mbuf, const uint8_t *), length, length, timestamp_ns, PB_LINK_ETHERNET);
        note_hash(&packets[i], mbuf);
        sum += length;
    }
    *bytes += sum;
    return i;
}

/* Lend what `received` buffers hold, the next of the batch behind `count` others. Returns how many it has then. */
static uint32_t lend(struct pb_port *port, struct pb_packet *packets, uint32_t count, uint32_t received, uint64_t timestamp_ns,
                     uint64_t *bytes)
{
    struct pb_dpdk_port *s = port->state;
    struct pb_dpdk_rx *rx = &s->rx;
    uint32_t next = count, end = count + received;
    for (;;) {
        uint32_t usual = lend_usual(s->device->pool, rx->mbufs + next, end - next, packets + count, timestamp_ns, bytes);
        if (unlikely(count != next))
            memmove(rx->mbufs + count, rx->mbufs + next, usual * sizeof(rx->mbufs[0]));
        count += usual;
        next += usual;
        if (likely(next == end))
            return count;
        struct rte_mbuf *mbuf = rx->mbufs[next++];
        if (take_odd(port, rx, mbuf, &packets[count], timestamp_ns) == 0)
            continue;
        note_hash(&packets[count], mbuf);
        *bytes += packets[count].wire_len;
        rx->mbufs[count++] = mbuf;
    }
}

/* What the queues have, a burst of each in turn, until each has less than that. */
static uint32_t poll_queues(struct pb_port *port, struct pb_packet *packets, uint32_t packets_max, uint64_t *bytes)
{
    struct pb_dpdk_port *s = port->state;
    struct pb_dpdk_rx *rx = &s->rx;
    uint32_t count = 0, empty = 0;
    uint64_t timestamp_ns = 0;
    while (empty < rx->queues && count < packets_max) {
        uint16_t queue = (uint16_t)(rx->first_queue + rx->next_queue);
        uint16_t wanted = (uint16_t)RTE_MIN(packets_max - count, (uint32_t)BURST);
        rx->next_queue = rx->next_queue + 1 == rx->queues ? 0 : rx->next_queue + 1;
        uint16_t received = rte_eth_rx_burst(s->id, queue, rx->mbufs + count, wanted);
        empty = received < wanted ? empty + 1 : 0;
        if (received == 0)
            continue;
        if (timestamp_ns == 0)
            timestamp_ns = pb_clock_wall_ns(); /* one for a batch */
        count = lend(port, packets, count, received, timestamp_ns, bytes);
    }
    return count;
}

uint32_t pb_dpdk_rx_batch(struct pb_port *port, struct pb_packet *packets, uint32_t packets_max)
{
    struct pb_dpdk_port *s = port->state;
    struct pb_dpdk_rx *rx = &s->rx;
    uint64_t bytes = 0;
    rx->plain = true;
    if (s->device->is_memif)
        pb_memif_enter();
    if (unlikely(!atomic_load_explicit(&s->device->started, memory_order_relaxed)))
        packets_max = 0;
    rx->count = poll_queues(port, packets, packets_max, &bytes);
    if (s->device->is_memif)
        pb_memif_leave();
    if (rx->count == 0)
        return 0;
    rx->idle_ns = IDLE_NS_MIN;
    pb_port_received(port, rx->count, bytes);
    if (unlikely(s->down))
        pb_dpdk_watch(port); /* a sign that it is up again, before it may be down once more */
    return rx->count;
}

/* Those that no output has taken over move together. */
static uint32_t compact(struct pb_dpdk_rx *rx)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < rx->count; i++)
        if (rx->mbufs[i] != NULL)
            rx->mbufs[left++] = rx->mbufs[i];
    return left;
}

void pb_dpdk_rx_release(struct pb_port *port)
{
    struct pb_dpdk_port *s = port->state;
    struct pb_dpdk_rx *rx = &s->rx;
    uint32_t left = rx->taken == 0 ? rx->count : rx->taken == rx->count ? 0 : compact(rx);
    /* Straight back to the pool, which wants them as they are then. */
    if (left > 0 && rx->plain && !rx->shared)
        rte_mempool_put_bulk(s->device->pool, (void **)rx->mbufs, left);
    else if (left > 0)
        rte_pktmbuf_free_bulk(rx->mbufs, left);
    rx->count = 0;
    rx->taken = 0;
    rx->shared = false;
    rx->arena_used = 0;
}

bool pb_dpdk_rx_wait(struct pb_port *port, struct pb_wait *wait)
{
    struct pb_dpdk_port *s = port->state;
    pb_dpdk_watch_idle(port);
    *wait = (struct pb_wait){.fd = -1, .timeout_ns = s->rx.idle_ns};
    s->rx.idle_ns = s->rx.idle_ns * 2 < IDLE_NS_MAX ? s->rx.idle_ns * 2 : IDLE_NS_MAX;
    return true;
}

int pb_dpdk_rx_open(struct pb_port *port, struct pb_dpdk_port *s, struct pb_error *error)
{
    s->rx.arena = pb_reserve(arena_bytes(port));
    if (s->rx.arena == NULL)
        return pb_port_fail_errno(port, error, errno, "use a smaller batch, or raise the limit (ulimit -v)",
                                  "no %zu MiB of address space for long frames", arena_bytes(port) >> 20);
    s->rx.mbufs = calloc(port->batch_packets, sizeof(*s->rx.mbufs));
    if (s->rx.mbufs != NULL)
        return 0;
    pb_dpdk_rx_free(port, s);
    return pb_port_fail(port, error, ENOMEM, "no memory for a batch of %u packets; use a smaller one", port->batch_packets);
}

void pb_dpdk_rx_free(struct pb_port *port, struct pb_dpdk_port *s)
{
    pb_unreserve(s->rx.arena, arena_bytes(port));
    free(s->rx.mbufs);
    s->rx.arena = NULL;
    s->rx.mbufs = NULL;
}
