/*
 * packet.c - driver "packet": a network interface through AF_PACKET.
 *
 * Receives a copy of the traffic; the host keeps its own. Here is what both
 * directions share: opening and closing the socket and its ring, and the care for
 * an interface that goes down, away or comes back. packet/rx.c receives,
 * packet/tx.c sends; the veth driver uses all of it (packet.h).
 *
 * Threads: as port.h says; nothing here locks. Memory: the kernel owns the rings,
 * we map them from open() to close().
 *
 * Sources: packet(7), Documentation/networking/packet_mmap.rst.
 */
#include "packet/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_arp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rtnetlink.h"

const struct pb_counter_desc pb_packet_counters[] = {
    {"kernel_drops", PB_COUNTER_LOST, "packets", "the receive ring was full: the engine was too slow"},
    {"rx_invalid", PB_COUNTER_LOST, "packets", "the receive ring held offsets that cannot be"},
    {"tx_full", PB_COUNTER_DROP, "packets", "the send ring was full: the interface was too slow"},
    {"tx_error", PB_COUNTER_DROP, "packets", "the interface was down, without link, gone, or refused the frame"},
    {"too_long", PB_COUNTER_DROP, "packets", "longer than the interface's MTU allows"},
    {"too_short", PB_COUNTER_DROP, "packets", "shorter than an Ethernet header"},
    {"truncated", PB_COUNTER_DROP, "packets", "captured only in part: a cut frame is not sent"},
    {"link_type", PB_COUNTER_DROP, "packets", "of another link type than the interface"},
};
_Static_assert(sizeof(pb_packet_counters) / sizeof(pb_packet_counters[0]) == PB_PACKET_COUNTERS, "a row for each");

/* ------------------------------------------------------- the interface's state */

/* The socket's interface was removed, or moved to another namespace. */
static bool detached(const struct pb_packet_socket *s)
{
    struct sockaddr_ll address;
    socklen_t bytes = sizeof(address);
    return getsockname(s->interface.fd, (struct sockaddr *)&address, &bytes) == 0 && address.sll_ifindex != s->interface.index;
}

bool pb_packet_has_nic_hash(struct pb_packet_socket *s)
{
    struct ethtool_value flags = {.cmd = ETHTOOL_GFLAGS};
    return pb_interface_ethtool(&s->interface, &flags) && (flags.data & ETH_FLAG_RXHASH) != 0;
}

void pb_packet_lost(struct pb_port *port, struct pb_packet_socket *s)
{
    pb_interface_lost(port, &s->interface, detached(s));
}

/* --------------------------------------------------------------------- both ways */

bool pb_packet_wait(struct pb_port *port, struct pb_wait *wait)
{
    return port->role == PB_PORT_INPUT ? pb_packet_rx_wait(port, port->state, wait)
                                       : pb_packet_tx_wait(port, port->state, wait);
}

void pb_packet_tick(struct pb_port *port)
{
    if (port->role == PB_PORT_INPUT)
        pb_packet_rx_tick(port, port->state);
    else
        pb_packet_tx_tick(port, port->state);
}

void pb_packet_flush(struct pb_port *port)
{
    if (port->role == PB_PORT_OUTPUT)
        pb_packet_tx_kick(port, port->state);
}

/* ------------------------------------------------------------------- open, close */

int pb_packet_set_option(const struct pb_packet_socket *s, int option, int value)
{
    return setsockopt(s->interface.fd, SOL_PACKET, option, &value, sizeof(value));
}

int pb_packet_map_ring(struct pb_port *port, struct pb_packet_socket *s, int option, const struct tpacket_req *request,
                       socklen_t bytes, struct pb_error *error)
{
    s->ring_bytes = (size_t)request->tp_block_size * request->tp_block_nr;
    void *ring = MAP_FAILED;
    if (setsockopt(s->interface.fd, SOL_PACKET, option, request, bytes) == 0)
        ring = mmap(NULL, s->ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, s->interface.fd, 0);
    if (ring == MAP_FAILED)
        return pb_port_fail_errno(port, error, errno,
                                  port->role == PB_PORT_INPUT ? "free memory, or use a smaller one (?ring_mb=)" : "free memory",
                                  "cannot have a ring of %zu MiB", s->ring_bytes >> 20);
    s->ring = ring;
    return 0;
}

