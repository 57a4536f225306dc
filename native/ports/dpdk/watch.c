/*
 * watch.c - a port's device as it goes on: its link, whether it is there at all, and
 * what it counts. Engine thread, but for opening and freeing.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../core/clock.h"
#include "dpdk_port.h"

#define LOOK_NS 100000000 /* between two looks at the link while nothing comes */

void pb_dpdk_watch(struct pb_port *port)
{
    struct pb_dpdk_port *s = port->state;
    bool was_down = s->down;
    s->down = !pb_device_has_link(s->device);
    if (port->role == PB_PORT_OUTPUT)
        pb_port_set_deserted(port, s->down);
    bool is_gone = atomic_load_explicit(&s->device->gone, memory_order_relaxed);
    if (is_gone && !s->gone)
        pb_port_report(port, "the device is gone; bring %s back, then stop and start the engine", s->device->name);
    else if (!is_gone && s->down && !was_down && s->device->if_index > 0)
        pb_port_report(port, "its interface %s is down, or has no link; ip link set %s up", s->device->interface, s->device->interface);
    s->gone = is_gone;
}

void pb_dpdk_watch_idle(struct pb_port *port)
{
    struct pb_dpdk_port *s = port->state;
    int64_t now_ns = pb_clock_steady_ns();
    if (now_ns - s->looked_ns < LOOK_NS)
        return;
    s->looked_ns = now_ns;
    pb_dpdk_watch(port);
}

/* ------------------------------------------------------------------------ counters */

/* What the device lost before we had it: one of its inputs counts that. */
static void count_lost(struct pb_port *port, struct pb_dpdk_port *s)
{
    struct rte_eth_stats now;
    if (rte_eth_stats_get(s->device->id, &now) < 0)
        return;
    pb_port_count(port, PB_DPDK_RX_MISSED, now.imissed - s->before.imissed);
    pb_port_count(port, PB_DPDK_RX_ERRORS, now.ierrors - s->before.ierrors);
    pb_port_count(port, PB_DPDK_RX_NO_BUFFER, now.rx_nombuf - s->before.rx_nombuf);
    s->before = now;
}

void pb_dpdk_tick(struct pb_port *port)
{
    struct pb_dpdk_port *s = port->state;
    struct pb_device *device = s->device;
    pb_dpdk_watch(port);
    pb_counter_set(&port->counters[PB_PORT_COUNTERS + PB_DPDK_BUFFERS_IN_USE], rte_mempool_in_use_count(device->pool));
    if (atomic_load_explicit(&device->gone, memory_order_relaxed))
        return;
    pthread_mutex_lock(&device->lock);
    if (device->counting == port)
        count_lost(port, s);
    int count = rte_eth_xstats_get(device->id, s->xstats, s->xstats_count);
    pthread_mutex_unlock(&device->lock);
    for (int i = 0; i < count && i < (int)s->xstats_count; i++)
        if (s->xstats[i].id < port->device_counters_count)
            pb_counter_set(&port->counters[PB_PORT_COUNTERS + PB_DPDK_COUNTERS + s->xstats[i].id], s->xstats[i].value);
}

/* "Rx Q0 packets" -> "rx_q0_packets". */
static void plain_name(char *to, size_t to_bytes, const char *name)
{
    int length = snprintf(to, to_bytes, "%s", name);
    for (int i = 0; i < length && to[i] != '\0'; i++)
        to[i] = isalnum((unsigned char)to[i]) ? (char)tolower((unsigned char)to[i]) : '_';
}

int pb_dpdk_watch_open(struct pb_port *port, struct pb_dpdk_port *s, struct pb_error *error)
{
    pb_dpdk_watch_free(port, s);
    int found = rte_eth_xstats_get_names(s->device->id, NULL, 0);
    uint32_t count = found < 0 ? 0 : (uint32_t)found;
    struct rte_eth_xstat_name *names = calloc(count + 1, sizeof(*names));
    s->xstats = calloc(count + 1, sizeof(*s->xstats));
    s->xstats_table = calloc(count + 1, sizeof(*s->xstats_table));
    s->xstats_names = calloc(count + 1, sizeof(*s->xstats_names));
    if (names == NULL || s->xstats == NULL || s->xstats_table == NULL || s->xstats_names == NULL) {
        free(names);
        pb_dpdk_watch_free(port, s);
        return pb_port_no_memory(port, error);
    }
    found = rte_eth_xstats_get_names(s->device->id, names, count);
    s->xstats_count = found < 0 ? 0 : (uint32_t)found < count ? (uint32_t)found : count;
    for (uint32_t i = 0; i < s->xstats_count; i++) {
        plain_name(s->xstats_names[i], sizeof(s->xstats_names[i]), names[i].name);
        s->xstats_table[i] = (struct pb_counter_desc){.name = s->xstats_names[i], .kind = PB_COUNTER_TOTAL,
                                                      .unit = "", .text = "the device's own count"};
    }
    free(names);
    port->device_counters = s->xstats_table;
    port->device_counters_count = s->xstats_count < PB_DPDK_XSTATS_MAX ? s->xstats_count : PB_DPDK_XSTATS_MAX;
    if (rte_eth_stats_get(s->device->id, &s->before) < 0)
        memset(&s->before, 0, sizeof(s->before));
    return 0;
}

void pb_dpdk_watch_free(struct pb_port *port, struct pb_dpdk_port *s)
{
    port->device_counters = NULL;
    port->device_counters_count = 0;
    free(s->xstats);
    free(s->xstats_table);
    free(s->xstats_names);
    s->xstats = NULL;
    s->xstats_table = NULL;
    s->xstats_names = NULL;
    s->xstats_count = 0;
}
