/* SPDX-License-Identifier: MIT
 * Jinja templates as Jinja2 3.1 renders them when Hugging Face transformers sets it up for chats: a sandbox, blocks trimmed, break and
 * continue, {% generation %}, tojson as Python writes JSON, raise_exception, strftime_now. Python's rules hold for values: integers,
 * text by character, truth, comparison, printing. A template comes with a model and may be broken or hostile: it sees only the variables
 * that it is given, it has no I/O and no clock, and its steps, memory and nesting are bounded, the same on every machine.
 * More is allowed than there: list.append, extend, insert and pop, and the filter from_json, which some models' templates use.
 * Not supported: include, import, extends, autoescape, and the filters pprint, random, urlize, wordwrap.
 * A parsed template is used by one thread at a time. It knows nothing of chats. */
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
    uint64_t steps;   /* of one rendering: about one for each operation, and more for each long text that is copied or searched */
    size_t memory;    /* bytes of one rendering */
    uint32_t depth;   /* of operations within one another; each may use up to 1 KiB of the thread's stack */
};

/* 50 million steps (about a second), 128 MiB, 1000. */
struct jinja_limits jinja_limits_default(void);

/* How a rendering ended. */
enum jinja_end {
    JINJA_DONE,
    JINJA_RAISED,   /* by the template's own raise_exception */
    JINJA_FAILED,   /* it did something that cannot be done with its variables */
    JINJA_TOO_LONG, /* the limits: steps, */
    JINJA_TOO_BIG,  /* memory, */
    JINJA_TOO_DEEP, /* depth, */
    JINJA_OUT_FULL  /* out's maximum */
};

/* *ret is the caller's (jinja_free). The text is copied. ERR_UNSUPPORTED: it is no template, with the line. ERR_LIMIT: too long. */
err_code jinja_parse(const char *text, size_t len, struct jinja_template **ret, struct err *e);
void jinja_free(struct jinja_template *t);

/* Whether the template reads a variable of this name that it doesn't set itself first; whether it names this attribute anywhere. */
bool jinja_reads(const struct jinja_template *t, const char *variable);
bool jinja_names(const struct jinja_template *t, const char *attribute);

/* Appends what the template makes of the variables (an object, or NULL). Numbers that yyjson kept as raw text are exact.
 * now: seconds since 1970, what strftime_now() shows, in UTC. limits: NULL for the default. *ret_end (may be NULL) says how it ended.
 * ERR_INVALID: the template refuses (its words are in the error) or fails. ERR_LIMIT: a limit, or out's maximum. */
err_code jinja_render(struct jinja_template *t, yyjson_mut_val *variables, int64_t now, const struct jinja_limits *limits, struct buf *out,
                      enum jinja_end *ret_end, struct err *e);

#endif
