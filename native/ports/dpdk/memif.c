/*
 * memif.c - names of memif sockets, and the files that they are. Control thread.
 *
 * Source: DPDK's "Memif Poll Mode Driver".
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "device.h"

#define SECRET_BYTES_MAX 24

/* FNV-1a, 64 bits: devices of different sockets have different names. */
static uint64_t name_hash(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (; *name != '\0'; name++)
        hash = (hash ^ (uint8_t)*name) * 0x100000001b3;
    return hash;
}

/* A server makes its socket, so it writes the folder; a client finds it there. */
static int check_folder(const struct pb_port *port, const char *role, struct pb_error *error)
{
    char folder[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    int length = (int)(strrchr(port->name, '/') - port->name);
    snprintf(folder, sizeof(folder), "%.*s", length == 0 ? 1 : length, port->name);
    if (faccessat(AT_FDCWD, folder, strcmp(role, "server") == 0 ? W_OK | X_OK : X_OK, AT_EACCESS) == 0)
        return 0;
    return pb_port_fail_errno(port, error, errno,
                              errno == ENOENT ? "make it" : strcmp(role, "server") == 0 ? "use one that this user can write"
                                                                                        : "use one that this user can enter",
                              "the folder %s of the socket, as its %s", folder, role);
}

int pb_memif_wish(const struct pb_port *port, struct pb_device_wish *wish, struct pb_error *error)
{
    char role[16], secret[64];
    struct sockaddr_un address;
    uint32_t role_length = pb_port_option_string(port, "role", role, sizeof(role));
    if (role_length == 0 || (strcmp(role, "server") != 0 && strcmp(role, "client") != 0))
        return pb_port_fail(port, error, EINVAL, "option \"role\" is \"%s\"; it must be server or client", role);
    if (port->name[0] != '/' || strchr(port->name, ',') != NULL || strlen(port->name) >= sizeof(address.sun_path))
        return pb_port_fail(port, error, EINVAL, "the name of a socket is a path that begins with /, without commas, of at "
                            "most %zu bytes; say memif:/run/name.sock", sizeof(address.sun_path) - 1);
    if (pb_port_option_string(port, "secret", secret, sizeof(secret)) > SECRET_BYTES_MAX || strpbrk(secret, ",[]") != NULL)
        return pb_port_fail(port, error, EINVAL, "option \"secret\" is too long or holds one of ,[]; it must be at most %d bytes "
                            "without these", SECRET_BYTES_MAX);
    if (check_folder(port, role, error) < 0)
        return -error->code;
    long long id = pb_port_option_integer(port, "id");
    /* Two ports of one socket and id are one device. */
    int length = snprintf(wish->arguments, sizeof(wish->arguments),
                          "net_memif_%016llx_%lld,role=%s,id=%lld,socket=%s,socket-abstract=no,rsize=%lld,bsize=%lld,zero-copy=%s%s%s",
                          (unsigned long long)name_hash(port->name), id, role, id, port->name,
                          (long long)pb_port_option_integer(port, "rsize"), (long long)pb_port_option_integer(port, "bsize"),
                          pb_port_option_boolean(port, "zero_copy") ? "yes" : "no", secret[0] != '\0' ? ",secret=" : "", secret);
    if (length >= (int)sizeof(wish->arguments))
        return pb_port_fail(port, error, ENAMETOOLONG, "the name is too long; use a shorter one");
    wish->promiscuous = false;
    return 0;
}

/* The value of `key` in "NAME,key=value,...", cut to `value_bytes`; false: it is not there. */
static bool argument(const char *arguments, const char *key, char *value, size_t value_bytes)
{
    size_t length = strlen(key);
    for (const char *at = strchr(arguments, ','); at != NULL; at = strchr(at, ',')) {
        at++;
        if (strncmp(at, key, length) != 0 || at[length] != '=')
            continue;
        snprintf(value, value_bytes, "%.*s", (int)strcspn(at + length + 1, ","), at + length + 1);
        return true;
    }
    return false;
}

bool pb_memif_is_client(const char *arguments)
{
    char role[16] = "client"; /* DPDK's default */
    if (strncmp(arguments, "net_memif", 9) != 0)
        return false;
    (void)argument(arguments, "role", role, sizeof(role));
    return strcmp(role, "client") == 0 || strcmp(role, "slave") == 0;
}

/* The socket that a server of these arguments makes; false: they are of no server with a path. */
static bool server_socket(const char *arguments, struct sockaddr_un *address)
{
    char role[16] = "", abstract[8] = "";
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    return strncmp(arguments, "net_memif", 9) == 0 && argument(arguments, "role", role, sizeof(role)) &&
           (strcmp(role, "server") == 0 || strcmp(role, "master") == 0) &&
           argument(arguments, "socket-abstract", abstract, sizeof(abstract)) && strcmp(abstract, "no") == 0 &&
           argument(arguments, "socket", address->sun_path, sizeof(address->sun_path));
}

/* Ask for whoever listens at the server's socket: EPROTOTYPE, somebody; ECONNREFUSED, nobody, its process was killed.
 * A socket of memif's own type would be a peer that comes and goes at once, which can end the server's process (DPDK
 * 22.11); of one of another type it hears nothing. */
static int ask(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int code = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? errno : 0;
    close(fd);
    return code;
}

bool pb_memif_is_served(const char *arguments)
{
    struct sockaddr_un address;
    return server_socket(arguments, &address) && ask(&address) == EPROTOTYPE;
}

void pb_memif_clear(const char *arguments)
{
    struct sockaddr_un address;
    if (server_socket(arguments, &address) && ask(&address) == ECONNREFUSED)
        unlink(address.sun_path);
}
