# A Docker engine for scripts/docker-test, and base images where no registry can be reached.
# Sourced, never run; needs say.sh and packages.sh. DOCKER_DIR is where an engine of ours keeps everything.

# GiB: an engine, both base images, and a build of each target.
readonly DOCKER_ROOM=10

# docker_up DIR: uses the engine that answers, or starts one with files of its own in DIR. Sets DOCKER and COMPOSE; false
# with the reason in DOCKER_WHY when none can run here.
docker_up() {
	DOCKER_DIR=$1 DOCKER=(docker) DOCKER_PID='' DOCKER_WHY=''
	export DOCKER_BUILDKIT=1
	if timeout 20 docker info >/dev/null 2>&1; then
		say "    the engine that runs: $(docker version --format '{{.Server.Version}}')"
	else
		docker_engine_start || return 1
	fi
	if "${DOCKER[@]}" compose version >/dev/null 2>&1; then COMPOSE=("${DOCKER[@]}" compose); else COMPOSE=(docker-compose); fi
	command -v "${COMPOSE[0]}" >/dev/null || {
		DOCKER_WHY="no docker-compose is installed (apt-get install docker-compose)"
		return 1
	}
}

# No bridge, no rules of netfilter, no change of the host's forwarding: builds use the host's network, containers one
# bridge that is theirs alone.
docker_engine_start() {
	command -v dockerd >/dev/null || {
		DOCKER_WHY="no Docker engine is installed (apt-get install docker.io)"
		return 1
	}
	mkdir -p "$DOCKER_DIR"
	local free
	free=$(df --output=avail --block-size=1G "$DOCKER_DIR" | tail -n 1)
	((free >= DOCKER_ROOM)) || {
		DOCKER_WHY="$DOCKER_DIR has $((free)) GiB free and base images, crates and the build take $DOCKER_ROOM; free some, or set GUIDEWAY_DOCKER_DIR to another folder"
		return 1
	}
	# One run at a time: the end of one removes the files of the other.
	exec {DOCKER_LOCK}>"$DOCKER_DIR/lock"
	flock -n "$DOCKER_LOCK" || {
		DOCKER_WHY="another run has its engine in $DOCKER_DIR; wait for it, or set GUIDEWAY_DOCKER_DIR to another folder"
		return 1
	}
	export DOCKER_HOST=unix://$DOCKER_DIR/docker.sock
	# The client of the same package: another one on the path may want a plugin for builds.
	[[ ! -x /usr/bin/docker ]] || DOCKER=(/usr/bin/docker)
	! timeout 5 "${DOCKER[@]}" info >/dev/null 2>&1 || {
		DOCKER_WHY="an engine that an earlier run has left behind answers there; end it: kill $(cat "$DOCKER_DIR/pid")"
		return 1
	}
	dockerd --data-root "$DOCKER_DIR/data" --exec-root "$DOCKER_DIR/exec" --pidfile "$DOCKER_DIR/pid" --host "$DOCKER_HOST" \
		--bridge=none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false --userland-proxy=false \
		>"$DOCKER_DIR/log" 2>&1 </dev/null {DOCKER_LOCK}>&- &
	DOCKER_PID=$!
	local _
	for _ in {1..150}; do
		! timeout 5 "${DOCKER[@]}" info >/dev/null 2>&1 || {
			say "    an engine of our own: $("${DOCKER[@]}" version --format '{{.Server.Version}}'), process $DOCKER_PID"
			return 0
		}
		kill -0 "$DOCKER_PID" 2>/dev/null || break
		sleep 0.2
	done
	DOCKER_WHY="the Docker engine does not start here: $(grep -i 'failed\|error' "$DOCKER_DIR/log" | tail -n 1)"
	return 1
}

# docker_down [keep]: stops an engine that docker_up has started, and removes its files unless they are to be kept.
docker_down() {
	[[ -n ${DOCKER_PID:-} ]] || return 0
	kill -TERM "$DOCKER_PID" 2>/dev/null || true
	local _
	for _ in {1..150}; do
		kill -0 "$DOCKER_PID" 2>/dev/null || break
		sleep 0.2
	done
	# An engine that had to be killed leaves its containerd behind.
	if kill -KILL "$DOCKER_PID" 2>/dev/null; then
		[[ ! -f $DOCKER_DIR/exec/containerd/containerd.pid ]] || kill -KILL "$(<"$DOCKER_DIR/exec/containerd/containerd.pid")" 2>/dev/null || true
	fi
	wait "$DOCKER_PID" 2>/dev/null || true
	DOCKER_PID=''
	if [[ ${1:-} == keep ]]; then
		say "    kept for the next run: $DOCKER_DIR"
	elif ! grep -q " $DOCKER_DIR/" /proc/self/mounts; then
		# What the engine made, and nothing that somebody else keeps in a folder that was named by hand.
		rm -rf "$DOCKER_DIR"/{data,exec,log,pid,docker.sock,lock}
		rmdir "$DOCKER_DIR" 2>/dev/null || say_bad "    $DOCKER_DIR has other files: it stays"
	else
		say_bad "    something is still mounted in $DOCKER_DIR: it stays"
	fi
}

