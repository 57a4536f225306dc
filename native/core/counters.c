/* counters.c - see counters.h. Control thread only. */
#include "counters.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "error.h"

#define VALUES_MIN 512 /* a memory page */

/* Pages given back, kept for the next engine: they are never unmapped. */
struct pooled {
    struct pooled *next;
    pb_counter *values;
    uint32_t capacity;
};

static struct pooled *pool;

static pb_counter *pool_take(uint32_t capacity)
{
    for (struct pooled **link = &pool; *link != NULL; link = &(*link)->next) {
        struct pooled *found = *link;
        if (found->capacity != capacity)
            continue;
        *link = found->next;
        pb_counter *values = found->values;
        free(found);
        memset((void *)values, 0, capacity * sizeof(*values));
        return values;
    }
    return NULL;
}

int pb_counters_open(struct pb_counters_page *page, uint32_t capacity, struct pb_error *error)
{
    uint32_t rounded = VALUES_MIN;
    while (rounded < capacity)
        rounded *= 2;
    pb_counter *values = pool_take(rounded);
    if (values == NULL) {
        void *memory = mmap(NULL, rounded * sizeof(*values), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            return pb_fail(error, errno, "no memory for %u counters: %s", rounded, strerror(errno));
        values = memory;
    }
    *page = (struct pb_counters_page){.values = values, .capacity = rounded};
    return 0;
}

pb_counter *pb_counters_take(struct pb_counters_page *page, uint32_t count)
{
    uint32_t rounded = (count + PB_COUNTERS_LINE - 1) / PB_COUNTERS_LINE * PB_COUNTERS_LINE;
    if (rounded > page->capacity - page->used)
        return NULL;
    pb_counter *values = page->values + page->used;
    page->used += rounded;
    return values;
}

void pb_counters_close(struct pb_counters_page *page)
{
    if (page->values == NULL)
        return;
    struct pooled *entry = malloc(sizeof(*entry));
    /* Without memory for the entry the page is lost, which is what unmapping it must not be. */
    if (entry != NULL) {
        *entry = (struct pooled){.next = pool, .values = page->values, .capacity = page->capacity};
        pool = entry;
    }
    *page = (struct pb_counters_page){0};
}
