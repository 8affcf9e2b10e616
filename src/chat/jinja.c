/* SPDX-License-Identifier: MIT */
#include "chat/jinja.h"

#include <quickjs.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/str.h"
#include "chat/jinja_heap.h"

/* @huggingface/jinja between jinja_before.js and jinja_after.js; empty in a build without it (cmake/Bundle.cmake). */
extern const unsigned char jinja_source[];
extern const size_t jinja_source_len;

struct cached {
    char *text;      /* owned; NULL: the place is free */
    size_t len;
    JSValue parsed;
    uint64_t used;   /* when it was used last, in renders */
};

struct jinja {
    struct jinja_limits limits;
    struct jinja_heap heap;
    JSRuntime *rt;   /* NULL: not started */
    JSContext *ctx;
    JSValue parse, render;
    struct cached cache[ENGINE_MAX_TEMPLATES];
    uint64_t renders;
    uint64_t deadline_us;  /* CPU time of this thread */
    bool late, raised, timed_out;
};

static uint64_t cpu_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

/* ---- the runtime ---- */

static void *on_calloc(void *h, size_t n, size_t size) { return jinja_heap_calloc(h, n, size); }
static void *on_malloc(void *h, size_t size) { return jinja_heap_alloc(h, size); }
static void on_free(void *h, void *p) { jinja_heap_free(h, p); }
static void *on_realloc(void *h, void *p, size_t size) { return jinja_heap_realloc(h, p, size); }

static int on_interrupt(JSRuntime *rt, void *user) {
    (void)rt;
    struct jinja *j = user;
    if (!j->late && cpu_us() > j->deadline_us) j->late = true;
    return j->late;
}

/* Every block goes at once: after running out of memory the runtime may hold values that nothing can release. */
static void stop(struct jinja *j) {
    for (size_t i = 0; i < ENGINE_MAX_TEMPLATES; i++) {
        free(j->cache[i].text);
        j->cache[i] = (struct cached){0};
    }
    jinja_heap_done(&j->heap);
    j->rt = NULL;
    j->ctx = NULL;
}

static JSValue function_named(struct jinja *j, const char *name) {
    JSValue global = JS_GetGlobalObject(j->ctx);
    JSValue ours = JS_GetPropertyStr(j->ctx, global, "caravan");
    JSValue function = JS_GetPropertyStr(j->ctx, ours, name);
    JS_FreeValue(j->ctx, ours);
    JS_FreeValue(j->ctx, global);
    return function;
}

static void begin(struct jinja *j) {
    j->late = false;
    j->heap.full = false;
    j->deadline_us = cpu_us() + (uint64_t)j->limits.time_ms * 1000u;
    if (j->rt != NULL) JS_UpdateStackTop(j->rt);
}

static err_code start(struct jinja *j, struct err *e) {
    static const JSMallocFunctions functions = {on_calloc, on_malloc, on_free, on_realloc, jinja_heap_size};
    if (j->ctx != NULL) return ERR_OK;
    if (jinja_source_len == 0) {
        err_set(e, ERR_UNSUPPORTED, "this build renders only the chat templates that libllama has built in");
        err_hint(e, "build without -DCARAVAN_JINJA=off, or use /v1/completions with a prompt that you formatted yourself");
        return ERR_UNSUPPORTED;
    }
    jinja_heap_init(&j->heap, SIZE_MAX); /* QuickJS does not survive running out of memory while it starts; this code is ours */
    j->rt = JS_NewRuntime2(&functions, &j->heap);
    if (j->rt != NULL) {
        JS_SetMaxStackSize(j->rt, j->limits.stack);
        JS_SetInterruptHandler(j->rt, on_interrupt, j);
        begin(j);
        j->ctx = JS_NewContext(j->rt);
    }
    if (j->ctx != NULL) {
        JSValue v = JS_Eval(j->ctx, (const char *)jinja_source, jinja_source_len, "jinja.js", JS_EVAL_TYPE_GLOBAL);
        j->parse = function_named(j, "parse");
        j->render = function_named(j, "render");
        if (!JS_IsException(v) && JS_IsFunction(j->ctx, j->parse) && JS_IsFunction(j->ctx, j->render)) {
            JS_FreeValue(j->ctx, v);
            j->heap.limit = j->limits.memory;
            return ERR_OK;
        }
    }
    stop(j);
    return err_set(e, ERR_INTERNAL, "the Jinja interpreter did not start within %u ms", j->limits.time_ms);
}

struct jinja_limits jinja_limits_default(void) {
    return (struct jinja_limits){.time_ms = 1000, .memory = (size_t)128 << 20, .stack = (size_t)1 << 20};
}

bool jinja_built_in(void) { return jinja_source_len > 0; }

struct jinja *jinja_create(const struct jinja_limits *limits) {
    struct jinja *j = MEM_NEW(struct jinja);
    j->limits = limits != NULL ? *limits : jinja_limits_default();
    return j;
}

void jinja_free(struct jinja *j) {
    if (j == NULL) return;
    stop(j);
    free(j);
}

bool jinja_raised(const struct jinja *j) { return j->raised; }
bool jinja_timed_out(const struct jinja *j) { return j->timed_out; }

/* ---- errors ---- */

