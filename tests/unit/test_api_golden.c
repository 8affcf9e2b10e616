/* SPDX-License-Identifier: MIT
 * Anthropic's messages, Ollama's chat and generate, OpenAI's responses as pure translations: bodies to the one request (and to errors that
 * name the field), one story of events (reasoning, text, a call) to each one's bytes. Golden files: tests/support/golden.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "api/parse.h"
#include "support/gateway_fixture.h"
#include "support/golden.h"

#define U "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static void anthropic_refuses(void **state) {
    (void)state;
    static const struct bad cases[] = {
        {"[]", ""},
        {"{\"max_tokens\":5}", "messages"},
        {"{" U "}", "max_tokens"},
        {"{" U ",\"max_tokens\":0}", "max_tokens"},
        {"{" U ",\"max_tokens\":\"5\"}", "max_tokens"},
        {"{" U ",\"max_tokens\":5,\"system\":5}", "system"},
        {"{" U ",\"max_tokens\":5,\"stop_sequences\":[1]}", "stop_sequences"},
        {"{" U ",\"max_tokens\":5,\"top_k\":\"x\"}", "top_k"},
        {"{" U ",\"max_tokens\":5,\"stream\":1}", "stream"},
        {"{" U ",\"max_tokens\":5,\"thinking\":{\"type\":\"much\"}}", "thinking.type"},
        {"{" U ",\"max_tokens\":5,\"tools\":[{\"name\":\"a b\"}]}", "tools.0"},
        {"{" U ",\"max_tokens\":5,\"tool_choice\":{\"type\":\"any\"}}", "tool_choice"},
        {"{" U ",\"max_tokens\":5,\"tool_choice\":{\"type\":\"tool\",\"name\":\"x\"}}", "tool_choice.name"},
        {"{\"messages\":[{\"role\":\"king\",\"content\":\"x\"}],\"max_tokens\":5}", "messages.0.role"},
        {"{\"messages\":[{\"role\":\"system\",\"content\":7}],\"max_tokens\":5}", "messages.0.content"},
        {"{" U ",\"max_tokens\":5,\"thread\":{\"type\":\"create\"}}", "thread"},
        {"{" U ",\"max_tokens\":5,\"tools\":[{\"type\":\"web_search_20250305\",\"name\":\"w\"}],\"tool_choice\":{\"type\":\"any\"}}",
         "tool_choice"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":7}],\"max_tokens\":5}", "messages.0.content"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\"}]}],\"max_tokens\":5}", "messages.0.content.0.source"},
        {"{\"system\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image\"}],\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"max_"
         "tokens\":5}",
         "system.1.type"},
        {"{\"messages\":[{\"role\":\"system\",\"content\":[{\"type\":\"image\"}]}],\"max_tokens\":5}", "messages.0.content.0.type"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\"}]}],\"max_tokens\":5}",
         "messages.0.content.0.tool_use_id"},
    };
    expect_bad(&api_anthropic, cases, ARRAY_LEN(cases));
}

static void ollama_refuses(void **state) {
    (void)state;
    static const struct bad chat[] = {
        {"{\"messages\":5}", "messages"},
        {"{\"messages\":[{\"role\":\"king\"}]}", "messages[0].role"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"images\":[\"x\"]}]}", "messages[0].images"},
        {"{" U ",\"stream\":\"no\"}", "stream"},
        {"{" U ",\"format\":\"yaml\"}", "format"},
        {"{" U ",\"think\":\"much\"}", "think"},
        {"{" U ",\"keep_alive\":true}", "keep_alive"},
        {"{" U ",\"keep_alive\":\"\"}", "keep_alive"},
        {"{" U ",\"keep_alive\":\"5x\"}", "keep_alive"},
        {"{" U ",\"keep_alive\":\"m5\"}", "keep_alive"},
        {"{" U ",\"keep_alive\":\"--5m\"}", "keep_alive"},
        {"{" U ",\"keep_alive\":\".s\"}", "keep_alive"},
        {"{" U ",\"keep_alive\":\"inf\"}", "keep_alive"},
        {"{" U ",\"options\":[]}", "options"},
        {"{" U ",\"options\":{\"num_predict\":\"x\"}}", "options.num_predict"},
        {"{" U ",\"options\":{\"temperature\":\"hot\"}}", "options.temperature"},
        {"{" U ",\"options\":{\"temprature\":0}}", "options.temprature"},
        {"{" U ",\"options\":{\"samplers\":[\"x\"]}}", "options.samplers"},
        {"{" U ",\"tools\":[{\"function\":{}}]}", "tools[0].function"},
    };
    static const struct bad generate[] = {
        {"{\"prompt\":5}", "prompt"},
        {"{\"prompt\":\"a\",\"template\":\"{{ .Prompt }}\"}", "template"},
        {"{\"prompt\":\"a\",\"context\":[1]}", "context"},
        {"{\"prompt\":\"a\",\"suffix\":5}", "suffix"},
        {"{\"prompt\":\"a\",\"raw\":1}", "raw"},
    };
    expect_bad(&api_ollama_chat, chat, ARRAY_LEN(chat));
    expect_bad(&api_ollama_generate, generate, ARRAY_LEN(generate));
}

static void ollama_keeps(void **state) {
    (void)state;
    static const struct {
        const char *body;
        bool has;
        int32_t s;
    } cases[] = {
        {"{}", false, 0},
        {"{\"keep_alive\":null}", false, 0},
        {"{\"keep_alive\":0}", true, 0},
        {"{\"keep_alive\":-1}", true, -1},
        {"{\"keep_alive\":90}", true, 90},
        {"{\"keep_alive\":0.2}", true, 1},
        {"{\"keep_alive\":1e300}", true, -1},
        {"{\"keep_alive\":\"0\"}", true, 0},
        {"{\"keep_alive\":\"30\"}", true, 30},
        {"{\"keep_alive\":\"5m\"}", true, 300},
        {"{\"keep_alive\":\"1h30m\"}", true, 5400},
        {"{\"keep_alive\":\"1.5m\"}", true, 90},
        {"{\"keep_alive\":\"250ms\"}", true, 1},
        {"{\"keep_alive\":\"-1m\"}", true, -1},
        {"{\"keep_alive\":\"-1\"}", true, -1},
        {"{\"keep_alive\":\"9999999h\"}", true, -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct api_request r;
        struct err e = {0};
        api_request_init(&r);
        yyjson_doc *doc = yyjson_read(cases[i].body, strlen(cases[i].body), 0);
        if (api_parse_keep(yyjson_doc_get_root(doc), &r, &e) != ERR_OK || r.has_keep != cases[i].has || r.keep_s != cases[i].s)
            fail_msg("%s: %d %d (%s)", cases[i].body, r.has_keep, r.keep_s, e.text);
        yyjson_doc_free(doc);
        api_request_done(&r);
    }
}

static void responses_refuse(void **state) {
    (void)state;
    static const struct bad cases[] = {
        {"{}", "input"},
        {"{\"input\":[]}", "input"},
        {"{\"input\":[5]}", "input[0]"},
        {"{\"input\":[{\"role\":\"king\",\"content\":\"x\"}]}", "input[0].role"},
        {"{\"input\":[{\"type\":\"function_call_output\",\"output\":\"x\"}]}", "input[0].call_id"},
        {"{\"input\":[{\"type\":\"item_reference\",\"id\":\"x\"}]}", "input[0].type"},
        {"{\"input\":[{\"type\":7}]}", "input[0].type"},
        {"{\"input\":[{\"type\":\"web_search_call\"}]}", "input"},
        {"{\"input\":\"x\",\"tools\":[7]}", "tools[0]"},
        {"{\"input\":\"x\",\"tools\":[{\"type\":\"namespace\",\"tools\":[]}]}", "tools[0]"},
        {"{\"input\":\"x\",\"tools\":[{\"type\":\"web_search\"}],\"tool_choice\":\"required\"}", "tool_choice"},
        {"{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_image\"}]}]}", "input[0].content[0].type"},
        {"{\"input\":\"x\",\"instructions\":5}", "instructions"},
        {"{\"input\":\"x\",\"background\":true}", "background"},
        {"{\"input\":\"x\",\"max_output_tokens\":0}", "max_output_tokens"},
        {"{\"input\":\"x\",\"store\":\"yes\"}", "store"},
        {"{\"input\":\"x\",\"previous_response_id\":5}", "previous_response_id"},
        {"{\"input\":\"x\",\"metadata\":5}", "metadata"},
        {"{\"input\":\"x\",\"text\":{\"format\":{\"type\":\"yaml\"}}}", "text.format.type"},
        {"{\"input\":\"x\",\"tool_choice\":\"required\"}", "tool_choice"},
    };
    expect_bad(&api_openai_responses, cases, ARRAY_LEN(cases));
}

/* ---- requests: what the model is told ---- */

