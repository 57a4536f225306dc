/*
 * loop.c - the engine thread: receive, carry, send; spin a little, then sleep.
 *
 * One turn gives every input one batch. A turn that moved nothing spins for at
 * most SPIN_MAX_NS (less where spinning has not paid off), then sleeps in poll()
 * on what the ports name, so an idle engine costs no processor time.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "../core/clock.h"
#include "engine.h"
#include "events.h"

#define SPIN_MAX_NS 50000
#define SPIN_STEP_NS 1000
#define TICK_NS 100000000     /* between two tick() of a busy port */
#define UNDELIVERED_NS 10000000 /* between two looks whether readers have finished */

/* What the loop keeps on its stack. */
struct loop {
    struct pb_engine *engine;
    struct pollfd *poll_fds;
    int64_t spin_ns;
    int64_t ticked_ns;
    bool flushed; /* nothing was sent since outputs were flushed */
    bool moved;   /* packets have moved since the last tick */
    bool has_pausable;    /* an input is */
    uint32_t undelivered; /* outputs that held packets when last counted */
};

/* Outputs that hold packets still: taken and not passed on yet, or not fetched by
 * their reader; and inputs that an application has written to. Inputs last: what an
 * inline application has read it has written before. Whoever waits for delivery is
 * told while there are pausable inputs. */
static uint32_t count_undelivered(struct loop *loop)
{
    struct pb_engine *engine = loop->engine;
    loop->undelivered = 0;
    for (uint32_t i = 0; i < engine->outputs_count; i++) {
        struct pb_port *port = &engine->outputs[i]->port;
        bool behind = port->operations->undelivered != NULL && port->operations->undelivered(port);
        if (behind || pb_counter_get(&port->counters[PB_PORT_IN_FLIGHT]) > 0)
            loop->undelivered++;
    }
    for (uint32_t i = 0; i < engine->inputs_count; i++) {
        struct pb_port *port = &engine->inputs[i]->port;
        if (port->operations->undelivered != NULL && port->operations->undelivered(port))
            loop->undelivered++;
    }
    pb_counter_set(&engine->counters[PB_ENGINE_UNDELIVERED], loop->has_pausable ? loop->undelivered : 0);
    return loop->undelivered;
}

static void tick(struct loop *loop, int64_t now)
{
    struct pb_engine *engine = loop->engine;
    loop->ticked_ns = now;
    loop->moved = false;
    for (uint32_t i = 0; i < engine->inputs_count; i++)
        if (engine->inputs[i]->port.operations->tick != NULL)
            engine->inputs[i]->port.operations->tick(&engine->inputs[i]->port);
    for (uint32_t i = 0; i < engine->outputs_count; i++)
        if (engine->outputs[i]->port.operations->tick != NULL)
            engine->outputs[i]->port.operations->tick(&engine->outputs[i]->port);
    count_undelivered(loop);
}

static void flush(struct loop *loop)
{
    struct pb_engine *engine = loop->engine;
    loop->flushed = true;
    for (uint32_t i = 0; i < engine->outputs_count; i++)
        if (engine->outputs[i]->port.operations->flush != NULL)
            engine->outputs[i]->port.operations->flush(&engine->outputs[i]->port);
}

static void attend(struct pb_port *port)
{
    if (!atomic_load_explicit(&port->attention, memory_order_acquire))
        return;
    atomic_store_explicit(&port->attention, false, memory_order_relaxed);
    if (port->operations->attend != NULL)
        port->operations->attend(port);
}

static void attend_all(struct pb_engine *engine)
{
    for (uint32_t i = 0; i < engine->inputs_count; i++)
        attend(&engine->inputs[i]->port);
    for (uint32_t i = 0; i < engine->outputs_count; i++)
        attend(&engine->outputs[i]->port);
}

/* An input whose port says that nothing will come any more. */
static void finish_input(struct loop *loop, struct pb_input *input)
{
    input->done = true;
    if (!input->port.pausable)
        return;
    flush(loop);
    /* Before sources_left says that all is read, undelivered has to say what is not fetched. */
    count_undelivered(loop);
    pb_counter *left = &loop->engine->counters[PB_ENGINE_SOURCES_LEFT];
    atomic_store_explicit(left, pb_counter_get(left) - 1, memory_order_release);
}

