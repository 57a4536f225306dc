/*
 * pipes.c - how fast an engine feeds an application through pipes.
 *
 *   pipes [--lend] FRAME_BYTES SECONDS [PIPES=4] [FLOWS=10000] [COMMAND...]
 *
 * Generator and PIPES pipes in this process, pinned to processor 0; between them
 * LoadBalancer over 4-tuples, or Dummy for a single pipe. One reader process that
 * attaches to all pipes and looks at each packet, pinned to processor 1. Prints the
 * packets/s that the reader got over SECONDS, after a warm-up of a tenth of it.
 * --lend: the pipes lend their packets, ?lend=1, instead of copying them.
 * COMMAND is another reader, run in its place: of bench}0, bench}1, ...
 */
#include <string.h>
#include <sys/wait.h>

#include "../bricks/load_balancer/load_balancer.h"
#include "common.h"

#define PIPES_MAX 64
#define RECORDS 64

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
    for (uint32_t i = 0; i < pipes; i++) {
        char name[32];
        snprintf(name, sizeof(name), "bench}%u", i);
        check(pb_pipe_open(name, &readers[i], &error), &error);
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

/* Runs the reader, a command or our own, and returns its exit status. */
static int run_reader(uint32_t pipes, double seconds, char **command)
{
    pid_t reader = fork();
    if (reader == 0) {
        pin(1);
        if (*command == NULL)
            read_pipes(pipes, seconds);
        execvp(*command, command);
        perror(*command);
        _exit(127);
    }
    int status = 0;
    waitpid(reader, &status, 0);
    return status;
}

static int make_engine(const char *generator, uint32_t pipes, const char *options, struct pb_error *error)
{
    int engine = check(pb_engine_create("bench", 512, 0, PB_BATCH_PACKETS_DEFAULT, error), error);
    const struct pb_load_balancer_config config = {.tuple = 4};
    if (pipes == 1)
        check(pb_engine_add_brick(engine, "Dummy", NULL, 0, 0, 1, 0, error), error);
    else
        check(pb_engine_add_brick(engine, "LoadBalancer", (const uint8_t *)&config, sizeof(config), 0, pipes, 0, error), error);
    check(pb_engine_add_input(engine, "null", "", generator, -1, error), error);
    check(pb_engine_connect_input(engine, 0, 0, error), error);
    for (uint32_t i = 0; i < pipes; i++) {
        char name[32];
        snprintf(name, sizeof(name), "bench}%u", i);
        check(pb_engine_add_output(engine, "pipe", name, options, error), error);
        check(pb_engine_connect_output(engine, 0, i, i, error), error);
    }
    return engine;
}

int main(int argc, char **argv)
{
    const char *options = "wait=1";
    if (argc > 1 && strcmp(argv[1], "--lend") == 0) {
        options = "wait=1&lend=1";
        argc--;
        argv++;
    }
    if (argc < 3) {
        fprintf(stderr, "usage: pipes [--lend] FRAME_BYTES SECONDS [PIPES [FLOWS [COMMAND...]]]\n");
        return 2;
    }
    uint32_t pipes = argc > 3 ? (uint32_t)atoi(argv[3]) : 4;
    char generator[64];
    snprintf(generator, sizeof(generator), "frames=%d&flows=%d", atoi(argv[1]), argc > 4 ? atoi(argv[4]) : 10000);
    if (pipes < 1 || pipes > PIPES_MAX)
        return 2;
    make_runtime_directory();
    struct pb_error error;
    int engine = make_engine(generator, pipes, options, &error);
    check(pb_engine_start(engine, &error), &error);
    int status = run_reader(pipes, atof(argv[2]), argc > 5 ? argv + 5 : (char *[]){NULL});
    check(pb_engine_stop(engine, &error), &error);
    check(pb_engine_delete(engine, &error), &error);
    return status != 0;
}
