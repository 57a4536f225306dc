/*
 * load_balancer.c - LoadBalancer: each flow to one output. See README.md.
 * Engine thread; the state is the executor's, what it points at is the brick's own.
 */
#include <errno.h>

#include "brick.h"
#include "buckets.h"
#include "core/error.h"
#include "core/flow.h"
#include "core/toeplitz.h"
#include "flow_estimate.h"
#include "load_balancer.h"

struct load_balancer {
    struct pb_flow flow;
    void (*split)(void *state, const struct pb_batch *batch, struct pb_outputs *outputs);
    uint32_t depth;
    uint32_t outputs;
    bool rehash;
    uint32_t changes;           /* the outputs' when `buckets` were last brought up to date */
    struct pb_buckets *buckets; /* NULL: multiply and shift */
    struct pb_flow_estimates flows;
};

/* How packets are looked at: a loop for each, so that what cannot be costs no branch. */
enum kind {
    ANY = 0, /* options decide for each packet */
    SYMMETRIC = 0,
    SYMMETRIC_2 = SYMMETRIC + 2, /* the tuple */
    SYMMETRIC_4 = SYMMETRIC + 4,
    SYMMETRIC_5 = SYMMETRIC + 5,
    TOEPLITZ = 8,
    TOEPLITZ_2 = TOEPLITZ + 2,
    TOEPLITZ_4 = TOEPLITZ + 4,
    TOEPLITZ_5 = TOEPLITZ + 5,
    NIC = 16,
};

static inline __attribute__((always_inline)) struct pb_flow_hashes hashes_of(struct load_balancer *balancer,
                                                                             struct pb_packet *packet, enum kind kind)
{
    if (kind == ANY)
        return pb_flow_hashes(&balancer->flow, packet);
    if (kind == NIC) {
        uint32_t hash = pb_flow_hash_nic(packet, balancer->flow.tuple);
        return (struct pb_flow_hashes){hash, hash};
    }
    if (kind >= TOEPLITZ)
        return pb_flow_hashes_plain(&balancer->flow, packet, kind - TOEPLITZ, true);
    return pb_flow_hashes_plain(&balancer->flow, packet, kind, false);
}

static inline __attribute__((always_inline)) uint32_t output_of(const struct load_balancer *balancer, uint32_t hash,
                                                                enum kind kind)
{
    if (kind >= TOEPLITZ && kind != NIC)
        return balancer->buckets->narrow[hash];
    if ((kind == ANY || kind == NIC) && balancer->buckets != NULL)
        return balancer->buckets->now[balancer->flow.toeplitz ? hash : pb_hash_seed(hash, balancer->depth) >> 16];
    return pb_hash_output(hash, balancer->depth, balancer->outputs);
}

static inline __attribute__((always_inline)) uint32_t pick(struct load_balancer *balancer, struct pb_packet *packet,
                                                           enum kind kind)
{
    struct pb_flow_hashes hashes = hashes_of(balancer, packet, kind);
    uint32_t output = output_of(balancer, hashes.split, kind);
    if (kind != ANY || hashes.identity != 0)
        pb_flow_estimates_add(&balancer->flows, output, hashes.identity);
    return output;
}

