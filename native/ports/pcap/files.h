/*
 * files.h - which files an input reads: the one it names, or every regular
 * file of the directory it names, in strcmp() order.
 *
 * Used by input.c in open(), on the control thread.
 */
#ifndef PB_PCAP_FILES_H
#define PB_PCAP_FILES_H

#include <stdint.h>

struct pcap_files {
    char **paths;
    uint32_t count;
};

/* 0, or -errno. `path` is a directory. */
int pcap_files_scan(struct pcap_files *files, const char *path);
/* Just this one. */
int pcap_files_one(struct pcap_files *files, const char *path);
void pcap_files_free(struct pcap_files *files);

#endif
