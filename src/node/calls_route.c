/* SPDX-License-Identifier: MIT
 * Where requests go: the models as clients see them, the choice among replicas, and what heads tell of their work (frame BUSY). */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "node/calls.h"
#include "node/members.h"
#include "members/ask.h"
#include "node/calls_priv.h"

/* The k-th instance of the i-th node, this one being 0, those without a link to here the last; NULL: there are no more. An instance whose
 * coordinator is out of reach can be asked all the same, if its head is in reach. */
static const struct record_model *calls_instance(const struct node *n, size_t i, size_t k) {
    if (i == 0) return coordinator_get(serve_core(n), k);
    const struct record *r = i <= n->n_records ? n->records[i - 1] : n->suspects[i - 1 - n->n_records];
    return k < r->n_models ? &r->models[k] : NULL;
}

static size_t calls_nodes(const struct node *n) { return 1 + n->n_records + n->n_suspects; }

/* Is its head a node that can be reached? */
static bool calls_reaches(const struct node *n, const struct record_model *m) {
    return m->ready && (m->head == n->id || node_record(n, m->head) != NULL);
}

bool calls_ready(const struct node *n, const char *name) {
    const struct record_model *m;
    for (size_t i = 0; i < calls_nodes(n); i++)
        for (size_t k = 0; (m = calls_instance(n, i, k)) != NULL; k++)
            if (strcmp(m->name, name) == 0 && calls_reaches(n, m)) return true;
    return false;
}

/* What is known exactly, the router need not hear from others: the work of heads that are here. */
static void calls_look_here(struct node *n, const char *instance) {
    struct stage_child *child;
    uint64_t count;
    for (size_t i = 0; (child = stages_get(n->stages, i)); i++)
        if (stage_child_order(child)->stage == 0 && strcmp(stage_child_order(child)->instance, instance) == 0)
            router_report(n->calls->router, clock_now(), instance, (uint32_t)calls_on_instance(n->calls, instance),
                          stage_child_asked(child, &count));
}

err_code calls_pick(struct node *n, const char *model, const struct router_prefix *prefix, const struct record_model **ret, struct err *e) {
    enum { MAX_TARGETS = 64 };
    const struct record_model *found[MAX_TARGETS], *m;
    struct router_target targets[MAX_TARGETS];
    size_t count = 0, at = 0;
    for (size_t i = 0; i < calls_nodes(n); i++)
        for (size_t k = 0; (m = calls_instance(n, i, k)) != NULL && count < MAX_TARGETS; k++) {
            if (strcmp(m->name, model) != 0 || !calls_reaches(n, m)) continue;
            if (m->head == n->id) calls_look_here(n, m->instance);
            found[count] = m;
            targets[count++] =
                (struct router_target){.instance = m->instance, .capacity = m->wish.parallel + n->config->queue, .here = m->head == n->id};
        }
    if (count == 0) {
        struct coordinator_claim c;
        if (!serve_claimed(n, model, &c)) return err_set(e, ERR_NOT_FOUND, "model \"%s\" is not loaded", model);
        m = c.model;
        if (m->ready) return err_set(e, ERR_UNAVAILABLE, "the node that answers for model \"%s\" cannot be reached", m->name);
        return err_set(e, ERR_UNAVAILABLE, "model \"%s\" is not ready: %s", m->name, m->message[0] ? m->message : "it is being loaded");
    }
    err_code code = router_pick(n->calls->router, clock_now(), targets, count, prefix, &at, e);
    if (code == ERR_OK) *ret = found[at];
    return code;
}

uint32_t calls_load(struct node *n, const char *instance) {
    calls_look_here(n, instance);
    return router_load(n->calls->router, clock_now(), instance);
}

clock_us calls_used(struct node *n, const char *instance) { return router_used(n->calls->router, clock_now(), instance); }

/* ---- as clients see them ---- */

/* The list that is being made, and where in it a name is: 1 + its place, by the name's hash; a power of two that is never full. */
struct collection {
    struct calls *calls;
    uint16_t places[2 * CALLS_MAX_MODELS];
};

