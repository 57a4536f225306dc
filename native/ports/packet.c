/*
 * packet.c - driver "packet": a network interface through AF_PACKET.
 *
 * Receives a copy of the traffic; the host keeps its own. An input is a
 * TPACKET_V3 ring whose frames are lent out where the kernel wrote them; an
 * output is a TPACKET_V2 ring of slots that one send() for each batch hands to
 * the device, past the queueing discipline. The veth driver carries its traffic
 * with the same functions (packet.h).
 *
 * Threads: as port.h says; nothing here locks. Memory: the kernel owns the rings,
 * we map them from open() to close(). Longer than other drivers, because both
 * directions share the care for an interface that goes down, away and comes back.
 *
 * Sources: packet(7), Documentation/networking/packet_mmap.rst and, for what
 * happens to a frame that cannot be sent, net/packet/af_packet.c:tpacket_snd().
 */
#include "packet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/filter.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../core/error.h"
#include "rtnetlink.h"

#define BLOCK_BYTES 262144u         /* more than four of the longest frames */
#define FRAME_ALIGNMENT 8           /* of a header in a TPACKET_V3 block, less than TPACKET_ALIGNMENT */
#define BLOCK_RETIRE_MS 1           /* the longest that a frame waits in a block that is not full */
#define TX_RING_BYTES (4u << 20)    /* small enough to stay in a cache, 2048 slots for an MTU of 1500 */
#define TX_DATA_OFFSET (TPACKET2_HDRLEN - sizeof(struct sockaddr_ll)) /* where the kernel looks for the frame */
#define TX_RETRY_NS 100000          /* a full device queue wakes nobody: look again after this */
#define DRAIN_MS 100                /* the longest that close() waits for the device */
#define GONE_LINGERS 16             /* sleeps of GONE_LINGER_NS until a removed interface's last block has come */
#define GONE_LINGER_NS 2000000
#define DOWN_LOOK_NS 1000000000     /* nobody tells that an interface that is down was removed: look */
#define MAC_BYTES 12                /* both addresses: the VLAN tag comes behind them */
#define VLAN_BYTES 4
#define FANOUT_GROUPS_MAX 256

const struct pb_counter_desc pb_packet_counters[] = {
    {"kernel_drops", PB_COUNTER_LOST, "packets", "the receive ring was full: the engine was too slow"},
    {"rx_invalid", PB_COUNTER_LOST, "packets", "the receive ring held offsets that cannot be"},
    {"tx_full", PB_COUNTER_DROP, "packets", "the send ring was full: the interface was too slow"},
    {"tx_error", PB_COUNTER_DROP, "packets", "the interface was down, without link, gone, or refused the frame"},
    {"too_long", PB_COUNTER_DROP, "packets", "longer than the interface's MTU allows"},
    {"too_short", PB_COUNTER_DROP, "packets", "shorter than an Ethernet header"},
    {"truncated", PB_COUNTER_DROP, "packets", "captured only in part: a cut frame is not sent"},
    {"link_type", PB_COUNTER_DROP, "packets", "of another link type than the interface"},
};
_Static_assert(sizeof(pb_packet_counters) / sizeof(pb_packet_counters[0]) == PB_PACKET_COUNTERS, "a row for each");

/* ------------------------------------------------------- the interface's state */

/* The socket's interface was removed, or moved to another namespace. */
static bool detached(const struct pb_packet_socket *s)
{
    struct sockaddr_ll address;
    socklen_t bytes = sizeof(address);
    return getsockname(s->fd, (struct sockaddr *)&address, &bytes) == 0 && address.sll_ifindex != s->index;
}

/* One of the SIOCGIF requests; false when there is no answer. */
static bool ask(struct pb_packet_socket *s, unsigned long request, struct ifreq *answer)
{
    /* By index first: the interface may have been renamed. */
    *answer = (struct ifreq){.ifr_ifindex = s->index};
    if (ioctl(s->fd, SIOCGIFNAME, answer) < 0)
        return false;
    memcpy(s->interface, answer->ifr_name, sizeof(s->interface));
    return request == SIOCGIFNAME || ioctl(s->fd, request, answer) == 0;
}

static bool administratively_up(struct pb_packet_socket *s)
{
    struct ifreq answer;
    return ask(s, SIOCGIFFLAGS, &answer) && (answer.ifr_flags & IFF_UP);
}

