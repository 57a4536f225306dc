/*
 * setup.c - see setup.h.
 *
 * Sources: DPDK's rte_ethdev.h; S. Woo and K. Park, "Scalable TCP Session Monitoring with
 * Symmetric Receive-side Scaling" (2012), for the key.
 */
#include "setup.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_ether.h>
#include <rte_mbuf.h>

#include "../rtnetlink.h"
#include "eal.h"
#include "memif_calls.h"

#define DESCRIPTORS 1024       /* wanted in a ring */
#define CACHE_BUFFERS RTE_MEMPOOL_CACHE_MAX_SIZE /* that an engine thread keeps at hand: two batches */
#define BUFFERS_SPARE 2048     /* beside what rings and caches can hold */
#define DRAIN_PACKETS 64
#define RSS_KEY_BYTES_MAX 128
#define RSS_KEY_BYTES 40       /* where the device does not say */
#define RSS_FLOWS (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_SCTP)

/* ------------------------------------------------------------------------ the pool */

/* Pools whose devices are gone, while others hold buffers of them still. When none runs nobody does: a client
 * of memif that lends its buffers forgets those in its rings, DPDK's driver does not give them back. */
static struct rte_mempool *orphans[64];
static uint32_t pools_made;
static uint32_t running; /* devices */

static void free_orphans(void)
{
    for (uint32_t i = 0; i < RTE_DIM(orphans); i++)
        if (orphans[i] != NULL && (running == 0 || rte_mempool_full(orphans[i]))) {
            rte_mempool_free(orphans[i]);
            orphans[i] = NULL;
        }
}

static void retire(struct rte_mempool *pool)
{
    uint32_t place = 0;
    while (place < RTE_DIM(orphans) && orphans[place] != NULL)
        place++;
    if (place < RTE_DIM(orphans))
        orphans[place] = pool;
    free_orphans();
}

void pb_setup_free_pool(struct pb_device *device)
{
    retire(device->pool);
    device->pool = NULL;
}

/* As many as rings can hold, those of a device that they are forwarded to as well, and caches. */
static uint32_t buffers_wanted(const struct pb_device *device, const struct pb_port *port, uint32_t queues)
{
    if (device->asked.mbufs > 0)
        return device->asked.mbufs;
    return rte_align32pow2(queues * (3 * DESCRIPTORS + 2 * CACHE_BUFFERS) + 4 * port->batch_packets + BUFFERS_SPARE) - 1;
}

/* A pool of what the device's ports ask for, in place of one that is too small. */
static int make_pool(struct pb_device *device, const struct pb_port *port, uint32_t queues, struct pb_error *error)
{
    char name[RTE_MEMPOOL_NAMESIZE];
    uint32_t count = buffers_wanted(device, port, queues), bytes = device->asked.mbuf_bytes;
    if (bytes == 0)
        bytes = device->pool != NULL ? device->segment_bytes : (uint32_t)pb_port_option_integer(port, "mbuf_bytes");
    if (device->pool != NULL && device->pool->size >= count && device->segment_bytes >= bytes)
        return 0;
    free_orphans();
    /* The cache may hold half as much again, and others need some, too. */
    uint32_t cache = count / 4 < CACHE_BUFFERS ? count / 4 : CACHE_BUFFERS;
    snprintf(name, sizeof(name), "bricks_%u", pools_made++);
    struct rte_mempool *pool = rte_pktmbuf_pool_create(name, count, cache, 0, (uint16_t)(bytes + RTE_PKTMBUF_HEADROOM),
                                                       rte_eth_dev_socket_id(device->id));
    if (pool != NULL) {
        device->pool = pool;
        device->segment_bytes = bytes;
        return 0;
    }
    uint64_t mb = (uint64_t)count * (bytes + RTE_PKTMBUF_HEADROOM + 2 * sizeof(struct rte_mbuf)) >> 20;
    return pb_port_fail(port, error, rte_errno, "no memory for %u buffers of %u bytes (%llu MiB): %s; %s, or want "
                        "fewer (?mbufs=)", count, bytes, (unsigned long long)mb, rte_strerror(rte_errno),
                        pb_eal_has_huge_pages() ? "reserve more huge pages (vm.nr_hugepages), or use none (--dpdk-eal --no-huge)"
                                                : "give DPDK more (--dpdk-eal \"--no-huge -m 4096\")");
}

/* ----------------------------------------------------------------------- the device */

static bool is_named(const char *driver, const char *const *names)
{
    while (*names != NULL && strcmp(*names, driver) != 0)
        names++;
    return *names != NULL;
}

/* Whether a memif copies what it sends into its rings: unless it was told to lend its buffers, by our arguments or by
 * options of DPDK. */
