/*
 * queue.h - one queue of an interface: an AF_XDP socket with its four rings.
 *
 * An input and an output on the same queue of the same engine share it. Opened
 * and closed on the control thread, the rest runs on the engine thread.
 */
#ifndef PB_XDP_QUEUE_H
#define PB_XDP_QUEUE_H

#include <linux/if_xdp.h>

#include "umem.h"

/* Frames of several chunks, Linux 6.6 (include/uapi/linux/if_xdp.h), where the headers are older. */
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)
#endif
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0) /* of a descriptor: the packet goes on in the next one */
#endif

#define XDP_SEGMENTS_MAX 18 /* chunks of a packet: its head and the kernel's MAX_SKB_FRAGS */

/* How a queue is asked for. */
enum xdp_mode { XDP_MODE_AUTO, XDP_MODE_ZEROCOPY, XDP_MODE_COPY };
struct xdp_request {
    const char *interface;
    int index;
    uint32_t queue;
    uint32_t frame_max; /* bytes of the longest frame that the interface takes */
    enum xdp_mode mode;
    uint32_t ring;
    size_t umem_bytes;
};

struct xdp_queue {
    struct xdp_umem *umem;
    struct xdp_queue *next; /* of the UMEM */
    int index;              /* the interface's */
    uint32_t id;
    struct xsk_socket *socket;
    int fd;
    struct pb_port *input, *output; /* who uses it; NULL: nobody */
    uint32_t ring;
    struct xdp_statistics statistics; /* counted already */

    struct xsk_ring_cons rx;
    struct xsk_ring_prod fill;
    uint32_t filled;   /* chunks that the kernel has to receive into */
    uint32_t fill_max; /* ... at the most */

    struct xsk_ring_prod tx;
    struct xsk_ring_cons completion;
    uint32_t tx_budget;   /* packets that the kernel sends in one call, in copy mode */
    uint32_t tx_put;      /* our position in the ring, */
    uint32_t tx_seen;     /* and the kernel's, up to which we have counted */
    uint32_t outstanding; /* chunks put on the ring and not completed */
    uint32_t tx_max;      /* ... at the most */
};

/* The queue for a port, the engine's or a new one. 0, or -errno with text: -EBUSY where somebody else has it. */
int pb_xdp_queue_open(struct pb_port *port, const struct xdp_request *request, struct xdp_queue **queue,
                      struct pb_error *error);
/* The port does not use it any more; with the last one it is closed. */
void pb_xdp_queue_close(struct pb_port *port, struct xdp_queue *queue);

/* Give the kernel chunks to receive into. */
void pb_xdp_queue_refill(struct xdp_queue *queue);
/* Take back the chunks of what was sent. */
void pb_xdp_queue_reap(struct xdp_queue *queue);
/* The same for all queues of a UMEM. */
void pb_xdp_umem_reap(struct xdp_umem *umem);

#endif