static void golden_request(const struct api *api, const char *body, const char *chain, const char *name) {
    struct api_request r;
    struct err e = {0};
    struct buf out;
    api_request_init(&r);
    buf_init(&out, 1 << 20);
    if (parse(api, body, &r, &e) != ERR_OK) fail_msg("%s: %s", body, e.text);
    yyjson_doc *doc = chain != NULL ? yyjson_read(chain, strlen(chain), 0) : NULL;
    if (api->resume != NULL) assert_int_equal(api->resume(yyjson_doc_get_root(doc), &r, &e), ERR_OK);
    yyjson_doc_free(doc);
    yyjson_mut_val *parts[] = {r.chat, r.chat_tools, r.chat_extra};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        char *text = yyjson_mut_val_write(parts[i], YYJSON_WRITE_PRETTY, NULL);
        buf_append_str(&out, text != NULL ? text : "none");
        buf_append_byte(&out, '\n');
        free(text);
    }
    buf_printf(&out, "tool_choice %d %s, single %d, format %d %s, max %d, stops %zu, previous %s, input %s\n", (int)r.tool_choice,
               r.tool_name != NULL ? r.tool_name : "-", r.single_tool, (int)r.format, r.schema != NULL ? r.schema : "-", r.max_tokens,
               r.n_stops, r.previous != NULL ? r.previous : "-", r.input != NULL ? r.input : "-");
    compare_golden(name, &out);
    buf_done(&out);
    api_request_done(&r);
}

