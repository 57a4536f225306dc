/*
 * port.c - the operations of driver "xdp": opening and closing a port, and what both
 * directions share. rx.c receives, tx.c sends. Threads: as ports/port.h says.
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h> /* before those of the kernel, which know that it may have been included */

#include <linux/ethtool.h>
#include <linux/if_arp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xdp/libxdp.h>

#include "../host_route.h"
#include "../module.h"
#include "xdp_port.h"

#define NAPI_LOOKS 10 /* at the interface for one at its NAPI contexts, which costs more: one a second */
#define NAPI_DEFER_FROM_NS 500000 /* of rx_usecs: XDP_NAPI_DEFER_NS more are little */
/* The longest that packets wait unless the port says: a sleep that no packet ends must not be longer than a ring takes
 * to fill. */
#define COALESCE_USECS 2000
#define CARD_PACKETS_PER_USEC 16 /* 10 Gbit/s of the shortest frames */
#define VETH_PACKETS_PER_USEC 4  /* what it can hold between two looks: see XDP_NAPI_DEFER_NS */

/* --------------------------------------------------------------------- both ways */

void pb_xdp_look(struct pb_port *port, struct xdp_port *s)
{
    struct ifreq answer;
    if (s->interface.gone)
        return;
    if (!pb_interface_ask(&s->interface, SIOCGIFFLAGS, &answer))
        pb_interface_lost(port, &s->interface, true);
    else if (!(answer.ifr_flags & IFF_UP))
        pb_interface_lost(port, &s->interface, false);
    else if (s->interface.down && pb_interface_has_link(&s->interface))
        s->interface.down = false;
    if (pb_interface_ask(&s->interface, SIOCGIFMTU, &answer))
        s->mtu = (uint32_t)answer.ifr_mtu;
    if (port->role == PB_PORT_INPUT && !s->interface.down && s->rx.looks++ % NAPI_LOOKS == 0)
        pb_xdp_napi_keep(&s->rx.napis, s->queues);
}

static bool xdp_wait(struct pb_port *port, struct pb_wait *wait)
{
    return port->role == PB_PORT_INPUT ? pb_xdp_rx_wait(port, port->state, wait) : pb_xdp_tx_wait(port, port->state, wait);
}

static void count(struct pb_port *port)
{
    if (port->role == PB_PORT_INPUT)
        pb_xdp_rx_count(port, port->state);
    else
        pb_xdp_tx_count(port, port->state);
}

static void xdp_tick(struct pb_port *port)
{
    pb_xdp_look(port, port->state);
    if (port->role == PB_PORT_OUTPUT)
        pb_xdp_tx_kick(port, port->state);
    count(port);
}

static void xdp_flush(struct pb_port *port)
{
    if (port->role == PB_PORT_OUTPUT)
        pb_xdp_tx_kick(port, port->state);
}

/* ----------------------------------------------------------------------- options */

/* The place of an option's word in `words`; -EINVAL with text. */
static int choose(const struct pb_port *port, const char *key, const char *const *words, struct pb_error *error)
{
    char text[32];
    pb_port_option_string(port, key, text, sizeof(text));
    for (int i = 0; words[i] != NULL; i++)
        if (strcmp(words[i], text) == 0)
            return i;
    return pb_port_fail(port, error, EINVAL, "option \"%s\" is \"%s\"; it must be %s, %s or %s", key, text, words[0], words[1],
                        words[2]);
}

static uint32_t power_of_two(uint32_t value)
{
    uint32_t power = 1;
    while (power < value)
        power *= 2;
    return power;
}

/* How many queues the interface has for the port's role. */
static uint32_t queues_of(struct xdp_port *s, enum pb_port_role role)
{
    struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
    if (!pb_interface_ethtool(&s->interface, &channels))
        return 1;
    uint32_t own = role == PB_PORT_INPUT ? channels.rx_count : channels.tx_count;
    return own + channels.combined_count > 0 ? own + channels.combined_count : 1;
}

/* ------------------------------------------------------------------- open, close */

static void release(struct pb_port *port, struct xdp_port *s)
{
    if (port->role == PB_PORT_INPUT) {
        pb_xdp_napi_close(&s->rx.napis);
        for (uint32_t i = 0; s->rx.program != NULL && i < s->count; i++)
            pb_xdp_program_remove(s->rx.program, s->queues[i]);
        if (s->rx.program != NULL)
            pb_xdp_program_close(s->rx.program, &s->interface);
        pb_xdp_rx_close(s);
    }
    for (uint32_t i = 0; i < s->count; i++)
        pb_xdp_queue_close(port, s->queues[i]);
    if (s->interface.fd >= 0)
        close(s->interface.fd);
    free(s->queues);
    free(s);
}

