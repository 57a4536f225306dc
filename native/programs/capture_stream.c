/* capture_stream.c - a pipe's packets as a capture on a descriptor. See capture_stream.h. */
#include "capture_stream.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../core/clock.h"
#include "../core/error.h"

#define RECORDS_MAX 256
#define BUFFER_BYTES (256u << 10)
#define RETRY_NS 100000000 /* how often a waiting pb_capture_attach() looks */
#define PARENT_LOOK_S 1    /* how often we look whether our parent is there, where there is nothing to do */
/* timeout(1) signals a program and then its group, so that one request comes twice; and once more by way of the
 * program that has started it. */
#define SAME_SIGNAL_MS 500
#define PCAP_MAGIC_NS 0xa1b23c4du

struct pcap_record_header {
    uint32_t seconds, nanoseconds, captured_len, wire_len;
};

/* ---------------------------------------------------------------- signals */

static volatile sig_atomic_t interrupted;
static int64_t interrupted_ms; /* the handler's */
static sigset_t ending_signals;

/* The first ends the capture; one that comes later ends a write to a program that does not read. */
static void interrupt(int signal_number)
{
    int64_t now_ms = pb_clock_steady_ms();
    if (interrupted && now_ms - interrupted_ms > SAME_SIGNAL_MS) {
        signal(signal_number, SIG_DFL);
        raise(signal_number);
        return;
    }
    if (!interrupted)
        interrupted_ms = now_ms;
    interrupted = 1;
}

