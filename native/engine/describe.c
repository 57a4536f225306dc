/*
 * describe.c - the tables of the data plane as JSON for the control plane:
 * what drivers and bricks there are, and where an engine's counters lie.
 * Control thread only.
 */
#include <errno.h>

#include "../core/text.h"
#include "../ports/module.h"
#include "engine.h"

const struct pb_counter_desc pb_engine_counters_table[PB_ENGINE_COUNTERS] = {
    [PB_ENGINE_IN_FLIGHT] = {"in_flight", PB_COUNTER_GAUGE, "packets", "wait for an output"},
    [PB_ENGINE_DROP_STOPPED] = {"stopped", PB_COUNTER_DROP, "packets", "waited for an output when the engine was stopped"},
    [PB_ENGINE_SOURCES_LEFT] = {"sources_left", PB_COUNTER_GAUGE, "ports", "pausable inputs with packets left"},
    [PB_ENGINE_UNDELIVERED] = {"undelivered_ports", PB_COUNTER_GAUGE, "ports", "outputs whose reader has packets to fetch"},
    [PB_ENGINE_TURNS] = {"turns", PB_COUNTER_TOTAL, "turns", "turns of the loop that moved packets"},
    [PB_ENGINE_SLEEPS] = {"sleeps", PB_COUNTER_TOTAL, "sleeps", "times the engine slept"},
};

const struct pb_counter_desc pb_brick_counters_table[PB_BRICK_COUNTERS] = {
    [PB_BRICK_RX_PACKETS] = {"rx_packets", PB_COUNTER_TOTAL, "packets", "received"},
    [PB_BRICK_TX_PACKETS] = {"tx_packets", PB_COUNTER_TOTAL, "packets", "sent, over all outputs"},
    [PB_BRICK_COPIES] = {"copies", PB_COUNTER_TOTAL, "packets", "made by sending one packet to several outputs"},
};

const struct pb_counter_desc pb_port_counters_table[PB_PORT_COUNTERS] = {
    [PB_PORT_RX_PACKETS] = {"rx_packets", PB_COUNTER_TOTAL, "packets", "received"},
    [PB_PORT_RX_BYTES] = {"rx_bytes", PB_COUNTER_TOTAL, "bytes", "received, lengths on the wire"},
    [PB_PORT_TX_PACKETS] = {"tx_packets", PB_COUNTER_TOTAL, "packets", "sent"},
    [PB_PORT_TX_BYTES] = {"tx_bytes", PB_COUNTER_TOTAL, "bytes", "sent, lengths on the wire"},
    [PB_PORT_IN_FLIGHT] = {"in_flight", PB_COUNTER_GAUGE, "packets", "accepted, neither sent nor dropped yet"},
};

static void add_counters(struct pb_text *text, const struct pb_counter_desc *counters, uint32_t count, bool first)
{
    static const char *const kinds[] = {
        [PB_COUNTER_TOTAL] = "total", [PB_COUNTER_DROP] = "drop", [PB_COUNTER_LOST] = "lost", [PB_COUNTER_GAUGE] = "gauge"};
    for (uint32_t i = 0; i < count; i++) {
        pb_text_add(text, "%s{\"name\":", i > 0 || !first ? "," : "");
        pb_text_add_json(text, counters[i].name);
        pb_text_add(text, ",\"kind\":\"%s\",\"unit\":", kinds[counters[i].kind]);
        pb_text_add_json(text, counters[i].unit);
        pb_text_add(text, ",\"text\":");
        pb_text_add_json(text, counters[i].text);
        pb_text_add(text, "}");
    }
}

static void add_option(struct pb_text *text, const struct pb_option_desc *option)
{
    static const char *const types[] = {[PB_OPTION_INTEGER] = "integer",
                                        [PB_OPTION_NUMBER] = "number",
                                        [PB_OPTION_STRING] = "string",
                                        [PB_OPTION_BOOLEAN] = "boolean"};
    pb_text_add(text, "{\"name\":");
    pb_text_add_json(text, option->name);
    pb_text_add(text, ",\"type\":\"%s\"", types[option->type]);
    bool is_number = option->type == PB_OPTION_INTEGER || option->type == PB_OPTION_NUMBER;
    if (is_number)
        pb_text_add(text, ",\"min\":%.0f,\"max\":%.0f", option->min, option->max);
    /* An empty default of a number: something else decides. */
    if (!is_number || option->default_text[0] != '\0')
        pb_text_add(text, ",\"default\":");
    if (is_number)
        pb_text_add(text, "%s", option->default_text);
    else if (option->type == PB_OPTION_BOOLEAN)
        pb_text_add(text, "%s", option->default_text[0] == '1' ? "true" : "false");
    else
        pb_text_add_json(text, option->default_text);
    pb_text_add(text, ",\"text\":");
    pb_text_add_json(text, option->text);
    pb_text_add(text, "}");
}

static const char *names_text(enum pb_port_names names)
{
    static const char *const texts[] = {[PB_NAMES_INTERFACE] = "interface", [PB_NAMES_NEW_INTERFACE] = "new interface",
                                        [PB_NAMES_DEVICE] = "device",       [PB_NAMES_FILE] = "file",
                                        [PB_NAMES_PIPE] = "pipe",           [PB_NAMES_NOTHING] = "nothing"};
    return texts[names];
}

