/*
 * model.c - the model checker; model.h says what it does.
 *
 * Linked into test_ring_model alone. One thread; the stacks of the two
 * coroutines are static memory here, so that a state can be saved and restored
 * by copying.
 *
 * This file is compiled without -fsanitize=thread: it is the runtime.
 */
#include "model.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define WORDS_MAX 20    /* shared words */
#define UNITS_MAX 16    /* of guarded memory: two entries each in a view, written and read */
#define VIEW (WORDS_MAX + 2 * UNITS_MAX)
#define MESSAGES_MAX 12 /* of one word that somebody may still read */
#define WAKE_UPS_MAX 4  /* in the socket, each way */
#define WEAKENED_MAX 4
#define STACK_BYTES 32768
#define STACK_SLACK 128  /* below the frame of suspend(): what it has pushed */
#define DEPTH_MAX 20000

typedef uint8_t stamp; /* the number of a message of a word */

struct view {
    stamp at[VIEW];
};

struct message {
    uint64_t value;
    struct view view;
};

enum point { POINT_START, POINT_LOAD, POINT_STORE, POINT_EXCHANGE, POINT_RECV, POINT_SEND, POINT_POLL, POINT_AWAIT, POINT_DONE };

struct thread {
    jmp_buf context;
    char *low; /* of its stack: what is above is to be saved */
    enum point point; /* what it does next ... */
    int word, order;  /* ... on what, how */
};

struct word {
    bool used;
    bool touched[MODEL_THREADS]; /* of a quiet word: by whom */
    stamp latest, latest_seq_cst;
    struct message messages[MESSAGES_MAX]; /* number n is at n % MESSAGES_MAX */
};

struct channel {
    uint8_t count;
    bool closed; /* by the side that sends */
    struct view views[WAKE_UPS_MAX], close_view;
};

/* Everything that changes, besides the state of the code under test and the stacks. */
static struct machine {
    struct thread threads[MODEL_THREADS];
    struct view views[MODEL_THREADS];
    struct word words[WORDS_MAX];
    stamp written[UNITS_MAX], read[UNITS_MAX];             /* the latest */
    bool own[MODEL_THREADS][2 * UNITS_MAX];                /* by this thread, since it last sent its view anywhere */
    struct channel channels[MODEL_THREADS];                /* by sender */
    bool dead;
} machine;

static _Alignas(64) char stacks[MODEL_THREADS][STACK_BYTES];

/* What stays the same throughout an exploration. */
static struct {
    char *state;
    uint32_t state_bytes;
    struct {
        const char *from, *to;
    } shared[4];
    uint32_t shared_count;
    struct {
        const char *memory;
        uint32_t bytes, seen_bytes, unit_bytes, first_unit;
    } guarded[4];
    uint32_t guarded_count, units_count;
    const void *statistics[WORDS_MAX];
    uint32_t statistics_count;
    const char *words[WORDS_MAX]; /* their addresses, in the order of first use */
    uint64_t initial[WORDS_MAX];
    struct {
        const void *word;
        const char *text;
    } names[WORDS_MAX];
    struct {
        const void *word;
        int thread, order;
        bool store;
    } weakened[WEAKENED_MAX];
    const void *quiet[WORDS_MAX];
    uint32_t words_count, names_count, quiet_count, weakened_count;
    void (*const *threads)(void);
} setup;

/* Of the present run. */
static int running = -1; /* -1: the scheduler, whose accesses are none */
static uint32_t choice;
static jmp_buf scheduler;
static struct model_result *result;

/* The model's own bounds do not suffice: no result at all. */
static __attribute__((noreturn)) void too_small(const char *what)
{
    fprintf(stderr, "the model is too small for this scenario: %s\n", what);
    exit(1);
}

void model_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(result->failure, sizeof(result->failure), format, arguments);
    va_end(arguments);
    result->failed = true;
    running = -1;
    _longjmp(scheduler, 2);
}

