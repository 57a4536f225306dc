/*
 * describe.c - what a handle says of itself, and what libpcap makes from that:
 * compiled filters, headers of captures. See capture.h.
 *
 * The engine knows a pipe's link type once it has sent a packet there, but
 * applications ask for it right away, and compile their filters for it. Ours are
 * told what is known then, after waiting a moment, or else Ethernet; packets that
 * prove it wrong are an error.
 */
#include <string.h>

#include "capture.h"
#include "real.h"

#define LINK_TYPE_WAIT_MS 250

/* A LINKTYPE_ number of captures and pipes as libpcap's DLT_ of this system: on Linux
 * they differ in four (pcap-linktype(7)). */
static int dlt_of(int linktype)
{
    switch (linktype) {
    case 100:
        return DLT_ATM_RFC1483;
    case 101:
        return DLT_RAW;
    case 102:
        return DLT_SLIP_BSDOS;
    case 103:
        return DLT_PPP_BSDOS;
    default:
        return linktype;
    }
}

pcap_t *pb_capture_model(struct pb_capture *capture)
{
    if (pb_capture_check(capture, true) < 0)
        return NULL;
    if (capture->model != NULL)
        return capture->model;
    if (capture->link_type == PB_LINK_UNKNOWN) {
        int linktype = pb_source_link_type(&capture->source, LINK_TYPE_WAIT_MS);
        capture->link_type = linktype >= 0 ? dlt_of(linktype) : DLT_EN10MB;
    }
    capture->model = PB_REAL(pcap_open_dead_with_tstamp_precision)(capture->link_type, capture->snaplen,
                                                                    (unsigned int)capture->precision);
    if (capture->model == NULL)
        pb_capture_fail(capture, PCAP_ERROR, "pipe \"%s\": out of memory", capture->source.name);
    return capture->model;
}

static const char *name_of(int link_type)
{
    const char *name = PB_REAL(pcap_datalink_val_to_name)(link_type);
    return name != NULL ? name : "unknown";
}

int pb_capture_meet_link_type(struct pb_capture *capture, int linktype)
{
    int link_type = dlt_of(linktype);
    if (capture->link_type == PB_LINK_UNKNOWN)
        capture->link_type = link_type;
    if (capture->link_type == link_type)
        return 0;
    return pb_capture_fail(capture, PCAP_ERROR,
                           "pipe \"%s\": its packets are of link type %s (%d), and not %s (%d), which was assumed "
                           "before there were any; start this program again while packets come",
                           capture->source.name, name_of(link_type), link_type, name_of(capture->link_type),
                           capture->link_type);
}

/* What went wrong on the model becomes the handle's own error. */
static void take_error(struct pb_capture *capture)
{
    memcpy(PB_REAL(pcap_geterr)(capture->face), PB_REAL(pcap_geterr)(capture->model), PCAP_ERRBUF_SIZE);
}

int pcap_snapshot(pcap_t *p)
{
    struct pb_capture *capture = pb_capture_find(p);
    if (capture == NULL)
        return PB_REAL(pcap_snapshot)(p);
    int status = pb_capture_check(capture, true);
    return status < 0 ? status : capture->snaplen;
}

int pcap_datalink(pcap_t *p)
{
    struct pb_capture *capture = pb_capture_find(p);
    if (capture == NULL)
        return PB_REAL(pcap_datalink)(p);
    pcap_t *model = pb_capture_model(capture);
    return model != NULL ? capture->link_type : pb_capture_check(capture, true);
}

int pcap_list_datalinks(pcap_t *p, int **list)
{
    struct pb_capture *capture = pb_capture_find(p);
    if (capture == NULL)
        return PB_REAL(pcap_list_datalinks)(p, list);
    pcap_t *model = pb_capture_model(capture);
    return model != NULL ? PB_REAL(pcap_list_datalinks)(model, list) : pb_capture_check(capture, true);
}

int pcap_set_datalink(pcap_t *p, int link_type)
{
    struct pb_capture *capture = pb_capture_find(p);
    if (capture == NULL)
        return PB_REAL(pcap_set_datalink)(p, link_type);
    pcap_t *model = pb_capture_model(capture);
    if (model == NULL)
        return pb_capture_check(capture, true);
    int status = PB_REAL(pcap_set_datalink)(model, link_type);
    if (status < 0)
        take_error(capture);
    return status;
}

int pcap_compile(pcap_t *p, struct bpf_program *program, const char *text, int optimize, uint32_t netmask)
{
    struct pb_capture *capture = pb_capture_find(p);
    if (capture == NULL)
        return PB_REAL(pcap_compile)(p, program, text, optimize, netmask);
    pcap_t *model = pb_capture_model(capture);
    if (model == NULL)
        return PCAP_ERROR;
    int status = PB_REAL(pcap_compile)(model, program, text, optimize, netmask);
    if (status < 0)
        take_error(capture);
    return status;
}

/* The three below end alike. */
static pcap_dumper_t *with_error(struct pb_capture *capture, pcap_dumper_t *dumper)
{
    if (dumper == NULL)
        take_error(capture);
    return dumper;
}

pcap_dumper_t *pcap_dump_open(pcap_t *p, const char *path)
{
    struct pb_capture *capture = pb_capture_find(p);
    if (capture == NULL)
        return PB_REAL(pcap_dump_open)(p, path);
    pcap_t *model = pb_capture_model(capture);
    return model != NULL ? with_error(capture, PB_REAL(pcap_dump_open)(model, path)) : NULL;
}

pcap_dumper_t *pcap_dump_open_append(pcap_t *p, const char *path)
{
    struct pb_capture *capture = pb_capture_find(p);
    if (capture == NULL)
        return PB_REAL(pcap_dump_open_append)(p, path);
    pcap_t *model = pb_capture_model(capture);
    return model != NULL ? with_error(capture, PB_REAL(pcap_dump_open_append)(model, path)) : NULL;
}

pcap_dumper_t *pcap_dump_fopen(pcap_t *p, FILE *file)
{
    struct pb_capture *capture = pb_capture_find(p);
    if (capture == NULL)
        return PB_REAL(pcap_dump_fopen)(p, file);
    pcap_t *model = pb_capture_model(capture);
    return model != NULL ? with_error(capture, PB_REAL(pcap_dump_fopen)(model, file)) : NULL;
}
