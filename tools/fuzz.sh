#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs fuzz targets.  tools/fuzz.sh PROGRAM SECONDS: one target, from its corpus (new inputs go to the build folder, not to the repository).
# tools/fuzz.sh --all SECONDS: builds all with clang's libFuzzer and AddressSanitizer and runs each, also behind one that fails; without
# clang, the stand-alone ones.
set -eu
TOP=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}" LSAN_OPTIONS="${LSAN_OPTIONS:-suppressions=$TOP/tests/lsan.supp}"

run_one() { # program, seconds
    name=$(basename "$1")
    what=${name#fuzz_}
    found=$(dirname "$1")/../fuzz-found/$what
    mkdir -p "$found"
    set -- "$1" "$2" "$found"
    [ ! -d "$TOP/tests/fuzz/corpus/$what" ] || set -- "$@" "$TOP/tests/fuzz/corpus/$what"
    program=$1
    seconds=$2
    shift 2
    [ ! -f "$TOP/tests/fuzz/dictionary/$what.dict" ] || set -- "-dict=$TOP/tests/fuzz/dictionary/$what.dict" "$@"
    "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$found/../" "$@"
}

if [ "$1" != --all ]; then
    run_one "$1" "$2"
    exit
fi
seconds=$2
if command -v clang >/dev/null 2>&1 && echo 'int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n) { (void)d; return (int)(n & 0); }' |
    clang -fsanitize=fuzzer -x c - -o /dev/null 2>/dev/null; then
    build=$TOP/build/fuzz
    cmake --preset fuzz -S "$TOP" >/dev/null
    runner=run_one
else
    echo "note: clang's libFuzzer is not here (package clang); running the stand-alone fuzzers instead" >&2
    build=$TOP/build/release
    cmake --preset release -S "$TOP" >/dev/null
    runner=
fi
count=0
failed=
for source in "$TOP"/tests/fuzz/fuzz_*.c; do
    [ -f "$source" ] || continue
    name=$(basename "$source" .c)
    cmake --build "$build" --target "$name" -j2
    echo "== $name, $seconds s"
    if [ -n "$runner" ]; then
        run_one "$build/bin/$name" "$seconds" || failed="$failed $name"
    else
        "$build/bin/$name" --seconds "$seconds" "$TOP/tests/fuzz/corpus/${name#fuzz_}" || failed="$failed $name"
    fi
    count=$((count + 1))
done
if [ -n "$failed" ]; then
    echo "$count fuzz targets, $seconds s each; FAILED:$failed (see above; libFuzzer's inputs are in $build/fuzz-found)"
    exit 1
fi
echo "$count fuzz targets, $seconds s each: no crash"
