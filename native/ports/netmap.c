/*
 * netmap.c - driver "netmap": a network interface in netmap mode, netmap's pipes, ports of
 * VALE switches. Its tables, and what depends on a port's role; see netmap/device.h,
 * netmap/rx.c and netmap/tx.c for the rest.
 *
 * Threads and ownership: as port.h says. Nothing of netmap is needed to build.
 */
#include "netmap/netmap_port.h"


static const struct pb_counter_desc netmap_counters[] = {
    [PB_NETMAP_RX_INVALID] = {"rx_invalid", PB_COUNTER_LOST, "packets", "slots of a receive ring that cannot be, or are empty"},
    [PB_NETMAP_SWAPPED] = {"swapped", PB_COUNTER_TOTAL, "packets", "put into a ring by swapping buffers, not copied"},
    [PB_NETMAP_TX_FULL] = {"tx_full", PB_COUNTER_DROP, "packets",
                           "the ring was full and no extra buffer left: the reader or the interface was too slow"},
    [PB_NETMAP_TAKEN_BACK] = {"taken_back", PB_COUNTER_DROP, "packets",
                              "waited in extra buffers that other outputs needed more: this one's queue was the longest"},
    [PB_NETMAP_TX_ERROR] = {"tx_error", PB_COUNTER_DROP, "packets", "the interface was down or gone, or its ring damaged"},
    [PB_NETMAP_TOO_LONG] = {"too_long", PB_COUNTER_DROP, "packets", "longer than a buffer of netmap's, or than the interface's MTU allows"},
    [PB_NETMAP_TOO_SHORT] = {"too_short", PB_COUNTER_DROP, "packets", "shorter than an Ethernet header"},
    [PB_NETMAP_TRUNCATED] = {"truncated", PB_COUNTER_DROP, "packets", "captured only in part: a cut frame is not sent"},
    [PB_NETMAP_LINK_TYPE] = {"link_type", PB_COUNTER_DROP, "packets", "not Ethernet"},
};
_Static_assert(sizeof(netmap_counters) / sizeof(netmap_counters[0]) == PB_NETMAP_COUNTERS, "a row for each");

static const struct pb_option_desc netmap_options[] = {
    {"queue", PB_OPTION_INTEGER, "-1", -1, PB_QUEUE_ID_MAX, "one ring of the interface, in place of a queue id; -1: all rings"},
    {"extra_buffers", PB_OPTION_INTEGER, "1024", 0, 65535,
     "buffers for bursts, which all outputs of an interface and its pipes in one engine share"},
    {"promiscuous", PB_OPTION_BOOLEAN, "1", 0, 1, "interface: receive frames for other hosts too"},
    {"force", PB_OPTION_BOOLEAN, "0", 0, 1, "interface: also one that the host needs, for its default route or SSH"},
    {"pausable", PB_OPTION_BOOLEAN, "0", 0, 1, "input: leave packets in the ring while outputs are full, so that a pipe's writer waits"},
    {NULL, 0, NULL, 0, 0, NULL},
};

static int netmap_open(struct pb_port *port, struct pb_error *error)
{
    struct pb_netmap_device *device = pb_netmap_device_open(port, error);
    if (device == NULL)
        return -error->code;
    int result = port->role == PB_PORT_INPUT ? pb_netmap_rx_open(port, device, error) : pb_netmap_tx_open(port, device, error);
    if (result < 0)
        pb_netmap_device_close(device, port->role);
    return result;
}

static bool netmap_wait(struct pb_port *port, struct pb_wait *wait)
{
    return port->role == PB_PORT_INPUT ? pb_netmap_rx_wait(port, wait) : pb_netmap_tx_wait(port, wait);
}

static void netmap_flush(struct pb_port *port)
{
    if (port->role == PB_PORT_OUTPUT)
        pb_netmap_tx_drain(port);
}

static void netmap_tick(struct pb_port *port)
{
    struct pb_netmap_device **device = port->state;
    pb_netmap_look(port, *device);
    netmap_flush(port);
}

static bool netmap_undelivered(struct pb_port *port)
{
    return port->role == PB_PORT_INPUT ? pb_netmap_rx_undelivered(port) : pb_netmap_tx_undelivered(port);
}

static void netmap_close(struct pb_port *port)
{
    struct pb_netmap_device *device = *(struct pb_netmap_device **)port->state;
    if (port->role == PB_PORT_INPUT)
        pb_netmap_rx_close(port);
    else
        pb_netmap_tx_close(port);
    port->state = NULL;
    pb_netmap_device_close(device, port->role);
}

static const struct pb_port_operations netmap_operations = {
    .open = netmap_open,
    .rx_batch = pb_netmap_rx_batch,
    .rx_release = pb_netmap_rx_release,
    .tx_batch = pb_netmap_tx_batch,
    .wait = netmap_wait,
    .tick = netmap_tick,
    .flush = netmap_flush,
    .undelivered = netmap_undelivered,
    .close = netmap_close,
};

static const struct pb_port_driver netmap_driver = {
    .name = "netmap",
    .text = "a network interface, pipe or VALE port of the netmap module",
    .input = true,
    .output = true,
    .names = PB_NAMES_INTERFACE,
    .pipes = true,
    .options = netmap_options,
    .counters = netmap_counters,
    .counters_count = PB_NETMAP_COUNTERS,
    .operations = &netmap_operations,
    .probe = pb_netmap_probe,
};
PB_PORT_DRIVER(netmap_driver);
