/* SPDX-License-Identifier: MIT
 * The events of a parser of chat/output.h, as text; and the same text cut at every place. For tests. */
#ifndef CARAVAN_TESTS_OUTPUT_FIXTURE_H
#define CARAVAN_TESTS_OUTPUT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "chat/output.h"

static const struct toolcall_tool TOOLS[] = {
    {.name = "get_weather",
     .parameters = "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"},\"days\":{\"type\":\"integer\"},"
                   "\"units\":{\"enum\":[\"c\",\"f\"]},\"wind\":{\"type\":[\"boolean\",\"null\"]},\"tags\":{\"type\":\"array\"},"
                   "\"note\":{\"type\":[\"string\",\"null\"]}}}"},
    {.name = "now"},
};

struct seen {
    struct buf text;
    enum output_kind kind;
    bool any;
};

/* Events as text: pieces of one kind are joined, so the cuts do not show. */
static inline void see(void *user, const struct output_event *ev) {
    static const char *const names[] = {"content ", "reasoning ", "call ", "arguments ", "end "};
    struct seen *s = user;
    bool goes_on = s->any && s->kind == ev->kind && ev->kind != OUTPUT_CALL && ev->kind != OUTPUT_CALL_END;
    if (!goes_on) buf_printf(&s->text, "%s%s", s->any ? "|" : "", names[ev->kind]);
    s->any = true;
    s->kind = ev->kind;
    if (ev->kind == OUTPUT_CALL) {
        assert_true(strlen(ev->id) > 0);
        buf_printf(&s->text, "%u ", ev->call);
    }
    if (ev->kind == OUTPUT_CALL_END) buf_printf(&s->text, "%u%s", ev->call, ev->whole ? "" : " broken");
    if (ev->kind != OUTPUT_CALL_END) {
        assert_true(ev->len > 0);
        buf_append(&s->text, ev->text, ev->len);
    }
}

static inline void run(const struct output_options *o, const char *text, size_t len, const size_t *cuts, size_t n_cuts, struct seen *s) {
    *s = (struct seen){.any = false};
    buf_init(&s->text, 1 << 20);
    struct output *out = output_create(o, see, s);
    size_t at = 0;
    for (size_t i = 0; i < n_cuts; i++) {
        output_push(out, text + at, cuts[i] - at);
        at = cuts[i];
    }
    output_push(out, text + at, len - at);
    output_finish(out);
    output_free(out);
}

static inline void expect_cut(const struct output_options *o, const char *text, const size_t *cuts, size_t n_cuts, const char *want) {
    struct seen s;
    run(o, text, strlen(text), cuts, n_cuts, &s);
    if (strcmp(buf_cstr(&s.text), want) != 0)
        fail_msg("%zu cuts, first at %zu, of\n  %s\ngave\n  %s\nexpected\n  "
                 "%s",
                 n_cuts, n_cuts > 0 ? cuts[0] : 0, text, buf_cstr(&s.text), want);
    buf_done(&s.text);
}

static inline void expect_with(const struct output_options *o, const char *text, const char *want) {
    size_t len = strlen(text);
    expect_cut(o, text, NULL, 0, want);
    for (size_t cut = 1; cut < len; cut++) expect_cut(o, text, &cut, 1, want);
    size_t *all = mem_calloc(len, sizeof(*all));
    for (size_t i = 1; i < len; i++) all[i - 1] = i;
    expect_cut(o, text, all, len > 0 ? len - 1 : 0, want);
    free(all);
}

static inline struct output_options options(const char *format, const char *reasoning_in) {
    struct output_options o = {.tools = TOOLS, .n_tools = ARRAY_LEN(TOOLS), .seed = 7};
    o.format = toolcall_format_named(format);
    assert_non_null(o.format);
    o.reasoning = reasoning_in != NULL ? toolcall_detect_reasoning(reasoning_in) : NULL;
    return o;
}

static inline void expect(const char *format, const char *text, const char *want) {
    struct output_options o = options(format, NULL);
    expect_with(&o, text, want);
}

#endif
