/*
 * device.c - see device.h: registering, and the care for the interface behind it.
 */
#include "device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../../core/error.h"
#include "../host_route.h"
#include "memory.h"

static struct pb_netmap_device *devices;

/* ------------------------------------------------------------ other ports of it */

static bool overlaps(int32_t queue, int32_t other)
{
    return queue < 0 || other < 0 || queue == other;
}

/* Rings are written without a lock: two ports must not have the same. */
static int check_unused(const struct pb_port *port, int32_t queue, struct pb_error *error)
{
    for (const struct pb_netmap_device *d = devices; d != NULL; d = d->next)
        if (d->has_port[port->role] && strcmp(d->name, port->name) == 0 && overlaps(queue, d->queue))
            return pb_port_fail(port, error, EBUSY, "another port %s its rings; give each engine a queue of its own%s",
                                port->role == PB_PORT_INPUT ? "reads" : "writes",
                                port->role == PB_PORT_INPUT ? ", by its queue id or ?queue=" : " (?queue=)");
    return 0;
}

static struct pb_netmap_device *find(const struct pb_port *port, int32_t queue)
{
    struct pb_netmap_device *d = devices;
    while (d != NULL && (d->engine != port->engine_handle || d->queue != queue || strcmp(d->name, port->name) != 0))
        d = d->next;
    return d;
}

/* Extra buffers to ask for: what the engine has for this interface and its pipes together shall be
 * as many as the port says. An input asks where there are outputs to need them. */
static uint32_t extras_wanted(const struct pb_port *port)
{
    uint32_t wanted = (uint32_t)pb_port_option_integer(port, "extra_buffers"), have = 0;
    size_t base = strcspn(port->name, "{}");
    bool needed = port->role == PB_PORT_OUTPUT;
    for (const struct pb_netmap_device *d = devices; d != NULL; d = d->next) {
        if (d->engine != port->engine_handle || strcspn(d->name, "{}") != base || strncmp(d->name, port->name, base) != 0)
            continue;
        have += d->extras;
        needed |= d->has_port[PB_PORT_OUTPUT];
    }
    return needed && wanted > have ? wanted - have : 0;
}

/* ------------------------------------------------------------------- registering */

