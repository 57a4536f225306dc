/* fragments.c - see fragments.h. Engine thread. */
#include "fragments.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "bytes.h"
#include "error.h"
#include "siphash.h"

#define BUCKET_ENTRIES 4
#define TICK_SHIFT 20 /* a tick is 2^20 ns: about a millisecond */
#define TICK_BITS 30  /* ticks wrap after 13 days; an entry is good for seconds */

enum state {
    STATE_FREE,
    STATE_FIRST,   /* by its first fragment */
    STATE_FORESEEN, /* by its first fragment, whose turn is yet to come; its bytes are counted */
    STATE_GUESSED  /* by a later fragment */
};

struct entry {
    uint64_t tag : 48;     /* of the datagram; the rest of it chooses the bucket */
    uint64_t missing : 16; /* bytes still to come, in units of 8, modulo 2^16; 0: complete. Until the last one told
                              the length it is minus what came. A hint: overlaps and repeats spoil it. */
    uint32_t hash;
    uint32_t state : 2;
    uint32_t made : TICK_BITS; /* tick */
};
_Static_assert(sizeof(struct entry) == PB_FRAGMENTS_ENTRY_BYTES, "four of them are a cache line");

struct pb_fragments {
    struct entry *entries;
    uint32_t bucket_mask;
    uint32_t entries_count;
    uint64_t key[2];
    uint64_t overflows;
};

