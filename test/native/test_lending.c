/*
 * test_lending.c - pipes that lend what the generator makes or a capture holds, uncopied:
 * what the reader sees is what was sent, whether it keeps up, holds what it has,
 * sleeps or not; what it does not ask for it does not get; nobody can write to what
 * is lent; and it stays as it was when the engine stops. Readers and engines are in
 * this process.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "accounts.h"
#include "holdings.h"
#include "pipe/loans.h"
#include "pipe/reader.h"

#define WATCHDOG_S 120
#define FLOWS 5000
#define HELD 1500 /* packets: more than may be lent at once, fewer than the ring of 64 slots has records */

static struct pb_error error;
static char directory[] = "/tmp/test_lending_XXXXXX"; /* of this test's pipes and files */
static char capture[64];

static void must(int status)
{
    if (status >= 0)
        return;
    fprintf(stderr, "%s\n", error.text);
    exit(1);
}

/* Generators, Merge, the pipe lend}0. */
static int make_engine(const char *const *generators, uint32_t count, const char *pipe_options)
{
    int engine = pb_engine_create("lend", 64, -1, 64, &error);
    must(engine);
    must(pb_engine_add_brick(engine, "Merge", NULL, 0, 0, 1, 0, &error));
    for (uint32_t i = 0; i < count; i++) {
        must(pb_engine_add_input(engine, "null", "", generators[i], -1, &error));
        must(pb_engine_connect_input(engine, i, 0, &error));
    }
    must(pb_engine_add_output(engine, "pipe", "lend}0", pipe_options, &error));
    must(pb_engine_connect_output(engine, 0, 0, 0, &error));
    return engine;
}

static int start_engine(const char *generator, const char *pipe_options)
{
    int engine = make_engine(&generator, 1, pipe_options);
    must(pb_engine_start(engine, &error));
    return engine;
}

static void end_engine(int engine)
{
    must(pb_engine_stop(engine, &error));
    check_accounts(engine);
    must(pb_engine_delete(engine, &error));
}

static uint64_t output_counter(int engine, const char *name)
{
    const struct pb_port *port = &pb_engine_find(engine)->outputs[0]->port;
    for (uint32_t i = 0; i < port->driver->counters_count; i++)
        if (strcmp(port->driver->counters[i].name, name) == 0)
            return pb_counter_get(&port->counters[PB_PORT_COUNTERS + i]);
    fprintf(stderr, "no counter %s\n", name);
    exit(1);
}

static uint64_t sent(int engine)
{
    return pb_counter_get(&pb_engine_find(engine)->outputs[0]->port.counters[PB_PORT_TX_PACKETS]);
}

/* A frame of the generator's: its flow. */
static uint32_t flow_of(const struct pb_pipe_record *record)
{
    const uint8_t *ip = record->data + 14;
    uint32_t sum = 0;
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)ip[i] << 8 | ip[i + 1];
    CHECK_EQUAL((sum & 0xffff) + (sum >> 16), 0xffff);
    CHECK_EQUAL(record->captured_len, record->wire_len);
    CHECK_EQUAL((uint32_t)ip[2] << 8 | ip[3], record->captured_len - 14);
    for (uint32_t i = 42; i < record->captured_len; i++)
        CHECK_EQUAL(record->data[i], 0);
    return (uint32_t)ip[13] << 16 | (uint32_t)ip[14] << 8 | ip[15];
}

static void check_in_turn(const struct pb_pipe_record *records, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        CHECK_EQUAL(flow_of(&records[i]), (flow_of(&records[i - 1]) + 1) % FLOWS);
}

/* Read until there are `wanted`, and give nothing back. */
static void read_and_hold(struct pb_pipe_reader *reader, struct pb_pipe_record *records, uint32_t wanted, bool sleeps)
{
    for (uint32_t held = 0; held < wanted;) {
        int count = pb_pipe_read(reader, records + held, wanted - held);
        must(count);
        held += (uint32_t)count;
        if (count == 0 && sleeps)
            CHECK_EQUAL(pb_pipe_wait(reader, -1), 1);
    }
}

