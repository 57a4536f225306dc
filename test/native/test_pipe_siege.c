/*
 * test_pipe_siege.c - applications that come in thousands, race, die at any moment,
 * flood the attach socket and scribble over all that they can write, against
 * engines that run. After each: the accounts hold, the application beside them got
 * every packet, and the process holds no descriptor, thread or mapping more.
 *
 * The engine's source can pause and its pipes wait for readers, so a packet that
 * is missing anywhere is a fault. Applications that die or lie are processes: this
 * program started again ("test_pipe_siege --role ..."). Random choices come from a
 * seed that is printed; the first argument sets it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "accounts.h"
#include "holdings.h"
#include "pipe/directory.h"
#include "pipe/protocol.h"
#include "pipe/ring.h"

#define WATCHDOG_S 120
#ifdef PB_SANITIZED
#define FEWER 20 /* rounds: what counts there is that each kind of access happens */
#else
#define FEWER 1
#endif
#define KILLS (1000 / FEWER)
#define RACES (5000 / FEWER)
#define CYCLES (10000 / FEWER)
#define FLOOD_CONNECTIONS (1000 / FEWER) /* of each of CROWDS processes */
#define FAULTS (1000 / FEWER)
#define FLOWS 1000 /* of the generator, in turn: how a missing packet is noticed */
#define RECORDS_MAX 64

static struct pb_error error;

static uint32_t random_next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* --------------------------------------------------------------- the engine */

/* Its pipes lend, in this test; from rings that hold more packets than the generator has frames. */
static bool lends;

