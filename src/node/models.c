/* SPDX-License-Identifier: MIT
 * Which instances there are, and who coordinates them. A model that some node coordinates already stays there; another is coordinated by
 * the live node with the smallest id that has its file, so that two nodes that are asked at the same time ask the same third one. Requests
 * for a model that isn't loaded wait here (calls_await) while it is. Everything is looked at again whenever records change, and on every
 * tick: a question or an answer that was lost is asked again. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/node_priv.h"

enum { MAX_ASKS = 1024 };
#define LEAVING_US  5000000u  /* a head that doesn't say whether it is idle is asked again after this */
#define GIVEN_UP_US 60000000u /* so long the reason of a load that failed is shown */

/* A question to another node that has not answered yet. */
struct question {
    struct question *next;
    uint64_t id, node;
    models_done_fn done;
    void *user;
};

struct models {
    struct question *asks;
    uint64_t count;
    size_t n_asks;
    uint64_t fleet; /* of the last look for places of more replicas: nothing has changed as long as this hasn't */
};

struct models *models_create(struct node *n) {
    (void)n;
    return MEM_NEW(struct models);
}

void models_free(struct models *m) {
    while (m && m->asks) {
        struct question *a = m->asks;
        m->asks = a->next;
        free(a);
    }
    free(m);
}

/* ---- what this node coordinates ---- */

static struct served *models_own(const struct node *n, const char *name) {
    for (size_t i = 0; i < n->n_served; i++)
        if (strcmp(n->served[i]->record.name, name) == 0) return n->served[i];
    return NULL;
}

static void models_close_name(struct node *n, const char *name) {
    struct served *s;
    while ((s = models_own(n, name)) != NULL) serve_close(n, s);
}

/* A model that is to be loaded here once its file has been read. */
struct loading {
    struct node *n;
    struct ask_wish wish;
    models_done_fn done;
    void *user;
};

static void loading_opened(void *user, struct serve_file *f, const struct err *cause) {
    struct loading *l = user;
    struct node *n = l->n;
    struct err e = *cause;
    err_code code = f ? ERR_OK : e.code;
    struct served *s = f ? models_own(n, f->card.name) : NULL;
    if (s && s->given_up) {
        models_close_name(n, f->card.name);
        s = NULL;
    }
    if (s && l->wish.kept) s->wish.kept = s->record.kept = true; /* and no client's wish counts any more */
    if (f && !s) code = serve_open(n, f, &l->wish, 0, &s, &e);
    if (code == ERR_OK) node_changed(n);
    l->done(l->user, code, &e);
    free(l);
}

void models_load_here(struct node *n, const char *name, const struct ask_wish *wish, models_done_fn done, void *user) {
    const struct catalog_entry *file = strchr(name, '/') ? NULL : catalog_find(n->catalog, name);
    if (!file && !strchr(name, '/')) {
        struct err e;
        err_set(&e, ERR_NOT_FOUND, "there is no file of a model \"%s\" on node %s", name, n->name);
        err_hint(&e, "`caravan models` lists what there is, `caravan pull` fetches more");
        done(user, e.code, &e);
        return;
    }
    struct loading *l = MEM_NEW(struct loading);
    *l = (struct loading){.n = n, .wish = *wish, .done = done, .user = user};
    files_open(n, file ? file->path : name, loading_opened, l);
}

static err_code models_unload_here(struct node *n, const char *name, struct err *e) {
    if (!models_own(n, name)) return err_set(e, ERR_NOT_FOUND, "model \"%s\" is not loaded", name);
    models_close_name(n, name);
    return ERR_OK;
}

/* A client's wish; what somebody has loaded by hand stays as long as that one wants. */
static void models_keep_here(struct node *n, const char *name, int32_t seconds) {
    for (size_t i = 0; i < n->n_served; i++) {
        struct served *s = n->served[i];
        if (strcmp(s->record.name, name) != 0 || s->wish.kept) continue;
        s->used = clock_now();
        if (s->record.keep_s == seconds) continue;
        s->record.keep_s = seconds;
        node_changed(n);
    }
}

