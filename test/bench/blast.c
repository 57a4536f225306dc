/*
 * blast.c - sends UDP frames into an interface, for the benchmarks' receivers.
 *
 *   blast INTERFACE PACKETS_PER_S SECONDS [FRAME_BYTES=60] [FLOWS=1000]
 *
 * PACKETS_PER_S 0: as fast as sendmmsg() goes. Prints the packets sent.
 * Pinned to processor 0, where veth's receiving half then runs, too.
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#include "common.h"

#define BURST 32
#define FRAME_BYTES_MAX 9000

static int open_socket(const char *interface)
{
    int one = 1, fd = socket(AF_PACKET, SOCK_RAW, 0);
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(interface)};
    if (fd < 0 || address.sll_ifindex == 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        perror(interface);
        exit(1);
    }
    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
    return fd;
}

static void set_flow(uint8_t *frame, uint32_t flow)
{
    memcpy(frame + 26, (const uint8_t[]){10, (uint8_t)(flow >> 16), (uint8_t)(flow >> 8), (uint8_t)flow, 192, 0, 2, 1}, 8);
    memcpy(frame + 34, (const uint8_t[]){(uint8_t)(flow >> 8), (uint8_t)flow, 0, 53}, 4);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: blast INTERFACE PACKETS_PER_S SECONDS [FRAME_BYTES] [FLOWS]\n");
        return 2;
    }
    double rate = atof(argv[2]), seconds = atof(argv[3]);
    uint32_t bytes = argc > 4 ? (uint32_t)atoi(argv[4]) : 60, flows = argc > 5 ? (uint32_t)atoi(argv[5]) : 1000;
    static uint8_t frames[BURST][FRAME_BYTES_MAX];
    struct iovec vectors[BURST];
    struct mmsghdr messages[BURST] = {0};
    if (bytes < 60 || bytes > FRAME_BYTES_MAX)
        return 2;
    for (uint32_t i = 0; i < BURST; i++) {
        uint8_t *frame = frames[i];
        memcpy(frame, (const uint8_t[]){2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0}, 16);
        memcpy(frame + 16, (const uint8_t[]){(uint8_t)((bytes - 14) >> 8), (uint8_t)(bytes - 14)}, 2);
        frame[22] = 64;
        frame[23] = 17;
        vectors[i] = (struct iovec){frame, bytes};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    pin(0);
    int fd = open_socket(argv[1]);
    uint64_t sent = 0;
    uint32_t flow = 0;
    double start = now_s(), now = start;
    while (now - start < seconds && (rate <= 0 || (double)sent < rate * seconds)) {
        uint32_t burst = BURST;
        if (rate > 0) {
            double due = (now - start) * rate - (double)sent;
            burst = due < 1 ? 0 : due < BURST ? (uint32_t)due : BURST;
        }
        for (uint32_t i = 0; i < burst; i++, flow = (flow + 1) % flows)
            set_flow(frames[i], flow);
        int n = burst == 0 ? 0 : sendmmsg(fd, messages, burst, 0);
        if (n > 0)
            sent += (uint64_t)n;
        else if (n < 0 && errno != ENOBUFS && errno != EAGAIN)
            break;
        now = now_s();
    }
    printf("%llu\n", (unsigned long long)sent);
    return 0;
}
