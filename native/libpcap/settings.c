/*
 * settings.c - what an application sets on a handle. Settings of a network
 * interface that mean nothing for a pipe are accepted. See capture.h.
 */
#include "capture.h"
#include "real.h"

#define ETH_P_ALL_NETWORK_ORDER 0x0300

int pcap_set_snaplen(pcap_t *p, int snaplen)
{
    struct pb_capture *capture = pb_capture_find(p);
    if (capture == NULL)
        return PB_REAL(pcap_set_snaplen)(p, snaplen);
    int status = pb_capture_check(capture, false);
    if (status == 0)
        capture->snaplen = snaplen > 0 && snaplen < PCAP_SNAPLEN_MAX ? snaplen : PCAP_SNAPLEN_MAX;
    return status;
}

int pcap_set_timeout(pcap_t *p, int to_ms)
{
    struct pb_capture *capture = pb_capture_find(p);
    if (capture == NULL)
        return PB_REAL(pcap_set_timeout)(p, to_ms);
    int status = pb_capture_check(capture, false);
    if (status == 0)
        capture->timeout_ms = to_ms;
    return status;
}

int pcap_set_promisc(pcap_t *p, int promisc)
{
    struct pb_capture *capture = pb_capture_find(p);
    return capture != NULL ? pb_capture_check(capture, false) : PB_REAL(pcap_set_promisc)(p, promisc);
}

/* The memory is the engine's: PktEngine.new(name, slots), or "slots" of the port. */
int pcap_set_buffer_size(pcap_t *p, int bytes)
{
    struct pb_capture *capture = pb_capture_find(p);
    return capture != NULL ? pb_capture_check(capture, false) : PB_REAL(pcap_set_buffer_size)(p, bytes);
}

/* Packets are always delivered as soon as they are there. */
int pcap_set_immediate_mode(pcap_t *p, int immediate)
{
    struct pb_capture *capture = pb_capture_find(p);
    return capture != NULL ? pb_capture_check(capture, false) : PB_REAL(pcap_set_immediate_mode)(p, immediate);
}

int pcap_can_set_rfmon(pcap_t *p)
{
    struct pb_capture *capture = pb_capture_find(p);
    return capture != NULL ? pb_capture_check(capture, false) : PB_REAL(pcap_can_set_rfmon)(p);
}

int pcap_set_rfmon(pcap_t *p, int rfmon)
{
    struct pb_capture *capture = pb_capture_find(p);
    if (capture == NULL)
        return PB_REAL(pcap_set_rfmon)(p, rfmon);
    int status = pb_capture_check(capture, false);
    if (status == 0)
        capture->rfmon = rfmon != 0;
    return status;
}

/* Time stamps are those that the engine's port has given. */
int pcap_set_tstamp_type(pcap_t *p, int type)
{
    struct pb_capture *capture = pb_capture_find(p);
    if (capture == NULL)
        return PB_REAL(pcap_set_tstamp_type)(p, type);
    int status = pb_capture_check(capture, false);
    return status == 0 && type != PCAP_TSTAMP_HOST ? PCAP_WARNING_TSTAMP_TYPE_NOTSUP : status;
}

int pcap_set_tstamp_precision(pcap_t *p, int precision)
{
    struct pb_capture *capture = pb_capture_find(p);
    if (capture == NULL)
        return PB_REAL(pcap_set_tstamp_precision)(p, precision);
    int status = pb_capture_check(capture, false);
    if (status < 0)
        return status;
    if (precision != PCAP_TSTAMP_PRECISION_MICRO && precision != PCAP_TSTAMP_PRECISION_NANO)
        return PCAP_ERROR_TSTAMP_PRECISION_NOTSUP;
    capture->precision = precision;
    return 0;
}

int pcap_get_tstamp_precision(pcap_t *p)
{
    struct pb_capture *capture = pb_capture_find(p);
    return capture != NULL ? capture->precision : PB_REAL(pcap_get_tstamp_precision)(p);
}

int pcap_set_protocol_linux(pcap_t *p, int protocol)
{
    struct pb_capture *capture = pb_capture_find(p);
    if (capture == NULL)
        return PB_REAL(pcap_set_protocol_linux)(p, protocol);
    int status = pb_capture_check(capture, false);
    if (status < 0 || protocol == 0 || protocol == ETH_P_ALL_NETWORK_ORDER)
        return status;
    return pb_capture_fail(capture, PCAP_ERROR, "pipe \"%s\": a pipe carries all protocols; use a filter",
                           capture->source.name);
}

/* Packets do not tell which way they went; what came in is what an engine's port reads
 * unless it was told otherwise. So "in" is no restriction, and "out" cannot be had. */
int pcap_setdirection(pcap_t *p, int direction)
{
    struct pb_capture *capture = pb_capture_find(p);
    if (capture == NULL)
        return PB_REAL(pcap_setdirection)(p, direction);
    int status = pb_capture_check(capture, true);
    if (status < 0 || direction == PCAP_D_INOUT || direction == PCAP_D_IN)
        return status;
    return pb_capture_fail(capture, PCAP_ERROR, "pipe \"%s\": packets that went out cannot be told from others",
                           capture->source.name);
}

int pcap_setnonblock(pcap_t *p, int nonblock, char *errbuf)
{
    struct pb_capture *capture = pb_capture_find(p);
    if (capture == NULL)
        return PB_REAL(pcap_setnonblock)(p, nonblock, errbuf);
    (void)errbuf;
    capture->nonblocking = nonblock != 0;
    return 0;
}

int pcap_getnonblock(pcap_t *p, char *errbuf)
{
    struct pb_capture *capture = pb_capture_find(p);
    return capture != NULL ? capture->nonblocking : PB_REAL(pcap_getnonblock)(p, errbuf);
}
