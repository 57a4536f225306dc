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

/* Has a server accepted when this thread, as a client, tried last? 0, or an errno. */
int pb_memif_connect_error(void);

#endif
