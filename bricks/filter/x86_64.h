/*
 * x86_64.h - encodes the few instructions of x86-64 that compiled expressions consist of.
 * Knows nothing of BPF. Control thread; the memory is the caller's, and large enough.
 *
 * Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
 */
#ifndef PB_X86_64_H
#define PB_X86_64_H

#include <stdint.h>
#include <string.h>

/* Registers by their numbers. */
enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };
/* Conditions of jumps. */
enum { BELOW = 2, ABOVE_EQUAL = 3, EQUAL = 4, NOT_EQUAL = 5, BELOW_EQUAL = 6, ABOVE = 7 };

/* Code as it is emitted. */
struct x86_code {
    uint8_t *bytes; /* NULL: only how many there are is to be found out */
    uint32_t used;
};

static inline void x86_put(struct x86_code *code, const void *bytes, uint32_t count)
{
    if (code->bytes != NULL)
        memcpy(code->bytes + code->used, bytes, count);
    code->used += count;
}

static inline void x86_put1(struct x86_code *code, uint32_t byte)
{
    uint8_t value = (uint8_t)byte;
    x86_put(code, &value, 1);
}

static inline void x86_put4(struct x86_code *code, uint32_t value)
{
    x86_put(code, &value, 4);
}

#define X86_PUT(code, ...) x86_put(code, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* The distance from behind a 4-byte field to a place. */
static inline void x86_put_distance(struct x86_code *code, uint32_t place)
{
    x86_put4(code, place - (code->used + 4));
}

static inline void x86_jump(struct x86_code *code, uint32_t place)
{
    x86_put1(code, 0xe9);
    x86_put_distance(code, place);
}

static inline void x86_jump_if(struct x86_code *code, uint32_t condition, uint32_t place)
{
    X86_PUT(code, 0x0f, (uint8_t)(0x80 | condition));
    x86_put_distance(code, place);
}

/* `opcode` on two 32-bit registers: reg and the one that ModRM calls rm. */
static inline void x86_op_registers(struct x86_code *code, uint32_t opcode, uint32_t reg, uint32_t rm)
{
    if (reg >= R8 || rm >= R8)
        x86_put1(code, 0x40 | (reg >= R8 ? 4 : 0) | (rm >= R8 ? 1 : 0));
    if (opcode > 0xff)
        x86_put1(code, opcode >> 8);
    X86_PUT(code, (uint8_t)opcode, (uint8_t)(0xc0 | (reg & 7) << 3 | (rm & 7)));
}

#define X86_MOV 0x89  /* rm = reg */
#define X86_CMP 0x39  /* rm - reg */
#define X86_TEST 0x85 /* rm & reg */
#define X86_XOR 0x31

/* reg = k, leaving flags alone. */
static inline void x86_load_constant(struct x86_code *code, uint32_t reg, uint32_t k)
{
    if (reg >= R8)
        x86_put1(code, 0x41);
    x86_put1(code, 0xb8 | (reg & 7));
    x86_put4(code, k);
}

/* The opcode that works on eax and 4 bytes that follow. */
static inline void x86_op_constant(struct x86_code *code, uint32_t opcode, uint32_t k)
{
    x86_put1(code, opcode);
    x86_put4(code, k);
}

#endif
