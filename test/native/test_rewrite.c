/*
 * test_rewrite.c - packets that bricks change: nobody else sees the change, whatever the
 * graph, and order and accounts hold. Mostly against a model in which every packet is a
 * value, over random graphs; and FlowGen's mapping byte by byte. Also under ASan and TSan.
 */
#include <errno.h>
#include <unistd.h>

#include "../bricks/load_balancer/load_balancer.h"
#include "core/hash.h"
#include "rewrite_bed.h"

static struct pb_error error;

/* FlowGen's options as flow_gen.ts packs them. */
struct flow_gen_config {
    uint32_t id, tuple;
    uint16_t prefix;
    uint8_t software, trailer;
};

static struct flow_gen_config flow_gen_of(uint32_t id)
{
    return (struct flow_gen_config){.id = id, .tuple = 2, .prefix = 0xbeef};
}

static int add_flow_gen(int engine, struct flow_gen_config config)
{
    return pb_engine_add_brick(engine, "FlowGen", (const uint8_t *)&config, sizeof(config), 0, 1, 0, &error);
}

static int make_engine(uint32_t batch, const char *input_options)
{
    int engine = pb_engine_create("r", 64, -1, batch, &error);
    CHECK(engine > 0);
    CHECK(pb_engine_add_input(engine, "bed", "", input_options, -1, &error) == 0);
    return engine;
}

static void connect_output(int engine, uint32_t brick, uint32_t output, const char *options)
{
    int number = (int)pb_engine_find(engine)->outputs_count;
    char name[16];
    snprintf(name, sizeof(name), "%d", number);
    CHECK(pb_engine_add_output(engine, "bed", name, options, &error) == number);
    CHECK(pb_engine_connect_output(engine, brick, output, (uint32_t)number, &error) == 0);
}

/* From start to its end, accounts checked. */
static void run_engine(int engine)
{
    if (pb_engine_start(engine, &error) < 0)
        fprintf(stderr, "%s\n", error.text);
    CHECK(pb_engine_state(engine) >= PB_ENGINE_RUNNING);
    while (pb_engine_state(engine) != PB_ENGINE_FINISHED)
        usleep(100);
    CHECK(pb_engine_stop(engine, &error) == 0);
    check_accounts(engine);
}

/* The addresses that the last FlowGen of `id` has left; 0: the original ones. */
static void expect_macs(const struct bed_record *record, uint32_t number, uint32_t id)
{
    const struct bed_frame *frame = &bed_frames[number];
    uint8_t macs[12];
    memcpy(macs, frame->bytes, sizeof(macs));
    if (id != 0) {
        uint32_t hash = toeplitz_bits(frame->bytes + 26, 8);
        memcpy(macs, (const uint8_t[]){0xbe, 0xef, (uint8_t)hash, (uint8_t)(hash >> 8), (uint8_t)(hash >> 16),
                                       (uint8_t)(hash >> 24), 0xba, 0xda, 0x55, 0, (uint8_t)(id >> 8), (uint8_t)id},
               sizeof(macs));
    }
    CHECK(memcmp(record->head, macs, sizeof(macs)) == 0);
    CHECK(memcmp(record->head + 12, frame->bytes + 12, BED_HEAD_BYTES < frame->captured_len ? BED_HEAD_BYTES - 12
                                                                                             : frame->captured_len - 12) == 0);
    CHECK(memcmp(record->tail, frame->bytes + frame->captured_len - 12, 12) == 0);
    CHECK_EQUAL(record->captured_len, frame->captured_len);
    CHECK_EQUAL(record->wire_len, frame->wire_len);
}

/* ------------------------------------------------------------------ the model */

#define NODES_MAX 8
#define EDGES_MAX 2

enum kind { DUMMY, DUPLICATOR, BALANCER, FLOW_GEN, KINDS };

/* A random graph: node i's outputs lead to later nodes, or to outputs (to = -1, counted up). */
struct graph {
    uint32_t nodes;
    struct {
        enum kind kind;
        uint32_t outputs;
        int to[EDGES_MAX];
        int output[EDGES_MAX];
    } node[NODES_MAX];
};

/* Some packets of one number that are at one place, by who changed them last, in order. */
struct bunch {
    uint32_t count;
    uint16_t ids[BED_RECORDS_MAX / BED_FRAMES_MAX * 8];
};

static uint32_t random_below(uint32_t *seed, uint32_t limit)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)*seed * limit >> 32);
}

static void add(struct bunch *to, uint16_t id)
{
    CHECK(to->count < sizeof(to->ids) / sizeof(to->ids[0]));
    to->ids[to->count++] = id;
}

