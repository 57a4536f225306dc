/*
 * test_load_balancer.c - the inside of LoadBalancer: which output a bucket belongs
 * to, whoever lives, against an obvious model; the count of flows against the truth.
 */
#include <math.h>

#include "../bricks/load_balancer/buckets.h"
#include "../bricks/load_balancer/flow_estimate.h"
#include "check.h"
#include "core/hash.h"
#include "core/toeplitz.h"

static uint64_t random_state = 88172645463325252ULL;

/* xorshift64* (Vigna, 2016): what is hashed and who dies. */
static uint32_t random32(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)(random_state * 2685821657736338717ULL >> 32);
}

static struct pb_buckets *open_buckets(uint32_t outputs, const double *weights, enum pb_bucket_homes homes)
{
    struct pb_error error;
    struct pb_buckets *buckets;
    CHECK_EQUAL(pb_buckets_open(&buckets, outputs, weights, homes, &error), 0);
    return buckets;
}

/* Without weights: what multiply and shift, or packet-bricks' modulo, say. */
static void test_homes(void)
{
    for (uint32_t outputs = 1; outputs <= PB_OUTPUTS_MAX; outputs += outputs < 20 ? 1 : 91) {
        struct pb_buckets *even = open_buckets(outputs, NULL, PB_HOMES_RANGES);
        struct pb_buckets *bricks = open_buckets(outputs, NULL, PB_HOMES_TOEPLITZ);
        for (uint32_t bucket = 0; bucket < PB_BUCKETS; bucket++) {
            CHECK_EQUAL(even->now[bucket], pb_hash_output(bucket << 16, 0, outputs));
            CHECK_EQUAL(bricks->now[bucket], pb_toeplitz_hash(bucket) % outputs);
            CHECK(outputs > PB_BUCKETS_NARROW || bricks->narrow[bucket] == bricks->now[bucket]);
        }
        pb_buckets_close(even);
        pb_buckets_close(bricks);
    }
}

/* Shares are what the weights say, to one bucket; also of fractions, and of nothing. */
static void test_weights(void)
{
    static const double sets[][5] = {{1, 1, 2, 0, 0}, {0.1, 0.2, 0.3, 0.1, 0.3}, {0, 5, 0, 5, 0}, {1e6, 1, 1, 1, 1}, {0, 0, 0, 0, 1e-3}};
    for (uint32_t s = 0; s < 5; s++)
        for (uint32_t homes = PB_HOMES_RANGES; homes <= PB_HOMES_SCATTERED; homes += 2) {
            struct pb_buckets *buckets = open_buckets(5, sets[s], homes);
            double counts[5] = {0}, sum = 0;
            for (uint32_t i = 0; i < 5; i++)
                sum += sets[s][i];
            for (uint32_t bucket = 0; bucket < PB_BUCKETS; bucket++)
                counts[buckets->now[bucket]]++;
            for (uint32_t i = 0; i < 5; i++)
                CHECK(fabs(counts[i] - PB_BUCKETS * sets[s][i] / sum) <= 1);
            pb_buckets_close(buckets);
        }
}

/* The share of an output among the living. */
static double share(const double *weights, const bool *living, uint32_t outputs, uint32_t output)
{
    double sum = 0;
    for (uint32_t i = 0; i < outputs; i++)
        sum += living[i] ? weights[i] : 0;
    return living[output] ? weights[output] / sum : 0;
}

/*
 * Outputs die and come back at random, sometimes several at once. Whatever was
 * before: a bucket whose home lives is at home; nobody dead has any while somebody
 * lives; where one died, only its buckets moved; where one came, buckets moved only to it; who has what
 * depends on who lives alone; and the buckets of the dead are shared as the weights are.
 */
static void test_living(uint32_t outputs, bool weighted)
{
    double weights[PB_OUTPUTS_MAX];
    bool living[PB_OUTPUTS_MAX], before[PB_OUTPUTS_MAX];
    static uint16_t was[PB_BUCKETS];
    for (uint32_t i = 0; i < outputs; i++) {
        weights[i] = weighted ? 1 + i % 4 : 1;
        living[i] = true;
    }
    struct pb_buckets *buckets = open_buckets(outputs, weighted ? weights : NULL, PB_HOMES_RANGES);
    for (uint32_t round = 0; round < 60; round++) {
        memcpy(before, living, sizeof(before));
        memcpy(was, buckets->now, sizeof(was));
        for (uint32_t changes = 1 + round % 3; changes > 0; changes--)
            living[random32() % outputs] ^= true;
        pb_buckets_set_living(buckets, living);
        uint32_t alive = 0, displaced = 0;
        for (uint32_t i = 0; i < outputs; i++)
            alive += living[i];
        double counts[PB_OUTPUTS_MAX] = {0};
        for (uint32_t bucket = 0; bucket < PB_BUCKETS; bucket++) {
            uint32_t home = buckets->home[bucket], now = buckets->now[bucket];
            CHECK_EQUAL(buckets->narrow[bucket], now);
            if (living[home] || alive == 0) {
                CHECK_EQUAL(now, home);
                continue;
            }
            CHECK(living[now]);
            displaced++;
            counts[now]++;
            if (now != was[bucket])
                CHECK(!living[was[bucket]] || !before[now] || !before[was[bucket]]);
        }
        for (uint32_t i = 0; displaced > 0 && i < outputs; i++) {
            double p = share(weights, living, outputs, i), expected = displaced * p;
            CHECK(fabs(counts[i] - expected) <= 5 * sqrt(displaced * p * (1 - p)) + 1e-9);
        }
        struct pb_buckets *fresh = open_buckets(outputs, weighted ? weights : NULL, PB_HOMES_RANGES);
        pb_buckets_set_living(fresh, living);
        CHECK_EQUAL(memcmp(fresh->now, buckets->now, sizeof(was)), 0);
        pb_buckets_close(fresh);
    }
    pb_buckets_close(buckets);
}

