/*
 * device.h - registrations with /dev/netmap, and the memory they share with the kernel.
 *
 * A device is one registration of an interface, a pipe's end or a VALE port. An input and an
 * output of the same name in one engine are two ports of one device. Memory is mapped
 * once for each engine and memory id: a mapping keeps the file it was made with open, so one
 * shared by engines would keep an interface registered whose engine was stopped. For the same
 * reason all devices of a memory are closed together, with the last of their ports: then no
 * extra buffer is in use any more, and each gives back as many as it got.
 *
 * The control thread opens and closes; in between all of it is the engine thread's. Nothing
 * that stands in the shared memory is believed: rings are kept here as they were checked.
 */
#ifndef PB_NETMAP_DEVICE_H
#define PB_NETMAP_DEVICE_H

#include "../interface.h"
#include "abi.h"
#include "pool.h"

/* The driver's own counters, in the order of pb_netmap_counters. */
enum pb_netmap_counter {
    PB_NETMAP_RX_INVALID,
    PB_NETMAP_SWAPPED,
    PB_NETMAP_TX_FULL,
    PB_NETMAP_TAKEN_BACK,
    PB_NETMAP_TX_ERROR,
    PB_NETMAP_TOO_LONG,
    PB_NETMAP_TOO_SHORT,
    PB_NETMAP_TRUNCATED,
    PB_NETMAP_LINK_TYPE,
    PB_NETMAP_COUNTERS
};

/* A mapped memory. */
struct pb_netmap_memory {
    struct pb_netmap_memory *next;
    int engine;
    uint16_t id;
    uint32_t devices; /* that are open */
    uint32_t ports;   /* of these devices */
    uint8_t *base;
    uint64_t bytes;
    struct pb_netmap_pool pool; /* and where its buffers are */
};

/* A ring that is bound, with those of its words that must not change. */
struct pb_netmap_ring {
    struct netmap_ring *shared;
    uint32_t slots;
    uint32_t head; /* the next slot of ours */
    uint32_t tail; /* slots from head up to this one are ours, as last looked at */
    bool damaged;  /* reported; what stands in it cannot be */
};

struct pb_netmap_device {
    struct pb_netmap_device *next;
    int engine;
    char *name;
    int32_t queue; /* -1: all */
    bool has_port[2]; /* by role */
    int fd;
    struct netmap_if *shared;
    struct pb_netmap_memory *memory;
    struct pb_netmap_ring *rings[2]; /* by role: rx for an input, tx for an output */
    uint32_t rings_count[2];
    uint32_t extras; /* buffers of the pool that came with it */

    struct pb_interface interface; /* under it; a pipe or a VALE port has none: its index is 0, its fd -1 */
    uint32_t frame_max;            /* bytes of an untagged frame that can be sent */
};

/* Is there a /dev/netmap that may be opened? 0, or -errno with text. */
int pb_netmap_probe(struct pb_error *error);

/* Register for the port's role, or join the engine's device of that name. NULL, with text. */
struct pb_netmap_device *pb_netmap_device_open(struct pb_port *port, struct pb_error *error);
/* One port less; with the last one of the memory all devices there are closed. */
void pb_netmap_device_close(struct pb_netmap_device *device, enum pb_port_role role);

/* Have the kernel look at the rings of one direction, ours and its own. False: it refuses, and the interface is gone. */
bool pb_netmap_sync(struct pb_port *port, struct pb_netmap_device *device);
/* Is the interface up, or gone, and how long may frames be? */
void pb_netmap_look(struct pb_port *port, struct pb_netmap_device *device);
/* The ring cannot be used any more. */
void pb_netmap_damaged(struct pb_port *port, struct pb_netmap_ring *ring);

/* Look how far the kernel has come since the last sync. */
static inline void pb_netmap_ring_look(struct pb_port *port, struct pb_netmap_ring *ring)
{
    uint32_t tail = __atomic_load_n(&ring->shared->tail, __ATOMIC_ACQUIRE);
    if (__builtin_expect(tail >= ring->slots, 0))
        pb_netmap_damaged(port, ring);
    else if (!ring->damaged)
        ring->tail = tail;
}

/* Tell the kernel, at the next sync, that the slots before head are its own. */
static inline void pb_netmap_ring_publish(struct pb_netmap_ring *ring)
{
    ring->shared->cur = ring->head;
    __atomic_store_n(&ring->shared->head, ring->head, __ATOMIC_RELEASE);
}

static inline uint32_t pb_netmap_ring_next(const struct pb_netmap_ring *ring, uint32_t slot)
{
    return slot + 1 == ring->slots ? 0 : slot + 1;
}

/* Slots that are ours. */
static inline uint32_t pb_netmap_ring_space(const struct pb_netmap_ring *ring)
{
    return ring->tail >= ring->head ? ring->tail - ring->head : ring->tail + ring->slots - ring->head;
}

#endif
