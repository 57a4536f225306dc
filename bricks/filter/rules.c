/*
 * rules.c - a rule table as the control thread uses it: rules are added, removed,
 * listed, and go when they have expired. See rules.h.
 */
#include "rules.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "core/clock.h"
#include "rule_table.h"

struct pb_rules *pb_rules_make(const struct pb_rules_options *options)
{
    struct pb_rules *rules = aligned_alloc(64, sizeof(*rules));
    if (rules == NULL)
        return NULL;
    memset(rules, 0, sizeof(*rules));
    rules->packet_time = options->packet_time;
    atomic_init(&rules->epoch, 1);
    if (getrandom(rules->seed, sizeof(rules->seed), 0) != sizeof(rules->seed)) {
        free(rules);
        return NULL;
    }
    return rules;
}

void pb_rules_free(struct pb_rules *rules)
{
    if (rules == NULL)
        return;
    pb_rules_clear(rules);
    free(rules);
}

/* The time by which rules begin and end; 0: no packet has told it yet. */
static uint64_t clock_ns(const struct pb_rules *rules)
{
    if (rules->packet_time)
        return atomic_load_explicit(&rules->packet_ns, memory_order_relaxed);
    return pb_clock_wall_ns();
}

static bool has_output(uint32_t action)
{
    return action == PB_RULE_MIRROR || action == PB_RULE_OUTPUT;
}

static uint8_t action_of(const struct pb_rule_entry *entry)
{
    return atomic_load_explicit(&entry->flags, memory_order_relaxed) & PB_RULE_ACTION_MASK;
}

int pb_rules_attach(struct pb_rules *rules, uint32_t outputs, struct pb_error *error)
{
    if (rules->outputs != 0)
        return pb_fail(error, EBUSY, "brick \"Filter\": its rules serve another engine; delete that one first");
    pb_rules_reap(rules); /* a rule that has expired names no output any more */
    for (uint32_t i = 0; i < rules->rows_count; i++) {
        const struct pb_rule_entry *entry = pb_rule_entry_at(rules, rules->rows[i].entry);
        if (rules->rows[i].entry != 0 && has_output(action_of(entry)) && entry->output >= outputs)
            return pb_fail(error, ERANGE,
                           "brick \"Filter\": rule %llu names output %u, and the last one is %u; remove(%llu) removes it",
                           (unsigned long long)entry->id, entry->output, outputs - 1, (unsigned long long)entry->id);
    }
    rules->outputs = outputs;
    return 0;
}

void pb_rules_detach(struct pb_rules *rules)
{
    rules->outputs = 0;
    pb_rules_reap(rules);
}

static int refuse(struct pb_error *error, const char *text)
{
    return pb_fail(error, EINVAL, "rule: %s", text);
}

/* What rules.ts has checked already, with better texts: nothing a caller sends may break the table. */
static int check(const struct pb_rules *rules, const struct pb_rule *rule, struct pb_error *error)
{
    uint32_t bits_max = rule->family == 4 ? 32 : rule->family == 6 ? 128 : 0;
    bool is_exact = rule->source_bits == bits_max && rule->destination_bits == bits_max;
    if (rule->type >= PB_RULE_TYPES)
        return refuse(error, "type: there is no such type");
    if (rule->action >= PB_RULE_ACTIONS)
        return refuse(error, "action: there is no such action");
    if (rule->family != 0 && rule->family != 4 && rule->family != 6)
        return refuse(error, "family: neither IPv4 nor IPv6");
    if (rule->source_bits > bits_max || rule->destination_bits > bits_max)
        return refuse(error, "src, dst: the prefix is longer than the address");
    if (rule->type == PB_RULE_CONNECTION && (rule->family == 0 || !is_exact))
        return refuse(error, "a connection has two whole addresses");
    if (rule->type == PB_RULE_IP && (rule->family == 0 || rule->destination_bits != 0))
        return refuse(error, "type \"ip\" has one address");
    if (rule->type == PB_RULE_MAC && rule->family != 0)
        return refuse(error, "type \"mac\" has one MAC address");
    if (rule->priority > PB_RULE_PRIORITY_MAX || rule->priority < -PB_RULE_PRIORITY_MAX)
        return refuse(error, "priority: out of range");
    uint32_t outputs = rules->outputs != 0 ? rules->outputs : PB_OUTPUTS_MAX;
    if (has_output(rule->action) && rule->output >= outputs)
        return pb_fail(error, ERANGE, "rule: output: there is no output %u; the last one is %u", rule->output, outputs - 1);
    if (rules->count == PB_RULES_MAX)
        return pb_fail(error, ERANGE, "rule: there are %u rules already, which is the most; remove some", PB_RULES_MAX);
    return 0;
}

