/*
 * gauged.c - the module of the driver "gauged" (tables.c): an input without packets,
 * whose device counts other things each time that it is opened. Control thread; the
 * engine thread only waits.
 */
#include "ports/module.h"

#define STARTS 0 /* place in the driver's counters */

static const struct pb_counter_desc first_device[] = {
    {"rx_good_packets", PB_COUNTER_TOTAL, "packets", "received"},
    {"rx_packets", PB_COUNTER_DROP, "packets", "named as one of the port's own, and no drop"},
};
static const struct pb_counter_desc second_device[] = {
    {"tx_errors", PB_COUNTER_TOTAL, "packets", "not sent"},
    {"rx_good_packets", PB_COUNTER_TOTAL, "packets", "received"},
    {"temperature", PB_COUNTER_GAUGE, "degrees", "of the device"},
};

static int gauged_open(struct pb_port *port, struct pb_error *error)
{
    (void)error;
    pb_counter *starts = &port->counters[PB_PORT_COUNTERS + STARTS];
    pb_counter *device = starts + 1;
    pb_counter_add(starts, 1);
    bool is_first = port->device_counters == NULL;
    port->device_counters = is_first ? first_device : second_device;
    port->device_counters_count = is_first ? 2 : 3;
    for (uint32_t i = 0; i < port->device_counters_count; i++)
        pb_counter_set(&device[i], (is_first ? 100 : 200) + i);
    return 0;
}

static uint32_t gauged_rx_batch(struct pb_port *port, struct pb_packet *packets, uint32_t packets_max)
{
    (void)port, (void)packets, (void)packets_max;
    return 0;
}

static void gauged_rx_release(struct pb_port *port)
{
    (void)port;
}

static bool gauged_wait(struct pb_port *port, struct pb_wait *wait)
{
    (void)port;
    *wait = (struct pb_wait){.fd = -1, .timeout_ns = -1};
    return true;
}

static void gauged_close(struct pb_port *port)
{
    (void)port;
}

static const struct pb_port_operations gauged_operations = {
    .open = gauged_open,
    .rx_batch = gauged_rx_batch,
    .rx_release = gauged_rx_release,
    .wait = gauged_wait,
    .close = gauged_close,
};

static const struct pb_port_operations *operations(const char *driver)
{
    (void)driver;
    return &gauged_operations;
}

__attribute__((visibility("default"))) const struct pb_module_exports pb_module_exports = {.operations = operations};
