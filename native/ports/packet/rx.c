/*
 * rx.c - receiving from a TPACKET_V3 ring.
 *
 * The kernel fills blocks with frames and hands them over whole, at the latest
 * after a millisecond. Frames are lent out where they lie; a block goes back in
 * rx_release() once all of its frames have been handed out, over as many batches
 * as that takes. Used through packet.h, on the engine's thread but for opening.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <sys/socket.h>

#include "../../core/checksum.h"
#include "../../core/error.h"
#include "socket.h"

/* A block holds at least the longest frame. It is handed over after BLOCK_RETIRE_MS even with one
 * frame in it, so that their number is also how many milliseconds an engine may be late. */
#define BLOCK_BYTES 131072u
#define FRAME_ALIGNMENT 8       /* of a header in a block, less than TPACKET_ALIGNMENT */
#define BLOCK_RETIRE_MS 1       /* the longest that a frame waits in a block that is not full */
#define GONE_LINGERS 16         /* sleeps of GONE_LINGER_NS until a removed interface's last block has come */
#define GONE_LINGER_NS 2000000
#define DOWN_LOOK_NS 1000000000 /* nobody tells that an interface that is down was removed: look */
#define MAC_BYTES 12            /* both addresses: the VLAN tag comes behind them */
#define FANOUT_GROUPS_MAX 256

static struct tpacket_block_desc *rx_block(const struct pb_packet_socket *s, uint32_t block)
{
    return (struct tpacket_block_desc *)(s->ring + (size_t)block * BLOCK_BYTES);
}

