/*
 * expression_words.h - the words of an expression, and its beginnings made whole.
 * Called by what compiles expressions and explains them, on the control thread; pure.
 */
#ifndef PB_EXPRESSION_WORDS_H
#define PB_EXPRESSION_WORDS_H

#include <stdbool.h>
#include <stdint.h>

/* A word of an expression. */
struct pb_expression_word {
    uint32_t offset, length; /* length 0: the end of the text */
};

/* The word that begins at or behind `from`. */
struct pb_expression_word pb_expression_next_word(const char *text, uint32_t from);

/* Whether it is one that joins two terms: and, or. */
bool pb_expression_joins(const char *text, struct pb_expression_word word);

/* Write what closes the round brackets of `text`, of which there are at most as many as it has
 * bytes, and a zero byte; returns whether a square one is open. */
bool pb_expression_close_brackets(const char *text, char *closing);

#endif
