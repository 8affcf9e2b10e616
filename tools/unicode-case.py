#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Writes tables/unicode.def from Python's own tables of Unicode: tools/unicode-case.py > tables/unicode.def
import unicodedata

LAST = 0x110000
FIRST = 0x80  # ASCII is in the code


def characters():
    return (c for c in range(FIRST, LAST) if not 0xD800 <= c < 0xE000)


def changes(convert):
    """(first, last, step, difference) of characters that become one other."""
    pairs = [(c, ord(convert(chr(c))) - c) for c in characters() if len(convert(chr(c))) == 1 and convert(chr(c)) != chr(c)]
    at = 0
    while at < len(pairs):
        best_end, best_step = at, 1
        for step in (1, 2):
            end = at
            while end + 1 < len(pairs) and pairs[end + 1] == (pairs[end][0] + step, pairs[at][1]):
                end += 1
            if end > best_end:
                best_end, best_step = end, step
        yield pairs[at][0], pairs[best_end][0], best_step, pairs[at][1]
        at = best_end + 1


def runs(belongs):
    start = None
    for c in range(FIRST, LAST + 1):
        if c < LAST and belongs(c):
            start = c if start is None else start
        elif start is not None:
            yield start, c - 1
            start = None


def write(name, rows):
    line = ""
    for row in rows:
        text = name + "(" + ", ".join(hex(v) if i < 2 or name == "MANY" else str(v) for i, v in enumerate(row)) + ")"
        if len(line) + len(text) > 135:
            print(line.rstrip())
            line = ""
        line += text + " "
    print(line.rstrip())


def several(c):
    return [ord(u) for u in chr(c).upper()] + [0] * (3 - len(chr(c).upper()))


hidden = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp", "Zs")
print("/* SPDX-License-Identifier: MIT")
print(" * Unicode beyond ASCII, written by tools/unicode-case.py; in order of the code points.")
print(" * LOWER, UPPER(first, last, step, difference): each step-th of them becomes one that much further, in that case.")
print(" * MANY(code point, a, b, c): what becomes two or three characters in upper case (c: 0 for none).")
print(" * HIDDEN(first, last): what repr() writes as a number.  DIGITS(first): ten digits from there on.")
print(" * A reader defines the macro that it wants. */")
for macro in ("LOWER", "UPPER", "MANY", "HIDDEN", "DIGITS"):
    print(f"#ifndef {macro}\n#define {macro}(...)\n#endif")
write("LOWER", changes(str.lower))
write("UPPER", changes(str.upper))
write("MANY", ([c] + several(c) for c in characters() if len(chr(c).upper()) > 1))
write("HIDDEN", runs(lambda c: unicodedata.category(chr(c)) in hidden))
write("DIGITS", ([c] for c in characters() if unicodedata.category(chr(c)) == "Nd" and unicodedata.digit(chr(c)) == 0))
for macro in ("LOWER", "UPPER", "MANY", "HIDDEN", "DIGITS"):
    print(f"#undef {macro}")
