/*
 * device.c - see device.h: finding, making and sharing devices. setup.c configures them.
 */
#include "device.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_pause.h>

#include "../../core/clock.h"
#include "../../core/error.h"
#include "../interface.h"
#include "eal.h"
#include "memif_calls.h"
#include "setup.h"

#define CONNECT_NS 200000000 /* between two tries of a client of memif, */
#define ANSWER_NS 3000000000 /* and where a server has accepted: it may be busy, and DPDK's may end when it is left meanwhile */

static struct pb_device *devices;

/* ------------------------------------------------------------- finding and making */

static struct pb_device *find(const char *name)
{
    struct pb_device *device = devices;
    while (device != NULL && strcmp(device->name, name) != 0)
        device = device->next;
    return device;
}

/* A port has asked for one that is there: are its arguments the same, or none? */
static bool agrees(const struct pb_device *device, const char *arguments)
{
    return strchr(arguments, ',') == NULL || strcmp(device->arguments, arguments) == 0;
}

/* DPDK's number of the device of that name. A PCI device of several has its first. */
static bool find_id(const char *name, uint16_t *id)
{
    if (rte_eth_dev_get_port_by_name(name, id) == 0)
        return true;
    uint16_t candidate;
    RTE_ETH_FOREACH_DEV(candidate) {
        struct rte_eth_dev_info info;
        if (rte_eth_dev_info_get(candidate, &info) == 0 && strcmp(rte_dev_name(info.device), name) == 0) {
            *id = candidate;
            return true;
        }
    }
    return false;
}

/* DPDK's thread tells that it was unplugged. */
static int on_removal(uint16_t id, enum rte_eth_event_type type, void *argument, void *unused)
{
    (void)id;
    (void)type;
    (void)unused;
    struct pb_device *device = argument;
    atomic_store(&device->gone, true);
    pthread_mutex_lock(&device->lock);
    for (uint32_t i = 0; i < device->open_count; i++) {
        uint64_t one = 1;
        atomic_store(&device->open[i]->attention, true);
        if (write(device->open[i]->engine_wake_fd, &one, sizeof(one)) < 0) {
            /* The counter is at its limit: the thread is awake anyway. */
        }
    }
    pthread_mutex_unlock(&device->lock);
    return 0;
}

/* DPDK's own number says little: its buses each have one for what they do not know, most drivers -1, which is also that of
 * a right that is missing. What a driver has logged often ends with the errno in words. */
static int code_of(int result, const char *cause)
{
    static const int codes[] = {ENOENT, EPERM, EACCES, EBUSY, ENOMEM, ENODEV, EMFILE};
    for (uint32_t i = 0; i < RTE_DIM(codes); i++)
        if (strstr(cause, strerror(codes[i])) != NULL)
            return codes[i];
    bool is_one = result == -ENOMEM || result == -EBUSY || result == -EACCES || (result == -EPERM && geteuid() != 0);
    return is_one ? -result : ENODEV;
}

static int fail_attach(const struct pb_port *port, const struct pb_device *device, int result, struct pb_error *error)
{
    if (pb_memif_is_served(device->arguments))
        return pb_port_fail(port, error, EADDRINUSE, "this memif socket has a server already: %s; end that program, use another "
                            "socket, or be its client (?role=client)", pb_errno_words(EADDRINUSE));
    bool is_pci = strchr(device->name, ':') != NULL;
    const char *cause = pb_eal_log_text(!pb_eal_log_has("failed to parse device") ? "its driver refuses it"
                                        : is_pci ? "that is no address of a device" : "no driver has such a name");
    int code = code_of(result, cause);
    const char *remedy = is_pci ? "check its address, and that it is bound to vfio-pci (dpdk-devbind.py --status)"
                                : "check its name and arguments, and that its driver is installed (apt-cache search librte-net-)";
    return pb_port_fail(port, error, code, "DPDK has no device %s: %s; %s%s", device->name, cause,
                        geteuid() == 0 ? "" : "run as root, or ", code == EMFILE ? pb_errno_remedy(code, NULL) : remedy);
}

