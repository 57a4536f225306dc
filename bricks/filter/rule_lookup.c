/*
 * rule_lookup.c - which rule decides a packet, for a batch at a time. Engine thread.
 *
 * Cost: a space is asked in three rounds over at most CHUNK_PACKETS packets, each
 * round fetching what the next one reads. A packet of a table with a million
 * connections costs two cache misses, of which many are under way at once.
 */

#include "core/clock.h"
#include "rule_table.h"

/* As many as keep all miss buffers of a core busy, and few enough for its first cache. */
#define CHUNK_PACKETS 64

/* What rules ask of a packet. */
struct fields {
    struct pb_rule_key key; /* as it is in the packet */
    uint8_t family;         /* 4, 6, or 0: not IP */
    bool has_ports;         /* they are in key.ports */
    bool is_portless;       /* its protocol has none */
    bool has_mac;
};

struct chunk {
    const struct pb_rules *rules;
    struct pb_packet *packets[CHUNK_PACKETS];
    struct fields fields[CHUNK_PACKETS];
    struct pb_rule_entry *best[CHUNK_PACKETS]; /* what is found so far */
    uint32_t count;
    bool needs_all; /* spaces compete: the second line of entries is read, too */
    uint64_t now_ns; /* 0: the packets say */
};

/* One space's question about one packet. */
struct question {
    struct pb_rule_key key;
    uint64_t hash;
    struct pb_rule_entry *candidate;
    uint32_t place; /* of the packet in the chunk */
};

static inline __attribute__((always_inline)) void read_fields(struct pb_packet *packet, struct fields *fields)
{
    pb_parse(packet);
    *fields = (struct fields){.family = packet->headers.ip_version,
                              .has_mac = packet->link_type == PB_LINK_ETHERNET && packet->captured_len >= PB_ETHERNET_BYTES};
    const uint8_t *ip = packet->data + packet->headers.l3_offset;
    uint64_t *address = fields->key.address;
    if (packet->headers.ip_version == 4) {
        memcpy(&address[0], ip + 12, 4);
        memcpy(&address[2], ip + 16, 4);
    } else if (packet->headers.ip_version == 6) {
        memcpy(address, ip + 8, 32);
    } else {
        return;
    }
    fields->key.protocol = packet->headers.ip_protocol;
    fields->is_portless = !pb_protocol_has_ports(packet->headers.ip_protocol);
    fields->has_ports = !fields->is_portless && packet->headers.l4_offset != 0;
    if (fields->has_ports)
        fields->key.ports = pb_load32(packet->data + packet->headers.l4_offset);
}

/* Whether a space has an answer for such a packet; its key then, for one of the two ends. */
static inline __attribute__((always_inline)) bool make_key(const struct pb_rule_space *space, const struct chunk *chunk,
                                                           uint32_t i, uint32_t end, struct pb_rule_key *key)
{
    const struct fields *fields = &chunk->fields[i];
    const struct pb_rule_shape *shape = &space->shape;
    const uint32_t ports = PB_RULE_GIVEN_SOURCE_PORT | PB_RULE_GIVEN_DESTINATION_PORT;
    if (shape->type == PB_RULE_MAC) {
        if (!fields->has_mac)
            return false;
        *key = (struct pb_rule_key){.address = {pb_load64(chunk->packets[i]->data + (end == 0 ? 6 : 0))}};
    } else if (shape->family != 0 ? fields->family != shape->family : fields->family == 0) {
        return false;
    } else if (shape->type == PB_RULE_IP) {
        *key = (struct pb_rule_key){.address = {fields->key.address[2 * end], fields->key.address[2 * end + 1]}};
    } else if (shape->type == PB_RULE_FLOW) {
        if ((shape->given & ports) != 0 && !fields->has_ports)
            return false;
        *key = fields->key;
    } else {
        if (!fields->has_ports && !fields->is_portless)
            return false;
        *key = fields->key;
        pb_rule_key_order(key);
        return true;
    }
    pb_rule_key_mask(key, &space->mask);
    return true;
}

static inline const struct pb_rule_bucket *bucket_of(const struct pb_rule_buckets *buckets, uint64_t hash)
{
    return &buckets->bucket[hash >> 24 & buckets->mask];
}

