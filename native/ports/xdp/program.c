/* program.c - see program.h. */
#include "program.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "../xdp.h"

/* Programs for frames of several pages, Linux 5.18 (include/uapi/linux/bpf.h). */
#ifndef BPF_F_XDP_HAS_FRAGS
#define BPF_F_XDP_HAS_FRAGS (1U << 5)
#endif

#define BUSY_TRIES 20 /* of 10 ms: the program of a process that was killed goes a little later */

struct xdp_program {
    struct xdp_program *next;
    int index; /* the interface's */
    uint32_t holders;
    int map_fd, program_fd, link_fd;
    bool strips_tags; /* as the interface did before: its VLAN tags came beside the frame, where XDP cannot see them */
};
static struct xdp_program *programs;

/* return bpf_redirect_map(map, ctx->rx_queue_index, XDP_PASS); the flags say what becomes of the
 * packets of queues that are not in the map (Linux 5.3). */
static int load(int map_fd)
{
    const struct bpf_insn code[] = {
        {.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_1,
         .off = offsetof(struct xdp_md, rx_queue_index)},
        {.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = BPF_REG_1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = map_fd},
        {.imm = 0}, /* the second half of the instruction above */
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3, .imm = XDP_PASS},
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect_map},
        {.code = BPF_JMP | BPF_EXIT},
    };
    const size_t count = sizeof(code) / sizeof(code[0]);
    struct bpf_prog_load_opts options = {
        .sz = sizeof(options), .expected_attach_type = BPF_XDP, .prog_flags = BPF_F_XDP_HAS_FRAGS};
    int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "packet_bricks", "GPL", code, count, &options);
    if (fd >= 0 || fd == -EPERM)
        return fd;
    options.prog_flags = 0;
    return bpf_prog_load(BPF_PROG_TYPE_XDP, "packet_bricks", "GPL", code, count, &options);
}

static int link_with(int program_fd, int index, uint32_t flags)
{
    const struct bpf_link_create_opts options = {.sz = sizeof(options), .flags = flags};
    int fd = -EBUSY;
    for (int i = 0; i < BUSY_TRIES && (fd == -EBUSY || fd == -EEXIST); i++) {
        if (i > 0)
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        fd = bpf_link_create(program_fd, index, BPF_XDP, &options);
    }
    return fd;
}

static int attach_program(int program_fd, int index, enum xdp_attach attach)
{
    int fd = -EOPNOTSUPP;
    if (attach != XDP_ATTACH_SKB)
        fd = link_with(program_fd, index, XDP_FLAGS_DRV_MODE);
    bool hopeless = fd >= 0 || fd == -EBUSY || fd == -EEXIST || fd == -EPERM;
    return attach == XDP_ATTACH_NATIVE || hopeless ? fd : link_with(program_fd, index, XDP_FLAGS_SKB_MODE);
}

static int fail_attach(const struct pb_port *port, const struct xdp_request *request, enum xdp_attach attach, int code,
                       struct pb_error *error)
{
    const char *interface = request->interface;
    uint32_t id = 0;
    if (code == EPERM || code == EACCES)
        return pb_port_fail(port, error, code, "no permission for XDP programs; " PB_XDP_RIGHTS);
    if (code == EBUSY || code == EEXIST) {
        (void)bpf_xdp_query_id(request->index, 0, &id);
        return pb_port_fail(port, error, code, "%s has another program's XDP program (id %u); stop what reads it, or "
                            "ip link set %s xdp off", interface, id, interface);
    }
    return pb_port_fail_errno(port, error, code, "use another mode (?attach=skb), or a smaller MTU",
                              "cannot attach an XDP program to %s (attach=%s)", interface,
                              attach == XDP_ATTACH_AUTO ? "auto" : attach == XDP_ATTACH_SKB ? "skb" : "native");
}

static int fail_load(const struct pb_port *port, int code, struct pb_error *error)
{
    if (code == EPERM || code == EACCES)
        return pb_port_fail(port, error, code, "no permission for XDP programs; " PB_XDP_RIGHTS);
    return pb_port_fail_errno(port, error, code, "use Linux 5.10 or later with CONFIG_BPF_SYSCALL and CONFIG_XDP_SOCKETS",
                              "cannot load an XDP program");
}

/* Have VLAN tags left in frames, or stripped again. */
static bool set_stripping(struct pb_interface *interface, bool on)
{
    struct ethtool_value flags = {.cmd = ETHTOOL_GFLAGS};
    if (!pb_interface_ethtool(interface, &flags) || ((flags.data & ETH_FLAG_RXVLAN) != 0) == on)
        return false;
    flags.cmd = ETHTOOL_SFLAGS;
    flags.data ^= ETH_FLAG_RXVLAN;
    return pb_interface_ethtool(interface, &flags);
}

static void release(struct xdp_program *program)
{
    if (program->link_fd >= 0)
        close(program->link_fd);
    if (program->program_fd >= 0)
        close(program->program_fd);
    if (program->map_fd >= 0)
        close(program->map_fd);
    free(program);
}

int pb_xdp_program_open(const struct pb_port *port, const struct xdp_request *request, struct pb_interface *interface,
                        enum xdp_attach attach, struct xdp_program **opened, struct pb_error *error)
{
    struct xdp_program *program = programs;
    while (program != NULL && program->index != request->index)
        program = program->next;
    if (program != NULL) {
        program->holders++;
        *opened = program;
        return 0;
    }
    program = calloc(1, sizeof(*program));
    if (program == NULL)
        return pb_port_no_memory(port, error);
    program->index = request->index;
    program->link_fd = program->program_fd = -1;
    program->map_fd = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "packet_bricks", sizeof(uint32_t), sizeof(int),
                                     PB_QUEUE_ID_MAX + 1, NULL);
    if (program->map_fd >= 0)
        program->program_fd = load(program->map_fd);
    if (program->program_fd >= 0)
        program->link_fd = attach_program(program->program_fd, request->index, attach);
    if (program->link_fd < 0) {
        int load_result = program->map_fd < 0 ? program->map_fd : program->program_fd, link_result = program->link_fd;
        release(program);
        return load_result < 0 ? fail_load(port, -load_result, error) : fail_attach(port, request, attach, -link_result, error);
    }
    program->strips_tags = set_stripping(interface, false);
    program->holders = 1;
    program->next = programs;
    programs = program;
    *opened = program;
    return 0;
}

int pb_xdp_program_add(const struct pb_port *port, const struct xdp_program *program, const struct xdp_queue *queue,
                       struct pb_error *error)
{
    int result = bpf_map_update_elem(program->map_fd, &queue->id, &queue->fd, BPF_ANY);
    return result == 0 ? 0 : pb_port_fail_errno(port, error, -result, "stop and start the engine",
                                                "cannot direct queue %u to its socket", queue->id);
}

void pb_xdp_program_remove(const struct xdp_program *program, const struct xdp_queue *queue)
{
    (void)bpf_map_delete_elem(program->map_fd, &queue->id);
}

void pb_xdp_program_close(struct xdp_program *program, struct pb_interface *interface)
{
    if (--program->holders > 0)
        return;
    if (program->strips_tags)
        (void)set_stripping(interface, true);
    struct xdp_program **at = &programs;
    while (*at != program)
        at = &(*at)->next;
    *at = program->next;
    release(program);
}
