/* SPDX-License-Identifier: MIT
 * The text of a model of each family becomes the answer of OpenAI's chat API, streamed and in one piece. Golden files:
 * tests/support/golden.h. Also tools that are described in words, for templates that know no tools. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "api/api.h"
#include "api/parse.h"
#include "chat/output.h"
#include "chat/toolcall_words.h"
#include "support/golden.h"

static const struct toolcall_tool TOOLS[] = {
    {.name = "get_weather",
     .description = "The weather of a \"city\"",
     .parameters = "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"},\"days\":{\"type\":\"integer\"}}}"},
    {.name = "now"},
};

/* Each answer has reasoning if the family has it, text, and two calls (harmony: one call). */
static const struct {
    const char *format, *reasoning, *text;
} SAMPLES[] = {
    {"HERMES", "<think>",
     "<think>\nWhere?\n</think>\n\nLet me \"look\".\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": "
     "{\"city\": "
     "\"K\xC3\xB6ln\", \"days\": 2}}\n</tool_call>\n<tool_call>\n{\"name\": \"now\", \"arguments\": "
     "{}}\n</tool_call>"},
    {"LLAMA3", NULL, "{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Ulm\"}}; {\"name\": \"now\", \"parameters\": {}}"},
    {"MISTRAL", "[THINK]",
     "[THINK]Hm.[/THINK][TOOL_CALLS][{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Ulm\"}}, {\"name\": "
     "\"now\", "
     "\"arguments\": {}}]"},
    {"MISTRAL_ARGS", NULL, "Well.[TOOL_CALLS]get_weather[ARGS]{\"city\": \"Ulm\"}[TOOL_CALLS]now[ARGS]{}"},
    {"DEEPSEEK_R1", "</think>",
     "<think>Hm.</think>Well.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>"
     "function<｜tool▁sep｜>get_weather\n```json\n"
     "{\"city\": \"Ulm\"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>"
     "function<｜tool▁sep｜>now\n```json\n{}\n```"
     "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"},
    {"DEEPSEEK_V31", NULL,
     "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{\"city\": "
     "\"Ulm\"}<｜tool▁call▁end｜>"
     "<｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"},
    {"HARMONY", NULL,
     "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>Well.<|end|><|start|>"
     "assistant"
     "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{\"city\": \"Ulm\"}"},
    {"GLM", "<think>",
     "<think>Hm.</think>\nWell.\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Ulm</arg_value>\n"
     "<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>\n<tool_call>now\n</tool_call>"},
    {"KIMI", "◁think▷",
     "◁think▷Hm.◁/think▷Well.<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0"
     "<|tool_call_argument_begin|>{\"city\": \"Ulm\"}<|tool_call_end|><|tool_call_begin|>functions.now:1"
     "<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>"},
    {"QWEN3_CODER", NULL,
     "Well.\n<tool_call>\n<function=get_weather>\n<parameter=city>\nUlm\n</parameter>\n<parameter=days>"
     "\n3\n</parameter>\n"
     "</function>\n</tool_call>\n<tool_call>\n<function=now>\n</function>\n</tool_call>"},
    {"COMMAND_R", "<|START_THINKING|>",
     "<|START_THINKING|>Hm.<|END_THINKING|><|START_ACTION|>[\n    {\"tool_call_id\": \"0\", "
     "\"tool_name\": "
     "\"get_weather\", \"parameters\": {\"city\": \"Ulm\"}},\n    {\"tool_call_id\": \"1\", "
     "\"tool_name\": "
     "\"now\", \"parameters\": {}}\n]<|END_ACTION|>"},
};

struct player {
    const struct api *api;
    struct api_answer *answer;
    struct buf *out;
    bool stream;
};

static void tell(struct player *p, const struct api_event *ev) {
    if (p->stream) p->api->stream(p->answer, ev, p->out);
    api_choice_collect(&p->answer->choices[0], ev);
}

static void on_output(void *user, const struct output_event *ev) {
    static const enum api_event_kind kinds[] = {API_TEXT, API_REASONING, API_CALL, API_ARGUMENTS, API_CALL_END};
    struct api_event out = {.kind = kinds[ev->kind], .text = ev->text, .len = ev->len, .call = ev->call, .id = ev->id};
    tell(user, &out);
}