/* An input takes the queue that it names, or all; what belongs to an interface's ports is in one UMEM. */
static int open_input_queues(struct pb_port *port, struct xdp_port *s, struct xdp_request *request, int64_t queue,
                             uint32_t have, struct pb_error *error)
{
    uint32_t count = queue >= 0 ? 1 : have;
    s->queues = calloc(count, sizeof(struct xdp_queue *));
    if (s->queues == NULL)
        return pb_port_no_memory(port, error);
    for (uint32_t i = 0; i < count; i++) {
        request->queue = queue >= 0 ? (uint32_t)queue : i;
        int result = pb_xdp_queue_open(port, request, &s->queues[i], error);
        if (result < 0)
            return result;
        s->count++;
        if (s->queues[i]->umem != s->queues[0]->umem)
            return pb_port_fail(port, error, EINVAL, "an output of this engine uses %s otherwise; give both the same "
                                "?mode=", request->interface);
        request->mode = s->queues[0]->umem->zerocopy ? XDP_MODE_ZEROCOPY : XDP_MODE_COPY;
    }
    return 0;
}

/* An output takes the queue that it names, or the first that it can have. */
static int open_output_queue(struct pb_port *port, struct xdp_port *s, struct xdp_request *request, int64_t queue,
                             uint32_t have, struct pb_error *error)
{
    s->queues = calloc(1, sizeof(struct xdp_queue *));
    if (s->queues == NULL)
        return pb_port_no_memory(port, error);
    int result = -EBUSY;
    uint32_t from = queue >= 0 ? (uint32_t)queue : 0, to = queue >= 0 ? (uint32_t)queue + 1 : have;
    for (request->queue = from; result == -EBUSY && request->queue < to; request->queue++)
        result = pb_xdp_queue_open(port, request, &s->queues[0], error);
    s->count = result == 0;
    return result;
}

static int open_queues(struct pb_port *port, struct xdp_port *s, struct xdp_request *request, struct pb_error *error)
{
    int64_t said = pb_port_option_integer(port, "queue"), queue = said >= 0 ? said : port->queue_id;
    uint32_t have = queues_of(s, port->role);
    if (queue >= (int64_t)have)
        return pb_port_fail_queue(port, error, request->interface, (uint32_t)queue, have, "give it more (ethtool -L)");
    return port->role == PB_PORT_INPUT ? open_input_queues(port, s, request, queue, have, error)
                                       : open_output_queue(port, s, request, queue, have, error);
}

/* From now on the host does not see the traffic. */
static int take_traffic(const struct pb_port *port, struct xdp_port *s, const struct xdp_request *request,
                        enum xdp_attach attach, struct pb_error *error)
{
    int result = pb_xdp_program_open(port, request, &s->interface, attach, &s->rx.program, error);
    for (uint32_t i = 0; result == 0 && i < s->count; i++)
        result = pb_xdp_program_add(port, s->rx.program, s->queues[i], error);
    return result;
}

static bool is_veth(const struct pb_link *link)
{
    return strcmp(link->kind, "veth") == 0;
}

static uint64_t coalesce_ns(const struct pb_port *port, const struct pb_link *link, uint32_t ring)
{
    int64_t usecs = pb_port_option_integer(port, "rx_usecs"), fill = ring / (is_veth(link) ? VETH_PACKETS_PER_USEC : CARD_PACKETS_PER_USEC);
    if (usecs < 0)
        usecs = fill < COALESCE_USECS ? fill : COALESCE_USECS;
    return (uint64_t)usecs * 1000;
}

/* The kernel's half of a veth: it waits for many packets where the engine does so much longer; or it has a thread. */
static int set_napis(const struct pb_port *port, struct xdp_port *s, const struct pb_link *link, struct pb_error *error)
{
    bool threaded = pb_port_option_boolean(port, "threaded");
    bool deferred = is_veth(link) && s->rx.coalesce_ns >= NAPI_DEFER_FROM_NS;
    enum xdp_napi_way way = threaded ? XDP_NAPI_THREADED : deferred ? XDP_NAPI_DEFERRED : XDP_NAPI_UNTOUCHED;
    int result = threaded && !is_veth(link) ? -EOPNOTSUPP : pb_xdp_napi_open(&s->rx.napis, way, s->queues, s->count);
    if (result == 0 || !threaded)
        return 0; /* it is only slower without */
    return pb_port_fail_errno(port, error, -result, "this needs a veth, ?attach=native and Linux 6.17; leave ?threaded= out",
                              "no kernel thread to receive from %s", s->interface.name);
}

