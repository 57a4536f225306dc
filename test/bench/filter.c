/*
 * filter.c - what the Filter brick's expressions cost beside libpcap's bpf_filter().
 *
 *   filter TERMS FIRST SECONDS_PER_RUN RUNS
 *
 * Both decide the same packets, a mix that stays in the cache, by the same
 * expression of TERMS terms ("host", "tcp port", "udp dst port" in turn, from number
 * FIRST on), on one core, taking turns. Prints for each pair one line: packets/s of bpf_filter(), a
 * call for each packet; packets/s of the brick with two outputs, batches of 256.
 */
#include "common.h"

#include <dlfcn.h>
#include <string.h>

#include "core/pcap_filter.h"
#include "engine/brick.h"

#define BATCH 256
#define PACKETS 2048
#define STRIDE 128

static uint8_t frames[PACKETS][STRIDE];
static struct pb_packet packets[PACKETS];
static uint32_t (*bpf_filter)(const void *code, const uint8_t *data, uint32_t wire_len, uint32_t captured_len);

/* IPv4 with TCP (a half), UDP (a quarter), ICMP; IPv6 with TCP; ARP. One in 16 has an address or
 * a port that an expression may name. */
static void make_packets(void)
{
    uint32_t random = 1;
    for (uint32_t i = 0; i < PACKETS; i++) {
        uint8_t *frame = frames[i], *ip = frame + 14;
        random = random * 1664525u + 1013904223u;
        uint32_t kind = random >> 28, r = random >> 4;
        bool named = (random >> 20 & 15) == 0;
        uint16_t port = named ? (uint16_t)(1000 + r % 64) : (uint16_t)(20000 + r % 40000);
        frame[12] = kind >= 14 ? 0x86 : 0x08;
        frame[13] = kind >= 14 ? 0xdd : kind == 13 ? 0x06 : 0x00;
        memcpy(ip + 12, (const uint8_t[]){10, named ? 0 : 9, (uint8_t)(r % 64), 7, 192, 168, (uint8_t)(r >> 8), 1}, 8);
        ip[0] = kind >= 14 ? 0x60 : 0x45;
        ip[kind >= 14 ? 6 : 9] = kind < 8 || kind >= 14 ? 6 : kind < 12 ? 17 : 1;
        uint8_t *l4 = ip + (kind >= 14 ? 40 : 20);
        memcpy(l4, (const uint8_t[]){(uint8_t)(r >> 8), (uint8_t)r, (uint8_t)(port >> 8), (uint8_t)port}, 4);
        pb_packet_init(&packets[i], frame, 100, 100, 0, PB_LINK_ETHERNET);
    }
}

static void make_text(uint32_t terms, uint32_t first, char *text, size_t bytes)
{
    for (uint32_t i = first; i < first + terms; i++) {
        const char *joint = i == first ? "" : " or ";
        int used = i % 3 == 0   ? snprintf(text, bytes, "%shost 10.0.%u.7", joint, i)
                   : i % 3 == 1 ? snprintf(text, bytes, "%stcp port %u", joint, 1000 + i)
                                : snprintf(text, bytes, "%sudp dst port %u", joint, 1000 + i);
        text += used;
        bytes -= (size_t)used;
    }
}

static double run_libpcap(const struct pb_pcap_code *code, double seconds, uint64_t *matches)
{
    uint64_t count = 0, start = now_ns(), end = start + (uint64_t)(seconds * 1e9), now;
    do {
        for (uint32_t i = 0; i < PACKETS; i++)
            *matches += bpf_filter(code->instructions, packets[i].data, packets[i].wire_len, packets[i].captured_len) != 0;
        count += PACKETS;
        now = now_ns();
    } while (now < end);
    *matches = *matches * PACKETS / count;
    return (double)count * 1e9 / (double)(now - start);
}

static double run_brick(const struct pb_brick *brick, void *state, double seconds, uint64_t *matches)
{
    static uint16_t index[PACKETS], matched[BATCH], others[BATCH];
    for (uint32_t i = 0; i < PACKETS; i++)
        index[i] = (uint16_t)i;
    struct pb_vector vectors[2] = {{.index = matched}, {.index = others}}, *outputs_of[2] = {&vectors[0], &vectors[1]};
    struct pb_outputs outputs = {.vectors = outputs_of, .count = 2};
    uint64_t count = 0, start = now_ns(), end = start + (uint64_t)(seconds * 1e9), now;
    do {
        for (uint32_t i = 0; i < PACKETS; i += BATCH) {
            vectors[0].count = vectors[1].count = 0;
            brick->process(state, &(struct pb_batch){.packets = packets, .index = index + i, .count = BATCH}, &outputs);
            *matches += vectors[0].count;
        }
        count += PACKETS;
        now = now_ns();
    } while (now < end);
    *matches = *matches * PACKETS / count;
    return (double)count * 1e9 / (double)(now - start);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: filter TERMS FIRST SECONDS_PER_RUN RUNS\n");
        return 2;
    }
    struct pb_error error;
    struct pb_pcap_code code;
    char reason[PB_PCAP_REASON_BYTES];
    static struct { uint32_t packet_time; char text[8192]; } config;
    static pb_counter counters[16];
    make_text((uint32_t)atoi(argv[1]), (uint32_t)atoi(argv[2]), config.text, sizeof(config.text));
    make_packets();
    check(pb_pcap_load("this benchmark", &error), &error);
    void *library = dlopen("libpcap.so.0.8", RTLD_NOW);
    *(void **)&bpf_filter = dlsym(library, "bpf_filter");
    if (pb_pcap_compile(config.text, PB_LINK_ETHERNET, true, &code, reason) < 0) {
        fprintf(stderr, "%s\n", reason);
        return 1;
    }
    const struct pb_brick *brick = pb_brick_find("Filter");
    struct pb_brick_setup setup = {.outputs = 2, .counters = counters, .config_bytes = 4 + (uint32_t)strlen(config.text)};
    check(brick->control->open(&config, setup.config_bytes, &setup.control, &error), &error);
    void *state = aligned_alloc(64, (brick->state_bytes + 63) / 64 * 64);
    check(brick->init(state, &config, &setup, &error), &error);
    for (int i = 0; i < atoi(argv[4]); i++) {
        uint64_t theirs = 0, ours = 0;
        double libpcap = run_libpcap(&code, atof(argv[3]), &theirs), mine = run_brick(brick, state, atof(argv[3]), &ours);
        if (theirs != ours || theirs == 0) {
            fprintf(stderr, "%llu and %llu packets match\n", (unsigned long long)theirs, (unsigned long long)ours);
            return 1;
        }
        printf("%.0f %.0f\n", libpcap, mine);
    }
    return 0;
}
