/*
 * rtnetlink.h - the few requests about interfaces that ports make of the kernel.
 *
 * Called by open() and destroy() of the packet, veth and tap drivers, on the
 * control thread, and by tick() of tap; each call opens and closes a netlink socket of its own and
 * waits for the kernel's answer. All work in the network namespace of the
 * calling thread and return 0 or -errno: the caller, who knows the port, writes
 * the text. Sources: rtnetlink(7), linux/if_link.h, linux/veth.h.
 */
#ifndef PB_RTNETLINK_H
#define PB_RTNETLINK_H

#include <stdbool.h>
#include <stdint.h>

#include "../core/module_api.h"

/* What the kernel tells about an interface. */
struct pb_link {
    int index;
    int peer_index;    /* of the device at the other end; 0: none, or in another namespace */
    unsigned flags;    /* IFF_* */
    uint32_t mtu;      /* bytes, without the link-layer header */
    uint16_t hardware; /* ARPHRD_* */
    char kind[16];     /* "veth", "tun", ...; "" for a device without one */
    uint64_t tx_dropped; /* packets that the host sent on it, and the device dropped */
};

/* -ENODEV: there is none of that name. */
PB_MODULE_API int pb_link_get(const char *name, struct pb_link *link);

/* Create a pair of interfaces, both down. -EEXIST: one of the names is taken. */
PB_MODULE_API int pb_link_create_veth(const char *name, const char *peer, uint32_t mtu);

PB_MODULE_API int pb_link_set_up(int index, bool up);
PB_MODULE_API int pb_link_set_mtu(int index, uint32_t mtu);

/* Make the host give the interface no IPv6 address of its own accord: it then
 * sends nothing (neighbour discovery, MLD) that nobody asked for. */
PB_MODULE_API int pb_link_set_silent(int index);

/* Of a veth, its peer goes too. */
PB_MODULE_API int pb_link_delete(int index);

#endif