static struct graph random_graph(uint32_t *seed)
{
    struct graph graph = {.nodes = 2 + random_below(seed, NODES_MAX - 1)};
    for (uint32_t i = 0; i < graph.nodes; i++) {
        enum kind kind = random_below(seed, KINDS);
        graph.node[i].kind = kind;
        graph.node[i].outputs = kind == DUPLICATOR || kind == BALANCER ? 2 : 1;
        for (uint32_t o = 0; o < graph.node[i].outputs; o++) {
            uint32_t later = graph.nodes - i - 1;
            bool leaves = later == 0 || random_below(seed, 4) == 0;
            graph.node[i].to[o] = leaves ? -1 : (int)(i + 1 + random_below(seed, later));
        }
    }
    return graph;
}

static int build(struct graph *graph, const char *input_options, uint32_t *seed)
{
    static const char *const names[] = {"Dummy", "Duplicator", "LoadBalancer", "FlowGen"};
    int engine = make_engine(16, input_options);
    for (uint32_t i = 0; i < graph->nodes; i++) {
        const struct pb_load_balancer_config by_4 = {.tuple = 4};
        enum kind kind = graph->node[i].kind;
        if (kind == FLOW_GEN)
            CHECK_EQUAL(add_flow_gen(engine, flow_gen_of(i + 1)), i);
        else
            CHECK_EQUAL(pb_engine_add_brick(engine, names[kind], (const uint8_t *)&by_4,
                                            kind == BALANCER ? sizeof(by_4) : 0, 0, graph->node[i].outputs, i, &error), i);
    }
    CHECK(pb_engine_connect_input(engine, 0, 0, &error) == 0);
    for (uint32_t i = 0; i < graph->nodes; i++)
        for (uint32_t o = 0; o < graph->node[i].outputs; o++) {
            graph->node[i].output[o] = (int)pb_engine_find(engine)->outputs_count;
            if (graph->node[i].to[o] < 0)
                connect_output(engine, i, o, random_below(seed, 3) == 0 ? "slow=1" : "");
            else
                CHECK(pb_engine_connect_brick(engine, i, o, (uint32_t)graph->node[i].to[o], &error) == 0);
        }
    return engine;
}

/* Where packet `number` gets to, as what: by value. */
static void model(const struct graph *graph, uint32_t number, struct bunch *at_outputs)
{
    static struct bunch at_nodes[NODES_MAX];
    memset(at_nodes, 0, sizeof(at_nodes));
    add(&at_nodes[0], 0);
    struct pb_packet packet;
    pb_packet_init(&packet, bed_frames[number].bytes, bed_frames[number].captured_len, bed_frames[number].wire_len, 0,
                   PB_LINK_ETHERNET);
    for (uint32_t i = 0; i < graph->nodes; i++)
        for (uint32_t o = 0; o < graph->node[i].outputs; o++) {
            enum kind kind = graph->node[i].kind;
            if (kind == BALANCER && pb_hash_output(pb_flow_hash(&packet, 4), i, graph->node[i].outputs) != o)
                continue;
            int to = graph->node[i].to[o];
            for (uint32_t p = 0; p < at_nodes[i].count; p++)
                add(to < 0 ? &at_outputs[graph->node[i].output[o]] : &at_nodes[to],
                    kind == FLOW_GEN ? (uint16_t)(i + 1) : at_nodes[i].ids[p]);
        }
}

static void compare(const struct graph *graph)
{
    static struct bunch expected[BED_OUTPUTS_MAX];
    uint32_t places[BED_OUTPUTS_MAX] = {0};
    for (uint32_t number = 0; number < bed_frames_count; number++) {
        memset(expected, 0, sizeof(expected));
        model(graph, number, expected);
        for (uint32_t o = 0; o < BED_OUTPUTS_MAX; o++)
            for (uint32_t p = 0; p < expected[o].count; p++) {
                CHECK(places[o] < bed_received[o].count);
                expect_macs(&bed_received[o].records[places[o]++], number, expected[o].ids[p]);
            }
    }
    for (uint32_t o = 0; o < BED_OUTPUTS_MAX; o++)
        CHECK_EQUAL(bed_received[o].count, places[o]);
}

/* Whether some way from the input to what leaves a node leads over a Duplicator. */
static bool is_shared(const struct graph *graph, uint32_t node)
{
    if (graph->node[node].kind == DUPLICATOR)
        return true;
    for (uint32_t from = 0; from < node; from++)
        for (uint32_t o = 0; o < graph->node[from].outputs; o++)
            if (graph->node[from].to[o] == (int)node && is_shared(graph, from))
                return true;
    return false;
}

