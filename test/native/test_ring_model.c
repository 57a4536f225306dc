/*
 * test_ring_model.c - every interleaving of a pipe's two sides, for a few packets
 * and a ring of a few units: producer.c and reader.c, and writer.c and consumer.c,
 * as they are, on the model of ring_model/model.h.
 *
 * Held in every state that can be reached: no wake-up is lost, no record is read
 * before it is whole or overwritten before it is released, a request for space is
 * answered once, the end of the stream is seen, an application that is killed is
 * counted to the packet. Then the same with mutants of the protocol, each of which
 * must be found.
 *
 *   test_ring_model                     all
 *   test_ring_model SCENARIO [MUTANT]   one, with a trace of what went wrong
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "ring_model/sides.h"

#define BATCH_MAX 4
#define BATCH_LENT_MAX 2 /* packets in a block */

struct world world;
enum mutant mutant;

struct scenario {
    const char *name;
    bool from_application; /* it writes; else it reads */
    uint32_t units;        /* of the ring */
    uint32_t packets, batch;
    uint32_t lengths[4];   /* of the packets, over and over; 0 ends it */
    bool may_wait;         /* to the application: the source can pause; else a full ring drops */
    bool idle;             /* the producer falls silent at the end; else it closes the pipe */
    bool spins;            /* the application does not sleep */
    bool engine_spins;     /* it has other sources, and does not sleep */
    bool may_die;          /* it is killed at any moment */
    bool comes_late;       /* it is adopted while both run; else before */
    bool declines;         /* it says of one packet that it does not send it */
    uint32_t stops_after;  /* from the application: the engine stops when it has so many */
    uint32_t read_max;     /* packets of one read */
    uint32_t blocks;       /* packets come from a region of so many, and are lent; a batch in each block */
    uint32_t holds;        /* the reader releases after its first read, and then not before it has so many */
};

