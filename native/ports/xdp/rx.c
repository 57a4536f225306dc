/*
 * rx.c - receiving: packets are lent where the kernel has put them, in the UMEM.
 *
 * A frame of one chunk is lent in place. A longer one comes as several chunks, and is
 * copied together. The kernel gives no time of arrival: a batch has the time at which it is
 * fetched. Engine thread but for open and close.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../core/clock.h"
#include "../../core/reserve.h"
#include "xdp_port.h"

#define LOOK_NS 100000000  /* an interface that goes down or away wakes nobody: look after this */
#define ENOUGH_PACKETS 64  /* are worth a batch */
#define STARVED_NS 1000000 /* all buffers are being sent: look for one after this */

static const struct xdp_desc *descriptor(const struct xdp_queue *queue, uint32_t at)
{
    return xsk_ring_cons__rx_desc(&queue->rx, at);
}

/* How many descriptors the packet at `at` has; 0: its end is not among the `count` there. */
static uint32_t segments_of(const struct xdp_queue *queue, uint32_t at, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!(descriptor(queue, at + i)->options & XDP_PKT_CONTD))
            return i + 1;
    return 0;
}

/* Copy the pieces of a packet together, and let go of their chunks. */
static void join(struct xdp_rx *rx, struct xdp_queue *queue, uint32_t at, uint32_t segments, struct pb_packet *packet,
                 uint64_t time_ns)
{
    uint8_t *to = rx->joined + rx->joined_used;
    uint32_t captured = 0, wire = 0;
    for (uint32_t i = 0; i < segments; i++) {
        const struct xdp_desc *piece = descriptor(queue, at + i);
        if (i < XDP_SEGMENTS_MAX) {
            memcpy(to + captured, queue->umem->memory + piece->addr, piece->len);
            captured += piece->len;
        }
        wire += piece->len;
        xdp_chunk_drop(queue->umem, (uint32_t)(piece->addr >> XDP_CHUNK_SHIFT));
    }
    rx->joined_used += (captured + 63) & ~63u;
    pb_packet_init(packet, to, captured, wire, time_ns, PB_LINK_ETHERNET);
}

/* Take up to packets_max packets of a queue. All that is there is looked at, so that a packet is whole however
 * small the batch. */
static uint32_t receive(struct xdp_rx *rx, struct xdp_queue *queue, struct pb_packet *packets, uint32_t packets_max,
                        uint64_t time_ns)
{
    uint32_t at, used = 0, received = 0, count = xsk_ring_cons__peek(&queue->rx, queue->ring, &at);
    const uint8_t *memory = queue->umem->memory;
    while (used < count && received < packets_max) {
        const struct xdp_desc *one = descriptor(queue, at + used);
        if (!(one->options & XDP_PKT_CONTD)) {
            pb_packet_init(&packets[received++], memory + one->addr, one->len, one->len, time_ns, PB_LINK_ETHERNET);
            rx->chunks[rx->lent++] = (uint32_t)(one->addr >> XDP_CHUNK_SHIFT);
            used++;
            continue;
        }
        uint32_t segments = segments_of(queue, at + used, count - used);
        if (segments == 0)
            break;
        join(rx, queue, at + used, segments, &packets[received++], time_ns);
        used += segments;
    }
    if (used < count)
        xsk_ring_cons__cancel(&queue->rx, count - used);
    if (used > 0)
        xsk_ring_cons__release(&queue->rx, used);
    queue->filled -= used;
    return received;
}

/* Descriptors on the rings. The library's own function does not look again while it knows of some. */
static uint32_t available(const struct xdp_port *s)
{
    uint32_t descriptors = 0;
    for (uint32_t i = 0; i < s->count; i++)
        descriptors += __atomic_load_n(s->queues[i]->rx.producer, __ATOMIC_ACQUIRE) - s->queues[i]->rx.cached_cons;
    return descriptors;
}

/* Packets that come one by one would cost a turn of the engine each: at most so often are a few fetched. The first ones
 * after a while, and many, are never kept waiting. */
static bool is_too_soon(const struct xdp_rx *rx, uint32_t packets, uint64_t time_ns)
{
    return packets < ENOUGH_PACKETS && time_ns - rx->fetched_ns < rx->coalesce_ns;
}

uint32_t pb_xdp_rx_batch(struct pb_port *port, struct pb_packet *packets, uint32_t packets_max)
{
    struct xdp_port *s = port->state;
    struct xdp_rx *rx = &s->rx;
    uint32_t received = 0, waiting = available(s);
    if (waiting == 0)
        return 0;
    uint64_t time_ns = pb_clock_wall_ns(), bytes = 0;
    if (is_too_soon(rx, waiting, time_ns))
        return 0;
    for (uint32_t i = 0; i < s->count && received < packets_max; i++) {
        struct xdp_queue *queue = s->queues[rx->turn];
        rx->turn = rx->turn + 1 < s->count ? rx->turn + 1 : 0;
        received += receive(rx, queue, packets + received, packets_max - received, time_ns);
    }
    rx->fetched_ns = received < packets_max ? time_ns : 0; /* what a full batch left behind has waited already */
    for (uint32_t i = 0; i < received; i++)
        bytes += packets[i].wire_len;
    if (received > 0)
        pb_port_received(port, received, bytes);
    if (s->interface.down && received > 0)
        pb_xdp_look(port, s); /* a sign that it is up again */
    return received;
}

