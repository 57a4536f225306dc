/*
 * test_libpcap.c - the interposed functions of libpcap, each called as programs
 * call it, by the real header and beside the real library.
 *
 * The functions are linked into this program instead of being preloaded: to the
 * dynamic linker both are in front of libpcap, and sanitizers see all of it. Live
 * tests run the same under LD_PRELOAD. Nothing asserts time; a watchdog ends what
 * hangs.
 */
#if __has_include(<pcap/pcap.h>)

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

#include "libpcap_bed.h"

#define WATCHDOG_S 60
#define PIPE "out}0"

static char errbuf[PCAP_ERRBUF_SIZE];

static bool has_text(const char *text, const char *part)
{
    if (strstr(text, part) != NULL)
        return true;
    fprintf(stderr, "\"%s\" is not in \"%s\"\n", part, text);
    return false;
}

static pcap_t *open_pipe(int to_ms)
{
    pcap_t *p = pcap_open_live(PIPE, 0, 1, to_ms, errbuf);
    if (p == NULL)
        fprintf(stderr, "%s\n", errbuf);
    CHECK(p != NULL);
    CHECK_EQUAL(errbuf[0], '\0');
    return p;
}

static void set_filter(pcap_t *p, const char *text)
{
    struct bpf_program program;
    CHECK_EQUAL(pcap_compile(p, &program, text, 1, PCAP_NETMASK_UNKNOWN), 0);
    CHECK_EQUAL(pcap_setfilter(p, &program), 0);
    pcap_freecode(&program); /* it was copied */
}

/* What a callback sees. */
struct seen {
    pcap_t *p;
    uint64_t count, next; /* next: the number expected, or UINT64_MAX: any */
    uint64_t break_at;
    bool filter_at_break;
};

static void see(u_char *user, const struct pcap_pkthdr *header, const u_char *data)
{
    struct seen *seen = (struct seen *)(void *)user;
    CHECK_EQUAL(header->caplen, FRAME_BYTES);
    if (seen->next != UINT64_MAX)
        CHECK_EQUAL(frame_number(data), seen->next++);
    seen->count++;
    if (seen->break_at != seen->count)
        return;
    if (seen->filter_at_break)
        set_filter(seen->p, "udp dst port 1003");
    else
        pcap_breakloop(seen->p);
}

/* ------------------------------------------------------------ opening */

static void test_names(void)
{
    CHECK(pcap_create("bricks:nonsense", errbuf) == NULL && has_text(errbuf, "is not a pipe's name"));
    CHECK(pcap_create("out{0", errbuf) == NULL && has_text(errbuf, "the application's end is \"out}0\""));
    pcap_t *p = pcap_create("none}7", errbuf);
    CHECK(p != NULL);
    CHECK_EQUAL(pcap_activate(p), PCAP_ERROR_NO_SUCH_DEVICE);
    CHECK(has_text(pcap_geterr(p), "pipe \"none}7\": no engine serves it"));
    pcap_close(p);
    CHECK(pcap_open_live("bricks:none}7", 100, 0, 0, errbuf) == NULL && has_text(errbuf, "no engine serves it"));
    /* Not ours: the real library's business. */
    p = pcap_create("eth3}x", errbuf);
    CHECK(p != NULL);
    CHECK_EQUAL(pcap_activate(p) < 0, 1);
    CHECK(strstr(pcap_geterr(p), "pipe") == NULL);
    pcap_close(p);
}

