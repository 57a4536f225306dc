/*
 * load_balancer.h - LoadBalancer's options as load_balancer.ts packs them, for
 * load_balancer.c, and for tests and benchmarks that make engines in C.
 */
#ifndef PB_LOAD_BALANCER_H
#define PB_LOAD_BALANCER_H

#include <stdint.h>

/* In the order of the option's values. */
enum pb_load_balancer_hash { PB_LOAD_BALANCER_SYMMETRIC, PB_LOAD_BALANCER_TOEPLITZ, PB_LOAD_BALANCER_NIC };

/* Behind it one weight, a double, for each output, or nothing. */
struct pb_load_balancer_config {
    uint32_t tuple;     /* 2, 4 or 5 */
    uint32_t hash;      /* enum pb_load_balancer_hash */
    uint32_t inner;     /* 1: by what tunnels carry */
    uint32_t fragments; /* datagrams to remember; 0: none */
    uint32_t rehash;    /* 1: flows leave an output that nobody reads */
    uint32_t weights;   /* how many follow */
};

#endif
