/*
 * test_netmap.c - the driver netmap: its pool of extra buffers against a model of it, and its
 * ports against a kernel of the test's own (netmap_kernel.h), which can also lie.
 * What two processes and a whole engine do is tested live (test/live/netmap.test.ts).
 */
#include <pthread.h>

#include "netmap_kernel.h"

#include "holdings.h"
#include "ports/netmap/netmap_port.h"

/* ------------------------------------------------------------------------ pool */

#define POOL_BUFFERS 40
#define POOL_QUEUES 4

static uint32_t listed_count(const uint8_t *buffers, uint32_t head)
{
    uint32_t count = 0;
    for (; head != 0; count++)
        memcpy(&head, buffers + (size_t)head * 64, sizeof(head));
    return count;
}

/* Queues as arrays of packet numbers. What the pool does is predicted from its own description. */
struct model {
    uint32_t packets[POOL_QUEUES][POOL_BUFFERS];
    uint32_t counts[POOL_QUEUES];
    uint32_t taken_back[POOL_QUEUES];
};

static void model_drop_first(struct model *m, uint32_t q)
{
    memmove(&m->packets[q][0], &m->packets[q][1], --m->counts[q] * sizeof(uint32_t));
}

/* Whether there is a buffer for one more packet of queue q, once the longest has given up what it has to. */
static bool model_take(struct model *m, uint32_t q)
{
    uint32_t total = 0, longest = 0;
    for (uint32_t i = 0; i < POOL_QUEUES; i++) {
        total += m->counts[i];
        longest = m->counts[i] > m->counts[longest] ? i : longest;
    }
    if (total < POOL_BUFFERS)
        return true;
    if (m->counts[longest] < m->counts[q] + 2)
        return false;
    for (uint32_t n = (m->counts[longest] - m->counts[q] + 3) / 4; n > 0; n--) {
        m->taken_back[longest]++;
        model_drop_first(m, longest);
    }
    return true;
}

static void test_pool_against_model(void)
{
    static uint8_t buffers[(POOL_BUFFERS + 2) * 64] __attribute__((aligned(64)));
    struct pb_netmap_pool pool = {
        .buffers = buffers, .buffer_bytes = 64, .buffers_count = POOL_BUFFERS + 2, .free = PB_NETMAP_NONE};
    struct pb_netmap_queue queues[POOL_QUEUES];
    struct model model = {0};
    uint32_t head = 0, listed = 0;
    for (uint32_t i = 2; i < POOL_BUFFERS + 2; i++) {
        memcpy(buffers + (size_t)i * 64, &head, sizeof(head));
        head = i;
    }
    CHECK_EQUAL(pb_netmap_pool_adopt(&pool, &head, POOL_BUFFERS), POOL_BUFFERS);
    CHECK_EQUAL(head, 0);
    pb_netmap_pool_list(&pool, &listed);
    /* The pool finds the longest from the last added on: of equals the model's first wins, if added last. */
    for (uint32_t q = POOL_QUEUES; q-- > 0;)
        pb_netmap_queue_add(&pool, &queues[q]);
    uint32_t random = 1, number = 1;
    for (uint32_t step = 0; step < 200000; step++) {
        random = random * 1103515245 + 12345;
        uint32_t q = random >> 16 & 3, longer = step / 5000 % 2; /* now fill up, now drain */
        if ((random >> 20) % 3 < 1 + longer) {
            uint32_t extra = pb_netmap_pool_take(&pool, &queues[q]);
            CHECK_EQUAL(extra != PB_NETMAP_NONE, model_take(&model, q));
            if (extra == PB_NETMAP_NONE)
                continue;
            memcpy(pb_netmap_buffer(&pool, pool.extras[extra].buffer), &number, sizeof(number));
            pb_netmap_queue_put(&pool, &queues[q], extra);
            model.packets[q][model.counts[q]++] = number++;
        } else if (queues[q].count > 0) {
            uint32_t first;
            memcpy(&first, pb_netmap_buffer(&pool, pool.extras[queues[q].first].buffer), sizeof(first));
            CHECK_EQUAL(first, model.packets[q][0]);
            pb_netmap_queue_drop_first(&pool, &queues[q]);
            model_drop_first(&model, q);
        }
        for (uint32_t i = 0; i < POOL_QUEUES; i++) {
            CHECK_EQUAL(queues[i].count, model.counts[i]);
            CHECK_EQUAL(queues[i].taken_back, model.taken_back[i]);
        }
        /* Were this process to end now, the kernel would find all free buffers. */
        CHECK_EQUAL(listed_count(buffers, listed), POOL_BUFFERS - pool.queued);
    }
    CHECK(model.taken_back[0] > 0 && model.taken_back[3] > 0);
    for (uint32_t q = 0; q < POOL_QUEUES; q++)
        CHECK_EQUAL(pb_netmap_queue_remove(&pool, &queues[q]), model.counts[q]);
    CHECK_EQUAL(listed_count(buffers, listed), POOL_BUFFERS);
    pb_netmap_pool_list(&pool, NULL);
    CHECK_EQUAL(listed, 0);
    uint32_t other = head = 0;
    pb_netmap_pool_give(&pool, &head, POOL_BUFFERS - 3);
    pb_netmap_pool_give(&pool, &other, POOL_BUFFERS);
    CHECK_EQUAL(listed_count(buffers, head), POOL_BUFFERS - 3);
    CHECK_EQUAL(listed_count(buffers, other), 3);
    pb_netmap_pool_free(&pool);
}

