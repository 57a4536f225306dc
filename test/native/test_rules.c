/*
 * test_rules.c - Filter's rule table against a slow and obvious model: a list of
 * rules, asked one after the other; and against a thread that changes it meanwhile.
 *
 * The model knows packets as they were meant (struct meant), not as bytes: headers
 * are written here and read by the table only.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "../bricks/filter/rule_control.h"
#include "check.h"

#define SECOND 1000000000ull
#define FRAME_BYTES 128
#define PACKETS 300

/* Sanitizers make the model, which is slow by intent, slower by far. */
#ifdef PB_SANITIZED
#define ROUNDS 600
#define MANY 20000
#else
#define ROUNDS 3000
#define MANY 100000
#endif

static uint64_t random_state = 88172645463325252ull;

/* xorshift64 (Marsaglia, 2003): the same numbers in every run. */
static uint32_t random_below(uint32_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 32) % limit);
}

/* A packet as it was meant. */
struct meant {
    int family; /* 4, 6; 0: not IP */
    uint8_t source[16], destination[16], source_mac[6], destination_mac[6];
    uint8_t protocol;
    uint16_t source_port, destination_port;
    bool is_fragment;
    bool has_tag;
    bool has_extension; /* IPv6: a hop-by-hop header */
    uint64_t timestamp_ns;
};

static bool has_ports(uint8_t protocol)
{
    return protocol == 6 || protocol == 17 || protocol == 132;
}

static uint8_t *put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return at + 2;
}

static uint8_t *put_ipv4(const struct meant *meant, uint8_t *ip)
{
    ip[0] = 0x45;
    put16(ip + 2, 40);
    put16(ip + 6, meant->is_fragment ? 0x2000 : 0);
    ip[9] = meant->protocol;
    memcpy(ip + 12, meant->source, 4);
    memcpy(ip + 16, meant->destination, 4);
    return ip + 20;
}

static uint8_t *put_ipv6(const struct meant *meant, uint8_t *ip)
{
    uint32_t extensions = (meant->has_extension ? 8 : 0) + (meant->is_fragment ? 8 : 0);
    ip[0] = 0x60;
    put16(ip + 4, 20 + extensions);
    memcpy(ip + 8, meant->source, 16);
    memcpy(ip + 24, meant->destination, 16);
    uint8_t *next = ip + 6, *at = ip + 40;
    if (meant->has_extension) {
        *next = 0;
        next = at;
        at += 8;
    }
    if (meant->is_fragment) {
        *next = 44;
        next = at;
        put16(at + 2, 0x0101);
        at += 8;
    }
    *next = meant->protocol;
    return at;
}

static void make_packet(const struct meant *meant, uint8_t *frame, struct pb_packet *packet)
{
    memset(frame, 0, FRAME_BYTES);
    memcpy(frame, meant->destination_mac, 6);
    memcpy(frame + 6, meant->source_mac, 6);
    uint8_t *at = frame + 12;
    if (meant->has_tag)
        at = put16(put16(at, 0x8100), 42);
    at = put16(at, meant->family == 4 ? 0x0800 : meant->family == 6 ? 0x86dd : 0x0806);
    if (meant->family != 0)
        at = meant->family == 4 ? put_ipv4(meant, at) : put_ipv6(meant, at);
    put16(put16(at, meant->source_port), meant->destination_port);
    pb_packet_init(packet, frame, FRAME_BYTES, FRAME_BYTES, meant->timestamp_ns, PB_LINK_ETHERNET);
}

/* -------------------------------------------------------------- the model */

struct model_rule {
    struct pb_rule rule;
    uint64_t id, packets, start_ns, end_ns;
    bool is_removed;
};

#define MODEL_MAX 100000
static struct model_rule model[MODEL_MAX];
static uint32_t model_count;

static bool in_prefix(const uint8_t *address, const uint8_t *prefix, uint32_t bits)
{
    for (uint32_t bit = 0; bit < bits; bit++)
        if ((address[bit / 8] ^ prefix[bit / 8]) >> (7 - bit % 8) & 1)
            return false;
    return true;
}

