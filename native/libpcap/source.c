/* source.c - the pipe behind a capture handle. See source.h. */
#include "source.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "../core/clock.h"
#include "../core/error.h"

#define RETRY_NS 100000000 /* how often to look whether the pipe is served */
#define BATCH_RECORDS_MIN 16
#define BATCH_HOLD_NS 1000000 /* an application that holds batches for longer gets smaller ones */

void pb_source_init(struct pb_source *source, const char *name)
{
    strncat(source->name, name, PB_PIPE_NAME_MAX);
    source->poll_fd = source->ready_fd = source->retry_fd = -1;
    source->batch_records = PB_SOURCE_RECORDS_MAX;
}

/* --------------------------------------------------------------- attaching */

static int pipe_fd(const struct pb_source *source)
{
    return source->reader != NULL ? pb_pipe_fd(source->reader) : pb_pipe_writer_fd(source->writer);
}

static int watch(const struct pb_source *source, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events};
    return epoll_ctl(source->poll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* One try: 0, or -errno with text. */
static int attach(struct pb_source *source, struct pb_error *error)
{
    int result = pb_pipe_open(source->name, &source->reader, error);
    if (result == -EOPNOTSUPP)
        result = pb_pipe_open_writer(source->name, &source->writer, error);
    if (result < 0)
        return result;
    source->attachments++;
    /* Of a pipe that we write nothing comes but its end: EPOLLHUP, which is always told. */
    if (watch(source, pipe_fd(source), source->reader != NULL ? EPOLLIN : 0) < 0)
        return pb_fail(error, errno, "pipe \"%s\": cannot watch it: %s", source->name, pb_errno_text(errno));
    return 0;
}

static void detach(struct pb_source *source)
{
    struct pb_pipe_counts counts;
    if (source->reader == NULL && source->writer == NULL)
        return;
    /* By name: closing is not enough where a child process has the descriptor, too. */
    epoll_ctl(source->poll_fd, EPOLL_CTL_DEL, pipe_fd(source), NULL);
    pb_source_counts(source, &counts);
    source->former = counts;
    pb_pipe_close(source->reader);
    if (source->writer != NULL)
        pb_pipe_close_writer(source->writer);
    source->reader = NULL;
    source->writer = NULL;
    source->next = source->count = 0;
}

static int make_descriptors(struct pb_source *source, struct pb_error *error)
{
    source->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    source->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    source->retry_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (source->poll_fd >= 0 && source->ready_fd >= 0 && source->retry_fd >= 0 &&
        watch(source, source->ready_fd, EPOLLIN) == 0 && watch(source, source->retry_fd, EPOLLIN) == 0)
        return 0;
    return pb_fail(error, errno, "pipe \"%s\": cannot make descriptors to wait with: %s", source->name,
                   pb_errno_text(errno));
}

/* Not there, or just beginning or ending: worth another try later. */
static bool is_not_served(int result)
{
    return result == -ENOENT || result == -ECONNRESET;
}

int pb_source_open(struct pb_source *source, struct pb_error *error)
{
    const struct timespec pause = {.tv_nsec = RETRY_NS};
    int result = make_descriptors(source, error);
    if (result == 0)
        result = attach(source, error);
    while (is_not_served(result) && source->waits) {
        /* Any handler that ran may have been the one that wants us to end. */
        if (nanosleep(&pause, NULL) < 0) {
            result = pb_fail(error, EINTR, "pipe \"%s\": interrupted while waiting for an engine to serve it",
                             source->name);
            break;
        }
        result = attach(source, error);
    }
    if (result < 0)
        pb_source_close(source);
    return result;
}

void pb_source_close(struct pb_source *source)
{
    detach(source);
    int *descriptors[] = {&source->poll_fd, &source->ready_fd, &source->retry_fd};
    for (size_t i = 0; i < sizeof(descriptors) / sizeof(descriptors[0]); i++) {
        if (*descriptors[i] >= 0)
            close(*descriptors[i]);
        *descriptors[i] = -1;
    }
}

static void set_retry_timer(const struct pb_source *source, long ns)
{
    const struct itimerspec period = {{0, ns}, {0, ns}};
    timerfd_settime(source->retry_fd, 0, &period, NULL);
}

/* Detached: try again when it is time. 1: attached, 0: not yet, or -errno with text. */
static int reattach(struct pb_source *source, struct pb_error *error)
{
    uint64_t expirations;
    if (read(source->retry_fd, &expirations, sizeof(expirations)) < 0)
        return 0;
    int result = attach(source, error);
    if (is_not_served(result))
        return 0;
    set_retry_timer(source, 0);
    return result < 0 ? result : 1;
}

/* The engine is gone. -EPIPE, or 0 where another one is awaited. */
static int end(struct pb_source *source)
{
    if (!source->reconnects)
        return -EPIPE;
    detach(source);
    set_retry_timer(source, RETRY_NS);
    return 0;
}

/* ----------------------------------------------------------------- packets */

static bool has_hung_up(int fd)
{
    struct pollfd events = {.fd = fd};
    return poll(&events, 1, 0) > 0 && (events.revents & (POLLHUP | POLLERR)) != 0;
}

int pb_source_fetch(struct pb_source *source, struct pb_error *error)
{
    if (source->reader == NULL && source->writer == NULL) {
        int result = reattach(source, error);
        if (result <= 0)
            return result;
    }
    if (source->writer != NULL)
        return has_hung_up(pipe_fd(source)) ? end(source) : 0;
    pb_source_release(source);
    int count = pb_pipe_read(source->reader, source->records, source->batch_records);
    if (count == -EPIPE)
        return end(source);
    if (count < 0)
        return pb_fail(error, -count, "pipe \"%s\": its ring holds nonsense; restart its engine", source->name);
    if (count > 0)
        source->fetched_ns = (uint64_t)pb_clock_steady_ns();
    source->next = 0;
    source->count = (uint32_t)count;
    return count;
}

void pb_source_release(struct pb_source *source)
{
    if (source->count == 0 || source->next < source->count)
        return;
    pb_pipe_release(source->reader);
    source->next = source->count = 0;
    /* The whole batch takes room in the ring until its last packet is used. */
    uint32_t records = source->batch_records;
    if ((uint64_t)pb_clock_steady_ns() - source->fetched_ns > BATCH_HOLD_NS)
        source->batch_records = records / 2 > BATCH_RECORDS_MIN ? records / 2 : BATCH_RECORDS_MIN;
    else if (records < PB_SOURCE_RECORDS_MAX)
        source->batch_records = records * 2;
}

int pb_source_link_type(struct pb_source *source, int wait_ms)
{
    if (source->reader == NULL)
        return -EAGAIN;
    int link_type = pb_pipe_link_type(source->reader);
    if (link_type < 0 && wait_ms > 0) {
        pb_pipe_wait(source->reader, wait_ms);
        link_type = pb_pipe_link_type(source->reader);
    }
    return link_type;
}

void pb_source_counts(const struct pb_source *source, struct pb_pipe_counts *counts)
{
    *counts = (struct pb_pipe_counts){0};
    if (source->reader != NULL)
        pb_pipe_counts(source->reader, counts);
    counts->received += source->former.received;
    counts->dropped += source->former.dropped;
}

/* ----------------------------------------------------------------- waiting */

bool pb_source_settle(struct pb_source *source)
{
    uint64_t value = 1;
    bool is_ready = source->next < source->count;
    if (!is_ready && source->reader != NULL)
        is_ready = pb_pipe_arm(source->reader) != 0;
    if (is_ready && !source->shows_ready)
        source->shows_ready = write(source->ready_fd, &value, sizeof(value)) > 0;
    else if (!is_ready && source->shows_ready)
        source->shows_ready = read(source->ready_fd, &value, sizeof(value)) < 0;
    return is_ready;
}
