/*
 * source.h - the bytes of one capture: from a file, a FIFO or standard
 * input, decompressed where they turn out to be gzip.
 *
 * Used by input.c, by one thread at a time. Never blocks: of what is not a
 * file it reads only what is there. The struct is the caller's; descriptor and
 * buffers belong to it until pcap_source_close().
 */
#ifndef PB_PCAP_SOURCE_H
#define PB_PCAP_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pcap_gunzip;

struct pcap_source {
    int fd;       /* -1: not open */
    bool stream;  /* a pipe or the like: it may have nothing to read yet */
    bool decided; /* whether it is gzip */
    bool raw_end; /* the descriptor's bytes are all read */
    struct pcap_gunzip *gunzip; /* NULL: not compressed */
    uint8_t *raw;               /* bytes as read, before decompression */
    const uint8_t *raw_at, *raw_limit;
    const char *error, *remedy; /* what went wrong, and what to do */
};

/* Open `path`; "-" is standard input. 0, or -errno with source->error; -EISDIR
 * for a directory. */
int pcap_source_open(struct pcap_source *source, const char *path);
void pcap_source_close(struct pcap_source *source);

/* Read up to `bytes`. Returns how many; 0 at the end; -EAGAIN when there is
 * nothing yet; else -errno with source->error. */
ptrdiff_t pcap_source_read(struct pcap_source *source, uint8_t *to, size_t bytes);

#endif
