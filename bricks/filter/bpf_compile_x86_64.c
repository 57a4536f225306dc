/*
 * bpf_compile_x86_64.c - machine code for BPF programs, a loop over a batch included.
 * Control thread; the code is the program's, and runs on engine threads.
 *
 * The program is emitted twice: once without checks of loads at constant offsets,
 * for packets that are long enough for all those within FRAME_BYTES_MIN; and once
 * with all checks, for shorter ones. Chains of comparisons of one value, as
 * "host a or host b or ..." has them, are one look into a table (bpf_chain.c).
 *
 * All is emitted in two equal passes, the first of which only finds out where
 * things will be. Memory is written, then made executable: never both.
 *
 *   rdi packets   rsi next index   rbx end of indices   rbp next result
 *   r8 data   r9 captured_len   r10 packet   eax A   r11d X   rcx, rdx scratch
 *   r12d to r15d the first memory words used; the others, rounds, link type on the stack
 */
#include "bpf_program.h"

#include <errno.h>

#if !defined(__x86_64__)

int pb_bpf_compile(struct pb_bpf_program *program)
{
    (void)program;
    return -ENOSYS;
}

#else

#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "bpf_chain.h"
#include "x86_64.h"

/* Frames of Ethernet are no shorter, but where they were cut or not yet padded. */
#define FRAME_BYTES_MIN 60
#define ROUNDS_OFFSET (4 * PB_BPF_MEMORY_WORDS) /* on the stack, behind the memory words */
#define LINK_TYPE_OFFSET (ROUNDS_OFFSET + 4)
#define FIRST_OFFSET (ROUNDS_OFFSET + 8) /* where the indices begin */
#define STACK_BYTES (ROUNDS_OFFSET + 16)
#define NOWHERE UINT32_MAX

struct assembler {
    const struct pb_bpf_program *program;
    const struct pb_bpf_chains *chains;
    struct x86_code code;
    bool checked;      /* emitting for short packets */
    uint32_t long_bytes; /* what the other version needs of a packet */
    uint32_t *places;  /* of the steps: those of the checked version behind the others */
    uint32_t *tables;  /* of the chains, by their first step */
    uint32_t next, reject, result, done; /* places: the next packet; no match; eax is the result; the end */
    uint8_t memory_register[PB_BPF_MEMORY_WORDS]; /* 0: on the stack */
};

/* The place of a step in the version that is emitted. */
static uint32_t place_of(const struct assembler *as, uint32_t step)
{
    return as->places[step + (as->checked ? as->program->count : 0)];
}

/* Go on at a step, where it is not what is emitted next. */
static void go(struct assembler *as, uint32_t step, uint32_t behind)
{
    if (step != behind)
        x86_jump(&as->code, place_of(as, step));
}

/* Reject packets that do not hold `end` bytes. */
static void check_constant(struct assembler *as, uint64_t end)
{
    if (end > INT32_MAX) {
        x86_jump(&as->code, as->reject);
    } else if (as->checked || end > as->long_bytes) {
        X86_PUT(&as->code, 0x41, 0x81, 0xf9); /* cmp r9d, end */
        x86_put4(&as->code, (uint32_t)end);
        x86_jump_if(&as->code, BELOW, as->reject);
    }
}

/* Load from [r8 + k], with X from [r8 + r11 + k]: a word, half word or byte, big-endian. */
static void load(struct assembler *as, uint32_t k, uint32_t size, bool with_x)
{
    uint64_t end = (uint64_t)k + size;
    if (!with_x || end > INT32_MAX) {
        check_constant(as, end);
    } else {
        X86_PUT(&as->code, 0x49, 0x8d, 0x8b); /* lea rcx, [r11 + end] */
        x86_put4(&as->code, (uint32_t)end);
        X86_PUT(&as->code, 0x4c, 0x39, 0xc9); /* cmp rcx, r9 */
        x86_jump_if(&as->code, ABOVE, as->reject);
    }
    x86_put1(&as->code, with_x ? 0x43 : 0x41);
    if (size < 4)
        X86_PUT(&as->code, 0x0f, size == 2 ? 0xb7 : 0xb6);
    else
        x86_put1(&as->code, 0x8b);
    if (with_x)
        X86_PUT(&as->code, 0x84, 0x18); /* eax, [r8 + r11 + k] */
    else
        X86_PUT(&as->code, 0x80); /* eax, [r8 + k] */
    x86_put4(&as->code, k);
    if (size == 4)
        X86_PUT(&as->code, 0x0f, 0xc8); /* bswap eax */
    if (size == 2)
        X86_PUT(&as->code, 0x66, 0xc1, 0xc0, 8); /* rol ax, 8 */
}

