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

/* Processor time of this process. */
static inline uint64_t processor_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
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

/* Pipes of this process and its children meet in a new directory, that goes when this process exits. */
static char runtime_directory[] = "/tmp/bricks-bench-XXXXXX";
static pid_t runtime_owner;

static inline void remove_runtime_directory(void)
{
    char command[64];
    snprintf(command, sizeof(command), "rm -rf %s", runtime_directory);
    if (getpid() == runtime_owner && system(command) != 0)
        perror(runtime_directory);
}

static inline void make_runtime_directory(void)
{
    runtime_owner = getpid();
    if (mkdtemp(runtime_directory) == NULL || atexit(remove_runtime_directory) != 0 ||
        setenv("BRICKS_RUNTIME_DIR", runtime_directory, 1) < 0) {
        perror(runtime_directory);
        exit(1);
    }
}

#endif
