/* SPDX-License-Identifier: MIT
 * See tokenizer.h. */
#include "stage/tokenizer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "base/mem.h"
#include "os/os.h"

enum { THREAD_STACK = 64 << 20 /* libllama's patterns recurse with the text */, LIMIT_SPARE = 64, BYTES_PER_TOKEN = 8 };

struct job {
    struct list link;
    struct tokenizer_job job;
    size_t bytes;  /* of its texts and pictures, as it came */
    bool dropped;  /* cancelled: its result is not needed */
};

struct tokenizer {
    const struct engine *engine;
    struct media *media;  /* NULL: no request has any */
    struct stage_watch *watch;
    uint32_t limit;
    size_t n, bytes;      /* jobs, and bytes of their texts and pictures; the owner's */
    size_t max_bytes;
    pthread_t thread;
    int wake[2];
    pthread_mutex_t lock; /* protects the fields below */
    pthread_cond_t more;
    struct list waiting, done;
    struct job *running;
    bool closing;
};

/* ---- one text ---- */

static size_t bytes_of(const struct request *r) {
    size_t n = r->text_len + r->second_len;
    for (uint32_t i = 0; i < r->n_media; i++) n += strlen(r->media[i].data);
    return n;
}

bool tokenizer_is_long(const struct request *r) { return r->tokens == NULL && (r->n_media > 0 || bytes_of(r) > TOKENIZER_SHORT); }

bool tokenizer_has_room(const struct tokenizer *t, const struct request *r) { return t->n == 0 || t->bytes + bytes_of(r) <= t->max_bytes; }

/* Refuses a text whose beginning has too many tokens already. Where the text is cut, the beginning may have a few tokens that the whole
 * text does not have: LIMIT_SPARE and an eighth allow for them. The beginning doubles in length while its tokens may be unusually long. */
static err_code check_length(const struct tokenizer *t, const struct request *r, struct err *e) {
    size_t enough = (size_t)t->limit + t->limit / 8 + LIMIT_SPARE;
    for (size_t len = enough * BYTES_PER_TOKEN; len < r->text_len / 2; len *= 2) {
        int32_t *tokens = NULL;
        size_t n = 0;
        err_code code = t->engine->ops->tokenize(t->engine->self, r->text, len, r->add_bos, r->parse_special, &tokens, &n, e);
        free(tokens);
        if (code != ERR_OK) return code;
        if (n <= enough) continue;
        if (r->embed) return err_set(e, ERR_LIMIT, "the text has more than %zu tokens, the model takes %u at most", enough, t->limit);
        err_set(e, ERR_LIMIT, "the prompt has more than %zu tokens: the context of %u has no room for an answer", enough, t->limit);
        err_hint(e, "shorten the prompt, or load the model with a larger context (--ctx)");
        return ERR_LIMIT;
    }
    return ERR_OK;
}

static err_code run(const struct tokenizer *t, struct request *r, bool asks, struct err *e) {
    const struct engine *g = t->engine;
    if (r->tokens != NULL) return ERR_OK;
    if (r->n_media > 0) return media_read(t->media, r, t->limit, e);
    if (r->second != NULL)
        return g->ops->tokenize_pair(g->self, r->text, r->text_len, r->second, r->second_len, &r->tokens, &r->n_tokens, e);
    err_code code = asks ? ERR_OK : check_length(t, r, e);
    if (code != ERR_OK) return code;
    return g->ops->tokenize(g->self, r->text, r->text_len, r->add_bos, r->parse_special, &r->tokens, &r->n_tokens, e);
}

err_code tokenizer_run(struct tokenizer *t, struct request *r, struct err *e) { return run(t, r, false, e); }

/* ---- the thread ---- */

static void job_run(struct tokenizer *t, struct tokenizer_job *j) {
    if (!j->asks) stage_watch_expose_text(t->watch, &j->request.id);
    j->code = run(t, &j->request, j->asks, &j->err);
    stage_watch_expose_text(t->watch, NULL);
}

static void *thread_main(void *arg) {
    struct tokenizer *t = arg;
    pthread_mutex_lock(&t->lock);
    while (!t->closing) {
        struct list *link = list_pop_front(&t->waiting);
        if (link == NULL) {
            pthread_cond_wait(&t->more, &t->lock);
            continue;
        }
        struct job *j = t->running = LIST_ENTRY(link, struct job, link);
        bool dropped = j->dropped;
        pthread_mutex_unlock(&t->lock);
        if (!dropped) job_run(t, &j->job);
        pthread_mutex_lock(&t->lock);
        t->running = NULL;
        list_push_back(&t->done, &j->link);
        if (write(t->wake[1], "", 1) != 1) continue; /* the pipe is full, so it is readable */
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

static int thread_start(struct tokenizer *t) {
    pthread_attr_t attr;
    sigset_t all, old;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, THREAD_STACK);
    sigfillset(&all); /* the main thread takes signals, except those of a crash, which go to the thread that crashes */
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGABRT);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&t->thread, &attr, thread_main, t);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return failed;
}