static struct pb_rule_shape shape_of(const struct pb_rule *rule)
{
    const uint32_t all = PB_RULE_GIVEN_PROTOCOL | PB_RULE_GIVEN_SOURCE_PORT | PB_RULE_GIVEN_DESTINATION_PORT;
    uint32_t given = rule->type == PB_RULE_CONNECTION ? all : rule->type == PB_RULE_FLOW ? rule->given & all : 0;
    return (struct pb_rule_shape){.type = rule->type,
                                  .family = rule->family,
                                  .given = (uint8_t)given,
                                  .source_bits = rule->source_bits,
                                  .destination_bits = rule->destination_bits};
}

/* The key of a rule, as lookups make those of packets; true where its ends were swapped. */
static bool make_key(const struct pb_rule *rule, const struct pb_rule_key *mask, struct pb_rule_key *key)
{
    *key = (struct pb_rule_key){.protocol = rule->protocol};
    const uint8_t ports[4] = {(uint8_t)(rule->source_port >> 8), (uint8_t)rule->source_port,
                              (uint8_t)(rule->destination_port >> 8), (uint8_t)rule->destination_port};
    key->ports = pb_load32(ports);
    uint32_t bytes = rule->type == PB_RULE_MAC ? 6 : rule->family == 4 ? 4 : 16;
    memcpy(key->address, rule->source, bytes);
    memcpy(key->address + 2, rule->destination, bytes);
    pb_rule_key_mask(key, mask);
    return rule->type == PB_RULE_CONNECTION && pb_rule_key_order(key);
}

static void fill_entry(const struct pb_rules *rules, struct pb_rule_entry *entry, struct pb_rule_space *space,
                       const struct pb_rule *rule, uint64_t now_ns)
{
    struct pb_rule_key key;
    bool is_swapped = make_key(rule, &space->mask, &key);
    memcpy(entry->address, key.address, sizeof(entry->address));
    entry->ports = key.ports;
    entry->protocol = key.protocol;
    entry->output = has_output(rule->action) ? rule->output : 0;
    entry->start_ns = rule->start_ns != 0 ? rule->start_ns : now_ns;
    bool is_endless = rule->duration_ns == 0 || rule->duration_ns > PB_RULE_NEVER_NS - entry->start_ns;
    entry->end_ns = is_endless ? PB_RULE_NEVER_NS : entry->start_ns + rule->duration_ns;
    entry->hash = pb_rule_hash(rules, &key, pb_rule_space_is_wide(space));
    entry->space = space;
    entry->priority = rule->priority;
    uint32_t flags = rule->action | (entry->start_ns > now_ns ? PB_RULE_LATER : 0) | (is_swapped ? PB_RULE_SWAPPED : 0);
    atomic_init(&entry->flags, (uint8_t)flags);
}

static bool is_timed(const struct pb_rule_entry *entry)
{
    uint8_t flags = atomic_load_explicit(&entry->flags, memory_order_relaxed);
    return entry->end_ns != PB_RULE_NEVER_NS || (flags & PB_RULE_LATER) != 0;
}

