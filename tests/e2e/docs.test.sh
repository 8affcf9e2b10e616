#!/bin/sh
# SPDX-License-Identifier: MIT
# The commands in the documents. Blocks that are marked `sh run HOST` are run as they stand, in order, each document on hosts of its own
# (network namespaces on one bridge, a home folder each, with the demo model as model.gguf and on a hub under the names of large ones);
# `sh run HOST up`: with a node that runs. Commands in blocks marked `sh shown` and in `marks` must be ones that the program takes. Needs root.
set -eu
unset CARAVAN_NO_DISCOVERY XDG_CONFIG_HOME XDG_STATE_HOME XDG_CACHE_HOME
hosts="h1 h2 h3"
subnet=10.85.0
. "$CARAVAN_SOURCE/tests/e2e/lib/hosts.sh"
all_on_bridge
command -v curl >/dev/null || { echo "skipped: no curl on this machine"; exit 77; }
command -v node >/dev/null || { echo "skipped: no node on this machine"; exit 77; }
fail() {
    echo "not ok - $1"
    exit 1
}

# ---- what the documents say ----
# cut DOCUMENT FOLDER: each block to run as FOLDER/NUMBER.HOST; all other commands of Caravan, a line each, in FOLDER/shown.
cut_document() {
    awk -v out="$2" '
    function show(line) {
        gsub(/[ \t]+#.*$/, "", line)
        sub(/-u caravan /, "", line) # a user of that name
        gsub(/ [|>&;].*$/, "", line)
        if (match(line, /(^|[ ])(\.\/)?caravan [a-z]/))
            print substr(line, RSTART) >(out "/shown")
    }
    /^```/ && !inside {
        inside = 1
        mark = $0
        if ($4 == "up") print "caravan up model.gguf" >sprintf("%s/%02d.%s", out, ++n, $3)
        if (mark ~ /^```sh run /) file = sprintf("%s/%02d.%s", out, ++n, $3)
        next
    }
    /^```/ { inside = 0; if (mark ~ /^```sh run /) close(file); next }
    inside && mark ~ /^```sh run / { print >file; next }
    inside && mark ~ /^```sh shown/ { line = line $0; if (sub(/\\$/, "", line)) next; show(line); line = ""; next }
    inside { next }
    { count = split($0, part, "`"); for (i = 2; i <= count; i += 2) if (part[i] ~ /^(\.\/)?caravan [a-z]/) show(part[i]) }' "$1"
}

# ---- commands that are only shown: the program takes their words ----
checked=0
check_shown() { # document, file
    while IFS= read -r line; do
        line=$(printf '%s\n' "$line" | sed 's/^ *//; s|^\./||; s/ N\>/ 1/g; s/ DAY\>/ 2026-11-01/g; s/ \[[A-Z.]*\]//g; s/ \.\.\.//g')
        eval "set -- $line"
        shift
        "$CARAVAN" "$@" --help >/dev/null 2>refused || { cat refused; fail "$1: \`$line\` of $document is taken"; }
        checked=$((checked + 1))
    done <"$2"
}

# ---- the hosts' programs ----
# caravan: the program, but a node goes on in the background once its ports are open, CODE is what the first host invites with, and a machine
# that leaves has ended its node, as the text around says. curl: fails where the answer is an error.
mkdir bin
cat >bin/caravan <<'END'
#!/bin/sh
case $1 in
up)
    "$CARAVAN" "$@" --ready-fd 3 3>"$HOME/ready" >>"$HOME/log" 2>&1 &
    echo $! | tee -a "$PIDS" >"$HOME/pid"
    tries=1200
    until grep -q '"api"' "$HOME/ready" 2>/dev/null; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] && kill -0 "$(cat "$HOME/pid")" || exit 1
        sleep 0.1
    done
    exit 0
    ;;
join)
    [ "$2" != CODE ] || set -- join "$(ip netns exec "$FIRST_HOST" env HOME="$FIRST_HOME" "$CARAVAN" invite | sed 's/.* //')"
    ;;
