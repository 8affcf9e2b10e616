/* SPDX-License-Identifier: MIT
 * Which instances there are: loads and unloads them here, or asks the node that looks after the model (node/claims.c). Requests
 * for a model that isn't loaded wait (calls_await) while it is. Everything is looked at again whenever records change, and on every
 * tick: a question or an answer that was lost is asked again. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "members/rival.h"
#include "node/node_priv.h"

enum { MAX_ASKS = 1024 };
#define LEAVING_US  5000000u  /* a head that doesn't say whether it is idle is asked again after this */
#define RIVAL_US    3000000u    /* longer than news of a change takes to come */
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

static void models_close_name(struct node *n, const char *given) {
    char name[sizeof(((struct record_model *)0)->name)]; /* it may be that of an instance which goes */
    struct served *s;
    snprintf(name, sizeof(name), "%s", given);
    while ((s = models_own(n, name)) != NULL) serve_close(n, s);
}

/* Another node looks after it: a second copy would be one too many. */
static err_code models_check_free(const struct node *n, const char *name, struct err *e) {
    struct claim c;
    if (models_own(n, name) || !claims_find(n, name, &c) || c.model->failed) return ERR_OK;
    return err_set(e, ERR_UNAVAILABLE, "node %s looks after model \"%s\"", c.node_name, name);
}

/* A model that is to be loaded here once its file has been read. */
struct loading {
    struct node *n;
    struct load_wish wish;
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
    if (s && l->wish.kept) { /* no client's wish counts any more */
        wish_set(&s->record.wish, WISH_KEPT, true);
        wish_set(&s->record.wish, WISH_ASKED, claims_now(n, s->record.name));
    }
    const struct orphan *orphan = f ? orphans_find(&n->orphans, f->card.name) : NULL;
    if (orphan) wish_merge(&l->wish, &orphan->wish);
    if (f && !s) code = serve_open(n, f, &l->wish, 0, &s, &e);
    if (code == ERR_OK) node_changed(n);
    l->done(l->user, code, &e);
    free(l);
}

