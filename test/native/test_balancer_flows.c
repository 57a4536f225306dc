/*
 * test_balancer_flows.c - LoadBalancer as a brick: which flows it counts where, against an
 * exact count, on structured traffic, and that both directions of each are in one output; and
 * the split by the hash of the network card.
 */
#include <errno.h>
#include <math.h>

#include "check.h"
#include "balancer_bed.h"

struct flow {
    uint32_t source, destination; /* addresses */
    uint16_t source_port, destination_port;
};

#define NET 0x0a000000u /* 10.0.0.0 */
#define SIDE 400        /* flows of the sets of pairs: SIDE * SIDE, or about half of it */

/* Sets of distinct flows, none of them another's other direction; false behind the last. */
enum set { PAIRS_OF_A_SUBNET, TWO_SUBNETS, I_WITH_I, SUMS_ALIKE, ONE_SERVER, SEQUENTIAL_PORTS, PORT_PAIRS, ONE_HOST, HIGH_BYTES, SETS };

static bool flow_of(enum set set, uint32_t a, uint32_t b, struct flow *flow)
{
    uint32_t i = a * SIDE + b;
    *flow = (struct flow){NET + i, NET + (1 << 24) + i, 5000, 5000};
    switch (set) {
    case PAIRS_OF_A_SUBNET: /* as within a rack, where i + j of many pairs is the same */
        *flow = (struct flow){NET + a, NET + b, 5000, 5000};
        return a < b;
    case TWO_SUBNETS:
        *flow = (struct flow){NET + a, NET + 0x10000 + b, 40000, 443};
        return true;
    case SUMS_ALIKE:
        *flow = (struct flow){NET + i, NET + 2 * SIDE * SIDE - i, 5000, 5000};
        return true;
    case ONE_SERVER:
        *flow = (struct flow){NET + i, 0xc0000201, 1024, 443};
        return true;
    case SEQUENTIAL_PORTS:
        *flow = (struct flow){NET + a / 8, 0xc0000201, (uint16_t)(1024 + a % 8 * SIDE + b), 443};
        return true;
    case PORT_PAIRS:
        *flow = (struct flow){NET + 1, NET + 2, (uint16_t)(1024 + a), (uint16_t)(1024 + b)};
        return true;
    case ONE_HOST:
        *flow = (struct flow){0x7f000001, 0x7f000001, (uint16_t)(1024 + a), (uint16_t)(1024 + b)};
        return a < b;
    case HIGH_BYTES: /* addresses that differ in their first bytes only */
        *flow = (struct flow){a << 20, b << 20, 5000, 5000};
        return a < b;
    case I_WITH_I:
    case SETS:
        break;
    }
    return true;
}

static void make_frame(uint8_t *frame, const struct flow *flow, bool reverse)
{
    uint32_t from = htobe32(reverse ? flow->destination : flow->source), to = htobe32(reverse ? flow->source : flow->destination);
    uint16_t from_port = htobe16(reverse ? flow->destination_port : flow->source_port);
    uint16_t to_port = htobe16(reverse ? flow->source_port : flow->destination_port);
    uint8_t *ip = frame + PB_ETHERNET_BYTES;
    memset(frame, 0, BED_BYTES);
    frame[12] = 0x08;
    ip[0] = 0x45;
    ip[3] = BED_BYTES - PB_ETHERNET_BYTES;
    ip[9] = PB_PROTOCOL_UDP;
    memcpy(ip + 12, &from, 4);
    memcpy(ip + 16, &to, 4);
    memcpy(ip + 20, &from_port, 2);
    memcpy(ip + 22, &to_port, 2);
}

/* Squares and count of the relative errors of all estimates, for their standard error. */
static double squares;
static uint32_t estimates;

