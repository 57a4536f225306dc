/*
 * test_netmap_stand_in.c - the stand-in for netmap, driven by system calls alone, with what netmap's interface promises
 * as the measure: layouts, ring arithmetic, who owns which slot, errors, and that broken rules are seen.
 *
 * The stand-in is linked in, so that sanitizers see it, and so that one test can die inside of it;
 * netmap_stand_in.test.ts preloads it. Rings have 8 slots, NICs 2 rings. The part with real interfaces runs in a network
 * namespace of its own; without the right to one it ends with 77.
 */
#include <dirent.h>
#include <net/if.h>
#include <net/ethernet.h>
#include <netpacket/packet.h>
#include <arpa/inet.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "model.h"
#include "netmap_bed.h"

#define SLOTS 8
#define BUFFERS 400
#define WATCHDOG_S 100
#define PATIENCE_MS 10000

static const struct nmreq_register all_nic = { .mode = NR_REG_ALL_NIC };

/* ------------------------------------------------------------------------ requests */

static void test_without_folder(void)
{
    unsetenv("NETMAP_STAND_IN");
    if (access(NETMAP_DEVICE, F_OK) != 0) {
        CHECK_EQUAL(open(NETMAP_DEVICE, O_RDWR), -1);
        CHECK_EQUAL(errno, ENOENT);
    }
    setenv("NETMAP_STAND_IN", bed_folder, 1);
}

static void test_requests(void)
{
    int fd = bed_device();
    struct nmreq_port_info info = { 0 };
    static const struct {
        uint16_t version, type;
        const char *name;
        int result;
    } cases[] = {
        { 13, NETMAP_REQ_PORT_INFO_GET, "a{0", EINVAL }, { 16, NETMAP_REQ_PORT_INFO_GET, "a{0", EINVAL },
        { 14, NETMAP_REQ_PORT_INFO_GET, "a{0", 0 },      { 15, NETMAP_REQ_PORT_INFO_GET, "a{0", 0 },
        { 14, 99, "a{0", EINVAL },                       { 14, NETMAP_REQ_PORT_INFO_GET, "a{1{2", EINVAL },
        { 14, NETMAP_REQ_PORT_INFO_GET, "a{", EINVAL },  { 14, NETMAP_REQ_PORT_INFO_GET, "}1", EINVAL },
        { 14, NETMAP_REQ_PORT_INFO_GET, "", EINVAL },    { 14, NETMAP_REQ_PORT_INFO_GET, "no-such-nic", ENXIO },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        CHECK_EQUAL(bed_request(fd, cases[i].version, cases[i].type, cases[i].name, &info), cases[i].result);
    CHECK_EQUAL(bed_request(fd, 14, NETMAP_REQ_PORT_INFO_GET, "a{0", &info), 0);
    CHECK_EQUAL(info.tx_rings, 1);
    CHECK_EQUAL(info.rx_slots, SLOTS);
    CHECK_EQUAL(bed_request(fd, 14, NETMAP_REQ_PORT_INFO_GET, "a{0", NULL), EINVAL);

    /* Nothing is registered yet. */
    CHECK_EQUAL(ioctl(fd, NIOCTXSYNC), -1);
    CHECK_EQUAL(errno, ENXIO);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED);
    CHECK_EQUAL(errno, ENODEV);
    struct pollfd polled = { .fd = fd, .events = POLLIN };
    CHECK_EQUAL(poll(&polled, 1, 0), 1);
    CHECK_EQUAL(polled.revents, POLLERR);
    struct epoll_event event = { .events = EPOLLIN };
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    CHECK_EQUAL(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), -1);
    close(epoll);
    CHECK_EQUAL(ioctl(fd, 0x6901), -1);
    CHECK_EQUAL(errno, ENOTTY);
    CHECK_EQUAL(close(fd), 0);
    NO_VIOLATIONS();
}

static void test_register_errors(void)
{
    struct bed_port p = bed_open("a{0"), other;
    CHECK_EQUAL(bed_request(p.fd, 14, NETMAP_REQ_REGISTER, "a{1", &p.request), EBUSY);
    CHECK_EQUAL(bed_try(&other, "a{0", (struct nmreq_register){ .mode = NR_REG_ALL_NIC, .flags = NR_EXCLUSIVE }), EBUSY);
    CHECK_EQUAL(bed_try(&other, "a{0", (struct nmreq_register){ .mode = NR_REG_ONE_NIC }), EINVAL);
    CHECK_EQUAL(bed_try(&other, "a{2", (struct nmreq_register){ .mode = 5 }), EINVAL);
    CHECK_EQUAL(bed_try(&other, "a{2", (struct nmreq_register){ .mode = NR_REG_ALL_NIC, .flags = 1ull << 40 }), EOPNOTSUPP);
    CHECK_EQUAL(bed_try(&other, "vale0:", all_nic), EINVAL);
    CHECK_EQUAL(bed_try(&other, "vale0:a", (struct nmreq_register){ .mode = NR_REG_SW }), EINVAL);
    CHECK_EQUAL(bed_try(&other, "vale0:a", (struct nmreq_register){ .mode = NR_REG_ONE_NIC, .ringid = 1 }), EINVAL);
    CHECK_EQUAL(bed_try(&other, "a{0", all_nic), 0); /* shared, as neither wants it alone */
    CHECK_EQUAL((uint8_t *)other.tx - other.memory, (uint8_t *)p.tx - p.memory);
    CHECK(other.request.offset != p.request.offset);
    CHECK_EQUAL(bed_request(p.fd, 14, NETMAP_REQ_REGISTER, "vale0:a", &p.request), EBUSY);
    CHECK(mmap(NULL, p.request.memsize + 4096, PROT_READ, MAP_SHARED, p.fd, 0) == MAP_FAILED);
    CHECK_EQUAL(errno, EINVAL);
    bed_close(&other);
    bed_close(&p);
    NO_VIOLATIONS();
}

