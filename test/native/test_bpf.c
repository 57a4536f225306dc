/*
 * test_bpf.c - BPF programs and expressions: what the verifier refuses, and that machine
 * code, our interpreter and libpcap's bpf_filter() agree on every packet: for random
 * programs, and for the expressions of libpcap's own tests over captures.
 *
 * Expressions and captures are those of $BRICKS_CORPUS; without it, some written
 * here and the fixture.
 */
#include <errno.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

#include "bpf_bed.h"
#include "../../bricks/filter/bpf_chain.h"
#include "../../bricks/filter/expression.h"
#include "ports/pcap/format.h"

#define PACKETS_OF_CAPTURE 6
#define EXPRESSIONS_MAX 8192

static struct pb_packet *packets;
static uint32_t packets_count;
static char *expressions[EXPRESSIONS_MAX];
static uint32_t expressions_count;

/* A program of one step and what is behind it is refused, and the text says so. */
static void check_refused(struct pb_bpf_instruction step, const char *text)
{
    struct pb_bpf_instruction steps[] = {step, {.code = 0x06}, {.code = 0x06}};
    struct pb_bpf_program program;
    struct pb_error error = {0};
    CHECK_EQUAL(pb_bpf_verify(steps, 3, &program, &error), -EINVAL);
    if (strstr(error.text, text) == NULL)
        fprintf(stderr, "%s\n", error.text);
    CHECK(strstr(error.text, text) != NULL);
}

static void test_refused(void)
{
    check_refused((struct pb_bpf_instruction){.code = 0xff}, "no operation 0xff");
    check_refused((struct pb_bpf_instruction){.code = 0x0e}, "no operation 0x0e"); /* ret x */
    check_refused((struct pb_bpf_instruction){.code = 0x02, .k = 16}, "no memory word 16");
    check_refused((struct pb_bpf_instruction){.code = 0x34}, "division by zero");
    check_refused((struct pb_bpf_instruction){.code = 0x94}, "division by zero");
    check_refused((struct pb_bpf_instruction){.code = 0x64, .k = 32}, "shift by 32 bits");
    check_refused((struct pb_bpf_instruction){.code = 0x15, .jt = 2}, "out of the program");
    check_refused((struct pb_bpf_instruction){.code = 0x15, .jf = 2}, "out of the program");
    check_refused((struct pb_bpf_instruction){.code = 0x05, .k = 2}, "out of the program");
    check_refused((struct pb_bpf_instruction){.code = 0x05, .k = (uint32_t)-2}, "out of the program");
    struct pb_bpf_program program;
    struct pb_error error = {0};
    struct pb_bpf_instruction load = {.code = 0x28, .k = 12};
    CHECK_EQUAL(pb_bpf_verify(&load, 1, &program, &error), -EINVAL); /* runs over the end */
    CHECK_EQUAL(pb_bpf_verify(&load, 0, &program, &error), -EINVAL);
    CHECK_EQUAL(pb_bpf_verify(&load, PB_BPF_INSTRUCTIONS_MAX + 1, &program, &error), -EINVAL);
}

/* A word that is written on one way only is 0 on the other. */
static void test_memory_of_one_way(void)
{
    struct pb_bpf_instruction steps[] = {
        {.code = 0x30}, {.code = 0x15, .k = 'w', .jf = 1}, {.code = 0x02, .k = 1}, {.code = 0x60, .k = 1}, {.code = 0x16}};
    struct pb_bpf_program program;
    CHECK_EQUAL(pb_bpf_verify(steps, 5, &program, NULL), 0);
    CHECK_EQUAL(program.unwritten, 1u << 1);
    pb_bpf_compile(&program);
    struct pb_packet packet = bed_packet((const uint8_t *)"w", 1, 1);
    CHECK_EQUAL(bed_run(&program, NULL, &packet), 'w');
    packet = bed_packet((const uint8_t *)"-", 1, 1);
    CHECK_EQUAL(bed_run(&program, NULL, &packet), 0);
    pb_bpf_free(&program);
    steps[1].jf = 0;
    CHECK_EQUAL(pb_bpf_verify(steps, 5, &program, NULL), 0);
    CHECK_EQUAL(program.unwritten, 0);
    pb_bpf_free(&program);
}

