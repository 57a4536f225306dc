/*
 * interface.h - a network interface under a port: whether it is there, up and
 * connected, and the reports when that changes. For drivers that carry its traffic.
 *
 * Each question costs a system call or two, so none is asked for each packet.
 * Control thread before start, then the engine thread.
 */
#ifndef PB_INTERFACE_H
#define PB_INTERFACE_H

#include <net/if.h>

#include "port.h"
#include "rtnetlink.h"

#define PB_VLAN_TAG_BYTES 4

struct pb_interface {
    char name[IFNAMSIZ]; /* as it was when asked last */
    int index;
    int fd;    /* of a socket to ask through; the driver's */
    bool down; /* reported; until a sign that it is up again */
    bool gone; /* reported; the interface will not come back */
};

/* One of the SIOCGIF requests; false when there is no answer. */
PB_MODULE_API bool pb_interface_ask(struct pb_interface *interface, unsigned long request, struct ifreq *answer);
/* One of ethtool's, whose structure begins with `command`. */
PB_MODULE_API bool pb_interface_ethtool(struct pb_interface *interface, void *command);
PB_MODULE_API bool pb_interface_is_up(struct pb_interface *interface);
/* True also where the device cannot tell. */
PB_MODULE_API bool pb_interface_has_link(struct pb_interface *interface);
/* It carries nothing: set `down`, or `gone` where it was `detached` from us, with a report for each change. */
PB_MODULE_API void pb_interface_lost(const struct pb_port *port, struct pb_interface *interface, bool detached);

/* The interface that a port names. 0, or -errno with text. */
PB_MODULE_API int pb_interface_find(const struct pb_port *port, const char *name, struct pb_link *link, struct pb_error *error);

/* Open the socket to ask through; one that keeps the interface promiscuous until it is closed, where that is asked
 * for: to close one of packets takes the kernel longer. 0, or -errno with text. */
PB_MODULE_API int pb_interface_open(const struct pb_port *port, struct pb_interface *interface, bool promiscuous,
                                    struct pb_error *error);

/* Why a frame cannot be sent. */
enum pb_frame_fault {
    PB_FRAME_GOOD,
    PB_FRAME_LINK_TYPE, /* of another link type than the interface */
    PB_FRAME_TRUNCATED, /* captured only in part */
    PB_FRAME_TOO_SHORT,
    PB_FRAME_TOO_LONG
};

/* For a table: a driver's counter of each, whose names begin with DRIVER; NONE: there is no fault. */
#define PB_FRAME_REASONS(DRIVER, NONE)                                                                                 \
    {                                                                                                                  \
        [PB_FRAME_GOOD] = NONE, [PB_FRAME_LINK_TYPE] = DRIVER##_LINK_TYPE, [PB_FRAME_TRUNCATED] = DRIVER##_TRUNCATED,  \
        [PB_FRAME_TOO_SHORT] = DRIVER##_TOO_SHORT, [PB_FRAME_TOO_LONG] = DRIVER##_TOO_LONG                             \
    }

/* May a frame be sent by an interface that takes untagged ones of `bytes_max`? */
static inline enum pb_frame_fault pb_frame_check(const struct pb_packet *packet, uint16_t link_type, uint32_t bytes_max)
{
    bool ethernet = link_type == PB_LINK_ETHERNET;
    if (packet->link_type != link_type)
        return PB_FRAME_LINK_TYPE;
    if (packet->captured_len < packet->wire_len)
        return PB_FRAME_TRUNCATED;
    if (packet->captured_len < (ethernet ? 14 : 1))
        return PB_FRAME_TOO_SHORT;
    if (packet->captured_len <= bytes_max)
        return PB_FRAME_GOOD;
    /* The kernel grants the four bytes more to 802.1Q only. */
    bool tagged = ethernet && packet->data[12] == 0x81 && packet->data[13] == 0x00;
    return packet->captured_len <= bytes_max + (tagged ? PB_VLAN_TAG_BYTES : 0) ? PB_FRAME_GOOD : PB_FRAME_TOO_LONG;
}

#endif