/* X = 4 * (low half of the byte at k). */
static void load_header_length(struct assembler *as, uint32_t k)
{
    check_constant(as, (uint64_t)k + 1);
    X86_PUT(&as->code, 0x45, 0x0f, 0xb6, 0x98); /* movzx r11d, byte [r8 + k] */
    x86_put4(&as->code, k);
    X86_PUT(&as->code, 0x41, 0x83, 0xe3, 0x0f); /* and r11d, 15 */
    X86_PUT(&as->code, 0x41, 0xc1, 0xe3, 2);    /* shl r11d, 2 */
}

/* Between a register and a word of the memory. */
static void move_memory(struct assembler *as, uint32_t word, uint32_t reg, bool store)
{
    uint32_t kept = as->memory_register[word];
    if (kept != 0) {
        x86_op_registers(&as->code, X86_MOV, store ? reg : kept, store ? kept : reg);
        return;
    }
    if (reg >= R8)
        x86_put1(&as->code, 0x44);
    X86_PUT(&as->code, store ? 0x89 : 0x8b, (uint8_t)(0x44 | (reg & 7) << 3), 0x24, (uint8_t)(4 * word));
}

static void load_wire_length(struct assembler *as, uint32_t reg)
{
    /* mov reg, [r10 + ...] */
    X86_PUT(&as->code, reg >= R8 ? 0x45 : 0x41, 0x8b, (uint8_t)(0x40 | (reg & 7) << 3 | (R10 & 7)),
        offsetof(struct pb_packet, wire_len));
}

/* A by a divisor, the quotient or the remainder back in A. */
static void divide(struct assembler *as, uint32_t divisor, bool remainder)
{
    x86_op_registers(&as->code, X86_XOR, RDX, RDX);
    x86_op_registers(&as->code, 0xf7, 6, divisor); /* div */
    if (remainder)
        x86_op_registers(&as->code, X86_MOV, RDX, RAX);
}

static void divide_by_constant(struct assembler *as, uint32_t k, bool remainder)
{
    x86_load_constant(&as->code, RCX, k);
    divide(as, RCX, remainder);
}

static void divide_by_x(struct assembler *as, bool remainder)
{
    x86_op_registers(&as->code, X86_TEST, R11, R11);
    x86_jump_if(&as->code, EQUAL, as->reject);
    divide(as, R11, remainder);
}

/* A shifted by X; `extension` 4: left, 5: right. The processor takes X modulo 32. */
static void shift_by_x(struct assembler *as, uint32_t extension)
{
    x86_op_registers(&as->code, X86_MOV, R11, RCX);
    x86_op_registers(&as->code, 0xd3, extension, RAX);
    X86_PUT(&as->code, 0x83, 0xf9, 32);   /* cmp ecx, 32 */
    x86_op_registers(&as->code, 0x19, RDX, RDX); /* sbb edx, edx: all ones where that was below */
    x86_op_registers(&as->code, 0x21, RDX, RAX); /* and */
}

static void branch(struct assembler *as, const struct pb_bpf_step *step, uint32_t condition, uint32_t behind)
{
    if (step->jt == step->jf) {
        go(as, step->jt, behind);
    } else if (step->jt == behind) {
        x86_jump_if(&as->code, condition ^ 1, place_of(as, step->jf));
    } else {
        x86_jump_if(&as->code, condition, place_of(as, step->jt));
        go(as, step->jf, behind);
    }
}

