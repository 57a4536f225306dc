/*
 * send.c - an engine that sends into an interface, for the benchmarks.
 *
 *   send DRIVER INTERFACE SECONDS
 *
 * A generator of 60-byte frames and Dummy, to DRIVER:INTERFACE, all it can. Prints the packets sent and the
 * nanoseconds of processor time that this process took. The engine is pinned to processor 1.
 */
#include "common.h"
#include "engine/engine.h"

static int make_engine(const char *driver, const char *interface, struct pb_error *error)
{
    int engine = check(pb_engine_create("bench", 2048, 1, PB_BATCH_PACKETS_DEFAULT, error), error);
    check(pb_engine_add_brick(engine, "Dummy", NULL, 0, 0, 1, 0, error), error);
    check(pb_engine_add_input(engine, "null", "", "frames=60&flows=1000", -1, error), error);
    check(pb_engine_connect_input(engine, 0, 0, error), error);
    check(pb_engine_add_output(engine, driver, interface, "", error), error);
    check(pb_engine_connect_output(engine, 0, 0, 0, error), error);
    return engine;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: send DRIVER INTERFACE SECONDS\n");
        return 2;
    }
    struct pb_error error;
    int handle = make_engine(argv[1], argv[2], &error);
    uint64_t used_ns = processor_ns();
    check(pb_engine_start(handle, &error), &error);
    usleep((useconds_t)(atof(argv[3]) * 1e6));
    const struct pb_port *output = &pb_engine_find(handle)->outputs[0]->port;
    uint64_t sent = pb_counter_get(&output->counters[PB_PORT_TX_PACKETS]);
    used_ns = processor_ns() - used_ns;
    check(pb_engine_stop(handle, &error), &error);
    printf("%llu %llu\n", (unsigned long long)sent, (unsigned long long)used_ns);
    check(pb_engine_delete(handle, &error), &error);
    return 0;
}
