/* expression_words.c - an expression taken apart. See expression_words.h. */
#include "expression_words.h"

#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_operator(char c)
{
    return c != '\0' && strchr("()[]!&|<>=+*%^", c) != NULL;
}

struct pb_expression_word pb_expression_next_word(const char *text, uint32_t from)
{
    while (is_space(text[from]))
        from++;
    uint32_t end = from;
    if (is_operator(text[end])) {
        end++;
        if (strchr("&|<>=!", text[from]) != NULL && text[end] != '\0' && strchr("&|<>=", text[end]) != NULL)
            end++;
    } else {
        while (text[end] != '\0' && !is_space(text[end]) && !is_operator(text[end]))
            end++;
    }
    return (struct pb_expression_word){.offset = from, .length = end - from};
}

bool pb_expression_joins(const char *text, struct pb_expression_word word)
{
    static const char *const joints[] = {"and", "or", "&&", "||"};
    for (size_t i = 0; i < sizeof(joints) / sizeof(*joints); i++)
        if (strlen(joints[i]) == word.length && memcmp(joints[i], text + word.offset, word.length) == 0)
            return true;
    return false;
}

bool pb_expression_close_brackets(const char *text, char *closing)
{
    uint32_t open = 0;
    bool accessor = false;
    for (; *text != '\0'; text++) {
        if (*text == '(')
            closing[open++] = ')';
        if (*text == ')' && open > 0)
            open--;
        if (*text == '[' || *text == ']')
            accessor = *text == '[';
    }
    closing[open] = '\0';
    return accessor;
}
