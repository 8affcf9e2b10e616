/* SPDX-License-Identifier: MIT
 * Checks a grammar in GBNF before libllama sees it: libllama says what is wrong only on standard error, and a client deserves better.
 * Grammar of GBNF: llama.cpp, grammars/README.md. What passes here may still be refused there (left recursion, sizes). Pure, any thread. */
#ifndef CARAVAN_GRAMMAR_GBNF_H
#define CARAVAN_GRAMMAR_GBNF_H

#include "base/err.h"

enum { ENGINE_MAX_GRAMMAR = 256 * 1024, ENGINE_MAX_GRAMMAR_DEPTH = 64, ENGINE_MAX_GRAMMAR_REPEAT = 2000 };

/* ERR_INVALID: "grammar: line 3, column 7: expected ...", an unknown rule, no rule "root".
 * ERR_LIMIT: too long, too deep, too many rules, too often repeated. */
err_code gbnf_check(const char *text, struct err *e);

#endif