static int attach(struct pb_device *device, const struct pb_port *port, struct pb_error *error)
{
    pb_memif_clear(device->arguments);
    if (find_id(device->name, &device->id))
        return 0; /* the options of DPDK name it, too */
    struct pb_eal_fds fds;
    pb_eal_fds_begin(&fds);
    pb_eal_log_clear();
    pb_memif_hold_handlers();
    int result = rte_dev_probe(device->arguments);
    pb_memif_let_handlers_go();
    pb_eal_fds_end(&fds);
    if (result >= 0 && find_id(device->name, &device->id))
        return 0;
    return fail_attach(port, device, result, error);
}

static void detach(struct pb_device *device)
{
    struct rte_eth_dev_info info;
    struct pb_device **at = &devices;
    while (*at != device)
        at = &(*at)->next;
    *at = device->next;
    device->detached = true;
    /* Not while DPDK's thread is in it. */
    while (rte_eth_dev_callback_unregister(device->id, RTE_ETH_EVENT_INTR_RMV, on_removal, device) == -EAGAIN)
        rte_pause();
    pb_memif_hold_handlers();
    if (rte_eth_dev_info_get(device->id, &info) == 0)
        (void)rte_dev_remove((struct rte_device *)(uintptr_t)info.device);
    pb_memif_let_handlers_go();
    pb_memif_clear(device->arguments);
}

static void release(struct pb_device *device)
{
    pb_setup_free_pool(device);
    pthread_mutex_destroy(&device->lock);
    free(device->arguments);
    free(device);
}

static struct pb_device *make(const struct pb_port *port, const char *name, const char *arguments, struct pb_error *error)
{
    struct pb_device *device = aligned_alloc(__alignof__(*device), sizeof(*device));
    if (device == NULL) {
        pb_port_no_memory(port, error);
        return NULL;
    }
    memset(device, 0, sizeof(*device));
    pthread_mutex_init(&device->lock, NULL);
    device->membership_fd = -1;
    memcpy(device->name, name, strlen(name) + 1);
    device->arguments = strdup(arguments);
    if (device->arguments == NULL)
        pb_port_no_memory(port, error);
    if (device->arguments == NULL || attach(device, port, error) < 0) {
        release(device);
        return NULL;
    }
    rte_eth_dev_callback_register(device->id, RTE_ETH_EVENT_INTR_RMV, on_removal, device);
    device->next = devices;
    devices = device;
    return device;
}

struct pb_device *pb_device_hold(const struct pb_port *port, const struct pb_device_wish *wish, struct pb_error *error)
{
    char name[DEVICE_NAME_BYTES];
    size_t length = strcspn(wish->arguments, ",");
    if (length == 0 || length >= sizeof(name)) {
        pb_port_fail(port, error, EINVAL, "the name of a device has 1 to %zu bytes; say dpdk:0000:3b:00.0 or "
                     "dpdk:net_null0", sizeof(name) - 1);
        return NULL;
    }
    memcpy(name, wish->arguments, length);
    name[length] = '\0';
    if (pb_eal_start(port, name, error) < 0)
        return NULL;
    struct pb_device *device = find(name);
    if (device != NULL && atomic_load(&device->gone)) {
        if (device->users > 0) {
            pb_port_fail(port, error, EBUSY, "%s is gone, and engine \"%s\" has it still; stop that one first", name,
                         device->open[0]->engine_name);
            return NULL;
        }
        detach(device); /* it may have come back under the same name */
        device = NULL;
    }
    if (device != NULL && !agrees(device, wish->arguments)) {
        pb_port_fail(port, error, EBUSY, "another port has the device with other arguments (%s); give it the same",
                     device->arguments);
        return NULL;
    }
    if (device == NULL)
        device = make(port, name, wish->arguments, error);
    if (device != NULL)
        device->holders++;
    return device;
}

void pb_device_drop(struct pb_device *device)
{
    if (--device->holders > 0)
        return;
    if (!device->detached)
        detach(device);
    release(device);
}

/* ------------------------------------------------------------------------- sharing */

/* Whether another engine has it open. This one's threads do not exist while its ports open, so that then the device can
 * be configured anew. */
