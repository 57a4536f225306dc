/*
 * balancer_bed.h - a LoadBalancer as an engine has it, but for ports: the bed of the
 * tests that look at where it sends packets. One thread; the bed owns all memory.
 */
#ifndef PB_BALANCER_BED_H
#define PB_BALANCER_BED_H

#include "../bricks/load_balancer/load_balancer.h"
#include "core/flow.h"
#include "engine/engine.h"

#define BED_BYTES 60
#define BED_PACKETS 256
#define BED_OUTPUTS_MAX 300

struct bed {
    const struct pb_brick *brick;
    void *state;
    pb_counter counters[PB_FLOW_COUNTERS], output_counters[BED_OUTPUTS_MAX];
    uint8_t frames[BED_PACKETS][BED_BYTES];
    struct pb_packet packets[BED_PACKETS];
    uint16_t indices[BED_PACKETS];
    uint16_t to[BED_OUTPUTS_MAX][BED_PACKETS];
    struct pb_vector vectors[BED_OUTPUTS_MAX], *pointers[BED_OUTPUTS_MAX];
    struct pb_output ports[BED_OUTPUTS_MAX];
    struct pb_edge edges[BED_OUTPUTS_MAX];
    uint32_t outputs, changes;
};

/* `weights` behind the options: as many as those say. */
static inline void bed_open_weighted(struct bed *bed, struct pb_load_balancer_config options, const double *weights,
                                     uint32_t outputs, uint32_t depth)
{
    uint8_t config[sizeof(options) + BED_OUTPUTS_MAX * sizeof(double)];
    memcpy(config, &options, sizeof(options));
    if (weights != NULL)
        memcpy(config + sizeof(options), weights, options.weights * sizeof(double));
    memset(bed, 0, sizeof(*bed));
    bed->outputs = outputs;
    for (uint32_t o = 0; o < outputs; o++) {
        bed->vectors[o].index = bed->to[o];
        bed->pointers[o] = &bed->vectors[o];
        bed->edges[o].to_output = &bed->ports[o];
    }
    bed->brick = pb_brick_find("LoadBalancer");
    bed->state = aligned_alloc(64, (bed->brick->state_bytes + 63) / 64 * 64);
    struct pb_error error = {0};
    struct pb_brick_setup setup = {.outputs = outputs,
                                   .depth = depth,
                                   .level = depth + 1,
                                   .config_bytes = (uint32_t)(sizeof(options) + options.weights * sizeof(double)),
                                   .counters = bed->counters,
                                   .output_counters = bed->output_counters};
    CHECK_EQUAL(bed->brick->init(bed->state, config, &setup, &error), 0);
}

static inline void bed_open(struct bed *bed, struct pb_load_balancer_config options, uint32_t outputs, uint32_t depth)
{
    bed_open_weighted(bed, options, NULL, outputs, depth);
}

static inline void bed_close(struct bed *bed)
{
    bed->brick->fini(bed->state);
    free(bed->state);
}

/* The reader of an output goes, or comes. */
static inline void bed_desert(struct bed *bed, uint32_t output, bool deserted)
{
    bed->ports[output].port.deserted = deserted;
    bed->changes++;
}

/* A new packet of the frame of that number. */
static inline void bed_packet(struct bed *bed, uint32_t i)
{
    pb_packet_init(&bed->packets[i], bed->frames[i], BED_BYTES, BED_BYTES, 0, PB_LINK_ETHERNET);
}

/* The first `count` packets as one batch: the output of each. All arrive, once and in order. */
static inline void bed_run(struct bed *bed, uint32_t count, uint32_t *where)
{
    for (uint32_t i = 0; i < count; i++)
        bed->indices[i] = (uint16_t)i;
    for (uint32_t o = 0; o < bed->outputs; o++)
        bed->vectors[o].count = 0;
    struct pb_batch batch = {.packets = bed->packets, .index = bed->indices, .count = count};
    struct pb_outputs outputs = {.vectors = bed->pointers, .count = bed->outputs, .changes = bed->changes, .edges = bed->edges};
    bed->brick->process(bed->state, &batch, &outputs);
    uint32_t arrived = 0;
    for (uint32_t o = 0; o < bed->outputs; o++)
        for (uint32_t i = 0; i < bed->vectors[o].count; i++, arrived++) {
            CHECK(i == 0 || bed->to[o][i] > bed->to[o][i - 1]);
            where[bed->to[o][i]] = o;
        }
    CHECK_EQUAL(arrived, count);
}

#endif
