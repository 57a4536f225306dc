/*
 * format_ng.c - the pcapng half of the parser: see format.h.
 *
 * A block is checked as a whole (length, alignment, trailer) before anything in
 * it is believed. Blocks that carry neither packets nor interfaces are passed by
 * without being held in memory.
 *
 * More than libpcap reads: interfaces of different link types and snapshot
 * lengths, sections of different byte order, files without an interface (no
 * packets), a packet above its interface's snapshot length (cut to it, as in
 * classic pcap).
 */
#include <stdlib.h>

#include "format.h"

#define BLOCK_SECTION 0x0a0d0d0au /* the same in both byte orders */
#define BLOCK_INTERFACE 1u
#define BLOCK_PACKET_OBSOLETE 2u
#define BLOCK_PACKET_SIMPLE 3u
#define BLOCK_PACKET_ENHANCED 6u

#define BYTE_ORDER_MAGIC 0x1a2b3c4du
#define BLOCK_BYTES_MIN 12u /* type, length, length again */

#define OPTION_END 0u
#define OPTION_TSRESOL 9u
#define OPTION_TSOFFSET 14u

static uint64_t power_of_ten(uint32_t n)
{
    uint64_t value = 1;
    while (n-- > 0)
        value *= 10;
    return value;
}

/* Set the section's byte order from a section header's magic. */
static bool section_order(struct pcap_format *format, const uint8_t *magic)
{
    format->swapped = false;
    if (pcap_load32(format, magic) == BYTE_ORDER_MAGIC)
        return true;
    format->swapped = true;
    return pcap_load32(format, magic) == BYTE_ORDER_MAGIC;
}

/* if_tsresol: 10^-n, or 2^-n with the top bit set. */
static void interface_resolution(struct pcap_interface *interface, uint8_t resolution)
{
    uint32_t n = resolution & 0x7f;
    interface->multiplier = interface->divisor = 1;
    interface->shift = 0;
    if (resolution & 0x80) {
        interface->multiplier = 1000000000;
        interface->shift = (uint8_t)n;
    } else if (n <= 9) {
        interface->multiplier = power_of_ten(9 - n);
    } else if (n <= 9 + 19) {
        interface->divisor = power_of_ten(n - 9);
    } else {
        interface->multiplier = 0; /* 2^64 such units are not a nanosecond */
    }
}

/* Exact: the product has 94 bits at most. Before 1970 is 0, beyond 64 bits is
 * the largest value. */
static uint64_t interface_time_ns(const struct pcap_interface *interface, uint64_t units)
{
    unsigned __int128 product = ((unsigned __int128)units * interface->multiplier) >> interface->shift;
    /* Dividing 128 bits is slow, and no common resolution needs it. */
    __int128 ns = (__int128)(interface->divisor == 1 ? product : product / interface->divisor);
    ns += (__int128)interface->offset_s * 1000000000;
    if (ns < 0)
        return 0;
    return ns > (__int128)UINT64_MAX ? UINT64_MAX : (uint64_t)ns;
}

static enum pcap_result options_parse(struct pcap_format *format, struct pcap_interface *interface,
                                      const uint8_t *options, size_t size, uint64_t offset)
{
    while (size > 0) {
        /* `size` is a multiple of 4, so a header is whole. */
        uint16_t code = pcap_load16(format, options);
        uint32_t length = pcap_load16(format, options + 2);
        uint32_t padded = (length + 3) & ~3u;
        if (size - 4 < padded)
            return pcap_format_corrupt(format, offset, "an interface's option of %u bytes, beyond its block", length);
        const uint8_t *value = options + 4;
        if (code == OPTION_END)
            break;
        if ((code == OPTION_TSRESOL && length != 1) || (code == OPTION_TSOFFSET && length != 8))
            return pcap_format_corrupt(format, offset, "an interface's %s option of %u bytes",
                                       code == OPTION_TSRESOL ? "if_tsresol" : "if_tsoffset", length);
        if (code == OPTION_TSRESOL)
            interface_resolution(interface, value[0]);
        if (code == OPTION_TSOFFSET) {
            uint64_t seconds;
            memcpy(&seconds, value, sizeof(seconds));
            interface->offset_s = (int64_t)(format->swapped ? __builtin_bswap64(seconds) : seconds);
        }
        options += 4 + padded;
        size -= 4 + padded;
    }
    return PCAP_OK;
}

