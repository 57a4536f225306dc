/*
 * test_balancer_flows.c - LoadBalancer as a brick: which flows it counts where, against an
 * exact count, on structured traffic; and that both directions of each are in one output.
 */
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

int main(void)
{
    test_sets();
    return 0;
}