/* Every ring takes 8 buffers of 400, 2 of which are never given out. */
static void test_memory_runs_out(void)
{
    struct bed_port ports[32], other;
    char name[24];
    int count = 0, result = 0;
    while (count < 32 && result == 0) {
        snprintf(name, sizeof(name), "full{%d", count);
        result = bed_try(&ports[count], name, all_nic);
        count += result == 0;
    }
    CHECK_EQUAL(result, ENOMEM);
    CHECK_EQUAL(count, (BUFFERS - 2) / (4 * SLOTS)); /* two rings at either end */
    CHECK_EQUAL(bed_try(&other, "elsewhere{0", all_nic), 0); /* a parent without a NIC has its own memory */
    CHECK(other.request.mem_id != ports[0].request.mem_id);
    bed_close(&other);
    while (count > 0)
        bed_close(&ports[--count]);
    NO_VIOLATIONS();
}

/* ------------------------------------------------------------------------ layout */

static void test_layout(void)
{
    struct bed_port p = bed_open_as("lay}3", (struct nmreq_register){ .mode = NR_REG_ALL_NIC, .tx_slots = 16, .rx_slots = 4 });
    static const char name[] = "lay}3";
    const uint8_t *raw = (const uint8_t *)p.nifp;
    int64_t ofs[2];
    CHECK(memcmp(raw, name, sizeof(name)) == 0);
    CHECK_EQUAL(*(const uint32_t *)(raw + 24), 1); /* tx_rings, rx_rings, bufs_head, host rings */
    CHECK_EQUAL(*(const uint32_t *)(raw + 28), 1);
    CHECK_EQUAL(*(const uint32_t *)(raw + 32), 0);
    CHECK_EQUAL(*(const uint32_t *)(raw + 36), 0);
    memcpy(ofs, raw + 56, sizeof(ofs));
    bool seen[BUFFERS] = { false };
    for (int i = 0; i < 2; i++) {
        const uint8_t *ring = raw + ofs[i];
        int64_t buf_ofs = *(const int64_t *)ring;
        uint32_t slots = *(const uint32_t *)(ring + 8), buf_size = *(const uint32_t *)(ring + 12);
        uint32_t head = *(const uint32_t *)(ring + 20), tail = *(const uint32_t *)(ring + 28);
        bool is_tx = *(const uint16_t *)(ring + 18) == 1;
        CHECK_EQUAL(slots, i == 0 ? 16 : 4);
        CHECK_EQUAL(is_tx, i == 0);
        CHECK_EQUAL(tail, is_tx ? slots - 1 : head); /* all but one to send, nothing to receive */
        for (uint32_t k = 0; k < slots; k++) {
            uint32_t index = *(const uint32_t *)(ring + 256 + 16 * k);
            const uint8_t *buffer = ring + buf_ofs + (uint64_t)index * buf_size;
            CHECK(index >= 2 && index < BUFFERS && !seen[index]);
            CHECK(buffer >= p.memory && buffer + buf_size <= p.memory + p.request.memsize);
            seen[index] = true;
        }
    }
    struct bed_port other = bed_open("lay{3"); /* what one end sends the other receives */
    CHECK_EQUAL(other.request.tx_slots, 4);
    CHECK_EQUAL(other.request.rx_slots, 16);
    CHECK_EQUAL(other.request.mem_id, p.request.mem_id);
    bed_close(&p);
    bed_close(&other);
    NO_VIOLATIONS();
}

/* ------------------------------------------------------------------------ pipes */

static void test_pipe_both_ways(void)
{
    struct bed_port master = bed_open("two{0"), slave = bed_open("two}0");
    for (uint32_t n = 0; n < 100; n++) {
        struct bed_port *from = n % 2 ? &slave : &master, *to = n % 2 ? &master : &slave;
        CHECK(bed_put(from->tx, 1, 2, n));
        bed_sync(to, NIOCRXSYNC);
        CHECK_EQUAL(bed_get(to->rx), -1); /* the sender has not synced */
        bed_sync(from, NIOCTXSYNC);
        CHECK_EQUAL(bed_get(to->rx), -1); /* slots change hands in the reader's own sync only */
        bed_sync(to, NIOCRXSYNC);
        CHECK_EQUAL(bed_get(to->rx), n);
        CHECK_EQUAL(bed_get(to->rx), -1);
    }
    bed_close(&master);
    bed_close(&slave);
    NO_VIOLATIONS();
}

static uint32_t usable(const struct netmap_ring *ring)
{
    return nm_distance(ring->head, ring->tail, ring->num_slots);
}

/* Both rings of a pipe hold all slots but one; then the sender keeps its frames until the reader gives slots back. */
static void test_pipe_fills(void)
{
    struct bed_port master = bed_open("fill{0");
    uint32_t n = 0, next = 0;
    CHECK_EQUAL(usable(master.tx), SLOTS - 1);
    for (int round = 0; round < 3; round++) {
        while (bed_put(master.tx, 1, 2, n))
            n++;
        bed_sync(&master, NIOCTXSYNC);
    }
    CHECK_EQUAL(n, 2 * (SLOTS - 1));
    CHECK_EQUAL(bed_poll(&master, POLLOUT, 0), 0);

    struct bed_port slave = bed_open("fill}0"); /* what was sent before it came is there */
    CHECK_EQUAL(bed_poll(&slave, POLLIN, 0), POLLIN);
    CHECK_EQUAL(usable(slave.rx), SLOTS - 1);
    for (; next < 3; next++)
        CHECK_EQUAL(bed_get(slave.rx), next);
    bed_sync(&master, NIOCTXSYNC);
    CHECK_EQUAL(usable(master.tx), 0); /* read, but not given back */
    bed_sync(&slave, NIOCRXSYNC);
    CHECK_EQUAL(usable(master.tx), 0);
    bed_sync(&master, NIOCTXSYNC);
    CHECK_EQUAL(usable(master.tx), 3);
    CHECK_EQUAL(bed_poll(&master, POLLOUT, 0), POLLOUT);
    for (int round = 0; round < 4; round++) {
        bed_sync(&slave, NIOCRXSYNC);
        for (int64_t got; (got = bed_get(slave.rx)) >= 0; next++)
            CHECK_EQUAL(got, next);
        bed_sync(&slave, NIOCRXSYNC);
        bed_sync(&master, NIOCTXSYNC);
    }
    CHECK_EQUAL(next, n);
    CHECK_EQUAL(usable(master.tx), SLOTS - 1);
    bed_close(&master);
    bed_close(&slave);
    NO_VIOLATIONS();
}

