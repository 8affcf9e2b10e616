/* SPDX-License-Identifier: MIT
 * OpenAI's two APIs as pure translations: bodies to requests (and to errors that name the field), events to bytes (golden files in
 * tests/unit/golden; CARAVAN_GOLDEN=write replaces them: read the difference before committing it). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "support/gateway_fixture.h"
#include "support/golden.h"

#define M "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static void chat_refuses(void **state) {
    (void)state;
    static const struct bad cases[] = {
        {"[]", ""},
        {"\"x\"", ""},
        {"{}", "messages"},
        {"{\"messages\":[]}", "messages"},
        {"{\"messages\":\"hi\"}", "messages"},
        {"{\"messages\":[1]}", "messages[0]"},
        {"{\"messages\":[{}]}", "messages[0].role"},
        {"{\"messages\":[{\"role\":7}]}", "messages[0].role"},
        {"{\"messages\":[{\"role\":\"king\",\"content\":\"x\"}]}", "messages[0].role"},
        {"{\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}", "messages[0].tool_call_id"},
        {"{\"messages\":[{\"role\":\"function\",\"content\":\"x\"}]}", "messages[0].name"},
        {"{\"messages\":[{\"role\":\"assistant\",\"function_call\":{\"name\":\"f\"}}]}", "messages[0].function_call.arguments"},
        {"{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":7}]}", "messages[0].tool_calls"},
        {"{\"messages\":[{\"role\":\"user\"}]}", "messages[0].content"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":5}]}", "messages[0].content"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"x\"}}]}]}",
         "messages[0].content[0].image_url"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}", "messages[0].content[0].text"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[\"x\"]}]}", "messages[0].content[0].type"},
        {"{\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{}]}]}", "messages[0].tool_calls[0].id"},
        {"{" M ",\"model\":5}", "model"},
        {"{" M ",\"stream\":\"yes\"}", "stream"},
        {"{" M ",\"n\":0}", "n"},
        {"{" M ",\"n\":129}", "n"},
        {"{" M ",\"n\":1.5}", "n"},
        {"{" M ",\"temperature\":\"hot\"}", "temperature"},
        {"{" M ",\"temperature\":-1}", "temperature"},
        {"{" M ",\"temperature\":1e300}", "temperature"},
        {"{" M ",\"top_p\":2}", "top_p"},
        {"{" M ",\"top_k\":-5}", "top_k"},
        {"{" M ",\"presence_penalty\":3}", "presence_penalty"},
        {"{" M ",\"seed\":\"x\"}", "seed"},
        {"{" M ",\"seed\":1.5}", "seed"},
        {"{" M ",\"max_tokens\":0}", "max_tokens"},
        {"{" M ",\"max_tokens\":-2}", "max_tokens"},
        {"{" M ",\"max_tokens\":99999999999}", "max_tokens"},
        {"{" M ",\"max_completion_tokens\":\"5\"}", "max_completion_tokens"},
        {"{" M ",\"stop\":5}", "stop"},
        {"{" M ",\"stop\":[5]}", "stop"},
        {"{" M ",\"stop\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\"]}",
         "stop"},
        {"{" M ",\"logprobs\":5}", "logprobs"},
        {"{" M ",\"top_logprobs\":5}", "top_logprobs"},
        {"{" M ",\"logprobs\":true,\"top_logprobs\":21}", "top_logprobs"},
        {"{" M ",\"logit_bias\":[1]}", "logit_bias"},
        {"{" M ",\"response_format\":{\"type\":\"yaml\"}}", "response_format.type"},
        {"{" M ",\"response_format\":{\"type\":\"json_schema\"}}", "response_format.json_schema.schema"},
        {"{" M ",\"response_format\":\"json\"}", "response_format"},
        {"{" M ",\"stream_options\":{\"include_usage\":true}}", "stream_options"},
        {"{" M ",\"stream\":true,\"stream_options\":5}", "stream_options"},
        {"{" M ",\"stream\":true,\"stream_options\":{\"include_usage\":1}}", "stream_options.include_usage"},
        {"{" M ",\"modalities\":[\"text\",\"audio\"]}", "modalities"},
        {"{" M ",\"grammar\":5}", "grammar"},
        {"{" M ",\"mirostat\":3}", "mirostat"},
    };
    expect_bad(&api_openai_chat, cases, ARRAY_LEN(cases));
}

/* Each way to ask for a form of the answer, and the schema or grammar that it becomes. */
static void chat_takes_constraints(void **state) {
    (void)state;
    static const struct {
        const char *field, *schema, *grammar;
        enum api_format format;
    } cases[] = {
        {"\"response_format\":{\"type\":\"text\"}", NULL, NULL, API_FORMAT_TEXT},
        {"\"response_format\":{\"type\":\"json_object\"}", NULL, NULL, API_FORMAT_JSON},
        {"\"response_format\":{\"type\":\"json_object\",\"schema\":{\"type\":\"object\"}}", "{\"type\":\"object\"}", NULL,
         API_FORMAT_SCHEMA},
        {"\"response_format\":{\"type\":\"json_schema\",\"schema\":{}}", "{}", NULL, API_FORMAT_SCHEMA},
        {"\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{}}}", "{}", NULL, API_FORMAT_SCHEMA},
        {"\"json_schema\":{\"const\":\"42\"}", "{\"const\":\"42\"}", NULL, API_FORMAT_SCHEMA},
        {"\"guided_json\":\"{}\"", "{}", NULL, API_FORMAT_SCHEMA},
        {"\"guided_choice\":[\"yes\",\"n\\\"o\"]", NULL, "root ::= \"yes\" | \"n\\x22o\"\n", API_FORMAT_TEXT},
        {"\"guided_regex\":\"^[a-c]+\\\\$$\"", NULL, "root ::= ([a-c]{1,} [\\x24])\n", API_FORMAT_TEXT},
        {"\"guided_grammar\":\"root ::= \\\"x\\\"\"", NULL, "root ::= \"x\"", API_FORMAT_TEXT},
        {"\"grammar\":\"root ::= \\\"x\\\"\"", NULL, "root ::= \"x\"", API_FORMAT_TEXT},
        {"\"ebnf\":\"root ::= \\\"x\\\"\"", NULL, "root ::= \"x\"", API_FORMAT_TEXT},
        {"\"structured_outputs\":{\"choice\":[\"a\"]}", NULL, "root ::= \"a\"\n", API_FORMAT_TEXT},
        {"\"structured_outputs\":{\"json\":{}},\"response_format\":{\"type\":\"text\"}", "{}", NULL, API_FORMAT_SCHEMA},
        {"\"structured_outputs\":{\"json_object\":true}", NULL, NULL, API_FORMAT_JSON},
        {"\"structured_outputs\":{\"json_object\":false}", NULL, NULL, API_FORMAT_TEXT},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct api_request r;
        struct err e = {0};
        char *body = mem_printf("{" M ",%s}", cases[i].field);
        api_request_init(&r);
        if (parse(&api_openai_chat, body, &r, &e) != ERR_OK) fail_msg("%s: %s", body, e.text);
        assert_int_equal(r.format, cases[i].format);
        if (cases[i].schema != NULL) assert_string_equal(r.schema, cases[i].schema);
        if (cases[i].grammar == NULL) assert_null(r.sampling.grammar);
        else assert_string_equal(r.sampling.grammar, cases[i].grammar);
        api_request_done(&r);
        free(body);
    }
    static const struct bad wrong[] = {
        {"{" M ",\"json_schema\":5}", "json_schema"},
        {"{" M ",\"guided_regex\":\"(\"}", "guided_regex"},
        {"{" M ",\"guided_regex\":\"\\\\bx\"}", "guided_regex"},
        {"{" M ",\"guided_choice\":[]}", "guided_choice"},
        {"{" M ",\"guided_choice\":[5]}", "guided_choice"},
        {"{" M ",\"guided_grammar\":\"x\"}", "guided_grammar"},
        {"{" M ",\"structured_outputs\":[]}", "structured_outputs"},
        {"{" M ",\"structured_outputs\":{\"structural_tag\":\"x\"}}", "structured_outputs.structural_tag"},
        {"{" M ",\"structured_outputs\":{\"json\":{},\"choice\":[\"a\"]}}", "structured_outputs.choice"},
        {"{" M ",\"grammar\":\"root ::= \\\"x\\\"\",\"json_schema\":{}}", "json_schema"},
        {"{" M ",\"response_format\":{\"type\":\"json_object\"},\"guided_json\":{}}", "guided_json"},
    };
    expect_bad(&api_openai_chat, wrong, ARRAY_LEN(wrong));
}