/* A list that leads out of the memory, or round in a circle, is followed as far as it can be. */
static void test_pool_with_broken_list(void)
{
    static uint8_t buffers[8 * 64] __attribute__((aligned(64)));
    struct pb_netmap_pool pool = {.buffers = buffers, .buffer_bytes = 64, .buffers_count = 8, .free = PB_NETMAP_NONE};
    uint32_t head = 3, next = 9;
    memcpy(buffers + 3 * 64, &next, sizeof(next));
    CHECK_EQUAL(pb_netmap_pool_adopt(&pool, &head, 8), 1);
    head = next = 4;
    memcpy(buffers + 4 * 64, &next, sizeof(next));
    CHECK_EQUAL(pb_netmap_pool_adopt(&pool, &head, 2), 2);
    pb_netmap_pool_free(&pool);
}

/* ----------------------------------------------------------------------- ports */

#define BATCH 8
#define FRAME_BYTES 60

static struct pb_error error;

struct test_port {
    struct pb_port port;
    pb_counter counters[32];
    uint32_t output_changes;
    struct pb_packet packets[BATCH + 1]; /* of an input's batch, and one copy of a brick */
    uint32_t count;
};

static int port_try(struct test_port *t, enum pb_port_role role, int engine, const char *name, const char *options)
{
    memset(t, 0, sizeof(*t));
    t->port = (struct pb_port){.driver = pb_port_driver_find("netmap"),
                               .role = role,
                               .name = (char *)(uintptr_t)name,
                               .options = (char *)(uintptr_t)options,
                               .queue_id = -1,
                               .batch_packets = BATCH,
                               .engine_name = "test",
                               .engine_handle = engine,
                               .engine_wake_fd = -1,
                               .counters = t->counters,
                               .output_changes = &t->output_changes};
    pb_port_label(&t->port, "netmap", name);
    t->port.operations = t->port.driver->operations;
    return t->port.operations->open(&t->port, &error);
}

static void port_open(struct test_port *t, enum pb_port_role role, const char *name, const char *options)
{
    if (port_try(t, role, 1, name, options) != 0)
        fprintf(stderr, "%s\n", error.text);
    CHECK(t->port.state != NULL);
}

static void port_close(struct test_port *t)
{
    t->port.operations->close(&t->port);
    CHECK(t->port.state == NULL);
}

static uint64_t own(const struct test_port *t, uint32_t which)
{
    return pb_counter_get(&t->counters[PB_PORT_COUNTERS + which]);
}

static uint64_t common(const struct test_port *t, uint32_t which)
{
    return pb_counter_get(&t->counters[which]);
}

