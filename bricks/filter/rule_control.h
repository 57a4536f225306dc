/*
 * rule_control.h - requests of rules.ts on a rule table. Control thread.
 *
 * A request is a struct pb_rule_request and what its operation says; numbers are
 * in the machine's byte order, structures those of rules.h.
 */
#ifndef PB_RULE_CONTROL_H
#define PB_RULE_CONTROL_H

#include "rules.h"

enum pb_rule_operation {
    PB_RULE_ADD,    /* behind it `count` struct pb_rule; reply: their ids, 64 bits each. All of them or none */
    PB_RULE_REMOVE, /* behind it `count` ids of 64 bits; reply: for each a byte, 1: removed, 0: there was none */
    PB_RULE_LIST,   /* the rules with ids above `after`; reply: struct pb_rule_listed, up to `count` */
    PB_RULE_CLEAR,  /* reply: how many there were, 32 bits */
    PB_RULE_REAP    /* reply: a byte, 1: there will be more to reap */
};

struct pb_rule_request {
    uint32_t operation;
    uint32_t count;
    uint64_t after;
};

/* As the command() of struct pb_brick_control. */
int pb_rule_control(struct pb_rules *rules, const uint8_t *request, uint32_t request_bytes, uint8_t *reply,
                    uint32_t reply_bytes, struct pb_error *error);

#endif
