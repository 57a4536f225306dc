/* region.c - see region.h. Control thread; the region is the port's that opens it. */
#include "region.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../core/memfd.h"
#include "port.h"

/* Make the memory, map it, seal it. 0, or -errno; what was made is the region's. */
static int make_memory(struct pb_region *region)
{
    region->fd = pb_memfd_create("bricks-region", region->bytes);
    if (region->fd < 0)
        return region->fd;
    void *memory = mmap(NULL, region->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, region->fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    region->memory = memory;
    return pb_memfd_seal(region->fd, true) == 0 ? 0 : -errno;
}

int pb_region_open(struct pb_region **result, const struct pb_port *port, uint32_t blocks, uint64_t block_bytes, struct pb_error *error)
{
    struct pb_region *region = calloc(1, sizeof(*region) + blocks * sizeof(region->holds[0]));
    int code = -ENOMEM;
    if (region != NULL) {
        region->blocks = region->free = blocks;
        region->block_bytes = block_bytes;
        region->bytes = blocks * block_bytes;
        code = make_memory(region);
    }
    if (code == 0) {
        *result = region;
        return 0;
    }
    pb_region_close(region);
    return pb_port_fail_errno(port, error, -code, "free memory, or leave out ?lend=1 at the outputs",
                              "no %llu bytes of shared memory to lend", (unsigned long long)(blocks * block_bytes));
}

void pb_region_close(struct pb_region *region)
{
    if (region == NULL)
        return;
    if (region->memory != NULL)
        munmap(region->memory, region->bytes);
    if (region->fd >= 0)
        close(region->fd);
    free(region);
}
