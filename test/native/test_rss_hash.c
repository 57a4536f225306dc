/*
 * test_rss_hash.c - the Toeplitz hash against the published vectors, and its tables
 * against the definition, bit by bit.
 *
 * Vectors: "Verifying the RSS hash calculation", Microsoft's driver documentation.
 */
#include <arpa/inet.h>

#include "check.h"
#include "core/rss_hash.h"
#include "toeplitz_bits.h"

static const struct vector {
    int family;
    const char *destination, *source;
    uint16_t destination_port, source_port;
    uint32_t addresses, with_ports;
} vectors[] = {
    {AF_INET, "161.142.100.80", "66.9.149.187", 1766, 2794, 0x323e8fc2, 0x51ccc178},
    {AF_INET, "65.69.140.83", "199.92.111.2", 4739, 14230, 0xd718262a, 0xc626b0ea},
    {AF_INET, "12.22.207.184", "24.19.198.95", 38024, 12898, 0xd2d0a5de, 0x5c2b394a},
    {AF_INET, "209.142.163.6", "38.27.205.30", 2217, 48228, 0x82989176, 0xafc7327f},
    {AF_INET, "202.188.127.2", "153.39.163.191", 1303, 44251, 0x5d1809c5, 0x10e828a2},
    {AF_INET6, "3ffe:2501:200:3::1", "3ffe:2501:200:1fff::7", 1766, 2794, 0x2cc18cd5, 0x40207d3d},
    {AF_INET6, "ff02::1", "3ffe:501:8::260:97ff:fe40:efab", 4739, 14230, 0x0f0c461c, 0xdde51bbf},
    {AF_INET6, "fe80::200:f8ff:fe21:67cf", "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 38024, 44251, 0x4b61e985, 0x02d1feef},
};

/* TCP over IP between the vector's endpoints, behind `tags` VLAN tags. Returns the length. */
static uint32_t build(uint8_t *frame, const struct vector *vector, uint32_t tags)
{
    memset(frame, 0, 128);
    uint8_t *at = frame + 12;
    for (uint32_t i = 0; i < tags; i++, at += 4)
        memcpy(at, (const uint8_t[]){0x81, 0, 0, 7}, 4);
    bool ipv6 = vector->family == AF_INET6;
    memcpy(at, ipv6 ? (const uint8_t[]){0x86, 0xdd} : (const uint8_t[]){8, 0}, 2);
    uint8_t *ip = at + 2;
    uint32_t header = ipv6 ? 40 : 20, address = ipv6 ? 16 : 4;
    memcpy(ip, ipv6 ? (const uint8_t[]){0x60, 0, 0, 0, 0, 20, 6, 64} : (const uint8_t[]){0x45, 0, 0, 40, 0, 0, 0, 0}, 8);
    if (!ipv6)
        memcpy(ip + 8, (const uint8_t[]){64, 6}, 2);
    CHECK(inet_pton(vector->family, vector->source, ip + header - 2 * address) == 1);
    CHECK(inet_pton(vector->family, vector->destination, ip + header - address) == 1);
    uint16_t ports[] = {htons(vector->source_port), htons(vector->destination_port)};
    memcpy(ip + header, ports, sizeof(ports));
    return (uint32_t)(ip + header + 20 - frame);
}

static void test_vectors(void)
{
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
        for (uint32_t tags = 0; tags < 3; tags++) {
            uint8_t frame[128];
            struct pb_packet packet;
            uint32_t length = build(frame, &vectors[i], tags);
            pb_packet_init(&packet, frame, length, length, 0, PB_LINK_ETHERNET);
            CHECK_EQUAL(pb_rss_hash(&packet, 2), vectors[i].addresses);
            CHECK_EQUAL(pb_rss_hash(&packet, 4), vectors[i].with_ports);
        }
}

static void test_tables(void)
{
    uint8_t input[PB_RSS_INPUT_BYTES] = {0};
    for (uint32_t place = 0; place < sizeof(input); place++) {
        for (uint32_t value = 0; value < 256; value++) {
            input[place] = (uint8_t)value;
            uint32_t hash = 0;
            for (uint32_t word = 0; word < sizeof(input); word += 4)
                hash ^= pb_rss_word(input + word, word, 4);
            CHECK_EQUAL(hash, toeplitz_bits(input, sizeof(input)));
        }
        input[place] = (uint8_t)(place * 37 + 1); /* what follows is not hashed over zeros alone */
    }
}

/* Both ways to the hash of 8 bytes, over inputs of every bit alone and of many together. */
static void test_fast(void)
{
    if (!pb_rss_has_fast())
        printf("not here: carry-less multiplication and GFNI; only the tables are tested\n");
    uint64_t word = 1;
    for (uint32_t i = 0; i < 10000; i++) {
        uint8_t input[8];
        memcpy(input, &word, sizeof(input));
        uint32_t expected = toeplitz_bits(input, sizeof(input));
        CHECK_EQUAL(pb_rss_by_table(input), expected);
        if (pb_rss_has_fast())
            CHECK_EQUAL(pb_rss_fast(input), expected);
        word = i < 63 ? word << 1 : word * 6364136223846793005u + 1442695040888963407u;
    }
}

/* A fragment has no ports; ICMP has none either. */
static void test_without_ports(void)
{
    uint8_t frame[128];
    struct pb_packet packet;
    uint32_t length = build(frame, &vectors[0], 0);
    frame[20] = 0x20; /* more fragments */
    pb_packet_init(&packet, frame, length, length, 0, PB_LINK_ETHERNET);
    CHECK_EQUAL(pb_rss_hash(&packet, 4), vectors[0].addresses);
    frame[20] = 0;
    frame[23] = 1;
    pb_packet_init(&packet, frame, length, length, 0, PB_LINK_ETHERNET);
    CHECK_EQUAL(pb_rss_hash(&packet, 4), vectors[0].addresses);
}

int main(void)
{
    pb_rss_prepare();
    test_vectors();
    test_tables();
    test_fast();
    test_without_ports();
    return 0;
}