static void requests(void **state) {
    (void)state;
    golden_request(
        &api_anthropic,
        "{\"max_tokens\":9,\"system\":[{\"type\":\"text\",\"text\":\"be brief\"}],\"stop_sequences\":[\"x\"],"
        "\"thinking\":{\"type\":\"enabled\","
        "\"budget_tokens\":5},\"tools\":[{\"name\":\"add\",\"description\":\"adds\",\"input_schema\":{\"type\":\"object\"}}],"
        "\"tool_choice\":"
        "{\"type\":\"tool\",\"name\":\"add\",\"disable_parallel_tool_use\":true},\"messages\":[{\"role\":\"user\",\"content\":\"1+1?\"},"
        "{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"\"},{\"type\":\"text\","
        "\"text\":\"a\"},"
        "{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"add\",\"input\":{\"a\":1}},"
        "{\"type\":\"thinking\",\"thinking\":\"once more\",\"signature\":\"\"},"
        "{\"type\":\"tool_use\",\"id\":\"t2\",\"name\":\"add\",\"input\":{\"n\":123456789012345678901}}]},{\"role\":\"user\","
        "\"content\":[{\"type\":\"tool_result\","
        "\"tool_use_id\":\"t1\",\"content\":[{\"type\":\"text\",\"text\":\"2\"}]},{\"type\":\"tool_result\",\"tool_use_id\":\"t2\","
        "\"content\":\"no\",\"is_error\":true},{\"type\":\"text\",\"text\":\"and?\"}]}]}",
        NULL, "anthropic_request.txt");
    golden_request(&api_ollama_chat,
                   "{\"think\":\"low\",\"format\":{\"type\":\"object\"},\"options\":{\"num_predict\":7,\"stop\":\"x\",\"num_ctx\":99},"
                   "\"tools\":[{\"type\":"
                   "\"function\",\"function\":{\"name\":\"add\",\"parameters\":{\"type\":\"object\"}}}],\"messages\":[{\"role\":\"user\","
                   "\"content\":\"1+1?\"},"
                   "{\"role\":\"assistant\",\"content\":\"\",\"thinking\":\"hm\",\"tool_calls\":[{\"function\":{\"name\":\"add\","
                   "\"arguments\":{\"a\":1}}}]},"
                   "{\"role\":\"tool\",\"tool_name\":\"add\",\"content\":\"2\"}]}",
                   NULL, "ollama_request.txt");
    golden_request(
        &api_openai_responses,
        "{\"instructions\":\"be brief\",\"previous_response_id\":\"resp_1\",\"max_output_tokens\":8,\"reasoning\":{\"effort\":\"low\"},"
        "\"parallel_tool_calls\":false,\"tools\":[{\"type\":\"function\",\"name\":\"add\",\"parameters\":{\"type\":\"object\"}}],"
        "\"tool_choice\":"
        "\"required\",\"text\":{\"format\":{\"type\":\"json_object\"}},\"input\":[{\"type\":\"function_call_output\","
        "\"call_id\":\"c1\",\"output\":"
        "\"2\"},{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"and?\"}]}]}",
        "[[[{\"role\":\"user\",\"content\":\"1+1?\"}],{\"output\":[{\"type\":\"reasoning\","
        "\"content\":[{\"type\":\"reasoning_text\",\"text\":"
        "\"hm\"}]},{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"a\"}]},{\"type\":"
        "\"function_call\",\"call_id\":\"c1\",\"name\":\"add\",\"arguments\":\"{}\"}]}]]",
        "responses_request.txt");
}