/* One batch of one input; returns whether anything moved. */
static bool turn_input(struct loop *loop, struct pb_input *input)
{
    struct pb_engine *engine = loop->engine;
    struct pb_port *port = &input->port;
    if (input->pending_outputs > 0) {
        uint64_t before = pb_counter_get(&engine->counters[PB_ENGINE_IN_FLIGHT]);
        if (!pb_graph_retry(engine, input))
            return pb_counter_get(&engine->counters[PB_ENGINE_IN_FLIGHT]) != before;
        port->operations->rx_release(port);
        loop->flushed = false;
        return true;
    }
    uint32_t count = port->operations->rx_batch(port, input->packets, engine->batch_packets);
    if (count == 0) {
        if (port->exhausted)
            finish_input(loop, input);
        return false;
    }
    loop->flushed = false;
    pb_graph_run(engine, input, count);
    if (input->pending_outputs == 0)
        port->operations->rx_release(port);
    return true;
}

static bool turn(struct loop *loop)
{
    struct pb_engine *engine = loop->engine;
    bool moved = false;
    for (uint32_t i = 0; i < engine->inputs_count; i++)
        if (!engine->inputs[i]->done)
            moved |= turn_input(loop, engine->inputs[i]);
    if (moved) {
        loop->moved = true;
        pb_counter_add(&engine->counters[PB_ENGINE_TURNS], 1);
    }
    return moved;
}

/* Look for packets for a while before sleeping; how long adapts to whether it pays. */
static bool spin(struct loop *loop)
{
    int64_t end = pb_clock_steady_ns() + loop->spin_ns;
    do {
        if (turn(loop)) {
            loop->spin_ns = loop->spin_ns * 2 < SPIN_MAX_NS ? loop->spin_ns * 2 + SPIN_STEP_NS : SPIN_MAX_NS;
            return true;
        }
    } while (pb_clock_steady_ns() < end);
    loop->spin_ns /= 2;
    return false;
}

/* Add what a port sleeps on; false: do not sleep. */
static bool add_wait(struct loop *loop, uint32_t *fds, int64_t *timeout_ns, struct pb_port *port)
{
    struct pb_wait wait = {.fd = -1, .timeout_ns = -1};
    if (!port->operations->wait(port, &wait))
        return false;
    if (wait.fd >= 0)
        loop->poll_fds[(*fds)++] = (struct pollfd){.fd = wait.fd, .events = wait.events};
    if (wait.timeout_ns >= 0 && (*timeout_ns < 0 || wait.timeout_ns < *timeout_ns))
        *timeout_ns = wait.timeout_ns;
    return true;
}

static bool add_input(struct loop *loop, uint32_t *fds, int64_t *timeout_ns, struct pb_input *input)
{
    struct pb_engine *engine = loop->engine;
    if (input->done)
        return true;
    if (input->pending_outputs == 0)
        return add_wait(loop, fds, timeout_ns, &input->port);
    for (uint32_t o = 0; o < engine->outputs_count; o++)
        if (input->pending[o].count > 0 && !add_wait(loop, fds, timeout_ns, &engine->outputs[o]->port))
            return false;
    return true;
}

/* Whether outputs still hold packets, once every source that can be waited for is read. */
static void look_at_end(struct loop *loop, int64_t *timeout_ns)
{
    struct pb_engine *engine = loop->engine;
    bool all_done = true;
    for (uint32_t i = 0; i < engine->inputs_count; i++)
        all_done &= engine->inputs[i]->done;
    bool is_awaited = all_done || (loop->has_pausable && loop->undelivered > 0);
    if (pb_counter_get(&engine->counters[PB_ENGINE_SOURCES_LEFT]) > 0 || !is_awaited)
        return;
    if (count_undelivered(loop) > 0) {
        if (*timeout_ns < 0 || *timeout_ns > UNDELIVERED_NS)
            *timeout_ns = UNDELIVERED_NS;
    } else if (all_done) {
        atomic_store_explicit(&engine->state, PB_ENGINE_FINISHED, memory_order_release);
    }
}

/* Outputs that took packets and could not pass all of them on yet. */
static bool add_unfinished_outputs(struct loop *loop, uint32_t *fds, int64_t *timeout_ns)
{
    struct pb_engine *engine = loop->engine;
    for (uint32_t o = 0; o < engine->outputs_count; o++) {
        struct pb_port *port = &engine->outputs[o]->port;
        if (pb_counter_get(&port->counters[PB_PORT_IN_FLIGHT]) > 0 && !add_wait(loop, fds, timeout_ns, port))
            return false;
    }
    return true;
}

