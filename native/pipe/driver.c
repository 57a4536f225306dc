/*
 * driver.c - the port driver "pipe": an engine's output that another process
 * reads from shared memory (ring.h). Its tables, and its open() and close().
 *
 * Runs on the control thread, while the engine thread does not exist; the
 * engine thread's part is producer.c. The port owns the pipe and its memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../core/error.h"
#include "directory.h"
#include "pipe.h"

static const struct pb_counter_desc pipe_counters[] = {
    [PIPE_NO_READER] = {"no_reader", PB_COUNTER_DROP, "packets", "no application was attached"},
    [PIPE_FULL] = {"pipe_full", PB_COUNTER_DROP, "packets", "the application reads too slowly: the ring was full"},
    [PIPE_TOO_LONG] = {"too_long", PB_COUNTER_DROP, "packets", "longer than the whole ring"},
    [PIPE_LINK_TYPE] = {"link_type", PB_COUNTER_DROP, "packets", "of another link type than the pipe's first packet"},
    [PIPE_UNREAD] = {"unread", PB_COUNTER_TOTAL, "packets", "sent, but the application went away before it read them"},
    [PIPE_ATTACHES] = {"attaches", PB_COUNTER_TOTAL, "readers", "applications that have attached"},
    [PIPE_READER_FAULTS] = {"reader_faults", PB_COUNTER_TOTAL, "readers", "detached because they broke the protocol"},
    [PIPE_RING_BYTES] = {"ring_bytes", PB_COUNTER_GAUGE, "bytes", "size of the ring"},
    [PIPE_USED_BYTES] = {"used_bytes", PB_COUNTER_GAUGE, "bytes", "of the ring: sent, not yet read by the application"},
    [PIPE_READER_PID] = {"reader_pid", PB_COUNTER_GAUGE, "pid", "process of the application; 0: none"},
};
_Static_assert(sizeof(pipe_counters) / sizeof(pipe_counters[0]) == PIPE_COUNTERS, "a description for each counter");

static const struct pb_option_desc pipe_options[] = {
    {"slots", PB_OPTION_INTEGER, "", PB_BUFFER_SLOTS_MIN, PB_BUFFER_SLOTS_MAX,
     "size of the ring, in slots of 2048 bytes, rounded up to a power of two (default: the engine's buffer size)"},
    {"wait", PB_OPTION_BOOLEAN, "0", 0, 1,
     "1: while no application is attached, a source that can pause (a capture file) waits for one instead of dropping"},
    {NULL, 0, NULL, 0, 0, NULL},
};

static uint64_t ring_bytes_of(const struct pb_port *port)
{
    int64_t slots = pb_port_option_integer(port, "slots");
    if (slots <= 0)
        slots = port->buffer_slots;
    if (slots > PB_BUFFER_SLOTS_MAX)
        slots = PB_BUFFER_SLOTS_MAX;
    uint64_t bytes = PB_RING_BYTES_MIN;
    while (bytes < (uint64_t)slots * PB_BUFFER_SLOT_BYTES)
        bytes *= 2;
    return bytes;
}

static int pipe_open(struct pb_port *port, struct pb_error *error)
{
    struct pb_pipe *pipe = aligned_alloc(_Alignof(struct pb_pipe), sizeof(*pipe));
    if (pipe == NULL)
        return pb_fail(error, ENOMEM, "pipe \"%s\": out of memory", port->name);
    memset(pipe, 0, sizeof(*pipe));
    pipe->port = port;
    pipe->link_type = PB_RING_LINK_UNSET;
    pipe->waits_for_reader = pb_port_option_boolean(port, "wait");
    pthread_mutex_init(&pipe->mutex, NULL);

    int result = pb_pipe_name_from_port(port->name, pipe->name, error);
    if (result < 0)
        goto fail;
    result = pb_claim_open(&pipe->claim, pipe->name, error);
    if (result < 0)
        goto fail;
    result = pb_pipe_memory_open(pipe, ring_bytes_of(port), error);
    if (result < 0)
        goto fail_claim;
    result = pb_attach_register(pipe, error);
    if (result < 0)
        goto fail_memory;
    pb_counter_set(&port->counters[PB_PORT_COUNTERS + PIPE_RING_BYTES], pipe->ring_bytes);
    port->state = pipe;
    return 0;

fail_memory:
    pb_pipe_memory_close(pipe);
fail_claim:
    pb_claim_close(&pipe->claim);
fail:
    pthread_mutex_destroy(&pipe->mutex);
    free(pipe);
    return result;
}

/* The reader keeps its own mapping: it reads on to the end, then sees the flag. */
static void pipe_close(struct pb_port *port)
{
    struct pb_pipe *pipe = port->state;
    atomic_store(&pipe->page->ended, 1);
    pb_attach_unregister(pipe);
    pb_pipe_tick(port); /* no reader any more: the gauges say so */
    pb_claim_close(&pipe->claim);
    pb_pipe_memory_close(pipe);
    pthread_mutex_destroy(&pipe->mutex);
    free(pipe);
    port->state = NULL;
}

void pb_pipe_fill_status(const struct pb_pipe *pipe, struct pb_pipe_status *status)
{
    const pb_counter *counters = pipe->port->counters;
    status->packets = pb_counter_get(&counters[PB_PORT_TX_PACKETS]);
    status->bytes = pb_counter_get(&counters[PB_PORT_TX_BYTES]);
    for (uint32_t i = 0; i < PIPE_COUNTERS; i++)
        if (pipe_counters[i].kind == PB_COUNTER_DROP)
            status->dropped += pb_counter_get(&counters[PB_PORT_COUNTERS + i]);
    status->ring_bytes = pipe->ring_bytes;
    if (pipe->reader == NULL)
        return;
    status->application_pid = pipe->reader->pid;
    uint64_t used_bytes = atomic_load(&pipe->page->head) - atomic_load(&pipe->reader->page->tail);
    status->used_bytes = used_bytes <= pipe->ring_bytes ? used_bytes : pipe->ring_bytes;
}

static const struct pb_port_driver pipe_driver = {
    .name = "pipe",
    .text = "a shared-memory ring that an application reads",
    .output = true,
    .options = pipe_options,
    .counters = pipe_counters,
    .counters_count = PIPE_COUNTERS,
    .open = pipe_open,
    .tx_batch = pb_pipe_tx_batch,
    .wait = pb_pipe_wait_for_space,
    .tick = pb_pipe_tick,
    .attend = pb_pipe_attend,
    .undelivered = pb_pipe_undelivered,
    .close = pipe_close,
};
PB_PORT_DRIVER(pipe_driver);
