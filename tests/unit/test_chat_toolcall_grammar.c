/* SPDX-License-Identifier: MIT
 * The grammars of tool calls: libllama takes them, and the parser reads every random text that they allow as a call of an existing tool,
 * with arguments that fit its schema. */
#include <llama.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "grammar/check.h"
#include "chat/output.h"
#include "chat/toolcall_grammar.h"
#include "support/sampler_fixture.h"

enum { MAX_HISTORY = 2048, SEEDS = 4 };

static const char *const FORMATS[] = {
#define TOOLCALL(id, ...) #id,
#include "../../tables/toolcalls.def"
#undef TOOLCALL
};

static const struct toolcall_tool TOOLS[] = {
    {.name = "get_weather",
     .parameters = "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\",\"enum\":[\"Ulm\",\"Bad Ems\"]},"
                   "\"days\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":14},\"wind\":{\"type\":\"boolean\"}},"
                   "\"required\":[\"city\",\"days\"],\"additionalProperties\":false}"},
    {.name = "now", .parameters = "{\"type\":\"object\",\"properties\":{},\"additionalProperties\":false}"},
};

static int32_t history[MAX_HISTORY];

/* Random logits; short words and ends are likelier, so that texts come to an end. */
static void make_logits(uint64_t seed) {
    struct buf text;
    buf_init(&text, 4096);
    for (uint32_t i = 0; i < n_vocab; i++) {
        uint64_t z = (seed * 1000003u + i) * 0x9E3779B97F4A7C15u;
        buf_clear(&text);
        engine_vocab_piece(vocab, (int32_t)i, &text);
        bool ends = engine_vocab_is_end(vocab, (int32_t)i) || (text.len > 0 && strpbrk(buf_cstr(&text), "<>}\"") != NULL);
        logits[i] = (float)((z ^ z >> 29) % 6000) / 1000 + (ends ? 4 : 0);
    }
    buf_done(&text);
}

/* Writes under the grammar until it ends; true when it did. */
static bool generate(const struct engine_sampling *p, int32_t from, int n, struct buf *out) {
    struct engine_sampler *s = NULL;
    struct engine_sample t = {0};
    fixture_ok(engine_sampler_create(vocab, MAX_HISTORY, p, &s, &fixture_err));
    for (int i = 0; i < n && !t.end; i++) {
        fixture_ok(engine_sampler_sample(s, scratch, logits, history, from - 1 + i, &t, &fixture_err));
        history[from + i] = t.token;
        if (!t.end) engine_vocab_piece(vocab, t.token, out);
    }
    engine_sampler_free(s);
    return t.end;
}

struct seen {
    struct buf arguments, other;
    char name[64];
    uint32_t n, whole;
};

static void see(void *user, const struct output_event *ev) {
    struct seen *s = user;
    if (ev->kind == OUTPUT_CALL) {
        s->n++;
        buf_clear(&s->arguments);
        memcpy(s->name, ev->text, ev->len);
        s->name[ev->len] = '\0';
    }
    if (ev->kind == OUTPUT_ARGUMENTS) buf_append(&s->arguments, ev->text, ev->len);
    if (ev->kind == OUTPUT_CONTENT) buf_append(&s->other, ev->text, ev->len);
    if (ev->kind == OUTPUT_CALL_END) s->whole += ev->whole;
}

static void check_arguments(const struct seen *s, const char *text) {
    yyjson_doc *doc = yyjson_read((const char *)s->arguments.data, s->arguments.len, 0);
    yyjson_val *o = yyjson_doc_get_root(doc), *city = yyjson_obj_get(o, "city"), *days = yyjson_obj_get(o, "days");
    bool weather = strcmp(s->name, "get_weather") == 0;
    bool fits = yyjson_is_obj(o) && (weather ? yyjson_obj_size(o) == 2 + (yyjson_obj_get(o, "wind") != NULL) : yyjson_obj_size(o) == 0);
    if (weather) {
        fits = fits && (yyjson_equals_str(city, "Ulm") || yyjson_equals_str(city, "Bad Ems"));
        fits = fits && yyjson_is_int(days) && yyjson_get_int(days) >= 1 && yyjson_get_int(days) <= 14;
        if (yyjson_obj_get(o, "wind") != NULL) fits = fits && yyjson_is_bool(yyjson_obj_get(o, "wind"));
    } else {
        fits = fits && strcmp(s->name, "now") == 0;
    }
    if (!fits) fail_msg("%s(%.*s) does not fit, from: %s", s->name, (int)s->arguments.len, (const char *)s->arguments.data, text);
    yyjson_doc_free(doc);
}

