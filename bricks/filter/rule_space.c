/*
 * rule_space.c - the hash tables of a rule table, changed under the eyes of lookups,
 * and the order in which lookups ask them. Control thread.
 *
 * Buckets are a cache line each: seven slots, and a way to further ones. Entries of
 * one key are a chain, the one that decides first in front. A table that is too full
 * or too empty is copied, slots only, to one of another size; lookups find the new
 * one from the next chunk on.
 */
#include <errno.h>
#include <string.h>

#include "rule_table.h"

static uint64_t slot_of(const struct pb_rule_entry *entry)
{
    return (entry->hash & ~(uint64_t)PB_RULE_ENTRY_MASK) | entry->self;
}

static struct pb_rule_bucket *bucket_of(struct pb_rule_buckets *buckets, uint64_t hash)
{
    return &buckets->bucket[hash >> 24 & buckets->mask];
}

static void release_buckets(struct pb_rules *rules, struct pb_rule_garbage *garbage)
{
    struct pb_rule_buckets *buckets = (struct pb_rule_buckets *)garbage;
    for (uint32_t i = 0; i <= buckets->mask; i++) {
        struct pb_rule_bucket *next, *bucket = atomic_load_explicit(&buckets->bucket[i].overflow, memory_order_relaxed);
        for (; bucket != NULL; bucket = next) {
            next = atomic_load_explicit(&bucket->overflow, memory_order_relaxed);
            pb_rule_release(rules, bucket, sizeof(*bucket));
        }
    }
    pb_rule_release(rules, buckets->bucket, (buckets->mask + (size_t)1) * sizeof(*buckets->bucket));
    pb_rule_release(rules, buckets, sizeof(*buckets));
}

static struct pb_rule_buckets *make_buckets(struct pb_rules *rules, uint32_t count)
{
    struct pb_rule_buckets *buckets = pb_rule_alloc(rules, sizeof(*buckets));
    if (buckets == NULL)
        return NULL;
    buckets->garbage.release = release_buckets;
    buckets->mask = count - 1;
    buckets->bucket = pb_rule_alloc(rules, (size_t)count * sizeof(*buckets->bucket));
    if (buckets->bucket != NULL)
        return buckets;
    pb_rule_release(rules, buckets, sizeof(*buckets));
    return NULL;
}

/* Put a slot where there is room; false: no memory. */
static bool put_slot(struct pb_rules *rules, struct pb_rule_buckets *buckets, uint64_t slot)
{
    struct pb_rule_bucket *bucket = bucket_of(buckets, slot);
    for (;;) {
        for (uint32_t i = 0; i < PB_RULE_SLOTS; i++) {
            if (atomic_load_explicit(&bucket->slots[i], memory_order_relaxed) != 0)
                continue;
            atomic_store_explicit(&bucket->slots[i], slot, memory_order_release);
            return true;
        }
        struct pb_rule_bucket *next = atomic_load_explicit(&bucket->overflow, memory_order_relaxed);
        if (next == NULL) {
            next = pb_rule_alloc(rules, sizeof(*next));
            if (next == NULL)
                return false;
            atomic_store_explicit(&bucket->overflow, next, memory_order_release);
        }
        bucket = next;
    }
}

static bool copy_slots(struct pb_rules *rules, struct pb_rule_buckets *from, struct pb_rule_buckets *to)
{
    for (uint32_t b = 0; b <= from->mask; b++)
        for (struct pb_rule_bucket *bucket = &from->bucket[b]; bucket != NULL;
             bucket = atomic_load_explicit(&bucket->overflow, memory_order_relaxed))
            for (uint32_t i = 0; i < PB_RULE_SLOTS; i++) {
                uint64_t slot = atomic_load_explicit(&bucket->slots[i], memory_order_relaxed);
                if (slot != 0 && !put_slot(rules, to, slot))
                    return false;
            }
    return true;
}

/* As many buckets as the keys want: half full on the average, never less than an
 * eighth. Without memory the table stays as it is, and lookups take longer. */