/* ------------------------------------------------------------------ setting up */

void model_reset(void *state, uint32_t state_bytes)
{
    memset(&machine, 0, sizeof(machine));
    memset(&setup, 0, sizeof(setup));
    setup.state = state;
    setup.state_bytes = state_bytes;
}

void model_share(const void *memory, uint32_t bytes)
{
    setup.shared[setup.shared_count].from = memory;
    setup.shared[setup.shared_count++].to = (const char *)memory + bytes;
}

void model_guard(const void *memory, uint32_t bytes, uint32_t seen_bytes, uint32_t unit_bytes)
{
    uint32_t i = setup.guarded_count++;
    setup.guarded[i].memory = memory;
    setup.guarded[i].bytes = bytes;
    setup.guarded[i].seen_bytes = seen_bytes;
    setup.guarded[i].unit_bytes = unit_bytes;
    setup.guarded[i].first_unit = setup.units_count;
    setup.units_count += bytes / unit_bytes;
    if (setup.units_count > UNITS_MAX)
        too_small("UNITS_MAX");
}

static bool is_shared(const char *address)
{
    for (uint32_t i = 0; i < setup.statistics_count; i++)
        if (setup.statistics[i] == address)
            return false;
    for (uint32_t i = 0; i < setup.shared_count; i++)
        if (address >= setup.shared[i].from && address < setup.shared[i].to)
            return true;
    return false;
}

/* The number of a shared word. */
static int word_of(const void *address, uint32_t bytes)
{
    for (uint32_t i = 0; i < setup.words_count; i++)
        if (setup.words[i] == address)
            return (int)i;
    if (setup.words_count == WORDS_MAX)
        too_small("WORDS_MAX, WEAKENED_MAX");
    uint64_t value = 0;
    memcpy(&value, address, bytes);
    setup.words[setup.words_count] = address;
    setup.initial[setup.words_count] = value;
    return (int)setup.words_count++;
}

void model_name(const void *word, const char *name)
{
    if (setup.names_count == WORDS_MAX)
        too_small("WORDS_MAX, WEAKENED_MAX");
    setup.names[setup.names_count].word = word;
    setup.names[setup.names_count++].text = name;
}

void model_quiet(const void *word)
{
    if (setup.quiet_count == WORDS_MAX)
        too_small("WORDS_MAX, WEAKENED_MAX");
    setup.quiet[setup.quiet_count++] = word;
}

void model_statistic(const void *word)
{
    if (setup.statistics_count == WORDS_MAX)
        too_small("WORDS_MAX");
    setup.statistics[setup.statistics_count++] = word;
}

void model_weaken(const void *word, int thread, bool store, int order)
{
    if (setup.weakened_count == WEAKENED_MAX)
        too_small("WORDS_MAX, WEAKENED_MAX");
    setup.weakened[setup.weakened_count].word = word;
    setup.weakened[setup.weakened_count].thread = thread;
    setup.weakened[setup.weakened_count].order = order;
    setup.weakened[setup.weakened_count++].store = store;
}

/* ------------------------------------------------------------------- scheduling */

/* The running thread is about to do something that others can see: give way. When
 * this returns, it is its turn and `choice` says which of the possible results. */
static __attribute__((noinline)) void suspend(enum point point, int word, int order)
{
    struct thread *thread = &machine.threads[running];
    thread->point = point;
    thread->word = word;
    thread->order = order;
    thread->low = (char *)__builtin_frame_address(0) - STACK_SLACK;
    if (_setjmp(thread->context) == 0)
        _longjmp(scheduler, 1);
}

static void thread_main(void)
{
    suspend(POINT_START, 0, 0);
    setup.threads[running]();
    suspend(POINT_DONE, 0, 0);
}

