/*
 * eal.h - DPDK's environment abstraction layer, of which a process has one: started
 * with the first port, with options that fit a guest in another program. Control
 * thread. What it starts (an interrupt thread, memory) stays until the process ends.
 */
#ifndef PB_DPDK_EAL_H
#define PB_DPDK_EAL_H

#include <stdbool.h>
#include <stdint.h>

#include "../port.h"
#include "packet_bricks.h"

/* Options for the next start, words as a shell takes them apart. -EBUSY: it has started. */
int pb_eal_setup(const char *options, struct pb_error *error);

/* Start it, unless it runs, for a port that names this device. 0, or -errno with text. */
int pb_eal_start(const struct pb_port *port, const char *device, struct pb_error *error);

/* Whether its memory is huge pages. */
bool pb_eal_has_huge_pages(void);

/* DPDK says more in its log than in its errors: forget what it has said so far; the line since then that says why
 * something failed, without DPDK's names of its own functions, or `otherwise` where there is none; whether a line since
 * then holds `text`. */
void pb_eal_log_clear(void);
const char *pb_eal_log_text(const char *otherwise);
bool pb_eal_log_has(const char *text);

/* Descriptors that DPDK opens do not go to programs that this process starts, which would keep
 * memory and sockets alive. Call begin before, end after it may have opened some. */
struct pb_eal_fds {
    uint64_t open[16]; /* bits: descriptors up to 1023 that were open */
};
void pb_eal_fds_begin(struct pb_eal_fds *fds);
void pb_eal_fds_end(const struct pb_eal_fds *fds);

#endif
