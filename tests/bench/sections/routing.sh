# SPDX-License-Identifier: MIT
# Routing: the gateway's own cost beside nginx and llama-server, kept answers, two replicas, prompts that begin alike, and a trace of arrivals.
# Environment: WRK_S (5) seconds of each run of wrk; ARRIVALS_S (600) seconds of arrivals. Without wrk or nginx their part is left out.
# shellcheck shell=sh
begin() {
    for program in gateway_fake gateway_bench cache_time; do
        [ -x "$BUILD/bin/$program" ] || fail "no \"$BUILD/bin/$program\"" "build first: make"
    done
    command -v node >/dev/null 2>&1 || fail "no node" "install Debian's package nodejs"
    if [ "${QUICK:-0}" = 1 ]; then
        WRK_S=${WRK_S:-1} ARRIVALS_S=${ARRIVALS_S:-30}
    else
        WRK_S=${WRK_S:-5} ARRIVALS_S=${ARRIVALS_S:-600}
    fi
    # What is measured has one core, who measures another one.
    SERVER='' CLIENT=''
    if command -v taskset >/dev/null 2>&1 && [ "$(getconf _NPROCESSORS_ONLN)" -gt 1 ]; then SERVER='taskset -c 0' CLIENT='taskset -c 1'; fi
    HOME_DIR=$WORK/routing
    rm -rf "$HOME_DIR"
    mkdir -p "$HOME_DIR"
    start_fakes
    NGINX=$(PATH=$PATH:/usr/sbin command -v nginx || :)
    WRK=$(command -v wrk || :)
    if [ -n "$WRK" ] && [ -n "$NGINX" ]; then
        start_nginx
        start_node cloud "$TOP/models/caravan-demo.gguf" --routes "$HOME_DIR/routes.json"
        start_llama
    else
        say "routing: wrk and nginx are not there: the gateway's cost is left out (install Debian's packages wrk and nginx-light)"
    fi
    memory_for_beginnings
    start_node pair1 "$TOP/models/caravan-demo.gguf" --replicas 2
    PAIR=$API
    start_node pair2 --peer "127.0.0.1:$LISTEN"
    start_node one "$TOP/models/caravan-demo.gguf"
    ONE=$API
    start_node other "$TOP/models/caravan-demo.gguf"
    OTHER=$API
    client ready "$PAIR" 2 && client ready "$ONE" 1 && client ready "$OTHER" 1 || fail "the nodes do not become ready" "see $HOME_DIR/*.log"
}

# Memory for the model, and beside it for the states of 6,000 tokens: five of the eight beginnings, which have about 1,140 tokens each. So what a copy
# keeps of them lies in its four slots, where other requests need room too, and in this memory.
memory_for_beginnings() {
    plan=$("$BUILD/bin/caravan" plan "$TOP/models/caravan-demo.gguf" --ctx 2048 --parallel 4 --json) || fail "caravan plan failed" "caravan plan $TOP/models/caravan-demo.gguf"
    whole=$(printf '%s\n' "$plan" | sed 's/.*"whole_bytes":\([0-9]*\).*/\1/') # echo would make lines of what is escaped in texts
    cells=$(printf '%s\n' "$plan" | sed 's/.*"kv_bytes":\([0-9]*\).*/\1/')
    MEMORY=$((whole + cells / 8192 * 1500 * 4))
}

client() { ${CLIENT_PIN:-} node "$TOP/tests/bench/routing.mjs" "$@"; }

# A node of a cluster of its own, unless it has a peer: start_node NAME arguments; sets API, LISTEN.
start_node() {
    name=$1
    shift
    cluster=$name
    case "$*" in *--peer*) cluster=pair1 ;; esac
    : >"$HOME_DIR/$name.ready"
    CARAVAN_NO_DISCOVERY=yes "$BUILD/bin/caravan" up "$@" --name "$name" --threads 1 --parallel 4 --ctx 2048 --memory "${MEMORY:-256M}" --listen 127.0.0.1:0 --api 127.0.0.1:0 \
        --key-file "$HOME_DIR/$cluster.key" --state-dir "$HOME_DIR/$name" --ready-fd 3 --log-level info 3>"$HOME_DIR/$name.ready" >"$HOME_DIR/$name.log" 2>&1 &
    pid=$!
    children="$children $pid"
    wait_text "$pid" "$HOME_DIR/$name.ready" listen || fail "caravan does not start" "see $HOME_DIR/$name.log"
    API=$(sed -n 's/.*"api": *\([0-9]*\).*/\1/p' "$HOME_DIR/$name.ready")
    LISTEN=$(sed -n 's/.*"listen": *\([0-9]*\).*/\1/p' "$HOME_DIR/$name.ready")
    eval "API_$name=$API PID_$name=$pid"
}