static bool matches_one_way(const struct pb_rule *rule, const struct meant *meant, const uint8_t *source,
                            const uint8_t *destination, uint16_t source_port, uint16_t destination_port)
{
    bool has = has_ports(meant->protocol) && !meant->is_fragment;
    if (rule->family != 0 && (rule->family != meant->family || !in_prefix(source, rule->source, rule->source_bits) ||
                              !in_prefix(destination, rule->destination, rule->destination_bits)))
        return false;
    if ((rule->given & PB_RULE_GIVEN_PROTOCOL) && rule->protocol != meant->protocol)
        return false;
    if ((rule->given & PB_RULE_GIVEN_SOURCE_PORT) && (!has || rule->source_port != source_port))
        return false;
    return !(rule->given & PB_RULE_GIVEN_DESTINATION_PORT) || (has && rule->destination_port == destination_port);
}

static bool matches(const struct pb_rule *rule, const struct meant *meant)
{
    if (rule->type == PB_RULE_MAC)
        return memcmp(rule->source, meant->source_mac, 6) == 0 || memcmp(rule->source, meant->destination_mac, 6) == 0;
    if (meant->family == 0)
        return false;
    if (rule->type == PB_RULE_IP)
        return rule->family == meant->family && (in_prefix(meant->source, rule->source, rule->source_bits) ||
                                                 in_prefix(meant->destination, rule->source, rule->source_bits));
    struct pb_rule asked = *rule;
    if (rule->type == PB_RULE_CONNECTION) {
        asked.given = PB_RULE_GIVEN_PROTOCOL;
        if (has_ports(rule->protocol))
            asked.given |= PB_RULE_GIVEN_SOURCE_PORT | PB_RULE_GIVEN_DESTINATION_PORT;
        if (matches_one_way(&asked, meant, meant->destination, meant->source, meant->destination_port, meant->source_port))
            return true;
    }
    return matches_one_way(&asked, meant, meant->source, meant->destination, meant->source_port, meant->destination_port);
}

static struct model_rule *model_decide(const struct meant *meant)
{
    struct model_rule *best = NULL;
    for (uint32_t i = 0; i < model_count; i++) {
        struct model_rule *rule = &model[i];
        bool is_in_force = !rule->is_removed && meant->timestamp_ns >= rule->start_ns && meant->timestamp_ns < rule->end_ns;
        if (is_in_force && matches(&rule->rule, meant) && (best == NULL || rule->rule.priority > best->rule.priority))
            best = rule;
    }
    return best;
}

/* ------------------------------------- random rules and packets that often meet */

static void random_address(int family, uint8_t *address)
{
    memset(address, 0, 16);
    if (family == 4) {
        memcpy(address, (const uint8_t[]){10, 0, (uint8_t)random_below(2), (uint8_t)random_below(6)}, 4);
        return;
    }
    memcpy(address, (const uint8_t[]){0x20, 1, 0xd, 0xb8}, 4);
    address[7] = (uint8_t)random_below(2);
    address[15] = (uint8_t)random_below(4);
}

static uint8_t random_protocol(void)
{
    static const uint8_t protocols[] = {6, 6, 17, 132, 1, 47};
    return protocols[random_below(sizeof(protocols))];
}

static struct meant random_meant(uint64_t now_ns)
{
    struct meant meant = {.family = (int[]){4, 4, 4, 6, 6, 0}[random_below(6)],
                          .protocol = random_protocol(),
                          .source_port = (uint16_t)(1000 + random_below(3)),
                          .destination_port = (uint16_t)(1000 + random_below(3)),
                          .is_fragment = random_below(6) == 0,
                          .has_tag = random_below(3) == 0,
                          .has_extension = random_below(3) == 0,
                          .timestamp_ns = now_ns};
    random_address(meant.family, meant.source);
    random_address(meant.family, meant.destination);
    meant.source_mac[5] = (uint8_t)random_below(12);
    meant.destination_mac[5] = (uint8_t)random_below(12);
    return meant;
}

