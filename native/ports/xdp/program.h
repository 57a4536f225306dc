/*
 * program.h - the XDP program of an interface: it hands each packet to the AF_XDP
 * socket of the queue that it came by, and to the host where that queue has none.
 *
 * One for each interface of the process, whoever reads its queues. It hangs on a BPF link,
 * so it is gone with the last descriptor, however the process ends. Control thread.
 */
#ifndef PB_XDP_PROGRAM_H
#define PB_XDP_PROGRAM_H

#include "../interface.h"
#include "queue.h"

enum xdp_attach { XDP_ATTACH_AUTO, XDP_ATTACH_NATIVE, XDP_ATTACH_SKB };

struct xdp_program;

/* The interface's program, attached; VLAN tags stay in frames meanwhile. 0, or -errno with text. */
int pb_xdp_program_open(const struct pb_port *port, const struct xdp_request *request, struct pb_interface *interface,
                        enum xdp_attach attach, struct xdp_program **program, struct pb_error *error);
/* Send a queue's packets to its socket. 0, or -errno with text. */
int pb_xdp_program_add(const struct pb_port *port, const struct xdp_program *program, const struct xdp_queue *queue,
                       struct pb_error *error);
void pb_xdp_program_remove(const struct xdp_program *program, const struct xdp_queue *queue);
/* With the last holder it is detached. */
void pb_xdp_program_close(struct xdp_program *program, struct pb_interface *interface);

#endif
