/* SPDX-License-Identifier: MIT
 * The text of a model's answer, and what stands around tool calls in it. See output.h. */
#include "chat/output_priv.h"

#include <string.h>

#include "base/mem.h"

/* ---- text out ---- */

static void tell(struct output *o, const struct output_event *ev) {
    if (!o->muted || ev->kind < OUTPUT_CALL) o->fn(o->user, ev);
}

static void flush(struct output *o) {
    if (o->out.len == 0) return;
    struct output_event ev = {.kind = o->out_kind, .call = o->n_calls, .text = (const char *)o->out.data, .len = o->out.len};
    tell(o, &ev);
    buf_clear(&o->out);
}

static void append_out(struct output *o, enum output_kind kind, const void *p, size_t n) {
    if (n == 0) return;
    if (o->out_kind != kind) flush(o);
    o->out_kind = kind;
    buf_append(&o->out, p, n);
}

static void flush_space(struct output *o, enum output_kind kind) {
    append_out(o, kind, o->space.data, o->space.len);
    buf_clear(&o->space);
}

void output_drop_space(struct output *o) { buf_clear(&o->space); }

/* Blanks at the end wait: they are dropped when a call, or the end of the reasoning, comes next. */
void output_put(struct output *o, enum output_kind kind, const char *p, size_t n) {
    size_t from = 0, end = n;
    while (o->skip_space && from < n && output_blank(p[from])) from++;
    while (end > from && output_blank(p[end - 1])) end--;
    if (end > from) {
        flush_space(o, kind);
        append_out(o, kind, p + from, end - from);
        o->skip_space = false;
        if (kind == OUTPUT_CONTENT) o->said = true;
    }
    for (; end < n; end++) {
        if (o->space.len == OUTPUT_MAX_SPACE) flush_space(o, kind);
        buf_append_byte(&o->space, (uint8_t)p[end]);
    }
}

void output_append_clean(struct buf *to, char c, bool in_string) {
    if ((uint8_t)c >= 0x20 || !in_string) buf_append_byte(to, (uint8_t)c);
    else if (c == '\n') buf_append(to, "\\n", 2);
    else buf_printf(to, "\\u%04x", (uint8_t)c);
}

/* Follows the arguments by one character. */
static void follow(struct output *o, char c) {
    enum scan_result r = SCAN_MORE;
    if (o->told == TOLD_WRONG || (o->told != TOLD_PART && output_blank(c))) return;
    if (o->told == TOLD_PART || (o->told == TOLD_NOTHING && c == '{')) r = scan_push(&o->told_scan, c);
    else r = SCAN_BAD;
    o->told = r == SCAN_MORE ? TOLD_PART : r == SCAN_END ? TOLD_OBJECT : TOLD_WRONG;
}

void output_put_arguments(struct output *o, const char *p, size_t n) {
    if (n == 0) return;
    if (o->out_kind != OUTPUT_ARGUMENTS) flush(o);
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
    if (o->bare && !known_tool(o, o->name)) return false;
    if (f->ids != TOOLCALL_IDS_MODEL || o->id[0] == '\0') toolcall_make_id(f->ids, o->o.seed, o->n_calls, o->id);
    output_drop_space(o);
    flush(o);
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
    flush(o);
    struct output_event ev = {.kind = OUTPUT_CALL_END, .call = o->n_calls, .whole = o->told == TOLD_OBJECT};
    tell(o, &ev);
    if (!o->muted) o->n_calls++;
    o->muted = o->begun = false;
    o->skip_space = true;
    o->id[0] = o->name[0] = '\0';
    buf_clear(&o->raw);
    buf_clear(&o->held);
    yyjson_doc_free(o->schema);
    o->schema = NULL;
}

/* What was held becomes text, without the control tokens in it. */
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
            output_put(o, OUTPUT_CONTENT, p + from, i - from);
            from = i + skip;
        }
        i += skip > 0 ? skip : 1;
    }
    if (n > 0) output_put(o, OUTPUT_CONTENT, p + from, n - from);
    buf_clear(&o->raw);
}

void output_give_up(struct output *o) {
    if (o->begun) output_end_call(o);
    if (o->bare) o->said = true; /* and so no second try */
    put_raw(o);
    buf_clear(&o->held);
    o->id[0] = o->name[0] = '\0';
    o->section = o->array = o->bare = false;
    o->state = OUTPUT_IN_TEXT;
}

bool output_json_begin(struct output *o) {
    o->object_at = OBJECT_OPEN;
    o->array = false;
    o->state = OUTPUT_IN_OBJECT;
    return true;
}