static void test_life(void)
{
    struct bed bed;
    open_bed(&bed);
    pcap_t *p = pcap_create("bricks:" PIPE, errbuf);
    struct pcap_stat stats;
    struct pcap_pkthdr *header;
    struct bpf_program program;
    const u_char *data;
    CHECK(p != NULL);
    CHECK_EQUAL(pcap_snapshot(p), PCAP_ERROR_NOT_ACTIVATED);
    CHECK_EQUAL(pcap_datalink(p), PCAP_ERROR_NOT_ACTIVATED);
    CHECK_EQUAL(pcap_stats(p, &stats), PCAP_ERROR_NOT_ACTIVATED);
    CHECK_EQUAL(pcap_next_ex(p, &header, &data), PCAP_ERROR_NOT_ACTIVATED);
    CHECK_EQUAL(pcap_dispatch(p, -1, see, NULL), PCAP_ERROR_NOT_ACTIVATED);
    CHECK_EQUAL(pcap_loop(p, -1, see, NULL), PCAP_ERROR_NOT_ACTIVATED);
    CHECK_EQUAL(pcap_inject(p, "", 1), PCAP_ERROR_NOT_ACTIVATED);
    CHECK_EQUAL(pcap_setdirection(p, PCAP_D_IN), PCAP_ERROR_NOT_ACTIVATED);
    CHECK_EQUAL(pcap_get_selectable_fd(p), PCAP_ERROR);
    CHECK_EQUAL(pcap_compile(p, &program, "", 1, 0), PCAP_ERROR);
    CHECK(pcap_dump_open(p, "/dev/null") == NULL && has_text(pcap_geterr(p), "activated"));

    CHECK_EQUAL(pcap_can_set_rfmon(p), 0);
    CHECK_EQUAL(pcap_set_rfmon(p, 1), 0);
    CHECK_EQUAL(pcap_activate(p), PCAP_ERROR_RFMON_NOTSUP);
    CHECK_EQUAL(pcap_set_rfmon(p, 0), 0);
    CHECK_EQUAL(pcap_set_snaplen(p, 50), 0);
    CHECK_EQUAL(pcap_set_promisc(p, 1), 0);
    CHECK_EQUAL(pcap_set_timeout(p, 10), 0);
    CHECK_EQUAL(pcap_set_immediate_mode(p, 1), 0);
    CHECK_EQUAL(pcap_set_buffer_size(p, 1 << 20), 0);
    CHECK_EQUAL(pcap_set_tstamp_type(p, PCAP_TSTAMP_HOST), 0);
    CHECK_EQUAL(pcap_set_tstamp_type(p, PCAP_TSTAMP_ADAPTER), PCAP_WARNING_TSTAMP_TYPE_NOTSUP);
    CHECK_EQUAL(pcap_set_tstamp_precision(p, 7), PCAP_ERROR_TSTAMP_PRECISION_NOTSUP);
    CHECK_EQUAL(pcap_set_tstamp_precision(p, PCAP_TSTAMP_PRECISION_NANO), 0);
    CHECK_EQUAL(pcap_get_tstamp_precision(p), PCAP_TSTAMP_PRECISION_NANO);
    CHECK_EQUAL(pcap_set_protocol_linux(p, 0), 0);
    CHECK_EQUAL(pcap_set_protocol_linux(p, 8), PCAP_ERROR);
    int *types;
    CHECK_EQUAL(pcap_list_tstamp_types(p, &types), 1);
    CHECK_EQUAL(types[0], PCAP_TSTAMP_HOST);
    pcap_free_tstamp_types(types);

    CHECK_EQUAL(pcap_activate(p), 0);
    CHECK_EQUAL(pcap_activate(p), PCAP_ERROR_ACTIVATED);
    CHECK_EQUAL(pcap_set_snaplen(p, 60), PCAP_ERROR_ACTIVATED);
    CHECK_EQUAL(pcap_set_timeout(p, 60), PCAP_ERROR_ACTIVATED);
    CHECK_EQUAL(pcap_snapshot(p), 50);
    CHECK_EQUAL(pcap_setdirection(p, PCAP_D_INOUT), 0);
    CHECK_EQUAL(pcap_setdirection(p, PCAP_D_IN), 0);
    CHECK_EQUAL(pcap_setdirection(p, PCAP_D_OUT), PCAP_ERROR);
    CHECK(pcap_file(p) == NULL && pcap_is_swapped(p) == 0 && pcap_bufsize(p) >= 0);
    CHECK(pcap_get_required_select_timeout(p) == NULL);

    CHECK(pcap_open_live(PIPE, 0, 0, 0, errbuf) == NULL);
    CHECK(has_text(errbuf, PIPE) && has_text(errbuf, "reads it already"));
    pcap_close(p);
    close_bed(&bed);
}

static void test_devices(void)
{
    struct bed bed;
    pcap_if_t *devices;
    bpf_u_int32 net = 1, mask = 1;
    unsigned int pipes = 0, others = 0;
    open_bed(&bed);
    CHECK_EQUAL(pcap_findalldevs(&devices, errbuf), 0);
    for (const pcap_if_t *device = devices; device != NULL; device = device->next) {
        if (strchr(device->name, '}') == NULL) {
            others++;
            CHECK_EQUAL(pipes, 0); /* behind all others */
        } else if (pipes++ == 0) {
            CHECK(strcmp(device->name, "in}0") == 0);
            CHECK(strcmp(device->description, "packet-bricks pipe into engine relay") == 0);
        } else {
            CHECK(strcmp(device->name, PIPE) == 0);
            CHECK(strcmp(device->description, "packet-bricks pipe of engine relay") == 0);
        }
    }
    CHECK_EQUAL(pipes, 2);
    pcap_freealldevs(devices);
    CHECK_EQUAL(pcap_lookupnet(PIPE, &net, &mask, errbuf), 0);
    CHECK(net == 0 && mask == 0);
    CHECK_EQUAL(pcap_lookupnet("nosuch0", &net, &mask, errbuf), PCAP_ERROR);
    close_bed(&bed);
}

/* ------------------------------------------------------------ describing */

