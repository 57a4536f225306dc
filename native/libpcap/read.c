/*
 * read.c - packets of a pipe for the application's callback, in place in the
 * shared memory. See capture.h.
 *
 * A batch is fetched, handed out packet by packet, and given back: by
 * pcap_dispatch() and pcap_loop() when the callback has had the last one, by
 * pcap_next() and pcap_next_ex() when the next packet is asked for.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../core/clock.h"
#include "../core/error.h"
#include "capture.h"
#include "real.h"

#define NS_PER_S 1000000000u

/* ----------------------------------------------------------------- filters */

void pb_capture_drop_filter(struct pb_capture *capture)
{
    free(capture->filter.bf_insns);
    capture->filter = (struct bpf_program){0};
}

static int set_filter(struct pb_capture *capture, const struct bpf_program *program)
{
    int status = pb_capture_check(capture, true);
    if (status < 0)
        return status;
    if (program == NULL || !PB_REAL(bpf_validate)(program->bf_insns, (int)program->bf_len))
        return pb_capture_fail(capture, PCAP_ERROR, "pipe \"%s\": the filter is no valid BPF program",
                               capture->source.name);
    /* The filter "" says to keep everything. */
    bool keeps_all = program->bf_len == 1 && program->bf_insns[0].code == BPF_RET_K && program->bf_insns[0].k != 0;
    size_t bytes = program->bf_len * sizeof(*program->bf_insns);
    struct bpf_insn *copy = keeps_all ? NULL : malloc(bytes);
    if (copy == NULL && !keeps_all)
        return pb_capture_fail(capture, PCAP_ERROR, "pipe \"%s\": out of memory", capture->source.name);
    pb_capture_drop_filter(capture);
    if (copy != NULL)
        capture->filter = (struct bpf_program){program->bf_len, memcpy(copy, program->bf_insns, bytes)};
    return 0;
}

int pcap_setfilter(pcap_t *p, struct bpf_program *program)
{
    struct pb_capture *capture = pb_capture_find(p);
    return capture != NULL ? set_filter(capture, program) : PB_REAL(pcap_setfilter)(p, program);
}

static bool is_wanted(const struct pb_capture *capture, const struct pb_pipe_record *record)
{
    return capture->filter.bf_len == 0 ||
           PB_REAL(bpf_filter)(capture->filter.bf_insns, record->data, record->wire_len, record->captured_len) != 0;
}

/* ----------------------------------------------------------------- packets */

static void fill_header(const struct pb_capture *capture, const struct pb_pipe_record *record,
                        struct pcap_pkthdr *header)
{
    uint32_t nanoseconds = (uint32_t)(record->timestamp_ns % NS_PER_S);
    header->ts.tv_sec = (time_t)(record->timestamp_ns / NS_PER_S);
    header->ts.tv_usec = capture->precision == PCAP_TSTAMP_PRECISION_NANO ? nanoseconds : nanoseconds / 1000;
    header->caplen = record->captured_len < (uint32_t)capture->snaplen ? record->captured_len : (uint32_t)capture->snaplen;
    header->len = record->wire_len;
}

static bool break_is_wanted(const struct pb_capture *capture)
{
    return atomic_load_explicit(&capture->break_wanted, memory_order_relaxed);
}

/* Of what is fetched, at most `limit` packets. Returns how many there were. */
static int hand_out(struct pb_capture *capture, int limit, pcap_handler callback, unsigned char *user)
{
    struct pb_source *source = &capture->source;
    int handed = 0;
    while (source->next < source->count && handed < limit && !break_is_wanted(capture)) {
        const struct pb_pipe_record *record = &source->records[source->next++];
        struct pcap_pkthdr header;
        if (!is_wanted(capture, record))
            continue;
        fill_header(capture, record, &header);
        const uint8_t *data = record->data;
        if (capture->own_memory != NULL)
            data = memcpy(capture->own_memory, data, header.caplen);
        callback(user, &header, data);
        handed++;
    }
    return handed;
}

/* Does the program do something about this signal? */
static bool is_handled(int number)
{
    struct sigaction action;
    return sigaction(number, NULL, &action) == 0 && ((action.sa_flags & SA_SIGINFO) != 0 ||
                                                     (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN));
}

