/* rtnetlink.c - see rtnetlink.h. */
#include "rtnetlink.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>

#include "netlink.h"

static void begin(struct pb_netlink_request *request, uint16_t type, uint16_t flags, const struct ifinfomsg *link)
{
    pb_netlink_begin(request, type, flags, link, sizeof(*link));
}

static void add_text(struct pb_netlink_request *request, uint16_t type, const char *text)
{
    pb_netlink_attribute(request, type, text, (uint32_t)strlen(text) + 1);
}

/* Run a request whose answer is only yes or no. */
static int transact(const struct pb_netlink_request *request)
{
    return pb_netlink_exchange(NETLINK_ROUTE, request, NULL, NULL);
}

static void copy_text(char *text, uint32_t text_bytes, const struct rtattr *from)
{
    uint32_t n = (uint32_t)RTA_PAYLOAD(from);
    n = n < text_bytes ? n : text_bytes - 1;
    memcpy(text, RTA_DATA(from), n);
    text[n] = '\0';
}

static void link_attribute(struct pb_link *link, const struct rtattr *at)
{
    if (at->rta_type == IFLA_MTU)
        link->mtu = (uint32_t)pb_netlink_number(at);
    if (at->rta_type == IFLA_LINK)
        link->peer_index = (int)pb_netlink_number(at);
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

static int see_link(const struct nlmsghdr *answer, void *arg)
{
    struct pb_link *link = arg;
    if (answer->nlmsg_type != RTM_NEWLINK)
        return 0;
    const struct ifinfomsg *message = NLMSG_DATA(answer);
    *link = (struct pb_link){.index = message->ifi_index, .flags = message->ifi_flags, .hardware = message->ifi_type};
    int left = (int)IFLA_PAYLOAD(answer);
    bool foreign = false;
    for (const struct rtattr *at = IFLA_RTA(message); RTA_OK(at, left); at = RTA_NEXT(at, left)) {
        link_attribute(link, at);
        foreign |= at->rta_type == IFLA_LINK_NETNSID;
    }
    if (foreign)
        link->peer_index = 0;
    return 0;
}

int pb_link_get(const char *name, struct pb_link *link)
{
    /* The kernel refuses a longer name with -ERANGE; to a caller it is a name nobody has. */
    if (name[0] == '\0' || strlen(name) >= IFNAMSIZ)
        return -ENODEV;
    struct pb_netlink_request request;
    begin(&request, RTM_GETLINK, 0, &(struct ifinfomsg){.ifi_family = AF_UNSPEC});
    add_text(&request, IFLA_IFNAME, name);
    link->index = 0;
    int result = pb_netlink_exchange(NETLINK_ROUTE, &request, see_link, link);
    return result == 0 && link->index == 0 ? -EPROTO : result;
}

int pb_link_create_veth(const char *name, const char *peer, uint32_t mtu)
{
    const struct ifinfomsg any = {.ifi_family = AF_UNSPEC};
    struct pb_netlink_request request;
    begin(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &any);
    add_text(&request, IFLA_IFNAME, name);
    pb_netlink_attribute(&request, IFLA_MTU, &mtu, sizeof(mtu));
    struct rtattr *info = pb_netlink_attribute(&request, IFLA_LINKINFO, NULL, 0);
    pb_netlink_attribute(&request, IFLA_INFO_KIND, "veth", 4);
    struct rtattr *data = pb_netlink_attribute(&request, IFLA_INFO_DATA, NULL, 0);
    struct rtattr *other = pb_netlink_attribute(&request, VETH_INFO_PEER, NULL, 0);
    pb_netlink_append(&request, &any, sizeof(any));
    add_text(&request, IFLA_IFNAME, peer);
    pb_netlink_attribute(&request, IFLA_MTU, &mtu, sizeof(mtu));
    pb_netlink_nest_end(&request, other);
    pb_netlink_nest_end(&request, data);
    pb_netlink_nest_end(&request, info);
    return transact(&request);
}

int pb_link_set_up(int index, bool up)
{
    struct pb_netlink_request request;
    begin(&request, RTM_NEWLINK, 0, &(struct ifinfomsg){.ifi_index = index, .ifi_change = IFF_UP, .ifi_flags = up ? IFF_UP : 0});
    return transact(&request);
}

int pb_link_set_mtu(int index, uint32_t mtu)
{
    struct pb_netlink_request request;
    begin(&request, RTM_NEWLINK, 0, &(struct ifinfomsg){.ifi_index = index});
    pb_netlink_attribute(&request, IFLA_MTU, &mtu, sizeof(mtu));
    return transact(&request);
}

int pb_link_set_silent(int index)
{
    struct pb_netlink_request request;
    begin(&request, RTM_NEWLINK, 0, &(struct ifinfomsg){.ifi_index = index});
    struct rtattr *families = pb_netlink_attribute(&request, IFLA_AF_SPEC, NULL, 0);
    struct rtattr *inet6 = pb_netlink_attribute(&request, AF_INET6, NULL, 0);
    uint8_t mode = IN6_ADDR_GEN_MODE_NONE;
    pb_netlink_attribute(&request, IFLA_INET6_ADDR_GEN_MODE, &mode, sizeof(mode));
    pb_netlink_nest_end(&request, inet6);
    pb_netlink_nest_end(&request, families);
    return transact(&request);
}

int pb_link_delete(int index)
{
    struct pb_netlink_request request;
    begin(&request, RTM_DELLINK, 0, &(struct ifinfomsg){.ifi_index = index});
    return transact(&request);
}