/* No output that was told that it alone sees a packet was told wrongly; and all were told
 * that no Duplicator is before. Returns how many were. */
static uint32_t check_sole(const struct graph *graph)
{
    uint32_t told = 0;
    for (uint32_t number = 0; number < bed_frames_count; number++)
        CHECK(bed_sights[number].sole == 0 || bed_sights[number].offered == 1);
    for (uint32_t i = 0; i < graph->nodes; i++)
        for (uint32_t o = 0; o < graph->node[i].outputs; o++) {
            const struct bed_output *output = &bed_received[graph->node[i].output[o]];
            if (graph->node[i].to[o] >= 0)
                continue;
            if (!is_shared(graph, i))
                CHECK_EQUAL(output->lent_sole, output->lent);
            told += output->lent_sole > 0;
        }
    return told;
}

#ifdef PB_SANITIZED
#define GRAPHS 400
#else
#define GRAPHS 2000
#endif

static void test_random_graphs(void)
{
    uint32_t told = 0;
    static const char *const inputs[] = {"", "writable=1", "pausable=1", "writable=1&pausable=1"};
    bed_make_frames(100);
    for (uint32_t i = 0; i < GRAPHS; i++) {
        uint32_t seed = i;
        struct graph graph = random_graph(&seed);
        memset(bed_received, 0, sizeof(bed_received));
        int engine = build(&graph, inputs[i % 4], &seed);
        run_engine(engine);
        compare(&graph);
        told += check_sole(&graph);
        if (i % 10 == 0) {
            run_engine(engine); /* started anew */
            compare(&graph);
            (void)check_sole(&graph);
        }
        CHECK(pb_engine_delete(engine, &error) == 0);
    }
    CHECK(told > GRAPHS / 4);
}

/* Two inputs, of which one is duplicated: what an output is told, it is told of each batch. */
static void test_told_by_input(void)
{
    enum { FIRST, DUPLICATED, JOINED };
    bed_make_frames(100);
    int engine = make_engine(16, "");
    CHECK(pb_engine_add_input(engine, "bed", "", "pausable=1", -1, &error) == 1);
    CHECK(pb_engine_add_brick(engine, "Dummy", NULL, 0, 0, 1, 0, &error) == FIRST);
    CHECK(pb_engine_add_brick(engine, "Duplicator", NULL, 0, 0, 2, 0, &error) == DUPLICATED);
    CHECK(pb_engine_add_brick(engine, "Merge", NULL, 0, 0, 1, 0, &error) == JOINED);
    CHECK(pb_engine_connect_input(engine, 0, FIRST, &error) == 0);
    CHECK(pb_engine_connect_input(engine, 1, DUPLICATED, &error) == 0);
    CHECK(pb_engine_connect_brick(engine, FIRST, 0, JOINED, &error) == 0);
    CHECK(pb_engine_connect_brick(engine, DUPLICATED, 0, JOINED, &error) == 0);
    connect_output(engine, JOINED, 0, "");
    connect_output(engine, DUPLICATED, 1, "");
    run_engine(engine);
    CHECK_EQUAL(bed_received[0].lent, 200);
    CHECK_EQUAL(bed_received[0].lent_sole, 100);
    CHECK_EQUAL(bed_received[1].lent, 100);
    CHECK_EQUAL(bed_received[1].lent_sole, 0);
    for (uint32_t number = 0; number < 100; number++)
        CHECK(bed_sights[number].offered == 3 && bed_sights[number].sole == 1);
    CHECK(pb_engine_delete(engine, &error) == 0);
}

/* ------------------------------------------------- what is changed in place */

/* These kinds in a chain: how many copies the last batch took, of 100 % 16 = 4 packets. */
static uint32_t copies_of(const enum kind *kinds, uint32_t count, const char *input_options)
{
    struct graph graph = {.nodes = count};
    uint32_t seed = 0;
    for (uint32_t i = 0; i < count; i++) {
        graph.node[i].kind = kinds[i];
        graph.node[i].outputs = kinds[i] == DUPLICATOR ? 2 : 1;
        graph.node[i].to[0] = i + 1 < count ? (int)i + 1 : -1;
        graph.node[i].to[1] = -1;
    }
    memset(bed_received, 0, sizeof(bed_received));
    bed_make_frames(100);
    int engine = build(&graph, input_options, &seed);
    run_engine(engine);
    compare(&graph);
    /* The last rx_batch() gave nothing, so these are of the batch before. */
    uint32_t copies = pb_engine_find(engine)->inputs[0]->copies.count;
    CHECK(pb_engine_find(engine)->inputs[0]->copies.used <= copies * BED_FRAME_BYTES);
    CHECK(pb_engine_delete(engine, &error) == 0);
    return copies;
}

