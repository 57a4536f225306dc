/*
 * test_pcap.c - the pcap driver, driven through its table as the engine does it.
 *
 * Captures are made by a little writer of the test's own, in every flavour; the
 * corpus of $BRICKS_CORPUS is compared packet by packet with libpcap, loaded at
 * run time. What cannot run here says why and is counted as skipped.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../native/engine/events.h"
#include "../../native/ports/pcap.h"
#include "../../native/ports/port.h"
#include "check.h"
#include "offer.h"

static char directory[64]; /* of this run's files */
static int skipped;

static void skip(const char *what, const char *why)
{
    printf("skipped: %s: %s\n", what, why);
    skipped++;
}

static const char *in_directory(const char *name)
{
    static char paths[8][512];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
    return path;
}

static int count_fds(void)
{
    int count = 0;
    DIR *fds = opendir("/proc/self/fd");
    CHECK(fds != NULL);
    while (readdir(fds) != NULL)
        count++;
    closedir(fds);
    return count;
}

/* ---------------------------------------------------- a port to drive by hand */

struct fake {
    struct pb_port port;
    pb_counter counters[PB_PORT_COUNTERS + PCAP_COUNTERS];
    uint64_t offered; /* packets given to tx_batch and not refused */
};

static int fake_open(struct fake *fake, enum pb_port_role role, const char *name, const char *options,
                     struct pb_error *error)
{
    memset(fake, 0, sizeof(*fake));
    fake->port.driver = pb_port_driver_find("pcap");
    CHECK(fake->port.driver != NULL);
    fake->port.operations = fake->port.driver->operations;
    CHECK_EQUAL(fake->port.driver->counters_count, PCAP_COUNTERS);
    fake->port.role = role;
    fake->port.name = strdup(name);
    pb_port_label(&fake->port, "pcap", name);
    fake->port.options = strdup(options);
    fake->port.queue_id = -1;
    fake->port.engine_handle = 7;
    fake->port.counters = fake->counters;
    fake->port.batch_packets = 256;
    int result = fake->port.operations->open(&fake->port, error);
    if (result < 0) {
        CHECK(fake->port.state == NULL);
        free(fake->port.name);
        free(fake->port.options);
    }
    return result;
}

static void fake_close(struct fake *fake)
{
    fake->port.operations->close(&fake->port);
    CHECK(fake->port.state == NULL);
    free(fake->port.name);
    free(fake->port.options);
}

static uint64_t counter(struct fake *fake, int place)
{
    return pb_counter_get(&fake->counters[place]);
}

static uint64_t drops(struct fake *fake, enum pcap_counter reason)
{
    return counter(fake, PB_PORT_COUNTERS + (int)reason);
}

static void check_sum(struct fake *fake)
{
    CHECK_EQUAL(counter(fake, PB_PORT_TX_PACKETS) + counter(fake, PB_PORT_IN_FLIGHT) + drops(fake, PCAP_WRITE_ERROR) +
                    drops(fake, PCAP_LINK_TYPE) + drops(fake, PCAP_OUTPUT_BUSY),
                fake->offered);
}

static uint32_t offer(struct fake *fake, const struct pb_packet *packets, uint32_t count, bool may_wait)
{
    uint16_t index[PB_BATCH_PACKETS_MAX];
    for (uint32_t i = 0; i < count; i++)
        index[i] = (uint16_t)i;
    uint32_t done = offer_packets(&fake->port, packets, index, count, may_wait);
    CHECK(done == count || may_wait);
    fake->offered += done;
    check_sum(fake);
    return done;
}

/* The next report, "" when there is none. */
static const char *report(void)
{
    static char text[PB_ERROR_BYTES];
    text[0] = '\0';
    int engine = pb_event_take(text, sizeof(text));
    CHECK(engine == 0 || engine == 7);
    return text;
}

static void check_report(const char *part)
{
    const char *text = report();
    if (strstr(text, part) == NULL) {
        fprintf(stderr, "report \"%s\" lacks \"%s\"\n", text, part);
        exit(1);
    }
}

static void check_no_report(void)
{
    const char *text = report();
    if (text[0] != '\0') {
        fprintf(stderr, "unexpected report: %s\n", text);
        exit(1);
    }
}

/* ------------------------------------------------------------ what was read */

struct packets {
    struct pb_packet *list; /* data is a copy */
    uint32_t count, capacity;
};

static void keep(struct packets *packets, const struct pb_packet *packet)
{
    if (packets->count == packets->capacity) {
        packets->capacity = packets->capacity == 0 ? 64 : packets->capacity * 2;
        packets->list = realloc(packets->list, packets->capacity * sizeof(packets->list[0]));
        CHECK(packets->list != NULL);
    }
    uint8_t *copy = malloc(packet->captured_len + 1);
    CHECK(copy != NULL);
    memcpy(copy, packet->data, packet->captured_len);
    packets->list[packets->count] = *packet;
    packets->list[packets->count++].data = copy;
}

static void forget(struct packets *packets)
{
    for (uint32_t i = 0; i < packets->count; i++)
        free((void *)packets->list[i].data);
    free(packets->list);
    memset(packets, 0, sizeof(*packets));
}

/* Receive up to `limit` packets, or all there are. */
static void receive(struct fake *fake, struct packets *packets, uint32_t batch, uint32_t limit)
{
    static struct pb_packet list[PB_BATCH_PACKETS_MAX];
    while (!fake->port.exhausted && packets->count < limit) {
        uint32_t count = fake->port.operations->rx_batch(&fake->port, list, batch);
        CHECK(count <= batch);
        for (uint32_t i = 0; i < count; i++)
            keep(packets, &list[i]);
        fake->port.operations->rx_release(&fake->port);
        struct pb_wait wait;
        if (count == 0 && !fake->port.exhausted && fake->port.operations->wait(&fake->port, &wait)) {
            struct pollfd look = {.fd = wait.fd, .events = wait.events};
            if (wait.timeout_ns < 0 && poll(&look, 1, 0) == 0)
                return; /* a pipe without more for now */
            struct timespec timeout = {.tv_sec = wait.timeout_ns / 1000000000, .tv_nsec = wait.timeout_ns % 1000000000};
            ppoll(&look, 1, wait.timeout_ns < 0 ? NULL : &timeout, NULL);
        }
    }
    CHECK(counter(fake, PB_PORT_RX_PACKETS) >= packets->count);
}