/* True also where the device cannot tell. */
static bool has_link(struct pb_packet_socket *s)
{
    struct ifreq answer;
    struct ethtool_value link = {.cmd = ETHTOOL_GLINK};
    if (!ask(s, SIOCGIFNAME, &answer))
        return false;
    answer.ifr_data = (char *)&link;
    return ioctl(s->fd, SIOCETHTOOL, &answer) < 0 || link.data != 0;
}

/* Set down or gone, with a report for each change. */
static void lost_interface(struct pb_port *port, struct pb_packet_socket *s)
{
    if (s->gone)
        return;
    bool was_down = s->down;
    s->down = true;
    if (detached(s)) {
        s->gone = true;
        pb_port_report(port, "the interface is gone; create %s again, then stop and start the engine", s->interface);
    } else if (!was_down && !administratively_up(s)) {
        pb_port_report(port, "the interface is down; ip link set %s up", s->interface);
    } else if (!was_down) {
        pb_port_report(port, "the interface has no link; connect %s, or set its peer up", s->interface);
    }
}

/* ------------------------------------------------------------------- receiving */

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
    /* VLAN_BYTES of headroom were reserved behind the header and the address. */
    if (frame->tp_mac < TPACKET3_HDRLEN + VLAN_BYTES || (uint64_t)frame->tp_mac + frame->tp_snaplen > rx->limit - rx->offset)
        return NULL;
    return frame;
}

/* Put back the outermost VLAN tag, which the kernel keeps apart from the frame. */
static uint8_t *restore_tag(uint8_t *data, const struct tpacket3_hdr *frame)
{
    uint16_t tpid = frame->tp_status & TP_STATUS_VLAN_TPID_VALID ? frame->hv1.tp_vlan_tpid : ETH_P_8021Q;
    uint16_t tci = (uint16_t)frame->hv1.tp_vlan_tci;
    memmove(data - VLAN_BYTES, data, MAC_BYTES);
    const uint8_t tag[VLAN_BYTES] = {(uint8_t)(tpid >> 8), (uint8_t)tpid, (uint8_t)(tci >> 8), (uint8_t)tci};
    memcpy(data - VLAN_BYTES + MAC_BYTES, tag, sizeof(tag));
    return data - VLAN_BYTES;
}

static void rx_packet(struct pb_packet *packet, struct tpacket3_hdr *frame, uint16_t link_type)
{
    uint8_t *data = (uint8_t *)frame + frame->tp_mac;
    uint32_t added = 0;
    if ((frame->tp_status & TP_STATUS_VLAN_VALID) && frame->tp_snaplen >= MAC_BYTES && link_type == PB_LINK_ETHERNET) {
        data = restore_tag(data, frame);
        added = VLAN_BYTES;
    }
    pb_packet_init(packet, data, frame->tp_snaplen + added, frame->tp_len + added,
                   frame->tp_sec * UINT64_C(1000000000) + frame->tp_nsec, link_type);
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
        rx_packet(&packets[count], frame, s->link_type);
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
    if (s->gone || getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &code, &bytes) < 0 || (code == 0 && !s->down))
        return;
    if (administratively_up(s))
        s->down = false;
    else
        lost_interface(port, s);
    if (s->gone)
        s->rx.lingers = GONE_LINGERS;
}

static bool rx_wait(struct pb_port *port, struct pb_packet_socket *s, struct pb_wait *wait)
{
    if (s->rx.left > 0 || rx_block_ready(s))
        return false;
    rx_check(port, s);
    *wait = (struct pb_wait){.fd = s->gone ? -1 : s->fd, .events = POLLIN, .timeout_ns = s->down ? DOWN_LOOK_NS : -1};
    if (s->gone)
        wait->timeout_ns = s->rx.lingers > 0 ? GONE_LINGER_NS : -1;
    if (s->rx.lingers > 0)
        s->rx.lingers--;
    return true;
}

static void rx_tick(struct pb_port *port, struct pb_packet_socket *s)
{
    /* Reading resets the kernel's counts. */
    struct tpacket_stats_v3 stats;
    socklen_t bytes = sizeof(stats);
    if (getsockopt(s->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &bytes) == 0 && stats.tp_drops > 0)
        pb_port_count(port, PB_PACKET_KERNEL_DROPS, stats.tp_drops);
    rx_check(port, s);
}

