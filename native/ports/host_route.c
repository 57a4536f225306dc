/*
 * host_route.c - see host_route.h. Asks the kernel for its routes and interfaces (rtnetlink) and for
 * its TCP connections (/proc/net/tcp); frees all it allocates before it returns.
 *
 * Sources: rtnetlink(7), proc(5), ssh(1) for SSH_CONNECTION.
 */
#include "host_route.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../core/error.h"
#include "netlink.h"

#define SSH_PORT 22
#define INODES_MAX 1024
#define INTERFACES_MAX 4096
#define TCP_ESTABLISHED 1
#define DEPTH_MAX 8 /* of interfaces on top of each other */

/* An interface of this namespace, and what depends on it. */
struct row {
    int index, master, lower; /* 0: none */
    bool has_default_route;
    bool has_address; /* of IP */
    bool has_ssh;
};

struct host {
    struct row rows[INTERFACES_MAX];
    uint32_t count;
    unsigned long inodes[INODES_MAX]; /* of the sockets of SSH servers */
    uint32_t inodes_count;
    unsigned ssh_port; /* of the connection that this program was started from; 0: none */
};

static struct row *row_of(struct host *host, int index)
{
    for (uint32_t i = 0; i < host->count; i++)
        if (host->rows[i].index == index)
            return &host->rows[i];
    return NULL;
}

/* ---------------------------------------------------------------------- rtnetlink */

static bool add_link(struct host *host, const struct nlmsghdr *header)
{
    const struct ifinfomsg *message = NLMSG_DATA(header);
    struct row row = {.index = message->ifi_index};
    int left = (int)IFLA_PAYLOAD(header);
    bool foreign = false;
    for (const struct rtattr *at = IFLA_RTA(message); RTA_OK(at, left); at = RTA_NEXT(at, left)) {
        if (at->rta_type == IFLA_MASTER)
            row.master = (int)pb_netlink_number(at);
        if (at->rta_type == IFLA_LINK)
            row.lower = (int)pb_netlink_number(at);
        foreign |= at->rta_type == IFLA_LINK_NETNSID;
    }
    if (foreign)
        row.lower = 0;
    if (host->count == INTERFACES_MAX)
        return false;
    host->rows[host->count++] = row;
    return true;
}

static void mark_route(struct host *host, int index)
{
    struct row *row = row_of(host, index);
    if (row != NULL)
        row->has_default_route = true;
}

static void mark_hops(struct host *host, const struct rtattr *hops)
{
    int left = (int)RTA_PAYLOAD(hops);
    for (const struct rtnexthop *hop = RTA_DATA(hops); RTNH_OK(hop, left); hop = RTNH_NEXT(hop)) {
        mark_route(host, hop->rtnh_ifindex);
        left -= RTNH_ALIGN(hop->rtnh_len);
    }
}

static void add_route(struct host *host, const struct nlmsghdr *header)
{
    const struct rtmsg *message = NLMSG_DATA(header);
    if (message->rtm_dst_len != 0 || message->rtm_type != RTN_UNICAST)
        return;
    int left = (int)RTM_PAYLOAD(header);
    for (const struct rtattr *at = RTM_RTA(message); RTA_OK(at, left); at = RTA_NEXT(at, left)) {
        if (at->rta_type == RTA_OIF)
            mark_route(host, (int)pb_netlink_number(at));
        if (at->rta_type == RTA_MULTIPATH)
            mark_hops(host, at);
    }
}

static int see(const struct nlmsghdr *header, void *arg)
{
    if (header->nlmsg_type == RTM_NEWLINK && !add_link(arg, header))
        return -E2BIG;
    if (header->nlmsg_type == RTM_NEWROUTE)
        add_route(arg, header);
    return 0;
}

/* Ask for all links, or all routes. 0 or -errno. */
static int dump(struct host *host, uint16_t type)
{
    /* Routes have a shorter message, links this one; the family is the first byte of both. */
    const struct ifinfomsg all = {.ifi_family = AF_UNSPEC};
    struct pb_netlink_request request;
    pb_netlink_begin(&request, type, NLM_F_DUMP, &all, type == RTM_GETROUTE ? sizeof(struct rtmsg) : sizeof(all));
    return pb_netlink_exchange(NETLINK_ROUTE, &request, see, host);
}

