/*
 * capture_stream.h - a pipe's packets as a capture (libpcap format, nanoseconds)
 * on a descriptor: what bricks-pipe and bricks-extcap have in common.
 *
 * Used on the one thread of those programs. The caller owns the reader and the
 * descriptor.
 */
#ifndef PB_CAPTURE_STREAM_H
#define PB_CAPTURE_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "packet_bricks.h"

#define PB_LINK_ETHERNET 1

/* The header of a capture file, in this machine's byte order. */
struct pb_pcap_header {
    uint32_t magic;
    uint16_t major, minor;
    int32_t zone;
    uint32_t sigfigs, snaplen, link_type;
};
_Static_assert(sizeof(struct pb_pcap_header) == 24, "as the format has it");

struct pb_pcap_header pb_pcap_header_make(uint32_t link_type, uint32_t snaplen);

/* Which packets are wanted. */
struct pb_capture_selector {
    /* Called before the header is written. 0, or -errno with text: not for that link type. */
    int (*begin)(void *arg, uint32_t link_type, struct pb_error *error);
    bool (*wants)(void *arg, const struct pb_pipe_record *record);
    void *arg;
};

struct pb_capture {
    struct pb_pipe_reader *reader;
    int fd;                                     /* where the capture goes */
    const char *fd_name;                        /* in messages */
    uint64_t packets_max;                       /* stop after so many; 0: do not */
    uint32_t snaplen;                           /* bytes kept of a packet, at most; 0: all */
    const struct pb_capture_selector *selector; /* NULL: all packets */
    /* Of another program that we capture for: we end when it is our parent no longer, and
     * it gets the header soon, with Ethernet as link type where no packet has told one: it
     * waits for it and does nothing else. 0: whoever reads can wait. */
    pid_t parent;
    uint64_t packets; /* written so far */
};

/* From now on SIGINT and SIGTERM end pb_capture_attach() and pb_capture_copy() in
 * good order; one that comes half a second later, or more, ends the process. SIGPIPE is ignored. */
void pb_capture_catch_signals(void);
bool pb_capture_interrupted(void);

/* pb_pipe_open(); with `wait` as soon as an engine serves the pipe. 0, or -errno
 * with text: -EINTR when interrupted. */
int pb_capture_attach(const char *name, bool wait, struct pb_pipe_reader **reader, struct pb_error *error);

/* Copy until the end of the stream, the last packet that is wanted, or a signal,
 * and see to it that all of it is written. 0, or -errno with text: -EPIPE when
 * whoever reads the capture has gone. */
int pb_capture_copy(struct pb_capture *capture, struct pb_error *error);

#endif
