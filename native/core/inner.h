/*
 * inner.h - the innermost IP headers of a packet, seen through tunnels.
 *
 * For bricks that split by what a tunnel carries (LoadBalancer's
 * `tunnel = "inner"`), on the engine thread. Everything is on the caller's
 * stack; nothing at or behind captured_len is read.
 *
 * Seen through, in any order and mixture, also with VLAN tags inside:
 *   IP in IP        4in4, 4in6, 6in4, 6in6 (protocols 4 and 41), also behind an
 *                   authentication header; EtherIP (RFC 3378)
 *   GRE             RFC 2784 and 2890: checksum, key, sequence number; version 1
 *                   of PPTP (RFC 2637) with PPP; transparent Ethernet (NVGRE)
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

/* Why the walk ended before the innermost headers. */
enum pb_inner_reason {
    PB_INNER_NONE,      /* it did not: these are the innermost, or what is inside is not IP */
    PB_INNER_TRUNCATED, /* captured_len, or the carrying datagram's end, cuts a tunnel's or an inner header */
    PB_INNER_MALFORMED, /* a tunnel's header that its standard does not know, or an inner header that is none */
    PB_INNER_TOO_DEEP,  /* more than PB_TUNNEL_DEPTH_MAX deep, or behind byte 65535 */
    PB_INNER_FRAGMENT,  /* a fragment that may be a tunnel's: only the first one holds the inner headers */
    PB_INNER_REASONS
};

/* A reason's name (snake_case) and a line for users, for counters. */
struct pb_inner_reason_text {
    const char *name;
    const char *text;
};
extern const struct pb_inner_reason_text pb_inner_reason_texts[PB_INNER_REASONS];

struct pb_inner {
    struct pb_headers headers; /* the innermost; the packet's own where depth is 0 */
    uint8_t depth;             /* tunnels seen through */
    uint8_t reason;            /* enum pb_inner_reason */
    /* Where on the way a datagram's first fragment was seen through: the offsets of those IP headers. */
    uint8_t fragments;
    uint16_t fragment_l3[PB_TUNNEL_DEPTH_MAX + 1];
};

/* UDP ports of tunnels, as a packet's bytes have them. */
bool pb_inner_udp_port(const uint8_t *udp);

/* May this parsed packet be a tunnel's? A few loads; false for most packets. */
static inline __attribute__((always_inline)) bool pb_inner_possible(const struct pb_packet *packet)
{
    const struct pb_headers *headers = &packet->headers;
    if (headers->ip_protocol == PB_PROTOCOL_TCP)
        return false;
    if (headers->ip_protocol == PB_PROTOCOL_UDP && headers->l4_offset != 0)
        return pb_inner_udp_port(packet->data + headers->l4_offset);
    return headers->ip_version != 0;
}

/*
 * Find the innermost headers of a parsed packet. `fragments`: see into the
 * first fragment of a datagram that carries a tunnel (and take the ports of a
 * first fragment), for callers that send the later fragments after it
 * (fragments.h); else a fragment ends the walk, the first as the later ones.
 */
void pb_inner_find(const struct pb_packet *packet, bool fragments, struct pb_inner *inner);

#endif