/* Run `thread` until it gives way again. */
static void resume(int thread, uint32_t with_choice)
{
    static ucontext_t own, context;
    running = thread;
    choice = with_choice;
    if (_setjmp(scheduler) == 0) {
        if (machine.threads[thread].low != NULL)
            _longjmp(machine.threads[thread].context, 1);
        getcontext(&context);
        context.uc_stack.ss_sp = stacks[thread];
        context.uc_stack.ss_size = STACK_BYTES;
        context.uc_link = NULL;
        makecontext(&context, thread_main, 0);
        swapcontext(&own, &context);
    }
    running = -1;
}

static const struct channel *incoming(int thread)
{
    return &machine.channels[1 - thread];
}

static stamp oldest_readable(const struct thread *thread, int thread_number)
{
    const struct word *word = &machine.words[thread->word];
    stamp oldest = machine.views[thread_number].at[thread->word];
    return thread->order == __ATOMIC_SEQ_CST && word->latest_seq_cst > oldest ? word->latest_seq_cst : oldest;
}

/* How many ways a thread can go on: 0: it sleeps, or is done. */
static uint32_t choices_of(int number)
{
    const struct thread *thread = &machine.threads[number];
    const struct channel *channel = incoming(number);
    if (machine.dead && number == MODEL_APPLICATION)
        return 0;
    switch (thread->point) {
    case POINT_DONE:
        return 0;
    case POINT_POLL:
        return channel->count > 0 || channel->closed ? 1 : 0;
    case POINT_AWAIT:
        return machine.words[thread->word].latest > machine.views[number].at[thread->word] ? 1 : 0;
    case POINT_LOAD:
        return machine.words[thread->word].latest - oldest_readable(thread, number) + 1u;
    default:
        return 1;
    }
}

bool model_is_done(int thread)
{
    return machine.threads[thread].point == POINT_DONE;
}

bool model_is_dead(void)
{
    return machine.dead;
}

/* --------------------------------------------------------------- shared memory */

static struct view *own_view(void)
{
    return &machine.views[running];
}

static void join(struct view *view, const struct view *other)
{
    for (int i = 0; i < VIEW; i++)
        if (other->at[i] > view->at[i])
            view->at[i] = other->at[i];
}

/* This thread's view goes out: what it does to guarded memory from now on is not in it. */
static struct view send_view(void)
{
    memset(machine.own[running], 0, sizeof(machine.own[running]));
    return *own_view();
}

static struct message *message_of(struct word *word, stamp number)
{
    return &word->messages[number % MESSAGES_MAX];
}

static struct word *word_at(int number)
{
    struct word *word = &machine.words[number];
    if (!word->used)
        word->messages[0].value = setup.initial[number];
    word->used = true;
    return word;
}

static stamp next_stamp(stamp present)
{
    if (present == UINT8_MAX)
        too_small("UINT8_MAX stores");
    return present + 1;
}

/* An access to a quiet word changes nothing for the other thread: no choice, and no
 * point at which that might go on. */
static bool is_quiet(int number)
{
    bool quiet = false;
    for (uint32_t i = 0; i < setup.quiet_count; i++)
        quiet = quiet || setup.quiet[i] == setup.words[number];
    if (!quiet)
        return false;
    struct word *word = word_at(number);
    word->touched[running] = true;
    if (word->touched[1 - running])
        too_small("both threads use a quiet word");
    choice = 0;
    return true;
}

static void suspend_for(enum point point, int number, int order)
{
    word_at(number);
    if (!is_quiet(number))
        suspend(point, number, order);
}

