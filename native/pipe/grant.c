/*
 * grant.c - how a pipe gets its reader, and how it is noticed that it has gone.
 *
 * Called by the attach server (attach.c), on its thread. A client that asks gets
 * a new reader page and two descriptors, and becomes pipe->incoming; the engine
 * thread is called and adopts it (producer.c). From then on it is the engine
 * thread's to free; here only its socket is watched.
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

void pb_reader_end_close(struct pb_reader_end *reader)
{
    epoll_ctl(reader->epoll_fd, EPOLL_CTL_DEL, reader->fd, NULL);
    /* The other side sees it even where a child process holds a copy of ours. */
    shutdown(reader->fd, SHUT_RDWR);
    close(reader->fd);
    pb_reader_page_close(reader->page);
    free(reader);
}

/* Has the reader hung up? Asks the socket: its event may still be on the way. */
static bool has_hung_up(struct pb_reader_end *reader)
{
    struct pollfd hangup = {.fd = reader->fd, .events = POLLRDHUP};
    if (!reader->hung_up && poll(&hangup, 1, 0) > 0) {
        reader->hung_up = true;
        epoll_ctl(reader->epoll_fd, EPOLL_CTL_DEL, reader->fd, NULL);
    }
    return reader->hung_up;
}

/* The reader that keeps others out, or NULL. Under the pipe's mutex. */
static const struct pb_reader_end *present_reader(struct pb_pipe *pipe)
{
    if (pipe->incoming != NULL && has_hung_up(pipe->incoming)) {
        pb_reader_end_close(pipe->incoming);
        pipe->incoming = NULL;
    }
    if (pipe->incoming != NULL)
        return pipe->incoming;
    return pipe->reader != NULL && !has_hung_up(pipe->reader) ? pipe->reader : NULL;
}

static void call_engine(struct pb_pipe *pipe)
{
    uint64_t one = 1;
    atomic_store(&pipe->port->attention, true);
    (void)!write(pipe->port->engine_wake_fd, &one, sizeof(one));
}

void pb_reader_hung_up(struct pb_pipe *pipe)
{
    pthread_mutex_lock(&pipe->mutex);
    present_reader(pipe);
    bool drop = pipe->reader != NULL && pipe->reader->hung_up;
    pthread_mutex_unlock(&pipe->mutex);
    if (drop)
        call_engine(pipe);
}

/* Who is at the other end: its pid, and its program's name in printable form. */
static void identify(struct pb_reader_end *reader)
{
    struct ucred peer;
    socklen_t bytes = sizeof(peer);
    bool known = getsockopt(reader->fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 && peer.pid > 0;
    reader->pid = known ? peer.pid : -1;
    char path[32];
    snprintf(path, sizeof(path), "/proc/%d/comm", (int)reader->pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, reader->program, sizeof(reader->program) - 1) : 0;
    if (fd >= 0)
        close(fd);
    if (length <= 0)
        length = snprintf(reader->program, sizeof(reader->program), "unknown");
    reader->program[length] = '\0';
    reader->program[strcspn(reader->program, "\n")] = '\0';
    for (char *c = reader->program; *c != '\0'; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
}

bool pb_attach_send(int fd, struct pb_attach_reply *reply, const int *descriptors)
{
    struct iovec part = {reply, sizeof(*reply)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(PB_ATTACH_DESCRIPTORS * sizeof(int))] = {0};
    if (descriptors != NULL) {
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(PB_ATTACH_DESCRIPTORS * sizeof(int));
        memcpy(CMSG_DATA(header), descriptors, PB_ATTACH_DESCRIPTORS * sizeof(int));
    }
    reply->magic = PB_ATTACH_MAGIC;
    reply->version = PB_ATTACH_VERSION;
    return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof(*reply);
}

/* Make the reader's end of things and send the client its own. The struct owns
 * `fd` when this succeeds. Under the pipe's mutex. */
static struct pb_reader_end *reader_end_open(struct pb_pipe *pipe, int fd, int epoll_fd, struct pb_attach_reply *reply)
{
    struct pb_reader_end *reader = calloc(1, sizeof(*reader));
    int page_fd = reader != NULL ? pb_reader_page_open(&reader->page) : -ENOMEM;
    if (page_fd < 0) {
        pb_fail(&reply->error, -page_fd, "pipe \"%s\": the engine cannot make a reader's page: %s", pipe->name,
                pb_errno_text(-page_fd));
        free(reader);
        return NULL;
    }
    reader->fd = fd;
    reader->epoll_fd = epoll_fd;
    identify(reader);
    int descriptors[PB_ATTACH_DESCRIPTORS] = {[PB_ATTACH_DATA] = pipe->data_fd, [PB_ATTACH_READER_PAGE] = page_fd};
    bool sent = pb_attach_send(fd, reply, descriptors);
    close(page_fd);
    struct epoll_event event = {.events = EPOLLRDHUP, .data.ptr = &pipe->reader_watch};
    if (sent && epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0)
        return reader;
    pb_reader_page_close(reader->page);
    free(reader);
    pb_fail(&reply->error, EIO, "pipe \"%s\": the client does not take the reply", pipe->name);
    return NULL;
}

bool pb_reader_grant(struct pb_pipe *pipe, int fd, int epoll_fd, struct pb_attach_reply *reply)
{
    pthread_mutex_lock(&pipe->mutex);
    const struct pb_reader_end *present = present_reader(pipe);
    if (present != NULL)
        pb_fail(&reply->error, EBUSY, "pipe \"%s\": process %d (%s) reads it already; end that reader first", pipe->name, (int)present->pid,
                present->program);
    else
        pipe->incoming = reader_end_open(pipe, fd, epoll_fd, reply);
    bool granted = reply->error.code == 0;
    bool drop = pipe->reader != NULL && pipe->reader->hung_up; /* noticed here, perhaps */
    pthread_mutex_unlock(&pipe->mutex);
    if (granted || drop)
        call_engine(pipe);
    return granted;
}