static void open_call(struct output *o) {
    o->state = OUTPUT_IN_SHAPE;
    o->id[0] = o->name[0] = '\0';
}

/* ---- steps ---- */

enum role { MARK_NONE, MARK_SECTION, MARK_CALL, MARK_REASONING, MARK_STRAY };

struct hit {
    enum role role;
    size_t len;
    bool part;
};

static void try_mark(const struct output *o, const char *mark, enum role role, const char *p, size_t left, struct hit *hit) {
    enum output_match m = output_match(o, mark, p, left);
    if (m == MATCH_PART) hit->part = true;
    if (m != MATCH_FULL || strlen(mark) <= hit->len) return;
    hit->len = strlen(mark);
    hit->role = role;
}

/* The longest of the marks that begins here; or part of one that may become longer. */
static struct hit mark_at(const struct output *o, const char *p, size_t left, bool said) {
    struct hit hit = {0};
    const struct toolcall_format *f = o->o.format;
    if (o->o.reasoning != NULL && !said && !o->reasoned && o->n_calls == 0)
        try_mark(o, o->o.reasoning->open, MARK_REASONING, p, left, &hit);
    if (f == NULL) return hit;
    try_mark(o, f->section_open, MARK_SECTION, p, left, &hit);
    try_mark(o, f->open, MARK_CALL, p, left, &hit);
    for (size_t i = 0; i < TOOLCALL_MAX_MARKS && f->marks[i] != NULL; i++) try_mark(o, f->marks[i], MARK_STRAY, p, left, &hit);
    return hit;
}

static void take_mark(struct output *o, const struct hit *hit) {
    if (hit->role == MARK_SECTION || hit->role == MARK_CALL) output_use(o, hit->len);
    else o->at += hit->len;
    switch (hit->role) {
    case MARK_SECTION:
        o->section = true;
        o->n_section = 0;
        o->state = OUTPUT_IN_SECTION;
        break;
    case MARK_CALL: open_call(o); break;
    case MARK_REASONING:
        output_drop_space(o);
        o->skip_space = true;
        o->state = OUTPUT_IN_REASONING;
        break;
    default: break;
    }
}

static bool step_text(struct output *o) {
    const char *p = output_at(o);
    size_t n = output_left(o);
    bool said = o->said, bare = o->o.format != NULL && o->o.format->bare;
    for (size_t i = 0; i < n; i++) {
        struct hit hit = {0};
        if (o->first[(uint8_t)p[i]]) hit = mark_at(o, p + i, n - i, said);
        if (hit.part || hit.len > 0 || (bare && !said && p[i] == '{')) {
            output_put(o, OUTPUT_CONTENT, p, i);
            o->at += i;
            if (hit.part) return false;
            if (hit.len == 0) {
                o->bare = true;
                open_call(o);
            } else {
                take_mark(o, &hit);
            }
            return true;
        }
        if (!output_blank(p[i])) said = true;
    }
    output_put(o, OUTPUT_CONTENT, p, n);
    o->at += n;
    return false;
}

static bool step_reasoning(struct output *o) {
    if (!o->reasoned) { /* opened by the prompt, some models open it again */
        while (output_left(o) > 0 && output_blank(*output_at(o))) o->at++;
        enum output_match m = output_match(o, o->o.reasoning->open, output_at(o), output_left(o));
        if (m == MATCH_PART) return false;
        if (m == MATCH_FULL) o->at += strlen(o->o.reasoning->open);
        o->reasoned = true;
    }
    size_t safe = 0, end = output_find(o, o->o.reasoning->close, &safe);
    output_put(o, OUTPUT_REASONING, output_at(o), end != SIZE_MAX ? end : safe);
    o->at += end != SIZE_MAX ? end : safe;
    if (end == SIZE_MAX) return false;
    o->at += strlen(o->o.reasoning->close);
    output_drop_space(o);
    o->skip_space = true;
    o->state = OUTPUT_IN_TEXT;
    return true;
}

static bool step_section(struct output *o) {
    const struct toolcall_format *f = o->o.format;
    output_use_blanks(o);
    if (output_left(o) == 0) return false;
    enum output_match close = output_match(o, f->section_close, output_at(o), output_left(o));
    enum output_match open = output_match(o, f->open, output_at(o), output_left(o));
    if (close == MATCH_FULL && o->n_section > 0) {
        o->at += strlen(f->section_close);
        o->section = false;
        buf_clear(&o->raw);
        o->state = OUTPUT_IN_TEXT;
    } else if (open == MATCH_FULL) {
        output_use(o, strlen(f->open));
        open_call(o);
    } else if (close == MATCH_PART || open == MATCH_PART) {
        return false;
    } else if (*output_at(o) == '{') { /* the older form of the same family */
        open_call(o);
    } else {
        if (o->n_section > 0) buf_clear(&o->raw); /* blanks behind a call */
        output_give_up(o);
    }
    return true;
}

