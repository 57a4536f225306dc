/*
 * model.h - a small model checker for two threads that share memory, as
 * test_ring_model.c uses it.
 *
 * The code under test is the program's own, compiled with -fsanitize=thread:
 * the compiler then reports every access to memory, with its memory order, to
 * functions that model.c has instead of the sanitizer's. The two threads are
 * coroutines of one process; nothing runs in parallel.
 *
 * What is explored: at each access to a shared word, and at each system call on
 * the socket between the two, either thread may go on; and a load may return
 * every value that the C11 memory model lets it return, old ones too. All of
 * these choices are tried, depth first; a state that was seen before is not
 * explored again.
 *
 * The memory model is operational: a word is a list of messages (value, view),
 * a thread has a view (the oldest message of each word that it may still read).
 * Release stores attach the thread's view, acquire loads take it over; a seq_cst
 * load reads nothing older than the last seq_cst store of its word. That allows
 * what x86 and ARM do: store buffers, and loads and stores that overtake each
 * other. It does not allow loads that read stores later in their own future.
 * Fences are not modelled; using one fails the test.
 *
 * Plain memory (the ring) is checked for data races: an access that is not
 * ordered after every conflicting one fails.
 */
#ifndef PB_MODEL_H
#define PB_MODEL_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MODEL_ENGINE 0
#define MODEL_APPLICATION 1
#define MODEL_THREADS 2

/* The ends of the one socket. */
#define MODEL_ENGINE_FD 1000
#define MODEL_APPLICATION_FD 1001

/* Before model_explore(). All state of the code under test is in `state`: it is
 * saved and restored with the stacks of the threads. */
void model_reset(void *state, uint32_t state_bytes);
/* Words in this memory are shared: accessed by atomics, by both threads. */
void model_share(const void *memory, uint32_t bytes);
/* A word's name in a trace. */
void model_name(const void *word, const char *name);
/* A word that one thread only uses in this scenario (checked): an access to it is no
 * point at which the other may go on, which saves states. */
void model_quiet(const void *word);
/* A word that is for statistics only: its loads return the latest value, and it
 * orders nothing. */
void model_statistic(const void *word);
/* Plain memory of `bytes` that is checked for races, by units. At `memory` more than
 * that may be seen: the first bytes again, as in a ring that is mapped twice. */
void model_guard(const void *memory, uint32_t bytes, uint32_t seen_bytes, uint32_t unit_bytes);
/* A mutant: accesses of `thread` to `word` have `order` at most. Loads and stores. */
void model_weaken(const void *word, int thread, bool store, int order);

struct model_result {
    uint64_t states, steps;
    bool failed;
    char failure[200]; /* one line; the trace goes to standard error if it was asked for */
};

/* Runs all interleavings. `may_die`: thread MODEL_APPLICATION may be killed at any
 * moment, once. `at_rest` is called in each state where nobody can go on. */
struct model_result model_explore(void (*const threads[MODEL_THREADS])(void), void (*at_rest)(void), bool may_die,
                                  bool trace);

/* From the threads. */
void model_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* Until there is a newer message of `word` than this thread has seen: for a loop that spins. */
void model_await_news(const void *word);
/* This end of the socket is closed. */
void model_hang_up(int fd);
ssize_t model_recv(int fd, void *data, size_t bytes, int flags);
ssize_t model_send(int fd, const void *data, size_t bytes, int flags);
int model_poll(struct pollfd *fds, nfds_t count, int timeout_ms);

/* From at_rest(): is the thread done, or does it sleep; was it killed? */
bool model_is_done(int thread);
bool model_is_dead(void);

#define MODEL_CHECK(condition)                                                                                         \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            model_fail("%s", #condition);                                                                              \
    } while (0)

#endif