/* Generator, Duplicator, pipes siege}0 to siege}pipes-1. */
static int engine_start(uint32_t pipes)
{
    int engine = pb_engine_create("siege", 64, -1, 64, &error);
    CHECK(engine > 0);
    CHECK_EQUAL(pb_engine_add_brick(engine, "Duplicator", (const uint8_t *)"", 0, 0, pipes, 0, &error), 0);
    CHECK_EQUAL(pb_engine_add_input(engine, "null", "", "flows=1000", -1, &error), 0);
    CHECK_EQUAL(pb_engine_connect_input(engine, 0, 0, &error), 0);
    for (uint32_t i = 0; i < pipes; i++) {
        char name[32];
        snprintf(name, sizeof(name), "siege{%u", i);
        CHECK_EQUAL(pb_engine_add_output(engine, "pipe", name, lends ? "wait=1&lend=1&slots=512" : "wait=1", &error), i);
        CHECK_EQUAL(pb_engine_connect_output(engine, 0, i, i, &error), 0);
    }
    if (pb_engine_start(engine, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    return engine;
}

static void engine_end(int engine)
{
    CHECK_EQUAL(pb_engine_stop(engine, &error), 0);
    check_accounts(engine);
    CHECK_EQUAL(pb_engine_delete(engine, &error), 0);
}

/* A driver's counter, by its name in the table. */
static uint64_t port_counter(const struct pb_port *port, const char *name)
{
    for (uint32_t i = 0; i < port->driver->counters_count; i++)
        if (strcmp(port->driver->counters[i].name, name) == 0)
            return pb_counter_get(&port->counters[PB_PORT_COUNTERS + i]);
    fprintf(stderr, "no counter %s\n", name);
    exit(1);
}

static uint64_t counter(int engine, uint32_t output, const char *name)
{
    return port_counter(&pb_engine_find(engine)->outputs[output]->port, name);
}

static uint64_t input_counter(int engine, const char *name)
{
    return port_counter(&pb_engine_find(engine)->inputs[0]->port, name);
}

static uint64_t sent(int engine, uint32_t output)
{
    return pb_counter_get(&pb_engine_find(engine)->outputs[output]->port.counters[PB_PORT_TX_PACKETS]);
}

static void await_gone(int engine, uint32_t output)
{
    while (counter(engine, output, "reader_pid") != 0)
        usleep(100);
}

/* --------------------------------------------------------- a reader that checks */

struct stream {
    uint64_t packets;
    uint32_t next_flow;
};

/* A frame of the generator's: of the flow that is next in turn, and unharmed. */
static void check_frame(struct stream *stream, const struct pb_pipe_record *record)
{
    const uint8_t *ip = record->data + 14;
    uint32_t sum = 0, flow = (uint32_t)ip[13] << 16 | (uint32_t)ip[14] << 8 | ip[15];
    CHECK_EQUAL(record->captured_len, 60);
    CHECK_EQUAL(record->wire_len, 60);
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)ip[i] << 8 | ip[i + 1];
    CHECK_EQUAL((sum & 0xffff) + (sum >> 16), 0xffff);
    if (stream->packets > 0)
        CHECK_EQUAL(flow, stream->next_flow);
    stream->next_flow = (flow + 1) % FLOWS;
    stream->packets++;
}

static struct pb_pipe_reader *open_pipe(const char *name)
{
    struct pb_pipe_reader *reader;
    if (pb_pipe_open(name, &reader, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    return reader;
}

/* Reads and gives back one batch. Returns its packets, or -errno. */
static int read_some(struct pb_pipe_reader *reader, struct stream *stream, uint32_t records_max)
{
    struct pb_pipe_record records[RECORDS_MAX];
    int count = pb_pipe_read(reader, records, records_max);
    for (int i = 0; i < count; i++)
        check_frame(stream, &records[i]);
    if (count == 0)
        CHECK_EQUAL(pb_pipe_wait(reader, -1), 1);
    pb_pipe_release(reader);
    return count;
}

/* Reads pipe `name` to its end: every packet of it. */
static struct beside {
    pthread_t thread;
    const char *name;
    struct stream stream;
    _Atomic uint64_t packets;
} beside;

static void *read_beside(void *arg)
{
    struct beside *reading = arg;
    struct pb_pipe_reader *reader = open_pipe(reading->name);
    int count;
    while ((count = read_some(reader, &reading->stream, RECORDS_MAX)) >= 0)
        atomic_store(&reading->packets, reading->stream.packets);
    CHECK_EQUAL(count, -EPIPE);
    pb_pipe_close(reader);
    return NULL;
}

static void beside_start(const char *name)
{
    beside = (struct beside){.name = name};
    CHECK_EQUAL(pthread_create(&beside.thread, NULL, read_beside, &beside), 0);
}

/* The engine has stopped: it must have had all that was sent to it. */
static void beside_end(int engine, uint32_t output)
{
    pthread_join(beside.thread, NULL);
    CHECK_EQUAL(beside.stream.packets, sent(engine, output));
    CHECK_EQUAL(counter(engine, output, "lent") > 0, lends);
}

/* -------------------------------------------------------------------- roles */

static pid_t start_role(const char *role, const char *name, const char *argument)
{
    char *argv[] = {"test_pipe_siege", "--role", (char *)(uintptr_t)role, (char *)(uintptr_t)name,
                    (char *)(uintptr_t)argument, NULL};
    pid_t pid = vfork();
    CHECK(pid >= 0);
    if (pid == 0) {
        execv("/proc/self/exe", argv);
        _exit(127);
    }
    return pid;
}

/* Whatever becomes of the test, its processes end with it. */
static void kill_role(pid_t pid)
{
    int status;
    kill(pid, SIGKILL);
    CHECK_EQUAL(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status));
}

static void end_role(pid_t pid)
{
    int status;
    CHECK_EQUAL(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* What processes tell each other: packets that readers have given back. */
struct shared {
    _Atomic uint64_t begun, finished; /* by pb_pipe_release() calls, since the first reader */
    _Atomic uint32_t attached;
};

static struct shared *shared_map(int fd)
{
    struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(shared != MAP_FAILED);
    return shared;
}

/* Reads and keeps count until it is killed. */
static void role_drain(const char *name, int shared_fd)
{
    struct shared *shared = shared_map(shared_fd);
    struct pb_pipe_record records[RECORDS_MAX];
    struct stream stream = {0};
    struct pb_pipe_reader *reader = open_pipe(name);
    int count;
    atomic_fetch_add(&shared->attached, 1);
    while ((count = pb_pipe_read(reader, records, RECORDS_MAX)) >= 0) {
        for (int i = 0; i < count; i++)
            check_frame(&stream, &records[i]);
        atomic_fetch_add(&shared->begun, (uint64_t)count);
        pb_pipe_release(reader);
        atomic_store(&shared->finished, atomic_load(&shared->begun));
        if (count == 0)
            pb_pipe_wait(reader, -1);
    }
}

/* A packet of a writer's: whose, which, and bytes that follow from that. */
#define POUR_BYTES 100

static void pour_frame(uint8_t frame[POUR_BYTES], uint32_t writer, uint32_t number)
{
    uint64_t state = (uint64_t)writer << 32 | number;
    memcpy(frame, &writer, sizeof(writer));
    memcpy(frame + 4, &number, sizeof(number));
    for (uint32_t i = 8; i < POUR_BYTES; i++)
        frame[i] = (uint8_t)random_next(&state);
}

/* Writes and keeps count until it is killed. */
static void role_pour(const char *name, int shared_fd)
{
    enum { BATCH = 16 };
    static uint8_t frames[BATCH][POUR_BYTES];
    struct shared *shared = shared_map(shared_fd);
    struct pb_pipe_record records[BATCH];
    struct pb_pipe_writer *writer;
    uint32_t own = atomic_fetch_add(&shared->attached, 1), number = 0;
    if (pb_pipe_open_writer(name, &writer, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    for (;;) {
        for (uint32_t i = 0; i < BATCH; i++) {
            pour_frame(frames[i], own, number + i);
            records[i] = (struct pb_pipe_record){.data = frames[i], .captured_len = POUR_BYTES, .wire_len = POUR_BYTES};
        }
        atomic_fetch_add(&shared->begun, BATCH);
        int count = pb_pipe_write(writer, records, BATCH);
        CHECK(count >= 0);
        atomic_fetch_sub(&shared->begun, (uint64_t)(BATCH - count));
        atomic_store(&shared->finished, atomic_load(&shared->begun));
        number += (uint32_t)count;
        if (count == 0)
            CHECK_EQUAL(pb_pipe_writer_wait(writer, -1), 1);
    }
}

static int raw_connect(const char *name)
{
    struct sockaddr_un address;
    CHECK_EQUAL(pb_pipe_address(name, false, &address, &error), 0);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK_EQUAL(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* Send `bytes` with copies of `descriptor`. False: it was not taken. */
static bool send_descriptors(int fd, const void *bytes, size_t length, int descriptor, uint32_t copies)
{
    static int descriptors[253]; /* SCM_MAX_FD */
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(descriptors))] = {0};
    struct iovec part = {(void *)(uintptr_t)bytes, length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = CMSG_SPACE(copies * sizeof(int))};
    for (uint32_t i = 0; i < copies; i++)
        descriptors[i] = descriptor;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(copies * sizeof(int));
    memcpy(CMSG_DATA(header), descriptors, copies * sizeof(int));
    return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)length;
}

/* Thousands of connections that say nothing, half of something, something else, or
 * pass hundreds of descriptors with it. Some are held open for a while. */
static void role_flood(const char *name, uint64_t state)
{
    enum { HELD = 100 };
    int held[HELD], null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    memset(held, -1, sizeof(held));
    for (int i = 0; i < FLOOD_CONNECTIONS; i++) {
        struct pb_attach_request request = {PB_ATTACH_MAGIC, PB_ATTACH_VERSION, 1 + random_next(&state) % 4, 0};
        int fd = raw_connect(name), *place = &held[random_next(&state) % HELD];
        switch (random_next(&state) % 5) {
        case 0:
            break;
        case 1:
            send(fd, &request, random_next(&state) % sizeof(request), MSG_DONTWAIT | MSG_NOSIGNAL);
            break;
        case 2:
            request.magic ^= random_next(&state);
            send(fd, &request, sizeof(request), MSG_DONTWAIT | MSG_NOSIGNAL);
            break;
        case 3:
            send_descriptors(fd, &request, sizeof(request), null, 1 + random_next(&state) % 253);
            break;
        default:
            while (send_descriptors(fd, &request, 1 + random_next(&state) % sizeof(request), null, 253))
                continue;
        }
        if (*place >= 0)
            close(*place);
        *place = fd;
    }
    _exit(0);
}

/* What an attach hands over. */
struct raw {
    int fd, data_fd, page_fd;
};

static bool raw_attach(const char *name, uint32_t verb, struct raw *raw)
{
    struct pb_attach_request request = {PB_ATTACH_MAGIC, PB_ATTACH_VERSION, verb, verb == PB_ATTACH_READ};
    struct pb_attach_reply reply;
    struct iovec part = {&reply, sizeof(reply)};
    int descriptors[PB_ATTACH_DESCRIPTORS_MAX];
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(descriptors))];
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    raw->fd = raw_connect(name);
    CHECK(send(raw->fd, &request, sizeof(request), MSG_NOSIGNAL) > 0);
    ssize_t length = recvmsg(raw->fd, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *header = length == (ssize_t)sizeof(reply) ? CMSG_FIRSTHDR(&message) : NULL;
    if (header == NULL) {
        close(raw->fd);
        return false;
    }
    size_t bytes = header->cmsg_len - CMSG_LEN(0);
    memcpy(descriptors, CMSG_DATA(header), bytes);
    raw->data_fd = descriptors[PB_ATTACH_DATA];
    raw->page_fd = descriptors[PB_ATTACH_READER_PAGE];
    for (size_t i = PB_ATTACH_REFERENCES; i < bytes / sizeof(int); i++)
        close(descriptors[i]);
    return true;
}

/* A value that might be believed, or none at all. */
static uint64_t random_value(uint64_t *state, uint64_t present)
{
    switch (random_next(state) % 8) {
    case 0: return 0;
    case 1: return UINT64_MAX;
    case 2: return present + 1;
    case 3: return present + PB_RING_UNIT * (random_next(state) % 4096);
    case 4: return present - PB_RING_UNIT * (random_next(state) % 4096);
    case 5: return (uint64_t)random_next(state) << 32 | random_next(state);
    case 6: return random_next(state);
    default: return present ^ (uint64_t)1 << (random_next(state) % 64);
    }
}

/* Attaches as a writer again and again, publishes sound and unsound records, and
 * writes random values over the producer page, the records, the ring and the reader
 * page, while the engine reads them. */
static void role_scribble(const char *name, uint64_t state)
{
    for (;;) {
        struct raw raw;
        if (!raw_attach(name, PB_ATTACH_WRITE, &raw))
            continue;
        off_t data_bytes = lseek(raw.data_fd, 0, SEEK_END);
        uint64_t *data = mmap(NULL, (size_t)data_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, raw.data_fd, 0);
        uint64_t *page = mmap(NULL, sizeof(struct pb_reader_page), PROT_READ | PROT_WRITE, MAP_SHARED, raw.page_fd, 0);
        CHECK(data != MAP_FAILED && page != MAP_FAILED);
        uint64_t *head = &data[offsetof(struct pb_producer_page, head) / sizeof(*data)];
        for (uint32_t writes = 50 + random_next(&state) % 2000; writes > 0; writes--) {
            /* Mostly the pages and the first records: those mean something. */
            uint64_t words = (uint64_t)data_bytes / sizeof(*data), near = 4096 / sizeof(*data) + 512;
            uint64_t *word = random_next(&state) % 4 == 0 ? &page[random_next(&state) % (sizeof(struct pb_reader_page) / 8)]
                                                          : &data[random_next(&state) % (random_next(&state) % 4 == 0 ? words : near)];
            __atomic_store_n(word, random_value(&state, *word), __ATOMIC_RELAXED);
            if (random_next(&state) % 8 == 0)
                __atomic_store_n(head, *head + random_next(&state) % 8, __ATOMIC_SEQ_CST);
            if (random_next(&state) % 16 == 0)
                send(raw.fd, "ab", 1 + (random_next(&state) % 64 == 0), MSG_DONTWAIT | MSG_NOSIGNAL);
            if (random_next(&state) % 512 == 0)
                fallocate(raw.data_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, data_bytes);
        }
        munmap(data, (size_t)data_bytes);
        munmap(page, sizeof(struct pb_reader_page));
        close(raw.data_fd);
        close(raw.page_fd);
        close(raw.fd);
    }
}

/* Attaches as a reader again and again, and gives back what it has not read, at once;
 * now and then what was never sent. */
static void role_forge(const char *name, uint64_t state)
{
    for (;;) {
        struct raw raw;
        if (!raw_attach(name, PB_ATTACH_READ, &raw))
            continue;
        struct pb_producer_page *producer = mmap(NULL, sizeof(*producer), PROT_READ, MAP_SHARED, raw.data_fd, 0);
        struct pb_reader_page *page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, raw.page_fd, 0);
        CHECK(producer != MAP_FAILED && page != MAP_FAILED);
        struct pollfd hangup = {.fd = raw.fd, .events = POLLRDHUP};
        for (uint32_t writes = 1000 + random_next(&state) % 100000; writes > 0; writes--) {
            if (writes % 256 == 0 && poll(&hangup, 1, 0) > 0)
                break;
            if (atomic_load(&page->start) != PB_RING_UNSET) /* else it is the engine's to write */
                atomic_store(&page->tail, atomic_load(&producer->position));
        }
        atomic_store(&page->tail, random_value(&state, atomic_load(&page->tail)));
        while (random_next(&state) % 2 == 0 && poll(&hangup, 1, 10) == 0)
            continue;
        munmap(producer, sizeof(*producer));
        munmap(page, sizeof(*page));
        close(raw.data_fd);
        close(raw.page_fd);
        close(raw.fd);
    }
}

/* ------------------------------------------------------------------- tests */

/* Two that want the same pipe at the same moment: one gets it, the other is told
 * why it does not, and no packet is lost between all of them. */
struct race {
    pthread_barrier_t barrier;
    _Atomic uint32_t winners, refused;
    _Atomic uint64_t packets;
};

static void *race(void *arg)
{
    struct race *shared = arg;
    struct pb_error own_error;
    for (int round = 0; round < RACES; round++) {
        struct pb_pipe_reader *reader;
        pthread_barrier_wait(&shared->barrier);
        int result = pb_pipe_open("siege}0", &reader, &own_error);
        pthread_barrier_wait(&shared->barrier); /* both have tried */
        if (result == 0) {
            struct stream stream = {0};
            atomic_fetch_add(&shared->winners, 1);
            while (stream.packets == 0)
                CHECK(read_some(reader, &stream, 1 + (uint32_t)round % RECORDS_MAX) >= 0);
            atomic_fetch_add(&shared->packets, stream.packets);
            pb_pipe_close(reader);
        } else {
            CHECK_EQUAL(result, -EBUSY);
            CHECK(strstr(own_error.text, "pipe \"siege}0\": ") == own_error.text);
            atomic_fetch_add(&shared->refused, 1);
        }
        pthread_barrier_wait(&shared->barrier); /* the winner has closed */
    }
    return NULL;
}

static void test_race(uint64_t *state)
{
    (void)state;
    struct race shared = {0};
    pthread_t threads[2];
    int engine = engine_start(1);
    pthread_barrier_init(&shared.barrier, NULL, 2);
    for (int i = 0; i < 2; i++)
        CHECK_EQUAL(pthread_create(&threads[i], NULL, race, &shared), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&shared.barrier);
    CHECK_EQUAL(shared.winners, RACES);
    CHECK_EQUAL(shared.refused, RACES);
    await_gone(engine, 0);
    CHECK_EQUAL(counter(engine, 0, "attaches"), RACES);
    CHECK_EQUAL(counter(engine, 0, "reader_faults"), 0);
    CHECK_EQUAL(shared.packets + counter(engine, 0, "unread"), sent(engine, 0));
    engine_end(engine);
}

/* Start KILLS processes in a role and kill each at any moment, before it attaches and
 * in the midst of its work. Returns how many packets are in calls that were cut. */
static uint64_t kill_many(const char *role, const char *name, int shared_fd, struct shared *shared, uint64_t *state)
{
    uint64_t cut = 0;
    char argument[16];
    snprintf(argument, sizeof(argument), "%d", shared_fd); /* the roles inherit it */
    for (int i = 0; i < KILLS; i++) {
        uint32_t attached = atomic_load(&shared->attached), moment = random_next(state) % 8;
        pid_t pid = start_role(role, name, argument);
        while (moment > 0 && atomic_load(&shared->attached) == attached)
            usleep(50);
        if (moment > 1)
            usleep(random_next(state) % 1000);
        kill_role(pid);
        cut += atomic_load(&shared->begun) - atomic_load(&shared->finished);
        atomic_store(&shared->finished, atomic_load(&shared->begun));
    }
    return cut;
}

static int shared_open(struct shared **shared)
{
    int fd = memfd_create("siege", 0);
    CHECK(fd >= 0 && ftruncate(fd, sizeof(**shared)) == 0);
    *shared = shared_map(fd);
    return fd;
}

static void shared_close(int fd, struct shared *shared)
{
    munmap(shared, sizeof(*shared));
    close(fd);
}

/* What killed readers left is counted: all together to the calls they were killed in. */
static void test_kills(uint64_t *state)
{
    struct shared *shared;
    int shared_fd = shared_open(&shared), engine = engine_start(2);
    beside_start("siege}1");
    uint64_t cut = kill_many("drain", "siege}0", shared_fd, shared, state);
    await_gone(engine, 0);
    CHECK_EQUAL(counter(engine, 0, "reader_faults"), 0);
    uint64_t given_back = sent(engine, 0) - counter(engine, 0, "unread");
    CHECK(given_back <= atomic_load(&shared->begun) && given_back + cut >= atomic_load(&shared->begun));
    CHECK_EQUAL(pb_engine_stop(engine, &error), 0);
    beside_end(engine, 1);
    check_accounts(engine);
    CHECK_EQUAL(pb_engine_delete(engine, &error), 0);
    shared_close(shared_fd, shared);
}

/* Reads what killed writers have published: of each all from its first on. */
static void *collect(void *arg)
{
    static uint32_t next[2 * KILLS];
    struct pb_pipe_reader *reader = open_pipe("pours}1");
    struct pb_pipe_record records[RECORDS_MAX];
    uint64_t *packets = arg;
    int count;
    while ((count = pb_pipe_read(reader, records, RECORDS_MAX)) >= 0) {
        for (int i = 0; i < count; i++) {
            uint8_t frame[POUR_BYTES];
            uint32_t writer;
            CHECK_EQUAL(records[i].captured_len, POUR_BYTES);
            memcpy(&writer, records[i].data, sizeof(writer));
            CHECK(writer < 2 * KILLS);
            pour_frame(frame, writer, next[writer]++);
            CHECK(memcmp(frame, records[i].data, POUR_BYTES) == 0);
        }
        *packets += (uint64_t)count;
        pb_pipe_release(reader);
        if (count == 0)
            CHECK_EQUAL(pb_pipe_wait(reader, -1), 1);
    }
    CHECK_EQUAL(count, -EPIPE);
    pb_pipe_close(reader);
    return NULL;
}

/* pours}0, which applications write, to `output`. */
static int engine_of_writers_start(const char *driver, const char *output, const char *options)
{
    int engine = pb_engine_create("pours", 64, -1, 64, &error);
    CHECK_EQUAL(pb_engine_add_brick(engine, "Duplicator", (const uint8_t *)"", 0, 0, 1, 0, &error), 0);
    CHECK_EQUAL(pb_engine_add_input(engine, "inject", "pours}0", "", -1, &error), 0);
    CHECK_EQUAL(pb_engine_connect_input(engine, 0, 0, &error), 0);
    CHECK_EQUAL(pb_engine_add_output(engine, driver, output, options, &error), 0);
    CHECK_EQUAL(pb_engine_connect_output(engine, 0, 0, 0, &error), 0);
    CHECK_EQUAL(pb_engine_start(engine, &error), 0);
    return engine;
}

/* A writer that is killed has sent what it had published, and nothing else. */
static void test_killed_writers(uint64_t *state)
{
    struct shared *shared;
    pthread_t thread;
    uint64_t packets = 0;
    int shared_fd = shared_open(&shared), engine = engine_of_writers_start("pipe", "pours{1", "wait=1");
    CHECK_EQUAL(pthread_create(&thread, NULL, collect, &packets), 0);
    uint64_t cut = kill_many("pour", "pours}0", shared_fd, shared, state);
    while (input_counter(engine, "writer_pid") != 0) /* all that the last one left is received */
        usleep(100);
    CHECK_EQUAL(input_counter(engine, "writer_faults"), 0);
    CHECK_EQUAL(input_counter(engine, "unreceived"), 0);
    CHECK_EQUAL(pb_engine_stop(engine, &error), 0);
    pthread_join(thread, NULL);
    CHECK_EQUAL(check_accounts(engine), packets);
    CHECK(packets <= atomic_load(&shared->begun) && packets + cut >= atomic_load(&shared->begun));
    CHECK_EQUAL(pb_engine_delete(engine, &error), 0);
    shared_close(shared_fd, shared);
}

static uint64_t anonymous_kib(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    unsigned long long kib = 0;
    for (char line[256]; fgets(line, sizeof(line), status) != NULL;)
        if (sscanf(line, "RssAnon: %llu", &kib) == 1)
            break;
    fclose(status);
    return kib;
}

static uint32_t count_lines(const char *path)
{
    FILE *file = fopen(path, "r");
    uint32_t count = 0;
    for (int c; (c = getc(file)) != EOF;)
        count += c == '\n';
    fclose(file);
    return count;
}

static void cycle(int engine, uint64_t rounds)
{
    for (uint64_t i = 0; i < rounds; i++) {
        struct pb_pipe_reader *reader = open_pipe("siege}0");
        struct stream stream = {0};
        while (i % 2 == 0 && stream.packets == 0) /* some are gone before the engine has seen them */
            CHECK(read_some(reader, &stream, RECORDS_MAX) >= 0);
        pb_pipe_close(reader);
    }
    await_gone(engine, 0);
}

/* Attach and detach, ten thousand times: both ends are in this process, and neither
 * keeps anything: a word or a mapping each time would exceed these bounds by far. */
static void test_cycles(uint64_t *state)
{
    (void)state;
    int engine = engine_start(1);
    cycle(engine, CYCLES / 10);
    uint64_t memory_kib = anonymous_kib(), allocated = mallinfo2().uordblks;
    uint32_t mappings = count_lines("/proc/self/maps");
    cycle(engine, CYCLES);
#ifndef PB_SANITIZED /* sanitizers keep what is freed, and look for leaks themselves */
    CHECK(count_lines("/proc/self/maps") <= mappings + 8); /* the allocator's, perhaps */
    CHECK(anonymous_kib() <= memory_kib + 16);
    CHECK(mallinfo2().uordblks <= allocated + (16u << 10));
#else
    (void)memory_kib, (void)allocated, (void)mappings;
#endif
    engine_end(engine);
}

/* Whatever comes to the attach socket: no descriptor of it stays, the server
 * answers, and the reader of the other pipe gets everything. */
static void test_flood(uint64_t *state)
{
    enum { CROWDS = 3, CONNECTIONS_KEPT = 64 };
    struct pb_pipe_status status;
    char seed[24], text[PB_ERROR_BYTES];
    pid_t pids[CROWDS];
    int engine = engine_start(2);
    beside_start("siege}1");
    while (counter(engine, 1, "reader_pid") == 0)
        usleep(100);
    uint32_t before = count_entries("/proc/self/fd");
    for (int i = 0; i < CROWDS; i++) {
        snprintf(seed, sizeof(seed), "%u", random_next(state));
        pids[i] = start_role("flood", "siege}0", seed);
    }
    for (int i = 0; i < 200 / FEWER; i++) {
        int result = pb_pipe_status("siege}1", &status, &error);
        CHECK_EQUAL(result, 0);
        /* Connections that wait, the one being served, a reader with its page, a listing. */
        CHECK(count_entries("/proc/self/fd") <= before + CONNECTIONS_KEPT + 8);
        usleep(1000);
    }
    for (int i = 0; i < CROWDS; i++)
        end_role(pids[i]);
    while (count_entries("/proc/self/fd") > before) /* who says nothing is hung up on after a while */
        usleep(10000);
    /* Some were granted the pipe and sent nonsense then: that is told, of this pipe only. */
    while (pb_event_take(text, sizeof(text)) > 0)
        CHECK(strstr(text, "port \"pipe:siege{0\": its reader, ") == text);
    /* The engine is well: a reader comes and reads. */
    struct pb_pipe_reader *reader = open_pipe("siege}0");
    struct stream stream = {0};
    while (stream.packets < 1000)
        CHECK(read_some(reader, &stream, RECORDS_MAX) >= 0);
    pb_pipe_close(reader);
    CHECK_EQUAL(pb_engine_stop(engine, &error), 0);
    beside_end(engine, 1);
    check_accounts(engine);
    CHECK_EQUAL(pb_engine_delete(engine, &error), 0);
}

/* Writers that lie in every word, beside an engine that serves an honest reader. */
static void test_lying_writers(uint64_t *state)
{
    enum { LIARS = 2 };
    char seed[24], text[PB_ERROR_BYTES];
    pid_t pids[LIARS];
    int honest = engine_start(1);
    beside_start("siege}0");
    int engine = engine_of_writers_start("null", "", "");
    for (int i = 0; i < LIARS; i++) {
        snprintf(seed, sizeof(seed), "%u", random_next(state));
        pids[i] = start_role("scribble", "pours}0", seed);
    }
    while (input_counter(engine, "writer_faults") < FAULTS)
        usleep(1000);
    for (int i = 0; i < LIARS; i++)
        kill_role(pids[i]);
    CHECK_EQUAL(pb_event_take(text, sizeof(text)), engine); /* told once, however often */
    CHECK_EQUAL(pb_event_take(text, sizeof(text)), 0);
    engine_end(engine);
    CHECK_EQUAL(pb_engine_stop(honest, &error), 0);
    beside_end(honest, 0);
    check_accounts(honest);
    CHECK_EQUAL(pb_engine_delete(honest, &error), 0);
}

/* A reader that gives back early has nothing of it, and takes nothing from the reader
 * beside it, which is lent the same buffers. */
static void test_lying_readers(uint64_t *state)
{
    char seed[24], text[PB_ERROR_BYTES];
    int engine = engine_start(2);
    beside_start("siege}1");
    snprintf(seed, sizeof(seed), "%u", random_next(state));
    pid_t pid = start_role("forge", "siege}0", seed);
    while (counter(engine, 0, "reader_faults") < FAULTS / 10)
        usleep(1000);
    kill_role(pid);
    while (pb_event_take(text, sizeof(text)) > 0)
        CHECK(strstr(text, "port \"pipe:siege{0\": its reader, ") == text);
    CHECK_EQUAL(pb_engine_stop(engine, &error), 0);
    beside_end(engine, 1);
    check_accounts(engine);
    CHECK_EQUAL(pb_engine_delete(engine, &error), 0);
}

/* ------------------------------------------------------------------- main */

static void run_role(char **argv)
{
    if (strcmp(argv[2], "drain") == 0)
        role_drain(argv[3], atoi(argv[4]));
    else if (strcmp(argv[2], "pour") == 0)
        role_pour(argv[3], atoi(argv[4]));
    else if (strcmp(argv[2], "flood") == 0)
        role_flood(argv[3], (uint64_t)atoll(argv[4]));
    else if (strcmp(argv[2], "scribble") == 0)
        role_scribble(argv[3], (uint64_t)atoll(argv[4]));
    else if (strcmp(argv[2], "forge") == 0)
        role_forge(argv[3], (uint64_t)atoll(argv[4]));
}

static const struct {
    const char *name;
    void (*run)(uint64_t *state);
    bool lends;
} tests[] = {
    {"race", test_race, false},
    {"race_lent", test_race, true},
    {"kills", test_kills, false},
    {"kills_lent", test_kills, true},
    {"killed_writers", test_killed_writers, false},
    {"cycles", test_cycles, false},
    {"cycles_lent", test_cycles, true},
    {"flood", test_flood, false},
    {"lying_writers", test_lying_writers, false},
    {"lying_readers", test_lying_readers, false},
    {"lying_readers_lent", test_lying_readers, true},
};

static void *no_thread(void *arg)
{
    return arg;
}

static char directory[] = "/tmp/test_pipe_siege_XXXXXX"; /* of this test's pipes */

/* Also when a check has failed: then pipes are still there. */
static void remove_directory(void)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/pipes", directory);
    DIR *pipes = opendir(path);
    for (struct dirent *entry; pipes != NULL && (entry = readdir(pipes)) != NULL;)
        unlinkat(dirfd(pipes), entry->d_name, 0);
    if (pipes != NULL)
        closedir(pipes);
    rmdir(path);
    rmdir(directory);
}

/* test_pipe_siege [SEED [NAME]]: all tests, or one. */
int main(int argc, char **argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* roles end with the test, however it ends */
    if (argc > 3) {
        run_role(argv);
        return 0;
    }
    char pipes[64];
    uint64_t seed = argc > 1 ? (uint64_t)atoll(argv[1]) : (uint64_t)time(NULL);
    printf("siege: seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    CHECK(mkdtemp(directory) != NULL && atexit(remove_directory) == 0);
    setenv("BRICKS_RUNTIME_DIR", directory, 1);
    pb_event_fd(); /* made at the first report, else: no leak */
    pthread_t first; /* TSan adds a thread of its own with the first */
    CHECK(pthread_create(&first, NULL, no_thread, NULL) == 0 && pthread_join(first, NULL) == 0);
    uint32_t descriptors = count_entries("/proc/self/fd"), threads = count_entries("/proc/self/task");
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        if (argc > 2 && strcmp(argv[2], tests[i].name) != 0)
            continue;
        alarm(WATCHDOG_S);
        uint64_t state = seed;
        lends = tests[i].lends;
        tests[i].run(&state);
        printf("siege: %s\n", tests[i].name);
        fflush(stdout);
        CHECK_EQUAL(count_entries("/proc/self/fd"), descriptors);
        CHECK_EQUAL(count_entries("/proc/self/task"), threads);
        snprintf(pipes, sizeof(pipes), "%s/pipes", directory);
        CHECK_EQUAL(count_entries(pipes), 0);
    }
    return 0;
}
