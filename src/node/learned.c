/* SPDX-License-Identifier: MIT
 * What this node's models teach it (plan/learn): as the holder of a head it takes the pace of its ring from the requests that end there
 * and tells it in its record; as a coordinator it corrects the plan's constants by it and by what stages report, and keeps them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "plan/learn.h"
#include "node/calls.h"
#include "node/learned.h"
#include "node/links.h"
#include "node/members.h"
#include "node/node_priv.h"

enum { MAX_FILE = 1 << 20, MAX_PACES = 32, MAX_PLANS = 2 * RECORD_MAX_MODELS };

struct ring_pace {
    char instance[64];
    uint64_t epoch;
    struct pace pace;
};
/* Of a ring that this node coordinates. */
struct ring_plan {
    char instance[64];
    struct plan_figures predicted; /* for the running plan */
    uint64_t predicted_epoch, wire_epoch;
    uint8_t wire;                  /* enum frame_dtype of the hidden states on its links */
    uint32_t measured;             /* of the head's measurements, how many have been looked at */
};
struct learned {
    struct learn *core;
    char *path;                        /* NULL: nothing is kept */
    struct ring_pace paces[MAX_PACES]; /* of the heads that this node holds */
    uint32_t n_paces, next;
    struct ring_plan plans[MAX_PLANS];
};

void learned_open(struct node *n) {
    struct learned *l = MEM_NEW(struct learned);
    struct err e = {0};
    n->learned = l;
    l->core = learn_create();
    if (!n->config->state_dir) return;
    l->path = mem_printf("%slearnt.json", n->config->state_dir);
    struct buf b;
    buf_init(&b, MAX_FILE);
    err_code code = file_read(l->path, "what was learnt", &b, &e);
    if (code == ERR_OK) {
        code = learn_read(l->core, buf_cstr(&b), b.len, &e);
        err_prefix(&e, "\"%s\"", l->path);
    }
    if (code != ERR_OK && code != ERR_NOT_FOUND) log_warn("plan", "%s; it is learnt anew", e.text);
    buf_done(&b);
}

