/*
 * input.c - see input.h.
 *
 * One buffer, refilled from the source. rx_batch() parses records in place and
 * lends them; it refills only before it has parsed any, when by contract nothing
 * is lent. So there is no copy and no allocation for each packet, and a batch
 * ends where the buffered bytes do. Where outputs borrow, the buffer is a block of
 * the port's region, and where it would be written over, the next block takes its
 * place.
 *
 * The state, its buffer and the open file belong to the port, from open() to
 * close(). The next file of a directory is opened on the engine thread.
 */
#include "input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../core/clock.h"
#include "../pcap.h"
#include "../region.h"
#include "files.h"
#include "format.h"
#include "source.h"

#define BUFFER_BYTES (1u << 20)
#define REGION_BUFFERS 8
/* With less room than this behind the unparsed bytes they move to the front:
 * small reads are not worth their system call. */
#define REFILL_BYTES_MIN 65536u
/* Refills and changes of file in one rx_batch(), so that neither a huge block to
 * skip nor a directory of other files keeps the engine from its other ports. */
#define ROUNDS_MAX 16
#define NO_LIMIT (-1)

enum stage {
    STAGE_BETWEEN, /* no file is open */
    STAGE_HEADER,  /* its header has not been read */
    STAGE_RECORDS
};

struct pcap_input {
    struct pcap_files files;
    uint32_t file_at; /* the next one to open */
    bool directory;
    enum stage stage;
    struct pcap_source source;
    struct pcap_format format;
    char fault[320];

    uint8_t *buffer;
    struct pb_region *region; /* where the buffer lies; NULL: in memory of its own */
    size_t capacity, head, tail; /* unparsed bytes: head to tail */
    bool at_front;               /* the buffer's start is the file's start */
    bool replay;                 /* the whole file is in the buffer */
    bool starved;                /* the source had nothing to read */

    int64_t passes_left; /* NO_LIMIT: for ever */
    bool first_pass;
    uint64_t pass_packets;
    uint64_t file_packets;

    double speed; /* 0: no pacing */
    bool paced;   /* the file's first packet has set the clock */
    uint64_t pace_timestamp_ns;
    int64_t pace_clock_ns;
    bool held; /* `held_packet` is parsed and not yet due */
    struct pb_packet held_packet;
    int64_t held_due_ns;
};

