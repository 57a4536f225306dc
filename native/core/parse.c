/* parse.c - see parse.h. Engine thread; pure. */
#include "parse.h"

#define TPID_8021Q 0x8100
#define TPID_8021AD 0x88a8
#define TPID_QINQ_9100 0x9100
#define TPID_QINQ_9200 0x9200

#define SLL_BYTES 16
#define SLL2_BYTES 20

#define HEADER_HOP_BY_HOP 0
#define HEADER_ROUTING 43
#define HEADER_FRAGMENT 44
#define HEADER_AUTHENTICATION 51
#define HEADER_DESTINATION 60
#define HEADER_MOBILITY 135
#define HEADER_HIP 139
#define HEADER_SHIM6 140

static bool is_vlan(uint16_t ethertype)
{
    return ethertype == TPID_8021Q || ethertype == TPID_8021AD || ethertype == TPID_QINQ_9100 ||
           ethertype == TPID_QINQ_9200;
}

/* IPv4 or IPv6 by the version nibble; for links that carry IP and nothing else. */
static uint16_t ethertype_of_ip(const uint8_t *data, uint32_t length, uint32_t offset)
{
    if (offset >= length)
        return 0;
    uint8_t version = data[offset] >> 4;
    return version == 4 ? PB_ETHERTYPE_IPV4 : version == 6 ? PB_ETHERTYPE_IPV6 : 0;
}

/* The ethertype behind the link header, and the offset of what follows it; 0: none known. */
static uint16_t parse_link(const struct pb_packet *packet, uint32_t *offset)
{
    const uint8_t *data = packet->data;
    uint32_t length = packet->captured_len;
    uint32_t type_at;
    switch (packet->link_type) {
    case PB_LINK_ETHERNET:
        type_at = 12;
        *offset = PB_ETHERNET_BYTES;
        break;
    case PB_LINK_LINUX_SLL:
        type_at = 14;
        *offset = SLL_BYTES;
        break;
    case PB_LINK_LINUX_SLL2:
        type_at = 0;
        *offset = SLL2_BYTES;
        break;
    case PB_LINK_RAW:
        *offset = 0;
        return ethertype_of_ip(data, length, *offset);
    case PB_LINK_NULL: /* an address family in the writer's byte order, which differs between systems */
        *offset = 4;
        return ethertype_of_ip(data, length, *offset);
    default:
        return 0;
    }
    if (length < *offset)
        return 0;
    uint16_t ethertype = pb_be16(data + type_at);
    while (is_vlan(ethertype)) {
        if (length - *offset < 4)
            return 0;
        ethertype = pb_be16(data + *offset + 2);
        *offset += 4;
    }
    return ethertype;
}

static void parse_ipv4(struct pb_packet *packet, uint32_t l3)
{
    const uint8_t *ip = packet->data + l3;
    uint32_t room = packet->captured_len - l3;
    if (room < PB_IPV4_BYTES || ip[0] >> 4 != 4)
        return;
    uint32_t header = (ip[0] & 0x0fu) * 4u;
    uint32_t total = pb_be16(ip + 2);
    if (header < PB_IPV4_BYTES)
        return;
    packet->headers.ip_version = 4;
    packet->headers.ip_protocol = ip[9];
    packet->headers.l3_offset = (uint16_t)l3;
    /* Total length 0: the sender's hardware was to split it. Padding behind it is no header. */
    uint32_t end = total == 0 || total > room ? room : total;
    bool fragment = (pb_be16(ip + 6) & 0x3fff) != 0;
    if (!fragment && header + 4 <= end)
        packet->headers.l4_offset = l3 + header;
}

static void parse_ipv6(struct pb_packet *packet, uint32_t l3)
{
    const uint8_t *ip = packet->data + l3;
    uint32_t room = packet->captured_len - l3;
    if (room < PB_IPV6_BYTES || ip[0] >> 4 != 6)
        return;
    uint32_t payload = pb_be16(ip + 4);
    /* Payload length 0: a jumbogram (RFC 2675), or the sender's hardware was to split it. */
    uint32_t end = payload == 0 || PB_IPV6_BYTES + payload > room ? room : PB_IPV6_BYTES + payload;
    packet->headers.ip_version = 6;
    packet->headers.l3_offset = (uint16_t)l3;
    uint8_t protocol = ip[6];
    uint32_t at = PB_IPV6_BYTES;
    for (uint32_t i = 0; i < PB_IPV6_EXTENSIONS_MAX; i++) {
        packet->headers.ip_protocol = protocol;
        bool extension = protocol == HEADER_HOP_BY_HOP || protocol == HEADER_ROUTING || protocol == HEADER_FRAGMENT ||
                         protocol == HEADER_AUTHENTICATION || protocol == HEADER_DESTINATION ||
                         protocol == HEADER_MOBILITY || protocol == HEADER_HIP || protocol == HEADER_SHIM6;
        if (!extension) {
            if (at + 4 <= end)
                packet->headers.l4_offset = l3 + at;
            return;
        }
        if (at + 8 > end)
            return;
        uint32_t bytes = protocol == HEADER_FRAGMENT         ? 8u
                         : protocol == HEADER_AUTHENTICATION ? (ip[at + 1] + 2u) * 4u
                                                             : (ip[at + 1] + 1u) * 8u;
        bool fragment = protocol == HEADER_FRAGMENT && (pb_be16(ip + at + 2) & 0xfff9) != 0;
        protocol = ip[at];
        at += bytes;
        if (fragment) {
            packet->headers.ip_protocol = protocol; /* the same in every fragment, whatever follows */
            return;
        }
    }
}

void pb_parse_any(struct pb_packet *packet)
{
    packet->parsed = 1;
    packet->headers.ip_version = 0;
    packet->headers.ip_protocol = 0;
    packet->headers.l3_offset = 0;
    packet->headers.l4_offset = 0;
    uint32_t offset;
    uint16_t ethertype = parse_link(packet, &offset);
    /* l3_offset is 16 bits wide: no link header with tags is longer in any sane packet. */
    if (ethertype == 0 || offset > UINT16_MAX)
        return;
    if (ethertype == PB_ETHERTYPE_IPV4)
        parse_ipv4(packet, offset);
    else if (ethertype == PB_ETHERTYPE_IPV6)
        parse_ipv6(packet, offset);
}
