/*
 * notify_listener.c - the service manager's end of sd_notify(3), for tests: Node has no datagram sockets of the Unix
 * kind. Binds the address that its argument names (@ for the abstract namespace) and prints each message on a line,
 * its own lines joined by spaces.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (argc != 2 || strlen(argv[1]) >= sizeof(address.sun_path))
        return 2;
    memcpy(address.sun_path, argv[1], strlen(argv[1]));
    if (address.sun_path[0] == '@')
        address.sun_path[0] = '\0';
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(argv[1]));
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, length) < 0) {
        perror(argv[1]);
        return 1;
    }
    puts("listening");
    for (;;) {
        fflush(stdout);
        char message[4096];
        ssize_t bytes = recv(fd, message, sizeof(message) - 1, 0);
        if (bytes < 0)
            return 1;
        message[bytes] = '\0';
        for (char *end = message; (end = strchr(end, '\n')) != NULL;)
            *end = ' ';
        puts(message);
    }
}