static void exchange(struct netmap_slot *one, struct netmap_slot *two)
{
    uint32_t index = one->buf_idx;
    one->buf_idx = two->buf_idx;
    two->buf_idx = index;
    one->flags |= NS_BUF_CHANGED;
    two->flags |= NS_BUF_CHANGED;
}

/* A frame goes through two pipes of one memory in the same buffer. */
static void test_zero_copy(void)
{
    struct bed_port in = bed_open("zero{0"), from = bed_open("zero}0"), to = bed_open("zero{1"), out = bed_open("zero}1");
    for (uint32_t n = 0; n < 50; n++) {
        uint32_t index = bed_slot(in.tx)->buf_idx;
        CHECK(bed_put(in.tx, 1, 2, n));
        bed_sync(&in, NIOCTXSYNC);
        bed_sync(&from, NIOCRXSYNC);
        CHECK_EQUAL(bed_slot(from.rx)->buf_idx, index);
        CHECK_EQUAL(bed_slot(from.rx)->len, FRAME_BYTES);
        bed_slot(to.tx)->len = FRAME_BYTES;
        exchange(bed_slot(from.rx), bed_slot(to.tx));
        bed_advance(from.rx);
        bed_advance(to.tx);
        bed_sync(&to, NIOCTXSYNC);
        bed_sync(&from, NIOCRXSYNC);
        bed_sync(&out, NIOCRXSYNC);
        CHECK_EQUAL(bed_slot(out.rx)->buf_idx, index);
        CHECK_EQUAL(bed_get(out.rx), n);
    }
    bed_close(&in);
    bed_close(&from);
    bed_close(&to);
    bed_close(&out);
    NO_VIOLATIONS();
}

/* ------------------------------------------------------------------------ extra buffers */

static uint32_t *extra_next(const struct bed_port *p, uint32_t index)
{
    return (uint32_t *)nm_buffer(p->tx, index);
}

static uint32_t chain_length(const struct bed_port *p)
{
    uint32_t count = 0;
    for (uint32_t index = p->nifp->bufs_head; index != 0; index = *extra_next(p, index))
        CHECK(index < BUFFERS && ++count < BUFFERS);
    return count;
}

static struct bed_port open_extra(const char *name, uint32_t wanted)
{
    return bed_open_as(name, (struct nmreq_register){ .mode = NR_REG_ALL_NIC, .extra_bufs = wanted });
}

static void test_extra_buffers(void)
{
    struct bed_port p = open_extra("extra{0", 5), slave = bed_open("extra}0");
    CHECK_EQUAL(p.request.extra_bufs, 5);
    CHECK_EQUAL(chain_length(&p), 5);
    struct bed_port many = open_extra("extra{1", 1000); /* as many as there are */
    CHECK_EQUAL(many.request.extra_bufs, BUFFERS - 2 - 2 * 4 * SLOTS - 5);
    CHECK_EQUAL(chain_length(&many), many.request.extra_bufs);
    bed_close(&many);

    /* One is sent, the slot's own joins the chain in its place. */
    uint32_t index = p.nifp->bufs_head, own = bed_slot(p.tx)->buf_idx;
    *extra_next(&p, own) = *extra_next(&p, index);
    p.nifp->bufs_head = own;
    bed_slot(p.tx)->buf_idx = index;
    bed_slot(p.tx)->flags |= NS_BUF_CHANGED;
    CHECK(bed_put(p.tx, 1, 2, 77));
    bed_sync(&p, NIOCTXSYNC);
    bed_sync(&slave, NIOCRXSYNC);
    CHECK_EQUAL(bed_slot(slave.rx)->buf_idx, index);
    CHECK_EQUAL(bed_get(slave.rx), 77);
    CHECK_EQUAL(chain_length(&p), 5);
    bed_close(&p);
    bed_close(&slave);
    NO_VIOLATIONS();
}

static void test_extra_buffers_kept(void)
{
    struct bed_port p = open_extra("kept{0", 5);
    p.nifp->bufs_head = *extra_next(&p, p.nifp->bufs_head);
    bed_close(&p);
    CHECK_EQUAL(bed_violations(""), 2); /* the chain is too short, and at the end a buffer is lost */
}

static void test_extra_buffer_in_a_ring(void)
{
    struct bed_port p = open_extra("twice{0", 1);
    p.tx->slot[0].buf_idx = p.nifp->bufs_head;
    p.tx->slot[0].flags = NS_BUF_CHANGED;
    bed_close(&p); /* it is named twice, the slot's own not at all */
    CHECK(bed_violations("") >= 2);
}

/* ------------------------------------------------------------------------ poll */

/* poll() of one descriptor sends what that descriptor has pending, and nothing of another's. */
static void test_poll_syncs_own_rings(void)
{
    struct bed_port a = bed_open("poll{0"), a_end = bed_open("poll}0"), b = bed_open("poll{1"), b_end = bed_open("poll}1");
    CHECK(bed_put(a.tx, 1, 2, 1));
    CHECK_EQUAL(bed_poll(&b, POLLIN | POLLOUT, 0), POLLOUT);
    CHECK_EQUAL(bed_poll(&a_end, POLLIN, 0), 0);
    CHECK_EQUAL(bed_poll(&a, POLLIN, 0), 0); /* pending frames are pushed though POLLOUT was not asked for */
    CHECK_EQUAL(bed_poll(&a_end, POLLIN, 0), POLLIN);
    CHECK_EQUAL(bed_get(a_end.rx), 1);
    CHECK_EQUAL(bed_poll(&b_end, POLLIN, 0), 0);

    struct pollfd fds[3] = { { .fd = a_end.fd, .events = POLLIN }, { .fd = b_end.fd, .events = POLLIN }, { .fd = -1 } };
    CHECK(bed_put(b.tx, 1, 2, 2));
    bed_sync(&b, NIOCTXSYNC);
    CHECK_EQUAL(poll(fds, 3, PATIENCE_MS), 1);
    CHECK_EQUAL(fds[0].revents, 0);
    CHECK_EQUAL(fds[1].revents, POLLIN);
    bed_close(&a);
    bed_close(&a_end);
    bed_close(&b);
    bed_close(&b_end);
    NO_VIOLATIONS();
}

