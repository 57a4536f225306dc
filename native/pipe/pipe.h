/*
 * pipe.h - the engine's side of one pipe: what its files share.
 *
 *   output.c     driver "pipe": tables, open and close        control thread
 *   producer.c   ... sending, sleeping, adopting readers      engine thread
 *   input.c      driver "inject": tables, open and close      control thread
 *   consumer.c   ... receiving, sleeping, adopting writers    engine thread
 *   loans.c      ... lending packets instead of copying them  engine thread
 *   memory.c     makes the shared memory
 *   claim.c      takes a pipe's name: lock file and listening socket
 *   attach.c     the attach server: one thread for all pipes of the process
 *   grant.c      its part that deals with applications that stay
 *
 * A pipe is made and freed by its driver's open() and close(), on the control
 * thread, while the engine thread does not exist. Each field says who uses it.
 */
#ifndef PB_PIPE_H
#define PB_PIPE_H

#include <pthread.h>
#include <sys/un.h>

#include "../ports/port.h"
#include "ring.h"

/* A pipe's name, taken: nobody else serves it. */
struct pb_claim {
    int lock_fd;
    int listen_fd;
    struct sockaddr_un address;
};

/* A ring and its producer page, in a memfd of their own. */
struct pb_ring_memory {
    struct pb_producer_page *page;
    struct pb_record *records;
    uint8_t *ring; /* mapped twice in a row */
    uint64_t ring_bytes;
    uint32_t page_bytes;
    int fd;
};

/* An attached application. Made by the attach server, freed by the engine thread
 * once that has adopted it. What is in its shared memory it can change at any time. */
struct pb_peer {
    int fd;                      /* its attach socket */
    int epoll_fd;                /* the attach server's, which watches that */
    int32_t pid;                 /* -1: in a PID namespace we cannot see */
    struct pb_reader_page *page; /* the reader page of this attach */
    struct pb_ring_memory memory; /* of a writer: its own; of a reader: unused */
    bool borrows;                /* a reader that has been handed pb_pipe.lent_fds */
    bool hung_up;                /* under pb_pipe.mutex */
    struct pb_peer *next_retired; /* attach.c */
    char program[PB_PROGRAM_NAME_MAX + 1];
};

/* What an event of the attach server's epoll is about. */
enum pb_watch_kind { PB_WATCH_WAKE, PB_WATCH_LISTEN, PB_WATCH_CONNECTION, PB_WATCH_PEER };
struct pb_pipe;
struct pb_watch {
    enum pb_watch_kind kind;
    struct pb_pipe *pipe;
};

/* What both directions have: the first member of struct pb_producer and pb_consumer. */
struct pb_pipe {
    /* Set by open(), then constant. */
    struct pb_port *port;
    uint64_t ring_bytes;
    uint32_t direction; /* PB_PIPE_TO_APPLICATION or PB_PIPE_FROM_APPLICATION */
    struct pb_ring_memory memory; /* to the application; from it each writer has its own */
    char name[PB_PIPE_NAME_MAX + 1];
    struct pb_claim claim;
    int lent_fds[1 + PB_LOAN_REGIONS_MAX]; /* what a reader that borrows is handed besides (protocol.h) */
    uint32_t lent_fds_count;

    /* Written by the engine thread under the mutex: it reads it without, others with. */
    struct pb_peer *peer;

    /* Engine thread and attach server, under the mutex. */
    _Alignas(PB_RING_LINE) pthread_mutex_t mutex;
    struct pb_peer *incoming; /* granted, not adopted yet */
    uint32_t came;            /* granted, not counted yet: some go before the engine sees them */

    /* Attach server only, under its mutex. */
    struct pb_watch listen_watch, peer_watch;
    bool registered; /* control thread only */
    uint32_t connections_count;
};

/* Counters of both drivers that the attach server's answers are made of: places in
 * their tables, which begin with these. */
enum pb_pipe_counter { PIPE_ATTACHES, PIPE_FAULTS, PIPE_RING_BYTES, PIPE_USED_BYTES, PIPE_USED_BYTES_MAX, PIPE_PID, PIPE_COUNTERS };

/* Options of both drivers. */
#define PB_PIPE_OPTIONS                                                                                                \
    {"slots", PB_OPTION_INTEGER, "", PB_BUFFER_SLOTS_MIN, PB_BUFFER_SLOTS_MAX,                                         \
     "size of the ring, in slots of 2048 bytes, rounded up to a power of two (default: the engine's buffer size)"},    \
    {"mode", PB_OPTION_STRING, "0600", 0, 0,                                                                           \
     "permissions of the attach socket, octal: who may write to it may attach (0660 with a group)"},                   \
    {"group", PB_OPTION_STRING, "", 0, 0, "group of the attach socket, by name or number (default: the engine's)"},    \
    {"owner", PB_OPTION_STRING, "", 0, 0, "owner of the attach socket, by name or number (default: the engine's)"}

