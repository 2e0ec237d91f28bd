# The notices of the crates in the program. Sourced, never run; needs cargo.

# third_party_notices: each crate with its licence and the texts that its package carries; each text once.
third_party_notices() {
	local registry=${CARGO_HOME:-$HOME/.cargo}/registry/src work package licence name version sum text
	work=$(mktemp -d)
	printf 'The crates in guideway, their licences, and the texts that their packages carry.\n'
	cargo tree --locked -p lb-appliance --edges normal --prefix none --format '{p}|{l}' | sed 's/ (\*)//;/(\//d' | sort -u |
		while IFS='|' read -r package licence; do
			name=${package% v*} version=${package##* v}
			version=${version%% *}
			printf '\n%s %s: %s\n' "$name" "$version" "$licence"
			find "$registry"/*/"$name-$version" -maxdepth 1 -type f -regextype egrep \
				-regex '.*/(LICEN[SC]E|COPYING|COPYRIGHT|NOTICE|UNLICENSE)[^/]*' -exec sha256sum {} + | sort -k 2 |
				while read -r sum text; do
					printf '    %s: text %s\n' "${text##*/}" "${sum:0:16}"
					printf '%s %s\n' "${sum:0:16}" "$text" >>"$work/texts"
				done
		done
	sort -u -k 1,1 "$work/texts" | while read -r sum text; do
		printf '\n======== text %s ========\n\n' "$sum"
		cat "$text"
	done
	rm -rf "$work"
}