/* A jump backwards: as often as allowed. */
static void jump_back(struct assembler *as, uint32_t to)
{
    X86_PUT(&as->code, 0xff, 0x4c, 0x24, ROUNDS_OFFSET); /* dec dword [rsp + ...] */
    x86_jump_if(&as->code, EQUAL, as->reject);
    x86_jump(&as->code, place_of(as, to));
}

/* Look A up in the table of a chain: those that are not in it are most. */
static void emit_chain(struct assembler *as, uint32_t first, uint32_t behind)
{
    struct pb_bpf_chain chain;
    pb_bpf_chain_get(as->chains, first, &chain);
    X86_PUT(&as->code, 0x69, 0xc8); /* imul ecx, eax, multiplier */
    x86_put4(&as->code, chain.multiplier);
    X86_PUT(&as->code, 0xc1, 0xe9, (uint8_t)chain.shift); /* shr ecx, shift */
    X86_PUT(&as->code, 0x48, 0x8d, 0x15);                 /* lea rdx, [rip + table] */
    x86_put_distance(&as->code, as->tables[first]);
    X86_PUT(&as->code, 0x3b, 0x04, 0x8a); /* cmp eax, [rdx + 4 * rcx] */
    if (chain.target != PB_BPF_TARGETS_DIFFER) {
        x86_jump_if(&as->code, EQUAL, place_of(as, chain.target));
        go(as, chain.otherwise, behind);
        return;
    }
    x86_jump_if(&as->code, NOT_EQUAL, place_of(as, chain.otherwise));
    for (uint32_t i = first; i != chain.otherwise; i = as->program->steps[i].jf) {
        x86_op_constant(&as->code, 0x3d, as->program->steps[i].k); /* cmp eax, k */
        x86_jump_if(&as->code, EQUAL, place_of(as, as->program->steps[i].jt));
    }
}

/* The steps that compute. */
static void emit_arithmetic(struct assembler *as, const struct pb_bpf_step *step)
{
    switch (step->operation) {
    case PB_BPF_ADD_K: x86_op_constant(&as->code, 0x05, step->k); break;
    case PB_BPF_SUB_K: x86_op_constant(&as->code, 0x2d, step->k); break;
    case PB_BPF_OR_K: x86_op_constant(&as->code, 0x0d, step->k); break;
    case PB_BPF_AND_K: x86_op_constant(&as->code, 0x25, step->k); break;
    case PB_BPF_XOR_K: x86_op_constant(&as->code, 0x35, step->k); break;
    case PB_BPF_MUL_K: X86_PUT(&as->code, 0x69, 0xc0); x86_put4(&as->code, step->k); break;
    case PB_BPF_DIV_K: divide_by_constant(as, step->k, false); break;
    case PB_BPF_MOD_K: divide_by_constant(as, step->k, true); break;
    case PB_BPF_LSH_K: X86_PUT(&as->code, 0xc1, 0xe0, (uint8_t)step->k); break;
    case PB_BPF_RSH_K: X86_PUT(&as->code, 0xc1, 0xe8, (uint8_t)step->k); break;
    case PB_BPF_ADD_X: x86_op_registers(&as->code, 0x01, R11, RAX); break;
    case PB_BPF_SUB_X: x86_op_registers(&as->code, 0x29, R11, RAX); break;
    case PB_BPF_OR_X: x86_op_registers(&as->code, 0x09, R11, RAX); break;
    case PB_BPF_AND_X: x86_op_registers(&as->code, 0x21, R11, RAX); break;
    case PB_BPF_XOR_X: x86_op_registers(&as->code, X86_XOR, R11, RAX); break;
    case PB_BPF_MUL_X: x86_op_registers(&as->code, 0x0faf, RAX, R11); break;
    case PB_BPF_DIV_X: divide_by_x(as, false); break;
    case PB_BPF_MOD_X: divide_by_x(as, true); break;
    case PB_BPF_LSH_X: shift_by_x(as, 4); break;
    case PB_BPF_RSH_X: shift_by_x(as, 5); break;
    default: x86_op_registers(&as->code, 0xf7, 3, RAX); break; /* NEG */
    }
}

