/*
 * status_list.h - what all pipes of this machine are doing, asked at the same
 * time: an engine that does not answer (stopped, in a debugger) delays the list
 * by a bounded time, whatever number of pipes it has.
 *
 * Called by the programs bricks-pipe and bricks-extcap on their one thread. It
 * starts threads of its own; one that gets no answer stays behind until the
 * library gives up, or the process ends.
 */
#ifndef PB_STATUS_LIST_H
#define PB_STATUS_LIST_H

#include "packet_bricks.h"

#define PB_STATUS_LIST_MS 1000 /* the longest that pb_status_list() waits for answers */

/* One pipe, valid during the call that hands it out. */
struct pb_status_entry {
    char name[PB_PIPE_NAME_MAX + 1];
    int result; /* of pb_pipe_status(): 0, or -errno and `error` says why */
    struct pb_pipe_status status;
    struct pb_error error;
};

/* Call `each` with every pipe, in the order of pb_pipe_list(). 0, or -errno with text. */
int pb_status_list(void (*each)(const struct pb_status_entry *entry), struct pb_error *error);

#endif
