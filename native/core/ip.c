/* ip.c - see ip.h. Engine thread; pure. */
#include "ip.h"

#include "bytes.h"

#define HEADER_HOP_BY_HOP 0
#define HEADER_ROUTING 43
#define HEADER_FRAGMENT 44
#define HEADER_DESTINATION 60
#define HEADER_MOBILITY 135
#define HEADER_HIP 139
#define HEADER_SHIM6 140

static void set_fragment(struct pb_ip *ip, uint32_t id, uint16_t at, bool more, uint32_t stated_bytes)
{
    ip->fragmented = true;
    ip->fragment = (struct pb_fragment){
        .id = id,
        .l3_offset = ip->headers.l3_offset,
        .at = at,
        .units = (uint16_t)((stated_bytes + 7) / 8),
        .ip_version = ip->headers.ip_version,
        .ip_protocol = ip->headers.ip_protocol,
        .more = more,
    };
}

/* The upper-layer header, if it starts within the datagram. */
static void set_upper(struct pb_ip *ip, uint8_t protocol, uint32_t offset)
{
    if (offset > ip->end)
        return;
    ip->upper_protocol = protocol;
    ip->upper = offset;
    if (!ip->fragmented && offset + 4 <= ip->end)
        ip->headers.l4_offset = offset;
}

static bool read_ipv4(const uint8_t *header, uint32_t room, struct pb_ip *ip)
{
    uint32_t header_bytes = (header[0] & 0x0fu) * 4u;
    if (room < PB_IPV4_BYTES || header_bytes < PB_IPV4_BYTES)
        return false;
    uint32_t total = pb_be16(header + 2);
    uint16_t place = pb_be16(header + 6) & 0x3fff; /* more fragments, and the offset */
    ip->headers.ip_version = 4;
    ip->headers.ip_protocol = header[9];
    /* Total length 0: the sender's hardware was to split it. Padding behind it is no header. */
    ip->end = ip->headers.l3_offset + (total == 0 || total > room ? room : total);
    if (place != 0)
        set_fragment(ip, pb_be16(header + 4), place & 0x1fff, place & 0x2000, total > header_bytes ? total - header_bytes : 0);
    if ((place & 0x1fff) == 0)
        set_upper(ip, header[9], ip->headers.l3_offset + header_bytes);
    return true;
}

static bool is_extension(uint8_t protocol)
{
    return protocol == HEADER_HOP_BY_HOP || protocol == HEADER_ROUTING || protocol == HEADER_FRAGMENT ||
           protocol == PB_PROTOCOL_AUTHENTICATION || protocol == HEADER_DESTINATION || protocol == HEADER_MOBILITY ||
           protocol == HEADER_HIP || protocol == HEADER_SHIM6;
}

static uint32_t extension_bytes(uint8_t protocol, const uint8_t *extension)
{
    return protocol == HEADER_FRAGMENT              ? 8u
           : protocol == PB_PROTOCOL_AUTHENTICATION ? (extension[1] + 2u) * 4u
                                                    : (extension[1] + 1u) * 8u;
}

/* A fragment header. True: later headers are not in this packet. */
static bool read_fragment_header(const uint8_t *extension, uint32_t offset, uint32_t stated_end, struct pb_ip *ip)
{
    uint16_t place = pb_be16(extension + 2);
    if ((place & 0xfff9) == 0 || ip->fragmented)
        return false;
    ip->headers.ip_protocol = extension[0];
    set_fragment(ip, pb_load32(extension + 4), place >> 3, place & 1, stated_end > offset + 8 ? stated_end - offset - 8 : 0);
    return place >> 3 != 0;
}

static bool read_ipv6(const uint8_t *header, uint32_t room, struct pb_ip *ip)
{
    if (room < PB_IPV6_BYTES)
        return false;
    uint32_t stated = pb_be16(header + 4);
    /* Payload length 0: a jumbogram (RFC 2675), or the sender's hardware was to split it. */
    uint32_t length = stated == 0 || PB_IPV6_BYTES + stated > room ? room : PB_IPV6_BYTES + stated;
    ip->headers.ip_version = 6;
    ip->end = ip->headers.l3_offset + length;
    uint8_t protocol = header[6];
    uint32_t at = PB_IPV6_BYTES;
    for (uint32_t i = 0; i < PB_IPV6_EXTENSIONS_MAX; i++) {
        if (!ip->fragmented)
            ip->headers.ip_protocol = protocol; /* a fragment's is the same in every one, whatever follows */
        if (!is_extension(protocol)) {
            set_upper(ip, protocol, ip->headers.l3_offset + at);
            break;
        }
        if (at + 8 > length)
            break;
        if (protocol == HEADER_FRAGMENT && read_fragment_header(header + at, at, PB_IPV6_BYTES + stated, ip))
            break;
        uint32_t bytes = extension_bytes(protocol, header + at);
        protocol = header[at];
        at += bytes;
    }
    return true;
}

bool pb_ip_read(const uint8_t *data, uint32_t length, uint32_t offset, uint8_t version, struct pb_ip *ip)
{
    ip->headers = (struct pb_headers){.l3_offset = (uint16_t)offset};
    ip->fragmented = false;
    ip->upper = 0;
    if (offset >= length || data[offset] >> 4 != version)
        return false;
    return version == 4 ? read_ipv4(data + offset, length - offset, ip) : read_ipv6(data + offset, length - offset, ip);
}