/* Every row of tables/fields.def: a field that would change the answer is refused by its name, and other fields are ignored. */
static void known_fields_are_refused_or_ignored(void **state) {
    (void)state;
    enum { IGNORED, REFUSED };
    static const struct {
        const char *name;
        int kind;
    } rows[] = {
#define FIELD(name, kind, why) {#name, kind},
#include "../../tables/fields.def"
#undef FIELD
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct api_request r;
        struct err e = {0};
        char *body = mem_printf("{" M ",\"%s\":[7]}", rows[i].name), *off = mem_printf("{" M ",\"%s\":null}", rows[i].name);
        const struct bad refused = {body, rows[i].name};
        if (rows[i].kind == REFUSED) expect_bad(&api_openai_chat, &refused, 1);
        api_request_init(&r);
        if (parse(&api_openai_chat, rows[i].kind == REFUSED ? off : body, &r, &e) != ERR_OK) fail_msg("%s: %s", rows[i].name, e.text);
        api_request_done(&r);
        free(body);
        free(off);
    }
}

/* Bodies of old or careless clients: null instead of text, NUL, arguments as an object, functions instead of tools. */
static void chat_takes_old_and_sloppy_forms(void **state) {
    (void)state;
    struct api_request r;
    struct err e = {0};
    api_request_init(&r);
    assert_int_equal(
        parse(&api_openai_chat,
              "{\"messages\":[{\"role\":\"user\",\"content\":\"a\\u0000b\"},{\"role\":\"user\",\"content\":null},{\"role\":\"assistant\","
              "\"content\":null,\"tool_calls\":[{\"id\":\"i\",\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1}}}]},{\"role\":\"tool\","
              "\"tool_call_id\":\"i\",\"content\":null},{\"role\":\"assistant\",\"content\":null,\"function_call\":{\"name\":\"g\","
              "\"arguments\":\"{}\"}},{\"role\":\"function\",\"name\":\"g\",\"content\":\"2\"}],\"functions\":[{\"name\":\"g\","
              "\"parameters\":{}}],\"function_call\":{\"name\":\"g\"}}",
              &r, &e),
        ERR_OK);
    char *chat = yyjson_mut_val_write(r.chat, 0, NULL);
    assert_string_equal(
        chat,
        "[{\"role\":\"user\",\"content\":\"a\\u0000b\"},{\"role\":\"user\",\"content\":\"\"},{\"role\":\"assistant\",\"content\":null,"
        "\"tool_calls\":[{\"id\":\"i\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}}]},"
        "{\"role\":\"tool\",\"content\":\"\",\"tool_call_id\":\"i\"},{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{"
        "\"id\":\"call_g\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\","
        "\"content\":\"2\",\"tool_call_id\":\"call_g\",\"name\":\"g\"}]");
    free(chat);
    assert_true(r.old_functions && r.single_tool && r.tool_choice == API_TOOLS_NAMED);
    assert_string_equal(r.tool_name, "g");
    api_request_done(&r);
    api_request_init(&r);
    assert_int_equal(
        parse(&api_openai_chat,
              "{" M
              ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}},{\"type\":\"function\",\"function\":{\"name\":\"g\"}}],"
              "\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"required\",\"tools\":[{\"type\":\"function\","
              "\"function\":{\"name\":\"g\"}}]}}}",
              &r, &e),
        ERR_OK);
    assert_int_equal(r.tool_choice, API_TOOLS_REQUIRED);
    assert_int_equal(r.n_tools, 1);
    assert_string_equal(r.tools[0].name, "g");
    assert_int_equal(yyjson_mut_arr_size(r.chat_tools), 1);
    api_request_done(&r);
}

