/*
 * capture_filter.h - capture filters in the language of pcap-filter(7), by libpcap.
 *
 * libpcap is loaded when a filter is used: who uses none need not have it. Used
 * on the one thread of bricks-extcap; the caller owns the filter.
 */
#ifndef PB_CAPTURE_FILTER_H
#define PB_CAPTURE_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "packet_bricks.h"

/* libpcap's struct bpf_program. */
struct pb_capture_filter {
    unsigned int length;
    void *instructions;
};

/* Is `text` a filter, for a link type that pipes usually have? 0, or -errno with text. */
int pb_capture_filter_check(const char *text, struct pb_error *error);

/* 0, or -errno with text. */
int pb_capture_filter_compile(const char *text, uint32_t link_type, struct pb_capture_filter *filter,
                              struct pb_error *error);
bool pb_capture_filter_matches(const struct pb_capture_filter *filter, const struct pb_pipe_record *record);
void pb_capture_filter_free(struct pb_capture_filter *filter);

#endif
