/*
 * dpdk.c - how fast an engine is between devices of DPDK.
 *
 *   dpdk forward SECONDS [null:|dpdk:]     net_null, LoadBalancer over 4-tuples, 4 outputs: sinks, or net_null1 to net_null4
 *   dpdk receive SECONDS [null:|dpdk:]     net_null, Dummy, one output
 *   dpdk memif SECONDS SOCKET BYTES        generator, Dummy, a memif client that lends its buffers
 *   dpdk memif-copy SECONDS SOCKET BYTES   the same, and it copies them
 *   dpdk memif-null SECONDS SOCKET BYTES   net_null, Dummy, the same: buffers of DPDK whose content nobody has touched
 *
 * The engine is pinned to processor 0. Prints packets, received or sent, for each second and
 * for each second of processor time, over SECONDS after a warm-up of a tenth of it. What net_null receives is what was left in its
 * buffers: UDP frames of FLOWS flows, which the engine has sent before.
 */
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "../bricks/load_balancer/load_balancer.h"
#include "common.h"
#include "core/rewrite.h"
#include "engine/brick.h"

#define FLOWS 10000
#define FRAME_BYTES 64
#define OUTPUTS 4

static int engine;
static struct pb_error error;

static int create(const char *name)
{
    return check(pb_engine_create(name, 512, 0, PB_BATCH_PACKETS_DEFAULT, &error), &error);
}

/* One brick more, with this input; returns its number. */
static uint32_t add_brick(const char *brick, uint32_t outputs, const char *driver, const char *name, const char *options)
{
    const struct pb_load_balancer_config config = {.tuple = 4};
    bool balances = strcmp(brick, "LoadBalancer") == 0;
    int node = check(pb_engine_add_brick(engine, brick, balances ? (const uint8_t *)&config : NULL, balances ? sizeof(config) : 0, 0,
                                         outputs, 0, &error), &error);
    int input = check(pb_engine_add_input(engine, driver, name, options, -1, &error), &error);
    check(pb_engine_connect_input(engine, (uint32_t)input, (uint32_t)node, &error), &error);
    return (uint32_t)node;
}

/* An output of a brick: "driver:name". */
static uint32_t add_output(uint32_t node, uint32_t place, const char *port, const char *options)
{
    char driver[16];
    size_t length = strcspn(port, ":");
    snprintf(driver, sizeof(driver), "%.*s", (int)length, port);
    int output = check(pb_engine_add_output(engine, driver, port + length + 1, options, &error), &error);
    check(pb_engine_connect_output(engine, node, place, (uint32_t)output, &error), &error);
    return (uint32_t)output;
}

/* The sum of a counter of the ports of a driver and role, found in the engine's description: "at" is the place of
 * the first, rx_packets, and the order is that of port.h. */
static uint64_t count(const char *role, const char *driver, uint32_t counter)
{
    static char text[1 << 20];
    check(pb_engine_describe(engine, text, sizeof(text)), &error);
    const _Atomic uint64_t *counters = pb_engine_counters(engine);
    char start[64];
    snprintf(start, sizeof(start), "{\"role\":\"%s\",\"driver\":\"%s\"", role, driver);
    uint64_t sum = 0;
    for (const char *at = strstr(text, start); at != NULL; at = strstr(at + 1, start))
        sum += counters[strtoul(strstr(at, "\"at\":") + 5, NULL, 10) + counter];
    return sum;
}

/* What this process, which is the engine's thread, has used of processors. */
static double processor_s(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static void measure(const char *role, const char *driver, uint32_t counter, double seconds)
{
    check(pb_engine_start(engine, &error), &error);
    usleep((useconds_t)(seconds * 1e5) + 100000);
    uint64_t before = count(role, driver, counter);
    double start = now_s(), used = processor_s();
    usleep((useconds_t)(seconds * 1e6));
    double packets = (double)(count(role, driver, counter) - before);
    printf("%.0f %.0f\n", packets / (now_s() - start), packets / (processor_s() - used));
    check(pb_engine_stop(engine, &error), &error);
    check(pb_engine_delete(engine, &error), &error);
}

/* --------------------------------------------------- what net_null receives */

/* Writes UDP over IPv4 of the next flow into each packet. */
static void fill(void *state, const struct pb_batch *batch, struct pb_outputs *outputs)
{
    uint32_t *flow = state;
    for (uint32_t i = 0; i < batch->count; i++) {
        uint8_t *frame = pb_packet_bytes(&batch->packets[pb_packet_own(batch, batch->index[i])]);
        const uint8_t ip[] = {0x08, 0, 0x45, 0, 0, FRAME_BYTES - 14, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, (uint8_t)(*flow >> 8), (uint8_t)*flow,
                              192, 168, 0, 1, (uint8_t)(*flow >> 8), (uint8_t)*flow, 0, 53, 0, FRAME_BYTES - 34, 0, 0};
        memcpy(frame + 12, ip, sizeof(ip));
        *flow = *flow + 1 == FLOWS ? 0 : *flow + 1;
    }
    pb_forward(batch, outputs, 0);
}

static const struct pb_brick fill_brick = {
    .name = "Fill", .state_bytes = sizeof(uint32_t), .outputs_min = 1, .outputs_max = 1, .rewrites = 1, .process = fill};
PB_BRICK(fill_brick);

/* An engine that fills the buffers of net_null0, and is kept, so that they are. */
static void fill_buffers(void)
{
    add_output(add_brick("Fill", 1, "dpdk", "net_null0", ""), 0, "null:", "");
    check(pb_engine_start(engine, &error), &error);
    usleep(100000);
    check(pb_engine_stop(engine, &error), &error);
    engine = create("bench");
}

int main(int argc, char **argv)
{
    if (argc < 3 || (strncmp(argv[1], "memif", 5) == 0 && argc < 5)) {
        fprintf(stderr, "usage: dpdk forward|receive|memif|memif-copy|memif-null SECONDS [null:|dpdk: | SOCKET BYTES]\n");
        return 2;
    }
    double seconds = atof(argv[2]);
    char options[128];
    engine = create("fill");
    if (strncmp(argv[1], "memif", 5) == 0) {
        bool generates = strcmp(argv[1], "memif-null") != 0;
        snprintf(options, sizeof(options), "frames=%d&flows=%d", atoi(argv[4]), FLOWS);
        char device[64];
        snprintf(device, sizeof(device), "net_null0,size=%d", atoi(argv[4]));
        uint32_t node = generates ? add_brick("Dummy", 1, "null", "", options) : add_brick("Dummy", 1, "dpdk", device, "");
        char port[128];
        snprintf(port, sizeof(port), "memif:%s", argv[3]);
        add_output(node, 0, port, strcmp(argv[1], "memif") == 0 ? "role=client&wait=1&zero_copy=1" : "role=client&wait=1");
        measure("output", "memif", 2, seconds);
        return 0;
    }
    bool forwards = strcmp(argv[1], "forward") == 0;
    fill_buffers();
    uint32_t node = add_brick(forwards ? "LoadBalancer" : "Dummy", forwards ? OUTPUTS : 1, "dpdk", "net_null0", "");
    for (uint32_t i = 0; i < (forwards ? OUTPUTS : 1); i++) {
        char port[32];
        bool to_dpdk = argc > 3 && strcmp(argv[3], "dpdk:") == 0;
        snprintf(port, sizeof(port), to_dpdk ? "dpdk:net_null%u" : "null:", i + 1);
        add_output(node, i, port, "");
    }
    measure("input", "dpdk", 0, seconds);
    return 0;
}