/* Each API in its own words: one tool, which must be called. Nothing of it may be lost on the way. */
static void tools_mean_the_same(void **state) {
    (void)state;
#define TOOL   "\"name\":\"add\",\"description\":\"adds\",\"strict\":true,"
#define SCHEMA "{\"type\":\"object\"}"
    static const struct {
        const struct api *api;
        const char *body;
    } cases[] = {
        {&api_openai_chat, "{" U ",\"tools\":[{\"type\":\"function\",\"function\":{" TOOL "\"parameters\":" SCHEMA "}}],"
                           "\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"add\"}}}"},
        {&api_openai_responses, "{\"input\":\"hi\",\"tools\":[{\"type\":\"function\"," TOOL "\"parameters\":" SCHEMA "}],"
                                "\"tool_choice\":{\"type\":\"function\",\"name\":\"add\"}}"},
        {&api_anthropic, "{" U ",\"max_tokens\":5,\"tools\":[{" TOOL "\"input_schema\":" SCHEMA "}],"
                         "\"tool_choice\":{\"type\":\"tool\",\"name\":\"add\"}}"},
        {&api_ollama_chat, "{" U ",\"tools\":[{\"type\":\"function\",\"function\":{" TOOL "\"parameters\":" SCHEMA "}}]}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct api_request r;
        struct err e = {0};
        api_request_init(&r);
        if (parse(cases[i].api, cases[i].body, &r, &e) != ERR_OK) fail_msg("%s: %s", cases[i].body, e.text);
        assert_int_equal(r.n_tools, 1);
        assert_string_equal(r.tools[0].name, "add");
        assert_string_equal(r.tools[0].description, "adds");
        assert_string_equal(r.tools[0].parameters, SCHEMA);
        assert_true(r.tools[0].strict);
        assert_int_equal(r.tool_choice, cases[i].api == &api_ollama_chat ? API_TOOLS_AUTO : API_TOOLS_NAMED);
        api_request_done(&r);
    }
#undef TOOL
#undef SCHEMA
}

/* Agents send content that a text model can't take: the conversation goes on with its text and with placeholders. */
static void requests_of_agents(void **state) {
    (void)state;
    golden_request(
        &api_anthropic,
        "{\"max_tokens\":9,\"output_config\":{\"effort\":\"low\"},\"tools\":[{\"type\":\"bash_20250124\",\"name\":\"bash\"},{\"type\":"
        "\"computer_toolset_20260801\"},{\"type\":\"web_search_20250305\",\"name\":\"web_search\"}],\"mcp_servers\":[{\"name\":\"x\"}],"
        "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"},{\"type\":\"document\",\"title\":\"T\","
        "\"source\":{\"type\":\"text\",\"media_type\":\"text/plain\",\"data\":\"its words\"}},{\"type\":\"document\",\"source\":{\"type\":"
        "\"base64\",\"media_type\":\"application/pdf\",\"data\":\"AAAA\"}},{\"type\":\"search_result\",\"source\":\"http://a\",\"title\":"
        "\"S\",\"content\":[{\"type\":\"text\",\"text\":\"found\"}]}]},{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":"
        "\"# Environment\"}]},{\"role\":\"assistant\",\"content\":[{\"type\":\"server_tool_use\",\"id\":\"s\",\"name\":\"web_search\","
        "\"input\":{}},{\"type\":\"web_search_tool_result\",\"tool_use_id\":\"s\",\"content\":[{\"type\":\"web_search_result\",\"title\":"
        "\"P\",\"url\":\"http://p\",\"encrypted_content\":\"zz\"}]},{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"bash\",\"input\":{}}]},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t\",\"content\":[{\"type\":\"image\",\"source\":{"
        "\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"AAAA\"}},{\"type\":\"tool_reference\",\"tool_name\":\"f\"}]}]}]}",
        NULL, "anthropic_agent.txt");
    golden_request(
        &api_openai_responses,
        "{\"store\":false,\"tools\":[{\"type\":\"function\",\"name\":\"run\"},{\"type\":\"namespace\",\"name\":\"agents\",\"tools\":[{"
        "\"type\":\"function\",\"name\":\"stop\",\"parameters\":{\"type\":\"object\"}}]},{\"type\":\"web_search\"},{\"type\":\"custom\","
        "\"name\":\"patch\"}],\"input\":[{\"role\":\"user\",\"content\":\"hi\"},{\"type\":\"reasoning\",\"summary\":[],\"content\":null,"
        "\"encrypted_content\":\"zz\"},{\"type\":\"custom_tool_call\",\"call_id\":\"a\",\"name\":\"patch\",\"input\":\"*** \\\"x\\\"\"},{"
        "\"type\":\"custom_tool_call_output\",\"call_id\":\"a\",\"output\":\"ok\"},{\"type\":\"local_shell_call\",\"call_id\":\"b\","
        "\"action\":{\"type\":\"exec\",\"command\":[\"ls\"]}},{\"type\":\"local_shell_call_output\",\"id\":\"b\",\"output\":\"f\"},{"
        "\"type\":\"web_search_call\",\"status\":\"completed\",\"action\":{\"type\":\"search\"}},{\"type\":\"function_call\",\"call_id\":"
        "\"c\",\"namespace\":\"agents\",\"name\":\"stop\",\"arguments\":\"{}\"},{\"type\":\"function_call_output\",\"call_id\":\"c\","
        "\"output\":[{\"type\":\"input_text\",\"text\":\"seen\"},{\"type\":\"input_image\",\"image_url\":\"data:image/png;base64,AA\"}]},{"
        "\"type\":\"compaction\",\"encrypted_content\":\"zz\"},{\"type\":\"compaction\",\"encrypted_content\":\"caravan:what came "
        "before\"},{\"type\":\"tool_search_output\",\"call_id\":\"d\",\"tools\":[{\"type\":\"function\",\"name\":\"late\"}]},{\"type\":"
        "\"ghost_snapshot\"},{\"type\":\"agent_message\",\"content\":[{\"type\":\"input_text\",\"text\":\"from another\"}]}]}",
        NULL, "responses_agent.txt");
}

/* However an API or a client writes the address, the picture is kept once, under one mark. */
static void a_picture_has_one_mark(void **state) {
    (void)state;
#define CHAT(image)      "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":" image "}]}]}"
#define RESPONSES(image) "{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_image\",\"image_url\":" image "}]}]}"
    static const struct {
        const struct api *api;
        const char *body;
    } cases[] = {
        {&api_openai_chat, CHAT("{\"url\":\"data:image/png;base64,AAAA\"}")},
        {&api_openai_chat, CHAT("\"DATA:image/png;name=a.png;BASE64,AAAA\"")},
        {&api_openai_responses, RESPONSES("\"data:;base64,AAAA\"")},
        {&api_openai_responses, RESPONSES("{\"url\":\"data:image/png;base64,AAAA\"}")},
        {&api_anthropic,
         "{\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":{\"type\":\"base64\","
         "\"media_type\":\"image/png\",\"data\":\"AAAA\"}}]}]}"},
        {&api_ollama_chat, "{\"messages\":[{\"role\":\"user\",\"content\":\"\",\"images\":[\"AAAA\",\"Data:image/png;Base64,AAAA\"]}]}"},
    };
    char mark[REQUEST_MARK_SIZE] = "";
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct api_request r;
        struct err e = {0};
        api_request_init(&r);
        if (parse(cases[i].api, cases[i].body, &r, &e) != ERR_OK) fail_msg("%s: %s", cases[i].body, e.text);
        assert_int_equal(r.n_media, 1);
        assert_string_equal(r.media[0].data, "AAAA");
        if (i == 0) memcpy(mark, r.media[0].mark, sizeof(mark));
        assert_string_equal(r.media[0].mark, mark);
        api_request_done(&r);
    }
    static const struct bad no_base64[] = {
        {CHAT("\"data:image/png,AAAA\""), "messages[0].content[0].image_url"},
        {CHAT("\"data:image/png;base64\""), "messages[0].content[0].image_url"},
        {CHAT("\"data:,;base64,AAAA\""), "messages[0].content[0].image_url"},
        {CHAT("\"data:\""), "messages[0].content[0].image_url"},
    };
    expect_bad(&api_openai_chat, no_base64, ARRAY_LEN(no_base64));
    static const struct bad no_address[] = {
        {RESPONSES("5"), "input[0].content[0].image_url"},
        {RESPONSES("{\"url\":null}"), "input[0].content[0].type"},
        {RESPONSES("null"), "input[0].content[0].type"},
    };
    expect_bad(&api_openai_responses, no_address, ARRAY_LEN(no_address));
    static const struct bad no_place[] = {{"{\"prompt\":\"a [img-1]\",\"image_data\":[{\"data\":\"AAAA\",\"id\":1}]}", "image_data"}};
    expect_bad(&api_llama_completion, no_place, ARRAY_LEN(no_place));
#undef CHAT
#undef RESPONSES
}

/* When they get this error, the threads of the SDK send whole conversations instead. */
static void anthropic_thread_error(void **state) {
    (void)state;
    struct err e = {0};
    struct buf out;
    buf_init(&out, 4096);
    struct api_request r;
    api_request_init(&r);
    err_code code = parse(&api_anthropic, "{" U ",\"max_tokens\":5,\"thread\":{\"id\":\"t\"}}", &r, &e);
    api_request_done(&r);
    api_anthropic.error(code, &e, "", &out);
    assert_string_equal(
        buf_cstr(&out),
        "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"field \\\"thread\\\": threads are not "
        "kept here: send the whole conversation\","
        "\"details\":{\"error_code\":\"thread_unsupported_request\",\"unsupported\":[\"thread\"]}},\"request_id\":null}");
    buf_done(&out);
}

/* ---- answers ---- */

static const struct api_event story[] = {
    {.kind = API_BEGIN, .prompt_tokens = 7, .cached_tokens = 3},
    {.kind = API_REASONING, .text = "hm", .len = 2},
    {.kind = API_REASONING, .text = "m", .len = 1},
    {.kind = API_TEXT, .text = "The \xE2\x82\xAC", .len = 7},
    {.kind = API_TEXT, .text = "\"", .len = 1},
    {.kind = API_CALL, .text = "add", .len = 3, .id = "call_1"},
    {.kind = API_ARGUMENTS, .text = "{\"a\":", .len = 5},
    {.kind = API_ARGUMENTS, .text = "1}", .len = 2},
    {.kind = API_CALL_END, .whole = true},
    {.kind = API_CALL, .text = "now", .len = 3, .id = "call_2", .call = 1},
    {.kind = API_ARGUMENTS, .text = "{}", .len = 2, .call = 1},
    {.kind = API_CALL_END, .call = 1, .whole = true},
    {.kind = API_FINISH, .text = ""},
    {.kind = API_END},
};

/* The second call is cut: its arguments so far are not JSON. */
static const struct api_event cut_story[] = {
    {.kind = API_BEGIN, .prompt_tokens = 7},
    {.kind = API_CALL, .text = "now", .len = 3, .id = "call_1"},
    {.kind = API_ARGUMENTS, .text = "{\n}", .len = 3},
    {.kind = API_CALL_END, .whole = true},
    {.kind = API_CALL, .text = "add", .len = 3, .id = "call_2", .call = 1},
    {.kind = API_ARGUMENTS, .text = "{\"a\": \"xy", .len = 9, .call = 1},
    {.kind = API_CALL_END, .call = 1},
    {.kind = API_FINISH, .text = "", .finish = API_FINISH_LENGTH},
    {.kind = API_END},
};

static void golden_story(const struct api *api, const char *body, const struct api_event *events, size_t n, enum api_finish finish,
                         const struct text_stop *stop, const char *name) {
    struct api_request r;
    struct err e = {0};
    struct buf out;
    struct api_choice_text choice;
    api_request_init(&r);
    buf_init(&out, 1 << 20);
    api_choice_init(&choice);
    if (parse(api, body, &r, &e) != ERR_OK) fail_msg("%s: %s", body, e.text);
    struct api_answer a = {.request = &r,
                           .id = "resp_1",
                           .model = "the \"model\"",
                           .fingerprint = "fp",
                           .created = 1700000000,
                           .choices = &choice,
                           .n_choices = 1,
                           .usage = {.prompt_tokens = 7, .completion_tokens = 4, .cached_tokens = 3, .queued_us = 1, .decode_us = 5}};
    buf_init(&a.prefix, 4096);
    for (size_t i = 0; i < n; i++) {
        if (events[i].kind == API_FINISH) {
            choice.finish = finish;
            choice.stop = stop;
        }
        api_choice_collect(&choice, &events[i]);
        if (r.stream) api->stream(&a, &events[i], &out);
    }
    if (!r.stream) api->whole(&a, &out);
    buf_append_byte(&out, '\n');
    struct api_event fail = {.kind = API_FAIL, .code = ERR_ENGINE, .err = &e};
    err_set(&e, ERR_ENGINE, "broken");
    if (r.stream) api->stream(&a, &fail, &out);
    api->error(ERR_ENGINE, &e, "", &out);
    buf_append_byte(&out, '\n');
    compare_golden(name, &out);
    api_choice_done(&choice);
    buf_done(&a.prefix);
    buf_done(&out);
    api_request_done(&r);
}

static void golden_answer(const struct api *api, const char *body, enum api_finish finish, const struct text_stop *stop, const char *name) {
    golden_story(api, body, story, ARRAY_LEN(story), finish, stop, name);
}

static void golden_cut(const struct api *api, const char *body, const char *name) {
    golden_story(api, body, cut_story, ARRAY_LEN(cut_story), API_FINISH_LENGTH, NULL, name);
}

static void cut_answers(void **state) {
    (void)state;
    golden_cut(&api_anthropic, "{" U ",\"max_tokens\":9,\"stream\":true}", "anthropic_cut_stream.txt");
    golden_cut(&api_anthropic, "{" U ",\"max_tokens\":9}", "anthropic_cut_whole.json");
    golden_cut(&api_ollama_chat, "{" U "}", "ollama_chat_cut_stream.txt");
    golden_cut(&api_ollama_chat, "{" U ",\"stream\":false}", "ollama_chat_cut_whole.json");
    golden_cut(&api_openai_responses, "{\"input\":\"a\",\"stream\":true}", "responses_cut_stream.txt");
    golden_cut(&api_openai_responses, "{\"input\":\"a\"}", "responses_cut_whole.json");
    golden_cut(&api_openai_chat, "{" U ",\"stream\":true}", "openai_chat_cut_stream.txt");
    golden_cut(&api_openai_chat, "{" U "}", "openai_chat_cut_whole.json");
}

static void answers(void **state) {
    (void)state;
    static const struct text_stop stop = {"END", 3};
    golden_answer(&api_anthropic, "{" U ",\"max_tokens\":9,\"stream\":true}", API_FINISH_CALLS, NULL, "anthropic_stream.txt");
    golden_answer(&api_anthropic, "{" U ",\"max_tokens\":9}", API_FINISH_STOP, &stop, "anthropic_whole.json");
    golden_answer(&api_ollama_chat, "{" U "}", API_FINISH_CALLS, NULL, "ollama_chat_stream.txt");
    golden_answer(&api_ollama_chat, "{" U ",\"stream\":false}", API_FINISH_LENGTH, NULL, "ollama_chat_whole.json");
    golden_answer(&api_ollama_generate, "{\"prompt\":\"a\"}", API_FINISH_STOP, NULL, "ollama_generate_stream.txt");
    golden_answer(&api_ollama_generate, "{\"prompt\":\"a\",\"stream\":false}", API_FINISH_STOP, NULL, "ollama_generate_whole.json");
    golden_answer(&api_openai_responses, "{\"input\":\"a\",\"stream\":true}", API_FINISH_CALLS, NULL, "responses_stream.txt");
    golden_answer(&api_openai_responses, "{\"input\":\"a\"}", API_FINISH_LENGTH, NULL, "responses_whole.json");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(anthropic_refuses),
                                       cmocka_unit_test(ollama_refuses),
                                       cmocka_unit_test(ollama_keeps),
                                       cmocka_unit_test(responses_refuse),
                                       cmocka_unit_test(requests),
                                       cmocka_unit_test(requests_of_agents),
                                       cmocka_unit_test(a_picture_has_one_mark),
                                       cmocka_unit_test(anthropic_thread_error),
                                       cmocka_unit_test(answers),
                                       cmocka_unit_test(cut_answers),
                                       cmocka_unit_test(tools_mean_the_same)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
