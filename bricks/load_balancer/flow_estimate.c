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
    estimates->outputs = calloc(outputs, sizeof(*estimates->outputs));
    estimates->counters = counters;
    if (estimates->registers == NULL || estimates->outputs == NULL) {
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
    free(estimates->outputs);
    *estimates = (struct pb_flow_estimates){0};
}

void pb_flow_estimates_grow(const struct pb_flow_estimates *estimates, uint32_t output, uint32_t place, uint32_t run)
{
    struct pb_flow_estimate *estimate = &estimates->outputs[output];
    estimate->flows += (double)CERTAIN / (double)estimate->chance;
    estimate->chance -= (1ULL << PB_FLOW_RUN_MAX) >> estimates->registers[place];
    estimate->chance += (1ULL << PB_FLOW_RUN_MAX) >> run;
    estimates->registers[place] = (uint8_t)run;
    pb_counter_set(&estimates->counters[output], (uint64_t)(estimate->flows + 0.5));
}
