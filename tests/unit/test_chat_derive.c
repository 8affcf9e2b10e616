/* SPDX-License-Identifier: MIT
 * Templates of families that no row of tables/toolcalls.def knows: the form of a call is derived from what they render, and a model's text
 * is read by it, whole and cut at every place. */
#include "support/output_fixture.h"

#include "chat/derive.h"
#include "chat/render.h"
#include "chat/toolcall_grammar.h"
#include "support/grammar_fixture.h"

static struct chat *chat;

/* The form that the chat finds for the template. */
static const struct toolcall_format *form_of(const char *tmpl) {
    static const char hello[] = "[{\"role\": \"user\", \"content\": \"Hello\"}]";
    yyjson_doc *doc = yyjson_read(hello, strlen(hello), 0);
    struct chat_input in = {.tmpl = tmpl, .messages = yyjson_doc_get_root(doc)};
    struct chat_answer answer = {.format = NULL};
    struct buf out;
    struct err e = {0};
    buf_init(&out, 1 << 20);
    if (chat_render(chat, &in, &out, &answer, &e) != ERR_OK) fail_msg("%s", e.text);
    buf_done(&out);
    yyjson_doc_free(doc);
    return answer.format;
}

#define HEAD \
    "{% for t in tools or [] %}{{ t | tojson }}{% endfor %}{% for m in messages %}@{{ m.role }}: {{ m.content or '' }}" \
    "{% if m.tool_calls %}"
#define EACH "{% for c in m.tool_calls %}"
#define TAIL "{% endif %}{{ '~end~' }}{% endfor %}{% if add_generation_prompt %}@assistant: {% endif %}"

