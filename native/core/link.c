/* link.c - see link.h. Engine thread; pure. */
#include "link.h"

#include "bytes.h"
#include "checksum.h"

#define TPID_8021Q 0x8100
#define TPID_8021AD 0x88a8
#define TPID_QINQ_9100 0x9100
#define TPID_QINQ_9200 0x9200
#define ETHERTYPE_MPLS_UPSTREAM 0x8848
#define ETHERTYPE_PPPOE_SESSION 0x8864

#define SLL_BYTES 16
#define SLL2_BYTES 20
#define PPPOE_BYTES 6
#define MPLS_BYTES 4

#define PPP_IPV4 0x21
#define PPP_IPV6 0x57
#define PPP_MPLS 0x281
#define PPP_MPLS_UPSTREAM 0x283

/* Not an EtherType: the walk has ended. */
#define ETHERTYPE_NONE 0

static bool is_vlan(uint16_t ethertype)
{
    return ethertype == TPID_8021Q || ethertype == TPID_8021AD || ethertype == TPID_QINQ_9100 ||
           ethertype == TPID_QINQ_9200;
}

uint8_t pb_link_ip(struct pb_cursor *cursor)
{
    if (!pb_cursor_has(cursor, 1))
        return 0;
    if (cursor->at > UINT16_MAX)
        return pb_cursor_stop(cursor, PB_INNER_TOO_DEEP);
    uint8_t version = cursor->data[cursor->at] >> 4;
    return version == 4 || version == 6 ? version : 0;
}

static uint16_t ethertype_of_version(uint8_t version)
{
    return version == 4 ? PB_ETHERTYPE_IPV4 : version == 6 ? PB_ETHERTYPE_IPV6 : ETHERTYPE_NONE;
}

static bool leads_on(uint16_t ethertype)
{
    return is_vlan(ethertype) || ethertype == PB_ETHERTYPE_MPLS || ethertype == ETHERTYPE_MPLS_UPSTREAM ||
           ethertype == ETHERTYPE_PPPOE_SESSION;
}

/* Rule 2 of link.h, for what lies `skip` bytes behind the cursor. */
static bool looks_like_ethernet(const struct pb_cursor *cursor, uint32_t skip)
{
    if (cursor->end - cursor->at < skip + PB_ETHERNET_BYTES + 1)
        return false;
    const uint8_t *frame = cursor->data + cursor->at + skip;
    uint16_t ethertype = pb_be16(frame + 12);
    return leads_on(ethertype) || (ethertype == PB_ETHERTYPE_IPV4 && frame[14] >> 4 == 4 && (frame[14] & 0x0f) >= 5) ||
           (ethertype == PB_ETHERTYPE_IPV6 && frame[14] >> 4 == 6);
}

static bool is_checked_ipv4(const struct pb_cursor *cursor)
{
    const uint8_t *header = cursor->data + cursor->at;
    uint32_t header_bytes = (header[0] & 0x0fu) * 4u;
    return header[0] >> 4 == 4 && header_bytes >= 20 && cursor->end - cursor->at >= header_bytes &&
           pb_checksum_finish(pb_checksum_add(0, header, header_bytes)) == 0;
}

/* What the label stack at the cursor carries, by the rules of link.h. */
static uint16_t leave_mpls(struct pb_cursor *cursor)
{
    bool bottom = false;
    for (uint32_t labels = 0; !bottom; labels++) {
        if (labels == PB_MPLS_LABELS_MAX)
            return pb_cursor_stop(cursor, PB_INNER_TOO_DEEP);
        if (!pb_cursor_has(cursor, MPLS_BYTES))
            return ETHERTYPE_NONE;
        bottom = cursor->data[cursor->at + 2] & 1;
        cursor->at += MPLS_BYTES;
    }
    if (!pb_cursor_has(cursor, 1))
        return ETHERTYPE_NONE;
    if (is_checked_ipv4(cursor))
        return PB_ETHERTYPE_IPV4;
    if (looks_like_ethernet(cursor, 0))
        return PB_ETHERTYPE_BRIDGED;
    if (cursor->data[cursor->at] >> 4 == 0 && looks_like_ethernet(cursor, 4)) {
        cursor->at += 4;
        return PB_ETHERTYPE_BRIDGED;
    }
    return ethertype_of_version(pb_link_ip(cursor));
}

