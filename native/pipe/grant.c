/*
 * grant.c - how a pipe gets its reader or writer, and how it is noticed that it
 * has gone.
 *
 * Called by the attach server (attach.c), on its thread. A client that asks gets
 * a new reader page (a writer: a ring of its own, too) and the descriptors, and
 * becomes pipe->incoming; the engine thread is called and adopts it (producer.c,
 * consumer.c). From then on it is the engine thread's to free; here only its
 * socket is watched.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../core/error.h"
#include "pipe.h"
#include "protocol.h"

void pb_peer_free(struct pb_peer *peer)
{
    pb_reader_page_close(peer->page);
    pb_ring_memory_close(&peer->memory);
    free(peer);
}

void pb_peer_close(struct pb_peer *peer)
{
    epoll_ctl(peer->epoll_fd, EPOLL_CTL_DEL, peer->fd, NULL);
    /* The other side sees it even where a child process holds a copy of ours. */
    shutdown(peer->fd, SHUT_RDWR);
    close(peer->fd);
    pb_attach_retire(peer);
}

/* Has it hung up? Asks the socket: its event may still be on the way. */
static bool has_hung_up(struct pb_peer *peer)
{
    struct pollfd hangup = {.fd = peer->fd, .events = POLLRDHUP};
    if (!peer->hung_up && poll(&hangup, 1, 0) > 0) {
        peer->hung_up = true;
        epoll_ctl(peer->epoll_fd, EPOLL_CTL_DEL, peer->fd, NULL);
    }
    return peer->hung_up;
}

/* The application that keeps others out, or NULL. Under the pipe's mutex. */
static const struct pb_peer *present_peer(struct pb_pipe *pipe)
{
    if (pipe->incoming != NULL && has_hung_up(pipe->incoming)) {
        pb_peer_close(pipe->incoming);
        pipe->incoming = NULL;
    }
    if (pipe->incoming != NULL)
        return pipe->incoming;
    return pipe->peer != NULL && !has_hung_up(pipe->peer) ? pipe->peer : NULL;
}

static void call_engine(struct pb_pipe *pipe)
{
    uint64_t one = 1;
    atomic_store(&pipe->port->attention, true);
    (void)!write(pipe->port->engine_wake_fd, &one, sizeof(one));
}

void pb_peer_hung_up(struct pb_pipe *pipe)
{
    pthread_mutex_lock(&pipe->mutex);
    present_peer(pipe);
    bool drop = pipe->peer != NULL && pipe->peer->hung_up;
    pthread_mutex_unlock(&pipe->mutex);
    if (drop)
        call_engine(pipe);
}

/* Who is at the other end: its pid, and its program's name in printable form. */
static void identify(struct pb_peer *peer)
{
    struct ucred who;
    socklen_t bytes = sizeof(who);
    bool known = getsockopt(peer->fd, SOL_SOCKET, SO_PEERCRED, &who, &bytes) == 0 && who.pid > 0;
    peer->pid = known ? who.pid : -1;
    char path[32];
    snprintf(path, sizeof(path), "/proc/%d/comm", (int)peer->pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, peer->program, sizeof(peer->program) - 1) : 0;
    if (fd >= 0)
        close(fd);
    if (length <= 0)
        length = snprintf(peer->program, sizeof(peer->program), "unknown");
    peer->program[length] = '\0';
    peer->program[strcspn(peer->program, "\n")] = '\0';
    for (char *c = peer->program; *c != '\0'; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
}

bool pb_attach_send(int fd, struct pb_attach_reply *reply, const int *descriptors, uint32_t count)
{
    struct iovec part = {reply, sizeof(*reply)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(PB_ATTACH_DESCRIPTORS_MAX * sizeof(int))] = {0};
    if (count > 0) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(header), descriptors, count * sizeof(int));
    }
    reply->magic = PB_ATTACH_MAGIC;
    reply->version = PB_ATTACH_VERSION;
    return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof(*reply);
}

/* Make what is shared with this application alone; descriptors go to `shared`. 0,
 * or -errno with text. */
