/* SPDX-License-Identifier: MIT
 * Broken and hostile templates: each limit holds, the same on every machine, and an interrupted rendering leaves no memory allocated. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "jinja/jinja.h"

enum { MAX_OUTPUT = 1 << 20, NOVEMBER_2023 = 1700000000 };

static err_code render(const char *tmpl, const char *variables, const struct jinja_limits *limits, struct buf *out, enum jinja_end *end,
                       struct err *e) {
    struct jinja_template *t = NULL;
    yyjson_doc *doc = yyjson_read(variables, strlen(variables), 0);
    yyjson_mut_doc *copy = yyjson_doc_mut_copy(doc, NULL);
    *end = JINJA_DONE;
    err_code code = jinja_parse(tmpl, strlen(tmpl), &t, e);
    if (code == ERR_OK) code = jinja_render(t, yyjson_mut_doc_get_root(copy), NOVEMBER_2023, limits, out, end, e);
    jinja_free(t);
    yyjson_mut_doc_free(copy);
    yyjson_doc_free(doc);
    return code;
}

/* "{{ open open ... 1 ... close close }}" */
static char *nested(const char *before, const char *open, const char *close, const char *after, size_t n) {
    struct buf b;
    buf_init(&b, JINJA_MAX_TEMPLATE);
    buf_append_str(&b, before);
    for (size_t i = 0; i < n; i++) buf_append_str(&b, open);
    buf_append_str(&b, "1");
    for (size_t i = 0; i < n; i++) buf_append_str(&b, close);
    buf_append_str(&b, after);
    buf_append_byte(&b, '\0');
    return (char *)buf_detach(&b, &(size_t){0});
}

struct row {
    const char *what, *tmpl, *says;
    enum jinja_end end; /* JINJA_DONE: it cannot be parsed */
};

static void check_rows(const struct row *rows, size_t n) {
    const struct jinja_limits small = {.steps = 1000000, .memory = (size_t)16 << 20, .depth = 1000};
    struct buf out;
    buf_init(&out, MAX_OUTPUT);
    for (size_t i = 0; i < n; i++) {
        struct err e = {0};
        enum jinja_end end;
        err_code code = render(rows[i].tmpl, "{}", &small, &out, &end, &e);
        if (code == ERR_OK || end != rows[i].end) fail_msg("%s: code %d, end %d: %s", rows[i].what, code, end, e.text);
        if (strstr(e.text, rows[i].says) == NULL) fail_msg("%s: %s", rows[i].what, e.text);
        assert_int_equal(out.len, 0);
    }
    buf_done(&out);
}

#define LOOP3      "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}"
#define GROW(text) "{% set n = namespace(s='ab', l=[1], d={}) %}{% for i in range(64) %}{% set n.s = " text " %}{% endfor %}"