/* What never ends by itself ends with no match. */
static void test_endless_loop(void)
{
    struct pb_bpf_instruction steps[] = {{.code = 0x04, .k = 1}, {.code = 0x05, .k = (uint32_t)-2}, {.code = 0x16}};
    struct pb_bpf_program program;
    CHECK_EQUAL(pb_bpf_verify(steps, 3, &program, NULL), 0);
    CHECK(program.has_loop);
    pb_bpf_compile(&program);
    struct pb_packet packet = bed_packet((const uint8_t *)"x", 1, 1);
    CHECK_EQUAL(bed_run(&program, NULL, &packet), 0);
    pb_bpf_free(&program);
}

static uint32_t chain_value(uint32_t i)
{
    return i * 2654435761u ^ i >> 3;
}

/* A list too long for one table is several, from its first value on. */
static void test_long_chain(void)
{
    enum { VALUES = 2000, STEPS = 2 * VALUES + 2 };
    static struct pb_bpf_instruction steps[STEPS] = {{.code = 0x20}}; /* the first word of the packet */
    struct pb_bpf_program program;
    struct pb_bpf_chains chains;
    for (uint32_t i = 0; i < VALUES; i++) {
        steps[1 + 2 * i] = (struct pb_bpf_instruction){.code = 0x15, .jf = 1, .k = chain_value(i)};
        steps[2 + 2 * i] = (struct pb_bpf_instruction){.code = 0x06, .k = i + 1};
    }
    steps[STEPS - 1] = (struct pb_bpf_instruction){.code = 0x06};
    CHECK_EQUAL(pb_bpf_verify(steps, STEPS, &program, NULL), 0);
    CHECK_EQUAL(pb_bpf_chains_find(&program, &chains), 0);
    CHECK(pb_bpf_chains_begins(&chains, 1));
    pb_bpf_chains_free(&chains);
    pb_bpf_compile(&program);
    for (uint32_t i = 0; i <= VALUES; i++) {
        uint32_t word = __builtin_bswap32(chain_value(i));
        struct pb_packet packet = bed_packet((const uint8_t *)&word, 4, 4);
        CHECK_EQUAL(bed_run(&program, NULL, &packet), i < VALUES ? i + 1 : 0);
    }
    pb_bpf_free(&program);
}

static void test_random(bool has_libpcap)
{
    uint8_t bytes[600];
    uint64_t state = 42;
    for (uint32_t round = 0; round < 4000; round++) {
        for (size_t i = 0; i < sizeof(bytes); i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            bytes[i] = (uint8_t)(state >> 56);
        }
        bed_differ((struct bed_bytes){bytes, sizeof(bytes)}, has_libpcap);
    }
}

static void keep_packet(const struct pb_packet *packet)
{
    if ((packets_count & (packets_count + 1)) == 0)
        CHECK((packets = realloc(packets, 2 * (packets_count + 1) * sizeof(*packets))) != NULL);
    uint8_t *data = malloc(packet->captured_len + 1);
    CHECK(data != NULL);
    memcpy(data, packet->data, packet->captured_len);
    packets[packets_count] = *packet;
    packets[packets_count++].data = data;
}

/* The first packets of a capture. */
static int read_capture(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)place;
    FILE *file = type == FTW_F && status->st_size < (16 << 20) ? fopen(path, "r") : NULL;
    if (file == NULL)
        return 0;
    uint8_t *bytes = malloc((size_t)status->st_size + 1);
    size_t size = fread(bytes, 1, (size_t)status->st_size, file), at = 0, used = 0;
    struct pcap_format format = {0};
    struct pb_packet packet;
    pcap_format_reset(&format);
    if (pcap_format_header(&format, bytes, size, &at) == PCAP_OK)
        for (int i = 0; i < PACKETS_OF_CAPTURE; i++, at += used) {
            if (pcap_format_next(&format, bytes + at, size - at, &used, &packet) != PCAP_PACKET)
                break;
            keep_packet(&packet);
        }
    pcap_format_free(&format);
    free(bytes);
    fclose(file);
    return 0;
}

