/*
 * ports.c - the ports of the stand-in by name, and their rings: made when a descriptor needs them, removed when none
 * does any more. NICs and their pipes share memory 1; every VALE port and every parent without a NIC has its own.
 */
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/stat.h>

#include "model.h"

static uint64_t netns(void)
{
    struct stat status;
    return stat("/proc/thread-self/ns/net", &status) == 0 ? status.st_ino : 0;
}

static uint32_t find(struct nm_state *s, const struct nm_port *wanted)
{
    for (uint32_t i = 0; i < s->ports_end; i++) {
        const struct nm_port *p = &s->ports[i];
        if (p->kind == wanted->kind && p->netns == wanted->netns && p->ifindex == wanted->ifindex && !p->gone &&
            p->parent == wanted->parent && strcmp(p->name, wanted->name) == 0)
            return i;
    }
    return NM_NONE;
}

static uint32_t add(struct nm_state *s, const struct nm_port *wanted)
{
    uint32_t i = 0;
    while (i < NM_PORTS && s->ports[i].kind != NM_UNUSED)
        i++;
    if (i == NM_PORTS)
        return NM_NONE;
    s->ports[i] = *wanted;
    s->ports[i].serial = ++s->serial;
    if (i >= s->ports_end)
        s->ports_end = i + 1;
    return i;
}

/* The switch of "valeX:port". */
static uint32_t find_bridge(struct nm_state *s, const char *name)
{
    size_t length = strcspn(name, ":");
    uint32_t unused = NM_NONE;
    for (uint32_t i = 0; i < NM_BRIDGES; i++) {
        if (strlen(s->bridges[i].name) == length && strncmp(s->bridges[i].name, name, length) == 0)
            return i;
        if (s->bridges[i].name[0] == '\0' && unused == NM_NONE)
            unused = i;
    }
    if (unused != NM_NONE) {
        memset(&s->bridges[unused], 0, sizeof(s->bridges[unused]));
        memcpy(s->bridges[unused].name, name, length);
    }
    return unused;
}

static uint32_t bounded(uint32_t wanted, uint32_t value, uint32_t min, uint32_t max)
{
    if (wanted == 0)
        return value;
    return wanted < min ? min : wanted > max ? max : wanted;
}

static void shape(struct nm_state *s, struct nm_port *p, const uint32_t slots[2], const uint32_t rings[2])
{
    for (int dir = 0; dir < 2; dir++) {
        p->slots[dir] = bounded(slots[dir], s->slots, 4, NM_SLOTS_MAX);
        p->rings[dir] = bounded(rings[dir], 1, 1, NM_RINGS_MAX);
    }
}

/* A port that is no pipe. */
static int resolve_base(struct nm_state *s, const char *name, bool is_parent, const uint32_t slots[2],
                        const uint32_t rings[2], uint32_t *port)
{
    static const uint32_t nothing[2];
    struct nm_port p = { .parent = NM_NONE, .peer = NM_NONE, .bridge = NM_NONE };
    snprintf(p.name, sizeof(p.name), "%s", name);
    const char *colon = strchr(name, ':');
    if (strncmp(name, "vale", 4) == 0 && colon != NULL) {
        if (colon[1] == '\0')
            return -EINVAL;
        p.kind = NM_VALE;
        shape(s, &p, is_parent ? nothing : slots, is_parent ? nothing : rings);
    } else if ((p.ifindex = (int)if_nametoindex(name)) != 0) {
        p.kind = NM_NIC;
        p.netns = netns();
        p.rings[NM_RX] = p.rings[NM_TX] = s->nic_rings;
        p.slots[NM_RX] = p.slots[NM_TX] = s->slots;
        p.host_rings = 1;
    } else if (is_parent) {
        p.kind = NM_VIRTUAL;
    } else {
        return -ENXIO;
    }
    if ((*port = find(s, &p)) != NM_NONE)
        return 0;
    uint32_t nics = p.kind == NM_NIC ? nm_memory_find(s, 1) : NM_NONE;
    p.memory = nics != NM_NONE ? nics : nm_memory_make(s, p.kind == NM_NIC ? 1 : ++s->memory_ids);
    if (p.kind == NM_VALE)
        p.bridge = find_bridge(s, name);
    if (p.memory == NM_NONE || (p.kind == NM_VALE && p.bridge == NM_NONE))
        return -ENOMEM;
    *port = add(s, &p);
    return *port == NM_NONE ? -ENOMEM : 0;
}

