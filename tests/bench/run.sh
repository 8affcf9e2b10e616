#!/bin/sh
# SPDX-License-Identifier: MIT
# Measures Caravan against the unsplit model and against llama.cpp's RPC and server, on this machine, in interleaved rounds: every round of a
# section runs each of its programs once, so that other work of the machine affects all of them alike. Each section writes its medians,
# spreads and ratios into its own part of docs/BENCHMARKS.md; curves go into docs/ as SVG.
# Usage: tests/bench/run.sh [SECTION ...]     (`make bench`, `make bench SECTIONS="ring delay"`; all of them take about half an hour)
# Environment: QUICK=1  short rounds, printed but not written to docs/; ROUNDS, DECODE, PREFILL, PREFIX  how many rounds and tokens;
#   BUILD  the build folder (default build/release); CARAVAN_SYSROOT_DIR as in tools/sysroot.sh; DOC  another file to write
set -eu

TOP=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd)
BUILD=${BUILD:-$TOP/build/release}
ROOT=${CARAVAN_SYSROOT_DIR:-$TOP/build}/sysroot-test
WORK=$TOP/build/bench
DOC=${DOC:-$TOP/docs/BENCHMARKS.md}
# A section is a file tests/bench/sections/NAME.sh with three functions: begin (makes ready), round, report.
ALL="ring prefill delay streams busy memory speculation scheduler disk wide shapes gateway cache routing weights schema plan"
if [ "${QUICK:-0}" = 1 ]; then
    ROUNDS=${ROUNDS:-2} DECODE=${DECODE:-12} PREFILL=${PREFILL:-128} PREFIX=${PREFIX:-128}
else
    ROUNDS=${ROUNDS:-5} DECODE=${DECODE:-48} PREFILL=${PREFILL:-2048} PREFIX=${PREFIX:-1500}
fi
# shellcheck source=tests/bench/lib.sh
. "$TOP/tests/bench/lib.sh"
trap 'exit 130' INT TERM

machine() {
    cpu=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo 2>/dev/null | head -1)
    ram=$(awk '/^MemTotal/ { printf "%.0f GB", $2 / 1048576 }' /proc/meminfo 2>/dev/null || :)
    virtual=$(grep -qw hypervisor /proc/cpuinfo 2>/dev/null && echo ", a virtual machine" || :)
    printf '%s, %s cores%s, %s, %s %s' "${cpu:-$(uname -m)}" "$(getconf _NPROCESSORS_ONLN)" "$virtual" "$ram" "$(uname -s)" "$(uname -r | sed 's/-.*//')"
}

# The measured part of a section stands between two marks; the words around them stay.
write_doc() { # section, table
    start="<!-- measured: $1 -->" end="<!-- end: $1 -->"
    [ -f "$DOC" ] || printf '# Benchmarks\n' >"$DOC"
    grep -qxF "$start" "$DOC" && grep -qxF "$end" "$DOC" || printf '\n## %s\n\n%s\n%s\n' "$1" "$start" "$end" >>"$DOC"
    awk -v start="$start" -v end="$end" -v table="$2" '
        $0 == end { inside = 0 }
        !inside
        $0 == start { inside = 1; while ((getline line < table) > 0) print line }' "$DOC" >"$WORK/doc.md"
    cat "$WORK/doc.md" >"$DOC"
}

run_section() {
    trap stop_children EXIT # this is a subshell
    VALUES=$WORK/values.$1.new
    : >"$VALUES"
    # shellcheck source=/dev/null
    . "$TOP/tests/bench/sections/$1.sh"
    begin
    loads='' began=$(date +%s)
    for number in $(seq "$ROUNDS"); do
        load=$(cut -d' ' -f1 /proc/loadavg 2>/dev/null || echo 0)
        loads="$loads $load"
        say "$1: round $number of $ROUNDS (load $load)"
        round
    done
    stop_children
    mv "$VALUES" "$RESULTS/values.$1"
    {
        words "Machine: $(machine). $(date -u +%Y-%m-%d). $ROUNDS interleaved rounds in $(($(date +%s) - began)) s: medians, lowest and highest. Load average"
        words "of the machine as the rounds began:$loads; the bench alone makes 1 to 2, more is other work beside it."
        words ""
        report
    } >"$WORK/report.$1"
    awk -f "$TOP/tests/bench/report.awk" "$RESULTS/values.$1" "$WORK/report.$1" >"$WORK/table.$1.md"
    cat "$WORK/table.$1.md"
    [ "${QUICK:-0}" = 1 ] || write_doc "$1" "$WORK/table.$1.md"
}

for program in caravan ring_bench chain hop relay make-model; do
    [ -x "$BUILD/bin/$program" ] || fail "no \"$BUILD/bin/$program\"" "build first: make"
done
CARAVAN_SYSROOT_DIR=${CARAVAN_SYSROOT_DIR:-$TOP/build} "$TOP/tools/sysroot.sh" test
find_llama
RESULTS=$WORK # short rounds are kept apart, for no curve of the page to be drawn from them
[ "${QUICK:-0}" = 1 ] && RESULTS=$WORK/quick
mkdir -p "$RESULTS"
failed=
for section in ${*:-$ALL}; do
    [ -f "$TOP/tests/bench/sections/$section.sh" ] || fail "there is no section \"$section\"" "there are: $ALL"
    (run_section "$section") || failed="$failed $section"
done
if command -v node >/dev/null 2>&1; then
    [ "${QUICK:-0}" = 1 ] && plots=$RESULTS || plots=$TOP/docs
    node "$TOP/tests/bench/plot.mjs" "$RESULTS" "$plots"
fi
[ -z "$failed" ] || fail "sections that did not finish:$failed" "what they wrote last is in $WORK"
