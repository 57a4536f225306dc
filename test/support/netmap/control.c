/*
 * control.c - NIOCCTRL: what a request must look like, NETMAP_REQ_REGISTER and NETMAP_REQ_PORT_INFO_GET.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "model.h"

#define FLAGS_KNOWN (NR_EXCLUSIVE | NR_RX_RINGS_ONLY | NR_TX_RINGS_ONLY | NR_DO_RX_POLL | NR_NO_TX_POLL)

/* Which rings a mode binds: of each direction `rings`, and `hosts` behind them. */
static int bind_rings(const struct nm_port *p, const struct nmreq_register *r, struct nm_descriptor *d)
{
    uint32_t hosts = p->host_rings;
    for (uint32_t dir = 0; dir < 2; dir++) {
        uint32_t rings = p->rings[dir], first = 0, end = rings;
        if (r->mode == NR_REG_SW || r->mode == NR_REG_NIC_SW || r->mode == NR_REG_ONE_SW) {
            if (hosts == 0 || (r->mode == NR_REG_ONE_SW && r->ringid >= hosts))
                return -EINVAL;
            first = r->mode == NR_REG_NIC_SW ? 0 : rings;
            end = rings + hosts;
        } else if (r->mode == NR_REG_ONE_NIC) {
            uint32_t other = p->rings[!dir];
            if (r->ringid >= (rings > other ? rings : other))
                return -EINVAL;
            first = r->ringid < rings ? r->ringid : rings;
            end = r->ringid < rings ? first + 1 : rings;
        } else if (r->mode == NR_REG_NULL) {
            end = 0;
        } else if (r->mode != NR_REG_ALL_NIC) {
            return -EINVAL;
        }
        bool unwanted = (r->flags & (dir == NM_TX ? NR_RX_RINGS_ONLY : NR_TX_RINGS_ONLY)) != 0;
        d->first[dir] = first;
        d->end[dir] = unwanted ? first : end;
    }
    return 0;
}

/* A ring may be shared, unless one of its users wants it alone. */
static bool rings_taken(const struct nm_state *s, const struct nm_descriptor *wanted)
{
    for (uint32_t i = 0; i < s->descriptors_end; i++) {
        const struct nm_descriptor *d = &s->descriptors[i];
        if (!d->open || !d->registered || d->port != wanted->port || !((d->flags | wanted->flags) & NR_EXCLUSIVE))
            continue;
        for (uint32_t dir = 0; dir < 2; dir++)
            for (uint32_t ring = wanted->first[dir]; ring < wanted->end[dir]; ring++)
                if (nm_descriptor_binds(d, d->port, dir, ring))
                    return true;
    }
    return false;
}

/* The place of an unused netmap_if. */
static uint32_t free_if(const struct nm_state *s, uint32_t memory)
{
    static bool used[NM_IFS];
    memset(used, 0, sizeof(used));
    for (uint32_t i = 0; i < s->descriptors_end; i++)
        if (s->descriptors[i].open && s->descriptors[i].registered && s->descriptors[i].memory == memory)
            used[s->descriptors[i].if_object] = true;
    for (uint32_t i = 0; i < NM_IFS; i++)
        if (!used[i])
            return i;
    return NM_NONE;
}

/* As many as there are, up to `wanted`, chained by their first four bytes. */
static uint32_t take_extra(struct nm_state *s, struct nm_view *view, uint32_t wanted, uint32_t *head)
{
    uint32_t count = 0, index;
    for (*head = 0; count < wanted && (index = nm_buffer_take(view, NM_USER)) != 0; count++) {
        *(uint32_t *)nm_memory_buffer(s, view, index) = *head;
        *head = index;
    }
    return count;
}

/* ring_ofs: tx, host tx, rx, host rx. */
static void fill_if(struct nm_state *s, const struct nm_descriptor *d, struct netmap_if *nifp)
{
    const struct nm_port *p = &s->ports[d->port];
    static const uint32_t order[2] = { NM_TX, NM_RX };
    memset(nifp, 0, NM_IF_BYTES);
    memcpy(nifp->name, p->name, sizeof(nifp->name) - 1);
    nifp->version = NETMAP_API_MIN;
    nifp->tx_rings = p->rings[NM_TX];
    nifp->rx_rings = p->rings[NM_RX];
    nifp->host_tx_rings = nifp->host_rx_rings = p->host_rings;
    uint32_t at = 0;
    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t ring = 0; ring < p->rings[order[i]] + p->host_rings; ring++, at++) {
            struct nm_ring_ref ref;
            bool is_bound = ring >= d->first[order[i]] && ring < d->end[order[i]];
            if (is_bound && nm_ring_at(s, d->port, order[i], ring, &ref))
                nifp->ring_ofs[at] = (uint8_t *)ref.ring - (uint8_t *)nifp;
        }
}

/* All registrations of one NIC share one socket: whoever reads it feeds all rings, as hardware does. */
static int open_hardware(struct nm_state *s, const struct nm_descriptor *d)
{
    const struct nm_port *p = &s->ports[d->port];
    if (p->kind != NM_NIC || (d->first[NM_RX] >= p->rings[NM_RX] && d->first[NM_TX] >= p->rings[NM_TX]))
        return -1;
    for (uint32_t i = 0; i < s->descriptors_end; i++) {
        const struct nm_descriptor *other = &s->descriptors[i];
        if (other->open && other->registered && other->port == d->port && other->socket >= 0) {
            int fd = nm_nic_share(other->pid, other->socket);
            if (fd >= 0)
                return fd;
        }
    }
    return nm_nic_open(s, d->port);
}

