/*
 * merge.c - Merge: all inputs to one output. The executor has put the packets of a
 * batch back in order of arrival before it hands them over.
 */
#include "brick.h"

static const struct pb_brick merge = {
    .name = "Merge",
    .outputs_min = 1,
    .outputs_max = 1,
    .process = pb_brick_pass,
};
PB_BRICK(merge);
