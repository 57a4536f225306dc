/*
 * service.c - what a daemon and its programs need of the system and Node has no
 * call for: the lock file, telling the service manager how it is, ending with it.
 * Control thread only.
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../core/error.h"
#include "../core/lock.h"

#define LOCK_FILE_MODE 0644 /* whoever may look for the daemon may read its process id */

int pb_daemon_lock(const char *path, struct pb_error *error)
{
    long owner;
    int fd = pb_lock_take(path, LOCK_FILE_MODE, &owner, error);
    if (fd != -EWOULDBLOCK)
        return fd;
    if (owner == 0) /* it has just taken it */
        return pb_fail(error, EADDRINUSE, "a daemon runs here already: it holds %s", path);
    return pb_fail(error, EADDRINUSE, "a daemon runs here already: process %ld holds %s; end it with bricks-kill-server",
                   owner, path);
}

int pb_service_notify(const char *address, const char *state, struct pb_error *error)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t length = strlen(address);
    if (length == 0 || length >= sizeof(to.sun_path) || (address[0] != '/' && address[0] != '@'))
        return pb_fail(error, EINVAL, "NOTIFY_SOCKET=%.80s is no socket's address: it begins with / or @", address);
    memcpy(to.sun_path, address, length);
    if (to.sun_path[0] == '@') /* the abstract namespace */
        to.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return pb_fail(error, errno, "cannot make a socket for NOTIFY_SOCKET: %s", pb_errno_text(errno));
    socklen_t to_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to, to_bytes);
    int code = errno;
    close(fd);
    return sent >= 0 ? 0 : pb_fail(error, code, "cannot notify NOTIFY_SOCKET=%s: %s", address, pb_errno_text(code));
}

void pb_parent_follow(int parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        raise(SIGKILL); /* it was faster */
}
