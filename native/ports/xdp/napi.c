/* napi.c - see napi.h. */
#include "napi.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <stdlib.h>
#include <string.h>

#include "../netlink.h"

/* include/uapi/linux/netdev.h, newer than the headers of many distributions. */
enum { NETDEV_NAPI_GET = 11, NETDEV_NAPI_SET = 14 };
enum {
    NAPI_IFINDEX = 1,
    NAPI_ID = 2,
    NAPI_DEFER_HARD_IRQS = 5,
    NAPI_GRO_FLUSH_TIMEOUT = 6,
    NAPI_THREADED = 8
};

#define CONTEXTS_MAX 4096 /* of an interface: a queue each */

/* ------------------------------------------------------------------------ netlink */

static struct pb_netlink_request request_of(uint16_t family, uint8_t command, uint16_t flags)
{
    struct pb_netlink_request request;
    pb_netlink_begin(&request, family, flags, &(struct genlmsghdr){.cmd = command, .version = 1}, GENL_HDRLEN);
    return request;
}

static void add_number(struct pb_netlink_request *request, uint16_t type, uint32_t value)
{
    pb_netlink_attribute(request, type, &value, sizeof(value));
}

/* The attributes of an answer. */
static const struct rtattr *attributes_of(const struct nlmsghdr *message, int *bytes)
{
    *bytes = (int)NLMSG_PAYLOAD(message, GENL_HDRLEN);
    return (const struct rtattr *)(const void *)((const uint8_t *)NLMSG_DATA(message) + GENL_HDRLEN);
}

static int see_family(const struct nlmsghdr *message, void *arg)
{
    int left;
    for (const struct rtattr *at = attributes_of(message, &left); RTA_OK(at, left); at = RTA_NEXT(at, left))
        if (at->rta_type == CTRL_ATTR_FAMILY_ID)
            *(uint16_t *)arg = (uint16_t)pb_netlink_number(at);
    return 0;
}

/* The number of the kernel's interface for network devices; -ENOENT: it has none. */
static int find_family(uint16_t *family)
{
    struct pb_netlink_request request = request_of(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 0);
    pb_netlink_attribute(&request, CTRL_ATTR_FAMILY_NAME, "netdev", sizeof("netdev"));
    return pb_netlink_exchange(NETLINK_GENERIC, &request, see_family, family);
}

/* ----------------------------------------------------------------------- contexts */

/* What an interface has. */
struct xdp_contexts {
    uint32_t count;
    struct {
        uint32_t id;
        struct xdp_napi_settings settings;
    } list[CONTEXTS_MAX];
};

static int see_context(const struct nlmsghdr *message, void *arg)
{
    struct xdp_contexts *contexts = arg;
    if (contexts->count == CONTEXTS_MAX)
        return -E2BIG;
    struct xdp_napi_settings settings = {0};
    uint32_t id = 0;
    int left;
    for (const struct rtattr *at = attributes_of(message, &left); RTA_OK(at, left); at = RTA_NEXT(at, left)) {
        if (at->rta_type == NAPI_ID)
            id = (uint32_t)pb_netlink_number(at);
        if (at->rta_type == NAPI_DEFER_HARD_IRQS)
            settings.defer_hard_irqs = (uint32_t)pb_netlink_number(at);
        if (at->rta_type == NAPI_GRO_FLUSH_TIMEOUT)
            settings.gro_flush_timeout_ns = pb_netlink_number(at);
        if (at->rta_type == NAPI_THREADED)
            settings.threaded = (uint32_t)pb_netlink_number(at);
    }
    contexts->list[contexts->count].id = id;
    contexts->list[contexts->count++].settings = settings;
    return 0;
}

static const struct xdp_napi_settings ways[] = {
    [XDP_NAPI_DEFERRED] = {.defer_hard_irqs = 1, .gro_flush_timeout_ns = XDP_NAPI_DEFER_NS},
    [XDP_NAPI_THREADED] = {.gro_flush_timeout_ns = XDP_NAPI_DEFER_NS, .threaded = 1},
};

