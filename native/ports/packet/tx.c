/*
 * tx.c - sending through a TPACKET_V2 ring.
 *
 * Frames are copied into slots; one send() for each batch has the kernel take
 * them, past the queueing discipline. The kernel takes slots in order and stops at
 * the first that it cannot send now, so that a slot's status says what became of
 * its frame: nothing is lost between us and the device without a count.
 * Used through packet.h, on the engine's thread but for opening and draining.
 *
 * Source: net/packet/af_packet.c, tpacket_snd() and packet_poll().
 */
#include <errno.h>
#include <linux/if_ether.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include "socket.h"

#define RING_BYTES (4u << 20) /* small enough to stay in a cache, 2048 slots for an MTU of 1500 */
#define BLOCK_BYTES 262144u   /* three slots for the longest frames */
#define DATA_OFFSET ((uint32_t)(TPACKET2_HDRLEN - sizeof(struct sockaddr_ll))) /* of the frame in its slot */
#define RETRY_NS_MIN 100000   /* a device queue that has room again wakes nobody: look after this, */
#define RETRY_NS_MAX 10000000 /* and after twice as long each time, up to this */
#define DRAIN_MS 100          /* the longest that close() waits for the device */

static struct tpacket2_hdr *tx_slot(const struct pb_packet_socket *s, uint32_t slot)
{
    const struct pb_packet_tx *tx = &s->tx;
    size_t block = slot / tx->block_slots, place = slot % tx->block_slots;
    return (struct tpacket2_hdr *)(s->ring + block * BLOCK_BYTES + place * tx->slot_bytes);
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
    memcpy((uint8_t *)slot + DATA_OFFSET, packet->data, packet->captured_len);
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
static void tx_abandon(struct pb_port *port, struct pb_packet_socket *s, enum pb_packet_counter reason)
{
    struct pb_packet_tx *tx = &s->tx;
    pb_port_count(port, reason, tx->pending);
    while (tx->pending > 0) {
        uint32_t last = tx_advance(tx, tx->head, --tx->pending);
        __atomic_store_n(&tx_slot(s, last)->tp_status, TP_STATUS_AVAILABLE, __ATOMIC_RELEASE);
    }
}

/* The MTU may change at any time, even be greater than it was when the slots were made. */
static void tx_set_frame_max(struct pb_packet_socket *s, uint32_t mtu)
{
    uint32_t header = s->link_type == PB_LINK_ETHERNET ? ETH_HLEN : 0;
    uint32_t room = s->tx.slot_bytes - DATA_OFFSET - PB_VLAN_TAG_BYTES;
    s->tx.frame_max = mtu < room - header ? mtu + header : room;
}

/* Hand the pending slots to the device. PACKET_LOSS stays off: with it the kernel
 * would skip a frame it refuses and nobody could tell that it was not sent. */
void pb_packet_tx_kick(struct pb_port *port, struct pb_packet_socket *s)
{
    struct pb_packet_tx *tx = &s->tx;
    if (tx->pending == 0)
        return;
    uint32_t before = tx->pending;
    int code = send(s->interface.fd, NULL, 0, MSG_DONTWAIT) < 0 ? errno : 0;
    tx_count_taken(port, s);
    tx->stalled = tx->pending == before;
    if (!tx->stalled)
        tx->retry_ns = RETRY_NS_MIN;
    if (code == ENETDOWN || code == ENXIO) {
        pb_packet_lost(port, s);
        tx_abandon(port, s, PB_PACKET_TX_ERROR);
    } else if (tx->pending > 0 && (tx_status(s, tx->head) & TP_STATUS_WRONG_FORMAT)) {
        /* Checked when it was put in, so the interface has changed since. */
        struct ifreq answer;
        tx_abandon(port, s, PB_PACKET_TX_ERROR);
        if (pb_interface_ask(&s->interface, SIOCGIFMTU, &answer))
            tx_set_frame_max(s, (uint32_t)answer.ifr_mtu);
    }
    /* Anything else is congestion: the frames stay and are offered again. */
    pb_counter_set(&port->counters[PB_PORT_IN_FLIGHT], tx->pending);
}

/* It was down: is it up again? */
static void tx_look_up(struct pb_packet_socket *s)
{
    if (!s->interface.gone && pb_interface_is_up(&s->interface) && pb_interface_has_link(&s->interface))
        s->interface.down = false;
}

/* The counter of the reason why a packet must not be sent; PB_PACKET_COUNTERS: none. */
static enum pb_packet_counter tx_objection(const struct pb_packet_socket *s, const struct pb_packet *packet)
{
    static const enum pb_packet_counter reasons[] = PB_FRAME_REASONS(PB_PACKET, PB_PACKET_COUNTERS);
    if (s->interface.down)
        return PB_PACKET_TX_ERROR;
    return reasons[pb_frame_check(packet, s->link_type, s->tx.frame_max)];
}

uint32_t pb_packet_tx_batch(struct pb_port *port, const struct pb_tx *tx)
{
    struct pb_packet_socket *s = port->state;
    if (s->interface.down)
        tx_look_up(s);
    bool full = false; /* a kick in this batch made no room: not worth another */
    uint32_t done = 0;
    for (; done < tx->count; done++) {
        const struct pb_packet *packet = &tx->packets[tx->index[done]];
        enum pb_packet_counter objection = tx_objection(s, packet);
        if (objection == PB_PACKET_COUNTERS && !tx_has_room(s)) {
            if (!full)
                pb_packet_tx_kick(port, s);
            full = !tx_has_room(s);
            if (full && tx->may_wait)
                break;
            objection = s->interface.down ? PB_PACKET_TX_ERROR : full ? PB_PACKET_TX_FULL : PB_PACKET_COUNTERS;
        }
        if (objection == PB_PACKET_COUNTERS)
            tx_put(s, packet);
        else
            pb_port_count(port, objection, 1);
    }
    s->tx.refused = done < tx->count;
    pb_packet_tx_kick(port, s);
    return done;
}

/* POLLOUT is of no use: the kernel sets it while the socket's send buffer has room,
 * whatever the ring's state, and never for a device queue that has room again. */
bool pb_packet_tx_wait(struct pb_port *port, struct pb_packet_socket *s, struct pb_wait *wait)
{
    pb_packet_tx_kick(port, s);
    bool refused = s->tx.refused, waits = refused || s->tx.pending > 0;
    *wait = (struct pb_wait){.fd = -1, .timeout_ns = waits ? s->tx.retry_ns : -1};
    if (s->tx.stalled && s->tx.retry_ns < RETRY_NS_MAX)
        s->tx.retry_ns *= 2;
    return !(refused && tx_has_room(s));
}

void pb_packet_tx_tick(struct pb_port *port, struct pb_packet_socket *s)
{
    struct ifreq answer;
    if (s->interface.gone)
        return;
    pb_packet_tx_kick(port, s);
    if (s->tx.stalled && s->tx.pending > 0 && !pb_interface_has_link(&s->interface)) {
        pb_packet_lost(port, s);
        tx_abandon(port, s, PB_PACKET_TX_ERROR);
        pb_counter_set(&port->counters[PB_PORT_IN_FLIGHT], 0);
    }
    if (s->interface.down)
        tx_look_up(s);
    if (s->interface.down)
        pb_packet_lost(port, s);
    if (pb_interface_ask(&s->interface, SIOCGIFMTU, &answer))
        tx_set_frame_max(s, (uint32_t)answer.ifr_mtu);
}

int pb_packet_tx_open(struct pb_port *port, struct pb_packet_socket *s, uint32_t mtu, struct pb_error *error)
{
    /* A slot takes the longest frame. It lies in one page, or begins one, so that the
     * longest does not need more page fragments than a packet in the kernel can have. */
    uint32_t mtu_max = PB_FRAME_BYTES_LIVE_MAX - ETH_HLEN;
    uint32_t need = DATA_OFFSET + ETH_HLEN + PB_VLAN_TAG_BYTES + (mtu < mtu_max ? mtu : mtu_max);
    uint32_t slot = need <= 2048 ? 2048 : (need + 4095) / 4096 * 4096;
    uint32_t blocks = RING_BYTES / BLOCK_BYTES;
    s->tx = (struct pb_packet_tx){.slot_bytes = slot, .block_slots = BLOCK_BYTES / slot, .retry_ns = RETRY_NS_MIN};
    s->tx.slots = s->tx.block_slots * blocks;
    tx_set_frame_max(s, mtu);
    struct tpacket_req request = {.tp_block_size = BLOCK_BYTES,
                                  .tp_block_nr = blocks,
                                  .tp_frame_size = slot,
                                  .tp_frame_nr = s->tx.slots};
    if (pb_packet_set_option(s, PACKET_VERSION, TPACKET_V2) < 0 || pb_packet_set_option(s, PACKET_QDISC_BYPASS, 1) < 0)
        return pb_port_fail_errno(port, error, errno, "use Linux 3.14 or later", "cannot set up the packet socket");
    /* What bounds the frames under way is the ring, not the send buffer. */
    int send_bytes = 2 * (int)RING_BYTES;
    if (setsockopt(s->interface.fd, SOL_SOCKET, SO_SNDBUFFORCE, &send_bytes, sizeof(send_bytes)) < 0)
        (void)setsockopt(s->interface.fd, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof(send_bytes));
    int result = pb_packet_map_ring(port, s, PACKET_TX_RING, &request, sizeof(request), error);
    if (result < 0)
        return result;
    if (pb_packet_bind(s, 0) < 0) /* protocol 0: it receives nothing */
        return pb_port_fail_errno(port, error, errno, "see whether ip link shows it, then start again", "cannot bind to %s",
                                  s->interface.name);
    if (!pb_interface_is_up(&s->interface))
        pb_packet_lost(port, s);
    return 0;
}

void pb_packet_tx_drain(struct pb_port *port, struct pb_packet_socket *s)
{
    for (int i = 0; i < DRAIN_MS && s->tx.pending > 0; i++) {
        pb_packet_tx_kick(port, s);
        if (s->tx.pending > 0)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    tx_abandon(port, s, PB_PACKET_TX_FULL); /* the interface was too slow for the time that there was */
    pb_counter_set(&port->counters[PB_PORT_IN_FLIGHT], 0);
}

