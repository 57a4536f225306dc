/*
 * veth.c - driver "veth": a pair of virtual interfaces of its own.
 *
 * Port "bro0" is the pair bro0 / bro0-in. Applications and containers use bro0;
 * the engine's traffic goes through bro0-in, which the packet driver's functions
 * carry (packet.h). A pair that exists is used and left alone; a pair that we
 * created lasts over stop and start, until the last port on it is destroyed.
 *
 * Threads: open, close and destroy on the control thread, which alone touches
 * the table of pairs. Memory: port->state is kept from the first open() to
 * destroy(), because it says whether this port holds a pair of the table.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "packet.h"
#include "rtnetlink.h"

#define INNER_SUFFIX "-in"
#define OUTER_NAME_MAX (IFNAMSIZ - 1 - (sizeof(INNER_SUFFIX) - 1)) /* 12 */
#define PAIRS_MAX PB_PORTS_MAX

/* A pair that this process created; an input and an output may share it. */
struct veth_pair {
    char name[IFNAMSIZ];
    int inner_index;
    uint32_t holders; /* ports; 0: the row is free */
};
static struct veth_pair pairs[PAIRS_MAX];

struct veth {
    struct pb_packet_socket socket; /* first: packet.h finds it at port->state */
    struct veth_pair *pair;         /* NULL: not ours to remove */
};

static bool is_veth(const struct pb_link *link)
{
    return strcmp(link->kind, "veth") == 0;
}

/* The pair's row, or a free one; NULL: none left. */
static struct veth_pair *pair_find(const char *name)
{
    struct veth_pair *unused = NULL;
    for (uint32_t i = 0; i < PAIRS_MAX; i++) {
        if (pairs[i].holders > 0 && strcmp(pairs[i].name, name) == 0)
            return &pairs[i];
        if (pairs[i].holders == 0 && unused == NULL)
            unused = &pairs[i];
    }
    return unused;
}

static int pair_create(struct pb_port *port, const char *inner, int *inner_index, struct pb_error *error)
{
    uint32_t mtu = (uint32_t)pb_port_option_integer(port, "mtu");
    struct pb_link link = {.index = 0}, outer = {.index = 0};
    int result = pb_link_create_veth(port->name, inner, mtu);
    if (result == -EPERM)
        return pb_port_fail(port, error, EPERM, "no permission to create interfaces; run as root or grant "
                            "CAP_NET_ADMIN (setcap cap_net_admin,cap_net_raw+ep PROGRAM)");
    if (result < 0)
        return pb_port_fail_errno(port, error, -result,
                                  result == -EOPNOTSUPP ? "load the veth module (modprobe veth)" : "change the name or the mtu (?mtu=)",
                                  "cannot create %s and %s with an mtu of %u", port->name, inner, mtu);
    result = pb_link_get(inner, &link);
    if (result == 0)
        result = pb_link_get(port->name, &outer);
    /* Of the engine's end nothing but the engine's packets shall come out. Without
     * IPv6 there is nothing to silence, so a failure does not matter. */
    if (result == 0)
        (void)pb_link_set_silent(link.index);
    if (result == 0)
        result = pb_link_set_up(link.index, true);
    if (result == 0)
        result = pb_link_set_up(outer.index, true);
    if (result < 0) {
        if (link.index > 0)
            (void)pb_link_delete(link.index);
        return pb_port_fail_errno(port, error, -result, "start the engine again", "cannot set %s up", port->name);
    }
    *inner_index = link.index;
    return 0;
}

/* Take hold of a pair of ours: one that other ports hold, or a new one. */
static int pair_hold(struct pb_port *port, struct veth *veth, const char *inner, struct pb_error *error)
{
    struct veth_pair *pair = veth->pair != NULL ? veth->pair : pair_find(port->name);
    if (pair == NULL)
        return pb_port_fail(port, error, ENOSPC, "%u pairs exist already; delete an engine", PAIRS_MAX);
    /* The outer end may be in a container; what must be there is ours. */
    struct pb_link link;
    if (pair->holders == 0 || pb_link_get(inner, &link) < 0 || link.index != pair->inner_index) {
        int result = pair_create(port, inner, &pair->inner_index, error);
        if (result < 0)
            return result;
    }
    if (veth->pair == NULL) {
        snprintf(pair->name, sizeof(pair->name), "%s", port->name);
        pair->holders++;
        veth->pair = pair;
    }
    return 0;
}

