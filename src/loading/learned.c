/* SPDX-License-Identifier: MIT
 * See learned.h. */
#include "loading/learned.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "plan/learn.h"

enum { MAX_FILE = 1 << 20, MAX_PACES = 32, MAX_PLANS = 2 * RECORD_MAX_MODELS };

struct ring_pace {
    char instance[64];
    uint64_t epoch;
    struct pace pace;
};

/* A ring that this node coordinates. */
struct ring_plan {
    char instance[64];
    struct plan_figures predicted; /* for the running plan */
    uint64_t predicted_epoch, wire_epoch;
    uint8_t wire;                  /* enum frame_dtype of the hidden states on its links */
    uint32_t measured;             /* of the head's measurements, how many have been looked at */
};

struct learned {
    struct learned_parts parts;
    struct learn *core;
    char *path;                        /* NULL: nothing is kept */
    struct ring_pace paces[MAX_PACES]; /* of the heads that this node holds */
    uint32_t n_paces, next;
    struct ring_plan plans[MAX_PLANS];
};

static void learned_read(struct learned *l) {
    struct err e = {0};
    struct buf b;
    buf_init(&b, MAX_FILE);
    err_code code = file_read(l->path, "what was learnt", &b, &e);
    if (code == ERR_OK) {
        code = learn_read(l->core, buf_cstr(&b), b.len, &e);
        err_prefix(&e, "\"%s\"", l->path);
    }
    if (code != ERR_OK && code != ERR_NOT_FOUND) log_warn("plan", "%s; it is learnt again", e.text);
    buf_done(&b);
}

struct learned *learned_create(const struct learned_parts *parts) {
    struct learned *l = MEM_NEW(struct learned);
    l->parts = *parts;
    l->core = learn_create();
    l->path = parts->state_dir ? mem_printf("%slearnt.json", parts->state_dir) : NULL;
    if (l->path) learned_read(l);
    return l;
}

void learned_free(struct learned *l) {
    if (!l) return;
    learn_free(l->core);
    free(l->path);
    free(l);
}

static void learned_save(struct learned *l) {
    struct buf b;
    struct err e = {0};
    if (!l->path) return;
    buf_init(&b, MAX_FILE);
    learn_write(l->core, &b);
    if (file_write(l->path, b.data, b.len, &e) != ERR_OK) log_warn("plan", "%s", e.text);
    buf_done(&b);
}

/* ---- the holder of a head ---- */

static uint32_t learned_ring_at(const struct learned *l, const struct stage_order *o) {
    uint32_t i = 0;
    while (i < l->n_paces && (l->paces[i].epoch != o->epoch || strcmp(l->paces[i].instance, o->instance) != 0)) i++;
    return i;
}

static struct ring_pace *learned_ring(struct learned *l, const struct stage_order *o) {
    uint32_t at = learned_ring_at(l, o);
    if (at < l->n_paces) return &l->paces[at];
    struct ring_pace *r = &l->paces[l->next++ % MAX_PACES];
    if (l->n_paces < MAX_PACES) l->n_paces++;
    *r = (struct ring_pace){.epoch = o->epoch};
    snprintf(r->instance, sizeof(r->instance), "%s", o->instance);
    return r;
}

void learned_event(struct learned *l, const struct stage_order *o, const uint8_t *payload, size_t len) {
    struct request_event ev;
    if (request_event_peek(payload, len, &ev, NULL) != ERR_OK || ev.kind != REQUEST_DONE) return;
    if (request_event_decode(payload, len, &ev, NULL) == ERR_OK && learn_pace_add(&learned_ring(l, o)->pace, &ev)) news_own(l->parts.news);
}

void learned_record(const struct learned *l, const struct stage_order *o, struct record_stage *ret) {
    uint32_t at = learned_ring_at(l, o);
    if (o->stage != 0 || at == l->n_paces || l->paces[at].pace.measured == 0) return;
    const struct ring_pace *r = &l->paces[at];
    ret->measured = r->pace.measured;
    ret->tps = r->pace.tps;
    ret->n_pace = r->pace.n_stage;
    memcpy(ret->pace, r->pace.stage_s, sizeof(ret->pace));
}

/* ---- the coordinator ---- */

void learned_memory(struct learned *l, uint64_t node, const char *arch, double kv, double compute) {
    if (learn_memory(l->core, clock_wall_s(), node, arch, kv, compute)) learned_save(l);
}

void learned_correct(const struct learned *l, const char *arch, struct plan_source *source) {
    struct learn_factors f = learn_most(l->core, arch);
    plan_source_correct(source, f.kv, f.compute);
}

void learned_offer(const struct learned *l, const char *arch, struct plan_node *p) {
    double speed = learn_get(l->core, p->id, arch).speed;
    for (uint32_t i = 0; i < p->n_devices; i++) {
        p->devices[i].bandwidth = speed * plan_device_bandwidth(&p->devices[i]);
        p->devices[i].flops *= speed;
    }
}

/* What is known of a ring that this node coordinates; a new one takes the place of one that is gone. NULL: the node does not coordinate
 * it. */
static struct ring_plan *learned_known(struct learned *l, const char *instance, const struct instance **ret_in,
                                       const struct coordinator_model **ret_model) {
    struct ring_plan *at = NULL;
    *ret_in = coordinator_find(l->parts.core, instance, ret_model);
    for (uint32_t i = 0; *ret_in && i < MAX_PLANS; i++) {
        struct ring_plan *r = &l->plans[i];
        if (strcmp(r->instance, instance) == 0) return r;
        if (!at && !(r->instance[0] && coordinator_find(l->parts.core, r->instance, NULL))) at = r;
    }
    if (!at) return NULL;
    *at = (struct ring_plan){0};
    snprintf(at->instance, sizeof(at->instance), "%s", instance);
    return at;
}

