/*
 * test_inner.c - tunnels built by hand, one wrapper for each header that inner.h and link.h
 * see through. The innermost headers must hash as the same packet without the tunnel does,
 * whatever is around it; cut at every byte and with every byte lying, the result is defined
 * and nothing behind the packet is read (ASan watches).
 */
#include "check.h"
#include "core/hash.h"
#include "tunnel_packets.h"

/* ------------------------------------------------------------- the wrappers */

/* Puts one encapsulation before an IP packet of this version and says which protocol an IP header before
 * it has. */
typedef uint8_t (*wrapper)(struct made *made, uint8_t version);

static uint8_t ip_in_ip(struct made *made, uint8_t version)
{
    (void)made;
    return version == 4 ? 4 : 41;
}

static uint8_t authenticated(struct made *made, uint8_t version)
{
    uint8_t next = ip_in_ip(made, version);
    made_put(made, (const uint8_t[24]){next, 4}, 24);
    return 51;
}

static uint8_t etherip(struct made *made, uint8_t version)
{
    wrap_ethernet(made, ethertype_of(version), 2);
    made_put(made, (const uint8_t[]){0x30, 0}, 2);
    return 97;
}

static uint8_t ethernet(struct made *made, uint8_t version)
{
    wrap_ethernet(made, ethertype_of(version), 2);
    return 143;
}

static uint8_t gre(struct made *made, uint8_t version)
{
    uint16_t type = ethertype_of(version);
    made_put(made, (const uint8_t[]){0, 0, (uint8_t)(type >> 8), (uint8_t)type}, 4);
    return 47;
}

static uint8_t gre_with_options(struct made *made, uint8_t version)
{
    uint16_t type = ethertype_of(version);
    made_put(made, (const uint8_t[16]){0xb0, 0, (uint8_t)(type >> 8), (uint8_t)type, 0x12, 0x34, 0, 0, 9, 9, 9, 9, 0, 0, 0, 1}, 16);
    return 47;
}

static uint8_t nvgre(struct made *made, uint8_t version)
{
    wrap_ethernet(made, ethertype_of(version), 0);
    made_put(made, (const uint8_t[]){0x20, 0, 0x65, 0x58, 0, 0, 7, 1}, 8);
    return 47;
}

static uint8_t gre_mpls(struct made *made, uint8_t version)
{
    (void)version;
    made_put(made, (const uint8_t[]){0, 1, 0, 64, 0, 2, 1, 64}, 8);
    made_put(made, (const uint8_t[]){0, 0, 0x88, 0x47}, 4);
    return 47;
}

static uint8_t gre_in_udp(struct made *made, uint8_t version)
{
    gre(made, version);
    wrap_udp(made, 50000, 4754);
    return 17;
}

/* PPTP: key (payload length, call), sequence and acknowledgment number; PPP with its protocol in one byte. */
static uint8_t pptp(struct made *made, uint8_t version)
{
    made_put(made, (const uint8_t[]){version == 4 ? 0x21 : 0x57}, 1);
    uint32_t length = made_length(made);
    uint8_t *header = made_wrap(made, 16);
    memcpy(header, (const uint8_t[]){0x30, 0x81, 0x88, 0x0b}, 4);
    made_put16(header + 4, length);
    return 47;
}

static uint8_t pptp_with_address(struct made *made, uint8_t version)
{
    made_put(made, (const uint8_t[]){0xff, 3, 0, version == 4 ? 0x21 : 0x57}, 4);
    uint32_t length = made_length(made);
    uint8_t *header = made_wrap(made, 12);
    memcpy(header, (const uint8_t[]){0x30, 0x01, 0x88, 0x0b}, 4);
    made_put16(header + 4, length);
    return 47;
}

static uint8_t wccp2(struct made *made, uint8_t version)
{
    if (version != 4)
        return gre(made, version);
    made_put(made, (const uint8_t[]){0, 0, 0x88, 0x3e, 0x80, 0, 0, 0}, 8);
    return 47;
}

static uint8_t erspan1(struct made *made, uint8_t version)
{
    wrap_ethernet(made, ethertype_of(version), 2);
    made_put(made, (const uint8_t[]){0, 0, 0x88, 0xbe}, 4);
    return 47;
}

static uint8_t erspan2(struct made *made, uint8_t version)
{
    wrap_ethernet(made, ethertype_of(version), 2);
    made_put(made, (const uint8_t[16]){0x10, 0, 0x88, 0xbe, 0, 0, 0, 5, 0x10, 100, 0, 1}, 16);
    return 47;
}

