/*
 * netmap_bed.h - what the test of the stand-in for netmap needs: ports opened by system calls alone, frames in and out of
 * their rings, and the file in which broken rules are recorded.
 */
#ifndef PB_NETMAP_BED_H
#define PB_NETMAP_BED_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi.h"
#include "check.h"

#define FRAME_BYTES 60

static char bed_folder[] = "/tmp/netmap-stand-in-XXXXXX";

struct bed_port {
    int fd;
    struct nmreq_register request;
    uint8_t *memory;
    struct netmap_if *nifp;
    struct netmap_ring *tx, *rx; /* of its first rings; NULL: not bound */
};

/* 0, or the errno that the request failed with. */
static int bed_request(int fd, uint16_t version, uint16_t type, const char *name, void *body)
{
    struct nmreq_header header = { .version = version, .reqtype = type, .body = (uintptr_t)body };
    memcpy(header.name, name, strlen(name));
    return ioctl(fd, NIOCCTRL, &header) == 0 ? 0 : errno;
}

static int bed_device(void)
{
    int fd = open(NETMAP_DEVICE, O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0);
    return fd;
}

/* Registers; the fields of `request` are what to ask for. */
static int bed_try(struct bed_port *p, const char *name, struct nmreq_register request)
{
    *p = (struct bed_port){ .fd = bed_device(), .request = request };
    int result = bed_request(p->fd, 14, NETMAP_REQ_REGISTER, name, &p->request);
    if (result != 0) {
        CHECK_EQUAL(close(p->fd), 0);
        return result;
    }
    p->memory = mmap(NULL, p->request.memsize, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, 0);
    CHECK(p->memory != MAP_FAILED);
    p->nifp = (struct netmap_if *)(p->memory + p->request.offset);
    uint32_t rx_at = p->nifp->tx_rings + p->nifp->host_tx_rings;
    p->tx = p->nifp->ring_ofs[0] != 0 ? nm_ring_of(p->nifp, 0) : NULL;
    p->rx = p->nifp->ring_ofs[rx_at] != 0 ? nm_ring_of(p->nifp, rx_at) : NULL;
    return 0;
}

static struct bed_port bed_open_as(const char *name, struct nmreq_register request)
{
    struct bed_port p;
    int result = bed_try(&p, name, request);
    if (result != 0)
        fprintf(stderr, "%s: %s\n", name, strerror(result));
    CHECK_EQUAL(result, 0);
    return p;
}

static struct bed_port bed_open(const char *name)
{
    return bed_open_as(name, (struct nmreq_register){ .mode = NR_REG_ALL_NIC });
}

static void bed_close(struct bed_port *p)
{
    CHECK_EQUAL(munmap(p->memory, p->request.memsize), 0);
    CHECK_EQUAL(close(p->fd), 0);
    p->fd = -1;
}

static void bed_sync(const struct bed_port *p, uint32_t request)
{
    CHECK_EQUAL(ioctl(p->fd, request), 0);
}

static short bed_poll(const struct bed_port *p, short events, int timeout_ms)
{
    struct pollfd fd = { .fd = p->fd, .events = events };
    CHECK(poll(&fd, 1, timeout_ms) >= 0);
    return fd.revents;
}

static struct netmap_slot *bed_slot(struct netmap_ring *ring)
{
    return &ring->slot[ring->head];
}

static void bed_advance(struct netmap_ring *ring)
{
    ring->cur = nm_next(ring->head, ring->num_slots);
    __atomic_store_n(&ring->head, ring->cur, __ATOMIC_RELEASE);
}

/* A frame of local experimental type, from and to stations of these numbers, with a number in it. */
static void bed_fill(uint8_t *data, uint8_t to, uint8_t from, uint32_t number)
{
    memset(data, 0, FRAME_BYTES);
    data[0] = data[6] = 2;
    data[5] = to;
    data[11] = from;
    data[12] = 0x88;
    data[13] = 0xb5;
    memcpy(data + 14, &number, sizeof(number));
}

/* Puts a frame into the ring; it is not synced. */
static bool bed_put(struct netmap_ring *ring, uint8_t to, uint8_t from, uint32_t number)
{
    if (ring->head == __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE))
        return false;
    bed_fill(nm_buffer(ring, bed_slot(ring)->buf_idx), to, from, number);
    bed_slot(ring)->len = FRAME_BYTES;
    bed_advance(ring);
    return true;
}

/* The number of the next frame in the ring, which is taken out; -1: none. */
static int64_t bed_get(struct netmap_ring *ring)
{
    uint32_t number;
    if (ring->head == __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE))
        return -1;
    CHECK_EQUAL(bed_slot(ring)->len, FRAME_BYTES);
    memcpy(&number, nm_buffer(ring, bed_slot(ring)->buf_idx) + 14, sizeof(number));
    bed_advance(ring);
    return number;
}

/* Broken rules recorded since the last call, whose text holds `part`; any other fails. */
static uint32_t bed_violations(const char *part)
{
    static long seen;
    char path[128], line[512];
    snprintf(path, sizeof(path), "%s/violations", bed_folder);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    uint32_t count = 0;
    CHECK_EQUAL(fseek(file, seen, SEEK_SET), 0);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strstr(line, part) == NULL)
            fprintf(stderr, "recorded: %s", line);
        CHECK(strstr(line, part) != NULL);
        count++;
    }
    seen = ftell(file);
    fclose(file);
    return count;
}

#define NO_VIOLATIONS() CHECK_EQUAL(bed_violations("no text holds this"), 0)

#endif