static struct pb_rule random_rule(uint64_t now_ns)
{
    struct pb_rule rule = {.type = (uint8_t)random_below(PB_RULE_TYPES),
                           .action = (uint8_t)random_below(PB_RULE_ACTIONS),
                           .family = random_below(2) ? 4 : 6,
                           .protocol = random_protocol(),
                           .source_port = (uint16_t)(1000 + random_below(3)),
                           .destination_port = (uint16_t)(1000 + random_below(3)),
                           .priority = (int16_t)(random_below(2) ? 0 : (int)random_below(7) - 3)};
    uint32_t bits_max = rule.family == 4 ? 32 : 128;
    static const uint8_t bits[] = {0, 13, 24, 31, 32, 60, 64, 70, 127, 128};
    random_address(rule.family, rule.source);
    rule.source_bits = (uint8_t)bits_max;
    if (rule.type == PB_RULE_CONNECTION || rule.type == PB_RULE_FLOW) {
        random_address(rule.family, rule.destination);
        rule.destination_bits = (uint8_t)bits_max;
    }
    if (rule.type == PB_RULE_IP || rule.type == PB_RULE_FLOW)
        rule.source_bits = bits[random_below(rule.family == 4 ? 5 : 10)];
    if (rule.type == PB_RULE_FLOW) {
        rule.destination_bits = bits[random_below(rule.family == 4 ? 5 : 10)];
        rule.given = (uint8_t)random_below(8);
        if (random_below(10) == 0)
            rule.family = rule.source_bits = rule.destination_bits = 0;
    }
    if (rule.type == PB_RULE_MAC) {
        rule.family = rule.source_bits = 0;
        memset(rule.source, 0, 16);
        rule.source[5] = (uint8_t)random_below(12);
    }
    if (rule.type != PB_RULE_FLOW && !has_ports(rule.protocol))
        rule.source_port = rule.destination_port = 0;
    if (rule.action >= PB_RULE_MIRROR)
        rule.output = (uint16_t)random_below(8);
    if (random_below(3) == 0)
        rule.start_ns = now_ns + random_below(20) * SECOND;
    if (random_below(2) == 0)
        rule.duration_ns = (1 + random_below(60)) * SECOND;
    return rule;
}

/* ------------------------------------------------------------------- tests */

struct bed {
    struct meant meant[PACKETS];
    uint8_t frames[PACKETS][FRAME_BYTES];
    struct pb_packet packets[PACKETS];
    uint16_t index[PACKETS];
    struct pb_rule_verdict verdicts[PACKETS];
};
static struct bed bed;

static void fill_bed(uint32_t count, uint64_t now_ns)
{
    for (uint32_t i = 0; i < count; i++) {
        bed.meant[i] = random_meant(now_ns);
        bed.index[i] = (uint16_t)i;
        make_packet(&bed.meant[i], bed.frames[i], &bed.packets[i]);
    }
}

static void compare_verdicts(struct pb_rules *rules, uint32_t count)
{
    struct pb_batch batch = {.packets = bed.packets, .index = bed.index, .count = count};
    bool has_rules = pb_rules_lookup(rules, &batch, bed.verdicts);
    for (uint32_t i = 0; i < count; i++) {
        struct model_rule *rule = model_decide(&bed.meant[i]);
        if (rule != NULL)
            rule->packets++;
        CHECK(has_rules || rule == NULL);
        if (!has_rules)
            continue;
        CHECK_EQUAL(bed.verdicts[i].action, rule == NULL ? PB_RULE_NONE : rule->rule.action);
        if (rule != NULL && rule->rule.action >= PB_RULE_MIRROR)
            CHECK_EQUAL(bed.verdicts[i].output, rule->rule.output);
    }
}

/* What is listed is what the model has, with the packets that it counted. */
static void compare_lists(struct pb_rules *rules, uint64_t now_ns)
{
    struct pb_rule_listed listed[50];
    uint64_t after = 0;
    uint32_t row = 0, count;
    while ((count = pb_rules_list(rules, after, listed, 50)) > 0) {
        for (uint32_t i = 0; i < count; i++) {
            while (row < model_count && (model[row].is_removed || model[row].end_ns <= now_ns))
                row++;
            CHECK(row < model_count);
            CHECK_EQUAL(listed[i].id, model[row].id);
            CHECK_EQUAL(listed[i].packets, model[row].packets);
            CHECK_EQUAL(listed[i].bytes, model[row].packets * FRAME_BYTES);
            CHECK_EQUAL(listed[i].rule.priority, model[row].rule.priority);
            CHECK_EQUAL(listed[i].rule.type, model[row].rule.type);
            CHECK_EQUAL(listed[i].rule.action, model[row].rule.action);
            CHECK_EQUAL(listed[i].rule.duration_ns, model[row].rule.duration_ns);
            if (model[row].rule.type == PB_RULE_CONNECTION) {
                CHECK(memcmp(listed[i].rule.source, model[row].rule.source, 16) == 0);
                CHECK(memcmp(listed[i].rule.destination, model[row].rule.destination, 16) == 0);
                CHECK_EQUAL(listed[i].rule.source_port, model[row].rule.source_port);
                CHECK_EQUAL(listed[i].rule.destination_port, model[row].rule.destination_port);
            }
            row++;
        }
        after = listed[count - 1].id;
    }
    for (; row < model_count; row++)
        CHECK(model[row].is_removed || model[row].end_ns <= now_ns);
}

