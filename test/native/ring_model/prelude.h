/*
 * prelude.h - comes before the files of native/pipe that the model check drives
 * (compiled with -include): their socket and their memory are the model's, and the
 * functions of ring.h can be replaced, one at a time, by a mutant that is wrong.
 *
 * A test that finds nothing proves something only if it finds these.
 */
#ifndef PB_RING_MODEL_PRELUDE_H
#define PB_RING_MODEL_PRELUDE_H

#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "model.h"

#define recv model_recv
#define send model_send
#define poll model_poll
#define calloc model_calloc
#define free model_free
void *model_calloc(size_t count, size_t bytes);
void model_free(void *memory);

#define pb_ring_restart sound_restart
#define pb_ring_publish sound_publish
#define pb_ring_producer_sleeps sound_producer_sleeps
#define pb_ring_release sound_release
#define pb_ring_reader_sleeps sound_reader_sleeps
#include "pipe/ring.h"
#undef pb_ring_restart
#undef pb_ring_publish
#undef pb_ring_producer_sleeps
#undef pb_ring_release
#undef pb_ring_reader_sleeps

#include "pipe/loans.h"

enum mutant {
    MUTANT_NONE,
    PUBLISHES_AFTER_LOOKING,       /* is the reader asleep? Only then it moves head */
    PUBLISHES_AND_NEVER_WAKES,
    READER_DOES_NOT_LOOK_AGAIN,    /* says "I sleep", and sleeps */
    READER_LOOKS_BEFORE_IT_SAYS,   /* ... that it sleeps */
    PRODUCER_DOES_NOT_ASK,         /* and sleeps */
    RELEASES_AFTER_LOOKING,        /* whether the producer waits */
    RELEASES_AND_NEVER_ANSWERS,
    RESTARTS_BEFORE_ALL_IS_READ,
    NEVER_SAYS_THE_BASE,
    NEVER_SAYS_THE_RECORDS_BASE,
    MUTANTS_OF_BOTH = NEVER_SAYS_THE_RECORDS_BASE, /* directions; what follows is of applications that read */
    READER_SLEEPS_ON_A_REQUEST,    /* of a producer that waits as well */
    COUNTS_IN_ONE_SLOT,            /* the one that is in force */
    COUNTS_AFTER_RELEASING,
    RETURNS_LOANS_EARLY,           /* as soon as they are published, not when they are released */
    LENDS_WITHOUT_EXTENDING,       /* a loan ends where it begins */
    MUTANTS
};
extern enum mutant mutant;

/* Small rings have small windows: the producer looks whether it can restart after so many bytes. */
#define MODEL_WINDOW_BYTES PB_RING_UNIT

static inline void pb_ring_restart(struct pb_ring_window *window, struct pb_producer_page *producer, uint64_t position,
                                   uint64_t head, uint64_t tail, uint64_t ring_bytes)
{
    uint64_t base = mutant == NEVER_SAYS_THE_BASE ? atomic_load(&producer->base) : 0;
    uint64_t records_base = mutant == NEVER_SAYS_THE_RECORDS_BASE ? atomic_load(&producer->records_base) : 0;
    sound_restart(window, producer, position, head, mutant == RESTARTS_BEFORE_ALL_IS_READ ? position : tail, ring_bytes);
    window->end = position + MODEL_WINDOW_BYTES;
    if (mutant == NEVER_SAYS_THE_BASE)
        atomic_store(&producer->base, base);
    if (mutant == NEVER_SAYS_THE_RECORDS_BASE)
        atomic_store(&producer->records_base, records_base);
}

static inline bool pb_ring_publish(struct pb_producer_page *producer, struct pb_reader_page *reader, uint64_t head)
{
    if (mutant == PUBLISHES_AFTER_LOOKING) {
        bool sleeps = atomic_load(&reader->reader_waiting) != 0 && atomic_exchange(&reader->reader_waiting, 0) != 0;
        atomic_store(&producer->head, head);
        return sleeps;
    }
    return sound_publish(producer, reader, head) && mutant != PUBLISHES_AND_NEVER_WAKES;
}

static inline void pb_ring_producer_sleeps(struct pb_producer_page *producer, uint64_t wake_tail, uint64_t number)
{
    if (mutant != PRODUCER_DOES_NOT_ASK)
        sound_producer_sleeps(producer, wake_tail, number);
}

/* A mutant whose two slots are filled by rule. */
static inline void release_slots(struct pb_reader_page *reader, int slot, uint64_t tail, uint64_t packets)
{
    atomic_store_explicit(&reader->released[slot].packets, packets, memory_order_relaxed);
    atomic_store_explicit(&reader->released[slot].tail, tail, memory_order_relaxed);
}

static inline uint64_t pb_ring_release(const struct pb_producer_page *producer, struct pb_reader_page *reader,
                                       uint64_t tail, uint64_t packets)
{
    uint64_t number = 0;
    if (mutant == RELEASES_AFTER_LOOKING)
        number = atomic_load(&producer->producer_waiting);
    else if (mutant == COUNTS_IN_ONE_SLOT)
        release_slots(reader, 0, tail, packets);
    else if (mutant == COUNTS_AFTER_RELEASING)
        atomic_store(&reader->tail, tail);
    if (mutant == COUNTS_IN_ONE_SLOT) {
        atomic_store(&reader->tail, tail);
        return atomic_load(&producer->producer_waiting);
    }
    uint64_t sound = sound_release(producer, reader, tail, packets);
    if (mutant == RELEASES_AND_NEVER_ANSWERS)
        return 0;
    return mutant == RELEASES_AFTER_LOOKING ? number : sound;
}

/* loans.c is not driven: all it has is the engine's own. */
static inline void model_loans_return(struct pb_loans *loans, uint64_t tail)
{
    pb_loans_return(loans, mutant == RETURNS_LOANS_EARLY ? tail + INT32_MAX : tail);
}

static inline void model_loans_extend(struct pb_loans *loans, uint64_t position)
{
    if (mutant != LENDS_WITHOUT_EXTENDING)
        pb_loans_extend(loans, position);
}

#define pb_loans_return model_loans_return
#define pb_loans_extend model_loans_extend

static inline bool pb_ring_reader_sleeps(const struct pb_producer_page *producer, struct pb_reader_page *reader,
                                         uint64_t seen, uint64_t *number)
{
    bool moved = mutant == READER_LOOKS_BEFORE_IT_SAYS && atomic_load(&producer->head) != seen;
    bool still = sound_reader_sleeps(producer, reader, seen, number);
    if (mutant == READER_SLEEPS_ON_A_REQUEST)
        *number = 0;
    if (mutant == READER_LOOKS_BEFORE_IT_SAYS)
        return !moved;
    return still || mutant == READER_DOES_NOT_LOOK_AGAIN;
}

#endif
