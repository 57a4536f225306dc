/* bpf_chain.c - finds chains of comparisons, and makes their tables. See bpf_chain.h. */
#include "bpf_chain.h"

#include <errno.h>
#include <stdlib.h>

#define VALUES_MIN 4   /* of a chain that is worth a table */
#define VALUES_MAX 256 /* more are several chains: for many more no multiplier would be found */
#define TRIES 200      /* multipliers, before the table is made larger */
#define LOAD_SHIFT_MAX 4 /* a table has at most 2 << 4 places for each value */

enum { REACHED = 1, BEGINS = 2 };

/* Steps of the chain that begins at `first`; *otherwise: where it leads when nothing matched, or to the rest of it. */
static uint32_t chain_length(const struct pb_bpf_program *program, uint32_t first, uint32_t *otherwise)
{
    uint32_t length = 0;
    for (*otherwise = first; program->steps[*otherwise].operation == PB_BPF_JEQ_K && length < VALUES_MAX;
         *otherwise = program->steps[*otherwise].jf)
        length++;
    return length;
}

/* Put the values of a chain into its table; false: two of them fall into one place. */
static bool fill(const struct pb_bpf_program *program, struct pb_bpf_chain *chain, uint8_t *taken)
{
    memset(taken, 0, chain->table_count);
    for (uint32_t i = chain->first; i != chain->otherwise; i = program->steps[i].jf) {
        uint32_t value = program->steps[i].k, place = value * chain->multiplier >> chain->shift;
        if (taken[place] && chain->table[place] != value)
            return false;
        taken[place] = 1;
        chain->table[place] = value;
    }
    /* A free place holds the first value, whose own place is another: A is never both there and equal. */
    for (uint32_t place = 0; place < chain->table_count; place++)
        if (!taken[place])
            chain->table[place] = program->steps[chain->first].k;
    return true;
}

/* Find a multiplier that parts all values, in a table as small as can be. 0; -ENOENT: none was found; -ENOMEM. */
static int make_table(const struct pb_bpf_program *program, struct pb_bpf_chain *chain, uint32_t length)
{
    uint32_t bits = 3, random = 0x9e3779b9u;
    while (1u << bits < 2 * length)
        bits++;
    for (uint32_t end = bits + LOAD_SHIFT_MAX; bits <= end && bits < 20; bits++) {
        chain->table_count = 1u << bits;
        chain->shift = 32 - bits;
        chain->table = malloc(chain->table_count * sizeof(*chain->table));
        uint8_t *taken = malloc(chain->table_count);
        if (chain->table == NULL || taken == NULL) {
            free(chain->table);
            free(taken);
            return -ENOMEM;
        }
        bool found = false;
        for (uint32_t i = 0; i < TRIES && !found; i++) {
            random = random * 1664525u + 1013904223u;
            chain->multiplier = random | 1;
            found = fill(program, chain, taken);
        }
        free(taken);
        if (found)
            return 0;
        free(chain->table);
    }
    return -ENOENT;
}

/* Make a chain of what begins at `first`, where that is worth it. 1, 0, or -ENOMEM. */
static int add_chain(const struct pb_bpf_program *program, struct pb_bpf_chains *chains, uint32_t first)
{
    struct pb_bpf_chain chain = {.first = first, .target = program->steps[first].jt};
    uint32_t length = chain_length(program, first, &chain.otherwise);
    if (length < VALUES_MIN)
        return 0;
    int status = make_table(program, &chain, length);
    if (status < 0)
        return status == -ENOENT ? 0 : status;
    for (uint32_t i = first; i != chain.otherwise; i = program->steps[i].jf)
        if (program->steps[i].jt != chain.target)
            chain.target = PB_BPF_TARGETS_DIFFER;
    struct pb_bpf_chain *longer = realloc(chains->list, (chains->list_count + 1) * sizeof(chain));
    if (longer == NULL) {
        free(chain.table);
        return -ENOMEM;
    }
    chains->list = longer;
    chains->list[chains->list_count++] = chain;
    chains->marks[first] |= BEGINS;
    return 1;
}

/* Mark what the steps that can be reached lead to. */
static int mark(const struct pb_bpf_program *program, struct pb_bpf_chains *chains, uint32_t i)
{
    const struct pb_bpf_step *step = &program->steps[i];
    if (pb_bpf_is_return(step->operation))
        return 0;
    int begins = step->operation == PB_BPF_JEQ_K ? add_chain(program, chains, i) : 0;
    if (begins <= 0) {
        chains->marks[step->jt] |= REACHED;
        chains->marks[step->jf] |= REACHED;
        return begins;
    }
    struct pb_bpf_chain chain = chains->list[chains->list_count - 1];
    for (uint32_t at = i; at != chain.otherwise; at = program->steps[at].jf)
        chains->marks[program->steps[at].jt] |= REACHED;
    chains->marks[chain.otherwise] |= REACHED;
    return 0;
}

int pb_bpf_chains_find(const struct pb_bpf_program *program, struct pb_bpf_chains *chains)
{
    *chains = (struct pb_bpf_chains){.count = program->count};
    chains->marks = calloc(program->count, sizeof(*chains->marks));
    if (chains->marks == NULL)
        return -ENOMEM;
    /* Where a jump goes back all steps are kept: what it leads to has been passed already. */
    memset(chains->marks, program->has_loop ? REACHED : 0, program->count);
    chains->marks[0] = REACHED;
    for (uint32_t i = 0; i < program->count; i++)
        if ((chains->marks[i] & REACHED) != 0 && mark(program, chains, i) < 0)
            return -ENOMEM;
    return 0;
}

void pb_bpf_chains_free(struct pb_bpf_chains *chains)
{
    for (uint32_t i = 0; i < chains->list_count; i++)
        free(chains->list[i].table);
    free(chains->list);
    free(chains->marks);
}

uint32_t pb_bpf_chains_next(const struct pb_bpf_chains *chains, uint32_t step)
{
    while (step < chains->count && chains->marks[step] == 0)
        step++;
    return step;
}

bool pb_bpf_chains_begins(const struct pb_bpf_chains *chains, uint32_t step)
{
    return (chains->marks[step] & BEGINS) != 0;
}

void pb_bpf_chain_get(const struct pb_bpf_chains *chains, uint32_t first, struct pb_bpf_chain *chain)
{
    uint32_t low = 0, high = chains->list_count; /* they are in the order of their first steps */
    while (high - low > 1) {
        uint32_t middle = (low + high) / 2;
        *(chains->list[middle].first <= first ? &low : &high) = middle;
    }
    *chain = chains->list[low];
}