static uint8_t erspan3(struct made *made, uint8_t version)
{
    wrap_ethernet(made, ethertype_of(version), 2);
    made_put(made, (const uint8_t[20]){0x10, 0, 0x22, 0xeb, 0, 0, 0, 5, 0x20, 100, 0, 1}, 20);
    return 47;
}

static uint8_t erspan3_with_subheader(struct made *made, uint8_t version)
{
    wrap_ethernet(made, ethertype_of(version), 2);
    made_put(made, (const uint8_t[28]){0x10, 0, 0x22, 0xeb, 0, 0, 0, 5, 0x20, 100, 0, 1, [19] = 1}, 28);
    return 47;
}

static uint8_t vxlan_to(struct made *made, uint8_t version, uint16_t port)
{
    wrap_ethernet(made, ethertype_of(version), 6);
    made_put(made, (const uint8_t[]){8, 0, 0, 0, 0, 0, 42, 0}, 8);
    wrap_udp(made, 50000, port);
    return 17;
}

static uint8_t vxlan(struct made *made, uint8_t version)
{
    return vxlan_to(made, version, 4789);
}

static uint8_t vxlan_linux(struct made *made, uint8_t version)
{
    return vxlan_to(made, version, 8472);
}

/* With two tags inside. */
static uint8_t vxlan_qinq(struct made *made, uint8_t version)
{
    uint16_t type = ethertype_of(version);
    made_put(made, (const uint8_t[]){0, 7, (uint8_t)(type >> 8), (uint8_t)type}, 4);
    made_put(made, (const uint8_t[]){0, 9, 0x81, 0}, 4);
    wrap_ethernet(made, 0x88a8, 2);
    made_put(made, (const uint8_t[]){8, 0, 0, 0, 0, 0, 42, 0}, 8);
    wrap_udp(made, 50000, 4789);
    return 17;
}

static uint8_t geneve_ip(struct made *made, uint8_t version)
{
    uint16_t type = ethertype_of(version);
    made_put(made, (const uint8_t[]){0, 0, (uint8_t)(type >> 8), (uint8_t)type, 0, 0, 1, 0}, 8);
    wrap_udp(made, 50000, 6081);
    return 17;
}

static uint8_t geneve_with_options(struct made *made, uint8_t version)
{
    wrap_ethernet(made, ethertype_of(version), 2);
    made_put(made, (const uint8_t[20]){3, 0x40, 0x65, 0x58, 0, 0, 1, 0, 1, 2, 0x80, 2}, 20);
    wrap_udp(made, 50000, 6081);
    return 17;
}

static uint8_t gtpu(struct made *made, uint8_t version)
{
    (void)version;
    uint32_t length = made_length(made);
    uint8_t *header = made_wrap(made, 8);
    memcpy(header, (const uint8_t[]){0x30, 255}, 2);
    made_put16(header + 2, length);
    wrap_udp(made, 2152, 2152);
    return 17;
}

/* Sequence number, a PDU session container (type 0x85) and an extension of 8 bytes. */
static uint8_t gtpu_with_extensions(struct made *made, uint8_t version)
{
    (void)version;
    made_put(made, (const uint8_t[]){2, 0, 0, 0, 0, 0, 0, 0}, 8);
    made_put(made, (const uint8_t[]){1, 0, 9, 0xc0}, 4);
    made_put(made, (const uint8_t[]){0, 1, 0, 0x85}, 4);
    uint32_t length = made_length(made);
    uint8_t *header = made_wrap(made, 8);
    memcpy(header, (const uint8_t[]){0x36, 255}, 2);
    made_put16(header + 2, length);
    wrap_udp(made, 40000, 2152);
    return 17;
}

/* Teredo carries IPv6 only. */
static uint8_t teredo(struct made *made, uint8_t version)
{
    if (version != 6)
        return gtpu(made, version);
    wrap_udp(made, 3544, 51000);
    return 17;
}

static uint8_t teredo_with_headers(struct made *made, uint8_t version)
{
    if (version != 6)
        return gtpu(made, version);
    made_put(made, (const uint8_t[8]){0, 0, 0x12, 0x34, 1, 2, 3, 4}, 8);
    made_put(made, (const uint8_t[4 + 3 + 5 + 9]){0, 1, 3, 5}, 4 + 3 + 5 + 9);
    wrap_udp(made, 51000, 3544);
    return 17;
}

static uint8_t mpls_in_ip(struct made *made, uint8_t version)
{
    (void)version;
    made_put(made, (const uint8_t[]){0, 2, 1, 64}, 4);
    return 137;
}

