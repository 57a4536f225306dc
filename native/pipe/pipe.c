/*
 * pipe.c - what the drivers of both directions share: opening and closing, gauges,
 * wake-ups, what is told about a pipe. See pipe.h for who calls what.
 */
#include "pipe.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "directory.h"

#define NAME_BYTES 64 /* of a user or group */
#define MODE_MAX 0777

/* ----------------------------------------------------- opening and closing */

static uint64_t ring_bytes_of(const struct pb_port *port)
{
    int64_t slots = pb_port_option_integer(port, "slots");
    if (slots <= 0)
        slots = port->buffer_slots;
    if (slots > PB_BUFFER_SLOTS_MAX)
        slots = PB_BUFFER_SLOTS_MAX;
    uint64_t bytes = PB_RING_BYTES_MIN;
    while (bytes < (uint64_t)slots * PB_BUFFER_SLOT_BYTES)
        bytes *= 2;
    return bytes;
}

/* A whole decimal number, or -1. */
static int64_t number_of(const char *text)
{
    char *end;
    long long number = strtoll(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && number < UINT32_MAX ? number : -1;
}

static int64_t find_user(const char *name)
{
    const struct passwd *user = getpwnam(name);
    return user != NULL ? (int64_t)user->pw_uid : number_of(name);
}

static int64_t find_group(const char *name)
{
    const struct group *group = getgrnam(name);
    return group != NULL ? (int64_t)group->gr_gid : number_of(name);
}

/* Who may attach, from the port's options. Control thread: looks into the user database. */
static int access_of(const struct pb_port *port, struct pb_claim_access *access, struct pb_error *error)
{
    char mode[16], owner[NAME_BYTES], group[NAME_BYTES], *end;
    *access = (struct pb_claim_access){.owner = -1, .group = -1};
    pb_port_option_string(port, "mode", mode, sizeof(mode));
    unsigned long bits = strtoul(mode, &end, 8);
    if (mode[0] < '0' || mode[0] > '7' || *end != '\0' || bits > MODE_MAX)
        return pb_port_fail(port, error, EINVAL, "option \"mode\" is \"%s\"; it must be octal permissions, like 0660",
                            mode);
    access->mode = (uint32_t)bits;
    if (pb_port_option_string(port, "owner", owner, sizeof(owner)) > 0 && (access->owner = find_user(owner)) < 0)
        return pb_port_fail(port, error, EINVAL, "there is no user \"%s\"; see getent passwd", owner);
    if (pb_port_option_string(port, "group", group, sizeof(group)) > 0 && (access->group = find_group(group)) < 0)
        return pb_port_fail(port, error, EINVAL, "there is no group \"%s\"; see getent group", group);
    return 0;
}

int pb_pipe_open_common(struct pb_pipe *pipe, struct pb_port *port, struct pb_error *error)
{
    struct pb_claim_access access;
    pipe->port = port;
    pipe->ring_bytes = ring_bytes_of(port);
    struct pb_error reason;
    if (pb_pipe_name_from_port(port->name, pipe->name, &reason) < 0)
        return pb_port_fail(port, error, reason.code, "%s", reason.text);
    int result = access_of(port, &access, error);
    if (result < 0 || (result = pb_claim_open(&pipe->claim, port, pipe->name, &access, error)) < 0)
        return result;
    pthread_mutex_init(&pipe->mutex, NULL);
    pb_counter_set(&port->counters[PB_PORT_COUNTERS + PIPE_RING_BYTES], pipe->ring_bytes);
    return 0;
}

void pb_pipe_close_common(struct pb_pipe *pipe)
{
    pb_claim_close(&pipe->claim);
    pthread_mutex_destroy(&pipe->mutex);
}

/* ----------------------------------------------------------------- gauges */

void pb_pipe_note_used(struct pb_pipe *pipe, uint64_t used_bytes)
{
    pb_counter *most = &pipe->port->counters[PB_PORT_COUNTERS + PIPE_USED_BYTES_MAX];
    if (used_bytes > pb_counter_get(most))
        pb_counter_set(most, used_bytes);
}

void pb_pipe_count_attaches(struct pb_pipe *pipe)
{
    pb_port_count(pipe->port, PIPE_ATTACHES, pipe->came);
    pipe->came = 0;
}

void pb_pipe_set_gauges(struct pb_pipe *pipe, uint64_t used_bytes)
{
    pb_counter *counters = pipe->port->counters + PB_PORT_COUNTERS;
    pb_counter_set(&counters[PIPE_USED_BYTES], used_bytes);
    pb_pipe_note_used(pipe, used_bytes);
    pb_counter_set(&counters[PIPE_PID], pipe->peer != NULL && pipe->peer->pid > 0 ? (uint64_t)pipe->peer->pid : 0);
}

void pb_pipe_fill_status(const struct pb_pipe *pipe, struct pb_pipe_status *status)
{
    const struct pb_port *port = pipe->port;
    const pb_counter *own = port->counters + PB_PORT_COUNTERS;
    bool outwards = pipe->direction == PB_PIPE_TO_APPLICATION;
    status->direction = pipe->direction;
    status->packets = pb_counter_get(&port->counters[outwards ? PB_PORT_TX_PACKETS : PB_PORT_RX_PACKETS]);
    status->bytes = pb_counter_get(&port->counters[outwards ? PB_PORT_TX_BYTES : PB_PORT_RX_BYTES]);
    for (uint32_t i = 0; i < port->driver->counters_count; i++)
        if (port->driver->counters[i].kind == PB_COUNTER_DROP)
            status->dropped += pb_counter_get(&own[i]);
    status->ring_bytes = pipe->ring_bytes;
    status->used_bytes_max = pb_counter_get(&own[PIPE_USED_BYTES_MAX]);
    if (pipe->peer == NULL)
        return;
    status->application_pid = pipe->peer->pid;
    memcpy(status->application, pipe->peer->program, sizeof(status->application));
    const struct pb_producer_page *page = outwards ? pipe->memory.page : pipe->peer->memory.page;
    uint64_t used_bytes = atomic_load(&page->position) - atomic_load(&pipe->peer->page->tail);
    status->used_bytes = used_bytes <= pipe->ring_bytes ? used_bytes : pipe->ring_bytes;
}

/* -------------------------------------------------------------- the peer */

void pb_pipe_report_fault(struct pb_pipe *pipe, const char *what)
{
    pb_port_count(pipe->port, PIPE_FAULTS, 1);
    if (pb_counter_get(&pipe->port->counters[PB_PORT_COUNTERS + PIPE_FAULTS]) == 1)
        pb_port_report(pipe->port, "its %s, process %d (%s), %s; detached it",
                       pipe->direction == PB_PIPE_TO_APPLICATION ? "reader" : "writer", (int)pipe->peer->pid,
                       pipe->peer->program, what);
}

void pb_peer_wake(const struct pb_peer *peer)
{
    /* Full (EAGAIN): then it has not slept through that many. Gone (EPIPE): the
     * attach server tells us. */
    (void)!send(peer->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

enum pb_peer_word pb_peer_listen(const struct pb_peer *peer, uint64_t *count, uint64_t count_max)
{
    char byte;
    ssize_t length;
    /* Ends: whoever sends more than it was asked for is detached. */
    while ((length = recv(peer->fd, &byte, 1, MSG_DONTWAIT | MSG_TRUNC)) == 1)
        if (++*count > count_max)
            return PB_PEER_FLOODS;
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return PB_PEER_FINE;
    return length > 1 ? PB_PEER_NONSENSE : PB_PEER_GONE;
}

const char *pb_peer_fault_text(enum pb_peer_word word)
{
    return word == PB_PEER_FLOODS ? "floods its socket" : "sent nonsense";
}
