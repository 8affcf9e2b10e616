/* SPDX-License-Identifier: MIT
 * Chats to prompts on a thread of their own: a model's template may be slow, broken or hostile, and uses up its limit (jinja/jinja.h)
 * without any stream standing still. Asks are done in order. The owner asks, is woken (the wake function is called on the other thread,
 * and may only wake the owner's loop), and takes the answers with render_deliver. Everything else belongs to the owner's thread. */
#ifndef CARAVAN_GATEWAY_RENDER_H
#define CARAVAN_GATEWAY_RENDER_H

#include "chat/render.h"

struct render;
struct render_job;

enum { RENDER_MAX_WAITING = 4096, RENDER_MAX_PROMPT = 64 << 20 };

/* NULL, and e: no thread. */
struct render *render_create(void (*wake)(void *user), void *user, struct err *e);
/* Waits for what is being rendered, at most as long as a template may take; no more answers. NULL is fine. */
void render_free(struct render *r);
/* Gives the answers that are there. */
void render_deliver(struct render *r);

/* Valid during the call. Of a chat: text, has_bos, format; of a template: caps. */
struct render_answer {
    const char *text;
    size_t len;
    bool has_bos;
    const struct toolcall_format *format; /* toolcall_format_copy keeps it */
    struct chat_caps caps;
};
/* Errors as chat/render.h has them; ERR_BUSY: too many wait. */
typedef void (*render_fn)(void *user, err_code code, const struct render_answer *answer, const struct err *e);

/* All is copied: tools may be NULL. */
struct render_chat {
    const char *tmpl, *bos, *eos;
    yyjson_mut_val *messages, *tools, *extra;
    bool no_generation_prompt, continue_final; /* chat/render.h has them */
    int64_t now;
};
struct render_job *render_chat(struct render *r, const struct render_chat *chat, render_fn fn, void *user);
/* What the template takes. */
struct render_job *render_caps(struct render *r, const char *tmpl, render_fn fn, void *user);
/* No answer will come; what has not begun is not done. */
void render_cancel(struct render *r, struct render_job *job);

#endif
