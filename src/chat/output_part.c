/* SPDX-License-Identifier: MIT
 * What all steps of the parser use: text that is given and text that is used up, and the events of a call. See output_priv.h. */
#include "chat/output_priv.h"

#include <string.h>

#include "base/mem.h"

/* ---- text out ---- */

void output_decide(struct output *o, enum output_kind kind) {
    struct output_event ev = {.kind = kind, .text = (const char *)o->early.data, .len = o->early.len};
    if (o->undecided && ev.len > 0) o->fn(o->user, &ev);
    o->undecided = false;
    buf_clear(&o->early);
}

static void tell(struct output *o, const struct output_event *ev) {
    if (o->undecided && ev->kind == OUTPUT_CONTENT) {
        buf_append(&o->early, ev->text, ev->len);
        if (o->early.len > o->o.hold) output_decide(o, OUTPUT_CONTENT);
        return;
    }
    output_decide(o, OUTPUT_CONTENT);
    if (o->o.reasoning_assumed && ev->kind == OUTPUT_REASONING && o->assumed.len <= OUTPUT_MAX_HELD)
        buf_append(&o->assumed, ev->text, ev->len); /* it may turn out to be the answer */
    if (!o->muted || ev->kind < OUTPUT_CALL) o->fn(o->user, ev);
}

void output_flush(struct output *o) {
    if (o->out.len == 0) return;
    struct output_event ev = {.kind = o->out_kind, .call = o->n_calls, .text = (const char *)o->out.data, .len = o->out.len};
    tell(o, &ev);
    buf_clear(&o->out);
}

static void append_out(struct output *o, enum output_kind kind, const void *p, size_t n) {
    if (n == 0) return;
    if (o->out_kind != kind) output_flush(o);
    o->out_kind = kind;
    buf_append(&o->out, p, n);
}

void output_flush_space(struct output *o, enum output_kind kind) {
    append_out(o, kind, o->space.data, o->space.len);
    buf_clear(&o->space);
}

void output_drop_space(struct output *o) { buf_clear(&o->space); }

/* Keeps back the blanks at the end: they are dropped if a call or the end of the reasoning comes next. */
void output_put(struct output *o, enum output_kind kind, const char *p, size_t n) {
    size_t from = 0, end = n;
    while (o->skip_space && from < n && output_blank(p[from])) from++;
    while (end > from && output_blank(p[end - 1])) end--;
    if (end > from) {
        output_flush_space(o, kind);
        append_out(o, kind, p + from, end - from);
        o->skip_space = false;
        if (kind == OUTPUT_CONTENT) o->said = true;
    }
    for (; end < n; end++) {
        if (o->space.len == OUTPUT_MAX_SPACE) output_flush_space(o, kind);
        buf_append_byte(&o->space, (uint8_t)p[end]);
    }
}

void output_append_clean(struct buf *to, char c, bool in_string) {
    if ((uint8_t)c >= 0x20 || !in_string) buf_append_byte(to, (uint8_t)c);
    else if (c == '\n') buf_append(to, "\\n", 2);
    else buf_printf(to, "\\u%04x", (uint8_t)c);
}

/* Checks the next character of the arguments. */
static void follow(struct output *o, char c) {
    enum scan_result r = SCAN_MORE;
    if (o->told == TOLD_WRONG || (o->told != TOLD_PART && output_blank(c))) return;
    if (o->told == TOLD_PART || (o->told == TOLD_NOTHING && c == '{')) r = scan_push(&o->told_scan, c);
    else r = SCAN_BAD;
    o->told = r == SCAN_MORE ? TOLD_PART : r == SCAN_END ? TOLD_OBJECT : TOLD_WRONG;
}

void output_put_arguments(struct output *o, const char *p, size_t n) {
    if (n == 0) return;
    if (o->out_kind != OUTPUT_ARGUMENTS) output_flush(o);
    o->out_kind = OUTPUT_ARGUMENTS;
    for (size_t i = 0; i < n; i++) {
        output_append_clean(&o->out, p[i], scan_in_string(&o->told_scan));
        follow(o, p[i]);
    }
}

/* ---- text in ---- */

enum output_match output_match(const struct output *o, const char *mark, const char *p, size_t left) {
    if (mark == NULL) return MATCH_NONE;
    size_t len = strlen(mark), n = left < len ? left : len;
    if (n > 0 && memcmp(p, mark, n) != 0) return MATCH_NONE;
    return n == len ? MATCH_FULL : o->last ? MATCH_NONE : MATCH_PART;
}