static const char *file_name(const struct pcap_input *input)
{
    const char *path = input->files.paths[input->file_at - 1];
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* Tell about a file, once and not again in every pass, and leave it. */
static void file_fault(struct pb_port *port, enum pcap_counter counter)
{
    struct pcap_input *input = port->state;
    if (input->first_pass) {
        if (input->directory)
            pb_port_report(port, "%s: %s", file_name(input), input->fault);
        else
            pb_port_report(port, "%s", input->fault);
        pb_port_count(port, counter, 1);
    }
    input->replay = false;
    pcap_source_close(&input->source);
    input->stage = STAGE_BETWEEN;
}

static void fault_at(struct pcap_input *input, uint64_t offset, const char *what)
{
    snprintf(input->fault, sizeof(input->fault), "corrupt at byte %llu: %s; the %llu packets before it were read",
             (unsigned long long)offset, what, (unsigned long long)input->file_packets);
}

/* Make room at the front of a buffer: of this one, or of the next, if this is lent. */
static void move_to_front(struct pcap_input *input)
{
    uint8_t *from = input->buffer + input->head;
    if (input->region != NULL)
        input->buffer = pb_region_next(input->region);
    memmove(input->buffer, from, input->tail - input->head);
    input->at_front = input->at_front && input->head == 0;
    input->tail -= input->head;
    input->head = 0;
}

/* Only for a pcapng block with very long options; packets always fit. Such a buffer is
 * not lent any more. False: no memory. */
static bool grow(struct pcap_input *input, size_t bytes)
{
    uint8_t *buffer = realloc(input->region == NULL ? input->buffer : NULL, bytes);
    if (buffer == NULL)
        return false;
    if (input->region != NULL)
        memcpy(buffer, input->buffer, input->tail);
    input->region = NULL;
    input->buffer = buffer;
    input->capacity = bytes;
    return true;
}

static void source_fault(struct pcap_input *input)
{
    snprintf(input->fault, sizeof(input->fault), "%s; %s", input->source.error, input->source.remedy);
}

/* Get more bytes: > 0; 0 at the end; -EAGAIN; -errno with input->fault. */
static ptrdiff_t refill(struct pcap_input *input, size_t need_bytes)
{
    if (need_bytes > input->capacity && !grow(input, need_bytes)) {
        fault_at(input, input->format.offset, "no memory for a block this large");
        return -ENOMEM;
    }
    if (input->capacity - input->tail < REFILL_BYTES_MIN || input->capacity - input->head < need_bytes)
        move_to_front(input);
    ptrdiff_t got = pcap_source_read(&input->source, input->buffer + input->tail, input->capacity - input->tail);
    if (got > 0)
        input->tail += (size_t)got;
    else if (got < 0 && got != -EAGAIN && input->stage == STAGE_RECORDS)
        fault_at(input, input->format.offset, input->source.error);
    else if (got < 0 && got != -EAGAIN)
        source_fault(input);
    return got;
}

/* Read the file's header: 0, -EAGAIN, or -errno with input->fault. */
static int header_read(struct pcap_input *input)
{
    for (;;) {
        size_t used;
        const char *fault = NULL;
        switch (pcap_format_header(&input->format, input->buffer + input->head, input->tail - input->head, &used)) {
        case PCAP_OK:
            input->head += used;
            input->stage = STAGE_RECORDS;
            return 0;
        case PCAP_MORE: {
            ptrdiff_t got = refill(input, input->format.need_bytes);
            if (got > 0)
                continue;
            if (got < 0)
                return (int)got;
            fault = input->tail == input->head ? "the file is empty; give a pcap or pcapng capture"
                    : input->tail < 4          ? "not a capture; give a pcap or pcapng file"
                                               : "a capture cut off within its header; give a whole one";
            break;
        }
        case PCAP_CORRUPT:
            snprintf(input->fault, sizeof(input->fault), "%s; give another file", input->format.error);
            return -EINVAL;
        default:
            fault = "not a capture; give a pcap or pcapng file";
        }
        snprintf(input->fault, sizeof(input->fault), "%s", fault);
        return -EINVAL;
    }
}

/* Start the next file. 0, or -errno with input->fault. */
static int file_open(struct pcap_input *input)
{
    const char *path = input->files.paths[input->file_at++];
    input->head = 0;
    input->file_packets = 0;
    input->paced = false;
    pcap_format_reset(&input->format);
    input->stage = STAGE_HEADER;
    if (input->replay)
        return 0; /* tail stays: all of it is still here */
    input->tail = 0;
    move_to_front(input);
    input->at_front = true;
    int result = pcap_source_open(&input->source, path);
    if (result < 0)
        source_fault(input);
    return result;
}

/* All files are read. Starts the next pass, or ends the port. */
static void pass_end(struct pb_port *port)
{
    struct pcap_input *input = port->state;
    if (input->passes_left != NO_LIMIT)
        input->passes_left--;
    /* For ever over nothing would spin. */
    if (input->passes_left == 0 || input->pass_packets == 0) {
        /* It gave packets before: the file is gone or has changed. */
        if (input->pass_packets == 0 && !input->first_pass)
            pb_port_report(port, "cannot be read again: %s", input->fault);
        port->exhausted = true;
        return;
    }
    input->first_pass = false;
    input->pass_packets = 0;
    input->file_at = 0;
}

/* The file's bytes have come to an end. */
static void file_end(struct pb_port *port)
{
    struct pcap_input *input = port->state;
    if (input->head < input->tail || !pcap_format_may_end(&input->format)) {
        fault_at(input, input->format.offset, "the file ends within a packet or block");
        file_fault(port, PCAP_CORRUPT_FILES);
        return;
    }
    input->replay = input->at_front && !input->directory;
    pcap_source_close(&input->source);
    input->stage = STAGE_BETWEEN;
}

/* Nothing can be parsed now: take one step towards more. False: wait or end. */
static bool advance(struct pb_port *port)
{
    struct pcap_input *input = port->state;
    int result;
    switch (input->stage) {
    case STAGE_BETWEEN:
        if (input->file_at == input->files.count)
            pass_end(port);
        else if (file_open(input) < 0)
            file_fault(port, PCAP_SKIPPED_FILES);
        break;
    case STAGE_HEADER:
        result = header_read(input);
        input->starved = result == -EAGAIN;
        if (result < 0 && !input->starved)
            file_fault(port, input->directory ? PCAP_SKIPPED_FILES : PCAP_CORRUPT_FILES);
        break;
    case STAGE_RECORDS:
        if (input->replay) {
            input->stage = STAGE_BETWEEN;
            break;
        }
        result = (int)refill(input, input->format.need_bytes);
        input->starved = result == -EAGAIN;
        if (result == 0)
            file_end(port);
        else if (result < 0 && !input->starved)
            file_fault(port, PCAP_CORRUPT_FILES);
        break;
    }
    return !input->starved && !port->exhausted;
}

/* When is this packet due? In its past: at once. */
static int64_t due_ns(struct pcap_input *input, const struct pb_packet *packet, int64_t now_ns)
{
    if (!input->paced) {
        input->paced = true;
        input->pace_timestamp_ns = packet->timestamp_ns;
        input->pace_clock_ns = now_ns;
    }
    if (packet->timestamp_ns <= input->pace_timestamp_ns)
        return now_ns;
    double wait_ns = (double)(packet->timestamp_ns - input->pace_timestamp_ns) / input->speed;
    return wait_ns < 4e18 ? input->pace_clock_ns + (int64_t)wait_ns : INT64_MAX;
}

/* Parse buffered records, up to packets_max or the first that is not due. */
static uint32_t parse(struct pb_port *port, struct pb_packet *packets, uint32_t packets_max)
{
    struct pcap_input *input = port->state;
    int64_t now_ns = input->speed > 0 ? pb_clock_steady_ns() : 0;
    uint32_t count = 0;
    if (input->held && input->held_due_ns <= now_ns && packets_max > 0) {
        packets[count++] = input->held_packet;
        input->held = false;
    }
    while (count < packets_max && !input->held && input->stage == STAGE_RECORDS) {
        struct pb_packet *packet = &packets[count];
        size_t used;
        enum pcap_result result = pcap_format_next(&input->format, input->buffer + input->head,
                                                   input->tail - input->head, &used, packet);
        input->head += used;
        if (result == PCAP_CORRUPT) {
            fault_at(input, input->format.error_offset, input->format.error);
            file_fault(port, PCAP_CORRUPT_FILES);
        }
        if (result != PCAP_PACKET)
            break;
        input->file_packets++;
        count++;
        if (input->speed > 0 && (input->held_due_ns = due_ns(input, packet, now_ns)) > now_ns) {
            input->held_packet = *packet;
            input->held = true;
            count--;
        }
    }
    return count;
}

uint32_t pcap_input_rx_batch(struct pb_port *port, struct pb_packet *packets, uint32_t packets_max)
{
    struct pcap_input *input = port->state;
    uint32_t count = 0;
    input->starved = false;
    for (int round = 0; round < ROUNDS_MAX && !port->exhausted; round++) {
        count = parse(port, packets, packets_max);
        if (count > 0 || input->held || !advance(port))
            break;
    }
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += packets[i].wire_len;
    input->pass_packets += count;
    if (count > 0)
        pb_port_received(port, count, bytes);
    return count;
}

bool pcap_input_wait(struct pb_port *port, struct pb_wait *wait)
{
    const struct pcap_input *input = port->state;
    *wait = (struct pb_wait){.fd = -1, .timeout_ns = -1};
    if (port->exhausted)
        return true;
    if (input->held) {
        int64_t now_ns = pb_clock_steady_ns();
        wait->timeout_ns = input->held_due_ns - now_ns;
        return wait->timeout_ns > 0;
    }
    if (!input->starved)
        return false;
    wait->fd = input->source.fd;
    wait->events = POLLIN;
    return true;
}

/* Find the files and, where that cannot block, read the first header: a wrong
 * name is to be seen by whoever starts the engine. */
static int input_begin(struct pb_port *port, struct pb_error *error)
{
    struct pcap_input *input = port->state;
    if (port->borrowed) {
        int made = pb_region_open(&port->region, port, REGION_BUFFERS, BUFFER_BYTES, error);
        if (made < 0)
            return made;
        input->region = port->region;
        input->buffer = port->region->memory;
    } else {
        input->buffer = malloc(BUFFER_BYTES);
    }
    if (input->buffer == NULL || pcap_files_one(&input->files, port->name) < 0)
        return pb_port_no_memory(port, error);
    input->capacity = BUFFER_BYTES;
    int result = file_open(input);
    if (result == -EISDIR) {
        pcap_files_free(&input->files);
        result = pcap_files_scan(&input->files, port->name);
        if (result < 0)
            return pb_port_fail_errno(port, error, -result, "make it readable for this user", "the directory cannot be read");
        if (input->files.count == 0)
            return pb_port_fail(port, error, ENOENT, "no file in this directory; put captures there or give another");
        input->directory = true;
        input->file_at = 0;
        input->stage = STAGE_BETWEEN;
        return 0;
    }
    if (result < 0)
        return pb_port_fail(port, error, -result, "%s", input->fault);
    bool once = input->source.stream || strcmp(port->name, "-") == 0;
    if (once && input->passes_left != 1)
        return pb_port_fail(port, error, EINVAL, "a pipe or standard input can be read only once; leave out \"loop\"");
    if (input->source.stream)
        return 0;
    result = header_read(input);
    return result < 0 ? pb_port_fail(port, error, -result, "%s", input->fault) : 0;
}

int pcap_input_open(struct pb_port *port, struct pb_error *error)
{
    struct pcap_input *input = calloc(1, sizeof(*input));
    if (input == NULL)
        return pb_port_no_memory(port, error);
    int64_t loop = pb_port_option_integer(port, "loop");
    input->passes_left = loop == 0 ? NO_LIMIT : loop;
    input->speed = pb_port_option_number(port, "speed");
    input->first_pass = true;
    input->source.fd = -1;
    port->state = input;
    port->pausable = true;
    port->writable = input->passes_left == 1; /* a later pass may read the same bytes */
    int result = input_begin(port, error);
    if (result < 0)
        pcap_input_close(port);
    return result;
}

void pcap_input_close(struct pb_port *port)
{
    struct pcap_input *input = port->state;
    if (input == NULL)
        return;
    pcap_source_close(&input->source);
    pcap_format_free(&input->format);
    pcap_files_free(&input->files);
    if (input->region == NULL)
        free(input->buffer);
    free(input);
    pb_region_close(port->region);
    port->region = NULL;
    port->state = NULL;
}