int pb_capture_end(struct pb_capture *capture)
{
    /* Most programs end by the first answer, as tcpdump does. Who takes it for an interruption
     * and comes again is asked to end in the way that an operator would, which softflowd needs
     * to export the flows it holds; and where that has no effect, it is an error. */
    uint32_t told = capture->ends_told++;
    if (told == 0)
        return PCAP_ERROR_BREAK;
    if (told == 1 && is_handled(SIGTERM))
        return kill(getpid(), SIGTERM);
    return pb_capture_fail(capture, PCAP_ERROR, "pipe \"%s\": the stream has ended: its engine was stopped",
                           capture->source.name);
}

/* 1: there is a batch, 0: nothing now, or no more; or libpcap's error. */
static int fetch(struct pb_capture *capture)
{
    struct pb_error error;
    struct pb_source *source = &capture->source;
    int count = pb_source_fetch(source, &error);
    if (count == -EPIPE)
        return pb_capture_end(capture);
    if (count < 0)
        return pb_capture_fail(capture, PCAP_ERROR, "%s", error.text);
    if (count > 0 && capture->checked_attachment != source->attachments) {
        int status = pb_capture_meet_link_type(capture, pb_source_link_type(source, 0));
        if (status < 0)
            return status;
        capture->checked_attachment = source->attachments;
    }
    return count > 0;
}

/* ---------------------------------------------------------------- sleeping */

bool pb_capture_takes_break(struct pb_capture *capture)
{
    uint64_t value;
    if (!break_is_wanted(capture) || !atomic_exchange(&capture->break_wanted, false))
        return false;
    (void)!read(capture->break_fd, &value, sizeof(value));
    return true;
}

void pcap_breakloop(pcap_t *p)
{
    struct pb_capture *capture = pb_capture_find(p);
    const uint64_t one = 1;
    if (capture == NULL)
        PB_REAL(pcap_breakloop)(p);
    else if (!atomic_exchange(&capture->break_wanted, true))
        (void)!write(capture->break_fd, &one, sizeof(one));
}

/* Until there is something to do, or a break, for at most `left_ms` (-1: for ever).
 * A signal ends it too: its handler may have wanted a break. 0, or PCAP_ERROR. */
static int sleep_until_ready(struct pb_capture *capture, int left_ms)
{
    struct pollfd events[] = {{.fd = capture->source.poll_fd, .events = POLLIN},
                              {.fd = capture->break_fd, .events = POLLIN}};
    if (pb_source_settle(&capture->source) || poll(events, 2, left_ms) >= 0 || errno == EINTR)
        return 0;
    return pb_capture_fail(capture, PCAP_ERROR, "pipe \"%s\": poll: %s", capture->source.name, pb_errno_text(errno));
}

/* Hand out packets of one batch. Returns how many, which may be 0 when the time is over
 * (timeout_ms > 0), in non-blocking mode (timeout_ms < 0) or at the end; or libpcap's error. */
static int read_batch(struct pb_capture *capture, int limit, pcap_handler callback, unsigned char *user, int timeout_ms)
{
    int64_t deadline_ms = -1;
    for (;;) {
        if (pb_capture_takes_break(capture))
            return PCAP_ERROR_BREAK;
        int handed = hand_out(capture, limit, callback, user);
        if (handed > 0)
            return handed;
        int64_t left_ms = -1;
        if (timeout_ms > 0) {
            int64_t now = pb_clock_steady_ms();
            if (deadline_ms < 0)
                deadline_ms = now + timeout_ms;
            else if (now >= deadline_ms)
                return 0;
            left_ms = deadline_ms - now;
        }
        int status = fetch(capture);
        if (status < 0 || (status == 0 && (timeout_ms < 0 || capture->ends_told > 0)))
            return status;
        if (status == 0 && (status = sleep_until_ready(capture, (int)left_ms)) < 0)
            return status;
    }
}

/* ------------------------------------------------------------- the functions */

static int timeout_of(const struct pb_capture *capture)
{
    return capture->nonblocking ? -1 : capture->timeout_ms > 0 ? capture->timeout_ms : 0;
}

/* The application polls by itself: its descriptor is to tell the truth when we return. */
static int leave(struct pb_capture *capture, int result)
{
    if (capture->fd_was_taken)
        pb_source_settle(&capture->source);
    return result;
}