/* A pseudo-wire behind a label, in UDP; `first` byte of the destination address, with or without a control word. */
static uint8_t pseudo_wire(struct made *made, uint8_t version, uint8_t first, bool control_word)
{
    wrap_ethernet(made, ethertype_of(version), first);
    if (control_word)
        made_put(made, (const uint8_t[]){0, 0, 0, 9}, 4);
    made_put(made, (const uint8_t[]){0, 2, 1, 64}, 4);
    wrap_udp(made, 50000, 6635);
    return 17;
}

static uint8_t pseudo_wire_control(struct made *made, uint8_t version)
{
    return pseudo_wire(made, version, 2, true);
}

static uint8_t pseudo_wire_bare(struct made *made, uint8_t version)
{
    return pseudo_wire(made, version, 0x0a, false);
}

/* A destination address that starts as IPv4 or IPv6 would. */
static uint8_t pseudo_wire_like_ip(struct made *made, uint8_t version)
{
    return pseudo_wire(made, version, version == 4 ? 0x64 : 0x46, false);
}

/* A PPPoE session bridged over VXLAN. */
static uint8_t pppoe_in_vxlan(struct made *made, uint8_t version)
{
    made_put(made, (const uint8_t[]){0, version == 4 ? 0x21 : 0x57}, 2);
    uint32_t length = made_length(made);
    uint8_t *header = made_wrap(made, 6);
    header[0] = 0x11;
    made_put16(header + 4, length);
    wrap_ethernet(made, 0x8864, 2);
    made_put(made, (const uint8_t[]){8, 0, 0, 0, 0, 0, 42, 0}, 8);
    wrap_udp(made, 50000, 4789);
    return 17;
}

static const struct {
    const char *name;
    wrapper wrap;
    bool guessed; /* MPLS: what was cut may look like something else */
} tunnels[] = {
    {"ip in ip", ip_in_ip, false},
    {"authentication header", authenticated, false},
    {"etherip", etherip, false},
    {"ethernet", ethernet, false},
    {"gre", gre, false},
    {"gre in udp", gre_in_udp, false},
    {"gre with options", gre_with_options, false},
    {"nvgre", nvgre, false},
    {"mpls in gre", gre_mpls, true},
    {"pptp", pptp, false},
    {"pptp, ppp with address", pptp_with_address, false},
    {"wccp 2", wccp2, false},
    {"erspan i", erspan1, false},
    {"erspan ii", erspan2, false},
    {"erspan iii", erspan3, false},
    {"erspan iii with subheader", erspan3_with_subheader, false},
    {"vxlan", vxlan, false},
    {"vxlan 8472", vxlan_linux, false},
    {"vxlan, qinq", vxlan_qinq, false},
    {"geneve", geneve_ip, false},
    {"geneve with options", geneve_with_options, false},
    {"gtp-u", gtpu, false},
    {"gtp-u with extensions", gtpu_with_extensions, false},
    {"teredo", teredo, false},
    {"teredo with headers", teredo_with_headers, false},
    {"mpls in ip", mpls_in_ip, true},
    {"pseudo-wire, control word", pseudo_wire_control, true},
    {"pseudo-wire", pseudo_wire_bare, true},
    {"pseudo-wire like ip", pseudo_wire_like_ip, true},
    {"pppoe in vxlan", pppoe_in_vxlan, false},
};
#define TUNNELS (sizeof(tunnels) / sizeof(tunnels[0]))

/* ---------------------------------------------------------------- the checks */

/* What holds for every result: within the packet, and only as much as was seen. */
static void check_inner(const struct pb_packet *packet, const struct pb_inner *inner)
{
    const struct pb_headers *headers = &inner->headers;
    CHECK(inner->depth <= PB_TUNNEL_DEPTH_MAX && inner->reason < PB_INNER_REASONS);
    CHECK(inner->fragments_count <= inner->depth + 1u);
    if (headers->ip_version == 0) {
        CHECK_EQUAL(inner->depth, 0);
        return;
    }
    CHECK(headers->ip_version == 4 || headers->ip_version == 6);
    CHECK(headers->l3_offset + (headers->ip_version == 4 ? 20u : 40u) <= packet->captured_len);
    if (headers->l4_offset != 0)
        CHECK(headers->l4_offset > headers->l3_offset && headers->l4_offset + 4 <= packet->captured_len);
    pb_hash_headers(packet->data, headers, 4); /* reads addresses and ports: ASan watches */
}

static struct pb_inner find(const struct pb_packet *packet, uint32_t walk)
{
    struct pb_inner inner;
    pb_inner_find(packet, walk, &inner);
    check_inner(packet, &inner);
    if (inner.depth > 0)
        CHECK(pb_inner_possible(packet->data, &packet->headers)); /* the quick look never says no to a tunnel */
    return inner;
}