/* Reads to the end of the stream; returns the packets. */
static uint64_t read_all(struct pb_pipe_reader *reader)
{
    struct pb_pipe_record records[48];
    uint32_t next = 0;
    uint64_t packets = 0;
    int count;
    while ((count = pb_pipe_read(reader, records, 48)) >= 0) {
        check_in_turn(records, (uint32_t)count);
        if (count > 0 && packets > 0)
            CHECK_EQUAL(flow_of(&records[0]), next);
        if (count > 0)
            next = (flow_of(&records[count - 1]) + 1) % FLOWS;
        packets += (uint64_t)count;
        pb_pipe_release(reader);
        if (count == 0)
            CHECK_EQUAL(pb_pipe_wait(reader, -1), 1);
    }
    CHECK_EQUAL(count, -EPIPE);
    return packets;
}

/* A descriptor of a region, -1: there is none. */
static int find_region(void)
{
    DIR *descriptors = opendir("/proc/self/fd");
    int found = -1;
    for (struct dirent *entry; found < 0 && (entry = readdir(descriptors)) != NULL;) {
        char target[64] = "";
        if (readlinkat(dirfd(descriptors), entry->d_name, target, sizeof(target) - 1) > 0 &&
            strncmp(target, "/memfd:bricks-region", 20) == 0)
            found = atoi(entry->d_name);
    }
    closedir(descriptors);
    return found;
}

/* ------------------------------------------------------------------- tests */

/* More than the region holds, a hundred times over. */
static void test_keeps_up(void)
{
    struct pb_pipe_reader *reader;
    int engine = start_engine("frames=300&packets=200000&flows=5000", "lend=1&wait=1");
    must(pb_pipe_open("lend}0", &reader, &error));
    struct pb_pipe_record records[64];
    uint64_t packets = 0;
    while (packets < 200000) {
        int count = pb_pipe_read(reader, records, 64);
        must(count);
        check_in_turn(records, (uint32_t)count);
        packets += (uint64_t)count;
        pb_pipe_release(reader);
        if (count == 0)
            CHECK_EQUAL(pb_pipe_wait(reader, -1), 1);
    }
    CHECK_EQUAL(sent(engine), 200000);
    CHECK(output_counter(engine, "lent") > 0);
    pb_pipe_close(reader);
    end_engine(engine);
}

/* A reader that gives nothing back gets what the ring has room for, and all of it
 * stays as it is: what cannot be lent is copied. */
static void hold(const char *generator, bool sleeps)
{
    static struct pb_pipe_record records[HELD];
    struct pb_pipe_reader *reader;
    int engine = start_engine(generator, "lend=1&wait=1");
    must(pb_pipe_open("lend}0", &reader, &error));
    read_and_hold(reader, records, HELD, sleeps);
    CHECK(output_counter(engine, "lent") > 0);
    CHECK(output_counter(engine, "lent") <= HELD);
    CHECK(sent(engine) > output_counter(engine, "lent"));
    usleep(20000); /* the source that cannot pause goes on */
    check_in_turn(records, HELD);
    pb_pipe_release(reader);
    uint64_t lent = output_counter(engine, "lent");
    while (output_counter(engine, "lent") == lent) { /* and then it is lent to again */
        read_and_hold(reader, records, 1, sleeps);
        pb_pipe_release(reader);
    }
    pb_pipe_close(reader);
    end_engine(engine);
}

static void test_holds_and_sleeps(void)
{
    hold("flows=5000", true);
}

static void test_holds_and_spins(void)
{
    hold("flows=5000", false);
}

static void test_holds_of_a_live_source(void)
{
    hold("flows=5000&pausable=0", true);
}

