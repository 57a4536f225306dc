/* rss_hash.c - see rss_hash.h. */
#include "rss_hash.h"

static const uint8_t key[] = {
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
    0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
    0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

uint32_t pb_rss_table[PB_RSS_INPUT_BYTES][256];

#if defined(__x86_64__)
uint64_t pb_rss_polynomial[2];

static void prepare_polynomial(void)
{
    for (uint32_t bit = 0; bit < 95; bit++)
        pb_rss_polynomial[(bit + 1) / 64] |= (uint64_t)(key[bit / 8] >> (7 - bit % 8) & 1) << (bit + 1) % 64;
}
#else
static void prepare_polynomial(void)
{
}
#endif

/* The 32 bits of the key from `bit` on: what a 1 there in the input adds to the hash. */
static uint32_t key_window(uint32_t bit)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < 5; i++)
        bytes = bytes << 8 | key[bit / 8 + i];
    return (uint32_t)(bytes >> (8 - bit % 8));
}

void pb_rss_prepare(void)
{
    if (pb_rss_table[0][1] != 0)
        return;
    prepare_polynomial();
    for (uint32_t place = 0; place < PB_RSS_INPUT_BYTES; place++)
        for (uint32_t bit = 0; bit < 8; bit++) {
            /* Values with this as their highest bit add it to those below. */
            uint32_t value = 1u << bit, window = key_window(place * 8 + 7 - bit);
            for (uint32_t lower = 0; lower < value; lower++)
                pb_rss_table[place][value + lower] = pb_rss_table[place][lower] ^ window;
        }
}
