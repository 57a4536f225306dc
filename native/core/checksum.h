/*
 * checksum.h - the Internet checksum (RFC 1071), and completing the one that a
 * sender left to its hardware. Pure.
 *
 * Sums are over 16-bit words in the machine's byte order: RFC 1071 section 2 (B)
 * shows that the result, stored in the same order, is right on every machine.
 */
#ifndef PB_CHECKSUM_H
#define PB_CHECKSUM_H

#include "batch.h"

/* Adds `length` bytes to `sum`; only the last piece of a sum may be of odd length. */
uint64_t pb_checksum_add(uint64_t sum, const uint8_t *bytes, uint32_t length);
/* The checksum as it stands in the packet: store it with memcpy. */
uint16_t pb_checksum_finish(uint64_t sum);

/* The sum of the pseudo-header of TCP and UDP: addresses (4 or 16 bytes each, side
 * by side), protocol, length of header and payload (RFC 793, RFC 8200 section 8.1). */
uint64_t pb_checksum_pseudo(const uint8_t *addresses, uint32_t address_bytes, uint8_t protocol, uint32_t length);

/*
 * Fill in the TCP or UDP checksum of a packet whose sender left that to the
 * hardware: what stands there is the sum of the pseudo-header. `data` is the
 * packet's, writable. False: it is not whole, or neither TCP nor UDP over IP.
 */
bool pb_checksum_complete(struct pb_packet *packet, uint8_t *data);

#endif
