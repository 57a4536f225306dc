/*
 * open.c - a capture handle from pcap_create() to pcap_close(). See capture.h.
 *
 * BRICKS_PCAP_WAIT, BRICKS_PCAP_RECONNECT and BRICKS_PCAP_COPY, which bricks-run
 * sets for its options, are read when a handle is activated.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "real.h"

pcap_t *pcap_create(const char *device, char *errbuf)
{
    char name[PB_PIPE_NAME_MAX + 1];
    if (!pb_capture_names_pipe(device, name))
        return PB_REAL(pcap_create)(device, errbuf);
    struct pb_capture *capture = pb_capture_new(name, errbuf);
    return capture != NULL ? capture->face : NULL;
}

static bool is_set(const char *variable)
{
    const char *value = getenv(variable);
    return value != NULL && value[0] != '\0';
}

static int status_of(int code)
{
    switch (code) {
    case ENOENT:
        return PCAP_ERROR_NO_SUCH_DEVICE;
    case EACCES:
    case EPERM:
        return PCAP_ERROR_PERM_DENIED;
    default:
        return PCAP_ERROR;
    }
}

static int activate(struct pb_capture *capture)
{
    struct pb_error error;
    int status = pb_capture_check(capture, false);
    if (status < 0)
        return status;
    if (capture->rfmon)
        return pb_capture_fail(capture, PCAP_ERROR_RFMON_NOTSUP, "pipe \"%s\": a pipe has no monitor mode",
                               capture->source.name);
    capture->source.waits = is_set("BRICKS_PCAP_WAIT");
    capture->source.reconnects = is_set("BRICKS_PCAP_RECONNECT");
    if (is_set("BRICKS_PCAP_COPY") && capture->own_memory == NULL &&
        (capture->own_memory = malloc(PCAP_SNAPLEN_MAX)) == NULL)
        return pb_capture_fail(capture, PCAP_ERROR, "pipe \"%s\": out of memory", capture->source.name);
    int result = pb_source_open(&capture->source, &error);
    if (result < 0)
        return pb_capture_fail(capture, status_of(-result), "%s%s", error.text,
                               result == -ENOENT ? "; bricks-run --wait waits for it" : "");
    capture->activated = true;
    if (capture->source.writer != NULL) /* for who means to read: tcpdump prints it */
        return pb_capture_fail(capture, PCAP_WARNING,
                               "pipe \"%s\": its engine receives from it: packets can be sent here, none will come",
                               capture->source.name);
    return 0;
}

int pcap_activate(pcap_t *p)
{
    struct pb_capture *capture = pb_capture_find(p);
    return capture != NULL ? activate(capture) : PB_REAL(pcap_activate)(p);
}

/* pcap_open_live() and pcap_open() for a pipe. */
static pcap_t *open_pipe(const char *name, int snaplen, int to_ms, char *errbuf)
{
    struct pb_capture *capture = pb_capture_new(name, errbuf);
    if (capture == NULL)
        return NULL;
    pcap_set_snaplen(capture->face, snaplen);
    pcap_set_timeout(capture->face, to_ms);
    if (activate(capture) >= 0) {
        errbuf[0] = '\0'; /* who opens a pipe to send needs no warning */
        return capture->face;
    }
    memcpy(errbuf, PB_REAL(pcap_geterr)(capture->face), PCAP_ERRBUF_SIZE);
    pb_capture_free(capture);
    return NULL;
}

pcap_t *pcap_open_live(const char *device, int snaplen, int promisc, int to_ms, char *errbuf)
{
    char name[PB_PIPE_NAME_MAX + 1];
    if (!pb_capture_names_pipe(device, name))
        return PB_REAL(pcap_open_live)(device, snaplen, promisc, to_ms, errbuf);
    return open_pipe(name, snaplen, to_ms, errbuf);
}

/* Only in a libpcap that was built with remote capture; Debian's is not. */
pcap_t *pcap_open(const char *source, int snaplen, int flags, int to_ms, struct pcap_rmtauth *auth, char *errbuf)
{
    static const char local[] = "rpcap://";
    char name[PB_PIPE_NAME_MAX + 1];
    const char *device = strncmp(source, local, strlen(local)) == 0 ? source + strlen(local) : source;
    if (!pb_capture_names_pipe(device, name))
        return PB_REAL(pcap_open)(source, snaplen, flags, to_ms, auth, errbuf);
    return open_pipe(name, snaplen, to_ms, errbuf);
}

void pcap_close(pcap_t *p)
{
    struct pb_capture *capture = pb_capture_find(p);
    if (capture != NULL)
        pb_capture_free(capture);
    else
        PB_REAL(pcap_close)(p);
}
