/*
 * xdp.h - what the table of driver "xdp" (xdp.c) and its module (xdp/) share: the
 * order of its counters, and a text. Nobody else includes this.
 */
#ifndef PB_XDP_H
#define PB_XDP_H

/* The remedy where the kernel does not let us. */
#define PB_XDP_RIGHTS                                                                                                  \
    "run as root or grant CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF (setcap cap_net_raw,cap_net_admin,cap_bpf+ep PROGRAM)"

enum pb_xdp_counter {
    PB_XDP_KERNEL_DROPS,
    PB_XDP_RX_RING_FULL,
    PB_XDP_FILL_RING_EMPTY,
    PB_XDP_RX_INVALID_DESCS,
    PB_XDP_TX_INVALID_DESCS,
    PB_XDP_LENT,
    PB_XDP_TX_FULL,
    PB_XDP_NO_BUFFER,
    PB_XDP_TX_ERROR,
    PB_XDP_TOO_LONG,
    PB_XDP_TOO_SHORT,
    PB_XDP_TRUNCATED,
    PB_XDP_LINK_TYPE,
    PB_XDP_COUNTERS
};

#endif
