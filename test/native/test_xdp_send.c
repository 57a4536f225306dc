/*
 * test_xdp_send.c - sending by xdp against a kernel that this file plays: one that takes descriptors from the
 * ring whenever it likes, as in zero-copy mode, for which the machines that run the tests have no card.
 *
 * The driver's own tx.c is compiled in. Ends with 77 where libxdp's headers are not installed.
 */
#include <stdio.h>

#if __has_include(<xdp/xsk.h>)

#include "ports/xdp/tx.c"

#include "check.h"
#include "offer.h"
#include "ports/module.h"

enum { RING = 64, CHUNKS = 256, PACKET_BYTES_MAX = 9000, PACKETS = 48, ROUNDS = 20000 };

static struct {
    uint32_t producer, consumer, flags;
    struct xdp_desc ring[RING];
    uint32_t completed[CHUNKS]; /* chunks sent, not given back */
    uint32_t completed_count;
    uint64_t packets, bytes; /* sent */
    uint32_t length;         /* of a packet that is not whole yet */
} kernel;

static uint8_t memory[CHUNKS * XDP_CHUNK_BYTES];
static uint32_t free_chunks[CHUNKS];
static uint16_t references[CHUNKS];
static struct xdp_umem umem;
static struct xdp_queue queue;
static struct xdp_queue *queues[] = {&queue};
static struct xdp_port state;
static pb_counter counters[64];
static struct pb_port port;
static const struct pb_port_operations operations = {.tx_batch = pb_xdp_tx_batch};

/* The kernel sends up to `most` descriptors. */
static void kernel_takes(uint32_t most)
{
    for (; most > 0 && kernel.consumer != kernel.producer; most--, kernel.consumer++) {
        const struct xdp_desc *piece = &kernel.ring[kernel.consumer % RING];
        kernel.completed[kernel.completed_count++] = (uint32_t)(piece->addr >> XDP_CHUNK_SHIFT);
        kernel.length += piece->len;
        if (piece->options & XDP_PKT_CONTD)
            continue;
        kernel.packets++;
        kernel.bytes += kernel.length;
        kernel.length = 0;
    }
}

/* What the driver's other files do, without a kernel. */
void pb_xdp_look(struct pb_port *p, struct xdp_port *s)
{
    (void)p;
    (void)s;
}

void pb_xdp_queue_reap(struct xdp_queue *q)
{
    for (uint32_t i = 0; i < kernel.completed_count; i++)
        xdp_chunk_drop(q->umem, kernel.completed[i]);
    q->outstanding -= kernel.completed_count;
    kernel.completed_count = 0;
}

void pb_xdp_umem_reap(struct xdp_umem *u)
{
    pb_xdp_queue_reap(u->queues);
}

static void set_up(uint32_t tx_max)
{
    memset(&kernel, 0, sizeof(kernel));
    memset(counters, 0, sizeof(counters));
    memset(references, 0, sizeof(references));
    umem = (struct xdp_umem){.zerocopy = true, .multi_buffer = true, .queues = &queue, .memory = memory,
                             .bytes = sizeof(memory), .chunks = CHUNKS, .free = free_chunks, .references = references};
    while (umem.free_count < CHUNKS) {
        free_chunks[umem.free_count] = umem.free_count;
        umem.free_count++;
    }
    queue = (struct xdp_queue){.umem = &umem, .ring = RING, .tx_budget = RING, .tx_max = tx_max};
    queue.tx = (struct xsk_ring_prod){.cached_cons = RING, .mask = RING - 1, .size = RING, .producer = &kernel.producer,
                                      .consumer = &kernel.consumer, .ring = kernel.ring, .flags = &kernel.flags};
    state = (struct xdp_port){.mtu = 65535, .queues = queues, .count = 1};
    port = (struct pb_port){.driver = pb_port_driver_find("xdp"), .operations = &operations, .role = PB_PORT_OUTPUT,
                            .name = (char *)"b", .options = (char *)"", .counters = counters, .state = &state};
    CHECK(port.driver != NULL);
    pb_xdp_tx_open(&state);
}

static uint32_t next_random(uint32_t below)
{
    static uint32_t seed = 1;
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % below;
}

/* Packets of one chunk and of several, in batches that find the ring in any state. What the kernel took is what
 * was counted as sent, packets and bytes. */
static void test_count_what_a_fast_kernel_takes(void)
{
    static uint8_t data[PACKET_BYTES_MAX];
    static struct pb_packet packets[PACKETS];
    static uint16_t index[PACKETS];
    uint64_t accepted = 0;
    set_up(RING);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t count = 1 + next_random(PACKETS);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t bytes = 60 + next_random(next_random(4) == 0 ? PACKET_BYTES_MAX - 60 : 200);
            pb_packet_init(&packets[i], data, bytes, bytes, 1, PB_LINK_ETHERNET);
            index[i] = (uint16_t)i;
        }
        kernel_takes(next_random(2 * RING));
        if (next_random(2) == 0)
            pb_xdp_umem_reap(&umem); /* an input of the same engine looks for chunks */
        accepted += offer_packets(&port, packets, index, count, true);
        CHECK(umem.free_count + queue.outstanding == CHUNKS);
        CHECK(pb_counter_get(&counters[PB_PORT_TX_PACKETS]) <= kernel.packets);
    }
    kernel_takes(UINT32_MAX);
    pb_xdp_tx_kick(&port, &state);
    CHECK_EQUAL(kernel.packets, accepted);
    CHECK_EQUAL(pb_counter_get(&counters[PB_PORT_TX_PACKETS]), kernel.packets);
    CHECK_EQUAL(pb_counter_get(&counters[PB_PORT_TX_BYTES]), kernel.bytes);
    CHECK_EQUAL(pb_counter_get(&counters[PB_PORT_IN_FLIGHT]), 0);
    pb_xdp_umem_reap(&umem);
    CHECK_EQUAL(umem.free_count, CHUNKS);
}

int main(void)
{
    test_count_what_a_fast_kernel_takes();
    return 0;
}

#else

int main(void)
{
    printf("skipped: no headers of libxdp; install libxdp-dev\n");
    return 77;
}

#endif
