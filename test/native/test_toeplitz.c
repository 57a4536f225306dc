/*
 * test_toeplitz.c - the Toeplitz hash against vectors derived by hand, and
 * against one computed bit by bit over all 96 bits, as its definition says.
 */
#include "check.h"
#include "core/flow.h"

#define LEVEL 1 /* of a balancer that has no brick above it */

/* The definition: for each bit of the input that is set, the 32 bits of the key from that place on. */
static uint32_t bit_serial(const uint8_t input[12])
{
    static const uint8_t key[16] = {0x50, 0x6d, 0x50, 0x6d, 0x50, 0x6d, 0x50, 0x6d,
                                    0x50, 0x6d, 0x50, 0x6d, 0x50, 0x6d, 0x50, 0x6d};
    uint32_t hash = 0;
    for (uint32_t place = 0; place < 96; place++) {
        uint32_t bits = 0;
        for (uint32_t i = place; i < place + 32; i++)
            bits = bits << 1 | (key[i / 8] >> (7 - i % 8) & 1);
        if (input[place / 8] >> (7 - place % 8) & 1)
            hash ^= bits;
    }
    return hash;
}

/* What packet-bricks hashes: addresses, and two numbers plus the level, cut to 16 bits. */
static uint32_t reference(const uint8_t addresses[8], uint32_t source_port, uint32_t destination_port, uint32_t level)
{
    uint8_t input[12];
    memcpy(input, addresses, 8);
    source_port += level;
    destination_port += level;
    memcpy(input + 8, (const uint8_t[]){(uint8_t)(source_port >> 8), (uint8_t)source_port,
                                        (uint8_t)(destination_port >> 8), (uint8_t)destination_port}, 4);
    return bit_serial(input);
}

struct frame {
    uint8_t bytes[128];
    uint32_t length;
};

static void add(struct frame *frame, const void *bytes, uint32_t count)
{
    memcpy(frame->bytes + frame->length, bytes, count);
    frame->length += count;
}

static void add_ethernet(struct frame *frame, uint16_t ethertype)
{
    frame->length = 0;
    add(frame, (const uint8_t[]){2, 0, 0x11, 0x22, 0x33, 0x44, 2, 0, 0x55, 0x66, 0x77, 0x88}, 12);
    add(frame, (const uint8_t[]){(uint8_t)(ethertype >> 8), (uint8_t)ethertype}, 2);
}

static void add_ipv4(struct frame *frame, const uint8_t addresses[8], uint8_t protocol, uint32_t payload, uint16_t flags)
{
    uint8_t header[20] = {0x45, 0, 0, (uint8_t)(20 + payload), 0, 1, (uint8_t)(flags >> 8), (uint8_t)flags, 64, protocol};
    memcpy(header + 12, addresses, 8);
    add(frame, header, 20);
}

static void add_ports(struct frame *frame, uint16_t source, uint16_t destination)
{
    add(frame, (const uint8_t[]){(uint8_t)(source >> 8), (uint8_t)source, (uint8_t)(destination >> 8), (uint8_t)destination,
                                 0, 8, 0, 0}, 8);
}

static uint32_t hash_of(const struct frame *frame, uint32_t tuple, uint32_t level)
{
    struct pb_packet packet;
    uint8_t *bytes = malloc(frame->length); /* of exactly that size: ASan watches */
    memcpy(bytes, frame->bytes, frame->length);
    pb_packet_init(&packet, bytes, frame->length, frame->length, 0, PB_LINK_ETHERNET);
    pb_parse(&packet);
    uint32_t word = pb_toeplitz_word(&packet, &packet.headers, tuple, level);
    struct pb_flow flow = {.tuple = tuple, .level = level, .toeplitz = true};
    struct pb_flow_hashes hashes = pb_flow_hashes_plain(&flow, &packet, tuple, true);
    CHECK_EQUAL(hashes.split, word);
    CHECK_EQUAL(packet.hash_tuple, 0);
    CHECK_EQUAL(hashes.identity, pb_flow_hash(&packet, tuple));
    free(bytes);
    return pb_toeplitz_hash(word);
}

