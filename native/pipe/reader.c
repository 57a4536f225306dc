/*
 * reader.c - the reader library: what an application uses to read a pipe. Its
 * functions are documented in packet_bricks.h.
 *
 * Runs in the application, on whichever one thread uses the reader; the reader
 * owns its mappings and its socket. Also linked alone into libbricks-pipe.so,
 * with core/error.c and directory.c: depends on nothing else of the engine.
 *
 * The engine is trusted, but its lengths and positions are checked all the same:
 * an application ends with an error, not with a crash, where the two disagree.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../core/error.h"
#include "directory.h"
#include "protocol.h"
#include "ring.h"

#define REPLY_TIMEOUT_MS 5000
#define IDLE_READS_PER_LOOK 1024 /* a reader that never sleeps looks at its socket this often */

struct pb_pipe_reader {
    const uint8_t *ring;
    uint64_t mask;
    uint64_t next; /* the first record not handed out */
    uint64_t head; /* published, when last looked */
    uint64_t packets, packets_released; /* handed out, given back: since the start */
    const struct pb_producer_page *producer;
    struct pb_reader_page *page;
    uint64_t ring_bytes;
    uint32_t page_bytes;
    uint64_t answered; /* number of the engine's last request for space answered */
    uint32_t idle_reads;
    int fd;
    bool started; /* the engine has adopted us */
    bool hung_up; /* the engine is gone */
    bool broken;  /* the ring holds nonsense */
};

/* --------------------------------------------------------------- attaching */

static int no_such_pipe(const char *name, const char *path, struct pb_error *error)
{
    char names[192];
    return pb_fail(error, ENOENT,
                   "pipe \"%s\": no engine serves it at %s; have: %s (bricks-pipe --list; BRICKS_RUNTIME_DIR says where "
                   "to look)",
                   name, path, pb_pipe_names_text(names, sizeof(names)));
}

/* Connect to the attach socket of pipe `name`. Returns it, or -errno with text. */
static int connect_to(const char *name, struct pb_error *error)
{
    struct sockaddr_un address;
    int result = pb_pipe_name_check(name, error);
    if (result < 0 || (result = pb_pipe_address(name, false, &address, error)) < 0)
        return result;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return pb_fail(error, errno, "pipe \"%s\": cannot make a socket: %s", name, pb_errno_text(errno));
    struct timeval timeout = {.tv_sec = REPLY_TIMEOUT_MS / 1000};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    int code = errno;
    close(fd);
    if (code == ENOENT || code == ENOTDIR || code == ECONNREFUSED)
        return no_such_pipe(name, address.sun_path, error);
    if (code == EACCES || code == EPERM)
        return pb_fail(error, code, "pipe \"%s\": no permission for %s; become the user whom its engine runs as", name,
                       address.sun_path);
    if (code == EAGAIN)
        code = ETIMEDOUT;
    return pb_fail(error, code, "pipe \"%s\": cannot connect to %s: %s", name, address.sun_path, pb_errno_text(code));
}

/* Receive the reply and the descriptors in it, -1 where there are none. */
static int receive_reply(int fd, struct pb_attach_reply *reply, int descriptors[PB_ATTACH_DESCRIPTORS])
{
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    int ready = poll(&readable, 1, REPLY_TIMEOUT_MS);
    if (ready <= 0)
        return ready == 0 ? -ETIMEDOUT : -errno;
    struct iovec part = {reply, sizeof(*reply)};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(PB_ATTACH_DESCRIPTORS * sizeof(int))];
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    ssize_t length = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (length < 0)
        return -errno;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL; header = CMSG_NXTHDR(&message, header))
        if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
            memcpy(descriptors, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
    if (length == 0)
        return -ECONNRESET;
    /* Descriptors were sent that this process has no room for. */
    if ((message.msg_flags & MSG_CTRUNC) != 0)
        return -EMFILE;
    return length == (ssize_t)sizeof(*reply) && reply->magic == PB_ATTACH_MAGIC ? 0 : -EPROTO;
}

/* One request, one reply. Returns 0, or -errno with text: the engine's if it refuses. */
static int converse(int fd, const char *name, enum pb_attach_verb verb, struct pb_attach_reply *reply,
                    int descriptors[PB_ATTACH_DESCRIPTORS], struct pb_error *error)
{
    struct pb_attach_request request = {.magic = PB_ATTACH_MAGIC, .version = PB_ATTACH_VERSION, .verb = verb};
    ssize_t sent = send(fd, &request, sizeof(request), MSG_NOSIGNAL);
    int result = sent == (ssize_t)sizeof(request) ? receive_reply(fd, reply, descriptors) : -errno;
    if (result < 0)
        return pb_fail(error, -result, "pipe \"%s\": its engine does not answer: %s", name,
                       result == -ECONNRESET ? "it has hung up (is it ending?)" : pb_errno_text(-result));
    if (reply->error.code != 0) {
        reply->error.text[sizeof(reply->error.text) - 1] = '\0';
        return pb_fail(error, reply->error.code, "%s", reply->error.text);
    }
    return 0;
}

