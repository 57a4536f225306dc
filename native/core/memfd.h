/*
 * memfd.h - memory that processes share through a descriptor. Control paths only;
 * the descriptor is the caller's.
 */
#ifndef PB_MEMFD_H
#define PB_MEMFD_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>

/* A memfd of `bytes` zeros, all of it allocated: a page that could not be had later
 * would be a SIGBUS in the engine thread. Returns it, or -errno. */
int pb_memfd_create(const char *name, uint64_t bytes);

/* From now on nobody can resize the memory; `read_only`: nor can anybody make another
 * writable mapping of it or punch holes into it; those that exist stay. 0, or -1 with
 * errno (EINVAL: a kernel before Linux 5.1). */
int pb_memfd_seal(int fd, bool read_only);

#endif