/* --------------------------------------------------------------------- sending */

static struct tpacket2_hdr *tx_slot(const struct pb_packet_socket *s, uint32_t slot)
{
    const struct pb_packet_tx *tx = &s->tx;
    size_t block = slot / tx->block_slots;
    return (struct tpacket2_hdr *)(s->ring + block * BLOCK_BYTES + (size_t)(slot % tx->block_slots) * tx->slot_bytes);
}

static uint32_t tx_advance(const struct pb_packet_tx *tx, uint32_t slot, uint32_t by)
{
    return slot + by >= tx->slots ? slot + by - tx->slots : slot + by;
}

static uint32_t tx_status(const struct pb_packet_socket *s, uint32_t slot)
{
    return __atomic_load_n(&tx_slot(s, slot)->tp_status, __ATOMIC_ACQUIRE);
}

static bool tx_has_room(const struct pb_packet_socket *s)
{
    const struct pb_packet_tx *tx = &s->tx;
    return tx->pending < tx->slots && tx_status(s, tx_advance(tx, tx->head, tx->pending)) == TP_STATUS_AVAILABLE;
}

static void tx_put(struct pb_packet_socket *s, const struct pb_packet *packet)
{
    struct tpacket2_hdr *slot = tx_slot(s, tx_advance(&s->tx, s->tx.head, s->tx.pending++));
    memcpy((uint8_t *)slot + TX_DATA_OFFSET, packet->data, packet->captured_len);
    slot->tp_len = packet->captured_len;
    __atomic_store_n(&slot->tp_status, TP_STATUS_SEND_REQUEST, __ATOMIC_RELEASE);
}

/* Count what the kernel took. It takes slots in order and leaves its own state in them
 * (being sent, free again); ours, or its complaint, is where it stopped. */
static void tx_count_taken(struct pb_port *port, struct pb_packet_socket *s)
{
    struct pb_packet_tx *tx = &s->tx;
    uint64_t packets = 0, bytes = 0;
    while (tx->pending > 0 && (tx_status(s, tx->head) & (TP_STATUS_SEND_REQUEST | TP_STATUS_WRONG_FORMAT)) == 0) {
        packets++;
        bytes += tx_slot(s, tx->head)->tp_len;
        tx->head = tx_advance(tx, tx->head, 1);
        tx->pending--;
    }
    if (packets > 0)
        pb_port_sent(port, packets, bytes);
}

/* Take back what the kernel will not send. Its position is ours: it goes on with the next frame. */
static void tx_abandon(struct pb_port *port, struct pb_packet_socket *s)
{
    struct pb_packet_tx *tx = &s->tx;
    pb_port_count(port, PB_PACKET_TX_ERROR, tx->pending);
    while (tx->pending > 0) {
        uint32_t last = tx_advance(tx, tx->head, --tx->pending);
        __atomic_store_n(&tx_slot(s, last)->tp_status, TP_STATUS_AVAILABLE, __ATOMIC_RELEASE);
    }
}

/* The MTU may change at any time, even be greater than it was when the slots were made. */
static void tx_set_frame_max(struct pb_packet_socket *s, uint32_t mtu)
{
    uint32_t header = s->link_type == PB_LINK_ETHERNET ? ETH_HLEN : 0;
    uint32_t room = s->tx.slot_bytes - (uint32_t)TX_DATA_OFFSET - VLAN_BYTES;
    s->tx.frame_max = mtu < room - header ? mtu + header : room;
}

/* Hand the pending slots to the device. PACKET_LOSS stays off: with it the kernel
 * would skip a frame it refuses and nobody could tell that it was not sent. */
static void tx_kick(struct pb_port *port, struct pb_packet_socket *s)
{
    struct pb_packet_tx *tx = &s->tx;
    if (tx->pending == 0)
        return;
    uint32_t before = tx->pending;
    int code = send(s->fd, NULL, 0, MSG_DONTWAIT) < 0 ? errno : 0;
    tx_count_taken(port, s);
    tx->stalled = tx->pending == before;
    if (code == ENETDOWN || code == ENXIO) {
        lost_interface(port, s);
        tx_abandon(port, s);
    } else if (tx->pending > 0 && (tx_status(s, tx->head) & TP_STATUS_WRONG_FORMAT)) {
        /* Checked when it was put in, so the interface has changed since. */
        struct ifreq answer;
        tx_abandon(port, s);
        if (ask(s, SIOCGIFMTU, &answer))
            tx_set_frame_max(s, (uint32_t)answer.ifr_mtu);
    }
    /* Anything else is congestion: the frames stay and are offered again. */
    pb_counter_set(&port->counters[PB_PORT_IN_FLIGHT], tx->pending);
}