static bool acquires(int order)
{
    return order == __ATOMIC_ACQUIRE || order == __ATOMIC_CONSUME || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

static bool releases(int order)
{
    return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

static int weakened(const void *address, bool store, int order)
{
    for (uint32_t i = 0; i < setup.weakened_count; i++)
        if (setup.weakened[i].word == address && setup.weakened[i].thread == running && setup.weakened[i].store == store)
            return order < setup.weakened[i].order ? order : setup.weakened[i].order;
    return order;
}

/* Append a message; `sequence`: the view of the one that an exchange has read. */
static void append(int number, uint64_t value, int order, const struct view *sequence)
{
    struct word *word = word_at(number);
    stamp oldest = machine.views[0].at[number] < machine.views[1].at[number] ? machine.views[0].at[number]
                                                                              : machine.views[1].at[number];
    word->latest = next_stamp(word->latest);
    if (word->latest - oldest >= MESSAGES_MAX)
        too_small("MESSAGES_MAX");
    own_view()->at[number] = word->latest;
    struct message *message = message_of(word, word->latest);
    memset(message, 0, sizeof(*message));
    message->value = value;
    message->view.at[number] = word->latest;
    if (releases(order))
        message->view = send_view();
    if (sequence != NULL)
        join(&message->view, sequence);
    if (order == __ATOMIC_SEQ_CST)
        word->latest_seq_cst = word->latest;
}

static uint64_t load(const void *address, uint32_t bytes, int order)
{
    uint64_t value = 0;
    memcpy(&value, address, bytes);
    if (running < 0 || !is_shared(address))
        return value;
    int number = word_of(address, bytes);
    order = weakened(address, false, order);
    suspend_for(POINT_LOAD, number, order);
    struct word *word = &machine.words[number];
    struct message *message = message_of(word, (stamp)(word->latest - choice));
    own_view()->at[number] = (stamp)(word->latest - choice);
    if (acquires(order))
        join(own_view(), &message->view);
    return message->value;
}

static void store(void *address, uint64_t value, uint32_t bytes, int order)
{
    if (running >= 0 && is_shared(address)) {
        int number = word_of(address, bytes);
        order = weakened(address, true, order);
        suspend_for(POINT_STORE, number, order);
        append(number, value, order, NULL);
    }
    memcpy(address, &value, bytes);
}

static uint64_t exchange(void *address, uint64_t value, uint32_t bytes, int order)
{
    uint64_t before = 0;
    memcpy(&before, address, bytes);
    if (running >= 0 && is_shared(address)) {
        int number = word_of(address, bytes);
        suspend_for(POINT_EXCHANGE, number, order);
        struct word *word = &machine.words[number];
        struct message read = *message_of(word, word->latest);
        before = read.value;
        if (acquires(order))
            join(own_view(), &read.view);
        append(number, value, order, &read.view);
    }
    memcpy(address, &value, bytes);
    return before;
}

void model_await_news(const void *word)
{
    int number = word_of(word, sizeof(uint64_t));
    word_at(number);
    suspend(POINT_AWAIT, number, 0);
    own_view()->at[number]++; /* or it could read the old one for ever */
}

/* -------------------------------------------------------------- guarded memory */

/* `places` is where a view has the accesses of one kind: those must all be in this
 * thread's view. */
static void check_ordered(uint32_t unit, const stamp *latest, uint32_t places, const char *what)
{
    if (own_view()->at[places + unit] != latest[unit])
        model_fail("%s unit %u of records and ring while the other side %s it", what, unit,
                   places == WORDS_MAX ? "may still be writing" : "may still be reading");
}

static void note_access(uint32_t unit, stamp *latest, uint32_t places)
{
    bool *own = &machine.own[running][places - WORDS_MAX + unit];
    if (*own)
        return;
    latest[unit] = next_stamp(latest[unit]);
    own_view()->at[places + unit] = latest[unit];
    *own = true;
}

static void unit_access(uint32_t unit, bool write)
{
    check_ordered(unit, machine.written, WORDS_MAX, write ? "writes" : "reads");
    if (write) {
        check_ordered(unit, machine.read, WORDS_MAX + UNITS_MAX, "writes");
        note_access(unit, machine.written, WORDS_MAX);
    } else {
        note_access(unit, machine.read, WORDS_MAX + UNITS_MAX);
    }
}

static void plain_access(const void *address, uint64_t bytes, bool write)
{
    for (uint32_t i = 0; running >= 0 && i < setup.guarded_count; i++) {
        uint64_t offset = (uint64_t)((const char *)address - setup.guarded[i].memory);
        uint32_t unit_bytes = setup.guarded[i].unit_bytes;
        if (offset >= setup.guarded[i].seen_bytes)
            continue;
        if (offset + bytes > setup.guarded[i].seen_bytes)
            model_fail("goes beyond the end of the ring");
        for (uint64_t at = offset / unit_bytes; at * unit_bytes < offset + bytes; at++)
            unit_access(setup.guarded[i].first_unit + (uint32_t)(at % (setup.guarded[i].bytes / unit_bytes)), write);
    }
}

/* ------------------------------------------------------------------- the socket */

ssize_t model_send(int fd, const void *data, size_t bytes, int flags)
{
    (void)data;
    (void)flags;
    if (running < 0) /* before it all begins */
        return 1;
    suspend(POINT_SEND, 0, 0);
    struct channel *channel = &machine.channels[running]; /* a wake-up is a byte */
    if (fd != MODEL_ENGINE_FD + running || bytes != 1)
        model_fail("sends %d bytes on descriptor %d", (int)bytes, fd);
    if (incoming(running)->closed || channel->closed) {
        errno = EPIPE;
        return -1;
    }
    if (channel->count == WAKE_UPS_MAX)
        too_small("WAKE_UPS_MAX");
    channel->views[channel->count++] = send_view();
    return 1;
}

ssize_t model_recv(int fd, void *data, size_t bytes, int flags)
{
    (void)flags;
    suspend(POINT_RECV, 0, 0);
    struct channel *channel = &machine.channels[1 - running];
    if (fd != MODEL_ENGINE_FD + running || bytes != 1)
        model_fail("receives %d bytes on descriptor %d", (int)bytes, fd);
    if (channel->count > 0) {
        join(own_view(), &channel->views[0]);
        memmove(channel->views, channel->views + 1, sizeof(channel->views) - sizeof(channel->views[0]));
        memset(&channel->views[--channel->count], 0, sizeof(channel->views[0]));
        *(char *)data = 0;
        return 1;
    }
    if (channel->closed) {
        join(own_view(), &channel->close_view);
        return 0;
    }
    errno = EAGAIN;
    return -1;
}

int model_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    if (count != 1 || timeout_ms >= 0 || fds->fd != MODEL_ENGINE_FD + running)
        model_fail("polls for %d ms on descriptor %d", timeout_ms, fds->fd);
    suspend(POINT_POLL, 0, 0);
    fds->revents = POLLIN;
    return 1;
}

static void close_channel(int sender)
{
    machine.channels[sender].closed = true;
    machine.channels[sender].close_view = machine.views[sender];
}

void model_hang_up(int fd)
{
    if (running < 0)
        return;
    suspend(POINT_SEND, 0, 0);
    send_view();
    close_channel(fd - MODEL_ENGINE_FD);
}

/* ---------------------------------------------------------------- saved states */

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ (hash >> 29);
}

