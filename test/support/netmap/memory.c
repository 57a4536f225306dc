/*
 * memory.c - the memories of the stand-in: one file each, mapped by applications up to memsize and by the library
 * whole. In it: netmap_if objects, rings, buffers; then what only the kernel's side sees: whose each buffer is, the
 * shadow of each slot, the stack of free buffers.
 *
 * A mapping stays until the process ends, as applications may still look at it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model.h"

#define RINGS_AT ((uint64_t)NM_IFS * NM_IF_BYTES)
#define BUFFERS_AT (RINGS_AT + (uint64_t)NM_RINGS * NM_RING_BYTES)
#define PAGE 4096u

uint64_t nm_memory_bytes(const struct nm_state *s)
{
    return (BUFFERS_AT + (uint64_t)s->buffers * NM_BUFFER_BYTES + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

static uint64_t shadow_at(const struct nm_state *s)
{
    return nm_memory_bytes(s) + ((s->buffers + PAGE - 1) & ~(PAGE - 1));
}

static uint64_t free_at(const struct nm_state *s)
{
    return shadow_at(s) + (uint64_t)NM_RINGS * NM_SLOTS_MAX * sizeof(uint32_t);
}

static uint64_t file_bytes(const struct nm_state *s)
{
    return free_at(s) + ((uint64_t)s->buffers + 1) * sizeof(uint32_t);
}

int nm_memory_open(struct nm_state *s, uint32_t memory)
{
    char path[4096];
    nm_path(path, sizeof(path), "memory", s->memories[memory].id);
    return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
}

struct nm_view *nm_memory_view(struct nm_state *s, uint32_t memory)
{
    static struct {
        uint16_t id;
        struct nm_view view;
    } views[NM_MEMORIES];
    if (views[memory].id == s->memories[memory].id)
        return &views[memory].view;
    int fd = nm_memory_open(s, memory);
    if (fd < 0)
        return NULL;
    uint8_t *base = mmap(NULL, file_bytes(s), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (base == MAP_FAILED)
        return NULL;
    if (views[memory].id != 0)
        munmap(views[memory].view.base, file_bytes(s));
    views[memory].id = s->memories[memory].id;
    views[memory].view = (struct nm_view){
        .base = base,
        .buffers = base + BUFFERS_AT,
        .place = base + nm_memory_bytes(s),
        .shadow = (uint32_t *)(base + shadow_at(s)),
        .free = (uint32_t *)(base + free_at(s)),
    };
    return &views[memory].view;
}

/* The lowest buffers lie on top of the stack. */
void nm_memory_restack(struct nm_state *s, uint32_t memory)
{
    struct nm_view *view = nm_memory_view(s, memory);
    if (view == NULL)
        return;
    uint32_t height = 0;
    for (uint32_t i = s->buffers; i-- > NM_BUFFERS_RESERVED;) {
        if (view->place[i] == NM_MARKED)
            view->place[i] = NM_USER;
        if (view->place[i] == NM_FREE)
            view->free[++height] = i;
    }
    view->free[0] = height;
}

uint32_t nm_memory_find(struct nm_state *s, uint16_t id)
{
    for (uint32_t m = 0; m < NM_MEMORIES; m++)
        if (s->memories[m].id == id)
            return m;
    return NM_NONE;
}

uint32_t nm_memory_make(struct nm_state *s, uint16_t id)
{
    uint32_t memory = nm_memory_find(s, 0);
    if (memory == NM_NONE)
        return NM_NONE;
    s->memories[memory] = (struct nm_memory){ .id = id };
    int fd = nm_memory_open(s, memory);
    bool made = fd >= 0 && ftruncate(fd, 0) == 0 && ftruncate(fd, (off_t)file_bytes(s)) == 0;
    if (fd >= 0)
        close(fd);
    if (!made || nm_memory_view(s, memory) == NULL) {
        s->memories[memory].id = 0;
        return NM_NONE;
    }
    nm_memory_restack(s, memory);
    return memory;
}

void nm_memory_remove(struct nm_state *s, uint32_t memory)
{
    char path[4096];
    nm_path(path, sizeof(path), "memory", s->memories[memory].id);
    unlink(path);
    s->memories[memory].id = 0;
}

bool nm_buffer_valid(const struct nm_state *s, uint32_t index)
{
    return index >= NM_BUFFERS_RESERVED && index < s->buffers;
}

uint8_t *nm_memory_buffer(const struct nm_state *s, const struct nm_view *view, uint32_t index)
{
    return view->buffers + (size_t)(nm_buffer_valid(s, index) ? index : 0) * NM_BUFFER_BYTES;
}

uint32_t nm_buffer_take(struct nm_view *view, enum nm_place place)
{
    if (view->free[0] == 0)
        return 0;
    uint32_t index = view->free[view->free[0]--];
    view->place[index] = (uint8_t)place;
    return index;
}

void nm_buffer_free(struct nm_view *view, uint32_t index)
{
    view->place[index] = NM_FREE;
    view->free[++view->free[0]] = index;
}

void nm_memory_settle(struct nm_state *s, uint32_t memory)
{
    struct nm_view *view = nm_memory_view(s, memory);
    if (view == NULL)
        return;
    uint32_t lost = 0;
    for (uint32_t i = NM_BUFFERS_RESERVED; i < s->buffers; i++) {
        lost += view->place[i] != NM_FREE;
        view->place[i] = NM_FREE;
    }
    if (lost > 0 && !s->memories[memory].excused)
        nm_violation(s, "memory %u: %u buffers lost: in no ring and in no chain of extra buffers", s->memories[memory].id, lost);
    s->memories[memory].excused = false;
    nm_memory_restack(s, memory);
}
