/*
 * test_dpdk.c - the drivers dpdk and memif over devices that need no hardware: net_ring, which holds what it is sent until
 * somebody receives it, net_null, net_pcap, net_af_packet on a veth pair, and memif with both ends in this process.
 *
 * DPDK runs on plain memory. Its own heap says what devices leave behind, where sanitizers see nothing. Ends with 77 where
 * the driver was not built, and under TSan, which does not see that DPDK's rings and pools, compiled without it, order
 * anything.
 */
#include "check.h"

#if !__has_include(<rte_mempool.h>)
int main(void)
{
    printf("skipped: DPDK is not installed (apt-get install libdpdk-dev)\n");
    return 77;
}
#elif defined(__SANITIZE_THREAD__)
int main(void)
{
    printf("skipped: DPDK is compiled without TSan, which would not see that its rings order anything\n");
    return 77;
}
#else
#include <dirent.h>
#include <fcntl.h>
#include <rte_malloc.h>
#include <rte_mempool.h>
#include <sched.h>
#include <sys/stat.h>

#include "port_bed.h"
#include "ports/dpdk.h"
#include "ports/module.h"

#define RING_PACKETS 1023 /* what a net_ring holds */
#define FOREIGN_MAX 64

static bool has_namespace;
static char folder[] = "/tmp/test_dpdk_XXXXXX";

#ifdef __SANITIZE_ADDRESS__
/* LSan mistakes where the thread-local variables of a module lie that was loaded later (gcc 12), and ends by SIGSEGV. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "intercept_tls_get_addr=0";
}
#endif

/* --------------------------------------------------------------------------- memory */

static void add_pool(struct rte_mempool *pool, void *sum)
{
    if (strncmp(pool->name, "bricks_", 7) == 0)
        *(uint32_t *)sum += pool->size;
}

/* Buffers of all pools that there are. */
static uint32_t buffers_there(void)
{
    uint32_t sum = 0;
    rte_mempool_walk(add_pool, &sum);
    return sum;
}

/* Pieces of memory that DPDK has given out. */
static uint32_t heap_pieces(void)
{
    struct rte_malloc_socket_stats stats;
    CHECK_EQUAL(rte_malloc_get_socket_stats(0, &stats), 0);
    return stats.alloc_count;
}

/* ------------------------------------------------------------------------ offering */

/* An input of another driver: its packets are copied. */
static struct test_port *foreign(void)
{
    static struct test_port *null;
    if (null == NULL)
        null = port_new("null", PB_PORT_INPUT, "", "");
    return null;
}

/* Offer `count` packets of the input's last batch, as a brick that sends them to one output, or to several. */
static uint32_t offer_from(struct test_port *out, struct test_port *from, const struct pb_packet *packets, uint32_t count, bool sole,
                           bool may_wait)
{
    static uint16_t index[BATCH];
    for (uint16_t i = 0; i < count; i++)
        index[i] = i;
    const struct pb_tx tx = {.packets = packets, .index = index, .count = count, .lent = from == foreign() ? 0 : count,
                             .from = &from->port, .sole = sole, .may_wait = may_wait};
    return out->port.operations->tx_batch(&out->port, &tx);
}

/* Frames of other bytes each, from a foreign input. Returns how many were dealt with. */
static uint32_t send_copies(struct test_port *out, const uint32_t *bytes, uint32_t count, bool may_wait)
{
    static uint8_t frames[FOREIGN_MAX][FRAME_BYTES];
    struct pb_packet packets[FOREIGN_MAX];
    for (uint32_t i = 0; i < count; i++) {
        make_frame(frames[i], bytes[i], i, 0);
        pb_packet_init(&packets[i], frames[i], bytes[i], bytes[i], 1, PB_LINK_ETHERNET);
    }
    return offer_from(out, foreign(), packets, count, true, may_wait);
}

static struct pb_packet batch[BATCH];

static uint32_t receive(struct test_port *in)
{
    uint32_t count = 0;
    for (int i = 0; i < PATIENCE && count == 0; i++) {
        count = in->port.operations->rx_batch(&in->port, batch, BATCH);
        if (count == 0)
            usleep(1000);
    }
    return count;
}

static void release(struct test_port *in)
{
    in->port.operations->rx_release(&in->port);
}

