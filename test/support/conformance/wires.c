/*
 * wires.c - a program for tests: the outside ends of interfaces.
 *
 * Holds a raw socket on each interface that it is told to open, sends the frames it
 * is given and hands over those that come, whole and with the VLAN tags that the kernel
 * took off. wires.ts starts it in a namespace and speaks to it: messages on standard
 * input and on descriptor 3, each a struct message with its payload behind it.
 * One thread; it ends with its standard input.
 *
 * Source: packet(7).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define WIRES_MAX 8
#define FRAME_BYTES_MAX 70000
#define VLAN_BYTES 4
#define MACS_BYTES 12
#define RECEIVE_BUFFER_BYTES (64 << 20) /* what comes while the test looks elsewhere */
#define FRAMES_AT_ONCE 64               /* of a wire, before the others have their turn */
#define MESSAGES_FD 3

struct message {
    uint8_t kind; /* in: 'o'pen NAME, 's'end FRAME, 'a'nswer; out: 'o'pened, 'f'rame, 'e'rror TEXT, 'a'll before was done */
    uint8_t wire;
    uint16_t unused;
    uint32_t bytes; /* of the payload */
};

static int sockets[WIRES_MAX];

static void say(char kind, uint8_t wire, const void *payload, uint32_t bytes)
{
    struct message message = {.kind = (uint8_t)kind, .wire = wire, .bytes = bytes};
    struct iovec parts[] = {{&message, sizeof(message)}, {(void *)(uintptr_t)payload, bytes}};
    struct iovec *part = parts;
    for (int left = 2; left > 0;) {
        ssize_t n = writev(MESSAGES_FD, part, left);
        if (n < 0)
            exit(1);
        for (; left > 0 && (size_t)n >= part->iov_len; part++, left--)
            n -= (ssize_t)part->iov_len;
        if (left > 0) {
            part->iov_base = (char *)part->iov_base + n;
            part->iov_len -= (size_t)n;
        }
    }
}

static void say_error(uint8_t wire, const char *what)
{
    char text[200];
    int bytes = snprintf(text, sizeof(text), "%s: %s", what, strerror(errno));
    say('e', wire, text, (uint32_t)bytes);
}

static int open_socket(const char *name)
{
    int on = 1, bytes = RECEIVE_BUFFER_BYTES;
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name)};
    struct packet_mreq promiscuous = {.mr_ifindex = address.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
    int fd = address.sll_ifindex > 0 ? socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : -1;
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof(promiscuous)) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void send_frame(uint8_t wire, const uint8_t *frame, uint32_t bytes)
{
    ssize_t sent;
    while ((sent = send(sockets[wire], frame, bytes, 0)) < 0 && (errno == EAGAIN || errno == EINTR)) {
        struct pollfd room = {.fd = sockets[wire], .events = POLLOUT};
        poll(&room, 1, -1);
    }
    if (sent < 0)
        say_error(wire, "send");
}

static void obey(const struct message *message, const uint8_t *payload)
{
    uint8_t wire = message->wire;
    if (message->kind == 's') {
        send_frame(wire, payload, message->bytes);
        return;
    }
    if (message->kind == 'a') {
        say('a', wire, NULL, 0);
        return;
    }
    char name[IF_NAMESIZE] = "";
    memcpy(name, payload, message->bytes < sizeof(name) ? message->bytes : sizeof(name) - 1);
    if (sockets[wire] >= 0)
        close(sockets[wire]);
    sockets[wire] = open_socket(name);
    if (sockets[wire] < 0)
        say_error(wire, name);
    else
        say('o', wire, NULL, 0);
}

/* The tag that the kernel put aside, back in its place; returns the frame's new length. */
static uint32_t restore_tag(struct msghdr *header, uint8_t *frame, uint32_t bytes)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
        struct tpacket_auxdata aux;
        if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
            continue;
        memcpy(&aux, CMSG_DATA(c), sizeof(aux));
        if (!(aux.tp_status & TP_STATUS_VLAN_VALID))
            continue;
        uint16_t tpid = htons(aux.tp_status & TP_STATUS_VLAN_TPID_VALID ? aux.tp_vlan_tpid : ETHERTYPE_VLAN);
        uint16_t tci = htons(aux.tp_vlan_tci);
        memmove(frame + MACS_BYTES + VLAN_BYTES, frame + MACS_BYTES, bytes - MACS_BYTES);
        memcpy(frame + MACS_BYTES, &tpid, sizeof(tpid));
        memcpy(frame + MACS_BYTES + sizeof(tpid), &tci, sizeof(tci));
        bytes += VLAN_BYTES;
    }
    return bytes;
}

static void receive(uint8_t wire)
{
    static uint8_t frame[FRAME_BYTES_MAX];
    for (int i = 0; i < FRAMES_AT_ONCE; i++) {
        _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
        struct iovec part = {frame, sizeof(frame) - VLAN_BYTES};
        struct msghdr header = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
        ssize_t bytes = recvmsg(sockets[wire], &header, 0);
        if (bytes < 0)
            return; /* none now; or the interface is down, which sending tells */
        say('f', wire, frame, restore_tag(&header, frame, (uint32_t)bytes));
    }
}

/* Carry out the whole messages at the start of `input`; returns how many bytes they have. */
static size_t obey_all(const uint8_t *input, size_t bytes)
{
    size_t at = 0;
    struct message message;
    while (bytes - at >= sizeof(message)) {
        memcpy(&message, input + at, sizeof(message));
        if (message.wire >= WIRES_MAX || message.bytes > FRAME_BYTES_MAX)
            exit(1);
        if (bytes - at < sizeof(message) + message.bytes)
            break;
        obey(&message, input + at + sizeof(message));
        at += sizeof(message) + message.bytes;
    }
    return at;
}

int main(void)
{
    static uint8_t input[1 << 20];
    size_t held = 0;
    for (int i = 0; i < WIRES_MAX; i++)
        sockets[i] = -1;
    for (;;) {
        struct pollfd fds[WIRES_MAX + 1];
        for (int i = 0; i < WIRES_MAX; i++)
            fds[i] = (struct pollfd){.fd = sockets[i], .events = POLLIN};
        fds[WIRES_MAX] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
        if (poll(fds, WIRES_MAX + 1, -1) < 0)
            return 1;
        for (uint8_t i = 0; i < WIRES_MAX; i++)
            if (fds[i].revents != 0)
                receive(i);
        if (fds[WIRES_MAX].revents == 0)
            continue;
        ssize_t n = read(STDIN_FILENO, input + held, sizeof(input) - held);
        if (n <= 0)
            return n < 0;
        held += (size_t)n;
        size_t done = obey_all(input, held);
        held -= done;
        memmove(input, input + done, held);
    }
}
