/*
 * tx.c - sending. Packets of a port of this module go out in the buffers that they came
 * in: taken over where no other output sees them, with one more reference else. Others
 * are copied into buffers of the device's pool; or a device that copies them itself
 * before its send function returns (memif) is shown them where they lie.
 * Engine thread, but for opening and freeing.
 */
#include <errno.h>
#include <stdlib.h>

#include <rte_memcpy.h>

#include "../interface.h"
#include "dpdk_port.h"
#include "memif_calls.h"

#define CHUNK 64 /* packets made ready at a time: their buffers stay in the nearest cache */
#define SHOW_BYTES_MIN 256 /* of shorter frames a copy costs no more than a view; measured: 64 bytes less, 128 as much */
#define RETRY_NS_MIN 20000
#define RETRY_NS_MAX 1000000

/* What of tx->index, from `first` on, is ready to go. */
struct chunk {
    struct rte_mbuf *mbufs[CHUNK];
    uint32_t first, count;
    uint32_t copies;
    uint32_t shown;  /* in views */
    uint64_t bytes;
    bool no_buffer; /* it ended because there was no buffer for a copy */
};

/* One comparison for each of what a packet to be sent must be. */
static inline bool is_fit(const struct pb_device *device, const struct pb_packet *packet)
{
    return packet->captured_len - RTE_ETHER_HDR_LEN <= device->frame_max - RTE_ETHER_HDR_LEN &&
           packet->captured_len == packet->wire_len && packet->link_type == PB_LINK_ETHERNET;
}

/* The counter of the reason why a packet must not be sent; PB_DPDK_COUNTERS: none. */
static enum pb_dpdk_counter objection(const struct pb_device *device, const struct pb_packet *packet)
{
    static const enum pb_dpdk_counter reasons[] = PB_FRAME_REASONS(PB_DPDK, PB_DPDK_COUNTERS);
    uint32_t room = device->segments ? PB_FRAME_BYTES_LIVE_MAX : device->segment_bytes;
    if (packet->captured_len > room)
        return PB_DPDK_TOO_LONG;
    return reasons[pb_frame_check(packet, PB_LINK_ETHERNET, device->frame_max)];
}

/* ------------------------------------------------------------------ making ready */

/* Fill buffers of the pool, a chain where one is too small. `mbuf` is the first; false: there were not enough. */
static bool fill(struct pb_device *device, struct rte_mbuf *mbuf, const struct pb_packet *packet)
{
    uint32_t left = packet->captured_len, at = 0;
    struct rte_mbuf *last = mbuf;
    mbuf->pkt_len = left;
    for (;;) {
        uint32_t bytes = left < device->segment_bytes ? left : device->segment_bytes;
        rte_memcpy(rte_pktmbuf_mtod(last, void *), packet->data + at, bytes);
        last->data_len = (uint16_t)bytes;
        left -= bytes;
        at += bytes;
        if (left == 0)
            return true;
        struct rte_mbuf *next = rte_pktmbuf_alloc(device->pool);
        if (next == NULL)
            return false;
        last->next = next;
        last = next;
        mbuf->nb_segs++;
    }
}

static struct rte_mbuf *copy_of(struct pb_device *device, const struct pb_packet *packet)
{
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(device->pool);
    if (mbuf != NULL && !fill(device, mbuf, packet)) {
        rte_pktmbuf_free(mbuf);
        mbuf = NULL;
    }
    return mbuf;
}

/* The buffer that the input lends the packet in; NULL: it must be copied. */
static inline struct rte_mbuf *lent_by(const struct pb_dpdk_rx *rx, const struct pb_tx *tx, uint16_t index,
                                       const struct pb_packet *packet)
{
    if (index >= tx->lent)
        return NULL;
    struct rte_mbuf *mbuf = rx->mbufs[index];
    if (rte_pktmbuf_mtod(mbuf, const uint8_t *) != packet->data)
        return NULL;
    if (likely(mbuf->data_len == packet->captured_len))
        return mbuf;
    /* A brick has shortened it. */
    if (!tx->sole || packet->captured_len > mbuf->data_len)
        return NULL;
    mbuf->pkt_len = packet->captured_len;
    mbuf->data_len = (uint16_t)packet->captured_len;
    return mbuf;
}

