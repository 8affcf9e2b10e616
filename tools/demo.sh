#!/bin/sh
# SPDX-License-Identifier: MIT
# `make demo`: three nodes on this machine's loopback, each too small for the model, answer a question together; then the split model is compared
# with the whole one, logit by logit. Leaves no process and no file. CARAVAN is the program, MODEL the model.
set -eu
caravan=${CARAVAN:-./caravan}
model=${MODEL:-models/caravan-demo.gguf}
memory=${MEMORY:-29M}
question=${1:-Why do llamas walk in a line?}
name=$(basename "$model" .gguf)
dir=$(mktemp -d "${TMPDIR:-/tmp}/caravan-demo.XXXXXX")
pids=

clean() {
    status=$?
    trap - EXIT INT TERM
    for pid in $pids; do kill -TERM "$pid" 2>/dev/null || :; done
    for pid in $pids; do wait "$pid" 2>/dev/null || :; done
    if [ "$status" -ne 0 ]; then
        echo "demo: something went wrong; the nodes said:" >&2
        tail -n 20 "$dir"/*.log >&2 2>/dev/null || :
    fi
    rm -rf "$dir"
    exit "$status"
}
trap clean EXIT
trap 'exit 130' INT TERM

# say TEXT: a heading
say() { if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then printf "\n\033[1m%s\033[0m\n" "$*"; else printf "\n%s\n" "$*"; fi; }

# start NAME ARGUMENT...: a node of that name; its ports are in $dir/NAME.ports
start() {
    node=$1
    shift
    "$caravan" up "$@" --name "$node" --memory "$memory" --threads 1 --batch 64 --ctx 512 --parallel 2 --listen 127.0.0.1:0 --api 127.0.0.1:0 \
        --key-file "$dir/cluster.key" --state-dir "$dir/$node" --ready-fd 3 3>"$dir/$node.ports" 2>"$dir/$node.log" &
    pids="$! $pids"
    wait_for "$dir/$node.ports" '"api"' "$node did not start"
}

# wait_for FILE PATTERN COMPLAINT: until the file has the pattern, at most 2 minutes
wait_for() {
    tries=0
    until grep -q "$2" "$1" 2>/dev/null; do
        tries=$((tries + 1))
        if [ "$tries" -gt 2400 ] || ! kill -0 "${pids%% *}" 2>/dev/null; then
            echo "demo: $3" >&2
            exit 1
        fi
        sleep 0.05
    done
}

# port NAME KEY: a port of that node
port() { sed "s/.*\"$2\":\([0-9]*\).*/\1/" "$dir/$1.ports"; }

say "Three nodes on this machine, each offering $memory; the model needs more"
start alpha "$model" --placement 3,3,2
start beta --peer "127.0.0.1:$(port alpha listen)"
start gamma --peer "127.0.0.1:$(port alpha listen)"
wait_for "$dir/alpha.log" 'is ready' 'the model was not loaded'
sed -n 's/^[-0-9:. ]* info  plan: //p' "$dir/alpha.log" | grep -v -e 'cannot place' -e '^placement names' -e '^hint' -e 'waits until it is known'

say "A question to the third node, through its OpenAI endpoint http://127.0.0.1:$(port gamma api)/v1"
printf '> %s\n' "$question"
"$caravan" run "$name" "$question" --api "127.0.0.1:$(port gamma api)" --stats --temperature 0

say "The same model whole and in three slices, through real stage processes and links, logit by logit"
"$caravan" verify "$model" --stages 3
