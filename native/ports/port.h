/*
 * port.h - the contract of a port driver.
 *
 * A driver's file defines one table and registers it with PB_PORT_DRIVER(). Its
 * operations are in the same library, or in a module (module.h) that is loaded when
 * the first port of the driver is made. Drivers know nothing of bricks. Threads:
 * open, close and destroy run on the control thread while the engine thread does not
 * exist; everything else runs on the engine thread.
 *
 * Receiving lends memory: the packets of rx_batch() stay valid until
 * rx_release(), and rx_batch() is never called again before it. A port that says
 * `writable` lets bricks change their bytes until then. Memory can go further than
 * that in two ways:
 * - to an output of the same driver (struct pb_tx): which input the packets are from
 *   and whether others see them it is told with each batch, so it can take over
 *   buffers, swap them or count references, and need not copy;
 * - to another process: where an output borrows (port->borrowed), a driver may keep
 *   its packets in a region (region.h) and write over those of a block only when
 *   nobody holds it.
 *
 * Accounting is the driver's duty: each packet offered to tx_batch() ends as
 * exactly one of: sent (pb_port_sent), dropped with a reason (one of the
 * driver's PB_COUNTER_DROP counters), held (tx.in_flight), or refused (not
 * counted; it is offered again).
 */
#ifndef PB_PORT_H
#define PB_PORT_H

#include <poll.h>
#include <stdbool.h>

#include "../core/batch.h"
#include "../core/counters.h"
#include "../core/module_api.h"

/* Counters every port has, in this order, before the driver's own. */
enum pb_port_counter {
    PB_PORT_RX_PACKETS, /* received: handed to the engine */
    PB_PORT_RX_BYTES,   /* their wire lengths */
    PB_PORT_TX_PACKETS, /* sent: handed to the kernel, file or reader */
    PB_PORT_TX_BYTES,
    PB_PORT_IN_FLIGHT, /* gauge: accepted, neither sent nor dropped yet */
    PB_PORT_COUNTERS   /* the driver's own start here */
};

/* An option of a port name ("?key=value"). */
enum pb_option_type { PB_OPTION_INTEGER, PB_OPTION_NUMBER, PB_OPTION_STRING, PB_OPTION_BOOLEAN };

struct pb_option_desc {
    const char *name;
    enum pb_option_type type;
    const char *default_text;
    double min, max; /* of numbers */
    const char *text; /* one line for users; the unit in it */
};

enum pb_port_role { PB_PORT_INPUT, PB_PORT_OUTPUT };

#define PB_PORT_LABEL_BYTES 256

/* Ways a port can be, decided by its driver in open(). */
struct pb_port_driver;
struct pb_port_operations;
struct pb_driver_module;
struct pb_region;
struct pb_port {
    const struct pb_port_driver *driver;
    const struct pb_port_operations *operations; /* the driver's */
    enum pb_port_role role;
    char *name;             /* as in "packet:NAME", without driver and options */
    char label[PB_PORT_LABEL_BYTES]; /* "packet:NAME", which errors and reports begin with: pb_port_label() */
    char *options;          /* "key=value&key=value" */
    int32_t queue_id;       /* -1: none */
    uint32_t buffer_slots;  /* the engine's buffer size, in PB_BUFFER_SLOT_BYTES */
    uint32_t batch_packets; /* the most that a batch holds */
    const char *engine_name;
    int engine_handle;
    int engine_wake_fd;     /* eventfd: write 8 bytes to make the engine call attend() */
    pb_counter *counters;

    bool pausable;  /* input: the engine may leave it unread, nothing is lost */
    bool endless;   /* input: pausable, but nobody waits for its end */
    bool writable;  /* input: bricks may change what it lends, up to captured_len: no later packet shows it */
    bool exhausted; /* input: no packet will come any more; set by rx_batch() */
    bool borrows;   /* output: takes regions, by its driver's borrow(); set by open() */
    bool borrowed;  /* input: its packets can reach such an output; set before open() */
    struct pb_region *region; /* input: where its packets may lie; NULL: nowhere that can be shared; set by open() */
    _Atomic bool awaited;   /* output: sources that can pause wait for its reader to come; set by open(), then by
                               the control thread */
    _Atomic bool attention; /* set by another thread: the engine thread calls attend() */
    bool deserted;  /* output: nobody reads it, so that what is sent there is dropped or waits; pb_port_set_deserted() */
    uint32_t *output_changes; /* the engine's count of readers that came or went */
    const struct pb_counter_desc *device_counters; /* what the device itself counts, found by open(), theirs to */
    uint32_t device_counters_count;                /* keep until destroy(); they follow the driver's in `counters`.
                                                      No accounting is made of them, whatever their kind */
    void *state;    /* the driver's own */
};