/* The region of each generator is told apart. */
static void test_two_regions(void)
{
    static const char *const generators[] = {"frames=60&flows=5000", "frames=200&flows=5000"};
    struct pb_pipe_reader *reader;
    struct pb_pipe_record records[64], last[2] = {{0}};
    uint8_t bytes[2][200];
    int engine = make_engine(generators, 2, "lend=1&wait=1");
    must(pb_engine_start(engine, &error));
    must(pb_pipe_open("lend}0", &reader, &error));
    for (uint32_t seen[2] = {0, 0}; seen[0] < 5000 || seen[1] < 5000;) {
        int count = pb_pipe_read(reader, records, 64);
        must(count);
        for (int i = 0; i < count; i++) {
            uint32_t of = records[i].captured_len == 200;
            CHECK_EQUAL(records[i].captured_len, of ? 200 : 60);
            if (seen[of]++ > 0)
                CHECK_EQUAL(flow_of(&records[i]), (flow_of(&last[of]) + 1) % FLOWS);
            last[of] = records[i];
            last[of].data = memcpy(bytes[of], records[i].data, records[i].captured_len);
        }
        pb_pipe_release(reader);
        if (count == 0)
            CHECK_EQUAL(pb_pipe_wait(reader, -1), 1);
    }
    CHECK(output_counter(engine, "lent") > 0);
    pb_pipe_close(reader);
    end_engine(engine);
}

/* A capture of many buffers' length, its packets numbered. */
#define CAPTURED 20000

static uint32_t captured_length(uint32_t number)
{
    return 60 + number * 7919 % 2000;
}

static void write_capture(const char *path)
{
    const uint32_t file_header[] = {0xa1b2c3d4, 4u << 16 | 2, 0, 0, 65535, 1};
    uint8_t bytes[2060];
    FILE *file = fopen(path, "w");
    CHECK(file != NULL && fwrite(file_header, sizeof(file_header), 1, file) == 1);
    for (uint32_t number = 0; number < CAPTURED; number++) {
        uint32_t length = captured_length(number), header[] = {number, 0, length, length};
        memset(bytes, (int)(number % 251), length);
        memcpy(bytes, &number, sizeof(number));
        CHECK(fwrite(header, sizeof(header), 1, file) == 1 && fwrite(bytes, length, 1, file) == 1);
    }
    CHECK_EQUAL(fclose(file), 0);
}

static void check_captured(const struct pb_pipe_record *record, uint32_t expected)
{
    uint32_t number;
    memcpy(&number, record->data, sizeof(number));
    CHECK_EQUAL(number, expected);
    CHECK_EQUAL(record->captured_len, captured_length(expected));
    for (uint32_t i = sizeof(number); i < record->captured_len; i++)
        CHECK_EQUAL(record->data[i], expected % 251);
}

/* Its packets are lent where they were read to, while the reader holds many of them and
 * the engine reads on; twice, as the file is read again. */
static void test_capture(void)
{
    enum { HOLDS = 700 };
    static struct pb_pipe_record records[HOLDS];
    struct pb_pipe_reader *reader;
    int engine = pb_engine_create("lend", 4096, -1, 64, &error);
    snprintf(capture, sizeof(capture), "%s/capture.pcap", directory);
    write_capture(capture);
    must(engine);
    must(pb_engine_add_brick(engine, "Dummy", NULL, 0, 0, 1, 0, &error));
    must(pb_engine_add_input(engine, "pcap", capture, "loop=2", -1, &error));
    must(pb_engine_connect_input(engine, 0, 0, &error));
    must(pb_engine_add_output(engine, "pipe", "lend}0", "lend=1&wait=1", &error));
    must(pb_engine_connect_output(engine, 0, 0, 0, &error));
    must(pb_engine_start(engine, &error));
    must(pb_pipe_open("lend}0", &reader, &error));
    for (uint32_t packets = 0; packets < 2 * CAPTURED;) {
        uint32_t wanted = 2 * CAPTURED - packets < HOLDS ? 2 * CAPTURED - packets : HOLDS;
        read_and_hold(reader, records, wanted, true);
        for (uint32_t i = 0; i < wanted; i++)
            check_captured(&records[i], (packets + i) % CAPTURED);
        packets += wanted;
        pb_pipe_release(reader);
    }
    CHECK(output_counter(engine, "lent") > CAPTURED);
    pb_pipe_close(reader);
    end_engine(engine);
    unlink(capture);
}

