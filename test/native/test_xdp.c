/*
 * test_xdp.c - the driver xdp against the real kernel, on veth pairs in a network namespace of its own.
 *
 * The other side of each link is the oracle: a plain packet socket. Needs root; ends with
 * 77 where namespaces are not permitted, or where the driver was not built.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "napi_bed.h"
#include "port_bed.h"
#include "ports/module.h"
#include "ports/xdp.h"

static void run(const char *command)
{
    if (system(command) != 0) {
        fprintf(stderr, "failed: %s\n", command);
        exit(1);
    }
}

/* ---------------------------------------------------------------------- carrying */

/* Sizes from the shortest to the longest, a tagged one of the longest, both ways. */
static void check_sizes(uint32_t mtu, const uint32_t *bytes, uint32_t count, const char *options)
{
    make_pair("a", "b", mtu);
    int oracle = oracle_open("a");
    struct test_port *in = port_open("xdp", PB_PORT_INPUT, "b", options);
    struct test_port *out = port_open("xdp", PB_PORT_OUTPUT, "b", options);
    for (uint32_t i = 0; i < count; i++) {
        if (bytes[i] > 14) /* the kernel's own sockets want a payload */
            check_carried_in(in, oracle, bytes[i], 0);
        check_carried_out(out, oracle, bytes[i], 0);
    }
    for (int tags = 1; tags <= 2; tags++) {
        check_carried_in(in, oracle, 64, tags);
        check_carried_out(out, oracle, 64, tags);
    }
    if (mtu < 65535)
        check_carried_out(out, oracle, mtu + 18, 1);
    check_accounting(out, counter(out, PB_PORT_TX_PACKETS));
    in->port.operations->tick(&in->port);
    CHECK_EQUAL(own(in, PB_XDP_KERNEL_DROPS), 0);
    port_end(out);
    port_end(in);
    close(oracle);
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

static void test_carry_sizes_both_ways(void)
{
    static const uint32_t small[] = {14, 60, 61, 1513, 1514}, jumbo[] = {60, 1515, 3841, 4096, 4097, 9000, 9014};
    check_sizes(1500, small, 5, "");
    check_sizes(1500, small, 5, "attach=skb");
    check_sizes(9000, jumbo, 7, "");
    check_sizes(9000, jumbo, 7, "attach=skb");
}

/* Many times around the rings, in batches that end within a packet's descriptors. */
static uint32_t varied_bytes(uint32_t number)
{
    return 60 + number * 7919 % 8900;
}

static void expect_next(const struct pb_packet *packet, void *arg)
{
    uint32_t *next = arg;
    static uint8_t wanted[FRAME_BYTES];
    make_frame(wanted, varied_bytes(*next), *next, (int)(*next % 3));
    CHECK_EQUAL(packet->captured_len, varied_bytes(*next));
    CHECK(memcmp(packet->data, wanted, packet->captured_len) == 0);
    ++*next;
}

static void test_receive_around_the_ring(void)
{
    make_pair("a", "b", 9000);
    int oracle = oracle_open("a");
    struct test_port *in = port_open("xdp", PB_PORT_INPUT, "b", "ring=64&umem_mb=1");
    static const uint32_t batches[] = {1, 2, 7, 256};
    uint32_t sent = 0, next = 0;
    for (int round = 0; round < 400; round++) {
        for (uint32_t i = 0; i < 16; i++, sent++) {
            make_frame(frame, varied_bytes(sent), sent, (int)(sent % 3));
            oracle_send(oracle, frame, varied_bytes(sent));
        }
        CHECK_EQUAL(port_receive(in, 16, batches[round % 4], expect_next, &next), 16);
    }
    CHECK_EQUAL(counter(in, PB_PORT_RX_PACKETS), sent);
    in->port.operations->tick(&in->port);
    CHECK_EQUAL(own(in, PB_XDP_KERNEL_DROPS) + own(in, PB_XDP_RX_RING_FULL), 0);
    port_end(in);
    close(oracle);
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

/* Have what is sent be there at once: the driver lets the kernel wait a little, where that knows how. */
static void wait_for_nothing(const char *interface)
{
    struct napi_contexts contexts = napi_contexts_of(link_index(interface));
    for (uint32_t i = 0; i < contexts.count; i++)
        (void)napi_set(contexts.of[i][NAPI_BED_ID], 0, 0);
}

/* A few packets wait for others, but neither the first after a while nor many do. */
static void test_coalesce_a_few_packets(void)
{
    make_pair("a", "b", 1500);
    int oracle = oracle_open("a");
    struct test_port *in = port_open("xdp", PB_PORT_INPUT, "b", "rx_usecs=100000");
    wait_for_nothing("b");
    static struct pb_packet packets[BATCH];
    struct pb_wait wait;
    make_frame(frame, 60, 0, 0);
    oracle_send(oracle, frame, 60);
    uint32_t got = 0;
    for (int i = 0; i < PATIENCE && got == 0; i++, usleep(1000))
        got = in->port.operations->rx_batch(&in->port, packets, BATCH);
    CHECK_EQUAL(got, 1); /* the first */
    in->port.operations->rx_release(&in->port);
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    oracle_send(oracle, frame, 60);
    got = in->port.operations->rx_batch(&in->port, packets, BATCH);
    bool slept = in->port.operations->wait(&in->port, &wait);
    clock_gettime(CLOCK_MONOTONIC, &after);
    bool in_time = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 < 50;
    if (in_time) { /* this process was not kept from running meanwhile */
        CHECK_EQUAL(got, 0);
        CHECK(slept && wait.timeout_ns > 0 && wait.timeout_ns <= 100000000);
    }
    in->port.operations->rx_release(&in->port);
    for (int i = 0; i < 99; i++)
        oracle_send(oracle, frame, 60);
    while (in->port.operations->rx_batch(&in->port, packets, 1) == 0)
        usleep(1000);
    for (int i = 1; i < 90; i++) { /* in small batches, too: what is left has waited already */
        in->port.operations->rx_release(&in->port);
        CHECK_EQUAL(in->port.operations->rx_batch(&in->port, packets, 1), 1);
    }
    in->port.operations->rx_release(&in->port);
    got += 90;
    for (int i = 0; i < PATIENCE && got < 100; i++, usleep(1000)) {
        got += in->port.operations->rx_batch(&in->port, packets, BATCH);
        in->port.operations->rx_release(&in->port);
    }
    CHECK_EQUAL(got, 100);
    port_end(in);
    close(oracle);
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

/* ------------------------------------------------------------------- port to port */

/* Offer what an input has received to outputs, as the engine does, until `wanted` packets went so. */
static void forward(struct test_port *in, struct test_port *const *outs, uint32_t outs_count, uint32_t wanted)
{
    static struct pb_packet packets[BATCH];
    static uint16_t index[BATCH];
    uint32_t got = 0;
    for (int patience = 0; got < wanted && patience < PATIENCE; patience++) {
        uint32_t n = in->port.operations->rx_batch(&in->port, packets, BATCH);
        for (uint32_t i = 0; i < n; i++)
            index[i] = (uint16_t)i;
        const struct pb_tx tx = {.packets = packets, .index = index, .count = n, .lent = BATCH, .from = &in->port,
                                 .sole = outs_count == 1};
        for (uint32_t i = 0; n > 0 && i < outs_count; i++)
            CHECK_EQUAL(outs[i]->port.operations->tx_batch(&outs[i]->port, &tx), n);
        in->port.operations->rx_release(&in->port);
        got += n;
        if (n == 0)
            usleep(1000);
    }
    CHECK_EQUAL(got, wanted);
}

/* So many frames that a lost buffer in a few of them would end it. */
static void test_forward_without_copies(void)
{
    make_pair("a", "b", 1500);
    make_pair("c", "d", 1500);
    make_pair("e", "f", 1500);
    int sender = oracle_open("a"), receivers[2] = {oracle_open("d"), oracle_open("f")};
    struct test_port *in = port_open("xdp", PB_PORT_INPUT, "b", "ring=64&umem_mb=1");
    struct test_port *outs[2] = {port_open("xdp", PB_PORT_OUTPUT, "c", "ring=64"), port_open("xdp", PB_PORT_OUTPUT, "e", "ring=64")};
    for (uint32_t round = 0; round < 200; round++) {
        uint32_t outs_count = 1 + round % 2;
        for (uint32_t i = 0; i < 16; i++) {
            make_frame(frame, 60 + i * 90, round * 16 + i, 0);
            oracle_send(sender, frame, 60 + i * 90);
        }
        forward(in, outs, outs_count, 16);
        for (uint32_t i = 0; i < 16; i++) {
            make_frame(frame, 60 + i * 90, round * 16 + i, 0);
            for (uint32_t o = 0; o < outs_count; o++) {
                CHECK_EQUAL(oracle_receive(receivers[o], heard), 60 + i * 90);
                CHECK(memcmp(frame, heard, 60 + i * 90) == 0);
            }
        }
    }
    CHECK_EQUAL(own(outs[0], PB_XDP_LENT), 200 * 16);
    CHECK_EQUAL(counter(outs[0], PB_PORT_TX_PACKETS), 200 * 16);
    CHECK_EQUAL(own(outs[1], PB_XDP_LENT), 100 * 16);
    CHECK_EQUAL(counter(outs[1], PB_PORT_TX_PACKETS), 100 * 16);
    in->port.operations->tick(&in->port);
    CHECK_EQUAL(own(in, PB_XDP_KERNEL_DROPS), 0);
    port_end(in); /* first, as an engine does */
    for (int i = 0; i < 2; i++) {
        port_end(outs[i]);
        close(receivers[i]);
    }
    close(sender);
    for (const char *name = "ace"; *name != '\0'; name++)
        CHECK_EQUAL(pb_link_delete(link_index((const char[]){*name, '\0'})), 0);
}

/* Packets of other ports are copied, and what the kernel has not taken is bounded by the ring. */
static void test_copy_what_others_lend(void)
{
    make_pair("a", "b", 1500);
    int oracle = oracle_open("a");
    struct test_port *out = port_open("xdp", PB_PORT_OUTPUT, "b", "ring=64&umem_mb=1");
    for (uint32_t i = 0; i < 1000; i++)
        check_carried_out(out, oracle, 60 + i, (int)(i % 3));
    CHECK_EQUAL(own(out, PB_XDP_LENT), 0);
    static struct pb_packet packets[300];
    static uint16_t index[300];
    for (uint32_t i = 0; i < 300; i++) {
        pb_packet_init(&packets[i], frame, 60, 60, 1, PB_LINK_ETHERNET);
        index[i] = (uint16_t)i;
    }
    make_frame(frame, 60, 7, 0);
    CHECK_EQUAL(offer_packets(&out->port, packets, index, 300, true), 300); /* of a ring of 64: the kernel is called in between */
    for (uint32_t i = 0; i < 300; i++)
        CHECK_EQUAL(oracle_receive(oracle, heard), 60);
    check_accounting(out, 1300);
    CHECK_EQUAL(counter(out, PB_PORT_TX_PACKETS), 1300);
    port_end(out);
    close(oracle);
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

static void test_output_drops_with_reasons(void)
{
    make_pair("a", "b", 1500);
    struct test_port *out = port_open("xdp", PB_PORT_OUTPUT, "b", "");
    make_frame(frame, 2000, 1, 0);
    port_send(out, frame, 1515, 1515, PB_LINK_ETHERNET);
    CHECK_EQUAL(own(out, PB_XDP_TOO_LONG), 1);
    port_send(out, frame, 13, 13, PB_LINK_ETHERNET);
    CHECK_EQUAL(own(out, PB_XDP_TOO_SHORT), 1);
    port_send(out, frame, 100, 200, PB_LINK_ETHERNET);
    CHECK_EQUAL(own(out, PB_XDP_TRUNCATED), 1);
    port_send(out, frame, 100, 100, PB_LINK_RAW);
    CHECK_EQUAL(own(out, PB_XDP_LINK_TYPE), 1);
    CHECK_EQUAL(pb_link_set_mtu(link_index("b"), 3000), 0);
    out->port.operations->tick(&out->port);
    port_send(out, frame, 1515, 1515, PB_LINK_ETHERNET);
    CHECK_EQUAL(own(out, PB_XDP_TOO_LONG), 1);
    check_accounting(out, 5);
    port_end(out);
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

/* Five outputs share so few buffers that the longest frames do not fit in any one's share: they are dropped, and
 * whoever could wait does not wait for ever. */
static void test_longer_than_the_buffers(void)
{
    struct test_port *outs[5];
    for (int i = 0; i < 5; i++) {
        make_pair((const char[]){'a', (char)('0' + i), '\0'}, (const char[]){'b', (char)('0' + i), '\0'}, 65535);
        outs[i] = port_open("xdp", PB_PORT_OUTPUT, (const char[]){'b', (char)('0' + i), '\0'}, "ring=64&umem_mb=1");
    }
    int oracle = oracle_open("a0");
    struct pb_packet packet;
    uint16_t index = 0;
    pb_packet_init(&packet, frame, 60000, 60000, 1, PB_LINK_ETHERNET); /* 15 buffers, of 64 / 5 */
    CHECK_EQUAL(offer_packets(&outs[0]->port, &packet, &index, 1, true), 1);
    CHECK_EQUAL(own(outs[0], PB_XDP_TOO_LONG), 1);
    check_carried_out(outs[0], oracle, 12 * 4096, 0);
    check_accounting(outs[0], 2);
    close(oracle);
    for (int i = 0; i < 5; i++) {
        port_end(outs[i]);
        CHECK_EQUAL(pb_link_delete(link_index((const char[]){'a', (char)('0' + i), '\0'})), 0);
    }
}

/* ------------------------------------------------------------------ losing packets */

static void test_count_starvation(void)
{
    make_pair("a", "b", 1500);
    int oracle = oracle_open("a");
    struct test_port *in = port_open("xdp", PB_PORT_INPUT, "b", "ring=128&umem_mb=1&rx_usecs=0"); /* the kernel defers nothing */
    CHECK_EQUAL(port_receive_briefly(in), 0); /* it has its buffers */
    for (uint32_t i = 0; i < 500; i++) {
        make_frame(frame, 60, i, 0);
        oracle_send(oracle, frame, 60);
    }
    uint32_t got = 0;
    port_receive(in, 128, BATCH, count_one, &got);
    got += port_receive_briefly(in);
    in->port.operations->tick(&in->port);
    CHECK_EQUAL(got, 128);
    CHECK_EQUAL(own(in, PB_XDP_KERNEL_DROPS) + own(in, PB_XDP_RX_RING_FULL), 500 - 128);
    CHECK_EQUAL(own(in, PB_XDP_FILL_RING_EMPTY), own(in, PB_XDP_KERNEL_DROPS));
    CHECK(own(in, PB_XDP_KERNEL_DROPS) > 0);
    CHECK_EQUAL(own(in, PB_XDP_RX_INVALID_DESCS), 0);
    check_carried_in(in, oracle, 60, 0);
    port_end(in);
    close(oracle);
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

/* ----------------------------------------------------------- the interface's state */

static void test_input_outlives_its_interface(void)
{
    make_pair("a", "b", 1500);
    int oracle = oracle_open("a");
    struct test_port *in = port_open("xdp", PB_PORT_INPUT, "b", "");
    check_input_down_and_up(in, oracle);
    check_input_removed(in, oracle);
    port_stop(in);
    close(oracle);
    make_pair("a", "b", 1500);
    oracle = oracle_open("a");
    port_start(in);
    check_carried_in(in, oracle, 60, 0);
    port_end(in);
    close(oracle);
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

static void test_output_outlives_its_interface(void)
{
    make_pair("a", "b", 1500);
    int oracle = oracle_open("a");
    struct test_port *out = port_open("xdp", PB_PORT_OUTPUT, "b", "");
    check_output_down_and_up(out, oracle, PB_XDP_TX_ERROR);

    CHECK_EQUAL(pb_link_set_up(link_index("a"), false), 0);
    for (int i = 0; i < 3; i++)
        port_send(out, frame, 60, 60, PB_LINK_ETHERNET);
    check_report("port \"xdp:b\": the interface has no link");
    CHECK_EQUAL(own(out, PB_XDP_TX_ERROR), 6);
    CHECK_EQUAL(counter(out, PB_PORT_IN_FLIGHT), 0);
    recv(oracle, heard, sizeof(heard), MSG_DONTWAIT); /* fetch ENETDOWN */
    bring_up("a", "b");
    out->port.operations->tick(&out->port);
    check_carried_out(out, oracle, 60, 0);

    CHECK_EQUAL(pb_link_delete(link_index("b")), 0);
    make_frame(frame, 60, 1, 0);
    for (int i = 0; i < 3; i++)
        port_send(out, frame, 60, 60, PB_LINK_ETHERNET);
    CHECK_EQUAL(own(out, PB_XDP_TX_ERROR), 9);
    check_report("port \"xdp:b\": the interface is gone");
    check_sleeps(out);
    check_accounting(out, counter(out, PB_PORT_TX_PACKETS) + 9);
    port_end(out);
    close(oracle);
}

/* --------------------------------------------------------- what stays, and what not */

/* Whether a program's output has this text. */
static bool says(const char *command, const char *text)
{
    char line[1024];
    bool found = false;
    FILE *pipe = popen(command, "re");
    CHECK(pipe != NULL);
    while (fgets(line, sizeof(line), pipe) != NULL)
        found |= strstr(line, text) != NULL;
    pclose(pipe);
    return found;
}

static bool has_program(void)
{
    return says("ip -details link show dev b", "prog/xdp");
}

static void *set_down(void *delay_us)
{
    usleep(*(const useconds_t *)delay_us);
    CHECK_EQUAL(pb_link_set_up(link_index("b"), false), 0);
    return NULL;
}

/* Without a link the kernel refuses packets one by one, so that the interface can be set down among them: what
 * an earlier call took is not taken back. */
static void test_output_set_down_while_it_sends(void)
{
    enum { OFFERED = 3000, ROUNDS = 10 };
    static struct pb_packet packets[OFFERED];
    static uint16_t index[OFFERED];
    make_pair("a", "b", 1500);
    struct test_port *out = port_open("xdp", PB_PORT_OUTPUT, "b", "");
    make_frame(frame, 60, 7, 0);
    for (uint32_t i = 0; i < OFFERED; i++) {
        pb_packet_init(&packets[i], frame, 60, 60, 1, PB_LINK_ETHERNET);
        index[i] = (uint16_t)i;
    }
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        pthread_t thread;
        useconds_t delay_us = round % 10 * 300;
        CHECK_EQUAL(pb_link_set_up(link_index("a"), true), 0);
        bring_up("b", "a");
        out->port.operations->tick(&out->port);
        CHECK_EQUAL(pb_link_set_up(link_index("a"), false), 0);
        CHECK_EQUAL(pthread_create(&thread, NULL, set_down, &delay_us), 0);
        CHECK_EQUAL(offer_packets(&out->port, packets, index, OFFERED, false), OFFERED);
        CHECK_EQUAL(pthread_join(thread, NULL), 0);
        CHECK_EQUAL(counter(out, PB_PORT_IN_FLIGHT), 0);
        check_accounting(out, (uint64_t)round * OFFERED);
        while (report()[0] != '\0')
            continue;
    }
    port_end(out);
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

/* Sockets of AF_XDP that a program which this one starts would hold open. */
static uint32_t inherited_sockets(void)
{
    uint32_t count = 0;
    for (int fd = 3; fd < 1024; fd++) {
        int domain = 0;
        socklen_t bytes = sizeof(domain);
        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes) == 0 && domain == AF_XDP)
            count += (fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0;
    }
    return count;
}

static void test_leave_nothing_behind(void)
{
    make_pair("a", "b", 1500);
    CHECK(!has_program());
    CHECK(says("ethtool -k b", "rx-vlan-offload: on"));
    struct test_port *in = port_open("xdp", PB_PORT_INPUT, "b", "");
    CHECK(has_program());
    CHECK_EQUAL(inherited_sockets(), 0);
    CHECK(says("ip -details link show dev b", "promiscuity 1"));
    CHECK(says("ethtool -k b", "rx-vlan-offload: off"));
    port_stop(in);
    CHECK(!has_program());
    CHECK(says("ip -details link show dev b", "promiscuity 0"));
    CHECK(says("ethtool -k b", "rx-vlan-offload: on"));
    port_start(in);
    CHECK(has_program());
    port_end(in);
    CHECK(!has_program());
    in = port_open("xdp", PB_PORT_INPUT, "b", "promiscuous=0");
    CHECK(says("ip -details link show dev b", "promiscuity 0"));
    port_end(in);
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

/* A process that dies without a word, and the next one that wants the same. */
static void test_leave_nothing_behind_when_killed(void)
{
    make_pair("a", "b", 1500);
    int oracle = oracle_open("a");
    for (int i = 0; i < 5; i++) {
        int ready[2];
        CHECK_EQUAL(pipe(ready), 0);
        pid_t child = fork();
        if (child == 0) {
            port_open("xdp", PB_PORT_INPUT, "b", "");
            port_open("xdp", PB_PORT_OUTPUT, "b", "");
            CHECK_EQUAL(write(ready[1], "r", 1), 1);
            pause();
            _exit(0);
        }
        char byte;
        CHECK_EQUAL(read(ready[0], &byte, 1), 1);
        close(ready[0]);
        close(ready[1]);
        CHECK(has_program());
        kill(child, SIGKILL);
        CHECK_EQUAL(waitpid(child, NULL, 0), child);
        struct test_port *in = port_open("xdp", PB_PORT_INPUT, "b", ""); /* at once */
        check_carried_in(in, oracle, 60, 0);
        port_end(in);
        CHECK(!has_program());
    }
    close(oracle);
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

/* Resident pages of this process. */
static long resident_pages(void)
{
    long size, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    CHECK(file != NULL);
    CHECK_EQUAL(fscanf(file, "%ld %ld", &size, &resident), 2);
    fclose(file);
    return resident;
}

#ifdef PB_SANITIZED
#define UMEM_PAGES 65536 /* the sanitizer's allocator keeps much of what was freed */
#else
#define UMEM_PAGES 256 /* of one MiB */
#endif
#define RESTARTS 200 /* the kernel takes tenths of a second for each */

static void test_restart_many_times(void)
{
    make_pair("a", "b", 1500);
    int oracle = oracle_open("a");
    struct test_port *in = port_new("xdp", PB_PORT_INPUT, "b", "umem_mb=1&ring=64");
    struct test_port *out = port_new("xdp", PB_PORT_OUTPUT, "b", "umem_mb=1&ring=64");
    int files = open_files();
    long pages = resident_pages();
    for (int i = 0; i < RESTARTS; i++) {
        port_start(i % 2 == 0 ? in : out);
        port_start(i % 2 == 0 ? out : in);
        if (i % (RESTARTS / 4) == 0) {
            check_carried_in(in, oracle, 60, 0);
            check_carried_out(out, oracle, 60, 0);
        }
        port_stop(i % 3 == 0 ? in : out);
        port_stop(i % 3 == 0 ? out : in);
        CHECK_EQUAL(open_files(), files);
        if (i == RESTARTS / 10)
            pages = resident_pages();
    }
    CHECK(resident_pages() < pages + UMEM_PAGES);
    CHECK(!has_program());
    port_delete(in);
    port_delete(out);
    close(oracle);
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

/* ------------------------------------------------------------------------- queues */

static void make_pair_of_two_queues(void)
{
    CHECK_EQUAL(system("ip link add name a numrxqueues 2 numtxqueues 2 type veth peer name b numrxqueues 2 numtxqueues 2 &&"
                       "ethtool -L a rx 2 tx 2 && ethtool -L b rx 2 tx 2"), 0);
    CHECK_EQUAL(pb_link_set_up(link_index("a"), true), 0);
    bring_up("b", "a");
}

/* A frame that arrives at queue `queue` of b: sent from that queue of a. */
static void send_to_queue(struct test_port *sender, uint32_t number)
{
    make_frame(frame, 100, number, 0);
    port_send(sender, frame, 100, 100, PB_LINK_ETHERNET);
}

static void test_engines_share_an_interface_by_queue(void)
{
    make_pair_of_two_queues();
    struct test_port *senders[2], *ins[2];
    for (int i = 0; i < 2; i++) {
        const char *options = i == 0 ? "queue=0" : "queue=1";
        senders[i] = port_open("xdp", PB_PORT_OUTPUT, "a", options);
        ins[i] = port_new("xdp", PB_PORT_INPUT, "b", "");
        ins[i]->port.engine_handle = 10 + i;
        ins[i]->port.queue_id = i;
        port_start(ins[i]);
    }
    for (uint32_t n = 0; n < 20; n++) {
        send_to_queue(senders[n % 2], n);
        struct expectation e = {.frame = frame, .bytes = 100};
        CHECK_EQUAL(port_receive(ins[n % 2], 1, BATCH, expect, &e), 1);
    }
    CHECK_EQUAL(counter(ins[0], PB_PORT_RX_PACKETS), 10);
    CHECK_EQUAL(counter(ins[1], PB_PORT_RX_PACKETS), 10);

    /* One stops, the other goes on; what comes by the first one's queue is the host's again. */
    port_stop(ins[0]);
    CHECK(has_program());
    int host = oracle_open("b");
    send_to_queue(senders[0], 100);
    CHECK_EQUAL(oracle_receive(host, heard), 100);
    send_to_queue(senders[1], 101);
    struct expectation e = {.frame = frame, .bytes = 100};
    CHECK_EQUAL(port_receive(ins[1], 1, BATCH, expect, &e), 1);
    port_stop(ins[1]);
    CHECK(!has_program());
    close(host);

    /* One engine reads both. */
    struct test_port *all = port_open("xdp", PB_PORT_INPUT, "b", "");
    for (uint32_t n = 0; n < 20; n++) {
        check_sleeps(all);
        send_to_queue(senders[n % 2], n);
        e = (struct expectation){.frame = frame, .bytes = 100};
        CHECK_EQUAL(port_receive(all, 1, BATCH, expect, &e), 1);
    }
    port_end(all);
    for (int i = 0; i < 2; i++) {
        port_end(senders[i]);
        port_delete(ins[i]);
    }
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

/* ------------------------------------------------ the kernel's half of receiving */

enum { DEFER_NS = 64000 };

static void check_napi(uint32_t queue, uint64_t defer, uint64_t flush_ns, uint64_t threaded)
{
    struct napi_contexts now = napi_contexts_of(link_index("b"));
    CHECK(queue < now.count);
    CHECK_EQUAL(now.of[queue][NAPI_BED_DEFER], defer);
    CHECK_EQUAL(now.of[queue][NAPI_BED_FLUSH], flush_ns);
    CHECK_EQUAL(now.of[queue][NAPI_BED_THREADED], threaded);
    CHECK_EQUAL(now.of[queue][NAPI_BED_PID] != 0, threaded);
}

/* Older kernels have nothing to set; what the driver does there the other tests show. */
static bool napi_can_be_set(void)
{
    make_pair("a", "b", 1500);
    run("ethtool -K b gro on");
    struct napi_contexts contexts = napi_contexts_of(link_index("b"));
    bool can = contexts.count > 0 && napi_set(contexts.of[0][NAPI_BED_ID], 0, 0) == 0;
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
    if (!can)
        printf("not tested: this kernel lets nobody set NAPI contexts; use Linux 6.17\n");
    return can;
}

static void test_defer_while_the_port_is_open(void)
{
    if (!napi_can_be_set())
        return;
    make_pair("a", "b", 1500);
    int oracle = oracle_open("a");
    struct test_port *in = port_open("xdp", PB_PORT_INPUT, "b", "");
    check_napi(0, 1, DEFER_NS, 0);
    check_carried_in(in, oracle, 60, 0);
    CHECK_EQUAL(pb_link_set_up(link_index("b"), false), 0); /* the contexts go, too */
    bring_up("b", "a");
    check_napi(0, 0, 0, 0);
    for (int i = 0; i < 10; i++) /* a second of the engine's */
        in->port.operations->tick(&in->port);
    check_napi(0, 1, DEFER_NS, 0);
    check_carried_in(in, oracle, 60, 0);
    port_end(in);
    CHECK_EQUAL(napi_contexts_of(link_index("b")).count, 0);
    /* Who wants packets sooner, or has no room for those of a long wait, gets them at once. */
    static const char *const soon[] = {"rx_usecs=499", "ring=1024"};
    for (int i = 0; i < 2; i++) {
        in = port_open("xdp", PB_PORT_INPUT, "b", soon[i]);
        check_napi(0, 0, 0, 0);
        port_end(in);
    }
    in = port_open("xdp", PB_PORT_INPUT, "b", "attach=skb"); /* without a context of its own */
    check_carried_in(in, oracle, 60, 0);
    port_end(in);
    close(oracle);
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

/* How often a thread has run. */
static unsigned long runs_of(uint64_t pid)
{
    char name[64];
    unsigned long ran, waited, runs = 0;
    snprintf(name, sizeof(name), "/proc/%u/schedstat", (unsigned)pid);
    FILE *file = fopen(name, "re");
    CHECK(file != NULL);
    CHECK_EQUAL(fscanf(file, "%lu %lu %lu", &ran, &waited, &runs), 3);
    fclose(file);
    return runs;
}

static void test_receive_in_a_kernel_thread(void)
{
    if (!napi_can_be_set())
        return;
    make_pair_of_two_queues();
    struct test_port *sender = port_open("xdp", PB_PORT_OUTPUT, "a", "queue=1");
    struct test_port *in = port_open("xdp", PB_PORT_INPUT, "b", "queue=1&threaded=1");
    check_napi(0, 0, 0, 0); /* not its queue */
    check_napi(1, 0, DEFER_NS, 1);
    uint64_t thread = napi_contexts_of(link_index("b")).of[1][NAPI_BED_PID];
    unsigned long before = runs_of(thread);
    for (uint32_t n = 0; n < 20; n++) {
        send_to_queue(sender, n);
        struct expectation e = {.frame = frame, .bytes = 100};
        CHECK_EQUAL(port_receive(in, 1, BATCH, expect, &e), 1);
    }
    CHECK(runs_of(thread) > before); /* it is that queue's */
    port_end(in);
    CHECK_EQUAL(napi_contexts_of(link_index("b")).count, 0);
    in = port_open("xdp", PB_PORT_INPUT, "b", "threaded=1");
    check_napi(0, 0, DEFER_NS, 1);
    check_napi(1, 0, DEFER_NS, 1);
    port_end(in);
    port_end(sender);
    check_refused("xdp", PB_PORT_INPUT, "b", "threaded=1&attach=skb", "no kernel thread to receive from b: ");
    CHECK(strstr(error.text, "this needs a veth, ?attach=native and Linux 6.17; leave ?threaded= out") != NULL);
    run("ip link add br0 type bridge && ip link set br0 up");
    check_refused("xdp", PB_PORT_INPUT, "br0", "threaded=1", "no kernel thread to receive from br0: ");
    CHECK_EQUAL(pb_link_delete(link_index("br0")), 0);
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

/* With GRO a veth keeps its contexts, and their settings with them. */
static void test_put_settings_back(void)
{
    if (!napi_can_be_set())
        return;
    make_pair("a", "b", 1500);
    run("ethtool -K b gro on");
    struct test_port *in = port_open("xdp", PB_PORT_INPUT, "b", "");
    check_napi(0, 1, DEFER_NS, 0);
    port_stop(in);
    check_napi(0, 0, 0, 0);
    port_start(in);
    check_napi(0, 1, DEFER_NS, 0);
    port_end(in);
    in = port_open("xdp", PB_PORT_INPUT, "b", "threaded=1");
    check_napi(0, 0, DEFER_NS, 1);
    port_end(in);
    check_napi(0, 0, 0, 0);
    /* What somebody else has set stays. */
    CHECK_EQUAL(napi_set(napi_contexts_of(link_index("b")).of[0][NAPI_BED_ID], 3, 20000), 0);
    in = port_open("xdp", PB_PORT_INPUT, "b", "");
    check_napi(0, 3, 20000, 0);
    port_end(in);
    check_napi(0, 3, 20000, 0);
    in = port_open("xdp", PB_PORT_INPUT, "b", "threaded=1");
    check_napi(0, 0, DEFER_NS, 1);
    port_end(in);
    check_napi(0, 3, 20000, 0);
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

static void open_and_be_killed(const char *options)
{
    int ready[2];
    char byte;
    CHECK_EQUAL(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        port_open("xdp", PB_PORT_INPUT, "b", options);
        CHECK_EQUAL(write(ready[1], "r", 1), 1);
        pause();
        _exit(0);
    }
    CHECK_EQUAL(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    kill(child, SIGKILL);
    CHECK_EQUAL(waitpid(child, NULL, 0), child);
    for (int i = 0; i < PATIENCE && has_program(); i++)
        usleep(1000);
}

static void test_settings_of_a_killed_process(void)
{
    if (!napi_can_be_set())
        return;
    make_pair("a", "b", 1500);
    open_and_be_killed("");
    CHECK_EQUAL(napi_contexts_of(link_index("b")).count, 0);
    run("ethtool -K b gro on"); /* now they stay, until the next port puts them back */
    for (int threaded = 0; threaded < 2; threaded++) {
        open_and_be_killed(threaded ? "threaded=1" : "");
        check_napi(0, !threaded, DEFER_NS, (uint64_t)threaded);
        struct test_port *in = port_open("xdp", PB_PORT_INPUT, "b", "");
        check_napi(0, 1, DEFER_NS, 0);
        port_end(in);
        check_napi(0, 0, 0, 0);
    }
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

/* -------------------------------------------------------------------- open errors */

static void test_open_errors_say_what_to_do(void)
{
    make_pair("a", "b", 1500);
    check_open_fails("xdp", PB_PORT_INPUT, "eth9", "no such interface; have: lo, b, a");
    check_open_fails("xdp", PB_PORT_INPUT, "lo", "lo is not Ethernet (hardware type 772); use packet:lo");
    check_refused("xdp", PB_PORT_INPUT, "b", "queue=1",
                  "b has no receive queue 1, only queue 0; use that, or give it more (ethtool -L)");
    check_refused("xdp", PB_PORT_OUTPUT, "b", "queue=7", "b has no send queue 7, only queue 0; use that");
    check_refused("xdp", PB_PORT_INPUT, "b", "mode=fast", "option \"mode\" is \"fast\"; it must be auto, zerocopy or copy");
    check_refused("xdp", PB_PORT_INPUT, "b", "attach=hard", "option \"attach\" is \"hard\"; it must be auto, native or skb");
    check_refused("xdp", PB_PORT_INPUT, "b", "mode=zerocopy", "the driver of b has no zerocopy mode on queue 0; use ?mode=auto");
    check_refused("xdp", PB_PORT_INPUT, "b", "mode=zerocopy&attach=skb", "?mode=zerocopy does not go with ?attach=skb; use ?attach=native");
    struct test_port *in = port_open("xdp", PB_PORT_INPUT, "b", "");
    check_refused("xdp", PB_PORT_INPUT, "b", "", "queue 0 of b has an input of this engine already");
    struct test_port *other = port_new("xdp", PB_PORT_OUTPUT, "b", "");
    other->port.engine_handle = 2;
    CHECK_EQUAL(other->port.operations->open(&other->port, &error), -EBUSY);
    CHECK(strstr(error.text, "queue 0 of b is in use by another program's or engine's AF_XDP socket") != NULL);
    port_delete(other);
    port_end(in);
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

/* Another process has the interface's program: it must have begun before ours did, so as not to share it. */
static void test_another_process_has_the_program(void)
{
    make_pair_of_two_queues();
    int go[2];
    CHECK_EQUAL(pipe(go), 0);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        CHECK_EQUAL(read(go[0], &byte, 1), 1);
        check_refused("xdp", PB_PORT_INPUT, "b", "queue=1", "b has another program's XDP program (id ");
        CHECK(strstr(error.text, "stop what reads it, or ip link set b xdp off") != NULL);
        _exit(0);
    }
    struct test_port *in = port_open("xdp", PB_PORT_INPUT, "b", "queue=0");
    CHECK_EQUAL(write(go[1], "g", 1), 1);
    int status;
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK_EQUAL(status, 0);
    close(go[0]);
    close(go[1]);
    port_end(in);
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

/* --------------------------------------------------------- what the host depends on */

static void test_refuse_a_default_route(void)
{
    static const struct {
        const char *set_up, *reason;
    } rows[] = {
        {"ip addr add 10.1.1.1/24 dev b && ip route add default via 10.1.1.2", "b carries this host's default route"},
        {"ip route add default dev b table 100", "b carries this host's default route"},
        {"ip route add default nexthop dev a nexthop dev b", "b carries this host's default route"},
        {"echo 0 >/proc/sys/net/ipv6/conf/b/disable_ipv6 && ip -6 route add default dev b", "b carries this host's default route"},
        {"ip link add br0 type bridge && ip link set br0 up && ip link set dev b master br0 && ip route add default dev br0",
         "b stands below br0, which carries this host's default route"},
        {"ip link add link b name over0 type macvlan && ip link set over0 up && ip route add default dev over0",
         "b stands below over0, which carries this host's default route"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        make_pair("a", "b", 1500);
        run(rows[i].set_up);
        check_refused("xdp", PB_PORT_INPUT, "b", "", rows[i].reason);
        CHECK(strstr(error.text, ": xdp takes traffic from the host, and b ") != NULL);
        CHECK(strstr(error.text, "; use packet:b, which gets a copy, or say ?force=1") != NULL);
        CHECK_EQUAL(error.code, EPERM);
        CHECK(!has_program());
        port_end(port_open("xdp", PB_PORT_OUTPUT, "b", "")); /* sending takes nothing away */
        port_end(port_open("xdp", PB_PORT_INPUT, "b", "force=1"));
        (void)system("ip link del br0 2>/dev/null");
        CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
    }
}

static void test_refuse_an_ssh_connection(void)
{
    make_pair("a", "b", 1500);
    run("ip link set lo up && ip addr add 10.1.1.1/24 dev b");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(22), .sin_addr.s_addr = inet_addr("10.1.1.1")};
    int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    CHECK_EQUAL(setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    CHECK_EQUAL(bind(server, (struct sockaddr *)&address, sizeof(address)), 0);
    CHECK_EQUAL(listen(server, 1), 0);
    port_end(port_open("xdp", PB_PORT_INPUT, "b", "")); /* nobody is connected */
    CHECK_EQUAL(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
    check_refused("xdp", PB_PORT_INPUT, "b", "", "b carries an SSH connection to this host; use packet:b");
    port_end(port_open("xdp", PB_PORT_INPUT, "b", "force=1"));
    close(client);
    close(server);
    run("ip link set lo down");
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

/* Last: it gives root's rights away. */
static void test_open_without_permission(void)
{
    make_pair("a", "b", 1500);
    CHECK_EQUAL(seteuid(65534), 0);
    check_refused("xdp", PB_PORT_INPUT, "b", "", "run as root or grant CAP_NET_RAW");
    CHECK_EQUAL(pb_driver_probe("xdp", &error), -EPERM);
    CHECK(strstr(error.text, "driver \"xdp\": no permission for AF_XDP sockets; run as root or grant CAP_NET_RAW") != NULL);
    CHECK_EQUAL(seteuid(0), 0);
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

int main(void)
{
    if (unshare(CLONE_NEWNET) < 0) {
        printf("skipped: no network namespace of its own: %s; run as root\n", strerror(errno));
        return 77;
    }
    if (pb_driver_probe("xdp", &error) < 0) {
        printf("skipped: %s\n", error.text);
        return 77;
    }
    disable_ipv6();
    static void (*const tests[])(void) = {
        test_carry_sizes_both_ways,
        test_receive_around_the_ring,
        test_coalesce_a_few_packets,
        test_forward_without_copies,
        test_copy_what_others_lend,
        test_output_drops_with_reasons,
        test_longer_than_the_buffers,
        test_count_starvation,
        test_input_outlives_its_interface,
        test_output_outlives_its_interface,
        test_output_set_down_while_it_sends,
        test_leave_nothing_behind,
        test_leave_nothing_behind_when_killed,
        test_restart_many_times,
        test_engines_share_an_interface_by_queue,
        test_defer_while_the_port_is_open,
        test_receive_in_a_kernel_thread,
        test_put_settings_back,
        test_settings_of_a_killed_process,
        test_open_errors_say_what_to_do,
        test_another_process_has_the_program,
        test_refuse_a_default_route,
        test_refuse_an_ssh_connection,
        test_open_without_permission,
    };
    run_tests(tests, sizeof(tests) / sizeof(tests[0]));
    return 0;
}
