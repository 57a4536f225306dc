/*
 * script.c - Script: sends packets to its companion program, and those that come
 * back to the output that the program has chosen.
 *
 * The last output leads to the program. What comes from there carries a mark, the
 * output's number; all else is new. Runs on the engine thread; the program runs
 * beside the engine (engine/companion.ts).
 */
#include "brick.h"

struct script {
    pb_counter *counters;
    uint32_t outputs; /* of the user's; that to the program has this number */
};

enum { BAD_VERDICT };

static int script_init(void *state, const void *config, const struct pb_brick_setup *setup, struct pb_error *error)
{
    struct script *script = state;
    (void)config;
    (void)error;
    script->counters = setup->counters;
    script->outputs = setup->outputs - 1;
    return 0;
}

static inline uint32_t pick(void *state, struct pb_packet *packet)
{
    struct script *script = state;
    if (packet->hash_tuple != PB_HASH_TUPLE_MARK)
        return script->outputs;
    packet->hash_tuple = 0;
    if (packet->flow_hash < script->outputs)
        return packet->flow_hash;
    pb_counter_add(&script->counters[BAD_VERDICT], 1);
    return PB_OUTPUT_NONE;
}

static void script_process(void *state, const struct pb_batch *batch, struct pb_outputs *outputs)
{
    pb_split(state, batch, outputs, pick);
}

static const struct pb_counter_desc counters[] = {
    [BAD_VERDICT] = {"bad_verdict", PB_COUNTER_DROP, "packets", "the program chose an output that is not there"},
};

static const struct pb_brick script = {
    .name = "Script",
    .state_bytes = sizeof(struct script),
    .outputs_min = 2,
    .outputs_max = PB_OUTPUTS_MAX,
    .counters = counters,
    .counters_count = sizeof(counters) / sizeof(counters[0]),
    .init = script_init,
    .process = script_process,
};
PB_BRICK(script);