static void read_back(const struct toolcall_wish *w, const char *before, const char *text) {
    struct output_options o = {.format = w->format, .tools = w->tools, .n_tools = w->n_tools, .seed = 1};
    struct seen s = {.n = 0};
    buf_init(&s.arguments, 1 << 20);
    buf_init(&s.other, 1 << 20);
    struct output *out = output_create(&o, see, &s);
    output_push(out, before, strlen(before));
    output_push(out, text, strlen(text));
    output_finish(out);
    output_free(out);
    if (s.n != 1 || s.whole != 1 || s.other.len != 0) fail_msg("%s: not one call: %s%s", w->format->name, before, text);
    check_arguments(&s, text);
    if (w->only != NULL) assert_string_equal(s.name, w->only);
    buf_done(&s.arguments);
    buf_done(&s.other);
}

static struct engine_sampling sampling(const struct toolcall_wish *w) {
    struct engine_sampling p;
    engine_sampling_init(&p);
    p.temperature = 1;
    p.generated_from = 5;
    fixture_ok(toolcall_grammar_make(w, &p, &fixture_err));
    return p;
}

static void required_calls_are_read_back(void **state) {
    (void)state;
    struct buf text;
    buf_init(&text, 1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(FORMATS); i++) {
        struct toolcall_wish w = {
            .format = toolcall_format_named(FORMATS[i]), .tools = TOOLS, .n_tools = ARRAY_LEN(TOOLS), .required = true, .single = true};
        struct engine_sampling p = sampling(&w);
        for (p.seed = 0; p.seed < SEEDS; p.seed++) {
            make_logits(p.seed);
            buf_clear(&text);
            bool ended = generate(&p, 5, 1500, &text);
            if (!ended && !w.format->harmony) fail_msg("%s does not end: %s", FORMATS[i], buf_cstr(&text));
            if (ended) read_back(&w, "", buf_cstr(&text));
        }
        engine_sampling_done(&p);
    }
    buf_done(&text);
}

/* Arguments within arguments, in each family's form. */
static void nested_arguments_are_read_back(void **state) {
    (void)state;
    static const char schema[] =
        "{\"type\":\"object\",\"properties\":{\"quick\":{\"type\":\"boolean\"},\"steps\":{\"type\":\"array\",\"items\":{\"type\":"
        "\"object\",\"properties\":{\"n\":{"
        "\"type\":\"integer\"},\"how\":{\"enum\":[\"by foot\",\"by "
        "car\"]}},\"required\":[\"n\",\"how\"],\"additionalProperties\":false}},\"where\":{"
        "\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"boolean\"}},\"required\":[\"x\"],\"additionalProperties\":false}},"
        "\"required\":["
        "\"steps\",\"where\"],\"additionalProperties\":false}";
    static const struct toolcall_tool tool = {.name = "walk", .parameters = schema};
    yyjson_doc *want = yyjson_read(schema, strlen(schema), 0);
    struct buf text, why;
    buf_init(&text, 1 << 20);
    buf_init(&why, 1 << 10);
    for (size_t i = 0; i < ARRAY_LEN(FORMATS); i++) {
        struct toolcall_wish w = {
            .format = toolcall_format_named(FORMATS[i]), .tools = &tool, .n_tools = 1, .required = true, .single = true};
        struct engine_sampling p = sampling(&w);
        size_t ends = 0;
        for (p.seed = 0; p.seed < SEEDS; p.seed++) {
            struct output_options o = {.format = w.format, .tools = &tool, .n_tools = 1, .seed = 1};
            struct seen s = {.n = 0};
            make_logits(p.seed);
            buf_clear(&text);
            if (!generate(&p, 5, 800, &text)) continue; /* an array that goes on */
            ends++;
            buf_init(&s.arguments, 1 << 20);
            buf_init(&s.other, 1 << 20);
            struct output *out = output_create(&o, see, &s);
            output_push(out, buf_cstr(&text), text.len);
            output_finish(out);
            output_free(out);
            yyjson_doc *got = yyjson_read(buf_cstr(&s.arguments), s.arguments.len, 0);
            bool fits = check_value(yyjson_doc_get_root(want), yyjson_doc_get_root(got), &why) == CHECK_FITS;
            if (s.n != 1 || s.whole != 1 || s.other.len != 0 || !fits)
                fail_msg("%s: %s gives %s: %s", FORMATS[i], buf_cstr(&text), buf_cstr(&s.arguments), buf_cstr(&why));
            yyjson_doc_free(got);
            buf_done(&s.arguments);
            buf_done(&s.other);
        }
        if (ends == 0) fail_msg("%s: no call ends", FORMATS[i]);
        engine_sampling_done(&p);
    }
    buf_done(&text);
    buf_done(&why);
    yyjson_doc_free(want);
}

