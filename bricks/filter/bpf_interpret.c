/*
 * bpf_interpret.c - runs a decoded BPF program step by step, where there is no
 * machine code; and says what machine code has to do. Engine threads.
 *
 * Each operation jumps to the next one's code itself: one jump for each, which
 * the processor predicts by where it stands.
 */
#include "bpf_program.h"
#include "core/bytes.h"

/* Whether `size` bytes from `offset` are within the packet. No overflow: 64 bits. */
static inline bool holds(const struct pb_packet *packet, uint64_t offset, uint32_t size)
{
    return offset + size <= packet->captured_len;
}

#define NEXT goto *labels[(++step)->operation]
#define GO(to) do { step = program->steps + (to); goto *labels[step->operation]; } while (0)
#define BRANCH(condition) GO((condition) ? step->jt : step->jf)
#define LOAD(offset, size, value)                                                                                      \
    do {                                                                                                               \
        uint64_t at = (offset);                                                                                        \
        if (!holds(packet, at, size))                                                                                  \
            return 0;                                                                                                  \
        a = (value);                                                                                                   \
        NEXT;                                                                                                          \
    } while (0)
#define LOAD_W(offset) LOAD(offset, 4, __builtin_bswap32(pb_load32(data + at)))
#define LOAD_H(offset) LOAD(offset, 2, pb_be16(data + at))
#define LOAD_B(offset) LOAD(offset, 1, data[at])

uint32_t pb_bpf_interpret(const struct pb_bpf_program *program, const struct pb_packet *packet)
{
    static const void *const labels[PB_BPF_OPERATIONS_COUNT] = {
#define LABEL(name, code) [PB_BPF_##name] = &&do_##name,
        /* cppcheck-suppress assignBoolToPointer; the address of a label, which it takes for "and" */
        PB_BPF_OPERATIONS(LABEL)
#undef LABEL
    };
    const uint8_t *data = packet->data;
    const struct pb_bpf_step *step = program->steps;
    uint32_t a = 0, x = 0, memory[PB_BPF_MEMORY_WORDS], rounds = PB_BPF_LOOPS_MAX;
    if (program->unwritten != 0)
        memset(memory, 0, sizeof(memory));
    goto *labels[step->operation];

do_LD_W_ABS: LOAD_W(step->k);
do_LD_H_ABS: LOAD_H(step->k);
do_LD_B_ABS: LOAD_B(step->k);
do_LD_W_IND: LOAD_W((uint64_t)x + step->k);
do_LD_H_IND: LOAD_H((uint64_t)x + step->k);
do_LD_B_IND: LOAD_B((uint64_t)x + step->k);
do_LD_IMM: a = step->k; NEXT;
do_LD_LEN: a = packet->wire_len; NEXT;
do_LD_MEM: a = memory[step->k]; NEXT;
do_LDX_IMM: x = step->k; NEXT;
do_LDX_LEN: x = packet->wire_len; NEXT;
do_LDX_MEM: x = memory[step->k]; NEXT;
do_LDX_MSH:
    if (!holds(packet, step->k, 1))
        return 0;
    x = (data[step->k] & 0xfu) << 2;
    NEXT;
do_ST: memory[step->k] = a; NEXT;
do_STX: memory[step->k] = x; NEXT;
do_ADD_K: a += step->k; NEXT;
do_SUB_K: a -= step->k; NEXT;
do_MUL_K: a *= step->k; NEXT;
do_DIV_K: a /= step->k; NEXT;
do_MOD_K: a %= step->k; NEXT;
do_OR_K: a |= step->k; NEXT;
do_AND_K: a &= step->k; NEXT;
do_XOR_K: a ^= step->k; NEXT;
do_LSH_K: a <<= step->k; NEXT;
do_RSH_K: a >>= step->k; NEXT;
do_ADD_X: a += x; NEXT;
do_SUB_X: a -= x; NEXT;
do_MUL_X: a *= x; NEXT;
do_DIV_X:
    if (x == 0)
        return 0;
    a /= x;
    NEXT;
do_MOD_X:
    if (x == 0)
        return 0;
    a %= x;
    NEXT;
do_OR_X: a |= x; NEXT;
do_AND_X: a &= x; NEXT;
do_XOR_X: a ^= x; NEXT;
do_LSH_X: a = x < 32 ? a << x : 0; NEXT;
do_RSH_X: a = x < 32 ? a >> x : 0; NEXT;
do_NEG: a = 0 - a; NEXT;
do_TAX: x = a; NEXT;
do_TXA: a = x; NEXT;
do_JA:
    if (program->steps + step->jt <= step && --rounds == 0)
        return 0;
    GO(step->jt);
do_JEQ_K: BRANCH(a == step->k);
do_JGT_K: BRANCH(a > step->k);
do_JGE_K: BRANCH(a >= step->k);
do_JSET_K: BRANCH((a & step->k) != 0);
do_JEQ_X: BRANCH(a == x);
do_JGT_X: BRANCH(a > x);
do_JGE_X: BRANCH(a >= x);
do_JSET_X: BRANCH((a & x) != 0);
do_RET_K: return step->k;
do_RET_A: return a;
}
