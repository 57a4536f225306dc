/* flow.c - see flow.h. Engine thread. */
#include "flow.h"

static void find_headers(const struct pb_flow *flow, const struct pb_packet *packet, struct pb_inner *inner)
{
    uint32_t walk = (flow->inner ? PB_INNER_TUNNELS : 0) | (flow->fragments != NULL ? PB_INNER_FIRST_FRAGMENTS : 0);
    pb_inner_find(packet, walk, inner);
}

static bool is_special(const struct pb_flow *flow, const struct pb_packet *packet)
{
    const struct pb_headers *headers = &packet->headers;
    return (flow->fragments != NULL && headers->l4_offset == 0 && headers->ip_version != 0) ||
           (flow->inner && pb_inner_possible(packet->data, headers));
}

/* What to split by, by these headers. */
static uint32_t hash_of(const struct pb_flow *flow, const struct pb_packet *packet, const struct pb_headers *headers)
{
    return flow->toeplitz ? pb_toeplitz_word(packet, headers, flow->tuple, flow->level)
                          : pb_hash_headers(packet->data, headers, flow->tuple);
}

/* May the first fragment of this datagram know more than addresses and protocol? In IPv6 no later
 * fragment says for certain what the datagram carries. */
static bool is_kept(const struct pb_flow *flow, const struct pb_fragment *fragment)
{
    bool ports = fragment->ip_version == 6 || pb_protocol_has_ports(fragment->ip_protocol) ||
                 (flow->toeplitz && fragment->ip_protocol == PB_PROTOCOL_IPV4); /* followed by that hash */
    return (flow->tuple != 2 && ports) ||
           (flow->inner && (fragment->ip_version == 6 || pb_inner_protocol(fragment->ip_protocol)));
}

/* Rule 3: note every first fragment of the batch that nothing is known of yet. */
static void look_ahead(struct pb_flow *flow)
{
    flow->looked_ahead = true;
    for (uint32_t i = 0; i < flow->batch->count; i++) {
        struct pb_packet *packet = &flow->batch->packets[flow->batch->index[i]];
        struct pb_inner inner;
        pb_parse(packet);
        if (!is_special(flow, packet))
            continue;
        find_headers(flow, packet, &inner);
        if (inner.fragments_count == 0 || inner.fragments[inner.fragments_count - 1].at != 0)
            continue;
        uint32_t hash = hash_of(flow, packet, &inner.headers);
        for (uint32_t f = 0; f < inner.fragments_count; f++) {
            const struct pb_fragment *first = &inner.fragments[f];
            if (is_kept(flow, first))
                pb_fragments_foresee(flow->fragments, pb_fragments_datagram(flow->fragments, packet->data, first), first,
                                     packet->timestamp_ns, hash);
        }
    }
}

/* Rules 2 to 4, for a packet that `hash` is the fallback of. */
static uint32_t follow(struct pb_flow *flow, const struct pb_packet *packet, struct pb_inner *inner,
                       const struct pb_fragment *fragment, uint32_t hash)
{
    uint64_t datagram = pb_fragments_datagram(flow->fragments, packet->data, fragment);
    enum pb_fragments_known known = pb_fragments_later(flow->fragments, datagram, fragment, packet->timestamp_ns, &hash);
    if (known == PB_FRAGMENTS_UNKNOWN && !flow->looked_ahead) {
        look_ahead(flow);
        known = pb_fragments_later(flow->fragments, datagram, fragment, packet->timestamp_ns, &hash);
    }
    if (known == PB_FRAGMENTS_UNKNOWN)
        pb_fragments_guess(flow->fragments, datagram, fragment, packet->timestamp_ns, hash);
    if (known == PB_FRAGMENTS_KEPT)
        inner->reason = PB_INNER_NONE; /* its first fragment told */
    pb_counter_add(&flow->counters[known == PB_FRAGMENTS_KEPT ? PB_FLOW_FRAGMENTS_KEPT : PB_FLOW_FRAGMENTS_UNMATCHED], 1);
    return hash;
}

/* Of a packet that may be a tunnel's or a fragment. */
static struct pb_flow_hashes hashes_special(struct pb_flow *flow, const struct pb_packet *packet)
{
    struct pb_inner inner;
    find_headers(flow, packet, &inner);
    uint32_t hash = hash_of(flow, packet, &inner.headers);
    uint32_t identity = flow->toeplitz ? pb_hash_headers(packet->data, &inner.headers, flow->tuple) : 0;
    uint32_t count = flow->fragments != NULL ? inner.fragments_count : 0;
    /* From the inside out: only the innermost can be a later fragment, whose hash those around it take. */
    while (count-- > 0) {
        const struct pb_fragment *fragment = &inner.fragments[count];
        if (!is_kept(flow, fragment))
            continue;
        identity = fragment->at != 0 ? 0 : identity;
        hash = fragment->at != 0 ? follow(flow, packet, &inner, fragment, hash)
                                 : pb_fragments_first(flow->fragments, pb_fragments_datagram(flow->fragments, packet->data, fragment),
                                                      fragment, packet->timestamp_ns, hash);
    }
    if (flow->fragments != NULL)
        pb_counter_set(&flow->counters[PB_FLOW_FRAGMENTS_OVERFLOW], pb_fragments_overflows(flow->fragments));
    if (inner.depth > 0)
        pb_counter_add(&flow->counters[PB_FLOW_TUNNELLED], 1);
    if (inner.reason != PB_INNER_NONE)
        pb_counter_add(&flow->counters[PB_FLOW_TUNNELLED + inner.reason], 1);
    return (struct pb_flow_hashes){hash, flow->toeplitz ? identity : hash};
}

struct pb_flow_hashes pb_flow_hashes_any(struct pb_flow *flow, struct pb_packet *packet)
{
    pb_parse(packet);
    if (is_special(flow, packet)) {
        if (!flow->toeplitz && packet->hash_tuple == PB_HASH_TUPLE_NIC)
            packet->hash_tuple = 0; /* as of the flow's other packets, whose hash takes its place */
        return hashes_special(flow, packet);
    }
    if (flow->toeplitz)
        return (struct pb_flow_hashes){hash_of(flow, packet, &packet->headers), pb_hash_any(packet, flow->tuple)};
    uint32_t symmetric = pb_flow_hash(packet, flow->tuple);
    return (struct pb_flow_hashes){symmetric, symmetric};
}