/* Every flow of a set in both directions through a balancer; each flow is counted by hand where it went. */
static void test_set(enum set set, struct pb_load_balancer_config options, uint32_t outputs)
{
    static struct bed bed;
    uint32_t truth[BED_OUTPUTS_MAX] = {0}, where[BED_PACKETS];
    bed_open(&bed, options, outputs, 0);
    for (uint32_t a = 0; a < SIDE; a++)
        for (uint32_t b = 0; b < SIDE;) {
            uint32_t count = 0;
            for (; b < SIDE && count < BED_PACKETS; b++) {
                struct flow flow;
                if (!flow_of(set, a, b, &flow))
                    continue;
                for (uint32_t reverse = 0; reverse < 2; reverse++, count++) {
                    make_frame(bed.frames[count], &flow, reverse);
                    bed_packet(&bed, count);
                }
            }
            bed_run(&bed, count, where);
            for (uint32_t i = 0; i < count; i += 2) {
                CHECK_EQUAL(where[i], where[i + 1]);
                truth[where[i]]++;
            }
        }
    for (uint32_t o = 0; o < outputs; o++) {
        double shown = (double)pb_counter_get(&bed.output_counters[o]);
        double error = truth[o] == 0 ? shown : shown / truth[o] - 1;
        CHECK(fabs(error) <= 4 * 0.026);
        squares += error * error;
        estimates += truth[o] != 0;
    }
    bed_close(&bed);
}

static void test_sets(void)
{
    static const uint32_t hashes[] = {PB_LOAD_BALANCER_SYMMETRIC, PB_LOAD_BALANCER_TOEPLITZ};
    for (enum set set = 0; set < SETS; set++)
        for (uint32_t h = 0; h < 2; h++)
            for (uint32_t outputs = 1; outputs <= 7; outputs += 3)
                test_set(set, (struct pb_load_balancer_config){.tuple = 4, .hash = hashes[h]}, outputs);
    /* 2.6 % is the standard error; that of so many estimates is within a quarter of it. */
    CHECK(estimates > 150);
    CHECK(sqrt(squares / estimates) < 0.026 * 1.25);
}

/* With more outputs than a byte has values, and with as many: packet-bricks' modulo. */
static void test_toeplitz_outputs(void)
{
    static struct bed bed;
    for (uint32_t outputs = 255; outputs <= 258; outputs++) {
        uint32_t where[BED_PACKETS];
        bed_open(&bed, (struct pb_load_balancer_config){.tuple = 4, .hash = PB_LOAD_BALANCER_TOEPLITZ}, outputs, 0);
        for (uint32_t a = 0; a < SIDE; a++) {
            for (uint32_t i = 0; i < BED_PACKETS; i++) {
                struct flow flow;
                CHECK(flow_of(TWO_SUBNETS, a, i, &flow));
                make_frame(bed.frames[i], &flow, false);
                bed_packet(&bed, i);
            }
            bed_run(&bed, BED_PACKETS, where);
            for (uint32_t i = 0; i < BED_PACKETS; i++) {
                pb_parse(&bed.packets[i]);
                uint32_t word = pb_toeplitz_word(&bed.packets[i], &bed.packets[i].headers, 4, 1);
                CHECK_EQUAL(where[i], pb_toeplitz_hash(word) % outputs);
            }
        }
        bed_close(&bed);
    }
}

/* ------------------------------------------------------------- the card's hash */

static const struct pb_load_balancer_config nic = {.tuple = 4, .hash = PB_LOAD_BALANCER_NIC};

/* Where packets go that have these hashes and nothing else: no byte of them is looked at. */
static void run_marked(struct bed *bed, const uint32_t *hashes, uint32_t count, uint32_t *where)
{
    for (uint32_t from = 0; from < count; from += BED_PACKETS) {
        uint32_t some = count - from < BED_PACKETS ? count - from : BED_PACKETS;
        for (uint32_t i = 0; i < some; i++) {
            pb_packet_init(&bed->packets[i], NULL, 60, 60, 0, PB_LINK_ETHERNET);
            pb_packet_set_nic_hash(&bed->packets[i], hashes[from + i]);
        }
        bed_run(bed, some, where + from);
    }
}

/* Chi-square of the outputs of those packets whose parent (NULL: there is none) chose output 0. */
static double chi_square(const uint32_t *where, const uint32_t *parent, uint32_t count, uint32_t outputs)
{
    double counts[BED_OUTPUTS_MAX] = {0}, total = 0, chi = 0;
    for (uint32_t i = 0; i < count; i++)
        if (parent == NULL || parent[i] == 0) {
            counts[where[i]]++;
            total++;
        }
    for (uint32_t o = 0; o < outputs; o++)
        chi += (counts[o] - total / outputs) * (counts[o] - total / outputs) / (total / outputs);
    return chi;
}

