/*
 * output.c - see output.h.
 *
 * Packets are appended to one buffer, which is written when full and in flush().
 * A buffered packet is in flight; it is sent when its last byte is written, or
 * dropped as write_error when that fails. A file ends with a whole record after
 * every fault, so it stays a valid capture; on a pipe what was written cannot be
 * taken back, so there a record once begun is either finished or the last.
 *
 * Everything runs on the engine thread but open() and close(). The buffer and the
 * descriptor belong to the port; packets are copied, nothing of theirs is kept.
 */
#include "output.h"

#include <errno.h>
#include <stdlib.h>

#include "../pcap.h"
#include "format.h"
#include "sink.h"

/* 256 KiB and room for headers: the largest packet fits an empty buffer. */
#define BUFFER_BYTES (PB_FRAME_BYTES_MAX + 4096u)

struct pcap_output {
    struct pcap_sink sink;
    uint8_t *buffer;
    size_t used;      /* bytes in the buffer */
    size_t written;   /* of them written: more than 0 only on a pipe */
    size_t record_at; /* first record that is not wholly written */
    uint64_t held_packets, held_bytes; /* in the buffer; wire lengths */

    bool begun;       /* the engine runs: what the file held before may go */
    bool header_done; /* the file's header is in the buffer or written */
    bool link_known;
    uint16_t link_type;

    bool broken;  /* nothing can be written any more */
    bool refused; /* the last tx_batch() was */
    bool faulty;  /* the last write failed: the fault is reported */
    bool link_reported;
    uint64_t lost_packets; /* in this fault */
};

static void put32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, sizeof(value));
}

static uint32_t get32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static void show_in_flight(struct pb_port *port)
{
    const struct pcap_output *output = port->state;
    pb_counter_set(&port->counters[PB_PORT_IN_FLIGHT], output->held_packets);
}

/* The header of a file of `link_type`; the buffer is empty. */
static void put_header(struct pcap_output *output)
{
    uint8_t *header = output->buffer;
    uint16_t version[2] = {2, 4};
    put32(header, PCAP_MAGIC_NS);
    memcpy(header + 4, version, sizeof(version));
    put32(header + 8, 0);  /* thiszone: always UTC */
    put32(header + 12, 0); /* sigfigs: always 0 */
    put32(header + 16, PB_FRAME_BYTES_MAX);
    put32(header + 20, output->link_type);
    output->used = output->record_at = PCAP_HEADER_BYTES;
    output->header_done = true;
}

static void put_record(struct pcap_output *output, const struct pb_packet *packet, uint32_t captured_len)
{
    uint8_t *record = output->buffer + output->used;
    put32(record, (uint32_t)(packet->timestamp_ns / 1000000000));
    put32(record + 4, (uint32_t)(packet->timestamp_ns % 1000000000));
    put32(record + 8, captured_len);
    put32(record + 12, packet->wire_len);
    memcpy(record + PCAP_RECORD_BYTES, packet->data, captured_len);
    output->used += PCAP_RECORD_BYTES + captured_len;
    output->held_packets++;
    output->held_bytes += packet->wire_len;
}

static void buffer_empty(struct pcap_output *output)
{
    output->used = output->written = output->record_at = 0;
    output->held_packets = output->held_bytes = 0;
}

/* Count as sent what is wholly written, and drop it from the buffer. */
static void settle(struct pb_port *port)
{
    struct pcap_output *output = port->state;
    uint64_t packets = 0, bytes = 0;
    while (output->record_at < output->written) {
        const uint8_t *record = output->buffer + output->record_at;
        size_t next = output->record_at + PCAP_RECORD_BYTES + get32(record + 8);
        if (next > output->written)
            break;
        packets++;
        bytes += get32(record + 12);
        output->record_at = next;
    }
    output->held_packets -= packets;
    output->held_bytes -= bytes;
    pb_port_sent(port, packets, bytes);
}

