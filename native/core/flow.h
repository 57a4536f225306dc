/*
 * flow.h - the flow hash with options: by what tunnels carry, and with every
 * fragment of a datagram after its first.
 *
 * For bricks that split by flow (LoadBalancer), on the engine thread. A plain
 * packet (neither a tunnel's nor a fragment) has the hash of hash.h, computed
 * once, as without options.
 *
 *     static uint32_t pick(void *state, struct pb_packet *packet)
 *     { ... pb_flow_hash_with(&state->flow, packet) ... }
 *     process(): pb_flow_begin(&state->flow, batch); pb_split(state, batch, outputs, pick);
 *
 * Rules, in the order they apply:
 * 1. A first fragment has the hash of its flow's whole packets (innermost headers, ports), and the
 *    table notes it for every datagram it is the first fragment of, outer and inner.
 * 2. A later fragment has its datagram's hash (fragments_kept).
 * 3. One whose first fragment was not seen yet: the rest of the batch is searched for first
 *    fragments, once a batch; then rule 2 (kept). Packets are never held back.
 * 4. Else the addresses and protocol decide (fragments_unmatched), and the table notes that: the rest of
 *    the datagram follows, also its first fragment if it comes within PB_FRAGMENTS_REORDER_NS.
 * 5. A full bucket gives up a datagram complete or outlived, else the oldest (fragments_overflow),
 *    whose later fragments then are as in rule 4.
 */
#ifndef PB_FLOW_H
#define PB_FLOW_H

#include "counters.h"
#include "fragments.h"
#include "hash.h"
#include "inner.h"

/* How long after a later fragment its first may come and still follow it. */
#define PB_FRAGMENTS_REORDER_NS 1000000000ULL

/* Counters that a brick with these options has, in this order: struct pb_flow's
 * `counters` is the first of PB_FLOW_COUNTERS values. */
enum pb_flow_counter {
    PB_FLOW_TUNNELLED,                                          /* split by inner headers */
    PB_FLOW_INNER_TRUNCATED,                                    /* PB_INNER_TRUNCATED .. */
    PB_FLOW_FRAGMENTS_KEPT = PB_FLOW_TUNNELLED + PB_INNER_REASONS, /* behind the reasons */
    PB_FLOW_FRAGMENTS_UNMATCHED,
    PB_FLOW_FRAGMENTS_OVERFLOW,
    PB_FLOW_COUNTERS
};

/* Their descriptions, for a brick's table. */
extern const struct pb_counter_desc pb_flow_counter_descs[PB_FLOW_COUNTERS];

struct pb_flow {
    uint32_t tuple;                 /* 2 or 4 */
    bool inner;                     /* by the innermost headers */
    bool looked_ahead;              /* at the rest of this batch */
    struct pb_fragments *fragments; /* NULL: fragments go by addresses and protocol */
    const struct pb_batch *batch;
    pb_counter *counters;
};

/* Before the first pb_flow_hash_with() of each batch. */
static inline void pb_flow_begin(struct pb_flow *flow, const struct pb_batch *batch)
{
    flow->batch = batch;
    flow->looked_ahead = false;
}

/* A packet that is a fragment, a tunnel's, or not whole. */
uint32_t pb_flow_hash_special(struct pb_flow *flow, const struct pb_packet *packet);

static inline __attribute__((always_inline)) uint32_t pb_flow_hash_with(struct pb_flow *flow, struct pb_packet *packet)
{
    pb_parse(packet);
    const bool fragment = packet->headers.l4_offset == 0 && packet->headers.ip_version != 0;
    if ((fragment && flow->fragments != NULL) || (flow->inner && pb_inner_possible(packet)))
        return pb_flow_hash_special(flow, packet);
    return pb_flow_hash(packet, flow->tuple);
}

#endif
