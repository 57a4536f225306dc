/*
 * socket.h - what packet.c, rx.c and tx.c share.
 *
 * packet.c opens the socket and knows its interface's state; the other two each
 * know one kind of ring. Nobody else includes this (packet.h is for that).
 */
#ifndef PB_PACKET_SOCKET_H
#define PB_PACKET_SOCKET_H

#include "../packet.h"

/* packet.c: the interface. Each makes a few system calls, so none is for each packet. */

/* Whether the device computes a hash of what it receives (ethtool -K ... rxhash). */
bool pb_packet_has_nic_hash(struct pb_packet_socket *s);
/* It carries nothing: set down or gone, with a report for each change. */
void pb_packet_lost(struct pb_port *port, struct pb_packet_socket *s);

/* packet.c: opening. */

int pb_packet_set_option(const struct pb_packet_socket *s, int option, int value);
/* `request` is a tpacket_req, or the tpacket_req3 that begins with one. */
int pb_packet_map_ring(struct pb_port *port, struct pb_packet_socket *s, int option, const struct tpacket_req *request,
                       socklen_t bytes, struct pb_error *error);
int pb_packet_bind(const struct pb_packet_socket *s, uint16_t protocol);

/* rx.c: an input. */

int pb_packet_rx_open(struct pb_port *port, struct pb_packet_socket *s, struct pb_error *error);
bool pb_packet_rx_wait(struct pb_port *port, struct pb_packet_socket *s, struct pb_wait *wait);
void pb_packet_rx_tick(struct pb_port *port, struct pb_packet_socket *s);
/* Before the socket is closed: leave the fanout group, if in one. */
void pb_packet_rx_leave(struct pb_packet_socket *s);

/* tx.c: an output. */

int pb_packet_tx_open(struct pb_port *port, struct pb_packet_socket *s, uint32_t mtu, struct pb_error *error);
bool pb_packet_tx_wait(struct pb_port *port, struct pb_packet_socket *s, struct pb_wait *wait);
void pb_packet_tx_tick(struct pb_port *port, struct pb_packet_socket *s);
/* Hand what is pending to the device. */
void pb_packet_tx_kick(struct pb_port *port, struct pb_packet_socket *s);
/* The same, for a bounded time; what is left then is dropped. */
void pb_packet_tx_drain(struct pb_port *port, struct pb_packet_socket *s);

#endif