/* Both ends are made together: what one sends the other receives. */
static int resolve_pipe(struct nm_state *s, const char *name, size_t brace, const uint32_t slots[2],
                        const uint32_t rings[2], uint32_t *port)
{
    char base[64] = "";
    memcpy(base, name, brace);
    struct nm_port p = { .kind = NM_PIPE, .peer = NM_NONE, .bridge = NM_NONE };
    int result = resolve_base(s, base, true, slots, rings, &p.parent);
    if (result != 0)
        return result;
    p.netns = s->ports[p.parent].netns;
    p.memory = s->ports[p.parent].memory;
    snprintf(p.name, sizeof(p.name), "%s", name);
    if ((*port = find(s, &p)) != NM_NONE)
        return 0;
    shape(s, &p, slots, rings);
    struct nm_port other = p;
    other.name[brace] = name[brace] == '{' ? '}' : '{';
    for (int dir = 0; dir < 2; dir++) {
        other.rings[dir] = p.rings[!dir];
        other.slots[dir] = p.slots[!dir];
    }
    *port = add(s, &p);
    if (*port == NM_NONE)
        return -ENOMEM;
    other.peer = *port;
    s->ports[*port].peer = add(s, &other);
    return s->ports[*port].peer == NM_NONE ? -ENOMEM : 0;
}

int nm_port_resolve(struct nm_state *s, const char *name, const uint32_t slots[2], const uint32_t rings[2], uint32_t *port)
{
    size_t length = strnlen(name, sizeof(s->ports[0].name));
    if (length == 0 || length == sizeof(s->ports[0].name))
        return -EINVAL;
    size_t brace = strcspn(name, "{}");
    if (brace == length)
        return resolve_base(s, name, false, slots, rings, port);
    const char *id = name + brace + 1;
    if (brace == 0 || *id == '\0' || strpbrk(id, "{}") != NULL)
        return -EINVAL; /* no parent, no number, or a pipe of a pipe */
    return resolve_pipe(s, name, brace, slots, rings, port);
}

bool nm_descriptor_binds(const struct nm_descriptor *d, uint32_t port, uint32_t dir, uint32_t ring)
{
    return d->open && d->registered && d->port == port && ring >= d->first[dir] && ring < d->end[dir];
}

bool nm_ring_at(struct nm_state *s, uint32_t port, uint32_t dir, uint32_t ring, struct nm_ring_ref *ref)
{
    struct nm_port *p = &s->ports[port];
    struct nm_kring *k = &p->kring[dir][ring];
    struct nm_view *view = k->object != 0 ? nm_memory_view(s, p->memory) : NULL;
    if (view == NULL)
        return false;
    *ref = (struct nm_ring_ref){
        .port = port,
        .dir = dir,
        .index = ring,
        .memory = p->memory,
        .k = k,
        .view = view,
        .ring = (struct netmap_ring *)(view->base + (size_t)NM_IFS * NM_IF_BYTES + (size_t)(k->object - 1) * NM_RING_BYTES),
        .shadow = view->shadow + (size_t)(k->object - 1) * NM_SLOTS_MAX,
    };
    return true;
}

/* 1 + the place of an unused ring in the memory; 0: none. */
static uint32_t free_object(const struct nm_state *s, uint32_t memory)
{
    static bool used[NM_RINGS];
    memset(used, 0, sizeof(used));
    for (uint32_t i = 0; i < s->ports_end; i++)
        for (int dir = 0; dir < 2 && s->ports[i].kind != NM_UNUSED && s->ports[i].memory == memory; dir++)
            for (uint32_t ring = 0; ring <= NM_RINGS_MAX; ring++)
                if (s->ports[i].kring[dir][ring].object != 0)
                    used[s->ports[i].kring[dir][ring].object - 1] = true;
    for (uint32_t i = 0; i < NM_RINGS; i++)
        if (!used[i])
            return i + 1;
    return 0;
}

