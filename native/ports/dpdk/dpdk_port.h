/*
 * dpdk_port.h - what port.c, rx.c, tx.c and watch.c of this folder share: a port of
 * the drivers "dpdk" and "memif". port.c makes it at the first open() and frees it in
 * destroy(), on the control thread; in between it is the engine thread's.
 */
#ifndef PB_DPDK_PORT_H
#define PB_DPDK_PORT_H

#include <rte_mbuf.h>

#include "device.h"

#define IDLE_NS_MIN 20000   /* how long to sleep when nothing came: nobody wakes a poller, */
#define IDLE_NS_MAX 1000000 /* and twice as long each time, up to this */

/* Receiving: the buffers of the last batch, by the index of their packets. */
struct pb_dpdk_rx {
    struct rte_mbuf **mbufs; /* NULL at an index: an output has taken it over */
    uint32_t count;
    uint32_t taken;      /* of them */
    bool plain;          /* all are of the device's pool, one segment each, and nobody else's */
    bool shared;         /* an output has counted references to some */
    uint16_t first_queue, queues;
    uint16_t next_queue; /* to begin with, of those */
    uint8_t *arena;      /* room for packets that are in several buffers, or in buffers that others see */
    size_t arena_used;
    int64_t idle_ns;     /* to sleep the next time that nothing came */
};

/* Sending. */
struct pb_dpdk_tx {
    uint16_t queue;
    struct pb_device_tx *turn; /* its lock */
    bool refused;        /* tx_batch() stopped: no room */
    int64_t retry_ns;
    struct rte_mbuf *views; /* buffers without memory of their own, to show a device that copies packets where they */
                            /* lie; NULL: it does not */
};

struct pb_dpdk_port {
    struct pb_device *device;
    uint16_t id;             /* the device's */
    bool down;               /* no link, as last seen */
    bool gone;               /* reported */
    bool registered;         /* this port's engine thread is known to DPDK */
    int64_t looked_ns;       /* when watch() looked */
    union {
        struct pb_dpdk_rx rx;
        struct pb_dpdk_tx tx;
    };
    /* watch.c: what the device itself counts, and what it had counted before. */
    struct rte_eth_stats before;
    struct rte_eth_xstat *xstats;
    struct pb_counter_desc *xstats_table;
    char (*xstats_names)[RTE_ETH_XSTATS_NAME_SIZE];
    uint32_t xstats_count;
};

/* rx.c */
uint32_t pb_dpdk_rx_batch(struct pb_port *port, struct pb_packet *packets, uint32_t packets_max);
void pb_dpdk_rx_release(struct pb_port *port);
bool pb_dpdk_rx_wait(struct pb_port *port, struct pb_wait *wait);
/* Take the memory that receiving needs. 0, or -errno with text. */
int pb_dpdk_rx_open(struct pb_port *port, struct pb_dpdk_port *s, struct pb_error *error);
/* Give it back. */
void pb_dpdk_rx_free(struct pb_port *port, struct pb_dpdk_port *s);

/* tx.c */
/* Take the memory that sending needs. 0, or -errno with text. */
int pb_dpdk_tx_open(struct pb_port *port, struct pb_dpdk_port *s, struct pb_error *error);
/* Give it back. */
void pb_dpdk_tx_free(struct pb_dpdk_port *s);
uint32_t pb_dpdk_tx_batch(struct pb_port *port, const struct pb_tx *tx);
bool pb_dpdk_tx_wait(struct pb_port *port, struct pb_wait *wait);

/* watch.c: the link, and counters. */
/* Of an open port: find the device's counters. 0, or -errno with text. */
int pb_dpdk_watch_open(struct pb_port *port, struct pb_dpdk_port *s, struct pb_error *error);
void pb_dpdk_watch_free(struct pb_port *port, struct pb_dpdk_port *s);
/* Look at the link now; report what the user has to mend. */
void pb_dpdk_watch(struct pb_port *port);
/* The same where the last look is a while ago. */
void pb_dpdk_watch_idle(struct pb_port *port);
/* Fetch what the device has counted; also look at the link. */
void pb_dpdk_tick(struct pb_port *port);

#endif
