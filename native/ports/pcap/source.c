/* source.c - see source.h. */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../core/error.h"
#include "gunzip.h"

#define RAW_BYTES 65536

static int source_fail(struct pcap_source *source, int code, const char *text, const char *remedy)
{
    source->error = text;
    source->remedy = remedy;
    return -code;
}

static int open_fail(struct pcap_source *source, int code)
{
    switch (code) {
    case ENOENT:
        return source_fail(source, code, "no such file", "give an existing capture or directory");
    case ENOTDIR:
        return source_fail(source, code, "its path leads through a file", "give another");
    case EACCES:
    case EPERM:
        return source_fail(source, code, "permission denied", "make it readable for this user");
    case EWOULDBLOCK:
        return source_fail(source, code, "is being written by a capture output", "give another file, or wait until it is closed");
    default:
        return source_fail(source, code, pb_errno_words(code), pb_errno_remedy(code, "give another file"));
    }
}

int pcap_source_open(struct pcap_source *source, const char *path)
{
    memset(source, 0, sizeof(*source));
    bool standard = strcmp(path, "-") == 0;
    /* O_NONBLOCK: opening a FIFO must not wait for its writer. Standard input is
     * shared with other processes, so its flags are left as they are. */
    source->fd = standard ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                          : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (source->fd < 0)
        return open_fail(source, errno);
    struct stat status;
    int code = fstat(source->fd, &status) < 0 ? errno : 0;
    if (code == 0 && S_ISDIR(status.st_mode))
        code = EISDIR;
    /* sink.c locks what it writes. */
    if (code == 0 && S_ISREG(status.st_mode) && flock(source->fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK)
        code = EWOULDBLOCK;
    if (code == 0)
        source->raw = malloc(RAW_BYTES);
    if (code == 0 && source->raw == NULL)
        code = ENOMEM;
    if (code != 0) {
        pcap_source_close(source);
        return open_fail(source, code);
    }
    source->stream = !S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode);
    source->raw_at = source->raw_limit = source->raw;
    return 0;
}

void pcap_source_close(struct pcap_source *source)
{
    pcap_gunzip_close(source->gunzip);
    source->gunzip = NULL;
    free(source->raw);
    source->raw = NULL;
    if (source->fd >= 0)
        close(source->fd);
    source->fd = -1;
}

/* What read() gives, without ever waiting. */
static ptrdiff_t raw_read(struct pcap_source *source, uint8_t *to, size_t bytes)
{
    if (source->raw_end)
        return 0;
    if (source->stream) {
        /* A FIFO that had no writer yet reads as ended; poll() knows the difference. */
        struct pollfd look = {.fd = source->fd, .events = POLLIN};
        if (poll(&look, 1, 0) <= 0)
            return -EAGAIN;
    }
    ssize_t got;
    do
        got = read(source->fd, to, bytes);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN)
        return -EAGAIN;
    if (got < 0)
        return source_fail(source, errno, pb_errno_words(errno), "give another file");
    source->raw_end = got == 0;
    return got;
}

static ptrdiff_t raw_fill(struct pcap_source *source)
{
    ptrdiff_t got = raw_read(source, source->raw, RAW_BYTES);
    if (got > 0) {
        source->raw_at = source->raw;
        source->raw_limit = source->raw + got;
    }
    return got;
}

/* gzip is told by its first two bytes, which a pipe may give one at a time. */
static int decide(struct pcap_source *source)
{
    size_t have = (size_t)(source->raw_limit - source->raw);
    while (have < 2) {
        ptrdiff_t got = raw_read(source, source->raw + have, RAW_BYTES - have);
        if (got < 0)
            return (int)got;
        if (got == 0)
            break;
        have += (size_t)got;
        source->raw_limit = source->raw + have;
    }
    if (have >= 2 && source->raw[0] == 0x1f && source->raw[1] == 0x8b) {
        int result = pcap_gunzip_open(&source->gunzip);
        if (result < 0)
            return result == -ENOPKG ? source_fail(source, -result, "gzip needs zlib (libz.so.1)",
                                                   "install the package zlib1g, or decompress the file")
                                     : source_fail(source, -result, pb_errno_words(-result), "free memory");
    }
    source->decided = true;
    return 0;
}

static ptrdiff_t gunzip_read(struct pcap_source *source, uint8_t *to, size_t bytes)
{
    for (;;) {
        ptrdiff_t got = pcap_gunzip_run(source->gunzip, &source->raw_at, source->raw_limit, to, bytes);
        if (got < 0)
            return source_fail(source, (int)-got, "the gzip data is broken", "give a whole file");
        if (got > 0)
            return got;
        got = raw_fill(source);
        if (got < 0)
            return got;
        if (got == 0 && !pcap_gunzip_may_end(source->gunzip))
            return source_fail(source, EBADMSG, "the gzip data ends early", "give a whole file");
        if (got == 0)
            return 0;
    }
}

ptrdiff_t pcap_source_read(struct pcap_source *source, uint8_t *to, size_t bytes)
{
    if (!source->decided) {
        int result = decide(source);
        if (result < 0)
            return result;
    }
    if (source->gunzip != NULL)
        return gunzip_read(source, to, bytes);
    size_t left = (size_t)(source->raw_limit - source->raw_at);
    if (left == 0)
        return raw_read(source, to, bytes);
    size_t count = left < bytes ? left : bytes;
    memcpy(to, source->raw_at, count);
    source->raw_at += count;
    return (ptrdiff_t)count;
}
