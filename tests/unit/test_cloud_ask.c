/* SPDX-License-Identifier: MIT
 * Requests of clients as upstreams get them: from each API to each kind of upstream, and what can't be asked there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cloud/ask.h"
#include "cloud/pictures.h"

static struct upstream upstream_of(const char *text) {
    struct upstream u = {0};
    struct err e = {0};
    yyjson_doc *doc = json_read(text, strlen(text));
    if (upstream_parse("up", yyjson_doc_get_root(doc), &u, &e) != ERR_OK) fail_msg("%s", e.text);
    yyjson_doc_free(doc);
    return u;
}

static err_code make(const struct api *api, const char *upstream, const char *body, const char *system, struct cloud_ask *ret,
                     struct err *e) {
    struct upstream u = upstream_of(upstream);
    struct api_request r;
    api_request_init(&r);
    r.may_leave = true;
    r.sent = json_read(body, strlen(body));
    assert_non_null(r.sent);
    err_code code = api->parse(yyjson_doc_get_root(r.sent), &r, e);
    if (code == ERR_OK && api->resume != NULL) code = api->resume(NULL, &r, e);
    if (code != ERR_OK) fail_msg("%s: %s", body, e->text);
    code = cloud_ask_make(api, &r, &u, "there", system, ret, e);
    api_request_done(&r);
    upstream_done(&u);
    return code;
}

static void expect_with(const struct api *api, const char *upstream, const char *body, const char *system, const char *path,
                        const char *sent) {
    struct cloud_ask ask;
    struct err e = {0};
    if (make(api, upstream, body, system, &ask, &e) != ERR_OK) fail_msg("%s: %s", body, e.text);
    assert_string_equal(ask.path, path);
    if (strcmp(buf_cstr(&ask.body), sent) != 0) fail_msg("%s\n got %s\nwant %s", body, buf_cstr(&ask.body), sent);
    cloud_ask_done(&ask);
}

static void expect(const struct api *api, const char *upstream, const char *body, const char *path, const char *sent) {
    expect_with(api, upstream, body, NULL, path, sent);
}

#define OPENAI    "{\"url\":\"https://o.example/v1\"}"
#define ANTHROPIC "{\"url\":\"https://a.example/v1\",\"api\":\"anthropic\",\"max_tokens\":4000}"
#define STREAM    "\"stream\":true,\"stream_options\":{\"include_usage\":true}"

/* What nobody here knows travels on; what speaks to this gateway doesn't. */
static void own_api_travels_unchanged(void **state) {
    (void)state;
    expect(&api_openai_chat, OPENAI,
           "{\"model\":\"here\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\",\"x\":1}]}],\"metadata\":{"
           "\"k\":1},"
           "\"caravan_stats\":true,\"keep_alive\":5,\"max_completion_tokens\":7,\"temperature\":0.8,\"stream\":false}",
           "/chat/completions",
           "{\"model\":\"there\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\",\"x\":1}]}],\"metadata\":{"
           "\"k\":1},"
           "\"max_completion_tokens\":7,\"temperature\":0.8," STREAM "}");
    expect(
        &api_anthropic, ANTHROPIC,
        "{\"model\":\"here\",\"max_tokens\":9,\"system\":[{\"type\":\"text\",\"text\":\"s\",\"cache_control\":{\"type\":\"ephemeral\"}}],"
        "\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"stream\":true}",
        "/messages",
        "{\"model\":\"there\",\"max_tokens\":9,\"system\":[{\"type\":\"text\",\"text\":\"s\",\"cache_control\":{\"type\":\"ephemeral\"}}],"
        "\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"stream\":true}");
    expect(&api_openai_embeddings, OPENAI, "{\"model\":\"here\",\"input\":\"a\",\"dimensions\":3,\"encoding_format\":\"base64\"}",
           "/embeddings", "{\"model\":\"there\",\"input\":\"a\",\"dimensions\":3,\"encoding_format\":\"float\"}");
    expect(&api_openai_completions, OPENAI, "{\"prompt\":[\"a\",\"b\"],\"n\":2,\"best_of\":2,\"min_p\":0.1}", "/completions",
           "{\"prompt\":[\"a\",\"b\"],\"n\":2,\"min_p\":0.1,\"model\":\"there\",\"max_tokens\":16," STREAM "}");
}

/* The text that a route puts before chats. */
static void system_comes_first(void **state) {
    (void)state;
    expect_with(&api_openai_chat, OPENAI, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}", "s", "/chat/completions",
                "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"a\"}],\"model\":\"there\"," STREAM
                "}");
    expect_with(&api_anthropic, ANTHROPIC, "{\"max_tokens\":1,\"system\":\"t\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}", "s",
                "/messages",
                "{\"max_tokens\":1,\"system\":[{\"type\":\"text\",\"text\":\"s\"},{\"type\":\"text\",\"text\":\"t\"}],"
                "\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"model\":\"there\",\"stream\":true}");
}

