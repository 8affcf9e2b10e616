/* SPDX-License-Identifier: MIT
 * Texts of which several things are asked at once, as one grammar: the parts are followed side by side, as automata, and what leads to no
 * text that fits all of them is left out. For regular parts, and small ones: everything is bounded. Pure, any thread. */
#ifndef CARAVAN_GRAMMAR_PRODUCT_H
#define CARAVAN_GRAMMAR_PRODUCT_H

#include "base/buf.h"
#include "base/err.h"
#include "grammar/regex.h"

enum { PRODUCT_MAX_STATES = 3000, PRODUCT_MAX_TEXT = 96 * 1024, PRODUCT_MAX_STEPS = 3000000 };

/* Appends rules "p<number>-0" (the first) and so on to `rules`. shared: the text of the rules that the parts use. *ret_any false: nothing
 * fits, and nothing was appended. steps: how many it may take (with PRODUCT_MAX_STEPS, if that is less); it is lowered by those that it
 * took. ERR_LIMIT: more, or too many states. */
err_code product_write(const struct regex_part *parts, size_t n, const char *shared, unsigned number, uint64_t *steps, struct buf *rules,
                       bool *ret_any);

/* Does the text fit all parts? ERR_LIMIT: it took too many steps to say. */
err_code product_fits(const struct regex_part *parts, size_t n, const char *shared, const char *text, size_t len, bool *ret);

#endif