#define ENDS_WITH(role) "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"" role "\",\"content\":\"I am\"}]"

static void chat_continues(void **state) {
    (void)state;
    static const struct {
        const char *body;
        bool continues, no_prompt;
    } cases[] = {
        {ENDS_WITH("assistant") "}", true, false},
        {ENDS_WITH("assistant") ",\"add_generation_prompt\":true}", false, false},
        {ENDS_WITH("assistant") ",\"continue_final_message\":false}", false, false},
        {ENDS_WITH("assistant") ",\"continue_final_message\":true,\"add_generation_prompt\":false}", true, true},
        {ENDS_WITH("assistant") ",\"response_format\":{\"type\":\"json_object\"}}", false, false},
        {ENDS_WITH("user") "}", false, false},
        {ENDS_WITH("user") ",\"add_generation_prompt\":false}", false, true},
    };
    static const struct bad wrong[] = {
        {ENDS_WITH("user") ",\"continue_final_message\":true}", "continue_final_message"},
        {ENDS_WITH("assistant") ",\"continue_final_message\":true,\"add_generation_prompt\":true}", "continue_final_message"},
        {ENDS_WITH("assistant") ",\"continue_final_message\":true,\"json_schema\":{}}", "continue_final_message"},
        {ENDS_WITH("assistant") ",\"continue_final_message\":1}", "continue_final_message"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct api_request r;
        struct err e = {0};
        api_request_init(&r);
        if (parse(&api_openai_chat, cases[i].body, &r, &e) != ERR_OK) fail_msg("%s: %s", cases[i].body, e.text);
        if (r.continues != cases[i].continues || r.no_generation_prompt != cases[i].no_prompt) fail_msg("%s", cases[i].body);
        api_request_done(&r);
    }
    expect_bad(&api_openai_chat, wrong, ARRAY_LEN(wrong));
}

static void chat_refuses_tools(void **state) {
    (void)state;
    static const struct bad cases[] = {
        {"{" M ",\"tools\":{}}", "tools"},
        {"{" M ",\"tools\":[{\"type\":7}]}", "tools[0].type"},
        {"{" M ",\"tools\":[7]}", "tools[0]"},
        {"{" M ",\"tools\":[{\"type\":\"web_search\"}],\"tool_choice\":\"required\"}", "tool_choice"},
        {"{" M ",\"tools\":[{\"type\":\"function\"}]}", "tools[0].function"},
        {"{" M ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a b\"}}]}", "tools[0].function"},
        {"{" M ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],\"tool_choice\":\"f\"}", "tool_choice"},
        {"{" M ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],\"tool_choice\":{\"type\":\"function\","
         "\"function\":{\"name\":\"g\"}}}",
         "tool_choice.function.name"},
        {"{" M ",\"parallel_tool_calls\":\"no\"}", "parallel_tool_calls"},
        {"{" M ",\"reasoning_effort\":3}", "reasoning_effort"},
        {"{" M ",\"function_call\":{\"name\":\"g\"}}", "function_call"},
        {"{" M ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_"
         "tools\":{"
         "\"mode\":\"auto\",\"tools\":[]}}}",
         "tool_choice.tools"},
        {"{" M ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],\"tool_choice\":{\"type\":\"allowed_tools\"}}",
         "tool_choice.mode"},
        {"{" M ",\"tool_choice\":\"required\"}", "tool_choice"},
        {"{" M ",\"functions\":[{}]}", "functions[0]"},
    };
    expect_bad(&api_openai_chat, cases, ARRAY_LEN(cases));
}