static void model_add(struct pb_rules *rules, const struct pb_rule *rule, uint64_t now_ns)
{
    struct model_rule *added = &model[model_count++];
    struct pb_error error;
    *added = (struct model_rule){.rule = *rule, .start_ns = rule->start_ns, .end_ns = UINT64_MAX};
    if (rule->duration_ns != 0)
        added->end_ns = (rule->start_ns != 0 ? rule->start_ns : now_ns) + rule->duration_ns;
    CHECK_EQUAL(pb_rules_add(rules, rule, &added->id, &error), 0);
    CHECK(model_count < 2 || added->id > added[-1].id);
}

/* Random questions: rules come, go and expire between batches of packets. */
static void test_model(void)
{
    struct pb_rules *rules = pb_rules_make(&(struct pb_rules_options){.packet_time = true});
    uint64_t now_ns = 1000 * SECOND;
    uint64_t baseline = pb_rules_memory_bytes(rules);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t count = 2 + random_below(PACKETS - 1); /* two agree on the time that the table goes by */
        fill_bed(count, now_ns);
        compare_verdicts(rules, count);
        for (uint32_t i = random_below(4); i > 0; i--) {
            struct pb_rule rule = random_rule(now_ns);
            model_add(rules, &rule, now_ns);
        }
        for (uint32_t i = random_below(4); i > 0 && model_count > 0; i--) {
            struct model_rule *removed = &model[random_below(model_count)];
            bool is_there = !removed->is_removed && removed->end_ns > now_ns;
            CHECK_EQUAL(pb_rules_remove(rules, removed->id), is_there);
            removed->is_removed = true;
        }
        if (round % 16 == 0)
            compare_lists(rules, now_ns);
        if (round % (ROUNDS / 3) == ROUNDS / 3 - 1) {
            pb_rules_clear(rules);
            for (uint32_t i = 0; i < model_count; i++)
                model[i].is_removed = true;
            CHECK_EQUAL(pb_rules_memory_bytes(rules), baseline);
        }
        now_ns += random_below(3) * SECOND / 2;
    }
    pb_rules_free(rules);
    model_count = 0;
}

static struct pb_rule connection(uint32_t i)
{
    struct pb_rule rule = {.type = PB_RULE_CONNECTION, .action = PB_RULE_DROP, .family = 4, .protocol = 6, .source_bits = 32,
                           .destination_bits = 32, .source_port = (uint16_t)i, .destination_port = 80};
    memcpy(rule.source, (const uint8_t[]){10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}, 4);
    memcpy(rule.destination, (const uint8_t[]){192, 168, 0, 1}, 4);
    return rule;
}

static struct meant meant_of(const struct pb_rule *rule)
{
    struct meant meant = {.family = 4, .protocol = 6, .source_port = rule->source_port, .destination_port = rule->destination_port};
    memcpy(meant.source, rule->source, 16);
    memcpy(meant.destination, rule->destination, 16);
    return meant;
}

