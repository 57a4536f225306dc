/*
 * parse.h - where a packet's outer headers lie.
 *
 * pb_parse() fills in packet->headers, once. It reads nothing at or behind
 * captured_len and believes no length that a header states before it was checked
 * against that.
 *
 * The outer header is the first IP header: whatever a link puts before it (VLAN
 * tags, PPPoE, MPLS) is seen through, see link.h. So are IPv4 options and IPv6
 * extension headers (RFC 8200 section 4; at most PB_IPV6_EXTENSIONS_MAX). A
 * fragment (also the first) has no l4_offset, so that all fragments of a datagram
 * are treated alike. What an IP header carries is looked into by inner.h.
 */
#ifndef PB_PARSE_H
#define PB_PARSE_H

#include <endian.h>

#include "bytes.h"
#include "ip.h"
#include "link.h"

/* Every case; pb_parse() takes the usual one on its own. */
void pb_parse_any(struct pb_packet *packet);

/* Untagged Ethernet, IPv4 without options, not fragmented, four bytes of the
 * next header there: most packets, decided by a few loads (about 2 ns). */
static inline __attribute__((always_inline)) bool pb_packet_is_usual(const struct pb_packet *packet)
{
    const uint8_t *data = packet->data, *ip = data + PB_ETHERNET_BYTES;
    if (packet->link_type != PB_LINK_ETHERNET || packet->captured_len < PB_ETHERNET_BYTES + PB_IPV4_BYTES + 4)
        return false;
    /* The ethertype, and version and length of the header, in one look. In another: total length covers
     * the ports; flags and offset but for "don't fragment" are zero. */
    uint64_t lengths_to_protocol = be64toh(pb_load64(ip + 2));
    return (pb_load32(data + 12) & htobe32(0xffffff00)) == htobe32(PB_ETHERTYPE_IPV4 << 16 | 0x4500) &&
           lengths_to_protocol >= (uint64_t)(PB_IPV4_BYTES + 4) << 48 && (lengths_to_protocol & 0x3fff << 16) == 0;
}

/* The headers of such a packet. Who needs no others may leave the packet unparsed: to find
 * them again costs less than to write them down. */
static inline __attribute__((always_inline)) struct pb_headers pb_headers_usual(const struct pb_packet *packet)
{
    return (struct pb_headers){.l4_offset = PB_ETHERNET_BYTES + PB_IPV4_BYTES,
                               .l3_offset = PB_ETHERNET_BYTES,
                               .ip_version = 4,
                               .ip_protocol = packet->data[PB_ETHERNET_BYTES + 9]};
}

static inline __attribute__((always_inline)) void pb_parse(struct pb_packet *packet)
{
    if (packet->parsed)
        return;
    if (!pb_packet_is_usual(packet)) {
        pb_parse_any(packet);
        return;
    }
    packet->headers = pb_headers_usual(packet);
    packet->parsed = 1;
}

#endif
