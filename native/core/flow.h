/*
 * flow.h - the flow hash with options: by what tunnels carry, and with every
 * fragment of a datagram after its first.
 *
 * For bricks that split by flow (LoadBalancer), on the engine thread. A plain
 * packet (neither a tunnel's nor a fragment) has the hash of hash.h, computed
 * once, as without options; its cost is a few loads more. In a brick:
 *
 *     static uint32_t pick(void *state, struct pb_packet *packet)
 *     { ... pb_flow_hashes(&state->flow, packet).split ... }
 *     process(): pb_flow_begin(&state->flow, batch); pb_split(state, batch, outputs, pick);
 *
 * By the innermost headers (`inner`): inner.h says what is seen through, how deep,
 * and that otherwise the deepest headers reached whole decide.
 *
 * Fragments kept (`fragments`), in this order:
 * 1. A first fragment has the hash of its flow's whole packets, and the table notes it for
 *    every datagram it begins, outer and inner. Without its ports: as a packet without ports.
 * 2. A later fragment has its datagram's hash (fragments_kept).
 * 3. Packets are never held back. One whose first fragment was not seen has the whole batch
 *    searched for first fragments, once a batch, so reordering within a batch does no harm.
 * 4. Else what it has decides (addresses; fragments_unmatched), and the table notes that: the
 *    rest of the datagram follows, also its first fragment if that comes within
 *    PB_FRAGMENTS_REORDER_NS. The datagram stays together, apart from its flow.
 * 5. A datagram that the table gave up too early (fragments_overflow) is as in rule 4.
 * Protocols without ports need none of this: all their packets go by what every fragment has.
 * Whoever sends overlapping first fragments with different ports has the later ones follow the
 * last of them.
 */
#ifndef PB_FLOW_H
#define PB_FLOW_H

#include "counters.h"
#include "fragments.h"
#include "hash.h"
#include "inner.h"
#include "toeplitz.h"

/* Counters that a brick with these options has, in this order. */
enum pb_flow_counter {
    PB_FLOW_TUNNELLED,                                    /* then one for each enum pb_inner_reason but none */
    PB_FLOW_FRAGMENTS_KEPT = PB_FLOW_TUNNELLED + PB_INNER_REASONS,
    PB_FLOW_FRAGMENTS_UNMATCHED,
    PB_FLOW_FRAGMENTS_OVERFLOW,
    PB_FLOW_COUNTERS
};

/* Their descriptions, as rows of a brick's table. */
#define PB_FLOW_COUNTER_DESCS                                                                                          \
    {"tunnelled", PB_COUNTER_TOTAL, "packets", "split by the headers inside a tunnel"},                                \
        {"inner_truncated", PB_COUNTER_TOTAL, "packets", "tunnel or inner header cut short: split by the headers around it"}, \
        {"inner_malformed", PB_COUNTER_TOTAL, "packets", "tunnel or inner header not understood: split by the headers around it"}, \
        {"inner_too_deep", PB_COUNTER_TOTAL, "packets", "tunnels nested too deep: split by the deepest headers looked at"}, \
        {"inner_fragment", PB_COUNTER_TOTAL, "packets", "fragments that may be a tunnel's, without inner headers: split by addresses"}, \
        {"fragments_kept", PB_COUNTER_TOTAL, "packets", "later fragments sent after their first one"},                 \
        {"fragments_unmatched", PB_COUNTER_TOTAL, "packets", "later fragments whose first one was not seen: split by addresses"}, \
        {"fragments_overflow", PB_COUNTER_TOTAL, "datagrams", "given up while incomplete, for lack of table entries"}

struct pb_flow {
    uint32_t tuple;                 /* 2, 4 or 5 */
    uint32_t level;                 /* the seed of the Toeplitz hash */
    bool toeplitz;                  /* split by the hash of toeplitz.h, not by the symmetric one */
    bool inner;                     /* by the innermost headers */
    bool looked_ahead;              /* this batch was searched for first fragments */
    struct pb_fragments *fragments; /* the brick's; NULL: fragments go as packets without ports */
    pb_counter *counters;           /* PB_FLOW_COUNTERS of them */
    const struct pb_batch *batch;
};

/* Before the first pb_flow_hashes() of each batch. */
static inline void pb_flow_begin(struct pb_flow *flow, const struct pb_batch *batch)
{
    flow->batch = batch;
    flow->looked_ahead = false;
}

/* What a packet's flow is split by, and what tells it from others: the symmetric hash does both. */
struct pb_flow_hashes {
    uint32_t split;    /* the symmetric hash, or the word of toeplitz.h */
    uint32_t identity; /* 0: not known, of a fragment that follows its first one by the Toeplitz hash */
};

/* Any packet: the functions below have short ways for the usual ones (parse.h). The symmetric
 * hash takes the place of the network card's in all packets of a flow; the Toeplitz hash leaves it. */
struct pb_flow_hashes pb_flow_hashes_any(struct pb_flow *flow, struct pb_packet *packet);

/* Of a packet by its own headers, split by the Toeplitz hash. What both hashes read is read once. */
static inline __attribute__((always_inline)) struct pb_flow_hashes
pb_flow_hashes_toeplitz(struct pb_flow *flow, struct pb_packet *packet, uint32_t tuple)
{
    if (!__builtin_expect(pb_packet_is_usual(packet), 1))
        return pb_flow_hashes_any(flow, packet);
    struct pb_headers headers = pb_headers_usual(packet);
    if (!__builtin_expect(tuple == 2 || pb_toeplitz_has_ports(&headers), 1))
        return pb_flow_hashes_any(flow, packet);
    const uint8_t *addresses = packet->data + headers.l3_offset + 12, *ports = packet->data + headers.l4_offset;
    uint32_t word = pb_toeplitz_fold(pb_load32(addresses) ^ pb_load32(addresses + 4));
    word ^= tuple == 2 ? pb_toeplitz_no_ports(flow->level) : pb_toeplitz_ports(ports, flow->level);
    word ^= tuple == 5 ? headers.ip_protocol : 0;
    return (struct pb_flow_hashes){word & 0xffff, pb_hash_ipv4(packet->data, &headers, tuple)};
}

/* Of a packet by its own headers. The caller may know the tuple and the hash as constants. */
static inline __attribute__((always_inline)) struct pb_flow_hashes
pb_flow_hashes_plain(struct pb_flow *flow, struct pb_packet *packet, uint32_t tuple, bool toeplitz)
{
    if (toeplitz)
        return pb_flow_hashes_toeplitz(flow, packet, tuple);
    uint32_t symmetric = pb_flow_hash(packet, tuple);
    return (struct pb_flow_hashes){symmetric, symmetric};
}

/* Of a packet, as the options say. */
static inline __attribute__((always_inline)) struct pb_flow_hashes
pb_flow_hashes(struct pb_flow *flow, struct pb_packet *packet)
{
    if (!pb_packet_is_usual(packet))
        return pb_flow_hashes_any(flow, packet);
    struct pb_headers headers = pb_headers_usual(packet);
    if (flow->inner && pb_inner_possible(packet->data, &headers))
        return pb_flow_hashes_any(flow, packet);
    return pb_flow_hashes_plain(flow, packet, flow->tuple, flow->toeplitz);
}

#endif
