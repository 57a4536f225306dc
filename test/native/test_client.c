/*
 * test_client.c - pipes for JavaScript: clients by handle, over real engines of
 * this process. Run under ASan + UBSan and under TSan as well.
 *
 * Packets are random bytes of random lengths, so that what is parsed is as hostile
 * as it gets: offsets must stay within the packet.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "packet_bricks.h"

#define WATCHDOG_S 60
#define RECORDS 300
#define LENGTH_MAX 200
#define THREADS 4
#define ROUNDS 30

static uint32_t random_next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

static int good(int status, const struct pb_error *error)
{
    if (status < 0) {
        fprintf(stderr, "%s\n", error->text);
        exit(1);
    }
    return status;
}

/* Start an engine that passes one port on to another. */
static int start(const char *name, const char *driver, const char *input, const char *input_options,
                 const char *output, const char *output_options)
{
    struct pb_error error;
    int engine = good(pb_engine_create(name, PB_BUFFER_SLOTS_MIN, -1, 64, &error), &error);
    int in = good(pb_engine_add_input(engine, driver, input, input_options, -1, &error), &error);
    int out = good(pb_engine_add_output(engine, output[0] != '\0' ? "pipe" : "null", output, output_options, &error), &error);
    int brick = good(pb_engine_add_brick(engine, "Dummy", (const uint8_t *)"", 0, 0, 1, 0, &error), &error);
    good(pb_engine_connect_input(engine, (uint32_t)in, (uint32_t)brick, &error), &error);
    good(pb_engine_connect_output(engine, (uint32_t)brick, 0, (uint32_t)out, &error), &error);
    good(pb_engine_start(engine, &error), &error);
    return engine;
}

static void end(int engine)
{
    struct pb_error error;
    good(pb_engine_stop(engine, &error), &error);
    good(pb_engine_delete(engine, &error), &error);
}

static int open_client(const char *name, uint32_t direction)
{
    struct pb_error error;
    return good(pb_client_open(name, direction, &error), &error);
}

static void sleep_on(int client)
{
    if (pb_client_arm(client) == 0)
        poll(&(struct pollfd){.fd = pb_client_fd(client), .events = POLLIN}, 1, -1);
}

/* Read at least one record. */
static int read_some(int client, struct pb_client_record *index, uint32_t max)
{
    int count;
    while ((count = pb_client_read(client, (uint8_t *)index, max)) == 0)
        sleep_on(client);
    CHECK(count > 0);
    return count;
}

/* --------------------------------------------------------------- handles */

static void check_refused(int client)
{
    struct pb_client_record record;
    uint64_t counts[2];
    CHECK_EQUAL(pb_client_close(client), -EBADF);
    CHECK_EQUAL(pb_client_own(client), -EBADF);
    CHECK(pb_client_memory(client) == NULL);
    CHECK_EQUAL(pb_client_memory_bytes(client), -EBADF);
    CHECK_EQUAL(pb_client_read(client, (uint8_t *)&record, 1), -EBADF);
    CHECK_EQUAL(pb_client_release(client), -EBADF);
    CHECK_EQUAL(pb_client_send(client, 0, (uint8_t *)&record, 1, NULL, 0), -EBADF);
    CHECK_EQUAL(pb_client_decline(client, 1), -EBADF);
    CHECK_EQUAL(pb_client_set_link_type(client, 1), -EBADF);
    CHECK_EQUAL(pb_client_backlog(client), -EBADF);
    CHECK_EQUAL(pb_client_fd(client), -EBADF);
    CHECK_EQUAL(pb_client_arm(client), -EBADF);
    CHECK_EQUAL(pb_client_link_type(client), -EBADF);
    CHECK_EQUAL(pb_client_counts(client, (uint8_t *)counts), -EBADF);
}

