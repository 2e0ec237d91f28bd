# The other ends of deploy/docker/compose.yaml: a client, web servers, a Prometheus. For trying things, not for production.
ARG DEBIAN_IMAGE=debian:bookworm-slim
FROM ${DEBIAN_IMAGE}
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        curl ethtool iproute2 jq nginx-light prometheus \
 && rm -rf /var/lib/apt/lists/*
COPY deploy/docker/lab/ /lab/
LABEL org.opencontainers.image.title="Guideway lab" \
      org.opencontainers.image.description="Client, web server and Prometheus for trying Guideway in containers" \
      org.opencontainers.image.licenses="Apache-2.0"
# Each container is told what to be.
ENTRYPOINT ["/bin/sh"]
CMD ["/lab/client"]
HEALTHCHECK NONE