static void test_in_place(void)
{
    const enum kind before[] = {FLOW_GEN, DUPLICATOR}, behind[] = {DUPLICATOR, FLOW_GEN};
    const enum kind twice[] = {FLOW_GEN, FLOW_GEN}, around[] = {FLOW_GEN, DUPLICATOR, FLOW_GEN};
    CHECK_EQUAL(copies_of(before, 2, "writable=1"), 0);
    CHECK_EQUAL(copies_of(before, 2, ""), 4);
    CHECK_EQUAL(copies_of(behind, 2, "writable=1"), 4);
    CHECK_EQUAL(copies_of(twice, 2, "writable=1"), 0);
    CHECK_EQUAL(copies_of(twice, 2, ""), 4); /* the second changes the first one's copies */
    CHECK_EQUAL(copies_of(around, 3, "writable=1"), 4);
    CHECK_EQUAL(copies_of(around, 3, ""), 8);
}

/* More copies than packets can be referred to: an error that says so, and nothing left behind. */
static void test_too_many(void)
{
    int engine = make_engine(4096, "");
    for (int i = 0; i < 16; i++)
        CHECK_EQUAL(add_flow_gen(engine, flow_gen_of(1)), i);
    CHECK(pb_engine_connect_input(engine, 0, 0, &error) == 0);
    for (uint32_t i = 0; i < 15; i++)
        CHECK(pb_engine_connect_brick(engine, i, 0, i + 1, &error) == 0);
    connect_output(engine, 15, 0, "");
    for (int i = 0; i < 2; i++)
        CHECK(pb_engine_start(engine, &error) == -ERANGE && strstr(error.text, "need 65536 copies") != NULL);
    CHECK(pb_engine_delete(engine, &error) == 0);
}

/* ------------------------------------------------------------------ the mapping */

/* Through one FlowGen; returns what came out. Counters of it are copied to `counts`. */
static const struct bed_output *through(struct flow_gen_config config, const char *input_options, uint64_t counts[4])
{
    int engine = make_engine(16, input_options);
    CHECK_EQUAL(add_flow_gen(engine, config), 0);
    CHECK(pb_engine_connect_input(engine, 0, 0, &error) == 0);
    connect_output(engine, 0, 0, "");
    run_engine(engine);
    for (uint32_t i = 0; counts != NULL && i < 4; i++)
        counts[i] = pb_counter_get(&pb_engine_find(engine)->nodes[0]->counters[PB_BRICK_COUNTERS + i]);
    CHECK(pb_engine_delete(engine, &error) == 0);
    return &bed_received[0];
}