static void test_handles(void)
{
    int engine = start("handles", "null", "", "frames=60", "handles}0", "wait=1");
    struct pb_error error;
    for (int i = 0; i < 3; i++) {
        int client = open_client("handles}0", PB_PIPE_TO_APPLICATION);
        CHECK_EQUAL(pb_client_send(client, 0, NULL, 0, NULL, 0), -EBADF); /* it reads */
        CHECK_EQUAL(pb_client_backlog(client), -EBADF);
        _Alignas(8) uint8_t index[2 * sizeof(struct pb_client_record)];
        CHECK_EQUAL(pb_client_read(client, index + 4, 1), -EINVAL);
        CHECK_EQUAL(pb_client_read(client, index, UINT32_MAX), -EINVAL);
        CHECK_EQUAL(pb_client_open("handles}0", PB_PIPE_TO_APPLICATION, &error), -EBUSY);
        CHECK_EQUAL(pb_client_open("handles}0", PB_PIPE_FROM_APPLICATION, &error), -EOPNOTSUPP);
        CHECK_EQUAL(pb_client_open("handles}0", 7, &error), -EINVAL);
        CHECK_EQUAL(pb_client_open("nowhere}0", PB_PIPE_TO_APPLICATION, &error), -ENOENT);
        CHECK_EQUAL(pb_client_close(client), 0);
        check_refused(client);
    }
    const int others[] = {0, -1, 1, INT_MAX, INT_MIN, PB_CLIENTS_MAX + 1, 511, 512};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        check_refused(others[i]);
    end(engine);
}

/* ---------------------------------------------------------------- reading */

/* The generator's frames: null.c says how they look. */
static void test_headers(void)
{
    int engine = start("headers", "null", "", "frames=60&flows=100", "headers}0", "wait=1");
    int client = open_client("headers}0", PB_PIPE_TO_APPLICATION);
    const uint8_t *memory = pb_client_memory(client);
    struct pb_client_record index[RECORDS];
    uint32_t seen = 0, first_hash = 0;
    for (uint32_t packets = 0; packets < 20000;) {
        int count = read_some(client, index, RECORDS);
        for (int i = 0; i < count; i++, packets++) {
            const struct pb_client_record *record = &index[i];
            CHECK_EQUAL(record->captured_len, 60);
            CHECK_EQUAL(record->wire_len, 60);
            CHECK_EQUAL(record->ip_version, 4);
            CHECK_EQUAL(record->ip_protocol, 17);
            CHECK_EQUAL(record->l3_offset, 14);
            CHECK_EQUAL(record->l4_offset, 34);
            CHECK_EQUAL(record->mark, 0);
            CHECK_EQUAL(record->from_bytes, 0);
            CHECK((int64_t)record->offset + 60 <= pb_client_memory_bytes(client));
            CHECK_EQUAL(memory[record->offset + 29], packets % 100); /* 10.0.0.FLOW */
            if (packets == 0)
                first_hash = record->flow_hash;
            seen += packets % 100 == 0 && record->flow_hash == first_hash;
        }
        CHECK_EQUAL(pb_client_link_type(client), 1);
        CHECK_EQUAL(pb_client_release(client), 0);
    }
    CHECK(seen >= 200);
    CHECK_EQUAL(pb_client_close(client), 0);
    end(engine);
}

/* What was lent stays readable, and is lent again. */
static void test_memory(void)
{
    const char *names[] = {"memory}0", "memory}1", "memory}2"};
    int engines[] = {start("memory0", "null", "", "frames=60", names[0], "wait=1"),
                     start("memory1", "null", "", "frames=60", names[1], "wait=1"),
                     start("memory2", "null", "", "frames=60", names[2], "wait=1&slots=256")};
    const uint8_t *memory[3], *before[3] = {NULL};
    int64_t bytes[3];
    for (int round = 0; round < ROUNDS; round++) {
        int clients[3];
        struct pb_client_record record;
        for (int i = 0; i < 3; i++) {
            clients[i] = open_client(names[i], PB_PIPE_TO_APPLICATION);
            memory[i] = pb_client_memory(clients[i]);
            bytes[i] = pb_client_memory_bytes(clients[i]);
            read_some(clients[i], &record, 1);
            CHECK_EQUAL(memory[i][record.offset + 12], 0x08);
        }
        CHECK(memory[0] != memory[1] && bytes[0] == bytes[1] && bytes[2] > bytes[0]);
        for (int i = 0; i < 3 && round > 0; i++) /* of the same size they may change places */
            CHECK(memory[i] == before[i] || (i < 2 && memory[i] == before[1 - i]));
        memcpy(before, memory, sizeof(before));
        for (int i = 0; i < 3; i++) {
            CHECK_EQUAL(pb_client_close(clients[i]), 0);
            for (int64_t at = 0; at < bytes[i]; at += 1024)
                CHECK_EQUAL(memory[i][at], 0);
            CHECK_EQUAL(memory[i][bytes[i] - 1], 0);
        }
    }
    for (int i = 0; i < 3; i++)
        end(engines[i]);
}