/* Text that the model writes by itself, and then the grammar takes over. */
static void lazy_calls_are_read_back(void **state) {
    (void)state;
    struct buf text;
    buf_init(&text, 1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(FORMATS); i++) {
        struct toolcall_wish w = {.format = toolcall_format_named(FORMATS[i]),
                                  .tools = TOOLS,
                                  .n_tools = ARRAY_LEN(TOOLS),
                                  .single = true,
                                  .only = i % 2 == 0 ? "now" : NULL};
        struct engine_sampling p = sampling(&w);
        assert_int_equal(p.lazy.n_triggers, 1);
        /* A bracket may begin a text as well as a list of calls: the first letter tells. */
        const char *more = w.format->bare && w.format->assign != NULL ? (w.only != NULL ? "n" : "g") : "";
        char *before = mem_printf("%s%s%s", w.format->harmony ? "<|channel|>commentary " : "", p.lazy.triggers[0], more);
        int32_t *tokens = NULL;
        size_t n = 0;
        fixture_ok(engine_vocab_tokenize(vocab, before, strlen(before), false, true, &tokens, &n, &fixture_err));
        for (p.seed = 0; p.seed < SEEDS; p.seed++) {
            make_logits(p.seed);
            memcpy(history + 5, tokens, n * sizeof(*tokens));
            buf_clear(&text);
            assert_true(generate(&p, 5 + (int32_t)n, 1500, &text));
            read_back(&w, before, buf_cstr(&text));
        }
        free(tokens);
        free(before);
        engine_sampling_done(&p);
    }
    buf_done(&text);
}

/* With reasoning before the call, and parallel calls, libllama takes the grammars too. */
static void all_variants_parse(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(FORMATS); i++)
        for (unsigned v = 0; v < 16; v++) {
            struct toolcall_wish w = {.format = toolcall_format_named(FORMATS[i]),
                                      .tools = TOOLS,
                                      .n_tools = ARRAY_LEN(TOOLS),
                                      .required = (v & 1) != 0,
                                      .single = (v & 2) != 0,
                                      .reasoning_open = (v & 8) != 0};
            w.reasoning = (v & 4) != 0 ? toolcall_detect_reasoning(i % 2 == 0 ? "<think>" : "◁think▷") : NULL;
            struct engine_sampling p = sampling(&w);
            struct engine_sampler *s = NULL;
            fixture_ok(engine_sampler_create(vocab, MAX_HISTORY, &p, &s, &fixture_err));
            engine_sampler_free(s);
            engine_sampling_done(&p);
        }
}

static bool accepts(const char *grammar, const char *text) {
    struct engine_sampling p;
    struct engine_sampler *s = NULL;
    struct engine_sample t = {0};
    struct err e = {0};
    engine_sampling_init(&p);
    p.generated_from = 5;
    p.grammar = mem_strdup(grammar);
    int32_t *tokens = NULL;
    size_t n = 0;
    fixture_ok(engine_vocab_tokenize(vocab, text, strlen(text), false, false, &tokens, &n, &fixture_err));
    memcpy(history + 5, tokens, n * sizeof(*tokens));
    free(tokens);
    fixture_ok(engine_sampler_create(vocab, MAX_HISTORY, &p, &s, &fixture_err));
    err_code code = engine_sampler_sample(s, scratch, logits, history, 4 + (int32_t)n, &t, &e);
    engine_sampler_free(s);
    engine_sampling_done(&p);
    return code == ERR_OK && t.end; /* it may end here, and (no other rule) must */
}

