/*
 * producer.c - the engine thread's part of the port driver "pipe": sending,
 * sleeping, adopting and dropping readers. output.c has the rest.
 *
 * The engine calls these through the driver's table. The hot path takes no lock:
 * a reader that comes or goes sets port->attention, and attend() sees to it.
 *
 * Whatever a reader writes into its page, it can only harm itself: its tail is
 * checked each time it is looked at, and a reader that lies is detached.
 */
#include "copy.h"
#include "producer.h"

#define PREFETCH_PACKETS 8
#define CLAIM_PACKETS 64

/* ------------------------------------------------------------- the reader */

static void refresh_gauges(struct pb_producer *producer)
{
    pb_pipe_set_gauges(&producer->pipe, producer->pipe.peer != NULL ? producer->position - producer->tail : 0);
}

/* Look at the reader's tail. False: no reader's library writes such a value. */
static bool look_at_tail(struct pb_producer *producer)
{
    uint64_t tail = atomic_load(&producer->pipe.peer->page->tail);
    if (tail % PB_RING_UNIT != 0 || tail - producer->tail > producer->position - producer->tail)
        return false;
    producer->tail = tail;
    pb_pipe_note_used(&producer->pipe, producer->position - tail);
    return true;
}

static void stop_requesting(struct pb_producer *producer)
{
    if (producer->requesting)
        atomic_store_explicit(&producer->pipe.memory.page->producer_waiting, 0, memory_order_relaxed);
    producer->requesting = false;
}

/* Part from the reader; count what it left. Under the mutex. */
static void drop_reader(struct pb_producer *producer)
{
    struct pb_pipe *pipe = &producer->pipe;
    look_at_tail(producer);
    pb_port_count(pipe->port, PIPE_UNREAD, pb_ring_unread(pipe->peer->page, producer->tail, producer->head - producer->start));
    stop_requesting(producer);
    pb_loans_return_all(&producer->loans);
    pb_peer_close(pipe->peer);
    pipe->peer = NULL;
    pb_port_set_deserted(pipe->port, true);
}

/* The reader has gone, or broken the protocol: `what` it has done, NULL: nothing. */
static void detach_reader(struct pb_producer *producer, const char *what)
{
    if (what != NULL)
        pb_pipe_report_fault(&producer->pipe, what);
    pthread_mutex_lock(&producer->pipe.mutex);
    drop_reader(producer);
    pthread_mutex_unlock(&producer->pipe.mutex);
    refresh_gauges(producer);
}

static const char wrote_nonsense[] = "wrote nonsense into its page";

/* look_at_tail(), and what follows from it. False: there is no reader any more. */
static bool check_reader(struct pb_producer *producer)
{
    if (look_at_tail(producer))
        return true;
    detach_reader(producer, wrote_nonsense);
    return false;
}

/* The reader starts here and now: what was sent before it came is not for it. */
static void adopt_reader(struct pb_producer *producer)
{
    struct pb_pipe *pipe = &producer->pipe;
    pipe->peer = pipe->incoming;
    pipe->incoming = NULL;
    pb_port_set_deserted(pipe->port, false);
    producer->tail = producer->position;
    producer->start = producer->head;
    producer->dropped = producer->requests = producer->answers = 0;
    producer->lends = pipe->peer->borrows;
    atomic_store_explicit(&pipe->memory.page->dropped, 0, memory_order_relaxed);
    struct pb_reader_page *page = pipe->peer->page;
    atomic_store(&page->tail, producer->position);
    atomic_store(&page->released[0].tail, producer->position);
    atomic_store(&page->start_record, producer->head);
    atomic_store(&page->start, producer->position);
    pb_pipe_count_attaches(pipe);
    pb_peer_wake(pipe->peer);
}

void pb_producer_attend(struct pb_port *port)
{
    struct pb_producer *producer = port->state;
    struct pb_pipe *pipe = &producer->pipe;
    pthread_mutex_lock(&pipe->mutex);
    if (pipe->peer != NULL && pipe->peer->hung_up)
        drop_reader(producer);
    if (pipe->peer == NULL && pipe->incoming != NULL)
        adopt_reader(producer);
    pthread_mutex_unlock(&pipe->mutex);
    refresh_gauges(producer);
}

