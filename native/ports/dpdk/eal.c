/*
 * eal.c - see eal.h.
 *
 * Defaults: memory of no name in any file system, so that several processes work side
 * by side and a killed one leaves nothing; huge pages if some are free; the calling
 * thread keeps its processors; nothing on standard output; PCI only for a PCI device.
 * A word of the user's options takes the place of the default that it speaks of.
 *
 * Sources: DPDK's programmer's guide, "Environment Abstraction Layer"; "EAL parameters".
 */
#include "eal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>

#include "../../core/error.h"

#define WORDS_MAX 64
#define OPTIONS_BYTES 4096
#define CPUS_TEXT_BYTES 1024
#define HUGE_BYTES_MIN (64u << 20) /* less free than this is not worth starting with */
#define PLAIN_MB "1024"            /* address space where there are no huge pages; used as it is written */
#define LOG_BYTES 2048
#define CAUSE_BYTES 240 /* of a line that an error quotes */

static struct {
    bool started, has_huge_pages;
    bool pci; /* the bus was scanned */
    char options[OPTIONS_BYTES];
    char failure[PB_ERROR_BYTES]; /* of a start that cannot be tried again, ... */
    int failure_code;             /* ... and its errno */
} eal;

/* ------------------------------------------------------------------------ the log */

static struct {
    pthread_mutex_t lock;
    FILE *stream;
    char text[LOG_BYTES];
    uint32_t used;
} journal = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Those behind the room are what is least missed. */
static ssize_t log_write(void *cookie, const char *bytes, size_t count)
{
    (void)cookie;
    pthread_mutex_lock(&journal.lock);
    size_t room = LOG_BYTES - 1 - journal.used, length = count < room ? count : room;
    memcpy(journal.text + journal.used, bytes, length);
    journal.used += (uint32_t)length;
    pthread_mutex_unlock(&journal.lock);
    return (ssize_t)count;
}

static int log_open(void)
{
    if (journal.stream == NULL)
        journal.stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = log_write});
    if (journal.stream == NULL)
        return -ENOMEM;
    setvbuf(journal.stream, NULL, _IOLBF, 512);
    return rte_openlog_stream(journal.stream) < 0 ? -EIO : 0;
}

void pb_eal_log_clear(void)
{
    pthread_mutex_lock(&journal.lock);
    journal.used = 0;
    pthread_mutex_unlock(&journal.lock);
}

/* What has been said. */
static void log_copy(char text[LOG_BYTES])
{
    if (journal.stream != NULL)
        fflush(journal.stream);
    pthread_mutex_lock(&journal.lock);
    memcpy(text, journal.text, journal.used);
    text[journal.used] = '\0';
    pthread_mutex_unlock(&journal.lock);
}

/* Without who speaks: "EAL: FATAL: ", "bricks: ", "open_single_rx_pcap(): ", and without a full stop. */
static char *message_of(char *line)
{
    static const char *const speakers[] = {"EAL: ", "FATAL: ", "bricks: "};
    for (uint32_t i = 0; i < RTE_DIM(speakers); i++)
        if (strncmp(line, speakers[i], strlen(speakers[i])) == 0)
            line += strlen(speakers[i]);
    size_t name = strspn(line, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
    if (strncmp(line + name, "(): ", 4) == 0)
        line += name + 4;
    for (size_t end = strlen(line); end > 0 && strchr(". ", line[end - 1]) != NULL; end--)
        line[end - 1] = '\0';
    return line;
}

/* Lines of every start, and those that say only that something failed. */
static bool says_nothing(const char *message)
{
    static const char *const beginnings[] = {"Detected ", "No free ", "Failed to attach device", "Driver cannot attach",
                                             "failed to parse device"};
    for (uint32_t i = 0; i < RTE_DIM(beginnings); i++)
        if (strncmp(message, beginnings[i], strlen(beginnings[i])) == 0)
            return true;
    return message[0] == '\0';
}

const char *pb_eal_log_text(const char *otherwise)
{
    static char cause[CAUSE_BYTES]; /* the control thread's */
    char text[LOG_BYTES], *rest = text;
    log_copy(text);
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        const char *message = message_of(line);
        if (says_nothing(message))
            continue;
        snprintf(cause, sizeof(cause), "%s", message);
        return cause;
    }
    return otherwise;
}

bool pb_eal_log_has(const char *what)
{
    char text[LOG_BYTES];
    log_copy(text);
    return strstr(text, what) != NULL;
}

/* -------------------------------------------------------------------- descriptors */

static void each_fd(struct pb_eal_fds *mark, const struct pb_eal_fds *skip)
{
    DIR *folder = opendir("/proc/self/fd");
    if (folder == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] == '.' || fd == dirfd(folder) || fd >= 64 * 16)
            continue;
        if (mark != NULL)
            mark->open[fd / 64] |= UINT64_C(1) << fd % 64;
        else if ((skip->open[fd / 64] >> fd % 64 & 1) == 0)
            (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    closedir(folder);
}

