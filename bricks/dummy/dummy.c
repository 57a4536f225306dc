/*
 * dummy.c - Dummy: passes every packet on.
 */
#include "brick.h"

static const struct pb_brick dummy = {
    .name = "Dummy",
    .outputs_min = 1,
    .outputs_max = 1,
    .process = pb_brick_pass,
};
PB_BRICK(dummy);