static void limits_hold(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"endless loop", LOOP3, "more than 1000000 steps", JINJA_TOO_LONG},
        {"huge range", "{% set x = range(900000000) %}", "larger than 100000", JINJA_FAILED},
        {"growing list", "{% set n = namespace(l=[1]) %}{% for i in range(64) %}{% set n.l = n.l + n.l %}{% endfor %}", "more than",
         JINJA_TOO_BIG},
        {"growing text", GROW("n.s ~ n.s"), "more than 16 MB", JINJA_TOO_BIG},
        {"growing sum", GROW("n.s + n.s"), "more than 16 MB", JINJA_TOO_BIG},
        {"growing replacement", GROW("n.s.replace('a', 'aa')"), "more than", JINJA_TOO_LONG},
        {"growing join", GROW("n.s.join([n.s, n.s])"), "more than", JINJA_TOO_BIG},
        {"growing format", GROW("'{0}{0}'.format(n.s)"), "more than", JINJA_TOO_BIG},
        {"growing JSON", GROW("n.s | tojson | tojson"), "more than", JINJA_TOO_BIG},
        {"a text many times", "{{ 'abc' * 999999999999 }}", "more than 16 MB", JINJA_TOO_BIG},
        {"a list many times", "{{ [1] * 999999999999 }}", "more than 16 MB", JINJA_TOO_BIG},
        {"wide fields", "{{ '%999999999d' % 1 }}", "wider", JINJA_FAILED},
        {"wide padding", "{{ 'a'.center(99999999999) }}", "more than 16 MB", JINJA_TOO_BIG},
        {"wide indentation", "{{ 'a' | indent(99999999999, true) }}", "more than 16 MB", JINJA_TOO_BIG},
        {"wide tabs", "{{ '\\t'.expandtabs(99999999999) }}", "more than 16 MB", JINJA_TOO_BIG},
        {"long precision", "{{ '%.999999999f' % 1 }}", "precision", JINJA_FAILED},
        {"a search from the end", "{% set x = 'a' * 4000000 %}{{ x.rfind('b' + 'a' * 2000000) }}", "more than", JINJA_TOO_LONG},
        {"many slices", "{{ [1] | slice(99999999999) }}", "more than", JINJA_TOO_BIG},
        {"a large batch", "{{ [1] | batch(99999999999, 0) }}", "more than", JINJA_TOO_BIG},
        {"a macro that calls itself", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recurses too deeply", JINJA_TOO_DEEP},
        {"two macros that call each other", "{% macro f(g) %}{{ g(g) }}{% endmacro %}{{ f(f) }}", "too deeply", JINJA_TOO_DEEP},
        {"a loop that calls itself", "{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}", "too deeply", JINJA_TOO_DEEP},
        {"a list within itself", "{% set l = [] %}{% set _ = l.append(l) %}{{ l }}", "too deeply", JINJA_TOO_DEEP},
        {"that compares itself", "{% set a = [] %}{% set _ = a.append(a) %}{% set b = [a] %}{% set _ = a.append(b) %}{{ a == [a, [a]] }}",
         "too", JINJA_TOO_DEEP},
        {"a list within itself as JSON", "{% set l = [] %}{% set _ = l.append(l) %}{{ l | tojson }}", "too deeply", JINJA_TOO_DEEP},
        {"a namespace within itself", "{% set n = namespace() %}{% set n.n = n %}{{ n }}", "too deeply", JINJA_TOO_DEEP},
        {"a tuple nested deeply as a key",
         "{% set n = namespace(t=()) %}{% for i in range(9999) %}{% set n.t = (n.t,) %}{% endfor %}{{ {n.t: 1} }}", "unhashable",
         JINJA_FAILED},
        {"a tuple nested deeply, shown",
         "{% set n = namespace(t=()) %}{% for i in range(9999) %}{% set n.t = (n.t,) %}{% endfor %}{{ n.t }}", "too deeply",
         JINJA_TOO_DEEP},
        {"a filter of filters of filters",
         "{% set n = namespace(m=[1]) %}{% for i in range(9999) %}{% set n.m = n.m | map('string') %}{% endfor %}{{ n.m | list }}",
         "too deeply", JINJA_TOO_DEEP},
    };
    check_rows(rows, ARRAY_LEN(rows));
}

static void nesting_is_bounded_while_parsing(void **state) {
    (void)state;
    char *round = nested("{{ ", "(", ")", " }}", 20000), *square = nested("{{ ", "[", "]", " }}", 200);
    char *minus = nested("{{ ", "- ", "", " }}", 20000), *not = nested("{{ ", "not ", "", " }}", 20000);
    char *ifs = nested("", "{% if 1 %}", "{% endif %}", "", 5000), *conds = nested("{{ ", "1 if 1 else ", "", " }}", 20000);
    char *calls = nested("{{ ", "f(", ")", " }}", 250);
    const struct row rows[] = {{"parentheses", round, "too deeply", JINJA_DONE}, {"lists", square, "too deeply", JINJA_DONE},
                               {"signs", minus, "too deeply", JINJA_DONE},       {"nots", not, "too deeply", JINJA_DONE},
                               {"ifs", ifs, "too deeply", JINJA_DONE},           {"inline ifs", conds, "too deeply", JINJA_DONE},
                               {"calls", calls, "too deeply", JINJA_DONE}};
    check_rows(rows, ARRAY_LEN(rows));
    free(round), free(square), free(minus), free(not), free(ifs), free(conds), free(calls);
    struct buf b;
    buf_init(&b, JINJA_MAX_TEMPLATE);
    buf_append_str(&b, "{{ 0");
    for (int i = 0; i < 5000; i++) buf_append_str(&b, " + 1");
    buf_append_str(&b, " }}");
    const struct row sum[] = {{"a long sum", buf_cstr(&b), "too deeply", JINJA_TOO_DEEP}};
    check_rows(sum, 1);
    buf_done(&b);
}

