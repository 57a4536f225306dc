/*
 * siphash.h - SipHash-2-4 (Aumasson and Bernstein, 2012): a hash under a secret key,
 * for tables whose keys strangers choose. Pure.
 */
#ifndef PB_SIPHASH_H
#define PB_SIPHASH_H

#include <stdint.h>

uint64_t pb_siphash(const uint64_t key[2], const uint8_t *bytes, uint32_t length);

#endif
