/*
 * xdp.c - driver "xdp": a network interface through AF_XDP. Its table.
 *
 * The operations are in a module (xdp/), which needs libxdp and libbpf. It takes the
 * interface's traffic away from the host. Control thread.
 *
 * Sources: Documentation/networking/af_xdp.rst, xsk.h of libxdp.
 */
#include "xdp.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../core/error.h"
#include "module.h"

static const struct pb_option_desc options[] = {
    {"queue", PB_OPTION_INTEGER, "-1", -1, PB_QUEUE_ID_MAX, "the only queue to use; -1: all receive queues, any to send"},
    {"mode", PB_OPTION_STRING, "auto", 0, 0, "zerocopy, copy, or auto: zerocopy where the interface's driver has it"},
    {"attach", PB_OPTION_STRING, "auto", 0, 0, "native, skb, or auto: native where the interface's driver has it"},
    {"force", PB_OPTION_BOOLEAN, "0", 0, 1, "take the traffic even of an interface that this host depends on"},
    {"promiscuous", PB_OPTION_BOOLEAN, "1", 0, 1, "receive frames for other hosts too"},
    {"rx_usecs", PB_OPTION_INTEGER, "-1", -1, 100000,
     "how long a few packets may wait for others, in microseconds; -1: 2000 of a veth, 512 of a card, or less where its ring is small"},
    {"threaded", PB_OPTION_BOOLEAN, "0", 0, 1, "veth: receive in a kernel thread (threaded NAPI) instead of on the sender's processor"},
    {"ring", PB_OPTION_INTEGER, "8192", 64, 16384, "descriptors in each ring, rounded up to a power of two"},
    {"umem_mb", PB_OPTION_INTEGER, "64", 1, 4096, "buffers of the engine's xdp ports together, in MiB; the first port's"},
    {.name = NULL},
};

static const struct pb_counter_desc counters[] = {
    {"kernel_drops", PB_COUNTER_LOST, "packets", "no buffer to receive into, or a frame too long for one"},
    {"rx_ring_full", PB_COUNTER_LOST, "packets", "the receive ring was full: the engine was too slow"},
    {"fill_ring_empty", PB_COUNTER_TOTAL, "times", "the kernel found no buffer to receive into: the engine was too slow"},
    {"rx_invalid_descs", PB_COUNTER_TOTAL, "descriptors", "the kernel refused a receive buffer"},
    {"tx_invalid_descs", PB_COUNTER_TOTAL, "descriptors", "the kernel refused a packet's descriptor"},
    {"lent", PB_COUNTER_TOTAL, "packets", "of those sent: from the buffer they were received in, not copied"},
    {"tx_full", PB_COUNTER_DROP, "packets", "the send ring was full: the interface was too slow"},
    {"no_buffer", PB_COUNTER_DROP, "packets", "no buffer was free to copy the packet to"},
    {"tx_error", PB_COUNTER_DROP, "packets", "the interface was down, without link, gone, or refused the frame"},
    {"too_long", PB_COUNTER_DROP, "packets", "longer than the interface's MTU, or than a buffer, allows"},
    {"too_short", PB_COUNTER_DROP, "packets", "shorter than an Ethernet header"},
    {"truncated", PB_COUNTER_DROP, "packets", "captured only in part: a cut frame is not sent"},
    {"link_type", PB_COUNTER_DROP, "packets", "of another link type than the interface"},
};
_Static_assert(sizeof(counters) / sizeof(counters[0]) == PB_XDP_COUNTERS, "a row for each");

static int probe(struct pb_error *error)
{
    int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        close(fd);
        return 0;
    }
    if (errno == EPERM || errno == EACCES)
        return pb_fail(error, errno, "no permission for AF_XDP sockets; " PB_XDP_RIGHTS);
    return pb_fail(error, errno, "no AF_XDP socket: %s; %s", pb_errno_words(errno),
                   pb_errno_remedy(errno, "use Linux 5.10 or later with CONFIG_XDP_SOCKETS"));
}

static const struct pb_driver_module module = {
    .file = "packet-bricks-xdp.so",
    .build_package = "libxdp-dev",
    .package = "libxdp1",
};

static const struct pb_port_driver xdp_driver = {
    .name = "xdp",
    .text = "a network interface (AF_XDP): its traffic, taken from the host",
    .input = true,
    .output = true,
    .options = options,
    .counters = counters,
    .counters_count = PB_XDP_COUNTERS,
    .module = &module,
    .probe = probe,
};
PB_PORT_DRIVER(xdp_driver);
