/*
 * handle.h - handles: small positive integers that stand for a slot of a table,
 * and for which of its tenants is meant. A handle of a tenant that has gone
 * finds nothing. Pure; whoever keeps the table decides which thread uses it.
 */
#ifndef PB_HANDLE_H
#define PB_HANDLE_H

#include <stdint.h>

#define PB_HANDLE_SLOT_BITS 9
#define PB_HANDLE_SLOTS_MAX ((1u << PB_HANDLE_SLOT_BITS) - 1) /* slot + 1 fits */
#define PB_HANDLE_GENERATION_MAX 0x3fffffu

/* The generation of the next tenant of a slot: never 0. */
static inline uint32_t pb_handle_next_generation(uint32_t generation)
{
    return generation % PB_HANDLE_GENERATION_MAX + 1;
}

static inline int pb_handle_make(uint32_t slot, uint32_t generation)
{
    return (int)(generation << PB_HANDLE_SLOT_BITS | (slot + 1));
}

/* The slot that a handle names; UINT32_MAX: none can have it. */
static inline uint32_t pb_handle_slot(int handle)
{
    return handle > 0 ? ((uint32_t)handle & PB_HANDLE_SLOTS_MAX) - 1 : UINT32_MAX;
}

static inline uint32_t pb_handle_generation(int handle)
{
    return (uint32_t)handle >> PB_HANDLE_SLOT_BITS;
}

#endif