/* What send_copies() has sent comes out of `in`, whole and in order. */
static void check_copies(struct test_port *in, const uint32_t *bytes, uint32_t count)
{
    for (uint32_t at = 0; at < count;) {
        uint32_t got = receive(in);
        CHECK(got > 0 && at + got <= count);
        for (uint32_t i = 0; i < got; i++, at++) {
            make_frame(frame, bytes[at], at, 0);
            CHECK_EQUAL(batch[i].captured_len, bytes[at]);
            CHECK_EQUAL(batch[i].wire_len, bytes[at]);
            CHECK(memcmp(batch[i].data, frame, bytes[at]) == 0);
        }
        release(in);
    }
}

static struct test_port *input(const char *device, const char *options)
{
    return port_open("dpdk", PB_PORT_INPUT, device, options);
}

static struct test_port *output(const char *device, const char *options)
{
    return port_open("dpdk", PB_PORT_OUTPUT, device, options);
}

/* No buffer of the port's device is anywhere, as its counter says. */
static void check_all_back(struct test_port *t)
{
    t->port.operations->tick(&t->port);
    CHECK_EQUAL(own(t, PB_DPDK_BUFFERS_IN_USE), 0);
}

static const uint32_t short_bytes[] = {14, 15, 59, 60, 61, 64, 128, 1513, 1514, 1518, 2047, 2048};
static const uint32_t long_bytes[] = {2049, 4096, 4097, 9014, 60, 16384, 65535, 14};

#define COUNT(array) (uint32_t)(sizeof(array) / sizeof((array)[0]))

/* ------------------------------------------------------------------- through a ring */

static void test_copies_in_one_buffer_and_in_several(void)
{
    struct test_port *in = input("net_ring0", ""), *out = output("net_ring0", "");
    CHECK_EQUAL(send_copies(out, short_bytes, COUNT(short_bytes), false), COUNT(short_bytes));
    check_copies(in, short_bytes, COUNT(short_bytes));
    CHECK_EQUAL(send_copies(out, long_bytes, COUNT(long_bytes), false), COUNT(long_bytes));
    check_copies(in, long_bytes, COUNT(long_bytes));
    CHECK_EQUAL(own(out, PB_DPDK_TX_COPIES), COUNT(short_bytes) + COUNT(long_bytes));
    check_accounting(out, COUNT(short_bytes) + COUNT(long_bytes));
    check_all_back(out);
    port_end(out);
    port_end(in);
}

static void test_copies_are_cut_into_small_buffers(void)
{
    static const uint32_t bytes[] = {255, 256, 257, 512, 513, 1514, 9014};
    struct test_port *in = input("net_ring0", "mbuf_bytes=256"), *out = output("net_ring0", "mbuf_bytes=256");
    CHECK_EQUAL(send_copies(out, bytes, COUNT(bytes), false), COUNT(bytes));
    check_copies(in, bytes, COUNT(bytes));
    check_all_back(out);
    port_end(out);
    port_end(in);
}

static void test_what_cannot_be_sent_is_dropped_with_its_reason(void)
{
    static uint8_t bytes[70000];
    struct test_port *in = input("net_ring0", ""), *out = output("net_ring0", "");
    struct pb_packet packets[5];
    pb_packet_init(&packets[0], bytes, 13, 13, 1, PB_LINK_ETHERNET);
    pb_packet_init(&packets[1], bytes, 60, 1000, 1, PB_LINK_ETHERNET);
    pb_packet_init(&packets[2], bytes, 60, 60, 1, PB_LINK_RAW);
    pb_packet_init(&packets[3], bytes, sizeof(bytes), sizeof(bytes), 1, PB_LINK_ETHERNET);
    pb_packet_init(&packets[4], bytes, 60, 60, 1, PB_LINK_ETHERNET);
    CHECK_EQUAL(offer_from(out, foreign(), packets, 5, true, false), 5);
    CHECK_EQUAL(own(out, PB_DPDK_TOO_SHORT), 1);
    CHECK_EQUAL(own(out, PB_DPDK_TRUNCATED), 1);
    CHECK_EQUAL(own(out, PB_DPDK_LINK_TYPE), 1);
    CHECK_EQUAL(own(out, PB_DPDK_TOO_LONG), 1);
    check_accounting(out, 5);
    CHECK_EQUAL(receive(in), 1);
    release(in);
    check_all_back(out);
    port_end(out);
    port_end(in);
}

