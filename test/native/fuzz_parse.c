/*
 * fuzz_parse.c - libFuzzer target: header parsing, flow hash and Toeplitz hash over any bytes.
 *
 * The first byte chooses the link type, the rest is the packet, in memory that
 * ends with it, so that a read behind captured_len is found.
 */
#include <stdlib.h>

#include "core/hash.h"
#include "core/rss_hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint16_t link_types[] = {PB_LINK_ETHERNET, PB_LINK_RAW, PB_LINK_NULL, PB_LINK_LINUX_SLL,
                                          PB_LINK_LINUX_SLL2, 9999};
    if (size == 0)
        return 0;
    uint32_t length = (uint32_t)size - 1;
    uint8_t *bytes = malloc(length + (length == 0));
    memcpy(bytes, data + 1, length);
    struct pb_packet packet, again;
    pb_packet_init(&packet, bytes, length, length, 0, link_types[data[0] % 6]);
    again = packet;
    uint32_t hash2 = pb_flow_hash(&packet, 2);
    uint32_t hash4 = pb_flow_hash(&packet, 4);
    pb_parse(&packet);
    if (packet.headers.ip_version == 4)
        require(packet.headers.l3_offset + 20u <= length);
    if (packet.headers.ip_version == 6)
        require(packet.headers.l3_offset + 40u <= length);
    if (packet.headers.l4_offset != 0)
        require(packet.headers.l4_offset + 4 <= length && packet.headers.l4_offset > packet.headers.l3_offset);
    pb_rss_prepare();
    uint32_t addresses = pb_rss_hash(&packet, 2), ports = pb_rss_hash(&packet, 4);
    require(packet.headers.ip_version != 0 || (addresses == 0 && ports == 0));
    require(packet.headers.l4_offset != 0 || addresses == ports);
    /* The usual case taken on its own agrees with every case. */
    pb_parse_any(&again);
    require(again.headers.ip_version == packet.headers.ip_version && again.headers.ip_protocol == packet.headers.ip_protocol);
    require(again.headers.l3_offset == packet.headers.l3_offset && again.headers.l4_offset == packet.headers.l4_offset);
    require(pb_flow_hash(&again, 4) == hash4 && pb_flow_hash(&again, 2) == hash2);
    if (again.headers.ip_version != 0)
        require(pb_hash_headers(bytes, &again.headers, 4) == hash4);
    for (uint32_t outputs = 1; outputs < 1024; outputs = outputs * 2 + 1)
        require(pb_hash_output(hash4, data[0] % 4, outputs) < outputs);
    free(bytes);
    return 0;
}
