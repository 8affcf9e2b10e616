/* SPDX-License-Identifier: MIT
 * Reads the text of a model's answer and the marks around tool calls. See output.h. */
#include "chat/output_step_priv.h"

#include <string.h>

#include "base/mem.h"

/* ---- calls ---- */

/* Skips the rest of a call that broke: it is no text for the reader. */
static bool step_broken(struct output *o) {
    size_t safe = 0, end = output_find(o, o->o.format->close, &safe);
    o->at += end != SIZE_MAX ? end + strlen(o->o.format->close) : safe;
    if (end == SIZE_MAX) return false;
    o->state = o->o.format->section_close != NULL ? OUTPUT_IN_SECTION : OUTPUT_IN_TEXT;
    return true;
}

/* Drops a call that the end of the text cut before its name was known: marks and half a call are no text for the reader. */
static void drop_cut(struct output *o) {
    output_drop_space(o);
    buf_clear(&o->raw);
    buf_clear(&o->held);
    o->at = o->in.len;
    o->section = o->array = false;
    o->state = OUTPUT_IN_TEXT;
}

/* May the rest of the text be a name, or the beginning of one? Two words are no name. */
static bool begins_name(const struct output *o) {
    const char *p = output_at(o);
    size_t left = output_left(o), n = 0;
    while (n < left && toolcall_name_valid(p + n, 1)) n++;
    size_t next = n;
    while (next < left && output_blank(p[next])) next++;
    return next == left || !toolcall_name_valid(p + next, 1);
}

/* Is the rest of the text the beginning of a mark? A word or a single sign may be plain text. */
static bool begins_mark(const struct output *o) {
    size_t signs = 0, left = output_left(o);
    for (size_t i = 0; i < left; i++) signs += !toolcall_name_valid(output_at(o) + i, 1) && !output_blank(output_at(o)[i]);
    return signs > 0 && (left >= OUTPUT_MIN_CUT || (o->n_calls > 0 && o->skip_space));
}

/* Is the rest of the text the beginning of a mark, or of a call? */
static bool is_cut(const struct output *o) {
    switch (o->state) {
    case OUTPUT_IN_TEXT: return begins_mark(o);
    case OUTPUT_IN_SECTION:
    case OUTPUT_IN_SHAPE:
    case OUTPUT_IN_OBJECT: return !o->begun && (!o->bare || o->n_calls > 0);
    case OUTPUT_IN_NAME: return (!o->bare || o->n_calls > 0) && begins_name(o);
    case OUTPUT_IN_BROKEN:
    case OUTPUT_IN_END: return true;
    default: return false;
    }
}

bool output_step_begin_json(struct output *o) {
    o->object_at = OBJECT_OPEN;
    o->state = OUTPUT_IN_OBJECT;
    return true;
}

static void open_call(struct output *o) {
    o->state = OUTPUT_IN_SHAPE;
    o->id[0] = o->name[0] = '\0';
}

/* ---- steps ---- */

enum role {
    MARK_NONE,
    MARK_SECTION,
    MARK_CALL,
    MARK_REASONING,
    MARK_CLOSED,        /* closes reasoning that was never opened */
    MARK_ANSWER,        /* opens the answer's text */
    MARK_ANSWER_END,
    MARK_STRAY
};

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

static void try_calls(const struct output *o, const char *p, size_t left, struct hit *hit) {
    const struct toolcall_format *f = o->o.format;
    if (f == NULL) return;
    try_mark(o, f->section_open, MARK_SECTION, p, left, hit);
    try_mark(o, f->open, MARK_CALL, p, left, hit);
    try_mark(o, f->open_too, MARK_CALL, p, left, hit);
}

