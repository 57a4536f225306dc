/*
 * filter.c - Filter: packets that an expression matches to output 0, the others
 * to output 1 where there is one (expression.h). Rules that come and go while the
 * engine runs are asked first (rules.h). Engine thread; the state is the executor's,
 * rules and expression are those of the brick's control object.
 *
 * A batch is decided in chunks: first for every packet of a chunk where it goes,
 * then all are sent in order.
 */
#include "brick.h"

#include <errno.h>

#include <stdlib.h>

#include "expression.h"
#include "rule_control.h"

#define CHUNK_PACKETS 256

#define OUTPUT_MATCHED 0
#define OUTPUT_OTHERS 1

/* Its counters, in the order of the table below. */
enum counter { FILTERED, UNSUPPORTED_LINK, RULE_DROP, COUNTERS };

/* As filter.ts packs it. */
struct filter_config {
    uint32_t packet_time; /* rules go by the packets' timestamps */
    char expression[];    /* the rest */
};

/* What is made with the brick. */
struct control {
    struct pb_rules *rules;
    struct pb_expression *expression; /* NULL: everything matches */
};

struct filter {
    struct pb_rules *rules;
    const struct pb_expression *expression;
    pb_counter *counters;
    uint32_t outputs;
};

/* Ask the expression about each packet of the chunk: 0: it does not match. */
static void ask(struct filter *filter, const struct pb_batch *chunk, uint32_t *results)
{
    if (filter->expression == NULL) {
        memset(results, 0xff, chunk->count * sizeof(*results));
        return;
    }
    uint32_t unsupported = pb_expression_match(filter->expression, chunk, results);
    if (unsupported > 0)
        pb_counter_add(&filter->counters[UNSUPPORTED_LINK], unsupported);
}

/* Send the packets of the chunk by what the expression said. Without branches that depend on it: a processor
 * that guesses a tenth of them wrong would wait for longer than all of this takes. */
static void part(const struct filter *filter, const struct pb_batch *chunk, const uint32_t *results,
                 struct pb_outputs *outputs)
{
    uint16_t dropped[CHUNK_PACKETS];
    struct pb_vector *matched = outputs->vectors[OUTPUT_MATCHED];
    struct pb_vector *others = filter->outputs > OUTPUT_OTHERS ? outputs->vectors[OUTPUT_OTHERS] : NULL;
    uint16_t *to_matched = matched->index + matched->count;
    uint16_t *to_others = others != NULL ? others->index + others->count : dropped;
    const uint16_t *index = chunk->index;
    const uint32_t count = chunk->count;
    uint32_t yes = 0, no = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint16_t packet = index[i];
        bool matches = results[i] != 0;
        to_matched[yes] = packet;
        to_others[no] = packet;
        yes += matches;
        no += !matches;
    }
    matched->count += yes;
    if (others != NULL)
        others->count += no;
    else
        pb_counter_add(&filter->counters[FILTERED], no);
}

/* The output for what the expression said. */
static uint32_t output_of(uint32_t result)
{
    return result != 0 ? OUTPUT_MATCHED : OUTPUT_OTHERS;
}

static void send_one(const struct filter *filter, uint16_t index, uint32_t output, struct pb_outputs *outputs)
{
    if (output >= filter->outputs) {
        pb_counter_add(&filter->counters[FILTERED], 1);
        return;
    }
    struct pb_vector *vector = outputs->vectors[output];
    vector->index[vector->count++] = index;
}

/* Those of the chunk that the expression is to be asked about, in their order. */
static struct pb_batch select_asked(const struct pb_batch *chunk, const struct pb_rule_verdict *rulings, uint16_t *index)
{
    struct pb_batch asked = {.packets = chunk->packets, .index = index};
    for (uint32_t i = 0; i < chunk->count; i++)
        if (rulings[i].action == PB_RULE_NONE || rulings[i].action == PB_RULE_MIRROR)
            index[asked.count++] = chunk->index[i];
    return asked;
}

/* Send by what the rules say, and where they say nothing by the results, of which there are as many as were asked. */
static void send_ruled(const struct filter *filter, const struct pb_batch *chunk, const struct pb_rule_verdict *rulings,
                       const uint32_t *results, struct pb_outputs *outputs)
{
    for (uint32_t i = 0; i < chunk->count; i++) {
        uint16_t index = chunk->index[i];
        uint32_t output = rulings[i].output;
        switch (rulings[i].action) {
        case PB_RULE_DROP:
            pb_counter_add(&filter->counters[RULE_DROP], 1);
            break;
        case PB_RULE_MIRROR:
            send_one(filter, index, output, outputs);
            if (output_of(*results) != output)
                send_one(filter, index, output_of(*results), outputs);
            results++;
            break;
        case PB_RULE_NONE:
            send_one(filter, index, output_of(*results++), outputs);
            break;
        default: /* PASS has output 0 */
            send_one(filter, index, output, outputs);
        }
    }
}

