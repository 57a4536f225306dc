/*
 * region.h - an input port's packets in memory that other processes can map, so
 * that outputs can lend packets where they are instead of copying them.
 *
 * A region consists of blocks. The driver that owns it writes packets into a block
 * that nobody holds, and lends the engine those; an output that passes them on
 * without a copy holds the block until its reader has given them back. All of that
 * is the engine thread's; open and close are the control thread's. Other processes
 * map the region read-only; their mappings keep its memory when it is closed.
 *
 * Outputs leave at least one block that nobody holds (pb_region_may_hold()), so the
 * driver always finds one: a reader that gives nothing back costs others a part of
 * the blocks, and never holds up a port.
 */
#ifndef PB_REGION_H
#define PB_REGION_H

#include <stdbool.h>
#include <stdint.h>

#include "packet_bricks.h"

struct pb_port;

#define PB_REGION_BLOCKS_MIN 4

struct pb_region {
    int fd;
    uint8_t *memory;
    uint64_t bytes;
    uint64_t block_bytes;
    uint32_t blocks;
    uint32_t free; /* blocks that nobody holds */
    uint32_t block; /* the one whose packets came last */
    uint32_t holds[]; /* of each block */
};

/* Make a region for port `name`. 0, or -errno with text. */
int pb_region_open(struct pb_region **region, const struct pb_port *port, uint32_t blocks, uint64_t block_bytes, struct pb_error *error);
void pb_region_close(struct pb_region *region);

/* Driver: go on to the next block that nobody holds. */
static inline uint8_t *pb_region_next(struct pb_region *region)
{
    do
        region->block = region->block + 1 < region->blocks ? region->block + 1 : 0;
    while (region->holds[region->block] > 0);
    return region->memory + region->block * region->block_bytes;
}

/* Output: may somebody who holds `held` blocks hold another? A share that shrinks as
 * the region fills up (the dynamic threshold of Choudhury and Hahne, "Dynamic queue
 * length thresholds for shared-memory packet switches", 1998): one slow reader gets
 * half of the blocks at most, n of them n / (n + 1). */
static inline bool pb_region_may_hold(const struct pb_region *region, uint32_t held)
{
    return held + 1 < region->free;
}

static inline void pb_region_hold(struct pb_region *region, uint32_t block)
{
    region->free -= region->holds[block]++ == 0;
}

static inline void pb_region_drop(struct pb_region *region, uint32_t block)
{
    region->free += --region->holds[block] == 0;
}

#endif