/* ---------------------------------------------------------------- sending */

static uint32_t offer_nobody(struct pb_producer *producer, uint32_t count, bool may_wait)
{
    struct pb_port *port = producer->pipe.port;
    if (may_wait && atomic_load_explicit(&port->awaited, memory_order_relaxed)) {
        producer->refused_bytes = PB_RING_UNIT;
        return 0;
    }
    pb_port_count(port, PIPE_NO_READER, count);
    return count;
}

enum fate { FATE_FITS, FATE_DROPPED, FATE_REFUSED, FATE_READER_LIES };

static enum fate dropped(struct pb_producer *producer, enum pb_producer_counter reason)
{
    pb_port_count(producer->pipe.port, reason, 1);
    atomic_store_explicit(&producer->pipe.memory.page->dropped, ++producer->dropped, memory_order_relaxed);
    return FATE_DROPPED;
}

/* What becomes of a packet that is not simply written at `position`, where it takes `bytes`. */
static __attribute__((noinline)) enum fate decide(struct pb_producer *producer, const struct pb_packet *packet, uint64_t bytes,
                                                  uint64_t position, bool may_wait)
{
    uint64_t ring_bytes = producer->pipe.ring_bytes;
    if (packet->link_type != producer->link_type)
        return dropped(producer, PIPE_LINK_TYPE);
    if (bytes > ring_bytes)
        return dropped(producer, PIPE_TOO_LONG);
    if (!look_at_tail(producer))
        return FATE_READER_LIES;
    pb_pipe_note_used(&producer->pipe, position - producer->tail); /* with what is about to be published */
    if (position + bytes <= producer->tail + ring_bytes)
        return FATE_FITS;
    if (!may_wait)
        return dropped(producer, PIPE_FULL);
    producer->refused_bytes = bytes;
    return FATE_REFUSED;
}

static void publish(struct pb_producer *producer, uint64_t position, uint32_t packets, uint64_t wire_bytes)
{
    struct pb_producer_page *page = producer->pipe.memory.page;
    producer->position = position;
    producer->head += packets;
    atomic_store_explicit(&page->position, position, memory_order_relaxed);
    pb_port_sent(producer->pipe.port, packets, wire_bytes);
    if (pb_ring_publish(page, producer->pipe.peer->page, producer->head))
        pb_peer_wake(producer->pipe.peer);
}

/* Out of line: once in 64 KiB. */
static __attribute__((noinline)) void restart(struct pb_producer *producer)
{
    if (look_at_tail(producer)) /* a reader that lies is found when the ring seems full, or by the next tick */
        pb_ring_restart(&producer->window, producer->pipe.memory.page, producer->position, producer->head,
                        producer->tail, producer->pipe.ring_bytes);
}

static void take_link_type(struct pb_producer *producer, uint32_t link_type)
{
    producer->link_type = link_type;
    atomic_store_explicit(&producer->pipe.memory.page->link_type, link_type, memory_order_relaxed);
}

/* Write a word where each long packet will begin. The reader has looked there the
 * last time round: taking such a line back from its cache takes 50 ns and more, and
 * stores are done in order, so that all the lines of a packet would wait for its
 * first. Side by side, these stores overlap. All of it is free room.
 *
 * Measured (Zen 4, four pipes, batches of 64, one reader that looks at each packet;
 * cores without a common cache): 512 bytes 5.2 -> 12.1 million packets/s, 1500 bytes
 * 4.9 -> 8.9; PREFETCHW instead does nothing. Without pb_ring_restart() the gain at
 * 1500 bytes is lost. */
static __attribute__((noinline)) void claim_lines(const struct pb_producer *producer, uint64_t position,
                                                  const struct pb_packet *packets, const uint16_t *index, uint32_t count)
{
    uint8_t *ring = producer->pipe.memory.ring;
    uint64_t mask = producer->pipe.ring_bytes - 1, limit = producer->tail + producer->pipe.ring_bytes;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t length = packets[index[i]].captured_len;
        uint64_t end = position + pb_record_bytes(length);
        if (end > limit)
            return;
        if (length > PB_RING_UNIT)
            *(volatile uint64_t *)(ring + ((position + producer->window.base) & mask)) = 0;
        position = end;
    }
}

