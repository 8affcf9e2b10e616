/* SPDX-License-Identifier: MIT
 * Grammars that hold a model to its tools: the names that there are, arguments by each tool's JSON schema, in the family's own form.
 * Where the choice is the model's, the grammar is lazy: it begins behind the family's opening mark (engine/trigger.h), and never inside
 * reasoning. Where a call is required, it holds from the beginning, with room for reasoning before the call. Pure. */
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
    const char *only;               /* this tool; NULL: any of them */
    bool required;                  /* else the model may call, and may not */
    bool single;                    /* at most one call */
    const char *answer;             /* GBNF of an answer that may come instead of a call; NULL: any text may */
    bool *partial;                  /* set where a schema can't be said wholly: its calls have to be checked; NULL: see below */
};

/* Sets p's grammar and when it begins; p has none before. It gets none where a call is the model's choice and has no mark to begin with.
 * A tool's schema that no grammar can express makes its arguments any JSON object, except where the tool is strict: ERR_UNSUPPORTED, naming
 * it. ERR_LIMIT: too many tools, or too big ones. */
err_code toolcall_grammar_make(const struct toolcall_wish *w, struct engine_sampling *p, struct err *e);

#endif
