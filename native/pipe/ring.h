/*
 * ring.h - the shared memory of a pipe, and the protocol on it.
 *
 * One side produces, the other reads. Towards an application the engine thread
 * produces (producer.c) and the application's library reads (reader.c); the other
 * way the application produces (writer.c) and the engine thread reads (consumer.c).
 * The memory is two memfds:
 *
 *   data     [producer page][records][ring]   written by the producer only. Where
 *                                    that is the engine it is sealed: an application
 *                                    can map it read-only only
 *   reader   [reader page]           written by both
 *
 * The engine trusts nothing that it reads where an application can write.
 *
 * A packet has a record of 16 bytes in the array of records, and its data in the
 * ring, each from a cache line of its own. That keeps the records together: the
 * reader walks through them without waiting for the lines of one packet to find the
 * next. As each packet takes at least a line
 * of the ring, the array has room whenever the ring has.
 *
 * The ring is mapped twice in a row, so that no packet wraps. Positions in it are
 * byte counters that never go back; a position's place is (position + base) %
 * ring_bytes, and that of record n is (n + records_base) % records. Whenever the
 * producer finds the ring empty it may change the bases so that it goes on at the
 * beginning of both, whose cache lines are warm. The reader cannot miss that: it has
 * read all there is, so it takes its next step only when head moves; the bases are
 * written before head and read after it, and cannot change again before the reader
 * has released what it then sees.
 *
 * Each side sleeps only after it has said so and looked again. Both the words
 * it looks at and the words it says so with are accessed seq_cst, so of "I have
 * moved" and "I sleep" at least one is seen: no wake-up is lost. (Plain fences
 * would do as well, but thread sanitizers do not understand those.)
 */
#ifndef PB_RING_H
#define PB_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include "packet_bricks.h"

#define PB_RING_MAGIC 0x656e69726b636962ull /* "bickrine", little endian */
#define PB_RING_VERSION 2u
#define PB_RING_UNIT 64u /* bytes: what a packet's data is rounded up to */
#define PB_RING_BYTES_MIN (128u << 10) /* the longest live frame must fit */
#define PB_RING_BYTES_MAX ((uint64_t)PB_BUFFER_SLOTS_MAX * PB_BUFFER_SLOT_BYTES)
#define PB_RING_LINE 128 /* a cache line and the one that is prefetched with it */
#define PB_RING_UNSET UINT64_MAX
#define PB_RING_LINK_UNSET UINT32_MAX

/* One packet. */
#define PB_RECORD_LENGTH_BITS 20
struct pb_record {
    uint32_t length_mark; /* captured length, and above PB_RECORD_LENGTH_BITS its mark */
    uint32_t wire_len;
    uint64_t timestamp_ns;
};

struct pb_producer_page {
    /* Constant. */
    uint64_t magic;
    uint32_t version;
    uint32_t page_bytes; /* from the start of the memory to the records */
    uint64_t ring_bytes;
    char name[PB_PIPE_NAME_MAX + 1];
    _Atomic uint32_t link_type;
    _Atomic uint32_t ended; /* nothing will be published any more */
    /* Records before this number may be read. */
    _Alignas(PB_RING_LINE) _Atomic uint64_t head;
    _Atomic uint64_t base, records_base;
    _Atomic uint64_t position; /* in the ring, behind the last packet: for statistics */
    /* The producer waits for space: the number of that request, 0: it does not. The
     * reader answers each number once, when its tail has reached wake_tail or when
     * it goes to sleep itself. */
    _Alignas(PB_RING_LINE) _Atomic uint64_t producer_waiting;
    _Atomic uint64_t wake_tail;
    _Atomic uint64_t dropped; /* packets that this reader does not get; of a writer: that it declined */
};

struct pb_reader_page {
    /* Where the application starts: the position in the ring, and the record. Unset
     * (the position) until the engine has adopted it. */
    _Atomic uint64_t start, start_record;
    _Atomic uint32_t ended; /* nothing will be read any more; only towards the engine */
    /* The position before which everything may be overwritten. */
    _Alignas(PB_RING_LINE) _Atomic uint64_t tail;
    /* How many records the reader had released at a tail: for the present one and
     * the one before (or after), whichever instant it is killed at. */
    struct pb_released {
        _Atomic uint64_t tail, packets;
    } released[2];
    _Alignas(PB_RING_LINE) _Atomic uint32_t reader_waiting;
};

