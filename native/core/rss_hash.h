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
 * Where the processor has carry-less multiplication and GFNI, two multiplications do the
 * same for IPv4 addresses, in 1 ns instead of 2.5.
 */
#ifndef PB_RSS_HASH_H
#define PB_RSS_HASH_H

#include <endian.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

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

/* The hash of 8 bytes, two IPv4 addresses, by tables. */
static inline __attribute__((always_inline)) uint32_t pb_rss_by_table(const uint8_t *bytes)
{
    return pb_rss_word(bytes, 0, 8);
}

#if defined(__x86_64__)
#define PB_RSS_FAST_TARGET __attribute__((target("pclmul,gfni")))

/* The key as a polynomial: its bit m is the coefficient of x to the m + 1; 96 of them. */
extern uint64_t pb_rss_polynomial[2];

static inline bool pb_rss_has_fast(void)
{
    return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("gfni");
}

/* As pb_rss_by_table(). With bit i of the input as the coefficient of x to the 63 - i, that of x to
 * the 64 + j in the product with the key is the XOR of key bits i + j over the bits i that are set: the
 * hash's bit j, counted from its highest. So bits 64 to 95 of the product are the hash, reversed. */
PB_RSS_FAST_TARGET static inline uint32_t pb_rss_fast(const uint8_t *bytes)
{
    const __m128i key = _mm_loadu_si128((const __m128i *)pb_rss_polynomial);
    const __m128i reverse_bits = _mm_set1_epi64x((long long)0x8040201008040201); /* of each byte */
    __m128i input = _mm_cvtsi64_si128((long long)be64toh(pb_load64(bytes)));
    __m128i low = _mm_clmulepi64_si128(input, key, 0x00), high = _mm_clmulepi64_si128(input, key, 0x10);
    __m128i reversed = _mm_xor_si128(_mm_unpackhi_epi64(low, low), high);
    return __builtin_bswap32((uint32_t)_mm_cvtsi128_si32(_mm_gf2p8affine_epi64_epi8(reversed, reverse_bits, 0)));
}
#else
#define PB_RSS_FAST_TARGET

static inline bool pb_rss_has_fast(void)
{
    return false;
}

static inline uint32_t pb_rss_fast(const uint8_t *bytes)
{
    return pb_rss_by_table(bytes);
}
#endif

/* The hash over `tuple` 2, addresses, or 4: with the ports where the packet has such. A fragment
 * has none, so its datagram stays together with `tuple` 2 only. Not IP, or cut within the IP header: 0. */
static inline uint32_t pb_rss_hash(struct pb_packet *packet, uint32_t tuple)
{
    pb_parse(packet);
    const uint8_t *ip = packet->data + packet->headers.l3_offset;
    uint32_t hash, addresses_bytes;
    if (packet->headers.ip_version == 4) {
        addresses_bytes = 8;
        hash = pb_rss_by_table(ip + 12);
    } else if (packet->headers.ip_version == 6) {
        addresses_bytes = 32;
        hash = 0;
        for (uint32_t place = 0; place < 32; place += 8)
            hash ^= pb_rss_word(ip + 8 + place, place, 8);
    } else {
        return 0;
    }
    if (tuple == 4 && packet->headers.l4_offset != 0 && pb_protocol_has_ports(packet->headers.ip_protocol))
        hash ^= pb_rss_word(packet->data + packet->headers.l4_offset, addresses_bytes, 4);
    return hash;
}

#endif
