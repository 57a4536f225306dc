/*
 * loans.h - packets that a pipe lends its reader where the port has them, instead
 * of copying them into the ring: `?lend=1`.
 *
 * A port may keep its packets in a region (ports/region.h). The attach server hands
 * the regions' descriptors to a reader that asks for them, and the reader maps them
 * read-only. A lent packet has a record like any other, with PB_RECORD_LENT in it,
 * and says in the array of references (one word for each record, in a memfd of its
 * own) where it lies: region and offset. In the ring it takes one unit, in which
 * nothing is written. So positions, tail and requests for space are what they
 * always are, and lent and copied packets mix: what lies in no region, or in one
 * that the reader has not, is copied.
 *
 * Who may write over a lent packet, and when. The output holds a packet's block from
 * before its record is published until the reader's tail has passed that record: a
 * loan. Loans are returned in the order of their positions, so they are a queue of
 * (block, position behind its last packet). The driver writes into blocks that
 * nobody holds. The reader's reads happen before it moves its tail (a release), and
 * the engine has read that tail (an acquire) before it drops the hold: the same rule
 * that keeps the ring's own bytes.
 *
 *   reader is slow       an output holds as many blocks as pb_region_may_hold() lets
 *                        it. Beyond that a source that can pause waits until half of
 *                        them are back; of a live source packets are copied into the
 *                        ring, as far as there is room
 *   ... and sleeps, or   holds back what it has read: it may be waiting for more, so
 *   stands still         what comes is copied, lest each waits for the other. It
 *                        "stands still" if its tail has not moved between two ticks
 *   reader goes          all its loans are returned: what it still has mapped it may
 *                        find changed
 *   reader lies          its tail is checked as always; one that gives back early
 *                        sees changed packets, and nobody else does
 *   engine stops         drivers write no more after close(), and the reader's mapping
 *                        keeps the memory: what is in the ring stays as it was
 *
 * Engine thread. The loans belong to their struct pb_producer, regions to the ports.
 */
#ifndef PB_LOANS_H
#define PB_LOANS_H

#include "../ports/region.h"
#include "ring.h"

#define PB_LOANS_MAX 64u /* a power of two */

struct pb_loan {
    struct pb_region *region;
    uint32_t block;
    uint64_t end; /* position in the ring behind its last packet */
};

struct pb_loans {
    struct pb_region *regions[PB_LOAN_REGIONS_MAX];
    uint32_t regions_count;
    struct pb_loan queue[PB_LOANS_MAX];
    uint32_t first, count; /* in the queue; the oldest first, one loan for each block */
    uint64_t tail_at_tick;
    bool overdue; /* nothing has been returned between the last two ticks */
};

/* A block that packets come from, and what was decided about it. */
struct pb_loan_window {
    const uint8_t *memory;
    uint64_t bytes;     /* 0: none yet */
    uint64_t reference; /* of its first byte */
    bool lent;          /* else its packets are copied */
};

/* Return what the reader is past. */
void pb_loans_return(struct pb_loans *loans, uint64_t tail);
/* The reader has gone. */
void pb_loans_return_all(struct pb_loans *loans);
/* About every 100 ms: does the reader stand still? */
void pb_loans_tick(struct pb_loans *loans, uint64_t tail);
/* Where the tail is when half of the loans are back; there is one. */
uint64_t pb_loans_half(const struct pb_loans *loans);
/* Find the block that `data` lies in. False: in none; then *window is that byte alone. */
bool pb_loans_find(const struct pb_loans *loans, const uint8_t *data, struct pb_loan_window *window, struct pb_loan *loan);
/* Have the block, from `loan->end` on, if its region leaves us one. */
bool pb_loans_take(struct pb_loans *loans, const struct pb_loan *loan);
/* Are there so many, or so few blocks left to others' loans, that it is worth a look at the reader's tail? */
bool pb_loans_are_many(const struct pb_loans *loans, const struct pb_region *region);

/* A source that can pause has a packet that we have no room to lend: shall it wait for
 * the reader to give some back? Not if that may be waiting itself. */
static inline bool pb_loans_worth_waiting(const struct pb_loans *loans, const struct pb_reader_page *reader)
{
    return loans->count > 0 && !loans->overdue && atomic_load(&reader->reader_waiting) == 0;
}

/* The last loan reaches to `position`. */
static inline void pb_loans_extend(struct pb_loans *loans, uint64_t position)
{
    loans->queue[(loans->first + loans->count - 1) % PB_LOANS_MAX].end = position;
}

#endif
