/*
 * test_ring_model.c - every interleaving of a pipe's two sides, for a few packets
 * and a ring of a few units: producer.c and reader.c as they are, on the model of
 * ring_model/model.h.
 *
 * Held in every state that can be reached: no wake-up is lost, no record is read
 * before it is whole or overwritten before it is released, a request for space is
 * answered once, the end of the stream is seen, a reader that is killed is counted
 * to the packet. Then the same with mutants of the protocol, each of which must be
 * found.
 *
 *   test_ring_model               all
 *   test_ring_model SCENARIO [MUTANT]   one, with a trace of what went wrong
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "ring_model/sides.h"

#define BATCH_MAX 4

struct world world;
enum mutant mutant;

struct scenario {
    const char *name;
    uint64_t ring_bytes;
    uint32_t packets, batch;
    uint32_t lengths[4];   /* of the packets, over and over; 0 ends it */
    bool may_wait;         /* the source can pause; else a full ring drops */
    bool idle;             /* the engine falls silent at the end; else it closes the pipe */
    bool spins;            /* the reader does not sleep */
    bool may_die;          /* the reader is killed at any moment */
    bool comes_late;       /* the reader is adopted while both run; else before */
    uint32_t read_max;     /* records of one read */
    uint32_t holds;        /* releases after its first read, and then not before it has so many */
};

