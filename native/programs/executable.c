/*
 * executable.c - see executable.h. What the dynamic linker does with LD_PRELOAD is in
 * ld.so(8): nothing in a program without one, and in "secure-execution mode" nothing
 * for a path. Of that mode execve(2) and capabilities(7) tell when it is on.
 */
#include "executable.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../core/error.h"

#define PATH_DEFAULT "/bin:/usr/bin" /* execvp(3) */
#define PROGRAM_HEADERS_MAX 256

static bool is_program(const char *path)
{
    struct stat file;
    return stat(path, &file) == 0 && S_ISREG(file.st_mode) && access(path, X_OK) == 0;
}

static int find_in_path(const char *program, char path[PATH_MAX], struct pb_error *error)
{
    const char *folders = getenv("PATH");
    if (folders == NULL)
        folders = PATH_DEFAULT;
    for (const char *folder = folders;; folder++) {
        int length = (int)strcspn(folder, ":");
        int used = snprintf(path, PATH_MAX, "%.*s/%s", length, length > 0 ? folder : ".", program);
        if (length == 0)
            used = snprintf(path, PATH_MAX, "./%s", program);
        if (used < PATH_MAX && is_program(path))
            return 0;
        folder += length;
        if (*folder == '\0')
            return pb_fail(error, ENOENT, "%s: no such program in PATH (%.200s); install it, or give its path", program,
                           folders);
    }
}

int pb_executable_find(const char *program, char path[PATH_MAX], struct pb_error *error)
{
    if (strchr(program, '/') == NULL)
        return find_in_path(program, path, error);
    if (snprintf(path, PATH_MAX, "%s", program) >= PATH_MAX)
        return pb_fail(error, ENAMETOOLONG, "%.80s...: the path is too long", program);
    struct stat file;
    if (stat(path, &file) < 0)
        return pb_fail(error, errno, "%s: %s", path, pb_errno_text(errno));
    if (!is_program(path))
        return pb_fail(error, EACCES, "%s: not a program that may be run", path);
    return 0;
}

/* --------------------------------------------------------------------- ELF */

/* Read the ELF header. 1, 0: it is something else, or -errno. */
static int read_header(int fd, Elf64_Ehdr *header)
{
    memset(header, 0, sizeof(*header));
    if (pread(fd, header, sizeof(*header), 0) < 0)
        return -errno;
    return memcmp(header->e_ident, ELFMAG, SELFMAG) == 0;
}

/* Does the kernel start it through a dynamic linker? */
static bool has_interpreter(int fd, const Elf64_Ehdr *header)
{
    Elf64_Phdr segment;
    for (int i = 0; i < header->e_phnum && i < PROGRAM_HEADERS_MAX; i++) {
        off_t at = (off_t)(header->e_phoff + (uint64_t)i * header->e_phentsize);
        if (pread(fd, &segment, sizeof(segment), at) == (ssize_t)sizeof(segment) && segment.p_type == PT_INTERP)
            return true;
    }
    return false;
}

static int check_elf(int fd, const char *path, struct pb_error *error)
{
    Elf64_Ehdr header, own;
    int own_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int result = own_fd < 0 ? -errno : read_header(own_fd, &own);
    if (own_fd >= 0)
        close(own_fd);
    if (result >= 0)
        result = read_header(fd, &header);
    if (result < 0)
        return pb_fail(error, -result, "%s: cannot be read: %s", path, pb_errno_text(-result));
    if (result == 0)
        return 0; /* a script: its interpreter loads libraries as any program */
    if (header.e_ident[EI_CLASS] != own.e_ident[EI_CLASS] || header.e_ident[EI_DATA] != own.e_ident[EI_DATA] ||
        header.e_machine != own.e_machine)
        return pb_fail(error, ENOEXEC, "%s: it is built for another kind of processor than packet-bricks", path);
    if (!has_interpreter(fd, &header))
        return pb_fail(error, ENOEXEC, "%s: it is linked statically, and loads no library", path);
    return 0;
}

/* -------------------------------------------------------- secure execution */

static int check_privileges(int fd, const char *path, struct pb_error *error)
{
    struct stat file;
    struct statvfs system;
    if (fstat(fd, &file) < 0)
        return pb_fail(error, errno, "%s: %s", path, pb_errno_text(errno));
    bool are_off = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ||
                   (fstatvfs(fd, &system) == 0 && (system.f_flag & ST_NOSUID) != 0);
    if (are_off)
        return 0;
    if ((file.st_mode & S_ISUID) != 0 && file.st_uid != getuid())
        return pb_fail(error, ENOEXEC, "%s: it is set-user-ID, and so takes no library from its user; become user %u",
                       path, (unsigned int)file.st_uid);
    bool is_setgid = (file.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
    if (is_setgid && file.st_gid != getgid())
        return pb_fail(error, ENOEXEC, "%s: it is set-group-ID, and so takes no library from its user", path);
    if (getuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0)
        return pb_fail(error, ENOEXEC,
                       "%s: it has file capabilities, and so takes no library from its user; become root, or run a copy "
                       "without them",
                       path);
    return 0;
}

int pb_executable_check(const char *path, struct pb_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) /* it may be executable all the same, and nothing is known against it */
        return errno == EACCES ? 0 : pb_fail(error, errno, "%s: %s", path, pb_errno_text(errno));
    int result = check_elf(fd, path, error);
    if (result == 0)
        result = check_privileges(fd, path, error);
    close(fd);
    return result;
}