/* A frame that says its number. */
static void receive(uint32_t port, uint32_t ring, uint8_t number)
{
    uint8_t frame[FRAME_BYTES];
    memset(frame, number, sizeof(frame));
    CHECK(kernel_receive(port, ring, frame, sizeof(frame)));
}

static uint32_t rx(struct test_port *input)
{
    return input->count = input->port.operations->rx_batch(&input->port, input->packets, BATCH);
}

/* Give the slots back: the next sync hands them over. */
static void release(struct test_port *input)
{
    input->port.operations->rx_release(&input->port);
    CHECK_EQUAL(input->port.operations->rx_batch(&input->port, input->packets, BATCH), 0);
}

static const uint16_t all[BATCH + 1] = {0, 1, 2, 3, 4, 5, 6, 7, 8};

static uint32_t tx(struct test_port *output, struct test_port *input, uint32_t count, bool sole, bool may_wait)
{
    const struct pb_tx batch = {.packets = input->packets, .index = all, .count = count, .lent = BATCH,
                                .from = &input->port, .sole = sole, .may_wait = may_wait};
    return output->port.operations->tx_batch(&output->port, &batch);
}

/* What an output has been offered is all accounted for. */
static void check_accounts(const struct test_port *output, uint64_t offered)
{
    uint64_t ended = common(output, PB_PORT_TX_PACKETS) + common(output, PB_PORT_IN_FLIGHT);
    for (uint32_t i = PB_NETMAP_TX_FULL; i < PB_NETMAP_COUNTERS; i++)
        ended += own(output, i);
    CHECK_EQUAL(ended, offered);
}

/* Which number the frame shows that was sent as the i-th since `from`, by a port. */
static void check_sent(uint32_t i, uint32_t port, uint8_t number)
{
    CHECK(i < kernel.sent_count);
    CHECK_EQUAL(kernel.sent[i].port, port);
    CHECK_EQUAL(kernel.sent[i].length, FRAME_BYTES);
    CHECK_EQUAL(kernel.sent[i].data[0], number);
    CHECK_EQUAL(kernel.sent[i].data[FRAME_BYTES - 1], number);
}

static void test_swaps_and_copies(void)
{
    struct test_port output, input;
    kernel.sent_count = 0;
    port_open(&output, PB_PORT_OUTPUT, "nic0{0", "extra_buffers=0");
    port_open(&input, PB_PORT_INPUT, "nic0", "extra_buffers=0");
    uint32_t nic = kernel_port("nic0"), pipe = kernel_port("nic0{0");
    uint32_t place = kernel_ring(nic, 0, 0)->head;
    struct netmap_slot *slots = kernel_ring(nic, 0, 0)->slots;
    for (uint8_t i = 1; i <= 3; i++)
        receive(nic, 0, i);
    CHECK_EQUAL(rx(&input), 3);
    CHECK_EQUAL(kernel_ring(nic, 0, 0)->head, place); /* the slots are ours until release */
    uint32_t held[3] = {slots[place].buf_idx, slots[place + 1].buf_idx, slots[place + 2].buf_idx};
    CHECK_EQUAL(tx(&output, &input, 3, true, false), 3);
    for (uint32_t i = 0; i < 3; i++) {
        check_sent(i, pipe, (uint8_t)(i + 1));
        CHECK_EQUAL(kernel.sent[i].buffer, held[i]);
        CHECK(slots[place + i].buf_idx != held[i]);
        CHECK_EQUAL(slots[place + i].flags, NETMAP_SLOT_BUF_CHANGED);
    }
    release(&input);
    CHECK_EQUAL(kernel_ring(nic, 0, 0)->head, place + 3);
    CHECK_EQUAL(own(&output, PB_NETMAP_SWAPPED), 3);

    /* Others see it too: copied. So is what a brick has made, and what it has cut off in front. */
    place += 3;
    receive(nic, 0, 4);
    receive(nic, 0, 5);
    CHECK_EQUAL(rx(&input), 2);
    held[0] = slots[place].buf_idx;
    held[1] = slots[place + 1].buf_idx;
    CHECK_EQUAL(tx(&output, &input, 1, false, false), 1);
    check_sent(3, pipe, 4);
    CHECK(kernel.sent[3].buffer != held[0]);
    input.packets[0].data += 10;
    input.packets[0].captured_len = input.packets[0].wire_len = FRAME_BYTES - 10;
    CHECK_EQUAL(tx(&output, &input, 1, true, false), 1);
    CHECK_EQUAL(kernel.sent[4].length, FRAME_BYTES - 10);
    uint8_t made[FRAME_BYTES];
    memset(made, 77, sizeof(made));
    pb_packet_init(&input.packets[BATCH], made, FRAME_BYTES, FRAME_BYTES, 0, PB_LINK_ETHERNET);
    const uint16_t copy = BATCH;
    const struct pb_tx batch = {
        .packets = input.packets, .index = &copy, .count = 1, .lent = BATCH, .from = &input.port, .sole = true};
    CHECK_EQUAL(output.port.operations->tx_batch(&output.port, &batch), 1);
    check_sent(5, pipe, 77);
    CHECK_EQUAL(slots[place].buf_idx, held[0]);
    CHECK_EQUAL(slots[place + 1].buf_idx, held[1]);
    CHECK_EQUAL(own(&output, PB_NETMAP_SWAPPED), 3);
    release(&input);
    check_accounts(&output, 6);
    port_close(&output);
    port_close(&input);
    kernel_check_buffers(0, 0);
}

