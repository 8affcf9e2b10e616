#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs caravan for good: tools/install.sh PREFIX [DESTDIR] [JOBS]. With the private sysroot it is the bundle (tools/bundle.sh) that is put
# there: the program finds its loader and its libraries in PREFIX/lib/caravan, and the build folder may be deleted afterwards.
set -eu
TOP=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
PREFIX=${1:-/usr/local}
DESTDIR=${2:-}
JOBS=${3:-2}
BUILD=$TOP/build/release
SAYS=install
. "$TOP/tools/install-files.sh"

case $PREFIX in
/*) ;;
*) fail "PREFIX \"$PREFIX\" is not an absolute path" "make install PREFIX=\$HOME/.local" ;;
esac
to=$DESTDIR$PREFIX
mkdir -p "$to/bin" "$to/lib" "$to/share" 2>/dev/null && [ -w "$to/bin" ] && [ -w "$to/lib" ] && [ -w "$to/share" ] ||
    fail "cannot write to \"$to\"" "choose another PREFIX, such as PREFIX=\$HOME/.local, or run it with the rights to write there"

[ -f "$BUILD/CMakeCache.txt" ] || cmake --preset release -S "$TOP"
if uses_sysroot; then
    "$TOP/tools/bundle.sh" --folder "$JOBS"
    made=$(find "$TOP/build/bundle" -maxdepth 1 -name 'caravan-*-linux-*' -type d)
    # Renamed into place: a running program keeps the files that it has open.
    rm -rf "$to/lib/.caravan.new" "$to/lib/.caravan.old"
    cp -R "$made/lib/caravan" "$to/lib/.caravan.new"
    [ ! -d "$to/lib/caravan" ] || mv "$to/lib/caravan" "$to/lib/.caravan.old"
    mv "$to/lib/.caravan.new" "$to/lib/caravan"
    rm -rf "$to/lib/.caravan.old"
    put "$made/bin/caravan" "$to/bin"
    cp -R "$made/share/." "$to/share/"
else
    build_program caravan "$JOBS"
    put "$PROGRAM" "$to/bin"
    put_texts "$to/share"
fi
if [ -z "$DESTDIR" ]; then
    "$PREFIX/bin/caravan" --version >/dev/null || fail "the installed program does not start" "$PREFIX/bin/caravan --version shows why"
fi
echo "installed $to/bin/caravan$([ ! -d "$to/lib/caravan" ] || echo ", its libraries in $to/lib/caravan"), manual pages and completions in $to/share"
