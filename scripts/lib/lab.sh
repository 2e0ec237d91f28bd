# The lab: client, balancer and three nginx backends in network namespaces of their own, on one bridge.
# Sourced, never run; needs say.sh. The one description of the topology: demo, tests and benchmarks all use it.
#
#   client .7 --+                          VIP 203.0.113.10, 2001:db8:cafe::10
#   lb .11 -----+-- br0 --+-- web1 .21     underlay 198.51.100.0/24, 2001:db8:100::/64
#                         +-- web2 .22     requests: client -> lb -> web-N (encapsulated)
#                         +-- web3 .23     replies:  web-N -> client, past the balancer (DSR)
#
# What must hold: every name begins with gwlab-ID, every process has a pid file or lives in such a namespace, and
# lab_down removes all of it even when lab_up stopped half-way.

# nginx, ethtool and friends live where root's path points, not everybody's.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

LAB_VIP4=203.0.113.10
LAB_VIP6=2001:db8:cafe::10
LAB_NET4=198.51.100
LAB_NET6=2001:db8:100:
LAB_MAC=02:67:77:00:00
LAB_VXLAN_MAC=02:67:77:00:fe
LAB_VNI=42
LAB_GRE_KEY=42
# An encapsulated packet of a 1500-byte client must fit: IPv6 + UDP + VXLAN + Ethernet add 70 bytes.
LAB_MTU=1600
LAB_METRICS=127.0.0.1:9843

# lab_init ID: names only, touches nothing.
lab_init() {
	LAB_ID=$1
	LAB_PREFIX=gwlab-$LAB_ID
	LAB_DIR=${TMPDIR:-/tmp}/$LAB_PREFIX
}

lab_ns() { ip netns exec "$LAB_PREFIX-$1" "${@:2}"; }

lab_require_root() {
	[[ $EUID -eq 0 ]] || die "network namespaces need root" "run it with sudo, or as root in a disposable VM"
	ip netns add "$LAB_PREFIX-br" 2>"$LAB_DIR/netns.err" ||
		die "cannot create a network namespace: $(cat "$LAB_DIR/netns.err")" "a container needs CAP_SYS_ADMIN (docker run --privileged)"
}

# A namespace in which the kernel keeps quiet unless told otherwise.
lab_namespace() {
	local name=$1
	[[ $name == br ]] || ip netns add "$LAB_PREFIX-$name"
	lab_ns "$name" sysctl -q -w net.ipv4.ip_forward=0 \
		net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0 \
		net.ipv6.conf.default.accept_ra=0 net.ipv6.conf.default.router_solicitations=0 \
		net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
	lab_ns "$name" ip link set lo up
}

# lab_cable NAME DEVICE HOST_NUMBER: a veth from br0 to DEVICE in namespace NAME.
lab_cable() {
	local name=$1 device=$2 number=$3
	ip -n "$LAB_PREFIX-$name" link add "$device" address "$LAB_MAC:$number" mtu "$LAB_MTU" numrxqueues 1 numtxqueues 1 \
		type veth peer name "p-$name" mtu "$LAB_MTU" numrxqueues 1 numtxqueues 1 netns "$LAB_PREFIX-br"
	ip -n "$LAB_PREFIX-br" link set "p-$name" master br0 up
	# The bridge knows everybody from the start: nobody sees flooded frames of others.
	lab_ns br bridge fdb replace "$LAB_MAC:$number" dev "p-$name" master static
	# Partial checksums do not survive DPDK: an endpoint must finish its own (LAB: TCP is 0 bit/s otherwise).
	lab_ns "$name" ethtool -K "$device" tx off tso off gso off gro off sg off rx off >/dev/null 2>&1 || true
	ip -n "$LAB_PREFIX-$name" link set "$device" up
}

lab_addresses() {
	local name=$1 number=$2
	ip -n "$LAB_PREFIX-$name" addr add "$LAB_NET4.$((10#$number))/24" dev eth0
	ip -n "$LAB_PREFIX-$name" addr add "$LAB_NET6:$((10#$number))/64" dev eth0 nodad
}

lab_bridge() {
	lab_namespace br
	lab_ns br sysctl -q -w net.ipv6.conf.all.disable_ipv6=1
	ip -n "$LAB_PREFIX-br" link add br0 mtu "$LAB_MTU" type bridge stp_state 0 forward_delay 0 mcast_snooping 0
	ip -n "$LAB_PREFIX-br" link set br0 up
}

lab_client() {
	local family
	lab_namespace client
	lab_cable client eth0 07
	ip -n "$LAB_PREFIX-client" link set eth0 mtu 1500
	lab_addresses client 07
	# The balancer does not answer ARP or ND yet: its address is a permanent neighbour.
	for family in "$LAB_NET4.11 $LAB_VIP4" "$LAB_NET6:11 $LAB_VIP6"; do
		ip -n "$LAB_PREFIX-client" neigh replace "${family% *}" lladdr "$LAB_MAC:11" nud permanent dev eth0
		ip -n "$LAB_PREFIX-client" route add "${family#* }" via "${family% *}" dev eth0
	done
}

