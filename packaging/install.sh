#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs Caravan from a bundle (caravan-VERSION-linux-ARCH.tar.xz, which `make bundle` makes), for one user or for all; takes it away again.
#   sh install.sh [--user | --system] [--prefix DIR] [--sha256 HASH] BUNDLE     BUNDLE: a file, or an address (https://...)
#   sh install.sh [--user | --system] [--prefix DIR] --undo
# --user (the default unless root asks) installs into ~/.local, --system into /usr/local. The bundle's hash is taken from --sha256, else from
# BUNDLE.sha256, and must be right: nothing of the bundle runs, and nothing that was there before is touched, until all of this is checked.
set -eu
umask 022

fail() {
    printf 'install: error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

usage() {
    sed -n 's/^#   /usage: /p' "$0" >&2
    exit 64
}

# ---- what is asked ----
where='' prefix='' sum='' undo='' bundle=''
while [ $# -gt 0 ]; do
    case $1 in
    --user) where=user ;;
    --system) where=system ;;
    --prefix) [ $# -gt 1 ] || usage; prefix=$2; shift ;;
    --sha256) [ $# -gt 1 ] || usage; sum=$2; shift ;;
    --undo) undo=yes ;;
    -*) usage ;;
    *) [ -z "$bundle" ] || usage; bundle=$1 ;;
    esac
    shift
done
[ -n "$undo$bundle" ] || usage
if [ -z "$where" ]; then
    where=user
    [ "$(id -u)" != 0 ] || where=system
fi
if [ -z "$prefix" ]; then
    case $where in
    user) prefix=${HOME:?}/.local ;;
    system) prefix=/usr/local ;;
    esac
fi
case $prefix in
/*) ;;
*) fail "the prefix \"$prefix\" is not an absolute path" "--prefix \"$PWD/$prefix\"" ;;
esac
home=$prefix/lib/caravan-bundle # the program and its libraries
list=$home/installed            # what was put elsewhere, a line each, relative to the prefix

# ---- taking it away ----
# Is this file of the prefix a link into the bundle's folder?
is_ours() { # file
    case $(readlink "$prefix/$1" 2>/dev/null) in
    "$home"/*) ;;
    *) return 1 ;;
    esac
}
remove_links() { # list
    while IFS= read -r file; do
        if is_ours "$file"; then rm -f "$prefix/$file"; fi
    done <"$1"
}
if [ -n "$undo" ]; then
    [ -f "$list" ] || fail "there is no Caravan of this script in \"$prefix\"" "--user, --system or --prefix say where it was installed"
    remove_links "$list"
    rm -rf "$home"
    echo "removed Caravan from $prefix. Models and the cluster's key stay: ~/.local/share/caravan, ~/.local/state/caravan"
    exit 0
fi

# ---- the bundle, and its hash ----
for tool in tar xz sha256sum; do
    command -v "$tool" >/dev/null || fail "\"$tool\" is not here" "on Debian and Ubuntu: apt-get install tar xz-utils coreutils"
done
[ "$(uname -s)" = Linux ] || fail "the bundle is for Linux, and this is $(uname -s)" "docs/INSTALL.md has the other ways"
mkdir -p "$prefix/lib" 2>/dev/null || true
[ -w "$prefix/lib" ] || fail "cannot write to \"$prefix/lib\"" "--user, another --prefix, or the rights to write there"
work=$(mktemp -d "$prefix/lib/.caravan-install.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
get() { # address, file
    if command -v curl >/dev/null; then curl -fsSL --proto '=https' -o "$2" "$1"
    elif command -v wget >/dev/null; then wget -q -O "$2" "$1"
    else fail "neither curl nor wget is here" "fetch \"$1\" yourself, and name the file"; fi
}
case $bundle in
https://*)
    get "$bundle" "$work/bundle" || fail "cannot fetch \"$bundle\"" "is the address right?"
    [ -n "$sum" ] || get "$bundle.sha256" "$work/sha256" || fail "cannot fetch \"$bundle.sha256\"" "--sha256 HASH, if you have it from elsewhere"
    ;;
http://*) fail "the bundle would come unprotected" "an address that begins with https://" ;;
*)
    [ -f "$bundle" ] || fail "there is no file \"$bundle\"" "\`make bundle\` makes one in build/"
    cp "$bundle" "$work/bundle"
    [ -n "$sum" ] || cp "$bundle.sha256" "$work/sha256" 2>/dev/null || fail "there is no \"$bundle.sha256\"" "it lies beside the bundle; or --sha256 HASH"
    ;;
esac
[ -n "$sum" ] || sum=$(sed -n '1s/^\([0-9a-f]\{64\}\)\( .*\)*$/\1/p' "$work/sha256")
has=$(sha256sum "$work/bundle" | cut -c1-64)
[ "$has" = "$sum" ] || fail "the bundle is not what it should be: its SHA-256 is $has, and should be ${sum:-there}" "fetch it again; if it stays so, don't use it"

# ---- unpacking ----
name=$(basename "$bundle" .tar.xz)
case $name in
caravan-*-linux-"$(uname -m)") ;;
caravan-*-linux-*) fail "this bundle is for ${name##*-}, and this machine is $(uname -m)" "take the bundle of this machine's kind, or build from the source" ;;
*) fail "\"$name\" is no name of a bundle" "caravan-VERSION-linux-ARCH.tar.xz" ;;
esac
xz -dc "$work/bundle" >"$work/tar" || fail "the bundle cannot be unpacked" "is the disk full?"
if tar -tf "$work/tar" | grep -vE "^$name(/|\$)" | grep -q . || tar -tf "$work/tar" | grep -qE '(^|/)\.\.(/|$)'; then
    fail "the bundle has files outside of its folder" "it was not made by \`make bundle\`: don't use it"
fi
tar -C "$work" --no-same-owner -xf "$work/tar"
new=$work/$name
version=$("$new/bin/caravan" --version 2>&1) || fail "the program does not start: $version" "the bundle needs /proc and the processor family $(uname -m)"

# ---- putting it there ----
{
    echo bin/caravan
    (cd "$new/share" && find man bash-completion zsh fish -type f | sed 's|^|share/|')
} >"$new/installed"
while IFS= read -r file; do
    if [ -e "$prefix/$file" ] && ! is_ours "$file"; then
        fail "\"$prefix/$file\" is there, and not from this script" "remove it first, or choose another --prefix"
    fi
done <"$new/installed"
if [ -d "$home" ]; then
    remove_links "$list"
    mv "$home" "$work/old"
fi
mv "$new" "$home" # a rename: a program that runs keeps its files
while IFS= read -r file; do
    mkdir -p "$prefix/$(dirname "$file")"
    ln -s "$home/$file" "$prefix/$file"
done <"$list"
echo "installed $version in $prefix/bin"
case :$PATH: in
*:"$prefix/bin":*) ;;
*) echo "note: $prefix/bin is not in your PATH; add it: export PATH=\"$prefix/bin:\$PATH\"" ;;
esac
echo "next: caravan pull hf:OWNER/REPO, then caravan up MODEL (caravan help). To take it away: sh install.sh --$where --undo"
