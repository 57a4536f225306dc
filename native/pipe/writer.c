/*
 * writer.c - the writer library: what an application uses to send packets into an
 * engine. Its functions are documented in packet_bricks.h.
 *
 * Runs in the application, on whichever one thread uses the writer; the writer
 * owns its mappings and its socket (attachment.c). Also linked into
 * libbricks-pipe.so.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "../core/clock.h"
#include "../core/error.h"
#include "attachment.h"
#include "copy.h"

#define LINK_TYPE_ETHERNET 1

struct pb_pipe_writer {
    struct pb_attachment attachment;
    struct pb_ring_window window;
    uint64_t head;          /* records published */
    uint64_t position;      /* in the ring, behind the last of them */
    uint64_t tail;          /* the engine's, when last looked at */
    uint64_t declined;
    uint64_t refused_bytes; /* what pb_pipe_write() last refused for; 0: it did not */
    uint64_t requests;      /* for space */
    bool requesting;        /* producer->producer_waiting is set */
};

int pb_pipe_open_writer(const char *name, struct pb_pipe_writer **result, struct pb_error *error)
{
    *result = NULL;
    struct pb_pipe_writer *writer = calloc(1, sizeof(*writer));
    if (writer == NULL)
        return pb_fail(error, ENOMEM, "pipe \"%s\": out of memory", name);
    int code = pb_attachment_open(&writer->attachment, name, PB_ATTACH_WRITE, false, error);
    if (code < 0) {
        free(writer);
        return code;
    }
    atomic_store(&writer->attachment.producer->link_type, LINK_TYPE_ETHERNET);
    *result = writer;
    return 0;
}

void pb_pipe_close_writer(struct pb_pipe_writer *writer)
{
    if (writer == NULL)
        return;
    pb_attachment_close(&writer->attachment);
    free(writer);
}

int pb_pipe_set_link_type(struct pb_pipe_writer *writer, uint32_t link_type)
{
    if (link_type > UINT16_MAX || writer->head > 0)
        return -EINVAL;
    atomic_store(&writer->attachment.producer->link_type, link_type);
    return 0;
}

/* ----------------------------------------------------------------- writing */

static void look_at_tail(struct pb_pipe_writer *writer)
{
    uint64_t tail = atomic_load(&writer->attachment.reader->tail);
    if (tail - writer->tail <= writer->position - writer->tail)
        writer->tail = tail;
}

static bool engine_is_gone(const struct pb_pipe_writer *writer)
{
    return writer->attachment.hung_up || atomic_load(&writer->attachment.reader->ended) != 0;
}

static void stop_requesting(struct pb_pipe_writer *writer)
{
    if (writer->requesting)
        atomic_store_explicit(&writer->attachment.producer->producer_waiting, 0, memory_order_relaxed);
    writer->requesting = false;
}

static void publish(struct pb_pipe_writer *writer, uint64_t position, uint32_t records)
{
    const struct pb_attachment *attachment = &writer->attachment;
    writer->position = position;
    writer->head += records;
    atomic_store_explicit(&attachment->producer->position, position, memory_order_relaxed);
    if (pb_ring_publish(attachment->producer, attachment->reader, writer->head))
        pb_attachment_wake(attachment);
}

/* Is it a packet that a pipe can carry? 0, or -errno. */
static int check_record(const struct pb_pipe_writer *writer, const struct pb_pipe_record *record)
{
    if (record->captured_len > PB_FRAME_BYTES_MAX || pb_record_bytes(record->captured_len) > writer->attachment.ring_bytes)
        return -EMSGSIZE;
    return record->wire_len < record->captured_len || record->mark > PB_MARK_MAX ? -EINVAL : 0;
}

/* Room for a packet at `position`? If not, remembers for how much. */
static bool has_room(struct pb_pipe_writer *writer, uint64_t position, uint64_t bytes)
{
    uint64_t ring_bytes = writer->attachment.ring_bytes;
    if (position + bytes <= writer->tail + ring_bytes)
        return true;
    look_at_tail(writer);
    if (position + bytes <= writer->tail + ring_bytes)
        return true;
    writer->refused_bytes = bytes;
    return false;
}

