#!/bin/sh
# SPDX-License-Identifier: MIT
# Fetches the npm packages that are built into the program (package.json, package-lock.json) into build/bundle/node_modules, with npm's
# own check of their sums. No script of theirs is run. Where the system has no npm, Debian's is unpacked into a private folder
# (tools/sysroot.sh npm) and run there by chroot, which needs root or user namespaces. Nothing to do: no network is needed.
set -eu
TOP=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
BASE=${CARAVAN_SYSROOT_DIR:-$TOP/build}
BUNDLE=$BASE/bundle
FLAGS="--ignore-scripts --omit=dev --no-audit --no-fund --loglevel=error"

fail() {
    printf 'bundle: error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

# As root the plain way; else in a user namespace of our own, where the kernel allows it.
run_in() { # root folder, program, arguments
    if [ "$(id -u)" = 0 ]; then chroot "$@"; else unshare -r chroot "$@"; fi
}

npm_of_debian() { # folder with package.json
    "$TOP/tools/sysroot.sh" npm || return 1
    root=$BASE/sysroot-npm
    rm -rf "$root/src"
    mkdir -p "$root/src" "$root/tmp" "$root/etc/ssl/certs"
    cp "$1/package.json" "$1/package-lock.json" "$1/.npmrc" "$root/src"
    for file in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt; do
        [ ! -r "$file" ] || cp -L "$file" "$root$file"
    done
    # shellcheck disable=SC2086 # the flags are words
    HOME=/tmp run_in "$root" /usr/bin/node -e 'process.chdir("/src"); process.argv = [process.argv[0], "npm", ...process.argv.slice(1)];
        require("/usr/share/nodejs/npm/lib/cli.js")(process)' ci $FLAGS || return 1
    mv "$root/src/node_modules" "$1/node_modules"
}

main() {
    stamp=$(cat "$TOP/package.json" "$TOP/package-lock.json" | sha256sum | cut -d' ' -f1)
    [ "$(cat "$BUNDLE/.stamp" 2>/dev/null || true)" != "$stamp" ] || return 0
    mkdir -p "$BASE"
    new=$BUNDLE.new
    rm -rf "$new"
    mkdir -p "$new"
    cp "$TOP/package.json" "$TOP/package-lock.json" "$TOP/.npmrc" "$new"
    if command -v npm >/dev/null 2>&1; then
        # shellcheck disable=SC2086
        (cd "$new" && npm ci $FLAGS) || fail "npm could not fetch the packages of package-lock.json" \
            "check the network (npm's own settings for a proxy or a mirror count), and run it again"
    else
        printf 'bundle: no npm on this machine: using that of Debian, unpacked under %s\n' "$BASE" >&2
        npm_of_debian "$new" || fail "there is no npm, and Debian's could not be run from a private folder" \
            "install the package npm, or build with -DCARAVAN_JINJA=off (only the templates that libllama has built in)"
    fi
    printf '%s\n' "$stamp" >"$new/.stamp"
    rm -rf "$BUNDLE"
    mv "$new" "$BUNDLE"
}

# Two builds at once wait for one another.
if command -v flock >/dev/null 2>&1 && [ -z "${CARAVAN_BUNDLE_LOCKED:-}" ]; then
    mkdir -p "$BASE"
    CARAVAN_BUNDLE_LOCKED=1 exec flock "$BASE/.bundle.flock" "$0" "$@"
fi
main