static void emit_step(struct assembler *as, uint32_t i, uint32_t behind)
{
    const struct pb_bpf_step *step = &as->program->steps[i];
    switch (step->operation) {
    case PB_BPF_LD_W_ABS: load(as, step->k, 4, false); break;
    case PB_BPF_LD_H_ABS: load(as, step->k, 2, false); break;
    case PB_BPF_LD_B_ABS: load(as, step->k, 1, false); break;
    case PB_BPF_LD_W_IND: load(as, step->k, 4, true); break;
    case PB_BPF_LD_H_IND: load(as, step->k, 2, true); break;
    case PB_BPF_LD_B_IND: load(as, step->k, 1, true); break;
    case PB_BPF_LD_IMM: x86_load_constant(&as->code, RAX, step->k); break;
    case PB_BPF_LDX_IMM: x86_load_constant(&as->code, R11, step->k); break;
    case PB_BPF_LD_LEN: load_wire_length(as, RAX); break;
    case PB_BPF_LDX_LEN: load_wire_length(as, R11); break;
    case PB_BPF_LD_MEM: move_memory(as, step->k, RAX, false); break;
    case PB_BPF_LDX_MEM: move_memory(as, step->k, R11, false); break;
    case PB_BPF_ST: move_memory(as, step->k, RAX, true); break;
    case PB_BPF_STX: move_memory(as, step->k, R11, true); break;
    case PB_BPF_LDX_MSH: load_header_length(as, step->k); break;
    case PB_BPF_TAX: x86_op_registers(&as->code, X86_MOV, RAX, R11); break;
    case PB_BPF_TXA: x86_op_registers(&as->code, X86_MOV, R11, RAX); break;
    case PB_BPF_JEQ_K: x86_op_constant(&as->code, 0x3d, step->k); branch(as, step, EQUAL, behind); break;
    case PB_BPF_JGT_K: x86_op_constant(&as->code, 0x3d, step->k); branch(as, step, ABOVE, behind); break;
    case PB_BPF_JGE_K: x86_op_constant(&as->code, 0x3d, step->k); branch(as, step, ABOVE_EQUAL, behind); break;
    case PB_BPF_JSET_K: x86_op_constant(&as->code, 0xa9, step->k); branch(as, step, NOT_EQUAL, behind); break;
    case PB_BPF_JEQ_X: x86_op_registers(&as->code, X86_CMP, R11, RAX); branch(as, step, EQUAL, behind); break;
    case PB_BPF_JGT_X: x86_op_registers(&as->code, X86_CMP, R11, RAX); branch(as, step, ABOVE, behind); break;
    case PB_BPF_JGE_X: x86_op_registers(&as->code, X86_CMP, R11, RAX); branch(as, step, ABOVE_EQUAL, behind); break;
    case PB_BPF_JSET_X: x86_op_registers(&as->code, X86_TEST, R11, RAX); branch(as, step, NOT_EQUAL, behind); break;
    case PB_BPF_RET_A: x86_jump(&as->code, as->result); break;
    case PB_BPF_RET_K:
        if (step->k != 0)
            x86_load_constant(&as->code, RAX, step->k);
        x86_jump(&as->code, step->k != 0 ? as->result : as->reject);
        break;
    case PB_BPF_JA:
        if (step->jt <= i)
            jump_back(as, step->jt);
        else
            go(as, step->jt, behind);
        break;
    default: emit_arithmetic(as, step); break;
    }
}

/* The steps that can be reached, in one of the two versions. */
static void emit_steps(struct assembler *as, bool checked)
{
    as->checked = checked;
    const struct pb_bpf_program *program = as->program;
    for (uint32_t i = pb_bpf_chains_next(as->chains, 0); i < program->count;) {
        uint32_t behind = pb_bpf_chains_next(as->chains, i + 1);
        as->places[i + (checked ? program->count : 0)] = as->code.used;
        if (pb_bpf_chains_begins(as->chains, i))
            emit_chain(as, i, behind);
        else
            emit_step(as, i, behind);
        i = behind;
    }
}

