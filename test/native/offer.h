/*
 * offer.h - what an engine does when it offers packets to an output: for tests that drive a
 * port by its operations. The packets are the test's, not an input port's.
 */
#ifndef OFFER_H
#define OFFER_H

#include "ports/port.h"

static inline uint32_t offer_packets(struct pb_port *port, const struct pb_packet *packets, const uint16_t *index,
                                     uint32_t count, bool may_wait)
{
    const struct pb_tx tx = {.packets = packets, .index = index, .count = count, .may_wait = may_wait};
    return port->operations->tx_batch(port, &tx);
}

#endif