static void what_is_no_template_is_refused(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"no end", "{% if x %}never closed", "ends before {% elif %}", JINJA_DONE},
        {"no end of a tag", "{{ x", "not closed", JINJA_DONE},
        {"no end of a text", "{{ 'x }}", "not closed", JINJA_DONE},
        {"no end of a comment", "a {# b", "not closed", JINJA_DONE},
        {"no end of raw", "{% raw %} x", "not closed", JINJA_DONE},
        {"wrong bracket", "{{ (1] }}", "unexpected ']'", JINJA_DONE},
        {"wrong character", "{{ 1 $ 2 }}", "unexpected character '$'", JINJA_DONE},
        {"wrong bytes", "a \xff b", "UTF-8", JINJA_DONE},
        {"unknown tag", "{% nothing %}", "'nothing' is unknown", JINJA_DONE},
        {"line", "\n\n{{ ! }}", "line 3", JINJA_DONE},
        {"include", "{% include 'x' %}", "'include' is unknown", JINJA_DONE},
        {"line of a failure", "a\n{% if true %}\n{{ x.y }}{% endif %}", "'x' is undefined (line 3", JINJA_FAILED},
        {"words of a refusal", "{{ raise_exception('never on a Sunday') }}", "never on a Sunday", JINJA_RAISED},
    };
    check_rows(rows, ARRAY_LEN(rows));
}

/* The same template has the same steps each time; with one fewer it fails. */
static void steps_are_counted_exactly(void **state) {
    (void)state;
    static const char tmpl[] = "{% for m in messages %}{{ m.role }}: {{ m.content | trim | upper }}\n{% endfor %}{{ messages | tojson }}";
    static const char variables[] = "{\"messages\":[{\"role\":\"user\",\"content\":\" Hello \"},{\"role\":\"x\",\"content\":\"y\"}]}";
    struct jinja_limits limits = jinja_limits_default();
    struct buf out;
    struct err e = {0};
    enum jinja_end end;
    uint64_t low = 0, high = 1000;
    buf_init(&out, MAX_OUTPUT);
    while (high - low > 1) { /* fails with low, passes with high */
        limits.steps = (low + high) / 2;
        buf_clear(&out);
        if (render(tmpl, variables, &limits, &out, &end, &e) == ERR_OK) high = limits.steps;
        else low = limits.steps;
    }
    for (int i = 0; i < 5; i++) {
        limits.steps = high;
        assert_int_equal(render(tmpl, variables, &limits, &out, &end, &e), ERR_OK);
        limits.steps = low;
        assert_int_equal(render(tmpl, variables, &limits, &out, &end, &e), ERR_LIMIT);
        assert_int_equal(end, JINJA_TOO_LONG);
    }
    print_message("%llu steps\n", (unsigned long long)high);
    buf_done(&out);
}

