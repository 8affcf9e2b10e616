#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the steps of the Dockerfile without Docker: each stage is a fresh Debian in a folder (mmdebstrap), each step a chroot. Then starts
# the image's command as its user and waits until its health check passes. For a machine that may not pull images. As root.
#   packaging/try-dockerfile.sh [FOLDER]
set -eu
TOP=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
WORK=${1:-$(mktemp -d)}
mkdir -p "$WORK"
mounted= node=
# The host's proxies, and whether its mirror's lists may be old, count inside as well.
apt-config dump | grep -E '^Acquire::(http|https|Check)' >"$WORK/apt.conf" || true

unmount() {
    for folder in $mounted; do umount "$folder" 2>/dev/null || true; done
    mounted=
}
finish() {
    [ -z "$node" ] || kill "$node" 2>/dev/null || true
    unmount
}
trap finish EXIT

enter() { # stage folder: mounts what a container has
    unmount
    for part in proc dev; do
        mount --bind "/$part" "$1/$part"
        mounted="$1/$part $mounted"
    done
}

# A string of JSON's array form as words: ["a", "b"] -> a b
words() { printf '%s' "$1" | sed 's/^\[//; s/\]$//; s/",/"/g; s/"//g'; }

root= user=root environment= entrypoint= command= health=
while read -r step rest; do
    case $step in
    '' | '#'*) continue ;;
    FROM)
        set -- $rest
        root=$WORK/${3:-image} user=root environment=
        suite=${1#debian:} suite=${suite%-slim}
        echo "== FROM $rest"
        rm -rf "$root"
        mmdebstrap --quiet --variant=minbase --aptopt="$WORK/apt.conf" "$suite" "$root"
        enter "$root"
        ;;
    RUN)
        echo "== RUN $rest"
        # shellcheck disable=SC2086
        chroot "$root" env $environment DEBIAN_FRONTEND=noninteractive sh -ec "$rest"
        ;;
    COPY)
        echo "== COPY $rest"
        set -- $rest
        case $1 in
        --from=*) from=$WORK/${1#--from=}$2 to=$3 ;;
        *) from=$TOP/$1 to=$2 ;;
        esac
        mkdir -p "$root$to"
        (cd "$from" && tar -cf - $(sed 's/^/--exclude=.\//' "$TOP/.dockerignore") .) | tar -C "$root$to" -xf -
        ;;
    USER) user=$rest ;;
    ENV) environment="$environment $rest" ;;
    ENTRYPOINT) entrypoint=$(words "$rest") ;;
    CMD) command=$(words "$rest") ;;
    HEALTHCHECK) health=$(words "${rest#*CMD }") ;;
    VOLUME | EXPOSE | STOPSIGNAL) ;;
    *) echo "error: \"$step\" of the Dockerfile is unknown here" >&2; exit 1 ;;
    esac
done <"$TOP/Dockerfile"

as_user() { # words of a command; this shell becomes it
    # shellcheck disable=SC2086
    exec chroot --userspec="$user" "$root" env $environment HOME=/var/lib/caravan PATH=/usr/local/bin:/usr/bin:/bin "$@"
}
echo "== start: $entrypoint $command, as $user"
# shellcheck disable=SC2086
as_user $entrypoint $command &
node=$!
tries=60
# shellcheck disable=SC2086
until (as_user $health) >"$WORK/health" 2>&1; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] && kill -0 "$node" 2>/dev/null || { cat "$WORK/health"; echo "error: the health check does not pass" >&2; exit 1; }
    sleep 1
done
echo "== healthy: $(head -c 200 "$WORK/health")"
kill "$node"
wait "$node" || { echo "error: the node did not end by itself on SIGTERM" >&2; exit 1; }
node=
echo "== ended. The image is $(du -sh --exclude=proc --exclude=dev "$root" | cut -f1)"
