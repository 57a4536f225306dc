/*
 * dpdk.c - the tables of the drivers "dpdk", any device that DPDK knows, and
 * "memif", its shared-memory interface by a short name. Their operations are in the
 * module dpdk/, loaded at first use. Control thread.
 */
#include "dpdk.h"

#include "module.h"

static const struct pb_counter_desc counters[] = {
    {"rx_missed", PB_COUNTER_LOST, "packets", "the device's receive ring was full: the engine was too slow"},
    {"rx_errors", PB_COUNTER_LOST, "packets", "the device received them damaged"},
    {"rx_no_buffer", PB_COUNTER_LOST, "packets", "no buffer was free to receive them in (?mbufs=)"},
    {"rx_too_long", PB_COUNTER_LOST, "packets", "received in segments of more than 65535 bytes together"},
    {"tx_full", PB_COUNTER_DROP, "packets", "the device's send ring was full: it, or its reader, was too slow"},
    {"link_down", PB_COUNTER_DROP, "packets", "no link, no peer, or the device is gone"},
    {"no_buffer", PB_COUNTER_DROP, "packets", "no buffer was free to copy them into (?mbufs=)"},
    {"too_long", PB_COUNTER_DROP, "packets", "longer than the device's MTU, or than its buffers allow"},
    {"too_short", PB_COUNTER_DROP, "packets", "shorter than an Ethernet header"},
    {"truncated", PB_COUNTER_DROP, "packets", "captured only in part: a cut frame is not sent"},
    {"link_type", PB_COUNTER_DROP, "packets", "not of Ethernet"},
    {"tx_copies", PB_COUNTER_TOTAL, "packets", "copied into a buffer; the others were sent as they were received"},
    {"buffers_in_use", PB_COUNTER_GAUGE, "buffers", "of the device's pool, in rings and under way"},
};
_Static_assert(sizeof(counters) / sizeof(counters[0]) == PB_DPDK_COUNTERS, "a row for each");

/* Rows that both drivers have. */
#define OPTIONS                                                                                                        \
    {"queues", PB_OPTION_INTEGER, "0", 0, PB_DPDK_QUEUES_MAX,                                                          \
     "queues of the device, each way; 0: as its other ports say, or 1"},                                               \
        {"mbufs", PB_OPTION_INTEGER, "0", 0, 1 << 22, "buffers of the device's pool; 0: by its queues"},               \
        {"mbuf_bytes", PB_OPTION_INTEGER, "2048", 256, 65408, "bytes of a packet that a buffer holds; longer ones take several"}, \
        {"pausable", PB_OPTION_BOOLEAN, "0", 0, 1, "input: leave packets in the device rather than drop them behind it"}, \
    {                                                                                                                  \
        "wait", PB_OPTION_BOOLEAN, "0", 0, 1, "output: sources that can pause wait for link and peer"                  \
    }

static const struct pb_option_desc dpdk_options[] = {
    OPTIONS,
    {"queue", PB_OPTION_INTEGER, "-1", -1, PB_DPDK_QUEUES_MAX - 1, "input: the receive queue; -1: all, or the engine's queue id"},
    {"mtu", PB_OPTION_INTEGER, "0", 0, 65517, "MTU to configure, bytes; 0: the device's"},
    {"promiscuous", PB_OPTION_BOOLEAN, "1", 0, 1, "receive frames for other hosts too"},
    {.name = NULL},
};

static const struct pb_option_desc memif_options[] = {
    OPTIONS,
    {"queue", PB_OPTION_INTEGER, "-1", -1, PB_DPDK_QUEUES_MAX - 1, "input: the receive ring; -1: all, or the engine's queue id"},
    {"id", PB_OPTION_INTEGER, "0", 0, 4294967295.0, "of the interface: several share a socket"},
    {"role", PB_OPTION_STRING, "server", 0, 0, "server, which makes the socket, or client"},
    {"secret", PB_OPTION_STRING, "", 0, 0, "both sides must know it, at most 24 bytes"},
    {"rsize", PB_OPTION_INTEGER, "10", 1, 14, "client: packets in a ring, as a power of two"},
    {"bsize", PB_OPTION_INTEGER, "2048", 64, 65535, "client: bytes of a ring's buffer; longer packets take several"},
    {"zero_copy", PB_OPTION_BOOLEAN, "0", 0, 1, "client: lend the peer the buffers themselves, and all memory of DPDK"},
    {.name = NULL},
};

static const struct pb_driver_module module = {
    .file = "packet-bricks-dpdk.so",
    .build_package = "libdpdk-dev",
    .package = "librte-meta-net",
};

static const struct pb_port_driver dpdk_driver = {
    .name = "dpdk",
    .names = PB_NAMES_DEVICE,
    .text = "a device of DPDK: a PCI address, or a virtual device with its arguments",
    .input = true,
    .output = true,
    .options = dpdk_options,
    .counters = counters,
    .counters_count = PB_DPDK_COUNTERS,
    .device_counters_max = PB_DPDK_XSTATS_MAX,
    .module = &module,
};
PB_PORT_DRIVER(dpdk_driver);

static const struct pb_port_driver memif_driver = {
    .name = "memif",
    .names = PB_NAMES_DEVICE,
    .text = "a memif socket: shared memory with applications of DPDK and VPP",
    .input = true,
    .output = true,
    .options = memif_options,
    .counters = counters,
    .counters_count = PB_DPDK_COUNTERS,
    .device_counters_max = PB_DPDK_XSTATS_MAX,
    .module = &module,
};
PB_PORT_DRIVER(memif_driver);