static bool is_others(const struct pb_device *device, const struct pb_port *port)
{
    for (uint32_t i = 0; i < device->open_count; i++)
        if (device->open[i]->engine_handle != port->engine_handle)
            return true;
    return false;
}

/* Of a device that runs: what keeps it from being as this port wants it. */
static int fail_to_change(const struct pb_device *device, const struct pb_port *port, const struct pb_device_wish *wish,
                          struct pb_error *error)
{
    char has[64], say[32];
    if (wish->mtu > 0 && wish->mtu != device->mtu) {
        snprintf(has, sizeof(has), "an MTU of %u", device->mtu);
        snprintf(say, sizeof(say), "mtu=%u", wish->mtu);
    } else if (wish->mbuf_bytes > device->segment_bytes) {
        snprintf(has, sizeof(has), "buffers of %u bytes", device->segment_bytes);
        snprintf(say, sizeof(say), "mbuf_bytes=%u", wish->mbuf_bytes);
    } else if (wish->mbufs > device->pool->size) {
        snprintf(has, sizeof(has), "%u buffers", device->pool->size);
        snprintf(say, sizeof(say), "mbufs=%u", wish->mbufs);
    } else {
        snprintf(has, sizeof(has), "%u queue%s", device->queues, device->queues == 1 ? "" : "s");
        snprintf(say, sizeof(say), "queues=%u", wish->queues);
    }
    return pb_port_fail(port, error, EBUSY, "%s runs with %s; say %s at the port that opens it first", device->name, has, say);
}

/* A device that runs is not as this port wants it. */
static bool is_short(const struct pb_device *device, const struct pb_device_wish *wish)
{
    return wish->queues > device->queues || wish->mbuf_bytes > device->segment_bytes || wish->mbufs > device->pool->size ||
           (wish->mtu > 0 && wish->mtu != device->mtu);
}

static void ask_for(struct pb_device *device, const struct pb_device_wish *wish)
{
    struct pb_device_asked *asked = &device->asked;
    if (device->users == 0)
        *asked = (struct pb_device_asked){0};
    asked->mtu = wish->mtu > 0 ? wish->mtu : asked->mtu;
    asked->mbufs = RTE_MAX(asked->mbufs, wish->mbufs);
    asked->mbuf_bytes = RTE_MAX(asked->mbuf_bytes, wish->mbuf_bytes);
    asked->promiscuous = asked->promiscuous || wish->promiscuous;
}

/* So that it runs as the port wants it, and as those want it that are open. */
static int make_ready(struct pb_device *device, const struct pb_port *port, const struct pb_device_wish *wish, struct pb_error *error)
{
    struct pb_eal_fds fds;
    bool runs = device->users > 0, was_promiscuous = runs && device->asked.promiscuous, changes = runs && is_short(device, wish);
    bool other_mtu = runs && wish->mtu > 0 && device->asked.mtu > 0 && wish->mtu != device->asked.mtu;
    if (other_mtu || (changes && is_others(device, port)))
        return fail_to_change(device, port, wish, error);
    uint32_t queues = wish->queues > 0 ? wish->queues : device->queues > 0 ? device->queues : 1;
    if (runs && queues < device->queues)
        queues = device->queues;
    ask_for(device, wish);
    int result = 0;
    pb_eal_fds_begin(&fds);
    if (!runs || changes)
        result = pb_setup_start(device, port, queues, error);
    else if (device->asked.promiscuous && !was_promiscuous)
        pb_setup_promiscuous(device);
    pb_eal_fds_end(&fds);
    return result;
}

int pb_device_open(struct pb_device *device, struct pb_port *port, const struct pb_device_wish *wish, struct pb_error *error)
{
    if (device->open_count == RTE_DIM(device->open))
        return pb_port_fail(port, error, EMFILE, "at most %zu ports share a device; use another", RTE_DIM(device->open));
    int result = make_ready(device, port, wish, error);
    if (result < 0)
        return result;
    device->users++;
    pthread_mutex_lock(&device->lock);
    device->open[device->open_count++] = port;
    pthread_mutex_unlock(&device->lock);
    if (port->role == PB_PORT_INPUT && device->counting == NULL)
        device->counting = port;
    return 0;
}

