/*
 * hash.h - the symmetric flow hash.
 *
 * Each endpoint (address, and with the 4-tuple its port) becomes 64 bits; an IPv6
 * address enters with all its 16 bytes. Mixing is by 64x64 to 128-bit
 * multiplication, folded (the "mum" of Yi's wyhash), twice: the first time the
 * endpoints with each other, each XORed with the same constant, so both directions of
 * a connection get the same 32 bits; then that with the salt, so that structured
 * traffic such as 10.0.0.i to 10.1.0.i spreads as random traffic does. (One
 * multiplication is not enough: of the product of two addresses many bits depend on
 * few. Sums of a multiplication for each endpoint are not either: i + j is often the same.)
 *
 *   2-tuple  addresses
 *   4-tuple  addresses and ports; a fragment, or a protocol without ports: addresses
 *   5-tuple  the same and the protocol
 *   not IP   the MAC addresses; a link without them: 0
 *
 * Cost: about 3 ns for IPv4 with the parsing (AMD EPYC, 2.6 GHz).
 */
#ifndef PB_HASH_H
#define PB_HASH_H

#include "parse.h"

#define PB_HASH_K0 0xa0761d6478bd642fULL
#define PB_HASH_K1 0xe7037ed1a0b428dbULL
#define PB_HASH_K2 0x8ebc6af09c88c6e3ULL
#define PB_HASH_K3 0x589965cc75374cc3ULL
#define PB_HASH_K4 0x9e3779b97f4a7c15ULL

static inline uint64_t pb_hash_mum(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Mix two endpoints with `salt` (the protocol): a product is the same in either order. */
static inline uint32_t pb_hash_endpoints(uint64_t a, uint64_t b, uint64_t salt)
{
    uint64_t mixed = pb_hash_mum(a ^ PB_HASH_K0, b ^ PB_HASH_K0);
    return (uint32_t)pb_hash_mum(mixed ^ PB_HASH_K2, salt ^ PB_HASH_K3);
}

/* Whether the ports count: with 4 and 5, of protocols that have ports, if the packet is no fragment. */
static inline bool pb_hash_has_ports(const struct pb_headers *headers, uint32_t tuple)
{
    return tuple >= 4 && headers->l4_offset != 0 && pb_protocol_has_ports(headers->ip_protocol);
}

/* What the hash is salted with: the IP version, and in a 5-tuple the protocol. */
static inline uint64_t pb_hash_salt(const struct pb_headers *headers, uint32_t tuple)
{
    return headers->ip_version | (tuple == 5 ? (uint64_t)headers->ip_protocol << 8 : 0);
}

/* Of IPv4 by these headers. */
static inline __attribute__((always_inline)) uint32_t pb_hash_ipv4(const uint8_t *data, const struct pb_headers *headers,
                                                                   uint32_t tuple)
{
    const uint8_t *addresses = data + headers->l3_offset + 12;
    uint64_t source = pb_load32(addresses), destination = pb_load32(addresses + 4);
    if (pb_hash_has_ports(headers, tuple)) {
        source |= (uint64_t)pb_load16(data + headers->l4_offset) << 32;
        destination |= (uint64_t)pb_load16(data + headers->l4_offset + 2) << 32;
    }
    return pb_hash_endpoints(source, destination, pb_hash_salt(headers, tuple));
}

/* The flow hash by given headers, outer or inner, of a packet's bytes; the IP version is 4 or 6. */
uint32_t pb_hash_headers(const uint8_t *data, const struct pb_headers *headers, uint32_t tuple);

/* Of any packet, not noted in it; pb_flow_hash() takes the usual ones on its own. Parses it. */
uint32_t pb_hash_any(struct pb_packet *packet, uint32_t tuple);

/* The flow hash over `tuple` 2, 4 or 5, computed once for each packet. */
static inline __attribute__((always_inline)) uint32_t pb_flow_hash(struct pb_packet *packet, uint32_t tuple)
{
    if (packet->hash_tuple == tuple)
        return packet->flow_hash;
    uint32_t hash;
    if (__builtin_expect(pb_packet_is_usual(packet), 1)) {
        struct pb_headers headers = pb_headers_usual(packet);
        hash = pb_hash_ipv4(packet->data, &headers, tuple);
    } else {
        hash = pb_hash_any(packet, tuple);
    }
    packet->hash_tuple = (uint8_t)tuple;
    packet->flow_hash = hash;
    return hash;
}

/* What the network card computed, or the flow hash where it has not. The card's is mixed: it has
 * spread flows over its queues by some of the bits, so in one queue these are alike; and by a
 * symmetric key its halves often are. */
static inline __attribute__((always_inline)) uint32_t pb_flow_hash_nic(struct pb_packet *packet, uint32_t tuple)
{
    return packet->hash_tuple == PB_HASH_TUPLE_NIC ? pb_hash_endpoints(packet->flow_hash, 0, 0) : pb_flow_hash(packet, tuple);
}

/* What a brick at `depth` goes by. Deeper bricks mix again (the finalizer of
 * MurmurHash3, a bijection), so that a chained balancer does not repeat its parent's choice. */
static inline uint32_t pb_hash_seed(uint32_t hash, uint32_t depth)
{
    if (depth > 0) {
        hash += depth * (uint32_t)(PB_HASH_K4 >> 32);
        hash = (hash ^ hash >> 16) * 0x85ebca6bu;
        hash = (hash ^ hash >> 13) * 0xc2b2ae35u;
        hash ^= hash >> 16;
    }
    return hash;
}

/* A hash's place among `outputs`: multiply and shift instead of a modulo (Lemire,
 * "Fast random integer generation in an interval", 2019). */
static inline uint32_t pb_hash_output(uint32_t hash, uint32_t depth, uint32_t outputs)
{
    return (uint32_t)((uint64_t)pb_hash_seed(hash, depth) * outputs >> 32);
}

#endif
