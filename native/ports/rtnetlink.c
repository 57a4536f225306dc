/* rtnetlink.c - see rtnetlink.h. */
#include "rtnetlink.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A request is a header, a link message and attributes; none here comes near the limit. */
#define REQUEST_BYTES 512
#define REPLY_BYTES 16384

struct request {
    struct nlmsghdr header;
    struct ifinfomsg link;
    uint8_t attributes[REQUEST_BYTES];
};

static void request_init(struct request *request, uint16_t type, uint16_t flags, int index)
{
    memset(request, 0, sizeof(*request));
    request->header.nlmsg_len = NLMSG_LENGTH(sizeof(request->link));
    request->header.nlmsg_type = type;
    request->header.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    request->link.ifi_family = AF_UNSPEC;
    request->link.ifi_index = index;
}

/* Append `bytes` at the end of the message; returns where they went. */
static void *append(struct request *request, const void *data, uint32_t bytes)
{
    uint8_t *at = (uint8_t *)request + NLMSG_ALIGN(request->header.nlmsg_len);
    if (data != NULL)
        memcpy(at, data, bytes);
    request->header.nlmsg_len = NLMSG_ALIGN(request->header.nlmsg_len) + bytes;
    return at;
}

static struct rtattr *attribute(struct request *request, uint16_t type, const void *data, uint32_t bytes)
{
    struct rtattr header = {.rta_type = type, .rta_len = (uint16_t)RTA_LENGTH(bytes)};
    struct rtattr *at = append(request, &header, sizeof(header));
    append(request, data, bytes);
    return at;
}

/* A nest holds the attributes appended between its two calls. */
static struct rtattr *nest_begin(struct request *request, uint16_t type)
{
    return attribute(request, type, NULL, 0);
}

static void nest_end(struct request *request, struct rtattr *nest)
{
    uint8_t *end = (uint8_t *)request + NLMSG_ALIGN(request->header.nlmsg_len);
    nest->rta_len = (uint16_t)(end - (uint8_t *)nest);
}

/* Send the request and receive one answer. Returns its length or -errno. */
static int exchange(const struct request *request, void *reply, uint32_t reply_bytes)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return -errno;
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    ssize_t n = sendto(fd, request, request->header.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel));
    if (n >= 0) {
        do
            n = recv(fd, reply, reply_bytes, 0);
        while (n < 0 && errno == EINTR);
    }
    int code = errno;
    close(fd);
    return n < 0 ? -code : (int)n;
}

/* Run a request whose answer is only yes or no. */
static int transact(struct request *request)
{
    _Alignas(struct nlmsghdr) uint8_t reply[REPLY_BYTES];
    request->header.nlmsg_flags |= NLM_F_ACK;
    int n = exchange(request, reply, sizeof(reply));
    if (n < 0)
        return n;
    const struct nlmsghdr *header = (const struct nlmsghdr *)reply;
    if (!NLMSG_OK(header, (uint32_t)n) || header->nlmsg_type != NLMSG_ERROR ||
        header->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr)))
        return -EPROTO;
    return ((const struct nlmsgerr *)NLMSG_DATA(header))->error;
}

static void copy_text(char *text, uint32_t text_bytes, const struct rtattr *from)
{
    uint32_t n = (uint32_t)RTA_PAYLOAD(from);
    n = n < text_bytes ? n : text_bytes - 1;
    memcpy(text, RTA_DATA(from), n);
    text[n] = '\0';
}

static uint32_t number(const struct rtattr *from)
{
    uint32_t value = 0;
    memcpy(&value, RTA_DATA(from), RTA_PAYLOAD(from) < sizeof(value) ? RTA_PAYLOAD(from) : sizeof(value));
    return value;
}

static void link_attribute(struct pb_link *link, const struct rtattr *at)
{
    if (at->rta_type == IFLA_MTU)
        link->mtu = number(at);
    if (at->rta_type == IFLA_LINK)
        link->peer_index = (int)number(at);
    const size_t dropped_at = offsetof(struct rtnl_link_stats64, tx_dropped);
    if (at->rta_type == IFLA_STATS64 && RTA_PAYLOAD(at) >= dropped_at + sizeof(link->tx_dropped))
        memcpy(&link->tx_dropped, (const uint8_t *)RTA_DATA(at) + dropped_at, sizeof(link->tx_dropped));
    if ((at->rta_type & NLA_TYPE_MASK) != IFLA_LINKINFO)
        return;
    int left = (int)RTA_PAYLOAD(at);
    for (const struct rtattr *info = RTA_DATA(at); RTA_OK(info, left); info = RTA_NEXT(info, left))
        if (info->rta_type == IFLA_INFO_KIND)
            copy_text(link->kind, sizeof(link->kind), info);
}