/* Vectors by hand. The ports are equal, so they cancel; one bit of an address is left. */
static void test_by_hand(void)
{
    static const struct {
        uint8_t addresses[8];
        uint32_t hash;
    } vectors[] = {
        {{0x80, 0, 0, 0, 0, 0, 0, 0}, 0x506d506d},    /* place 0: the key as it is */
        {{0x40, 0, 0, 0, 0, 0, 0, 0}, 0xa0daa0da},    /* place 1: rotated left by 1 */
        {{0, 0, 0, 0, 0, 0, 0, 1}, 0xa836a836},       /* place 63, 15 behind a multiple of 16 */
        {{0, 0, 0x80, 0, 0, 0, 0, 0}, 0x506d506d},    /* place 16 is place 0 again */
        {{0x80, 0, 0x80, 0, 0, 0, 0, 0}, 0},          /* and cancels it */
        {{0xc0, 0, 0, 0, 0, 0, 0, 0}, 0xf0b7f0b7},    /* both: 506d ^ a0da */
        {{10, 0, 0, 1, 10, 1, 0, 1}, 0xa836a836},     /* 0a00 ^ 0001 ^ 0a01 ^ 0001 is 0001: place 15 */
        {{10, 0, 0, 9, 10, 1, 0, 9}, 0xa836a836},     /* and so for all 10.0.0.i with 10.1.0.i */
    };
    for (uint32_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        struct frame frame;
        add_ethernet(&frame, PB_ETHERTYPE_IPV4);
        add_ipv4(&frame, vectors[i].addresses, PB_PROTOCOL_UDP, 8, 0);
        add_ports(&frame, 4711, 4711);
        CHECK_EQUAL(hash_of(&frame, 4, LEVEL), vectors[i].hash);
    }
}

/* Without ports: fe00 ^ ff00 at level 1, so place 7 of the key, 506d rotated left by 7; at level 0 fdff ^ feff, places 6 and 7. */
static void test_without_ports(void)
{
    static const uint8_t addresses[8] = {10, 0, 0, 1, 10, 0, 0, 1};
    static const uint8_t protocols[] = {1, PB_PROTOCOL_SCTP, PB_PROTOCOL_DCCP, 47, 50};
    struct frame frame;
    for (uint32_t i = 0; i < sizeof(protocols); i++) {
        add_ethernet(&frame, PB_ETHERTYPE_IPV4);
        add_ipv4(&frame, addresses, protocols[i], 8, 0);
        add_ports(&frame, 1000 + i, 80);
        CHECK_EQUAL(hash_of(&frame, 4, 1), 0x36a836a8);
        CHECK_EQUAL(hash_of(&frame, 4, 0), 0x36a836a8 ^ 0x1b541b54);
        CHECK_EQUAL(hash_of(&frame, 5, 1), 0x36a836a8 ^ reference((const uint8_t[8]){0, protocols[i]}, 0, 0, 0));
    }
    add_ethernet(&frame, PB_ETHERTYPE_IPV4);
    add_ipv4(&frame, addresses, PB_PROTOCOL_TCP, 8, 0x2000); /* a first fragment */
    add_ports(&frame, 1000, 80);
    CHECK_EQUAL(hash_of(&frame, 4, 1), 0x36a836a8);
}

static uint32_t random_state = 1;

static uint32_t random32(void)
{
    random_state = random_state * 1664525 + 1013904223;
    uint32_t high = random_state >> 16;
    random_state = random_state * 1664525 + 1013904223;
    return high << 16 | random_state >> 16;
}

/* Random flows, tuples and levels; behind tags and inside other IPv4 headers. */
static void test_reference(void)
{
    for (uint32_t i = 0; i < 200000; i++) {
        uint8_t addresses[8], outer[8] = {192, 0, 2, 1, 198, 51, 100, (uint8_t)i};
        for (uint32_t b = 0; b < 8; b++)
            addresses[b] = (uint8_t)random32();
        uint16_t source = (uint16_t)random32(), destination = (uint16_t)random32();
        uint8_t protocol = i % 2 ? PB_PROTOCOL_TCP : PB_PROTOCOL_UDP;
        uint32_t level = 1 + i % 5, tags = i / 5 % 3, depth = i / 15 % 3;
        struct frame frame;
        add_ethernet(&frame, tags > 0 ? 0x8100 : PB_ETHERTYPE_IPV4);
        for (uint32_t t = tags; t > 0; t--)
            add(&frame, t == 1 ? (const uint8_t[]){0, 7, 8, 0} : (const uint8_t[]){0, 7, 0x81, 0}, 4);
        for (uint32_t d = depth; d > 0; d--)
            add_ipv4(&frame, outer, PB_PROTOCOL_IPV4, 20 * d + 8, 0);
        add_ipv4(&frame, addresses, protocol, 8, 0x4000);
        add_ports(&frame, source, destination);
        uint32_t four = reference(addresses, source, destination, level);
        CHECK_EQUAL(hash_of(&frame, 4, level), four);
        CHECK_EQUAL(hash_of(&frame, 5, level), four ^ reference((const uint8_t[8]){0, protocol}, 0, 0, 0));
        CHECK_EQUAL(hash_of(&frame, 2, level), reference(depth > 0 ? outer : addresses, 0xfdff, 0xfeff, level));
    }
}

