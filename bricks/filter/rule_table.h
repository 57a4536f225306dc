/*
 * rule_table.h - the inside of a rule table, shared by the files of this folder:
 * rules.c (adding, removing, listing), rule_space.c (hash tables), rule_memory.c
 * (entries, ids, what is to be freed), rule_lookup.c (the engine thread).
 *
 * The search is tuple space search (Srinivasan, Suri, Varghese, SIGCOMM 1999): a
 * hash table, here a space, for each combination of fields and prefix lengths in
 * use. A lookup asks each space that may hold something better than what is found,
 * for all packets of a chunk at once: first it fetches all buckets, then all
 * entries, so that cache misses overlap.
 *
 * Sharing: the control thread writes, the engine thread reads. What a lookup can
 * reach is published by release stores; what is taken out of reach stays as it is
 * until no lookup can have it any more (pb_rule_retire()). A lookup says when it is
 * at work in `reader`, the epoch in which it began.
 */
#ifndef PB_RULE_TABLE_H
#define PB_RULE_TABLE_H

#include <stdatomic.h>
#include <stddef.h>

#include "core/counters.h"
#include "core/hash.h"
#include "rules.h"

/* Which packets a space is asked for, and by which fields. */
struct pb_rule_shape {
    uint8_t type, family, given, source_bits, destination_bits;
};

/* The fields of a packet or rule, as loaded from it. An IPv4 address is in the first word of its two. */
struct pb_rule_key {
    uint64_t address[4]; /* source, destination; of IP and MAC rules the one address */
    uint32_t ports;      /* source | destination << 16, as loaded */
    uint8_t protocol;
};

/* Flags of an entry, behind the two bits of its action. */
#define PB_RULE_ACTION_MASK 3u
#define PB_RULE_LATER 4u   /* start_ns lies in the future of its being added */
#define PB_RULE_CHAINED 8u /* there may be a next entry of the same key */
#define PB_RULE_SWAPPED 16u /* the key has the ends of the connection the other way round */

/* A rule. The first cache line is what a lookup reads and writes of most. */
struct pb_rule_entry {
    uint64_t address[4];
    uint32_t ports;
    uint8_t protocol;
    _Atomic uint8_t flags;
    uint16_t output;
    pb_counter packets, bytes;
    uint64_t end_ns;

    uint64_t id;
    uint64_t start_ns;
    uint64_t hash;
    struct pb_rule_space *space;
    int32_t priority;
    _Atomic uint32_t next; /* entry of the same key that comes after this one; 0: none */
    uint32_t self;         /* its own number */
    uint32_t heap_place;   /* in the heap of ends, from 1; 0: not there */
    uint64_t retired;      /* epoch */
    uint32_t next_free;    /* or next retired */
    uint32_t reserved;
};
_Static_assert(sizeof(struct pb_rule_entry) == 128, "two cache lines");
_Static_assert(offsetof(struct pb_rule_entry, id) == 64, "the first is what most lookups need");

/* Slots: the upper 40 bits of a hash, then the number of an entry; 0: free. */
#define PB_RULE_SLOTS 7
#define PB_RULE_ENTRY_MASK 0xffffffu
struct pb_rule_bucket {
    _Alignas(64) _Atomic uint64_t slots[PB_RULE_SLOTS];
    struct pb_rule_bucket *_Atomic overflow;
};

/* What is freed once no lookup can see it: first in each such object. */
struct pb_rule_garbage {
    struct pb_rule_garbage *next;
    void (*release)(struct pb_rules *rules, struct pb_rule_garbage *garbage);
    uint64_t retired; /* epoch */
};

struct pb_rule_buckets {
    struct pb_rule_garbage garbage;
    uint32_t mask;
    struct pb_rule_bucket *bucket;
};

struct pb_rule_space {
    struct pb_rule_garbage garbage;
    struct pb_rule_shape shape;
    struct pb_rule_key mask;
    _Atomic int32_t priority_max;
    struct pb_rule_buckets *_Atomic buckets;
    /* The control thread's own. */
    uint32_t rules, keys;
    uint32_t by_priority[2 * PB_RULE_PRIORITY_MAX + 1]; /* how many rules have it */
};

/* The spaces in use, those of the highest priorities first. */
struct pb_rule_order {
    struct pb_rule_garbage garbage;
    uint32_t count;
    struct pb_rule_space *space[];
};

/* Entries come in slabs of a huge page. */
#define PB_RULE_SLAB_ENTRIES (2u * 1024 * 1024 / sizeof(struct pb_rule_entry))
#define PB_RULE_SLABS ((PB_RULES_MAX + 2) / PB_RULE_SLAB_ENTRIES + 1)

/* Rules by id: ids only grow, so the rows are in order. */
struct pb_rule_row {
    uint64_t id;
    uint32_t entry; /* 0: removed */
};

struct pb_rules {
    /* Shared with the engine thread. */
    struct pb_rule_order *_Atomic order; /* NULL: no rules */
    _Atomic uint32_t timed;              /* rules that end, or begin later */
    _Atomic uint64_t epoch;              /* from 1 */
    uint64_t seed[4];                    /* of the hash: whoever sends packets cannot aim at a bucket */
    bool packet_time;
    struct pb_rule_entry *slabs[PB_RULE_SLABS];
    /* Written by the engine thread. */
    _Alignas(64) _Atomic uint64_t reader; /* the epoch its lookup began in; 0: none is at work */
    _Atomic uint64_t packet_ns;           /* the time that packets tell; 0: they have not yet */
    uint64_t recent_ns[3];                /* the newest three timestamps, in order of arrival */
    /* The control thread's own. */
    _Alignas(64) uint64_t memory_bytes;
    uint64_t last_id;
    uint32_t outputs; /* of the engine that is attached; 0: none is */
    uint32_t count;
    uint32_t slab_used[PB_RULE_SLABS], slab_fresh[PB_RULE_SLABS], slab_free[PB_RULE_SLABS];
    uint32_t slab_hint; /* slabs below it are full */
    struct pb_rule_row *rows;
    uint32_t rows_count, rows_capacity;
    uint32_t *heap; /* entries by end, the first to end on top */
    uint32_t heap_count, heap_capacity;
    struct pb_rule_garbage *garbage_first, *garbage_last;
    uint32_t retired_first, retired_last; /* entries */
    bool is_dirty; /* something was retired in this epoch */
};

