/*
 * split.c - what LoadBalancer costs beside the hash packet-bricks computes.
 *
 *   split SECONDS_PER_RUN RUNS
 *
 * All work on the same batches of 60-byte UDP frames of 10,000 flows, on one
 * core, taking turns of SECONDS_PER_RUN. Prints for each round one line of
 * packets/s: the bit-serial Toeplitz hash alone; LoadBalancer (parse, 4-tuple
 * hash, split into 4 vectors, flows counted); the same with hash = "toeplitz";
 * the same, symmetric, with tunnel = "inner" and fragments; the same with
 * hash = "nic" of packets that come with one.
 */
#include "../bricks/load_balancer/load_balancer.h"
#include "common.h"
#include "core/flow.h"
#include "engine/brick.h"

#define BATCH 256
#define FLOWS 10000
#define OUTPUTS 4
#define FRAME_BYTES 60
#define STRIDE 64

static uint8_t *frames;

static void make_frames(void)
{
    frames = calloc(FLOWS, STRIDE);
    for (uint32_t i = 0; i < FLOWS; i++) {
        uint8_t *frame = frames + (size_t)i * STRIDE, *ip = frame + 14;
        frame[12] = 0x08;
        ip[0] = 0x45;
        ip[3] = FRAME_BYTES - 14;
        ip[8] = 64;
        ip[9] = 17;
        uint32_t r = i * 2654435761u;
        memcpy(ip + 12, (const uint8_t[]){10, (uint8_t)(i >> 8), (uint8_t)i, 1, 192, 168, (uint8_t)(r >> 8), (uint8_t)r}, 8);
        memcpy(ip + 20, (const uint8_t[]){(uint8_t)(i >> 8), (uint8_t)i, 0, 80}, 4);
    }
}

static void make_batch(struct pb_packet *packets, uint32_t *flow)
{
    for (uint32_t i = 0; i < BATCH; i++) {
        pb_packet_init(&packets[i], frames + (size_t)*flow * STRIDE, FRAME_BYTES, FRAME_BYTES, 0, PB_LINK_ETHERNET);
        *flow = *flow + 1 == FLOWS ? 0 : *flow + 1;
    }
}

/* Toeplitz, bit by bit, over addresses and ports with the periodic key 50 6d:
 * for each bit set of the input the result takes the 32 key bits there. */
static uint32_t toeplitz(const uint8_t *input, uint32_t input_bytes)
{
    static const uint8_t key[] = {0x50, 0x6d, 0x50, 0x6d, 0x50, 0x6d, 0x50, 0x6d,
                                  0x50, 0x6d, 0x50, 0x6d, 0x50, 0x6d, 0x50, 0x6d};
    uint32_t window = 0x506d506d, hash = 0;
    for (uint32_t bit = 0; bit < input_bytes * 8; bit++) {
        if (input[bit / 8] & 0x80 >> bit % 8)
            hash ^= window;
        uint32_t next = (bit + 32) % (sizeof(key) * 8);
        window = window << 1 | (key[next / 8] >> (7 - next % 8) & 1);
    }
    return hash;
}

static double run_toeplitz(double seconds, uint32_t *sink)
{
    struct pb_packet packets[BATCH];
    uint32_t flow = 0;
    uint64_t done = 0;
    double start = now_s(), end;
    do {
        make_batch(packets, &flow);
        for (uint32_t i = 0; i < BATCH; i++)
            *sink += toeplitz(packets[i].data + 26, 12);
        done += BATCH;
    } while ((end = now_s()) - start < seconds);
    return (double)done / (end - start);
}

/* A LoadBalancer as an engine has it, but for ports. */
struct balancer {
    const struct pb_brick *brick;
    void *state;
    pb_counter counters[64], output_counters[OUTPUTS];
};

static void open_balancer(struct balancer *balancer, struct pb_load_balancer_config options)
{
    struct pb_error error = {0};
    balancer->brick = pb_brick_find("LoadBalancer");
    balancer->state = aligned_alloc(64, (balancer->brick->state_bytes + 63) / 64 * 64);
    struct pb_brick_setup setup = {.outputs = OUTPUTS,
                                   .level = 1,
                                   .config_bytes = sizeof(options),
                                   .counters = balancer->counters,
                                   .output_counters = balancer->output_counters};
    check(balancer->brick->init(balancer->state, &options, &setup, &error), &error);
}

/* As a driver hands over what the card computed. */
static void add_nic_hashes(struct pb_packet *packets, uint32_t flow)
{
    for (uint32_t i = 0; i < BATCH; i++)
        pb_packet_set_nic_hash(&packets[i], (flow + i) * 2654435761u);
}

static double run_balancer(const struct balancer *balancer, bool nic, double seconds, uint32_t *sink)
{
    struct pb_packet packets[BATCH];
    uint16_t identity[BATCH], index[OUTPUTS][BATCH];
    struct pb_vector vectors[OUTPUTS], *pointers[OUTPUTS];
    for (uint32_t i = 0; i < BATCH; i++)
        identity[i] = (uint16_t)i;
    for (uint32_t o = 0; o < OUTPUTS; o++) {
        vectors[o].index = index[o];
        pointers[o] = &vectors[o];
    }
    struct pb_outputs outputs = {.vectors = pointers, .count = OUTPUTS};
    uint32_t flow = 0;
    uint64_t done = 0;
    double start = now_s(), end;
    do {
        make_batch(packets, &flow);
        if (nic)
            add_nic_hashes(packets, flow);
        for (uint32_t o = 0; o < OUTPUTS; o++)
            vectors[o].count = 0;
        balancer->brick->process(balancer->state, &(struct pb_batch){.packets = packets, .index = identity, .count = BATCH}, &outputs);
        *sink += vectors[0].count;
        done += BATCH;
    } while ((end = now_s()) - start < seconds);
    return (double)done / (end - start);
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 0.2;
    int runs = argc > 2 ? atoi(argv[2]) : 5;
    uint32_t sink = 0;
    static struct balancer plain, bricks, options, nic;
    make_frames();
    open_balancer(&plain, (struct pb_load_balancer_config){.tuple = 4});
    open_balancer(&bricks, (struct pb_load_balancer_config){.tuple = 4, .hash = PB_LOAD_BALANCER_TOEPLITZ});
    open_balancer(&options, (struct pb_load_balancer_config){.tuple = 4, .inner = 1, .fragments = PB_FRAGMENTS_DEFAULT});
    open_balancer(&nic, (struct pb_load_balancer_config){.tuple = 4, .hash = PB_LOAD_BALANCER_NIC});
    for (int i = 0; i < runs; i++) {
        double bit_serial = run_toeplitz(seconds, &sink);
        double symmetric = run_balancer(&plain, false, seconds, &sink);
        double toeplitz_hash = run_balancer(&bricks, false, seconds, &sink);
        double with_options = run_balancer(&options, false, seconds, &sink);
        double nic_hash = run_balancer(&nic, true, seconds, &sink);
        printf("%.0f %.0f %.0f %.0f %.0f\n", bit_serial, symmetric, toeplitz_hash, with_options, nic_hash);
    }
    return sink == 12345;
}
