/*
 * filter.c - Filter: packets that an expression matches to output 0, the others
 * to output 1 where there is one. Engine thread; the state is the executor's.
 *
 * A batch is decided in chunks: every packet of a chunk gets a verdict, the
 * output that it leaves by, then all are sent in order.
 */
#include "brick.h"

#define CHUNK_PACKETS 256

#define OUTPUT_MATCHED 0
#define OUTPUT_OTHERS 1

/* Its counters, in the order of the table below. */
enum counter { FILTERED, COUNTERS };

struct filter {
    pb_counter *counters;
    uint32_t outputs;
};

/* Say where each packet of the chunk goes. */
static void decide(struct filter *filter, const struct pb_batch *chunk, uint32_t *verdicts)
{
    (void)filter;
    for (uint32_t i = 0; i < chunk->count; i++)
        verdicts[i] = OUTPUT_MATCHED;
}

/* Send the packets of the chunk by their verdicts; what has no output is dropped, and counted. */
static void send(struct filter *filter, const struct pb_batch *chunk, const uint32_t *verdicts,
                 struct pb_outputs *outputs)
{
    uint32_t dropped = 0;
    for (uint32_t i = 0; i < chunk->count; i++) {
        if (verdicts[i] >= filter->outputs) {
            dropped++;
            continue;
        }
        struct pb_vector *vector = outputs->vectors[verdicts[i]];
        vector->index[vector->count++] = chunk->index[i];
    }
    if (dropped > 0)
        pb_counter_add(&filter->counters[FILTERED], dropped);
}

static int init(void *state, const void *config, const struct pb_brick_setup *setup, struct pb_error *error)
{
    (void)config;
    (void)error;
    *(struct filter *)state = (struct filter){.counters = setup->counters, .outputs = setup->outputs};
    return 0;
}

static void process(void *state, const struct pb_batch *batch, struct pb_outputs *outputs)
{
    uint32_t verdicts[CHUNK_PACKETS];
    for (uint32_t first = 0; first < batch->count; first += CHUNK_PACKETS) {
        uint32_t left = batch->count - first;
        const struct pb_batch chunk = {
            .packets = batch->packets, .index = batch->index + first, .count = left < CHUNK_PACKETS ? left : CHUNK_PACKETS};
        decide(state, &chunk, verdicts);
        send(state, &chunk, verdicts, outputs);
    }
}

static const struct pb_counter_desc counters[COUNTERS] = {
    [FILTERED] = {"filtered", PB_COUNTER_DROP, "packets", "the expression does not match, and there is no second output"},
};

static const struct pb_brick filter = {
    .name = "Filter",
    .state_bytes = sizeof(struct filter),
    .outputs_min = 1,
    .outputs_max = PB_OUTPUTS_MAX,
    .counters = counters,
    .counters_count = COUNTERS,
    .init = init,
    .process = process,
};
PB_BRICK(filter);