/*
 * By the card's hash alone, evenly, also where a queue has but hashes of alike low bits, or
 * all are of a key that repeats every 16 bits; below another balancer anew; and it is flows that
 * are counted. Level 0.0001 of chi-square with 6 degrees of freedom: 27.86.
 */
static void test_nic(void)
{
    enum { COUNT = 20000, OUTPUTS = 7 };
    static uint32_t hashes[COUNT], top_where[COUNT], below_where[COUNT], again[COUNT];
    static struct bed top, below;
    for (uint32_t set = 0; set < 3; set++) {
        bed_open(&top, nic, OUTPUTS, 0);
        bed_open(&below, nic, OUTPUTS, 1);
        for (uint32_t i = 0; i < COUNT; i++)
            hashes[i] = set == 0 ? i : set == 1 ? i << 7 | 5 : i * 0x10001;
        run_marked(&top, hashes, COUNT, top_where);
        run_marked(&top, hashes, COUNT, again);
        run_marked(&below, hashes, COUNT, below_where);
        CHECK_EQUAL(memcmp(top_where, again, sizeof(again)), 0);
        CHECK(chi_square(top_where, NULL, COUNT, OUTPUTS) < 27.86);
        CHECK(chi_square(below_where, NULL, COUNT, OUTPUTS) < 27.86);
        CHECK(chi_square(below_where, top_where, COUNT, OUTPUTS) < 27.86);
        double flows = 0;
        for (uint32_t o = 0; o < OUTPUTS; o++)
            flows += (double)pb_counter_get(&top.output_counters[o]);
        CHECK(fabs(flows / COUNT - 1) < 4 * 0.026 / sqrt(OUTPUTS));
        bed_close(&top);
        bed_close(&below);
    }
}

/* Packets that the card gave none are where the symmetric hash sends them, with the tuple; a mark is no hash. */
static void test_nic_without(void)
{
    static struct bed bed, symmetric;
    for (uint32_t tuple = 2; tuple <= 5; tuple += tuple == 2 ? 2 : 1) {
        uint32_t where[BED_PACKETS], expected[BED_PACKETS];
        bed_open(&bed, (struct pb_load_balancer_config){.tuple = tuple, .hash = PB_LOAD_BALANCER_NIC}, 5, 0);
        bed_open(&symmetric, (struct pb_load_balancer_config){.tuple = tuple}, 5, 0);
        for (uint32_t i = 0; i < BED_PACKETS; i++) {
            struct flow flow;
            CHECK(flow_of(TWO_SUBNETS, i, i, &flow));
            make_frame(bed.frames[i], &flow, i & 1);
            make_frame(symmetric.frames[i], &flow, i & 1);
            bed_packet(&bed, i);
            bed_packet(&symmetric, i);
            if (i % 3 == 0)
                pb_packet_set_mark(&bed.packets[i], 42);
        }
        bed_run(&bed, BED_PACKETS, where);
        bed_run(&symmetric, BED_PACKETS, expected);
        CHECK_EQUAL(memcmp(where, expected, sizeof(where)), 0);
        bed_close(&bed);
        bed_close(&symmetric);
    }
}

/* Weights hold by the card's hash as well. */
static void test_nic_weights(void)
{
    enum { COUNT = 30000 };
    static uint32_t hashes[COUNT], where[COUNT];
    static struct bed bed;
    struct pb_load_balancer_config options = nic;
    options.weights = 3;
    bed_open_weighted(&bed, options, (const double[]){1, 0, 2}, 3, 0);
    for (uint32_t i = 0; i < COUNT; i++)
        hashes[i] = i;
    run_marked(&bed, hashes, COUNT, where);
    uint32_t counts[3] = {0};
    for (uint32_t i = 0; i < COUNT; i++)
        counts[where[i]]++;
    CHECK_EQUAL(counts[1], 0);
    CHECK(fabs(counts[0] - COUNT / 3.0) < 5 * sqrt(COUNT * 2 / 9.0));
    bed_close(&bed);
}

