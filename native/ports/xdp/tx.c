/*
 * tx.c - sending: a packet that lies in the engine's UMEM is sent from where it is, another is
 * copied into chunks of it first.
 *
 * A packet counts as sent when the kernel has taken its descriptors from the ring; its chunks
 * come back by the completion ring, some time later. Engine thread but for open and close.
 *
 * Source: net/xdp/xsk.c, xsk_generic_xmit().
 */
#include <errno.h>
#include <linux/if_ether.h>
#include <sys/socket.h>
#include <time.h>

#include "xdp_port.h"

#define RETRY_NS_MIN 100000   /* a device queue that has room again wakes nobody: look after this, */
#define RETRY_NS_MAX 10000000 /* and after twice as long each time, up to this */
#define DRAIN_MS 100          /* the longest that closing waits for the device */

#define NO_OBJECTION PB_XDP_COUNTERS

/* Put a packet on the ring from where it lies. */
static void put_lent(struct pb_port *port, struct xdp_queue *queue, uint32_t at, uint64_t offset, uint32_t bytes)
{
    *xsk_ring_prod__tx_desc(&queue->tx, at) = (struct xdp_desc){.addr = offset, .len = bytes};
    queue->umem->references[offset >> XDP_CHUNK_SHIFT]++;
    pb_port_count(port, PB_XDP_LENT, 1);
}

/* Put a copy of a packet on the ring, in as many chunks as it needs. */
static void put_copy(struct xdp_queue *queue, uint32_t at, const struct pb_packet *packet, uint32_t segments)
{
    uint32_t done = 0;
    for (uint32_t i = 0; i < segments; i++) {
        uint32_t left = packet->captured_len - done, bytes = left < XDP_CHUNK_BYTES ? left : XDP_CHUNK_BYTES;
        uint64_t offset = (uint64_t)xdp_chunk_take(queue->umem) << XDP_CHUNK_SHIFT;
        memcpy(queue->umem->memory + offset, packet->data + done, bytes);
        done += bytes;
        *xsk_ring_prod__tx_desc(&queue->tx, at + i) = (struct xdp_desc){
            .addr = offset, .len = bytes, .options = i + 1 < segments ? XDP_PKT_CONTD : 0};
    }
}

/* Whether the next descriptors' places hold some that are not counted yet: in zero-copy mode the kernel can be done
 * with them at any time. */
static bool is_uncounted(const struct xdp_queue *queue, uint32_t descriptors)
{
    return queue->tx.cached_prod - queue->tx_seen + descriptors > queue->ring;
}

/* Put a packet on the ring, not yet shown to the kernel. Returns how many descriptors it took; 0: there is no
 * room, for `reason`. */
static uint32_t put(struct pb_port *port, struct xdp_queue *queue, const struct pb_packet *packet,
                    enum pb_xdp_counter *reason)
{
    struct xdp_umem *umem = queue->umem;
    uint64_t offset = (uint64_t)((uintptr_t)packet->data - (uintptr_t)umem->memory);
    uint32_t at, bytes = packet->captured_len;
    bool lies_here = offset < umem->bytes && (offset & (XDP_CHUNK_BYTES - 1)) + bytes <= XDP_CHUNK_BYTES;
    uint32_t segments = lies_here ? 1 : (bytes + XDP_CHUNK_BYTES - 1) >> XDP_CHUNK_SHIFT;
    *reason = PB_XDP_TOO_LONG;
    if (segments > queue->tx_max) /* the share of one of many outputs */
        return 0;
    *reason = PB_XDP_NO_BUFFER;
    if (!lies_here && umem->free_count < segments)
        return 0;
    *reason = PB_XDP_TX_FULL;
    if (is_uncounted(queue, segments) || queue->outstanding + segments > queue->tx_max ||
        xsk_ring_prod__reserve(&queue->tx, segments, &at) == 0)
        return 0;
    if (lies_here)
        put_lent(port, queue, at, offset, bytes);
    else
        put_copy(queue, at, packet, segments);
    queue->outstanding += segments;
    return segments;
}

static void set_in_flight(struct pb_port *port, const struct xdp_port *s)
{
    pb_counter_set(&port->counters[PB_PORT_IN_FLIGHT], s->tx.pending);
}

