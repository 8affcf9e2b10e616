/* SPDX-License-Identifier: MIT
 * The reason of a verdict, and the count of the work that it takes. */
#include <stdarg.h>
#include <stdio.h>

#include "grammar/check_priv.h"

enum check_verdict check_say(struct check *c, enum check_verdict verdict, const char *fmt, ...) {
    char text[200];
    va_list args;
    if (c->quiet > 0 || c->why == NULL || c->why->len > 0 || verdict == CHECK_FITS) return verdict;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (c->path.len > 0) buf_printf(c->why, "at \"%.120s\": ", buf_cstr(&c->path));
    buf_append_str(c->why, text);
    return verdict;
}

bool check_work(struct check *c, size_t steps) {
    c->steps += steps < CHECK_MAX_STEPS ? (uint32_t)steps + 1 : CHECK_MAX_STEPS;
    return c->steps <= CHECK_MAX_STEPS;
}
