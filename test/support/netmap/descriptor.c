/*
 * descriptor.c - open /dev/netmap's of all processes. Each is a FIFO of the stand-in's folder: its number clashes with
 * no other, a byte written to it wakes who polls, and a lock on it, which the kernel drops with the last reference to
 * the open file, tells when it was closed: by close(), at exec, or because its process died.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model.h"

static void fifo_path(char *path, size_t bytes, uint32_t descriptor)
{
    nm_path(path, bytes, "descriptor", descriptor);
}

int nm_descriptor_open(struct nm_state *s, int flags, uint32_t *descriptor)
{
    char path[4096];
    uint32_t i = 0;
    while (i < NM_DESCRIPTORS && s->descriptors[i].open)
        i++;
    if (i == NM_DESCRIPTORS)
        return -ENFILE;
    fifo_path(path, sizeof(path), i);
    unlink(path);
    if (mkfifo(path, 0666) != 0)
        return -errno;
    int fd = open(path, O_RDWR | O_NONBLOCK | (flags & O_CLOEXEC));
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0 || flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int result = -errno;
        if (fd >= 0)
            close(fd);
        return result;
    }
    s->descriptors[i] = (struct nm_descriptor){ .open = true, .inode = status.st_ino, .pid = getpid(), .socket = -1 };
    if (i >= s->descriptors_end)
        s->descriptors_end = i + 1;
    *descriptor = i;
    return fd;
}

bool nm_descriptor_is_last(uint32_t descriptor)
{
    char path[4096];
    fifo_path(path, sizeof(path), descriptor);
    int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    bool is_last = fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0;
    if (fd >= 0)
        close(fd);
    return is_last;
}

/* Sets the place of the buffers in the slots that the application owns, where it is `from`. */
static void mark_slots(struct nm_state *s, const struct nm_descriptor *d, enum nm_place from, enum nm_place to)
{
    struct nm_ring_ref ref;
    for (uint32_t dir = 0; dir < 2; dir++)
        for (uint32_t ring = d->first[dir]; ring < d->end[dir]; ring++) {
            if (!nm_ring_at(s, d->port, dir, ring, &ref))
                continue;
            for (uint32_t i = ref.k->rhead; i != ref.k->rtail; i = nm_next(i, ref.k->slots)) {
                uint32_t index = ref.ring->slot[i].buf_idx;
                if (nm_buffer_valid(s, index) && ref.view->place[index] == from)
                    ref.view->place[index] = (uint8_t)to;
            }
        }
}

static bool memory_shared(const struct nm_state *s, const struct nm_descriptor *but)
{
    for (uint32_t i = 0; i < s->descriptors_end; i++) {
        const struct nm_descriptor *d = &s->descriptors[i];
        if (d != but && d->open && d->registered && d->memory == but->memory)
            return true;
    }
    return false;
}

/* Takes the chain at bufs_head back. A process that died is to blame for what its chain names wrongly only where
 * somebody else uses the memory: the kernel would free buffers under him. */
static void take_back(struct nm_state *s, const struct nm_descriptor *d, bool closed)
{
    struct nm_view *view = nm_memory_view(s, d->memory);
    if (view == NULL)
        return;
    const struct netmap_if *nifp = (const void *)(view->base + (size_t)d->if_object * NM_IF_BYTES);
    const char *name = s->ports[d->port].name, *how = closed ? "closed" : "left by a process that ended";
    bool blamed = closed || memory_shared(s, d);
    uint32_t count = 0;
    mark_slots(s, d, NM_USER, NM_MARKED);
    for (uint32_t index = nifp->bufs_head; index != 0;) {
        if (!nm_buffer_valid(s, index) || view->place[index] != NM_USER) {
            if (blamed)
                nm_violation(s, "port %s: %s with a chain of extra buffers that names buffer %u, which is %s", name, how, index,
                             nm_buffer_valid(s, index) ? "in a ring or free" : "none");
            break;
        }
        uint32_t next = *(const uint32_t *)nm_memory_buffer(s, view, index);
        nm_buffer_free(view, index);
        index = next;
        count++;
    }
    mark_slots(s, d, NM_MARKED, NM_USER);
    if (closed && count != d->extra_bufs)
        nm_violation(s, "port %s: closed with %u extra buffers in its chain, %u were granted", name, count, d->extra_bufs);
    if (!closed)
        s->memories[d->memory].excused = true;
}

void nm_descriptor_release(struct nm_state *s, uint32_t descriptor, bool closed)
{
    struct nm_descriptor *d = &s->descriptors[descriptor];
    char path[4096];
    fifo_path(path, sizeof(path), descriptor);
    unlink(path);
    if (d->registered)
        take_back(s, d, closed);
    d->registered = false;
    d->open = false;
    nm_port_collect(s);
}

void nm_descriptor_sweep(struct nm_state *s)
{
    for (uint32_t i = 0; i < s->descriptors_end; i++)
        if (s->descriptors[i].open && nm_descriptor_is_last(i))
            nm_descriptor_release(s, i, false);
}

void nm_descriptor_wake(struct nm_state *s, uint32_t port, uint32_t dir, uint32_t ring)
{
    for (uint32_t i = 0; i < s->descriptors_end; i++) {
        if (s->descriptors[i].waiters == 0 || !nm_descriptor_binds(&s->descriptors[i], port, dir, ring))
            continue;
        char path[4096];
        fifo_path(path, sizeof(path), i);
        int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (write(fd, "", 1) != 1 && errno != EAGAIN)
            perror("netmap stand-in: a descriptor's wake-up");
        close(fd);
    }
}
