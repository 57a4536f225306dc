/* hash.c - see hash.h. Engine thread; pure. */
#include "hash.h"

static uint32_t hash_ipv6(const struct pb_packet *packet, uint32_t tuple)
{
    const uint8_t *addresses = packet->data + packet->headers.l3_offset + 8;
    uint64_t source = pb_hash_mum(pb_load64(addresses) ^ PB_HASH_K2, pb_load64(addresses + 8) ^ PB_HASH_K3);
    uint64_t destination = pb_hash_mum(pb_load64(addresses + 16) ^ PB_HASH_K2, pb_load64(addresses + 24) ^ PB_HASH_K3);
    uint64_t salt = 6;
    if (tuple == 4) {
        salt |= (uint64_t)packet->headers.ip_protocol << 8;
        if (packet->headers.l4_offset != 0 && pb_protocol_has_ports(packet->headers.ip_protocol)) {
            uint32_t ports = pb_load32(packet->data + packet->headers.l4_offset);
            source += (ports & 0xffff) * PB_HASH_K4;
            destination += (ports >> 16) * PB_HASH_K4;
        }
    }
    return pb_hash_endpoints(source, destination, salt);
}

uint32_t pb_hash_any(const struct pb_packet *packet, uint32_t tuple)
{
    if (packet->headers.ip_version == 6)
        return hash_ipv6(packet, tuple);
    if (packet->link_type != PB_LINK_ETHERNET || packet->captured_len < PB_ETHERNET_BYTES)
        return 0;
    const uint8_t *data = packet->data;
    uint64_t destination = (uint64_t)pb_be16(data) << 32 | pb_load32(data + 2);
    uint64_t source = (uint64_t)pb_be16(data + 6) << 32 | pb_load32(data + 8);
    return pb_hash_endpoints(source, destination, 0);
}
