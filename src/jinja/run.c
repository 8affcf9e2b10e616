/* SPDX-License-Identifier: MIT
 * Limits, errors, and writing text. See run_priv.h. */
#include "jinja/run_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "jinja/compare_priv.h"
#include "jinja/text.h"

/* ---- limits and errors ---- */

const char *jinja_type_name(struct jinja_value v) {
    static const char *const names[JINJA_TYPES] = {[JINJA_MISSING] = "missing",
                                                   [JINJA_UNDEFINED] = "Undefined",
                                                   [JINJA_NONE] = "NoneType",
                                                   [JINJA_BOOL] = "bool",
                                                   [JINJA_INT] = "int",
                                                   [JINJA_BIG] = "int",
                                                   [JINJA_FLOAT] = "float",
                                                   [JINJA_STR] = "str",
                                                   [JINJA_LIST] = "list",
                                                   [JINJA_TUPLE] = "tuple",
                                                   [JINJA_DICT] = "dict",
                                                   [JINJA_VIEW] = "dict view",
                                                   [JINJA_RANGE] = "range",
                                                   [JINJA_ITER] = "generator",
                                                   [JINJA_NAMESPACE] = "Namespace",
                                                   [JINJA_MACRO] = "Macro",
                                                   [JINJA_METHOD] = "method",
                                                   [JINJA_FUNCTION] = "function",
                                                   [JINJA_LOOP] = "LoopContext",
                                                   [JINJA_CYCLER] = "Cycler",
                                                   [JINJA_JOINER] = "Joiner"};
    return v.type < JINJA_TYPES ? names[v.type] : "?";
}

/* Only the first error counts: later ones are its consequences. */
static bool fail_text(struct jinja_run *r, enum jinja_end end, err_code code, const char *text, size_t len) {
    if (r->end != JINJA_DONE) return false;
    r->end = end;
    if (len > sizeof(r->e->text) - 100) len = sizeof(r->e->text) - 100;
    len -= str_utf8_incomplete(text, len);
    if (end == JINJA_FAILED) err_set(r->e, code, "%.*s (line %u of the template)", (int)len, text, r->line);
    else err_set(r->e, code, "%.*s", (int)len, text);
    return false;
}

bool jinja_fail(struct jinja_run *r, const char *fmt, ...) {
    char text[512];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    size_t whole = strlen(text) - str_utf8_incomplete(text, strlen(text));
    for (char *p = text; *p != '\0' && !str_utf8_valid(text, whole); p++) /* it quotes an incomplete character */
        if ((unsigned char)*p >= 0x80) *p = '?';
    return fail_text(r, JINJA_FAILED, ERR_INVALID, text, len < (int)sizeof(text) ? (size_t)len : sizeof(text) - 1);
}

bool jinja_fail_memory(struct jinja_run *r) {
    char text[64];
    int len = snprintf(text, sizeof(text), "needs more than %zu MB of memory", r->limits.memory >> 20);
    return fail_text(r, JINJA_TOO_BIG, ERR_LIMIT, text, (size_t)len);
}

bool jinja_raise(struct jinja_run *r, const struct jinja_str *text) {
    return fail_text(r, JINJA_RAISED, ERR_INVALID, text->data, text->len);
}

bool jinja_fail_undefined(struct jinja_run *r, struct jinja_value v) {
    static const struct jinja_str none = {.data = "?", .len = 1};
    const struct jinja_str *name = v.aux != JINJA_NO_REASON && v.s != NULL ? v.s : &none;
    int len = name->len > 100 ? 100 : (int)name->len;
    const char *owner = jinja_type_name((struct jinja_value){.type = v.owner});
    len -= (int)str_utf8_incomplete(name->data, (size_t)len);
    switch ((enum jinja_undefined)v.aux) {
    case JINJA_NO_VARIABLE: return jinja_fail(r, "'%.*s' is undefined", len, name->data);
    case JINJA_NO_ATTRIBUTE:
        if (v.s == NULL) return jinja_fail(r, "'%s object' has no such element", owner);
        return jinja_fail(r, "'%s object' has no attribute '%.*s'", owner, len, name->data);
    case JINJA_UNSAFE: return jinja_fail(r, "access to attribute '%.*s' of '%s' object is unsafe", len, name->data, owner);
    default: return jinja_fail(r, "%s", v.hint);
    }
}

