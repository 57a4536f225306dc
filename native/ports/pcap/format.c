/*
 * format.c - see format.h. Here: telling formats apart, and classic
 * pcap. pcapng is in format_ng.c.
 *
 * Like libpcap: version 2.3 and older may have the two lengths exchanged; a
 * packet longer than the file's snapshot length is cut to it; a captured length
 * above the wire length is passed on. Unlike libpcap: seconds and fractions are
 * unsigned (they reach 2106), no link type may have packets above PB_FRAME_BYTES_MAX (libpcap
 * allows D-Bus and USB more), and packet bytes are never changed (libpcap turns
 * the byte order of some pseudo-headers).
 */
#include "format.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* DG/UX tcpdump wrote 543.0, which is 2.2 in all but name. */
#define VERSION_DGUX 543

void pcap_format_reset(struct pcap_format *format)
{
    struct pcap_interface *interfaces = format->interfaces;
    uint32_t capacity = format->interfaces_capacity;
    memset(format, 0, sizeof(*format));
    format->interfaces = interfaces;
    format->interfaces_capacity = capacity;
}

void pcap_format_free(struct pcap_format *format)
{
    free(format->interfaces);
    memset(format, 0, sizeof(*format));
}

enum pcap_result pcap_format_corrupt(struct pcap_format *format, uint64_t offset, const char *text, ...)
{
    format->error_offset = offset;
    va_list arguments;
    va_start(arguments, text);
    vsnprintf(format->error, sizeof(format->error), text, arguments);
    va_end(arguments);
    return PCAP_CORRUPT;
}

uint16_t pcap_link_type(uint32_t field)
{
    /* The upper half of the field tells about frame check sequences. */
    uint16_t link_type = (uint16_t)field;
    switch (link_type) {
    case 11: /* DLT_ATM_RFC1483 */
        return 100;
    case 12: /* DLT_RAW, */
    case 14: /* and OpenBSD's */
        return PB_LINK_RAW;
    case 18: /* DLT_PFSYNC of several BSDs */
        return 246;
    case 19: /* DLT_ATM_CLIP */
        return 106;
    default:
        /* 13, 15 and 16 meant different things on different systems: left alone. */
        return link_type;
    }
}

static enum pcap_result classic_header(struct pcap_format *format, uint32_t magic, const uint8_t *bytes, size_t size,
                                       size_t *used)
{
    if (size < PCAP_HEADER_BYTES)
        return pcap_format_more(format, PCAP_HEADER_BYTES);
    uint16_t major = pcap_load16(format, bytes + 4);
    uint16_t minor = pcap_load16(format, bytes + 6);
    if (!(major == 2 && minor <= 4) && !(major == VERSION_DGUX && minor == 0))
        return pcap_format_corrupt(format, 4, "version %u.%u of the pcap format; 2.0 to 2.4 are known", major, minor);
    format->kind = PCAP_KIND_CLASSIC;
    format->version_minor = major == VERSION_DGUX ? 2 : minor;
    format->fraction_ns = magic == PCAP_MAGIC_NS ? 1 : 1000;
    format->record_bytes = magic == PCAP_MAGIC_MODIFIED ? PCAP_RECORD_BYTES + 8 : PCAP_RECORD_BYTES;
    format->snaplen = pcap_snaplen(pcap_load32(format, bytes + 16));
    format->link_type = pcap_link_type(pcap_load32(format, bytes + 20));
    /* Those kernels could add a made-up Ethernet header to a full snapshot. */
    if (magic == PCAP_MAGIC_MODIFIED && format->link_type == PB_LINK_ETHERNET)
        format->snaplen += 14;
    *used = PCAP_HEADER_BYTES;
    format->offset = PCAP_HEADER_BYTES;
    return PCAP_OK;
}

enum pcap_result pcap_format_header(struct pcap_format *format, const uint8_t *bytes, size_t size, size_t *used)
{
    *used = 0;
    if (size < sizeof(uint32_t))
        return pcap_format_more(format, sizeof(uint32_t));
    enum pcap_result result = pcap_format_ng_header(format, bytes, size, used);
    if (result != PCAP_FOREIGN)
        return result;
    for (int swapped = 0; swapped <= 1; swapped++) {
        format->swapped = swapped;
        uint32_t magic = pcap_load32(format, bytes);
        if (magic == PCAP_MAGIC_US || magic == PCAP_MAGIC_NS || magic == PCAP_MAGIC_MODIFIED)
            return classic_header(format, magic, bytes, size, used);
    }
    return PCAP_FOREIGN;
}

static enum pcap_result classic_next(struct pcap_format *format, const uint8_t *bytes, size_t size, size_t *used,
                                     struct pb_packet *packet)
{
    *used = 0;
    if (size < format->record_bytes)
        return pcap_format_more(format, format->record_bytes);
    uint64_t seconds = pcap_load32(format, bytes);
    uint64_t fraction = pcap_load32(format, bytes + 4);
    uint32_t captured_len = pcap_load32(format, bytes + 8);
    uint32_t wire_len = pcap_load32(format, bytes + 12);
    /* Version 2.3 exchanged the two, and some programs that wrote "2.3" did not. */
    if (format->version_minor < 3 || (format->version_minor == 3 && captured_len > wire_len)) {
        uint32_t first = captured_len;
        captured_len = wire_len;
        wire_len = first;
    }
    if (captured_len > PB_FRAME_BYTES_MAX)
        return pcap_format_corrupt(format, format->offset, "a packet of %u captured bytes; the limit is %u",
                                   captured_len, PB_FRAME_BYTES_MAX);
    if (size - format->record_bytes < captured_len)
        return pcap_format_more(format, format->record_bytes + captured_len);
    *used = format->record_bytes + captured_len;
    format->offset += *used;
    if (captured_len > format->snaplen)
        captured_len = format->snaplen;
    pb_packet_init(packet, bytes + format->record_bytes, captured_len, wire_len,
                   seconds * 1000000000u + fraction * format->fraction_ns, format->link_type);
    return PCAP_PACKET;
}

enum pcap_result pcap_format_next(struct pcap_format *format, const uint8_t *bytes, size_t size, size_t *used,
                                  struct pb_packet *packet)
{
    return format->kind == PCAP_KIND_CLASSIC ? classic_next(format, bytes, size, used, packet)
                                             : pcap_format_ng_next(format, bytes, size, used, packet);
}
