/*
 * bricks_pipe.c - the program bricks-pipe: writes a pipe's packets to standard
 * output as a capture (libpcap format, nanoseconds), for tcpdump, Wireshark and
 * the like; lists the pipes of this machine.
 *
 * One thread, besides those of status_list.c.
 */
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wrapper.h"
#include "capture_stream.h"
#include "../pipe/directory.h"
#include "packet_bricks.h"
#include "status_list.h"

#define PROGRAM "bricks-pipe"
#define EXIT_USAGE 2

/* ---------------------------------------------------------------- options */

struct settings {
    const char *name;
    uint64_t count; /* stop after so many packets; 0: do not */
    bool wait, quiet, list, help, version;
};

/* The options: the parser and the help text come from this table. */
static const struct option_desc {
    char letter;
    const char *name, *argument, *text;
} options[] = {
    {'c', "count", "N", "stop after N packets"},
    {'l', "list", NULL, "list the pipes of this machine and leave"},
    {'q', "quiet", NULL, "no summary at the end"},
    {'w', "wait", NULL, "wait until an engine serves the pipe"},
    {'h', "help", NULL, "show this help"},
    {'v', "version", NULL, "show the version"},
};
#define OPTIONS_COUNT (sizeof(options) / sizeof(options[0]))

static void print_help(void)
{
    printf("Usage: " PROGRAM " [OPTION]... NAME\n"
           "       " PROGRAM " --list\n\n"
           "Write the packets of pipe NAME (like eth3}0) to standard output, as a capture\n"
           "that tcpdump, Wireshark and others read.\n\n");
    for (size_t i = 0; i < OPTIONS_COUNT; i++)
        printf("  -%c, --%-7s %-2s  %s\n", options[i].letter, options[i].name,
               options[i].argument != NULL ? options[i].argument : "", options[i].text);
    printf("\nExamples:\n"
           "  " PROGRAM " 'eth3}0' | tcpdump -nr -\n"
           "  " PROGRAM " 'eth3}0' | wireshark -k -i -\n"
           "  " PROGRAM " -w -c 1000 'eth3}0' > first.pcap\n\n"
           "--list shows for each pipe which way its packets go as the engine sees it (DIR: out or\n"
           "in), the application at its end, how full it is and was at most, and what was lost.\n\n"
           "Pipes are looked for in $BRICKS_RUNTIME_DIR, else /run/bricks for root, else\n"
           "$XDG_RUNTIME_DIR/bricks.\n\n"
           "Exit status: 0 at the end of the stream, after N packets or when interrupted;\n"
           "1 on an error; 2 on wrong usage.\n");
}

static bool parse_count(const char *text, uint64_t *count)
{
    char *end;
    errno = 0;
    *count = strtoull(text, &end, 10);
    if (text[0] >= '1' && text[0] <= '9' && *end == '\0' && errno == 0)
        return true;
    fprintf(stderr, PROGRAM ": --count takes a number of packets from 1, not \"%s\"\n", text);
    return false;
}

static bool parse_options(int argc, char **argv, struct settings *settings)
{
    struct option known[OPTIONS_COUNT + 1] = {0};
    char letters[2 * OPTIONS_COUNT + 1] = "";
    for (size_t i = 0, used = 0; i < OPTIONS_COUNT; i++) {
        known[i] = (struct option){options[i].name, options[i].argument != NULL ? required_argument : no_argument, NULL,
                                   options[i].letter};
        letters[used++] = options[i].letter;
        if (options[i].argument != NULL)
            letters[used++] = ':';
    }
    bool good = true;
    for (int letter; (letter = getopt_long(argc, argv, letters, known, NULL)) != -1;) {
        switch (letter) {
        case 'c': good = parse_count(optarg, &settings->count) && good; break;
        case 'l': settings->list = true; break;
        case 'q': settings->quiet = true; break;
        case 'w': settings->wait = true; break;
        case 'h': settings->help = true; break;
        case 'v': settings->version = true; break;
        default: good = false; /* getopt_long() has said why */
        }
    }
    bool needs_name = !settings->list && !settings->help && !settings->version;
    settings->name = argv[optind];
    if (good && argc - optind != (needs_name ? 1 : 0)) {
        fprintf(stderr, PROGRAM ": %s\n",
                needs_name && argc == optind ? "which pipe? Give its NAME, like 'eth3}0'"
                : settings->list             ? "too many arguments: --list takes none"
                                             : "too many arguments: one pipe's NAME; the capture goes to standard "
                                               "output (> FILE)");
        good = false;
    }
    if (!good)
        fprintf(stderr, "Try '" PROGRAM " --help', or '" PROGRAM " --list' for the pipes there are.\n");
    return good;
}

/* ------------------------------------------------------------------- list */

#define LIST_HEADER "%-14s %-3s %-12s %7s %-23s %5s %5s %12s %9s\n"
#define LIST_ROW "%-14s %-3s %-12s %7d %-23s %5.1f %5.1f %12llu %9llu\n"