static inline bool is_of(uint64_t slot, uint64_t hash)
{
    return (slot ^ hash) >> 24 == 0;
}

/* The number of an entry in a bucket that may have a key of this hash, 0: there is none.
 * All slots are looked at: where a loop would end no processor predicts. */
static inline uint32_t find_in_bucket(const struct pb_rule_bucket *bucket, uint64_t hash)
{
    uint64_t found = 0;
    for (uint32_t i = 0; i < PB_RULE_SLOTS; i++) {
        uint64_t slot = atomic_load_explicit(&bucket->slots[i], memory_order_acquire);
        found = is_of(slot, hash) ? slot : found;
    }
    return (uint32_t)(found & PB_RULE_ENTRY_MASK);
}

/* Rare: two keys of one hash, or a bucket that has overflowed. */
static struct pb_rule_entry *find_all(const struct pb_rules *rules, const struct pb_rule_buckets *buckets,
                                      const struct question *question)
{
    for (const struct pb_rule_bucket *bucket = bucket_of(buckets, question->hash); bucket != NULL;
         bucket = atomic_load_explicit(&bucket->overflow, memory_order_acquire)) {
        for (uint32_t i = 0; i < PB_RULE_SLOTS; i++) {
            uint64_t slot = atomic_load_explicit(&bucket->slots[i], memory_order_acquire);
            if (slot == 0 || !is_of(slot, question->hash))
                continue;
            struct pb_rule_entry *entry = pb_rule_entry_at(rules, slot & PB_RULE_ENTRY_MASK);
            if (pb_rule_key_equal(entry, &question->key))
                return entry;
        }
    }
    return NULL;
}

static bool is_in_force(const struct pb_rule_entry *entry, uint8_t flags, uint64_t now_ns)
{
    return now_ns < entry->end_ns && ((flags & PB_RULE_LATER) == 0 || now_ns >= entry->start_ns);
}

/* Of the chain of one key the first rule that is in force. */
static struct pb_rule_entry *first_in_force(const struct pb_rules *rules, struct pb_rule_entry *entry, uint64_t now_ns)
{
    for (;;) {
        uint8_t flags = atomic_load_explicit(&entry->flags, memory_order_acquire);
        if (is_in_force(entry, flags, now_ns))
            return entry;
        uint32_t next = flags & PB_RULE_CHAINED ? atomic_load_explicit(&entry->next, memory_order_acquire) : 0;
        if (next == 0)
            return NULL;
        entry = pb_rule_entry_at(rules, next);
    }
}

static void consider(struct chunk *chunk, const struct question *question, struct pb_rule_entry *entry)
{
    uint64_t now_ns = chunk->now_ns != 0 ? chunk->now_ns : chunk->packets[question->place]->timestamp_ns;
    entry = first_in_force(chunk->rules, entry, now_ns);
    struct pb_rule_entry **best = &chunk->best[question->place];
    if (entry != NULL && (*best == NULL || entry->priority > (*best)->priority ||
                          (entry->priority == (*best)->priority && entry->id < (*best)->id)))
        *best = entry;
}

static inline __attribute__((always_inline)) void ask(struct chunk *chunk, const struct pb_rule_space *space, uint32_t end)
{
    const struct pb_rules *rules = chunk->rules;
    const struct pb_rule_buckets *buckets = atomic_load_explicit(&space->buckets, memory_order_acquire);
    int32_t priority_max = atomic_load_explicit(&space->priority_max, memory_order_acquire);
    bool is_wide = pb_rule_space_is_wide(space);
    struct question questions[CHUNK_PACKETS];
    uint32_t count = 0;
    for (uint32_t i = 0; i < chunk->count; i++) {
        struct question *question = &questions[count];
        if ((chunk->best[i] != NULL && chunk->best[i]->priority > priority_max) ||
            !make_key(space, chunk, i, end, &question->key))
            continue;
        question->hash = pb_rule_hash(rules, &question->key, is_wide);
        question->place = i;
        __builtin_prefetch(bucket_of(buckets, question->hash));
        count++;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = find_in_bucket(bucket_of(buckets, questions[i].hash), questions[i].hash);
        questions[i].candidate = number == 0 ? NULL : pb_rule_entry_at(rules, number);
        if (number == 0)
            continue;
        __builtin_prefetch(questions[i].candidate, 1);
        if (chunk->needs_all)
            __builtin_prefetch(&questions[i].candidate->id);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct pb_rule_entry *entry = questions[i].candidate;
        const struct pb_rule_bucket *bucket = bucket_of(buckets, questions[i].hash);
        if (entry == NULL ? atomic_load_explicit(&bucket->overflow, memory_order_relaxed) != NULL
                          : !pb_rule_key_equal(entry, &questions[i].key))
            entry = find_all(rules, buckets, &questions[i]);
        if (entry != NULL)
            consider(chunk, &questions[i], entry);
    }
}

