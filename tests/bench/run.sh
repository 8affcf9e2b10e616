#!/bin/sh
# SPDX-License-Identifier: MIT
# Measures Caravan against the unsplit model and against llama.cpp's own RPC backend, on this machine, in interleaved rounds (every round runs each
# program once, so that what else the machine does falls on all of them alike), and writes medians, spread and ratios into docs/BENCHMARKS.md.
# Usage: tests/bench/run.sh      (`make bench`; it takes about ten minutes, and wants a machine that does nothing else)
# Environment: QUICK=1  two short rounds, printed but not written to docs/; ROUNDS, DECODE, PREFILL  how many rounds and tokens;
#   BUILD  the build folder (default build/release); CARAVAN_SYSROOT_DIR as in tools/sysroot.sh; MODEL  another GGUF; DOC  another file to write
set -eu

TOP=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd)
BUILD=${BUILD:-$TOP/build/release}
ROOT=${CARAVAN_SYSROOT_DIR:-$TOP/build}/sysroot-test
WORK=$TOP/build/bench
MODEL=${MODEL:-$WORK/1b-q4_k.gguf}
DOC=${DOC:-$TOP/docs/BENCHMARKS.md}
if [ "${QUICK:-0}" = 1 ]; then
    ROUNDS=${ROUNDS:-2} DECODE=${DECODE:-16} PREFILL=${PREFILL:-256}
else
    ROUNDS=${ROUNDS:-5} DECODE=${DECODE:-64} PREFILL=${PREFILL:-1024}
fi
servers=