size_t output_find(const struct output *o, const char *mark, size_t *ret_safe) {
    const char *p = output_at(o);
    size_t left = output_left(o), len = strlen(mark);
    const char *hit = left > 0 ? mem_find(p, left, mark, len) : NULL;
    if (hit != NULL) return (size_t)(hit - p);
    size_t n = o->last ? 0 : left < len - 1 ? left : len - 1;
    while (n > 0 && memcmp(p + left - n, mark, n) != 0) n--;
    *ret_safe = left - n;
    return SIZE_MAX;
}

void output_use(struct output *o, size_t n) {
    if (!o->begun) buf_append(&o->raw, output_at(o), n);
    o->at += n;
}

void output_use_blanks(struct output *o) {
    while (output_left(o) > 0 && output_blank(*output_at(o)) && (o->begun || o->raw.len < OUTPUT_MAX_HELD)) output_use(o, 1);
}

/* ---- calls ---- */

static bool known_tool(const struct output *o, const char *name) {
    for (size_t i = 0; i < o->o.n_tools; i++)
        if (strcmp(o->o.tools[i].name, name) == 0) return true;
    return false;
}

bool output_begin_call(struct output *o, const char *name, size_t len) {
    const struct toolcall_format *f = o->o.format;
    if (!toolcall_name_valid(name, len)) return false;
    memcpy(o->name, name, len);
    o->name[len] = '\0';
    if ((o->bare || o->unclosed || o->o.format->text_name != NULL) && !known_tool(o, o->name)) return false;
    if (f->ids != TOOLCALL_IDS_MODEL || o->id[0] == '\0') toolcall_make_id(f->ids, o->o.seed, o->n_calls, o->id);
    output_drop_space(o);
    output_flush(o);
    o->begun = true;
    o->told = TOLD_NOTHING;
    scan_init(&o->told_scan);
    o->muted = o->n_calls >= o->o.max_calls;
    o->n_section++;
    buf_clear(&o->raw);
    struct output_event ev = {.kind = OUTPUT_CALL, .call = o->n_calls, .text = o->name, .len = len, .id = o->id};
    tell(o, &ev);
    return true;
}

void output_end_call(struct output *o) {
    output_flush(o);
    struct output_event ev = {.kind = OUTPUT_CALL_END, .call = o->n_calls, .whole = o->told == TOLD_OBJECT};
    tell(o, &ev);
    if (!o->muted) o->n_calls++;
    o->muted = o->begun = o->unclosed = false;
    o->skip_space = true;
    o->id[0] = o->name[0] = '\0';
    buf_clear(&o->raw);
    buf_clear(&o->held);
    yyjson_doc_free(o->schema);
    o->schema = NULL;
}

enum output_kind output_text_kind(const struct output *o) { return o->unclosed ? OUTPUT_REASONING : OUTPUT_CONTENT; }

/* Gives the held text to the reader, without the control tokens in it. */
static void put_raw(struct output *o) {
    const char *p = (const char *)o->raw.data;
    size_t n = o->raw.len, from = 0;
    for (size_t i = 0; i < n;) {
        size_t skip = 0;
        for (size_t k = 0; k < TOOLCALL_MAX_MARKS && o->o.format->marks[k] != NULL; k++) {
            size_t len = strlen(o->o.format->marks[k]);
            if (len > skip && n - i >= len && memcmp(p + i, o->o.format->marks[k], len) == 0) skip = len;
        }
        if (skip > 0) {
            output_put(o, output_text_kind(o), p + from, i - from);
            from = i + skip;
        }
        i += skip > 0 ? skip : 1;
    }
    if (n > 0) output_put(o, output_text_kind(o), p + from, n - from);
    buf_clear(&o->raw);
}

void output_give_up(struct output *o) {
    bool broken = o->begun && o->o.format->close != NULL;
    if (o->begun && o->last) o->at = o->in.len; /* the rest may be the beginning of a mark */
    if (o->begun) output_end_call(o);
    if (o->bare) o->said = true; /* a bare call is looked for only once */
    put_raw(o);
    buf_clear(&o->held);
    o->id[0] = o->name[0] = '\0';
    o->section = o->array = o->bare = false;
    o->state = broken ? OUTPUT_IN_BROKEN : OUTPUT_IN_TEXT;
}
