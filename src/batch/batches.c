/* SPDX-License-Identifier: MIT
 * The batches, their states, and what is looked at in which order. See batches.h. */
#include "batch/batches.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "batch/batches_priv.h"
#include "gateway/find.h"
#include "routing/table.h"
#include "store/batches.h"

enum {
    WORKS = 64,          /* lines and inputs that are read at once */
    AGAIN_MS = 5000,     /* results that could not be kept, and inputs that could not be read, are tried again */
    SWEEP_MS = 3600 * 1000,
    KEPT_S = 30 * 86400, /* batches that have ended are listed so long */
    UPSTREAM_PLACES = 8  /* lines that an upstream is asked at once */
};

size_t batches_live(const struct batches *s) { return batch_core_count(s->core); }

size_t batches_in_flight(const struct batches *s) {
    size_t n = 0;
    for (const struct batches_job *job = s->jobs; job != NULL; job = job->next) n += batch_counts(job->batch).running;
    return n;
}

/* ---- how many lines a model is asked at once ---- */

static uint32_t places_of_model(struct gateway *g, const char *name) {
    const struct backend_model *m = NULL;
    if (gateway_find_model(g, name, &m, NULL) != ERR_OK || !m->ready) return 0;
    return m->places;
}

static uint32_t places_of_alias(struct gateway *g, const struct routing_alias *a) {
    uint32_t places = 0;
    for (size_t i = 0; i < a->n_targets; i++) {
        const struct routing_target *t = &a->targets[i];
        bool again = false;
        for (size_t k = 0; k < i; k++) again |= a->targets[k].upstream == t->upstream && strcmp(a->targets[k].model, t->model) == 0;
        if (!again) places += t->upstream != NULL ? UPSTREAM_PLACES : places_of_model(g, t->model);
    }
    return places;
}

/* As many as the places of all copies, and a few more: they wait in the model's queue, behind all other requests, so that no place is empty
 * while the next line is read. */
static uint32_t places(void *user, const char *model) {
    struct batches *s = user;
    const struct routing_alias *a = routing_table_find(aliases_table(s->gateway->aliases), model);
    uint32_t n = a != NULL ? places_of_alias(s->gateway, a) : places_of_model(s->gateway, model);
    return n > 0 ? n + 1 + n / 4 : 1; /* one line has the model loaded, and waits for it */
}

/* ---- ends ---- */

/* Is everything done that has to be done before a batch in this state ends? */
static void look_at_end(struct batches_job *job) {
    enum batch_state state = batch_state(job->batch);
    if (job->keeping != NULL || job->n_unkept > 0 || job->leftover != NULL) return;
    if (state == BATCH_CANCELLING) batches_job_end(job, BATCH_CANCELLED);
    if (state == BATCH_FINALIZING) batches_job_end(job, job->expired ? BATCH_EXPIRED : BATCH_COMPLETED);
}

err_code batches_cancel(struct batches_job *job, struct err *e) {
    enum batch_state state = batch_state(job->batch);
    if (state == BATCH_CANCELLING) return ERR_OK;
    if (state != BATCH_VALIDATING && state != BATCH_IN_PROGRESS)
        return err_set(e, ERR_INVALID, "the batch \"%.80s\" is %s: it cannot be cancelled", batches_id(job), batch_state_name(state));
    batches_job_set_state(job, BATCH_CANCELLING);
    batches_check_drop(job);
    if (job->asking != NULL) store_cancel(job->asking);
    job->asking = NULL;
    batches_lines_drop(job->service, job);
    batches_keep(job, NULL, NULL);
    batches_look(job->service);
    return ERR_OK;
}

static void finalize(struct batches_job *job, bool expired) {
    batches_job_set_state(job, BATCH_FINALIZING);
    job->expired = expired;
    batches_lines_drop(job->service, job);
    if (expired) batches_results_leftover(job);
    batches_keep(job, NULL, NULL);
}

/* ---- looking ---- */

static void ask_lines(struct batches *s) {
    struct batch *b;
    uint32_t line;
    clock_us now = io_loop_now(s->gateway->loop);
    for (int i = 0; i < WORKS && !s->stopped && batch_core_next(s->core, now, places, s, &b, &line); i++)
        batches_lines_start(batch_user(b), line);
}

static void set_timer(struct batches *s) {
    clock_us now = io_loop_now(s->gateway->loop), wake = batch_core_wake(s->core, now);
    uint64_t ms = wake == 0 || wake <= now ? AGAIN_MS : (wake - now) / 1000 + 1;
    if (batch_core_count(s->core) == 0) io_timer_stop(s->timer);
    else io_timer_start(s->timer, ms < AGAIN_MS ? ms : AGAIN_MS, 0); /* copies of models come and go, too */
}

static void on_look(void *user) {
    struct batches *s = user;
    struct batch *b;
    bool expired;
    clock_us now = io_loop_now(s->gateway->loop);
    while ((b = batch_core_finished(s->core, now, &expired)) != NULL) finalize(batch_user(b), expired);
    for (struct batches_job *job = s->jobs, *next; job != NULL; job = next) {
        next = job->next;
        look_at_end(job);
    }
    ask_lines(s);
    set_timer(s);
}