/* The text comes in pieces of the given size. */
static void play(size_t k, bool stream, size_t piece, struct buf *out) {
    const struct api_request request = {.stream = stream, .model = "m"};
    struct api_choice_text choice;
    api_choice_init(&choice);
    struct api_answer a = {.request = &request,
                           .id = "chatcmpl-1",
                           .model = "m",
                           .fingerprint = "fp",
                           .created = 1700000000,
                           .choices = &choice,
                           .n_choices = 1,
                           .usage = {.prompt_tokens = 7, .completion_tokens = 9}};
    buf_init(&a.prefix, 4096);
    struct player p = {.api = &api_openai_chat, .answer = &a, .out = out, .stream = stream};
    struct output_options o = {.format = toolcall_format_named(SAMPLES[k].format), .tools = TOOLS, .n_tools = ARRAY_LEN(TOOLS), .seed = 5};
    o.reasoning = SAMPLES[k].reasoning != NULL ? toolcall_detect_reasoning(SAMPLES[k].reasoning) : NULL;
    struct output *parser = output_create(&o, on_output, &p);
    tell(&p, &(struct api_event){.kind = API_BEGIN});
    const char *text = SAMPLES[k].text;
    for (size_t at = 0, len = strlen(text), n; at < len; at += n) {
        n = len - at < piece ? len - at : piece;
        output_push(parser, text + at, n);
    }
    output_finish(parser);
    choice.finish = output_calls(parser) > 0 ? API_FINISH_CALLS : API_FINISH_STOP;
    tell(&p, &(struct api_event){.kind = API_FINISH, .text = "", .finish = choice.finish});
    tell(&p, &(struct api_event){.kind = API_END});
    if (!stream) api_openai_chat.whole(&a, out);
    output_free(parser);
    api_choice_done(&choice);
    buf_done(&a.prefix);
}

static void golden(bool stream, size_t piece, const char *name) {
    struct buf out;
    buf_init(&out, 1 << 20);
    for (size_t k = 0; k < ARRAY_LEN(SAMPLES); k++) {
        buf_printf(&out, "== %s\n", SAMPLES[k].format);
        play(k, stream, piece, &out);
        buf_append_byte(&out, '\n');
    }
    compare_golden(name, &out);
    buf_done(&out);
}

static void families_in_one_piece(void **state) {
    (void)state;
    for (size_t piece = 1; piece < 20; piece += 6) golden(false, piece, "openai_chat_tools_whole.txt");
}

static void families_streamed(void **state) {
    (void)state;
    golden(true, 24, "openai_chat_tools_stream.txt");
}

/* ---- tools in words ---- */

#define WEATHER \
    "{\"type\":\"function\",\"function\":{\"name\":\"get_weather\",\"description\":\"The weather of a \\\"city\\\"\",\"parameters\":" \
    "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"},\"days\":{\"type\":\"integer\"}}}}}"
static const char *const WORDS_TOOLS[] = {"[" WEATHER "]", "[" WEATHER ",{\"type\":\"function\",\"function\":{\"name\":\"now\"}}]"};

static char *in_words(const char *chat, size_t n_tools) {
    yyjson_doc *read = yyjson_read(chat, strlen(chat), 0);
    yyjson_mut_doc *doc = yyjson_doc_mut_copy(read, NULL);
    yyjson_doc_free(read);
    yyjson_doc *tools = n_tools > 0 ? yyjson_read(WORDS_TOOLS[n_tools - 1], strlen(WORDS_TOOLS[n_tools - 1]), 0) : NULL;
    toolcall_words(doc, yyjson_mut_doc_get_root(doc), yyjson_doc_get_root(tools));
    yyjson_doc_free(tools);
    char *text = yyjson_mut_write(doc, 0, NULL);
    yyjson_mut_doc_free(doc);
    return text;
}

static void words(void **state) {
    (void)state;
    char *text = in_words("[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"assistant\",\"content\":null,"
                          "\"tool_calls\":[{\"id\":\"a\",\"function\":"
                          "{\"name\":\"now\",\"arguments\":\"{}\"}},{\"id\":\"b\",\"function\":{\"name\":\"get_weather\","
                          "\"arguments\":\"{\\\"city\\\":"
                          "\\\"Ulm\\\"}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"noon\"},{\"role\":\"tool\","
                          "\"tool_call_id\":"
                          "\"b\",\"content\":\"rain\"},{\"role\":\"user\",\"content\":\"so?\"}]",
                          0);
    assert_string_equal(text, "[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"assistant\",\"content\":\"<tool_call>"
                              "\\n{\\\"name\\\": \\\"now\\\", "
                              "\\\"arguments\\\": {}}\\n</tool_call>\\n<tool_call>\\n{\\\"name\\\": \\\"get_weather\\\", "
                              "\\\"arguments\\\": "
                              "{\\\"city\\\":\\\"Ulm\\\"}}\\n</tool_call>\"},{\"role\":\"user\",\"content\":\"<tool_response>\\nnoon\\n"
                              "</tool_response>\\n<tool_response>\\nrain\\n</tool_response>\"},{\"role\":\"user\",\"content\":\"so?\"}]");
    free(text);
    text = in_words("[{\"role\":\"user\",\"content\":\"hi\"}]", 2);
    assert_non_null(strstr(text, "[{\"role\":\"system\",\"content\":\"You can call these functions."));
    assert_non_null(strstr(text, "{\\\"name\\\": \\\"now\\\", \\\"parameters\\\": {}}"));
    assert_non_null(strstr(text, "\"},{\"role\":\"user\",\"content\":\"hi\"}]"));
    free(text);
    text = in_words("[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\",\"content\":\"hi\"}]", 1);
    assert_non_null(strstr(text, "[{\"role\":\"system\",\"content\":\"Be brief.\\n\\nYou can call"));
    assert_null(strstr(text, "\\\"now\\\""));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(families_in_one_piece), cmocka_unit_test(families_streamed),
                                       cmocka_unit_test(words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