static void completions_refuses(void **state) {
    (void)state;
    static const struct bad cases[] = {
        {"{}", "prompt"},
        {"{\"prompt\":null}", "prompt"},
        {"{\"prompt\":[]}", "prompt"},
        {"{\"prompt\":5}", "prompt"},
        {"{\"prompt\":{}}", "prompt"},
        {"{\"prompt\":[[]]}", "prompt"},
        {"{\"prompt\":[1,-2]}", "prompt"},
        {"{\"prompt\":[1.5]}", "prompt"},
        {"{\"prompt\":[1,\"a\"]}", "prompt"},
        {"{\"prompt\":[\"a\",1]}", "prompt"},
        {"{\"prompt\":[4294967296]}", "prompt"},
        {"{\"prompt\":[true]}", "prompt"},
        {"{\"prompt\":[\"a\",\"b\"],\"n\":65}", "prompt"},
        {"{\"prompt\":\"a\",\"best_of\":3}", "best_of"},
        {"{\"prompt\":\"a\",\"suffix\":5}", "suffix"},
        {"{\"prompt\":\"a\",\"logprobs\":21}", "logprobs"},
        {"{\"prompt\":\"a\",\"logprobs\":true}", "logprobs"},
        {"{\"prompt\":\"a\",\"echo\":1}", "echo"},
        {"{\"prompt\":\"a\",\"max_tokens\":-2}", "max_tokens"},
    };
    expect_bad(&api_openai_completions, cases, ARRAY_LEN(cases));
}