static void test_captures_written(void)
{
    struct bed bed;
    char path[] = "/tmp/test_libpcap_XXXXXX", reason[PCAP_ERRBUF_SIZE];
    close(mkstemp(path));
    open_bed(&bed);
    pcap_t *p = pcap_create(PIPE, errbuf);
    pcap_set_snaplen(p, 50);
    pcap_set_tstamp_precision(p, PCAP_TSTAMP_PRECISION_NANO);
    CHECK_EQUAL(pcap_activate(p), 0);
    int *types;
    CHECK_EQUAL(pcap_list_datalinks(p, &types), 1);
    CHECK_EQUAL(types[0], DLT_EN10MB);
    pcap_free_datalinks(types);
    CHECK_EQUAL(pcap_datalink(p), DLT_EN10MB);
    CHECK_EQUAL(pcap_datalink_ext(p), 0);
    CHECK_EQUAL(pcap_set_datalink(p, DLT_EN10MB), 0);
    CHECK_EQUAL(pcap_set_datalink(p, DLT_RAW), PCAP_ERROR);
    CHECK(has_text(pcap_geterr(p), "DLT"));
    CHECK(pcap_dump_open(p, "/nonexistent/x") == NULL && has_text(pcap_geterr(p), "/nonexistent/x"));

    pcap_dumper_t *dumper = pcap_dump_open(p, path);
    CHECK(dumper != NULL);
    send_frames(&bed, 2);
    CHECK_EQUAL(pcap_loop(p, 1, pcap_dump, (u_char *)dumper), 0);
    pcap_dump_close(dumper);
    dumper = pcap_dump_open_append(p, path);
    CHECK(dumper != NULL);
    CHECK_EQUAL(pcap_loop(p, 1, pcap_dump, (u_char *)dumper), 0);
    pcap_dump_close(dumper);
    FILE *file = fopen("/dev/null", "w");
    CHECK(file != NULL && (dumper = pcap_dump_fopen(p, file)) != NULL);
    pcap_dump_close(dumper);

    pcap_t *written = pcap_open_offline_with_tstamp_precision(path, PCAP_TSTAMP_PRECISION_NANO, reason);
    CHECK(written != NULL);
    CHECK_EQUAL(pcap_snapshot(written), 50);
    CHECK_EQUAL(pcap_datalink(written), DLT_EN10MB);
    for (uint64_t number = 0; number < 2; number++) {
        struct pcap_pkthdr *header;
        const u_char *data;
        CHECK_EQUAL(pcap_next_ex(written, &header, &data), 1);
        CHECK_EQUAL(header->ts.tv_sec, TIME_NS / 1000000000);
        CHECK_EQUAL(header->ts.tv_usec, TIME_NS % 1000000000 + number);
        CHECK_EQUAL(header->caplen, 50);
        CHECK_EQUAL(header->len, number == 0 ? 80 : 60);
        CHECK_EQUAL(frame_number(data), number);
    }
    pcap_close(written);
    pcap_close(p);
    unlink(path);
    close_bed(&bed);
}

/* A raw IP stream: told of at the first packet, and to whom asked too early, as an error. */
static void test_link_types(void)
{
    struct bed bed;
    uint8_t frame[FRAME_BYTES];
    make_frame(frame, 0);
    struct pb_pipe_record record = {.data = frame + 14, .captured_len = 46, .wire_len = 46, .timestamp_ns = TIME_NS};
    for (int asks_early = 0; asks_early < 2; asks_early++) {
        open_bed(&bed);
        CHECK_EQUAL(pb_pipe_set_link_type(bed.writer, LINKTYPE_RAW), 0);
        pcap_t *p = open_pipe(0);
        struct pcap_pkthdr *header;
        const u_char *data;
        if (asks_early)
            CHECK_EQUAL(pcap_datalink(p), DLT_EN10MB);
        int written;
        while ((written = pb_pipe_write(bed.writer, &record, 1)) == 0)
            pb_pipe_writer_wait(bed.writer, -1);
        CHECK_EQUAL(written, 1);
        if (asks_early) {
            CHECK_EQUAL(pcap_next_ex(p, &header, &data), PCAP_ERROR);
            CHECK(has_text(pcap_geterr(p), "link type RAW (12), and not EN10MB (1)"));
        } else {
            CHECK_EQUAL(pcap_next_ex(p, &header, &data), 1);
            CHECK_EQUAL(data[0], 0x45);
            CHECK_EQUAL(pcap_datalink(p), DLT_RAW);
            set_filter(p, "udp dst port 1000"); /* compiled for raw IP */
            CHECK_EQUAL(pb_pipe_write(bed.writer, &record, 1), 1);
            CHECK_EQUAL(pcap_next_ex(p, &header, &data), 1);
        }
        pcap_close(p);
        close_bed(&bed);
    }
}