_Static_assert(sizeof(struct pb_record) == 16, "shared layout");
_Static_assert(PB_RING_BYTES_MIN / PB_RING_UNIT * sizeof(struct pb_record) % 4096 == 0, "the ring starts on a page");
_Static_assert(offsetof(struct pb_producer_page, head) == PB_RING_LINE, "shared layout");
_Static_assert(offsetof(struct pb_producer_page, producer_waiting) == 2 * PB_RING_LINE, "shared layout");
_Static_assert(sizeof(struct pb_producer_page) == 3 * PB_RING_LINE, "shared layout; fits any page");
_Static_assert(offsetof(struct pb_reader_page, tail) == PB_RING_LINE, "shared layout");
_Static_assert(offsetof(struct pb_reader_page, reader_waiting) == 2 * PB_RING_LINE, "shared layout");
_Static_assert(sizeof(struct pb_reader_page) == 3 * PB_RING_LINE, "shared layout; fits any page");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "locks do not work between processes");
_Static_assert(PB_FRAME_BYTES_MAX < 1 << PB_RECORD_LENGTH_BITS, "lengths fit");
_Static_assert(PB_MARK_MAX < 1 << (32 - PB_RECORD_LENGTH_BITS), "marks fit");
_Static_assert((PB_BUFFER_SLOTS_MAX & (PB_BUFFER_SLOTS_MAX - 1)) == 0, "rings are powers of two");

/* Bytes that a packet takes in the ring: at least one unit. */
static inline uint64_t pb_record_bytes(uint32_t captured_len)
{
    return ((uint64_t)captured_len + (captured_len == 0) + PB_RING_UNIT - 1) & ~(uint64_t)(PB_RING_UNIT - 1);
}

/* How many records a ring has, and the bytes of their array. */
static inline uint64_t pb_ring_records(uint64_t ring_bytes)
{
    return ring_bytes / PB_RING_UNIT;
}

static inline uint64_t pb_ring_records_bytes(uint64_t ring_bytes)
{
    return pb_ring_records(ring_bytes) * sizeof(struct pb_record);
}

/* A packet that lies in a region (loans.h): a mark in its record, which towards an
 * application has no other, and its reference. */
#define PB_RECORD_LENT (1u << PB_RECORD_LENGTH_BITS)
#define PB_LOAN_REGIONS_MAX 8u
#define PB_REFERENCE_OFFSET_BITS 48

static inline uint64_t pb_reference(uint32_t region, uint64_t offset)
{
    return (uint64_t)region << PB_REFERENCE_OFFSET_BITS | offset;
}

static inline uint32_t pb_reference_region(uint64_t reference)
{
    return (uint32_t)(reference >> PB_REFERENCE_OFFSET_BITS);
}

static inline uint64_t pb_reference_offset(uint64_t reference)
{
    return reference & ((1ull << PB_REFERENCE_OFFSET_BITS) - 1);
}

static inline uint64_t pb_references_bytes(uint64_t ring_bytes)
{
    return pb_ring_records(ring_bytes) * sizeof(uint64_t);
}

static inline uint32_t pb_record_length(uint32_t length_mark)
{
    return length_mark & ((1u << PB_RECORD_LENGTH_BITS) - 1);
}

static inline uint32_t pb_record_mark(uint32_t length_mark)
{
    return length_mark >> PB_RECORD_LENGTH_BITS;
}

/* Is position `a` at or past `b`? */
static inline bool pb_ring_reached(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) >= 0;
}

/* After this many bytes it is worth seeing whether the ring is empty, to go on at its
 * beginning; and if it is not, after that many more. */
#define PB_RING_WINDOW_BYTES (64u << 10)
#define PB_RING_WINDOW_STEP_BYTES (16u << 10)

/* Producer: where it is in ring and records. */
struct pb_ring_window {
    uint64_t base, records_base;
    uint64_t end; /* past this position call pb_ring_restart() */
};

/* Producer: go on at the beginning of the ring if the reader has read all. A reader
 * that keeps up is fed from some 64 KiB that stay in the caches of both, instead of
 * from the whole ring. It stands at `position` and record `head`; `tail` was just
 * looked at. */
static inline void pb_ring_restart(struct pb_ring_window *window, struct pb_producer_page *producer, uint64_t position,
                                   uint64_t head, uint64_t tail, uint64_t ring_bytes)
{
    if (tail != position) {
        window->end = position + PB_RING_WINDOW_STEP_BYTES;
        return;
    }
    window->base = (0 - position) & (ring_bytes - 1);
    window->records_base = (0 - head) & (pb_ring_records(ring_bytes) - 1);
    window->end = position + PB_RING_WINDOW_BYTES;
    atomic_store_explicit(&producer->base, window->base, memory_order_relaxed);
    atomic_store_explicit(&producer->records_base, window->records_base, memory_order_relaxed);
}

