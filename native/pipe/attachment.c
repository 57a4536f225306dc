/*
 * attachment.c - an application's way to a pipe: connecting to its attach socket,
 * asking, and mapping what the engine hands over. See attachment.h.
 */
#include "attachment.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../core/clock.h"
#include "../core/error.h"
#include "directory.h"

#define REPLY_TIMEOUT_MS 5000

static int no_such_pipe(const char *name, const char *path, struct pb_error *error)
{
    char names[192];
    return pb_fail(error, ENOENT,
                   "pipe \"%s\": no engine serves it at %s; have: %s (bricks-pipe --list; BRICKS_RUNTIME_DIR says where "
                   "to look: root's engines are at /run/bricks)",
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
        return pb_fail(error, code,
                       "pipe \"%s\": no permission for %s; become the user whom its engine runs as, or let its port say who may "
                       "(?mode=0660&group=NAME)",
                       name, address.sun_path);
    if (code == EAGAIN)
        code = ETIMEDOUT;
    return pb_fail(error, code, "pipe \"%s\": cannot connect to %s: %s", name, address.sun_path, pb_errno_text(code));
}

/* Receive the reply and the descriptors in it. */
static int receive_reply(int fd, struct pb_attach_reply *reply, int descriptors[PB_ATTACH_DESCRIPTORS_MAX])
{
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    int ready = poll(&readable, 1, REPLY_TIMEOUT_MS);
    if (ready <= 0)
        return ready == 0 ? -ETIMEDOUT : -errno;
    struct iovec part = {reply, sizeof(*reply)};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(PB_ATTACH_DESCRIPTORS_MAX * sizeof(int))];
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    ssize_t length = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (length < 0)
        return -errno;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL; header = CMSG_NXTHDR(&message, header))
        if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
            memcpy(descriptors, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0)); /* no more than `control` holds */
    if (length == 0)
        return -ECONNRESET;
    /* Descriptors were sent that this process has no room for. */
    if ((message.msg_flags & MSG_CTRUNC) != 0)
        return -EMFILE;
    return length == (ssize_t)sizeof(*reply) && reply->magic == PB_ATTACH_MAGIC ? 0 : -EPROTO;
}

/* One request, one reply, and the descriptors in it, -1 where there are none. Returns 0,
 * or -errno with text: the engine's if it refuses. */
static int converse(int fd, const char *name, enum pb_attach_verb verb, bool borrows, struct pb_attach_reply *reply,
                    int descriptors[PB_ATTACH_DESCRIPTORS_MAX], struct pb_error *error)
{
    struct pb_attach_request request = {.magic = PB_ATTACH_MAGIC, .version = PB_ATTACH_VERSION, .verb = verb, .borrows = borrows};
    for (int i = 0; i < PB_ATTACH_DESCRIPTORS_MAX; i++)
        descriptors[i] = -1;
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

/* Map all of a sealed memfd to be read. NULL with errno. */
static const void *map_sealed(int fd, uint64_t *bytes)
{
    struct stat status;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || fstat(fd, &status) < 0)
        return NULL;
    if ((seals & F_SEAL_SHRINK) == 0) {
        errno = EPROTO;
        return NULL;
    }
    *bytes = (uint64_t)status.st_size;
    void *memory = mmap(NULL, *bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    return memory != MAP_FAILED ? memory : NULL;
}

/* Map references and regions, where there are any. 0, or -errno. */
static int map_lent(struct pb_attachment *attachment, const int descriptors[PB_ATTACH_DESCRIPTORS_MAX])
{
    uint64_t bytes;
    if (descriptors[PB_ATTACH_REFERENCES] < 0)
        return 0;
    attachment->references = map_sealed(descriptors[PB_ATTACH_REFERENCES], &bytes);
    if (attachment->references == NULL)
        return -errno;
    if (bytes != pb_references_bytes(attachment->ring_bytes))
        return -EPROTO;
    for (int i = PB_ATTACH_REGIONS; i < PB_ATTACH_DESCRIPTORS_MAX && descriptors[i] >= 0; i++) {
        struct pb_attachment_region *region = &attachment->regions[attachment->regions_count];
        region->memory = map_sealed(descriptors[i], &region->bytes);
        if (region->memory == NULL)
            return -errno;
        attachment->regions_count++;
    }
    return 0;
}

/* Map what the engine has handed over. 0, or -errno. */
static int map_memory(struct pb_attachment *attachment, const int descriptors[PB_ATTACH_DESCRIPTORS_MAX], bool writes)
{
    int data_fd = descriptors[PB_ATTACH_DATA], page_fd = descriptors[PB_ATTACH_READER_PAGE];
    int protection = writes ? PROT_READ | PROT_WRITE : PROT_READ;
    uint32_t page_bytes = (uint32_t)sysconf(_SC_PAGESIZE);
    struct stat data, page;
    if (fstat(data_fd, &data) < 0 || fstat(page_fd, &page) < 0)
        return -errno;
    int seals = fcntl(data_fd, F_GET_SEALS);
    if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || data.st_size < page_bytes ||
        (size_t)page.st_size < sizeof(*attachment->reader))
        return -EPROTO;
    void *producer = mmap(NULL, page_bytes, protection, MAP_SHARED, data_fd, 0);
    if (producer == MAP_FAILED)
        return -errno;
    attachment->producer = producer;
    attachment->page_bytes = page_bytes;
    uint64_t ring_bytes = attachment->producer->ring_bytes;
    if (attachment->producer->magic != PB_RING_MAGIC || attachment->producer->version != PB_RING_VERSION ||
        attachment->producer->page_bytes != page_bytes || ring_bytes < PB_RING_BYTES_MIN ||
        ring_bytes > PB_RING_BYTES_MAX || (ring_bytes & (ring_bytes - 1)) != 0 ||
        (uint64_t)data.st_size != page_bytes + pb_ring_records_bytes(ring_bytes) + ring_bytes)
        return -EPROTO;
    attachment->ring_bytes = ring_bytes;
    void *records = mmap(NULL, pb_ring_records_bytes(ring_bytes), protection, MAP_SHARED | MAP_POPULATE, data_fd, page_bytes);
    if (records == MAP_FAILED)
        return -errno;
    attachment->records = records;
    attachment->ring =
        pb_ring_map(data_fd, page_bytes + pb_ring_records_bytes(ring_bytes), ring_bytes, protection, MAP_POPULATE);
    if (attachment->ring == NULL)
        return -errno;
    void *own = mmap(NULL, sizeof(*attachment->reader), PROT_READ | PROT_WRITE, MAP_SHARED, page_fd, 0);
    if (own == MAP_FAILED)
        return -errno;
    attachment->reader = own;
    return map_lent(attachment, descriptors);
}