/* ------------------------------------------------------------ reading */

static void test_reading(void)
{
    struct bed bed;
    struct pcap_pkthdr *header, own;
    const u_char *data;
    open_bed(&bed);
    pcap_t *p = open_pipe(0);
    struct seen seen = {.p = p};
    send_frames(&bed, 1000);
    CHECK_EQUAL(pcap_next_ex(p, &header, &data), 1);
    CHECK(header->caplen == 60 && header->len == 80 && frame_number(data) == 0);
    CHECK_EQUAL(header->ts.tv_sec, TIME_NS / 1000000000);
    CHECK_EQUAL(header->ts.tv_usec, TIME_NS % 1000000000 / 1000);
    data = pcap_next(p, &own);
    CHECK(data != NULL && own.len == 60 && frame_number(data) == 1);
    seen.next = 2;
    CHECK_EQUAL(pcap_loop(p, 300, see, (u_char *)&seen), 0);
    CHECK_EQUAL(seen.count, 300);
    CHECK_EQUAL(pcap_dispatch(p, 5, see, (u_char *)&seen), 5);
    while (seen.next < 1000)
        CHECK(pcap_dispatch(p, -1, see, (u_char *)&seen) > 0);
    struct pcap_stat stats;
    CHECK_EQUAL(pcap_stats(p, &stats), 0);
    CHECK(stats.ps_recv == 1000 && stats.ps_drop == 0 && stats.ps_ifdrop == 0);
    pcap_close(p);
    close_bed(&bed);
}

static void test_filters(void)
{
    struct bed bed;
    struct bpf_program program;
    struct bpf_insn bad = {.code = 0xffff};
    open_bed(&bed);
    pcap_t *p = open_pipe(0);
    CHECK_EQUAL(pcap_compile(p, &program, "udp port port", 1, 0), PCAP_ERROR);
    CHECK(has_text(pcap_geterr(p), "syntax error"));
    program = (struct bpf_program){.bf_len = 1, .bf_insns = &bad};
    CHECK_EQUAL(pcap_setfilter(p, &program), PCAP_ERROR);
    /* Port 1001 until five came, which are frames 1, 5, .. 17; then port 1003: 19, 23, .. 399. */
    set_filter(p, "udp dst port 1001");
    send_frames(&bed, 400);
    struct seen seen = {.p = p, .next = UINT64_MAX, .break_at = 5, .filter_at_break = true};
    CHECK_EQUAL(pcap_loop(p, 5 + 96, see, (u_char *)&seen), 0);
    struct pcap_pkthdr header;
    set_filter(p, ""); /* all again: 400 is the next */
    send_frames(&bed, 1);
    CHECK_EQUAL(frame_number(pcap_next(p, &header)), 400);
    /* By what was on the wire, of which less was captured: frame 0 of another bed has 80. */
    pcap_close(p);
    close_bed(&bed);
    open_bed(&bed);
    p = open_pipe(0);
    set_filter(p, "greater 70");
    send_frames(&bed, 1);
    CHECK_EQUAL(frame_number(pcap_next(p, &header)), 0);
    CHECK_EQUAL(header.len, 80);
    pcap_close(p);
    close_bed(&bed);
}

static void ignore(int number)
{
    (void)number;
}

static void test_timeouts(void)
{
    struct bed bed;
    struct pcap_pkthdr *header, own;
    const u_char *data;
    open_bed(&bed);
    pcap_t *p = open_pipe(20);
    struct seen seen = {.p = p};
    CHECK_EQUAL(pcap_next_ex(p, &header, &data), 0);
    CHECK(pcap_next(p, &own) == NULL);
    CHECK_EQUAL(pcap_dispatch(p, -1, see, (u_char *)&seen), 0);
    /* Packets that the filter does not want are none. */
    set_filter(p, "tcp");
    send_frames(&bed, 100);
    CHECK_EQUAL(pcap_dispatch(p, -1, see, (u_char *)&seen), 0);
    CHECK_EQUAL(seen.count, 0);
    pcap_close(p);
    close_bed(&bed);
}

/* How many of the ways to ask say that it is readable; `timeout_ms` as poll() takes it, 0 or -1. */
static int readable_ways(int fd, int timeout_ms)
{
    int epoll_fd = epoll_create1(0);
    CHECK(fd >= 0 && epoll_fd >= 0);
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    struct timeval none = {0};
    struct epoll_event event = {.events = EPOLLIN};
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    int ways = poll(&polled, 1, timeout_ms) + select(fd + 1, &set, NULL, NULL, timeout_ms < 0 ? NULL : &none);
    CHECK_EQUAL(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event), 0);
    ways += epoll_wait(epoll_fd, &event, 1, timeout_ms);
    close(epoll_fd);
    return ways;
}

