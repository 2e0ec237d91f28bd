say() { printf 'guideway: %s\n' "$*" >&2; }
die() {
	say "$*"
	exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

# The journal has a line for everything that was changed, and what it was before: KIND NAME BEFORE.
remember() { printf '%s\n' "$*" >>"$journal"; }
is_known() { grep -q -F -e "$1 " "$journal"; }
# What this pool relies on, whether it was made for it or was there: KIND NAME.
rely() { printf '%s\n' "$*" >>"$folder/relies.new"; }

# want_sysctl PATH VALUE: a setting below /proc/sys/net.
want_sysctl() {
	old=$(cat "/proc/sys/net/$1")
	[ "$old" != "$2" ] || return 0
	echo "$2" >"/proc/sys/net/$1" || die "cannot set /proc/sys/net/$1 to $2: is /proc/sys writable here?"
	is_known "sysctl $1" || remember "sysctl $1 $old"
	say "/proc/sys/net/$1: $old -> $2"
}

# want_least PATH VALUE: a setting whose higher values do more of the same.
want_least() {
	rely sysctl "$1"
	[ "$(cat "/proc/sys/net/$1")" -ge "$2" ] || want_sysctl "$1" "$2"
}

# want_loose DEVICE: packets that come in by it may have a source whose route is by another one. The kernel goes by the
# higher of `all` and the device's own value: 0 is no check, 1 a strict one, 2 one that any route satisfies.
want_loose() {
	loose=ipv4/conf/$1/rp_filter
	rely sysctl "$loose"
	case $(cat /proc/sys/net/ipv4/conf/all/rp_filter)$(cat "/proc/sys/net/$loose") in
	01 | 10 | 11) want_sysctl "$loose" 2 ;;
	esac
}

# A VIP on lo: this host takes packets to it for its own, and answers with it.
want_address() {
	rely address "$1"
	[ -z "$(ip -o addr show dev lo to "$1")" ] || return 0
	case $1 in
	*:*) ip addr add "$1" dev lo nodad ;;
	*) ip addr add "$1" dev lo ;;
	esac
	remember "address $1 -"
	say "lo: $1"
}

# A prefix of VIPs: every address of it is this host's own.
want_prefix() {
	rely prefix "$1"
	case $1 in
	*:*) family=-6 ;;
	*) family=-4 ;;
	esac
	[ -z "$(ip "$family" route show table local type local exact "$1")" ] || return 0
	ip "$family" route add local "$1" dev lo
	remember "prefix $1 $family"
	say "lo: all of $1"
}

# want_device NAME ARGUMENT...: a tunnel device of the kernel. Fails where the kernel cannot make it.
want_device() {
	device=$1
	shift
	if ! ip link show dev "$device" >/dev/null 2>&1; then
		ip link add "$device" "$@" 2>/dev/null || return 1
		remember "device $device -"
		say "$device: made ($*)"
	fi
	rely device "$device"
	case $(ip -o link show dev "$device") in
	*[\<,]UP[,\>]*) ;;
	*)
		ip link set "$device" up || return 1
		is_known "device $device" || remember "up $device -"
		say "$device: up"
		;;
	esac
	# What comes out of a tunnel has the client's address, which the routes look for elsewhere. The kernel does not even take
	# the loose check for passed on a device without any IPv4 address: it gets the dummy one (RFC 7600 section 4.8).
	want_loose "$device"
	if [ -z "$(ip -4 -o addr show dev "$device")" ]; then
		ip addr add 192.0.0.8/32 dev "$device" scope link
		is_known "device $device" || remember "dummy $device -"
	fi
}

# want_geneve PORT: takes any VNI and any balancer; frames if the backend has a MAC address in the tunnel, else bare packets.
want_geneve() {
	if [ "$inner_mac" = - ]; then
		want_device "gw-gnv-$1" type geneve external dstport "$1" udp6zerocsumrx innerprotoinherit
	else
		want_device "gw-gnv-$1" address "$inner_mac" type geneve external dstport "$1" udp6zerocsumrx
	fi
}

# want_fou PORT FAMILY: the kernel's receiver of GUE, both variants.
want_fou() {
	! has modprobe || modprobe -q fou 2>/dev/null || true
	rely fou "$1/$2"
	# Those of IPv6 are listed with `-6`.
	if [ "$2" = 6 ]; then lists='-6'; else lists='gue *$'; fi
	if ip fou show 2>/dev/null | grep -e "port $1 gue" | grep -q -e "$lists"; then return 0; fi
	ip "-$2" fou add port "$1" gue 2>/dev/null || return 1
	remember "fou $1/$2 -"
	say "fou: GUE on UDP port $1, IPv$2"
}

# Our own decapsulator, on any kernel with BPF.
want_program() {
	[ -n "$object" ] || return 1
	has tc || die "tc is missing (package iproute2)"
	rely filter "$interface"
	rely clsact "$interface"
	if [ -z "$(tc filter show dev "$interface" ingress pref "$preference" 2>/dev/null)" ]; then
		if ! tc qdisc show dev "$interface" | grep -q -w clsact; then
			tc qdisc add dev "$interface" clsact || die "cannot add a clsact qdisc to $interface: a kernel without NET_CLS_ACT?"
			remember "clsact $interface -"
		fi
		tc filter add dev "$interface" ingress pref "$preference" bpf da obj "$object" sec tc ||
			die "cannot load the decapsulator on $interface; tc says why above"
		remember "filter $interface -"
		say "$interface: decapsulator loaded"
	fi
}