static void keep_expression(const char *text, size_t length)
{
    CHECK(expressions_count < EXPRESSIONS_MAX);
    char *kept = strndup(text, length), *to = kept;
    for (const char *from = kept; *from != '\0'; from++)
        *to++ = *from == '\\' && from[1] != '\0' ? *++from : *from; /* JSON's escapes of quotes and backslashes */
    *to = '\0';
    /* Names of hosts would be asked of the network. */
    if (strstr(kept, "invalid") != NULL || strstr(kept, ".test") != NULL) {
        free(kept);
        return;
    }
    expressions[expressions_count++] = kept;
}

/* Keep what stands between `from` and the last quote of the line. */
static void keep_quoted(const char *from)
{
    const char *to = strrchr(from, '"');
    if (to != NULL)
        keep_expression(from, (size_t)(to - from));
}

/* Every "expr": "..." of a file of libpcap's tests, and the lists of "aliases". */
static void read_expressions(const char *path)
{
    static const char key[] = "\"expr\": \"";
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    char *line = NULL;
    size_t room = 0;
    bool in_aliases = false;
    while (getline(&line, &room, file) > 0) {
        const char *from = strstr(line, key), *quote = strchr(line, '"');
        if (from != NULL)
            keep_quoted(from + strlen(key));
        else if (in_aliases && quote != NULL)
            keep_quoted(quote + 1);
        in_aliases = strstr(line, "\"aliases\": [") != NULL || (in_aliases && strchr(line, ']') == NULL);
    }
    free(line);
    fclose(file);
}

/* The program that the brick would use, and libpcap's own, over every packet of a link type. */
static uint64_t compare_link(const char *text, uint32_t link_type)
{
    struct pb_pcap_code code;
    char reason[PB_PCAP_REASON_BYTES];
    if (pb_pcap_compile(text, link_type, true, &code, reason) < 0)
        return 0;
    struct pb_bpf_program program;
    struct pb_error error = {0};
    if (pb_bpf_verify(code.instructions, code.length, &program, &error) < 0)
        fprintf(stderr, "%s: %s\n", text, error.text);
    CHECK(error.code == 0);
    pb_bpf_compile(&program);
    uint64_t compared = 0;
    for (uint32_t i = 0; i < packets_count; i++) {
        if (packets[i].link_type != link_type)
            continue;
        uint32_t length = packets[i].captured_len;
        for (uint32_t cut = length; cut <= length; cut -= 1 + compared % 13, compared++) {
            struct pb_packet packet = bed_packet(packets[i].data, cut, packets[i].wire_len);
            bed_run(&program, program.unwritten == 0 ? &code : NULL, &packet);
            if (length - cut > 60)
                break;
        }
    }
    pb_bpf_free(&program);
    pb_pcap_free(&code);
    return compared;
}

/* Whether a program reads memory before it writes it: libpcap's result is then anything. */
static bool reads_unwritten(const struct pb_pcap_code *code)
{
    struct pb_bpf_program program;
    CHECK_EQUAL(pb_bpf_verify(code->instructions, code->length, &program, NULL), 0);
    bool reads = program.unwritten != 0;
    pb_bpf_free(&program);
    return reads;
}