/* The record of an instance of this model, own ones first; NULL: none. */
static const struct record_model *models_known(const struct node *n, const char *name, uint64_t *ret_node) {
    const struct served *s = models_own(n, name);
    *ret_node = n->id;
    if (s) return &s->record;
    for (size_t i = 0; i < n->n_records; i++)
        for (uint32_t k = 0; k < n->records[i]->n_models; k++)
            if (strcmp(n->records[i]->models[k].name, name) == 0) {
                *ret_node = n->records[i]->id;
                return &n->records[i]->models[k];
            }
    return NULL;
}

void models_remove_here(struct node *n, const char *name, models_done_fn done, void *user) {
    uint64_t node;
    const struct record_model *m = models_known(n, name, &node);
    if (m && !m->failed) {
        struct err e;
        err_set(&e, ERR_STALE, "model \"%s\" is loaded", name);
        err_hint(&e, "unload it first: caravan unload %s", name);
        done(user, e.code, &e);
        return;
    }
    catalog_remove(n->catalog, name, done, user);
}

/* ---- asking others ---- */

static void ask_end(struct node *n, struct question **at, err_code code, const struct err *e) {
    struct question *a = *at;
    *at = a->next;
    n->models->n_asks--;
    a->done(a->user, code, e);
    free(a);
}

static struct ask ask_make(const char *op, const char *name) {
    struct ask ask = {.wish.replicas = 1, .keep_s = -1};
    snprintf(ask.op, sizeof(ask.op), "%s", op);
    snprintf(ask.model, sizeof(ask.model), "%s", name);
    return ask;
}

static void ask_send(struct node *n, uint64_t node, struct ask *ask, models_done_fn done, void *user) {
    struct models *m = n->models;
    struct err e = {0};
    if (m->n_asks == MAX_ASKS) {
        done(user, err_set(&e, ERR_BUSY, "%d questions to other nodes wait for an answer", MAX_ASKS), &e);
        return;
    }
    ask->id = ++m->count;
    struct buf b;
    buf_init(&b, frame_max_payload(FRAME_ASK));
    ask_encode(ask, &b);
    bool sent = !b.failed && control_send(n->control, node, FRAME_ASK, 0, b.data, b.len);
    buf_done(&b);
    if (!sent) {
        done(user, err_set(&e, ERR_UNAVAILABLE, "the node that would load the model cannot be reached"), &e);
        return;
    }
    struct question *a = MEM_NEW(struct question);
    *a = (struct question){.next = m->asks, .id = m->count, .node = node, .done = done, .user = user};
    m->asks = a;
    m->n_asks++;
}

/* Another node's question, until it is answered. */
struct asked {
    struct node *n;
    uint64_t from, id;
};

static void ask_answer(void *user, err_code code, const struct err *e) {
    struct asked *a = user;
    struct err why = *e;
    struct buf b;
    why.code = code;
    buf_init(&b, frame_max_payload(FRAME_ANSWER));
    ask_answer_encode(a->id, &why, &b);
    control_send(a->n->control, a->from, FRAME_ANSWER, 0, b.data, b.len);
    buf_done(&b);
    free(a);
}

static void ask_do(struct node *n, const struct ask *a, models_done_fn done, void *user) {
    struct err e = {0};
    if (strcmp(a->op, "load") == 0) {
        models_load_here(n, a->model, &a->wish, done, user);
        return;
    }
    if (strcmp(a->op, "unload") == 0) models_unload_here(n, a->model, &e);
    else if (strcmp(a->op, "keep") == 0) models_keep_here(n, a->model, a->keep_s);
    else err_set(&e, ERR_UNSUPPORTED, "node %s does not know \"%s\"", n->name, a->op);
    done(user, e.code, &e);
}

err_code models_on_ask(struct node *n, uint64_t from, const uint8_t *payload, size_t len, struct err *e) {
    struct ask a;
    err_code code = ask_decode(payload, len, &a, e);
    if (code != ERR_OK) return code;
    struct asked *asked = MEM_NEW(struct asked);
    *asked = (struct asked){.n = n, .from = from, .id = a.id};
    ask_do(n, &a, ask_answer, asked);
    return ERR_OK;
}

