/* SPDX-License-Identifier: MIT
 * See capture.h. */
#include "requests/capture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log_line.h"
#include "base/mem.h"
#include "base/str.h"
#include "gateway/gateway.h"
#include "requests/requests_priv.h"

enum { KEPT_MAX = 200 /* as many as the list of requests has */, TEXT_MAX = 256 * 1024, SECRET_LEAST = 6 };

/* The beginning of a body, and how long it was. */
struct body {
    struct buf text;
    uint64_t bytes;
};

struct capture {
    struct capture *newer, *older;
    char id[LOG_REQUEST_SIZE];
    struct body request, answer;
    char why[200];
    bool ended;
};

struct captures {
    struct capture *newest, *oldest;
    size_t n, held, most; /* how many, and the bytes of their bodies */
};

struct captures *capture_create(size_t most) {
    if (most == 0) return NULL;
    struct captures *s = MEM_NEW(struct captures);
    s->most = most;
    return s;
}

static void drop(struct captures *s, struct capture *c) {
    *(c->newer ? &c->newer->older : &s->newest) = c->older;
    *(c->older ? &c->older->newer : &s->oldest) = c->newer;
    s->n--;
    s->held -= c->request.text.len + c->answer.text.len;
    buf_done(&c->request.text);
    buf_done(&c->answer.text);
    free(c);
}

void capture_free(struct captures *s) {
    if (s == NULL) return;
    while (s->oldest != NULL) drop(s, s->oldest);
    free(s);
}

/* Those that ended first go. false: even without them there is no room. */
static bool make_room(struct captures *s, size_t bytes, size_t entries) {
    struct capture *c = s->oldest;
    while (c != NULL && (s->held + bytes > s->most || s->n + entries > KEPT_MAX)) {
        struct capture *newer = c->newer;
        if (c->ended) drop(s, c);
        c = newer;
    }
    return s->held + bytes <= s->most && s->n + entries <= KEPT_MAX;
}

/* How much of these bytes the body takes. */
static size_t part_of(const struct body *b, size_t len) {
    size_t left = TEXT_MAX - b->text.len;
    if (b->text.len < b->bytes) return 0; /* it was cut already */
    return len < left ? len : left;
}

static void add(struct captures *s, struct body *b, const void *data, size_t part, size_t len) {
    buf_append(&b->text, data, part);
    b->bytes += len;
    s->held += part;
}

static void blot_out(struct buf *text, const char *secret) {
    size_t len = secret != NULL ? strlen(secret) : 0;
    if (len < SECRET_LEAST) return; /* so short a word is no secret, and may be anywhere */
    for (size_t i = 0; i + len <= text->len; i++)
        if (memcmp(text->data + i, secret, len) == 0) memset(text->data + i, '*', len);
}

struct capture *capture_begin(struct captures *s, const char *id, const struct http_request *r, const char *secret) {
    size_t part = r->body_len < TEXT_MAX ? r->body_len : TEXT_MAX;
    if (s == NULL || !make_room(s, part, 1)) return NULL;
    struct capture *c = MEM_NEW(struct capture);
    snprintf(c->id, sizeof(c->id), "%s", id);
    buf_init(&c->request.text, TEXT_MAX);
    buf_init(&c->answer.text, TEXT_MAX);
    c->older = s->newest;
    *(s->newest ? &s->newest->newer : &s->oldest) = c;
    s->newest = c;
    s->n++;
    add(s, &c->request, r->body, part, r->body_len);
    blot_out(&c->request.text, secret);
    return c;
}

void capture_answer(struct captures *s, struct capture *c, const void *data, size_t len) {
    if (c == NULL) return;
    size_t part = part_of(&c->answer, len);
    if (!make_room(s, part, 0)) part = 0;
    add(s, &c->answer, data, part, len);
}

void capture_end(struct capture *c, const char *why) {
    if (c == NULL) return;
    snprintf(c->why, sizeof(c->why), "%s", why);
    c->ended = true;
}

static const struct capture *find(const struct captures *s, const char *id) {
    const struct capture *c = s != NULL ? s->newest : NULL;
    while (c != NULL && strcmp(c->id, id) != 0) c = c->older;
    return c;
}

bool capture_has(const struct captures *s, const char *id) { return find(s, id) != NULL; }

/* The text ends at the end of a character; what is no text is left out. */
static void put_body(yyjson_mut_doc *doc, yyjson_mut_val *o, const char *key, const struct body *b) {
    yyjson_mut_val *v = yyjson_mut_obj_add_obj(doc, o, key);
    const char *text = b->text.len > 0 ? (const char *)b->text.data : "";
    size_t len = b->text.len - str_utf8_incomplete(text, b->text.len);
    if (!str_utf8_valid(text, len)) len = 0;
    yyjson_mut_obj_add_strncpy(doc, v, "text", text, len);
    yyjson_mut_obj_add_uint(doc, v, "bytes", b->bytes);
    yyjson_mut_obj_add_bool(doc, v, "cut", len < b->bytes);
}

yyjson_mut_val *capture_value(const struct gateway *g, const char *id, yyjson_mut_doc *doc) {
    const struct capture *c = find(g->requests->captures, id);
    if (c == NULL) return NULL;
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_strcpy(doc, o, "id", c->id);
    put_body(doc, o, "request", &c->request);
    put_body(doc, o, "answer", &c->answer);
    yyjson_mut_obj_add_strcpy(doc, o, "error", c->why);
    yyjson_mut_obj_add_bool(doc, o, "ended", c->ended);
    return o;
}