/* Growing and shrinking over many sizes: every rule is found while it is there, none afterwards. */
static void test_many(uint32_t many)
{
    struct pb_rules *rules = pb_rules_make(&(struct pb_rules_options){0});
    uint64_t *ids = calloc(many, sizeof(*ids));
    struct pb_error error;
    for (uint32_t i = 0; i < many; i++) {
        struct pb_rule rule = connection(i);
        CHECK_EQUAL(pb_rules_add(rules, &rule, &ids[i], &error), 0);
    }
    CHECK_EQUAL(pb_rules_count(rules), many);
    for (uint32_t removed = 0; removed <= 1; removed++)
        for (uint32_t i = 0; i < many; i += PACKETS) {
            uint32_t count = many - i < PACKETS ? many - i : PACKETS;
            for (uint32_t k = 0; k < count; k++) {
                struct pb_rule rule = connection(i + k);
                bed.meant[k] = meant_of(&rule);
                bed.index[k] = (uint16_t)k;
                make_packet(&bed.meant[k], bed.frames[k], &bed.packets[k]);
            }
            struct pb_batch batch = {.packets = bed.packets, .index = bed.index, .count = count};
            CHECK(pb_rules_lookup(rules, &batch, bed.verdicts));
            for (uint32_t k = 0; k < count; k++) {
                bool is_gone = removed == 1 && (i + k) % 8 != 0;
                CHECK_EQUAL(bed.verdicts[k].action, is_gone ? PB_RULE_NONE : PB_RULE_DROP);
            }
            if (removed == 0 && i + count == many)
                for (uint32_t k = 0; k < many; k++)
                    if (k % 8 != 0)
                        CHECK(pb_rules_remove(rules, ids[k]));
        }
    CHECK(!pb_rules_remove(rules, ids[1]));
    for (uint32_t k = 0; k < many; k += 8)
        CHECK(pb_rules_remove(rules, ids[k]));
    CHECK_EQUAL(pb_rules_count(rules), 0);
    CHECK_EQUAL(pb_rules_memory_bytes(rules), 0);
    CHECK(!pb_rules_is_reapable(rules));
    free(ids);
    pb_rules_free(rules);
}

/* By the wall clock: what has expired is not found, then not listed, and its memory is free. */
static void test_wall_clock(void)
{
    struct pb_rules *rules = pb_rules_make(&(struct pb_rules_options){0});
    struct pb_rule rule = connection(1);
    struct pb_error error;
    uint64_t id;
    rule.duration_ns = 1000000;
    CHECK_EQUAL(pb_rules_add(rules, &rule, &id, &error), 0);
    CHECK(pb_rules_is_reapable(rules));
    struct pb_rule_listed listed;
    struct timespec pause = {.tv_nsec = 2000000};
    nanosleep(&pause, NULL);
    bed.meant[0] = meant_of(&rule);
    bed.index[0] = 0;
    make_packet(&bed.meant[0], bed.frames[0], &bed.packets[0]);
    struct pb_batch batch = {.packets = bed.packets, .index = bed.index, .count = 1};
    CHECK(pb_rules_lookup(rules, &batch, bed.verdicts));
    CHECK_EQUAL(bed.verdicts[0].action, PB_RULE_NONE);
    CHECK_EQUAL(pb_rules_list(rules, 0, &listed, 1), 0);
    CHECK_EQUAL(pb_rules_memory_bytes(rules), 0);
    rule.start_ns = 1;
    CHECK_EQUAL(pb_rules_add(rules, &rule, &id, &error), -EINVAL);
    pb_rules_free(rules);
}

static void expect_refused(struct pb_rules *rules, struct pb_rule rule, int status)
{
    uint64_t id;
    struct pb_error error = {0};
    CHECK_EQUAL(pb_rules_add(rules, &rule, &id, &error), status);
    CHECK(strncmp(error.text, "rule: ", 6) == 0);
    CHECK_EQUAL(pb_rules_memory_bytes(rules), 0);
}