static void read_all(const char *path, const char *options, uint32_t batch, struct packets *packets)
{
    struct fake fake;
    struct pb_error error = {0};
    memset(packets, 0, sizeof(*packets));
    if (fake_open(&fake, PB_PORT_INPUT, path, options, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    CHECK(fake.port.pausable);
    receive(&fake, packets, batch, UINT32_MAX);
    CHECK(fake.port.exhausted);
    CHECK_EQUAL(counter(&fake, PB_PORT_RX_PACKETS), packets->count);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < packets->count; i++)
        bytes += packets->list[i].wire_len;
    CHECK_EQUAL(counter(&fake, PB_PORT_RX_BYTES), bytes);
    fake_close(&fake);
}

static void check_same(const struct packets *a, const struct packets *b)
{
    CHECK_EQUAL(a->count, b->count);
    for (uint32_t i = 0; i < a->count; i++) {
        CHECK_EQUAL(a->list[i].timestamp_ns, b->list[i].timestamp_ns);
        CHECK_EQUAL(a->list[i].captured_len, b->list[i].captured_len);
        CHECK_EQUAL(a->list[i].wire_len, b->list[i].wire_len);
        CHECK_EQUAL(a->list[i].link_type, b->list[i].link_type);
        CHECK(memcmp(a->list[i].data, b->list[i].data, a->list[i].captured_len) == 0);
    }
}

/* -------------------------------------------------- the test's own writer */

struct bytes {
    uint8_t *at;
    size_t count, capacity;
    bool big; /* byte order of what is put */
};

static void put(struct bytes *bytes, const void *data, size_t count)
{
    if (bytes->count + count > bytes->capacity) {
        bytes->capacity = (bytes->count + count) * 2;
        bytes->at = realloc(bytes->at, bytes->capacity);
        CHECK(bytes->at != NULL);
    }
    if (count > 0)
        memcpy(bytes->at + bytes->count, data, count);
    bytes->count += count;
}

static void put_number(struct bytes *bytes, uint64_t value, int size)
{
    uint8_t out[8];
    for (int i = 0; i < size; i++)
        out[bytes->big ? size - 1 - i : i] = (uint8_t)(value >> (8 * i));
    put(bytes, out, (size_t)size);
}

static void put_zeros(struct bytes *bytes, size_t count)
{
    static const uint8_t zeros[4096];
    for (; count > 0; count -= count < sizeof(zeros) ? count : sizeof(zeros))
        put(bytes, zeros, count < sizeof(zeros) ? count : sizeof(zeros));
}

/* Byte i of packet n. */
static void put_pattern(struct bytes *bytes, uint32_t n, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        put(bytes, &(uint8_t){(uint8_t)(n * 31 + i * 7)}, 1);
}

static void check_pattern(const struct pb_packet *packet, uint32_t n)
{
    for (uint32_t i = 0; i < packet->captured_len; i++)
        CHECK_EQUAL(packet->data[i], (uint8_t)(n * 31 + i * 7));
}

static void put_file_header(struct bytes *bytes, uint32_t magic, uint16_t minor, uint32_t snaplen, uint32_t link_type)
{
    put_number(bytes, magic, 4);
    put_number(bytes, 2, 2);
    put_number(bytes, minor, 2);
    put_number(bytes, 0, 8);
    put_number(bytes, snaplen, 4);
    put_number(bytes, link_type, 4);
}

static void put_record(struct bytes *bytes, uint32_t s, uint32_t fraction, uint32_t captured, uint32_t wire, uint32_t n)
{
    put_number(bytes, s, 4);
    put_number(bytes, fraction, 4);
    put_number(bytes, captured, 4);
    put_number(bytes, wire, 4);
    put_pattern(bytes, n, captured);
}

static size_t block_start(struct bytes *bytes, uint32_t type)
{
    size_t start = bytes->count;
    put_number(bytes, type, 4);
    put_number(bytes, 0, 4);
    return start;
}

static void block_end(struct bytes *bytes, size_t start)
{
    put_zeros(bytes, -bytes->count & 3);
    uint32_t length = (uint32_t)(bytes->count - start + 4);
    put_number(bytes, length, 4);
    memcpy(bytes->at + start + 4, bytes->at + bytes->count - 4, 4);
}

static void put_section(struct bytes *bytes, bool big)
{
    bytes->big = big;
    size_t start = block_start(bytes, 0x0a0d0d0a);
    put_number(bytes, 0x1a2b3c4d, 4);
    put_number(bytes, 1, 2);
    put_number(bytes, 0, 2);
    put_number(bytes, UINT64_MAX, 8);
    put_number(bytes, 2, 2); /* shb_hardware */
    put_number(bytes, 3, 2);
    put(bytes, "abc", 4);
    put_number(bytes, 0, 4);
    block_end(bytes, start);
}

/* resolution -1, offset 0: without the option. */
static void put_interface(struct bytes *bytes, uint16_t link_type, uint32_t snaplen, int resolution, int64_t offset)
{
    size_t start = block_start(bytes, 1);
    put_number(bytes, link_type, 2);
    put_number(bytes, 0, 2);
    put_number(bytes, snaplen, 4);
    if (resolution >= 0) {
        put_number(bytes, 9, 2);
        put_number(bytes, 1, 2);
        put_number(bytes, (uint64_t)resolution, 1);
        put_zeros(bytes, 3);
    }
    if (offset != 0) {
        put_number(bytes, 14, 2);
        put_number(bytes, 8, 2);
        put_number(bytes, (uint64_t)offset, 8);
    }
    if (resolution >= 0 || offset != 0)
        put_number(bytes, 0, 4);
    block_end(bytes, start);
}

static void put_enhanced(struct bytes *bytes, uint32_t id, uint64_t units, uint32_t captured, uint32_t wire, uint32_t n,
                         uint32_t option_bytes)
{
    size_t start = block_start(bytes, 6);
    put_number(bytes, id, 4);
    put_number(bytes, units >> 32, 4);
    put_number(bytes, units & UINT32_MAX, 4);
    put_number(bytes, captured, 4);
    put_number(bytes, wire, 4);
    put_pattern(bytes, n, captured);
    put_zeros(bytes, -captured & 3);
    put_zeros(bytes, option_bytes);
    block_end(bytes, start);
}

static void put_obsolete(struct bytes *bytes, uint16_t id, uint64_t units, uint32_t captured, uint32_t wire, uint32_t n)
{
    size_t start = block_start(bytes, 2);
    put_number(bytes, id, 2);
    put_number(bytes, 9999, 2); /* drops: not part of the id */
    put_number(bytes, units >> 32, 4);
    put_number(bytes, units & UINT32_MAX, 4);
    put_number(bytes, captured, 4);
    put_number(bytes, wire, 4);
    put_pattern(bytes, n, captured);
    block_end(bytes, start);
}

static void put_simple(struct bytes *bytes, uint32_t captured, uint32_t wire, uint32_t n)
{
    size_t start = block_start(bytes, 3);
    put_number(bytes, wire, 4);
    put_pattern(bytes, n, captured);
    block_end(bytes, start);
}

static void put_other(struct bytes *bytes, uint32_t type, size_t count)
{
    size_t start = block_start(bytes, type);
    put_zeros(bytes, count);
    block_end(bytes, start);
}

static const char *save(const struct bytes *bytes, size_t count, const char *name)
{
    const char *path = in_directory(name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    for (size_t done = 0; done < count;) {
        ssize_t n = write(fd, bytes->at + done, count - done);
        CHECK(n > 0);
        done += (size_t)n;
    }
    close(fd);
    return path;
}

static void discard(struct bytes *bytes)
{
    free(bytes->at);
    memset(bytes, 0, sizeof(*bytes));
}

/* -------------------------------------------------------------------- reading */

/* A classic capture of `count` packets of 1, 2, 3 ... bytes, a second apart. */
static void put_capture(struct bytes *bytes, uint32_t magic, bool big, uint32_t count)
{
    bytes->big = big;
    put_file_header(bytes, magic, 4, 65535, 1);
    for (uint32_t n = 0; n < count; n++)
        put_record(bytes, 1000 + n, 999999, n + 1, n + 60, n);
}

static void test_classic(void)
{
    static const struct {
        uint32_t magic, unit_ns;
    } flavours[] = {{0xa1b2c3d4, 1000}, {0xa1b23c4d, 1}};
    for (int big = 0; big < 2; big++) {
        for (int flavour = 0; flavour < 2; flavour++) {
            struct bytes file = {0};
            put_capture(&file, flavours[flavour].magic, big, 300);
            const char *path = save(&file, file.count, "classic.pcap");
            struct packets one, many;
            read_all(path, "", 1, &one);
            read_all(path, "", 4096, &many);
            check_same(&one, &many);
            CHECK_EQUAL(one.count, 300);
            for (uint32_t n = 0; n < 300; n++) {
                CHECK_EQUAL(one.list[n].timestamp_ns,
                            (1000 + n) * 1000000000ull + 999999ull * flavours[flavour].unit_ns);
                CHECK_EQUAL(one.list[n].captured_len, n + 1);
                CHECK_EQUAL(one.list[n].wire_len, n + 60);
                CHECK_EQUAL(one.list[n].link_type, 1);
                check_pattern(&one.list[n], n);
            }
            forget(&one);
            forget(&many);
            discard(&file);
        }
    }
    check_no_report();
}

static struct packets read_bytes(struct bytes *file)
{
    struct packets packets;
    read_all(save(file, file->count, "case.pcap"), "", 256, &packets);
    discard(file);
    return packets;
}

static void test_classic_variants(void)
{
    /* The modified magic: 8 more bytes in each record's header. */
    struct bytes file = {0};
    put_file_header(&file, 0xa1b2cd34, 4, 100, 1);
    for (uint32_t n = 0; n < 3; n++) {
        put_number(&file, 5, 4);
        put_number(&file, n, 4);
        put_number(&file, 114, 4);
        put_number(&file, 200, 4);
        put_number(&file, UINT64_MAX, 8);
        put_pattern(&file, n, 114);
    }
    struct packets packets = read_bytes(&file);
    CHECK_EQUAL(packets.count, 3);
    CHECK_EQUAL(packets.list[2].captured_len, 114); /* the snapshot length and an Ethernet header */
    check_pattern(&packets.list[2], 2);
    forget(&packets);

    /* Version 2.2 has the lengths exchanged, 2.3 where it is plain to see. */
    for (uint16_t minor = 2; minor <= 3; minor++) {
        put_file_header(&file, 0xa1b2c3d4, minor, 65535, 1);
        put_number(&file, 0, 8);
        put_number(&file, 1500, 4);
        put_number(&file, 10, 4);
        put_pattern(&file, 4, 10);
        packets = read_bytes(&file);
        CHECK_EQUAL(packets.count, 1);
        CHECK_EQUAL(packets.list[0].captured_len, 10);
        CHECK_EQUAL(packets.list[0].wire_len, 1500);
        forget(&packets);
    }

    /* Longer than the snapshot length: cut, and the next one is found. */
    put_file_header(&file, 0xa1b2c3d4, 4, 20, 1);
    put_record(&file, 1, 1, 50, 50, 1);
    put_record(&file, 1, 1, 5, 3, 2); /* captured above wire length: as recorded */
    put_record(&file, 1, 1, 0, 0, 3);
    packets = read_bytes(&file);
    CHECK_EQUAL(packets.count, 3);
    CHECK_EQUAL(packets.list[0].captured_len, 20);
    CHECK_EQUAL(packets.list[0].wire_len, 50);
    CHECK_EQUAL(packets.list[1].captured_len, 5);
    CHECK_EQUAL(packets.list[1].wire_len, 3);
    check_pattern(&packets.list[1], 2);
    CHECK_EQUAL(packets.list[2].captured_len, 0);
    forget(&packets);

    /* Link types: DLT numbers, and bits about the frame check sequence. */
    static const uint32_t links[][2] = {{12, 101}, {14, 101}, {101, 101}, {11, 100}, {0x14000001, 1}, {276, 276}};
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
        put_file_header(&file, 0xa1b2c3d4, 4, 0, links[i][0]);
        put_record(&file, UINT32_MAX, 0, 4, 4, 0);
        packets = read_bytes(&file);
        CHECK_EQUAL(packets.list[0].link_type, links[i][1]);
        CHECK_EQUAL(packets.list[0].timestamp_ns, UINT32_MAX * 1000000000ull);
        forget(&packets);
    }

    /* The largest packet, twice, so that one crosses the buffer's end. */
    put_file_header(&file, 0xa1b2c3d4, 4, 262144, 1);
    for (uint32_t n = 0; n < 9; n++)
        put_record(&file, 1, 1, PB_FRAME_BYTES_MAX, PB_FRAME_BYTES_MAX, n);
    packets = read_bytes(&file);
    CHECK_EQUAL(packets.count, 9);
    for (uint32_t n = 0; n < 9; n++)
        check_pattern(&packets.list[n], n);
    forget(&packets);

    put_file_header(&file, 0xa1b2c3d4, 4, 65535, 1);
    packets = read_bytes(&file);
    CHECK_EQUAL(packets.count, 0);
    check_no_report();
}

static void test_ng(void)
{
    struct bytes file = {0};
    put_section(&file, false);
    put_other(&file, 0x0bad, 4);
    put_interface(&file, 1, 0, 9, 0);
    put_interface(&file, 101, 30, 3, -10);
    put_enhanced(&file, 0, 1234567890123456789ull, 61, 100, 0, 0);
    put_enhanced(&file, 1, 20123, 20, 20, 1, 8);
    put_other(&file, 4, 3 << 20); /* larger than the buffer */
    put_enhanced(&file, 1, 5000, 40, 40, 2, 0); /* before 1970; above the snapshot length */
    put_simple(&file, 17, 17, 3);
    put_obsolete(&file, 1, 11000, 7, 9, 4);
    put_section(&file, true);
    put_interface(&file, 14, 25, 0x80 | 10, 1000000000);
    put_interface(&file, 113, 0, -1, 0);
    put_enhanced(&file, 0, 1024 + 1, 5, 5, 5, 2 << 20); /* options larger than the buffer */
    put_enhanced(&file, 1, 77, 6, 6, 6, 0);
    put_simple(&file, 25, 1000, 7);
    put_interface(&file, 1, 0, 19, 0);
    put_enhanced(&file, 2, UINT64_MAX, 1, 1, 8, 0);
    put_interface(&file, 1, 0, 0, 0);
    put_enhanced(&file, 3, UINT64_MAX, 1, 1, 9, 0);
    put_interface(&file, 1, 0, 0x80 | 63, INT64_MIN);
    put_enhanced(&file, 4, UINT64_MAX, 1, 1, 10, 0);
    put_interface(&file, 1, 0, 0x7f, 3);
    put_enhanced(&file, 5, UINT64_MAX, 1, 1, 11, 0);
    static const struct {
        uint64_t ns;
        uint32_t captured, wire;
        uint16_t link;
    } expected[] = {
        {1234567890123456789ull, 61, 100, 1},
        {10123000000ull, 20, 20, 101},
        {0, 30, 40, 101},
        {0, 17, 17, 1},
        {1000000000ull, 7, 9, 101},
        {1000000001000976562ull, 5, 5, 101},
        {77000, 6, 6, 113},
        {0, 25, 1000, 101},
        {1844674407ull, 1, 1, 1},
        {UINT64_MAX, 1, 1, 1},
        {0, 1, 1, 1},
        {3000000000ull, 1, 1, 1},
    };
    const char *path = save(&file, file.count, "a.pcapng");
    for (uint32_t batch = 1; batch <= 4096; batch *= 4096) {
        struct packets packets;
        read_all(path, "", batch, &packets);
        CHECK_EQUAL(packets.count, sizeof(expected) / sizeof(expected[0]));
        for (uint32_t n = 0; n < packets.count; n++) {
            if (n != 5) /* 1 + 1/1024 s: cut off below the nanosecond */
                CHECK_EQUAL(packets.list[n].timestamp_ns, expected[n].ns);
            CHECK_EQUAL(packets.list[n].captured_len, expected[n].captured);
            CHECK_EQUAL(packets.list[n].wire_len, expected[n].wire);
            CHECK_EQUAL(packets.list[n].link_type, expected[n].link);
            check_pattern(&packets.list[n], n);
        }
        CHECK_EQUAL(packets.list[5].timestamp_ns, 1000000001000976562ull);
        forget(&packets);
    }
    discard(&file);
    check_no_report();
}

static void test_ng_lies(void)
{
    static const struct {
        const char *what;
        int at;     /* offset in the second packet's block, or -n: n before its end */
        uint32_t value;
        const char *text;
    } lies[] = {
        {"unaligned length", 4, 41, "a multiple of 4"},
        {"short length", 4, 8, "a multiple of 4"},
        {"no length", 4, 0, "a multiple of 4"},
        {"too short for a packet", 4, 28, "ends as"},
        {"long length", 4, 48, "within a packet or block"},
        {"endless", 4, 0xfffffffc, "the limit is"},
        {"trailer", -4, 36, "ends as one of 36"},
        {"interface", 8, 1, "interface 1"},
        {"captured length", 20, 9, "9 captured bytes in a block of 40"},
        {"huge captured length", 20, PB_FRAME_BYTES_MAX + 1, "the limit is"},
        {"type", 0, 0x0a0d0d0a, "byte order magic"},
    };
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct bytes file = {0};
        put_section(&file, false);
        put_interface(&file, 1, 0, -1, 0);
        put_enhanced(&file, 0, 1, 8, 8, 0, 0);
        size_t start = file.count;
        put_enhanced(&file, 0, 1, 8, 8, 1, 0);
        size_t at = lies[i].at < 0 ? file.count - (size_t)-lies[i].at : start + (size_t)lies[i].at;
        memcpy(file.at + at, &lies[i].value, 4);
        struct packets packets = read_bytes(&file);
        CHECK_EQUAL(packets.count, 1);
        forget(&packets);
        check_report(lies[i].text);
        check_no_report();
    }
}

