/*
 * packet.h - what the AF_PACKET code offers to the drivers built on it.
 *
 * The drivers "packet" and "veth" carry traffic with the same functions; they
 * differ in where the interface comes from. A driver keeps a struct
 * pb_packet_socket at the start of its port->state and puts these functions and
 * tables into its own. Threads and ownership: as port.h says.
 */
#ifndef PB_PACKET_H
#define PB_PACKET_H

#include <linux/if_packet.h>

#include "interface.h"

/* The drivers' own counters, in the order of pb_packet_counters. */
enum pb_packet_counter {
    PB_PACKET_KERNEL_DROPS,
    PB_PACKET_RX_INVALID,
    PB_PACKET_TX_FULL,
    PB_PACKET_TX_ERROR,
    PB_PACKET_TOO_LONG,
    PB_PACKET_TOO_SHORT,
    PB_PACKET_TRUNCATED,
    PB_PACKET_LINK_TYPE,
    PB_PACKET_COUNTERS
};
extern const struct pb_counter_desc pb_packet_counters[PB_PACKET_COUNTERS];

/* Rows for a driver's table of options: pb_packet_open() reads them. */
#define PB_PACKET_OPTIONS                                                                                              \
    {"ring_mb", PB_OPTION_INTEGER, "16", 1, 1024, "size of the receive ring, in MiB"},                                 \
        {"promiscuous", PB_OPTION_BOOLEAN, "1", 0, 1, "receive frames for other hosts too"},                           \
    {                                                                                                                  \
        "outgoing", PB_OPTION_BOOLEAN, "0", 0, 1, "receive what this host sends on the interface, too"                 \
    }

struct pb_packet_group; /* packet/rx.c */

/* Receiving: the ring's blocks are walked in order; the kernel owns a block
 * from the time we write its status until it writes it. */
struct pb_packet_rx {
    uint32_t blocks;      /* in the ring */
    uint32_t block;       /* being walked, or the next one to look at */
    uint32_t left;        /* packets of it not handed out yet; 0: none is being walked */
    uint32_t offset;      /* in it, of the next packet */
    uint32_t limit;       /* bytes of it that hold packets */
    uint32_t walked;      /* blocks before `block` whose packets are lent out until rx_release() */
    bool has_nic_hash;    /* the card computes receive hashes, and the kernel hands them over */
    uint32_t lingers;     /* short sleeps left in which the last block of a removed interface may come */
    struct pb_packet_group *group; /* of the engines that share the interface; NULL: none */
};

/* Sending: the slots [head, head + pending) wait for the kernel to take them,
 * those behind them are being sent or free. */
struct pb_packet_tx {
    uint32_t slots;       /* in the ring */
    uint32_t block_slots; /* in a block: a slot never crosses one */
    uint32_t slot_bytes;
    uint32_t head;
    uint32_t pending;
    uint32_t frame_max;   /* bytes of an untagged frame the interface takes */
    bool refused;         /* tx_batch() stopped: the ring was full */
    bool stalled;         /* the device took nothing at the last kick */
    int64_t retry_ns;     /* how long to sleep until the next, while it is stalled */
};

struct pb_packet_socket {
    struct pb_interface interface; /* its descriptor is the packet socket; -1: closed */
    uint16_t link_type;
    uint8_t *ring;        /* mapped; NULL: not */
    size_t ring_bytes;
    union {
        struct pb_packet_rx rx;
        struct pb_packet_tx tx;
    };
};

/* Open `interface` for the port's role. `s` is zeroed, or was closed before. 0, or
 * -errno with text, and nothing is left open. */
int pb_packet_open(struct pb_port *port, struct pb_packet_socket *s, const char *interface, struct pb_error *error);

/* Functions for a driver's table; they find the socket at port->state. */
uint32_t pb_packet_rx_batch(struct pb_port *port, struct pb_packet *packets, uint32_t packets_max);
void pb_packet_rx_release(struct pb_port *port);
uint32_t pb_packet_tx_batch(struct pb_port *port, const struct pb_tx *tx);
bool pb_packet_wait(struct pb_port *port, struct pb_wait *wait);
void pb_packet_tick(struct pb_port *port);
void pb_packet_flush(struct pb_port *port);
/* Sends what waits, for a bounded time, and gives everything back but port->state. */
void pb_packet_close(struct pb_port *port);

#endif
