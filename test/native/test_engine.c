/*
 * test_engine.c - an engine's life through the control ABI: handles, start and
 * stop at any moment while readers come and go, an input that waits while
 * another goes on, and the accounts after each. Also runs under TSan.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "../bricks/load_balancer/load_balancer.h"
#include "accounts.h"

static struct pb_error error;

/* Options of a LoadBalancer. */
static const struct pb_load_balancer_config by_4 = {.tuple = 4};

/* Generator, LoadBalancer, `pipes` pipes name}0 .. */
static int make_balancer(const char *engine_name, const char *generator, uint32_t pipes, const char *pipe_options)
{
    int engine = pb_engine_create(engine_name, 64, -1, 64, &error);
    CHECK(engine > 0);
    CHECK(pb_engine_add_brick(engine, "LoadBalancer", (const uint8_t *)&by_4, sizeof(by_4), 0, pipes, 0, &error) == 0);
    CHECK(pb_engine_add_input(engine, "null", "", generator, -1, &error) == 0);
    CHECK(pb_engine_connect_input(engine, 0, 0, &error) == 0);
    for (uint32_t i = 0; i < pipes; i++) {
        char name[64];
        snprintf(name, sizeof(name), "%s}%u", engine_name, i);
        CHECK(pb_engine_add_output(engine, "pipe", name, pipe_options, &error) == (int)i);
        CHECK(pb_engine_connect_output(engine, 0, i, i, &error) == 0);
    }
    return engine;
}

static void test_handles(void)
{
    CHECK(pb_engine_create("x", 512, 9999, 64, &error) == -EINVAL && strstr(error.text, "no processor 9999") != NULL);
    int engine = make_balancer("h", "packets=10", 2, "");
    CHECK(pb_engine_state(engine) == PB_ENGINE_STOPPED);
    CHECK(pb_engine_counters(engine) == NULL);
    CHECK(pb_engine_stop(engine, &error) == -ESRCH);
    CHECK(pb_engine_add_brick(engine, "Nonsense", NULL, 0, 0, 1, 0, &error) == -ENOENT);
    CHECK(pb_engine_connect_output(engine, 0, 0, 0, &error) == -EINVAL); /* in use */
    CHECK(pb_engine_connect_brick(engine, 0, 7, 0, &error) == -EINVAL);
    CHECK(pb_engine_start(engine, &error) == 0);
    CHECK(pb_engine_start(engine, &error) == -EBUSY);
    CHECK(pb_engine_delete(engine, &error) == -EBUSY);
    CHECK(pb_engine_add_input(engine, "null", "", "", -1, &error) == -EBUSY);
    CHECK(pb_engine_stop(engine, &error) == 0);
    check_accounts(engine);
    CHECK(pb_engine_delete(engine, &error) == 0);
    CHECK(pb_engine_delete(engine, &error) == -EBADF);
    CHECK(pb_engine_state(engine) == -EBADF && pb_engine_find(0) == NULL && pb_engine_find(-1) == NULL);
    /* The slot is used again, the handle is not. */
    int next = make_balancer("h", "", 1, "");
    CHECK(next != engine && pb_engine_find(engine) == NULL);
    CHECK(pb_engine_delete(next, &error) == 0);
}

static void test_cycle_refused(void)
{
    int engine = pb_engine_create("c", 512, -1, 64, &error);
    for (int i = 0; i < 3; i++)
        CHECK(pb_engine_add_brick(engine, "Merge", (const uint8_t *)"", 0, 0, 1, 0, &error) == i);
    CHECK(pb_engine_connect_brick(engine, 0, 0, 1, &error) == 0);
    CHECK(pb_engine_connect_brick(engine, 1, 0, 2, &error) == 0);
    CHECK(pb_engine_connect_brick(engine, 2, 0, 0, &error) == -ELOOP);
    CHECK(pb_engine_start(engine, &error) == -EINVAL);
    CHECK(pb_engine_delete(engine, &error) == 0);
}

