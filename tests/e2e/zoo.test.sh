#!/bin/sh
# SPDX-License-Identifier: MIT
# A part of the zoo (tools/zoo.sh): each kind of rule and fix-up once, against the recorded table. Needs llama.cpp's tests (make sysroot-test).
set -eu
find "${CARAVAN_SYSROOT_DIR:-$CARAVAN_SOURCE/build}/sysroot-test/usr" -name test-llama-archs 2>/dev/null | grep -q . || {
    echo "skipped: llama.cpp's tests are not here; make sysroot-test fetches them"
    exit 77
}
"$CARAVAN_SOURCE/tools/zoo.sh" --only \
    '^(llama|llama4|gemma2|gemma3|gpt-oss|gpt2|grok|minicpm|mimo2|deepseek2|qwen3next|qwen3tts|nemotron_h|lfm2moe|smallthinker|bloom|deepseek4|maion-coder|minimax-01|talkie|hrm_text)$' \
    "$CARAVAN_BUILD"