void pb_eal_fds_begin(struct pb_eal_fds *fds)
{
    memset(fds, 0, sizeof(*fds));
    each_fd(fds, NULL);
}

void pb_eal_fds_end(const struct pb_eal_fds *fds)
{
    each_fd(NULL, fds);
}

/* ------------------------------------------------------------------------ options */

/* Take words apart, in place: blanks part them, quotes of both kinds keep blanks. Returns how
 * many; -EINVAL: a quote is not closed, or there are too many. */
static int split(char *text, char **words, int words_max)
{
    int count = 0;
    char *to = text, quote = '\0';
    bool inside = false;
    for (const char *from = text; *from != '\0'; from++) {
        bool blank = quote == '\0' && strchr(" \t\n", *from) != NULL;
        if (!blank && !inside) {
            if (count == words_max)
                return -EINVAL;
            words[count++] = to;
            inside = true;
        }
        if (blank && inside)
            *to++ = '\0';
        inside = inside && !blank;
        if (quote == '\0' && (*from == '"' || *from == '\''))
            quote = *from;
        else if (quote != '\0' && *from == quote)
            quote = '\0';
        else if (!blank)
            *to++ = *from;
    }
    *to = '\0';
    return quote == '\0' ? count : -EINVAL;
}

/* Whether DPDK would print its usage and end this process: "-h", "--help" and what it takes for that. */
static bool asks_for_usage(const char *word)
{
    if (strncmp(word, "--he", 4) == 0)
        return strncmp("--help", word, strcspn(word, "=")) == 0;
    return word[0] == '-' && word[1 + strspn(word + 1, "v")] == 'h';
}

int pb_eal_setup(const char *options, struct pb_error *error)
{
    char copy[OPTIONS_BYTES];
    char *words[WORDS_MAX / 2];
    if (eal.started || eal.failure[0] != '\0')
        return pb_fail(error, EBUSY, "DPDK has started, once for a process; set its options before the first port of dpdk or memif");
    if (strlen(options) >= sizeof(copy))
        return pb_fail(error, E2BIG, "options of DPDK have at most %d bytes", OPTIONS_BYTES - 1);
    int count = split(memcpy(copy, options, strlen(options) + 1), words, WORDS_MAX / 2);
    if (count < 0)
        return pb_fail(error, EINVAL, "options of DPDK: a quote is not closed, or there are more than %d words", WORDS_MAX / 2);
    for (int i = 0; i < count; i++)
        if (asks_for_usage(words[i]))
            return pb_fail(error, EINVAL, "options of DPDK: %s would end this process; dpdk-testpmd --help shows them", words[i]);
    memcpy(eal.options, options, strlen(options) + 1);
    return 0;
}

/* Whether one of the user's words is this option, with or without "=value" behind it; a long one may be cut, as getopt_long()
 * has it: what that leaves in doubt DPDK refuses. */
static bool says(char *const *words, int count, const char *option)
{
    size_t length = strlen(option);
    for (int i = 0; i < count; i++) {
        bool is_short = option[1] != '-';
        size_t said = is_short ? length : strcspn(words[i], "=");
        if (said > (is_short ? 1 : 2) && strncmp(words[i], option, said) == 0)
            return true;
    }
    return false;
}

/* The one thread that DPDK is to know of as its own may run where it runs now: "0@(0,1)". */
static void lcore_option(char *text, size_t text_bytes)
{
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    pthread_getaffinity_np(pthread_self(), sizeof(cpus), &cpus);
    size_t used = (size_t)snprintf(text, text_bytes, "--lcores=0@(");
    for (int cpu = 0; cpu < CPU_SETSIZE && used + 8 < text_bytes; cpu++)
        if (CPU_ISSET(cpu, &cpus))
            used += (size_t)snprintf(text + used, text_bytes - used, "%s%d", text[used - 1] == '(' ? "" : ",", cpu);
    snprintf(text + used, text_bytes - used, ")");
}

static uint64_t read_number(const char *folder, const char *name, const char *file)
{
    char path[512];
    unsigned long long value = 0;
    snprintf(path, sizeof(path), "%s/%s/%s", folder, name, file);
    FILE *from = fopen(path, "re");
    if (from == NULL)
        return 0;
    if (fscanf(from, "%llu", &value) != 1)
        value = 0;
    fclose(from);
    return value;
}

/* Bytes of huge pages that nobody uses. */
static uint64_t free_huge_bytes(void)
{
    static const char pools[] = "/sys/kernel/mm/hugepages";
    uint64_t bytes = 0;
    DIR *folder = opendir(pools);
    if (folder == NULL)
        return 0;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        unsigned long long page_kb;
        if (sscanf(entry->d_name, "hugepages-%llukB", &page_kb) == 1)
            bytes += page_kb * 1024 * read_number(pools, entry->d_name, "free_hugepages");
    }
    closedir(folder);
    return bytes;
}

static bool is_virtual(const char *device)
{
    return strncmp(device, "net_", 4) == 0 || strncmp(device, "eth_", 4) == 0;
}

