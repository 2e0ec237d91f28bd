# The points of the scaling benchmark and their plots. Sourced by bench-scaling, never run; needs say.sh.
# Uses the variables of that script: binary, seconds, work. A point that fails ends the run: a gap in a plot would lie.

SCALING_PID=
SCALING_LISTEN=127.0.0.1:19843

# scaling_point SERIES X BENCH-FLAGS...: one run; its report with series and x is a line of $work/points.
scaling_point() {
	local series=$1 x=$2
	shift 2
	"$binary" bench "$@" --seconds "$seconds" --json >"$work/report" 2>"$work/said" || {
		cat "$work/said" >&2
		die "guideway bench $* failed"
	}
	jq -c --arg series "$series" --argjson x "$x" '{series: $series, x: $x} + .' "$work/report" >>"$work/points"
	say "    $series $x: $(jq -r '"\(.ns_min * 100 | round / 100) ns, \(.mpps * 10 | round / 10) Mpps, load \(.load * 100 | round) %"' "$work/report")"
}

# scaling_csv POINTS: the columns that are worth a table, on stdout.
scaling_csv() {
	jq -rs '
		["series", "x", "workers", "ns_min", "ns_median", "mpps", "macswap_ns_min", "ratio", "entries", "load", "bytes_per_flow"],
		(.[] | [.series, .x, .workers, .ns_min, .ns_median, .mpps, .macswap_ns_min, .ratio, .entries, .load, .bytes_per_flow])
		| @csv' "$1" | tr -d '"'
}

# scaling_config POOLS VIPS BACKENDS: pools are `shared` (one for all VIPs) or `own` (one each); YAML on stdout.
scaling_config() {
	awk -v pools="$1" -v vips="$2" -v backends="$3" -v listen="$SCALING_LISTEN" '
		function pool(number, backend, at) {
			printf "  - name: pool-%d\n    encap: {ipip: {}}\n    backends:\n", number
			for (backend = 0; backend < backends; backend++) {
				at = number * backends + backend
				printf "      - {name: b%d, address: 10.%d.%d.%d}\n", at, int(at / 65536) + 1, int(at / 256) % 256, at % 256
			}
		}
		BEGIN {
			print "version: 1\nnode: {name: scaling}"
			print "dataplane:\n  idle: adaptive\n  memory: {hugepages: false, per_numa_node: 256MiB, mbufs_per_numa_node: 8191}"
			print "  ports:\n    - name: p0\n      device: net_null0\n      addresses: [198.51.100.11/24]"
			print "      gateways: [{address: 198.51.100.1, mac: \"02:00:00:00:00:01\"}]"
			print "forwarding:\n  encapsulation:\n    source: {ipv4: 198.51.100.11}"
			print "pools:"
			for (number = 0; number < (pools == "own" ? vips : 1); number++) pool(number)
			print "vips:"
			for (vip = 0; vip < vips; vip++)
				printf "  - {name: vip-%d, addresses: [203.%d.%d.1], ports: [443], protocol: tcp, pool: pool-%d}\n",
					vip, int(vip / 250), vip % 250, pools == "own" ? vip : 0
			printf "metrics:\n  listen: \"%s\"\n", listen
		}'
}