static void anthropic_to_openai(void **state) {
    (void)state;
    expect(&api_anthropic, OPENAI,
           "{\"max_tokens\":9,\"system\":\"s\",\"temperature\":1,\"top_k\":3,\"stop_sequences\":[\"x\",\" \"],\"messages\":["
           "{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"t\"},"
           "{\"type\":\"tool_use\",\"id\":\"c\",\"name\":\"f\",\"input\":{\"q\":1}}]},{\"role\":\"user\",\"content\":["
           "{\"type\":\"tool_result\",\"tool_use_id\":\"c\",\"content\":\"r\",\"is_error\":true}]}],"
           "\"tools\":[{\"name\":\"f\",\"description\":\"d\",\"input_schema\":{\"type\":\"object\"}}],"
           "\"tool_choice\":{\"type\":\"tool\",\"name\":\"f\",\"disable_parallel_tool_use\":true}}",
           "/chat/completions",
           "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\","
           "\"content\":null,"
           "\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"q\\\":1}\"}}]},"
           "{\"role\":\"tool\",\"content\":\"r\",\"tool_call_id\":\"c\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","
           "\"description\":\"d\",\"parameters\":{\"type\":\"object\"}}}],\"parallel_tool_calls\":false,"
           "\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}},\"temperature\":1,\"stop\":[\"x\"],"
           "\"model\":\"there\",\"max_tokens\":9," STREAM "}");
}

static void openai_to_anthropic(void **state) {
    (void)state;
    expect(
        &api_openai_chat, ANTHROPIC,
        "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"user\",\"content\":\"b\"}"
        ","
        "{\"role\":\"assistant\",\"content\":\"w\",\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\",\"function\":{\"name\":\"f\","
        "\"arguments\":"
        "\"{\\\"q\\\":1}\"}},{\"id\":\"d\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"broken\"}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":\"r\"},{\"role\":\"tool\",\"tool_call_id\":\"d\",\"content\":\"q\"}],"
        "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],\"tool_choice\":\"required\",\"temperature\":1.5,\"top_p\":0.5,"
        "\"stop\":[\"x\",\"\\n\"],\"reasoning_effort\":\"high\"}",
        "/messages",
        "{\"system\":[{\"type\":\"text\",\"text\":\"s\"}],\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
        "{\"type\":\"text\",\"text\":\"b\"}]},{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"w\"},{\"type\":\"tool_"
        "use\","
        "\"id\":\"c\",\"name\":\"f\",\"input\":{\"q\":1}},{\"type\":\"tool_use\",\"id\":\"d\",\"name\":\"f\",\"input\":{}}]},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"c\",\"content\":\"r\"},{\"type\":\"tool_result\","
        "\"tool_use_id\":\"d\",\"content\":\"q\"}]}],\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\"}}],"
        "\"tool_choice\":{\"type\":\"any\"},\"temperature\":1.0,\"stop_sequences\":[\"x\"],\"model\":\"there\",\"max_tokens\":4000,"
        "\"stream\":true}");
    /* reasoning is a part of the limit, and excludes sampling; a schema; top_p alone */
    expect(&api_openai_chat, ANTHROPIC,
           "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"reasoning_effort\":\"medium\",\"temperature\":0}", "/messages",
           "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}],\"thinking\":{\"type\":\"enabled\","
           "\"budget_tokens\":2000},\"model\":\"there\",\"max_tokens\":4000,\"stream\":true}");
    expect(&api_openai_chat, ANTHROPIC,
           "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"max_tokens\":5,\"top_p\":0.5,\"response_format\":{\"type\":\"json_"
           "schema\","
           "\"json_schema\":{\"name\":\"n\",\"schema\":{\"type\":\"object\"}}}}",
           "/messages",
           "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}],\"output_config\":{\"format\":{\"type\":"
           "\"json_schema\",\"schema\":{\"type\":\"object\"}}},\"top_p\":0.5,\"model\":\"there\",\"max_tokens\":5,\"stream\":true}");
}

static void others_to_openai(void **state) {
    (void)state;
    expect(&api_openai_responses, OPENAI, "{\"input\":\"a\",\"instructions\":\"s\",\"max_output_tokens\":20,\"temperature\":0}",
           "/chat/completions",
           "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"a\"}],\"temperature\":0,\"model\":"
           "\"there\","
           "\"max_tokens\":20," STREAM "}");
    expect(
        &api_ollama_chat, "{\"url\":\"https://api.openai.com/v1\"}",
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"options\":{\"temperature\":0.25,\"num_predict\":3}}",
        "/chat/completions",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"temperature\":0.25,\"model\":\"there\",\"max_completion_tokens\":3," STREAM
        "}");
}

