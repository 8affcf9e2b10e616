/* SPDX-License-Identifier: MIT
 * Jinja templates (a model's own chat template), rendered by @huggingface/jinja in QuickJS. A template comes with the model and may be
 * broken or hostile: it sees only its context, has no I/O, and its time, memory and stack are bounded. Parsed templates are cached.
 * One jinja is one JavaScript runtime; it belongs to one thread at a time. It knows nothing of chats: chat/render.h does. */
#ifndef CARAVAN_CHAT_JINJA_H
#define CARAVAN_CHAT_JINJA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct jinja;

struct jinja_limits {
    uint32_t time_ms;  /* CPU time of one parse or render */
    size_t memory;     /* bytes of the whole runtime, parsed templates included */
    size_t stack;      /* bytes of C stack that nesting may use; the thread must have more */
};

enum {
    ENGINE_MAX_TEMPLATE = 1 << 20,  /* bytes of a template's text */
    ENGINE_MAX_TEMPLATES = 16       /* parsed templates that are kept */
};

/* 1 s, 128 MiB, 1 MiB. */
struct jinja_limits jinja_limits_default(void);

/* Whether this build has Jinja (CARAVAN_JINJA in CMake). */
bool jinja_built_in(void);

/* Starting the runtime is left to the first use (about 10 ms); limits may be NULL. */
struct jinja *jinja_create(const struct jinja_limits *limits);
void jinja_free(struct jinja *j);

/* Appends what the template makes of the context, a JSON object of its variables ({"messages": [...], "bos_token": "<s>", ...}).
 * now: seconds since 1970, what strftime_now() shows, in UTC.
 * ERR_INVALID: the template refuses the context with raise_exception (its text is in the error) or fails while it runs.
 * ERR_UNSUPPORTED: the template cannot be parsed, or this build has no Jinja. ERR_LIMIT: it exceeded a limit, or out's maximum. */
err_code jinja_render(struct jinja *j, const char *tmpl, size_t tmpl_len, const char *context, size_t context_len, int64_t now,
                      struct buf *out, struct err *e);

/* Whether the last failure was the template's own raise_exception; whether it was the limit of time. */
bool jinja_raised(const struct jinja *j);
bool jinja_timed_out(const struct jinja *j);

#endif