/* The smallest first: that is where mutants are looked for. */
static const struct scenario scenarios[] = {
    {.name = "spins", .units = 1, .packets = 3, .batch = 1, .lengths = {16}, .read_max = 1,
     .may_wait = true, .idle = true, .spins = true},
    {.name = "live_drops", .units = 2, .packets = 4, .batch = 2, .lengths = {16}, .read_max = 2},
    {.name = "holds_records", .units = 4, .packets = 5, .batch = 2, .lengths = {16}, .read_max = 1, .holds = 5,
     .may_wait = true, .idle = true},
    {.name = "one_by_one", .units = 2, .packets = 3, .batch = 1, .lengths = {16}, .read_max = 1,
     .may_wait = true, .idle = true},
    {.name = "adoption", .units = 2, .packets = 2, .batch = 1, .lengths = {16}, .read_max = 1,
     .may_wait = true, .comes_late = true},
    {.name = "lent", .units = 4, .packets = 4, .batch = 1, .lengths = {16}, .read_max = 1, .blocks = 3,
     .may_wait = true, .idle = true, .spins = true},
    {.name = "lent_and_held", .units = 4, .packets = 3, .batch = 1, .lengths = {16}, .read_max = 1, .blocks = 3, .holds = 3,
     .may_wait = true, .idle = true},
    {.name = "lent_live", .units = 4, .packets = 4, .batch = 1, .lengths = {16, 30}, .read_max = 2, .blocks = 3,
     .idle = true, .spins = true},
    {.name = "lent_and_waits", .units = 2, .packets = 4, .batch = 2, .lengths = {16, 30}, .read_max = 2, .blocks = 3,
     .may_wait = true, .idle = true},
    {.name = "lent_and_killed", .units = 2, .packets = 4, .batch = 1, .lengths = {16}, .read_max = 1, .blocks = 3,
     .may_wait = true, .idle = true, .spins = true, .may_die = true},
    {.name = "killed", .units = 2, .packets = 4, .batch = 1, .lengths = {16}, .read_max = 1,
     .may_wait = true, .idle = true, .spins = true, .may_die = true},
    {.name = "whole_ring", .units = 1, .packets = 3, .batch = 1, .lengths = {16}, .read_max = 2,
     .may_wait = true, .idle = true},
    {.name = "lengths_and_wrap", .units = 4, .packets = 4, .batch = 2, .lengths = {16, 100, 1}, .read_max = 2,
     .may_wait = true},
    {.name = "writer_spins", .from_application = true, .units = 1, .packets = 3, .batch = 1, .lengths = {16},
     .read_max = 1, .idle = true, .spins = true},
    {.name = "busy_engine", .from_application = true, .units = 1, .packets = 3, .batch = 1, .lengths = {16},
     .read_max = 1, .idle = true, .engine_spins = true},
    {.name = "writer_idle", .from_application = true, .units = 2, .packets = 3, .batch = 1, .lengths = {16},
     .read_max = 1, .idle = true},
    {.name = "writer_leaves", .from_application = true, .units = 4, .packets = 3, .batch = 2, .lengths = {100, 16},
     .read_max = 2, .declines = true},
    {.name = "writer_adoption", .from_application = true, .units = 2, .packets = 2, .batch = 1, .lengths = {16},
     .read_max = 1, .comes_late = true},
    {.name = "writer_killed", .from_application = true, .units = 1, .packets = 3, .batch = 1, .lengths = {16},
     .read_max = 1, .spins = true, .may_die = true},
    {.name = "engine_stops", .from_application = true, .units = 1, .packets = 3, .batch = 1, .lengths = {16},
     .read_max = 1, .stops_after = 2},
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

static const struct scenario *scenario;
static uint8_t data[256];

static uint32_t length_of(uint32_t number)
{
    uint32_t count = 0;
    while (count < 4 && scenario->lengths[count] != 0)
        count++;
    return scenario->lengths[number % count];
}

/* What arrives at either side: the packet `timestamp_ns` says, whole, after those before it. */
static void check_packet(uint64_t timestamp_ns, const uint8_t *bytes, uint32_t captured_len, uint32_t wire_len)
{
    uint32_t number = (uint32_t)timestamp_ns - 1;
    bool gapless = scenario->may_wait || scenario->from_application;
    MODEL_CHECK(number < scenario->packets);
    MODEL_CHECK(gapless ? number == world.got : world.got == 0 || number > world.got_last);
    MODEL_CHECK(captured_len == length_of(number));
    MODEL_CHECK(wire_len == captured_len + number);
    for (uint32_t i = 0; i < captured_len; i++)
        MODEL_CHECK(bytes[i] == data[number + i]);
    world.got++;
    world.got_last = number;
}

/* ------------------------------------------------------------ to the application */

/* As the engine's loop does: offer, sleep, offer the rest. */
static void offer(const struct pb_packet *packets, uint32_t count)
{
    static const uint16_t index[BATCH_MAX] = {0, 1, 2, 3};
    uint32_t done = 0;
    sides_attend();
    while (done < count) {
        const struct pb_tx tx = {.packets = packets, .index = index + done, .count = count - done, .may_wait = scenario->may_wait};
        done += pb_producer_tx_batch(&world.port, &tx);
        MODEL_CHECK(done == count || scenario->may_wait);
        struct pb_wait wait;
        if (done < count && pb_producer_wait(&world.port, &wait)) {
            struct pollfd readable = {.fd = wait.fd, .events = POLLIN};
            model_poll(&readable, 1, -1);
        }
    }
}

/* Where the port has packet `i` of a batch; as a driver does it, in a block that nobody holds. */
static const uint8_t *place(uint8_t *block, uint32_t i, uint32_t number)
{
    if (block == NULL)
        return data + number;
    uint8_t *at = block + i * PB_RING_UNIT / BATCH_LENT_MAX;
    memcpy(at, data + number, length_of(number));
    return at;
}

static void engine_sends(void)
{
    while (world.offered < scenario->packets) {
        struct pb_packet packets[BATCH_MAX];
        uint32_t count = 0;
        uint8_t *block = scenario->blocks > 0 ? pb_region_next(&world.region) : NULL;
        for (; count < scenario->batch && world.offered + count < scenario->packets; count++) {
            uint32_t number = world.offered + count, length = length_of(number);
            pb_packet_init(&packets[count], place(block, count, number), length, length + number, number + 1, PB_LINK_ETHERNET);
        }
        offer(packets, count);
        world.offered += count;
    }
    if (!scenario->idle)
        sides_close();
}

static void release(void)
{
    world.released_begun = world.got;
    pb_pipe_release(world.reader);
    world.released_finished = world.got;
}

static void application_reads(void)
{
    struct pb_pipe_record records[BATCH_MAX];
    int count;
    while ((count = pb_pipe_read(world.reader, records, scenario->read_max)) >= 0) {
        for (int i = 0; i < count; i++)
            check_packet(records[i].timestamp_ns, records[i].data, records[i].captured_len, records[i].wire_len);
        if (count > 0 && (world.released_begun == 0 || world.got >= scenario->holds))
            release();
        if (count == 0 && scenario->spins)
            model_await_news(&world.producer_page.head);
        else if (count == 0)
            MODEL_CHECK(pb_pipe_wait(world.reader, -1) == 1);
    }
    world.ended_with = count;
}

/* ---------------------------------------------------------- from the application */

static int write_some(void)
{
    struct pb_pipe_record records[BATCH_MAX];
    uint32_t count = 0;
    for (; count < scenario->batch && world.offered + count < scenario->packets; count++) {
        uint32_t number = world.offered + count, length = length_of(number);
        records[count] = (struct pb_pipe_record){
            .data = data + number, .captured_len = length, .wire_len = length + number, .timestamp_ns = number + 1};
    }
    return pb_pipe_write(world.writer, records, count);
}

static void application_writes(void)
{
    while (world.offered < scenario->packets) {
        int count = write_some();
        if (count == 0 && scenario->spins)
            model_await_news(&world.reader_page.tail);
        else if (count == 0)
            count = pb_pipe_writer_wait(world.writer, -1) == 1 ? 0 : -EPIPE;
        if (count < 0) {
            world.ended_with = count;
            break;
        }
        world.offered += (uint32_t)count;
    }
    if (scenario->declines)
        pb_pipe_decline(world.writer, 1);
    if (!scenario->idle)
        pb_pipe_close_writer(world.writer);
}

/* As the engine's loop does: receive, sleep. */
static void engine_receives(void)
{
    while (scenario->stops_after == 0 || world.got < scenario->stops_after) {
        struct pb_packet packets[BATCH_MAX];
        struct pb_wait wait;
        sides_attend();
        uint32_t count = pb_consumer_rx_batch(&world.port, packets, scenario->read_max);
        for (uint32_t i = 0; i < count; i++)
            check_packet(packets[i].timestamp_ns, packets[i].data, packets[i].captured_len, packets[i].wire_len);
        if (count == 0 && scenario->engine_spins) {
            model_await_news(&world.producer_page.head);
        } else if (count == 0 && pb_consumer_wait(&world.port, &wait)) {
            if (wait.fd < 0)
                return; /* the writer has gone, and all it had left is received */
            struct pollfd readable = {.fd = wait.fd, .events = POLLIN};
            model_poll(&readable, 1, -1);
        }
    }
    sides_close();
}

/* ------------------------------------------------------------------- the checks */

static uint64_t counter(uint32_t place)
{
    return pb_counter_get(&world.counters[place]);
}

static uint64_t own_counter(uint32_t place)
{
    return counter(PB_PORT_COUNTERS + place);
}

static void check_reader_at_rest(void)
{
    uint64_t sent = counter(PB_PORT_TX_PACKETS);
    MODEL_CHECK(model_is_done(MODEL_ENGINE)); /* else: it sleeps, and nobody wakes it */
    MODEL_CHECK(sent + own_counter(PIPE_FULL) + own_counter(PIPE_NO_READER) == scenario->packets);
    if (model_is_dead()) {
        /* Where the engine has dropped it, it has counted; to the call that it was killed in. */
        uint64_t released = sent - own_counter(PIPE_UNREAD);
        if (own_counter(PIPE_NO_READER) > 0)
            MODEL_CHECK(world.region.free == world.region.blocks);
        if (own_counter(PIPE_NO_READER) > 0)
            MODEL_CHECK(released == world.released_begun || released == world.released_finished);
        return;
    }
    MODEL_CHECK(world.got == sent); /* else: the reader sleeps, and there is something to read */
    MODEL_CHECK(model_is_done(MODEL_APPLICATION) == !scenario->idle);
    MODEL_CHECK(scenario->idle || world.ended_with == -EPIPE);
}

static void check_writer_at_rest(void)
{
    MODEL_CHECK(counter(PB_PORT_RX_PACKETS) == world.got);
    MODEL_CHECK(model_is_done(MODEL_ENGINE) == !scenario->idle);
    if (model_is_dead()) {
        MODEL_CHECK(world.got == world.producer_page.head); /* what it has published */
        return;
    }
    MODEL_CHECK(model_is_done(MODEL_APPLICATION)); /* else: it sleeps, and nobody wakes it */
    if (scenario->stops_after > 0) {
        MODEL_CHECK(world.ended_with == -EPIPE || world.offered == scenario->packets);
        MODEL_CHECK(world.got + own_counter(PIPE_UNRECEIVED) <= world.offered);
        return;
    }
    MODEL_CHECK(world.offered == scenario->packets);
    MODEL_CHECK(world.got == world.offered); /* else: the engine sleeps, and there is something to receive */
    MODEL_CHECK(own_counter(PIPE_DECLINED) == scenario->declines);
}

/* Nobody can go on: then all must be done. */
static void check_at_rest(void)
{
    MODEL_CHECK(own_counter(PIPE_FAULTS) == 0);
    if (scenario->from_application)
        check_writer_at_rest();
    else
        check_reader_at_rest();
}

/* An access that is ordered less than it has to be. */
struct weakening {
    const char *name;
    const void *word;
    bool producer; /* the producer's, whichever side that is; else the reader's */
    bool store;
    int order;
};
static const struct weakening weakenings[] = {
    {"head_released_only", &world.producer_page.head, true, true, __ATOMIC_RELEASE},
    {"head_relaxed", &world.producer_page.head, true, true, __ATOMIC_RELAXED},
    {"looks_at_sleep_acquire", &world.reader_page.reader_waiting, true, false, __ATOMIC_ACQUIRE},
    {"says_sleep_release", &world.reader_page.reader_waiting, false, true, __ATOMIC_RELEASE},
    {"looks_at_head_acquire", &world.producer_page.head, false, false, __ATOMIC_ACQUIRE},
    {"looks_at_head_relaxed", &world.producer_page.head, false, false, __ATOMIC_RELAXED},
    {"tail_released_only", &world.reader_page.tail, false, true, __ATOMIC_RELEASE},
    {"tail_relaxed", &world.reader_page.tail, false, true, __ATOMIC_RELAXED},
    {"looks_at_request_acquire", &world.producer_page.producer_waiting, false, false, __ATOMIC_ACQUIRE},
    {"looks_at_request_relaxed", &world.producer_page.producer_waiting, false, false, __ATOMIC_RELAXED},
    {"asks_release", &world.producer_page.producer_waiting, true, true, __ATOMIC_RELEASE},
    {"looks_at_tail_acquire", &world.reader_page.tail, true, false, __ATOMIC_ACQUIRE},
    {"looks_at_tail_relaxed", &world.reader_page.tail, true, false, __ATOMIC_RELAXED},
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
    [RESTARTS_BEFORE_ALL_IS_READ] = "restarts_before_all_is_read",
    [NEVER_SAYS_THE_BASE] = "never_says_the_base",
    [NEVER_SAYS_THE_RECORDS_BASE] = "never_says_the_records_base",
    [COUNTS_IN_ONE_SLOT] = "counts_in_one_slot",
    [COUNTS_AFTER_RELEASING] = "counts_after_releasing",
    [RETURNS_LOANS_EARLY] = "returns_loans_early",
    [LENDS_WITHOUT_EXTENDING] = "lends_without_extending",
};

static void name_words(void)
{
    model_name(&world.producer_page.head, "head");
    model_name(&world.producer_page.base, "base");
    model_name(&world.producer_page.records_base, "records_base");
    model_name(&world.producer_page.ended, "the producer's end");
    model_name(&world.producer_page.link_type, "link_type");
    model_name(&world.producer_page.dropped, "dropped");
    model_name(&world.producer_page.producer_waiting, "producer_waiting");
    model_name(&world.producer_page.wake_tail, "wake_tail");
    model_name(&world.reader_page.start, "start");
    model_name(&world.reader_page.start_record, "start_record");
    model_name(&world.reader_page.ended, "the reader's end");
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
    bool outwards = !scenario->from_application;
    model_statistic(&world.producer_page.position);
    model_quiet(&world.producer_page.link_type);
    if (!scenario->declines)
        model_quiet(&world.producer_page.dropped);
    if (outwards && scenario->idle)
        model_quiet(&world.producer_page.ended);
    if (!scenario->comes_late && !scenario->may_die) {
        model_quiet(&world.reader_page.start);
        model_quiet(&world.reader_page.start_record);
    }
    for (int i = 0; i < 2 && !(outwards && (scenario->comes_late || scenario->may_die)); i++) {
        model_quiet(&world.reader_page.released[i].tail);
        model_quiet(&world.reader_page.released[i].packets);
    }
}

/* Everybody is there; unless the application comes late it is adopted, too. */
static void attach(void)
{
    struct pb_error error;
    sides_init(scenario->units * PB_RING_UNIT, scenario->from_application ? PB_PIPE_FROM_APPLICATION : PB_PIPE_TO_APPLICATION);
    if (scenario->from_application)
        CHECK(pb_pipe_open_writer("model", &world.writer, &error) == 0);
    else
        CHECK(pb_pipe_open("model", &world.reader, &error) == 0);
    if (scenario->blocks > 0)
        sides_lend(scenario->blocks);
    sides_grant();
    if (!scenario->comes_late)
        sides_attend();
}

static struct model_result run(const struct scenario *which, enum mutant with, const struct weakening *weakening, bool trace)
{
    bool inwards = which->from_application;
    void (*const threads[MODEL_THREADS])(void) = {
        [MODEL_ENGINE] = inwards ? engine_receives : engine_sends,
        [MODEL_APPLICATION] = inwards ? application_writes : application_reads,
    };
    scenario = which;
    mutant = with;
    for (uint32_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 37 + 1);
    attach();
    model_reset(&world, sizeof(world));
    model_share(&world.producer_page, sizeof(world.producer_page));
    model_share(&world.reader_page, sizeof(world.reader_page));
    model_guard(world.records, which->units * sizeof(world.records[0]), sizeof(world.records), sizeof(world.records[0]));
    model_guard(world.ring, which->units * PB_RING_UNIT, 2 * which->units * PB_RING_UNIT, PB_RING_UNIT);
    if (which->blocks > 0) {
        model_guard(world.references, which->units * sizeof(world.references[0]), sizeof(world.references),
                    sizeof(world.references[0]));
        model_guard(world.blocks, which->blocks * PB_RING_UNIT, sizeof(world.blocks), PB_RING_UNIT);
    }
    name_words();
    name_quiet_words();
    if (weakening != NULL)
        model_weaken(weakening->word, weakening->producer == inwards ? MODEL_APPLICATION : MODEL_ENGINE, weakening->store,
                     weakening->order);
    return model_explore(threads, check_at_rest, which->may_die, trace);
}

/* Some scenario of this direction must fail. */
static void expect_found(const char *name, enum mutant with, const struct weakening *weakening, bool from_application)
{
    const char *direction = from_application ? "from the application" : "to the application";
    for (size_t i = 0; i < SCENARIOS; i++) {
        if (scenarios[i].from_application != from_application)
            continue;
        struct model_result found = run(&scenarios[i], with, weakening, false);
        if (found.failed) {
            printf("ring_model: mutant %s, %s: found in %s: %s\n", name, direction, scenarios[i].name, found.failure);
            fflush(stdout);
            return;
        }
    }
    fprintf(stderr, "mutant %s, %s: not found: the model check does not see what it should\n", name, direction);
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
        for (int inwards = 0; inwards <= (m <= MUTANTS_OF_BOTH); inwards++)
            expect_found(mutant_names[m], (enum mutant)m, NULL, inwards);
    for (size_t i = 0; i < WEAKENINGS; i++)
        for (int inwards = 0; inwards < 2; inwards++)
            expect_found(weakenings[i].name, MUTANT_NONE, &weakenings[i], inwards);
    return 0;
}
