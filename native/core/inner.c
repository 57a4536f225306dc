/* inner.c - see inner.h. Engine thread; pure. */
#include "inner.h"

#define UDP_BYTES 8
#define VXLAN_BYTES 8
#define GENEVE_BYTES 8
#define GTPU_BYTES 8
#define GRE_BYTES 4
#define AUTHENTICATION_BYTES 12

#define GRE_CHECKSUM 0x8000
#define GRE_ROUTING 0x4000
#define GRE_KEY 0x2000
#define GRE_SEQUENCE 0x1000
#define GRE_ACKNOWLEDGMENT 0x0080 /* version 1 */
#define GRE_VERSION 0x0007

#define GRE_ERSPAN 0x88be     /* types I and II */
#define GRE_ERSPAN_III 0x22eb
#define GRE_WCCP 0x883e

/*
 * What follows takes the cursor from behind a header that announces a tunnel to
 * the next IP header and returns its version; 0: there is none, see cursor->reason.
 */

/* Types I (no header, and GRE without sequence number), II and III of draft-foschiano-erspan. */
static uint8_t enter_erspan(struct pb_cursor *cursor, uint16_t type, bool sequence)
{
    if (type == GRE_ERSPAN_III) {
        if (!pb_cursor_has(cursor, 12))
            return 0;
        uint16_t flags = pb_be16(cursor->data + cursor->at + 10);
        uint32_t frame_type = flags >> 10 & 0x1f;
        cursor->at += flags & 1 ? 20 : 12; /* with the platform's own subheader */
        return frame_type == 0 ? pb_link_follow(cursor, PB_ETHERTYPE_BRIDGED) : frame_type == 2 ? pb_link_ip(cursor) : 0;
    }
    if (sequence)
        cursor->at += 8;
    return pb_link_follow(cursor, PB_ETHERTYPE_BRIDGED);
}

/* Version 1, PPTP's: a key that holds the payload's length, PPP. */
static uint8_t enter_gre_ppp(struct pb_cursor *cursor, uint16_t flags, uint16_t type)
{
    if (type != PB_ETHERTYPE_PPP || !(flags & GRE_KEY))
        return pb_cursor_stop(cursor, PB_INNER_MALFORMED);
    if (!(flags & GRE_SEQUENCE))
        return 0; /* an acknowledgment alone */
    uint32_t options = 4 + 4 + (flags & GRE_ACKNOWLEDGMENT ? 4 : 0);
    if (!pb_cursor_has(cursor, options))
        return 0;
    uint16_t payload = pb_be16(cursor->data + cursor->at);
    cursor->at += options;
    pb_cursor_clip(cursor, payload);
    return pb_link_follow(cursor, PB_ETHERTYPE_PPP);
}

/* RFC 2784 with the key and sequence number of RFC 2890. */
static uint8_t enter_gre(struct pb_cursor *cursor)
{
    if (!pb_cursor_has(cursor, GRE_BYTES))
        return 0;
    uint16_t flags = pb_be16(cursor->data + cursor->at), type = pb_be16(cursor->data + cursor->at + 2);
    cursor->at += GRE_BYTES;
    if ((flags & GRE_VERSION) == 1)
        return enter_gre_ppp(cursor, flags, type);
    if (flags & (GRE_ROUTING | GRE_VERSION))
        return pb_cursor_stop(cursor, PB_INNER_MALFORMED);
    cursor->at += (flags & GRE_CHECKSUM ? 4 : 0) + (flags & GRE_KEY ? 4 : 0) + (flags & GRE_SEQUENCE ? 4 : 0);
    if (type == GRE_ERSPAN || type == GRE_ERSPAN_III)
        return enter_erspan(cursor, type, flags & GRE_SEQUENCE);
    if (type == GRE_WCCP) { /* version 2 has a header of its own, which does not start as IPv4 does */
        if (pb_cursor_has(cursor, 1) && cursor->data[cursor->at] >> 4 != 4)
            cursor->at += 4;
        type = PB_ETHERTYPE_IPV4;
    }
    return pb_link_follow(cursor, type);
}

static uint8_t enter_etherip(struct pb_cursor *cursor)
{
    if (!pb_cursor_has(cursor, 2))
        return 0;
    if (cursor->data[cursor->at] >> 4 != 3)
        return pb_cursor_stop(cursor, PB_INNER_MALFORMED);
    cursor->at += 2;
    return pb_link_follow(cursor, PB_ETHERTYPE_BRIDGED);
}