/* The flow hash of a packet, by its outer or inner headers. */
static uint32_t hash_of(struct made *made, bool tunnels_too, struct pb_inner *inner)
{
    struct pb_packet packet;
    made_packet(made, made_length(made), PB_LINK_ETHERNET, &packet);
    *inner = find(&packet, tunnels_too ? PB_INNER_TUNNELS : 0);
    uint32_t hash = tunnels_too ? pb_hash_headers(packet.data, &inner->headers, 4) : pb_flow_hash(&packet, 4);
    made_free(&packet);
    return hash;
}

/* The innermost packet, without a link header. */
static void make_plain(struct made *made, uint8_t version)
{
    made_start(made, 1000, 2000);
    wrap_ip(made, version, PB_PROTOCOL_TCP, 1);
}

static uint32_t plain_hash(uint8_t version)
{
    struct made made;
    struct pb_inner inner;
    make_plain(&made, version);
    wrap_ethernet(&made, ethertype_of(version), 2);
    return hash_of(&made, false, &inner);
}

/* That packet in tunnel t of an outer IP header, in a frame. */
static void make_tunnel(struct made *made, uint32_t t, uint8_t version, uint8_t outer)
{
    make_plain(made, version);
    wrap_ip(made, outer, tunnels[t].wrap(made, version), 77);
    wrap_ethernet(made, ethertype_of(outer), 2);
}

static void test_each_tunnel(void)
{
    for (uint32_t t = 0; t < TUNNELS; t++)
        for (uint8_t version = 4; version <= 6; version += 2)
            for (uint8_t outer = 4; outer <= 6; outer += 2) {
                struct made made;
                struct pb_inner inner;
                make_tunnel(&made, t, version, outer);
                if (hash_of(&made, true, &inner) != plain_hash(version) || inner.depth != 1 || inner.reason != PB_INNER_NONE) {
                    fprintf(stderr, "%s, IPv%u in IPv%u: depth %u, reason %u\n", tunnels[t].name, version, outer,
                            inner.depth, inner.reason);
                    exit(1);
                }
                CHECK(hash_of(&made, false, &inner) != plain_hash(version));
            }
}

/* Every cut either still has the inner IP header, or says that it is cut. */
static void test_truncated(void)
{
    for (uint32_t t = 0; t < TUNNELS; t++)
        for (uint8_t version = 4; version <= 6; version += 2)
            for (uint8_t outer = 4; outer <= 6; outer += 2) {
                struct made made;
                make_tunnel(&made, t, version, outer);
                const uint32_t length = made_length(&made), outer_end = PB_ETHERNET_BYTES + (outer == 4 ? 20 : 40);
                const uint32_t l4 = length - 40, l3 = l4 - (version == 4 ? 20 : 40);
                for (uint32_t cut = 0; cut <= length; cut++) {
                    struct pb_packet packet;
                    made_packet(&made, cut, PB_LINK_ETHERNET, &packet);
                    struct pb_inner inner = find(&packet, PB_INNER_TUNNELS);
                    if (cut >= l4) {
                        CHECK(inner.depth == 1 && inner.reason == PB_INNER_NONE && inner.headers.l3_offset == l3);
                        CHECK_EQUAL(inner.headers.l4_offset, cut >= l4 + 4 ? l4 : 0);
                    } else {
                        CHECK_EQUAL(inner.depth, 0);
                        /* A UDP tunnel is known by four bytes of its header, one behind an extension header not before that. */
                        uint32_t known = outer_end + (tunnels[t].wrap == authenticated && outer == 6 ? 24 : 4);
                        if (cut >= known)
                            CHECK(inner.reason == PB_INNER_TRUNCATED || (tunnels[t].guessed && cut >= known + 4));
                    }
                    made_free(&packet);
                }
            }
}

/* Each byte of each tunnel set to what lengths and flags lie with; then every cut of some. */
static void test_lying(void)
{
    static const uint8_t lies[] = {0, 1, 0x40, 0x45, 0x60, 0x7f, 0x80, 0xff};
    for (uint32_t t = 0; t < TUNNELS; t++)
        for (uint32_t i = 0; i < 4; i++) {
            struct made made;
            make_tunnel(&made, t, i & 1 ? 4 : 6, i & 2 ? 4 : 6);
            for (uint32_t at = 0; at < made_length(&made); at++)
                for (uint32_t lie = 0; lie < sizeof(lies); lie++) {
                    uint8_t was = made_bytes(&made)[at];
                    made_bytes(&made)[at] = lies[lie];
                    struct pb_packet packet;
                    made_packet(&made, made_length(&made) - (at + lie) % 50, PB_LINK_ETHERNET, &packet);
                    find(&packet, PB_INNER_TUNNELS);
                    find(&packet, PB_INNER_TUNNELS | PB_INNER_FIRST_FRAGMENTS);
                    made_free(&packet);
                    made_bytes(&made)[at] = was;
                }
        }
}

