/*
 * interpose.c - the system calls that an application of netmap makes, in front of the C library's: a preloaded library
 * answers them for /dev/netmap and passes every other call on. Without NETMAP_STAND_IN it passes on all of them.
 *
 * Any thread of any process; what is this process's own is a table by descriptor number, the rest is in model.h's state.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "model.h"

#define EXPORT __attribute__((visibility("default")))
#define FDS_MAX 65536
#define MAPPINGS_MAX 1024
#define POLL_FDS 64             /* more are allocated */
#define SLICE_NS 10000000       /* the longest wait before rings are looked at again: a link that comes up wakes nobody */
#define NS_PER_S 1000000000ll

/* The C library's function of that name, whatever its type. */
#define REAL(type, name)                                                                                               \
    static _Atomic(type) cached_##name;                                                                                \
    static type real_##name(void)                                                                                      \
    {                                                                                                                  \
        if (cached_##name == NULL)                                                                                     \
            cached_##name = (type)dlsym(RTLD_NEXT, #name);                                                             \
        return cached_##name;                                                                                          \
    }

typedef int (*openat_fn)(int, const char *, int, ...);
typedef int (*ioctl_fn)(int, unsigned long, ...);
typedef void *(*mmap_fn)(void *, size_t, int, int, int, off_t);
typedef int (*munmap_fn)(void *, size_t);
typedef int (*ppoll_fn)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *);
typedef int (*close_fn)(int);
typedef int (*epoll_ctl_fn)(int, int, int, struct epoll_event *);
REAL(openat_fn, openat)
REAL(ioctl_fn, ioctl)
REAL(mmap_fn, mmap)
REAL(munmap_fn, munmap)
REAL(ppoll_fn, ppoll)
REAL(close_fn, close)
REAL(epoll_ctl_fn, epoll_ctl)

/* A descriptor of this process. It counts only while the number still is that FIFO. */
struct local {
    _Atomic(ino_t) inode; /* 0: none */
    dev_t device;
    uint32_t descriptor;
    int socket;
};
static struct local locals[FDS_MAX];

/* A mapping keeps its open file, and so the registration, when the descriptor is closed: here by a duplicate. */
static struct mapping {
    void *address; /* NULL: unused */
    uint32_t descriptor;
    int fd;
} mappings[MAPPINGS_MAX];

static struct local *local_of(int fd)
{
    struct stat status;
    if (fd < 0 || fd >= FDS_MAX || locals[fd].inode == 0)
        return NULL;
    int error = errno;
    bool same = fstat(fd, &status) == 0 && status.st_ino == locals[fd].inode && status.st_dev == locals[fd].device;
    errno = error;
    return same ? &locals[fd] : NULL;
}

static int fail(int error)
{
    errno = error;
    return -1;
}

/* ------------------------------------------------------------------------ open, close */

static int open_device(int flags)
{
    struct nm_state *s = nm_state();
    struct stat status;
    uint32_t descriptor;
    if (s == NULL)
        return -1;
    nm_lock(s);
    nm_descriptor_sweep(s);
    int fd = nm_descriptor_open(s, flags, &descriptor);
    nm_unlock(s);
    if (fd < 0)
        return fail(-fd);
    if (fd >= FDS_MAX || fstat(fd, &status) != 0) {
        real_close()(fd);
        return fail(EMFILE);
    }
    locals[fd].device = status.st_dev;
    locals[fd].descriptor = descriptor;
    locals[fd].socket = -1;
    locals[fd].inode = status.st_ino;
    return fd;
}

static int open_any(int folder, const char *path, int flags, mode_t mode)
{
    if (path != NULL && strcmp(path, NETMAP_DEVICE) == 0 && nm_folder() != NULL)
        return open_device(flags);
    return real_openat()(folder, path, flags, mode);
}

/* The mode argument is there only where a file may be made. */
#define MODE(flags)                                                                                                    \
    __extension__({                                                                                                    \
        mode_t mode_ = 0;                                                                                              \
        if (((flags) & O_CREAT) != 0 || ((flags) & O_TMPFILE) == O_TMPFILE) {                                          \
            va_list arguments_;                                                                                        \
            va_start(arguments_, flags);                                                                               \
            mode_ = va_arg(arguments_, mode_t);                                                                        \
            va_end(arguments_);                                                                                        \
        }                                                                                                              \
        mode_;                                                                                                         \
    })

EXPORT int open(const char *path, int flags, ...)
{
    return open_any(AT_FDCWD, path, flags, MODE(flags));
}

EXPORT int open64(const char *path, int flags, ...)
{
    return open_any(AT_FDCWD, path, flags, MODE(flags));
}

EXPORT int openat(int folder, const char *path, int flags, ...)
{
    return open_any(folder, path, flags, MODE(flags));
}

EXPORT int openat64(int folder, const char *path, int flags, ...)
{
    return open_any(folder, path, flags, MODE(flags));
}

