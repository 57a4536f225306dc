/*
 * bpf_chain.h - chains of comparisons in a BPF program.
 *
 * "host a or host b or ..." becomes "is A a? is A b? ...", a comparison for each. A
 * table that a multiplication leads into, one place for each value, tells with one
 * comparison whether A is any of them: at about the cost of three, and the processor
 * has one branch to predict instead of many.
 *
 * Used by the compiler of machine code, on the control thread; the caller frees.
 */
#ifndef PB_BPF_CHAIN_H
#define PB_BPF_CHAIN_H

#include "bpf_program.h"

#define PB_BPF_TARGETS_DIFFER UINT32_MAX

/* The steps that are left when chains are taken for one, and the tables. */
struct pb_bpf_chains {
    uint32_t count;      /* steps of the program */
    uint8_t *marks;      /* by step: whether it can be reached, and begins a chain */
    struct pb_bpf_chain *list;
    uint32_t list_count;
};

struct pb_bpf_chain {
    uint32_t first;      /* step */
    uint32_t otherwise;  /* where to go on when A is none of the values */
    uint32_t target;     /* ... any of them; or PB_BPF_TARGETS_DIFFER: look at each */
    uint32_t multiplier, shift; /* A is at table[A * multiplier >> shift], or nowhere */
    uint32_t *table;
    uint32_t table_count;
};

/* 0, or -ENOMEM. */
int pb_bpf_chains_find(const struct pb_bpf_program *program, struct pb_bpf_chains *chains);
void pb_bpf_chains_free(struct pb_bpf_chains *chains);

/* The first step from `step` on that can be reached; the count of steps: none. */
uint32_t pb_bpf_chains_next(const struct pb_bpf_chains *chains, uint32_t step);
bool pb_bpf_chains_begins(const struct pb_bpf_chains *chains, uint32_t step);
/* The chain that begins at a step. */
void pb_bpf_chain_get(const struct pb_bpf_chains *chains, uint32_t first, struct pb_bpf_chain *chain);

#endif