static enum pcap_result interface_add(struct pcap_format *format, const uint8_t *block, uint32_t length,
                                      uint64_t offset)
{
    if (length < 20)
        return pcap_format_corrupt(format, offset, "an interface block of only %u bytes", length);
    if (format->interfaces_count == PCAP_INTERFACES_MAX)
        return pcap_format_corrupt(format, offset, "more than %u interfaces in a section", PCAP_INTERFACES_MAX);
    if (format->interfaces_count == format->interfaces_capacity) {
        uint32_t capacity = format->interfaces_capacity == 0 ? 8 : format->interfaces_capacity * 2;
        struct pcap_interface *interfaces = realloc(format->interfaces, capacity * sizeof(interfaces[0]));
        if (interfaces == NULL)
            return pcap_format_corrupt(format, offset, "no memory for %u interfaces", capacity);
        format->interfaces = interfaces;
        format->interfaces_capacity = capacity;
    }
    struct pcap_interface *interface = &format->interfaces[format->interfaces_count];
    memset(interface, 0, sizeof(*interface));
    interface->link_type = pcap_link_type(pcap_load16(format, block + 8));
    interface->snaplen = pcap_snaplen(pcap_load32(format, block + 12));
    interface_resolution(interface, 6);
    enum pcap_result result = options_parse(format, interface, block + 16, length - 20, offset);
    if (result == PCAP_OK)
        format->interfaces_count++;
    return result;
}

static enum pcap_result section_start(struct pcap_format *format, const uint8_t *block, uint32_t length,
                                      uint64_t offset)
{
    if (length < 28)
        return pcap_format_corrupt(format, offset, "a section header of only %u bytes", length);
    uint16_t major = pcap_load16(format, block + 12);
    uint16_t minor = pcap_load16(format, block + 14);
    /* 1.2 is 1.0: the draft says so, because some programs wrote it. */
    if (major != 1 || (minor != 0 && minor != 2))
        return pcap_format_corrupt(format, offset, "version %u.%u of the pcapng format; 1.0 is known", major, minor);
    format->interfaces_count = 0;
    return PCAP_OK;
}

/* The three kinds of packet block. */
static enum pcap_result packet_parse(struct pcap_format *format, uint32_t type, const uint8_t *block, uint32_t length,
                                     uint64_t offset, struct pb_packet *packet)
{
    bool simple = type == BLOCK_PACKET_SIMPLE;
    uint32_t data_offset = simple ? 12 : 28;
    if (length < data_offset + 4)
        return pcap_format_corrupt(format, offset, "a packet block of only %u bytes", length);
    uint32_t id = 0; /* a simple packet's */
    if (type == BLOCK_PACKET_ENHANCED)
        id = pcap_load32(format, block + 8);
    if (type == BLOCK_PACKET_OBSOLETE)
        id = pcap_load16(format, block + 8); /* a count of drops stands beside it */
    if (id >= format->interfaces_count)
        return pcap_format_corrupt(format, offset, "a packet of interface %u, which nothing describes", id);
    const struct pcap_interface *interface = &format->interfaces[id];

    uint32_t captured_len, wire_len;
    uint64_t timestamp_ns = 0; /* a simple packet has none */
    if (simple) {
        wire_len = pcap_load32(format, block + 8);
        captured_len = wire_len < interface->snaplen ? wire_len : interface->snaplen;
    } else {
        captured_len = pcap_load32(format, block + 20);
        wire_len = pcap_load32(format, block + 24);
        uint64_t units = (uint64_t)pcap_load32(format, block + 12) << 32 | pcap_load32(format, block + 16);
        timestamp_ns = interface_time_ns(interface, units);
    }
    if (captured_len > PB_FRAME_BYTES_MAX)
        return pcap_format_corrupt(format, offset, "a packet of %u captured bytes; the limit is %u", captured_len,
                                   PB_FRAME_BYTES_MAX);
    if (captured_len > length - data_offset - 4)
        return pcap_format_corrupt(format, offset, "a packet of %u captured bytes in a block of %u", captured_len,
                                   length);
    if (captured_len > interface->snaplen)
        captured_len = interface->snaplen;
    pb_packet_init(packet, block + data_offset, captured_len, wire_len, timestamp_ns, interface->link_type);
    return PCAP_PACKET;
}

