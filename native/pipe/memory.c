/*
 * memory.c - makes the shared memory of a pipe (ring.h has its layout).
 *
 * The data memory is made by open() on the control thread and belongs to the
 * pipe; a reader page is made by the attach server for each reader and belongs
 * to its struct pb_reader_end.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../core/error.h"
#include "pipe.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* A memfd of `bytes`, all of it allocated: a page that could not be had later
 * would be a SIGBUS in the engine thread. Returns it, or -errno. */
static int memory_create(const char *name, uint64_t bytes)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    int result = ftruncate(fd, (off_t)bytes);
    while (result == 0 && (result = fallocate(fd, 0, 0, (off_t)bytes)) < 0 && errno == EINTR)
        result = 0;
    if (result < 0) {
        int code = errno;
        close(fd);
        return -code;
    }
    return fd;
}

int pb_pipe_memory_open(struct pb_pipe *pipe, uint64_t ring_bytes, struct pb_error *error)
{
    const char *doing = "create";
    pipe->page_bytes = (uint32_t)sysconf(_SC_PAGESIZE);
    pipe->ring_bytes = ring_bytes;
    pipe->page = MAP_FAILED;
    pipe->ring = NULL;
    pipe->data_fd = memory_create("bricks-pipe", pipe->page_bytes + ring_bytes);
    if (pipe->data_fd < 0) {
        errno = -pipe->data_fd;
        goto fail;
    }
    doing = "map";
    pipe->page = mmap(NULL, pipe->page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, pipe->data_fd, 0);
    if (pipe->page == MAP_FAILED)
        goto fail;
    pipe->ring = pb_ring_map(pipe->data_fd, pipe->page_bytes, ring_bytes, PROT_READ | PROT_WRITE, MAP_POPULATE);
    if (pipe->ring == NULL)
        goto fail;
    /* Our writable mappings exist; from now on nobody can make another, resize the
     * memory or punch holes into it. */
    doing = "seal (this needs Linux 5.1)";
    if (fcntl(pipe->data_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) < 0)
        goto fail;
    pipe->page->magic = PB_RING_MAGIC;
    pipe->page->version = PB_RING_VERSION;
    pipe->page->page_bytes = pipe->page_bytes;
    pipe->page->ring_bytes = ring_bytes;
    snprintf(pipe->page->name, sizeof(pipe->page->name), "%s", pipe->name);
    atomic_store(&pipe->page->link_type, PB_RING_LINK_UNSET);
    return 0;

fail:;
    int code = errno;
    pb_pipe_memory_close(pipe);
    return pb_fail(error, code, "pipe \"%s\": cannot %s its ring of %llu bytes: %s%s", pipe->name, doing,
                   (unsigned long long)ring_bytes, pb_errno_text(code),
                   code == ENOMEM || code == ENOSPC ? "; use a smaller buffer" : "");
}

void pb_pipe_memory_close(struct pb_pipe *pipe)
{
    if (pipe->ring != NULL)
        pb_ring_unmap(pipe->ring, pipe->ring_bytes);
    if (pipe->page != MAP_FAILED)
        munmap(pipe->page, pipe->page_bytes);
    if (pipe->data_fd >= 0)
        close(pipe->data_fd);
}

int pb_reader_page_open(struct pb_reader_page **page)
{
    int fd = memory_create("bricks-reader", sizeof(struct pb_reader_page));
    if (fd < 0)
        return fd;
    *page = mmap(NULL, sizeof(struct pb_reader_page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (*page != MAP_FAILED && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
        atomic_store(&(*page)->start, PB_RING_UNSET);
        return fd;
    }
    int code = errno;
    if (*page != MAP_FAILED)
        pb_reader_page_close(*page);
    close(fd);
    return -code;
}

void pb_reader_page_close(struct pb_reader_page *page)
{
    munmap(page, sizeof(*page));
}
