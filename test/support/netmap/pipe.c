/*
 * pipe.c - a pipe of the stand-in: a frame is moved to the other end by exchanging the buffers of two slots. The sender
 * gets the receiver's old buffer at once, and no byte of the frame is copied.
 */
#include "model.h"

/* Carries out s->move; doing it twice is doing it once. */
void nm_move_apply(struct nm_state *s)
{
    for (int i = 0; i < 2; i++) {
        struct nm_ring_ref ref;
        if (!nm_ring_at(s, s->move.side[i].port, s->move.side[i].dir, s->move.side[i].ring, &ref))
            continue;
        struct netmap_slot *slot = &ref.ring->slot[s->move.side[i].slot];
        slot->buf_idx = ref.shadow[s->move.side[i].slot] = s->move.side[i].buf_idx;
        slot->len = (uint16_t)s->move.side[i].len;
        slot->flags = (uint16_t)s->move.side[i].flags;
        ref.k->hwcur = s->move.side[i].hwcur;
        ref.k->hwtail = s->move.side[i].hwtail;
    }
    __atomic_store_n(&s->move.armed, false, __ATOMIC_RELEASE);
}

static void move(struct nm_state *s, struct nm_ring_ref *tx, struct nm_ring_ref *rx)
{
    uint32_t from = tx->k->hwcur, to = rx->k->hwtail;
    const struct netmap_slot sent = *nm_kernel_slot(s, tx, from), spare = *nm_kernel_slot(s, rx, to);
    s->move = (struct nm_move){ 0 };
    s->move.side[0].port = tx->port;
    s->move.side[0].dir = NM_TX;
    s->move.side[0].ring = tx->index;
    s->move.side[0].slot = from;
    s->move.side[0].buf_idx = spare.buf_idx;
    s->move.side[0].hwcur = nm_next(from, tx->k->slots);
    s->move.side[0].hwtail = tx->k->hwtail;
    s->move.side[1].port = rx->port;
    s->move.side[1].dir = NM_RX;
    s->move.side[1].ring = rx->index;
    s->move.side[1].slot = to;
    s->move.side[1].buf_idx = sent.buf_idx;
    s->move.side[1].len = sent.len;
    s->move.side[1].flags = sent.flags;
    s->move.side[1].hwcur = rx->k->hwcur;
    s->move.side[1].hwtail = nm_next(to, rx->k->slots);
    __atomic_store_n(&s->move.armed, true, __ATOMIC_RELEASE);
    nm_move_apply(s);
}

void nm_pipe_send(struct nm_state *s, struct nm_ring_ref *ref)
{
    struct nm_ring_ref peer;
    bool moved = false;
    if (!nm_ring_at(s, s->ports[ref->port].peer, NM_RX, ref->index, &peer))
        return;
    while (ref->k->hwcur != ref->k->rhead && nm_next(peer.k->hwtail, peer.k->slots) != peer.k->hwcur) {
        move(s, ref, &peer);
        moved = true;
    }
    if (moved)
        nm_descriptor_wake(s, peer.port, NM_RX, peer.index);
}