static void chat_reads(void **state) {
    (void)state;
    struct api_request r;
    struct err e = {0};
    api_request_init(&r);
    assert_int_equal(
        parse(&api_openai_chat,
              "{\"model\":\"m\",\"messages\":[{\"role\":\"developer\",\"content\":\"be "
              "brief\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]},"
              "{\"role\":\"assistant\",\"content\":null,\"reasoning\":\"hm\"}],\"n\":3,\"stream\":true,\"stream_options\":{\"include_"
              "usage\":true},\"stop\":["
              "\"x\",\"\",\"yz\"],\"seed\":-2,\"temperature\":0.5,\"min_p\":0.2,"
              "\"logprobs\":true,\"top_logprobs\":4,\"max_tokens\":9,\"max_completion_tokens\":7,\"user\":\"u\",\"metadata\":{},\"store\":"
              "true,\"tools\":[],\"tool_choice\":\"auto\","
              "\"response_format\":{\"type\":\"text\"},\"logit_bias\":{\"5\":-100},\"generated_from\":3,\"unknown\":[1]}",
              &r, &e),
        ERR_OK);
    assert_string_equal(r.model, "m");
    char *chat = yyjson_mut_val_write(r.chat, 0, NULL);
    assert_string_equal(chat, "[{\"role\":\"system\",\"content\":\"be brief\"},{\"role\":\"user\",\"content\":\"ab\"},"
                              "{\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":\"hm\"}]");
    free(chat);
    assert_int_equal(r.n, 3);
    assert_true(r.stream && r.include_usage && r.logprobs && r.has_seed);
    assert_int_equal(r.n_stops, 2);
    assert_memory_equal(r.stops[1].text, "yz", 2);
    assert_true(r.sampling.seed == UINT64_MAX - 1);
    assert_float_equal(r.sampling.temperature, 0.5f, 1e-6f);
    assert_float_equal(r.sampling.min_p, 0.2f, 1e-6f);
    assert_int_equal(r.sampling.n_top_logprobs, 4);
    assert_int_equal(r.sampling.n_bias, 1);
    assert_int_equal(r.sampling.generated_from, 0);
    assert_int_equal(r.max_tokens, 7);
    api_request_done(&r);
}

static void seed_minus_one_is_random(void **state) {
    (void)state;
    struct api_request r;
    struct err e = {0};
    api_request_init(&r);
    assert_int_equal(parse(&api_openai_chat, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"seed\":-1}", &r, &e), ERR_OK);
    assert_false(r.has_seed);
    api_request_done(&r);
}

