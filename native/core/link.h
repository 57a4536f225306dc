/*
 * link.h - from a link's header, or an EtherType in a tunnel, to an IP header.
 * parse.c and inner.c call it on the engine thread; pure.
 *
 * Seen through: any number of 802.1Q / 802.1ad tags (TPIDs 0x8100, 0x88a8,
 * 0x9100, 0x9200); PPPoE sessions (RFC 2516) and PPP (protocol field of one or
 * two bytes) with IPv4, IPv6 or MPLS; MPLS label stacks (RFC 3032).
 *
 * MPLS does not say what its bottom label carries. In this order:
 *   1. an IPv4 header with a right checksum: IPv4;
 *   2. an EtherType that leads on at the place it has in an Ethernet frame, and behind
 *      IPv4's and IPv6's their version: an Ethernet pseudo-wire (RFC 4448) without
 *      control word;
 *   3. a first nibble 0 (control word, RFC 4385) and then what 2 says: one with control word;
 *   4. a first nibble 4 or 6: IPv4, IPv6; anything else is not IP.
 */
#ifndef PB_LINK_H
#define PB_LINK_H

#include "batch.h"

#define PB_ETHERNET_BYTES 14
#define PB_ETHERTYPE_IPV4 0x0800
#define PB_ETHERTYPE_BRIDGED 0x6558 /* transparent Ethernet bridging: a whole frame follows */
#define PB_ETHERTYPE_IPV6 0x86dd
#define PB_ETHERTYPE_PPP 0x880b
#define PB_ETHERTYPE_MPLS 0x8847

/* Labels of one stack, and Ethernet frames inside each other, that are seen through. */
#define PB_MPLS_LABELS_MAX 16
#define PB_LINK_FRAMES_MAX 8

/* Why a walk through headers ended before the innermost ones. */
enum pb_inner_reason {
    PB_INNER_NONE,      /* it did not: these are the innermost, or what is inside is not IP */
    PB_INNER_TRUNCATED, /* captured_len, or the carrying datagram's end, cuts a tunnel's or an inner header */
    PB_INNER_MALFORMED, /* a tunnel's header that its standard does not know, or an inner header that is none */
    PB_INNER_TOO_DEEP,  /* nested deeper than the limits, or behind byte 65535 */
    PB_INNER_FRAGMENT,  /* a fragment that may be a tunnel's: only the first one holds the inner headers */
    PB_INNER_REASONS
};

/* A place among headers. */
struct pb_cursor {
    const uint8_t *data;
    uint32_t at;    /* of the next header; may lie behind `end`: then nothing is left */
    uint32_t end;   /* of what may be read */
    uint8_t reason; /* enum pb_inner_reason, set where a walk ends */
};

/* Are there `bytes` more? If not the walk ends: truncated. */
static inline bool pb_cursor_has(struct pb_cursor *cursor, uint32_t bytes)
{
    if (cursor->at <= cursor->end && cursor->end - cursor->at >= bytes)
        return true;
    cursor->reason = PB_INNER_TRUNCATED;
    return false;
}

/* Nothing from `bytes` behind the next header on belongs to it. */
static inline void pb_cursor_clip(struct pb_cursor *cursor, uint32_t bytes)
{
    if (cursor->at <= cursor->end && bytes < cursor->end - cursor->at)
        cursor->end = cursor->at + bytes;
}

/* End the walk here. */
static inline uint8_t pb_cursor_stop(struct pb_cursor *cursor, enum pb_inner_reason reason)
{
    cursor->reason = (uint8_t)reason;
    return 0;
}

/* The IP version of the header at the cursor, by its first nibble; 0: none. */
uint8_t pb_link_ip(struct pb_cursor *cursor);

/* Follow what an EtherType announces at the cursor to an IP header, whose offset is at most
 * UINT16_MAX. Its version, 4 or 6; 0: not reached, see cursor->reason. */
uint8_t pb_link_follow(struct pb_cursor *cursor, uint16_t ethertype);

/* The same from the start of a packet of this LINKTYPE_. */
uint8_t pb_link_start(struct pb_cursor *cursor, uint16_t link_type);

#endif
