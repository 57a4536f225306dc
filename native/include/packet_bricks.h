/*
 * packet_bricks.h - the public C header of packet-bricks.
 *
 * Four parts:
 *   1. limits        every fixed bound of the program, one table;
 *   2. control ABI   what the TypeScript control plane calls (libpacket_bricks.so).
 *                    engine/abi.ts is generated from this part and checked at load;
 *   3. pipe reader   what an application uses to read a pipe (libbricks-pipe.so);
 *   4. pipe writer   ... and to send packets into an engine.
 *
 * Conventions: functions return a value >= 0, or -errno; the text of the error
 * is then in the caller's struct pb_error. Nothing here exits or aborts.
 */
#ifndef PACKET_BRICKS_H
#define PACKET_BRICKS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PB_API __attribute__((visibility("default")))

/* ------------------------------------------------------------------ limits */

#define PB_ENGINES_MAX 256         /* engines in one process */
#define PB_ENGINE_NAME_MAX 63      /* bytes in an engine's name */
#define PB_PORTS_MAX 2048          /* input and output ports of one engine */
#define PB_BRICKS_MAX 256          /* bricks in one engine */
#define PB_OUTPUTS_MAX 1024        /* outputs of one brick */
#define PB_COPIES_MAX 1024         /* copies of one packet that may meet in one brick */
#define PB_PIPES_MAX 1024          /* pipes served by one process */
#define PB_PORT_NAME_MAX 4095      /* bytes in a port's name: a path */
#define PB_PIPE_NAME_MAX 63        /* bytes in a pipe's name */
#define PB_BATCH_PACKETS_MAX 4096  /* packets in a batch */
#define PB_BATCH_PACKETS_DEFAULT 256
#define PB_BUFFER_SLOTS_MAX 524288 /* slots of a pipe's ring: 1 GiB */
#define PB_BUFFER_SLOTS_MIN 64     /* the longest frame must fit the ring */
#define PB_BUFFER_SLOTS_DEFAULT 512
#define PB_BUFFER_SLOT_BYTES 2048
#define PB_FRAME_BYTES_MAX 262144  /* bytes of a captured packet (libpcap's MAXIMUM_SNAPLEN) */
#define PB_FRAME_BYTES_LIVE_MAX 65535 /* bytes of a frame on a live port */
#define PB_ERROR_BYTES 512         /* sizeof(struct pb_error) */
#define PB_CPUS_MAX 1024           /* processors an engine can be pinned to */
#define PB_QUEUE_ID_MAX 255        /* highest queue id of an interface */
#define PB_MARK_MAX 4095           /* the mark of a packet that an application sends */
#define PB_CONTROLS_MAX 511        /* bricks of one process that can be changed while they run */
#define PB_CLIENTS_MAX 256         /* pipes that JavaScript of one process reads or writes */
#define PB_FRAGMENTS_MIN 64        /* datagrams in a table of fragments: a power of two */
#define PB_FRAGMENTS_MAX 16777216  /* datagrams in a table of fragments: 256 MiB */
#define PB_FRAGMENTS_DEFAULT 65536 /* datagrams in a table of fragments: 1 MiB */
#define PB_PROGRAM_NAME_MAX 15     /* bytes in a program's name, as /proc/PID/comm gives it */

/* What went wrong: `code` is an errno value, `text` one line that names the
 * thing and the remedy. */
struct pb_error {
    int32_t code;
    char text[PB_ERROR_BYTES - sizeof(int32_t)];
};

/* ------------------------------------------------------------- control ABI
 *
 * All calls are made from one thread. An engine handle is a small positive
 * integer with a generation; a stale or foreign one answers -EBADF.
 */

#define PB_ENGINE_STOPPED 0  /* not started, or stopped */
#define PB_ENGINE_RUNNING 1  /* the engine thread runs */
#define PB_ENGINE_FINISHED 2 /* runs, but every source is exhausted and delivered */

/* Hash of this header, as 16 hex digits: two builds that agree on it agree on
 * every signature and limit. */
PB_API const char *pb_abi_hash(void);