/* Producer: the tail to be woken at: half of the ring free, and in any case room
 * for the `bytes` that were refused. */
static inline uint64_t pb_ring_wake_tail(uint64_t position, uint64_t bytes, uint64_t ring_bytes)
{
    uint64_t half = position - ring_bytes / 2, room = position + bytes - ring_bytes;
    return pb_ring_reached(room, half) ? room : half;
}

/* Producer: make the records before `head` readable. True: the reader sleeps, wake it. */
static inline bool pb_ring_publish(struct pb_producer_page *producer, struct pb_reader_page *reader, uint64_t head)
{
    atomic_store(&producer->head, head);
    /* The exchange, so that one sleep costs one wake-up; the load before it, because
     * taking the line from a reader that is awake costs more than all the rest. */
    return atomic_load(&reader->reader_waiting) != 0 && atomic_exchange(&reader->reader_waiting, 0) != 0;
}

/* Producer: ask to be woken at `wake_tail`. Then look at the reader's page once more. */
static inline void pb_ring_producer_sleeps(struct pb_producer_page *producer, uint64_t wake_tail, uint64_t number)
{
    atomic_store_explicit(&producer->wake_tail, wake_tail, memory_order_relaxed);
    atomic_store(&producer->producer_waiting, number);
}

/* Engine: how many of the `published` records a reader that is gone has not
 * released. It takes the reader's word for it: counting by walking the ring
 * would hold up the engine for 100 ms where the ring is 1 GiB. A reader that has
 * left nonsense has no word: 0. */
static inline uint64_t pb_ring_unread(const struct pb_reader_page *reader, uint64_t tail, uint64_t published)
{
    for (int i = 0; i < 2; i++) {
        uint64_t packets = atomic_load_explicit(&reader->released[i].packets, memory_order_relaxed);
        if (atomic_load_explicit(&reader->released[i].tail, memory_order_relaxed) == tail && packets <= published)
            return published - packets;
    }
    return 0;
}

/* Reader: give back everything before `tail`, `packets` records since the start.
 * Returns the number of the producer's request if that is to be answered, or 0. */
static inline uint64_t pb_ring_release(const struct pb_producer_page *producer, struct pb_reader_page *reader,
                                       uint64_t tail, uint64_t packets)
{
    uint64_t present = atomic_load_explicit(&reader->tail, memory_order_relaxed);
    bool second = atomic_load_explicit(&reader->released[0].tail, memory_order_relaxed) == present;
    atomic_store_explicit(&reader->released[second].packets, packets, memory_order_relaxed);
    atomic_store_explicit(&reader->released[second].tail, tail, memory_order_relaxed);
    atomic_store(&reader->tail, tail);
    uint64_t number = atomic_load(&producer->producer_waiting);
    if (number != 0 && !pb_ring_reached(tail, atomic_load_explicit(&producer->wake_tail, memory_order_relaxed)))
        number = 0;
    return number;
}

/* Reader: say that it sleeps unless head moves from `seen`. False: it has moved.
 * *number is the request of a producer that waits too: it is to be answered, or
 * both might sleep. */
static inline bool pb_ring_reader_sleeps(const struct pb_producer_page *producer, struct pb_reader_page *reader,
                                         uint64_t seen, uint64_t *number)
{
    atomic_store(&reader->reader_waiting, 1);
    *number = atomic_load(&producer->producer_waiting);
    return atomic_load(&producer->head) == seen;
}

/* Map the ring that starts at `offset` of `fd` twice in a row; NULL with errno. */
static inline uint8_t *pb_ring_map(int fd, uint64_t offset, uint64_t ring_bytes, int protection, int flags)
{
    /* Reserve the room first: then MAP_FIXED replaces nothing but that. */
    uint8_t *ring = mmap(NULL, 2 * ring_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (ring == MAP_FAILED)
        return NULL;
    for (int i = 0; i < 2; i++) {
        if (mmap(ring + (uint64_t)i * ring_bytes, ring_bytes, protection, MAP_SHARED | MAP_FIXED | flags, fd,
                 (off_t)offset) == MAP_FAILED) {
            munmap(ring, 2 * ring_bytes);
            return NULL;
        }
    }
    return ring;
}

static inline void pb_ring_unmap(const uint8_t *ring, uint64_t ring_bytes)
{
    munmap((void *)(uintptr_t)ring, 2 * ring_bytes);
}

#endif