static bool step_shape(struct output *o) {
    const struct toolcall_format *f = o->o.format;
    output_use_blanks(o);
    if (output_left(o) == 0) return false;
    char c = *output_at(o);
    if (c == '{' || c == '[') return output_json_begin(o);
    if (f->name_end != NULL || f->key_open != NULL) o->state = OUTPUT_IN_NAME;
    else output_give_up(o);
    return true;
}

/* A name without an end of its own goes on to the end of its line, or to the next mark. */
static size_t find_name_end(const struct output *o, size_t *ret_len) {
    const struct toolcall_format *f = o->o.format;
    size_t safe = 0;
    *ret_len = f->name_end != NULL ? strlen(f->name_end) : 0;
    if (f->name_end != NULL) return output_find(o, f->name_end, &safe);
    for (size_t i = 0; i < output_left(o); i++)
        if (output_at(o)[i] == '\n' || output_at(o)[i] == '<') return i;
    return SIZE_MAX;
}

static void trim(const char **p, size_t *n) {
    while (*n > 0 && output_blank((*p)[*n - 1])) --*n;
    for (; *n > 0 && output_blank(**p); ++*p) --*n;
}

static bool name_call(struct output *o, const char *p, size_t n) {
    const struct toolcall_format *f = o->o.format;
    trim(&p, &n);
    if (f->ids == TOOLCALL_IDS_MODEL && toolcall_name_valid(p, n)) {
        memcpy(o->id, p, n);
        o->id[n] = '\0';
    }
    size_t len = f->name_prefix != NULL ? strlen(f->name_prefix) : 0;
    if (n > len && len > 0 && memcmp(p, f->name_prefix, len) == 0) {
        p += len;
        n -= len;
    }
    const char *cut = f->name_cut != NULL && n > 0 ? mem_find(p, n, f->name_cut, strlen(f->name_cut)) : NULL;
    return output_begin_call(o, p, cut != NULL ? (size_t)(cut - p) : n);
}

static bool step_name(struct output *o) {
    size_t len, end = find_name_end(o, &len);
    if (end == SIZE_MAX && !o->last && output_left(o) <= OUTPUT_MAX_HEAD + len) return false;
    if (end == SIZE_MAX || end > OUTPUT_MAX_HEAD) {
        output_give_up(o);
        return true;
    }
    const char *name = output_at(o);
    output_use(o, end + len);
    if (!name_call(o, name, end)) {
        output_give_up(o);
    } else if (o->o.format->key_open != NULL) {
        output_xml_begin(o);
    } else {
        o->have_arguments = false;
        o->state = OUTPUT_IN_ARGUMENTS;
    }
    return true;
}

/* Behind a call: what closes it, if it is there; in an array, what separates it from the next one. */
static bool step_end(struct output *o) {
    const struct toolcall_format *f = o->o.format;
    while (output_left(o) > 0 && output_blank(*output_at(o))) o->at++;
    if (output_left(o) == 0) return false;
    char c = *output_at(o);
    if (o->array && c == ',') {
        o->at++;
        o->object_at = OBJECT_OPEN;
        o->state = OUTPUT_IN_OBJECT;
        return true;
    }
    if ((o->array && c == ']') || (f->bare && c == ';') || (f->close != NULL && c == '}')) { /* one brace too many is a common slip */
        if (c == ']') o->array = false;
        o->at++;
        return true;
    }
    enum output_match m = output_match(o, f->close, output_at(o), output_left(o));
    if (m == MATCH_PART) return false;
    if (m == MATCH_FULL) o->at += strlen(f->close);
    o->array = o->bare = false;
    o->state = o->section ? OUTPUT_IN_SECTION : OUTPUT_IN_TEXT;
    return true;
}

static bool step(struct output *o) {
    static bool (*const steps[OUTPUT_STATES])(struct output *) = {[OUTPUT_IN_TEXT] = step_text,
                                                                  [OUTPUT_IN_REASONING] = step_reasoning,
                                                                  [OUTPUT_IN_SECTION] = step_section,
                                                                  [OUTPUT_IN_SHAPE] = step_shape,
                                                                  [OUTPUT_IN_NAME] = step_name,
                                                                  [OUTPUT_IN_OBJECT] = output_step_object,
                                                                  [OUTPUT_IN_ARGUMENTS] = output_step_arguments,
                                                                  [OUTPUT_IN_ELEMENTS] = output_step_elements,
                                                                  [OUTPUT_IN_KEY] = output_step_key,
                                                                  [OUTPUT_IN_VALUE] = output_step_value,
                                                                  [OUTPUT_IN_END] = step_end,
                                                                  [OUTPUT_IN_HEADER] = output_step_header,
                                                                  [OUTPUT_IN_MESSAGE] = output_step_message};
    if (!o->begun && o->raw.len >= OUTPUT_MAX_HELD) output_give_up(o);
    return steps[o->state](o);
}

