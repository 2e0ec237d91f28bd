# Instructions per packet: build, count, table. Sourced by bench-instructions, never run; needs say.sh.
# A count is a line `SCENARIO<tab>INSTRUCTIONS-PER-PACKET<tab>LEVEL`; nothing counted is an error, never a zero.

# What a new scenario may grow by before the gate says so, per cent.
INSTRUCTIONS_TOLERANCE=2
# Fewer than this and callgrind has missed the call: no packet is parsed, looked up and edited for less.
INSTRUCTIONS_LEAST=30

# instructions_build: the path of the program on stdout.
instructions_build() {
	local program
	program=$(cargo bench --quiet -p lb-core --bench instructions --no-run --message-format json |
		sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -1)
	[[ -x $program ]] || die "cargo built no program 'instructions'" "see: cargo bench -p lb-core --bench instructions --no-run"
	printf '%s\n' "$program"
}

# instructions_count PROGRAM SCENARIO DIRECTORY: one count on stdout.
instructions_count() {
	local program=$1 scenario=$2 out=$3/callgrind.$2 total packets level
	timeout 60 valgrind --quiet --tool=callgrind --callgrind-out-file="$out" --toggle-collect='*counted_by_callgrind*' \
		"$program" "$scenario" >"$3/said" 2>"$3/log" || {
		cat "$3/said" "$3/log" >&2
		die "valgrind failed on the scenario $scenario (its output is above)"
	}
	read -r packets level < <(sed -n "s/^$scenario packets \([0-9]*\) level \(.*\)$/\1 \2/p" "$3/said") ||
		die "the scenario $scenario did not say how many packets it sent: $(cat "$3/said")"
	total=$(sed -n 's/^summary: \([0-9]*\)$/\1/p' "$out")
	[[ -n $total ]] && ((total >= packets * INSTRUCTIONS_LEAST)) ||
		die "callgrind counted ${total:-nothing} for $packets packets of $scenario" \
			"is counted_by_callgrind (lb-core/benches/instructions.rs) still a function of its own?"
	awk -v name="$scenario" -v total="$total" -v packets="$packets" -v level="$level" \
		'BEGIN {printf "%s\t%.1f\t%s\n", name, total / packets, level}'
}

# instructions_header KEY TABLE and instructions_rows TABLE: what the table says.
instructions_header() { sed -n "s/^# $1: //p" "$2"; }
instructions_rows() { sed '/^#/d;/^[[:space:]]*$/d' "$1"; }

# instructions_write OLD-TABLE COUNTED LEVEL RUSTC: the new table on stdout; tolerances are taken over from the old one.
instructions_write() {
	local old=$1
	[[ -e $old ]] || old=/dev/null
	cat <<-HEAD
		# Instructions per packet that scripts/bench-instructions holds the pipeline to. Written by it with --update;
		# only the tolerances are to be edited by hand. Scenarios are those of lb-core/benches/instructions.rs.
		# level: $3
		# rustc: $4
		#
		# scenario         instructions   tolerance in %
	HEAD
	awk -v tolerance="$INSTRUCTIONS_TOLERANCE" '
		FILENAME == ARGV[1] {if ($0 !~ /^#/ && NF == 3) kept[$1] = $3; next}
		{printf "%-20s %10.1f %10s\n", $1, $2, ($1 in kept) ? kept[$1] : tolerance}' "$old" "$2"
}

# instructions_compare TABLE COUNTED: the comparison on stdout; false if a scenario is above its tolerance or unknown.
instructions_compare() {
	awk -F '[ \t]+' '
		FILENAME == ARGV[1] {if ($0 !~ /^#/ && NF == 3) {expected[$1] = $2; tolerance[$1] = $3}; next}
		FNR == 1 {printf "%-20s %9s %9s %9s\n", "scenario", "expected", "counted", "change"}
		!($1 in expected) || expected[$1] + 0 <= 0 {
			printf "%-20s %9s %9.1f %9s  NOT IN THE TABLE\n", $1, "-", $2, "-"
			unknown++
			next
		}
		{
			change = ($2 / expected[$1] - 1) * 100
			verdict = "ok"
			if (change > tolerance[$1]) {verdict = "ABOVE its tolerance of " tolerance[$1] " %"; above++}
			else if (change < -tolerance[$1]) {verdict = "well below"; below++}
			printf "%-20s %9.1f %9.1f %+8.2f%%  %s\n", $1, expected[$1], $2, change, verdict
		}
		END {
			if (below) print "Better than the table: take the gain in with scripts/bench-instructions --update, or it may be lost unnoticed."
			if (unknown) print "A scenario is not in the table: add it with scripts/bench-instructions --update."
			if (above) print "A packet has become more expensive. If that is the price of something wanted, say so in the commit and --update."
			exit above + unknown > 0
		}' "$1" "$2"
}
