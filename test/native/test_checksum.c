/*
 * test_checksum.c - completing checksums, beside a slow and obvious sum over
 * big-endian words.
 */
#include "check.h"
#include "core/checksum.h"
#include "core/parse.h"

/* RFC 1071 section 4.1, word by word; odd lengths are padded with a zero. */
static uint16_t slow_checksum(const uint8_t *bytes, uint32_t length)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < length; i++)
        sum += i % 2 == 0 ? bytes[i] << 8 : bytes[i];
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* A frame with `payload` bytes behind TCP or UDP, `padding` zeros behind all. Returns its length. */
static uint32_t build(uint8_t *frame, bool ipv6, bool tcp, uint32_t payload, uint32_t padding)
{
    uint32_t l4_bytes = (tcp ? 20u : 8u) + payload;
    memset(frame, 0, 2048);
    memcpy(frame + 12, ipv6 ? (const uint8_t[]){0x86, 0xdd} : (const uint8_t[]){8, 0}, 2);
    uint8_t *ip = frame + 14, *l4 = ip + (ipv6 ? 40 : 20);
    uint32_t total = ipv6 ? l4_bytes : 20 + l4_bytes;
    uint8_t protocol = tcp ? PB_PROTOCOL_TCP : PB_PROTOCOL_UDP;
    for (uint32_t i = 0; i < (ipv6 ? 32u : 8u); i++)
        ip[(ipv6 ? 8 : 12) + i] = (uint8_t)(37 * i + payload);
    ip[0] = ipv6 ? 0x60 : 0x45;
    memcpy(ip + (ipv6 ? 4 : 2), (const uint8_t[]){(uint8_t)(total >> 8), (uint8_t)total}, 2);
    ip[ipv6 ? 6 : 9] = protocol;
    for (uint32_t i = 0; i < l4_bytes; i++)
        l4[i] = (uint8_t)(11 * i + 5);
    return (uint32_t)(l4 + l4_bytes - frame) + padding;
}

/* The right checksum, from a copy of pseudo-header and segment side by side. */
static uint16_t expected(const uint8_t *frame, bool ipv6, bool tcp, uint32_t payload)
{
    uint8_t joined[2048] = {0};
    const uint8_t *ip = frame + 14;
    uint32_t address_bytes = ipv6 ? 32 : 8, length = (tcp ? 20u : 8u) + payload;
    memcpy(joined, ip + (ipv6 ? 8 : 12), address_bytes);
    joined[address_bytes + 2] = (uint8_t)(length >> 8);
    joined[address_bytes + 3] = (uint8_t)length;
    joined[address_bytes + 7] = tcp ? PB_PROTOCOL_TCP : PB_PROTOCOL_UDP;
    memcpy(joined + address_bytes + 8, ip + (ipv6 ? 40 : 20), length);
    memset(joined + address_bytes + 8 + (tcp ? 16 : 6), 0, 2);
    uint16_t checksum = slow_checksum(joined, address_bytes + 8 + length);
    return checksum == 0 && !tcp ? 0xffff : checksum;
}

int main(void)
{
    uint8_t frame[2048];
    for (uint32_t variant = 0; variant < 4; variant++) {
        bool ipv6 = variant & 1, tcp = variant & 2;
        for (uint32_t payload = 0; payload < 1400; payload++) {
            uint32_t length = build(frame, ipv6, tcp, payload, payload % 5);
            struct pb_packet packet;
            pb_packet_init(&packet, frame, length, length, 0, PB_LINK_ETHERNET);
            CHECK(pb_checksum_complete(&packet, frame));
            const uint8_t *at = frame + 14 + (ipv6 ? 40 : 20) + (tcp ? 16 : 6);
            CHECK_EQUAL(at[0] << 8 | at[1], expected(frame, ipv6, tcp, payload));
        }
    }
    /* Cut, or lying about its length: left alone. */
    uint8_t before[2048];
    uint32_t length = build(frame, false, true, 100, 0);
    memcpy(before, frame, sizeof(before));
    for (uint32_t cut = 0; cut < length; cut++) {
        struct pb_packet packet;
        pb_packet_init(&packet, frame, cut, length, 0, PB_LINK_ETHERNET);
        CHECK(!pb_checksum_complete(&packet, frame));
        pb_packet_init(&packet, frame, cut, cut, 0, PB_LINK_ETHERNET);
        CHECK(!pb_checksum_complete(&packet, frame));
    }
    CHECK(memcmp(before, frame, sizeof(before)) == 0);
    return 0;
}