# scaling_start POOLS VIPS BACKENDS: time from the start of the process to /readyz, and its memory then; a line of
# $work/starts.
scaling_start() {
	local pools=$1 vips=$2 backends=$3 began now rss
	scaling_config "$pools" "$vips" "$backends" >"$work/config.yaml"
	"$binary" check "$work/config.yaml" >"$work/said" 2>&1 || {
		head -20 "$work/said" >&2
		die "guideway check refuses the configuration of $vips VIPs"
	}
	began=$EPOCHREALTIME
	"$binary" run -c "$work/config.yaml" --state-dir "$work/state" --admin-socket "$work/admin.sock" >"$work/log" 2>&1 </dev/null &
	SCALING_PID=$!
	until curl --silent --fail --max-time 1 --output /dev/null "http://$SCALING_LISTEN/readyz"; do
		kill -0 "$SCALING_PID" 2>/dev/null && awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN {exit b - a > 180}' || {
			tail -20 "$work/log" >&2
			die "guideway with $vips VIPs did not become ready within 180 s"
		}
		sleep 0.005
	done
	now=$EPOCHREALTIME
	rss=$(awk '/^VmRSS:/ {printf "%.1f", $2 / 1024}' "/proc/$SCALING_PID/status")
	scaling_stop
	awk -v a="$began" -v b="$now" -v rss="$rss" -v p="$pools" -v v="$vips" -v n="$backends" \
		'BEGIN {printf "%s,%d,%d,%.3f,%s\n", p, v, n, b - a, rss}' | tee -a "$work/starts" |
		while read -r line; do say "    pools,vips,backends,seconds,MiB: $line"; done
}

# scaling_stop: ends what scaling_start began, by its id.
scaling_stop() {
	[[ -n $SCALING_PID ]] || return 0
	kill -TERM "$SCALING_PID" 2>/dev/null || true
	wait "$SCALING_PID" 2>/dev/null || true
	SCALING_PID=
}

# scaling_plots DIRECTORY: draws what the CSV files there hold.
scaling_plots() {
	(cd "$1" && gnuplot) <<-'GNUPLOT'
		set terminal svg size 720,420 dynamic font 'sans-serif,13' background rgb 'white'
		set datafile separator ','
		set key outside bottom center horizontal
		set grid ytics
		set style data linespoints
		set yrange [0:*]
		set ylabel 'ns per packet (minimum)'
		pick(series, workers, column) = sprintf("< awk -F, '$1 == \"%s\" && $3 == %d {print $2 \",\" $%d}' scaling.csv", series, workers, column)
		start(pools, backends, column) = sprintf("< awk -F, '$1 == \"%s\" && $3 == %d {print $2 \",\" $%d}' startup.csv", pools, backends, column)

		stats 'scaling.csv' every ::1 using 3 nooutput name 'W'
		workers = int(W_max)

		set logscale x
		set format x '%.0s%c'
		set xlabel 'flows'
		set output 'flows.svg'
		set title 'Established flows, IPIP, 60-byte frames'
		plot for [w=1:workers] pick('flows', w, 4) title sprintf('%d worker%s', w, w > 1 ? 's, each' : ''), \
			pick('flows', 1, 7) dashtype 2 title 'MAC swap of the same packets'

		set output 'new-flows.svg'
		set title 'Every packet a new flow'
		plot for [w=1:workers] pick('new', w, 4) title sprintf('room in the table, %d worker%s', w, w > 1 ? 's, each' : ''), \
			for [w=1:workers] pick('flood', w, 4) dashtype 2 title sprintf('flood on a full table, %d', w)

		set xlabel 'VIPs'
		set output 'vips.svg'
		set title 'VIPs, a million flows'
		plot pick('vips-1000', 1, 4) title '1000 backends', pick('vips-65', 1, 4) title '65 backends'

		set output 'startup.svg'
		set title 'Start: from the process to /readyz, and its memory'
		set ylabel 's'
		set y2label 'MiB resident'
		set y2range [0:*]
		set y2tics
		plot start('shared', 65, 4) title 'seconds, one pool', start('own', 65, 4) title 'seconds, a pool for each', \
			start('shared', 65, 5) axes x1y2 dashtype 2 title 'MiB, one pool', start('own', 65, 5) axes x1y2 dashtype 2 title 'MiB, a pool for each'

		unset y2tics
		unset y2label
		unset logscale x
		set format x '%g'
		set ylabel 'ns per packet (minimum)'
		set xlabel 'load of the connection table'
		set xrange [0:1]
		set output 'load.svg'
		set title 'Load of a table of 1.57 million entries'
		plot pick('load', 1, 4) title 'hits'
	GNUPLOT
}
