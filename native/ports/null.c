/*
 * null.c - driver "null": a sink that counts, and a generator for benchmarks.
 *
 * The generator writes UDP over IPv4 (or IPv6) frames of one length in as many
 * frames as a batch holds, and gives them the headers of the next flows in turn:
 * bricks may have changed them. Where outputs borrow they are in a region of
 * REGION_FRAMES_MIN or more, as many as the ring of an interface has.
 * Flow i is 10.x.y.z (i in the lower 24 bits) to 192.168.0.1,
 * source port 1024 + i mod 60000. Engine thread; it owns the frames.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>

#include "../core/bytes.h"
#include "../core/checksum.h"
#include "../core/clock.h"
#include "port.h"
#include "region.h"

#define FRAME_BYTES_MIN 60
#define FRAME_BYTES_IPV6_MIN (ETHERNET_BYTES + IPV6_BYTES + UDP_BYTES)
#define ETHERNET_BYTES 14
#define IPV4_BYTES 20
#define IPV6_BYTES 40
#define UDP_BYTES 8
#define HEADERS_BYTES_MAX (ETHERNET_BYTES + IPV6_BYTES + UDP_BYTES)
#define REGION_FRAMES_MIN 2048

struct generator {
    uint8_t *frames; /* NULL: they are in port->region */
    uint32_t frame_bytes;
    uint32_t stride; /* between two frames */
    uint8_t headers[HEADERS_BYTES_MAX]; /* as every frame begins, but for its flow */
    uint32_t flows;
    uint32_t next_flow;
    uint64_t packets_left; /* UINT64_MAX: no end */
    uint64_t ipv4_sum;     /* of the IPv4 header without source address and checksum */
    bool ipv6;
};

static const uint8_t macs[12] = {0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1};

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void put_checksum(uint8_t *at, uint64_t sum)
{
    uint16_t checksum = pb_checksum_finish(sum);
    if (checksum == 0)
        checksum = 0xffff; /* the same to who checks it, and to UDP not "none" */
    memcpy(at, &checksum, sizeof(checksum));
}

static void init_frame(const struct generator *generator, uint8_t *frame)
{
    memcpy(frame, macs, sizeof(macs));
    put16(frame + 12, generator->ipv6 ? 0x86dd : 0x0800);
    uint8_t *ip = frame + ETHERNET_BYTES;
    uint32_t ip_bytes = generator->frame_bytes - ETHERNET_BYTES;
    uint8_t *udp;
    if (generator->ipv6) {
        ip[0] = 0x60;
        put16(ip + 4, ip_bytes - IPV6_BYTES);
        ip[6] = 17;
        ip[7] = 64;
        ip[8] = 0xfd; /* fd00::x:y to fd01::1 */
        ip[24] = 0xfd;
        ip[25] = 1;
        ip[39] = 1;
        udp = ip + IPV6_BYTES;
    } else {
        ip[0] = 0x45;
        put16(ip + 2, ip_bytes);
        ip[8] = 64;
        ip[9] = 17;
        memcpy(ip + 16, (const uint8_t[]){192, 168, 0, 1}, 4);
        udp = ip + IPV4_BYTES;
    }
    put16(udp + 2, 53);
    put16(udp + 4, generator->frame_bytes - (uint32_t)(udp - frame));
}