static struct pb_rule_verdict decide(struct pb_rule_entry *entry, const struct pb_packet *packet)
{
    if (entry == NULL)
        return (struct pb_rule_verdict){.action = PB_RULE_NONE};
    pb_counter_add(&entry->packets, 1);
    pb_counter_add(&entry->bytes, packet->wire_len);
    uint8_t flags = atomic_load_explicit(&entry->flags, memory_order_relaxed);
    return (struct pb_rule_verdict){.action = flags & PB_RULE_ACTION_MASK, .output = entry->output};
}

static void look_up_chunk(struct chunk *chunk, const struct pb_rule_order *order, const struct pb_batch *batch,
                          uint32_t first, struct pb_rule_verdict *verdicts)
{
    for (uint32_t i = 0; i < chunk->count; i++) {
        if (first + i + PB_PREFETCH_PACKETS < batch->count)
            __builtin_prefetch(batch->packets[batch->index[first + i + PB_PREFETCH_PACKETS]].data);
        chunk->packets[i] = &batch->packets[batch->index[first + i]];
        chunk->best[i] = NULL;
        read_fields(chunk->packets[i], &chunk->fields[i]);
    }
    for (uint32_t s = 0; s < order->count; s++) {
        const struct pb_rule_space *space = order->space[s];
        ask(chunk, space, 0);
        if (space->shape.type == PB_RULE_IP || space->shape.type == PB_RULE_MAC)
            ask(chunk, space, 1);
    }
    for (uint32_t i = 0; i < chunk->count; i++)
        verdicts[first + i] = decide(chunk->best[i], chunk->packets[i]);
}

static uint64_t min_ns(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max_ns(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* The control thread's clock, by which it takes rules away, is the median of the last three
 * timestamps: it passes over a single wrong one, and follows a capture that starts anew. */
static void tell_time(struct pb_rules *rules, const struct pb_batch *batch)
{
    uint64_t *recent = rules->recent_ns;
    for (uint32_t i = batch->count > 3 ? batch->count - 3 : 0; i < batch->count; i++) {
        recent[0] = recent[1];
        recent[1] = recent[2];
        recent[2] = batch->packets[batch->index[i]].timestamp_ns;
    }
    uint64_t median = max_ns(min_ns(recent[0], recent[1]), min_ns(max_ns(recent[0], recent[1]), recent[2]));
    atomic_store_explicit(&rules->packet_ns, median, memory_order_relaxed);
}

bool pb_rules_lookup(struct pb_rules *rules, const struct pb_batch *batch, struct pb_rule_verdict *verdicts)
{
    if (rules->packet_time)
        tell_time(rules, batch);
    if (atomic_load_explicit(&rules->order, memory_order_relaxed) == NULL)
        return false;
    uint64_t epoch = atomic_load_explicit(&rules->epoch, memory_order_acquire);
    atomic_exchange_explicit(&rules->reader, epoch, memory_order_acq_rel);
    const struct pb_rule_order *order = atomic_load_explicit(&rules->order, memory_order_acquire);
    bool has_rules = order != NULL;
    if (has_rules) {
        struct chunk chunk = {.rules = rules, .needs_all = order->count > 1};
        if (!rules->packet_time)
            chunk.now_ns = atomic_load_explicit(&rules->timed, memory_order_acquire) > 0 ? pb_clock_wall_ns() : 1;
        for (uint32_t first = 0; first < batch->count; first += CHUNK_PACKETS) {
            chunk.count = batch->count - first < CHUNK_PACKETS ? batch->count - first : CHUNK_PACKETS;
            look_up_chunk(&chunk, order, batch, first, verdicts);
        }
    }
    atomic_store_explicit(&rules->reader, 0, memory_order_release);
    return has_rules;
}
