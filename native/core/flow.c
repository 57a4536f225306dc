/* flow.c - see flow.h. Engine thread. */
#include "flow.h"

const struct pb_counter_desc pb_flow_counter_descs[PB_FLOW_COUNTERS] = {
    [PB_FLOW_TUNNELLED] = {"tunnelled", PB_COUNTER_TOTAL, "packets", "packets split by the headers inside a tunnel"},
    {"inner_truncated", PB_COUNTER_TOTAL, "packets", "tunnel or inner header cut short: split by the headers around it"},
    {"inner_malformed", PB_COUNTER_TOTAL, "packets", "tunnel or inner header not understood: split by the headers around it"},
    {"inner_too_deep", PB_COUNTER_TOTAL, "packets", "tunnels nested too deep: split by the deepest headers reached"},
    {"inner_fragment", PB_COUNTER_TOTAL, "packets", "fragments that may be a tunnel's, without inner headers: split by addresses and protocol"},
    [PB_FLOW_FRAGMENTS_KEPT] = {"fragments_kept", PB_COUNTER_TOTAL, "packets", "later fragments sent after their first"},
    {"fragments_unmatched", PB_COUNTER_TOTAL, "packets", "later fragments whose first was not seen: split by addresses and protocol"},
    {"fragments_overflow", PB_COUNTER_TOTAL, "datagrams", "fragmented datagrams forgotten before they were whole, for lack of table entries"},
};

uint32_t pb_flow_hash_special(struct pb_flow *flow, const struct pb_packet *packet)
{
    struct pb_packet copy = *packet;
    return pb_flow_hash(&copy, flow->tuple);
}