void learned_close(struct node *n) {
    if (!n->learned) return;
    learn_free(n->learned->core);
    free(n->learned->path);
    free(n->learned);
    n->learned = NULL;
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

static struct ring_pace *learned_ring(struct learned *l, const struct stage_order *o, bool make) {
    for (uint32_t i = 0; i < l->n_paces; i++)
        if (l->paces[i].epoch == o->epoch && strcmp(l->paces[i].instance, o->instance) == 0) return &l->paces[i];
    if (!make) return NULL;
    struct ring_pace *r = &l->paces[l->next++ % MAX_PACES];
    if (l->n_paces < MAX_PACES) l->n_paces++;
    *r = (struct ring_pace){.epoch = o->epoch};
    snprintf(r->instance, sizeof(r->instance), "%s", o->instance);
    return r;
}

void learned_event(struct node *n, struct stage_child *c, const uint8_t *payload, size_t len) {
    if (len < 9 || payload[8] != REQUEST_DONE || calls_count(n->calls) > 1) return;
    struct request_event *ev = MEM_NEW(struct request_event);
    if (request_event_decode(payload, len, ev, NULL) == ERR_OK &&
        learn_pace_add(&learned_ring(n->learned, stage_child_order(c), true)->pace, ev))
        node_changed(n);
    free(ev);
}

void learned_record(const struct node *n, const struct stage_order *o, struct record_stage *ret) {
    const struct ring_pace *r = o->stage == 0 ? learned_ring(n->learned, o, false) : NULL;
    if (!r || r->pace.measured == 0) return;
    ret->measured = r->pace.measured;
    ret->tps = r->pace.tps;
    ret->n_pace = r->pace.n_stage;
    memcpy(ret->pace, r->pace.stage_s, sizeof(ret->pace));
}

/* ---- the coordinator ---- */

void learned_memory(struct node *n, uint64_t node, const char *arch, double kv, double compute) {
    if (learn_memory(n->learned->core, clock_wall_s(), node, arch, kv, compute)) learned_save(n->learned);
}

void learned_correct(const struct node *n, const char *arch, struct plan_source *source) {
    struct learn_factors f = learn_most(n->learned->core, arch);
    plan_source_correct(source, f.kv, f.compute);
}

void learned_offer(const struct node *n, const char *arch, struct plan_node *p) {
    double speed = learn_get(n->learned->core, p->id, arch).speed;
    for (uint32_t i = 0; i < p->n_devices; i++) {
        p->devices[i].bandwidth = speed * plan_device_bandwidth(&p->devices[i]);
        p->devices[i].flops *= speed;
    }
}

/* What is known of this ring that the node coordinates; the place of one that is gone is given anew. NULL: it coordinates none such. */
static struct ring_plan *learned_known(const struct node *n, const char *instance, const struct instance **ret_in,
                                       const struct coordinator_model **ret_model) {
    struct learned *l = n->learned;
    struct ring_plan *at = NULL;
    *ret_in = coordinator_find(serve_core(n), instance, ret_model);
    for (uint32_t i = 0; *ret_in && i < MAX_PLANS; i++) {
        struct ring_plan *r = &l->plans[i];
        if (strcmp(r->instance, instance) == 0) return r;
        if (!at && !(r->instance[0] && coordinator_find(serve_core(n), r->instance, NULL))) at = r;
    }
    if (!at) return NULL;
    *at = (struct ring_plan){0};
    snprintf(at->instance, sizeof(at->instance), "%s", instance);
    return at;
}

/* The running plan with its own nodes, as plan_predict wants it; the caller frees the nodes. */
static struct plan_node *learned_plan(struct node *n, const struct instance *in, const struct coordinator_model *m, struct plan *p,
                                      struct plan_wish *wish) {
    *p = *instance_plan(in);
    *wish = (struct plan_wish){.link = links_between, .link_user = n, .streams = m->wish.streams};
    struct plan_node *nodes = mem_calloc(p->n_stage ? p->n_stage : 1, sizeof(*nodes));
    for (uint32_t i = 0; i < p->n_stage; i++) {
        nodes[i] = *instance_node(in, i);
        p->stages[i].node = i;
    }
    return nodes;
}

static uint8_t learned_choose(struct node *n, struct ring_plan *r, const struct instance *in, const struct coordinator_model *m) {
    struct plan p;
    struct plan_wish wish;
    if (r->wire_epoch == instance_epoch(in)) return r->wire; /* all stages the same, whatever links do meanwhile */
    struct plan_node *nodes = learned_plan(n, in, m, &p, &wish);
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

uint8_t learned_wire(struct node *n, const char *instance) {
    const struct instance *in;
    const struct coordinator_model *m;
    struct ring_plan *r = learned_known(n, instance, &in, &m);
    return r ? learned_choose(n, r, in, m) : FRAME_F32;
}

static void learned_predict(struct node *n, struct ring_plan *r, const struct instance *in, const struct coordinator_model *m) {
    struct plan p;
    struct plan_wish wish;
    struct plan_node *nodes = learned_plan(n, in, m, &p, &wish);
    r->predicted = (struct plan_figures){0};
    if (p.n_stage) {
        wish.wire_bytes = plan_wire_bytes(learned_choose(n, r, in, m));
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

/* What the head's holder has measured since, against the prediction. */
static void learned_compare(struct node *n, struct ring_plan *r, const struct instance *in, const char *arch,
                            const struct record_stage *head) {
    uint32_t n_stage = instance_plan(in)->n_stage;
    bool moved = false;
    if (head->measured == r->measured || head->n_pace != n_stage) return;
    r->measured = head->measured;
    for (uint32_t i = 0; i < n_stage; i++) {
        uint64_t node = instance_node(in, i)->id;
        if (!learn_speed(n->learned->core, clock_wall_s(), node, arch, r->predicted.stage_s[i], head->pace[i])) continue;
        moved = true;
        log_debug("plan", "stage %u computes a token in %.1f ms, predicted were %.1f ms", i, head->pace[i] * 1e3,
                  r->predicted.stage_s[i] * 1e3);
    }
    if (moved) learned_save(n->learned);
}

static void learned_follow_one(struct node *n, const char *instance) {
    const struct instance *in;
    const struct coordinator_model *m;
    struct ring_plan *r = learned_known(n, instance, &in, &m);
    uint32_t n_stage = r ? instance_plan(in)->n_stage : 0;
    if (!r) return;
    if (r->predicted_epoch != instance_epoch(in) || (n_stage > 0) != (r->predicted.token_s > 0)) learned_predict(n, r, in, m);
    if (n_stage == 0) return;
    uint64_t at = instance_node(in, 0)->id;
    struct record_stage own = {0};
    const struct record_stage *head = at == n->id ? NULL : learned_head(node_record(n, at), r);
    if (at == n->id) {
        struct stage_order o = {.epoch = r->predicted_epoch};
        snprintf(o.instance, sizeof(o.instance), "%s", instance);
        learned_record(n, &o, &own);
        head = &own;
    }
    if (head && head->measured) learned_compare(n, r, in, m->arch, head);
}

void learned_follow(struct node *n) {
    const struct record_model *m;
    for (size_t i = 0; (m = coordinator_get(serve_core(n), i)) != NULL; i++) learned_follow_one(n, m->instance);
}

void learned_model(const struct node *n, struct record_model *m) {
    const struct instance *in;
    const struct coordinator_model *model;
    const struct ring_plan *r = learned_known(n, m->instance, &in, &model);
    if (!r) return;
    m->predicted_tps = r->predicted.token_s > 0 ? 1 / r->predicted.token_s : 0;
    if (r->wire_epoch != 0) snprintf(m->wire, sizeof(m->wire), "%s", frame_dtype_name(r->wire));
}
