/*
 * test_xdp.c - the driver xdp against the real kernel, on veth pairs in a network namespace of its own.
 *
 * The other side of each link is the oracle: a plain packet socket. Needs root; ends with
 * 77 where namespaces are not permitted, or where the driver was not built.
 */
#include <sched.h>
#include <sys/ioctl.h>

#include "port_bed.h"
#include "ports/module.h"
#include "ports/xdp.h"

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

/* ------------------------------------------------------------------ losing packets */

static void test_count_starvation(void)
{
    make_pair("a", "b", 1500);
    int oracle = oracle_open("a");
    struct test_port *in = port_open("xdp", PB_PORT_INPUT, "b", "ring=128&umem_mb=1");
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
    for (int i = 0; i < 2; i++) {
        check_carried_in(in, oracle, 60, 0);
        CHECK_EQUAL(pb_link_set_up(link_index("b"), false), 0);
        wait_for_report(in, "port \"b\": the interface is down; ip link set b up");
        check_sleeps(in);
        in->port.operations->tick(&in->port);
        CHECK_EQUAL(strlen(report()), 0);
        bring_up("b", "a");
        in->port.operations->tick(&in->port);
    }
    check_carried_in(in, oracle, 60, 0);
    make_frame(frame, 60, 1, 0);
    oracle_send(oracle, frame, 60);
    CHECK_EQUAL(pb_link_delete(link_index("b")), 0);
    struct expectation e = {.frame = frame, .bytes = 60};
    CHECK_EQUAL(port_receive(in, 1, BATCH, expect, &e), 1);
    wait_for_report(in, "port \"b\": the interface is gone; create b again, then stop and start the engine");
    for (int i = 0; i < 50; i++)
        check_sleeps(in);
    struct pb_wait wait;
    CHECK(in->port.operations->wait(&in->port, &wait));
    CHECK(wait.fd == -1 && wait.timeout_ns == -1);
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
    make_frame(frame, 60, 1, 0);
    CHECK_EQUAL(pb_link_set_up(link_index("b"), false), 0);
    for (int i = 0; i < 3; i++)
        port_send(out, frame, 60, 60, PB_LINK_ETHERNET);
    CHECK_EQUAL(own(out, PB_XDP_TX_ERROR), 3);
    check_report("port \"b\": the interface is down; ip link set b up");
    CHECK_EQUAL(strlen(report()), 0);
    bring_up("b", "a");
    out->port.operations->tick(&out->port);
    check_carried_out(out, oracle, 60, 0); /* and none of the three */

    CHECK_EQUAL(pb_link_set_up(link_index("a"), false), 0);
    for (int i = 0; i < 3; i++)
        port_send(out, frame, 60, 60, PB_LINK_ETHERNET);
    check_report("port \"b\": the interface has no link");
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
    check_report("port \"b\": the interface is gone");
    check_sleeps(out);
    check_accounting(out, counter(out, PB_PORT_TX_PACKETS) + 9);
    port_end(out);
    close(oracle);
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
        test_forward_without_copies,
        test_copy_what_others_lend,
        test_output_drops_with_reasons,
        test_count_starvation,
        test_input_outlives_its_interface,
        test_output_outlives_its_interface,
    };
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        int before = open_files();
        if (getenv("TEST_VERBOSE") != NULL)
            fprintf(stderr, "test %zu\n", i);
        tests[i]();
        CHECK_EQUAL(open_files(), before);
        CHECK_EQUAL(strlen(report()), 0);
    }
    return 0;
}
