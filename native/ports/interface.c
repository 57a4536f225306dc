/* interface.c - see interface.h. */
#include "interface.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>


bool pb_interface_ask(struct pb_interface *interface, unsigned long request, struct ifreq *answer)
{
    /* By index first: the interface may have been renamed. */
    *answer = (struct ifreq){.ifr_ifindex = interface->index};
    if (ioctl(interface->fd, SIOCGIFNAME, answer) < 0)
        return false;
    memcpy(interface->name, answer->ifr_name, sizeof(interface->name));
    return request == SIOCGIFNAME || ioctl(interface->fd, request, answer) == 0;
}

bool pb_interface_ethtool(struct pb_interface *interface, void *command)
{
    struct ifreq question;
    if (!pb_interface_ask(interface, SIOCGIFNAME, &question))
        return false;
    question.ifr_data = command;
    return ioctl(interface->fd, SIOCETHTOOL, &question) == 0;
}

bool pb_interface_is_up(struct pb_interface *interface)
{
    struct ifreq answer;
    return pb_interface_ask(interface, SIOCGIFFLAGS, &answer) && (answer.ifr_flags & IFF_UP);
}

bool pb_interface_has_link(struct pb_interface *interface)
{
    struct ethtool_value link = {.cmd = ETHTOOL_GLINK};
    struct ifreq answer;
    if (pb_interface_ethtool(interface, &link))
        return link.data != 0;
    return pb_interface_ask(interface, SIOCGIFNAME, &answer);
}

void pb_interface_lost(const struct pb_port *port, struct pb_interface *interface, bool detached)
{
    if (interface->gone)
        return;
    bool was_down = interface->down;
    interface->down = true;
    if (detached) {
        interface->gone = true;
        pb_port_report(port, "the interface is gone; create %s again, then stop and start the engine", interface->name);
    } else if (!was_down && !pb_interface_is_up(interface)) {
        pb_port_report(port, "the interface is down; ip link set %s up", interface->name);
    } else if (!was_down) {
        pb_port_report(port, "the interface has no link; connect %s, or set its peer up", interface->name);
    }
}

int pb_interface_find(const struct pb_port *port, const char *name, struct pb_link *link, struct pb_error *error)
{
    char have[256];
    int result = pb_link_get(name, link);
    if (result == -ENODEV)
        return pb_port_fail(port, error, ENODEV, "no such interface; have: %s", pb_interfaces_text(have, sizeof(have)));
    if (result < 0)
        return pb_port_fail_errno(port, error, -result, "see whether ip link shows it", "cannot look up interface %s", name);
    return 0;
}

int pb_interface_open(const struct pb_port *port, struct pb_interface *interface, bool promiscuous, struct pb_error *error)
{
    interface->fd = promiscuous ? socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0) : socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct packet_mreq membership = {.mr_ifindex = interface->index, .mr_type = PACKET_MR_PROMISC};
    if (interface->fd >= 0 && (!promiscuous || setsockopt(interface->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership,
                                                          sizeof(membership)) == 0))
        return 0;
    if (promiscuous)
        return pb_port_fail_errno(port, error, errno, "run as root, grant CAP_NET_RAW, or use ?promiscuous=0",
                                  "cannot set %s promiscuous", interface->name);
    return pb_port_fail_errno(port, error, errno, "use a kernel with CONFIG_INET", "no socket to ask about %s", interface->name);
}
