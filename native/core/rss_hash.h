/*
 * rss_hash.h - the Toeplitz hash of receive-side scaling, with the standard key.
 *
 * What a network card computes over a packet's addresses, and ports, as they stand in
 * the packet: "RSS hashing functions" and "Verifying the RSS hash calculation" in
 * Microsoft's driver documentation, which also publish the key. Not symmetric: the two
 * directions of a connection differ.
 *
 * By tables, one lookup for each byte of the input: the hash of an input is the XOR of
 * the hashes of its bytes, each in its place. IPv4 addresses use the first 8 KiB of them.
 */
#ifndef PB_RSS_HASH_H
#define PB_RSS_HASH_H

#include <endian.h>

#include "parse.h"

/* The longest input: two IPv6 addresses and two ports. */
#define PB_RSS_INPUT_BYTES 36

/* By place of a byte in the input, and its value. */
extern uint32_t pb_rss_table[PB_RSS_INPUT_BYTES][256];

/* Fill the tables, once. Control thread, before an engine thread uses them. */
void pb_rss_prepare(void);

/* The part of the hash of 4 or 8 bytes (`count`) that stand at `place` in the input. They are
 * loaded together, low byte first: half the loads. */
static inline __attribute__((always_inline)) uint32_t pb_rss_word(const uint8_t *bytes, uint32_t place, uint32_t count)
{
    uint64_t word = count == 8 ? htole64(pb_load64(bytes)) : htole32(pb_load32(bytes));
    uint32_t hash = 0;
#pragma GCC unroll 8
    for (uint32_t i = 0; i < count; i++)
        hash ^= pb_rss_table[place + i][(uint8_t)(word >> 8 * i)];
    return hash;
}

/* The hash over `tuple` 2, addresses, or 4: with the ports where the packet has such. A fragment
 * has none, so its datagram stays together with `tuple` 2 only. Not IP, or cut within the IP header: 0. */
static inline uint32_t pb_rss_hash(struct pb_packet *packet, uint32_t tuple)
{
    pb_parse(packet);
    const uint8_t *ip = packet->data + packet->l3_offset;
    uint32_t hash, addresses_bytes;
    if (packet->ip_version == 4) {
        addresses_bytes = 8;
        hash = pb_rss_word(ip + 12, 0, 8);
    } else if (packet->ip_version == 6) {
        addresses_bytes = 32;
        hash = 0;
        for (uint32_t place = 0; place < 32; place += 8)
            hash ^= pb_rss_word(ip + 8 + place, place, 8);
    } else {
        return 0;
    }
    if (tuple == 4 && packet->l4_offset != 0 && pb_protocol_has_ports(packet->ip_protocol))
        hash ^= pb_rss_word(packet->data + packet->l4_offset, addresses_bytes, 4);
    return hash;
}

#endif