int pb_device_claim(struct pb_device *device, const struct pb_port *port, int32_t queue, struct pb_error *error)
{
    uint32_t first = queue < 0 ? 0 : (uint32_t)queue, end = queue < 0 ? device->queues : first + 1;
    if (end > device->queues) {
        char remedy[48];
        snprintf(remedy, sizeof(remedy), "give it more (?queues=%u)", end);
        return pb_port_fail_queue(port, error, device->name, first, device->queues, remedy);
    }
    for (uint32_t q = first; q < end; q++)
        if (device->readers[q] != NULL)
            return pb_port_fail(port, error, EBUSY, "engine \"%s\" reads queue %u of %s; give each engine a queue id "
                                "of its own (and ?queues=)", device->readers[q]->engine_name, q, device->name);
    for (uint32_t q = first; q < end; q++)
        device->readers[q] = port;
    return 0;
}

void pb_device_close(struct pb_device *device, struct pb_port *port)
{
    for (uint32_t q = 0; q < device->queues; q++)
        if (device->readers[q] == port)
            device->readers[q] = NULL;
    if (device->counting == port)
        device->counting = NULL;
    pthread_mutex_lock(&device->lock);
    for (uint32_t i = 0; i < device->open_count; i++)
        if (device->open[i] == port)
            device->open[i--] = device->open[--device->open_count];
    pthread_mutex_unlock(&device->lock);
    if (--device->users == 0)
        pb_setup_stop(device);
}

/* ---------------------------------------------------------------------------- link */

/* Of a device that uses an interface of the kernel, the kernel knows more than DPDK does. */
static bool interface_has_link(struct pb_device *device)
{
    struct pb_interface interface = {.index = device->if_index, .fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    struct ifreq answer;
    if (interface.fd < 0)
        return true; /* it cannot be told */
    bool is_there = pb_interface_ask(&interface, SIOCGIFNAME, &answer);
    bool is_up = is_there && pb_interface_is_up(&interface) && pb_interface_has_link(&interface);
    close(interface.fd);
    if (!is_there)
        atomic_store(&device->gone, true);
    return is_up;
}

void pb_device_await_answer(struct pb_device *device)
{
    atomic_store(&device->patience_ns, pb_memif_connect_error() == 0 ? ANSWER_NS : CONNECT_NS);
}

/* A client of memif without a server looks for one now and then. The socket answers at once; what follows is
 * the business of a thread of DPDK, which has time for it until the next try, and for its own clearing up
 * before the first. */
static void try_to_connect(struct pb_device *device)
{
    int64_t now_ns = pb_clock_steady_ns(), tried_ns = atomic_load(&device->tried_ns);
    if (tried_ns == 0)
        atomic_store(&device->tried_ns, now_ns);
    if (tried_ns == 0 || now_ns - tried_ns < device->patience_ns || !pb_memif_try_hold_handlers())
        return;
    if (!pb_memif_pause()) {
        pb_memif_let_handlers_go();
        return;
    }
    atomic_store(&device->tried_ns, now_ns);
    if (atomic_load(&device->started))
        (void)rte_eth_dev_stop(device->id);
    atomic_store(&device->started, rte_eth_dev_start(device->id) == 0);
    pb_device_await_answer(device);
    pb_memif_resume();
    pb_memif_let_handlers_go();
}

static bool has_link(struct pb_device *device)
{
    struct rte_eth_link link;
    return rte_eth_link_get_nowait(device->id, &link) < 0 || link.link_status == RTE_ETH_LINK_UP;
}

bool pb_device_has_link(struct pb_device *device)
{
    if (atomic_load_explicit(&device->gone, memory_order_relaxed))
        return false;
    if (device->if_index > 0)
        return interface_has_link(device);
    bool is_up = has_link(device);
    if (is_up) {
        atomic_store_explicit(&device->tried_ns, 0, memory_order_relaxed);
        atomic_store_explicit(&device->patience_ns, CONNECT_NS, memory_order_relaxed);
    } else if (device->connects)
        try_to_connect(device);
    return is_up;
}
