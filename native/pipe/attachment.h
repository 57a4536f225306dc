/*
 * attachment.h - an application's end of a pipe, what reader.c and writer.c share:
 * the socket and the mappings. Belongs to the reader or writer; one thread.
 */
#ifndef PB_ATTACHMENT_H
#define PB_ATTACHMENT_H

#include "protocol.h"
#include "ring.h"

struct pb_attachment {
    int fd;
    struct pb_producer_page *producer; /* read-only for a reader */
    struct pb_reader_page *reader;
    struct pb_record *records;
    uint8_t *ring; /* mapped twice in a row; read-only for a reader */
    const uint64_t *references; /* NULL: nothing is lent (loans.h) */
    struct pb_attachment_region {
        const uint8_t *memory;
        uint64_t bytes;
    } regions[PB_LOAN_REGIONS_MAX];
    uint32_t regions_count;
    uint64_t ring_bytes;
    uint32_t page_bytes;
    uint64_t start, start_record; /* once started */
    bool started;   /* the engine has adopted us */
    bool hung_up;   /* the engine is gone */
};

/* Attach to pipe `name`; `borrows`: lent packets are understood. 0, or -errno with text. */
int pb_attachment_open(struct pb_attachment *attachment, const char *name, enum pb_attach_verb verb, bool borrows,
                       struct pb_error *error);
void pb_attachment_close(struct pb_attachment *attachment);

/* Has the engine adopted us? Then it says where we start. */
bool pb_attachment_has_started(struct pb_attachment *attachment);
/* Take the wake-ups out of the socket, and notice if the engine has hung up. */
void pb_attachment_listen(struct pb_attachment *attachment);
/* Send the engine a wake-up. */
void pb_attachment_wake(const struct pb_attachment *attachment);
/* Sleep on `fd` until arm(argument) is not 0: that; 0 after timeout_ms (-1: never); -EINTR. */
int pb_attachment_wait(int fd, int (*arm)(void *), void *argument, int timeout_ms);

#endif