/* At every stage of a template's work: it must neither crash nor give a wrong text. */
static void memory_may_run_out_anywhere(void **state) {
    (void)state;
    static const char tmpl[] =
        "{%- set n = namespace(s='', l=[]) -%}{% macro f(a, b=1) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}"
        "{%- for m in messages if m -%}{%- set n.s = n.s + m.content|trim -%}{% set n.l = n.l + [m.role] %}{{ loop.length }}{{ "
        "loop.nextitem }}"
        "{{ m | tojson(indent=2) }}{{ f(m, 2, 3, *[4], **{'c': 5}) }}{%- endfor -%}"
        "{{ n.s.replace('a', 'b').split('c') | join('-') | upper | indent }}{{ '%s%05.1f' % (n.l, 2) }}{{ '{:>9}{x!r}'.format(1, x=n) }}"
        "{% set x %}{% filter title %}a b{% endfilter %}{% endset %}{{ x ~ x ~ n.l[::-1] ~ messages[0].items() ~ range(3) }}"
        "{{ messages | map(attribute='role') | list | sort }}{{ messages | selectattr('role', 'eq', 'x') | list }}{{ {1: 2, 'a': [3]} }}"
        "{{ messages | groupby('role') | list }}{% for k, v in messages[0] | dictsort %}{{ k }}{% endfor %}{{ '[1]' | from_json }}"
        "{% call f(1) %}c{% endcall %}{{ strftime_now('%d %B %Y') }}{{ ['b', 'a'] | unique | list }}{{ 'a b' | e | safe }}";
    static const char variables[] =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"abcabc abc\"},{\"role\":\"x\",\"content\":\"\\u00e9\"}]}";
    struct buf want, out;
    size_t failed = 0, passed = 0;
    struct err e = {0};
    enum jinja_end end;
    buf_init(&want, MAX_OUTPUT);
    buf_init(&out, MAX_OUTPUT);
    struct jinja_limits limits = jinja_limits_default();
    if (render(tmpl, variables, &limits, &want, &end, &e) != ERR_OK) fail_msg("%s", e.text);
    for (limits.memory = 0; limits.memory < 4000000 && passed < 3; limits.memory += 13) {
        buf_clear(&out);
        err_code code = render(tmpl, variables, &limits, &out, &end, &e);
        if (code == ERR_OK) assert_string_equal(buf_cstr(&out), buf_cstr(&want));
        else if (code != ERR_LIMIT || end != JINJA_TOO_BIG || out.len > 0) fail_msg("with %zu bytes: %s", limits.memory, e.text);
        passed += code == ERR_OK;
        failed += code != ERR_OK;
    }
    print_message("%zu limits were too small, then it fits in %zu bytes\n", failed, limits.memory);
    assert_true(failed > 1000 && passed == 3);
    buf_done(&want);
    buf_done(&out);
}

static void what_is_written_is_bounded(void **state) {
    (void)state;
    struct buf out;
    struct err e = {0};
    enum jinja_end end;
    buf_init(&out, 10);
    assert_int_equal(render("{{ 'eleven byte' }}", "{}", NULL, &out, &end, &e), ERR_LIMIT);
    assert_int_equal(end, JINJA_OUT_FULL);
    assert_int_equal(out.len, 0);
    buf_done(&out);
}

/* The cost of a text that is built piece by piece is linear in its length, not quadratic. */
static void building_up_a_text_is_linear(void **state) {
    (void)state;
    static const char *const ways[] = {"ns.s + piece", "ns.s ~ piece", "ns.s ~ '' ~ piece"};
    const struct jinja_limits limits = {.steps = 2000000, .memory = (size_t)32 << 20, .depth = 100};
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        char *tmpl =
            mem_printf("{%% set ns = namespace(s='') %%}{%% set piece = 'x' * 100 %%}{%% for i in range(40000) %%}{%% set ns.s = %s %%}"
                       "{%% endfor %%}{{ ns.s | length }}",
                       ways[i]);
        struct buf out;
        struct err e = {0};
        enum jinja_end end;
        buf_init(&out, MAX_OUTPUT);
        if (render(tmpl, "{}", &limits, &out, &end, &e) != ERR_OK) fail_msg("%s: %s", ways[i], e.text);
        assert_string_equal(buf_cstr(&out), "4000000");
        buf_done(&out);
        free(tmpl);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(nesting_is_bounded_while_parsing),
        cmocka_unit_test(what_is_no_template_is_refused),
        cmocka_unit_test(steps_are_counted_exactly),
        cmocka_unit_test(memory_may_run_out_anywhere),
        cmocka_unit_test(what_is_written_is_bounded),
        cmocka_unit_test(building_up_a_text_is_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
