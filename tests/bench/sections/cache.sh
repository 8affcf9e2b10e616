# SPDX-License-Identifier: MIT
# The response cache: the time of an answer that was kept, beside the same answer computed, on the demo model and on a backend that answers at once.
# shellcheck shell=sh
begin() {
    for program in gateway_fake cache_time; do
        [ -x "$BUILD/bin/$program" ] || fail "no \"$BUILD/bin/$program\"" "build first: make"
    done
    for file in cache.fake cache.ready cache.log; do : >"$WORK/$file"; done # what an earlier run wrote must not be taken for this one's
    FAKE_CACHE=on "$BUILD/bin/gateway_fake" 0 >"$WORK/cache.fake" 2>&1 &
    pid=$!
    children="$children $pid"
    wait_text "$pid" "$WORK/cache.fake" '^port' || fail "gateway_fake does not start" "see $WORK/cache.fake"
    FAKE_PORT=$(sed -n 's/^port //p' "$WORK/cache.fake")
    rm -rf "$WORK/cache.state"
    mkdir -p "$WORK/cache.state"
    CARAVAN_NO_DISCOVERY=yes "$BUILD/bin/caravan" up "$TOP/models/caravan-demo.gguf" --threads 1 --cache on --listen 127.0.0.1:0 --api 127.0.0.1:0 \
        --state-dir "$WORK/cache.state" --ready-fd 3 --log-level info 3>"$WORK/cache.ready" >"$WORK/cache.log" 2>&1 &
    pid=$!
    children="$children $pid"
    wait_text "$pid" "$WORK/cache.log" 'is ready' || fail "caravan does not start" "see $WORK/cache.log"
    NODE_PORT=$(sed -n 's/.*"api": *\([0-9]*\).*/\1/p' "$WORK/cache.ready")
}
round() {
    {
        "$BUILD/bin/cache_time" --port "$FAKE_PORT" --model fake-model --requests 2000 --name whole &&
            "$BUILD/bin/cache_time" --port "$FAKE_PORT" --model fake-model --requests 2000 --stream --name stream &&
            "$BUILD/bin/cache_time" --port "$NODE_PORT" --requests 50 --name node
    } >"$WORK/out.cache" || fail "cache_time failed" "cache_time --port $FAKE_PORT --model fake-model"
    cat "$WORK/out.cache" >>"$VALUES"
}
report() {
    words "One client, one connection, kept and computed answers in turn. The backend without a model gives an answer of 16 tokens at once, so what stands"
    words "there is the gateway's own work; the demo model computes 24 tokens with one thread."
    figures "microseconds from request to answer"
    figure "kept, median" whole.hit " us" 200
    figure "kept, 99th percentile" whole.hit_p99 " us" 1000
    figure "kept, streamed, median" stream.hit " us" 200
    figure "computed without a model, median" whole.computed " us"
    figure "kept, in a node with the demo model, median" node.hit " us" 1000
    figure "computed by the demo model, median" node.computed " us"
    ratios
    ratio "computed without a model against kept" whole.computed whole.hit 1
    ratio "computed by the demo model against kept" node.computed node.hit 1
}