/* The counter of the reason why a packet must not be sent; PB_PACKET_COUNTERS: none. */
static enum pb_packet_counter tx_objection(const struct pb_packet_socket *s, const struct pb_packet *packet)
{
    if (s->down)
        return PB_PACKET_TX_ERROR;
    if (packet->link_type != s->link_type)
        return PB_PACKET_LINK_TYPE;
    if (packet->captured_len < packet->wire_len)
        return PB_PACKET_TRUNCATED;
    if (packet->captured_len < (s->link_type == PB_LINK_ETHERNET ? ETH_HLEN : 1))
        return PB_PACKET_TOO_SHORT;
    if (packet->captured_len <= s->tx.frame_max)
        return PB_PACKET_COUNTERS;
    /* The kernel grants the four bytes more to 802.1Q only. */
    bool tagged = s->link_type == PB_LINK_ETHERNET && packet->data[12] == 0x81 && packet->data[13] == 0x00;
    return tagged && packet->captured_len <= s->tx.frame_max + VLAN_BYTES ? PB_PACKET_COUNTERS : PB_PACKET_TOO_LONG;
}

uint32_t pb_packet_tx_batch(struct pb_port *port, const struct pb_packet *packets, const uint16_t *index,
                            uint32_t count, bool may_wait)
{
    struct pb_packet_socket *s = port->state;
    bool full = false; /* a kick in this batch made no room: not worth another */
    uint32_t done = 0;
    for (; done < count; done++) {
        const struct pb_packet *packet = &packets[index[done]];
        enum pb_packet_counter objection = tx_objection(s, packet);
        if (objection == PB_PACKET_COUNTERS && !tx_has_room(s)) {
            if (!full)
                tx_kick(port, s);
            full = !tx_has_room(s);
            if (full && may_wait)
                break;
            objection = s->down ? PB_PACKET_TX_ERROR : full ? PB_PACKET_TX_FULL : PB_PACKET_COUNTERS;
        }
        if (objection == PB_PACKET_COUNTERS)
            tx_put(s, packet);
        else
            pb_port_count(port, objection, 1);
    }
    s->tx.refused = done < count;
    tx_kick(port, s);
    return done;
}

/* POLLOUT is of no use: the kernel sets it while the socket's send buffer has room,
 * whatever the ring's state, and never for a device queue that has room again. */
static bool tx_wait(struct pb_port *port, struct pb_packet_socket *s, struct pb_wait *wait)
{
    tx_kick(port, s);
    bool refused = s->tx.refused;
    *wait = (struct pb_wait){.fd = -1, .timeout_ns = refused || s->tx.pending > 0 ? TX_RETRY_NS : -1};
    return !(refused && tx_has_room(s));
}

static void tx_tick(struct pb_port *port, struct pb_packet_socket *s)
{
    struct ifreq answer;
    if (s->gone)
        return;
    tx_kick(port, s);
    if (s->tx.stalled && s->tx.pending > 0 && !has_link(s)) {
        lost_interface(port, s);
        tx_abandon(port, s);
        pb_counter_set(&port->counters[PB_PORT_IN_FLIGHT], 0);
    }
    if (s->down && administratively_up(s) && has_link(s))
        s->down = false;
    else if (s->down)
        lost_interface(port, s);
    if (ask(s, SIOCGIFMTU, &answer))
        tx_set_frame_max(s, (uint32_t)answer.ifr_mtu);
}

/* --------------------------------------------------------------------- both ways */

bool pb_packet_wait(struct pb_port *port, struct pb_wait *wait)
{
    return port->role == PB_PORT_INPUT ? rx_wait(port, port->state, wait) : tx_wait(port, port->state, wait);
}

void pb_packet_tick(struct pb_port *port)
{
    if (port->role == PB_PORT_INPUT)
        rx_tick(port, port->state);
    else
        tx_tick(port, port->state);
}

