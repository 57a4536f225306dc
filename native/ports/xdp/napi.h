/*
 * napi.h - where and when the kernel's half of receiving runs for a veth.
 *
 * What is sent into a veth is worked on by the processor of the sender, packet by packet:
 * for XDP most of the work, and what bounds the rate. Here the kernel is told to wait a
 * little and do many at once, or to leave it to a thread. That is a setting of the queue's
 * NAPI context, which a veth has only while an XDP program is attached, so that it goes
 * with the program; but with GRO switched on a veth keeps it, and then it is put back.
 *
 * Opened and closed on the control thread, kept by the engine thread.
 * Sources: Documentation/netlink/specs/netdev.yaml, Documentation/networking/napi.rst,
 * drivers/net/veth.c.
 */
#ifndef PB_XDP_NAPI_H
#define PB_XDP_NAPI_H

#include <stdint.h>

#include "queue.h"

/* How often a deferred NAPI context works. A veth holds 256 packets meanwhile: 4 million a second. */
#define XDP_NAPI_DEFER_NS 64000

enum xdp_napi_way {
    XDP_NAPI_UNTOUCHED,
    XDP_NAPI_DEFERRED, /* every XDP_NAPI_DEFER_NS while packets come; the first after a while at once. Linux 6.13 */
    XDP_NAPI_THREADED, /* in a kernel thread. Linux 6.17 */
};

/* As the kernel has them. */
struct xdp_napi_settings {
    uint32_t defer_hard_irqs;
    uint64_t gro_flush_timeout_ns;
    uint32_t threaded;
};

/* The NAPI context of one queue. */
struct xdp_napi {
    uint32_t id; /* looked at last; 0: none */
    bool changed;
    struct xdp_napi_settings before;
};

/* Those of an input's queues. */
struct xdp_napis {
    enum xdp_napi_way way;
    int index;       /* the interface's */
    uint16_t family; /* of the kernel's netlink interface */
    uint32_t count;
    struct xdp_napi *list;
    struct xdp_contexts *contexts; /* napi.c's */
};

/* Set the queues' contexts. 0 or -errno: where that fails they are as they were, and there is nothing to close. */
int pb_xdp_napi_open(struct xdp_napis *napis, enum xdp_napi_way way, struct xdp_queue *const *queues, uint32_t count);
/* The interface may have got new ones: it was set down and up. Takes a few system calls. */
void pb_xdp_napi_keep(struct xdp_napis *napis, struct xdp_queue *const *queues);
/* Put back what is still there. */
void pb_xdp_napi_close(struct xdp_napis *napis);

#endif
