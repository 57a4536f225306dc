/*
 * tap.c - driver "tap": an interface whose other end is the engine.
 *
 * What the host sends on the interface the engine receives, and the other way
 * round. The kernel's interface is a file descriptor to us, one read() or write()
 * for each frame; it goes away with the last port that has it open. One input
 * and any number of outputs share a descriptor, of one engine or several.
 *
 * Threads: open and close on the control thread, which alone touches the table
 * of taps; the rest on the engine's. Memory: received frames lie one after the
 * other in an arena that the port owns, lent out until rx_release().
 *
 * Source: Documentation/networking/tuntap.rst, drivers/net/tun.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../core/clock.h"
#include "port.h"
#include "rtnetlink.h"

#define TAPS_MAX 256
#define FRAME_BYTES_MAX PB_FRAME_BYTES_LIVE_MAX
#define FRAME_ALIGNMENT 16
#define ARENA_BYTES (4u << 20) /* touched only as far as batches fill it */
#define MTU_MAX (FRAME_BYTES_MAX - ETH_HLEN)
#define LOOK_NS INT64_C(500000000) /* an interface that goes down wakes nobody: look after this */

enum tap_counter { TX_FULL, TX_ERROR, TOO_LONG, TOO_SHORT, TRUNCATED, LINK_TYPE, KERNEL_DROPS, TAP_COUNTERS };
static const struct pb_counter_desc counters[] = {
    {"tx_full", PB_COUNTER_DROP, "packets", "the host did not take the frame in time"},
    {"tx_error", PB_COUNTER_DROP, "packets", "the interface was down, gone, or refused the frame"},
    {"too_long", PB_COUNTER_DROP, "packets", "longer than 65535 bytes"},
    {"too_short", PB_COUNTER_DROP, "packets", "shorter than an Ethernet header"},
    {"truncated", PB_COUNTER_DROP, "packets", "captured only in part: a cut frame is not sent"},
    {"link_type", PB_COUNTER_DROP, "packets", "not an Ethernet frame"},
    {"kernel_drops", PB_COUNTER_LOST, "packets", "the interface's queue was full: the engine was too slow"},
};
_Static_assert(sizeof(counters) / sizeof(counters[0]) == TAP_COUNTERS, "a row for each counter");

/* An open tap. */
static struct tap_device {
    char name[IFNAMSIZ];
    int fd;
    uint32_t holders; /* ports; 0: the row is free */
    bool has_input;
} devices[TAPS_MAX];

struct tap {
    struct tap_device *device;
    uint8_t *arena; /* inputs only */
    int query_fd;   /* any socket: interface flags are not asked of a tap's descriptor */
    bool down;      /* reported; until it is up again */
    bool gone;      /* reported; the interface will not come back */
    bool refused;   /* tx_batch() stopped */
    uint64_t dropped; /* inputs only: packets by the kernel, as counted so far */
};

/* What the kernel has dropped on the way to us; `dropped` as it was where the interface is not to be asked: it is gone, or in
 * another network namespace. */
static uint64_t kernel_drops(const struct tap *tap)
{
    struct ifreq name;
    struct pb_link link;
    if (ioctl(tap->device->fd, TUNGETIFF, &name) < 0 || pb_link_get(name.ifr_name, &link) < 0)
        return tap->dropped;
    return link.tx_dropped;
}

/* Notice that the interface went down, away or came up. For tick() and after errors. */
static void check(struct pb_port *port, struct tap *tap)
{
    /* The descriptor knows the name even of a renamed interface, and no name once it is removed. */
    struct ifreq answer = {.ifr_flags = 0};
    const char *name = tap->device->name;
    if (tap->gone)
        return;
    if (ioctl(tap->device->fd, TUNGETIFF, &answer) < 0) {
        tap->gone = true;
        pb_port_report(port, "the interface is gone; stop and start the engine to create %s again", name);
        return;
    }
    if (ioctl(tap->query_fd, SIOCGIFFLAGS, &answer) < 0) {
        tap->down = false; /* in another network namespace, a container's: writing will tell */
        return;
    }
    bool down = !(answer.ifr_flags & IFF_UP);
    if (down && !tap->down)
        pb_port_report(port, "the interface is down; ip link set %s up", name);
    tap->down = down;
}

