/*
 * pipes.c - how fast an engine feeds an application through pipes.
 *
 *   pipes FRAME_BYTES SECONDS [PIPES=4] [FLOWS=10000]
 *
 * Generator, LoadBalancer over 4-tuples and PIPES pipes in this process, pinned
 * to processor 0; one reader process that attaches to all pipes and looks at
 * each packet, pinned to processor 1. Prints the packets/s that the reader got
 * over SECONDS, after a warm-up of a tenth of it.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "packet_bricks.h"

#define PIPES_MAX 64
#define RECORDS 64

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void fail(const char *what, const struct pb_error *error)
{
    fprintf(stderr, "%s: %s\n", what, error->text);
    exit(1);
}

static int check(int status, const char *what, const struct pb_error *error)
{
    if (status < 0)
        fail(what, error);
    return status;
}

static void pin(unsigned cpu)
{
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(cpu, &cpus);
    sched_setaffinity(0, sizeof(cpus), &cpus);
}

/* Take what there is from one pipe; returns the packets, `sum` keeps the look at them honest. */
static uint64_t drain(struct pb_pipe_reader *reader, uint64_t *sum)
{
    struct pb_pipe_record records[RECORDS];
    int n = pb_pipe_read(reader, records, RECORDS);
    if (n < 0)
        exit(0);
    for (int i = 0; i < n; i++)
        *sum += records[i].data[30] + records[i].captured_len;
    if (n > 0)
        pb_pipe_release(reader);
    return (uint64_t)n;
}

static void read_pipes(uint32_t pipes, double seconds)
{
    struct pb_pipe_reader *readers[PIPES_MAX];
    struct pb_error error;
    pin(1);
    for (uint32_t i = 0; i < pipes; i++) {
        char name[32];
        snprintf(name, sizeof(name), "bench}%u", i);
        check(pb_pipe_open(name, &readers[i], &error), "reader", &error);
    }
    uint64_t packets = 0, sum = 0;
    double warm = now_s() + seconds / 10, start = 0, now;
    for (uint64_t round = 0;; round++) {
        for (uint32_t i = 0; i < pipes; i++)
            packets += drain(readers[i], &sum);
        if (round % 64 != 0)
            continue;
        now = now_s();
        if (start == 0 && now >= warm) {
            start = now;
            packets = 0;
        }
        if (start != 0 && now - start >= seconds)
            break;
    }
    printf("%.0f\n", (double)packets / (now - start));
    fflush(stdout);
    if (sum == 1)
        puts("");
    for (uint32_t i = 0; i < pipes; i++)
        pb_pipe_close(readers[i]);
    _exit(0);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: pipes FRAME_BYTES SECONDS [PIPES] [FLOWS]\n");
        return 2;
    }
    uint32_t pipes = argc > 3 ? (uint32_t)atoi(argv[3]) : 4;
    char options[64], directory[] = "/tmp/bricks-bench-XXXXXX";
    snprintf(options, sizeof(options), "frames=%d&flows=%d", atoi(argv[1]), argc > 4 ? atoi(argv[4]) : 10000);
    if (pipes < 1 || pipes > PIPES_MAX || mkdtemp(directory) == NULL)
        return 2;
    setenv("BRICKS_RUNTIME_DIR", directory, 1);
    struct pb_error error;
    int engine = check(pb_engine_create("bench", 512, 0, PB_BATCH_PACKETS_DEFAULT, &error), "create", &error);
    uint32_t tuple = 4;
    const uint8_t *config = (const uint8_t *)&tuple;
    int brick = check(pb_engine_add_brick(engine, "LoadBalancer", config, sizeof(tuple), pipes, 0, &error), "brick", &error);
    int input = check(pb_engine_add_input(engine, "null", "", options, -1, &error), "input", &error);
    check(pb_engine_connect_input(engine, (uint32_t)input, (uint32_t)brick, &error), "connect", &error);
    for (uint32_t i = 0; i < pipes; i++) {
        char name[32];
        snprintf(name, sizeof(name), "bench}%u", i);
        int port = check(pb_engine_add_output(engine, "pipe", name, "wait=1", &error), "output", &error);
        check(pb_engine_connect_output(engine, (uint32_t)brick, i, (uint32_t)port, &error), "connect", &error);
    }
    check(pb_engine_start(engine, &error), "start", &error);
    pid_t reader = fork();
    if (reader == 0)
        read_pipes(pipes, atof(argv[2]));
    int status = 0;
    waitpid(reader, &status, 0);
    check(pb_engine_stop(engine, &error), "stop", &error);
    check(pb_engine_delete(engine, &error), "delete", &error);
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", directory);
    return system(command) != 0 || status != 0;
}