/* Whether the packet is one to be sent, as it lies in the buffer that it came in: differences are collected, so that
 * there is one branch. */
static inline bool is_as_lent(const struct pb_device *device, const struct pb_packet *packet, const struct rte_mbuf *mbuf)
{
    uint64_t moved = (uint64_t)(uintptr_t)packet->data ^ (uint64_t)(uintptr_t)rte_pktmbuf_mtod(mbuf, const uint8_t *);
    uint32_t cut = (packet->captured_len ^ mbuf->data_len) | (packet->captured_len ^ packet->wire_len);
    return (moved | cut | (packet->link_type ^ PB_LINK_ETHERNET)) == 0 &&
           packet->captured_len - RTE_ETHER_HDR_LEN <= device->frame_max - RTE_ETHER_HDR_LEN;
}

/* Of an input of this module that only this output has packets of: those that go as they came, up to the first that does
 * not. The input is not to give their buffers back: take_back() undoes that. */
static void gather_sole(const struct pb_device *device, struct pb_dpdk_rx *rx, const struct pb_tx *tx, struct chunk *chunk)
{
    const uint16_t *const from = tx->index + chunk->first;
    uint32_t left = tx->count - chunk->first, wanted = left < CHUNK ? left : CHUNK, count = 0;
    uint64_t bytes = 0;
    for (; count < wanted; count++) {
        uint16_t index = from[count];
        if (unlikely(index >= tx->lent))
            break;
        /* Those of one output are apart. Who frees them looks at both lines. */
        if (count + PB_PREFETCH_PACKETS < wanted && from[count + PB_PREFETCH_PACKETS] < tx->lent) {
            const struct rte_mbuf *ahead = rx->mbufs[from[count + PB_PREFETCH_PACKETS]];
            rte_prefetch0(ahead);
            rte_prefetch0(&ahead->cacheline1);
        }
        struct rte_mbuf *mbuf = rx->mbufs[index];
        if (unlikely(!is_as_lent(device, &tx->packets[index], mbuf)))
            break;
        rx->mbufs[index] = NULL;
        bytes += mbuf->data_len;
        chunk->mbufs[count] = mbuf;
    }
    rx->taken += count;
    chunk->count = count;
    chunk->bytes = bytes;
}

/* Of an input of this module, behind those that are ready. */
static void gather_lent(struct pb_device *device, struct pb_dpdk_rx *rx, const struct pb_tx *tx, struct chunk *chunk)
{
    uint32_t end = tx->count - chunk->first < CHUNK ? tx->count : chunk->first + CHUNK;
    for (uint32_t i = chunk->first + chunk->count; i < end; i++) {
        uint16_t index = tx->index[i];
        const struct pb_packet *packet = &tx->packets[index];
        /* Those of one output are apart. */
        if (i + PB_PREFETCH_PACKETS < end && tx->index[i + PB_PREFETCH_PACKETS] < tx->lent)
            rte_prefetch0(rx->mbufs[tx->index[i + PB_PREFETCH_PACKETS]]);
        if (unlikely(!is_fit(device, packet)) && objection(device, packet) != PB_DPDK_COUNTERS)
            return;
        struct rte_mbuf *mbuf = lent_by(rx, tx, index, packet);
        if (mbuf == NULL) {
            mbuf = copy_of(device, packet);
            chunk->no_buffer = mbuf == NULL;
            if (mbuf == NULL)
                return;
            chunk->copies++;
        } else if (tx->sole) {
            rx->mbufs[index] = NULL;
            rx->taken++;
        } else {
            rte_mbuf_refcnt_update(mbuf, 1);
            rx->shared = true;
        }
        chunk->bytes += packet->captured_len;
        chunk->mbufs[chunk->count++] = mbuf;
    }
}

/* ------------------------------------------------------------------ views of packets */