static uint8_t enter_vxlan(struct pb_cursor *cursor)
{
    if (!pb_cursor_has(cursor, VXLAN_BYTES))
        return 0;
    if (!(cursor->data[cursor->at] & 0x08)) /* no valid network identifier */
        return pb_cursor_stop(cursor, PB_INNER_MALFORMED);
    cursor->at += VXLAN_BYTES;
    return pb_link_follow(cursor, PB_ETHERTYPE_BRIDGED);
}

static uint8_t enter_geneve(struct pb_cursor *cursor)
{
    if (!pb_cursor_has(cursor, GENEVE_BYTES))
        return 0;
    const uint8_t *header = cursor->data + cursor->at;
    if (header[0] >> 6 != 0)
        return pb_cursor_stop(cursor, PB_INNER_MALFORMED);
    cursor->at += GENEVE_BYTES + (header[0] & 0x3fu) * 4;
    return pb_link_follow(cursor, pb_be16(header + 2));
}

/* The extension headers that the optional fields announce: length in units of 4, ..., next type. */
static bool skip_gtpu_extensions(struct pb_cursor *cursor)
{
    uint8_t type = cursor->data[cursor->at - 1];
    while (type != 0) {
        if (!pb_cursor_has(cursor, 4))
            return false;
        uint32_t bytes = cursor->data[cursor->at] * 4u;
        if (bytes == 0)
            return pb_cursor_stop(cursor, PB_INNER_MALFORMED);
        if (!pb_cursor_has(cursor, bytes))
            return false;
        cursor->at += bytes;
        type = cursor->data[cursor->at - 1];
    }
    return true;
}

/* 3GPP TS 29.281 section 5.1. The payload's kind is not said: IP by its version, else none. */
static uint8_t enter_gtpu(struct pb_cursor *cursor)
{
    if (!pb_cursor_has(cursor, GTPU_BYTES))
        return 0;
    const uint8_t *header = cursor->data + cursor->at;
    if (header[0] >> 4 != 3) /* version 1, not the charging protocol GTP' */
        return pb_cursor_stop(cursor, PB_INNER_MALFORMED);
    if (header[1] != 255)
        return 0; /* signalling, not a G-PDU */
    cursor->at += GTPU_BYTES;
    pb_cursor_clip(cursor, pb_be16(header + 2));
    if (header[0] & 0x07) { /* sequence number, N-PDU number, next extension header */
        if (!pb_cursor_has(cursor, 4))
            return 0;
        cursor->at += 4;
        if (header[0] & 0x04 && !skip_gtpu_extensions(cursor))
            return 0;
    }
    return pb_link_ip(cursor);
}

/*
 * RFC 4380: an IPv6 packet behind an optional authentication and an optional origin
 * header. Its port alone proves little, as clients choose source ports at random: the
 * packet must fill the datagram, `stated_end` by its UDP length.
 */
static uint8_t enter_teredo(struct pb_cursor *cursor, uint32_t stated_end)
{
    if (pb_cursor_has(cursor, 4) && pb_be16(cursor->data + cursor->at) == 1) /* both lengths, nonce, confirmation */
        cursor->at += 4u + cursor->data[cursor->at + 2] + cursor->data[cursor->at + 3] + 9;
    if (pb_cursor_has(cursor, 2) && pb_be16(cursor->data + cursor->at) == 0)
        cursor->at += 8;
    if (!pb_cursor_has(cursor, 6))
        return 0;
    const uint8_t *ip = cursor->data + cursor->at;
    cursor->reason = PB_INNER_NONE;
    return cursor->at + PB_IPV6_BYTES + pb_be16(ip + 4) == stated_end ? pb_link_ip(cursor) : 0;
}

