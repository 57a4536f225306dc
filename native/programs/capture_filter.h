/*
 * capture_filter.h - capture filters in the language of pcap-filter(7), by libpcap.
 *
 * Used on the one thread of bricks-extcap; the caller owns the filter, to be freed
 * by pb_pcap_free().
 */
#ifndef PB_CAPTURE_FILTER_H
#define PB_CAPTURE_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "../core/pcap_filter.h"

/* Is `text` a filter, for a link type that pipes usually have? 0, or -errno with text. */
int pb_capture_filter_check(const char *text, struct pb_error *error);

/* 0, or -errno with text. */
int pb_capture_filter_compile(const char *text, uint32_t link_type, struct pb_pcap_code *filter, struct pb_error *error);
bool pb_capture_filter_matches(const struct pb_pcap_code *filter, const struct pb_pipe_record *record);

#endif
