/*
 * port_bed.h - for tests that drive a port by its operations, as an engine does, against the real
 * kernel: ports of any driver, interfaces in pairs, frames, and an oracle at the other end, a plain
 * packet socket with send() and recv(). Needs root and a network namespace of the test's own.
 */
#ifndef PORT_BED_H
#define PORT_BED_H

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "offer.h"
#include "ports/rtnetlink.h"

#define ETHERTYPE_TEST 0x88b5 /* IEEE 802: local experiments */
#define FRAME_BYTES 65600
#define BATCH 256
#define PATIENCE 30000 /* polls of 1 ms before something counts as not coming */

static struct pb_error error;

struct test_port {
    struct pb_port port;
    uint32_t output_changes;
    pb_counter counters[512]; /* those of devices, too */
};

static inline struct test_port *port_new(const char *driver, enum pb_port_role role, const char *name, const char *options)
{
    struct test_port *t = calloc(1, sizeof(*t));
    t->port.driver = pb_port_driver_find(driver);
    CHECK(t->port.driver != NULL);
    t->port.operations = pb_port_driver_operations(t->port.driver, &error);
    CHECK(t->port.operations != NULL);
    t->port.role = role;
    t->port.name = strdup(name);
    pb_port_label(&t->port, driver, name);
    t->port.options = strdup(options);
    t->port.queue_id = -1;
    t->port.batch_packets = BATCH;
    t->port.engine_name = "test";
    t->port.engine_handle = 1;
    t->port.engine_wake_fd = -1;
    t->port.counters = t->counters;
    t->port.output_changes = &t->output_changes;
    return t;
}

static inline void port_start(struct test_port *t)
{
    int result = t->port.operations->open(&t->port, &error);
    if (result != 0)
        fprintf(stderr, "%s\n", error.text);
    CHECK_EQUAL(result, 0);
}

static inline struct test_port *port_open(const char *driver, enum pb_port_role role, const char *name, const char *options)
{
    struct test_port *t = port_new(driver, role, name, options);
    port_start(t);
    return t;
}

/* Close as the engine does. */
static inline void port_stop(struct test_port *t)
{
    if (t->port.operations->tick != NULL)
        t->port.operations->tick(&t->port);
    if (t->port.operations->flush != NULL)
        t->port.operations->flush(&t->port);
    t->port.operations->close(&t->port);
}

static inline void port_delete(struct test_port *t)
{
    if (t->port.operations->destroy != NULL)
        t->port.operations->destroy(&t->port);
    CHECK(t->port.state == NULL);
    free(t->port.name);
    free(t->port.options);
    free(t);
}

static inline void port_end(struct test_port *t)
{
    port_stop(t);
    port_delete(t);
}

static inline uint64_t counter(const struct test_port *t, uint32_t which)
{
    return pb_counter_get(&t->counters[which]);
}

static inline uint64_t own(const struct test_port *t, uint32_t which)
{
    return counter(t, PB_PORT_COUNTERS + which);
}

/* Sent, dropped and held together are all that was accepted. */
static inline void check_accounting(const struct test_port *t, uint64_t accepted)
{
    uint64_t sum = counter(t, PB_PORT_TX_PACKETS) + counter(t, PB_PORT_IN_FLIGHT);
    for (uint32_t i = 0; i < t->port.driver->counters_count; i++)
        if (t->port.driver->counters[i].kind == PB_COUNTER_DROP)
            sum += own(t, i);
    CHECK_EQUAL(sum, accepted);
}

/* Opening a port with these options fails, for this reason. */
static inline void check_refused(const char *driver, enum pb_port_role role, const char *name, const char *options,
                                 const char *text)
{
    struct test_port *t = port_new(driver, role, name, options);
    int result = t->port.operations->open(&t->port, &error);
    CHECK(result < 0 && result == -error.code);
    char start[512];
    snprintf(start, sizeof(start), "port \"%s:%s\": cannot open for %s: ", driver, name, role == PB_PORT_INPUT ? "input" : "output");
    bool said = strncmp(error.text, start, strlen(start)) == 0 && strstr(error.text, text) != NULL;
    if (!said)
        fprintf(stderr, "\"%s\" lacks \"%s\", or \"%s\" in front\n", error.text, text, start);
    CHECK(said);
    port_delete(t);
}

static inline void check_open_fails(const char *driver, enum pb_port_role role, const char *name, const char *text)
{
    check_refused(driver, role, name, "", text);
}

