/*
 * brick.h - the contract of a brick, C side.
 *
 * A brick's C file defines one table and registers it with PB_BRICK(). Bricks
 * are found by name. process() runs on the engine thread, takes a batch and
 * says which packets go to which output; it does no I/O, allocates nothing,
 * takes no lock, and never changes the batch's order.
 */
#ifndef PB_BRICK_H
#define PB_BRICK_H

#include "../core/batch.h"
#include "../core/counters.h"

/* What init() learns about its place in the graph. */
struct pb_brick_setup {
    uint32_t outputs;
    uint32_t depth;      /* bricks of the same kind between this one and the input */
    pb_counter *counters; /* the values of the table's counters, in its order */
};

struct pb_brick {
    const char *name;
    uint32_t config_bytes; /* of the packed options that the TypeScript side sends */
    uint32_t state_bytes;  /* zeroed memory, cache-line aligned, given to every call */
    uint32_t outputs_min;
    uint32_t outputs_max;
    uint32_t copies;       /* 1: a packet may go to several outputs; 0: to one at the most */
    const struct pb_counter_desc *counters; /* its own, behind those every brick has */
    uint32_t counters_count;

    /* Set up `state`. 0, or -errno with the text in error. May be NULL, as may fini. */
    int (*init)(void *state, const void *config, const struct pb_brick_setup *setup, struct pb_error *error);
    void (*process)(void *state, const struct pb_batch *batch, struct pb_outputs *outputs);
    void (*fini)(void *state);
};

/* process() of bricks that send every packet to their only output. */
void pb_brick_pass(void *state, const struct pb_batch *batch, struct pb_outputs *outputs);

/* Add a table to the registry; PB_BRICK() calls it before main. */
void pb_brick_register(const struct pb_brick *brick);
const struct pb_brick *pb_brick_find(const char *name);
/* The i-th registered brick in alphabetical order, NULL behind the last. */
const struct pb_brick *pb_brick_at(uint32_t i);

#define PB_BRICK(table)                                                                                                \
    __attribute__((constructor)) static void register_##table(void)                                                    \
    {                                                                                                                  \
        pb_brick_register(&table);                                                                                     \
    }                                                                                                                  \
    _Static_assert(sizeof(table) > 0, "a brick's table")

#endif
