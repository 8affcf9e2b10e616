#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes an archive that runs where it is unpacked, on any Linux of this architecture, without a compiler or packages:
# build/caravan-VERSION-linux-ARCH.tar.xz. It brings its own loader and C library (packaging/launcher.c).
# Beside it lie its SHA-256 and packaging/install.sh; if the variable URL says where the archive will lie, also Homebrew's formulas: caravan.rb
# for the bundle, and caravan-macos.rb for the source, which is archived beside it.
#   tools/bundle.sh [--folder] [JOBS]      --folder: only lays it out, in build/bundle/
set -eu
TOP=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
archive=1
[ "${1:-}" != --folder ] || { archive=0 && shift; }
JOBS=${1:-2}
BUILD=$TOP/build/release
SAYS=bundle
. "$TOP/tools/install-files.sh"

[ -f "$BUILD/CMakeCache.txt" ] || cmake --preset release -S "$TOP"
uses_sysroot || fail "build/release uses the system's libraries, which a bundle cannot bring" \
    "make clean, then cmake --preset release -DCARAVAN_SYSROOT=on, then make bundle"
build_program caravan_bundle "$JOBS"
version=$(sed -n 's/^project(caravan VERSION \([0-9.]*\).*/\1/p' "$TOP/CMakeLists.txt")
bundle=caravan-$version-linux-$(uname -m)
folder=$TOP/build/bundle/$bundle
rm -rf "$folder"
mkdir -p "$folder/bin" "$folder/share/doc/caravan"
put_runtime "$folder/lib/caravan"
cp "$PROGRAM" "$folder/lib/caravan/caravan"
"${CC:-cc}" -std=c17 -O2 -Wall -Wextra -Werror -D_XOPEN_SOURCE=700 -DCARAVAN_LOADER="\"$(basename "$loader")\"" --sysroot="$root" -B"$libdir" -L"$libdir" \
    -static -s -o "$folder/bin/caravan" "$TOP/packaging/launcher.c"
put_texts "$folder/share"
cp "$TOP/LICENSE" "$TOP/README.md" "$folder/share/doc/caravan/"
cp -R "$TOP/docs/." "$folder/share/doc/caravan/"
find "$folder/lib/caravan" -type f ! -name caravan ! -name 'ld-linux*' -exec chmod 644 {} +
strip --strip-debug "$folder/lib/caravan/caravan"
"$folder/bin/caravan" --version >/dev/null || fail "the program of the bundle does not start" "$folder/bin/caravan --version shows why"
[ $archive = 1 ] || exit 0
# The same input gives the same archive: names in order, no owner, the time of the last commit.
when=$(git -C "$TOP" log -1 --format=%ct 2>/dev/null || echo 0)
tar -C "$TOP/build/bundle" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$when" -cf "$TOP/build/bundle/$bundle.tar" "$bundle"
# shellcheck disable=SC2086 # several words
xz -f -T"$JOBS" ${XZ_LEVEL:-} "$TOP/build/bundle/$bundle.tar"
mv "$TOP/build/bundle/$bundle.tar.xz" "$TOP/build/"
(cd "$TOP/build" && sha256sum "$bundle.tar.xz" >"$bundle.tar.xz.sha256")
cp "$TOP/packaging/install.sh" "$TOP/build/"
if [ -n "${URL:-}" ]; then
    arch=$(uname -m | sed 's/aarch64/arm64/')
    sed -e "s|@URL@|$URL|; s|@BUNDLE@|$bundle|; s|@VERSION@|$version|; s|@ARCH@|$arch|" -e "s|@SHA256@|$(cut -c1-64 "$TOP/build/$bundle.tar.xz.sha256")|" \
        "$TOP/packaging/caravan.rb.in" >"$TOP/build/caravan.rb"
    # For macOS, the source as it was committed.
    source=caravan-$version
    if git -C "$TOP" archive --prefix="$source/" -o "$TOP/build/$source.tar.gz" HEAD 2>/dev/null; then
        sed -e "s|@URL@|$URL|; s|@SOURCE@|$source|; s|@VERSION@|$version|; s|@SHA256@|$(sha256sum "$TOP/build/$source.tar.gz" | cut -c1-64)|" \
            "$TOP/packaging/caravan-macos.rb.in" >"$TOP/build/caravan-macos.rb"
    fi
fi
echo "made build/$bundle.tar.xz: $(du -h "$TOP/build/$bundle.tar.xz" | cut -f1), unpacked $(du -sh "$folder" | cut -f1)"