/* Map what the engine has handed over. 0, or -errno. */
static int map_memory(struct pb_pipe_reader *reader, const int descriptors[PB_ATTACH_DESCRIPTORS])
{
    int data_fd = descriptors[PB_ATTACH_DATA], page_fd = descriptors[PB_ATTACH_READER_PAGE];
    uint32_t page_bytes = (uint32_t)sysconf(_SC_PAGESIZE);
    struct stat data, page;
    if (fstat(data_fd, &data) < 0 || fstat(page_fd, &page) < 0)
        return -errno;
    int seals = fcntl(data_fd, F_GET_SEALS);
    if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || data.st_size < page_bytes ||
        (size_t)page.st_size < sizeof(*reader->page))
        return -EPROTO;
    void *producer = mmap(NULL, page_bytes, PROT_READ, MAP_SHARED, data_fd, 0);
    if (producer == MAP_FAILED)
        return -errno;
    reader->producer = producer;
    reader->page_bytes = page_bytes;
    uint64_t ring_bytes = reader->producer->ring_bytes;
    if (reader->producer->magic != PB_RING_MAGIC || reader->producer->version != PB_RING_VERSION ||
        reader->producer->page_bytes != page_bytes || ring_bytes < PB_RING_BYTES_MIN ||
        ring_bytes > PB_RING_BYTES_MAX || (ring_bytes & (ring_bytes - 1)) != 0 ||
        (uint64_t)data.st_size != page_bytes + ring_bytes)
        return -EPROTO;
    reader->ring_bytes = ring_bytes;
    reader->mask = ring_bytes - 1;
    reader->ring = pb_ring_map(data_fd, page_bytes, ring_bytes, PROT_READ, MAP_POPULATE);
    if (reader->ring == NULL)
        return -errno;
    void *own = mmap(NULL, sizeof(*reader->page), PROT_READ | PROT_WRITE, MAP_SHARED, page_fd, 0);
    if (own == MAP_FAILED)
        return -errno;
    reader->page = own;
    return 0;
}

int pb_pipe_open(const char *name, struct pb_pipe_reader **result, struct pb_error *error)
{
    struct pb_attach_reply reply = {0};
    int descriptors[PB_ATTACH_DESCRIPTORS] = {-1, -1};
    *result = NULL;
    int fd = connect_to(name, error);
    if (fd < 0)
        return fd;
    struct pb_pipe_reader *reader = calloc(1, sizeof(*reader));
    int code = -ENOMEM;
    if (reader == NULL) {
        pb_fail(error, ENOMEM, "pipe \"%s\": out of memory", name);
        close(fd);
        return code;
    }
    reader->fd = fd;
    code = converse(fd, name, PB_ATTACH_READ, &reply, descriptors, error);
    if (code == 0 && (code = map_memory(reader, descriptors)) < 0)
        pb_fail(error, -code, "pipe \"%s\": cannot map its ring: %s", name, pb_errno_text(-code));
    for (int i = 0; i < PB_ATTACH_DESCRIPTORS; i++)
        if (descriptors[i] >= 0)
            close(descriptors[i]);
    if (code < 0)
        pb_pipe_close(reader);
    else
        *result = reader;
    return code;
}

void pb_pipe_close(struct pb_pipe_reader *reader)
{
    if (reader == NULL)
        return;
    if (reader->page != NULL)
        munmap(reader->page, sizeof(*reader->page));
    if (reader->ring != NULL)
        pb_ring_unmap(reader->ring, reader->ring_bytes);
    if (reader->producer != NULL)
        munmap((void *)(uintptr_t)reader->producer, reader->page_bytes);
    close(reader->fd);
    free(reader);
}

int pb_pipe_status(const char *name, struct pb_pipe_status *status, struct pb_error *error)
{
    struct pb_attach_reply reply = {0};
    int descriptors[PB_ATTACH_DESCRIPTORS] = {-1, -1};
    int fd = connect_to(name, error);
    if (fd < 0)
        return fd;
    int result = converse(fd, name, PB_ATTACH_STATUS, &reply, descriptors, error);
    close(fd);
    if (result < 0)
        return result;
    *status = reply.status;
    status->engine[sizeof(status->engine) - 1] = '\0';
    return 0;
}

/* ----------------------------------------------------------------- reading */

/* Take the wake-ups out of the socket, and notice if the engine has hung up. */
static void look_at_socket(struct pb_pipe_reader *reader)
{
    char byte;
    ssize_t length;
    do
        length = recv(reader->fd, &byte, sizeof(byte), MSG_DONTWAIT);
    while (length > 0 || (length < 0 && errno == EINTR));
    if (length == 0 || errno != EAGAIN)
        reader->hung_up = true;
}