static void test_refusals(void)
{
    struct pb_rules *rules = pb_rules_make(&(struct pb_rules_options){.packet_time = true});
    struct pb_error error;
    struct pb_rule rule = connection(1);
    rule.type = PB_RULE_TYPES;
    expect_refused(rules, rule, -EINVAL);
    rule = connection(1), rule.action = PB_RULE_ACTIONS;
    expect_refused(rules, rule, -EINVAL);
    rule = connection(1), rule.source_bits = 33;
    expect_refused(rules, rule, -EINVAL);
    rule = connection(1), rule.destination_bits = 24;
    expect_refused(rules, rule, -EINVAL);
    rule = connection(1), rule.family = 5;
    expect_refused(rules, rule, -EINVAL);
    rule = connection(1), rule.priority = PB_RULE_PRIORITY_MAX + 1;
    expect_refused(rules, rule, -EINVAL);
    rule = connection(1), rule.duration_ns = SECOND; /* no packet has told the time */
    expect_refused(rules, rule, -EINVAL);
    CHECK_EQUAL(pb_rules_attach(rules, 2, &error), 0);
    CHECK_EQUAL(pb_rules_attach(rules, 2, &error), -EBUSY);
    rule = connection(1), rule.action = PB_RULE_OUTPUT, rule.output = 2;
    expect_refused(rules, rule, -ERANGE);
    pb_rules_detach(rules);
    uint64_t id;
    CHECK_EQUAL(pb_rules_add(rules, &rule, &id, &error), 0);
    CHECK_EQUAL(pb_rules_attach(rules, 2, &error), -ERANGE);
    CHECK_EQUAL(pb_rules_attach(rules, 3, &error), 0);
    pb_rules_detach(rules);
    pb_rules_free(rules);
}

/* Look up one packet of a rule at a time; its action. */
static uint32_t action_at(struct pb_rules *rules, const struct pb_rule *rule, uint64_t timestamp_ns)
{
    bed.meant[0] = meant_of(rule);
    bed.meant[0].timestamp_ns = timestamp_ns;
    bed.index[0] = 0;
    make_packet(&bed.meant[0], bed.frames[0], &bed.packets[0]);
    struct pb_batch batch = {.packets = bed.packets, .index = bed.index, .count = 1};
    return pb_rules_lookup(rules, &batch, bed.verdicts) ? bed.verdicts[0].action : PB_RULE_NONE;
}

/* By the clock of packets: a wrong timestamp decides about its own packet only. */
static void test_wrong_timestamps(void)
{
    struct pb_rules *rules = pb_rules_make(&(struct pb_rules_options){.packet_time = true});
    struct pb_rule rule = connection(1);
    struct pb_error error;
    struct pb_rule_listed listed;
    uint64_t id;
    rule.duration_ns = 100 * SECOND;
    CHECK_EQUAL(action_at(rules, &rule, 1000 * SECOND), PB_RULE_NONE);
    CHECK_EQUAL(pb_rules_add(rules, &rule, &id, &error), -EINVAL); /* one packet tells no time */
    CHECK_EQUAL(action_at(rules, &rule, 1000 * SECOND), PB_RULE_NONE);
    CHECK_EQUAL(pb_rules_add(rules, &rule, &id, &error), 0);
    const uint64_t wrong_ns[] = {UINT64_MAX, 1, 5000 * SECOND};
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_EQUAL(action_at(rules, &rule, wrong_ns[i]), wrong_ns[i] == 1 ? PB_RULE_DROP : PB_RULE_NONE);
        CHECK_EQUAL(pb_rules_list(rules, 0, &listed, 1), 1);
        struct pb_rule second = connection(2);
        second.duration_ns = SECOND;
        CHECK_EQUAL(pb_rules_add(rules, &second, &id, &error), 0);
        CHECK(pb_rules_list(rules, id - 1, &listed, 1) == 1 && listed.rule.start_ns == (1000 + i) * SECOND);
        CHECK(pb_rules_remove(rules, id));
        CHECK_EQUAL(action_at(rules, &rule, (1001 + i) * SECOND), PB_RULE_DROP);
        CHECK_EQUAL(action_at(rules, &rule, (1001 + i) * SECOND), PB_RULE_DROP);
    }
    CHECK_EQUAL(action_at(rules, &rule, 1100 * SECOND), PB_RULE_NONE);
    CHECK_EQUAL(pb_rules_list(rules, 0, &listed, 1), 1);
    CHECK_EQUAL(action_at(rules, &rule, 1100 * SECOND), PB_RULE_NONE);
    CHECK_EQUAL(pb_rules_list(rules, 0, &listed, 1), 0);
    CHECK_EQUAL(pb_rules_memory_bytes(rules), 0);
    pb_rules_free(rules);
}

