/*
 * model.h - what the parts of the stand-in for netmap's kernel side share: its state in shared memory, and its calls.
 *
 * The state lies in files of one folder that every process maps; one process-shared robust mutex guards all of it, and
 * every function here but nm_folder(), nm_state() and nm_lock() is called with the mutex held. Nothing
 * counts users: who uses what is derived from the table of descriptors, so that a process killed at any point leaves
 * nothing behind that the next sweep does not find.
 */
#ifndef NM_MODEL_H
#define NM_MODEL_H

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "abi.h"

#define NM_DESCRIPTORS 2048
#define NM_PORTS 4096
#define NM_MEMORIES 64
#define NM_BRIDGES 16
#define NM_ADDRESSES 256
#define NM_RINGS_MAX 16   /* per direction, besides the host ring */
#define NM_SLOTS_MAX 1024 /* per ring */
#define NM_IFS 2048       /* objects of one memory */
#define NM_RINGS 4096
#define NM_IF_BYTES 1024
#define NM_RING_BYTES (256 + 16 * NM_SLOTS_MAX)
#define NM_BUFFER_BYTES 2048
#define NM_BUFFERS_RESERVED 2 /* buffers 0 and 1 are never given out: 0 ends a chain */
#define NM_NONE UINT32_MAX

enum { NM_RX = 0, NM_TX = 1 }; /* as in netmap_ring.dir */

/* Whose a buffer is. */
enum nm_place { NM_FREE, NM_USER, NM_KERNEL, NM_MARKED };

enum nm_kind { NM_UNUSED, NM_NIC, NM_VALE, NM_VIRTUAL, NM_PIPE };

/* The kernel's side of a ring: its own copies, which no application can write. */
struct nm_kring {
    uint32_t object; /* 1 + its place among the memory's rings; 0: it does not exist */
    uint32_t slots;
    uint32_t hwcur, hwtail;      /* the hardware's: slots [hwcur, hwtail) of an rx ring hold frames */
    uint32_t rhead, rcur, rtail; /* the application's, as of the last sync: it owns [rhead, rtail) */
};

struct nm_port {
    enum nm_kind kind;
    char name[64];
    uint64_t netns; /* of NICs and their pipes, else 0 */
    uint64_t serial;
    uint32_t memory;
    uint32_t parent, peer; /* of pipes */
    uint32_t bridge;       /* of VALE ports */
    int ifindex;           /* of NICs */
    bool gone;             /* the NIC was removed */
    uint32_t rings[2], host_rings, slots[2];
    struct nm_kring kring[2][NM_RINGS_MAX + 1];
};

struct nm_memory {
    uint16_t id; /* 0: unused */
    bool excused; /* a process died in it: what it held is lost without anyone having broken a rule */
};

struct nm_descriptor {
    bool open;
    uint64_t inode;
    pid_t pid;
    bool registered;
    uint32_t port, memory;
    uint32_t if_object;
    uint32_t first[2], end[2]; /* the rings it has bound */
    uint64_t flags;
    uint32_t extra_bufs;
    int socket;       /* of NICs, in the process `pid` */
    uint32_t waiters; /* threads in poll() */
};

struct nm_bridge {
    char name[64];
    uint32_t next;
    struct {
        uint8_t mac[6];
        uint64_t serial; /* of the port; 0: unused */
    } table[NM_ADDRESSES];
};

/* A move between two rings that is under way: who finds it armed after a death carries it out. */
struct nm_move {
    bool armed;
    struct {
        uint32_t port, dir, ring, slot, buf_idx, len, flags, hwcur, hwtail;
    } side[2];
};

struct nm_state {
    uint64_t magic;
    pthread_mutex_t mutex;
    uint32_t buffers; /* of each memory */
    uint32_t nic_rings, slots;
    uint64_t serial;
    uint16_t memory_ids;
    uint32_t ports_end, descriptors_end; /* all that are used lie below */
    uint64_t violations;
    struct nm_move move;
    struct nm_memory memories[NM_MEMORIES];
    struct nm_bridge bridges[NM_BRIDGES];
    struct nm_descriptor descriptors[NM_DESCRIPTORS];
    struct nm_port ports[NM_PORTS];
};

/* A memory as mapped here. What lies behind memsize is the kernel's own. */
struct nm_view {
    uint8_t *base;
    uint8_t *buffers; /* buffer 0 */
    uint8_t *place;   /* enum nm_place of each buffer */
    uint32_t *shadow; /* the buf_idx of each slot of each ring, as the kernel left it or took it over */
    uint32_t *free;   /* a stack: free[0] is its height */
};