/* Any tunnel in any other, down to the limit and one further. */
static void test_nested(void)
{
    uint32_t random = 1;
    for (uint32_t round = 0; round < 3000; round++) {
        struct made made;
        uint8_t innermost = round & 1 ? 4 : 6, version = innermost;
        const uint32_t depth = 1 + round % (PB_TUNNEL_DEPTH_MAX + 1);
        make_plain(&made, version);
        uint32_t whole = 0;
        for (uint32_t i = 0; i < depth; i++) {
            if (i == 1)
                whole = made_length(&made); /* from the header that is `depth - 1` deep on */
            random = random * 1664525 + 1013904223;
            uint8_t outer = random & 0x10000 ? 4 : 6;
            wrap_ip(&made, outer, tunnels[(random >> 20) % TUNNELS].wrap(&made, version), (uint8_t)(10 + i));
            version = outer;
        }
        wrap_ethernet(&made, ethertype_of(version), 2);
        struct pb_inner inner;
        uint32_t hash = hash_of(&made, true, &inner);
        if (depth <= PB_TUNNEL_DEPTH_MAX) {
            CHECK(hash == plain_hash(innermost));
            CHECK(inner.depth == depth && inner.reason == PB_INNER_NONE);
        } else {
            CHECK(inner.depth == PB_TUNNEL_DEPTH_MAX && inner.reason == PB_INNER_TOO_DEEP);
            CHECK(whole > 0 && inner.headers.l3_offset <= made_length(&made) - whole);
        }
    }
}

/* Frames in frames without end, labels without end: too deep, or the end of the packet, soon. */
static void test_bombs(void)
{
    struct made made;
    struct pb_inner inner;
    make_plain(&made, 4);
    wrap_ethernet(&made, PB_ETHERTYPE_IPV4, 2);
    for (uint32_t i = 0; i < 20; i++)
        wrap_ethernet(&made, PB_ETHERTYPE_BRIDGED, 2);
    made_put(&made, (const uint8_t[]){0, 0, 0x65, 0x58}, 4);
    wrap_ipv4(&made, 47, 77);
    wrap_ethernet(&made, PB_ETHERTYPE_IPV4, 2);
    hash_of(&made, true, &inner);
    CHECK(inner.depth == 0 && inner.reason == PB_INNER_TOO_DEEP);

    make_plain(&made, 4);
    made_put(&made, (const uint8_t[]){0, 2, 1, 64}, 4);
    for (uint32_t i = 1; i < PB_MPLS_LABELS_MAX; i++)
        made_put(&made, (const uint8_t[]){0, 2, 0, 64}, 4);
    struct made more = made;
    wrap_ipv4(&made, 137, 77);
    wrap_ethernet(&made, PB_ETHERTYPE_IPV4, 2);
    CHECK(hash_of(&made, true, &inner) == plain_hash(4));
    made_put(&more, (const uint8_t[]){0, 2, 0, 64}, 4);
    wrap_ipv4(&more, 137, 77);
    wrap_ethernet(&more, PB_ETHERTYPE_IPV4, 2);
    hash_of(&more, true, &inner);
    CHECK(inner.depth == 0 && inner.reason == PB_INNER_TOO_DEEP);
}

/* A packet around `header`, in IPv4: what became of it. */
static struct pb_inner around(uint8_t protocol, const uint8_t *header, uint32_t bytes, uint32_t udp_port)
{
    struct made made;
    struct pb_inner inner;
    make_plain(&made, 4);
    made_put(&made, header, bytes);
    if (udp_port != 0)
        wrap_udp(&made, 50000, (uint16_t)udp_port);
    wrap_ipv4(&made, protocol, 77);
    wrap_ethernet(&made, PB_ETHERTYPE_IPV4, 2);
    uint32_t hash = hash_of(&made, true, &inner);
    if (inner.depth == 0) {
        struct pb_inner outer;
        CHECK(hash == hash_of(&made, false, &outer)); /* as without looking into tunnels */
    }
    return inner;
}
#define AROUND(protocol, udp_port, ...)                                                                                \
    around(protocol, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), udp_port)