/* A packet from another block than the one before it: is it lent or copied? False: it
 * has to wait for loans to be returned, which loans.h has the rules of. */
static __attribute__((noinline)) bool enter_block(struct pb_producer *producer, const uint8_t *data, uint64_t position,
                                                  bool may_wait, struct pb_loan_window *window)
{
    struct pb_loans *loans = &producer->loans;
    struct pb_loan loan;
    if (window->lent)
        pb_loans_extend(loans, position);
    if (!pb_loans_find(loans, data, window, &loan))
        return true;
    if (pb_loans_are_many(loans, loan.region) && look_at_tail(producer))
        pb_loans_return(loans, producer->tail);
    loan.end = position;
    window->lent = pb_loans_take(loans, &loan);
    if (window->lent || !may_wait || !pb_loans_worth_waiting(loans, producer->pipe.peer->page))
        return true;
    producer->refused_bytes = PB_RING_UNIT;
    producer->refused_tail = pb_loans_half(loans);
    return false;
}

/* Puts each packet, or with `lends` a reference to it, into the ring and publishes them
 * all at once, whether the batch was cut short or not. */
static inline __attribute__((always_inline)) uint32_t send_batch(struct pb_producer *producer, const struct pb_packet *packets,
                                                                 const uint16_t *index, uint32_t count, bool may_wait,
                                                                 const bool lends)
{
    uint8_t *ring = producer->pipe.memory.ring;
    struct pb_record *records = producer->pipe.memory.records;
    uint64_t ring_bytes = producer->pipe.ring_bytes, mask = ring_bytes - 1, base = producer->window.base;
    uint64_t records_mask = pb_ring_records(ring_bytes) - 1, next = producer->head + producer->window.records_base;
    uint64_t position = producer->position, limit = producer->tail + ring_bytes, wire_bytes = 0;
    uint32_t link_type = producer->link_type, written = 0, claimed = 0, i;
    struct pb_loan_window window = {0};
    uint32_t lent = 0;
    enum fate fate = FATE_FITS;
    for (i = 0; i < count; i++) {
        const struct pb_packet *packet = &packets[index[i]];
        uint64_t bytes = pb_record_bytes(packet->captured_len);
        if (lends) {
            if ((uintptr_t)packet->data - (uintptr_t)window.memory >= window.bytes &&
                !enter_block(producer, packet->data, position, may_wait, &window)) {
                fate = FATE_REFUSED;
                break;
            }
            if (window.lent)
                bytes = PB_RING_UNIT;
        } else if (i + PREFETCH_PACKETS < count) {
            __builtin_prefetch(packets[index[i + PREFETCH_PACKETS]].data);
        }
        uint64_t end = position + bytes;
        if (__builtin_expect(end > limit || packet->link_type != link_type, 0)) {
            fate = decide(producer, packet, bytes, position, may_wait);
            if (fate == FATE_DROPPED)
                continue;
            if (fate != FATE_FITS)
                break;
            limit = producer->tail + ring_bytes;
        }
        bool copied = !lends || !window.lent;
        if (copied && packet->captured_len > PB_RING_UNIT && i >= claimed) {
            uint32_t group = count - i < CLAIM_PACKETS ? count - i : CLAIM_PACKETS;
            claim_lines(producer, position, packets, index + i, group);
            claimed = i + group;
        }
        struct pb_record *record = &records[(next + written) & records_mask];
        record->length_mark = packet->captured_len | (copied ? 0 : PB_RECORD_LENT);
        record->wire_len = packet->wire_len;
        record->timestamp_ns = packet->timestamp_ns;
        if (copied) {
            pb_copy_packet(ring + ((position + base) & mask), packet->data, packet->captured_len);
        } else {
            producer->references[(next + written) & records_mask] =
                window.reference + (uintptr_t)packet->data - (uintptr_t)window.memory;
            lent++;
        }
        wire_bytes += packet->wire_len;
        position = end;
        written++;
    }
    if (lends && window.lent)
        pb_loans_extend(&producer->loans, position);
    if (lends && lent > 0)
        pb_port_count(producer->pipe.port, PIPE_LENT, lent);
    if (written > 0)
        publish(producer, position, written, wire_bytes);
    if (__builtin_expect(fate == FATE_READER_LIES, 0)) {
        detach_reader(producer, wrote_nonsense);
        i += offer_nobody(producer, count - i, may_wait);
    }
    return i;
}