static void answer(const struct nm_state *s, uint32_t port, struct nmreq_port_info *info)
{
    const struct nm_port *p = &s->ports[port];
    *info = (struct nmreq_port_info){
        .memsize = nm_memory_bytes(s),
        .tx_slots = p->slots[NM_TX],
        .rx_slots = p->slots[NM_RX],
        .tx_rings = (uint16_t)p->rings[NM_TX],
        .rx_rings = (uint16_t)p->rings[NM_RX],
        .host_tx_rings = (uint16_t)p->host_rings,
        .host_rx_rings = (uint16_t)p->host_rings,
        .mem_id = s->memories[p->memory].id,
    };
}

/* All that can fail comes before the descriptor counts as registered; what was made by then nobody needs. */
static int enlist(struct nm_state *s, struct nm_descriptor *d, const char *name, struct nmreq_register *r, int *socket)
{
    struct nm_descriptor wanted = { .flags = r->flags };
    int result = nm_port_resolve(s, name, (uint32_t[]){ r->rx_slots, r->tx_slots },
                                 (uint32_t[]){ r->rx_rings, r->tx_rings }, &wanted.port);
    if (result != 0)
        return result;
    wanted.memory = s->ports[wanted.port].memory;
    if (r->mem_id != 0 && r->mem_id != s->memories[wanted.memory].id)
        return -EINVAL;
    if (s->ports[wanted.port].kind == NM_PIPE && r->mode != NR_REG_ALL_NIC)
        return -EINVAL;
    if ((result = bind_rings(&s->ports[wanted.port], r, &wanted)) != 0)
        return result;
    if (rings_taken(s, &wanted))
        return -EBUSY;
    struct nm_view *view = nm_memory_view(s, wanted.memory);
    if (view == NULL || (wanted.if_object = free_if(s, wanted.memory)) == NM_NONE)
        return -ENOMEM;
    if ((result = nm_port_provide(s, &wanted)) != 0)
        return result;
    int hardware = open_hardware(s, &wanted);
    if (hardware < -1)
        return hardware;
    struct netmap_if *nifp = (void *)(view->base + (size_t)wanted.if_object * NM_IF_BYTES);
    fill_if(s, &wanted, nifp);
    wanted.extra_bufs = take_extra(s, view, r->extra_bufs, &nifp->bufs_head);
    wanted.open = wanted.registered = true;
    wanted.inode = d->inode;
    wanted.pid = d->pid;
    wanted.socket = *socket = hardware;
    *d = wanted;
    return 0;
}

static int do_register(struct nm_state *s, uint32_t descriptor, const char *name, struct nmreq_register *r, int *socket)
{
    struct nm_descriptor *d = &s->descriptors[descriptor];
    if (d->registered)
        return -EBUSY;
    if ((r->flags & ~(uint64_t)FLAGS_KNOWN) != 0)
        return -EOPNOTSUPP;
    int result = enlist(s, d, name, r, socket);
    if (result != 0) {
        nm_port_collect(s);
        return result;
    }
    struct nmreq_port_info info;
    answer(s, d->port, &info);
    r->offset = (uint64_t)d->if_object * NM_IF_BYTES;
    r->memsize = info.memsize;
    r->tx_slots = info.tx_slots;
    r->rx_slots = info.rx_slots;
    r->tx_rings = info.tx_rings;
    r->rx_rings = info.rx_rings;
    r->host_tx_rings = info.host_tx_rings;
    r->host_rx_rings = info.host_rx_rings;
    r->mem_id = info.mem_id;
    r->extra_bufs = d->extra_bufs;
    return 0;
}

static int do_port_info(struct nm_state *s, const char *name, struct nmreq_port_info *info)
{
    uint32_t port;
    int result = nm_port_resolve(s, name, (uint32_t[]){ info->rx_slots, info->tx_slots },
                                 (uint32_t[]){ info->rx_rings, info->tx_rings }, &port);
    if (result == 0)
        answer(s, port, info);
    nm_port_collect(s);
    return result;
}

int nm_control(struct nm_state *s, uint32_t descriptor, struct nmreq_header *header, int *socket)
{
    if (header == NULL)
        return -EFAULT;
    if (header->version < NETMAP_API_MIN || header->version > NETMAP_API_MAX)
        return -EINVAL;
    if (header->options != 0)
        return -EOPNOTSUPP;
    void *body = (void *)(uintptr_t)header->body;
    if (header->reqtype != NETMAP_REQ_REGISTER && header->reqtype != NETMAP_REQ_PORT_INFO_GET)
        return -EINVAL;
    if (body == NULL)
        return -EINVAL;
    nm_descriptor_sweep(s);
    if (header->reqtype == NETMAP_REQ_PORT_INFO_GET)
        return do_port_info(s, header->name, body);
    return do_register(s, descriptor, header->name, body, socket);
}
