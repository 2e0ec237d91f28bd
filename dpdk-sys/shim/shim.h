/* shim.h: what bindgen reads, and the C side of every DPDK construct that Rust cannot call.
 *
 * No logic lives here or in shim.c: each function is one DPDK inline, macro or thread-local made linkable.
 * Names start with gw_ (functions, variables) or GW_ (constants), so nothing can clash with DPDK's own.
 */
#ifndef GW_SHIM_H
#define GW_SHIM_H

#include <stddef.h>
#include <stdint.h>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_version.h>

/* DPDK spells these with RTE_BIT64(), which libclang does not evaluate; a typed constant it does. */
static const uint64_t GW_RX_OFFLOAD_IPV4_CKSUM = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
static const uint64_t GW_RX_OFFLOAD_RSS_HASH = RTE_ETH_RX_OFFLOAD_RSS_HASH;
static const uint64_t GW_TX_OFFLOAD_MBUF_FAST_FREE = RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
static const uint64_t GW_RSS_IP = RTE_ETH_RSS_IP;
static const uint64_t GW_RSS_TCP = RTE_ETH_RSS_TCP;
static const uint64_t GW_RSS_UDP = RTE_ETH_RSS_UDP;
static const uint64_t GW_MBUF_RX_RSS_HASH = RTE_MBUF_F_RX_RSS_HASH;
static const uint64_t GW_MBUF_RX_IP_CKSUM_MASK = RTE_MBUF_F_RX_IP_CKSUM_MASK;
static const uint64_t GW_MBUF_RX_IP_CKSUM_BAD = RTE_MBUF_F_RX_IP_CKSUM_BAD;
static const uint64_t GW_MBUF_RX_IP_CKSUM_GOOD = RTE_MBUF_F_RX_IP_CKSUM_GOOD;

static const uint32_t GW_PKTMBUF_HEADROOM_BYTES = RTE_PKTMBUF_HEADROOM;
static const uint32_t GW_LOG_ERR = RTE_LOG_ERR;
static const uint32_t GW_LOG_WARNING = RTE_LOG_WARNING;
static const uint32_t GW_LOG_NOTICE = RTE_LOG_NOTICE;
static const uint32_t GW_LOG_INFO = RTE_LOG_INFO;
static const uint32_t GW_LOG_DEBUG = RTE_LOG_DEBUG;
static const uint32_t GW_LCORE_ID_ANY = LCORE_ID_ANY;

/* rte_errno and the lcore id are __thread variables: an extern static in Rust links and then crashes. */
int gw_errno(void);
uint32_t gw_lcore_id(void);
uint64_t gw_tsc(void);
const char *gw_dpdk_version(void);

/* A chunk of log text. `level` is RTE_LOG_*; the text is neither NUL-terminated nor cut at line ends. */
typedef void (*gw_log_sink)(uint32_t level, const char *text, size_t len);

/* Sends DPDK's log to `sink`. 0, or -1 with errno. Call once, before rte_eal_init(). */
int gw_log_to(gw_log_sink sink);

/* Sends what C libraries print to stderr (libxdp, libbpf, EAL's own FATAL line) to `sink` at level WARNING.
 * 0, or -1 with errno. Call once. Rust's own stderr writes to the descriptor and is not touched. */
int gw_stderr_to(gw_log_sink sink);

uint16_t gw_eth_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count);
uint16_t gw_eth_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count);

struct rte_mbuf *gw_pktmbuf_alloc(struct rte_mempool *pool);
int gw_pktmbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int count);
void gw_pktmbuf_free(struct rte_mbuf *mbuf);

/* The layout of rte_mbuf as the C compiler sees it: tests/layout.rs holds bindgen's view against it. */
struct gw_mbuf_layout {
	size_t size;
	size_t align;
	size_t buf_addr;
	size_t data_off;
	size_t refcnt;
	size_t nb_segs;
	size_t port;
	size_t ol_flags;
	size_t pkt_len;
	size_t data_len;
	size_t vlan_tci;
	size_t hash_rss;
	size_t buf_len;
	size_t pool;
	size_t next;
	size_t tx_offload;
};
extern const struct gw_mbuf_layout gw_mbuf_layout;

/* Sizes of the structs passed by value or by pointer across the border. */
struct gw_sizes {
	size_t eth_conf;
	size_t eth_dev_info;
	size_t eth_stats;
	size_t eth_link;
	size_t eth_rxconf;
	size_t eth_txconf;
};
extern const struct gw_sizes gw_sizes;

#endif
