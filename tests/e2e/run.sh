#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs one end-to-end test (a path to *.test.sh or *.test.mjs, and what it is given) in a fresh folder of its own, removed when the test passes.
# The test finds: CARAVAN (the program), CARAVAN_SOURCE, CARAVAN_BUILD, CARAVAN_TMP (the fresh folder, also the current one and HOME).
# Exit status: the test's; 77 means skipped. Processes of the test that outlive it are an error: each is named and ended.
set -u
test=$1
shift
CARAVAN_TMP=$(mktemp -d "${TMPDIR:-/tmp}/caravan-test.XXXXXX")
export CARAVAN_TMP
export HOME="$CARAVAN_TMP"
export XDG_CONFIG_HOME="$CARAVAN_TMP/config" XDG_STATE_HOME="$CARAVAN_TMP/state" XDG_CACHE_HOME="$CARAVAN_TMP/cache"
export CARAVAN_NO_DISCOVERY=yes # tests of discovery unset it, since nodes of other tests must not be found
export CARAVAN_UBATCH=64 # some processors would take longer steps, and so more memory
export CARAVAN_GPU_LAYERS=0 # a GPU of this machine would change the bits of answers; the tests of GPUs unset it
# In a build with sanitizers: their reports about any process of the test, also about one whose exit status is ignored.
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:log_path=$CARAVAN_TMP/sanitizer" TSAN_OPTIONS="${TSAN_OPTIONS:-}:log_path=$CARAVAN_TMP/sanitizer"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-}:log_path=$CARAVAN_TMP/sanitizer"
cd "$CARAVAN_TMP" || exit 1

case $test in
*.mjs)
    if ! command -v node >/dev/null 2>&1; then
        echo "skipped: no node on this machine"
        exit 77
    fi
    node "$test" "$@"
    ;;
*) sh "$test" "$@" ;;
esac
status=$?

# Every process of the test has this folder's name in its environment.
orphans=
for environment in /proc/[0-9]*/environ; do
    pid=${environment#/proc/}
    pid=${pid%/environ}
    [ "$pid" != $$ ] || continue
    case $(readlink "/proc/$pid/exe" 2>/dev/null) in
    *caravan*) ;;
    *) continue ;;
    esac
    if tr '\0' '\n' <"$environment" 2>/dev/null | grep -qxF "CARAVAN_TMP=$CARAVAN_TMP"; then
        orphans="$orphans $pid"
    fi
done
if [ -n "$orphans" ]; then
    echo "error: processes outlived the test:$orphans"
    # shellcheck disable=SC2086 # several ids
    ps -o pid,ppid,stat,args -p "$(echo $orphans | tr ' ' ',')" 2>/dev/null
    # shellcheck disable=SC2086
    kill -9 $orphans
    [ "$status" != 0 ] || status=1
fi

if [ -n "$(find "$CARAVAN_TMP" -maxdepth 1 -name 'sanitizer.*' -size +0)" ]; then
    echo "error: a sanitizer reports:"
    head -n 60 "$CARAVAN_TMP"/sanitizer.*
    status=1
fi

if [ "$status" = 0 ] || [ "$status" = 77 ]; then
    cd / && rm -rf "$CARAVAN_TMP"
else
    echo "the test's files and logs are in $CARAVAN_TMP"
fi
exit "$status"
