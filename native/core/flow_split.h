/*
 * flow_split.h - splitting a batch by flow: what LoadBalancer does, and
 * PcapReader with several outputs.
 */
#ifndef PB_FLOW_SPLIT_H
#define PB_FLOW_SPLIT_H

#include "hash.h"

struct pb_flow_split {
    uint32_t tuple; /* 2, 4 or 5 */
    uint32_t depth;
    uint32_t outputs;
};

static inline uint32_t pb_flow_pick_2(void *state, struct pb_packet *packet)
{
    const struct pb_flow_split *split = state;
    return pb_hash_output(pb_flow_hash(packet, 2), split->depth, split->outputs);
}

static inline uint32_t pb_flow_pick_4(void *state, struct pb_packet *packet)
{
    const struct pb_flow_split *split = state;
    return pb_hash_output(pb_flow_hash(packet, 4), split->depth, split->outputs);
}

/* One loop for each tuple: as a constant it costs no branch for each packet. */
static inline void pb_flow_split(struct pb_flow_split *split, const struct pb_batch *batch, struct pb_outputs *outputs)
{
    if (outputs->count == 1)
        pb_forward(batch, outputs, 0);
    else if (split->tuple == 2)
        pb_split(split, batch, outputs, pb_flow_pick_2);
    else
        pb_split(split, batch, outputs, pb_flow_pick_4);
}

#endif
