/*
 * vale.c - a VALE switch of the stand-in: frames are copied; it learns where addresses are, sends to a known one, floods
 * the rest. A port whose ring is full misses the frame, as on a switch.
 */
#include <string.h>

#include "model.h"

#define MAC_BYTES 6

static void learn(struct nm_bridge *bridge, const uint8_t *mac, uint64_t serial)
{
    uint32_t at = NM_ADDRESSES;
    for (uint32_t i = 0; i < NM_ADDRESSES && at == NM_ADDRESSES; i++)
        if (bridge->table[i].serial != 0 && memcmp(bridge->table[i].mac, mac, MAC_BYTES) == 0)
            at = i;
    if (at == NM_ADDRESSES) /* the oldest makes room */
        at = bridge->next++ % NM_ADDRESSES;
    memcpy(bridge->table[at].mac, mac, MAC_BYTES);
    bridge->table[at].serial = serial;
}

/* The port where an address was last seen; 0: it is not known. */
static uint64_t lookup(const struct nm_bridge *bridge, const uint8_t *mac)
{
    for (uint32_t i = 0; i < NM_ADDRESSES; i++)
        if (bridge->table[i].serial != 0 && memcmp(bridge->table[i].mac, mac, MAC_BYTES) == 0)
            return bridge->table[i].serial;
    return 0;
}

static bool port_exists(const struct nm_state *s, uint64_t serial)
{
    for (uint32_t i = 0; i < s->ports_end; i++)
        if (s->ports[i].kind == NM_VALE && s->ports[i].serial == serial)
            return true;
    return false;
}

static void forward(struct nm_state *s, uint32_t from, const uint8_t *data, uint32_t bytes)
{
    struct nm_bridge *bridge = &s->bridges[s->ports[from].bridge];
    if ((data[MAC_BYTES] & 1) == 0)
        learn(bridge, data + MAC_BYTES, s->ports[from].serial);
    uint64_t known = (data[0] & 1) != 0 ? 0 : lookup(bridge, data);
    if (known != 0 && !port_exists(s, known))
        known = 0;
    for (uint32_t i = 0; i < s->ports_end; i++) {
        const struct nm_port *p = &s->ports[i];
        struct nm_ring_ref ref;
        if (i == from || p->kind != NM_VALE || p->bridge != s->ports[from].bridge || (known != 0 && p->serial != known))
            continue;
        if (nm_ring_at(s, i, NM_RX, 0, &ref) && nm_ring_put(s, &ref, data, bytes))
            nm_descriptor_wake(s, i, NM_RX, 0);
    }
}

void nm_vale_send(struct nm_state *s, struct nm_ring_ref *ref)
{
    struct nm_kring *k = ref->k;
    for (; k->hwcur != k->rhead; k->hwcur = nm_next(k->hwcur, k->slots)) {
        const struct netmap_slot *slot = nm_kernel_slot(s, ref, k->hwcur);
        if (slot->len >= 2 * MAC_BYTES + 2)
            forward(s, ref->port, nm_memory_buffer(s, ref->view, slot->buf_idx), slot->len);
    }
}
