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
    return rte_mbuf_refcnt_read(mbuf) == 1 && mbuf->nb_segs == 1 && RTE_MBUF_DIRECT(mbuf);
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

static uint32_t poll_queues(const struct pb_dpdk_port *s, struct pb_dpdk_rx *rx, uint32_t packets_max)
{
    uint32_t count = 0;
    if (s->device->is_memif)
        pb_memif_enter();
    if (unlikely(!atomic_load_explicit(&s->device->started, memory_order_relaxed)))
        packets_max = 0;
    for (uint16_t i = 0; i < rx->queues && count < packets_max; i++) {
        uint16_t queue = (uint16_t)(rx->first_queue + rx->next_queue);
        rx->next_queue = rx->next_queue + 1 == rx->queues ? 0 : rx->next_queue + 1;
        count += rte_eth_rx_burst(s->id, queue, rx->mbufs + count, (uint16_t)(packets_max - count));
    }
    if (s->device->is_memif)
        pb_memif_leave();
    return count;
}

uint32_t pb_dpdk_rx_batch(struct pb_port *port, struct pb_packet *packets, uint32_t packets_max)
{
    struct pb_dpdk_port *s = port->state;
    struct pb_dpdk_rx *rx = &s->rx;
    uint32_t received = poll_queues(s, rx, packets_max);
    if (received == 0)
        return 0;
    const uint64_t timestamp_ns = pb_clock_wall_ns();
    struct rte_mbuf **const mbufs = rx->mbufs;
    const struct rte_mempool *const pool = s->device->pool;
    uint32_t count = 0;
    uint64_t bytes = 0;
    rx->plain = true;
    for (uint32_t i = 0; i < received; i++) {
        struct rte_mbuf *mbuf = mbufs[i];
        struct pb_packet *packet = &packets[count];
        mbufs[count] = mbuf;
        if (likely(is_own(mbuf) && mbuf->pool == pool))
            pb_packet_init(packet, rte_pktmbuf_mtod(mbuf, const uint8_t *), mbuf->data_len, mbuf->data_len, timestamp_ns,
                           PB_LINK_ETHERNET);
        else if (take_odd(port, rx, mbuf, packet, timestamp_ns) == 0)
            continue;
        if ((mbuf->ol_flags & RTE_MBUF_F_RX_RSS_HASH) != 0)
            pb_packet_set_nic_hash(packet, mbuf->hash.rss);
        bytes += packet->wire_len;
        count++;
    }
    rx->count = count;
    rx->idle_ns = IDLE_NS_MIN;
    pb_port_received(port, count, bytes);
    if (unlikely(s->down))
        pb_dpdk_watch(port); /* a sign that it is up again, before it may be down once more */
    return count;
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
