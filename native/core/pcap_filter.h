/*
 * pcap_filter.h - the compiler of pcap-filter(7) expressions, which is libpcap's.
 *
 * libpcap is loaded when the first expression is compiled: who uses none need not
 * have it. Control paths only, one thread at a time; the caller owns the code.
 */
#ifndef PB_PCAP_FILTER_H
#define PB_PCAP_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "packet_bricks.h"

#define PB_PCAP_REASON_BYTES 256 /* PCAP_ERRBUF_SIZE */

/* libpcap's struct bpf_program. */
struct pb_pcap_code {
    unsigned int length;
    void *instructions; /* of 8 bytes each: bpf(4) */
};

/* Load libpcap. 0, or -errno with text: `what` needs it ("a capture filter"). */
int pb_pcap_load(const char *what, struct pb_error *error);

/* Compile for packets of a link type (LINKTYPE_ number), once libpcap is loaded. 0, or
 * -errno with libpcap's words in `reason`, PB_PCAP_REASON_BYTES long. */
int pb_pcap_compile(const char *text, uint32_t link_type, bool optimize, struct pb_pcap_code *code, char *reason);
void pb_pcap_free(struct pb_pcap_code *code);

/* What libpcap's own interpreter returns for a packet: 0: it does not match. */
uint32_t pb_pcap_run(const struct pb_pcap_code *code, const uint8_t *data, uint32_t captured_len, uint32_t wire_len);

#endif
