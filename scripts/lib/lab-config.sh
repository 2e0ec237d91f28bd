# The lab's configuration of Guideway, written for what `lab up` was asked to make.
# Sourced, never run; needs lab.sh. Addresses are those of lab.sh, nothing is repeated here.

lab_device() {
	case $1 in
	af_packet) echo "net_af_packet0,iface=nic0,framecnt=2048" ;; # the default of 512 frames loses packets
	af_xdp) echo "net_af_xdp0,iface=nic0" ;;
	tap) echo "net_tap0,iface=gwtap0,mac=$LAB_MAC:11" ;;
	*) die "unknown PMD '$1'" "one of: af_packet, af_xdp, tap" ;;
	esac
}

lab_encap() {
	case $1 in
	ipip) echo "ipip: {}" ;;
	gue) echo "gue: {port: 6080, variant: 0}" ;;
	gue1) echo "gue: {port: 6080, variant: 1}" ;;
	vxlan) echo "vxlan: {vni: $LAB_VNI, port: 4789}" ;;
	gre) echo "gre: {}" ;;
	grekey) echo "gre: {key: $LAB_GRE_KEY}" ;;
	geneve | geneveip) echo "geneve: {vni: $LAB_VNI}" ;;
	l2dsr) echo "l2dsr: {}" ;;
	*) die "unknown encapsulation '$1'" "one of: ipip, gue, gue1, gre, grekey, vxlan, geneve, geneveip, l2dsr" ;;
	esac
}

lab_backend_line() {
	local number=$1 encap=$2 outer=$3 address inner=''
	address="$LAB_NET4.2$number"
	[[ $outer != v6 ]] || address="\"$LAB_NET6:2$number\""
	[[ $encap != vxlan && $encap != geneve ]] || inner=", inner_mac: \"$LAB_VXLAN_MAC:2$number\""
	echo "      - {name: web-$number, address: $address, mac: \"$LAB_MAC:2$number\"$inner}"
}

# lab_config ENCAP OUTER PMD: YAML on stdout.
lab_config() {
	local encap=$1 outer=$2 pmd=$3 device encap_line
	device=$(lab_device "$pmd")
	encap_line=$(lab_encap "$encap")
	cat <<-YAML
		# Written by the lab: $encap over IP$outer, $pmd.
		version: 1
		node: {name: lab}
		dataplane:
		  idle: adaptive                  # sleeps when idle: two shared cores are enough
		  memory: {hugepages: false, per_numa_node: 256MiB, mbufs_per_numa_node: 8191}
		  ports:
		    - name: uplink0
		      device: "$device"
		      mtu: $LAB_MTU
		      rx_descriptors: 1024
		      tx_descriptors: 1024
		      addresses: [$LAB_NET4.11/24, "$LAB_NET6:11/64"]
		forwarding:
		  maglev: {table_size: 65537, seed: "0x67756964657761790001"}
		  encapsulation:
		    source: {ipv4: $LAB_NET4.11, ipv6: "$LAB_NET6:11"}
		pools:
		  - name: web
		    encap:
		      $encap_line
		    backends:
		$(for number in 1 2 3; do lab_backend_line "$number" "$encap" "$outer"; done)
		vips:
		  - name: web
		    addresses: [$LAB_VIP4, "$LAB_VIP6"]
		    ports: [80]
		    protocol: tcp
		    pool: web
		metrics:
		  listen: "$LAB_METRICS"
	YAML
}