say() { printf 'bench: %s\n' "$*" >&2; }
fail() {
    printf 'bench: error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

clean() {
    for pid in $servers; do kill "$pid" 2>/dev/null || :; done
    for pid in $servers; do wait "$pid" 2>/dev/null || :; done
    servers=
}
trap clean EXIT
trap 'exit 130' INT TERM

# ---- what is needed -------------------------------------------------------------------------------------------------------------

prepare() {
    for program in caravan ring_bench hop make-model; do
        [ -x "$BUILD/bin/$program" ] || fail "no \"$BUILD/bin/$program\"" "build first: make"
    done
    CARAVAN_SYSROOT_DIR=${CARAVAN_SYSROOT_DIR:-$TOP/build} "$TOP/tools/sysroot.sh" test
    LIBRARIES=$(find "$ROOT/usr/lib" -maxdepth 1 -type d -name '*-linux-gnu' | head -1)
    LOADER=$(find "$ROOT/lib64" "$ROOT/lib" "$LIBRARIES" -maxdepth 1 -name 'ld-linux*.so*' 2>/dev/null | head -1)
    LLAMA_BENCH=$ROOT/usr/bin/llama-bench
    RPC_SERVER=$(find "$ROOT/usr/libexec" "$ROOT/usr/bin" -name ggml-rpc-server 2>/dev/null | head -1)
    [ -x "$LOADER" ] && [ -x "$LLAMA_BENCH" ] && [ -n "$RPC_SERVER" ] || fail "llama.cpp's tools are not in \"$ROOT\"" "fill it again: make sysroot-test"
    mkdir -p "$WORK"
    : >"$WORK/values"
    if [ ! -f "$MODEL" ]; then
        say "making a model of 1.1 billion random weights, Q4_K"
        "$BUILD/bin/make-model" --preset 1b --type q4_k --out "$MODEL.part"
        mv "$MODEL.part" "$MODEL"
    fi
}

llama() { # "" or exec, program, arguments
    how=$1
    shift
    $how "$LOADER" --library-path "$LIBRARIES:$LIBRARIES/llama" "$@"
}

# Two servers of one thread each, as the two stages have. They sleep while they have no client.
start_servers() {
    port=$((20000 + $$ % 20000))
    RPC=
    for i in 1 2; do
        tries=0
        while :; do
            port=$((port + 1))
            : >"$WORK/rpc-$i.log"
            (llama exec "$RPC_SERVER" -H 127.0.0.1 -p "$port" -t 1) >"$WORK/rpc-$i.log" 2>&1 &
            pid=$!
            while kill -0 "$pid" 2>/dev/null && ! grep -q 'endpoint *:' "$WORK/rpc-$i.log"; do sleep 0.1; done
            sleep 0.3
            kill -0 "$pid" 2>/dev/null && break
            tries=$((tries + 1))
            [ "$tries" -lt 20 ] || fail "ggml-rpc-server does not start" "see $WORK/rpc-$i.log"
        done
        servers="$servers $pid"
        RPC=$RPC${RPC:+,}127.0.0.1:$port
    done
}

# ---- one round ------------------------------------------------------------------------------------------------------------------

# A value of this round: name, number.
put() { printf '%s %s\n' "$1" "$2" >>"$WORK/values"; }

# What ring_bench measured: the name of the configuration, then its arguments.
ring() {
    name=$1
    shift
    "$BUILD/bin/ring_bench" "$MODEL" --decode "$DECODE" --streams 1,2 --prefill "$PREFILL" "$@" >"$WORK/out" || fail "ring_bench failed" "ring_bench $*"
    put "$name.decode1" "$(sed -n 's/.*"decode".*"streams": 1,.*"tok_s": \([0-9.]*\).*/\1/p' "$WORK/out")"
    put "$name.decode2" "$(sed -n 's/.*"decode".*"streams": 2,.*"tok_s": \([0-9.]*\).*/\1/p' "$WORK/out")"
    put "$name.prefill" "$(sed -n 's/.*"prefill".*"tok_s": \([0-9.]*\).*/\1/p' "$WORK/out")"
    sed -n 's/.*"what": "\([a-z]*\)".*"streams": \([0-9]*\),.*"stages": \[\(.*\)\]}/\1\2 \3/p' "$WORK/out" | tr -d '{}",:' | awk -v name="$name" '
        { for (i = 2; i < NF; i++) {
              if ($i == "stage") stage = $(i + 1)
              if ($i ~ /_(ms|us)$/) print name "." $1 ".stage" stage "." $i, $(i + 1)
          } }' >>"$WORK/values"
}

# What llama-bench measured: the name, then its arguments. A short prompt first wakes everything up.
peer() {
    name=$1
    shift
    llama "" "$LLAMA_BENCH" -m "$MODEL" -t 1 -r 1 --no-warmup -p "16,$PREFILL" -n "$DECODE" -o jsonl "$@" >"$WORK/out" 2>"$WORK/llama-bench.log" ||
        fail "llama-bench failed" "see $WORK/llama-bench.log"
    put "$name.prefill" "$(sed -n "s/.*\"n_prompt\": $PREFILL,.*\"avg_ts\": \([0-9.]*\).*/\1/p" "$WORK/out")"
    put "$name.decode1" "$(sed -n "s/.*\"n_gen\": $DECODE,.*\"avg_ts\": \([0-9.]*\).*/\1/p" "$WORK/out")"
}

hop() {
    "$BUILD/bin/hop" --fork --count 2000 | sed -n 's/^spin *\([0-9]*\) us: median *\([0-9.]*\) us.*/hop.spin\1 \2/p' >>"$WORK/values"
}

round() {
    ring whole1 --threads 1
    ring ring --stages 2 --threads 1
    peer rpc --rpc "$RPC" -ngl 99 -ts 1/1
    ring whole2 --threads 2
    peer llama1 -ngl 0
    hop
}

# ---- the table ------------------------------------------------------------------------------------------------------------------

machine() {
    cpu=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo 2>/dev/null | head -1)
    ram=$(awk '/^MemTotal/ { printf "%.0f GB", $2 / 1048576 }' /proc/meminfo 2>/dev/null || :)
    virtual=$(grep -qw hypervisor /proc/cpuinfo 2>/dev/null && echo ", a virtual machine" || :)
    printf '%s, %s cores%s, %s, %s %s' "${cpu:-$(uname -m)}" "$(getconf _NPROCESSORS_ONLN)" "$virtual" "$ram" "$(uname -s)" "$(uname -r | sed 's/-.*//')"
}

