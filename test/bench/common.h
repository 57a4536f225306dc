/*
 * common.h - what the programs of this folder share: time, pinning, failing, a
 * runtime directory of their own. Included by each; they are one file each else.
 */
#ifndef PB_BENCH_COMMON_H
#define PB_BENCH_COMMON_H

#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "packet_bricks.h"

static inline uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline double now_s(void)
{
    return (double)now_ns() / 1e9;
}

static inline void pin(unsigned cpu)
{
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(cpu, &cpus);
    sched_setaffinity(0, sizeof(cpus), &cpus);
}

/* Returns `status`, or ends the program with the error's text. */
static inline int check(int status, const struct pb_error *error)
{
    if (status >= 0)
        return status;
    fprintf(stderr, "%s\n", error->text);
    exit(1);
}

/* Pipes of this process and its children meet in a new directory; writes its path. */
static inline void make_runtime_directory(char path[32])
{
    snprintf(path, 32, "/tmp/bricks-bench-XXXXXX");
    if (mkdtemp(path) == NULL || setenv("BRICKS_RUNTIME_DIR", path, 1) < 0) {
        perror(path);
        exit(1);
    }
}

/* Returns 0 when the directory is gone. */
static inline int remove_runtime_directory(const char *path)
{
    char command[64];
    snprintf(command, sizeof(command), "rm -rf %s", path);
    return system(command);
}

#endif
