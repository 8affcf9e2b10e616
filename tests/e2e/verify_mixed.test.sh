#!/bin/sh
# SPDX-License-Identifier: MIT
# `caravan verify` on a ring whose second slice is computed by another variant of ggml's CPU backend, as by another kind of processor: it says
# which variant computed what, and why the result is not identical. In a user namespace, the folder of backends holds only that variant.
set -eu
backends=$(find "${CARAVAN_SYSROOT_DIR:-$CARAVAN_SOURCE/build}/sysroot"/usr/lib/*-linux-gnu/ggml -maxdepth 1 -type d -name 'backends*' 2>/dev/null | head -1)
[ -n "$backends" ] || { echo "skipped: built with the system's own ggml" && exit 77; }
unshare -Urm true 2>/dev/null || { echo "skipped: no user namespaces here" && exit 77; }
fail() { echo "$*"; exit 1; }

model=$CARAVAN_SOURCE/models/caravan-demo.gguf
cat >other.sh <<END
#!/bin/sh
exec unshare -Urm sh -ec 'mount --bind "\$1" "\$2"; shift 2; exec "\$@"' sh "$PWD/only" "$backends" "$CARAVAN" "\$@"
END
chmod +x other.sh
mixed() { # model, options: one slice by the best variant, the second one by the other
    LD_PRELOAD=$CARAVAN_BUILD/lib/other_program.so CARAVAN_OTHER_CHILD=3 CARAVAN_OTHER_PROGRAM=$PWD/other.sh "$CARAVAN" verify "$@" \
        --stages 2 --tokens 8 --prompt-tokens 16 >out 2>&1 || :
}

own=$("$CARAVAN" verify "$model" --tokens 1 --prompt-tokens 4 | sed -n 's/^  all computed by CPU (\(.*\))$/\1/p')
[ -f "$backends/libggml-cpu-$own.so" ] || fail "verify names the variant \"$own\", which $backends does not have"
# Any other variant that this processor can run, if there is one that computes differently
other=
for file in "$backends"/libggml-cpu-*.so; do
    name=${file##*/libggml-cpu-}
    name=${name%.so}
    [ "$name" != "$own" ] || continue
    rm -rf only && mkdir only && cp "$file" only/
    ./other.sh verify "$model" --tokens 1 --prompt-tokens 4 >out 2>&1 || continue # this processor cannot run it
    grep -qxF "  all computed by CPU ($name)" out || fail "variant $name: $(cat out)"
    mixed "$model"
    grep -q 'layers: identical$' out || { other=$name && break; }
    ! grep -q 'why not identical' out || fail "$(cat out)"
done
[ -n "$other" ] || { echo "skipped: this processor runs no variant that computes otherwise" && exit 77; }

grep -qxF "  the whole model computed by CPU ($own), the slices by CPU ($own), CPU ($other)" out || fail "$(cat out)"
grep -qF "  why not identical: CPU ($own) and CPU ($other) add in different orders" out || fail "$(cat out)"
grep -q 'with Q8_0 weights the input of each product is rounded' out || fail "$(cat out)"
mixed "$model" --json
grep -qF "\"whole_by\":\"CPU ($own)\",\"slices_by\":[\"CPU ($own)\",\"CPU ($other)\"],\"why_not_identical\":\"CPU ($own) and" out || fail "$(cat out)"
"$CARAVAN_BUILD/bin/make-model" --preset tiny --type f16 --out f16.gguf >made 2>&1 || fail "$(cat made)"
mixed f16.gguf
grep -q 'layers: close$' out || fail "$(cat out)"
grep -qE 'why not identical: .* so the last bits differ$' out || fail "$(cat out)"
