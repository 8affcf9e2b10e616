/* SPDX-License-Identifier: MIT
 * The renderer's thread and its queues. See render.h. */
#include "requests/render.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/mem.h"

enum { THREAD_STACK = 4 << 20 }; /* more than a template's nesting may use (jinja/jinja.h) */

struct render_job {
    struct list link;
    char *tmpl, *bos, *eos;
    yyjson_doc *messages, *tools, *extra; /* messages NULL: render_caps */
    bool no_generation_prompt, continue_final;
    int64_t now;
    render_fn fn; /* NULL: cancelled */
    void *user;
    err_code code;
    struct err err;
    struct buf text;
    struct render_answer answer;
};

struct render {
    void (*wake)(void *user);
    void *user;
    struct chat *quick;       /* the owner's thread's, with low limits */
    struct render_job *at_once; /* the last that the owner's thread has done; NULL: none */
    struct chat *chat;   /* the thread's, while it runs */
    pthread_t thread;
    pthread_mutex_t lock;       /* of all that follows, and of the fn of a job that is not done */
    pthread_cond_t more;
    struct list waiting, done;
    size_t n_waiting;
    bool closing;
};

static void job_free(struct render_job *j) {
    if (j == NULL) return;
    free(j->tmpl);
    free(j->bos);
    free(j->eos);
    yyjson_doc_free(j->messages);
    yyjson_doc_free(j->tools);
    yyjson_doc_free(j->extra);
    buf_done(&j->text);
    toolcall_format_free(j->answer.format);
    free(j);
}

static void job_run(struct chat *c, struct render_job *j) {
    if (j->messages == NULL) {
        j->code = chat_caps(c, j->tmpl, &j->answer.caps, &j->err);
        return;
    }
    const struct chat_input in = {.tmpl = j->tmpl,
                                  .bos = j->bos,
                                  .eos = j->eos,
                                  .messages = yyjson_doc_get_root(j->messages),
                                  .tools = yyjson_doc_get_root(j->tools),
                                  .words = true,
                                  .extra = yyjson_doc_get_root(j->extra),
                                  .add_generation_prompt = !j->no_generation_prompt,
                                  .continue_final = j->continue_final,
                                  .now = j->now};
    struct chat_answer answer = {.format = NULL};
    j->code = chat_render(c, &in, &j->text, &answer, &j->err);
    j->answer.has_bos = answer.has_bos;
    j->answer.format = toolcall_format_copy(answer.format);
    j->answer.reasoning = answer.reasoning;
    j->answer.text = buf_cstr(&j->text);
    j->answer.len = j->text.len;
}

/* ---- the thread ---- */

static void *render_main(void *user) {
    struct render *r = user;
    pthread_mutex_lock(&r->lock);
    for (;;) {
        while (list_empty(&r->waiting) && !r->closing) pthread_cond_wait(&r->more, &r->lock);
        if (r->closing) break;
        struct render_job *j = LIST_ENTRY(list_pop_front(&r->waiting), struct render_job, link);
        bool wanted = j->fn != NULL;
        r->n_waiting--;
        pthread_mutex_unlock(&r->lock);
        if (wanted) job_run(r->chat, j);
        pthread_mutex_lock(&r->lock);
        list_push_back(&r->done, &j->link);
        if (!r->closing) r->wake(r->user);
    }
    pthread_mutex_unlock(&r->lock);
    chat_free(r->chat);
    return NULL;
}

/* ---- life ---- */

struct render *render_create(void (*wake)(void *user), void *user, struct err *e) {
    /* About a millisecond, and many times what a usual template needs for a usual chat. */
    static const struct jinja_limits quick = {.steps = 50000, .memory = 256 << 10, .depth = 100};
    struct render *r = MEM_NEW(struct render);
    pthread_attr_t attr;
    *r = (struct render){.wake = wake, .user = user, .chat = chat_create(NULL), .quick = chat_create(&quick)};
    list_init(&r->waiting);
    list_init(&r->done);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->more, NULL);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, THREAD_STACK);
    int failed = pthread_create(&r->thread, &attr, render_main, r);
    pthread_attr_destroy(&attr);
    if (failed == 0) return r;
    err_set_errno(e, ERR_INTERNAL, failed, "no thread for chat templates");
    chat_free(r->chat);
    chat_free(r->quick);
    free(r);
    return NULL;
}

