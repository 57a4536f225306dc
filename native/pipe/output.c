/*
 * output.c - the port driver "pipe": an engine's output that another process
 * reads from shared memory (ring.h). Its tables, and its open() and close().
 *
 * Runs on the control thread, while the engine thread does not exist; the
 * engine thread's part is producer.c. The port owns the pipe and its memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "producer.h"

static const struct pb_counter_desc output_counters[] = {
    [PIPE_ATTACHES] = {"attaches", PB_COUNTER_TOTAL, "readers", "applications that have attached"},
    [PIPE_FAULTS] = {"reader_faults", PB_COUNTER_TOTAL, "readers", "detached because they broke the protocol"},
    [PIPE_RING_BYTES] = {"ring_bytes", PB_COUNTER_GAUGE, "bytes", "size of the ring"},
    [PIPE_USED_BYTES] = {"used_bytes", PB_COUNTER_GAUGE, "bytes", "of the ring: sent, not yet read by the application"},
    [PIPE_USED_BYTES_MAX] = {"used_bytes_max", PB_COUNTER_GAUGE, "bytes", "high-water mark of used_bytes since the start"},
    [PIPE_PID] = {"reader_pid", PB_COUNTER_GAUGE, "pid", "process of the application; 0: none"},
    [PIPE_NO_READER] = {"no_reader", PB_COUNTER_DROP, "packets", "no application was attached"},
    [PIPE_FULL] = {"pipe_full", PB_COUNTER_DROP, "packets", "the application reads too slowly: the ring was full"},
    [PIPE_TOO_LONG] = {"too_long", PB_COUNTER_DROP, "packets", "longer than the whole ring"},
    [PIPE_LINK_TYPE] = {"link_type", PB_COUNTER_DROP, "packets", "of another link type than the pipe's first packet"},
    [PIPE_LENT] = {"lent", PB_COUNTER_TOTAL, "packets", "of those sent: lent where the port has them, not copied (?lend=1)"},
    [PIPE_UNREAD] = {"unread", PB_COUNTER_TOTAL, "packets", "sent, but the application went away before it read them"},
};
_Static_assert(sizeof(output_counters) / sizeof(output_counters[0]) == PB_PRODUCER_COUNTERS, "a description for each counter");

static const struct pb_option_desc output_options[] = {
    PB_PIPE_OPTIONS,
    {"wait", PB_OPTION_BOOLEAN, "0", 0, 1,
     "1: while no application is attached, a source that can pause (a capture file) waits for one instead of dropping"},
    {"lend", PB_OPTION_BOOLEAN, "0", 0, 1,
     "1: where the input can, packets are not copied; the application then sees the input's memory, others' packets too"},
    {NULL, 0, NULL, 0, 0, NULL},
};

static int output_open(struct pb_port *port, struct pb_error *error)
{
    struct pb_producer *producer = aligned_alloc(_Alignof(struct pb_producer), sizeof(*producer));
    struct pb_error reason;
    if (producer == NULL)
        return pb_port_no_memory(port, error);
    memset(producer, 0, sizeof(*producer));
    producer->link_type = PB_RING_LINK_UNSET;
    producer->pipe.direction = PB_PIPE_TO_APPLICATION;
    atomic_store(&port->awaited, pb_port_option_boolean(port, "wait"));

    int result = pb_pipe_open_common(&producer->pipe, port, error);
    if (result < 0)
        goto fail;
    result = pb_ring_memory_open(&producer->pipe.memory, producer->pipe.name, producer->pipe.ring_bytes, true, &reason);
    if (result < 0) {
        pb_port_fail(port, error, reason.code, "%s", reason.text);
        goto fail_common;
    }
    port->borrows = pb_port_option_boolean(port, "lend");
    if (!port->borrows) /* else output_borrow() does it */
        result = pb_attach_register(&producer->pipe, error);
    if (result < 0)
        goto fail_memory;
    port->state = producer;
    pb_port_set_deserted(port, true);
    return 0;

fail_memory:
    pb_ring_memory_close(&producer->pipe.memory);
fail_common:
    pb_pipe_close_common(&producer->pipe);
fail:
    free(producer);
    return result;
}

/* The regions of more inputs than there is room for are not lent. */
static int output_borrow(struct pb_port *port, struct pb_region *const *regions, uint32_t count, struct pb_error *error)
{
    struct pb_producer *producer = port->state;
    struct pb_pipe *pipe = &producer->pipe;
    if (count > 0) {
        int fd = pb_references_open(&producer->references, pipe->ring_bytes);
        if (fd < 0)
            return pb_port_fail_errno(port, error, -fd, "free memory, or leave out ?lend=1", "no memory for its references");
        pipe->lent_fds[pipe->lent_fds_count++] = fd;
    }
    for (uint32_t i = 0; i < count && i < PB_LOAN_REGIONS_MAX; i++) {
        producer->loans.regions[producer->loans.regions_count++] = regions[i];
        pipe->lent_fds[pipe->lent_fds_count++] = regions[i]->fd;
    }
    return pb_attach_register(pipe, error);
}

/* The reader keeps its own mapping: it reads on to the end, then sees the flag. */
static void output_close(struct pb_port *port)
{
    struct pb_producer *producer = port->state;
    atomic_store(&producer->pipe.memory.page->ended, 1);
    pb_attach_unregister(&producer->pipe);
    pb_producer_tick(port); /* no reader any more: the gauges say so */
    pb_ring_memory_close(&producer->pipe.memory);
    if (producer->references != NULL)
        close(producer->pipe.lent_fds[0]);
    pb_references_close(producer->references, producer->pipe.ring_bytes);
    pb_pipe_close_common(&producer->pipe);
    free(producer);
    port->state = NULL;
}

static const struct pb_port_operations pipe_operations = {
    .open = output_open,
    .borrow = output_borrow,
    .tx_batch = pb_producer_tx_batch,
    .wait = pb_producer_wait,
    .tick = pb_producer_tick,
    .attend = pb_producer_attend,
    .undelivered = pb_producer_undelivered,
    .close = output_close,
};

static const struct pb_port_driver pipe_driver = {
    .name = "pipe",
    .text = "a shared-memory ring that an application reads",
    .output = true,
    .names = PB_NAMES_PIPE,
    .options = output_options,
    .counters = output_counters,
    .counters_count = PB_PRODUCER_COUNTERS,
    .operations = &pipe_operations,
};
PB_PORT_DRIVER(pipe_driver);
