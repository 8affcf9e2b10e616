/* SPDX-License-Identifier: MIT
 * See pulls.h. A job belongs to its thread; the loop reads how far it is under the job's lock, and sets its stop flag. */
#include "catalog/pulls.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/work.h"
#include "model/card.h"
#include "pull/fetch.h"

enum { RUNNING_MAX = 3 };
#define TELL_US 1000000u   /* how often others hear of mere progress */
#define KEPT_US 600000000u /* how long the list shows one that is done */

struct job {
    struct pulls *pulls; /* the loop's thread alone may use it, until pulls_free */
    char *dir, *source, *hf_endpoint, *ollama_registry;
    uint32_t connections;
    atomic_int stop;
    pthread_mutex_t lock;   /* of now */
    struct record_pull now; /* without source */
    struct err why;         /* the thread's, then the loop's */
    err_code code;
    clock_us sampled;       /* the thread's: when the rate was last computed, and from how many bytes */
    uint64_t sampled_done;
};

struct entry {
    struct record_pull shown;
    struct job *job; /* NULL: it has ended */
    clock_us ended;
};

struct pulls {
    struct io_works *works;
    struct pulls_config config; /* borrows */
    struct pulls_events events;
    struct entry entries[RECORD_MAX_PULLS]; /* the oldest first */
    size_t n;
    clock_us told;
    bool stopping;
};

/* ---- the thread ---- */

static void job_begins(void *user, const struct hub_file *f) {
    struct job *j = user;
    pthread_mutex_lock(&j->lock);
    j->now.state = RECORD_PULL_FETCHING;
    j->now.fetch = (struct stage_fetch){.all = f->size};
    j->now.message[0] = '\0';
    model_card_name(f->name, j->now.model, sizeof(j->now.model));
    j->sampled = clock_now();
    j->sampled_done = 0;
    pthread_mutex_unlock(&j->lock);
}

/* Bytes a second over the last seconds. With the lock held. */
static void job_rate(struct job *j, uint64_t done) {
    clock_us now = clock_now();
    if (done < j->sampled_done || j->sampled_done == 0) {
        j->sampled = now;
        j->sampled_done = done;
        return;
    }
    if (now - j->sampled < TELL_US) return;
    uint64_t fresh = (done - j->sampled_done) * 1000000u / (now - j->sampled), *rate = &j->now.fetch.rate;
    *rate = *rate > 0 ? (2 * *rate + fresh) / 3 : fresh;
    j->sampled = now;
    j->sampled_done = done;
}

static void job_progress(void *user, const struct http_download_progress *p) {
    struct job *j = user;
    pthread_mutex_lock(&j->lock);
    j->now.state = p->phase == HTTP_DOWNLOAD_CHECKING ? RECORD_PULL_CHECKING : RECORD_PULL_FETCHING;
    j->now.fetch.done = p->done;
    j->now.fetch.all = p->size;
    j->now.message[0] = '\0';
    if (p->phase == HTTP_DOWNLOAD_FETCHING) job_rate(j, p->done);
    pthread_mutex_unlock(&j->lock);
}

static void job_waits(void *user, const char *why, unsigned seconds) {
    struct job *j = user;
    pthread_mutex_lock(&j->lock);
    snprintf(j->now.message, sizeof(j->now.message), "%.200s; trying again in %u s", why, seconds);
    pthread_mutex_unlock(&j->lock);
}

static void job_run(void *user) {
    static const struct fetch_events events = {.begins = job_begins, .progress = job_progress, .waits = job_waits};
    struct job *j = user;
    char *path = NULL;
    const struct fetch_job f = {.name = j->source,
                                .dir = j->dir,
                                .hf_endpoint = j->hf_endpoint,
                                .ollama_registry = j->ollama_registry,
                                .connections = j->connections,
                                .stop = &j->stop,
                                .events = &events,
                                .user = j};
    j->code = fetch_model(&f, &path, &j->why);
    pthread_mutex_lock(&j->lock);
    if (j->code == ERR_OK) model_card_name(path, j->now.model, sizeof(j->now.model));
    pthread_mutex_unlock(&j->lock);
    free(path);
}

static void job_free(void *user) {
    struct job *j = user;
    pthread_mutex_destroy(&j->lock);
    free(j->dir);
    free(j->source);
    free(j->hf_endpoint);
    free(j->ollama_registry);
    free(j);
}

/* ---- the loop ---- */

static struct entry *find(struct pulls *p, const char *source) {
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->entries[i].shown.source, source) == 0) return &p->entries[i];
    return NULL;
}

static void take_out(struct pulls *p, struct entry *e) {
    p->n--;
    memmove(e, e + 1, (size_t)(p->entries + p->n - e) * sizeof(*e));
}

static void tell(struct pulls *p) {
    p->told = clock_now();
    p->events.changed(p->events.user);
}

/* Shows how far the entry's job is. true: that has changed. */
static bool look(struct entry *e) {
    struct record_pull before = e->shown;
    pthread_mutex_lock(&e->job->lock);
    e->shown = e->job->now;
    pthread_mutex_unlock(&e->job->lock);
    memcpy(e->shown.source, before.source, sizeof(before.source));
    return e->shown.state != before.state || e->shown.fetch.done != before.fetch.done || strcmp(e->shown.message, before.message) != 0;
}

