/* rewrite.c - see rewrite.h. Engine thread. */
#include "rewrite.h"

#include <assert.h>

#include "packet_bricks.h"

#define COPY_ALIGNMENT 16

uint16_t pb_packet_copy(const struct pb_batch *batch, uint16_t index, uint32_t room)
{
    struct pb_copies *copies = batch->copies;
    const struct pb_packet *from = &batch->packets[index];
    uint32_t bytes = from->captured_len + room;
    assert(copies->count < copies->max && bytes <= PB_FRAME_BYTES_MAX);
    uint16_t place = (uint16_t)(copies->first + copies->count);
    batch->packets[place] = *from;
    batch->packets[place].data = memcpy(copies->bytes + copies->used, from->data, from->captured_len);
    copies->origin[copies->count++] = pb_copy_origin(copies, index);
    copies->used += (bytes + COPY_ALIGNMENT - 1) / COPY_ALIGNMENT * COPY_ALIGNMENT;
    return place;
}