static void describe_application(const struct pb_pipe_status *status, char *text, size_t text_bytes)
{
    if (status->application_pid == 0)
        snprintf(text, text_bytes, "-");
    else
        snprintf(text, text_bytes, "%d %s", (int)status->application_pid, status->application);
}

static double percent_of_ring(const struct pb_pipe_status *status, uint64_t bytes)
{
    return status->ring_bytes > 0 ? 100.0 * (double)bytes / (double)status->ring_bytes : 0;
}

static uint32_t pipes_listed;
static struct pb_error denied; /* the first pipe's that may not be asked; code 0: none */

static void list_pipe(const struct pb_status_entry *entry)
{
    pipes_listed++;
    const struct pb_pipe_status *status = &entry->status;
    char application[PB_PROGRAM_NAME_MAX + 16];
    if (entry->result == -EACCES) {
        printf("%-14s (no permission)\n", entry->name);
        if (denied.code == 0)
            denied = entry->error;
        return;
    }
    if (entry->result < 0) {
        fprintf(stderr, PROGRAM ": %s\n", entry->error.text);
        return;
    }
    describe_application(status, application, sizeof(application));
    printf(LIST_ROW, entry->name, status->direction == PB_PIPE_TO_APPLICATION ? "out" : "in", status->engine,
           (int)status->engine_pid, application, percent_of_ring(status, status->used_bytes),
           percent_of_ring(status, status->used_bytes_max), (unsigned long long)status->packets,
           (unsigned long long)status->dropped);
}

/* An empty table looks the same in a wrong runtime directory. */
static void say_where_none_are(void)
{
    struct sockaddr_un address;
    struct pb_error error;
    if (pb_pipe_address("none}0", false, &address, &error) < 0)
        fprintf(stderr, PROGRAM ": %s\n", error.text);
    else
        fprintf(stderr, PROGRAM ": no engine serves a pipe in %s (BRICKS_RUNTIME_DIR says where to look: root's engines "
                                "are at /run/bricks)\n",
                dirname(address.sun_path));
}

static int list_pipes(void)
{
    struct pb_error error;
    printf(LIST_HEADER, "PIPE", "DIR", "ENGINE", "PID", "APPLICATION", "FILL%", "MAX%", "PACKETS", "DROPPED");
    if (pb_status_list(list_pipe, &error) < 0) {
        fprintf(stderr, PROGRAM ": %s\n", error.text);
        return EXIT_FAILURE;
    }
    if (pipes_listed == 0)
        say_where_none_are();
    if (denied.code != 0)
        fprintf(stderr, PROGRAM ": %s\n", denied.text);
    return EXIT_SUCCESS;
}

/* ---------------------------------------------------------------- capture */

/* Whoever reads the capture has gone: end as programs in a pipeline do. */
static void end_by_sigpipe(void)
{
    signal(SIGPIPE, SIG_DFL);
    raise(SIGPIPE);
}

/* Losses only where there are some: they are why somebody reads this line. */
static void say_summary(const char *name, const struct pb_capture *capture)
{
    struct pb_pipe_counts counts;
    char losses[48] = "";
    pb_pipe_counts(capture->reader, &counts);
    if (counts.dropped > 0)
        snprintf(losses, sizeof(losses), ", %llu dropped", (unsigned long long)counts.dropped);
    fprintf(stderr, PROGRAM ": %s: %llu packets%s%s\n", name, (unsigned long long)capture->packets, losses,
            pb_capture_interrupted() ? ", interrupted" : "");
}

static int capture_pipe(const struct settings *settings)
{
    struct pb_capture capture = {
        .fd = STDOUT_FILENO, .fd_name = "standard output", .packets_max = settings->count};
    struct pb_error error;
    if (isatty(STDOUT_FILENO)) {
        fprintf(stderr, PROGRAM ": will not write a capture to a terminal: send it to a file or a program "
                                "(| tcpdump -nr -)\n");
        return EXIT_USAGE;
    }
    pb_capture_catch_signals();
    int result = pb_capture_attach(settings->name, settings->wait, &capture.reader, &error);
    if (result == -EINTR)
        return EXIT_SUCCESS;
    if (result < 0) {
        fprintf(stderr, PROGRAM ": %s%s\n", error.text, result == -ENOENT ? "; use --wait to wait for it" : "");
        return EXIT_FAILURE;
    }
    result = pb_capture_copy(&capture, &error);
    if (result == -EPIPE)
        end_by_sigpipe();
    if (result < 0)
        fprintf(stderr, PROGRAM ": pipe \"%s\": %s\n", settings->name, error.text);
    else if (!settings->quiet)
        say_summary(settings->name, &capture);
    pb_pipe_close(capture.reader);
    return result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct settings settings = {0};
    pb_wrapper_follow();
    if (!parse_options(argc, argv, &settings))
        return EXIT_USAGE;
    if (settings.help)
        print_help();
    else if (settings.version)
        printf(PROGRAM " " PB_VERSION "\n");
    else
        return settings.list ? list_pipes() : capture_pipe(&settings);
    return EXIT_SUCCESS;
}
