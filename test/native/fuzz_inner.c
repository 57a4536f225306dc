/*
 * fuzz_inner.c - libFuzzer target: innermost headers and kept fragments over any packets.
 *
 * The input is read as a little-endian pcap file, whatever its magic number, so that captures
 * are seeds that mean something; the first bytes, which nothing needs, choose the options. Each
 * packet is in memory that ends with it, so that a read behind captured_len is found.
 */
#include <stdlib.h>

#include "core/flow.h"

#define FILE_HEADER 24
#define RECORD_HEADER 16
#define PACKETS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check_inner(const struct pb_packet *packet, uint32_t walk)
{
    struct pb_inner inner;
    pb_inner_find(packet, walk, &inner);
    const struct pb_headers *headers = &inner.headers;
    require(inner.depth <= PB_TUNNEL_DEPTH_MAX && inner.reason < PB_INNER_REASONS && inner.fragments_count <= inner.depth + 1);
    require(inner.depth == 0 || pb_inner_possible(packet->data, &packet->headers));
    for (uint32_t i = 0; i < inner.fragments_count; i++)
        require(i + 1 == inner.fragments_count || inner.fragments[i].at == 0);
    if (headers->ip_version != 0)
        require(headers->l3_offset + (headers->ip_version == 4 ? 20u : 40u) <= packet->captured_len);
    if (headers->l4_offset != 0)
        require(headers->l4_offset > headers->l3_offset && headers->l4_offset + 4 <= packet->captured_len);
}

/* The packets of the file; returns how many. */
static uint32_t read_packets(const uint8_t *data, size_t size, struct pb_packet *packets)
{
    uint32_t count = 0;
    for (size_t at = FILE_HEADER; count < PACKETS_MAX && size - at >= RECORD_HEADER;) {
        uint32_t stated = pb_load32(data + at + 8), time = pb_load32(data + at);
        at += RECORD_HEADER;
        uint32_t length = stated < size - at ? stated : (uint32_t)(size - at);
        uint8_t *bytes = malloc(length + (length == 0));
        memcpy(bytes, data + at, length);
        pb_packet_init(&packets[count++], bytes, length, length, time * 1000000000ULL, pb_be16((const uint8_t[]){data[21], data[20]}));
        at += length;
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pb_packet packets[PACKETS_MAX];
    uint16_t index[PACKETS_MAX];
    pb_counter counters[PB_FLOW_COUNTERS] = {0};
    if (size < FILE_HEADER)
        return 0;
    struct pb_flow flow = {.tuple = data[0] & 1 ? 2 : 4, .inner = (data[0] & 2) == 0, .counters = counters};
    if ((data[0] & 8) == 0)
        require(pb_fragments_open(&flow.fragments, PB_FRAGMENTS_MIN, NULL) == 0);
    uint32_t count = read_packets(data, size, packets);
    for (uint32_t i = 0; i < count; i++)
        index[i] = (uint16_t)i;
    struct pb_batch batch = {packets, index, count};
    pb_flow_begin(&flow, &batch);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t hash = pb_flow_hashes(&flow, &packets[i]).split;
        pb_parse(&packets[i]); /* the usual ones are hashed without */
        for (uint32_t walk = 0; walk < 4; walk++)
            check_inner(&packets[i], walk);
        /* A packet that neither option concerns is hashed as without them. */
        const struct pb_headers *headers = &packets[i].headers;
        bool is_fragment = flow.fragments != NULL && headers->l4_offset == 0 && headers->ip_version != 0;
        if (!is_fragment && !(flow.inner && pb_inner_possible(packets[i].data, headers)))
            require(hash == pb_flow_hash(&packets[i], flow.tuple));
    }
    for (uint32_t i = 0; i < count; i++)
        free((void *)(uintptr_t)packets[i].data);
    pb_fragments_close(flow.fragments);
    return 0;
}
