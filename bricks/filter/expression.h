/*
 * expression.h - an expression of pcap-filter(7), ready to decide packets.
 *
 * Made on the control thread, by libpcap's compiler: one program for each link
 * type, since headers lie elsewhere in each; then it does not change, and any
 * number of engine threads may ask it. Whoever made it frees it.
 */
#ifndef PB_EXPRESSION_H
#define PB_EXPRESSION_H

#include "core/batch.h"
#include "packet_bricks.h"

#define PB_EXPRESSION_BYTES_MAX 8192

struct pb_expression;

/* Compile `length` bytes of text. 0, or -errno with one line: what is wrong, and where. */
int pb_expression_make(const char *text, uint32_t length, struct pb_expression **expression, struct pb_error *error);
void pb_expression_free(struct pb_expression *expression);

/* For each packet of the batch a result: 0: it does not match. Returns how many have a link
 * type that the expression has no program for: they do not match. */
uint32_t pb_expression_match(const struct pb_expression *expression, const struct pb_batch *batch, uint32_t *results);

#endif
