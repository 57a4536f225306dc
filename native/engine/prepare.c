/*
 * prepare.c - makes what an engine's graph needs to run: order, vectors,
 * counters, the state of bricks. Control thread, while there is no engine thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../core/error.h"
#include "engine.h"

static int out_of_memory(struct pb_error *error)
{
    return pb_fail(error, ENOMEM, "no memory for the graph; use a smaller batch or fewer outputs");
}

/* Depth first; a brick's place is taken after all that it feeds. `seen` guards
 * against visiting twice: cycles were refused when the edge was made. */
static void sort_from(struct pb_input *input, struct pb_node *node, bool *seen)
{
    if (seen[node->index])
        return;
    seen[node->index] = true;
    for (uint32_t i = 0; i < node->outputs; i++) {
        const struct pb_edge *edge = &node->edges[i];
        if (edge->to_node != NULL)
            sort_from(input, edge->to_node, seen);
        else
            input->reaches[edge->to_output->index] = true;
    }
    memmove(input->order + 1, input->order, input->order_count * sizeof(*input->order));
    input->order[0] = node;
    input->order_count++;
}

static int prepare_order(struct pb_engine *engine, struct pb_input *input, struct pb_error *error)
{
    bool seen[PB_BRICKS_MAX] = {false};
    input->order = calloc(engine->nodes_count, sizeof(*input->order));
    input->reaches = calloc(engine->outputs_count + 1, sizeof(*input->reaches));
    input->sole = calloc(engine->outputs_count + 1, sizeof(*input->sole));
    if (input->order == NULL || input->reaches == NULL || input->sole == NULL)
        return out_of_memory(error);
    sort_from(input, input->node, seen);
    return 0;
}

/* How many bricks a packet of this input passes at the most, up to each of them. */
static void count_levels(const struct pb_input *input)
{
    if (input->node->level == 0)
        input->node->level = 1;
    for (uint32_t i = 0; i < input->order_count; i++) {
        const struct pb_node *node = input->order[i];
        for (uint32_t o = 0; o < node->outputs; o++) {
            struct pb_node *to = node->edges[o].to_node;
            if (to != NULL && to->level <= node->level)
                to->level = node->level + 1;
        }
    }
}

/* How many copies of a packet of this input can meet in each brick. A brick that
 * does not copy adds its own to each brick below once, over however many edges.
 * Those that meet in bricks which change packets are summed up in *rewritten. */
static int count_copies(const struct pb_input *input, uint64_t *rewritten, struct pb_error *error)
{
    uint64_t copies[PB_BRICKS_MAX] = {0};
    *rewritten = 0;
    copies[input->node->index] = 1;
    for (uint32_t i = 0; i < input->order_count; i++) {
        struct pb_node *node = input->order[i];
        uint64_t here = copies[node->index];
        if (here > PB_COPIES_MAX)
            return pb_fail(error, ERANGE, "brick \"%s\": %llu copies of one packet meet here, at most %d; use fewer "
                           "Duplicators", node->brick->name, (unsigned long long)here, PB_COPIES_MAX);
        if (here > node->copies)
            node->copies = (uint32_t)here;
        if (node->brick->rewrites)
            *rewritten += here;
        bool added[PB_BRICKS_MAX] = {false};
        for (uint32_t o = 0; o < node->outputs; o++) {
            const struct pb_node *to = node->edges[o].to_node;
            if (to == NULL || (added[to->index] && !node->brick->copies))
                continue;
            added[to->index] = true;
            copies[to->index] += here;
        }
    }
    return 0;
}

static int prepare_packets(struct pb_engine *engine, struct pb_input *input, struct pb_error *error)
{
    uint64_t rewritten;
    int status = count_copies(input, &rewritten, error);
    return status < 0 ? status : pb_rewrite_prepare(engine, input, rewritten, error);
}

static int prepare_node(struct pb_engine *engine, struct pb_node *node, struct pb_error *error)
{
    size_t indices = (size_t)node->copies * engine->batch_packets;
    for (uint32_t i = 0; i < node->outputs; i++) {
        node->edges[i].vector.index = calloc(indices, sizeof(uint16_t));
        node->vectors[i] = &node->edges[i].vector;
        if (node->edges[i].vector.index == NULL)
            return out_of_memory(error);
    }
    node->joined.index = calloc(indices, sizeof(uint16_t));
    if (node->joined.index == NULL)
        return out_of_memory(error);
    struct pb_brick_setup setup = {.outputs = node->outputs,
                                   .depth = node->depth,
                                   .level = node->level,
                                   .config_bytes = node->config_bytes,
                                   .control = node->control == NULL ? NULL : pb_control_of(node->control),
                                   .counters = node->counters + PB_BRICK_COUNTERS,
                                   .output_counters = node->output_counters + node->outputs};
    int status = node->brick->init == NULL ? 0 : node->brick->init(node->state, node->config, &setup, error);
    node->initialised = status == 0;
    return status;
}

static uint32_t port_counters(const struct pb_port *port)
{
    return PB_PORT_COUNTERS + port->driver->counters_count + port->driver->device_counters_max;
}

static uint32_t output_counters(const struct pb_node *node)
{
    return node->outputs * (1 + node->brick->output_counters_count);
}

