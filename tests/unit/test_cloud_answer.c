/* SPDX-License-Identifier: MIT
 * Answers of upstreams, whole and as streams, as several of them write them: the same events come whichever way the bytes are cut. And
 * answers that no upstream should send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cloud/answer.h"

/* What happened, as text: "begin [text] {reasoning} call 0 id name(arguments)! finish stop". */
struct story {
    struct buf text;
    enum api_event_kind last;
};

static void on_event(void *user, const struct api_event *ev) {
    static const char *const finishes[] = {"stop", "length", "calls"};
    struct story *s = user;
    bool more = ev->kind == s->last && (ev->kind == API_TEXT || ev->kind == API_REASONING || ev->kind == API_ARGUMENTS);
    s->last = ev->kind;
    if (more) s->text.len -= ev->kind != API_ARGUMENTS; /* pieces of one text are one text */
    if (ev->kind == API_BEGIN) buf_printf(&s->text, "%u:begin %u %u ", ev->choice, ev->prompt_tokens, ev->cached_tokens);
    if (ev->kind == API_TEXT && !more) buf_printf(&s->text, "%u:[", ev->choice);
    if (ev->kind == API_REASONING && !more) buf_printf(&s->text, "%u:{", ev->choice);
    if (ev->kind == API_CALL) buf_printf(&s->text, "call %u %s ", ev->call, ev->id);
    if (ev->len > 0) buf_append(&s->text, ev->text, ev->len);
    if (ev->kind == API_TEXT) buf_append_str(&s->text, "]");
    if (ev->kind == API_REASONING) buf_append_str(&s->text, "}");
    if (ev->kind == API_CALL) buf_append_str(&s->text, "=");
    if (ev->kind == API_CALL_END) buf_append_str(&s->text, ev->whole ? "; " : " cut; ");
    if (ev->kind == API_FINISH) buf_printf(&s->text, "%u:%s ", ev->choice, finishes[ev->finish]);
}

static void on_vector(void *user, size_t index, const float *numbers, uint32_t n) {
    struct story *s = user;
    buf_printf(&s->text, "%zu:(", index);
    for (uint32_t i = 0; i < n; i++) buf_printf(&s->text, "%g ", (double)numbers[i]);
    buf_append_str(&s->text, ") ");
}

/* Pushes the bytes in two parts, or, with cut SIZE_MAX, one by one. */
static err_code read_answer(enum cloud_form form, uint32_t n, const char *body, size_t cut, struct buf *ret, struct cloud_usage *ret_usage,
                            struct err *e) {
    struct story s = {.last = API_FAIL};
    buf_init(&s.text, 1 << 20);
    struct cloud_answer *a = cloud_answer_create(
        &(struct cloud_answer_options){.form = form, .n_choices = n, .on_event = on_event, .on_vector = on_vector, .user = &s});
    size_t len = strlen(body);
    err_code code = ERR_OK;
    for (size_t i = 0; cut == SIZE_MAX && i < len && code == ERR_OK; i++) code = cloud_answer_push(a, body + i, 1, e);
    if (cut != SIZE_MAX) code = cloud_answer_push(a, body, cut, e);
    if (cut != SIZE_MAX && code == ERR_OK) code = cloud_answer_push(a, body + cut, len - cut, e);
    if (code == ERR_OK) code = cloud_answer_end(a, e);
    *ret_usage = cloud_answer_usage(a);
    cloud_answer_free(a);
    *ret = s.text;
    return code;
}

static void expect(enum cloud_form form, uint32_t n, const char *body, const char *story, struct cloud_usage usage) {
    for (size_t cut = 0; cut <= strlen(body) + 1; cut++) {
        struct buf got;
        struct cloud_usage u;
        struct err e = {0};
        err_code code = read_answer(form, n, body, cut > strlen(body) ? SIZE_MAX : cut, &got, &u, &e);
        if (code != ERR_OK) fail_msg("cut at %zu: %s\n%s", cut, e.text, body);
        if (strcmp(buf_cstr(&got), story) != 0) fail_msg("cut at %zu:\n got %s\nwant %s", cut, buf_cstr(&got), story);
        assert_int_equal(u.known, usage.known);
        assert_true(u.prompt == usage.prompt && u.cached == usage.cached && u.completion == usage.completion);
        buf_done(&got);
    }
}

