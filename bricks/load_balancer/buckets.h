/*
 * buckets.h - which output a flow belongs to where a multiplication cannot say:
 * with weights, and where flows leave an output that nobody reads.
 *
 * Flows fall into 65536 buckets: by 16 bits of their hash, or by the word that
 * their Toeplitz hash depends on (core/toeplitz.h). Each bucket has a
 * home: ranges of buckets as the weights are, exact to one bucket; for the
 * Toeplitz hash without weights, where packet-bricks sends its flows. While a
 * bucket's home is dead, the bucket is with the living output that scores
 * highest for it: rendezvous hashing (Thaler and Ravishankar, 1998), weighted
 * by the logarithmic method (Schindelhauer and Schomaker, 2005). So when an
 * output dies only its own flows move, spread over the living as their weights
 * are, and when it comes back exactly they return. It depends on nothing but who
 * lives: no history, the same in every run.
 *
 * Made on the control thread, used on the engine thread; the memory is its own.
 */
#ifndef PB_BUCKETS_H
#define PB_BUCKETS_H

#include <stdbool.h>
#include <stdint.h>

#include "packet_bricks.h"

#define PB_BUCKETS 65536
#define PB_BUCKETS_NARROW 256

/* How homes follow from bucket numbers. */
enum pb_bucket_homes {
    PB_HOMES_RANGES,    /* bucket numbers are the high bits of an even hash */
    PB_HOMES_TOEPLITZ,  /* they are words of toeplitz.h: their hash modulo the outputs */
    PB_HOMES_SCATTERED, /* they are such words, which are not even: ranges of mixed numbers */
};

struct pb_buckets {
    uint16_t now[PB_BUCKETS];  /* the output of each bucket */
    uint8_t narrow[PB_BUCKETS]; /* the same, where there are at most PB_BUCKETS_NARROW outputs: half the cache */
    uint16_t home[PB_BUCKETS]; /* as `now`, while all live */
    uint32_t outputs;
    double weights[PB_OUTPUTS_MAX];
    bool living[PB_OUTPUTS_MAX];
};

/* `weights`: one for each output, not negative, the sum more than 0; NULL: all alike.
 * All outputs live. 0, or -ENOMEM with the text. */
int pb_buckets_open(struct pb_buckets **buckets, uint32_t outputs, const double *weights, enum pb_bucket_homes homes,
                    struct pb_error *error);

/* Who lives now. Where nobody does, every bucket is at home. An output of weight 0
 * takes none of another's. Costs up to 1 ms where one output comes or goes, 0.1 s where half of 1024
 * go at once. */
void pb_buckets_set_living(struct pb_buckets *buckets, const bool *living);

void pb_buckets_close(struct pb_buckets *buckets);

#endif
