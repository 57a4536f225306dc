/*
 * load_balancer.c - LoadBalancer: each flow to one output.
 * Engine thread; the state is the executor's.
 */
#include "brick.h"
#include "core/flow_split.h"

/* As load_balancer.ts packs it. */
struct load_balancer_config {
    uint32_t tuple; /* 2 or 4 */
};

static int init(void *state, const void *config, const struct pb_brick_setup *setup, struct pb_error *error)
{
    (void)error;
    const struct load_balancer_config *options = config;
    *(struct pb_flow_split *)state =
        (struct pb_flow_split){.tuple = options->tuple, .depth = setup->depth, .outputs = setup->outputs};
    return 0;
}

static void process(void *state, const struct pb_batch *batch, struct pb_outputs *outputs)
{
    pb_flow_split(state, batch, outputs);
}

static const struct pb_brick load_balancer = {
    .name = "LoadBalancer",
    .config_bytes = sizeof(struct load_balancer_config),
    .state_bytes = sizeof(struct pb_flow_split),
    .outputs_min = 1,
    .outputs_max = PB_OUTPUTS_MAX,
    .init = init,
    .process = process,
};
PB_BRICK(load_balancer);
