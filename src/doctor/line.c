/* SPDX-License-Identifier: MIT
 * Fills in a line of the report: its verdict and text, and its hint. See doctor_priv.h. */
#include "doctor/doctor_priv.h"

#include <stdarg.h>
#include <stdio.h>

void doctor_say(struct doctor_line *l, enum doctor_verdict v, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    l->verdict = v;
    vsnprintf(l->text, sizeof(l->text), fmt, args);
    va_end(args);
}

void doctor_hint(struct doctor_line *l, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(l->hint, sizeof(l->hint), fmt, args);
    va_end(args);
}