static bool rx_block_ready(const struct pb_packet_socket *s)
{
    /* With every block lent out the next one is the first of those again. */
    return s->rx.walked < s->rx.blocks &&
           (__atomic_load_n(&rx_block(s, s->rx.block)->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER);
}

/* Every packet of the block has been handed out: rx_release() will give it back. */
static void rx_block_done(struct pb_packet_rx *rx)
{
    rx->left = 0;
    rx->walked++;
    rx->block = rx->block + 1 == rx->blocks ? 0 : rx->block + 1;
}

static bool rx_block_begin(struct pb_packet_socket *s)
{
    struct pb_packet_rx *rx = &s->rx;
    while (rx_block_ready(s)) {
        const struct tpacket_hdr_v1 *header = &rx_block(s, rx->block)->hdr.bh1;
        rx->left = header->num_pkts;
        rx->offset = header->offset_to_first_pkt;
        rx->limit = header->blk_len < BLOCK_BYTES ? header->blk_len : BLOCK_BYTES;
        if (rx->left > 0)
            return true;
        rx_block_done(rx); /* retired empty */
    }
    return false;
}

/* The next packet's header, NULL where the block's own offsets would lead out of it. */
static struct tpacket3_hdr *rx_frame(const struct pb_packet_socket *s)
{
    const struct pb_packet_rx *rx = &s->rx;
    if (rx->offset > rx->limit || rx->limit - rx->offset < sizeof(struct tpacket3_hdr) ||
        rx->offset % FRAME_ALIGNMENT != 0)
        return NULL;
    uint8_t *at = (uint8_t *)rx_block(s, rx->block) + rx->offset;
    struct tpacket3_hdr *frame = (struct tpacket3_hdr *)at;
    /* PB_VLAN_TAG_BYTES of headroom were reserved behind the header and the address. */
    if (frame->tp_mac < TPACKET3_HDRLEN + PB_VLAN_TAG_BYTES ||
        (uint64_t)frame->tp_mac + frame->tp_snaplen > rx->limit - rx->offset)
        return NULL;
    return frame;
}

/* Put back the outermost VLAN tag, which the kernel keeps apart from the frame. */
static uint8_t *restore_tag(uint8_t *data, const struct tpacket3_hdr *frame)
{
    uint16_t tpid = frame->tp_status & TP_STATUS_VLAN_TPID_VALID ? frame->hv1.tp_vlan_tpid : ETH_P_8021Q;
    uint16_t tci = (uint16_t)frame->hv1.tp_vlan_tci;
    memmove(data - PB_VLAN_TAG_BYTES, data, MAC_BYTES);
    const uint8_t tag[PB_VLAN_TAG_BYTES] = {(uint8_t)(tpid >> 8), (uint8_t)tpid, (uint8_t)(tci >> 8), (uint8_t)tci};
    memcpy(data - PB_VLAN_TAG_BYTES + MAC_BYTES, tag, sizeof(tag));
    return data - PB_VLAN_TAG_BYTES;
}

static void rx_packet(const struct pb_packet_socket *s, struct pb_packet *packet, struct tpacket3_hdr *frame)
{
    uint8_t *data = (uint8_t *)frame + frame->tp_mac;
    uint32_t added = 0;
    if ((frame->tp_status & TP_STATUS_VLAN_VALID) && frame->tp_snaplen >= MAC_BYTES && s->link_type == PB_LINK_ETHERNET) {
        data = restore_tag(data, frame);
        added = PB_VLAN_TAG_BYTES;
    }
    pb_packet_init(packet, data, frame->tp_snaplen + added, frame->tp_len + added,
                   frame->tp_sec * UINT64_C(1000000000) + frame->tp_nsec, s->link_type);
    if (s->rx.has_nic_hash)
        pb_packet_set_nic_hash(packet, frame->hv1.tp_rxhash);
    /* A sender on this host (a container, the peer of a veth) has left the checksum to
     * hardware that this frame will not meet. */
    if (frame->tp_status & TP_STATUS_CSUMNOTREADY)
        pb_checksum_complete(packet, data);
}

uint32_t pb_packet_rx_batch(struct pb_port *port, struct pb_packet *packets, uint32_t packets_max)
{
    struct pb_packet_socket *s = port->state;
    struct pb_packet_rx *rx = &s->rx;
    uint32_t count = 0;
    uint64_t bytes = 0;
    while (count < packets_max && (rx->left > 0 || rx_block_begin(s))) {
        struct tpacket3_hdr *frame = rx_frame(s);
        if (frame == NULL) {
            pb_port_count(port, PB_PACKET_RX_INVALID, rx->left);
            rx_block_done(rx);
            continue;
        }
        uint32_t next = frame->tp_next_offset;
        __builtin_prefetch((uint8_t *)frame + next);
        rx_packet(s, &packets[count], frame);
        bytes += packets[count++].wire_len;
        if (--rx->left == 0)
            rx_block_done(rx);
        else /* an offset of 0 would hand out one frame for ever */
            rx->offset = next == 0 || next > BLOCK_BYTES ? UINT32_MAX : rx->offset + next;
    }
    if (count > 0)
        pb_port_received(port, count, bytes);
    return count;
}

void pb_packet_rx_release(struct pb_port *port)
{
    struct pb_packet_socket *s = port->state;
    struct pb_packet_rx *rx = &s->rx;
    for (; rx->walked > 0; rx->walked--) {
        uint32_t block = (rx->block + rx->blocks - rx->walked) % rx->blocks;
        __atomic_store_n(&rx_block(s, block)->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    }
}

/* An interface that goes down leaves ENETDOWN at the socket, once; until it is
 * fetched, poll() returns at once with POLLERR. */
static void rx_check(struct pb_port *port, struct pb_packet_socket *s)
{
    int code = 0;
    socklen_t bytes = sizeof(code);
    if (s->interface.gone || getsockopt(s->interface.fd, SOL_SOCKET, SO_ERROR, &code, &bytes) < 0 || (code == 0 && !s->interface.down))
        return;
    bool up = pb_interface_is_up(&s->interface);
    if (up || code == ENETDOWN) /* down anew: between two looks it was up */
        s->interface.down = false;
    if (!up)
        pb_packet_lost(port, s);
    if (s->interface.gone)
        s->rx.lingers = GONE_LINGERS;
}

bool pb_packet_rx_wait(struct pb_port *port, struct pb_packet_socket *s, struct pb_wait *wait)
{
    if (s->rx.left > 0 || rx_block_ready(s))
        return false;
    rx_check(port, s);
    *wait = (struct pb_wait){.fd = s->interface.gone ? -1 : s->interface.fd,
                             .events = POLLIN,
                             .timeout_ns = s->interface.down ? DOWN_LOOK_NS : -1};
    if (s->interface.gone)
        wait->timeout_ns = s->rx.lingers > 0 ? GONE_LINGER_NS : -1;
    if (s->rx.lingers > 0)
        s->rx.lingers--;
    return true;
}

void pb_packet_rx_tick(struct pb_port *port, struct pb_packet_socket *s)
{
    /* Reading resets the kernel's counts. */
    struct tpacket_stats_v3 stats;
    socklen_t bytes = sizeof(stats);
    if (getsockopt(s->interface.fd, SOL_PACKET, PACKET_STATISTICS, &stats, &bytes) == 0 && stats.tp_drops > 0)
        pb_port_count(port, PB_PACKET_KERNEL_DROPS, stats.tp_drops);
    rx_check(port, s);
}

/* ------------------------------------------------------------------------ opening */

/* A fanout group is of one process: the first member has the kernel choose an id that
 * no other program uses. Only the control thread opens and closes. */
static struct pb_packet_group {
    int index; /* of the interface */
    uint32_t members;
    uint16_t id;
} groups[FANOUT_GROUPS_MAX];

/* The interface's group, or a free row; NULL: none left. */
static struct pb_packet_group *fanout_find(int index)
{
    struct pb_packet_group *unused = NULL;
    for (uint32_t i = 0; i < FANOUT_GROUPS_MAX; i++) {
        if (groups[i].members > 0 && groups[i].index == index)
            return &groups[i];
        if (groups[i].members == 0 && unused == NULL)
            unused = &groups[i];
    }
    return unused;
}

static int filter(const struct pb_packet_socket *s, const struct sock_filter *code, uint16_t count)
{
    struct sock_fprog program = {.len = count, .filter = (struct sock_filter *)code};
    return setsockopt(s->interface.fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

/* Between bind() and joining, a socket would get every packet, those of the other
 * members too: let nothing in until then. */
static int fanout_prepare(const struct pb_packet_socket *s)
{
    static const struct sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    return filter(s, nothing, 1);
}

static int fanout_join(struct pb_packet_socket *s, bool outgoing)
{
    struct pb_packet_group *group = fanout_find(s->interface.index);
    if (group == NULL) {
        errno = ENOSPC;
        return -1;
    }
    bool first = group->members == 0;
    uint32_t value = (uint32_t)(PACKET_FANOUT_HASH | (first ? PACKET_FANOUT_FLAG_UNIQUEID : 0)) << 16;
    value |= first ? 0 : group->id;
    socklen_t bytes = sizeof(value);
    if (setsockopt(s->interface.fd, SOL_PACKET, PACKET_FANOUT, &value, sizeof(value)) < 0 ||
        getsockopt(s->interface.fd, SOL_PACKET, PACKET_FANOUT, &value, &bytes) < 0)
        return -1;
    *group = (struct pb_packet_group){.index = s->interface.index, .id = (uint16_t)value, .members = group->members + 1};
    s->rx.group = group;

    /* A group does not heed its members' PACKET_IGNORE_OUTGOING. */
    static const struct sock_filter arriving[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_PKTTYPE),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    int none = 0;
    return outgoing ? setsockopt(s->interface.fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none)) : filter(s, arriving, 4);
}

void pb_packet_rx_leave(struct pb_packet_socket *s)
{
    if (s->rx.group != NULL)
        s->rx.group->members--;
    s->rx.group = NULL;
}

int pb_packet_rx_open(struct pb_port *port, struct pb_packet_socket *s, struct pb_error *error)
{
    bool outgoing = pb_port_option_boolean(port, "outgoing");
    int64_t ring_mb = pb_port_option_integer(port, "ring_mb");
    s->rx = (struct pb_packet_rx){.blocks = (uint32_t)((ring_mb << 20) / BLOCK_BYTES),
                                  .has_nic_hash = pb_packet_has_nic_hash(s)};
    /* The ring must be there before the socket is bound: no frame goes past it. */
    struct tpacket_req3 request = {.tp_block_size = BLOCK_BYTES,
                                   .tp_block_nr = s->rx.blocks,
                                   .tp_frame_size = 2048,
                                   .tp_frame_nr = BLOCK_BYTES / 2048 * s->rx.blocks,
                                   .tp_retire_blk_tov = BLOCK_RETIRE_MS,
                                   /* Without a card's hash the kernel would compute one of its own, with a secret key. */
                                   .tp_feature_req_word = s->rx.has_nic_hash ? TP_FT_REQ_FILL_RXHASH : 0};
    if (pb_packet_set_option(s, PACKET_VERSION, TPACKET_V3) < 0 ||
        pb_packet_set_option(s, PACKET_RESERVE, PB_VLAN_TAG_BYTES) < 0 ||
        (!outgoing && pb_packet_set_option(s, PACKET_IGNORE_OUTGOING, 1) < 0))
        return pb_port_fail_errno(port, error, errno, "use Linux 4.20 or later", "cannot set up the packet socket");
    int result = pb_packet_map_ring(port, s, PACKET_RX_RING, (struct tpacket_req *)&request, sizeof(request), error);
    if (result < 0)
        return result;

    /* A membership ends with the socket, so nothing stays promiscuous behind us. */
    struct packet_mreq membership = {.mr_ifindex = s->interface.index, .mr_type = PACKET_MR_PROMISC};
    if (pb_port_option_boolean(port, "promiscuous") &&
        setsockopt(s->interface.fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership, sizeof(membership)) < 0)
        return pb_port_fail_errno(port, error, errno, "use ?promiscuous=0", "cannot set %s promiscuous", s->interface.name);
    if ((port->queue_id >= 0 && fanout_prepare(s) < 0) || pb_packet_bind(s, ETH_P_ALL) < 0)
        return pb_port_fail_errno(port, error, errno, "see whether ip link shows it, then start again", "cannot bind to %s",
                                  s->interface.name);
    if (port->queue_id >= 0 && fanout_join(s, outgoing) < 0)
        return pb_port_fail(port, error, errno, "cannot have queue id %d of %s: %s; set it up first (ip link set %s up), at "
                            "most 256 engines share one", port->queue_id, s->interface.name, pb_errno_words(errno),
                            s->interface.name);
    rx_check(port, s); /* binding to an interface that is down leaves ENETDOWN */
    return 0;
}