/* Give a frame the headers of a flow. */
static void set_flow(const struct generator *generator, uint8_t *frame, uint32_t flow)
{
    uint8_t *ip = frame + ETHERNET_BYTES;
    uint32_t big_endian;
    if (generator->ipv6) {
        memcpy(frame, generator->headers, ETHERNET_BYTES + IPV6_BYTES + UDP_BYTES);
        big_endian = htobe32(flow);
        memcpy(ip + 20, &big_endian, sizeof(big_endian));
        uint8_t *udp = ip + IPV6_BYTES;
        put16(udp, 1024 + flow % 60000);
        uint32_t udp_bytes = generator->frame_bytes - ETHERNET_BYTES - IPV6_BYTES;
        /* The payload is zeros: the header is all there is to add. */
        put_checksum(udp + 6, pb_checksum_add(pb_checksum_pseudo(ip + 8, 16, 17, udp_bytes), udp, UDP_BYTES));
        return;
    }
    memcpy(frame, generator->headers, ETHERNET_BYTES + IPV4_BYTES + UDP_BYTES);
    big_endian = htobe32(10u << 24 | (flow & 0xffffff));
    memcpy(ip + 12, &big_endian, sizeof(big_endian));
    put16(ip + IPV4_BYTES, 1024 + flow % 60000);
    /* All frames have the same header otherwise; summing it anew cost 9 of 17 ns. UDP
     * goes without a checksum (RFC 768). */
    put_checksum(ip + 10, generator->ipv4_sum + (big_endian & 0xffff) + (big_endian >> 16));
}

/* Make frames for a batch, or for a region's worth of them. 0, or -errno with text. */
static int make_frames(struct generator *generator, struct pb_port *port, struct pb_error *error)
{
    uint32_t batches = 1;
    uint8_t *frames = NULL;
    if (port->borrowed) {
        batches = (REGION_FRAMES_MIN - 1) / port->batch_packets + 1;
        if (batches < PB_REGION_BLOCKS_MIN)
            batches = PB_REGION_BLOCKS_MIN;
        int result = pb_region_open(&port->region, port, batches, (uint64_t)port->batch_packets * generator->stride, error);
        if (result < 0)
            return result;
        frames = port->region->memory;
    } else {
        frames = generator->frames = calloc(port->batch_packets, generator->stride);
        if (frames == NULL)
            return pb_port_fail(port, error, ENOMEM, "no memory for %u frames; use smaller ones (?frames=), or a smaller "
                                "batch", port->batch_packets);
    }
    for (uint32_t i = 0; i < batches * port->batch_packets; i++)
        init_frame(generator, frames + (size_t)i * generator->stride);
    memcpy(generator->headers, frames, HEADERS_BYTES_MAX);
    generator->ipv4_sum = pb_checksum_add(0, frames + ETHERNET_BYTES, IPV4_BYTES);
    return 0;
}

static int open_generator(struct pb_port *port, struct pb_error *error)
{
    int64_t version = pb_port_option_integer(port, "ip"), frame_bytes = pb_port_option_integer(port, "frames");
    if (version == 5)
        return pb_port_fail(port, error, EINVAL, "option \"ip\" is 5; it must be 4 or 6");
    if (version == 6 && frame_bytes < FRAME_BYTES_IPV6_MIN)
        return pb_port_fail(port, error, EINVAL, "frames of %d bytes do not hold UDP over IPv6; say frames=%d or more",
                            (int)frame_bytes, FRAME_BYTES_IPV6_MIN);
    struct generator *generator = calloc(1, sizeof(*generator));
    if (generator == NULL)
        return pb_port_no_memory(port, error);
    int64_t packets = pb_port_option_integer(port, "packets");
    generator->packets_left = packets == 0 ? UINT64_MAX : (uint64_t)packets;
    generator->frame_bytes = (uint32_t)frame_bytes;
    generator->flows = (uint32_t)pb_port_option_integer(port, "flows");
    generator->ipv6 = version == 6;
    /* An odd number of lines apart, so that headers do not all fall into a few sets of the cache. */
    generator->stride = ((generator->frame_bytes + 63) / 64 | 1) * 64;
    int result = make_frames(generator, port, error);
    if (result < 0) {
        free(generator);
        return result;
    }
    port->pausable = pb_port_option_boolean(port, "pausable");
    port->writable = true; /* headers are written anew for each batch */
    port->state = generator;
    return 0;
}

static int null_open(struct pb_port *port, struct pb_error *error)
{
    return port->role == PB_PORT_INPUT ? open_generator(port, error) : 0;
}

