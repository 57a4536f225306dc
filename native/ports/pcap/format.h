/*
 * format.h - parser of the capture formats: pcap and pcapng.
 *
 * Pure: it looks at bytes in memory and does no I/O. Called by input.c on
 * the engine thread (once, for the header, in open()). Packets point into the
 * caller's bytes; the one thing owned here is the table of a pcapng section's
 * interfaces.
 *
 * Formats: draft-ietf-opsawg-pcap (classic, also the nanosecond and the
 * "modified" variant), draft-ietf-opsawg-pcapng. Where the drafts leave a
 * choice it does what libpcap does; format.c says where not, and why.
 */
#ifndef PB_PCAP_FORMAT_H
#define PB_PCAP_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../core/batch.h"
#include "packet_bricks.h"

#define PCAP_MAGIC_US 0xa1b2c3d4u
#define PCAP_MAGIC_NS 0xa1b23c4du
#define PCAP_MAGIC_MODIFIED 0xa1b2cd34u /* Kuznetzov's patch: 8 more bytes in a record's header */
#define PCAP_HEADER_BYTES 24
#define PCAP_RECORD_BYTES 16

/* Largest pcapng block that must be in memory as a whole (libpcap's bound too).
 * Blocks that are only skipped may have any length. */
#define PCAP_BLOCK_BYTES_MAX (16u << 20)
#define PCAP_INTERFACES_MAX 65536u

enum pcap_kind { PCAP_KIND_UNKNOWN, PCAP_KIND_CLASSIC, PCAP_KIND_NG };

/* An interface of a pcapng section. A timestamp of `t` units is
 * (t * multiplier >> shift) / divisor ns, offset_s later. */
struct pcap_interface {
    uint64_t multiplier, divisor;
    int64_t offset_s;
    uint32_t snaplen;
    uint16_t link_type;
    uint8_t shift;
};

struct pcap_format {
    enum pcap_kind kind;
    bool swapped;    /* the file's byte order is not ours */
    uint64_t offset; /* bytes consumed since the start of the file */

    /* After PCAP_MORE: bytes that must be at the front for progress. */
    size_t need_bytes;
    /* After PCAP_CORRUPT: where and what. */
    uint64_t error_offset;
    char error[128];

    /* Classic. */
    uint32_t record_bytes;  /* of a record's header */
    uint32_t fraction_ns;   /* unit of the fraction of a second */
    uint32_t snaplen;
    uint16_t link_type;
    uint16_t version_minor; /* before 2.4 the lengths may be exchanged */

    /* pcapng. */
    struct pcap_interface *interfaces;
    uint32_t interfaces_count, interfaces_capacity;
    uint32_t skip_length; /* total length of the block being skipped; 0: none */
    uint32_t skip_bytes;  /* of it still to come, its trailer apart */
};

enum pcap_result {
    PCAP_OK,      /* the header is that of a capture */
    PCAP_PACKET,  /* *packet is filled in */
    PCAP_MORE,    /* needs more bytes: need_bytes */
    PCAP_FOREIGN, /* the header is not that of a capture */
    PCAP_CORRUPT  /* nothing behind this place can be read: error, error_offset */
};

/* Start on a new file; keeps the memory of the last one. The first time, the
 * struct must be all zero. */
void pcap_format_reset(struct pcap_format *format);
void pcap_format_free(struct pcap_format *format);

/* Look at the first bytes of a file. *used: bytes to drop from the front. */
enum pcap_result pcap_format_header(struct pcap_format *format, const uint8_t *bytes, size_t size, size_t *used);

/* Parse up to and including the next packet. *used: bytes to drop from the
 * front, also with PCAP_MORE; packet->data points into `bytes`. */
enum pcap_result pcap_format_next(struct pcap_format *format, const uint8_t *bytes, size_t size, size_t *used,
                                  struct pb_packet *packet);

/* May the file end here, with nothing unparsed left? */
static inline bool pcap_format_may_end(const struct pcap_format *format)
{
    return format->skip_length == 0;
}

/* The LINKTYPE_ number for what stands in a file: some programs wrote their
 * system's DLT_ number. */
uint16_t pcap_link_type(uint32_t field);

/* Shared by the two parsers, format.c and format_ng.c. */
enum pcap_result pcap_format_ng_header(struct pcap_format *format, const uint8_t *bytes, size_t size,
                                       size_t *used);
enum pcap_result pcap_format_ng_next(struct pcap_format *format, const uint8_t *bytes, size_t size, size_t *used,
                                     struct pb_packet *packet);
enum pcap_result pcap_format_corrupt(struct pcap_format *format, uint64_t offset, const char *text, ...)
    __attribute__((format(printf, 3, 4)));

static inline enum pcap_result pcap_format_more(struct pcap_format *format, size_t need_bytes)
{
    format->need_bytes = need_bytes;
    return PCAP_MORE;
}

static inline uint16_t pcap_load16(const struct pcap_format *format, const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof(value));
    return format->swapped ? __builtin_bswap16(value) : value;
}

static inline uint32_t pcap_load32(const struct pcap_format *format, const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return format->swapped ? __builtin_bswap32(value) : value;
}

/* A file's snapshot length: 0 and nonsense mean "no limit". */
static inline uint32_t pcap_snaplen(uint32_t field)
{
    return field == 0 || field > INT32_MAX ? PB_FRAME_BYTES_MAX : field;
}

#endif
