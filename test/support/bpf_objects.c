/*
 * bpf_objects.c - a program for tests: prints how many BPF programs, maps and links there are in the
 * kernel, of programs and maps those of the name that is its argument. Needs root. Source: bpf(2).
 */
#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static long bpf(enum bpf_cmd command, union bpf_attr *attr)
{
    return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

/* Those whose name is `name`; NULL: all. The name of programs and maps is at the same place for each kind. */
static unsigned count(enum bpf_cmd next, enum bpf_cmd open, size_t name_at, const char *name)
{
    unsigned found = 0;
    union bpf_attr at = {.start_id = 0};
    for (; bpf(next, &at) == 0; at.start_id = at.next_id) {
        char info[512] = "";
        union bpf_attr object = {.prog_id = at.next_id};
        long fd = name == NULL ? -1 : bpf(open, &object);
        union bpf_attr query = {.info = {.bpf_fd = (uint32_t)fd, .info_len = sizeof(info), .info = (uintptr_t)info}};
        if (name == NULL || (fd >= 0 && bpf(BPF_OBJ_GET_INFO_BY_FD, &query) == 0 && strcmp(info + name_at, name) == 0))
            found++;
        if (fd >= 0)
            close((int)fd);
    }
    return found;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    printf("%u\n", count(BPF_PROG_GET_NEXT_ID, BPF_PROG_GET_FD_BY_ID, offsetof(struct bpf_prog_info, name), argv[1]) +
                       count(BPF_MAP_GET_NEXT_ID, BPF_MAP_GET_FD_BY_ID, offsetof(struct bpf_map_info, name), argv[1]) +
                       count(BPF_LINK_GET_NEXT_ID, BPF_LINK_GET_FD_BY_ID, 0, NULL));
    return 0;
}
