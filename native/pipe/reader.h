/*
 * reader.h - a reader's ring, for those in this library who hand out addresses
 * in it for longer than the reader lives (lent.c). The public calls are in
 * packet_bricks.h; threads and owner as there.
 */
#ifndef PB_READER_H
#define PB_READER_H

#include <stdbool.h>

#include "packet_bricks.h"

/* pb_pipe_open(); `borrows` false: all packets are in the ring, none is lent (loans.h). */
int pb_reader_open(const char *name, bool borrows, struct pb_pipe_reader **reader, struct pb_error *error);

/* The ring, mapped twice in a row; *ring_bytes: the length of one turn. */
const uint8_t *pb_reader_ring(const struct pb_pipe_reader *reader, uint64_t *ring_bytes);

/* The caller has moved the mapping to `ring`. NULL: it has taken it away, nothing
 * may be read any more, and pb_pipe_close() leaves the memory alone. */
void pb_reader_set_ring(struct pb_pipe_reader *reader, const uint8_t *ring);

#endif
