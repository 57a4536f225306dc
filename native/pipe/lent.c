/*
 * lent.c - rings that are lent to JavaScript. See lent.h, which also says who
 * calls it and which threads may.
 */
#include "lent.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "reader.h"

/* The list grows only, and lives as long as the process. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct pb_lent *first;

/* Zeros instead of whatever is mapped there. Private and read-only: all pages are
 * the one page of zeros. */
static void map_zeros(uint8_t *memory, uint64_t bytes)
{
    (void)!mmap(memory, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

/* A range of this size that nobody uses; a new one without memory where there is none. */
static struct pb_lent *reserve(uint64_t bytes)
{
    pthread_mutex_lock(&mutex);
    struct pb_lent *lent = first;
    while (lent != NULL && (lent->used || lent->bytes != bytes))
        lent = lent->next;
    if (lent == NULL && (lent = calloc(1, sizeof(*lent))) != NULL) {
        lent->bytes = bytes;
        lent->next = first;
        first = lent;
    }
    if (lent != NULL)
        lent->used = true;
    pthread_mutex_unlock(&mutex);
    return lent;
}

static void unreserve(struct pb_lent *lent)
{
    pthread_mutex_lock(&mutex);
    lent->used = false;
    pthread_mutex_unlock(&mutex);
}

/* Move both turns of a ring: they are two mappings of the same memory. */
static bool move_ring(uint8_t *from, uint8_t *to, uint64_t ring_bytes)
{
    for (uint64_t i = 0; i < 2; i++) {
        uint64_t at = i * ring_bytes;
        if (mremap(from + at, ring_bytes, ring_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to + at) != MAP_FAILED)
            continue;
        munmap(from + at, (2 - i) * ring_bytes);
        map_zeros(to, 2 * ring_bytes);
        return false;
    }
    return true;
}

struct pb_lent *pb_lent_take(struct pb_pipe_reader *reader)
{
    uint64_t ring_bytes;
    uint8_t *ring = (uint8_t *)(uintptr_t)pb_reader_ring(reader, &ring_bytes);
    struct pb_lent *lent = reserve(2 * ring_bytes);
    if (lent == NULL)
        return NULL;
    if (lent->memory == NULL) {
        lent->memory = ring;
        return lent;
    }
    if (move_ring(ring, lent->memory, ring_bytes)) {
        pb_reader_set_ring(reader, lent->memory);
        return lent;
    }
    pb_reader_set_ring(reader, NULL);
    unreserve(lent);
    return NULL;
}

void pb_lent_give(struct pb_lent *lent, struct pb_pipe_reader *reader)
{
    pb_reader_set_ring(reader, NULL);
    map_zeros(lent->memory, lent->bytes);
    unreserve(lent);
}
