/* shim.c: see shim.h. Each body is one call; a decision here would be a bug. */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/types.h>

#include "shim.h"

int gw_errno(void) { return rte_errno; }
uint32_t gw_lcore_id(void) { return rte_lcore_id(); }
uint64_t gw_tsc(void) { return rte_rdtsc(); }
const char *gw_dpdk_version(void) { return rte_version(); }

static ssize_t log_write(void *cookie, const char *text, size_t len)
{
	((gw_log_sink)cookie)((uint32_t)rte_log_cur_msg_loglevel(), text, len);
	return (ssize_t)len;
}

static ssize_t stderr_write(void *cookie, const char *text, size_t len)
{
	((gw_log_sink)cookie)(RTE_LOG_WARNING, text, len);
	return (ssize_t)len;
}

int gw_log_to(gw_log_sink sink)
{
	/* Buffered on purpose: rte_vlog() flushes after each message, so a message arrives in one piece. */
	FILE *stream = fopencookie((void *)sink, "w", (cookie_io_functions_t){.write = log_write});

	return stream == NULL ? -1 : rte_openlog_stream(stream);
}

int gw_stderr_to(gw_log_sink sink)
{
	FILE *stream = fopencookie((void *)sink, "w", (cookie_io_functions_t){.write = stderr_write});

	if (stream == NULL || setvbuf(stream, NULL, _IOLBF, BUFSIZ) != 0)
		return -1;
	stderr = stream; /* glibc documents stderr as assignable */
	return 0;
}

uint16_t gw_eth_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
	return rte_eth_rx_burst(port, queue, mbufs, count);
}

uint16_t gw_eth_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
	return rte_eth_tx_burst(port, queue, mbufs, count);
}

struct rte_mbuf *gw_pktmbuf_alloc(struct rte_mempool *pool) { return rte_pktmbuf_alloc(pool); }

int gw_pktmbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int count)
{
	return rte_pktmbuf_alloc_bulk(pool, mbufs, count);
}

void gw_pktmbuf_free(struct rte_mbuf *mbuf) { rte_pktmbuf_free(mbuf); }

const struct gw_mbuf_layout gw_mbuf_layout = {
	.size = sizeof(struct rte_mbuf),
	.align = _Alignof(struct rte_mbuf),
	.buf_addr = offsetof(struct rte_mbuf, buf_addr),
	.data_off = offsetof(struct rte_mbuf, data_off),
	.refcnt = offsetof(struct rte_mbuf, refcnt),
	.nb_segs = offsetof(struct rte_mbuf, nb_segs),
	.port = offsetof(struct rte_mbuf, port),
	.ol_flags = offsetof(struct rte_mbuf, ol_flags),
	.pkt_len = offsetof(struct rte_mbuf, pkt_len),
	.data_len = offsetof(struct rte_mbuf, data_len),
	.vlan_tci = offsetof(struct rte_mbuf, vlan_tci),
	.hash_rss = offsetof(struct rte_mbuf, hash.rss),
	.buf_len = offsetof(struct rte_mbuf, buf_len),
	.pool = offsetof(struct rte_mbuf, pool),
	.next = offsetof(struct rte_mbuf, next),
	.tx_offload = offsetof(struct rte_mbuf, tx_offload),
};

const struct gw_sizes gw_sizes = {
	.eth_conf = sizeof(struct rte_eth_conf),
	.eth_dev_info = sizeof(struct rte_eth_dev_info),
	.eth_stats = sizeof(struct rte_eth_stats),
	.eth_link = sizeof(struct rte_eth_link),
	.eth_rxconf = sizeof(struct rte_eth_rxconf),
	.eth_txconf = sizeof(struct rte_eth_txconf),
};
