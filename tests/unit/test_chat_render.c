/* SPDX-License-Identifier: MIT
 * Chats rendered by templates built like those of 30 model families (tests/data/templates, written for this test), against golden files
 * (each text was compared with Python's Jinja2, and was the same). CARAVAN_UPDATE_GOLDEN=1 writes them anew. Also: broken and hostile
 * templates. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

static err_code render(struct chat *c, const char *tmpl, yyjson_val *chat, struct buf *out, bool *bos, struct err *e) {
    yyjson_val *prompt = yyjson_obj_get(chat, "add_generation_prompt");
    struct chat_input in = {.tmpl = tmpl,
                            .bos = "<s>",
                            .eos = "</s>",
                            .messages = yyjson_obj_get(chat, "messages"),
                            .tools = yyjson_obj_get(chat, "tools"),
                            .documents = yyjson_obj_get(chat, "documents"),
                            .extra = yyjson_obj_get(chat, "extra"),
                            .add_generation_prompt = prompt == NULL || yyjson_is_true(prompt),
                            .now = NOVEMBER_2023};
    return chat_render(c, &in, out, bos, e);
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
    buf_printf(out, "takes:%s%s%s%s%s%s%s\n", k.typed_content ? " parts" : "", k.system_role ? " system" : "",
               k.developer_role ? " developer" : "", k.tools ? " tools" : "", k.tool_calls ? " calls" : "",
               k.object_arguments ? " objects" : "", k.null_content ? " null" : "");
    size_t i, n;
    yyjson_val *key, *chat;
    yyjson_obj_foreach(chats, i, n, key, chat) {
        buf_printf(out, "=== %s\n", yyjson_get_str(key));
        size_t start = out->len;
        bool bos = false;
        if (render(c, tmpl, chat, out, &bos, &e) != ERR_OK) buf_printf(out, "ERR_%s %s", err_name(e.code), e.text);
        else assert_true(bos == (out->len - start >= 3 && memcmp(out->data + start, "<s>", 3) == 0));
        buf_append_byte(out, '\n');
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
    assert_int_equal(render_text(c, "{{ messages[0].content }}",
                                 "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}],"
                                 " \"extra\": {\"range\": 1}}",
                                 &out, &e),
                     ERR_INVALID);
    assert_non_null(strstr(e.text, "\"range\" cannot be set"));
    buf_done(&out);
    chat_free(c);
}

/* What cannot be parsed falls back on what libllama recognises by its features; else it is refused with the parser's words. */
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

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static char *nested(const char *open, const char *close, size_t n) {
    struct buf b;
    buf_init(&b, MAX_FILE);
    buf_append_str(&b, "{{ ");
    for (size_t i = 0; i < n; i++) buf_append_str(&b, open);
    buf_append_str(&b, "1");
    for (size_t i = 0; i < n; i++) buf_append_str(&b, close);
    buf_append_str(&b, " }}");
    return (char *)buf_detach(&b, &(size_t){0});
}

static void hostile_templates_cost_little(void **state) {
    (void)state;
    const struct jinja_limits small = {.time_ms = 200, .memory = (size_t)32 << 20, .stack = (size_t)512 << 10};
    char *deep = nested("(", ")", 20000), *lists = nested("[", "]", 20000);
    const struct {
        const char *what, *tmpl, *says;
    } rows[] = {
        {"endless loop",
         "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}",
         "computes for more than 200 ms"},
        {"huge list", "{% set x = range(900000000) %}", "more than"},
        {"growing list", "{% set n = namespace(l=[1]) %}{% for i in range(64) %}{% set n.l = n.l + n.l %}{% endfor %}", "more than"},
        {"growing text", "{% set n = namespace(s='ab') %}{% for i in range(64) %}{% set n.s = n.s ~ n.s %}{% endfor %}{{ n.s | length }}",
         ""},
        {"recursion", "{% set n = namespace() %}{% macro f(g) %}{{ g(g) }}{% endmacro %}{{ f(f) }}", ""},
        {"deep parentheses", deep, "template"},
        {"deep lists", lists, "template"},
    };
    struct jinja *j = jinja_create(&small);
    struct buf out;
    buf_init(&out, MAX_FILE);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = {0};
        double start = seconds();
        err_code rc = jinja_render(j, rows[i].tmpl, strlen(rows[i].tmpl), "{}", 2, 0, &out, &e);
        if (rc != ERR_LIMIT && rc != ERR_INVALID && rc != ERR_UNSUPPORTED) fail_msg("%s: code %d", rows[i].what, rc);
        if (strstr(e.text, rows[i].says) == NULL) fail_msg("%s: %s", rows[i].what, e.text);
        if (seconds() - start > 2.0) fail_msg("%s took %.1f s", rows[i].what, seconds() - start);
        /* and the runtime is of use afterwards */
        assert_int_equal(jinja_render(j, "{{ a }}", 7, "{\"a\": 1}", 8, 0, &out, &e), ERR_OK);
    }
    assert_string_equal(buf_cstr(&out), "1111111");
    buf_done(&out);
    jinja_free(j);
    free(deep);
    free(lists);
}