/* pipe.c: what open(), close() and the ticks of both drivers share. */

/* Take name and memory sizes from the port, claim the name. 0, or -errno with text. */
int pb_pipe_open_common(struct pb_pipe *pipe, struct pb_port *port, struct pb_error *error);
void pb_pipe_close_common(struct pb_pipe *pipe);
/* Count who has come since. Engine thread, or the control thread where there is none; under the pipe's mutex. */
void pb_pipe_count_attaches(struct pb_pipe *pipe);
/* Set the gauges: who is attached, and how full its ring is. Engine thread. */
void pb_pipe_set_gauges(struct pb_pipe *pipe, uint64_t used_bytes);
/* Note how full the ring has been. Engine thread. */
void pb_pipe_note_used(struct pb_pipe *pipe, uint64_t used_bytes);
/* The application has broken the protocol: count it, report the first one. */
void pb_pipe_report_fault(struct pb_pipe *pipe, const char *what);
/* For the attach server, under the pipe's mutex. */
void pb_pipe_fill_status(const struct pb_pipe *pipe, struct pb_pipe_status *status);
/* Send the application its wake-up, a byte. */
void pb_peer_wake(const struct pb_peer *peer);
/* Take the wake-ups out of the socket; *count of them, at most `count_max`. */
enum pb_peer_word { PB_PEER_FINE, PB_PEER_GONE, PB_PEER_FLOODS, PB_PEER_NONSENSE };
enum pb_peer_word pb_peer_listen(const struct pb_peer *peer, uint64_t *count, uint64_t count_max);
/* What is wrong with a peer that is not fine, for a report. */
const char *pb_peer_fault_text(enum pb_peer_word word);

/* memory.c */

/* Make a ring of `ring_bytes`, a power of two. `written_here`: this process writes
 * it, and nobody else can. 0, or -errno with a text that does not say whose it is. */
int pb_ring_memory_open(struct pb_ring_memory *memory, const char *name, uint64_t ring_bytes, bool written_here,
                        struct pb_error *reason);
void pb_ring_memory_close(struct pb_ring_memory *memory);
/* Make an array of references (loans.h) for a ring of this size, that only we can
 * write; its descriptor is returned, or -errno. */
int pb_references_open(uint64_t **references, uint64_t ring_bytes);
void pb_references_close(uint64_t *references, uint64_t ring_bytes);
/* Make a reader page; its descriptor is returned, or -errno. */
int pb_reader_page_open(struct pb_reader_page **page);
void pb_reader_page_close(struct pb_reader_page *page);

/* claim.c */

/* Who may attach. */
struct pb_claim_access {
    uint32_t mode;
    int64_t owner, group; /* -1: as the process's */
};
int pb_claim_open(struct pb_claim *claim, const struct pb_port *port, const char *name, const struct pb_claim_access *access,
                  struct pb_error *error);
void pb_claim_close(struct pb_claim *claim);

/* attach.c: control thread */

/* Serve the pipe's socket. */
int pb_attach_register(struct pb_pipe *pipe, struct pb_error *error);
/* Stop that and hang up on everybody: afterwards the attach server knows nothing
 * of the pipe, and nobody is attached. */
void pb_attach_unregister(struct pb_pipe *pipe);
/* Have a peer freed that nobody uses any more: unmapping a large ring takes too long
 * for the engine. Any thread, while a pipe is registered. */
void pb_attach_retire(struct pb_peer *peer);

/* grant.c */

/* A client on `fd` asks to attach. Returns whether it has become the pipe's peer,
 * which then owns `fd`; else what is to be answered is in *reply. */
struct pb_attach_reply;
bool pb_peer_grant(struct pb_pipe *pipe, int fd, int epoll_fd, bool borrows, struct pb_attach_reply *reply);
/* Something has hung up: see what, and call the engine. */
void pb_peer_hung_up(struct pb_pipe *pipe);
/* Hang up on an application and have freed what it had. Under the pipe's mutex; any thread. */
void pb_peer_close(struct pb_peer *peer);
void pb_peer_free(struct pb_peer *peer);
bool pb_attach_send(int fd, struct pb_attach_reply *reply, const int *descriptors, uint32_t count);

#endif
