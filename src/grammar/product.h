/* SPDX-License-Identifier: MIT
 * Several conditions on one text as one grammar: the parts are followed side by side, as automata, and ways that lead to no text that
 * fits all of them are left out. For small regular parts: everything is bounded. Pure, any thread. */
#ifndef CARAVAN_GRAMMAR_PRODUCT_H
#define CARAVAN_GRAMMAR_PRODUCT_H

#include "base/buf.h"
#include "base/err.h"
#include "grammar/regex.h"

enum { PRODUCT_MAX_STATES = 3000, PRODUCT_MAX_TEXT = 96 * 1024, PRODUCT_MAX_STEPS = 3000000 };

/* Appends rules "p<number>-0" (the first) and so on to `rules`. shared: the text of the rules that the parts use. *ret_any false: no
 * text fits, and nothing was appended. steps: the limit (at most PRODUCT_MAX_STEPS count), lowered by the steps taken. ERR_LIMIT: too
 * many steps or states. */
err_code product_write(const struct regex_part *parts, size_t n, const char *shared, unsigned number, uint64_t *steps, struct buf *rules,
                       bool *ret_any);

/* Does the text fit all parts? ERR_LIMIT: that took too many steps. */
err_code product_fits(const struct regex_part *parts, size_t n, const char *shared, const char *text, size_t len, bool *ret);

#endif
