/*
 * protocol.h - what an application and an engine say on a pipe's attach socket.
 *
 * A SOCK_SEQPACKET socket: the client sends one request, the engine's attach
 * server answers once. Status, and every refusal, end the connection. After a
 * granted attach (READ or WRITE, as the pipe's direction is) the reply carries
 * descriptors, the data and the reader page (ring.h) first, and the connection stays:
 *   - it ends when either side ends, however it does;
 *   - a message of one byte, in either direction, is a wake-up.
 *
 * Why wake-ups do not go through a shared eventfd: its description would belong
 * to both. A hostile reader could clear O_NONBLOCK on it and fill the counter,
 * and the engine's next write would block for ever. With send() the engine says
 * MSG_DONTWAIT itself, each time.
 */
#ifndef PB_PROTOCOL_H
#define PB_PROTOCOL_H

#include <stdint.h>

#include "ring.h"

#define PB_ATTACH_MAGIC 0x70697062u /* "bpip", little endian */
#define PB_ATTACH_VERSION 2u

enum pb_attach_verb { PB_ATTACH_READ = 1, PB_ATTACH_STATUS = 2, PB_ATTACH_WRITE = 3 };

struct pb_attach_request {
    uint32_t magic;
    uint32_t version;
    uint32_t verb; /* enum pb_attach_verb */
    uint32_t borrows; /* READ: 1: it understands lent packets (loans.h), and is to get the regions; else 0 */
};

/* What it is handed. The last are for a reader that borrows, where the pipe lends: the
 * references, and as many regions as there are. */
enum pb_attach_descriptor {
    PB_ATTACH_DATA,
    PB_ATTACH_READER_PAGE,
    PB_ATTACH_REFERENCES,
    PB_ATTACH_REGIONS,
    PB_ATTACH_DESCRIPTORS_MAX = PB_ATTACH_REGIONS + PB_LOAN_REGIONS_MAX
};

struct pb_attach_reply {
    uint32_t magic;
    uint32_t version;
    struct pb_error error; /* code 0: granted */
    struct pb_pipe_status status;
};

_Static_assert(sizeof(struct pb_attach_request) == 16, "goes between processes");
_Static_assert(sizeof(struct pb_pipe_status) == 64 + PB_ENGINE_NAME_MAX + 1 + PB_PROGRAM_NAME_MAX + 1, "goes between processes");
_Static_assert(sizeof(struct pb_attach_reply) == 8 + PB_ERROR_BYTES + sizeof(struct pb_pipe_status), "no holes");

#endif
