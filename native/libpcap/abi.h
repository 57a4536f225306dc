/*
 * abi.h - what libpcap.so.0.8 and programs linked to it agree on: the structures,
 * constants and functions of pcap(3PCAP) that the interposed library answers or
 * calls. Stable since libpcap 1.0; declared here so that no package is needed to build.
 *
 * The functions are exported: declaring one here and defining it interposes it.
 */
#ifndef PB_LIBPCAP_ABI_H
#define PB_LIBPCAP_ABI_H

#include <stdint.h>
#include <stdio.h>
#include <sys/time.h>

#define PCAP_ERRBUF_SIZE 256
#define PCAP_SNAPLEN_MAX 262144 /* libpcap's MAXIMUM_SNAPLEN: what a snapshot length of 0 or less means */

#define PCAP_ERROR (-1)
#define PCAP_ERROR_BREAK (-2)
#define PCAP_ERROR_NOT_ACTIVATED (-3)
#define PCAP_ERROR_ACTIVATED (-4)
#define PCAP_ERROR_NO_SUCH_DEVICE (-5)
#define PCAP_ERROR_RFMON_NOTSUP (-6)
#define PCAP_ERROR_PERM_DENIED (-8)
#define PCAP_ERROR_TSTAMP_PRECISION_NOTSUP (-12)
#define PCAP_WARNING 1
#define PCAP_WARNING_TSTAMP_TYPE_NOTSUP 3

#define PCAP_TSTAMP_PRECISION_MICRO 0
#define PCAP_TSTAMP_PRECISION_NANO 1
#define PCAP_TSTAMP_HOST 0

#define PCAP_D_INOUT 0
#define PCAP_D_IN 1

#define PCAP_IF_UP 0x00000002u
#define PCAP_IF_RUNNING 0x00000004u
#define PCAP_IF_CONNECTION_STATUS_NOT_APPLICABLE 0x00000030u

#define PCAP_OPENFLAG_PROMISCUOUS 1

#define DLT_EN10MB 1
#define DLT_ATM_RFC1483 11
#define DLT_RAW 12
#define DLT_SLIP_BSDOS 15
#define DLT_PPP_BSDOS 16

#define BPF_RET_K 0x06

typedef struct pcap pcap_t;
typedef struct pcap_dumper pcap_dumper_t;

struct bpf_insn {
    uint16_t code;
    uint8_t jt, jf;
    uint32_t k;
};

struct bpf_program {
    unsigned int bf_len;
    struct bpf_insn *bf_insns;
};

struct pcap_pkthdr {
    struct timeval ts; /* tv_usec: nanoseconds where that is the precision */
    uint32_t caplen, len;
};

struct pcap_stat {
    unsigned int ps_recv, ps_drop, ps_ifdrop;
};

struct pcap_addr;
typedef struct pcap_if {
    struct pcap_if *next;
    char *name, *description;
    struct pcap_addr *addresses;
    uint32_t flags;
} pcap_if_t;

struct pcap_rmtauth;

typedef void (*pcap_handler)(unsigned char *user, const struct pcap_pkthdr *header, const unsigned char *data);

#pragma GCC visibility push(default)

/* open.c */
pcap_t *pcap_create(const char *device, char *errbuf);
int pcap_activate(pcap_t *p);
pcap_t *pcap_open_live(const char *device, int snaplen, int promisc, int to_ms, char *errbuf);
pcap_t *pcap_open(const char *source, int snaplen, int flags, int to_ms, struct pcap_rmtauth *auth, char *errbuf);
void pcap_close(pcap_t *p);

/* settings.c */
int pcap_set_snaplen(pcap_t *p, int snaplen);
int pcap_set_promisc(pcap_t *p, int promisc);
int pcap_can_set_rfmon(pcap_t *p);
int pcap_set_rfmon(pcap_t *p, int rfmon);
int pcap_set_timeout(pcap_t *p, int to_ms);
int pcap_set_immediate_mode(pcap_t *p, int immediate);
int pcap_set_buffer_size(pcap_t *p, int bytes);
int pcap_set_tstamp_type(pcap_t *p, int type);
int pcap_set_tstamp_precision(pcap_t *p, int precision);
int pcap_get_tstamp_precision(pcap_t *p);
int pcap_set_protocol_linux(pcap_t *p, int protocol);
int pcap_setdirection(pcap_t *p, int direction);
int pcap_setnonblock(pcap_t *p, int nonblock, char *errbuf);
int pcap_getnonblock(pcap_t *p, char *errbuf);

/* describe.c */
int pcap_snapshot(pcap_t *p);
int pcap_datalink(pcap_t *p);
int pcap_list_datalinks(pcap_t *p, int **list);
int pcap_set_datalink(pcap_t *p, int link_type);
int pcap_compile(pcap_t *p, struct bpf_program *program, const char *text, int optimize, uint32_t netmask);
pcap_dumper_t *pcap_dump_open(pcap_t *p, const char *path);
pcap_dumper_t *pcap_dump_open_append(pcap_t *p, const char *path);
pcap_dumper_t *pcap_dump_fopen(pcap_t *p, FILE *file);

/* read.c */
int pcap_dispatch(pcap_t *p, int count, pcap_handler callback, unsigned char *user);
int pcap_loop(pcap_t *p, int count, pcap_handler callback, unsigned char *user);
const unsigned char *pcap_next(pcap_t *p, struct pcap_pkthdr *header);
int pcap_next_ex(pcap_t *p, struct pcap_pkthdr **header, const unsigned char **data);
void pcap_breakloop(pcap_t *p);
int pcap_setfilter(pcap_t *p, struct bpf_program *program);
int pcap_stats(pcap_t *p, struct pcap_stat *stats);
int pcap_fileno(pcap_t *p);
int pcap_get_selectable_fd(pcap_t *p);

/* inject.c */
int pcap_inject(pcap_t *p, const void *data, size_t bytes);
int pcap_sendpacket(pcap_t *p, const unsigned char *data, int bytes);

/* devices.c */
int pcap_findalldevs(pcap_if_t **devices, char *errbuf);
int pcap_lookupnet(const char *device, uint32_t *net, uint32_t *mask, char *errbuf);

#pragma GCC visibility pop

/* Called, and not interposed. */
pcap_t *pcap_open_dead_with_tstamp_precision(int link_type, int snaplen, unsigned int precision);
char *pcap_geterr(pcap_t *p);
const char *pcap_datalink_val_to_name(int link_type);
unsigned int bpf_filter(const struct bpf_insn *program, const unsigned char *data, unsigned int wire_len,
                        unsigned int captured_len);
int bpf_validate(const struct bpf_insn *program, int length);

#endif