/* While an output is not read its flows, and no others, are with the rest; then they are back. */
static void test_nic_rehash(void)
{
    enum { COUNT = 5000, OUTPUTS = 4, DEAD = 2 };
    static uint32_t hashes[COUNT], all[COUNT], without[COUNT], again[COUNT];
    static struct bed bed;
    struct pb_load_balancer_config options = nic;
    options.rehash = 1;
    bed_open(&bed, options, OUTPUTS, 0);
    for (uint32_t i = 0; i < COUNT; i++)
        hashes[i] = i * 0x10001;
    run_marked(&bed, hashes, COUNT, all);
    bed_desert(&bed, DEAD, true);
    run_marked(&bed, hashes, COUNT, without);
    bed_desert(&bed, DEAD, false);
    run_marked(&bed, hashes, COUNT, again);
    uint32_t moved[OUTPUTS] = {0};
    for (uint32_t i = 0; i < COUNT; i++) {
        CHECK_EQUAL(again[i], all[i]);
        CHECK(all[i] == DEAD || without[i] == all[i]);
        moved[without[i]] += all[i] == DEAD;
    }
    CHECK_EQUAL(moved[DEAD], 0);
    CHECK(moved[0] > 300 && moved[1] > 300 && moved[3] > 300); /* about a third of 1250 each */
    bed_close(&bed);
}

/*
 * What a balancer leaves of the card's hash to those below it is the same for all packets of a flow:
 * plain, with IP options, a fragment. By the symmetric hash nothing, else all.
 */
static void test_nic_left(void)
{
    static const struct pb_load_balancer_config parents[] = {
        {.tuple = 4},
        {.tuple = 4, .inner = 1, .fragments = 64},
        {.tuple = 4, .hash = PB_LOAD_BALANCER_TOEPLITZ},
        {.tuple = 4, .hash = PB_LOAD_BALANCER_TOEPLITZ, .inner = 1, .fragments = 64},
        {.tuple = 4, .hash = PB_LOAD_BALANCER_NIC},
    };
    static struct bed bed;
    for (uint32_t p = 0; p < sizeof(parents) / sizeof(parents[0]); p++) {
        uint32_t where[BED_PACKETS];
        bed_open(&bed, parents[p], 2, 0);
        for (uint32_t i = 0; i < 3; i++) {
            struct flow flow;
            CHECK(flow_of(I_WITH_I, 0, 7, &flow));
            make_frame(bed.frames[i], &flow, false);
            bed_packet(&bed, i);
            pb_packet_set_nic_hash(&bed.packets[i], 77);
        }
        bed.frames[1][14] = 0x46; /* with options */
        bed.frames[2][20] = 0x20; /* more fragments */
        bed_run(&bed, 3, where);
        for (uint32_t i = 0; i < 3; i++)
            CHECK_EQUAL(bed.packets[i].hash_tuple == PB_HASH_TUPLE_NIC && bed.packets[i].flow_hash == 77,
                        parents[p].hash != PB_LOAD_BALANCER_SYMMETRIC);
        bed_close(&bed);
    }
}

/* The card knows neither tunnels nor fragments: refused, with a text that says so. */
static void test_nic_refused(void)
{
    const struct pb_brick *brick = pb_brick_find("LoadBalancer");
    for (uint32_t i = 0; i < 2; i++) {
        struct pb_load_balancer_config options = nic;
        options.inner = i == 0;
        options.fragments = i;
        struct pb_error error = {0};
        struct pb_brick_setup setup = {.outputs = 2, .config_bytes = sizeof(options)};
        _Alignas(64) uint8_t state[1024];
        CHECK(brick->state_bytes <= sizeof(state));
        CHECK_EQUAL(brick->init(state, &options, &setup, &error), -EINVAL);
        CHECK(strstr(error.text, "hash = \"nic\"") != NULL);
    }
}

int main(void)
{
    test_sets();
    test_toeplitz_outputs();
    test_nic();
    test_nic_without();
    test_nic_weights();
    test_nic_rehash();
    test_nic_left();
    test_nic_refused();
    return 0;
}
