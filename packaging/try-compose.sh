#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the image with the Docker or Podman that is here, and runs compose.yaml: three nodes that become healthy and know one another, a model that is
# copied in, an answer for who has the key, a restart that keeps everything, and a memory limit. Where images can't be pulled, Debian's base image
# is made first (mmdebstrap, as root). Leaves the image, and nothing else.
#   packaging/try-compose.sh [--no-build]      --no-build: with the image "caravan" that is there
# The engine is the one that DOCKER_HOST names, or the usual one. NETWORK=host: what builds the image uses the host's network.
set -eu
TOP=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
PROJECT=caravan-try$$
WORK=$(mktemp -d)
small= # a container of its own

docker version >/dev/null 2>&1 || { echo "no container engine answers: compose.yaml is not tried"; exit 0; }
if docker compose version >/dev/null 2>&1; then compose="docker compose"
elif docker-compose version >/dev/null 2>&1; then compose=docker-compose
else echo "no compose is here: compose.yaml is not tried"; exit 0; fi

# shellcheck disable=SC2086 # compose is one word or two
compose() { (cd "$WORK" && $compose -p "$PROJECT" "$@"); }
fail() {
    echo "not ok - $1" >&2
    compose logs --tail=20 >&2 2>/dev/null || true
    exit 1
}
finish() {
    [ -z "$small" ] || docker rm -f -v "$small" >/dev/null 2>&1 || true
    compose down -v --timeout 20 >/dev/null 2>&1 || true
    rm -rf "$WORK"
}

build() {
    base=$(sed -n 's/^FROM \([^ ]*\)$/\1/p' "$TOP/Dockerfile")
    if ! docker image inspect "$base" >/dev/null 2>&1 && ! docker pull "$base" >/dev/null 2>&1; then
        apt-config dump | grep -E '^Acquire::(http|https|Check)' >"$WORK/apt.conf" || true
        suite=${base#debian:}
        mmdebstrap --quiet --variant=minbase --aptopt="$WORK/apt.conf" "${suite%-slim}" - | docker import - "$base" >/dev/null
    fi
    docker build ${NETWORK:+--network "$NETWORK"} -t caravan "$TOP" >"$WORK/build.log" 2>&1 || {
        tail -20 "$WORK/build.log"
        fail "the image is built"
    }
    echo "ok - the image is built"
    grep -o "note: no npm.*" "$WORK/build.log" || true
}
trap finish EXIT
[ "${1:-}" = --no-build ] || build

cp "$TOP/compose.yaml" "$WORK"
KEY=$(openssl rand -hex 24)
echo "$KEY" >"$WORK/api-keys"
health() { docker inspect -f '{{.State.Health.Status}}' "$(compose ps -q "$1")" 2>/dev/null || echo none; }
all_healthy() {
    for node in one two three; do
        tries=90
        until [ "$(health $node)" = healthy ]; do
            tries=$((tries - 1))
            [ $tries -gt 0 ] || fail "$node becomes healthy"
            sleep 2
        done
    done
}
nodes() { compose exec -T one caravan nodes --json | tr ',{' '\n\n' | sed -n 's/^ *"name": *"\([a-z]*\)".*/\1/p' | sort -u | tr '\n' ' '; }
all_know() {
    tries=60
    until [ "$(nodes)" = "one three two " ]; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || fail "the three know one another: $(nodes)"
        sleep 1
    done
}
ask() { # an API key
    curl -sS -m 120 -o "$WORK/answer" -w '%{http_code}' -H "Authorization: Bearer $1" -H 'Content-Type: application/json' \
        -d '{"model": "caravan-demo", "messages": [{"role": "user", "content": "Who are you?"}], "max_tokens": 16, "temperature": 0}' \
        http://127.0.0.1:8080/v1/chat/completions
}

compose up -d --no-build >"$WORK/up.log" 2>&1 || { cat "$WORK/up.log"; fail "compose starts"; }
all_healthy
echo "ok - three nodes are healthy"
all_know
echo "ok - they know one another"
[ "$(compose exec -T one id -u)" != 0 ] || fail "a node is an ordinary user"
docker cp "$TOP/models/caravan-demo.gguf" "$(compose ps -q one):/models/"
compose exec -T one caravan load caravan-demo >/dev/null || fail "the model is loaded"
[ "$(ask wrong)" = 401 ] || fail "who has no key gets no answer"
[ "$(ask "$KEY")" = 200 ] || { cat "$WORK/answer"; fail "who has the key gets an answer"; }
grep -q Caravan "$WORK/answer" || { cat "$WORK/answer"; fail "the answer is the model's"; }
echo "ok - the model answers who has the key, from outside"

identity() { compose exec -T two head -n 1 /var/lib/caravan/identity | cksum; } # the key; behind it stands the number of starts
before=$(identity)
compose down --timeout 20 >/dev/null 2>&1
compose up -d --no-build >/dev/null 2>&1
all_healthy
all_know
[ "$(identity)" = "$before" ] || fail "a node is the same one after a restart"
[ "$(ask "$KEY")" = 200 ] || { cat "$WORK/answer"; fail "the model answers after a restart"; }
echo "ok - down and up again keeps nodes and model"

small=$(docker run -d --rm --memory 400m caravan up)
tries=30
until docker exec "$small" caravan nodes >"$WORK/nodes" 2>&1; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || { cat "$WORK/nodes"; fail "a node with little memory starts"; }
    sleep 1
done
docker logs "$small" 2>&1 | grep 'offers [0-9.]* MB to models' || { docker logs "$small"; fail "a node offers what its container has"; }
docker stop -t 20 "$small" >/dev/null
echo "ok - a node offers what its container has left"