static void try_reasoning(const struct output *o, const char *p, size_t left, bool said, struct hit *hit) {
    const struct toolcall_reasoning *r = o->o.reasoning;
    if (r == NULL) return;
    if (!said && !o->reasoned && o->n_calls == 0) try_mark(o, r->open, MARK_REASONING, p, left, hit);
    if (!o->reasoned) try_mark(o, r->close, MARK_CLOSED, p, left, hit);
    if (!said) try_mark(o, r->answer_open, MARK_ANSWER, p, left, hit);
    if (o->answered) try_mark(o, r->answer_close, MARK_ANSWER_END, p, left, hit);
    for (size_t i = 0; i < ARRAY_LEN(r->frame) && r->frame[i] != NULL; i++) try_mark(o, r->frame[i], MARK_STRAY, p, left, hit);
}

/* Finds the longest mark that begins here, or the beginning of a mark that may go on. */
static struct hit mark_at(const struct output *o, const char *p, size_t left, bool said) {
    struct hit hit = {0};
    const struct toolcall_format *f = o->o.format;
    try_reasoning(o, p, left, said, &hit);
    try_calls(o, p, left, &hit);
    for (size_t i = 0; f != NULL && i < TOOLCALL_MAX_MARKS && f->marks[i] != NULL; i++) try_mark(o, f->marks[i], MARK_STRAY, p, left, &hit);
    return hit;
}

static void skip_blanks_after(struct output *o) {
    output_drop_space(o);
    o->skip_space = true;
}

/* The end of reasoning that was never opened. If what came before it has been given as the answer's text already, an empty line separates
 * the two. */
static void close_unopened(struct output *o) {
    skip_blanks_after(o);
    output_flush(o);
    bool early = o->undecided;
    output_decide(o, OUTPUT_REASONING);
    o->reasoned = o->closed = true;
    if (early) o->answered = o->o.reasoning->answer_open == NULL;
    else if (o->said) buf_append(&o->space, "\n\n", 2);
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
        o->opened = true;
        skip_blanks_after(o);
        o->state = OUTPUT_IN_REASONING;
        break;
    case MARK_CLOSED: close_unopened(o); break;
    case MARK_ANSWER:
    case MARK_ANSWER_END:
        skip_blanks_after(o);
        o->answered = hit->role == MARK_ANSWER;
        break;
    default: break;
    }
}

/* Does a call that needs no mark begin with this character? */
static bool begins_bare(const struct output *o, char c) {
    const struct toolcall_format *f = o->o.format;
    return f != NULL && f->bare && (c == '{' || (c == '[' && (f->array || f->assign != NULL)));
}

