/* SPDX-License-Identifier: MIT
 * See calls.h. The table of requests, and their way to the head and back. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "node/calls_priv.h"
#include "stage/tokenize.h"

enum { MAX_CALLS = 16384, SLOT_BITS = 16 };

static void calls_look(void *user) { calls_update(user); }

struct calls *calls_create(const struct calls_parts *parts) {
    struct calls *c = MEM_NEW(struct calls);
    c->parts = *parts;
    c->look = (struct io_task){.fn = calls_look, .user = c};
    c->router = router_create();
    buf_init(&c->scratch, frame_max_payload(FRAME_TOKENIZED));
    return c;
}

static void call_free(struct calls *c, struct backend_call *call) {
    if (call->waits) c->n_waiting--;
    free(call->waits);
    free(call);
}

err_code calls_add(struct calls *c, struct backend_call *call, struct err *e) {
    if (c->n >= MAX_CALLS) {
        call_free(c, call);
        return err_set(e, ERR_BUSY, "%d requests run through this node already", MAX_CALLS);
    }
    if (c->n_free == 0) { /* twice as many slots */
        size_t more = c->n_slots ? c->n_slots : 64;
        c->slots = mem_realloc(c->slots, c->n_slots + more, sizeof(*c->slots));
        c->free_slots = mem_realloc(c->free_slots, c->n_slots + more, sizeof(*c->free_slots));
        for (size_t i = 0; i < more; i++) {
            c->slots[c->n_slots + i] = NULL;
            c->free_slots[c->n_free++] = c->n_slots + more - 1 - i;
        }
        c->n_slots += more;
    }
    size_t slot = c->free_slots[--c->n_free];
    call->id = ++c->count << SLOT_BITS | slot;
    c->slots[slot] = call;
    c->n++;
    return ERR_OK;
}

void calls_remove(struct calls *c, struct backend_call *call) {
    size_t slot = call->id & ((1u << SLOT_BITS) - 1);
    c->slots[slot] = NULL;
    c->free_slots[c->n_free++] = slot;
    c->n--;
    call_free(c, call);
}

/* Did another node ask? */
static bool call_is_relay(const struct backend_call *call) { return call->fn == NULL && call->text_fn == NULL; }

struct backend_call *calls_find(const struct calls *c, uint64_t id) {
    size_t slot = id & ((1u << SLOT_BITS) - 1);
    struct backend_call *call = slot < c->n_slots ? c->slots[slot] : NULL;
    return call && call->id == id ? call : NULL;
}

void calls_free(struct calls *c) {
    if (!c) return;
    io_task_cancel(&c->look);
    for (size_t i = 0; i < c->n_slots; i++)
        if (c->slots[i]) call_free(c, c->slots[i]);
    free(c->slots);
    free(c->free_slots);
    router_free(c->router);
    buf_done(&c->scratch);
    free(c);
}

void calls_stop(struct calls *c) { c->stopping = true; }

size_t calls_count(const struct calls *c) { return c->n; }

size_t calls_on_instance(const struct calls *c, const char *instance) {
    size_t count = 0;
    for (size_t i = 0; i < c->n_slots; i++) {
        const struct backend_call *call = c->slots[i];
        count += call && call->child && strcmp(stage_child_order(call->child)->instance, instance) == 0;
    }
    return count;
}

/* ---- where a request goes ---- */

/* The ready head of the instance on this node, or NULL. */
static struct stage_child *calls_head(const struct calls *c, const char *instance) {
    struct stage_child *child;
    for (size_t i = 0; (child = stages_get(c->parts.stages, i)); i++) {
        const struct stage_order *o = stage_child_order(child);
        if (o->stage == 0 && strcmp(o->instance, instance) == 0 && stage_child_state(child)->phase == STAGE_READY) return child;
    }
    return NULL;
}

