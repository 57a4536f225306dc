/*
 * source.h - the pipe behind a capture handle: attaches to it, waits for it, hands
 * out its packets in batches, attaches anew. Knows pipes only, nothing of libpcap.
 *
 * Used by one thread at a time, the one that uses the handle. It owns its
 * descriptors; the packets' memory is the ring's.
 */
#ifndef PB_LIBPCAP_SOURCE_H
#define PB_LIBPCAP_SOURCE_H

#include <stdbool.h>

#include "packet_bricks.h"

#define PB_SOURCE_RECORDS_MAX 256

struct pb_source {
    char name[PB_PIPE_NAME_MAX + 1];
    bool waits;      /* opening waits until the pipe is served */
    bool reconnects; /* the end of the stream is not the end */

    /* One of the two while attached. */
    struct pb_pipe_reader *reader;
    struct pb_pipe_writer *writer;
    uint64_t attachments; /* so far */
    struct pb_pipe_counts former; /* counts of the attachments before this one */

    int poll_fd;  /* an epoll of the three below: readable when there is something to do */
    int ready_fd; /* an eventfd: what was fetched is not all handed out, or there is more */
    int retry_fd; /* a timer, runs while detached */
    bool shows_ready;

    /* Fetched, and where it goes on. */
    uint32_t next, count, batch_records;
    uint64_t fetched_ns;
    struct pb_pipe_record records[PB_SOURCE_RECORDS_MAX];
};

void pb_source_init(struct pb_source *source, const char *name);

/* Attach. 0, or -errno with text: as pb_pipe_open(), or -EINTR when the wait was interrupted. */
int pb_source_open(struct pb_source *source, struct pb_error *error);
void pb_source_close(struct pb_source *source);

/* Fetch the next batch. Its size, 0: nothing now; -EPIPE: the end of the stream; -errno with text. */
int pb_source_fetch(struct pb_source *source, struct pb_error *error);
/* Give back the batch once it is handed out. */
void pb_source_release(struct pb_source *source);

/* Make poll_fd tell the truth. Returns whether there is something to do already. */
bool pb_source_settle(struct pb_source *source);

/* The link type (LINKTYPE_), waiting a moment for the first packet; -EAGAIN: not known. */
int pb_source_link_type(struct pb_source *source, int wait_ms);

/* Since the source was opened, over all attachments. */
void pb_source_counts(const struct pb_source *source, struct pb_pipe_counts *counts);

#endif