static void check_readable(pcap_t *p)
{
    CHECK_EQUAL(pcap_get_selectable_fd(p), pcap_fileno(p));
    CHECK_EQUAL(readable_ways(pcap_fileno(p), -1), 3);
}

/* With nothing to read it may be readable without a reason, as poll(2) says, but once: a wake-up
 * may come late. Where it stays so a program that waits for it would never sleep. */
static void check_not_readable(pcap_t *p, struct seen *seen)
{
    for (int late = 0; readable_ways(pcap_fileno(p), 0) != 0; late++) {
        CHECK(late < 10);
        CHECK_EQUAL(pcap_dispatch(p, -1, see, (u_char *)seen), 0);
    }
}

static void test_polling(void)
{
    struct bed bed;
    struct pcap_pkthdr *header;
    const u_char *data;
    open_bed(&bed);
    pcap_t *p = open_pipe(1000);
    struct seen seen = {.p = p};
    CHECK_EQUAL(pcap_getnonblock(p, errbuf), 0);
    CHECK_EQUAL(pcap_setnonblock(p, 1, errbuf), 0);
    CHECK_EQUAL(pcap_getnonblock(p, errbuf), 1);
    while (pcap_next_ex(p, &header, &data) != 0) /* none now */
        continue;
    CHECK_EQUAL(pcap_dispatch(p, -1, see, (u_char *)&seen), 0);
    check_not_readable(p, &seen);
    for (int round = 0; round < 50; round++) {
        send_frames(&bed, 5);
        check_readable(p);
        for (int i = 0; i < 3; i++) {
            check_readable(p); /* some are left, fetched or not */
            while (pcap_dispatch(p, 1, see, (u_char *)&seen) == 0) /* sent, not relayed yet */
                check_readable(p);
        }
        while (seen.next < bed.sent) {
            check_readable(p);
            if (pcap_next_ex(p, &header, &data) == 1)
                CHECK_EQUAL(frame_number(data), seen.next++);
        }
        CHECK_EQUAL(pcap_next_ex(p, &header, &data), 0);
        check_not_readable(p, &seen);
    }
    stop_relay(bed.engine);
    bed.engine = 0;
    check_readable(p); /* its end is something to read, too */
    CHECK_EQUAL(pcap_dispatch(p, -1, see, (u_char *)&seen), PCAP_ERROR_BREAK);
    pcap_close(p);
    close_bed(&bed);
}

/* ------------------------------------------------------------ breaking */

static pcap_t *handled; /* by break_handler */
static volatile sig_atomic_t alarms;

static void break_handler(int number)
{
    (void)number;
    pcap_breakloop(handled);
}

static void *signal_later(void *arg)
{
    const pthread_t *reader = arg;
    usleep(20000);
    pthread_kill(*reader, SIGUSR2); /* this one breaks nothing */
    usleep(20000);
    pthread_kill(*reader, SIGUSR1);
    return NULL;
}

static _Atomic bool was_interrupted;

/* Again and again: a signal that comes before the reader waits ends nothing. */
static void *interrupt(void *arg)
{
    const pthread_t *reader = arg;
    while (!atomic_load(&was_interrupted)) {
        usleep(20000);
        pthread_kill(*reader, SIGUSR1);
    }
    return NULL;
}

static void *break_later(void *arg)
{
    usleep(20000);
    pcap_breakloop(arg);
    return NULL;
}

static void count_alarm(int number)
{
    (void)number;
    alarms++;
}

static void test_breakloop(void)
{
    struct bed bed;
    pthread_t other, self = pthread_self();
    struct pcap_pkthdr *header;
    const u_char *data;
    open_bed(&bed);
    pcap_t *p = handled = open_pipe(0);
    struct seen seen = {.p = p, .break_at = 7};
    struct sigaction on_break = {.sa_handler = break_handler}, on_other = {.sa_handler = count_alarm};
    sigaction(SIGUSR1, &on_break, NULL);
    sigaction(SIGUSR2, &on_other, NULL);

    CHECK_EQUAL(pthread_create(&other, NULL, signal_later, &self), 0);
    CHECK_EQUAL(pcap_loop(p, -1, see, (u_char *)&seen), PCAP_ERROR_BREAK);
    pthread_join(other, NULL);
    CHECK_EQUAL(alarms, 1); /* and did not end it */
    CHECK_EQUAL(pthread_create(&other, NULL, break_later, p), 0);
    CHECK_EQUAL(pcap_next_ex(p, &header, &data), PCAP_ERROR_BREAK);
    pthread_join(other, NULL);
    /* From a callback: the packets before it count; the next call ends, once. */
    send_frames(&bed, 20);
    CHECK_EQUAL(pcap_loop(p, -1, see, (u_char *)&seen), PCAP_ERROR_BREAK);
    CHECK_EQUAL(seen.count, 7);
    CHECK_EQUAL(pcap_loop(p, 13, see, (u_char *)&seen), 0);
    pcap_breakloop(p);
    pcap_breakloop(p);
    CHECK_EQUAL(pcap_dispatch(p, -1, see, (u_char *)&seen), PCAP_ERROR_BREAK);
    send_frames(&bed, 1);
    CHECK_EQUAL(pcap_next_ex(p, &header, &data), 1);
    pcap_close(p);
    close_bed(&bed);
}