/* Sends the request to the node of the instance's head, under the call's own id. */
static err_code call_send(struct calls *c, struct backend_call *call, const struct request *r, const char *instance, uint64_t head,
                          struct err *e) {
    struct request copy = *r; /* borrows everything */
    copy.id = call->id;
    copy.model = (char *)(uintptr_t)instance;
    buf_clear(&c->scratch);
    request_encode(&copy, &c->scratch);
    if (c->scratch.failed || c->scratch.len > frame_max_payload(FRAME_SUBMIT))
        return err_set(e, ERR_LIMIT, "the request is larger than %u bytes", frame_max_payload(FRAME_SUBMIT));
    if (head == c->parts.instances.self) {
        call->child = calls_head(c, instance);
        if (!call->child) return err_set(e, ERR_UNAVAILABLE, "the model is loading");
        stage_child_ask(call->child, FRAME_SUBMIT, c->scratch.data, c->scratch.len);
        return ERR_OK;
    }
    call->node = head;
    if (!control_send(c->parts.control, head, FRAME_SUBMIT, 0, c->scratch.data, c->scratch.len))
        return err_set(e, ERR_UNAVAILABLE, "the node that answers for this model cannot be reached");
    return ERR_OK;
}

/* Takes the call over: afterwards it is in the table, or, on failure, freed. */
static err_code call_start(struct calls *c, const struct request *r, const char *instance, uint64_t head, struct backend_call *call,
                           struct err *e) {
    err_code code = calls_add(c, call, e);
    if (code != ERR_OK) return code;
    code = call_send(c, call, r, instance, head, e);
    if (code != ERR_OK) calls_remove(c, call);
    return code;
}

/* As call_start, for TOKENIZE. */
static err_code text_start(struct calls *c, struct tokenize_ask *ask, uint64_t head, struct backend_call *call, struct err *e) {
    err_code code = calls_add(c, call, e);
    if (code != ERR_OK) return code;
    char *instance = mem_strndup(ask->name, ask->name_len);
    call->tokenizes = true;
    call->back = ask->back;
    ask->id = call->id;
    if (head == c->parts.instances.self) ask->name_len = 0;
    buf_clear(&c->scratch);
    tokenize_ask_encode(ask, &c->scratch);
    call->child = head == c->parts.instances.self ? calls_head(c, instance) : NULL;
    call->node = head == c->parts.instances.self ? 0 : head;
    if (c->scratch.failed || c->scratch.len > frame_max_payload(FRAME_TOKENIZE))
        code = err_set(e, ERR_LIMIT, "a text of %zu bytes is too long", ask->len);
    else if (head == c->parts.instances.self && !call->child) code = err_set(e, ERR_UNAVAILABLE, "the model is loading");
    else if (call->child) stage_child_send(call->child, FRAME_TOKENIZE, c->scratch.data, c->scratch.len);
    else if (!control_send(c->parts.control, head, FRAME_TOKENIZE, 0, c->scratch.data, c->scratch.len))
        code = err_set(e, ERR_UNAVAILABLE, "the node that answers for this model cannot be reached");
    if (code != ERR_OK) calls_remove(c, call);
    free(instance);
    return code;
}

/* ---- the gateway's port ---- */

/* The router hears how the request ended. A failure that lies in the request says nothing about the instance. */
static void call_routed(struct calls *c, const struct backend_call *call, err_code code) {
    if (!call->instance[0]) return;
    bool failed = code == ERR_ENGINE || code == ERR_NETWORK || code == ERR_CLOSED || code == ERR_TIMEOUT || code == ERR_INTERNAL ||
                  code == ERR_UNAVAILABLE || code == ERR_CRASH || code == ERR_PROTOCOL;
    router_end(c->router, clock_now(), call->instance, failed);
}

static err_code backend_submit(void *self, const struct request *r, backend_event_fn fn, void *user, struct backend_call **ret,
                               struct err *e) {
    struct calls *c = self;
    const struct record_model *m;
    struct router_prefix prefix;
    if (r->text) router_prefix_make(r->text, r->text_len, &prefix);
    else router_prefix_make(r->tokens, r->n_tokens * sizeof(*r->tokens), &prefix);
    err_code code = calls_pick(c, r->model, &prefix, &m, e);
    if (code != ERR_OK) return code;
    struct backend_call *call = MEM_NEW(struct backend_call);
    call->fn = fn;
    call->user = user;
    char instance[ROUTER_MAX_NAME];
    snprintf(instance, sizeof(instance), "%s", m->instance);
    code = call_start(c, r, instance, m->head, call, e);
    router_begin(c->router, clock_now(), instance, &prefix);
    if (code != ERR_OK) {
        router_end(c->router, clock_now(), instance, code == ERR_UNAVAILABLE);
        return code;
    }
    snprintf(call->instance, sizeof(call->instance), "%s", instance);
    *ret = call;
    return ERR_OK;
}

