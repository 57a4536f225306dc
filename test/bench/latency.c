/*
 * latency.c - how long a packet takes from one application to another.
 *
 *   latency pipe|socket|port PACKETS PACKETS_PER_S
 *
 *   pipe    a process writes a pipe, an engine carries it over, a process reads a pipe
 *   socket  a process sends on interface v0, a process receives on its peer v1:
 *           packet sockets and the kernel, no engine
 *   port    a process sends on v0, an engine receives on v1, a process reads a pipe
 *
 * The receiver blocks until there is a packet; each carries the time at which it was
 * sent. Prints the 50th and 99th percentile in nanoseconds and the packets received.
 * Below 20,000/s packets go one by one, above in bursts, every 50 microseconds.
 * Nothing is pinned: the scheduler places sender, engine and receiver, on all paths alike.
 */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common.h"

#define FRAME_BYTES 60
#define STAMP_AT 14 /* behind the Ethernet header */
#define ETHERTYPE_EXPERIMENTAL 0x88b5 /* IEEE 802, for local use */
#define BURST_MAX 64
#define BURST_INTERVAL_NS 50000
#define SILENCE_MS 5000 /* the end of a run */
#define SOCKET_BYTES (16 << 20)

enum path { PATH_PIPE, PATH_SOCKET, PATH_PORT };
static const char *const path_names[] = {"pipe", "socket", "port"};

/* Where packets are sent to: the one or the other. */
struct sender {
    struct pb_pipe_writer *writer;
    int fd;
};

/* What the receiver has measured. */
struct sample {
    uint64_t *latencies_ns;
    uint64_t count, max;
};

static int open_socket(const char *interface)
{
    int fd = socket(AF_PACKET, SOCK_RAW, htons(ETHERTYPE_EXPERIMENTAL));
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE_EXPERIMENTAL), .sll_ifindex = (int)if_nametoindex(interface)};
    if (fd < 0 || address.sll_ifindex == 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        perror(interface);
        exit(1);
    }
    return fd;
}

/* One system call, or one write to the pipe. */
static void send_burst(const struct sender *sender, uint8_t frames[][FRAME_BYTES], uint32_t count)
{
    struct pb_pipe_record records[BURST_MAX];
    struct iovec vectors[BURST_MAX];
    struct mmsghdr messages[BURST_MAX] = {0};
    uint64_t now = now_ns();
    for (uint32_t i = 0; i < count; i++) {
        memcpy(frames[i] + STAMP_AT, &now, sizeof(now));
        records[i] = (struct pb_pipe_record){.data = frames[i], .captured_len = FRAME_BYTES, .wire_len = FRAME_BYTES};
        vectors[i] = (struct iovec){frames[i], FRAME_BYTES};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    if (sender->writer != NULL)
        pb_pipe_write(sender->writer, records, count);
    else
        sendmmsg(sender->fd, messages, count, 0);
}

static void send_paced(const struct sender *sender, uint64_t packets, double rate)
{
    static uint8_t frames[BURST_MAX][FRAME_BYTES];
    for (uint32_t i = 0; i < BURST_MAX; i++) {
        memcpy(frames[i], (const uint8_t[]){2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}, 12);
        memcpy(frames[i] + 12, (const uint8_t[]){ETHERTYPE_EXPERIMENTAL >> 8, ETHERTYPE_EXPERIMENTAL & 0xff}, 2);
    }
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    uint64_t interval = rate > 1e9 / BURST_INTERVAL_NS ? BURST_INTERVAL_NS : (uint64_t)(1e9 / rate);
    uint64_t start = now_ns(), next = start;
    for (uint64_t sent = 0; sent < packets;) {
        next += interval;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME,
                        &(struct timespec){(time_t)(next / 1000000000), (long)(next % 1000000000)}, NULL);
        double due = (double)(now_ns() - start) * rate / 1e9 - (double)sent;
        if (due > (double)(packets - sent))
            due = (double)(packets - sent);
        uint32_t burst = due < 1 ? 1 : due > BURST_MAX ? BURST_MAX : (uint32_t)due;
        send_burst(sender, frames, burst);
        sent += burst;
    }
}

static void take(struct sample *sample, const uint8_t *frame)
{
    uint64_t sent;
    memcpy(&sent, frame + STAMP_AT, sizeof(sent));
    if (sample->count < sample->max)
        sample->latencies_ns[sample->count++] = now_ns() - sent;
}

static void receive_pipe(struct pb_pipe_reader *reader, struct sample *sample)
{
    struct pb_pipe_record records[BURST_MAX];
    while (sample->count < sample->max) {
        int n = pb_pipe_read(reader, records, BURST_MAX);
        if (n < 0 || (n == 0 && pb_pipe_wait(reader, SILENCE_MS) == 0))
            break;
        for (int i = 0; i < n; i++)
            take(sample, records[i].data);
        if (n > 0)
            pb_pipe_release(reader);
    }
}

