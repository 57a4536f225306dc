/*
 * inject.c - sending: into a pipe that goes the other way, an engine's input that
 * an application writes. See capture.h.
 */
#include <errno.h>
#include <string.h>

#include "../core/error.h"
#include "capture.h"
#include "real.h"

/* Wait for room. 0, or libpcap's error with text. */
static int wait_for_room(struct pb_capture *capture)
{
    if (capture->nonblocking)
        return pb_capture_fail(capture, PCAP_ERROR, "pipe \"%s\": its ring is full: %s", capture->source.name,
                               strerror(EAGAIN));
    int result = pb_pipe_writer_wait(capture->source.writer, -1);
    if (result == -EINTR && pb_capture_takes_break(capture))
        return pb_capture_fail(capture, PCAP_ERROR, "pipe \"%s\": interrupted while its ring was full",
                               capture->source.name);
    return 0; /* what else there is, the next try will tell */
}

static int inject(struct pb_capture *capture, const void *data, size_t bytes)
{
    int status = pb_capture_check(capture, true);
    if (status < 0)
        return status;
    const char *name = capture->source.name;
    if (capture->source.writer == NULL)
        return pb_capture_fail(capture, PCAP_ERROR,
                               "pipe \"%s\": it is read, not written: packets go to this program; inject into one that "
                               "is an engine's input",
                               name);
    struct pb_pipe_record record = {.data = data, .captured_len = (uint32_t)bytes, .wire_len = (uint32_t)bytes};
    int result = bytes <= PB_FRAME_BYTES_MAX ? 0 : -EMSGSIZE;
    while (result == 0 && status == 0) {
        result = pb_pipe_write(capture->source.writer, &record, 1);
        if (result == 0)
            status = wait_for_room(capture);
    }
    if (status < 0 || result > 0)
        return status < 0 ? status : (int)bytes;
    if (result == -EPIPE)
        return pb_capture_fail(capture, PCAP_ERROR, "pipe \"%s\": its engine was stopped", name);
    return pb_capture_fail(capture, PCAP_ERROR, "pipe \"%s\": cannot send %zu bytes: %s", name, bytes,
                           pb_errno_text(-result));
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
