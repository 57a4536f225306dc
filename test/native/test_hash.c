/*
 * test_hash.c - the flow hash against what it promises: symmetric, every
 * address byte counts, spread on structured traffic, chains independent.
 */
#include <math.h>

#include "check.h"
#include "core/hash.h"

struct flow {
    bool ipv6;
    uint8_t protocol; /* 0: UDP */
    uint8_t source[16], destination[16];
    uint16_t source_port, destination_port;
};

static const uint32_t tuples[] = {2, 4, 5};

/* UDP, or what flow->protocol says, over IPv4 or IPv6, behind `tags` 802.1Q tags. Returns the length. */
static uint32_t build(uint8_t *frame, const struct flow *flow, bool reverse, uint32_t tags)
{
    const uint8_t *from = reverse ? flow->destination : flow->source, *to = reverse ? flow->source : flow->destination;
    uint16_t from_port = reverse ? flow->destination_port : flow->source_port;
    uint16_t to_port = reverse ? flow->source_port : flow->destination_port;
    memset(frame, 0, 256);
    uint8_t *at = frame + 12;
    for (uint32_t i = 0; i < tags; i++, at += 4)
        memcpy(at, i == 0 && tags > 1 ? (const uint8_t[]){0x88, 0xa8, 0, 5} : (const uint8_t[]){0x81, 0, 0, 7}, 4);
    memcpy(at, flow->ipv6 ? (const uint8_t[]){0x86, 0xdd} : (const uint8_t[]){8, 0}, 2);
    uint8_t *ip = at + 2;
    uint32_t header = flow->ipv6 ? 40 : 20, address = flow->ipv6 ? 16 : 4;
    if (flow->ipv6) {
        ip[0] = 0x60;
        ip[5] = 8;
        ip[6] = flow->protocol ? flow->protocol : 17;
    } else {
        ip[0] = 0x45;
        ip[3] = 28;
        ip[9] = flow->protocol ? flow->protocol : 17;
    }
    memcpy(ip + header - 2 * address, from, address);
    memcpy(ip + header - address, to, address);
    uint8_t *udp = ip + header;
    memcpy(udp, (const uint8_t[]){(uint8_t)(from_port >> 8), (uint8_t)from_port, (uint8_t)(to_port >> 8), (uint8_t)to_port, 0, 8}, 6);
    return (uint32_t)(udp + 8 - frame);
}

static uint32_t hash_of(const struct flow *flow, bool reverse, uint32_t tags, uint32_t tuple)
{
    uint8_t frame[256];
    struct pb_packet packet;
    uint32_t length = build(frame, flow, reverse, tags);
    pb_packet_init(&packet, frame, length, length, 0, PB_LINK_ETHERNET);
    return pb_flow_hash(&packet, tuple);
}