/* The smallest first: that is where mutants are looked for. */
static const struct scenario scenarios[] = {
    {.name = "spins", .ring_bytes = 32, .packets = 3, .batch = 1, .lengths = {16}, .read_max = 1,
     .may_wait = true, .idle = true, .spins = true},
    {.name = "live_drops", .ring_bytes = 64, .packets = 4, .batch = 2, .lengths = {16}, .read_max = 2},
    {.name = "holds_records", .ring_bytes = 128, .packets = 5, .batch = 2, .lengths = {16}, .read_max = 1, .holds = 5,
     .may_wait = true, .idle = true},
    {.name = "one_by_one", .ring_bytes = 64, .packets = 3, .batch = 1, .lengths = {16}, .read_max = 1,
     .may_wait = true, .idle = true},
    {.name = "adoption", .ring_bytes = 64, .packets = 2, .batch = 1, .lengths = {16}, .read_max = 1,
     .may_wait = true, .comes_late = true},
    {.name = "killed", .ring_bytes = 64, .packets = 4, .batch = 1, .lengths = {16}, .read_max = 1,
     .may_wait = true, .idle = true, .spins = true, .may_die = true},
    {.name = "whole_ring", .ring_bytes = 32, .packets = 3, .batch = 1, .lengths = {16}, .read_max = 2,
     .may_wait = true, .idle = true},
    {.name = "lengths_and_wrap", .ring_bytes = 64, .packets = 4, .batch = 2, .lengths = {16, 32, 1}, .read_max = 2,
     .may_wait = true},
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

static const struct scenario *scenario;
static uint8_t data[64];

static uint32_t length_of(uint32_t number)
{
    uint32_t count = 0;
    while (count < 4 && scenario->lengths[count] != 0)
        count++;
    return scenario->lengths[number % count];
}

/* ------------------------------------------------------------------- the engine */

/* As the engine's loop does: offer, sleep, offer the rest. */
static void offer(const struct pb_packet *packets, uint32_t count)
{
    static const uint16_t index[BATCH_MAX] = {0, 1, 2, 3};
    uint32_t done = 0;
    engine_side_attend();
    while (done < count) {
        done += pb_pipe_tx_batch(&world.port, packets, index + done, count - done, scenario->may_wait);
        MODEL_CHECK(done == count || scenario->may_wait);
        struct pb_wait wait;
        if (done < count && pb_pipe_wait_for_space(&world.port, &wait)) {
            struct pollfd readable = {.fd = wait.fd, .events = POLLIN};
            model_poll(&readable, 1, -1);
        }
    }
}

static void engine_thread(void)
{
    while (world.offered < scenario->packets) {
        struct pb_packet packets[BATCH_MAX];
        uint32_t count = 0;
        for (; count < scenario->batch && world.offered + count < scenario->packets; count++) {
            uint32_t number = world.offered + count, length = length_of(number);
            pb_packet_init(&packets[count], data + number, length, length + number, number + 1, PB_LINK_ETHERNET);
        }
        offer(packets, count);
        world.offered += count;
    }
    if (!scenario->idle)
        engine_side_close();
}

/* -------------------------------------------------------------- the application */

static void check_record(const struct pb_pipe_record *record)
{
    uint32_t number = (uint32_t)record->timestamp_ns - 1;
    MODEL_CHECK(number < scenario->packets);
    MODEL_CHECK(scenario->may_wait ? number == world.got : world.got == 0 || number > world.got_last);
    MODEL_CHECK(record->captured_len == length_of(number));
    MODEL_CHECK(record->wire_len == record->captured_len + number);
    for (uint32_t i = 0; i < record->captured_len; i++)
        MODEL_CHECK(record->data[i] == data[number + i]);
    world.got++;
    world.got_last = number;
}

static void release(struct pb_pipe_reader *reader)
{
    world.released_begun = world.got;
    pb_pipe_release(reader);
    world.released_finished = world.got;
}

static void application_thread(void)
{
    struct pb_pipe_reader *reader = (struct pb_pipe_reader *)world.reader;
    struct pb_pipe_record records[BATCH_MAX];
    int count;
    while ((count = pb_pipe_read(reader, records, scenario->read_max)) >= 0) {
        for (int i = 0; i < count; i++)
            check_record(&records[i]);
        if (count > 0 && (world.released_begun == 0 || world.got >= scenario->holds))
            release(reader);
        if (count == 0 && scenario->spins)
            model_await_news(&world.producer_page.head);
        else if (count == 0)
            MODEL_CHECK(pb_pipe_wait(reader, -1) == 1);
    }
    world.ended_with = count;
}

/* ------------------------------------------------------------------- the checks */

static uint64_t counter(enum pb_pipe_counter place)
{
    return pb_counter_get(&world.counters[PB_PORT_COUNTERS + place]);
}

/* Nobody can go on: then all must be done. */
static void check_at_rest(void)
{
    uint64_t sent = pb_counter_get(&world.counters[PB_PORT_TX_PACKETS]);
    MODEL_CHECK(model_is_done(MODEL_ENGINE)); /* else: the engine sleeps, and nobody wakes it */
    MODEL_CHECK(sent + counter(PIPE_FULL) + counter(PIPE_NO_READER) == scenario->packets);
    MODEL_CHECK(counter(PIPE_READER_FAULTS) == 0);
    if (model_is_dead()) {
        /* Dropped while the engine ran; or it has closed the pipe, and does not count then. */
        uint64_t released = sent - counter(PIPE_UNREAD);
        if (counter(PIPE_NO_READER) > 0)
            MODEL_CHECK(released == world.released_begun || released == world.released_finished);
        return;
    }
    MODEL_CHECK(world.got == sent); /* else: the reader sleeps, and there is something to read */
    MODEL_CHECK(model_is_done(MODEL_APPLICATION) == !scenario->idle);
    MODEL_CHECK(scenario->idle || world.ended_with == -EPIPE);
}

/* An access that is ordered less than it has to be. */
struct weakening {
    const char *name;
    const void *word;
    int thread;
    bool store;
    int order;
};
static const struct weakening weakenings[] = {
    {"head_released_only", &world.producer_page.head, MODEL_ENGINE, true, __ATOMIC_RELEASE},
    {"head_relaxed", &world.producer_page.head, MODEL_ENGINE, true, __ATOMIC_RELAXED},
    {"looks_at_sleep_acquire", &world.reader_page.reader_waiting, MODEL_ENGINE, false, __ATOMIC_ACQUIRE},
    {"says_sleep_release", &world.reader_page.reader_waiting, MODEL_APPLICATION, true, __ATOMIC_RELEASE},
    {"looks_at_head_acquire", &world.producer_page.head, MODEL_APPLICATION, false, __ATOMIC_ACQUIRE},
    {"looks_at_head_relaxed", &world.producer_page.head, MODEL_APPLICATION, false, __ATOMIC_RELAXED},
    {"tail_released_only", &world.reader_page.tail, MODEL_APPLICATION, true, __ATOMIC_RELEASE},
    {"tail_relaxed", &world.reader_page.tail, MODEL_APPLICATION, true, __ATOMIC_RELAXED},
    {"looks_at_request_acquire", &world.producer_page.producer_waiting, MODEL_APPLICATION, false, __ATOMIC_ACQUIRE},
    {"looks_at_request_relaxed", &world.producer_page.producer_waiting, MODEL_APPLICATION, false, __ATOMIC_RELAXED},
    {"asks_release", &world.producer_page.producer_waiting, MODEL_ENGINE, true, __ATOMIC_RELEASE},
    {"looks_at_tail_acquire", &world.reader_page.tail, MODEL_ENGINE, false, __ATOMIC_ACQUIRE},
    {"looks_at_tail_relaxed", &world.reader_page.tail, MODEL_ENGINE, false, __ATOMIC_RELAXED},
};
#define WEAKENINGS (sizeof(weakenings) / sizeof(weakenings[0]))

static const char *const mutant_names[MUTANTS] = {
    [PUBLISHES_AFTER_LOOKING] = "publishes_after_looking",
    [PUBLISHES_AND_NEVER_WAKES] = "publishes_and_never_wakes",
    [READER_DOES_NOT_LOOK_AGAIN] = "reader_does_not_look_again",
    [READER_LOOKS_BEFORE_IT_SAYS] = "reader_looks_before_it_says",
    [READER_SLEEPS_ON_A_REQUEST] = "reader_sleeps_on_a_request",
    [PRODUCER_DOES_NOT_ASK] = "producer_does_not_ask",
    [RELEASES_AFTER_LOOKING] = "releases_after_looking",
    [RELEASES_AND_NEVER_ANSWERS] = "releases_and_never_answers",
    [COUNTS_IN_ONE_SLOT] = "counts_in_one_slot",
    [COUNTS_AFTER_RELEASING] = "counts_after_releasing",
};

static void name_words(void)
{
    model_name(&world.producer_page.head, "head");
    model_name(&world.producer_page.ended, "ended");
    model_name(&world.producer_page.link_type, "link_type");
    model_name(&world.producer_page.producer_waiting, "producer_waiting");
    model_name(&world.producer_page.wake_tail, "wake_tail");
    model_name(&world.reader_page.start, "start");
    model_name(&world.reader_page.tail, "tail");
    model_name(&world.reader_page.reader_waiting, "reader_waiting");
    for (int i = 0; i < 2; i++) {
        model_name(&world.reader_page.released[i].tail, "released.tail");
        model_name(&world.reader_page.released[i].packets, "released.packets");
    }
}

/* Words that only one side uses, in this scenario. */
static void name_quiet_words(void)
{
    model_quiet(&world.producer_page.link_type);
    if (scenario->idle)
        model_quiet(&world.producer_page.ended);
    if (scenario->comes_late || scenario->may_die)
        return;
    model_quiet(&world.reader_page.start);
    for (int i = 0; i < 2; i++) {
        model_quiet(&world.reader_page.released[i].tail);
        model_quiet(&world.reader_page.released[i].packets);
    }
}

static struct model_result run(const struct scenario *which, enum mutant with, const struct weakening *weakening, bool trace)
{
    static void (*const threads[MODEL_THREADS])(void) = {
        [MODEL_ENGINE] = engine_thread, [MODEL_APPLICATION] = application_thread};
    memset(&world, 0, sizeof(world));
    scenario = which;
    mutant = with;
    for (uint32_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 37 + 1);
    model_reset(&world, sizeof(world));
    engine_side_init(which->ring_bytes);
    reader_side_init(which->ring_bytes);
    engine_side_grant();
    if (!which->comes_late)
        engine_side_attend();
    model_share(&world.producer_page, sizeof(world.producer_page));
    model_share(&world.reader_page, sizeof(world.reader_page));
    model_guard(world.ring, (uint32_t)(2 * which->ring_bytes));
    name_words();
    name_quiet_words();
    if (weakening != NULL)
        model_weaken(weakening->word, weakening->thread, weakening->store, weakening->order);
    return model_explore(threads, check_at_rest, which->may_die, trace);
}

/* Some scenario must fail. */
static void expect_found(const char *name, enum mutant with, const struct weakening *weakening)
{
    for (size_t i = 0; i < SCENARIOS; i++) {
        struct model_result found = run(&scenarios[i], with, weakening, false);
        if (found.failed) {
            printf("ring_model: mutant %s: found in %s: %s\n", name, scenarios[i].name, found.failure);
            return;
        }
    }
    fprintf(stderr, "mutant %s: not found: the model check does not see what it should\n", name);
    exit(1);
}

static int run_one(const char *name, const char *with)
{
    enum mutant which = MUTANT_NONE;
    const struct weakening *weakening = NULL;
    for (int m = 1; with != NULL && m < MUTANTS; m++)
        if (strcmp(mutant_names[m], with) == 0)
            which = (enum mutant)m;
    for (size_t i = 0; with != NULL && i < WEAKENINGS; i++)
        if (strcmp(weakenings[i].name, with) == 0)
            weakening = &weakenings[i];
    for (size_t i = 0; i < SCENARIOS; i++) {
        if (strcmp(scenarios[i].name, name) != 0)
            continue;
        struct model_result found = run(&scenarios[i], which, weakening, true);
        printf("%llu states, %llu steps: %s\n", (unsigned long long)found.states, (unsigned long long)found.steps,
               found.failed ? found.failure : "sound");
        return found.failed;
    }
    return 2;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return run_one(argv[1], argv[2]);
    for (size_t i = 0; i < SCENARIOS; i++) {
        struct model_result found = run(&scenarios[i], MUTANT_NONE, NULL, true);
        if (found.failed) {
            fprintf(stderr, "ring_model: %s: %s\n", scenarios[i].name, found.failure);
            return 1;
        }
        printf("ring_model: %s: %llu states, %llu steps\n", scenarios[i].name, (unsigned long long)found.states,
               (unsigned long long)found.steps);
        fflush(stdout);
    }
    for (int m = 1; m < MUTANTS; m++)
        expect_found(mutant_names[m], (enum mutant)m, NULL);
    for (size_t i = 0; i < WEAKENINGS; i++)
        expect_found(weakenings[i].name, MUTANT_NONE, &weakenings[i]);
    return 0;
}
