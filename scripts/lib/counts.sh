# The account of a test run: checks and tests that passed, failed, or could not run here.
# Sourced, never run; needs say.sh. A step that ends without a count is a failure, never a silence.

COUNT_PASSED=0 COUNT_FAILED=0 COUNT_SKIPPED=0
COUNT_FAILED_STEPS=()
COUNT_SKIP_REASONS=()

count_add() {
	COUNT_PASSED=$((COUNT_PASSED + $1))
	COUNT_FAILED=$((COUNT_FAILED + $2))
	COUNT_SKIPPED=$((COUNT_SKIPPED + $3))
}

# count_check NAME COMMAND...: one check, judged by its exit status.
count_check() {
	local name=$1 started=$SECONDS
	say_step "$name"
	if "${@:2}"; then
		count_add 1 0 0
		say "    ok, $((SECONDS - started)) s"
	else
		count_add 0 1 0
		COUNT_FAILED_STEPS+=("$name")
		say_bad "    FAILED: $name"
		return 1
	fi
}

# count_junit NAME FILE LOG: what cargo-nextest wrote; skips are tests that passed and said `skipped: why`, and those
# marked #[ignore], which only the summary in its log knows.
count_junit() {
	local name=$1 file=$2 log=$3 tests failures errors skipped ignored
	if [[ ! -s $file ]]; then
		count_add 0 1 0
		COUNT_FAILED_STEPS+=("$name (it did not come to run)")
		return
	fi
	read -r tests failures errors < <(sed -n 's/.*<testsuites .*tests="\([0-9]*\)".*failures="\([0-9]*\)".*errors="\([0-9]*\)".*/\1 \2 \3/p' "$file")
	mapfile -t skipped < <(sed -n 's/^\(.*<system-err>\)\{0,1\}\(skipped\b.*\)$/\2/p' "$file" | sed 's/<\/system-err>.*//')
	count_add $((tests - failures - errors - ${#skipped[@]})) $((failures + errors)) ${#skipped[@]}
	COUNT_SKIP_REASONS+=("${skipped[@]}")
	ignored=$(sed -n 's/.*Summary .*, \([0-9]*\) skipped.*/\1/p' "$log" | tail -1)
	if ((${ignored:-0} > 0)); then
		count_add 0 0 "$ignored"
		COUNT_SKIP_REASONS+=("skipped: $ignored marked #[ignore] in: $name")
	fi
	((failures + errors == 0)) || COUNT_FAILED_STEPS+=("$name: $((failures + errors)) of $tests")
}

# count_libtest NAME LOG STATUS: the `test result:` lines of cargo test, the skips its tests spoke of, its exit status.
count_libtest() {
	local name=$1 log=$2 status=$3 passed failed ignored skipped
	read -r passed failed ignored < <(awk '/^test result:/ {p += $4; f += $6; i += $8} END {print p + 0, f + 0, i + 0}' "$log")
	mapfile -t skipped < <(grep -E '^skipped\b' "$log")
	((failed > 0 || status == 0)) || failed=1
	count_add $((passed - ${#skipped[@]})) "$failed" $((ignored + ${#skipped[@]}))
	COUNT_SKIP_REASONS+=("${skipped[@]}")
	((failed == 0)) || COUNT_FAILED_STEPS+=("$name: $failed")
}

# count_close: reasons and failures on stderr, the one line of counts on stdout; true when nothing failed.
count_close() {
	local line="$COUNT_PASSED passed, $COUNT_FAILED failed"
	((${#COUNT_SKIP_REASONS[@]} == 0)) || printf '%s\n' "${COUNT_SKIP_REASONS[@]}" | sort | uniq -c >&2
	((${#COUNT_FAILED_STEPS[@]} == 0)) || {
		say_bad "Failed:"
		printf '  %s\n' "${COUNT_FAILED_STEPS[@]}" >&2
	}
	((COUNT_SKIPPED == 0)) || line+=", $COUNT_SKIPPED skipped"
	printf '%s\n' "$line"
	((COUNT_FAILED == 0))
}