/* PPP's protocol field (RFC 1661: one byte if odd), behind address and control if they are there (RFC 1662). */
static uint16_t leave_ppp(struct pb_cursor *cursor)
{
    if (pb_cursor_has(cursor, 2) && pb_be16(cursor->data + cursor->at) == 0xff03)
        cursor->at += 2;
    if (!pb_cursor_has(cursor, 1))
        return ETHERTYPE_NONE;
    uint16_t protocol = cursor->data[cursor->at];
    if ((protocol & 1) == 0) {
        if (!pb_cursor_has(cursor, 2))
            return ETHERTYPE_NONE;
        protocol = pb_be16(cursor->data + cursor->at);
        cursor->at++;
    }
    cursor->at++;
    return protocol == PPP_IPV4                                      ? PB_ETHERTYPE_IPV4
           : protocol == PPP_IPV6                                    ? PB_ETHERTYPE_IPV6
           : protocol == PPP_MPLS || protocol == PPP_MPLS_UPSTREAM ? PB_ETHERTYPE_MPLS
                                                                     : ETHERTYPE_NONE;
}

/* Version and type 1, code 0 (session data), session, length. */
static uint16_t leave_pppoe(struct pb_cursor *cursor)
{
    if (!pb_cursor_has(cursor, PPPOE_BYTES))
        return ETHERTYPE_NONE;
    const uint8_t *header = cursor->data + cursor->at;
    if (header[0] != 0x11 || header[1] != 0)
        return pb_cursor_stop(cursor, PB_INNER_MALFORMED);
    cursor->at += PPPOE_BYTES;
    pb_cursor_clip(cursor, pb_be16(header + 4));
    return PB_ETHERTYPE_PPP;
}

static uint16_t leave_vlan(struct pb_cursor *cursor)
{
    if (!pb_cursor_has(cursor, 4))
        return ETHERTYPE_NONE;
    cursor->at += 4;
    return pb_be16(cursor->data + cursor->at - 2);
}

static uint16_t leave_ethernet(struct pb_cursor *cursor)
{
    if (!pb_cursor_has(cursor, PB_ETHERNET_BYTES))
        return ETHERTYPE_NONE;
    cursor->at += PB_ETHERNET_BYTES;
    return pb_be16(cursor->data + cursor->at - 2);
}

uint8_t pb_link_follow(struct pb_cursor *cursor, uint16_t ethertype)
{
    cursor->reason = PB_INNER_NONE;
    for (uint32_t frames = 0;;) {
        if (ethertype == PB_ETHERTYPE_IPV4 || ethertype == PB_ETHERTYPE_IPV6) {
            if (cursor->at > UINT16_MAX)
                return pb_cursor_stop(cursor, PB_INNER_TOO_DEEP);
            return ethertype == PB_ETHERTYPE_IPV4 ? 4 : 6;
        } else if (is_vlan(ethertype)) {
            ethertype = leave_vlan(cursor);
        } else if (ethertype == PB_ETHERTYPE_MPLS || ethertype == ETHERTYPE_MPLS_UPSTREAM) {
            ethertype = leave_mpls(cursor);
        } else if (ethertype == ETHERTYPE_PPPOE_SESSION) {
            ethertype = leave_pppoe(cursor);
        } else if (ethertype == PB_ETHERTYPE_PPP) {
            ethertype = leave_ppp(cursor);
        } else if (ethertype == PB_ETHERTYPE_BRIDGED) {
            if (frames++ == PB_LINK_FRAMES_MAX)
                return pb_cursor_stop(cursor, PB_INNER_TOO_DEEP);
            ethertype = leave_ethernet(cursor);
        } else {
            return 0;
        }
    }
}

/* The EtherType `type_at` bytes into a link's header of `bytes`. */
static uint8_t start_behind(struct pb_cursor *cursor, uint32_t bytes, uint32_t type_at)
{
    if (!pb_cursor_has(cursor, bytes))
        return 0;
    cursor->at += bytes;
    return pb_link_follow(cursor, pb_be16(cursor->data + type_at));
}

uint8_t pb_link_start(struct pb_cursor *cursor, uint16_t link_type)
{
    cursor->reason = PB_INNER_NONE;
    switch (link_type) {
    case PB_LINK_ETHERNET:
        return start_behind(cursor, PB_ETHERNET_BYTES, 12);
    case PB_LINK_LINUX_SLL:
        return start_behind(cursor, SLL_BYTES, 14);
    case PB_LINK_LINUX_SLL2:
        return start_behind(cursor, SLL2_BYTES, 0);
    case PB_LINK_RAW:
        return pb_link_ip(cursor);
    case PB_LINK_NULL: /* an address family in the writer's byte order, which differs between systems */
        cursor->at = 4;
        return pb_link_ip(cursor);
    default:
        return 0;
    }
}
