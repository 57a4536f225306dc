/*
 * lock.h - lock files: one process at a time, and its process id inside.
 *
 * The lock (flock) is what counts: the kernel drops it when the process dies,
 * and a file that nobody has locked is no obstacle. Control paths only.
 */
#ifndef PB_LOCK_H
#define PB_LOCK_H

#include "packet_bricks.h"

/* Take the lock file at `path`, made with `mode` where it is missing, and write
 * our process id into it. Returns its descriptor, which the caller closes after
 * it has removed the file. -EWOULDBLOCK: another holds it, and `owner` is its
 * process id, 0 where it has not written that yet; no text is given then.
 * Another -errno comes with text. */
int pb_lock_take(const char *path, uint32_t mode, long *owner, struct pb_error *error);

#endif
