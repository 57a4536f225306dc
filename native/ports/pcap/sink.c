/* sink.c - see sink.h. */
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>


static const char *open_text(int code)
{
    switch (code) {
    case ENOENT:
        return "no such directory; create it first";
    case ENOTDIR:
        return "its path leads through a file; give another";
    case EISDIR:
        return "is a directory; give the name of a file to write";
    case EACCES:
    case EPERM:
    case EROFS:
        return "permission denied; give a file that this user can write";
    case ENXIO:
        return "nobody reads this FIFO; start its reader first";
    case ENOSPC:
    case EDQUOT:
        return "no space left on device; free space first";
    case EWOULDBLOCK:
        return "is written or read by another port; give another file";
    default:
        return NULL;
    }
}

int pcap_sink_open(struct pcap_sink *sink, const struct pb_port *port, struct pb_error *error)
{
    const char *path = port->name;
    bool standard = strcmp(path, "-") == 0;
    /* O_NONBLOCK: opening a FIFO must not wait for its reader. Standard output
     * is shared with other processes, so its flags are left as they are. */
    sink->fd = standard ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)
                        : open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666);
    struct stat status = {0};
    int code = sink->fd < 0 || fstat(sink->fd, &status) < 0 ? errno : 0;
    sink->replaced = code == 0 && S_ISREG(status.st_mode) && !standard;
    /* Two writers would write over each other, and a file read and written at once
     * would be gone. Where locks are not known (some network file systems) we go without. */
    if (sink->replaced && flock(sink->fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
        code = EWOULDBLOCK;
    if (code != 0) {
        pcap_sink_close(sink);
        const char *text = open_text(code);
        return text != NULL ? pb_port_fail(port, error, code, "%s", text)
                            : pb_port_fail_errno(port, error, code, "give another file", "the file cannot be written");
    }
    sink->regular = S_ISREG(status.st_mode);
    sink->pollable = !sink->regular && !S_ISBLK(status.st_mode);
    /* A pipe that poll() calls writable takes PIPE_BUF bytes without blocking;
     * the same is the best guess for sockets and terminals. */
    sink->chunk_bytes = sink->pollable ? PIPE_BUF : SIZE_MAX;
    return 0;
}

int pcap_sink_begin(struct pcap_sink *sink)
{
    bool replaced = sink->replaced;
    sink->replaced = false;
    return replaced && ftruncate(sink->fd, 0) < 0 ? -errno : 0;
}

int pcap_sink_close(struct pcap_sink *sink)
{
    int result = 0;
    if (sink->fd >= 0 && close(sink->fd) < 0)
        result = -errno;
    sink->fd = -1;
    return result;
}

static bool writable(const struct pcap_sink *sink)
{
    if (!sink->pollable)
        return true;
    struct pollfd look = {.fd = sink->fd, .events = POLLOUT};
    /* POLLERR counts: the write then says what is wrong. */
    return poll(&look, 1, 0) > 0;
}

static int write_on(struct pcap_sink *sink, const uint8_t *bytes, size_t count, size_t *written)
{
    while (*written < count) {
        if (!writable(sink))
            return -EAGAIN;
        size_t left = count - *written;
        ssize_t done = write(sink->fd, bytes + *written, left < sink->chunk_bytes ? left : sink->chunk_bytes);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -errno;
        *written += (size_t)done;
    }
    return 0;
}

/* SIGPIPE and SIGXFSZ come to the thread that writes, and by default end the
 * process. They are held back meanwhile, and one that we caused is consumed;
 * the process's own handling of these signals stays as it is. */
int pcap_sink_write(struct pcap_sink *sink, const uint8_t *bytes, size_t count, size_t *written)
{
    sigset_t ours, before, pending;
    sigemptyset(&ours);
    sigaddset(&ours, SIGPIPE);
    sigaddset(&ours, SIGXFSZ);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &ours, &before);
    *written = 0;
    int result = write_on(sink, bytes, count, written);
    if (result == -EPIPE || result == -EFBIG) {
        int caused = result == -EPIPE ? SIGPIPE : SIGXFSZ;
        sigset_t one;
        sigemptyset(&one);
        sigaddset(&one, caused);
        if (!sigismember(&pending, caused))
            sigtimedwait(&one, NULL, &(struct timespec){0});
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

int pcap_sink_take_back(struct pcap_sink *sink, size_t count)
{
    if (!sink->regular)
        return -ESPIPE;
    /* Relative to where the write ended, so that it holds for ">>file" too. */
    off_t end = lseek(sink->fd, -(off_t)count, SEEK_CUR);
    if (end < 0 || ftruncate(sink->fd, end) < 0)
        return -errno;
    return 0;
}
