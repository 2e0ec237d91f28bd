# Changes of a host that can be taken back: each is noted before it is made, once, with what was there.
# Sourced, never run; needs say.sh, and the variables ROOT (a scratch root or nothing) and mode (dry, apply, undo).
#
# A note is one line: `value PATH OLD`, `new PATH`, `file PATH COPY` or `driver PCI OLD`; the last one is undone first.

DRY_UNDO=no

notes() { printf '%s\n' "$ROOT/var/lib/guideway/setup-host/notes"; }

# note KIND WHAT OLD: only the first time, so that a second run does not take its own work for the host's.
note() {
	local file
	file=$(notes)
	mkdir -p "$(dirname "$file")"
	if [[ -e $file ]] && awk -v kind="$1" -v what="$2" '{
		known = $1 == kind || ($1 == "new" || $1 == "file") && (kind == "new" || kind == "file")
		if (known && $2 == what) found = 1
	} END {exit !found}' "$file"; then
		return
	fi
	printf '%s %s %s\n' "$1" "$2" "$3" >>"$file"
}

# change_value PATH NEW: a file of the kernel's.
change_value() {
	local old
	old=$(<"$ROOT$1")
	if [[ $old == "$2" ]]; then
		say "    already so: $1 = $2"
	elif [[ $mode == dry ]]; then
		printf 'would write %s to %s (now %s)\n' "$2" "$1" "$old"
	else
		note value "$1" "$old"
		printf 'writing %s to %s (was %s)\n' "$2" "$1" "$old"
		printf '%s\n' "$2" >"$ROOT$1" || die "the kernel refuses $2 in $1" "--undo takes back what was done so far"
	fi
}

# change_file PATH TEXT: a file of ours in /etc.
change_file() {
	local target=$ROOT$1 copy
	if [[ -e $target && "$(cat "$target"; printf x)" == "$2x" ]]; then
		say "    already so: $1"
	elif [[ $mode == dry ]]; then
		printf 'would write the file %s:\n' "$1"
		printf '%s' "$2" | sed 's/^/    /'
	else
		if [[ -e $target ]]; then
			copy=/var/lib/guideway/setup-host/before-$(basename "$1")
			note file "$1" "$copy"
			[[ -e $ROOT$copy ]] || cp -p "$target" "$ROOT$copy"
		else
			note new "$1" ''
		fi
		printf 'writing the file %s\n' "$1"
		mkdir -p "$(dirname "$target")"
		printf '%s' "$2" >"$target"
	fi
}

# change_driver PCI NEW OLD: by the kernel's driver_override, as driverctl and dpdk-devbind do.
change_driver() {
	if [[ $3 == "$2" ]]; then
		say "    already so: $1 has $2"
	elif [[ $mode == dry ]]; then
		printf 'would give %s to %s (now %s)\n' "$1" "$2" "${3:-without a driver}"
	else
		note driver "$1" "${3:--}"
		printf 'giving %s to %s (was %s)\n' "$1" "$2" "${3:-without a driver}"
		rebind "$1" "$2"
	fi
}

# rebind PCI DRIVER: an empty DRIVER is whatever the kernel would choose.
rebind() {
	local device=$ROOT/sys/bus/pci/devices/$1
	printf '%s\n' "$2" >"$device/driver_override"
	[[ ! -e $device/driver ]] || printf '%s\n' "$1" >"$device/driver/unbind"
	printf '%s\n' "$1" >"$ROOT/sys/bus/pci/drivers_probe"
}

undo_changes() {
	local file kind what old
	file=$(notes)
	if [[ ! -e $file ]]; then
		say "nothing to undo: $file does not exist"
		return
	fi
	while read -r kind what old; do
		if [[ $DRY_UNDO == yes ]]; then
			printf 'would undo: %s %s %s\n' "$kind" "$what" "$old"
			continue
		fi
		case $kind in
		value) [[ ! -e $ROOT$what ]] || printf '%s\n' "$old" >"$ROOT$what" ;;
		new) rm -f "$ROOT$what" ;;
		file) cp -p "$ROOT$old" "$ROOT$what" ;;
		driver) [[ ! -d $ROOT/sys/bus/pci/devices/$what ]] || rebind "$what" '' ;;
		*) die "$file has a line that is not ours: $kind" "undo by hand what it says, then remove it" ;;
		esac
		printf 'undone: %s %s\n' "$kind" "$what"
	done < <(tac "$file")
	[[ $DRY_UNDO == yes ]] || rm -r "$(dirname "$file")"
}