/* ---- outside ---- */

static void note_first(struct output *o, const char *mark) {
    if (mark != NULL) o->first[(uint8_t)*mark] = true;
}

static void note_marks(struct output *o) {
    const struct toolcall_format *f = o->o.format;
    if (o->o.reasoning != NULL) note_first(o, o->o.reasoning->open);
    if (f == NULL) return;
    note_first(o, f->section_open);
    note_first(o, f->open);
    for (size_t i = 0; i < TOOLCALL_MAX_MARKS; i++) note_first(o, f->marks[i]);
}

static bool calls_wanted(const struct output_options *o) { return o->format != NULL && (o->format->harmony || o->n_tools > 0); }

bool output_needed(const struct output_options *o) { return o->reasoning != NULL || calls_wanted(o); }

struct output *output_create(const struct output_options *options, output_fn fn, void *user) {
    struct output *o = MEM_NEW(struct output);
    o->o = *options;
    o->fn = fn;
    o->user = user;
    if (!calls_wanted(options)) o->o.format = NULL;
    if (o->o.max_calls == 0 || o->o.max_calls > OUTPUT_MAX_CALLS) o->o.max_calls = OUTPUT_MAX_CALLS;
    struct buf *bufs[] = {&o->in, &o->out, &o->space, &o->raw, &o->key, &o->held};
    for (size_t i = 0; i < ARRAY_LEN(bufs); i++) buf_init(bufs[i], SIZE_MAX - 1); /* each is bounded by its user */
    buf_reserve(&o->in, 64);                                                   /* so that there is a place to point at */
    note_marks(o);
    if (o->o.format != NULL && o->o.format->harmony) o->state = OUTPUT_IN_HEADER;
    if (options->reasoning != NULL && options->reasoning_open) {
        o->state = OUTPUT_IN_REASONING;
        o->skip_space = true;
    }
    return o;
}

void output_free(struct output *o) {
    if (o == NULL) return;
    struct buf *bufs[] = {&o->in, &o->out, &o->space, &o->raw, &o->key, &o->held};
    for (size_t i = 0; i < ARRAY_LEN(bufs); i++) buf_done(bufs[i]);
    yyjson_doc_free(o->schema);
    free(o);
}

void output_push(struct output *o, const char *text, size_t len) {
    if (len == 0) return;
    buf_append(&o->in, text, len);
    while (step(o)) {
    }
    buf_consume(&o->in, o->at);
    o->at = 0;
    flush(o);
}

void output_finish(struct output *o) {
    o->last = true;
    while (step(o)) {
    }
    while (o->state != OUTPUT_IN_TEXT && o->state != OUTPUT_IN_REASONING && o->state != OUTPUT_IN_MESSAGE) {
        if (o->state == OUTPUT_IN_HEADER) output_harmony_last(o);
        else output_give_up(o);
        while (step(o)) {
        }
    }
    if (o->begun) output_end_call(o);
    if (!o->skip_space && o->state == OUTPUT_IN_TEXT) flush_space(o, OUTPUT_CONTENT);
    flush(o);
}

static bool is_mark(const char *mark, const char *text, size_t len) {
    return mark != NULL && strlen(mark) == len && memcmp(mark, text, len) == 0;
}

bool output_wants(const struct output *o, const char *control, size_t len) {
    const struct toolcall_format *f = o->o.format;
    const struct toolcall_reasoning *r = o->o.reasoning;
    if (r != NULL && (is_mark(r->open, control, len) || is_mark(r->close, control, len))) return true;
    for (size_t i = 0; f != NULL && i < TOOLCALL_MAX_MARKS; i++)
        if (is_mark(f->marks[i], control, len)) return true;
    if (f == NULL) return false;
    return is_mark(f->section_open, control, len) || is_mark(f->section_close, control, len) || is_mark(f->open, control, len) ||
           is_mark(f->close, control, len);
}

uint32_t output_calls(const struct output *o) { return o->n_calls + (o->begun && !o->muted ? 1 : 0); }

bool output_holds(const struct output *o) { return output_left(o) > 0 || o->raw.len > 0 || o->space.len > 0; }
