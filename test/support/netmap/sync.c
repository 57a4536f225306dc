/*
 * sync.c - the moments at which slots change hands: NIOCTXSYNC, NIOCRXSYNC and poll(), and the rules that hold there.
 *
 * Of a ring the application owns [head, tail), the kernel the rest. A ring whose pointers or given buffers are unsound
 * is reset to what the kernel knows, sends nothing, and makes poll() say POLLERR; the ioctl succeeds all the same.
 * Every broken rule is recorded.
 */
#include <errno.h>
#include <string.h>

#include "model.h"

static void blame(struct nm_state *s, const struct nm_ring_ref *ref, const char *what, uint32_t one, uint32_t two)
{
    nm_violation(s, "port %s: %s ring %u: %s (%u, %u)", s->ports[ref->port].name, ref->dir == NM_TX ? "tx" : "rx", ref->index,
                 what, one, two);
}

struct netmap_slot *nm_kernel_slot(struct nm_state *s, const struct nm_ring_ref *ref, uint32_t i)
{
    struct netmap_slot *slot = &ref->ring->slot[i];
    if (slot->buf_idx != ref->shadow[i]) {
        blame(s, ref, "the application wrote a slot that the kernel owns (slot, buffer)", i, slot->buf_idx);
        slot->buf_idx = ref->shadow[i];
    }
    if (slot->len > NM_BUFFER_BYTES)
        slot->len = 0;
    return slot;
}

bool nm_ring_put(struct nm_state *s, struct nm_ring_ref *ref, const void *data, uint32_t bytes)
{
    uint32_t next = nm_next(ref->k->hwtail, ref->k->slots);
    if (next == ref->k->hwcur)
        return false;
    struct netmap_slot *slot = nm_kernel_slot(s, ref, ref->k->hwtail);
    memcpy(nm_memory_buffer(s, ref->view, slot->buf_idx), data, bytes);
    slot->len = (uint16_t)bytes;
    slot->flags = 0;
    ref->k->hwtail = next;
    return true;
}

static void reset(struct nm_state *s, struct nm_ring_ref *ref)
{
    for (uint32_t i = 0; i < ref->k->slots; i++) {
        struct netmap_slot *slot = &ref->ring->slot[i];
        if (!nm_buffer_valid(s, slot->buf_idx))
            slot->buf_idx = slot->len = 0;
        else if (slot->len > NM_BUFFER_BYTES)
            slot->len = 0;
    }
    ref->ring->tail = ref->k->rtail;
    ref->ring->cur = ref->k->rcur;
    ref->ring->head = ref->k->rhead;
}

/* head lies in [rhead, rtail], cur in [head, rtail], and what is given names sound buffers. */
static bool is_sound(struct nm_state *s, struct nm_ring_ref *ref, uint32_t head, uint32_t cur)
{
    const struct nm_kring *k = ref->k;
    uint32_t slots = k->slots, owned = nm_distance(k->rhead, k->rtail, slots);
    if (head >= slots || nm_distance(k->rhead, head, slots) > owned)
        return blame(s, ref, "head is not between the last head and tail (head, tail)", head, k->rtail), false;
    if (cur >= slots || nm_distance(head, cur, slots) > nm_distance(head, k->rtail, slots))
        return blame(s, ref, "cur is not between head and tail (head, cur)", head, cur), false;
    for (uint32_t i = k->rhead; i != head; i = nm_next(i, slots)) {
        const struct netmap_slot *slot = &ref->ring->slot[i];
        if (!nm_buffer_valid(s, slot->buf_idx))
            return blame(s, ref, "a slot names no buffer (slot, buffer)", i, slot->buf_idx), false;
        if (ref->dir == NM_TX && slot->len > NM_BUFFER_BYTES)
            return blame(s, ref, "a slot's length is more than a buffer holds (slot, length)", i, slot->len), false;
    }
    return true;
}

/* The kernel takes a slot over. A buffer that is not the application's to give is in two places. */
static void take_over(struct nm_state *s, struct nm_ring_ref *ref, uint32_t i)
{
    struct netmap_slot *slot = &ref->ring->slot[i];
    if (slot->buf_idx != ref->shadow[i] && (slot->flags & NS_BUF_CHANGED) == 0)
        blame(s, ref, "a buffer was exchanged without NS_BUF_CHANGED (slot, buffer)", i, slot->buf_idx);
    if (ref->view->place[slot->buf_idx] != NM_USER)
        blame(s, ref, "a buffer is in two places (slot, buffer)", i, slot->buf_idx);
    ref->view->place[slot->buf_idx] = NM_KERNEL;
    ref->shadow[i] = slot->buf_idx;
    slot->flags &= (uint16_t)~NS_BUF_CHANGED;
}

