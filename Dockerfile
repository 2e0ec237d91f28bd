# The image of Guideway: from nothing but the program, the shared objects that it needs, and their licences.
#
#   docker build -t guideway:ci .                         software drivers and virtual NICs (virtio, vmxnet3, ena, gve)
#   docker build -t guideway:full --target full .         besides mlx5, ice, i40e, ixgbe, iavf, e1000, igc, bnxt, bond
#
# Needs BuildKit (Docker 20.10: DOCKER_BUILDKIT=1). PROFILE=dev builds in a fraction of the time, for trying things.
# Both images must be of the Debian release whose DPDK (22.11) is linked in. docs/docker.md says how to run it.
ARG RUST_IMAGE=rust:1.95-slim-bookworm
ARG DEBIAN_IMAGE=debian:bookworm-slim
# Its /usr/local/cargo/registry is where downloads of crates begin: with all of them in it no crates.io is needed.
ARG CRATES_IMAGE=scratch

# --- What compiles ---------------------------------------------------------------------------------------------------
FROM ${RUST_IMAGE} AS toolchain
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates gcc libc6-dev libclang-dev libdpdk-dev libibverbs-dev llvm pkg-config \
 && rm -rf /var/lib/apt/lists/* \
 && mkdir -p /usr/local/cargo/registry
ENV CARGO_HOME=/usr/local/cargo

FROM ${CRATES_IMAGE} AS crates
WORKDIR /usr/local/cargo/registry

FROM toolchain AS source
WORKDIR /src
COPY . .

# One target folder for both variants: they differ in the last link only.
FROM source AS build-ci
ARG PROFILE=release
ARG REVISION=unknown
RUN --mount=type=cache,target=/src/target,id=guideway-target,sharing=locked \
    --mount=type=cache,target=/usr/local/cargo/registry,id=guideway-registry,from=crates,source=/usr/local/cargo/registry,sharing=locked \
    deploy/docker/build 1 "${PROFILE}" /out

FROM source AS build-full
ARG PROFILE=release
ARG REVISION=unknown
RUN --mount=type=cache,target=/src/target,id=guideway-target,sharing=locked \
    --mount=type=cache,target=/usr/local/cargo/registry,id=guideway-registry,from=crates,source=/usr/local/cargo/registry,sharing=locked \
    deploy/docker/build full "${PROFILE}" /out

# --- What runs: a root file system, put together file by file --------------------------------------------------------
FROM ${DEBIAN_IMAGE} AS parts
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates libbpf1 libbsd0 libcap2-bin libgcc-s1 libibverbs1 ibverbs-providers libnuma1 libpcap0.8 libxdp1 \
 && rm -rf /var/lib/apt/lists/*
COPY deploy/docker/image-root /usr/local/bin/image-root

FROM parts AS root-ci
COPY --from=build-ci /out /out
RUN image-root ci /out /root-ci

FROM parts AS root-full
COPY --from=build-full /out /out
RUN image-root full /out /root-full

# --- The images ------------------------------------------------------------------------------------------------------
FROM scratch AS full
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Guideway" \
      org.opencontainers.image.description="Layer-4 load balancer on DPDK; drivers of common NICs" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="Guideway" \
      org.opencontainers.image.base.name="scratch"
COPY --from=root-full /root-full/ /
# DPDK's own files go where the socket is; the rest of the file system is never written.
ENV PATH=/usr/bin RUNTIME_DIRECTORY=/run/guideway STATE_DIRECTORY=/var/lib/guideway
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=3 CMD ["/usr/bin/guideway", "healthcheck"]
ENTRYPOINT ["/usr/bin/guideway"]
CMD ["run", "-c", "/etc/guideway/guideway.yaml"]

FROM scratch AS ci
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Guideway" \
      org.opencontainers.image.description="Layer-4 load balancer on DPDK; software drivers and virtual NICs" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="Guideway" \
      org.opencontainers.image.base.name="scratch"
COPY --from=root-ci /root-ci/ /
ENV PATH=/usr/bin RUNTIME_DIRECTORY=/run/guideway STATE_DIRECTORY=/var/lib/guideway
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=3 CMD ["/usr/bin/guideway", "healthcheck"]
ENTRYPOINT ["/usr/bin/guideway"]
CMD ["run", "-c", "/etc/guideway/guideway.yaml"]