report() {
    awk -v machine="$(machine)" -v date="$(date -u +%Y-%m-%d)" -v decode="$DECODE" -v prefill="$PREFILL" -v model="$(basename "$MODEL")" '
    function sorted(name,    i, j, v, n) { # fills s[1..n]
        n = count[name]
        for (i = 1; i <= n; i++) {
            v = value[name, i]
            for (j = i - 1; j >= 1 && s[j] > v; j--) s[j + 1] = s[j]
            s[j + 1] = v
        }
        return n
    }
    function median(name,    n) {
        n = sorted(name)
        return n == 0 ? 0 : n % 2 ? s[(n + 1) / 2] : (s[n / 2] + s[n / 2 + 1]) / 2
    }
    function spread(name,    n) { n = sorted(name); return sprintf("%.1f to %.1f", s[1], s[n]) }
    # The ratio of two names, of each round, as a series of its own.
    function ratio(a, b,    i, name) {
        name = a "/" b
        if (name in count) return name
        count[name] = count[a] < count[b] ? count[a] : count[b]
        for (i = 1; i <= count[name]; i++) value[name, i] = value[b, i] > 0 ? value[a, i] / value[b, i] : 0
        return name
    }
    function row(text, name) { printf "| %s | %.1f | %s |\n", text, median(name), spread(name) }
    function compare(text, a, b, target,    name, m, met) {
        name = ratio(a, b)
        m = median(name)
        sorted(name)
        met = target == "" ? "" : (m >= target + 0 ? "yes" : "no")
        printf "| %s | %.2fx | %.2f to %.2f | %s | %s |\n", text, m, s[1], s[count[name]], (target == "" ? "" : target "x"), met
    }
    function stage(text, what, i) {
        printf "| %s | %d | %.2f | %.2f | %.0f |\n", text, i, median("ring." what ".stage" i ".compute_ms"), \
            median("ring." what ".stage" i ".wait_ms"), median("ring." what ".stage" i ".hop_us")
    }
    { count[$1]++; value[$1, count[$1]] = $2 }
    END {
        rounds = count["ring.decode1"]
        printf "Machine: %s. %s. Model: %s (1.1 billion weights, 22 layers). %d interleaved rounds: medians, lowest and highest; ", machine, date, model, rounds
        printf "decode of %d tokens a stream, prefill of %d. ", decode, prefill
        printf "Load average of the machine when the rounds began: %s; the bench alone makes 1 to 2, more is other work beside it.\n\n", spread("load")
        print "| tokens a second | median | spread |\n|---|---|---|"
        row("Caravan, whole model, 1 thread: decode, 1 stream", "whole1.decode1")
        row("Caravan, whole model, 1 thread: decode, 2 streams", "whole1.decode2")
        row("Caravan, whole model, 1 thread: prefill", "whole1.prefill")
        row("Caravan, whole model, 2 threads: decode, 1 stream", "whole2.decode1")
        row("Caravan, whole model, 2 threads: decode, 2 streams", "whole2.decode2")
        row("Caravan, whole model, 2 threads: prefill", "whole2.prefill")
        row("**Caravan, 2 stages of 1 thread: decode, 1 stream**", "ring.decode1")
        row("**Caravan, 2 stages of 1 thread: decode, 2 streams**", "ring.decode2")
        row("**Caravan, 2 stages of 1 thread: prefill**", "ring.prefill")
        row("llama.cpp RPC, 2 servers of 1 thread: decode", "rpc.decode1")
        row("llama.cpp RPC, 2 servers of 1 thread: prefill", "rpc.prefill")
        row("llama.cpp, whole model, 1 thread: decode", "llama1.decode1")
        row("llama.cpp, whole model, 1 thread: prefill", "llama1.prefill")
        print "\n| ratio (of each round) | median | spread | target | met |\n|---|---|---|---|---|"
        compare("decode, 1 stream: 2 stages against the whole model, 1 thread", "ring.decode1", "whole1.decode1", "0.85")
        compare("decode, 2 streams: 2 stages against the whole model, 1 thread, 1 stream", "ring.decode2", "whole1.decode1", "1.3")
        compare("decode, 2 streams: 2 stages against the whole model, 1 thread, 2 streams in one batch", "ring.decode2", "whole1.decode2", "")
        compare("prefill: 2 stages against the whole model, 1 thread", "ring.prefill", "whole1.prefill", "1.5")
        compare("prefill: 2 stages against the whole model, 2 threads (what the two cores give)", "ring.prefill", "whole2.prefill", "0.95")
        compare("decode, 1 stream: 2 stages against llama.cpp RPC with 2 servers", "ring.decode1", "rpc.decode1", "1")
        compare("prefill: 2 stages against llama.cpp RPC with 2 servers", "ring.prefill", "rpc.prefill", "1")
        compare("decode, 2 streams: whole model, 2 threads against 1 thread, 1 stream", "whole2.decode2", "whole1.decode1", "")
        compare("prefill: whole model, 2 threads against 1 thread", "whole2.prefill", "whole1.prefill", "")
        compare("decode, whole model, 1 thread: Caravan against llama.cpp", "whole1.decode1", "llama1.decode1", "")
        compare("prefill, whole model, 1 thread: Caravan against llama.cpp", "whole1.prefill", "llama1.prefill", "")
        print "\nPrefill meets its target with either 1.5x of one thread or 0.95x of two threads on the same two cores.\n"
        print "| where a frame of the 2 stages spends its time | stage | compute ms | waits for its turn ms | hop us |\n|---|---|---|---|---|"
        for (i = 0; i < 2; i++) stage("decode, 1 stream", "decode1", i)
        for (i = 0; i < 2; i++) stage("decode, 2 streams", "decode2", i)
        for (i = 0; i < 2; i++) stage("prefill, one chunk", "prefill1", i)
        print "\nThe hop of stage 0 is the tail\047s answer on its way back, and what it waits while stage 0 computes.\n"
        print "| one hop without compute: 32 KiB frame, two processes, TLS, loopback | median us | spread | target |\n|---|---|---|---|"
        printf "| the receiver sleeps until it comes | %.1f | %s | < 150 |\n", median("hop.spin0"), spread("hop.spin0")
        printf "| spins 50 us before it sleeps | %.1f | %s | < 150 |\n", median("hop.spin50"), spread("hop.spin50")
        printf "| spins until it comes | %.1f | %s | < 150 |\n", median("hop.spin1000"), spread("hop.spin1000")
    }' "$WORK/values"
}