static int change(const struct xdp_napis *napis, uint32_t id, const struct xdp_napi_settings *from,
                  const struct xdp_napi_settings *to)
{
    struct pb_netlink_request request = request_of(napis->family, NETDEV_NAPI_SET, 0);
    add_number(&request, NAPI_ID, id);
    add_number(&request, NAPI_DEFER_HARD_IRQS, to->defer_hard_irqs);
    pb_netlink_attribute(&request, NAPI_GRO_FLUSH_TIMEOUT, &to->gro_flush_timeout_ns, sizeof(to->gro_flush_timeout_ns));
    if (to->threaded != from->threaded) /* older kernels refuse a request with it */
        add_number(&request, NAPI_THREADED, to->threaded);
    return pb_netlink_exchange(NETLINK_GENERIC, &request, NULL, NULL);
}

/* A context that was not seen before. What somebody else has set stays; what a process that was killed has left
 * there is known by its time, which nobody else has a reason to choose. */
static int set_new(const struct xdp_napis *napis, struct xdp_napi *napi, const struct xdp_napi_settings *now)
{
    napi->before = *now;
    if (now->gro_flush_timeout_ns == XDP_NAPI_DEFER_NS)
        memset(&napi->before, 0, sizeof(napi->before));
    if (napi->before.threaded || (napis->way == XDP_NAPI_DEFERRED && napi->before.defer_hard_irqs > 0))
        return 0;
    int result = change(napis, napi->id, now, &ways[napis->way]);
    napi->changed = result == 0;
    return result;
}

/* An interface's contexts in the order of their numbers are in that of its queues: they are made in it. The kernel lists
 * the last one first. */
static int set_all(struct xdp_napis *napis, struct xdp_queue *const *queues)
{
    struct xdp_contexts *contexts = napis->contexts;
    contexts->count = 0;
    struct pb_netlink_request request = request_of(napis->family, NETDEV_NAPI_GET, NLM_F_DUMP);
    add_number(&request, NAPI_IFINDEX, (uint32_t)napis->index);
    int result = pb_netlink_exchange(NETLINK_GENERIC, &request, see_context, contexts);
    for (uint32_t i = 0; i < napis->count && result == 0; i++) {
        struct xdp_napi *napi = &napis->list[i];
        if (queues[i]->id >= contexts->count) {
            result = -EOPNOTSUPP;
            break;
        }
        uint32_t place = contexts->count - 1 - queues[i]->id;
        if (napi->id == contexts->list[place].id)
            continue;
        *napi = (struct xdp_napi){.id = contexts->list[place].id};
        result = set_new(napis, napi, &contexts->list[place].settings);
    }
    return result;
}

int pb_xdp_napi_open(struct xdp_napis *napis, enum xdp_napi_way way, struct xdp_queue *const *queues, uint32_t count)
{
    *napis = (struct xdp_napis){.index = queues[0]->index, .count = count};
    if (way == XDP_NAPI_UNTOUCHED)
        return 0;
    napis->way = way;
    napis->list = calloc(count, sizeof(*napis->list));
    napis->contexts = malloc(sizeof(*napis->contexts));
    int result = napis->list == NULL || napis->contexts == NULL ? -ENOMEM : find_family(&napis->family);
    if (result == 0)
        result = set_all(napis, queues);
    if (result < 0)
        pb_xdp_napi_close(napis);
    return result;
}

void pb_xdp_napi_keep(struct xdp_napis *napis, struct xdp_queue *const *queues)
{
    if (napis->way != XDP_NAPI_UNTOUCHED)
        (void)set_all(napis, queues);
}

void pb_xdp_napi_close(struct xdp_napis *napis)
{
    for (uint32_t i = 0; i < napis->count && napis->list != NULL; i++)
        if (napis->list[i].changed)
            (void)change(napis, napis->list[i].id, &ways[napis->way], &napis->list[i].before);
    free(napis->list);
    free(napis->contexts);
    *napis = (struct xdp_napis){.way = XDP_NAPI_UNTOUCHED};
}
