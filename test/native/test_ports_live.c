/*
 * test_ports_live.c - the drivers packet, veth and tap against the real kernel.
 *
 * Runs in a network namespace of its own, so that nothing it makes outlives it.
 * The other side of each link is the oracle: a plain packet socket with send()
 * and recv(). Needs root; ends with 77 where namespaces are not permitted.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "port_bed.h"
#include "ports/packet.h"

/* tap's own counters, in the order of its table */
enum { TAP_TX_FULL, TAP_TX_ERROR, TAP_TOO_LONG, TAP_TOO_SHORT, TAP_TRUNCATED, TAP_LINK_TYPE, TAP_KERNEL_DROPS };

/* ---------------------------------------------------------------------- packet */

static void test_carry_sizes_both_ways(void)
{
    static const struct {
        uint32_t mtu, bytes[6];
    } rows[] = {{1500, {14, 60, 61, 1513, 1514}}, {9000, {60, 1515, 9000, 9014}}, {65535, {60, 9015, 40000, 65535}}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        make_pair("a", "b", rows[i].mtu);
        int oracle = oracle_open("a");
        struct test_port *in = port_open("packet", PB_PORT_INPUT, "b", "");
        struct test_port *out = port_open("packet", PB_PORT_OUTPUT, "b", "");
        for (int k = 0; k < 6 && rows[i].bytes[k] > 0; k++) {
            if (rows[i].bytes[k] > 14) /* the kernel's own sockets want a payload */
                check_carried_in(in, oracle, rows[i].bytes[k], 0);
            check_carried_out(out, oracle, rows[i].bytes[k], 0);
        }
        if (rows[i].mtu < 65535)
            check_carried_out(out, oracle, rows[i].mtu + 18, 1);
        check_accounting(out, counter(out, PB_PORT_TX_PACKETS));
        port_end(out);
        port_end(in);
        close(oracle);
        CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
    }
}

