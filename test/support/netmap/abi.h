/*
 * abi.h - netmap's interface to applications: what travels through /dev/netmap, API 14 and 15, little-endian 64 bits.
 *
 * For tests only: the stand-in serves it, netmap_app.c and the stand-in's own test use it. Written from the documented
 * layout; the driver under test has a description of its own, so that a mistake in one shows against the other.
 */
#ifndef NM_ABI_H
#define NM_ABI_H

#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>

#define NETMAP_DEVICE "/dev/netmap"
#define NETMAP_API_MIN 14
#define NETMAP_API_MAX 15

#define NIOCCTRL 0xc0586997u
#define NIOCTXSYNC 0x6994u
#define NIOCRXSYNC 0x6995u

enum { NETMAP_REQ_REGISTER = 1, NETMAP_REQ_PORT_INFO_GET = 2 };
enum { NR_REG_ALL_NIC = 1, NR_REG_SW = 2, NR_REG_NIC_SW = 3, NR_REG_ONE_NIC = 4, NR_REG_NULL = 7, NR_REG_ONE_SW = 8 };

/* nmreq_register.flags */
#define NR_EXCLUSIVE 0x800u
#define NR_RX_RINGS_ONLY 0x2000u
#define NR_TX_RINGS_ONLY 0x4000u
#define NR_DO_RX_POLL 0x10000u
#define NR_NO_TX_POLL 0x20000u

#define NS_BUF_CHANGED 1u

struct nmreq_header {
    uint16_t version;
    uint16_t reqtype;
    uint32_t reserved;
    char name[64];
    uint64_t options;
    uint64_t body;
};

struct nmreq_register {
    uint64_t offset;
    uint64_t memsize;
    uint32_t tx_slots, rx_slots;
    uint16_t tx_rings, rx_rings;
    uint16_t host_tx_rings, host_rx_rings;
    uint16_t mem_id;
    uint16_t ringid;
    uint32_t mode;
    uint32_t extra_bufs;
    uint64_t flags;
};

struct nmreq_port_info {
    uint64_t memsize;
    uint32_t tx_slots, rx_slots;
    uint16_t tx_rings, rx_rings;
    uint16_t host_tx_rings, host_rx_rings;
    uint16_t mem_id;
    uint16_t pad[3];
};

struct netmap_if {
    char name[16];
    uint32_t version;
    uint32_t flags;
    uint32_t tx_rings, rx_rings;
    uint32_t bufs_head;
    uint32_t host_tx_rings, host_rx_rings;
    uint32_t spare[3];
    int64_t ring_ofs[]; /* tx, host tx, rx, host rx; from the start of this structure; 0: not bound */
};

struct netmap_slot {
    uint32_t buf_idx;
    uint16_t len;
    uint16_t flags;
    uint64_t ptr;
};

struct netmap_ring {
    int64_t buf_ofs;
    uint32_t num_slots;
    uint32_t buf_size;
    uint16_t ringid;
    uint16_t dir; /* 1: tx */
    uint32_t head, cur, tail;
    uint32_t flags;
    struct timeval ts;
    uint64_t offset_mask;
    uint64_t buf_align;
    uint8_t reserved[256 - 72];
    struct netmap_slot slot[];
};

_Static_assert(sizeof(struct nmreq_header) == 88 && offsetof(struct nmreq_header, name) == 8, "nmreq_header");
_Static_assert(offsetof(struct nmreq_header, options) == 72 && offsetof(struct nmreq_header, body) == 80, "nmreq_header");
_Static_assert(sizeof(struct nmreq_register) == 56 && offsetof(struct nmreq_register, tx_rings) == 24, "nmreq_register");
_Static_assert(offsetof(struct nmreq_register, mode) == 36 && offsetof(struct nmreq_register, flags) == 48, "nmreq_register");
_Static_assert(sizeof(struct nmreq_port_info) == 32 && offsetof(struct nmreq_port_info, mem_id) == 24, "nmreq_port_info");
_Static_assert(sizeof(struct netmap_if) == 56 && offsetof(struct netmap_if, bufs_head) == 32, "netmap_if");
_Static_assert(sizeof(struct netmap_slot) == 16 && offsetof(struct netmap_slot, ptr) == 8, "netmap_slot");
_Static_assert(offsetof(struct netmap_ring, head) == 20 && offsetof(struct netmap_ring, tail) == 28, "netmap_ring");
_Static_assert(offsetof(struct netmap_ring, ts) == 40 && offsetof(struct netmap_ring, slot) == 256, "netmap_ring");

static inline struct netmap_ring *nm_ring_of(struct netmap_if *nifp, uint32_t i)
{
    return (struct netmap_ring *)((char *)nifp + nifp->ring_ofs[i]);
}

static inline struct netmap_ring *nm_tx_ring(struct netmap_if *nifp, uint32_t i)
{
    return nm_ring_of(nifp, i);
}

static inline struct netmap_ring *nm_rx_ring(struct netmap_if *nifp, uint32_t i)
{
    return nm_ring_of(nifp, nifp->tx_rings + nifp->host_tx_rings + i);
}

static inline uint8_t *nm_buffer(struct netmap_ring *ring, uint32_t index)
{
    return (uint8_t *)ring + ring->buf_ofs + (size_t)index * ring->buf_size;
}

static inline uint32_t nm_next(uint32_t i, uint32_t slots)
{
    return i + 1 == slots ? 0 : i + 1;
}

/* From `from` forward to `to`, in slots. */
static inline uint32_t nm_distance(uint32_t from, uint32_t to, uint32_t slots)
{
    return to >= from ? to - from : to + slots - from;
}

#endif
