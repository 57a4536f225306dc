/*
 * flow_estimate.h - how many distinct flows each output has had: estimates from
 * their hashes. Made on the control thread, used on the engine thread; the memory
 * is its own, about 2 KiB for each output.
 *
 * HyperLogLog registers (Flajolet et al., 2007): each hash belongs to one
 * register, which keeps the longest run of zero bits seen there. The count is
 * kept by the rule of Cohen ("All-distances sketches", 2014) and Ting
 * ("Streamed approximate counting of distinct elements", 2014): whenever a
 * register grows, the count grows by one over the probability that an unseen
 * flow makes one grow. Unbiased for any number of flows, without corrections,
 * and it never falls. Its standard error is sqrt(ln 2 / registers) = 2.6 %; a
 * few flows are counted almost exactly. Flows whose 32-bit hashes are equal count
 * once: of 100 million flows, one in a hundred.
 *
 * Cost: less than 1 ns a packet.
 */
#ifndef PB_FLOW_ESTIMATE_H
#define PB_FLOW_ESTIMATE_H

#include <stddef.h>

#include "core/counters.h"

#define PB_FLOW_REGISTER_BITS 10
#define PB_FLOW_REGISTERS (1u << PB_FLOW_REGISTER_BITS)
/* The longest run: the bits of a hash that do not choose the register, and one. */
#define PB_FLOW_RUN_MAX (32 - PB_FLOW_REGISTER_BITS + 1)

struct pb_flow_estimates {
    uint8_t *registers; /* PB_FLOW_REGISTERS for each output */
    uint8_t *masks;     /* as many ones at the low end as the register says, at most 8: what a packet is tested with */
    struct pb_flow_estimate {
        uint64_t chance; /* the sum of 2^-register, in units of 2^-PB_FLOW_RUN_MAX */
        double flows;
    } *outputs;
    pb_counter *counters; /* one for each output: where the estimates are shown */
};

/* All zero. 0, or -ENOMEM with the text; what is given to close() then is none. */
int pb_flow_estimates_open(struct pb_flow_estimates *estimates, uint32_t outputs, pb_counter *counters,
                           struct pb_error *error);
void pb_flow_estimates_close(struct pb_flow_estimates *estimates);

/* The run of zeros that begins in this hash's eight bits may be longer than its register: seldom, some thousand
 * times in an output's life, and one packet in 256 of outputs with millions of flows. */
void pb_flow_estimates_grow(const struct pb_flow_estimates *estimates, uint32_t output, size_t place, uint32_t hash);

/* A packet of the flow with this hash went to that output. The output may have been
 * chosen by the hash's high bits: only the low ones choose the register. */
static inline void pb_flow_estimates_add(const struct pb_flow_estimates *estimates, uint32_t output, uint32_t hash)
{
    size_t place = (size_t)output << PB_FLOW_REGISTER_BITS | (hash & (PB_FLOW_REGISTERS - 1));
    if (__builtin_expect((hash >> PB_FLOW_REGISTER_BITS & estimates->masks[place]) == 0, 0))
        pb_flow_estimates_grow(estimates, output, place, hash);
}

#endif
