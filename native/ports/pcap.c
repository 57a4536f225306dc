/*
 * pcap.c - the driver "pcap": a capture file as input or output.
 *
 * Only the table is here. The engine calls it; by role it leads to pcap/input.c
 * (with pcap/files.c, pcap/source.c, pcap/gunzip.c, pcap/format.c,
 * pcap/format_ng.c below it) or to pcap/output.c. Threads as in port.h.
 */
#include "pcap.h"

#include "pcap/input.h"
#include "pcap/output.h"
#include "port.h"

static int pcap_open(struct pb_port *port, struct pb_error *error)
{
    return port->role == PB_PORT_INPUT ? pcap_input_open(port, error) : pcap_output_open(port, error);
}

/* Nothing to give back: the buffer is refilled by the next rx_batch(). */
static void pcap_rx_release(struct pb_port *port)
{
    (void)port;
}

static bool pcap_wait(struct pb_port *port, struct pb_wait *wait)
{
    return port->role == PB_PORT_INPUT ? pcap_input_wait(port, wait) : pcap_output_wait(port, wait);
}

static void pcap_flush(struct pb_port *port)
{
    if (port->role == PB_PORT_OUTPUT)
        pcap_output_flush(port);
}

static bool pcap_undelivered(struct pb_port *port)
{
    return port->role == PB_PORT_OUTPUT && pcap_output_undelivered(port);
}

static void pcap_close(struct pb_port *port)
{
    if (port->role == PB_PORT_INPUT)
        pcap_input_close(port);
    else
        pcap_output_close(port);
}

static const struct pb_option_desc options[] = {
    {"speed", PB_OPTION_NUMBER, "0", 0, 1e6,
     "input: pace of the replay, 1 = as recorded, 2 = twice that, 0 = as fast as possible"},
    {"loop", PB_OPTION_INTEGER, "1", 0, 1e9, "input: how many times it is read, 0 = for ever"},
    {0},
};

static const struct pb_counter_desc counters[PCAP_COUNTERS] = {
    [PCAP_CORRUPT_FILES] = {"corrupt", PB_COUNTER_TOTAL, "files",
                            "input: captures cut short or damaged; the packets before that place were read"},
    [PCAP_SKIPPED_FILES] = {"skipped", PB_COUNTER_TOTAL, "files",
                            "input: files of a directory that are no captures or cannot be opened"},
    [PCAP_WRITE_ERROR] = {"write_error", PB_COUNTER_DROP, "packets",
                          "output: could not be written: disk full, reader gone"},
    [PCAP_LINK_TYPE] = {"link_type", PB_COUNTER_DROP, "packets",
                        "output: of another link type than the file's first packet"},
    [PCAP_OUTPUT_BUSY] = {"output_busy", PB_COUNTER_DROP, "packets", "output: the pipe's reader was too slow"},
};

static const struct pb_port_operations pcap_operations = {
    .open = pcap_open,
    .rx_batch = pcap_input_rx_batch,
    .rx_release = pcap_rx_release,
    .tx_batch = pcap_output_tx_batch,
    .wait = pcap_wait,
    .flush = pcap_flush,
    .undelivered = pcap_undelivered,
    .close = pcap_close,
};

static const struct pb_port_driver pcap_driver = {
    .name = "pcap",
    .text = "capture files: pcap and pcapng, also gzipped, a directory or - as input; nanosecond pcap as output",
    .input = true,
    .output = true,
    .names = PB_NAMES_FILE,
    .options = options,
    .counters = counters,
    .counters_count = PCAP_COUNTERS,
    .operations = &pcap_operations,
};

PB_PORT_DRIVER(pcap_driver);
