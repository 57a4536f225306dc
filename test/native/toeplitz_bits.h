/*
 * toeplitz_bits.h - the Toeplitz hash as its definition says, bit by bit: what the tests
 * compute their expectations by. It shares nothing with core/toeplitz.c.
 */
#ifndef PB_TOEPLITZ_BITS_H
#define PB_TOEPLITZ_BITS_H

#include <stdint.h>

/* For each bit of the input that is set, the 32 bits of the standard key from there. */
static inline uint32_t toeplitz_bits(const uint8_t *input, uint32_t input_bytes)
{
    static const char key[] = "6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa";
    uint32_t hash = 0;
    for (uint32_t bit = 0; bit < input_bytes * 8; bit++)
        for (uint32_t i = 0; i < 32 && (input[bit / 8] >> (7 - bit % 8) & 1); i++) {
            char digit = key[(bit + i) / 4];
            uint32_t nibble = (uint32_t)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
            hash ^= (nibble >> (3 - (bit + i) % 4) & 1) << (31 - i);
        }
    return hash;
}

#endif
