/*
 * inner_headers.c - prints what core/inner.h and core/flow.h make of each packet of a
 * capture, for the comparison with tshark in inner.test.ts. One line a packet:
 *
 *   VERSION PROTOCOL SOURCE DESTINATION SPORT DPORT DEPTH REASON HASH KEPT_OUTER KEPT_INNER
 *
 * the innermost headers (first fragments seen through; addresses in hexadecimal, ports 0 where
 * there are none), the flow hash by them, and the flow hash with fragments kept, by the outer
 * and by the innermost headers. The 4-tuple throughout.
 */
#include <inttypes.h>

#include "check.h"
#include "core/flow.h"
#include "ports/port.h"

#define BATCH 64
#define COUNTERS_MAX 64

static void print_address(const uint8_t *bytes, uint32_t count)
{
    putchar(' ');
    for (uint32_t i = 0; i < count; i++)
        printf("%02x", bytes[i]);
}

static void print_headers(const struct pb_packet *packet)
{
    struct pb_inner inner;
    pb_inner_find(packet, PB_INNER_TUNNELS | PB_INNER_FIRST_FRAGMENTS, &inner);
    const struct pb_headers *headers = &inner.headers;
    const uint8_t *ip = packet->data + headers->l3_offset, *ports = packet->data + headers->l4_offset;
    const bool has_ports = headers->l4_offset != 0 && pb_protocol_has_ports(headers->ip_protocol);
    const uint32_t bytes = headers->ip_version == 4 ? 4 : headers->ip_version == 6 ? 16 : 0;
    printf("%u %u", headers->ip_version, headers->ip_protocol);
    print_address(headers->ip_version == 4 ? ip + 12 : ip + 8, bytes);
    print_address((headers->ip_version == 4 ? ip + 12 : ip + 8) + bytes, bytes);
    printf(" %u %u %u %s", has_ports ? pb_be16(ports) : 0, has_ports ? pb_be16(ports + 2) : 0, inner.depth,
           pb_inner_reason_texts[inner.reason].name);
    struct pb_packet copy = *packet;
    printf(" %08x", headers->ip_version == 0 ? pb_flow_hash(&copy, 4) : pb_hash_headers(packet->data, headers, 4));
}

static struct pb_flow make_flow(bool inner, pb_counter *counters)
{
    struct pb_flow flow = {.tuple = 4, .inner = inner, .counters = counters};
    struct pb_error error;
    CHECK_EQUAL(pb_fragments_open(&flow.fragments, PB_FRAGMENTS_DEFAULT, &error), 0);
    return flow;
}

int main(int argc, char **argv)
{
    static pb_counter port_counters[COUNTERS_MAX], flow_counters[PB_FLOW_COUNTERS];
    CHECK_EQUAL(argc, 2);
    char options[] = "";
    struct pb_port port = {.driver = pb_port_driver_find("pcap"), .role = PB_PORT_INPUT, .name = argv[1], .options = options,
                           .queue_id = -1, .counters = port_counters, .batch_packets = BATCH};
    struct pb_error error;
    if (port.driver->open(&port, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    struct pb_flow flows[] = {make_flow(false, flow_counters), make_flow(true, flow_counters)};
    uint16_t index[BATCH];
    struct pb_packet packets[BATCH];
    for (uint32_t i = 0; i < BATCH; i++)
        index[i] = (uint16_t)i;
    while (!port.exhausted) {
        struct pb_batch batch = {packets, index, port.driver->rx_batch(&port, packets, BATCH)};
        for (uint32_t f = 0; f < 2; f++)
            pb_flow_begin(&flows[f], &batch);
        for (uint32_t i = 0; i < batch.count; i++) {
            pb_parse(&packets[i]);
            print_headers(&packets[i]);
            printf(" %08" PRIx32, pb_flow_hash_with(&flows[0], &packets[i]));
            printf(" %08" PRIx32 "\n", pb_flow_hash_with(&flows[1], &packets[i]));
        }
        if (port.driver->rx_release != NULL)
            port.driver->rx_release(&port);
    }
    port.driver->close(&port);
    for (uint32_t f = 0; f < 2; f++)
        pb_fragments_close(flows[f].fragments);
    return 0;
}