static void count_timed(struct pb_rules *rules, const struct pb_rule_entry *entry, uint32_t change)
{
    if (is_timed(entry))
        atomic_fetch_add_explicit(&rules->timed, change, memory_order_release);
}

/* Put a rule where lookups find it; all or nothing. */
static int insert(struct pb_rules *rules, const struct pb_rule *rule, uint64_t now_ns, struct pb_rule_entry **inserted,
                  struct pb_error *error)
{
    struct pb_rule_space *space;
    struct pb_rule_shape shape = shape_of(rule);
    int status = pb_rule_space_find(rules, &shape, &space, error);
    if (status < 0)
        return status;
    struct pb_rule_entry *entry = NULL;
    if (pb_rule_rows_reserve(rules) && (rule->duration_ns == 0 || pb_rule_heap_reserve(rules)))
        entry = pb_rule_entry_take(rules);
    if (entry != NULL) {
        fill_entry(rules, entry, space, rule, now_ns);
        entry->id = rules->last_id + 1;
        count_timed(rules, entry, 1);
        status = pb_rule_space_insert(rules, entry, error);
        if (status == 0) {
            *inserted = entry;
            return 0;
        }
        count_timed(rules, entry, UINT32_MAX);
        pb_rule_entry_give(rules, entry);
    } else {
        status = pb_fail(error, ENOMEM, "rule: no memory; remove rules");
    }
    pb_rule_space_drop_empty(rules, space);
    return status;
}

int pb_rules_add(struct pb_rules *rules, const struct pb_rule *rule, uint64_t *id, struct pb_error *error)
{
    int status = check(rules, rule, error);
    if (status < 0)
        return status;
    uint64_t now_ns = clock_ns(rules);
    if (rule->start_ns == 0 && rule->duration_ns != 0 && now_ns == 0)
        return refuse(error, "start: give it, as no packet has told the time yet");
    if (rule->start_ns != 0 && rule->duration_ns != 0 && rule->start_ns + rule->duration_ns <= now_ns &&
        rule->duration_ns <= PB_RULE_NEVER_NS - rule->start_ns)
        return refuse(error, "start, duration_s: the rule has expired already");
    struct pb_rule_entry *entry = NULL;
    status = insert(rules, rule, now_ns, &entry, error);
    if (status < 0)
        return status;
    *id = rules->last_id = entry->id;
    rules->count++;
    pb_rule_rows_add(rules, entry);
    if (entry->end_ns != PB_RULE_NEVER_NS)
        pb_rule_heap_add(rules, entry);
    pb_rule_collect(rules);
    return 0;
}

static void remove_entry(struct pb_rules *rules, struct pb_rule_entry *entry)
{
    if (entry->heap_place != 0)
        pb_rule_heap_remove(rules, entry);
    pb_rule_space_remove(rules, entry);
    count_timed(rules, entry, UINT32_MAX);
    rules->count--;
    pb_rule_rows_remove(rules, entry->id);
    pb_rule_entry_retire(rules, entry);
}

void pb_rules_reap(struct pb_rules *rules)
{
    uint64_t now_ns = rules->heap_count > 0 ? clock_ns(rules) : 0;
    while (rules->heap_count > 0 && pb_rule_entry_at(rules, rules->heap[0])->end_ns <= now_ns)
        remove_entry(rules, pb_rule_entry_at(rules, rules->heap[0]));
    pb_rule_collect(rules);
}

bool pb_rules_remove(struct pb_rules *rules, uint64_t id)
{
    pb_rules_reap(rules);
    uint32_t row = pb_rule_rows_find(rules, id);
    if (row == rules->rows_count || rules->rows[row].id != id || rules->rows[row].entry == 0)
        return false;
    remove_entry(rules, pb_rule_entry_at(rules, rules->rows[row].entry));
    pb_rule_collect(rules);
    return true;
}

