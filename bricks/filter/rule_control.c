/* rule_control.c - see rule_control.h. Nothing that a request holds is believed before it is checked. */
#include "rule_control.h"

#include <errno.h>

/* The layout that rules.ts packs and unpacks. */
_Static_assert(sizeof(struct pb_rule) == 64, "a rule of rules.ts");
_Static_assert(sizeof(struct pb_rule_listed) == 88, "a listed rule of rules.ts");
_Static_assert(sizeof(struct pb_rule_request) == 16, "a request of rules.ts");

#define LISTED_AT_ONCE 64

static int add(struct pb_rules *rules, const uint8_t *packed, uint32_t count, uint8_t *reply, struct pb_error *error)
{
    for (uint32_t i = 0; i < count; i++) {
        struct pb_rule rule;
        uint64_t id;
        memcpy(&rule, packed + (size_t)i * sizeof(rule), sizeof(rule));
        int status = pb_rules_add(rules, &rule, &id, error);
        if (status == 0) {
            memcpy(reply + (size_t)i * sizeof(id), &id, sizeof(id));
            continue;
        }
        while (i-- > 0) {
            memcpy(&id, reply + (size_t)i * sizeof(id), sizeof(id));
            pb_rules_remove(rules, id);
        }
        return status;
    }
    return (int)(count * sizeof(uint64_t));
}

static int remove_rules(struct pb_rules *rules, const uint8_t *packed, uint32_t count, uint8_t *reply)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t id;
        memcpy(&id, packed + (size_t)i * sizeof(id), sizeof(id));
        reply[i] = pb_rules_remove(rules, id);
    }
    return (int)count;
}

/* By way of an array, as a reply is not aligned. */
static int list(struct pb_rules *rules, uint64_t after, uint32_t count, uint8_t *reply)
{
    struct pb_rule_listed part[LISTED_AT_ONCE];
    uint32_t listed = 0, got = LISTED_AT_ONCE;
    while (listed < count && got == LISTED_AT_ONCE) {
        uint32_t wanted = count - listed < LISTED_AT_ONCE ? count - listed : LISTED_AT_ONCE;
        got = pb_rules_list(rules, after, part, wanted);
        memcpy(reply + (size_t)listed * sizeof(part[0]), part, got * sizeof(part[0]));
        listed += got;
        after = got > 0 ? part[got - 1].id : after;
    }
    return (int)(listed * sizeof(part[0]));
}

static int clear(struct pb_rules *rules, uint8_t *reply)
{
    uint32_t count = pb_rules_count(rules);
    pb_rules_clear(rules);
    memcpy(reply, &count, sizeof(count));
    return sizeof(count);
}

static int reap(struct pb_rules *rules, uint8_t *reply)
{
    pb_rules_reap(rules);
    reply[0] = pb_rules_is_reapable(rules);
    return 1;
}

/* Bytes of each element of a request, and of its reply; by operation. */
static const struct {
    uint32_t request, reply;
} sizes[] = {[PB_RULE_ADD] = {sizeof(struct pb_rule), sizeof(uint64_t)},
             [PB_RULE_REMOVE] = {sizeof(uint64_t), 1},
             [PB_RULE_LIST] = {0, sizeof(struct pb_rule_listed)},
             [PB_RULE_CLEAR] = {0, sizeof(uint32_t)},
             [PB_RULE_REAP] = {0, 1}};

int pb_rule_control(struct pb_rules *rules, const uint8_t *request, uint32_t request_bytes, uint8_t *reply,
                    uint32_t reply_bytes, struct pb_error *error)
{
    struct pb_rule_request head;
    if (request_bytes < sizeof(head))
        return pb_fail(error, EINVAL, "rule: a request of %u bytes; it has %zu at least", request_bytes, sizeof(head));
    memcpy(&head, request, sizeof(head));
    if (head.operation >= sizeof(sizes) / sizeof(sizes[0]))
        return pb_fail(error, EINVAL, "rule: no operation %u", head.operation);
    uint64_t wanted = sizeof(head) + (uint64_t)head.count * sizes[head.operation].request;
    uint64_t answered = (uint64_t)head.count * sizes[head.operation].reply;
    if (head.count == 0 || request_bytes != wanted || reply_bytes < answered)
        return pb_fail(error, EINVAL, "rule: a request of %u bytes for %u rules, and room for an answer of %u; it needs %llu and %llu",
                       request_bytes, head.count, reply_bytes, (unsigned long long)wanted, (unsigned long long)answered);
    const uint8_t *packed = request + sizeof(head);
    switch (head.operation) {
    case PB_RULE_ADD:
        return add(rules, packed, head.count, reply, error);
    case PB_RULE_REMOVE:
        return remove_rules(rules, packed, head.count, reply);
    case PB_RULE_LIST:
        return list(rules, head.after, head.count, reply);
    case PB_RULE_CLEAR:
        return clear(rules, reply);
    default:
        return reap(rules, reply);
    }
}
