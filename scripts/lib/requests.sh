# Real HTTP requests through the balancer, and what became of them.
# Sourced, never run; needs say.sh and lab.sh. One line per request is the record: STATUS BACKEND SECONDS.

# requests_send HOST COUNT RECORD: COUNT new connections, at most 16 at once, from the client namespace.
requests_send() {
	local host=$1 count=$2 record=$3
	# Not lab_ns: while a function runs redirected, a trap of ours would speak into the record.
	ip netns exec "$LAB_PREFIX-client" curl --silent --no-progress-meter --output /dev/null --parallel --parallel-max 16 \
		--header 'Connection: close' --connect-timeout 5 --max-time 10 \
		--write-out '%{http_code} %header{x-backend} %{time_total}\n' \
		"http://$host/request-[1-$count]" >"$record" 2>"$record.err" || true
}

requests_good() { grep -c '^200 web-' "$1" || true; }

# requests_report LABEL COUNT RECORD: the spread as bars on stdout; true when every request was answered.
requests_report() {
	local label=$1 count=$2 record=$3 good
	good=$(requests_good "$record")
	printf '%s: %d requests, %d answered, %d failed, slowest %s ms\n' "$label" "$count" "$good" "$((count - good))" \
		"$(awk '$1 == 200 && $3 > slow {slow = $3} END {printf "%.0f", slow * 1000}' "$record")"
	awk -v total="$count" '
		$1 == 200 {answered[$2]++}
		END {
			for (number = 1; number <= 3; number++) {
				name = "web-" number
				bar = sprintf("%*s", int(answered[name] * 60 / total + 0.5), "")
				gsub(/ /, "#", bar)
				printf "  %s %6d  %5.1f %%  %s\n", name, answered[name], answered[name] * 100 / total, bar
			}
		}' "$record"
	if ((good != count)); then
		say_bad "  not answered, by HTTP status (000 = no answer at all):"
		awk '$1 != 200 {failed[$1]++} END {for (status in failed) printf "    %s: %d\n", status, failed[status]}' "$record" >&2
		return 1
	fi
}