static inline bool is_view(const struct pb_dpdk_port *s, const struct rte_mbuf *mbuf)
{
    return s->tx.views != NULL && mbuf >= s->tx.views && mbuf < s->tx.views + CHUNK;
}

/* Worth it, and in one piece as a copy would be. */
static inline bool can_show(const struct pb_dpdk_port *s, const struct pb_packet *packet)
{
    return s->tx.views != NULL && packet->captured_len >= SHOW_BYTES_MIN && packet->captured_len <= s->device->segment_bytes;
}

/* The device's reference, and ours: it does not free the view. */
static inline struct rte_mbuf *show(struct rte_mbuf *view, const struct pb_packet *packet)
{
    rte_mbuf_refcnt_set(view, 2);
    view->buf_addr = (void *)(uintptr_t)packet->data;
    view->data_len = view->buf_len = (uint16_t)packet->captured_len;
    view->pkt_len = packet->captured_len;
    return view;
}

/* The memory shown is lent only until tx_batch() returns. A device that still has a reference copies nothing, against what
 * setup.c knows of it: it is shown nothing more, and may keep these views for ever. */
static void check_views(struct pb_port *port, const struct chunk *chunk, uint32_t sent)
{
    struct pb_dpdk_port *s = port->state;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < sent; i++)
        kept |= is_view(s, chunk->mbufs[i]) && rte_mbuf_refcnt_read(chunk->mbufs[i]) != 1;
    if (likely(kept == 0))
        return;
    s->tx.views = NULL;
    pb_port_report(port, "DPDK's driver of %s keeps packets that it should have copied: some were sent with wrong bytes; "
                   "from now on they are copied for it", s->device->name);
}

int pb_dpdk_tx_open(struct pb_port *port, struct pb_dpdk_port *s, struct pb_error *error)
{
    if (!s->device->copies)
        return 0;
    s->tx.views = aligned_alloc(RTE_CACHE_LINE_SIZE, CHUNK * sizeof(*s->tx.views));
    if (s->tx.views == NULL)
        return pb_port_no_memory(port, error);
    memset(s->tx.views, 0, CHUNK * sizeof(*s->tx.views));
    for (uint32_t i = 0; i < CHUNK; i++) {
        s->tx.views[i].pool = s->device->pool; /* whose packets are as long */
        s->tx.views[i].nb_segs = 1;
    }
    return 0;
}

void pb_dpdk_tx_free(struct pb_dpdk_port *s)
{
    free(s->tx.views);
    s->tx.views = NULL;
}

/* ------------------------------------------------------------------- of other inputs */

/* Buffers of a pool, taken together. */
struct stock {
    struct rte_mbuf *mbufs[CHUNK];
    uint32_t count;
};

static void take(struct stock *stock, struct rte_mempool *pool, uint32_t count)
{
    while (count > 0 && rte_pktmbuf_alloc_bulk(pool, stock->mbufs, count) != 0)
        count /= 2;
    stock->count = count;
}

/* Of any other input. */
static void gather_others(struct pb_dpdk_port *s, const struct pb_tx *tx, struct chunk *chunk)
{
    struct pb_device *device = s->device;
    uint32_t left = tx->count - chunk->first, wanted = left < CHUNK ? left : CHUNK;
    struct stock stock;
    stock.count = 0;
    for (; chunk->count < wanted; chunk->count++) {
        const struct pb_packet *packet = &tx->packets[tx->index[chunk->first + chunk->count]];
        if (unlikely(!is_fit(device, packet)) && objection(device, packet) != PB_DPDK_COUNTERS)
            break;
        chunk->bytes += packet->captured_len;
        if (can_show(s, packet)) {
            chunk->mbufs[chunk->count] = show(&s->tx.views[chunk->count], packet);
            chunk->shown++;
            continue;
        }
        if (stock.count == 0)
            take(&stock, device->pool, wanted - chunk->count);
        if (stock.count == 0 || !fill(device, stock.mbufs[stock.count - 1], packet)) {
            chunk->no_buffer = true;
            chunk->bytes -= packet->captured_len;
            break;
        }
        chunk->mbufs[chunk->count] = stock.mbufs[--stock.count];
        chunk->copies++;
    }
    if (stock.count > 0)
        rte_pktmbuf_free_bulk(stock.mbufs, stock.count);
}