err_code models_on_answer(struct node *n, uint64_t from, const uint8_t *payload, size_t len, struct err *e) {
    struct err why;
    uint64_t id;
    err_code code = ask_answer_decode(payload, len, &id, &why, e);
    for (struct question **at = &n->models->asks; code == ERR_OK && *at; at = &(*at)->next)
        if ((*at)->id == id && (*at)->node == from) {
            ask_end(n, at, why.code, &why);
            break;
        }
    return code;
}

/* ---- by whoever is to do it ---- */

static bool record_has_file(const struct record *r, const char *name) {
    for (uint32_t i = 0; i < r->n_cards; i++)
        if (strcmp(r->cards[i].name, name) == 0) return true;
    return false;
}

/* The node that loads it: who coordinates it already, else the smallest id that has the file; 0: nobody has. */
static uint64_t models_loader(const struct node *n, const char *name) {
    uint64_t node = 0;
    if (models_known(n, name, &node)) return node;
    node = catalog_find(n->catalog, name) ? n->id : 0;
    for (size_t i = 0; i < n->n_records; i++)
        if (record_has_file(n->records[i], name) && (node == 0 || n->records[i]->id < node)) node = n->records[i]->id;
    return node;
}

void models_load(struct node *n, const char *name, const struct ask_wish *wish, models_done_fn done, void *user) {
    uint64_t node = strchr(name, '/') ? n->id : models_loader(n, name);
    if (node != 0 && node != n->id) {
        struct ask ask = ask_make("load", name);
        ask.wish = *wish;
        ask_send(n, node, &ask, done, user);
        return;
    }
    models_load_here(n, name, wish, done, user);
}

void models_unload(struct node *n, const char *name, models_done_fn done, void *user) {
    struct err e = {0};
    uint64_t node;
    const struct record_model *m = models_known(n, name, &node);
    if (m && node != n->id) {
        struct ask ask = ask_make("unload", name);
        ask_send(n, node, &ask, done, user);
        return;
    }
    err_code code = models_unload_here(n, name, &e);
    done(user, code, &e);
}

static void keep_asked(void *user, err_code code, const struct err *e) {
    (void)user;
    if (code != ERR_OK) log_debug("node", "how long a model is to stay was not heard: %s", e->text);
}

void models_keep(struct node *n, const char *name, int32_t seconds) {
    uint64_t node;
    if (n->stopping || !models_known(n, name, &node)) return;
    if (node == n->id) {
        models_keep_here(n, name, seconds);
        return;
    }
    struct ask ask = ask_make("keep", name);
    ask.keep_s = seconds;
    ask_send(n, node, &ask, keep_asked, NULL);
}

static void taken_over(void *user, err_code code, const struct err *e) {
    (void)user;
    if (code != ERR_OK) log_warn("node", "%s", e->text);
}

/* What the lost node coordinated because somebody asked for it is loaded again by the node that would have loaded it had that one never
 * been here: the smallest id that has the file. */
void models_node_lost(struct node *n, const struct record *lost) {
    struct err gone;
    err_set(&gone, ERR_UNAVAILABLE, "node %s is gone", lost->name);
    for (struct question **at = &n->models->asks; *at;)
        if ((*at)->node == lost->id) ask_end(n, at, ERR_UNAVAILABLE, &gone);
        else at = &(*at)->next;
    for (uint32_t i = 0; i < lost->n_models && !n->stopping; i++) {
        const struct record_model *m = &lost->models[i];
        struct ask_wish wish = {.n_ctx = m->n_ctx, .n_seq = m->n_seq, .replicas = m->replicas, .kept = true};
        uint64_t node;
        if (!m->kept || m->replica != 0 || models_known(n, m->name, &node) || models_loader(n, m->name) != n->id) continue;
        snprintf(wish.placement, sizeof(wish.placement), "%s", m->placement);
        log_info("node", "taking \"%s\" over: node %s, which looked after it, is gone", m->name, lost->name);
        models_load_here(n, m->name, &wish, taken_over, NULL);
    }
}

/* ---- making room ---- */