static void emit_tables(struct assembler *as)
{
    while (as->code.used % 64 != 0)
        x86_put1(&as->code, 0xcc); /* int3 */
    for (uint32_t i = 0; i < as->program->count; i++) {
        struct pb_bpf_chain chain;
        if (!pb_bpf_chains_begins(as->chains, i))
            continue;
        pb_bpf_chain_get(as->chains, i, &chain);
        as->tables[i] = as->code.used;
        x86_put(&as->code, chain.table, chain.table_count * sizeof(*chain.table));
    }
}

/* Start on a packet: its address, data, length, and which version is for it. */
static void emit_packet_start(struct assembler *as)
{
    _Static_assert(sizeof(struct pb_packet) < 128, "fits the multiplication");
    X86_PUT(&as->code, 0x0f, 0xb7, 0x06);                              /* movzx eax, word [rsi] */
    X86_PUT(&as->code, 0x48, 0x6b, 0xc0, sizeof(struct pb_packet));    /* imul rax, rax, size */
    X86_PUT(&as->code, 0x4c, 0x8d, 0x14, 0x07);                        /* lea r10, [rdi + rax] */
    X86_PUT(&as->code, 0x4d, 0x8b, 0x42, offsetof(struct pb_packet, data));         /* mov r8, [r10 + ...] */
    X86_PUT(&as->code, 0x45, 0x8b, 0x4a, offsetof(struct pb_packet, captured_len)); /* mov r9d, [r10 + ...] */
    X86_PUT(&as->code, 0x41, 0x0f, 0xb7, 0x4a, offsetof(struct pb_packet, link_type)); /* movzx ecx, word [r10 + ...] */
    X86_PUT(&as->code, 0x3b, 0x4c, 0x24, LINK_TYPE_OFFSET);                            /* cmp ecx, [rsp + ...] */
    x86_jump_if(&as->code, NOT_EQUAL, as->done);
    x86_op_registers(&as->code, X86_XOR, RAX, RAX);
    x86_op_registers(&as->code, X86_XOR, R11, R11);
    for (uint32_t word = 0; word < PB_BPF_MEMORY_WORDS; word++)
        if ((as->program->unwritten >> word & 1) != 0)
            move_memory(as, word, RAX, true);
    if (as->program->has_loop) {
        X86_PUT(&as->code, 0xc7, 0x44, 0x24, ROUNDS_OFFSET); /* mov dword [rsp + ...], rounds */
        x86_put4(&as->code, PB_BPF_LOOPS_MAX);
    }
    if (as->long_bytes > 0) {
        X86_PUT(&as->code, 0x41, 0x83, 0xf9, (uint8_t)as->long_bytes); /* cmp r9d, long_bytes */
        x86_jump_if(&as->code, BELOW, as->places[as->program->count]);
    }
}