/* Requests without a limit get one where something depends on it, and their cost has a bound. */
static void costs_have_a_bound(void **state) {
    (void)state;
    static const char capped[] =
        "{\"url\":\"https://o.example/v1\",\"max_tokens\":100,\"prices\":{\"*\":{\"input\":1,\"output\":1}},\"spend\":{\"day\":1}}";
    const char *body = "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"n\":3}";
    struct cloud_ask ask;
    struct err e = {0};
    assert_int_equal(make(&api_openai_chat, OPENAI, body, NULL, &ask, &e), ERR_OK);
    assert_true(ask.most_completion == UINT64_MAX);
    assert_null(strstr(buf_cstr(&ask.body), "max_tokens"));
    cloud_ask_done(&ask);
    assert_int_equal(make(&api_openai_chat, capped, body, NULL, &ask, &e), ERR_OK);
    assert_true(ask.most_completion == 300);
    assert_non_null(strstr(buf_cstr(&ask.body), "\"max_tokens\":100"));
    assert_true(ask.most_prompt >= ask.body.len);
    cloud_ask_done(&ask);
}

static void impossible_is_said(void **state) {
    (void)state;
    static const struct {
        const struct api *api;
        const char *upstream, *body, *field;
    } bad[] = {
        {&api_openai_embeddings, ANTHROPIC, "{\"input\":\"a\"}", ""},
        {&api_openai_completions, ANTHROPIC, "{\"prompt\":\"a\"}", "prompt"},
        {&api_openai_chat, ANTHROPIC, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"n\":2}", "n"},
        {&api_openai_chat, ANTHROPIC, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"grammar\":\"root ::= \\\"a\\\"\"}", ""},
        {&api_openai_chat, OPENAI, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"logprobs\":true}", "logprobs"},
        {&api_openai_completions, OPENAI, "{\"prompt\":\"a\",\"echo\":true}", "echo"},
        {&api_tokenize, OPENAI, "{\"content\":\"a\"}", ""},
        {&api_anthropic_count, ANTHROPIC, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct cloud_ask ask;
        struct err e = {0};
        if (make(bad[i].api, bad[i].upstream, bad[i].body, NULL, &ask, &e) != ERR_UNSUPPORTED) fail_msg("%s: %s", bad[i].body, e.text);
        assert_non_null(strstr(e.text, "\"up\""));
        assert_string_equal(e.field, bad[i].field);
    }
}

static void pictures_at_addresses_are_taken_out(void **state) {
    (void)state;
    static const struct {
        const char *part;
        bool taken;
    } cases[] = {
        {"{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://example.org/a.png\"}}", true},
        {"{\"type\":\"image_url\",\"image_url\":\"https://example.org/a.png\"}", true},
        {"{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://example.org/a.png\"}}", true},
        {"{\"type\":\"file\",\"file\":{\"file_id\":\"a\"}}", true},
        {"{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AAAA\"}}", false},
        {"{\"type\":\"image_url\",\"image_url\":\"DATA:image/png;BASE64,AAAA\"}", false},
        {"{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"data\":\"AAAA\"}}", false},
        {"{\"type\":\"text\",\"text\":\"https://example.org/a.png\"}", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char body[256];
        snprintf(body, sizeof(body), "{\"messages\":[{\"role\":\"user\",\"content\":[%s]}]}", cases[i].part);
        yyjson_doc *doc = json_read(body, strlen(body)), *taken = cloud_pictures_take(yyjson_doc_get_root(doc));
        if ((taken != NULL) != cases[i].taken) fail_msg("%s: %s", cases[i].part, taken != NULL ? "taken out" : "left");
        char *text = taken != NULL ? yyjson_write(taken, 0, NULL) : NULL;
        if (text != NULL)
            assert_string_equal(text, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"[picture]\"}]}]}");
        free(text);
        yyjson_doc_free(taken);
        yyjson_doc_free(doc);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_api_travels_unchanged), cmocka_unit_test(system_comes_first),
        cmocka_unit_test(anthropic_to_openai),       cmocka_unit_test(openai_to_anthropic),
        cmocka_unit_test(others_to_openai),          cmocka_unit_test(costs_have_a_bound),
        cmocka_unit_test(impossible_is_said),        cmocka_unit_test(pictures_at_addresses_are_taken_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
