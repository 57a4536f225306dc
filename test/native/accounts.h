/*
 * accounts.h - the sum that must hold for every engine that stands still:
 * received + copies = sent + drops by reason + in flight, with nothing in flight.
 */
#ifndef PB_ACCOUNTS_H
#define PB_ACCOUNTS_H

#include "check.h"
#include "engine/engine.h"

static inline uint64_t drops_of(const pb_counter *counters, const struct pb_counter_desc *table, uint32_t count)
{
    uint64_t drops = 0;
    for (uint32_t i = 0; i < count; i++)
        if (table[i].kind == PB_COUNTER_DROP)
            drops += pb_counter_get(&counters[i]);
    return drops;
}

/* Checks the engine, its bricks and its ports; returns the packets received. */
static inline uint64_t check_accounts(int handle)
{
    const struct pb_engine *engine = pb_engine_find(handle);
    uint64_t received = 0, sent = 0, copies = 0;
    uint64_t drops = drops_of(engine->counters, pb_engine_counters_table, PB_ENGINE_COUNTERS);
    CHECK_EQUAL(pb_counter_get(&engine->counters[PB_ENGINE_IN_FLIGHT]), 0);
    for (uint32_t i = 0; i < engine->inputs_count; i++)
        received += pb_counter_get(&engine->inputs[i]->port.counters[PB_PORT_RX_PACKETS]);
    for (uint32_t i = 0; i < engine->outputs_count; i++) {
        const struct pb_port *port = &engine->outputs[i]->port;
        sent += pb_counter_get(&port->counters[PB_PORT_TX_PACKETS]);
        drops += drops_of(port->counters + PB_PORT_COUNTERS, port->driver->counters, port->driver->counters_count);
        CHECK_EQUAL(pb_counter_get(&port->counters[PB_PORT_IN_FLIGHT]), 0);
    }
    for (uint32_t i = 0; i < engine->nodes_count; i++) {
        const struct pb_node *node = engine->nodes[i];
        uint64_t rx = pb_counter_get(&node->counters[PB_BRICK_RX_PACKETS]);
        uint64_t tx = pb_counter_get(&node->counters[PB_BRICK_TX_PACKETS]);
        uint64_t made = pb_counter_get(&node->counters[PB_BRICK_COPIES]);
        uint64_t lost = drops_of(node->counters + PB_BRICK_COUNTERS, node->brick->counters, node->brick->counters_count);
        CHECK_EQUAL(rx + made, tx + lost);
        copies += made;
        drops += lost;
    }
    CHECK_EQUAL(received + copies, sent + drops);
    return received;
}

#endif