static void test_malformed(void)
{
    const struct pb_inner found[] = {
        AROUND(17, 4789, 0, 0, 0, 0, 0, 0, 1, 0),             /* VXLAN without a valid identifier */
        AROUND(17, 6081, 0x40, 0, 8, 0, 0, 0, 1, 0),          /* Geneve version 1 */
        AROUND(17, 2152, 0x20, 255, 0, 60, 0, 0, 0, 1),       /* GTP' */
        AROUND(17, 2152, 0x50, 255, 0, 60, 0, 0, 0, 1),       /* GTP version 2 */
        AROUND(17, 2152, 0x34, 255, 0, 60, 0, 0, 0, 1, 0, 0, 0, 0x85, 0), /* an extension of no length */
        AROUND(47, 0, 0x40, 0, 8, 0, 0, 0, 0, 0),             /* GRE with routing */
        AROUND(47, 0, 0, 2, 8, 0),                            /* GRE version 2 */
        AROUND(47, 0, 0x30, 1, 8, 0, 0, 60, 0, 1, 0, 0, 0, 0), /* GRE version 1 without PPP */
        AROUND(97, 0, 0x20, 0),                               /* EtherIP version 2 */
        AROUND(41, 0, 0x70, 0),                               /* no IPv6 header */
    };
    for (uint32_t i = 0; i < sizeof(found) / sizeof(found[0]); i++) {
        CHECK_EQUAL(found[i].depth, 0);
        CHECK_EQUAL(found[i].reason, PB_INNER_MALFORMED);
    }
}

static void test_no_tunnel(void)
{
    const struct pb_inner found[] = {
        AROUND(17, 53, 8, 0, 0, 0, 0, 0, 1, 0),
        AROUND(17, 2152, 0x30, 254, 0, 60, 0, 0, 0, 1), /* GTP-U end marker: signalling */
        AROUND(1, 0, 3, 4, 0, 0, 0, 0, 5, 0xdc),        /* an ICMP error quotes a packet */
        AROUND(47, 0, 0x20, 1, 0x88, 0x0b, 0, 0, 0, 1), /* PPTP acknowledgment */
        AROUND(47, 0, 0, 0, 0, 0),                      /* GRE keepalive */
        AROUND(50, 0, 0, 0, 0, 1, 0, 0, 0, 1),          /* encrypted */
        AROUND(115, 0, 0, 0, 0, 1),                     /* L2TP version 3 */
        AROUND(17, 3544, 0x60, 0, 0, 0, 0, 1, 17, 64),  /* starts as Teredo's IPv6, but does not fill the datagram */
    };
    for (uint32_t i = 0; i < sizeof(found) / sizeof(found[0]); i++) {
        CHECK_EQUAL(found[i].depth, 0);
        CHECK_EQUAL(found[i].reason, PB_INNER_NONE);
    }
}

/* An inner length that claims more than the tunnel holds is clipped; one that claims less hides what follows. */
static void test_inner_lengths(void)
{
    struct made made;
    struct pb_inner inner;
    for (uint32_t length = 0; length <= 200; length++) {
        make_plain(&made, 4);
        made_put16(made_bytes(&made) + 2, length);
        wrap_ipv4(&made, 4, 77);
        wrap_ethernet(&made, PB_ETHERTYPE_IPV4, 2);
        hash_of(&made, true, &inner);
        CHECK_EQUAL(inner.depth, 1);
        CHECK_EQUAL(inner.headers.l4_offset != 0, length == 0 || length >= 24);
    }
    /* The outer datagram's end hides an inner header in the padding behind it. */
    make_plain(&made, 4);
    wrap_ipv4(&made, 4, 77);
    made_put16(made_bytes(&made) + 2, 20 + 19);
    wrap_ethernet(&made, PB_ETHERTYPE_IPV4, 2);
    hash_of(&made, true, &inner);
    CHECK(inner.depth == 0 && inner.reason == PB_INNER_TRUNCATED);
}

/* Each length between the headers hides what lies behind it: here one byte of the inner IP header. */
static void test_tunnel_lengths(void)
{
    static const struct {
        wrapper wrap;
        uint32_t at, short_by; /* where the length stands behind the outer IP header; what it counts but the inner packet */
    } cases[] = {{vxlan, 4, 8 + 8 + 14}, {gtpu, 8 + 2, 0}, {pptp, 4, 1}};
    for (uint32_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++)
        for (uint32_t hidden = 0; hidden < 2; hidden++) {
            struct made made;
            struct pb_inner inner;
            make_plain(&made, 4);
            uint8_t protocol = cases[c].wrap(&made, 4);
            made_put16(made_bytes(&made) + cases[c].at, cases[c].short_by + 20 - hidden);
            wrap_ipv4(&made, protocol, 77);
            wrap_ethernet(&made, PB_ETHERTYPE_IPV4, 2);
            hash_of(&made, true, &inner);
            CHECK_EQUAL(inner.depth, !hidden);
            CHECK_EQUAL(inner.reason, hidden ? PB_INNER_TRUNCATED : PB_INNER_NONE);
        }
    for (uint32_t hidden = 0; hidden < 2; hidden++) {
        struct made made;
        struct pb_packet packet;
        make_plain(&made, 4);
        made_put(&made, (const uint8_t[]){0x11, 0, 0, 1, 0, (uint8_t)(22 - hidden), 0, 0x21}, 8);
        wrap_ethernet(&made, 0x8864, 2);
        made_packet(&made, made_length(&made), PB_LINK_ETHERNET, &packet);
        CHECK_EQUAL(packet.headers.ip_version, hidden ? 0 : 4);
        made_free(&packet);
    }
}