/* DPDK's command line: the user's words, and defaults for what they do not speak of. */
static int make_words(const char *device, char *copy, char *lcores, char *allow, char **words)
{
    int count = 0;
    words[count++] = "bricks";
    strcpy(copy, eal.options);
    int user = split(copy, words + 1, WORDS_MAX / 2);
    char *const *theirs = words + 1;
    count += user;
    if (!says(theirs, user, "--lcores") && !says(theirs, user, "-l") && !says(theirs, user, "-c"))
        words[count++] = lcores;
    if (!says(theirs, user, "--log-level"))
        words[count++] = "--log-level=warning";
    if (!says(theirs, user, "--telemetry"))
        words[count++] = "--no-telemetry";
    bool is_plain = says(theirs, user, "--no-huge");
    if (!is_plain && !says(theirs, user, "-m") && !says(theirs, user, "--socket-mem") && free_huge_bytes() < HUGE_BYTES_MIN) {
        words[count++] = "--no-huge";
        is_plain = true;
    }
    if (is_plain && !says(theirs, user, "-m")) {
        words[count++] = "-m";
        words[count++] = PLAIN_MB;
    }
    eal.has_huge_pages = !is_plain;
    /* Plain memory has no name anyway; there DPDK wants the two said apart. */
    if (!says(theirs, user, "--file-prefix") && !says(theirs, user, "--proc-type") && !says(theirs, user, "--huge-dir"))
        words[count++] = is_plain ? "--no-shconf" : "--in-memory";
    if (!says(theirs, user, "--legacy-mem"))
        words[count++] = "--single-file-segments"; /* a client of memif lends memory by file */
    eal.pci = !says(theirs, user, "--no-pci");
    if (eal.pci && !says(theirs, user, "-a") && !says(theirs, user, "--allow") && !says(theirs, user, "-b") &&
        !says(theirs, user, "--block")) {
        eal.pci = !is_virtual(device);
        /* No device is taken that nobody has named. */
        words[count++] = eal.pci ? allow : "--no-pci";
    }
    return count;
}

/* --------------------------------------------------------------------------- start */

/* It writes usage to standard output and complaints to standard error: the log has them. */
static int init_quietly(int count, char **words)
{
    FILE *out = stdout, *errors = stderr, *nowhere = fopen("/dev/null", "we");
    sigset_t all, before;
    cpu_set_t cpus;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* its threads take no signals of this program */
    pthread_getaffinity_np(pthread_self(), sizeof(cpus), &cpus);
    if (nowhere != NULL) {
        stdout = nowhere;
        stderr = journal.stream;
    }
    int result = rte_eal_init(count, words);
    stdout = out;
    stderr = errors;
    if (nowhere != NULL)
        fclose(nowhere);
    pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

static int fail(const struct pb_port *port, struct pb_error *error)
{
    int code = rte_errno;
    char text[PB_ERROR_BYTES];
    const char *remedy = "see its options (--dpdk-eal), then start this process again";
    if (code == EINVAL)
        remedy = "correct its options (--dpdk-eal, BRICKS.set_dpdk_eal())";
    else if (pb_eal_log_has("hugepage") || pb_eal_log_has("emory"))
        remedy = "reserve more huge pages (sysctl vm.nr_hugepages=1024), or use none (--dpdk-eal --no-huge), then start this "
                 "process again";
    snprintf(text, sizeof(text), "DPDK does not start: %s; %s", pb_eal_log_text(rte_strerror(code)), pb_errno_remedy(code, remedy));
    /* Only the first checks can be tried again. */
    if (code != EINVAL) {
        memcpy(eal.failure, text, sizeof(eal.failure));
        eal.failure_code = code;
    }
    return pb_port_fail(port, error, code, "%s", text);
}

int pb_eal_start(const struct pb_port *port, const char *device, struct pb_error *error)
{
    if (eal.failure[0] != '\0')
        return pb_port_fail(port, error, eal.failure_code, "%s", eal.failure);
    if (eal.started && !eal.pci && !is_virtual(device))
        return pb_port_fail(port, error, ENODEV, "DPDK has started for virtual devices only; start this process with "
                            "--dpdk-eal \"-a %s\"", device);
    if (eal.started)
        return 0;
    char copy[OPTIONS_BYTES], lcores[CPUS_TEXT_BYTES], allow[256];
    char *words[WORDS_MAX];
    if (log_open() < 0)
        return pb_port_fail(port, error, ENOMEM, "no memory for DPDK's log; free some");
    lcore_option(lcores, sizeof(lcores));
    snprintf(allow, sizeof(allow), "-a%s", device);
    int count = make_words(device, copy, lcores, allow, words);
    struct pb_eal_fds fds;
    pb_eal_fds_begin(&fds);
    pb_eal_log_clear();
    if (init_quietly(count, words) < 0)
        return fail(port, error);
    pb_eal_fds_end(&fds);
    eal.started = true;
    return 0;
}

bool pb_eal_has_huge_pages(void)
{
    return eal.has_huge_pages;
}