/* All at once, where removing one by one would copy tables to ever smaller ones. */
void pb_rules_clear(struct pb_rules *rules)
{
    struct pb_rule_order *order = atomic_load_explicit(&rules->order, memory_order_relaxed);
    atomic_store_explicit(&rules->order, NULL, memory_order_release);
    for (uint32_t i = 0; order != NULL && i < order->count; i++)
        pb_rule_retire(rules, &order->space[i]->garbage);
    if (order != NULL)
        pb_rule_retire(rules, &order->garbage);
    for (uint32_t i = 0; i < rules->rows_count; i++)
        if (rules->rows[i].entry != 0)
            pb_rule_entry_retire(rules, pb_rule_entry_at(rules, rules->rows[i].entry));
    pb_rule_release(rules, rules->rows, rules->rows_capacity * sizeof(*rules->rows));
    pb_rule_release(rules, rules->heap, rules->heap_capacity * sizeof(*rules->heap));
    rules->rows = NULL;
    rules->heap = NULL;
    rules->rows_count = rules->rows_capacity = rules->heap_count = rules->heap_capacity = rules->count = 0;
    atomic_store_explicit(&rules->timed, 0, memory_order_release);
    pb_rule_collect(rules);
}

/* A rule as it was asked for, out of its entry. */
static struct pb_rule_listed list_entry(const struct pb_rule_entry *entry)
{
    const struct pb_rule_shape *shape = &entry->space->shape;
    struct pb_rule_key key = {.ports = entry->ports};
    memcpy(key.address, entry->address, sizeof(key.address));
    bool is_swapped = (atomic_load_explicit(&entry->flags, memory_order_relaxed) & PB_RULE_SWAPPED) != 0;
    const uint64_t *source = key.address + (is_swapped ? 2 : 0), *destination = key.address + (is_swapped ? 0 : 2);
    uint8_t ports[4];
    memcpy(ports, &key.ports, sizeof(ports));
    const uint8_t *source_port = ports + (is_swapped ? 2 : 0), *destination_port = ports + (is_swapped ? 0 : 2);
    struct pb_rule_listed listed = {
        .id = entry->id,
        .packets = pb_counter_get(&entry->packets),
        .bytes = pb_counter_get(&entry->bytes),
        .rule = {.type = shape->type,
                 .action = action_of(entry),
                 .family = shape->family,
                 .protocol = entry->protocol,
                 .given = shape->given,
                 .source_bits = shape->source_bits,
                 .destination_bits = shape->destination_bits,
                 .source_port = pb_be16(source_port),
                 .destination_port = pb_be16(destination_port),
                 .output = entry->output,
                 .priority = (int16_t)entry->priority,
                 .start_ns = entry->start_ns,
                 .duration_ns = entry->end_ns == PB_RULE_NEVER_NS ? 0 : entry->end_ns - entry->start_ns}};
    memcpy(listed.rule.source, source, sizeof(listed.rule.source));
    memcpy(listed.rule.destination, destination, sizeof(listed.rule.destination));
    return listed;
}

uint32_t pb_rules_list(struct pb_rules *rules, uint64_t after, struct pb_rule_listed *listed, uint32_t listed_max)
{
    pb_rules_reap(rules);
    uint32_t count = 0;
    for (uint32_t row = pb_rule_rows_find(rules, after + 1); row < rules->rows_count && count < listed_max; row++)
        if (rules->rows[row].entry != 0)
            listed[count++] = list_entry(pb_rule_entry_at(rules, rules->rows[row].entry));
    return count;
}

uint32_t pb_rules_count(const struct pb_rules *rules)
{
    return rules->count;
}

bool pb_rules_is_reapable(const struct pb_rules *rules)
{
    return rules->heap_count > 0 || rules->garbage_first != NULL || rules->retired_first != 0;
}

uint64_t pb_rules_memory_bytes(const struct pb_rules *rules)
{
    return rules->memory_bytes;
}