static void emit(struct assembler *as)
{
    as->code.used = 0;
    X86_PUT(&as->code, 0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57); /* push rbx, rbp, r12, r13, r14, r15 */
    X86_PUT(&as->code, 0x48, 0x83, 0xec, STACK_BYTES);                              /* sub rsp, ... */
    X86_PUT(&as->code, 0x89, 0xd2);                                                 /* mov edx, edx */
    X86_PUT(&as->code, 0x48, 0x8d, 0x1c, 0x56);                                     /* lea rbx, [rsi + 2 * rdx] */
    X86_PUT(&as->code, 0x48, 0x89, 0xcd);                                           /* mov rbp, rcx */
    X86_PUT(&as->code, 0x44, 0x89, 0x44, 0x24, LINK_TYPE_OFFSET);                   /* mov [rsp + ...], r8d */
    X86_PUT(&as->code, 0x48, 0x89, 0x74, 0x24, FIRST_OFFSET);                       /* mov [rsp + ...], rsi */
    x86_jump(&as->code, as->next);
    uint32_t start = as->code.used;
    emit_packet_start(as);
    emit_steps(as, false);
    if (as->long_bytes > 0)
        emit_steps(as, true);
    as->reject = as->code.used;
    x86_op_registers(&as->code, X86_XOR, RAX, RAX);
    as->result = as->code.used;
    X86_PUT(&as->code, 0x89, 0x45, 0x00);       /* mov [rbp], eax */
    X86_PUT(&as->code, 0x48, 0x83, 0xc5, 4);    /* add rbp, 4 */
    X86_PUT(&as->code, 0x48, 0x83, 0xc6, 2);    /* add rsi, 2 */
    as->next = as->code.used;
    X86_PUT(&as->code, 0x48, 0x39, 0xde);       /* cmp rsi, rbx */
    x86_jump_if(&as->code, NOT_EQUAL, start);
    as->done = as->code.used;
    X86_PUT(&as->code, 0x48, 0x89, 0xf0);                                                 /* mov rax, rsi */
    X86_PUT(&as->code, 0x48, 0x2b, 0x44, 0x24, FIRST_OFFSET);                             /* sub rax, [rsp + ...] */
    X86_PUT(&as->code, 0xd1, 0xe8);                                                       /* shr eax, 1 */
    X86_PUT(&as->code, 0x48, 0x83, 0xc4, STACK_BYTES);                                    /* add rsp, ... */
    X86_PUT(&as->code, 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3); /* pop them, ret */
    emit_tables(as);
}

/* What loads at constant offsets need, as far as any frame has it. */
static uint32_t long_bytes_of(const struct pb_bpf_program *program)
{
    uint32_t needed = 0;
    for (uint32_t i = 0; i < program->count; i++) {
        const struct pb_bpf_step *step = &program->steps[i];
        uint32_t size = step->operation == PB_BPF_LD_W_ABS                                          ? 4
                        : step->operation == PB_BPF_LD_H_ABS                                        ? 2
                        : step->operation == PB_BPF_LD_B_ABS || step->operation == PB_BPF_LDX_MSH ? 1
                                                                                                    : 0;
        if (size != 0 && step->k <= FRAME_BYTES_MIN - size && step->k + size > needed)
            needed = step->k + size;
    }
    return needed;
}

/* Registers for the first memory words that the program uses. */
static void choose_registers(struct assembler *as)
{
    uint8_t reg = R12;
    for (uint32_t i = 0; i < as->program->count && reg <= R15; i++) {
        const struct pb_bpf_step *step = &as->program->steps[i];
        if (pb_bpf_uses_memory(step->operation) && as->memory_register[step->k] == 0)
            as->memory_register[step->k] = reg++;
    }
}

/* Memory with the code in it, executable. */
static int map(struct assembler *as, struct pb_bpf_program *program)
{
    emit(as);
    size_t bytes = as->code.used;
    void *mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED)
        return -errno;
    as->code.bytes = mapping;
    emit(as);
    if (mprotect(mapping, bytes, PROT_READ | PROT_EXEC) < 0) {
        int status = -errno;
        munmap(mapping, bytes);
        return status;
    }
    program->mapping = mapping;
    program->mapping_bytes = bytes;
    memcpy(&program->code, &mapping, sizeof(mapping)); /* ISO C has no cast from data to code */
    return 0;
}

int pb_bpf_compile(struct pb_bpf_program *program)
{
    struct pb_bpf_chains chains = {0};
    struct assembler as = {.program = program, .chains = &chains, .long_bytes = long_bytes_of(program)};
    as.places = calloc(2 * (size_t)program->count, sizeof(*as.places));
    as.tables = calloc(program->count, sizeof(*as.tables));
    choose_registers(&as);
    int status = as.places == NULL || as.tables == NULL ? -ENOMEM : pb_bpf_chains_find(program, &chains);
    if (status == 0)
        status = map(&as, program);
    pb_bpf_chains_free(&chains);
    free(as.places);
    free(as.tables);
    return status;
}

#endif
