/* SPDX-License-Identifier: MIT
 * Answers as bytes. See entry.h. */
#include "cache/entry.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/str.h"

enum { HEAD = 40, VERSION = 1 };
static const char magic[4] = {'C', 'R', 'V', 'A'};

/* ---- writing ---- */

static void put_u8(struct buf *b, unsigned v) { buf_append_byte(b, (uint8_t)v); }

static void put_u16(struct buf *b, unsigned v) {
    uint8_t bytes[2];
    bytes_put_u16(bytes, (uint16_t)v);
    buf_append(b, bytes, sizeof(bytes));
}

static void put_u32(struct buf *b, uint32_t v) {
    uint8_t bytes[4];
    bytes_put_u32(bytes, v);
    buf_append(b, bytes, sizeof(bytes));
}

static void put_u64(struct buf *b, uint64_t v) {
    uint8_t bytes[8];
    bytes_put_u64(bytes, v);
    buf_append(b, bytes, sizeof(bytes));
}

static void put_f32(struct buf *b, float v) {
    uint8_t bytes[4];
    bytes_put_f32(bytes, v);
    buf_append(b, bytes, sizeof(bytes));
}

static void put_piece(struct buf *b, const char *text, size_t len, float logprob) {
    if (len > UINT16_MAX) b->failed = true;
    put_u16(b, (unsigned)len);
    buf_append(b, text, len);
    put_f32(b, logprob);
}

static void put_token(struct buf *b, const struct api_token *t) {
    put_piece(b, t->piece, t->len, t->logprob);
    put_u32(b, (uint32_t)t->text_start);
    put_u32(b, (uint32_t)t->text_end);
    if (t->n_top > UINT16_MAX) b->failed = true;
    put_u16(b, t->n_top);
    for (uint32_t i = 0; i < t->n_top; i++) put_piece(b, t->top[i].piece, t->top[i].len, t->top[i].logprob);
}

/* A choice's events as bytes. */
struct entry_choice {
    struct buf bytes;
    size_t open;     /* where the length of the last event's text stands, if more may be added to it; 0: it may not */
    enum api_event_kind kind; /* that event's */
};

void entry_writer_init(struct entry_writer *w) { *w = (struct entry_writer){0}; }

void entry_writer_done(struct entry_writer *w) {
    for (uint32_t i = 0; i < w->n_choices; i++) buf_done(&w->choices[i].bytes);
    free(w->choices);
    entry_writer_init(w);
}

static struct entry_choice *choice_of(struct entry_writer *w, uint32_t choice) {
    if (choice >= w->n_choices) w->choices = mem_realloc(w->choices, choice + 1, sizeof(*w->choices));
    for (; w->n_choices <= choice; w->n_choices++) {
        w->choices[w->n_choices] = (struct entry_choice){0};
        buf_init(&w->choices[w->n_choices].bytes, ENTRY_MAX);
    }
    return &w->choices[choice];
}

/* Adds to the event before it, if that is a text of the same kind. */
static bool put_more(struct entry_choice *c, const struct api_event *ev) {
    if (c->open == 0 || c->kind != ev->kind || ev->n_tokens > 0) return false;
    buf_append(&c->bytes, ev->text, ev->len);
    if (c->bytes.failed) return true;
    uint8_t *len = c->bytes.data + c->open;
    bytes_put_u32(len, bytes_get_u32(len) + (uint32_t)ev->len);
    return true;
}

/* Text, reasoning or arguments. */
static void put_text(struct entry_choice *c, const struct api_event *ev) {
    struct buf *b = &c->bytes;
    if (put_more(c, ev)) return;
    if (ev->n_tokens > UINT16_MAX || ev->len > ENTRY_MAX) b->failed = true;
    put_u8(b, ev->kind);
    put_u16(b, (unsigned)ev->n_tokens);
    c->open = ev->n_tokens == 0 ? b->len : 0;
    c->kind = ev->kind;
    put_u32(b, (uint32_t)ev->len);
    buf_append(b, ev->text, ev->len);
    for (size_t i = 0; i < ev->n_tokens; i++) put_token(b, &ev->tokens[i]);
}

