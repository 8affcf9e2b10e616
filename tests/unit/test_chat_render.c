/* SPDX-License-Identifier: MIT
 * Chats rendered by templates built like those of 30 model families (tests/data/templates, written for this test), against golden files
 * (each text was compared with Python's Jinja2, and was the same). CARAVAN_UPDATE_GOLDEN=1 replaces them. Also: broken and hostile
 * templates. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "chat/render.h"
#include "engine/template.h"

enum { MAX_TEMPLATES = 64, NOVEMBER_2023 = 1700000000, MAX_FILE = 1 << 20 };

static char *read_text(const char *path) {
    FILE *f = fopen(path, "rb");
    if (f == NULL) return NULL;
    char *text = mem_zalloc(MAX_FILE + 1);
    size_t len = fread(text, 1, MAX_FILE, f);
    text[len] = '\0';
    fclose(f);
    return text;
}

static char *data_path(const char *name) {
    const char *source = getenv("CARAVAN_SOURCE");
    return mem_printf("%s/tests/data/templates/%s", source != NULL ? source : ".", name);
}

static yyjson_doc *parse(const char *text) {
    yyjson_doc *doc = NULL;
    struct err e = {0};
    if (json_parse(text, strlen(text), &doc, &e) != ERR_OK) fail_msg("%s", e.text);
    return doc;
}

static err_code render(struct chat *c, const char *tmpl, yyjson_val *chat, struct buf *out, struct chat_answer *ret, struct err *e) {
    yyjson_val *prompt = yyjson_obj_get(chat, "add_generation_prompt");
    struct chat_input in = {.tmpl = tmpl,
                            .bos = "<s>",
                            .eos = "</s>",
                            .messages = yyjson_obj_get(chat, "messages"),
                            .tools = yyjson_obj_get(chat, "tools"),
                            .documents = yyjson_obj_get(chat, "documents"),
                            .extra = yyjson_obj_get(chat, "extra"),
                            .continue_final = yyjson_is_true(yyjson_obj_get(chat, "continue")),
                            .add_generation_prompt = prompt == NULL || yyjson_is_true(prompt),
                            .now = NOVEMBER_2023};
    return chat_render(c, &in, out, ret, e);
}

static err_code render_text(struct chat *c, const char *tmpl, const char *chat, struct buf *out, struct err *e) {
    yyjson_doc *doc = parse(chat);
    buf_clear(out);
    err_code code = render(c, tmpl, yyjson_doc_get_root(doc), out, NULL, e);
    yyjson_doc_free(doc);
    return code;
}

/* ---- the families ---- */

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Names of the *.jinja files without their ending. */
static size_t list_templates(char **names) {
    char *folder = data_path(".");
    DIR *d = opendir(folder);
    size_t n = 0;
    assert_non_null(d);
    for (struct dirent *entry; (entry = readdir(d)) != NULL && n < MAX_TEMPLATES;) {
        char *dot = strstr(entry->d_name, ".jinja");
        if (dot != NULL) names[n++] = mem_strndup(entry->d_name, (size_t)(dot - entry->d_name));
    }
    closedir(d);
    free(folder);
    qsort(names, n, sizeof(*names), by_name);
    return n;
}

static void render_family(struct chat *c, const char *tmpl, yyjson_val *chats, struct buf *out) {
    struct chat_caps k = {0};
    struct err e = {0};
    if (chat_caps(c, tmpl, &k, &e) != ERR_OK) fail_msg("%s", e.text);
    buf_printf(out, "takes:%s%s%s%s%s%s%s%s%s\n", k.typed_content ? " parts" : "", k.system_role ? " system" : "",
               k.developer_role ? " developer" : "", k.tools ? " tools" : "", k.tool_calls ? " calls" : "",
               k.object_arguments ? " objects" : "", k.null_content ? " null" : "", k.reasoning_key != NULL ? " " : "",
               k.reasoning_key != NULL ? k.reasoning_key : "");
    size_t i, n;
    yyjson_val *key, *chat;
    yyjson_obj_foreach(chats, i, n, key, chat) {
        buf_printf(out, "=== %s\n", yyjson_get_str(key));
        size_t start = out->len;
        struct chat_answer answer = {.has_bos = false};
        if (render(c, tmpl, chat, out, &answer, &e) != ERR_OK) buf_printf(out, "ERR_%s %s", err_name(e.code), e.text);
        else assert_true(answer.has_bos == (out->len - start >= 3 && memcmp(out->data + start, "<s>", 3) == 0));
        buf_append_byte(out, '\n');
        if (i == 0) buf_printf(out, "=== calls are read as\n%s\n", answer.format != NULL ? answer.format->name : "");
    }
}

