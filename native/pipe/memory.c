/*
 * memory.c - makes the shared memory of a pipe (ring.h has its layout).
 *
 * Towards an application the data memory is made by open() on the control thread
 * and belongs to the pipe. An application that writes gets its own, made by the
 * attach server; so is the reader page, for every attach. Those belong to its
 * struct pb_peer.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../core/error.h"
#include "../core/memfd.h"
#include "pipe.h"

/* Fill in the producer page: through the descriptor, where we map it read-only. */
static int write_page(const struct pb_ring_memory *memory, const char *name)
{
    struct pb_producer_page page = {
        .magic = PB_RING_MAGIC,
        .version = PB_RING_VERSION,
        .page_bytes = memory->page_bytes,
        .ring_bytes = memory->ring_bytes,
        .link_type = PB_RING_LINK_UNSET,
    };
    snprintf(page.name, sizeof(page.name), "%s", name);
    ssize_t written = pwrite(memory->fd, &page, sizeof(page), 0);
    return written == (ssize_t)sizeof(page) ? 0 : -1;
}

int pb_ring_memory_open(struct pb_ring_memory *memory, const char *name, uint64_t ring_bytes, bool written_here,
                        struct pb_error *reason)
{
    const char *doing = "create";
    int protection = written_here ? PROT_READ | PROT_WRITE : PROT_READ;
    *memory = (struct pb_ring_memory){.page = MAP_FAILED, .page_bytes = (uint32_t)sysconf(_SC_PAGESIZE), .ring_bytes = ring_bytes};
    uint64_t front_bytes = memory->page_bytes + pb_ring_records_bytes(ring_bytes);
    memory->fd = pb_memfd_create("bricks-pipe", front_bytes + ring_bytes);
    if (memory->fd < 0) {
        errno = -memory->fd;
        goto fail;
    }
    if (write_page(memory, name) < 0)
        goto fail;
    doing = "map";
    memory->page = mmap(NULL, front_bytes, protection, MAP_SHARED | MAP_POPULATE, memory->fd, 0);
    if (memory->page == MAP_FAILED)
        goto fail;
    memory->records = (struct pb_record *)((uint8_t *)memory->page + memory->page_bytes);
    memory->ring = pb_ring_map(memory->fd, front_bytes, ring_bytes, protection, MAP_POPULATE);
    if (memory->ring == NULL)
        goto fail;
    doing = "seal";
    if (pb_memfd_seal(memory->fd, written_here) == 0)
        return 0;

fail:;
    int code = errno;
    pb_ring_memory_close(memory);
    return pb_fail(reason, code, "cannot %s its ring of %llu bytes: %s; %s", doing, (unsigned long long)ring_bytes,
                   pb_errno_words(code), pb_errno_remedy(code, "free memory, or use a smaller buffer"));
}

void pb_ring_memory_close(struct pb_ring_memory *memory)
{
    if (memory->ring != NULL)
        pb_ring_unmap(memory->ring, memory->ring_bytes);
    if (memory->page != NULL && memory->page != MAP_FAILED)
        munmap(memory->page, memory->page_bytes + pb_ring_records_bytes(memory->ring_bytes));
    if (memory->page != NULL && memory->fd >= 0)
        close(memory->fd);
    *memory = (struct pb_ring_memory){.fd = -1};
}

int pb_references_open(uint64_t **references, uint64_t ring_bytes)
{
    uint64_t bytes = pb_references_bytes(ring_bytes);
    int fd = pb_memfd_create("bricks-references", bytes);
    if (fd < 0)
        return fd;
    *references = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (*references != MAP_FAILED && pb_memfd_seal(fd, true) == 0)
        return fd;
    int code = errno;
    if (*references != MAP_FAILED)
        munmap(*references, bytes);
    *references = NULL;
    close(fd);
    return -code;
}

void pb_references_close(uint64_t *references, uint64_t ring_bytes)
{
    if (references != NULL)
        munmap(references, pb_references_bytes(ring_bytes));
}

int pb_reader_page_open(struct pb_reader_page **page)
{
    int fd = pb_memfd_create("bricks-reader", sizeof(struct pb_reader_page));
    if (fd < 0)
        return fd;
    *page = mmap(NULL, sizeof(struct pb_reader_page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (*page != MAP_FAILED && pb_memfd_seal(fd, false) == 0) {
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