/* As many rules of one key as may be; each more is refused, and leaves nothing behind. */
static void test_same_key(void)
{
    struct pb_rules *rules = pb_rules_make(&(struct pb_rules_options){0});
    struct pb_rule rule = connection(1);
    struct pb_error error;
    uint64_t ids[PB_RULES_SAME_KEY_MAX], id;
    for (uint32_t i = 0; i < PB_RULES_SAME_KEY_MAX; i++) {
        rule.priority = (int16_t)(i % 7);
        CHECK_EQUAL(pb_rules_add(rules, &rule, &ids[i], &error), 0);
    }
    uint64_t memory_bytes = pb_rules_memory_bytes(rules);
    for (int priority = -1; priority <= 8; priority++) {
        rule.priority = (int16_t)priority;
        CHECK_EQUAL(pb_rules_add(rules, &rule, &id, &error), -ERANGE);
        CHECK(strcmp(error.text, "rule: there are 1000 rules for the same packets already; remove some") == 0);
    }
    CHECK_EQUAL(pb_rules_count(rules), PB_RULES_SAME_KEY_MAX);
    CHECK_EQUAL(pb_rules_memory_bytes(rules), memory_bytes);
    struct pb_rule other = connection(2);
    CHECK_EQUAL(pb_rules_add(rules, &other, &id, &error), 0);
    CHECK(pb_rules_remove(rules, ids[500]));
    CHECK_EQUAL(pb_rules_add(rules, &rule, &id, &error), 0);
    CHECK_EQUAL(pb_rules_add(rules, &rule, &id, &error), -ERANGE);
    pb_rules_clear(rules);
    CHECK_EQUAL(pb_rules_memory_bytes(rules), 0);
    pb_rules_free(rules);
}

/* A rule that has expired, reaped or not, does not keep an engine from starting. */
static void test_attach_after_expiry(void)
{
    struct pb_rules *rules = pb_rules_make(&(struct pb_rules_options){0});
    struct pb_rule rule = connection(1);
    struct pb_error error;
    uint64_t id;
    rule.action = PB_RULE_OUTPUT, rule.output = 7, rule.duration_ns = 1000000;
    CHECK_EQUAL(pb_rules_add(rules, &rule, &id, &error), 0);
    struct timespec pause = {.tv_nsec = 2000000};
    nanosleep(&pause, NULL);
    CHECK_EQUAL(pb_rules_attach(rules, 2, &error), 0);
    pb_rules_detach(rules);
    pb_rules_free(rules);
}

/* Requests of any bytes: refused in one line, or carried out within the reply's bounds. */
static void test_requests(void)
{
    struct pb_rules *rules = pb_rules_make(&(struct pb_rules_options){0});
    struct pb_error error;
    struct {
        struct pb_rule_request head;
        struct pb_rule rule[4];
    } request;
    uint32_t taken = 0, refused = 0;
    for (uint32_t round = 0; round < 100000; round++) {
        for (uint32_t i = 0; i < 4; i++)
            request.rule[i] = random_rule(0);
        if (random_below(2) == 0)
            ((uint8_t *)request.rule)[random_below(sizeof(request.rule))] = (uint8_t)random_below(256);
        request.head = (struct pb_rule_request){.operation = random_below(6), .count = random_below(6)};
        uint32_t bytes = random_below(2) ? (uint32_t)sizeof(request.head) : random_below(sizeof(request) + 1);
        if (random_below(2))
            bytes = (uint32_t)(sizeof(request.head) + request.head.count * (request.head.operation == PB_RULE_ADD ? 64 : 8));
        bytes = bytes < sizeof(request) ? bytes : (uint32_t)sizeof(request);
        /* Of just that size each, so that a byte beyond is one that the sanitizer knows. */
        uint32_t reply_bytes = random_below(400);
        uint8_t *sent = malloc(bytes), *reply = malloc(reply_bytes);
        memcpy(sent, &request, bytes);
        int status = pb_rule_control(rules, sent, bytes, reply, reply_bytes, &error);
        CHECK(status <= (int)reply_bytes);
        CHECK(status >= 0 || strncmp(error.text, "rule: ", 6) == 0);
        taken += status >= 0;
        refused += status < 0;
        free(sent);
        free(reply);
    }
    CHECK(taken > 1000 && refused > 1000);
    pb_rules_clear(rules);
    CHECK_EQUAL(pb_rules_memory_bytes(rules), 0);
    pb_rules_free(rules);
}

