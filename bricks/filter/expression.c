/*
 * expression.c - expressions by libpcap, a program for each link type. See expression.h.
 *
 * libpcap's compiler takes a time that grows with the square of an expression's
 * length and more (Debian 12: 50 hosts 5 ms, 400 hosts 0.5 s unoptimized), and for
 * each link type anew. So the longer the program for Ethernet is, the fewer others
 * are made. Link types that agree on a program share it.
 */
#include "expression.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf_program.h"
#include "core/error.h"
#include "core/pcap_filter.h"
#include "expression_position.h"
#include "expression_size.h"

/* LINKTYPE_ numbers go up to about 300. */
#define LINK_TYPES 512
#define NO_PROGRAM UINT16_MAX
#define MATCHES_NOTHING (UINT16_MAX - 1) /* no packet of that link type can match */

/* Instructions of the program for Ethernet, or the first link type that there is one for, unoptimized, up to which
 * programs are made for every link type, and for those of the list below. Beyond, for that only, not optimized. */
#define EVERY_LINK_MAX 400
#define USUAL_LINKS_MAX 3000

/* How many packets are decided in one call; the data of the next so many is fetched before. */
#define GROUP_PACKETS 64

/* BSD loopback, Ethernet, PPP, its framings, raw IP, 802.11, OpenBSD loopback, Linux cooked, radiotap,
 * IPv4, IPv6, Linux cooked 2. */
static const uint16_t usual_links[] = {0, 9, 50, 51, 101, 105, 108, 113, 127, 228, 229, 276};

/* A program, and the code it was made from, to find others that are the same. */
struct made {
    struct pb_bpf_program program;
    struct pb_pcap_code code;
};

struct pb_expression {
    char *text;
    struct made *programs;
    uint32_t programs_count;
    uint16_t by_link[LINK_TYPES]; /* which program; NO_PROGRAM, MATCHES_NOTHING */
};

static int no_memory(struct pb_error *error)
{
    return pb_fail(error, ENOMEM, "filter: no memory for the expression");
}

/* The program made from the same code as `code`; NO_PROGRAM. */
static uint16_t find_same(const struct pb_expression *expression, const struct pb_pcap_code *code)
{
    for (uint32_t i = 0; i < expression->programs_count; i++) {
        const struct pb_pcap_code *other = &expression->programs[i].code;
        if (other->length == code->length &&
            memcmp(other->instructions, code->instructions, code->length * sizeof(struct pb_bpf_instruction)) == 0)
            return (uint16_t)i;
    }
    return NO_PROGRAM;
}

/* Take over `code`, which is freed if it fails, as the program of a link type. */
static int add_program(struct pb_expression *expression, uint32_t link_type, struct pb_pcap_code *code,
                       struct pb_error *error)
{
    uint16_t same = find_same(expression, code);
    expression->by_link[link_type] = same;
    if (same != NO_PROGRAM) {
        pb_pcap_free(code);
        return 0;
    }
    struct pb_bpf_program program;
    int status = pb_bpf_verify(code->instructions, code->length, &program, error);
    struct made *longer = realloc(expression->programs, (expression->programs_count + 1) * sizeof(*longer));
    if (longer != NULL)
        expression->programs = longer;
    if (status < 0 || longer == NULL) {
        pb_pcap_free(code);
        if (status == 0)
            pb_bpf_free(&program);
        return status < 0 ? status : no_memory(error);
    }
    pb_bpf_compile(&program); /* where that fails it is interpreted */
    expression->by_link[link_type] = (uint16_t)expression->programs_count;
    expression->programs[expression->programs_count++] = (struct made){.program = program, .code = *code};
    return 0;
}

/* The compiler's word for an expression that contradicts itself. */
static bool rejects_all(const char *reason)
{
    return strcmp(reason, "expression rejects all packets") == 0;
}

/* A name that was looked up, for as long as that takes, and not found: it will not be for another link type. */
static bool unknown_name(const char *reason)
{
    return strncmp(reason, "unknown host", 12) == 0 || strncmp(reason, "unknown network", 15) == 0;
}

