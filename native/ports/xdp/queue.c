/* queue.c - see queue.h. */
#include "queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../../core/clock.h"
#include "../xdp.h"

#define FILL_FIRST 64      /* chunks that a queue gets when it is opened, before others may come */
#define BUSY_WAIT_MS 500   /* the kernel lets go of a closed socket's queue a little later */
#define TX_BUDGET 32       /* the kernel's own TX_BATCH_SIZE */
#define SEND_BYTES (64 << 20) /* what bounds the frames under way is the ring, not the send buffer */

/* Linux 6.17 (include/uapi/linux/if_xdp.h): how many packets one call sends. */
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif

/* ---------------------------------------------------------------------- chunks */

void pb_xdp_queue_refill(struct xdp_queue *queue)
{
    struct xdp_umem *umem = queue->umem;
    uint32_t at, count = queue->filled < queue->fill_max ? queue->fill_max - queue->filled : 0;
    if (count > umem->free_count)
        pb_xdp_umem_reap(umem);
    if (count > umem->free_count)
        count = umem->free_count;
    if (count == 0 || xsk_ring_prod__reserve(&queue->fill, count, &at) == 0)
        return;
    for (uint32_t i = 0; i < count; i++)
        *xsk_ring_prod__fill_addr(&queue->fill, at + i) = (uint64_t)xdp_chunk_take(umem) << XDP_CHUNK_SHIFT;
    xsk_ring_prod__submit(&queue->fill, count);
    queue->filled += count;
}

void pb_xdp_queue_reap(struct xdp_queue *queue)
{
    uint32_t at, count = xsk_ring_cons__peek(&queue->completion, queue->ring, &at);
    if (count == 0)
        return;
    for (uint32_t i = 0; i < count; i++)
        xdp_chunk_drop(queue->umem, (uint32_t)(*xsk_ring_cons__comp_addr(&queue->completion, at + i) >> XDP_CHUNK_SHIFT));
    xsk_ring_cons__release(&queue->completion, count);
    queue->outstanding -= count;
}

void pb_xdp_umem_reap(struct xdp_umem *umem)
{
    for (struct xdp_queue *queue = umem->queues; queue != NULL; queue = queue->next)
        pb_xdp_queue_reap(queue);
}

/* Half of the chunks are shared by those who receive, and a quarter by those who send; the rest
 * is for the batches under way, and a cushion. */
static void share_chunks(const struct xdp_umem *umem)
{
    uint32_t inputs = 0, outputs = 0;
    for (const struct xdp_queue *queue = umem->queues; queue != NULL; queue = queue->next) {
        inputs += queue->input != NULL;
        outputs += queue->output != NULL;
    }
    for (struct xdp_queue *queue = umem->queues; queue != NULL; queue = queue->next) {
        uint32_t fill = umem->chunks / 2 / (inputs > 0 ? inputs : 1), tx = umem->chunks / 4 / (outputs > 0 ? outputs : 1);
        queue->fill_max = queue->input == NULL ? 0 : fill < queue->ring ? fill : queue->ring;
        queue->tx_max = queue->output == NULL ? 0 : tx < queue->ring ? tx : queue->ring;
    }
}

/* -------------------------------------------------------------------- the socket */

