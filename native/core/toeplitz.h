/*
 * toeplitz.h - the flow hash of packet-bricks, bit for bit, for sites that keep
 * their split. Pure; called on the engine thread.
 *
 * A Toeplitz hash is the exclusive or, over the bits that are set in its input,
 * of the 32 bits of the key that begin at that bit's place. Over an input of 96
 * bits (two IPv4 addresses and two ports, in network order) that is 96 steps.
 * This key is 50 6d again and again, so it repeats every 16 bits, and:
 *
 * - the 32 bits at place i are K rotated left by i, twice, with K = 0x506d: so the
 *   hash is 16 bits, twice, too.
 * - places 16 apart take the same bits, so equal bits there cancel: the hash
 *   depends only on the exclusive or of the input's 16-bit words. (That makes it
 *   symmetric: which of the words is a source does not matter.)
 * - what is left is one word. A balancer looks its output up by that (buckets.h).
 *
 * What that costs: 65536 values at the most, and flows whose words cancel
 * (10.0.0.i with 10.1.0.i) have all the same one. The symmetric hash has neither flaw.
 */
#ifndef PB_TOEPLITZ_H
#define PB_TOEPLITZ_H

#include "parse.h"

#define PB_TOEPLITZ_KEY 0x506du
#define PB_TOEPLITZ_TWICE 0x10001u
/* What packet-bricks takes where there are no ports: 0xfffd and 0xfffe with their bytes swapped. */
#define PB_TOEPLITZ_NO_SOURCE_PORT 0xfdffu
#define PB_TOEPLITZ_NO_DESTINATION_PORT 0xfeffu

/* The hash of an input whose 16-bit words have this exclusive or. */
uint32_t pb_toeplitz_hash(uint32_t word);

/* The exclusive or of two words, loaded from a packet's bytes on a little-endian machine. */
static inline uint32_t pb_toeplitz_fold(uint32_t words)
{
    return __builtin_bswap16((uint16_t)(words ^ words >> 16));
}

/* The exclusive or of two ports, each plus the seed; bits above the 16 mean nothing. */
static inline uint32_t pb_toeplitz_ports(const uint8_t *ports, uint32_t level)
{
    uint32_t both = be32toh(pb_load32(ports));
    return ((both >> 16) + level) ^ (both + level);
}

/* And of what stands for them; bits above the 16 mean nothing. */
static inline uint32_t pb_toeplitz_no_ports(uint32_t level)
{
    return (PB_TOEPLITZ_NO_SOURCE_PORT + level) ^ (PB_TOEPLITZ_NO_DESTINATION_PORT + level);
}

/* Whether packet-bricks takes the ports of a packet with these headers. */
static inline bool pb_toeplitz_has_ports(const struct pb_headers *headers)
{
    return headers->l4_offset != 0 && (headers->ip_protocol == PB_PROTOCOL_TCP || headers->ip_protocol == PB_PROTOCOL_UDP);
}

/*
 * The word that a packet's hash depends on, by these headers, its own or those inside a
 * tunnel; `level` is the seed: the bricks from the input to this one, itself included.
 *
 *   tuple 4  addresses and ports of TCP and UDP, each port plus the seed; for all
 *            else two constants, plus the seed, stand for them. IPv4 in IPv4 is
 *            followed inside
 *   tuple 2  addresses and the constants; IPv4 in IPv4 is not followed
 *   tuple 5  as 4, and the protocol as one word more: packet-bricks has no such
 *   not IP   the last four bytes of the MAC addresses, and the constants
 *
 * Beyond IPv4, unlike packet-bricks: all 16 bytes of an IPv6 address count, and
 * the ports behind its extension headers; tags are seen through however many.
 * The ports of a first fragment do not count, so that fragments stay together.
 */
uint32_t pb_toeplitz_word(const struct pb_packet *packet, const struct pb_headers *headers, uint32_t tuple, uint32_t level);

#endif
