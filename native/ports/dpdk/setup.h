/*
 * setup.h - configures and starts a device, and makes its pool of buffers. Used by
 * device.c, on the control thread.
 */
#ifndef PB_DPDK_SETUP_H
#define PB_DPDK_SETUP_H

#include "device.h"

/* Configure the device for so many queues each way, and as its ports have asked, and start it, after a stop where it
 * runs. 0, or -errno with text, and it is stopped. */
int pb_setup_start(struct pb_device *device, const struct pb_port *port, uint32_t queues, struct pb_error *error);
/* Of a started device: receive frames for other hosts, too. */
void pb_setup_promiscuous(struct pb_device *device);
void pb_setup_stop(struct pb_device *device);

/* Free the pool, at once or when the last device that has a buffer of it has given that back. */
void pb_setup_free_pool(struct pb_device *device);

#endif