uint32_t pb_producer_tx_batch(struct pb_port *port, const struct pb_tx *tx)
{
    struct pb_producer *producer = port->state;
    if (tx->count == 0)
        return 0;
    producer->refused_bytes = producer->refused_tail = 0;
    if (producer->pipe.peer == NULL)
        return offer_nobody(producer, tx->count, tx->may_wait);
    stop_requesting(producer);
    if (producer->link_type == PB_RING_LINK_UNSET)
        take_link_type(producer, tx->packets[tx->index[0]].link_type);
    if (pb_ring_reached(producer->position, producer->window.end))
        restart(producer);
    /* Each a loop of its own. */
    return producer->lends ? send_batch(producer, tx->packets, tx->index, tx->count, tx->may_wait, true)
                           : send_batch(producer, tx->packets, tx->index, tx->count, tx->may_wait, false);
}

/* --------------------------------------------------------------- sleeping */

/* Take the wake-ups out of the socket. False: there is no reader any more. */
static bool take_wake_ups(struct pb_producer *producer)
{
    enum pb_peer_word word = pb_peer_listen(producer->pipe.peer, &producer->answers, producer->requests);
    if (word == PB_PEER_FINE)
        return true;
    /* It has hung up: the attach server may not have noticed yet. Or worse. */
    detach_reader(producer, word == PB_PEER_GONE ? NULL : pb_peer_fault_text(word));
    return false;
}

/* Is it worth offering again what was refused? Not for every few bytes: when
 * `wake_tail` is reached, or when a reader that has read all sleeps. */
static bool may_offer(const struct pb_producer *producer, uint64_t wake_tail)
{
    return pb_ring_reached(producer->tail, wake_tail) ||
           (producer->position - producer->tail + producer->refused_bytes <= producer->pipe.ring_bytes &&
            atomic_load(&producer->pipe.peer->page->reader_waiting) != 0);
}

/* Nobody is attached: is it worth sleeping? A reader that comes sets attention. */
static bool sleep_without_reader(const struct pb_producer *producer)
{
    return atomic_load_explicit(&producer->pipe.port->awaited, memory_order_relaxed); /* else the next offer is dropped */
}

bool pb_producer_wait(struct pb_port *port, struct pb_wait *wait)
{
    struct pb_producer *producer = port->state;
    *wait = (struct pb_wait){.fd = -1, .events = 0, .timeout_ns = -1};
    if (producer->refused_bytes == 0)
        return true;
    if (producer->pipe.peer == NULL || !take_wake_ups(producer) || !check_reader(producer))
        return sleep_without_reader(producer);

    uint64_t wake_tail = producer->refused_tail != 0
                             ? producer->refused_tail
                             : pb_ring_wake_tail(producer->position, producer->refused_bytes, producer->pipe.ring_bytes);
    if (may_offer(producer, wake_tail))
        return false;
    producer->requesting = true;
    pb_ring_producer_sleeps(producer->pipe.memory.page, wake_tail, ++producer->requests);
    if (!check_reader(producer))
        return sleep_without_reader(producer);
    if (may_offer(producer, wake_tail)) {
        stop_requesting(producer);
        return false;
    }
    wait->fd = producer->pipe.peer->fd;
    wait->events = POLLIN;
    return true;
}

void pb_producer_tick(struct pb_port *port)
{
    struct pb_producer *producer = port->state;
    if (producer->pipe.peer != NULL && check_reader(producer))
        pb_loans_tick(&producer->loans, producer->tail);
    refresh_gauges(producer);
}

bool pb_producer_undelivered(struct pb_port *port)
{
    struct pb_producer *producer = port->state;
    pb_producer_tick(port);
    return producer->pipe.peer != NULL && producer->tail != producer->position;
}