/* In four lanes, which do not wait for each other. */
static uint64_t mix_memory(uint64_t hash, const void *memory, size_t bytes)
{
    const char *at = memory;
    uint64_t lanes[4] = {hash, 1, 2, 3}, values[4];
    for (; bytes >= sizeof(values); bytes -= sizeof(values), at += sizeof(values)) {
        memcpy(values, at, sizeof(values));
        for (int i = 0; i < 4; i++)
            lanes[i] = mix(lanes[i], values[i]);
    }
    hash = mix(mix(mix(lanes[0], lanes[1]), lanes[2]), lanes[3]);
    for (; bytes > 0; bytes--)
        hash = mix(hash, (uint8_t)*at++);
    return hash;
}

static size_t stack_bytes(int thread)
{
    return machine.threads[thread].low == NULL ? 0 : (size_t)(stacks[thread] + STACK_BYTES - machine.threads[thread].low);
}

/* What nobody can read any more does not tell states apart. */
static uint64_t mix_view(uint64_t hash, const struct view *view, const struct view *oldest)
{
    struct view clipped = *oldest;
    join(&clipped, view);
    return mix_memory(hash, &clipped, sizeof(clipped));
}

static uint64_t hash_state(void)
{
    struct view oldest;
    for (int i = 0; i < VIEW; i++)
        oldest.at[i] = machine.views[0].at[i] < machine.views[1].at[i] ? machine.views[0].at[i] : machine.views[1].at[i];
    uint64_t hash = mix_memory(1, setup.state, setup.state_bytes);
    for (int t = 0; t < MODEL_THREADS; t++) {
        if (machine.dead && t == MODEL_APPLICATION)
            continue;
        hash = mix_memory(hash, machine.threads[t].context, sizeof(machine.threads[t].context));
        hash = mix_memory(hash, machine.threads[t].low, stack_bytes(t));
    }
    hash = mix_memory(hash, machine.views, sizeof(machine.views));
    for (uint32_t i = 0; i < setup.words_count; i++) {
        const struct word *word = &machine.words[i];
        hash = mix(hash, (uint64_t)word->latest << 8 | word->latest_seq_cst);
        for (uint32_t number = oldest.at[i]; word->used && number <= word->latest; number++) {
            hash = mix(hash, word->messages[number % MESSAGES_MAX].value);
            hash = mix_view(hash, &word->messages[number % MESSAGES_MAX].view, &oldest);
        }
    }
    hash = mix_memory(hash, machine.written, sizeof(machine.written) + sizeof(machine.read) + sizeof(machine.own));
    for (int t = 0; t < MODEL_THREADS; t++) {
        const struct channel *channel = &machine.channels[t];
        hash = mix(hash, (uint64_t)channel->count << 2 | (uint64_t)channel->closed << 1 | machine.dead);
        for (uint32_t i = 0; i < channel->count; i++)
            hash = mix_view(hash, &channel->views[i], &oldest);
        hash = mix_view(hash, &channel->close_view, &oldest);
    }
    return hash;
}