/* What programs built with _FORTIFY_SOURCE call; there is no mode. The headers do not declare them. */
EXPORT int __open_2(const char *path, int flags);
EXPORT int __open64_2(const char *path, int flags);
EXPORT int __openat_2(int folder, const char *path, int flags);
EXPORT int __openat64_2(int folder, const char *path, int flags);
EXPORT int __poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, size_t bytes);
EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask, size_t bytes);

int __open_2(const char *path, int flags)
{
    return open_any(AT_FDCWD, path, flags, 0);
}

int __open64_2(const char *path, int flags)
{
    return open_any(AT_FDCWD, path, flags, 0);
}

int __openat_2(int folder, const char *path, int flags)
{
    return open_any(folder, path, flags, 0);
}

int __openat64_2(int folder, const char *path, int flags)
{
    return open_any(folder, path, flags, 0);
}

/* If no other descriptor, mapping or process has it open. */
static void release_last(struct nm_state *s, uint32_t descriptor)
{
    if (nm_descriptor_is_last(descriptor))
        nm_descriptor_release(s, descriptor, true);
}

EXPORT int close(int fd)
{
    struct local *local = local_of(fd);
    if (local == NULL)
        return real_close()(fd);
    struct nm_state *s = nm_state();
    uint32_t descriptor = local->descriptor;
    nm_lock(s);
    if (local->socket >= 0)
        real_close()(local->socket);
    local->inode = 0;
    int result = real_close()(fd);
    release_last(s, descriptor);
    nm_unlock(s);
    return result;
}

/* ------------------------------------------------------------------------ ioctl, mmap */

EXPORT int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    struct local *local = local_of(fd);
    if (local == NULL)
        return real_ioctl()(fd, request, argument);
    struct nm_state *s = nm_state();
    int result = -ENOTTY;
    nm_lock(s);
    switch ((uint32_t)request) {
    case NIOCCTRL:
        result = nm_control(s, local->descriptor, argument, &local->socket);
        break;
    case NIOCTXSYNC:
        result = nm_sync(s, local->descriptor, NM_TX, local->socket);
        break;
    case NIOCRXSYNC:
        result = nm_sync(s, local->descriptor, NM_RX, local->socket);
        break;
    }
    nm_unlock(s);
    return result < 0 ? fail(-result) : result;
}

/* A descriptor of the memory that the device is mapped to; -errno. */
static int open_memory(struct nm_state *s, const struct local *local, size_t bytes, int flags, off_t offset)
{
    const struct nm_descriptor *d = &s->descriptors[local->descriptor];
    uint64_t most = nm_memory_bytes(s);
    if (!d->registered)
        return -ENODEV;
    if ((flags & MAP_TYPE) == MAP_PRIVATE || offset < 0 || (uint64_t)offset > most || bytes > most - (uint64_t)offset)
        return -EINVAL;
    int memory = nm_memory_open(s, d->memory);
    return memory < 0 ? -errno : memory;
}

static struct mapping *unused_mapping(void)
{
    for (int i = 0; i < MAPPINGS_MAX; i++)
        if (mappings[i].address == NULL)
            return &mappings[i];
    return NULL;
}

static void *map_any(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    struct local *local = (flags & MAP_ANONYMOUS) != 0 ? NULL : local_of(fd);
    if (local == NULL)
        return real_mmap()(address, bytes, protection, flags, fd, offset);
    struct nm_state *s = nm_state();
    nm_lock(s);
    struct mapping *mapping = unused_mapping();
    int memory = mapping == NULL ? -ENOMEM : open_memory(s, local, bytes, flags, offset);
    void *at = MAP_FAILED;
    int error = -memory;
    if (memory >= 0) {
        at = real_mmap()(address, bytes, protection, flags, memory, offset);
        error = errno;
        real_close()(memory);
    }
    if (at != MAP_FAILED)
        *mapping = (struct mapping){ at, local->descriptor, fcntl(fd, F_DUPFD_CLOEXEC, 0) };
    nm_unlock(s);
    errno = error;
    return at;
}

EXPORT int munmap(void *address, size_t bytes)
{
    int result = real_munmap()(address, bytes);
    struct mapping *mapping = NULL;
    for (int i = 0; i < MAPPINGS_MAX && result == 0; i++)
        if (address != NULL && mappings[i].address == address)
            mapping = &mappings[i];
    if (mapping == NULL)
        return result;
    struct nm_state *s = nm_state();
    nm_lock(s);
    mapping->address = NULL;
    real_close()(mapping->fd);
    release_last(s, mapping->descriptor);
    nm_unlock(s);
    return result;
}

EXPORT void *mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    return map_any(address, bytes, protection, flags, fd, offset);
}

EXPORT void *mmap64(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    return map_any(address, bytes, protection, flags, fd, offset);
}

/* ------------------------------------------------------------------------ poll */