/* ----------------------------------------------------------------- what inputs lend */

/* net_ring0, which holds copies of `bytes`, and whatever takes them over. */
struct relay {
    struct test_port *feed, *in, *outs[2], *ends[2];
};

static struct relay relay_open(uint32_t outputs)
{
    static const char *const names[] = {"net_ring1", "net_ring2"};
    struct relay r = {.feed = output("net_ring0", ""), .in = input("net_ring0", "")};
    for (uint32_t i = 0; i < outputs; i++) {
        r.outs[i] = output(names[i], "");
        r.ends[i] = input(names[i], "");
    }
    return r;
}

static void relay_end(struct relay *r)
{
    check_all_back(r->feed);
    for (uint32_t i = 0; i < 2 && r->outs[i] != NULL; i++) {
        check_all_back(r->outs[i]);
        port_end(r->outs[i]);
        port_end(r->ends[i]);
    }
    port_end(r->in);
    port_end(r->feed);
}

static void test_a_sole_output_takes_buffers_over(void)
{
    struct relay r = relay_open(1);
    CHECK_EQUAL(send_copies(r.feed, short_bytes, COUNT(short_bytes), false), COUNT(short_bytes));
    uint32_t count = receive(r.in);
    CHECK_EQUAL(count, COUNT(short_bytes));
    CHECK_EQUAL(offer_from(r.outs[0], r.in, batch, count, true, false), count);
    release(r.in);
    CHECK_EQUAL(own(r.outs[0], PB_DPDK_TX_COPIES), 0);
    check_copies(r.ends[0], short_bytes, COUNT(short_bytes));
    relay_end(&r);
}

static void test_two_outputs_share_buffers(void)
{
    struct relay r = relay_open(2);
    for (int round = 0; round < 2; round++) {
        CHECK_EQUAL(send_copies(r.feed, short_bytes, COUNT(short_bytes), false), COUNT(short_bytes));
        uint32_t count = receive(r.in);
        for (uint32_t i = 0; i < 2; i++)
            CHECK_EQUAL(offer_from(r.outs[i], r.in, batch, count, false, false), count);
        release(r.in);
        /* The first reader sees buffers of two, the second has what is left. */
        for (uint32_t i = 0; i < 2; i++)
            check_copies(r.ends[(uint32_t)round ^ i], short_bytes, COUNT(short_bytes));
    }
    CHECK_EQUAL(own(r.outs[0], PB_DPDK_TX_COPIES) + own(r.outs[1], PB_DPDK_TX_COPIES), 0);
    relay_end(&r);
}

/* A packet in several buffers is shown in one piece, which is the input's: outputs copy it. */
static void test_long_packets_are_copied_on(void)
{
    struct relay r = relay_open(2);
    CHECK_EQUAL(send_copies(r.feed, long_bytes, COUNT(long_bytes), false), COUNT(long_bytes));
    uint32_t count = receive(r.in);
    CHECK_EQUAL(count, COUNT(long_bytes));
    for (uint32_t i = 0; i < 2; i++)
        CHECK_EQUAL(offer_from(r.outs[i], r.in, batch, count, false, false), count);
    release(r.in);
    for (uint32_t i = 0; i < 2; i++)
        check_copies(r.ends[i], long_bytes, COUNT(long_bytes));
    CHECK_EQUAL(own(r.outs[0], PB_DPDK_TX_COPIES), COUNT(long_bytes) - 2); /* two fit into one buffer */
    relay_end(&r);
}

static void test_a_shortened_packet_goes_out_short(void)
{
    struct relay r = relay_open(1);
    const uint32_t bytes[] = {1000, 1000};
    CHECK_EQUAL(send_copies(r.feed, bytes, 2, false), 2);
    CHECK_EQUAL(receive(r.in), 2);
    batch[0].captured_len = batch[0].wire_len = 100;
    CHECK_EQUAL(offer_from(r.outs[0], r.in, batch, 2, true, false), 2);
    release(r.in);
    CHECK_EQUAL(receive(r.ends[0]), 2);
    CHECK(batch[0].captured_len == 100 && batch[1].captured_len == 1000);
    release(r.ends[0]);
    relay_end(&r);
}

/* ------------------------------------------------------------------------ no reader */

