/*
 * host_route.h - whether this host would be cut off without an interface.
 *
 * Asked by open() of the drivers that take an interface's traffic away from the host, on
 * the control thread; looks at the network namespace of the calling thread. Asks the
 * kernel by netlink and /proc; keeps nothing.
 */
#ifndef PB_HOST_ROUTE_H
#define PB_HOST_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "../core/module_api.h"

/* True if a default route leads over the interface (of any routing table, IPv4 or IPv6), or an SSH connection to this
 * host; or over an interface that stands on it: a bridge or bond that it belongs to, a VLAN or macvlan on top of it.
 * Then `why` says so: "carries this host's default route". */
PB_MODULE_API bool pb_host_needs(const char *interface, char *why, uint32_t why_bytes);

#endif
