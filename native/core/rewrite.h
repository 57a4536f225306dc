/*
 * rewrite.h - how a brick comes by a packet that it may change.
 *
 * The bytes of a packet are the port's, and with a Duplicator above other branches
 * see them too. So a brick changes only what pb_packet_own() gives it: the packet
 * itself where the executor knows that nobody else sees it and that the port lends
 * it for writing, otherwise a copy, whose index goes to the outputs in place of the
 * original's. A brick that calls this says so in its table (`rewrites`); the
 * executor has made room for one copy of every packet that can reach it.
 *
 * Engine thread only. Copies belong to the batch: they last until the port is told
 * to take its packets back, so also while an output makes them wait.
 */
#ifndef PB_REWRITE_H
#define PB_REWRITE_H

#include "batch.h"

/* Room for copies: the descriptors behind the batch's own, and their bytes. */
struct pb_copies {
    uint16_t *origin; /* of each copy: the packet of the batch that it descends from */
    uint32_t first;   /* index of the first copy: what a batch holds at the most */
    uint32_t count;   /* made of the packets of this batch */
    uint32_t max;
    uint8_t *bytes; /* address space for `max` of the longest packets; NULL: nobody rewrites */
    size_t used;
};

/* The packet of the batch that a packet is, or descends from. */
static inline uint16_t pb_copy_origin(const struct pb_copies *copies, uint16_t index)
{
    return index < copies->first ? index : copies->origin[index - copies->first];
}

/* What of a batch a brick may change in place: bits of pb_batch.owned. */
#define PB_OWNED_LENT 1   /* packets of the port */
#define PB_OWNED_COPIES 2 /* copies that a brick above has made */
#define PB_OWNED_ALL (PB_OWNED_LENT | PB_OWNED_COPIES)

/* A copy of the packet with `room` writable bytes behind it, for what the brick appends: it
 * adds them to captured_len and wire_len itself. Length and room are PB_FRAME_BYTES_MAX at the
 * most. Call it once for each packet of the batch, instead of pb_packet_own(). */
uint16_t pb_packet_copy(const struct pb_batch *batch, uint16_t index, uint32_t room);

/* A packet that the brick may change, once for each packet of the batch. What was parsed
 * and hashed of it still holds: forget it (`parsed`, `hash_tuple`) where a change makes it wrong. */
static inline uint16_t pb_packet_own(const struct pb_batch *batch, uint16_t index)
{
    uint8_t needed = index < batch->copies->first ? PB_OWNED_LENT : PB_OWNED_COPIES;
    return (batch->owned & needed) != 0 ? index : pb_packet_copy(batch, index, 0);
}

/* The bytes of a packet that one of the two above has given. */
static inline uint8_t *pb_packet_bytes(const struct pb_packet *packet)
{
    return (uint8_t *)(uintptr_t)packet->data;
}

#endif