static uint32_t tap_rx_batch(struct pb_port *port, struct pb_packet *packets, uint32_t packets_max)
{
    struct tap *tap = port->state;
    uint32_t count = 0, used = 0;
    uint64_t bytes = 0, now_ns = 0;
    /* A frame is cut to the room it gets: stop where the longest would not fit. */
    while (!tap->gone && count < packets_max && ARENA_BYTES - used >= PB_FRAME_BYTES_MAX) {
        ssize_t n = read(tap->device->fd, tap->arena + used, PB_FRAME_BYTES_MAX);
        if (n <= 0) {
            if (errno != EAGAIN && errno != EINTR)
                check(port, tap); /* removed: poll() would return at once for ever */
            break;
        }
        if (now_ns == 0)
            now_ns = pb_clock_wall_ns();
        pb_packet_init(&packets[count++], tap->arena + used, (uint32_t)n, (uint32_t)n, now_ns, PB_LINK_ETHERNET);
        bytes += (uint64_t)n;
        used += ((uint32_t)n + FRAME_ALIGNMENT - 1) / FRAME_ALIGNMENT * FRAME_ALIGNMENT;
    }
    if (count > 0)
        pb_port_received(port, count, bytes);
    return count;
}

static void tap_rx_release(struct pb_port *port)
{
    (void)port; /* the next rx_batch() begins at the arena's start */
}

/* The counter of the reason why a packet must not be sent; TAP_COUNTERS: none. */
static enum tap_counter objection(const struct tap *tap, const struct pb_packet *packet)
{
    if (tap->gone || tap->down)
        return TX_ERROR;
    if (packet->link_type != PB_LINK_ETHERNET)
        return LINK_TYPE;
    if (packet->captured_len < packet->wire_len)
        return TRUNCATED;
    if (packet->captured_len < ETH_HLEN)
        return TOO_SHORT;
    return packet->captured_len > FRAME_BYTES_MAX ? TOO_LONG : TAP_COUNTERS;
}

static uint32_t tap_tx_batch(struct pb_port *port, const struct pb_tx *tx)
{
    struct tap *tap = port->state;
    uint32_t done = 0;
    uint64_t sent = 0, bytes = 0;
    if (tap->down)
        check(port, tap); /* perhaps it is up again */
    tap->refused = false;
    for (; done < tx->count; done++) {
        const struct pb_packet *packet = &tx->packets[tx->index[done]];
        enum tap_counter reason = objection(tap, packet);
        if (reason == TAP_COUNTERS) {
            if (write(tap->device->fd, packet->data, packet->captured_len) >= 0) {
                sent++;
                bytes += packet->captured_len;
                continue;
            }
            bool full = errno == EAGAIN || errno == ENOBUFS;
            tap->refused = full && tx->may_wait;
            if (tap->refused)
                break;
            reason = full ? TX_FULL : TX_ERROR;
            if (!full)
                check(port, tap); /* do not try each frame of a batch on an interface that is down */
        }
        pb_port_count(port, reason, 1);
    }
    if (sent > 0)
        pb_port_sent(port, sent, bytes);
    return done;
}

static bool tap_wait(struct pb_port *port, struct pb_wait *wait)
{
    struct tap *tap = port->state;
    bool is_input = port->role == PB_PORT_INPUT;
    if (is_input)
        check(port, tap);
    bool waits = !tap->gone && (is_input || tap->refused);
    *wait = (struct pb_wait){.fd = waits ? tap->device->fd : -1,
                             .events = is_input ? POLLIN : POLLOUT,
                             .timeout_ns = is_input && !tap->gone ? LOOK_NS : -1};
    return true;
}

static void tap_tick(struct pb_port *port)
{
    struct tap *tap = port->state;
    check(port, tap);
    if (port->role != PB_PORT_INPUT)
        return;
    uint64_t now = kernel_drops(tap);
    if (now > tap->dropped)
        pb_port_count(port, KERNEL_DROPS, now - tap->dropped);
    tap->dropped = now;
}

/* Create the interface, or attach to a persistent one, and set it up. */
static int create(struct pb_port *port, int *fd, struct pb_error *error)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    struct pb_link link;
    memcpy(request.ifr_name, port->name, strlen(port->name));
    *fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (*fd < 0 && (errno == EACCES || errno == EPERM))
        return pb_port_fail(port, error, errno, "no permission for /dev/net/tun; run as root, or grant it (setfacl -m u:USER:rw "
                            "/dev/net/tun) and CAP_NET_ADMIN");
    if (*fd < 0)
        return pb_port_fail_errno(port, error, errno, "load the tun module (modprobe tun)", "cannot open /dev/net/tun");
    int code = ioctl(*fd, TUNSETIFF, &request) < 0 ? errno : 0;
    if (code == EPERM)
        return pb_port_fail(port, error, EPERM, "no permission to create interfaces; run as root or grant "
                            "CAP_NET_ADMIN (setcap cap_net_admin+ep PROGRAM)");
    if (code == EBUSY)
        return pb_port_fail(port, error, EBUSY, "another program has this tap open; use another name");
    if (code == EINVAL)
        return pb_port_fail(port, error, EINVAL, "an interface of this name exists and is not a tap; use another name");
    if (code != 0)
        return pb_port_fail_errno(port, error, code, "use another name", "cannot create the tap");
    int64_t mtu = pb_port_option_integer(port, "mtu");
    int result = pb_link_get(port->name, &link);
    if (result == 0)
        result = pb_link_set_mtu(link.index, (uint32_t)mtu);
    if (result == 0)
        result = pb_link_set_up(link.index, true);
    if (result == -EPERM)
        return pb_port_fail(port, error, EPERM, "no permission to set an mtu of %lld and the tap up; run as root or "
                            "grant CAP_NET_ADMIN (setcap cap_net_admin+ep PROGRAM)", (long long)mtu);
    if (result < 0)
        return pb_port_fail_errno(port, error, -result, "use another mtu (?mtu=)", "cannot set the tap up with an mtu of %lld",
                                  (long long)mtu);
    return 0;
}

