/*
 * gunzip.h - a gzip stream, decompressed piece by piece.
 *
 * zlib is loaded when the first compressed capture is met, with declarations of
 * our own: building the program needs no zlib, and running it needs one only
 * for compressed captures. inflate() rather than gzread(), because gzread()
 * reads its descriptor by itself and would block on a pipe.
 *
 * Used by source.c, by the thread that has the source. The decompressor is
 * the caller's until pcap_gunzip_close(); the library stays loaded for all.
 */
#ifndef PB_PCAP_GUNZIP_H
#define PB_PCAP_GUNZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pcap_gunzip;

/* Make a decompressor. 0, -ENOPKG without zlib, -ENOMEM. */
int pcap_gunzip_open(struct pcap_gunzip **gunzip);
void pcap_gunzip_close(struct pcap_gunzip *gunzip);

/* Decompress from *in, which advances, to `out`. Returns the bytes written; 0
 * when it needs more input; -EBADMSG for broken data. */
ptrdiff_t pcap_gunzip_run(struct pcap_gunzip *gunzip, const uint8_t **in, const uint8_t *in_end, uint8_t *out,
                          size_t out_bytes);

/* True between the members of a file: it may end here. */
bool pcap_gunzip_may_end(const struct pcap_gunzip *gunzip);

#endif
