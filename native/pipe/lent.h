/*
 * lent.h - rings that are lent to JavaScript, which may keep a view of one for
 * as long as it likes.
 *
 * A range of addresses that was lent once stays readable until the process ends:
 * while a reader has it, it is that reader's ring; afterwards zeros, which cost
 * address space only, until the ring of a later reader of the same size is moved
 * there. So there are never more ranges of a size than readers at the same time.
 *
 * Any thread; a mutex guards the list.
 */
#ifndef PB_LENT_H
#define PB_LENT_H

#include <stdbool.h>

#include "packet_bricks.h"

struct pb_lent {
    uint8_t *memory;
    uint64_t bytes; /* both turns */
    bool used;
    struct pb_lent *next;
};

/* Lend the ring of `reader`, moved if need be. NULL: out of memory, the reader is
 * good for pb_pipe_close() only. */
struct pb_lent *pb_lent_take(struct pb_pipe_reader *reader);

/* The reader is about to be closed: put zeros where its ring is. */
void pb_lent_give(struct pb_lent *lent, struct pb_pipe_reader *reader);

#endif
