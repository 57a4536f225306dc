/*
 * flow_gen.c - what FlowGen costs beside Dummy, whole engines on one core.
 *
 *   flow_gen SECONDS_PER_RUN RUNS
 *
 * Generator, brick and sink; 60-byte UDP frames of 10,000 flows, in cache. Takes turns of
 * SECONDS_PER_RUN and prints for each round one line, packets/s of the generator: with
 * Dummy, with FlowGen; with a Duplicator that has a sink, too, and Dummy below, and with
 * FlowGen below, which then works on copies.
 */
#include "common.h"

#include <string.h>

#include "engine/engine.h"

/* FlowGen's options as flow_gen.ts packs them: id 1, the hash of two addresses. */
static const uint8_t flow_gen_config[12] = {1, 0, 0, 0, 2, 0, 0, 0, 0xef, 0xbe, 0, 0};

static struct pb_error error;

static int add_brick(int engine, const char *brick, uint32_t outputs)
{
    uint32_t bytes = strcmp(brick, "FlowGen") == 0 ? sizeof(flow_gen_config) : 0;
    return check(pb_engine_add_brick(engine, brick, flow_gen_config, bytes, 0, outputs, 0, &error), &error);
}

static void add_sink(int engine, uint32_t brick, uint32_t output)
{
    uint32_t port = (uint32_t)check(pb_engine_add_output(engine, "null", "", "", &error), &error);
    check(pb_engine_connect_output(engine, brick, output, port, &error), &error);
}

/* `first` with `outputs` outputs to sinks; where `second` is given, it is behind the first of them. */
static double run(const char *first, uint32_t outputs, const char *second, double seconds)
{
    int engine = check(pb_engine_create("bench", 64, 0, 256, &error), &error);
    add_brick(engine, first, outputs);
    check(pb_engine_add_input(engine, "null", "", "frames=60&flows=10000", -1, &error), &error);
    check(pb_engine_connect_input(engine, 0, 0, &error), &error);
    if (second != NULL) {
        add_brick(engine, second, 1);
        check(pb_engine_connect_brick(engine, 0, 0, 1, &error), &error);
        add_sink(engine, 1, 0);
    }
    for (uint32_t output = second != NULL ? 1 : 0; output < outputs; output++)
        add_sink(engine, 0, output);
    check(pb_engine_start(engine, &error), &error);
    const pb_counter *received = &pb_engine_find(engine)->inputs[0]->port.counters[PB_PORT_RX_PACKETS];
    usleep(20000); /* the caches are warm */
    double start = now_s(), end;
    uint64_t before = pb_counter_get(received);
    usleep((useconds_t)(seconds * 1e6));
    uint64_t packets = pb_counter_get(received) - before;
    end = now_s();
    check(pb_engine_stop(engine, &error), &error);
    check(pb_engine_delete(engine, &error), &error);
    return (double)packets / (end - start);
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 0.2;
    int runs = argc > 2 ? atoi(argv[2]) : 5;
    for (int i = 0; i < runs; i++) {
        double dummy = run("Dummy", 1, NULL, seconds), flow_gen = run("FlowGen", 1, NULL, seconds);
        double dummies = run("Duplicator", 2, "Dummy", seconds), copies = run("Duplicator", 2, "FlowGen", seconds);
        printf("%.0f %.0f %.0f %.0f\n", dummy, flow_gen, dummies, copies);
    }
    return 0;
}