int pb_packet_bind(const struct pb_packet_socket *s, uint16_t protocol)
{
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = s->interface.index};
    return bind(s->interface.fd, (struct sockaddr *)&address, sizeof(address));
}

/* Whether a SOCK_RAW socket's frames begin with an Ethernet or an IP header; -1: neither. */
static int link_type_of(uint16_t hardware)
{
    switch (hardware) {
    case ARPHRD_ETHER:
    case ARPHRD_LOOPBACK:
        return PB_LINK_ETHERNET;
    case ARPHRD_NONE:
    case ARPHRD_RAWIP:
    case ARPHRD_TUNNEL:
    case ARPHRD_TUNNEL6:
    case ARPHRD_SIT:
    case ARPHRD_PPP:
        return PB_LINK_RAW;
    default:
        return -1;
    }
}

static void release(struct pb_packet_socket *s, enum pb_port_role role)
{
    if (role == PB_PORT_INPUT)
        pb_packet_rx_leave(s);
    if (s->ring != NULL)
        munmap(s->ring, s->ring_bytes);
    if (s->interface.fd >= 0)
        close(s->interface.fd);
    s->ring = NULL;
    s->interface.fd = -1;
}

int pb_packet_open(struct pb_port *port, struct pb_packet_socket *s, const char *interface, struct pb_error *error)
{
    struct pb_link link;
    int result = pb_interface_find(port, interface, &link, error);
    if (result < 0)
        return result;
    int link_type = link_type_of(link.hardware);
    if (link_type < 0)
        return pb_port_fail(port, error, EPROTONOSUPPORT, "%s is neither Ethernet nor IP (hardware type %u); use "
                            "another interface", interface, link.hardware);

    memset(s, 0, sizeof(*s));
    memcpy(s->interface.name, interface, strlen(interface) + 1); /* it has an index, so it fits */
    s->interface.index = link.index;
    s->link_type = (uint16_t)link_type;
    s->interface.fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (s->interface.fd < 0 && (errno == EPERM || errno == EACCES))
        return pb_port_fail(port, error, errno, "no permission for packet sockets; run as root or grant CAP_NET_RAW "
                            "(setcap cap_net_raw+ep PROGRAM)");
    if (s->interface.fd < 0)
        return pb_port_fail_errno(port, error, errno, "use a kernel with CONFIG_PACKET", "no packet socket");
    port->writable = port->role == PB_PORT_INPUT; /* the ring is ours until a block goes back */
    result = port->role == PB_PORT_INPUT ? pb_packet_rx_open(port, s, error)
                                         : pb_packet_tx_open(port, s, link.mtu, error);
    if (result < 0)
        release(s, port->role);
    return result;
}

void pb_packet_close(struct pb_port *port)
{
    struct pb_packet_socket *s = port->state;
    if (port->role == PB_PORT_OUTPUT)
        pb_packet_tx_drain(port, s);
    release(s, port->role);
}

/* ----------------------------------------------------------- the driver "packet" */

static int packet_open(struct pb_port *port, struct pb_error *error)
{
    struct pb_packet_socket *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return pb_port_no_memory(port, error);
    int result = pb_packet_open(port, s, port->name, error);
    if (result < 0) {
        free(s);
        return result;
    }
    port->state = s;
    return 0;
}

static void packet_close(struct pb_port *port)
{
    pb_packet_close(port);
    free(port->state);
    port->state = NULL;
}

static const struct pb_option_desc options[] = {PB_PACKET_OPTIONS, {.name = NULL}};

static const struct pb_port_operations packet_operations = {
    .open = packet_open,
    .rx_batch = pb_packet_rx_batch,
    .rx_release = pb_packet_rx_release,
    .tx_batch = pb_packet_tx_batch,
    .wait = pb_packet_wait,
    .tick = pb_packet_tick,
    .flush = pb_packet_flush,
    .close = packet_close,
};

static const struct pb_port_driver packet_driver = {
    .name = "packet",
    .text = "a network interface (AF_PACKET): a copy of its traffic",
    .input = true,
    .output = true,
    .names = PB_NAMES_INTERFACE,
    .options = options,
    .counters = pb_packet_counters,
    .counters_count = PB_PACKET_COUNTERS,
    .operations = &packet_operations,
};
PB_PORT_DRIVER(packet_driver);
