/*
 * ip.h - one IP header with its extension headers: what parse.c reads of a
 * packet's outer header and inner.c of those inside. Engine thread; pure.
 *
 * Lengths are clipped to what surrounds the header (the capture, or the datagram
 * that carries it), so every offset in a result lies within it.
 */
#ifndef PB_IP_H
#define PB_IP_H

#include "batch.h"

#define PB_IPV4_BYTES 20
#define PB_IPV6_BYTES 40
#define PB_IPV6_EXTENSIONS_MAX 32

#define PB_PROTOCOL_IPV4 4
#define PB_PROTOCOL_TCP 6
#define PB_PROTOCOL_UDP 17
#define PB_PROTOCOL_DCCP 33
#define PB_PROTOCOL_IPV6 41
#define PB_PROTOCOL_GRE 47
#define PB_PROTOCOL_AUTHENTICATION 51
#define PB_PROTOCOL_ETHERIP 97
#define PB_PROTOCOL_SCTP 132
#define PB_PROTOCOL_UDPLITE 136
#define PB_PROTOCOL_MPLS 137
#define PB_PROTOCOL_ETHERNET 143

/* Protocols whose header starts with source and destination port. The usual ones by one look at a set of bits, not by a
 * comparison for each. */
static inline bool pb_protocol_has_ports(uint8_t protocol)
{
    static const uint64_t below_64 = 1ULL << PB_PROTOCOL_TCP | 1ULL << PB_PROTOCOL_UDP | 1ULL << PB_PROTOCOL_DCCP;
    return (protocol < 64 && (below_64 >> protocol & 1) != 0) || protocol == PB_PROTOCOL_SCTP || protocol == PB_PROTOCOL_UDPLITE;
}

/* A fragment's place in its datagram (RFC 791; RFC 8200 section 4.5). An IPv6 fragment
 * header with offset 0 and no more to come makes no fragment (RFC 6946). */
struct pb_fragment {
    uint32_t id;
    uint16_t l3_offset; /* of the IP header */
    uint16_t at;        /* of its bytes in the datagram's, in units of 8; 0: the first fragment */
    uint16_t units;     /* its bytes as the header states them, in units of 8, rounded up */
    uint8_t ip_version;
    uint8_t ip_protocol; /* as the fragment says: in IPv6 only the first one's counts */
    bool more;           /* it is not the last */
};

struct pb_ip {
    struct pb_headers headers;   /* as parse.h describes them: a fragment has no l4_offset */
    bool fragmented;             /* `fragment` holds */
    uint8_t upper_protocol;      /* behind all extension headers, where reached; */
    uint32_t upper;              /* its header's offset, at most `end`; 0: not reached, or not in this fragment */
    uint32_t end;                /* of the datagram's bytes */
    struct pb_fragment fragment;
};

/* Read the header of the given IP version at `offset` (at most UINT16_MAX) of the
 * `length` bytes at `data`. False, and headers.ip_version 0: not whole, or none. */
bool pb_ip_read(const uint8_t *data, uint32_t length, uint32_t offset, uint8_t version, struct pb_ip *ip);

#endif
