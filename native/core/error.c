/* error.c - see error.h. */
#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
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

#define MEANING(code, decides, words, remedy) {code, decides, words, remedy, words "; " remedy}

/* Errors with a general remedy. One that decides is the remedy whoever meets it. */
static const struct meaning {
    int code;
    bool decides;
    const char *words, *remedy, *text;
} meanings[] = {
    MEANING(EMFILE, true, "too many open files", "raise the limit (ulimit -n)"),
    MEANING(ENFILE, true, "too many open files in the whole system", "raise the limit (sysctl fs.file-max)"),
    MEANING(ENOMEM, false, "out of memory", "free some, or use smaller buffers"),
    MEANING(ENOSPC, false, "no space left on device", "free some"),
};

static const struct meaning *find(int code)
{
    for (uint32_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
        if (meanings[i].code == code)
            return &meanings[i];
    return NULL;
}

const char *pb_errno_text(int code)
{
    const struct meaning *meaning = find(code);
    return meaning == NULL ? strerror(code) : meaning->text;
}

const char *pb_errno_words(int code)
{
    const struct meaning *meaning = find(code);
    return meaning == NULL ? strerror(code) : meaning->words;
}

const char *pb_errno_remedy(int code, const char *otherwise)
{
    const struct meaning *meaning = find(code);
    return meaning != NULL && meaning->decides ? meaning->remedy : otherwise;
}
