/*
 * flow_gen.c - FlowGen: puts the flow into the MAC addresses, so that switches deliver
 * each flow to where its destination address was last seen as a source.
 * Engine thread; the state is the executor's.
 */
#include <endian.h>

#include "brick.h"
#include "core/rss_hash.h"

#define MACS_BYTES 12 /* destination and source */
#define HASH_AT 2     /* behind the prefix */
#define USUAL_ADDRESSES_AT (PB_ETHERNET_BYTES + 12)

/* As flow_gen.ts packs it. */
struct flow_gen_config {
    uint32_t id;     /* 24 bits */
    uint32_t tuple;  /* of the hash in software: 2 or 4 */
    uint16_t prefix; /* first two bytes of destination addresses */
    uint8_t software; /* 1: never the card's hash */
    uint8_t trailer;  /* 1: append the original addresses */
};
_Static_assert(sizeof(struct flow_gen_config) == 12, "as packed");

enum flow_gen_counter { LINK_TYPE, TOO_SHORT, UNHASHED, NO_TRAILER, COUNTERS };

struct flow_gen {
    uint8_t macs[MACS_BYTES]; /* of every packet, but for the hash */
    struct flow_gen_config config;
    pb_counter *counters;
    bool fast; /* pb_rss_fast() works here */
};