int pb_fragments_open(struct pb_fragments **table, uint32_t entries, struct pb_error *error)
{
    if (entries < PB_FRAGMENTS_MIN || entries > PB_FRAGMENTS_MAX || (entries & (entries - 1)) != 0)
        return pb_fail(error, EINVAL, "table of fragments: %u entries; a power of two from %u to %u, please", entries,
                       PB_FRAGMENTS_MIN, PB_FRAGMENTS_MAX);
    struct pb_fragments *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return pb_fail(error, ENOMEM, "table of fragments: no memory");
    made->entries_count = entries;
    made->bucket_mask = entries / BUCKET_ENTRIES - 1;
    /* Populated: the engine thread is not to wait for pages. */
    made->entries = mmap(NULL, entries * sizeof(struct entry), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (made->entries == MAP_FAILED) {
        free(made);
        return pb_fail(error, ENOMEM, "table of fragments: no memory for %u entries of %u bytes; ask for fewer", entries,
                       PB_FRAGMENTS_ENTRY_BYTES);
    }
    if (getrandom(made->key, sizeof(made->key), 0) != sizeof(made->key)) {
        int code = errno;
        pb_fragments_close(made);
        return pb_fail(error, code, "table of fragments: no random key: %s", pb_errno_text(code));
    }
    *table = made;
    return 0;
}

void pb_fragments_close(struct pb_fragments *table)
{
    if (table == NULL)
        return;
    munmap(table->entries, table->entries_count * sizeof(struct entry));
    free(table);
}

uint64_t pb_fragments_overflows(const struct pb_fragments *table)
{
    return table->overflows;
}

uint64_t pb_fragments_datagram(const struct pb_fragments *table, const uint8_t *data, const struct pb_fragment *fragment)
{
    const uint8_t *ip = data + fragment->l3_offset;
    uint8_t bytes[32 + 4 + 1];
    memcpy(bytes, &fragment->id, 4);
    if (fragment->ip_version == 4) {
        memcpy(bytes + 4, ip + 12, 8);
        bytes[12] = fragment->ip_protocol;
        return pb_siphash(table->key, bytes, 13); /* the length tells the versions apart */
    }
    memcpy(bytes + 4, ip + 8, 32);
    return pb_siphash(table->key, bytes, 36);
}

static uint32_t tick_of(uint64_t now_ns)
{
    return (uint32_t)(now_ns >> TICK_SHIFT) & ((1u << TICK_BITS) - 1);
}

/* Ticks since the entry was made, or until: captures that were merged go back in time. */
static uint32_t age(const struct entry *entry, uint32_t tick)
{
    uint32_t since = (tick - entry->made) & ((1u << TICK_BITS) - 1);
    return since >> (TICK_BITS - 1) ? (1u << TICK_BITS) - since : since;
}

static bool is_good(const struct entry *entry, uint32_t tick)
{
    return entry->state != STATE_FREE && age(entry, tick) <= PB_FRAGMENTS_LIFE_NS >> TICK_SHIFT;
}

static bool is_complete(const struct entry *entry)
{
    return entry->missing == 0;
}

static struct entry *bucket_of(const struct pb_fragments *table, uint64_t datagram)
{
    return table->entries + (size_t)((uint32_t)datagram & table->bucket_mask) * BUCKET_ENTRIES;
}

/* The datagram's entry, if there is a good one. */
static struct entry *find(const struct pb_fragments *table, uint64_t datagram, uint32_t tick)
{
    struct entry *bucket = bucket_of(table, datagram);
    for (uint32_t i = 0; i < BUCKET_ENTRIES; i++)
        if (bucket[i].tag == datagram >> 16 && is_good(&bucket[i], tick))
            return &bucket[i];
    return NULL;
}

/* A new entry for a datagram that has no good one. */
static struct entry *make(struct pb_fragments *table, uint64_t datagram, uint32_t tick, enum state state, uint32_t hash)
{
    struct entry *bucket = bucket_of(table, datagram), *chosen = bucket;
    uint32_t chosen_worth = UINT32_MAX;
    for (uint32_t i = 0; i < BUCKET_ENTRIES; i++) {
        /* Of the incomplete ones the youngest is worth most. */
        uint32_t worth = !is_good(&bucket[i], tick) ? 0 : is_complete(&bucket[i]) ? 1 : (1u << TICK_BITS) - age(&bucket[i], tick);
        if (worth < chosen_worth) {
            chosen = &bucket[i];
            chosen_worth = worth;
        }
    }
    table->overflows += chosen_worth > 1;
    *chosen = (struct entry){.tag = datagram >> 16, .hash = hash, .state = state, .made = tick};
    return chosen;
}

static void count(struct entry *entry, const struct pb_fragment *fragment)
{
    entry->missing += fragment->more ? -fragment->units : fragment->at;
}

uint32_t pb_fragments_first(struct pb_fragments *table, uint64_t datagram, const struct pb_fragment *fragment,
                            uint64_t now_ns, uint32_t hash)
{
    uint32_t tick = tick_of(now_ns);
    struct entry *entry = find(table, datagram, tick);
    bool follows = entry != NULL && entry->state == STATE_GUESSED && !is_complete(entry) &&
                   age(entry, tick) <= PB_FRAGMENTS_REORDER_NS >> TICK_SHIFT;
    if (entry == NULL)
        entry = make(table, datagram, tick, STATE_FIRST, hash);
    else if (!follows && entry->state != STATE_FORESEEN)
        *entry = (struct entry){.tag = entry->tag, .hash = hash, .made = tick};
    if (entry->state != STATE_FORESEEN)
        count(entry, fragment);
    entry->state = STATE_FIRST;
    return entry->hash;
}

void pb_fragments_foresee(struct pb_fragments *table, uint64_t datagram, const struct pb_fragment *fragment, uint64_t now_ns,
                          uint32_t hash)
{
    uint32_t tick = tick_of(now_ns);
    if (find(table, datagram, tick) == NULL)
        count(make(table, datagram, tick, STATE_FORESEEN, hash), fragment);
}

enum pb_fragments_known pb_fragments_later(struct pb_fragments *table, uint64_t datagram,
                                           const struct pb_fragment *fragment, uint64_t now_ns, uint32_t *hash)
{
    struct entry *entry = find(table, datagram, tick_of(now_ns));
    if (entry == NULL)
        return PB_FRAGMENTS_UNKNOWN;
    count(entry, fragment);
    *hash = entry->hash;
    return entry->state == STATE_GUESSED ? PB_FRAGMENTS_GUESSED : PB_FRAGMENTS_KEPT;
}

void pb_fragments_guess(struct pb_fragments *table, uint64_t datagram, const struct pb_fragment *fragment, uint64_t now_ns,
                        uint32_t hash)
{
    count(make(table, datagram, tick_of(now_ns), STATE_GUESSED, hash), fragment);
}
