/*
 * executable.h - finds a program and says why a library cannot be preloaded into
 * it. Used by bricks-run, which has one thread.
 */
#ifndef PB_LIBPCAP_EXECUTABLE_H
#define PB_LIBPCAP_EXECUTABLE_H

#include <limits.h>

#include "packet_bricks.h"

/* The file that execvp(3) would take for `program`. 0, or -errno with text. */
int pb_executable_find(const char *program, char path[PATH_MAX], struct pb_error *error);

/* 0: LD_PRELOAD works on it; -ENOEXEC: it does not, and the text says why; -errno. */
int pb_executable_check(const char *path, struct pb_error *error);

#endif