has_image() { "${DOCKER[@]}" image inspect "$1" >/dev/null 2>&1; }

# docker_bases RUST DEBIAN: sets RUST_IMAGE, DEBIAN_IMAGE and CRATES_IMAGE to images that are here: the official ones where
# they can be pulled, or ones made of debootstrap, the toolchain of this machine and what cargo has fetched.
docker_bases() {
	RUST_IMAGE=$1 DEBIAN_IMAGE=$2 CRATES_IMAGE=guideway-local/crates:test
	docker_crates "$CRATES_IMAGE"
	if { has_image "$1" || timeout 300 "${DOCKER[@]}" pull -q "$1" >/dev/null 2>&1; } &&
		{ has_image "$2" || timeout 300 "${DOCKER[@]}" pull -q "$2" >/dev/null 2>&1; }; then
		say "    from a registry: $1, $2"
		return 0
	fi
	RUST_IMAGE=guideway-local/$1 DEBIAN_IMAGE=guideway-local/$2
	has_image "$DEBIAN_IMAGE" || docker_debian "$DEBIAN_IMAGE"
	has_image "$RUST_IMAGE" || docker_rust "$RUST_IMAGE"
	say "    no registry answers; made here: $RUST_IMAGE, $DEBIAN_IMAGE"
}

docker_debian() {
	local root log=$DOCKER_WORK/debootstrap.log
	root=$(mktemp -d --tmpdir="$DOCKER_WORK")
	debootstrap --variant=minbase --include=ca-certificates bookworm "$root" http://deb.debian.org/debian >"$log" 2>&1 || {
		tail -n 5 "$log" >&2
		die "debootstrap failed" "see above; the mirror must be reachable: http://deb.debian.org/debian"
	}
	tar -C "$root" --exclude='./var/cache/apt/archives/*.deb' -c . |
		"${DOCKER[@]}" import --change 'CMD ["/bin/bash"]' - "$1" >/dev/null
	rm -rf "$root"
}

# What cargo has fetched for this tree: the build needs no crates.io. Where one is reached, by whom this machine trusts.
docker_crates() {
	local home=${CARGO_HOME:-$HOME/.cargo} certificates=/etc/ssl/certs/ca-certificates.crt seed=$DOCKER_WORK/crates
	# shellcheck disable=SC2154 # the caller's
	cargo fetch --quiet --locked --manifest-path "$repository/Cargo.toml" ||
		say "    not all crates can be fetched here; the build will try"
	mkdir -p "$home/registry/cache" "$home/registry/index" "$seed/registry"
	[[ ! -f $certificates ]] || cp "$certificates" "$seed/registry/"
	tar --transform 's,^,usr/local/cargo/,' -c -C "$home" registry/cache registry/index -C "$seed" registry |
		"${DOCKER[@]}" import - "$1" >/dev/null
}

# The toolchain that builds this tree.
docker_rust() {
	tar -C "$(rustc --print sysroot)" --transform 's,^,usr/local/,' -c bin lib libexec |
		"${DOCKER[@]}" import - guideway-local/toolchain:test >/dev/null
	docker_build "$1" - <<-DOCKERFILE
		FROM $DEBIAN_IMAGE
		RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates gcc libc6-dev && rm -rf /var/lib/apt/lists/*
		COPY --from=guideway-local/toolchain:test / /
		ENV CARGO_HOME=/usr/local/cargo PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	DOCKERFILE
}

# docker_build TAG ARGUMENT...: with the host's network; the output only when it fails.
docker_build() {
	local tag=$1 log=$DOCKER_WORK/build.log
	shift
	"${DOCKER[@]}" build --network host -t "$tag" "$@" >"$log" 2>&1 || {
		tail -n 40 "$log" >&2
		die "the image $tag cannot be built" "see above"
	}
}