static void call_cancel(struct calls *c, struct backend_call *call) {
    uint8_t id[FIELD_SIZE(request_cancel)];
    field_put(request_cancel_fields(), &(struct request_cancel){.id = call->id}, id);
    call_routed(c, call, ERR_OK);
    if (call->waits) {
        calls_remove(c, call);
        return;
    }
    if (call->child) stage_child_send(call->child, FRAME_CANCEL, id, sizeof(id));
    else control_send(c->parts.control, call->node, FRAME_CANCEL, 0, id, sizeof(id));
    calls_remove(c, call);
}

static err_code backend_text(struct calls *c, const char *model, struct tokenize_ask *ask, backend_text_fn fn, void *user,
                             struct backend_call **ret, struct err *e) {
    const struct record_model *m;
    err_code code = calls_pick(c, model, NULL, &m, e);
    if (code != ERR_OK) return code;
    struct backend_call *call = MEM_NEW(struct backend_call);
    call->text_fn = fn;
    call->user = user;
    ask->name = m->instance;
    ask->name_len = (uint8_t)strlen(m->instance); /* under ROUTER_MAX_NAME */
    code = text_start(c, ask, m->head, call, e);
    if (code == ERR_OK) *ret = call;
    return code;
}

static err_code backend_tokenize(void *self, const char *model, const char *text, size_t len, bool bos, bool special, backend_text_fn fn,
                                 void *user, struct backend_call **ret, struct err *e) {
    struct tokenize_ask ask = {.bos = bos, .special = special, .text = text, .len = len};
    return backend_text(self, model, &ask, fn, user, ret, e);
}

static err_code backend_detokenize(void *self, const char *model, const int32_t *tokens, size_t count, backend_text_fn fn, void *user,
                                   struct backend_call **ret, struct err *e) {
    struct tokenize_ask ask = {.back = true, .tokens = tokens, .n_tokens = count, .len = 4 * count};
    return backend_text(self, model, &ask, fn, user, ret, e);
}

static void backend_cancel(void *self, struct backend_call *call) { call_cancel(self, call); }

static void backend_keep(void *self, const char *model, int32_t seconds) {
    const struct calls *c = self;
    c->parts.callbacks.keep(c->parts.user, model, seconds);
}

static const struct backend_model *backend_models(void *self, size_t *ret_n) {
    const struct calls *c = self;
    return model_list_get(c->parts.models, ret_n);
}

static yyjson_mut_val *backend_status(void *self, yyjson_mut_doc *doc) {
    const struct calls *c = self;
    return c->parts.callbacks.status(c->parts.user, doc);
}

struct backend calls_backend(struct calls *c) {
    return (struct backend){.self = c,
                            .submit = backend_submit,
                            .cancel = backend_cancel,
                            .tokenize = backend_tokenize,
                            .detokenize = backend_detokenize,
                            .keep = backend_keep,
                            .expires = calls_expires,
                            .models = backend_models,
                            .await = calls_await,
                            .status = backend_status};
}

/* ---- other nodes ---- */

static void call_tell_node(struct calls *c, uint64_t to, uint64_t id, const struct err *why) {
    struct request_event ev;
    struct buf b;
    request_event_init(&ev, id, REQUEST_FAILED);
    ev.err = *why;
    buf_init(&b, frame_max_payload(FRAME_EVENT));
    request_event_encode(&ev, &b);
    control_send(c->parts.control, to, FRAME_EVENT, 0, b.data, b.len);
    buf_done(&b);
}