/* What the engine sleeps on. */
struct pb_wait {
    int fd;             /* -1: none */
    short events;       /* for poll() */
    int64_t timeout_ns; /* -1: no limit */
};

/* What an output is offered at once: packets that one input lends. */
struct pb_tx {
    const struct pb_packet *packets; /* those of the input's last rx_batch(), in its order; behind the first
                                        `lent` of them, copies that bricks made */
    const uint16_t *index;
    uint32_t count;
    uint32_t lent;
    struct pb_port *from; /* the input: of the same driver, its state is yours to look at */
    bool sole;     /* no other output sees these packets, and none of the lent ones stands in index twice */
    bool may_wait; /* what has no room now is offered again */
};

struct pb_port_operations {
    /* Acquire the resource; sets port->state, pausable. 0, or -errno with text. */
    int (*open)(struct pb_port *port, struct pb_error *error);

    /* Output, where port->borrows: all ports are open, and these are the regions that
     * packets come from. Until close() they stay; close() looks at none of them any
     * more. 0, or -errno with text. */
    int (*borrow)(struct pb_port *port, struct pb_region *const *regions, uint32_t count, struct pb_error *error);

    /* The engine's thread begins and ends; all ports are open in between. For libraries that want to know
     * the threads that use them. May be NULL. */
    void (*thread_start)(struct pb_port *port);
    void (*thread_end)(struct pb_port *port);

    /* Receive up to packets_max packets; 0: none now. Counts them. */
    uint32_t (*rx_batch)(struct pb_port *port, struct pb_packet *packets, uint32_t packets_max);
    /* The packets of the last rx_batch() are done with. */
    void (*rx_release)(struct pb_port *port);

    /* Send what tx->index names. Returns how many, from the front, are dealt
     * with: all of them unless tx->may_wait, where it stops at the first that must
     * wait. What was accepted is visible to the other side when it returns. */
    uint32_t (*tx_batch)(struct pb_port *port, const struct pb_tx *tx);

    /* Before the engine sleeps: what to sleep on until rx_batch() has something, or
     * until tx_batch() accepts more after it refused. Returns false if it is not
     * worth sleeping, because that is already so. */
    bool (*wait)(struct pb_port *port, struct pb_wait *wait);

    /* Called about every 100 ms under load, before sleeping and at the end: fetch
     * drop counts, report faults. May be NULL. */
    void (*tick)(struct pb_port *port);
    /* Output: push out what is buffered. Called when the engine goes idle and when it
     * ends. May be NULL. */
    void (*flush)(struct pb_port *port);
    /* Another thread has set port->attention. May be NULL. */
    void (*attend)(struct pb_port *port);
    /* Output: true while a reader still has packets to fetch; input: while there are
     * packets that the engine has not fetched. May be NULL: never. */
    bool (*undelivered)(struct pb_port *port);

    /* Release what open() acquired, after tick() and flush(). */
    void (*close)(struct pb_port *port);
    /* The engine is deleted: remove what outlives close() (a created interface). May be NULL. */
    void (*destroy)(struct pb_port *port);
};

/* What the names of a driver's ports are of: how the control plane reads them. Where the name is free text, all
 * between the driver's colon and the last question mark is the name, braces and colons too. */
enum pb_port_names {
    PB_NAMES_INTERFACE,      /* a network interface; a bare name can mean this driver */
    PB_NAMES_NEW_INTERFACE,  /* one that the driver makes */
    PB_NAMES_DEVICE,         /* something else that packets come from and go to: free text */
    PB_NAMES_FILE,           /* a file, with one writer: free text */
    PB_NAMES_PIPE,           /* "NAME}n", served by one port */
    PB_NAMES_NOTHING,        /* there may be none, and it tells no two ports apart */
};

/* A driver as users see it, and where its operations are. */
struct pb_port_driver {
    const char *name;
    const char *text; /* one line for users */
    bool input, output;
    enum pb_port_names names;
    bool pipes; /* its interfaces have pipes of their own: beside an input NAME, an output "NAME{n" is one */
    const struct pb_option_desc *options; /* ends with a NULL name */
    const struct pb_counter_desc *counters;
    uint32_t counters_count;
    uint32_t device_counters_max; /* room for port->device_counters_count */

