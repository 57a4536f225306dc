/*
 * test_corpus.c - every capture of a corpus through a graph of every splitting
 * and joining brick: no crash, no hang, every packet accounted for, and what was
 * split and merged is written as it was read.
 *
 * The corpus is $BRICKS_CORPUS/pcap; without it only the fixture is used.
 * Meant to run under ASan and UBSan. A watchdog ends a hang.
 */
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../bricks/load_balancer/load_balancer.h"
#include "accounts.h"

static char output_file[] = "/tmp/bricks-corpus-XXXXXX";
static uint32_t captures, refused;
static uint64_t packets_seen;

static void connect_chain(int engine, const char *capture, struct pb_error *error)
{
    /* Every option at once, and none. */
    const struct pb_load_balancer_config all = {.tuple = 5, .hash = PB_LOAD_BALANCER_TOEPLITZ, .inner = 1, .fragments = 64, .rehash = 1};
    const struct pb_load_balancer_config none = {.tuple = 2};
    int duplicator = pb_engine_add_brick(engine, "Duplicator", (const uint8_t *)"", 0, 0, 2, 0, error);
    int balancer = pb_engine_add_brick(engine, "LoadBalancer", (const uint8_t *)&all, sizeof(all), 0, 7, 0, error);
    int second = pb_engine_add_brick(engine, "LoadBalancer", (const uint8_t *)&none, sizeof(none), 0, 3, 1, error);
    int merge = pb_engine_add_brick(engine, "Merge", (const uint8_t *)"", 0, 0, 1, 0, error);
    int writer = pb_engine_add_brick(engine, "PcapWriter", (const uint8_t *)"", 0, 0, 1, 0, error);
    CHECK(writer >= 0);
    CHECK(pb_engine_connect_brick(engine, (uint32_t)duplicator, 0, (uint32_t)balancer, error) == 0);
    for (uint32_t i = 0; i < 7; i++)
        CHECK(pb_engine_connect_brick(engine, (uint32_t)balancer, i, i == 3 ? (uint32_t)second : (uint32_t)merge, error) == 0);
    for (uint32_t i = 0; i < 3; i++)
        CHECK(pb_engine_connect_brick(engine, (uint32_t)second, i, (uint32_t)merge, error) == 0);
    CHECK(pb_engine_connect_brick(engine, (uint32_t)merge, 0, (uint32_t)writer, error) == 0);
    int file = pb_engine_add_output(engine, "pcap", output_file, "", error);
    int sink = pb_engine_add_output(engine, "null", "", "", error);
    CHECK(pb_engine_connect_output(engine, (uint32_t)writer, 0, (uint32_t)file, error) == 0);
    CHECK(pb_engine_connect_output(engine, (uint32_t)duplicator, 1, (uint32_t)sink, error) == 0);
    int input = pb_engine_add_input(engine, "pcap", capture, "", -1, error);
    CHECK(pb_engine_connect_input(engine, (uint32_t)input, (uint32_t)duplicator, error) == 0);
}

static int run_capture(const char *capture, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)place;
    if (type != FTW_F || strstr(capture, ".tsv") != NULL)
        return 0;
    struct pb_error error = {0};
    int handle = pb_engine_create("corpus", 512, -1, captures % 3 == 0 ? 1 : 256, &error);
    CHECK(handle > 0);
    connect_chain(handle, capture, &error);
    if (pb_engine_start(handle, &error) < 0) {
        /* One line that names the file. */
        CHECK(strstr(error.text, capture) != NULL && strchr(error.text, '\n') == NULL);
        refused++;
    } else {
        alarm(30);
        while (pb_engine_state(handle) != PB_ENGINE_FINISHED)
            usleep(200);
        alarm(0);
        CHECK(pb_engine_stop(handle, &error) == 0);
        packets_seen += check_accounts(handle);
    }
    CHECK(pb_engine_delete(handle, &error) == 0);
    char text[PB_ERROR_BYTES];
    while (pb_event_take(text, sizeof(text)) > 0) {
    }
    captures++;
    return 0;
}

int main(void)
{
    int fd = mkstemp(output_file);
    CHECK(fd >= 0);
    close(fd);
    run_capture("../test/fixtures/demo.pcap", NULL, FTW_F, NULL);
    const char *corpus = getenv("BRICKS_CORPUS");
    char folder[4096];
    snprintf(folder, sizeof(folder), "%s/pcap", corpus == NULL ? "" : corpus);
    if (corpus == NULL || access(folder, R_OK) != 0)
        printf("skipped: BRICKS_CORPUS is not set, only the fixture was used\n");
    else
        CHECK(nftw(folder, run_capture, 16, FTW_PHYS) == 0);
    unlink(output_file);
    CHECK(captures > refused);
    printf("%u captures (%u refused), %llu packets\n", captures, refused, (unsigned long long)packets_seen);
    return 0;
}
