/*
 * consumer.c - the engine thread's part of the port driver "inject": receiving,
 * sleeping, adopting and dropping writers. input.c has the rest.
 *
 * The engine calls these through the driver's table. All that is in the ring and
 * its producer page the application can change at any time: each word is read
 * once and checked, and packets are copied before anything looks into them. A
 * writer that lies is detached; what it sent before is carried on.
 */
#include <stdlib.h>
#include <string.h>

#include "consumer.h"
#include "copy.h"

#define COPY_ALIGN 64u           /* packets start on a cache line */
#define DECLINED_NS 1000000000ll /* a writer that only declines wakes nobody: so often an idle engine looks */

/* ------------------------------------------------------------- the writer */

/* How many packets there are to receive; more than there are records is nonsense. */
static uint64_t available(const struct pb_consumer *consumer)
{
    const struct pb_peer *peer = consumer->pipe.peer;
    uint64_t head =
        consumer->leaving ? consumer->end : atomic_load_explicit(&peer->memory.page->head, memory_order_acquire);
    return head - consumer->next;
}

/* The writer has hung up. What it has left is received still; what somebody who has
 * kept its memory would add is not. */
static void note_leaving(struct pb_consumer *consumer)
{
    consumer->end = consumer->next + available(consumer);
    consumer->leaving = true;
}

static bool is_sound(const struct pb_consumer *consumer, uint64_t packets)
{
    return packets <= pb_ring_records(consumer->pipe.ring_bytes);
}

/* How full the ring is, by the writer's word. */
static uint64_t used_bytes(const struct pb_consumer *consumer)
{
    uint64_t position = atomic_load_explicit(&consumer->pipe.peer->memory.page->position, memory_order_relaxed);
    uint64_t bytes = position - consumer->position;
    return bytes <= consumer->pipe.ring_bytes ? bytes : 0;
}

/* Take over what the writer says that it did not send on. */
static void look_at_declined(struct pb_consumer *consumer)
{
    uint64_t declined = atomic_load_explicit(&consumer->pipe.peer->memory.page->dropped, memory_order_relaxed);
    if (declined - consumer->declined > UINT32_MAX)
        return; /* it went back, or it raves: no count */
    pb_port_count(consumer->pipe.port, PIPE_DECLINED, declined - consumer->declined);
    consumer->declined = declined;
}

/* What the writer has published and nobody will receive. */
static void count_unreceived(struct pb_consumer *consumer)
{
    uint64_t left = available(consumer);
    if (is_sound(consumer, left))
        pb_port_count(consumer->pipe.port, PIPE_UNRECEIVED, left);
}

static void drop_writer(struct pb_consumer *consumer)
{
    struct pb_pipe *pipe = &consumer->pipe;
    look_at_declined(consumer);
    count_unreceived(consumer);
    atomic_store(&pipe->peer->page->ended, 1);
    pthread_mutex_lock(&pipe->mutex);
    pb_peer_close(pipe->peer);
    pipe->peer = NULL;
    pthread_mutex_unlock(&pipe->mutex);
    consumer->asleep = consumer->leaving = false;
}

static void detach_writer(struct pb_consumer *consumer, const char *what)
{
    pb_pipe_report_fault(&consumer->pipe, what);
    drop_writer(consumer);
    pb_consumer_attend(consumer->pipe.port); /* perhaps the next one waits */
}

/* Under the mutex. */
static void adopt_writer(struct pb_consumer *consumer)
{
    struct pb_pipe *pipe = &consumer->pipe;
    pipe->peer = pipe->incoming;
    pipe->incoming = NULL;
    consumer->position = consumer->next = consumer->declined = consumer->answered = 0;
    consumer->sleeps = consumer->wakes = 0;
    consumer->link_type = PB_RING_LINK_UNSET;
    consumer->asleep = consumer->leaving = false;
    atomic_store(&pipe->peer->page->start, 0);
    pb_pipe_count_attaches(pipe);
    pb_peer_wake(pipe->peer);
}

static void refresh_gauges(struct pb_consumer *consumer)
{
    pb_pipe_set_gauges(&consumer->pipe, consumer->pipe.peer != NULL ? used_bytes(consumer) : 0);
}

/* A writer has come, or hung up, or what it had left has been received. */
void pb_consumer_attend(struct pb_port *port)
{
    struct pb_consumer *consumer = port->state;
    struct pb_pipe *pipe = &consumer->pipe;
    pthread_mutex_lock(&pipe->mutex);
    bool hung_up = pipe->peer != NULL && pipe->peer->hung_up;
    pthread_mutex_unlock(&pipe->mutex);
    if (hung_up && !consumer->leaving)
        note_leaving(consumer);
    if (consumer->leaving && available(consumer) == 0)
        drop_writer(consumer);
    pthread_mutex_lock(&pipe->mutex);
    if (pipe->peer == NULL && pipe->incoming != NULL)
        adopt_writer(consumer);
    pthread_mutex_unlock(&pipe->mutex);
    refresh_gauges(consumer);
}

/* The writer waits for space and shall look now: once for each request. */
static void answer(struct pb_consumer *consumer, uint64_t number)
{
    if (number == 0 || number == consumer->answered)
        return;
    consumer->answered = number;
    pb_peer_wake(consumer->pipe.peer);
}

/* -------------------------------------------------------------- receiving */

/* Receive up to packets_max packets. Returns how many; *sound says whether all that
 * was looked at made sense. */
