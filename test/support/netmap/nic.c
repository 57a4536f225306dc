/*
 * nic.c - the hardware of a NIC of the stand-in: a packet socket on the real interface, as netmap's emulated mode uses
 * the driver's ordinary transmission. Unlike netmap it leaves the host its own copy of the traffic.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "model.h"

#define RECEIVE_BUFFER_BYTES (8 << 20)
#define MACS_BYTES 12
#define TAG_BYTES 4

int nm_nic_share(pid_t pid, int socket)
{
    if (pid == getpid())
        return fcntl(socket, F_DUPFD_CLOEXEC, 0);
    int process = (int)syscall(SYS_pidfd_open, pid, 0);
    if (process < 0)
        return -errno;
    int fd = (int)syscall(SYS_pidfd_getfd, process, socket, 0);
    close(process);
    return fd;
}

int nm_nic_open(struct nm_state *s, uint32_t port)
{
    static const int on = 1, bytes = RECEIVE_BUFFER_BYTES;
    const struct sockaddr_ll address = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = s->ports[port].ifindex
    };
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0); /* receives nothing before it is bound */
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)); /* without the right: what the system grants */
    if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) == 0 &&
        setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) == 0 &&
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    int result = -errno;
    close(fd);
    return result;
}

/* The kernel detaches a socket from a removed interface. */
static bool is_gone(int socket)
{
    struct sockaddr_ll address;
    socklen_t bytes = sizeof(address);
    return getsockname(socket, (struct sockaddr *)&address, &bytes) == 0 && address.sll_ifindex <= 0;
}

/* A link that is down or busy keeps its frames; a frame that it never takes is passed over. */
void nm_nic_send(struct nm_state *s, struct nm_ring_ref *ref, int socket)
{
    struct nm_kring *k = ref->k;
    for (; socket >= 0 && k->hwcur != k->rhead; k->hwcur = nm_next(k->hwcur, k->slots)) {
        const struct netmap_slot *slot = nm_kernel_slot(s, ref, k->hwcur);
        if (send(socket, nm_memory_buffer(s, ref->view, slot->buf_idx), slot->len, MSG_DONTWAIT) >= 0)
            continue;
        if (errno == ENETDOWN || errno == ENXIO)
            s->ports[ref->port].gone = is_gone(socket);
        if (errno != EMSGSIZE && errno != EINVAL)
            return;
    }
}

/* Puts back the VLAN tag that the kernel took out. Returns the frame's length. */
static uint32_t restore_tag(struct msghdr *message, uint8_t *frame, uint32_t bytes)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        struct tpacket_auxdata aux;
        if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA || bytes < MACS_BYTES)
            continue;
        memcpy(&aux, CMSG_DATA(c), sizeof(aux));
        if ((aux.tp_status & TP_STATUS_VLAN_VALID) == 0)
            continue;
        uint16_t type = (aux.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0 ? aux.tp_vlan_tpid : ETH_P_8021Q;
        uint16_t tag[2] = { htons(type), htons(aux.tp_vlan_tci) };
        memmove(frame + MACS_BYTES + TAG_BYTES, frame + MACS_BYTES, bytes - MACS_BYTES);
        memcpy(frame + MACS_BYTES, tag, TAG_BYTES);
        return bytes + TAG_BYTES;
    }
    return bytes;
}

/* The rx ring of a frame: by addresses and ports, so that a flow stays in one. */
static uint32_t choose_ring(const uint8_t *frame, uint32_t bytes, uint32_t rings)
{
    uint32_t from = 0, to = MACS_BYTES, hash = 2166136261u;
    if (bytes >= 38 && frame[12] == 0x08 && frame[13] == 0x00)
        from = 26, to = 38;
    else if (bytes >= 58 && frame[12] == 0x86 && frame[13] == 0xdd)
        from = 22, to = 58;
    for (uint32_t i = from; i < to && i < bytes; i++)
        hash = (hash ^ frame[i]) * 16777619u;
    return (hash ^ hash >> 16) % rings;
}

/* Whether any rx ring of the NIC takes a frame. */
static bool has_room(struct nm_state *s, uint32_t port)
{
    for (uint32_t ring = 0; ring < s->ports[port].rings[NM_RX]; ring++) {
        const struct nm_kring *k = &s->ports[port].kring[NM_RX][ring];
        if (k->object != 0 && nm_next(k->hwtail, k->slots) != k->hwcur)
            return true;
    }
    return false;
}

/* Reads what has come into the rings it belongs to, whoever bound them. Frames wait in the socket while all rings are
 * full; a frame for a ring that is full or nobody's is lost, as is one that no buffer holds. */
void nm_nic_receive(struct nm_state *s, uint32_t port, int socket)
{
    static uint8_t frame[65536 + TAG_BYTES];
    while (has_room(s, port)) {
        uint8_t control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
        struct iovec vector = { frame, sizeof(frame) - TAG_BYTES };
        struct msghdr message = {
            .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
        };
        ssize_t bytes = recvmsg(socket, &message, MSG_DONTWAIT | MSG_TRUNC);
        if (bytes < 0) {
            if (errno != ENETDOWN)
                return;
            if ((s->ports[port].gone = is_gone(socket)))
                return;
            continue; /* it is down, what came before is still there */
        }
        uint32_t length = bytes < (ssize_t)vector.iov_len ? restore_tag(&message, frame, (uint32_t)bytes) : UINT32_MAX;
        uint32_t ring = choose_ring(frame, length, s->ports[port].rings[NM_RX]);
        struct nm_ring_ref ref;
        if (length <= NM_BUFFER_BYTES && nm_ring_at(s, port, NM_RX, ring, &ref) && nm_ring_put(s, &ref, frame, length))
            nm_descriptor_wake(s, port, NM_RX, ring);
    }
}
