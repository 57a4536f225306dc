/*
 * inner_headers.c - prints what core/inner.h and core/flow.h make of each packet of a
 * capture, for the comparison with tshark in inner_headers.test.ts. Standard input is a pcap
 * file, little-endian, in nanoseconds. One line a packet:
 *
 *   VERSION PROTOCOL SOURCE DESTINATION SPORT DPORT DEPTH HASH KEPT_OUTER KEPT_INNER
 *
 * the innermost headers (first fragments seen through; addresses in hexadecimal, ports 0 where
 * there are none), the flow hash by them, and the flow hash with fragments kept, by the outer
 * and by the innermost headers. The 4-tuple throughout.
 */
#include <inttypes.h>

#include "check.h"
#include "core/flow.h"

#define FILE_HEADER 24
#define RECORD_HEADER 16
#define BATCH 64

static void print_address(const uint8_t *bytes, uint32_t count)
{
    putchar(' ');
    for (uint32_t i = 0; i < count; i++)
        printf("%02x", bytes[i]);
}

static void print_headers(struct pb_packet *packet)
{
    struct pb_inner inner;
    pb_inner_find(packet, PB_INNER_TUNNELS | PB_INNER_FIRST_FRAGMENTS, &inner);
    const struct pb_headers *headers = &inner.headers;
    const uint8_t *addresses = packet->data + headers->l3_offset + (headers->ip_version == 4 ? 12 : 8);
    const uint8_t *ports = packet->data + headers->l4_offset;
    const bool has_ports = headers->l4_offset != 0 && pb_protocol_has_ports(headers->ip_protocol);
    const uint32_t bytes = headers->ip_version == 4 ? 4 : headers->ip_version == 6 ? 16 : 0;
    printf("%u %u", headers->ip_version, headers->ip_protocol);
    print_address(addresses, bytes);
    print_address(addresses + bytes, bytes);
    printf(" %u %u %u %08" PRIx32, has_ports ? pb_be16(ports) : 0, has_ports ? pb_be16(ports + 2) : 0, inner.depth,
           bytes == 0 ? 0 : pb_hash_headers(packet->data, headers, 4));
}

static struct pb_flow make_flow(bool inner)
{
    static pb_counter counters[PB_FLOW_COUNTERS];
    struct pb_flow flow = {.tuple = 4, .inner = inner, .counters = counters};
    CHECK_EQUAL(pb_fragments_open(&flow.fragments, PB_FRAGMENTS_DEFAULT, NULL), 0);
    return flow;
}

/* The next packet; its bytes are its own, so that a sanitizer finds a read behind them. */
static bool read_packet(uint16_t link_type, struct pb_packet *packet)
{
    uint8_t header[RECORD_HEADER];
    if (fread(header, 1, sizeof(header), stdin) != sizeof(header))
        return false;
    uint32_t length = pb_load32(header + 8);
    uint8_t *bytes = malloc(length + (length == 0));
    CHECK(fread(bytes, 1, length, stdin) == length);
    pb_packet_init(packet, bytes, length, pb_load32(header + 12), pb_load32(header) * 1000000000ULL + pb_load32(header + 4), link_type);
    return true;
}

int main(void)
{
    uint8_t header[FILE_HEADER];
    uint16_t index[BATCH];
    struct pb_packet packets[BATCH];
    struct pb_flow outer = make_flow(false), inner = make_flow(true);
    CHECK(fread(header, 1, sizeof(header), stdin) == sizeof(header) && pb_load32(header) == 0xa1b23c4d);
    for (uint32_t count = BATCH; count == BATCH;) {
        for (count = 0; count < BATCH && read_packet((uint16_t)pb_load32(header + 20), &packets[count]); count++)
            index[count] = (uint16_t)count;
        struct pb_batch batch = {packets, index, count};
        pb_flow_begin(&outer, &batch);
        pb_flow_begin(&inner, &batch);
        for (uint32_t i = 0; i < count; i++) {
            pb_parse(&packets[i]);
            print_headers(&packets[i]);
            printf(" %08" PRIx32, pb_flow_hashes(&outer, &packets[i]).split);
            printf(" %08" PRIx32 "\n", pb_flow_hashes(&inner, &packets[i]).split);
        }
        for (uint32_t i = 0; i < count; i++)
            free((void *)(uintptr_t)packets[i].data);
    }
    pb_fragments_close(outer.fragments);
    pb_fragments_close(inner.fragments);
    return 0;
}
