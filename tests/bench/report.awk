# SPDX-License-Identifier: MIT
# A section's values (name number, one a round) and its report (lib.sh: words, rate, ratio, figure) to Markdown: medians, lowest and highest.
function sorted(name,    i, j, v, n) { # fills s[1..n]
    n = count[name]
    for (i = 1; i <= n; i++) {
        v = value[name, i]
        for (j = i - 1; j >= 1 && s[j] > v; j--) s[j + 1] = s[j]
        s[j + 1] = v
    }
    return n
}
function median(name,    n) {
    n = sorted(name)
    return n == 0 ? 0 : n % 2 ? s[(n + 1) / 2] : (s[n / 2] + s[n / 2 + 1]) / 2
}
# The ratio of two names in each round, as a series of its own.
function divide(a, b,    i, name) {
    name = a "/" b
    if (name in count) return name
    count[name] = count[a] < count[b] ? count[a] : count[b]
    for (i = 1; i <= count[name]; i++) value[name, i] = value[b, i] > 0 ? value[a, i] / value[b, i] : 0
    return name
}
function spread(name, form,    n) {
    n = sorted(name)
    return n == 0 ? "not measured" : sprintf(form " to " form, s[1], s[n])
}
# Four digits, and large numbers whole.
function plain(v) { return sprintf(v >= 1000 || v <= -1000 ? "%.0f" : "%.4g", v) }
function spread_plain(name,    n) {
    n = sorted(name)
    return n == 0 ? "not measured" : plain(s[1]) " to " plain(s[n])
}
function met(ok, target, name) { return target == "" ? "" : count[name] == 0 ? "no" : ok ? "yes" : "no" }
NR == FNR { count[$1]++; value[$1, count[$1]] = $2; next }
{ split($0, f, "|") }
f[1] == "words" { print substr($0, 7); next }
f[1] == "rate" { printf "| %s | %.1f | %s |\n", f[2], median(f[3]), spread(f[3], "%.1f"); next }
f[1] == "ratio" {
    name = divide(f[3], f[4])
    m = median(name)
    printf "| %s | %.2fx | %s | %s | %s |\n", f[2], m, spread(name, "%.2f"), f[5] == "" ? "" : f[5] "x", met(m >= f[5] + 0, f[5], name)
    next
}
f[1] == "figure" {
    m = median(f[3])
    printf "| %s | %s%s | %s | %s | %s |\n", f[2], plain(m), f[4], spread_plain(f[3]), f[5] == "" ? "" : "at most " f[5] f[4], met(m <= f[5] + 0, f[5], f[3])
}
f[1] == "stage" {
    printf "| %s | %.2f | %.2f | %.0f |\n", f[2], median(f[3] ".compute_ms"), median(f[3] ".wait_ms"), median(f[3] ".hop_us")
}
