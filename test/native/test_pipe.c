/*
 * test_pipe.c - the pipe: driver, attach server, reader library.
 *
 * A small fake of an engine drives the driver's table as the loop would. Readers
 * are threads, or processes: this program started again ("test_pipe --role ..."),
 * so that they inherit nothing. Nothing asserts time; a test that hangs is ended
 * by its watchdog.
 *
 * Sanitizers: all of it runs under ASan + UBSan and under TSan. TSan compares
 * addresses, and a reader in this process has mappings of its own: it does not
 * see both sides of a ring that is mapped twice. So test_protocol() runs the
 * words and the records of the protocol with both sides on one mapping; there
 * TSan sees every access. In the other tests it watches engine thread, control
 * thread and attach server, which do share addresses.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "offer.h"
#include "holdings.h"
#include "pipe/directory.h"
#include "pipe/pipe.h"
#include "pipe/protocol.h"
#include "ports/port.h"

#define WATCHDOG_S 60
#ifdef __SANITIZE_THREAD__
#define SLOWER 10 /* fewer rounds: the watchdog is for hangs */
#else
#define SLOWER 1
#endif
#define BATCH_MAX 64
#define PAYLOAD_BYTES (1u << 18)
#define LONG_BYTES 200000

static uint8_t payload[PAYLOAD_BYTES];

static uint32_t random_next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

static uint32_t mixed(uint64_t number)
{
    uint64_t state = number * 0x9e3779b97f4a7c15u;
    random_next(&state);
    return random_next(&state);
}

static void make_payload(void)
{
    uint64_t state = 1;
    for (uint32_t i = 0; i < PAYLOAD_BYTES; i++)
        payload[i] = (uint8_t)random_next(&state);
}

/* Packet `number` of a stream of lengths 0..length_max: all that a reader has to
 * know to check it. */
static uint32_t packet_length(uint64_t number, uint32_t length_max)
{
    uint32_t choice = mixed(number);
    return choice % 4 == 0 ? choice / 4 % (length_max + 1) : choice / 4 % ((length_max < 160 ? length_max : 160) + 1);
}

static const uint8_t *packet_data(uint64_t number)
{
    return payload + mixed(number + 1000003) % (PAYLOAD_BYTES - 65536);
}

/* ------------------------------------------------------- the fake engine */

struct engine {
    struct pb_port port;
    uint32_t output_changes;
    pb_counter counters[64];
    uint64_t offered; /* also the number of the next packet */
    uint32_t length_max;
};

enum { ATTACHES, FAULTS, RING_BYTES, USED_BYTES, USED_BYTES_MAX, READER_PID, NO_READER, FULL, TOO_LONG, LINK_TYPE, UNREAD };

static uint64_t counter(const struct engine *engine, uint32_t place)
{
    return pb_counter_get(&engine->counters[PB_PORT_COUNTERS + place]);
}

static uint64_t sent(const struct engine *engine)
{
    return pb_counter_get(&engine->counters[PB_PORT_TX_PACKETS]);
}

static uint64_t drops(const struct engine *engine)
{
    return counter(engine, NO_READER) + counter(engine, FULL) + counter(engine, TOO_LONG) + counter(engine, LINK_TYPE);
}

static int engine_try_open(struct engine *engine, const char *name, const char *options, struct pb_error *error)
{
    memset(engine, 0, sizeof(*engine));
    engine->length_max = 65535;
    engine->port = (struct pb_port){
        .driver = pb_port_driver_find("pipe"),
        .role = PB_PORT_OUTPUT,
        .name = (char *)(uintptr_t)name,
        .options = (char *)(uintptr_t)options,
        .queue_id = -1,
        .buffer_slots = PB_BUFFER_SLOTS_MIN,
        .batch_packets = BATCH_MAX,
        .engine_name = "test",
        .engine_handle = 7,
        .engine_wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        .counters = engine->counters,
        .output_changes = &engine->output_changes,
    };
    CHECK(engine->port.driver != NULL);
    pb_port_label(&engine->port, "pipe", name);
    engine->port.operations = engine->port.driver->operations;
    int result = engine->port.operations->open(&engine->port, error);
    if (result < 0)
        close(engine->port.engine_wake_fd);
    return result;
}