static void fill_ring(struct test_port *out, uint32_t packets)
{
    for (uint32_t sent = 0, count; sent < packets; sent += count) {
        count = packets - sent < COUNT(short_bytes) ? packets - sent : COUNT(short_bytes);
        CHECK_EQUAL(send_copies(out, short_bytes, count, false), count);
    }
}

static void test_a_full_ring_drops_or_has_them_wait(void)
{
    struct test_port *in = input("net_ring0", ""), *out = output("net_ring0", "");
    fill_ring(out, RING_PACKETS + 10);
    CHECK_EQUAL(counter(out, PB_PORT_TX_PACKETS), RING_PACKETS);
    CHECK_EQUAL(own(out, PB_DPDK_TX_FULL), 10);
    CHECK_EQUAL(send_copies(out, short_bytes, 5, true), 0);
    CHECK_EQUAL(own(out, PB_DPDK_TX_FULL), 10);
    struct pb_wait wait;
    CHECK(out->port.operations->wait(&out->port, &wait));
    CHECK(wait.timeout_ns > 0); /* nobody tells when there is room: it is tried again */
    CHECK_EQUAL(receive(in), BATCH);
    release(in);
    CHECK_EQUAL(send_copies(out, short_bytes, 5, true), 5);
    check_accounting(out, RING_PACKETS + 15);
    port_end(out);
    port_end(in);
}

/* Of lent packets that a full ring takes in part, the rest is the input's still. */
static void test_a_full_ring_gives_lent_packets_back(void)
{
    struct relay r = relay_open(2);
    fill_ring(r.outs[0], RING_PACKETS - 3);
    for (int sole = 0; sole < 2; sole++) {
        CHECK_EQUAL(send_copies(r.feed, long_bytes, COUNT(long_bytes), false), COUNT(long_bytes));
        CHECK_EQUAL(receive(r.in), COUNT(long_bytes));
        CHECK_EQUAL(offer_from(r.outs[0], r.in, batch, COUNT(long_bytes), sole == 1, true), sole == 1 ? 0 : 3);
        CHECK_EQUAL(offer_from(r.outs[1], r.in, batch, COUNT(long_bytes), sole == 1, false), COUNT(long_bytes));
        release(r.in);
        check_copies(r.ends[1], long_bytes, COUNT(long_bytes));
    }
    while (r.ends[0]->port.operations->rx_batch(&r.ends[0]->port, batch, BATCH) > 0)
        release(r.ends[0]);
    CHECK_EQUAL(counter(r.ends[0], PB_PORT_RX_PACKETS), RING_PACKETS);
    relay_end(&r);
}

/* A pool that is too small for what is wanted of it. */
static void test_no_buffers_left(void)
{
    struct test_port *in = input("net_ring0", "mbufs=63"), *out = output("net_ring0", "mbufs=63");
    fill_ring(out, 200);
    CHECK(own(out, PB_DPDK_NO_BUFFER) >= 200 - 63 && counter(out, PB_PORT_TX_PACKETS) > 0);
    CHECK_EQUAL(send_copies(out, long_bytes, 4, true), 0);
    check_accounting(out, 200);
    while (in->port.operations->rx_batch(&in->port, batch, BATCH) > 0)
        release(in);
    CHECK_EQUAL(send_copies(out, long_bytes, 4, true), 4);
    check_copies(in, long_bytes, 4);
    check_all_back(out);
    port_end(out);
    port_end(in);
}

static void test_stopped_while_packets_are_under_way(void)
{
    for (int order = 0; order < 2; order++) {
        struct relay r = relay_open(2);
        fill_ring(r.feed, 100);
        CHECK_EQUAL(receive(r.in), 100);
        CHECK_EQUAL(offer_from(r.outs[0], r.in, batch, 100, false, false), 100);
        CHECK_EQUAL(offer_from(r.outs[1], r.in, batch, 100, false, false), 100);
        release(r.in);
        fill_ring(r.feed, 100); /* some of them in every ring */
        struct test_port *first[] = {r.feed, r.in, r.outs[0], r.ends[0], r.outs[1], r.ends[1]};
        for (uint32_t i = 0; i < COUNT(first); i++)
            port_stop(first[order == 0 ? i : COUNT(first) - 1 - i]);
        for (uint32_t i = 0; i < COUNT(first); i++)
            port_delete(first[order == 0 ? i : COUNT(first) - 1 - i]);
    }
}

