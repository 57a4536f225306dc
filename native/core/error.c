/* error.c - see error.h. */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>

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