static void test_refuses_what_cannot_be_sent(void)
{
    struct test_port output, input;
    port_open(&output, PB_PORT_OUTPUT, "nic0{0", "extra_buffers=0");
    port_open(&input, PB_PORT_INPUT, "nic0", "extra_buffers=0");
    static uint8_t bytes[4096];
    pb_packet_init(&input.packets[0], bytes, KERNEL_BUFFER_BYTES, KERNEL_BUFFER_BYTES, 0, PB_LINK_ETHERNET);
    pb_packet_init(&input.packets[1], bytes, KERNEL_BUFFER_BYTES + 1, KERNEL_BUFFER_BYTES + 1, 0, PB_LINK_ETHERNET);
    pb_packet_init(&input.packets[2], bytes, 13, 13, 0, PB_LINK_ETHERNET);
    pb_packet_init(&input.packets[3], bytes, 60, 61, 0, PB_LINK_ETHERNET);
    pb_packet_init(&input.packets[4], bytes, 60, 60, 0, PB_LINK_RAW);
    const struct pb_tx batch = {.packets = input.packets, .index = all, .count = 5, .from = &input.port};
    CHECK_EQUAL(output.port.operations->tx_batch(&output.port, &batch), 5);
    CHECK_EQUAL(common(&output, PB_PORT_TX_PACKETS), 1);
    CHECK_EQUAL(common(&output, PB_PORT_TX_BYTES), KERNEL_BUFFER_BYTES);
    for (uint32_t reason = PB_NETMAP_TOO_LONG; reason <= PB_NETMAP_LINK_TYPE; reason++)
        CHECK_EQUAL(own(&output, reason), 1);
    check_accounts(&output, 5);
    port_close(&output);
    port_close(&input);
}