/* Whatever a file is cut to, the packets that are whole come out, and one report
 * tells of the rest. `ends`: of the packets; `others`: where it may end too, the
 * first of them its header's end. */
static void check_truncations(const struct bytes *file, const size_t *ends, uint32_t ends_count, const size_t *others,
                              uint32_t others_count)
{
    for (size_t size = 0; size <= file->count; size++) {
        const char *path = save(file, size, "cut.pcap");
        struct fake fake;
        struct pb_error error = {0};
        if (size < others[0]) {
            CHECK(fake_open(&fake, PB_PORT_INPUT, path, "", &error) == -EINVAL);
            CHECK(strstr(error.text, "; give a") != NULL);
            continue;
        }
        uint32_t whole = 0;
        while (whole < ends_count && ends[whole] <= size)
            whole++;
        bool may_end = whole > 0 && ends[whole - 1] == size;
        for (uint32_t i = 0; i < others_count; i++)
            may_end = may_end || others[i] == size;
        CHECK(fake_open(&fake, PB_PORT_INPUT, path, "", &error) == 0);
        struct packets packets = {0};
        receive(&fake, &packets, 2, UINT32_MAX);
        CHECK_EQUAL(packets.count, whole);
        for (uint32_t n = 0; n < packets.count; n++)
            check_pattern(&packets.list[n], n);
        CHECK_EQUAL(counter(&fake, PB_PORT_COUNTERS + PCAP_CORRUPT_FILES), !may_end);
        if (!may_end)
            check_report("within a packet or block");
        check_no_report();
        forget(&packets);
        fake_close(&fake);
    }
}

static void test_truncation(void)
{
    struct bytes file = {0};
    size_t ends[3];
    put_capture(&file, 0xa1b2c3d4, false, 0);
    for (uint32_t n = 0; n < 3; n++) {
        put_record(&file, 1, 1, 9 + n, 9 + n, n);
        ends[n] = file.count;
    }
    check_truncations(&file, ends, 3, (const size_t[]){24}, 1);
    discard(&file);

    for (int big = 0; big < 2; big++) {
        put_section(&file, big);
        CHECK_EQUAL(file.count, 40);
        put_interface(&file, 1, 0, 9, 1);
        put_enhanced(&file, 0, 1, 9, 9, 0, 4);
        ends[0] = file.count;
        put_simple(&file, 10, 10, 1);
        ends[1] = file.count;
        put_other(&file, 5, 20);
        put_enhanced(&file, 0, 1, 9, 9, 2, 4);
        ends[2] = file.count;
        check_truncations(&file, ends, 3, (const size_t[]){40, 84, ends[1] + 32}, 3);
        discard(&file);
    }
}

static void check_refused(enum pb_port_role role, const char *name, const char *options, int code, const char *part)
{
    struct fake fake;
    struct pb_error error = {0};
    CHECK_EQUAL(fake_open(&fake, role, name, options, &error), -code);
    CHECK_EQUAL(error.code, code);
    if (strstr(error.text, part) == NULL || strstr(error.text, name) == NULL) {
        fprintf(stderr, "error \"%s\" lacks \"%s\"\n", error.text, part);
        exit(1);
    }
}