/* Write the tables of drivers and bricks as one JSON object into `text`.
 * Returns its length, or the -length needed where `text_bytes` is too small. */
PB_API int pb_describe(char *text, uint32_t text_bytes);

/* Can a driver be used here? 0, or -errno with what is missing and the remedy. Loads its module. */
PB_API int pb_driver_probe(const char *driver, struct pb_error *error);

/* Settings of a driver's library, in the driver's own words, before its first port is
 * made: "dpdk" takes the options of DPDK's environment abstraction layer. */
PB_API int pb_driver_setup(const char *driver, const char *settings, struct pb_error *error);

/* Make an engine. cpu -1: not pinned. Returns a handle. */
PB_API int pb_engine_create(const char *name, uint32_t buffer_slots, int32_t cpu, uint32_t batch_packets,
                            struct pb_error *error);

/* Add a port. `options` is "key=value&key=value", already validated.
 * queue_id -1: none. Returns the port's index. Nothing is opened yet. */
PB_API int pb_engine_add_input(int engine, const char *driver, const char *name, const char *options,
                               int32_t queue_id, struct pb_error *error);
PB_API int pb_engine_add_output(int engine, const char *driver, const char *name, const char *options,
                                struct pb_error *error);

/* The control object of a brick: what of it can be changed while it runs. Made with
 * the brick, held by the engines it is added to until they are deleted. Returns a
 * handle. -EOPNOTSUPP: that brick has none. */
PB_API int pb_control_open(const char *brick, const uint8_t *config, uint32_t config_bytes, struct pb_error *error);
/* Have it carry out a request. Returns the length of the reply. */
PB_API int pb_control_command(int control, const uint8_t *request, uint32_t request_bytes, uint8_t *reply,
                              uint32_t reply_bytes, struct pb_error *error);
PB_API int pb_control_close(int control, struct pb_error *error);

/* Add a brick with `outputs` outputs. `control`: handle of its control object, 0: it has
 * none. `depth` counts the bricks of the same kind between it and the input. Returns the
 * brick's index. */
PB_API int pb_engine_add_brick(int engine, const char *brick, const uint8_t *config, uint32_t config_bytes, int control,
                               uint32_t outputs, uint32_t depth, struct pb_error *error);

/* Edges of the graph: port to brick, brick's output to brick, brick's output to port. */
PB_API int pb_engine_connect_input(int engine, uint32_t port, uint32_t brick, struct pb_error *error);
PB_API int pb_engine_connect_brick(int engine, uint32_t brick, uint32_t output, uint32_t to_brick,
                                   struct pb_error *error);
PB_API int pb_engine_connect_output(int engine, uint32_t brick, uint32_t output, uint32_t port,
                                    struct pb_error *error);

/* Open the ports and start the thread; when it returns, the thread runs. On failure everything opened is closed again. */
PB_API int pb_engine_start(int engine, struct pb_error *error);
/* Ask the thread to end, join it, close the ports. Counters stay readable. */
PB_API int pb_engine_stop(int engine, struct pb_error *error);
/* One of PB_ENGINE_STOPPED, PB_ENGINE_RUNNING, PB_ENGINE_FINISHED. */
PB_API int pb_engine_state(int engine);
/* Whether sources that can pause wait while no application reads output `port`, a
 * pipe; until told otherwise as its option "wait" says. Also while the engine runs. */
PB_API int pb_engine_await_reader(int engine, uint32_t port, int awaited, struct pb_error *error);
/* Free a stopped engine and its handle. */
PB_API int pb_engine_delete(int engine, struct pb_error *error);

/* The engine's counters: an array of uint64 that only its thread writes.
 * The memory stays mapped until the process ends; a deleted engine's is reused. */
PB_API void *pb_engine_counters(int engine);
PB_API int pb_engine_counters_bytes(int engine);
/* Write the layout of the counters as JSON, as pb_describe() does. Valid once
 * the graph is complete (after pb_engine_start()). */
PB_API int pb_engine_describe(int engine, char *text, uint32_t text_bytes);