/* `first` outputs, merged, then `second` outputs, merged, to a sink. */
static int make_diamonds(const char *brick, uint32_t first, uint32_t second)
{
    const uint32_t bytes = strcmp(brick, "LoadBalancer") == 0 ? sizeof(by_4) : 0;
    const uint8_t *config = (const uint8_t *)&by_4;
    int engine = pb_engine_create("m", 64, -1, 64, &error);
    CHECK(pb_engine_add_brick(engine, brick, config, bytes, 0, first, 0, &error) == 0);
    CHECK(pb_engine_add_brick(engine, "Merge", config, 0, 0, 1, 0, &error) == 1);
    CHECK(pb_engine_add_brick(engine, brick, config, bytes, 0, second, 1, &error) == 2);
    CHECK(pb_engine_add_brick(engine, "Merge", config, 0, 0, 1, 0, &error) == 3);
    for (uint32_t i = 0; i < first; i++)
        CHECK(pb_engine_connect_brick(engine, 0, i, 1, &error) == 0);
    CHECK(pb_engine_connect_brick(engine, 1, 0, 2, &error) == 0);
    for (uint32_t i = 0; i < second; i++)
        CHECK(pb_engine_connect_brick(engine, 2, i, 3, &error) == 0);
    CHECK(pb_engine_add_output(engine, "null", "", "", &error) == 0);
    CHECK(pb_engine_connect_output(engine, 3, 0, 0, &error) == 0);
    CHECK(pb_engine_add_input(engine, "null", "", "packets=1000", -1, &error) == 0);
    CHECK(pb_engine_connect_input(engine, 0, 0, &error) == 0);
    return engine;
}

static uint64_t run_diamonds(int engine)
{
    CHECK(pb_engine_start(engine, &error) == 0);
    while (pb_engine_state(engine) != PB_ENGINE_FINISHED)
        usleep(200);
    CHECK(pb_engine_stop(engine, &error) == 0);
    uint64_t sent = pb_counter_get(&pb_engine_find(engine)->outputs[0]->port.counters[PB_PORT_TX_PACKETS]);
    CHECK(pb_engine_delete(engine, &error) == 0);
    return sent;
}

/* Copies that meet are bounded; packets that were only split are no copies. */
static void test_copies(void)
{
    CHECK_EQUAL(run_diamonds(make_diamonds("Duplicator", 32, 32)), 1024 * 1000);
    CHECK_EQUAL(run_diamonds(make_diamonds("LoadBalancer", 900, 900)), 1000);
    int engine = make_diamonds("Duplicator", 33, 32);
    for (int i = 0; i < 3; i++)
        CHECK(pb_engine_start(engine, &error) == -ERANGE && strstr(error.text, "1056 copies") != NULL);
    CHECK(pb_engine_counters(engine) == NULL);
    CHECK(pb_engine_delete(engine, &error) == 0);
}

/* Many ways between the same bricks are no burden. */
static void test_many_paths(void)
{
    int engine = pb_engine_create("p", 64, -1, 64, &error);
    for (int i = 0; i < 200; i++)
        CHECK(pb_engine_add_brick(engine, "LoadBalancer", (const uint8_t *)&by_4, sizeof(by_4), 0, 2, 0, &error) == i);
    for (uint32_t i = 199; i > 0; i--)
        for (uint32_t output = 0; output < 2; output++)
            CHECK(pb_engine_connect_brick(engine, i - 1, output, i, &error) == 0);
    CHECK(pb_engine_connect_brick(engine, 199, 0, 0, &error) == -ELOOP);
    CHECK(pb_engine_delete(engine, &error) == 0);
}

/* A port that fails to open: those opened before it are closed again. */
static void test_failed_start(void)
{
    int engine = make_balancer("f", "", 2, "");
    CHECK(pb_engine_add_input(engine, "pcap", "/nonexistent.pcap", "", -1, &error) == 1);
    CHECK(pb_engine_connect_input(engine, 1, 0, &error) == 0);
    for (int i = 0; i < 3; i++) {
        CHECK(pb_engine_start(engine, &error) == -ENOENT && strstr(error.text, "/nonexistent.pcap") != NULL);
        struct pb_pipe_status status;
        CHECK(pb_pipe_status("f}0", &status, &error) == -ENOENT);
    }
    CHECK(pb_engine_delete(engine, &error) == 0);
}

static _Atomic bool readers_stop;

/* Attaches, reads a little, leaves; again and again. */
static void *come_and_go(void *name)
{
    while (!atomic_load(&readers_stop)) {
        struct pb_error mine;
        struct pb_pipe_reader *reader;
        if (pb_pipe_open(name, &reader, &mine) < 0) {
            usleep(100);
            continue;
        }
        struct pb_pipe_record records[16];
        for (int i = 0; i < 50; i++) {
            int n = pb_pipe_read(reader, records, 16);
            if (n < 0)
                break;
            for (int r = 0; r < n; r++)
                CHECK_EQUAL(records[r].captured_len, 60);
            if (n == 0)
                pb_pipe_wait(reader, 5);
            else
                pb_pipe_release(reader);
        }
        pb_pipe_close(reader);
    }
    return NULL;
}

