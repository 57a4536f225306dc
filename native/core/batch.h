/*
 * batch.h - packets, batches of them, and the routine that splits a batch.
 *
 * A port lends packets: `data` stays valid until the engine releases the batch
 * they came in. Everything downstream of the port refers to packets by their
 * index in that array, so a copy for a second output costs two bytes.
 * Runs on the engine thread only.
 */
#ifndef PB_BATCH_H
#define PB_BATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Where a packet's IP headers lie: its outer ones (core/parse.h) or those of
 * what it carries (core/inner.h). */
struct pb_headers {
    uint32_t l4_offset;  /* of the transport header; 0: none within captured_len, or a fragment */
    uint16_t l3_offset;  /* of the IP header */
    uint8_t ip_version;  /* 4, 6, or 0: not IP, or not whole */
    uint8_t ip_protocol; /* of the last header reached */
};

/* One packet. Filled in by the port up to link_type; the rest is computed by
 * the first brick that needs it (core/parse.h, core/hash.h). */
struct pb_packet {
    const uint8_t *data;
    uint64_t timestamp_ns; /* since 1970-01-01 00:00 UTC */
    uint32_t captured_len; /* bytes at data */
    uint32_t wire_len;     /* bytes it had on the wire */
    uint16_t link_type;    /* LINKTYPE_ number (pcap): PB_LINK_* */

    uint8_t parsed;     /* pb_parse() has run: `headers` holds */
    uint8_t hash_tuple; /* which flow_hash holds: 0 none, 2, 4, 5, or a PB_HASH_TUPLE_ below */
    struct pb_headers headers;
    uint32_t flow_hash;
};

/* LINKTYPE_ values this program knows the layout of. */
#define PB_LINK_NULL 0
#define PB_LINK_ETHERNET 1
#define PB_LINK_RAW 101
#define PB_LINK_LINUX_SLL 113
#define PB_LINK_LINUX_SLL2 276

/* Prepare the lazily computed part of a packet: every port calls this. */
static inline void pb_packet_init(struct pb_packet *packet, const uint8_t *data, uint32_t captured_len,
                                  uint32_t wire_len, uint64_t timestamp_ns, uint16_t link_type)
{
    packet->data = data;
    packet->timestamp_ns = timestamp_ns;
    packet->captured_len = captured_len;
    packet->wire_len = wire_len;
    packet->link_type = link_type;
    packet->parsed = 0;
    packet->hash_tuple = 0;
}

/* flow_hash holds a mark that an application gave the packet, until a brick wants its
 * hash: bricks that go by marks come first. A field of its own would cost every
 * packet of every engine 8 bytes. */
#define PB_HASH_TUPLE_MARK 255

static inline void pb_packet_set_mark(struct pb_packet *packet, uint32_t mark)
{
    packet->hash_tuple = PB_HASH_TUPLE_MARK;
    packet->flow_hash = mark;
}

/* flow_hash holds what the network card computed for receive-side scaling, until a brick
 * wants the hash of this program: bricks that go by the card's come first. */
#define PB_HASH_TUPLE_NIC 254

static inline void pb_packet_set_nic_hash(struct pb_packet *packet, uint32_t hash)
{
    packet->hash_tuple = PB_HASH_TUPLE_NIC;
    packet->flow_hash = hash;
}

struct pb_copies;

/* Some packets of an array, in order of arrival. An index may stand in it
 * more than once where copies have met again (Duplicator into Merge). */
struct pb_batch {
    struct pb_packet *packets;
    const uint16_t *index;
    uint32_t count;
    uint8_t owned;            /* bits: what may be changed in place (core/rewrite.h) */
    struct pb_copies *copies; /* room for changed copies of packets; theirs to use who say `rewrites` */
};

/* What goes to one output: the executor owns `index` and has made it large enough. */
struct pb_vector {
    uint16_t *index;
    uint32_t count;
};

/* Where a brick puts its decisions. */
struct pb_edge;
struct pb_outputs {
    struct pb_vector **vectors; /* one for each output */
    uint32_t count;
    uint32_t changes; /* grows when the reader of any output of the engine comes or goes */
    const struct pb_edge *edges; /* for pb_output_deserted() of engine/brick.h */
};

/* How far ahead headers are fetched: a cache miss costs about as much as this many packets. */
#define PB_PREFETCH_PACKETS 8

/* "No output": the brick has counted the packet as dropped. */
#define PB_OUTPUT_NONE UINT32_MAX

/* Send each packet of the batch to the output that `pick` returns for it.
 * `pick` is inlined: pass a static inline function, not a pointer variable. */
static inline __attribute__((always_inline)) void pb_split(void *state, const struct pb_batch *batch,
                                                           struct pb_outputs *outputs,
                                                           uint32_t (*pick)(void *state, struct pb_packet *packet))
{
    /* Copies, which no store of the loop can change, stay in registers. */
    struct pb_packet *const packets = batch->packets;
    const uint16_t *from = batch->index, *const end = from + batch->count;
    struct pb_vector *const *const vectors = outputs->vectors;
    for (; from < end; from++) {
        if (from + PB_PREFETCH_PACKETS < end)
            __builtin_prefetch(packets[from[PB_PREFETCH_PACKETS]].data);
        uint32_t output = pick(state, &packets[*from]);
        if (output == PB_OUTPUT_NONE)
            continue;
        struct pb_vector *vector = vectors[output];
        vector->index[vector->count++] = *from;
    }
}

/* Send the whole batch to one output. */
static inline void pb_forward(const struct pb_batch *batch, struct pb_outputs *outputs, uint32_t output)
{
    struct pb_vector *vector = outputs->vectors[output];
    memcpy(vector->index + vector->count, batch->index, batch->count * sizeof(batch->index[0]));
    vector->count += batch->count;
}

#endif