/* A state on the path that is being explored, and which way to try next. */
struct frame {
    char *saved; /* machine, state, stacks */
    int thread;
    uint32_t choice;
    int took_thread; /* the way taken, for the trace */
    uint32_t took_choice;
    enum point took_point;
    int took_word;
};

static struct frame frames[DEPTH_MAX];

static void state_save(struct frame *frame)
{
    size_t size[MODEL_THREADS] = {stack_bytes(0), stack_bytes(1)};
    char *to = frame->saved = malloc(sizeof(machine) + setup.state_bytes + size[0] + size[1]);
    if (to == NULL)
        too_small("memory");
    memcpy(to, &machine, sizeof(machine));
    memcpy(to += sizeof(machine), setup.state, setup.state_bytes);
    to += setup.state_bytes;
    for (int t = 0; t < MODEL_THREADS; to += size[t++])
        memcpy(to, stacks[t] + STACK_BYTES - size[t], size[t]);
}

static void state_restore(const struct frame *frame)
{
    const char *from = frame->saved;
    memcpy(&machine, from, sizeof(machine));
    memcpy(setup.state, from += sizeof(machine), setup.state_bytes);
    from += setup.state_bytes;
    for (int t = 0; t < MODEL_THREADS; from += stack_bytes(t++))
        memcpy(stacks[t] + STACK_BYTES - stack_bytes(t), from, stack_bytes(t));
}

/* ----------------------------------------------------------- states seen before */

static struct {
    uint64_t *hashes;
    uint64_t slots, used;
} seen;

static bool seen_put(uint64_t hash)
{
    hash |= hash == 0;
    uint64_t place = hash & (seen.slots - 1);
    for (; seen.hashes[place] != 0; place = (place + 1) & (seen.slots - 1))
        if (seen.hashes[place] == hash)
            return false;
    seen.hashes[place] = hash;
    seen.used++;
    return true;
}