/* The queue between two: what comes in by ring 1 goes out by ring 1, both ways through one registration. */
static void test_rings_of_an_interface(void)
{
    struct test_port output, input, other;
    kernel.sent_count = 0;
    port_open(&output, PB_PORT_OUTPUT, "nic0", "extra_buffers=0");
    port_open(&input, PB_PORT_INPUT, "nic0", "extra_buffers=0");
    CHECK_EQUAL(((struct pb_netmap_rx *)input.port.state)->device == ((struct pb_netmap_tx *)output.port.state)->device, 1);
    uint32_t nic = kernel_port("nic0");
    for (uint8_t i = 0; i < 6; i++)
        receive(nic, i % 2, i);
    CHECK_EQUAL(rx(&input), 6);
    CHECK_EQUAL(tx(&output, &input, 6, true, false), 6);
    release(&input);
    CHECK_EQUAL(kernel.sent_count, 6);
    for (uint32_t i = 0; i < 6; i++)
        CHECK_EQUAL(kernel.sent[i].data[0] % 2, kernel.sent[i].ring);
    CHECK_EQUAL(port_try(&other, PB_PORT_INPUT, 2, "nic0", "queue=1"), -EBUSY);
    CHECK(strstr(error.text, "port \"netmap:nic0\": cannot open for input: another port reads its rings") != NULL);
    port_close(&output);
    port_close(&input);

    port_open(&input, PB_PORT_INPUT, "nic0", "queue=0");
    CHECK_EQUAL(port_try(&other, PB_PORT_INPUT, 2, "nic0", "queue=0"), -EBUSY);
    CHECK_EQUAL(port_try(&other, PB_PORT_INPUT, 2, "nic0", "queue=1"), 0);
    receive(nic, 1, 9);
    CHECK_EQUAL(rx(&input), 0);
    CHECK_EQUAL(rx(&other), 1);
    CHECK_EQUAL(other.packets[0].data[0], 9);
    release(&other);
    port_close(&input);
    port_close(&other);
    CHECK_EQUAL(port_try(&input, PB_PORT_INPUT, 1, "nic0", "queue=2"), -EINVAL);
    CHECK(strstr(error.text, "netmap refuses queue 2; use one that the interface has (ethtool -l), or all of them") != NULL);
}

/* A source that can wait is told how far it got, and loses nothing. */
static void test_waiting(void)
{
    struct test_port output, input;
    struct pb_wait wait;
    port_open(&output, PB_PORT_OUTPUT, "nic0{0", "extra_buffers=0");
    port_open(&input, PB_PORT_INPUT, "nic0{1", "pausable=1&extra_buffers=0");
    CHECK(input.port.pausable && input.port.endless);
    uint32_t from = kernel_port("nic0{1"), to = kernel_port("nic0{0");
    kernel.sent_count = 0;
    kernel.deaf[to] = true;
    uint32_t taken = 0, offered = 0;
    for (uint8_t round = 0; round < 2; round++) {
        for (uint8_t i = 0; i < BATCH; i++)
            receive(from, 0, (uint8_t)(round * BATCH + i));
        CHECK_EQUAL(rx(&input), BATCH);
        offered += BATCH;
        taken += tx(&output, &input, BATCH, true, true);
        if (round == 0)
            release(&input);
    }
    CHECK_EQUAL(offered - taken, 1); /* KERNEL_SLOTS - 1 have room */
    CHECK(output.port.operations->wait(&output.port, &wait));
    CHECK(wait.fd >= 0 && wait.events == POLLOUT);
    CHECK(output.port.operations->undelivered(&output.port));
    kernel.deaf[to] = false;
    CHECK(!output.port.operations->wait(&output.port, &wait));
    const uint16_t last = BATCH - 1;
    const struct pb_tx rest = {
        .packets = input.packets, .index = &last, .count = 1, .lent = BATCH, .from = &input.port, .sole = true, .may_wait = true};
    CHECK_EQUAL(output.port.operations->tx_batch(&output.port, &rest), 1);
    release(&input);
    CHECK(!output.port.operations->undelivered(&output.port));
    for (uint32_t i = 0; i < 2 * BATCH; i++)
        check_sent(i, to, (uint8_t)i);
    check_accounts(&output, 2 * BATCH);
    port_close(&output);
    port_close(&input);
    kernel_check_buffers(0, 0);
}

