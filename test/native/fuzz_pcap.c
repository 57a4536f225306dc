/*
 * fuzz_pcap.c - libFuzzer target: hostile captures.
 *
 * The first byte chooses how, the rest is the capture. Two runs over the same
 * bytes: the parser alone, on a heap block that ends where the bytes do and is
 * fed piece by piece, and the whole driver through a memfd. Both must end, must
 * agree on the packets, and every packet must lie within what was given.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/events.h"
#include "ports/pcap.h"
#include "ports/pcap/format.h"
#include "ports/port.h"

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            __builtin_trap();                                                                                          \
    } while (0)

struct outcome {
    uint64_t packets, bytes, checksum;
};

static void add(struct outcome *outcome, const struct pb_packet *packet)
{
    REQUIRE(packet->captured_len <= PB_FRAME_BYTES_MAX);
    outcome->packets++;
    outcome->bytes += packet->captured_len;
    outcome->checksum = outcome->checksum * 31 + packet->timestamp_ns + packet->wire_len + packet->link_type;
    for (uint32_t i = 0; i < packet->captured_len; i++)
        outcome->checksum = outcome->checksum * 31 + packet->data[i];
}

/* Returns whether the bytes are a capture. `step`: bytes more at a time. */
static bool run_parser(const uint8_t *data, size_t size, size_t step, struct outcome *outcome)
{
    struct pcap_format format = {0};
    size_t head = 0, tail = 0, used;
    bool started = false;
    for (;;) {
        /* An exact copy, so that the sanitizer sees a read past the end. */
        size_t have = tail - head;
        uint8_t *window = malloc(have > 0 ? have : 1);
        memcpy(window, data + head, have);
        struct pb_packet packet;
        enum pcap_result result = started ? pcap_format_next(&format, window, have, &used, &packet)
                                          : pcap_format_header(&format, window, have, &used);
        REQUIRE(used <= have);
        head += used;
        if (result == PCAP_PACKET) {
            REQUIRE(used > 0 && packet.data >= window && packet.captured_len <= (size_t)(window + used - packet.data));
            add(outcome, &packet);
        }
        free(window);
        if (result == PCAP_OK) {
            started = true;
        } else if (result == PCAP_MORE) {
            REQUIRE(format.need_bytes > tail - head && format.need_bytes <= PCAP_BLOCK_BYTES_MAX);
            if (tail == size)
                break;
            tail = size - tail < step ? size : tail + step;
        } else if (result != PCAP_PACKET) {
            REQUIRE(result != PCAP_CORRUPT || (format.error[0] != '\0' && format.error_offset <= size));
            break;
        }
    }
    REQUIRE(!started || format.offset == head);
    pcap_format_free(&format);
    return started;
}

static bool run_driver(const uint8_t *data, size_t size, uint32_t batch, char *options, struct outcome *outcome)
{
    pb_counter counters[PB_PORT_COUNTERS + PCAP_COUNTERS] = {0};
    struct pb_packet packets[64];
    struct pb_error error;
    char name[32];
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    REQUIRE(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    struct pb_port port = {.role = PB_PORT_INPUT, .name = name, .options = options, .counters = counters};
    pb_port_label(&port, "pcap", name);
    port.driver = pb_port_driver_find("pcap");
    port.operations = port.driver->operations;
    bool opened = port.operations->open(&port, &error) == 0;
    if (opened) {
        for (uint64_t idle = 0; !port.exhausted; idle++) {
            uint32_t count = port.operations->rx_batch(&port, packets, batch);
            REQUIRE(count <= batch);
            for (uint32_t i = 0; i < count; i++)
                add(outcome, &packets[i]);
            port.operations->rx_release(&port);
            if (count > 0)
                idle = 0;
            REQUIRE(idle < 100000);
        }
        REQUIRE(pb_counter_get(&counters[PB_PORT_RX_PACKETS]) == outcome->packets);
        port.operations->close(&port);
    }
    close(fd);
    while (pb_event_take(error.text, sizeof(error.text)) != 0)
        continue;
    return opened;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    uint8_t how = data[0];
    data++;
    size--;
    struct outcome parsed = {0}, driven = {0};
    /* Small steps over large inputs cost the square of the size. */
    size_t step = how & 1 ? (size_t)1 + size / 64 : size + 1;
    bool capture = run_parser(data, size, step, &parsed);
    bool packed = size >= 2 && data[0] == 0x1f && data[1] == 0x8b;
    char twice[] = "loop=2", once[] = "";
    bool opened = run_driver(data, size, how & 2 ? 1 : 64, how & 4 ? twice : once, &driven);
    if (!packed) {
        REQUIRE(opened == capture);
        REQUIRE(driven.packets == parsed.packets * (how & 4 && parsed.packets > 0 ? 2 : 1));
        REQUIRE(how & 4 || driven.checksum == parsed.checksum);
    }
    return 0;
}
