/*
 * rewrite.c - room for packets that bricks change, and who may change what in place
 * (core/rewrite.h says what bricks see of it). Control thread, while there is no
 * engine thread. The memory is the input's, until pb_rewrite_free().
 */
#include <errno.h>
#include <stdlib.h>

#include "../core/error.h"
#include "../core/reserve.h"
#include "engine.h"

#define INDICES_MAX 65536 /* packets are referred to by 16 bits */

/* Room that is not used costs address space only. */
static size_t bytes_of(const struct pb_copies *copies)
{
    return (size_t)copies->max * PB_FRAME_BYTES_MAX;
}

int pb_rewrite_prepare(struct pb_engine *engine, struct pb_input *input, uint64_t rewritten, struct pb_error *error)
{
    struct pb_copies *copies = &input->copies;
    uint64_t max = rewritten * engine->batch_packets, indices = engine->batch_packets + max;
    if (indices > INDICES_MAX)
        return pb_fail(error, ERANGE, "engine \"%s\": bricks that change packets need %llu copies of a batch of %u, "
                       "at most %u; use a smaller batch", engine->name, (unsigned long long)max, engine->batch_packets,
                       INDICES_MAX - engine->batch_packets);
    copies->first = engine->batch_packets;
    copies->max = (uint32_t)max;
    input->packets = calloc(indices, sizeof(*input->packets));
    input->owned = calloc(input->order_count, sizeof(*input->owned));
    copies->origin = calloc(max + 1, sizeof(*copies->origin));
    if (input->packets == NULL || input->owned == NULL || copies->origin == NULL)
        return pb_fail(error, ENOMEM, "engine \"%s\": no memory for its packets; use a smaller batch", engine->name);
    if (max == 0)
        return 0;
    copies->bytes = pb_reserve(bytes_of(copies));
    if (copies->bytes == NULL)
        return pb_fail(error, errno, "engine \"%s\": no %zu MiB of address space for changed packets: %s; use a smaller "
                       "batch, or raise the limit (ulimit -v)", engine->name, bytes_of(copies) >> 20, pb_errno_text(errno));
    return 0;
}

/* Whether a brick makes several outputs see the same packets. */
static bool shares(const struct pb_node *node)
{
    return node->brick->copies && node->outputs > 1;
}

/*
 * A packet of the port is a brick's own if no way from the input to the brick leads over
 * one that shares; a copy is, if no way does that leads from a brick that can have made it.
 * By brick, `seen` are the kinds of packets that can come, `shared` those of them that
 * others can see. An output has the port's packets for itself under the same condition.
 */
void pb_rewrite_decide(struct pb_input *input)
{
    uint8_t seen[PB_BRICKS_MAX] = {0}, shared[PB_BRICKS_MAX] = {0};
    seen[input->node->index] = PB_OWNED_LENT;
    for (uint32_t i = 0; i < input->order_count; i++) {
        const struct pb_node *node = input->order[i];
        uint8_t here = shared[node->index];
        input->owned[i] = PB_OWNED_ALL & ~(here | (input->port.writable ? 0 : PB_OWNED_LENT));
        uint8_t leave = (uint8_t)(seen[node->index] | (node->brick->rewrites ? PB_OWNED_COPIES : 0));
        for (uint32_t o = 0; o < node->outputs; o++) {
            const struct pb_edge *edge = &node->edges[o];
            uint8_t seen_by_others = shares(node) ? leave : here;
            if (edge->to_node == NULL) {
                input->sole[edge->to_output->index] = (seen_by_others & PB_OWNED_LENT) == 0;
                continue;
            }
            seen[edge->to_node->index] |= leave;
            shared[edge->to_node->index] |= seen_by_others;
        }
    }
}

void pb_rewrite_free(struct pb_input *input)
{
    struct pb_copies *copies = &input->copies;
    pb_unreserve(copies->bytes, bytes_of(copies));
    free(copies->origin);
    free(input->owned);
    free(input->packets);
    *copies = (struct pb_copies){0};
    input->owned = NULL;
    input->packets = NULL;
}
