/* SPDX-License-Identifier: MIT
 * See calls.h. The port through which the gateway reaches the calls. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "calls/calls_priv.h"

static err_code backend_submit(void *self, const struct request *r, backend_event_fn fn, void *user, struct backend_call **ret,
                               struct err *e) {
    struct calls *c = self;
    const struct record_model *m;
    struct router_request q;
    if (r->text) router_request_make(r->text, r->text_len, r->max_tokens, &q);
    else router_request_make(r->tokens, r->n_tokens * sizeof(*r->tokens), r->max_tokens, &q);
    if (!r->text) q.tokens = r->n_tokens;
    q.session = r->session;
    err_code code = balance_pick(c->parts.balance, r->model, &q, &m, e);
    if (code != ERR_OK) return code;
    struct backend_call *call = MEM_NEW(struct backend_call);
    call->fn = fn;
    call->user = user;
    char instance[ROUTER_MAX_NAME];
    snprintf(instance, sizeof(instance), "%s", m->instance);
    code = calls_start(c, r, instance, m->head, call, e);
    clock_us predicted = balance_begin(c->parts.balance, instance, &q);
    if (code != ERR_OK) {
        balance_end(c->parts.balance, instance, predicted, code);
        return code;
    }
    call->predicted = predicted;
    snprintf(call->instance, sizeof(call->instance), "%s", instance);
    *ret = call;
    return ERR_OK;
}

static err_code backend_text(struct calls *c, const char *model, struct tokenize_ask *ask, backend_text_fn fn, void *user,
                             struct backend_call **ret, struct err *e) {
    const struct record_model *m;
    err_code code = balance_pick(c->parts.balance, model, NULL, &m, e);
    if (code != ERR_OK) return code;
    struct backend_call *call = MEM_NEW(struct backend_call);
    call->text_fn = fn;
    call->user = user;
    ask->name = m->instance;
    ask->name_len = (uint8_t)strlen(m->instance); /* under ROUTER_MAX_NAME */
    code = calls_start_text(c, ask, m->head, call, e);
    if (code == ERR_OK) *ret = call;
    return code;
}

static err_code backend_tokenize(void *self, const char *model, const char *text, size_t len, bool bos, bool special, backend_text_fn fn,
                                 void *user, struct backend_call **ret, struct err *e) {
    struct tokenize_ask ask = {.bos = bos, .special = special, .text = text, .text_len = len};
    return backend_text(self, model, &ask, fn, user, ret, e);
}

static err_code backend_detokenize(void *self, const char *model, const int32_t *tokens, size_t count, backend_text_fn fn, void *user,
                                   struct backend_call **ret, struct err *e) {
    struct tokenize_ask ask = {.back = true, .tokens = tokens, .n_tokens = count, .text_len = 4 * count};
    return backend_text(self, model, &ask, fn, user, ret, e);
}

static void backend_cancel(void *self, struct backend_call *call) { calls_cancel(self, call); }

/* A remote head's node is named by its record; a node that is gone just now has none any more. */
static void backend_place(void *self, const struct backend_call *call, char *ret, size_t size) {
    const struct calls *c = self;
    const struct record *there = call->child == NULL ? records_any(c->parts.instances.records, call->node) : NULL;
    const char *node = call->child != NULL ? c->parts.node_name : there != NULL ? there->name : "?";
    snprintf(ret, size, "%.64s/%s", node, call->instance);
}

static void put_stage(struct backend_stage *ret, size_t max, uint32_t stage, const char *node, uint32_t first, uint32_t end) {
    if (stage >= max) return;
    snprintf(ret[stage].node, sizeof(ret[stage].node), "%.64s", node);
    ret[stage].first = first;
    ret[stage].end = end;
}

static void put_stages(const struct record *r, const char *instance, struct backend_stage *ret, size_t max) {
    for (uint32_t k = 0; k < r->n_stages; k++) {
        const struct record_stage *s = &r->stages[k];
        if (strcmp(s->instance, instance) == 0) put_stage(ret, max, s->stage, r->name, s->first, s->end);
    }
}

static void backend_stages(void *self, const char *place, struct backend_stage *ret, size_t max) {
    const struct calls *c = self;
    const struct records *all = c->parts.instances.records;
    const char *slash = strrchr(place, '/'), *instance = slash != NULL ? slash + 1 : place;
    struct stage_child *child;
    for (size_t i = 0; (child = stages_get(c->parts.stages, i)) != NULL; i++) {
        const struct stage_order *o = stage_child_order(child);
        if (strcmp(o->instance, instance) == 0) put_stage(ret, max, o->stage, c->parts.node_name, o->first, o->end);
    }
    for (size_t i = 0; i < all->n_linked; i++) put_stages(all->linked[i], instance, ret, max);
    for (size_t i = 0; i < all->n_suspects; i++) put_stages(all->suspects[i], instance, ret, max);
}

static void backend_keep(void *self, const char *model, int32_t seconds, bool may_unload) {
    const struct calls *c = self;
    c->parts.callbacks.keep(c->parts.user, model, seconds, may_unload);
}

static int64_t backend_expires(void *self, const char *model) {
    const struct calls *c = self;
    return balance_expires(c->parts.balance, model);
}

static const struct backend_model *backend_models(void *self, size_t *ret_n) {
    const struct calls *c = self;
    return model_list_get(c->parts.models, ret_n);
}

static yyjson_mut_val *backend_status(void *self, yyjson_mut_doc *doc) {
    const struct calls *c = self;
    return c->parts.callbacks.status(c->parts.user, doc);
}

static yyjson_mut_val *backend_listing(void *self, yyjson_mut_doc *doc) {
    const struct calls *c = self;
    return c->parts.callbacks.listing(c->parts.user, doc);
}

static void backend_count(void *self, struct backend_counts *ret) {
    const struct calls *c = self;
    c->parts.callbacks.count(c->parts.user, ret);
    ret->tokens = flow_tokens(c->flow);
}

struct backend calls_backend(struct calls *c) {
    return (struct backend){.self = c,
                            .submit = backend_submit,
                            .cancel = backend_cancel,
                            .tokenize = backend_tokenize,
                            .detokenize = backend_detokenize,
                            .place = backend_place,
                            .stages = backend_stages,
                            .keep = backend_keep,
                            .expires = backend_expires,
                            .models = backend_models,
                            .await = calls_await,
                            .status = backend_status,
                            .listing = backend_listing,
                            .count = backend_count};
}
