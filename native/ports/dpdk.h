/*
 * dpdk.h - what the tables of the drivers "dpdk" and "memif" (dpdk.c) and their
 * module (dpdk/) agree on: the order of their counters, and limits.
 */
#ifndef PB_DPDK_H
#define PB_DPDK_H

/* The drivers' own counters, in the order of their table. */
enum pb_dpdk_counter {
    PB_DPDK_RX_MISSED,
    PB_DPDK_RX_ERRORS,
    PB_DPDK_RX_NO_BUFFER,
    PB_DPDK_RX_TOO_LONG,
    PB_DPDK_TX_FULL,
    PB_DPDK_LINK_DOWN,
    PB_DPDK_NO_BUFFER,
    PB_DPDK_TOO_LONG,
    PB_DPDK_TOO_SHORT,
    PB_DPDK_TRUNCATED,
    PB_DPDK_LINK_TYPE,
    PB_DPDK_TX_COPIES,
    PB_DPDK_BUFFERS_IN_USE,
    PB_DPDK_COUNTERS
};

#define PB_DPDK_XSTATS_MAX 256 /* of the device's own counters, as many are shown */
#define PB_DPDK_QUEUES_MAX 64  /* of a device, each way */

#endif
