/*
 * state.c - the stand-in's state: made in the folder NETMAP_STAND_IN by whoever comes first, mapped by every process,
 * guarded by a robust mutex. A process killed while it held the mutex is made good here by the next one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model.h"

#define MAGIC 0x6e65746d61702d31u
#define VIOLATIONS_MAX 1000 /* written; more are only counted */
#define BUFFERS_DEFAULT 163840
#define SLOTS_DEFAULT 256

const char *nm_folder(void)
{
    const char *folder = getenv("NETMAP_STAND_IN");
    return folder == NULL || *folder == '\0' ? NULL : folder;
}

void nm_path(char *path, size_t bytes, const char *stem, uint32_t number)
{
    const char *folder = nm_folder();
    if (number == NM_NONE)
        snprintf(path, bytes, "%s/%s", folder != NULL ? folder : ".", stem);
    else
        snprintf(path, bytes, "%s/%s-%u", folder != NULL ? folder : ".", stem, number);
}

/* A number from the environment, between bounds. */
static uint32_t setting(const char *name, uint32_t value, uint32_t min, uint32_t max)
{
    const char *text = getenv(name);
    if (text == NULL || *text == '\0')
        return value;
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (*end != '\0' || number < min || number > max) {
        fprintf(stderr, "netmap stand-in: %s=%s: give a number from %u to %u\n", name, text, min, max);
        return value;
    }
    return (uint32_t)number;
}

static void prepare(struct nm_state *s)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&s->mutex, &attributes);
    s->buffers = setting("NETMAP_STAND_IN_BUFFERS", BUFFERS_DEFAULT, 16, BUFFERS_DEFAULT);
    s->nic_rings = setting("NETMAP_STAND_IN_RINGS", 1, 1, NM_RINGS_MAX);
    s->slots = setting("NETMAP_STAND_IN_SLOTS", SLOTS_DEFAULT, 4, NM_SLOTS_MAX);
    s->memory_ids = 1; /* 1 is the memory of all NICs */
    s->magic = MAGIC;
}

static struct nm_state *attach(void)
{
    char path[4096];
    nm_path(path, sizeof(path), "state", NM_NONE);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return NULL;
    struct nm_state *s = NULL;
    struct stat status;
    flock(fd, LOCK_EX);
    if (fstat(fd, &status) == 0 && (status.st_size >= (off_t)sizeof(*s) || ftruncate(fd, sizeof(*s)) == 0)) {
        s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (s == MAP_FAILED)
            s = NULL;
        else if (s->magic != MAGIC)
            prepare(s);
    }
    flock(fd, LOCK_UN); /* the mapping keeps the file open */
    close(fd);
    return s;
}

struct nm_state *nm_state(void)
{
    static struct nm_state *state;
    static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
    if (nm_folder() == NULL)
        return NULL;
    pthread_mutex_lock(&once);
    if (state == NULL)
        state = attach();
    pthread_mutex_unlock(&once);
    return state;
}

/* What a process was doing when it was killed with the mutex held: moves are completed, stacks made anew. */
static void repair(struct nm_state *s)
{
    if (s->move.armed)
        nm_move_apply(s);
    for (uint32_t m = 0; m < NM_MEMORIES; m++) {
        if (s->memories[m].id == 0)
            continue;
        s->memories[m].excused = true;
        nm_memory_restack(s, m);
    }
}

void nm_lock(struct nm_state *s)
{
    int result = pthread_mutex_lock(&s->mutex);
    if (result == EOWNERDEAD) {
        repair(s);
        result = pthread_mutex_consistent(&s->mutex);
    }
    if (result == 0)
        return;
    fprintf(stderr, "netmap stand-in: the mutex in %s: %s\n", nm_folder(), strerror(result));
    abort();
}

void nm_unlock(struct nm_state *s)
{
    pthread_mutex_unlock(&s->mutex);
}

void nm_violation(struct nm_state *s, const char *format, ...)
{
    if (s->violations++ >= VIOLATIONS_MAX)
        return;
    char path[4096], text[512];
    int used = snprintf(text, sizeof(text), "process %d: ", (int)getpid());
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(text + used, sizeof(text) - (size_t)used - 1, format, arguments);
    va_end(arguments);
    used += more < (int)sizeof(text) - used - 1 ? more : (int)sizeof(text) - used - 2;
    text[used++] = '\n';
    nm_path(path, sizeof(path), "violations", NM_NONE);
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 || write(fd, text, (size_t)used) != used)
        fprintf(stderr, "netmap stand-in: %s: %s: %s", path, strerror(errno), text);
    if (fd >= 0)
        close(fd);
}
