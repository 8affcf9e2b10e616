/* SPDX-License-Identifier: MIT
 * The public side: parsing and rendering. See jinja.h. */
#include "jinja/jinja.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "jinja/object_priv.h"
#include "jinja/parse_priv.h"
#include "jinja/scope_priv.h"

enum {
    PARSE_MEMORY = 64 << 20, /* bytes of a parsed template */
    PARSE_DEPTH = 200        /* of nested tags and expressions */
};

struct jinja_limits jinja_limits_default(void) {
    return (struct jinja_limits){.steps = 50000000, .memory = (size_t)128 << 20, .depth = 1000};
}

/* ---- parsing ---- */

static bool parse(struct jinja_run *r, struct jinja_template *t, const char *text, size_t len) {
    struct jinja_parser p = {.r = r, .t = t};
    struct jinja_value numbers;
    if (!jinja_dict_new(r, JINJA_DICT, &numbers) || !jinja_lexer_start(r, &p.lexer, text, len)) return false;
    p.numbers = numbers.dict;
    t->loop_name = jinja_parser_symbol(&p, "loop", 4);
    return t->loop_name != UINT32_MAX && jinja_parse_template(&p);
}

err_code jinja_parse(const char *text, size_t len, struct jinja_template **ret, struct err *e) {
    struct err why = {0};
    if (len > JINJA_MAX_TEMPLATE) return err_set(e, ERR_LIMIT, "it has %zu bytes, at most %d", len, JINJA_MAX_TEMPLATE);
    if (!str_utf8_valid(text, len)) return err_set(e, ERR_UNSUPPORTED, "it is not valid UTF-8");
    struct jinja_template *t = MEM_NEW(struct jinja_template);
    jinja_heap_init(&t->heap, PARSE_MEMORY);
    struct jinja_run r = {.t = t,
                          .heap = &t->heap,
                          .steps = UINT64_MAX,
                          .e = &why,
                          .limits = {.steps = UINT64_MAX, .memory = PARSE_MEMORY, .depth = PARSE_DEPTH}};
    if (parse(&r, t, text, len)) {
        *ret = t;
        return ERR_OK;
    }
    jinja_free(t);
    why.code = r.end == JINJA_FAILED ? ERR_UNSUPPORTED : ERR_LIMIT;
    if (e != NULL) *e = why;
    return why.code;
}

void jinja_free(struct jinja_template *t) {
    if (t == NULL) return;
    jinja_heap_done(&t->heap);
    free(t);
}

/* ---- asking ---- */

static const struct jinja_symbol *find_symbol(const struct jinja_template *t, const char *name) {
    for (uint32_t i = 0; i < t->n_symbols; i++)
        if (jinja_str_is(t->symbols[i].text, name, strlen(name))) return &t->symbols[i];
    return NULL;
}

bool jinja_reads(const struct jinja_template *t, const char *variable) {
    const struct jinja_symbol *s = find_symbol(t, variable);
    return s != NULL && s->read;
}

bool jinja_names(const struct jinja_template *t, const char *attribute) {
    const struct jinja_symbol *s = find_symbol(t, attribute);
    return s != NULL && s->attribute;
}

/* ---- rendering ---- */

/* Copies only the variables that the template names. */
static bool set_variables(struct jinja_run *r, yyjson_mut_val *variables) {
    r->globals = jinja_alloc(r, (r->t->n_symbols + 1) * sizeof(*r->globals));
    if (r->globals == NULL) return false;
    for (uint32_t i = 0; variables != NULL && i < r->t->n_symbols; i++) {
        const struct jinja_str *name = r->t->symbols[i].text;
        yyjson_mut_val *v = r->t->symbols[i].hidden ? NULL : yyjson_mut_obj_getn(variables, name->data, name->len);
        if (v != NULL && !jinja_from_yyjson(r, v, &r->globals[i])) return false;
    }
    return true;
}

static bool render(struct jinja_run *r, yyjson_mut_val *variables, struct buf *out) {
    struct jinja_out text = {0};
    r->out = &text;
    if (!set_variables(r, variables) || jinja_exec(r, &r->t->body) == JINJA_STOP) return false;
    size_t len = text.tail != NULL ? text.tail->used : 0;
    if (!buf_reserve(out, len)) {
        r->end = JINJA_OUT_FULL;
        err_set(r->e, ERR_LIMIT, "the rendered messages are longer than %zu bytes", out->max);
        return false;
    }
    if (len > 0) buf_append(out, text.tail->data, len);
    return true;
}

err_code jinja_render(struct jinja_template *t, yyjson_mut_val *variables, int64_t now, const struct jinja_limits *limits, struct buf *out,
                      enum jinja_end *ret_end, struct err *e) {
    struct err why = {0};
    struct jinja_heap heap;
    struct jinja_run r = {.t = t, .heap = &heap, .e = &why, .now = now, .limits = limits != NULL ? *limits : jinja_limits_default()};
    r.steps = r.limits.steps;
    jinja_heap_init(&heap, r.limits.memory);
    bool ok = render(&r, variables, out);
    jinja_heap_done(&heap);
    if (ret_end != NULL) *ret_end = r.end;
    if (ok) return ERR_OK;
    if (e != NULL) *e = why;
    return why.code;
}
