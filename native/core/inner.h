/*
 * inner.h - the innermost IP headers of a packet, seen through tunnels.
 *
 * For bricks that split by what a tunnel carries (LoadBalancer's
 * `tunnel = "inner"`), on the engine thread. Everything is on the caller's
 * stack; nothing at or behind captured_len is read.
 *
 * Seen through, in any order and mixture, also with VLAN tags inside:
 *   IP in IP        4in4, 4in6, 6in4, 6in6 (protocols 4 and 41), also behind an
 *                   authentication or routing header; EtherIP (RFC 3378); Ethernet
 *                   (protocol 143 of RFC 8986)
 *   GRE             RFC 2784 and 2890: checksum, key, sequence number; version 1
 *                   of PPTP (RFC 2637) with PPP; transparent Ethernet (NVGRE);
 *                   WCCP's redirected packets; in UDP to 4754 (RFC 8086)
 *   ERSPAN          types I, II and III
 *   VXLAN           UDP to 4789 or 8472; Geneve: UDP to 6081, any options
 *   GTP-U           UDP to 2152, extension headers; G-PDU alone carries packets
 *   Teredo          UDP from or to 3544, authentication and origin headers
 *   MPLS            in IP (RFC 4023), GRE or UDP to 6635; as on a link: parse.h
 *   PPPoE           sessions inside a tunnel; as on a link: parse.h
 * L2TP and what is encrypted are not. The IP header that an ICMP error quotes
 * is no tunnel.
 *
 * Falling back: where the walk cannot go on, the deepest IP headers reached
 * whole are the result, with the reason. So the result is at worst the outer
 * headers, and a packet without a tunnel has its outer headers as ever.
 */
#ifndef PB_INNER_H
#define PB_INNER_H

#include "parse.h"

/* IP headers inside IP headers that are seen through. */
#define PB_TUNNEL_DEPTH_MAX 8

#define PB_TUNNEL_PORT_TEREDO 3544 /* RFC 4380; from or to it, the others only to it */
#define PB_TUNNEL_PORT_GTPU 2152   /* 3GPP TS 29.281 */
#define PB_TUNNEL_PORT_GRE 4754    /* RFC 8086 */
#define PB_TUNNEL_PORT_VXLAN 4789  /* RFC 7348 */
#define PB_TUNNEL_PORT_VXLAN_LINUX 8472
#define PB_TUNNEL_PORT_GENEVE 6081 /* RFC 8926 */
#define PB_TUNNEL_PORT_MPLS 6635   /* RFC 7510 */

/* What the walk is to see through. */
enum pb_inner_walk {
    PB_INNER_TUNNELS = 1,
    /* A datagram's first fragment as if it were whole: for callers that send the later
     * fragments after it (fragments.h). Without it a fragment ends the walk, the first as
     * the later ones, and has no ports. */
    PB_INNER_FIRST_FRAGMENTS = 2
};

struct pb_inner {
    struct pb_headers headers; /* the innermost; the packet's own where depth is 0 */
    uint8_t depth;             /* tunnels seen through */
    uint8_t reason;            /* enum pb_inner_reason */
    /* Fragmented datagrams on the way, from the outside in: all but the last are first fragments. */
    uint8_t fragments_count;
    struct pb_fragment fragments[PB_TUNNEL_DEPTH_MAX + 1];
};

/* Protocols that can carry a tunnel. */
static inline bool pb_inner_protocol(uint8_t protocol)
{
    const uint64_t low = 1ULL << PB_PROTOCOL_IPV4 | 1ULL << PB_PROTOCOL_UDP | 1ULL << PB_PROTOCOL_IPV6 |
                         1ULL << PB_PROTOCOL_GRE | 1ULL << PB_PROTOCOL_AUTHENTICATION;
    return protocol < 64 ? low >> protocol & 1 : protocol == PB_PROTOCOL_ETHERIP || protocol == PB_PROTOCOL_MPLS ||
                                               protocol == PB_PROTOCOL_ETHERNET;
}

/* Is the UDP header at `udp` that of a tunnel, by its ports? */
static inline bool pb_inner_udp(const uint8_t *udp)
{
    switch (pb_be16(udp + 2)) {
    case PB_TUNNEL_PORT_TEREDO:
    case PB_TUNNEL_PORT_GTPU:
    case PB_TUNNEL_PORT_GRE:
    case PB_TUNNEL_PORT_VXLAN:
    case PB_TUNNEL_PORT_VXLAN_LINUX:
    case PB_TUNNEL_PORT_GENEVE:
    case PB_TUNNEL_PORT_MPLS:
        return true;
    default:
        return pb_be16(udp) == PB_TUNNEL_PORT_TEREDO;
    }
}

/* May this parsed packet be a tunnel's? A few loads; false for most packets. */
static inline __attribute__((always_inline)) bool pb_inner_possible(const uint8_t *data,
                                                                            const struct pb_headers *headers)
{
    if (headers->ip_protocol == PB_PROTOCOL_TCP || !pb_inner_protocol(headers->ip_protocol))
        return false;
    return headers->ip_protocol != PB_PROTOCOL_UDP || headers->l4_offset == 0 ||
           pb_inner_udp(data + headers->l4_offset);
}

/* Find the innermost headers of a parsed packet; `walk` is a sum of enum pb_inner_walk. */
void pb_inner_find(const struct pb_packet *packet, uint32_t walk, struct pb_inner *inner);

#endif