static void sleep_until_work(struct loop *loop)
{
    struct pb_engine *engine = loop->engine;
    if (!loop->flushed)
        flush(loop);
    /* Ports look after their links and losses in tick(): also while packets wait for one. */
    bool busy = loop->moved || loop->undelivered > 0 || pb_counter_get(&engine->counters[PB_ENGINE_IN_FLIGHT]) > 0;
    if (busy && pb_clock_steady_ns() - loop->ticked_ns >= TICK_NS)
        tick(loop, pb_clock_steady_ns());
    uint32_t fds = 1;
    int64_t timeout_ns = -1;
    loop->poll_fds[0] = (struct pollfd){.fd = engine->wake_fd, .events = POLLIN};
    for (uint32_t i = 0; i < engine->inputs_count; i++)
        if (!add_input(loop, &fds, &timeout_ns, engine->inputs[i]))
            return;
    if (!add_unfinished_outputs(loop, &fds, &timeout_ns))
        return;
    look_at_end(loop, &timeout_ns);
    if (busy && (timeout_ns < 0 || timeout_ns > TICK_NS))
        timeout_ns = TICK_NS;
    pb_counter_add(&engine->counters[PB_ENGINE_SLEEPS], 1);
    struct timespec timeout = {.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
    ppoll(loop->poll_fds, fds, timeout_ns < 0 ? NULL : &timeout, NULL);
    uint64_t wakes;
    if ((loop->poll_fds[0].revents & POLLIN) != 0 && read(engine->wake_fd, &wakes, sizeof(wakes)) < 0) {
        /* Another read was faster: there is none. */
    }
}

static void tell_ports(struct pb_engine *engine, bool start)
{
    for (uint32_t i = 0; i < engine->inputs_count + engine->outputs_count; i++) {
        struct pb_port *port = i < engine->inputs_count ? &engine->inputs[i]->port : &engine->outputs[i - engine->inputs_count]->port;
        void (*tell)(struct pb_port *) = start ? port->operations->thread_start : port->operations->thread_end;
        if (tell != NULL)
            tell(port);
    }
}

static void end(struct loop *loop)
{
    struct pb_engine *engine = loop->engine;
    for (uint32_t i = 0; i < engine->inputs_count; i++) {
        struct pb_input *input = engine->inputs[i];
        if (input->pending_outputs == 0)
            continue;
        pb_graph_abandon(engine, input);
        input->port.operations->rx_release(&input->port);
    }
    flush(loop);
    tick(loop, pb_clock_steady_ns());
}

void *pb_engine_loop(void *argument)
{
    struct loop loop = {.engine = argument, .spin_ns = SPIN_STEP_NS};
    struct pb_engine *engine = loop.engine;
    size_t fds = 1 + engine->inputs_count + engine->outputs_count + (size_t)engine->inputs_count * engine->outputs_count;
    loop.poll_fds = calloc(fds, sizeof(*loop.poll_fds));
    if (loop.poll_fds == NULL) {
        pb_event_post(engine->handle, "no memory for the engine's thread; it carries nothing");
        sem_post(&engine->begun);
        return NULL;
    }
    for (uint32_t i = 0; i < engine->inputs_count; i++)
        loop.has_pausable |= engine->inputs[i]->port.pausable && !engine->inputs[i]->port.endless;
    tell_ports(engine, true);
    sem_post(&engine->begun);
    loop.ticked_ns = pb_clock_steady_ns();
    uint32_t turns = 0;
    while (!atomic_load_explicit(&engine->stopping, memory_order_acquire)) {
        attend_all(engine);
        if (!turn(&loop) && !spin(&loop))
            sleep_until_work(&loop);
        /* A look at the clock now and then: 20 ns that a turn of small batches would feel. */
        if (++turns % 64 == 0) {
            int64_t now = pb_clock_steady_ns();
            if (now - loop.ticked_ns >= TICK_NS)
                tick(&loop, now);
        }
    }
    end(&loop);
    tell_ports(engine, false);
    free(loop.poll_fds);
    return NULL;
}
