/*
 * toeplitz.h - the flow hash of packet-bricks, bit for bit, for sites that keep
 * their split. Pure; called on the engine thread.
 *
 * A Toeplitz hash is the exclusive or, over the bits that are set in its input,
 * of the 32 bits of the key that begin at that bit's place. Over an input of 96
 * bits (two IPv4 addresses and two ports, in network order) that is 96 steps.
 * This key is 50 6d again and again, so it repeats every 16 bits, and:
 *
 * - the 32 bits at place i are 16 bits twice: K rotated left by i, with K =
 *   0x506d. So is the hash: 16 bits twice, 0x10001 times the sum T of those.
 * - places 16 apart take the same bits, so equal bits there cancel: T depends
 *   only on the exclusive or of the input's 16-bit words. (That makes it
 *   symmetric: which of the words is a source does not matter.)
 * - T of a word is T of its high byte, and T of its low byte rotated by 8: one
 *   table of 256 entries.
 *
 * What that costs: 65536 values at the most, and flows whose words cancel
 * (10.0.0.i with 10.1.0.i) have all the same one. `symmetric` has neither flaw.
 */
#ifndef PB_TOEPLITZ_H
#define PB_TOEPLITZ_H

#include "parse.h"

#define PB_TOEPLITZ_KEY 0x506du
#define PB_TOEPLITZ_VALUES 65536 /* of T */
/* The 32-bit hash of packet-bricks from T. */
#define PB_TOEPLITZ_TWICE 0x10001u
/* What packet-bricks takes where there are no ports: 0xfffd and 0xfffe with their bytes swapped. */
#define PB_TOEPLITZ_NO_SOURCE_PORT 0xfdffu
#define PB_TOEPLITZ_NO_DESTINATION_PORT 0xfeffu

#define PB_PROTOCOL_IPIP 4

/* T of the bytes 0 to 255, as the high byte of a word. */
extern const uint16_t pb_toeplitz_bytes[256];

/* T of a word. */
static inline uint32_t pb_toeplitz_word(uint32_t word)
{
    uint32_t low = pb_toeplitz_bytes[word & 0xff];
    return pb_toeplitz_bytes[word >> 8 & 0xff] ^ (low << 8 & 0xff00) ^ low >> 8;
}

/* The exclusive or of four words, loaded from a packet's bytes on a little-endian machine. */
static inline uint32_t pb_toeplitz_fold(uint64_t words)
{
    words ^= words >> 32;
    return __builtin_bswap16((uint16_t)(words ^ words >> 16));
}

/* The exclusive or of a packet's ports, or what stands for them, each plus the seed. */
static inline uint32_t pb_toeplitz_ports(const uint8_t *data, const struct pb_headers *headers, uint32_t tuple,
                                         uint32_t level)
{
    uint8_t protocol = headers->ip_protocol;
    if (tuple == 2 || headers->l4_offset == 0 || (protocol != PB_PROTOCOL_TCP && protocol != PB_PROTOCOL_UDP))
        return (PB_TOEPLITZ_NO_SOURCE_PORT + level) ^ (PB_TOEPLITZ_NO_DESTINATION_PORT + level);
    const uint8_t *ports = data + headers->l4_offset;
    return (pb_be16(ports) + level) ^ (pb_be16(ports + 2) + level);
}

/*
 * T of a packet by these headers, its own or those inside a tunnel; `level` is
 * the seed: the bricks from the input to this one, itself included.
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
uint32_t pb_toeplitz_headers(const struct pb_packet *packet, const struct pb_headers *headers, uint32_t tuple,
                             uint32_t level);

/* The same of a parsed packet by its own headers; the usual ones without a call. */
static inline __attribute__((always_inline)) uint32_t pb_toeplitz(const struct pb_packet *packet, uint32_t tuple,
                                                                  uint32_t level)
{
    const struct pb_headers *headers = &packet->headers;
    if (headers->ip_version != 4 || headers->ip_protocol == PB_PROTOCOL_IPIP || tuple == 5)
        return pb_toeplitz_headers(packet, headers, tuple, level);
    uint32_t addresses = pb_toeplitz_fold(pb_load64(packet->data + headers->l3_offset + 12));
    return pb_toeplitz_word(addresses ^ pb_toeplitz_ports(packet->data, headers, tuple, level));
}

#endif
