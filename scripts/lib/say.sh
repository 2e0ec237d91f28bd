# How the scripts speak: plain lines on a pipe, a little colour on a terminal (NO_COLOR is honoured).
# Sourced, never run. Progress goes to stderr, results to stdout.

if [[ -t 2 && -z "${NO_COLOR:-}" ]]; then
	SAY_BOLD=$'\e[1m' SAY_RED=$'\e[31m' SAY_GREEN=$'\e[32m' SAY_RESET=$'\e[0m'
else
	SAY_BOLD='' SAY_RED='' SAY_GREEN='' SAY_RESET=''
fi

say() { printf '%s\n' "$*" >&2; }
say_step() { printf '%s==> %s%s\n' "$SAY_BOLD" "$*" "$SAY_RESET" >&2; }
say_good() { printf '%s%s%s\n' "$SAY_GREEN" "$*" "$SAY_RESET" >&2; }
say_bad() { printf '%s%s%s\n' "$SAY_RED" "$*" "$SAY_RESET" >&2; }

# die MESSAGE [HINT]: one message that names the thing, one that names the mend.
die() {
	say_bad "$(basename "$0"): $1"
	[[ $# -lt 2 ]] || say "  $2"
	exit 1
}