/* A dead reader takes what the pool has; a burst to a living one gets its share of it back. */
static void test_extra_buffers(void)
{
    struct test_port dead, living, input;
    port_open(&dead, PB_PORT_OUTPUT, "nic0{0", "extra_buffers=24");
    port_open(&living, PB_PORT_OUTPUT, "nic0{1", "extra_buffers=24"); /* the same 24 */
    port_open(&input, PB_PORT_INPUT, "nic0", "extra_buffers=24");
    uint32_t nic = kernel_port("nic0"), dead_port = kernel_port("nic0{0"), port = kernel_port("nic0{1");
    struct pb_netmap_device *device = ((struct pb_netmap_tx *)dead.port.state)->device;
    kernel.deaf[dead_port] = kernel.deaf[port] = true;
    kernel.sent_count = 0;
    uint32_t sent_dead = 0, sent_living = 0;
    for (uint32_t round = 0; round < 8; round++) {
        for (uint8_t i = 0; i < BATCH; i++)
            receive(nic, 0, (uint8_t)(sent_dead + i));
        CHECK_EQUAL(rx(&input), BATCH);
        CHECK_EQUAL(tx(&dead, &input, BATCH, round % 2 == 0, false), BATCH);
        release(&input);
        sent_dead += BATCH;
        check_accounts(&dead, sent_dead);
    }
    CHECK_EQUAL(common(&dead, PB_PORT_IN_FLIGHT), 24);
    CHECK_EQUAL(own(&dead, PB_NETMAP_TX_FULL), sent_dead - 24 - (KERNEL_SLOTS - 1));
    kernel_check_buffers(device->shared->bufs_head, 0);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint8_t i = 0; i < BATCH; i++)
            receive(nic, 1, (uint8_t)(100 + sent_living + i));
        CHECK_EQUAL(rx(&input), BATCH);
        CHECK_EQUAL(tx(&living, &input, BATCH, true, false), BATCH);
        release(&input);
        sent_living += BATCH;
        check_accounts(&living, sent_living);
    }
    CHECK_EQUAL(common(&living, PB_PORT_IN_FLIGHT), sent_living - (KERNEL_SLOTS - 1)); /* not one lost */
    dead.port.operations->tick(&dead.port);
    CHECK(own(&dead, PB_NETMAP_TAKEN_BACK) >= sent_living - (KERNEL_SLOTS - 1));
    check_accounts(&dead, sent_dead);
    kernel.deaf[port] = false;
    struct pb_wait wait;
    CHECK(living.port.operations->wait(&living.port, &wait)); /* all of it moves on */
    CHECK_EQUAL(common(&living, PB_PORT_IN_FLIGHT), 0);
    CHECK_EQUAL(kernel.sent_count, sent_living);
    for (uint32_t i = 0; i < sent_living; i++)
        check_sent(i, port, (uint8_t)(100 + i));
    /* And behind what has waited, nothing is stranded: the next batch goes straight through. */
    receive(nic, 0, 7);
    CHECK_EQUAL(rx(&input), 1);
    CHECK_EQUAL(tx(&living, &input, 1, true, false), 1);
    check_sent(sent_living, port, 7);
    release(&input);
    port_close(&dead);
    check_accounts(&dead, sent_dead);
    port_close(&living);
    kernel_check_buffers(device->shared->bufs_head, 24);
    const struct netmap_if *nif = kernel_if(device->fd);
    port_close(&input);
    kernel_check_buffers(nif->bufs_head, 24);
    kernel_free_extras(nif->bufs_head);
    kernel.deaf[dead_port] = false;
}