/* ------------------------------------------------- changed while it is read */

static _Atomic bool stop;
static _Atomic uint64_t looked_up, flickering_hits;

#define STEADY 64

static void *look_up(void *argument)
{
    struct pb_rules *rules = argument;
    static struct pb_packet packets[PACKETS];
    static uint8_t frames[PACKETS][FRAME_BYTES];
    static uint16_t index[PACKETS];
    static struct pb_rule_verdict verdicts[PACKETS];
    for (uint32_t i = 0; i < PACKETS; i++) {
        struct pb_rule rule = connection(i);
        struct meant meant = meant_of(&rule);
        index[i] = (uint16_t)i;
        make_packet(&meant, frames[i], &packets[i]);
    }
    struct pb_batch batch = {.packets = packets, .index = index, .count = PACKETS};
    while (!atomic_load(&stop)) {
        CHECK(pb_rules_lookup(rules, &batch, verdicts));
        uint64_t hits = 0;
        for (uint32_t i = 0; i < PACKETS; i++) {
            /* Rules that stay are found in every single lookup, whatever happens around them. */
            CHECK(i >= STEADY || verdicts[i].action == PB_RULE_PASS);
            hits += i >= STEADY && verdicts[i].action == PB_RULE_DROP;
        }
        atomic_fetch_add(&looked_up, PACKETS);
        atomic_fetch_add(&flickering_hits, hits);
    }
    return NULL;
}

static void test_threads(uint32_t changes)
{
    struct pb_rules *rules = pb_rules_make(&(struct pb_rules_options){0});
    struct pb_error error;
    uint64_t id, ids[2000] = {0};
    for (uint32_t i = 0; i < STEADY; i++) {
        struct pb_rule rule = connection(i);
        rule.action = PB_RULE_PASS;
        CHECK_EQUAL(pb_rules_add(rules, &rule, &id, &error), 0);
    }
    uint64_t steady_last = id;
    pthread_t thread;
    CHECK_EQUAL(pthread_create(&thread, NULL, look_up, rules), 0);
    while (atomic_load(&looked_up) == 0)
        ;
    for (uint32_t i = 0; i < changes; i++) {
        uint32_t at = random_below(2000);
        if (ids[at] != 0) {
            CHECK(pb_rules_remove(rules, ids[at]));
            ids[at] = 0;
            continue;
        }
        struct pb_rule rule = connection(STEADY + at);
        if (random_below(8) == 0) { /* a space of its own, that comes and goes */
            rule.type = PB_RULE_FLOW;
            rule.source_bits = (uint8_t)(24 + random_below(8));
            rule.source[1] = 99;
        }
        rule.priority = (int16_t)random_below(5);
        if (random_below(4) == 0) { /* a duplicate of a steady one, that decides after it */
            rule = connection(at % STEADY);
            rule.priority = -1;
        }
        CHECK_EQUAL(pb_rules_add(rules, &rule, &ids[at], &error), 0);
    }
    struct pb_rule_listed listed[STEADY];
    CHECK_EQUAL(pb_rules_list(rules, 0, listed, STEADY), STEADY);
    for (uint32_t i = 0; i < 2000; i++)
        if (ids[i] != 0)
            CHECK(pb_rules_remove(rules, ids[i]));
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    CHECK(atomic_load(&flickering_hits) > 0);
    CHECK_EQUAL(pb_rules_count(rules), STEADY);
    CHECK_EQUAL(pb_rules_list(rules, 0, listed, STEADY), STEADY);
    CHECK_EQUAL(listed[STEADY - 1].id, steady_last);
    for (uint32_t i = 0; i < STEADY; i++)
        CHECK_EQUAL(listed[i].packets * PACKETS, atomic_load(&looked_up));
    pb_rules_clear(rules);
    CHECK_EQUAL(pb_rules_memory_bytes(rules), 0);
    pb_rules_free(rules);
}

int main(void)
{
    test_refusals();
    test_wall_clock();
    test_wrong_timestamps();
    test_same_key();
    test_attach_after_expiry();
    test_requests();
    test_model();
    test_many(7);
    test_many(MANY);
    test_threads(100000);
    return 0;
}
