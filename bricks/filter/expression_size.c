/*
 * expression_size.c - compiles the beginning of an expression before the whole. See expression_size.h.
 *
 * libpcap's compiler takes a time that grows with the square of the number of
 * instructions, cannot be interrupted, and does not say before how many there will
 * be: a thousand ports, 7 KB, are 64,000 and take 20 s. So beginnings of more and
 * more terms are compiled, each so much longer than the last as cannot take long.
 */
#include "expression_size.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expression_words.h"

/* Instructions of a term: "portrange 1-2" has 93, "port 1" 63, "host 10.0.0.1" 29, "tcp port 1" 23. */
#define TERM_INSTRUCTIONS 100
/* Instructions up to which a beginning is thought to get: more than the maximum, for the steps to be of some size. */
#define AHEAD_INSTRUCTIONS (PB_EXPRESSION_INSTRUCTIONS_MAX + PB_EXPRESSION_INSTRUCTIONS_MAX / 2)
#define FIRST_TERMS 100

/* Where the first so many terms of `text` end. */
static uint32_t end_of_terms(const char *text, uint32_t terms)
{
    struct pb_expression_word word = pb_expression_next_word(text, 0);
    while (word.length > 0 && !(pb_expression_joins(text, word) && --terms == 0))
        word = pb_expression_next_word(text, word.offset + word.length);
    return word.offset;
}

/* Compile the first `length` bytes, which end where a term does: with its brackets closed that is an expression. */
static int compile_beginning(const char *text, uint32_t length, uint32_t link_type, struct pb_pcap_code *code, char *reason)
{
    char *beginning = malloc(2 * (size_t)length + 2);
    if (beginning == NULL) {
        snprintf(reason, PB_PCAP_REASON_BYTES, "%s", "out of memory");
        return -ENOMEM;
    }
    memcpy(beginning, text, length);
    beginning[length] = '\0';
    char *closing = beginning + length + 1;
    pb_expression_close_brackets(beginning, closing);
    memmove(beginning + length, closing, strlen(closing) + 1);
    int status = pb_pcap_compile(beginning, link_type, false, code, reason);
    free(beginning);
    return status;
}

int pb_expression_compile(const char *text, uint32_t link_type, struct pb_pcap_code *code, char *reason)
{
    for (uint32_t terms = FIRST_TERMS;;) {
        uint32_t end = end_of_terms(text, terms);
        bool whole = text[end] == '\0';
        int status = whole ? pb_pcap_compile(text, link_type, false, code, reason)
                           : compile_beginning(text, end, link_type, code, reason);
        if (status < 0)
            return status;
        bool too_long = code->length > PB_EXPRESSION_INSTRUCTIONS_MAX;
        if (whole && !too_long)
            return 0;
        terms += too_long ? 0 : (AHEAD_INSTRUCTIONS - code->length) / TERM_INSTRUCTIONS;
        pb_pcap_free(code);
        if (too_long)
            return -E2BIG;
    }
}