/* Of a tx ring the application owns all slots but one, of an rx ring none. */
static int make_ring(struct nm_state *s, uint32_t port, uint32_t dir, uint32_t ring)
{
    struct nm_port *p = &s->ports[port];
    if (p->kring[dir][ring].object != 0)
        return 0;
    struct nm_view *view = nm_memory_view(s, p->memory);
    uint32_t slots = p->slots[dir], object = free_object(s, p->memory);
    if (view == NULL || object == 0 || view->free[0] < slots)
        return -ENOMEM;
    uint32_t tail = dir == NM_TX ? slots - 1 : 0;
    p->kring[dir][ring] = (struct nm_kring){ .object = object, .slots = slots, .hwtail = tail, .rtail = tail };
    struct nm_ring_ref ref;
    if (!nm_ring_at(s, port, dir, ring, &ref))
        return -ENOMEM;
    memset(ref.ring, 0, NM_RING_BYTES);
    ref.ring->buf_ofs = view->buffers - (uint8_t *)ref.ring;
    ref.ring->num_slots = slots;
    ref.ring->buf_size = NM_BUFFER_BYTES;
    ref.ring->ringid = (uint16_t)ring;
    ref.ring->dir = (uint16_t)dir;
    ref.ring->tail = tail;
    for (uint32_t i = 0; i < slots; i++)
        ref.ring->slot[i].buf_idx = ref.shadow[i] = nm_buffer_take(view, i < tail ? NM_USER : NM_KERNEL);
    return 0;
}

static void remove_ring(struct nm_state *s, uint32_t port, uint32_t dir, uint32_t ring)
{
    struct nm_ring_ref ref;
    if (!nm_ring_at(s, port, dir, ring, &ref))
        return;
    for (uint32_t i = 0; i < ref.k->slots; i++) {
        uint32_t index = ref.ring->slot[i].buf_idx;
        if (nm_buffer_valid(s, index) && ref.view->place[index] != NM_FREE)
            nm_buffer_free(ref.view, index);
        else
            nm_violation(s, "port %s: %s ring %u ends with buffer %u in slot %u, which is %s", s->ports[port].name,
                         dir == NM_TX ? "tx" : "rx", ring, index, i, nm_buffer_valid(s, index) ? "in two places" : "none");
    }
    *ref.k = (struct nm_kring){ 0 };
}

int nm_port_provide(struct nm_state *s, const struct nm_descriptor *d)
{
    const struct nm_port *p = &s->ports[d->port];
    for (uint32_t dir = 0; dir < 2; dir++)
        for (uint32_t ring = d->first[dir]; ring < d->end[dir]; ring++) {
            int result = make_ring(s, d->port, dir, ring);
            if (result == 0 && p->kind == NM_PIPE)
                result = make_ring(s, p->peer, !dir, ring);
            if (result != 0)
                return result;
        }
    return 0;
}

static bool ring_needed(const struct nm_state *s, uint32_t port, uint32_t dir, uint32_t ring)
{
    if (s->ports[port].kind == NM_PIPE)
        return true; /* as long as either end is: the other may come back */
    for (uint32_t i = 0; i < s->descriptors_end; i++)
        if (nm_descriptor_binds(&s->descriptors[i], port, dir, ring))
            return true;
    return false;
}

static void collect_memories(struct nm_state *s)
{
    for (uint32_t m = 0; m < NM_MEMORIES; m++) {
        bool needed = s->memories[m].id == 0;
        for (uint32_t i = 0; i < s->ports_end && !needed; i++)
            needed = s->ports[i].kind != NM_UNUSED && s->ports[i].memory == m;
        if (needed)
            continue;
        nm_memory_settle(s, m);
        if (s->memories[m].id != 1)
            nm_memory_remove(s, m);
    }
}

static void collect_bridges(struct nm_state *s)
{
    for (uint32_t b = 0; b < NM_BRIDGES; b++) {
        bool needed = false;
        for (uint32_t i = 0; i < s->ports_end && !needed; i++)
            needed = s->ports[i].kind == NM_VALE && s->ports[i].bridge == b;
        if (!needed)
            s->bridges[b].name[0] = '\0';
    }
}

void nm_port_collect(struct nm_state *s)
{
    static bool needed[NM_PORTS];
    memset(needed, 0, sizeof(needed));
    for (uint32_t i = 0; i < s->descriptors_end; i++) {
        const struct nm_descriptor *d = &s->descriptors[i];
        if (!d->open || !d->registered)
            continue;
        needed[d->port] = true;
        if (s->ports[d->port].kind == NM_PIPE)
            needed[s->ports[d->port].peer] = needed[s->ports[d->port].parent] = true;
    }
    for (uint32_t i = 0; i < s->ports_end; i++) {
        for (uint32_t dir = 0; dir < 2; dir++)
            for (uint32_t ring = 0; ring <= NM_RINGS_MAX; ring++)
                if (s->ports[i].kring[dir][ring].object != 0 && !(needed[i] && ring_needed(s, i, dir, ring)))
                    remove_ring(s, i, dir, ring);
        if (!needed[i])
            s->ports[i].kind = NM_UNUSED;
    }
    collect_memories(s);
    collect_bridges(s);
}
