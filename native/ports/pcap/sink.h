/*
 * sink.h - where a capture is written to: a file, a FIFO or standard output.
 *
 * The counterpart of source.h. Used by output.c, by one thread at a
 * time. Never blocks on a pipe, and never lets a signal end the process for a
 * failed write. The struct is the caller's, the descriptor belongs to it.
 */
#ifndef PB_PCAP_SINK_H
#define PB_PCAP_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../port.h"

struct pcap_sink {
    int fd;              /* -1: not open */
    bool regular;        /* a file: what was written can be taken back */
    bool pollable;       /* not a file: ask before writing */
    bool replaced;       /* a file whose former content is still there */
    size_t chunk_bytes;  /* the most that one write() may take without blocking */
};

/* Create or open the file that an output names, and lock it; "-" is standard output. What
 * a file holds stays until pcap_sink_begin(). 0, or -errno with text. */
int pcap_sink_open(struct pcap_sink *sink, const struct pb_port *port, struct pb_error *error);
/* Before the first write: empty the file. 0, or -errno. */
int pcap_sink_begin(struct pcap_sink *sink);
/* 0, or -errno: some file systems tell only now that a write has failed. */
int pcap_sink_close(struct pcap_sink *sink);

/* Write as much of `bytes` as goes; *written says how much did. 0: all of it;
 * -EAGAIN: it would block; else -errno. */
int pcap_sink_write(struct pcap_sink *sink, const uint8_t *bytes, size_t count, size_t *written);

/* Take back the last `count` bytes written. 0, or -errno. */
int pcap_sink_take_back(struct pcap_sink *sink, size_t count);

#endif