static void add_driver(struct pb_text *text, const struct pb_port_driver *driver)
{
    pb_text_add(text, "{\"name\":");
    pb_text_add_json(text, driver->name);
    pb_text_add(text, ",\"text\":");
    pb_text_add_json(text, driver->text);
    pb_text_add(text, ",\"input\":%s,\"output\":%s,\"names\":\"%s\",\"pipes\":%s", driver->input ? "true" : "false",
                driver->output ? "true" : "false", names_text(driver->names), driver->pipes ? "true" : "false");
    if (driver->module != NULL) {
        pb_text_add(text, ",\"module\":");
        pb_text_add_json(text, driver->module->file);
    }
    pb_text_add(text, ",\"options\":[");
    for (const struct pb_option_desc *option = driver->options; option != NULL && option->name != NULL; option++) {
        if (option != driver->options)
            pb_text_add(text, ",");
        add_option(text, option);
    }
    pb_text_add(text, "],\"counters\":[");
    add_counters(text, driver->counters, driver->counters_count, true);
    pb_text_add(text, "]}");
}

int pb_describe(char *buffer, uint32_t buffer_bytes)
{
    struct pb_text text = {.buffer = buffer, .capacity = buffer_bytes};
    pb_text_add(&text, "{\"drivers\":[");
    const struct pb_port_driver *driver;
    for (uint32_t i = 0; (driver = pb_port_driver_at(i)) != NULL; i++) {
        pb_text_add(&text, i > 0 ? "," : "");
        add_driver(&text, driver);
    }
    pb_text_add(&text, "],\"bricks\":[");
    const struct pb_brick *brick;
    for (uint32_t i = 0; (brick = pb_brick_at(i)) != NULL; i++) {
        pb_text_add(&text, "%s{\"name\":", i > 0 ? "," : "");
        pb_text_add_json(&text, brick->name);
        pb_text_add(&text, ",\"configBytes\":%u,\"control\":%s,\"counters\":[", brick->config_bytes,
                    brick->control == NULL ? "false" : "true");
        add_counters(&text, brick->counters, brick->counters_count, true);
        pb_text_add(&text, "],\"outputCounters\":[");
        add_counters(&text, brick->output_counters, brick->output_counters_count, true);
        pb_text_add(&text, "]}");
    }
    pb_text_add(&text, "]}");
    return pb_text_result(&text);
}

static uint32_t place(const struct pb_engine *engine, const pb_counter *counter)
{
    return (uint32_t)(counter - engine->page.values);
}

static void add_port(struct pb_text *text, const struct pb_engine *engine, const struct pb_port *port, bool first)
{
    pb_text_add(text, "%s{\"role\":\"%s\",\"driver\":", first ? "" : ",", port->role == PB_PORT_INPUT ? "input" : "output");
    pb_text_add_json(text, port->driver->name);
    pb_text_add(text, ",\"name\":");
    pb_text_add_json(text, port->name);
    pb_text_add(text, ",\"at\":%u,\"counters\":[", place(engine, port->counters));
    add_counters(text, pb_port_counters_table, PB_PORT_COUNTERS, true);
    add_counters(text, port->driver->counters, port->driver->counters_count, false);
    pb_text_add(text, "],\"deviceCounters\":[");
    add_counters(text, port->device_counters, port->device_counters_count, true);
    pb_text_add(text, "]}");
}

int pb_engine_describe(int handle, char *buffer, uint32_t buffer_bytes)
{
    struct pb_engine *engine = pb_engine_find(handle);
    if (engine == NULL || !engine->prepared)
        return -EBADF;
    struct pb_text text = {.buffer = buffer, .capacity = buffer_bytes};
    pb_text_add(&text, "{\"engine\":{\"at\":%u,\"counters\":[", place(engine, engine->counters));
    add_counters(&text, pb_engine_counters_table, PB_ENGINE_COUNTERS, true);
    pb_text_add(&text, "]},\"ports\":[");
    for (uint32_t i = 0; i < engine->inputs_count; i++)
        add_port(&text, engine, &engine->inputs[i]->port, i == 0);
    for (uint32_t i = 0; i < engine->outputs_count; i++)
        add_port(&text, engine, &engine->outputs[i]->port, false);
    pb_text_add(&text, "],\"bricks\":[");
    for (uint32_t i = 0; i < engine->nodes_count; i++) {
        const struct pb_node *node = engine->nodes[i];
        pb_text_add(&text, "%s{\"name\":", i > 0 ? "," : "");
        pb_text_add_json(&text, node->brick->name);
        pb_text_add(&text, ",\"at\":%u,\"outputsAt\":%u,\"outputs\":%u,\"counters\":[", place(engine, node->counters),
                    place(engine, node->output_counters), node->outputs);
        add_counters(&text, pb_brick_counters_table, PB_BRICK_COUNTERS, true);
        add_counters(&text, node->brick->counters, node->brick->counters_count, false);
        pb_text_add(&text, "],\"outputCounters\":[");
        add_counters(&text, node->brick->output_counters, node->brick->output_counters_count, true);
        pb_text_add(&text, "]}");
    }
    pb_text_add(&text, "]}");
    return pb_text_result(&text);
}