static void refill(const struct xdp_port *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        pb_xdp_queue_refill(s->queues[i]);
}

void pb_xdp_rx_release(struct pb_port *port)
{
    struct xdp_port *s = port->state;
    struct xdp_umem *umem = s->queues[0]->umem;
    for (uint32_t i = 0; i < s->rx.lent; i++)
        xdp_chunk_drop(umem, s->rx.chunks[i]);
    s->rx.lent = 0;
    s->rx.joined_used = 0;
    refill(s);
}

/* Soon after packets were fetched the next ones are left until it is time, whether the first of them is there or not:
 * it would only wake us to go on waiting, half of all turns at 100,000 packets/s. After a while without any, the next
 * one wakes us. */
bool pb_xdp_rx_wait(struct pb_port *port, struct xdp_port *s, struct pb_wait *wait)
{
    uint32_t waiting = available(s);
    uint64_t time_ns = pb_clock_wall_ns();
    if (waiting > 0 && !is_too_soon(&s->rx, waiting, time_ns))
        return false;
    refill(s);
    bool may_come = waiting > 0 || !s->interface.gone;
    if (may_come && is_too_soon(&s->rx, waiting, time_ns)) {
        *wait = (struct pb_wait){.fd = -1, .timeout_ns = (int64_t)(s->rx.coalesce_ns - (time_ns - s->rx.fetched_ns))};
        return true;
    }
    if (time_ns - s->rx.looked_ns >= LOOK_NS) {
        s->rx.looked_ns = time_ns;
        pb_xdp_look(port, s);
    }
    *wait = (struct pb_wait){.fd = s->rx.epoll_fd >= 0 ? s->rx.epoll_fd : s->queues[0]->fd,
                             .events = POLLIN,
                             .timeout_ns = LOOK_NS};
    if (s->interface.gone)
        *wait = (struct pb_wait){.fd = -1, .timeout_ns = -1};
    for (uint32_t i = 0; i < s->count && !s->interface.gone; i++) {
        struct xdp_queue *queue = s->queues[i];
        if (queue->filled == 0)
            wait->timeout_ns = STARVED_NS;
        if (xsk_ring_prod__needs_wakeup(&queue->fill))
            (void)recvfrom(queue->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
    }
    return true;
}

/* What the kernel has counted since. */
static void count_statistics(struct pb_port *port, struct xdp_queue *queue)
{
    struct xdp_statistics now, *before = &queue->statistics;
    socklen_t bytes = sizeof(now);
    memset(&now, 0, sizeof(now));
    if (getsockopt(queue->fd, SOL_XDP, XDP_STATISTICS, &now, &bytes) < 0)
        return;
    pb_port_count(port, PB_XDP_KERNEL_DROPS, now.rx_dropped - before->rx_dropped);
    pb_port_count(port, PB_XDP_RX_RING_FULL, now.rx_ring_full - before->rx_ring_full);
    pb_port_count(port, PB_XDP_FILL_RING_EMPTY, now.rx_fill_ring_empty_descs - before->rx_fill_ring_empty_descs);
    pb_port_count(port, PB_XDP_RX_INVALID_DESCS, now.rx_invalid_descs - before->rx_invalid_descs);
    now.tx_invalid_descs = before->tx_invalid_descs; /* the output's to count */
    *before = now;
}

void pb_xdp_rx_count(struct pb_port *port, struct xdp_port *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        count_statistics(port, s->queues[i]);
}

/* ------------------------------------------------------------------- open, close */

static int open_epoll(struct xdp_port *s)
{
    s->rx.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (s->rx.epoll_fd < 0)
        return -errno;
    for (uint32_t i = 0; i < s->count; i++) {
        struct epoll_event event = {.events = EPOLLIN};
        if (epoll_ctl(s->rx.epoll_fd, EPOLL_CTL_ADD, s->queues[i]->fd, &event) < 0)
            return -errno;
    }
    return 0;
}

int pb_xdp_rx_open(struct pb_port *port, struct xdp_port *s, struct pb_error *error)
{
    s->rx.chunks = calloc(port->batch_packets, sizeof(*s->rx.chunks));
    if (s->rx.chunks == NULL)
        return pb_port_no_memory(port, error);
    if (s->queues[0]->umem->multi_buffer) {
        s->rx.joined_bytes = (size_t)port->batch_packets * XDP_SEGMENTS_MAX * XDP_CHUNK_BYTES;
        s->rx.joined = pb_reserve(s->rx.joined_bytes);
        if (s->rx.joined == NULL)
            return pb_port_fail_errno(port, error, errno, "use a smaller batch, or raise the limit (ulimit -v)",
                                      "no %zu MiB of address space for long frames", s->rx.joined_bytes >> 20);
    }
    int result = s->count > 1 ? open_epoll(s) : 0;
    return result == 0 ? 0 : pb_port_fail_errno(port, error, -result, "read fewer queues (?queue=)",
                                                "cannot wait for %u queues", s->count);
}

void pb_xdp_rx_close(struct xdp_port *s)
{
    if (s->rx.epoll_fd >= 0)
        close(s->rx.epoll_fd);
    pb_unreserve(s->rx.joined, s->rx.joined_bytes);
    free(s->rx.chunks);
    s->rx = (struct xdp_rx){.epoll_fd = -1};
}
