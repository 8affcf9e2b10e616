#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes the Debian package build/caravan_VERSION_ARCH.deb from the bundle (tools/bundle.sh): the program with its own libraries in
# /usr/lib/caravan, a service of systemd that is not started by itself, manual pages, completions.
set -eu
TOP=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
version=$(sed -n 's/^project(caravan VERSION \([0-9.]*\).*/\1/p' "$TOP/CMakeLists.txt")
bundle=$TOP/build/bundle/caravan-$version-linux-$(uname -m)
root=$TOP/build/bundle/deb
[ -x "$bundle/bin/caravan" ] || { echo "deb: error: there is no bundle in build/bundle" >&2; echo "hint: make deb" >&2; exit 1; }

rm -rf "$root"
mkdir -p "$root/usr/bin" "$root/usr/lib/caravan" "$root/usr/lib/systemd/system" "$root/usr/lib/sysusers.d" "$root/etc/caravan" "$root/usr/share/zsh"
cp -R "$bundle/bin" "$bundle/lib" "$root/usr/lib/caravan/"
ln -s ../lib/caravan/bin/caravan "$root/usr/bin/caravan"
cp -R "$bundle/share/." "$root/usr/share/"
mv "$root/usr/share/zsh/site-functions" "$root/usr/share/zsh/vendor-completions"
gzip -9n "$root"/usr/share/man/man1/*.1
cp "$TOP/packaging/caravan.service" "$root/usr/lib/systemd/system/"
cp "$TOP/packaging/sysusers.conf" "$root/usr/lib/sysusers.d/caravan.conf"
cp "$TOP/packaging/config" "$root/etc/caravan/config"
mv "$root/usr/share/doc/caravan/LICENSE" "$root/usr/share/doc/caravan/copyright"
find "$root" -type d -exec chmod 755 {} +
find "$root" -type f ! -perm -100 -exec chmod 644 {} +
cd "$TOP/build/bundle"
CARAVAN_VERSION=$version CARAVAN_SOURCE=$TOP CARAVAN_ROOT=$root CARAVAN_OUT=$TOP/build/bundle \
    cpack --config "$TOP/packaging/CPackConfig.cmake" >"$TOP/build/deb.log" 2>&1 || { cat "$TOP/build/deb.log" >&2; exit 1; }
mv "$TOP/build/bundle/"caravan_*.deb "$TOP/build/"
echo "made $(cd "$TOP" && ls build/caravan_*.deb): $(du -h "$TOP"/build/caravan_*.deb | cut -f1)"
