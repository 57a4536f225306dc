/* error.c - see error.h. */
#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int pb_fail(struct pb_error *error, int code, const char *format, ...)
{
    if (error != NULL) {
        error->code = code;
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->text, sizeof(error->text), format, arguments);
        va_end(arguments);
    }
    return -code;
}

const char *pb_errno_text(int code)
{
    switch (code) {
    case EMFILE:
    case ENFILE:
        return "too many open files; raise the limit (ulimit -n)";
    case ENOMEM:
        return "out of memory; free some, or use smaller buffers";
    case ENOSPC:
        return "no space left on device; free some";
    default:
        return strerror(code);
    }
}
