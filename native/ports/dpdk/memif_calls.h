/*
 * memif_calls.h - engine threads and DPDK's memif driver.
 *
 * When a peer goes away, a thread of DPDK unmaps the memory that the driver's receive and
 * send functions may be using at that moment in an engine thread, which would end the
 * process. So the driver is linked into this module, with its calls of munmap() led
 * through here (the linker's --wrap): they wait until no engine thread is inside.
 * DPDK has marked the device as down before, so that none goes in again. And what it opens and
 * connects to neither blocks an engine nor goes to programs that this process starts. Where DPDK has no
 * static library of the driver, its plug-in is used as it is.
 */
#ifndef PB_DPDK_MEMIF_CALLS_H
#define PB_DPDK_MEMIF_CALLS_H

#include <stdbool.h>

#include <rte_interrupts.h>
#include <rte_rwlock.h>

/* Read by whoever is inside a memif device's receive or send function, of any such device: munmap() does not
 * say of which it is. */
extern rte_rwlock_t pb_memif_calls_lock;

static inline void pb_memif_enter(void)
{
    rte_rwlock_read_lock(&pb_memif_calls_lock);
}

static inline void pb_memif_leave(void)
{
    rte_rwlock_read_unlock(&pb_memif_calls_lock);
}

/* Nobody is inside, and nobody comes in until pb_memif_resume(); false: somebody is. */
bool pb_memif_pause(void);
void pb_memif_resume(void);

/* A thread of DPDK handles what comes from peers. It does not while this thread holds it, which it does whenever it
 * starts, stops, makes or removes a device; an engine, which must not wait, only tries to. memif_handlers.c. */
void pb_memif_hold_handlers(void);
bool pb_memif_try_hold_handlers(void);
void pb_memif_let_handlers_go(void);
/* Of a handler: call it so, 0 or -errno; call it no more, and `on_end`, now or when it has been left. */
int pb_memif_handler_register(const struct rte_intr_handle *handle, rte_intr_callback_fn callback, void *argument);
void pb_memif_handler_end(const struct rte_intr_handle *handle, rte_intr_callback_fn callback, void *argument,
                          rte_intr_unregister_callback_fn on_end);

/* Has a server accepted when this thread, as a client, tried last? 0, or an errno. */
int pb_memif_connect_error(void);

#endif