int pb_pipe_write(struct pb_pipe_writer *writer, const struct pb_pipe_record *records, uint32_t count)
{
    struct pb_attachment *attachment = &writer->attachment;
    uint64_t position = writer->position, mask = attachment->ring_bytes - 1, now = 0;
    uint64_t records_mask = pb_ring_records(attachment->ring_bytes) - 1;
    uint32_t limit = count < INT_MAX ? count : INT_MAX, i;
    int code = 0;
    if (!pb_attachment_has_started(attachment))
        pb_attachment_listen(attachment);
    if (engine_is_gone(writer))
        return -EPIPE;
    writer->refused_bytes = 0;
    if (!attachment->started) {
        writer->refused_bytes = PB_RING_UNIT;
        return 0;
    }
    stop_requesting(writer);
    if (pb_ring_reached(position, writer->window.end)) {
        look_at_tail(writer);
        pb_ring_restart(&writer->window, attachment->producer, position, writer->head, writer->tail, attachment->ring_bytes);
    }
    uint64_t next = writer->head + writer->window.records_base;
    for (i = 0; i < limit; i++) {
        uint64_t bytes = pb_record_bytes(records[i].captured_len);
        if ((code = check_record(writer, &records[i])) < 0 || !has_room(writer, position, bytes))
            break;
        if (records[i].timestamp_ns == 0 && now == 0)
            now = pb_clock_wall_ns();
        struct pb_record *record = &attachment->records[(next + i) & records_mask];
        record->length_mark = records[i].captured_len | records[i].mark << PB_RECORD_LENGTH_BITS;
        record->wire_len = records[i].wire_len;
        record->timestamp_ns = records[i].timestamp_ns != 0 ? records[i].timestamp_ns : now;
        pb_copy_packet(attachment->ring + ((position + writer->window.base) & mask), records[i].data, records[i].captured_len);
        position += bytes;
    }
    if (i > 0)
        publish(writer, position, i);
    else if (code == 0 && limit > 0)
        pb_attachment_listen(attachment); /* full: or is nobody there any more? */
    return i > 0 || code == 0 ? (int)i : code;
}

void pb_pipe_decline(struct pb_pipe_writer *writer, uint64_t packets)
{
    writer->declined += packets;
    atomic_store_explicit(&writer->attachment.producer->dropped, writer->declined, memory_order_relaxed);
}

uint64_t pb_pipe_writer_backlog(const struct pb_pipe_writer *writer)
{
    if (!writer->attachment.started)
        return 0;
    return writer->position - atomic_load(&writer->attachment.reader->tail);
}

/* ---------------------------------------------------------------- sleeping */

int pb_pipe_writer_fd(const struct pb_pipe_writer *writer)
{
    return writer->attachment.fd;
}

/* Is it worth writing again? As producer.c's may_offer(). */
static bool has_space(struct pb_pipe_writer *writer, uint64_t wake_tail)
{
    const struct pb_attachment *attachment = &writer->attachment;
    look_at_tail(writer);
    return pb_ring_reached(writer->tail, wake_tail) ||
           (writer->position - writer->tail + writer->refused_bytes <= attachment->ring_bytes &&
            atomic_load(&attachment->reader->reader_waiting) != 0);
}

int pb_pipe_writer_arm(struct pb_pipe_writer *writer)
{
    struct pb_attachment *attachment = &writer->attachment;
    bool started;
    do {
        started = pb_attachment_has_started(attachment);
        pb_attachment_listen(attachment);
    } while (!started && pb_attachment_has_started(attachment));
    if (engine_is_gone(writer))
        return -EPIPE;
    if (!started)
        return 0; /* adoption sends a wake-up */
    uint64_t wake_tail = pb_ring_wake_tail(writer->position, writer->refused_bytes, attachment->ring_bytes);
    if (writer->refused_bytes == 0 || has_space(writer, wake_tail))
        return 1;
    writer->requesting = true;
    pb_ring_producer_sleeps(attachment->producer, wake_tail, ++writer->requests);
    if (!has_space(writer, wake_tail))
        return engine_is_gone(writer) ? -EPIPE : 0;
    stop_requesting(writer);
    return 1;
}

static int arm(void *writer)
{
    return pb_pipe_writer_arm(writer);
}

int pb_pipe_writer_wait(struct pb_pipe_writer *writer, int timeout_ms)
{
    return pb_attachment_wait(writer->attachment.fd, arm, writer, timeout_ms);
}
