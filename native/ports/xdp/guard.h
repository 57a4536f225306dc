/*
 * guard.h - whether this host depends on an interface, so that taking its traffic would cut the
 * host off. Control thread.
 */
#ifndef PB_XDP_GUARD_H
#define PB_XDP_GUARD_H

#include "../interface.h"

/* Is it safe to take the traffic of interface `index`? -EPERM, with text, where a default route (of any routing table,
 * IPv4 or IPv6) leads over it, or an SSH connection to this host; or over one that stands on it: a
 * bridge or bond that it belongs to, a VLAN or macvlan on top of it. */
int pb_xdp_guard(const struct pb_port *port, int index, struct pb_error *error);

#endif