/* Bind, and wait a little for a queue whose socket was closed just now. 0 or -errno. */
static int bind_queue(struct xdp_queue *queue, struct xsk_umem *umem, const char *interface, uint32_t ring, uint16_t flags)
{
    const struct xsk_socket_config config = {.rx_size = ring,
                                             .tx_size = ring,
                                             .libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
                                             .bind_flags = flags};
    int64_t end = pb_clock_steady_ms() + BUSY_WAIT_MS;
    for (;;) {
        int result = xsk_socket__create_shared(&queue->socket, interface, queue->id, umem, &queue->rx, &queue->tx,
                                               &queue->fill, &queue->completion, &config);
        if (result != -EBUSY || pb_clock_steady_ms() >= end)
            return result;
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
}

/* Whether the interface can be bound so, tried with a few chunks that are given back: 0 or -errno. */
static int try_bind(const struct xdp_request *request, uint16_t flags)
{
    const uint32_t chunks = 64;
    const struct xsk_umem_config config = {.fill_size = chunks, .comp_size = chunks, .frame_size = XDP_CHUNK_BYTES};
    struct xdp_queue queue = {.id = request->queue};
    struct xsk_umem *umem;
    size_t bytes = (size_t)chunks * XDP_CHUNK_BYTES;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return -errno;
    int result = xsk_umem__create(&umem, memory, bytes, &queue.fill, &queue.completion, &config);
    if (result == 0) {
        result = bind_queue(&queue, umem, request->interface, chunks, flags);
        if (result == 0)
            xsk_socket__delete(queue.socket);
        (void)xsk_umem__delete(umem);
    }
    munmap(memory, bytes);
    return result;
}

/* Flags with which the interface goes without the kernel's copies; 0: not at all, and nobody insists; -EBUSY: somebody
 * else has the queue; -errno: somebody insists. */
static int zerocopy_flags(const struct xdp_request *request)
{
    const int flags = XDP_ZEROCOPY | XDP_USE_NEED_WAKEUP;
    if (request->mode == XDP_MODE_COPY)
        return 0;
    int result = try_bind(request, (uint16_t)(flags | XDP_USE_SG));
    if (result == 0 || result == -EBUSY)
        return result < 0 ? result : flags | XDP_USE_SG;
    bool needed = request->mode == XDP_MODE_AUTO && request->frame_max > XDP_CHUNK_ROOM;
    if (!needed && (result = try_bind(request, (uint16_t)flags)) == 0)
        return flags;
    return request->mode == XDP_MODE_ZEROCOPY ? result : 0;
}

static int fail_bind(const struct pb_port *port, const struct xdp_request *request, const char *mode, int code,
                     struct pb_error *error)
{
    switch (code) {
    case EBUSY:
        return pb_port_fail(port, error, EBUSY, "queue %u of %s is in use by another program's or engine's AF_XDP socket; stop "
                            "that one, or use another queue (?queue=)", request->queue, request->interface);
    case EPERM:
    case EACCES:
        return pb_port_fail(port, error, code, "no permission for AF_XDP sockets; " PB_XDP_RIGHTS);
    case EOPNOTSUPP:
        return pb_port_fail(port, error, EOPNOTSUPP, "the driver of %s has no %s mode on queue %u; use ?mode=auto",
                            request->interface, mode, request->queue);
    default:
        return pb_port_fail_errno(port, error, code, "use Linux 5.10 or later", "cannot bind to queue %u of %s in %s mode",
                                  request->queue, request->interface, mode);
    }
}

/* The engine's first queue of this mode makes the UMEM. */
static int bind_first(const struct pb_port *port, const struct xdp_request *request, struct xdp_queue *queue, uint16_t flags,
                      struct pb_error *error)
{
    queue->umem = pb_xdp_umem_open(port, request->umem_bytes, request->ring, queue, error);
    if (queue->umem == NULL)
        return -error->code;
    int result = bind_queue(queue, queue->umem->umem, request->interface, request->ring, flags);
    if (result < 0) {
        pb_xdp_umem_close(queue->umem);
        return fail_bind(port, request, (flags & XDP_ZEROCOPY) != 0 ? "zerocopy" : "copy", -result, error);
    }
    queue->umem->zerocopy = (flags & XDP_ZEROCOPY) != 0;
    queue->umem->multi_buffer = (flags & XDP_USE_SG) != 0;
    return 0;
}

static int bind_any(const struct pb_port *port, const struct xdp_request *request, struct xdp_queue *queue,
                    struct pb_error *error)
{
    int flags = zerocopy_flags(request);
    if (flags < 0)
        return fail_bind(port, request, "zerocopy", -flags, error);
    queue->umem = pb_xdp_umem_find(port->engine_handle, flags != 0);
    if (queue->umem != NULL) {
        int result = bind_queue(queue, queue->umem->umem, request->interface, request->ring, 0);
        return result < 0 ? fail_bind(port, request, flags != 0 ? "zerocopy" : "copy", -result, error) : 0;
    }
    if (flags != 0)
        return bind_first(port, request, queue, (uint16_t)flags, error);
    /* A kernel that does not know the second flag refuses it. */
    const uint16_t copy = XDP_COPY | XDP_USE_NEED_WAKEUP;
    int result = bind_first(port, request, queue, copy | XDP_USE_SG, error);
    return result == -EINVAL ? bind_first(port, request, queue, copy, error) : result;
}

static void set_options(struct xdp_queue *queue)
{
    int budget = (int)queue->ring, bytes = SEND_BYTES;
    queue->tx_budget = TX_BUDGET;
    (void)fcntl(queue->fd, F_SETFD, FD_CLOEXEC); /* a program that we start would keep the queue */
    if (setsockopt(queue->fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof(budget)) == 0)
        queue->tx_budget = queue->ring;
    if (setsockopt(queue->fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
        (void)setsockopt(queue->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

/* ------------------------------------------------------------------- open, close */

static struct xdp_queue *find(const struct xdp_umem *umem, const struct xdp_request *request)
{
    struct xdp_queue *queue = umem == NULL ? NULL : umem->queues;
    while (queue != NULL && (queue->index != request->index || queue->id != request->queue))
        queue = queue->next;
    return queue;
}

static struct pb_port **user_of(struct xdp_queue *queue, const struct pb_port *port)
{
    return port->role == PB_PORT_INPUT ? &queue->input : &queue->output;
}

static int make(struct pb_port *port, const struct xdp_request *request, struct xdp_queue **made, struct pb_error *error)
{
    struct xdp_queue *queue = calloc(1, sizeof(*queue));
    if (queue == NULL)
        return pb_port_no_memory(port, error);
    queue->index = request->index;
    queue->id = request->queue;
    queue->ring = request->ring;
    int result = bind_any(port, request, queue, error);
    if (result < 0) {
        free(queue);
        return result;
    }
    queue->fd = xsk_socket__fd(queue->socket);
    set_options(queue);
    queue->next = queue->umem->queues;
    queue->umem->queues = queue;
    *made = queue;
    return 0;
}

int pb_xdp_queue_open(struct pb_port *port, const struct xdp_request *request, struct xdp_queue **opened,
                      struct pb_error *error)
{
    struct xdp_queue *queue = find(pb_xdp_umem_find(port->engine_handle, true), request);
    if (queue == NULL)
        queue = find(pb_xdp_umem_find(port->engine_handle, false), request);
    int result = queue == NULL ? make(port, request, &queue, error) : 0;
    if (result < 0)
        return result;
    struct pb_port **user = user_of(queue, port);
    if (*user != NULL)
        return pb_port_fail(port, error, EBUSY, "queue %u of %s has an %s of this engine already; use that one, or "
                            "another queue (?queue=)", request->queue, request->interface,
                            port->role == PB_PORT_INPUT ? "input" : "output");
    *user = port;
    share_chunks(queue->umem);
    if (port->role == PB_PORT_INPUT) {
        uint32_t most = queue->fill_max;
        queue->fill_max = most < FILL_FIRST ? most : FILL_FIRST;
        pb_xdp_queue_refill(queue);
        queue->fill_max = most;
    }
    *opened = queue;
    return 0;
}

void pb_xdp_queue_close(struct pb_port *port, struct xdp_queue *queue)
{
    struct xdp_umem *umem = queue->umem;
    *user_of(queue, port) = NULL;
    if (queue->input != NULL || queue->output != NULL)
        return;
    struct xdp_queue **at = &umem->queues;
    while (*at != queue)
        at = &(*at)->next;
    *at = queue->next;
    xsk_socket__delete(queue->socket);
    free(queue);
    if (umem->queues == NULL)
        pb_xdp_umem_close(umem);
}