static void test_refusals(void)
{
    struct bytes file = {0};
    check_refused(PB_PORT_INPUT, in_directory("none.pcap"), "", ENOENT, "no such file; give");
    check_refused(PB_PORT_INPUT, save(&file, 0, "empty"), "", EINVAL, "empty");
    put(&file, "Hello, this is a text of some length.\n", 38);
    check_refused(PB_PORT_INPUT, save(&file, file.count, "text"), "", EINVAL, "not a capture");
    discard(&file);
    put_section(&file, false);
    check_refused(PB_PORT_INPUT, save(&file, 10, "short"), "", EINVAL, "cut off");
    file.at[14] = 1;
    check_refused(PB_PORT_INPUT, save(&file, file.count, "version"), "", EINVAL, "version 1.1");
    file.at[8] = 0;
    check_refused(PB_PORT_INPUT, save(&file, file.count, "text"), "", EINVAL, "not a capture");
    discard(&file);
    put_file_header(&file, 0xa1b2c3d4, 9, 0, 1);
    check_refused(PB_PORT_INPUT, save(&file, file.count, "version"), "", EINVAL, "version 2.9");
    discard(&file);
    if (geteuid() != 0) {
        const char *path = save(&file, 0, "secret");
        chmod(path, 0);
        check_refused(PB_PORT_INPUT, path, "", EACCES, "permission denied");
        check_refused(PB_PORT_OUTPUT, path, "", EACCES, "permission denied");
    }
    mkdir(in_directory("empty.d"), 0700);
    check_refused(PB_PORT_INPUT, in_directory("empty.d"), "", ENOENT, "no file in this directory");
    check_refused(PB_PORT_OUTPUT, in_directory("empty.d"), "", EISDIR, "is a directory");
    check_refused(PB_PORT_OUTPUT, in_directory("none.d/x.pcap"), "", ENOENT, "no such directory");
    CHECK(mkfifo(in_directory("fifo"), 0600) == 0);
    check_refused(PB_PORT_INPUT, in_directory("fifo"), "loop=2", EINVAL, "only once");
    check_refused(PB_PORT_OUTPUT, in_directory("fifo"), "", ENXIO, "start its reader first");
    check_no_report();
}

static void test_directory(void)
{
    mkdir(in_directory("many.d"), 0700);
    mkdir(in_directory("many.d/below"), 0700);
    static const uint32_t counts[] = {5, 1, 200};
    for (int i = 0; i < 3; i++) {
        struct bytes file = {0};
        char name[64];
        snprintf(name, sizeof(name), "many.d/%c.pcap", "cab"[i]); /* b: 200, c: 5, a: 1 */
        put_capture(&file, i == 1 ? 0xa1b23c4d : 0xa1b2c3d4, i == 2, counts[i]);
        save(&file, file.count, name);
        if (i == 0)
            save(&file, file.count - 3, "many.d/aa.pcap"); /* corrupt at its end: 4 of 5 */
        discard(&file);
    }
    struct bytes text = {0};
    put(&text, "plain text", 10);
    save(&text, text.count, "many.d/b.txt");
    discard(&text);
    struct fake fake;
    struct packets packets = {0};
    CHECK(fake_open(&fake, PB_PORT_INPUT, in_directory("many.d"), "loop=2", NULL) == 0);
    receive(&fake, &packets, 64, UINT32_MAX);
    CHECK_EQUAL(packets.count, 2 * (1 + 4 + 200 + 5));
    CHECK_EQUAL(packets.list[1].captured_len, 1);
    CHECK_EQUAL(packets.list[4].captured_len, 4);
    CHECK_EQUAL(packets.list[204].captured_len, 200);
    CHECK_EQUAL(packets.list[209].captured_len, 5);
    CHECK_EQUAL(counter(&fake, PB_PORT_COUNTERS + PCAP_CORRUPT_FILES), 1);
    CHECK_EQUAL(counter(&fake, PB_PORT_COUNTERS + PCAP_SKIPPED_FILES), 1);
    check_report("aa.pcap: corrupt at byte");
    check_report("b.txt: not a capture");
    check_no_report();
    forget(&packets);
    fake_close(&fake);
}

static void test_loop(void)
{
    struct bytes file = {0};
    put_capture(&file, 0xa1b2c3d4, false, 10);
    struct packets packets;
    const char *path = save(&file, file.count, "loop.pcap");
    read_all(path, "loop=3", 256, &packets);
    CHECK_EQUAL(packets.count, 30);
    for (uint32_t n = 0; n < 30; n++) {
        check_pattern(&packets.list[n], n % 10);
        CHECK_EQUAL(packets.list[n].timestamp_ns / 1000000000, 1000 + n % 10); /* as recorded */
    }
    forget(&packets);

    struct fake fake;
    memset(&packets, 0, sizeof(packets));
    CHECK(fake_open(&fake, PB_PORT_INPUT, path, "loop=0", NULL) == 0);
    receive(&fake, &packets, 256, 5000);
    CHECK(packets.count >= 5000 && !fake.port.exhausted);
    forget(&packets);
    fake_close(&fake);
    discard(&file);

    /* Larger than the buffer: read again from the file. */
    put_file_header(&file, 0xa1b2c3d4, 4, 262144, 1);
    for (uint32_t n = 0; n < 300; n++)
        put_record(&file, 1, 1, 9000, 9000, n);
    read_all(save(&file, file.count, "loop.pcap"), "loop=2", 64, &packets);
    CHECK_EQUAL(packets.count, 600);
    for (uint32_t n = 0; n < 600; n++)
        check_pattern(&packets.list[n], n % 300);
    forget(&packets);
    discard(&file);

    /* It vanishes between two passes: said, and the end. */
    put_capture(&file, 0xa1b2c3d4, false, 0);
    for (uint32_t n = 0; n < 300; n++)
        put_record(&file, 1, 1, 9000, 9000, n);
    struct fake gone;
    path = save(&file, file.count, "gone.pcap");
    CHECK(fake_open(&gone, PB_PORT_INPUT, path, "loop=0", NULL) == 0);
    receive(&gone, &packets, 1, 1);
    CHECK(unlink(path) == 0);
    receive(&gone, &packets, 64, UINT32_MAX);
    CHECK(gone.port.exhausted);
    CHECK_EQUAL(packets.count, 300);
    check_report("cannot be read again: no such file");
    check_no_report();
    forget(&packets);
    fake_close(&gone);
    discard(&file);

    /* For ever over nothing ends. */
    put_capture(&file, 0xa1b2c3d4, false, 0);
    read_all(save(&file, file.count, "none.pcap"), "loop=0", 64, &packets);
    CHECK_EQUAL(packets.count, 0);
    forget(&packets);

    /* A corrupt one is reported once, not once for each pass. */
    put_record(&file, 1, 1, 5, 5, 0);
    read_all(save(&file, file.count, "cut.pcap"), "loop=2", 64, &packets);
    CHECK_EQUAL(packets.count, 2);
    forget(&packets);
    put_record(&file, 1, 1, 5, 5, 0);
    read_all(save(&file, file.count - 1, "cut.pcap"), "loop=4", 64, &packets);
    CHECK_EQUAL(packets.count, 4);
    forget(&packets);
    check_report("corrupt at byte 45: the file ends within a packet or block; the 1 packets");
    check_no_report();
    discard(&file);
}

static void test_speed(void)
{
    struct bytes file = {0};
    put_file_header(&file, 0xa1b23c4d, 4, 65535, 1);
    put_record(&file, 1000, 0, 5, 5, 0);
    put_record(&file, 1000, 0, 5, 5, 1);
    put_record(&file, 1000 + 3600, 0, 5, 5, 2);
    struct fake fake;
    struct pb_packet list[8];
    struct pb_wait wait;
    CHECK(fake_open(&fake, PB_PORT_INPUT, save(&file, file.count, "slow.pcap"), "speed=1", NULL) == 0);
    CHECK(!fake.port.operations->wait(&fake.port, &wait));
    CHECK_EQUAL(fake.port.operations->rx_batch(&fake.port, list, 8), 2);
    fake.port.operations->rx_release(&fake.port);
    CHECK_EQUAL(fake.port.operations->rx_batch(&fake.port, list, 8), 0);
    CHECK(fake.port.operations->wait(&fake.port, &wait));
    CHECK_EQUAL(wait.fd, -1);
    CHECK(wait.timeout_ns > 0 && wait.timeout_ns <= 3600000000000);
    CHECK_EQUAL(counter(&fake, PB_PORT_RX_PACKETS), 2);
    CHECK(!fake.port.exhausted);
    fake_close(&fake);

    /* Backwards in time: at once. A held packet keeps its bytes. */
    put_record(&file, 1, 0, 5, 5, 3);
    put_record(&file, 1000 + 3600, 5000, 5, 5, 4);
    struct packets packets;
    read_all(save(&file, file.count, "slow.pcap"), "speed=1000000&loop=2", 3, &packets);
    CHECK_EQUAL(packets.count, 10);
    for (uint32_t n = 0; n < 10; n++)
        check_pattern(&packets.list[n], n % 5);
    forget(&packets);
    discard(&file);
}

static bool have_gzip(void)
{
    static int have = -1;
    if (have < 0)
        have = system("gzip --version >/dev/null 2>&1") == 0;
    return have;
}

