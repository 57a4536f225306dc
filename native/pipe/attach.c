/*
 * attach.c - the attach server: one thread that answers the attach sockets of
 * all pipes of the process. It starts with the first pipe and ends with the
 * last, and needs nobody else: no JavaScript, no engine that is awake.
 *
 * This file has the thread, its epoll set and the clients that have not said yet
 * what they want. Those who may stay are granted in grant.c.
 *
 * Locks, in this order: server.mutex (what the server knows; held while it
 * handles an event, and by the control thread in register and unregister), then
 * one pipe's mutex (what server and engine thread share). Under the latter nothing
 * takes long, and nothing blocks: every socket is used with MSG_DONTWAIT.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../core/clock.h"
#include "../core/error.h"
#include "pipe.h"
#include "protocol.h"

#define CONNECTIONS_PER_PIPE_MAX 64 /* that have not said yet what they want */
#define CONNECTIONS_MAX 256         /* ... of all pipes: their descriptors are the engine's process's */
#define REQUEST_TIMEOUT_MS 2000

/* A client that has connected and not yet said what it wants. */
struct connection {
    struct pb_watch watch;
    int fd;
    int64_t deadline_ms;
    struct connection *older, *newer;
};

static struct {
    pthread_mutex_t mutex;
    /* Set while no thread runs. */
    pthread_t thread;
    int epoll_fd, wake_fd;
    uint32_t pipes_count; /* control thread only */
    /* Under the mutex. */
    int spare_fd; /* given up to refuse a client when descriptors have run out */
    bool stopping;
    struct connection *oldest, *newest;
    uint32_t connections_count;
    /* Any thread: a stack, of which the server takes the whole. */
    _Atomic(struct pb_peer *) retired;
} server = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static int watch_fd(int operation, int fd, uint32_t events, struct pb_watch *watch)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    return epoll_ctl(server.epoll_fd, operation, fd, &event);
}

/* Closing a descriptor takes it out of the epoll set only when no copy of it is
 * left, and there may be one in a child process: take it out first. */
static void unwatch_and_close(int fd)
{
    epoll_ctl(server.epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    close(fd);
}

/* ------------------------------------------------------------- connections */

/* Take a connection off the list; its descriptor lives on. */
static void connection_forget(struct connection *connection)
{
    *(connection->older != NULL ? &connection->older->newer : &server.oldest) = connection->newer;
    *(connection->newer != NULL ? &connection->newer->older : &server.newest) = connection->older;
    server.connections_count--;
    connection->watch.pipe->connections_count--;
    free(connection);
}

static void connection_close(struct connection *connection)
{
    unwatch_and_close(connection->fd);
    connection_forget(connection);
}

/* Close the oldest connection of `pipe`, or of all where that is NULL. */
static void close_oldest(const struct pb_pipe *pipe)
{
    struct connection *connection = server.oldest;
    while (connection != NULL && pipe != NULL && connection->watch.pipe != pipe)
        connection = connection->newer;
    if (connection != NULL)
        connection_close(connection);
}

static void connection_open(struct pb_pipe *pipe, int fd)
{
    if (pipe->connections_count >= CONNECTIONS_PER_PIPE_MAX)
        close_oldest(pipe);
    else if (server.connections_count >= CONNECTIONS_MAX)
        close_oldest(NULL);
    struct connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL) {
        close(fd);
        return;
    }
    connection->watch = (struct pb_watch){PB_WATCH_CONNECTION, pipe};
    connection->fd = fd;
    connection->deadline_ms = pb_clock_steady_ms() + REQUEST_TIMEOUT_MS;
    connection->older = server.newest;
    *(server.newest != NULL ? &server.newest->newer : &server.oldest) = connection;
    server.newest = connection;
    server.connections_count++;
    pipe->connections_count++;
    if (watch_fd(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP, &connection->watch) < 0)
        connection_close(connection);
}