/* What is in a stopped device is gone: a start begins anew. */
static void test_restart_begins_with_nothing(void)
{
    struct test_port *in = input("net_ring0", ""), *out = output("net_ring0", "");
    for (int i = 0; i < 20; i++) {
        fill_ring(out, 50);
        port_stop(out);
        port_stop(in);
        CHECK_EQUAL(own(in, PB_DPDK_BUFFERS_IN_USE), 0);
        port_start(in);
        port_start(out);
        CHECK_EQUAL(in->port.operations->rx_batch(&in->port, batch, BATCH), 0);
    }
    port_end(out);
    port_end(in);
}

/* -------------------------------------------------------------- ports of one device */

/* A packet of `bytes` goes through the ring, in as many pieces as the pool's buffers ask for. */
static void check_pieces(struct test_port *out, struct test_port *in, uint32_t bytes, bool in_one)
{
    static const uint8_t *data;
    CHECK_EQUAL(send_copies(out, &bytes, 1, false), 1);
    CHECK_EQUAL(receive(in), 1);
    data = batch[0].data;
    /* What is in one buffer can go on without a copy. */
    uint64_t before = own(out, PB_DPDK_TX_COPIES);
    CHECK_EQUAL(offer_from(out, in, batch, 1, true, false), 1);
    release(in);
    CHECK_EQUAL(own(out, PB_DPDK_TX_COPIES) - before, in_one ? 0 : 1);
    CHECK_EQUAL(receive(in), 1);
    CHECK_EQUAL(batch[0].captured_len, bytes);
    CHECK(!in_one || batch[0].data == data);
    release(in);
}

/* What one port of a device asks for holds for all, whichever opens first. */
static void test_each_port_has_its_options_of_the_buffers(void)
{
    for (int input_first = 0; input_first < 2; input_first++) {
        const char *const wish = "mbuf_bytes=8192&mbufs=4095";
        struct test_port *first = input_first ? input("net_ring0", wish) : output("net_ring0", "");
        struct test_port *second = input_first ? output("net_ring0", "") : input("net_ring0", wish);
        struct test_port *in = input_first ? first : second, *out = input_first ? second : first;
        check_pieces(out, in, 8192, true);
        check_pieces(out, in, 8193, false);
        check_all_back(out);
        port_end(out);
        port_end(in);
    }
}

/* Of a device that was opened with fewer buffers before, and is stopped now. */
static void test_a_stopped_device_gets_larger_buffers(void)
{
    struct test_port *out = output("net_ring0", "");
    port_stop(out);
    struct test_port *in = input("net_ring0", "mbuf_bytes=8192");
    port_start(out);
    check_pieces(out, in, 8192, true);
    port_end(out);
    port_end(in);
}

/* The engine of another port runs the device: it cannot be made anew for what this one asks for. */
static void test_options_of_a_device_that_another_engine_runs(void)
{
    static const struct {
        const char *options, *text;
    } rows[] = {
        {"mbuf_bytes=8192", "runs with buffers of 2048 bytes; say mbuf_bytes=8192 at the port that opens it first"},
        {"mbufs=65535", "buffers; say mbufs=65535 at the port that opens it first"},
        {"mtu=1400", "runs with an MTU of 1500; say mtu=1400 at the port that opens it first"},
        {"queues=2&queue=1", "runs with 1 queue; say queues=2 at the port that opens it first"},
    };
    struct test_port *first = output("net_null0", "");
    for (uint32_t i = 0; i < COUNT(rows); i++) {
        struct test_port *t = port_new("dpdk", PB_PORT_INPUT, "net_null0", rows[i].options);
        t->port.engine_handle = 2;
        CHECK_EQUAL(t->port.operations->open(&t->port, &error), -EBUSY);
        if (strstr(error.text, rows[i].text) == NULL)
            fprintf(stderr, "\"%s\" lacks \"%s\"\n", error.text, rows[i].text);
        CHECK(strstr(error.text, rows[i].text) != NULL);
        port_delete(t);
    }
    /* What it has is enough. */
    struct test_port *second = port_new("dpdk", PB_PORT_INPUT, "net_null0", "mbuf_bytes=1024&mbufs=63&mtu=1500");
    second->port.engine_handle = 2;
    port_start(second);
    port_end(second);
    port_end(first);
}