/* The next block of the region, `count` frames of it about to be written. Readers have
 * looked at those: a word is stored in each first, side by side, for the same reason
 * as in claim_lines() of pipe/producer.c. Measured as there, 1500 bytes, all lent:
 * 7.6 -> 14.0 million packets/s. */
static __attribute__((noinline)) uint8_t *next_block(const struct generator *generator, struct pb_region *region, uint32_t count)
{
    uint8_t *frames = pb_region_next(region);
    for (uint32_t i = 0; i < count; i++)
        *(volatile uint32_t *)(frames + (size_t)i * generator->stride) = pb_load32(macs);
    return frames;
}

static uint32_t null_rx_batch(struct pb_port *port, struct pb_packet *packets, uint32_t packets_max)
{
    struct generator *generator = port->state;
    uint32_t count = packets_max < generator->packets_left ? packets_max : (uint32_t)generator->packets_left;
    if (count == 0) {
        port->exhausted = true;
        return 0;
    }
    uint64_t timestamp_ns = pb_clock_wall_ns();
    uint8_t *frame = port->region == NULL ? generator->frames : next_block(generator, port->region, count);
    for (uint32_t i = 0; i < count; i++, frame += generator->stride) {
        set_flow(generator, frame, generator->next_flow);
        generator->next_flow = generator->next_flow + 1 == generator->flows ? 0 : generator->next_flow + 1;
        pb_packet_init(&packets[i], frame, generator->frame_bytes, generator->frame_bytes, timestamp_ns, PB_LINK_ETHERNET);
    }
    if (generator->packets_left != UINT64_MAX)
        generator->packets_left -= count;
    pb_port_received(port, count, (uint64_t)count * generator->frame_bytes);
    return count;
}

static void null_rx_release(struct pb_port *port)
{
    (void)port; /* the frames are the driver's for ever; in a region, whose block is free */
}

static uint32_t null_tx_batch(struct pb_port *port, const struct pb_tx *tx)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < tx->count; i++)
        bytes += tx->packets[tx->index[i]].wire_len;
    pb_port_sent(port, tx->count, bytes);
    return tx->count;
}

static bool null_wait(struct pb_port *port, struct pb_wait *wait)
{
    (void)wait;
    return port->role == PB_PORT_INPUT && port->exhausted;
}

static void null_close(struct pb_port *port)
{
    struct generator *generator = port->state;
    if (generator != NULL)
        free(generator->frames);
    free(generator);
    pb_region_close(port->region);
    port->region = NULL;
    port->state = NULL;
}

static const struct pb_option_desc options[] = {
    {"frames", PB_OPTION_INTEGER, "60", FRAME_BYTES_MIN, PB_FRAME_BYTES_LIVE_MAX, "generator: length of a frame, bytes"},
    {"flows", PB_OPTION_INTEGER, "1000", 1, 1 << 24, "generator: flows, taken in turn"},
    {"packets", PB_OPTION_INTEGER, "0", 0, 9007199254740991.0, "generator: packets in all; 0: no end"},
    {"ip", PB_OPTION_INTEGER, "4", 4, 6, "generator: IP version, 4 or 6"},
    {"pausable", PB_OPTION_BOOLEAN, "1", 0, 1, "generator: 1 waits for readers, 0 lets packets drop as an interface does"},
    {NULL, 0, NULL, 0, 0, NULL},
};

static const struct pb_port_operations null_operations = {
    .open = null_open,
    .rx_batch = null_rx_batch,
    .rx_release = null_rx_release,
    .tx_batch = null_tx_batch,
    .wait = null_wait,
    .close = null_close,
};

static const struct pb_port_driver null_driver = {
    .name = "null",
    .text = "a sink that counts; as an input a generator of UDP frames",
    .input = true,
    .output = true,
    .names = PB_NAMES_NOTHING,
    .options = options,
    .operations = &null_operations,
};
PB_PORT_DRIVER(null_driver);