static int dispatch(struct pb_capture *capture, int count, pcap_handler callback, unsigned char *user)
{
    int status = pb_capture_check(capture, true);
    if (status < 0)
        return status;
    int handed = read_batch(capture, count > 0 ? count : INT_MAX, callback, user, timeout_of(capture));
    pb_source_release(&capture->source);
    return leave(capture, handed);
}

int pcap_dispatch(pcap_t *p, int count, pcap_handler callback, unsigned char *user)
{
    struct pb_capture *capture = pb_capture_find(p);
    return capture != NULL ? dispatch(capture, count, callback, user)
                           : PB_REAL(pcap_dispatch)(p, count, callback, user);
}

/* Goes on over time-outs, and sleeps in non-blocking mode, too: pcap_loop(3PCAP). */
static int loop(struct pb_capture *capture, int count, pcap_handler callback, unsigned char *user)
{
    int result = pb_capture_check(capture, true);
    for (int left = count; result >= 0 && (count <= 0 || left > 0);) {
        result = read_batch(capture, count > 0 ? left : INT_MAX, callback, user, 0);
        pb_source_release(&capture->source);
        left -= result;
    }
    /* "while (pcap_loop(...));", as ngrep has it: all is read, as at a capture file's end. */
    bool is_over = capture->ends_told > 2;
    return leave(capture, result < 0 && !is_over ? result : 0);
}

int pcap_loop(pcap_t *p, int count, pcap_handler callback, unsigned char *user)
{
    struct pb_capture *capture = pb_capture_find(p);
    return capture != NULL ? loop(capture, count, callback, user) : PB_REAL(pcap_loop)(p, count, callback, user);
}

struct single {
    struct pcap_pkthdr *header;
    const unsigned char *data;
};

static void keep(unsigned char *user, const struct pcap_pkthdr *header, const unsigned char *data)
{
    struct single *single = (struct single *)(void *)user;
    *single->header = *header;
    single->data = data;
}

/* One packet, which stays until the next call: 1, 0: none in time, or libpcap's error. */
static int read_one(struct pb_capture *capture, struct single *single)
{
    int status = pb_capture_check(capture, true);
    if (status < 0)
        return status;
    return leave(capture, read_batch(capture, 1, keep, (unsigned char *)single, timeout_of(capture)));
}

int pcap_next_ex(pcap_t *p, struct pcap_pkthdr **header, const unsigned char **data)
{
    struct pb_capture *capture = pb_capture_find(p);
    if (capture == NULL)
        return PB_REAL(pcap_next_ex)(p, header, data);
    struct single single = {.header = &capture->header};
    int status = read_one(capture, &single);
    *header = &capture->header;
    *data = single.data;
    return status;
}

const unsigned char *pcap_next(pcap_t *p, struct pcap_pkthdr *header)
{
    struct pb_capture *capture = pb_capture_find(p);
    if (capture == NULL)
        return PB_REAL(pcap_next)(p, header);
    struct single single = {.header = header};
    return read_one(capture, &single) > 0 ? single.data : NULL;
}

/* As on Linux interfaces: "received" counts those that were dropped as well. */
int pcap_stats(pcap_t *p, struct pcap_stat *stats)
{
    struct pb_capture *capture = pb_capture_find(p);
    if (capture == NULL)
        return PB_REAL(pcap_stats)(p, stats);
    int status = pb_capture_check(capture, true);
    if (status < 0)
        return status;
    struct pb_pipe_counts counts;
    pb_source_counts(&capture->source, &counts);
    *stats = (struct pcap_stat){
        .ps_recv = (unsigned int)(counts.received + counts.dropped),
        .ps_drop = (unsigned int)counts.dropped,
    };
    return 0;
}

int pcap_get_selectable_fd(pcap_t *p)
{
    struct pb_capture *capture = pb_capture_find(p);
    if (capture == NULL)
        return PB_REAL(pcap_get_selectable_fd)(p);
    if (!capture->activated)
        return PCAP_ERROR;
    capture->fd_was_taken = true;
    return leave(capture, capture->source.poll_fd);
}

int pcap_fileno(pcap_t *p)
{
    return pb_capture_find(p) != NULL ? pcap_get_selectable_fd(p) : PB_REAL(pcap_fileno)(p);
}
