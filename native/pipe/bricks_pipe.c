/*
 * bricks_pipe.c - the program bricks-pipe: writes a pipe's packets to standard
 * output as a capture (libpcap format, nanoseconds), for tcpdump, Wireshark and
 * the like; lists the pipes of this machine.
 *
 * One thread. Uses the public reader library only.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "packet_bricks.h"

#define PROGRAM "bricks-pipe"
#define RECORDS_MAX 256
#define OUTPUT_BYTES (256u << 10)
#define RETRY_NS 100000000 /* how often --wait looks */
#define EXIT_USAGE 2

#define PCAP_MAGIC_NS 0xa1b23c4du
#define PCAP_LINK_ETHERNET 1u

struct pcap_file_header {
    uint32_t magic;
    uint16_t major, minor;
    int32_t zone;
    uint32_t sigfigs, snaplen, link_type;
};

struct pcap_record_header {
    uint32_t seconds, nanoseconds, captured_len, wire_len;
};

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
                needs_name && argc == optind ? "which pipe? Give its NAME, like 'eth3}0'" : "too many arguments");
        good = false;
    }
    if (!good)
        fprintf(stderr, "Try '" PROGRAM " --help', or '" PROGRAM " --list' for the pipes there are.\n");
    return good;
}

/* ------------------------------------------------------------------- list */

