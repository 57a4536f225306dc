/*
 * test_host_route.c - the guard before an interface's traffic is taken from the host, where the kernel does not tell
 * all of its routes: then it must refuse. What it says where the kernel does tell stands in test_xdp.c.
 *
 * No kernel here fails so on demand. recv() of the guard's netlink socket is this file's: what the kernel has answered
 * is replaced by the end of a dump that failed, as netlink(7) has it.
 */
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdlib.h>

#include "port_bed.h"
#include "ports/host_route.h"

/* The answers that hold `type` first, and what comes in their place. */
static struct {
    uint16_t type; /* 0: all stay as they are */
    uint16_t end;  /* NLMSG_ERROR or NLMSG_DONE */
    int code;
} fault;

ssize_t recv(int fd, void *buffer, size_t bytes, int flags)
{
    ssize_t n = recvfrom(fd, buffer, bytes, flags, NULL, NULL);
    struct nlmsghdr *header = buffer;
    if (n < (ssize_t)sizeof(*header) || fault.type == 0 || header->nlmsg_type != fault.type)
        return n;
    struct nlmsgerr *end = NLMSG_DATA(header);
    header->nlmsg_type = fault.end;
    header->nlmsg_len = NLMSG_LENGTH(fault.end == NLMSG_ERROR ? sizeof(*end) : sizeof(end->error));
    end->error = -fault.code;
    return header->nlmsg_len;
}

static int guard(const char *name, const char *options)
{
    struct test_port *t = port_new("netmap", PB_PORT_INPUT, name, options);
    int result = pb_host_guard(&t->port, &error);
    port_delete(t);
    return result;
}

static void run(const char *command)
{
    if (system(command) != 0) {
        fprintf(stderr, "failed: %s\n", command);
        exit(1);
    }
}

/* The default route leads over another interface, so that what is known is no reason to refuse. */
static void test_refuse_what_is_not_known(void)
{
    static const struct {
        uint16_t type, end;
        int code;
    } rows[] = {
        {RTM_NEWROUTE, NLMSG_ERROR, ENOBUFS}, {RTM_NEWROUTE, NLMSG_DONE, EIO},
        {RTM_NEWLINK, NLMSG_ERROR, EPERM},    {RTM_NEWLINK, NLMSG_DONE, ENOMEM},
    };
    make_pair("a", "b", 1500);
    make_pair("c", "d", 1500);
    run("ip addr add 10.1.1.1/24 dev c && ip route add default via 10.1.1.2");
    CHECK_EQUAL(guard("b", ""), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[256];
        fault.type = rows[i].type;
        fault.end = rows[i].end;
        fault.code = rows[i].code;
        snprintf(text, sizeof(text), "netmap takes traffic from the host, and b may carry this host's default route (the kernel does "
                 "not tell its routes: %s); use packet:b, which gets a copy, or say ?force=1",
                 rows[i].code == ENOMEM ? "out of memory" : strerror(rows[i].code));
        CHECK_EQUAL(guard("b", ""), -EPERM);
        if (strstr(error.text, text) == NULL)
            fprintf(stderr, "\"%s\" lacks \"%s\"\n", error.text, text);
        CHECK(strstr(error.text, text) != NULL);
        CHECK_EQUAL(guard("b", "force=1"), 0);
    }
    fault.type = 0;
    CHECK_EQUAL(guard("b", ""), 0);
    CHECK_EQUAL(guard("c", ""), -EPERM);
    CHECK_EQUAL(pb_link_delete(link_index("a")), 0);
    CHECK_EQUAL(pb_link_delete(link_index("c")), 0);
}

int main(void)
{
    if (unshare(CLONE_NEWNET) < 0) {
        printf("skipped: no network namespace of its own: %s; run as root\n", strerror(errno));
        return 77;
    }
    static void (*const tests[])(void) = {test_refuse_what_is_not_known};
    run_tests(tests, sizeof(tests) / sizeof(tests[0]));
    return 0;
}
