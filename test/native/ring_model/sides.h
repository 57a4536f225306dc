/*
 * sides.h - the two sides of a pipe as test_ring_model.c uses them: the engine's
 * driver (engine_side.c) and the application's library (reader_side.c), real code
 * on memory of the model.
 */
#ifndef PB_RING_MODEL_SIDES_H
#define PB_RING_MODEL_SIDES_H

#include "prelude.h" /* before all others */

#include "pipe/pipe.h"

#define MODEL_RING_BYTES_MAX 128
#define MODEL_READER_BYTES 256

/* All state that there is, besides the model's. */
struct world {
    /* Shared. */
    struct pb_producer_page producer_page;
    struct pb_reader_page reader_page;
    _Alignas(64) uint8_t ring[2 * MODEL_RING_BYTES_MAX];
    /* The engine's. */
    struct pb_pipe pipe;
    struct pb_port port;
    pb_counter counters[PB_PORT_COUNTERS + PIPE_COUNTERS];
    struct pb_reader_end end;
    uint32_t offered;
    /* The application's. */
    _Alignas(64) char reader[MODEL_READER_BYTES];
    uint32_t got, got_last;                    /* records, the number of the last */
    uint32_t released_begun, released_finished; /* records, by the calls */
    int ended_with;
};
extern struct world world;

void engine_side_init(uint64_t ring_bytes);
/* What the attach server does when a reader has come. */
void engine_side_grant(void);
void engine_side_attend(void);
/* What close() does to the reader. */
void engine_side_close(void);

struct pb_pipe_reader *reader_side_init(uint64_t ring_bytes);
#endif