    const struct pb_port_operations *operations; /* NULL: in the module */
    const struct pb_driver_module *module;       /* NULL: none */
    /* Is there what the driver needs of this machine? Beside its module, which is loaded. 0, or -errno with
     * text and remedy, which the caller puts the driver's or a port's name before. May be NULL: yes. Control thread. */
    int (*probe)(struct pb_error *error);
};

void pb_port_driver_register(const struct pb_port_driver *driver);
const struct pb_port_driver *pb_port_driver_find(const char *name);
const struct pb_port_driver *pb_port_driver_at(uint32_t i);

/* The driver's operations, of its module if they are not loaded yet; NULL, with text. Control thread. */
const struct pb_port_operations *pb_port_driver_operations(const struct pb_port_driver *driver, struct pb_error *error);

#define PB_PORT_DRIVER(table)                                                                                          \
    __attribute__((constructor)) static void register_##table(void)                                                    \
    {                                                                                                                  \
        pb_port_driver_register(&table);                                                                               \
    }                                                                                                                  \
    _Static_assert(sizeof(table) > 0, "a driver's table")

/* Options: the value of `key`, or the default of the driver's table. The control
 * plane has validated them; strings are percent-decoded into `text`. */
PB_MODULE_API int64_t pb_port_option_integer(const struct pb_port *port, const char *key);
PB_MODULE_API double pb_port_option_number(const struct pb_port *port, const char *key);
PB_MODULE_API bool pb_port_option_boolean(const struct pb_port *port, const char *key);
/* Whether the user has said it. */
PB_MODULE_API bool pb_port_option_is_said(const struct pb_port *port, const char *key);
/* Returns the length, 0 for an empty value. */
PB_MODULE_API uint32_t pb_port_option_string(const struct pb_port *port, const char *key, char *text, uint32_t text_bytes);

/* An output's reader has come or gone. In open(), or on the engine thread. */
static inline void pb_port_set_deserted(struct pb_port *port, bool deserted)
{
    if (port->deserted == deserted)
        return;
    port->deserted = deserted;
    (*port->output_changes)++;
}

/* Counting, on the engine thread. */
static inline void pb_port_received(struct pb_port *port, uint64_t packets, uint64_t bytes)
{
    pb_counter_add(&port->counters[PB_PORT_RX_PACKETS], packets);
    pb_counter_add(&port->counters[PB_PORT_RX_BYTES], bytes);
}

static inline void pb_port_sent(struct pb_port *port, uint64_t packets, uint64_t bytes)
{
    pb_counter_add(&port->counters[PB_PORT_TX_PACKETS], packets);
    pb_counter_add(&port->counters[PB_PORT_TX_BYTES], bytes);
}

/* `reason`: place in the driver's counter table. */
static inline void pb_port_count(struct pb_port *port, uint32_t reason, uint64_t value)
{
    pb_counter_add(&port->counters[PB_PORT_COUNTERS + reason], value);
}

/* Set the label, before anything can fail; `driver` even if there is none of that name. It is what users can write, and
 * what statistics call the port. The middle of a long name is left out, so that a text has room for what comes behind. */
void pb_port_label(struct pb_port *port, const char *driver, const char *name);

/* A port cannot be opened: fill in `port "DRIVER:NAME": cannot open for input: TEXT` and return -code, a positive errno.
 * TEXT says what failed, why and the remedy. Control thread. */
PB_MODULE_API int pb_port_fail(const struct pb_port *port, struct pb_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same, where a system call has failed: behind TEXT stand the errno in words and `remedy`, unless the errno knows a
 * better one (pb_errno_remedy()). */
PB_MODULE_API int pb_port_fail_errno(const struct pb_port *port, struct pb_error *error, int code, const char *remedy,
                                     const char *format, ...) __attribute__((format(printf, 5, 6)));
/* The same, for a queue number that its device has not: it has `have` of the port's direction. */
PB_MODULE_API int pb_port_fail_queue(const struct pb_port *port, struct pb_error *error, const char *device, uint32_t queue,
                                     uint32_t have, const char *remedy);
/* The same, for the want of memory. */
PB_MODULE_API int pb_port_no_memory(const struct pb_port *port, struct pb_error *error);

/* Report a fault to the user, once: `port "DRIVER:NAME": TEXT`. From the engine thread. */
PB_MODULE_API void pb_port_report(const struct pb_port *port, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The names of this machine's interfaces, "lo, eth0", for error texts. */
PB_MODULE_API const char *pb_interfaces_text(char *text, uint32_t text_bytes);

#endif