/* ------------------------------------------------------------ the end, and after it */

static void test_end_of_stream(void)
{
    struct bed bed;
    open_bed(&bed);
    pcap_t *p = open_pipe(0);
    struct seen seen = {.p = p};
    struct pcap_pkthdr *header;
    const u_char *data;
    send_frames(&bed, 1);
    CHECK_EQUAL(pcap_next_ex(p, &header, &data), 1);
    send_frames(&bed, 50);
    while (pb_pipe_writer_backlog(bed.writer) > 0)
        usleep(500);
    stop_relay(bed.engine);
    bed.engine = 0;
    seen.next = 1;
    CHECK_EQUAL(pcap_loop(p, -1, see, (u_char *)&seen), PCAP_ERROR_BREAK);
    CHECK_EQUAL(seen.count, 50);
    CHECK_EQUAL(pcap_loop(p, -1, see, (u_char *)&seen), PCAP_ERROR);
    CHECK(has_text(pcap_geterr(p), "the stream has ended"));
    CHECK_EQUAL(pcap_loop(p, -1, see, (u_char *)&seen), 0);
    CHECK_EQUAL(pcap_dispatch(p, -1, see, (u_char *)&seen), PCAP_ERROR);
    struct pcap_stat stats;
    CHECK_EQUAL(pcap_stats(p, &stats), 0);
    CHECK_EQUAL(stats.ps_recv, 51);
    pcap_close(p);
    close_bed(&bed);
    /* A program that has a way to end when it is asked to. */
    struct sigaction counts = {.sa_handler = count_alarm}, usual = {.sa_handler = SIG_DFL};
    sigaction(SIGTERM, &counts, NULL);
    alarms = 0;
    open_bed(&bed);
    p = open_pipe(0);
    close_bed(&bed);
    CHECK_EQUAL(pcap_dispatch(p, -1, see, (u_char *)&seen), PCAP_ERROR_BREAK);
    CHECK_EQUAL(alarms, 0);
    CHECK_EQUAL(pcap_dispatch(p, -1, see, (u_char *)&seen), 0);
    CHECK_EQUAL(alarms, 1);
    CHECK_EQUAL(pcap_dispatch(p, -1, see, (u_char *)&seen), PCAP_ERROR);
    CHECK_EQUAL(alarms, 1);
    sigaction(SIGTERM, &usual, NULL);
    pcap_close(p);
}

static void *open_bed_later(void *arg)
{
    usleep(50000);
    open_bed(arg);
    send_frames(arg, 10);
    return NULL;
}

static void test_wait_and_reconnect(void)
{
    struct bed bed;
    pthread_t other;
    struct pcap_stat stats;
    setenv("BRICKS_PCAP_WAIT", "1", 1);
    setenv("BRICKS_PCAP_RECONNECT", "1", 1);
    CHECK_EQUAL(pthread_create(&other, NULL, open_bed_later, &bed), 0);
    pcap_t *p = open_pipe(0);
    for (int round = 0; round < 3; round++) {
        struct seen seen = {.p = p};
        if (round == 2) { /* in a loop of its own */
            CHECK_EQUAL(pcap_setnonblock(p, 1, errbuf), 0);
            while (seen.count < 10) {
                check_readable(p);
                CHECK(pcap_dispatch(p, 10, see, (u_char *)&seen) >= 0);
            }
        } else {
            CHECK_EQUAL(pcap_loop(p, 10, see, (u_char *)&seen), 0);
        }
        CHECK_EQUAL(seen.count, 10);
        pthread_join(other, NULL);
        close_bed(&bed);
        if (round < 2)
            CHECK_EQUAL(pthread_create(&other, NULL, open_bed_later, &bed), 0);
    }
    CHECK_EQUAL(pcap_stats(p, &stats), 0);
    CHECK_EQUAL(stats.ps_recv, 30);
    pcap_close(p);
    unsetenv("BRICKS_PCAP_RECONNECT");
    /* A signal ends the wait. */
    pthread_t self = pthread_self();
    struct sigaction action = {.sa_handler = ignore};
    sigaction(SIGUSR1, &action, NULL);
    CHECK_EQUAL(pthread_create(&other, NULL, interrupt, &self), 0);
    CHECK(pcap_open_live(PIPE, 0, 0, 0, errbuf) == NULL && has_text(errbuf, "interrupted while waiting"));
    atomic_store(&was_interrupted, true);
    pthread_join(other, NULL);
    unsetenv("BRICKS_PCAP_WAIT");
}