static uint32_t hash_in(const struct bed_record *record)
{
    const uint8_t *at = record->head + 2;
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* What the card computed goes before what is computed here, but for packets that are not IP. */
static void test_nic_hash(void)
{
    bed_make_frames(4);
    for (uint32_t i = 0; i < 3; i++) {
        bed_frames[i].has_nic_hash = true;
        bed_frames[i].nic_hash = 0xa0b0c0d0 + i;
    }
    bed_frames[2].bytes[13] = 6; /* ARP */
    uint32_t software[4] = {toeplitz_bits(bed_frames[0].bytes + 26, 8), toeplitz_bits(bed_frames[1].bytes + 26, 8), 0,
                            toeplitz_bits(bed_frames[3].bytes + 26, 8)};
    uint64_t counts[4];
    const struct bed_output *got = through(flow_gen_of(1), "writable=1", counts);
    CHECK_EQUAL(hash_in(&got->records[0]), 0xa0b0c0d0);
    CHECK_EQUAL(hash_in(&got->records[1]), 0xa0b0c0d1);
    CHECK_EQUAL(hash_in(&got->records[2]), 0);
    CHECK_EQUAL(hash_in(&got->records[3]), software[3]);
    CHECK_EQUAL(counts[2], 1); /* unhashed */
    struct flow_gen_config config = flow_gen_of(1);
    config.software = 1;
    got = through(config, "", NULL);
    for (uint32_t i = 0; i < 4; i++)
        CHECK_EQUAL(hash_in(&got->records[i]), software[i]);
}

static void test_trailer(void)
{
    struct flow_gen_config config = flow_gen_of(7);
    config.trailer = 1;
    bed_make_frames(20);
    bed_frames[3].wire_len += 100;            /* cut */
    bed_frames[4].wire_len = 65535;           /* cut, and too long */
    uint64_t counts[4];
    const struct bed_output *got = through(config, "writable=1", counts);
    CHECK_EQUAL(got->count, 20);
    CHECK_EQUAL(counts[3], 2); /* no_trailer */
    for (uint32_t i = 0; i < 20; i++) {
        const struct bed_frame *frame = &bed_frames[i];
        uint32_t more = i == 3 || i == 4 ? 0 : 12;
        CHECK_EQUAL(got->records[i].captured_len, frame->captured_len + more);
        CHECK_EQUAL(got->records[i].wire_len, frame->wire_len + more);
        CHECK(got->records[i].head[0] == 0xbe && got->records[i].head[11] == 7);
        const uint8_t *tail = more > 0 ? frame->bytes : frame->bytes + frame->captured_len - 12;
        CHECK(memcmp(got->records[i].tail, tail, 12) == 0);
    }
}

/* Cut at every byte of the headers, and of other links: a defined result for each. */
static void test_truncated(void)
{
    for (bed_frames_count = 0; bed_frames_count < 60; bed_frames_count++) {
        bed_make_frame(bed_frames_count);
        bed_frames[bed_frames_count].captured_len = bed_frames_count;
        memcpy(bed_frames[bed_frames_count].bytes + 26, (const uint8_t[]){10, 1, 0, 9}, 4);
    }
    struct flow_gen_config config = flow_gen_of(1);
    config.tuple = 4;
    uint64_t counts[4];
    const struct bed_output *got = through(config, "", counts);
    CHECK_EQUAL(counts[1], 14); /* too_short */
    CHECK_EQUAL(counts[2], 20); /* unhashed: 14 to 33 bytes */
    CHECK_EQUAL(got->count, 60 - 14);
    for (uint32_t i = 0; i < got->count; i++) {
        uint32_t length = i + 14;
        uint32_t expected = length < 34 ? 0 : toeplitz_bits(bed_frames[length].bytes + 26, length < 38 ? 8 : 12);
        CHECK_EQUAL(got->records[i].captured_len, length);
        CHECK_EQUAL(hash_in(&got->records[i]), expected);
    }
    bed_make_frames(3);
    bed_frames[0].link_type = PB_LINK_RAW;
    bed_frames[1].link_type = PB_LINK_LINUX_SLL;
    got = through(flow_gen_of(1), "writable=1", counts);
    CHECK_EQUAL(counts[0], 2); /* link_type */
    CHECK_EQUAL(got->count, 1);
}

/* A flow hash that was computed over addresses which are others now is computed anew. */
static void test_hash_forgotten(void)
{
    const struct pb_load_balancer_config by_4 = {.tuple = 4};
    for (int writable = 0; writable < 2; writable++) {
        bed_make_frames(64);
        for (uint32_t i = 0; i < 64; i++) {
            bed_frames[i].bytes[13] = 6; /* ARP, from 64 hosts */
            bed_frames[i].bytes[11] = (uint8_t)i;
        }
        int engine = make_engine(16, writable ? "writable=1" : "");
        CHECK(pb_engine_add_brick(engine, "LoadBalancer", (const uint8_t *)&by_4, sizeof(by_4), 0, 2, 0, &error) == 0);
        CHECK(add_flow_gen(engine, flow_gen_of(1)) == 1);
        CHECK(pb_engine_add_brick(engine, "LoadBalancer", (const uint8_t *)&by_4, sizeof(by_4), 0, 2, 0, &error) == 2);
        CHECK(pb_engine_connect_input(engine, 0, 0, &error) == 0);
        for (uint32_t o = 0; o < 2; o++)
            CHECK(pb_engine_connect_brick(engine, 0, o, 1, &error) == 0);
        CHECK(pb_engine_connect_brick(engine, 1, 0, 2, &error) == 0);
        for (uint32_t o = 0; o < 2; o++)
            connect_output(engine, 2, o, "");
        run_engine(engine);
        CHECK_EQUAL(bed_received[0].count + bed_received[1].count, 64);
        CHECK(bed_received[0].count == 0 || bed_received[1].count == 0);
        CHECK(pb_engine_delete(engine, &error) == 0);
    }
}

int main(void)
{
    alarm(120); /* a hang ends the test as failed */
    test_random_graphs();
    test_told_by_input();
    test_in_place();
    test_too_many();
    test_nic_hash();
    test_trailer();
    test_truncated();
    test_hash_forgotten();
    return 0;
}