err_code calls_on_submit(struct calls *c, uint64_t from, const uint8_t *payload, size_t len, struct err *e) {
    struct request r;
    request_init(&r);
    err_code code = request_decode(payload, len, &r, e);
    if (code != ERR_OK) return code;
    struct backend_call *call = MEM_NEW(struct backend_call);
    call->from = from;
    call->from_id = r.id;
    struct err why = {0};
    code = call_start(c, &r, r.model ? r.model : "", c->parts.instances.self, call, &why);
    if (code != ERR_OK) call_tell_node(c, from, r.id, &why);
    request_done(&r);
    return ERR_OK;
}

static void call_refuse_text(struct calls *c, uint64_t to, uint64_t id, const struct err *why) {
    struct buf b;
    buf_init(&b, frame_max_payload(FRAME_TOKENIZED));
    tokenize_failure_encode(id, why, &b);
    control_send(c->parts.control, to, FRAME_TOKENIZED, 0, b.data, b.len);
    buf_done(&b);
}

err_code calls_on_tokenize(struct calls *c, uint64_t from, const uint8_t *payload, size_t len, struct err *e) {
    struct tokenize_ask ask;
    err_code code = tokenize_ask_decode(payload, len, &ask, e);
    if (code != ERR_OK) return code;
    struct backend_call *call = MEM_NEW(struct backend_call);
    struct err why = {0};
    uint64_t from_id = ask.id;
    call->from = from;
    call->from_id = from_id;
    if (text_start(c, &ask, c->parts.instances.self, call, &why) != ERR_OK) call_refuse_text(c, from, from_id, &why);
    return ERR_OK;
}

err_code calls_on_cancel(struct calls *c, uint64_t from, const uint8_t *payload, size_t len, struct err *e) {
    struct request_cancel cancel;
    if (field_decode(request_cancel_fields(), payload, len, &cancel, e) != ERR_OK) return ERR_PROTOCOL;
    for (size_t i = 0; i < c->n_slots; i++) {
        struct backend_call *call = c->slots[i];
        if (!call || !call_is_relay(call) || call->from != from || call->from_id != cancel.id) continue;
        call_cancel(c, call);
        break;
    }
    return ERR_OK;
}

/* ---- answers ---- */

static void call_deliver(struct calls *c, struct backend_call *call, struct request_event *ev) {
    bool last = request_event_is_last(ev);
    backend_event_fn fn = call->fn;
    void *user = call->user;
    if (last) call_routed(c, call, ev->kind == REQUEST_FAILED ? ev->err.code : ERR_OK);
    if (last) calls_remove(c, call);
    fn(user, ev); /* may cancel a call that goes on */
}

/* Passes the event's bytes on under the id that the asking node knows. */
static void call_relay(struct calls *c, struct backend_call *call, const uint8_t *payload, size_t len, bool last) {
    buf_clear(&c->scratch);
    buf_append(&c->scratch, payload, len);
    request_event_rename(c->scratch.data, c->scratch.len, call->from_id);
    control_send(c->parts.control, call->from, FRAME_EVENT, 0, c->scratch.data, c->scratch.len);
    if (last) calls_remove(c, call);
}

err_code calls_on_event(struct calls *c, struct stage_child *child, uint64_t node, const uint8_t *payload, size_t len, struct err *e) {
    struct request_event ev;
    if (request_event_peek(payload, len, &ev, e) != ERR_OK) return ERR_PROTOCOL;
    struct backend_call *call = calls_find(c, ev.id);
    if (!call || call->child != child || call->node != node) return ERR_OK; /* it has been cancelled */
    if (call->text_fn) return err_set(e, ERR_PROTOCOL, "an EVENT for a call that is no request");
    if (!call->fn) {
        call_relay(c, call, payload, len, request_event_is_last(&ev));
        return ERR_OK;
    }
    err_code code = request_event_decode(payload, len, &ev, e);
    if (code == ERR_OK) call_deliver(c, call, &ev);
    return code;
}

