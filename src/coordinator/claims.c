/* SPDX-License-Identifier: MIT
 * See claims.h. */
#include "coordinator/claims.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "coordinator/copy.h"
#include "coordinator/rival.h"

#define SUSPECT_US 10000000u /* a coordinator without a link to here keeps its models for so long, though it is not gone */
#define OWN_US     5000000u  /* after a start, other nodes that may look after this node's models by now have so long to be heard */
#define RESTART_US 2000000u  /* a node that was started again may have its models on its command line */

static int claim_rank(const struct record_model *m) { return m->ready ? 2 : !m->failed; }

static void claim_look(struct coordinator_claim *best, const struct record *r, const char *name, bool linked) {
    for (uint32_t k = 0; k < r->n_models; k++) {
        const struct record_model *m = &r->models[k];
        if (strcmp(m->name, name) != 0 || (best->model && claim_rank(best->model) >= claim_rank(m))) continue;
        *best = (struct coordinator_claim){.model = m, .node = r->id, .node_name = r->name, .linked = linked};
    }
}

bool coordinator_claimed(const struct coordinator *c, clock_us now, const struct coordinator_view *v, const char *name,
                         struct coordinator_claim *ret) {
    *ret = (struct coordinator_claim){0};
    for (size_t i = 0; i < c->n_copies; i++) {
        const struct copy *x = c->copies[i];
        if (x->state == COPY_CLOSING || strcmp(x->record.name, name) != 0) continue;
        *ret = (struct coordinator_claim){.model = &x->record, .node = c->self, .node_name = v->records[0]->name, .linked = true};
        return true;
    }
    for (size_t i = 1; i < v->n_linked; i++) claim_look(ret, v->records[i], name, true);
    for (size_t i = v->n_linked; i < v->n_records && !ret->model; i++)
        if (now < v->records[i]->unlinked + SUSPECT_US) claim_look(ret, v->records[i], name, false);
    return ret->model != NULL;
}

static bool record_has_file(const struct record *r, const char *name) {
    for (uint32_t i = 0; i < r->n_cards; i++)
        if (strcmp(r->cards[i].name, name) == 0) return true;
    return false;
}

/* Of machines that are to be emptied, or of the others: the smallest id that has the file. 0: none has. */
static uint64_t heir_among(const struct coordinator_view *v, const char *name, bool drained) {
    uint64_t node = 0;
    for (size_t i = 0; i < v->n_linked; i++) {
        const struct record *r = v->records[i];
        if (r->drained == drained && record_has_file(r, name) && (node == 0 || r->id < node)) node = r->id;
    }
    return node;
}

uint64_t coordinator_heir(const struct coordinator_view *v, const char *name) {
    uint64_t node = heir_among(v, name, false);
    return node != 0 ? node : heir_among(v, name, true);
}

err_code coordinator_loader(const struct coordinator *c, clock_us now, const struct coordinator_view *v, const char *name, uint64_t *ret,
                            struct err *e) {
    struct coordinator_claim claim;
    bool claimed = coordinator_claimed(c, now, v, name, &claim);
    const struct orphan *orphan = orphans_find(&c->orphans, name);
    *ret = claimed ? claim.node : coordinator_heir(v, name);
    if (claimed && !claim.linked)
        return err_set(e, ERR_UNAVAILABLE, "node %s, which looks after model \"%s\", cannot be reached", claim.node_name, name);
    if (*ret == 0 && orphan)
        return err_set(e, ERR_UNAVAILABLE, "node %s, which has the file of model \"%s\", is gone", orphan->node_name, name);
    return ERR_OK;
}

/* When somebody last had the model unloaded, as far as linked nodes know; 0: never. */
static uint32_t claims_unloaded(const struct coordinator *c, const struct coordinator_view *v, const char *name) {
    uint32_t last = unloads_time(&c->unloads, name);
    for (size_t i = 1; i < v->n_linked; i++) {
        uint32_t time = unloads_time(&v->records[i]->unloads, name);
        if (time > last) last = time;
    }
    return last;
}

static uint32_t wish_weight(const struct load_wish *w) { return w->kept ? w->asked : 0; }

/* What users asked for counts most, the last of it; of equal wishes the first one seen. */
static void wish_look(const struct load_wish **best, const struct load_wish *w, uint32_t unloaded) {
    if (w->asked >= unloaded && (*best == NULL || wish_weight(w) > wish_weight(*best))) *best = w;
}

void coordinator_wish(const struct coordinator *c, const struct coordinator_view *v, const char *name, struct load_wish *wish) {
    const struct orphan *orphan = orphans_find(&c->orphans, name);
    const struct load_wish given = *wish, *best = NULL;
    uint32_t unloaded = claims_unloaded(c, v, name);
    bool remembered = wish_says(wish, WISH_ASKED); /* by the node that asks: it is one of those to choose from */
    if (remembered) wish_look(&best, &given, unloaded);
    for (size_t i = 0; i < c->n_copies; i++)
        if (c->copies[i]->state != COPY_CLOSING && strcmp(c->copies[i]->record.name, name) == 0)
            wish_look(&best, &c->copies[i]->record.wish, unloaded);
    if (orphan) wish_look(&best, &orphan->wish, unloaded);
    for (size_t i = 1; i < v->n_records; i++)
        for (uint32_t k = 0; k < v->records[i]->n_models; k++)
            if (strcmp(v->records[i]->models[k].name, name) == 0) wish_look(&best, &v->records[i]->models[k].wish, unloaded);
    if (best == NULL || best == &given) return;
    struct load_wish earlier = *best;
    wish_unset(&earlier, WISH_PINNED); /* it belongs to a command line */
    if (remembered) *wish = (struct load_wish){0};
    wish_merge(wish, &earlier);
}