/* Flow i of a structured set. */
static struct flow structured(const char *set, uint32_t i)
{
    struct flow flow = {.source_port = 1024, .destination_port = 443};
    uint8_t high = (uint8_t)(i >> 8), low = (uint8_t)i;
    memcpy(flow.source, (const uint8_t[]){10, 0, high, low}, 4);
    memcpy(flow.destination, (const uint8_t[]){10, 1, high, low}, 4);
    if (strcmp(set, "one server") == 0)
        memcpy(flow.destination, (const uint8_t[]){192, 0, 2, 1}, 4);
    if (strcmp(set, "sequential ports") == 0) {
        memset(flow.source + 2, 0, 2);
        memset(flow.destination + 2, 0, 2);
        flow.source_port = (uint16_t)(1024 + i);
    }
    if (strcmp(set, "ipv6 /64s") == 0) {
        flow.ipv6 = true;
        memcpy(flow.source, (const uint8_t[]){0x20, 1, 0x0d, 0xb8, 0, 0, high, low, 0, 0, 0, 0, 0, 0, 0, 1}, 16);
        memcpy(flow.destination, (const uint8_t[]){0x20, 1, 0x0d, 0xb8, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 16);
    }
    return flow;
}

/* Chi-square over `outputs` for 10,000 flows; `conditional`: only those whose parent chose output 0. */
static double chi_square(const char *set, uint32_t tuple, uint32_t outputs, bool conditional)
{
    double counts[64] = {0}, chi = 0, total = 0;
    for (uint32_t i = 0; i < 10000; i++) {
        struct flow flow = structured(set, i);
        uint32_t hash = hash_of(&flow, i & 1, i % 3, tuple);
        if (conditional && pb_hash_output(hash, 0, outputs) != 0)
            continue;
        counts[pb_hash_output(hash, conditional ? 1 : 0, outputs)]++;
        total++;
    }
    for (uint32_t o = 0; o < outputs; o++)
        chi += (counts[o] - total / outputs) * (counts[o] - total / outputs) / (total / outputs);
    return chi;
}

static void test_symmetry(void)
{
    static const char *const sets[] = {"i to i", "one server", "sequential ports", "ipv6 /64s"};
    for (uint32_t s = 0; s < 4; s++)
        for (uint32_t i = 0; i < 1000; i++) {
            struct flow flow = structured(sets[s], i);
            for (uint32_t t = 0; t < 3; t++) {
                uint32_t hash = hash_of(&flow, false, 0, tuples[t]);
                CHECK_EQUAL(hash_of(&flow, true, 0, tuples[t]), hash);
                CHECK_EQUAL(hash_of(&flow, true, 1, tuples[t]), hash);
                CHECK_EQUAL(hash_of(&flow, false, 5, tuples[t]), hash);
            }
        }
}

static void test_spread(void)
{
    /* Level 0.0001: 27.86 with 6 degrees of freedom (7 outputs). The hash is fixed, so this is no gamble. */
    static const char *const sets[] = {"i to i", "one server", "sequential ports", "ipv6 /64s"};
    for (uint32_t s = 0; s < 4; s++) {
        for (uint32_t t = 0; t < 3; t++) {
            if (tuples[t] == 2 && s == 2)
                continue; /* one pair of hosts */
            CHECK(chi_square(sets[s], tuples[t], 7, false) < 27.86);
            CHECK(chi_square(sets[s], tuples[t], 7, true) < 27.86);
        }
    }
}

static void test_every_byte(void)
{
    for (uint32_t ipv6 = 0; ipv6 < 2; ipv6++) {
        struct flow flow = structured(ipv6 ? "ipv6 /64s" : "i to i", 3);
        for (uint32_t byte = 0; byte < (ipv6 ? 16u : 4u); byte++) {
            struct flow other = flow;
            other.source[byte] ^= 1;
            CHECK(hash_of(&flow, false, 0, 2) != hash_of(&other, false, 0, 2));
            other = flow;
            other.destination[byte] ^= 0x80;
            CHECK(hash_of(&flow, false, 0, 4) != hash_of(&other, false, 0, 4));
        }
        struct flow other = flow;
        other.source_port++;
        CHECK(hash_of(&flow, false, 0, 4) != hash_of(&other, false, 0, 4));
        CHECK_EQUAL(hash_of(&flow, false, 0, 2), hash_of(&other, false, 0, 2));
    }
}

/* The protocol is part of the 5-tuple alone; without ports the 4-tuple is the addresses. */
static void test_protocol(void)
{
    for (uint32_t ipv6 = 0; ipv6 < 2; ipv6++) {
        struct flow udp = structured(ipv6 ? "ipv6 /64s" : "i to i", 5), tcp = udp, icmp = udp;
        tcp.protocol = PB_PROTOCOL_TCP;
        icmp.protocol = 1;
        CHECK_EQUAL(hash_of(&tcp, false, 0, 2), hash_of(&udp, false, 0, 2));
        CHECK_EQUAL(hash_of(&tcp, false, 0, 4), hash_of(&udp, false, 0, 4));
        CHECK(hash_of(&tcp, false, 0, 5) != hash_of(&udp, false, 0, 5));
        struct flow other = icmp;
        other.source_port ^= 0x55;
        for (uint32_t t = 0; t < 3; t++)
            CHECK_EQUAL(hash_of(&other, false, 0, tuples[t]), hash_of(&icmp, false, 0, tuples[t]));
        CHECK_EQUAL(hash_of(&icmp, false, 0, 4), hash_of(&icmp, false, 0, 2));
        CHECK(hash_of(&icmp, false, 0, 5) != hash_of(&icmp, false, 0, 4));
    }
}

/* Cut at every length: never a read behind the end (ASan watches), and a defined hash. */
static void test_truncated(void)
{
    struct flow flow = structured("ipv6 /64s", 9);
    for (uint32_t ipv6 = 0; ipv6 < 2; ipv6++) {
        flow.ipv6 = ipv6;
        uint8_t frame[256];
        uint32_t length = build(frame, &flow, false, 2);
        for (uint32_t cut = 0; cut <= length; cut++) {
            uint8_t *bytes = malloc(cut + (cut == 0));
            memcpy(bytes, frame, cut);
            struct pb_packet packet;
            pb_packet_init(&packet, bytes, cut, length, 0, PB_LINK_ETHERNET);
            uint32_t hash = pb_flow_hash(&packet, 4);
            pb_parse(&packet);
            CHECK(cut >= 14 || hash == 0);
            CHECK((packet.headers.l4_offset != 0) == (cut + 4 >= length)); /* ports are 4 of UDP's 8 bytes */
            free(bytes);
        }
    }
}

static void test_not_ip(void)
{
    uint8_t there[60] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x06}, back[60] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x06};
    struct pb_packet a, b;
    pb_packet_init(&a, there, 60, 60, 0, PB_LINK_ETHERNET);
    pb_packet_init(&b, back, 60, 60, 0, PB_LINK_ETHERNET);
    CHECK_EQUAL(pb_flow_hash(&a, 4), pb_flow_hash(&b, 4));
    there[11] = 9;
    pb_packet_init(&a, there, 60, 60, 0, PB_LINK_ETHERNET);
    CHECK(pb_flow_hash(&a, 4) != pb_flow_hash(&b, 4));
}

int main(void)
{
    test_symmetry();
    test_spread();
    test_every_byte();
    test_protocol();
    test_truncated();
    test_not_ip();
    return 0;
}
