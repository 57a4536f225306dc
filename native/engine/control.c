/*
 * control.c - the control ABI of packet_bricks.h: engines by handle, and the
 * making of their graphs. life.c starts and stops them. Control thread only.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../core/error.h"
#include "../core/handle.h"
#include "engine.h"

_Static_assert(PB_ENGINES_MAX <= PB_HANDLE_SLOTS_MAX, "a slot fits a handle");

static struct {
    struct pb_engine *engine;
    uint32_t generation;
} slots[PB_ENGINES_MAX];

const char *pb_abi_hash(void)
{
    return PB_ABI_HASH;
}

struct pb_engine *pb_engine_find(int handle)
{
    uint32_t slot = pb_handle_slot(handle);
    if (slot >= PB_ENGINES_MAX || slots[slot].engine == NULL || slots[slot].generation != pb_handle_generation(handle))
        return NULL;
    return slots[slot].engine;
}

struct pb_engine *pb_engine_require(int handle, struct pb_error *error)
{
    struct pb_engine *engine = pb_engine_find(handle);
    if (engine == NULL)
        pb_fail(error, EBADF, "engine handle %d: no such engine", handle);
    return engine;
}

/* For calls that change the graph. */
static struct pb_engine *find_open(int handle, struct pb_error *error)
{
    struct pb_engine *engine = pb_engine_require(handle, error);
    if (engine != NULL && engine->prepared) {
        pb_fail(error, EBUSY, "engine \"%s\": its graph is complete; make a new engine to change it", engine->name);
        return NULL;
    }
    return engine;
}

static struct pb_node *find_node(struct pb_engine *engine, uint32_t brick, struct pb_error *error)
{
    if (brick < engine->nodes_count)
        return engine->nodes[brick];
    pb_fail(error, EINVAL, "engine \"%s\": no brick %u", engine->name, brick);
    return NULL;
}

int pb_engine_create(const char *name, uint32_t buffer_slots, int32_t cpu, uint32_t batch_packets, struct pb_error *error)
{
    if (name == NULL || strlen(name) > PB_ENGINE_NAME_MAX)
        return pb_fail(error, EINVAL, "an engine's name has at most %d bytes", PB_ENGINE_NAME_MAX);
    if (batch_packets == 0 || batch_packets > PB_BATCH_PACKETS_MAX)
        return pb_fail(error, EINVAL, "engine \"%s\": a batch is 1 to %d packets", name, PB_BATCH_PACKETS_MAX);
    if (buffer_slots == 0 || buffer_slots > PB_BUFFER_SLOTS_MAX)
        return pb_fail(error, EINVAL, "engine \"%s\": a buffer is 1 to %d slots", name, PB_BUFFER_SLOTS_MAX);
    long cpus = sysconf(_SC_NPROCESSORS_CONF);
    if (cpu < -1 || cpu >= cpus)
        return pb_fail(error, EINVAL, "engine \"%s\": no processor %d; have: 0 to %ld, or -1 for any", name, cpu, cpus - 1);
    uint32_t slot = 0;
    while (slot < PB_ENGINES_MAX && slots[slot].engine != NULL)
        slot++;
    if (slot == PB_ENGINES_MAX)
        return pb_fail(error, EMFILE, "engine \"%s\": there are %d engines already; delete one", name, PB_ENGINES_MAX);
    struct pb_engine *engine = calloc(1, sizeof(*engine));
    if (engine == NULL)
        return pb_fail(error, ENOMEM, "engine \"%s\": no memory", name);
    engine->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (engine->wake_fd < 0) {
        int code = errno;
        free(engine);
        return pb_fail(error, code, "engine \"%s\": no eventfd: %s", name, pb_errno_text(code));
    }
    snprintf(engine->name, sizeof(engine->name), "%s", name);
    engine->buffer_slots = buffer_slots;
    engine->batch_packets = batch_packets;
    engine->cpu = cpu;
    slots[slot].engine = engine;
    slots[slot].generation = pb_handle_next_generation(slots[slot].generation);
    engine->handle = pb_handle_make(slot, slots[slot].generation);
    return engine->handle;
}