/* ------------------------------------------------------------------- SSH servers */

static void add_sockets_of(struct host *host, const char *pid)
{
    char path[288], target[64];
    snprintf(path, sizeof(path), "/proc/%s/fd", pid);
    DIR *folder = opendir(path);
    const struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL && host->inodes_count < INODES_MAX) {
        ssize_t n = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1);
        target[n < 0 ? 0 : n] = '\0';
        host->inodes_count += (uint32_t)(sscanf(target, "socket:[%lu]", &host->inodes[host->inodes_count]) == 1);
    }
    if (folder != NULL)
        closedir(folder);
}

static bool is_ssh_server(const char *pid)
{
    char path[288], name[PB_PROGRAM_NAME_MAX + 2] = "";
    snprintf(path, sizeof(path), "/proc/%s/comm", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool read = fgets(name, sizeof(name), file) != NULL;
    fclose(file);
    return read && (strncmp(name, "sshd", 4) == 0 || strncmp(name, "dropbear", 8) == 0);
}

static void find_ssh_servers(struct host *host)
{
    DIR *folder = opendir("/proc");
    const struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL)
        if (isdigit((unsigned char)entry->d_name[0]) && is_ssh_server(entry->d_name))
            add_sockets_of(host, entry->d_name);
    if (folder != NULL)
        closedir(folder);
    const char *connection = getenv("SSH_CONNECTION"); /* client's address and port, server's address and port */
    if (connection != NULL)
        (void)sscanf(connection, "%*s %*u %*s %u", &host->ssh_port);
}

static bool is_ssh(const struct host *host, unsigned local_port, unsigned long inode)
{
    for (uint32_t i = 0; i < host->inodes_count; i++)
        if (host->inodes[i] == inode)
            return true;
    return local_port == SSH_PORT || (host->ssh_port != 0 && local_port == host->ssh_port);
}

/* An address as /proc/net/tcp writes it: words of 32 bits in network order, read as numbers of this machine. IPv4
 * becomes IPv6's ::ffff:a.b.c.d, as it is in tcp6. */
static struct in6_addr parse_address(const char *text)
{
    uint32_t words[4] = {0, 0, htonl(0xffff), 0};
    size_t count = strlen(text) / 8, first = count == 4 ? 0 : 3;
    for (size_t i = 0; i < count && first + i < 4; i++)
        (void)sscanf(text + 8 * i, "%8x", &words[first + i]);
    struct in6_addr address;
    memcpy(&address, words, sizeof(address));
    return address;
}

static bool same_address(const struct ifaddrs *own, const struct in6_addr *address)
{
    if (own->ifa_addr == NULL)
        return false;
    if (own->ifa_addr->sa_family == AF_INET6)
        return memcmp(&((const struct sockaddr_in6 *)(const void *)own->ifa_addr)->sin6_addr, address, sizeof(*address)) == 0;
    return own->ifa_addr->sa_family == AF_INET && IN6_IS_ADDR_V4MAPPED(address) &&
           memcmp(&((const struct sockaddr_in *)(const void *)own->ifa_addr)->sin_addr, &address->s6_addr[12], 4) == 0;
}

static void mark_addresses(struct host *host, const struct ifaddrs *addresses)
{
    for (const struct ifaddrs *own = addresses; own != NULL; own = own->ifa_next) {
        bool is_ip = own->ifa_addr != NULL && (own->ifa_addr->sa_family == AF_INET || own->ifa_addr->sa_family == AF_INET6);
        struct row *row = is_ip ? row_of(host, (int)if_nametoindex(own->ifa_name)) : NULL;
        if (row != NULL)
            row->has_address = true;
    }
}