static int prepare_counters(struct pb_engine *engine, struct pb_error *error)
{
    uint32_t needed = PB_ENGINE_COUNTERS + PB_COUNTERS_LINE;
    for (uint32_t i = 0; i < engine->nodes_count; i++)
        needed += PB_BRICK_COUNTERS + engine->nodes[i]->brick->counters_count + output_counters(engine->nodes[i]) +
                  2 * PB_COUNTERS_LINE;
    for (uint32_t i = 0; i < engine->inputs_count; i++)
        needed += port_counters(&engine->inputs[i]->port) + PB_COUNTERS_LINE;
    for (uint32_t i = 0; i < engine->outputs_count; i++)
        needed += port_counters(&engine->outputs[i]->port) + PB_COUNTERS_LINE;
    struct pb_counters_page *page = &engine->page;
    int status = pb_counters_open(page, needed, error);
    if (status < 0)
        return status;
    engine->counters = pb_counters_take(page, PB_ENGINE_COUNTERS);
    for (uint32_t i = 0; i < engine->nodes_count; i++) {
        struct pb_node *node = engine->nodes[i];
        node->counters = pb_counters_take(page, PB_BRICK_COUNTERS + node->brick->counters_count);
        node->output_counters = pb_counters_take(page, output_counters(node));
    }
    for (uint32_t i = 0; i < engine->inputs_count; i++)
        engine->inputs[i]->port.counters = pb_counters_take(page, port_counters(&engine->inputs[i]->port));
    for (uint32_t i = 0; i < engine->outputs_count; i++)
        engine->outputs[i]->port.counters = pb_counters_take(page, port_counters(&engine->outputs[i]->port));
    return 0;
}

static void free_pending(struct pb_engine *engine, struct pb_input *input)
{
    for (uint32_t o = 0; input->pending != NULL && o < engine->outputs_count; o++)
        free(input->pending[o].index);
    free(input->pending);
    input->pending = NULL;
}

/* Undo pb_graph_prepare() and pb_graph_prepare_inputs(), as far as they got. */
static void unprepare(struct pb_engine *engine)
{
    for (uint32_t i = 0; i < engine->inputs_count; i++) {
        struct pb_input *input = engine->inputs[i];
        free_pending(engine, input);
        free(input->reaches);
        free(input->sole);
        free(input->order);
        pb_rewrite_free(input);
        input->reaches = input->sole = NULL;
        input->order = NULL;
        input->order_count = 0;
    }
    for (uint32_t i = 0; i < engine->nodes_count; i++) {
        struct pb_node *node = engine->nodes[i];
        if (node->initialised && node->brick->fini != NULL)
            node->brick->fini(node->state);
        node->initialised = false;
        for (uint32_t o = 0; o < node->outputs; o++) {
            free(node->edges[o].vector.index);
            node->edges[o].vector = (struct pb_vector){0};
        }
        free(node->joined.index);
        node->joined = (struct pb_vector){0};
        node->copies = 1;
    }
    free(engine->identity);
    free(engine->tally);
    engine->identity = NULL;
    engine->tally = NULL;
    pb_counters_close(&engine->page);
    engine->prepared = false;
}

int pb_graph_prepare(struct pb_engine *engine, struct pb_error *error)
{
    if (engine->prepared)
        return 0;
    int status = prepare_counters(engine, error);
    engine->identity = calloc(engine->batch_packets, sizeof(uint16_t));
    engine->tally = calloc(engine->batch_packets, sizeof(uint32_t));
    if (status == 0 && (engine->identity == NULL || engine->tally == NULL))
        status = out_of_memory(error);
    for (uint32_t i = 0; status == 0 && i < engine->batch_packets; i++)
        engine->identity[i] = (uint16_t)i;
    for (uint32_t i = 0; status == 0 && i < engine->inputs_count; i++)
        status = prepare_order(engine, engine->inputs[i], error);
    for (uint32_t i = 0; status == 0 && i < engine->inputs_count; i++) {
        count_levels(engine->inputs[i]);
        status = prepare_packets(engine, engine->inputs[i], error);
    }
    for (uint32_t i = 0; status == 0 && i < engine->nodes_count; i++)
        status = prepare_node(engine, engine->nodes[i], error);
    engine->prepared = status == 0;
    if (status < 0)
        unprepare(engine);
    return status;
}

int pb_graph_prepare_inputs(struct pb_engine *engine, struct pb_error *error)
{
    for (uint32_t i = 0; i < engine->inputs_count; i++) {
        struct pb_input *input = engine->inputs[i];
        input->done = false;
        pb_rewrite_decide(input);
        if (!input->port.pausable || input->pending != NULL)
            continue;
        input->pending = calloc(engine->outputs_count + 1, sizeof(*input->pending));
        if (input->pending == NULL)
            return out_of_memory(error);
        for (uint32_t o = 0; o < engine->outputs_count; o++) {
            if (!input->reaches[o])
                continue;
            size_t indices = (size_t)engine->outputs[o]->edge->from->copies * engine->batch_packets;
            input->pending[o].index = calloc(indices, sizeof(uint16_t));
            if (input->pending[o].index == NULL) {
                free_pending(engine, input);
                return out_of_memory(error);
            }
        }
    }
    return 0;
}

static void free_port(struct pb_port *port)
{
    if (port->operations->destroy != NULL)
        port->operations->destroy(port);
    free(port->name);
    free(port->options);
}

void pb_node_free(struct pb_node *node)
{
    if (node->control != NULL)
        pb_control_drop(node->control);
    free(node->edges);
    free(node->vectors);
    free(node->config);
    free(node->state);
    free(node);
}

void pb_graph_free(struct pb_engine *engine)
{
    unprepare(engine);
    for (uint32_t i = 0; i < engine->inputs_count; i++) {
        free_port(&engine->inputs[i]->port);
        free(engine->inputs[i]);
    }
    for (uint32_t i = 0; i < engine->outputs_count; i++) {
        free_port(&engine->outputs[i]->port);
        free(engine->outputs[i]);
    }
    for (uint32_t i = 0; i < engine->nodes_count; i++)
        pb_node_free(engine->nodes[i]);
}
