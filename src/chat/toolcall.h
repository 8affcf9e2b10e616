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

/* One call is: open, the call, close; all calls may stand in one section. The call takes one of these forms:
 * - JSON: {"name": ..., "arguments": {...}}, or an array of such objects;
 * - a name and JSON: the name as text up to name_end, then its arguments as a JSON object;
 * - a name and elements (key_open is set): key_open KEY key_close value_open VALUE value_close for each argument;
 * - a name and literals (assign is set): NAME name_end KEY assign VALUE, KEY assign VALUE arguments_end, as in Python's f(a='x', b=2).
 * A mark that is NULL is not written. Blanks may stand between all of these. */
struct toolcall_format {
    const char *name;
    const char *detect[2];
    const char *section_open, *section_close, *open, *close;
    const char *open_too;       /* another opening mark that models of this family write */
    const char *id_end;         /* the name's text begins with the call's id, which ends here */
    const char *name_end;       /* follows the name; NULL with key_open: the end of its line, or the next mark */
    const char *name_prefix;    /* before the name, not part of it */
    const char *name_cut;       /* the name ends here; the text from here to name_end has no meaning */
    const char *name_tail;      /* GBNF of the text from name_cut to name_end */
    const char *name_key, *arguments_key; /* what a grammar writes in JSON; NULL: "name", "arguments" */
    const char *key_open, *key_close, *value_open, *value_close;
    const char *type_open, *type_end; /* after key_close: an attribute that says whether the value is a string ("true", "string") */
    const char *assign, *arguments_end; /* literals: between key and value; after the last value */
    const char *quote;          /* literals: around a string, which then has no escapes; NULL: Python's quotes */
    const char *text_name;      /* what stands where a name could, when text for the reader follows instead of a call */
    const char *trigger;        /* what begins the lazy grammar; NULL: section_open, or open */
    const char *marks[TOOLCALL_MAX_MARKS]; /* further control tokens of the family: never shown */
    bool array;                 /* the calls are written as one array: of JSON, or of literals */
    bool bare;                  /* a call that names a tool, and is the whole answer, needs no opening mark */
    bool name_is_key;           /* JSON: {NAME: {...}} */
    bool list;                  /* literals: calls follow one another between open and close, on lines of their own */
    bool fence;                 /* literals: in a Markdown block of Python */
    bool nested;                /* elements: KEY is the tag's name, values may hold elements (output_nested.c) */
    bool value_lines;           /* values stand on lines of their own */
    bool section_each;          /* a section for each call */
    bool harmony;               /* the channels of gpt-oss: output_harmony.c */
    bool generic;               /* the template knows no tools: they are told in words */
    bool type_words;            /* type_open is followed by the name of a JSON type, else by "true" or "false" */
    bool owned;                 /* no row of the table: toolcall_format_free frees it and its texts */
    enum toolcall_ids ids;
};

struct toolcall_reasoning {
    const char *name, *open, *close;
    const char *detect[2];      /* texts that such a template holds, all of them; none: open or close */
    const char *frame[4];       /* control tokens around the answer's text: never shown */
    const char *answer_open, *answer_close; /* tags around the whole answer: not shown */
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
/* The caller owns the copy; a row of the table is its own copy. NULL is fine in both. */
const struct toolcall_format *toolcall_format_copy(const struct toolcall_format *f);
void toolcall_format_free(const struct toolcall_format *f);
/* Does the prompt end inside reasoning: has the template opened it already? */
bool toolcall_reasoning_open(const struct toolcall_reasoning *r, const char *prompt, size_t len);
/* Does the prompt end with the mark that opens a call? Then the answer may begin with a tool's name, or be a text. */
bool toolcall_call_open(const struct toolcall_format *f, const char *prompt, size_t len);

/* May a function be called this? (OpenAI: letters, digits, _ and -; models' own also use . and :) */
bool toolcall_name_valid(const char *name, size_t len);
/* A call's id: a function of (style, seed, number). MODEL needs none of it, and gets OpenAI's. */
void toolcall_make_id(enum toolcall_ids style, uint64_t seed, uint32_t number, char out[TOOLCALL_MAX_ID]);

#endif