# The measured part of the document stands between two marks; the words around it stay.
write_doc() {
    begin='<!-- measured by tests/bench/run.sh -->' end='<!-- end of what was measured -->'
    if [ ! -f "$DOC" ]; then printf '# Benchmarks\n\nWritten by `make bench`.\n\n%s\n%s\n' "$begin" "$end" >"$DOC"; fi
    grep -qxF "$begin" "$DOC" && grep -qxF "$end" "$DOC" || fail "\"$DOC\" has lost its marks" "put back the lines \"$begin\" and \"$end\""
    awk -v begin="$begin" -v end="$end" -v table="$WORK/table.md" '
        $0 == end { inside = 0 }
        !inside
        $0 == begin { inside = 1; while ((getline line < table) > 0) print line }' "$DOC" >"$WORK/doc.md"
    cat "$WORK/doc.md" >"$DOC"
    say "wrote $DOC"
}

prepare
start_servers
n=1
while [ "$n" -le "$ROUNDS" ]; do
    load=$(cut -d' ' -f1 /proc/loadavg 2>/dev/null || echo 0)
    put load "$load"
    say "round $n of $ROUNDS (load $load)"
    round
    n=$((n + 1))
done
report >"$WORK/table.md"
cat "$WORK/table.md"
[ "${QUICK:-0}" = 1 ] || write_doc
