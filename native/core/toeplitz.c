/* toeplitz.c - see toeplitz.h. Engine thread; pure. */
#include "toeplitz.h"

/* IPv4 headers in IPv4 headers that are followed. */
#define IPIP_DEPTH_MAX 8

/* T of the byte b: the exclusive or of the key rotated left by i, for each bit i that is set; bit 0 is the highest. */
#define ROTATED(i) (PB_TOEPLITZ_KEY << (i) | PB_TOEPLITZ_KEY >> (16 - (i)))
#define BIT(b, i) ((b) >> (7 - (i)) & 1 ? ROTATED(i) : 0)
#define T1(b) (uint16_t)(BIT(b, 0) ^ BIT(b, 1) ^ BIT(b, 2) ^ BIT(b, 3) ^ BIT(b, 4) ^ BIT(b, 5) ^ BIT(b, 6) ^ BIT(b, 7))
#define T4(b) T1(b), T1((b) + 1), T1((b) + 2), T1((b) + 3)
#define T16(b) T4(b), T4((b) + 4), T4((b) + 8), T4((b) + 12)
#define T64(b) T16(b), T16((b) + 16), T16((b) + 32), T16((b) + 48)

const uint16_t pb_toeplitz_bytes[256] = {T64(0), T64(64), T64(128), T64(192)};

/* The exclusive or of the words of both addresses. */
static uint32_t fold_addresses(const uint8_t *data, const struct pb_headers *headers)
{
    if (headers->ip_version == 4)
        return pb_toeplitz_fold(pb_load64(data + headers->l3_offset + 12));
    const uint8_t *addresses = data + headers->l3_offset + 8;
    return pb_toeplitz_fold(pb_load64(addresses) ^ pb_load64(addresses + 8) ^ pb_load64(addresses + 16) ^
                            pb_load64(addresses + 24));
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
    for (uint32_t i = 0; i < IPIP_DEPTH_MAX && headers.ip_protocol == PB_PROTOCOL_IPIP && headers.l4_offset != 0; i++) {
        uint32_t from = headers.l4_offset;
        struct pb_packet inside;
        pb_packet_init(&inside, packet->data + from, packet->captured_len - from, packet->captured_len - from, 0,
                       PB_LINK_RAW);
        pb_parse(&inside);
        if (inside.headers.ip_version != 4 || from > UINT16_MAX)
            break;
        headers = inside.headers;
        headers.l3_offset = (uint16_t)from;
        headers.l4_offset += headers.l4_offset != 0 ? from : 0;
    }
    return headers;
}

uint32_t pb_toeplitz_headers(const struct pb_packet *packet, const struct pb_headers *headers, uint32_t tuple,
                             uint32_t level)
{
    const uint8_t *data = packet->data;
    if (headers->ip_version == 0) {
        const struct pb_headers none = {0};
        return pb_toeplitz_word(fold_macs(packet) ^ pb_toeplitz_ports(data, &none, tuple, level));
    }
    struct pb_headers inner = headers->ip_version == 4 && tuple != 2 ? follow_ipip(packet, *headers) : *headers;
    uint32_t words = fold_addresses(data, &inner) ^ pb_toeplitz_ports(data, &inner, tuple, level);
    return pb_toeplitz_word(words ^ (tuple == 5 ? inner.ip_protocol : 0));
}