/* poll() of a set in which at least one descriptor is ours. */
struct polling {
    struct nm_state *s;
    struct pollfd *fds;
    nfds_t count;
    struct pollfd *watched; /* fds' own, then the sockets of ours */
    uint64_t *inodes;       /* of ours that wait, else 0 */
    nfds_t watched_count;
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* Syncs ours; returns how many are ready. The rest count as waiting from here, so that no wake-up is missed. */
static int look(struct polling *p)
{
    int ready = 0;
    p->watched_count = p->count;
    nm_lock(p->s);
    for (nfds_t i = 0; i < p->count; i++) {
        struct local *local = local_of(p->fds[i].fd);
        p->watched[i] = p->fds[i];
        p->watched[i].revents = p->fds[i].revents = 0;
        p->inodes[i] = 0;
        if (local == NULL)
            continue;
        p->watched[i].events = POLLIN;
        p->fds[i].revents = nm_poll(p->s, local->descriptor, p->fds[i].events, local->socket);
        if (p->fds[i].revents != 0) {
            ready++;
            continue;
        }
        p->inodes[i] = local->inode;
        p->s->descriptors[local->descriptor].waiters++;
        if (local->socket >= 0 && (p->fds[i].events & (POLLIN | POLLRDNORM)) != 0)
            p->watched[p->watched_count++] = (struct pollfd){ .fd = local->socket, .events = POLLIN };
    }
    nm_unlock(p->s);
    return ready;
}

/* Ours no longer wait; the bytes that woke them are taken out. Returns how many of the others are ready. */
static int look_away(struct polling *p)
{
    int ready = 0;
    nm_lock(p->s);
    for (nfds_t i = 0; i < p->count; i++) {
        struct local *local = local_of(p->fds[i].fd);
        if (local == NULL) {
            p->fds[i].revents = p->watched[i].revents;
            ready += p->fds[i].revents != 0;
            continue;
        }
        if (p->inodes[i] == local->inode)
            p->s->descriptors[local->descriptor].waiters--;
        char bytes[256];
        if ((p->watched[i].revents & POLLIN) != 0 && read(p->fds[i].fd, bytes, sizeof(bytes)) < 0 && errno != EAGAIN)
            perror("netmap stand-in: a descriptor's wake-up");
    }
    nm_unlock(p->s);
    return ready;
}

static int poll_until(struct polling *p, int64_t deadline_ns, const sigset_t *mask)
{
    for (;;) {
        int ready = look(p);
        int64_t left = deadline_ns < 0 ? SLICE_NS : deadline_ns - now_ns();
        int64_t wait = ready > 0 || left < 0 ? 0 : left < SLICE_NS ? left : SLICE_NS;
        struct timespec slice = { .tv_nsec = wait };
        int result = real_ppoll()(p->watched, p->watched_count, &slice, mask);
        int error = errno;
        if (result < 0)
            for (nfds_t i = 0; i < p->count; i++)
                p->watched[i].revents = 0;
        ready += look_away(p);
        if (ready > 0 || (result == 0 && left <= 0))
            return ready;
        if (result < 0)
            return fail(error);
    }
}

static int poll_any(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    bool ours = false;
    for (nfds_t i = 0; i < count && !ours; i++)
        ours = local_of(fds[i].fd) != NULL;
    if (!ours)
        return real_ppoll()(fds, count, timeout, mask);
    struct pollfd few[2 * POLL_FDS];
    uint64_t few_inodes[POLL_FDS];
    struct polling p = { .s = nm_state(), .fds = fds, .count = count, .watched = few, .inodes = few_inodes };
    if (count > POLL_FDS) {
        p.watched = calloc(count, 2 * sizeof(*p.watched));
        p.inodes = calloc(count, sizeof(*p.inodes));
    }
    int result = -1, error = ENOMEM;
    if (p.watched != NULL && p.inodes != NULL) {
        result = poll_until(&p, timeout == NULL ? -1 : now_ns() + timeout->tv_sec * NS_PER_S + timeout->tv_nsec, mask);
        error = errno;
    }
    if (count > POLL_FDS) {
        free(p.watched);
        free(p.inodes);
    }
    errno = error;
    return result;
}

EXPORT int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    return poll_any(fds, count, timeout, mask);
}

EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask, size_t bytes)
{
    if (count > bytes / sizeof(*fds))
        abort();
    return poll_any(fds, count, timeout, mask);
}

EXPORT int poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    const struct timespec timeout = { .tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000l };
    return poll_any(fds, count, timeout_ms < 0 ? NULL : &timeout, NULL);
}

EXPORT int __poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, size_t bytes)
{
    if (count > bytes / sizeof(*fds))
        abort();
    return poll(fds, count, timeout_ms);
}

/* Not served: said at once, rather than never waking anyone. */
EXPORT int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    return local_of(fd) != NULL ? fail(EPERM) : real_epoll_ctl()(epoll, operation, fd, event);
}
