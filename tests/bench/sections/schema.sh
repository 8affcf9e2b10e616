# SPDX-License-Identifier: MIT
# Schemas made for this test in the shapes of public ones: how many are taken, and whether the texts that their grammars allow fit them.
# shellcheck shell=sh
SCHEMAS=600
SEED=1
begin() {
    command -v node >/dev/null 2>&1 || fail "no \"node\"" "it makes the schemas"
    [ -x "$BUILD/bin/schema_walk" ] || fail "no \"$BUILD/bin/schema_walk\"" "build first: make"
}
round() {
    node "$TOP/tests/bench/schemas.mjs" make "$SCHEMAS" "$SEED" >"$WORK/schemas.jsonl"
    before=$(date +%s%N)
    "$BUILD/bin/schema_walk" <"$WORK/schemas.jsonl" >"$WORK/out.schema" || fail "schema_walk failed" "schema_walk < $WORK/schemas.jsonl"
    put us_each $((($(date +%s%N) - before) / 1000 / SCHEMAS))
    node "$TOP/tests/bench/schemas.mjs" sum <"$WORK/out.schema" >"$WORK/sum.schema"
    while read -r name value; do put "$name" "$value"; done <"$WORK/sum.schema"
    SEED=$((SEED + SCHEMAS)) # other schemas each round, the same in each run
}
report() {
    words "$SCHEMAS schemas a round, of our own making: tools of agents, what zod and pydantic write, files of configuration, HTTP APIs, resources of clusters."
    words "A schema that a grammar can say only in part is taken, and what is written is checked. Four random texts under each grammar that says all."
    figures "schemas"
    figure "refused" refused " %" 1
    figure "said only in part, and checked" checked " %"
    figure "random texts under the grammars" texts ""
    figure "texts that do not fit their schema" wrong "" 0
    figure "time for a schema, its grammar and its texts" us_each " us"
}