# The balancer's namespace: a data NIC that the kernel does not touch.
lab_balancer() {
	lab_namespace lb
	lab_ns lb sysctl -q -w net.ipv6.conf.default.disable_ipv6=1
	lab_cable lb nic0 11
	# AF_PACKET gives DPDK a copy, not the frame: without this the kernel would answer too. XDP takes it before this hook.
	lab_ns lb nft 'add table netdev quiet; add chain netdev quiet in { type filter hook ingress device nic0 priority -500; policy drop; }'
}

lab_backend() {
	local number=$1 encap=$2 outer=$3
	local name=web$number host=2$number
	lab_namespace "$name"
	lab_cable "$name" eth0 "$host"
	lab_addresses "$name" "$host"
	# The VIP is ours to answer for, never to announce.
	lab_ns "$name" sysctl -q -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
	ip -n "$LAB_PREFIX-$name" addr add "$LAB_VIP4/32" dev lo
	ip -n "$LAB_PREFIX-$name" addr add "$LAB_VIP6/128" dev lo nodad
	[[ $encap == l2dsr ]] || lab_tunnel_end "$name" "$host" "$encap" "$outer"
}

# lab_tunnel_end NAME HOST_NUMBER ENCAP OUTER: the kernel's own device where it has one, else the decapsulator of
# agent/decap. The file LAB_DIR/NAME.receiver says which.
lab_tunnel_end() {
	local name=$1 host=$2 encap=$3 outer=$4 receiver=kernel
	if ! lab_tunnel_device "$name" "$host" "$encap" "$outer" 2>"$LAB_DIR/$name.device.err"; then
		receiver=decap
		lab_decapsulate "$name" eth0
	fi
	echo "$receiver" >"$LAB_DIR/$name.receiver"
}

lab_decapsulate() {
	lab_ns "$1" tc qdisc add dev "$2" clsact
	lab_ns "$1" tc filter add dev "$2" ingress bpf da obj "$LAB_DIR/decap.bpf.o" sec tc
}

# A tunnel device of the kernel, in up to two for the two inner families. Fails where the kernel lacks the module.
lab_tunnel_device() {
	local name=$1 host=$2 encap=$3 outer=$4 namespace=$LAB_PREFIX-$1 local_end=$LAB_NET4.$2 peer=$LAB_NET4.11
	local mac=$LAB_VXLAN_MAC:$2
	[[ $outer != v6 ]] || local_end=$LAB_NET6:$2 peer=$LAB_NET6:11
	case $encap-$outer in
	vxlan-*)
		ip -n "$namespace" link add tunnel0 address "$mac" type vxlan id "$LAB_VNI" dstport 4789 local "$local_end" dev eth0 nolearning
		;;
	geneve-*)
		ip -n "$namespace" link add tunnel0 address "$mac" type geneve id "$LAB_VNI" remote "$peer"
		;;
	gre-v4) ip -n "$namespace" link add tunnel0 type gre local "$local_end" remote "$peer" ;;
	gre-v6) ip -n "$namespace" link add tunnel0 type ip6gre local "$local_end" remote "$peer" ;;
	grekey-v4) ip -n "$namespace" link add tunnel0 type gre local "$local_end" remote "$peer" key "$LAB_GRE_KEY" ;;
	grekey-v6) ip -n "$namespace" link add tunnel0 type ip6gre local "$local_end" remote "$peer" key "$LAB_GRE_KEY" ;;
	ipip-v4)
		ip -n "$namespace" link add tunnel0 type ipip local "$local_end" remote "$peer" &&
			ip -n "$namespace" link add tunnel1 type sit local "$local_end" remote "$peer" &&
			ip -n "$namespace" link set tunnel1 up
		;;
	ipip-v6) ip -n "$namespace" link add tunnel0 type ip6tnl mode any local "$local_end" remote "$peer" encaplimit none ;;
	*) return 1 ;; # GUE needs FOU beside a device; Geneve with an IP payload is left to the decapsulator, too
	esac && ip -n "$namespace" link set tunnel0 up
}