static int init(void *state, const void *config, const struct pb_brick_setup *setup, struct pb_error *error)
{
    (void)error;
    struct flow_gen *flow_gen = state;
    memcpy(&flow_gen->config, config, sizeof(flow_gen->config));
    flow_gen->counters = setup->counters;
    uint32_t id = flow_gen->config.id;
    uint16_t prefix = flow_gen->config.prefix;
    memcpy(flow_gen->macs, (const uint8_t[]){(uint8_t)(prefix >> 8), (uint8_t)prefix}, 2);
    memcpy(flow_gen->macs + 6,
           (const uint8_t[]){0xba, 0xda, 0x55, (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id}, 6);
    pb_rss_prepare();
    flow_gen->fast = pb_rss_has_fast();
    return 0;
}

/* The counter of the reason why a packet must not be sent on; COUNTERS: there is none. */
static inline enum flow_gen_counter objection(const struct pb_packet *packet)
{
    if (packet->link_type != PB_LINK_ETHERNET)
        return LINK_TYPE;
    return packet->captured_len < PB_ETHERNET_BYTES ? TOO_SHORT : COUNTERS;
}

/* The card's hash where it has computed one. The kernel makes one up for packets that are
 * not IP, which cards do not hash: those have 0 whoever computes it. */
static inline uint32_t hash_of(const struct flow_gen *flow_gen, struct pb_packet *packet)
{
    if (packet->hash_tuple != PB_HASH_TUPLE_NIC || flow_gen->config.software)
        return pb_rss_hash(packet, flow_gen->config.tuple);
    pb_parse(packet);
    return packet->headers.ip_version != 0 ? packet->flow_hash : 0;
}

/* Two stores: the first with the hash in its place, low byte first. */
static inline void put_macs(const struct flow_gen *flow_gen, uint8_t *data, uint32_t hash)
{
    uint64_t first = htole64(le64toh(pb_load64(flow_gen->macs)) | (uint64_t)hash << (8 * HASH_AT));
    memcpy(data, &first, sizeof(first));
    memcpy(data + sizeof(first), flow_gen->macs + sizeof(first), MACS_BYTES - sizeof(first));
}

/* A copy with its addresses behind it, or a packet without where there is no room, or
 * where the frame's end is not there. */
static uint16_t append_macs(const struct flow_gen *flow_gen, const struct pb_batch *batch, uint16_t index)
{
    const struct pb_packet *packet = &batch->packets[index];
    if (packet->captured_len != packet->wire_len || packet->wire_len > PB_FRAME_BYTES_LIVE_MAX - MACS_BYTES) {
        pb_counter_add(&flow_gen->counters[NO_TRAILER], 1);
        return pb_packet_own(batch, index);
    }
    index = pb_packet_copy(batch, index, MACS_BYTES);
    struct pb_packet *copy = &batch->packets[index];
    memcpy(pb_packet_bytes(copy) + copy->captured_len, copy->data, MACS_BYTES);
    copy->captured_len += MACS_BYTES;
    copy->wire_len += MACS_BYTES;
    return index;
}

/* Any packet: its new index, or PB_OUTPUT_NONE. Not inline: it would take the registers of the loop. */
static __attribute__((noinline)) uint32_t rewrite(const struct flow_gen *flow_gen, const struct pb_batch *batch, uint16_t index)
{
    enum flow_gen_counter reason = objection(&batch->packets[index]);
    if (reason != COUNTERS) {
        pb_counter_add(&flow_gen->counters[reason], 1);
        return PB_OUTPUT_NONE;
    }
    uint32_t hash = hash_of(flow_gen, &batch->packets[index]);
    index = flow_gen->config.trailer ? append_macs(flow_gen, batch, index) : pb_packet_own(batch, index);
    struct pb_packet *packet = &batch->packets[index];
    put_macs(flow_gen, pb_packet_bytes(packet), hash);
    if (packet->headers.ip_version == 0) {
        pb_counter_add(&flow_gen->counters[UNHASHED], 1);
        packet->hash_tuple = 0; /* its flow hash is that of its addresses, which are others now */
    }
    return index;
}

/* Most packets where they are changed in place, known by a few loads: half the time. */
static inline __attribute__((always_inline)) bool rewrite_usual(const struct flow_gen *flow_gen, const struct pb_packet *packet,
                                                                uint32_t (*hash_of_8)(const uint8_t *))
{
    if (packet->hash_tuple == PB_HASH_TUPLE_NIC || !pb_packet_is_usual(packet))
        return false;
    uint8_t *data = pb_packet_bytes(packet);
    put_macs(flow_gen, data, hash_of_8(data + USUAL_ADDRESSES_AT));
    return true;
}

static inline __attribute__((always_inline)) void rewrite_all(const struct flow_gen *flow_gen, const struct pb_batch *batch,
                                                              struct pb_vector *vector, uint32_t (*hash_of_8)(const uint8_t *))
{
    /* Locals, because for all the compiler knows a write to a packet changes everything else. */
    const struct flow_gen usual = *flow_gen;
    const uint16_t *from = batch->index, *end = from + batch->count;
    struct pb_packet *packets = batch->packets;
    uint16_t *to = vector->index + vector->count;
    bool in_place = batch->owned == PB_OWNED_ALL && !flow_gen->config.trailer && flow_gen->config.tuple == 2;
    for (; from < end; from++) {
        uint32_t index = *from;
        if (from + PB_PREFETCH_PACKETS < end)
            __builtin_prefetch(packets[from[PB_PREFETCH_PACKETS]].data, 1);
        if (!in_place || !rewrite_usual(&usual, &packets[index], hash_of_8))
            index = rewrite(flow_gen, batch, (uint16_t)index);
        if (index != PB_OUTPUT_NONE)
            *to++ = (uint16_t)index;
    }
    vector->count = (uint32_t)(to - vector->index);
}

PB_RSS_FAST_TARGET static void process_fast(void *state, const struct pb_batch *batch, struct pb_outputs *outputs)
{
    rewrite_all(state, batch, outputs->vectors[0], pb_rss_fast);
}

static void process(void *state, const struct pb_batch *batch, struct pb_outputs *outputs)
{
    if (((const struct flow_gen *)state)->fast)
        process_fast(state, batch, outputs);
    else
        rewrite_all(state, batch, outputs->vectors[0], pb_rss_by_table);
}

static const struct pb_counter_desc counters[COUNTERS] = {
    [LINK_TYPE] = {"link_type", PB_COUNTER_DROP, "packets", "not Ethernet: without MAC addresses"},
    [TOO_SHORT] = {"too_short", PB_COUNTER_DROP, "packets", "shorter than an Ethernet header"},
    [UNHASHED] = {"unhashed", PB_COUNTER_TOTAL, "packets", "not IP, or cut within the IP header: sent with hash 0"},
    [NO_TRAILER] = {"no_trailer", PB_COUNTER_TOTAL, "packets", "cut, or too long for a trailer: sent without"},
};

static const struct pb_brick flow_gen = {
    .name = "FlowGen",
    .config_bytes = sizeof(struct flow_gen_config),
    .state_bytes = sizeof(struct flow_gen),
    .outputs_min = 1,
    .outputs_max = 1,
    .rewrites = 1,
    .counters = counters,
    .counters_count = COUNTERS,
    .init = init,
    .process = process,
};
PB_BRICK(flow_gen);