/* IPv4 in IPv4 that is cut, nested too deep, or holds something else: the headers around it, never a read too far. */
static void test_ipip_cut(void)
{
    static const uint8_t outer[8] = {10, 0, 0, 1, 10, 9, 0, 2}, inner[8] = {172, 16, 0, 1, 172, 16, 3, 4};
    struct frame frame;
    add_ethernet(&frame, PB_ETHERTYPE_IPV4);
    add_ipv4(&frame, outer, PB_PROTOCOL_IPV4, 28, 0);
    add_ipv4(&frame, inner, PB_PROTOCOL_UDP, 8, 0);
    add_ports(&frame, 1, 2);
    uint32_t whole = frame.length;
    for (frame.length = 34; frame.length <= whole; frame.length++) {
        bool inner_there = frame.length >= 54, ports_there = frame.length >= 58;
        uint32_t expected = ports_there   ? reference(inner, 1, 2, LEVEL)
                            : inner_there ? reference(inner, 0xfdff, 0xfeff, LEVEL)
                                          : reference(outer, 0xfdff, 0xfeff, LEVEL);
        CHECK_EQUAL(hash_of(&frame, 4, LEVEL), expected);
    }
    frame.length = whole;
    frame.bytes[34] = 0x65;
    CHECK_EQUAL(hash_of(&frame, 4, LEVEL), reference(outer, 0xfdff, 0xfeff, LEVEL));
}

/* The last four bytes of each MAC address, as packet-bricks puts them into numbers: the last byte is the highest. */
static void test_macs(void)
{
    struct frame frame;
    add_ethernet(&frame, 0x0806);
    add(&frame, (const uint8_t[28]){0, 1, 8, 0, 6, 4}, 28);
    uint32_t expected = reference((const uint8_t[8]){0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11}, 0xfdff, 0xfeff, LEVEL);
    CHECK_EQUAL(hash_of(&frame, 4, LEVEL), expected);
    CHECK_EQUAL(hash_of(&frame, 2, LEVEL), expected);
}

/* All 16 bytes of an IPv6 address count, and the ports; swapping the ends changes nothing. */
static void test_ipv6(void)
{
    struct frame frame;
    add_ethernet(&frame, PB_ETHERTYPE_IPV6);
    add(&frame, (const uint8_t[]){0x60, 0, 0, 0, 0, 8, PB_PROTOCOL_UDP, 64}, 8);
    for (uint8_t i = 0; i < 32; i++)
        add(&frame, &(uint8_t){(uint8_t)(i * 37 + 11)}, 1);
    add_ports(&frame, 5353, 53);
    uint32_t hash = hash_of(&frame, 4, LEVEL);
    for (uint32_t byte = 22; byte < 58; byte++) {
        frame.bytes[byte] ^= 4;
        CHECK(hash_of(&frame, 4, LEVEL) != hash);
        frame.bytes[byte] ^= 4;
    }
    struct frame back = frame;
    memcpy(back.bytes + 22, frame.bytes + 38, 16);
    memcpy(back.bytes + 38, frame.bytes + 22, 16);
    memcpy(back.bytes + 54, frame.bytes + 56, 2);
    memcpy(back.bytes + 56, frame.bytes + 54, 2);
    CHECK_EQUAL(hash_of(&back, 4, LEVEL), hash);
}

int main(void)
{
    test_by_hand();
    test_without_ports();
    test_reference();
    test_ipip_cut();
    test_macs();
    test_ipv6();
    return 0;
}
