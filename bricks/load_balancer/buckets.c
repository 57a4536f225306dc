/* buckets.c - see buckets.h. */
#include "buckets.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/toeplitz.h"

/* A bijection of 64 bits that mixes well: the finalizer of splitmix64 (Steele, Lea and Flood, 2014). */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
    return x ^ x >> 31;
}

/* A number between 0 and 1 for each bucket and output. */
static double draw(uint32_t bucket, uint32_t output)
{
    uint32_t drawn = (uint32_t)(mix((uint64_t)output << 32 | bucket) >> 32);
    return ((double)drawn + 0.5) / 4294967296.0;
}

/* Smaller is better: the time to the first event of a process with that weight as its rate. */
static double cost_of(const struct pb_buckets *buckets, double drawn, uint32_t output)
{
    return -log(drawn) / buckets->weights[output];
}

/* A bijection of 16 bits: numbers that differ in few bits are far apart. */
static uint32_t scatter(uint32_t bucket)
{
    bucket = (bucket ^ bucket >> 8) * 0x88b5u & 0xffff;
    bucket = (bucket ^ bucket >> 7) * 0xdb2du & 0xffff;
    return bucket ^ bucket >> 9;
}

/* Ranges of buckets as the weights are. */
static void assign_ranges(struct pb_buckets *buckets, bool scattered)
{
    double sum = 0, before = 0;
    for (uint32_t i = 0; i < buckets->outputs; i++)
        sum += buckets->weights[i];
    uint16_t *by_place = buckets->now; /* not in use yet */
    uint32_t place = 0, last = 0;
    for (uint32_t i = 0; i < buckets->outputs; i++) {
        before += buckets->weights[i];
        uint32_t end = (uint32_t)ceil(PB_BUCKETS * before / sum);
        last = buckets->weights[i] > 0 ? i : last;
        for (; place < end && place < PB_BUCKETS; place++)
            by_place[place] = (uint16_t)i;
    }
    for (; place < PB_BUCKETS; place++) /* sums of fractions may end short of 1 */
        by_place[place] = (uint16_t)last;
    for (uint32_t bucket = 0; bucket < PB_BUCKETS; bucket++)
        buckets->home[bucket] = by_place[scattered ? scatter(bucket) : bucket];
}

static void make_narrow(struct pb_buckets *buckets)
{
    for (uint32_t bucket = 0; bucket < PB_BUCKETS; bucket++)
        buckets->narrow[bucket] = (uint8_t)buckets->now[bucket];
}

int pb_buckets_open(struct pb_buckets **opened, uint32_t outputs, const double *weights, enum pb_bucket_homes homes,
                    struct pb_error *error)
{
    struct pb_buckets *buckets = malloc(sizeof(*buckets));
    if (buckets == NULL)
        return pb_fail(error, ENOMEM, "no memory for the buckets of a balancer");
    buckets->outputs = outputs;
    for (uint32_t i = 0; i < outputs; i++) {
        buckets->weights[i] = weights == NULL ? 1 : weights[i];
        buckets->living[i] = true;
    }
    if (homes == PB_HOMES_TOEPLITZ)
        for (uint32_t bucket = 0; bucket < PB_BUCKETS; bucket++)
            buckets->home[bucket] = (uint16_t)(pb_toeplitz_hash(bucket) % outputs);
    else
        assign_ranges(buckets, homes == PB_HOMES_SCATTERED);
    memcpy(buckets->now, buckets->home, sizeof(buckets->now));
    make_narrow(buckets);
    *opened = buckets;
    return 0;
}

/* Outputs, by number. */
struct list {
    uint16_t output[PB_OUTPUTS_MAX];
    uint32_t count;
};

/* The best of `list` and of `best`, which is one of them or PB_OUTPUTS_MAX: none. Of equals the lowest number. */
static uint32_t best_of(const struct pb_buckets *buckets, uint32_t bucket, const struct list *list, uint32_t best)
{
    double least = best == PB_OUTPUTS_MAX ? INFINITY : cost_of(buckets, draw(bucket, best), best);
    for (uint32_t i = 0; i < list->count; i++) {
        uint32_t output = list->output[i];
        double drawn = draw(bucket, output);
        /* -log(x) is more than 1 - x: most need no logarithm, which would be most of the work. */
        if (best != PB_OUTPUTS_MAX && (1 - drawn) / buckets->weights[output] >= least)
            continue;
        double cost = cost_of(buckets, drawn, output);
        /* By a weight near zero the cost is infinite: that is better than no output. */
        if (cost < least || (cost == least && output < best)) {
            least = cost;
            best = output;
        }
    }
    return best;
}

void pb_buckets_set_living(struct pb_buckets *buckets, const bool *living)
{
    struct list all = {.count = 0}, came = {.count = 0};
    for (uint32_t i = 0; i < buckets->outputs; i++) {
        if (!living[i] || buckets->weights[i] == 0)
            continue;
        all.output[all.count++] = (uint16_t)i;
        if (!buckets->living[i])
            came.output[came.count++] = (uint16_t)i;
    }
    for (uint32_t bucket = 0; bucket < PB_BUCKETS; bucket++) {
        uint32_t home = buckets->home[bucket], now = buckets->now[bucket];
        if (living[home] || all.count == 0)
            now = home;
        else if (now != home && living[now])
            now = best_of(buckets, bucket, &came, now); /* the best of those who lived before and still do */
        else
            now = best_of(buckets, bucket, &all, PB_OUTPUTS_MAX);
        buckets->now[bucket] = (uint16_t)now;
    }
    make_narrow(buckets);
    memcpy(buckets->living, living, buckets->outputs * sizeof(*living));
}

void pb_buckets_close(struct pb_buckets *buckets)
{
    free(buckets);
}
