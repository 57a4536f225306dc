/* text.c - see text.h. */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>

void pb_text_add(struct pb_text *text, const char *format, ...)
{
    uint32_t room = text->length < text->capacity ? text->capacity - text->length : 0;
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(room > 0 ? text->buffer + text->length : NULL, room, format, arguments);
    va_end(arguments);
    if (n > 0)
        text->length += (uint32_t)n;
}

void pb_text_add_json(struct pb_text *text, const char *string)
{
    pb_text_add(text, "\"");
    for (const char *c = string; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            pb_text_add(text, "\\%c", *c);
        else if ((unsigned char)*c < 0x20)
            pb_text_add(text, "\\u%04x", (unsigned)*c);
        else
            pb_text_add(text, "%c", *c);
    }
    pb_text_add(text, "\"");
}

int pb_text_result(const struct pb_text *text)
{
    return text->length < text->capacity ? (int)text->length : -(int)(text->length + 1);
}
