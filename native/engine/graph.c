/*
 * graph.c - makes the graph of an engine and carries batches through it.
 *
 * A batch visits each brick at most once, parents first. Edges carry indices
 * into the input's packet array; where several edges meet in a brick, their
 * packets are put back in order of arrival, so a balanced and merged stream is
 * the stream it was. The control thread prepares and frees, the engine thread
 * runs.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../core/error.h"
#include "engine.h"

static int out_of_memory(struct pb_error *error)
{
    return pb_fail(error, ENOMEM, "no memory for the graph; use a smaller batch or fewer outputs");
}

/* ---------------------------------------------------------------- prepare */

/* Depth first; a brick's place is taken after all that it feeds. `seen` guards
 * against visiting twice: the control plane has refused cycles. */
static void sort_from(struct pb_input *input, struct pb_node *node, bool *seen, struct pb_engine *engine)
{
    uint32_t at = 0;
    while (engine->nodes[at] != node)
        at++;
    if (seen[at])
        return;
    seen[at] = true;
    for (uint32_t i = 0; i < node->outputs; i++) {
        const struct pb_edge *edge = &node->edges[i];
        if (edge->to_node != NULL)
            sort_from(input, edge->to_node, seen, engine);
        for (uint32_t o = 0; o < engine->outputs_count; o++)
            if (edge->to_output == engine->outputs[o])
                input->reaches[o] = true;
    }
    memmove(input->order + 1, input->order, input->order_count * sizeof(*input->order));
    input->order[0] = node;
    input->order_count++;
}

static int prepare_order(struct pb_engine *engine, struct pb_input *input, struct pb_error *error)
{
    bool seen[PB_BRICKS_MAX] = {false};
    input->packets = calloc(engine->batch_packets, sizeof(*input->packets));
    input->order = calloc(engine->nodes_count, sizeof(*input->order));
    input->reaches = calloc(engine->outputs_count + 1, sizeof(*input->reaches));
    if (input->packets == NULL || input->order == NULL || input->reaches == NULL)
        return out_of_memory(error);
    sort_from(input, input->node, seen, engine);
    return 0;
}

/* How many copies of a packet can meet in each brick that the input reaches. */
static int count_copies(struct pb_engine *engine, const struct pb_input *input, struct pb_error *error)
{
    uint64_t copies[PB_BRICKS_MAX] = {0};
    for (uint32_t i = 0; i < input->order_count; i++) {
        struct pb_node *node = input->order[i];
        uint32_t at = 0;
        while (engine->nodes[at] != node)
            at++;
        if (node == input->node)
            copies[at]++;
        if (copies[at] > PB_COPIES_MAX)
            return pb_fail(error, ERANGE, "brick \"%s\": %llu copies of one packet meet here, at most %d",
                           node->brick->name, (unsigned long long)copies[at], PB_COPIES_MAX);
        if (copies[at] > node->copies)
            node->copies = (uint32_t)copies[at];
        for (uint32_t o = 0; o < node->outputs; o++)
            for (uint32_t to = 0; to < engine->nodes_count; to++)
                if (node->edges[o].to_node == engine->nodes[to])
                    copies[to] += copies[at];
    }
    return 0;
}

static int prepare_node(struct pb_engine *engine, struct pb_node *node, struct pb_error *error)
{
    uint32_t copies = node->copies > 0 ? node->copies : 1;
    size_t indices = (size_t)copies * engine->batch_packets;
    for (uint32_t i = 0; i < node->outputs; i++) {
        node->edges[i].vector.index = calloc(indices, sizeof(uint16_t));
        node->vectors[i] = &node->edges[i].vector;
        if (node->edges[i].vector.index == NULL)
            return out_of_memory(error);
        if (node->edges[i].to_node == NULL && node->edges[i].to_output == NULL)
            return pb_fail(error, EINVAL, "brick \"%s\": output %u leads nowhere; connect it", node->brick->name, i);
    }
    node->joined.index = calloc(indices, sizeof(uint16_t));
    if (node->joined.index == NULL)
        return out_of_memory(error);
    struct pb_brick_setup setup = {
        .outputs = node->outputs, .depth = node->depth, .counters = node->counters + PB_BRICK_COUNTERS};
    int status = node->brick->init == NULL ? 0 : node->brick->init(node->state, node->config, &setup, error);
    node->initialised = status == 0;
    return status;
}

