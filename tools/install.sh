#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs caravan for good: tools/install.sh PREFIX [DESTDIR] [JOBS]. With the private sysroot, the program is linked once more so that it
# finds its loader and its libraries in PREFIX/lib/caravan, to which they are copied: the build folder may be deleted afterwards.
set -eu
TOP=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
PREFIX=${1:-/usr/local}
DESTDIR=${2:-}
JOBS=${3:-2}
BUILD=$TOP/build/install
RUNTIME=$PREFIX/lib/caravan

fail() {
    printf 'install: error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

case $PREFIX in
/*) ;;
*) fail "PREFIX \"$PREFIX\" is not an absolute path" "make install PREFIX=\$HOME/.local" ;;
esac
mkdir -p "$DESTDIR$PREFIX" 2>/dev/null && [ -w "$DESTDIR$PREFIX" ] ||
    fail "cannot write to \"$DESTDIR$PREFIX\"" "choose another PREFIX, such as PREFIX=\$HOME/.local, or run it with the rights to write there"

cmake --preset release -S "$TOP" -B "$BUILD" -DCARAVAN_RUNTIME_DIR="$RUNTIME" -DBUILD_TESTING=OFF >"$TOP/build/install.log" 2>&1 ||
    { cat "$TOP/build/install.log" >&2; fail "cannot configure" "see above"; }
cmake --build "$BUILD" --target caravan -j"$JOBS"

# Renaming replaces each old file in one step: a running program keeps the files that it has open.
put() { # source, target folder
    name=$(basename "$1")
    cp -L "$1" "$2/.$name.new"
    mv -f "$2/.$name.new" "$2/$name"
}

mkdir -p "$DESTDIR$PREFIX/bin"
root=$TOP/build/sysroot
if grep -q "sysroot=" "$BUILD/CMakeFiles/caravan.dir/link.txt"; then
    libdir=$(find "$root/usr/lib" -maxdepth 1 -type d -name '*-linux-gnu*' | head -1)
    loader=$(find "$libdir" -maxdepth 1 -name 'ld-linux*.so.*' | head -1)
    mkdir -p "$DESTDIR$RUNTIME"
    put "$loader" "$DESTDIR$RUNTIME"
    backends=$(find "$libdir/ggml" -maxdepth 1 -type d -name 'backends*' | head -1)
    mkdir -p "$DESTDIR$RUNTIME/ggml/$(basename "$backends")"
    for file in "$backends"/*.so; do
        put "$file" "$DESTDIR$RUNTIME/ggml/$(basename "$backends")"
    done
    for object in "$BUILD/bin/caravan" "$backends"/*.so; do
        "$loader" --library-path "$libdir" --list "$object"
    done | awk '$2 == "=>" { print $3 }' | LC_ALL=C sort -u | while read -r library; do
        case $library in
        "$root"/*) put "$library" "$DESTDIR$RUNTIME" ;;
        *) fail "the program would load \"$library\" from outside the sysroot" "make clean sysroot, and again" ;;
        esac
    done
    put "$root/etc/ssl/certs/ca-certificates.crt" "$DESTDIR$RUNTIME"
fi
put "$BUILD/bin/caravan" "$DESTDIR$PREFIX/bin"
if [ -z "$DESTDIR" ]; then
    "$PREFIX/bin/caravan" --version >/dev/null || fail "the installed program does not start" "$PREFIX/bin/caravan --version shows why"
fi
echo "installed $DESTDIR$PREFIX/bin/caravan$([ ! -d "$DESTDIR$RUNTIME" ] || echo ", its libraries in $DESTDIR$RUNTIME")"