static void pair_let_go(struct veth *veth)
{
    struct veth_pair *pair = veth->pair;
    veth->pair = NULL;
    /* By index: a pair that somebody made since under our name is not ours. -ENODEV: it is gone already. */
    if (pair != NULL && --pair->holders == 0)
        (void)pb_link_delete(pair->inner_index);
}

/* See that the pair exists, ours or not. */
static int pair_ensure(struct pb_port *port, struct veth *veth, const char *inner, struct pb_error *error)
{
    struct veth_pair *known = pair_find(port->name);
    if (veth->pair != NULL || (known != NULL && known->holders > 0))
        return pair_hold(port, veth, inner, error);

    struct pb_link a, b;
    int outer_result = pb_link_get(port->name, &a), inner_result = pb_link_get(inner, &b);
    if (outer_result == -ENODEV && inner_result == -ENODEV)
        return pair_hold(port, veth, inner, error);
    if (outer_result == -ENODEV || inner_result == -ENODEV) {
        const char *one = outer_result < 0 ? inner : port->name;
        return pb_port_fail(port, error, EEXIST, "interface %s exists without %s; delete it (ip link delete %s) or use "
                            "another name", one, outer_result < 0 ? port->name : inner, one);
    }
    int result = outer_result < 0 ? outer_result : inner_result;
    if (result < 0)
        return pb_port_fail_errno(port, error, -result, "see what ip link shows of them", "cannot look up %s and %s", port->name,
                                  inner);
    if (!is_veth(&a) || !is_veth(&b) || a.peer_index != b.index)
        return pb_port_fail(port, error, EEXIST, "interfaces %s and %s exist and are not a veth pair; use another name",
                            port->name, inner);
    return 0;
}

static int veth_open(struct pb_port *port, struct pb_error *error)
{
    char inner[IFNAMSIZ];
    if (strlen(port->name) > OUTER_NAME_MAX)
        return pb_port_fail(port, error, ENAMETOOLONG, "the name is too long; use one of at most %zu bytes", OUTER_NAME_MAX);
    snprintf(inner, sizeof(inner), "%.12s" INNER_SUFFIX, port->name);
    struct veth *veth = port->state != NULL ? port->state : calloc(1, sizeof(*veth));
    if (veth == NULL)
        return pb_port_no_memory(port, error);
    bool held = veth->pair != NULL;
    int result = pair_ensure(port, veth, inner, error);
    if (result == 0)
        result = pb_packet_open(port, &veth->socket, inner, error);
    if (result < 0 && !held)
        pair_let_go(veth);
    if (result < 0 && port->state == NULL)
        free(veth);
    else
        port->state = veth;
    return result;
}

static void veth_destroy(struct pb_port *port)
{
    if (port->state == NULL)
        return;
    pair_let_go(port->state);
    free(port->state);
    port->state = NULL;
}

static const struct pb_option_desc options[] = {
    {"mtu", PB_OPTION_INTEGER, "1500", 68, 65535, "MTU of a pair that is created, in bytes"},
    PB_PACKET_OPTIONS,
    {.name = NULL},
};

static const struct pb_port_operations veth_operations = {
    .open = veth_open,
    .rx_batch = pb_packet_rx_batch,
    .rx_release = pb_packet_rx_release,
    .tx_batch = pb_packet_tx_batch,
    .wait = pb_packet_wait,
    .tick = pb_packet_tick,
    .flush = pb_packet_flush,
    .close = pb_packet_close,
    .destroy = veth_destroy,
};

static const struct pb_port_driver veth_driver = {
    .name = "veth",
    .text = "a veth pair NAME / NAME-in, created if need be: the engine is at NAME-in",
    .input = true,
    .output = true,
    .names = PB_NAMES_NEW_INTERFACE,
    .options = options,
    .counters = pb_packet_counters,
    .counters_count = PB_PACKET_COUNTERS,
    .operations = &veth_operations,
};
PB_PORT_DRIVER(veth_driver);
