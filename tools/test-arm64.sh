#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds for 64-bit ARM with Debian's cross compiler and runs the result on another kind of machine under qemu: `make test-arm64`. Emulated code
# is slow, so each part is small and has a limit.
# Usage: tools/test-arm64.sh [PART...]     build unit verify zoo demo ring (default: all, in this order)
# It needs Linux with binfmt_misc in user namespaces (6.7 or newer), or qemu-aarch64 registered there; gcc-aarch64-linux-gnu and
# qemu-user-static (on newer systems qemu-user). It changes nothing outside of build/.
# Environment: CARAVAN_SYSROOT_DIR as in tools/sysroot.sh; TESTS: names of unit tests; ZOO: a regular expression of architectures; VARIANT: of
# ggml's CPU backend ("": the best one). The best one computes with scalable vectors (SVE), whose emulation takes five times as long.
set -eu

TOP=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
HERE=$TOP/build/release
ARM=$TOP/build/arm64
MODEL=$TOP/models/caravan-demo.gguf
# What depends on the processor or on how memory is ordered: bytes, numbers, atomics, slices of the engine. The rest is the same on each.
TESTS=${TESTS:-base_json base_log base_str base_small api_custom api_openai cache_entry calls_flow engine_lazy engine_park engine_philox
    engine_sampler engine_slice engine_types engine_params engine_runtime engine_template grammar_match io_sock io_tls io_loop io_work jinja_cases ledger_key
    members_record members_identity members_invite model_gguf model_graph model_layout model_slice model_sample
    model_facts os_cgroup os_cores program_messages sched_alone sched_mark sched_rows stage_core stage_loop stage_spin store_cache
    wire_peer_clock wire_frame wire_link wire_handshake wire_compute wire_msg wire_request wire_result}
ZOO=${ZOO:-'^(llama|qwen3|mamba)$'}
VARIANT=${VARIANT-armv8.2_1}

