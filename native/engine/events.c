/* events.c - see events.h. */
#include "events.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "packet_bricks.h"

#define EVENTS_MAX 64

static struct {
    pthread_mutex_t lock;
    int fd; /* eventfd, -1 until the control plane asks for it */
    uint32_t first, count;
    uint64_t lost;
    struct {
        int engine;
        char text[PB_ERROR_BYTES];
    } queue[EVENTS_MAX];
} events = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

static void signal_locked(void)
{
    uint64_t one = 1;
    if (events.fd >= 0 && write(events.fd, &one, sizeof(one)) < 0) {
        /* Non-blocking and already readable: the control plane will look. */
    }
}

void pb_event_post(int engine, const char *format, ...)
{
    pthread_mutex_lock(&events.lock);
    if (events.count < EVENTS_MAX) {
        uint32_t at = (events.first + events.count++) % EVENTS_MAX;
        events.queue[at].engine = engine;
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(events.queue[at].text, sizeof(events.queue[at].text), format, arguments);
        va_end(arguments);
        signal_locked();
    } else {
        events.lost++;
    }
    pthread_mutex_unlock(&events.lock);
}

int pb_event_fd(void)
{
    pthread_mutex_lock(&events.lock);
    if (events.fd < 0) {
        events.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (events.count > 0)
            signal_locked();
    }
    int fd = events.fd < 0 ? -errno : events.fd;
    pthread_mutex_unlock(&events.lock);
    return fd;
}

int pb_event_take(char *text, uint32_t text_bytes)
{
    int engine = 0;
    pthread_mutex_lock(&events.lock);
    if (events.count > 0) {
        engine = events.queue[events.first].engine;
        if (events.lost > 0 && events.count == EVENTS_MAX) {
            snprintf(text, text_bytes, "%s (and %llu more reports that did not fit the queue)",
                     events.queue[events.first].text, (unsigned long long)events.lost);
            events.lost = 0;
        } else {
            snprintf(text, text_bytes, "%s", events.queue[events.first].text);
        }
        events.first = (events.first + 1) % EVENTS_MAX;
        events.count--;
    }
    uint64_t drained;
    if (events.count == 0 && events.fd >= 0 && read(events.fd, &drained, sizeof(drained)) < 0) {
        /* Nothing to drain. */
    }
    pthread_mutex_unlock(&events.lock);
    return engine;
}