/* ------------------------------------------------------------ sending */

static void *drain_later(void *arg)
{
    struct seen *seen = arg;
    usleep(20000);
    CHECK_EQUAL(pcap_loop(seen->p, -1, see, arg), PCAP_ERROR_BREAK);
    return NULL;
}

static void test_inject(void)
{
    static u_char frame[PB_FRAME_BYTES_MAX + 1];
    pthread_t other;
    int engine = start_relay("in}0", PIPE);
    pcap_t *warned = pcap_create("in}0", errbuf);
    CHECK_EQUAL(pcap_activate(warned), PCAP_WARNING);
    CHECK(has_text(pcap_geterr(warned), "packets can be sent here, none will come"));
    pcap_close(warned);
    pcap_t *reader = open_pipe(0), *writer = pcap_open_live("in}0", 0, 0, 20, errbuf);
    struct seen seen = {.p = reader};
    struct pcap_pkthdr *header;
    const u_char *data;
    CHECK(writer != NULL);
    CHECK_EQUAL(pcap_inject(reader, frame, 60), PCAP_ERROR);
    CHECK(has_text(pcap_geterr(reader), "it is read, not written"));
    CHECK_EQUAL(pcap_sendpacket(reader, frame, 60), PCAP_ERROR);
    CHECK_EQUAL(pcap_sendpacket(writer, frame, -1), PCAP_ERROR);
    CHECK_EQUAL(pcap_inject(writer, frame, sizeof(frame)), PCAP_ERROR);
    CHECK(has_text(pcap_geterr(writer), "cannot send 262145 bytes"));
    CHECK_EQUAL(pcap_next_ex(writer, &header, &data), 0); /* nothing ever comes */
    uint64_t sent = 0;
    for (; sent < 10; sent++) {
        make_frame(frame, sent);
        CHECK_EQUAL(sent % 2 ? pcap_inject(writer, frame, 60) : pcap_sendpacket(writer, frame, 60), sent % 2 ? 60 : 0);
    }
    /* Until nothing takes any more: both rings, and what the engine holds. */
    CHECK_EQUAL(pcap_setnonblock(writer, 1, errbuf), 0);
    for (int refused = 0; refused < 20;) {
        make_frame(frame, sent);
        if (pcap_inject(writer, frame, 60) == 60) {
            sent++;
            refused = 0;
        } else {
            CHECK(has_text(pcap_geterr(writer), strerror(EAGAIN)));
            refused++;
            usleep(1000);
        }
    }
    CHECK_EQUAL(pcap_setnonblock(writer, 0, errbuf), 0);
    CHECK_EQUAL(pthread_create(&other, NULL, drain_later, &seen), 0);
    for (uint64_t end = sent + 5000; sent < end; sent++) {
        make_frame(frame, sent);
        CHECK_EQUAL(pcap_inject(writer, frame, 60), 60);
    }
    stop_relay(engine);
    pthread_join(other, NULL);
    CHECK(seen.count > 5000 && seen.count <= sent);
    CHECK_EQUAL(pcap_inject(writer, frame, 60), PCAP_ERROR);
    CHECK(has_text(pcap_geterr(writer), "its engine was stopped"));
    CHECK_EQUAL(pcap_next_ex(writer, &header, &data), PCAP_ERROR_BREAK);
    pcap_close(writer);
    pcap_close(reader);
}

/* With --reconnect a sender waits for the next engine as a reader does. */
static void test_inject_over_restart(void)
{
    u_char frame[FRAME_BYTES];
    setenv("BRICKS_PCAP_RECONNECT", "1", 1);
    int engine = start_relay("in}0", PIPE);
    pcap_t *writer = pcap_open_live("in}0", 0, 0, 20, errbuf), *reader = open_pipe(0);
    CHECK(writer != NULL);
    struct seen seen = {.p = reader, .next = UINT64_MAX};
    make_frame(frame, 0);
    CHECK_EQUAL(pcap_inject(writer, frame, sizeof(frame)), sizeof(frame));
    CHECK_EQUAL(pcap_loop(reader, 1, see, (u_char *)&seen), 0);
    stop_relay(engine);
    engine = start_relay("in}0", PIPE);
    CHECK_EQUAL(pcap_inject(writer, frame, sizeof(frame)), sizeof(frame));
    CHECK_EQUAL(pcap_loop(reader, 1, see, (u_char *)&seen), 0);
    CHECK_EQUAL(seen.count, 2);
    pcap_close(writer);
    pcap_close(reader);
    stop_relay(engine);
    unsetenv("BRICKS_PCAP_RECONNECT");
}