static int init_port(struct pb_engine *engine, struct pb_port *port, const char *driver_name, const char *name,
                     const char *options, struct pb_error *error)
{
    const struct pb_port_driver *driver = pb_port_driver_find(driver_name);
    struct pb_error reason;
    pb_port_label(port, driver_name, name);
    if (driver == NULL)
        return pb_port_fail(port, error, ENOENT, "there is no such driver; bricks --drivers lists them");
    bool can = port->role == PB_PORT_INPUT ? driver->input : driver->output;
    if (!can)
        return pb_port_fail(port, error, EOPNOTSUPP, "driver \"%s\" cannot do that; use another", driver_name);
    port->driver = driver;
    port->operations = pb_port_driver_operations(driver, &reason);
    if (port->operations == NULL)
        return pb_port_fail(port, error, reason.code, "%s", reason.text);
    port->name = strdup(name);
    port->options = strdup(options);
    port->buffer_slots = engine->buffer_slots;
    port->batch_packets = engine->batch_packets;
    port->engine_name = engine->name;
    port->engine_handle = engine->handle;
    port->engine_wake_fd = engine->wake_fd;
    port->output_changes = &engine->output_changes;
    if (port->name != NULL && port->options != NULL)
        return 0;
    free(port->name);
    free(port->options);
    return pb_port_no_memory(port, error);
}

int pb_engine_add_input(int handle, const char *driver, const char *name, const char *options, int32_t queue_id,
                        struct pb_error *error)
{
    struct pb_engine *engine = find_open(handle, error);
    if (engine == NULL)
        return -error->code;
    if (engine->inputs_count == PB_PORTS_MAX)
        return pb_fail(error, ERANGE, "engine \"%s\": at most %d inputs", engine->name, PB_PORTS_MAX);
    struct pb_input *input = calloc(1, sizeof(*input));
    if (input == NULL)
        return pb_fail(error, ENOMEM, "engine \"%s\": %s", engine->name, pb_errno_text(ENOMEM));
    input->port.role = PB_PORT_INPUT;
    input->port.queue_id = queue_id;
    int status = init_port(engine, &input->port, driver, name, options, error);
    if (status < 0) {
        free(input);
        return status;
    }
    engine->inputs[engine->inputs_count] = input;
    return (int)engine->inputs_count++;
}

int pb_engine_add_output(int handle, const char *driver, const char *name, const char *options, struct pb_error *error)
{
    struct pb_engine *engine = find_open(handle, error);
    if (engine == NULL)
        return -error->code;
    if (engine->outputs_count == PB_PORTS_MAX)
        return pb_fail(error, ERANGE, "engine \"%s\": at most %d outputs", engine->name, PB_PORTS_MAX);
    struct pb_output *output = calloc(1, sizeof(*output));
    if (output == NULL)
        return pb_fail(error, ENOMEM, "engine \"%s\": %s", engine->name, pb_errno_text(ENOMEM));
    output->port.role = PB_PORT_OUTPUT;
    output->port.queue_id = -1;
    int status = init_port(engine, &output->port, driver, name, options, error);
    if (status < 0) {
        free(output);
        return status;
    }
    output->index = engine->outputs_count;
    engine->outputs[engine->outputs_count] = output;
    return (int)engine->outputs_count++;
}

static struct pb_node *make_node(const struct pb_brick *brick, const uint8_t *config, uint32_t config_bytes,
                                 uint32_t outputs)
{
    struct pb_node *node = calloc(1, sizeof(*node));
    if (node == NULL)
        return NULL;
    node->brick = brick;
    node->outputs = outputs;
    node->edges = calloc(outputs, sizeof(*node->edges));
    node->vectors = calloc(outputs, sizeof(*node->vectors));
    node->config = malloc(config_bytes + 1);
    uint32_t state_bytes = (brick->state_bytes + 64) / 64 * 64;
    node->state = aligned_alloc(64, state_bytes);
    if (node->edges == NULL || node->vectors == NULL || node->config == NULL || node->state == NULL) {
        pb_node_free(node);
        return NULL;
    }
    memset(node->state, 0, state_bytes);
    if (config_bytes > 0)
        memcpy(node->config, config, config_bytes);
    node->config_bytes = config_bytes;
    for (uint32_t i = 0; i < outputs; i++)
        node->edges[i].from = node;
    node->copies = 1;
    return node;
}

int pb_engine_add_brick(int handle, const char *name, const uint8_t *config, uint32_t config_bytes, int control,
                        uint32_t outputs, uint32_t depth, struct pb_error *error)
{
    struct pb_engine *engine = find_open(handle, error);
    const struct pb_brick *brick = engine == NULL ? NULL : pb_brick_require(name, error);
    if (brick == NULL || pb_brick_check_config(brick, config_bytes, error) < 0)
        return -error->code;
    if (outputs < brick->outputs_min || outputs > brick->outputs_max)
        return pb_fail(error, ERANGE, "brick \"%s\": has %u outputs, needs %u to %u", name, outputs,
                       brick->outputs_min, brick->outputs_max);
    if (engine->nodes_count == PB_BRICKS_MAX)
        return pb_fail(error, ERANGE, "engine \"%s\": at most %d bricks", engine->name, PB_BRICKS_MAX);
    struct pb_node *node = make_node(brick, config, config_bytes, outputs);
    if (node == NULL)
        return pb_fail(error, ENOMEM, "brick \"%s\": no memory", name);
    if (brick->control != NULL && (node->control = pb_control_hold(control, brick, error)) == NULL) {
        pb_node_free(node);
        return -error->code;
    }
    node->depth = depth;
    node->index = engine->nodes_count;
    engine->nodes[engine->nodes_count] = node;
    return (int)engine->nodes_count++;
}

