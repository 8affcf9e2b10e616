/* SPDX-License-Identifier: MIT
 * How a family of models writes its tool calls and its reasoning (tables/toolcalls.def, tables/reasonings.def), and which family a model
 * is of: told by its chat template's text. Values and pure functions; any thread. output.h reads what a model writes by these rows,
 * toolcall_grammar.h makes the grammars that hold it to them. */
#ifndef CARAVAN_CHAT_TOOLCALL_H
#define CARAVAN_CHAT_TOOLCALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TOOLCALL_MAX_MARKS = 8, TOOLCALL_MAX_NAME = 128, TOOLCALL_MAX_ID = 160, TOOLCALL_MAX_TOOLS = 512 };

enum toolcall_ids {
    TOOLCALL_IDS_OPENAI,        /* call_ and 24 characters */
    TOOLCALL_IDS_NINE,          /* 9 characters, as Mistral's templates want them */
    TOOLCALL_IDS_MODEL,         /* the model writes its own: what stands as name, uncut */
};

/* One call is: open, the call, close; all of them may stand in one section. The call is {"name": ..., "arguments": {...}} (or an array of
 * such), or, with name_end or key_open, the name as text and then its arguments: a JSON object, or with key_open one element for each:
 * key_open KEY key_close value_open VALUE value_close. What is NULL is not written. Blanks may stand between all of these. */
struct toolcall_format {
    const char *name;
    const char *detect[2];
    const char *section_open, *section_close, *open, *close;
    const char *name_end;       /* behind the name; NULL with key_open: the end of its line, or the next mark */
    const char *name_prefix;    /* before the name, not part of it */
    const char *name_cut;       /* the name ends here; what follows, up to name_end, is of no interest */
    const char *name_key, *arguments_key; /* what a grammar writes in JSON; NULL: "name", "arguments" */
    const char *key_open, *key_close, *value_open, *value_close;
    const char *trigger;        /* what begins the lazy grammar; NULL: section_open, or open */
    const char *marks[TOOLCALL_MAX_MARKS]; /* those of the texts above that are control tokens: never shown */
    bool array;                 /* the calls are written as one JSON array */
    bool bare;                  /* a JSON object that names a tool, and is the whole answer, is a call too */
    bool value_lines;           /* values stand on lines of their own */
    bool section_each;          /* a section for each call */
    bool harmony;               /* the channels of gpt-oss: output_harmony.c */
    bool generic;               /* the template knows no tools: they are told in words */
    enum toolcall_ids ids;
};

struct toolcall_reasoning {
    const char *name, *open, *close;
};

/* A tool that the client offers. */
struct toolcall_tool {
    const char *name, *description;  /* description may be NULL */
    const char *parameters;     /* JSON schema as text, NULL: no parameters are said */
    bool strict;                /* the schema is a promise: a part of it that cannot be kept is refused */
};

/* Never NULL: the row of templates that know no tools, at least. tmpl may be NULL. */
const struct toolcall_format *toolcall_detect(const char *tmpl);
const struct toolcall_reasoning *toolcall_detect_reasoning(const char *tmpl); /* NULL: none */
const struct toolcall_format *toolcall_format_named(const char *name);        /* NULL: no such row */
/* Does the prompt end inside reasoning: has the template opened it already? */
bool toolcall_reasoning_open(const struct toolcall_reasoning *r, const char *prompt, size_t len);

/* May a function be called this? (OpenAI: letters, digits, _ and -; models' own also use . and :) */
bool toolcall_name_valid(const char *name, size_t len);
/* A call's id: a function of (style, seed, number). MODEL needs none of it, and gets OpenAI's. */
void toolcall_make_id(enum toolcall_ids style, uint64_t seed, uint32_t number, char out[TOOLCALL_MAX_ID]);

#endif