static void test_gzip(void)
{
    if (!have_gzip()) {
        skip("gzip", "no gzip program here");
        return;
    }
    struct bytes file = {0};
    put_capture(&file, 0xa1b2c3d4, false, 400);
    const char *path = save(&file, file.count, "plain.pcap");
    char command[2048];
    struct packets plain, packed;
    read_all(path, "", 256, &plain);
    snprintf(command, sizeof(command),
             "cd %s && gzip -c plain.pcap >named_so.pcap && head -c 5000 plain.pcap | gzip -c >parts && "
             "tail -c +5001 plain.pcap | gzip -c >>parts && head -c 100 /dev/zero >>parts && "
             "head -c 20000 named_so.pcap >cut.gz && cp named_so.pcap bad.gz",
             directory);
    CHECK(system(command) == 0);
    read_all(in_directory("named_so.pcap"), "loop=2", 256, &packed);
    CHECK_EQUAL(packed.count, 800);
    for (uint32_t n = 400; n < 800; n++)
        check_pattern(&packed.list[n], n - 400);
    for (uint32_t n = 400; n < 800; n++)
        free((void *)packed.list[n].data);
    packed.count = 400;
    check_same(&plain, &packed);
    forget(&packed);
    read_all(in_directory("parts"), "", 256, &packed); /* two members, and padding */
    check_same(&plain, &packed);
    forget(&packed);
    check_no_report();

    /* Through pcapng and larger than the buffers. */
    struct bytes large = {0};
    put_section(&large, true);
    put_interface(&large, 1, 0, 9, 0);
    for (uint32_t n = 0; n < 2000; n++)
        put_enhanced(&large, 0, n, 1400, 1400, n, 0);
    save(&large, large.count, "large.pcapng");
    snprintf(command, sizeof(command), "gzip -f %s/large.pcapng", directory);
    CHECK(system(command) == 0);
    read_all(in_directory("large.pcapng.gz"), "", 4096, &packed);
    CHECK_EQUAL(packed.count, 2000);
    check_pattern(&packed.list[1999], 1999);
    forget(&packed);
    discard(&large);

    /* Cut at every place: whole packets, one report, no more. */
    struct bytes packed_bytes = {0};
    put(&packed_bytes, NULL, 0);
    int fd = open(in_directory("named_so.pcap"), O_RDONLY | O_CLOEXEC);
    uint8_t chunk[4096];
    ssize_t got;
    while ((got = read(fd, chunk, sizeof(chunk))) > 0)
        put(&packed_bytes, chunk, (size_t)got);
    close(fd);
    for (size_t size = 0; size < packed_bytes.count; size += size < 64 ? 1 : 97) {
        struct fake fake;
        struct pb_error error = {0};
        if (fake_open(&fake, PB_PORT_INPUT, save(&packed_bytes, size, "cut.gz"), "", &error) < 0) {
            CHECK(error.text[0] != '\0');
            continue;
        }
        struct packets some = {0};
        receive(&fake, &some, 64, UINT32_MAX);
        for (uint32_t n = 0; n < some.count; n++)
            check_pattern(&some.list[n], n);
        CHECK_EQUAL(counter(&fake, PB_PORT_COUNTERS + PCAP_CORRUPT_FILES), 1);
        check_report("gzip data ends early");
        check_no_report();
        forget(&some);
        fake_close(&fake);
    }
    /* One bit wrong: never more packets, and it is said. */
    packed_bytes.at[packed_bytes.count / 2] ^= 0x10;
    struct packets some;
    read_all(save(&packed_bytes, packed_bytes.count, "bad.gz"), "", 64, &some);
    CHECK(some.count <= 400);
    CHECK(report()[0] != '\0');
    forget(&some);
    discard(&packed_bytes);
    forget(&plain);
    discard(&file);
}

/* ------------------------------------------------------------ pipes to read */

static void feed_bytewise(struct fake *fake, int fd, const struct bytes *file, struct packets *packets)
{
    struct pb_packet list[4];
    struct pb_wait wait;
    for (size_t i = 0; i < file->count; i++) {
        uint32_t count = fake->port.operations->rx_batch(&fake->port, list, 4);
        for (uint32_t p = 0; p < count; p++)
            keep(packets, &list[p]);
        fake->port.operations->rx_release(&fake->port);
        if (count == 0) {
            CHECK(fake->port.operations->wait(&fake->port, &wait));
            CHECK(wait.fd >= 0 && wait.events == POLLIN);
        }
        CHECK(!fake->port.exhausted);
        CHECK(write(fd, file->at + i, 1) == 1);
    }
}

static void test_stdin(void)
{
    struct bytes file = {0};
    put_capture(&file, 0xa1b2c3d4, true, 20);
    int pipes[2], saved = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 100);
    CHECK(pipe2(pipes, O_CLOEXEC) == 0);
    CHECK(dup2(pipes[0], STDIN_FILENO) == STDIN_FILENO);
    close(pipes[0]);
    struct fake fake;
    struct packets packets = {0};
    CHECK(fake_open(&fake, PB_PORT_INPUT, "-", "", NULL) == 0);
    feed_bytewise(&fake, pipes[1], &file, &packets);
    close(pipes[1]);
    receive(&fake, &packets, 256, UINT32_MAX);
    CHECK(fake.port.exhausted);
    CHECK_EQUAL(packets.count, 20);
    for (uint32_t n = 0; n < 20; n++)
        check_pattern(&packets.list[n], n);
    forget(&packets);
    fake_close(&fake);
    CHECK(fcntl(STDIN_FILENO, F_GETFD) >= 0);
    check_no_report();

    /* Not a capture, and nothing at all: known only while running. */
    static const char *const texts[] = {"", "no capture here"};
    for (int i = 0; i < 2; i++) {
        CHECK(pipe2(pipes, O_CLOEXEC) == 0);
        dup2(pipes[0], STDIN_FILENO);
        close(pipes[0]);
        CHECK(fake_open(&fake, PB_PORT_INPUT, "-", "", NULL) == 0);
        CHECK(write(pipes[1], texts[i], strlen(texts[i])) >= 0);
        close(pipes[1]);
        receive(&fake, &packets, 256, UINT32_MAX);
        CHECK(fake.port.exhausted);
        CHECK_EQUAL(counter(&fake, PB_PORT_COUNTERS + PCAP_CORRUPT_FILES), 1);
        check_report(i == 0 ? "port \"pcap:-\": the file is empty" : "port \"pcap:-\": not a capture");
        check_no_report();
        fake_close(&fake);
    }
    check_refused(PB_PORT_INPUT, "-", "loop=0", EINVAL, "only once");

    /* A file as standard input. */
    int fd = open(save(&file, file.count, "stdin.pcap"), O_RDONLY | O_CLOEXEC);
    dup2(fd, STDIN_FILENO);
    close(fd);
    read_all("-", "", 8, &packets);
    CHECK_EQUAL(packets.count, 20);
    forget(&packets);
    dup2(saved, STDIN_FILENO);
    close(saved);
    discard(&file);
}

static void test_fifo(void)
{
    struct bytes file = {0};
    put_section(&file, false);
    put_interface(&file, 1, 0, 9, 0);
    for (uint32_t n = 0; n < 20; n++)
        put_enhanced(&file, 0, n, 3 * n, 3 * n, n, 0);
    const char *path = in_directory("in.fifo");
    CHECK(mkfifo(path, 0600) == 0);
    struct fake fake;
    struct packets packets = {0};
    CHECK(fake_open(&fake, PB_PORT_INPUT, path, "", NULL) == 0);
    receive(&fake, &packets, 4, UINT32_MAX); /* no writer yet: that is not the end */
    CHECK(!fake.port.exhausted);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    feed_bytewise(&fake, fd, &file, &packets);
    receive(&fake, &packets, 4, UINT32_MAX);
    CHECK_EQUAL(packets.count, 20);
    CHECK(!fake.port.exhausted);
    close(fd);
    receive(&fake, &packets, 4, UINT32_MAX);
    CHECK(fake.port.exhausted);
    for (uint32_t n = 0; n < 20; n++)
        check_pattern(&packets.list[n], n);
    forget(&packets);
    fake_close(&fake);

    if (!have_gzip()) {
        skip("gzip through a FIFO", "no gzip program here");
    } else {
        save(&file, file.count, "fifo.pcapng");
        char command[1024];
        snprintf(command, sizeof(command), "gzip -c %s/fifo.pcapng > %s/fifo.gz", directory, directory);
        CHECK(system(command) == 0);
        struct bytes packed = {0};
        uint8_t chunk[8192];
        int from = open(in_directory("fifo.gz"), O_RDONLY | O_CLOEXEC);
        ssize_t got = read(from, chunk, sizeof(chunk));
        close(from);
        CHECK(got > 0);
        put(&packed, chunk, (size_t)got);
        CHECK(fake_open(&fake, PB_PORT_INPUT, path, "", NULL) == 0);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        feed_bytewise(&fake, fd, &packed, &packets);
        close(fd);
        receive(&fake, &packets, 4, UINT32_MAX);
        CHECK_EQUAL(packets.count, 20);
        forget(&packets);
        fake_close(&fake);
        discard(&packed);
    }
    check_no_report();
    discard(&file);
}

