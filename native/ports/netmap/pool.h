/*
 * pool.h - the extra buffers of a netmap memory: where packets wait that an
 * output's ring has no room for.
 *
 * A pool belongs to one engine and one memory, all outputs there share it. It knows
 * nothing of rings. When it is empty, the longest queue gives buffers up, with what is in
 * them, so that an output nobody reads cannot starve the others. The buffers are
 * the kernel's: it takes back those that are listed in the shared memory when the program ends,
 * however it ends. So the free ones always are. Their list there is written and never
 * read again: others can write it too.
 *
 * Control thread while there is no engine thread, which has it otherwise. Allocates in
 * pb_netmap_pool_adopt() only.
 */
#ifndef PB_NETMAP_POOL_H
#define PB_NETMAP_POOL_H

#include <stdbool.h>
#include <stdint.h>

#define PB_NETMAP_NONE UINT32_MAX
#define PB_NETMAP_REVOKE_MAX 64 /* taken back at once: looking for the longest queue costs more than a packet */

/* An extra buffer, and the packet that waits in it. */
struct pb_netmap_extra {
    uint32_t buffer; /* its index; another after a swap */
    uint16_t length;
    uint16_t ring;   /* of the output, where the packet will go */
    uint32_t next;   /* behind it in its queue, or below it among the free; PB_NETMAP_NONE: none */
};

/* What waits for one output. */
struct pb_netmap_queue {
    uint32_t first, last;
    uint32_t count;
    uint32_t taken_back; /* of this queue's packets, not counted by its output yet */
    struct pb_netmap_queue *next; /* of the pool's queues */
};

struct pb_netmap_pool {
    uint8_t *buffers; /* buffer 0 */
    uint32_t buffer_bytes;
    uint32_t buffers_count; /* indices are below */
    struct pb_netmap_extra *extras;
    uint32_t count;
    uint32_t free;   /* the last one that became free */
    uint32_t queued; /* in all queues */
    uint32_t *listed; /* where the kernel looks for the first free buffer's index; NULL: nowhere */
    struct pb_netmap_queue *queues;
};

static inline uint8_t *pb_netmap_buffer(const struct pb_netmap_pool *pool, uint32_t buffer)
{
    return pool->buffers + (uint64_t)buffer * pool->buffer_bytes;
}

/* Take over buffers that a registration has got, at most `count`, listed from *head; the list is
 * empty then. Returns their count, or -ENOMEM, and they stay where they are. */
int pb_netmap_pool_adopt(struct pb_netmap_pool *pool, uint32_t *head, uint32_t count);
/* List the free buffers there from now on; NULL: nowhere. */
void pb_netmap_pool_list(struct pb_netmap_pool *pool, uint32_t *head);
/* Give `count` free buffers away, listed from *head. */
void pb_netmap_pool_give(struct pb_netmap_pool *pool, uint32_t *head, uint32_t count);
void pb_netmap_pool_free(struct pb_netmap_pool *pool);

void pb_netmap_queue_add(struct pb_netmap_pool *pool, struct pb_netmap_queue *queue);
/* Its packets are dropped: the count of them. */
uint32_t pb_netmap_queue_remove(struct pb_netmap_pool *pool, struct pb_netmap_queue *queue);

/* A buffer for one more packet of this queue, which has to go to pb_netmap_queue_put() next;
 * PB_NETMAP_NONE: there is none, and no other queue has more than its share. */
uint32_t pb_netmap_pool_take(struct pb_netmap_pool *pool, struct pb_netmap_queue *queue);
void pb_netmap_queue_put(struct pb_netmap_pool *pool, struct pb_netmap_queue *queue, uint32_t extra);
/* The first packet of the queue leaves it, and its buffer, which may be another by now, is free. */
void pb_netmap_queue_drop_first(struct pb_netmap_pool *pool, struct pb_netmap_queue *queue);

#endif
