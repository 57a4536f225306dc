/*
 * bricks_extcap.c - the program bricks-extcap: makes pipes interfaces of Wireshark
 * and tshark, which run it from their extcap folder as extcap(4) says. Lists the
 * pipes, and writes one as a capture into the FIFO that it is told.
 *
 * One thread, besides those of status_list.c. Installing it is the matter of the
 * command of the same name, shell/bricks_extcap.ts.
 *
 * An interface is called bricks:eth3:0 for the pipe eth3}0: braces have a meaning
 * in extcap's output. What follows the last colon are digits, so this is reversible.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../core/error.h"
#include "capture_filter.h"
#include "capture_stream.h"
#include "packet_bricks.h"
#include "status_list.h"

#define PROGRAM "bricks-extcap"
#define INTERFACE_PREFIX "bricks:"
#define RETRY_NS 20000000 /* how often it looks whether somebody has opened the FIFO */
#define EXIT_USAGE 2

struct settings {
    bool interfaces, dlts, config, capture, wait;
    const char *interface, *fifo, *filter;
    uint32_t snaplen;
    char pipe[PB_PIPE_NAME_MAX + 1]; /* that interface */
};

static int complain(const struct pb_error *error)
{
    fprintf(stderr, PROGRAM ": %s\n", error->text);
    return EXIT_FAILURE;
}

/* ---------------------------------------------------------------- options */

enum { INTERFACES = 256, VERSION, DLTS, CONFIG, INTERFACE, CAPTURE, FIFO, FILTER, WAIT, SNAPLEN };

static const struct option options[] = {
    {"extcap-interfaces", no_argument, NULL, INTERFACES},
    {"extcap-version", optional_argument, NULL, VERSION}, /* Wireshark's, which makes no difference */
    {"extcap-dlts", no_argument, NULL, DLTS},
    {"extcap-config", no_argument, NULL, CONFIG},
    {"extcap-interface", required_argument, NULL, INTERFACE},
    {"extcap-capture-filter", required_argument, NULL, FILTER},
    {"capture", no_argument, NULL, CAPTURE},
    {"fifo", required_argument, NULL, FIFO},
    {"wait", no_argument, NULL, WAIT},
    {"snaplen", required_argument, NULL, SNAPLEN},
    {NULL, 0, NULL, 0},
};

static bool parse_snaplen(const char *text, uint32_t *snaplen)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    *snaplen = (uint32_t)value;
    if (text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && value >= 1 && value <= PB_FRAME_BYTES_MAX)
        return true;
    fprintf(stderr, PROGRAM ": --snaplen takes a number of bytes from 1 to %d, not \"%s\"\n", PB_FRAME_BYTES_MAX, text);
    return false;
}

/* The pipe of an interface: bricks:eth3:0 is eth3}0. */
static bool parse_interface(const char *interface, char pipe[PB_PIPE_NAME_MAX + 1])
{
    size_t prefix = strlen(INTERFACE_PREFIX);
    const char *colon = strrchr(interface, ':');
    bool good = strncmp(interface, INTERFACE_PREFIX, prefix) == 0 && colon >= interface + prefix &&
                strlen(interface + prefix) <= PB_PIPE_NAME_MAX;
    if (!good) {
        fprintf(stderr, PROGRAM ": no interface \"%s\" here: they are called " INTERFACE_PREFIX "eth3:0, for pipe eth3}0\n",
                interface);
        return false;
    }
    snprintf(pipe, PB_PIPE_NAME_MAX + 1, "%s", interface + prefix);
    *strrchr(pipe, ':') = '}';
    return true;
}

static bool parse_options(int argc, char **argv, struct settings *settings)
{
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case INTERFACES: settings->interfaces = true; break;
        case VERSION: break;
        case DLTS: settings->dlts = true; break;
        case CONFIG: settings->config = true; break;
        case INTERFACE: settings->interface = optarg; break;
        case FILTER: settings->filter = optarg[0] != '\0' ? optarg : NULL; break;
        case CAPTURE: settings->capture = true; break;
        case FIFO: settings->fifo = optarg; break;
        case WAIT: settings->wait = true; break;
        case SNAPLEN:
            if (!parse_snaplen(optarg, &settings->snaplen))
                return false;
            break;
        default: return false; /* getopt_long() has said why */
        }
    }
    if (settings->interface != NULL && !parse_interface(settings->interface, settings->pipe))
        return false;
    if (settings->interfaces)
        return true;
    if (settings->interface == NULL || (settings->capture && settings->fifo == NULL)) {
        fprintf(stderr, PROGRAM ": %s is missing; Wireshark runs this program, see " PROGRAM "(1)\n",
                settings->interface == NULL ? "--extcap-interface" : "--fifo");
        return false;
    }
    return true;
}

/* ----------------------------------------------------------- what there is */

/* Engines may have any name: braces and what is not printable are not for Wireshark's parser. */
static void make_plain(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f || *text == '{' || *text == '}')
            *text = '?';
}