/* What another program can write into the memory costs packets at the most. */
static void test_nonsense_in_rings(void)
{
    struct test_port output, input;
    port_open(&output, PB_PORT_OUTPUT, "nic0{0", "extra_buffers=0");
    port_open(&input, PB_PORT_INPUT, "nic0", "extra_buffers=0");
    uint32_t nic = kernel_port("nic0"), pipe = kernel_port("nic0{0");
    struct netmap_ring *ring = kernel_ring(nic, 0, 0);
    uint32_t place = ring->head, good = ring->slots[(place + 1) % KERNEL_SLOTS].buf_idx;
    for (uint8_t i = 0; i < 4; i++)
        receive(nic, 0, i);
    ring->slots[(place + 1) % KERNEL_SLOTS].buf_idx = KERNEL_BUFFERS;
    ring->slots[(place + 2) % KERNEL_SLOTS].len = KERNEL_BUFFER_BYTES + 1;
    CHECK_EQUAL(rx(&input), 2);
    CHECK_EQUAL(input.packets[0].data[0], 0);
    CHECK_EQUAL(input.packets[1].data[0], 3);
    CHECK_EQUAL(own(&input, PB_NETMAP_RX_INVALID), 2);
    /* Written while the packet is lent: what was checked is what is sent. */
    kernel.sent_count = 0;
    uint32_t held = ring->slots[place].buf_idx;
    ring->slots[place].buf_idx = UINT32_MAX;
    CHECK_EQUAL(tx(&output, &input, 1, true, false), 1);
    check_sent(0, pipe, 0);
    ring->slots[place].buf_idx = held;
    release(&input);
    ring->slots[(place + 1) % KERNEL_SLOTS].buf_idx = good;

    /* A ring whose end is nowhere is left alone, the other one is not. */
    kernel.filled[nic][0][0] = KERNEL_SLOTS;
    receive(nic, 1, 5);
    CHECK_EQUAL(rx(&input), 1);
    release(&input);
    kernel.filled[nic][0][0] = ring->head;
    CHECK_EQUAL(rx(&input), 0);

    /* A send ring's slot without a buffer. */
    receive(nic, 1, 6);
    CHECK_EQUAL(rx(&input), 1);
    struct netmap_ring *sends = kernel_ring(pipe, 1, 0);
    good = sends->slots[sends->head].buf_idx;
    sends->slots[sends->head].buf_idx = KERNEL_BUFFERS + 5;
    CHECK_EQUAL(tx(&output, &input, 1, true, false), 1);
    CHECK_EQUAL(own(&output, PB_NETMAP_TX_ERROR), 1);
    sends->slots[sends->head].buf_idx = good;
    release(&input);
    check_accounts(&output, 2);
    port_close(&output);
    port_close(&input);
    kernel_check_buffers(0, 0);
}

static void test_gone_while_running(void)
{
    struct test_port output, input;
    struct pb_wait wait;
    port_open(&output, PB_PORT_OUTPUT, "nic0{0", "extra_buffers=8");
    port_open(&input, PB_PORT_INPUT, "nic0", "extra_buffers=0");
    receive(kernel_port("nic0"), 0, 1);
    CHECK_EQUAL(rx(&input), 1);
    kernel.sync_refusal = ENXIO;
    CHECK_EQUAL(tx(&output, &input, 1, true, false), 1);
    CHECK_EQUAL(tx(&output, &input, 1, false, false), 1);
    release(&input);
    CHECK_EQUAL(own(&output, PB_NETMAP_TX_ERROR), 2);
    check_accounts(&output, 2);
    CHECK_EQUAL(rx(&input), 0);
    CHECK(input.port.operations->wait(&input.port, &wait));
    CHECK_EQUAL(wait.fd, -1); /* nothing will come: sleep */
    kernel.sync_refusal = 0;
    const struct netmap_if *nif = kernel_if(((struct pb_netmap_tx *)output.port.state)->device->fd);
    port_close(&input);
    port_close(&output);
    kernel_check_buffers(nif->bufs_head, 8);
    kernel_free_extras(nif->bufs_head);
}

static void check_refusal(int code, const char *remedy)
{
    struct test_port port;
    CHECK_EQUAL(port_try(&port, PB_PORT_INPUT, 1, "nic0", ""), -code);
    CHECK(strstr(error.text, "port \"netmap:nic0\": ") != NULL);
    if (strstr(error.text, remedy) == NULL)
        fprintf(stderr, "%s\n", error.text);
    CHECK(strstr(error.text, remedy) != NULL);
    CHECK(port.port.state == NULL);
}

