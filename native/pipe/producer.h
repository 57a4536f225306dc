/*
 * producer.h - a pipe towards an application, engine's side: what output.c
 * (control thread) and producer.c (engine thread) share.
 */
#ifndef PB_PRODUCER_H
#define PB_PRODUCER_H

#include "loans.h"
#include "pipe.h"

/* Places in the driver's table of counters, behind those of every pipe. */
enum pb_producer_counter {
    PIPE_NO_READER = PIPE_COUNTERS,
    PIPE_FULL,
    PIPE_TOO_LONG,
    PIPE_LINK_TYPE,
    PIPE_UNREAD,
    PIPE_LENT,
    PB_PRODUCER_COUNTERS
};

struct pb_producer {
    struct pb_pipe pipe; /* first: the attach server knows only this */
    /* Engine thread only. */
    _Alignas(PB_RING_LINE) uint64_t head; /* records published */
    uint64_t position;                    /* in the ring, behind the last of them */
    uint64_t tail;                        /* the reader's, when last looked at and found sound */
    struct pb_ring_window window;
    uint64_t start;                       /* head when the reader was adopted */
    uint64_t dropped;                     /* packets, since then */
    uint64_t refused_bytes;               /* what tx_batch() last refused for; 0: it did not */
    uint64_t requests;                    /* for space, since the reader was adopted */
    uint64_t answers;                     /* wake-ups received: never more than requests, or the reader floods */
    uint32_t link_type;
    bool requesting; /* page->producer_waiting is set */
    bool lends;      /* to this reader */
    uint64_t refused_tail; /* what tx_batch() last refused can be lent when the tail is here; with refused_bytes */
    uint64_t *references;  /* NULL: the pipe does not lend; set by open() */
    struct pb_loans loans;
};

/* producer.c: the driver's table. */
uint32_t pb_producer_tx_batch(struct pb_port *port, const struct pb_tx *tx);
bool pb_producer_wait(struct pb_port *port, struct pb_wait *wait);
void pb_producer_tick(struct pb_port *port);
void pb_producer_attend(struct pb_port *port);
bool pb_producer_undelivered(struct pb_port *port);

#endif