/* ---------------------------------------------------------------- writing */

static uint8_t bytes[RECORDS * LENGTH_MAX];

/* An index of random packets, side by side in `bytes`. */
static uint32_t make_packets(struct pb_client_record *index, uint64_t *state)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < RECORDS; i++) {
        uint32_t length = random_next(state) % LENGTH_MAX;
        index[i] = (struct pb_client_record){.offset = at,
                                             .captured_len = length,
                                             .wire_len = length + i,
                                             .timestamp_ns = 1 + i,
                                             .from_bytes = 1};
        for (uint32_t k = 0; k < length; k++)
            bytes[at + k] = (uint8_t)random_next(state);
        if (length > 20 && i % 2 == 0) /* some that look like IP for longer */
            memcpy(bytes + at + 12, i % 4 == 0 ? "\x08\x00\x4f\x00" : "\x86\xdd\x60\x00", 4);
        at += length;
    }
    return at;
}

static void check_packet(const struct pb_client_record *got, const struct pb_client_record *sent, const uint8_t *memory)
{
    CHECK_EQUAL(got->captured_len, sent->captured_len);
    CHECK_EQUAL(got->wire_len, sent->wire_len);
    CHECK_EQUAL(got->timestamp_ns, sent->timestamp_ns);
    CHECK(memcmp(memory + got->offset, bytes + sent->offset, sent->captured_len) == 0);
    CHECK(got->ip_version == 0 || got->l3_offset + 20u <= got->captured_len);
    CHECK(got->l4_offset == 0 || (got->l4_offset > got->l3_offset && got->l4_offset + 4 <= got->captured_len));
}

/* Random packets into one engine, out of it, by batches into another, and out of that. */
static void test_random_packets(void)
{
    int engines[] = {start("first", "inject", "first}0", "", "between}0", "wait=1"),
                     start("second", "inject", "second}0", "", "last}0", "wait=1")};
    int writer = open_client("first}0", PB_PIPE_FROM_APPLICATION), between = open_client("between}0", PB_PIPE_TO_APPLICATION);
    int forwarder = open_client("second}0", PB_PIPE_FROM_APPLICATION), reader = open_client("last}0", PB_PIPE_TO_APPLICATION);
    CHECK(pb_client_memory(writer) == NULL);
    struct pb_client_record sent[RECORDS], index[RECORDS];
    uint64_t state = 1;
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t length = make_packets(sent, &state);
        uint32_t written = 0, forwarded = 0, arrived = 0;
        while (arrived < RECORDS) {
            if (written < RECORDS) {
                int n = pb_client_send(writer, 0, (const uint8_t *)(sent + written), RECORDS - written, bytes, length);
                CHECK(n >= 0);
                written += (uint32_t)n;
            }
            int count = forwarded < RECORDS ? pb_client_read(between, (uint8_t *)index, RECORDS) : 0;
            for (int done = 0; done < count;) {
                int n = pb_client_send(forwarder, between, (const uint8_t *)(index + done), (uint32_t)(count - done), NULL, 0);
                CHECK(n >= 0);
                done += n;
            }
            pb_client_release(between);
            forwarded += (uint32_t)count;
            count = pb_client_read(reader, (uint8_t *)index, RECORDS);
            for (int i = 0; i < count; i++)
                check_packet(&index[i], &sent[arrived++], pb_client_memory(reader));
            pb_client_release(reader);
            if (count == 0)
                usleep(100);
        }
    }
    const int clients[] = {writer, between, forwarder, reader};
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(pb_client_close(clients[i]), 0);
    for (int i = 0; i < 2; i++)
        end(engines[i]);
}

