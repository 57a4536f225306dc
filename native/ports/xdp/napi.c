/* napi.c - see napi.h. */
#include "napi.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* include/uapi/linux/netdev.h, newer than the headers of many distributions. */
enum { NETDEV_NAPI_GET = 11, NETDEV_NAPI_SET = 14 };
enum {
    NAPI_IFINDEX = 1,
    NAPI_ID = 2,
    NAPI_DEFER_HARD_IRQS = 5,
    NAPI_GRO_FLUSH_TIMEOUT = 6,
    NAPI_THREADED = 8
};

#define REQUEST_BYTES 128 /* none here comes near it */
#define REPLY_BYTES 16384
#define CONTEXTS_MAX 4096 /* of an interface: a queue each */

struct request {
    struct nlmsghdr header;
    struct genlmsghdr generic;
    uint8_t attributes[REQUEST_BYTES];
};

/* ------------------------------------------------------------------------ netlink */

static struct request request_of(uint16_t family, uint8_t command, uint16_t flags)
{
    return (struct request){.header = {.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN),
                                       .nlmsg_type = family,
                                       .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags)},
                            .generic = {.cmd = command, .version = 1}};
}

static void add(struct request *request, uint16_t type, const void *data, uint16_t bytes)
{
    struct nlattr header = {.nla_len = (uint16_t)(NLA_HDRLEN + bytes), .nla_type = type};
    uint8_t *at = (uint8_t *)request + request->header.nlmsg_len;
    memcpy(at, &header, sizeof(header));
    memcpy(at + NLA_HDRLEN, data, bytes);
    request->header.nlmsg_len += (uint32_t)NLA_ALIGN(header.nla_len);
}

static void add_number(struct request *request, uint16_t type, uint32_t value)
{
    add(request, type, &value, sizeof(value));
}

/* Called for each attribute of an answer, `first` for the first one of each. */
typedef void attribute_seen(uint16_t type, uint64_t value, bool first, void *arg);

static void see_attributes(const struct nlmsghdr *message, attribute_seen *seen, void *arg)
{
    const uint8_t *at = (const uint8_t *)NLMSG_DATA(message) + GENL_HDRLEN, *end = (const uint8_t *)message + message->nlmsg_len;
    bool first = true;
    struct nlattr header;
    while (at + sizeof(header) <= end) {
        memcpy(&header, at, sizeof(header));
        if (header.nla_len < NLA_HDRLEN || header.nla_len > end - at)
            return;
        uint64_t value = 0; /* of 2, 4 or 8 bytes */
        uint32_t bytes = header.nla_len - (uint32_t)NLA_HDRLEN;
        memcpy(&value, at + NLA_HDRLEN, bytes < sizeof(value) ? bytes : sizeof(value));
        seen(header.nla_type & NLA_TYPE_MASK, value, first, arg);
        first = false;
        at += NLA_ALIGN(header.nla_len);
    }
}

/* Whether there is more to come; if not, `result` is 0 or -errno. */
static bool see_messages(const uint8_t *reply, int bytes, attribute_seen *seen, void *arg, int *result)
{
    for (const struct nlmsghdr *at = (const struct nlmsghdr *)reply; NLMSG_OK(at, (uint32_t)bytes); at = NLMSG_NEXT(at, bytes)) {
        if (at->nlmsg_type == NLMSG_ERROR || at->nlmsg_type == NLMSG_DONE) {
            memcpy(result, NLMSG_DATA(at), sizeof(*result)); /* struct nlmsgerr begins with it */
            return false;
        }
        if (seen != NULL)
            see_attributes(at, seen, arg);
    }
    return true;
}

/* Send a request and receive all of its answers. 0 or -errno. */
static int exchange(const struct request *request, attribute_seen *seen, void *arg)
{
    _Alignas(struct nlmsghdr) uint8_t reply[REPLY_BYTES];
    int result = 0, fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
    if (fd < 0)
        return -errno;
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    ssize_t n = sendto(fd, request, request->header.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel));
    if (n < 0)
        result = -errno;
    while (result == 0) {
        n = recv(fd, reply, sizeof(reply), 0);
        if (n < 0 && errno != EINTR)
            result = -errno;
        else if (n >= 0 && !see_messages(reply, (int)n, seen, arg, &result))
            break;
    }
    close(fd);
    return result;
}

static void see_family(uint16_t type, uint64_t value, bool first, void *arg)
{
    (void)first;
    if (type == CTRL_ATTR_FAMILY_ID)
        *(uint16_t *)arg = (uint16_t)value;
}

/* The number of the kernel's interface for network devices; -ENOENT: it has none. */
static int find_family(uint16_t *family)
{
    struct request request = request_of(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 0);
    add(&request, CTRL_ATTR_FAMILY_NAME, "netdev", sizeof("netdev"));
    return exchange(&request, see_family, family);
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

static void see_context(uint16_t type, uint64_t value, bool first, void *arg)
{
    struct xdp_contexts *contexts = arg;
    if (first && contexts->count < CONTEXTS_MAX)
        memset(&contexts->list[contexts->count++], 0, sizeof(contexts->list[0]));
    struct xdp_napi_settings *settings = &contexts->list[contexts->count - 1].settings;
    if (type == NAPI_ID)
        contexts->list[contexts->count - 1].id = (uint32_t)value;
    if (type == NAPI_DEFER_HARD_IRQS)
        settings->defer_hard_irqs = (uint32_t)value;
    if (type == NAPI_GRO_FLUSH_TIMEOUT)
        settings->gro_flush_timeout_ns = value;
    if (type == NAPI_THREADED)
        settings->threaded = (uint32_t)value;
}

static const struct xdp_napi_settings ways[] = {
    [XDP_NAPI_DEFERRED] = {.defer_hard_irqs = 1, .gro_flush_timeout_ns = XDP_NAPI_DEFER_NS},
    [XDP_NAPI_THREADED] = {.gro_flush_timeout_ns = XDP_NAPI_DEFER_NS, .threaded = 1},
};

static int change(const struct xdp_napis *napis, uint32_t id, const struct xdp_napi_settings *from,
                  const struct xdp_napi_settings *to)
{
    struct request request = request_of(napis->family, NETDEV_NAPI_SET, 0);
    add_number(&request, NAPI_ID, id);
    add_number(&request, NAPI_DEFER_HARD_IRQS, to->defer_hard_irqs);
    add(&request, NAPI_GRO_FLUSH_TIMEOUT, &to->gro_flush_timeout_ns, sizeof(to->gro_flush_timeout_ns));
    if (to->threaded != from->threaded) /* older kernels refuse a request with it */
        add_number(&request, NAPI_THREADED, to->threaded);
    return exchange(&request, NULL, NULL);
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
    struct request request = request_of(napis->family, NETDEV_NAPI_GET, NLM_F_DUMP);
    add_number(&request, NAPI_IFINDEX, (uint32_t)napis->index);
    int result = exchange(&request, see_context, contexts);
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
