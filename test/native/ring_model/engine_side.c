/*
 * engine_side.c - the engine's side of the pipe in the model check: producer.c as
 * it is, and what it calls elsewhere. engine_side_close() and _grant() mirror what
 * pipe_close() with pb_attach_unregister(), and pb_reader_grant(), do to the
 * memory that is shared.
 */
#include "sides.h"

#include "pipe/producer.c"

#include <stdio.h>

#define START 80 /* the first position: not where new memory says, and within the ring */

void pb_port_report(const struct pb_port *port, const char *format, ...)
{
    (void)port;
    model_fail("the engine reports: %s", format);
}

void pb_reader_end_close(struct pb_reader_end *reader)
{
    model_hang_up(reader->fd);
}

void engine_side_init(uint64_t ring_bytes)
{
    world.port = (struct pb_port){.state = &world.pipe, .counters = world.counters};
    world.pipe = (struct pb_pipe){
        .port = &world.port,
        .page = &world.producer_page,
        .ring = world.ring,
        .ring_bytes = ring_bytes,
        .link_type = PB_RING_LINK_UNSET,
        .head = START,
        .tail = START,
    };
    pthread_mutex_init(&world.pipe.mutex, NULL);
    world.producer_page.ring_bytes = ring_bytes;
    world.producer_page.head = START;
    world.producer_page.link_type = PB_RING_LINK_UNSET;
    world.reader_page.start = PB_RING_UNSET;
}

void engine_side_grant(void)
{
    world.end = (struct pb_reader_end){.fd = MODEL_ENGINE_FD, .page = &world.reader_page};
    world.pipe.incoming = &world.end;
    world.port.attention = true;
}

void engine_side_attend(void)
{
    if (!world.port.attention)
        return;
    world.port.attention = false;
    pb_pipe_attend(&world.port);
}

void engine_side_close(void)
{
    atomic_store(&world.producer_page.ended, 1);
    if (world.pipe.reader != NULL)
        pb_reader_end_close(world.pipe.reader);
    world.pipe.reader = NULL;
}
