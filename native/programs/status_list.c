/* status_list.c - asks all pipes at the same time what they are doing. See status_list.h. */
#include "status_list.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../core/error.h"

#define STACK_BYTES (128u << 10) /* pb_pipe_status() keeps paths on it */

/* A pipe, and the thread's answer: only its own until `survey` has it. */
struct question {
    struct pb_status_entry entry;
    struct survey *survey;
};

struct survey {
    pthread_mutex_t mutex;
    pthread_cond_t answer;
    struct question *questions;
    uint32_t count, unanswered;
};

static int add_question(const char *name, void *arg)
{
    struct survey *survey = arg;
    struct question *larger = realloc(survey->questions, (survey->count + 1) * sizeof(*larger));
    if (larger == NULL)
        return -ENOMEM;
    survey->questions = larger;
    struct question *question = &larger[survey->count++];
    *question = (struct question){.survey = survey};
    snprintf(question->entry.name, sizeof(question->entry.name), "%s", name);
    pb_fail(&question->entry.error, ETIMEDOUT, "pipe \"%s\": its engine does not answer", name);
    question->entry.result = -ETIMEDOUT;
    return 0;
}

static void *ask(void *arg)
{
    struct question *question = arg;
    struct survey *survey = question->survey;
    struct pb_status_entry entry = question->entry;
    entry.result = pb_pipe_status(entry.name, &entry.status, &entry.error);
    pthread_mutex_lock(&survey->mutex);
    question->entry = entry;
    survey->unanswered--;
    pthread_cond_signal(&survey->answer);
    pthread_mutex_unlock(&survey->mutex);
    return NULL;
}

static void ask_all(struct survey *survey)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES > PTHREAD_STACK_MIN ? STACK_BYTES : PTHREAD_STACK_MIN);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    survey->unanswered = survey->count;
    for (uint32_t i = 0; i < survey->count; i++)
        if (pthread_create(&thread, &attributes, ask, &survey->questions[i]) != 0)
            ask(&survey->questions[i]); /* no more threads for this user: one after the other then */
    pthread_attr_destroy(&attributes);
}

static void wait_for_answers(struct survey *survey)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += PB_STATUS_LIST_MS / 1000;
    pthread_mutex_lock(&survey->mutex);
    while (survey->unanswered > 0 && pthread_cond_timedwait(&survey->answer, &survey->mutex, &deadline) == 0)
        ;
    pthread_mutex_unlock(&survey->mutex);
}

int pb_status_list(void (*each)(const struct pb_status_entry *entry), struct pb_error *error)
{
    struct survey *survey = calloc(1, sizeof(*survey));
    if (survey == NULL)
        return pb_fail(error, ENOMEM, "cannot list the pipes: out of memory");
    pthread_mutex_init(&survey->mutex, NULL);
    pthread_cond_init(&survey->answer, NULL);
    int result = pb_pipe_list(add_question, survey, error);
    if (result == -ENOMEM)
        pb_fail(error, ENOMEM, "cannot list the pipes: out of memory");
    if (result == 0)
        ask_all(survey);
    wait_for_answers(survey);
    for (uint32_t i = 0; i < survey->count && result == 0; i++) {
        pthread_mutex_lock(&survey->mutex);
        struct pb_status_entry entry = survey->questions[i].entry;
        pthread_mutex_unlock(&survey->mutex);
        if (entry.result != -ENOENT) /* gone in the meantime */
            each(&entry);
    }
    pthread_mutex_lock(&survey->mutex);
    bool finished = survey->unanswered == 0;
    pthread_mutex_unlock(&survey->mutex);
    if (finished) { /* or threads still hold it */
        pthread_cond_destroy(&survey->answer);
        pthread_mutex_destroy(&survey->mutex);
        free(survey->questions);
        free(survey);
    }
    return result;
}
