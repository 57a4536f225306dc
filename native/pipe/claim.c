/*
 * claim.c - takes a pipe's name: its lock file and listening socket.
 *
 * Called by the driver's open() and close(), on the control thread; the claim
 * belongs to the pipe. The lock (flock) is what counts, and the kernel drops it
 * when the process dies; a socket without a locked lock file is a dead
 * process's, and is replaced.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../core/error.h"
#include "../core/lock.h"
#include "directory.h"
#include "pipe.h"

#define LISTEN_BACKLOG 64

/* "….sock" and "….lock" are equally long. */
static void lock_path(const struct pb_claim *claim, char path[sizeof(claim->address.sun_path)])
{
    memcpy(path, claim->address.sun_path, sizeof(claim->address.sun_path));
    memcpy(path + strlen(path) - strlen("lock"), "lock", strlen("lock"));
}

/* Take the lock file. Returns its descriptor, or -errno with text. */
static int lock_take(const char *path, const struct pb_port *port, struct pb_error *error)
{
    long owner;
    struct pb_error reason;
    int fd = pb_lock_take(path, 0600, &owner, &reason);
    if (fd >= 0)
        return fd;
    if (fd != -EWOULDBLOCK)
        return pb_port_fail(port, error, -fd, "%s", reason.text);
    if (owner == (long)getpid())
        return pb_port_fail(port, error, EADDRINUSE, "already served by this process; choose another name");
    if (owner == 0) /* it has just taken it */
        return pb_port_fail(port, error, EADDRINUSE, "already served by another process; choose another name");
    return pb_port_fail(port, error, EADDRINUSE, "already served by process %ld; stop it or choose another name", owner);
}

/* Listen at the claim's address. Returns the socket, or -errno. */
static int listen_at(const struct sockaddr_un *address, const struct pb_claim_access *access)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    unlink(address->sun_path);
    /* On Linux a socket's file gets the mode that the socket has when it is bound:
     * there is no moment in which others could connect: until it listens nobody can,
     * and then it has its owner. */
    if (fchmod(fd, access->mode) == 0 && bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 &&
        ((access->owner < 0 && access->group < 0) ||
         chown(address->sun_path, (uid_t)access->owner, (gid_t)access->group) == 0) &&
        chmod(address->sun_path, access->mode) == 0 && /* whatever the umask takes from it */
        listen(fd, LISTEN_BACKLOG) == 0)
        return fd;
    int code = errno;
    close(fd);
    return -code;
}

int pb_claim_open(struct pb_claim *claim, const struct pb_port *port, const char *name, const struct pb_claim_access *access,
                  struct pb_error *error)
{
    struct pb_error reason;
    if (pb_pipe_address(name, true, &claim->address, &reason) < 0)
        return pb_port_fail(port, error, reason.code, "%s", reason.text);
    char path[sizeof(claim->address.sun_path)];
    lock_path(claim, path);
    claim->lock_fd = lock_take(path, port, error);
    if (claim->lock_fd < 0)
        return claim->lock_fd;
    claim->listen_fd = listen_at(&claim->address, access);
    if (claim->listen_fd >= 0)
        return 0;
    int code = -claim->listen_fd;
    unlink(claim->address.sun_path);
    unlink(path);
    close(claim->lock_fd);
    if (code == EPERM && (access->owner >= 0 || access->group >= 0))
        return pb_port_fail(port, error, code, "its socket cannot be given to that owner or group: %s; run as root (CAP_CHOWN), "
                            "or name a group that this user is a member of", pb_errno_words(code));
    return pb_port_fail_errno(port, error, code, "set BRICKS_RUNTIME_DIR to a directory of your own", "cannot listen at %s",
                              claim->address.sun_path);
}

void pb_claim_close(struct pb_claim *claim)
{
    char path[sizeof(claim->address.sun_path)];
    lock_path(claim, path);
    unlink(claim->address.sun_path);
    close(claim->listen_fd);
    /* Removed while locked: see core/lock.c. */
    unlink(path);
    close(claim->lock_fd);
}
