# SPDX-License-Identifier: MIT
# The predictions of `caravan plan` beside published speeds (tables/published.def): nothing is measured on this machine.
# shellcheck shell=sh
begin() {
    [ -x "$BUILD/bin/plan_error" ] || fail "no \"$BUILD/bin/plan_error\"" "build first: make"
}
round() {
    "$BUILD/bin/plan_error" --rows | awk 'END { print "plan.rows", NR }' >>"$VALUES"
}
report() {
    words "Plans on paper against published speeds of single machines: the quotient of predicted and published. The figures of tables/hardware.def were tuned"
    words "on one half of the sources; the other half judges them. Nothing of this was measured on this machine."
    words ""
    "$BUILD/bin/plan_error" --markdown | while IFS= read -r line; do words "$line"; done
}