static void thought_goes_to_its_first_close(void **state) {
    (void)state;
    make_logits(1);
    struct toolcall_wish w = {.format = toolcall_format_named("HERMES"),
                              .tools = TOOLS,
                              .n_tools = ARRAY_LEN(TOOLS),
                              .required = true,
                              .single = true,
                              .reasoning = toolcall_detect_reasoning("<think>"),
                              .reasoning_open = true};
    struct engine_sampling p = sampling(&w);
    static const char call[] = "<tool_call>{\"name\":\"now\",\"arguments\":{}}</tool_call>";
    static const struct {
        const char *before;
        bool ok;
    } samples[] = {{"hm</think>", true},
                   {"a < b <</think></thin</think>\n", false},
                   {"a <</th <</think>\n", true},
                   {"\n\n</think>"
                    "\n\n",
                    true},
                   {"", false}};
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        char *text = mem_printf("%s%s", samples[i].before, call);
        if (accepts(p.grammar, text) != samples[i].ok) fail_msg("%s: expected %s", text, samples[i].ok ? "fits" : "does not fit");
        free(text);
    }
    engine_sampling_done(&p);
}

/* Kimi K3 opens and closes its answer's text before a call; Solar begins a new message. */
static void a_frame_may_stand_before_a_call(void **state) {
    (void)state;
    static const struct {
        const char *format, *tmpl, *text;
    } samples[] = {{"KIMI_K3", "<|open|> <|sep|>",
                    "hm<|close|>think<|sep|><|open|>response<|sep|><|close|>response<|sep|><|open|>tools<|sep|><|open|>call tool=\"now\" "
                    "index=\"1\"<|sep|><|close|>call<|sep|><|close|>tools<|sep|>"},
                   {"KIMI_K3", "<|open|> <|sep|>",
                    "hm<|close|>think<|sep|><|open|>tools<|sep|><|open|>call tool=\"now\" "
                    "index=\"1\"<|sep|><|close|>call<|sep|><|close|>tools<|sep|>"},
                   {"SOLAR", "<|think|> <|tool_calls|>",
                    "hm<|end|><|begin|>assistant<|tool_calls|><|tool_call:begin|>a1b2c3d4e5<|tool_call:name|>now<|tool_call:args|>{}"
                    "<|tool_call:end|><|calls|>"}};
    make_logits(1);
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        struct toolcall_wish w = {.format = toolcall_format_named(samples[i].format),
                                  .tools = TOOLS,
                                  .n_tools = ARRAY_LEN(TOOLS),
                                  .required = true,
                                  .single = true,
                                  .reasoning = toolcall_detect_reasoning(samples[i].tmpl),
                                  .reasoning_open = true};
        struct engine_sampling p = sampling(&w);
        if (!accepts(p.grammar, samples[i].text)) fail_msg("%s: %s does not fit", samples[i].format, samples[i].text);
        engine_sampling_done(&p);
    }
}

static void schemas_that_cannot_be(void **state) {
    (void)state;
    struct toolcall_tool tool = {.name = "f", .parameters = "{\"type\":\"object\",\"not\":{\"required\":[\"a\"]}}"};
    struct toolcall_wish w = {.format = toolcall_format_named("HERMES"), .tools = &tool, .n_tools = 1};
    struct engine_sampling p = sampling(&w); /* any object will do */
    engine_sampling_done(&p);
    tool.strict = true;
    struct err e = {0};
    engine_sampling_init(&p);
    assert_int_equal(toolcall_grammar_make(&w, &p, &e), ERR_UNSUPPORTED);
    assert_non_null(strstr(e.text, "\"f\""));
    assert_null(p.grammar);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(required_calls_are_read_back),    cmocka_unit_test(nested_arguments_are_read_back),
                                       cmocka_unit_test(lazy_calls_are_read_back),        cmocka_unit_test(all_variants_parse),
                                       cmocka_unit_test(thought_goes_to_its_first_close), cmocka_unit_test(a_frame_may_stand_before_a_call),
                                       cmocka_unit_test(schemas_that_cannot_be)};
    return cmocka_run_group_tests(tests, sampler_setup, sampler_teardown);
}
