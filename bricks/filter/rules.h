/*
 * rules.h - the rule table of Filter: which packets a rule decides, looked up by
 * the engine thread while the control thread changes the rules.
 *
 * Threads: pb_rules_lookup() is for the engine thread, and takes no lock; everything
 * else is for the control thread, of which there is one. One engine reads a table
 * at a time. Memory that lookups may still see is freed when the engine thread has
 * left the batch it was in.
 *
 * Which rule decides: of those that match and are in force the one of highest
 * priority; of equal ones the oldest, which has the lowest id.
 *
 * Time: a rule is in force from start_ns until it has expired. The clock is the wall
 * clock, or that of the packets (struct pb_rules_options).
 */
#ifndef PB_RULES_H
#define PB_RULES_H

#include "core/batch.h"
#include "core/error.h"

#define PB_RULES_MAX 0xfffffeu        /* rules of one Filter */
#define PB_RULE_SPACES_MAX 256        /* ways to match in use at once: see struct pb_rule_shape */
#define PB_RULES_SAME_KEY_MAX 1000    /* rules that match the very same packets: they are asked one after the other */
#define PB_RULE_PRIORITY_MAX 1000     /* priorities are from minus this to this */
#define PB_RULE_NEVER_NS UINT64_MAX   /* the end of a rule that does not expire */

/* What a rule matches. Values cross from rules.ts. */
enum pb_rule_type {
    PB_RULE_CONNECTION, /* addresses, protocol and ports, both directions */
    PB_RULE_FLOW,       /* the same in one direction; what is not given matches anything */
    PB_RULE_IP,         /* an address or prefix, at either end */
    PB_RULE_MAC,        /* a MAC address, at either end */
    PB_RULE_TYPES
};

/* What becomes of the packets of a rule. */
enum pb_rule_action {
    PB_RULE_DROP,
    PB_RULE_PASS,   /* to output 0, whatever the expression says */
    PB_RULE_MIRROR, /* to the rule's output as well as where it goes anyway */
    PB_RULE_OUTPUT, /* to the rule's output only */
    PB_RULE_NONE    /* of packets that no rule decides */
};
#define PB_RULE_ACTIONS PB_RULE_NONE

/* Which fields of a flow are given, besides prefixes. */
#define PB_RULE_GIVEN_PROTOCOL 1u
#define PB_RULE_GIVEN_SOURCE_PORT 2u
#define PB_RULE_GIVEN_DESTINATION_PORT 4u

/* A rule as it is asked for and listed; the layout is that of rules.ts. */
struct pb_rule {
    uint8_t type, action;
    uint8_t family;   /* of the addresses: 4 or 6; 0: a flow without any, or a MAC address */
    uint8_t protocol;
    uint8_t given;
    uint8_t source_bits, destination_bits; /* prefix lengths */
    uint8_t reserved;
    uint16_t source_port, destination_port;
    uint16_t output;
    int16_t priority;
    uint8_t source[16], destination[16]; /* network order, front aligned; of IP and MAC rules source only */
    uint64_t start_ns;    /* since 1970; 0: when the rule is added */
    uint64_t duration_ns; /* 0: without end */
};

struct pb_rule_listed {
    uint64_t id, packets, bytes; /* bytes: wire lengths */
    struct pb_rule rule;
};

struct pb_rules_options {
    bool packet_time; /* judge by the packets' timestamps instead of the wall clock */
};

struct pb_rule_verdict {
    uint8_t action; /* enum pb_rule_action */
    uint16_t output;
};

struct pb_rules;

struct pb_rules *pb_rules_make(const struct pb_rules_options *options);
void pb_rules_free(struct pb_rules *rules);

/* Before an engine looks up, and after it has ended: rules name outputs below
 * `outputs` only from then on. -EBUSY: another engine reads the table. */
int pb_rules_attach(struct pb_rules *rules, uint32_t outputs, struct pb_error *error);
void pb_rules_detach(struct pb_rules *rules);

/* Returns 0 and the id, which is never given twice; -EINVAL, -ENOMEM, -ERANGE. */
int pb_rules_add(struct pb_rules *rules, const struct pb_rule *rule, uint64_t *id, struct pb_error *error);
/* False: there is no such rule (any more). */
bool pb_rules_remove(struct pb_rules *rules, uint64_t id);
void pb_rules_clear(struct pb_rules *rules);
/* Up to `listed_max` rules with ids above `after`, in order of id. Returns how many. */
uint32_t pb_rules_list(struct pb_rules *rules, uint64_t after, struct pb_rule_listed *listed, uint32_t listed_max);
/* Remove rules that have expired, and free what lookups cannot see any more. Every
 * call above does it as well, in part. */
void pb_rules_reap(struct pb_rules *rules);
uint32_t pb_rules_count(const struct pb_rules *rules);
/* Whether there is something for pb_rules_reap() to do now or later. */
bool pb_rules_is_reapable(const struct pb_rules *rules);
/* What rules hold, freed or not yet. */
uint64_t pb_rules_memory_bytes(const struct pb_rules *rules);

/* The verdicts on the packets of a batch, in its order; counts packets and bytes for
 * the rules that decide them. False: there are no rules, and no verdicts. Engine thread. */
bool pb_rules_lookup(struct pb_rules *rules, const struct pb_batch *batch, struct pb_rule_verdict *verdicts);

#endif
