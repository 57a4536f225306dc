/*
 * netmap_kernel.h - what test_netmap.c has in place of the netmap module: open() and ioctl() of
 * /dev/netmap in this process, over one memory, with the rings of an interface "nic0" and
 * of any pipe "nic0{N". Both ends are the test's to look at and to write nonsense into.
 *
 * One thread. Rings are made once and stay: their state between registrations is the test's to see.
 */
#ifndef NETMAP_KERNEL_H
#define NETMAP_KERNEL_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"
#include "ports/netmap/abi.h"

#define KERNEL_SLOTS 16
#define KERNEL_BUFFER_BYTES 2048
#define KERNEL_BUFFERS 512
#define KERNEL_PORTS 8
#define KERNEL_RINGS 2 /* of each direction of the interface */
#define KERNEL_FDS 64
#define KERNEL_SENT 4096

#define RING_BYTES (sizeof(struct netmap_ring) + KERNEL_SLOTS * sizeof(struct netmap_slot))
#define PORT_BYTES (2 * KERNEL_RINGS * RING_BYTES)
#define IF_BYTES 256
#define IFS_AT (KERNEL_PORTS * PORT_BYTES)
#define BUFFERS_AT (IFS_AT + KERNEL_FDS * IF_BYTES)
#define MEMORY_BYTES (BUFFERS_AT + (size_t)KERNEL_BUFFERS * KERNEL_BUFFER_BYTES)

/* A frame that has come out of a send ring. */
struct kernel_frame {
    uint32_t port, ring, buffer, length;
    uint8_t data[KERNEL_BUFFER_BYTES];
};

static struct {
    int memory_fd;
    uint8_t *memory;
    char names[KERNEL_PORTS][NETMAP_NAME_BYTES];
    uint32_t taken[KERNEL_PORTS][2][KERNEL_RINGS];  /* by direction, rx first: how far head has been heeded */
    uint32_t filled[KERNEL_PORTS][2][KERNEL_RINGS]; /* rx: up to where packets stand */
    bool deaf[KERNEL_PORTS];                        /* nobody fetches what is sent */
    struct { int port; int ringid; uint32_t offset; } open[KERNEL_FDS];
    bool used[KERNEL_BUFFERS];
    int refusal;       /* errno of the next registration */
    int missing;       /* errno of open() */
    int sync_refusal;  /* errno of syncs */
    struct kernel_frame sent[KERNEL_SENT];
    uint32_t sent_count;
} kernel = {.memory_fd = -1};

static uint8_t *kernel_buffer(uint32_t buffer)
{
    return kernel.memory + BUFFERS_AT + (size_t)buffer * KERNEL_BUFFER_BYTES;
}

/* direction 0: rx, 1: tx */
static struct netmap_ring *kernel_ring(uint32_t port, uint32_t direction, uint32_t ring)
{
    return (void *)(kernel.memory + port * PORT_BYTES + (direction * KERNEL_RINGS + ring) * RING_BYTES);
}

static struct netmap_if *kernel_if(int fd)
{
    return (void *)(kernel.memory + kernel.open[fd].offset);
}

static uint32_t kernel_rings(uint32_t port)
{
    return strpbrk(kernel.names[port], "{}") == NULL ? KERNEL_RINGS : 1;
}

static uint32_t kernel_new_buffer(void)
{
    for (uint32_t i = 2; i < KERNEL_BUFFERS; i++)
        if (!kernel.used[i]) {
            kernel.used[i] = true;
            return i;
        }
    CHECK(!"buffers left");
    return 0;
}

static void kernel_boot(void)
{
    kernel.memory_fd = memfd_create("netmap", MFD_CLOEXEC);
    CHECK(ftruncate(kernel.memory_fd, MEMORY_BYTES) == 0);
    kernel.memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, kernel.memory_fd, 0);
    CHECK(kernel.memory != MAP_FAILED);
    for (uint32_t i = 0; i < KERNEL_FDS; i++)
        kernel.open[i].port = -1;
}

static uint32_t kernel_port(const char *name)
{
    uint32_t port = 0;
    while (kernel.names[port][0] != 0 && strcmp(kernel.names[port], name) != 0)
        port++;
    if (kernel.names[port][0] != 0)
        return port;
    strcpy(kernel.names[port], name);
    for (uint32_t direction = 0; direction < 2; direction++)
        for (uint32_t r = 0; r < kernel_rings(port); r++) {
            struct netmap_ring *ring = kernel_ring(port, direction, r);
            *ring = (struct netmap_ring){.buf_ofs = (int64_t)(kernel.memory + BUFFERS_AT - (uint8_t *)ring),
                                         .num_slots = KERNEL_SLOTS,
                                         .buf_size = KERNEL_BUFFER_BYTES,
                                         .ringid = (uint16_t)r,
                                         .dir = (uint16_t)direction,
                                         .tail = direction == 1 ? KERNEL_SLOTS - 1 : 0};
            for (uint32_t s = 0; s < KERNEL_SLOTS; s++)
                ring->slots[s] = (struct netmap_slot){.buf_idx = kernel_new_buffer()};
        }
    return port;
}

static void kernel_extras(uint32_t *head, uint32_t count)
{
    *head = 0;
    for (; count > 0; count--) {
        uint32_t buffer = kernel_new_buffer();
        memcpy(kernel_buffer(buffer), head, sizeof(*head));
        *head = buffer;
    }
}

