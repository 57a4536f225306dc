/*
 * bricks_run.c - the program bricks-run: starts another one with libbricks-pcap.so
 * preloaded. It becomes that program by execve(2): signals and status are its own.
 */
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../core/error.h"
#include "wrapper.h"
#include "executable.h"

#define PROGRAM "bricks-run"
#define LIBRARY "libbricks-pcap.so"
#define EXIT_USAGE 2
#define EXIT_CANNOT_RUN 126 /* as shells and env(1) say it */
#define EXIT_NOT_FOUND 127

/* The options: the parser and the help text come from this table. */
static const struct option_desc {
    char letter;
    const char *name, *text, *variable; /* set for the library */
} options[] = {
    {'w', "wait", "wait until an engine serves the pipe", "BRICKS_PCAP_WAIT"},
    {'r', "reconnect", "at the end of the stream, wait for the next engine", "BRICKS_PCAP_RECONNECT"},
    {'c', "copy", "copy each packet, for a program that writes to them", "BRICKS_PCAP_COPY"},
    {'h', "help", "show this help", NULL},
    {'v', "version", "show the version", NULL},
};
#define OPTIONS_COUNT (sizeof(options) / sizeof(options[0]))

static void print_help(void)
{
    printf("Usage: " PROGRAM " [OPTION]... PROGRAM [ARGUMENT]...\n\n"
           "Run PROGRAM, which captures with libpcap, so that it finds pipes among its devices:\n"
           "eth3}0, or bricks:eth3}0, is the application's end of one.\n\n");
    for (size_t i = 0; i < OPTIONS_COUNT; i++)
        printf("  -%c, --%-9s  %s\n", options[i].letter, options[i].name, options[i].text);
    printf("\nExamples:\n"
           "  " PROGRAM " tcpdump -ni 'eth3}0' 'tcp port 80'\n"
           "  " PROGRAM " tcpdump -D\n"
           "  " PROGRAM " --wait --reconnect tshark -i 'eth3}1' -w all.pcapng\n\n"
           "Pipes are looked for in $BRICKS_RUNTIME_DIR, else /run/bricks for root, else\n"
           "$XDG_RUNTIME_DIR/bricks.\n\n"
           "Exit status: PROGRAM's; 2 on wrong usage; 126 where it cannot be run this way;\n"
           "127 where there is no such program.\n");
}

/* -1: go on, or the exit status. argv[optind] is the program. */
static int parse_options(int argc, char **argv)
{
    struct option known[OPTIONS_COUNT + 1] = {0};
    char letters[OPTIONS_COUNT + 2] = "+"; /* what follows the program is its own */
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        known[i] = (struct option){options[i].name, no_argument, NULL, options[i].letter};
        letters[i + 1] = options[i].letter;
    }
    for (int letter; (letter = getopt_long(argc, argv, letters, known, NULL)) != -1;) {
        if (letter == 'h')
            print_help();
        if (letter == 'v')
            printf(PROGRAM " " PB_VERSION "\n");
        if (letter == 'h' || letter == 'v')
            return EXIT_SUCCESS;
        const char *variable = NULL;
        for (size_t i = 0; i < OPTIONS_COUNT; i++)
            if (options[i].letter == letter)
                variable = options[i].variable;
        if (variable == NULL || setenv(variable, "1", 1) < 0) {
            fprintf(stderr, "Try '" PROGRAM " --help'.\n"); /* getopt_long() has said why */
            return EXIT_USAGE;
        }
    }
    if (optind < argc)
        return -1;
    fprintf(stderr, PROGRAM ": which program? Like: " PROGRAM " tcpdump -ni 'eth3}0'\n");
    return EXIT_USAGE;
}

/* The library lies beside this program. 0, or -errno with text. */
static int find_library(char path[PATH_MAX], struct pb_error *error)
{
    char own[PATH_MAX] = "";
    if (readlink("/proc/self/exe", own, sizeof(own) - 1) < 0)
        return pb_fail(error, errno, "/proc/self/exe: %s; mount /proc", pb_errno_text(errno));
    if (snprintf(path, PATH_MAX, "%s/" LIBRARY, dirname(own)) >= PATH_MAX)
        return pb_fail(error, ENAMETOOLONG, LIBRARY ": its path is too long");
    if (access(path, R_OK) < 0)
        return pb_fail(error, errno, "%s: %s; build packet-bricks anew", path, pb_errno_text(errno));
    if (strpbrk(path, " :\t\n") != NULL)
        return pb_fail(error, EINVAL, "%s: LD_PRELOAD takes no path with blanks or colons; install packet-bricks elsewhere",
                       path);
    return 0;
}

/* In front of what is preloaded already, once. */
static int preload(const char *library, struct pb_error *error)
{
    const char *others = getenv("LD_PRELOAD");
    char *all = NULL;
    if (others != NULL && strstr(others, library) != NULL)
        return 0;
    int result = asprintf(&all, "%s%s%s", library, others != NULL && *others != '\0' ? ":" : "",
                          others != NULL ? others : "");
    if (result >= 0)
        result = setenv("LD_PRELOAD", all, 1);
    free(all);
    return result < 0 ? pb_fail(error, ENOMEM, "%s", pb_errno_text(ENOMEM)) : 0;
}

static int run(char **argv, struct pb_error *error)
{
    char program[PATH_MAX], library[PATH_MAX];
    int result;
    if ((result = pb_executable_find(argv[0], program, error)) < 0 ||
        (result = pb_executable_check(program, error)) < 0 || (result = find_library(library, error)) < 0 ||
        (result = preload(library, error)) < 0)
        return result;
    execv(program, argv);
    return pb_fail(error, errno, "%s: %s", program, strerror(errno));
}

int main(int argc, char **argv)
{
    struct pb_error error;
    pb_wrapper_follow();
    int status = parse_options(argc, argv);
    if (status >= 0)
        return status;
    int result = run(argv + optind, &error);
    fprintf(stderr, PROGRAM ": %s%s\n", error.text,
            result == -ENOEXEC ? "; instead: bricks-pipe 'eth3}0' | tcpdump -nr -" : "");
    return result == -ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}
