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
