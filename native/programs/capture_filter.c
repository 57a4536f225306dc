/* capture_filter.c - capture filters by libpcap. See capture_filter.h. */
#include "capture_filter.h"

#include <errno.h>
#include <stddef.h>

#include "../core/error.h"
#include "capture_stream.h"

int pb_capture_filter_compile(const char *text, uint32_t link_type, struct pb_pcap_code *filter, struct pb_error *error)
{
    char reason[PB_PCAP_REASON_BYTES];
    int result = pb_pcap_load("a capture filter", error);
    if (result < 0)
        return result;
    result = pb_pcap_compile(text, link_type, true, filter, reason);
    return result < 0 ? pb_fail(error, -result, "capture filter \"%.200s\": %s", text, reason) : 0;
}

int pb_capture_filter_check(const char *text, struct pb_error *error)
{
    /* Ethernet, raw IP, Linux cooked, 802.11 with radiotap. What is wrong is said for the
     * first: it is a mistake in any of them. */
    static const uint32_t link_types[] = {PB_LINK_ETHERNET, 101, 113, 127};
    struct pb_pcap_code filter;
    int result = pb_capture_filter_compile(text, link_types[0], &filter, error);
    for (size_t i = 1; i < sizeof(link_types) / sizeof(link_types[0]) && result == -EINVAL; i++)
        if (pb_capture_filter_compile(text, link_types[i], &filter, NULL) == 0)
            result = 0;
    if (result == 0)
        pb_pcap_free(&filter);
    return result;
}

bool pb_capture_filter_matches(const struct pb_pcap_code *filter, const struct pb_pipe_record *record)
{
    return pb_pcap_run(filter, record->data, record->captured_len, record->wire_len) != 0;
}
