/*
 * client.c - pipes for JavaScript: the reader and writer library by handle, a
 * batch a call (packet_bricks.h, "Pipes for JavaScript").
 *
 * Called through FFI, from any thread: a mutex guards the table. A client itself
 * is its caller's, one thread's at a time. Rings are lent (lent.h): JavaScript
 * may look at them after the client has gone.
 */
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "../core/error.h"
#include "../core/handle.h"
#include "../core/hash.h"
#include "lent.h"
#include "reader.h"

#define CHUNK_RECORDS 64 /* of a batch at a time: they fit the stack, and their headers the first cache */
#define FLOW_HASH_TUPLE 5

_Static_assert(sizeof(struct pb_client_record) == PB_CLIENT_RECORD_BYTES, "JavaScript counts on it");
_Static_assert(offsetof(struct pb_client_record, timestamp_ns) == 16, "JavaScript counts on it");
_Static_assert(offsetof(struct pb_client_record, l3_offset) == 32, "JavaScript counts on it");
_Static_assert(PB_CLIENTS_MAX <= PB_HANDLE_SLOTS_MAX, "a slot fits a handle");
_Static_assert(2 * (uint64_t)PB_BUFFER_SLOTS_MAX * PB_BUFFER_SLOT_BYTES <= UINT32_MAX, "an offset has 32 bits");