/* Count what the kernel has taken from the ring; `refused`: but for the last packet, which it could not send. */
static void count_taken(struct pb_port *port, struct xdp_port *s, bool refused)
{
    struct xdp_queue *queue = s->queues[0];
    uint32_t taken_to = queue->tx_put - (queue->ring - xsk_prod_nb_free(&queue->tx, UINT32_MAX));
    uint64_t packets = 0, bytes = 0;
    uint32_t last = 0;
    for (; queue->tx_seen != taken_to; queue->tx_seen++) {
        const struct xdp_desc *piece = xsk_ring_prod__tx_desc(&queue->tx, queue->tx_seen);
        s->tx.part_bytes += piece->len;
        if (piece->options & XDP_PKT_CONTD)
            continue;
        packets++;
        bytes += last = s->tx.part_bytes;
        s->tx.part_bytes = 0;
    }
    if (packets == 0)
        return;
    s->tx.pending -= (uint32_t)packets;
    pb_port_sent(port, packets - refused, bytes - (refused ? last : 0));
    pb_port_count(port, PB_XDP_TX_ERROR, refused);
}

/* The ring's packets will never be taken: its interface is gone. */
static void abandon(struct pb_port *port, struct xdp_port *s, enum pb_xdp_counter reason)
{
    pb_port_count(port, reason, s->tx.pending);
    s->tx.pending = 0;
    set_in_flight(port, s);
}

/* How many of the last `fresh` descriptors are of packets that the kernel has not begun with. */
static uint32_t untouched(struct xdp_queue *queue, uint32_t fresh)
{
    uint32_t left = queue->tx_put - queue->tx_seen;
    if (left >= fresh)
        return fresh;
    while (left > 0 && (xsk_ring_prod__tx_desc(&queue->tx, queue->tx_put - left - 1)->options & XDP_PKT_CONTD) != 0)
        left--;
    return left;
}

/* Take the last descriptors back: the kernel, which answered ENETDOWN, does not look at them. Earlier calls may have sent
 * some. In zero-copy mode it can look at any time. */
static void take_back(struct pb_port *port, struct xdp_port *s, uint32_t fresh)
{
    struct xdp_queue *queue = s->queues[0];
    uint32_t packets = 0, descriptors = untouched(queue, fresh);
    queue->tx.cached_prod -= descriptors;
    __atomic_store_n(queue->tx.producer, queue->tx.cached_prod, __ATOMIC_RELEASE);
    queue->tx_put -= descriptors;
    queue->outstanding -= descriptors;
    for (uint32_t i = 0; i < descriptors; i++) {
        const struct xdp_desc *piece = xsk_ring_prod__tx_desc(&queue->tx, queue->tx_put + i);
        packets += !(piece->options & XDP_PKT_CONTD);
        xdp_chunk_drop(queue->umem, (uint32_t)(piece->addr >> XDP_CHUNK_SHIFT));
    }
    s->tx.pending -= packets;
    pb_port_count(port, PB_XDP_TX_ERROR, packets);
}

/* Call the kernel until it has taken what is on the ring, or takes no more. Without zero-copy it takes so many
 * packets for each call, and stops behind one that it could not send (EBUSY). Returns 0, or the errno that ended it. */