static void test_errors_say_what_to_do(void)
{
    static const struct { int code; const char *remedy; } refusals[] = {
        {ENXIO, "have: lo"}, {EBUSY, "end that one"}, {ENOMEM, "raise buf_num"}, {EOPNOTSUPP, "admode"},
        {EPERM, "run as root"}, {EINVAL, "kernel log"}, {EIO, "kernel log"},
    };
    for (uint32_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        kernel.refusal = refusals[i].code;
        check_refusal(kernel.refusal, refusals[i].remedy);
    }
    kernel.refusal = 0;
    kernel.missing = ENOENT;
    check_refusal(ENOENT, "modprobe netmap");
    CHECK_EQUAL(pb_driver_probe("netmap", &error), -ENOENT);
    kernel.missing = EACCES;
    check_refusal(EACCES, "run as root");
    kernel.missing = 0;
    CHECK_EQUAL(pb_driver_probe("netmap", &error), 0);
    struct test_port port;
    CHECK_EQUAL(port_try(&port, PB_PORT_INPUT, 1, "a-name-of-more-than-63-bytes-which-netmap-has-no-room-for-in-its-header", ""),
                -ENAMETOOLONG);
}

static void test_nothing_is_left(void)
{
    uint32_t fds = count_entries("/proc/self/fd"), maps_before = 0, maps = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        struct test_port output, pipe, input;
        port_open(&output, PB_PORT_OUTPUT, "nic0", "extra_buffers=0");
        port_open(&pipe, PB_PORT_OUTPUT, "nic0{0", "extra_buffers=8");
        port_open(&input, PB_PORT_INPUT, "nic0", "extra_buffers=8"); /* the same 8 */
        const struct netmap_if *nif = kernel_if(((struct pb_netmap_tx *)pipe.port.state)->device->fd);
        port_close(&output);
        port_close(&pipe);
        port_close(&input);
        kernel_check_buffers(nif->bufs_head, 8); /* where they came from */
        kernel_free_extras(nif->bufs_head);
        if (i == 0)
            maps_before = count_entries("/proc/self/map_files");
    }
    maps = count_entries("/proc/self/map_files");
    CHECK_EQUAL(maps, maps_before);
    CHECK_EQUAL(count_entries("/proc/self/fd"), fds);
}

static struct netmap_slot *written_over;
static uint32_t right_index;
static _Atomic bool enough;

static void *write_over(void *arg)
{
    while (!enough) {
        __atomic_store_n(&written_over->buf_idx, right_index, __ATOMIC_RELAXED);
        __atomic_store_n(&written_over->buf_idx, UINT32_MAX / 2, __ATOMIC_RELAXED);
    }
    return arg;
}

/* Another program writes a slot's index while its packet is sent: what was checked is what is used. The kernel's model
 * copies from the buffer that it is told, which ends this program if that is none. */
static void test_index_changes_while_it_is_used(void)
{
    struct test_port output, input;
    pthread_t thread;
    port_open(&output, PB_PORT_OUTPUT, "nic0{0", "extra_buffers=0");
    port_open(&input, PB_PORT_INPUT, "nic0", "extra_buffers=0");
    uint32_t nic = kernel_port("nic0");
    written_over = &kernel_ring(nic, 0, 0)->slots[kernel_ring(nic, 0, 0)->head];
    receive(nic, 0, 1);
    CHECK_EQUAL(rx(&input), 1);
    right_index = written_over->buf_idx;
    CHECK_EQUAL(pthread_create(&thread, NULL, write_over, NULL), 0);
    while (own(&output, PB_NETMAP_SWAPPED) < 300000) {
        kernel.sent_count = 0;
        CHECK_EQUAL(tx(&output, &input, 1, true, false), 1);
        CHECK(kernel.sent_count > 0);
        for (uint32_t i = 0; i < kernel.sent_count; i++)
            CHECK(kernel.sent[i].buffer < KERNEL_BUFFERS);
    }
    enough = true;
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
    written_over->buf_idx = right_index;
    release(&input);
    port_close(&output);
    port_close(&input);
}

int main(void)
{
    test_pool_against_model();
    test_pool_with_broken_list();
    kernel_boot();
    test_swaps_and_copies();
    test_refuses_what_cannot_be_sent();
    test_rings_of_an_interface();
    test_waiting();
    test_extra_buffers();
    test_nonsense_in_rings();
    test_gone_while_running();
    test_errors_say_what_to_do();
    test_nothing_is_left();
    test_index_changes_while_it_is_used(); /* last: the model's buffers are in disorder then */
    return 0;
}