/* What the brick says of a batch of all packets is what libpcap says of each. */
static void compare_expression(const char *text)
{
    struct pb_expression *expression;
    struct pb_error error = {0};
    if (pb_expression_make(text, (uint32_t)strlen(text), &expression, &error) < 0) {
        if (strncmp(error.text, "filter \"", 8) != 0)
            fprintf(stderr, "\"%s\": %s\n", text, error.text);
        CHECK(strncmp(error.text, "filter \"", 8) == 0 && strchr(error.text, '\n') == NULL);
        return;
    }
    struct pb_pcap_code codes[512];
    char reason[PB_PCAP_REASON_BYTES];
    bool has[512] = {false}, tried[512] = {false}, undefined[512] = {false};
    uint16_t *index = malloc(packets_count * sizeof(*index));
    uint32_t *results = malloc(packets_count * sizeof(*results));
    uint32_t count = packets_count < UINT16_MAX ? packets_count : UINT16_MAX;
    for (uint32_t i = 0; i < count; i++)
        index[i] = (uint16_t)(count - 1 - i);
    pb_expression_match(expression, &(struct pb_batch){.packets = packets, .index = index, .count = count}, results);
    for (uint32_t i = 0; i < count; i++) {
        const struct pb_packet *packet = &packets[index[i]];
        uint32_t link = packet->link_type;
        if (link >= 512)
            continue;
        if (!tried[link])
            has[link] = pb_pcap_compile(text, link, true, &codes[link], reason) == 0;
        if (!tried[link] && has[link])
            undefined[link] = reads_unwritten(&codes[link]);
        tried[link] = true;
        if (undefined[link])
            continue;
        uint32_t expected =
            has[link] ? pb_pcap_run(&codes[link], packet->data, packet->captured_len, packet->wire_len) : 0;
        if (results[i] != expected)
            fprintf(stderr, "\"%s\", link type %u\n", text, link);
        CHECK_EQUAL(results[i], expected);
    }
    for (uint32_t link = 0; link < 512; link++)
        if (has[link])
            pb_pcap_free(&codes[link]);
    free(index);
    free(results);
    pb_expression_free(expression);
}

static void read_corpus(void)
{
    static const char *const files[] = {"accept", "apply", "reject"};
    static const char *const own[] = {"tcp port 80", "udp or icmp", "ip[6:2] & 0x1fff = 0", "not ip", "ip6 protochain 6",
                                      "host 10.0.0.1 or host 10.0.0.2 or host 10.0.0.3 or host 10.0.0.4 or host 10.1.0.7",
                                      "ip[2:2] % 7 = 3 or len / ip[8] > 9 or (tcp[0] << ip[1]) ^ 3 = 17"};
    for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
        keep_expression(own[i], strlen(own[i]));
    const char *corpus = getenv("BRICKS_CORPUS");
    char path[4096];
    struct stat status;
    CHECK(stat("../test/fixtures/demo.pcap", &status) == 0);
    read_capture("../test/fixtures/demo.pcap", &status, FTW_F, NULL);
    if (corpus == NULL) {
        printf("BRICKS_CORPUS is not set: only the fixture and expressions of this file\n");
        return;
    }
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/bpf/libpcap-testrun/%s.json", corpus, files[i]);
        read_expressions(path);
    }
    snprintf(path, sizeof(path), "%s/bpf/libpcap-testrun/savefiles", corpus);
    CHECK(nftw(path, read_capture, 16, FTW_PHYS) == 0);
    snprintf(path, sizeof(path), "%s/pcap", corpus);
    CHECK(nftw(path, read_capture, 16, FTW_PHYS) == 0);
}

int main(void)
{
    setenv("RES_OPTIONS", "timeout:1 attempts:1", 1); /* of what is taken for a name after all */
    bool has_libpcap = pb_pcap_load("this test", NULL) == 0;
    test_refused();
    test_memory_of_one_way();
    test_endless_loop();
    test_long_chain();
    test_random(has_libpcap);
    if (!has_libpcap) {
        printf("libpcap0.8 is not installed: expressions were not compared\n");
        return 77;
    }
    read_corpus();
    uint64_t compared = 0;
    for (uint32_t i = 0; i < expressions_count; i++) {
        static const uint32_t links[] = {1, 0, 101, 113, 127, 276, 105, 9};
        for (size_t l = 0; l < sizeof(links) / sizeof(*links); l++)
            compared += compare_link(expressions[i], links[l]);
        compare_expression(expressions[i]);
    }
    CHECK(compared > 0);
    printf("%u expressions, %u packets, %llu comparisons\n", expressions_count, packets_count, (unsigned long long)compared);
    return 0;
}