# lab_router ROLE MTU: a router .30 on the bridge, and behind it a link of that MTU to ROLE, whose own addresses it routes over it.
# web1: what the balancer sends by the router is narrowed. client: what the backends reply is.
lab_router() {
	local role=$1 mtu=$2 router=$LAB_PREFIX-router host=21 name pair
	[[ $role == web1 ]] || host=7
	lab_namespace router
	lab_cable router eth0 30
	lab_addresses router 30
	lab_ns router sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
		net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.eth0.send_redirects=0
	ip -n "$router" link add narrow0 address "$LAB_MAC:31" mtu "$mtu" type veth \
		peer name narrow0 address "$LAB_MAC:32" mtu "$mtu" netns "$LAB_PREFIX-$role"
	for name in router "$role"; do
		lab_ns "$name" ethtool -K narrow0 tx off tso off gso off gro off sg off rx off >/dev/null 2>&1 || true
		ip -n "$LAB_PREFIX-$name" link set narrow0 up
	done
	# Permanent neighbours: a backend answers no ARP for addresses of another device, and the balancer answers none at all.
	for pair in "$LAB_NET4.$host" "$LAB_NET6:$host"; do
		ip -n "$router" neigh replace "$pair" lladdr "$LAB_MAC:32" nud permanent dev narrow0
		ip -n "$router" route add "$pair" dev narrow0
	done
	for pair in "$LAB_NET4.11 $LAB_VIP4" "$LAB_NET6:11 $LAB_VIP6"; do
		ip -n "$router" neigh replace "${pair% *}" lladdr "$LAB_MAC:11" nud permanent dev eth0
		ip -n "$router" route add "${pair#* }" via "${pair% *}" dev eth0
	done
	if [[ $role == client ]]; then
		for name in web1 web2 web3; do
			ip -n "$LAB_PREFIX-$name" route add "$LAB_NET4.7" via "$LAB_NET4.30" dev eth0
			ip -n "$LAB_PREFIX-$name" route add "$LAB_NET6:7" via "$LAB_NET6:30" dev eth0
		done
	elif grep -qsx decap "$LAB_DIR/web1.receiver"; then
		lab_decapsulate web1 narrow0
	fi
}

# A real nginx that says its name and logs who asked. /big is 200 kB, for full-size packets.
lab_nginx() {
	local number=$1
	local name=web$number site=$LAB_DIR/web$number
	mkdir -p "$site"
	head -c 200000 /dev/zero | tr '\0' 'x' >"$site/big"
	cat >"$site/nginx.conf" <<-NGINX
		user root;
		worker_processes 1;
		pid $site/nginx.pid;
		error_log $site/error.log warn;
		events { worker_connections 4096; }
		http {
			log_format lab '\$remote_addr \$server_addr \$status \$request_method \$request_uri \$request_length';
			access_log $site/access.log lab;
			client_body_temp_path $site/body; proxy_temp_path $site/proxy; fastcgi_temp_path $site/fastcgi;
			uwsgi_temp_path $site/uwsgi; scgi_temp_path $site/scgi;
			client_max_body_size 64m;
			server { listen 127.0.0.1:8081; access_log off; return 200; }
			server {
				listen 80 backlog=4096;
				listen [::]:80 ipv6only=on backlog=4096;
				root $site;
				add_header X-Backend web-$number always;
				location = /big { default_type application/octet-stream; }
				location / { default_type text/plain; return 200 "web-$number\n"; }
				# Answered when all of the body is there, and not before.
				location = /post {
					proxy_pass http://127.0.0.1:8081/;
					proxy_pass_request_body off;
					proxy_set_header Content-Length "";
				}
			}
		}
	NGINX
	lab_ns "$name" nginx -e "$site/error.log" -c "$site/nginx.conf"
}

lab_build_decap() {
	local source=$1/agent/decap/decap.bpf.c
	clang -O2 -g -Wall -target bpf -I"/usr/include/$(uname -m)-linux-gnu" -c "$source" -o "$LAB_DIR/decap.bpf.o"
}

# lab_up REPOSITORY ENCAP OUTER: everything but the balancer itself.
lab_up() {
	local repository=$1 encap=$2 outer=$3 number
	mkdir -m 700 "$LAB_DIR" || die "$LAB_DIR exists already" "another lab of that id runs, or left it behind: scripts/lab-clean"
	lab_require_root
	[[ $encap == l2dsr ]] || lab_build_decap "$repository"
	lab_bridge
	lab_client
	lab_balancer
	for number in 1 2 3; do
		lab_backend "$number" "$encap" "$outer"
		lab_nginx "$number"
	done
}

# The processes of a namespace are ours by construction; each is ended by its id.
lab_end_processes() {
	local namespace=$1 signal pid pids
	for signal in TERM KILL; do
		pids=$(ip netns pids "$namespace" 2>/dev/null) || return 0
		[[ -n $pids ]] || return 0
		for pid in $pids; do kill "-$signal" "$pid" 2>/dev/null || true; done
		for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
			[[ -n $(ip netns pids "$namespace" 2>/dev/null) ]] || return 0
			sleep 0.1
		done
	done
}

# lab_down: safe to call twice and after any failure.
lab_down() {
	local namespace pid_file
	for pid_file in "$LAB_DIR"/*.pid "$LAB_DIR"/web*/nginx.pid; do
		[[ ! -s $pid_file ]] || kill -TERM "$(cat "$pid_file")" 2>/dev/null || true
	done
	for namespace in $(ip netns list 2>/dev/null | awk -v p="$LAB_PREFIX-" 'index($1, p) == 1 {print $1}'); do
		lab_end_processes "$namespace"
		ip netns del "$namespace" 2>/dev/null || true
	done
	rm -rf "$LAB_DIR"
}
