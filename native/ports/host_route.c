/* host_route.c - see host_route.h. Sources: proc_net(5), proc_pid_net(5), ssh(1) for SSH_CONNECTION. */
#include "host_route.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SSH_PORT 22
#define TCP_IS_ESTABLISHED 1
#define LINE_BYTES 512

/* The next line of a table of /proc, behind its heading. */
static bool next_line(FILE *table, char line[LINE_BYTES])
{
    return table != NULL && fgets(line, LINE_BYTES, table) != NULL;
}

static void close_table(FILE *table)
{
    if (table != NULL)
        fclose(table);
}

static bool has_default_route4(const char *interface)
{
    char line[LINE_BYTES], name[IFNAMSIZ];
    unsigned destination, gateway, flags, mask;
    bool found = false;
    FILE *table = fopen("/proc/thread-self/net/route", "re");
    while (!found && next_line(table, line))
        found = sscanf(line, "%15s %x %x %x %*s %*s %*s %x", name, &destination, &gateway, &flags, &mask) == 5 &&
                destination == 0 && mask == 0 && (flags & RTF_UP) != 0 && strcmp(name, interface) == 0;
    close_table(table);
    return found;
}

static bool has_default_route6(const char *interface)
{
    char line[LINE_BYTES], destination[33], name[IFNAMSIZ];
    unsigned prefix, flags;
    bool found = false;
    FILE *table = fopen("/proc/thread-self/net/ipv6_route", "re");
    while (!found && next_line(table, line))
        found = sscanf(line, "%32s %x %*s %*s %*s %*s %*s %*s %x %15s", destination, &prefix, &flags, name) == 4 &&
                prefix == 0 && strspn(destination, "0") == 32 && (flags & RTF_REJECT) == 0 && (flags & RTF_UP) != 0 &&
                strcmp(name, interface) == 0;
    close_table(table);
    return found;
}

/* IPv4 as the IPv4-mapped address that it has on a socket of both. */
static bool address_of(const struct sockaddr *from, struct in6_addr *address)
{
    if (from == NULL || (from->sa_family != AF_INET && from->sa_family != AF_INET6))
        return false;
    if (from->sa_family == AF_INET6) {
        *address = ((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
        return true;
    }
    *address = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
    memcpy(address->s6_addr + 12, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
    return true;
}

/* One of the words that an address stands in, as /proc writes them: in the machine's byte order. */
static void put_word(struct in6_addr *address, uint32_t word, const char *digits)
{
    char text[9] = {0};
    memcpy(text, digits + (size_t)word * 8, 8);
    uint32_t value = (uint32_t)strtoul(text, NULL, 16);
    memcpy(address->s6_addr + (size_t)word * 4, &value, 4);
}

/* The local address and port of an established connection. */
static bool parse_connection(const char *line, struct in6_addr *address, unsigned *port)
{
    char digits[33];
    unsigned state;
    if (sscanf(line, "%*s %32[0-9A-Fa-f]:%x %*s %x", digits, port, &state) != 3 || state != TCP_IS_ESTABLISHED)
        return false;
    size_t length = strlen(digits);
    *address = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
    if (length == 8) {
        char mapped[33] = "000000000000000000000000";
        memcpy(mapped + 24, digits, 9);
        put_word(address, 3, mapped);
    }
    for (uint32_t word = 0; length == 32 && word < 4; word++)
        put_word(address, word, digits);
    return length == 8 || length == 32;
}

static bool is_of_interface(const struct ifaddrs *addresses, const char *interface, const struct in6_addr *address)
{
    struct in6_addr own;
    for (const struct ifaddrs *a = addresses; a != NULL; a = a->ifa_next)
        if (strcmp(a->ifa_name, interface) == 0 && address_of(a->ifa_addr, &own) && memcmp(&own, address, sizeof(own)) == 0)
            return true;
    return false;
}

/* The port of the session that this process is part of; SSH_PORT where it is in none. */
static unsigned session_port(void)
{
    unsigned port;
    const char *connection = getenv("SSH_CONNECTION");
    return connection != NULL && sscanf(connection, "%*s %*s %*s %u", &port) == 1 ? port : SSH_PORT;
}

static bool carries_ssh(const char *interface)
{
    static const char *const tables[] = {"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"};
    char line[LINE_BYTES];
    struct ifaddrs *addresses = NULL;
    struct in6_addr address;
    unsigned port, session = session_port();
    bool found = false;
    if (getifaddrs(&addresses) < 0)
        return false;
    for (uint32_t i = 0; i < 2 && !found; i++) {
        FILE *table = fopen(tables[i], "re");
        while (!found && next_line(table, line))
            found = parse_connection(line, &address, &port) && (port == SSH_PORT || port == session) &&
                    is_of_interface(addresses, interface, &address);
        close_table(table);
    }
    freeifaddrs(addresses);
    return found;
}

bool pb_host_needs(const char *interface, char *why, uint32_t why_bytes)
{
    if (has_default_route4(interface) || has_default_route6(interface)) {
        snprintf(why, why_bytes, "has its default route there");
        return true;
    }
    if (carries_ssh(interface)) {
        snprintf(why, why_bytes, "has an SSH connection there");
        return true;
    }
    return false;
}