/* Two ports of an engine cannot have their own MTU each. */
static void test_ports_of_a_device_agree_on_its_mtu(void)
{
    struct test_port *first = output("net_null0", "mtu=1400");
    check_refused("dpdk", PB_PORT_INPUT, "net_null0", "mtu=1300", "runs with an MTU of 1400; say mtu=1300 at");
    struct test_port *second = input("net_null0", "");
    port_end(second);
    port_end(first);
}

/* A device that gets more queues gets more buffers, as many as one that has them from the start. */
static void test_more_queues_have_more_buffers(void)
{
    struct test_port *first = input("net_null0", "queues=8&queue=0");
    uint32_t wanted = buffers_there();
    port_end(first);
    CHECK_EQUAL(buffers_there(), 0);
    first = input("net_null0", "queue=0");
    CHECK(buffers_there() < wanted);
    struct test_port *second = input("net_null0", "queues=8&queue=7");
    CHECK_EQUAL(buffers_there(), wanted);
    struct test_port *const both[] = {first, second};
    for (uint32_t i = 0; i < 2; i++) {
        CHECK_EQUAL(receive(both[i]), BATCH);
        release(both[i]);
        check_all_back(both[i]);
    }
    port_end(second);
    port_end(first);
    CHECK_EQUAL(buffers_there(), 0);
}

/* ------------------------------------------------------------------- captures, devices */

static const char *path(const char *name)
{
    static char text[2][512];
    static int turn;
    turn ^= 1;
    snprintf(text[turn], sizeof(text[turn]), "%s/%s", folder, name);
    return text[turn];
}

static const char *device(const char *format, const char *file)
{
    static char text[1024];
    snprintf(text, sizeof(text), format, file);
    return text;
}

/* DPDK's capture of what was sent, read by DPDK. */
static void test_a_capture_keeps_every_byte(void)
{
    static const uint32_t bytes[] = {60, 1514, 2048, 2049, 9014};
    struct test_port *out = output(device("net_pcap0,tx_pcap=%s", path("out.pcap")), "");
    CHECK_EQUAL(send_copies(out, bytes, COUNT(bytes), false), COUNT(bytes));
    check_all_back(out);
    port_end(out);
    struct test_port *in = input(device("net_pcap1,rx_pcap=%s", path("out.pcap")), "");
    check_copies(in, bytes, COUNT(bytes));
    check_all_back(in);
    port_end(in);
}

static void test_open_errors_leave_nothing(void)
{
    check_open_fails("dpdk", PB_PORT_INPUT, "net_none0", "DPDK has no device net_none0");
    check_open_fails("dpdk", PB_PORT_INPUT, "net_pcap0,rx_pcap=/none/there.pcap", "net_pcap0");
    check_open_fails("dpdk", PB_PORT_INPUT, "", "the name of a device has 1 to 63 bytes");
    check_refused("dpdk", PB_PORT_INPUT, "net_null0", "queues=2&queue=2", "no receive queue 2");
    check_refused("dpdk", PB_PORT_INPUT, "net_ring0", "queues=64", "16 queues");
    check_refused("dpdk", PB_PORT_OUTPUT, "net_null0", "mbufs=4194303&mbuf_bytes=65408", "4194303 buffers");
    check_refused("dpdk", PB_PORT_INPUT, "net_null0", "mtu=20", "MTU of 20");
    check_refused("memif", PB_PORT_INPUT, "/none/x.sock", "", "/none");
    check_refused("memif", PB_PORT_INPUT, "x.sock", "", "begins with /");
    CHECK_EQUAL(buffers_there(), 0);
}

/* One input reads a queue; another engine's is told who. */
static void test_a_queue_has_one_reader(void)
{
    struct test_port *first = input("net_null0", "");
    check_refused("dpdk", PB_PORT_INPUT, "net_null0", "", "net_null0");
    check_open_fails("dpdk", PB_PORT_INPUT, "net_null0,size=100", "other arguments");
    port_end(first);
}