static void seen_make(uint64_t slots)
{
    uint64_t *before = seen.hashes, before_slots = seen.slots;
    seen.hashes = calloc(slots, sizeof(*seen.hashes));
    if (seen.hashes == NULL)
        too_small("memory");
    seen.slots = slots;
    seen.used = 0;
    for (uint64_t i = 0; i < before_slots; i++)
        if (before[i] != 0)
            seen_put(before[i]);
    free(before);
}

/* True the first time. */
static bool is_new(uint64_t hash)
{
    if (2 * seen.used >= seen.slots)
        seen_make(2 * seen.slots);
    return seen_put(hash);
}

/* -------------------------------------------------------------------- exploring */

static const char *name_of(int word)
{
    for (uint32_t i = 0; i < setup.names_count; i++)
        if (setup.names[i].word == setup.words[word])
            return setup.names[i].text;
    return "a word";
}

static void print_step(const struct frame *frame)
{
    static const char *const texts[] = {"starts", "loads", "stores", "exchanges", "recv()", "send()", "wakes up", "sees news of", ""};
    bool has_word = frame->took_point == POINT_LOAD || frame->took_point == POINT_STORE ||
                    frame->took_point == POINT_EXCHANGE || frame->took_point == POINT_AWAIT;
    fprintf(stderr, "  %s %s %s", frame->took_thread == MODEL_ENGINE ? "engine     " : "application",
            texts[frame->took_point], has_word ? name_of(frame->took_word) : "");
    if (frame->took_point == POINT_LOAD && frame->took_choice > 0)
        fprintf(stderr, ", %u behind the latest", frame->took_choice);
    fputc('\n', stderr);
}

/* The application's process is killed: the kernel closes its socket. */
static void kill_application(void)
{
    close_channel(MODEL_APPLICATION);
    machine.dead = true;
}

/* Take the next way out of a state. False: all were taken. */
static bool take_next(struct frame *frame, bool may_die)
{
    for (; frame->thread < MODEL_THREADS; frame->thread++, frame->choice = 0) {
        bool dies = frame->thread == MODEL_APPLICATION && may_die && !machine.dead && !model_is_done(MODEL_APPLICATION);
        uint32_t choices = choices_of(frame->thread);
        if (frame->choice >= choices + dies)
            continue;
        const struct thread *thread = &machine.threads[frame->thread];
        frame->took_thread = frame->thread;
        frame->took_choice = frame->choice;
        frame->took_point = thread->point;
        frame->took_word = thread->word;
        if (frame->choice == choices)
            kill_application();
        else
            resume(frame->thread, frame->choice);
        frame->choice++;
        return true;
    }
    return false;
}

static void check_rest(void (*at_rest)(void))
{
    for (int t = 0; t < MODEL_THREADS; t++)
        if (choices_of(t) > 0)
            return;
    if (_setjmp(scheduler) == 0)
        at_rest();
}

/* Depth first from the present state. */
static uint32_t explore(void (*at_rest)(void), bool may_die)
{
    uint32_t depth = 0;
    bool entering = true;
    for (;;) {
        struct frame *frame = &frames[depth];
        if (entering) {
            entering = false;
            if (is_new(hash_state())) {
                check_rest(at_rest);
                *frame = (struct frame){0};
                state_save(frame);
            } else if (depth == 0) {
                return 0;
            } else {
                frame = &frames[--depth];
            }
        }
        if (result->failed)
            return depth;
        state_restore(frame);
        if (take_next(frame, may_die)) {
            result->steps++;
            if (++depth == DEPTH_MAX)
                too_small("DEPTH_MAX, or it loops for ever");
            entering = !result->failed;
        } else {
            free(frame->saved);
            if (depth-- == 0)
                return 0;
        }
    }
}