static const struct {
    const char *name, *tmpl, *text; /* the text: get_weather(city "Bad Ems", days 2), and now() */
} SAMPLES[] = {
    {"JSON in tags of its own",
     HEAD EACH "<acall>{\"name\": \"{{ c.function.name }}\", \"input\": {{ c.function.arguments | tojson }}}</acall>{% endfor %}" TAIL,
     "<acall>{\"name\": \"get_weather\", \"input\": {\"city\": \"Bad Ems\", \"days\": 2}}</acall><acall>{\"name\": \"now\", \"input\": "
     "{}}</acall>"},
    {"a JSON array in a section",
     HEAD "[[CALLS]]\n[" EACH "{\"tool\": \"{{ c.function.name }}\", \"arguments\": {{ c.function.arguments | tojson }}}"
          "{{ ', ' if not loop.last }}{% endfor %}]\n[[/CALLS]]" TAIL,
     "[[CALLS]]\n[{\"tool\": \"get_weather\", \"arguments\": {\"city\": \"Bad Ems\", \"days\": 2}}, {\"tool\": \"now\", \"arguments\": "
     "{}}]\n[[/CALLS]]"},
    {"a name and JSON",
     HEAD "<|calls|>" EACH "<|call|>{{ c.function.name }}<|with|>{{ c.function.arguments | tojson }}<|done|>{% endfor %}<|end_calls|>" TAIL,
     "<|calls|><|call|>get_weather<|with|>{\"city\": \"Bad Ems\", \"days\": 2}<|done|><|call|>now<|with|>{}<|done|><|end_calls|>"},
    {"a name as key",
     HEAD "<u>[" EACH "{\"{{ c.function.name }}\": {{ c.function.arguments | tojson }}}{{ ', ' if not loop.last }}{% endfor %}]</u>" TAIL,
     "<u>[{\"get_weather\": {\"city\": \"Bad Ems\", \"days\": 2}}, {\"now\": {}}]</u>"},
    {"marks that the template puts together",
     "{% set x = ':v2' %}" HEAD "{{ '<calls{}>'.format(x) }}\n" EACH
     "{{ '<call{}>'.format(x) }}{{ c.function.name }}{{ '<sep{}>'.format(x) }}\n"
     "{% for k, v in c.function.arguments.items() %}{{ '<k{0}>{1}</k{0}>'.format(x, k) }}\n{{ '<v{0}>{1}</v{0}>'.format(x, v) }}\n{% "
     "endfor %}"
     "{{ '</call{}>'.format(x) }}\n{% endfor %}{{ '</calls{}>'.format(x) }}" TAIL,
     "<calls:v2>\n<call:v2>get_weather<sep:v2>\n<k:v2>city</k:v2>\n<v:v2>Bad Ems</v:v2>\n<k:v2>days</k:v2>\n<v:v2>2</v:v2>\n</call:v2>\n"
     "<call:v2>now<sep:v2>\n</call:v2>\n</calls:v2>"},
    {"elements on lines of their own",
     HEAD EACH
     "\n<do>\n<fn={{ c.function.name }}>\n{% for k, v in c.function.arguments.items() %}<arg={{ k }}>\n{{ v }}\n</arg>\n{% endfor %}"
     "</fn>\n</do>{% endfor %}" TAIL,
     "<do>\n<fn=get_weather>\n<arg=city>\nBad Ems\n</arg>\n<arg=days>\n2\n</arg>\n</fn>\n</do>\n<do>\n<fn=now>\n</fn>\n</do>"},
    {"elements with a type",
     HEAD "<f:calls>" EACH
          "\n<f:call name=\"{{ c.function.name }}\">\n{% for k, v in c.function.arguments.items() %}<f:arg name=\"{{ k }}\" "
          "string=\"{{ 'true' if v is string else 'false' }}\">{{ v }}</f:arg>\n{% endfor %}</f:call>{% endfor %}\n</f:calls>" TAIL,
     "<f:calls>\n<f:call name=\"get_weather\">\n<f:arg name=\"city\" string=\"true\">Bad Ems</f:arg>\n<f:arg name=\"days\" "
     "string=\"false\">2</f:arg>\n</f:call>\n<f:call name=\"now\">\n</f:call>\n</f:calls>"},
    {"a list as in Python",
     HEAD "<py>[" EACH
          "{{ c.function.name }}({% for k, v in c.function.arguments.items() %}{{ k }}={{ \"'\" + v + \"'\" if v is string else v }}"
          "{{ ', ' if not loop.last }}{% endfor %}){{ ', ' if not loop.last }}{% endfor %}]</py>" TAIL,
     "<py>[get_weather(city='Bad Ems', days=2), now()]</py>"},
    {"lines as in Python",
     HEAD "<run>\n" EACH "{{ c.function.name }}({% for k, v in c.function.arguments.items() %}{{ k }}={{ v | tojson }}"
          "{{ ', ' if not loop.last }}{% endfor %})\n{% endfor %}</run>" TAIL,
     "<run>\nget_weather(city=\"Bad Ems\", days=2)\nnow()\n</run>"},
    {"literals with quotes of their own",
     HEAD EACH "<|tc>{{ c.function.name }}{{ '{' }}{% for k, v in c.function.arguments.items() %}{{ k }}:{{ '<q>' + v + '<q>' if v is "
               "string else v }}"
               "{{ ',' if not loop.last }}{% endfor %}{{ '}' }}<tc|>{% endfor %}" TAIL,
     "<|tc>get_weather{city:<q>Bad Ems<q>,days:2}<tc|><|tc>now{}<tc|>"},
};

static void forms_are_derived(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(SAMPLES); i++) {
        struct output_options o = options("HERMES", NULL);
        o.format = form_of(SAMPLES[i].tmpl);
        if (strcmp(o.format->name, "derived") != 0) fail_msg("%s: %s", SAMPLES[i].name, o.format->name);
        char *text = mem_printf("I ask. %s", SAMPLES[i].text);
        expect_with(&o, text,
                    "content I ask.|call 0 get_weather|arguments {\"city\": \"Bad Ems\", \"days\": 2}|end 0|call 1 now|arguments {}|end 1");
        free(text);
    }
}