static void fit_buckets(struct pb_rules *rules, struct pb_rule_space *space)
{
    struct pb_rule_buckets *old = atomic_load_explicit(&space->buckets, memory_order_relaxed);
    uint64_t count = old->mask + (uint64_t)1, keys = space->keys;
    if (keys * 2 > count * PB_RULE_SLOTS)
        count *= 2;
    else if (count > 1 && keys * 16 < count * PB_RULE_SLOTS)
        count /= 2;
    else
        return;
    struct pb_rule_buckets *new = make_buckets(rules, (uint32_t)count);
    if (new == NULL)
        return;
    if (!copy_slots(rules, old, new)) {
        release_buckets(rules, &new->garbage);
        return;
    }
    atomic_store_explicit(&space->buckets, new, memory_order_release);
    pb_rule_retire(rules, &old->garbage);
}

/* The slot that leads to the entries of this key; NULL: none does. */
static _Atomic uint64_t *find_slot(const struct pb_rules *rules, const struct pb_rule_space *space,
                                   const struct pb_rule_key *key, uint64_t hash)
{
    struct pb_rule_buckets *buckets = atomic_load_explicit(&space->buckets, memory_order_relaxed);
    for (struct pb_rule_bucket *bucket = bucket_of(buckets, hash); bucket != NULL;
         bucket = atomic_load_explicit(&bucket->overflow, memory_order_relaxed))
        for (uint32_t i = 0; i < PB_RULE_SLOTS; i++) {
            uint64_t slot = atomic_load_explicit(&bucket->slots[i], memory_order_relaxed);
            if (slot != 0 && (slot ^ hash) >> 24 == 0 &&
                pb_rule_key_equal(pb_rule_entry_at(rules, slot & PB_RULE_ENTRY_MASK), key))
                return &bucket->slots[i];
        }
    return NULL;
}

static struct pb_rule_key key_of(const struct pb_rule_entry *entry)
{
    struct pb_rule_key key = {.ports = entry->ports, .protocol = entry->protocol};
    memcpy(key.address, entry->address, sizeof(key.address));
    return key;
}

static void set_next(struct pb_rule_entry *entry, uint32_t next)
{
    atomic_store_explicit(&entry->next, next, memory_order_release);
    uint8_t flags = atomic_load_explicit(&entry->flags, memory_order_relaxed) & (uint8_t)~PB_RULE_CHAINED;
    atomic_store_explicit(&entry->flags, next == 0 ? flags : flags | PB_RULE_CHAINED, memory_order_release);
}

static uint32_t next_of(const struct pb_rule_entry *entry)
{
    return atomic_load_explicit(&entry->next, memory_order_relaxed);
}

/* Whether the chain of a key is as long as it may be: lookups and changes walk along it. */
static bool is_chain_full(const struct pb_rules *rules, const _Atomic uint64_t *slot)
{
    uint32_t length = 0;
    for (uint32_t number = atomic_load_explicit(slot, memory_order_relaxed) & PB_RULE_ENTRY_MASK; number != 0;
         number = next_of(pb_rule_entry_at(rules, number)))
        length++;
    return length >= PB_RULES_SAME_KEY_MAX;
}

/* Put an entry into the chain of its key, behind those that decide before it. */
static void chain_insert(struct pb_rules *rules, struct pb_rule_entry *entry, _Atomic uint64_t *slot)
{
    uint32_t next = atomic_load_explicit(slot, memory_order_relaxed) & PB_RULE_ENTRY_MASK;
    struct pb_rule_entry *before = NULL;
    while (next != 0 && pb_rule_entry_at(rules, next)->priority >= entry->priority) {
        before = pb_rule_entry_at(rules, next);
        next = next_of(before);
    }
    set_next(entry, next);
    if (before == NULL)
        atomic_store_explicit(slot, slot_of(entry), memory_order_release);
    else
        set_next(before, entry->self);
}

/* Take an entry out of its chain; true: it was the only one, and its slot is free. */
static bool chain_remove(struct pb_rules *rules, struct pb_rule_entry *entry, _Atomic uint64_t *slot)
{
    uint32_t first = atomic_load_explicit(slot, memory_order_relaxed) & PB_RULE_ENTRY_MASK;
    if (first == entry->self) {
        uint32_t next = next_of(entry);
        atomic_store_explicit(slot, next == 0 ? 0 : slot_of(pb_rule_entry_at(rules, next)), memory_order_release);
        return next == 0;
    }
    struct pb_rule_entry *before = pb_rule_entry_at(rules, first);
    while (next_of(before) != entry->self)
        before = pb_rule_entry_at(rules, next_of(before));
    set_next(before, next_of(entry));
    return false;
}