start_fakes() {
    for cache in off on; do
        : >"$HOME_DIR/fake.$cache"
        FAKE_CACHE=$cache $SERVER "$BUILD/bin/gateway_fake" 0 >"$HOME_DIR/fake.$cache" 2>&1 &
        pid=$!
        children="$children $pid"
        wait_text "$pid" "$HOME_DIR/fake.$cache" '^port' || fail "gateway_fake does not start" "see $HOME_DIR/fake.$cache"
        eval "PID_$cache=$pid"
        eval "FAKE_$cache=\$(sed -n 's/^port //p' '$HOME_DIR/fake.$cache')"
    done
}

# A server that answers at once, with one core; and a proxy before it, with the other one, as the gateway has it.
start_nginx() {
    free_port
    BACKEND=$port
    free_port
    PROXY=$port
    event='data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"},\"finish_reason\":\"stop\"}]}'
    common="daemon off; worker_processes 1; error_log $HOME_DIR/nginx.log; events { worker_connections 1024; }"
    files='default_type text/event-stream; keepalive_requests 1000000000;'
    for part in client_body proxy fastcgi uwsgi scgi; do files="$files ${part}_temp_path $HOME_DIR/nginx-$part;"; done
    {
        printf '%s pid %s;\nhttp { %s\n' "$common" "$HOME_DIR/backend.pid" "$files"
        printf 'access_log off; server { listen 127.0.0.1:%s; location / { return 200 "%s\\n\\ndata: [DONE]\\n\\n"; } } }\n' "$BACKEND" "$event"
    } >"$HOME_DIR/backend.conf"
    {
        printf '%s pid %s;\nhttp { %s\n' "$common" "$HOME_DIR/proxy.pid" "$files"
        printf 'access_log %s;\n' "$HOME_DIR/access.log"
        printf 'upstream back { server 127.0.0.1:%s; keepalive 128; }\n' "$BACKEND"
        printf 'server { listen 127.0.0.1:%s; location / { proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection ""; } } }\n' "$PROXY"
    } >"$HOME_DIR/proxy.conf"
    $CLIENT "$NGINX" -c "$HOME_DIR/backend.conf" 2>"$HOME_DIR/backend.err" &
    children="$children $!"
    $SERVER "$NGINX" -c "$HOME_DIR/proxy.conf" 2>"$HOME_DIR/proxy.err" &
    PID_proxy=$!
    children="$children $PID_proxy"
    printf '{"upstreams": {"back": {"url": "http://127.0.0.1:%s/v1"}}, "models": {"fast": {"targets": [{"upstream": "back", "model": "x"}]}}}\n' "$BACKEND" \
        >"$HOME_DIR/routes.json"
    cat >"$HOME_DIR/post.lua" <<'END'
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
function init(args) wrk.body = args[1] end
END
}

start_llama() {
    free_port
    LLAMA=$port
    (llama "exec $SERVER" "$LLAMA_SERVER" -m "$TOP/models/caravan-demo.gguf" --host 127.0.0.1 --port "$LLAMA" -t 1 -c 512 --no-webui) >"$HOME_DIR/llama.log" 2>&1 &
    pid=$!
    PID_llama=$pid
    children="$children $pid"
    wait_text "$pid" "$HOME_DIR/llama.log" 'listening on' || fail "llama-server does not start" "see $HOME_DIR/llama.log"
}

