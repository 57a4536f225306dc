/* capture_filter.c - capture filters by libpcap. See capture_filter.h. */
#include "capture_filter.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <sys/time.h>

#include "../core/error.h"
#include "capture_stream.h"

#define LIBRARY "libpcap.so.0.8"
#define PCAP_ERROR_BYTES 256               /* PCAP_ERRBUF_SIZE */
#define PCAP_NETMASK_UNKNOWN 0xffffffffu

struct pcap;

/* libpcap's struct pcap_pkthdr. */
struct packet_header {
    struct timeval time;
    uint32_t captured_len, wire_len;
};

/* Its functions as pcap(3PCAP) declares them. */
static struct {
    struct pcap *(*fopen_offline)(FILE *file, char *error);
    int (*compile)(struct pcap *, struct pb_capture_filter *, const char *text, int optimize, uint32_t netmask);
    int (*offline_filter)(const struct pb_capture_filter *, const struct packet_header *, const uint8_t *data);
    void (*freecode)(struct pb_capture_filter *);
    char *(*geterr)(struct pcap *);
    void (*close)(struct pcap *);
} pcap;

static bool find(void *library, const char *name, void *function)
{
    return (*(void **)function = dlsym(library, name)) != NULL;
}

static int load(struct pb_error *error)
{
    if (pcap.close != NULL)
        return 0;
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return pb_fail(error, ENOENT,
                       "a capture filter needs libpcap, and " LIBRARY " cannot be loaded: install the package "
                       "libpcap0.8, or capture without a filter");
    if (find(library, "pcap_fopen_offline", &pcap.fopen_offline) && find(library, "pcap_compile", &pcap.compile) &&
        find(library, "pcap_offline_filter", &pcap.offline_filter) && find(library, "pcap_freecode", &pcap.freecode) &&
        find(library, "pcap_geterr", &pcap.geterr) && find(library, "pcap_close", &pcap.close))
        return 0;
    dlclose(library);
    return pb_fail(error, ENOSYS, "a capture filter needs libpcap 1.1 or newer: update the package libpcap0.8");
}

int pb_capture_filter_compile(const char *text, uint32_t link_type, struct pb_capture_filter *filter,
                              struct pb_error *error)
{
    int result = load(error);
    if (result < 0)
        return result;
    /* Why a capture and not pcap_open_dead(): that takes a DLT_ number, and only libpcap
     * itself knows which one a LINKTYPE_ number stands for. */
    struct pb_pcap_header header = pb_pcap_header_make(link_type, PB_FRAME_BYTES_MAX);
    char reason[PCAP_ERROR_BYTES] = "";
    FILE *file = fmemopen(&header, sizeof(header), "r");
    if (file == NULL)
        return pb_fail(error, errno, "capture filter \"%.200s\": %s", text, pb_errno_text(errno));
    struct pcap *capture = pcap.fopen_offline(file, reason);
    if (capture == NULL) {
        fclose(file);
        return pb_fail(error, EINVAL, "capture filter \"%.200s\": %s", text, reason);
    }
    if (pcap.compile(capture, filter, text, 1, PCAP_NETMASK_UNKNOWN) != 0)
        result = pb_fail(error, EINVAL, "capture filter \"%.200s\": %s", text, pcap.geterr(capture));
    pcap.close(capture); /* and the file with it */
    return result;
}

int pb_capture_filter_check(const char *text, struct pb_error *error)
{
    /* Ethernet, raw IP, Linux cooked, 802.11 with radiotap. What is wrong is said for the
     * first: it is a mistake in any of them. */
    static const uint32_t link_types[] = {PB_LINK_ETHERNET, 101, 113, 127};
    struct pb_capture_filter filter;
    int result = pb_capture_filter_compile(text, link_types[0], &filter, error);
    for (size_t i = 1; i < sizeof(link_types) / sizeof(link_types[0]) && result == -EINVAL; i++)
        if (pb_capture_filter_compile(text, link_types[i], &filter, NULL) == 0)
            result = 0;
    if (result == 0)
        pb_capture_filter_free(&filter);
    return result;
}

bool pb_capture_filter_matches(const struct pb_capture_filter *filter, const struct pb_pipe_record *record)
{
    const struct packet_header header = {.captured_len = record->captured_len, .wire_len = record->wire_len};
    return pcap.offline_filter(filter, &header, record->data) != 0;
}

void pb_capture_filter_free(struct pb_capture_filter *filter)
{
    pcap.freecode(filter);
}