/* ---- models whose coordinator is gone ---- */

void coordinator_node_lost(struct coordinator *c, clock_us now, const struct record *lost, bool restarted) {
    for (uint32_t i = 0; i < lost->n_models; i++) {
        const struct record_model *m = &lost->models[i];
        struct orphan one = {.wish = m->wish, .node = lost->id, .since = now, .from = restarted ? now + RESTART_US : now};
        if (m->replica != 0) continue;
        snprintf(one.name, sizeof(one.name), "%s", m->name);
        snprintf(one.node_name, sizeof(one.node_name), "%s", lost->name);
        orphans_add(&c->orphans, &one);
    }
}

void coordinator_restore(struct coordinator *c, clock_us now, const char *self_name, const struct orphans *models,
                         const struct unloads *unloads) {
    c->unloads = *unloads;
    for (uint32_t i = 0; i < models->n; i++) {
        struct orphan one = models->list[i];
        one.node = c->self;
        snprintf(one.node_name, sizeof(one.node_name), "%s", self_name);
        one.since = now;
        one.from = now + OWN_US;
        orphans_add(&c->orphans, &one);
    }
}

/* The models that somebody asked for, except for the model of the command line, which is asked for again at each start. */
void coordinator_saved(const struct coordinator *c, struct orphans *ret) {
    for (size_t i = 0; i < c->n_copies; i++) {
        const struct copy *x = c->copies[i];
        struct orphan one = {.wish = x->record.wish};
        if (x->state == COPY_CLOSING || x->record.replica != 0 || !x->record.wish.kept || x->record.wish.pinned) continue;
        snprintf(one.name, sizeof(one.name), "%s", x->record.name);
        snprintf(one.path, sizeof(one.path), "%s", x->model->path);
        orphans_add(ret, &one);
    }
    for (uint32_t i = 0; i < c->orphans.n; i++)
        if (c->orphans.list[i].node == c->self) orphans_add(ret, &c->orphans.list[i]);
}

struct look {
    const struct coordinator *c;
    const struct coordinator_view *v;
    clock_us now;
};

uint32_t claims_now(const struct coordinator *c, const struct coordinator_view *v, const char *name) {
    uint32_t now = (uint32_t)v->wall, last = claims_unloaded(c, v, name);
    return now > last ? now : last;
}

static struct orphan_view claims_look(void *user, const char *name) {
    const struct look *l = user;
    struct coordinator_claim claim;
    return (struct orphan_view){.claimed = coordinator_claimed(l->c, l->now, l->v, name, &claim),
                                .heir = coordinator_heir(l->v, name),
                                .unloaded = claims_unloaded(l->c, l->v, name)};
}

void claims_update(struct coordinator *c, clock_us now, const struct coordinator_view *v) {
    struct look look = {.c = c, .v = v, .now = now};
    struct orphan_action x;
    while (orphans_next(&c->orphans, now, c->self, claims_look, &look, &x) != ORPHAN_NOTHING) {
        struct coordinator_action a = {
            .kind = x.act == ORPHAN_LOAD ? COORDINATOR_TAKE : COORDINATOR_TELL, .node = x.heir, .orphan = x.orphan};
        coordinator_act(c, &a);
    }
}

/* ---- two coordinators of one model ---- */

static void rival_add(struct rival *x, const struct record_model *m, bool *any) {
    x->failed = m->failed && (!*any || x->failed);
    x->ready |= m->ready;
    x->pinned |= m->wish.pinned;
    if (m->wish.kept && m->wish.asked > x->asked) x->asked = m->wish.asked;
    *any = true;
}

bool claims_yields(const struct coordinator *c, const struct coordinator_view *v, const struct copy *x) {
    struct rival mine = {.node = c->self,
                         .stuck = instance_get_state(x->instance) == INSTANCE_WAITING && instance_trouble(x->instance) != ERR_OK};
    bool any = false;
    for (size_t i = 0; i < c->n_copies; i++) {
        const struct copy *own = c->copies[i];
        if (own->state != COPY_CLOSING && strcmp(own->record.name, x->record.name) == 0) rival_add(&mine, &own->record, &any);
    }
    for (size_t i = 1; i < v->n_linked; i++) {
        const struct record *r = v->records[i];
        struct rival other = {.node = r->id};
        any = false;
        for (uint32_t k = 0; k < r->n_models; k++)
            if (strcmp(r->models[k].name, x->record.name) == 0 && strcmp(r->models[k].facts.digest, x->record.facts.digest) == 0)
                rival_add(&other, &r->models[k], &any);
        if (any && rival_yields(&mine, &other)) return true;
    }
    return false;
}
