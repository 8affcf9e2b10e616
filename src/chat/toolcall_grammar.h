/* SPDX-License-Identifier: MIT
 * Grammars that make a model call its tools correctly: with names of tools that exist, with arguments by each tool's JSON schema, in the
 * family's own form. If a call is the model's choice, the grammar is lazy: it begins after the family's opening mark (engine/trigger.h),
 * and never inside reasoning. If a call is required, it holds from the beginning, with room for reasoning before the call. Pure. */
#ifndef CARAVAN_CHAT_TOOLCALL_GRAMMAR_H
#define CARAVAN_CHAT_TOOLCALL_GRAMMAR_H

#include "base/err.h"
#include "engine/params.h"
#include "chat/toolcall.h"

struct toolcall_wish {
    const struct toolcall_format *format;
    const struct toolcall_reasoning *reasoning; /* NULL: the model has none */
    bool reasoning_open;            /* the prompt ends inside it */
    bool call_open;                 /* the prompt ends with the mark that opens a call */
    const struct toolcall_tool *tools;
    size_t n_tools;
    const char *only;               /* the tool that may be called; NULL: any of them */
    bool required;                  /* else a call is the model's choice */
    bool single;                    /* at most one call */
    const char *answer;             /* GBNF of the answer that the model may give instead of a call; NULL: any text */
    bool *partial; /* set if the grammar enforces only a part of a schema, so calls have to be checked; NULL: see below */
};

/* Sets p's grammar and when it begins; p has none before. It gets none if a call is the model's choice and begins without a mark.
 * A tool's schema that no grammar can express makes its arguments any JSON object, except where the tool is strict: ERR_UNSUPPORTED, naming
 * it. ERR_LIMIT: too many tools, or too big ones. */
err_code toolcall_grammar_make(const struct toolcall_wish *w, struct engine_sampling *p, struct err *e);

#endif