static void put_begin(struct buf *b, const struct api_event *ev) {
    buf_clear(b);
    put_u8(b, API_BEGIN);
    put_u32(b, ev->prompt_tokens);
    put_u32(b, ev->cached_tokens);
}

static void put_call(struct buf *b, const struct api_event *ev) {
    size_t id_len = ev->id != NULL ? strlen(ev->id) : 0;
    if (id_len > UINT8_MAX || ev->len > UINT16_MAX) b->failed = true;
    put_u8(b, API_CALL);
    put_u8(b, (unsigned)id_len);
    buf_append(b, ev->id, id_len);
    put_u16(b, (unsigned)ev->len);
    buf_append(b, ev->text, ev->len);
}

static void put_finish(struct buf *b, const struct api_event *ev, int stop) {
    if (stop < -1 || stop >= UINT8_MAX) b->failed = true;
    put_u8(b, API_FINISH);
    put_u8(b, ev->finish);
    put_u8(b, (unsigned)(stop + 1));
}

void entry_add(struct entry_writer *w, const struct api_event *ev, int stop) {
    struct entry_choice *c = choice_of(w, ev->choice);
    bool is_text = ev->kind == API_TEXT || ev->kind == API_REASONING || ev->kind == API_ARGUMENTS;
    if (!is_text) c->open = 0;
    switch (ev->kind) {
    case API_BEGIN: put_begin(&c->bytes, ev); break;
    case API_TEXT:
    case API_REASONING:
    case API_ARGUMENTS: put_text(c, ev); break;
    case API_CALL: put_call(&c->bytes, ev); break;
    case API_CALL_END:
        put_u8(&c->bytes, API_CALL_END);
        put_u8(&c->bytes, ev->whole);
        break;
    case API_FINISH: put_finish(&c->bytes, ev, stop); break;
    case API_PROMPT: c->bytes.failed = true; break; /* an answer that repeats its prompt is not kept */
    case API_END:
    case API_FAIL: break;
    }
}

err_code entry_finish(const struct entry_writer *w, int64_t created, const struct api_usage *usage, struct buf *out) {
    size_t all = HEAD;
    bool failed = w->n_choices == 0 || w->n_choices > API_MAX_CHOICES;
    for (uint32_t i = 0; i < w->n_choices; i++) {
        failed |= w->choices[i].bytes.failed;
        all += w->choices[i].bytes.len;
    }
    if (failed || all > ENTRY_MAX) return ERR_LIMIT;
    buf_append(out, magic, sizeof(magic));
    put_u8(out, VERSION);
    put_u8(out, 0);
    put_u16(out, w->n_choices);
    put_u64(out, (uint64_t)created);
    put_u64(out, usage->prompt_tokens);
    put_u64(out, usage->completion_tokens);
    put_u64(out, usage->cached_tokens);
    for (uint32_t i = 0; i < w->n_choices; i++) buf_append(out, w->choices[i].bytes.data, w->choices[i].bytes.len);
    return out->failed ? ERR_LIMIT : ERR_OK;
}

/* ---- reading ---- */

/* An event as it is read, with the tokens that it points at. */
struct reader {
    struct bytes_reader in;
    struct api_event ev;
    int stop;
    struct api_token *tokens; /* owned */
    struct api_top *tops;     /* owned; of all tokens of the event */
    size_t cap_tokens, cap_tops, n_tops;
    char id[UINT8_MAX + 1];
    /* what the order must be */
    uint32_t n_choices;       /* choices that have been opened */
    bool in_choice, in_call;
    uint32_t n_calls;
    size_t text_len;          /* bytes of the choice's text so far */
};

static void reader_init(struct reader *r, const void *data, size_t len) {
    *r = (struct reader){0};
    bytes_reader_init(&r->in, data, len);
}

static void reader_done(struct reader *r) {
    free(r->tokens);
    free(r->tops);
}