static void print_interface(const struct pb_status_entry *entry)
{
    char value[PB_PIPE_NAME_MAX + 1], about[PB_ENGINE_NAME_MAX + 16];
    bool known = entry->result == 0;
    if (known && entry->status.direction != PB_PIPE_TO_APPLICATION)
        return;
    snprintf(value, sizeof(value), "%s", entry->name);
    *strrchr(value, '}') = ':';
    if (known)
        snprintf(about, sizeof(about), "of engine %s", entry->status.engine);
    else /* capturing says more */
        snprintf(about, sizeof(about), "(%s)", entry->result == -EACCES ? "no permission" : "does not answer");
    make_plain(about);
    printf("interface {value=" INTERFACE_PREFIX "%s}{display=pipe %s %s}\n", value, entry->name, about);
}

static int print_interfaces(void)
{
    struct pb_error error;
    printf("extcap {version=" PB_VERSION "}{display=packet-bricks pipes}\n");
    return pb_status_list(print_interface, &error) < 0 ? complain(&error) : EXIT_SUCCESS;
}

/* A pipe's link type is known to who reads it, and to read it is to take its packets. So
 * this is the usual one; what counts is in the capture's header. */
static int print_link_types(void)
{
    printf("dlt {number=%d}{name=EN10MB}{display=Ethernet}\n", PB_LINK_ETHERNET);
    return EXIT_SUCCESS;
}

static int print_config(void)
{
    printf("arg {number=0}{call=--wait}{display=Wait for the pipe}{type=boolflag}{default=false}"
           "{tooltip=Where no engine serves the pipe: wait until one does}\n"
           "arg {number=1}{call=--snaplen}{display=Bytes kept of each packet}{type=unsigned}{range=1,%d}{default=%d}"
           "{tooltip=Longer packets are cut}\n",
           PB_FRAME_BYTES_MAX, PB_FRAME_BYTES_MAX);
    return EXIT_SUCCESS;
}

/* Nothing on standard output means: a filter that can be used. */
static int print_filter_fault(const char *text)
{
    struct pb_error error;
    if (text != NULL && pb_capture_filter_check(text, &error) < 0)
        printf("%s\n", error.text);
    return EXIT_SUCCESS;
}

/* ---------------------------------------------------------------- capture */

struct selection {
    const char *text;
    struct pb_pcap_code filter;
};

static int begin_selection(void *arg, uint32_t link_type, struct pb_error *error)
{
    struct selection *selection = arg;
    return pb_capture_filter_compile(selection->text, link_type, &selection->filter, error);
}

static bool is_selected(void *arg, const struct pb_pipe_record *record)
{
    const struct selection *selection = arg;
    return pb_capture_filter_matches(&selection->filter, record);
}

/* Open the FIFO for writing. Its reader may be about to come; whoever started us may
 * also be gone, and then nobody will. */
static int open_fifo(const char *path, pid_t parent, struct pb_error *error)
{
    const struct timespec pause = {.tv_nsec = RETRY_NS};
    int fd;
    while ((fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0 && errno == ENXIO && !pb_capture_interrupted() &&
           getppid() == parent)
        nanosleep(&pause, NULL);
    if (fd < 0)
        return pb_fail(error, errno == ENXIO ? EPIPE : errno, "cannot open the FIFO %s: %s", path, pb_errno_text(errno));
    fcntl(fd, F_SETFL, 0); /* blocking: Wireshark's pace is ours */
    return fd;
}

static int copy_to_fifo(const struct settings *settings, struct pb_pipe_reader *reader, struct pb_error *error)
{
    struct selection selection = {.text = settings->filter};
    const struct pb_capture_selector selector = {begin_selection, is_selected, &selection};
    struct pb_capture capture = {
        .reader = reader,
        .fd_name = settings->fifo,
        .snaplen = settings->snaplen,
        .selector = settings->filter != NULL ? &selector : NULL,
        .parent = getppid(),
    };
    capture.fd = open_fifo(settings->fifo, capture.parent, error);
    if (capture.fd < 0)
        return capture.fd;
    int result = pb_capture_copy(&capture, error);
    close(capture.fd);
    if (settings->filter != NULL)
        pb_pcap_free(&selection.filter);
    return result;
}

static int capture_pipe(const struct settings *settings)
{
    struct pb_pipe_reader *reader;
    struct pb_error error;
    pb_capture_catch_signals();
    /* Before the pipe is taken: its link type may be known only with its first packet. */
    int result = settings->filter != NULL ? pb_capture_filter_check(settings->filter, &error) : 0;
    if (result == 0)
        result = pb_capture_attach(settings->pipe, settings->wait, &reader, &error);
    if (result == 0) {
        result = copy_to_fifo(settings, reader, &error);
        pb_pipe_close(reader);
    }
    /* Wireshark shows whatever is on standard error: nothing where it wanted the end. */
    if (result == 0 || result == -EPIPE || pb_capture_interrupted())
        return EXIT_SUCCESS;
    return complain(&error);
}

int main(int argc, char **argv)
{
    struct settings settings = {0};
    if (!parse_options(argc, argv, &settings))
        return EXIT_USAGE;
    if (settings.interfaces)
        return print_interfaces();
    if (settings.dlts)
        return print_link_types();
    if (settings.config)
        return print_config();
    return settings.capture ? capture_pipe(&settings) : print_filter_fault(settings.filter);
}
