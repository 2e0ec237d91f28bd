// SPDX-License-Identifier: Apache-2.0
//
// Backend decapsulator: takes Guideway's outer header off, in place, before the kernel's IP layer sees the packet.
//
// Two entry points with one brain: section "tc" (clsact ingress, works everywhere) and section "xdp" (native or generic).
// Known forms, over an outer IPv4 or IPv6 header and with IPv4 or IPv6 inside: IPIP, GRE, GUE variants 0 and 1 on UDP
// 6080, Geneve on UDP 6081, VXLAN on UDP 4789.
// What must hold: of the inner packet nothing changes but the ECN field, as RFC 6040 has it; a packet that is not surely
// ours is passed up untouched; every length is compared with the end of the packet before it is believed.
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

// Another port than these: clang -DGUE_PORT=... and so on.
#ifndef GUE_PORT
#define GUE_PORT 6080
#endif
#ifndef GENEVE_PORT
#define GENEVE_PORT 6081
#endif
#ifndef VXLAN_PORT
#define VXLAN_PORT 4789
#endif

// RFC 791 flags and offset: a set MF bit or a non-zero offset makes it a fragment. Guideway sets DF; we never reassemble.
#define IPV4_FRAGMENT_MASK 0x3fff

// Newer than the uapi headers of Debian 12; values from include/uapi/linux/bpf.h of Linux 6.2.
#define ADJ_ROOM_DECAP_L3_IPV4 (1ULL << 7)
#define ADJ_ROOM_DECAP_L3_IPV6 (1ULL << 8)

// The longest front we read: Ethernet, IPv6, UDP, Geneve with all the options that fit, inner Ethernet.
#define GENEVE_OPTIONS_MAX (63 * 4)
#define FRONT_BYTES_MAX (2 * sizeof(struct ethhdr) + sizeof(struct ipv6hdr) + sizeof(struct udphdr) + 8 + GENEVE_OPTIONS_MAX)
// The longest inner header that ECN is written to.
#define INNER_BYTES_MAX (sizeof(struct ethhdr) + sizeof(struct ipv6hdr))

// Codepoints of the ECN field (RFC 3168 section 5).
#define ECN_MASK 3
#define ECT_1 1
#define ECT_0 2
#define ECN_CE 3

// The numbers are an interface: others read the map. What is new comes last.
enum outcome {
	OUTCOME_PASS,
	OUTCOME_REFUSE,
	OUTCOME_IPIP,
	OUTCOME_GUE0,
	OUTCOME_GUE1,
	OUTCOME_GRE,
	OUTCOME_GENEVE,
	OUTCOME_VXLAN,
	// Besides one of the above: the mark of a congested router was carried inward, or the packet had to go with it.
	OUTCOME_ECN_CARRIED,
	OUTCOME_ECN_DROPPED,
	OUTCOME_COUNT
};

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
	__u8 outer_ecn;
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

static __always_inline __u16 inner_of_ethertype(__be16 ethertype)
{
	if (ethertype == bpf_htons(ETH_P_IP))
		return ETH_P_IP;
	if (ethertype == bpf_htons(ETH_P_IPV6))
		return ETH_P_IPV6;
	return 0;
}

// GRE, RFC 2784 and RFC 2890: |C|0|K|S| reserved:9 | version:3 | protocol type:16 |, then the key if K is set. Other
// flags, versions and payloads belong to tunnels that are not Guideway's.
static __always_inline int measure_gre(void *gre, void *end, struct tunnel *tunnel)
{
	__be16 *half = gre;

	if (gre + 4 > end || half[0] & bpf_htons(0xdfff))
		return OUTCOME_PASS;
	tunnel->inner_ethertype = inner_of_ethertype(half[1]);
	tunnel->outer_bytes += half[0] ? 8 : 4;
	return tunnel->inner_ethertype ? OUTCOME_GRE : OUTCOME_PASS;
}

// The Ethernet header between a VXLAN or Geneve header and the packet.
static __always_inline int measure_inner_ethernet(void *inner, void *end, struct tunnel *tunnel)
{
	struct ethhdr *eth = inner;

	if (inner + sizeof(*eth) > end)
		return 0;
	tunnel->inner_ethertype = inner_of_ethertype(eth->h_proto);
	tunnel->outer_bytes += sizeof(*eth);
	return tunnel->inner_ethertype != 0;
}

// VXLAN, RFC 7348 section 5: the I flag, 24 reserved bits, the network identifier. Any network is taken.
static __always_inline int measure_vxlan(void *vxlan, void *end, struct tunnel *tunnel)
{
	__u8 *byte = vxlan;

	if (vxlan + 8 > end || !(byte[0] & 0x08))
		return OUTCOME_REFUSE;
	tunnel->outer_bytes += 8;
	return measure_inner_ethernet(vxlan + 8, end, tunnel) ? OUTCOME_VXLAN : OUTCOME_REFUSE;
}

