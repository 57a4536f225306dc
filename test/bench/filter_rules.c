/*
 * filter_rules.c - what Filter's rules cost: a table of RULES exact connections beside
 * a table of one.
 *
 *   filter_rules SECONDS_PER_RUN RUNS [RULES]
 *
 * Both look up the same batches: 60-byte TCP frames of RULES connections, drawn at
 * random, so that in the large table every packet finds its rule, in memory that no
 * cache holds. Frames are written between the measured parts; what is measured is
 * the lookup. One core, taking turns of SECONDS_PER_RUN. Prints for each pair one
 * line: ns a packet with one rule, ns a packet with RULES rules.
 */
#include "../bricks/filter/rules.h"
#include "common.h"

#define BATCH 256
#define FRAME_BYTES 60
#define STRIDE 64

static uint8_t frames[BATCH][STRIDE];
static uint32_t rules_count = 1000000;

static void address_of(uint32_t connection, uint8_t *source, uint8_t *destination, uint16_t *port)
{
    uint32_t mixed = connection * 2654435761u;
    memcpy(source, (const uint8_t[]){10, (uint8_t)(connection >> 16), (uint8_t)(connection >> 8), (uint8_t)connection}, 4);
    memcpy(destination, (const uint8_t[]){192, 168, (uint8_t)(mixed >> 16), (uint8_t)(mixed >> 24)}, 4);
    *port = (uint16_t)(mixed >> 8);
}

static void write_frame(uint8_t *frame, uint32_t connection)
{
    uint8_t *ip = frame + 14;
    uint16_t port;
    address_of(connection, ip + 12, ip + 16, &port);
    frame[12] = 0x08;
    ip[0] = 0x45;
    ip[3] = FRAME_BYTES - 14;
    ip[9] = 6;
    memcpy(ip + 20, (const uint8_t[]){(uint8_t)(port >> 8), (uint8_t)port, 0, 80}, 4);
}

static struct pb_rules *make_rules(uint32_t count)
{
    struct pb_rules *rules = pb_rules_make(&(struct pb_rules_options){0});
    struct pb_error error;
    for (uint32_t i = 0; i < count; i++) {
        struct pb_rule rule = {.type = PB_RULE_CONNECTION, .action = PB_RULE_DROP, .family = 4, .protocol = 6,
                               .source_bits = 32, .destination_bits = 32, .destination_port = 80};
        uint64_t id;
        address_of(i, rule.source, rule.destination, &rule.source_port);
        check(pb_rules_add(rules, &rule, &id, &error), &error);
    }
    return rules;
}

static double look_up(struct pb_rules *rules, double seconds, uint64_t *sink)
{
    static struct pb_packet packets[BATCH];
    static struct pb_rule_verdict verdicts[BATCH];
    static uint16_t index[BATCH];
    static uint64_t random_state = 88172645463325252ull;
    uint64_t spent_ns = 0, done = 0;
    while ((double)spent_ns < seconds * 1e9) {
        for (uint32_t i = 0; i < BATCH; i++) {
            random_state ^= random_state << 13;
            random_state ^= random_state >> 7;
            random_state ^= random_state << 17;
            write_frame(frames[i], (uint32_t)((random_state >> 32) % rules_count));
            pb_packet_init(&packets[i], frames[i], FRAME_BYTES, FRAME_BYTES, 0, PB_LINK_ETHERNET);
            index[i] = (uint16_t)i;
        }
        uint64_t start = now_ns();
        pb_rules_lookup(rules, &(struct pb_batch){.packets = packets, .index = index, .count = BATCH}, verdicts);
        spent_ns += now_ns() - start;
        done += BATCH;
        for (uint32_t i = 0; i < BATCH; i++)
            *sink += verdicts[i].action == PB_RULE_DROP;
    }
    return (double)spent_ns / (double)done;
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 0.2;
    int runs = argc > 2 ? atoi(argv[2]) : 5;
    if (argc > 3)
        rules_count = (uint32_t)atoi(argv[3]);
    uint64_t sink = 0;
    struct pb_rules *one = make_rules(1);
    uint64_t start = now_ns();
    struct pb_rules *many = make_rules(rules_count);
    fprintf(stderr, "%u rules in %.0f ms\n", rules_count, (double)(now_ns() - start) / 1e6);
    for (int i = 0; i < runs; i++) {
        double baseline = look_up(one, seconds, &sink);
        double ours = look_up(many, seconds, &sink);
        printf("%.2f %.2f\n", baseline, ours);
    }
    pb_rules_free(one);
    pb_rules_free(many);
    return sink == 12345;
}