void pb_packet_flush(struct pb_port *port)
{
    if (port->role == PB_PORT_OUTPUT)
        tx_kick(port, port->state);
}

/* ------------------------------------------------------------------- open, close */

/* A fanout group is of one process: the first member has the kernel choose an id that
 * no other program uses. Only the control thread opens and closes. */
static struct fanout_group {
    int index; /* of the interface */
    uint32_t members;
    uint16_t id;
} fanout_groups[FANOUT_GROUPS_MAX];

/* The interface's group, or a free row; NULL: none left. */
static struct fanout_group *fanout_find(int index)
{
    struct fanout_group *unused = NULL;
    for (uint32_t i = 0; i < FANOUT_GROUPS_MAX; i++) {
        if (fanout_groups[i].members > 0 && fanout_groups[i].index == index)
            return &fanout_groups[i];
        if (fanout_groups[i].members == 0 && unused == NULL)
            unused = &fanout_groups[i];
    }
    return unused;
}

static int filter(const struct pb_packet_socket *s, const struct sock_filter *code, uint16_t count)
{
    struct sock_fprog program = {.len = count, .filter = (struct sock_filter *)code};
    return setsockopt(s->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
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
    struct fanout_group *group = fanout_find(s->index);
    if (group == NULL) {
        errno = ENOSPC;
        return -1;
    }
    bool first = group->members == 0;
    uint32_t value = (uint32_t)(PACKET_FANOUT_HASH | (first ? PACKET_FANOUT_FLAG_UNIQUEID : 0)) << 16;
    value |= first ? 0 : group->id;
    socklen_t bytes = sizeof(value);
    if (setsockopt(s->fd, SOL_PACKET, PACKET_FANOUT, &value, sizeof(value)) < 0 ||
        getsockopt(s->fd, SOL_PACKET, PACKET_FANOUT, &value, &bytes) < 0)
        return -1;
    *group = (struct fanout_group){.index = s->index, .id = (uint16_t)value, .members = group->members + 1};
    s->rx.fanout = true;

    /* A group does not heed its members' PACKET_IGNORE_OUTGOING. */
    static const struct sock_filter arriving[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_PKTTYPE),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    int none = 0;
    return outgoing ? setsockopt(s->fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none)) : filter(s, arriving, 4);
}

static void fanout_leave(struct pb_packet_socket *s)
{
    if (s->rx.fanout)
        fanout_find(s->index)->members--;
    s->rx.fanout = false;
}

static int set_option(const struct pb_packet_socket *s, int option, int value)
{
    return setsockopt(s->fd, SOL_PACKET, option, &value, sizeof(value));
}

/* `request` is a tpacket_req or the tpacket_req3 that begins with one. */
static int map_ring(struct pb_port *port, struct pb_packet_socket *s, int option, const struct tpacket_req *request,
                    socklen_t bytes, struct pb_error *error)
{
    s->ring_bytes = (size_t)request->tp_block_size * request->tp_block_nr;
    void *ring = MAP_FAILED;
    if (setsockopt(s->fd, SOL_PACKET, option, request, bytes) == 0)
        ring = mmap(NULL, s->ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    if (ring == MAP_FAILED)
        return pb_fail(error, errno, "port \"%s\": no ring of %zu MiB: %s; free memory%s", port->name,
                       s->ring_bytes >> 20, strerror(errno),
                       port->role == PB_PORT_INPUT ? " or use a smaller one (?ring_mb=)" : "");
    s->ring = ring;
    return 0;
}

static int bind_socket(const struct pb_packet_socket *s, uint16_t protocol)
{
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = s->index};
    return bind(s->fd, (struct sockaddr *)&address, sizeof(address));
}