static const char *read_bytes(struct bytes_reader *in, size_t len) {
    const uint8_t *at = bytes_take(in, len);
    return at != NULL && len > 0 ? (const char *)at : "";
}

/* Text for clients: UTF-8. */
static const char *read_clean(struct bytes_reader *in, size_t len) {
    const char *text = read_bytes(in, len);
    if (!in->failed && !str_utf8_valid(text, len)) in->failed = true;
    return text;
}

static float read_f32(struct bytes_reader *in) {
    const uint8_t *at = bytes_take(in, 4);
    return at != NULL ? bytes_get_f32(at) : 0;
}

static void read_piece(struct bytes_reader *in, const char **ret_piece, size_t *ret_len, float *ret_logprob) {
    *ret_len = bytes_read_u16(in);
    *ret_piece = read_bytes(in, *ret_len);
    *ret_logprob = read_f32(in);
    if (isnan(*ret_logprob)) in->failed = true;
}

static void read_tops(struct reader *r, uint32_t n) {
    if (bytes_left(&r->in) < (size_t)n * 6) r->in.failed = true;
    if (r->in.failed) return;
    if (r->n_tops + n > r->cap_tops) {
        r->cap_tops = 2 * (r->n_tops + n);
        r->tops = mem_realloc(r->tops, r->cap_tops, sizeof(*r->tops));
    }
    for (uint32_t i = 0; i < n; i++) {
        struct api_top *top = &r->tops[r->n_tops++];
        read_piece(&r->in, &top->piece, &top->len, &top->logprob);
    }
}

static void read_token(struct reader *r, struct api_token *t) {
    *t = (struct api_token){0};
    read_piece(&r->in, &t->piece, &t->len, &t->logprob);
    t->text_start = bytes_read_u32(&r->in);
    t->text_end = bytes_read_u32(&r->in);
    t->n_top = bytes_read_u16(&r->in);
    if (t->text_start > t->text_end || t->text_end > r->text_len) r->in.failed = true;
    read_tops(r, t->n_top);
}

/* The tokens' alternatives lie in one array, which may have moved while it grew. */
static void point_at_tops(struct reader *r, size_t n) {
    struct api_top *top = r->tops;
    for (size_t i = 0; i < n && top != NULL; i++) { /* NULL: no token has any */
        r->tokens[i].top = top;
        top += r->tokens[i].n_top;
    }
}

static void read_tokens(struct reader *r, size_t n) {
    enum { LEAST = 16 }; /* bytes of a token */
    if (bytes_left(&r->in) < n * LEAST) r->in.failed = true;
    if (!r->in.failed && n > r->cap_tokens) {
        r->cap_tokens = n;
        r->tokens = mem_realloc(r->tokens, n, sizeof(*r->tokens));
    }
    r->n_tops = 0;
    for (size_t i = 0; i < n && !r->in.failed; i++) read_token(r, &r->tokens[i]);
    if (r->in.failed) return;
    point_at_tops(r, n);
    r->ev.tokens = r->tokens;
    r->ev.n_tokens = n;
}

static bool read_text(struct reader *r) {
    size_t n = bytes_read_u16(&r->in);
    r->ev.len = bytes_read_u32(&r->in);
    r->ev.text = read_clean(&r->in, r->ev.len);
    r->ev.start = r->text_len;
    if (r->ev.kind == API_TEXT) {
        r->text_len += r->ev.len;
        read_tokens(r, n);
        return true;
    }
    return n == 0 && (r->ev.kind == API_REASONING || r->in_call);
}

static bool read_call(struct reader *r) {
    size_t len = bytes_read_u8(&r->in);
    const char *id = read_clean(&r->in, len);
    if (!r->in.failed) memcpy(r->id, id, len);
    r->id[r->in.failed ? 0 : len] = '\0';
    r->ev.id = r->id;
    r->ev.len = bytes_read_u16(&r->in);
    r->ev.text = read_clean(&r->in, r->ev.len);
    bool fits = !r->in_call && strlen(r->id) == len;
    r->in_call = true;
    r->n_calls++;
    return fits;
}