# The object that was sent along, or the one that the package guideway installs.
unpack() {
	object=
	if [ -n "${program:-}" ]; then
		has base64 || die "base64 is missing (package coreutils)"
		object=$folder/decap.bpf.o
		printf '%s' "$program" | base64 -d >"$object"
	elif [ "$is_packaged_one_right" = yes ] && [ -r /usr/lib/guideway/decap.bpf.o ]; then
		object=/usr/lib/guideway/decap.bpf.o
	fi
}

want_decapsulation() {
	case $decap in
	kernel) want_kernel || die "this kernel has no device for $tunnel: load its module, or use --decap bpf" ;;
	bpf) want_program || die "there is no decapsulator for $tunnel here: give backend-setup --decap-object" ;;
	*)
		# A decapsulator that is there already stays: the device would get nothing.
		if is_known "filter $interface" || ! want_kernel; then
			want_program || die "this kernel has no device for $tunnel, and there is no decapsulator: give backend-setup --decap-object"
		fi
		;;
	esac
}

# advise MTU OVERHEAD: what no setting of this host alone can mend. MTU is that of the balancer's port.
advise() {
	here=$(cat "/sys/class/net/$interface/mtu")
	[ "$here" -ge "$1" ] ||
		say "advice: frames of up to $1 bytes come, $interface takes $here: ip link set $interface mtu $1"
	[ "$(($1 - $2))" -ge 1500 ] ||
		say "advice: the tunnel carries packets of up to $(($1 - $2)) bytes: on the route to the clients, advmss $(($1 - $2 - 40)) (IPv4), $(($1 - $2 - 60)) (IPv6)"
}

# is_relied_on KIND NAME: by another pool of this host, whose name is then in $other.
is_relied_on() {
	for other in "$state"/*/; do
		other=${other%/}
		if [ "$other" = "$folder" ] || [ ! -e "$other/relies" ]; then continue; fi
		if grep -q -x -F -e "$1 $2" "$other/relies"; then return 0; fi
	done
	return 1
}

# undo KIND NAME BEFORE: takes one thing back; what is gone already is no failure. What another pool relies on becomes
# that pool's to take back.
undo() {
	if is_relied_on "$1" "$2"; then
		# First of all: it was there before whatever that pool made itself.
		{ printf '%s\n' "$*" && cat "$other/journal"; } >"$other/journal.new"
		mv "$other/journal.new" "$other/journal"
		say "kept for pool ${other##*/}: $1 $2"
		return
	fi
	case $1 in
	sysctl) [ ! -e "/proc/sys/net/$2" ] || echo "$3" >"/proc/sys/net/$2" ;;
	address) ip addr del "$2" dev lo 2>/dev/null || true ;;
	prefix) ip "$3" route del local "$2" dev lo 2>/dev/null || true ;;
	device) ip link del "$2" 2>/dev/null || true ;;
	dummy) ip addr del 192.0.0.8/32 dev "$2" 2>/dev/null || true ;;
	up) ip link set "$2" down 2>/dev/null || true ;;
	fou) ip "-${2#*/}" fou del port "${2%/*}" 2>/dev/null || true ;;
	filter) tc filter del dev "$2" ingress pref "$preference" 2>/dev/null || true ;;
	clsact)
		# Somebody may have come to use it since.
		if [ -z "$(tc filter show dev "$2" ingress 2>/dev/null)$(tc filter show dev "$2" egress 2>/dev/null)" ]; then
			tc qdisc del dev "$2" clsact 2>/dev/null || true
		fi
		;;
	esac
	say "undone: $1 $2"
}

# What an earlier run made and this configuration does not want any more: VIPs that have gone.
drop_unwanted() {
	sort -u "$folder/relies.new" >"$folder/relies"
	rm -f "$folder/relies.new"
	cp "$journal" "$folder/before"
	: >"$folder/kept"
	while read -r kind name before; do
		case $kind in
		address | prefix)
			if ! grep -q -x -F -e "$kind $name" "$folder/relies"; then
				undo "$kind" "$name" "$before"
				continue
			fi
			;;
		esac
		printf '%s\n' "$kind $name $before" >>"$folder/kept"
	done <"$folder/before"
	mv "$folder/kept" "$journal"
	rm -f "$folder/before"
}

undo_all() {
	if [ ! -e "$folder/relies" ] && [ ! -s "$journal" ]; then
		rm -f "$journal" "$folder/relies.new"
		rmdir "$folder" "$state" 2>/dev/null || true
		say "nothing to undo: pool $pool was not set up on this host since it started"
		return
	fi
	# The last first.
	sed -n '1!G;h;$p' "$journal" >"$folder/reversed"
	while read -r kind name before; do
		undo "$kind" "$name" "$before"
	done <"$folder/reversed"
	rm -f "$journal" "$folder/reversed" "$folder/relies" "$folder/relies.new" "$folder/decap.bpf.o"
	rmdir "$folder"
	rmdir "$state" 2>/dev/null || true
	say "pool $pool: this host is as it was"
}

prepare() {
	[ "$(id -u)" = 0 ] || die "backend-setup changes addresses and kernel settings: run it as root"
	has ip || die "ip is missing (package iproute2)"
	umask 077
	# In /run, because nothing of it outlives a restart of the host, and neither does what it tells of.
	state=${GUIDEWAY_BACKEND_STATE:-/run/guideway-backend}
	folder=$state/$pool
	mkdir -p "$folder"
	journal=$folder/journal
	[ -e "$journal" ] || : >"$journal"
	: >"$folder/relies.new"
	# Number of our tc filter.
	preference=26487
}

# The interface that has the backend's own address.
find_interface() {
	[ -n "$interface" ] || interface=$(ip -o addr show to "$address" | awk '$2 != "lo" {print $2; exit}')
	[ -n "$interface" ] || die "no interface has $address: give backend-setup --interface"
	[ -d "/proc/sys/net/ipv4/conf/$interface" ] || die "there is no interface $interface here"
}