int pb_engine_connect_input(int handle, uint32_t port, uint32_t brick, struct pb_error *error)
{
    struct pb_engine *engine = find_open(handle, error);
    struct pb_node *node = engine == NULL ? NULL : find_node(engine, brick, error);
    if (node == NULL)
        return -error->code;
    if (port >= engine->inputs_count)
        return pb_fail(error, EINVAL, "engine \"%s\": no input %u", engine->name, port);
    engine->inputs[port]->node = node;
    return 0;
}

/* An output of a brick that leads nowhere yet. */
static struct pb_edge *find_edge(struct pb_engine *engine, uint32_t brick, uint32_t output, struct pb_error *error)
{
    struct pb_node *node = engine == NULL ? NULL : find_node(engine, brick, error);
    if (node == NULL)
        return NULL;
    if (output >= node->outputs || node->edges[output].to_node != NULL || node->edges[output].to_output != NULL) {
        pb_fail(error, EINVAL, "brick \"%s\": output %u is not there or in use", node->brick->name, output);
        return NULL;
    }
    return &node->edges[output];
}

/* `seen`: each brick is looked at once, however many ways lead to it. */
static bool leads_to(const struct pb_node *from, const struct pb_node *to, bool *seen)
{
    if (from == to)
        return true;
    if (seen[from->index])
        return false;
    seen[from->index] = true;
    for (uint32_t i = 0; i < from->outputs; i++)
        if (from->edges[i].to_node != NULL && leads_to(from->edges[i].to_node, to, seen))
            return true;
    return false;
}

int pb_engine_connect_brick(int handle, uint32_t brick, uint32_t output, uint32_t to_brick, struct pb_error *error)
{
    struct pb_engine *engine = find_open(handle, error);
    struct pb_edge *edge = find_edge(engine, brick, output, error);
    struct pb_node *to = edge == NULL ? NULL : find_node(engine, to_brick, error);
    if (to == NULL)
        return -error->code;
    bool seen[PB_BRICKS_MAX] = {false};
    if (leads_to(to, engine->nodes[brick], seen))
        return pb_fail(error, ELOOP, "brick \"%s\": its output leads back to its input", to->brick->name);
    edge->to_node = to;
    edge->next_into_node = to->into;
    to->into = edge;
    return 0;
}

int pb_engine_connect_output(int handle, uint32_t brick, uint32_t output, uint32_t port, struct pb_error *error)
{
    struct pb_engine *engine = find_open(handle, error);
    struct pb_edge *edge = find_edge(engine, brick, output, error);
    if (edge == NULL)
        return -error->code;
    if (port >= engine->outputs_count || engine->outputs[port]->edge != NULL)
        return pb_fail(error, EINVAL, "engine \"%s\": output port %u is not there or in use", engine->name, port);
    edge->to_output = engine->outputs[port];
    engine->outputs[port]->edge = edge;
    return 0;
}

int pb_engine_state(int handle)
{
    struct pb_engine *engine = pb_engine_find(handle);
    return engine == NULL ? -EBADF : atomic_load(&engine->state);
}

int pb_engine_delete(int handle, struct pb_error *error)
{
    struct pb_engine *engine = pb_engine_require(handle, error);
    if (engine == NULL)
        return -error->code;
    if (engine->has_thread)
        return pb_fail(error, EBUSY, "engine \"%s\": runs; stop it first", engine->name);
    slots[pb_handle_slot(handle)].engine = NULL;
    pb_graph_free(engine);
    close(engine->wake_fd);
    free(engine);
    return 0;
}

void *pb_engine_counters(int handle)
{
    struct pb_engine *engine = pb_engine_find(handle);
    return engine == NULL || !engine->prepared ? NULL : (void *)engine->page.values;
}

int pb_engine_counters_bytes(int handle)
{
    struct pb_engine *engine = pb_engine_find(handle);
    return engine == NULL || !engine->prepared ? -EBADF : (int)(engine->page.used * sizeof(pb_counter));
}
