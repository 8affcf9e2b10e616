#!/bin/sh
# SPDX-License-Identifier: MIT
# Templates as Python's Jinja2 renders them and as src/jinja does: the written cases, the families, random ones (lib/jinja_judge.py).
set -u
for python in python3 /usr/bin/python3; do
    "$python" -c 'import jinja2' 2>/dev/null || continue
    exec "$python" -B "$CARAVAN_SOURCE/tests/e2e/lib/jinja_judge.py" check "$CARAVAN_BUILD/bin/jinja_render" 1 2000
done
echo "skipped: no python3 with jinja2 (Debian: python3-jinja2)"
exit 77
