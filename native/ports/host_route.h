/*
 * host_route.h - whether this host would be cut off without an interface.
 *
 * Asked by open() of the drivers that take an interface's traffic away from the host, on
 * the control thread; looks at the network namespace of the calling thread. Asks the
 * kernel by netlink and /proc; keeps nothing.
 */
#ifndef PB_HOST_ROUTE_H
#define PB_HOST_ROUTE_H

#include "port.h"

/* Refuses a port whose interface this host needs: a default route leads over it (of any routing table, IPv4 or IPv6), or
 * an SSH connection to this host; or over one that stands on it: a bridge or bond that it belongs to, a VLAN or macvlan
 * on top of it. Also where that cannot be known. Not if the port says ?force=1. 0, or -EPERM with text. */
PB_MODULE_API int pb_host_guard(const struct pb_port *port, struct pb_error *error);

#endif
