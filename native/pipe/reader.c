/*
 * reader.c - the reader library: what an application uses to read a pipe. Its
 * functions are documented in packet_bricks.h.
 *
 * Runs in the application, on whichever one thread uses the reader; the reader
 * owns its mappings and its socket (attachment.c). Also linked into
 * libbricks-pipe.so, which depends on nothing else of the engine.
 *
 * The engine is trusted, but its lengths and positions are checked all the same:
 * an application ends with an error, not with a crash, where the two disagree.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "../core/error.h"
#include "attachment.h"
#include "reader.h"

#define IDLE_READS_PER_LOOK 1024 /* a reader that never sleeps looks at its socket this often */

struct pb_pipe_reader {
    struct pb_attachment attachment;
    uint64_t mask;
    uint64_t records_mask;
    uint64_t base, records_base; /* see ring.h */
    uint64_t position; /* in the ring, of the first packet not handed out */
    uint64_t next;     /* its record */
    uint64_t head;     /* published records, when last looked */
    uint64_t released; /* records given back */
    uint64_t answered; /* number of the engine's last request for space answered */
    uint32_t idle_reads;
    bool broken; /* the ring holds nonsense */
};

int pb_pipe_open(const char *name, struct pb_pipe_reader **reader, struct pb_error *error)
{
    return pb_reader_open(name, true, reader, error);
}

int pb_reader_open(const char *name, bool borrows, struct pb_pipe_reader **result, struct pb_error *error)
{
    *result = NULL;
    struct pb_pipe_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL)
        return pb_fail(error, ENOMEM, "pipe \"%s\": out of memory", name);
    int code = pb_attachment_open(&reader->attachment, name, PB_ATTACH_READ, borrows, error);
    if (code < 0) {
        free(reader);
        return code;
    }
    reader->mask = reader->attachment.ring_bytes - 1;
    reader->records_mask = pb_ring_records(reader->attachment.ring_bytes) - 1;
    *result = reader;
    return 0;
}

void pb_pipe_close(struct pb_pipe_reader *reader)
{
    if (reader == NULL)
        return;
    pb_attachment_close(&reader->attachment);
    free(reader);
}

const uint8_t *pb_reader_ring(const struct pb_pipe_reader *reader, uint64_t *ring_bytes)
{
    *ring_bytes = reader->attachment.ring_bytes;
    return reader->attachment.ring;
}

void pb_reader_set_ring(struct pb_pipe_reader *reader, const uint8_t *ring)
{
    reader->attachment.ring = (uint8_t *)(uintptr_t)ring;
}

/* ----------------------------------------------------------------- reading */

/* The engine waits for space and shall look now: once for each request. */
static void wake_engine(struct pb_pipe_reader *reader, uint64_t number)
{
    if (number == reader->answered)
        return;
    reader->answered = number;
    pb_attachment_wake(&reader->attachment);
}

/* Has the engine adopted us? Then it says where we start. */
static bool has_started(struct pb_pipe_reader *reader)
{
    bool before = reader->attachment.started;
    if (pb_attachment_has_started(&reader->attachment) && !before) {
        reader->position = reader->attachment.start;
        reader->next = reader->head = reader->released = reader->attachment.start_record;
    }
    return reader->attachment.started;
}

/* Everything known has been handed out: look for more. 1, 0: none, or -errno. */
static int look_at_head(struct pb_pipe_reader *reader)
{
    const struct pb_producer_page *producer = reader->attachment.producer;
    /* First whether it has ended, then where: not the other way round. */
    bool ended = atomic_load(&producer->ended) != 0 || reader->attachment.hung_up;
    if (has_started(reader)) {
        uint64_t head = atomic_load_explicit(&producer->head, memory_order_acquire);
        if (head - reader->released > reader->records_mask + 1)
            reader->broken = true;
        if (reader->broken)
            return -EBADMSG;
        reader->head = head;
        if (head != reader->next) {
            reader->base = atomic_load_explicit(&producer->base, memory_order_relaxed);
            reader->records_base = atomic_load_explicit(&producer->records_base, memory_order_relaxed);
            return 1;
        }
    }
    if (ended)
        return -EPIPE;
    if (++reader->idle_reads % IDLE_READS_PER_LOOK == 0)
        pb_attachment_listen(&reader->attachment); /* or one that spins would never learn that the engine was killed */
    return 0;
}

