/*
 * real.h - the functions of the libpcap that the program is linked to.
 *
 *     PB_REAL(pcap_close)(p);
 *
 * Resolved when first called, so that a program that never calls libpcap never
 * notices us. Any thread.
 */
#ifndef PB_LIBPCAP_REAL_H
#define PB_LIBPCAP_REAL_H

#include <stdatomic.h>

#include "abi.h"

/* The function `name` of libpcap, or NULL. */
void *pb_real_find(const char *name);
/* ... or the end of the process, as the dynamic linker ends one for a missing symbol. */
void *pb_real_get(const char *name);

#define PB_REAL(function)                                                                                              \
    ({                                                                                                                 \
        static _Atomic(void *) known;                                                                                  \
        void *found = atomic_load_explicit(&known, memory_order_relaxed);                                              \
        if (found == NULL) {                                                                                           \
            found = pb_real_get(#function);                                                                            \
            atomic_store_explicit(&known, found, memory_order_relaxed);                                                \
        }                                                                                                              \
        (__typeof__(&function))found;                                                                                  \
    })

#endif
