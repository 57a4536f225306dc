/*
 * netmap_app.c - a program for tests: an ordinary application of netmap, made from its interface alone (abi.h). With the
 * stand-in preloaded it is the other end of a pipe, a port of a switch, or an inline application. One thread.
 *
 *   netmap_app rx NAME FILE [COUNT [SECONDS]]   writes what comes as a capture; ends after that many frames or seconds (0: no
 *                                               limit), or at SIGINT or SIGTERM
 *   netmap_app tx NAME FILE                     sends the frames of a capture; ends when the port has taken all
 *   netmap_app forward FROM TO                  sends at TO what comes at FROM, by exchanging buffers where both share memory
 *   netmap_app probe                            opens and closes the device, upon which the stand-in takes away
 *                                               what dead processes left
 *
 * Captures are classic pcap, little-endian; "-" is standard input or output. "netmap_app: ready" on standard error says
 * that the ports are registered.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "abi.h"

#define POLL_MS 100
#define PCAP_MAGIC_US 0xa1b2c3d4u
#define PCAP_MAGIC_NS 0xa1b23c4du

struct port {
    int fd;
    struct nmreq_register request;
    struct netmap_if *nifp;
};

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

static void fail(const char *what, const char *name)
{
    fprintf(stderr, "netmap_app: %s %s: %s\n", what, name, strerror(errno));
    exit(1);
}

/* A memory is mapped once, however many ports lie in it. */
static uint8_t *map_memory(const struct port *port, const struct port *other)
{
    if (other != NULL && other->request.mem_id == port->request.mem_id)
        return (uint8_t *)other->nifp - other->request.offset;
    uint8_t *memory = mmap(NULL, port->request.memsize, PROT_READ | PROT_WRITE, MAP_SHARED, port->fd, 0);
    if (memory == MAP_FAILED)
        fail("mmap", "the memory");
    return memory;
}

static struct port open_port(const char *name, const struct port *other)
{
    struct port port = { .fd = open(NETMAP_DEVICE, O_RDWR | O_CLOEXEC), .request.mode = NR_REG_ALL_NIC };
    struct nmreq_header header = { .version = NETMAP_API_MIN, .reqtype = NETMAP_REQ_REGISTER };
    if (port.fd < 0)
        fail("open", NETMAP_DEVICE);
    snprintf(header.name, sizeof(header.name), "%s", name);
    header.body = (uintptr_t)&port.request;
    if (ioctl(port.fd, NIOCCTRL, &header) != 0)
        fail("register", name);
    port.nifp = (struct netmap_if *)(map_memory(&port, other) + port.request.offset);
    return port;
}

static void wait_for(const struct port *port, short events)
{
    struct pollfd fd = { .fd = port->fd, .events = events };
    if (poll(&fd, 1, POLL_MS) < 0 && errno != EINTR)
        fail("poll", port->nifp->name);
    if ((fd.revents & POLLERR) != 0) {
        fprintf(stderr, "netmap_app: %s: the port is gone or a ring was reset\n", port->nifp->name);
        exit(1);
    }
}

static uint32_t load_tail(const struct netmap_ring *ring)
{
    return __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
}

static void advance(struct netmap_ring *ring, uint32_t head)
{
    ring->cur = head;
    __atomic_store_n(&ring->head, head, __ATOMIC_RELEASE);
}

static void sync_port(const struct port *port, uint32_t request)
{
    if (ioctl(port->fd, request) != 0)
        fail("sync", port->nifp->name);
}

static FILE *open_file(const char *name, bool to_write)
{
    if (strcmp(name, "-") == 0)
        return to_write ? stdout : stdin;
    FILE *file = fopen(name, to_write ? "we" : "re");
    if (file == NULL)
        fail("open", name);
    return file;
}

static void write_all(FILE *file, const void *data, size_t bytes)
{
    if (fwrite(data, 1, bytes, file) != bytes)
        fail("write", "the capture");
}

static void write_frame(FILE *file, struct netmap_ring *ring, const struct netmap_slot *slot)
{
    const uint32_t header[4] = { (uint32_t)ring->ts.tv_sec, (uint32_t)ring->ts.tv_usec, slot->len, slot->len };
    write_all(file, header, sizeof(header));
    write_all(file, nm_buffer(ring, slot->buf_idx), slot->len);
}

static void receive(struct port *port, FILE *file, uint64_t count, time_t seconds)
{
    static const uint32_t header[6] = { PCAP_MAGIC_US, 0x00040002, 0, 0, 65535, 1 };
    time_t start = time(NULL);
    uint64_t received = 0;
    write_all(file, header, sizeof(header));
    while (!interrupted && (count == 0 || received < count) && (seconds == 0 || time(NULL) - start < seconds)) {
        fflush(file);
        wait_for(port, POLLIN);
        for (uint32_t i = 0; i < port->nifp->rx_rings; i++) {
            struct netmap_ring *ring = nm_rx_ring(port->nifp, i);
            uint32_t at = ring->head, tail = load_tail(ring);
            for (; at != tail && (count == 0 || received < count); at = nm_next(at, ring->num_slots), received++)
                write_frame(file, ring, &ring->slot[at]);
            advance(ring, at);
        }
    }
    sync_port(port, NIOCRXSYNC);
    if (fclose(file) != 0)
        fail("write", "the capture");
}

