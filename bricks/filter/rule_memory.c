/*
 * rule_memory.c - the memory of a rule table: entries in slabs, and freeing what
 * lookups may still see only when they cannot any more. Control thread.
 *
 * Epochs: what is retired bears the epoch of that moment; the epoch then grows.
 * A lookup writes the epoch it begins in to `reader` by an exchange, and 0 when it
 * is done. Reading that by a read-modify-write orders the two: either the lookup
 * began later and finds the table without what was retired, or it is seen to be at
 * work. So memory may go when no lookup is at work, or it began in a later epoch.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "rule_table.h"

#define SLAB_BYTES (PB_RULE_SLAB_ENTRIES * sizeof(struct pb_rule_entry))
/* From this size on memory comes from the system by itself: freed, it has gone. */
#define MAPPED_BYTES_MIN (128u * 1024)

static void *map(size_t bytes, bool is_aligned)
{
    size_t room = bytes + (is_aligned ? SLAB_BYTES : 0);
    uint8_t *memory = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    if (!is_aligned)
        return memory;
    size_t skip = (SLAB_BYTES - (uintptr_t)memory % SLAB_BYTES) % SLAB_BYTES;
    if (skip > 0)
        munmap(memory, skip);
    munmap(memory + skip + bytes, SLAB_BYTES - skip);
    return memory + skip;
}

void *pb_rule_alloc(struct pb_rules *rules, size_t bytes)
{
    void *memory;
    if (bytes >= MAPPED_BYTES_MIN) {
        memory = map(bytes, bytes % SLAB_BYTES == 0);
        /* A huge page costs one entry of the processor's table of translations, not 512. */
        if (memory != NULL && bytes % SLAB_BYTES == 0)
            madvise(memory, bytes, MADV_HUGEPAGE);
    } else {
        memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
        if (memory != NULL)
            memset(memory, 0, bytes);
    }
    if (memory != NULL)
        rules->memory_bytes += bytes;
    return memory;
}

void pb_rule_release(struct pb_rules *rules, void *memory, size_t bytes)
{
    if (memory == NULL)
        return;
    rules->memory_bytes -= bytes;
    if (bytes >= MAPPED_BYTES_MIN)
        munmap(memory, bytes);
    else
        free(memory);
}

static bool slab_open(struct pb_rules *rules, uint32_t slab)
{
    /* A page at a time for the first: a few rules need no huge page. */
    rules->slabs[slab] = slab > 0 ? pb_rule_alloc(rules, SLAB_BYTES) : map(SLAB_BYTES, true);
    if (rules->slabs[slab] == NULL)
        return false;
    if (slab == 0)
        rules->memory_bytes += SLAB_BYTES;
    rules->slab_free[slab] = 0;
    rules->slab_fresh[slab] = slab == 0; /* entry 0 stands for none */
    rules->slab_used[slab] = 0;
    return true;
}

struct pb_rule_entry *pb_rule_entry_take(struct pb_rules *rules)
{
    uint32_t slab = rules->slab_hint;
    while (rules->slabs[slab] != NULL && rules->slab_free[slab] == 0 && rules->slab_fresh[slab] == PB_RULE_SLAB_ENTRIES)
        slab++;
    rules->slab_hint = slab;
    if (slab == PB_RULE_SLABS - 1) /* kept free: it ends the search */
        return NULL;
    if (rules->slabs[slab] == NULL && !slab_open(rules, slab))
        return NULL;
    uint32_t number = rules->slab_free[slab];
    if (number == 0)
        number = slab * PB_RULE_SLAB_ENTRIES + rules->slab_fresh[slab]++;
    struct pb_rule_entry *entry = pb_rule_entry_at(rules, number);
    rules->slab_free[slab] = entry->next_free;
    rules->slab_used[slab]++;
    memset(entry, 0, sizeof(*entry));
    entry->self = number;
    return entry;
}

void pb_rule_entry_give(struct pb_rules *rules, struct pb_rule_entry *entry)
{
    uint32_t slab = entry->self / PB_RULE_SLAB_ENTRIES;
    entry->next_free = rules->slab_free[slab];
    rules->slab_free[slab] = entry->self;
    if (slab < rules->slab_hint)
        rules->slab_hint = slab;
    if (--rules->slab_used[slab] > 0)
        return;
    pb_rule_release(rules, rules->slabs[slab], SLAB_BYTES);
    rules->slabs[slab] = NULL;
}

void pb_rule_entry_retire(struct pb_rules *rules, struct pb_rule_entry *entry)
{
    entry->retired = atomic_load_explicit(&rules->epoch, memory_order_relaxed);
    entry->next_free = 0;
    if (rules->retired_last == 0)
        rules->retired_first = entry->self;
    else
        pb_rule_entry_at(rules, rules->retired_last)->next_free = entry->self;
    rules->retired_last = entry->self;
    rules->is_dirty = true;
}

void pb_rule_retire(struct pb_rules *rules, struct pb_rule_garbage *garbage)
{
    garbage->retired = atomic_load_explicit(&rules->epoch, memory_order_relaxed);
    garbage->next = NULL;
    if (rules->garbage_last == NULL)
        rules->garbage_first = garbage;
    else
        rules->garbage_last->next = garbage;
    rules->garbage_last = garbage;
    rules->is_dirty = true;
}

static void collect_entries(struct pb_rules *rules, uint64_t before)
{
    while (rules->retired_first != 0) {
        struct pb_rule_entry *entry = pb_rule_entry_at(rules, rules->retired_first);
        if (entry->retired >= before)
            return;
        rules->retired_first = entry->next_free;
        if (rules->retired_first == 0)
            rules->retired_last = 0;
        pb_rule_entry_give(rules, entry);
    }
}

void pb_rule_collect(struct pb_rules *rules)
{
    if (rules->garbage_first == NULL && rules->retired_first == 0)
        return;
    if (rules->is_dirty)
        atomic_fetch_add_explicit(&rules->epoch, 1, memory_order_acq_rel);
    rules->is_dirty = false;
    uint64_t before = atomic_fetch_add_explicit(&rules->reader, 0, memory_order_acq_rel);
    if (before == 0)
        before = UINT64_MAX;
    collect_entries(rules, before);
    while (rules->garbage_first != NULL && rules->garbage_first->retired < before) {
        struct pb_rule_garbage *garbage = rules->garbage_first;
        rules->garbage_first = garbage->next;
        if (rules->garbage_first == NULL)
            rules->garbage_last = NULL;
        garbage->release(rules, garbage);
    }
}