static void end_well(struct pulls *p, struct entry *e) {
    e->shown.state = RECORD_PULL_DONE;
    e->shown.fetch.done = e->shown.fetch.all;
    e->shown.message[0] = '\0';
    log_info("models", "\"%s\" has come from %s", e->shown.model, e->shown.source);
    p->events.came(p->events.user);
}

static void end_badly(struct entry *e, const struct job *j) {
    e->shown.state = RECORD_PULL_FAILED;
    snprintf(e->shown.message, sizeof(e->shown.message), "%.255s", j->why.text);
    snprintf(e->shown.hint, sizeof(e->shown.hint), "%s", j->why.hint);
    log_warn("models", "%s was not fetched: %s", e->shown.source, j->why.text);
}

static void job_done(void *user) {
    struct job *j = user;
    struct pulls *p = j->pulls;
    struct entry *e = find(p, j->source);
    look(e);
    e->job = NULL;
    e->ended = clock_now();
    if (j->code == ERR_OK) end_well(p, e);
    else if (j->code == ERR_CANCELLED && atomic_load(&j->stop)) take_out(p, e);
    else end_badly(e, j);
    tell(p);
}

struct pulls *pulls_create(struct io_loop *loop, const struct pulls_config *config, const struct pulls_events *events) {
    struct pulls *p = MEM_NEW(struct pulls);
    *p = (struct pulls){.works = io_works_open(loop, RUNNING_MAX), .config = *config, .events = *events};
    return p;
}

void pulls_stop(struct pulls *p) {
    p->stopping = true;
    for (size_t i = 0; i < p->n; i++)
        if (p->entries[i].job) atomic_store(&p->entries[i].job->stop, 1);
}

void pulls_free(struct pulls *p) {
    if (!p) return;
    pulls_stop(p);
    io_works_close(p->works);
    free(p);
}

/* Makes room for one more entry, of those that have ended. */
static err_code make_room(struct pulls *p, struct err *e) {
    if (p->n < RECORD_MAX_PULLS) return ERR_OK;
    for (size_t i = 0; i < p->n; i++)
        if (!p->entries[i].job) {
            take_out(p, &p->entries[i]);
            return ERR_OK;
        }
    return err_set(e, ERR_BUSY, "%zu models are being fetched already", p->n);
}

static err_code may_start(struct pulls *p, const char *source, struct err *e) {
    struct hub_ref ref;
    struct entry *before = find(p, source);
    if (p->config.dir == NULL || p->stopping) return err_set(e, ERR_UNAVAILABLE, "this node has no models folder, or is about to end");
    if (strlen(source) >= RECORD_PULL_SOURCE) return err_set(e, ERR_LIMIT, "the name is longer than %d bytes", RECORD_PULL_SOURCE - 1);
    err_code code = hub_ref_parse(source, &ref, e);
    if (code != ERR_OK) return code;
    if (before && before->job) return err_set(e, ERR_STALE, "\"%s\" is being fetched already", source);
    if (before) take_out(p, before);
    return make_room(p, e);
}

static struct job *job_create(struct pulls *p, const char *source) {
    struct job *j = MEM_NEW(struct job);
    *j = (struct job){.pulls = p,
                      .dir = mem_strdup(p->config.dir),
                      .source = mem_strdup(source),
                      .hf_endpoint = mem_strdup(p->config.hf_endpoint),
                      .ollama_registry = mem_strdup(p->config.ollama_registry),
                      .connections = p->config.connections};
    pthread_mutex_init(&j->lock, NULL);
    return j;
}

err_code pulls_start(struct pulls *p, const char *source, struct err *e) {
    static const struct io_work work = {.run = job_run, .done = job_done, .free = job_free};
    err_code code = may_start(p, source, e);
    if (code != ERR_OK) return code;
    struct job *j = job_create(p, source);
    code = io_works_start(p->works, &work, j, e);
    if (code == ERR_BUSY) err_set(e, code, "%d models are being fetched already: try again when one has come", RUNNING_MAX);
    if (code != ERR_OK) {
        job_free(j);
        return code;
    }
    struct entry *entry = &p->entries[p->n++];
    *entry = (struct entry){.job = j};
    snprintf(entry->shown.source, sizeof(entry->shown.source), "%s", source);
    log_info("models", "fetching %s", source);
    tell(p);
    return ERR_OK;
}

err_code pulls_drop(struct pulls *p, const char *source, struct err *e) {
    struct entry *entry = find(p, source);
    if (!entry) return err_set(e, ERR_NOT_FOUND, "\"%s\" is not being fetched", source);
    if (entry->job) {
        atomic_store(&entry->job->stop, 1);
        return ERR_OK;
    }
    take_out(p, entry);
    tell(p);
    return ERR_OK;
}

void pulls_tick(struct pulls *p) {
    bool changed = false;
    clock_us now = clock_now();
    for (size_t i = p->n; i-- > 0;) {
        struct entry *e = &p->entries[i];
        if (e->job) {
            changed |= look(e);
        } else if (e->shown.state == RECORD_PULL_DONE && now - e->ended > KEPT_US) {
            take_out(p, e);
            changed = true;
        }
    }
    if (changed && now - p->told >= TELL_US) tell(p);
}

void pulls_record(const struct pulls *p, struct record *r) {
    r->n_pulls = (uint32_t)p->n;
    for (size_t i = 0; i < p->n; i++) r->pulls[i] = p->entries[i].shown;
}