static int open_memory(struct pb_pipe *pipe, struct pb_peer *peer, int shared[PB_ATTACH_DESCRIPTORS_MAX], struct pb_error *error)
{
    if (pipe->direction == PB_PIPE_FROM_APPLICATION) {
        struct pb_error reason;
        if (pb_ring_memory_open(&peer->memory, pipe->name, pipe->ring_bytes, false, &reason) < 0)
            return pb_fail(error, reason.code, "pipe \"%s\": the engine %s", pipe->name, reason.text);
    }
    shared[PB_ATTACH_DATA] = pipe->direction == PB_PIPE_FROM_APPLICATION ? peer->memory.fd : pipe->memory.fd;
    int page_fd = shared[PB_ATTACH_READER_PAGE] = pb_reader_page_open(&peer->page);
    if (page_fd >= 0)
        return 0;
    pb_ring_memory_close(&peer->memory);
    return pb_fail(error, -page_fd, "pipe \"%s\": the engine cannot make the application's page: %s", pipe->name,
                   pb_errno_text(-page_fd));
}

/* Make the engine's end of things and send the client its own. The struct owns
 * `fd` when this succeeds. */
static struct pb_peer *peer_open(struct pb_pipe *pipe, int fd, int epoll_fd, bool borrows, struct pb_attach_reply *reply)
{
    int shared[PB_ATTACH_DESCRIPTORS_MAX];
    uint32_t lent = borrows ? pipe->lent_fds_count : 0;
    struct pb_peer *peer = calloc(1, sizeof(*peer));
    if (peer == NULL)
        pb_fail(&reply->error, ENOMEM, "pipe \"%s\": the engine is out of memory", pipe->name);
    if (peer == NULL || open_memory(pipe, peer, shared, &reply->error) < 0) {
        free(peer);
        return NULL;
    }
    peer->fd = fd;
    peer->epoll_fd = epoll_fd;
    peer->borrows = lent > 0;
    identify(peer);
    memcpy(&shared[PB_ATTACH_REFERENCES], pipe->lent_fds, lent * sizeof(int));
    bool sent = pb_attach_send(fd, reply, shared, PB_ATTACH_REFERENCES + lent);
    close(shared[PB_ATTACH_READER_PAGE]);
    struct epoll_event event = {.events = EPOLLRDHUP, .data.ptr = &pipe->peer_watch};
    if (sent && epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0)
        return peer;
    pb_peer_free(peer);
    pb_fail(&reply->error, EIO, "pipe \"%s\": the client does not take the reply", pipe->name);
    return NULL;
}

/* Nobody is attached or about to be? Else says who in the reply. *drop: the engine
 * has somebody to part from. */
static bool is_vacant(struct pb_pipe *pipe, struct pb_attach_reply *reply, bool *drop)
{
    pthread_mutex_lock(&pipe->mutex);
    const struct pb_peer *present = present_peer(pipe);
    if (present != NULL)
        pb_fail(&reply->error, EBUSY, "pipe \"%s\": process %d (%s) %s it already; end that process first", pipe->name,
                (int)present->pid, present->program, pipe->direction == PB_PIPE_TO_APPLICATION ? "reads" : "writes");
    *drop = pipe->peer != NULL && pipe->peer->hung_up;
    pthread_mutex_unlock(&pipe->mutex);
    return present == NULL;
}

bool pb_peer_grant(struct pb_pipe *pipe, int fd, int epoll_fd, bool borrows, struct pb_attach_reply *reply)
{
    bool drop;
    struct pb_peer *peer = NULL;
    /* Without the pipe's mutex, for which the engine would wait: a ring of 1 GiB takes a
     * second to make. Nobody but this thread fills the vacancy. */
    if (is_vacant(pipe, reply, &drop))
        peer = peer_open(pipe, fd, epoll_fd, borrows, reply);
    if (peer != NULL) {
        pthread_mutex_lock(&pipe->mutex);
        pipe->incoming = peer;
        pipe->came++;
        pthread_mutex_unlock(&pipe->mutex);
    }
    if (peer != NULL || drop)
        call_engine(pipe);
    return peer != NULL;
}