static uint8_t enter_udp(struct pb_cursor *cursor)
{
    if (!pb_cursor_has(cursor, 4) || !pb_inner_udp(cursor->data + cursor->at)) {
        cursor->reason = PB_INNER_NONE;
        return 0;
    }
    if (!pb_cursor_has(cursor, UDP_BYTES))
        return 0;
    const uint8_t *udp = cursor->data + cursor->at;
    uint16_t length = pb_be16(udp + 4);
    if (length != 0 && length < UDP_BYTES)
        return pb_cursor_stop(cursor, PB_INNER_MALFORMED);
    /* Length 0: in a jumbogram (RFC 2675), or the sender's hardware was to split it. */
    uint32_t stated_end = length == 0 ? cursor->end : cursor->at + length;
    if (length != 0)
        pb_cursor_clip(cursor, length);
    cursor->at += UDP_BYTES;
    switch (pb_be16(udp + 2)) {
    case PB_TUNNEL_PORT_VXLAN:
    case PB_TUNNEL_PORT_VXLAN_LINUX:
        return enter_vxlan(cursor);
    case PB_TUNNEL_PORT_GENEVE:
        return enter_geneve(cursor);
    case PB_TUNNEL_PORT_GTPU:
        return enter_gtpu(cursor);
    case PB_TUNNEL_PORT_GRE:
        return enter_gre(cursor);
    case PB_TUNNEL_PORT_MPLS:
        return pb_link_follow(cursor, PB_ETHERTYPE_MPLS);
    default:
        return enter_teredo(cursor, stated_end);
    }
}

/* What the datagram carries, from its upper-layer header on. */
static uint8_t enter(struct pb_cursor *cursor, const struct pb_ip *ip)
{
    cursor->reason = PB_INNER_NONE;
    cursor->at = ip->upper;
    cursor->end = ip->end;
    uint8_t protocol = ip->upper_protocol;
    if (ip->upper == 0)
        return 0;
    if (protocol == PB_PROTOCOL_AUTHENTICATION) { /* IPv4; with IPv6 it is an extension header */
        if (!pb_cursor_has(cursor, AUTHENTICATION_BYTES))
            return 0;
        protocol = cursor->data[cursor->at];
        cursor->at += (cursor->data[cursor->at + 1] + 2u) * 4;
    }
    switch (protocol) {
    case PB_PROTOCOL_IPV4:
        return pb_link_follow(cursor, PB_ETHERTYPE_IPV4);
    case PB_PROTOCOL_IPV6:
        return pb_link_follow(cursor, PB_ETHERTYPE_IPV6);
    case PB_PROTOCOL_GRE:
        return enter_gre(cursor);
    case PB_PROTOCOL_UDP:
        return enter_udp(cursor);
    case PB_PROTOCOL_ETHERIP:
        return enter_etherip(cursor);
    case PB_PROTOCOL_MPLS:
        return pb_link_follow(cursor, PB_ETHERTYPE_MPLS);
    case PB_PROTOCOL_ETHERNET:
        return pb_link_follow(cursor, PB_ETHERTYPE_BRIDGED);
    default:
        return 0;
    }
}

/* Note a fragmented datagram. False: the walk ends here. */
static bool pass_fragment(const struct pb_ip *ip, uint32_t walk, struct pb_inner *inner)
{
    const bool first = ip->fragment.at == 0 && walk & PB_INNER_FIRST_FRAGMENTS;
    inner->fragments[inner->fragments_count++] = ip->fragment;
    if (first && ip->upper != 0) {
        inner->headers.ip_protocol = ip->upper_protocol;
        inner->headers.l4_offset = ip->upper + 4 <= ip->end ? ip->upper : 0;
    } else if (walk & PB_INNER_TUNNELS && pb_inner_protocol(ip->fragment.ip_protocol)) {
        inner->reason = PB_INNER_FRAGMENT;
    }
    return first;
}

void pb_inner_find(const struct pb_packet *packet, uint32_t walk, struct pb_inner *inner)
{
    struct pb_cursor cursor = {packet->data, packet->headers.l3_offset, packet->captured_len, PB_INNER_NONE};
    uint8_t version = packet->headers.ip_version;
    inner->headers = packet->headers;
    inner->depth = 0;
    inner->reason = PB_INNER_NONE;
    inner->fragments_count = 0;
    for (uint32_t depth = 0; version != 0; depth++) {
        struct pb_ip ip;
        if (depth > PB_TUNNEL_DEPTH_MAX) {
            inner->reason = PB_INNER_TOO_DEEP;
            return;
        }
        if (!pb_ip_read(cursor.data, cursor.end, cursor.at, version, &ip)) {
            bool cut = cursor.at + (version == 4 ? PB_IPV4_BYTES : PB_IPV6_BYTES) > cursor.end;
            inner->reason = cut ? PB_INNER_TRUNCATED : PB_INNER_MALFORMED;
            return;
        }
        inner->headers = ip.headers;
        inner->depth = (uint8_t)depth;
        if (ip.fragmented && !pass_fragment(&ip, walk, inner))
            return;
        if (!(walk & PB_INNER_TUNNELS))
            return;
        version = enter(&cursor, &ip);
        inner->reason = cursor.reason;
    }
}
