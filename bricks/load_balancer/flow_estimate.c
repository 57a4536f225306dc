/* flow_estimate.c - see flow_estimate.h. */
#include "flow_estimate.h"

#include <errno.h>
#include <stdlib.h>

#include "core/error.h"

#define CERTAIN ((uint64_t)PB_FLOW_REGISTERS << PB_FLOW_RUN_MAX)

int pb_flow_estimates_open(struct pb_flow_estimates *estimates, uint32_t outputs, pb_counter *counters,
                           struct pb_error *error)
{
    estimates->registers = calloc(outputs, PB_FLOW_REGISTERS);
    estimates->masks = calloc(outputs, PB_FLOW_REGISTERS);
    estimates->outputs = calloc(outputs, sizeof(*estimates->outputs));
    estimates->counters = counters;
    if (estimates->registers == NULL || estimates->masks == NULL || estimates->outputs == NULL) {
        pb_flow_estimates_close(estimates);
        return pb_fail(error, ENOMEM, "no memory to count the flows of %u outputs", outputs);
    }
    for (uint32_t i = 0; i < outputs; i++)
        estimates->outputs[i].chance = CERTAIN;
    return 0;
}

void pb_flow_estimates_close(struct pb_flow_estimates *estimates)
{
    free(estimates->registers);
    free(estimates->masks);
    free(estimates->outputs);
    *estimates = (struct pb_flow_estimates){0};
}

void pb_flow_estimates_grow(const struct pb_flow_estimates *estimates, uint32_t output, size_t place, uint32_t hash)
{
    uint32_t run = (uint32_t)__builtin_ctz(hash >> PB_FLOW_REGISTER_BITS | 1u << (PB_FLOW_RUN_MAX - 1)) + 1;
    uint8_t *reg = &estimates->registers[place];
    if (run <= *reg)
        return;
    struct pb_flow_estimate *estimate = &estimates->outputs[output];
    estimate->flows += (double)CERTAIN / (double)estimate->chance;
    estimate->chance -= (1ULL << PB_FLOW_RUN_MAX) >> *reg;
    estimate->chance += (1ULL << PB_FLOW_RUN_MAX) >> run;
    *reg = (uint8_t)run;
    estimates->masks[place] = (uint8_t)(run < 8 ? (1u << run) - 1 : 0xff);
    pb_counter_set(&estimates->counters[output], (uint64_t)(estimate->flows + 0.5));
}
