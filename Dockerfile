# SPDX-License-Identifier: MIT
# The image of a node: docker build -t caravan .  (compose.yaml starts three of them.)
# The first stage makes the bundle, which brings all its libraries; the image has nothing else of it.
FROM debian:forky-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc g++ libc6-dev make cmake git mawk util-linux binutils xz-utils npm ca-certificates debian-archive-keyring
COPY . /src
RUN cd /src && make bundle && mkdir /out && tar -xf build/caravan-*-linux-*.tar.xz -C /out --strip-components=1

FROM debian:forky-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --home-dir /var/lib/caravan caravan && install -d -m 700 -o caravan -g caravan /var/lib/caravan /models /cluster
COPY --from=build /out /opt/caravan
RUN ln -s /opt/caravan/bin/caravan /usr/local/bin/caravan
USER caravan
ENV CARAVAN_STATE_DIR=/var/lib/caravan CARAVAN_MODELS_DIR=/models
VOLUME ["/var/lib/caravan", "/models", "/cluster"]
# 7433: other nodes, encrypted. 8080: the API; from outside it needs keys (docs/KEYS.md), so it listens on loopback unless told otherwise.
EXPOSE 7433 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD ["caravan", "nodes", "--json"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["caravan"]
CMD ["up"]