static void test_no_tx_poll(void)
{
    struct bed_port p = bed_open_as("quiet{0", (struct nmreq_register){ .mode = NR_REG_ALL_NIC, .flags = NR_NO_TX_POLL });
    struct bed_port end = bed_open("quiet}0");
    CHECK(bed_put(p.tx, 1, 2, 1));
    CHECK_EQUAL(bed_poll(&p, POLLIN, 0), 0);
    CHECK_EQUAL(bed_poll(&end, POLLIN, 0), 0);
    CHECK_EQUAL(bed_poll(&p, POLLOUT, 0), POLLOUT);
    CHECK_EQUAL(bed_poll(&end, POLLIN, 0), POLLIN);
    bed_close(&p);
    bed_close(&end);
    NO_VIOLATIONS();
}

/* ------------------------------------------------------------------------ broken rules */

static void test_head_beyond_tail(void)
{
    struct bed_port p = bed_open("head{0"), end = bed_open("head}0");
    CHECK(bed_put(p.tx, 1, 2, 1));
    bed_sync(&p, NIOCTXSYNC);
    bed_sync(&end, NIOCRXSYNC);
    CHECK_EQUAL(usable(end.rx), 1);
    end.rx->head = end.rx->cur = nm_next(end.rx->tail, SLOTS);
    CHECK_EQUAL(bed_poll(&end, POLLIN, 0) & POLLERR, POLLERR);
    CHECK_EQUAL(bed_violations("head}0: rx ring 0: head is not between"), 1);
    CHECK_EQUAL(end.rx->head, 0); /* the ring is reset to what the kernel knew */
    CHECK_EQUAL(end.rx->cur, 0);
    end.rx->cur = 2;
    bed_sync(&end, NIOCRXSYNC); /* the ioctl succeeds, the ring is reset */
    CHECK_EQUAL(end.rx->cur, 0);
    CHECK_EQUAL(bed_violations("cur is not between"), 1);
    end.rx->tail = 3;
    bed_sync(&end, NIOCRXSYNC);
    CHECK_EQUAL(bed_violations("the application wrote tail"), 1);
    CHECK_EQUAL(usable(end.rx), 1);
    CHECK(bed_put(p.tx, 1, 2, 2)); /* and works on */
    bed_sync(&p, NIOCTXSYNC);
    bed_sync(&end, NIOCRXSYNC);
    CHECK_EQUAL(bed_get(end.rx), 1);
    CHECK_EQUAL(bed_get(end.rx), 2);
    bed_close(&p);
    bed_close(&end);
    NO_VIOLATIONS();
}

static void test_unsound_slots(void)
{
    struct bed_port p = bed_open("slot{0"), end = bed_open("slot}0");
    uint32_t own = p.tx->slot[0].buf_idx;
    p.tx->slot[0].buf_idx = BUFFERS;
    p.tx->slot[0].flags = NS_BUF_CHANGED;
    bed_advance(p.tx);
    bed_sync(&p, NIOCTXSYNC);
    CHECK_EQUAL(bed_violations("a slot names no buffer (slot, buffer) (0, 400)"), 1);
    CHECK_EQUAL(p.tx->head, 0);
    CHECK_EQUAL(p.tx->slot[0].buf_idx, 0);
    p.tx->slot[0].buf_idx = own;
    p.tx->slot[0].len = (uint16_t)(p.tx->buf_size + 1);
    bed_advance(p.tx);
    CHECK_EQUAL(bed_poll(&p, POLLIN, 0), POLLERR);
    CHECK_EQUAL(bed_violations("a slot's length"), 1);
    bed_close(&p);
    bed_close(&end);
    NO_VIOLATIONS();
}

static void test_buffer_in_two_places(void)
{
    struct bed_port p = bed_open("dup{0"), end = bed_open("dup}0");
    CHECK(bed_put(p.tx, 1, 2, 1));
    p.tx->slot[1].buf_idx = p.tx->slot[0].buf_idx;
    p.tx->slot[1].flags = NS_BUF_CHANGED;
    CHECK(bed_put(p.tx, 1, 2, 2));
    bed_sync(&p, NIOCTXSYNC);
    CHECK_EQUAL(bed_violations("a buffer is in two places"), 1);
    bed_close(&p);
    bed_close(&end);
    CHECK(bed_violations("") >= 2); /* at the end one is found twice, and another is lost */
}

static void test_unannounced_exchange(void)
{
    struct bed_port p = bed_open("hush{0");
    exchange(&p.tx->slot[0], &p.tx->slot[1]);
    p.tx->slot[1].flags = 0;
    CHECK(bed_put(p.tx, 1, 2, 1));
    CHECK(bed_put(p.tx, 1, 2, 2));
    bed_sync(&p, NIOCTXSYNC);
    CHECK_EQUAL(bed_violations("without NS_BUF_CHANGED (slot, buffer) (1, "), 1);
    bed_close(&p);
    NO_VIOLATIONS();
}

static void test_kernel_slot_written(void)
{
    struct bed_port p = bed_open("mine{0"), end = bed_open("mine}0");
    uint32_t own = end.rx->slot[0].buf_idx;
    end.rx->slot[0].buf_idx = p.tx->slot[3].buf_idx;
    CHECK(bed_put(p.tx, 1, 2, 1));
    bed_sync(&p, NIOCTXSYNC);
    CHECK_EQUAL(bed_violations("a slot that the kernel owns"), 1);
    bed_sync(&p, NIOCTXSYNC);
    CHECK_EQUAL(p.tx->slot[0].buf_idx, own); /* it was undone */
    bed_close(&p);
    bed_close(&end);
    NO_VIOLATIONS();
}

/* ------------------------------------------------------------------------ switches */