/* ------------------------------------------------------------------------- sending */

static inline uint32_t burst(struct pb_dpdk_port *s, struct rte_mbuf **mbufs, uint32_t count)
{
    uint32_t sent = 0;
    if (s->device->is_memif)
        pb_memif_enter();
    if (unlikely(!atomic_load_explicit(&s->device->started, memory_order_relaxed)))
        count = 0;
    rte_spinlock_lock(&s->tx.turn->lock);
    while (sent < count) {
        uint16_t accepted = rte_eth_tx_burst(s->id, s->tx.queue, mbufs + sent, (uint16_t)(count - sent));
        sent += accepted;
        if (accepted == 0)
            break;
    }
    rte_spinlock_unlock(&s->tx.turn->lock);
    if (s->device->is_memif)
        pb_memif_leave();
    return sent;
}

/* For a device that may free what it does not accept, with a reference of ours on each: those have
 * only that left. Returns how many it accepted; *lost: of the others, from the front, are freed. */
static uint32_t burst_held(struct pb_dpdk_port *s, struct rte_mbuf **mbufs, uint32_t count, uint32_t *lost)
{
    for (uint32_t i = 0; i < count; i++)
        rte_mbuf_refcnt_set(mbufs[i], 2);
    uint32_t sent = burst(s, mbufs, count), i = sent;
    for (uint32_t j = 0; j < sent; j++)
        rte_pktmbuf_free(mbufs[j]);
    while (i < count && rte_mbuf_refcnt_read(mbufs[i]) == 1)
        rte_pktmbuf_free(mbufs[i++]);
    *lost = i - sent;
    for (; i < count; i++)
        rte_mbuf_refcnt_set(mbufs[i], 1);
    return sent;
}

/* Whether a packet that was made ready is in the buffer that it came in, not in a copy. */
static inline bool is_lent(const struct pb_dpdk_rx *rx, const struct pb_tx *tx, uint16_t index, const struct rte_mbuf *mbuf)
{
    return rx != NULL && index < tx->lent && rx->mbufs[index] == (tx->sole ? NULL : mbuf);
}

/* What the device did not take, from place `from` on: undo what gathering has done. */
static void take_back(const struct pb_dpdk_port *s, struct pb_dpdk_rx *rx, const struct pb_tx *tx, struct chunk *chunk, uint32_t from)
{
    for (uint32_t i = from; i < chunk->count; i++) {
        uint16_t index = tx->index[chunk->first + i];
        if (is_view(s, chunk->mbufs[i])) {
            rte_mbuf_refcnt_set(chunk->mbufs[i], 1);
        } else if (!is_lent(rx, tx, index, chunk->mbufs[i])) {
            rte_pktmbuf_free(chunk->mbufs[i]);
            chunk->copies--;
        } else if (tx->sole) {
            rx->mbufs[index] = chunk->mbufs[i];
            rx->taken--;
        } else {
            rte_mbuf_refcnt_update(chunk->mbufs[i], -1);
        }
    }
}

/* Send what is ready. Returns how many were dealt with: sent, or lost by the device and counted so. */
static uint32_t send_chunk(struct pb_port *port, struct pb_dpdk_rx *rx, const struct pb_tx *tx, struct chunk *chunk)
{
    struct pb_dpdk_port *s = port->state;
    uint32_t lost = 0;
    uint32_t sent = unlikely(s->device->swallows) ? burst_held(s, chunk->mbufs, chunk->count, &lost)
                                                  : burst(s, chunk->mbufs, chunk->count);
    if (unlikely(sent < chunk->count)) {
        take_back(s, rx, tx, chunk, sent + lost);
        chunk->copies -= lost; /* devices that lose some get nothing else */
        for (uint32_t i = sent; i < chunk->count; i++)
            chunk->bytes -= tx->packets[tx->index[chunk->first + i]].captured_len;
        pb_dpdk_watch(port); /* full, or without a peer? */
        pb_port_count(port, s->down ? PB_DPDK_LINK_DOWN : PB_DPDK_TX_FULL, lost);
    }
    if (chunk->shown > 0)
        check_views(port, chunk, sent);
    if (chunk->copies > 0)
        pb_port_count(port, PB_DPDK_TX_COPIES, chunk->copies);
    if (sent > 0)
        pb_port_sent(port, sent, chunk->bytes);
    return sent + lost;
}

