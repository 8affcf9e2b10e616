/* SPDX-License-Identifier: MIT
 * Tools of type custom: a text as input, in both of OpenAI's APIs that have them; whole answers, streams, calls that were cut, history. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "api/custom.h"
#include "base/mem.h"
#include "support/gateway_fixture.h"

#define CHAT    "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"tools\":"
#define ITEMS   "{\"input\":\"x\",\"tools\":"
#define LARK    "\"format\":{\"type\":\"grammar\",\"syntax\":\"lark\",\"definition\":\"start: \\\"a\\\"\"}"
#define PATCH   "{\"type\":\"custom\",\"name\":\"apply_patch\",\"description\":\"Edits files.\"," LARK "}"
#define SHELL   "{\"type\":\"function\",\"name\":\"shell\",\"parameters\":{\"type\":\"object\"}}"
#define IN_CHAT "{\"type\":\"custom\",\"custom\":{\"name\":\"apply_patch\"}}"

static void take(const struct api *api, const char *body, struct api_request *r) {
    struct err e = {0};
    api_request_init(r);
    if (parse(api, body, r, &e) != ERR_OK) fail_msg("%s: %s", body, e.text);
}

static void a_custom_tool_is_a_function_with_one_text(void **state) {
    (void)state;
    struct api_request r;
    take(&api_openai_responses, ITEMS "[" SHELL "," PATCH "],\"tool_choice\":{\"type\":\"custom\",\"name\":\"apply_patch\"}}", &r);
    assert_int_equal(r.n_tools, 2);
    assert_true(r.tools[1].custom && !r.tools[0].custom && r.has_custom && r.unchecked);
    assert_non_null(strstr(r.tools[1].parameters, "\"required\":[\"input\"]"));
    assert_non_null(strstr(r.tools[1].description, "Edits files.\nThe input matches this lark grammar:\nstart: \"a\""));
    assert_int_equal(r.tool_choice, API_TOOLS_NAMED);
    assert_string_equal(r.tool_name, "apply_patch");
    assert_true(api_custom_is(&r, "apply_patch and more", 11) && !api_custom_is(&r, "shell", 5));
    api_request_done(&r);
    take(&api_openai_chat, CHAT "[" IN_CHAT "],\"tool_choice\":{\"type\":\"custom\",\"custom\":{\"name\":\"apply_patch\"}}}", &r);
    assert_true(r.tools[0].custom && !r.unchecked);
    assert_int_equal(r.tool_choice, API_TOOLS_NAMED);
    api_request_done(&r);
    take(&api_openai_chat,
         CHAT "[{\"type\":\"custom\",\"custom\":{\"name\":\"t\",\"format\":{\"type\":\"grammar\",\"grammar\":{\"syntax\":\"regex\","
              "\"definition\":\"[0-9]+\"}}}}]}",
         &r);
    assert_false(r.unchecked);
    assert_non_null(strstr(r.tools[0].parameters, "\"pattern\":\"^(?:[0-9]+)$\""));
    api_request_done(&r);
}

static void bad_custom_tools_are_named(void **state) {
    (void)state;
    static const struct bad cases[] = {
        {ITEMS "[{\"type\":\"custom\",\"name\":\"a b\"}]}", "tools[0]"},
        {ITEMS "[{\"type\":\"custom\"}]}", "tools[0]"},
        {ITEMS "[{\"type\":\"custom\",\"name\":\"t\",\"format\":{\"type\":\"grammar\",\"syntax\":\"peg\",\"definition\":\"\"}}]}",
         "tools[0].format.syntax"},
        {ITEMS "[{\"type\":\"custom\",\"name\":\"t\",\"format\":{\"type\":\"grammar\",\"syntax\":\"regex\",\"definition\":\"(\"}}]}",
         "tools[0].format.definition"},
        {ITEMS "[{\"type\":\"custom\",\"name\":\"t\",\"format\":{\"type\":\"grammar\",\"syntax\":\"lark\"}}]}",
         "tools[0].format.definition"},
    };
    expect_bad(&api_openai_responses, cases, ARRAY_LEN(cases));
}

/* Earlier calls and their results, in each API's form, are the same chat. */
static void history_comes_back(void **state) {
    (void)state;
    static const char call[] = "{\"name\":\"apply_patch\",\"arguments\":\"{\\\"input\\\":\\\"a\\\\nb\\\"}\"}";
    static const struct {
        const struct api *api;
        const char *body;
    } cases[] = {
        {&api_openai_responses,
         "{\"input\":[{\"role\":\"user\",\"content\":\"x\"},{\"type\":\"custom_tool_call\",\"call_id\":\"c1\",\"name\":\"apply_patch\","
         "\"input\":\"a\\nb\"},{\"type\":\"custom_tool_call_output\",\"call_id\":\"c1\",\"output\":\"done\"}]}"},
        {&api_openai_chat,
         "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c1\",\"type\":\"custom\","
         "\"custom\":{\"name\":\"apply_patch\",\"input\":\"a\\nb\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"done\"}]}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct api_request r;
        take(cases[i].api, cases[i].body, &r);
        char *chat = yyjson_mut_val_write(r.chat, 0, NULL);
        if (strstr(chat, call) == NULL || strstr(chat, "\"tool_call_id\":\"c1\"") == NULL) fail_msg("%s", chat);
        free(chat);
        api_request_done(&r);
    }
}

/* Plays a call whose arguments come in two pieces; whole: they are complete. */
static void play(const struct api *api, struct api_request *r, const char *name, bool whole, struct buf *out) {
    struct api_choice_text c;
    struct api_answer a = {.request = r, .id = "resp_1", .model = "m", .fingerprint = "f", .choices = &c, .n_choices = 1};
    const char *first = "{\"input\": \"*** Begin\\n", *second = whole ? "+\\u00e9\\\"\"}" : "+\\u00";
    const struct api_event events[] = {
        {.kind = API_BEGIN},
        {.kind = API_CALL, .text = name, .len = strlen(name), .id = "call_1"},
        {.kind = API_ARGUMENTS, .text = first, .len = strlen(first)},
        {.kind = API_ARGUMENTS, .text = second, .len = strlen(second)},
        {.kind = API_CALL_END, .whole = whole},
        {.kind = API_FINISH, .text = "", .finish = whole ? API_FINISH_CALLS : API_FINISH_LENGTH},
        {.kind = API_END, .finish = whole ? API_FINISH_CALLS : API_FINISH_LENGTH},
    };
    api_choice_init(&c);
    buf_init(&a.prefix, 4096);
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        api_choice_collect(&c, &events[i]);
        c.finish = events[i].finish;
        if (r->stream) api->stream(&a, &events[i], out);
    }
    if (!r->stream) api->whole(&a, out);
    buf_done(&a.prefix);
    api_choice_done(&c);
}

