# SPDX-License-Identifier: MIT
# Prefix from disk: a request of $PREFIX_KEPT tokens to a node with --prefix-disk, and another one with the same beginning after the node was
# restarted; the node's state is new in every round. Two stages, each on a node of its own. And a question about a picture, another one about
# the same picture, and one more after the restart.
# shellcheck shell=sh
ROWS=256 # at least, of a picture
begin() {
    model 1b
    PREFIX_KEPT=$((PREFIX > 512 ? PREFIX : 512)) # shorter ones may not be kept
    PROJECTOR=$WORK/mmproj-1b.gguf
    [ -f "$PROJECTOR" ] || "$BUILD/bin/make-projector" --like qwen2.5vl --width 2048 --out "$PROJECTOR" ||
        fail "cannot make \"$PROJECTOR\"" "is the disk full?"
    command -v node >/dev/null 2>&1 || fail "no node" "install Debian's package nodejs"
}
round() {
    rm -rf "$WORK/disk"
    mkdir -p "$WORK/disk"
    start_pair
    ask "$PREFIX_KEPT" first text disk_first
    ask "$ROWS" first picture picture_first
    ask "$ROWS" second picture picture_again
    stop_children
    start_pair
    ask "$PREFIX_KEPT" second text disk_second
    ask "$ROWS" second picture picture_second
    stop_children
}
ask() { # as disk.mjs wants it
    CARAVAN=$BUILD/bin/caravan CARAVAN_SOURCE=$TOP CARAVAN_TMP=$WORK/disk node "$TOP/tests/bench/disk.mjs" "$API" "$@" >"$WORK/out.disk" ||
        fail "no answer" "see $WORK/disk/*.log"
    awk 'NF >= 2 { print $1, $2 }' "$WORK/out.disk" >>"$VALUES"
}
# Two nodes that hold half of the model each; sets API.
start_pair() {
    start_disk_node head "$MODEL" --mmproj "$PROJECTOR" --placement 11,11 --ctx 4096
    start_disk_node tail --peer "127.0.0.1:$LISTEN"
    API=$API_head
}
start_disk_node() { # name, arguments
    name=$1
    shift
    : >"$WORK/disk/$name.ready"
    CARAVAN_NO_DISCOVERY=yes "$BUILD/bin/caravan" up "$@" --name "$name" --threads 1 --parallel 2 --listen 127.0.0.1:0 --api 127.0.0.1:0 --prefix-disk 4G \
        --key-file "$WORK/disk/key" --state-dir "$WORK/disk/$name" --ready-fd 3 3>"$WORK/disk/$name.ready" >"$WORK/disk/$name.log" 2>&1 &
    pid=$!
    children="$children $pid"
    wait_text "$pid" "$WORK/disk/$name.ready" listen || fail "caravan does not start" "see $WORK/disk/$name.log"
    eval "API_$name=$(sed -n 's/.*"api": *\([0-9]*\).*/\1/p' "$WORK/disk/$name.ready")"
    LISTEN=$(sed -n 's/.*"listen": *\([0-9]*\).*/\1/p' "$WORK/disk/$name.ready")
}
report() {
    words "A prefix of $PREFIX_KEPT tokens, and a picture of about 300 rows (made by a tiny projector, so that it costs what its rows cost the model);"
    words "model 1b, 2 nodes of 1 thread, both restarted where it says so."
    figures "time to the first token"
    figure "first request" disk_first_ms " ms"
    figure "the same beginning, after the restart" disk_second_ms " ms"
    figure "a picture and a question" picture_first_ms " ms"
    figure "the same picture, another question" picture_again_ms " ms"
    figure "the same picture, a third question, after the restart" picture_second_ms " ms"
    ratios
    ratio "first against second" disk_first_ms disk_second_ms 5
    ratio "a picture, first question against the second" picture_first_ms picture_again_ms
    ratio "a picture, first question against the third, after the restart" picture_first_ms picture_second_ms
}
