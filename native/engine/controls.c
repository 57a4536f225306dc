/*
 * controls.c - control objects of bricks, by handle: part of the control ABI of
 * packet_bricks.h. An object is held by the brick of the TypeScript side, through
 * its handle, and by each engine that the brick is linked to; the last one to let
 * go frees it. Control thread only.
 */
#include <errno.h>
#include <stdlib.h>

#include "../core/error.h"
#include "../core/handle.h"
#include "engine.h"

_Static_assert(PB_CONTROLS_MAX <= PB_HANDLE_SLOTS_MAX, "a slot fits a handle");

struct pb_control_object {
    const struct pb_brick *brick;
    void *control;
    uint32_t holders;
};

static struct {
    struct pb_control_object *object;
    uint32_t generation;
} slots[PB_CONTROLS_MAX];

/* The slot that a handle names, UINT32_MAX: none. */
static uint32_t find_slot(int handle, struct pb_error *error)
{
    uint32_t slot = pb_handle_slot(handle);
    if (slot < PB_CONTROLS_MAX && slots[slot].object != NULL && slots[slot].generation == pb_handle_generation(handle))
        return slot;
    pb_fail(error, EBADF, "control handle %d: no such object", handle);
    return UINT32_MAX;
}

int pb_control_open(const char *name, const uint8_t *config, uint32_t config_bytes, struct pb_error *error)
{
    const struct pb_brick *brick = pb_brick_require(name, error);
    if (brick == NULL || pb_brick_check_config(brick, config_bytes, error) < 0)
        return -error->code;
    if (brick->control == NULL)
        return pb_fail(error, EOPNOTSUPP, "brick \"%s\": has no control object", name);
    uint32_t slot = 0;
    while (slot < PB_CONTROLS_MAX && slots[slot].object != NULL)
        slot++;
    if (slot == PB_CONTROLS_MAX)
        return pb_fail(error, EMFILE, "brick \"%s\": there are %d bricks like this already; forget some, and delete their engines",
                       name, PB_CONTROLS_MAX);
    struct pb_control_object *object = calloc(1, sizeof(*object));
    if (object == NULL)
        return pb_fail(error, ENOMEM, "brick \"%s\": no memory", name);
    object->brick = brick;
    object->holders = 1;
    int status = brick->control->open(config, config_bytes, &object->control, error);
    if (status < 0) {
        free(object);
        return status;
    }
    slots[slot].object = object;
    slots[slot].generation = pb_handle_next_generation(slots[slot].generation);
    return pb_handle_make(slot, slots[slot].generation);
}

int pb_control_command(int handle, const uint8_t *request, uint32_t request_bytes, uint8_t *reply, uint32_t reply_bytes,
                       struct pb_error *error)
{
    uint32_t slot = find_slot(handle, error);
    if (slot == UINT32_MAX)
        return -error->code;
    const struct pb_control_object *object = slots[slot].object;
    return object->brick->control->command(object->control, request, request_bytes, reply, reply_bytes, error);
}

int pb_control_close(int handle, struct pb_error *error)
{
    uint32_t slot = find_slot(handle, error);
    if (slot == UINT32_MAX)
        return -error->code;
    pb_control_drop(slots[slot].object);
    slots[slot].object = NULL;
    return 0;
}

struct pb_control_object *pb_control_hold(int handle, const struct pb_brick *brick, struct pb_error *error)
{
    uint32_t slot = find_slot(handle, error);
    if (slot == UINT32_MAX)
        return NULL;
    struct pb_control_object *object = slots[slot].object;
    if (object->brick != brick) {
        pb_fail(error, EINVAL, "control handle %d: is a %s's, not a %s's", handle, object->brick->name, brick->name);
        return NULL;
    }
    object->holders++;
    return object;
}

void pb_control_drop(struct pb_control_object *object)
{
    if (--object->holders > 0)
        return;
    object->brick->control->close(object->control);
    free(object);
}

void *pb_control_of(const struct pb_control_object *object)
{
    return object->control;
}