/* A reader that does not understand lent packets gets copies of all. */
static void test_not_asked_for(void)
{
    static struct pb_pipe_record records[HELD];
    struct pb_pipe_reader *reader;
    int engine = start_engine("flows=5000", "lend=1&wait=1");
    must(pb_reader_open("lend}0", false, &reader, &error));
    read_and_hold(reader, records, HELD, true);
    check_in_turn(records, HELD);
    CHECK_EQUAL(output_counter(engine, "lent"), 0);
    pb_pipe_close(reader);
    end_engine(engine);
}

/* By default nothing is lent, and there is nothing to be lent. */
static void test_off_by_default(void)
{
    static struct pb_pipe_record records[HELD];
    struct pb_pipe_reader *reader;
    int engine = start_engine("flows=5000", "wait=1");
    must(pb_pipe_open("lend}0", &reader, &error));
    read_and_hold(reader, records, HELD, true);
    CHECK_EQUAL(output_counter(engine, "lent"), 0);
    CHECK_EQUAL(find_region(), -1);
    pb_pipe_close(reader);
    end_engine(engine);
}

/* What was sent before the engine stopped is read on, also while its next run fills
 * its frames; the stream ends behind it. */
static void test_engine_stops(void)
{
    struct pb_pipe_reader *reader, *next;
    int engine = start_engine("flows=5000&pausable=0", "lend=1&wait=1");
    must(pb_pipe_open("lend}0", &reader, &error));
    while (output_counter(engine, "pipe_full") == 0)
        usleep(100);
    must(pb_engine_stop(engine, &error));
    uint64_t all = sent(engine);
    CHECK(output_counter(engine, "lent") > 0);
    must(pb_engine_start(engine, &error));
    must(pb_pipe_open("lend}0", &next, &error));
    while (sent(engine) < all + HELD) {
        struct pb_pipe_record record;
        must(pb_pipe_read(next, &record, 1));
        pb_pipe_release(next);
    }
    CHECK_EQUAL(read_all(reader), all);
    pb_pipe_close(reader);
    pb_pipe_close(next);
    end_engine(engine);
}

/* With the very descriptor that a reader is handed nobody can write. */
static void test_sealed(void)
{
    int engine = start_engine("flows=5000", "lend=1"), region = find_region();
    char path[32];
    CHECK(region >= 0);
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, region, 0) == MAP_FAILED && errno == EPERM);
    CHECK(pwrite(region, "", 1, 0) == -1 && errno == EPERM);
    CHECK(ftruncate(region, 0) == -1 && errno == EPERM);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", region);
    int again = open(path, O_RDWR | O_CLOEXEC);
    CHECK(again >= 0 && pwrite(again, "", 1, 0) == -1 && errno == EPERM);
    close(again);
    end_engine(engine);
}

/* Where others hold nearly all of a region, an output looks what its reader has given back before it
 * does without another block: else one loan would keep it from the next until the engine's next tick. */
static void test_crowded_region(void)
{
    enum { BLOCKS = 16 };
    struct pb_region *region;
    struct pb_loans loans = {0}, others[BLOCKS];
    memset(others, 0, sizeof(others));
    must(pb_region_open(&region, &(struct pb_port){.role = PB_PORT_INPUT}, BLOCKS, 4096, &error));
    CHECK(pb_loans_take(&loans, &(struct pb_loan){.region = region, .block = 0, .end = 64}));
    CHECK(!pb_loans_are_many(&loans, region));
    uint32_t block = 1;
    while (pb_loans_take(&others[block], &(struct pb_loan){.region = region, .block = block}))
        block++;
    struct pb_loan next = {.region = region, .block = block, .end = 64};
    CHECK(!pb_loans_take(&loans, &next) && pb_loans_are_many(&loans, region));
    pb_loans_return(&loans, 64);
    CHECK(pb_loans_take(&loans, &next));
    pb_region_close(region);
}