static int open_rx(struct pb_port *port, struct pb_packet_socket *s, struct pb_error *error)
{
    bool outgoing = pb_port_option_boolean(port, "outgoing");
    s->rx = (struct pb_packet_rx){.blocks = (uint32_t)((pb_port_option_integer(port, "ring_mb") << 20) / BLOCK_BYTES)};
    /* The ring must be there before the socket is bound: no frame goes past it. */
    struct tpacket_req3 request = {.tp_block_size = BLOCK_BYTES,
                                   .tp_block_nr = s->rx.blocks,
                                   .tp_frame_size = 2048,
                                   .tp_frame_nr = BLOCK_BYTES / 2048 * s->rx.blocks,
                                   .tp_retire_blk_tov = BLOCK_RETIRE_MS};
    if (set_option(s, PACKET_VERSION, TPACKET_V3) < 0 || set_option(s, PACKET_RESERVE, VLAN_BYTES) < 0 ||
        (!outgoing && set_option(s, PACKET_IGNORE_OUTGOING, 1) < 0))
        return pb_fail(error, errno, "port \"%s\": packet socket: %s; this needs Linux 4.20", port->name, strerror(errno));
    int result = map_ring(port, s, PACKET_RX_RING, (struct tpacket_req *)&request, sizeof(request), error);
    if (result < 0)
        return result;

    /* A membership ends with the socket, so nothing stays promiscuous behind us. */
    struct packet_mreq membership = {.mr_ifindex = s->index, .mr_type = PACKET_MR_PROMISC};
    if (pb_port_option_boolean(port, "promiscuous") &&
        setsockopt(s->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership, sizeof(membership)) < 0)
        return pb_fail(error, errno, "port \"%s\": cannot set %s promiscuous: %s; use ?promiscuous=0", port->name,
                       s->interface, strerror(errno));
    if ((port->queue_id >= 0 && fanout_prepare(s) < 0) || bind_socket(s, ETH_P_ALL) < 0)
        return pb_fail(error, errno, "port \"%s\": cannot bind to %s: %s", port->name, s->interface, strerror(errno));
    if (port->queue_id >= 0 && fanout_join(s, outgoing) < 0)
        return pb_fail(error, errno, "port \"%s\": cannot share %s among queues: %s; set it up first (ip link set %s up), "
                       "at most 256 engines share one", port->name, s->interface, strerror(errno), s->interface);
    rx_check(port, s); /* binding to an interface that is down leaves ENETDOWN */
    return 0;
}

static int open_tx(struct pb_port *port, struct pb_packet_socket *s, uint32_t mtu, struct pb_error *error)
{
    /* A slot takes the longest frame. It lies in one page, or begins one, so that the
     * longest does not need more page fragments than a packet in the kernel can have. */
    uint32_t mtu_max = PB_FRAME_BYTES_LIVE_MAX - ETH_HLEN;
    uint32_t need = (uint32_t)TX_DATA_OFFSET + ETH_HLEN + VLAN_BYTES + (mtu < mtu_max ? mtu : mtu_max);
    uint32_t slot = need <= 2048 ? 2048 : (need + 4095) / 4096 * 4096;
    uint32_t blocks = TX_RING_BYTES / BLOCK_BYTES;
    s->tx = (struct pb_packet_tx){.slot_bytes = slot, .block_slots = BLOCK_BYTES / slot};
    s->tx.slots = s->tx.block_slots * blocks;
    tx_set_frame_max(s, mtu);
    struct tpacket_req request = {
        .tp_block_size = BLOCK_BYTES, .tp_block_nr = blocks, .tp_frame_size = slot, .tp_frame_nr = s->tx.slots};
    if (set_option(s, PACKET_VERSION, TPACKET_V2) < 0 || set_option(s, PACKET_QDISC_BYPASS, 1) < 0)
        return pb_fail(error, errno, "port \"%s\": packet socket: %s; this needs Linux 3.14", port->name, strerror(errno));
    /* What bounds the frames under way is the ring, not the send buffer. */
    int send_bytes = 2 * (int)TX_RING_BYTES;
    if (setsockopt(s->fd, SOL_SOCKET, SO_SNDBUFFORCE, &send_bytes, sizeof(send_bytes)) < 0)
        (void)setsockopt(s->fd, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof(send_bytes));
    int result = map_ring(port, s, PACKET_TX_RING, &request, sizeof(request), error);
    if (result < 0)
        return result;
    if (bind_socket(s, 0) < 0) /* protocol 0: it receives nothing */
        return pb_fail(error, errno, "port \"%s\": cannot bind to %s: %s", port->name, s->interface, strerror(errno));
    if (!administratively_up(s))
        lost_interface(port, s);
    return 0;
}

