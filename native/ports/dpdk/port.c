/*
 * port.c - the drivers "dpdk" and "memif": opening and closing ports, and what the
 * module exports. They differ in how a device is named.
 *
 * Threads and ownership: as ports/port.h says. Memory of packets is the pools' of the
 * devices (setup.c).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_lcore.h>

#include "../module.h"
#include "dpdk_port.h"
#include "eal.h"

static int make_wish(const struct pb_port *port, struct pb_device_wish *wish, struct pb_error *error)
{
    wish->queues = (uint32_t)pb_port_option_integer(port, "queues");
    wish->mbufs = (uint32_t)pb_port_option_integer(port, "mbufs");
    if (pb_port_option_is_said(port, "mbuf_bytes"))
        wish->mbuf_bytes = (uint32_t)pb_port_option_integer(port, "mbuf_bytes");
    if (strcmp(port->driver->name, "memif") == 0)
        return pb_memif_wish(port, wish, error);
    wish->mtu = (uint32_t)pb_port_option_integer(port, "mtu");
    wish->promiscuous = port->role == PB_PORT_INPUT && pb_port_option_boolean(port, "promiscuous");
    snprintf(wish->arguments, sizeof(wish->arguments), "%s", port->name);
    return 0;
}

/* ------------------------------------------------------------------- open, close */

static int open_input(struct pb_port *port, struct pb_dpdk_port *s, struct pb_error *error)
{
    int32_t queue = port->queue_id >= 0 ? port->queue_id : (int32_t)pb_port_option_integer(port, "queue");
    int result = pb_device_claim(s->device, port, queue, error);
    if (result < 0)
        return result;
    s->rx = (struct pb_dpdk_rx){.first_queue = queue < 0 ? 0 : (uint16_t)queue,
                                .queues = queue < 0 ? s->device->queues : 1,
                                .idle_ns = IDLE_NS_MIN};
    port->writable = true;
    port->pausable = port->endless = pb_port_option_boolean(port, "pausable");
    return pb_dpdk_rx_open(port, s, error);
}

/* The queue that the fewest use. */
static int open_output(struct pb_port *port, struct pb_dpdk_port *s, struct pb_error *error)
{
    uint16_t queue = 0;
    for (uint16_t q = 1; q < s->device->queues; q++)
        if (s->device->tx[q].users < s->device->tx[queue].users)
            queue = q;
    s->tx = (struct pb_dpdk_tx){.queue = queue, .turn = &s->device->tx[queue], .retry_ns = IDLE_NS_MIN};
    int result = pb_dpdk_tx_open(port, s, error);
    if (result < 0)
        return result;
    s->tx.turn->users++;
    atomic_store(&port->awaited, pb_port_option_boolean(port, "wait"));
    s->down = !pb_device_has_link(s->device);
    pb_port_set_deserted(port, s->down);
    return 0;
}

/* The device, from the first open() to destroy(); one that is gone is looked for again. */
static int hold_device(struct pb_port *port, struct pb_dpdk_port *s, const struct pb_device_wish *wish, struct pb_error *error)
{
    if (s->device != NULL && atomic_load(&s->device->gone)) {
        pb_dpdk_watch_free(port, s);
        pb_device_drop(s->device);
        s->device = NULL;
    }
    if (s->device == NULL)
        s->device = pb_device_hold(port, wish, error);
    return s->device == NULL ? -error->code : 0;
}

static int open_device(struct pb_port *port, struct pb_dpdk_port *s, const struct pb_device_wish *wish, struct pb_error *error)
{
    int result = pb_device_open(s->device, port, wish, error);
    if (result < 0)
        return result;
    s->id = s->device->id;
    s->down = s->gone = false;
    result = pb_dpdk_watch_open(port, s, error);
    if (result == 0 && port->role == PB_PORT_INPUT)
        result = open_input(port, s, error);
    else if (result == 0)
        result = open_output(port, s, error);
    if (result < 0)
        pb_device_close(s->device, port);
    return result;
}

static void dpdk_destroy(struct pb_port *port)
{
    struct pb_dpdk_port *s = port->state;
    if (s == NULL)
        return;
    pb_dpdk_watch_free(port, s);
    if (s->device != NULL)
        pb_device_drop(s->device);
    free(s);
    port->state = NULL;
}

static int dpdk_open(struct pb_port *port, struct pb_error *error)
{
    struct pb_device_wish wish = {.mtu = 0};
    int result = make_wish(port, &wish, error);
    if (result < 0)
        return result;
    if (port->state == NULL)
        port->state = calloc(1, sizeof(struct pb_dpdk_port));
    if (port->state == NULL)
        return pb_port_no_memory(port, error);
    result = hold_device(port, port->state, &wish, error);
    if (result == 0)
        result = open_device(port, port->state, &wish, error);
    if (result < 0)
        dpdk_destroy(port);
    return result;
}

static void dpdk_close(struct pb_port *port)
{
    struct pb_dpdk_port *s = port->state;
    if (port->role == PB_PORT_INPUT) {
        pb_dpdk_rx_free(port, s);
    } else {
        pb_dpdk_tx_free(s);
        s->tx.turn->users--;
    }
    pb_device_close(s->device, port);
    /* What is still in use now is in the rings of devices that run. */
    pb_counter_set(&port->counters[PB_PORT_COUNTERS + PB_DPDK_BUFFERS_IN_USE],
                   s->device->pool == NULL ? 0 : rte_mempool_in_use_count(s->device->pool));
}

/* ------------------------------------------------------------------ engine threads */

/* DPDK gives threads that it knows caches of free buffers. One more than it can know goes without. */
static _Thread_local uint32_t registered_ports;

static void dpdk_thread_start(struct pb_port *port)
{
    struct pb_dpdk_port *s = port->state;
    s->registered = registered_ports > 0 || (rte_lcore_id() == LCORE_ID_ANY && rte_thread_register() == 0);
    registered_ports += s->registered;
}

static void dpdk_thread_end(struct pb_port *port)
{
    struct pb_dpdk_port *s = port->state;
    if (s->registered && --registered_ports == 0)
        rte_thread_unregister();
    s->registered = false;
}

/* ------------------------------------------------------------------------- exports */

static bool dpdk_wait(struct pb_port *port, struct pb_wait *wait)
{
    return port->role == PB_PORT_INPUT ? pb_dpdk_rx_wait(port, wait) : pb_dpdk_tx_wait(port, wait);
}

static const struct pb_port_operations operations = {
    .open = dpdk_open,
    .thread_start = dpdk_thread_start,
    .thread_end = dpdk_thread_end,
    .rx_batch = pb_dpdk_rx_batch,
    .rx_release = pb_dpdk_rx_release,
    .tx_batch = pb_dpdk_tx_batch,
    .wait = dpdk_wait,
    .tick = pb_dpdk_tick,
    .attend = pb_dpdk_watch,
    .close = dpdk_close,
    .destroy = dpdk_destroy,
};

static const struct pb_port_operations *operations_of(const char *driver)
{
    (void)driver; /* one table for both: what one lends the other sends without a copy */
    return &operations;
}

PB_MODULE_API extern const struct pb_module_exports pb_module_exports;
const struct pb_module_exports pb_module_exports = {.operations = operations_of, .setup = pb_eal_setup};
