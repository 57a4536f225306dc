/*
 * table.c - which capture handles are pipes. See capture.h.
 *
 * Finding takes no lock: it is done on every call of libpcap, and in signal
 * handlers by pcap_breakloop(). Adding and removing do.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../core/error.h"
#include "../pipe/directory.h"
#include "capture.h"
#include "real.h"

#define DEVICE_PREFIX "bricks:"

static struct {
    _Atomic(const pcap_t *) face;
    struct pb_capture *capture; /* set before face */
} table[PB_PIPES_MAX];
static _Atomic unsigned int table_used; /* entries that were ever used */
static pthread_mutex_t table_mutex = PTHREAD_MUTEX_INITIALIZER;

struct pb_capture *pb_capture_find(const pcap_t *p)
{
    unsigned int used = atomic_load_explicit(&table_used, memory_order_acquire);
    for (unsigned int i = 0; i < used; i++)
        if (atomic_load_explicit(&table[i].face, memory_order_acquire) == p)
            return p != NULL ? table[i].capture : NULL;
    return NULL;
}

static bool add(struct pb_capture *capture)
{
    pthread_mutex_lock(&table_mutex);
    unsigned int used = atomic_load(&table_used), i = 0;
    while (i < used && atomic_load(&table[i].face) != NULL)
        i++;
    if (i < PB_PIPES_MAX) {
        table[i].capture = capture;
        atomic_store_explicit(&table[i].face, capture->face, memory_order_release);
        if (i == used)
            atomic_store_explicit(&table_used, used + 1, memory_order_release);
    }
    pthread_mutex_unlock(&table_mutex);
    return i < PB_PIPES_MAX;
}

static void take_out(const struct pb_capture *capture)
{
    pthread_mutex_lock(&table_mutex);
    for (unsigned int i = 0; i < atomic_load(&table_used); i++)
        if (atomic_load(&table[i].face) == capture->face)
            atomic_store(&table[i].face, NULL);
    pthread_mutex_unlock(&table_mutex);
}

bool pb_capture_is_open(const char *name, size_t bytes)
{
    bool is_open = false;
    if (atomic_load(&table_used) == 0)
        return false;
    pthread_mutex_lock(&table_mutex);
    for (unsigned int i = 0; i < atomic_load(&table_used) && !is_open; i++)
        is_open = atomic_load(&table[i].face) != NULL && strncmp(table[i].capture->source.name, name, bytes - 1) == 0;
    pthread_mutex_unlock(&table_mutex);
    return is_open;
}

bool pb_capture_names_pipe(const char *device, char name[PB_PIPE_NAME_MAX + 1])
{
    if (device == NULL)
        return false;
    bool is_prefixed = strncmp(device, DEVICE_PREFIX, strlen(DEVICE_PREFIX)) == 0;
    const char *bare = is_prefixed ? device + strlen(DEVICE_PREFIX) : device;
    /* Either end, though applications have only one: the other is told of its mistake. */
    if (!is_prefixed && pb_pipe_name_from_port(bare, name, NULL) < 0)
        return false;
    name[0] = '\0';
    strncat(name, bare, PB_PIPE_NAME_MAX);
    return true;
}

struct pb_capture *pb_capture_new(const char *name, char *errbuf)
{
    struct pb_error error;
    if (pb_pipe_name_check(name, &error) < 0) {
        snprintf(errbuf, PCAP_ERRBUF_SIZE, "%.*s", PCAP_ERRBUF_SIZE - 1, error.text);
        return NULL;
    }
    struct pb_capture *capture = calloc(1, sizeof(*capture));
    if (capture == NULL) {
        snprintf(errbuf, PCAP_ERRBUF_SIZE, "pipe \"%s\": %s", name, pb_errno_text(ENOMEM));
        return NULL;
    }
    pb_source_init(&capture->source, name);
    capture->snaplen = PCAP_SNAPLEN_MAX;
    capture->link_type = PB_LINK_UNKNOWN;
    capture->face = PB_REAL(pcap_open_dead_with_tstamp_precision)(DLT_EN10MB, PCAP_SNAPLEN_MAX, PCAP_TSTAMP_PRECISION_MICRO);
    capture->break_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int code = capture->face == NULL ? ENOMEM : capture->break_fd < 0 ? errno : 0;
    if (code == 0 && add(capture))
        return capture;
    snprintf(errbuf, PCAP_ERRBUF_SIZE, "pipe \"%s\": %s", name,
             code != 0 ? pb_errno_text(code) : "too many capture handles; close some");
    pb_capture_free(capture);
    return NULL;
}

void pb_capture_free(struct pb_capture *capture)
{
    take_out(capture);
    pb_source_close(&capture->source);
    pb_capture_drop_filter(capture);
    free(capture->own_memory);
    if (capture->break_fd >= 0)
        close(capture->break_fd);
    if (capture->model != NULL)
        PB_REAL(pcap_close)(capture->model);
    if (capture->face != NULL)
        PB_REAL(pcap_close)(capture->face);
    free(capture);
}

int pb_capture_fail(struct pb_capture *capture, int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(PB_REAL(pcap_geterr)(capture->face), PCAP_ERRBUF_SIZE, format, arguments);
    va_end(arguments);
    return status;
}

int pb_capture_check(struct pb_capture *capture, bool wanted)
{
    if (capture->activated == wanted)
        return 0;
    return wanted ? pb_capture_fail(capture, PCAP_ERROR_NOT_ACTIVATED, "this handle hasn't been activated yet")
                  : pb_capture_fail(capture, PCAP_ERROR_ACTIVATED, "can't perform operation on activated capture");
}