static void test_vale(void)
{
    struct bed_port a = bed_open("vale0:a"), b = bed_open("vale0:b"), c = bed_open("vale0:c"), far = bed_open("vale1:a");
    CHECK(a.request.mem_id != 1 && a.request.mem_id != b.request.mem_id);
    CHECK(bed_put(a.tx, 2, 1, 1)); /* nobody knows 2 */
    bed_sync(&a, NIOCTXSYNC);
    CHECK_EQUAL(bed_poll(&b, POLLIN, 0), POLLIN);
    CHECK_EQUAL(bed_poll(&c, POLLIN, 0), POLLIN);
    CHECK_EQUAL(bed_poll(&a, POLLIN, 0), 0);
    CHECK_EQUAL(bed_poll(&far, POLLIN, 0), 0);
    CHECK_EQUAL(bed_get(b.rx), 1);
    CHECK_EQUAL(bed_get(c.rx), 1);
    CHECK(bed_put(b.tx, 1, 2, 2)); /* 1 is at a */
    bed_sync(&b, NIOCTXSYNC);
    CHECK_EQUAL(bed_poll(&a, POLLIN, 0), POLLIN);
    CHECK_EQUAL(bed_get(a.rx), 2);
    CHECK_EQUAL(bed_poll(&c, POLLIN, 0), 0);

    struct bed_port pipe = bed_open("vale0:a{1"), end = bed_open("vale0:a}1");
    CHECK_EQUAL(pipe.request.mem_id, a.request.mem_id);
    CHECK(bed_put(pipe.tx, 1, 2, 3));
    bed_sync(&pipe, NIOCTXSYNC);
    CHECK_EQUAL(bed_poll(&end, POLLIN, 0), POLLIN);
    CHECK_EQUAL(bed_get(end.rx), 3);
    bed_close(&pipe);
    bed_close(&end);
    bed_close(&a);
    bed_close(&b);
    bed_close(&c);
    bed_close(&far);
    NO_VIOLATIONS();
}

/* ------------------------------------------------------------------------ processes */

#define ECHOES 5000

/* Reads frames in order, sleeping in poll, and sends each back. */
static void echo(const char *name)
{
    struct bed_port p = bed_open(name);
    for (uint32_t n = 0; n < ECHOES;) {
        CHECK_EQUAL(bed_poll(&p, POLLIN, PATIENCE_MS), POLLIN);
        for (int64_t got; (got = bed_get(p.rx)) >= 0; n++) {
            CHECK_EQUAL(got, n);
            while (!bed_put(p.tx, 1, 2, n))
                CHECK_EQUAL(bed_poll(&p, POLLOUT, PATIENCE_MS), POLLOUT);
        }
    }
    bed_sync(&p, NIOCRXSYNC);
    while (nm_next(p.tx->tail, SLOTS) != p.tx->head) { /* until all is sent */
        bed_sync(&p, NIOCTXSYNC);
        poll(NULL, 0, 1);
    }
    bed_close(&p);
}

/* Sends to echo() and gets back what it sent. */
static void call(const struct bed_port *p)
{
    uint32_t sent = 0, received = 0;
    while (received < ECHOES) {
        while (sent < ECHOES && bed_put(p->tx, 1, 2, sent))
            sent++;
        bed_sync(p, NIOCTXSYNC);
        CHECK_EQUAL(bed_poll(p, POLLIN, PATIENCE_MS), POLLIN);
        for (int64_t got; (got = bed_get(p->rx)) >= 0; received++)
            CHECK_EQUAL(got, received);
        bed_sync(p, NIOCRXSYNC); /* the slots are the sender's again, and it may be waiting for them */
    }
}

static void test_two_processes(void)
{
    struct bed_port p = bed_open("procs{0");
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        echo("procs}0");
        _exit(0);
    }
    call(&p);
    int status;
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK_EQUAL(status, 0);
    bed_close(&p);
    NO_VIOLATIONS();
}

static void *echo_thread(void *name)
{
    echo(name);
    return NULL;
}

static void *call_thread(void *port)
{
    call(port);
    return NULL;
}