/* ---- life ---- */

static void job_free(struct job *j) {
    request_done(&j->job.request);
    free(j);
}

static void tokenizer_done(struct tokenizer *t) {
    struct list *link;
    while ((link = list_pop_front(&t->waiting)) != NULL) job_free(LIST_ENTRY(link, struct job, link));
    while ((link = list_pop_front(&t->done)) != NULL) job_free(LIST_ENTRY(link, struct job, link));
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->more);
    close(t->wake[0]);
    close(t->wake[1]);
    free(t);
}

err_code tokenizer_create(const struct engine *engine, struct media *media, struct stage_watch *watch, uint32_t limit, size_t max_bytes,
                          struct tokenizer **ret, struct err *e) {
    struct tokenizer *t = MEM_NEW(struct tokenizer);
    *t = (struct tokenizer){.engine = engine, .media = media, .watch = watch, .limit = limit, .max_bytes = max_bytes};
    if (os_pipe(t->wake, false) != 0) {
        free(t);
        return err_set_errno(e, ERR_IO, errno, "cannot make a pipe");
    }
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->more, NULL);
    list_init(&t->waiting);
    list_init(&t->done);
    int failed = thread_start(t);
    if (failed != 0) {
        tokenizer_done(t);
        return err_set_errno(e, ERR_MEMORY, failed, "cannot start a thread");
    }
    *ret = t;
    return ERR_OK;
}

void tokenizer_free(struct tokenizer *t) {
    if (t == NULL) return;
    pthread_mutex_lock(&t->lock);
    t->closing = true;
    pthread_cond_signal(&t->more);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->thread, NULL);
    tokenizer_done(t);
}

/* ---- jobs ---- */

void tokenizer_push(struct tokenizer *t, struct request *r, bool asks) {
    struct job *j = MEM_NEW(struct job);
    j->job.request = *r;
    j->job.asks = asks;
    t->n++;
    j->bytes = bytes_of(r);
    t->bytes += j->bytes;
    request_init(r);
    pthread_mutex_lock(&t->lock);
    list_push_back(&t->waiting, &j->link);
    pthread_cond_signal(&t->more);
    pthread_mutex_unlock(&t->lock);
}

int tokenizer_fd(const struct tokenizer *t) { return t->wake[0]; }

size_t tokenizer_count(const struct tokenizer *t) { return t->n; }

static struct job *pop_done(struct tokenizer *t) {
    pthread_mutex_lock(&t->lock);
    struct list *link = list_pop_front(&t->done);
    pthread_mutex_unlock(&t->lock);
    struct job *j = link != NULL ? LIST_ENTRY(link, struct job, link) : NULL;
    if (j != NULL) t->n--;
    if (j != NULL) t->bytes -= j->bytes;
    return j;
}

bool tokenizer_pop(struct tokenizer *t, struct tokenizer_job *ret) {
    char bytes[64];
    while (read(t->wake[0], bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes)) {
    }
    for (struct job *j; (j = pop_done(t)) != NULL;) {
        if (j->dropped) {
            job_free(j);
            continue;
        }
        *ret = j->job;
        free(j);
        return true;
    }
    return false;
}

static bool is_request(const struct job *j, const uint64_t *id) {
    return !j->dropped && !j->job.asks && (id == NULL || j->job.request.id == *id);
}

/* Finds the job of the request `id`, or of any request (id NULL). The caller holds the lock. */
static struct job *find(struct tokenizer *t, const uint64_t *id) {
    struct list *lists[] = {&t->waiting, &t->done};
    if (t->running != NULL && is_request(t->running, id)) return t->running;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        for (LIST_EACH(link, lists[i])) {
            struct job *j = LIST_ENTRY(link, struct job, link);
            if (is_request(j, id)) return j;
        }
    return NULL;
}

static bool drop(struct tokenizer *t, const uint64_t *id, uint64_t *ret_id) {
    pthread_mutex_lock(&t->lock);
    struct job *j = find(t, id);
    if (j != NULL) {
        j->dropped = true;
        *ret_id = j->job.request.id;
    }
    pthread_mutex_unlock(&t->lock);
    return j != NULL;
}

bool tokenizer_cancel(struct tokenizer *t, uint64_t id) {
    uint64_t ignored;
    return drop(t, &id, &ignored);
}

bool tokenizer_drop(struct tokenizer *t, uint64_t *ret_id) { return drop(t, NULL, ret_id); }