/* The next slot of a tx ring, when there is one. */
static struct netmap_slot *tx_slot(struct port *port, struct netmap_ring *ring)
{
    while (!interrupted && ring->head == load_tail(ring))
        wait_for(port, POLLOUT);
    return interrupted ? NULL : &ring->slot[ring->head];
}

static void send_capture(struct port *port, FILE *file)
{
    struct netmap_ring *ring = nm_tx_ring(port->nifp, 0);
    uint32_t header[6], record[4];
    if (fread(header, sizeof(header), 1, file) != 1 || (header[0] != PCAP_MAGIC_US && header[0] != PCAP_MAGIC_NS)) {
        fprintf(stderr, "netmap_app: that is no capture\n");
        exit(1);
    }
    while (!interrupted && fread(record, sizeof(record), 1, file) == 1) {
        struct netmap_slot *slot = tx_slot(port, ring);
        if (slot == NULL)
            break;
        if (record[2] > ring->buf_size || fread(nm_buffer(ring, slot->buf_idx), 1, record[2], file) != record[2]) {
            fprintf(stderr, "netmap_app: a record of %u bytes is cut or more than a buffer holds\n", record[2]);
            exit(1);
        }
        slot->len = (uint16_t)record[2];
        advance(ring, nm_next(ring->head, ring->num_slots));
    }
    sync_port(port, NIOCTXSYNC);
    while (!interrupted && nm_next(load_tail(ring), ring->num_slots) != ring->head) {
        poll(NULL, 0, 1);
        sync_port(port, NIOCTXSYNC);
    }
}

/* Between memories bytes are copied, within one the buffers change places. */
static void pass_on(struct netmap_ring *from, struct netmap_slot *in, struct netmap_ring *to, struct netmap_slot *out, bool shared)
{
    out->len = in->len;
    if (!shared) {
        memcpy(nm_buffer(to, out->buf_idx), nm_buffer(from, in->buf_idx), in->len);
        return;
    }
    uint32_t index = out->buf_idx;
    out->buf_idx = in->buf_idx;
    in->buf_idx = index;
    in->flags |= NS_BUF_CHANGED;
    out->flags |= NS_BUF_CHANGED;
}

static void forward(struct port *from, struct port *to)
{
    bool shared = from->request.mem_id == to->request.mem_id;
    struct netmap_ring *out = nm_tx_ring(to->nifp, 0);
    while (!interrupted) {
        wait_for(from, POLLIN);
        for (uint32_t i = 0; i < from->nifp->rx_rings; i++) {
            struct netmap_ring *in = nm_rx_ring(from->nifp, i);
            while (in->head != load_tail(in)) {
                struct netmap_slot *slot = tx_slot(to, out);
                if (slot == NULL)
                    return;
                pass_on(in, &in->slot[in->head], out, slot, shared);
                advance(out, nm_next(out->head, out->num_slots));
                advance(in, nm_next(in->head, in->num_slots));
            }
        }
        sync_port(to, NIOCTXSYNC);
    }
}

static void close_port(struct port *port)
{
    if (close(port->fd) != 0)
        fail("close", port->nifp->name);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    struct sigaction action = { .sa_handler = interrupt };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (strcmp(what, "probe") == 0) {
        int fd = open(NETMAP_DEVICE, O_RDWR | O_CLOEXEC);
        if (fd < 0)
            fail("open", NETMAP_DEVICE);
        return close(fd);
    }
    bool rx = strcmp(what, "rx") == 0, tx = strcmp(what, "tx") == 0, both = strcmp(what, "forward") == 0;
    if (!(rx && argc >= 4) && !(tx && argc == 4) && !(both && argc == 4))
        return fprintf(stderr, "usage: netmap_app rx NAME FILE [COUNT [SECONDS]] | tx NAME FILE | forward FROM TO | probe\n"), 2;
    struct port port = open_port(argv[2], NULL), other = { 0 };
    if (both)
        other = open_port(argv[3], &port);
    FILE *file = both ? NULL : open_file(argv[3], rx);
    fprintf(stderr, "netmap_app: ready\n");
    if (rx)
        receive(&port, file, argc > 4 ? strtoull(argv[4], NULL, 10) : 0, argc > 5 ? strtol(argv[5], NULL, 10) : 0);
    else if (tx)
        send_capture(&port, file);
    else
        forward(&port, &other);
    if (both)
        close_port(&other);
    close_port(&port);
    return 0;
}
