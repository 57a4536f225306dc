/*
 * rule_index.c - two orders of the rules that lookups do not need: by id, to remove
 * and list them, and by their end, to find those that have expired. Control thread.
 */
#include <string.h>

#include "rule_table.h"

#define CAPACITY_MIN 64

/* Make room for `needed` elements; or give room back where there is much more. */
static bool resize(struct pb_rules *rules, void **array, uint32_t element_bytes, uint32_t *capacity, uint32_t needed)
{
    uint32_t wanted = *capacity;
    if (needed > wanted)
        wanted = wanted * 2 > CAPACITY_MIN ? wanted * 2 : CAPACITY_MIN;
    else if (needed == 0)
        wanted = 0;
    else if (wanted > CAPACITY_MIN && needed < wanted / 4)
        wanted /= 2;
    if (wanted == *capacity)
        return true;
    void *moved = wanted == 0 ? NULL : pb_rule_alloc(rules, (size_t)wanted * element_bytes);
    if (moved == NULL && wanted > 0)
        return wanted < *capacity;
    if (*array != NULL && moved != NULL)
        memcpy(moved, *array, (size_t)(wanted < *capacity ? wanted : *capacity) * element_bytes);
    pb_rule_release(rules, *array, (size_t)*capacity * element_bytes);
    *array = moved;
    *capacity = wanted;
    return true;
}

static bool resize_rows(struct pb_rules *rules, uint32_t needed)
{
    return resize(rules, (void **)&rules->rows, sizeof(*rules->rows), &rules->rows_capacity, needed);
}

static bool resize_heap(struct pb_rules *rules, uint32_t needed)
{
    return resize(rules, (void **)&rules->heap, sizeof(*rules->heap), &rules->heap_capacity, needed);
}

/* Close the gaps that removed rules have left. */
static void compact_rows(struct pb_rules *rules)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < rules->rows_count; i++)
        if (rules->rows[i].entry != 0)
            rules->rows[kept++] = rules->rows[i];
    rules->rows_count = kept;
    resize_rows(rules, kept);
}

bool pb_rule_rows_reserve(struct pb_rules *rules)
{
    return resize_rows(rules, rules->rows_count + 1);
}

void pb_rule_rows_add(struct pb_rules *rules, const struct pb_rule_entry *entry)
{
    rules->rows[rules->rows_count++] = (struct pb_rule_row){.id = entry->id, .entry = entry->self};
}

uint32_t pb_rule_rows_find(const struct pb_rules *rules, uint64_t id)
{
    uint32_t low = 0, high = rules->rows_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (rules->rows[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void pb_rule_rows_remove(struct pb_rules *rules, uint64_t id)
{
    rules->rows[pb_rule_rows_find(rules, id)].entry = 0;
    if (rules->rows_count > 2 * rules->count)
        compact_rows(rules);
}

static bool ends_before(const struct pb_rules *rules, uint32_t a, uint32_t b)
{
    return pb_rule_entry_at(rules, a)->end_ns < pb_rule_entry_at(rules, b)->end_ns;
}

static void put(struct pb_rules *rules, uint32_t place, uint32_t number)
{
    rules->heap[place - 1] = number;
    pb_rule_entry_at(rules, number)->heap_place = place;
}

/* Bring what stands at `place` (from 1) to where it belongs. */
static void sift(struct pb_rules *rules, uint32_t place)
{
    uint32_t number = rules->heap[place - 1];
    for (; place > 1 && ends_before(rules, number, rules->heap[place / 2 - 1]); place /= 2)
        put(rules, place, rules->heap[place / 2 - 1]);
    for (;;) {
        uint32_t child = 2 * place;
        if (child < rules->heap_count && ends_before(rules, rules->heap[child], rules->heap[child - 1]))
            child++;
        if (child > rules->heap_count || !ends_before(rules, rules->heap[child - 1], number))
            break;
        put(rules, place, rules->heap[child - 1]);
        place = child;
    }
    put(rules, place, number);
}

bool pb_rule_heap_reserve(struct pb_rules *rules)
{
    return resize_heap(rules, rules->heap_count + 1);
}

void pb_rule_heap_add(struct pb_rules *rules, struct pb_rule_entry *entry)
{
    rules->heap[rules->heap_count++] = entry->self;
    sift(rules, rules->heap_count);
}

void pb_rule_heap_remove(struct pb_rules *rules, struct pb_rule_entry *entry)
{
    uint32_t place = entry->heap_place;
    entry->heap_place = 0;
    uint32_t last = rules->heap[--rules->heap_count];
    if (last != entry->self) {
        rules->heap[place - 1] = last;
        sift(rules, place);
    }
    resize_heap(rules, rules->heap_count);
}
