/*
 * inject.c - sending: into a pipe that goes the other way, an engine's input that
 * an application writes. See capture.h.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "../core/error.h"
#include "capture.h"
#include "real.h"

/* One try to send: 1, 0: there is no room, or no engine yet; or libpcap's error with text. */
static int send_once(struct pb_capture *capture, const struct pb_pipe_record *record)
{
    struct pb_source *source = &capture->source;
    struct pb_error error;
    int result = source->writer != NULL ? pb_pipe_write(source->writer, record, 1) : -EPIPE;
    if (result == -EPIPE) { /* its end, or with --reconnect a look for the next engine */
        result = pb_source_fetch(source, &error);
        if (result == -EPIPE || (result == 0 && !source->reconnects))
            return pb_capture_fail(capture, PCAP_ERROR, "pipe \"%s\": its engine was stopped", source->name);
        return result < 0 ? pb_capture_fail(capture, PCAP_ERROR, "%s", error.text) : 0;
    }
    if (result < 0)
        return pb_capture_fail(capture, PCAP_ERROR, "pipe \"%s\": cannot send %u bytes: %s", source->name,
                               record->captured_len, pb_errno_text(-result));
    return result;
}

/* Wait for room, or for an engine. 0, or libpcap's error with text. */
static int wait_for_room(struct pb_capture *capture)
{
    const char *name = capture->source.name;
    if (capture->nonblocking)
        return pb_capture_fail(capture, PCAP_ERROR, "pipe \"%s\": its ring is full: %s", name, strerror(EAGAIN));
    struct pollfd next_engine = {.fd = capture->source.retry_fd, .events = POLLIN};
    int result = capture->source.writer != NULL ? pb_pipe_writer_wait(capture->source.writer, -1)
                                                : poll(&next_engine, 1, -1);
    if (result < 0 && pb_capture_takes_break(capture))
        return pb_capture_fail(capture, PCAP_ERROR, "pipe \"%s\": interrupted while its ring was full", name);
    return 0; /* what else there is, the next try will tell */
}

static int inject(struct pb_capture *capture, const void *data, size_t bytes)
{
    int status = pb_capture_check(capture, true);
    if (status < 0)
        return status;
    if (capture->source.reader != NULL)
        return pb_capture_fail(capture, PCAP_ERROR,
                               "pipe \"%s\": it is read, not written: packets go to this program; inject into one that "
                               "is an engine's input",
                               capture->source.name);
    if (bytes > PB_FRAME_BYTES_MAX)
        return pb_capture_fail(capture, PCAP_ERROR, "pipe \"%s\": cannot send %zu bytes: the limit is %d",
                               capture->source.name, bytes, PB_FRAME_BYTES_MAX);
    struct pb_pipe_record record = {.data = data, .captured_len = (uint32_t)bytes, .wire_len = (uint32_t)bytes};
    while ((status = send_once(capture, &record)) == 0)
        if ((status = wait_for_room(capture)) < 0)
            break;
    return status < 0 ? status : (int)bytes;
}

int pcap_inject(pcap_t *p, const void *data, size_t bytes)
{
    struct pb_capture *capture = pb_capture_find(p);
    return capture != NULL ? inject(capture, data, bytes) : PB_REAL(pcap_inject)(p, data, bytes);
}

int pcap_sendpacket(pcap_t *p, const unsigned char *data, int bytes)
{
    struct pb_capture *capture = pb_capture_find(p);
    if (capture == NULL)
        return PB_REAL(pcap_sendpacket)(p, data, bytes);
    int result = bytes >= 0 ? inject(capture, data, (size_t)bytes)
                            : pb_capture_fail(capture, PCAP_ERROR, "a packet cannot have %d bytes", bytes);
    return result < 0 ? result : 0;
}
