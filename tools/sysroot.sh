#!/bin/sh
# SPDX-License-Identifier: MIT
# Fills a private folder with the libraries that Caravan builds against, when the system's own are missing or too old.
# Debian's apt client fetches them, from the mirror and with the keyring that this machine already uses; it writes only under build/. It
# changes nothing of the system and needs no root. The fetched packages are compared with tools/sysroot.lock.
#
# Usage: tools/sysroot.sh [build|test|shells] [--arch ARCH] [--update-lock]
#   build          libraries and headers to build with    -> build/sysroot       (the default)
#   test           llama.cpp's tools, a GPU driver in software, a cache server -> build/sysroot-test  (only some tests need it)
#   shells         bash, zsh, fish and mandoc      -> build/sysroot-shells (for the test of completions and manual pages)
#   --arch ARCH    for another kind of processor, by Debian's name, such as arm64 -> build/sysroot-arm64 (to build for it here)
#   --update-lock  take the mirror's present versions and rewrite tools/sysroot.lock (all sets; with --arch: sysroot-ARCH.lock); commit the result
# Environment:
#   CARAVAN_SYSROOT_DIR     where to put build/'s folders (default: <source>/build)
#   CARAVAN_MIRROR          a Debian mirror's address, where it cannot be told from apt's own settings
#   CARAVAN_SYSROOT_WITH    further packages of the set build, such as libggml0-backend-hip (AMD's own way of computing: some gigabytes)
#   CARAVAN_SYSROOT_STRICT  1: stop when the mirror no longer has a locked version (default: take its signed newer one, and say so)
set -eu

SUITE=forky
TOP=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
BASE=${CARAVAN_SYSROOT_DIR:-$TOP/build}
RECIPE_build=1 # raised when the way of unpacking changes
RECIPE_test=2
RECIPE_shells=1

PACKAGES_build="libllama-dev libggml-dev libggml0-backend-vulkan libvulkan1 libuv1-dev libllhttp-dev libssl-dev libyyjson-dev libblake3-dev libcmocka-dev
    libcurl4-openssl-dev libsqlite3-dev libhiredis-dev libhwloc-dev libavahi-core-dev libc6-dev libstdc++6 libgomp1 ca-certificates"
PACKAGES_build="$PACKAGES_build ${CARAVAN_SYSROOT_WITH:-}"
PACKAGES_test="llama.cpp-tools llama.cpp-tools-extra llama.cpp-tests libggml0-backend-rpc libggml0-backend-vulkan mesa-vulkan-drivers json-schema-test-suite valkey-server"
PACKAGES_shells="bash zsh fish mandoc"

# Packages that ours name as dependencies but that nothing here uses: for static linking, for maintainer scripts (which are not
# run), for building other software. The resolver is told that they are installed.
UNUSED="autoconf automake autotools-dev comerr-dev debconf debianutils libtool libltdl-dev m4 perl perl-base perl:any pkgconf pkgconf-bin
    pkg-config wget openssl python3 python3-flask python3-jsonschema python3-numpy python3-yaml python3-sentencepiece libbrotli-dev libgnutls28-dev libgnutls-dane0t64 libgmp-dev
    libidn2-dev libkrb5-dev krb5-multidev libldap-dev libnghttp2-dev libnghttp3-dev libngtcp2-dev libngtcp2-crypto-ossl-dev
    libnuma-dev libp11-kit-dev libpsl-dev librtmp-dev libssh2-1-dev libtasn1-6-dev libunistring-dev libzstd-dev nettle-dev zlib1g-dev
    libsasl2-modules-db rpcsvc-proto adduser systemd"
# Chosen with exact versions, so the resolver must see them; left out of the lock.
DROPPED="libc-dev-bin libc-gconv-modules-extra"

say() { printf '%s\n' "sysroot: $*" >&2; }
fail() {
    printf 'sysroot: error: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf 'hint: %s\n' "$2" >&2
    exit 1
}

