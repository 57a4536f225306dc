/*
 * hash.h - the symmetric flow hash.
 *
 * Both directions of a connection get the same 32 bits: the two endpoints are
 * put in order before they are mixed. Each endpoint (address, and with the
 * 4-tuple its port) becomes 64 bits; an IPv6 address enters with all its 16
 * bytes. Mixing is by 64x64 to 128-bit multiplication, folded (the "mum" of
 * Yi's wyhash), twice, so that structured traffic such as 10.0.0.i to 10.1.0.i
 * spreads as random traffic does.
 *
 *   2-tuple  addresses
 *   4-tuple  addresses and ports; a fragment, or a protocol without ports: addresses
 *   5-tuple  the same and the protocol
 *   not IP   the MAC addresses; a link without them: 0
 *
 * Cost: about 4 ns for IPv4 with the parsing (AMD EPYC, 2.6 GHz).
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

/* Mix two endpoints, in either order, with `salt` (the protocol). */
static inline uint32_t pb_hash_endpoints(uint64_t a, uint64_t b, uint64_t salt)
{
    uint64_t low = a < b ? a : b;
    uint64_t high = a < b ? b : a;
    uint64_t mixed = pb_hash_mum(low ^ PB_HASH_K0, high ^ PB_HASH_K1);
    mixed = pb_hash_mum(mixed ^ PB_HASH_K2, salt ^ PB_HASH_K3);
    return (uint32_t)(mixed ^ mixed >> 32);
}

/* The source port and the destination port (<< 16) as the bytes have them; 0: none. */
static inline uint32_t pb_hash_ports(const uint8_t *data, const struct pb_headers *headers, uint32_t tuple)
{
    bool has = tuple >= 4 && headers->l4_offset != 0 && pb_protocol_has_ports(headers->ip_protocol);
    return has ? pb_load32(data + headers->l4_offset) : 0;
}

/* What the hash is salted with: the IP version, and in a 5-tuple the protocol. */
static inline uint64_t pb_hash_salt(const struct pb_headers *headers, uint32_t tuple)
{
    return headers->ip_version | (tuple == 5 ? (uint64_t)headers->ip_protocol << 8 : 0);
}

/* The hash of two IPv4 addresses and two ports, the source's in the low half, as loaded. */
static inline uint32_t pb_hash_ipv4_endpoints(uint64_t addresses, uint64_t ports, uint64_t salt)
{
    uint64_t source = (uint32_t)addresses | (ports & 0xffff) << 32;
    uint64_t destination = addresses >> 32 | ports >> 16 << 32;
    return pb_hash_endpoints(source, destination, salt);
}

static inline __attribute__((always_inline)) uint32_t pb_hash_ipv4(const uint8_t *data, const struct pb_headers *headers,
                                                                   uint32_t tuple)
{
    uint64_t addresses = pb_load64(data + headers->l3_offset + 12);
    return pb_hash_ipv4_endpoints(addresses, pb_hash_ports(data, headers, tuple), pb_hash_salt(headers, tuple));
}

/* The flow hash by given headers, outer or inner, of a packet's bytes; the IP version is 4 or 6. */
uint32_t pb_hash_headers(const uint8_t *data, const struct pb_headers *headers, uint32_t tuple);

/* Packets that are not IPv4: IPv6, and those that hash their MAC pair. */
uint32_t pb_hash_any(const struct pb_packet *packet, uint32_t tuple);

/* The flow hash over `tuple` 2, 4 or 5, computed once for each packet. */
static inline __attribute__((always_inline)) uint32_t pb_flow_hash(struct pb_packet *packet, uint32_t tuple)
{
    if (packet->hash_tuple == tuple)
        return packet->flow_hash;
    pb_parse(packet);
    uint32_t hash = packet->headers.ip_version == 4 ? pb_hash_ipv4(packet->data, &packet->headers, tuple)
                                                    : pb_hash_any(packet, tuple);
    packet->hash_tuple = (uint8_t)tuple;
    packet->flow_hash = hash;
    return hash;
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
