/*
 * libpcap_bed.h - what tests of the interposed libpcap stand on: an engine that
 * relays what is written into pipe in}0 to pipe out}0, so that a test says which
 * packets come and when; frames whose number can be told.
 *
 * Everything is on the test's thread; the engine has its own.
 */
#ifndef PB_LIBPCAP_BED_H
#define PB_LIBPCAP_BED_H

#include <errno.h>
#include <pcap/pcap.h>
#include <string.h>

#include "accounts.h"
#include "check.h"

#define FRAME_BYTES 60
#define PORT_FIRST 1000 /* frame n goes to port PORT_FIRST + n % PORTS */
#define PORTS 4
#define TIME_NS 1700000000123456789u
#define LINKTYPE_ETHERNET 1
#define LINKTYPE_RAW 101

struct bed {
    int engine;
    struct pb_pipe_writer *writer;
    uint64_t sent;
};

static inline int start_relay(const char *input, const char *output)
{
    struct pb_error error;
    int engine = pb_engine_create("relay", PB_BUFFER_SLOTS_MIN, -1, 64, &error);
    CHECK(engine > 0);
    CHECK(pb_engine_add_brick(engine, "Dummy", (const uint8_t *)"", 0, 0, 1, 0, &error) == 0);
    CHECK(pb_engine_add_input(engine, "inject", input, "", -1, &error) == 0);
    CHECK(pb_engine_connect_input(engine, 0, 0, &error) == 0);
    CHECK(pb_engine_add_output(engine, "pipe", output, "wait=1", &error) == 0);
    CHECK(pb_engine_connect_output(engine, 0, 0, 0, &error) == 0);
    if (pb_engine_start(engine, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    return engine;
}

static inline void stop_relay(int engine)
{
    struct pb_error error;
    CHECK(pb_engine_stop(engine, &error) == 0);
    CHECK(pb_engine_delete(engine, &error) == 0);
}

static inline void open_bed(struct bed *bed)
{
    struct pb_error error;
    *bed = (struct bed){.engine = start_relay("in}0", "out}0")};
    CHECK(pb_pipe_open_writer("in}0", &bed->writer, &error) == 0);
}

static inline void close_bed(struct bed *bed)
{
    if (bed->writer != NULL)
        pb_pipe_close_writer(bed->writer);
    if (bed->engine > 0)
        stop_relay(bed->engine);
}

/* UDP over IPv4 over Ethernet; the number is in the payload. */
static inline void make_frame(uint8_t frame[FRAME_BYTES], uint64_t number)
{
    static const uint8_t headers[42] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17,
                                        0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 4, 0, 0, 0, 0, 26};
    unsigned int port = PORT_FIRST + (unsigned int)(number % PORTS);
    memset(frame, 0, FRAME_BYTES);
    memcpy(frame, headers, sizeof(headers));
    frame[36] = (uint8_t)(port >> 8);
    frame[37] = (uint8_t)port;
    memcpy(frame + 42, &number, sizeof(number));
}

static inline uint64_t frame_number(const uint8_t *frame)
{
    uint64_t number;
    memcpy(&number, frame + 42, sizeof(number));
    return number;
}

/* Frames number bed->sent and up, a nanosecond apart; one of them had 20 bytes more on the wire. */
static inline void send_frames(struct bed *bed, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint8_t frame[FRAME_BYTES];
        make_frame(frame, bed->sent);
        struct pb_pipe_record record = {.data = frame,
                                        .captured_len = FRAME_BYTES,
                                        .wire_len = FRAME_BYTES + (bed->sent == 0 ? 20 : 0),
                                        .timestamp_ns = TIME_NS + bed->sent};
        int written;
        while ((written = pb_pipe_write(bed->writer, &record, 1)) == 0)
            pb_pipe_writer_wait(bed->writer, -1);
        CHECK_EQUAL(written, 1);
        bed->sent++;
    }
}

#endif