#define D(json) "data: " json "\n\n"

static void openai_streams(void **state) {
    (void)state;
    expect(CLOUD_CHAT, 1,
           ": a comment\n\n" D("{\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}")
               D("{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"H\\u00e4\"}}]}")
                   D("{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"llo\"}}]}")
                       D("{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}")
                           D("{\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_"
                             "tokens\":4}}}") D("[DONE]"),
           "0:begin 0 0 0:[H\xC3\xA4llo]0:stop ", (struct cloud_usage){true, 9, 4, 2});
    /* two choices that take turns, CRLF, no space after the colon, an event in two lines, no [DONE], no last empty line */
    expect(CLOUD_CHAT, 2,
           "data:{\"choices\":[{\"index\":1,\r\ndata:\"delta\":{\"content\":\"b\"}}]}\r\n\r\n"
           "data:{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"length\"}]}\r\n\r\n"
           "data:{\"choices\":[{\"index\":1,\"delta\":{},\"finish_reason\":\"stop\"}]}",
           "1:begin 0 0 1:[b]0:begin 0 0 0:[a]0:length 1:stop ", (struct cloud_usage){0});
    /* lines that end with CR */
    expect(CLOUD_CHAT, 1, "data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\r\rdata: [DONE]\r\r",
           "0:begin 0 0 0:[x]0:stop ", (struct cloud_usage){0});
    /* reasoning by both of its names, and as parts */
    expect(CLOUD_CHAT, 1,
           D("{\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}")
               D("{\"choices\":[{\"delta\":{\"reasoning\":\"m\",\"content\":null}}]}")
                   D("{\"choices\":[{\"delta\":{\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"!\"}]},{"
                     "\"type\":\"text\","
                     "\"text\":\"yes\"}]},\"finish_reason\":\"stop\"}]}"),
           "0:begin 0 0 0:{hmm!}0:[yes]0:stop ", (struct cloud_usage){0});
    expect(CLOUD_COMPLETIONS, 1,
           D("{\"choices\":[{\"index\":0,\"text\":\"once\"}]}") D("{\"choices\":[{\"text\":\"\",\"finish_reason\":\"length\"}]}"),
           "0:begin 0 0 0:[once]0:length ", (struct cloud_usage){0});
}

#define CALL(json) D("{\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[" json "]}}]}")
#define ENDS(why)  D("{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"" why "\"}]}")

static void openai_calls(void **state) {
    (void)state;
    expect(CLOUD_CHAT, 1,
           CALL("{\"index\":0,\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}")
               CALL("{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\":\"}}") CALL("{\"index\":0,\"function\":{\"arguments\":\"1}\"}}")
                   ENDS("tool_calls"),
           "0:begin 0 0 call 0 c1 f={\"a\":1}; 0:calls ", (struct cloud_usage){0});
    /* mixed pieces of two calls; "stop" although there are calls; no arguments; no id */
    expect(CLOUD_CHAT, 1,
           CALL("{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"f\"}}")
               CALL("{\"index\":1,\"function\":{\"name\":\"g\",\"arguments\":\"{\"}}")
                   CALL("{\"index\":0,\"function\":{\"arguments\":\"{}\"}}") CALL("{\"index\":1,\"function\":{\"arguments\":\"}\"}}")
                       CALL("{\"index\":2,\"id\":\"c3\",\"function\":{\"name\":\"h\"}}") ENDS("stop"),
           "0:begin 0 0 call 0 c1 f={}; call 1 call_1 g={}; call 2 c3 h={}; 0:calls ", (struct cloud_usage){0});
    expect(CLOUD_CHAT, 1, CALL("{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\"}}") ENDS("tool_calls"),
           "0:begin 0 0 call 0 c1 f={\"a cut; 0:length ", (struct cloud_usage){0});
    /* "functions", whole, with an object for arguments; a call without a name is none */
    expect(CLOUD_CHAT, 1,
           "{\"choices\":[{\"message\":{\"function_call\":{\"name\":\"f\",\"arguments\":{\"a\":1}},"
           "\"tool_calls\":[{\"index\":7,\"function\":{\"arguments\":\"{}\"}}]},\"finish_reason\":\"function_call\"}]}",
           "0:begin 0 0 call 0 call_0 f={\"a\":1}; 0:calls ", (struct cloud_usage){0});
}

