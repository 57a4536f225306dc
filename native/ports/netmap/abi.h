/*
 * abi.h - the interface of the netmap kernel module to programs, API 14: what
 * /dev/netmap takes and what its shared memory holds, on little-endian 64-bit machines.
 *
 * Written down here so that building needs no header of netmap's. Names are netmap's
 * without their prefixes; each offset is asserted. Memory is the kernel's; other
 * programs map the same, and can write anything anywhere in it at any time.
 */
#ifndef PB_NETMAP_ABI_H
#define PB_NETMAP_ABI_H

#include <stddef.h>
#include <stdint.h>

#define NETMAP_DEVICE "/dev/netmap"
#define NETMAP_API 14 /* the kernel takes 14 and 15 */

/* ioctl() requests. */
#define NETMAP_IOC_CTRL 0xc0586997ul
#define NETMAP_IOC_TXSYNC 0x6994ul
#define NETMAP_IOC_RXSYNC 0x6995ul

#define NETMAP_NAME_BYTES 64

enum netmap_request { NETMAP_REQ_REGISTER = 1 };
enum netmap_mode { NETMAP_MODE_ALL_NIC = 1, NETMAP_MODE_ONE_NIC = 4 };
#define NETMAP_FLAG_NO_TX_POLL 0x20000u /* poll() sends only where it is asked for POLLOUT */

struct netmap_header {
    uint16_t version;
    uint16_t request;
    uint32_t reserved;
    char name[NETMAP_NAME_BYTES];
    uint64_t options;
    uint64_t body; /* a pointer */
};
_Static_assert(offsetof(struct netmap_header, name) == 8 && offsetof(struct netmap_header, options) == 72 &&
                   offsetof(struct netmap_header, body) == 80 && sizeof(struct netmap_header) == 88,
               "nmreq_header");

struct netmap_register {
    uint64_t offset;  /* of the struct netmap_if in the memory */
    uint64_t memsize; /* bytes to map */
    uint32_t tx_slots, rx_slots;
    uint16_t tx_rings, rx_rings, host_tx_rings, host_rx_rings;
    uint16_t mem_id;
    uint16_t ringid;
    uint32_t mode;
    uint32_t extra_bufs; /* asked for; how many there are */
    uint64_t flags;
};
_Static_assert(offsetof(struct netmap_register, tx_slots) == 16 && offsetof(struct netmap_register, tx_rings) == 24 &&
                   offsetof(struct netmap_register, mem_id) == 32 && offsetof(struct netmap_register, ringid) == 34 &&
                   offsetof(struct netmap_register, mode) == 36 && offsetof(struct netmap_register, extra_bufs) == 40 &&
                   offsetof(struct netmap_register, flags) == 48 && sizeof(struct netmap_register) == 56,
               "nmreq_register");

/* Of one registration. */
struct netmap_if {
    char name[16];
    uint32_t version;
    uint32_t flags;
    uint32_t tx_rings, rx_rings;
    uint32_t bufs_head; /* the first of the extra buffers: each begins with the index of the next, 0 ends */
    uint32_t host_tx_rings, host_rx_rings;
    uint32_t reserved[3];
    int64_t ring_ofs[]; /* from this struct, of tx, host tx, rx and host rx rings; 0: not bound */
};
_Static_assert(offsetof(struct netmap_if, version) == 16 && offsetof(struct netmap_if, tx_rings) == 24 &&
                   offsetof(struct netmap_if, bufs_head) == 32 && offsetof(struct netmap_if, host_rx_rings) == 40 &&
                   offsetof(struct netmap_if, ring_ofs) == 56,
               "netmap_if");

struct netmap_slot {
    uint32_t buf_idx;
    uint16_t len;
    uint16_t flags;
    uint64_t ptr;
};
#define NETMAP_SLOT_BUF_CHANGED 1u /* buf_idx is another than the kernel knew */
_Static_assert(offsetof(struct netmap_slot, len) == 4 && offsetof(struct netmap_slot, flags) == 6 &&
                   offsetof(struct netmap_slot, ptr) == 8 && sizeof(struct netmap_slot) == 16,
               "netmap_slot");

/* Slots [head, tail) are the program's: packets to read, or room to write; it moves head and cur. */
struct netmap_ring {
    int64_t buf_ofs; /* from this struct to buffer 0; buffers are buf_size apart */
    uint32_t num_slots;
    uint32_t buf_size;
    uint16_t ringid;
    uint16_t dir; /* 1: tx */
    uint32_t head, cur, tail;
    uint32_t flags;
    uint32_t reserved;
    uint8_t ts[16];
    uint64_t offset_mask; /* not 0: a packet begins at slot.ptr & offset_mask of its buffer */
    uint64_t buf_align;
    uint8_t driver[184];
    struct netmap_slot slots[];
};
_Static_assert(offsetof(struct netmap_ring, num_slots) == 8 && offsetof(struct netmap_ring, ringid) == 16 &&
                   offsetof(struct netmap_ring, head) == 20 && offsetof(struct netmap_ring, tail) == 28 &&
                   offsetof(struct netmap_ring, ts) == 40 && offsetof(struct netmap_ring, offset_mask) == 56 &&
                   offsetof(struct netmap_ring, slots) == 256,
               "netmap_ring");

#endif