static int call_kernel(struct pb_port *port, struct xdp_port *s)
{
    struct xdp_queue *queue = s->queues[0];
    uint32_t calls = 1 + s->tx.pending / queue->tx_budget;
    while (calls > 0 && s->tx.pending > 0) {
        int code = sendto(queue->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 ? errno : 0;
        if (code == ENETDOWN || code == ENXIO)
            return code;
        count_taken(port, s, code == EBUSY);
        if (code == 0)
            return 0;
        calls -= code != EBUSY;
        if (code == EBUSY && !s->interface.down && !pb_interface_has_link(&s->interface))
            pb_interface_lost(port, &s->interface, false);
    }
    return 0;
}

/* Have the kernel take what is on the ring, to which `fresh` descriptors were added since the last time. */
static void kick(struct pb_port *port, struct xdp_port *s, uint32_t fresh)
{
    struct xdp_queue *queue = s->queues[0];
    uint32_t before = s->tx.pending;
    if (before == 0)
        return;
    int code = s->interface.gone ? ENXIO : xsk_ring_prod__needs_wakeup(&queue->tx) ? call_kernel(port, s) : 0;
    if (code == 0) {
        count_taken(port, s, false);
    } else {
        pb_xdp_look(port, s);
        if (code == ENETDOWN && !queue->umem->zerocopy)
            take_back(port, s, fresh);
    }
    s->tx.stalled = s->tx.pending > 0 && s->tx.pending == before;
    if (!s->tx.stalled)
        s->tx.retry_ns = RETRY_NS_MIN;
    if (s->interface.gone)
        abandon(port, s, PB_XDP_TX_ERROR);
    set_in_flight(port, s);
}

void pb_xdp_tx_kick(struct pb_port *port, struct xdp_port *s)
{
    kick(port, s, 0);
}

/* The counter of the reason why a packet must not be sent. */
static enum pb_xdp_counter objection(const struct xdp_port *s, const struct pb_packet *packet)
{
    static const enum pb_xdp_counter reasons[] = PB_FRAME_REASONS(PB_XDP, NO_OBJECTION);
    if (s->interface.down)
        return PB_XDP_TX_ERROR;
    return reasons[pb_frame_check(packet, PB_LINK_ETHERNET, s->tx.frame_max)];
}

/* Show the kernel what was put on the ring. */
static void submit(struct pb_port *port, struct xdp_port *s, uint32_t *descriptors)
{
    struct xdp_queue *queue = s->queues[0];
    if (*descriptors > 0)
        xsk_ring_prod__submit(&queue->tx, *descriptors);
    queue->tx_put += *descriptors;
    kick(port, s, *descriptors);
    *descriptors = 0;
    pb_xdp_queue_reap(queue);
}

uint32_t pb_xdp_tx_batch(struct pb_port *port, const struct pb_tx *tx)
{
    struct xdp_port *s = port->state;
    struct xdp_queue *queue = s->queues[0];
    if (s->interface.down)
        pb_xdp_look(port, s);
    bool full = false; /* a kick in this batch made no room: not worth another */
    uint32_t done = 0, descriptors = 0;
    for (; done < tx->count; done++) {
        const struct pb_packet *packet = &tx->packets[tx->index[done]];
        enum pb_xdp_counter reason = objection(s, packet);
        uint32_t used = 0;
        if (reason == NO_OBJECTION)
            used = put(port, queue, packet, &reason);
        if (used == 0 && (reason == PB_XDP_TX_FULL || reason == PB_XDP_NO_BUFFER) && !full) {
            submit(port, s, &descriptors);
            pb_xdp_umem_reap(queue->umem);
            reason = objection(s, packet);
            if (reason == NO_OBJECTION)
                used = put(port, queue, packet, &reason);
            full = used == 0;
        }
        if (used == 0 && tx->may_wait && (reason == PB_XDP_TX_FULL || reason == PB_XDP_NO_BUFFER))
            break;
        descriptors += used;
        s->tx.pending += used > 0;
        if (used == 0)
            pb_port_count(port, reason, 1);
    }
    s->tx.refused = done < tx->count;
    submit(port, s, &descriptors);
    return done;
}

static bool has_room(const struct xdp_port *s)
{
    const struct xdp_queue *queue = s->queues[0];
    uint32_t most = queue->tx_max < XDP_SEGMENTS_MAX ? queue->tx_max : XDP_SEGMENTS_MAX; /* of a packet */
    return queue->outstanding + most <= queue->tx_max && queue->umem->free_count >= most;
}

bool pb_xdp_tx_wait(struct pb_port *port, struct xdp_port *s, struct pb_wait *wait)
{
    pb_xdp_tx_kick(port, s);
    pb_xdp_umem_reap(s->queues[0]->umem);
    bool refused = s->tx.refused, waits = refused || s->tx.pending > 0;
    *wait = (struct pb_wait){.fd = -1, .timeout_ns = waits ? s->tx.retry_ns : -1};
    if (waits && s->tx.retry_ns < RETRY_NS_MAX)
        s->tx.retry_ns *= 2;
    return !(refused && has_room(s));
}

/* The MTU may change at any time. */
static void set_frame_max(struct xdp_port *s)
{
    uint32_t most = s->queues[0]->umem->multi_buffer ? PB_FRAME_BYTES_LIVE_MAX : XDP_CHUNK_BYTES - PB_VLAN_TAG_BYTES;
    s->tx.frame_max = s->mtu + ETH_HLEN < most ? s->mtu + ETH_HLEN : most;
}

void pb_xdp_tx_count(struct pb_port *port, struct xdp_port *s)
{
    struct xdp_queue *queue = s->queues[0];
    struct xdp_statistics now;
    socklen_t bytes = sizeof(now);
    set_frame_max(s);
    memset(&now, 0, sizeof(now));
    if (getsockopt(queue->fd, SOL_XDP, XDP_STATISTICS, &now, &bytes) < 0)
        return;
    pb_port_count(port, PB_XDP_TX_INVALID_DESCS, now.tx_invalid_descs - queue->statistics.tx_invalid_descs);
    queue->statistics.tx_invalid_descs = now.tx_invalid_descs;
}

void pb_xdp_tx_open(struct xdp_port *s)
{
    s->tx = (struct xdp_tx){.retry_ns = RETRY_NS_MIN};
    set_frame_max(s);
}

void pb_xdp_tx_close(struct pb_port *port, struct xdp_port *s)
{
    for (int i = 0; i < DRAIN_MS && s->tx.pending > 0 && !s->interface.down; i++) {
        pb_xdp_tx_kick(port, s);
        if (s->tx.pending > 0)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    abandon(port, s, s->interface.down ? PB_XDP_TX_ERROR : PB_XDP_TX_FULL);
}