static void receive_socket(int fd, struct sample *sample)
{
    uint8_t frame[FRAME_BYTES];
    while (sample->count < sample->max && recv(fd, frame, sizeof(frame), 0) == sizeof(frame))
        take(sample, frame);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t percentile(const struct sample *sample, uint64_t percent)
{
    uint64_t rank = (sample->count * percent + 99) / 100; /* nearest rank */
    return sample->latencies_ns[rank - 1];
}

/* The receiving process; it writes a byte to `ready` once it waits for packets. */
static int run_receiver(enum path path, uint64_t packets, int ready)
{
    struct sample sample = {.latencies_ns = calloc(packets, sizeof(uint64_t)), .max = packets};
    struct pb_error error;
    if (path == PATH_SOCKET) {
        int fd = open_socket("v1"), bytes = SOCKET_BYTES;
        struct timeval silence = {.tv_sec = SILENCE_MS / 1000};
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence));
        if (write(ready, "", 1) == 1)
            receive_socket(fd, &sample);
    } else {
        struct pb_pipe_reader *reader;
        check(pb_pipe_open("out}0", &reader, &error), &error);
        if (write(ready, "", 1) == 1)
            receive_pipe(reader, &sample);
        pb_pipe_close(reader);
    }
    if (sample.count == 0) {
        fprintf(stderr, "latency %s: no packet arrived\n", path_names[path]);
        return 1;
    }
    qsort(sample.latencies_ns, sample.count, sizeof(uint64_t), compare);
    printf("%llu %llu %llu\n", (unsigned long long)percentile(&sample, 50), (unsigned long long)percentile(&sample, 99),
           (unsigned long long)sample.count);
    return fflush(stdout) != 0;
}

static int run_sender(enum path path, uint64_t packets, double rate)
{
    struct sender sender = {.fd = -1};
    struct pb_error error;
    if (path == PATH_PIPE)
        check(pb_pipe_open_writer("app}0", &sender.writer, &error), &error);
    else
        sender.fd = open_socket("v0");
    usleep(100000); /* everybody is asleep */
    send_paced(&sender, packets, rate);
    if (sender.writer != NULL)
        pb_pipe_close_writer(sender.writer);
    return 0;
}

static int make_engine(enum path path, struct pb_error *error)
{
    int engine = check(pb_engine_create("latency", 2048, -1, PB_BATCH_PACKETS_DEFAULT, error), error);
    const char *driver = path == PATH_PIPE ? "inject" : "packet", *name = path == PATH_PIPE ? "app}0" : "v1";
    check(pb_engine_add_brick(engine, "Dummy", NULL, 0, 0, 1, 0, error), error);
    check(pb_engine_add_input(engine, driver, name, "", -1, error), error);
    check(pb_engine_connect_input(engine, 0, 0, error), error);
    check(pb_engine_add_output(engine, "pipe", "out}0", "", error), error);
    check(pb_engine_connect_output(engine, 0, 0, 0, error), error);
    check(pb_engine_start(engine, error), error);
    return engine;
}

/* Starts both processes and waits for them; returns 0 when both did what they should. */
static int run_processes(enum path path, uint64_t packets, double rate)
{
    int ready[2], status, failed = 0;
    char byte;
    if (pipe(ready) < 0)
        return 1;
    pid_t receiver = fork();
    if (receiver == 0)
        _exit(run_receiver(path, packets, ready[1]));
    close(ready[1]); /* a receiver that fails closes the last one */
    if (read(ready[0], &byte, 1) == 1 && fork() == 0)
        _exit(run_sender(path, packets, rate));
    while (wait(&status) > 0)
        failed |= status;
    return failed != 0;
}

int main(int argc, char **argv)
{
    enum path path = PATH_PIPE;
    while (argc == 4 && path <= PATH_PORT && strcmp(argv[1], path_names[path]) != 0)
        path++;
    if (argc != 4 || path > PATH_PORT || atof(argv[3]) <= 0) {
        fprintf(stderr, "usage: latency pipe|socket|port PACKETS PACKETS_PER_S\n");
        return 2;
    }
    make_runtime_directory();
    struct pb_error error;
    int engine = path == PATH_SOCKET ? 0 : make_engine(path, &error);
    int failed = run_processes(path, strtoull(argv[2], NULL, 10), atof(argv[3]));
    if (engine != 0) {
        check(pb_engine_stop(engine, &error), &error);
        check(pb_engine_delete(engine, &error), &error);
    }
    return failed;
}
