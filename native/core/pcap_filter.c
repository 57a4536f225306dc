/* pcap_filter.c - expressions by libpcap, loaded at run time. See pcap_filter.h. */
#include "pcap_filter.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>

#include "error.h"

#define LIBRARY "libpcap.so.0.8"
#define PCAP_NETMASK_UNKNOWN 0xffffffffu

struct pcap;

/* The header of a capture file, in this machine's byte order. */
struct file_header {
    uint32_t magic;
    uint16_t major, minor;
    int32_t zone;
    uint32_t sigfigs, snaplen, link_type;
};

/* Its functions as pcap(3PCAP) declares them. */
static struct {
    struct pcap *(*fopen_offline)(FILE *file, char *error);
    int (*compile)(struct pcap *, struct pb_pcap_code *, const char *text, int optimize, uint32_t netmask);
    uint32_t (*filter)(const void *instructions, const uint8_t *data, uint32_t wire_len, uint32_t captured_len);
    void (*freecode)(struct pb_pcap_code *);
    char *(*geterr)(struct pcap *);
    void (*close)(struct pcap *);
} pcap;

static bool find(void *library, const char *name, void *function)
{
    return (*(void **)function = dlsym(library, name)) != NULL;
}

int pb_pcap_load(const char *what, struct pb_error *error)
{
    if (pcap.close != NULL)
        return 0;
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return pb_fail(error, ENOENT, "%s needs libpcap, and " LIBRARY " cannot be loaded: install the package libpcap0.8, or use none",
                       what);
    if (find(library, "pcap_fopen_offline", &pcap.fopen_offline) && find(library, "pcap_compile", &pcap.compile) &&
        find(library, "bpf_filter", &pcap.filter) && find(library, "pcap_freecode", &pcap.freecode) &&
        find(library, "pcap_geterr", &pcap.geterr) && find(library, "pcap_close", &pcap.close))
        return 0;
    dlclose(library);
    return pb_fail(error, ENOSYS, "%s needs libpcap 1.1 or newer: update the package libpcap0.8", what);
}

int pb_pcap_compile(const char *text, uint32_t link_type, bool optimize, struct pb_pcap_code *code, char *reason)
{
    /* Why a capture and not pcap_open_dead(): that takes a DLT_ number, and only libpcap
     * itself knows which one a LINKTYPE_ number stands for. */
    struct file_header header = {.magic = 0xa1b2c3d4, .major = 2, .minor = 4, .snaplen = PB_FRAME_BYTES_MAX,
                                 .link_type = link_type};
    FILE *file = fmemopen(&header, sizeof(header), "r");
    if (file == NULL) {
        snprintf(reason, PB_PCAP_REASON_BYTES, "%s", pb_errno_text(errno));
        return -errno;
    }
    reason[0] = '\0';
    struct pcap *capture = pcap.fopen_offline(file, reason);
    if (capture == NULL) {
        fclose(file);
        return -EINVAL;
    }
    int result = pcap.compile(capture, code, text, optimize, PCAP_NETMASK_UNKNOWN) == 0 ? 0 : -EINVAL;
    if (result < 0)
        snprintf(reason, PB_PCAP_REASON_BYTES, "%s", pcap.geterr(capture));
    pcap.close(capture); /* and the file with it */
    return result;
}

void pb_pcap_free(struct pb_pcap_code *code)
{
    pcap.freecode(code);
}

uint32_t pb_pcap_run(const struct pb_pcap_code *code, const uint8_t *data, uint32_t captured_len, uint32_t wire_len)
{
    return pcap.filter(code->instructions, data, wire_len, captured_len);
}