static bool step_text(struct output *o) {
    const char *p = output_at(o);
    size_t n = output_left(o);
    bool said = o->said;
    for (size_t i = 0; i < n; i++) {
        struct hit hit = {0};
        if (o->first[(uint8_t)p[i]]) hit = mark_at(o, p + i, n - i, said);
        if (hit.part || hit.len > 0 || (!said && begins_bare(o, p[i]))) {
            output_put(o, output_text_kind(o), p, i);
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
    output_put(o, output_text_kind(o), p, n);
    o->at += n;
    return false;
}

/* The next n bytes belong to reasoning that hasn't ended. How many of them stand before a mark that opens a call? */
static size_t before_call(const struct output *o, size_t n, bool *ret_call) {
    *ret_call = false;
    for (size_t i = 0; i < n; i++) {
        struct hit hit = {0};
        if (o->first[(uint8_t)output_at(o)[i]]) try_calls(o, output_at(o) + i, output_left(o) - i, &hit);
        *ret_call = hit.len > 0;
        if (hit.part || hit.len > 0) return i;
    }
    return n;
}

/* Models often call a tool before they have closed their reasoning. A model may also mention a call in its reasoning, but then the end of
 * the reasoning follows. Which of the two it is shows at the end of the text, so the text is held from the mark on. */
static bool step_unclosed(struct output *o, size_t safe) {
    bool call;
    size_t n = before_call(o, safe, &call);
    if (n == 0 && output_left(o) > OUTPUT_MAX_HELD) n = 1; /* the limit of what is held */
    output_put(o, OUTPUT_REASONING, output_at(o), n);
    o->at += n;
    if (!o->last || !call) return n > 0 && n < safe;
    o->unclosed = o->said = true; /* said: no reasoning can begin again */
    o->state = OUTPUT_IN_TEXT;
    return true;
}

static bool step_reasoning(struct output *o) {
    if (!o->reasoned) { /* the prompt opened it, and some models open it again */
        while (output_left(o) > 0 && output_blank(*output_at(o))) o->at++;
        enum output_match m = output_match(o, o->o.reasoning->open, output_at(o), output_left(o));
        if (m == MATCH_PART) return false;
        if (m == MATCH_FULL) o->at += strlen(o->o.reasoning->open);
        if (m == MATCH_FULL) o->opened = true;
        o->reasoned = true;
    }
    size_t safe = 0, end = output_find(o, o->o.reasoning->close, &safe);
    if (end == SIZE_MAX) return step_unclosed(o, safe);
    output_put(o, OUTPUT_REASONING, output_at(o), end);
    o->at += end + strlen(o->o.reasoning->close);
    o->closed = true;
    skip_blanks_after(o);
    o->answered = o->o.reasoning->answer_open == NULL;
    o->state = OUTPUT_IN_TEXT;
    return true;
}

/* Reads what stands between the calls of a section. It also runs after calls without a section: models leave out its opening mark. */
static bool step_section(struct output *o) {
    const struct toolcall_format *f = o->o.format;
    if (o->section) output_use_blanks(o);
    else
        while (output_left(o) > 0 && output_blank(*output_at(o))) o->at++;
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
    } else if (o->section && (*output_at(o) == '{' || *output_at(o) == '[')) { /* the family's older form: JSON */
        open_call(o);
    } else {
        if (o->n_section > 0) buf_clear(&o->raw); /* blanks after a call */
        output_give_up(o);
    }
    return true;
}

/* Reads a bracket around calls with literals, or the fence of a Markdown block. */
static bool step_list(struct output *o, char c) {
    bool begun = o->raw.len == 0 || memchr(o->raw.data, '[', o->raw.len) == NULL; /* the list has calls already: "[f(), ]" */
    size_t safe = 0, line = c == '`' ? output_find(o, "\n", &safe) : 0;
    if (line == SIZE_MAX && output_left(o) <= OUTPUT_MAX_HEAD && !o->last) return false;
    if (c == '[' && !o->array) {
        o->array = true;
        output_use(o, 1);
    } else if (c == ']' && o->array && begun) {
        o->state = OUTPUT_IN_END;
    } else if (c == '`' && line <= OUTPUT_MAX_HEAD) {
        output_use(o, line + 1);
    } else {
        output_give_up(o);
    }
    return true;
}

static bool step_shape(struct output *o) {
    const struct toolcall_format *f = o->o.format;
    output_use_blanks(o);
    if (output_left(o) == 0) return false;
    char c = *output_at(o);
    if (f->assign != NULL && strchr("[]`", c) != NULL) return step_list(o, c);
    if (c == '{' || c == '[') return output_step_begin_json(o);
    if (f->name_end != NULL || f->key_open != NULL) o->state = OUTPUT_IN_NAME;
    else output_give_up(o);
    return true;
}

/* Are the next n bytes no tool's name? It is asked where they may be plain text, so that text like "[link](x)" isn't held long. */
static bool is_no_name(const struct output *o, size_t n) {
    const struct toolcall_format *f = o->o.format;
    const char *p = output_at(o);
    if (f->assign == NULL && f->text_name == NULL && !o->bare) return false;
    size_t i = 0;
    while (i < n && toolcall_name_valid(p + i, 1)) i++;
    while (i < n && output_blank(p[i])) i++;
    return i < n && output_match(o, f->name_end, p + i, output_left(o) - i) == MATCH_NONE;
}

/* Finds the end of the name's text; SIZE_MAX: it has not come. A name without an end mark ends with its line, or at the next tag. */
static size_t find_name_end(const struct output *o, size_t *ret_len) {
    const struct toolcall_format *f = o->o.format;
    size_t safe = 0, end = f->name_end != NULL ? output_find(o, f->name_end, &safe) : SIZE_MAX;
    *ret_len = f->name_end != NULL ? strlen(f->name_end) : 0;
    if (f->name_end == NULL) {
        for (size_t i = 0; i < output_left(o) && end == SIZE_MAX; i++)
            if (output_at(o)[i] == '\n' || output_at(o)[i] == '<') end = i;
    }
    if (is_no_name(o, end != SIZE_MAX ? end : output_left(o))) return OUTPUT_MAX_HEAD + 1;
    return end;
}

static void trim(const char **p, size_t *n) {
    while (*n > 0 && output_blank((*p)[*n - 1])) --*n;
    for (; *n > 0 && output_blank(**p); ++*p) --*n;
}

static const char *find_in(const char *p, size_t n, const char *mark) {
    return mark != NULL && n > 0 ? mem_find(p, n, mark, strlen(mark)) : NULL;
}

/* Begins the call whose name's text this is. The text may hold an id: before the name, or joined to it (Kimi's functions.NAME:0). */
static bool name_call(struct output *o, const char *p, size_t n) {
    const struct toolcall_format *f = o->o.format;
    const char *id_end = find_in(p, n, f->id_end), *id = p;
    size_t id_len = id_end != NULL ? (size_t)(id_end - p) : n;
    if (id_end != NULL) {
        n -= id_len + strlen(f->id_end);
        p = id_end + strlen(f->id_end);
    }
    trim(&p, &n);
    trim(&id, &id_len);
    if (f->ids == TOOLCALL_IDS_MODEL && toolcall_name_valid(id, id_len)) {
        memcpy(o->id, id, id_len);
        o->id[id_len] = '\0';
    }
    size_t len = f->name_prefix != NULL ? strlen(f->name_prefix) : 0;
    if (n > len && len > 0 && memcmp(p, f->name_prefix, len) == 0) {
        p += len;
        n -= len;
    }
    const char *cut = find_in(p, n, f->name_cut);
    return output_begin_call(o, p, cut != NULL ? (size_t)(cut - p) : n);
}

static bool is_text_name(const struct toolcall_format *f, const char *p, size_t n) {
    trim(&p, &n);
    return f->text_name != NULL && strlen(f->text_name) == n && memcmp(p, f->text_name, n) == 0;
}

/* A tool's name may be a plain word of the text. Does a JSON object follow, which makes it a call? at: the end of the name. MATCH_PART:
 * more text is needed. */
static enum output_match object_follows(const struct output *o, size_t at) {
    const struct toolcall_format *f = o->o.format;
    size_t left = output_left(o), i = at;
    if ((!o->bare && f->text_name == NULL) || f->key_open != NULL || f->assign != NULL) return MATCH_FULL;
    while (i < left && output_blank(output_at(o)[i])) i++;
    if (i == left && (i - at > OUTPUT_MAX_SPACE || (o->last && o->bare))) return MATCH_NONE;
    if (i == left) return o->last ? MATCH_FULL : MATCH_PART;
    return output_at(o)[i] == '{' ? MATCH_FULL : MATCH_NONE;
}

static bool step_name(struct output *o) {
    const struct toolcall_format *f = o->o.format;
    size_t len, end = find_name_end(o, &len);
    if (end == SIZE_MAX && !o->last && output_left(o) <= OUTPUT_MAX_HEAD + len) return false;
    if (end == SIZE_MAX || end > OUTPUT_MAX_HEAD) {
        if (o->last && end == SIZE_MAX && output_left(o) <= OUTPUT_MAX_HEAD + len && is_cut(o)) drop_cut(o);
        else output_give_up(o);
        return true;
    }
    const char *name = output_at(o);
    bool text = is_text_name(f, name, end);
    enum output_match object = text ? MATCH_FULL : object_follows(o, end + len);
    if (object == MATCH_PART) return false;
    output_use(o, end + len);
    if (text) {
        buf_clear(&o->raw);
        o->state = OUTPUT_IN_TEXT;
    } else if (object == MATCH_NONE || !name_call(o, name, end)) {
        output_give_up(o);
    } else if (f->key_open != NULL) {
        output_step_begin_xml(o);
    } else if (f->assign != NULL) {
        output_step_begin_literal(o);
    } else {
        o->have_arguments = false;
        o->state = OUTPUT_IN_ARGUMENTS;
    }
    return true;
}

/* Begins the next call of an array, or of calls that follow one another without brackets. False: none begins at c. */
static bool next_call(struct output *o, char c) {
    const struct toolcall_format *f = o->o.format;
    if (o->array && c == ',') {
        o->at++;
        o->object_at = OBJECT_OPEN;
        o->state = f->assign != NULL ? OUTPUT_IN_SHAPE : OUTPUT_IN_OBJECT;
        return true;
    }
    if (f->list && toolcall_name_valid(&c, 1)) {
        o->state = OUTPUT_IN_NAME;
        return true;
    }
    if (c != '{' || !f->array || o->bare || f->close == NULL) return false;
    return output_step_begin_json(o); /* objects without an array */
}

/* Reads what follows a call: the mark that closes it, if the model wrote it, or what separates it from the next call. */
static bool step_end(struct output *o) {
    const struct toolcall_format *f = o->o.format;
    while (output_left(o) > 0 && output_blank(*output_at(o))) o->at++;
    if (output_left(o) == 0) return false;
    char c = *output_at(o);
    bool fence = f->assign != NULL && c == '`' && !o->bare;
    bool separates =
        (o->array && c == ']') || (f->bare && c == ';') || (f->close != NULL && c == '}'); /* models often write a brace too many */
    if (separates || fence) {
        if (c == ']') o->array = false;
        o->at++;
        return true;
    }
    enum output_match m = output_match(o, f->close, output_at(o), output_left(o));
    enum output_match whole = output_match(o, f->whole_close, output_at(o), output_left(o));
    if (whole == MATCH_FULL) o->at += strlen(f->whole_close);
    if (m == MATCH_PART || whole == MATCH_PART) return false;
    if (whole == MATCH_FULL || (m == MATCH_NONE && next_call(o, c))) return true;
    if (m == MATCH_FULL) o->at += strlen(f->close);
    o->array = o->bare = false;
    o->state = f->section_close != NULL ? OUTPUT_IN_SECTION : OUTPUT_IN_TEXT;
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
                                                                  [OUTPUT_IN_TYPE] = output_step_type,
                                                                  [OUTPUT_IN_NESTED] = output_step_nested,
                                                                  [OUTPUT_IN_LITERAL] = output_step_literal,
                                                                  [OUTPUT_IN_BROKEN] = step_broken,
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
    const struct toolcall_reasoning *r = o->o.reasoning;
    if (r != NULL) {
        const char *const marks[] = {r->open, r->close, r->answer_open, r->answer_close};
        for (size_t i = 0; i < ARRAY_LEN(marks); i++) note_first(o, marks[i]);
        for (size_t i = 0; i < ARRAY_LEN(r->frame); i++) note_first(o, r->frame[i]);
    }
    if (f == NULL) return;
    note_first(o, f->section_open);
    note_first(o, f->open);
    note_first(o, f->open_too);
    for (size_t i = 0; i < TOOLCALL_MAX_MARKS; i++) note_first(o, f->marks[i]);
}

static bool calls_wanted(const struct output_options *o) {
    return o->format != NULL && (o->format->harmony || o->format->text_name != NULL || o->n_tools > 0);
}

bool output_needed(const struct output_options *o) { return o->reasoning != NULL || calls_wanted(o); }

struct output *output_create(const struct output_options *options, output_fn fn, void *user) {
    struct output *o = MEM_NEW(struct output);
    o->o = *options;
    o->fn = fn;
    o->user = user;
    if (!calls_wanted(options)) o->o.format = NULL;
    if (o->o.max_calls == 0 || o->o.max_calls > OUTPUT_MAX_CALLS) o->o.max_calls = OUTPUT_MAX_CALLS;
    struct buf *bufs[] = {&o->in, &o->out, &o->space, &o->raw, &o->key, &o->held, &o->early, &o->assumed};
    for (size_t i = 0; i < ARRAY_LEN(bufs); i++) buf_init(bufs[i], SIZE_MAX - 1); /* the code that fills a buffer bounds it */
    buf_reserve(&o->in, 64);                                                   /* never NULL, so that output_at is valid */
    if (o->o.hold > OUTPUT_MAX_HELD) o->o.hold = OUTPUT_MAX_HELD;
    o->undecided =
        options->hold > 0 && options->reasoning != NULL && !options->reasoning_open && !options->call_open && !options->content_open;
    note_marks(o);
    if (o->o.format != NULL && o->o.format->harmony) o->state = options->content_open ? OUTPUT_IN_MESSAGE : OUTPUT_IN_HEADER;
    o->headed = options->content_open; /* the prompt holds the message's header (harmony) */
    if (o->o.format != NULL && !o->o.format->harmony && options->call_open) open_call(o);
    if (o->o.format != NULL && options->call_open) o->bare = o->o.format->text_name == NULL;
    if (options->reasoning != NULL && options->reasoning_open) {
        o->state = OUTPUT_IN_REASONING;
        o->skip_space = true;
    }
    return o;
}

void output_free(struct output *o) {
    if (o == NULL) return;
    struct buf *bufs[] = {&o->in, &o->out, &o->space, &o->raw, &o->key, &o->held, &o->early, &o->assumed};
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
    output_flush(o);
}

void output_finish(struct output *o) {
    if (is_cut(o)) drop_cut(o);
    o->last = true;
    while (step(o)) {
    }
    while (o->state != OUTPUT_IN_TEXT && o->state != OUTPUT_IN_REASONING && o->state != OUTPUT_IN_MESSAGE) {
        if (o->state == OUTPUT_IN_HEADER) output_step_last_header(o);
        else if (is_cut(o)) drop_cut(o);
        else output_give_up(o);
        while (step(o)) {
        }
    }
    if (o->begun) output_end_call(o);
    if (!o->skip_space && !o->unclosed && o->state == OUTPUT_IN_TEXT) output_flush_space(o, OUTPUT_CONTENT);
    output_flush(o);
    output_decide(o, OUTPUT_CONTENT);
}

/* Is the control token a mark, or part of one? */
static bool is_in(const char *mark, const char *control, size_t len) {
    return mark != NULL && len > 0 && mem_find(mark, strlen(mark), control, len) != NULL;
}

static bool format_wants(const struct toolcall_format *f, const char *control, size_t len) {
    const char *const marks[] = {f->section_open, f->section_close, f->open,       f->open_too,    f->close,     f->id_end,   f->name_end,
                                 f->key_open,     f->key_close,     f->value_open, f->value_close, f->type_open, f->type_end, f->quote};
    for (size_t i = 0; i < ARRAY_LEN(marks); i++)
        if (is_in(marks[i], control, len)) return true;
    for (size_t i = 0; i < TOOLCALL_MAX_MARKS; i++)
        if (is_in(f->marks[i], control, len)) return true;
    return false;
}

bool output_wants(const struct output *o, const char *control, size_t len) {
    const struct toolcall_reasoning *r = o->o.reasoning;
    if (r != NULL) {
        if (is_in(r->open, control, len) || is_in(r->close, control, len)) return true;
        if (is_in(r->answer_open, control, len) || is_in(r->answer_close, control, len)) return true;
        for (size_t i = 0; i < ARRAY_LEN(r->frame); i++)
            if (is_in(r->frame[i], control, len)) return true;
    }
    return o->o.format != NULL && format_wants(o->o.format, control, len);
}

void output_mend_assumed(struct output *o) {
    bool answer = o->o.reasoning_assumed && !o->opened && !o->closed && !o->said && o->n_calls == 0;
    struct output_event ev = {.kind = OUTPUT_CONTENT, .text = (const char *)o->assumed.data, .len = o->assumed.len};
    if (answer && ev.len > 0 && ev.len <= OUTPUT_MAX_HELD) o->fn(o->user, &ev);
    buf_clear(&o->assumed);
}

bool output_unopened(const struct output *o) { return o->closed && !o->opened; }

uint32_t output_calls(const struct output *o) { return o->n_calls + (o->begun && !o->muted ? 1 : 0); }