static void families_render_as_they_should(void **state) {
    (void)state;
    char *names[MAX_TEMPLATES], *path = data_path("chats.json"), *text = read_text(path);
    size_t n = list_templates(names), wrong = 0;
    assert_true(n >= 25);
    yyjson_doc *chats = parse(text);
    struct chat *c = chat_create(NULL);
    free(path);
    free(text);
    for (size_t i = 0; i < n; i++) {
        char *file = mem_printf("%s.jinja", names[i]), *golden = mem_printf("%s.golden", names[i]), *golden_path = data_path(golden);
        path = data_path(file);
        char *tmpl = read_text(path), *want = read_text(golden_path);
        size_t len = strlen(tmpl);
        if (len > 0 && tmpl[len - 1] == '\n') tmpl[len - 1] = '\0';
        struct buf out;
        buf_init(&out, MAX_FILE);
        render_family(c, tmpl, yyjson_doc_get_root(chats), &out);
        if (getenv("CARAVAN_UPDATE_GOLDEN") != NULL) {
            FILE *f = fopen(golden_path, "wb");
            assert_non_null(f);
            fwrite(out.data, 1, out.len, f);
            fclose(f);
        } else if (want == NULL || strcmp(want, buf_cstr(&out)) != 0) {
            print_error("%s: got\n%s\nexpected\n%s\n", names[i], buf_cstr(&out), want != NULL ? want : "(no golden file)");
            wrong++;
        }
        buf_done(&out);
        free(tmpl), free(want), free(file), free(golden), free(golden_path), free(path), free(names[i]);
    }
    chat_free(c);
    yyjson_doc_free(chats);
    assert_int_equal(wrong, 0);
}

/* ---- errors ---- */

static const char hello[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}";

static void a_refusal_is_told(void **state) {
    (void)state;
    struct chat *c = chat_create(NULL);
    struct buf out;
    struct err e = {0};
    buf_init(&out, MAX_FILE);
    assert_int_equal(render_text(c, "{{ raise_exception('never on a Sunday') }}", hello, &out, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "refuses these messages: never on a Sunday"));
    assert_int_equal(render_text(c, "{{ messages[0].content }}{{ nothing() }}", hello, &out, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "fails on these messages"));
    assert_int_equal(out.len, 0);
    assert_int_equal(render_text(c, "", hello, &out, &e), ERR_UNSUPPORTED);
    assert_non_null(strstr(e.text, "no chat template"));
    assert_int_equal(render_text(c, "{{ messages }}", "{\"messages\": []}", &out, &e), ERR_INVALID);
    assert_int_equal(render_text(c, "{{ messages }}", "{\"messages\": [7]}", &out, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "messages[0]"));
    assert_int_equal(render_text(c, "{{ messages[0].content }}",
                                 "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}],"
                                 " \"extra\": {\"messages\": []}}",
                                 &out, &e),
                     ERR_INVALID);
    assert_non_null(strstr(e.text, "\"messages\" cannot be set"));
    buf_done(&out);
    chat_free(c);
}

