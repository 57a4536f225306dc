/*
 * clock.h - what time it is. A call costs some 20 ns: hot paths ask once for a batch.
 * Any thread.
 */
#ifndef PB_CLOCK_H
#define PB_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t pb_clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Since 1970-01-01 00:00 UTC, as packets are stamped. */
static inline uint64_t pb_clock_wall_ns(void)
{
    return (uint64_t)pb_clock_ns(CLOCK_REALTIME);
}

/* For intervals: it never steps. */
static inline int64_t pb_clock_steady_ns(void)
{
    return pb_clock_ns(CLOCK_MONOTONIC);
}

static inline int64_t pb_clock_steady_ms(void)
{
    return pb_clock_steady_ns() / 1000000;
}

#endif