static void mark_ssh(struct host *host, const struct ifaddrs *addresses, const struct in6_addr *local)
{
    for (const struct ifaddrs *own = addresses; own != NULL; own = own->ifa_next) {
        struct row *row = same_address(own, local) ? row_of(host, (int)if_nametoindex(own->ifa_name)) : NULL;
        if (row != NULL)
            row->has_ssh = true;
    }
}

static void find_connections(struct host *host, const struct ifaddrs *addresses, const char *path)
{
    char line[512], local[33];
    unsigned port, state;
    unsigned long inode;
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, " %*d: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %lu", local, &port, &state,
                   &inode) != 4 || state != TCP_ESTABLISHED || !is_ssh(host, port, inode))
            continue;
        struct in6_addr address = parse_address(local);
        mark_ssh(host, addresses, &address);
    }
    if (file != NULL)
        fclose(file);
}

/* ----------------------------------------------------------------------- verdict */

static bool row_is_needed(const struct row *row)
{
    return row->has_default_route || row->has_ssh;
}

/* Before connections were looked at: they have an interface's address. */
static bool row_may_be_needed(const struct row *row)
{
    return row->has_default_route || row->has_address;
}

/* An interface that `is`: this one, or one that stands on it. */
static const struct row *find_row(struct host *host, int index, int depth, bool (*is)(const struct row *))
{
    const struct row *row = row_of(host, index), *found = NULL;
    if (row == NULL || is(row) || depth == 0)
        return row != NULL && is(row) ? row : NULL;
    if (row->master != 0)
        found = find_row(host, row->master, depth - 1, is);
    for (uint32_t i = 0; i < host->count && found == NULL; i++)
        if (host->rows[i].lower == index && host->rows[i].index != index)
            found = find_row(host, host->rows[i].index, depth - 1, is);
    return found;
}

static void explain(int index, const struct row *needed, char *why, uint32_t why_bytes)
{
    char above[IFNAMSIZ + 32] = "", name[IFNAMSIZ] = "";
    if (needed->index != index)
        snprintf(above, sizeof(above), "stands below %s, which ", if_indextoname((unsigned)needed->index, name));
    snprintf(why, why_bytes, "%scarries %s", above,
             needed->has_default_route ? "this host's default route" : "an SSH connection to this host");
}

/* Whether the host needs the interface, or might; then `why` says so: "carries this host's default route". */
static bool is_needed(const char *interface, char *why, uint32_t why_bytes)
{
    int index = (int)if_nametoindex(interface);
    struct host *host = calloc(1, sizeof(*host));
    struct ifaddrs *addresses = NULL;
    int result = host == NULL ? -ENOMEM : dump(host, RTM_GETLINK);
    if (result == 0)
        result = dump(host, RTM_GETROUTE);
    if (result == 0 && getifaddrs(&addresses) < 0)
        result = -errno;
    if (result < 0) {
        snprintf(why, why_bytes, "may carry this host's default route (the kernel does not tell its routes: %s)",
                 pb_errno_words(-result));
        free(host);
        return true;
    }
    mark_addresses(host, addresses);
    const struct row *needed = NULL;
    /* The kernel needs milliseconds to show its connections; an interface that only listens has no address. */
    if (find_row(host, index, DEPTH_MAX, row_may_be_needed) != NULL) {
        find_ssh_servers(host);
        find_connections(host, addresses, "/proc/thread-self/net/tcp");
        find_connections(host, addresses, "/proc/thread-self/net/tcp6");
        needed = find_row(host, index, DEPTH_MAX, row_is_needed);
    }
    if (needed != NULL)
        explain(index, needed, why, why_bytes);
    freeifaddrs(addresses);
    free(host);
    return needed != NULL;
}

int pb_host_guard(const struct pb_port *port, struct pb_error *error)
{
    char why[192];
    if (pb_port_option_boolean(port, "force") || !is_needed(port->name, why, sizeof(why)))
        return 0;
    return pb_port_fail(port, error, EPERM, "%s takes traffic from the host, and %s %s; use packet:%s, which gets a copy, or say "
                        "?force=1", port->driver->name, port->name, why, port->name);
}