static void test_churn(const char *generator)
{
    pthread_t threads[2];
    static char names[2][8] = {"s}0", "s}1"};
    atomic_store(&readers_stop, false);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, come_and_go, names[i]) == 0);
    int engine = make_balancer("s", generator, 2, "");
    for (int i = 0; i < 60; i++) {
        CHECK(pb_engine_start(engine, &error) == 0);
        usleep(i % 7 * 1000);
        CHECK(pb_engine_stop(engine, &error) == 0);
        check_accounts(engine);
    }
    CHECK(pb_engine_delete(engine, &error) == 0);
    atomic_store(&readers_stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

/* A source that waits for a reader does not hold up another of the same engine. */
static void test_wait_beside_live(void)
{
    int engine = make_balancer("w", "packets=1000", 1, "wait=1");
    CHECK(pb_engine_add_brick(engine, "Dummy", (const uint8_t *)"", 0, 0, 1, 0, &error) == 1);
    CHECK(pb_engine_add_input(engine, "null", "", "packets=100000&pausable=0", -1, &error) == 1);
    CHECK(pb_engine_connect_input(engine, 1, 1, &error) == 0);
    CHECK(pb_engine_add_output(engine, "null", "", "", &error) == 1);
    CHECK(pb_engine_connect_output(engine, 1, 0, 1, &error) == 0);
    CHECK(pb_engine_start(engine, &error) == 0);
    const struct pb_engine *inside = pb_engine_find(engine);
    while (pb_counter_get(&inside->outputs[1]->port.counters[PB_PORT_TX_PACKETS]) < 100000)
        usleep(500);
    CHECK_EQUAL(pb_counter_get(&inside->outputs[0]->port.counters[PB_PORT_TX_PACKETS]), 0);
    CHECK_EQUAL(pb_counter_get(&inside->counters[PB_ENGINE_IN_FLIGHT]), 64);
    CHECK_EQUAL(pb_counter_get(&inside->counters[PB_ENGINE_SOURCES_LEFT]), 1);
    CHECK(pb_engine_stop(engine, &error) == 0);
    CHECK_EQUAL(pb_counter_get(&inside->counters[PB_ENGINE_DROP_STOPPED]), 64);
    check_accounts(engine);
    CHECK(pb_engine_delete(engine, &error) == 0);
}

/* The reader gets every packet of a source that can pause, and the engine says when it has. */
static void test_delivered(void)
{
    int engine = make_balancer("d", "packets=200000", 1, "wait=1");
    CHECK(pb_engine_start(engine, &error) == 0);
    struct pb_pipe_reader *reader;
    CHECK(pb_pipe_open("d}0", &reader, &error) == 0);
    struct pb_pipe_record records[64];
    uint64_t got = 0;
    while (got < 200000) {
        CHECK(pb_engine_state(engine) == PB_ENGINE_RUNNING);
        int n = pb_pipe_read(reader, records, 64);
        CHECK(n >= 0);
        got += (uint64_t)n;
        if (n == 0)
            CHECK(pb_pipe_wait(reader, 10000) == 1);
        else
            pb_pipe_release(reader);
    }
    while (pb_engine_state(engine) != PB_ENGINE_FINISHED)
        usleep(500);
    CHECK(pb_engine_stop(engine, &error) == 0);
    CHECK(pb_pipe_wait(reader, 10000) == 1);
    CHECK(pb_pipe_read(reader, records, 64) == -EPIPE);
    pb_pipe_close(reader);
    check_accounts(engine);
    CHECK(pb_engine_delete(engine, &error) == 0);
}

int main(void)
{
    char directory[] = "/tmp/bricks-engine-XXXXXX";
    CHECK(mkdtemp(directory) != NULL);
    setenv("BRICKS_RUNTIME_DIR", directory, 1);
    alarm(120); /* a hang ends the test as failed */
    test_handles();
    test_cycle_refused();
    test_failed_start();
    test_copies();
    test_many_paths();
    test_churn("pausable=0&packets=2000000");
    test_churn("");
    test_wait_beside_live();
    test_delivered();
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", directory);
    return system(command) != 0;
}