/* Whatever it is asked after that: once with its first messages, once with some that it was well with before. */
static void a_template_that_used_up_its_time_is_not_tried_again(void **state) {
    (void)state;
    static const char *const loop = "{% for a in range(9999) %}{% for b in range(9999) %}"
                                    "{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}";
    static const char story[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"boom\"}]}";
    char *always = mem_printf("%s{{ messages[0].content }}", loop);
    char *boom = mem_printf("{{ messages[0].content }}{%% if messages[0].content == 'boom' %%}%s{%% endif %%}", loop);
    const struct jinja_limits small = {.time_ms = 200, .memory = (size_t)64 << 20, .stack = (size_t)512 << 10};
    struct chat *c = chat_create(&small);
    struct buf out;
    struct err e = {0};
    struct chat_caps caps;
    buf_init(&out, MAX_FILE);
    assert_int_equal(render_text(c, always, hello, &out, &e), ERR_LIMIT);
    assert_int_equal(render_text(c, boom, hello, &out, &e), ERR_OK);
    assert_int_equal(render_text(c, boom, story, &out, &e), ERR_LIMIT);
    for (int i = 0; i < 2; i++) {
        const char *tmpl = i == 0 ? always : boom;
        double start = seconds();
        for (int k = 0; k < 50; k++) assert_int_equal(render_text(c, tmpl, hello, &out, &e), ERR_LIMIT);
        assert_int_equal(chat_caps(c, tmpl, &caps, &e), ERR_LIMIT);
        assert_non_null(strstr(e.text, "computes for more than 200 ms"));
        assert_non_null(strstr(e.hint, "not tried again"));
        assert_true(seconds() - start < 5); /* CPU time: 50 times 200 ms are 10 s */
    }
    buf_done(&out);
    chat_free(c);
    free(always);
    free(boom);
}

/* At every stage of a template's work: the runtime must neither crash nor give a wrong text. */
static void memory_may_run_out_anywhere(void **state) {
    (void)state;
    static const char tmpl[] = "{%- set n = namespace(s='') -%}{%- for m in messages -%}{%- set n.s = n.s + m.content|trim -%}"
                               "{{ m | tojson(indent=2) }}{%- endfor -%}{{ n.s.replace('a',"
                               " 'b').split('c') | join('-') | upper }}{{ strftime_now('%d %B %Y') }}";
    static const char context[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"abcabc abc\"},{\"role\":\"x\","
                                  "\"content\":\"\\u00e9\"}]}";
    struct buf want, out;
    size_t failed = 0, passed = 0;
    struct err e = {0};
    buf_init(&want, MAX_FILE);
    buf_init(&out, MAX_FILE);
    struct jinja_limits limits = {.time_ms = 5000, .memory = (size_t)64 << 20, .stack = (size_t)1 << 20};
    struct jinja *j = jinja_create(&limits);
    assert_int_equal(jinja_render(j, tmpl, sizeof(tmpl) - 1, context, sizeof(context) - 1, NOVEMBER_2023, &want, &e), ERR_OK);
    jinja_free(j);
    for (limits.memory = 520000; limits.memory < 4000000 && passed < 3; limits.memory += 997) {
        j = jinja_create(&limits);
        buf_clear(&out);
        err_code code = jinja_render(j, tmpl, sizeof(tmpl) - 1, context, sizeof(context) - 1, NOVEMBER_2023, &out, &e);
        if (code == ERR_OK) assert_string_equal(buf_cstr(&out), buf_cstr(&want));
        else assert_true(code == ERR_LIMIT || code == ERR_INTERNAL);
        passed += code == ERR_OK;
        failed += code != ERR_OK;
        jinja_free(j);
    }
    print_message("%zu limits were too small, then it fits in %zu bytes\n", failed, limits.memory);
    assert_true(failed > 20 && passed == 3);
    buf_done(&want);
    buf_done(&out);
}

static void the_cache_forgets_the_oldest(void **state) {
    (void)state;
    struct jinja *j = jinja_create(NULL);
    struct buf out;
    struct err e = {0};
    buf_init(&out, MAX_FILE);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < ENGINE_MAX_TEMPLATES + 5; i++) {
            char *tmpl = mem_printf("%d {{ x }}", i), *want = mem_printf("%d %d", i, round), *context = mem_printf("{\"x\": %d}", round);
            buf_clear(&out);
            assert_int_equal(jinja_render(j, tmpl, strlen(tmpl), context, strlen(context), 0, &out, &e), ERR_OK);
            assert_string_equal(buf_cstr(&out), want);
            free(tmpl), free(want), free(context);
        }
    buf_done(&out);
    buf_init(&out, 10);
    assert_int_equal(jinja_render(j, "{{ 'eleven bytes' }}", 20, "{}", 2, 0, &out, &e), ERR_LIMIT);
    assert_int_equal(out.len, 0);
    buf_done(&out);
    jinja_free(j);
}

int main(void) {
    if (!jinja_built_in()) {
        print_message("skipped: this build has no Jinja\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_render_as_they_should),
        cmocka_unit_test(a_refusal_is_told),
        cmocka_unit_test(a_broken_template_falls_back_or_is_refused),
        cmocka_unit_test(hostile_templates_cost_little),
        cmocka_unit_test(a_template_that_used_up_its_time_is_not_tried_again),
        cmocka_unit_test(memory_may_run_out_anywhere),
        cmocka_unit_test(the_cache_forgets_the_oldest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