/* Reports of engine threads ("port "eth3": the interface is gone; ...").
 * pb_event_fd() is an eventfd, readable while there are some. pb_event_take()
 * writes the oldest one, returns its engine's handle, 0 when there is none. */
PB_API int pb_event_fd(void);
PB_API int pb_event_take(char *text, uint32_t text_bytes);

/* Take the lock file of a daemon, with its process id inside; returns its
 * descriptor. -EADDRINUSE: another process holds it, and the text says which.
 * The lock ends with the process; a stale file is no obstacle. */
PB_API int pb_daemon_lock(const char *path, struct pb_error *error);
/* Tell the service manager at `address` (NOTIFY_SOCKET) the state of this
 * process: "READY=1". See sd_notify(3). */
PB_API int pb_service_notify(const char *address, const char *state, struct pb_error *error);

/* End this process (SIGKILL) when process `parent` ends, of which it is a child; at once
 * if it has ended. For programs whose output and packets nobody would get then. */
PB_API void pb_parent_follow(int parent);

/* Pipes for JavaScript, both ends of applications (parts 3 and 4 below) by handle.
 * A handle is as an engine's; a client is used by one thread at a time.
 *
 * Memory: what pb_client_memory() returns is the ring, mapped twice in a row. After
 * pb_client_close() it stays readable until the process ends (zeros, or a later
 * client's ring), so a view that JavaScript kept is wrong, never a crash. */

/* One packet of an index that pb_client_read() fills and pb_client_send() takes. */
struct pb_client_record {
    uint32_t offset; /* of its first byte, in the client's memory; or in the caller's bytes */
    uint32_t captured_len;
    uint32_t wire_len;
    uint32_t mark; /* 0 to PB_MARK_MAX; to pb_client_send(): or one of the two below */
    uint64_t timestamp_ns;
    uint32_t flow_hash;   /* symmetric, over addresses, ports and protocol */
    uint32_t l4_offset;   /* of the transport header; 0: none */
    uint16_t l3_offset;   /* of the IP header */
    uint8_t ip_version;   /* 4, 6; 0: not IP */
    uint8_t ip_protocol;
    uint32_t from_bytes;  /* pb_client_send(): 1: offset is in the caller's bytes */
};
#define PB_CLIENT_RECORD_BYTES 40
#define PB_MARK_DECLINE 4096 /* pb_client_send(): do not send it on, count it as declined */

/* Attach to a pipe; `direction` is PB_PIPE_TO_APPLICATION to read it, or
 * PB_PIPE_FROM_APPLICATION to write it. Returns a handle. Errors: as pb_pipe_open(). */
PB_API int pb_client_open(const char *name, uint32_t direction, struct pb_error *error);
PB_API int pb_client_close(int client);
/* The calling thread uses the client from now on: when it ends, as a worker_thread may
 * at any time, the client is closed. */
PB_API int pb_client_own(int client);
/* The ring of a reader, and its length in bytes (twice the ring's). NULL, -EBADF. */
PB_API void *pb_client_memory(int client);
PB_API int64_t pb_client_memory_bytes(int client);
/* As pb_pipe_read() and pb_pipe_release(), into an array of struct pb_client_record. */
PB_API int pb_client_read(int client, uint8_t *index, uint32_t records_max);
PB_API int pb_client_release(int client);
/* As pb_pipe_write(), records of an index. Those with from_bytes are in `bytes`, the
 * others in the memory of client `reader` (0: there is none). Returns how many were
 * sent or declined, from the front; 0: the ring is full. -EINVAL also: the first is
 * not where it says. */
PB_API int pb_client_send(int client, int reader, const uint8_t *index, uint32_t count, const uint8_t *bytes,
                          uint32_t bytes_len);
/* As pb_pipe_decline(), pb_pipe_set_link_type(), pb_pipe_writer_backlog(). */
PB_API int pb_client_decline(int client, uint32_t packets);
PB_API int pb_client_set_link_type(int client, uint32_t link_type);
PB_API int64_t pb_client_backlog(int client);
PB_API int pb_client_fd(int client);
/* As pb_pipe_arm() or pb_pipe_writer_arm(), by the client's direction. */
PB_API int pb_client_arm(int client);
PB_API int pb_client_link_type(int client);
/* Counts of a reader: received and dropped, two values. */
PB_API int pb_client_counts(int client, uint8_t *counts);