static void wholes(void **state) {
    (void)state;
    expect(CLOUD_CHAT, 1,
           "\xEF\xBB\xBF \n{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"reasoning_content\":\"so\",\"content\":\"Hi\"},"
           "\"finish_reason\":null}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1.0,\"prompt_cache_hit_tokens\":9}}",
           "0:begin 0 0 0:{so}0:[Hi]0:stop ", (struct cloud_usage){true, 3, 3, 1});
    expect(CLOUD_MESSAGES, 1,
           "{\"type\":\"message\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"so\",\"signature\":\"x\"},{\"type\":\"text\",\"text\":"
           "\"Hi\"},"
           "{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"f\",\"input\":{\"a\":1}}],\"stop_reason\":\"tool_use\","
           "\"usage\":{\"input_tokens\":2,\"cache_read_input_tokens\":5,\"cache_creation_input_tokens\":1,\"output_tokens\":4}}",
           "0:begin 8 5 0:{so}0:[Hi]call 0 t1 f={\"a\":1}; 0:calls ", (struct cloud_usage){true, 8, 5, 4});
    expect(CLOUD_EMBEDDINGS, 2,
           "{\"data\":[{\"index\":1,\"embedding\":[0.5,-1]},{\"index\":0,\"embedding\":[1,2]}],\"usage\":{\"prompt_tokens\":6,\"total_"
           "tokens\":6}}",
           "1:(0.5 -1 ) 0:(1 2 ) ", (struct cloud_usage){true, 6, 0, 0});
}

#define E(type, json) "event: " type "\ndata: {\"type\":\"" type "\"" json "}\n\n"

static void anthropic_streams(void **state) {
    (void)state;
    expect(CLOUD_MESSAGES, 1,
           E("message_start", ",\"message\":{\"usage\":{\"input_tokens\":10,\"cache_read_input_tokens\":2,\"output_tokens\":1}}")
               E("content_block_start", ",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\"}")
                   E("content_block_delta", ",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"so\"}") E(
                       "content_block_delta",
                       ",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"x\"}") E("content_block_stop", ",\"index\":0")
                       E("ping", "") E("content_block_start", ",\"index\":1,\"content_block\":{\"type\":\"text\",\"text\":\"\"}")
                           E("content_block_delta", ",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}")
                               E("content_block_start", ",\"index\":2,\"content_block\":{\"type\":\"server_tool_use\",\"id\":\"s\"}") E(
                                   "content_block_delta", ",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{}\"}")
                                   E("content_block_start",
                                     ",\"index\":3,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}")
                                       E("content_block_delta",
                                         ",\"index\":3,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\":2}\"}")
                                           E("message_delta", ",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":21}")
                                               E("message_stop", ""),
           "0:begin 12 2 0:{so}0:[Hi]call 0 t f={\"a\":2}; 0:calls ", (struct cloud_usage){true, 12, 2, 21});
    expect(CLOUD_MESSAGES, 1, E("message_start", "") E("message_delta", ",\"delta\":{\"stop_reason\":\"max_tokens\"}"),
           "0:begin 0 0 0:length ", (struct cloud_usage){0});
}