/* For each family: the prompt of a message that is to be continued ends with its text, blanks and all, and not with a new turn. */
static void the_last_message_is_continued(void **state) {
    (void)state;
    static const char text[] = "The answer is  ";
    char *names[MAX_TEMPLATES];
    size_t n = list_templates(names);
    yyjson_doc *chat = parse("{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"},"
                             " {\"role\": \"assistant\", \"content\": \"The answer is  \"}], \"continue\": true}");
    struct chat *c = chat_create(NULL);
    for (size_t i = 0; i <= n; i++) {
        char *file = i < n ? mem_printf("%s.jinja", names[i]) : NULL, *path = i < n ? data_path(file) : NULL;
        char *tmpl = i < n ? read_text(path) : mem_strdup("chatml");
        struct buf out;
        struct err e = {0};
        buf_init(&out, MAX_FILE);
        if (render(c, tmpl, yyjson_doc_get_root(chat), &out, NULL, &e) != ERR_OK) fail_msg("%s: %s", file, e.text);
        if (out.len < strlen(text) || strcmp(buf_cstr(&out) + out.len - strlen(text), text) != 0) fail_msg("%s: %s", file, buf_cstr(&out));
        assert_null(strstr(buf_cstr(&out), "Caravan"));
        buf_done(&out);
        free(tmpl), free(file), free(path), free(i < n ? names[i] : NULL);
    }
    struct buf out;
    struct err e = {0};
    buf_init(&out, MAX_FILE);
    assert_int_equal(render(c, "{{ messages[0].content }}{# no more #}", yyjson_doc_get_root(chat), &out, NULL, &e), ERR_UNSUPPORTED);
    buf_done(&out);
    chat_free(c);
    yyjson_doc_free(chat);
}

/* A system message between two turns, as coding agents send it, for templates that take one only at the beginning. */
static void a_late_system_message_goes_where_the_template_takes_it(void **state) {
    (void)state;
    static const char first_only[] =
        "{% for m in messages %}{% if m.role == 'system' and not loop.first %}{{ raise_exception('late') }}{% endif %}"
        "[{{ m.role }}:{{ m.content }}]{% endfor %}";
    static const char anywhere[] = "{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}";
    static const char chat[] = "{\"messages\": [{\"role\": \"system\", \"content\": \"a\"}, {\"role\": \"system\", \"content\": \"b\"},"
                               " {\"role\": \"user\", \"content\": \"c\"}, {\"role\": \"system\", \"content\": \"d\"},"
                               " {\"role\": \"assistant\", \"content\": \"e\"}, {\"role\": \"system\", \"content\": \"f\"}]}";
    struct chat *c = chat_create(NULL);
    struct buf out;
    struct err e = {0};
    buf_init(&out, MAX_FILE);
    assert_int_equal(render_text(c, first_only, chat, &out, &e), ERR_OK);
    assert_string_equal(buf_cstr(&out), "[system:a\n\nb][user:c\n\nd][assistant:e][user:f]");
    assert_int_equal(render_text(c, anywhere, chat, &out, &e), ERR_OK);
    assert_string_equal(buf_cstr(&out), "[system:a][system:b][user:c][system:d][assistant:e][system:f]");
    buf_done(&out);
    chat_free(c);
}

/* A template that cannot be parsed is replaced by one of libllama's, if libllama recognises its features; else it is refused with the
 * parser's error. */
static void a_broken_template_falls_back_or_is_refused(void **state) {
    (void)state;
    struct chat *c = chat_create(NULL);
    struct buf out;
    struct err e = {0};
    buf_init(&out, MAX_FILE);
    assert_int_equal(render_text(c, "{% for m in %}<|im_start|>", hello, &out, &e), ERR_OK);
    assert_string_equal(buf_cstr(&out), "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n");
    assert_int_equal(render_text(c, "chatml", hello, &out, &e), ERR_OK);
    assert_string_equal(buf_cstr(&out), "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n");
    assert_int_equal(render_text(c, "chatml", "{\"messages\": [{\"role\": \"user\", \"content\": [1]}]}", &out, &e), ERR_UNSUPPORTED);
    assert_int_equal(render_text(c, "{% if x %}never closed", hello, &out, &e), ERR_UNSUPPORTED);
    assert_non_null(strstr(e.text, "cannot be parsed"));
    buf_done(&out);
    chat_free(c);
}