/* -------------------------------------------------------------------- writing */

/* `count` packets of `size` bytes, of link type 1. */
static struct packets made(uint32_t count, uint32_t size)
{
    struct packets packets = {0};
    struct bytes data = {0};
    for (uint32_t n = 0; n < count; n++) {
        data.count = 0;
        put_pattern(&data, n, size);
        struct pb_packet packet;
        pb_packet_init(&packet, data.at, size, size + 4, 5000000000ull * (n + 1) + n, PB_LINK_ETHERNET);
        keep(&packets, &packet);
    }
    discard(&data);
    return packets;
}

static void test_round_trip(void)
{
    struct bytes file = {0};
    put_section(&file, true);
    put_interface(&file, 113, 0, 9, 0);
    for (uint32_t n = 0; n < 5000; n++)
        put_enhanced(&file, 0, 1700000000123456789ull + n, n % 1500, n % 1500 + 5, n, 0);
    put_enhanced(&file, 0, 1, PB_FRAME_BYTES_MAX, PB_FRAME_BYTES_MAX, 5000, 0);
    put_enhanced(&file, 0, UINT64_MAX, 10, 3, 5001, 0);
    const char *path = in_directory("out.pcap");
    struct packets in, out;
    read_all(save(&file, file.count, "in.pcapng"), "", 256, &in);
    struct fake fake;
    CHECK(fake_open(&fake, PB_PORT_OUTPUT, path, "", NULL) == 0);
    for (uint32_t n = 0; n < in.count; n += 100)
        offer(&fake, &in.list[n], in.count - n < 100 ? in.count - n : 100, n % 200 == 0);
    CHECK(counter(&fake, PB_PORT_IN_FLIGHT) > 0);
    fake.port.operations->flush(&fake.port);
    CHECK_EQUAL(counter(&fake, PB_PORT_IN_FLIGHT), 0);
    CHECK_EQUAL(counter(&fake, PB_PORT_TX_PACKETS), in.count);
    check_sum(&fake);
    CHECK(!fake.port.operations->undelivered(&fake.port));
    fake_close(&fake);
    read_all(path, "", 256, &out);
    in.list[5001].timestamp_ns = UINT64_MAX / 1000000000 % (UINT64_C(1) << 32) * 1000000000 + UINT64_MAX % 1000000000;
    check_same(&in, &out);
    forget(&in);
    forget(&out);
    discard(&file);
    check_no_report();

    /* Never a packet: a valid file all the same. Flushed early: the first
     * packet's link type still counts. */
    CHECK(fake_open(&fake, PB_PORT_OUTPUT, path, "", NULL) == 0);
    fake.port.operations->flush(&fake.port);
    fake_close(&fake);
    read_all(path, "", 256, &out);
    CHECK_EQUAL(out.count, 0);
    forget(&out);
    struct stat status;
    CHECK(stat(path, &status) == 0 && status.st_size == 24);
}

static void test_link_types(void)
{
    struct packets in = made(10, 50), out;
    for (int n = 1; n < 10; n += 2)
        in.list[n].link_type = PB_LINK_RAW;
    in.list[0].link_type = PB_LINK_LINUX_SLL2;
    in.list[2].link_type = PB_LINK_LINUX_SLL2;
    struct fake fake;
    CHECK(fake_open(&fake, PB_PORT_OUTPUT, in_directory("links.pcap"), "", NULL) == 0);
    fake.port.operations->flush(&fake.port);
    offer(&fake, in.list, 10, true);
    CHECK_EQUAL(drops(&fake, PCAP_LINK_TYPE), 8);
    fake.port.operations->flush(&fake.port);
    check_sum(&fake);
    check_report("packets of link type 101 are dropped: the file holds 276");
    check_no_report();
    fake_close(&fake);
    read_all(in_directory("links.pcap"), "", 256, &out);
    CHECK_EQUAL(out.count, 2);
    CHECK_EQUAL(out.list[1].link_type, PB_LINK_LINUX_SLL2);
    check_pattern(&out.list[1], 2);
    forget(&out);
    forget(&in);
}

/* As read_all(), of a file that an output holds locked: a copy of what it is now. */
static void read_locked(const char *path, struct packets *packets)
{
    char buffer[65536], copy_path[64];
    int from = open(path, O_RDONLY), copy = memfd_create("copy", 0);
    CHECK(from >= 0 && copy >= 0);
    ssize_t length;
    while ((length = read(from, buffer, sizeof(buffer))) > 0)
        CHECK_EQUAL(write(copy, buffer, (size_t)length), length);
    close(from);
    snprintf(copy_path, sizeof(copy_path), "/proc/self/fd/%d", copy);
    read_all(copy_path, "", 256, packets);
    close(copy);
}

/* Write until nothing fits, then `make_room`, then write again: the file stays
 * valid all the time, and holds what was counted as sent. */
static void check_full(const char *path, const char *text, void (*make_room)(void))
{
    struct packets in = made(200, 1000), out;
    struct fake fake;
    CHECK(fake_open(&fake, PB_PORT_OUTPUT, path, "", NULL) == 0);
    for (int i = 0; i < 12; i++) {
        offer(&fake, in.list, in.count, i % 2 == 0);
        fake.port.operations->flush(&fake.port);
        CHECK_EQUAL(counter(&fake, PB_PORT_IN_FLIGHT), 0);
        check_sum(&fake);
    }
    uint64_t sent = counter(&fake, PB_PORT_TX_PACKETS);
    CHECK(sent > 0 && drops(&fake, PCAP_WRITE_ERROR) == 2400 - sent && sent < 2400);
    check_report(text);
    check_no_report();
    read_locked(path, &out);
    CHECK_EQUAL(out.count, sent);
    forget(&out);
    make_room();
    offer(&fake, in.list, 20, false);
    fake.port.operations->flush(&fake.port);
    check_sum(&fake);
    CHECK_EQUAL(counter(&fake, PB_PORT_TX_PACKETS), sent + 20);
    check_report("writing works again");
    check_no_report();
    fake_close(&fake);
    read_all(path, "", 256, &out);
    CHECK_EQUAL(out.count, sent + 20);
    check_pattern(&out.list[sent + 19], 19);
    forget(&out);
    forget(&in);
    check_no_report();
}

static off_t size_of(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 ? status.st_size : -1;
}

/* A file that is written is nobody else's, and stays as it was until the engine runs. */
static void test_output_in_use(void)
{
    char path[128], same[128];
    snprintf(path, sizeof(path), "%s/in_use.pcap", directory);
    snprintf(same, sizeof(same), "%s/./in_use.pcap", directory);
    struct packets in = made(5, 100);
    struct fake fake, other;
    struct pb_error error = {0};
    CHECK(fake_open(&fake, PB_PORT_OUTPUT, path, "", NULL) == 0);
    CHECK(fake_open(&other, PB_PORT_OUTPUT, same, "", &error) == -EWOULDBLOCK && strstr(error.text, "another port") != NULL);
    offer(&fake, in.list, in.count, false);
    CHECK(fake_open(&other, PB_PORT_INPUT, same, "", &error) == -EWOULDBLOCK && strstr(error.text, "being written") != NULL);
    fake_close(&fake);
    off_t size = size_of(path);
    CHECK(size > 24);

    CHECK(fake_open(&fake, PB_PORT_INPUT, path, "", NULL) == 0);
    CHECK(fake_open(&other, PB_PORT_OUTPUT, path, "", &error) == -EWOULDBLOCK);
    fake_close(&fake);
    /* Opened and closed again, as by a start that fails at another port. */
    CHECK(fake_open(&fake, PB_PORT_OUTPUT, path, "", NULL) == 0);
    fake_close(&fake);
    CHECK_EQUAL(size_of(path), size);
    /* An engine that runs and gets nothing leaves an empty capture. */
    CHECK(fake_open(&fake, PB_PORT_OUTPUT, path, "", NULL) == 0);
    fake.port.operations->flush(&fake.port);
    CHECK_EQUAL(size_of(path), 0);
    fake_close(&fake);
    CHECK_EQUAL(size_of(path), 24);
    forget(&in);
}

/* Run `test` in a process of its own, where it may change limits and mounts. */
static void in_child(void (*test)(void))
{
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        test();
        fflush(NULL);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_EQUAL(status, 0);
}

static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void lift_limit(void)
{
    limit_file_size(RLIM_INFINITY);
}

/* SIGXFSZ keeps its default action, which would end the process. */
static void size_limit_child(void)
{
    limit_file_size(1000001);
    check_full(in_directory("limited.pcap"), "the file has reached its largest size; ", lift_limit);
    limit_file_size(10); /* not even the header fits */
    struct packets in = made(3, 100), out;
    struct fake fake;
    CHECK(fake_open(&fake, PB_PORT_OUTPUT, in_directory("limited.pcap"), "", NULL) == 0);
    for (int i = 0; i < 3; i++) {
        offer(&fake, in.list, 3, false);
        fake.port.operations->flush(&fake.port);
        check_sum(&fake);
    }
    CHECK_EQUAL(drops(&fake, PCAP_WRITE_ERROR), 9);
    lift_limit();
    offer(&fake, in.list, 3, false);
    fake_close(&fake);
    read_all(in_directory("limited.pcap"), "", 256, &out);
    CHECK_EQUAL(out.count, 3);
    forget(&out);
    forget(&in);
    check_report("; 3 packets lost so far; ");
    check_report("works again; 9 packets were lost");
    check_no_report();
}

