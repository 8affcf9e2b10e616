#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the engine on every variant of ggml's CPU backend that this machine can run (for x86-64: x64, sse42, haswell, skylakex, ...): the
# engine's tests, and `caravan verify` on the demo's model in two slices, which must be identical. Then a ring whose first slice is computed by
# the best variant and its second one by this: with f16 weights verify must call it close. With quantised ones (the demo's) the two variants'
# rounding of activations is amplified: the difference is shown, and nine of ten first choices must be the same.
# Usage: tools/test-cpus.sh [BUILD FOLDER [VARIANT...]]       (default: build/release, all variants)
# It needs Linux with user namespaces: in one of its own, the folder of backends holds only the variant under test. It changes no file.
# Environment: CARAVAN_SYSROOT_DIR as in tools/sysroot.sh; TESTS: the engine's tests to run
set -eu

TOP=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
BUILD=$(CDPATH= cd -- "${1:-$TOP/build/release}" && pwd)
[ $# = 0 ] || shift
ROOT=${CARAVAN_SYSROOT_DIR:-$TOP/build}/sysroot
MODEL=$TOP/models/caravan-demo.gguf
TESTS=${TESTS-test_engine_slice test_engine_exact test_engine_lazy test_engine_park test_engine_sampler test_engine_types}
export CARAVAN_SOURCE="$TOP" CARAVAN_BUILD="$BUILD" CARAVAN_GPU_LAYERS=0 CARAVAN_NO_DISCOVERY=yes

fail() {
    printf 'test-cpus: error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}
for program in caravan make-model $TESTS; do
    [ -x "$BUILD/bin/$program" ] || fail "no \"$BUILD/bin/$program\"" "build first: make all"
done
backends=$(find "$ROOT"/usr/lib/*-linux-gnu/ggml -maxdepth 1 -type d -name 'backends*' 2>/dev/null | head -1)
[ -n "$backends" ] || fail "no backends in \"$ROOT\"" "this test needs the private sysroot: make sysroot, then cmake --preset release -DCARAVAN_SYSROOT=on"
unshare -Urm true 2>/dev/null || fail "no user namespaces here" "sysctl kernel.unprivileged_userns_clone=1, or run it as root"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
export HOME="$work"

# Runs a command with the variant alone in the folder of backends.
cat >"$work/only" <<'END'
#!/bin/sh
# only FOLDER BACKENDS COMMAND...
exec unshare -Urm sh -ec 'mount --bind "$1" "$2"; shift 2; exec "$@"' sh "$@"
END
chmod +x "$work/only"
only() { # variant, command
    variant=$1
    shift
    "$work/only" "$work/$variant" "$backends" "$@"
}

# One slice on the best variant, as the program chooses it, and the other one on this variant: verify's third child is its second slice (the first
# one has the whole model).
mixed() { # variant, model: sets verdict, difference, same (first choices of 80 positions)
    printf '#!/bin/sh\nexec "%s" "%s" "%s" "%s" "$@"\n' "$work/only" "$work/$1" "$backends" "$BUILD/bin/caravan" >"$work/other"
    chmod +x "$work/other"
    LD_PRELOAD=$BUILD/lib/other_program.so CARAVAN_OTHER_CHILD=3 CARAVAN_OTHER_PROGRAM=$work/other \
        "$BUILD/bin/caravan" verify "$2" --stages 2 >"$work/mixed" 2>&1 || :
    verdict=$(sed -n 's/.*layers: //p' "$work/mixed")
    difference=$(sed -n 's/.*largest difference \([^,]*\),.*/\1/p' "$work/mixed")
    same=$(sed -n 's/.*same first choice \([0-9]*\) of 80$/\1/p' "$work/mixed")
}
"$BUILD/bin/make-model" --preset tiny --type f16 --out "$work/f16.gguf" >"$work/out" 2>&1 || { cat "$work/out" && fail "make-model fails" "see above"; }

[ $# -gt 0 ] || set -- $(find "$backends" -name 'libggml-cpu-*.so' | sed 's/.*libggml-cpu-\(.*\)\.so/\1/' | LC_ALL=C sort)
status=0
for variant in "$@"; do
    [ -f "$backends/libggml-cpu-$variant.so" ] || fail "there is no variant \"$variant\"" "see $backends"
    mkdir "$work/$variant"
    cp "$backends/libggml-cpu-$variant.so" "$work/$variant/"
    wrong=
    if ! only "$variant" "$BUILD/bin/caravan" verify "$MODEL" --stages 2 >"$work/out" 2>&1; then
        if grep -q 'no ggml CPU backend' "$work/out"; then
            echo "$variant: this processor cannot run it"
            continue
        fi
        cat "$work/out"
        wrong=" verify"
    fi
    passed=0
    for test in $TESTS; do
        if only "$variant" timeout 600 "$BUILD/bin/$test" >"$work/$test.log" 2>&1; then
            passed=$((passed + 1))
        else
            grep -E 'ERROR|FAILED|LINE' "$work/$test.log" || tail -5 "$work/$test.log"
            wrong="$wrong $test"
        fi
    done
    mixed "$variant" "$work/f16.gguf"
    case $verdict in identical | close) ;; *) cat "$work/mixed" && wrong="$wrong ring" ;; esac
    ring="f16 ${verdict:-failed} ($difference)"
    mixed "$variant" "$MODEL"
    [ "${same:-0}" -ge 72 ] || { cat "$work/mixed" && wrong="$wrong ring"; }
    echo "$variant: verify $(sed -n 's/.*layers: //p' "$work/out"), $passed tests pass; a ring with the best variant: $ring, q8_0 ${verdict:-failed}" \
        "($difference, same first choice $same of 80)${wrong:+; FAILED:$wrong}"
    [ -z "$wrong" ] || status=1
done
exit $status