/* An output of weight 0 gets nothing of another's; where only such live, flows stay at home. */
static void test_weightless(void)
{
    struct pb_buckets *buckets = open_buckets(3, (const double[]){1, 1, 0}, PB_HOMES_RANGES);
    pb_buckets_set_living(buckets, (const bool[]){false, true, true});
    for (uint32_t bucket = 0; bucket < PB_BUCKETS; bucket++)
        CHECK_EQUAL(buckets->now[bucket], 1);
    pb_buckets_set_living(buckets, (const bool[]){false, false, true});
    CHECK_EQUAL(memcmp(buckets->now, buckets->home, sizeof(buckets->now)), 0);
    pb_buckets_close(buckets);
}

/* However small a weight is, its output takes over when no other is left. */
static void test_tiny_weight(void)
{
    struct pb_buckets *buckets = open_buckets(2, (const double[]){1, 1e-320}, PB_HOMES_RANGES);
    pb_buckets_set_living(buckets, (const bool[]){false, true});
    for (uint32_t bucket = 0; bucket < PB_BUCKETS; bucket++)
        CHECK_EQUAL(buckets->now[bucket], 1);
    pb_buckets_close(buckets);
}

/*
 * 60 runs of each count of flows over 4 outputs, each flow seen three times. The mean
 * is within 5 standard errors of a mean of 240 (2.6 % / sqrt(240) each), no estimate further than 5 of its own.
 */
static void test_estimates(void)
{
    static const uint32_t counts[] = {1, 10, 100, 1000, 10000, 100000};
    for (uint32_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
        double errors = 0;
        uint32_t runs = c == 5 ? 15 : 60;
        for (uint32_t run = 0; run < runs; run++) {
            struct pb_flow_estimates estimates;
            struct pb_error error;
            pb_counter shown[4] = {0};
            uint32_t truth[4] = {0};
            CHECK_EQUAL(pb_flow_estimates_open(&estimates, 4, shown, &error), 0);
            for (uint32_t flow = 0; flow < counts[c] * 4; flow++) {
                uint32_t hash = random32(), output = pb_hash_output(hash, 0, 4);
                truth[output]++;
                uint64_t before = 0;
                for (uint32_t packet = 0; packet < 3; packet++) {
                    pb_flow_estimates_add(&estimates, output, hash);
                    CHECK(packet == 0 || pb_counter_get(&shown[output]) == before);
                    before = pb_counter_get(&shown[output]);
                }
            }
            for (uint32_t o = 0; o < 4; o++) {
                double error_here = truth[o] == 0 ? 0 : (double)pb_counter_get(&shown[o]) / truth[o] - 1;
                CHECK(fabs(error_here) <= 5 * 0.026 || fabs(error_here * truth[o]) < 2);
                errors += error_here;
            }
            pb_flow_estimates_close(&estimates);
        }
        double mean = errors / (runs * 4);
        CHECK(fabs(mean) <= 5 * 0.026 / sqrt(runs * 4));
    }
}

/* Under a parent's choice and for many outputs the low bits are as good. */
static void test_estimates_below(void)
{
    enum { OUTPUTS = 256, FLOWS = 2000 };
    struct pb_flow_estimates estimates;
    struct pb_error error;
    static pb_counter shown[OUTPUTS];
    uint32_t truth[OUTPUTS] = {0};
    CHECK_EQUAL(pb_flow_estimates_open(&estimates, OUTPUTS, shown, &error), 0);
    for (uint32_t flow = 0; flow < OUTPUTS * FLOWS * 4; flow++) {
        uint32_t hash = random32();
        if (pb_hash_output(hash, 0, 4) != 1)
            continue;
        uint32_t output = pb_hash_output(hash, 1, OUTPUTS);
        truth[output]++;
        pb_flow_estimates_add(&estimates, output, hash);
    }
    double squares = 0;
    for (uint32_t o = 0; o < OUTPUTS; o++) {
        double error_here = (double)pb_counter_get(&shown[o]) / truth[o] - 1;
        squares += error_here * error_here;
    }
    /* The standard error itself, from 256 of them: 2.6 %, give or take a fifth. */
    CHECK(sqrt(squares / OUTPUTS) < 0.026 * 1.2);
    pb_flow_estimates_close(&estimates);
}

int main(void)
{
    test_homes();
    test_weights();
    test_living(3, false);
    test_living(7, true);
    test_living(40, false);
    test_weightless();
    test_tiny_weight();
    test_estimates();
    test_estimates_below();
    return 0;
}