/* A grammar can be made of each, with a call required, and when it is the model's choice. */
static void forms_have_grammars(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(SAMPLES); i++) {
        for (int required = 0; required < 2; required++) {
            struct toolcall_wish w = {
                .format = form_of(SAMPLES[i].tmpl), .tools = TOOLS, .n_tools = ARRAY_LEN(TOOLS), .required = required != 0};
            struct engine_sampling p;
            struct err e = {0};
            engine_sampling_init(&p);
            if (toolcall_grammar_make(&w, &p, &e) != ERR_OK) fail_msg("%s: %s", SAMPLES[i].name, e.text);
            assert_int_equal(p.lazy.n_triggers, required ? 0 : 1);
            engine_sampling_done(&p);
        }
    }
}

/* The number of whole calls, of which each names a tool, in a text of these and nothing else; 0: it is none. */
static void count_calls(void *user, const struct output_event *ev) {
    int *count = user;
    if (ev->kind == OUTPUT_CONTENT) *count = -1000;
    if (ev->kind == OUTPUT_CALL_END) *count += ev->whole ? 1 : -1000;
}

static int calls_in(const struct toolcall_format *f, const char *text) {
    const struct output_options o = {.format = f, .tools = TOOLS, .n_tools = ARRAY_LEN(TOOLS), .seed = 1};
    int count = 0;
    struct output *out = output_create(&o, count_calls, &count);
    output_push(out, text, strlen(text));
    output_finish(out);
    output_free(out);
    return count > 0 ? count : 0;
}

/* Where a call is required, the model is held to the derived form: the template's own calls fit, other text does not, and whatever fits
 * is read back as calls of the tools. */
static void forms_hold_the_model(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(SAMPLES); i++)
        for (unsigned one = 0; one < 2; one++) {
            struct toolcall_wish w = {.format = form_of(SAMPLES[i].tmpl),
                                      .tools = TOOLS,
                                      .n_tools = ARRAY_LEN(TOOLS),
                                      .required = true,
                                      .single = one != 0,
                                      .only = one != 0 ? "now" : NULL};
            struct engine_sampling p;
            struct err e = {0};
            struct buf text;
            engine_sampling_init(&p);
            if (toolcall_grammar_make(&w, &p, &e) != ERR_OK) fail_msg("%s: %s", SAMPLES[i].name, e.text);
            char *own = mem_strdup(SAMPLES[i].text);
            for (char *at = own; *at != '\0'; at++) /* Python's strings are written as JSON */
                if (*at == '\'') *at = '"';
            size_t len = strlen(own);
            long fits = grammar_fit(p.grammar, own, len);
            if (one == 0 && fits != (long)len + 1) fail_msg("%s: only %.*s fits", SAMPLES[i].name, (int)fits, own);
            free(own);
            if (one != 0 && fits > (long)len) fail_msg("%s: a call of another tool fits", SAMPLES[i].name);
            assert_true(grammar_fit(p.grammar, "I ask.", 6) < 6);
            buf_init(&text, 1 << 16);
            for (uint64_t seed = 1; seed <= 40; seed++) {
                uint64_t random = seed;
                buf_clear(&text);
                if (!grammar_walk(p.grammar, &random, 200, &text)) continue;
                int calls = calls_in(w.format, buf_cstr(&text));
                if (calls == 0 || (one != 0 && calls != 1)) fail_msg("%s: %d calls in %s", SAMPLES[i].name, calls, buf_cstr(&text));
            }
            buf_done(&text);
            engine_sampling_done(&p);
        }
}