struct model_result model_explore(void (*const threads[MODEL_THREADS])(void), void (*at_rest)(void), bool may_die,
                                  bool trace)
{
    static struct model_result present;
    present = (struct model_result){0};
    result = &present;
    setup.threads = threads;
    seen_make(1u << 16);
    for (int t = 0; t < MODEL_THREADS; t++)
        resume(t, 0); /* to its beginning */
    uint32_t depth = explore(at_rest, may_die);
    if (present.failed && trace)
        for (uint32_t i = 0; i < depth; i++)
            print_step(&frames[i]);
    if (present.failed)
        for (uint32_t i = 0; i < depth; i++)
            free(frames[i].saved);
    present.states = seen.used;
    free(seen.hashes);
    memset(&seen, 0, sizeof(seen));
    return present;
}

/* --------------------------------------------------- what the compiler calls
 *
 * The names and signatures are those of the thread sanitizer's runtime
 * (gcc and LLVM: compiler-rt/lib/tsan/rtl/tsan_interface.h and
 * tsan_interface_atomic.h). Only what the code under test uses is here: another
 * operation does not link, rather than being overlooked.
 */
#define HOOK __attribute__((visibility("default")))
#define HOOK_ATOMIC(bits, type)                                                                                        \
    HOOK type __tsan_atomic##bits##_load(const volatile type *word, int order);                                        \
    HOOK type __tsan_atomic##bits##_load(const volatile type *word, int order)                                         \
    {                                                                                                                  \
        return (type)load((const void *)(uintptr_t)word, sizeof(type), order);                                         \
    }                                                                                                                  \
    HOOK void __tsan_atomic##bits##_store(volatile type *word, type value, int order);                                 \
    HOOK void __tsan_atomic##bits##_store(volatile type *word, type value, int order)                                  \
    {                                                                                                                  \
        store((void *)(uintptr_t)word, value, sizeof(type), order);                                                    \
    }                                                                                                                  \
    HOOK type __tsan_atomic##bits##_exchange(volatile type *word, type value, int order);                              \
    HOOK type __tsan_atomic##bits##_exchange(volatile type *word, type value, int order)                               \
    {                                                                                                                  \
        return (type)exchange((void *)(uintptr_t)word, value, sizeof(type), order);                                    \
    }

HOOK_ATOMIC(8, uint8_t)
HOOK_ATOMIC(16, uint16_t)
HOOK_ATOMIC(32, uint32_t)
HOOK_ATOMIC(64, uint64_t)

#define HOOK_PLAIN(bytes)                                                                                              \
    HOOK void __tsan_read##bytes(void *address);                                                                       \
    HOOK void __tsan_read##bytes(void *address)                                                                        \
    {                                                                                                                  \
        plain_access(address, bytes, false);                                                                           \
    }                                                                                                                  \
    HOOK void __tsan_write##bytes(void *address);                                                                      \
    HOOK void __tsan_write##bytes(void *address)                                                                       \
    {                                                                                                                  \
        plain_access(address, bytes, true);                                                                            \
    }

HOOK_PLAIN(1)
HOOK_PLAIN(2)
HOOK_PLAIN(4)
HOOK_PLAIN(8)
HOOK_PLAIN(16)

HOOK void __tsan_read_range(void *address, unsigned long bytes);
HOOK void __tsan_read_range(void *address, unsigned long bytes)
{
    plain_access(address, bytes, false);
}

HOOK void __tsan_write_range(void *address, unsigned long bytes);
HOOK void __tsan_write_range(void *address, unsigned long bytes)
{
    plain_access(address, bytes, true);
}

HOOK void __tsan_init(void);
HOOK void __tsan_init(void)
{
}

HOOK void __tsan_func_entry(void *caller);
HOOK void __tsan_func_entry(void *caller)
{
    (void)caller;
}

HOOK void __tsan_func_exit(void);
HOOK void __tsan_func_exit(void)
{
}