static void drop_held(struct pb_port *port, enum pcap_counter reason)
{
    struct pcap_output *output = port->state;
    pb_port_count(port, reason, output->held_packets);
    output->lost_packets += output->held_packets;
    buffer_empty(output);
}

static const char *fault_text(int code)
{
    switch (code) {
    case ENOSPC:
        return "no space left on device";
    case EDQUOT:
        return "disk quota exceeded";
    case EFBIG:
        return "the file has reached its largest size";
    case EIO:
        return "input/output error";
    default:
        return strerror(code);
    }
}

/* Writing failed at output->written: leave whole records behind, and go on. */
static void write_failed(struct pb_port *port, int code)
{
    struct pcap_output *output = port->state;
    settle(port);
    /* record_at is behind the file's header also when not even that was written. */
    bool no_header = output->written < output->record_at;
    size_t partial = no_header ? output->written : output->written - output->record_at;
    if (no_header)
        output->header_done = false;
    bool whole = partial == 0 || pcap_sink_take_back(&output->sink, partial) == 0;
    output->broken = code == EPIPE || !whole;
    drop_held(port, PCAP_WRITE_ERROR);
    if (output->faulty && !output->broken)
        return;
    output->faulty = true;
    if (code == EPIPE)
        pb_port_report(port, "its reader is gone; %llu packets lost so far and all that follow; start both again",
                       (unsigned long long)output->lost_packets);
    else if (output->broken)
        pb_port_report(port, "%s within a packet; %llu packets lost so far and all that follow; start it again",
                       fault_text(code), (unsigned long long)output->lost_packets);
    else
        pb_port_report(port, "%s; %llu packets lost so far; %s and it goes on", fault_text(code),
                       (unsigned long long)output->lost_packets,
                       code == ENOSPC || code == EDQUOT ? "free space" : "repair it");
}

static void write_recovered(struct pb_port *port)
{
    struct pcap_output *output = port->state;
    if (output->faulty)
        pb_port_report(port, "writing works again; %llu packets were lost", (unsigned long long)output->lost_packets);
    output->faulty = false;
    output->lost_packets = 0;
}

/* The engine thread has come here: it runs, and its output replaces the file. A
 * start that failed leaves the file as it was. */
static void begin(struct pcap_output *output)
{
    if (output->begun)
        return;
    output->begun = true;
    (void)pcap_sink_begin(&output->sink); /* where that fails, writing does, too, and says why */
}

/* Write what is buffered, as far as it goes without blocking. */
static void drain(struct pb_port *port)
{
    struct pcap_output *output = port->state;
    if (output->used == output->written)
        return;
    size_t done;
    int result = pcap_sink_write(&output->sink, output->buffer + output->written, output->used - output->written,
                                 &done);
    output->written += done;
    if (result == 0) {
        pb_port_sent(port, output->held_packets, output->held_bytes);
        buffer_empty(output);
        write_recovered(port);
    } else if (result == -EAGAIN) {
        settle(port);
    } else {
        write_failed(port, -result);
    }
    show_in_flight(port);
}

/* Make room for a record. False: the pipe takes no more now. */
static bool room_for(struct pb_port *port, size_t bytes)
{
    struct pcap_output *output = port->state;
    if (BUFFER_BYTES - output->used >= bytes)
        return true;
    drain(port);
    /* On a pipe: the record half written and what follows go to the front. */
    size_t gone = output->record_at < output->written ? output->record_at : output->written;
    memmove(output->buffer, output->buffer + gone, output->used - gone);
    output->used -= gone;
    output->written -= gone;
    output->record_at -= gone;
    return BUFFER_BYTES - output->used >= bytes;
}

enum verdict { ACCEPTED, DROPPED, BUSY };