void models_load_here(struct node *n, const char *name, const struct load_wish *wish, models_done_fn done, void *user) {
    const struct catalog_entry *file = strchr(name, '/') ? NULL : catalog_find(n->catalog, name);
    struct err e = {0};
    if (!strchr(name, '/') && models_check_free(n, name, &e) != ERR_OK) {
        done(user, e.code, &e);
        return;
    }
    if (!file && !strchr(name, '/')) {
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
    bool orphan = orphans_find(&n->orphans, name) != NULL;
    if (!models_own(n, name) && !orphan) return err_set(e, ERR_NOT_FOUND, "model \"%s\" is not loaded", name);
    models_close_name(n, name);
    claims_unloaded(n, name);
    node_changed(n);
    return ERR_OK;
}

/* A client's wish; what somebody has loaded by hand stays as long as that one wants. */
static void models_keep_here(struct node *n, const char *name, int32_t seconds) {
    for (size_t i = 0; i < n->n_served; i++) {
        struct served *s = n->served[i];
        struct load_wish *w = &s->record.wish;
        if (strcmp(s->record.name, name) != 0 || w->kept) continue;
        s->used = clock_now();
        if (seconds < 0 ? !wish_says(w, WISH_KEEP_S) : wish_says(w, WISH_KEEP_S) && w->keep_s == (uint32_t)seconds) continue;
        if (seconds < 0) wish_unset(w, WISH_KEEP_S);
        else wish_set(w, WISH_KEEP_S, (uint32_t)seconds);
        node_changed(n);
    }
}

void models_remove_here(struct node *n, const char *name, models_done_fn done, void *user) {
    struct claim c;
    if (claims_find(n, name, &c) && !c.model->failed) {
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
    struct ask ask = {0};
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
    else if (strcmp(a->op, "keep") == 0) models_keep_here(n, a->model, wish_says(&a->wish, WISH_KEEP_S) ? (int32_t)a->wish.keep_s : -1);
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

static void models_ask_load(struct node *n, uint64_t node, const char *name, const struct load_wish *wish, models_done_fn done,
                            void *user) {
    struct ask ask = ask_make("load", name);
    ask.wish = *wish;
    ask_send(n, node, &ask, done, user);
}

/* The node that loads it: its coordinator, else its heir. */
static err_code models_loader(const struct node *n, const char *name, uint64_t *ret, struct err *e) {
    struct claim c;
    bool claimed = claims_find(n, name, &c);
    const struct orphan *orphan = orphans_find(&n->orphans, name);
    *ret = claimed ? c.node : claims_heir(n, name);
    if (claimed && !c.linked)
        return err_set(e, ERR_UNAVAILABLE, "node %s, which looks after model \"%s\", cannot be reached", c.node_name, name);
    if (*ret == 0 && orphan)
        return err_set(e, ERR_UNAVAILABLE, "node %s, which has the file of model \"%s\", is gone", orphan->node_name, name);
    return ERR_OK;
}

void models_load(struct node *n, const char *name, const struct load_wish *wish, models_done_fn done, void *user) {
    struct err e = {0};
    uint64_t node = n->id;
    if (!strchr(name, '/') && models_loader(n, name, &node, &e) != ERR_OK) {
        done(user, e.code, &e);
    } else if (node != 0 && node != n->id) {
        struct load_wish whole = *wish;
        const struct orphan *orphan = orphans_find(&n->orphans, name);
        if (orphan) wish_merge(&whole, &orphan->wish); /* that node may not have known it */
        models_ask_load(n, node, name, &whole, done, user);
    } else {
        models_load_here(n, name, wish, done, user);
    }
}

static void heir_told(void *user, err_code code, const struct err *e) {
    (void)user;
    if (code != ERR_OK) log_debug("node", "a model whose node is gone is not loaded yet: %s", e->text);
}

void models_tell_heir(struct node *n, uint64_t heir, const struct orphan *o) {
    models_ask_load(n, heir, o->name, &o->wish, heir_told, NULL);
}

/* An unload that other nodes are asked for as well. */
struct unloading {
    size_t waits; /* answers */
    err_code code;
    struct err err;
    models_done_fn done;
    void *user;
};

/* It is done if one node has done it; else what failed counts for more than that a node doesn't know the model. */
static void unload_answered(void *user, err_code code, const struct err *e) {
    struct unloading *u = user;
    if (code == ERR_OK || (u->code == ERR_NOT_FOUND && code != ERR_OK)) {
        u->code = code;
        u->err = *e;
    }
    if (--u->waits > 0) return;
    u->done(u->user, u->code, &u->err);
    free(u);
}

static void unload_told(void *user, err_code code, const struct err *e) {
    (void)user;
    (void)code;
    (void)e;
}

static bool record_claims(const struct record *r, const char *name) {
    for (uint32_t k = 0; k < r->n_models; k++)
        if (strcmp(r->models[k].name, name) == 0) return true;
    return false;
}

/* Every node is told: for a while two may coordinate it, or none and one remembers it. Those that coordinate it are waited for. */
void models_unload(struct node *n, const char *name, models_done_fn done, void *user) {
    struct unloading *u = MEM_NEW(struct unloading);
    struct err e = {0};
    struct claim c;
    *u = (struct unloading){.waits = 1, .code = ERR_NOT_FOUND, .done = done, .user = user};
    err_code code = ERR_OK;
    bool claimed = claims_find(n, name, &c);
    if (claimed && !c.linked)
        code = err_set(&e, ERR_UNAVAILABLE, "node %s, which looks after model \"%s\", cannot be reached", c.node_name, name);
    if (code == ERR_OK) code = models_unload_here(n, name, &e);
    for (size_t i = 0; i < n->n_records; i++) {
        struct ask ask = ask_make("unload", name);
        bool waits = !claimed || record_claims(n->records[i], name);
        u->waits += waits;
        ask_send(n, n->records[i]->id, &ask, waits ? unload_answered : unload_told, u);
    }
    unload_answered(u, code, &e);
}

static void keep_asked(void *user, err_code code, const struct err *e) {
    (void)user;
    if (code != ERR_OK) log_debug("node", "how long a model is to stay was not heard: %s", e->text);
}

void models_keep(struct node *n, const char *name, int32_t seconds) {
    struct claim c;
    if (n->stopping || !claims_find(n, name, &c)) return;
    if (c.node == n->id) {
        models_keep_here(n, name, seconds);
        return;
    }
    struct ask ask = ask_make("keep", name);
    if (seconds >= 0) wish_set(&ask.wish, WISH_KEEP_S, (uint32_t)seconds);
    ask_send(n, c.node, &ask, keep_asked, NULL);
}

void models_asks_lost(struct node *n, const struct record *lost) {
    struct err gone;
    err_set(&gone, ERR_UNAVAILABLE, "node %s is gone", lost->name);
    for (struct question **at = &n->models->asks; *at;)
        if ((*at)->node == lost->id) ask_end(n, at, ERR_UNAVAILABLE, &gone);
        else at = &(*at)->next;
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
    if (serve_open(n, first->file, &first->record.wish, number, &s, &e) != ERR_OK) log_warn("plan", "%s", e.text);
}

/* As many as were asked for; or, once the first one is there, one more wherever a whole copy fits. */
static void models_replicate(struct node *n, struct served *first, bool changed) {
    uint32_t count = models_count(n, first), want = first->record.wish.replicas;
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
    return s->replica > 0 && s->record.wish.replicas == 0 && instance_get_state(s->instance) == INSTANCE_WAITING &&
           instance_trouble(s->instance) != ERR_OK;
}

static void rival_add(struct rival *x, const struct record_model *m, bool *any) {
    x->failed = m->failed && (!*any || x->failed);
    x->ready |= m->ready;
    x->pinned |= m->wish.pinned;
    *any = true;
}

/* Another node coordinates the model of `first` as well, and this one lets go of it when it can. */
static bool models_yields(const struct node *n, const struct served *first) {
    struct rival mine = {.node = n->id,
                         .stuck = instance_get_state(first->instance) == INSTANCE_WAITING && instance_trouble(first->instance) != ERR_OK};
    bool any = false;
    for (size_t i = 0; i < n->n_served; i++)
        if (n->served[i]->file == first->file) rival_add(&mine, &n->served[i]->record, &any);
    for (size_t i = 0; i < n->n_records; i++) {
        const struct record *r = n->records[i];
        struct rival other = {.node = r->id};
        any = false;
        for (uint32_t k = 0; k < r->n_models; k++)
            if (strcmp(r->models[k].name, first->record.name) == 0) rival_add(&other, &r->models[k], &any);
        if (any && rival_yields(&mine, &other)) return true;
    }
    return false;
}

/* Has it no work in any of its copies here? */
static bool models_is_quiet(struct node *n, const struct served *first) {
    for (size_t i = 0; i < n->n_served; i++)
        if (n->served[i]->file == first->file && calls_load(n, n->served[i]->record.instance) > 0) return false;
    return true;
}

/* Two nodes that didn't see each other may both have loaded it; members/rival says which one stays. */
static bool models_is_double(struct node *n, struct served *s) {
    if (s->replica != 0) return false;
    if (!models_yields(n, s)) s->rival = 0;
    else if (s->rival == 0) s->rival = clock_now();
    return s->rival != 0 && clock_now() > s->rival + RIVAL_US && models_is_quiet(n, s);
}

/* Has it been idle for as long as it was to be kept? */
static bool models_is_over(struct node *n, struct served *s) {
    if (!wish_says(&s->record.wish, WISH_KEEP_S) || s->record.wish.kept) return false;
    clock_us now = clock_now(), used = calls_used(n, s->record.instance);
    if (!models_idle(n, s->record.instance)) used = now;
    if (used > s->used) s->used = used;
    return now >= s->used + (clock_us)s->record.wish.keep_s * 1000000u;
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
        models_close_name(n, s->record.name);
        return;
    }
    if (models_is_over(n, s)) {
        serve_evict(n, s, "it was idle for as long as its clients wanted it kept"); /* s is gone if its head is here */
        return;
    }
    if (s->record.failed && !s->record.wish.kept) {
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
    claims_update(n);
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
