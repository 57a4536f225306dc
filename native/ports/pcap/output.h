/*
 * output.h - a capture file as an output port.
 *
 * The functions are those of port.h's contract, for port->role PB_PORT_OUTPUT;
 * pcap.c's table calls them. What is written: pcap, version 2.4, nanoseconds,
 * this machine's byte order, the link type of the first packet. Seconds are
 * stored modulo 2^32, as the format has no more.
 */
#ifndef PB_PCAP_OUTPUT_H
#define PB_PCAP_OUTPUT_H

#include "../port.h"

int pcap_output_open(struct pb_port *port, struct pb_error *error);
uint32_t pcap_output_tx_batch(struct pb_port *port, const struct pb_tx *tx);
bool pcap_output_wait(struct pb_port *port, struct pb_wait *wait);
void pcap_output_flush(struct pb_port *port);
bool pcap_output_undelivered(struct pb_port *port);
void pcap_output_close(struct pb_port *port);

#endif