/* What was thrown, as "name" and "message", cut to what an error can hold, without breaking a character. */
static void take_exception(struct jinja *j, char *name, size_t name_size, char *text, size_t text_size) {
    JSValue thrown = JS_GetException(j->ctx);
    const char *keys[] = {"name", "message"};
    char *to[] = {name, text};
    size_t sizes[] = {name_size, text_size};
    for (int i = 0; i < 2; i++) {
        size_t len = 0;
        JSValue v = JS_GetPropertyStr(j->ctx, thrown, keys[i]);
        const char *s = JS_IsString(v) ? JS_ToCStringLen(j->ctx, &len, v) : NULL;
        if (len > sizes[i] - 1) len = sizes[i] - 1;
        if (s != NULL) memcpy(to[i], s, len);
        len -= str_utf8_incomplete(to[i], len);
        to[i][str_utf8_valid(to[i], len) ? len : 0] = '\0';
        JS_FreeCString(j->ctx, s);
        JS_FreeValue(j->ctx, v);
    }
    JS_FreeValue(j->ctx, thrown);
}

/* The error for what was thrown while the template was parsed or run. */
static err_code explain(struct jinja *j, bool parsing, struct err *e) {
    char name[32] = "", text[256] = "";
    bool late = j->late, full = j->heap.full;
    j->timed_out = late;
    j->late = j->heap.full = false;
    j->deadline_us = UINT64_MAX;
    if (!late && !full) take_exception(j, name, sizeof(name), text, sizeof(text));
    bool deep = strstr(text, "call stack size exceeded") != NULL || strstr(text, "stack overflow") != NULL;
    if (late || full || deep) stop(j); /* in what state is it? The next use starts afresh. */
    if (late) return err_set(e, ERR_LIMIT, "the model's chat template computes for more than %u ms", j->limits.time_ms);
    if (full) return err_set(e, ERR_LIMIT, "the model's chat template needs more than %zu MB of memory", j->limits.memory >> 20);
    if (deep) return err_set(e, ERR_LIMIT, "the model's chat template nests or recurses too deeply");
    if (parsing) {
        err_set(e, ERR_UNSUPPORTED, "the model's chat template cannot be parsed: %s", text);
        err_hint(e, "use /v1/completions with a prompt that you formatted yourself");
        return ERR_UNSUPPORTED;
    }
    j->raised = strcmp(name, "Raised") == 0;
    if (j->raised) return err_set(e, ERR_INVALID, "the model's chat template refuses these messages: %s", text);
    return err_set(e, ERR_INVALID, "the model's chat template fails on these messages: %s", text);
}

/* ---- parse and render ---- */

/* The place of this template in the cache: where it is, or the one unused for longest (*ret_found false). */
static struct cached *find(struct jinja *j, const char *tmpl, size_t len, bool *ret_found) {
    struct cached *oldest = &j->cache[0];
    for (size_t i = 0; i < ENGINE_MAX_TEMPLATES; i++) {
        struct cached *c = &j->cache[i];
        if (c->text != NULL && c->len == len && memcmp(c->text, tmpl, len) == 0) {
            *ret_found = true;
            return c;
        }
        if (c->used < oldest->used) oldest = c;
    }
    *ret_found = false;
    return oldest;
}

static err_code parsed_template(struct jinja *j, const char *tmpl, size_t len, JSValue *ret, struct err *e) {
    bool found;
    struct cached *c = find(j, tmpl, len, &found);
    if (!found) {
        JSValue text = JS_NewStringLen(j->ctx, tmpl, len);
        JSValue parsed = JS_IsException(text) ? text : JS_Call(j->ctx, j->parse, JS_UNDEFINED, 1, &text);
        JS_FreeValue(j->ctx, text);
        if (JS_IsException(parsed)) return explain(j, true, e);
        if (c->text != NULL) JS_FreeValue(j->ctx, c->parsed);
        free(c->text);
        *c = (struct cached){.text = mem_strndup(tmpl, len), .len = len, .parsed = parsed};
    }
    c->used = ++j->renders;
    *ret = c->parsed;
    return ERR_OK;
}

/* Appends the string v to out. */
static err_code take_text(struct jinja *j, JSValue v, struct buf *out, struct err *e) {
    size_t len;
    bool broken = JS_IsException(v) || j->heap.full || j->late; /* the library may have caught what a limit threw */
    const char *text = broken ? NULL : JS_ToCStringLen(j->ctx, &len, v);
    if (text == NULL) return explain(j, false, e);
    err_code code = ERR_OK;
    if (buf_reserve(out, len)) buf_append(out, text, len);
    else code = err_set(e, ERR_LIMIT, "the rendered messages are longer than %zu bytes", out->max);
    JS_FreeCString(j->ctx, text);
    return code;
}

err_code jinja_render(struct jinja *j, const char *tmpl, size_t tmpl_len, const char *context, size_t context_len, int64_t now,
                      struct buf *out, struct err *e) {
    j->raised = j->timed_out = false;
    if (tmpl_len > ENGINE_MAX_TEMPLATE)
        return err_set(e, ERR_LIMIT, "the model's chat template has %zu bytes, at most %d", tmpl_len, ENGINE_MAX_TEMPLATE);
    err_code code = start(j, e);
    if (code != ERR_OK) return code;
    begin(j);
    JSValue parsed;
    if ((code = parsed_template(j, tmpl, tmpl_len, &parsed, e)) != ERR_OK) return code;
    begin(j);
    JSValue args[] = {JS_DupValue(j->ctx, parsed), JS_NewStringLen(j->ctx, context, context_len), JS_NewInt64(j->ctx, now)};
    JSValue text = JS_IsException(args[1]) ? JS_EXCEPTION : JS_Call(j->ctx, j->render, JS_UNDEFINED, 3, args);
    code = take_text(j, text, out, e);
    if (j->ctx == NULL) return code; /* stopped: the values are gone with it */
    for (int i = 0; i < 3; i++) JS_FreeValue(j->ctx, args[i]);
    JS_FreeValue(j->ctx, text);
    return code;
}
