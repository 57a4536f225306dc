/*
 * brick.h - the contract of a brick, C side.
 *
 * A brick's C file defines one table and registers it with PB_BRICK(). Bricks
 * are found by name. process() runs on the engine thread, takes a batch and
 * says which packets go to which output; it does no I/O, allocates nothing,
 * takes no lock, and never changes the batch's order. It changes no packet but
 * those that core/rewrite.h gives it.
 */
#ifndef PB_BRICK_H
#define PB_BRICK_H

#include "../core/batch.h"
#include "../core/counters.h"
#include "../core/rewrite.h"

/* What init() learns about its place in the graph. */
struct pb_brick_setup {
    uint32_t outputs;
    uint32_t depth;              /* bricks of the same kind between this one and the input */
    uint32_t level;              /* bricks of any kind from the input to this one, itself included, by the longest way */
    uint32_t config_bytes;       /* of the packed options: more than the table's where that has a config_tail */
    void *control;               /* the brick's control object; NULL where its table has none */
    pb_counter *counters;        /* the values of the table's counters, in its order */
    pb_counter *output_counters; /* those of the table's output_counters: of output 0, of output 1, ... */
};

/*
 * A control object: what of a brick can be changed while its engine runs, and
 * outlives the engine's stops. It is made with the brick, before there is an
 * engine. All three run on the control thread, also while process() runs.
 */
struct pb_brick_control {
    /* Make `*control` from the packed options. 0, or -errno with the text in error. */
    int (*open)(const void *config, uint32_t config_bytes, void **control, struct pb_error *error);
    /* Carry out a request of the TypeScript side. Returns the bytes written to `reply`, or -errno with the text. */
    int (*command)(void *control, const uint8_t *request, uint32_t request_bytes, uint8_t *reply, uint32_t reply_bytes,
                   struct pb_error *error);
    /* Nobody uses it any more: neither the brick of the TypeScript side nor an engine. */
    void (*close)(void *control);
};

struct pb_brick {
    const char *name;
    uint32_t config_bytes; /* of the packed options that the TypeScript side sends */
    bool config_tail;      /* more bytes may follow them, as many as setup->config_bytes says */
    uint32_t state_bytes;  /* zeroed memory, cache-line aligned, given to every call */
    uint32_t outputs_min;
    uint32_t outputs_max;
    uint32_t copies;       /* 1: a packet may go to several outputs; 0: to one at the most */
    uint32_t rewrites;     /* 1: it changes packets, by pb_packet_own() or pb_packet_copy() */
    const struct pb_counter_desc *counters; /* its own, behind those every brick has */
    uint32_t counters_count;
    const struct pb_counter_desc *output_counters; /* its own of each output, beside the packets to it */
    uint32_t output_counters_count;
    const struct pb_brick_control *control; /* NULL: nothing of it changes while it runs */

    /* Set up `state`. 0, or -errno with the text in error. May be NULL, as may fini. */
    int (*init)(void *state, const void *config, const struct pb_brick_setup *setup, struct pb_error *error);
    void (*process)(void *state, const struct pb_batch *batch, struct pb_outputs *outputs);
    void (*fini)(void *state);
};

/* Whether an output is a port that nobody reads: packets sent there are dropped, or
 * wait. To be asked again when outputs->changes has grown. */
bool pb_output_deserted(const struct pb_outputs *outputs, uint32_t output);

/* process() of bricks that send every packet to their only output. */
void pb_brick_pass(void *state, const struct pb_batch *batch, struct pb_outputs *outputs);

/* Add a table to the registry; PB_BRICK() calls it before main. */
void pb_brick_register(const struct pb_brick *brick);
const struct pb_brick *pb_brick_find(const char *name);
/* The same; NULL also says so in `error`. */
const struct pb_brick *pb_brick_require(const char *name, struct pb_error *error);
/* 0, or -EINVAL: not as many packed options as the table says. */
int pb_brick_check_config(const struct pb_brick *brick, uint32_t config_bytes, struct pb_error *error);
/* The i-th registered brick in alphabetical order, NULL behind the last. */
const struct pb_brick *pb_brick_at(uint32_t i);

#define PB_BRICK(table)                                                                                                \
    __attribute__((constructor)) static void register_##table(void)                                                    \
    {                                                                                                                  \
        pb_brick_register(&table);                                                                                     \
    }                                                                                                                  \
    _Static_assert(sizeof(table) > 0, "a brick's table")

#endif
