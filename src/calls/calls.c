/* SPDX-License-Identifier: MIT
 * See calls.h. The table of requests, and their way to the head and back. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "calls/calls_priv.h"
#include "stage/tokenize.h"

enum { MAX_CALLS = 16384, SLOT_BITS = 16 };
enum { /* of the requests that one other node, or all of them, may have on their way here */
       MAX_CALLS_EACH = 4096,
       MAX_BYTES_EACH = 64 << 20,
       MAX_BYTES_ALL = 192 << 20
};

struct calls *calls_create(const struct calls_parts *parts) {
    struct calls *c = MEM_NEW(struct calls);
    c->parts = *parts;
    c->flow = flow_create();
    buf_init(&c->scratch, frame_max_payload(FRAME_TOKENIZED));
    return c;
}

static void call_free(struct calls *c, struct backend_call *call) {
    if (call->waits) c->n_waiting--;
    free(call->waits);
    free(call->marks);
    buf_done(&call->whole);
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
    flow_free(c->flow);
    buf_done(&c->scratch);
    free(c);
}

void calls_stop(struct calls *c) { c->stopping = true; }

void calls_status(const struct calls *c, yyjson_mut_doc *doc, yyjson_mut_val *root) { flow_status(c->flow, doc, root); }

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

static err_code put_request(struct request *r, struct buf *ret, struct err *e) {
    buf_clear(ret);
    request_encode(r, ret);
    if (!ret->failed && ret->len <= frame_max_payload(FRAME_SUBMIT)) return ERR_OK;
    return err_set(e, ERR_LIMIT, "the request is larger than %u bytes", frame_max_payload(FRAME_SUBMIT));
}

static err_code send_away(struct calls *c, uint64_t node, const struct buf *request, struct err *e) {
    if (control_send(c->parts.control, node, FRAME_SUBMIT, 0, request->data, request->len)) return ERR_OK;
    return err_set(e, ERR_UNAVAILABLE, "the node that answers for this model cannot be reached");
}

/* To another node the bytes of each picture go once: then its mark is enough, which is made of their hash. */
static err_code send_pictures(struct calls *c, struct backend_call *call, struct request *r, const char *instance, struct err *e) {
    uint32_t n_known = 0;
    struct request_media *all = r->media, *slim = sent_slim(&c->sent, instance, r, &n_known);
    call->marks = mem_calloc(r->n_media, sizeof(*call->marks));
    call->n_marks = r->n_media;
    for (uint32_t i = 0; i < r->n_media; i++) memcpy(call->marks[i], all[i].mark, sizeof(all[i].mark));
    err_code code = put_request(r, &c->scratch, e);
    if (code == ERR_OK && n_known > 0) {
        buf_init(&call->whole, frame_max_payload(FRAME_SUBMIT));
        buf_append(&call->whole, c->scratch.data, c->scratch.len);
        r->media = slim;
        code = put_request(r, &c->scratch, e);
        r->media = all;
    }
    free(slim);
    return code == ERR_OK ? send_away(c, call->node, &c->scratch, e) : code;
}

/* The head's first word about a request with pictures. true: it lacks one of those that were left out, and gets the whole request. */
static bool hear_of_pictures(struct calls *c, struct backend_call *call, struct request_event *ev) {
    if (call->n_marks == 0) return false;
    bool lacks = ev->kind == REQUEST_FAILED && ev->err.code == ERR_STALE && call->whole.len > 0;
    bool again = lacks && send_away(c, call->node, &call->whole, &ev->err) == ERR_OK;
    for (uint32_t i = 0; i < call->n_marks && ev->kind != REQUEST_FAILED; i++) sent_add(&c->sent, call->instance, call->marks[i]);
    if (!again) call->n_marks = 0;
    buf_done(&call->whole);
    call->whole = (struct buf){0};
    return again;
}

/* Sends the request to the node of the instance's head, under the call's own id. */
static err_code call_send(struct calls *c, struct backend_call *call, const struct request *r, const char *instance, uint64_t head,
                          struct err *e) {
    struct request copy = *r; /* borrows everything */
    copy.id = call->id;
    copy.model = (char *)(uintptr_t)instance;
    call->node = head == c->parts.instances.self ? 0 : head;
    if (call->node != 0 && copy.n_media > 0) return send_pictures(c, call, &copy, instance, e);
    err_code code = put_request(&copy, &c->scratch, e);
    if (code != ERR_OK) return code;
    if (call->node == 0) {
        call->child = calls_head(c, instance);
        if (!call->child) return err_set(e, ERR_UNAVAILABLE, "the model is loading");
        if (stage_child_check_room(call->child, e) != ERR_OK) return ERR_BUSY;
        stage_child_ask(call->child, FRAME_SUBMIT, c->scratch.data, c->scratch.len);
        return ERR_OK;
    }
    return send_away(c, call->node, &c->scratch, e);
}

err_code calls_start(struct calls *c, const struct request *r, const char *instance, uint64_t head, struct backend_call *call,
                     struct err *e) {
    err_code code = calls_add(c, call, e);
    if (code != ERR_OK) return code;
    code = call_send(c, call, r, instance, head, e);
    if (code != ERR_OK) calls_remove(c, call);
    return code;
}

