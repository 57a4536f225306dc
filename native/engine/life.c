/*
 * life.c - the control ABI of packet_bricks.h: starting and stopping an engine.
 * Control thread only; it owns the ports while the engine thread does not exist.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../core/error.h"
#include "engine.h"

static void wake(const struct pb_engine *engine)
{
    uint64_t one = 1;
    if (write(engine->wake_fd, &one, sizeof(one)) < 0) {
        /* The counter is at its limit: the thread is awake anyway. */
    }
}

/* Outputs first: until a pipe is closed, the attach server hands out the descriptors of the regions
 * that its packets come from, which are the inputs'. */
static void close_ports(struct pb_engine *engine, uint32_t inputs, uint32_t outputs)
{
    for (uint32_t i = 0; i < outputs; i++)
        engine->outputs[i]->port.operations->close(&engine->outputs[i]->port);
    for (uint32_t i = 0; i < inputs; i++)
        engine->inputs[i]->port.operations->close(&engine->inputs[i]->port);
}

/* Can packets of this input reach an output that borrows? */
static bool is_borrowed(const struct pb_engine *engine, const struct pb_input *input)
{
    for (uint32_t i = 0; i < engine->outputs_count; i++)
        if (input->reaches[i] && engine->outputs[i]->port.borrows)
            return true;
    return false;
}

/* Tell an output from whose memory its packets come. */
static int borrow(const struct pb_engine *engine, uint32_t output, struct pb_error *error)
{
    struct pb_port *port = &engine->outputs[output]->port;
    struct pb_region *regions[PB_PORTS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < engine->inputs_count; i++)
        if (engine->inputs[i]->reaches[output] && engine->inputs[i]->port.region != NULL)
            regions[count++] = engine->inputs[i]->port.region;
    return port->operations->borrow(port, regions, count, error);
}

static int borrow_all(struct pb_engine *engine, struct pb_error *error)
{
    int status = 0;
    for (uint32_t i = 0; status == 0 && i < engine->outputs_count; i++)
        if (engine->outputs[i]->port.borrows)
            status = borrow(engine, i, error);
    if (status < 0)
        close_ports(engine, engine->inputs_count, engine->outputs_count);
    return status;
}

/* Outputs first: once packets come in there is somewhere for them to go. */
static int open_ports(struct pb_engine *engine, struct pb_error *error)
{
    for (uint32_t i = 0; i < engine->outputs_count; i++) {
        struct pb_port *port = &engine->outputs[i]->port;
        int status = port->operations->open(port, error);
        if (status < 0) {
            close_ports(engine, 0, i);
            return status;
        }
    }
    for (uint32_t i = 0; i < engine->inputs_count; i++) {
        struct pb_port *port = &engine->inputs[i]->port;
        port->exhausted = port->endless = port->writable = false;
        port->borrowed = is_borrowed(engine, engine->inputs[i]);
        port->region = NULL;
        int status = port->operations->open(port, error);
        if (status < 0) {
            close_ports(engine, i, engine->outputs_count);
            return status;
        }
    }
    return borrow_all(engine, error);
}

static int check_complete(const struct pb_engine *engine, struct pb_error *error)
{
    if (engine->inputs_count == 0)
        return pb_fail(error, EINVAL, "engine \"%s\": has no input; connect one", engine->name);
    for (uint32_t i = 0; i < engine->inputs_count; i++)
        if (engine->inputs[i]->node == NULL)
            return pb_port_fail(&engine->inputs[i]->port, error, EINVAL, "it leads to no brick; connect one");
    for (uint32_t i = 0; i < engine->outputs_count; i++)
        if (engine->outputs[i]->edge == NULL)
            return pb_port_fail(&engine->outputs[i]->port, error, EINVAL, "no brick leads to it; connect one");
    for (uint32_t i = 0; i < engine->nodes_count; i++) {
        const struct pb_node *node = engine->nodes[i];
        for (uint32_t o = 0; o < node->outputs; o++)
            if (node->edges[o].to_node == NULL && node->edges[o].to_output == NULL)
                return pb_fail(error, EINVAL, "brick \"%s\": output %u leads nowhere; connect it", node->brick->name, o);
    }
    return 0;
}