static int kernel_register(int fd, struct netmap_header *header)
{
    struct netmap_register *request = (void *)(uintptr_t)header->body;
    CHECK_EQUAL(header->version, 14);
    CHECK_EQUAL(header->request, 1);
    if (kernel.refusal != 0) {
        errno = kernel.refusal;
        return -1;
    }
    uint32_t port = kernel_port(header->name), rings = kernel_rings(port);
    if (request->mode == 4 && request->ringid >= rings) {
        errno = EINVAL;
        return -1;
    }
    kernel.open[fd].port = (int)port;
    kernel.open[fd].ringid = request->mode == 4 ? request->ringid : -1;
    kernel.open[fd].offset = IFS_AT + (uint32_t)fd * IF_BYTES;
    struct netmap_if *nif = kernel_if(fd);
    memset(nif, 0, IF_BYTES);
    nif->tx_rings = nif->rx_rings = rings;
    nif->host_tx_rings = nif->host_rx_rings = 1;
    for (uint32_t r = 0; r < rings; r++) {
        if (request->mode == 4 && request->ringid != r)
            continue;
        nif->ring_ofs[r] = (uint8_t *)kernel_ring(port, 1, r) - (uint8_t *)nif;
        nif->ring_ofs[rings + 1 + r] = (uint8_t *)kernel_ring(port, 0, r) - (uint8_t *)nif;
    }
    kernel_extras(&nif->bufs_head, request->extra_bufs);
    request->offset = kernel.open[fd].offset;
    request->memsize = MEMORY_BYTES;
    request->mem_id = 1;
    return 0;
}

static void kernel_send(uint32_t port, uint32_t r)
{
    struct netmap_ring *ring = kernel_ring(port, 1, r);
    uint32_t *taken = &kernel.taken[port][1][r];
    for (; !kernel.deaf[port] && *taken != ring->head; *taken = (*taken + 1) % KERNEL_SLOTS) {
        const struct netmap_slot *slot = &ring->slots[*taken];
        struct kernel_frame *frame = &kernel.sent[kernel.sent_count++];
        CHECK(kernel.sent_count < KERNEL_SENT);
        *frame = (struct kernel_frame){.port = port, .ring = r, .buffer = slot->buf_idx, .length = slot->len};
        memcpy(frame->data, kernel_buffer(slot->buf_idx), slot->len);
    }
    ring->tail = (*taken + KERNEL_SLOTS - 1) % KERNEL_SLOTS;
}

static int kernel_sync(int fd, uint32_t direction)
{
    if (kernel.sync_refusal != 0) {
        errno = kernel.sync_refusal;
        return -1;
    }
    uint32_t port = (uint32_t)kernel.open[fd].port;
    for (uint32_t r = 0; r < kernel_rings(port); r++) {
        if (kernel.open[fd].ringid >= 0 && (uint32_t)kernel.open[fd].ringid != r)
            continue;
        struct netmap_ring *ring = kernel_ring(port, direction, r);
        if (direction == 1) {
            kernel_send(port, r);
        } else {
            kernel.taken[port][0][r] = ring->head;
            ring->tail = kernel.filled[port][0][r];
        }
    }
    return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    switch (request) {
    case NETMAP_IOC_CTRL:
        return kernel_register(fd, argument);
    case NETMAP_IOC_TXSYNC:
        return kernel_sync(fd, 1);
    case NETMAP_IOC_RXSYNC:
        return kernel_sync(fd, 0);
    default:
        return (int)syscall(SYS_ioctl, fd, request, argument);
    }
}

int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    int mode = va_arg(arguments, int);
    va_end(arguments);
    if (strcmp(path, NETMAP_DEVICE) != 0)
        return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (kernel.missing != 0) {
        errno = kernel.missing;
        return -1;
    }
    int fd = fcntl(kernel.memory_fd, F_DUPFD_CLOEXEC, 3);
    CHECK(fd < KERNEL_FDS);
    return fd;
}

/* Have a frame arrive; false: the ring is full. */
static bool kernel_receive(uint32_t port, uint32_t r, const uint8_t *data, uint32_t length)
{
    struct netmap_ring *ring = kernel_ring(port, 0, r);
    uint32_t *filled = &kernel.filled[port][0][r], next = (*filled + 1) % KERNEL_SLOTS;
    if (next == kernel.taken[port][0][r])
        return false;
    struct netmap_slot *slot = &ring->slots[*filled];
    memcpy(kernel_buffer(slot->buf_idx), data, length);
    slot->len = (uint16_t)length;
    slot->flags = 0;
    *filled = next;
    return true;
}

/* Count a buffer once more, by where it is. */
static void kernel_tally(uint32_t *tally, uint32_t buffer)
{
    CHECK(buffer < KERNEL_BUFFERS);
    tally[buffer]++;
}

/* Each buffer that was given away is in one place: a ring's slot, or the list at `head`, which holds `listed`. */
static void kernel_check_buffers(uint32_t head, uint32_t listed)
{
    uint32_t tally[KERNEL_BUFFERS] = {0}, in_list = 0;
    for (uint32_t p = 0; p < KERNEL_PORTS && kernel.names[p][0] != 0; p++)
        for (uint32_t i = 0; i < 2 * kernel_rings(p) * KERNEL_SLOTS; i++)
            kernel_tally(tally, kernel_ring(p, i / KERNEL_SLOTS % 2, i / KERNEL_SLOTS / 2)->slots[i % KERNEL_SLOTS].buf_idx);
    for (; head != 0; in_list++) {
        kernel_tally(tally, head);
        memcpy(&head, kernel_buffer(head), sizeof(head));
    }
    CHECK_EQUAL(in_list, listed);
    for (uint32_t i = 0; i < KERNEL_BUFFERS; i++)
        CHECK(tally[i] <= 1);
}

/* Take back what is listed, as the module does when a file is closed. */
static void kernel_free_extras(uint32_t head)
{
    while (head != 0) {
        CHECK(kernel.used[head]);
        kernel.used[head] = false;
        memcpy(&head, kernel_buffer(head), sizeof(head));
    }
}

#endif
