/*
 * pcap_reader.c - PcapReader: what its capture port reads, split over its
 * outputs by flow. Engine thread; the state is the executor's.
 */
#include "brick.h"
#include "core/hash.h"

struct pcap_reader {
    uint32_t depth;
    uint32_t outputs;
};

static int init(void *state, const void *config, const struct pb_brick_setup *setup, struct pb_error *error)
{
    (void)config;
    (void)error;
    *(struct pcap_reader *)state = (struct pcap_reader){.depth = setup->depth, .outputs = setup->outputs};
    return 0;
}

/* As LoadBalancer does with tuple 4. */
static inline uint32_t pick(void *state, struct pb_packet *packet)
{
    const struct pcap_reader *reader = state;
    return pb_hash_output(pb_flow_hash(packet, 4), reader->depth, reader->outputs);
}

static void process(void *state, const struct pb_batch *batch, struct pb_outputs *outputs)
{
    if (outputs->count == 1)
        pb_forward(batch, outputs, 0);
    else
        pb_split(state, batch, outputs, pick);
}

static const struct pb_brick pcap_reader = {
    .name = "PcapReader",
    .state_bytes = sizeof(struct pcap_reader),
    .outputs_min = 1,
    .outputs_max = PB_OUTPUTS_MAX,
    .init = init,
    .process = process,
};
PB_BRICK(pcap_reader);