/* ------------------------------------------------------------ beside others */

static void *read_all(void *arg)
{
    struct seen *seen = arg;
    CHECK_EQUAL(pcap_loop(seen->p, 20000, see, arg), 0);
    return NULL;
}

static void test_many_handles(void)
{
    struct bed bed;
    open_bed(&bed);
    int second = start_relay("in}1", "out}1");
    struct bed beside = {.engine = second};
    struct pb_error error;
    CHECK_EQUAL(pb_pipe_open_writer("in}1", &beside.writer, &error), 0);
    struct seen first_seen = {.p = open_pipe(0)}, second_seen = {.p = pcap_open_live("out}1", 0, 0, 0, errbuf)};
    CHECK(second_seen.p != NULL);
    pthread_t readers[2];
    CHECK_EQUAL(pthread_create(&readers[0], NULL, read_all, &first_seen), 0);
    CHECK_EQUAL(pthread_create(&readers[1], NULL, read_all, &second_seen), 0);
    for (int i = 0; i < 200; i++) {
        send_frames(&bed, 100);
        send_frames(&beside, 100);
    }
    pthread_join(readers[0], NULL);
    pthread_join(readers[1], NULL);
    pcap_close(first_seen.p);
    pcap_close(second_seen.p);
    close_bed(&bed);
    close_bed(&beside);
}

/* Handles that are no pipe get the real functions, as if we were not there. */
static void test_real_handles(void)
{
    struct bed bed;
    open_bed(&bed);
    pcap_t *p = open_pipe(0), *offline = pcap_open_offline("../test/fixtures/demo.pcap", errbuf);
    CHECK(offline != NULL);
    struct pcap_pkthdr *header;
    const u_char *data;
    unsigned int packets = 0;
    CHECK_EQUAL(pcap_snapshot(offline), 262144);
    while (pcap_next_ex(offline, &header, &data) == 1)
        packets++;
    CHECK_EQUAL(packets, 458); /* tcpdump -r demo.pcap | wc -l */
    pcap_close(offline);
    if (geteuid() == 0) {
        pcap_t *lo = pcap_open_live("lo", 100, 0, 10, errbuf);
        CHECK(lo != NULL);
        struct pcap_stat stats;
        set_filter(lo, "ether proto 0x88b5 and len = 64");
        u_char frame[64] = "\2\0\0\0\0\1\2\0\0\0\0\2\x88\xb5 libpcap beside a pipe";
        CHECK_EQUAL(pcap_inject(lo, frame, sizeof(frame)), sizeof(frame));
        while (pcap_next_ex(lo, &header, &data) == 0)
            continue;
        CHECK_EQUAL(memcmp(data + 14, " libpcap beside", 15), 0);
        CHECK_EQUAL(pcap_stats(lo, &stats), 0);
        CHECK_EQUAL(stats.ps_recv > 0, 1);
        CHECK_EQUAL(pcap_set_snaplen(lo, 5), PCAP_ERROR_ACTIVATED);
        CHECK_EQUAL(pcap_setnonblock(lo, 1, errbuf), 0);
        CHECK_EQUAL(pcap_getnonblock(lo, errbuf), 1);
        pcap_breakloop(lo);
        pcap_close(lo);
    }
    pcap_close(p);
    close_bed(&bed);
}

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
    {"names", test_names},
    {"life", test_life},
    {"devices", test_devices},
    {"captures written", test_captures_written},
    {"link types", test_link_types},
    {"reading", test_reading},
    {"filters", test_filters},
    {"timeouts", test_timeouts},
    {"polling", test_polling},
    {"breakloop", test_breakloop},
    {"end of stream", test_end_of_stream},
    {"wait and reconnect", test_wait_and_reconnect},
    {"inject", test_inject},
    {"inject over a restart", test_inject_over_restart},
    {"many handles", test_many_handles},
    {"real handles", test_real_handles},
};

int main(int argc, char **argv)
{
    char directory[] = "/tmp/test_libpcap_XXXXXX", pipes[64];
    CHECK(mkdtemp(directory) != NULL);
    setenv("BRICKS_RUNTIME_DIR", directory, 1);
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        if (argc == 2 && strcmp(argv[1], tests[i].name) != 0)
            continue;
        alarm(WATCHDOG_S);
        tests[i].run();
        printf("libpcap: %s\n", tests[i].name);
        fflush(stdout);
    }
    snprintf(pipes, sizeof(pipes), "%s/pipes", directory);
    CHECK(access(pipes, F_OK) < 0 || rmdir(pipes) == 0);
    CHECK_EQUAL(rmdir(directory), 0);
    return 0;
}

#else

#include <stdio.h>

int main(void)
{
    printf("needs libpcap's header: apt-get install libpcap0.8-dev\n");
    return 77;
}

#endif
