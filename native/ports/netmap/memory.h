/*
 * memory.h - what device.c needs of memory.c: a registration's memory
 * and rings. Control thread.
 */
#ifndef PB_NETMAP_MEMORY_H
#define PB_NETMAP_MEMORY_H

#include "device.h"

/* The engine's mapping of the registration's memory, for one more device. 0, or -errno with text. */
int pb_netmap_memory_open(const struct pb_port *port, const struct netmap_register *request, int fd,
                          struct pb_netmap_memory **opened, struct pb_error *error);
/* One device less; behind the last one it is unmapped. */
void pb_netmap_memory_close(struct pb_netmap_memory *memory);

/* Find the device's struct netmap_if, at `offset` of its memory, and from there its rings, and the
 * buffers. 0, or -errno with text; what was allocated is the caller's to free. */
int pb_netmap_rings_find(struct pb_netmap_device *device, const struct pb_port *port, uint64_t offset,
                         struct pb_error *error);

#endif