static bool read_call_end(struct reader *r) {
    unsigned whole = bytes_read_u8(&r->in);
    bool fits = r->in_call && whole <= 1;
    r->ev.whole = whole == 1;
    r->in_call = false;
    return fits;
}

static bool read_finish(struct reader *r) {
    unsigned finish = bytes_read_u8(&r->in);
    r->stop = (int)bytes_read_u8(&r->in) - 1;
    r->ev.finish = finish;
    r->ev.text = "";
    r->ev.start = r->text_len;
    bool fits = !r->in_call && finish <= API_FINISH_CALLS && r->stop < API_MAX_STOPS;
    r->in_choice = false;
    return fits;
}

static bool read_begin(struct reader *r) {
    bool fits = !r->in_choice;
    r->ev.prompt_tokens = bytes_read_u32(&r->in);
    r->ev.cached_tokens = bytes_read_u32(&r->in);
    r->n_choices++;
    r->in_choice = true;
    r->n_calls = 0;
    r->text_len = 0;
    return fits;
}

static bool read_body(struct reader *r) {
    switch (r->ev.kind) {
    case API_BEGIN: return read_begin(r);
    case API_TEXT:
    case API_REASONING:
    case API_ARGUMENTS: return read_text(r);
    case API_CALL: return read_call(r);
    case API_CALL_END: return read_call_end(r);
    case API_FINISH: return read_finish(r);
    case API_PROMPT:
    case API_END:
    case API_FAIL: break;
    }
    return false;
}

/* Reads the next event into r->ev. false: there is none, or it is wrong (r->in.failed). */
static bool read_event(struct reader *r) {
    if (bytes_left(&r->in) == 0) return false;
    r->stop = -1;
    r->ev = (struct api_event){.kind = bytes_read_u8(&r->in)};
    bool fits = (r->in_choice || r->ev.kind == API_BEGIN) && read_body(r);
    if (!fits || r->n_choices > API_MAX_CHOICES) r->in.failed = true;
    if (r->in.failed) return false;
    r->ev.choice = r->n_choices - 1;
    if (r->n_calls > 0) r->ev.call = r->n_calls - 1;
    return true;
}

static bool read_head(struct bytes_reader *in, struct entry *ret) {
    const uint8_t *mark = bytes_take(in, sizeof(magic));
    unsigned version = bytes_read_u8(in), zero = bytes_read_u8(in);
    ret->n_choices = bytes_read_u16(in);
    ret->created = (int64_t)bytes_read_u64(in);
    ret->usage.prompt_tokens = bytes_read_u64(in);
    ret->usage.completion_tokens = bytes_read_u64(in);
    ret->usage.cached_tokens = bytes_read_u64(in);
    return !in->failed && memcmp(mark, magic, sizeof(magic)) == 0 && version == VERSION && zero == 0 && ret->created >= 0;
}

err_code entry_open(const void *data, size_t len, struct entry *ret, struct err *e) {
    struct bytes_reader in;
    struct entry found = {0};
    struct reader r;
    bytes_reader_init(&in, data, len);
    if (len > ENTRY_MAX || !read_head(&in, &found)) return err_set(e, ERR_FORMAT, "these %zu bytes are no cached answer", len);
    found.len = bytes_left(&in);
    found.events = bytes_take(&in, found.len);
    reader_init(&r, found.events, found.len);
    while (read_event(&r)) {
    }
    bool fits = !r.in.failed && !r.in_choice && r.n_choices == found.n_choices && found.n_choices > 0;
    size_t at = HEAD + r.in.at;
    reader_done(&r);
    if (!fits) return err_set(e, ERR_FORMAT, "a cached answer of %zu bytes is damaged at byte %zu", len, at);
    *ret = found;
    return ERR_OK;
}

void entry_replay(const struct entry *entry, entry_fn fn, void *user) {
    struct reader r;
    reader_init(&r, entry->events, entry->len);
    while (read_event(&r)) fn(user, &r.ev, r.stop);
    reader_done(&r);
}