int pb_link_get(const char *name, struct pb_link *link)
{
    /* The kernel refuses a longer name with -ERANGE; to a caller it is a name nobody has. */
    if (name[0] == '\0' || strlen(name) >= IFNAMSIZ)
        return -ENODEV;
    struct request request;
    request_init(&request, RTM_GETLINK, 0, 0);
    attribute(&request, IFLA_IFNAME, name, (uint32_t)strlen(name) + 1);
    _Alignas(struct nlmsghdr) uint8_t reply[REPLY_BYTES];
    int n = exchange(&request, reply, sizeof(reply));
    if (n < 0)
        return n;
    const struct nlmsghdr *header = (const struct nlmsghdr *)reply;
    if (!NLMSG_OK(header, (uint32_t)n) || header->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg)))
        return -EPROTO;
    if (header->nlmsg_type == NLMSG_ERROR)
        return ((const struct nlmsgerr *)NLMSG_DATA(header))->error;

    const struct ifinfomsg *message = NLMSG_DATA(header);
    *link = (struct pb_link){.index = message->ifi_index, .flags = message->ifi_flags, .hardware = message->ifi_type};
    int left = (int)IFLA_PAYLOAD(header);
    bool foreign = false;
    for (const struct rtattr *at = IFLA_RTA(message); RTA_OK(at, left); at = RTA_NEXT(at, left)) {
        link_attribute(link, at);
        foreign |= at->rta_type == IFLA_LINK_NETNSID;
    }
    if (foreign)
        link->peer_index = 0;
    return 0;
}

int pb_link_create_veth(const char *name, const char *peer, uint32_t mtu)
{
    struct request request;
    request_init(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
    attribute(&request, IFLA_IFNAME, name, (uint32_t)strlen(name) + 1);
    attribute(&request, IFLA_MTU, &mtu, sizeof(mtu));
    struct rtattr *info = nest_begin(&request, IFLA_LINKINFO);
    attribute(&request, IFLA_INFO_KIND, "veth", 4);
    struct rtattr *data = nest_begin(&request, IFLA_INFO_DATA);
    struct rtattr *other = nest_begin(&request, VETH_INFO_PEER);
    append(&request, &(struct ifinfomsg){.ifi_family = AF_UNSPEC}, sizeof(struct ifinfomsg));
    attribute(&request, IFLA_IFNAME, peer, (uint32_t)strlen(peer) + 1);
    attribute(&request, IFLA_MTU, &mtu, sizeof(mtu));
    nest_end(&request, other);
    nest_end(&request, data);
    nest_end(&request, info);
    return transact(&request);
}

int pb_link_set_up(int index, bool up)
{
    struct request request;
    request_init(&request, RTM_NEWLINK, 0, index);
    request.link.ifi_change = IFF_UP;
    request.link.ifi_flags = up ? IFF_UP : 0;
    return transact(&request);
}

int pb_link_set_mtu(int index, uint32_t mtu)
{
    struct request request;
    request_init(&request, RTM_NEWLINK, 0, index);
    attribute(&request, IFLA_MTU, &mtu, sizeof(mtu));
    return transact(&request);
}

int pb_link_set_silent(int index)
{
    struct request request;
    request_init(&request, RTM_NEWLINK, 0, index);
    struct rtattr *families = nest_begin(&request, IFLA_AF_SPEC);
    struct rtattr *inet6 = nest_begin(&request, AF_INET6);
    uint8_t mode = IN6_ADDR_GEN_MODE_NONE;
    attribute(&request, IFLA_INET6_ADDR_GEN_MODE, &mode, sizeof(mode));
    nest_end(&request, inet6);
    nest_end(&request, families);
    return transact(&request);
}

int pb_link_delete(int index)
{
    struct request request;
    request_init(&request, RTM_DELLINK, 0, index);
    return transact(&request);
}
