/* SPDX-License-Identifier: MIT
 * Turns chats into prompts: short ones at once where the template is quick, others on a thread of its own. A model's template may be slow,
 * broken or hostile; it can use up its limits (jinja/jinja.h) there while all streams go on. The thread's jobs are done in order. When one
 * is done, the thread calls the wake function, which may only wake the owner's loop; the owner then takes the answers with render_deliver.
 * All functions here belong to the owner's thread. */
#ifndef CARAVAN_REQUESTS_RENDER_H
#define CARAVAN_REQUESTS_RENDER_H

#include "chat/render.h"

struct render;
struct render_job;

enum { RENDER_MAX_WAITING = 4096, RENDER_MAX_PROMPT = 64 << 20 };

/* Returns NULL and sets e if the thread cannot be started. */
struct render *render_create(void (*wake)(void *user), void *user, struct err *e);
/* Waits for the job that runs, at most as long as a template may take. No answer comes any more. NULL is fine. */
void render_free(struct render *r);
/* Calls the callbacks of the jobs that are done. */
void render_deliver(struct render *r);

/* Valid during the callback. Of a chat: text, has_bos, format; of a template: caps. */
struct render_answer {
    const char *text;
    size_t len;
    bool has_bos;
    const struct toolcall_format *format; /* toolcall_format_copy keeps it */
    const struct toolcall_reasoning *reasoning; /* NULL: without marks */
    struct chat_caps caps;
};
/* Errors as in chat/render.h. ERR_BUSY: too many jobs wait. */
typedef void (*render_fn)(void *user, err_code code, const struct render_answer *answer, const struct err *e);

/* A chat; it is copied. tools and extra may be NULL. */
struct render_chat {
    const char *tmpl, *bos, *eos;
    yyjson_mut_val *messages, *tools, *extra;
    bool no_generation_prompt, continue_final; /* chat/render.h has them */
    int64_t now;
};
/* Renders it at once, if it is short and its template quick: returns NULL, and *ret is valid until the next call. Else fn comes later, also
 * with every error. */
struct render_job *render_chat(struct render *r, const struct render_chat *chat, render_fn fn, void *user, struct render_answer *ret);
/* Finds out what the template takes. */
struct render_job *render_caps(struct render *r, const char *tmpl, render_fn fn, void *user);
/* No answer comes any more. A job that has not begun is not done. */
void render_cancel(struct render *r, struct render_job *job);

#endif
