/*
 * expression_size.h - expressions compiled in a time that is bounded, which libpcap's compiler does not bound.
 * Control thread; the caller owns the code.
 */
#ifndef PB_EXPRESSION_SIZE_H
#define PB_EXPRESSION_SIZE_H

#include <stdint.h>

#include "core/pcap_filter.h"

/* Instructions, not optimized, that an expression may have: libpcap takes half a second for them (Debian 12). */
#define PB_EXPRESSION_INSTRUCTIONS_MAX 12000

/* Compile `text`, not optimized, for a link type: 0; -E2BIG: it has more instructions than it may have; or
 * -errno with libpcap's words in `reason`, PB_PCAP_REASON_BYTES long. */
int pb_expression_compile(const char *text, uint32_t link_type, struct pb_pcap_code *code, char *reason);

#endif
