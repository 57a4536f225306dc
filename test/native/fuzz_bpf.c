/*
 * fuzz_bpf.c - libFuzzer target: BPF programs.
 *
 * An even first byte: valid programs, made from what follows; machine code, our
 * interpreter and libpcap's agree on every cut of a packet. An odd one: any bytes as
 * a program; what the verifier accepts runs without harm and alike in both of ours.
 */
#include <stdio.h>

#include "bpf_bed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run_garbage(const uint8_t *data, size_t size)
{
    struct pb_bpf_instruction steps[256];
    struct pb_bpf_program program;
    struct pb_error error;
    uint32_t count = (uint32_t)(size / sizeof(*steps) < 256 ? size / sizeof(*steps) : 256);
    memcpy(steps, data, count * sizeof(*steps));
    if (pb_bpf_verify(steps, count, &program, &error) < 0) {
        bed_require(program.steps == NULL && strchr(error.text, '\n') == NULL, "a refused program");
        return;
    }
    bed_require(pb_bpf_compile(&program) == 0, "compile");
    uint32_t length = (uint32_t)(size < 128 ? size : 128);
    struct pb_packet packet = bed_packet(data, length, length);
    bed_run(&program, NULL, &packet);
    pb_bpf_free(&program);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int libpcap = 1;
    if (libpcap == 1)
        libpcap = pb_pcap_load("the oracle", NULL);
    if (size < 2)
        return 0;
    if (data[0] % 2 == 0)
        bed_differ((struct bed_bytes){data + 1, size - 1}, libpcap == 0);
    else
        run_garbage(data + 1, size - 1);
    return 0;
}