// Geneve, RFC 8926 section 3.4: |version:2| options:6 |O|C| reserved:6 | protocol type:16 | network identifier. Options
// are skipped unless one is critical; control packets are not for us.
static __always_inline int measure_geneve(void *geneve, void *end, struct tunnel *tunnel)
{
	__u8 *byte = geneve;
	__u32 options;

	if (geneve + 8 > end || byte[0] >> 6 != 0 || byte[1] & 0xc0)
		return OUTCOME_REFUSE;
	options = 4 * (byte[0] & 0x3f);
	tunnel->outer_bytes += 8 + options;
	if (*(__be16 *)(byte + 2) == bpf_htons(ETH_P_TEB))
		return measure_inner_ethernet(geneve + 8 + options, end, tunnel) ? OUTCOME_GENEVE : OUTCOME_REFUSE;
	tunnel->inner_ethertype = inner_of_ethertype(*(__be16 *)(byte + 2));
	return tunnel->inner_ethertype ? OUTCOME_GENEVE : OUTCOME_REFUSE;
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

// After the outer IP header: a bare inner packet, GRE, or UDP to a port of ours; all else is somebody else's.
static __always_inline int measure_payload(__u8 protocol, void *payload, void *end, struct tunnel *tunnel)
{
	struct udphdr *udp = payload;

	tunnel->inner_ethertype = inner_of_protocol(protocol);
	if (tunnel->inner_ethertype)
		return OUTCOME_IPIP;
	if (protocol == IPPROTO_GRE)
		return measure_gre(payload, end, tunnel);
	if (protocol != IPPROTO_UDP || payload + sizeof(*udp) > end)
		return OUTCOME_PASS;
	tunnel->outer_bytes += sizeof(*udp);
	if (udp->dest == bpf_htons(GUE_PORT))
		return measure_gue(payload + sizeof(*udp), end, tunnel);
	if (udp->dest == bpf_htons(GENEVE_PORT))
		return measure_geneve(payload + sizeof(*udp), end, tunnel);
	if (udp->dest == bpf_htons(VXLAN_PORT))
		return measure_vxlan(payload + sizeof(*udp), end, tunnel);
	return OUTCOME_PASS;
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
		tunnel->outer_ecn = ip->tos & ECN_MASK;
		return measure_payload(ip->protocol, network + sizeof(*ip), end, tunnel);
	}
	if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip6 = network;
		if (network + sizeof(*ip6) > end)
			return OUTCOME_PASS;
		tunnel->outer_bytes = sizeof(*ip6);
		tunnel->outer_ecn = ip6->flow_lbl[0] >> 4 & ECN_MASK;
		return measure_payload(ip6->nexthdr, network + sizeof(*ip6), end, tunnel);
	}
	return OUTCOME_PASS;
}

// The ECN field that a packet leaves the tunnel with, RFC 6040 section 4.2, figure 4; -1: it must not.
static __always_inline int ecn_inward(__u8 inner, __u8 outer)
{
	if (outer == ECN_CE)
		// A sender that knows no ECN learns of congestion by loss.
		return inner ? ECN_CE : -1;
	if (outer == ECT_1 && inner == ECT_0)
		return ECT_1;
	return inner;
}

// Brings the outer ECN field into the inner header at `network`; false if the packet is to be dropped.
static __always_inline int carry_ecn(void *network, void *end, const struct tunnel *tunnel)
{
	__u8 *byte = network;
	__u32 sum, is_ipv4 = tunnel->inner_ethertype == ETH_P_IP;
	int before, after;

	if (network + sizeof(struct iphdr) > end)
		return 0;
	before = is_ipv4 ? byte[1] & ECN_MASK : byte[1] >> 4 & ECN_MASK;
	after = ecn_inward(before, tunnel->outer_ecn);
	if (after == before)
		return 1;
	count(after < 0 ? OUTCOME_ECN_DROPPED : OUTCOME_ECN_CARRIED);
	if (after < 0)
		return 0;
	if (is_ipv4) {
		// RFC 1624 equation 3; of the word that changes only the ECN field does.
		__be16 *check = network + __builtin_offsetof(struct iphdr, check);
		sum = (__u16)~bpf_ntohs(*check) + (__u16)~before + after;
		sum = (sum & 0xffff) + (sum >> 16);
		sum = (sum & 0xffff) + (sum >> 16);
		*check = bpf_htons((__u16)~sum);
		byte[1] = (byte[1] & ~ECN_MASK) | after;
	} else {
		byte[1] = (byte[1] & ~(ECN_MASK << 4)) | after << 4;
	}
	return 1;
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
	return carry_ecn(new_eth + 1, end, &tunnel) ? XDP_PASS : XDP_DROP;
}

SEC("tc")
int decap_tc(struct __sk_buff *skb)
{
	struct tunnel tunnel = {};
	__u64 flags = 0;
	__u16 ethertype;
	void *network;
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
	// An IPv4 packet may be shorter than that.
	bpf_skb_pull_data(skb, skb->len < INNER_BYTES_MAX ? skb->len : INNER_BYTES_MAX);
	network = (void *)(long)skb->data + sizeof(struct ethhdr);
	return carry_ecn(network, (void *)(long)skb->data_end, &tunnel) ? TC_ACT_OK : TC_ACT_SHOT;
}

// Every helper used here is open to programs of any licence.
char decap_license[] SEC("license") = "Apache-2.0";