static void set_sources_left(struct pb_engine *engine)
{
    uint64_t sources = 0;
    for (uint32_t i = 0; i < engine->inputs_count; i++)
        sources += engine->inputs[i]->port.pausable && !engine->inputs[i]->port.endless;
    pb_counter_set(&engine->counters[PB_ENGINE_SOURCES_LEFT], sources);
    pb_counter_set(&engine->counters[PB_ENGINE_UNDELIVERED], 0);
}

/* The thread takes no signals: those are for the control plane. */
static int start_thread(struct pb_engine *engine)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (engine->cpu >= 0) {
        cpu_set_t cpus;
        CPU_ZERO(&cpus);
        CPU_SET((unsigned)engine->cpu, &cpus);
        pthread_attr_setaffinity_np(&attributes, sizeof(cpus), &cpus);
    }
    sem_init(&engine->begun, 0, 0);
    int code = pthread_create(&engine->thread, &attributes, pb_engine_loop, engine);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code == 0) {
        char name[16];
        snprintf(name, sizeof(name), "bricks-%.8s", engine->name);
        pthread_setname_np(engine->thread, name);
        /* Where processors are scarce a thread may begin late, and rings of ports hold milliseconds. */
        while (sem_wait(&engine->begun) != 0)
            continue;
    }
    sem_destroy(&engine->begun);
    return -code;
}

int pb_engine_start(int handle, struct pb_error *error)
{
    struct pb_engine *engine = pb_engine_require(handle, error);
    if (engine == NULL)
        return -error->code;
    if (engine->has_thread)
        return pb_fail(error, EBUSY, "engine \"%s\": runs already; stop it first", engine->name);
    int status = check_complete(engine, error);
    if (status == 0)
        status = pb_graph_prepare(engine, error);
    if (status == 0)
        status = open_ports(engine, error);
    if (status < 0)
        return status;
    status = pb_graph_prepare_inputs(engine, error);
    if (status == 0) {
        set_sources_left(engine);
        atomic_store(&engine->stopping, false);
        atomic_store(&engine->state, PB_ENGINE_RUNNING);
        status = start_thread(engine);
        if (status < 0)
            pb_fail(error, -status, "engine \"%s\": no thread on processor %d: %s", engine->name, engine->cpu,
                    strerror(-status));
    }
    if (status < 0) {
        atomic_store(&engine->state, PB_ENGINE_STOPPED);
        close_ports(engine, engine->inputs_count, engine->outputs_count);
        return status;
    }
    engine->has_thread = true;
    return 0;
}

int pb_engine_stop(int handle, struct pb_error *error)
{
    struct pb_engine *engine = pb_engine_require(handle, error);
    if (engine == NULL)
        return -error->code;
    if (!engine->has_thread)
        return pb_fail(error, ESRCH, "engine \"%s\": does not run; start it first", engine->name);
    atomic_store_explicit(&engine->stopping, true, memory_order_release);
    wake(engine);
    pthread_join(engine->thread, NULL);
    engine->has_thread = false;
    close_ports(engine, engine->inputs_count, engine->outputs_count);
    pb_counter_set(&engine->counters[PB_ENGINE_SOURCES_LEFT], 0);
    pb_counter_set(&engine->counters[PB_ENGINE_UNDELIVERED], 0);
    atomic_store(&engine->state, PB_ENGINE_STOPPED);
    return 0;
}

int pb_engine_await_reader(int handle, uint32_t port, int awaited, struct pb_error *error)
{
    struct pb_engine *engine = pb_engine_require(handle, error);
    if (engine == NULL)
        return -error->code;
    if (port >= engine->outputs_count)
        return pb_fail(error, EINVAL, "engine \"%s\": no output %u", engine->name, port);
    atomic_store(&engine->outputs[port]->port.awaited, awaited != 0);
    wake(engine);
    return 0;
}
