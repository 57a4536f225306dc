/*
 * bpf_program.h - programs of the classic BPF machine (McCanne and Jacobson, "The
 * BSD Packet Filter", 1993), as libpcap's compiler makes them: checked, run.
 *
 * A program is checked and decoded once (bpf_verify.c), on the control thread.
 * Then it runs as machine code (bpf_compile_x86_64.c), or by the interpreter
 * (bpf_interpret.c) where there is none, on any number of engine threads: it is
 * not changed any more. Both give the same results for every packet, and those of
 * libpcap's bpf_filter():
 *
 * - A, X and the memory are 0 at the start (the memory in libpcap whatever it was
 *   before). A load that is not whole within captured_len, and a division by X when
 *   that is 0, end the program: the packet does not match.
 * - `len` is the length on the wire. Shifts by X of more than 31 bits give 0.
 * - Jumps go forward, but for "ja", whose offset is signed: libpcap follows chains of
 *   headers ("ip6 protochain") by a loop. A packet that takes more than
 *   PB_BPF_LOOPS_MAX rounds, more than any packet has headers, does not match.
 *
 * Memory: whoever verified a program frees it.
 */
#ifndef PB_BPF_PROGRAM_H
#define PB_BPF_PROGRAM_H

#include "core/batch.h"
#include "packet_bricks.h"

#define PB_BPF_INSTRUCTIONS_MAX 65536
#define PB_BPF_MEMORY_WORDS 16
#define PB_BPF_LOOPS_MAX (PB_FRAME_BYTES_MAX / 8)

/* An instruction as bpf(4) and libpcap have it. */
struct pb_bpf_instruction {
    uint16_t code;
    uint8_t jt, jf;
    uint32_t k;
};

/* Every operation there is, and its code. */
#define PB_BPF_OPERATIONS(X)                                                                                           \
    X(LD_W_ABS, 0x20) X(LD_H_ABS, 0x28) X(LD_B_ABS, 0x30)                                                              \
    X(LD_W_IND, 0x40) X(LD_H_IND, 0x48) X(LD_B_IND, 0x50)                                                              \
    X(LD_IMM, 0x00) X(LD_LEN, 0x80) X(LD_MEM, 0x60)                                                                    \
    X(LDX_IMM, 0x01) X(LDX_LEN, 0x81) X(LDX_MEM, 0x61) X(LDX_MSH, 0xb1)                                                \
    X(ST, 0x02) X(STX, 0x03)                                                                                           \
    X(ADD_K, 0x04) X(SUB_K, 0x14) X(MUL_K, 0x24) X(DIV_K, 0x34) X(OR_K, 0x44) X(AND_K, 0x54)                           \
    X(LSH_K, 0x64) X(RSH_K, 0x74) X(MOD_K, 0x94) X(XOR_K, 0xa4)                                                        \
    X(ADD_X, 0x0c) X(SUB_X, 0x1c) X(MUL_X, 0x2c) X(DIV_X, 0x3c) X(OR_X, 0x4c) X(AND_X, 0x5c)                           \
    X(LSH_X, 0x6c) X(RSH_X, 0x7c) X(MOD_X, 0x9c) X(XOR_X, 0xac) X(NEG, 0x84)                                           \
    X(JA, 0x05) X(JEQ_K, 0x15) X(JGT_K, 0x25) X(JGE_K, 0x35) X(JSET_K, 0x45)                                           \
    X(JEQ_X, 0x1d) X(JGT_X, 0x2d) X(JGE_X, 0x3d) X(JSET_X, 0x4d)                                                       \
    X(RET_K, 0x06) X(RET_A, 0x16) X(TAX, 0x07) X(TXA, 0x87)

enum pb_bpf_operation {
#define PB_BPF_NAME(name, code) PB_BPF_##name,
    PB_BPF_OPERATIONS(PB_BPF_NAME)
#undef PB_BPF_NAME
    PB_BPF_OPERATIONS_COUNT
};

/* A decoded instruction. The targets of jumps are places in the program; "ja" has jt. */
struct pb_bpf_step {
    enum pb_bpf_operation operation;
    uint32_t k, jt, jf;
};

/* Whether an operation goes on by jt or jf. */
static inline bool pb_bpf_is_branch(enum pb_bpf_operation operation)
{
    return operation >= PB_BPF_JEQ_K && operation <= PB_BPF_JSET_X;
}

static inline bool pb_bpf_is_return(enum pb_bpf_operation operation)
{
    return operation == PB_BPF_RET_K || operation == PB_BPF_RET_A;
}

static inline bool pb_bpf_uses_memory(enum pb_bpf_operation operation)
{
    return operation == PB_BPF_LD_MEM || operation == PB_BPF_LDX_MEM || operation == PB_BPF_ST ||
           operation == PB_BPF_STX;
}

/* Decide packets of the array, the first of the `count` that `index` names, as far as they have that link type: for
 * each, what the program returns; 0: no match. Returns how many. */
typedef uint32_t (*pb_bpf_code)(const struct pb_packet *packets, const uint16_t *index, uint32_t count,
                                uint32_t *results, uint32_t link_type);

struct pb_bpf_program {
    struct pb_bpf_step *steps;
    uint32_t count;
    bool has_loop;
    uint32_t unwritten; /* memory words, as bits, that are read before they are written: 0 then */
    /* Machine code; NULL: the interpreter is used. */
    pb_bpf_code code;
    void *mapping;
    size_t mapping_bytes;
};

/* Check a program, and decode it into *program, which needs pb_bpf_free(). -EINVAL with
 * text: it could read or jump elsewhere, or not end. */
int pb_bpf_verify(const struct pb_bpf_instruction *instructions, uint32_t count, struct pb_bpf_program *program,
                  struct pb_error *error);
void pb_bpf_free(struct pb_bpf_program *program);

/* Make machine code. -errno: none can be had here (-ENOSYS: another processor; -EACCES:
 * the kernel grants no executable memory, ...), and the interpreter stays in use. */
int pb_bpf_compile(struct pb_bpf_program *program);

/* What the program returns for one packet. */
uint32_t pb_bpf_interpret(const struct pb_bpf_program *program, const struct pb_packet *packet);

/* The same, by machine code or the interpreter. */
static inline uint32_t pb_bpf_run(const struct pb_bpf_program *program, const struct pb_packet *packets,
                                  const uint16_t *index, uint32_t count, uint32_t *results, uint32_t link_type)
{
    if (program->code != NULL)
        return program->code(packets, index, count, results, link_type);
    uint32_t i = 0;
    for (; i < count && packets[index[i]].link_type == link_type; i++)
        results[i] = pb_bpf_interpret(program, &packets[index[i]]);
    return i;
}

#endif