static int init(void *state, const void *config, const struct pb_brick_setup *setup, struct pb_error *error)
{
    (void)config;
    const struct control *control = setup->control;
    *(struct filter *)state = (struct filter){.rules = control->rules,
                                              .expression = control->expression,
                                              .counters = setup->counters,
                                              .outputs = setup->outputs};
    return pb_rules_attach(control->rules, setup->outputs, error);
}

static void fini(void *state)
{
    pb_rules_detach(((struct filter *)state)->rules);
}

static void process_chunk(struct filter *filter, const struct pb_batch *chunk, struct pb_outputs *outputs)
{
    uint32_t results[CHUNK_PACKETS];
    struct pb_rule_verdict rulings[CHUNK_PACKETS];
    uint16_t asked_index[CHUNK_PACKETS];
    if (!pb_rules_lookup(filter->rules, chunk, rulings)) {
        ask(filter, chunk, results);
        part(filter, chunk, results, outputs);
        return;
    }
    const struct pb_batch asked = select_asked(chunk, rulings, asked_index);
    ask(filter, &asked, results);
    send_ruled(filter, chunk, rulings, results, outputs);
}

static void process(void *state, const struct pb_batch *batch, struct pb_outputs *outputs)
{
    for (uint32_t first = 0; first < batch->count; first += CHUNK_PACKETS) {
        uint32_t left = batch->count - first;
        const struct pb_batch chunk = {
            .packets = batch->packets, .index = batch->index + first, .count = left < CHUNK_PACKETS ? left : CHUNK_PACKETS};
        process_chunk(state, &chunk, outputs);
    }
}

static void close_control(void *object)
{
    struct control *control = object;
    pb_expression_free(control->expression);
    if (control->rules != NULL)
        pb_rules_free(control->rules);
    free(control);
}

static int open_control(const void *config, uint32_t config_bytes, void **object, struct pb_error *error)
{
    const struct filter_config *options = config;
    uint32_t expression_bytes = config_bytes - (uint32_t)sizeof(*options);
    struct control *control = calloc(1, sizeof(*control));
    if (control == NULL)
        return pb_fail(error, ENOMEM, "brick \"Filter\": no memory");
    int status = 0;
    if (expression_bytes > 0)
        status = pb_expression_make(options->expression, expression_bytes, &control->expression, error);
    if (status == 0) {
        control->rules = pb_rules_make(&(struct pb_rules_options){.packet_time = options->packet_time != 0});
        if (control->rules == NULL)
            status = pb_fail(error, ENOMEM, "brick \"Filter\": no memory for rules");
    }
    if (status < 0)
        close_control(control);
    else
        *object = control;
    return status;
}

static int command(void *object, const uint8_t *request, uint32_t request_bytes, uint8_t *reply, uint32_t reply_bytes,
                   struct pb_error *error)
{
    struct control *control = object;
    return pb_rule_control(control->rules, request, request_bytes, reply, reply_bytes, error);
}

static const struct pb_brick_control filter_control = {.open = open_control, .command = command, .close = close_control};

static const struct pb_counter_desc counters[COUNTERS] = {
    [FILTERED] = {"filtered", PB_COUNTER_DROP, "packets", "the expression does not match, and there is no second output"},
    [UNSUPPORTED_LINK] = {"unsupported_link", PB_COUNTER_TOTAL, "packets",
                          "have a link type that the expression cannot be asked about: they do not match"},
    [RULE_DROP] = {"rule_drop", PB_COUNTER_DROP, "packets", "a rule says so"},
};

static const struct pb_brick filter = {
    .name = "Filter",
    .config_bytes = sizeof(struct filter_config),
    .config_tail = true,
    .state_bytes = sizeof(struct filter),
    .outputs_min = 1,
    .outputs_max = PB_OUTPUTS_MAX,
    .copies = 1,
    .counters = counters,
    .counters_count = COUNTERS,
    .control = &filter_control,
    .init = init,
    .process = process,
    .fini = fini,
};
PB_BRICK(filter);