err_code calls_start_text(struct calls *c, struct tokenize_ask *ask, uint64_t head, struct backend_call *call, struct err *e) {
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
        code = err_set(e, ERR_LIMIT, "a text of %zu bytes is too long", ask->text_len);
    else if (head == c->parts.instances.self && !call->child) code = err_set(e, ERR_UNAVAILABLE, "the model is loading");
    else if (call->child && stage_child_check_room(call->child, e) != ERR_OK) code = ERR_BUSY;
    else if (call->child) stage_child_send(call->child, FRAME_TOKENIZE, c->scratch.data, c->scratch.len);
    else if (!control_send(c->parts.control, head, FRAME_TOKENIZE, 0, c->scratch.data, c->scratch.len))
        code = err_set(e, ERR_UNAVAILABLE, "the node that answers for this model cannot be reached");
    if (code != ERR_OK) calls_remove(c, call);
    free(instance);
    return code;
}

/* ---- the end of a call ---- */

/* The balance hears how the request ended. */
static void call_ended(struct calls *c, const struct backend_call *call, err_code code) {
    if (call->instance[0]) balance_end(c->parts.balance, call->instance, call->predicted, code);
}

void calls_cancel(struct calls *c, struct backend_call *call) {
    uint8_t id[FIELD_SIZE(request_cancel)];
    field_put(request_cancel_fields(), &(struct request_cancel){.id = call->id}, id);
    call_ended(c, call, ERR_OK);
    if (call->waits) {
        calls_remove(c, call);
        return;
    }
    if (call->child) stage_child_send(call->child, FRAME_CANCEL, id, sizeof(id));
    else control_send(c->parts.control, call->node, FRAME_CANCEL, 0, id, sizeof(id));
    calls_remove(c, call);
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

/* May a node have one more request of so many bytes on its way here? */
static err_code calls_check_share(const struct calls *c, uint64_t from, size_t len, struct err *e) {
    size_t count = 0, bytes = len, all = len;
    for (size_t i = 0; i < c->n_slots; i++) {
        const struct backend_call *call = c->slots[i];
        if (!call || !call_is_relay(call)) continue;
        all += call->bytes;
        if (call->from != from) continue;
        bytes += call->bytes;
        count++;
    }
    if (count < MAX_CALLS_EACH && bytes <= MAX_BYTES_EACH && all <= MAX_BYTES_ALL) return ERR_OK;
    return err_set(e, ERR_BUSY, "%zu requests of that node, with %zu MB, run through this one already", count, bytes >> 20);
}

static void log_relay(const struct calls *c, uint64_t from, const struct request *r, size_t len) {
    if (log_get_level() < LOG_DEBUG) return;
    const struct record *there = records_any(c->parts.instances.records, from);
    struct log_request name;
    memcpy(name.id, r->name, sizeof(name.id));
    memcpy(name.trace, r->trace, sizeof(name.trace));
    struct log_request before = log_enter(&name);
    log_debug("calls", "a request of %zu bytes from \"%s\" for \"%s\"", len, there != NULL ? there->name : "?",
              r->model != NULL ? r->model : "");
    log_leave(&before);
}

err_code calls_on_submit(struct calls *c, uint64_t from, const uint8_t *payload, size_t len, struct err *e) {
    struct request r;
    request_init(&r);
    err_code code = request_decode(payload, len, &r, e);
    if (code != ERR_OK) return code;
    struct backend_call *call = MEM_NEW(struct backend_call);
    call->from = from;
    call->from_id = r.id;
    call->bytes = len;
    struct err why = {0};
    code = calls_check_share(c, from, len, &why);
    log_relay(c, from, &r, len);
    if (code == ERR_OK) code = calls_start(c, &r, r.model ? r.model : "", c->parts.instances.self, call, &why);
    else call_free(c, call);
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
    call->bytes = len;
    code = calls_check_share(c, from, len, &why);
    if (code == ERR_OK) code = calls_start_text(c, &ask, c->parts.instances.self, call, &why);
    else call_free(c, call);
    if (code != ERR_OK) call_refuse_text(c, from, from_id, &why);
    return ERR_OK;
}

err_code calls_on_cancel(struct calls *c, uint64_t from, const uint8_t *payload, size_t len, struct err *e) {
    struct request_cancel cancel;
    if (field_decode(request_cancel_fields(), payload, len, &cancel, e) != ERR_OK) return ERR_PROTOCOL;
    for (size_t i = 0; i < c->n_slots; i++) {
        struct backend_call *call = c->slots[i];
        if (!call || !call_is_relay(call) || call->from != from || call->from_id != cancel.id) continue;
        calls_cancel(c, call);
        break;
    }
    return ERR_OK;
}

/* ---- answers ---- */

static void call_deliver(struct calls *c, struct backend_call *call, struct request_event *ev) {
    bool last = request_event_is_last(ev);
    backend_event_fn fn = call->fn;
    void *user = call->user;
    if (ev->kind == REQUEST_DONE && call->instance[0]) balance_learn(c->parts.balance, call->instance, ev);
    if (last) call_ended(c, call, ev->kind == REQUEST_FAILED ? ev->err.code : ERR_OK);
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
    if (code == ERR_OK && hear_of_pictures(c, call, &ev)) return ERR_OK;
    if (code == ERR_OK) flow_event(c->flow, call->instance, &ev);
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
        if (call && call_is_relay(call) && call->from == node) calls_cancel(c, call);
    }
}