need_tools() {
    for tool in apt-get apt-cache dpkg dpkg-deb sha256sum awk find; do
        command -v "$tool" >/dev/null 2>&1 || fail "cannot fill \"$BASE\": the program \"$tool\" is missing" \
            "this needs a Debian or Ubuntu system; elsewhere install llama.cpp 0.7.0 or newer with its headers, libuv, llhttp, OpenSSL 3, yyjson, blake3, cmocka, curl, sqlite3, hiredis, hwloc and avahi-core, and pkg-config"
    done
}

# The main Debian archive among apt's sources: not security, updates or backports, nor anyone else's repository.
find_mirror() {
    if [ -n "${CARAVAN_MIRROR:-}" ]; then
        printf '%s\n' "$CARAVAN_MIRROR"
        return
    fi
    # From the package lists; where they have been deleted, as in images of containers, from where they would be fetched.
    { apt-get indextargets --format '$(REPO_URI)|$(RELEASE)|$(LABEL)|$(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
        awk -F'|' '
            $4 != "main" || $2 ~ /(security|updates|backports)/ || $1 ~ /security/ { next }
            $3 == "Debian" { print $1; found = 1; exit }
            $1 ~ /\/debian\/?$/ && other == "" { other = $1 }
            END { if (!found && other != "") print other }'
        apt-get update --print-uris 2>/dev/null | sed -n "s|^'\\(.*/debian/\\)dists/[a-z]*/InRelease' .*|\\1|p"; } | head -1
}

find_keyring() {
    for keyring in /usr/share/keyrings/debian-archive-keyring.pgp /usr/share/keyrings/debian-archive-keyring.gpg; do
        if [ -r "$keyring" ]; then
            printf '%s\n' "$keyring"
            return
        fi
    done
}

# apt with everything of its own: state, cache, settings. Only the keys of the host are read.
apt_options() {
    APT_OPTIONS="-oAPT::Architecture=$ARCH -oAPT::Architectures=$ARCH -oDir::State=$APT/state -oDir::State::status=$APT/state/status -oDir::Cache=$APT/cache
        -oDir::Etc::main=/dev/null -oDir::Etc::parts=$APT/etc/conf.d -oDir::Etc::sourcelist=$APT/etc/sources.list -oDir::Etc::sourceparts=/dev/null
        -oDir::Etc::preferences=/dev/null -oDir::Etc::preferencesparts=/dev/null -oAPT::Install-Recommends=0
        -oAPT::Sandbox::User=root -oAPT::Update::Error-Mode=any -oAcquire::Languages=none -oAcquire::Retries=3 -oAcquire::http::Timeout=30 -oDebug::NoLocking=1"
}

apt_prepare() {
    mkdir -p "$APT/state/lists/partial" "$APT/cache/archives/partial" "$APT/etc/conf.d" "$APT/archives"
    # The host's proxy settings count, its hooks do not.
    apt-config dump 2>/dev/null | grep -E '^Acquire::(http|https|ftp)::' >"$APT/etc/conf.d/proxy" || true
    mirror=$(find_mirror)
    [ -n "$mirror" ] || fail "cannot tell which Debian mirror to use: apt's settings on this machine name none" \
        "set CARAVAN_MIRROR to the address of a Debian mirror (the folder that holds dists/ and pool/)"
    keyring=$(find_keyring)
    [ -n "$keyring" ] || fail "cannot check signatures: no Debian archive keyring on this machine" \
        "install the package debian-archive-keyring"
    printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$SUITE" >"$APT/etc/sources.list"
    for name in $UNUSED; do
        printf 'Package: %s\nStatus: install ok installed\nVersion: 999:1\nArchitecture: %s\nMulti-Arch: allowed\nMaintainer: none\nDescription: not used here\n\n' \
            "${name%%:*}" "$ARCH"
    done >"$APT/state/status"
    apt_options
}