static void release_order(struct pb_rules *rules, struct pb_rule_garbage *garbage)
{
    struct pb_rule_order *order = (struct pb_rule_order *)garbage;
    pb_rule_release(rules, order, sizeof(*order) + order->count * sizeof(order->space[0]));
}

static int32_t priority_max(const struct pb_rule_space *space)
{
    return atomic_load_explicit(&space->priority_max, memory_order_relaxed);
}

/* Show lookups the spaces of `old` without `without` and with `with`, the highest priorities first. */
static bool publish_order(struct pb_rules *rules, const struct pb_rule_space *without, struct pb_rule_space *with)
{
    struct pb_rule_order *old = atomic_load_explicit(&rules->order, memory_order_relaxed);
    uint32_t count = (old == NULL ? 0 : old->count) - (without != NULL) + (with != NULL);
    struct pb_rule_order *order = NULL;
    if (count > 0) {
        order = pb_rule_alloc(rules, sizeof(*order) + count * sizeof(order->space[0]));
        if (order == NULL)
            return false;
        order->garbage.release = release_order;
        uint32_t filled = 0;
        for (uint32_t i = 0; i < (old == NULL ? 0 : old->count) + (with != NULL); i++) {
            struct pb_rule_space *space = old != NULL && i < old->count ? old->space[i] : with;
            if (space == without)
                continue;
            uint32_t at = filled++;
            for (; at > 0 && priority_max(order->space[at - 1]) < priority_max(space); at--)
                order->space[at] = order->space[at - 1];
            order->space[at] = space;
        }
        order->count = filled;
    }
    atomic_store_explicit(&rules->order, order, memory_order_release);
    if (old != NULL)
        pb_rule_retire(rules, &old->garbage);
    return true;
}

/* A lookup that takes priority_max for too high asks in vain, one that takes it for too
 * low misses a rule: so it is raised before a rule can be found, and lowered after it
 * cannot. An order that could not be made anew is not wrong, only slower. */
static void set_priority_max(struct pb_rules *rules, struct pb_rule_space *space, int32_t priority)
{
    atomic_store_explicit(&space->priority_max, priority, memory_order_release);
    publish_order(rules, NULL, NULL);
}

static void count_priority(struct pb_rules *rules, struct pb_rule_space *space, int32_t priority)
{
    space->by_priority[priority + PB_RULE_PRIORITY_MAX]++;
    if (priority > priority_max(space))
        set_priority_max(rules, space, priority);
}

static void discount_priority(struct pb_rules *rules, struct pb_rule_space *space, int32_t priority)
{
    uint32_t *count = space->by_priority + PB_RULE_PRIORITY_MAX;
    count[priority]--;
    int32_t highest = priority_max(space);
    while (highest > -PB_RULE_PRIORITY_MAX && count[highest] == 0)
        highest--;
    if (highest != priority_max(space))
        set_priority_max(rules, space, highest);
}

static void release_space(struct pb_rules *rules, struct pb_rule_garbage *garbage)
{
    struct pb_rule_space *space = (struct pb_rule_space *)garbage;
    release_buckets(rules, &atomic_load_explicit(&space->buckets, memory_order_relaxed)->garbage);
    pb_rule_release(rules, space, sizeof(*space));
}

/* The first `bits` bits of a word that holds `bytes` bytes in network order. */
static uint64_t prefix_mask(uint32_t bits, uint32_t bytes)
{
    uint8_t mask[8] = {0};
    for (uint32_t i = 0; i < bytes && bits > 8 * i; i++)
        mask[i] = bits >= 8 * (i + 1) ? 0xff : (uint8_t)(0xff00 >> (bits - 8 * i));
    return pb_load64(mask);
}

static void set_address_mask(uint64_t *mask, uint32_t bits, uint32_t family)
{
    mask[0] = prefix_mask(bits, family == 4 ? 4 : 8);
    mask[1] = family == 6 && bits > 64 ? prefix_mask(bits - 64, 8) : 0;
}