static int prepare_counters(struct pb_engine *engine, struct pb_error *error)
{
    uint32_t needed = PB_ENGINE_COUNTERS + PB_COUNTERS_LINE;
    for (uint32_t i = 0; i < engine->nodes_count; i++)
        needed += PB_BRICK_COUNTERS + engine->nodes[i]->brick->counters_count + engine->nodes[i]->outputs +
                  2 * PB_COUNTERS_LINE;
    for (uint32_t i = 0; i < engine->inputs_count; i++)
        needed += PB_PORT_COUNTERS + engine->inputs[i]->port.driver->counters_count + PB_COUNTERS_LINE;
    for (uint32_t i = 0; i < engine->outputs_count; i++)
        needed += PB_PORT_COUNTERS + engine->outputs[i]->port.driver->counters_count + PB_COUNTERS_LINE;
    int status = pb_counters_open(&engine->page, needed, error);
    if (status < 0)
        return status;
    struct pb_counters_page *page = &engine->page;
    engine->counters = pb_counters_take(page, PB_ENGINE_COUNTERS);
    for (uint32_t i = 0; i < engine->nodes_count; i++) {
        struct pb_node *node = engine->nodes[i];
        node->counters = pb_counters_take(page, PB_BRICK_COUNTERS + node->brick->counters_count);
        node->output_counters = pb_counters_take(page, node->outputs);
    }
    for (uint32_t i = 0; i < engine->inputs_count; i++) {
        struct pb_port *port = &engine->inputs[i]->port;
        port->counters = pb_counters_take(page, PB_PORT_COUNTERS + port->driver->counters_count);
    }
    for (uint32_t i = 0; i < engine->outputs_count; i++) {
        struct pb_port *port = &engine->outputs[i]->port;
        port->counters = pb_counters_take(page, PB_PORT_COUNTERS + port->driver->counters_count);
    }
    return 0;
}

int pb_graph_prepare(struct pb_engine *engine, struct pb_error *error)
{
    if (engine->prepared)
        return 0;
    int status = prepare_counters(engine, error);
    engine->identity = calloc(engine->batch_packets, sizeof(uint16_t));
    engine->tally = calloc(engine->batch_packets, sizeof(uint16_t));
    if (status == 0 && (engine->identity == NULL || engine->tally == NULL))
        status = out_of_memory(error);
    for (uint32_t i = 0; status == 0 && i < engine->batch_packets; i++)
        engine->identity[i] = (uint16_t)i;
    for (uint32_t i = 0; status == 0 && i < engine->inputs_count; i++)
        status = prepare_order(engine, engine->inputs[i], error);
    for (uint32_t i = 0; status == 0 && i < engine->inputs_count; i++)
        status = count_copies(engine, engine->inputs[i], error);
    for (uint32_t i = 0; status == 0 && i < engine->nodes_count; i++)
        status = prepare_node(engine, engine->nodes[i], error);
    engine->prepared = status == 0;
    return status;
}

static uint32_t output_copies(const struct pb_engine *engine, const struct pb_output *output)
{
    for (uint32_t i = 0; i < engine->nodes_count; i++) {
        const struct pb_node *node = engine->nodes[i];
        if (output->edge >= node->edges && output->edge < node->edges + node->outputs)
            return node->copies > 0 ? node->copies : 1;
    }
    return 1;
}

int pb_graph_prepare_inputs(struct pb_engine *engine, struct pb_error *error)
{
    for (uint32_t i = 0; i < engine->inputs_count; i++) {
        struct pb_input *input = engine->inputs[i];
        input->done = false;
        if (!input->port.pausable || input->pending != NULL)
            continue;
        input->pending = calloc(engine->outputs_count, sizeof(*input->pending));
        if (input->pending == NULL)
            return out_of_memory(error);
        for (uint32_t o = 0; o < engine->outputs_count; o++) {
            if (!input->reaches[o])
                continue;
            size_t indices = (size_t)output_copies(engine, engine->outputs[o]) * engine->batch_packets;
            input->pending[o].index = calloc(indices, sizeof(uint16_t));
            if (input->pending[o].index == NULL)
                return out_of_memory(error);
        }
    }
    return 0;
}

static void free_node(struct pb_node *node)
{
    if (node->initialised && node->brick->fini != NULL)
        node->brick->fini(node->state);
    for (uint32_t i = 0; i < node->outputs; i++)
        free(node->edges[i].vector.index);
    free(node->joined.index);
    free(node->edges);
    free(node->vectors);
    free(node->config);
    free(node->state);
    free(node);
}

static void free_port(struct pb_port *port)
{
    if (port->driver->destroy != NULL)
        port->driver->destroy(port);
    free(port->name);
    free(port->options);
}

void pb_graph_free(struct pb_engine *engine)
{
    for (uint32_t i = 0; i < engine->inputs_count; i++) {
        struct pb_input *input = engine->inputs[i];
        for (uint32_t o = 0; input->pending != NULL && o < engine->outputs_count; o++)
            free(input->pending[o].index);
        free(input->pending);
        free(input->reaches);
        free(input->order);
        free(input->packets);
        free_port(&input->port);
        free(input);
    }
    for (uint32_t i = 0; i < engine->outputs_count; i++) {
        free_port(&engine->outputs[i]->port);
        free(engine->outputs[i]);
    }
    for (uint32_t i = 0; i < engine->nodes_count; i++)
        free_node(engine->nodes[i]);
    free(engine->identity);
    free(engine->tally);
    pb_counters_close(&engine->page);
}

/* -------------------------------------------------------------------- run */