apt_update() {
    say "reading the package lists of $SUITE"
    # shellcheck disable=SC2086 # the options are words
    if ! apt-get $APT_OPTIONS -q update >"$APT/update.log" 2>&1; then
        sed -n 's/^[EW]: /    /p' "$APT/update.log" | head -5 >&2
        fail "cannot read the package lists of \"$SUITE\": the mirror did not answer (log: $APT/update.log)" \
            "check the network (and a proxy, if there is one); what was fetched before is kept, so run it again. CARAVAN_MIRROR names another mirror"
    fi
}

# Prints "set name version architecture sha256" for everything that the set $1 needs, as the mirror has it now.
resolve() {
    eval "wanted=\$PACKAGES_$1"
    # shellcheck disable=SC2086,SC2154
    if ! apt-get $APT_OPTIONS -q -y --print-uris install $wanted >"$APT/resolve.$1" 2>&1; then
        tail -8 "$APT/resolve.$1" >&2
        fail "cannot choose the packages of the set \"$1\" on \"$SUITE\"" "see $APT/resolve.$1"
    fi
    names=$(awk -v dropped=" $DROPPED " '/^\x27/ { split($2, part, "_"); version = part[2]; gsub(/%3a/, ":", version)
        if (!index(dropped, " " part[1] " ")) print part[1] "=" version }' "$APT/resolve.$1")
    # In a folder of its own: apt leaves out what already lies in the current one.
    mkdir -p "$APT/empty"
    # shellcheck disable=SC2086
    (cd "$APT/empty" && apt-get $APT_OPTIONS -qq --print-uris download $names) |
        awk -v set="$1" '/^\x27/ { file = $2; sub(/\.deb$/, "", file); split(file, part, "_"); gsub(/%3a/, ":", part[2]); sub(/^SHA256:/, "", $4)
            print set, part[1], part[2], part[3], $4 }' | LC_ALL=C sort
}

write_lock() {
    {
        printf '# SPDX-License-Identifier: MIT\n'
        printf '# What tools/sysroot.sh fetches, written by tools/sysroot.sh --update-lock.  suite %s, architecture %s\n' "$SUITE" "$ARCH"
        printf '# set  package  version  architecture  SHA-256\n'
        resolve build
        resolve test
        resolve shells
    } >"$1.part"
    mv "$1.part" "$1"
}

# The file of locked versions for this architecture: each has its own.
find_lock() {
    LOCK=$TOP/tools/sysroot.lock
    [ "$(lock_architecture)" = "$ARCH" ] || LOCK=$TOP/tools/sysroot-$ARCH.lock
}

lock_architecture() { sed -n 's/^# .*architecture \([a-z0-9]*\)$/\1/p' "$LOCK" 2>/dev/null | head -1; }

# Names in the lock $1 for the set $2 whose version the mirror does not have.
gone() {
    awk -v set="$2" '$1 == set { print $2, $3 }' "$1" >"$APT/wanted"
    # shellcheck disable=SC2086,SC2046
    apt-cache $APT_OPTIONS madison $(cut -d' ' -f1 "$APT/wanted") | awk -F' *[|] *' '{ sub(/^ +/, "", $1); print $1, $2 }' >"$APT/offered"
    awk 'NR == FNR { have[$1 " " $2] = 1; newest[$1] = $2; next } !(($1 " " $2) in have) { print $1, $2, (newest[$1] == "" ? "nothing" : newest[$1]) }' \
        "$APT/offered" "$APT/wanted"
}

# Is the archive of lock line "name version architecture sha256" there and undamaged? A damaged one is removed.
have_archive() {
    file=$APT/archives/$1_$(printf '%s' "$2" | sed 's/:/%3a/g')_$3.deb
    [ -f "$file" ] || return 1
    if [ "$(sha256sum <"$file" | cut -d' ' -f1)" != "$4" ]; then
        rm -f "$file"
        return 1
    fi
}

missing_archives() { # lock, set -> "name=version" of each that has still to be fetched
    awk -v set="$2" '$1 == set' "$1" | while read -r _ name version architecture sum; do
        have_archive "$name" "$version" "$architecture" "$sum" || printf '%s=%s\n' "$name" "$version"
    done
}

