/*
 * reader_side.c - the application's side of the pipe in the model check: reader.c
 * as it is, on a reader that is attached already.
 */
#include "sides.h"

#include "pipe/reader.c"

_Static_assert(sizeof(struct pb_pipe_reader) <= MODEL_READER_BYTES, "the reader fits");

struct pb_pipe_reader *reader_side_init(uint64_t ring_bytes)
{
    struct pb_pipe_reader *reader = (struct pb_pipe_reader *)world.reader;
    *reader = (struct pb_pipe_reader){
        .ring = world.ring,
        .ring_bytes = ring_bytes,
        .mask = ring_bytes - 1,
        .producer = &world.producer_page,
        .page = &world.reader_page,
        .fd = MODEL_APPLICATION_FD,
    };
    return reader;
}