/* One ring with all that belongs to it. */
struct nm_ring_ref {
    uint32_t port, dir, index, memory;
    struct nm_kring *k;
    struct nm_view *view;
    struct netmap_ring *ring;
    uint32_t *shadow;
};

/* state.c. nm_state(): NULL and errno where there is no folder. */
const char *nm_folder(void);
struct nm_state *nm_state(void);
void nm_lock(struct nm_state *s);
void nm_unlock(struct nm_state *s);
void nm_violation(struct nm_state *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void nm_path(char *path, size_t bytes, const char *stem, uint32_t number);

/* memory.c */
uint64_t nm_memory_bytes(const struct nm_state *s);
/* Returns the new memory's place, NM_NONE where there is no more. */
uint32_t nm_memory_make(struct nm_state *s, uint16_t id);
uint32_t nm_memory_find(struct nm_state *s, uint16_t id);
void nm_memory_remove(struct nm_state *s, uint32_t memory);
struct nm_view *nm_memory_view(struct nm_state *s, uint32_t memory);
int nm_memory_open(struct nm_state *s, uint32_t memory);
uint8_t *nm_memory_buffer(const struct nm_state *s, const struct nm_view *view, uint32_t index);
bool nm_buffer_valid(const struct nm_state *s, uint32_t index);
/* 0: none is left. */
uint32_t nm_buffer_take(struct nm_view *view, enum nm_place place);
void nm_buffer_free(struct nm_view *view, uint32_t index);
void nm_memory_restack(struct nm_state *s, uint32_t memory);
/* Nobody uses the memory: everything must be free, and is afterwards. */
void nm_memory_settle(struct nm_state *s, uint32_t memory);

/* ports.c */
/* The port of that name, made if need be; -errno. */
int nm_port_resolve(struct nm_state *s, const char *name, const uint32_t slots[2], const uint32_t rings[2], uint32_t *port);
/* Creates the rings that `d` binds; -errno. */
int nm_port_provide(struct nm_state *s, const struct nm_descriptor *d);
/* Removes rings, ports and memories that no descriptor needs. */
void nm_port_collect(struct nm_state *s);
bool nm_descriptor_binds(const struct nm_descriptor *d, uint32_t port, uint32_t dir, uint32_t ring);
bool nm_ring_at(struct nm_state *s, uint32_t port, uint32_t dir, uint32_t ring, struct nm_ring_ref *ref);

/* descriptor.c */
int nm_descriptor_open(struct nm_state *s, int flags, uint32_t *descriptor);
bool nm_descriptor_is_last(uint32_t descriptor);
void nm_descriptor_release(struct nm_state *s, uint32_t descriptor, bool closed);
/* Releases those whose processes are gone. */
void nm_descriptor_sweep(struct nm_state *s);
/* Wakes who polls for this ring. */
void nm_descriptor_wake(struct nm_state *s, uint32_t port, uint32_t dir, uint32_t ring);

/* control.c: NIOCCTRL; -errno. */
int nm_control(struct nm_state *s, uint32_t descriptor, struct nmreq_header *header, int *socket);

/* sync.c */
/* Takes over what the application gave and gives it what there is; false: a rule was broken, the ring is reset. */
bool nm_ring_sync(struct nm_state *s, struct nm_ring_ref *ref, int socket);
/* NIOCTXSYNC, NIOCRXSYNC; -errno. */
int nm_sync(struct nm_state *s, uint32_t descriptor, uint32_t dir, int socket);
short nm_poll(struct nm_state *s, uint32_t descriptor, short events, int socket);
/* A slot that the kernel owns; what an application wrote into it meanwhile is undone and recorded. */
struct netmap_slot *nm_kernel_slot(struct nm_state *s, const struct nm_ring_ref *ref, uint32_t slot);
/* Puts a frame into an rx ring; false: the ring is full. */
bool nm_ring_put(struct nm_state *s, struct nm_ring_ref *ref, const void *data, uint32_t bytes);

/* nic.c, pipe.c, vale.c: send what [hwcur, rhead) of a tx ring holds; hwcur stops at what must wait. */
void nm_nic_send(struct nm_state *s, struct nm_ring_ref *ref, int socket);
void nm_nic_receive(struct nm_state *s, uint32_t port, int socket);
/* A socket on the NIC; -errno. */
int nm_nic_open(struct nm_state *s, uint32_t port);
int nm_nic_share(pid_t pid, int socket);
void nm_pipe_send(struct nm_state *s, struct nm_ring_ref *ref);
void nm_move_apply(struct nm_state *s);
void nm_vale_send(struct nm_state *s, struct nm_ring_ref *ref);

#endif
