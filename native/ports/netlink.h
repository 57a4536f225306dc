/*
 * netlink.h - a request to the kernel by netlink, and all that it answers.
 *
 * For what asks about interfaces (rtnetlink.h), routes (host_route.h) and NAPI contexts (xdp/napi.h), on the
 * caller's thread and in its network namespace; keeps nothing. Source: netlink(7), rtnetlink(3).
 */
#ifndef PB_NETLINK_H
#define PB_NETLINK_H

#include <linux/rtnetlink.h>
#include <stdint.h>

#include "../core/module_api.h"

/* None here comes near it. */
#define PB_NETLINK_BODY_BYTES 512

struct pb_netlink_request {
    struct nlmsghdr header;
    uint8_t body[PB_NETLINK_BODY_BYTES];
};

/* Begin a request of a type with the message that its kind begins with (struct ifinfomsg, rtmsg, genlmsghdr).
 * `flags` beyond those that every request has. */
PB_MODULE_API void pb_netlink_begin(struct pb_netlink_request *request, uint16_t type, uint16_t flags, const void *message,
                                    uint32_t bytes);
/* Put bytes at the end, on the next boundary of 4. */
PB_MODULE_API void pb_netlink_append(struct pb_netlink_request *request, const void *data, uint32_t bytes);
/* An attribute. Without data it is a nest, which holds those put behind it until its end. */
PB_MODULE_API struct rtattr *pb_netlink_attribute(struct pb_netlink_request *request, uint16_t type, const void *data,
                                                  uint32_t bytes);
PB_MODULE_API void pb_netlink_nest_end(struct pb_netlink_request *request, struct rtattr *nest);

/* Sees a message of the answer; other than 0, -errno, is the result. */
typedef int pb_netlink_seen(const struct nlmsghdr *message, void *arg);

/* Send a request to a protocol (NETLINK_ROUTE, NETLINK_GENERIC), and have `seen` see what is answered, to its end; NULL:
 * the answer is yes or no. 0, or -errno: the kernel's, also of a dump that it broke off. */
PB_MODULE_API int pb_netlink_exchange(int protocol, const struct pb_netlink_request *request, pb_netlink_seen *seen, void *arg);

/* An attribute that is a number of 1, 2, 4 or 8 bytes; 0: it is none. */
PB_MODULE_API uint64_t pb_netlink_number(const struct rtattr *attribute);

#endif
