#!/bin/sh
# SPDX-License-Identifier: MIT
# Fails if a program of the sysroot build would load a library from outside the sysroot.  tools/check-libraries.sh PROGRAM SYSROOT
set -eu
program=$1
root=$2
loader=$(readelf -l "$program" | sed -n 's/.*program interpreter: \(.*\)\]/\1/p')
list=$("$loader" --list "$program")
printf '%s\n' "$list" | awk -v root="$root" '
    /linux-vdso|linux-gate/ { next }
    /not found/ { print "not found: " $1; bad++; next }
    { path = $2 == "=>" ? $3 : $1; count++; if (index(path, root) != 1) { print "from outside the sysroot: " path; bad++ } }
    END { printf "%d libraries, %d wrong\n", count, bad; exit bad || !count }'