/* The prompt ends with the very mark that opens a call: an answer begins with a tool's name, or is a text. */
static void a_call_may_begin_the_answer(void **state) {
    (void)state;
    const char *tmpl = "{{ tools }}{% for m in messages %}{% if m.role == 'user' %}<|user|>\n{{ m.content }}{% else %}<|assistant|>\n"
                       "{{ m.content }}{% for c in m.tool_calls or [] %}<|assistant|>{{ c.function.name }}\n"
                       "{{ c.function.arguments | tojson }}{% endfor %}{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>\n"
                       "{% endif %}";
    struct output_options o = options("HERMES", NULL);
    o.format = form_of(tmpl);
    assert_string_equal(o.format->open, "<|assistant|>");
    o.call_open = toolcall_call_open(o.format, "<|assistant|>\n", 14);
    assert_true(o.call_open);
    expect_with(&o, "get_weather\n{\"city\": \"Ulm\"}", "call 0 get_weather|arguments {\"city\": \"Ulm\"}|end 0");
    expect_with(&o, "The weather\nis fine.", "content The weather\nis fine.");
    expect_with(&o, "Sun.", "content Sun.");
    expect_with(&o, "now\nor never", "content now\nor never");
    expect_with(&o, "I look.<|assistant|>now\n{}", "content I look.|call 0 now|arguments {}|end 0");
}

/* The template's text has the marks of one family, but it renders the form of another. */
static void a_row_that_does_not_fit_is_not_taken(void **state) {
    (void)state;
    const char *tmpl = "{# unlike <tool_call> #}" HEAD EACH
                       "<x:tool_use>{\"name\": \"{{ c.function.name }}\", \"arguments\": {{ c.function.arguments | tojson }}}</x:tool_use>"
                       "{% endfor %}" TAIL;
    assert_string_equal(toolcall_detect(tmpl)->name, "HERMES");
    const struct toolcall_format *f = form_of(tmpl);
    assert_string_equal(f->name, "derived");
    assert_string_equal(f->open, "<x:tool_use>");
    assert_string_equal(f->close, "</x:tool_use>");
}

static void a_row_that_fits_is_kept(void **state) {
    (void)state;
    static const char *const templates[] = {
        HEAD EACH "\n<tool_call>\n{\"name\": \"{{ c.function.name }}\", \"arguments\": {{ c.function.arguments | tojson }}}\n</tool_call>"
                  "{% endfor %}" TAIL,
        /* This template writes reasoning before a call, in a form that does not belong to the call. */
        HEAD "<think>\n\n</think>\n" EACH
             "<tool_call>{\"name\": \"{{ c.function.name }}\", \"arguments\": {{ c.function.arguments | tojson }}}"
             "</tool_call>{% endfor %}" TAIL};
    for (size_t i = 0; i < ARRAY_LEN(templates); i++) assert_string_equal(form_of(templates[i])->name, "HERMES");
}

static void what_cannot_be_derived_is_told_in_words(void **state) {
    (void)state;
    static const char *const templates[] = {
        "{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}", /* it knows no calls */
        HEAD EACH "{{ c.function.name }} with {{ c.function.arguments | length }} arguments{% endfor %}" TAIL,
        HEAD "{{ raise_exception('no calls') }}" TAIL,
        /* A number between the name and the arguments, which is another one for each call. */
        HEAD EACH "<c>{{ c.function.name }}:{{ loop.index0 }} {{ c.function.arguments | tojson }}</c>{% endfor %}" TAIL,
        HEAD EACH "{{ c.function.name | reverse }}{{ c.function.arguments }}{% endfor %}" TAIL,
    };
    for (size_t i = 0; i < ARRAY_LEN(templates); i++) assert_true(form_of(templates[i])->generic);
}

static int setup(void **state) {
    (void)state;
    chat = chat_create(NULL);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    chat_free(chat);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(forms_are_derived),
                                       cmocka_unit_test(forms_have_grammars),
                                       cmocka_unit_test(forms_hold_the_model),
                                       cmocka_unit_test(a_call_may_begin_the_answer),
                                       cmocka_unit_test(a_row_that_does_not_fit_is_not_taken),
                                       cmocka_unit_test(a_row_that_fits_is_kept),
                                       cmocka_unit_test(what_cannot_be_derived_is_told_in_words)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