static void accept_client(struct pb_pipe *pipe)
{
    int fd = accept4(pipe->claim.listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        connection_open(pipe, fd);
    } else if (errno == EMFILE || errno == ENFILE) {
        /* Take it with the spare descriptor and hang up on it: left in the queue it
         * would wake us again and again. */
        close(server.spare_fd);
        fd = accept4(pipe->claim.listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            close(fd);
        else
            poll(NULL, 0, 10); /* somebody was faster: at least do not spin */
        server.spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
}

/* ---------------------------------------------------------------- requests */

static void serve_request(struct connection *connection)
{
    struct pb_attach_request request;
    struct pb_attach_reply reply = {0};
    struct pb_pipe *pipe = connection->watch.pipe;
    ssize_t length = recv(connection->fd, &request, sizeof(request), MSG_DONTWAIT | MSG_TRUNC);
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (length != (ssize_t)sizeof(request) || request.magic != PB_ATTACH_MAGIC) {
        connection_close(connection); /* no client of ours: it would not understand an answer */
        return;
    }
    pthread_mutex_lock(&pipe->mutex);
    pb_pipe_fill_status(pipe, &reply.status);
    pthread_mutex_unlock(&pipe->mutex);
    reply.status.engine_pid = getpid();
    snprintf(reply.status.engine, sizeof(reply.status.engine), "%s", pipe->port->engine_name);

    if (request.version != PB_ATTACH_VERSION) {
        pb_fail(&reply.error, EPROTO,
                "pipe \"%s\": the engine speaks version %u of the protocol, this program version %u; update the older",
                pipe->name, PB_ATTACH_VERSION, request.version);
    } else if (request.verb == (pipe->direction == PB_PIPE_TO_APPLICATION ? PB_ATTACH_WRITE : PB_ATTACH_READ)) {
        pb_fail(&reply.error, EOPNOTSUPP, "pipe \"%s\": %s", pipe->name,
                request.verb == PB_ATTACH_WRITE ? "its engine sends to it; read it"
                                                : "its engine receives from it; write to it (pcap_inject)");
    } else if (request.verb == PB_ATTACH_READ || request.verb == PB_ATTACH_WRITE) {
        if (pb_peer_grant(pipe, connection->fd, server.epoll_fd, request.borrows == 1, &reply)) {
            connection_forget(connection);
            return;
        }
    } else if (request.verb != PB_ATTACH_STATUS) {
        pb_fail(&reply.error, EPROTO, "pipe \"%s\": the engine knows no request %u", pipe->name, request.verb);
    }
    pb_attach_send(connection->fd, &reply, NULL, 0);
    connection_close(connection);
}

/* ----------------------------------------------------------- retired peers */

static void wake_server(void)
{
    uint64_t one = 1;
    (void)!write(server.wake_fd, &one, sizeof(one));
}

void pb_attach_retire(struct pb_peer *peer)
{
    peer->next_retired = atomic_load(&server.retired);
    while (!atomic_compare_exchange_weak(&server.retired, &peer->next_retired, peer))
        continue;
    wake_server();
}

static void free_retired(void)
{
    struct pb_peer *peer = atomic_exchange(&server.retired, NULL);
    while (peer != NULL) {
        struct pb_peer *next = peer->next_retired;
        pb_peer_free(peer);
        peer = next;
    }
}

/* -------------------------------------------------------------- the thread */

static void take_wakes(void)
{
    uint64_t wakes;
    (void)!read(server.wake_fd, &wakes, sizeof(wakes));
    free_retired();
}

static void handle(struct pb_watch *watch)
{
    switch (watch->kind) {
    case PB_WATCH_WAKE:
        take_wakes();
        break;
    case PB_WATCH_LISTEN:
        accept_client(watch->pipe);
        break;
    case PB_WATCH_CONNECTION:
        serve_request((struct connection *)((char *)watch - offsetof(struct connection, watch)));
        break;
    case PB_WATCH_PEER:
        pb_peer_hung_up(watch->pipe);
        break;
    }
}

/* Close who has said nothing in time. Returns how long until the next one, -1: none. */
static int expire_connections(void)
{
    while (server.oldest != NULL) {
        int64_t left_ms = server.oldest->deadline_ms - pb_clock_steady_ms();
        if (left_ms > 0)
            return (int)left_ms;
        connection_close(server.oldest);
    }
    return -1;
}

static void *serve(void *unused)
{
    (void)unused;
    int timeout_ms = -1;
    bool stopping = false;
    while (!stopping) {
        /* Wait without the mutex, then take one event under it: what the event points
         * to exists as long as its descriptor is in the set. */
        struct pollfd events = {.fd = server.epoll_fd, .events = POLLIN};
        poll(&events, 1, timeout_ms);
        pthread_mutex_lock(&server.mutex);
        struct epoll_event event;
        if (epoll_wait(server.epoll_fd, &event, 1, 0) == 1)
            handle(event.data.ptr);
        timeout_ms = expire_connections();
        stopping = server.stopping;
        pthread_mutex_unlock(&server.mutex);
    }
    return NULL;
}

static void server_free(void)
{
    if (server.epoll_fd >= 0)
        close(server.epoll_fd);
    if (server.wake_fd >= 0)
        close(server.wake_fd);
    if (server.spare_fd >= 0)
        close(server.spare_fd);
}

static int server_start(const struct pb_port *port, struct pb_error *error)
{
    static struct pb_watch wake_watch = {PB_WATCH_WAKE, NULL};
    server.stopping = false;
    server.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    server.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    server.spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (server.epoll_fd < 0 || server.wake_fd < 0 || server.spare_fd < 0 ||
        watch_fd(EPOLL_CTL_ADD, server.wake_fd, EPOLLIN, &wake_watch) < 0) {
        int code = errno;
        server_free();
        return pb_port_fail_errno(port, error, code, "free memory and processes", "cannot start the attach server of pipes");
    }
    /* Signals are for the program's own threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&server.thread, NULL, serve, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0) {
        server_free();
        return pb_port_fail_errno(port, error, code, "free memory and processes", "cannot start the attach server of pipes");
    }
    pthread_setname_np(server.thread, "bricks-attach");
    return 0;
}

static void server_stop(void)
{
    pthread_mutex_lock(&server.mutex);
    server.stopping = true;
    pthread_mutex_unlock(&server.mutex);
    wake_server();
    pthread_join(server.thread, NULL);
    free_retired();
    server_free();
}

int pb_attach_register(struct pb_pipe *pipe, struct pb_error *error)
{
    if (server.pipes_count == PB_PIPES_MAX)
        return pb_port_fail(pipe->port, error, EMFILE, "this process serves %d pipes already, the most it can; start another",
                            PB_PIPES_MAX);
    if (server.pipes_count == 0) {
        int result = server_start(pipe->port, error);
        if (result < 0)
            return result;
    }
    pthread_mutex_lock(&server.mutex);
    pipe->listen_watch = (struct pb_watch){PB_WATCH_LISTEN, pipe};
    pipe->peer_watch = (struct pb_watch){PB_WATCH_PEER, pipe};
    int code = watch_fd(EPOLL_CTL_ADD, pipe->claim.listen_fd, EPOLLIN, &pipe->listen_watch) < 0 ? errno : 0;
    pthread_mutex_unlock(&server.mutex);
    if (code == 0) {
        server.pipes_count++;
        pipe->registered = true;
        return 0;
    }
    if (server.pipes_count == 0)
        server_stop();
    return pb_port_fail_errno(pipe->port, error, code, "raise the limit (sysctl fs.epoll.max_user_watches)",
                              "cannot watch its socket");
}

void pb_attach_unregister(struct pb_pipe *pipe)
{
    if (!pipe->registered)
        return;
    pipe->registered = false;
    pthread_mutex_lock(&server.mutex);
    epoll_ctl(server.epoll_fd, EPOLL_CTL_DEL, pipe->claim.listen_fd, NULL);
    while (pipe->connections_count > 0)
        close_oldest(pipe);
    pthread_mutex_lock(&pipe->mutex);
    pb_pipe_count_attaches(pipe);
    if (pipe->incoming != NULL)
        pb_peer_close(pipe->incoming);
    pipe->incoming = NULL;
    if (pipe->peer != NULL)
        pb_peer_close(pipe->peer);
    pipe->peer = NULL;
    pthread_mutex_unlock(&pipe->mutex);
    pthread_mutex_unlock(&server.mutex);
    if (--server.pipes_count == 0)
        server_stop();
}
