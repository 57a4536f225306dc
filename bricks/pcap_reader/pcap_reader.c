/*
 * pcap_reader.c - PcapReader: what its capture port reads, split over its
 * outputs by flow. Engine thread; the state is the executor's.
 */
#include "brick.h"
#include "core/flow_split.h"

static int init(void *state, const void *config, const struct pb_brick_setup *setup, struct pb_error *error)
{
    (void)config;
    (void)error;
    *(struct pb_flow_split *)state =
        (struct pb_flow_split){.tuple = 4, .depth = setup->depth, .outputs = setup->outputs};
    return 0;
}

static void process(void *state, const struct pb_batch *batch, struct pb_outputs *outputs)
{
    pb_flow_split(state, batch, outputs);
}

static const struct pb_brick pcap_reader = {
    .name = "PcapReader",
    .state_bytes = sizeof(struct pb_flow_split),
    .outputs_min = 1,
    .outputs_max = PB_OUTPUTS_MAX,
    .init = init,
    .process = process,
};
PB_BRICK(pcap_reader);