/* Behind a label, IPv4 from 8.0.69.1 reads as a frame that carries IPv4; its checksum tells. Neither IP nor a frame: nothing. */
static void test_mpls_guesses(void)
{
    for (uint32_t c = 0; c < 2; c++) {
        struct made made;
        struct pb_packet packet;
        make_plain(&made, 4);
        uint8_t *ip = made_bytes(&made);
        const uint32_t l3 = PB_ETHERNET_BYTES + 4;
        memcpy(ip + 10, (const uint8_t[]){0, 0, 8, 0, 0x45, 1}, 6);
        uint16_t checksum = pb_checksum_finish(pb_checksum_add(0, ip, PB_IPV4_BYTES));
        memcpy(ip + 10, &checksum, 2);
        if (c == 1)
            memset(ip, 0x50, 20);
        made_put(&made, (const uint8_t[]){0, 2, 1, 64}, 4);
        wrap_ethernet(&made, PB_ETHERTYPE_MPLS, 2);
        made_packet(&made, made_length(&made), PB_LINK_ETHERNET, &packet);
        CHECK_EQUAL(packet.headers.ip_version, c == 0 ? 4 : 0);
        CHECK_EQUAL(packet.headers.l3_offset, c == 0 ? l3 : 0);
        made_free(&packet);
    }
}

/* Make the IPv4 header at the front a fragment's. */
static void set_ipv4_fragment(struct made *made, uint16_t place)
{
    made_put16(made_bytes(made) + 4, 0x1234);
    made_put16(made_bytes(made) + 6, place);
}

static void test_fragments(void)
{
    static const struct {
        uint16_t place;
        uint32_t walk, depth, reason;
    } cases[] = {
        {0x2000, PB_INNER_TUNNELS, 0, PB_INNER_FRAGMENT}, /* all alike without PB_INNER_FIRST_FRAGMENTS */
        {0x2000, PB_INNER_TUNNELS | PB_INNER_FIRST_FRAGMENTS, 1, PB_INNER_NONE},
        {0x0005, PB_INNER_TUNNELS, 0, PB_INNER_FRAGMENT},
        {0x2005, PB_INNER_TUNNELS | PB_INNER_FIRST_FRAGMENTS, 0, PB_INNER_FRAGMENT},
        {0x4000, PB_INNER_TUNNELS, 1, PB_INNER_NONE}, /* "don't fragment" alone */
    };
    for (uint32_t t = 0; t < TUNNELS; t++)
        for (uint32_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
            struct made made;
            make_plain(&made, 6);
            wrap_ip(&made, 4, tunnels[t].wrap(&made, 6), 77);
            set_ipv4_fragment(&made, cases[c].place);
            const uint32_t bytes = made_length(&made) - 20;
            wrap_ethernet(&made, PB_ETHERTYPE_IPV4, 2);
            struct pb_packet packet;
            made_packet(&made, made_length(&made), PB_LINK_ETHERNET, &packet);
            struct pb_inner inner = find(&packet, cases[c].walk);
            CHECK_EQUAL(inner.depth, cases[c].depth);
            CHECK_EQUAL(inner.reason, cases[c].reason);
            CHECK_EQUAL(inner.fragments_count, cases[c].place != 0x4000);
            if (inner.fragments_count == 1) {
                CHECK_EQUAL(inner.fragments[0].at, cases[c].place & 0x1fff);
                CHECK_EQUAL(inner.fragments[0].more, (cases[c].place & 0x2000) != 0);
                CHECK_EQUAL(inner.fragments[0].units, (bytes + 7) / 8);
            }
            made_free(&packet);
        }
}