static bool memif_copies(const struct rte_eth_dev_info *info)
{
    const struct rte_devargs *arguments = rte_dev_devargs(info->device);
    return arguments != NULL && arguments->args != NULL &&
           (strstr(arguments->args, "zero-copy=") == NULL || strstr(arguments->args, "zero-copy=no") != NULL);
}

/* What DPDK does not tell of its drivers, seen in their sources. */
static void learn_ways(struct pb_device *device, const struct rte_eth_dev_info *info)
{
    static const char *const gathering[] = {"net_pcap", "net_memif", "net_null", "net_ring", NULL};
    static const char *const swallowing[] = {"net_af_packet", NULL};
    static const char *const storing[] = {"net_ring", NULL};
    device->segments = (info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0 || is_named(info->driver_name, gathering);
    device->is_memif = strcmp(info->driver_name, "net_memif") == 0;
    device->connects = pb_memif_is_client(device->arguments);
    device->lends = device->connects && strstr(device->arguments, "zero-copy=yes") != NULL;
    device->copies = device->is_memif && memif_copies(info);
    device->swallows = is_named(info->driver_name, swallowing);
    device->stores = is_named(info->driver_name, storing);
}

/* How long a frame may be that is sent: the kernel's interface says it, or the NIC's MTU; memory and files take any. */
static void learn_frame_max(struct pb_device *device, const struct rte_eth_dev_info *info)
{
    struct pb_link link;
    device->if_index = (int)info->if_index;
    device->frame_max = device->mtu + RTE_ETHER_HDR_LEN;
    bool is_virtual = strncmp(device->name, "net_", 4) == 0;
    if (device->if_index > 0 && if_indextoname((unsigned)device->if_index, device->interface) != NULL &&
        pb_link_get(device->interface, &link) == 0)
        device->frame_max = link.mtu + RTE_ETHER_HDR_LEN;
    else if (is_virtual)
        device->frame_max = PB_FRAME_BYTES_LIVE_MAX;
    if (!device->segments && device->frame_max > device->segment_bytes)
        device->frame_max = device->segment_bytes;
}

/* Both directions of a connection get the same hash, so the same queue: 6d5a over and over. */
static void set_rss(struct rte_eth_conf *conf, const struct rte_eth_dev_info *info, uint8_t *key, uint32_t queues)
{
    uint8_t bytes = info->hash_key_size > 0 && info->hash_key_size <= RSS_KEY_BYTES_MAX ? info->hash_key_size : RSS_KEY_BYTES;
    for (uint32_t i = 0; i < bytes; i++)
        key[i] = i % 2 == 0 ? 0x6d : 0x5a;
    uint64_t flows = RSS_FLOWS & info->flow_type_rss_offloads;
    bool has_hash = (info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_RSS_HASH) != 0;
    if (flows == 0 || (queues == 1 && !has_hash))
        return;
    conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf->rx_adv_conf.rss_conf = (struct rte_eth_rss_conf){.rss_key = key, .rss_key_len = bytes, .rss_hf = flows};
    if (has_hash)
        conf->rxmode.offloads |= RTE_ETH_RX_OFFLOAD_RSS_HASH;
}

static uint32_t mtu_wanted(const struct pb_device *device, const struct rte_eth_dev_info *info)
{
    uint16_t mtu = RTE_ETHER_MTU;
    if (device->asked.mtu > 0)
        return device->asked.mtu;
    (void)rte_eth_dev_get_mtu(device->id, &mtu);
    return RTE_MAX(RTE_MIN(mtu, info->max_mtu), info->min_mtu);
}

static int set_queues(struct pb_device *device, const struct rte_eth_dev_info *info, const struct rte_eth_conf *conf)
{
    uint16_t rx = DESCRIPTORS, tx = DESCRIPTORS;
    struct rte_eth_rxconf rx_conf = info->default_rxconf;
    struct rte_eth_txconf tx_conf = info->default_txconf;
    rx_conf.offloads = conf->rxmode.offloads;
    tx_conf.offloads = conf->txmode.offloads;
    int socket = rte_eth_dev_socket_id(device->id);
    int result = rte_eth_dev_adjust_nb_rx_tx_desc(device->id, &rx, &tx);
    for (uint16_t q = 0; result == 0 && q < device->queues; q++) {
        result = rte_eth_rx_queue_setup(device->id, q, rx, (unsigned)socket, &rx_conf, device->pool);
        if (result == 0)
            result = rte_eth_tx_queue_setup(device->id, q, tx, (unsigned)socket, &tx_conf);
    }
    return result;
}

static int configure(struct pb_device *device, const struct rte_eth_dev_info *info)
{
    uint8_t key[RSS_KEY_BYTES_MAX];
    struct rte_eth_conf conf = {.rxmode = {.mtu = mtu_wanted(device, info)}};
    device->mtu = (uint16_t)conf.rxmode.mtu;
    learn_frame_max(device, info);
    set_rss(&conf, info, key, device->queues);
    if (conf.rxmode.mtu + RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN > device->segment_bytes)
        conf.rxmode.offloads |= info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
    conf.txmode.offloads = info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
    conf.intr_conf.rmv = (*info->dev_flags & RTE_ETH_DEV_INTR_RMV) != 0;
    int result = rte_eth_dev_configure(device->id, device->queues, device->queues, &conf);
    return result < 0 ? result : set_queues(device, info, &conf);
}

/* An interface of the kernel is set so by a socket: what DPDK sets would outlive a killed process. Other devices
 * without addresses refuse it, and receive all. */
void pb_setup_promiscuous(struct pb_device *device)
{
    if (device->if_index == 0) {
        (void)rte_eth_promiscuous_enable(device->id);
        return;
    }
    struct packet_mreq membership = {.mr_ifindex = device->if_index, .mr_type = PACKET_MR_PROMISC};
    device->membership_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (device->membership_fd >= 0)
        (void)setsockopt(device->membership_fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership, sizeof(membership));
}

static int start(struct pb_device *device)
{
    int result = rte_eth_dev_start(device->id);
    atomic_store(&device->started, result == 0);
    device->running = result == 0 || device->connects;
    running += device->running;
    if (device->connects) {
        pb_device_await_answer(device);
        return 0; /* its server may come later */
    }
    if (result == 0 && device->asked.promiscuous)
        pb_setup_promiscuous(device);
    return result;
}

int pb_setup_start(struct pb_device *device, const struct pb_port *port, uint32_t queues, struct pb_error *error)
{
    struct rte_eth_dev_info info;
    int result = rte_eth_dev_info_get(device->id, &info);
    if (result < 0)
        return pb_port_fail(port, error, -result, "DPDK does not tell about %s: %s; stop and start the engine",
                            device->name, rte_strerror(-result));
    uint32_t queues_max = RTE_MIN(RTE_MIN(info.max_rx_queues, info.max_tx_queues), PB_DPDK_QUEUES_MAX);
    if (queues > queues_max)
        return pb_port_fail(port, error, EINVAL, "%s has at most %u queue%s each way; say ?queues=%u", device->name,
                            queues_max, queues_max == 1 ? "" : "s", queues_max);
    if (device->users > 0)
        pb_setup_stop(device);
    struct rte_mempool *before = device->pool;
    if ((result = make_pool(device, port, queues, error)) < 0)
        return result;
    device->queues = (uint16_t)queues;
    learn_ways(device, &info);
    pb_eal_log_clear();
    pb_memif_hold_handlers();
    result = configure(device, &info);
    if (before != NULL && before != device->pool)
        retire(before); /* the receive queues have buffers of the new one now */
    if (result == 0)
        result = start(device);
    pb_memif_let_handlers_go();
    if (result < 0)
        return pb_port_fail(port, error, -result, "DPDK does not start %s with %u queue%s and an MTU of %u: %s; %schange its "
                            "arguments, ?queues= or ?mtu=", device->name, queues, queues == 1 ? "" : "s", device->mtu,
                            pb_eal_log_text(rte_strerror(-result)), geteuid() == 0 ? "" : "run as root, or ");
    return 0;
}

/* Give back what was sent to the device and not received: nobody will, and its buffers may be of pools that go. */
static void drain(const struct pb_device *device)
{
    struct rte_mbuf *mbufs[DRAIN_PACKETS];
    for (uint16_t q = 0; q < device->queues; q++)
        for (uint16_t count; (count = rte_eth_rx_burst(device->id, q, mbufs, DRAIN_PACKETS)) > 0;)
            rte_pktmbuf_free_bulk(mbufs, count);
}

void pb_setup_stop(struct pb_device *device)
{
    bool is_started = atomic_load(&device->started);
    running -= device->running;
    device->running = false;
    if (is_started && !atomic_load(&device->gone)) {
        if (device->stores)
            drain(device);
        if (device->if_index == 0)
            (void)rte_eth_promiscuous_disable(device->id);
        pb_memif_hold_handlers();
        (void)rte_eth_dev_stop(device->id);
        pb_memif_let_handlers_go();
    }
    if (device->membership_fd >= 0)
        close(device->membership_fd);
    device->membership_fd = -1;
    atomic_store(&device->started, false);
    if (device->lends)
        pb_setup_free_pool(device);
}
