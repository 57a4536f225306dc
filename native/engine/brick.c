/* brick.c - the registry of bricks, and what simple ones share. See brick.h. */
#include "brick.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../core/error.h"

#define KINDS_MAX 128

static const struct pb_brick *kinds[KINDS_MAX];
static uint32_t kinds_count;

void pb_brick_register(const struct pb_brick *brick)
{
    /* Runs before main: one too many is a mistake of the build, seen at once. */
    if (kinds_count == KINDS_MAX)
        abort();
    uint32_t i = kinds_count++;
    for (; i > 0 && strcmp(kinds[i - 1]->name, brick->name) > 0; i--)
        kinds[i] = kinds[i - 1];
    kinds[i] = brick;
}

const struct pb_brick *pb_brick_find(const char *name)
{
    for (uint32_t i = 0; i < kinds_count; i++)
        if (strcmp(kinds[i]->name, name) == 0)
            return kinds[i];
    return NULL;
}

const struct pb_brick *pb_brick_require(const char *name, struct pb_error *error)
{
    const struct pb_brick *brick = pb_brick_find(name);
    if (brick == NULL)
        pb_fail(error, ENOENT, "brick \"%s\": the native library has no such brick; run npm run build", name);
    return brick;
}

int pb_brick_check_config(const struct pb_brick *brick, uint32_t config_bytes, struct pb_error *error)
{
    bool fits = brick->config_tail ? config_bytes >= brick->config_bytes : config_bytes == brick->config_bytes;
    return fits ? 0
                : pb_fail(error, EINVAL, "brick \"%s\": %u bytes of options, needs %u", brick->name, config_bytes,
                          brick->config_bytes);
}

const struct pb_brick *pb_brick_at(uint32_t i)
{
    return i < kinds_count ? kinds[i] : NULL;
}

void pb_brick_pass(void *state, const struct pb_batch *batch, struct pb_outputs *outputs)
{
    (void)state;
    pb_forward(batch, outputs, 0);
}
