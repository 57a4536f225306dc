/*
 * expression_position.c - finds the mistake in an expression. See expression_position.h.
 *
 * libpcap says only "syntax error". So the text is cut behind each of its words:
 * what comes before the mistake can be completed to an expression that compiles, by
 * one of a list of endings, and what includes it cannot.
 */
#include "expression_position.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/batch.h"
#include "core/pcap_filter.h"

#define ENDING_BYTES_MAX 64

/* What may have to follow a word: nothing, an operand of a qualifier, the rest of a comparison. */
static const char *const endings[] = {
    "", " 1", " ip", " 1.2.3.4", " = 0", " 1 = 0", " host 1.2.3.4", " 1:1:1:1:1:1", " 1-2", " net 10.0.0.0", " port 1",
    " 255.0.0.0", " ip host 1.2.3.4", " proto 1", " mgt", " type mgt", " beacon", " ::1",
};
/* What may have to follow the brackets that were left open: they held a condition, or a number. */
static const char *const closings[] = {"", " = 0"};
/* As endings, within the brackets of an accessor. */
static const char *const accessor_endings[] = {"] = 0", " 0] = 0", " 1] = 0", ":1] = 0"};

/* Behind an expression this is an error that the parser itself notices: it has understood what comes before,
 * and makes no code of it, which takes seconds where that is long. */
static const char stop[] = " and len / 0 = 1";
static const char stopped[] = "division by zero";

/* Whether a text, or what comes before the `stop` at its end, is an expression; if not, why. */
static bool compiles(const char *text, uint32_t link_type, bool stops, char *reason)
{
    struct pb_pcap_code code;
    /* Not optimized: what matches no packet is an expression all the same. */
    if (pb_pcap_compile(text, link_type, false, &code, reason) < 0)
        return stops && strcmp(reason, stopped) == 0;
    pb_pcap_free(&code);
    return true;
}

/* Whether the first `length` bytes of `text` can begin an expression; `last`: `stop`, or nothing. */
static bool is_beginning(const char *text, uint32_t length, const char *last)
{
    size_t room = ENDING_BYTES_MAX + (size_t)length + 1; /* of an ending and of brackets */
    char *attempt = malloc(length + room), *closing = malloc((size_t)length + 1);
    if (attempt == NULL || closing == NULL) {
        free(attempt);
        free(closing);
        return true;
    }
    snprintf(attempt, (size_t)length + 1, "%s", text);
    bool accessor = pb_expression_close_brackets(attempt, closing);
    const char *const *list = accessor ? accessor_endings : endings;
    size_t count = accessor ? sizeof(accessor_endings) / sizeof(*accessor_endings) : sizeof(endings) / sizeof(*endings);
    char reason[PB_PCAP_REASON_BYTES];
    bool found = false;
    for (size_t i = 0; i < 2 * count && !found; i++) {
        snprintf(attempt + length, room, "%s%s%s%s", list[i / 2], closing, closings[i % 2], last);
        found = compiles(attempt, PB_LINK_ETHERNET, last == stop, reason);
    }
    free(closing);
    free(attempt);
    return found;
}

bool pb_expression_parses(const char *text, uint32_t link_type, char *reason)
{
    size_t room = strlen(text) + sizeof(stop);
    char *stopping = malloc(room);
    if (stopping == NULL) {
        snprintf(reason, PB_PCAP_REASON_BYTES, "%s", "out of memory");
        return false;
    }
    snprintf(stopping, room, "%s%s", text, stop);
    bool parses = compiles(stopping, link_type, true, reason);
    free(stopping);
    return parses;
}

/* The word that `reason` quotes, where it does: libpcap names hosts and ports that it does not know. */
static bool find_quoted(const char *text, const char *reason, struct pb_expression_word *word)
{
    const char *from = strpbrk(reason, "'\""), *to = from == NULL ? NULL : strchr(from + 1, *from);
    if (to == NULL)
        return false;
    for (*word = pb_expression_next_word(text, 0); word->length > 0; *word = pb_expression_next_word(text, word->offset + word->length))
        if (word->length == (uint32_t)(to - from - 1) && memcmp(text + word->offset, from + 1, word->length) == 0)
            return true;
    return false;
}

struct pb_expression_word pb_expression_find_mistake(const char *text, const char *reason)
{
    struct pb_expression_word found;
    if (find_quoted(text, reason, &found))
        return found;
    const char *last = strcmp(reason, stopped) == 0 ? "" : stop;
    /* By halves: a beginning's beginnings are beginnings. The words from `low` on are not known to be fine. */
    struct pb_expression_word *words = malloc((strlen(text) + 1) * sizeof(*words));
    if (words == NULL)
        return (struct pb_expression_word){0};
    uint32_t count = 0;
    for (words[0] = pb_expression_next_word(text, 0); words[count].length > 0; count++)
        words[count + 1] = pb_expression_next_word(text, words[count].offset + words[count].length);
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (is_beginning(text, words[middle].offset + words[middle].length, last))
            low = middle + 1;
        else
            high = middle;
    }
    found = words[low];
    free(words);
    return found;
}