/* The next report's text, "" for none. */
static inline const char *report(void)
{
    static char text[512];
    text[0] = '\0';
    pb_event_take(text, sizeof(text));
    return text;
}

static inline void check_report(const char *part)
{
    const char *text = report();
    if (strstr(text, part) == NULL)
        fprintf(stderr, "report \"%s\" lacks \"%s\"\n", text, part);
    CHECK(strstr(text, part) != NULL);
}

static inline int link_index(const char *name)
{
    struct pb_link link;
    return pb_link_get(name, &link) == 0 ? link.index : 0;
}

/* Set up an interface whose other end is up. Its queue takes the oracle's frames only once
 * the kernel has noticed the link, which takes a moment; until then it drops them. */
static inline void bring_up(const char *name, const char *peer)
{
    struct pb_link a = {.flags = 0}, b = {.flags = 0};
    CHECK_EQUAL(pb_link_set_up(link_index(name), true), 0);
    for (int i = 0; i < PATIENCE && !(a.flags & b.flags & IFF_RUNNING); i++) {
        usleep(1000);
        CHECK_EQUAL(pb_link_get(name, &a), 0);
        CHECK_EQUAL(pb_link_get(peer, &b), 0);
    }
}

static inline void make_pair(const char *a, const char *b, uint32_t mtu)
{
    CHECK_EQUAL(pb_link_create_veth(a, b, mtu), 0);
    CHECK_EQUAL(pb_link_set_up(link_index(a), true), 0);
    bring_up(b, a);
}

static inline int oracle_open(const char *interface)
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    int on = 1, bytes = 64 << 20;
    CHECK_EQUAL(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)), 0);
    CHECK_EQUAL(setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)), 0);
    CHECK_EQUAL(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)), 0);
    CHECK_EQUAL(setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)), 0);
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = link_index(interface)};
    CHECK_EQUAL(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static inline void oracle_send(int fd, const uint8_t *data, uint32_t bytes)
{
    ssize_t n = -1;
    for (int i = 0; i < PATIENCE && (n = send(fd, data, bytes, 0)) < 0 && errno == ENOBUFS; i++)
        usleep(1000); /* the kernel's backlog is full: it is being worked off */
    CHECK_EQUAL(n, bytes);
}

static inline bool is_test_frame(const uint8_t *frame, uint32_t bytes)
{
    uint32_t at = 12;
    while (bytes >= at + 6 && (memcmp(frame + at, "\x81\x00", 2) == 0 || memcmp(frame + at, "\x88\xa8", 2) == 0))
        at += 4;
    return bytes >= at + 2 && (frame[at] << 8 | frame[at + 1]) == ETHERTYPE_TEST;
}

/* Receive one frame of ours, its VLAN tag put back by the oracle's own means. 0: nothing comes. */
static inline uint32_t oracle_receive(int fd, uint8_t *frame)
{
    for (int patience = 0; patience < PATIENCE;) {
        _Alignas(struct cmsghdr) char control[256];
        struct iovec io = {.iov_base = frame, .iov_len = FRAME_BYTES};
        struct msghdr message = {
            .msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
        ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT);
        if (n < 0) {
            struct pollfd p = {.fd = fd, .events = POLLIN};
            patience++;
            poll(&p, 1, 1);
            continue;
        }
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
            struct tpacket_auxdata aux;
            memcpy(&aux, CMSG_DATA(c), sizeof(aux));
            if (c->cmsg_type != PACKET_AUXDATA || !(aux.tp_status & TP_STATUS_VLAN_VALID))
                continue;
            memmove(frame + 16, frame + 12, (size_t)n - 12);
            uint16_t tag[2] = {htons(aux.tp_vlan_tpid), htons(aux.tp_vlan_tci)};
            memcpy(frame + 12, tag, 4);
            n += 4;
        }
        if (is_test_frame(frame, (uint32_t)n))
            return (uint32_t)n;
    }
    return 0;
}

/* A frame whose every byte depends on its number. `tags`: 0, 1 or 2 VLAN tags. */
static inline void make_frame(uint8_t *frame, uint32_t bytes, uint32_t number, int tags)
{
    static const uint8_t macs[12] = {0x02, 0, 0, 0, 0, 9, 0x02, 0, 0, 0, 0, 1}; /* of no interface here */
    uint32_t at = 12;
    memcpy(frame, macs, 12);
    if (tags == 2) {
        memcpy(frame + at, "\x88\xa8\x20\x07", 4);
        at += 4;
    }
    if (tags >= 1) {
        memcpy(frame + at, "\x81\x00\x60\x2a", 4);
        at += 4;
    }
    frame[at++] = ETHERTYPE_TEST >> 8;
    frame[at++] = ETHERTYPE_TEST & 0xff;
    for (uint32_t i = at; i < bytes; i++)
        frame[i] = (uint8_t)(number + i * 7);
    if (bytes >= at + 4)
        memcpy(frame + at, &number, 4);
}

