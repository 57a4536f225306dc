/* directory.c - names of pipes, and where their sockets are. See directory.h. */
#include "directory.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../core/error.h"

#define SOCKET_SUFFIX ".sock"
#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-"

/* The length of NAME up to its brace where all of it is NAME{DIGITS or
 * NAME}DIGITS and not too long; 0: it is no pipe's name. */
static size_t brace_offset(const char *name)
{
    size_t brace = strspn(name, NAME_CHARACTERS);
    if (brace == 0 || (name[brace] != '{' && name[brace] != '}'))
        return 0;
    const char *number = name + brace + 1;
    size_t digits = strspn(number, "0123456789");
    if (digits == 0 || number[digits] != '\0' || brace + 1 + digits > PB_PIPE_NAME_MAX)
        return 0;
    return brace;
}

static int name_error(const char *name, struct pb_error *error)
{
    return pb_fail(error, EINVAL,
                   "\"%.80s\" is not a pipe's name: that is NAME}NUMBER, like eth3}0, NAME of letters, digits and "
                   "_.:-, at most %d characters in all",
                   name, PB_PIPE_NAME_MAX);
}

int pb_pipe_name_check(const char *name, struct pb_error *error)
{
    size_t brace = brace_offset(name);
    if (brace == 0)
        return name_error(name, error);
    if (name[brace] == '{')
        return pb_fail(error, EINVAL, "\"%s\" is the engine's end of the pipe; the application's end is \"%.*s}%s\"",
                       name, (int)brace, name, name + brace + 1);
    return 0;
}

int pb_pipe_name_from_port(const char *port_name, char name[PB_PIPE_NAME_MAX + 1], struct pb_error *error)
{
    size_t brace = brace_offset(port_name);
    if (brace == 0)
        return name_error(port_name, error);
    snprintf(name, PB_PIPE_NAME_MAX + 1, "%s", port_name);
    name[brace] = '}';
    return 0;
}

/* The runtime directory's path, whether it exists or not. */
static int runtime_path(char *path, uint32_t path_bytes, struct pb_error *error)
{
    const char *own = getenv("BRICKS_RUNTIME_DIR"), *user = getenv("XDG_RUNTIME_DIR");
    int length;
    if (own != NULL && own[0] != '\0')
        length = snprintf(path, path_bytes, "%s", own);
    else if (geteuid() == 0)
        length = snprintf(path, path_bytes, "/run/bricks");
    else if (user != NULL && user[0] != '\0')
        length = snprintf(path, path_bytes, "%s/bricks", user);
    else
        return pb_fail(error, EINVAL,
                       "there is no runtime directory for pipes: set BRICKS_RUNTIME_DIR, to /run/bricks for "
                       "those of root's engines (XDG_RUNTIME_DIR is not set either)");
    if (length < 0 || (uint32_t)length >= path_bytes)
        return pb_fail(error, ENAMETOOLONG,
                       "the runtime directory's path is longer than %u bytes; set BRICKS_RUNTIME_DIR", path_bytes - 1);
    return 0;
}

static int make_directory(const char *path, struct pb_error *error)
{
    if (mkdir(path, 0755) == 0 || errno == EEXIST)
        return 0;
    return pb_fail(error, errno, "cannot create the directory %s: %s; set BRICKS_RUNTIME_DIR to one that is writable",
                   path, pb_errno_words(errno));
}

int pb_pipe_directory(char *path, uint32_t path_bytes, struct pb_error *error)
{
    int result = runtime_path(path, path_bytes, error);
    return result < 0 ? result : make_directory(path, error);
}

int pb_pipe_address(const char *name, bool create, struct sockaddr_un *address, struct pb_error *error)
{
    char directory[PATH_MAX], path[PATH_MAX + PB_PIPE_NAME_MAX + 16];
    int result = runtime_path(directory, sizeof(directory), error);
    if (result < 0)
        return result;
    int length = snprintf(path, sizeof(path), "%s/pipes/%s" SOCKET_SUFFIX, directory, name);
    if (length < 0 || (size_t)length >= sizeof(address->sun_path))
        return pb_fail(error, ENAMETOOLONG,
                       "pipe \"%s\": the path of its socket would be %d bytes long, the system's limit is %zu; set "
                       "BRICKS_RUNTIME_DIR to a shorter path than %.200s",
                       name, length, sizeof(address->sun_path) - 1, directory);
    if (create) {
        if ((result = make_directory(directory, error)) < 0)
            return result;
        strcat(directory, "/pipes"); /* fits: the whole path does */
        if ((result = make_directory(directory, error)) < 0)
            return result;
    }
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, (size_t)length + 1);
    return 0;
}

static int is_socket_of_pipe(const struct dirent *entry)
{
    char name[PB_PIPE_NAME_MAX + 1];
    size_t length = strlen(entry->d_name), suffix = strlen(SOCKET_SUFFIX);
    if (length <= suffix || length - suffix > PB_PIPE_NAME_MAX ||
        strcmp(entry->d_name + length - suffix, SOCKET_SUFFIX) != 0)
        return 0;
    snprintf(name, sizeof(name), "%.*s", (int)(length - suffix), entry->d_name);
    return pb_pipe_name_check(name, NULL) == 0;
}

/* Does somebody answer there? A process that was killed leaves its socket behind. */
static bool is_served(const char *name)
{
    struct sockaddr_un address;
    if (pb_pipe_address(name, false, &address, NULL) < 0)
        return false;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return true; /* cannot tell */
    bool served = connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 ||
                  (errno != ECONNREFUSED && errno != ENOENT);
    close(fd);
    return served;
}

int pb_pipe_list(int (*each)(const char *name, void *arg), void *arg, struct pb_error *error)
{
    char path[PATH_MAX + 8];
    int result = runtime_path(path, PATH_MAX, error);
    if (result < 0)
        return result;
    strcat(path, "/pipes");
    struct dirent **entries;
    int count = scandir(path, &entries, is_socket_of_pipe, versionsort);
    if (count < 0)
        return errno == ENOENT ? 0 : pb_fail(error, errno, "cannot list the pipes in %s: %s", path, pb_errno_text(errno));
    for (int i = 0; i < count; i++) {
        entries[i]->d_name[strlen(entries[i]->d_name) - strlen(SOCKET_SUFFIX)] = '\0';
        if (result == 0 && is_served(entries[i]->d_name))
            result = each(entries[i]->d_name, arg);
        free(entries[i]);
    }
    free(entries);
    return result;
}

struct names_text {
    char *text;
    uint32_t text_bytes, used;
};

static int add_name(const char *name, void *arg)
{
    struct names_text *names = arg;
    const char *separator = names->used > 0 ? ", " : "";
    /* Room for ", ..." after it. */
    if (names->used + strlen(separator) + strlen(name) + sizeof(", ...") > names->text_bytes) {
        snprintf(names->text + names->used, names->text_bytes - names->used, "%s...", separator);
        return 1;
    }
    names->used +=
        (uint32_t)snprintf(names->text + names->used, names->text_bytes - names->used, "%s%s", separator, name);
    return 0;
}

const char *pb_pipe_names_text(char *text, uint32_t text_bytes)
{
    struct names_text names = {.text = text, .text_bytes = text_bytes, .used = 0};
    snprintf(text, text_bytes, "none");
    pb_pipe_list(add_name, &names, NULL);
    return text;
}
