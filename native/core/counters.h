/*
 * counters.h - one page of counters for each engine.
 *
 * The page is an array of uint64 with one writer, the engine thread; every
 * other thread and JavaScript read it. Blocks (one for the engine, each port,
 * each brick) start on a cache line. Pages are pooled and never unmapped, so a
 * view that JavaScript still holds after a delete stays readable.
 */
#ifndef PB_COUNTERS_H
#define PB_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

#include "packet_bricks.h"

/* A counter's description, part of a driver's or brick's table. */
enum pb_counter_kind {
    PB_COUNTER_TOTAL, /* only grows */
    PB_COUNTER_DROP,  /* only grows; a reason for packets that went no further */
    PB_COUNTER_LOST,  /* only grows; packets lost before we received them (kernel ring full) */
    PB_COUNTER_GAUGE  /* goes up and down */
};

struct pb_counter_desc {
    const char *name; /* snake_case, unit last unless it counts packets */
    enum pb_counter_kind kind;
    const char *unit; /* "packets", "bytes", ... */
    const char *text; /* one line for users */
};

typedef _Atomic uint64_t pb_counter;

struct pb_counters_page {
    pb_counter *values;
    uint32_t capacity; /* values in the page */
    uint32_t used;     /* values handed out */
};

#define PB_COUNTERS_LINE 8 /* values in a cache line */

/* Take a zeroed page for at least `capacity` values from the pool. */
int pb_counters_open(struct pb_counters_page *page, uint32_t capacity, struct pb_error *error);
/* Hand out `count` adjacent values that start on a cache line; NULL: the page is full. */
pb_counter *pb_counters_take(struct pb_counters_page *page, uint32_t count);
void pb_counters_close(struct pb_counters_page *page);

/* Single writer: a plain add that other threads may watch, no locked instruction. */
static inline void pb_counter_add(pb_counter *counter, uint64_t value)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + value, memory_order_relaxed);
}

static inline void pb_counter_set(pb_counter *counter, uint64_t value)
{
    atomic_store_explicit(counter, value, memory_order_relaxed);
}

static inline uint64_t pb_counter_get(const pb_counter *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

#endif