/* Called for each frame of ours that a port receives. */
typedef void received(const struct pb_packet *packet, void *arg);

/* Drive an input as the engine does until `wanted` frames of ours came, or nothing more does. */
static inline uint32_t port_receive(struct test_port *t, uint32_t wanted, uint32_t batch, received *each, void *arg)
{
    static struct pb_packet packets[BATCH];
    uint32_t got = 0;
    for (int patience = 0; got < wanted && patience < PATIENCE;) {
        uint32_t n = t->port.operations->rx_batch(&t->port, packets, batch);
        for (uint32_t i = 0; i < n; i++) {
            CHECK_EQUAL(packets[i].captured_len, packets[i].wire_len);
            CHECK_EQUAL(packets[i].link_type, PB_LINK_ETHERNET);
            if (!is_test_frame(packets[i].data, packets[i].captured_len))
                continue;
            got++;
            each(&packets[i], arg);
        }
        t->port.operations->rx_release(&t->port);
        struct pb_wait wait;
        if (n > 0 || !t->port.operations->wait(&t->port, &wait))
            continue;
        struct pollfd p = {.fd = wait.fd, .events = wait.events};
        patience++;
        poll(&p, 1, 1);
    }
    return got;
}

static inline void count_one(const struct pb_packet *packet, void *arg)
{
    (void)packet;
    ++*(uint32_t *)arg;
}

/* How many frames of ours come within a little while. */
static inline uint32_t port_receive_briefly(struct test_port *t)
{
    uint32_t got = 0;
    for (int i = 0; i < 60; i++) {
        static struct pb_packet packets[BATCH];
        uint32_t n = t->port.operations->rx_batch(&t->port, packets, BATCH);
        for (uint32_t k = 0; k < n; k++)
            got += is_test_frame(packets[k].data, packets[k].captured_len);
        t->port.operations->rx_release(&t->port);
        usleep(1000);
    }
    return got;
}

struct expectation {
    const uint8_t *frame;
    uint32_t bytes;
    uint32_t seen;
};

static inline void expect(const struct pb_packet *packet, void *arg)
{
    struct expectation *e = arg;
    CHECK_EQUAL(packet->captured_len, e->bytes);
    CHECK(memcmp(packet->data, e->frame, e->bytes) == 0);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    CHECK(packet->timestamp_ns > UINT64_C(1600000000000000000));
    CHECK(packet->timestamp_ns / 1000000000 <= (uint64_t)now.tv_sec + 1);
    e->seen++;
}

static uint8_t frame[FRAME_BYTES], heard[FRAME_BYTES];

/* Hand one frame to an output; returns whether it was sent at once. */
static inline void port_send(struct test_port *t, const uint8_t *data, uint32_t captured, uint32_t wire, uint16_t link_type)
{
    struct pb_packet packet;
    uint16_t index = 0;
    pb_packet_init(&packet, data, captured, wire, 1, link_type);
    CHECK_EQUAL(offer_packets(&t->port, &packet, &index, 1, false), 1);
}

static inline void check_carried_out(struct test_port *t, int oracle, uint32_t bytes, int tags)
{
    static uint32_t number = 1000;
    uint64_t before = counter(t, PB_PORT_TX_PACKETS);
    make_frame(frame, bytes, ++number, tags);
    port_send(t, frame, bytes, bytes, PB_LINK_ETHERNET);
    CHECK_EQUAL(counter(t, PB_PORT_TX_PACKETS), before + 1);
    CHECK_EQUAL(oracle_receive(oracle, heard), bytes);
    CHECK(memcmp(frame, heard, bytes) == 0);
}

static inline void check_carried_in(struct test_port *t, int oracle, uint32_t bytes, int tags)
{
    static uint32_t number = 2000;
    make_frame(frame, bytes, ++number, tags);
    oracle_send(oracle, frame, bytes);
    struct expectation e = {.frame = frame, .bytes = bytes};
    CHECK_EQUAL(port_receive(t, 1, BATCH, expect, &e), 1);
}

/* The namespace's new interfaces get no IPv6: nothing but the tests' frames is counted. */
static inline void disable_ipv6(void)
{
    FILE *file = fopen("/proc/sys/net/ipv6/conf/default/disable_ipv6", "w");
    if (file == NULL)
        return; /* the kernel has none */
    fputs("1", file);
    fclose(file);
}

