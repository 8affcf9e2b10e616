/* SPDX-License-Identifier: MIT
 * The parser of output.h from inside: output.c has the text and the marks around calls, output_json.c calls as JSON, output_xml.c
 * arguments as elements, output_nested.c elements within elements, output_literal.c arguments as literals, output_value.c values by their
 * schema, output_harmony.c the channels of gpt-oss. A step looks at the text that is not used yet, uses some of it, and
 * says whether it is worth to go on: false when only more text can tell. */
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
    OUTPUT_IN_SHAPE,            /* behind a call's opening: JSON or a name? */
    OUTPUT_IN_NAME,
    OUTPUT_IN_OBJECT,           /* {"name": ..., "arguments": ...} */
    OUTPUT_IN_ARGUMENTS,        /* a JSON object behind a name */
    OUTPUT_IN_ELEMENTS,         /* between the elements of the arguments */
    OUTPUT_IN_KEY,
    OUTPUT_IN_VALUE,
    OUTPUT_IN_TYPE,             /* in the attribute that says an element's type */
    OUTPUT_IN_NESTED,           /* in arguments that are elements within elements */
    OUTPUT_IN_LITERAL,          /* in arguments that are literals */
    OUTPUT_IN_BROKEN,           /* in the rest of a call that is not what it should be */
    OUTPUT_IN_END,              /* after a call */
    OUTPUT_IN_HEADER,           /* harmony: up to <|message|> */
    OUTPUT_IN_MESSAGE,          /* harmony: its text */
    OUTPUT_STATES
};

/* What the arguments that were told come to. */
enum output_told { TOLD_NOTHING, TOLD_PART, TOLD_OBJECT, TOLD_WRONG };

/* Where in {"name": ..., "arguments": ...} the parser stands. */
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

/* Where in literals the parser stands. */
enum literal_at { LITERAL_ITEM, LITERAL_VALUE, LITERAL_WORD, LITERAL_STRING, LITERAL_ASSIGN, LITERAL_AFTER };

struct output_literal {
    enum literal_at at;
    uint8_t depth;              /* 0: between the call's parentheses */
    char closes[OUTPUT_MAX_DEPTH]; /* what ends the level: a brace, a bracket, or a parenthesis */
    bool key;                   /* the string or word is a key */
    bool some;                  /* the level has an item */
    const char *quote;          /* what ends the string */
    bool raw;                   /* the string has no escapes */
    size_t n_positional;        /* arguments without a key */
};

/* Where in elements within elements the parser stands. */
enum nested_at { NESTED_BETWEEN, NESTED_OPENING, NESTED_BEGUN, NESTED_TEXT, NESTED_CLOSING };

struct output_nested {
    enum nested_at at;
    uint8_t depth;
    char closes[OUTPUT_MAX_DEPTH]; /* '}', ']', or '\0' for a value without elements */
    yyjson_val *schemas[OUTPUT_MAX_DEPTH];
    bool some[OUTPUT_MAX_DEPTH];   /* the level has an element */
};

struct output {
    struct output_options o;
    output_fn fn;
    void *user;
    enum output_state state;
    bool last;                  /* no more text will come */
    struct buf in;              /* text not used yet begins at in.data + at */
    size_t at;

    struct buf out;             /* text of one kind that is ready */
    enum output_kind out_kind;
    struct buf space;           /* blanks at its end: dropped when a mark follows */
    bool skip_space;            /* blanks at the beginning are dropped */
    bool said;                  /* there was content other than blanks */
    bool reasoned;              /* reasoning comes once, before all content */
    bool unclosed;              /* the text has ended inside reasoning: what is left is reasoning, or a call */
    bool answered;              /* the tag that closes the answer may come */

    struct buf raw;             /* what was used since a mark that may not be a call after all */
    bool begun;                 /* CALL was given: there is no way back */
    bool muted;                 /* one call too many: read, not told */
    bool section, array, bare;  /* what stands around the call */
    uint32_t n_calls, n_section; /* calls begun; those of this section */
    enum output_told told;      /* of the call that has begun */
    struct scan told_scan;
    char name[TOOLCALL_MAX_NAME + 1], id[TOOLCALL_MAX_ID];

    struct scan scan;
    enum object_at object_at;
    enum object_role role;
    bool nested;                /* inside {"function": { */
    bool have_arguments;
    bool textual;               /* the arguments are JSON inside a string */
    struct buf key;             /* of the object, or of an element */
    struct buf held;            /* a value that is needed whole, or before the name is known */

    unsigned types;             /* output_xml.c: what the value may be */
    uint32_t n_elements;
    bool value_begun;           /* its first line end is gone, its quote is given */
    yyjson_doc *schema;
    enum output_kind message;   /* harmony: what kind of message this is */
    bool headed;                /* harmony: there was a header */
    struct output_literal literal;
    struct output_nested nest;
    bool first[256];            /* may a mark begin with this byte? */
};

static inline const char *output_at(const struct output *o) { return (const char *)o->in.data + o->at; }
static inline size_t output_left(const struct output *o) { return o->in.len - o->at; }
static inline bool output_blank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

enum output_match { MATCH_NONE, MATCH_PART, MATCH_FULL };
/* Does the mark (NULL: never) stand at p? PART: as far as the text goes, and more may come. */
enum output_match output_match(const struct output *o, const char *mark, const char *p, size_t left);
/* Where the mark begins in the text that is left; where there is none, SIZE_MAX, and *ret_safe: how much surely is before it. */
size_t output_find(const struct output *o, const char *mark, size_t *ret_safe);
/* Uses n bytes; until a call has begun they are kept in raw. */
void output_use(struct output *o, size_t n);
void output_use_blanks(struct output *o);

void output_put(struct output *o, enum output_kind kind, const char *p, size_t n);
/* All arguments of all families go this way, and are followed on it. */
void output_put_arguments(struct output *o, const char *p, size_t n);
/* A character of JSON, escaped where it may not stand in a string as it is. */
void output_append_clean(struct buf *to, char c, bool in_string);
void output_drop_space(struct output *o);

void output_put_str(struct output *o, const char *s);
/* The inside of a string of the arguments. */
void output_put_escaped(struct output *o, const char *p, size_t n);
/* Reads the schema of the tool whose call has begun into o->schema; NULL: it has none. */
void output_value_schema(struct output *o);
/* Which types a schema allows, by "type", or else by its enum. A schema that says it in other ways, or NULL, allows any type. */
unsigned output_value_types(yyjson_val *schema);
/* Gives the value whose text is in o->held: as JSON where o->types allow that, else as a string. */
void output_value_held(struct output *o);

/* Takes the name (and, for ids of the model's, its raw form): CALL. False: not a name. */
bool output_begin_call(struct output *o, const char *name, size_t len);
void output_end_call(struct output *o);
/* Not a call after all: what was held is text; or, when it had begun, the call ends as it is. */
void output_give_up(struct output *o);
bool output_json_begin(struct output *o);   /* into OBJECT, at { or [ */

bool output_step_object(struct output *o);
bool output_step_arguments(struct output *o);
void output_xml_begin(struct output *o);
bool output_step_elements(struct output *o);
bool output_step_key(struct output *o);
bool output_step_value(struct output *o);
bool output_step_type(struct output *o);
void output_nested_begin(struct output *o);
bool output_step_nested(struct output *o);
void output_literal_begin(struct output *o);
bool output_step_literal(struct output *o);
bool output_step_header(struct output *o);
bool output_step_message(struct output *o);
/* The text has ended inside a header. */
void output_harmony_last(struct output *o);

#endif