/* Open netmap's own device. The descriptor, or -errno with a text that does not say who asked. */
static int open_netmap(struct pb_error *reason)
{
    int fd = open(NETMAP_DEVICE, O_RDWR | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    if (errno == EACCES || errno == EPERM)
        return pb_fail(reason, errno, "no permission for " NETMAP_DEVICE "; run as root, or grant it (setfacl -m u:USER:rw "
                       NETMAP_DEVICE ")");
    if (errno == ENOENT || errno == ENXIO || errno == ENODEV)
        return pb_fail(reason, errno, "there is no " NETMAP_DEVICE "; load the netmap module (modprobe netmap): Debian has no "
                       "package, build it from github.com/luigirizzo/netmap with linux-headers-amd64");
    return pb_fail(reason, errno, "cannot open " NETMAP_DEVICE ": %s; %s", pb_errno_words(errno),
                   pb_errno_remedy(errno, "see the kernel log"));
}

int pb_netmap_probe(struct pb_error *error)
{
    int fd = open_netmap(error);
    if (fd >= 0)
        close(fd);
    return fd < 0 ? fd : 0;
}

static int refused(const struct pb_port *port, int32_t queue, int code, struct pb_error *error)
{
    char have[256];
    switch (code) {
    case ENXIO:
    case ENODEV:
        return pb_port_fail(port, error, code, "netmap knows no such interface; have: %s",
                            pb_interfaces_text(have, sizeof(have)));
    case EBUSY:
        return pb_port_fail(port, error, code, "another program has it to itself; end that one");
    case ENOMEM:
        return pb_port_fail(port, error, code, "netmap's memory is used up; raise buf_num, ring_num or if_num in "
                            "/sys/module/netmap/parameters, or ask for fewer ?extra_buffers");
    case EOPNOTSUPP:
        return pb_port_fail(port, error, code, "its kernel driver has no netmap mode; allow the emulated one (echo 0 > "
                            "/sys/module/netmap/parameters/admode)");
    case EPERM:
    case EACCES:
        return pb_port_fail(port, error, code, "no permission to put it into netmap mode; run as root");
    case EINVAL:
        if (queue >= 0)
            return pb_port_fail(port, error, code, "netmap refuses queue %d; use one that the interface has (ethtool -l), or all of "
                                "them (no ?queue=)", queue);
        return pb_port_fail(port, error, code, "netmap refuses it; see the kernel log: pipes have no pipes, and API %d "
                            "must be known to the module", NETMAP_API);
    default:
        return pb_port_fail_errno(port, error, code, "see the kernel log", "netmap refuses it");
    }
}

static int register_device(struct pb_netmap_device *device, const struct pb_port *port, struct netmap_register *request,
                           struct pb_error *error)
{
    struct netmap_header header = {.version = NETMAP_API, .request = NETMAP_REQ_REGISTER, .body = (uint64_t)(uintptr_t)request};
    memcpy(header.name, port->name, strlen(port->name)); /* was checked to fit */
    *request = (struct netmap_register){.mode = device->queue < 0 ? NETMAP_MODE_ALL_NIC : NETMAP_MODE_ONE_NIC,
                                        .ringid = device->queue < 0 ? 0 : (uint16_t)device->queue,
                                        .extra_bufs = extras_wanted(port),
                                        .flags = NETMAP_FLAG_NO_TX_POLL};
    uint32_t asked = request->extra_bufs;
    if (ioctl(device->fd, NETMAP_IOC_CTRL, &header) < 0)
        return refused(port, device->queue, errno, error);
    int result = pb_netmap_memory_open(port, request, device->fd, &device->memory, error);
    if (result == 0)
        result = pb_netmap_rings_find(device, port, request->offset, error);
    if (result < 0)
        return result;
    struct pb_netmap_pool *pool = &device->memory->pool;
    int adopted = asked == 0 ? 0 : pb_netmap_pool_adopt(pool, &device->shared->bufs_head, asked);
    if (adopted < 0)
        return pb_port_no_memory(port, error);
    device->extras = (uint32_t)adopted;
    if (pool->listed == NULL)
        pb_netmap_pool_list(pool, &device->shared->bufs_head);
    return 0;
}

/* An interface in netmap mode is cut off from the host, and gets what the network card lets through. */
static int prepare_interface(struct pb_netmap_device *device, const struct pb_port *port, struct pb_error *error)
{
    struct pb_interface *interface = &device->interface;
    struct pb_link link;
    if (strpbrk(port->name, "{}:") != NULL || pb_link_get(port->name, &link) < 0)
        return 0;
    interface->index = link.index;
    int result = pb_host_guard(port, error);
    if (result < 0)
        return result;
    return pb_interface_open(port, interface, pb_port_option_boolean(port, "promiscuous"), error);
}

static void release(struct pb_netmap_device *device)
{
    if (device->memory != NULL) {
        if (device->extras > 0)
            pb_netmap_pool_give(&device->memory->pool, &device->shared->bufs_head, device->extras);
        pb_netmap_memory_close(device->memory);
    }
    if (device->fd >= 0)
        close(device->fd);
    if (device->interface.fd >= 0)
        close(device->interface.fd);
    free(device->rings[PB_PORT_INPUT]);
    free(device->rings[PB_PORT_OUTPUT]);
    free(device->name);
    free(device);
}

static struct pb_netmap_device *make(struct pb_port *port, int32_t queue, struct pb_error *error)
{
    struct pb_netmap_device *device = calloc(1, sizeof(*device));
    if (device != NULL)
        *device = (struct pb_netmap_device){.engine = port->engine_handle, .name = strdup(port->name), .queue = queue,
                                            .fd = -1, .interface = {.fd = -1}};
    if (device == NULL || device->name == NULL) {
        free(device);
        pb_port_no_memory(port, error);
        return NULL;
    }
    struct netmap_register request;
    struct pb_error reason;
    snprintf(device->interface.name, sizeof(device->interface.name), "%s", port->name);
    device->fd = open_netmap(&reason); /* first: without it nobody asks whether the host needs the interface */
    if (device->fd < 0)
        pb_port_fail(port, error, reason.code, "%s", reason.text);
    if (device->fd < 0 || prepare_interface(device, port, error) < 0 || register_device(device, port, &request, error) < 0) {
        release(device);
        return NULL;
    }
    device->next = devices;
    devices = device;
    return device;
}

struct pb_netmap_device *pb_netmap_device_open(struct pb_port *port, struct pb_error *error)
{
    int32_t queue = (int32_t)pb_port_option_integer(port, "queue");
    if (queue < 0)
        queue = port->queue_id;
    if (strlen(port->name) >= NETMAP_NAME_BYTES) {
        pb_port_fail(port, error, ENAMETOOLONG, "the name is longer than netmap's %d bytes; use a shorter one",
                     NETMAP_NAME_BYTES - 1);
        return NULL;
    }
    if (check_unused(port, queue, error) < 0)
        return NULL;
    struct pb_netmap_device *device = find(port, queue);
    if (device == NULL)
        device = make(port, queue, error);
    if (device == NULL)
        return NULL;
    device->has_port[port->role] = true;
    device->memory->ports++;
    pb_netmap_look(port, device);
    return device;
}

void pb_netmap_device_close(struct pb_netmap_device *device, enum pb_port_role role)
{
    struct pb_netmap_memory *memory = device->memory;
    device->has_port[role] = false;
    if (--memory->ports > 0)
        return;
    memory->devices++; /* ours, until all others are gone */
    pb_netmap_pool_list(&memory->pool, NULL);
    for (struct pb_netmap_device **at = &devices; *at != NULL;) {
        struct pb_netmap_device *d = *at;
        if (d->memory != memory) {
            at = &d->next;
            continue;
        }
        *at = d->next;
        release(d);
    }
    pb_netmap_memory_close(memory);
}

/* ------------------------------------------------------------- while it runs */

bool pb_netmap_sync(struct pb_port *port, struct pb_netmap_device *device)
{
    if (device->interface.gone)
        return false;
    /* What it costs is all that a batch costs in the kernel: 0.1 to 0.2 us, and what a network card's driver does. */
    if (ioctl(device->fd, port->role == PB_PORT_INPUT ? NETMAP_IOC_RXSYNC : NETMAP_IOC_TXSYNC, NULL) == 0)
        return true;
    int code = errno;
    if (code == EINTR || code == EAGAIN || code == EBUSY)
        return true;
    if (code != ENXIO && code != ENODEV)
        pb_port_report(port, "netmap refuses to go on: %s; stop and start the engine", strerror(code));
    pb_interface_lost(port, &device->interface, true);
    return false;
}

void pb_netmap_look(struct pb_port *port, struct pb_netmap_device *device)
{
    struct pb_interface *interface = &device->interface;
    struct ifreq answer;
    uint32_t bytes_max = device->memory->pool.buffer_bytes;
    device->frame_max = bytes_max;
    if (interface->index == 0 || interface->gone)
        return;
    if (!pb_interface_ask(interface, SIOCGIFMTU, &answer))
        pb_interface_lost(port, interface, true);
    else if ((uint32_t)answer.ifr_mtu + ETH_HLEN < bytes_max)
        device->frame_max = (uint32_t)answer.ifr_mtu + ETH_HLEN;
    if (pb_interface_is_up(interface))
        interface->down = false;
    else
        pb_interface_lost(port, interface, false);
}

void pb_netmap_damaged(struct pb_port *port, struct pb_netmap_ring *ring)
{
    if (!ring->damaged)
        pb_port_report(port, "what stands in ring %u cannot be, another program has written over it; it is not used any "
                       "more: stop and start the engine", ring->shared->ringid);
    ring->damaged = true;
    ring->tail = ring->head;
}
