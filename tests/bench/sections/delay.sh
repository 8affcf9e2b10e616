# SPDX-License-Identifier: MIT
# The same decode with an emulated network between the stages, one way and rate in each direction; llama.cpp's RPC servers behind the same one.
# shellcheck shell=sh
NETS="200,1000 2000,300 20000,100"
# Weights travel through these networks once: a pair of servers for each, with a llama-server that keeps its connection.
begin() {
    model 1b
    SERVERS=
    for net in 0,0 $NETS; do
        start_rpc
        RPC_FAR=$RPC # without a network there is no relay, as for Caravan
        [ "${net%,*}" = 0 ] || rpc_behind "${net%,*}" "${net#*,}"
        say "delay: llama-server sends the weights to servers behind ${net%,*} us, ${net#*,} Mbit/s"
        server_start 1 "$DECODE" --rpc "$RPC_FAR" -ngl 99 -ts 1/1 -t 1 -tb 1
        SERVERS="$SERVERS ${net%,*},$SERVER_PORT"
    done
}
round() {
    for net in 0,0 $NETS; do
        us=${net%,*} mbit=${net#*,}
        ring "d$us" --stages 2 --decode "$DECODE" --streams 1,2,4 --delay-us "$us" --mbit "$mbit"
        chain "turns$us" --stages 2 --decode "$DECODE" --cores 2 --delay-us "$us"
        for server in $SERVERS; do
            [ "${server%,*}" != "$us" ] || server_ask "r$us" "${server#*,}" 1 "$DECODE"
        done
    done
}
report() {
    words "Decode, model 1b, 2 stages of 1 thread, every link behind a relay of our own (tests/relay): the delay is one way, the rate holds in"
    words "each direction of each connection. llama.cpp RPC is a llama-server with two RPC servers of one thread behind the same relays; without a network there is none."
    rates
    for net in 0,0 $NETS; do
        us=${net%,*} mbit=${net#*,}
        what=$(awk -v us="$us" -v mbit="$mbit" 'BEGIN { if (us == 0) print "no network"; else printf "%g ms, %s Mbit/s", us / 1000, mbit }')
        rate "**Caravan, $what: 1 stream**" "d$us.decode1"
        rate "Caravan, $what: 2 streams" "d$us.decode2"
        rate "Caravan, $what: 4 streams" "d$us.decode4"
        rate "llama.cpp RPC, $what: 1 stream" "r$us.decode1"
        rate "what 2 stages that take turns allow 1 stream, $what: their slices on two cores in turn, the delay between them" "turns$us.decode1"
    done
    ratios
    ratio "1 stream against llama.cpp RPC, no network" d0.decode1 r0.decode1 1.3
    ratio "1 stream against llama.cpp RPC, 0.2 ms" d200.decode1 r200.decode1
    ratio "1 stream against llama.cpp RPC, 2 ms" d2000.decode1 r2000.decode1 1.5
    ratio "1 stream against llama.cpp RPC, 20 ms" d20000.decode1 r20000.decode1
    ratio "1 stream against what 2 stages that take turns allow, no network" d0.decode1 turns0.decode1 0.95
    ratio "1 stream against what 2 stages that take turns allow, 2 ms" d2000.decode1 turns2000.decode1 0.95
    ratio "4 streams at 20 ms against 4 streams without a network" d20000.decode4 d0.decode4
}