# Processor time of a process and its children, in nanoseconds.
cpu_ns() {
    for of in "$1" $(cat "/proc/$1/task/$1/children" 2>/dev/null); do cat "/proc/$of/task"/*/schedstat 2>/dev/null; done | awk '{ sum += $1 } END { printf "%.0f\n", sum }'
}

# load NAME PID PORT PATH [BODY]: NAME.rps.N and NAME.p99.N (microseconds) for N connections, and NAME.core.N: requests in a second of the
# server's processor time, which other work of the machine disturbs least.
load() {
    server=$2
    name=$1
    shift 2
    set -- "$name" "$@"
    for connections in 1 10 100; do
        cpu=$(cpu_ns "$server")
        if [ $# -gt 3 ]; then
            $CLIENT "$WRK" -t1 "-c$connections" "-d${WRK_S}s" --latency -s "$HOME_DIR/post.lua" "http://127.0.0.1:$2$3" -- "$4" >"$HOME_DIR/wrk.$1" 2>&1
        else
            $CLIENT "$WRK" -t1 "-c$connections" "-d${WRK_S}s" --latency "http://127.0.0.1:$2$3" >"$HOME_DIR/wrk.$1" 2>&1
        fi || fail "wrk failed" "see $HOME_DIR/wrk.$1"
        ! grep -q 'Non-2xx' "$HOME_DIR/wrk.$1" || fail "wrk got errors of $1" "see $HOME_DIR/wrk.$1"
        awk -v name="$1" -v n="$connections" -v cpu="$(($(cpu_ns "$server") - cpu))" '
            function us(t) { return t ~ /us$/ ? t + 0 : t ~ /ms$/ ? t * 1000 : t * 1000000 }
            $2 == "requests" && $3 == "in" { requests = $1 }
            END { if (cpu > 0) print name ".core." n, requests / cpu * 1e9 }
            $1 == "99%" { print name ".p99." n, us($2) }
            $1 == "Requests/sec:" { print name ".rps." n, $2 }' "$HOME_DIR/wrk.$1" >>"$VALUES"
    done
}

# closed NAME PORT [PORT]: tokens a second of eight clients.
closed() {
    name=$1
    shift
    client closed 8 64 10 "$@" >"$HOME_DIR/out" && put "$name" "$(cat "$HOME_DIR/out")" || fail "a request failed" "see $HOME_DIR/*.log"
}

put_beginnings() {
    read -r first computed <"$HOME_DIR/out"
    put "prefix.$1" "$first"
    put "prefix.$1.computed" "$computed"
}

round() {
    if [ -n "$WRK" ] && [ -n "$NGINX" ]; then
        body='{"model":"fake-model","messages":[{"role":"user","content":"@@{\"pieces\":[\"Hello\"]}@@"}]}'
        load own "$PID_off" "$FAKE_off" /v1/chat/completions "$body"
        put own.memory "$(awk '$1 == "VmHWM:" { print $2 / 1024 }' "/proc/$PID_off/status")"
        load nginx "$PID_proxy" "$PROXY" /v1/chat/completions '{"model":"fast","messages":[{"role":"user","content":"Hi"}]}'
        # shellcheck disable=SC2154
        load cloud "$PID_cloud" "$API_cloud" /v1/chat/completions '{"model":"fast","messages":[{"role":"user","content":"Hi"}]}'
        load health "$PID_llama" "$LLAMA" /health
        load models "$PID_llama" "$LLAMA" /v1/models
    fi
    $CLIENT "$BUILD/bin/gateway_bench" --port "$FAKE_off" --streams 10 --requests 2000 --max 4 --body '"model":"fake-model"' --prompt '@@{\"pieces\":[\"a\"],\"repeat\":4}@@' --name first >"$HOME_DIR/first" ||
        fail "gateway_bench failed" "gateway_bench --port $FAKE_off"
    while read -r name value _; do put "$name" "$value"; done <"$HOME_DIR/first"
    $CLIENT "$BUILD/bin/cache_time" --port "$FAKE_on" --model fake-model --requests 2000 --name whole >>"$VALUES" || fail "cache_time failed" "cache_time --port $FAKE_on"
    closed copies.one "$ONE"
    closed copies.two "$PAIR"
    closed copies.limit "$ONE" "$OTHER"
    client prefixes "$n" "$ONE" "$OTHER" >"$HOME_DIR/out" && put_beginnings robin || fail "a request failed" "see $HOME_DIR/*.log"
    client prefixes "$n" "$PAIR" >"$HOME_DIR/out" && put_beginnings aware || fail "a request failed" "see $HOME_DIR/*.log"
    [ "$n" -gt 1 ] || client arrivals "$PAIR" "$ARRIVALS_S" >>"$VALUES" || fail "the trace of arrivals failed" "see $HOME_DIR/*.log"
}

report() {
    if [ -n "$WRK" ] && [ -n "$NGINX" ]; then
        words "The gateway's own cost: wrk asks for chat/completions, not streamed, on connections that stay open, with one core; what is measured has the"
        words "other core. *The gateway* has a backend in its own process that answers at once; *an upstream* is a node that asks another server (nginx, which"
        words "answers at once, on wrk's core), and translates its stream; *nginx* is a proxy before the same server. Each of these writes a line of its log for"
        words "each request, as it does by default. llama-server answers its own GET requests."
        words ""
        words "| requests a second | median | spread |"
        words "|---|---|---|"
        for connections in 1 10 100; do
            rate "**the gateway, $connections connections**" "own.rps.$connections"
            rate "**the gateway with an upstream, $connections connections**" "cloud.rps.$connections"
            rate "nginx, $connections connections" "nginx.rps.$connections"
            rate "llama-server's /health, $connections connections" "health.rps.$connections"
            rate "llama-server's /v1/models, $connections connections" "models.rps.$connections"
        done
        words ""
        words "| requests in a second of the server's processor time | median | spread |"
        words "|---|---|---|"
        for connections in 1 10 100; do
            rate "**the gateway, $connections connections**" "own.core.$connections"
            rate "the gateway with an upstream, $connections connections" "cloud.core.$connections"
            rate "nginx, $connections connections" "nginx.core.$connections"
            rate "llama-server's /v1/models, $connections connections" "models.core.$connections"
        done
        figures "the slowest hundredth of the requests took more than"
        for connections in 1 10 100; do
            figure "the gateway, $connections connections" "own.p99.$connections" " us" "$([ "$connections" = 100 ] || echo 1000)"
            figure "the gateway with an upstream, $connections connections" "cloud.p99.$connections" " us"
            figure "nginx, $connections connections" "nginx.p99.$connections" " us"
        done
        figures "memory"
        figure "the gateway, after these requests, at its most" own.memory " MiB" 30
        ratios
        for connections in 1 10 100; do
            ratio "the gateway's requests a second against nginx's, $connections connections" "own.rps.$connections" "nginx.rps.$connections" 0.5
            ratio "the same by processor time" "own.core.$connections" "nginx.core.$connections" 0.5
            ratio "with an upstream, by processor time" "cloud.core.$connections" "nginx.core.$connections"
            ratio "the gateway against llama-server's /v1/models, by processor time" "own.core.$connections" "models.core.$connections"
        done
    else
        words "wrk and nginx were not there: the gateway's cost beside nginx was not measured."
    fi
    words ""
    words "A first token on its way: ten clients stream from the backend that answers at once. A kept answer: one client, an answer of 16 tokens."
    figures "added by the gateway"
    figure "ms to the first text, 10 clients, median" first.ttft_p50 " ms" 1
    figure "a kept answer, median" whole.hit " us" 200
    figure "a kept answer, 99th percentile" whole.hit_p99 " us" 1000
    words ""
    words "Real nodes with the demo model, one thread each, four requests at a time: eight clients ask again and again for 64 tokens; and eight"
    words "beginnings of 1,000 words are asked for in random order by four clients, of two copies that the gateway chooses among, or of two nodes in turn."
    words "Each node has memory to store five of the beginnings, beside those that it works on. Four clients are fewer than the eight places of two copies, so"
    words "a first text waits for computing, not for a place. These processes share two cores with their clients."
    figures "tokens a second, ms, or tokens of prompts"
    figure "one copy" copies.one " tokens/s"
    figure "two copies" copies.two " tokens/s"
    figure "two nodes that know nothing of each other, each with half of the clients" copies.limit " tokens/s"
    figure "first text of 9 of 10 requests, two nodes in turn" prefix.robin " ms"
    figure "first text of 9 of 10 requests, the gateway chooses" prefix.aware " ms"
    figure "tokens that had to be computed, two nodes in turn" prefix.robin.computed " %"
    figure "tokens that had to be computed, the gateway chooses" prefix.aware.computed " %"
    ratios
    ratio "two copies against one, tokens a second" copies.two copies.one 1.9
    ratio "the limit of these cores: two such nodes against one" copies.limit copies.one
    ratio "two copies against that limit" copies.two copies.limit 0.95
    ratio "in turn against chosen, first text" prefix.robin prefix.aware 3
    words ""
    words "Arrivals for $ARRIVALS_S s at 80 % of what the two copies were measured to answer: bursty (a gamma distribution of order 1/4, so the pauses vary twice as"
    words "much as those of independent arrivals), prompts and answers of log-normal length, always the same trace. A wait counts against its prediction as (waited + 0.25 s) /"
    words "(predicted + 0.25 s). This was run once."
    figures "arrivals"
    figure "requests" arrivals.requests ""
    figure "errors" arrivals.errors "" 0
    figure "wait against its prediction, 95th percentile" arrivals.ratio_p95 "x" 2
    figure "wait, median" arrivals.wait_p50 " s"
    figure "wait, 95th percentile" arrivals.wait_p95 " s"
}