/* ------------------------------------------------------------- pipe reader
 *
 * One reader per pipe. A reader is used by one thread at a time.
 *
 *     struct pb_error error;
 *     struct pb_pipe_reader *reader;
 *     if (pb_pipe_open("eth3}0", &reader, &error) < 0) { puts(error.text); return 1; }
 *     struct pb_pipe_record records[64];
 *     int n;
 *     while ((n = pb_pipe_read(reader, records, 64)) >= 0) {
 *         if (n == 0) { pb_pipe_wait(reader, -1); continue; }
 *         for (int i = 0; i < n; i++) use(records[i].data, records[i].captured_len);
 *         pb_pipe_release(reader);
 *     }
 *     pb_pipe_close(reader);
 */

/* One packet. Read from a pipe it is in place in the shared memory, valid until
 * pb_pipe_release(). */
struct pb_pipe_record {
    const uint8_t *data;
    uint64_t timestamp_ns; /* since 1970-01-01 00:00 UTC */
    uint32_t captured_len; /* bytes at data */
    uint32_t wire_len;     /* bytes it had on the wire */
    uint32_t mark;         /* 0 to PB_MARK_MAX; an application's word to the engine, 0 when read */
    uint32_t reserved;     /* 0 */
};

/* Which way packets go. */
#define PB_PIPE_TO_APPLICATION 0   /* an engine's output: the application reads */
#define PB_PIPE_FROM_APPLICATION 1 /* an engine's input: the application writes */

/* What pb_pipe_status() tells about a pipe. */
struct pb_pipe_status {
    uint64_t packets;        /* records that went through the ring */
    uint64_t bytes;          /* their wire lengths */
    uint64_t dropped;        /* packets that did not get in, for any reason */
    uint64_t used_bytes;     /* of the ring: written and not yet given back */
    uint64_t used_bytes_max; /* the most that it was */
    uint64_t ring_bytes;
    int32_t engine_pid;
    int32_t application_pid; /* 0: none is attached */
    uint32_t direction;      /* PB_PIPE_TO_APPLICATION or PB_PIPE_FROM_APPLICATION */
    uint32_t reserved;
    char engine[PB_ENGINE_NAME_MAX + 1];
    char application[PB_PROGRAM_NAME_MAX + 1]; /* its program's name, printable */
};

/* What has become of the packets for this reader since it attached. */
struct pb_pipe_counts {
    uint64_t received; /* published in the ring, whether read yet or not */
    uint64_t dropped;  /* not published: the ring was full, or the packet too long */
};

struct pb_pipe_reader;

/* The directory of the attach sockets: $BRICKS_RUNTIME_DIR, else /run/bricks
 * for root, else $XDG_RUNTIME_DIR/bricks. Returns 0, or -errno. */
PB_API int pb_pipe_directory(char *path, uint32_t path_bytes, struct pb_error *error);

/* Attach to pipe `name` ("eth3}0"). -ENOENT: no engine serves it; -EBUSY: it has a
 * reader; -EOPNOTSUPP: packets go the other way, see pb_pipe_open_writer(). The
 * first packet read is the first one sent after the engine has taken note of it. */
PB_API int pb_pipe_open(const char *name, struct pb_pipe_reader **reader, struct pb_error *error);

/* Hand out up to records_max records. 0: none now; -EPIPE: end of stream. Every
 * call extends what the next pb_pipe_release() gives back. */
PB_API int pb_pipe_read(struct pb_pipe_reader *reader, struct pb_pipe_record *records, uint32_t records_max);

/* Give back every record handed out so far. */
PB_API void pb_pipe_release(struct pb_pipe_reader *reader);

/* Sleep until there is a record or the stream ends: 1; 0 after timeout_ms (-1: never); -EINTR. */
PB_API int pb_pipe_wait(struct pb_pipe_reader *reader, int timeout_ms);

