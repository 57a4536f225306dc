/*
 * holdings.h - what a process holds, for tests that must leave nothing behind: the
 * entries of /proc/self/fd, /proc/self/task, of a folder.
 */
#ifndef HOLDINGS_H
#define HOLDINGS_H

#include <dirent.h>
#include <stdint.h>

static inline uint32_t count_entries(const char *path)
{
    DIR *directory = opendir(path);
    uint32_t count = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

#endif
