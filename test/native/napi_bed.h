/*
 * napi_bed.h - the NAPI contexts of an interface, as the kernel itself shows them: for tests of
 * drivers that change their settings. By netlink, without the driver's own code.
 */
#ifndef NAPI_BED_H
#define NAPI_BED_H

#include <linux/genetlink.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"

#define NAPI_CONTEXTS_MAX 8

/* Of Documentation/netlink/specs/netdev.yaml, by the attributes' numbers. */
enum { NAPI_BED_ID = 2, NAPI_BED_PID = 4, NAPI_BED_DEFER = 5, NAPI_BED_FLUSH = 6, NAPI_BED_THREADED = 8, NAPI_BED_ATTRIBUTES };
enum { NAPI_BED_GET = 11, NAPI_BED_SET = 14 };

/* Values by attribute; the contexts in the order of their queues. */
struct napi_contexts {
    uint32_t count;
    uint64_t of[NAPI_CONTEXTS_MAX][NAPI_BED_ATTRIBUTES];
};

struct napi_message {
    struct nlmsghdr header;
    struct genlmsghdr generic;
    _Alignas(struct nlattr) uint8_t attributes[256];
};

static inline void napi_add(struct napi_message *message, uint16_t type, const void *data, uint16_t bytes)
{
    uint8_t *at = (uint8_t *)message + message->header.nlmsg_len;
    memcpy(at, &(struct nlattr){.nla_len = (uint16_t)(NLA_HDRLEN + bytes), .nla_type = type}, sizeof(struct nlattr));
    memcpy(at + NLA_HDRLEN, data, bytes);
    message->header.nlmsg_len += (uint32_t)NLA_ALIGN(NLA_HDRLEN + bytes);
}

/* Each message of the answer goes to a row of `answers`; returns the kernel's last word, 0 or -errno. */
static inline int napi_ask(struct napi_message *message, struct napi_contexts *answers)
{
    _Alignas(struct nlmsghdr) static uint8_t reply[65536];
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC), result = 1;
    CHECK(fd >= 0);
    CHECK_EQUAL(send(fd, message, message->header.nlmsg_len, 0), message->header.nlmsg_len);
    while (result > 0) {
        ssize_t n = recv(fd, reply, sizeof(reply), 0);
        CHECK(n > 0);
        int left = (int)n;
        for (struct nlmsghdr *at = (struct nlmsghdr *)reply; NLMSG_OK(at, (uint32_t)left); at = NLMSG_NEXT(at, left)) {
            if (at->nlmsg_type == NLMSG_ERROR || at->nlmsg_type == NLMSG_DONE) {
                memcpy(&result, NLMSG_DATA(at), sizeof(result));
                break;
            }
            CHECK(answers->count < NAPI_CONTEXTS_MAX);
            uint64_t *row = answers->of[answers->count++];
            uint32_t used = NLMSG_LENGTH(GENL_HDRLEN);
            while (used + NLA_HDRLEN <= at->nlmsg_len) {
                struct nlattr attribute;
                memcpy(&attribute, (uint8_t *)at + used, sizeof(attribute));
                uint32_t bytes = attribute.nla_len - (uint32_t)NLA_HDRLEN;
                if (attribute.nla_type < NAPI_BED_ATTRIBUTES)
                    memcpy(&row[attribute.nla_type], (uint8_t *)at + used + NLA_HDRLEN, bytes < 8 ? bytes : 8);
                used += (uint32_t)NLA_ALIGN(attribute.nla_len);
            }
        }
    }
    close(fd);
    return result;
}

static inline struct napi_message napi_request(uint16_t family, uint8_t command, uint16_t flags)
{
    return (struct napi_message){.header = {.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN),
                                            .nlmsg_type = family,
                                            .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags)},
                                 .generic = {.cmd = command}};
}

/* The number of the kernel's interface for network devices; 0: it has none. */
static inline uint16_t napi_family(void)
{
    struct napi_message message = napi_request(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 0);
    struct napi_contexts answer = {0};
    napi_add(&message, CTRL_ATTR_FAMILY_NAME, "netdev", sizeof("netdev"));
    return napi_ask(&message, &answer) == 0 ? (uint16_t)answer.of[0][CTRL_ATTR_FAMILY_ID] : 0;
}

/* None where the kernel does not tell. */
static inline struct napi_contexts napi_contexts_of(int index)
{
    uint16_t family = napi_family();
    struct napi_message message = napi_request(family, NAPI_BED_GET, NLM_F_DUMP);
    struct napi_contexts listed = {0}, contexts;
    napi_add(&message, 1, &index, sizeof(index));
    if (family == 0 || napi_ask(&message, &listed) < 0)
        return (struct napi_contexts){0};
    contexts = listed;
    for (uint32_t i = 0; i < listed.count; i++) { /* by their numbers, which grow */
        uint32_t place = 0;
        for (uint32_t k = 0; k < listed.count; k++)
            place += listed.of[k][NAPI_BED_ID] < listed.of[i][NAPI_BED_ID];
        memcpy(contexts.of[place], listed.of[i], sizeof(listed.of[i]));
    }
    return contexts;
}

/* 0 or -errno. */
static inline int napi_set(uint64_t id, uint32_t defer, uint32_t flush_ns)
{
    struct napi_message message = napi_request(napi_family(), NAPI_BED_SET, 0);
    uint32_t number = (uint32_t)id;
    napi_add(&message, NAPI_BED_ID, &number, 4);
    napi_add(&message, NAPI_BED_DEFER, &defer, 4);
    napi_add(&message, NAPI_BED_FLUSH, &flush_ns, 4);
    return napi_ask(&message, NULL);
}

#endif