static enum verdict accept_packet(struct pb_port *port, const struct pb_packet *packet)
{
    struct pcap_output *output = port->state;
    if (output->broken) {
        pb_port_count(port, PCAP_WRITE_ERROR, 1);
        return DROPPED;
    }
    if (!output->link_known) {
        output->link_known = true;
        output->link_type = packet->link_type;
    }
    if (packet->link_type != output->link_type) {
        if (!output->link_reported)
            pb_port_report(port, "packets of link type %u are dropped: the file holds %u; use one output for each",
                           packet->link_type, output->link_type);
        output->link_reported = true;
        pb_port_count(port, PCAP_LINK_TYPE, 1);
        return DROPPED;
    }
    /* No driver makes longer ones; the buffer's size relies on it. */
    uint32_t captured_len = packet->captured_len < PB_FRAME_BYTES_MAX ? packet->captured_len : PB_FRAME_BYTES_MAX;
    if (!room_for(port, PCAP_RECORD_BYTES + captured_len))
        return BUSY;
    if (output->broken) { /* making room found out */
        pb_port_count(port, PCAP_WRITE_ERROR, 1);
        return DROPPED;
    }
    if (!output->header_done)
        put_header(output);
    put_record(output, packet, captured_len);
    return ACCEPTED;
}

uint32_t pcap_output_tx_batch(struct pb_port *port, const struct pb_tx *tx)
{
    struct pcap_output *output = port->state;
    uint32_t i = 0;
    begin(output);
    output->refused = false;
    for (; i < tx->count; i++) {
        if (accept_packet(port, &tx->packets[tx->index[i]]) != BUSY)
            continue;
        if (tx->may_wait) {
            output->refused = true;
            break;
        }
        pb_port_count(port, PCAP_OUTPUT_BUSY, 1);
    }
    show_in_flight(port);
    return i;
}

bool pcap_output_wait(struct pb_port *port, struct pb_wait *wait)
{
    struct pcap_output *output = port->state;
    *wait = (struct pb_wait){.fd = -1, .timeout_ns = -1};
    if (!output->sink.pollable)
        return !output->refused; /* a file never refuses */
    size_t before = output->used - output->written;
    drain(port);
    size_t left = output->used - output->written;
    if (output->refused && left < before)
        return false;
    if (left > 0) {
        /* Also without a refusal, so that the buffered rest gets written. */
        wait->fd = output->sink.fd;
        wait->events = POLLOUT;
    }
    return true;
}

void pcap_output_flush(struct pb_port *port)
{
    begin(port->state);
    drain(port);
}

bool pcap_output_undelivered(struct pb_port *port)
{
    const struct pcap_output *output = port->state;
    drain(port);
    return output->used > output->written;
}

int pcap_output_open(struct pb_port *port, struct pb_error *error)
{
    struct pcap_output *output = calloc(1, sizeof(*output));
    uint8_t *buffer = malloc(BUFFER_BYTES);
    struct pcap_sink sink = {.fd = -1};
    int result = 0;
    if (output == NULL || buffer == NULL)
        result = pb_port_no_memory(port, error);
    if (result == 0)
        result = pcap_sink_open(&sink, port, error);
    if (result < 0) {
        free(buffer);
        free(output);
        return result;
    }
    output->sink = sink;
    output->buffer = buffer;
    output->link_type = PB_LINK_ETHERNET; /* of a file that never gets a packet */
    port->state = output;
    return 0;
}

void pcap_output_close(struct pb_port *port)
{
    struct pcap_output *output = port->state;
    if (output == NULL)
        return;
    /* Not earlier: the first packet, which says the link type, could still come. */
    if (output->begun && !output->header_done && !output->broken)
        put_header(output);
    drain(port);
    if (output->held_packets > 0) {
        pb_port_report(port, "its reader was too slow; the last %llu packets are lost; let it read to the end",
                       (unsigned long long)output->held_packets);
        drop_held(port, PCAP_OUTPUT_BUSY);
        show_in_flight(port);
    }
    int result = pcap_sink_close(&output->sink);
    if (result < 0)
        pb_port_report(port, "%s while closing; the file may lack packets; check it", fault_text(-result));
    free(output->buffer);
    free(output);
    port->state = NULL;
}