static void completions_reads(void **state) {
    (void)state;
    struct api_request r;
    struct err e = {0};
    api_request_init(&r);
    assert_int_equal(parse(&api_openai_completions, "{\"prompt\":[[1,2],[3]],\"logprobs\":0,\"n\":2,\"best_of\":2}", &r, &e), ERR_OK);
    assert_int_equal(r.n_prompts, 2);
    assert_int_equal(r.prompts[0].n_tokens, 2);
    assert_int_equal(r.prompts[1].tokens[0], 3);
    assert_true(r.logprobs);
    assert_int_equal(r.max_tokens, 16);
    api_request_done(&r);
    api_request_init(&r);
    assert_int_equal(parse(&api_openai_completions, "{\"prompt\":\"a\\u0000b\",\"echo\":true,\"max_tokens\":-1}", &r, &e), ERR_OK);
    assert_int_equal(r.prompts[0].len, 3);
    assert_memory_equal(r.prompts[0].text, "a\0b", 3);
    assert_int_equal(r.max_tokens, -1);
    assert_false(r.scores);
    api_request_done(&r);
    static const struct {
        const char *body;
        bool scores;
        int32_t max_tokens;
    } echoes[] = {
        {"{\"prompt\":\"a\",\"echo\":true,\"logprobs\":0,\"max_tokens\":0}", true, 0},
        {"{\"prompt\":[[1,2],[3]],\"echo\":true,\"logprobs\":1,\"max_tokens\":1,\"temperature\":0,\"seed\":1234}", true, 1},
        {"{\"prompt\":[[1,2],[3]],\"echo\":true}", true, 16}, /* the text of tokens comes with their scores */
        {"{\"prompt\":\"a\",\"logprobs\":1,\"max_tokens\":0}", false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(echoes); i++) {
        api_request_init(&r);
        assert_int_equal(parse(&api_openai_completions, echoes[i].body, &r, &e), ERR_OK);
        assert_int_equal(r.scores, echoes[i].scores);
        assert_int_equal(r.max_tokens, echoes[i].max_tokens);
        api_request_done(&r);
    }
}

/* ---- golden ---- */

static struct api_top tops[] = {{"The", 3, -0.5f}, {"\xE2\x82", 2, -INFINITY}};
static struct api_token tokens[] = {
    {.piece = "The", .len = 3, .logprob = -0.5f, .n_top = 2, .top = tops, .text_start = 0, .text_end = 3},
    {.piece = " \xE2\x82\xAC\"", .len = 5, .logprob = -1.25f, .n_top = 1, .top = tops, .text_start = 3, .text_end = 8}};

/* Of "Q: ": a token of its own in front, which is no text. */
static struct api_token prompt_tokens[] = {
    {.piece = "<s>", .len = 3, .unknown = true},
    {.piece = "Q", .len = 1, .logprob = -3.0f, .n_top = 1, .top = tops, .text_start = 0, .text_end = 1},
    {.piece = ": ", .len = 2, .logprob = -0.125f, .n_top = 2, .top = tops, .text_start = 1, .text_end = 3}};

static void play(const struct api *api, struct api_request *r, struct buf *out) {
    struct api_choice_text choices[2] = {0};
    struct api_answer a = {.request = r,
                           .id = "id-1",
                           .model = "the \"model\"",
                           .fingerprint = "fp",
                           .created = 1700000000,
                           .choices = choices,
                           .n_choices = 2,
                           .usage = {.prompt_tokens = 7,
                                     .completion_tokens = 4,
                                     .cached_tokens = 3,
                                     .draft_tokens = 6,
                                     .draft_accepted = 2,
                                     .queued_us = 1500,
                                     .prefill_us = 20,
                                     .decode_us = 3000000,
                                     .n_hop = 2,
                                     .hops = {{0, 4, 1000, 200, 0}, {1, 4, 900, 0, 150}}}};
    buf_init(&a.prefix, 4096);
    const struct api_event prompt = {.kind = API_PROMPT, .text = "Q: ", .len = 3, .tokens = prompt_tokens, .n_tokens = r->logprobs ? 3 : 0};
    const struct api_event events[] = {
        {.kind = API_BEGIN, .choice = 0},
        {.kind = API_PROMPT, .text = prompt.text, .len = prompt.len, .tokens = prompt.tokens, .n_tokens = prompt.n_tokens},
        {.kind = API_TEXT, .choice = 0, .text = "The", .len = 3, .tokens = tokens, .n_tokens = 1},
        {.kind = API_BEGIN, .choice = 1},
        {.kind = API_PROMPT, .choice = 1, .text = prompt.text, .len = prompt.len},
        {.kind = API_TEXT, .choice = 0, .text = " \xE2\x82\xAC\"", .len = 5, .start = 3, .tokens = tokens + 1, .n_tokens = 1},
        {.kind = API_FINISH, .choice = 1, .text = "", .finish = API_FINISH_LENGTH},
        {.kind = API_FINISH, .choice = 0, .text = "", .start = 8, .finish = API_FINISH_STOP},
        {.kind = API_END},
    };
    for (size_t i = 0; r->stream && i < ARRAY_LEN(events); i++)
        if (r->echo || events[i].kind != API_PROMPT) api->stream(&a, &events[i], out);
    if (!r->stream) {
        api_choice_init(&choices[0]);
        api_choice_init(&choices[1]);
        if (r->echo) api_choice_collect(&choices[0], &prompt);
        if (r->echo) api_choice_collect(&choices[1], &(struct api_event){.kind = API_PROMPT, .text = "Q: ", .len = 3});
        buf_append_str(&choices[0].text, "The \xE2\x82\xAC\"");
        struct api_event text = {.kind = API_TEXT, .tokens = tokens, .n_tokens = 2};
        api_choice_collect(&choices[0], &text);
        choices[1].finish = API_FINISH_LENGTH;
        api->whole(&a, out);
        buf_append_byte(out, '\n');
        for (size_t i = 0; i < 2; i++) { /* the tokens' blocks are not theirs */
            free(choices[i].tokens);
            buf_done(&choices[i].text);
            buf_done(&choices[i].prompt);
        }
    }
    buf_done(&a.prefix);
}

/* The letters of a scheme, a media type and ";base64" may have any case (RFC 2397, RFC 3986); those of the bytes count. */
static void chat_takes_data_addresses(void **state) {
    (void)state;
    static const struct {
        const char *url;
        err_code code;
    } cases[] = {{"data:image/png;base64,QUJD", ERR_OK},
                 {"DATA:image/png;base64,QUJD", ERR_OK},
                 {"Data:IMAGE/PNG;Base64,QUJD", ERR_OK},
                 {"data:image/png;name=\\\"a,b\\\";BASE64,QUJD", ERR_OK},
                 {"data:;base64,QUJD", ERR_OK},
                 {"data:image/png,QUJD", ERR_INVALID},
                 {"data:image/png;base64QUJD", ERR_INVALID},
                 {"data:image/png;base64,", ERR_INVALID},
                 {"date:image/png;base64,QUJD", ERR_INVALID}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct api_request r;
        struct err e = {0};
        char body[300];
        snprintf(body, sizeof(body),
                 "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"%s\"}}]}]}",
                 cases[i].url);
        yyjson_doc *doc = json_read(body, strlen(body));
        assert_non_null(doc);
        api_request_init(&r);
        err_code code = api_openai_chat.parse(yyjson_doc_get_root(doc), &r, &e);
        if (code != cases[i].code) fail_msg("%s: %s (%s)", cases[i].url, err_name(code), e.text);
        assert_int_equal(r.n_media, code == ERR_OK);
        if (code == ERR_OK) assert_string_equal(r.media[0].data, "QUJD");
        api_request_done(&r);
        yyjson_doc_free(doc);
    }
}

static void golden(const struct api *api, const char *body, const char *name) {
    struct api_request r;
    struct err e = {0};
    struct buf out;
    api_request_init(&r);
    buf_init(&out, 1 << 20);
    if (parse(api, body, &r, &e) != ERR_OK) fail_msg("%s: %s", body, e.text);
    play(api, &r, &out);
    compare_golden(name, &out);
    buf_done(&out);
    api_request_done(&r);
}

static void golden_answers(void **state) {
    (void)state;
    golden(&api_openai_chat, "{" M ",\"n\":2}", "openai_chat_whole.json");
    golden(&api_openai_chat, "{" M ",\"n\":2,\"logprobs\":true,\"top_logprobs\":2,\"caravan_stats\":true}",
           "openai_chat_whole_logprobs.json");
    golden(&api_openai_chat, "{" M ",\"n\":2,\"stream\":true}", "openai_chat_stream.txt");
    golden(&api_openai_chat,
           "{" M ",\"n\":2,\"stream\":true,\"logprobs\":true,\"top_logprobs\":2,\"stream_options\":{\"include_usage\":true}}",
           "openai_chat_stream_usage.txt");
    golden(&api_openai_completions, "{\"prompt\":\"Q: \",\"n\":2,\"echo\":true}", "openai_completions_whole.json");
    golden(&api_openai_completions, "{\"prompt\":\"Q: \",\"n\":2,\"logprobs\":2}", "openai_completions_whole_logprobs.json");
    golden(&api_openai_completions,
           "{\"prompt\":\"Q: \",\"n\":2,\"echo\":true,\"stream\":true,\"stream_options\":{\"include_usage\":true}}",
           "openai_completions_stream_usage.txt");
    golden(&api_openai_completions, "{\"prompt\":\"Q: \",\"n\":2,\"logprobs\":1,\"stream\":true}",
           "openai_completions_stream_logprobs.txt");
    golden(&api_openai_completions, "{\"prompt\":\"Q: \",\"n\":2,\"echo\":true,\"logprobs\":2}", "openai_completions_whole_scores.json");
    golden(&api_openai_completions, "{\"prompt\":[81,58],\"n\":2,\"echo\":true,\"logprobs\":1,\"max_tokens\":0,\"stream\":true}",
           "openai_completions_stream_scores.txt");
}

static void errors(void **state) {
    (void)state;
    struct buf out;
    buf_init(&out, 1 << 16);
    static const struct {
        err_code code;
        const char *text, *field;
    } cases[] = {{ERR_INVALID, "expected a number", "temperature"},
                 {ERR_NO_MODEL, "there is no \"x\" here", "model"},
                 {ERR_BUSY, "queue full", NULL},
                 {ERR_LIMIT, "the prompt is too long", NULL},
                 {ERR_ENGINE, "broken \xFF bytes", NULL},
                 {ERR_AUTH, "no key", NULL},
                 {ERR_UNAVAILABLE, "loading", NULL},
                 {ERR_PROTOCOL, "expected a number", "width"}, /* of another node's message: no parameter of the client */
                 {ERR_CANCELLED, "going down", NULL}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err e = {0};
        err_set(&e, cases[i].code, "%s", cases[i].text);
        if (cases[i].field != NULL) err_in_field(&e, cases[i].field);
        if (cases[i].code == ERR_AUTH) err_hint(&e, "send one");
        buf_printf(&out, "%d ", api_error_status(cases[i].code));
        api_openai_chat.error(cases[i].code, &e, "", &out);
        buf_append_byte(&out, '\n');
        struct api_event ev = {.kind = API_FAIL, .code = cases[i].code, .err = &e};
        struct api_request r = {.stream = true};
        struct api_answer a = {.request = &r, .model = "m", .fingerprint = "f"};
        buf_init(&a.prefix, 4096);
        api_openai_chat.stream(&a, &ev, &out);
        buf_done(&a.prefix);
    }
    compare_golden("openai_errors.txt", &out);
    buf_done(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(chat_refuses),
                                       cmocka_unit_test(chat_refuses_tools),
                                       cmocka_unit_test(chat_takes_constraints),
                                       cmocka_unit_test(known_fields_are_refused_or_ignored),
                                       cmocka_unit_test(chat_continues),
                                       cmocka_unit_test(chat_takes_old_and_sloppy_forms),
                                       cmocka_unit_test(chat_takes_data_addresses),
                                       cmocka_unit_test(completions_refuses),
                                       cmocka_unit_test(chat_reads),
                                       cmocka_unit_test(seed_minus_one_is_random),
                                       cmocka_unit_test(completions_reads),
                                       cmocka_unit_test(golden_answers),
                                       cmocka_unit_test(errors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