bool jinja_spend(struct jinja_run *r, uint64_t n) {
    if (n <= r->steps) {
        r->steps -= n;
        return true;
    }
    char text[64];
    int len = snprintf(text, sizeof(text), "needs more than %llu steps", (unsigned long long)r->limits.steps);
    r->steps = 0;
    return fail_text(r, JINJA_TOO_LONG, ERR_LIMIT, text, (size_t)len);
}

bool jinja_spend_bytes(struct jinja_run *r, size_t n) { return jinja_spend(r, n / 64); }

bool jinja_enter(struct jinja_run *r) {
    if (r->depth < r->limits.depth) {
        r->depth++;
        return jinja_spend(r, 1) || (r->depth--, false);
    }
    static const char text[] = "nests or recurses too deeply";
    return fail_text(r, JINJA_TOO_DEEP, ERR_LIMIT, text, sizeof(text) - 1);
}

void *jinja_alloc(struct jinja_run *r, size_t size) {
    void *p = jinja_heap_alloc(r->heap, size);
    if (p == NULL) jinja_fail_memory(r);
    return p;
}

/* ---- writing text ---- */

static bool grow(struct jinja_run *r, struct jinja_out *o, size_t more) {
    struct jinja_tail *old = o->tail;
    size_t used = old != NULL ? old->used : 0, cap = old != NULL ? old->cap : 0;
    if (more > SIZE_MAX / 4 || used > SIZE_MAX / 4) return jinja_fail_memory(r);
    cap = cap < 64 ? 64 : cap * 2;
    if (cap < used + more) cap = used + more;
    struct jinja_tail *tail = jinja_alloc(r, sizeof(*tail));
    char *data = tail != NULL ? jinja_heap_bytes(r->heap, cap) : NULL;
    if (data == NULL) return jinja_fail_memory(r);
    if (used > 0) memcpy(data, old->data, used);
    *tail = (struct jinja_tail){.used = used, .cap = cap, .data = data};
    o->tail = tail;
    return true;
}

bool jinja_out_write(struct jinja_run *r, struct jinja_out *o, const char *data, size_t len) {
    if (len == 0) return true;
    if ((o->tail == NULL || len > o->tail->cap - o->tail->used) && !grow(r, o, len)) return false;
    memcpy(o->tail->data + o->tail->used, data, len);
    o->tail->used += len;
    return jinja_spend_bytes(r, len);
}

bool jinja_out_byte(struct jinja_run *r, struct jinja_out *o, char c) { return jinja_out_write(r, o, &c, 1); }

bool jinja_out_char(struct jinja_run *r, struct jinja_out *o, uint32_t c) {
    char bytes[JINJA_CHAR_MAX];
    return jinja_out_write(r, o, bytes, jinja_char_write(c, bytes));
}

bool jinja_out_fill(struct jinja_run *r, struct jinja_out *o, uint32_t c, size_t times) {
    if (times > r->limits.memory) return jinja_fail_memory(r);
    for (size_t i = 0; i < times; i++)
        if (!jinja_out_char(r, o, c)) return false;
    return jinja_spend_bytes(r, times);
}

bool jinja_out_printf(struct jinja_run *r, struct jinja_out *o, const char *fmt, ...) {
    char text[512];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return jinja_out_write(r, o, text, len < (int)sizeof(text) ? (size_t)len : sizeof(text) - 1);
}

bool jinja_out_take(struct jinja_run *r, struct jinja_out *o, struct jinja_value *ret) {
    struct jinja_str *s = jinja_alloc(r, sizeof(*s));
    if (s == NULL) return false;
    *s = (struct jinja_str){
        .data = o->tail != NULL ? o->tail->data : "", .len = o->tail != NULL ? o->tail->used : 0, .chars = SIZE_MAX, .tail = o->tail};
    o->tail = NULL;
    *ret = jinja_of_str(s);
    return true;
}