static void test_restore_vlan_tags(void)
{
    make_pair("a", "b", 1500);
    int oracle = oracle_open("a");
    struct test_port *in = port_open("packet", PB_PORT_INPUT, "b", "");
    /* Where it arrives the kernel strips the outer tag; where it is sent, the tag is in the frame. */
    struct test_port *sender = port_open("packet", PB_PORT_INPUT, "a", "outgoing=1");
    struct test_port *out = port_open("packet", PB_PORT_OUTPUT, "b", "");
    for (int tags = 1; tags <= 2; tags++) {
        check_carried_in(in, oracle, 64, tags);
        struct expectation e = {.frame = frame, .bytes = 64};
        CHECK_EQUAL(port_receive(sender, 1, BATCH, expect, &e), 1);
        check_carried_in(in, oracle, 1514, tags);
        e.bytes = 1514;
        CHECK_EQUAL(port_receive(sender, 1, BATCH, expect, &e), 1);
        check_carried_out(out, oracle, 100, tags);
        CHECK_EQUAL(port_receive(sender, 1, BATCH, count_one, &(uint32_t){0}), 1);
    }
    port_end(in);
    port_end(out);
    port_end(sender);
    close(oracle);
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

#define RING_BLOCKS 8 /* of a ring of 1 MiB */

static uint32_t wrap_bytes(uint32_t number)
{
    return 60 + number * 37 % 1400;
}

/* A round of frames that share blocks, then one of frames that fill them. */
static uint32_t receive_bytes(uint32_t number)
{
    return number / RING_BLOCKS % 2 == 0 ? wrap_bytes(number) : 60 + number * 7919 % 60000;
}

static void expect_received(const struct pb_packet *packet, void *arg)
{
    uint32_t *next = arg;
    static uint8_t wanted[FRAME_BYTES];
    make_frame(wanted, receive_bytes(*next), *next, (int)(*next % 3));
    CHECK_EQUAL(packet->captured_len, receive_bytes(*next));
    CHECK(memcmp(packet->data, wanted, packet->captured_len) == 0);
    ++*next;
}

static void expect_next(const struct pb_packet *packet, void *arg)
{
    uint32_t *next = arg;
    static uint8_t wanted[FRAME_BYTES];
    make_frame(wanted, wrap_bytes(*next), *next, (int)(*next % 3));
    CHECK_EQUAL(packet->captured_len, wrap_bytes(*next));
    CHECK(memcmp(packet->data, wanted, packet->captured_len) == 0);
    ++*next;
}

/* Many times around a small ring, with batches that end within a block. At worst each frame gets
 * a block of its own, because a millisecond has passed: so many and no more are sent ahead. */
static void test_receive_around_the_ring(void)
{
    make_pair("a", "b", 65535);
    int oracle = oracle_open("a");
    struct test_port *in = port_open("packet", PB_PORT_INPUT, "b", "ring_mb=1");
    static const uint32_t batches[] = {1, 7, 255, 256};
    uint32_t sent = 0, next = 0;
    for (int round = 0; round < 400; round++) {
        for (uint32_t i = 0; i < RING_BLOCKS; i++, sent++) {
            make_frame(frame, receive_bytes(sent), sent, (int)(sent % 3));
            oracle_send(oracle, frame, receive_bytes(sent));
        }
        CHECK_EQUAL(port_receive(in, RING_BLOCKS, batches[round % 4], expect_received, &next), RING_BLOCKS);
    }
    CHECK_EQUAL(next, sent);
    CHECK_EQUAL(counter(in, PB_PORT_RX_PACKETS), sent);
    in->port.operations->tick(&in->port);
    CHECK_EQUAL(own(in, PB_PACKET_KERNEL_DROPS), 0);
    CHECK_EQUAL(own(in, PB_PACKET_RX_INVALID), 0);
    port_end(in);
    close(oracle);
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

static void test_send_around_the_ring(void)
{
    make_pair("a", "b", 1500);
    int oracle = oracle_open("a");
    struct test_port *out = port_open("packet", PB_PORT_OUTPUT, "b", "");
    static uint8_t frames[BATCH][1500];
    static struct pb_packet packets[BATCH];
    static uint16_t index[BATCH];
    uint32_t sent = 0, got = 0;
    while (sent < 10000) {
        for (uint32_t i = 0; i < BATCH; i++) {
            uint32_t bytes = wrap_bytes(sent + i);
            make_frame(frames[i], bytes, sent + i, 0);
            pb_packet_init(&packets[i], frames[i], bytes, bytes, 1, PB_LINK_ETHERNET);
            index[i] = (uint16_t)i;
        }
        for (uint32_t done = 0; done < BATCH;)
            done += offer_packets(&out->port, packets, index + done, BATCH - done, true);
        sent += BATCH;
        while (counter(out, PB_PORT_IN_FLIGHT) > 0)
            out->port.operations->flush(&out->port);
        check_accounting(out, sent);
        for (; got < sent; got++) {
            make_frame(frame, wrap_bytes(got), got, 0);
            CHECK_EQUAL(oracle_receive(oracle, heard), wrap_bytes(got));
            CHECK(memcmp(frame, heard, wrap_bytes(got)) == 0);
        }
    }
    CHECK_EQUAL(counter(out, PB_PORT_TX_PACKETS), sent);
    port_end(out);
    close(oracle);
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

static bool promiscuous(const char *name)
{
    char command[64], line[1024];
    snprintf(command, sizeof(command), "ip -d link show %s", name);
    FILE *pipe = popen(command, "r");
    bool found = false;
    while (fgets(line, sizeof(line), pipe) != NULL)
        found |= strstr(line, "promiscuity 1") != NULL;
    pclose(pipe);
    return found;
}

static void test_promiscuous_and_outgoing(void)
{
    make_pair("a", "b", 1500);
    int near = oracle_open("b"), far = oracle_open("a");
    struct test_port *in = port_open("packet", PB_PORT_INPUT, "b", "promiscuous=0");
    CHECK(!promiscuous("b"));
    port_end(in);
    in = port_open("packet", PB_PORT_INPUT, "b", "");
    CHECK(promiscuous("b"));
    check_carried_in(in, far, 60, 0); /* its destination is no interface's address */
    make_frame(frame, 60, 1, 0);
    oracle_send(near, frame, 60);
    CHECK_EQUAL(port_receive_briefly(in), 0);
    port_end(in);
    CHECK(!promiscuous("b"));
    in = port_open("packet", PB_PORT_INPUT, "b", "outgoing=1");
    check_carried_in(in, near, 60, 0);
    port_end(in);
    close(near);
    close(far);
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

#define FLOWS 64
#define FLOW_PACKETS 10

/* A UDP packet of a flow, in one of its directions; the payload holds the number. */
static uint32_t make_udp(uint8_t *f, uint32_t flow, bool back, uint32_t number)
{
    uint8_t hosts[2][4] = {{10, 0, 0, (uint8_t)flow}, {10, 1, 0, (uint8_t)flow}};
    memset(f, 0, 64);
    make_frame(f, 14, 0, 0);
    memcpy(f + 12, "\x08\x00\x45\x00\x00\x20\x00\x00\x40\x00\x40\x11", 12);
    memcpy(f + 26, hosts[back], 4);
    memcpy(f + 30, hosts[!back], 4);
    uint32_t sum = 0;
    for (int i = 14; i < 34; i += 2)
        sum += (uint32_t)(f[i] << 8 | f[i + 1]);
    sum = ~((sum & 0xffff) + (sum >> 16)) & 0xffff;
    f[24] = (uint8_t)(sum >> 8);
    f[25] = (uint8_t)sum;
    uint16_t ports[2] = {htons((uint16_t)(1000 + flow)), htons(53)}, bytes = htons(12);
    memcpy(f + 34, &ports[back], 2);
    memcpy(f + 36, &ports[!back], 2);
    memcpy(f + 38, &bytes, 2);
    memcpy(f + 42, &number, 4);
    return 60;
}

struct shares {
    uint8_t seen[FLOWS * FLOW_PACKETS];
    int owner[FLOWS]; /* which port has the flow; -1: none yet */
    uint32_t packets[2];
};

static void take_shares(struct test_port *in[2], struct shares *shares)
{
    static struct pb_packet packets[BATCH];
    for (int i = 0; i < 2; i++) {
        uint32_t n = in[i]->port.operations->rx_batch(&in[i]->port, packets, BATCH);
        for (uint32_t k = 0; k < n; k++) {
            uint32_t number;
            CHECK_EQUAL(packets[k].captured_len, 60);
            memcpy(&number, packets[k].data + 42, 4);
            CHECK(number < FLOWS * FLOW_PACKETS);
            CHECK_EQUAL(shares->seen[number]++, 0);
            int *owner = &shares->owner[number % FLOWS];
            CHECK(*owner == -1 || *owner == i);
            *owner = i;
            shares->packets[i]++;
        }
        in[i]->port.operations->rx_release(&in[i]->port);
    }
}

static void test_fanout_shares_flows(void)
{
    make_pair("a", "b", 1500);
    int far = oracle_open("a"), near = oracle_open("b");
    struct test_port *in[2];
    for (int i = 0; i < 2; i++) {
        in[i] = port_new("packet", PB_PORT_INPUT, "b", "");
        in[i]->port.queue_id = i;
        port_start(in[i]);
    }
    static struct shares shares;
    memset(shares.owner, -1, sizeof(shares.owner));
    oracle_send(near, frame, make_udp(frame, 1, false, UINT32_MAX)); /* outgoing: must not arrive */
    for (uint32_t i = 0; i < FLOWS * FLOW_PACKETS; i++) {
        oracle_send(far, frame, make_udp(frame, i % FLOWS, i / FLOWS % 2, i));
        if (i % FLOWS == 0)
            take_shares(in, &shares);
    }
    for (int i = 0; i < 60; i++) {
        take_shares(in, &shares);
        usleep(1000);
    }
    CHECK_EQUAL(shares.packets[0] + shares.packets[1], FLOWS * FLOW_PACKETS);
    CHECK(shares.packets[0] > 0 && shares.packets[1] > 0);
    port_end(in[0]);
    port_end(in[1]);
    close(far);
    close(near);
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

static void test_count_kernel_drops(void)
{
    make_pair("a", "b", 1500);
    int oracle = oracle_open("a");
    struct test_port *in = port_open("packet", PB_PORT_INPUT, "b", "ring_mb=1");
    uint32_t sent = 3000, got = 0;
    for (uint32_t i = 0; i < sent; i++) {
        make_frame(frame, 1400, i, 0);
        oracle_send(oracle, frame, 1400);
    }
    usleep(50000);
    in->port.operations->tick(&in->port);
    uint64_t drops = own(in, PB_PACKET_KERNEL_DROPS);
    CHECK(drops > 0 && drops < sent);
    CHECK_EQUAL(port_receive(in, sent - (uint32_t)drops, BATCH, count_one, &got), sent - drops);
    CHECK_EQUAL(port_receive_briefly(in), 0);
    in->port.operations->tick(&in->port);
    CHECK_EQUAL(own(in, PB_PACKET_KERNEL_DROPS), drops);
    check_carried_in(in, oracle, 60, 0); /* and it goes on */
    port_end(in);
    close(oracle);
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

/* A block as the kernel would never write it. */
static void test_distrust_offsets(void)
{
    static _Alignas(4096) uint8_t ring[2 * 262144];
    static struct pb_packet packets[BATCH];
    static const struct {
        uint32_t count, first, len, mac, snaplen, next, good;
    } rows[] = {
        {1, 48, 4096, 100, 60, 0, 1},        {3, 48, 4096, 100, 60, 0, 1},      {3, 48, 4096, 100, 60, 8, 1},
        {1, 262144, 262144, 100, 60, 0, 0},  {1, 48, 4096, 10, 60, 0, 0},       {1, 48, 4096, 100, 5000, 0, 0},
        {1, 48, 4096, 100, UINT32_MAX, 0, 0}, {2, 48, 4096, 100, 60, UINT32_MAX - 15, 1},
        {1, UINT32_MAX, 4096, 100, 60, 0, 0},
        {1, 48, UINT32_MAX, 65535, 262144, 0, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct test_port *t = port_new("packet", PB_PORT_INPUT, "fake", "");
        struct pb_packet_socket s = {.interface.fd = -1, .link_type = PB_LINK_ETHERNET, .ring = ring, .rx = {.blocks = 2}};
        memset(ring, 0, sizeof(ring));
        struct tpacket_block_desc *block = (struct tpacket_block_desc *)ring;
        block->hdr.bh1.block_status = TP_STATUS_USER;
        block->hdr.bh1.num_pkts = rows[i].count;
        block->hdr.bh1.offset_to_first_pkt = rows[i].first;
        block->hdr.bh1.blk_len = rows[i].len;
        struct tpacket3_hdr *header = (struct tpacket3_hdr *)(ring + 48);
        header->tp_mac = (uint16_t)rows[i].mac;
        header->tp_snaplen = header->tp_len = rows[i].snaplen;
        header->tp_next_offset = rows[i].next;
        t->port.state = &s;
        CHECK_EQUAL(pb_packet_rx_batch(&t->port, packets, BATCH), rows[i].good);
        CHECK_EQUAL(own(t, PB_PACKET_RX_INVALID), rows[i].count - rows[i].good);
        CHECK_EQUAL(block->hdr.bh1.block_status, TP_STATUS_USER);
        pb_packet_rx_release(&t->port);
        CHECK_EQUAL(block->hdr.bh1.block_status, TP_STATUS_KERNEL);
        t->port.state = NULL;
        port_delete(t);
    }
}

static void test_input_outlives_its_interface(void)
{
    make_pair("a", "b", 1500);
    int oracle = oracle_open("a");
    struct test_port *in = port_open("packet", PB_PORT_INPUT, "b", "");
    check_input_down_and_up(in, oracle);
    /* Down when it is opened. */
    CHECK_EQUAL(pb_link_set_up(link_index("b"), false), 0);
    wait_for_report(in, "is down");
    /* Down again, where nobody looked while it was up. */
    bring_up("b", "a");
    CHECK_EQUAL(pb_link_set_up(link_index("b"), false), 0);
    wait_for_report(in, "is down");
    struct test_port *late = port_open("packet", PB_PORT_INPUT, "b", "");
    check_report("port \"packet:b\": the interface is down");
    check_sleeps(late);
    bring_up("b", "a");
    check_carried_in(late, oracle, 60, 0);
    check_input_removed(late, oracle);
    in->port.operations->tick(&in->port);
    while (report()[0] != '\0') {
    }
    port_end(in);
    port_end(late);
    close(oracle);
}

static void test_output_drops_with_reasons(void)
{
    make_pair("a", "b", 1500);
    int oracle = oracle_open("a");
    struct test_port *out = port_open("packet", PB_PORT_OUTPUT, "b", "");
    make_frame(frame, 2000, 1, 0);
    port_send(out, frame, 1515, 1515, PB_LINK_ETHERNET);
    make_frame(frame, 2000, 1, 1);
    port_send(out, frame, 1519, 1519, PB_LINK_ETHERNET);
    CHECK_EQUAL(own(out, PB_PACKET_TOO_LONG), 2);
    port_send(out, frame, 13, 13, PB_LINK_ETHERNET);
    port_send(out, frame, 0, 0, PB_LINK_ETHERNET);
    CHECK_EQUAL(own(out, PB_PACKET_TOO_SHORT), 2);
    port_send(out, frame, 60, 61, PB_LINK_ETHERNET);
    CHECK_EQUAL(own(out, PB_PACKET_TRUNCATED), 1);
    port_send(out, frame, 60, 60, PB_LINK_RAW);
    CHECK_EQUAL(own(out, PB_PACKET_LINK_TYPE), 1);
    check_carried_out(out, oracle, 60, 0);

    /* The MTU shrinks under it: the kernel refuses the frame, those after it go on. */
    CHECK_EQUAL(pb_link_set_mtu(link_index("b"), 1000), 0);
    make_frame(frame, 1400, 1, 0);
    port_send(out, frame, 1400, 1400, PB_LINK_ETHERNET);
    CHECK_EQUAL(own(out, PB_PACKET_TX_ERROR), 1);
    port_send(out, frame, 1400, 1400, PB_LINK_ETHERNET);
    CHECK_EQUAL(own(out, PB_PACKET_TOO_LONG), 3);
    check_carried_out(out, oracle, 1014, 0);
    CHECK_EQUAL(pb_link_set_mtu(link_index("b"), 1500), 0);
    out->port.operations->tick(&out->port);
    check_carried_out(out, oracle, 1514, 0);
    check_accounting(out, 11);
    port_end(out);
    close(oracle);
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

static void test_output_outlives_its_interface(void)
{
    make_pair("a", "b", 1500);
    int oracle = oracle_open("a");
    struct test_port *out = port_open("packet", PB_PORT_OUTPUT, "b", "");
    check_output_down_and_up(out, oracle, PB_PACKET_TX_ERROR);

    /* Without link a device takes nothing: what a paused source would wait for for ever. */
    CHECK_EQUAL(pb_link_set_up(link_index("a"), false), 0);
    port_send(out, frame, 60, 60, PB_LINK_ETHERNET);
    CHECK_EQUAL(counter(out, PB_PORT_IN_FLIGHT), 1);
    struct pb_wait wait;
    CHECK(out->port.operations->wait(&out->port, &wait));
    CHECK(wait.fd == -1 && wait.timeout_ns > 0);
    out->port.operations->tick(&out->port);
    check_report("port \"packet:b\": the interface has no link");
    CHECK_EQUAL(counter(out, PB_PORT_IN_FLIGHT), 0);
    CHECK_EQUAL(own(out, PB_PACKET_TX_ERROR), 4);
    bring_up("a", "b");
    out->port.operations->tick(&out->port);
    check_carried_out(out, oracle, 60, 0);

    /* A full ring: refused to who can wait, dropped for who cannot. */
    CHECK_EQUAL(pb_link_set_up(link_index("a"), false), 0);
    static struct pb_packet packets[4096];
    static uint16_t index[4096];
    for (uint32_t i = 0; i < 4096; i++) {
        pb_packet_init(&packets[i], frame, 60, 60, 1, PB_LINK_ETHERNET);
        index[i] = (uint16_t)i;
    }
    uint32_t taken = offer_packets(&out->port, packets, index, 4096, true);
    CHECK(taken > 0 && taken < 4096);
    CHECK_EQUAL(counter(out, PB_PORT_IN_FLIGHT), taken);
    CHECK(out->port.operations->wait(&out->port, &wait));
    CHECK(wait.timeout_ns > 0);
    CHECK_EQUAL(offer_packets(&out->port, packets, index, 100, false), 100);
    CHECK_EQUAL(own(out, PB_PACKET_TX_FULL), 100);
    check_accounting(out, 6 + taken + 100);
    CHECK_EQUAL(offer_packets(&out->port, packets, index, 1, true), 0);
    bring_up("a", "b");
    CHECK(!out->port.operations->wait(&out->port, &wait)); /* it sent, so there is room */
    while (counter(out, PB_PORT_IN_FLIGHT) > 0)
        out->port.operations->flush(&out->port);
    for (uint32_t i = 0; i < taken; i++)
        CHECK_EQUAL(oracle_receive(oracle, heard), 60);

    CHECK_EQUAL(pb_link_delete(link_index("b")), 0);
    port_send(out, frame, 60, 60, PB_LINK_ETHERNET);
    CHECK_EQUAL(own(out, PB_PACKET_TX_ERROR), 5);
    check_report("port \"packet:b\": the interface is gone; create b again");
    out->port.operations->tick(&out->port);
    check_sleeps_for_ever(out);
    CHECK_EQUAL(strlen(report()), 0);
    check_accounting(out, 6 + taken + 101);
    port_end(out);
    close(oracle);
}

/* ------------------------------------------------------------------------ veth */

static void test_veth_lives_until_destroyed(void)
{
    struct test_port *out = port_open("veth", PB_PORT_OUTPUT, "bro0", "mtu=9000");
    struct test_port *in = port_open("veth", PB_PORT_INPUT, "bro0", "");
    bring_up("bro0", "bro0-in");
    int oracle = oracle_open("bro0");
    check_carried_out(out, oracle, 9014, 0);
    check_carried_in(in, oracle, 9014, 0);
    port_stop(out);
    port_stop(in);
    CHECK(link_index("bro0") > 0 && link_index("bro0-in") > 0);
    int before = link_index("bro0");
    port_start(out);
    port_start(in);
    CHECK_EQUAL(link_index("bro0"), before);
    check_carried_out(out, oracle, 60, 0);
    check_carried_in(in, oracle, 60, 0);
    port_end(in);
    CHECK(link_index("bro0") > 0);
    port_stop(out);
    /* Removed by somebody while stopped: made again. */
    CHECK_EQUAL(pb_link_delete(before), 0);
    port_start(out);
    CHECK(link_index("bro0") > 0 && link_index("bro0-in") > 0);
    port_end(out);
    CHECK_EQUAL(link_index("bro0"), 0);
    CHECK_EQUAL(link_index("bro0-in"), 0);
    close(oracle);

    struct test_port *never = port_new("veth", PB_PORT_INPUT, "bro0", "");
    port_delete(never); /* never opened */
}

static void test_veth_leaves_what_it_found(void)
{
    make_pair("bro1", "bro1-in", 1500);
    int before = link_index("bro1");
    struct test_port *out = port_open("veth", PB_PORT_OUTPUT, "bro1", "");
    int oracle = oracle_open("bro1");
    check_carried_out(out, oracle, 60, 0);
    port_end(out);
    close(oracle);
    CHECK_EQUAL(link_index("bro1"), before);
    CHECK_EQUAL(pb_link_delete(before), 0);

    make_pair("bro2", "other", 1500);
    check_open_fails("veth", PB_PORT_INPUT, "bro2",
                     "interface bro2 exists without bro2-in; delete it (ip link delete bro2)");
    make_pair("bro2-in", "more", 1500);
    check_open_fails("veth", PB_PORT_INPUT, "bro2", "exist and are not a veth pair; use another name");
    CHECK_EQUAL(pb_link_delete(link_index("bro2")), 0);
    check_open_fails("veth", PB_PORT_INPUT, "bro2", "interface bro2-in exists without bro2;");
    CHECK_EQUAL(pb_link_delete(link_index("more")), 0);
    check_open_fails("veth", PB_PORT_INPUT, "thirteenbytes", "at most 12 bytes");
    check_open_fails("veth", PB_PORT_INPUT, "a/b", "cannot create a/b and a/b-in");
}

/* ------------------------------------------------------------------------- tap */

static void test_tap_both_ways(void)
{
    struct test_port *in = port_open("tap", PB_PORT_INPUT, "tap0", "mtu=65521");
    struct test_port *out = port_open("tap", PB_PORT_OUTPUT, "tap0", "mtu=65521");
    check_open_fails("tap", PB_PORT_INPUT, "tap0", "this tap is an input already");
    bring_up("tap0", "tap0");
    int oracle = oracle_open("tap0");
    static const uint32_t bytes[] = {60, 1514, 9014, 40000, 65535};
    for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
        check_carried_in(in, oracle, bytes[i], 0);
        check_carried_out(out, oracle, bytes[i], 0);
    }
    check_carried_in(in, oracle, 100, 1);
    check_carried_in(in, oracle, 100, 2);
    check_carried_out(out, oracle, 100, 1);
    check_carried_out(out, oracle, 100, 2);
    uint32_t next = 0;
    for (uint32_t sent = 0; sent < 5000;) {
        for (int i = 0; i < 250; i++, sent++) {
            make_frame(frame, wrap_bytes(sent), sent, (int)(sent % 3));
            oracle_send(oracle, frame, wrap_bytes(sent));
        }
        CHECK_EQUAL(port_receive(in, 250, 64, expect_next, &next), 250);
    }
    make_frame(frame, FRAME_BYTES, 1, 0);
    port_send(out, frame, 65536, 65536, PB_LINK_ETHERNET);
    port_send(out, frame, 13, 13, PB_LINK_ETHERNET);
    port_send(out, frame, 60, 70, PB_LINK_ETHERNET);
    port_send(out, frame, 60, 60, PB_LINK_RAW);
    CHECK_EQUAL(own(out, TAP_TOO_LONG), 1);
    CHECK_EQUAL(own(out, TAP_TOO_SHORT), 1);
    CHECK_EQUAL(own(out, TAP_TRUNCATED), 1);
    CHECK_EQUAL(own(out, TAP_LINK_TYPE), 1);
    check_accounting(out, 7 + 4);
    port_stop(in);
    check_carried_out(out, oracle, 60, 0); /* the other port still has it */
    port_start(in);
    check_carried_in(in, oracle, 60, 0);
    port_end(in);
    port_end(out);
    close(oracle);
    CHECK_EQUAL(link_index("tap0"), 0);
}

/* The host sends more than the interface's queue holds while nobody reads: what is not received is counted. */
static void test_tap_counts_what_the_kernel_drops(void)
{
    struct test_port *in = port_open("tap", PB_PORT_INPUT, "tap2", "");
    bring_up("tap2", "tap2");
    int oracle = oracle_open("tap2");
    uint32_t sent = 0, got = 0, came;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 5000; i++, sent++) {
            make_frame(frame, 60, sent, 0);
            CHECK(send(oracle, frame, 60, 0) == 60 || errno == ENOBUFS); /* as it is for a program whose frame is dropped */
        }
        while ((came = port_receive_briefly(in)) > 0) /* all is in its queue */
            got += came;
        in->port.operations->tick(&in->port);
        CHECK(own(in, TAP_KERNEL_DROPS) > 0);
        CHECK_EQUAL(got + own(in, TAP_KERNEL_DROPS), sent);
    }
    CHECK_EQUAL(counter(in, PB_PORT_RX_PACKETS), got);
    /* Another start counts from there. */
    port_stop(in);
    port_start(in);
    in->port.operations->tick(&in->port);
    CHECK_EQUAL(own(in, TAP_KERNEL_DROPS), sent - got);
    port_end(in);
    close(oracle);
}

static void test_tap_outlives_its_interface(void)
{
    struct test_port *in = port_open("tap", PB_PORT_INPUT, "tap1", "");
    struct test_port *out = port_open("tap", PB_PORT_OUTPUT, "tap1", "");
    bring_up("tap1", "tap1");
    int oracle = oracle_open("tap1");
    make_frame(frame, 60, 1, 0);
    CHECK_EQUAL(pb_link_set_up(link_index("tap1"), false), 0);
    wait_for_report(in, "port \"tap:tap1\": the interface is down; ip link set tap1 up");
    check_sleeps(in);
    port_send(out, frame, 60, 60, PB_LINK_ETHERNET);
    port_send(out, frame, 60, 60, PB_LINK_ETHERNET);
    CHECK_EQUAL(own(out, TAP_TX_ERROR), 2);
    check_report("is down");
    CHECK_EQUAL(strlen(report()), 0);
    bring_up("tap1", "tap1");
    in->port.operations->tick(&in->port);
    out->port.operations->tick(&out->port);
    recv(oracle, heard, sizeof(heard), MSG_DONTWAIT); /* fetch ENETDOWN */
    check_carried_in(in, oracle, 60, 0);
    check_carried_out(out, oracle, 60, 0);

    CHECK_EQUAL(pb_link_delete(link_index("tap1")), 0);
    CHECK_EQUAL(port_receive_briefly(in), 0); /* notices by itself, without tick() */
    check_report("port \"tap:tap1\": the interface is gone; stop and start");
    check_sleeps(in);
    make_frame(frame, 60, 1, 0);
    port_send(out, frame, 60, 60, PB_LINK_ETHERNET);
    CHECK_EQUAL(own(out, TAP_TX_ERROR), 3);
    check_report("is gone");
    check_sleeps(out);
    port_stop(in);
    port_start(in); /* a new one, though the other port still holds the old */
    close(oracle);
    bring_up("tap1", "tap1");
    oracle = oracle_open("tap1");
    check_carried_in(in, oracle, 60, 0);
    CHECK_EQUAL(strlen(report()), 0);
    port_end(in);
    port_end(out);
    close(oracle);
}

/* -------------------------------------------------------------------- open errors */

static void test_open_errors_say_what_to_do(void)
{
    make_pair("a", "b", 1500);
    check_open_fails("packet", PB_PORT_INPUT, "eth9", "no such interface; have: lo, b, a");
    check_open_fails("packet", PB_PORT_OUTPUT, "a-name-longer-than-any", "no such interface; have: ");
    check_open_fails("packet", PB_PORT_INPUT, "", "no such interface");
    check_open_fails("tap", PB_PORT_INPUT, "b", "an interface of this name exists and is not a tap");
    check_open_fails("tap", PB_PORT_INPUT, "a-name-longer-than-any", "1 to 15 bytes");
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
    struct test_port *lo = port_open("packet", PB_PORT_INPUT, "lo", "");
    check_report("port \"packet:lo\": the interface is down; ip link set lo up");
    port_end(lo);
}

/* Last: it gives root's rights away. */
static void test_open_without_permission(void)
{
    CHECK_EQUAL(seteuid(65534), 0);
    check_open_fails("packet", PB_PORT_INPUT, "lo", "no permission for packet sockets; run as root or "
                     "grant CAP_NET_RAW (setcap cap_net_raw+ep PROGRAM)");
    check_open_fails("veth", PB_PORT_INPUT, "bro0", "no permission to create interfaces; run as root "
                     "or grant CAP_NET_ADMIN");
    check_open_fails("tap", PB_PORT_INPUT, "tap0", "");
    CHECK_EQUAL(seteuid(0), 0);
}

int main(void)
{
    if (unshare(CLONE_NEWNET) < 0) {
        printf("skipped: no network namespace of its own: %s; run as root\n", strerror(errno));
        return 77;
    }
    disable_ipv6();
    static void (*const tests[])(void) = {
        test_carry_sizes_both_ways,
        test_restore_vlan_tags,
        test_receive_around_the_ring,
        test_send_around_the_ring,
        test_promiscuous_and_outgoing,
        test_fanout_shares_flows,
        test_count_kernel_drops,
        test_distrust_offsets,
        test_input_outlives_its_interface,
        test_output_drops_with_reasons,
        test_output_outlives_its_interface,
        test_veth_lives_until_destroyed,
        test_veth_leaves_what_it_found,
        test_tap_both_ways,
        test_tap_counts_what_the_kernel_drops,
        test_tap_outlives_its_interface,
        test_open_errors_say_what_to_do,
        test_open_without_permission,
    };
    run_tests(tests, sizeof(tests) / sizeof(tests[0]));
    return 0;
}