static inline int open_files(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int n = 0;
    while (readdir(directory) != NULL)
        n++;
    closedir(directory);
    return n;
}

/* A report about the port. */
static inline const char *of_port(const struct test_port *t, const char *text)
{
    static char report_text[512];
    snprintf(report_text, sizeof(report_text), "port \"%s\": %s", t->port.label, text);
    return report_text;
}

/* Wait as the engine does until a report comes. */
static inline void wait_for_report(struct test_port *t, const char *part)
{
    const char *text = "";
    for (int i = 0; i < PATIENCE && (text = report())[0] == '\0'; i++) {
        struct pb_wait wait;
        if (t->port.operations->wait(&t->port, &wait)) {
            struct pollfd p = {.fd = wait.fd, .events = wait.events};
            poll(&p, 1, 1);
        }
        t->port.operations->tick(&t->port);
    }
    if (strstr(text, part) == NULL)
        fprintf(stderr, "report \"%s\" lacks \"%s\"\n", text, part);
    CHECK(strstr(text, part) != NULL);
}

/* It can sleep: the descriptor it asks to poll has nothing to say. */
static inline void check_sleeps(struct test_port *t)
{
    struct pb_wait wait;
    CHECK(t->port.operations->wait(&t->port, &wait));
    struct pollfd p = {.fd = wait.fd, .events = wait.events};
    CHECK_EQUAL(poll(&p, 1, 0), 0);
}

/* Nothing will come any more: it waits for nothing. */
static inline void check_sleeps_for_ever(struct test_port *t)
{
    struct pb_wait wait;
    CHECK(t->port.operations->wait(&t->port, &wait));
    CHECK(wait.fd == -1 && wait.timeout_ns == -1);
}

/* ---------------------------------------- what every driver of interfaces has to do */

/* An input on b, whose other end a is the oracle's, goes on when b goes down and comes back, as often as it does. */
static inline void check_input_down_and_up(struct test_port *in, int oracle)
{
    check_carried_in(in, oracle, 60, 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQUAL(pb_link_set_up(link_index("b"), false), 0);
        wait_for_report(in, of_port(in, "the interface is down; ip link set b up"));
        check_sleeps(in);
        in->port.operations->tick(&in->port);
        CHECK_EQUAL(strlen(report()), 0);
        bring_up("b", "a");
        check_carried_in(in, oracle, 60, 0);
        in->port.operations->tick(&in->port);
    }
}

/* b is removed, with a packet still to be read. */
static inline void check_input_removed(struct test_port *in, int oracle)
{
    make_frame(frame, 60, 1, 0);
    oracle_send(oracle, frame, 60);
    CHECK_EQUAL(pb_link_delete(link_index("b")), 0);
    struct expectation e = {.frame = frame, .bytes = 60};
    CHECK_EQUAL(port_receive(in, 1, BATCH, expect, &e), 1);
    wait_for_report(in, of_port(in, "the interface is gone; create b again, then stop and start the engine"));
    for (int i = 0; i < 50; i++)
        check_sleeps(in);
    check_sleeps_for_ever(in);
    in->port.operations->tick(&in->port);
    CHECK_EQUAL(strlen(report()), 0);
}

/* An output on b drops what comes while b is down, by counter `tx_error`, and none of it is sent later. */
static inline void check_output_down_and_up(struct test_port *out, int oracle, uint32_t tx_error)
{
    make_frame(frame, 60, 1, 0);
    CHECK_EQUAL(pb_link_set_up(link_index("b"), false), 0);
    for (int i = 0; i < 3; i++)
        port_send(out, frame, 60, 60, PB_LINK_ETHERNET);
    CHECK_EQUAL(own(out, tx_error), 3);
    check_report(of_port(out, "the interface is down; ip link set b up"));
    CHECK_EQUAL(strlen(report()), 0);
    bring_up("b", "a");
    out->port.operations->tick(&out->port);
    check_carried_out(out, oracle, 60, 0);
}

/* Run them one after the other; none leaves a file open, or a report behind. */
static inline void run_tests(void (*const *tests)(void), size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int before = open_files();
        if (getenv("TEST_VERBOSE") != NULL)
            fprintf(stderr, "test %zu\n", i);
        tests[i]();
        CHECK_EQUAL(open_files(), before);
        CHECK_EQUAL(strlen(report()), 0);
    }
}

#endif