int pb_attachment_open(struct pb_attachment *attachment, const char *name, enum pb_attach_verb verb, bool borrows,
                       struct pb_error *error)
{
    struct pb_attach_reply reply = {0};
    int descriptors[PB_ATTACH_DESCRIPTORS_MAX];
    *attachment = (struct pb_attachment){.fd = connect_to(name, error)};
    if (attachment->fd < 0)
        return attachment->fd;
    int code = converse(attachment->fd, name, verb, borrows, &reply, descriptors, error);
    if (code == 0 && (code = map_memory(attachment, descriptors, verb == PB_ATTACH_WRITE)) < 0)
        pb_fail(error, -code, "pipe \"%s\": cannot map its ring: %s", name, pb_errno_text(-code));
    for (int i = 0; i < PB_ATTACH_DESCRIPTORS_MAX; i++)
        if (descriptors[i] >= 0)
            close(descriptors[i]);
    if (code < 0)
        pb_attachment_close(attachment);
    return code;
}

void pb_attachment_close(struct pb_attachment *attachment)
{
    if (attachment->reader != NULL)
        munmap(attachment->reader, sizeof(*attachment->reader));
    if (attachment->ring != NULL)
        pb_ring_unmap(attachment->ring, attachment->ring_bytes);
    if (attachment->records != NULL)
        munmap(attachment->records, pb_ring_records_bytes(attachment->ring_bytes));
    if (attachment->references != NULL)
        munmap((void *)(uintptr_t)attachment->references, pb_references_bytes(attachment->ring_bytes));
    for (uint32_t i = 0; i < attachment->regions_count; i++)
        munmap((void *)(uintptr_t)attachment->regions[i].memory, attachment->regions[i].bytes);
    if (attachment->producer != NULL)
        munmap(attachment->producer, attachment->page_bytes);
    close(attachment->fd);
    *attachment = (struct pb_attachment){.fd = -1};
}

bool pb_attachment_has_started(struct pb_attachment *attachment)
{
    uint64_t start = atomic_load(&attachment->reader->start);
    if (!attachment->started && start != PB_RING_UNSET) {
        attachment->started = true;
        attachment->start = start;
        attachment->start_record = atomic_load(&attachment->reader->start_record);
    }
    return attachment->started;
}

void pb_attachment_listen(struct pb_attachment *attachment)
{
    char byte;
    ssize_t length;
    do
        length = recv(attachment->fd, &byte, sizeof(byte), MSG_DONTWAIT);
    while (length > 0 || (length < 0 && errno == EINTR));
    if (length == 0 || errno != EAGAIN)
        attachment->hung_up = true;
}

void pb_attachment_wake(const struct pb_attachment *attachment)
{
    (void)!send(attachment->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

int pb_attachment_wait(int fd, int (*arm)(void *), void *argument, int timeout_ms)
{
    int64_t deadline_ms = timeout_ms >= 0 ? pb_clock_steady_ms() + timeout_ms : 0;
    int result;
    while ((result = arm(argument)) == 0) {
        int64_t left_ms = timeout_ms >= 0 ? deadline_ms - pb_clock_steady_ms() : -1;
        if (timeout_ms >= 0 && left_ms < 0)
            left_ms = 0;
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        int ready = poll(&readable, 1, (int)left_ms);
        if (ready <= 0)
            return ready < 0 ? -errno : 0;
    }
    return result;
}

int pb_pipe_status(const char *name, struct pb_pipe_status *status, struct pb_error *error)
{
    struct pb_attach_reply reply = {0};
    int descriptors[PB_ATTACH_DESCRIPTORS_MAX];
    int fd = connect_to(name, error);
    if (fd < 0)
        return fd;
    int result = converse(fd, name, PB_ATTACH_STATUS, false, &reply, descriptors, error);
    close(fd);
    if (result < 0)
        return result;
    *status = reply.status;
    status->engine[sizeof(status->engine) - 1] = '\0';
    status->application[sizeof(status->application) - 1] = '\0';
    return 0;
}
