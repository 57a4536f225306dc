/*
 * input.c - the port driver "inject": an engine's input that another process
 * writes into shared memory (ring.h). Its tables, and its open() and close().
 *
 * Runs on the control thread, while the engine thread does not exist; the
 * engine thread's part is consumer.c. The port owns the pipe; the ring belongs to
 * the writer that is attached.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "consumer.h"

static const struct pb_counter_desc input_counters[] = {
    [PIPE_ATTACHES] = {"attaches", PB_COUNTER_TOTAL, "writers", "applications that have attached"},
    [PIPE_FAULTS] = {"writer_faults", PB_COUNTER_TOTAL, "writers", "detached because they broke the protocol"},
    [PIPE_RING_BYTES] = {"ring_bytes", PB_COUNTER_GAUGE, "bytes", "size of the ring"},
    [PIPE_USED_BYTES] = {"used_bytes", PB_COUNTER_GAUGE, "bytes", "of the ring: written by the application, not yet received"},
    [PIPE_USED_BYTES_MAX] = {"used_bytes_max", PB_COUNTER_GAUGE, "bytes", "high-water mark of used_bytes since the start"},
    [PIPE_PID] = {"writer_pid", PB_COUNTER_GAUGE, "pid", "process of the application; 0: none"},
    [PIPE_DECLINED] = {"declined", PB_COUNTER_TOTAL, "packets", "that the application says it had and did not send on"},
    [PIPE_UNRECEIVED] = {"unreceived", PB_COUNTER_TOTAL, "packets", "written, but the engine stopped or detached the writer first"},
};
_Static_assert(sizeof(input_counters) / sizeof(input_counters[0]) == PB_CONSUMER_COUNTERS, "a description for each counter");

static const struct pb_option_desc input_options[] = {
    PB_PIPE_OPTIONS,
    {"pausable", PB_OPTION_BOOLEAN, "1", 0, 1,
     "1: where the engine's outputs are full the application waits; 0: what they cannot take is dropped"},
    {"marks", PB_OPTION_BOOLEAN, "0", 0, 1, "1: a packet's mark is the verdict of an inline application, for the Script brick"},
    {NULL, 0, NULL, 0, 0, NULL},
};

static int input_open(struct pb_port *port, struct pb_error *error)
{
    struct pb_consumer *consumer = aligned_alloc(_Alignof(struct pb_consumer), sizeof(*consumer));
    uint8_t *copies = malloc(PB_CONSUMER_COPY_BYTES);
    int result = -ENOMEM;
    if (consumer == NULL || copies == NULL) {
        pb_port_no_memory(port, error);
        goto fail;
    }
    memset(consumer, 0, sizeof(*consumer));
    consumer->copies = copies;
    consumer->link_type = PB_RING_LINK_UNSET;
    consumer->marks = pb_port_option_boolean(port, "marks");
    consumer->pipe.direction = PB_PIPE_FROM_APPLICATION;
    port->pausable = pb_port_option_boolean(port, "pausable");
    port->endless = true;
    result = pb_pipe_open_common(&consumer->pipe, port, error);
    if (result < 0)
        goto fail;
    result = pb_attach_register(&consumer->pipe, error);
    if (result < 0)
        goto fail_common;
    port->state = consumer;
    return 0;

fail_common:
    pb_pipe_close_common(&consumer->pipe);
fail:
    free(copies);
    free(consumer);
    return result;
}

static void input_close(struct pb_port *port)
{
    struct pb_consumer *consumer = port->state;
    pb_consumer_end(consumer);
    pb_attach_unregister(&consumer->pipe);
    pb_consumer_tick(port); /* no writer any more: the gauges say so */
    pb_pipe_close_common(&consumer->pipe);
    free(consumer->copies);
    free(consumer);
    port->state = NULL;
}

static const struct pb_port_operations inject_operations = {
    .open = input_open,
    .rx_batch = pb_consumer_rx_batch,
    .rx_release = pb_consumer_rx_release,
    .wait = pb_consumer_wait,
    .tick = pb_consumer_tick,
    .attend = pb_consumer_attend,
    .undelivered = pb_consumer_undelivered,
    .close = input_close,
};

static const struct pb_port_driver inject_driver = {
    .name = "inject",
    .text = "a shared-memory ring that an application writes",
    .input = true,
    .names = PB_NAMES_PIPE,
    .options = input_options,
    .counters = input_counters,
    .counters_count = PB_CONSUMER_COUNTERS,
    .operations = &inject_operations,
};
PB_PORT_DRIVER(inject_driver);