/* A descriptor to poll for POLLIN. Before polling, pb_pipe_read() must have
 * returned 0 and pb_pipe_arm() 0 (it returns 1 when there is something to read). */
PB_API int pb_pipe_fd(const struct pb_pipe_reader *reader);
PB_API int pb_pipe_arm(struct pb_pipe_reader *reader);

/* The link type (LINKTYPE_ number of pcap), known once there was a packet; -EAGAIN before. */
PB_API int pb_pipe_link_type(const struct pb_pipe_reader *reader);

/* Counts of this reader, without a system call. Zero until the engine has taken note of it. */
PB_API void pb_pipe_counts(const struct pb_pipe_reader *reader, struct pb_pipe_counts *counts);

PB_API void pb_pipe_close(struct pb_pipe_reader *reader);

/* Ask the engine that serves pipe `name`, without attaching to it. */
PB_API int pb_pipe_status(const char *name, struct pb_pipe_status *status, struct pb_error *error);

/* Call `each` with the name of every pipe that is served, in alphabetical order
 * (numbers by value), until it returns non-zero. Returns that value, or -errno. */
PB_API int pb_pipe_list(int (*each)(const char *name, void *arg), void *arg, struct pb_error *error);

/* ------------------------------------------------------------- pipe writer
 *
 * The other direction: an engine's input "app}0" that an application writes.
 * One writer per pipe. A writer is used by one thread at a time.
 *
 *     struct pb_pipe_writer *writer;
 *     if (pb_pipe_open_writer("app}0", &writer, &error) < 0) ...
 *     struct pb_pipe_record record = {.data = frame, .captured_len = 60, .wire_len = 60};
 *     int n;
 *     while ((n = pb_pipe_write(writer, &record, 1)) == 0)
 *         pb_pipe_writer_wait(writer, -1);
 *     pb_pipe_close_writer(writer);
 */

struct pb_pipe_writer;

/* Attach to pipe `name`. -ENOENT: no engine serves it; -EBUSY: it has a writer;
 * -EOPNOTSUPP: packets go the other way, see pb_pipe_open(). */
PB_API int pb_pipe_open_writer(const char *name, struct pb_pipe_writer **writer, struct pb_error *error);

/* The link type (LINKTYPE_ number of pcap) of what will be written, before the first
 * write; Ethernet if it is not said. -EINVAL. */
PB_API int pb_pipe_set_link_type(struct pb_pipe_writer *writer, uint32_t link_type);

/* Copy records into the ring, from the front as many as there is room for, and
 * publish them together. timestamp_ns 0: now. Returns how many, 0: the ring is
 * full; -EMSGSIZE: the first is longer than PB_FRAME_BYTES_MAX or the ring; -EINVAL:
 * its wire_len is less than its captured_len, or its mark too large; -EPIPE: the engine is gone. */
PB_API int pb_pipe_write(struct pb_pipe_writer *writer, const struct pb_pipe_record *records, uint32_t count);

/* Sleep until half of the ring is free, and there is room for what was refused: 1; 0
 * after timeout_ms (-1: never); -EPIPE: the engine is gone; -EINTR. */
PB_API int pb_pipe_writer_wait(struct pb_pipe_writer *writer, int timeout_ms);

/* A descriptor to poll for POLLIN, once pb_pipe_writer_arm() has returned 0; it
 * returns 1 when there is room again, or -EPIPE. */
PB_API int pb_pipe_writer_fd(const struct pb_pipe_writer *writer);
PB_API int pb_pipe_writer_arm(struct pb_pipe_writer *writer);

/* Packets that the application had and did not send on, to be counted by the
 * engine: `declined` of the port. An inline application that drops says so here. */
PB_API void pb_pipe_decline(struct pb_pipe_writer *writer, uint64_t packets);

/* How many bytes of the ring the engine has not taken yet. */
PB_API uint64_t pb_pipe_writer_backlog(const struct pb_pipe_writer *writer);

/* What was written before is still taken by the engine. */
PB_API void pb_pipe_close_writer(struct pb_pipe_writer *writer);

#ifdef __cplusplus
}
#endif

#endif
