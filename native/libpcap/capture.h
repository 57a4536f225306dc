/*
 * capture.h - a capture handle whose device is a pipe: what the interposed
 * functions of this folder share.
 *
 *   table.c      which pcap_t are ours; making and freeing them; their errors
 *   source.c     the pipe behind one
 *   open.c       pcap_create() to pcap_activate(), pcap_close()
 *   settings.c   what is set on a handle
 *   describe.c   what it says of itself, filters compiled and captures written by it
 *   read.c       pcap_loop() and its relatives, filters, statistics
 *   inject.c     sending
 *   devices.c    the list of devices
 *   interface.c  what programs ask the kernel about a device
 *   real.c       the real functions, which get every handle that is not ours
 *   abi.h        libpcap's declarations
 *   ../programs/bricks_run.c     the program that preloads all this
 *
 * The application's pcap_t is the `face`: made by the real libpcap, of the kind
 * that has no packets (pcap_open_dead(3PCAP)). Its error text is used as it is, and
 * a function of a later libpcap that is not interposed fails on it rather than
 * crash. Such a handle is fixed in link type, snapshot length and precision from
 * the start, when the application has not yet said what it wants; so there is a
 * second one, the `model`, made when these are first needed. Compiling filters and
 * writing captures is done by the real functions on that.
 *
 * A handle is used by one thread at a time, as with libpcap itself, save for
 * pcap_breakloop(): that comes from any thread and from signal handlers.
 */
#ifndef PB_LIBPCAP_CAPTURE_H
#define PB_LIBPCAP_CAPTURE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "abi.h"
#include "source.h"

#define PB_LINK_UNKNOWN (-1)

struct pb_capture {
    pcap_t *face, *model;
    struct pb_source source;

    /* Set by the application. */
    int snaplen, timeout_ms, precision;
    bool rfmon, nonblocking, activated;

    int link_type; /* a DLT_ number: what the application was told, or has got packets of */
    uint64_t checked_attachment; /* whose packets are known to be of that type */

    struct bpf_program filter; /* a copy; bf_len 0: every packet */
    uint8_t *own_memory; /* PCAP_SNAPLEN_MAX bytes, for packets that the application may write to; NULL: it may not */

    _Atomic bool break_wanted;
    int break_fd;        /* an eventfd, which ends a sleep */
    uint32_t ends_told;  /* how often the application was told of the end of the stream */
    bool fd_was_taken;   /* the application polls poll_fd itself */
    struct pcap_pkthdr header; /* of the packet that pcap_next_ex() returned */
};

/* table.c */

/* Ours, or NULL. Any thread, signal handlers. */
struct pb_capture *pb_capture_find(const pcap_t *p);
/* Is this device a pipe? Its name then is in `name`: what follows "bricks:", or all of it. */
bool pb_capture_names_pipe(const char *device, char name[PB_PIPE_NAME_MAX + 1]);
/* Make one, not activated. NULL with the reason in errbuf. */
struct pb_capture *pb_capture_new(const char *name, char *errbuf);
void pb_capture_free(struct pb_capture *capture);
/* Does this process capture from the pipe of this name, which is cut at `bytes` like an interface's? Any thread. */
bool pb_capture_is_open(const char *name, size_t bytes);
/* Store the text for pcap_geterr(); returns `status`. */
int pb_capture_fail(struct pb_capture *capture, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* 0 if it is (or is not) activated as `wanted`; else libpcap's error for that. */
int pb_capture_check(struct pb_capture *capture, bool wanted);

/* describe.c */

/* The handle that answers for this one; NULL with an error. It is activated. */
pcap_t *pb_capture_model(struct pb_capture *capture);
/* Packets are of a LINKTYPE_ number: 0, or PCAP_ERROR where the application was told another. */
int pb_capture_meet_link_type(struct pb_capture *capture, int linktype);

/* read.c */

/* Is a pcap_breakloop() to be answered now? It then is. */
bool pb_capture_takes_break(struct pb_capture *capture);
/* The stream has ended: what to return. */
int pb_capture_end(struct pb_capture *capture);
void pb_capture_drop_filter(struct pb_capture *capture);

#endif