/* Drop what is left, for a reason that holds for all that could be sent at all. */
static void drop(struct pb_port *port, const struct pb_tx *tx, uint32_t from, enum pb_dpdk_counter reason)
{
    const struct pb_dpdk_port *s = port->state;
    for (uint32_t i = from; i < tx->count; i++) {
        enum pb_dpdk_counter own = objection(s->device, &tx->packets[tx->index[i]]);
        pb_port_count(port, own == PB_DPDK_COUNTERS ? reason : own, 1);
    }
}

/* The rest has no way out now: it waits, or is dropped. Returns how many are dealt with. */
static uint32_t stop(struct pb_port *port, const struct pb_tx *tx, uint32_t done, enum pb_dpdk_counter reason)
{
    struct pb_dpdk_port *s = port->state;
    bool waits = tx->may_wait && (!s->down || atomic_load_explicit(&port->awaited, memory_order_relaxed));
    if (waits) {
        s->tx.refused = true;
        return done;
    }
    drop(port, tx, done, s->down ? PB_DPDK_LINK_DOWN : reason);
    return tx->count;
}

uint32_t pb_dpdk_tx_batch(struct pb_port *port, const struct pb_tx *tx)
{
    struct pb_dpdk_port *s = port->state;
    /* Views cost less than references that others count, too. */
    bool is_ours = tx->from->operations == port->operations && !s->device->swallows && (tx->sole || s->tx.views == NULL);
    struct pb_dpdk_rx *rx = is_ours ? &((struct pb_dpdk_port *)tx->from->state)->rx : NULL;
    s->tx.refused = false;
    /* DPDK's drivers of interfaces say of frames for one that is down that they are sent: it is asked each time,
     * a microsecond beside one or more for each packet. */
    if (s->down || s->device->if_index > 0)
        pb_dpdk_watch(port);
    if (s->down)
        return stop(port, tx, 0, PB_DPDK_LINK_DOWN);
    uint32_t done = 0;
    while (done < tx->count) {
        struct chunk chunk;
        chunk.first = done;
        chunk.count = chunk.copies = chunk.shown = 0;
        chunk.bytes = 0;
        chunk.no_buffer = false;
        if (is_ours && tx->sole)
            gather_sole(s->device, rx, tx, &chunk);
        if (is_ours)
            gather_lent(s->device, rx, tx, &chunk);
        else
            gather_others(s, tx, &chunk);
        uint32_t dealt = send_chunk(port, rx, tx, &chunk);
        done += dealt;
        if (dealt < chunk.count)
            return stop(port, tx, done, PB_DPDK_TX_FULL);
        if (chunk.no_buffer)
            return stop(port, tx, done, PB_DPDK_NO_BUFFER);
        for (; done < tx->count; done++) {
            enum pb_dpdk_counter reason = objection(s->device, &tx->packets[tx->index[done]]);
            if (reason == PB_DPDK_COUNTERS)
                break;
            pb_port_count(port, reason, 1);
        }
        s->tx.retry_ns = RETRY_NS_MIN;
    }
    return done;
}

bool pb_dpdk_tx_wait(struct pb_port *port, struct pb_wait *wait)
{
    struct pb_dpdk_port *s = port->state;
    pb_dpdk_watch_idle(port);
    *wait = (struct pb_wait){.fd = -1, .timeout_ns = s->tx.refused ? s->tx.retry_ns : -1};
    s->tx.retry_ns = s->tx.retry_ns * 2 < RETRY_NS_MAX ? s->tx.retry_ns * 2 : RETRY_NS_MAX;
    return true;
}
