/* netlink.c - see netlink.h. */
#include "netlink.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REPLY_BYTES 32768 /* the kernel fills what it is offered, up to this */

void pb_netlink_begin(struct pb_netlink_request *request, uint16_t type, uint16_t flags, const void *message, uint32_t bytes)
{
    memset(request, 0, sizeof(*request));
    request->header.nlmsg_len = NLMSG_LENGTH(bytes);
    request->header.nlmsg_type = type;
    request->header.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
    memcpy(NLMSG_DATA(&request->header), message, bytes);
}

static void *end_of(struct pb_netlink_request *request)
{
    return (uint8_t *)request + NLMSG_ALIGN(request->header.nlmsg_len);
}

void pb_netlink_append(struct pb_netlink_request *request, const void *data, uint32_t bytes)
{
    if (bytes > 0)
        memcpy(end_of(request), data, bytes);
    request->header.nlmsg_len = NLMSG_ALIGN(request->header.nlmsg_len) + bytes;
}

struct rtattr *pb_netlink_attribute(struct pb_netlink_request *request, uint16_t type, const void *data, uint32_t bytes)
{
    const struct rtattr header = {.rta_type = type, .rta_len = (uint16_t)RTA_LENGTH(bytes)};
    struct rtattr *at = end_of(request);
    pb_netlink_append(request, &header, sizeof(header));
    pb_netlink_append(request, data, bytes);
    return at;
}

void pb_netlink_nest_end(struct pb_netlink_request *request, struct rtattr *nest)
{
    nest->rta_len = (uint16_t)((uint8_t *)end_of(request) - (uint8_t *)nest);
}

/* What the kernel says last: 0, or -errno where it has not done, or not told, all. */
static int last_word(const struct nlmsghdr *message)
{
    int result = 0; /* struct nlmsgerr begins with it, too */
    if (message->nlmsg_len >= NLMSG_LENGTH(sizeof(result)))
        memcpy(&result, NLMSG_DATA(message), sizeof(result));
    return result;
}

/* Go through the messages of one read. 1: more will come; 0: these were the last; -errno. */
static int take(const struct nlmsghdr *message, ssize_t bytes, pb_netlink_seen *seen, void *arg)
{
    if (bytes < (ssize_t)sizeof(*message))
        return -EPROTO;
    uint32_t left = (uint32_t)bytes;
    for (; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
        if (message->nlmsg_type == NLMSG_ERROR || message->nlmsg_type == NLMSG_DONE)
            return last_word(message);
        int result = seen == NULL ? 0 : seen(message, arg);
        if (result < 0)
            return result;
    }
    return 1;
}

int pb_netlink_exchange(int protocol, const struct pb_netlink_request *request, pb_netlink_seen *seen, void *arg)
{
    _Alignas(struct nlmsghdr) uint8_t reply[REPLY_BYTES];
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (fd < 0)
        return -errno;
    int result = send(fd, request, request->header.nlmsg_len, 0) < 0 ? -errno : 1;
    while (result > 0) {
        ssize_t n = recv(fd, reply, sizeof(reply), 0);
        if (n >= 0)
            result = take((const struct nlmsghdr *)reply, n, seen, arg);
        else if (errno != EINTR)
            result = -errno;
    }
    close(fd);
    return result;
}

uint64_t pb_netlink_number(const struct rtattr *attribute)
{
    const void *data = RTA_DATA(attribute);
    switch (RTA_PAYLOAD(attribute)) {
    case sizeof(uint8_t):
        return *(const uint8_t *)data;
    case sizeof(uint16_t):
        return *(const uint16_t *)data;
    case sizeof(uint32_t):
        return *(const uint32_t *)data;
    case sizeof(uint64_t): {
        uint64_t value; /* attributes stand on boundaries of 4 */
        memcpy(&value, data, sizeof(value));
        return value;
    }
    default:
        return 0;
    }
}
