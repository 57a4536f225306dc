/*
 * expression_position.h - whether there is a mistake in an expression, and where, which libpcap does not say.
 * Control thread; pure but for libpcap, which must be loaded.
 */
#ifndef PB_EXPRESSION_POSITION_H
#define PB_EXPRESSION_POSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "expression_words.h"

/* Whether `text` is an expression for packets of a link type, as far as can be told without making code
 * of it; if not, `reason`, PB_PCAP_REASON_BYTES long, is what libpcap says. */
bool pb_expression_parses(const char *text, uint32_t link_type, char *reason);

/* The first word with which `text` cannot be the beginning of any expression for Ethernet, as far
 * as can be told; `reason` is what libpcap said of the whole. Length 0: something is missing at the end. */
struct pb_expression_word pb_expression_find_mistake(const char *text, const char *reason);

#endif