#define SPLIT(kind)                                                                                                    \
    static inline uint32_t pick_##kind(void *state, struct pb_packet *packet)                                          \
    {                                                                                                                  \
        return pick(state, packet, kind);                                                                              \
    }                                                                                                                  \
    static void split_##kind(void *state, const struct pb_batch *batch, struct pb_outputs *outputs)                    \
    {                                                                                                                  \
        pb_split(state, batch, outputs, pick_##kind);                                                                  \
    }
SPLIT(SYMMETRIC_2)
SPLIT(SYMMETRIC_4)
SPLIT(SYMMETRIC_5)
SPLIT(TOEPLITZ_2)
SPLIT(TOEPLITZ_4)
SPLIT(TOEPLITZ_5)
SPLIT(NIC)
SPLIT(ANY)

static void choose_split(struct load_balancer *balancer, enum pb_load_balancer_hash hash)
{
    const struct pb_flow *flow = &balancer->flow;
    bool toeplitz = flow->toeplitz;
    bool narrow = toeplitz && balancer->outputs <= PB_BUCKETS_NARROW;
    if (hash == PB_LOAD_BALANCER_NIC)
        balancer->split = split_NIC;
    else if (flow->inner || flow->fragments != NULL || (balancer->buckets != NULL && !narrow))
        balancer->split = split_ANY;
    else if (flow->tuple == 2)
        balancer->split = toeplitz ? split_TOEPLITZ_2 : split_SYMMETRIC_2;
    else if (flow->tuple == 4)
        balancer->split = toeplitz ? split_TOEPLITZ_4 : split_SYMMETRIC_4;
    else
        balancer->split = toeplitz ? split_TOEPLITZ_5 : split_SYMMETRIC_5;
}

static int open_buckets(struct load_balancer *balancer, const struct pb_load_balancer_config *options, struct pb_error *error)
{
    if (options->weights == 0 && !balancer->rehash && !balancer->flow.toeplitz)
        return 0;
    if (options->weights != 0 && options->weights != balancer->outputs)
        return pb_fail(error, EINVAL, "brick \"LoadBalancer\": %u weights for %u outputs; give one for each output",
                       options->weights, balancer->outputs);
    double weights[PB_OUTPUTS_MAX], sum = 0;
    memcpy(weights, options + 1, options->weights * sizeof(weights[0]));
    for (uint32_t i = 0; i < options->weights; i++)
        sum += weights[i];
    if (options->weights != 0 && !(sum > 0))
        return pb_fail(error, EINVAL, "brick \"LoadBalancer\": all weights are 0; give one output more");
    enum pb_bucket_homes homes = !balancer->flow.toeplitz ? PB_HOMES_RANGES
                                 : options->weights == 0  ? PB_HOMES_TOEPLITZ
                                                          : PB_HOMES_SCATTERED;
    return pb_buckets_open(&balancer->buckets, balancer->outputs, options->weights == 0 ? NULL : weights, homes, error);
}

/* A table for as many datagrams as asked, or more. */
static int open_fragments(struct load_balancer *balancer, uint32_t datagrams, struct pb_error *error)
{
    uint32_t entries = PB_FRAGMENTS_MIN;
    while (entries < datagrams)
        entries *= 2;
    return datagrams == 0 ? 0 : pb_fragments_open(&balancer->flow.fragments, entries, error);
}

static void fini(void *state)
{
    struct load_balancer *balancer = state;
    pb_buckets_close(balancer->buckets);
    pb_fragments_close(balancer->flow.fragments);
    pb_flow_estimates_close(&balancer->flows);
    *balancer = (struct load_balancer){0};
}

static int init(void *state, const void *config, const struct pb_brick_setup *setup, struct pb_error *error)
{
    const struct pb_load_balancer_config *options = config;
    struct load_balancer *balancer = state;
    if (options->hash == PB_LOAD_BALANCER_NIC && (options->inner || options->fragments))
        return pb_fail(error, EINVAL, "brick \"LoadBalancer\": the network card's hash is of whole outer headers; "
                                      "give no tunnel and no fragments with hash = \"nic\"");
    *balancer = (struct load_balancer){
        .flow = {.tuple = options->tuple,
                 .level = setup->level,
                 .toeplitz = options->hash == PB_LOAD_BALANCER_TOEPLITZ,
                 .inner = options->inner != 0,
                 .counters = setup->counters},
        .depth = setup->depth,
        .outputs = setup->outputs,
        .rehash = options->rehash != 0,
        .changes = UINT32_MAX,
    };
    int status = pb_flow_estimates_open(&balancer->flows, setup->outputs, setup->output_counters, error);
    if (status == 0)
        status = open_buckets(balancer, options, error);
    if (status == 0)
        status = open_fragments(balancer, options->fragments, error);
    if (status < 0)
        fini(state);
    else
        choose_split(balancer, options->hash);
    return status;
}

/* Readers came or went: their flows move. */
static void refresh(struct load_balancer *balancer, const struct pb_outputs *outputs)
{
    bool living[PB_OUTPUTS_MAX];
    for (uint32_t i = 0; i < outputs->count; i++)
        living[i] = !pb_output_deserted(outputs, i);
    balancer->changes = outputs->changes;
    pb_buckets_set_living(balancer->buckets, living);
}

static void process(void *state, const struct pb_batch *batch, struct pb_outputs *outputs)
{
    struct load_balancer *balancer = state;
    if (balancer->rehash && balancer->changes != outputs->changes)
        refresh(balancer, outputs);
    pb_flow_begin(&balancer->flow, batch);
    balancer->split(state, batch, outputs);
}

static const struct pb_counter_desc counters[PB_FLOW_COUNTERS] = {PB_FLOW_COUNTER_DESCS};

static const struct pb_counter_desc output_counters[] = {
    {"flows", PB_COUNTER_TOTAL, "flows", "distinct flows since the start, estimated: standard error 2.6 %"},
};

static const struct pb_brick load_balancer = {
    .name = "LoadBalancer",
    .config_bytes = sizeof(struct pb_load_balancer_config),
    .config_tail = true,
    .state_bytes = sizeof(struct load_balancer),
    .outputs_min = 1,
    .outputs_max = PB_OUTPUTS_MAX,
    .counters = counters,
    .counters_count = PB_FLOW_COUNTERS,
    .output_counters = output_counters,
    .output_counters_count = 1,
    .init = init,
    .process = process,
    .fini = fini,
};
PB_BRICK(load_balancer);