/* Where a lent packet lies; NULL: nowhere that we have. */
static const uint8_t *find_lent(const struct pb_attachment *attachment, uint64_t place, uint32_t length)
{
    uint64_t reference = attachment->references != NULL ? attachment->references[place] : UINT64_MAX;
    uint32_t number = pb_reference_region(reference);
    uint64_t offset = pb_reference_offset(reference);
    if (number >= attachment->regions_count)
        return NULL;
    const struct pb_attachment_region *region = &attachment->regions[number];
    return offset <= region->bytes && length <= region->bytes - offset ? region->memory + offset : NULL;
}

/* Measured (Zen 4, 64 to 1500 bytes, near and far cores): prefetching the data here
 * gains nothing, and costs up to a tenth. */
int pb_pipe_read(struct pb_pipe_reader *reader, struct pb_pipe_record *records, uint32_t records_max)
{
    uint32_t count = 0, limit = records_max < INT_MAX ? records_max : INT_MAX;
    const uint8_t *ring = reader->attachment.ring;
    while (count < limit) {
        if (reader->next == reader->head) {
            int more = look_at_head(reader);
            if (more <= 0 && count == 0)
                return more;
            if (more <= 0)
                break;
        }
        uint64_t place = (reader->next + reader->records_base) & reader->records_mask;
        const struct pb_record *record = &reader->attachment.records[place];
        uint32_t length_mark = record->length_mark, length = pb_record_length(length_mark);
        uint64_t bytes = pb_record_bytes(length);
        const uint8_t *data = ring + ((reader->position + reader->base) & reader->mask);
        if (__builtin_expect((length_mark & PB_RECORD_LENT) != 0, 0)) {
            data = find_lent(&reader->attachment, place, length);
            bytes = data != NULL ? PB_RING_UNIT : UINT64_MAX;
        }
        if (__builtin_expect(bytes > reader->attachment.ring_bytes, 0)) {
            reader->broken = true;
            reader->head = reader->next; /* found again by look_at_head() */
            break;
        }
        records[count++] = (struct pb_pipe_record){
            .data = data,
            .timestamp_ns = record->timestamp_ns,
            .captured_len = length,
            .wire_len = record->wire_len,
        };
        reader->position += bytes;
        reader->next++;
    }
    return count > 0 || !reader->broken ? (int)count : -EBADMSG;
}

void pb_pipe_release(struct pb_pipe_reader *reader)
{
    if (reader->next == reader->released)
        return;
    reader->released = reader->next;
    uint64_t number = pb_ring_release(reader->attachment.producer, reader->attachment.reader, reader->position,
                                      reader->next - reader->attachment.start_record);
    if (number != 0)
        wake_engine(reader, number);
}

int pb_pipe_link_type(const struct pb_pipe_reader *reader)
{
    uint32_t link_type = atomic_load(&reader->attachment.producer->link_type);
    return link_type == PB_RING_LINK_UNSET ? -EAGAIN : (int)link_type;
}

void pb_pipe_counts(const struct pb_pipe_reader *reader, struct pb_pipe_counts *counts)
{
    const struct pb_producer_page *producer = reader->attachment.producer;
    *counts = (struct pb_pipe_counts){0};
    if (atomic_load(&reader->attachment.reader->start) == PB_RING_UNSET)
        return; /* they are the one before's still */
    counts->received = atomic_load_explicit(&producer->head, memory_order_relaxed) -
                       atomic_load_explicit(&reader->attachment.reader->start_record, memory_order_relaxed);
    counts->dropped = atomic_load_explicit(&producer->dropped, memory_order_relaxed);
}

/* ---------------------------------------------------------------- sleeping */

int pb_pipe_fd(const struct pb_pipe_reader *reader)
{
    return reader->attachment.fd;
}

int pb_pipe_arm(struct pb_pipe_reader *reader)
{
    struct pb_attachment *attachment = &reader->attachment;
    uint64_t number;
    bool started, still;
    if (reader->next != reader->head || reader->broken)
        return 1;
    do {
        started = has_started(reader);
        pb_attachment_listen(attachment);
        still = pb_ring_reader_sleeps(attachment->producer, attachment->reader, reader->head, &number);
    } while (!started && has_started(reader));
    /* Not adopted yet: neither its head nor its requests are for us; adoption sends
     * a wake-up. */
    if (!started)
        still = true;
    else if (still && number != 0)
        wake_engine(reader, number);
    return !still || attachment->hung_up || atomic_load(&attachment->producer->ended) != 0;
}

static int arm(void *reader)
{
    return pb_pipe_arm(reader);
}

int pb_pipe_wait(struct pb_pipe_reader *reader, int timeout_ms)
{
    int result = pb_attachment_wait(reader->attachment.fd, arm, reader, timeout_ms);
    /* Awake: the engine need not send. */
    atomic_store_explicit(&reader->attachment.reader->reader_waiting, 0, memory_order_relaxed);
    return result;
}
