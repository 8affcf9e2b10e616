/* SPDX-License-Identifier: MIT
 * The request and error values that all APIs share. */
#include "api/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void api_request_init(struct api_request *r) {
    *r = (struct api_request){.arena = arena_create(), .model = "", .suffix_field = "suffix", .n = 1, .max_tokens = -1};
    engine_sampling_init(&r->sampling);
}

void api_request_done(struct api_request *r) {
    engine_sampling_done(&r->sampling);
    yyjson_mut_doc_free(r->doc);
    yyjson_doc_free(r->sent);
    r->doc = NULL;
    r->sent = NULL;
    arena_free(r->arena);
    r->arena = NULL;
}

/* ---- what is collected of a choice ---- */

void api_choice_init(struct api_choice_text *c) {
    *c = (struct api_choice_text){0};
    buf_init(&c->text, SIZE_MAX - 1); /* bounded by the tokens of the context */
    buf_init(&c->prompt, SIZE_MAX - 1);
    buf_init(&c->reasoning, SIZE_MAX - 1);
    buf_init(&c->arguments, SIZE_MAX - 1);
}

void api_choice_done(struct api_choice_text *c) {
    for (size_t i = 0; i < c->n_items; i++) {
        free(c->items[i].id);
        free(c->items[i].name);
    }
    for (size_t i = 0; i < c->n_tokens; i++) free(c->tokens[i].block);
    free(c->items);
    free(c->tokens);
    buf_done(&c->text);
    buf_done(&c->prompt);
    buf_done(&c->reasoning);
    buf_done(&c->arguments);
}

static void collect_tokens(struct api_choice_text *c, const struct api_event *ev) {
    if (ev->n_tokens == 0) return;
    if (c->n_tokens + ev->n_tokens > c->cap_tokens) {
        c->cap_tokens = 2 * (c->n_tokens + ev->n_tokens);
        c->tokens = mem_realloc(c->tokens, c->cap_tokens, sizeof(*c->tokens));
    }
    memcpy(c->tokens + c->n_tokens, ev->tokens, ev->n_tokens * sizeof(*ev->tokens));
    c->n_tokens += ev->n_tokens;
}

void api_choice_collect(struct api_choice_text *c, const struct api_event *ev) {
    enum api_event_kind kind = ev->kind == API_ARGUMENTS ? API_CALL : ev->kind;
    if (kind == API_CALL_END && c->n_items > 0) c->items[c->n_items - 1].whole = ev->whole;
    if (kind == API_PROMPT) {
        buf_append(&c->prompt, ev->text, ev->len);
        collect_tokens(c, ev);
        c->n_prompt = c->n_tokens;
    }
    if (kind != API_TEXT && kind != API_REASONING && kind != API_CALL) return;
    struct buf *to = kind == API_TEXT ? &c->text : kind == API_REASONING ? &c->reasoning : &c->arguments;
    if (kind == API_TEXT) collect_tokens(c, ev);
    if (ev->kind != API_CALL && ev->len == 0) return;
    if (ev->kind == API_CALL || c->n_items == 0 || c->items[c->n_items - 1].kind != kind) {
        if ((c->n_items & (c->n_items - 1)) == 0) /* the array is full at each power of two */
            c->items = mem_realloc(c->items, c->n_items == 0 ? 1 : 2 * c->n_items, sizeof(*c->items));
        struct api_item *item = &c->items[c->n_items++];
        *item = (struct api_item){.kind = kind, .start = to->len, .end = to->len};
        if (kind == API_CALL) {
            item->id = mem_strdup(ev->id != NULL ? ev->id : "");
            item->name = mem_strndup(ev->text, ev->len);
        }
    }
    if (ev->kind == API_CALL) return;
    buf_append(to, ev->text, ev->len);
    c->items[c->n_items - 1].end = to->len;
}

const char *api_item_text(const struct api_choice_text *c, const struct api_item *item, size_t *ret_len) {
    const struct buf *b = item->kind == API_CALL ? &c->arguments : item->kind == API_REASONING ? &c->reasoning : &c->text;
    *ret_len = item->end - item->start;
    return *ret_len > 0 ? (const char *)b->data + item->start : "";
}

enum api_event_kind api_item_kind(const struct api_item *item) { return item->kind == API_CALL && !item->whole ? API_TEXT : item->kind; }

/* ---- errors ---- */

int api_error_status(err_code code) {
    switch (code) {
    case ERR_LIMIT: return 400;     /* a prompt longer than the context; http/ refuses bodies that are too large */
    case ERR_USAGE: return 405;
    case ERR_CANCELLED: return 503; /* the node is going down: another one may serve it */
    case ERR_STALE:
    case ERR_WHOLE_ONLY: return 500;
    default: return err_http_status(code);
    }
}

void api_error_append(err_code code, const struct err *e, struct buf *out) {
    char message[sizeof(e->text) + sizeof(e->hint) + 16];
    const char *text = e != NULL && e->text[0] != '\0' ? e->text : err_text(code);
    snprintf(message, sizeof(message), "%s%s%s", text, e != NULL && e->hint[0] != '\0' ? "; " : "", e != NULL ? e->hint : "");
    text_append_json(out, message, strlen(message));
}

void api_error_append_request(const char *request, struct buf *out) {
    if (request == NULL || request[0] == '\0') return;
    buf_append_str(out, ",\"request_id\":");
    text_append_json(out, request, strlen(request));
}