/* Two pipes at once, a thread at each end. */
static void test_threads(void)
{
    struct bed_port ports[2] = { bed_open("threads{0"), bed_open("threads{1") };
    char names[2][16] = { "threads}0", "threads}1" };
    pthread_t threads[4];
    for (int i = 0; i < 2; i++) {
        CHECK_EQUAL(pthread_create(&threads[i], NULL, echo_thread, names[i]), 0);
        CHECK_EQUAL(pthread_create(&threads[2 + i], NULL, call_thread, &ports[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(pthread_join(threads[i], NULL), 0);
    bed_close(&ports[0]);
    bed_close(&ports[1]);
    NO_VIOLATIONS();
}

/* Sends for ever, in a process of its own; says when it has begun. */
static pid_t fork_flood(const char *name, uint64_t flags)
{
    int ready[2];
    char byte;
    CHECK_EQUAL(pipe(ready), 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct bed_port p = bed_open_as(name, (struct nmreq_register){ .mode = NR_REG_ALL_NIC, .flags = flags, .extra_bufs = 3 });
        CHECK_EQUAL(write(ready[1], "r", 1), 1);
        for (uint32_t n = 0;; n++) {
            bed_put(p.tx, 1, 2, n);
            bed_sync(&p, NIOCTXSYNC);
            bed_sync(&p, NIOCRXSYNC);
        }
    }
    close(ready[1]);
    CHECK_EQUAL(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void kill_child(pid_t pid)
{
    CHECK_EQUAL(kill(pid, SIGKILL), 0);
    CHECK_EQUAL(waitpid(pid, NULL, 0), pid);
}

/* What a killed process had registered is given up, at whatever point of a sync it died; the other end works on. */
static void test_killed_process(void)
{
    struct bed_port p = bed_open("dead{0"), end;
    for (int round = 0; round < 40; round++) {
        pid_t child = fork_flood("dead}0", NR_EXCLUSIVE);
        CHECK_EQUAL(bed_try(&end, "dead}0", all_nic), EBUSY);
        for (int i = 0; i < 20 + round * 7; i++) {
            bed_sync(&p, NIOCRXSYNC);
            while (bed_get(p.rx) >= 0)
                ;
        }
        kill_child(child);
        end = bed_open_as("dead}0", (struct nmreq_register){ .mode = NR_REG_ALL_NIC, .flags = NR_EXCLUSIVE });
        bed_sync(&end, NIOCTXSYNC); /* what the dead one had given but not sent */
        for (int i = 0; i < 4; i++) {
            bed_sync(&p, NIOCRXSYNC);
            while (bed_get(p.rx) >= 0)
                ;
            bed_sync(&end, NIOCTXSYNC);
        }
        CHECK(bed_put(end.tx, 1, 2, 1000000));
        bed_sync(&end, NIOCTXSYNC);
        bed_sync(&p, NIOCRXSYNC);
        int64_t last = -1;
        for (int64_t got; (got = bed_get(p.rx)) >= 0;)
            last = got;
        CHECK_EQUAL(last, 1000000);
        bed_close(&end);
        NO_VIOLATIONS();
    }
    bed_close(&p);
    NO_VIOLATIONS();
}

/* Dies with the stand-in's mutex held, between the two halves of a move from tx to rx slot 0 of a pipe. */
static void die_within_a_move(const char *tx_name, const char *rx_name)
{
    struct nm_state *s = nm_state();
    struct nm_ring_ref tx = { 0 }, rx = { 0 };
    nm_lock(s);
    for (uint32_t i = 0; i < s->ports_end; i++) {
        if (s->ports[i].kind == NM_PIPE && strcmp(s->ports[i].name, tx_name) == 0)
            CHECK(nm_ring_at(s, i, NM_TX, 0, &tx));
        if (s->ports[i].kind == NM_PIPE && strcmp(s->ports[i].name, rx_name) == 0)
            CHECK(nm_ring_at(s, i, NM_RX, 0, &rx));
    }
    CHECK(tx.k != NULL && rx.k != NULL && tx.k->hwcur == 0 && rx.k->hwtail == 0);
    const struct netmap_slot sent = tx.ring->slot[0], spare = rx.ring->slot[0];
    s->move = (struct nm_move){ .armed = true };
    s->move.side[0].port = tx.port;
    s->move.side[0].dir = NM_TX;
    s->move.side[0].buf_idx = spare.buf_idx;
    s->move.side[0].hwcur = 1;
    s->move.side[0].hwtail = tx.k->hwtail;
    s->move.side[1].port = rx.port;
    s->move.side[1].dir = NM_RX;
    s->move.side[1].buf_idx = sent.buf_idx;
    s->move.side[1].len = sent.len;
    s->move.side[1].hwtail = 1;
    tx.ring->slot[0].buf_idx = spare.buf_idx;
    kill(getpid(), SIGKILL);
}

/* The sender is killed while it moves a frame: the frame arrives, no buffer is lost or found twice. */
static void test_killed_within_a_move(void)
{
    struct bed_port p = bed_open("half}0");
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct bed_port sender = bed_open("half{0");
        CHECK(bed_put(sender.tx, 1, 2, 42));
        struct nm_state *s = nm_state();
        for (uint32_t i = 0; i < s->ports_end; i++) { /* given to the kernel, but the other end's ring does not take it yet */
            struct nm_ring_ref ref;
            if (s->ports[i].kind == NM_PIPE && strcmp(s->ports[i].name, "half{0") == 0 && nm_ring_at(s, i, NM_TX, 0, &ref)) {
                ref.view->place[ref.ring->slot[0].buf_idx] = NM_KERNEL;
                ref.k->rhead = ref.k->rcur = 1;
            }
        }
        die_within_a_move("half{0", "half}0");
    }
    int status;
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    bed_sync(&p, NIOCRXSYNC);
    CHECK_EQUAL(bed_get(p.rx), 42);
    struct bed_port sender = bed_open("half{0");
    CHECK(bed_put(sender.tx, 1, 2, 43));
    bed_sync(&sender, NIOCTXSYNC);
    bed_sync(&p, NIOCRXSYNC);
    CHECK_EQUAL(bed_get(p.rx), 43);
    bed_close(&sender);
    bed_close(&p);
    NO_VIOLATIONS();
}

/* A descriptor that a child inherited is open until the child has ended, too. */
static void test_inherited_descriptor(void)
{
    struct bed_port p = bed_open_as("heir{0", (struct nmreq_register){ .mode = NR_REG_ALL_NIC, .flags = NR_EXCLUSIVE }), other;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        pause();
        _exit(0);
    }
    bed_close(&p);
    CHECK_EQUAL(bed_try(&other, "heir{0", all_nic), EBUSY);
    kill_child(child);
    CHECK_EQUAL(bed_try(&other, "heir{0", all_nic), 0);
    bed_close(&other);
    NO_VIOLATIONS();
}

/* So is one that is still mapped: a mapping refers to the open file. */
static void test_mapped_descriptor(void)
{
    struct bed_port p = bed_open_as("map{0", (struct nmreq_register){ .mode = NR_REG_ALL_NIC, .flags = NR_EXCLUSIVE }), other;
    CHECK_EQUAL(close(p.fd), 0);
    CHECK_EQUAL(bed_try(&other, "map{0", all_nic), EBUSY);
    CHECK_EQUAL(p.tx->num_slots, SLOTS); /* it can be looked at */
    CHECK_EQUAL(munmap(p.memory, p.request.memsize), 0);
    CHECK_EQUAL(bed_try(&other, "map{0", all_nic), 0);
    bed_close(&other);
    NO_VIOLATIONS();
}

/* ------------------------------------------------------------------------ interfaces */

static void shell(const char *command)
{
    int status = system(command);
    if (status != 0)
        fprintf(stderr, "%s: status %d\n", command, status);
    CHECK_EQUAL(status, 0);
}

/* The other side of a link: a plain packet socket. */
static int open_wire(const char *name)
{
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name)
    };
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)), on = 1;
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    CHECK_EQUAL(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)), 0);
    return fd;
}

static void wire_send(int wire, uint8_t to, uint8_t from, uint32_t number)
{
    uint8_t frame[FRAME_BYTES];
    bed_fill(frame, to, from, number);
    CHECK_EQUAL(send(wire, frame, sizeof(frame), 0), FRAME_BYTES);
}

/* The number of the next frame of ours on the wire; -1: none comes. */
static int64_t wire_get(int wire, int patience_ms)
{
    uint8_t frame[2048];
    struct pollfd fd = { .fd = wire, .events = POLLIN };
    uint32_t number;
    while (poll(&fd, 1, patience_ms) == 1) {
        ssize_t bytes = recv(wire, frame, sizeof(frame), MSG_DONTWAIT);
        if (bytes != FRAME_BYTES || frame[12] != 0x88 || frame[13] != 0xb5)
            continue;
        memcpy(&number, frame + 14, sizeof(number));
        return number;
    }
    return -1;
}

