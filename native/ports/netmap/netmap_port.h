/*
 * netmap_port.h - what netmap.c, rx.c and tx.c share: the state of a port, by role.
 *
 * Nobody else includes this. Threads and ownership: as port.h says.
 */
#ifndef PB_NETMAP_PORT_H
#define PB_NETMAP_PORT_H

#include "device.h"

/* Where a packet of the last batch is. */
struct pb_netmap_place {
    struct netmap_slot *slot;
    uint32_t ring; /* among the device's receive rings */
};

/* An input. The slots of a batch stay ours until rx_release(): an output of the same
 * memory may put other buffers into them. */
struct pb_netmap_rx {
    struct pb_netmap_device *device;
    uint32_t first;        /* the ring to look at first, each in turn */
    int64_t looked_ns;     /* when the interface's state was */
    struct pb_netmap_place *places; /* by index of the packet */
};

/* An output. */
struct pb_netmap_tx {
    struct pb_netmap_device *device;
    struct pb_netmap_queue queue; /* what waits in extra buffers; nothing goes past it */
    bool refused;                 /* tx_batch() stopped: the ring was full */
    uint64_t put_packets, put_bytes; /* in rings, not synced yet */
};

int pb_netmap_rx_open(struct pb_port *port, struct pb_netmap_device *device, struct pb_error *error);
uint32_t pb_netmap_rx_batch(struct pb_port *port, struct pb_packet *packets, uint32_t packets_max);
void pb_netmap_rx_release(struct pb_port *port);
bool pb_netmap_rx_wait(struct pb_port *port, struct pb_wait *wait);
bool pb_netmap_rx_undelivered(struct pb_port *port);
void pb_netmap_rx_close(struct pb_port *port);

int pb_netmap_tx_open(struct pb_port *port, struct pb_netmap_device *device, struct pb_error *error);
uint32_t pb_netmap_tx_batch(struct pb_port *port, const struct pb_tx *tx);
bool pb_netmap_tx_wait(struct pb_port *port, struct pb_wait *wait);
bool pb_netmap_tx_undelivered(struct pb_port *port);
/* Send what waits, as far as there is room. */
void pb_netmap_tx_drain(struct pb_port *port);
void pb_netmap_tx_close(struct pb_port *port);

#endif