static inline struct pb_rule_entry *pb_rule_entry_at(const struct pb_rules *rules, uint32_t number)
{
    return &rules->slabs[number / PB_RULE_SLAB_ENTRIES][number % PB_RULE_SLAB_ENTRIES];
}

static inline bool pb_rule_key_equal(const struct pb_rule_entry *entry, const struct pb_rule_key *key)
{
    return ((entry->address[0] ^ key->address[0]) | (entry->address[1] ^ key->address[1]) |
            (entry->address[2] ^ key->address[2]) | (entry->address[3] ^ key->address[3]) |
            (entry->ports ^ key->ports) | (uint64_t)(entry->protocol ^ key->protocol)) == 0;
}

/* The hash of a key; `is_wide`: addresses fill both of their words. */
static inline uint64_t pb_rule_hash(const struct pb_rules *rules, const struct pb_rule_key *key, bool is_wide)
{
    const uint64_t *seed = rules->seed;
    uint64_t ends = is_wide ? pb_hash_mum(key->address[0] ^ seed[0], key->address[1] ^ seed[1]) ^
                                  pb_hash_mum(key->address[2] ^ seed[1], key->address[3] ^ seed[2])
                            : pb_hash_mum(key->address[0] ^ seed[0], key->address[2] ^ seed[1]);
    return pb_hash_mum(ends ^ seed[2], (key->ports | (uint64_t)key->protocol << 32) ^ seed[3]);
}

/* Put the ends of a connection in order; true where that swapped them. Without a branch:
 * which end comes first is a coin toss that no processor predicts. */
static inline bool pb_rule_key_order(struct pb_rule_key *key)
{
    uint64_t *a = key->address;
    uint32_t low = key->ports & 0xffff, high = key->ports >> 16;
    uint32_t swap = (uint32_t)(a[0] > a[2]) |
                    ((uint32_t)(a[0] == a[2]) &
                     ((uint32_t)(a[1] > a[3]) | ((uint32_t)(a[1] == a[3]) & (uint32_t)(low > high))));
    uint64_t all = -(uint64_t)swap;
    uint64_t first = (a[0] ^ a[2]) & all, second = (a[1] ^ a[3]) & all;
    a[0] ^= first;
    a[2] ^= first;
    a[1] ^= second;
    a[3] ^= second;
    uint32_t shift = swap * 16;
    key->ports = key->ports << shift | (uint32_t)((uint64_t)key->ports >> (32 - shift));
    return swap != 0;
}

static inline bool pb_rule_space_is_wide(const struct pb_rule_space *space)
{
    return space->shape.family == 6;
}

/* rule_memory.c */
void *pb_rule_alloc(struct pb_rules *rules, size_t bytes); /* zeroed, on a cache line */
void pb_rule_release(struct pb_rules *rules, void *memory, size_t bytes);
struct pb_rule_entry *pb_rule_entry_take(struct pb_rules *rules); /* NULL: no memory */
void pb_rule_entry_give(struct pb_rules *rules, struct pb_rule_entry *entry);
void pb_rule_entry_retire(struct pb_rules *rules, struct pb_rule_entry *entry);
void pb_rule_retire(struct pb_rules *rules, struct pb_rule_garbage *garbage);
/* Free what was retired and no lookup can see. */
void pb_rule_collect(struct pb_rules *rules);

/* rule_index.c: rows by id, and the heap of ends. False: no memory. */
bool pb_rule_rows_reserve(struct pb_rules *rules);
void pb_rule_rows_add(struct pb_rules *rules, const struct pb_rule_entry *entry);
/* The first row with an id of at least `id`. */
uint32_t pb_rule_rows_find(const struct pb_rules *rules, uint64_t id);
void pb_rule_rows_remove(struct pb_rules *rules, uint64_t id);
bool pb_rule_heap_reserve(struct pb_rules *rules);
void pb_rule_heap_add(struct pb_rules *rules, struct pb_rule_entry *entry);
void pb_rule_heap_remove(struct pb_rules *rules, struct pb_rule_entry *entry);

/* rule_space.c */
/* The space of a shape, made and asked by lookups from now on where there was none. */
int pb_rule_space_find(struct pb_rules *rules, const struct pb_rule_shape *shape, struct pb_rule_space **space,
                       struct pb_error *error);
/* Make the entry, whose key is set, found by lookups; -ENOMEM, or -ERANGE: too many have its key. */
int pb_rule_space_insert(struct pb_rules *rules, struct pb_rule_entry *entry, struct pb_error *error);
void pb_rule_space_remove(struct pb_rules *rules, struct pb_rule_entry *entry);
/* A space without rules goes. */
void pb_rule_space_drop_empty(struct pb_rules *rules, struct pb_rule_space *space);
void pb_rule_key_mask(struct pb_rule_key *key, const struct pb_rule_key *mask);

#endif
