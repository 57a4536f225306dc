/* real.c - finds the functions of the real libpcap. See real.h. */
#include "real.h"

#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

#define STATUS_OF_DYNAMIC_LINKER 127 /* what ld.so ends a process with that misses a symbol */

void *pb_real_find(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found != NULL)
        return found;
    /* A module that was opened with RTLD_LOCAL has brought libpcap along: loaded, but
     * not in the scope that RTLD_NEXT searches. Debian's name of it, others', upstream's. */
    static const char *const libraries[] = {"libpcap.so.0.8", "libpcap.so.1", "libpcap.so"};
    for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]) && found == NULL; i++) {
        void *library = dlopen(libraries[i], RTLD_LAZY | RTLD_NOLOAD);
        if (library == NULL)
            continue;
        found = dlsym(library, name);
        dlclose(library); /* whoever loaded it keeps it */
    }
    return found;
}

void *pb_real_get(const char *name)
{
    void *found = pb_real_find(name);
    if (found == NULL) {
        fprintf(stderr, "bricks-run: this program's libpcap has no %s(); install libpcap 1.5 or later\n", name);
        _exit(STATUS_OF_DYNAMIC_LINKER);
    }
    return found;
}