/* The record of this instance, wherever it is coordinated. */
static const struct record_model *models_instance(const struct node *n, const char *instance) {
    const struct served *s = serve_find(n, instance);
    if (s) return &s->record;
    for (size_t i = 0; i < n->n_records; i++)
        for (uint32_t k = 0; k < n->records[i]->n_models; k++)
            if (strcmp(n->records[i]->models[k].instance, instance) == 0) return &n->records[i]->models[k];
    return NULL;
}

bool models_idle(struct node *n, const char *instance) {
    const struct record_model *m = models_instance(n, instance);
    return m && m->ready && calls_load(n, instance) == 0;
}

static bool counts_busy(struct node *n, const char *instance) { return !models_idle(n, instance); }

/* A stage of an instance that nobody coordinates any more is about to go. */
static bool counts_staying(struct node *n, const char *instance) { return models_instance(n, instance) != NULL; }

static bool counts_none(struct node *n, const char *instance) {
    (void)n;
    (void)instance;
    return false;
}

static bool models_would_fit(struct node *n, const struct served *s, serve_counts_fn counts) {
    struct plan_node *nodes = mem_calloc(NODE_MAX_NODES + 1, sizeof(*nodes));
    struct plan *p = MEM_NEW(struct plan);
    uint32_t count = serve_offers(n, s, counts, nodes);
    bool fits = plan_make(plan_source_model(s->source), nodes, count, &s->plan_wish, p, NULL) == ERR_OK;
    free(p);
    free(nodes);
    return fits;
}

/* The instance of this node that has been idle for longest, of another model than s. */
static struct served *models_oldest(struct node *n, const struct served *s) {
    struct served *oldest = NULL;
    for (size_t i = 0; i < n->n_served; i++) {
        struct served *o = n->served[i];
        if (o->file == s->file || o->leaving || !models_idle(n, o->record.instance)) continue;
        if (!oldest || calls_used(n, o->record.instance) < calls_used(n, oldest->record.instance)) oldest = o;
    }
    return oldest;
}

static bool models_any_leaving(const struct node *n) {
    for (size_t i = 0; i < n->n_served; i++)
        if (n->served[i]->leaving) return true;
    return false;
}

/* s cannot be placed: does it help to unload what is idle? One at a time leaves, the one that wasn't used for longest. */
static void models_make_room(struct node *n, struct served *s) {
    s->room = ROOM_UNKNOWN;
    err_code trouble = instance_trouble(s->instance);
    if (s->given_up || instance_get_state(s->instance) != INSTANCE_WAITING || (trouble != ERR_NO_ROOM && trouble != ERR_WHOLE_ONLY)) return;
    bool fits = models_would_fit(n, s, counts_busy);
    s->room = fits || models_would_fit(n, s, counts_none) ? ROOM_LATER : ROOM_NONE;
    serve_publish(n, s);
    if (!fits || models_any_leaving(n) || models_would_fit(n, s, counts_staying)) return;
    struct served *oldest = models_oldest(n, s);
    if (oldest) serve_evict(n, oldest, "others need the room");
}

/* ---- replicas ---- */

static uint32_t models_count(const struct node *n, const struct served *first) {
    uint32_t count = 0;
    for (size_t i = 0; i < n->n_served; i++) count += n->served[i]->file == first->file;
    return count;
}

static void models_add_replica(struct node *n, const struct served *first) {
    struct served *s;
    struct err e = {0};
    uint32_t number = 0;
    for (size_t i = 0; i < n->n_served; i++)
        if (n->served[i]->file == first->file && n->served[i]->replica >= number) number = n->served[i]->replica + 1;
    if (serve_open(n, first->file, &first->wish, number, &s, &e) != ERR_OK) log_warn("plan", "%s", e.text);
}