/* The running plan with its own nodes, for plan_predict; the caller frees the nodes. */
static struct plan_node *learned_plan(struct learned *l, const struct instance *in, const struct coordinator_model *m, struct plan *p,
                                      struct plan_wish *wish) {
    *p = *instance_plan(in);
    *wish = (struct plan_wish){.link = links_between, .link_user = l->parts.links, .streams = m->wish.streams};
    struct plan_node *nodes = mem_calloc(p->n_stage ? p->n_stage : 1, sizeof(*nodes));
    for (uint32_t i = 0; i < p->n_stage; i++) {
        nodes[i] = *instance_node(in, i);
        p->stages[i].node = i;
    }
    return nodes;
}

static uint8_t learned_choose(struct learned *l, struct ring_plan *r, const struct instance *in, const struct coordinator_model *m) {
    struct plan p;
    struct plan_wish wish;
    if (r->wire_epoch == instance_epoch(in)) return r->wire; /* all stages of an epoch use one type, however the links change */
    struct plan_node *nodes = learned_plan(l, in, m, &p, &wish);
    const struct load_wish *w = &m->record.wish;
    bool choose = strcmp(w->wire_type, "auto") == 0 && !w->exact;
    r->wire = choose ? plan_wire_choose(&p, m->plan, nodes, &wish) : frame_dtype_of(w->wire_type);
    r->wire_epoch = instance_epoch(in);
    const char *name = frame_dtype_name(r->wire);
    const char *why = choose && strcmp(name, "f32") != 0 ? " (--wire-type auto: the links are slow)" : "";
    if (p.n_stage > 1) log_info("plan", "hidden states travel as %s%s", name, why);
    free(nodes);
    return r->wire;
}

uint8_t learned_wire(struct learned *l, const char *instance) {
    const struct instance *in;
    const struct coordinator_model *m = NULL;
    struct ring_plan *r = learned_known(l, instance, &in, &m);
    return r ? learned_choose(l, r, in, m) : FRAME_F32;
}

static void learned_predict(struct learned *l, struct ring_plan *r, const struct instance *in, const struct coordinator_model *m) {
    struct plan p;
    struct plan_wish wish;
    struct plan_node *nodes = learned_plan(l, in, m, &p, &wish);
    r->predicted = (struct plan_figures){0};
    if (p.n_stage) {
        wish.wire_bytes = plan_wire_bytes(learned_choose(l, r, in, m));
        plan_predict(&p, m->plan, nodes, &wish, &r->predicted);
    }
    r->predicted_epoch = instance_epoch(in);
    r->measured = 0;
    free(nodes);
}

static const struct record_stage *learned_head(const struct record *of, const struct ring_plan *r) {
    for (uint32_t i = 0; of && i < of->n_stages; i++)
        if (of->stages[i].stage == 0 && of->stages[i].epoch == r->predicted_epoch && strcmp(of->stages[i].instance, r->instance) == 0)
            return &of->stages[i];
    return NULL;
}

/* Compares the prediction with what the head's holder has measured since. */
static void learned_compare(struct learned *l, struct ring_plan *r, const struct instance *in, const char *arch,
                            const struct record_stage *head) {
    uint32_t n_stage = instance_plan(in)->n_stage;
    bool moved = false;
    if (head->measured == r->measured || head->n_pace != n_stage) return;
    r->measured = head->measured;
    for (uint32_t i = 0; i < n_stage; i++) {
        uint64_t node = instance_node(in, i)->id;
        if (!learn_speed(l->core, clock_wall_s(), node, arch, r->predicted.stage_s[i], head->pace[i])) continue;
        moved = true;
        log_debug("plan", "stage %u computes a token in %.1f ms, predicted were %.1f ms", i, head->pace[i] * 1e3,
                  r->predicted.stage_s[i] * 1e3);
    }
    if (moved) learned_save(l);
}

static void learned_follow_one(struct learned *l, const char *instance) {
    const struct instance *in;
    const struct coordinator_model *m;
    struct ring_plan *r = learned_known(l, instance, &in, &m);
    uint32_t n_stage = r ? instance_plan(in)->n_stage : 0;
    if (!r) return;
    if (r->predicted_epoch != instance_epoch(in) || (n_stage > 0) != (r->predicted.token_s > 0)) learned_predict(l, r, in, m);
    if (n_stage == 0) return;
    uint64_t at = instance_node(in, 0)->id;
    struct record_stage own = {0};
    const struct record_stage *head = at == l->parts.self ? NULL : learned_head(records_linked(l->parts.records, at), r);
    if (at == l->parts.self) {
        struct stage_order o = {.epoch = r->predicted_epoch};
        snprintf(o.instance, sizeof(o.instance), "%s", instance);
        learned_record(l, &o, &own);
        head = &own;
    }
    if (head && head->measured) learned_compare(l, r, in, m->arch, head);
}

void learned_follow(struct learned *l) {
    const struct record_model *m;
    for (size_t i = 0; (m = coordinator_get(l->parts.core, i)) != NULL; i++) learned_follow_one(l, m->instance);
}

void learned_model(const struct learned *l, struct record_model *m) {
    for (uint32_t i = 0; i < MAX_PLANS; i++) {
        const struct ring_plan *r = &l->plans[i];
        if (strcmp(r->instance, m->instance) != 0) continue;
        m->predicted_tps = r->predicted.token_s > 0 ? 1 / r->predicted.token_s : 0;
        if (r->wire_epoch != 0) snprintf(m->wire, sizeof(m->wire), "%s", frame_dtype_name(r->wire));
    }
}