/* Whatever is cut off before the choice has ended is said to be cut. */
static void cut_streams_are_errors(void **state) {
    (void)state;
    const char *body = D("{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}") ENDS("stop");
    size_t fine = strlen(body) - 2; /* the last line is whole without its end */
    for (size_t len = 0; len < fine; len++) {
        char *part = mem_strndup(body, len);
        struct buf got;
        struct cloud_usage u;
        struct err e = {0};
        err_code code = read_answer(CLOUD_CHAT, 1, part, 0, &got, &u, &e);
        if (code != ERR_CLOSED && code != ERR_PROTOCOL) fail_msg("after %zu bytes: %s", len, err_name(code));
        buf_done(&got);
        free(part);
    }
}

static void wrong_answers_are_errors(void **state) {
    (void)state;
    static const struct {
        enum cloud_form form;
        const char *body;
        err_code code;
    } bad[] = {
        {CLOUD_CHAT, "<html>busy</html>", ERR_CLOSED},
        {CLOUD_CHAT, "{\"choices\":", ERR_PROTOCOL},
        {CLOUD_CHAT, "[]", ERR_PROTOCOL},
        {CLOUD_CHAT, "{}", ERR_PROTOCOL},
        {CLOUD_CHAT, "{\"choices\":[]}", ERR_PROTOCOL},
        {CLOUD_CHAT, "{\"choices\":{}}", ERR_PROTOCOL},
        {CLOUD_CHAT, "{\"choices\":[7]}", ERR_PROTOCOL},
        {CLOUD_CHAT, D("{\"choices\":[{\"index\":1,\"delta\":{\"content\":\"x\"}}]}"), ERR_PROTOCOL},
        {CLOUD_CHAT, D("{\"choices\":[{\"index\":-1,\"delta\":{}}]}"), ERR_CLOSED},
        {CLOUD_CHAT, D("nonsense"), ERR_PROTOCOL},
        {CLOUD_CHAT, D("[DONE]"), ERR_PROTOCOL},
        {CLOUD_CHAT, D("{\"hello\":1}") D("[DONE]"), ERR_PROTOCOL},
        {CLOUD_CHAT, D("{\"choices\":[{\"delta\":{\"content\":\"x\"}}]}") D("[DONE]"), ERR_CLOSED},
        {CLOUD_CHAT, "{\"choices\":[{}]}", ERR_PROTOCOL},
        {CLOUD_MESSAGES, D("{\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}") D("[DONE]"), ERR_PROTOCOL},
        {CLOUD_MESSAGES, E("message_start", "") D("[DONE]"), ERR_CLOSED},
        {CLOUD_MESSAGES, E("message_start", "") E("message_stop", ""), ERR_PROTOCOL},
        {CLOUD_MESSAGES, "{\"content\":[{\"hello\":1}]}", ERR_PROTOCOL},
        {CLOUD_CHAT, D("\"text\""), ERR_PROTOCOL},
        {CLOUD_CHAT, "{\"error\":{\"message\":\"no\",\"type\":\"server_error\"}}", ERR_UNAVAILABLE},
        {CLOUD_CHAT, D("{\"choices\":[{\"delta\":{\"content\":\"x\"}}]}") D("{\"error\":\"gone\"}"), ERR_ENGINE},
        {CLOUD_MESSAGES, E("error", ",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}"), ERR_UNAVAILABLE},
        {CLOUD_MESSAGES, E("error", ",\"error\":{\"type\":\"rate_limit_error\"}"), ERR_BUSY},
        {CLOUD_MESSAGES, "{\"content\":\"text\"}", ERR_PROTOCOL},
        {CLOUD_EMBEDDINGS, "{\"data\":[{\"index\":0,\"embedding\":[1]}]}", ERR_PROTOCOL},
        {CLOUD_EMBEDDINGS, "{\"data\":[{\"index\":0,\"embedding\":[1]},{\"index\":0,\"embedding\":[1]}]}", ERR_PROTOCOL},
        {CLOUD_EMBEDDINGS, "{\"data\":[{\"embedding\":[1]},{\"embedding\":[1,2]}]}", ERR_PROTOCOL},
        {CLOUD_EMBEDDINGS, "{\"data\":[{\"embedding\":[1e99]},{\"embedding\":[1]}]}", ERR_PROTOCOL},
        {CLOUD_EMBEDDINGS, "{\"data\":[{\"embedding\":\"AAAA\"}]}", ERR_PROTOCOL},
        {CLOUD_EMBEDDINGS, "data: [DONE]\n\n", ERR_PROTOCOL},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct buf got;
        struct cloud_usage u;
        struct err e = {0};
        err_code code = read_answer(bad[i].form, bad[i].form == CLOUD_EMBEDDINGS ? 2 : 1, bad[i].body, SIZE_MAX, &got, &u, &e);
        if (code != bad[i].code || e.text[0] == '\0') fail_msg("%s: %s: %s", bad[i].body, err_name(code), e.text);
        buf_done(&got);
    }
}

