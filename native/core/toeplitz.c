/* toeplitz.c - see toeplitz.h. Engine thread; pure. */
#include "toeplitz.h"

/* IPv4 headers in IPv4 headers that are followed. */
#define IPIP_DEPTH_MAX 8

uint32_t pb_toeplitz_hash(uint32_t word)
{
    uint32_t hash = 0;
    for (uint32_t place = 0; place < 16; place++)
        if (word << place & 0x8000)
            hash ^= (PB_TOEPLITZ_KEY << place | PB_TOEPLITZ_KEY >> (16 - place)) & 0xffff;
    return hash * PB_TOEPLITZ_TWICE;
}

/* The exclusive or of the words of both addresses. */
static uint32_t fold_addresses(const uint8_t *data, const struct pb_headers *headers)
{
    const uint8_t *ip = data + headers->l3_offset;
    if (headers->ip_version == 4)
        return pb_toeplitz_fold(pb_load32(ip + 12) ^ pb_load32(ip + 16));
    uint64_t words = pb_load64(ip + 8) ^ pb_load64(ip + 16) ^ pb_load64(ip + 24) ^ pb_load64(ip + 32);
    return pb_toeplitz_fold((uint32_t)(words ^ words >> 32));
}

static uint32_t fold_macs(const struct pb_packet *packet)
{
    const uint8_t *data = packet->data;
    if (packet->link_type != PB_LINK_ETHERNET || packet->captured_len < PB_ETHERNET_BYTES)
        return 0;
    /* packet-bricks swaps their bytes once more than those of IP addresses. */
    return __builtin_bswap16(pb_be16(data + 2) ^ pb_be16(data + 4) ^ pb_be16(data + 8) ^ pb_be16(data + 10));
}

/* The innermost headers of IPv4 in IPv4, as far as they are whole. */
static struct pb_headers follow_ipip(const struct pb_packet *packet, struct pb_headers headers)
{
    struct pb_ip ip;
    for (uint32_t i = 0; i < IPIP_DEPTH_MAX && headers.ip_protocol == PB_PROTOCOL_IPV4; i++) {
        if (headers.l4_offset == 0 || headers.l4_offset > UINT16_MAX ||
            !pb_ip_read(packet->data, packet->captured_len, headers.l4_offset, 4, &ip))
            break;
        headers = ip.headers;
    }
    return headers;
}

uint32_t pb_toeplitz_word(const struct pb_packet *packet, const struct pb_headers *headers, uint32_t tuple, uint32_t level)
{
    const uint8_t *data = packet->data;
    const uint32_t no_ports = pb_toeplitz_no_ports(level);
    if (headers->ip_version == 0)
        return (fold_macs(packet) ^ no_ports) & 0xffff;
    struct pb_headers inner = headers->ip_version == 4 && tuple != 2 ? follow_ipip(packet, *headers) : *headers;
    bool ports = tuple != 2 && pb_toeplitz_has_ports(&inner);
    uint32_t word = fold_addresses(data, &inner) ^ (tuple == 5 ? inner.ip_protocol : 0);
    word ^= ports ? pb_toeplitz_ports(data + inner.l4_offset, level) : no_ports;
    return word & 0xffff;
}
