/* SPDX-License-Identifier: MIT
 * Grammars in GBNF (llama.cpp, grammars/README.md), compiled to a small program that match.h runs. Compiling takes time and memory linear
 * in the text: repetitions are counted, not copied. Any thread. */
#ifndef CARAVAN_GRAMMAR_GBNF_H
#define CARAVAN_GRAMMAR_GBNF_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "grammar/program.h"

enum { GBNF_MAX_TEXT = 256 * 1024, GBNF_MAX_DEPTH = 64, GBNF_MAX_REPEAT = 1000000000 };

/* The number of the token with this text ("<|im_end|>"); negative: the vocabulary has none. */
typedef int32_t (*gbnf_token_fn)(void *user, const char *text, size_t len);

/* token: for <word> elements; NULL: accepts any word (for a program that is never run). ERR_INVALID: "grammar: line 3, column 7:
 * expected ...", an unknown rule or token, left recursion, no rule "root". ERR_LIMIT: too long, too deep, too many repetitions. */
err_code gbnf_compile(const char *text, gbnf_token_fn token, void *user, struct program **ret, struct err *e);
/* Would gbnf_compile accept it? */
err_code gbnf_check(const char *text, struct err *e);

#endif