static void remove_ballast(void)
{
    CHECK(unlink(in_directory("small/ballast")) == 0);
}

static void small_disk_child(void)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mkdir(in_directory("small"), 0700) < 0 ||
        mount("tmpfs", in_directory("small"), "tmpfs", 0, "size=2m") < 0) {
        _exit(77);
    }
    struct bytes ballast = {0};
    put_zeros(&ballast, 1 << 20);
    save(&ballast, ballast.count, "small/ballast");
    discard(&ballast);
    check_full(in_directory("small/full.pcap"), "no space left on device; ", remove_ballast);
}

static void test_full(void)
{
    in_child(size_limit_child);
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        small_disk_child();
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip("full disk", "mounting needs root");
    else
        CHECK_EQUAL(status, 0);

    struct packets in = made(3, 100);
    struct fake fake;
    CHECK(fake_open(&fake, PB_PORT_OUTPUT, "/dev/full", "", NULL) == 0);
    for (int i = 0; i < 3; i++) {
        offer(&fake, in.list, 3, false);
        fake.port.operations->flush(&fake.port);
        check_sum(&fake);
    }
    CHECK_EQUAL(drops(&fake, PCAP_WRITE_ERROR), 9);
    check_report("port \"pcap:/dev/full\": no space left on device; 3 packets lost so far; free space and it goes on");
    fake_close(&fake);
    check_no_report();
    forget(&in);
}

/* Our standard output becomes a pipe; returns its reading end. */
static int stdout_to_pipe(int *saved)
{
    int pipes[2];
    fflush(stdout);
    *saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 100);
    CHECK(*saved >= 0);
    CHECK(pipe2(pipes, O_CLOEXEC) == 0);
    CHECK(dup2(pipes[1], STDOUT_FILENO) == STDOUT_FILENO);
    close(pipes[1]);
    return pipes[0];
}

static void stdout_back(int saved)
{
    CHECK(dup2(saved, STDOUT_FILENO) == STDOUT_FILENO);
    close(saved);
}

/* SIGPIPE keeps its default action, which would end the process. */
static void test_reader_gone(void)
{
    int saved, reader = stdout_to_pipe(&saved);
    struct packets in = made(100, 100);
    struct fake fake;
    CHECK(fake_open(&fake, PB_PORT_OUTPUT, "-", "", NULL) == 0);
    offer(&fake, in.list, 10, false);
    fake.port.operations->flush(&fake.port);
    CHECK_EQUAL(counter(&fake, PB_PORT_TX_PACKETS), 10);
    close(reader);
    offer(&fake, in.list, 10, true);
    fake.port.operations->flush(&fake.port);
    CHECK_EQUAL(drops(&fake, PCAP_WRITE_ERROR), 10);
    for (int i = 0; i < 50; i++)
        CHECK_EQUAL(offer(&fake, in.list, 100, true), 100);
    CHECK_EQUAL(drops(&fake, PCAP_WRITE_ERROR), 5010);
    struct pb_wait wait;
    CHECK(fake.port.operations->wait(&fake.port, &wait));
    CHECK(!fake.port.operations->undelivered(&fake.port));
    fake.port.operations->flush(&fake.port);
    check_sum(&fake);
    fake_close(&fake);
    stdout_back(saved);
    check_report("port \"pcap:-\": its reader is gone; 10 packets lost so far");
    check_no_report();
    forget(&in);
    sigset_t pending;
    sigpending(&pending);
    CHECK(!sigismember(&pending, SIGPIPE));
}

static void drain_pipe(int fd, struct bytes *to)
{
    uint8_t chunk[65536];
    struct pollfd look = {.fd = fd, .events = POLLIN};
    while (poll(&look, 1, 0) > 0) {
        ssize_t got = read(fd, chunk, sizeof(chunk));
        CHECK(got >= 0);
        if (got == 0)
            return;
        put(to, chunk, (size_t)got);
    }
}

static void test_pipe_output(void)
{
    /* A pausable source waits for a slow reader, and nothing is lost. */
    int saved, reader = stdout_to_pipe(&saved);
    struct packets in = made(1000, 1500), out;
    struct bytes got = {0};
    struct fake fake;
    CHECK(fake_open(&fake, PB_PORT_OUTPUT, "-", "", NULL) == 0);
    uint32_t refusals = 0;
    for (uint32_t n = 0; n < in.count;) {
        uint32_t done = offer(&fake, &in.list[n], in.count - n, true);
        n += done;
        if (n < in.count) {
            refusals++;
            struct pb_wait wait;
            if (fake.port.operations->wait(&fake.port, &wait)) {
                CHECK(wait.fd >= 0 && wait.events == POLLOUT);
                struct pollfd look = {.fd = wait.fd, .events = wait.events};
                CHECK_EQUAL(poll(&look, 1, 0), 0);
            }
            drain_pipe(reader, &got);
        }
    }
    CHECK(refusals > 0);
    while (fake.port.operations->undelivered(&fake.port)) {
        CHECK(counter(&fake, PB_PORT_IN_FLIGHT) > 0);
        drain_pipe(reader, &got);
    }
    check_sum(&fake);
    CHECK_EQUAL(counter(&fake, PB_PORT_TX_PACKETS), 1000);
    fake_close(&fake);
    stdout_back(saved);
    drain_pipe(reader, &got);
    close(reader);
    read_all(save(&got, got.count, "piped.pcap"), "", 256, &out);
    check_same(&in, &out);
    forget(&out);
    got.count = 0;
    check_no_report();

    /* A live source does not wait; what gets through is still a capture. */
    const char *path = in_directory("out.fifo");
    CHECK(mkfifo(path, 0600) == 0);
    reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    CHECK(fake_open(&fake, PB_PORT_OUTPUT, path, "", NULL) == 0);
    for (int round = 0; round < 5; round++) {
        offer(&fake, in.list, in.count, false);
        drain_pipe(reader, &got);
    }
    CHECK(drops(&fake, PCAP_OUTPUT_BUSY) > 0);
    while (fake.port.operations->undelivered(&fake.port))
        drain_pipe(reader, &got);
    uint64_t sent = counter(&fake, PB_PORT_TX_PACKETS);
    offer(&fake, in.list, in.count, false); /* not read any more: lost at close, and counted */
    fake.port.operations->flush(&fake.port);
    CHECK(counter(&fake, PB_PORT_IN_FLIGHT) > 0);
    drain_pipe(reader, &got);
    uint64_t held = counter(&fake, PB_PORT_IN_FLIGHT);
    CHECK(held > 0);
    fake.port.operations->close(&fake.port);
    CHECK_EQUAL(counter(&fake, PB_PORT_IN_FLIGHT), 0);
    check_sum(&fake);
    sent = counter(&fake, PB_PORT_TX_PACKETS);
    drain_pipe(reader, &got);
    close(reader);
    free(fake.port.name);
    free(fake.port.options);
    check_report("its reader was too slow; the last ");
    check_no_report();
    read_all(save(&got, got.count, "piped.pcap"), "", 256, &out);
    CHECK_EQUAL(out.count, sent);
    report(); /* the last record may be cut */
    check_no_report();
    forget(&out);
    forget(&in);
    discard(&got);
}

/* ------------------------------------------------------- without libz.so.1 */

static bool hide_zlib;

/* Stands before the C library's, so that a machine without zlib can be tried. */
void *dlopen(const char *name, int flags)
{
    void *(*next)(const char *, int);
    *(void **)&next = dlsym(RTLD_NEXT, "dlopen");
    return hide_zlib && name != NULL && strstr(name, "libz.so") != NULL ? NULL : next(name, flags);
}

static void no_zlib_child(void)
{
    static const uint8_t magic[32] = {0x1f, 0x8b, 8};
    struct bytes file = {0};
    put(&file, magic, sizeof(magic));
    hide_zlib = true;
    check_refused(PB_PORT_INPUT, save(&file, file.count, "some.gz"), "", ENOPKG, "install the package zlib1g");
    discard(&file);
}

/* ----------------------------------------------- the corpus, against libpcap */

/* The parts of pcap.h that are needed. */
struct pcap_pkthdr {
    struct timeval ts;
    uint32_t caplen, len;
};
static struct {
    void *(*open)(const char *path, unsigned precision, char *error);
    int (*next)(void *pcap, struct pcap_pkthdr **header, const uint8_t **data);
    int (*datalink)(void *pcap);
    char *(*error)(void *pcap);
    void (*close)(void *pcap);
} libpcap;

/* Where the two differ on purpose. `part` of libpcap's message: it stops there
 * and we go on, or both stop but at different packets. */
static const struct {
    const char *part, *reason;
} deliberate[] = {
    {"different from the type of the first interface", "we carry a link type with each packet"},
    {"different from the snapshot length of the first", "we keep a snapshot length for each interface"},
    {"no Interface Description Blocks", "a pcapng without interfaces is a capture without packets"},
    {"different byte orders", "we read sections of both byte orders"},
};
/* And: libpcap reads the 32-bit seconds and fractions of classic pcap as signed,
 * we as unsigned; see same_time(). */