/* As many as were asked for; or, once the first one is there, one more wherever a whole copy fits. */
static void models_replicate(struct node *n, struct served *first, bool changed) {
    uint32_t count = models_count(n, first), want = first->wish.replicas;
    if (first->replica != 0 || first->given_up || n->n_served == NODE_MAX_SERVED) return;
    if (want > 0) {
        if (count < want) models_add_replica(n, first);
        return;
    }
    if (!changed || !first->record.ready || instance_plan(first->instance)->n_stage != 1) return;
    struct served probe = *first; /* a place beside all that there are */
    probe.record.instance[0] = '\0';
    struct plan_node *nodes = mem_calloc(NODE_MAX_NODES + 1, sizeof(*nodes));
    struct plan *p = MEM_NEW(struct plan);
    uint32_t n_nodes = serve_offers(n, &probe, NULL, nodes);
    if (n_nodes > 0 && plan_make(plan_source_model(first->source), nodes, n_nodes, &first->plan_wish, p, NULL) == ERR_OK && p->n_stage == 1)
        models_add_replica(n, first);
    free(p);
    free(nodes);
}

/* ---- what has become superfluous ---- */

/* A replica that was started because there was a place, and has lost it. */
static bool models_is_surplus(const struct served *s) {
    return s->replica > 0 && s->wish.replicas == 0 && instance_get_state(s->instance) == INSTANCE_WAITING &&
           instance_trouble(s->instance) != ERR_OK;
}

/* Two nodes that didn't see each other may both have loaded it: the smaller id stays. What people named on a node's command line stays
 * with that node. */
static bool models_is_double(struct node *n, const struct served *s) {
    if (n->named && n->named->file == s->file) return false;
    for (size_t i = 0; i < n->n_records; i++) {
        const struct record *r = n->records[i];
        if (r->id > n->id) continue;
        for (uint32_t k = 0; k < r->n_models; k++)
            if (strcmp(r->models[k].name, s->record.name) == 0 && (r->models[k].ready || !s->record.ready) && !r->models[k].failed)
                return !s->record.ready || models_idle(n, s->record.instance);
    }
    return false;
}

/* Has it been idle for as long as it was to be kept? */
static bool models_is_over(struct node *n, struct served *s) {
    if (s->record.keep_s < 0 || s->wish.kept) return false;
    clock_us now = clock_now(), used = calls_used(n, s->record.instance);
    if (!models_idle(n, s->record.instance)) used = now;
    if (used > s->used) s->used = used;
    return now >= s->used + (clock_us)s->record.keep_s * 1000000u;
}

static void models_review(struct node *n, struct served *s) {
    if (s->given_up) {
        if (clock_now() > s->lost + GIVEN_UP_US) serve_close(n, s);
        return;
    }
    if (s->leaving && clock_now() > s->leaving + LEAVING_US) s->leaving = 0;
    if (models_is_surplus(s)) {
        serve_close(n, s);
        return;
    }
    if (models_is_double(n, s)) {
        log_info("node", "\"%s\" is left to another node, which has it too", s->record.name);
        serve_close(n, s);
        return;
    }
    if (models_is_over(n, s)) {
        serve_evict(n, s, "it was idle for as long as its clients wanted it kept"); /* s is gone if its head is here */
        return;
    }
    if (s->record.failed && !s->wish.kept) {
        s->given_up = true;
        s->lost = clock_now();
    }
}

static uint64_t models_fleet(const struct node *n) {
    uint64_t sum = n->n_records + n->n_served * 1000003u;
    for (size_t i = 0; i < n->n_records; i++) sum = sum * 31 + n->records[i]->id + n->records[i]->n_stages;
    for (size_t i = 0; i < n->n_served; i++) sum = sum * 31 + n->served[i]->record.ready;
    return sum;
}

void models_update(struct node *n) {
    serve_farewells(n);
    if (n->stopping) return;
    for (size_t i = n->n_served; i-- > 0;) serve_update(n, n->served[i]);
    for (size_t i = n->n_served; i-- > 0;)
        if (i < n->n_served) models_make_room(n, n->served[i]);
    uint64_t fleet = models_fleet(n);
    for (size_t i = n->n_served; i-- > 0;)
        if (i < n->n_served) models_replicate(n, n->served[i], fleet != n->models->fleet);
    n->models->fleet = fleet;
    for (size_t i = n->n_served; i-- > 0;)
        if (i < n->n_served) models_review(n, n->served[i]);
    calls_update(n);
}