/* Whatever it is asked after that: once with its first messages, once with some that it was well with before. */
static void a_template_that_used_up_its_steps_is_not_tried_again(void **state) {
    (void)state;
    static const char *const loop = "{% for a in range(9999) %}{% for b in range(9999) %}"
                                    "{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}";
    static const char story[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"boom\"}]}";
    char *always = mem_printf("%s{{ messages[0].content }}", loop);
    char *boom = mem_printf("{{ messages[0].content }}{%% if messages[0].content == 'boom' %%}%s{%% endif %%}", loop);
    const struct jinja_limits small = {.steps = 100000, .memory = (size_t)64 << 20, .depth = 1000};
    struct chat *c = chat_create(&small);
    struct buf out;
    struct err e = {0};
    struct chat_caps caps;
    buf_init(&out, MAX_FILE);
    assert_int_equal(render_text(c, always, hello, &out, &e), ERR_TEMPLATE);
    assert_int_equal(render_text(c, boom, hello, &out, &e), ERR_OK);
    assert_int_equal(render_text(c, boom, story, &out, &e), ERR_TEMPLATE);
    for (int i = 0; i < 2; i++) {
        const char *tmpl = i == 0 ? always : boom;
        assert_int_equal(render_text(c, tmpl, hello, &out, &e), ERR_TEMPLATE);
        assert_int_equal(chat_caps(c, tmpl, &caps, &e), ERR_TEMPLATE);
        assert_non_null(strstr(e.text, "the model's chat template needs more than 100000 steps"));
        assert_non_null(strstr(e.hint, "not tried again"));
    }
    buf_done(&out);
    chat_free(c);
    free(always);
    free(boom);
}

/* A prompt that is too much for the template is the template's error. */
static void a_template_over_its_memory_is_told(void **state) {
    (void)state;
    const struct jinja_limits small = {.steps = 10000000, .memory = 100000, .depth = 1000};
    struct chat *c = chat_create(&small);
    struct buf out;
    struct err e = {0};
    buf_init(&out, MAX_FILE);
    char *long_chat = mem_printf("{\"messages\": [{\"role\": \"user\", \"content\": \"%099999d\"}]}", 1);
    assert_int_equal(render_text(c, "{{ messages[0].content * 2 }}", hello, &out, &e), ERR_OK);
    assert_int_equal(render_text(c, "{{ messages[0].content * 2 }}", long_chat, &out, &e), ERR_TEMPLATE);
    assert_non_null(strstr(e.text, "needs more than"));
    assert_int_equal(render_text(c, "{{ messages[0].content * 2 }}", hello, &out, &e), ERR_OK);
    buf_done(&out);
    buf_init(&out, 4);
    assert_int_equal(render_text(c, "{{ messages[0].content }}", hello, &out, &e), ERR_LIMIT);
    assert_non_null(strstr(e.text, "longer than 4 bytes"));
    buf_done(&out);
    chat_free(c);
    free(long_chat);
}

static void the_cache_forgets_the_oldest(void **state) {
    (void)state;
    struct chat *c = chat_create(NULL);
    struct buf out;
    struct err e = {0};
    buf_init(&out, MAX_FILE);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 21; i++) {
            char *tmpl = mem_printf("%d {{ messages[0].content }}", i), *want = mem_printf("%d Hello", i);
            assert_int_equal(render_text(c, tmpl, hello, &out, &e), ERR_OK);
            assert_string_equal(buf_cstr(&out), want);
            free(tmpl), free(want);
        }
    buf_done(&out);
    chat_free(c);
}

/* ---- what a template accepts ---- */

#define CALLED(arguments) \
    "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"id\": " \
    "\"a\", " \
    "\"type\": \"function\", \"function\": {\"name\": \"f\", \"arguments\": " arguments "}}]}, {\"role\": \"tool\", \"content\": \"r\"}]}"

static void expect(struct chat *c, const char *tmpl, const char *chat, const char *want) {
    struct buf out;
    struct err e = {0};
    buf_init(&out, MAX_FILE);
    err_code code = render_text(c, tmpl, chat, &out, &e);
    if (code != ERR_OK) fail_msg("%s: %s", tmpl, e.text);
    assert_string_equal(buf_cstr(&out), want);
    buf_done(&out);
}

/* The word "null" in the template's own text says nothing about its handling of arguments. */
static void arguments_are_encoded_once(void **state) {
    (void)state;
    static const char calls[] =
        "{% for m in messages %}{% if m.role == 'tool' %}[{\"is_error\": null}]{% elif m.tool_calls %}"
        "{% for t in m.tool_calls %}{{ t.function.arguments | tojson }}{% endfor %}{% else %}{{ m.content }}{% endif %}{% endfor %}";
    static const char as_they_are[] =
        "{% for m in messages %}{% for t in m.tool_calls %}{{ t.function.arguments }}{% endfor %}{% endfor %}";
    struct chat *c = chat_create(NULL);
    expect(c, calls, CALLED("\"{\\\"a\\\": 1}\""), "x{\"a\": 1}[{\"is_error\": null}]");
    expect(c, calls, CALLED("{\"a\": 1}"), "x{\"a\": 1}[{\"is_error\": null}]");
    expect(c, as_they_are, CALLED("\"{\\\"a\\\": 1}\""), "{\"a\": 1}");
    expect(c, as_they_are, CALLED("{\"a\": 1}"), "{\"a\":1}");
    chat_free(c);
}