static void engine_open(struct engine *engine, const char *name, const char *options)
{
    struct pb_error error;
    if (engine_try_open(engine, name, options, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
}

static void engine_close(struct engine *engine)
{
    CHECK_EQUAL(sent(engine) + drops(engine), engine->offered);
    engine->port.operations->close(&engine->port);
    close(engine->port.engine_wake_fd);
}

static void engine_attend(struct engine *engine)
{
    if (atomic_exchange(&engine->port.attention, false))
        engine->port.operations->attend(&engine->port);
}

/* Sleep as the loop would: on the wake-up descriptor, and on the port's. */
static void engine_sleep(struct engine *engine, int fd, short events)
{
    struct pollfd sources[] = {{engine->port.engine_wake_fd, POLLIN, 0}, {fd, events, 0}};
    poll(sources, 2, -1);
    uint64_t value;
    if (read(engine->port.engine_wake_fd, &value, sizeof(value)) < 0)
        CHECK(errno == EAGAIN);
    engine_attend(engine);
}

static void engine_await(struct engine *engine, uint32_t place, uint64_t value)
{
    for (engine_attend(engine); counter(engine, place) < value;)
        engine_sleep(engine, -1, 0);
}

/* Offer `count` packets in one batch; with may_wait again and again until all are in. */
static void engine_send(struct engine *engine, uint32_t count, bool may_wait)
{
    struct pb_packet packets[BATCH_MAX];
    uint16_t index[BATCH_MAX];
    for (uint32_t i = 0; i < count; i++) {
        uint64_t number = engine->offered + i;
        uint32_t length = packet_length(number, engine->length_max);
        /* In reverse, so that an index that is ignored is noticed. */
        index[i] = (uint16_t)(count - 1 - i);
        pb_packet_init(&packets[index[i]], packet_data(number), length, length + (uint32_t)(number % 7), number,
                       PB_LINK_ETHERNET);
    }
    uint32_t done = 0;
    engine_attend(engine);
    while (done < count) {
        done += offer_packets(&engine->port, packets, index + done, count - done, may_wait);
        CHECK(done <= count && (may_wait || done == count));
        struct pb_wait wait;
        if (done < count && engine->port.operations->wait(&engine->port, &wait))
            engine_sleep(engine, wait.fd, wait.events);
    }
    engine->offered += count;
}

static void engine_drain(struct engine *engine)
{
    while (engine->port.operations->undelivered(&engine->port)) {
        engine_attend(engine);
        usleep(100);
    }
}

/* ---------------------------------------------------------------- readers */

struct reading {
    const char *name;
    uint32_t length_max;
    uint64_t stop_after;  /* packets; 0: until the stream ends */
    uint32_t records_max; /* of one read */
    bool gapless;         /* nothing may be missing between two packets */
    bool by_descriptor;   /* sleep with poll() of one's own */
    bool spin;            /* do not sleep */
    _Atomic uint64_t *released;
    /* Results. */
    uint64_t packets, first, last;
    int end; /* what ended it: -EPIPE, or 0 for stop_after */
};

static void check_record(struct reading *reading, const struct pb_pipe_record *record)
{
    uint64_t number = record->timestamp_ns;
    CHECK_EQUAL(record->captured_len, packet_length(number, reading->length_max));
    CHECK_EQUAL(record->wire_len, record->captured_len + number % 7);
    CHECK(memcmp(record->data, packet_data(number), record->captured_len) == 0);
    if (reading->packets == 0)
        reading->first = number;
    else
        CHECK(reading->gapless ? number == reading->last + 1 : number > reading->last);
    reading->last = number;
    reading->packets++;
}

static void await_more(struct pb_pipe_reader *reader, const struct reading *reading)
{
    if (!reading->by_descriptor) {
        CHECK_EQUAL(pb_pipe_wait(reader, -1), 1);
        return;
    }
    struct pollfd readable = {pb_pipe_fd(reader), POLLIN, 0};
    if (pb_pipe_arm(reader) == 0)
        CHECK_EQUAL(poll(&readable, 1, -1), 1);
}

static void read_packets(struct pb_pipe_reader *reader, struct reading *reading)
{
    struct pb_pipe_record records[256];
    uint32_t records_max = reading->records_max != 0 ? reading->records_max : 256;
    int count = 0;
    while ((reading->stop_after == 0 || reading->packets < reading->stop_after) &&
           (count = pb_pipe_read(reader, records, records_max)) >= 0) {
        for (int i = 0; i < count; i++)
            check_record(reading, &records[i]);
        pb_pipe_release(reader);
        if (reading->released != NULL)
            atomic_fetch_add(reading->released, (uint64_t)count);
        if (count == 0 && !reading->spin)
            await_more(reader, reading);
    }
    reading->end = count < 0 ? count : 0;
}

static struct pb_pipe_reader *open_pipe(const char *name)
{
    struct pb_pipe_reader *reader;
    struct pb_error error;
    if (pb_pipe_open(name, &reader, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    return reader;
}

static void *read_in_thread(void *arg)
{
    struct reading *reading = arg;
    struct pb_pipe_reader *reader = open_pipe(reading->name);
    read_packets(reader, reading);
    pb_pipe_close(reader);
    return NULL;
}

/* Start this program again in a role; its standard output goes to *output. */
static pid_t start_role(FILE **output, const char *role, ...)
{
    char *argv[8] = {"test_pipe", "--role", (char *)(uintptr_t)role};
    va_list arguments;
    va_start(arguments, role);
    for (int i = 3; i < 7 && (argv[i] = va_arg(arguments, char *)) != NULL; i++)
        continue;
    va_end(arguments);
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execv("/proc/self/exe", argv);
        _exit(127);
    }
    close(ends[1]);
    *output = fdopen(ends[0], "r");
    return pid;
}

static void end_role(pid_t pid, FILE *output, bool killed)
{
    int status;
    if (killed)
        kill(pid, SIGKILL);
    CHECK_EQUAL(waitpid(pid, &status, 0), pid);
    CHECK(killed ? WIFSIGNALED(status) : WIFEXITED(status) && WEXITSTATUS(status) == 0);
    fclose(output);
}

/* A line with one number from a role. */
static uint64_t role_says(FILE *output, const char *word)
{
    char said[32];
    unsigned long long number;
    CHECK_EQUAL(fscanf(output, "%31s %llu", said, &number), 2);
    CHECK(strcmp(said, word) == 0);
    return number;
}

/* A process of its own: reads, says "packets N", and leaves. */
static void role_read(const char *name, const char *length_max, const char *stop_after)
{
    struct reading reading = {
        .name = name, .length_max = (uint32_t)atol(length_max), .stop_after = (uint64_t)atoll(stop_after)};
    read_in_thread(&reading);
    CHECK(reading.end == (reading.stop_after == 0 ? -EPIPE : 0));
    printf("packets %llu\n", (unsigned long long)reading.packets);
}

/* Reads N packets one by one, holds on to one more, then sits there. */
static void role_sit(const char *name, const char *packets)
{
    struct pb_pipe_reader *reader = open_pipe(name);
    struct pb_pipe_record record;
    for (int i = 0; i < atoi(packets);) {
        int count = pb_pipe_read(reader, &record, 1);
        CHECK(count >= 0);
        if (count == 0)
            pb_pipe_wait(reader, -1);
        pb_pipe_release(reader);
        i += count;
    }
    pb_pipe_read(reader, &record, 1);
    printf("sitting %d\n", getpid());
    fflush(stdout);
    for (;;)
        pause();
}

/* Reads as fast as it can and keeps count in the file `path`, until it is killed. */
static void role_hurry(const char *name, const char *path)
{
    int fd = open(path, O_RDWR);
    _Atomic uint64_t *released = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(released != MAP_FAILED);
    struct reading reading = {.name = name, .length_max = 100, .records_max = 16, .released = released};
    read_in_thread(&reading);
}

/* Serves a pipe, sends N packets, says so, and sits there. */
static void role_serve(const char *name, const char *packets)
{
    struct engine engine;
    struct pb_error error;
    if (engine_try_open(&engine, name, "", &error) < 0) {
        puts(error.text);
        return;
    }
    printf("serving %d\n", getpid());
    fflush(stdout);
    engine.length_max = 100;
    if (atoi(packets) > 0) {
        engine_await(&engine, ATTACHES, 1);
        for (int i = 0; i < atoi(packets); i++)
            engine_send(&engine, 1, true);
        printf("sent %d\n", atoi(packets));
        fflush(stdout);
    }
    for (;;)
        pause();
}

/* ------------------------------------------------- a client of one's own */

struct raw_reader {
    int fd, data_fd, page_fd;
    struct pb_reader_page *page;
    struct pb_attach_reply reply;
};

static int raw_connect(const char *name)
{
    struct sockaddr_un address;
    CHECK(pb_pipe_address(name, false, &address, NULL) == 0);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    return fd;
}

/* Attach as the library does. False: refused. */
static bool raw_attach(const char *name, struct raw_reader *raw)
{
    struct pb_attach_request request = {PB_ATTACH_MAGIC, PB_ATTACH_VERSION, PB_ATTACH_READ, 0};
    struct iovec part = {&raw->reply, sizeof(raw->reply)};
    _Alignas(struct cmsghdr) char control[64];
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    raw->fd = raw_connect(name);
    CHECK(send(raw->fd, &request, sizeof(request), MSG_NOSIGNAL) > 0);
    ssize_t length = recvmsg(raw->fd, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (length != sizeof(raw->reply) || header == NULL) {
        close(raw->fd);
        return false;
    }
    int descriptors[2];
    memcpy(descriptors, CMSG_DATA(header), sizeof(descriptors));
    raw->data_fd = descriptors[0];
    raw->page_fd = descriptors[1];
    raw->page = mmap(NULL, sizeof(*raw->page), PROT_READ | PROT_WRITE, MAP_SHARED, raw->page_fd, 0);
    CHECK(raw->page != MAP_FAILED);
    return true;
}

static void raw_close(struct raw_reader *raw)
{
    munmap(raw->page, sizeof(*raw->page));
    close(raw->data_fd);
    close(raw->page_fd);
    close(raw->fd);
}

/* Attaches again and again, and writes random values all over its page. */
static void role_scribble(const char *name, const char *seed)
{
    uint64_t state = (uint64_t)atoll(seed) * 7919 + 1;
    puts("scribbling 1");
    fflush(stdout);
    for (;;) {
        struct raw_reader raw;
        if (!raw_attach(name, &raw))
            continue;
        uint64_t *words = (uint64_t *)raw.page;
        for (uint32_t writes = random_next(&state) % 300; writes > 0; writes--) {
            uint64_t start = atomic_load(&raw.page->start);
            uint64_t values[] = {
                0, 1, UINT64_MAX, random_next(&state), (uint64_t)random_next(&state) << 33,
                start, start + PB_RING_UNIT * (random_next(&state) % 9000),
            };
            /* Mostly words that mean something. */
            uint32_t places[] = {16, 17, 18, 19, 20, 32, random_next(&state) % (sizeof(*raw.page) / 8)};
            __atomic_store_n(&words[places[random_next(&state) % 7]], values[random_next(&state) % 7],
                             __ATOMIC_RELAXED);
            if (writes % 16 == 0)
                send(raw.fd, values, random_next(&state) % 3, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (writes == 100)
                fallocate(raw.page_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 384);
        }
        raw_close(&raw);
    }
}

/* ------------------------------------------------------------------ tests */

static void test_names(void)
{
    static const char *const good[] = {"eth3}0", "a}1023", "vale0:1.2_x-y}7"};
    static const char *const bad[] = {"", "eth3", "eth3{0", "}0", "eth3}", "eth3}x", "a/b}0", "../x}0", "eth3}0 ",
                                      "e th}0", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}0"};
    struct pb_error error;
    char name[PB_PIPE_NAME_MAX + 1];
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        CHECK_EQUAL(pb_pipe_name_check(good[i], &error), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK_EQUAL(pb_pipe_name_check(bad[i], &error), -EINVAL);
    pb_pipe_name_check("eth3{0", &error);
    CHECK(strstr(error.text, "the application's end is \"eth3}0\"") != NULL);
    CHECK(pb_pipe_name_from_port("eth3{12", name, &error) == 0 && strcmp(name, "eth3}12") == 0);
    CHECK(pb_pipe_name_from_port("eth3}12", name, &error) == 0 && strcmp(name, "eth3}12") == 0);

    char saved[200], path[300];
    snprintf(saved, sizeof(saved), "%s", getenv("BRICKS_RUNTIME_DIR"));
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    path[120] = '\0';
    setenv("BRICKS_RUNTIME_DIR", path, 1);
    struct engine engine;
    CHECK_EQUAL(engine_try_open(&engine, "t{0", "", &error), -ENAMETOOLONG);
    CHECK(strstr(error.text, "set BRICKS_RUNTIME_DIR to a shorter path") != NULL);
    setenv("BRICKS_RUNTIME_DIR", "/proc/none", 1);
    CHECK(engine_try_open(&engine, "t{0", "", &error) < 0 && strstr(error.text, "BRICKS_RUNTIME_DIR") != NULL);
    setenv("BRICKS_RUNTIME_DIR", saved, 1);
    CHECK_EQUAL(engine_try_open(&engine, "t", "", &error), -EINVAL);
}

/* Both sides of the protocol on one mapping, where TSan sees everything. */
#define PROTOCOL_RING 4096u
#define PROTOCOL_RECORDS (200000u / SLOWER)
struct protocol {
    struct pb_producer_page producer;
    struct pb_reader_page reader;
    struct pb_record records[PROTOCOL_RING / PB_RING_UNIT];
    uint8_t ring[2 * PROTOCOL_RING];
    int to_reader, to_producer; /* eventfds */
};

static void protocol_sleep(int fd)
{
    uint64_t value;
    CHECK(read(fd, &value, sizeof(value)) == sizeof(value));
}

static void protocol_wake(int fd)
{
    uint64_t one = 1;
    CHECK(write(fd, &one, sizeof(one)) == sizeof(one));
}

static void delay_randomly(uint64_t *state)
{
    for (volatile uint32_t delay = random_next(state) % 200; delay > 0; delay--)
        continue;
}

/* Ping-pong: one record at a time, so that nothing later makes good for a wake-up
 * that is lost. In the first half the reader sleeps and the producer spins, in
 * the second it is the other way round. */
#define PING_RECORDS (100000u / SLOWER)

static void *ping_reader(void *arg)
{
    struct protocol *protocol = arg;
    uint64_t number, answered = 0, state = 2;
    for (uint64_t next = 0; next < PING_RECORDS * PB_RING_UNIT; next += PB_RING_UNIT) {
        delay_randomly(&state);
        if (next < PING_RECORDS * PB_RING_UNIT / 2) {
            if (pb_ring_reader_sleeps(&protocol->producer, &protocol->reader, next, &number))
                protocol_sleep(protocol->to_reader);
        }
        while (atomic_load(&protocol->producer.head) == next)
            continue;
        delay_randomly(&state);
        number = pb_ring_release(&protocol->producer, &protocol->reader, next + PB_RING_UNIT,
                                 next / PB_RING_UNIT + 1);
        if (number > answered) {
            answered = number;
            protocol_wake(protocol->to_producer);
        }
    }
    return NULL;
}

static void ping(struct protocol *protocol)
{
    uint64_t state = 1;
    for (uint64_t head = PB_RING_UNIT; head <= PING_RECORDS * PB_RING_UNIT; head += PB_RING_UNIT) {
        delay_randomly(&state);
        if (pb_ring_publish(&protocol->producer, &protocol->reader, head))
            protocol_wake(protocol->to_reader);
        if (head > PING_RECORDS * PB_RING_UNIT / 2) {
            delay_randomly(&state);
            pb_ring_producer_sleeps(&protocol->producer, head, head);
            if (atomic_load(&protocol->reader.tail) != head)
                protocol_sleep(protocol->to_producer);
            atomic_store(&protocol->producer.producer_waiting, 0);
        }
        while (atomic_load(&protocol->reader.tail) != head)
            continue;
    }
}

static void test_ping_pong(void)
{
    static struct protocol protocol;
    protocol.to_reader = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
    protocol.to_producer = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
    pthread_t thread;
    pthread_create(&thread, NULL, ping_reader, &protocol);
    ping(&protocol);
    pthread_join(thread, NULL);
    close(protocol.to_reader);
    close(protocol.to_producer);
    /* A reader killed between its stores: either slot answers for its own tail. */
    CHECK_EQUAL(pb_ring_unread(&protocol.reader, PING_RECORDS * PB_RING_UNIT, PING_RECORDS + 5), 5);
    CHECK_EQUAL(pb_ring_unread(&protocol.reader, (PING_RECORDS - 1) * PB_RING_UNIT, PING_RECORDS + 5), 6);
    CHECK_EQUAL(pb_ring_unread(&protocol.reader, 1, PING_RECORDS), 0);
}

static uint32_t protocol_length(uint64_t number)
{
    return mixed(number) % (3 * PB_RING_UNIT);
}

/* Each packet's data is its number, over and over; a part of a word at its end is left out. */
static void protocol_check(const struct protocol *protocol, uint64_t number, uint64_t position)
{
    uint64_t record_place = number + atomic_load_explicit(&protocol->producer.records_base, memory_order_relaxed);
    uint64_t place = position + atomic_load_explicit(&protocol->producer.base, memory_order_relaxed);
    const struct pb_record *record = &protocol->records[record_place % (PROTOCOL_RING / PB_RING_UNIT)];
    const uint64_t *words = (const uint64_t *)(protocol->ring + place % PROTOCOL_RING);
    CHECK_EQUAL(record->timestamp_ns, number);
    CHECK_EQUAL(pb_record_length(record->length_mark), protocol_length(number));
    CHECK_EQUAL(pb_record_mark(record->length_mark), number % 4096);
    for (uint32_t i = 0; i < protocol_length(number) / sizeof(*words); i++)
        CHECK_EQUAL(words[i], number);
}

static void *protocol_reader(void *arg)
{
    struct protocol *protocol = arg;
    uint64_t position = 0, answered = 0, number = 0;
    for (uint64_t next = 0; next < PROTOCOL_RECORDS;) {
        uint64_t head = atomic_load_explicit(&protocol->producer.head, memory_order_acquire);
        if (head == next && pb_ring_reader_sleeps(&protocol->producer, &protocol->reader, head, &number)) {
            if (number != 0 && number != answered)
                protocol_wake(protocol->to_producer);
            answered = number != 0 ? number : answered;
            protocol_sleep(protocol->to_reader);
        }
        for (; next != head; next++) {
            protocol_check(protocol, next, position);
            position += pb_record_bytes(protocol_length(next));
        }
        number = pb_ring_release(&protocol->producer, &protocol->reader, position, next);
        if (number != 0 && number != answered) {
            answered = number;
            protocol_wake(protocol->to_producer);
        }
    }
    return NULL;
}

/* What the engine and the writer library do, in the same order. */
static void protocol_write(struct protocol *protocol)
{
    struct pb_ring_window window = {0};
    uint64_t position = 0, requests = 0;
    for (uint64_t number = 0; number < PROTOCOL_RECORDS; number++) {
        uint32_t length = protocol_length(number);
        uint64_t bytes = pb_record_bytes(length);
        while (position + bytes - atomic_load(&protocol->reader.tail) > PROTOCOL_RING) {
            uint64_t wake_tail = pb_ring_wake_tail(position, bytes, PROTOCOL_RING);
            pb_ring_producer_sleeps(&protocol->producer, wake_tail, ++requests);
            if (!pb_ring_reached(atomic_load(&protocol->reader.tail), wake_tail) &&
                atomic_load(&protocol->reader.reader_waiting) == 0)
                protocol_sleep(protocol->to_producer);
            atomic_store(&protocol->producer.producer_waiting, 0);
        }
        pb_ring_restart(&window, &protocol->producer, position, number, atomic_load(&protocol->reader.tail), PROTOCOL_RING);
        struct pb_record *record = &protocol->records[(number + window.records_base) % (PROTOCOL_RING / PB_RING_UNIT)];
        uint64_t *words = (uint64_t *)(protocol->ring + (position + window.base) % PROTOCOL_RING);
        record->length_mark = length | (uint32_t)(number % 4096) << PB_RECORD_LENGTH_BITS;
        record->timestamp_ns = number;
        for (uint32_t i = 0; i < length / sizeof(*words); i++)
            words[i] = number;
        position += bytes;
        if (pb_ring_publish(&protocol->producer, &protocol->reader, number + 1))
            protocol_wake(protocol->to_reader);
    }
    CHECK_EQUAL(pb_ring_unread(&protocol->reader, position, PROTOCOL_RECORDS), 0);
}

static void test_protocol(void)
{
    /* The second half of `ring` stands in for the second mapping. Here a packet that
     * wraps has its own place there, which is as good. */
    static struct protocol protocol;
    protocol.to_reader = eventfd(0, EFD_CLOEXEC);
    protocol.to_producer = eventfd(0, EFD_CLOEXEC);
    pthread_t thread;
    pthread_create(&thread, NULL, protocol_reader, &protocol);
    protocol_write(&protocol);
    pthread_join(thread, NULL);
    close(protocol.to_reader);
    close(protocol.to_producer);
}

/* Everything arrives, in order and whole, over many wraps. */
static void transfer(bool may_wait, uint32_t length_max, uint32_t packets, bool by_descriptor)
{
    struct engine engine;
    struct reading reading = {
        .name = "t}0", .length_max = length_max, .gapless = may_wait, .by_descriptor = by_descriptor};
    pthread_t thread;
    engine_open(&engine, "t{0", "");
    engine.length_max = length_max;
    pthread_create(&thread, NULL, read_in_thread, &reading);
    engine_await(&engine, ATTACHES, 1);
    uint64_t state = 5;
    while (engine.offered < packets)
        engine_send(&engine, 1 + random_next(&state) % BATCH_MAX, may_wait);
    CHECK_EQUAL(sent(&engine) + counter(&engine, FULL), engine.offered);
    CHECK(!may_wait || counter(&engine, FULL) == 0);
    engine_drain(&engine);
    uint64_t all = sent(&engine);
    engine_close(&engine);
    pthread_join(thread, NULL);
    CHECK_EQUAL(reading.end, -EPIPE);
    CHECK_EQUAL(reading.packets, all);
    CHECK(!may_wait || reading.packets >= packets);
}

static void test_transfer(void)
{
    transfer(true, 65535, 20000, false);
    transfer(true, 100, 300000, true);
    transfer(false, 65535, 20000, false);
    transfer(false, 100, 300000, false);
}

/* To another process, too. */
static void test_process(void)
{
    struct engine engine;
    FILE *output;
    engine_open(&engine, "t{0", "slots=100"); /* rounded up to 128 */
    CHECK_EQUAL(counter(&engine, RING_BYTES), 128 * PB_BUFFER_SLOT_BYTES);
    pid_t pid = start_role(&output, "read", "t}0", "65535", "0", NULL);
    engine_await(&engine, ATTACHES, 1);
    CHECK_EQUAL(counter(&engine, READER_PID), pid);
    while (engine.offered < 20000)
        engine_send(&engine, BATCH_MAX, true);
    uint64_t all = sent(&engine);
    engine_close(&engine);
    CHECK_EQUAL(role_says(output, "packets"), all);
    end_role(pid, output, false);
}

/* Tiny ring, long packets, batches of one: both sides sleep all the time; or the
 * engine only, woken by a reader that never sleeps. */
static void wake_ups(bool spin)
{
    struct engine engine;
    struct reading reading = {
        .name = "t}0", .length_max = 65535, .gapless = true, .records_max = spin ? 256 : 1, .spin = spin};
    pthread_t thread;
    engine_open(&engine, "t{0", "");
    pthread_create(&thread, NULL, read_in_thread, &reading);
    engine_await(&engine, ATTACHES, 1);
    uint64_t state = 9;
    for (int i = 0; i < 30000 / SLOWER; i++) {
        engine_send(&engine, 1, true);
        for (uint32_t delays = random_next(&state) % 16; delays > 12; delays--)
            delay_randomly(&state);
    }
    engine_close(&engine);
    pthread_join(thread, NULL);
    CHECK_EQUAL(reading.packets, 30000 / SLOWER);
}

/* Packets as long as the ring, a reader that never sleeps: each release is the
 * only one that can wake the engine. */
static void *release_after_delay(void *arg)
{
    struct pb_pipe_reader *reader = open_pipe(arg);
    struct pb_pipe_record record;
    uint64_t state = 3;
    int count;
    while ((count = pb_pipe_read(reader, &record, 1)) >= 0) {
        delay_randomly(&state);
        pb_pipe_release(reader);
    }
    pb_pipe_close(reader);
    return NULL;
}

static void wake_ups_of_whole_ring(void)
{
    struct engine engine;
    pthread_t thread;
    struct pb_packet packet;
    const uint16_t index = 0;
    engine_open(&engine, "t{0", "");
    pthread_create(&thread, NULL, release_after_delay, "t}0");
    engine_await(&engine, ATTACHES, 1);
    pb_packet_init(&packet, payload, PB_RING_BYTES_MIN, 1, 1, PB_LINK_ETHERNET);
    for (; engine.offered < 50000 / SLOWER; engine.offered++) {
        struct pb_wait wait;
        while (offer_packets(&engine.port, &packet, &index, 1, true) == 0)
            if (engine.port.operations->wait(&engine.port, &wait))
                engine_sleep(&engine, wait.fd, wait.events);
    }
    engine_close(&engine);
    pthread_join(thread, NULL);
}

static void test_wake_ups(void)
{
    wake_ups(false);
    wake_ups(true);
    wake_ups_of_whole_ring();
}

/* Gives back less than half of a full ring, holds on to the rest and sleeps: the
 * engine, which wanted half, must go on with what there is. */
static void *hold_and_sleep(void *arg)
{
    struct reading *reading = arg;
    struct pb_pipe_reader *reader = open_pipe(reading->name);
    struct pb_pipe_record records[BATCH_MAX];
    struct pb_pipe_status status = {0};
    int count;
    while (status.used_bytes + 300 < PB_RING_BYTES_MIN)
        CHECK_EQUAL(pb_pipe_status(reading->name, &status, NULL), 0);
    CHECK_EQUAL(pb_pipe_read(reader, records, BATCH_MAX), BATCH_MAX);
    pb_pipe_release(reader);
    for (int i = 0; i < BATCH_MAX; i++)
        check_record(reading, &records[i]);
    do {
        while ((count = pb_pipe_read(reader, records, BATCH_MAX)) > 0)
            for (int i = 0; i < count; i++)
                check_record(reading, &records[i]);
    } while (reading->packets < reading->stop_after && pb_pipe_wait(reader, -1) == 1);
    pb_pipe_close(reader);
    return NULL;
}

static void test_held_records(void)
{
    struct engine engine;
    /* 16 + 100 bytes at most are 128 in the ring: 1024 packets and more fill it. */
    struct reading reading = {.name = "t}0", .length_max = 100, .gapless = true};
    pthread_t thread;
    engine_open(&engine, "t{0", "");
    engine.length_max = 100;
    uint64_t bytes = 0;
    while (bytes + 128 < PB_RING_BYTES_MIN)
        bytes += pb_record_bytes(packet_length(reading.stop_after++, 100));
    reading.stop_after += 20;
    pthread_create(&thread, NULL, hold_and_sleep, &reading);
    engine_await(&engine, ATTACHES, 1);
    while (engine.offered < reading.stop_after)
        engine_send(&engine, 1, true);
    pthread_join(thread, NULL);
    engine_close(&engine);
}

/* A reader goes while the engine waits for it: the next one is not its heir. */
static void test_next_after_waiting(void)
{
    struct engine engine;
    struct reading reading = {.name = "t}0", .length_max = 65535};
    struct raw_reader raw;
    pthread_t thread;
    engine_open(&engine, "t{0", "wait=1");
    CHECK(raw_attach("t}0", &raw));
    engine_await(&engine, ATTACHES, 1);
    while (counter(&engine, FULL) == 0)
        engine_send(&engine, BATCH_MAX, false);
    while (counter(&engine, ATTACHES) == 1) { /* what engine_send() does, but it would not come back */
        struct pb_packet packet;
        struct pb_wait wait;
        uint16_t index = 0;
        pb_packet_init(&packet, payload, 65535, 65535, 0, PB_LINK_ETHERNET);
        CHECK_EQUAL(offer_packets(&engine.port, &packet, &index, 1, true), 0);
        CHECK(engine.port.operations->wait(&engine.port, &wait));
        if (raw.fd >= 0) {
            raw_close(&raw);
            pthread_create(&thread, NULL, read_in_thread, &reading);
        }
        raw.fd = -1;
        engine_sleep(&engine, wait.fd, wait.events);
    }
    for (int i = 0; i < 20; i++) { /* it releases and sleeps while nothing is asked of it */
        engine_send(&engine, 1, true);
        engine_drain(&engine);
    }
    for (int i = 0; i < 1000; i++)
        engine_send(&engine, BATCH_MAX, true);
    CHECK_EQUAL(counter(&engine, FAULTS), 0);
    engine_close(&engine);
    pthread_join(thread, NULL);
}

/* Two readers come and go before the engine looks, and then it ends: they have been there all the same. */
static void test_unseen_readers(void)
{
    struct engine engine;
    struct raw_reader raw;
    engine_open(&engine, "t{0", "");
    for (int i = 0; i < 2; i++) {
        CHECK(raw_attach("t}0", &raw));
        raw_close(&raw);
    }
    CHECK_EQUAL(counter(&engine, ATTACHES), 0);
    engine_close(&engine);
    CHECK_EQUAL(counter(&engine, ATTACHES), 2);
}

/* What was sent before a reader came is not for it; one may go and the next come. */
static void test_readers_come_and_go(void)
{
    struct engine engine;
    FILE *output;
    engine_open(&engine, "t{0", "");
    engine.length_max = 100;
    engine_send(&engine, 10, false);
    engine_send(&engine, 10, true); /* without the option "wait" nobody waits */
    CHECK_EQUAL(counter(&engine, NO_READER), 20);
    struct pb_pipe_reader *reader = open_pipe("t}0");
    struct pb_pipe_record record;
    CHECK_EQUAL(pb_pipe_read(reader, &record, 1), 0); /* not adopted yet */
    CHECK_EQUAL(pb_pipe_wait(reader, 0), 0);
    CHECK_EQUAL(pb_pipe_link_type(reader), -EAGAIN);
    engine_await(&engine, ATTACHES, 1);
    CHECK_EQUAL(pb_pipe_wait(reader, 1), 0);
    engine_send(&engine, 30, false);
    CHECK_EQUAL(pb_pipe_wait(reader, -1), 1);
    for (uint64_t number = 20; number < 25; number++) {
        CHECK_EQUAL(pb_pipe_read(reader, &record, 1), 1);
        CHECK_EQUAL(record.timestamp_ns, number);
    }
    CHECK_EQUAL(pb_pipe_link_type(reader), PB_LINK_ETHERNET);
    pb_pipe_release(reader);
    pb_pipe_close(reader);
    for (uint64_t i = 2; i < 200; i++) { /* at once: nobody has attended to the hang-up yet */
        reader = open_pipe("t}0");
        engine_await(&engine, ATTACHES, i);
        CHECK_EQUAL(counter(&engine, UNREAD), 25);
        pb_pipe_close(reader);
    }
    for (int i = 0; i < 50; i++) /* gone again before the engine looks */
        pb_pipe_close(open_pipe("t}0"));
    pid_t pid = start_role(&output, "read", "t}0", "100", "5", NULL);
    do {
        engine_send(&engine, 1, false);
        usleep(1000);
    } while (counter(&engine, READER_PID) != (uint64_t)pid);
    engine_send(&engine, 5, false);
    CHECK(role_says(output, "packets") >= 5);
    end_role(pid, output, false);
    while (counter(&engine, READER_PID) != 0)
        engine_sleep(&engine, -1, 0);
    engine_close(&engine);
}

static void test_wait_for_reader(void)
{
    struct engine engine;
    FILE *output;
    engine_open(&engine, "t{0", "wait=1");
    engine.length_max = 100;
    engine_send(&engine, 3, false); /* a live source does not wait */
    CHECK_EQUAL(counter(&engine, NO_READER), 3);
    pid_t pid = start_role(&output, "read", "t}0", "100", "100", NULL);
    while (engine.offered < 103)
        engine_send(&engine, 10, true);
    engine_drain(&engine);
    CHECK_EQUAL(role_says(output, "packets"), 100);
    end_role(pid, output, false);
    CHECK_EQUAL(counter(&engine, NO_READER), 3);
    engine_close(&engine);
}

static void test_link_type_and_length(void)
{
    static uint8_t data[LONG_BYTES];
    struct engine engine;
    struct pb_packet packets[4];
    static const uint16_t index[] = {0, 1, 2, 3};
    engine_open(&engine, "t{0", "");
    struct pb_pipe_reader *reader = open_pipe("t}0");
    engine_await(&engine, ATTACHES, 1);
    pb_packet_init(&packets[0], data, 10, 10, 1, PB_LINK_RAW);
    pb_packet_init(&packets[1], data, 10, 10, 2, PB_LINK_ETHERNET);
    pb_packet_init(&packets[2], data, LONG_BYTES, LONG_BYTES, 3, PB_LINK_RAW);
    /* As long as the ring: fits, but not beside the first. */
    pb_packet_init(&packets[3], data, PB_RING_BYTES_MIN, PB_RING_BYTES_MIN, 4, PB_LINK_RAW);
    CHECK_EQUAL(offer_packets(&engine.port, packets, index, 4, false), 4);
    CHECK_EQUAL(counter(&engine, LINK_TYPE), 1);
    CHECK_EQUAL(counter(&engine, TOO_LONG), 1);
    CHECK_EQUAL(counter(&engine, FULL), 1);
    struct pb_pipe_record record;
    CHECK_EQUAL(pb_pipe_read(reader, &record, 1), 1);
    CHECK_EQUAL(pb_pipe_link_type(reader), PB_LINK_RAW);
    pb_pipe_release(reader);
    CHECK_EQUAL(offer_packets(&engine.port, packets, index + 3, 1, true), 1); /* the whole ring */
    CHECK_EQUAL(offer_packets(&engine.port, packets, index, 1, true), 0);
    engine.port.operations->tick(&engine.port);
    CHECK_EQUAL(counter(&engine, USED_BYTES), PB_RING_BYTES_MIN);
    CHECK_EQUAL(pb_pipe_read(reader, &record, 1), 1);
    CHECK_EQUAL(record.captured_len, PB_RING_BYTES_MIN);
    pb_pipe_close(reader);
    engine.offered = 5;
    engine_close(&engine);
}

/* What a killed reader has not released is counted, to the packet. */
static void test_killed_reader(void)
{
    struct engine engine;
    FILE *output;
    engine_open(&engine, "t{0", "");
    engine.length_max = 100;
    pid_t pid = start_role(&output, "sit", "t}0", "17", NULL);
    engine_await(&engine, ATTACHES, 1);
    engine_send(&engine, 60, false);
    CHECK_EQUAL(role_says(output, "sitting"), pid);
    CHECK(engine.port.operations->undelivered(&engine.port));
    end_role(pid, output, true);
    while (counter(&engine, READER_PID) != 0)
        engine_sleep(&engine, -1, 0);
    CHECK_EQUAL(counter(&engine, UNREAD), 43);
    CHECK(!engine.port.operations->undelivered(&engine.port));
    engine_close(&engine);
}

/* The same at any instant: the count is off by the one batch at most of which
 * the reader had not told us, but had told the engine. */
static void test_killed_in_a_hurry(void)
{
    char path[] = "/tmp/test_pipe_XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0 && ftruncate(fd, 4096) == 0);
    _Atomic uint64_t *released = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    struct engine engine;
    engine_open(&engine, "t{0", "");
    engine.length_max = 100;
    for (uint64_t i = 1; i <= 30; i++) {
        FILE *output;
        uint64_t before = sent(&engine), unread_before = counter(&engine, UNREAD);
        atomic_store(released, 0);
        pid_t pid = start_role(&output, "hurry", "t}0", path, NULL);
        engine_await(&engine, ATTACHES, i);
        while (atomic_load(released) < 1000 * i)
            engine_send(&engine, BATCH_MAX, false);
        end_role(pid, output, true);
        while (counter(&engine, READER_PID) != 0)
            engine_sleep(&engine, -1, 0);
        uint64_t left = sent(&engine) - before - atomic_load(released);
        uint64_t unread = counter(&engine, UNREAD) - unread_before;
        CHECK(unread <= left && left - unread <= 16);
    }
    CHECK_EQUAL(counter(&engine, FAULTS), 0);
    engine_close(&engine);
    munmap(released, 4096);
    close(fd);
    unlink(path);
}

static void test_stopped_reader(void)
{
    struct engine engine, other;
    FILE *output, *other_output;
    engine_open(&engine, "t{0", "");
    engine_open(&other, "t{1", "");
    pid_t pid = start_role(&output, "read", "t}0", "65535", "0", NULL);
    pid_t other_pid = start_role(&other_output, "read", "t}1", "65535", "0", NULL);
    engine_await(&engine, ATTACHES, 1);
    engine_await(&other, ATTACHES, 1);
    int status;
    kill(pid, SIGSTOP);
    CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    while (counter(&engine, FULL) < 10000) { /* live: goes on, and so does the other pipe */
        engine_send(&engine, BATCH_MAX, false);
        engine_send(&other, 1, true);
    }
    kill(pid, SIGCONT);
    for (int i = 0; i < 100; i++) /* pausable: waits, and is woken */
        engine_send(&engine, BATCH_MAX, true);
    uint64_t all = sent(&engine), all_other = sent(&other);
    engine_close(&engine);
    engine_close(&other);
    CHECK_EQUAL(role_says(output, "packets"), all);
    CHECK_EQUAL(role_says(other_output, "packets"), all_other);
    end_role(pid, output, false);
    end_role(other_pid, other_output, false);
}

static uint32_t take_reports(char text[PB_ERROR_BYTES])
{
    uint32_t count = 0;
    while (pb_event_take(text, PB_ERROR_BYTES) == 7)
        count++;
    return count;
}

/* Thousands of random writes into the page at random moments: liars are detached,
 * the accounting holds, the reader of the other pipe gets everything. */
static void test_hostile_page(void)
{
    struct engine engine, other;
    FILE *outputs[3], *other_output;
    pid_t pids[3];
    char text[PB_ERROR_BYTES];
    engine_open(&engine, "t{0", "");
    engine_open(&other, "t{1", "");
    engine.length_max = 2000;
    for (int i = 0; i < 3; i++) {
        pids[i] = start_role(&outputs[i], "scribble", "t}0", (char[]){(char)('1' + i), '\0'}, NULL);
        CHECK_EQUAL(role_says(outputs[i], "scribbling"), 1);
    }
    pid_t other_pid = start_role(&other_output, "read", "t}1", "65535", "0", NULL);
    engine_await(&other, ATTACHES, 1);
    uint64_t state = 3;
    while (counter(&engine, FAULTS) < 1500) {
        /* When it must wait it sleeps for ever only if the reader does: these never do. */
        engine_send(&engine, 1 + random_next(&state) % BATCH_MAX, random_next(&state) % 4 == 0);
        engine_send(&other, 1, true);
        engine.port.operations->undelivered(&engine.port);
        CHECK(counter(&engine, USED_BYTES) <= PB_RING_BYTES_MIN);
        if (random_next(&state) % 64 == 0)
            usleep(100); /* let them write while nothing is sent */
    }
    uint64_t all_other = sent(&other);
    for (int i = 0; i < 3; i++)
        end_role(pids[i], outputs[i], true);
    CHECK(counter(&engine, UNREAD) <= sent(&engine));
    CHECK_EQUAL(take_reports(text), 1); /* once, however often */
    engine_close(&engine);
    engine_close(&other);
    CHECK_EQUAL(role_says(other_output, "packets"), all_other);
    end_role(other_pid, other_output, false);
}

/* One that sends wake-ups nobody asked for. */
static void test_socket_flood(void)
{
    struct engine engine;
    struct raw_reader raw;
    char text[PB_ERROR_BYTES];
    engine_open(&engine, "t{0", "");
    CHECK(raw_attach("t}0", &raw));
    engine_await(&engine, ATTACHES, 1);
    while (send(raw.fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1)
        continue;
    engine_send(&engine, BATCH_MAX, false); /* does not look */
    CHECK_EQUAL(counter(&engine, FAULTS), 0);
    while (counter(&engine, FULL) == 0)
        engine_send(&engine, BATCH_MAX, false);
    engine_send(&engine, BATCH_MAX, true); /* would wait for space: looks */
    CHECK_EQUAL(counter(&engine, FAULTS), 1);
    CHECK_EQUAL(counter(&engine, READER_PID), 0);
    CHECK_EQUAL(take_reports(text), 1);
    CHECK(strstr(text, "port \"pipe:t{0\": its reader, process ") == text && strstr(text, "floods its socket") != NULL);
    raw_close(&raw);

    /* Hangs up while the engine waits for it; and closes its sending side only. */
    for (uint64_t i = 2; i <= 3; i++) {
        CHECK(raw_attach("t}0", &raw));
        engine_await(&engine, ATTACHES, i);
        uint64_t full = counter(&engine, FULL);
        while (counter(&engine, FULL) == full)
            engine_send(&engine, BATCH_MAX, false);
        shutdown(raw.fd, i == 2 ? SHUT_WR : SHUT_RDWR);
        engine_send(&engine, BATCH_MAX, true);
        CHECK_EQUAL(counter(&engine, READER_PID), 0);
        raw_close(&raw);
    }
    engine_close(&engine);
}

/* What a reader is given cannot be written, resized or mapped writable. */
static void test_sealed(void)
{
    struct engine engine;
    struct raw_reader raw;
    engine_open(&engine, "t{0", "");
    CHECK(raw_attach("t}0", &raw));
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, raw.data_fd, 0) == MAP_FAILED);
    void *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, raw.data_fd, 0);
    CHECK(page != MAP_FAILED && mprotect(page, 4096, PROT_READ | PROT_WRITE) < 0);
    munmap(page, 4096);
    CHECK(pwrite(raw.data_fd, "x", 1, 0) < 0);
    CHECK(ftruncate(raw.data_fd, 0) < 0 && ftruncate(raw.page_fd, 0) < 0);
    CHECK(fallocate(raw.data_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) < 0);
    CHECK(fcntl(raw.page_fd, F_ADD_SEALS, F_SEAL_WRITE) < 0);
    raw_close(&raw);
    engine_close(&engine);
}

static void test_second_reader(void)
{
    struct engine engine;
    struct pb_pipe_reader *second;
    struct pb_error error;
    char expected[100];
    engine_open(&engine, "t{0", "");
    struct pb_pipe_reader *first = open_pipe("t}0");
    snprintf(expected, sizeof(expected), "pipe \"t}0\": process %d (test_pipe) reads it already; end that process first", getpid());
    CHECK_EQUAL(pb_pipe_open("t}0", &second, &error), -EBUSY); /* granted, not adopted yet */
    CHECK(strcmp(error.text, expected) == 0);
    engine_await(&engine, ATTACHES, 1);
    CHECK_EQUAL(pb_pipe_open("t}0", &second, &error), -EBUSY);
    CHECK(second == NULL && strcmp(error.text, expected) == 0);
    pb_pipe_close(first);
    pb_pipe_close(open_pipe("t}0"));
    engine_close(&engine);
}

static void test_exclusive(void)
{
    struct engine engine, second;
    struct pb_error error;
    char line[PB_ERROR_BYTES], expected[PB_ERROR_BYTES];
    FILE *output;
    engine_open(&engine, "t{0", "");
    CHECK_EQUAL(engine_try_open(&second, "t}0", "", &error), -EADDRINUSE); /* the same pipe, said otherwise */
    CHECK(strstr(error.text, "already served by this process") != NULL);
    pid_t pid = start_role(&output, "serve", "t{0", "0", NULL);
    CHECK(fgets(line, sizeof(line), output) != NULL);
    snprintf(expected, sizeof(expected),
             "port \"pipe:t{0\": cannot open for output: already served by process %d; stop it or choose another name\n", getpid());
    CHECK(strcmp(line, expected) == 0);
    end_role(pid, output, false);
    pb_pipe_close(open_pipe("t}0")); /* undisturbed */
    engine_close(&engine);
}

/* What a dead process leaves behind is no obstacle; its reader reads to the end. */
static void test_killed_producer(void)
{
    struct engine engine;
    struct pb_pipe_reader *reader;
    struct pb_error error;
    FILE *output;
    struct reading reading = {.length_max = 100, .gapless = true};
    for (int spinning = 0; spinning < 2; spinning++) {
        pid_t pid = start_role(&output, "serve", "t{0", "40", NULL);
        CHECK_EQUAL(role_says(output, "serving"), pid);
        reader = open_pipe("t}0");
        CHECK_EQUAL(role_says(output, "sent"), 40);
        end_role(pid, output, true);
        reading.packets = 0;
        if (spinning == 0) {
            read_packets(reader, &reading);
            CHECK_EQUAL(reading.end, -EPIPE);
        } else { /* one that never sleeps learns of it too */
            struct pb_pipe_record record;
            int count;
            while ((count = pb_pipe_read(reader, &record, 1)) >= 0)
                reading.packets += (uint64_t)count;
            CHECK_EQUAL(count, -EPIPE);
        }
        CHECK_EQUAL(reading.packets, 40);
        CHECK_EQUAL(pb_pipe_wait(reader, -1), 1);
        pb_pipe_close(reader);
        CHECK_EQUAL(pb_pipe_open("t}0", &reader, &error), -ENOENT); /* a socket, and nobody behind it */
        CHECK(strstr(error.text, "have: none") != NULL);
    }
    engine_open(&engine, "t{0", "");
    pb_pipe_close(open_pipe("t}0"));
    engine_close(&engine);
}

static void test_end_of_stream(void)
{
    struct engine engine;
    struct reading reading = {.length_max = 100, .gapless = true};
    engine_open(&engine, "t{0", "");
    engine.length_max = 100;
    struct pb_pipe_reader *reader = open_pipe("t}0");
    engine_await(&engine, ATTACHES, 1);
    engine_send(&engine, 50, true);
    engine_close(&engine);
    read_packets(reader, &reading);
    CHECK_EQUAL(reading.packets, 50);
    CHECK_EQUAL(reading.end, -EPIPE);
    pb_pipe_close(reader);
    engine_open(&engine, "t{0", ""); /* closed before the reader was adopted */
    reader = open_pipe("t}0");
    engine_close(&engine);
    struct pb_pipe_record record;
    CHECK_EQUAL(pb_pipe_wait(reader, -1), 1);
    CHECK_EQUAL(pb_pipe_read(reader, &record, 1), -EPIPE);
    pb_pipe_close(reader);
}

static int add_to_text(const char *name, void *arg)
{
    strcat(strcat(arg, name), " ");
    return 0;
}

static int stop_listing(const char *name, void *arg)
{
    (void)name;
    ++*(int *)arg;
    return 7;
}

static void test_status(void)
{
    struct engine engine, others[3];
    struct pb_pipe_status status;
    struct pb_error error;
    struct pb_pipe_reader *reader;
    char names[100] = "";
    engine_open(&engine, "t{0", "");
    engine.length_max = 100;
    engine_open(&others[0], "t{10", "");
    engine_open(&others[1], "t{2", "");
    engine_open(&others[2], "a{0", "");
    CHECK_EQUAL(pb_pipe_list(add_to_text, names, &error), 0);
    CHECK(strcmp(names, "a}0 t}0 t}2 t}10 ") == 0);
    int calls = 0;
    CHECK(pb_pipe_list(stop_listing, &calls, &error) == 7 && calls == 1);
    engine_send(&engine, 5, false);
    CHECK_EQUAL(pb_pipe_status("t}0", &status, &error), 0);
    CHECK(status.application_pid == 0 && status.packets == 0 && status.dropped == 5 && status.used_bytes == 0);
    reader = open_pipe("t}0");
    engine_await(&engine, ATTACHES, 1);
    engine_send(&engine, 6, false);
    CHECK_EQUAL(pb_pipe_status("t}0", &status, &error), 0);
    CHECK(status.packets == 6 && status.dropped == 5);
    CHECK(status.engine_pid == getpid() && status.application_pid == getpid());
    CHECK(status.used_bytes > 0 && status.ring_bytes == PB_RING_BYTES_MIN);
    CHECK(strcmp(status.engine, "test") == 0);
    CHECK_EQUAL(status.bytes, pb_counter_get(&engine.counters[PB_PORT_TX_BYTES]));
    pb_pipe_close(reader);
    CHECK_EQUAL(pb_pipe_status("t}9", &status, &error), -ENOENT);
    CHECK(strncmp(error.text, "pipe \"t}9\": no engine serves it at ", 35) == 0);
    CHECK(strstr(error.text, "/pipes/t}9.sock; have: a}0, t}0, t}2, t}10 (bricks-pipe --list; BRICKS_RUNTIME_DIR ") != NULL);
    for (int i = 0; i < 3; i++)
        engine_close(&others[i]);
    engine_close(&engine);
    CHECK_EQUAL(pb_pipe_status("t}0", &status, &error), -ENOENT);
    CHECK(strstr(error.text, "have: none") != NULL);
}

/* Clients that send nonsense, nothing, or come in crowds. */
static void test_handshakes(void)
{
    struct engine engine;
    struct pb_attach_reply reply;
    struct pb_attach_request requests[] = {
        {PB_ATTACH_MAGIC, PB_ATTACH_VERSION + 1, PB_ATTACH_READ, 0},
        {PB_ATTACH_MAGIC, PB_ATTACH_VERSION, 99, 0},
    };
    struct pb_pipe_status status;
    struct pb_error error;
    char byte;
    engine_open(&engine, "t{0", "");
    for (int i = 0; i < 2; i++) {
        int fd = raw_connect("t}0");
        CHECK(send(fd, &requests[i], sizeof(requests[i]), MSG_NOSIGNAL) > 0);
        CHECK_EQUAL(recv(fd, &reply, sizeof(reply), 0), sizeof(reply));
        CHECK_EQUAL(reply.error.code, EPROTO);
        CHECK_EQUAL(recv(fd, &byte, 1, 0), 0);
        close(fd);
    }
    uint64_t state = 1;
    for (uint32_t i = 0; i < 500; i++) { /* of any length, a request's too */
        uint32_t length = i % 5 == 0 ? sizeof(struct pb_attach_request) : 1 + random_next(&state) % 3000;
        int fd = raw_connect("t}0");
        CHECK(send(fd, payload + i, length, MSG_NOSIGNAL) > 0);
        CHECK(recv(fd, &byte, 1, 0) <= 0);
        close(fd);
    }
    int crowd[100];
    for (int i = 0; i < 100; i++) /* the oldest go */
        crowd[i] = raw_connect("t}0");
    CHECK_EQUAL(recv(crowd[0], &byte, 1, 0), 0);
    CHECK_EQUAL(recv(crowd[35], &byte, 1, 0), 0);
    CHECK(recv(crowd[99], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
    CHECK_EQUAL(pb_pipe_status("t}0", &status, &error), 0);
    CHECK_EQUAL(recv(crowd[99], &byte, 1, 0), 0); /* says nothing: hung up on after a while */
    for (int i = 0; i < 100; i++)
        close(crowd[i]);
    for (int i = 0; i < 50; i++) /* still there when the pipe is closed */
        crowd[i] = raw_connect("t}0");
    engine_close(&engine);
    for (int i = 0; i < 50; i++) {
        CHECK(recv(crowd[i], &byte, 1, 0) <= 0);
        close(crowd[i]);
    }
}

/* Descriptors have run out: clients are refused, the server goes on. */
static void test_no_descriptors(void)
{
    struct engine engine;
    struct rlimit before, none;
    struct pb_pipe_status status;
    struct pb_error error;
    char byte;
    engine_open(&engine, "t{0", "");
    int fds[20], next = dup(0);
    close(next);
    for (int i = 0; i < 20; i++)
        fds[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = (rlim_t)(fds[19] + 1);
    setrlimit(RLIMIT_NOFILE, &none);
    struct sockaddr_un address;
    CHECK(pb_pipe_address("t}0", false, &address, NULL) == 0);
    for (int i = 0; i < 20; i++) {
        CHECK(connect(fds[i], (struct sockaddr *)&address, sizeof(address)) == 0);
        CHECK_EQUAL(recv(fds[i], &byte, 1, 0), 0);
    }
    setrlimit(RLIMIT_NOFILE, &before);
    for (int i = 0; i < 20; i++)
        close(fds[i]);
    CHECK_EQUAL(pb_pipe_status("t}0", &status, &error), 0);
    engine_close(&engine);
}

/* ------------------------------------------------------------------- main */

static uint32_t count_memfds(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    uint32_t count = 0;
    for (char line[4096]; fgets(line, sizeof(line), maps) != NULL;)
        count += strstr(line, "memfd:bricks") != NULL;
    fclose(maps);
    return count;
}

static void *no_thread(void *arg)
{
    return arg;
}

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
    {"names", test_names},
    {"protocol", test_protocol},
    {"ping_pong", test_ping_pong},
    {"transfer", test_transfer},
    {"process", test_process},
    {"wake_ups", test_wake_ups},
    {"held_records", test_held_records},
    {"next_after_waiting", test_next_after_waiting},
    {"readers_come_and_go", test_readers_come_and_go},
    {"wait_for_reader", test_wait_for_reader},
    {"link_type_and_length", test_link_type_and_length},
    {"killed_reader", test_killed_reader},
    {"killed_in_a_hurry", test_killed_in_a_hurry},
    {"stopped_reader", test_stopped_reader},
    {"hostile_page", test_hostile_page},
    {"socket_flood", test_socket_flood},
    {"sealed", test_sealed},
    {"unseen_readers", test_unseen_readers},
    {"second_reader", test_second_reader},
    {"exclusive", test_exclusive},
    {"killed_producer", test_killed_producer},
    {"end_of_stream", test_end_of_stream},
    {"status", test_status},
    {"handshakes", test_handshakes},
    {"no_descriptors", test_no_descriptors},
};

static void run_role(char **argv)
{
    const char *role = argv[2];
    if (strcmp(role, "read") == 0)
        role_read(argv[3], argv[4], argv[5]);
    else if (strcmp(role, "sit") == 0)
        role_sit(argv[3], argv[4]);
    else if (strcmp(role, "hurry") == 0)
        role_hurry(argv[3], argv[4]);
    else if (strcmp(role, "serve") == 0)
        role_serve(argv[3], argv[4]);
    else if (strcmp(role, "scribble") == 0)
        role_scribble(argv[3], argv[4]);
}

/* test_pipe [NAME]: all tests, or one. */
int main(int argc, char **argv)
{
    make_payload();
    if (argc > 2) {
        run_role(argv);
        return 0;
    }
    char directory[] = "/tmp/test_pipe_XXXXXX", pipes[64];
    CHECK(mkdtemp(directory) != NULL);
    setenv("BRICKS_RUNTIME_DIR", directory, 1);
    pb_event_fd(); /* made at the first report, else: no leak */
    pthread_t first; /* TSan adds a thread of its own with the first */
    CHECK(pthread_create(&first, NULL, no_thread, NULL) == 0 && pthread_join(first, NULL) == 0);
    uint32_t descriptors = count_entries("/proc/self/fd"), threads = count_entries("/proc/self/task");
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        if (argc == 2 && strcmp(argv[1], tests[i].name) != 0)
            continue;
        alarm(WATCHDOG_S);
        tests[i].run();
        printf("pipe: %s\n", tests[i].name);
        fflush(stdout);
        CHECK_EQUAL(count_entries("/proc/self/fd"), descriptors);
        CHECK_EQUAL(count_entries("/proc/self/task"), threads);
        CHECK_EQUAL(count_memfds(), 0);
        snprintf(pipes, sizeof(pipes), "%s/pipes", directory);
        CHECK(access(pipes, F_OK) < 0 || count_entries(pipes) == 0);
    }
    rmdir(pipes);
    CHECK_EQUAL(rmdir(directory), 0);
    return 0;
}
