/*
 * receive.c - an engine that receives from an interface, for the benchmarks.
 *
 *   receive DRIVER INTERFACE PIPES [OPTIONS]
 *
 * DRIVER:INTERFACE?OPTIONS through a LoadBalancer, to four sinks (PIPES 0) or to PIPES
 * pipes with one reader process each. Prints "ready", runs until its standard
 * input ends, then prints the packets received, lost in the kernel, dropped,
 * and read by the readers, and the nanoseconds of processor time that this process took
 * meanwhile. The engine is pinned to processor 1.
 */
#include <sys/wait.h>

#include "../bricks/load_balancer/load_balancer.h"
#include "common.h"
#include "engine/engine.h"

#define READERS_MAX 16

/* Reads pipe `i` to its end and writes the number of packets to `out`. */
static void read_pipe(uint32_t i, int out)
{
    char name[32];
    struct pb_error error;
    struct pb_pipe_reader *reader;
    struct pb_pipe_record records[64];
    uint64_t packets = 0;
    snprintf(name, sizeof(name), "bench}%u", i);
    check(pb_pipe_open(name, &reader, &error), &error);
    int n;
    while ((n = pb_pipe_read(reader, records, 64)) >= 0) {
        packets += (uint64_t)n;
        if (n > 0)
            pb_pipe_release(reader);
        else
            pb_pipe_wait(reader, -1);
    }
    pb_pipe_close(reader);
    _exit(write(out, &packets, sizeof(packets)) != sizeof(packets));
}

static uint64_t drops(const struct pb_port *port, enum pb_counter_kind kind)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < port->driver->counters_count; i++)
        if (port->driver->counters[i].kind == kind)
            sum += pb_counter_get(&port->counters[PB_PORT_COUNTERS + i]);
    return sum;
}

static int make_engine(const char *driver, const char *interface, const char *options, uint32_t pipes, struct pb_error *error)
{
    const struct pb_load_balancer_config config = {.tuple = 4};
    uint32_t outputs = pipes > 0 ? pipes : 4;
    int engine = check(pb_engine_create("bench", 2048, 1, PB_BATCH_PACKETS_DEFAULT, error), error);
    check(pb_engine_add_brick(engine, "LoadBalancer", (const uint8_t *)&config, sizeof(config), 0, outputs, 0, error), error);
    check(pb_engine_add_input(engine, driver, interface, options, -1, error), error);
    check(pb_engine_connect_input(engine, 0, 0, error), error);
    for (uint32_t i = 0; i < outputs; i++) {
        char name[32] = "";
        if (pipes > 0)
            snprintf(name, sizeof(name), "bench}%u", i);
        check(pb_engine_add_output(engine, pipes > 0 ? "pipe" : "null", name, "", error), error);
        check(pb_engine_connect_output(engine, 0, i, i, error), error);
    }
    check(pb_engine_start(engine, error), error);
    return engine;
}

int main(int argc, char **argv)
{
    uint32_t pipes = argc > 3 ? (uint32_t)atoi(argv[3]) : 0;
    if (argc < 3 || pipes > READERS_MAX) {
        fprintf(stderr, "usage: receive DRIVER INTERFACE PIPES [OPTIONS]\n");
        return 2;
    }
    make_runtime_directory();
    struct pb_error error;
    int handle = make_engine(argv[1], argv[2], argc > 4 ? argv[4] : "", pipes, &error);
    int results[2];
    if (pipe(results) < 0)
        return 1;
    for (uint32_t i = 0; i < pipes; i++)
        if (fork() == 0)
            read_pipe(i, results[1]);
    struct pb_engine *engine = pb_engine_find(handle);
    for (uint32_t i = 0; i < pipes; i++)
        while (pb_counter_get(&engine->outputs[i]->port.counters[PB_PORT_COUNTERS + 5]) == 0)
            usleep(1000); /* "attaches" */
    puts("ready");
    fflush(stdout);
    uint64_t used_ns = processor_ns();
    char byte;
    while (read(0, &byte, 1) > 0) {
    }
    used_ns = processor_ns() - used_ns;
    check(pb_engine_stop(handle, &error), &error);
    uint64_t dropped = 0, readers_got = 0, got;
    for (uint32_t i = 0; i < engine->outputs_count; i++)
        dropped += drops(&engine->outputs[i]->port, PB_COUNTER_DROP);
    for (uint32_t i = 0; i < pipes; i++) {
        if (read(results[0], &got, sizeof(got)) == sizeof(got))
            readers_got += got;
        wait(NULL);
    }
    const struct pb_port *input = &engine->inputs[0]->port;
    printf("%llu %llu %llu %llu %llu\n", (unsigned long long)pb_counter_get(&input->counters[PB_PORT_RX_PACKETS]),
           (unsigned long long)drops(input, PB_COUNTER_LOST), (unsigned long long)dropped, (unsigned long long)readers_got,
           (unsigned long long)used_ns);
    check(pb_engine_delete(handle, &error), &error);
    return 0;
}