struct totals {
    uint32_t files, equal, both_refuse, deliberate, unexpected;
    uint64_t packets;
};

static bool is_deliberate(const char *text)
{
    for (size_t i = 0; i < sizeof(deliberate) / sizeof(deliberate[0]); i++)
        if (strstr(text, deliberate[i].part) != NULL)
            return true;
    return false;
}

static void complain(struct totals *totals, const char *path, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    printf("differs: %s: %s\n", path, text);
    totals->unexpected++;
}

/* libpcap reads no gzip: it gets the uncompressed bytes. */
static const char *uncompressed(const char *path)
{
    size_t length = strlen(path);
    if (length < 3 || strcmp(path + length - 3, ".gz") != 0)
        return path;
    char command[2048];
    snprintf(command, sizeof(command), "gzip -dc '%s' > %s/oracle 2>/dev/null", path, directory);
    (void)!system(command); /* it may end in an error and still have written something */
    return in_directory("oracle");
}

/* libpcap's nanoseconds stand in tv_usec. */
static bool same_time(uint64_t ns, const struct timeval *time)
{
    uint64_t s = time->tv_sec < 0 ? (uint32_t)time->tv_sec : (uint64_t)time->tv_sec;
    if (time->tv_usec >= 0)
        return ns == s * 1000000000u + (uint64_t)time->tv_usec;
    return ns == s * 1000000000u + (uint64_t)(time->tv_usec + (INT64_C(1) << 32)) ||
           ns == s * 1000000000u + (uint64_t)(time->tv_usec + (INT64_C(1) << 32) * 1000);
}

static void compare_packets(struct totals *totals, const char *path, void *pcap, const struct packets *ours,
                            const char *our_report)
{
    struct pcap_pkthdr *header;
    const uint8_t *data;
    uint32_t n = 0;
    int result;
    while ((result = libpcap.next(pcap, &header, &data)) == 1) {
        if (n == ours->count) {
            complain(totals, path, "we have only %u packets", n);
            return;
        }
        const struct pb_packet *packet = &ours->list[n];
        if (packet->captured_len != header->caplen || packet->wire_len != header->len ||
            !same_time(packet->timestamp_ns, &header->ts) ||
            memcmp(packet->data, data, header->caplen) != 0) {
            complain(totals, path, "packet %u: %u of %u bytes at %llu ns, libpcap %u of %u at %lld s %lld ns", n,
                     packet->captured_len, packet->wire_len, (unsigned long long)packet->timestamp_ns, header->caplen,
                     header->len, (long long)header->ts.tv_sec, (long long)header->ts.tv_usec);
            return;
        }
        n++;
    }
    totals->packets += n;
    const char *their_error = result == -1 ? libpcap.error(pcap) : "";
    if (is_deliberate(their_error)) {
        totals->deliberate++;
        return;
    }
    if (n != ours->count || (result == -1) != (our_report[0] != '\0'))
        complain(totals, path, "libpcap has %u packets, \"%s\"; we have %u, \"%s\"", n, their_error, ours->count,
                 our_report);
    else
        totals->equal++;
}

static void compare_file(struct totals *totals, const char *path)
{
    char their_error[256] = "", our_report[PB_ERROR_BYTES] = "";
    struct fake fake;
    struct pb_error error = {0};
    struct packets ours = {0};
    totals->files++;
    int opened = fake_open(&fake, PB_PORT_INPUT, path, "", &error);
    if (opened == 0) {
        receive(&fake, &ours, 256, UINT32_MAX);
        CHECK(fake.port.exhausted);
        CHECK_EQUAL(counter(&fake, PB_PORT_RX_PACKETS), ours.count);
        snprintf(our_report, sizeof(our_report), "%s", report());
        check_no_report();
        fake_close(&fake);
    }
    void *pcap = libpcap.open(uncompressed(path), 1, their_error);
    if (pcap != NULL && opened == 0)
        compare_packets(totals, path, pcap, &ours, our_report);
    else if (pcap == NULL && opened < 0)
        totals->both_refuse++;
    else if (pcap == NULL && is_deliberate(their_error))
        totals->deliberate++;
    else
        complain(totals, path, "libpcap %s; we %s", pcap != NULL ? "opens it" : their_error,
                 opened == 0 ? our_report[0] != '\0' ? our_report : "open it" : error.text);
    if (pcap != NULL)
        libpcap.close(pcap);
    forget(&ours);
}

/* The corpus's own table says how many packets each capture holds, also where
 * libpcap stops early. It counts behind what libpcap and we refuse: unknown
 * versions, and a section header with a wrong trailer. */
static bool is_refused(const char *fault)
{
    return strstr(fault, "version ") != NULL || strstr(fault, "ends as one of 808464432") != NULL;
}

static void compare_counts(const char *corpus)
{
    char line[4096], path[1024];
    snprintf(path, sizeof(path), "%s/pcap/MANIFEST.tsv", corpus);
    FILE *table = fopen(path, "re");
    if (table == NULL) {
        skip("packet counts of the corpus", "it has no MANIFEST.tsv");
        return;
    }
    uint32_t rows = 0, wrong = 0;
    while (fgets(line, sizeof(line), table) != NULL) {
        char name[512], *field = line;
        if (rows++ == 0 || sscanf(line, "%500[^\t]", name) != 1)
            continue;
        for (int column = 0; column < 6; column++)
            field = strchr(field, '\t') + 1;
        snprintf(path, sizeof(path), "%s/pcap/%s", corpus, name);
        struct fake fake;
        struct pb_error error;
        struct packets ours = {0};
        const char *fault = error.text;
        if (fake_open(&fake, PB_PORT_INPUT, path, "", &error) == 0) {
            receive(&fake, &ours, 4096, UINT32_MAX);
            fake_close(&fake);
            fault = report();
        }
        if (ours.count != strtoul(field, NULL, 10) && !is_refused(fault)) {
            printf("differs: %s: %u packets, MANIFEST.tsv has %lu\n", name, ours.count, strtoul(field, NULL, 10));
            wrong++;
        }
        forget(&ours);
    }
    fclose(table);
    CHECK_EQUAL(wrong, 0);
}

static void compare_tree(struct totals *totals, const char *path)
{
    struct dirent **names;
    int count = scandir(path, &names, NULL, alphasort);
    CHECK(count >= 0);
    for (int i = 0; i < count; i++) {
        char below[1024];
        snprintf(below, sizeof(below), "%s/%s", path, names[i]->d_name);
        struct stat status;
        if (names[i]->d_name[0] != '.' && stat(below, &status) == 0) {
            if (S_ISDIR(status.st_mode))
                compare_tree(totals, below);
            else if (S_ISREG(status.st_mode) && strstr(names[i]->d_name, ".tsv") == NULL &&
                     (have_gzip() || strstr(names[i]->d_name, ".gz") == NULL))
                compare_file(totals, below);
        }
        free(names[i]);
    }
    free(names);
}

static void test_corpus(void)
{
    const char *corpus = getenv("BRICKS_CORPUS");
    if (corpus == NULL) {
        skip("corpus against libpcap", "BRICKS_CORPUS is not set");
        return;
    }
    void *library = dlopen("libpcap.so.0.8", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        skip("corpus against libpcap", "no libpcap.so.0.8 here");
        return;
    }
    *(void **)&libpcap.open = dlsym(library, "pcap_open_offline_with_tstamp_precision");
    *(void **)&libpcap.next = dlsym(library, "pcap_next_ex");
    *(void **)&libpcap.datalink = dlsym(library, "pcap_datalink");
    *(void **)&libpcap.error = dlsym(library, "pcap_geterr");
    *(void **)&libpcap.close = dlsym(library, "pcap_close");
    char path[512];
    snprintf(path, sizeof(path), "%s/pcap", corpus);
    struct totals totals = {0};
    compare_tree(&totals, path);
    printf("corpus: %u files: %u equal (%llu packets), %u refused by both, %u deliberately different, %u unexpected\n",
           totals.files, totals.equal, (unsigned long long)totals.packets, totals.both_refuse, totals.deliberate,
           totals.unexpected);
    CHECK_EQUAL(totals.unexpected, 0);
    compare_counts(corpus);
    dlclose(library);
}

int main(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(directory, sizeof(directory), "%.40s/pcap-XXXXXX", base != NULL ? base : "/tmp");
    CHECK(mkdtemp(directory) != NULL);
    in_child(no_zlib_child);
    test_gzip(); /* loads zlib, which may keep a descriptor: before counting */
    int fds = count_fds();
    test_classic();
    test_classic_variants();
    test_ng();
    test_ng_lies();
    test_truncation();
    test_refusals();
    test_directory();
    test_loop();
    test_speed();
    test_gzip();
    test_stdin();
    test_fifo();
    test_round_trip();
    test_link_types();
    test_output_in_use();
    test_full();
    test_reader_gone();
    test_pipe_output();
    test_corpus();
    CHECK_EQUAL(count_fds(), fds);
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", directory);
    CHECK(system(command) == 0);
    printf("pcap: ok, %d skipped\n", skipped);
    return 0;
}
