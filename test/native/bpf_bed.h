/*
 * bpf_bed.h - a BPF program run in all three ways over the same packets: machine
 * code, our interpreter, libpcap's bpf_filter(). For test_bpf.c and fuzz_bpf.c.
 *
 * Machine code is not instrumented: packets stand before a page that may not be
 * touched, so that a read behind one ends the process.
 */
#ifndef PB_BPF_BED_H
#define PB_BPF_BED_H

#include <stdlib.h>
#include <sys/mman.h>

#include "../../bricks/filter/bpf_program.h"
#include "core/pcap_filter.h"

#define BED_BYTES (1u << 20)
#define BED_PACKETS 64
#define BED_STEPS_MAX 96

/* End with the line where two results differ. */
static inline void bed_require(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

/* The end of memory behind which nothing can be read. */
static inline uint8_t *bed_end(void)
{
    static uint8_t *end;
    if (end == NULL) {
        uint8_t *memory = mmap(NULL, BED_BYTES + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        bed_require(memory != MAP_FAILED && mprotect(memory + BED_BYTES, 4096, PROT_NONE) == 0, "no memory");
        end = memory + BED_BYTES;
    }
    return end;
}

/* Put a packet there. */
static inline struct pb_packet bed_packet(const uint8_t *bytes, uint32_t captured_len, uint32_t wire_len)
{
    struct pb_packet packet;
    uint8_t *data = bed_end() - captured_len;
    if (captured_len > 0)
        memcpy(data, bytes, captured_len);
    pb_packet_init(&packet, data, captured_len, wire_len, 0, PB_LINK_ETHERNET);
    return packet;
}

/* Run one packet in every way; `code` are the instructions that libpcap runs, NULL: it does not. */
static inline uint32_t bed_run(const struct pb_bpf_program *program, const struct pb_pcap_code *code,
                               const struct pb_packet *packet)
{
    static const uint16_t index[3] = {1, 1, 0};
    const struct pb_packet packets[2] = {*packet, *packet};
    uint32_t expected = pb_bpf_interpret(program, packet);
    uint32_t results[4] = {~expected, ~expected, ~expected, 0x5eed};
    if (program->code != NULL) {
        bed_require(program->code(packets, index, 3, results, PB_LINK_ETHERNET) == 3, "machine code stops early");
        bed_require(results[0] == expected && results[1] == expected && results[2] == expected,
                    "machine code and interpreter differ");
        bed_require(program->code(packets, index, 3, results, 101) == 0, "machine code does not stop at a link type");
        bed_require(results[3] == 0x5eed, "machine code writes more results than packets");
    }
    if (code != NULL)
        bed_require(pb_pcap_run(code, packet->data, packet->captured_len, packet->wire_len) == expected,
                    "interpreter and libpcap differ");
    return expected;
}

/* Bytes that decide what is made of them; when they are used up, zeros. */
struct bed_bytes {
    const uint8_t *bytes;
    size_t left;
};

static inline uint32_t bed_take(struct bed_bytes *from)
{
    if (from->left == 0)
        return 0;
    from->left--;
    return *from->bytes++;
}

/* A constant: often a small one, or at a boundary. */
static inline uint32_t bed_constant(struct bed_bytes *from)
{
    static const uint32_t boundaries[] = {0, 1, 31, 32, 0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff, 0x7ffffffb};
    uint32_t kind = bed_take(from);
    if (kind < 160)
        return kind % 80;
    if (kind < 180)
        return boundaries[kind % (sizeof(boundaries) / sizeof(*boundaries))];
    uint32_t value = 0;
    for (uint32_t i = 0; i < 1 + kind % 4; i++)
        value = value << 8 | bed_take(from);
    return value;
}

static inline struct pb_bpf_instruction bed_instruction(struct bed_bytes *from, uint32_t left)
{
    static const uint16_t codes[] = {
#define BED_CODE(name, code) code,
        PB_BPF_OPERATIONS(BED_CODE)
#undef BED_CODE
    };
    uint32_t choice = bed_take(from);
    struct pb_bpf_instruction made = {.code = codes[choice % (sizeof(codes) / sizeof(*codes))], .k = bed_constant(from)};
    if (choice > 200) /* chains of comparisons */
        made.code = 0x15;
    uint32_t kind = made.code & 7, operation = made.code & 0xf0;
    if (made.code == 0x60 || made.code == 0x61 || kind == 2 || kind == 3)
        made.k %= 6;
    if (kind == 4 && (operation == 0x30 || operation == 0x90) && made.k == 0)
        made.k = 7;
    if (kind == 4 && (operation == 0x60 || operation == 0x70))
        made.k %= 32;
    if (made.code == 0x05)
        made.k = bed_take(from) % left;
    else if (kind == 5) {
        uint32_t far = bed_take(from);
        made.jt = (uint8_t)(far % left);
        made.jf = (uint8_t)((choice > 200 ? 0 : far / 16) % left);
    }
    return made;
}

/* A program that the verifier accepts; *count of them are the steps. */
static inline void bed_make_program(struct bed_bytes *from, struct pb_bpf_instruction *steps, uint32_t *count)
{
    *count = 8 + bed_take(from) % (BED_STEPS_MAX - 8);
    for (uint32_t i = 0; i < *count; i++)
        steps[i] = i < 6 ? (struct pb_bpf_instruction){.code = 0x02, .k = i} : bed_instruction(from, *count - i - 1 + (i + 1 == *count));
    steps[*count - 1] = (struct pb_bpf_instruction){.code = bed_take(from) % 2 == 0 ? 0x06 : 0x16, .k = 0xabcd};
}

/* Make the program that the bytes say, and run it over the packet that the rest says, cut at every length. */
static inline void bed_differ(struct bed_bytes from, bool has_libpcap)
{
    struct pb_bpf_instruction steps[BED_STEPS_MAX];
    struct pb_bpf_program program;
    struct pb_pcap_code code = {.instructions = steps};
    struct pb_error error = {0};
    bed_make_program(&from, steps, &code.length);
    bed_require(pb_bpf_verify(steps, code.length, &program, &error) == 0, error.text);
    bed_require(pb_bpf_compile(&program) == 0 || program.code == NULL, "compile");
    uint32_t length = from.left < 90 ? (uint32_t)from.left : 90;
    for (uint32_t cut = 0; cut <= length; cut++) {
        struct pb_packet packet = bed_packet(from.bytes, cut, length + 4);
        bed_run(&program, has_libpcap ? &code : NULL, &packet);
    }
    pb_bpf_free(&program);
}

#endif
