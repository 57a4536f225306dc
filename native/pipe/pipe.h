/*
 * pipe.h - the engine's side of one pipe: what its files share.
 *
 *   driver.c     the port driver's tables, open and close: control thread
 *   producer.c   sending, sleeping, adopting readers: engine thread
 *   memory.c     makes the shared memory
 *   claim.c      takes a pipe's name: lock file and listening socket
 *   attach.c     the attach server: one thread for all pipes of the process
 *   grant.c      its part that deals with readers
 *
 * A pipe is made and freed by the driver's open() and close(), on the control
 * thread, while the engine thread does not exist. Each field says who uses it.
 */
#ifndef PB_PIPE_H
#define PB_PIPE_H

#include <pthread.h>
#include <sys/un.h>

#include "../ports/port.h"
#include "ring.h"

#define PB_PROGRAM_BYTES 16 /* a process's name, as /proc/PID/comm gives it */

/* Places in the driver's table of counters (driver.c). */
enum pb_pipe_counter {
    PIPE_NO_READER,
    PIPE_FULL,
    PIPE_TOO_LONG,
    PIPE_LINK_TYPE,
    PIPE_UNREAD,
    PIPE_ATTACHES,
    PIPE_READER_FAULTS,
    PIPE_RING_BYTES,
    PIPE_USED_BYTES,
    PIPE_READER_PID,
    PIPE_COUNTERS
};

/* A pipe's name, taken: nobody else serves it. */
struct pb_claim {
    int lock_fd;
    int listen_fd;
    struct sockaddr_un address;
};

/* An attached reader. Made by the attach server, freed by the engine thread
 * once that has adopted it. */
struct pb_reader_end {
    int fd;                      /* its attach socket */
    int epoll_fd;                /* the attach server's, which watches that */
    int32_t pid;                 /* -1: in a PID namespace we cannot see */
    struct pb_reader_page *page; /* it can write there whatever it likes, whenever it likes */
    bool hung_up;                /* under pb_pipe.mutex */
    char program[PB_PROGRAM_BYTES];
};

/* What an event of the attach server's epoll is about. */
enum pb_watch_kind { PB_WATCH_STOP, PB_WATCH_LISTEN, PB_WATCH_CONNECTION, PB_WATCH_READER };
struct pb_pipe;
struct pb_watch {
    enum pb_watch_kind kind;
    struct pb_pipe *pipe;
};

struct pb_pipe {
    /* Set by open(), then constant. */
    struct pb_port *port;
    struct pb_producer_page *page;
    uint8_t *ring; /* mapped twice in a row */
    uint64_t ring_bytes;
    uint32_t page_bytes;
    int data_fd;
    bool waits_for_reader; /* option "wait" */
    char name[PB_PIPE_NAME_MAX + 1];
    struct pb_claim claim;

    /* Engine thread only. */
    _Alignas(PB_RING_LINE) uint64_t head; /* published */
    uint64_t tail;                        /* the reader's, when last looked at and found sound */
    uint64_t published;                   /* records, since the reader was adopted */
    uint64_t refused_bytes;               /* what tx_batch() last refused for; 0: it did not */
    uint64_t requests;                    /* for space, since the reader was adopted */
    uint64_t answers;                     /* wake-ups received: never more than requests, or the reader floods */
    uint32_t link_type;
    bool requesting; /* page->producer_waiting is set */
    bool fault_reported;
    /* Written by the engine thread under the mutex: it reads it without, others with. */
    struct pb_reader_end *reader;

    /* Engine thread and attach server, under the mutex. */
    _Alignas(PB_RING_LINE) pthread_mutex_t mutex;
    struct pb_reader_end *incoming; /* granted, not adopted yet */

    /* Attach server only, under its mutex. */
    struct pb_watch listen_watch, reader_watch;
    uint32_t connections_count;
};

/* memory.c */

/* Make the data memory: sets page, ring, data_fd. `ring_bytes`: a power of two. */
int pb_pipe_memory_open(struct pb_pipe *pipe, uint64_t ring_bytes, struct pb_error *error);
void pb_pipe_memory_close(struct pb_pipe *pipe);
/* Make a reader page; its descriptor is returned, or -errno. */
int pb_reader_page_open(struct pb_reader_page **page);
void pb_reader_page_close(struct pb_reader_page *page);

/* claim.c */
int pb_claim_open(struct pb_claim *claim, const char *name, struct pb_error *error);
void pb_claim_close(struct pb_claim *claim);

/* attach.c: control thread */

/* Serve the pipe's socket. */
int pb_attach_register(struct pb_pipe *pipe, struct pb_error *error);
/* Stop that and hang up on everybody: afterwards the attach server knows nothing
 * of the pipe, and it has no reader. */
void pb_attach_unregister(struct pb_pipe *pipe);

/* grant.c */

/* A client on `fd` asks to read. Returns whether it has become the pipe's reader,
 * which then owns `fd`; else what is to be answered is in *reply. */
struct pb_attach_reply;
bool pb_reader_grant(struct pb_pipe *pipe, int fd, int epoll_fd, struct pb_attach_reply *reply);
/* Something has hung up: see what, and call the engine. */
void pb_reader_hung_up(struct pb_pipe *pipe);
/* Hang up on a reader and free it. Under the pipe's mutex; any thread. */
void pb_reader_end_close(struct pb_reader_end *reader);
bool pb_attach_send(int fd, struct pb_attach_reply *reply, const int *descriptors);

/* driver.c: for the attach server, under the pipe's mutex. */
void pb_pipe_fill_status(const struct pb_pipe *pipe, struct pb_pipe_status *status);

/* producer.c: the driver's table. */
uint32_t pb_pipe_tx_batch(struct pb_port *port, const struct pb_packet *packets, const uint16_t *index, uint32_t count,
                          bool may_wait);
bool pb_pipe_wait_for_space(struct pb_port *port, struct pb_wait *wait);
void pb_pipe_tick(struct pb_port *port);
void pb_pipe_attend(struct pb_port *port);
bool pb_pipe_undelivered(struct pb_port *port);

#endif
