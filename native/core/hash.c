/* hash.c - see hash.h. Engine thread; pure. */
#include "hash.h"

static uint32_t hash_ipv6(const uint8_t *data, const struct pb_headers *headers, uint32_t tuple)
{
    const uint8_t *addresses = data + headers->l3_offset + 8;
    uint64_t source = pb_hash_mum(pb_load64(addresses) ^ PB_HASH_K2, pb_load64(addresses + 8) ^ PB_HASH_K3);
    uint64_t destination = pb_hash_mum(pb_load64(addresses + 16) ^ PB_HASH_K2, pb_load64(addresses + 24) ^ PB_HASH_K3);
    if (pb_hash_has_ports(headers, tuple)) {
        source += pb_load16(data + headers->l4_offset) * PB_HASH_K4;
        destination += pb_load16(data + headers->l4_offset + 2) * PB_HASH_K4;
    }
    return pb_hash_endpoints(source, destination, pb_hash_salt(headers, tuple));
}

static uint32_t hash_macs(const uint8_t *data)
{
    uint64_t destination = (uint64_t)pb_be16(data) << 32 | pb_load32(data + 2);
    uint64_t source = (uint64_t)pb_be16(data + 6) << 32 | pb_load32(data + 8);
    return pb_hash_endpoints(source, destination, 0);
}

uint32_t pb_hash_headers(const uint8_t *data, const struct pb_headers *headers, uint32_t tuple)
{
    return headers->ip_version == 4 ? pb_hash_ipv4(data, headers, tuple) : hash_ipv6(data, headers, tuple);
}

uint32_t pb_hash_any(struct pb_packet *packet, uint32_t tuple)
{
    pb_parse(packet);
    if (packet->headers.ip_version != 0)
        return pb_hash_headers(packet->data, &packet->headers, tuple);
    bool has_macs = packet->link_type == PB_LINK_ETHERNET && packet->captured_len >= PB_ETHERNET_BYTES;
    return has_macs ? hash_macs(packet->data) : 0;
}