static uint32_t copy_packets(struct pb_consumer *consumer, struct pb_packet *packets, uint32_t packets_max, bool *sound)
{
    const struct pb_ring_memory *memory = &consumer->pipe.peer->memory;
    uint64_t mask = memory->ring_bytes - 1, records_mask = pb_ring_records(memory->ring_bytes) - 1;
    uint64_t base = atomic_load_explicit(&memory->page->base, memory_order_relaxed) & ~(uint64_t)(PB_RING_UNIT - 1);
    uint64_t records_base = atomic_load_explicit(&memory->page->records_base, memory_order_relaxed);
    uint32_t count = 0, used = 0;
    while (count < packets_max) {
        const volatile struct pb_record *record = &memory->records[(consumer->next + records_base) & records_mask];
        uint32_t length_mark = record->length_mark, wire_len = record->wire_len;
        uint32_t length = pb_record_length(length_mark);
        *sound = length <= PB_FRAME_BYTES_MAX && length <= memory->ring_bytes && wire_len >= length;
        if (!*sound || used + length > PB_CONSUMER_COPY_BYTES)
            break;
        uint8_t *copy = consumer->copies + used;
        pb_copy_packet(copy, memory->ring + ((consumer->position + base) & mask), length);
        struct pb_packet *packet = &packets[count++];
        pb_packet_init(packet, copy, length, wire_len, record->timestamp_ns, (uint16_t)consumer->link_type);
        if (consumer->marks)
            pb_packet_set_mark(packet, pb_record_mark(length_mark));
        used += (length + COPY_ALIGN - 1) / COPY_ALIGN * COPY_ALIGN;
        consumer->position += pb_record_bytes(length);
        consumer->next++;
    }
    return count;
}

/* The link type of this writer's packets, as it is with the first. */
static bool take_link_type(struct pb_consumer *consumer)
{
    if (consumer->link_type == PB_RING_LINK_UNSET)
        consumer->link_type = atomic_load_explicit(&consumer->pipe.peer->memory.page->link_type, memory_order_relaxed);
    return consumer->link_type <= UINT16_MAX;
}

static uint32_t receive(struct pb_consumer *consumer, struct pb_packet *packets, uint32_t packets_max, uint64_t ready)
{
    struct pb_pipe *pipe = &consumer->pipe;
    bool sound = is_sound(consumer, ready) && take_link_type(consumer);
    uint32_t count = 0;
    uint64_t wire_bytes = 0;
    pb_pipe_note_used(pipe, used_bytes(consumer));
    if (sound)
        count = copy_packets(consumer, packets, ready < packets_max ? (uint32_t)ready : packets_max, &sound);
    for (uint32_t i = 0; i < count; i++)
        wire_bytes += packets[i].wire_len;
    pb_port_received(pipe->port, count, wire_bytes);
    if (sound)
        answer(consumer, pb_ring_release(pipe->peer->memory.page, pipe->peer->page, consumer->position, consumer->next));
    else
        detach_writer(consumer, "wrote nonsense into its ring");
    return count;
}

uint32_t pb_consumer_rx_batch(struct pb_port *port, struct pb_packet *packets, uint32_t packets_max)
{
    struct pb_consumer *consumer = port->state;
    if (consumer->pipe.peer == NULL)
        return 0;
    if (consumer->asleep)
        atomic_store_explicit(&consumer->pipe.peer->page->reader_waiting, 0, memory_order_relaxed);
    consumer->asleep = false;
    uint64_t ready = available(consumer);
    if (ready != 0)
        return receive(consumer, packets, packets_max, ready);
    if (consumer->leaving)
        pb_consumer_attend(port);
    return 0;
}

void pb_consumer_rx_release(struct pb_port *port)
{
    (void)port; /* the copies are valid until the next rx_batch() */
}

/* --------------------------------------------------------------- sleeping */

bool pb_consumer_wait(struct pb_port *port, struct pb_wait *wait)
{
    struct pb_consumer *consumer = port->state;
    const struct pb_peer *peer = consumer->pipe.peer;
    uint64_t number;
    *wait = (struct pb_wait){.fd = -1, .events = 0, .timeout_ns = -1};
    if (peer == NULL)
        return true; /* a writer that comes sets attention */
    if (consumer->leaving)
        return false; /* the next rx_batch() sees to it */
    enum pb_peer_word word = pb_peer_listen(peer, &consumer->wakes, consumer->sleeps);
    if (word == PB_PEER_GONE) {
        note_leaving(consumer);
        return false;
    }
    if (word != PB_PEER_FINE) {
        detach_writer(consumer, pb_peer_fault_text(word));
        return consumer->pipe.peer == NULL;
    }
    look_at_declined(consumer);
    wait->timeout_ns = DECLINED_NS;
    consumer->sleeps++;
    consumer->asleep = true;
    if (!pb_ring_reader_sleeps(peer->memory.page, peer->page, consumer->next, &number))
        return false;
    answer(consumer, number);
    wait->fd = peer->fd;
    wait->events = POLLIN;
    return true;
}

void pb_consumer_tick(struct pb_port *port)
{
    struct pb_consumer *consumer = port->state;
    if (consumer->pipe.peer != NULL)
        look_at_declined(consumer);
    refresh_gauges(consumer);
}

bool pb_consumer_undelivered(struct pb_port *port)
{
    struct pb_consumer *consumer = port->state;
    pb_consumer_tick(port);
    return consumer->pipe.peer != NULL && available(consumer) != 0;
}

void pb_consumer_end(struct pb_consumer *consumer)
{
    if (consumer->pipe.peer != NULL)
        drop_writer(consumer);
}
