/* files.c - see files.h. */
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add(struct pcap_files *files, uint32_t *capacity, char *path)
{
    if (path == NULL)
        return -ENOMEM;
    if (files->count == *capacity) {
        uint32_t larger = *capacity == 0 ? 16 : *capacity * 2;
        char **paths = realloc(files->paths, larger * sizeof(paths[0]));
        if (paths == NULL) {
            free(path);
            return -ENOMEM;
        }
        files->paths = paths;
        *capacity = larger;
    }
    files->paths[files->count++] = path;
    return 0;
}

static int scan_open(struct pcap_files *files, DIR *directory, const char *path)
{
    uint32_t capacity = 0;
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(directory);
        if (entry == NULL)
            return -errno;
        /* Links to files count as files. What vanished meanwhile is no file. */
        struct stat status;
        if (fstatat(dirfd(directory), entry->d_name, &status, 0) < 0 || !S_ISREG(status.st_mode))
            continue;
        char *joined;
        if (asprintf(&joined, "%s/%s", path, entry->d_name) < 0)
            return -ENOMEM;
        int result = add(files, &capacity, joined);
        if (result < 0)
            return result;
    }
}

int pcap_files_scan(struct pcap_files *files, const char *path)
{
    memset(files, 0, sizeof(*files));
    DIR *directory = opendir(path);
    if (directory == NULL)
        return -errno;
    int result = scan_open(files, directory, path);
    closedir(directory);
    if (result < 0)
        pcap_files_free(files);
    else if (files->count > 0)
        qsort(files->paths, files->count, sizeof(files->paths[0]), compare);
    return result;
}

int pcap_files_one(struct pcap_files *files, const char *path)
{
    uint32_t capacity = 0;
    memset(files, 0, sizeof(*files));
    return add(files, &capacity, strdup(path));
}

void pcap_files_free(struct pcap_files *files)
{
    for (uint32_t i = 0; i < files->count; i++)
        free(files->paths[i]);
    free(files->paths);
    memset(files, 0, sizeof(*files));
}
