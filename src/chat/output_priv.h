/* SPDX-License-Identifier: MIT
 * The parser of output.h from inside: its state, its text, and the calls that it gives; one owner and one thread, as output.h says.
 * output.c has the marks around calls, and the table of steps; the steps share output_step_priv.h. All use output_part.c, whose functions
 * are declared here. */
#ifndef CARAVAN_CHAT_OUTPUT_PRIV_H
#define CARAVAN_CHAT_OUTPUT_PRIV_H

#include "base/buf.h"
#include "base/json.h"
#include "chat/output.h"
#include "chat/scan.h"

enum { OUTPUT_MAX_SPACE = 256, OUTPUT_MAX_HEAD = 512, OUTPUT_MAX_KEY = 256, OUTPUT_MIN_CUT = 3 };

enum output_state {
    OUTPUT_IN_TEXT,
    OUTPUT_IN_REASONING,
    OUTPUT_IN_SECTION,          /* between the calls of a section */
    OUTPUT_IN_SHAPE,            /* after a call's opening mark: JSON or a name? */
    OUTPUT_IN_NAME,
    OUTPUT_IN_OBJECT,           /* {"name": ..., "arguments": ...} */
    OUTPUT_IN_ARGUMENTS,        /* a JSON object after a name */
    OUTPUT_IN_ELEMENTS,         /* between the elements of the arguments */
    OUTPUT_IN_KEY,
    OUTPUT_IN_VALUE,
    OUTPUT_IN_TYPE,             /* in the attribute that says an element's type */
    OUTPUT_IN_NESTED,           /* in arguments that are elements within elements */
    OUTPUT_IN_LITERAL,          /* in arguments that are literals */
    OUTPUT_IN_BROKEN,           /* in the rest of a call that is malformed */
    OUTPUT_IN_END,              /* after a call */
    OUTPUT_IN_HEADER,           /* harmony: before <|message|> */
    OUTPUT_IN_MESSAGE,          /* harmony: after <|message|> */
    OUTPUT_STATES
};

/* What the arguments given so far are: nothing, part of an object, an object, or not an object. */
enum output_told { TOLD_NOTHING, TOLD_PART, TOLD_OBJECT, TOLD_WRONG };

/* The parser's place in {"name": ..., "arguments": ...}. */
enum object_at { OBJECT_OPEN, OBJECT_FIRST, OBJECT_KEY, OBJECT_IN_KEY, OBJECT_COLON, OBJECT_VALUE, OBJECT_IN_VALUE, OBJECT_COMMA };
enum object_role { ROLE_OTHER, ROLE_NAME, ROLE_ARGUMENTS };

enum { OUTPUT_MAX_DEPTH = 32 };

/* What a value's schema allows (output_value.c). */
enum {
    TYPE_STRING = 1,
    TYPE_NUMBER = 2,
    TYPE_INTEGER = 4,
    TYPE_BOOLEAN = 8,
    TYPE_NULL = 16,
    TYPE_OBJECT = 32,
    TYPE_ARRAY = 64,
    TYPE_ANY = 127
};

/* The parser's place in literals. */
enum literal_at { LITERAL_ITEM, LITERAL_VALUE, LITERAL_WORD, LITERAL_STRING, LITERAL_ASSIGN, LITERAL_AFTER };

struct output_literal {
    enum literal_at at;
    uint8_t depth;              /* 0: between the call's parentheses */
    char closes[OUTPUT_MAX_DEPTH]; /* ends the level: a brace, a bracket, or a parenthesis */
    bool key;                   /* the string or word is a key */
    bool some;                  /* the level has an item */
    const char *quote;          /* ends the string */
    bool raw;                   /* the string has no escapes */
    size_t n_positional;        /* arguments without a key so far */
};

/* The parser's place in elements within elements. */
enum nested_at { NESTED_BETWEEN, NESTED_OPENING, NESTED_BEGUN, NESTED_TEXT, NESTED_CLOSING };

struct output_nested {
    enum nested_at at;
    uint8_t depth;
    char closes[OUTPUT_MAX_DEPTH]; /* ends the level in JSON: '}', ']', or '\0' for a text */
    yyjson_val *schemas[OUTPUT_MAX_DEPTH];
    bool some[OUTPUT_MAX_DEPTH];   /* the level has an element */
};

