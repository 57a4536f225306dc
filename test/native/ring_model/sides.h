/*
 * sides.h - the two sides of a pipe as test_ring_model.c uses them: the engine's
 * drivers and the application's library, real code on memory of the model.
 */
#ifndef PB_RING_MODEL_SIDES_H
#define PB_RING_MODEL_SIDES_H

#include "prelude.h" /* before all others */

#include "pipe/attachment.h"
#include "pipe/consumer.h"
#include "pipe/producer.h"

#define MODEL_RING_BYTES_MAX (4 * PB_RING_UNIT)
#define MODEL_COPY_BYTES 512
#define MODEL_HEAP_BYTES 640
#define MODEL_BLOCKS_MAX 4

/* All state that there is, besides the model's. */
struct world {
    /* Shared. */
    struct pb_producer_page producer_page;
    struct pb_reader_page reader_page;
    struct pb_record records[MODEL_RING_BYTES_MAX / PB_RING_UNIT];
    _Alignas(64) uint8_t ring[2 * MODEL_RING_BYTES_MAX];
    uint64_t references[MODEL_RING_BYTES_MAX / PB_RING_UNIT];
    _Alignas(64) uint8_t blocks[MODEL_BLOCKS_MAX * PB_RING_UNIT]; /* of the region */
    /* The engine's. */
    struct pb_producer producer; /* towards the application, or ... */
    struct pb_consumer consumer; /* ... from it */
    struct pb_port port;
    uint32_t output_changes;
    struct pb_peer peer;
    union {
        struct pb_region region; /* of the port that packets come from */
        uint8_t region_bytes[sizeof(struct pb_region) + MODEL_BLOCKS_MAX * sizeof(uint32_t)];
    };
    pb_counter counters[32];
    uint8_t copies[MODEL_COPY_BYTES];
    /* The application's. */
    _Alignas(64) char heap[MODEL_HEAP_BYTES]; /* its reader or writer */
    struct pb_pipe_reader *reader;
    struct pb_pipe_writer *writer;
    /* What the test counts, in packets. */
    uint32_t offered, got;
    uint32_t got_last;                          /* the number of the last one got */
    uint32_t released_begun, released_finished; /* by the calls */
    int ended_with;                             /* what ended the application */
};
extern struct world world;

/* A ring of `ring_bytes`, empty, with nobody attached. */
void sides_init(uint64_t ring_bytes, uint32_t direction);
/* Packets come from a region of so many blocks, of PB_RING_UNIT each; before sides_grant(). */
void sides_lend(uint32_t blocks);
/* What the attach server does when an application has come. */
void sides_grant(void);
/* The engine's loop sees port->attention. */
void sides_attend(void);
/* The engine's port is closed: what close() of output.c or input.c does with the application. */
void sides_close(void);

#endif
