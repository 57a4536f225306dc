/* memfd.c - see memfd.h. */
#include "memfd.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

int pb_memfd_create(const char *name, uint64_t bytes)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    int result = ftruncate(fd, (off_t)bytes);
    while (result == 0 && (result = fallocate(fd, 0, 0, (off_t)bytes)) < 0 && errno == EINTR)
        result = 0;
    if (result < 0) {
        int code = errno;
        close(fd);
        return -code;
    }
    return fd;
}

int pb_memfd_seal(int fd, bool read_only)
{
    return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | (read_only ? F_SEAL_FUTURE_WRITE : 0));
}