static void expect_parts(const char *text, const char *const *parts, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (strstr(text, parts[i]) == NULL) fail_msg("%s\nis not in\n%s", parts[i], text);
}

static void answers_have_the_text(void **state) {
    (void)state;
    static const char input[] = "*** Begin\\n+\xC3\xA9\\\"", cut[] = "*** Begin\\n+";
    char *whole_chat = mem_printf("{\"id\":\"call_1\",\"type\":\"custom\",\"custom\":{\"name\":\"apply_patch\",\"input\":\"%s\"}}", input);
    char *cut_chat = mem_printf("\"custom\":{\"name\":\"apply_patch\",\"input\":\"%s\"}", cut);
    char *item = mem_printf("\"type\":\"custom_tool_call\",\"call_id\":\"call_1\",\"name\":\"apply_patch\",\"input\":\"%s\"", input);
    char *delta = mem_printf("\"type\":\"response.custom_tool_call_input.delta\",\"sequence_number\":3,\"item_id\":\"ctc_100\","
                             "\"output_index\":0,\"delta\":\"%s\"",
                             input);
    char *done = mem_printf("\"output_index\":0,\"input\":\"%s\"", input);
    const struct {
        const struct api *api;
        const char *body, *parts[3];
        bool whole;
    } cases[] = {
        {&api_openai_chat, CHAT "[" IN_CHAT "]}", {whole_chat, "\"finish_reason\":\"tool_calls\"", "\"content\":null"}, true},
        {&api_openai_chat,
         CHAT "[" IN_CHAT "],\"stream\":true}",
         {"\"tool_calls\":[{\"index\":0,\"id\":\"call_1\"", input, "[DONE]"},
         true},
        {&api_openai_chat, CHAT "[" IN_CHAT "]}", {cut_chat, "\"finish_reason\":\"length\"", "call_1"}, false},
        {&api_openai_responses, ITEMS "[" PATCH "]}", {item, "\"id\":\"ctc_100\"", "\"status\":\"completed\""}, true},
        {&api_openai_responses, ITEMS "[" PATCH "],\"stream\":true}", {item, delta, done}, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct api_request r;
        struct buf out;
        buf_init(&out, 1 << 20);
        take(cases[i].api, cases[i].body, &r);
        play(cases[i].api, &r, "apply_patch", cases[i].whole, &out);
        expect_parts(buf_cstr(&out), cases[i].parts, ARRAY_LEN(cases[i].parts));
        assert_null(strstr(buf_cstr(&out), "function_call_arguments"));
        assert_null(strstr(buf_cstr(&out), "\\\"input\\\"")); /* the JSON around the text is ours */
        buf_done(&out);
        api_request_done(&r);
    }
    free(whole_chat);
    free(cut_chat);
    free(item);
    free(delta);
    free(done);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_custom_tool_is_a_function_with_one_text),
        cmocka_unit_test(bad_custom_tools_are_named),
        cmocka_unit_test(history_comes_back),
        cmocka_unit_test(answers_have_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