void pb_capture_catch_signals(void)
{
    sigemptyset(&ending_signals);
    sigaddset(&ending_signals, SIGINT);
    sigaddset(&ending_signals, SIGTERM);
    /* No SA_RESTART: the wait shall end. */
    struct sigaction action = {.sa_handler = interrupt, .sa_mask = ending_signals};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

bool pb_capture_interrupted(void)
{
    return interrupted != 0;
}

int pb_capture_attach(const char *name, bool wait, struct pb_pipe_reader **reader, struct pb_error *error)
{
    const struct timespec pause = {.tv_nsec = RETRY_NS};
    int result = pb_pipe_open(name, reader, error);
    while (result == -ENOENT && wait && !interrupted) {
        nanosleep(&pause, NULL);
        result = pb_pipe_open(name, reader, error);
    }
    if (result < 0 && interrupted)
        return pb_fail(error, EINTR, "pipe \"%s\": interrupted", name);
    return result;
}

/* ----------------------------------------------------------------- output */

/* What is not written yet. One for the process: too large for a stack. */
static struct output {
    uint32_t used;
    uint8_t bytes[BUFFER_BYTES];
} output;

static int write_all(const struct pb_capture *capture, const uint8_t *data, size_t bytes, struct pb_error *error)
{
    while (bytes > 0) {
        ssize_t written = write(capture->fd, data, bytes);
        if (written < 0 && errno != EINTR)
            return pb_fail(error, errno, "cannot write to %s: %s", capture->fd_name, pb_errno_text(errno));
        if (written > 0) {
            data += written;
            bytes -= (size_t)written;
        }
    }
    return 0;
}

static int flush(const struct pb_capture *capture, struct pb_error *error)
{
    int result = write_all(capture, output.bytes, output.used, error);
    output.used = 0;
    return result;
}

static int put(const struct pb_capture *capture, const void *data, uint32_t bytes, struct pb_error *error)
{
    int result = bytes > BUFFER_BYTES - output.used ? flush(capture, error) : 0;
    if (result < 0)
        return result;
    if (bytes > BUFFER_BYTES)
        return write_all(capture, data, bytes, error);
    memcpy(output.bytes + output.used, data, bytes);
    output.used += bytes;
    return 0;
}

struct pb_pcap_header pb_pcap_header_make(uint32_t link_type, uint32_t snaplen)
{
    return (struct pb_pcap_header){
        .magic = PCAP_MAGIC_NS, .major = 2, .minor = 4, .snaplen = snaplen, .link_type = link_type};
}

static uint32_t snaplen_of(const struct pb_capture *capture)
{
    return capture->snaplen > 0 ? capture->snaplen : PB_FRAME_BYTES_MAX;
}

static int put_header(const struct pb_capture *capture, int link_type, struct pb_error *error)
{
    struct pb_pcap_header header = pb_pcap_header_make((uint32_t)link_type, snaplen_of(capture));
    return put(capture, &header, sizeof(header), error);
}

static int begin(const struct pb_capture *capture, int link_type, struct pb_error *error)
{
    const struct pb_capture_selector *selector = capture->selector;
    int result = selector != NULL ? selector->begin(selector->arg, (uint32_t)link_type, error) : 0;
    return result < 0 ? result : put_header(capture, link_type, error);
}

static int put_record(struct pb_capture *capture, const struct pb_pipe_record *record, struct pb_error *error)
{
    const struct pb_capture_selector *selector = capture->selector;
    if (selector != NULL && !selector->wants(selector->arg, record))
        return 0;
    uint32_t snaplen = snaplen_of(capture);
    struct pcap_record_header header = {
        .seconds = (uint32_t)(record->timestamp_ns / 1000000000),
        .nanoseconds = (uint32_t)(record->timestamp_ns % 1000000000),
        .captured_len = record->captured_len < snaplen ? record->captured_len : snaplen,
        .wire_len = record->wire_len,
    };
    capture->packets++;
    int result = put(capture, &header, sizeof(header), error);
    return result < 0 ? result : put(capture, record->data, header.captured_len, error);
}

/* ------------------------------------------------------------------- loop */

static int reader_gone(const struct pb_capture *capture, struct pb_error *error)
{
    return pb_fail(error, EPIPE, "cannot write to %s: %s", capture->fd_name, pb_errno_text(EPIPE));
}

/* The pipe is empty: push everything out, then sleep until there is more, or until
 * whoever reads us has gone. 1: it is time for the header. */
static int sleep_until_more(const struct pb_capture *capture, struct pb_error *error)
{
    int result = flush(capture, error);
    if (result < 0 || pb_pipe_arm(capture->reader) != 0)
        return result;
    struct pollfd events[] = {
        {.fd = pb_pipe_fd(capture->reader), .events = POLLIN},
        {.fd = capture->fd, .events = 0}, /* tells when its reader is gone */
    };
    const struct timespec look = {.tv_sec = PARENT_LOOK_S};
    int ready = 1;
    /* A signal between the look at `interrupted` and the sleep must not be slept through. */
    sigset_t usual_signals;
    sigprocmask(SIG_BLOCK, &ending_signals, &usual_signals);
    if (!interrupted)
        ready = ppoll(events, 2, capture->parent != 0 ? &look : NULL, &usual_signals);
    sigprocmask(SIG_SETMASK, &usual_signals, NULL);
    if (events[1].revents & POLLERR)
        return reader_gone(capture, error);
    if (capture->parent != 0 && getppid() != capture->parent)
        return reader_gone(capture, error);
    return ready == 0;
}

/* What the header says cannot be taken back. */
static int check_link_type(int said, int link_type, struct pb_error *error)
{
    if (said == link_type)
        return 0;
    return pb_fail(error, EPROTO, "its packets have link type %d and not %d, as was supposed while there were none; "
                                  "start the capture again", link_type, said);
}

/* Read once. How many packets there were; -ENODATA: end of stream; or another -errno.
 * `said`: the link type in the header, -EAGAIN where that is not written. */
static int copy_batch(struct pb_capture *capture, int *said, struct pb_error *error)
{
    struct pb_pipe_record records[RECORDS_MAX];
    uint64_t left = capture->packets_max == 0 ? RECORDS_MAX : capture->packets_max - capture->packets;
    int count = pb_pipe_read(capture->reader, records, left < RECORDS_MAX ? (uint32_t)left : RECORDS_MAX);
    if (count == -EBADMSG)
        return pb_fail(error, EBADMSG, "its ring holds nonsense; restart its engine");
    if (count < 0)
        return -ENODATA;
    int link_type = pb_pipe_link_type(capture->reader), result = 0;
    if (*said >= 0 && count > 0)
        result = check_link_type(*said, link_type, error);
    else if (*said < 0 && link_type >= 0)
        result = begin(capture, *said = link_type, error);
    for (int i = 0; i < count && result == 0; i++)
        result = put_record(capture, &records[i], error);
    pb_pipe_release(capture->reader);
    return result < 0 ? result : count;
}

int pb_capture_copy(struct pb_capture *capture, struct pb_error *error)
{
    int said = -EAGAIN, result = 0;
    while (result >= 0 && !interrupted && (capture->packets_max == 0 || capture->packets < capture->packets_max)) {
        result = copy_batch(capture, &said, error);
        if (result != 0)
            continue;
        result = sleep_until_more(capture, error);
        /* A selector that cannot select from Ethernet expects something else: then we wait. */
        if (result == 1 && said < 0 && begin(capture, PB_LINK_ETHERNET, NULL) == 0)
            said = PB_LINK_ETHERNET;
    }
    if (result < 0 && result != -ENODATA)
        return result;
    /* An empty capture is one all the same. */
    result = said >= 0 ? 0 : put_header(capture, PB_LINK_ETHERNET, error);
    return result < 0 ? result : flush(capture, error);
}
