/*
 * sides.c - the two sides of a pipe in the model check: what the driven files call
 * elsewhere, and the state that attaching brings about.
 *
 * Mirrored here, because the real functions are system calls for the most part:
 * pb_attachment_open() and _close() (attachment.c), pb_peer_grant() and
 * pb_peer_close() (grant.c), and of output_close(), input_close() and
 * pb_attach_unregister() what they do to shared memory and socket; and of output_borrow()
 * and pb_region_open() what they make.
 */
#include "sides.h"

#include <string.h>

#define START_RECORD 3 /* the first record and position: not where new memory says */
#define START_POSITION (5 * PB_RING_UNIT)

/* ------------------------------------------------------------- the application's */

void *model_calloc(size_t count, size_t bytes)
{
    return count * bytes <= sizeof(world.heap) ? world.heap : NULL;
}

void model_free(void *memory)
{
    (void)memory;
}

int pb_attachment_open(struct pb_attachment *attachment, const char *name, enum pb_attach_verb verb, bool borrows,
                       struct pb_error *error)
{
    (void)name, (void)verb, (void)error;
    *attachment = (struct pb_attachment){
        .fd = MODEL_APPLICATION_FD,
        .producer = &world.producer_page,
        .reader = &world.reader_page,
        .records = world.records,
        .ring = world.ring,
        .ring_bytes = world.producer_page.ring_bytes,
        .references = world.references,
        .regions = {{.memory = world.blocks, .bytes = sizeof(world.blocks)}},
        .regions_count = borrows,
    };
    return 0;
}

void pb_attachment_close(struct pb_attachment *attachment)
{
    model_hang_up(attachment->fd);
}

/* ----------------------------------------------------------------- the engine's */

void pb_peer_close(struct pb_peer *peer)
{
    model_hang_up(peer->fd);
}

static struct pb_pipe *pipe_of(void)
{
    return world.port.state;
}

static const struct pb_port_operations producer = {.attend = pb_producer_attend};
static const struct pb_port_operations consumer = {.attend = pb_consumer_attend};

void sides_init(uint64_t ring_bytes, uint32_t direction)
{
    bool outwards = direction == PB_PIPE_TO_APPLICATION;
    memset(&world, 0, sizeof(world));
    world.port = (struct pb_port){
        .operations = outwards ? &producer : &consumer,
        .name = (char *)(uintptr_t)"model",
        .state = outwards ? (void *)&world.producer : (void *)&world.consumer,
        .counters = world.counters,
        .output_changes = &world.output_changes,
    };
    world.producer_page.ring_bytes = ring_bytes;
    world.producer_page.link_type = PB_RING_LINK_UNSET;
    world.reader_page.start = PB_RING_UNSET;
    if (outwards) {
        world.producer.link_type = PB_RING_LINK_UNSET;
        world.producer.head = START_RECORD;
        world.producer.position = world.producer.tail = START_POSITION;
        world.producer_page.head = START_RECORD;
    }
    world.consumer.copies = world.copies;
    struct pb_pipe *pipe = pipe_of();
    pipe->port = &world.port;
    pipe->ring_bytes = ring_bytes;
    pipe->direction = direction;
    pthread_mutex_init(&pipe->mutex, NULL);
}

void sides_lend(uint32_t blocks)
{
    world.region.memory = world.blocks;
    world.region.blocks = world.region.free = blocks;
    world.region.block_bytes = PB_RING_UNIT;
    world.region.bytes = blocks * PB_RING_UNIT;
    world.producer.references = world.references;
    world.producer.loans.regions[0] = &world.region;
    world.producer.loans.regions_count = 1;
}

void sides_grant(void)
{
    struct pb_pipe *pipe = pipe_of();
    struct pb_ring_memory memory = {
        .page = &world.producer_page,
        .records = world.records,
        .ring = world.ring,
        .ring_bytes = world.producer_page.ring_bytes,
    };
    world.peer = (struct pb_peer){.fd = MODEL_ENGINE_FD, .page = &world.reader_page, .borrows = world.region.blocks > 0};
    *(pipe->direction == PB_PIPE_TO_APPLICATION ? &pipe->memory : &world.peer.memory) = memory;
    pipe->incoming = &world.peer;
    world.port.attention = true;
}

void sides_attend(void)
{
    if (!world.port.attention)
        return;
    world.port.attention = false;
    world.port.operations->attend(&world.port);
}

void sides_close(void)
{
    struct pb_pipe *pipe = pipe_of();
    if (pipe->direction == PB_PIPE_TO_APPLICATION)
        atomic_store(&world.producer_page.ended, 1);
    else
        pb_consumer_end(&world.consumer);
    if (pipe->peer != NULL)
        pb_peer_close(pipe->peer);
    pipe->peer = NULL;
}
