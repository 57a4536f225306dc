/*
 * memif_handlers.c - see memif_calls.h: a thread of DPDK calls the memif driver when something comes from a peer, or when
 * it leaves. The driver has no lock against a start, stop or close of the same device by another thread: both would
 * free the same memory. So its handlers run under a lock of ours, and none runs any more that was given up while it waited.
 *
 * Threads: DPDK's interrupt thread, the control thread, engine threads that connect. Handlers are freed by whoever ends them.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include <rte_interrupts.h>

#include "memif_calls.h"

struct handler {
    struct handler *next;
    const struct rte_intr_handle *handle;
    rte_intr_callback_fn callback;
    rte_intr_unregister_callback_fn on_end;
    void *argument;
    bool over; /* under `running` */
};

/* Held while a handler runs, which may end others and itself. */
static pthread_mutex_t running = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
/* Of the list alone: DPDK calls end_later() with a lock of its own held. */
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct handler *handlers;

int __real_rte_intr_callback_register(const struct rte_intr_handle *handle, rte_intr_callback_fn callback, void *argument);
int __wrap_rte_intr_callback_unregister(const struct rte_intr_handle *handle, rte_intr_callback_fn callback, void *argument);
int __real_rte_intr_callback_unregister(const struct rte_intr_handle *handle, rte_intr_callback_fn callback, void *argument);
int __wrap_rte_intr_callback_unregister_pending(const struct rte_intr_handle *handle, rte_intr_callback_fn callback, void *argument,
                                                rte_intr_unregister_callback_fn on_end);
int __real_rte_intr_callback_unregister_pending(const struct rte_intr_handle *handle, rte_intr_callback_fn callback, void *argument,
                                                rte_intr_unregister_callback_fn on_end);

void pb_memif_hold_handlers(void)
{
    pthread_mutex_lock(&running);
}

bool pb_memif_try_hold_handlers(void)
{
    return pthread_mutex_trylock(&running) == 0;
}

void pb_memif_let_handlers_go(void)
{
    pthread_mutex_unlock(&running);
}

static void run(void *argument)
{
    struct handler *handler = argument;
    pthread_mutex_lock(&running);
    if (!handler->over)
        handler->callback(handler->argument);
    pthread_mutex_unlock(&running);
}

static struct handler *find(const struct rte_intr_handle *handle, rte_intr_callback_fn callback, const void *argument)
{
    pthread_mutex_lock(&list_lock);
    struct handler *handler = handlers;
    while (handler != NULL && (handler->over || handler->handle != handle || handler->callback != callback ||
                               handler->argument != argument))
        handler = handler->next;
    pthread_mutex_unlock(&list_lock);
    return handler;
}

static void end(struct handler *handler)
{
    pthread_mutex_lock(&list_lock);
    struct handler **at = &handlers;
    while (*at != handler)
        at = &(*at)->next;
    *at = handler->next;
    pthread_mutex_unlock(&list_lock);
    free(handler);
}

/* DPDK's thread has left the handler. */
static void end_later(struct rte_intr_handle *handle, void *argument)
{
    struct handler *handler = argument;
    handler->on_end(handle, handler->argument);
    end(handler);
}

int pb_memif_handler_register(const struct rte_intr_handle *handle, rte_intr_callback_fn callback, void *argument)
{
    struct handler *handler = calloc(1, sizeof(*handler));
    if (handler == NULL)
        return -ENOMEM;
    *handler = (struct handler){.handle = handle, .callback = callback, .argument = argument};
    pthread_mutex_lock(&list_lock);
    handler->next = handlers;
    handlers = handler;
    pthread_mutex_unlock(&list_lock);
    int result = __real_rte_intr_callback_register(handle, run, handler);
    if (result < 0)
        end(handler);
    return result;
}

int __wrap_rte_intr_callback_unregister(const struct rte_intr_handle *handle, rte_intr_callback_fn callback, void *argument)
{
    struct handler *handler = find(handle, callback, argument);
    if (handler == NULL)
        return -ENOENT;
    int result = __real_rte_intr_callback_unregister(handle, run, handler);
    if (result >= 0)
        end(handler);
    return result;
}

int __wrap_rte_intr_callback_unregister_pending(const struct rte_intr_handle *handle, rte_intr_callback_fn callback, void *argument,
                                                rte_intr_unregister_callback_fn on_end)
{
    struct handler *handler = find(handle, callback, argument);
    if (handler == NULL)
        return -ENOENT;
    handler->on_end = on_end;
    handler->over = true; /* before DPDK's thread may free it */
    int result = __real_rte_intr_callback_unregister_pending(handle, run, handler, end_later);
    if (result < 0)
        handler->over = false;
    return result;
}

void pb_memif_handler_end(const struct rte_intr_handle *handle, rte_intr_callback_fn callback, void *argument,
                          rte_intr_unregister_callback_fn on_end)
{
    int result = -EAGAIN;
    while (result == -EAGAIN) {
        result = __wrap_rte_intr_callback_unregister(handle, callback, argument);
        if (result >= 0)
            on_end((struct rte_intr_handle *)(uintptr_t)handle, argument);
        else if (result == -EAGAIN) /* it waits for us, or has just run */
            result = __wrap_rte_intr_callback_unregister_pending(handle, callback, argument, on_end);
    }
}