leave)
    kill "$(cat "$HOME/pid")"
    while grep -qs '^State:.[^Z]' "/proc/$(cat "$HOME/pid")/status"; do sleep 0.1; done
    ;;
esac
exec "$CARAVAN" "$@"
END
printf '#!/bin/sh\nexec %s -fsS "$@"\n' "$(command -v curl)" >bin/curl
chmod +x bin/*
clean() {
    [ ! -f pids ] || while read -r pid; do kill -9 "$pid" 2>/dev/null || true; done <pids
}
PATH=$CARAVAN_TMP/bin:$PATH
ip netns exec "$ns-h1" node "$CARAVAN_SOURCE/tests/e2e/lib/hub_alone.mjs" "$subnet.1" >hub 2>&1 &
pids="$pids $!"
until_true "the hub answers" grep -q http hub
HF_ENDPOINT=$(cat hub)
export PATH HF_ENDPOINT PIDS="$CARAVAN_TMP/pids"
export FIRST_HOST="$ns-h1" CARAVAN_THREADS=1 CARAVAN_MEMORY=64M CARAVAN_CTX=512

# ---- each document on hosts of its own ----
# The namespace of a document's host: the first one that it names is h1.
place() { # host
    number=0
    for known in $names; do
        number=$((number + 1))
        [ "$known" != "$1" ] || { echo h$number; return; }
    done
    echo none
}
run_block() { # file
    host=${1##*.}
    home=$folder/$host
    if [ "$(place "$host")" = none ]; then
        names="$names $host"
        mkdir -p "$home"
        ln -s "$CARAVAN_TMP/bin/caravan" "$home/caravan"
        cp "$CARAVAN_SOURCE/models/caravan-demo.gguf" "$home/model.gguf"
        [ -n "$FIRST_HOME" ] || FIRST_HOME=$home
    fi
    (cd "$home" && in_host "$(place "$host")" env HOME="$home" FIRST_HOME="$FIRST_HOME" CARAVAN_NAME="$host" timeout 240 sh -eux "$1") \
        >said 2>&1 </dev/null || {
        cat said
        tail -n 30 "$folder"/*/log
        fail "$document: the block for $host runs: $(head -n 1 "$1")"
    }
}
end_nodes() {
    [ -f "$PIDS" ] || return 0
    while read -r pid; do kill "$pid" 2>/dev/null || true; done <"$PIDS"
    while read -r pid; do
        while grep -qs '^State:.[^Z]' "/proc/$pid/status"; do sleep 0.1; done
    done <"$PIDS"
    rm -f "$PIDS"
}

blocks=0
for file in "$CARAVAN_SOURCE"/*.md "$CARAVAN_SOURCE"/docs/*.md "$CARAVAN_SOURCE"/docs/howto/*.md; do
    document=${file#"$CARAVAN_SOURCE/"}
    case $document in docs/OPTIONS.md | docs/PROTOCOL.md) continue ;; esac
    [ -z "${CARAVAN_TEST:-}" ] || [ -z "${document##*"$CARAVAN_TEST"*}" ] || continue
    folder=$CARAVAN_TMP/$(echo "$document" | tr / -)
    names='' FIRST_HOME=''
    mkdir -p "$folder"
    : >"$folder/shown"
    cut_document "$file" "$folder"
    check_shown "$document" "$folder/shown"
    n=0
    for block in "$folder"/[0-9][0-9].*; do
        [ -f "$block" ] || continue
        run_block "$block"
        n=$((n + 1))
    done
    end_nodes
    blocks=$((blocks + n))
    [ $n = 0 ] || echo "ok - $document: $n blocks on$names"
done
echo "ok - $checked commands that are only shown are taken, $blocks blocks ran"
[ -n "${CARAVAN_TEST:-}" ] || { [ "$checked" -ge 60 ] && [ "$blocks" -ge 20 ]; }