/* Where the name is, or is to be put. */
static uint16_t *collection_place(struct collection *l, const char *name) {
    uint32_t h = 0x811C9DC5u; /* FNV-1a */
    for (const char *p = name; *p; p++) h = (h ^ (uint8_t)*p) * 0x01000193u;
    size_t mask = ARRAY_LEN(l->places) - 1, at = h & mask;
    while (l->places[at] != 0 && strcmp(l->calls->models[l->places[at] - 1].id, name) != 0) at = (at + 1) & mask;
    return &l->places[at];
}

/* The first of a name counts. The strings of m are copied. */
static void models_add(struct collection *l, struct backend_model m) {
    struct calls *c = l->calls;
    uint16_t *place = collection_place(l, m.id);
    if (*place != 0 || c->n_models == CALLS_MAX_MODELS) return;
    m.id = arena_strdup(c->models_text, m.id);
    m.chat_template = arena_strdup(c->models_text, m.chat_template);
    m.bos = arena_strdup(c->models_text, m.bos);
    m.eos = arena_strdup(c->models_text, m.eos);
    m.message = arena_strdup(c->models_text, m.message);
    if (c->n_models % 16 == 0) c->models = mem_realloc(c->models, c->n_models + 16, sizeof(*c->models));
    c->models[c->n_models++] = m;
    *place = (uint16_t)c->n_models;
}

/* Of several replicas only one carries the template. */
static const char *models_template(const struct node *n, const char *name) {
    const struct record_model *m;
    for (size_t i = 0; i < calls_nodes(n); i++)
        for (size_t k = 0; (m = calls_instance(n, i, k)) != NULL; k++)
            if (m->chat_template && strcmp(m->name, name) == 0) return m->chat_template;
    return NULL;
}

/* The instance of this name that can answer soonest. */
static const struct record_model *models_best(const struct node *n, const char *name) {
    const struct record_model *found = NULL, *m;
    int best = -1;
    for (size_t i = 0; i < calls_nodes(n); i++)
        for (size_t k = 0; (m = calls_instance(n, i, k)) != NULL; k++) {
            int rank = calls_reaches(n, m) ? 3 : m->ready ? 2 : !m->failed;
            if (strcmp(m->name, name) != 0 || rank <= best) continue;
            best = rank;
            found = m;
        }
    return found;
}

static void models_add_instance(struct node *n, struct collection *l, const char *name) {
    const struct record_model *best = models_best(n, name);
    models_add(l, (struct backend_model){.id = best->name,
                                         .chat_template = models_template(n, best->name),
                                         .bos = best->bos,
                                         .eos = best->eos,
                                         .n_ctx = best->n_ctx,
                                         .n_vocab = best->n_vocab,
                                         .created = best->created,
                                         .ready = calls_reaches(n, best),
                                         .facts = best->facts,
                                         .loadable = !best->failed || !best->wish.kept,
                                         .message = best->message});
}

static void models_add_card(struct collection *l, const struct model_card *card, bool loadable) {
    models_add(l, (struct backend_model){
                      .id = card->name, .bos = "", .eos = "", .n_ctx = card->n_ctx, .loadable = loadable, .message = "it is not loaded"});
}

/* It was there, and will be again when a node with its file is. */
static void models_add_orphan(struct node *n, struct collection *l, const struct orphan *o) {
    struct coordinator_view v = serve_view(n);
    bool heir = coordinator_heir(&v, o->name) != 0;
    const char *message = heir ? "the node that looked after it is gone" : "the node that has its file is gone";
    models_add(l, (struct backend_model){.id = o->name,
                                         .bos = "",
                                         .eos = "",
                                         .n_ctx = o->wish.ctx,
                                         .loadable = heir && (o->wish.kept || n->config->load_on_demand),
                                         .message = message});
}

static void models_collect(struct node *n) {
    struct collection *l = MEM_NEW(struct collection);
    struct calls *c = l->calls = n->calls;
    const struct record_model *m;
    const struct catalog_entry *file;
    arena_free(c->models_text);
    c->models_text = arena_create();
    c->n_models = 0;
    for (size_t i = 0; i < calls_nodes(n); i++)
        for (size_t k = 0; (m = calls_instance(n, i, k)) != NULL; k++) models_add_instance(n, l, m->name);
    const struct orphans *orphans = coordinator_orphans(serve_core(n));
    for (uint32_t i = 0; i < orphans->n; i++) models_add_orphan(n, l, &orphans->list[i]);
    for (size_t i = 0; (file = catalog_get(n->catalog, i)) != NULL; i++) models_add_card(l, &file->card, n->config->load_on_demand);
    for (size_t i = 0; i < n->n_records; i++)
        for (uint32_t k = 0; k < n->records[i]->n_cards; k++) models_add_card(l, &n->records[i]->cards[k], n->config->load_on_demand);
    free(l);
}