static void test_send_refuses(void)
{
    int engine = start("refuses", "inject", "refuses}0", "", "", "");
    int writer = open_client("refuses}0", PB_PIPE_FROM_APPLICATION);
    while (pb_client_arm(writer) == 0)
        sleep_on(writer);
    struct pb_client_record index[4];
    for (int i = 0; i < 4; i++)
        index[i] = (struct pb_client_record){.captured_len = 60, .wire_len = 60, .from_bytes = 1};
    const uint8_t *at = (const uint8_t *)index;
    CHECK_EQUAL(pb_client_send(writer, 0, at, 4, bytes, 59), -EINVAL);
    CHECK_EQUAL(pb_client_send(writer, 0, at + 4, 1, bytes, 60), -EINVAL); /* not aligned */
    CHECK_EQUAL(pb_client_send(writer, 12345, at, 1, bytes, 60), -EBADF);
    CHECK_EQUAL(pb_client_send(writer, writer, at, 1, bytes, 60), -EBADF); /* not a reader */
    CHECK_EQUAL(pb_client_send(writer, 0, at, 4, bytes, 60), 4);
    index[2].offset = UINT32_MAX; /* with the length beyond 32 bits */
    CHECK_EQUAL(pb_client_send(writer, 0, at, 4, bytes, 60), 2);
    CHECK_EQUAL(pb_client_send(writer, 0, at + 2 * sizeof(index[0]), 2, bytes, 60), -EINVAL);
    index[2].offset = 0;
    index[2].from_bytes = 0; /* there is no reader */
    CHECK_EQUAL(pb_client_send(writer, 0, at, 4, bytes, 60), 2);
    index[2].from_bytes = 1;
    index[1].mark = index[3].mark = PB_MARK_DECLINE;
    index[1].offset = UINT32_MAX; /* of no meaning: it is not sent */
    CHECK_EQUAL(pb_client_send(writer, 0, at, 4, bytes, 60), 4);
    index[0].mark = PB_MARK_MAX + 2;
    CHECK_EQUAL(pb_client_send(writer, 0, at, 4, bytes, 60), -EINVAL);
    CHECK_EQUAL(pb_client_send(writer, 0, at + sizeof(index[0]), 1, bytes, 60), 1);
    CHECK_EQUAL(pb_client_decline(writer, 5), 0);
    CHECK_EQUAL(pb_client_set_link_type(writer, 101), -EINVAL); /* too late */
    while (pb_client_backlog(writer) > 0)
        usleep(100);
    struct pb_pipe_status status;
    struct pb_error error;
    good(pb_pipe_status("refuses}0", &status, &error), &error);
    CHECK_EQUAL(status.packets, 4 + 2 + 2 + 2);
    CHECK_EQUAL(pb_client_close(writer), 0);
    end(engine);
}

/* ---------------------------------------------------------------- threads */

static void *open_and_read(void *arg)
{
    char name[32];
    snprintf(name, sizeof(name), "threads}%d", *(int *)arg);
    struct pb_client_record index[8];
    for (int i = 0; i < ROUNDS; i++) {
        int client = open_client(name, PB_PIPE_TO_APPLICATION);
        CHECK_EQUAL(pb_client_own(client), 0);
        read_some(client, index, 8);
        if (i < ROUNDS - 1)
            CHECK_EQUAL(pb_client_close(client), 0);
        else
            *(int *)arg = client; /* the thread's end closes it */
    }
    return NULL;
}

static void test_threads(void)
{
    pthread_t threads[THREADS];
    int engines[THREADS], arguments[THREADS];
    for (int i = 0; i < THREADS; i++) {
        char name[32];
        arguments[i] = i;
        snprintf(name, sizeof(name), "threads}%d", i);
        engines[i] = start(name, "null", "", "frames=60", name, "wait=1");
    }
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, open_and_read, &arguments[i]) == 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        check_refused(arguments[i]);
        end(engines[i]);
    }
}

static char directory[] = "/tmp/bricks-test-client-XXXXXX";

static void remove_directory(void)
{
    char command[64];
    snprintf(command, sizeof(command), "rm -rf %s", directory);
    if (system(command) != 0)
        fprintf(stderr, "%s stays\n", directory);
}

int main(void)
{
    alarm(WATCHDOG_S);
    CHECK(mkdtemp(directory) != NULL);
    atexit(remove_directory); /* also where a CHECK fails */
    setenv("BRICKS_RUNTIME_DIR", directory, 1);
    test_handles();
    test_headers();
    test_memory();
    test_random_packets();
    test_send_refuses();
    test_threads();
    puts("ok");
    return 0;
}