/* The packets of all edges into a node, in order of arrival: a counting sort
 * over the batch, which keeps copies side by side. `count` packets are in the
 * batch; `whole`: all of them come straight from the port, too. */
static struct pb_batch join_edges(struct pb_engine *engine, struct pb_node *node, uint32_t count, bool whole)
{
    memset(engine->tally, 0, count * sizeof(engine->tally[0]));
    for (struct pb_edge *edge = node->into; edge != NULL; edge = edge->next_into_node) {
        for (uint32_t i = 0; i < edge->vector.count; i++)
            engine->tally[edge->vector.index[i]]++;
        edge->vector.count = 0;
    }
    uint32_t joined = 0;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t copies = engine->tally[i] + (whole ? 1u : 0u); copies > 0; copies--)
            node->joined.index[joined++] = (uint16_t)i;
    return (struct pb_batch){.index = node->joined.index, .count = joined};
}

/* What has arrived at a node, and an empty vector behind it. */
static struct pb_batch gather(struct pb_engine *engine, struct pb_input *input, struct pb_node *node, uint32_t count)
{
    bool whole = node == input->node;
    struct pb_edge *edge = node->into;
    if (whole && edge == NULL)
        return (struct pb_batch){.index = engine->identity, .count = count};
    if (!whole && edge->next_into_node == NULL) {
        uint32_t arrived = edge->vector.count;
        edge->vector.count = 0;
        return (struct pb_batch){.index = edge->vector.index, .count = arrived};
    }
    return join_edges(engine, node, count, whole);
}

static void run_node(struct pb_node *node, const struct pb_batch *batch)
{
    struct pb_outputs outputs = {.vectors = node->vectors, .count = node->outputs};
    node->brick->process(node->state, batch, &outputs);
    uint64_t sent = 0;
    for (uint32_t i = 0; i < node->outputs; i++) {
        uint32_t count = node->edges[i].vector.count;
        sent += count;
        if (count > 0)
            pb_counter_add(&node->output_counters[i], count);
    }
    assert(node->brick->copies || sent <= batch->count);
    pb_counter_add(&node->counters[PB_BRICK_RX_PACKETS], batch->count);
    pb_counter_add(&node->counters[PB_BRICK_TX_PACKETS], sent);
    if (sent > batch->count)
        pb_counter_add(&node->counters[PB_BRICK_COPIES], sent - batch->count);
}

/* Keep what an output refused. */
static void hold(struct pb_engine *engine, struct pb_input *input, uint32_t output, const uint16_t *index, uint32_t count)
{
    struct pb_pending *pending = &input->pending[output];
    memcpy(pending->index, index, count * sizeof(*index));
    pending->first = 0;
    pending->count = count;
    input->pending_outputs++;
    pb_counter_add(&engine->counters[PB_ENGINE_IN_FLIGHT], count);
}

void pb_graph_run(struct pb_engine *engine, struct pb_input *input, uint32_t count)
{
    for (uint32_t i = 0; i < input->order_count; i++) {
        struct pb_node *node = input->order[i];
        struct pb_batch batch = gather(engine, input, node, count);
        batch.packets = input->packets;
        if (batch.count > 0)
            run_node(node, &batch);
    }
    bool may_wait = input->port.pausable;
    for (uint32_t o = 0; o < engine->outputs_count; o++) {
        struct pb_output *output = engine->outputs[o];
        struct pb_vector *vector = &output->edge->vector;
        if (vector->count == 0)
            continue;
        uint32_t taken = output->port.driver->tx_batch(&output->port, input->packets, vector->index, vector->count, may_wait);
        if (taken < vector->count)
            hold(engine, input, o, vector->index + taken, vector->count - taken);
        vector->count = 0;
    }
}

bool pb_graph_retry(struct pb_engine *engine, struct pb_input *input)
{
    for (uint32_t o = 0; input->pending_outputs > 0 && o < engine->outputs_count; o++) {
        struct pb_pending *pending = &input->pending[o];
        if (pending->count == 0)
            continue;
        struct pb_port *port = &engine->outputs[o]->port;
        uint32_t taken =
            port->driver->tx_batch(port, input->packets, pending->index + pending->first, pending->count, true);
        pending->first += taken;
        pending->count -= taken;
        pb_counter_add(&engine->counters[PB_ENGINE_IN_FLIGHT], -(uint64_t)taken);
        if (pending->count == 0)
            input->pending_outputs--;
    }
    return input->pending_outputs == 0;
}

void pb_graph_abandon(struct pb_engine *engine, struct pb_input *input)
{
    for (uint32_t o = 0; input->pending_outputs > 0 && o < engine->outputs_count; o++) {
        struct pb_pending *pending = &input->pending[o];
        if (pending->count == 0)
            continue;
        pb_counter_add(&engine->counters[PB_ENGINE_IN_FLIGHT], -(uint64_t)pending->count);
        pb_counter_add(&engine->counters[PB_ENGINE_DROP_STOPPED], pending->count);
        pending->count = 0;
        input->pending_outputs--;
    }
}