/* The engine waits for space and shall look now: once for each request. */
static void wake_engine(struct pb_pipe_reader *reader, uint64_t number)
{
    if (number == reader->answered)
        return;
    reader->answered = number;
    (void)!send(reader->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Has the engine adopted us? Then it says where we start. */
static bool has_started(struct pb_pipe_reader *reader)
{
    uint64_t start = atomic_load(&reader->page->start);
    if (!reader->started && start != PB_RING_UNSET) {
        reader->started = true;
        reader->next = reader->head = start;
    }
    return reader->started;
}

/* Everything known has been handed out: look for more. 1, 0: none, or -errno. */
static int look_at_head(struct pb_pipe_reader *reader)
{
    /* First whether it has ended, then where: not the other way round. */
    bool ended = atomic_load(&reader->producer->ended) != 0 || reader->hung_up;
    if (has_started(reader)) {
        uint64_t head = atomic_load_explicit(&reader->producer->head, memory_order_acquire);
        if (head - reader->next > reader->ring_bytes || head % PB_RING_ALIGN != 0)
            reader->broken = true;
        if (reader->broken)
            return -EBADMSG;
        reader->head = head;
        if (head != reader->next)
            return 1;
    }
    if (ended)
        return -EPIPE;
    if (++reader->idle_reads % IDLE_READS_PER_LOOK == 0)
        look_at_socket(reader); /* or one that spins would never learn that the engine was killed */
    return 0;
}

int pb_pipe_read(struct pb_pipe_reader *reader, struct pb_pipe_record *records, uint32_t records_max)
{
    uint32_t count = 0, limit = records_max < INT_MAX ? records_max : INT_MAX;
    uint64_t next = reader->next, head = reader->head;
    while (count < limit) {
        if (next == head) {
            reader->next = next;
            int more = look_at_head(reader);
            if (more <= 0 && count == 0)
                return more;
            if (more <= 0)
                break;
            next = reader->next; /* the start, the first time */
            head = reader->head;
        }
        const struct pb_record *record = (const struct pb_record *)(reader->ring + (next & reader->mask));
        uint64_t bytes = pb_record_bytes(record->captured_len);
        if (__builtin_expect(bytes > head - next, 0)) {
            reader->broken = true;
            reader->head = next; /* found again by look_at_head() */
            break;
        }
        records[count++] = (struct pb_pipe_record){
            .data = record->data,
            .timestamp_ns = record->timestamp_ns,
            .captured_len = record->captured_len,
            .wire_len = record->wire_len,
        };
        next += bytes;
    }
    reader->next = next;
    reader->packets += count;
    return count > 0 || !reader->broken ? (int)count : -EBADMSG;
}

void pb_pipe_release(struct pb_pipe_reader *reader)
{
    if (reader->packets == reader->packets_released)
        return;
    reader->packets_released = reader->packets;
    uint64_t number = pb_ring_release(reader->producer, reader->page, reader->next, reader->packets);
    if (number != 0)
        wake_engine(reader, number);
}

int pb_pipe_link_type(const struct pb_pipe_reader *reader)
{
    uint32_t link_type = atomic_load(&reader->producer->link_type);
    return link_type == PB_RING_LINK_UNSET ? -EAGAIN : (int)link_type;
}

/* ---------------------------------------------------------------- sleeping */

int pb_pipe_fd(const struct pb_pipe_reader *reader)
{
    return reader->fd;
}

int pb_pipe_arm(struct pb_pipe_reader *reader)
{
    uint64_t number;
    bool started, still;
    if (reader->next != reader->head || reader->broken)
        return 1;
    do {
        started = has_started(reader);
        look_at_socket(reader);
        still = pb_ring_reader_sleeps(reader->producer, reader->page, reader->head, &number);
    } while (!started && has_started(reader));
    /* Not adopted yet: neither its head nor its requests are for us; adoption sends
     * a wake-up. */
    if (!started)
        still = true;
    else if (still && number != 0)
        wake_engine(reader, number);
    return !still || reader->hung_up || atomic_load(&reader->producer->ended) != 0;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int pb_pipe_wait(struct pb_pipe_reader *reader, int timeout_ms)
{
    int64_t deadline_ms = timeout_ms >= 0 ? now_ms() + timeout_ms : 0;
    int result;
    while ((result = pb_pipe_arm(reader)) == 0) {
        int64_t left_ms = timeout_ms >= 0 ? deadline_ms - now_ms() : -1;
        if (timeout_ms >= 0 && left_ms < 0)
            left_ms = 0;
        struct pollfd readable = {.fd = reader->fd, .events = POLLIN};
        int ready = poll(&readable, 1, (int)left_ms);
        if (ready <= 0) {
            result = ready < 0 ? -errno : 0;
            break;
        }
    }
    /* Awake: the engine need not send. */
    atomic_store_explicit(&reader->page->reader_waiting, 0, memory_order_relaxed);
    return result;
}