void render_free(struct render *r) {
    if (r == NULL) return;
    pthread_mutex_lock(&r->lock);
    r->closing = true;
    pthread_cond_signal(&r->more);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    struct list *link;
    while ((link = list_pop_front(&r->waiting)) != NULL) job_free(LIST_ENTRY(link, struct render_job, link));
    while ((link = list_pop_front(&r->done)) != NULL) job_free(LIST_ENTRY(link, struct render_job, link));
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->more);
    chat_free(r->quick);
    job_free(r->at_once);
    free(r);
}

void render_deliver(struct render *r) {
    for (;;) {
        pthread_mutex_lock(&r->lock);
        struct list *link = list_pop_front(&r->done);
        pthread_mutex_unlock(&r->lock);
        if (link == NULL) return;
        struct render_job *j = LIST_ENTRY(link, struct render_job, link);
        if (j->fn != NULL) j->fn(j->user, j->code, &j->answer, &j->err);
        job_free(j);
    }
}

/* ---- jobs ---- */

static struct render_job *job_new(const char *tmpl, render_fn fn, void *user) {
    struct render_job *j = MEM_NEW(struct render_job);
    *j = (struct render_job){.tmpl = mem_strdup(tmpl), .fn = fn, .user = user};
    buf_init(&j->text, RENDER_MAX_PROMPT);
    return j;
}

static struct render_job *job_post(struct render *r, struct render_job *j) {
    pthread_mutex_lock(&r->lock);
    if (r->n_waiting == RENDER_MAX_WAITING) { /* the callback comes later, as for every job */
        j->code = err_set(&j->err, ERR_BUSY, "too many requests: %d chats already wait to be rendered", RENDER_MAX_WAITING);
        list_push_back(&r->done, &j->link);
        r->wake(r->user);
    } else {
        list_push_back(&r->waiting, &j->link);
        r->n_waiting++;
        pthread_cond_signal(&r->more);
    }
    pthread_mutex_unlock(&r->lock);
    return j;
}

/* Tries the job in this thread. A failure tells nothing: the limits are low. */
static bool job_try(struct render *r, struct render_job *j) {
    job_run(r->quick, j);
    if (j->code == ERR_OK) return true;
    toolcall_format_free(j->answer.format);
    j->answer = (struct render_answer){0};
    j->err = (struct err){0};
    buf_clear(&j->text);
    return false;
}

struct render_job *render_chat(struct render *r, const struct render_chat *chat, render_fn fn, void *user, struct render_answer *ret) {
    struct render_job *j = job_new(chat->tmpl, fn, user);
    j->bos = mem_strdup(chat->bos);
    j->eos = mem_strdup(chat->eos);
    j->messages = yyjson_mut_val_imut_copy(chat->messages, NULL);
    j->tools = chat->tools != NULL ? yyjson_mut_val_imut_copy(chat->tools, NULL) : NULL;
    j->extra = chat->extra != NULL ? yyjson_mut_val_imut_copy(chat->extra, NULL) : NULL;
    j->now = chat->now;
    j->no_generation_prompt = chat->no_generation_prompt;
    j->continue_final = chat->continue_final;
    if (!job_try(r, j)) return job_post(r, j);
    job_free(r->at_once);
    r->at_once = j;
    *ret = j->answer;
    return NULL;
}

struct render_job *render_caps(struct render *r, const char *tmpl, render_fn fn, void *user) {
    return job_post(r, job_new(tmpl, fn, user));
}

void render_cancel(struct render *r, struct render_job *job) {
    pthread_mutex_lock(&r->lock);
    job->fn = NULL;
    pthread_mutex_unlock(&r->lock);
}
