/* fragments.c - see fragments.h. Nothing is kept yet. */
#include "fragments.h"

#include <errno.h>

#include "error.h"

int pb_fragments_open(struct pb_fragments **table, uint32_t entries, struct pb_error *error)
{
    (void)entries;
    (void)error;
    *table = NULL;
    return 0;
}

void pb_fragments_close(struct pb_fragments *table)
{
    (void)table;
}