/* Compile for a link type: 0, also where it has no such expression; or -errno. */
static int compile_for(struct pb_expression *expression, uint32_t link_type, struct pb_error *error)
{
    struct pb_pcap_code code;
    char reason[PB_PCAP_REASON_BYTES];
    if (pb_pcap_compile(expression->text, link_type, true, &code, reason) == 0)
        return add_program(expression, link_type, &code, error);
    if (rejects_all(reason))
        expression->by_link[link_type] = MATCHES_NOTHING;
    return 0;
}

/* Those for other link types than that of the program there is, as its length allows. */
static int compile_others(struct pb_expression *expression, uint32_t link_type, uint32_t length, struct pb_error *error)
{
    int status = 0;
    if (length <= EVERY_LINK_MAX) {
        for (uint32_t i = 0; i < LINK_TYPES && status == 0; i++)
            if (i != link_type)
                status = compile_for(expression, i, error);
    } else if (length <= USUAL_LINKS_MAX) {
        for (size_t i = 0; i < sizeof(usual_links) / sizeof(*usual_links) && status == 0; i++)
            if (usual_links[i] != link_type)
                status = compile_for(expression, usual_links[i], error);
    }
    return status;
}

/* The text as a message shows it: one line, not too long. */
static void show(const char *text, char shown[160])
{
    snprintf(shown, 160, "%s", text);
    for (char *c = shown; *c != '\0'; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    if (strlen(text) >= 160)
        memcpy(shown + 156, "...", 4);
}

static int too_long(const char *text, struct pb_error *error)
{
    char shown[160];
    show(text, shown);
    return pb_fail(error, E2BIG, "filter \"%s\": too long: more than %d instructions; part it over several bricks, or add rules instead",
                   shown, PB_EXPRESSION_INSTRUCTIONS_MAX);
}

/* What libpcap says of it for Ethernet, and where the mistake is. */
static int explain(const char *text, const char *reason, struct pb_error *error)
{
    static const char prefix[] = "can't parse filter expression: ";
    char shown[160], word_shown[160], word_text[160];
    show(text, shown);
    if (rejects_all(reason))
        return pb_fail(error, EINVAL, "filter \"%s\": no packet can match it; write another", shown);
    if (strncmp(reason, prefix, strlen(prefix)) == 0)
        reason += strlen(prefix);
    struct pb_expression_word word = pb_expression_find_mistake(text, reason);
    if (word.length == 0)
        return pb_fail(error, EINVAL, "filter \"%s\": %s at its end: something is missing; see pcap-filter(7)", shown, reason);
    snprintf(word_text, sizeof(word_text), "%.*s", (int)word.length, text + word.offset);
    show(word_text, word_shown);
    return pb_fail(error, EINVAL, "filter \"%s\": %s at position %u, \"%s\"; see pcap-filter(7)", shown, reason,
                   word.offset + 1, word_shown);
}

/* The link type by which the expression's length is judged: Ethernet, or the first for which it is an
 * expression; LINK_TYPES: none, and `reason` is what libpcap says of Ethernet. */
static uint32_t find_link(const char *text, char *reason)
{
    char ignored[PB_PCAP_REASON_BYTES];
    if (pb_expression_parses(text, PB_LINK_ETHERNET, reason))
        return PB_LINK_ETHERNET;
    uint32_t link_type = unknown_name(reason) ? LINK_TYPES : 0;
    while (link_type < LINK_TYPES && !pb_expression_parses(text, link_type, ignored))
        link_type++;
    return link_type;
}

static int compile_all(struct pb_expression *expression, struct pb_error *error)
{
    struct pb_pcap_code code;
    char reason[PB_PCAP_REASON_BYTES];
    uint32_t link_type = find_link(expression->text, reason);
    if (link_type == LINK_TYPES)
        return explain(expression->text, reason, error);
    int status = pb_expression_compile(expression->text, link_type, &code, reason);
    if (status == -E2BIG)
        return too_long(expression->text, error);
    if (status < 0)
        return explain(expression->text, reason, error);
    uint32_t length = code.length;
    if (length <= USUAL_LINKS_MAX) {
        pb_pcap_free(&code);
        status = pb_pcap_compile(expression->text, link_type, true, &code, reason);
    }
    if (status == 0)
        status = add_program(expression, link_type, &code, error);
    else if (link_type == PB_LINK_ETHERNET || !rejects_all(reason))
        return explain(expression->text, reason, error);
    else
        status = 0; /* packets of another link type may match */
    if (status == 0)
        status = compile_others(expression, link_type, length, error);
    if (status == 0 && expression->programs_count == 0)
        return explain(expression->text, reason, error);
    return status;
}

int pb_expression_make(const char *text, uint32_t length, struct pb_expression **made, struct pb_error *error)
{
    if (length > PB_EXPRESSION_BYTES_MAX)
        return pb_fail(error, E2BIG, "filter: an expression of %u bytes; it may have %d: part it over several bricks",
                       length, PB_EXPRESSION_BYTES_MAX);
    if (memchr(text, '\0', length) != NULL)
        return pb_fail(error, EINVAL, "filter: the expression has a zero byte within; leave that out");
    int status = pb_pcap_load("a filter expression", error);
    if (status < 0)
        return status;
    struct pb_expression *expression = calloc(1, sizeof(*expression));
    if (expression == NULL)
        return no_memory(error);
    memset(expression->by_link, 0xff, sizeof(expression->by_link));
    expression->text = strndup(text, length);
    status = expression->text == NULL ? no_memory(error) : compile_all(expression, error);
    if (status < 0) {
        pb_expression_free(expression);
        return status;
    }
    *made = expression;
    return 0;
}

void pb_expression_free(struct pb_expression *expression)
{
    if (expression == NULL)
        return;
    for (uint32_t i = 0; i < expression->programs_count; i++) {
        pb_pcap_free(&expression->programs[i].code);
        pb_bpf_free(&expression->programs[i].program);
    }
    free(expression->programs);
    free(expression->text);
    free(expression);
}

/* Fetch the data of packets that are decided next. */
static void fetch(const struct pb_batch *batch, uint32_t first)
{
    uint32_t end = first + GROUP_PACKETS < batch->count ? first + GROUP_PACKETS : batch->count;
    for (uint32_t i = first; i < end; i++)
        __builtin_prefetch(batch->packets[batch->index[i]].data);
}

/* Packets for which there is no program, from the front of a group on: none matches. Returns how many. */
static uint32_t skip(const struct pb_batch *batch, uint32_t first, uint32_t end, uint32_t *results)
{
    uint16_t link_type = batch->packets[batch->index[first]].link_type;
    uint32_t i = first;
    for (; i < end && batch->packets[batch->index[i]].link_type == link_type; i++)
        results[i] = 0;
    return i - first;
}

uint32_t pb_expression_match(const struct pb_expression *expression, const struct pb_batch *batch, uint32_t *results)
{
    uint32_t unsupported = 0, end = 0;
    for (uint32_t first = 0, count; first < batch->count; first += count) {
        if (first == end) {
            end = first + GROUP_PACKETS < batch->count ? first + GROUP_PACKETS : batch->count;
            fetch(batch, end);
        }
        uint16_t link_type = batch->packets[batch->index[first]].link_type;
        uint16_t program = link_type < LINK_TYPES ? expression->by_link[link_type] : NO_PROGRAM;
        if (program == NO_PROGRAM || program == MATCHES_NOTHING) {
            count = skip(batch, first, end, results);
            unsupported += program == NO_PROGRAM ? count : 0;
        } else {
            count = pb_bpf_run(&expression->programs[program].program, batch->packets, batch->index + first,
                               end - first, results + first, link_type);
        }
    }
    return unsupported;
}