static void on_timer(void *user) {
    struct batches *s = user;
    for (struct batches_job *job = s->jobs; job != NULL; job = job->next)
        if (batch_state(job->batch) == BATCH_VALIDATING && job->begun && job->input == NULL && job->check == NULL) batches_check_start(job);
    batches_results_again(s);
    on_look(s);
}

static void on_sweep(void *user) {
    struct batches *s = user;
    store_batch_sweep(s->gateway->store, clock_wall_s() - KEPT_S);
}

/* ---- batches begin ---- */

struct batches_job *batches_make(struct batches *s, const char *owner, const struct batch_order *order, const char *cloud, struct err *e) {
    struct batch_object object;
    if (batch_core_count(s->core) >= BATCHES_MAX_LIVE) {
        err_set(e, ERR_BUSY, "%d batches have not come to their end", BATCHES_MAX_LIVE);
        return NULL;
    }
    batch_object_init(&object, order, clock_wall_s());
    if (cloud != NULL) batch_object_set_text(&object, "x_caravan_cloud", cloud);
    return batches_job_new(s, owner, &object);
}

void batches_drop(struct batches_job *job) { batches_job_free(job); }

void batches_begin(struct batches_job *job) {
    job->begun = true;
    batches_check_start(job);
    set_timer(job->service);
}

struct batches_job *batches_find(struct batches *s, const char *owner, const char *id) {
    for (struct batches_job *job = s->jobs; job != NULL; job = job->next)
        if (job->begun && strcmp(batches_id(job), id) == 0 && strcmp(job->owner, owner) == 0) return job;
    return NULL;
}

bool batches_use(const struct batches *s, const char *file) {
    for (const struct batches_job *job = s->jobs; job != NULL; job = job->next) {
        char output[2][BATCH_ID_SIZE];
        for (int failed = 0; failed < 2; failed++) batch_output_id(batches_id(job), failed, output[failed]);
        const char *const used[] = {batch_object_text(&job->object, "input_file_id"), output[0], output[1]};
        for (size_t i = 0; i < ARRAY_LEN(used); i++)
            if (strcmp(used[i], file) == 0) return true;
    }
    return false;
}

/* ---- life ---- */

/* A batch that the process before this one had not brought to its end. One that was being cancelled is cancelled. */
static void resume(struct batches *s, const char *owner, yyjson_val *kept) {
    struct batch_object object;
    enum batch_state state;
    struct err e = {0};
    if (owner == NULL || batch_object_read(&object, kept, &state, &e) != ERR_OK) {
        log_warn("batch", "%s", e.text);
        return;
    }
    struct batches_job *job = batches_job_new(s, owner, &object);
    job->resumed = job->begun = true;
    if (state == BATCH_CANCELLING) batch_set_state(job->batch, BATCH_CANCELLING);
    else batches_check_start(job);
}

static void on_live(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    yyjson_doc **ret = user;
    if (code != ERR_OK) log_warn("batch", "the batches of the last run cannot be read: %s", e->text);
    *ret = code == ERR_OK ? json_read(text, len) : NULL;
}

static void resume_all(struct batches *s) {
    yyjson_doc *doc = NULL;
    yyjson_val *row;
    size_t i, n;
    store_batches_live(s->gateway->store, on_live, &doc);
    store_finish(s->gateway->store);
    yyjson_arr_foreach(json_some(yyjson_doc_get_root(doc)), i, n, row)
        resume(s, yyjson_get_str(yyjson_obj_get(row, "owner")), yyjson_obj_get(row, "data"));
    yyjson_doc_free(doc);
}

struct batches *batches_open(struct gateway *g, struct uploads *f, batches_ask_fn ask, void *user) {
    struct batches *s = MEM_NEW(struct batches);
    *s = (struct batches){.gateway = g, .uploads = f, .ask = ask, .user = user, .core = batch_core_create()};
    s->task = (struct io_task){.fn = on_look, .user = s};
    s->works = io_works_open(g->loop, WORKS);
    s->timer = io_timer_open(g->loop, on_timer, s);
    s->sweep_timer = io_timer_open(g->loop, on_sweep, s);
    io_timer_start(s->sweep_timer, SWEEP_MS / 60, SWEEP_MS);
    resume_all(s);
    if (s->jobs != NULL) batches_look(s);
    return s;
}

void batches_stop(struct batches *s) { s->stopped = true; }

void batches_close(struct batches *s) {
    if (s == NULL) return;
    batches_lines_drop(s, NULL);
    batches_results_drop(s);
    while (s->jobs != NULL) {
        batches_check_drop(s->jobs);
        batches_results_leftover_drop(s->jobs);
        batches_job_free(s->jobs);
    }
    io_task_cancel(&s->task);
    io_timer_close(s->timer);
    io_timer_close(s->sweep_timer);
    io_works_close(s->works);
    batch_core_free(s->core);
    free(s);
}
