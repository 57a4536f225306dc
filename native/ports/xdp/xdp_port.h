/*
 * xdp_port.h - the state of an xdp port, and what port.c, rx.c and tx.c of the module
 * offer each other. Threads: as ports/port.h says.
 */
#ifndef PB_XDP_PORT_H
#define PB_XDP_PORT_H

#include "../interface.h"
#include "../xdp.h"
#include "napi.h"
#include "program.h"

struct xdp_rx {
    uint32_t turn; /* the queue to look at first */
    uint64_t fetched_ns;  /* when packets were fetched last */
    uint64_t looked_ns;   /* when the interface was looked at before a sleep */
    uint32_t looks;       /* how often it was looked at */
    uint64_t coalesce_ns; /* how long after that a few are left to wait */
    uint32_t lent; /* chunks of the packets in the engine's hands */
    uint32_t *chunks;
    uint8_t *joined; /* address space for a batch of frames that came in several chunks; NULL: none can */
    size_t joined_bytes;
    size_t joined_used; /* by the frames in the engine's hands */
    int epoll_fd;       /* to sleep on several queues; -1: there is one */
    struct xdp_program *program;
    struct xdp_napis napis;
};

struct xdp_tx {
    uint32_t frame_max; /* bytes of an untagged frame the interface takes */
    uint32_t pending;   /* packets on the ring that the kernel has not taken */
    uint32_t part_bytes; /* of a packet that the kernel, in zero-copy mode, has taken the first descriptors of */
    bool refused;       /* tx_batch() stopped: there was no room */
    bool stalled;       /* the kernel took nothing at the last kick */
    int64_t retry_ns;   /* how long to sleep until the next, while it is stalled */
};

struct xdp_port {
    struct pb_interface interface; /* its socket holds the promiscuous membership */
    uint32_t mtu;
    struct xdp_queue **queues; /* an output has one */
    uint32_t count;
    union {
        struct xdp_rx rx;
        struct xdp_tx tx;
    };
};

/* port.c: has the interface been set down, has it gone, is it back? Takes a few system calls. */
void pb_xdp_look(struct pb_port *port, struct xdp_port *s);

/* rx.c */
int pb_xdp_rx_open(struct pb_port *port, struct xdp_port *s, struct pb_error *error);
void pb_xdp_rx_close(struct xdp_port *s);
uint32_t pb_xdp_rx_batch(struct pb_port *port, struct pb_packet *packets, uint32_t packets_max);
void pb_xdp_rx_release(struct pb_port *port);
bool pb_xdp_rx_wait(struct pb_port *port, struct xdp_port *s, struct pb_wait *wait);
/* Fetch what the kernel has counted. */
void pb_xdp_rx_count(struct pb_port *port, struct xdp_port *s);

/* tx.c */
void pb_xdp_tx_open(struct xdp_port *s);
/* Send what waits, for a bounded time. */
void pb_xdp_tx_close(struct pb_port *port, struct xdp_port *s);
uint32_t pb_xdp_tx_batch(struct pb_port *port, const struct pb_tx *tx);
bool pb_xdp_tx_wait(struct pb_port *port, struct xdp_port *s, struct pb_wait *wait);
/* Fetch what the kernel has counted, and heed a new MTU. */
void pb_xdp_tx_count(struct pb_port *port, struct xdp_port *s);
void pb_xdp_tx_kick(struct pb_port *port, struct xdp_port *s);

#endif
