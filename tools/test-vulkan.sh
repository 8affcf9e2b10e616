#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs slices on the GPU path without a GPU: ggml's Vulkan backend on Mesa's software driver (lavapipe), both from the test sysroot
# (tools/sysroot.sh test). Differences are printed and must stay 'close'.
# Usage: tools/test-vulkan.sh [build folder]       (default: build/release)
# Environment: CARAVAN_SYSROOT_DIR as in tools/sysroot.sh; CARAVAN_VULKAN_HOST=1 uses the system's own driver and GPU instead
set -eu

TOP=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
BUILD=${1:-$TOP/build/release}
ROOT=${CARAVAN_SYSROOT_DIR:-$TOP/build}/sysroot-test
PROGRAM=$BUILD/bin/test_engine_vulkan

fail() {
    printf 'test-vulkan: error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

[ -x "$PROGRAM" ] || fail "no \"$PROGRAM\"" "build first: make"
LIBRARIES=$(find "$ROOT/usr/lib" -maxdepth 1 -type d -name '*-linux-gnu' 2>/dev/null | head -1)
if [ -z "$LIBRARIES" ] || [ -n "${CARAVAN_SANITIZE:-}" ]; then # the driver's own leaks are not ours
    echo "skipped: no software driver for GPUs, or a build with sanitizers (make sysroot-test)"
    exit 77
fi
BACKENDS=$(find "$LIBRARIES/ggml" -maxdepth 1 -type d -name 'backends*' | head -1)
[ -e "$BACKENDS/libggml-vulkan.so" ] || fail "no Vulkan backend in \"$BACKENDS\"" "fill the folder again: make sysroot-test"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

if [ "${CARAVAN_VULKAN_HOST:-0}" != 1 ]; then
    # The driver's description names its library in the system's folders: write the real place into it.
    description=$(find "$ROOT/usr/share/vulkan/icd.d" -name 'lvp_icd*.json' | head -1)
    [ -n "$description" ] || fail "no software driver in \"$ROOT\"" "fill the folder again: make sysroot-test"
    sed "s|\"library_path\": *\"[^\"]*libvulkan_lvp.so\"|\"library_path\": \"$LIBRARIES/libvulkan_lvp.so\"|" "$description" >"$work/lvp.json"
    export VK_DRIVER_FILES="$work/lvp.json" VK_LOADER_LAYERS_DISABLE='~all~'
    export GGML_VK_VISIBLE_DEVICES=0 # a CPU counts as a device only when it is named
fi
# Compiled shaders are kept: they take most of the time. Libraries that only the test sysroot has are found there, after the program's own.
export MESA_SHADER_CACHE_DIR="$BUILD/vulkan-cache"
LD_LIBRARY_PATH=$LIBRARIES HOME=$work XDG_CACHE_HOME=$work CARAVAN_SOURCE=$TOP CARAVAN_TEST_BACKENDS=$BACKENDS "$PROGRAM"