static void test_a_removed_interface_and_its_return(void)
{
    if (!has_namespace)
        return;
    make_pair("a", "b", 1500);
    int oracle = oracle_open("a");
    struct test_port *in = input("net_af_packet0,iface=b", ""), *out = output("net_af_packet0,iface=b", "");
    check_carried_in(in, oracle, 60, 0);
    check_carried_in(in, oracle, 1514, 0);
    const uint32_t bytes[] = {60};
    CHECK_EQUAL(send_copies(out, bytes, 1, false), 1);
    CHECK_EQUAL(oracle_receive(oracle, heard), 60);
    CHECK_EQUAL(pb_link_delete(link_index("b")), 0);
    wait_for_report(in, "the device is gone; bring net_af_packet0 back, then stop and start the engine");
    CHECK_EQUAL(send_copies(out, bytes, 1, false), 1);
    CHECK_EQUAL(own(out, PB_DPDK_LINK_DOWN), 1);
    check_report("the device is gone");
    port_stop(out);
    port_stop(in);
    close(oracle);
    make_pair("a", "b", 1500);
    oracle = oracle_open("a");
    port_start(in);
    port_start(out);
    check_carried_in(in, oracle, 60, 0);
    port_end(out);
    port_end(in);
    close(oracle);
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
}

/* ---------------------------------------------------------------------------- memif */

static struct test_port *server(enum pb_port_role role)
{
    return port_open("memif", role, path("memif.sock"), "role=server");
}

/* A name of a socket is one device in a process: the other end is given by DPDK's own arguments. */
static struct test_port *client(enum pb_port_role role)
{
    return port_open("dpdk", role, device("net_memif9,role=client,socket=%s,socket-abstract=no", path("memif.sock")), "");
}

/* An engine of one end of a memif. */
struct end {
    struct test_port *in, *out;
};

/* Drive both ends as engines do until they are connected; receiving is what gives the other end buffers to send in. */
static void connect_ends(const struct end *one, const struct end *other)
{
    const struct end *const ends[] = {one, other};
    for (int i = 0; i < PATIENCE && (one->out->port.deserted || other->out->port.deserted); i++, usleep(1000))
        for (int e = 0; e < 2; e++)
            ends[e]->out->port.operations->tick(&ends[e]->out->port);
    CHECK(!one->out->port.deserted && !other->out->port.deserted);
    for (int e = 0; e < 2; e++)
        CHECK_EQUAL(ends[e]->in->port.operations->rx_batch(&ends[e]->in->port, batch, BATCH), 0);
}

static void check_end_sends(const struct end *from, const struct end *to, const uint32_t *bytes, uint32_t count)
{
    CHECK_EQUAL(send_copies(from->out, bytes, count, true), count);
    check_copies(to->in, bytes, count);
}

static void test_memif_carries_both_ways(void)
{
    int files = open_files();
    struct end s = {server(PB_PORT_INPUT), server(PB_PORT_OUTPUT)}, c = {client(PB_PORT_INPUT), client(PB_PORT_OUTPUT)};
    connect_ends(&s, &c);
    for (int round = 0; round < 3; round++) {
        check_end_sends(&s, &c, short_bytes, COUNT(short_bytes));
        check_end_sends(&c, &s, long_bytes, COUNT(long_bytes));
    }
    /* The server stops with packets in its rings; the client sees it go, and come back. */
    CHECK_EQUAL(send_copies(c.out, short_bytes, COUNT(short_bytes), true), COUNT(short_bytes));
    port_end(s.out);
    port_end(s.in);
    for (int i = 0; i < PATIENCE && !c.out->port.deserted; i++, usleep(1000))
        c.out->port.operations->tick(&c.out->port);
    CHECK(c.out->port.deserted);
    CHECK_EQUAL(send_copies(c.out, short_bytes, 1, false), 1);
    CHECK_EQUAL(own(c.out, PB_DPDK_LINK_DOWN), 1);
    s = (struct end){server(PB_PORT_INPUT), server(PB_PORT_OUTPUT)};
    connect_ends(&s, &c);
    check_end_sends(&c, &s, short_bytes, COUNT(short_bytes));
    check_end_sends(&s, &c, long_bytes, COUNT(long_bytes));
    port_end(c.out);
    port_end(c.in);
    port_end(s.out);
    port_end(s.in);
    CHECK(access(path("memif.sock"), F_OK) < 0);
    for (int i = 0; i < PATIENCE && open_files() > files; i++)
        usleep(1000); /* a thread of DPDK closes connections */
}

