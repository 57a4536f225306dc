/*
 * copy.h - copies a packet's data into the ring. On the engine thread, for every
 * packet: the hottest lines of the program.
 */
#ifndef PB_COPY_H
#define PB_COPY_H

#include <stdint.h>
#include <string.h>

/* Copy `length` bytes: reads nothing beyond them, writes nothing beyond them. */
static inline __attribute__((always_inline)) void pb_copy_packet(uint8_t *to, const uint8_t *from, uint32_t length)
{
    if (length - 32 <= 96) {
        /* 32..128 bytes: from both ends, so that the middle meets. */
        uint8_t head[32], tail[32];
        memcpy(head, from, 32);
        memcpy(tail, from + length - 32, 32);
        if (length > 64) {
            uint8_t head2[32], tail2[32];
            memcpy(head2, from + 32, 32);
            memcpy(tail2, from + length - 64, 32);
            memcpy(to + 32, head2, 32);
            memcpy(to + length - 64, tail2, 32);
        }
        memcpy(to, head, 32);
        memcpy(to + length - 32, tail, 32);
        return;
    }
    memcpy(to, from, length);
}

#endif