/* null arguments, an argument called "items", integers of any size, and a number that a client wrote as 1.0. */
static void arguments_come_through_exactly(void **state) {
    (void)state;
    static const char each[] = "{% for m in messages %}{% for t in m.tool_calls %}{% for k, v in t.function.arguments.items() %}"
                               "{{ k }}={{ v | string }},{{ v | tojson }} {% endfor %}{% endfor %}{% endfor %}";
    struct chat *c = chat_create(NULL);
    expect(c, each,
           CALLED("\"{\\\"items\\\": null, \\\"n\\\": 9007199254740993, \\\"big\\\": 123456789012345678901234567890, \\\"f\\\": 1.0, "
                  "\\\"t\\\": true}\""),
           "items=None,null n=9007199254740993,9007199254740993 big=123456789012345678901234567890,123456789012345678901234567890 "
           "f=1.0,1.0 t=True,true ");
    chat_free(c);
}

/* Earlier reasoning reaches a template under the key that it has for it. */
static void reasoning_has_the_templates_key(void **state) {
    (void)state;
    static const char chat[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"assistant\", \"content\": \"a\", "
                               "\"reasoning_content\": \"why\"}]}";
    static const char *const keys[] = {"reasoning_content", "reasoning", "thinking", "thought", "thoughts"};
    struct chat *c = chat_create(NULL);
    struct chat_caps caps = {0};
    struct err e = {0};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        char *tmpl = mem_printf("{%% for m in messages %%}{%% if m.%s %%}<%%-{{ m.%s }}-%%>{%% endif %%}{{ m.content }}{%% endfor %%}",
                                keys[i], keys[i]);
        expect(c, tmpl, chat, "x<%-why-%>a");
        assert_int_equal(chat_caps(c, tmpl, &caps, &e), ERR_OK);
        assert_string_equal(caps.reasoning_key, keys[i]);
        free(tmpl);
    }
    /* Shown beside tool calls only, which is where it counts. */
    static const char beside_calls[] =
        "{% for m in messages %}{% if m.tool_calls and m.thinking %}<{{ m.thinking }}>{% endif %}{{ m.content }}{% endfor %}";
    assert_int_equal(chat_caps(c, beside_calls, &caps, &e), ERR_OK);
    assert_string_equal(caps.reasoning_key, "thinking");
    assert_int_equal(chat_caps(c, "{% for m in messages %}{{ m.content }}{% endfor %}", &caps, &e), ERR_OK);
    assert_null(caps.reasoning_key);
    chat_free(c);
}

