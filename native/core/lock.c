/* lock.c - lock files. See lock.h. */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"

#define LOCK_ATTEMPTS 100

static long owner_of(int fd)
{
    char text[16] = "";
    ssize_t length = pread(fd, text, sizeof(text) - 1, 0);
    long pid = length > 0 ? strtol(text, NULL, 10) : 0;
    return pid > 0 ? pid : 0;
}

int pb_lock_take(const char *path, uint32_t mode, long *owner, struct pb_error *error)
{
    for (int attempt = 0; attempt < LOCK_ATTEMPTS; attempt++) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);
        if (fd < 0)
            break;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
            *owner = owner_of(fd);
            close(fd);
            return -EWOULDBLOCK;
        }
        /* The one we have locked may just have been removed by the process that held
         * it: then it locks nothing. */
        struct stat ours, present;
        if (fstat(fd, &ours) == 0 && stat(path, &present) == 0 && ours.st_ino == present.st_ino &&
            ours.st_dev == present.st_dev) {
            if (ftruncate(fd, 0) == 0 && dprintf(fd, "%ld\n", (long)getpid()) > 0)
                return fd;
            int code = errno;
            unlink(path);
            close(fd);
            errno = code;
            break;
        }
        close(fd);
        errno = EAGAIN;
    }
    return pb_fail(error, errno, "cannot lock %s: %s; %s", path, pb_errno_words(errno),
                   pb_errno_remedy(errno, "BRICKS_RUNTIME_DIR chooses another directory"));
}