/* Which rings a mode binds; the two rings of each direction and the host's lie in the order tx, host tx, rx, host rx. */
static void test_modes(void)
{
    static const struct {
        uint32_t mode;
        uint16_t ringid;
        uint64_t flags;
        const char *bound;
    } cases[] = {
        { NR_REG_ALL_NIC, 0, 0, "110110" }, { NR_REG_SW, 0, 0, "001001" },      { NR_REG_NIC_SW, 0, 0, "111111" },
        { NR_REG_ONE_NIC, 1, 0, "010010" }, { NR_REG_ONE_SW, 0, 0, "001001" },  { NR_REG_NULL, 0, 0, "000000" },
        { NR_REG_ALL_NIC, 0, NR_TX_RINGS_ONLY, "110000" },                      { NR_REG_ALL_NIC, 0, NR_RX_RINGS_ONLY, "000110" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct bed_port p = bed_open_as("nic0", (struct nmreq_register){
            .mode = cases[i].mode, .ringid = cases[i].ringid, .flags = cases[i].flags });
        CHECK_EQUAL(p.request.mem_id, 1);
        CHECK_EQUAL(p.request.tx_rings, 2);
        CHECK_EQUAL(p.request.host_rx_rings, 1);
        for (int ring = 0; ring < 6; ring++)
            CHECK_EQUAL(p.nifp->ring_ofs[ring] != 0, cases[i].bound[ring] == '1');
        bed_close(&p);
    }
    struct bed_port p;
    CHECK_EQUAL(bed_try(&p, "nic0", (struct nmreq_register){ .mode = NR_REG_ONE_NIC, .ringid = 2 }), EINVAL);
    CHECK_EQUAL(bed_try(&p, "nic0", (struct nmreq_register){ .mode = 0 }), EINVAL);
    NO_VIOLATIONS();
}

/* Two registrations of one ring each get between them every frame, each flow in one ring. */
static void test_nic(int wire)
{
    struct bed_port rings[2];
    uint32_t received[2] = { 0 }, ring_of[4] = { 9, 9, 9, 9 };
    for (uint16_t i = 0; i < 2; i++)
        rings[i] = bed_open_as("nic0", (struct nmreq_register){ .mode = NR_REG_ONE_NIC, .ringid = i, .flags = NR_EXCLUSIVE });
    struct netmap_ring *rx[2] = { nm_rx_ring(rings[0].nifp, 0), nm_rx_ring(rings[1].nifp, 1) };
    for (uint32_t n = 0; n < 100; n++) {
        wire_send(wire, 1, (uint8_t)(n % 4), n);
        struct pollfd fds[2] = { { .fd = rings[0].fd, .events = POLLIN }, { .fd = rings[1].fd, .events = POLLIN } };
        CHECK_EQUAL(poll(fds, 2, PATIENCE_MS), 1);
        uint32_t at = fds[0].revents != 0 ? 0 : 1;
        CHECK_EQUAL(bed_get(rx[at]), n);
        CHECK(ring_of[n % 4] == 9 || ring_of[n % 4] == at);
        ring_of[n % 4] = at;
        received[at]++;
    }
    CHECK(received[0] > 0 && received[1] > 0);
    struct netmap_ring *tx = nm_tx_ring(rings[1].nifp, 1);
    for (uint32_t n = 0; n < 100; n++) {
        CHECK(bed_put(tx, 1, 2, n));
        bed_sync(&rings[1], NIOCTXSYNC);
        CHECK_EQUAL(wire_get(wire, PATIENCE_MS), n);
    }
    int host = open_wire("nic0"); /* neither these frames nor the host's come back */
    wire_send(host, 1, 2, 1000);
    CHECK_EQUAL(wire_get(wire, PATIENCE_MS), 1000);
    CHECK_EQUAL(bed_poll(&rings[0], POLLIN, 0), 0);
    CHECK_EQUAL(bed_poll(&rings[1], POLLIN, 0), 0);
    close(host);
    bed_close(&rings[0]);
    bed_close(&rings[1]);
    NO_VIOLATIONS();
}

/* Two processes with a ring each: whichever reads the interface, the other gets what is its own. */
static void test_nic_of_two_processes(int wire)
{
    const uint32_t count = 40;
    struct bed_port p = bed_open_as("nic0", (struct nmreq_register){ .mode = NR_REG_ONE_NIC, .ringid = 0 });
    int told[2];
    char byte;
    uint32_t received = 0;
    CHECK_EQUAL(pipe(told), 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) { /* tells of each frame, until it is killed */
        struct bed_port other = bed_open_as("nic0", (struct nmreq_register){ .mode = NR_REG_ONE_NIC, .ringid = 1 });
        struct netmap_ring *rx = nm_rx_ring(other.nifp, 1);
        CHECK_EQUAL(write(told[1], "r", 1), 1);
        for (;;) {
            bed_poll(&other, POLLIN, PATIENCE_MS);
            while (bed_get(rx) >= 0)
                CHECK_EQUAL(write(told[1], "f", 1), 1);
        }
    }
    CHECK_EQUAL(read(told[0], &byte, 1), 1);
    for (uint32_t n = 0; n < count; n++) {
        wire_send(wire, 1, (uint8_t)(n % 4), n);
        struct pollfd fds[2] = { { .fd = p.fd, .events = POLLIN }, { .fd = told[0], .events = POLLIN } };
        CHECK_EQUAL(poll(fds, 2, PATIENCE_MS), 1);
        if (fds[0].revents != 0)
            CHECK_EQUAL(bed_get(p.rx), n);
        else
            CHECK_EQUAL(read(told[0], &byte, 1), 1);
        received += fds[0].revents != 0;
    }
    CHECK(received > 0 && received < count);
    kill_child(child);
    close(told[0]);
    close(told[1]);
    bed_close(&p);
    NO_VIOLATIONS();
}

static void test_tagged_frame(int wire)
{
    struct bed_port p = bed_open("nic0");
    uint8_t frame[FRAME_BYTES];
    bed_fill(frame, 1, 3, 9);
    const uint8_t tag[4] = { 0x81, 0x00, 0x20, 0x07 };
    memcpy(frame + 12, tag, 4);
    CHECK_EQUAL(send(wire, frame, sizeof(frame), 0), FRAME_BYTES);
    CHECK_EQUAL(bed_poll(&p, POLLIN, PATIENCE_MS), POLLIN);
    struct netmap_ring *rx = p.rx->head != p.rx->tail ? p.rx : nm_rx_ring(p.nifp, 1);
    CHECK_EQUAL(bed_slot(rx)->len, FRAME_BYTES);
    CHECK(memcmp(nm_buffer(rx, bed_slot(rx)->buf_idx), frame, sizeof(frame)) == 0);
    bed_close(&p);
    NO_VIOLATIONS();
}

/* A NIC and its pipes are one memory: a frame goes on into a pipe in the buffer it came in. */
static void test_nic_to_pipe(int wire)
{
    struct bed_port nic = bed_open("nic0"), to = bed_open("nic0{0"), end = bed_open("nic0}0");
    CHECK_EQUAL(to.request.mem_id, 1);
    wire_send(wire, 1, 2, 5);
    CHECK_EQUAL(bed_poll(&nic, POLLIN, PATIENCE_MS), POLLIN);
    struct netmap_ring *rx = nic.rx->head != nic.rx->tail ? nic.rx : nm_rx_ring(nic.nifp, 1);
    uint32_t index = bed_slot(rx)->buf_idx;
    bed_slot(to.tx)->len = bed_slot(rx)->len;
    exchange(bed_slot(rx), bed_slot(to.tx));
    bed_advance(rx);
    bed_advance(to.tx);
    bed_sync(&nic, NIOCRXSYNC);
    bed_sync(&to, NIOCTXSYNC);
    bed_sync(&end, NIOCRXSYNC);
    CHECK_EQUAL(bed_slot(end.rx)->buf_idx, index);
    CHECK_EQUAL(bed_get(end.rx), 5);
    bed_close(&nic);
    bed_close(&to);
    bed_close(&end);
    NO_VIOLATIONS();
}

/* While the link is down frames wait in the ring; when the interface is gone there are errors, and a new one is another. */
static void test_down_and_gone(int wire)
{
    struct bed_port p = bed_open("nic0");
    shell("ip link set nic0 down");
    for (uint32_t n = 0; n < 3; n++)
        CHECK(bed_put(p.tx, 1, 2, n));
    for (int i = 0; i < 3; i++)
        bed_sync(&p, NIOCTXSYNC);
    CHECK_EQUAL(usable(p.tx), SLOTS - 1 - 3);
    CHECK_EQUAL(bed_poll(&p, POLLIN, 0), 0);
    shell("ip link set nic0 up");
    for (int i = 0; i < PATIENCE_MS && usable(p.tx) < SLOTS - 1; i++) {
        bed_sync(&p, NIOCTXSYNC);
        poll(NULL, 0, 1);
    }
    for (uint32_t n = 0; n < 3; n++)
        CHECK_EQUAL(wire_get(wire, PATIENCE_MS), n);

    shell("ip link delete nic0");
    CHECK_EQUAL(bed_poll(&p, POLLIN, PATIENCE_MS), POLLERR);
    CHECK_EQUAL(ioctl(p.fd, NIOCRXSYNC), -1);
    CHECK_EQUAL(errno, ENXIO);
    struct bed_port other;
    CHECK_EQUAL(bed_try(&other, "nic0", all_nic), ENXIO);
    shell("ip link add nic0 type veth peer name wire1 && ip link set nic0 up && ip link set wire1 up");
    CHECK_EQUAL(bed_try(&other, "nic0", all_nic), 0);
    CHECK_EQUAL(bed_poll(&other, POLLOUT, 0), POLLOUT);
    CHECK(other.request.offset != p.request.offset);
    bed_close(&other);
    bed_close(&p);
    NO_VIOLATIONS();
}

static int test_interfaces(void)
{
    if (unshare(CLONE_NEWNET) != 0)
        return printf("needs root: network namespaces and raw sockets\n"), 77;
    shell("sysctl -qw net.ipv6.conf.default.disable_ipv6=1 2>/dev/null; ip link add nic0 type veth peer name wire0");
    shell("for i in nic0 wire0; do ip link set $i arp off multicast off; ip link set $i up; done");
    int wire = open_wire("wire0");
    test_modes();
    test_nic(wire);
    test_nic_of_two_processes(wire);
    test_tagged_frame(wire);
    test_nic_to_pipe(wire);
    test_down_and_gone(wire);
    close(wire);
    return 0;
}

/* ------------------------------------------------------------------------ */

static pid_t owner;

static void remove_folder(void)
{
    DIR *folder = owner == getpid() ? opendir(bed_folder) : NULL;
    char path[512];
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        snprintf(path, sizeof(path), "%s/%s", bed_folder, entry->d_name);
        unlink(path);
    }
    if (folder != NULL)
        closedir(folder);
    if (owner == getpid())
        rmdir(bed_folder);
}