/* "enable_thinking" under the template's own word for it. */
static void thinking_has_the_templates_word(void **state) {
    (void)state;
    static const char off[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"extra\": {\"enable_thinking\": false}}";
    static const char on[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"extra\": {\"enable_thinking\": true}}";
    static const char both[] =
        "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"extra\": {\"enable_thinking\": true, \"thinking\": 5}}";
    struct chat *c = chat_create(NULL);
    expect(c, "{{ messages[0].content }}{{ enable_thinking }}{{ thinking }}", off, "xFalse");
    expect(c, "{{ messages[0].content }}{% if thinking is defined %}{{ thinking }}{% endif %}", off, "xFalse");
    expect(c, "{{ messages[0].content }}{{ thinking }}", on, "xTrue");
    expect(c, "{{ messages[0].content }}{{ thinking }}", both, "x5");
    expect(c, "{{ messages[0].content }}{{ thinking }}", hello, "Hello");
    expect(c, "{{ messages[0].content }}{{ thinking_mode }}", off, "xdisabled");
    expect(c, "{{ messages[0].content }}{{ thinking_mode }}", on, "xenabled");
    expect(c, "{{ messages[0].content }}{{ thinking_budget | default(-1) }}", off, "x0");
    expect(c, "{{ messages[0].content }}{{ thinking_budget | default(-1) }}", on, "x-1");
    expect(c, "{{ messages[0].content }}{{ thinking_mode == 'chat' }}", off, "xTrue");
    expect(c, "{{ messages[0].content }}{{ thinking_mode if thinking_mode != 'off' else '-' }}", off, "x-");
    expect(c, "{{ messages[0].content }}{{ thinking_mode if thinking_mode != 'off' else '-' }}", on, "xon");
    static const char *const variables[] = {"use_thinking", "think", "reasoning", "enable_reasoning", "reasoning_enabled"};
    for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
        char *tmpl = mem_printf("{{ messages[0].content }}{{ %s }}", variables[i]);
        expect(c, tmpl, off, "xFalse");
        expect(c, tmpl, on, "xTrue");
        free(tmpl);
    }
    static const char effort[] =
        "{%% if reasoning_effort is not defined %%}{%% set reasoning_effort = 'low' %%}{%% endif %%}"
        "{{ messages[0].content }}{{ reasoning_effort if reasoning_effort in ['low', '%s'] else raise_exception('!') }}";
    static const char none[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"extra\": {\"enable_thinking\": false, "
                               "\"reasoning_effort\": \"none\"}}";
    char *no_think = mem_printf(effort, "no_think"), *is_none = mem_printf(effort, "none");
    expect(c, no_think, off, "xno_think");
    expect(c, no_think, none, "xno_think");
    expect(c, no_think, on, "xlow");
    expect(c, is_none, off, "xnone");
    free(no_think), free(is_none);
    expect(c, "{{ messages[0].content }}{{ thinking_effort if thinking_effort in ['low', 'max'] }}",
           "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"extra\": {\"reasoning_effort\": \"xhigh\"}}", "xmax");
    /* A variable that the template itself sets does not count. */
    expect(c,
           "{% for m in messages %}{% if m.thinking %}{% set thinking = m.thinking %}{% endif %}{{ thinking }}{{ m.content }}{% endfor %}",
           on, "x");
    chat_free(c);
}

/* As model/template.c makes one template of two: blanks at the edges stay in each. */
static void a_template_for_tools_is_taken_with_tools(void **state) {
    (void)state;
    static const char tmpl[] =
        "{% if tools +%}\n  {% set a = 1 %}T{{ a }} {{ messages[0].content }} \n  {%+ else +%}\n P {{ messages[0].content }}{%+ endif %}";
    static const char with_tools[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"tools\": [{\"type\": \"function\"}]}";
    struct chat *c = chat_create(NULL);
    expect(c, tmpl, with_tools, "\nT1 x \n  ");
    expect(c, tmpl, hello, "\n P Hello");
    chat_free(c);
}

static void errors_of_tools_are_shown(void **state) {
    (void)state;
    static const char chat[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"tool\", \"content\": \"no such "
                               "file\", \"is_error\": true}, "
                               "{\"role\": \"tool\", \"content\": \"fine\", \"is_error\": false}]}";
    struct chat *c = chat_create(NULL);
    expect(c, "{% for m in messages %}{{ m.content }};{% endfor %}", chat, "x;Error: no such file;fine;");
    expect(c, "{% for m in messages %}{{ m.content }}{{ '!' if m.is_error }};{% endfor %}", chat, "x;no such file!;fine;");
    chat_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_render_as_they_should),
        cmocka_unit_test(a_refusal_is_told),
        cmocka_unit_test(the_last_message_is_continued),
        cmocka_unit_test(a_late_system_message_goes_where_the_template_takes_it),
        cmocka_unit_test(a_broken_template_falls_back_or_is_refused),
        cmocka_unit_test(a_template_that_used_up_its_steps_is_not_tried_again),
        cmocka_unit_test(a_template_over_its_memory_is_told),
        cmocka_unit_test(the_cache_forgets_the_oldest),
        cmocka_unit_test(arguments_are_encoded_once),
        cmocka_unit_test(arguments_come_through_exactly),
        cmocka_unit_test(reasoning_has_the_templates_key),
        cmocka_unit_test(thinking_has_the_templates_word),
        cmocka_unit_test(a_template_for_tools_is_taken_with_tools),
        cmocka_unit_test(errors_of_tools_are_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