static void describe_reader(int32_t pid, char *text, size_t text_bytes)
{
    char path[32], program[32] = "?";
    snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    FILE *file = pid > 0 ? fopen(path, "re") : NULL;
    if (file != NULL) {
        if (fgets(program, sizeof(program), file) != NULL)
            program[strcspn(program, "\n")] = '\0';
        fclose(file);
    }
    for (char *c = program; *c != '\0'; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    if (pid == 0)
        snprintf(text, text_bytes, "-");
    else
        snprintf(text, text_bytes, "%d %s", (int)pid, program);
}

static int list_pipe(const char *name, void *arg)
{
    (void)arg;
    struct pb_pipe_status status;
    struct pb_error error;
    char reader[64];
    int result = pb_pipe_status(name, &status, &error);
    if (result == -ENOENT) /* gone in the meantime */
        return 0;
    if (result < 0) {
        fprintf(stderr, PROGRAM ": %s\n", error.text);
        return 0;
    }
    describe_reader(status.application_pid, reader, sizeof(reader));
    double fill = status.ring_bytes > 0 ? 100.0 * (double)status.used_bytes / (double)status.ring_bytes : 0;
    printf("%-16s %-16s %7d  %-24s %5.1f %14llu %14llu\n", name, status.engine, (int)status.engine_pid, reader, fill,
           (unsigned long long)status.packets, (unsigned long long)status.dropped);
    return 0;
}

static int list_pipes(void)
{
    struct pb_error error;
    printf("%-16s %-16s %7s  %-24s %5s %14s %14s\n", "PIPE", "ENGINE", "PID", "READER", "FILL%", "PACKETS", "DROPPED");
    if (pb_pipe_list(list_pipe, NULL, &error) < 0) {
        fprintf(stderr, PROGRAM ": %s\n", error.text);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

/* ---------------------------------------------------------------- capture */

static volatile sig_atomic_t interrupted;
static sigset_t ending_signals, usual_signals;

static void interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

static void catch_signals(void)
{
    /* No SA_RESTART: the wait shall end. Once only: a second signal ends a write to
     * a program that does not read. */
    struct sigaction action = {.sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigemptyset(&ending_signals);
    sigaddset(&ending_signals, SIGINT);
    sigaddset(&ending_signals, SIGTERM);
    signal(SIGPIPE, SIG_DFL); /* whoever started us may have ignored it; then we would not end with our reader */
}

struct capture {
    struct pb_pipe_reader *reader;
    uint64_t packets;
    bool header_written;
    uint32_t used; /* of output */
    uint8_t output[OUTPUT_BYTES];
};

static bool write_all(const uint8_t *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(STDOUT_FILENO, data, bytes);
        if (written < 0 && errno != EINTR) {
            fprintf(stderr, PROGRAM ": cannot write to standard output: %s\n", strerror(errno));
            return false;
        }
        if (written > 0) {
            data += written;
            bytes -= (size_t)written;
        }
    }
    return true;
}

static bool flush(struct capture *capture)
{
    bool good = write_all(capture->output, capture->used);
    capture->used = 0;
    return good;
}

static bool put(struct capture *capture, const void *data, uint32_t bytes)
{
    if (bytes > OUTPUT_BYTES - capture->used && !flush(capture))
        return false;
    if (bytes > OUTPUT_BYTES)
        return write_all(data, bytes);
    memcpy(capture->output + capture->used, data, bytes);
    capture->used += bytes;
    return true;
}

/* As soon as the link type is known, or with Ethernet if nothing ever came. */
static bool put_header(struct capture *capture, bool at_end)
{
    int link_type = pb_pipe_link_type(capture->reader);
    if (capture->header_written || (link_type < 0 && !at_end))
        return true;
    struct pcap_file_header header = {
        .magic = PCAP_MAGIC_NS,
        .major = 2,
        .minor = 4,
        .snaplen = PB_FRAME_BYTES_MAX,
        .link_type = link_type < 0 ? PCAP_LINK_ETHERNET : (uint32_t)link_type,
    };
    capture->header_written = true;
    return put(capture, &header, sizeof(header));
}

static bool put_record(struct capture *capture, const struct pb_pipe_record *record)
{
    struct pcap_record_header header = {
        .seconds = (uint32_t)(record->timestamp_ns / 1000000000),
        .nanoseconds = (uint32_t)(record->timestamp_ns % 1000000000),
        .captured_len = record->captured_len,
        .wire_len = record->wire_len,
    };
    capture->packets++;
    return put(capture, &header, sizeof(header)) && put(capture, record->data, record->captured_len);
}

/* The pipe is empty: push everything out, then sleep until there is more, or
 * until the program that reads us has gone. */
static bool sleep_until_more(struct capture *capture)
{
    if (!put_header(capture, false) || !flush(capture))
        return false;
    if (pb_pipe_arm(capture->reader) != 0)
        return true;
    struct pollfd events[] = {
        {.fd = pb_pipe_fd(capture->reader), .events = POLLIN},
        {.fd = STDOUT_FILENO, .events = 0}, /* tells when its reader is gone */
    };
    /* A signal between the look at `interrupted` and the sleep must not be slept through. */
    sigprocmask(SIG_BLOCK, &ending_signals, &usual_signals);
    if (!interrupted)
        ppoll(events, 2, NULL, &usual_signals);
    sigprocmask(SIG_SETMASK, &usual_signals, NULL);
    if (events[1].revents & POLLERR)
        raise(SIGPIPE);
    return true;
}

/* Copy until the end. 0: end of stream, or all that was wanted; -errno. */
static int copy_packets(struct capture *capture, uint64_t count_max)
{
    struct pb_pipe_record records[RECORDS_MAX];
    while (!interrupted && (count_max == 0 || capture->packets < count_max)) {
        uint64_t left = count_max == 0 ? RECORDS_MAX : count_max - capture->packets;
        int count = pb_pipe_read(capture->reader, records, left < RECORDS_MAX ? (uint32_t)left : RECORDS_MAX);
        if (count < 0)
            return count == -EPIPE ? 0 : count;
        if (!put_header(capture, count > 0))
            return -EIO;
        if (count == 0 && !sleep_until_more(capture))
            return -EIO;
        for (int i = 0; i < count; i++)
            if (!put_record(capture, &records[i]))
                return -EIO;
        pb_pipe_release(capture->reader);
    }
    return 0;
}

/* Attach; with --wait for as long as it takes. Returns 0, or -errno with text. */
static int attach(const struct settings *settings, struct pb_pipe_reader **reader, struct pb_error *error)
{
    const struct timespec pause = {.tv_nsec = RETRY_NS};
    int result = pb_pipe_open(settings->name, reader, error);
    while (result == -ENOENT && settings->wait && !interrupted) {
        nanosleep(&pause, NULL);
        result = pb_pipe_open(settings->name, reader, error);
    }
    return result;
}

static int capture_pipe(const struct settings *settings)
{
    static struct capture capture; /* too large for a stack */
    struct pb_error error;
    if (isatty(STDOUT_FILENO)) {
        fprintf(stderr, PROGRAM ": will not write a capture to a terminal: send it to a file or a program "
                                "(| tcpdump -nr -)\n");
        return EXIT_USAGE;
    }
    catch_signals();
    int result = attach(settings, &capture.reader, &error);
    if (result < 0 && interrupted)
        return EXIT_SUCCESS;
    if (result < 0) {
        fprintf(stderr, PROGRAM ": %s%s\n", error.text, result == -ENOENT ? "; use --wait to wait for it" : "");
        return EXIT_FAILURE;
    }
    result = copy_packets(&capture, settings->count);
    if (result != -EIO && (!put_header(&capture, true) || !flush(&capture)))
        result = -EIO;
    if (result == -EBADMSG)
        fprintf(stderr, PROGRAM ": pipe \"%s\": its ring holds nonsense; restart its engine\n", settings->name);
    else if (result == 0 && !settings->quiet)
        fprintf(stderr, PROGRAM ": %s: %llu packets%s\n", settings->name, (unsigned long long)capture.packets,
                interrupted ? ", interrupted" : "");
    pb_pipe_close(capture.reader);
    return result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The command `bricks-pipe` may be a wrapper that runs this program and says so. Should
 * it be killed, nobody would read what we write, and the pipe would be taken. */
static void end_with_wrapper(void)
{
    const char *wrapper = getenv("BRICKS_PIPE_PARENT");
    if (wrapper == NULL || atoi(wrapper) != getppid())
        return;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (atoi(wrapper) != getppid())
        raise(SIGTERM); /* it was faster */
}

int main(int argc, char **argv)
{
    struct settings settings = {0};
    end_with_wrapper();
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
