/* toeplitz.c - see toeplitz.h. Engine thread; pure. */
#include "toeplitz.h"

/* IPv4 headers in IPv4 headers that are followed. */
#define IPIP_DEPTH_MAX 8

/* The key rotated left by i, twice. */
#define ROTATED(i) (((PB_TOEPLITZ_KEY << (i) & 0xffff) | PB_TOEPLITZ_KEY >> (16 - (i))) * PB_TOEPLITZ_TWICE)
/* The hash of the byte b whose highest bit is at place p: for each bit that is set, the key from there on. */
#define BIT(b, p, i) ((b) >> (7 - (i)) & 1 ? ROTATED((p) + (i)) : 0)
#define BYTE(b, p)                                                                                                     \
    BIT(b, p, 0) ^ BIT(b, p, 1) ^ BIT(b, p, 2) ^ BIT(b, p, 3) ^ BIT(b, p, 4) ^ BIT(b, p, 5) ^ BIT(b, p, 6) ^ BIT(b, p, 7)
#define BYTES_4(b, p) BYTE(b, p), BYTE((b) + 1, p), BYTE((b) + 2, p), BYTE((b) + 3, p)
#define BYTES_16(b, p) BYTES_4(b, p), BYTES_4((b) + 4, p), BYTES_4((b) + 8, p), BYTES_4((b) + 12, p)
#define BYTES_64(b, p) BYTES_16(b, p), BYTES_16((b) + 16, p), BYTES_16((b) + 32, p), BYTES_16((b) + 48, p)
#define BYTES_256(p) BYTES_64(0, p), BYTES_64(64, p), BYTES_64(128, p), BYTES_64(192, p)

const uint32_t pb_toeplitz_high[256] = {BYTES_256(0)};
const uint32_t pb_toeplitz_low[256] = {BYTES_256(8)};

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
    struct pb_ip ip;
    for (uint32_t i = 0; i < IPIP_DEPTH_MAX && headers.ip_protocol == PB_PROTOCOL_IPV4; i++) {
        if (headers.l4_offset == 0 || headers.l4_offset > UINT16_MAX ||
            !pb_ip_read(packet->data, packet->captured_len, headers.l4_offset, 4, &ip))
            break;
        headers = ip.headers;
    }
    return headers;
}

uint32_t pb_toeplitz_headers(const struct pb_packet *packet, const struct pb_headers *headers, uint32_t tuple,
                             uint32_t level)
{
    const uint8_t *data = packet->data;
    const uint32_t no_ports = (PB_TOEPLITZ_NO_SOURCE_PORT + level) ^ (PB_TOEPLITZ_NO_DESTINATION_PORT + level);
    if (headers->ip_version == 0)
        return pb_toeplitz_word(fold_macs(packet) ^ no_ports);
    struct pb_headers inner = headers->ip_version == 4 && tuple != 2 ? follow_ipip(packet, *headers) : *headers;
    bool ports = tuple != 2 && pb_toeplitz_has_ports(&inner);
    uint32_t words = fold_addresses(data, &inner);
    words ^= ports ? pb_toeplitz_ports(pb_load32(data + inner.l4_offset), level) : no_ports;
    return pb_toeplitz_word(words ^ (tuple == 5 ? inner.ip_protocol : 0));
}