/* A removed interface's descriptor may still be held by another engine: of no use to a new port. */
static bool device_alive(const struct tap_device *device)
{
    struct ifreq answer;
    return ioctl(device->fd, TUNGETIFF, &answer) == 0;
}

static int device_hold(struct pb_port *port, struct tap *tap, struct pb_error *error)
{
    struct tap_device *device = NULL;
    for (uint32_t i = 0; i < TAPS_MAX; i++) {
        if (devices[i].holders > 0 && strcmp(devices[i].name, port->name) == 0 && device_alive(&devices[i])) {
            device = &devices[i];
            break;
        }
        if (devices[i].holders == 0 && device == NULL)
            device = &devices[i];
    }
    if (device == NULL)
        return pb_port_fail(port, error, ENOSPC, "%d taps are open already; delete an engine", TAPS_MAX);
    if (port->role == PB_PORT_INPUT && device->holders > 0 && device->has_input)
        return pb_port_fail(port, error, EBUSY, "this tap is an input already; link one engine to it, or use another "
                            "name");
    if (device->holders == 0) {
        *device = (struct tap_device){.fd = -1};
        memcpy(device->name, port->name, strlen(port->name));
        int result = create(port, &device->fd, error);
        if (result < 0) {
            if (device->fd >= 0)
                close(device->fd);
            return result;
        }
    }
    device->holders++;
    device->has_input |= port->role == PB_PORT_INPUT;
    tap->device = device;
    return 0;
}

static void tap_close(struct pb_port *port)
{
    struct tap *tap = port->state;
    struct tap_device *device = tap->device;
    if (device != NULL) {
        if (port->role == PB_PORT_INPUT)
            device->has_input = false;
        if (--device->holders == 0)
            close(device->fd);
    }
    if (tap->arena != NULL)
        munmap(tap->arena, ARENA_BYTES);
    if (tap->query_fd >= 0)
        close(tap->query_fd);
    free(tap);
    port->state = NULL;
}

static int tap_open(struct pb_port *port, struct pb_error *error)
{
    if (port->name[0] == '\0' || strlen(port->name) >= IFNAMSIZ)
        return pb_port_fail(port, error, EINVAL, "an interface's name has 1 to %d bytes; use another name", IFNAMSIZ - 1);
    struct tap *tap = calloc(1, sizeof(*tap));
    if (tap == NULL)
        return pb_port_no_memory(port, error);
    port->state = tap;
    port->writable = true; /* the arena is overwritten by the next batch */
    int result = 0;
    tap->query_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (tap->query_fd < 0)
        result = pb_port_fail_errno(port, error, errno, "use a kernel with CONFIG_UNIX", "no socket to ask about it");
    if (result == 0 && port->role == PB_PORT_INPUT) {
        void *arena = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (arena == MAP_FAILED)
            result = pb_port_no_memory(port, error);
        else
            tap->arena = arena;
    }
    if (result == 0)
        result = device_hold(port, tap, error);
    if (result < 0)
        tap_close(port);
    else if (port->role == PB_PORT_INPUT)
        tap->dropped = kernel_drops(tap);
    return result;
}

static const struct pb_option_desc options[] = {
    {"mtu", PB_OPTION_INTEGER, "1500", 68, MTU_MAX, "MTU of the interface, in bytes"},
    {.name = NULL},
};

static const struct pb_port_operations tap_operations = {
    .open = tap_open,
    .rx_batch = tap_rx_batch,
    .rx_release = tap_rx_release,
    .tx_batch = tap_tx_batch,
    .wait = tap_wait,
    .tick = tap_tick,
    .close = tap_close,
};

static const struct pb_port_driver tap_driver = {
    .name = "tap",
    .text = "a tap interface: the host is at its other end",
    .input = true,
    .output = true,
    .names = PB_NAMES_NEW_INTERFACE,
    .options = options,
    .counters = counters,
    .counters_count = TAP_COUNTERS,
    .operations = &tap_operations,
};
PB_PORT_DRIVER(tap_driver);
