/*
 * pcap_writer.c - PcapWriter: every packet to its capture port, whose driver does the writing.
 */
#include "brick.h"

static const struct pb_brick pcap_writer = {
    .name = "PcapWriter",
    .outputs_min = 1,
    .outputs_max = 1,
    .process = pb_brick_pass,
};
PB_BRICK(pcap_writer);