/* Each end stops while a thread of DPDK handles that the other has gone. */
static void test_memif_ends_stop_together(void)
{
    int files = open_files();
    for (int i = 0; i < 40; i++) {
        struct end s = {server(PB_PORT_INPUT), server(PB_PORT_OUTPUT)}, c = {client(PB_PORT_INPUT), client(PB_PORT_OUTPUT)};
        connect_ends(&s, &c);
        check_end_sends(&s, &c, short_bytes, COUNT(short_bytes));
        struct test_port *const order[] = {i % 2 ? s.out : c.out, i % 2 ? s.in : c.in, i % 2 ? c.out : s.out, i % 2 ? c.in : s.in};
        for (uint32_t p = 0; p < COUNT(order); p++) {
            port_end(order[p]);
            if (p == 1)
                usleep((useconds_t)(i / 2 * 20)); /* so that the thread is somewhere else each time */
        }
    }
    for (int i = 0; i < PATIENCE && open_files() > files; i++)
        usleep(1000);
}

/* ----------------------------------------------------------------- what devices leave */

struct kind {
    const char *driver, *name, *options;
};

static void open_and_end(const struct kind *kind)
{
    bool is_memif = strcmp(kind->driver, "memif") == 0;
    port_end(port_open(kind->driver, PB_PORT_INPUT, is_memif ? path(kind->name) : kind->name, kind->options));
}

/* DPDK's memory of its own, which neither sanitizers nor its pools show. */
static void test_devices_leave_no_memory(void)
{
    static const struct kind kinds[] = {
        {"dpdk", "net_ring0", ""}, {"memif", "m.sock", "role=server"}, {"memif", "m.sock", "role=client"},
    };
    for (uint32_t k = 0; k < COUNT(kinds); k++) {
        for (int i = 0; i < 3; i++)
            open_and_end(&kinds[k]);
        uint32_t before = heap_pieces();
        for (int i = 0; i < 50; i++)
            open_and_end(&kinds[k]);
        if (heap_pieces() != before)
            fprintf(stderr, "%s:%s %s\n", kinds[k].driver, kinds[k].name, kinds[k].options);
        CHECK_EQUAL(heap_pieces(), before);
    }
}

/* ------------------------------------------------------------------------------ main */

static void remove_folder(void)
{
    unlink(path("out.pcap"));
    rmdir(folder);
}

int main(void)
{
    if (pb_driver_probe("dpdk", &error) < 0) {
        printf("skipped: %s\n", error.text);
        return 77;
    }
    has_namespace = unshare(CLONE_NEWNET) == 0;
    if (has_namespace)
        disable_ipv6();
    CHECK(mkdtemp(folder) != NULL);
    atexit(remove_folder);
    CHECK_EQUAL(pb_driver_setup("dpdk", "--no-huge -m 512 --no-pci", &error), 0);
    port_end(input("net_null0", "")); /* starts DPDK, which keeps files open */
    port_end(server(PB_PORT_INPUT));
    static void (*const tests[])(void) = {
        test_copies_in_one_buffer_and_in_several,
        test_copies_are_cut_into_small_buffers,
        test_what_cannot_be_sent_is_dropped_with_its_reason,
        test_a_sole_output_takes_buffers_over,
        test_two_outputs_share_buffers,
        test_long_packets_are_copied_on,
        test_a_shortened_packet_goes_out_short,
        test_a_full_ring_drops_or_has_them_wait,
        test_a_full_ring_gives_lent_packets_back,
        test_no_buffers_left,
        test_stopped_while_packets_are_under_way,
        test_restart_begins_with_nothing,
        test_each_port_has_its_options_of_the_buffers,
        test_a_stopped_device_gets_larger_buffers,
        test_options_of_a_device_that_another_engine_runs,
        test_ports_of_a_device_agree_on_its_mtu,
        test_more_queues_have_more_buffers,
        test_a_capture_keeps_every_byte,
        test_open_errors_leave_nothing,
        test_a_queue_has_one_reader,
        test_a_removed_interface_and_its_return,
        test_memif_carries_both_ways,
        test_memif_ends_stop_together,
        test_devices_leave_no_memory,
    };
    run_tests(tests, sizeof(tests) / sizeof(tests[0]));
    return 0;
}
#endif