/* Pass by the rest of a block that is of no interest. */
static enum pcap_result skip_on(struct pcap_format *format, const uint8_t *bytes, size_t size, size_t *at)
{
    size_t bytes_here = size - *at < format->skip_bytes ? size - *at : format->skip_bytes;
    *at += bytes_here;
    format->skip_bytes -= (uint32_t)bytes_here;
    if (format->skip_bytes > 0 || size - *at < 4)
        return pcap_format_more(format, format->skip_bytes > 0 ? 1 : 4);
    uint32_t again = pcap_load32(format, bytes + *at);
    if (again != format->skip_length)
        return pcap_format_corrupt(format, format->offset + *at, "a block of %u bytes that ends as one of %u",
                                   format->skip_length, again);
    *at += 4;
    format->skip_length = 0;
    return PCAP_OK;
}

/* One block at `*at`, or the rest of one being skipped. PCAP_OK: it is passed. */
static enum pcap_result block_next(struct pcap_format *format, const uint8_t *bytes, size_t size, size_t *at,
                                   struct pb_packet *packet)
{
    if (format->skip_length != 0)
        return skip_on(format, bytes, size, at);
    const uint8_t *block = bytes + *at;
    uint64_t offset = format->offset + *at;
    if (size - *at < BLOCK_BYTES_MIN)
        return pcap_format_more(format, BLOCK_BYTES_MIN);
    uint32_t type = pcap_load32(format, block);
    if (type == BLOCK_SECTION && !section_order(format, block + 8))
        return pcap_format_corrupt(format, offset, "a section header without its byte order magic");
    uint32_t length = pcap_load32(format, block + 4);
    if (length < BLOCK_BYTES_MIN || length % 4 != 0)
        return pcap_format_corrupt(format, offset, "a block of %u bytes; a block's length is a multiple of 4 from %u",
                                   length, BLOCK_BYTES_MIN);
    bool is_packet = type == BLOCK_PACKET_ENHANCED || type == BLOCK_PACKET_SIMPLE || type == BLOCK_PACKET_OBSOLETE;
    if (!is_packet && type != BLOCK_SECTION && type != BLOCK_INTERFACE) {
        format->skip_length = length;
        format->skip_bytes = length - 4;
        return skip_on(format, bytes, size, at);
    }
    if (length > PCAP_BLOCK_BYTES_MAX)
        return pcap_format_corrupt(format, offset, "a block of %u bytes; the limit is %u", length,
                                   PCAP_BLOCK_BYTES_MAX);
    if (size - *at < length)
        return pcap_format_more(format, length);
    uint32_t again = pcap_load32(format, block + length - 4);
    if (again != length)
        return pcap_format_corrupt(format, offset, "a block of %u bytes that ends as one of %u", length, again);

    enum pcap_result result;
    if (is_packet)
        result = packet_parse(format, type, block, length, offset, packet);
    else if (type == BLOCK_INTERFACE)
        result = interface_add(format, block, length, offset);
    else
        result = section_start(format, block, length, offset);
    if (result != PCAP_CORRUPT)
        *at += length;
    return result;
}

enum pcap_result pcap_format_ng_header(struct pcap_format *format, const uint8_t *bytes, size_t size, size_t *used)
{
    format->swapped = false;
    if (pcap_load32(format, bytes) != BLOCK_SECTION)
        return PCAP_FOREIGN;
    if (size < BLOCK_BYTES_MIN)
        return pcap_format_more(format, BLOCK_BYTES_MIN);
    /* The block's type alone could be the line ends of a text. */
    if (!section_order(format, bytes + 8))
        return PCAP_FOREIGN;
    struct pb_packet none;
    enum pcap_result result = block_next(format, bytes, size, used, &none);
    if (result == PCAP_OK) {
        format->kind = PCAP_KIND_NG;
        format->offset = *used;
    }
    return result;
}

enum pcap_result pcap_format_ng_next(struct pcap_format *format, const uint8_t *bytes, size_t size, size_t *used,
                                     struct pb_packet *packet)
{
    size_t at = 0;
    enum pcap_result result;
    do
        result = block_next(format, bytes, size, &at, packet);
    while (result == PCAP_OK);
    *used = at;
    format->offset += at;
    return result;
}
