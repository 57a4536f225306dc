/* duplicator.c - Duplicator: every packet to every output. Engine thread; no state. */
#include "brick.h"

static void process(void *state, const struct pb_batch *batch, struct pb_outputs *outputs)
{
    (void)state;
    for (uint32_t output = 0; output < outputs->count; output++)
        pb_forward(batch, outputs, output);
}

static const struct pb_brick duplicator = {
    .name = "Duplicator",
    .outputs_min = 1,
    .outputs_max = PB_OUTPUTS_MAX,
    .copies = 1,
    .process = process,
};
PB_BRICK(duplicator);
