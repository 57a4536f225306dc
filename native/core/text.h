/*
 * text.h - building a text in a caller's buffer whose need is not known before.
 * Control paths only.
 */
#ifndef PB_TEXT_H
#define PB_TEXT_H

#include <stdint.h>

struct pb_text {
    char *buffer;
    uint32_t capacity;
    uint32_t length; /* of the whole text, also where it did not fit */
};

void pb_text_add(struct pb_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Adds a JSON string, quotes included (RFC 8259 section 7). */
void pb_text_add_json(struct pb_text *text, const char *string);
/* The length, or minus the buffer size needed. */
int pb_text_result(const struct pb_text *text);

#endif
