/*
 * engine.h - the inside of an engine, shared by the files of this folder:
 * control.c, controls.c and life.c (the control ABI), prepare.c and graph.c (making
 * and running the graph), rewrite.c (room for packets that bricks change), loop.c (the
 * thread), describe.c (texts for the control plane).
 *
 * The control thread makes and changes everything here while the engine thread
 * does not exist; while it runs, only `stopping`, `state` and the counters are
 * shared.
 */
#ifndef PB_ENGINE_H
#define PB_ENGINE_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "../ports/port.h"
#include "brick.h"

/* Counters of the engine itself. */
enum pb_engine_counter {
    PB_ENGINE_IN_FLIGHT,   /* gauge: packets that wait for an output */
    PB_ENGINE_DROP_STOPPED, /* waited for an output when the engine was stopped */
    PB_ENGINE_SOURCES_LEFT, /* gauge: pausable inputs with packets left */
    PB_ENGINE_UNDELIVERED,  /* gauge: outputs whose reader has packets to fetch */
    PB_ENGINE_TURNS,        /* turns of the loop that moved packets */
    PB_ENGINE_SLEEPS,       /* times it slept in poll */
    PB_ENGINE_COUNTERS
};
extern const struct pb_counter_desc pb_engine_counters_table[PB_ENGINE_COUNTERS];

/* Counters every brick has, before its own. */
enum pb_brick_counter { PB_BRICK_RX_PACKETS, PB_BRICK_TX_PACKETS, PB_BRICK_COPIES, PB_BRICK_COUNTERS };
extern const struct pb_counter_desc pb_brick_counters_table[PB_BRICK_COUNTERS];
/* Counters every port has: PB_PORT_COUNTERS of port.h. */
extern const struct pb_counter_desc pb_port_counters_table[PB_PORT_COUNTERS];

struct pb_node;
struct pb_output;

/* A brick's output: to another brick or to a port. */
struct pb_edge {
    struct pb_vector vector;
    struct pb_node *from;
    struct pb_node *to_node;
    struct pb_output *to_output;
    struct pb_edge *next_into_node; /* the list of to_node's edges */
};

/* A brick in its place. */
struct pb_node {
    const struct pb_brick *brick;
    uint32_t index; /* in the engine's nodes */
    void *state;
    uint8_t *config;
    uint32_t config_bytes;
    struct pb_control_object *control; /* NULL: its table has none */
    uint32_t depth;
    uint32_t level; /* see struct pb_brick_setup */
    uint32_t outputs;
    struct pb_edge *edges;       /* one for each output */
    struct pb_vector **vectors;  /* those of the edges, as process() takes them */
    struct pb_edge *into;        /* edges that end here */
    struct pb_vector joined;     /* the packets of several edges, in order of arrival */
    uint32_t copies;             /* of one packet that can meet here */
    bool initialised;
    pb_counter *counters;
    pb_counter *output_counters; /* packets to each output, then those of the brick's table for each output */
};

/* What an output refused, to be offered again. */
struct pb_pending {
    uint16_t *index;
    uint32_t first, count;
};

/* A port that packets come from. */
struct pb_input {
    struct pb_port port;
    struct pb_node *node;
    struct pb_packet *packets; /* of a batch, then of copies */
    struct pb_copies copies;
    struct pb_node **order; /* the nodes its packets can reach, parents first */
    uint32_t order_count;
    uint8_t *owned;         /* by place in order: what the node may change in place */
    bool *reaches;              /* by output index: its packets can get there */
    bool *sole;                 /* by output index: and nowhere else */
    struct pb_pending *pending; /* by output index; only of pausable inputs */
    uint32_t pending_outputs;   /* how many of them hold something */
    bool done;                  /* exhausted, and all its packets are dealt with */
};

/* A port that packets go to. */
struct pb_output {
    struct pb_port port;
    uint32_t index; /* in the engine's outputs */
    struct pb_edge *edge;
};

struct pb_engine {
    char name[PB_ENGINE_NAME_MAX + 1];
    int handle;
    uint32_t buffer_slots;
    uint32_t batch_packets;
    int32_t cpu;
    int wake_fd; /* eventfd: ends the engine thread's sleep */

    struct pb_node *nodes[PB_BRICKS_MAX];
    uint32_t nodes_count;
    struct pb_input *inputs[PB_PORTS_MAX];
    uint32_t inputs_count;
    struct pb_output *outputs[PB_PORTS_MAX];
    uint32_t outputs_count;

    struct pb_counters_page page;
    pb_counter *counters;
    uint32_t output_changes; /* see pb_port_set_deserted() */
    uint16_t *identity; /* 0, 1, 2, ...: the index of a whole batch */
    uint32_t *tally;    /* for joining edges in order of arrival */
    bool prepared;      /* vectors, order and counters are made */

    pthread_t thread;
    bool has_thread;
    sem_t begun; /* the thread looks for packets; start waits for it */
    _Atomic bool stopping;
    _Atomic int state; /* PB_ENGINE_STOPPED, ... */
};

/* prepare.c: allocate what the finished graph needs to run, all or nothing. */
int pb_graph_prepare(struct pb_engine *engine, struct pb_error *error);
/* Make what opening the inputs has decided (pausable or not). */
int pb_graph_prepare_inputs(struct pb_engine *engine, struct pb_error *error);
void pb_graph_free(struct pb_engine *engine);
void pb_node_free(struct pb_node *node);

/* rewrite.c: allocate an input's descriptors, and room for the copies of `rewritten` of each
 * packet in all bricks that change them. */
int pb_rewrite_prepare(struct pb_engine *engine, struct pb_input *input, uint64_t rewritten, struct pb_error *error);
/* What each brick may change in place, once opening has decided whether the port lends for writing. */
void pb_rewrite_decide(struct pb_input *input);
void pb_rewrite_free(struct pb_input *input);

/* graph.c: */
/* Carry `count` packets of the input through the bricks to the outputs. */
void pb_graph_run(struct pb_engine *engine, struct pb_input *input, uint32_t count);
/* Offer again what outputs refused; true when nothing is left. */
bool pb_graph_retry(struct pb_engine *engine, struct pb_input *input);
/* Count what still waits as dropped: the engine stops. */
void pb_graph_abandon(struct pb_engine *engine, struct pb_input *input);

/* controls.c: a brick's control object by its handle, for one more holder; and one holder less. */
struct pb_control_object *pb_control_hold(int handle, const struct pb_brick *brick, struct pb_error *error);
void pb_control_drop(struct pb_control_object *object);
void *pb_control_of(const struct pb_control_object *object);

/* loop.c: the engine thread; `argument` is the engine. */
void *pb_engine_loop(void *argument);

/* control.c: the engine of a handle, or NULL; the second also says so in `error`. */
struct pb_engine *pb_engine_find(int handle);
struct pb_engine *pb_engine_require(int handle, struct pb_error *error);

#endif
