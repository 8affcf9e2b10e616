#!/bin/sh
# SPDX-License-Identifier: MIT
# Several sequences at once, in slices, on one model of each kind of memory (attention, windows, recurrent, hybrid, latent, four
# positions a token, compressed keys with residual streams, a value of layer 0 that travels along): see tools/zoo-sequences.c. CARAVAN_ZOO_SEQUENCES names others (a pattern of
# architectures; '.' for all).
set -eu
root=${CARAVAN_SYSROOT_DIR:-$CARAVAN_SOURCE/build}/sysroot-test
maker=$(find "$root/usr" -name test-llama-archs -type f 2>/dev/null | head -1)
[ -n "$maker" ] || {
    echo "skipped: llama.cpp's tests are not here; make sysroot-test fetches them"
    exit 77
}
libraries=$(find "$root/usr/lib" -maxdepth 1 -type d -name '*-linux-gnu*' | head -1)
backends=$(find "$libraries/ggml" -maxdepth 1 -type d -name 'backends*' | head -1)
loader=$(find "$libraries" "$root/usr/lib64" -maxdepth 1 -name 'ld-linux*.so.*' 2>/dev/null | head -1)
only=${CARAVAN_ZOO_SEQUENCES:-'^(llama|gemma3|mamba|plamo2|lfm2|qwen35|qwen2vl|cogvlm|deepseek4|rwkv7|arwkv7)$'}

here=$(pwd)
mkdir raw
ours=$(printf 'arwkv7\nrwkv6\nrwkv6qwen2\nrwkv7\n' | grep -E "$only" || :)
for name in $ours; do
    "$CARAVAN_BUILD/bin/make-model" --preset "tiny-$name" --type f32 --out "raw/$name.gguf"
done
(cd "$backends" && "$loader" --library-path "$libraries" "$maker" --out "$here/raw" --arch "$only" --seed 1 >"$here/maker" 2>&1) || {
    tail -1 maker
    exit 1
}
failed=0
for file in raw/*.gguf; do
    name=$(basename "$file" .gguf)
    case $name in
    *rwkv*) cp "$file" deep.gguf ;;
    *) "$CARAVAN_BUILD/bin/zoo-deepen" "$file" deep.gguf >/dev/null 2>&1 || cp "$file" deep.gguf ;;
    esac
    status=0
    "$CARAVAN_BUILD/bin/zoo-sequences" deep.gguf >result 2>errors || status=$?
    sed "s/^/$name: /" result
    case $status in
    0 | 3) ;;
    *)
        echo "$name: exit status $status: $(tail -1 errors)"
        failed=1
        ;;
    esac
done
exit $failed
