/*
 * input.h - a capture, or a directory of them, as an input port.
 *
 * The functions are those of port.h's contract, for port->role PB_PORT_INPUT;
 * pcap.c's table calls them. Options: speed, loop.
 */
#ifndef PB_PCAP_INPUT_H
#define PB_PCAP_INPUT_H

#include "../port.h"

int pcap_input_open(struct pb_port *port, struct pb_error *error);
uint32_t pcap_input_rx_batch(struct pb_port *port, struct pb_packet *packets, uint32_t packets_max);
bool pcap_input_wait(struct pb_port *port, struct pb_wait *wait);
void pcap_input_close(struct pb_port *port);

#endif