fetch() { # lock, set
    todo=$(missing_archives "$1" "$2")
    [ -n "$todo" ] || return 0
    count=$(printf '%s\n' "$todo" | wc -l)
    tty=0
    [ ! -t 2 ] || tty=1
    # shellcheck disable=SC2086
    (cd "$APT/archives" && apt-get $APT_OPTIONS -q download $todo 2>&1) | tee "$APT/fetch.log" |
        awk -v count="$count" -v tty="$tty" '/^Get:/ { n++; if (tty) printf "\rsysroot: fetching %d of %d  %-40s", n, count, $5 > "/dev/stderr"
                    else if (n % 20 == 0 || n == count) printf "sysroot: fetched %d of %d\n", n, count > "/dev/stderr" }
            END { if (tty && n) print "" > "/dev/stderr" }'
    left=$(missing_archives "$1" "$2")
    [ -z "$left" ] || {
        grep -E '^[EW]:' "$APT/fetch.log" | head -5 >&2 || true
        fail "could not fetch, or the checksum in the lock does not match: $(printf '%s' "$left" | tr '\n' ' ')" \
            "run it again (what arrived is kept); a checksum that still differs means that the mirror or the lock is wrong: tools/sysroot.sh --update-lock"
    }
}

# Absolute links would lead out of the sysroot: each is rewritten relative to its own folder.
fix_links() {
    (cd "$1" && find . -type l -lname '/*') | while read -r link; do
        target=$(readlink "$1/$link")
        up=$(printf '%s\n' "${link#./}" | awk -F/ '{ for (i = 1; i < NF; i++) printf "../" }')
        ln -snf "$up${target#/}" "$1/$link"
    done
}

unpack() { # lock, set, folder
    new=$3.new
    rm -rf "$new"
    mkdir -p "$new"
    awk -v set="$2" '$1 == set' "$1" | while read -r _ name version architecture _; do
        dpkg-deb -x "$APT/archives/${name}_$(printf '%s' "$version" | sed 's/:/%3a/g')_$architecture.deb" "$new" ||
            fail "cannot unpack the package \"$name\"" "is the disk full? run it again"
    done
    for folder in lib lib64 bin sbin; do
        [ -e "$new/$folder" ] || [ ! -d "$new/usr/$folder" ] || ln -s "usr/$folder" "$new/$folder"
    done
    fix_links "$new"
    if [ -d "$new/usr/share/ca-certificates" ]; then
        mkdir -p "$new/etc/ssl/certs"
        find "$new/usr/share/ca-certificates" -name '*.crt' | LC_ALL=C sort | xargs cat >"$new/etc/ssl/certs/ca-certificates.crt"
    fi
    # llama.cpp's tools look for backends beside the program that runs, which is the loader when they are started through it.
    if [ "$2" = test ]; then
        for backend in "$new"/usr/lib/*/ggml/backends*/libggml-cpu*.so "$new"/usr/lib/*/ggml/backends*/libggml-rpc.so; do
            ln -s "${backend#"${backend%/ggml/backends*}/"}" "${backend%/ggml/backends*}/${backend##*/}"
        done
    fi
    rm -rf "$new/usr/share/doc" "$new/usr/share/man" "$new/usr/share/info" "$new/usr/share/locale" "$new/usr/share/lintian" "$new/var"
    printf '%s\n' "$STAMP" >"$new/.stamp"
    rm -rf "$3"
    mv "$new" "$3"
}

