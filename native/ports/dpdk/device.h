/*
 * device.h - a device of DPDK, which several ports may share: an input and an output,
 * and inputs of several engines, a receive queue each. It is found or made when the
 * first port of it opens, runs while one is open, and is removed with the last.
 *
 * Control thread, but for what pb_device_look() and the ports' threads read: the fields
 * below `shared`.
 */
#ifndef PB_DPDK_DEVICE_H
#define PB_DPDK_DEVICE_H

#include <pthread.h>

#include <rte_ethdev.h>
#include <rte_spinlock.h>

#include "../dpdk.h"
#include "../port.h"

#define DEVICE_NAME_BYTES RTE_DEV_NAME_MAX_LEN

/* What a port asks of its device. */
struct pb_device_wish {
    char arguments[PB_PORT_NAME_MAX + 1]; /* DPDK's: "NAME,key=value,..." */
    uint32_t queues;       /* 0: as many as there are */
    uint32_t mtu;          /* 0: the device's */
    uint32_t mbufs;        /* at least so many buffers; 0: as many as its queues need */
    uint32_t mbuf_bytes;   /* at least; 0: as the others say */
    bool promiscuous;
};

/* What the ports that are open have asked for: of each the most; 0: nothing. */
struct pb_device_asked {
    uint32_t mtu, mbufs, mbuf_bytes;
    bool promiscuous; /* an input */
};

/* A send queue: ports of different engines that share one take turns. One can come while others run, so the lock is
 * always taken: for a chunk of packets at a time, that costs nothing. */
struct pb_device_tx {
    rte_spinlock_t lock;
    uint32_t users;
} __rte_cache_aligned;

struct pb_device {
    struct pb_device *next;
    char name[DEVICE_NAME_BYTES]; /* as DPDK knows it */
    char *arguments;
    struct pb_device_asked asked;
    uint16_t id;      /* DPDK's "port id" */
    uint16_t queues;  /* configured, each way */
    uint16_t mtu;
    uint32_t frame_max;     /* bytes of an untagged frame to send */
    uint32_t segment_bytes; /* of a packet in one buffer */
    bool segments;    /* it sends packets of several buffers */
    bool is_memif;
    bool connects;    /* a client of memif, which DPDK connects once, when it starts: if its server comes later, or */
                      /* again, we do */
    bool lends;       /* such a client that lends its buffers to its server */
    bool copies;      /* its send function has copied packets when it returns: it looks at them no more */
    bool swallows;    /* its send function frees buffers although it says that it did not take them */
    bool stores;      /* what was sent stays in it until somebody receives it */
    int if_index;     /* the kernel's interface that it uses; 0: none */
    char interface[16];
    int membership_fd; /* holds that one promiscuous; -1: nothing does */
    struct rte_mempool *pool;
    uint32_t holders; /* ports, from their first open() to destroy() */
    bool detached;    /* gone, and DPDK has it no more: it is in no list, its holders let go of it */
    bool running;     /* counted in setup.c */
    uint32_t users;   /* ports that are open */
    const struct pb_port *readers[PB_DPDK_QUEUES_MAX]; /* by receive queue; NULL: none */
    const struct pb_port *counting; /* the input that counts what the whole device lost; NULL: none is open */

    /* shared: */
    struct pb_device_tx tx[PB_DPDK_QUEUES_MAX];
    pthread_mutex_t lock;  /* of statistics, and of the list of open ports */
    struct pb_port *open[2 * PB_DPDK_QUEUES_MAX];
    uint32_t open_count;
    _Atomic bool gone;     /* unplugged */
    _Atomic bool started;
    _Atomic int64_t tried_ns; /* a client of memif: when it tried last, or was seen without its server; 0: it has it, */
    _Atomic int64_t patience_ns; /* ... and how long until it tries again */
};

/* The device of `wish`, for one more port; NULL, with text. */
struct pb_device *pb_device_hold(const struct pb_port *port, const struct pb_device_wish *wish, struct pb_error *error);
/* That port needs it no more. */
void pb_device_drop(struct pb_device *device);

/* For a port that opens: configure and start it, or check that it is as the port wants it. 0, or -errno with text. */
int pb_device_open(struct pb_device *device, struct pb_port *port, const struct pb_device_wish *wish, struct pb_error *error);
/* Of an open port: give an input the receive queue `queue`, -1: all. 0, or -errno with text. */
int pb_device_claim(struct pb_device *device, const struct pb_port *port, int32_t queue, struct pb_error *error);
void pb_device_close(struct pb_device *device, struct pb_port *port);

/* Whether it has a link: nothing is sent without one. A client of memif that has none tries to connect. Any thread. */
bool pb_device_has_link(struct pb_device *device);
/* A client of memif has just been started: how long its server has for an answer. The thread that started it. */
void pb_device_await_answer(struct pb_device *device);

/* memif.c: DPDK's arguments for a port of the driver "memif". 0, or -errno with text. */
int pb_memif_wish(const struct pb_port *port, struct pb_device_wish *wish, struct pb_error *error);
/* Whether the arguments are a client's of memif. */
bool pb_memif_is_client(const char *arguments);
/* Whether the arguments are a server's of memif, and somebody listens at its socket file. */
bool pb_memif_is_served(const char *arguments);
/* Where the arguments are a server's of memif that makes a socket file: remove the one that a killed process
 * has left, which nobody listens at. */
void pb_memif_clear(const char *arguments);

#endif