/* IPv6: the fragment header behind another extension, destination options behind it, and an atomic fragment. */
static void test_ipv6_fragments(void)
{
    for (uint32_t c = 0; c < 3; c++) {
        const uint8_t place = (const uint8_t[]){1, 0, 0x11}[c]; /* first of several, atomic, later */
        struct made made;
        made_start(&made, 1000, 2000);
        made_put(&made, (const uint8_t[8]){PB_PROTOCOL_TCP, 0, 1, 4}, 8);
        made_put(&made, (const uint8_t[]){60, 0, 0, place, 0, 0, 0x12, 0x34}, 8);
        made_put(&made, (const uint8_t[8]){44, 0, 1, 4}, 8);
        wrap_ipv6(&made, 0, 1);
        wrap_ethernet(&made, PB_ETHERTYPE_IPV6, 2);
        struct pb_packet packet;
        made_packet(&made, made_length(&made), PB_LINK_ETHERNET, &packet);
        CHECK_EQUAL(packet.headers.l4_offset != 0, c == 1); /* what parse.h promises */
        struct pb_inner inner = find(&packet, PB_INNER_FIRST_FRAGMENTS);
        CHECK_EQUAL(inner.fragments_count, c != 1);
        CHECK_EQUAL(inner.headers.l4_offset != 0, c != 2);
        if (c != 2)
            CHECK(pb_hash_headers(packet.data, &inner.headers, 4) == plain_hash(6));
        else
            CHECK_EQUAL(inner.headers.ip_protocol, 60);
        made_free(&packet);
    }
}

/* Of two fragment headers the first one counts. */
static void test_two_fragment_headers(void)
{
    struct made made;
    struct pb_packet packet;
    made_start(&made, 1000, 2000);
    made_put(&made, (const uint8_t[]){PB_PROTOCOL_TCP, 0, 0, 0x11, 0, 0, 0, 2}, 8);
    made_put(&made, (const uint8_t[]){44, 0, 0, 1, 0, 0, 0, 1}, 8);
    wrap_ipv6(&made, 44, 1);
    wrap_ethernet(&made, PB_ETHERTYPE_IPV6, 2);
    made_packet(&made, made_length(&made), PB_LINK_ETHERNET, &packet);
    struct pb_inner inner = find(&packet, PB_INNER_FIRST_FRAGMENTS);
    CHECK_EQUAL(inner.fragments_count, 1);
    CHECK_EQUAL(inner.fragments[0].at, 0);
    CHECK(inner.headers.l4_offset != 0);
    made_free(&packet);
}

/* What a link puts before IP is no tunnel: the outer headers lie behind it. */
static void test_link(void)
{
    for (uint8_t version = 4; version <= 6; version += 2)
        for (uint32_t c = 0; c < 6; c++) {
            struct made made;
            make_plain(&made, version);
            uint16_t type = 0x8847;
            if (c < 2) { /* PPPoE, protocol in two bytes or in one */
                made_put(&made, (const uint8_t[]){0, version == 4 ? 0x21 : 0x57} + c, 2 - c);
                uint32_t length = made_length(&made);
                made_put16(made_wrap(&made, 6) + 4, length);
                made_bytes(&made)[0] = 0x11;
                type = 0x8864;
            } else { /* MPLS: IP, a pseudo-wire with and without control word, under a tag */
                if (c >= 3)
                    wrap_ethernet(&made, ethertype_of(version), 0x64);
                if (c == 4)
                    made_put(&made, (const uint8_t[]){0, 0, 0, 9}, 4);
                made_put(&made, (const uint8_t[]){0, 1, 0, 64, 0, 2, 1, 64}, 8);
            }
            if (c == 5) {
                made_put(&made, (const uint8_t[]){0, 7, 0x88, 0x48}, 4);
                type = 0x8100;
            }
            wrap_ethernet(&made, type, 2);
            for (uint32_t cut = 0; cut <= made_length(&made); cut++) {
                struct pb_packet packet;
                made_packet(&made, cut, PB_LINK_ETHERNET, &packet);
                struct pb_inner inner = find(&packet, PB_INNER_TUNNELS);
                CHECK_EQUAL(inner.depth, 0);
                CHECK_EQUAL(packet.headers.ip_version, cut >= made_length(&made) - 40 ? version : 0);
                if (cut == made_length(&made))
                    CHECK(pb_flow_hash(&packet, 4) == plain_hash(version));
                made_free(&packet);
            }
        }
}

int main(void)
{
    test_each_tunnel();
    test_truncated();
    test_lying();
    test_nested();
    test_bombs();
    test_malformed();
    test_no_tunnel();
    test_inner_lengths();
    test_tunnel_lengths();
    test_mpls_guesses();
    test_fragments();
    test_two_fragment_headers();
    test_ipv6_fragments();
    test_link();
    return 0;
}
