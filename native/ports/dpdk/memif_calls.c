/*
 * memif_calls.c - see memif_calls.h: what DPDK's memif driver calls in place of the C
 * library. Threads of DPDK, engine threads and the control thread. Descriptors that
 * it opens while this process runs do not go to programs that are started.
 */
#define ALLOW_EXPERIMENTAL_API /* rte_intr_fd_get() */
#include "memif_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_interrupts.h>
#include <rte_malloc.h>

rte_rwlock_t pb_memif_calls_lock = RTE_RWLOCK_INITIALIZER;

static _Thread_local bool has_paused; /* this thread holds the lock for writing */

bool pb_memif_pause(void)
{
    has_paused = rte_rwlock_write_trylock(&pb_memif_calls_lock) == 0;
    return has_paused;
}

void pb_memif_resume(void)
{
    has_paused = false;
    rte_rwlock_write_unlock(&pb_memif_calls_lock);
}

static _Thread_local int connect_error; /* of this thread's last connect() */

int pb_memif_connect_error(void)
{
    return connect_error;
}

/* Sockets of servers, and who is called when a client comes. */
#define LISTENERS_MAX 64
static struct listener {
    int fd; /* 0: the row is free */
    struct rte_intr_handle *handle;
    rte_intr_callback_fn callback;
    void *argument;
} listeners[LISTENERS_MAX];

static struct listener *find_listener(int fd)
{
    for (uint32_t i = 0; i < LISTENERS_MAX; i++)
        if (listeners[i].fd == fd)
            return &listeners[i];
    return NULL;
}

int __wrap_remove(const char *path);
int __wrap_listen(int fd, int backlog);
int __wrap_rte_intr_callback_register(const struct rte_intr_handle *handle, rte_intr_callback_fn callback, void *argument);
struct rte_intr_handle *__wrap_rte_intr_instance_alloc(uint32_t flags);
struct rte_intr_handle *__real_rte_intr_instance_alloc(uint32_t flags);
void __wrap_rte_intr_instance_free(struct rte_intr_handle *handle);
void __real_rte_intr_instance_free(struct rte_intr_handle *handle);
void __wrap_rte_free(void *memory);
void __real_rte_free(void *memory);
int __real_munmap(void *memory, size_t bytes);
int __real_remove(const char *path);
int __real_listen(int fd, int backlog);
int __real_connect(int fd, const struct sockaddr *address, socklen_t bytes);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t bytes);
int __wrap_munmap(void *memory, size_t bytes);
int __wrap_memfd_create(const char *name, unsigned flags);
int __wrap_eventfd(unsigned value, int flags);
int __wrap_accept(int fd, struct sockaddr *address, socklen_t *bytes);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __real_recvmsg(int fd, struct msghdr *message, int flags);
int __real_memfd_create(const char *name, unsigned flags);
int __real_eventfd(unsigned value, int flags);

int __wrap_munmap(void *memory, size_t bytes)
{
    if (has_paused)
        return __real_munmap(memory, bytes);
    rte_rwlock_write_lock(&pb_memif_calls_lock);
    int result = __real_munmap(memory, bytes);
    rte_rwlock_write_unlock(&pb_memif_calls_lock);
    return result;
}

int __wrap_memfd_create(const char *name, unsigned flags)
{
    return __real_memfd_create(name, flags | MFD_CLOEXEC);
}

int __wrap_eventfd(unsigned value, int flags)
{
    return __real_eventfd(value, flags | EFD_CLOEXEC);
}

int __wrap_accept(int fd, struct sockaddr *address, socklen_t *bytes)
{
    return accept4(fd, address, bytes, SOCK_CLOEXEC);
}

/* A server that does not accept now is tried again later: a full queue of its socket stops no engine. */
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t bytes)
{
    int flags = fcntl(fd, F_GETFL);
    (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    int result = __real_connect(fd, address, bytes), code = errno;
    (void)fcntl(fd, F_SETFL, flags);
    connect_error = result < 0 ? code : 0;
    errno = code;
    return result;
}

static void close_listener(struct rte_intr_handle *handle, void *argument)
{
    (void)argument;
    close(rte_intr_fd_get(handle));
}

/* Nobody is called any more before the number can be another descriptor's: DPDK would add that one's callback to
 * what it knows of this one, and never wait for it. */
static void forget(struct listener *listener)
{
    if (listener->handle == NULL)
        close(listener->fd);
    else
        pb_memif_handler_end(listener->handle, listener->callback, listener->argument, close_listener);
    *listener = (struct listener){0};
}

/* The driver removes the file of a socket that it listened at, and forgets the socket. Control thread. */
int __wrap_remove(const char *path)
{
    for (uint32_t i = 0; i < LISTENERS_MAX; i++) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        socklen_t bytes = sizeof(address) - 1;
        if (listeners[i].fd != 0 && getsockname(listeners[i].fd, (struct sockaddr *)&address, &bytes) == 0 &&
            strcmp(address.sun_path, path) == 0)
            forget(&listeners[i]);
    }
    return __real_remove(path);
}

/* -------------------------------------------------- interrupt handles of the driver */

/* Those that it has. It forgets the one of a send queue when it releases that: 28 KiB of each start. */
#define HANDLES_MAX 1024
static struct {
    pthread_mutex_t lock;
    struct rte_intr_handle *handles[HANDLES_MAX]; /* one that finds no row here is left to the driver */
    uint32_t count;
} known = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool forget_handle(const void *handle)
{
    bool found = false;
    pthread_mutex_lock(&known.lock);
    for (uint32_t i = 0; i < known.count && !found; i++) {
        found = known.handles[i] == handle;
        if (found)
            known.handles[i] = known.handles[--known.count];
    }
    pthread_mutex_unlock(&known.lock);
    return found;
}

struct rte_intr_handle *__wrap_rte_intr_instance_alloc(uint32_t flags)
{
    struct rte_intr_handle *handle = __real_rte_intr_instance_alloc(flags);
    pthread_mutex_lock(&known.lock);
    if (handle != NULL && known.count < HANDLES_MAX)
        known.handles[known.count++] = handle;
    pthread_mutex_unlock(&known.lock);
    return handle;
}

void __wrap_rte_intr_instance_free(struct rte_intr_handle *handle)
{
    (void)forget_handle(handle);
    __real_rte_intr_instance_free(handle);
}

/* What holds a handle that is not freed yet was its only holder. */
void __wrap_rte_free(void *memory)
{
    size_t bytes = 0;
    if (memory != NULL && rte_malloc_validate(memory, &bytes) == 0)
        for (void **at = memory; (uint8_t *)(at + 1) <= (uint8_t *)memory + bytes; at++)
            if (*at != NULL && forget_handle(*at))
                __real_rte_intr_instance_free(*at);
    __real_rte_free(memory);
}

/* -------------------------------------------------------------- listening, receiving */

int __wrap_listen(int fd, int backlog)
{
    struct listener *listener = find_listener(0);
    if (listener != NULL)
        listener->fd = fd;
    return __real_listen(fd, backlog);
}

int __wrap_rte_intr_callback_register(const struct rte_intr_handle *handle, rte_intr_callback_fn callback, void *argument)
{
    struct listener *listener = find_listener(rte_intr_fd_get(handle));
    if (listener != NULL && listener->fd > 0) {
        listener->handle = (struct rte_intr_handle *)(uintptr_t)handle;
        listener->callback = callback;
        listener->argument = argument;
    }
    return pb_memif_handler_register(handle, callback, argument);
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
    return __real_recvmsg(fd, message, flags | MSG_CMSG_CLOEXEC);
}