fail() {
    printf 'test-arm64: error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

# In a user namespace of its own, where the kernel gives programs for ARM to the emulator.
if [ -z "${CARAVAN_ARM64_RUNS:-}" ]; then
    # An ELF file of 64 bits, little-endian, of any system, a program or a library, for AArch64.
    magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
    mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
    emulator=$(command -v qemu-aarch64-static || command -v qemu-aarch64) || fail "there is no qemu-aarch64" "install qemu-user-static"
    command -v aarch64-linux-gnu-gcc >/dev/null || fail "there is no aarch64-linux-gnu-gcc" "install gcc-aarch64-linux-gnu and libc6-dev-arm64-cross"
    export CARAVAN_ARM64_RUNS=1
    # shellcheck disable=SC2016 # for the inner shell
    exec unshare -Urm sh -ec 'grep -qs "^enabled" /proc/sys/fs/binfmt_misc/qemu-aarch64 ||
        { mount -t binfmt_misc none /proc/sys/fs/binfmt_misc && printf "%s\n" "$1" >/proc/sys/fs/binfmt_misc/register; } || {
            echo "test-arm64: error: the kernel does not give programs for ARM to an emulator here" >&2
            echo "hint: it needs Linux 6.7 with user namespaces, or qemu-aarch64 registered: systemctl restart systemd-binfmt" >&2
            exit 1
        }
        shift
        exec "$@"' sh ":caravan:M::$magic:$mask:$emulator:F" "$0" "$@"
fi

# One thread each: threads that wait for one another spin, and emulated spinning takes the time of the one they wait for.
export CARAVAN_GPU_LAYERS=0 CARAVAN_THREADS=1 CARAVAN_NO_DISCOVERY=yes CARAVAN_SOURCE="$TOP" CARAVAN_BUILD="$ARM"
work=$(mktemp -d)
nodes=
clean() {
    for pid in $nodes; do kill -TERM "$pid" 2>/dev/null || :; done
    for pid in $nodes; do wait "$pid" 2>/dev/null || :; done
    rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM
export HOME="$work"

# In this namespace alone, the folder of backends holds only the variant.
choose_variant() {
    backends=$(echo "$TOP"/build/sysroot-arm64/usr/lib/*/ggml/backends*)
    [ -n "$VARIANT" ] && [ -d "$backends" ] || return 0
    [ -f "$backends/libggml-cpu-$VARIANT.so" ] || fail "there is no variant \"$VARIANT\"" "see $backends"
    mkdir -p "$work/backends"
    cp "$backends/libggml-cpu-$VARIANT.so" "$work/backends/"
    mount --bind "$work/backends" "$backends"
    VARIANT= # done
}

need() { [ -x "$1" ] || fail "there is no \"$1\"" "$2"; }

part_build() {
    [ -f "$ARM/CMakeCache.txt" ] || (cd "$TOP" && env -u LDFLAGS cmake --preset arm64)
    cmake --build "$ARM" -j"$(nproc)"
}

part_unit() {
    for test in $TESTS; do need "$ARM/bin/test_$test" "tools/test-arm64.sh build; or TESTS has a name that is no unit test's"; done
    # Tests that have two threads let them wait asleep. Each test's limit is CMake's (cmake/Tests.cmake), which ctest's --timeout doesn't change.
    # Each takes two of ctest's places.
    # shellcheck disable=SC2086 # the names are words
    (cd "$ARM" && OMP_WAIT_POLICY=passive timeout 3600 ctest -L unit -R "^test_($(echo $TESTS | tr ' ' '|'))\$" -j"$((2 * $(nproc)))" --output-on-failure --no-tests=error)
}

part_verify() {
    need "$ARM/bin/caravan" "tools/test-arm64.sh build"
    timeout 600 "$ARM/bin/caravan" verify "$MODEL" --stages 3 --threads 1
}

part_zoo() { # the models are written by the machine's own llama.cpp
    (cd "$TOP" && CARAVAN="$ARM/bin/caravan" ZOO_PROMPT=16 ZOO_TOKENS=4 timeout 1800 tools/zoo.sh --only "$ZOO" "$ARM")
}

part_demo() {
    # The emulator's own memory counts as the process's.
    (cd "$TOP" && CARAVAN="$ARM/bin/caravan" MEMORY=44M timeout 900 tools/demo.sh "Who are you?")
}

start() { # name, program, arguments
    name=$1 program=$2
    shift 2
    "$program" up "$@" --name "$name" --memory 80M --threads 1 --batch 64 --ctx 512 --listen 127.0.0.1:0 --api 127.0.0.1:0 --key-file "$work/cluster.key" \
        --state-dir "$work/$name" --ready-fd 3 3>"$work/$name.ports" 2>"$work/$name.log" &
    nodes="$! $nodes"
    wait_for "$work/$name.ports" '"api"'
}
wait_for() { # file, pattern: at most 5 minutes
    tries=3000
    until grep -q "$2" "$1" 2>/dev/null; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] && kill -0 "${nodes%% *}" 2>/dev/null || { tail -n 30 "$work"/*.log; fail "\"$2\" never came" "see above"; }
        sleep 0.1
    done
}
port() { sed "s/.*\"$2\":\([0-9]*\).*/\1/" "$work/$1.ports"; }

# The first half on this machine's processor, the second one on ARM: as nodes that answer, and as slices that verify compares.
part_ring() {
    need "$HERE/bin/caravan" "build first: make all"
    need "$HERE/lib/other_program.so" "build first: make all"
    need "$HERE/bin/make-model" "build first: make all"
    start head "$HERE/bin/caravan" "$MODEL" --placement 4,4
    start tail "$ARM/bin/caravan" --peer "127.0.0.1:$(port head listen)"
    wait_for "$work/head.log" 'is ready'
    timeout 300 "$HERE/bin/caravan" run caravan-demo "Who are you?" --api "127.0.0.1:$(port head api)" --temperature 0 --stats --state-dir "$work/head" | tee "$work/answer"
    grep -qi caravan "$work/answer" || fail "the ring of $(uname -m) and aarch64 gave no sensible answer" "see above"
    # With f32 weights verify must call it close; with quantised ones the two processors' rounding of activations is amplified, which is shown.
    "$HERE/bin/make-model" --preset tiny --type f32 --out "$work/f32.gguf" >"$work/out" 2>&1 || { cat "$work/out" && fail "make-model fails" "see above"; }
    mixed "$work/f32.gguf"
    grep -qE 'layers: (close|identical)$' "$work/verdict" || fail "verify does not call the ring of $(uname -m) and aarch64 close" "see above"
    mixed "$MODEL"
    grep -qE 'same first choice 2[0-4] of 24$' "$work/verdict" || fail "the ring of $(uname -m) and aarch64 chooses other tokens than the whole model" "see above"
}
mixed() { # model: verify's third child is its second slice; the first one has the whole model
    # It is told this machine's folder of backends, in whose place it finds its own.
    printf '#!/bin/sh\nexec unshare -Urm sh -ec "mount --bind %s %s; exec \\"\\$@\\"" sh %s "$@"\n' \
        "$(echo "$TOP"/build/sysroot-arm64/usr/lib/*/ggml/backends*)" "$(echo "$TOP"/build/sysroot/usr/lib/*/ggml/backends*)" "$ARM/bin/caravan" >"$work/tail.sh"
    chmod +x "$work/tail.sh"
    timeout 300 env LD_PRELOAD="$HERE/lib/other_program.so" CARAVAN_OTHER_CHILD=3 CARAVAN_OTHER_PROGRAM="$work/tail.sh" \
        "$HERE/bin/caravan" verify "$1" --stages 2 --threads 1 --prompt-tokens 16 --tokens 8 >"$work/verdict" || :
    cat "$work/verdict"
}

[ $# -gt 0 ] || set -- build unit verify zoo demo ring
for part in "$@"; do
    case $part in
    build | unit | verify | zoo | demo | ring) ;;
    *) fail "unknown part \"$part\"" "tools/test-arm64.sh [build] [unit] [verify] [zoo] [demo] [ring]" ;;
    esac
done
for part in "$@"; do
    printf '\n== arm64: %s\n' "$part"
    began=$(date +%s)
    [ "$part" = build ] || choose_variant
    "part_$part"
    printf '== arm64: %s: good, %s s\n' "$part" "$(($(date +%s) - began))"
done
