/* umem.c - see umem.h. Control thread. */
#include "umem.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "queue.h"

static struct xdp_umem *umems;

struct xdp_umem *pb_xdp_umem_find(int engine, bool zerocopy)
{
    struct xdp_umem *umem = umems;
    while (umem != NULL && (umem->engine != engine || umem->zerocopy != zerocopy))
        umem = umem->next;
    return umem;
}

static void release(struct xdp_umem *umem)
{
    if (umem->umem != NULL)
        (void)xsk_umem__delete(umem->umem);
    if (umem->memory != NULL)
        munmap(umem->memory, umem->bytes);
    free(umem->free);
    free(umem->references);
    free(umem);
}

static int allocate(struct xdp_umem *umem, size_t bytes)
{
    umem->bytes = bytes;
    umem->chunks = (uint32_t)(bytes >> XDP_CHUNK_SHIFT);
    umem->free = calloc(umem->chunks, sizeof(*umem->free));
    umem->references = calloc(umem->chunks, sizeof(*umem->references));
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    umem->memory = memory == MAP_FAILED ? NULL : memory;
    if (umem->free == NULL || umem->references == NULL || umem->memory == NULL)
        return -ENOMEM;
    (void)madvise(umem->memory, bytes, MADV_HUGEPAGE); /* less to pin, fewer misses in the TLB */
    for (uint32_t i = 0; i < umem->chunks; i++)
        umem->free[umem->free_count++] = umem->chunks - 1 - i;
    return 0;
}

struct xdp_umem *pb_xdp_umem_open(const struct pb_port *port, size_t bytes, uint32_t ring, struct xdp_queue *first,
                                  struct pb_error *error)
{
    const struct xsk_umem_config config = {.fill_size = ring, .comp_size = ring, .frame_size = XDP_CHUNK_BYTES};
    struct xdp_umem *umem = calloc(1, sizeof(*umem));
    int result = umem == NULL ? -ENOMEM : allocate(umem, bytes);
    if (result == 0)
        result = xsk_umem__create(&umem->umem, umem->memory, bytes, &first->fill, &first->completion, &config);
    if (result < 0) {
        pb_port_fail_errno(port, error, -result,
                           "free memory, use less (?umem_mb=), or raise the limit of locked memory (ulimit -l)",
                           "cannot have %zu MiB of buffers", bytes >> 20);
        if (umem != NULL)
            release(umem);
        return NULL;
    }
    umem->engine = port->engine_handle;
    umem->next = umems;
    umems = umem;
    return umem;
}

void pb_xdp_umem_close(struct xdp_umem *umem)
{
    struct xdp_umem **at = &umems;
    while (*at != umem)
        at = &(*at)->next;
    *at = umem->next;
    release(umem);
}