# Chooses the lock to fill from: the tracked one, or (another architecture, a version that is gone) one made now under build/.
choose_lock() { # set
    CHOSEN=$LOCK
    if [ "$(lock_architecture)" != "$ARCH" ]; then
        say "there is no ${LOCK##*/}: taking what the mirror has"
        apt_update
        CHOSEN=$APT/resolved.lock
        write_lock "$CHOSEN"
        return
    fi
    if [ "$1" = build ] && [ -n "${CARAVAN_SYSROOT_WITH:-}" ]; then
        say "${LOCK##*/} has no rows for CARAVAN_SYSROOT_WITH: taking what the mirror has"
        apt_update
        CHOSEN=$APT/resolved.lock
        write_lock "$CHOSEN"
        return
    fi
    [ -n "$(missing_archives "$LOCK" "$1")" ] || return 0
    apt_update
    gone "$LOCK" "$1" >"$APT/gone"
    [ -s "$APT/gone" ] || return 0
    say "the mirror no longer has $(wc -l <"$APT/gone") of the versions in ${LOCK##*/}:"
    awk '{ printf "    %s %s (now: %s)\n", $1, $2, $3 }' "$APT/gone" >&2
    [ "${CARAVAN_SYSROOT_STRICT:-0}" != 1 ] || fail "cannot fill \"$1\" exactly as locked" \
        "tools/sysroot.sh --update-lock takes the mirror's versions; run the tests, then commit the lock"
    say "taking the mirror's signed newer versions (tools/sysroot.sh --update-lock records them)"
    CHOSEN=$APT/resolved.lock
    write_lock "$CHOSEN"
}

fill() { # set
    root=$BASE/sysroot
    [ "$1" = build ] || root=$root-$1
    root=$root$FOREIGN
    eval "recipe=\$RECIPE_$1"
    # shellcheck disable=SC2154 # set by eval
    STAMP="recipe $recipe $ARCH $(grep "^$1 " "$LOCK" 2>/dev/null | sha256sum | cut -d' ' -f1)"
    [ "$1" != build ] || STAMP="$STAMP${CARAVAN_SYSROOT_WITH:+ with $CARAVAN_SYSROOT_WITH}"
    [ "$(cat "$root/.stamp" 2>/dev/null || true)" != "$STAMP" ] || return 0
    need_tools
    apt_prepare
    choose_lock "$1"
    fetch "$CHOSEN" "$1"
    say "unpacking $(grep -c "^$1 " "$CHOSEN") packages into $root"
    unpack "$CHOSEN" "$1" "$root"
    say "ready: $root"
}

main() {
    what=build
    update=0
    host=$(dpkg --print-architecture 2>/dev/null || uname -m)
    ARCH=$host
    before=
    for word in "$@"; do
        case $before$word in
        --arch) before=--arch= ;;
        --arch=*)
            ARCH=${word#--arch=}
            before=
            ;;
        build | test | shells) what=$word ;;
        --update-lock) update=1 ;;
        -h | --help)
            sed -n '3,20s/^# \{0,1\}//p' "$0"
            exit 0
            ;;
        *) fail "unknown argument \"$word\"" "tools/sysroot.sh [build|test|shells] [--arch ARCH] [--update-lock]" ;;
        esac
    done
    case $before$ARCH in
    "" | *[!a-z0-9]*) fail "--arch needs the name of an architecture, as Debian calls it" "tools/sysroot.sh --arch arm64" ;;
    esac
    FOREIGN=
    [ "$ARCH" = "$host" ] || FOREIGN=-$ARCH
    APT=$BASE/sysroot-apt$FOREIGN
    find_lock
    mkdir -p "$BASE"
    # Two builds at once wait for one another.
    if command -v flock >/dev/null 2>&1 && [ -z "${CARAVAN_SYSROOT_LOCKED:-}" ]; then
        CARAVAN_SYSROOT_LOCKED=1 exec flock "$BASE/.sysroot.flock" "$0" "$@"
    fi
    if [ "$update" = 1 ]; then
        need_tools
        apt_prepare
        apt_update
        write_lock "$LOCK"
        say "wrote tools/${LOCK##*/} ($(grep -c '^build ' "$LOCK") + $(grep -c '^test ' "$LOCK") + $(grep -c '^shells ' "$LOCK") packages)"
        return
    fi
    fill "$what"
}

main "$@"
