/* checksum.c - see checksum.h. Engine thread; pure. */
#include "checksum.h"

#include <arpa/inet.h>

#include "parse.h"

#define TCP_CHECKSUM_AT 16
#define UDP_CHECKSUM_AT 6

uint64_t pb_checksum_add(uint64_t sum, const uint8_t *bytes, uint32_t length)
{
    for (; length >= 4; bytes += 4, length -= 4)
        sum += pb_load32(bytes);
    if (length >= 2) {
        uint16_t word;
        memcpy(&word, bytes, 2);
        sum += word;
        bytes += 2;
    }
    if (length & 1) {
        uint16_t word = 0;
        memcpy(&word, bytes, 1); /* followed by a zero byte, in either byte order */
        sum += word;
    }
    return sum;
}

uint16_t pb_checksum_finish(uint64_t sum)
{
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

uint64_t pb_checksum_pseudo(const uint8_t *addresses, uint32_t address_bytes, uint8_t protocol, uint32_t length)
{
    return pb_checksum_add((uint64_t)htonl(length) + htons(protocol), addresses, 2 * address_bytes);
}

bool pb_checksum_complete(struct pb_packet *packet, uint8_t *data)
{
    pb_parse(packet);
    uint32_t at = packet->headers.ip_protocol == PB_PROTOCOL_TCP   ? TCP_CHECKSUM_AT
                  : packet->headers.ip_protocol == PB_PROTOCOL_UDP ? UDP_CHECKSUM_AT
                                                           : 0;
    if (at == 0 || packet->headers.l4_offset == 0 || packet->captured_len < packet->wire_len)
        return false;
    const uint8_t *ip = data + packet->headers.l3_offset;
    /* Lengths of 0 are those of frames that the hardware was to split: they reach to the end. */
    uint32_t stated = packet->headers.ip_version == 4 ? pb_be16(ip + 2) : pb_be16(ip + 4);
    uint32_t end = packet->headers.l3_offset + stated + (packet->headers.ip_version == 4 ? 0 : PB_IPV6_BYTES);
    if (stated == 0)
        end = packet->captured_len;
    if (end > packet->captured_len || packet->headers.l4_offset + at + 2 > end)
        return false;
    uint8_t *header = data + packet->headers.l4_offset;
    uint32_t length = end - packet->headers.l4_offset;
    memset(header + at, 0, 2);
    uint64_t sum = packet->headers.ip_version == 4 ? pb_checksum_pseudo(ip + 12, 4, packet->headers.ip_protocol, length)
                                           : pb_checksum_pseudo(ip + 8, 16, packet->headers.ip_protocol, length);
    uint16_t checksum = pb_checksum_finish(pb_checksum_add(sum, header, length));
    if (checksum == 0 && packet->headers.ip_protocol == PB_PROTOCOL_UDP)
        checksum = 0xffff; /* 0 would mean: none (RFC 768) */
    memcpy(header + at, &checksum, 2);
    return true;
}