/* One of reader and writer is there. */
struct client {
    struct pb_pipe_reader *reader;
    struct pb_lent *lent; /* the reader's ring */
    struct pb_pipe_writer *writer;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct {
    struct client *client; /* NULL: free */
    uint32_t generation;
    bool has_owner;
    pthread_t owner; /* the thread that uses it */
} slots[PB_CLIENTS_MAX];

/* ----------------------------------------------------------------- handles */

/* The handle's slot, or UINT32_MAX. Under the mutex. */
static uint32_t find_slot(int handle)
{
    uint32_t slot = pb_handle_slot(handle);
    bool valid = slot < PB_CLIENTS_MAX && slots[slot].client != NULL &&
                 slots[slot].generation == pb_handle_generation(handle);
    return valid ? slot : UINT32_MAX;
}

static struct client *find(int handle)
{
    pthread_mutex_lock(&mutex);
    uint32_t slot = find_slot(handle);
    struct client *client = slot != UINT32_MAX ? slots[slot].client : NULL;
    pthread_mutex_unlock(&mutex);
    return client;
}

static struct client *find_reader(int handle)
{
    struct client *client = find(handle);
    return client != NULL && client->reader != NULL ? client : NULL;
}

static struct pb_pipe_writer *find_writer(int handle)
{
    const struct client *client = find(handle);
    return client != NULL ? client->writer : NULL;
}

/* Put the client into the table. Returns its handle, or -EMFILE. */
static int add(struct client *client)
{
    int handle = -EMFILE;
    pthread_mutex_lock(&mutex);
    for (uint32_t slot = 0; slot < PB_CLIENTS_MAX && handle < 0; slot++) {
        if (slots[slot].client != NULL)
            continue;
        slots[slot].client = client;
        slots[slot].has_owner = false;
        slots[slot].generation = pb_handle_next_generation(slots[slot].generation);
        handle = pb_handle_make(slot, slots[slot].generation);
    }
    pthread_mutex_unlock(&mutex);
    return handle;
}

/* ------------------------------------------------------------ open, close */

static void free_client(struct client *client)
{
    if (client->lent != NULL)
        pb_lent_give(client->lent, client->reader);
    pb_pipe_close(client->reader);
    pb_pipe_close_writer(client->writer);
    free(client);
}

static int open_reader(struct client *client, const char *name, struct pb_error *error)
{
    int result = pb_reader_open(name, false, &client->reader, error); /* JavaScript sees the ring alone */
    if (result < 0)
        return result;
    client->lent = pb_lent_take(client->reader);
    return client->lent != NULL ? 0 : pb_fail(error, ENOMEM, "pipe \"%s\": out of memory for its ring", name);
}

int pb_client_open(const char *name, uint32_t direction, struct pb_error *error)
{
    if (direction != PB_PIPE_TO_APPLICATION && direction != PB_PIPE_FROM_APPLICATION)
        return pb_fail(error, EINVAL, "pipe \"%s\": %u is no direction", name, direction);
    struct client *client = calloc(1, sizeof(*client));
    if (client == NULL)
        return pb_fail(error, ENOMEM, "pipe \"%s\": out of memory", name);
    int handle = direction == PB_PIPE_TO_APPLICATION ? open_reader(client, name, error)
                                                     : pb_pipe_open_writer(name, &client->writer, error);
    if (handle == 0 && (handle = add(client)) < 0)
        pb_fail(error, EMFILE, "pipe \"%s\": this process has %d pipes open already; close one", name, PB_CLIENTS_MAX);
    if (handle < 0)
        free_client(client);
    return handle;
}

/* Take the client out of the table, if there is one. Under the mutex. */
static struct client *take(uint32_t slot)
{
    if (slot == UINT32_MAX)
        return NULL;
    struct client *client = slots[slot].client;
    slots[slot].client = NULL;
    return client;
}

int pb_client_close(int handle)
{
    pthread_mutex_lock(&mutex);
    struct client *client = take(find_slot(handle));
    pthread_mutex_unlock(&mutex);
    if (client == NULL)
        return -EBADF;
    free_client(client);
    return 0;
}

/* ------------------------------------------------------------------ owners
 *
 * A worker_thread that is terminated runs no JavaScript any more, and its pipes
 * would stay taken for as long as the process lives. So its thread's end closes
 * what it used. pb_client_open() may run on another thread, for it can block. */

static pthread_key_t owner_key;
static pthread_once_t owner_once = PTHREAD_ONCE_INIT;

static void close_clients_of_thread(void *unused)
{
    (void)unused;
    for (uint32_t slot = 0; slot < PB_CLIENTS_MAX; slot++) {
        pthread_mutex_lock(&mutex);
        bool ours = slots[slot].client != NULL && slots[slot].has_owner && pthread_equal(slots[slot].owner, pthread_self());
        struct client *client = ours ? take(slot) : NULL;
        pthread_mutex_unlock(&mutex);
        if (client != NULL)
            free_client(client);
    }
}

static void make_owner_key(void)
{
    pthread_key_create(&owner_key, close_clients_of_thread);
}

int pb_client_own(int handle)
{
    pthread_once(&owner_once, make_owner_key);
    pthread_setspecific(owner_key, &owner_key); /* any value: then the destructor runs */
    pthread_mutex_lock(&mutex);
    uint32_t slot = find_slot(handle);
    if (slot != UINT32_MAX) {
        slots[slot].has_owner = true;
        slots[slot].owner = pthread_self();
    }
    pthread_mutex_unlock(&mutex);
    return slot != UINT32_MAX ? 0 : -EBADF;
}

void *pb_client_memory(int handle)
{
    const struct client *client = find_reader(handle);
    return client != NULL ? client->lent->memory : NULL;
}

int64_t pb_client_memory_bytes(int handle)
{
    const struct client *client = find_reader(handle);
    return client != NULL ? (int64_t)client->lent->bytes : -EBADF;
}

/* ----------------------------------------------------------------- reading */

/* Describe a record, its headers parsed. Its bytes may change meanwhile, if the
 * engine's process is out of its mind: no offset is used that was not checked
 * against captured_len, and that is a copy. */
static void describe(struct pb_client_record *to, const struct pb_pipe_record *from, const uint8_t *memory,
                     uint16_t link_type)
{
    struct pb_packet packet;
    pb_packet_init(&packet, from->data, from->captured_len, from->wire_len, from->timestamp_ns, link_type);
    pb_parse(&packet);
    *to = (struct pb_client_record){
        .offset = (uint32_t)(from->data - memory),
        .captured_len = from->captured_len,
        .wire_len = from->wire_len,
        .mark = from->mark,
        .timestamp_ns = from->timestamp_ns,
        .flow_hash = pb_flow_hash(&packet, FLOW_HASH_TUPLE),
        .l4_offset = packet.headers.l4_offset,
        .l3_offset = packet.headers.l3_offset,
        .ip_version = packet.headers.ip_version,
        .ip_protocol = packet.headers.ip_protocol,
    };
}

static bool is_aligned(const uint8_t *index)
{
    return (uintptr_t)index % _Alignof(struct pb_client_record) == 0;
}

int pb_client_read(int handle, uint8_t *index, uint32_t records_max)
{
    struct client *client = find_reader(handle);
    if (client == NULL)
        return -EBADF;
    if (!is_aligned(index) || records_max > INT32_MAX)
        return -EINVAL;
    struct pb_client_record *to = (struct pb_client_record *)(uintptr_t)index;
    uint32_t count = 0;
    while (count < records_max) {
        struct pb_pipe_record records[CHUNK_RECORDS];
        uint32_t wanted = records_max - count < CHUNK_RECORDS ? records_max - count : CHUNK_RECORDS;
        int got = pb_pipe_read(client->reader, records, wanted);
        if (got <= 0) /* what ended it is said again by the next call */
            return count > 0 ? (int)count : got;
        uint16_t link_type = (uint16_t)pb_pipe_link_type(client->reader); /* known: there was a packet */
        for (int i = 0; i < got; i++)
            describe(&to[count++], &records[i], client->lent->memory, link_type);
        if ((uint32_t)got < wanted)
            break;
    }
    return (int)count;
}

int pb_client_release(int handle)
{
    struct client *client = find_reader(handle);
    if (client == NULL)
        return -EBADF;
    pb_pipe_release(client->reader);
    return 0;
}

int pb_client_link_type(int handle)
{
    const struct client *client = find_reader(handle);
    return client != NULL ? pb_pipe_link_type(client->reader) : -EBADF;
}

int pb_client_counts(int handle, uint8_t *counts)
{
    const struct client *client = find_reader(handle);
    if (client == NULL)
        return -EBADF;
    struct pb_pipe_counts now;
    pb_pipe_counts(client->reader, &now);
    memcpy(counts, &(uint64_t[]){now.received, now.dropped}, 2 * sizeof(uint64_t));
    return 0;
}

/* ----------------------------------------------------------------- writing */

/* Where the bytes of an index's records are: in a reader's ring, or in the caller's. */
struct places {
    const uint8_t *memory[2]; /* by from_bytes */
    uint64_t length[2];
};

static bool locate(const struct places *places, const struct pb_client_record *from, struct pb_pipe_record *to)
{
    bool from_bytes = from->from_bytes != 0;
    if ((uint64_t)from->offset + from->captured_len > places->length[from_bytes])
        return false;
    *to = (struct pb_pipe_record){
        .data = places->memory[from_bytes] + from->offset,
        .timestamp_ns = from->timestamp_ns,
        .captured_len = from->captured_len,
        .wire_len = from->wire_len,
        .mark = from->mark,
    };
    return true;
}

/* Send a chunk from the front of `records`, and count those declined among them.
 * Returns how many have been dealt with; *result is what stopped it, 1: nothing did. */
static uint32_t send_chunk(struct pb_pipe_writer *writer, const struct places *places,
                           const struct pb_client_record *records, uint32_t count, int *result)
{
    struct pb_pipe_record chunk[CHUNK_RECORDS];
    uint32_t indexes[CHUNK_RECORDS];
    uint32_t filled = 0, end = 0;
    *result = 1;
    for (; end < count && filled < CHUNK_RECORDS; end++) {
        if (records[end].mark == PB_MARK_DECLINE)
            continue;
        if (!locate(places, &records[end], &chunk[filled])) {
            *result = -EINVAL;
            break;
        }
        indexes[filled++] = end;
    }
    int written = filled > 0 ? pb_pipe_write(writer, chunk, filled) : 0;
    uint32_t sent = written > 0 ? (uint32_t)written : 0;
    if (sent < filled) {
        end = indexes[sent];
        *result = written < 0 ? written : 0;
    }
    if (end > sent)
        pb_pipe_decline(writer, end - sent);
    return end;
}

int pb_client_send(int handle, int reader, const uint8_t *index, uint32_t count, const uint8_t *bytes, uint32_t bytes_len)
{
    struct pb_pipe_writer *writer = find_writer(handle);
    const struct client *source = reader != 0 ? find_reader(reader) : NULL;
    if (writer == NULL || (reader != 0 && source == NULL))
        return -EBADF;
    if (!is_aligned(index) || count > INT32_MAX)
        return -EINVAL;
    struct places places = {.memory = {NULL, bytes}, .length = {0, bytes_len}};
    if (source != NULL) {
        places.memory[0] = source->lent->memory;
        places.length[0] = source->lent->bytes;
    }
    const struct pb_client_record *records = (const struct pb_client_record *)(uintptr_t)index;
    uint32_t done = 0;
    int result = 1;
    while (done < count && result == 1)
        done += send_chunk(writer, &places, records + done, count - done, &result);
    return done > 0 || result == 1 ? (int)done : result; /* what stopped it stops the next call as well */
}

int pb_client_decline(int handle, uint32_t packets)
{
    struct pb_pipe_writer *writer = find_writer(handle);
    if (writer == NULL)
        return -EBADF;
    pb_pipe_decline(writer, packets);
    return 0;
}

int pb_client_set_link_type(int handle, uint32_t link_type)
{
    struct pb_pipe_writer *writer = find_writer(handle);
    return writer != NULL ? pb_pipe_set_link_type(writer, link_type) : -EBADF;
}

int64_t pb_client_backlog(int handle)
{
    const struct pb_pipe_writer *writer = find_writer(handle);
    return writer != NULL ? (int64_t)pb_pipe_writer_backlog(writer) : -EBADF;
}

/* ---------------------------------------------------------------- sleeping */

int pb_client_fd(int handle)
{
    const struct client *client = find(handle);
    if (client == NULL)
        return -EBADF;
    return client->reader != NULL ? pb_pipe_fd(client->reader) : pb_pipe_writer_fd(client->writer);
}

int pb_client_arm(int handle)
{
    struct client *client = find(handle);
    if (client == NULL)
        return -EBADF;
    return client->reader != NULL ? pb_pipe_arm(client->reader) : pb_pipe_writer_arm(client->writer);
}
