// SPDX-License-Identifier: Apache-2.0
//
// Backend decapsulator: takes Guideway's outer header off, in place, before the kernel's IP layer sees the packet.
//
// Two entry points with one brain: section "tc" (clsact ingress, works everywhere) and section "xdp" (native or generic).
// Known forms, over an outer IPv4 or IPv6 header: IPIP (inner IPv4 or IPv6), GUE variant 0 and GUE variant 1 on UDP 6080.
// What must hold: bytes of the inner packet are never changed, a packet that is not surely ours is passed up untouched,
// and every length is compared with the end of the packet before it is believed.
//
// Build: clang -O2 -g -target bpf -I/usr/include/$(uname -m)-linux-gnu -c decap.bpf.c -o decap.bpf.o

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define GUE_PORT 6080

// RFC 791 flags and offset: a set MF bit or a non-zero offset makes it a fragment. Guideway sets DF; we never reassemble.
#define IPV4_FRAGMENT_MASK 0x3fff

// Newer than the uapi headers of Debian 12; values from include/uapi/linux/bpf.h of Linux 6.2.
#define ADJ_ROOM_DECAP_L3_IPV4 (1ULL << 7)
#define ADJ_ROOM_DECAP_L3_IPV6 (1ULL << 8)

// The longest front we read: Ethernet, IPv6, UDP, the fixed GUE header.
#define FRONT_BYTES_MAX (sizeof(struct ethhdr) + sizeof(struct ipv6hdr) + sizeof(struct udphdr) + 4)

enum outcome { OUTCOME_PASS, OUTCOME_REFUSE, OUTCOME_IPIP, OUTCOME_GUE0, OUTCOME_GUE1, OUTCOME_COUNT };

// Packets by outcome, per CPU; read with `bpftool map dump name decap_counters`.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OUTCOME_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} decap_counters SEC(".maps");

// What stands between the Ethernet header and the inner packet.
struct tunnel {
	__u32 outer_bytes;
	__u16 inner_ethertype; // host order
};

static __always_inline void count(__u32 outcome)
{
	__u64 *packets = bpf_map_lookup_elem(&decap_counters, &outcome);
	if (packets)
		*packets += 1;
}

static __always_inline __u16 inner_of_protocol(__u8 protocol)
{
	if (protocol == IPPROTO_IPIP)
		return ETH_P_IP;
	if (protocol == IPPROTO_IPV6)
		return ETH_P_IPV6;
	return 0;
}

// GUE, draft-ietf-intarea-gue-09 section 3: the first two bits are the variant.
// Variant 0: |0 0|C| hlen:5 | proto:8 | flags:16 |, then hlen 32-bit words. Variant 1: the IP header itself (0100 or 0110).
static __always_inline int measure_gue(void *gue, void *end, struct tunnel *tunnel)
{
	__u8 *byte = gue;

	if (gue + 4 > end)
		return OUTCOME_REFUSE;
	if (byte[0] >> 6 == 1) {
		tunnel->inner_ethertype = byte[0] >> 4 == 4 ? ETH_P_IP : byte[0] >> 4 == 6 ? ETH_P_IPV6 : 0;
		return tunnel->inner_ethertype ? OUTCOME_GUE1 : OUTCOME_REFUSE;
	}
	// Control messages, unknown variants and flags we cannot interpret must not be delivered as if understood.
	if (byte[0] >> 5 != 0 || byte[2] != 0 || byte[3] != 0)
		return OUTCOME_REFUSE;
	tunnel->inner_ethertype = inner_of_protocol(byte[1]);
	tunnel->outer_bytes += 4 + 4 * (byte[0] & 0x1f);
	return tunnel->inner_ethertype ? OUTCOME_GUE0 : OUTCOME_REFUSE;
}

