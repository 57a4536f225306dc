/*
 * bytes.h - unaligned and big-endian reads, as packets need them.
 */
#ifndef PB_BYTES_H
#define PB_BYTES_H

#include <stdint.h>
#include <string.h>

static inline uint16_t pb_be16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static inline uint16_t pb_load16(const uint8_t *bytes)
{
    uint16_t value;
    memcpy(&value, bytes, sizeof(value));
    return value;
}

static inline uint32_t pb_load32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof(value));
    return value;
}

static inline uint64_t pb_load64(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof(value));
    return value;
}

#endif
