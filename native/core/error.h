/*
 * error.h - filling in the caller's struct pb_error.
 *
 * Used on control paths only: never by a brick's process() or a port's
 * rx_batch()/tx_batch().
 */
#ifndef PB_ERROR_H
#define PB_ERROR_H

#include "module_api.h"
#include "packet_bricks.h"

/* Store `code` (a positive errno) and the formatted text; returns -code, so
 * that `return pb_fail(error, ENODEV, "...")` does both. `error` may be NULL. */
PB_MODULE_API int pb_fail(struct pb_error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* What an errno value means, with the remedy where there is a general one. */
PB_MODULE_API const char *pb_errno_text(int code);
/* The two apart, for who knows a better remedy: what it means, ... */
PB_MODULE_API const char *pb_errno_words(int code);
/* ... and what to do: `otherwise`, unless the number alone says it, as that of too many open files does. */
PB_MODULE_API const char *pb_errno_remedy(int code, const char *otherwise);

#endif