// After the outer IP header: a bare inner packet, or UDP to the GUE port; all else is somebody else's.
static __always_inline int measure_payload(__u8 protocol, void *payload, void *end, struct tunnel *tunnel)
{
	struct udphdr *udp = payload;

	tunnel->inner_ethertype = inner_of_protocol(protocol);
	if (tunnel->inner_ethertype)
		return OUTCOME_IPIP;
	if (protocol != IPPROTO_UDP || payload + sizeof(*udp) > end || udp->dest != bpf_htons(GUE_PORT))
		return OUTCOME_PASS;
	tunnel->outer_bytes += sizeof(*udp);
	return measure_gue(payload + sizeof(*udp), end, tunnel);
}

static __always_inline int measure(void *front, void *end, struct tunnel *tunnel)
{
	struct ethhdr *eth = front;
	void *network = front + sizeof(*eth);

	if (network > end)
		return OUTCOME_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = network;
		// Options and fragments are left to the stack on purpose: Guideway sends neither.
		if (network + sizeof(*ip) > end || ip->ihl != 5 || ip->frag_off & bpf_htons(IPV4_FRAGMENT_MASK))
			return OUTCOME_PASS;
		tunnel->outer_bytes = sizeof(*ip);
		return measure_payload(ip->protocol, network + sizeof(*ip), end, tunnel);
	}
	if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip6 = network;
		if (network + sizeof(*ip6) > end)
			return OUTCOME_PASS;
		tunnel->outer_bytes = sizeof(*ip6);
		return measure_payload(ip6->nexthdr, network + sizeof(*ip6), end, tunnel);
	}
	return OUTCOME_PASS;
}

SEC("xdp")
int decap_xdp(struct xdp_md *ctx)
{
	void *front = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct tunnel tunnel = {};
	struct ethhdr eth, *new_eth;
	int outcome = measure(front, end, &tunnel);

	count(outcome);
	if (outcome == OUTCOME_PASS)
		return XDP_PASS;
	if (outcome == OUTCOME_REFUSE)
		return XDP_DROP;
	if (front + sizeof(eth) > end)
		return XDP_DROP;
	eth = *(struct ethhdr *)front;
	// Fails when the packet is shorter than its headers claim.
	if (bpf_xdp_adjust_head(ctx, (int)tunnel.outer_bytes))
		return XDP_DROP;
	new_eth = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if ((void *)(new_eth + 1) > end)
		return XDP_DROP;
	eth.h_proto = bpf_htons(tunnel.inner_ethertype);
	*new_eth = eth;
	return XDP_PASS;
}

SEC("tc")
int decap_tc(struct __sk_buff *skb)
{
	struct tunnel tunnel = {};
	__u64 flags = 0;
	__u16 ethertype;
	int outcome;

	// The front may sit in a page fragment; a shorter packet stays as it is and fails the comparisons in measure().
	bpf_skb_pull_data(skb, skb->len < FRONT_BYTES_MAX ? skb->len : FRONT_BYTES_MAX);
	outcome = measure((void *)(long)skb->data, (void *)(long)skb->data_end, &tunnel);
	count(outcome);
	if (outcome == OUTCOME_PASS)
		return TC_ACT_OK;
	if (outcome == OUTCOME_REFUSE)
		return TC_ACT_SHOT;
	flags = tunnel.inner_ethertype == ETH_P_IP ? ADJ_ROOM_DECAP_L3_IPV4 : ADJ_ROOM_DECAP_L3_IPV6;
	if (bpf_skb_adjust_room(skb, -(int)tunnel.outer_bytes, BPF_ADJ_ROOM_MAC, flags))
		return TC_ACT_SHOT;
	// adjust_room sets skb->protocol, the bytes of the Ethernet header are ours to correct.
	ethertype = bpf_htons(tunnel.inner_ethertype);
	if (bpf_skb_store_bytes(skb, __builtin_offsetof(struct ethhdr, h_proto), &ethertype, sizeof(ethertype), 0))
		return TC_ACT_SHOT;
	return TC_ACT_OK;
}

// Every helper used here is open to programs of any licence.
char decap_license[] SEC("license") = "Apache-2.0";
