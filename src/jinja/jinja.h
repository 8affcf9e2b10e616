/* SPDX-License-Identifier: MIT
 * Jinja templates, rendered like Jinja2 3.1 as Hugging Face transformers sets it up for chats: a sandbox, blocks trimmed, break and
 * continue, {% generation %}, tojson as Python writes JSON, raise_exception, strftime_now. Python's rules hold for values: integers,
 * text by character, truth, comparison, printing. A template comes with a model and may be broken or hostile: it sees only the given
 * variables, it has no I/O and no clock, and its steps, memory and nesting are bounded, the same on every machine. It allows more than
 * Jinja2: list.append, extend, insert and pop, and the filter from_json, which some models' templates use. Not supported: include,
 * import, extends, autoescape, and the filters pprint, random, urlize, wordwrap. A parsed template is used by one thread at a time. It
 * knows nothing of chats. */
#ifndef CARAVAN_JINJA_JINJA_H
#define CARAVAN_JINJA_JINJA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

struct jinja_template;

enum { JINJA_MAX_TEMPLATE = 1 << 20 }; /* bytes of a template's text */

struct jinja_limits {
    uint64_t steps;   /* of one rendering: about one for each operation, and more for copying and searching long texts */
    size_t memory;    /* bytes of one rendering */
    uint32_t depth;   /* of nested operations; each may use up to 1 KiB of the thread's stack */
};

/* 50 million steps (about a second), 128 MiB, 1000. */
struct jinja_limits jinja_limits_default(void);

/* How a rendering ended. */
enum jinja_end {
    JINJA_DONE,
    JINJA_RAISED,   /* by the template's own raise_exception */
    JINJA_FAILED,   /* an operation is impossible with these variables */
    JINJA_TOO_LONG, /* the limits: steps, */
    JINJA_TOO_BIG,  /* memory, */
    JINJA_TOO_DEEP, /* depth, */
    JINJA_OUT_FULL  /* out's maximum */
};

/* *ret is the caller's (jinja_free). The text is copied. ERR_UNSUPPORTED: it can't be parsed; the error names the line. ERR_LIMIT: too
 * long. */
err_code jinja_parse(const char *text, size_t len, struct jinja_template **ret, struct err *e);
void jinja_free(struct jinja_template *t);

/* jinja_reads: does the template read a variable of this name that it doesn't set itself first? jinja_names: does it name this
 * attribute? */
bool jinja_reads(const struct jinja_template *t, const char *variable);
bool jinja_names(const struct jinja_template *t, const char *attribute);

/* Renders the template with the variables (an object, or NULL) to the end of out. Numbers that yyjson kept as raw text are exact. now:
 * seconds since 1970 for strftime_now(), shown in UTC. limits: NULL for the default. *ret_end (may be NULL) says how it ended.
 * ERR_INVALID: the template refuses (the error has its words) or fails. ERR_LIMIT: a limit, or out's maximum. */
err_code jinja_render(struct jinja_template *t, yyjson_mut_val *variables, int64_t now, const struct jinja_limits *limits, struct buf *out,
                      enum jinja_end *ret_end, struct err *e);

#endif
