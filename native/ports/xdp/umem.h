/*
 * umem.h - the memory of an engine's xdp ports (UMEM): chunks of 4096 bytes that the
 * kernel receives into and sends from.
 *
 * All queues of an engine share it, so that a packet received by one is sent by
 * another from where it is. A chunk has as many references as there are rings of the
 * kernel, and batches of the engine, that hold it; with the last it is free, and goes to
 * the ring that needs one next. An engine has a second UMEM where some of its interfaces
 * send and receive without a copy of the kernel's and others cannot, because that
 * is decided for all queues on a UMEM together; packets are copied between the two.
 *
 * Made and freed on the control thread; chunks are the engine thread's.
 */
#ifndef PB_XDP_UMEM_H
#define PB_XDP_UMEM_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <xdp/xsk.h>

#include "../port.h"

/* A page each: whatever a driver wants of alignment and room, it has it; and where the kernel
 * knows no frames of several chunks, the longest one is what XDP allows such a driver at all. */
#define XDP_CHUNK_SHIFT 12
#define XDP_CHUNK_BYTES (1u << XDP_CHUNK_SHIFT)
#define XDP_CHUNK_HEADROOM 256 /* the kernel's, in front of each packet received (XDP_PACKET_HEADROOM) */
#define XDP_CHUNK_ROOM (XDP_CHUNK_BYTES - XDP_CHUNK_HEADROOM)

struct xdp_queue;

struct xdp_umem {
    struct xdp_umem *next; /* of the process */
    int engine;
    bool zerocopy;     /* its queues work without a copy of the kernel's */
    bool multi_buffer; /* a frame may take several chunks */
    struct xsk_umem *umem;
    struct xdp_queue *queues;
    uint8_t *memory;
    size_t bytes;
    uint32_t chunks;
    uint32_t free_count;
    uint32_t *free;       /* chunks without references, a stack: the last used is in a cache */
    uint16_t *references; /* of each chunk */
};

/* The UMEM of an engine's ports; NULL: none yet. */
struct xdp_umem *pb_xdp_umem_find(int engine, bool zerocopy);
/* Make one of `bytes`; rings of `ring` descriptors are those of its first queue, which must be bound before any
 * other. NULL, with text. */
struct xdp_umem *pb_xdp_umem_open(const struct pb_port *port, size_t bytes, uint32_t ring, struct xdp_queue *first,
                                  struct pb_error *error);
void pb_xdp_umem_close(struct xdp_umem *umem);

/* Take a chunk, with one reference. There must be a free one. */
static inline uint32_t xdp_chunk_take(struct xdp_umem *umem)
{
    uint32_t chunk = umem->free[--umem->free_count];
    umem->references[chunk] = 1;
    return chunk;
}

static inline void xdp_chunk_drop(struct xdp_umem *umem, uint32_t chunk)
{
    assert(umem->references[chunk] > 0);
    if (--umem->references[chunk] == 0)
        umem->free[umem->free_count++] = chunk;
}

#endif