/* An input that, when it is closed, asks for the pipe lend}0. */
static int asked;

static int curious_open(struct pb_port *port, struct pb_error *fault)
{
    (void)port;
    (void)fault;
    return 0;
}

static uint32_t curious_rx_batch(struct pb_port *port, struct pb_packet *packets, uint32_t packets_max)
{
    (void)port;
    (void)packets;
    (void)packets_max;
    return 0;
}

static bool curious_wait(struct pb_port *port, struct pb_wait *wait)
{
    (void)port;
    (void)wait;
    return true;
}

static void curious_close(struct pb_port *port)
{
    (void)port;
    struct pb_pipe_reader *reader;
    struct pb_error fault;
    asked = pb_pipe_open("lend}0", &reader, &fault);
    pb_pipe_close(reader);
}

static const struct pb_port_operations curious_operations = {
    .open = curious_open,
    .rx_batch = curious_rx_batch,
    .wait = curious_wait,
    .close = curious_close,
};

static const struct pb_port_driver curious_driver = {
    .name = "curious",
    .text = "asks for a pipe when it is closed",
    .input = true,
    .operations = &curious_operations,
};
PB_PORT_DRIVER(curious_driver);

/* Nobody is handed regions that are closed: their descriptors' numbers may be other files' by then. */
static void test_no_closed_regions(void)
{
    const char *generator = "flows=5000&pausable=0";
    int engine = make_engine(&generator, 1, "lend=1");
    must(pb_engine_add_input(engine, "curious", "", "", -1, &error));
    must(pb_engine_connect_input(engine, 1, 0, &error));
    must(pb_engine_start(engine, &error));
    end_engine(engine);
    CHECK_EQUAL(asked, -ENOENT);
}

/* A start that fails when the pipe is open already leaves nothing. */
static void test_failed_start(void)
{
    const char *generator = "ip=5";
    int engine = make_engine(&generator, 1, "lend=1");
    CHECK_EQUAL(pb_engine_start(engine, &error), -EINVAL);
    must(pb_engine_delete(engine, &error));
}

/* ------------------------------------------------------------------- main */

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
    {"keeps_up", test_keeps_up},
    {"holds_and_sleeps", test_holds_and_sleeps},
    {"holds_and_spins", test_holds_and_spins},
    {"holds_of_a_live_source", test_holds_of_a_live_source},
    {"two_regions", test_two_regions},
    {"capture", test_capture},
    {"not_asked_for", test_not_asked_for},
    {"off_by_default", test_off_by_default},
    {"engine_stops", test_engine_stops},
    {"sealed", test_sealed},
    {"crowded_region", test_crowded_region},
    {"no_closed_regions", test_no_closed_regions},
    {"failed_start", test_failed_start},
};

static void remove_directory(void)
{
    char path[64];
    snprintf(path, sizeof(path), "%s/pipes", directory);
    DIR *pipes = opendir(path); /* also when a check has failed: then the pipe is still there */
    for (struct dirent *entry; pipes != NULL && (entry = readdir(pipes)) != NULL;)
        unlinkat(dirfd(pipes), entry->d_name, 0);
    if (pipes != NULL)
        closedir(pipes);
    rmdir(path);
    unlink(capture);
    rmdir(directory);
}

/* test_lending [NAME]: all tests, or one. */
int main(int argc, char **argv)
{
    CHECK(mkdtemp(directory) != NULL && atexit(remove_directory) == 0);
    setenv("BRICKS_RUNTIME_DIR", directory, 1);
    uint32_t descriptors = count_entries("/proc/self/fd");
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        if (argc > 1 && strcmp(argv[1], tests[i].name) != 0)
            continue;
        alarm(WATCHDOG_S);
        tests[i].run();
        printf("lending: %s\n", tests[i].name);
        fflush(stdout);
        CHECK_EQUAL(count_entries("/proc/self/fd"), descriptors);
    }
    return 0;
}
