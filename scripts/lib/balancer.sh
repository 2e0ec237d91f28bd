# The balancer under the lab's hand: start, wait until it is ready, stop.
# Sourced, never run; needs say.sh and lab.sh. Nothing here waits for ever.

# metrics URL-PATH: fetched where the listener is, inside the balancer's namespace.
balancer_get() { lab_ns lb curl --silent --max-time 2 "${@:2}" "http://$LAB_METRICS$1"; }

# The PMD of net_tap makes its own interface when the process starts; it joins the NIC by a bridge.
balancer_join_tap() {
	local waited
	ip -n "$LAB_PREFIX-lb" link set nic0 address "$LAB_MAC:1f"
	ip -n "$LAB_PREFIX-lb" link add lbr0 mtu "$LAB_MTU" type bridge stp_state 0 forward_delay 0 mcast_snooping 0
	lab_ns lb nft flush ruleset
	for ((waited = 0; waited < 100; waited++)); do
		ip -n "$LAB_PREFIX-lb" link show gwtap0 >/dev/null 2>&1 && break
		sleep 0.1
	done
	# A bridge delivers its ports' own addresses to the kernel: the tap's kernel end must not carry the balancer's.
	ip -n "$LAB_PREFIX-lb" link set gwtap0 address "$LAB_MAC:1e" mtu "$LAB_MTU" master lbr0 up
	ip -n "$LAB_PREFIX-lb" link set nic0 master lbr0
	ip -n "$LAB_PREFIX-lb" link set lbr0 up
}

# balancer_start BINARY CONFIG PMD: returns when /readyz says so; on failure its own words are shown.
balancer_start() {
	local binary=$1 config=$2 pmd=$3 waited pid
	# Not lab_ns: a function in the background is a shell of its own, and the pid must be guideway's.
	ip netns exec "$LAB_PREFIX-lb" "$binary" run -c "$config" --state-dir "$LAB_DIR/state" --admin-socket "$LAB_DIR/admin.sock" >"$LAB_DIR/guideway.log" 2>&1 </dev/null &
	pid=$!
	echo "$pid" >"$LAB_DIR/guideway.pid"
	if [[ $pmd == tap ]]; then balancer_join_tap; fi
	for ((waited = 0; waited < 200; waited++)); do
		if ! kill -0 "$pid" 2>/dev/null; then break; fi
		if [[ $(balancer_get /readyz -o /dev/null -w '%{http_code}') == 200 ]]; then return 0; fi
		sleep 0.1
	done
	say_bad "guideway did not become ready; its last words:"
	tail -20 "$LAB_DIR/guideway.log" >&2
	return 1
}

# balancer_stop: SIGTERM must end it with exit status 0 within ten seconds.
balancer_stop() {
	local pid waited status=0
	pid=$(cat "$LAB_DIR/guideway.pid" 2>/dev/null) || return 0
	kill -TERM "$pid" 2>/dev/null || true
	for ((waited = 0; waited < 100; waited++)); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	if kill -KILL "$pid" 2>/dev/null; then say_bad "guideway ignored SIGTERM for 10 s and was killed"; fi
	wait "$pid" 2>/dev/null || status=$?
	rm -f "$LAB_DIR/guideway.pid"
	return "$status"
}
