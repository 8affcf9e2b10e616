#!/bin/sh
# SPDX-License-Identifier: MIT
# Compiles and links caravan for macOS on arm64, on Linux, with clang and lld: `make check-macos`. It runs nothing. Headers and stubs of macOS
# itself come from an SDK, which is not part of this project; the other libraries' headers come from the private sysroot, and their symbols are
# those that the sysroot's libraries export. So a source that does not compile there fails, and a name that neither has.
# Usage: tools/check-macos.sh [BUILD FOLDER]       (default: build/macos)
# Environment: CARAVAN_MACOS_SDK, the SDK's folder (it has usr/include and usr/lib/libSystem.tbd); CARAVAN_SYSROOT_DIR as in tools/sysroot.sh
set -eu

TOP=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
BUILD=${1:-$TOP/build/macos}
ROOT=${CARAVAN_SYSROOT_DIR:-$TOP/build}/sysroot
SDK=${CARAVAN_MACOS_SDK:-}

fail() {
    printf 'check-macos: error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

[ -n "$SDK" ] || fail "CARAVAN_MACOS_SDK is not set" "give it the folder of a macOS SDK, such as MacOSX.sdk of Xcode's command line tools"
[ -f "$SDK/usr/lib/libSystem.tbd" ] && [ -f "$SDK/usr/include/dns_sd.h" ] || fail "\"$SDK\" is no macOS SDK" "it has usr/include and usr/lib/libSystem.tbd"
llvm=$(dirname "$(readlink -f "$(command -v clang || echo /none)")")
for tool in clang ld64.lld llvm-ar llvm-ranlib llvm-install-name-tool; do
    [ -x "$llvm/$tool" ] || fail "there is no \"$tool\"" "install clang, lld and llvm of one version"
done
for tool in cmake pkg-config nm; do
    command -v "$tool" >/dev/null || fail "there is no \"$tool\"" "install cmake, pkgconf and binutils"
done
"$TOP/tools/sysroot.sh" build
libraries=$(find "$ROOT/usr/lib" -maxdepth 1 -type d -name '*-linux-gnu' | head -1)
include=$ROOT/usr/include
[ -n "$libraries" ] || fail "there are no libraries in \"$ROOT\"" "fill it first: make sysroot"

# ---- a folder as Homebrew's: headers, stubs, descriptions ----
brew=$BUILD/brew
rm -rf "$brew"
mkdir -p "$brew/include" "$brew/lib/pkgconfig"
for header in "$include"/blake3.h "$include"/cmocka*.h "$include"/ggml*.h "$include"/gguf.h "$include"/hiredis "$include"/hwloc* \
    "$include"/llama*.h "$include"/llhttp.h "$include"/mtmd*.h "$include"/openssl "$include"/sqlite3*.h "$include"/uv "$include"/uv.h "$include"/yyjson.h \
    "$include/${libraries##*/}/curl"; do
    cp -RL "$header" "$brew/include/"
done
# What the sysroot's packages keep by the kind of processor.
for folder in openssl hwloc; do
    [ ! -d "$include/${libraries##*/}/$folder" ] || cp -RL "$include/${libraries##*/}/$folder" "$brew/include/"
done

stub() { # library: writes its stub, with what the Linux library exports to C
    nm -D --defined-only "$libraries/lib$1.so" | awk -v name="$1" '
        BEGIN {
            printf "--- !tapi-tbd\ntbd-version: 4\ntargets: [ arm64-macos ]\ninstall-name: \"/opt/homebrew/lib/lib%s.dylib\"\n", name
            printf "exports:\n  - targets: [ arm64-macos ]\n    symbols: ["
        }
        $2 != "A" && $3 !~ /^_/ { sub(/@.*/, "", $3); if (!($3 in seen)) printf "%s _%s", (n++ ? "," : ""), $3; seen[$3] = 1 }
        END { printf " ]\n...\n"; exit n == 0 }' >"$brew/lib/lib$1.tbd" || fail "\"lib$1.so\" of the sysroot exports nothing" "make clean sysroot, and again"
}
describe() { # name and version for pkg-config, the libraries that its Linux description names
    name=$1 version=$2
    shift 2
    for library in "$@"; do stub "$library"; done
    printf 'prefix=%s\nlibdir=${prefix}/lib\nName: %s\nDescription: stub\nVersion: %s\nCflags: -I${prefix}/include\nLibs: -L${libdir}%s\n' \
        "$brew" "$name" "$version" "$(printf ' -l%s' "$@")" >"$brew/lib/pkgconfig/$name.pc"
}
# The versions are those that cmake/Dependencies.cmake asks for.
wanted() { sed -n "s/^set(CARAVAN_PKG_.*\"$1>=\([0-9.]*\)\".*/\1/p" "$TOP/cmake/Dependencies.cmake"; }
describe llama "$(wanted llama)" ggml ggml-base llama
describe ggml "$(wanted ggml)" ggml
describe libuv "$(wanted libuv)" uv
describe libllhttp "$(wanted libllhttp)" llhttp
describe openssl "$(wanted openssl)" ssl crypto
describe yyjson "$(wanted yyjson)" yyjson
describe libblake3 "$(wanted libblake3)" blake3
describe libcurl "$(wanted libcurl)" curl
describe sqlite3 "$(wanted sqlite3)" sqlite3
describe hiredis "$(wanted hiredis)" hiredis
describe hwloc "$(wanted hwloc)" hwloc
describe cmocka "$(wanted cmocka)" cmocka
stub mtmd # in the package of libllama, without a description

# ---- configure, compile, link: as on a Mac ----
cat >"$BUILD/toolchain.cmake" <<END
set(CMAKE_SYSTEM_NAME Darwin)
set(CMAKE_SYSTEM_PROCESSOR arm64)
set(CMAKE_OSX_ARCHITECTURES arm64)
set(CMAKE_OSX_SYSROOT "$SDK")
set(CMAKE_C_COMPILER "$llvm/clang")
set(CMAKE_C_COMPILER_TARGET arm64-apple-macos12)
set(CMAKE_AR "$llvm/llvm-ar")
set(CMAKE_RANLIB "$llvm/llvm-ranlib")
set(CMAKE_INSTALL_NAME_TOOL "$llvm/llvm-install-name-tool")
set(CMAKE_EXE_LINKER_FLAGS_INIT -fuse-ld=lld)
set(CMAKE_SHARED_LINKER_FLAGS_INIT -fuse-ld=lld)
set(CMAKE_MODULE_LINKER_FLAGS_INIT -fuse-ld=lld)
END
unset LDFLAGS CFLAGS || :
PKG_CONFIG_LIBDIR=$brew/lib/pkgconfig PKG_CONFIG_PATH= cmake -S "$TOP" -B "$BUILD/build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_TOOLCHAIN_FILE="$BUILD/toolchain.cmake" \
    -DCARAVAN_SYSROOT=off -DBUILD_TESTING=OFF -DCARAVAN_WERROR=ON >"$BUILD/configure.log" 2>&1 || { tail -20 "$BUILD/configure.log"; fail "CMake does not configure for macOS" "see $BUILD/configure.log"; }
cmake --build "$BUILD/build" -j"$(nproc 2>/dev/null || echo 2)" --target caravan -- ${CARAVAN_MACOS_KEEP_GOING:+-k 0} >"$BUILD/build.log" 2>&1 ||
    { grep -E 'error|undefined symbol' "$BUILD/build.log" | head -40; fail "caravan does not build for macOS" "see $BUILD/build.log"; }
echo "check-macos: caravan compiles and links for macOS on arm64 ($(find "$BUILD/build" -name '*.c.o' | wc -l | tr -d ' ') sources); it was not run"
