/*
 * consumer.h - a pipe from an application, engine's side: what input.c (control
 * thread) and consumer.c (engine thread) share.
 */
#ifndef PB_CONSUMER_H
#define PB_CONSUMER_H

#include "pipe.h"

/* Places in the driver's table of counters, behind those of every pipe. */
enum pb_consumer_counter { PIPE_DECLINED = PIPE_COUNTERS, PIPE_UNRECEIVED, PB_CONSUMER_COUNTERS };

/* A batch's packets are copied out of the ring before anything looks into them: what
 * an application can still change cannot be parsed safely. */
#define PB_CONSUMER_COPY_BYTES (2u * PB_FRAME_BYTES_MAX)

struct pb_consumer {
    struct pb_pipe pipe; /* first: the attach server knows only this */
    /* Set by open(), then constant. */
    uint8_t *copies; /* PB_CONSUMER_COPY_BYTES */
    bool marks;      /* option "marks" */

    /* Engine thread only. */
    uint64_t position; /* in the ring, of the first packet not received */
    uint64_t next;     /* its record: as many were received from this writer */
    uint64_t declined; /* the writer's count, when last looked at */
    uint64_t answered; /* the writer's last request for space that was answered */
    uint64_t sleeps;   /* since the writer was adopted */
    uint64_t wakes;    /* wake-ups received: never more than sleeps, or the writer floods */
    uint64_t end;      /* of a writer that is leaving: nothing behind this record is its */
    uint32_t link_type;
    bool asleep;       /* page->reader_waiting is set */
    bool leaving;      /* the writer has hung up: what it has left is received still */
};

/* consumer.c: the driver's table. */
uint32_t pb_consumer_rx_batch(struct pb_port *port, struct pb_packet *packets, uint32_t packets_max);
void pb_consumer_rx_release(struct pb_port *port);
bool pb_consumer_wait(struct pb_port *port, struct pb_wait *wait);
void pb_consumer_tick(struct pb_port *port);
void pb_consumer_attend(struct pb_port *port);
bool pb_consumer_undelivered(struct pb_port *port);
/* The engine stops: count what it has not received. Control thread. */
void pb_consumer_end(struct pb_consumer *consumer);

#endif
