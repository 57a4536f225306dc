/*
 * tunnel_packets.h - packets built from the inside out: each wrap_*() puts one header
 * before what is there, with lengths (and in IPv4 the checksum) that fit. For the C tests
 * and fuzz targets of core/inner.h and core/flow.h; memory is the caller's.
 */
#ifndef PB_TUNNEL_PACKETS_H
#define PB_TUNNEL_PACKETS_H

#include "core/checksum.h"
#include "core/inner.h"

#define MADE_BYTES 2048

struct made {
    uint8_t room[MADE_BYTES];
    uint32_t start; /* the packet is room[start..] */
};

static inline uint8_t *made_bytes(struct made *made)
{
    return made->room + made->start;
}

static inline uint32_t made_length(const struct made *made)
{
    return MADE_BYTES - made->start;
}

/* Zeroed room for a header before what is there. */
static inline uint8_t *made_wrap(struct made *made, uint32_t bytes)
{
    made->start -= bytes;
    return memset(made_bytes(made), 0, bytes);
}

static inline void made_put(struct made *made, const void *header, uint32_t bytes)
{
    memcpy(made_wrap(made, bytes), header, bytes);
}

static inline void made_put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* A TCP segment of a flow, as the innermost payload; any first 4 bytes are ports. */
static inline void made_start(struct made *made, uint16_t from, uint16_t to)
{
    made->start = MADE_BYTES;
    uint8_t *tcp = made_wrap(made, 40);
    made_put16(tcp, from);
    made_put16(tcp + 2, to);
    tcp[12] = 0x50;
}

static inline void wrap_ipv4(struct made *made, uint8_t protocol, uint8_t host)
{
    uint32_t length = made_length(made) + PB_IPV4_BYTES;
    uint8_t *ip = made_wrap(made, PB_IPV4_BYTES);
    ip[0] = 0x45;
    made_put16(ip + 2, length);
    ip[8] = 64;
    ip[9] = protocol;
    memcpy(ip + 12, (const uint8_t[]){198, 51, 100, host, 203, 0, 113, host}, 8);
    uint16_t checksum = pb_checksum_finish(pb_checksum_add(0, ip, PB_IPV4_BYTES));
    memcpy(ip + 10, &checksum, 2);
}

static inline void wrap_ipv6(struct made *made, uint8_t protocol, uint8_t host)
{
    uint32_t length = made_length(made);
    uint8_t *ip = made_wrap(made, PB_IPV6_BYTES);
    ip[0] = 0x60;
    made_put16(ip + 4, length);
    ip[6] = protocol;
    ip[7] = 64;
    memcpy(ip + 8, (const uint8_t[]){0x20, 1, 0x0d, 0xb8, 0, 1, [15] = 1}, 16);
    memcpy(ip + 24, (const uint8_t[]){0x20, 1, 0x0d, 0xb8, 0, 2, [15] = 2}, 16);
    ip[15] = ip[31] = host;
}

static inline void wrap_ip(struct made *made, uint8_t version, uint8_t protocol, uint8_t host)
{
    if (version == 4)
        wrap_ipv4(made, protocol, host);
    else
        wrap_ipv6(made, protocol, host);
}

static inline void wrap_udp(struct made *made, uint16_t from, uint16_t to)
{
    uint32_t length = made_length(made) + 8;
    uint8_t *udp = made_wrap(made, 8);
    made_put16(udp, from);
    made_put16(udp + 2, to);
    made_put16(udp + 4, length);
}

/* An Ethernet header whose destination starts with `first`. */
static inline void wrap_ethernet(struct made *made, uint16_t ethertype, uint8_t first)
{
    uint8_t *ethernet = made_wrap(made, PB_ETHERNET_BYTES);
    memcpy(ethernet, (const uint8_t[]){first, 0x11, 0x22, 0x33, 0x44, 0x55, 2, 0, 0, 0, 0, 7}, 12);
    made_put16(ethernet + 12, ethertype);
}

static inline uint16_t ethertype_of(uint8_t version)
{
    return version == 4 ? PB_ETHERTYPE_IPV4 : PB_ETHERTYPE_IPV6;
}

/* In memory of exactly its length, so that ASan finds a read behind it; the caller frees packet->data. */
static inline void made_packet(struct made *made, uint32_t captured_len, uint16_t link_type, struct pb_packet *packet)
{
    uint8_t *bytes = malloc(captured_len + (captured_len == 0));
    memcpy(bytes, made_bytes(made), captured_len);
    pb_packet_init(packet, bytes, captured_len, made_length(made), 0, link_type);
    pb_parse(packet);
}

static inline void made_free(const struct pb_packet *packet)
{
    free((void *)(uintptr_t)packet->data);
}

#endif