static int open_port(struct pb_port *port, struct xdp_port *s, const struct pb_link *link, struct pb_error *error)
{
    static const char *const modes[] = {"auto", "zerocopy", "copy", NULL};
    static const char *const attachs[] = {"auto", "native", "skb", NULL};
    int mode = choose(port, "mode", modes, error), attach = mode < 0 ? mode : choose(port, "attach", attachs, error);
    if (attach < 0)
        return attach;
    if (mode == XDP_MODE_ZEROCOPY && attach == XDP_ATTACH_SKB)
        return pb_port_fail(port, error, EINVAL, "?mode=zerocopy does not go with ?attach=skb; use ?attach=native");
    if (link->hardware != ARPHRD_ETHER)
        return pb_port_fail(port, error, EPROTONOSUPPORT, "%s is not Ethernet (hardware type %u); use packet:%s",
                            s->interface.name, link->hardware, s->interface.name);
    struct xdp_request request = {.interface = s->interface.name,
                                  .index = link->index,
                                  .frame_max = link->mtu + 14 + PB_VLAN_TAG_BYTES,
                                  .mode = attach == XDP_ATTACH_SKB ? XDP_MODE_COPY : (enum xdp_mode)mode,
                                  .ring = power_of_two((uint32_t)pb_port_option_integer(port, "ring")),
                                  .umem_bytes = (size_t)pb_port_option_integer(port, "umem_mb") << 20};
    bool promiscuous = port->role == PB_PORT_INPUT && pb_port_option_boolean(port, "promiscuous");
    struct pb_error reason;
    /* Whoever has not the rights is told of all that it takes, not of the first that the port would miss. */
    if (port->driver->probe(&reason) < 0)
        return pb_port_fail(port, error, reason.code, "%s", reason.text);
    int result = port->role == PB_PORT_INPUT ? pb_host_guard(port, error) : 0;
    if (result == 0)
        result = pb_interface_open(port, &s->interface, promiscuous, error);
    if (result == 0)
        result = open_queues(port, s, &request, error);
    if (result < 0 || port->role == PB_PORT_OUTPUT)
        return result;
    s->rx.coalesce_ns = coalesce_ns(port, link, request.ring);
    result = pb_xdp_rx_open(port, s, error);
    if (result == 0)
        result = take_traffic(port, s, &request, (enum xdp_attach)attach, error);
    return result < 0 ? result : set_napis(port, s, link, error);
}

static int xdp_open(struct pb_port *port, struct pb_error *error)
{
    struct pb_link link;
    int result = pb_interface_find(port, port->name, &link, error);
    if (result < 0)
        return result;
    struct xdp_port *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return pb_port_no_memory(port, error);
    memcpy(s->interface.name, port->name, strlen(port->name) + 1); /* it has an index, so it fits */
    s->interface.index = link.index;
    s->interface.fd = -1;
    s->mtu = link.mtu;
    if (port->role == PB_PORT_INPUT)
        s->rx.epoll_fd = -1;
    result = open_port(port, s, &link, error);
    if (result < 0) {
        release(port, s);
        return result;
    }
    if (port->role == PB_PORT_OUTPUT)
        pb_xdp_tx_open(s);
    port->writable = port->role == PB_PORT_INPUT; /* a chunk is ours until it goes back to the kernel */
    port->state = s;
    pb_xdp_look(port, s);
    return 0;
}

static void xdp_close(struct pb_port *port)
{
    struct xdp_port *s = port->state;
    count(port);
    if (port->role == PB_PORT_OUTPUT)
        pb_xdp_tx_close(port, s);
    release(port, s);
    port->state = NULL;
}

/* -------------------------------------------------------------------- the module */

static const struct pb_port_operations xdp_operations = {
    .open = xdp_open,
    .rx_batch = pb_xdp_rx_batch,
    .rx_release = pb_xdp_rx_release,
    .tx_batch = pb_xdp_tx_batch,
    .wait = xdp_wait,
    .tick = xdp_tick,
    .flush = xdp_flush,
    .close = xdp_close,
};

/* What the libraries would print is said by our own texts. */
static const struct pb_port_operations *operations(const char *driver)
{
    (void)driver;
    libbpf_set_print(NULL);
    libxdp_set_print(NULL);
    return &xdp_operations;
}

extern const struct pb_module_exports pb_module_exports;
PB_MODULE_API const struct pb_module_exports pb_module_exports = {.operations = operations};
