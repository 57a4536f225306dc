/*
 * client.c - pipes for JavaScript: the reader and writer library by handle
 * (packet_bricks.h, "Pipes for JavaScript"). One thread for each client.
 */
#include <errno.h>
#include <stddef.h>

#include "../core/error.h"

int pb_client_open(const char *name, uint32_t direction, struct pb_error *error)
{
    (void)direction;
    return pb_fail(error, ENOSYS, "pipe \"%s\": not there yet", name);
}

int pb_client_close(int client)
{
    (void)client;
    return -EBADF;
}

void *pb_client_memory(int client)
{
    (void)client;
    return NULL;
}

int64_t pb_client_memory_bytes(int client)
{
    (void)client;
    return -EBADF;
}

int pb_client_read(int client, uint8_t *index, uint32_t records_max)
{
    (void)client, (void)index, (void)records_max;
    return -EBADF;
}

int pb_client_release(int client)
{
    (void)client;
    return -EBADF;
}

int pb_client_send(int client, int reader, const uint8_t *index, uint32_t count, const uint8_t *bytes, uint32_t bytes_len)
{
    (void)client, (void)reader, (void)index, (void)count, (void)bytes, (void)bytes_len;
    return -EBADF;
}

int pb_client_fd(int client)
{
    (void)client;
    return -EBADF;
}

int pb_client_arm(int client)
{
    (void)client;
    return -EBADF;
}

int pb_client_link_type(int client)
{
    (void)client;
    return -EBADF;
}

int pb_client_counts(int client, uint8_t *counts)
{
    (void)client, (void)counts;
    return -EBADF;
}
