/* pool.c - see pool.h. Pure but for the list in the shared memory. */
#include "pool.h"

#include <errno.h>
#include <stdlib.h>

/* A buffer begins with the index of the next one of the list. */
static uint32_t *link_of(const struct pb_netmap_pool *pool, uint32_t buffer)
{
    return (uint32_t *)(void *)pb_netmap_buffer(pool, buffer);
}

/* The process can be killed at any point: what is listed is linked before, and is listed no more before it is used. */
static void list_first(struct pb_netmap_pool *pool)
{
    if (pool->listed == NULL)
        return;
    uint32_t first = pool->free == PB_NETMAP_NONE ? 0 : pool->extras[pool->free].buffer;
    __atomic_store_n(pool->listed, first, __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static uint32_t pop_free(struct pb_netmap_pool *pool)
{
    uint32_t extra = pool->free;
    if (extra != PB_NETMAP_NONE) {
        pool->free = pool->extras[extra].next;
        list_first(pool);
    }
    return extra;
}

/* The list is a stack, so what stands in the buffers below the first stays right. */
static void push_free(struct pb_netmap_pool *pool, uint32_t extra)
{
    struct pb_netmap_extra *e = &pool->extras[extra];
    *link_of(pool, e->buffer) = pool->free == PB_NETMAP_NONE ? 0 : pool->extras[pool->free].buffer;
    e->next = pool->free;
    pool->free = extra;
    list_first(pool);
}

int pb_netmap_pool_adopt(struct pb_netmap_pool *pool, uint32_t *head, uint32_t count)
{
    struct pb_netmap_extra *extras = realloc(pool->extras, ((size_t)pool->count + count) * sizeof(*extras));
    if (extras == NULL)
        return -ENOMEM;
    pool->extras = extras;
    uint32_t buffer = *head;
    *head = 0;
    uint32_t before = pool->count;
    for (; count > 0 && buffer > 0 && buffer < pool->buffers_count; count--) {
        uint32_t next = *link_of(pool, buffer);
        extras[pool->count].buffer = buffer;
        push_free(pool, pool->count++);
        buffer = next;
    }
    return (int)(pool->count - before);
}

void pb_netmap_pool_list(struct pb_netmap_pool *pool, uint32_t *head)
{
    if (pool->listed != NULL)
        *pool->listed = 0;
    pool->listed = head;
    list_first(pool);
}

void pb_netmap_pool_give(struct pb_netmap_pool *pool, uint32_t *head, uint32_t count)
{
    for (uint32_t extra; count > 0 && (extra = pop_free(pool)) != PB_NETMAP_NONE; count--) {
        uint32_t buffer = pool->extras[extra].buffer;
        *link_of(pool, buffer) = *head;
        *head = buffer;
    }
}

void pb_netmap_pool_free(struct pb_netmap_pool *pool)
{
    free(pool->extras);
    *pool = (struct pb_netmap_pool){.free = PB_NETMAP_NONE};
}

void pb_netmap_queue_add(struct pb_netmap_pool *pool, struct pb_netmap_queue *queue)
{
    *queue = (struct pb_netmap_queue){.first = PB_NETMAP_NONE, .last = PB_NETMAP_NONE, .next = pool->queues};
    pool->queues = queue;
}

uint32_t pb_netmap_queue_remove(struct pb_netmap_pool *pool, struct pb_netmap_queue *queue)
{
    uint32_t dropped = queue->count;
    while (queue->count > 0)
        pb_netmap_queue_drop_first(pool, queue);
    struct pb_netmap_queue **at = &pool->queues;
    while (*at != queue)
        at = &(*at)->next;
    *at = queue->next;
    return dropped;
}

void pb_netmap_queue_drop_first(struct pb_netmap_pool *pool, struct pb_netmap_queue *queue)
{
    uint32_t extra = queue->first;
    queue->first = pool->extras[extra].next;
    if (--queue->count == 0)
        queue->last = PB_NETMAP_NONE;
    pool->queued--;
    push_free(pool, extra);
}

/* Have the longest queue give up its oldest packets. Of what it has more than `queue`, a quarter
 * goes at once, so that two of the same length do not take from each other in turn. */
static void revoke(struct pb_netmap_pool *pool, const struct pb_netmap_queue *queue)
{
    struct pb_netmap_queue *longest = pool->queues;
    for (struct pb_netmap_queue *q = pool->queues; q != NULL; q = q->next)
        if (q->count > longest->count)
            longest = q;
    if (longest == NULL || longest->count < queue->count + 2)
        return;
    uint32_t take = (longest->count - queue->count + 3) / 4;
    if (take > PB_NETMAP_REVOKE_MAX)
        take = PB_NETMAP_REVOKE_MAX;
    longest->taken_back += take;
    for (; take > 0; take--)
        pb_netmap_queue_drop_first(pool, longest);
}

uint32_t pb_netmap_pool_take(struct pb_netmap_pool *pool, struct pb_netmap_queue *queue)
{
    if (pool->free == PB_NETMAP_NONE)
        revoke(pool, queue);
    return pop_free(pool);
}

void pb_netmap_queue_put(struct pb_netmap_pool *pool, struct pb_netmap_queue *queue, uint32_t extra)
{
    pool->extras[extra].next = PB_NETMAP_NONE;
    if (queue->count++ == 0)
        queue->first = extra;
    else
        pool->extras[queue->last].next = extra;
    queue->last = extra;
    pool->queued++;
}