const struct backend_model *calls_models(void *self, size_t *ret_n) {
    struct node *n = self;
    struct calls *c = n->calls;
    if (!c->models_text || c->models_news != n->news) models_collect(n);
    c->models_news = n->news;
    *ret_n = c->n_models;
    return c->models;
}

/* By what is known here: of several copies the one that stays longest. */
int64_t calls_expires(void *self, const char *model) {
    struct node *n = self;
    const struct record_model *m;
    int64_t latest = 0;
    for (size_t i = 0; i < calls_nodes(n); i++)
        for (size_t k = 0; (m = calls_instance(n, i, k)) != NULL; k++) {
            if (strcmp(m->name, model) != 0 || !m->ready) continue;
            if (!wish_says(&m->wish, WISH_KEEP_S) || m->wish.kept) return INT64_MAX;
            clock_us now = clock_now(), used = calls_load(n, m->instance) > 0 ? now : calls_used(n, m->instance);
            int64_t left = (int64_t)m->wish.keep_s - (int64_t)((now - used) / 1000000u);
            if (left < 0) left = 0;
            if (clock_wall_s() + left > latest) latest = clock_wall_s() + left;
        }
    return latest > 0 ? latest : INT64_MAX;
}

/* ---- what heads say of their work ---- */

/* Does anybody coordinate this instance? */
static bool calls_keep(void *user, const char *instance) {
    const struct node *n = user;
    const struct record_model *m;
    for (size_t i = 0; i < calls_nodes(n); i++)
        for (size_t k = 0; (m = calls_instance(n, i, k)) != NULL; k++)
            if (strcmp(m->instance, instance) == 0) return true;
    return false;
}

/* It is told when something has changed. */
void calls_tell_busy(struct node *n) {
    struct calls *c = n->calls;
    struct stage_child *child;
    struct ask_busy list[STAGES_MAX];
    size_t count = 0;
    clock_us now = clock_now();
    uint64_t news = 0;
    for (size_t i = 0; (child = stages_get(n->stages, i)); i++) {
        const struct stage_order *o = stage_child_order(child);
        if (o->stage != 0) continue;
        uint64_t total, calls = calls_on_instance(c, o->instance);
        clock_us asked = stage_child_asked(child, &total);
        struct ask_busy *b = &list[count++];
        *b = (struct ask_busy){.calls = (uint32_t)calls, .idle_ms = asked ? (now - asked) / 1000 : UINT64_MAX};
        snprintf(b->instance, sizeof(b->instance), "%s", o->instance);
        news = news * 1000003u + o->epoch + total * 31 + calls;
    }
    struct buf b;
    buf_init(&b, frame_max_payload(FRAME_BUSY));
    ask_busy_encode(list, count, &b);
    for (size_t i = 0; i < n->n_records && news != c->told && !b.failed; i++)
        control_send(n->control, n->records[i]->id, FRAME_BUSY, 0, b.data, b.len);
    c->told = news;
    buf_done(&b);
}

void calls_tell_anew(struct node *n) { n->calls->told = 0; }

err_code calls_on_busy(struct node *n, const uint8_t *payload, size_t len, struct err *e) {
    struct ask_busy list[RECORD_MAX_STAGES];
    size_t count = 0;
    clock_us now = clock_now();
    err_code code = ask_busy_decode(payload, len, list, &count, e);
    for (size_t i = 0; code == ERR_OK && i < count; i++)
        if (calls_keep(n, list[i].instance))
            router_report(n->calls->router, now, list[i].instance, list[i].calls,
                          list[i].idle_ms < now / 1000 ? now - list[i].idle_ms * 1000 : 0);
    return code;
}

void calls_update(struct node *n) {
    router_sweep(n->calls->router, calls_keep, n);
    calls_wait_all(n);
}