static void give_back(struct nm_ring_ref *ref)
{
    struct nm_kring *k = ref->k;
    for (; k->rtail != k->hwtail; k->rtail = nm_next(k->rtail, k->slots)) {
        uint32_t index = ref->ring->slot[k->rtail].buf_idx;
        ref->shadow[k->rtail] = index;
        ref->view->place[index] = NM_USER;
    }
    if (ref->dir == NM_RX)
        gettimeofday(&ref->ring->ts, NULL);
    __atomic_store_n(&ref->ring->tail, k->rtail, __ATOMIC_RELEASE);
}

/* Of a NIC's host rings the tx side leads nowhere, the rx side brings nothing. */
static void transmit(struct nm_state *s, struct nm_ring_ref *ref, int socket)
{
    const struct nm_port *p = &s->ports[ref->port];
    struct nm_kring *k = ref->k;
    if (ref->index >= p->rings[NM_TX])
        k->hwcur = k->rhead;
    else if (p->kind == NM_NIC)
        nm_nic_send(s, ref, socket);
    else if (p->kind == NM_PIPE)
        nm_pipe_send(s, ref);
    else
        nm_vale_send(s, ref);
    k->hwtail = k->hwcur == 0 ? k->slots - 1 : k->hwcur - 1;
}

bool nm_ring_sync(struct nm_state *s, struct nm_ring_ref *ref, int socket)
{
    struct nm_kring *k = ref->k;
    uint32_t head = __atomic_load_n(&ref->ring->head, __ATOMIC_ACQUIRE);
    uint32_t cur = __atomic_load_n(&ref->ring->cur, __ATOMIC_RELAXED);
    if (ref->ring->tail != k->rtail)
        blame(s, ref, "the application wrote tail (it, the kernel's)", ref->ring->tail, k->rtail);
    if (!is_sound(s, ref, head, cur)) {
        reset(s, ref);
        return false;
    }
    bool moved = k->rhead != head;
    for (; k->rhead != head; k->rhead = nm_next(k->rhead, k->slots))
        take_over(s, ref, k->rhead);
    k->rcur = cur;
    if (ref->dir == NM_TX) {
        transmit(s, ref, socket);
    } else {
        k->hwcur = k->rhead;
        if (s->ports[ref->port].kind == NM_NIC && socket >= 0)
            nm_nic_receive(s, ref->port, socket);
        if (moved && s->ports[ref->port].kind == NM_PIPE)
            nm_descriptor_wake(s, s->ports[ref->port].peer, NM_TX, ref->index);
    }
    give_back(ref);
    return true;
}

int nm_sync(struct nm_state *s, uint32_t descriptor, uint32_t dir, int socket)
{
    const struct nm_descriptor *d = &s->descriptors[descriptor];
    struct nm_ring_ref ref;
    if (!d->registered || s->ports[d->port].gone)
        return -ENXIO;
    for (uint32_t ring = d->first[dir]; ring < d->end[dir]; ring++)
        if (nm_ring_at(s, d->port, dir, ring, &ref))
            nm_ring_sync(s, &ref, socket);
    return s->ports[d->port].gone ? -ENXIO : 0;
}

/* Whether the application has slots of this ring that it has not looked at yet. */
static bool has_unseen(const struct nm_ring_ref *ref)
{
    return ref->ring->cur != ref->k->rtail;
}

/* One direction of poll(); `wanted`: it was asked for. Returns POLLERR, `wanted`'s events, or 0. */
static short poll_rings(struct nm_state *s, const struct nm_descriptor *d, uint32_t dir, short wanted, bool push, int socket)
{
    struct nm_ring_ref ref;
    short ready = 0;
    for (uint32_t ring = d->first[dir]; ring < d->end[dir]; ring++) {
        if (!nm_ring_at(s, d->port, dir, ring, &ref))
            continue;
        bool unsent = ref.ring->head != (dir == NM_TX ? ref.k->hwcur : ref.k->rhead);
        bool is_due = dir == NM_TX ? (push && unsent) || (wanted != 0 && !has_unseen(&ref)) : unsent || !has_unseen(&ref);
        if (is_due && !nm_ring_sync(s, &ref, socket))
            return POLLERR;
        if (has_unseen(&ref))
            ready = wanted;
    }
    return ready;
}

short nm_poll(struct nm_state *s, uint32_t descriptor, short events, int socket)
{
    const struct nm_descriptor *d = &s->descriptors[descriptor];
    if (!d->registered || s->ports[d->port].gone)
        return POLLERR;
    short in = events & (POLLIN | POLLRDNORM), out = events & (POLLOUT | POLLWRNORM), ready = 0;
    bool push = out != 0 || (d->flags & NR_NO_TX_POLL) == 0;
    if (push)
        ready |= poll_rings(s, d, NM_TX, out, push, socket);
    if (in != 0 || (d->flags & NR_DO_RX_POLL) != 0)
        ready |= poll_rings(s, d, NM_RX, in, false, socket);
    return s->ports[d->port].gone ? POLLERR : ready;
}
