/*
 * expression_position.h - where in an expression a mistake is, which libpcap does not say.
 * Control thread; pure but for libpcap, which must be loaded.
 */
#ifndef PB_EXPRESSION_POSITION_H
#define PB_EXPRESSION_POSITION_H

#include <stdint.h>

/* A word of an expression. */
struct pb_expression_word {
    uint32_t offset, length; /* length 0: the end of the text, where something is missing */
};

/* The first word with which `text` cannot be the beginning of any expression for Ethernet, as far
 * as can be told; `reason` is what libpcap said of the whole. */
struct pb_expression_word pb_expression_find_mistake(const char *text, const char *reason);

#endif