static err_code call_give_text(struct calls *c, struct backend_call *call, const uint8_t *payload, size_t len, struct err *e) {
    struct backend_text text = {0};
    struct err why = {0};
    int32_t *tokens = NULL;
    uint32_t *ends = NULL;
    err_code code = call->back ? tokenize_pieces_decode(payload, len, &text.bytes, &ends, &text.n, &why)
                               : tokenize_tokens_decode(payload, len, &tokens, &text.n, &why);
    text.tokens = tokens;
    text.ends = ends;
    backend_text_fn fn = call->text_fn;
    void *user = call->user;
    calls_remove(c, call);
    fn(user, code == ERR_PROTOCOL ? ERR_INTERNAL : code, &text, &why);
    free(tokens);
    free(ends);
    if (code == ERR_PROTOCOL) *e = why;
    return code == ERR_PROTOCOL ? code : ERR_OK;
}

err_code calls_on_tokenized(struct calls *c, struct stage_child *child, uint64_t node, const uint8_t *payload, size_t len, struct err *e) {
    uint64_t id;
    if (tokenize_answer_peek(payload, len, &id, e) != ERR_OK) return ERR_PROTOCOL;
    struct backend_call *call = calls_find(c, id);
    if (!call || !call->tokenizes || call->child != child || call->node != node) return ERR_OK; /* it has been cancelled */
    if (call->text_fn) return call_give_text(c, call, payload, len, e);
    buf_clear(&c->scratch);
    buf_append(&c->scratch, payload, len);
    if (!c->scratch.failed) tokenize_answer_rename(c->scratch.data, c->scratch.len, call->from_id);
    if (!c->scratch.failed) control_send(c->parts.control, call->from, FRAME_TOKENIZED, 0, c->scratch.data, c->scratch.len);
    calls_remove(c, call);
    return ERR_OK;
}

static void call_fail(struct calls *c, struct backend_call *call, const struct err *why) {
    if (call->text_fn) {
        backend_text_fn fn = call->text_fn;
        void *user = call->user;
        calls_remove(c, call);
        fn(user, why->code, NULL, why);
        return;
    }
    if (!call->fn && call->tokenizes) {
        call_refuse_text(c, call->from, call->from_id, why);
        calls_remove(c, call);
        return;
    }
    if (!call->fn) {
        call_tell_node(c, call->from, call->from_id, why);
        calls_remove(c, call);
        return;
    }
    struct request_event ev;
    request_event_init(&ev, 0, REQUEST_FAILED);
    ev.err = *why;
    call_deliver(c, call, &ev);
}

/* Ends the requests that a child (not NULL) or another node was to answer. Callbacks may end or start other calls meanwhile. */
static void calls_fail_where(struct calls *c, struct stage_child *child, uint64_t node, const struct err *why) {
    for (size_t i = 0; i < c->n_slots; i++) {
        struct backend_call *call = c->slots[i];
        if (call && !call->waits && call->child == child && (child || call->node == node)) call_fail(c, call, why);
    }
}

void calls_fail(struct calls *c, const char *instance, const struct err *why) {
    struct stage_child *child;
    for (size_t i = 0; (child = stages_get(c->parts.stages, i)); i++)
        if (strcmp(stage_child_order(child)->instance, instance) == 0) calls_fail_where(c, child, 0, why);
}

void calls_child_lost(struct calls *c, struct stage_child *child, const struct err *why) {
    struct err text = *why;
    if (text.code == ERR_OK) err_set(&text, ERR_UNAVAILABLE, "the model was unloaded");
    text.code = ERR_UNAVAILABLE; /* whatever the child died of, its requests may be sent elsewhere */
    calls_fail_where(c, child, 0, &text);
}

void calls_node_lost(struct calls *c, uint64_t node, const struct err *why) {
    struct err text;
    err_set(&text, ERR_UNAVAILABLE, "the node that was answering is gone: %s", why->text);
    calls_fail_where(c, NULL, node, &text);
    for (size_t i = 0; i < c->n_slots; i++) { /* requests that came from that node */
        struct backend_call *call = c->slots[i];
        if (call && call_is_relay(call) && call->from == node) call_cancel(c, call);
    }
}
