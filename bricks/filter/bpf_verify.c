/*
 * bpf_verify.c - checks a BPF program and decodes it, so that nobody who runs it
 * need check again. Control thread; the caller frees the program.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "bpf_program.h"
#include "core/error.h"

/* The operation that a code stands for; PB_BPF_OPERATIONS_COUNT: none. */
static enum pb_bpf_operation operation_of(uint16_t code)
{
    switch (code) {
#define CASE(name, number)                                                                                             \
    case number:                                                                                                       \
        return PB_BPF_##name;
        PB_BPF_OPERATIONS(CASE)
#undef CASE
    default:
        return PB_BPF_OPERATIONS_COUNT;
    }
}

/* The word that an operation writes, as a bit. */
static uint32_t written_by(const struct pb_bpf_step *step)
{
    return step->operation == PB_BPF_ST || step->operation == PB_BPF_STX ? 1u << step->k : 0;
}

static int decode(const struct pb_bpf_instruction *from, uint32_t at, uint32_t count, struct pb_bpf_step *step,
                  struct pb_error *error)
{
    enum pb_bpf_operation operation = operation_of(from->code);
    if (operation == PB_BPF_OPERATIONS_COUNT)
        return pb_fail(error, EINVAL, "BPF instruction %u: there is no operation 0x%02x", at, from->code);
    *step = (struct pb_bpf_step){.operation = operation, .k = from->k};
    if (pb_bpf_uses_memory(operation) && from->k >= PB_BPF_MEMORY_WORDS)
        return pb_fail(error, EINVAL, "BPF instruction %u: no memory word %u", at, from->k);
    if ((operation == PB_BPF_DIV_K || operation == PB_BPF_MOD_K) && from->k == 0)
        return pb_fail(error, EINVAL, "BPF instruction %u: division by zero", at);
    if ((operation == PB_BPF_LSH_K || operation == PB_BPF_RSH_K) && from->k > 31)
        return pb_fail(error, EINVAL, "BPF instruction %u: shift by %u bits", at, from->k);
    if (pb_bpf_is_return(operation))
        return 0;
    int64_t next = (int64_t)at + 1, jt = next, jf = next;
    if (operation == PB_BPF_JA)
        jt = jf = next + (int32_t)from->k;
    if (pb_bpf_is_branch(operation)) {
        jt = next + from->jt;
        jf = next + from->jf;
    }
    if (jt < 0 || jt >= count || jf >= count)
        return pb_fail(error, EINVAL, "BPF instruction %u: leads out of the program", at);
    step->jt = (uint32_t)jt;
    step->jf = (uint32_t)jf;
    return 0;
}

/* Take over at `to` what is certainly written on the way there. */
static bool narrow(uint16_t *written, uint32_t to, uint32_t with)
{
    uint16_t before = written[to];
    written[to] &= (uint16_t)with;
    return written[to] != before;
}

/* Find the words of the memory that some way through the program reads before it writes them. */
static int find_unwritten(struct pb_bpf_program *program, struct pb_error *error)
{
    uint16_t *written = malloc(program->count * sizeof(*written));
    if (written == NULL)
        return pb_fail(error, ENOMEM, "no memory to check a BPF program");
    memset(written, 0xff, program->count * sizeof(*written));
    written[0] = 0;
    /* Once is enough where all jumps go forward. */
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i < program->count; i++) {
            const struct pb_bpf_step *step = &program->steps[i];
            if (pb_bpf_is_return(step->operation))
                continue;
            uint32_t behind = written[i] | written_by(step);
            bool new_jt = narrow(written, step->jt, behind), new_jf = narrow(written, step->jf, behind);
            changed |= program->has_loop && (new_jt || new_jf);
        }
    }
    for (uint32_t i = 0; i < program->count; i++) {
        const struct pb_bpf_step *step = &program->steps[i];
        if (step->operation == PB_BPF_LD_MEM || step->operation == PB_BPF_LDX_MEM)
            program->unwritten |= 1u << step->k & ~(uint32_t)written[i];
    }
    free(written);
    return 0;
}

int pb_bpf_verify(const struct pb_bpf_instruction *instructions, uint32_t count, struct pb_bpf_program *program,
                  struct pb_error *error)
{
    *program = (struct pb_bpf_program){.count = count};
    if (count == 0 || count > PB_BPF_INSTRUCTIONS_MAX)
        return pb_fail(error, EINVAL, "a BPF program of %u instructions; it must have 1 to %d", count,
                       PB_BPF_INSTRUCTIONS_MAX);
    program->steps = calloc(count, sizeof(*program->steps));
    if (program->steps == NULL)
        return pb_fail(error, ENOMEM, "no memory for a BPF program of %u instructions", count);
    int status = 0;
    for (uint32_t i = 0; i < count && status == 0; i++) {
        status = decode(&instructions[i], i, count, &program->steps[i], error);
        program->has_loop |= status == 0 && program->steps[i].operation == PB_BPF_JA && program->steps[i].jt <= i;
    }
    if (status == 0)
        status = find_unwritten(program, error);
    if (status < 0)
        pb_bpf_free(program);
    return status;
}

void pb_bpf_free(struct pb_bpf_program *program)
{
    if (program->mapping != NULL)
        munmap(program->mapping, program->mapping_bytes);
    free(program->steps);
    *program = (struct pb_bpf_program){0};
}