/* Usage that can't be is not believed; the answer is. */
static void wrong_usage_is_unknown(void **state) {
    (void)state;
    static const char *const wrong[] = {"null",
                                        "7",
                                        "{}",
                                        "{\"prompt_tokens\":-1,\"completion_tokens\":2}",
                                        "{\"prompt_tokens\":\"9\",\"completion_tokens\":2}",
                                        "{\"prompt_tokens\":9}",
                                        "{\"prompt_tokens\":9,\"completion_tokens\":1e300}",
                                        "{\"prompt_tokens\":0,\"completion_tokens\":0}",
                                        "{\"prompt_tokens\":9,\"completion_tokens\":0}"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        char body[300];
        snprintf(body, sizeof(body), "{\"choices\":[{\"message\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}],\"usage\":%s}", wrong[i]);
        expect(CLOUD_CHAT, 1, body, "0:begin 0 0 0:[x]0:stop ", (struct cloud_usage){0});
    }
}

/* Bounds: calls, names, a line without end. */
static void long_answers_are_bounded(void **state) {
    (void)state;
    struct buf body, got;
    struct cloud_usage u;
    struct err e = {0};
    buf_init(&body, SIZE_MAX - 1);
    for (int i = 0; i <= CLOUD_MAX_CALLS; i++) buf_printf(&body, D("{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":%d}]}}]}"), i);
    assert_int_equal(read_answer(CLOUD_CHAT, 1, buf_cstr(&body), 0, &got, &u, &e), ERR_LIMIT);
    buf_done(&got);
    buf_clear(&body);
    buf_append_str(&body, "data: ");
    for (int i = 0; i <= CLOUD_MAX_EVENT >> 10; i++)
        for (int k = 0; k < 16; k++) buf_append(&body, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 64);
    assert_int_equal(read_answer(CLOUD_CHAT, 1, buf_cstr(&body), 0, &got, &u, &e), ERR_LIMIT);
    buf_done(&got);
    buf_done(&body);
}

static void messages_of_errors(void **state) {
    (void)state;
    static const struct {
        const char *body, *said;
    } cases[] = {{"{\"error\":{\"message\":\"no\\nsuch key sk-1\"}}", "no_such key "},
                 {"{\"error\":\"plain\"}", "plain"},
                 {"[{\"error\":{\"message\":\"Google\"}}]", "Google"},
                 {"{\"detail\":\"FastAPI\"}", "FastAPI"},
                 {"{\"message\":\"Mistral\"}", "Mistral"},
                 {"<html>", ""},
                 {"", ""},
                 {"{\"error\":{\"message\":7}}", ""}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char line[40];
        cloud_answer_message(cases[i].body, strlen(cases[i].body), "sk-1", line, sizeof(line));
        assert_string_equal(line, cases[i].said);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(openai_streams),
        cmocka_unit_test(openai_calls),
        cmocka_unit_test(wholes),
        cmocka_unit_test(anthropic_streams),
        cmocka_unit_test(cut_streams_are_errors),
        cmocka_unit_test(wrong_answers_are_errors),
        cmocka_unit_test(wrong_usage_is_unknown),
        cmocka_unit_test(long_answers_are_bounded),
        cmocka_unit_test(messages_of_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