/* Whether a SOCK_RAW socket's frames begin with an Ethernet or an IP header; -1: neither. */
static int link_type_of(uint16_t hardware)
{
    switch (hardware) {
    case ARPHRD_ETHER:
    case ARPHRD_LOOPBACK:
        return PB_LINK_ETHERNET;
    case ARPHRD_NONE:
    case ARPHRD_RAWIP:
    case ARPHRD_TUNNEL:
    case ARPHRD_TUNNEL6:
    case ARPHRD_SIT:
    case ARPHRD_PPP:
        return PB_LINK_RAW;
    default:
        return -1;
    }
}

static void release(struct pb_packet_socket *s, enum pb_port_role role)
{
    if (role == PB_PORT_INPUT)
        fanout_leave(s);
    if (s->ring != NULL)
        munmap(s->ring, s->ring_bytes);
    if (s->fd >= 0)
        close(s->fd);
    s->ring = NULL;
    s->fd = -1;
}

int pb_packet_open(struct pb_port *port, struct pb_packet_socket *s, const char *interface, struct pb_error *error)
{
    char have[256];
    struct pb_link link;
    int result = pb_link_get(interface, &link);
    if (result == -ENODEV)
        return pb_fail(error, ENODEV, "port \"%s\": no such interface; have: %s", port->name,
                       pb_interfaces_text(have, sizeof(have)));
    if (result < 0)
        return pb_fail(error, -result, "port \"%s\": cannot look up %s: %s", port->name, interface, strerror(-result));
    int link_type = link_type_of(link.hardware);
    if (link_type < 0)
        return pb_fail(error, EPROTONOSUPPORT, "port \"%s\": %s is neither Ethernet nor IP (hardware type %u); "
                       "use another interface", port->name, interface, link.hardware);

    memset(s, 0, sizeof(*s));
    memcpy(s->interface, interface, strlen(interface) + 1); /* it has an index, so it fits */
    s->index = link.index;
    s->link_type = (uint16_t)link_type;
    s->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (s->fd < 0 && (errno == EPERM || errno == EACCES))
        return pb_fail(error, errno, "port \"%s\": no permission for packet sockets; run as root or grant CAP_NET_RAW "
                       "(setcap cap_net_raw+ep PROGRAM)", port->name);
    if (s->fd < 0)
        return pb_fail(error, errno, "port \"%s\": packet socket: %s", port->name, strerror(errno));
    result = port->role == PB_PORT_INPUT ? open_rx(port, s, error) : open_tx(port, s, link.mtu, error);
    if (result < 0)
        release(s, port->role);
    return result;
}

static void tx_drain(struct pb_port *port, struct pb_packet_socket *s)
{
    for (int i = 0; i < DRAIN_MS && s->tx.pending > 0; i++) {
        tx_kick(port, s);
        if (s->tx.pending > 0)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    tx_abandon(port, s);
    pb_counter_set(&port->counters[PB_PORT_IN_FLIGHT], 0);
}

void pb_packet_close(struct pb_port *port)
{
    struct pb_packet_socket *s = port->state;
    if (port->role == PB_PORT_OUTPUT)
        tx_drain(port, s);
    release(s, port->role);
}

/* ----------------------------------------------------------- the driver "packet" */

static int packet_open(struct pb_port *port, struct pb_error *error)
{
    struct pb_packet_socket *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return pb_fail(error, ENOMEM, "port \"%s\": out of memory", port->name);
    int result = pb_packet_open(port, s, port->name, error);
    if (result < 0) {
        free(s);
        return result;
    }
    port->state = s;
    return 0;
}

static void packet_close(struct pb_port *port)
{
    pb_packet_close(port);
    free(port->state);
    port->state = NULL;
}

static const struct pb_option_desc options[] = {PB_PACKET_OPTIONS, {.name = NULL}};

static const struct pb_port_driver packet_driver = {
    .name = "packet",
    .text = "a network interface (AF_PACKET): a copy of its traffic",
    .input = true,
    .output = true,
    .options = options,
    .counters = pb_packet_counters,
    .counters_count = PB_PACKET_COUNTERS,
    .open = packet_open,
    .rx_batch = pb_packet_rx_batch,
    .rx_release = pb_packet_rx_release,
    .tx_batch = pb_packet_tx_batch,
    .wait = pb_packet_wait,
    .tick = pb_packet_tick,
    .flush = pb_packet_flush,
    .close = packet_close,
};
PB_PORT_DRIVER(packet_driver);