struct output {
    struct output_options o;
    output_fn fn;
    void *user;
    enum output_state state;
    bool last;                  /* no more text will come */
    struct buf in;              /* the text that is not used yet begins at in.data + at */
    size_t at;

    struct buf out;             /* text of one kind, ready to be given */
    enum output_kind out_kind;
    struct buf space;           /* blanks after it, dropped if a mark follows */
    bool skip_space;            /* blanks are dropped until text comes */
    bool undecided;             /* the text so far may be reasoning that was not opened: it waits in early */
    struct buf early;
    struct buf assumed;         /* the beginning of reasoning that was assumed: it may be the answer */
    bool said;                  /* content other than blanks has come */
    bool reasoned;              /* reasoning has begun: it comes once, before all content */
    bool opened, closed;        /* a mark in the text has opened reasoning; a mark has closed it */
    bool unclosed;              /* the text has ended inside reasoning: its rest is reasoning, or calls */
    bool answered;              /* the tag that closes the answer's text may come */

    struct buf raw;             /* the text used since the mark, given as text if it is no call */
    bool begun;                 /* the event CALL was given: it can't become text again */
    bool muted;                 /* one call too many: it is read, but not given */
    bool section, array, bare;  /* the call is in a section, in an array, without an opening mark */
    uint32_t n_calls, n_section; /* calls that have ended; calls begun in this section */
    enum output_told told;      /* about the call that has begun */
    struct scan told_scan;
    char name[TOOLCALL_MAX_NAME + 1], id[TOOLCALL_MAX_ID];

    struct scan scan;
    enum object_at object_at;
    enum object_role role;
    bool nested;                /* inside {"function": { */
    bool have_arguments;
    bool textual;               /* the arguments are JSON inside a string */
    struct buf key;             /* a key of the object */
    struct buf held;            /* a value that is needed whole, or that comes before the name */

    unsigned types;             /* the types that the value's schema allows */
    uint32_t n_elements;
    bool value_begun;           /* the text before the value is used, and its quote is given */
    yyjson_doc *schema;
    enum output_kind message;   /* harmony: the kind of this message */
    bool headed;                /* harmony: a header has come */
    struct output_literal literal;
    struct output_nested nest;
    bool first[256];            /* may a mark begin with this byte? */
};

static inline const char *output_at(const struct output *o) { return (const char *)o->in.data + o->at; }
static inline size_t output_left(const struct output *o) { return o->in.len - o->at; }
static inline bool output_blank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

enum output_match { MATCH_NONE, MATCH_PART, MATCH_FULL };
/* Does the mark stand at p? PART: its beginning does, and the text ends there. mark NULL: never. */
enum output_match output_match(const struct output *o, const char *mark, const char *p, size_t left);
/* Finds the mark in the text that is left. SIZE_MAX: it is not there, and the first *ret_safe bytes can't be part of it. */
size_t output_find(const struct output *o, const char *mark, size_t *ret_safe);
/* Uses n bytes. Until a call has begun they are kept in raw. */
void output_use(struct output *o, size_t n);
void output_use_blanks(struct output *o);

/* Gives text of this kind, but for the blanks at its end. */
void output_put(struct output *o, enum output_kind kind, const char *p, size_t n);
/* The kind that the text has now where no mark says otherwise. */
enum output_kind output_text_kind(const struct output *o);
/* The text that has waited is of this kind. */
void output_decide(struct output *o, enum output_kind kind);
/* Gives what is ready, and the blanks after it. */
void output_flush(struct output *o);
void output_flush_space(struct output *o, enum output_kind kind);
/* Gives a piece of arguments, and checks it. The arguments of all families pass here. */
void output_put_arguments(struct output *o, const char *p, size_t n);
/* Appends a character of JSON, escaped if a string may not contain it. */
void output_append_clean(struct buf *to, char c, bool in_string);
void output_drop_space(struct output *o);
void output_put_str(struct output *o, const char *s);
/* Gives text as the inside of a JSON string. */
void output_put_escaped(struct output *o, const char *p, size_t n);

/* Begins a call of this name: gives the event CALL. False: it is no valid name, or no tool's where that is needed. */
bool output_begin_call(struct output *o, const char *name, size_t len);
void output_end_call(struct output *o);
/* The text is no call: gives the held text. If the call had begun, it ends as it is. */
void output_give_up(struct output *o);
#endif