/* Nothing stays: every descriptor is closed, only memory 1 is kept. */
static void check_left(void)
{
    DIR *folder = opendir(bed_folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        CHECK(strncmp(entry->d_name, "descriptor-", 11) != 0 &&
              (strncmp(entry->d_name, "memory-", 7) != 0 || strcmp(entry->d_name, "memory-1") == 0));
    closedir(folder);
}

int main(void)
{
    alarm(WATCHDOG_S);
    CHECK(mkdtemp(bed_folder) != NULL);
    owner = getpid();
    atexit(remove_folder);
    setenv("NETMAP_STAND_IN_SLOTS", "8", 1);
    setenv("NETMAP_STAND_IN_RINGS", "2", 1);
    setenv("NETMAP_STAND_IN_BUFFERS", "400", 1);
    test_without_folder();
    test_requests();
    test_register_errors();
    test_memory_runs_out();
    test_layout();
    test_pipe_both_ways();
    test_pipe_fills();
    test_zero_copy();
    test_extra_buffers();
    test_extra_buffers_kept();
    test_extra_buffer_in_a_ring();
    test_poll_syncs_own_rings();
    test_no_tx_poll();
    test_head_beyond_tail();
    test_unsound_slots();
    test_buffer_in_two_places();
    test_unannounced_exchange();
    test_kernel_slot_written();
    test_vale();
    test_two_processes();
    test_threads();
    test_killed_process();
    test_killed_within_a_move();
    test_inherited_descriptor();
    test_mapped_descriptor();
    check_left();
    int status = test_interfaces();
    check_left();
    return status;
}
