/*
 * reserve.h - room for the longest of everything, of which little is ever used: it costs
 * address space only, and memory where it is written. Control paths.
 */
#ifndef PB_RESERVE_H
#define PB_RESERVE_H

#include <stdint.h>
#include <sys/mman.h>

/* NULL, with errno: there is none. */
static inline uint8_t *pb_reserve(size_t bytes)
{
    void *room = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return room == MAP_FAILED ? NULL : room;
}

static inline void pb_unreserve(uint8_t *room, size_t bytes)
{
    if (room != NULL)
        munmap(room, bytes);
}

#endif