static struct pb_rule_key mask_of(const struct pb_rule_shape *shape)
{
    struct pb_rule_key mask = {.protocol = shape->given & PB_RULE_GIVEN_PROTOCOL ? 0xff : 0};
    const uint8_t ports[4] = {shape->given & PB_RULE_GIVEN_SOURCE_PORT ? 0xff : 0,
                              shape->given & PB_RULE_GIVEN_SOURCE_PORT ? 0xff : 0,
                              shape->given & PB_RULE_GIVEN_DESTINATION_PORT ? 0xff : 0,
                              shape->given & PB_RULE_GIVEN_DESTINATION_PORT ? 0xff : 0};
    mask.ports = pb_load32(ports);
    if (shape->type == PB_RULE_MAC) {
        mask.address[0] = prefix_mask(48, 6);
        return mask;
    }
    set_address_mask(mask.address, shape->source_bits, shape->family);
    set_address_mask(mask.address + 2, shape->destination_bits, shape->family);
    return mask;
}

void pb_rule_key_mask(struct pb_rule_key *key, const struct pb_rule_key *mask)
{
    for (uint32_t i = 0; i < 4; i++)
        key->address[i] &= mask->address[i];
    key->ports &= mask->ports;
    key->protocol &= mask->protocol;
}

static struct pb_rule_space *make_space(struct pb_rules *rules, const struct pb_rule_shape *shape)
{
    struct pb_rule_space *space = pb_rule_alloc(rules, sizeof(*space));
    if (space == NULL)
        return NULL;
    space->garbage.release = release_space;
    space->shape = *shape;
    space->mask = mask_of(shape);
    atomic_init(&space->priority_max, -PB_RULE_PRIORITY_MAX);
    struct pb_rule_buckets *buckets = make_buckets(rules, 1);
    atomic_init(&space->buckets, buckets);
    if (buckets != NULL && publish_order(rules, NULL, space))
        return space;
    if (buckets != NULL)
        release_buckets(rules, &buckets->garbage);
    pb_rule_release(rules, space, sizeof(*space));
    return NULL;
}

int pb_rule_space_find(struct pb_rules *rules, const struct pb_rule_shape *shape, struct pb_rule_space **space,
                       struct pb_error *error)
{
    struct pb_rule_order *order = atomic_load_explicit(&rules->order, memory_order_relaxed);
    for (uint32_t i = 0; order != NULL && i < order->count; i++)
        if (memcmp(&order->space[i]->shape, shape, sizeof(*shape)) == 0) {
            *space = order->space[i];
            return 0;
        }
    if (order != NULL && order->count >= PB_RULE_SPACES_MAX)
        return pb_fail(error, ERANGE,
                       "rule: at most %d combinations of fields and prefix lengths can be in use at once; use fewer",
                       PB_RULE_SPACES_MAX);
    *space = make_space(rules, shape);
    return *space == NULL ? pb_fail(error, ENOMEM, "rule: no memory; remove rules") : 0;
}

int pb_rule_space_insert(struct pb_rules *rules, struct pb_rule_entry *entry, struct pb_error *error)
{
    struct pb_rule_space *space = entry->space;
    struct pb_rule_key key = key_of(entry);
    _Atomic uint64_t *slot = find_slot(rules, space, &key, entry->hash);
    if (slot != NULL && is_chain_full(rules, slot))
        return pb_fail(error, ERANGE, "rule: there are %d rules for the same packets already; remove some",
                       PB_RULES_SAME_KEY_MAX);
    count_priority(rules, space, entry->priority);
    if (slot != NULL) {
        chain_insert(rules, entry, slot);
    } else if (put_slot(rules, atomic_load_explicit(&space->buckets, memory_order_relaxed), slot_of(entry))) {
        space->keys++;
        fit_buckets(rules, space);
    } else {
        discount_priority(rules, space, entry->priority);
        return pb_fail(error, ENOMEM, "rule: no memory; remove rules");
    }
    space->rules++;
    return 0;
}

void pb_rule_space_remove(struct pb_rules *rules, struct pb_rule_entry *entry)
{
    struct pb_rule_space *space = entry->space;
    struct pb_rule_key key = key_of(entry);
    if (chain_remove(rules, entry, find_slot(rules, space, &key, entry->hash))) {
        space->keys--;
        fit_buckets(rules, space);
    }
    space->rules--;
    discount_priority(rules, space, entry->priority);
    pb_rule_space_drop_empty(rules, space);
}

void pb_rule_space_drop_empty(struct pb_rules *rules, struct pb_rule_space *space)
{
    if (space->rules == 0 && publish_order(rules, space, NULL))
        pb_rule_retire(rules, &space->garbage);
}
