/* SPDX-License-Identifier: MIT
 * How a family of models writes its tool calls and its reasoning (tables/toolcalls.def, tables/reasonings.def). The text of a model's chat
 * template tells its family. Values and pure functions; any thread. output.h reads a model's text by these rows, and toolcall_grammar.h
 * makes grammars that make a model write them. */
#ifndef CARAVAN_CHAT_TOOLCALL_H
#define CARAVAN_CHAT_TOOLCALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TOOLCALL_MAX_MARKS = 8, TOOLCALL_MAX_NAME = 128, TOOLCALL_MAX_ID = 160, TOOLCALL_MAX_TOOLS = 512 };

enum toolcall_ids {
    TOOLCALL_IDS_OPENAI,        /* call_ and 24 characters */
    TOOLCALL_IDS_NINE,          /* 9 characters, as Mistral's templates want them */
    TOOLCALL_IDS_MODEL,         /* the model writes the id: before id_end, or the name's whole text */
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
    const char *id_end;         /* between the call's id and its name; NULL: the id is not written before the name */
    const char *name_end;       /* follows the name; NULL with key_open: the end of its line, or the next mark */
    const char *name_prefix;    /* before the name, not part of it */
    const char *name_cut;       /* ends the name; the text from name_cut to name_end has no meaning */
    const char *name_tail;      /* GBNF of the text from name_cut to name_end */
    const char *name_key, *arguments_key; /* keys in JSON; NULL: "name", "arguments" */
    const char *key_open, *key_close, *value_open, *value_close;
    const char *type_open, *type_end; /* after key_close: an attribute that says whether the value is a string ("true", "string") */
    const char *whole_open, *whole_close; /* elements: another form of the arguments, as one JSON object between these two */
    const char *assign, *arguments_end; /* literals: between a key and its value; after the last value */
    const char *quote;          /* literals: around a string, which then has no escapes; NULL: Python's quotes */
    const char *text_name;      /* in the place of a tool's name: text for the reader follows */
    const char *trigger;        /* begins the lazy grammar; NULL: section_open, or open */
    const char *marks[TOOLCALL_MAX_MARKS]; /* further control tokens of the family: never shown */
    bool array;                 /* the calls are written as one array: of JSON, or of literals */
    bool bare;                  /* a call of an offered tool needs no opening mark if the answer begins with it */
    bool name_is_key;           /* JSON: {NAME: {...}} */
    bool list;                  /* literals: calls follow one another between open and close, on lines of their own */
    bool fence;                 /* literals: in a Markdown block of Python */
    bool nested;                /* elements: KEY is the tag's name, values may hold elements (output_nested.c) */
    bool attributes;            /* elements: KEY is an attribute's value, with &quot; and &amp; for what they stand for */
    bool value_lines;           /* values stand on lines of their own */
    bool section_each;          /* a section for each call */
    bool harmony;               /* the channels of gpt-oss: output_harmony.c */
    bool generic;               /* the template has no form for tools: they are described in words */
    bool type_words;            /* type_open is followed by the name of a JSON type, else by "true" or "false" */
    bool owned;                 /* it is not in the table: toolcall_format_free frees it and its texts */
    enum toolcall_ids ids;
};

struct toolcall_reasoning {
    const char *name, *open, *close;
    const char *detect[2];      /* texts that such a template contains, all of them; none given: it contains open or close */
    const char *frame[4];       /* control tokens around the answer's text: never shown */
    const char *answer_open, *answer_close; /* tags around the whole answer: not shown */
    bool unopened;              /* some models that write these marks leave out the first one */
};

/* A tool that the client offers. */
struct toolcall_tool {
    const char *name, *description;  /* description may be NULL */
    const char *parameters;     /* JSON schema as text; NULL: none was given */
    bool strict;                /* a schema that can't be enforced as a whole is refused */
    bool custom;                /* its input is a text: for clients it is no function (api/custom.h) */
};

/* The row that the template's text tells. Never NULL: the last row fits any template. tmpl may be NULL. */
const struct toolcall_format *toolcall_detect(const char *tmpl);
const struct toolcall_reasoning *toolcall_detect_reasoning(const char *tmpl); /* NULL: none */
const struct toolcall_format *toolcall_format_named(const char *name);        /* NULL: no such row */
/* The caller owns the copy. Rows of the table are not copied, and not freed. NULL is fine in both. */
const struct toolcall_format *toolcall_format_copy(const struct toolcall_format *f);
void toolcall_format_free(const struct toolcall_format *f);
/* Does the prompt end with the mark that opens reasoning? */
bool toolcall_reasoning_open(const struct toolcall_reasoning *r, const char *prompt, size_t len);
/* Does the model begin in reasoning although nothing opens it? Such a template takes reasoning out of earlier answers by the mark that
 * closes it, and never writes the other one. tmpl may be NULL. */
bool toolcall_reasoning_begins(const struct toolcall_reasoning *r, const char *tmpl);
/* Has the prompt ended the reasoning? Then the answer has none. */
bool toolcall_reasoning_closed(const struct toolcall_reasoning *r, const char *prompt, size_t len);
/* Does the prompt end with the mark that opens a call? Then the answer may begin with a tool's name, or be a text. */
bool toolcall_call_open(const struct toolcall_format *f, const char *prompt, size_t len);

/* Is this a valid name of a function? (OpenAI: letters, digits, _ and -; tools of models also use . and :) */
bool toolcall_name_valid(const char *name, size_t len);
/* Makes a call's id, a function of (style, seed, number). TOOLCALL_IDS_MODEL gets an id in OpenAI's style. */
void toolcall_make_id(enum toolcall_ids style, uint64_t seed, uint32_t number, char out[TOOLCALL_MAX_ID]);

#endif
