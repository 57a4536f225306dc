/* siphash.c - see siphash.h. Any thread; pure. For little-endian words the machine's own order is taken:
 * the values of a table live in one process. */
#include "siphash.h"

#include "bytes.h"

static uint64_t rotate(uint64_t word, uint32_t bits)
{
    return word << bits | word >> (64 - bits);
}

static void rounds(uint64_t v[4], uint32_t count)
{
    while (count-- > 0) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] = rotate(v[0], 32) + v[3];
        v[2] += v[1];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[2] = rotate(v[2], 32);
    }
}

static void take(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    rounds(v, 2);
    v[0] ^= word;
}

uint64_t pb_siphash(const uint64_t key[2], const uint8_t *bytes, uint32_t length)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
                     key[1] ^ 0x7465646279746573};
    uint32_t at = 0;
    for (; length - at >= 8; at += 8)
        take(v, pb_load64(bytes + at));
    uint64_t last = (uint64_t)length << 56;
    for (uint32_t i = 0; at + i < length; i++)
        last |= (uint64_t)bytes[at + i] << 8 * i;
    take(v, last);
    v[2] ^= 0xff;
    rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
