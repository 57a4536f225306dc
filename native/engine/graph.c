/*
 * graph.c - carries batches through the graph of an engine. prepare.c makes it.
 *
 * A batch visits each brick at most once, parents first. Edges carry indices
 * into the input's packet array; where several edges meet in a brick, their
 * packets are put back in order of arrival, so a balanced and merged stream is
 * the stream it was. Runs on the engine thread.
 */
#include <assert.h>
#include <string.h>

#include "engine.h"

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

/* The same where some packets are changed copies, which stand in for their originals: a
 * counting sort by origin. Of one packet's copies that of the edge connected first comes first. */
static struct pb_batch join_copies(struct pb_engine *engine, const struct pb_copies *copies, struct pb_node *node,
                                   uint32_t count, bool whole)
{
    uint32_t *end = engine->tally, joined = 0;
    for (uint32_t i = 0; i < count; i++)
        end[i] = whole ? 1 : 0;
    for (struct pb_edge *edge = node->into; edge != NULL; edge = edge->next_into_node)
        for (uint32_t i = 0; i < edge->vector.count; i++)
            end[pb_copy_origin(copies, edge->vector.index[i])]++;
    for (uint32_t i = 0; i < count; i++)
        end[i] = joined += end[i];
    /* Edges are listed from the last connected to the first, so places are taken from the end. */
    for (struct pb_edge *edge = node->into; edge != NULL; edge = edge->next_into_node)
        for (; edge->vector.count > 0; edge->vector.count--) {
            uint16_t index = edge->vector.index[edge->vector.count - 1];
            node->joined.index[--end[pb_copy_origin(copies, index)]] = index;
        }
    for (uint32_t i = 0; whole && i < count; i++)
        node->joined.index[--end[i]] = (uint16_t)i;
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
    return input->copies.count > 0 ? join_copies(engine, &input->copies, node, count, whole)
                                   : join_edges(engine, node, count, whole);
}

bool pb_output_deserted(const struct pb_outputs *outputs, uint32_t output)
{
    const struct pb_output *port = outputs->edges[output].to_output;
    return port != NULL && port->port.deserted;
}

/* What a brick has dropped so far, for any reason. */
static uint64_t dropped_so_far(const struct pb_node *node)
{
    uint64_t dropped = 0;
    for (uint32_t i = 0; i < node->brick->counters_count; i++)
        if (node->brick->counters[i].kind == PB_COUNTER_DROP)
            dropped += pb_counter_get(&node->counters[PB_BRICK_COUNTERS + i]);
    return dropped;
}

static void run_node(struct pb_engine *engine, struct pb_node *node, const struct pb_batch *batch)
{
    struct pb_outputs outputs = {
        .vectors = node->vectors, .count = node->outputs, .changes = engine->output_changes, .edges = node->edges};
    uint64_t dropped_before = dropped_so_far(node);
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
    /* A batch may lose packets and gain copies. */
    uint64_t ended = sent + dropped_so_far(node) - dropped_before;
    if (ended > batch->count)
        pb_counter_add(&node->counters[PB_BRICK_COPIES], ended - batch->count);
}

/* Offer packets to an output; returns how many, from the front, it has dealt with. */
static uint32_t offer(const struct pb_engine *engine, struct pb_input *input, uint32_t output, const uint16_t *index,
                      uint32_t count)
{
    struct pb_port *port = &engine->outputs[output]->port;
    const struct pb_tx tx = {.packets = input->packets,
                             .index = index,
                             .count = count,
                             .lent = engine->batch_packets,
                             .from = &input->port,
                             .sole = input->sole[output],
                             .may_wait = input->port.pausable};
    return port->operations->tx_batch(port, &tx);
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
    input->copies.count = 0;
    input->copies.used = 0;
    for (uint32_t i = 0; i < input->order_count; i++) {
        struct pb_node *node = input->order[i];
        struct pb_batch batch = gather(engine, input, node, count);
        batch.packets = input->packets;
        batch.copies = &input->copies;
        batch.owned = input->owned[i];
        if (batch.count > 0)
            run_node(engine, node, &batch);
    }
    for (uint32_t o = 0; o < engine->outputs_count; o++) {
        struct pb_output *output = engine->outputs[o];
        struct pb_vector *vector = &output->edge->vector;
        if (vector->count == 0)
            continue;
        uint32_t taken = offer(engine, input, o, vector->index, vector->count);
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
        uint32_t taken = offer(engine, input, o, pending->index + pending->first, pending->count);
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
