/* SPDX-License-Identifier: MIT
 * See flow.h. */
#include "calls/flow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "routing/router.h"

struct stage_sums {
    uint64_t frames, compute_us, wait_us, hop_us;
};

struct ring {
    char instance[ROUTER_MAX_NAME];
    uint64_t tokens;
    struct request_guesses guesses[REQUEST_GUESS_KINDS];
    uint32_t n_stage;
    struct stage_sums stages[REQUEST_MAX_HOPS];
};

struct flow {
    struct ring rings[FLOW_MAX_RINGS]; /* in the order in which they were first seen */
    size_t n;
    uint64_t tokens; /* of all rings that there were */
};

struct flow *flow_create(void) { return MEM_NEW(struct flow); }

void flow_free(struct flow *f) { free(f); }

static void forget(struct flow *f, size_t i) { memmove(&f->rings[i], &f->rings[i + 1], (--f->n - i) * sizeof(*f->rings)); }

static struct ring *ring_of(struct flow *f, const char *instance) {
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->rings[i].instance, instance) == 0) return &f->rings[i];
    if (f->n == FLOW_MAX_RINGS) forget(f, 0);
    struct ring *r = &f->rings[f->n++];
    *r = (struct ring){0};
    snprintf(r->instance, sizeof(r->instance), "%s", instance);
    return r;
}

void flow_event(struct flow *f, const char *instance, const struct request_event *ev) {
    if (!instance[0]) return;
    struct ring *r = ring_of(f, instance);
    r->tokens += ev->kind == REQUEST_TOKEN;
    f->tokens += ev->kind == REQUEST_TOKEN;
    if (ev->kind == REQUEST_DONE) request_guesses_add(ev, r->guesses);
    for (uint32_t i = 0; ev->kind == REQUEST_DONE && i < ev->n_hop; i++) {
        const struct request_hop *h = &ev->hops[i];
        if (h->stage >= REQUEST_MAX_HOPS) continue;
        struct stage_sums *s = &r->stages[h->stage];
        s->frames += h->frames;
        s->compute_us += h->compute_us;
        s->wait_us += h->wait_us;
        s->hop_us += h->hop_us;
        if (h->stage >= r->n_stage) r->n_stage = h->stage + 1;
    }
}

static void put_guesses(const struct ring *r, yyjson_mut_doc *doc, yyjson_mut_val *o) {
    yyjson_mut_val *kinds = yyjson_mut_obj_add_obj(doc, o, "guesses");
    for (int i = 0; i < REQUEST_GUESS_KINDS; i++) {
        yyjson_mut_val *kind = yyjson_mut_obj_add_obj(doc, kinds, request_guess_name(i));
        yyjson_mut_obj_add_uint(doc, kind, "made", r->guesses[i].made);
        yyjson_mut_obj_add_uint(doc, kind, "right", r->guesses[i].right);
    }
}

uint64_t flow_tokens(const struct flow *f) { return f->tokens; }

void flow_status(const struct flow *f, yyjson_mut_doc *doc, yyjson_mut_val *root) {
    yyjson_mut_val *rings = yyjson_mut_obj_add_arr(doc, root, "rings");
    for (size_t i = 0; i < f->n; i++) {
        const struct ring *r = &f->rings[i];
        yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, rings), *stages;
        yyjson_mut_obj_add_strcpy(doc, o, "instance", r->instance);
        yyjson_mut_obj_add_uint(doc, o, "tokens", r->tokens);
        put_guesses(r, doc, o);
        stages = yyjson_mut_obj_add_arr(doc, o, "stages");
        for (uint32_t k = 0; k < r->n_stage; k++) {
            yyjson_mut_val *s = yyjson_mut_arr_add_obj(doc, stages);
            yyjson_mut_obj_add_uint(doc, s, "frames", r->stages[k].frames);
            yyjson_mut_obj_add_uint(doc, s, "compute_us", r->stages[k].compute_us);
            yyjson_mut_obj_add_uint(doc, s, "wait_us", r->stages[k].wait_us);
            yyjson_mut_obj_add_uint(doc, s, "hop_us", r->stages[k].hop_us);
        }
    }
}
