/* SPDX-License-Identifier: MIT
 * Families of models with forms of their own, whole and cut at every place: get_weather with a text, a number and a list, now without
 * arguments, and a text that holds the family's own marks. */
#include "support/output_fixture.h"

#define WEATHER "call 0 get_weather|arguments {\"city\": \"Bad Ems\", \"days\": 2, \"tags\": [\"a\", {\"b\": null}]}|end 0"
#define NOW     "|call 1 now|arguments {}|end 1"

struct family {
    const char *name, *calls; /* both calls, as the model writes them */
    const char *marks;        /* a call of get_weather whose city is quoted */
    const char *city;         /* that city, as JSON */
};

static const struct family FAMILIES[] = {
    {"GEMMA4",
     "<|tool_call>call:get_weather{city:<|\"|>Bad "
     "Ems<|\"|>,days:2,tags:[<|\"|>a<|\"|>,{b:null}]}<tool_call|><|tool_call>call:now{}<tool_call|>",
     "<|tool_call>call:get_weather{city:<|\"|>a \"b\" {c}, <d>\n<|\"|>}<tool_call|>", "\"a \\\"b\\\" {c}, <d>\\n\""},
    {"DSML_V32",
     "<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"get_weather\">\n<｜DSML｜parameter name=\"city\" string=\"true\">Bad "
     "Ems</｜DSML｜parameter>\n<｜DSML｜parameter name=\"days\" string=\"false\">2"
     "</｜DSML｜parameter>\n<｜DSML｜parameter name=\"tags\" "
     "string=\"false\">[\"a\", {\"b\": null}]</｜DSML｜parameter>\n</｜DSML｜invoke>\n<｜DSML｜invoke "
     "name=\"now\">\n</｜DSML｜invoke>\n</｜DSML｜function_calls>",
     "<｜DSML｜function_calls><｜DSML｜invoke name=\"get_weather\"><｜DSML｜parameter name=\"city\" "
     "string=\"true\"><｜DSML｜invoke> \"x\"</｜DSML｜parameter></｜DSML｜invoke></｜DSML｜function_calls>",
     "\"<｜DSML｜invoke> \\\"x\\\"\""},
    {"DSML_V4",
     "<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"get_weather\">\n<｜DSML｜parameter name=\"city\" string=\"true\">Bad "
     "Ems</｜DSML｜parameter>\n<｜DSML｜parameter name=\"days\">2</｜DSML｜parameter>\n<｜DSML｜parameter name=\"tags\" "
     "string=\"false\">[\"a\", {\"b\": null}]</｜DSML｜parameter>\n</｜DSML｜invoke>\n<｜DSML｜invoke "
     "name=\"now\">\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>",
     "<｜DSML｜tool_calls><｜DSML｜invoke name=\"get_weather\"><｜DSML｜parameter name=\"city\" "
     "string=\"true\">5</｜DSML｜parameter></｜DSML｜invoke></｜DSML｜tool_calls>",
     "\"5\""},
    {"GIGACHAT35",
     "<｜GCML｜tool_calls>\n<｜GCML｜invoke name=\"get_weather\">\n<｜GCML｜parameter name=\"city\" string=\"true\">Bad "
     "Ems</｜GCML｜parameter>\n<｜GCML｜parameter name=\"days\" string=\"false\">2"
     "</｜GCML｜parameter>\n<｜GCML｜parameter name=\"tags\" "
     "string=\"false\">[\"a\", {\"b\": null}]</｜GCML｜parameter>\n</｜GCML｜invoke>\n<｜GCML｜invoke "
     "name=\"now\">\n</｜GCML｜invoke>\n</｜GCML｜tool_calls><|message_sep|>",
     "<｜GCML｜tool_calls>\n<｜GCML｜invoke name=\"get_weather\">\n<｜GCML｜parameter name=\"city\" "
     "string=\"true\">\n</b>\n</｜GCML｜parameter></｜GCML｜invoke></｜GCML｜tool_calls>",
     "\"\\n</b>\\n\""},
    {"GIGACHAT31",
     "<|function_call|>{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Bad Ems\", \"days\": 2, \"tags\": [\"a\", {\"b\": "
     "null}]}}<|message_sep|>\n\n<|function_call|>{\"name\": \"now\", \"arguments\": {}}",
     "<|function_call|>{\"name\": \"get_weather\", \"arguments\": {\"city\": \"<|function_call|>\"}}", "\"<|function_call|>\""},
    {"GIGACHAT3",
     "<|message_sep|>\n\nfunction call<|role_sep|>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Bad Ems\", \"days\": 2, "
     "\"tags\": [\"a\", {\"b\": null}]}}<|message_sep|>\n\nfunction call<|role_sep|>\n{\"name\": \"now\", \"arguments\": {}}",
     "function call<|role_sep|>{\"name\": \"get_weather\", \"arguments\": {\"city\": \"function call\"}}", "\"function call\""},
    {"KIMI_K3",
     "<|open|>tools<|sep|><|open|>call tool=\"get_weather\" index=\"1\"<|sep|><|open|>argument key=\"city\" type=\"string\"<|sep|>Bad "
     "Ems<|close|>argument<|sep|><|open|>argument key=\"days\" type=\"number\"<|sep|>2<|close|>argument<|sep|><|open|>argument "
     "key=\"tags\" "
     "type=\"array\"<|sep|>[\"a\", {\"b\": null}]<|close|>argument<|sep|><|close|>call<|sep|><|open|>call tool=\"now\" "
     "index=\"2\"<|sep|><|close|>call<|sep|><|close|>tools<|sep|><|close|>message<|sep|>",
     "<|open|>tools<|sep|><|open|>call tool=\"get_weather\" index=\"1\"<|sep|><|open|>argument key=\"city\" "
     "type=\"string\"<|sep|>{\"<|open|>\"}<|close|>argument<|sep|><|close|>call<|sep|><|close|>tools<|sep|>",
     "\"{\\\"<|open|>\\\"}\""},
    {"MINIMAX_M3",
     "]<]minimax[>[<tool_call>\n]<]minimax[>[<invoke name=\"get_weather\">]<]minimax[>[<city>Bad "
     "Ems]<]minimax[>[</city>]<]minimax[>[<days>2]<]minimax[>[</days>]<]minimax[>[<tags>]<]minimax[>[<item>a]<]minimax[>[</item>"
     "]<]minimax[>[<item>]<]minimax[>[<b>null]<]minimax[>[</b>]<]minimax[>[</item>]<]minimax[>[</tags>]<]minimax[>[</invoke>\n"
     "]<]minimax[>[<invoke name=\"now\">]<]minimax[>[</invoke>\n]<]minimax[>[</tool_call>",
     "]<]minimax[>[<tool_call>]<]minimax[>[<invoke name=\"get_weather\">]<]minimax[>[<city> <b>x</b> "
     "]<]]<]minimax[>[</city>]<]minimax[>[</invoke>]<]minimax[>[</tool_call>",
     "\" <b>x</b> ]<]\""},
    {"SEED",
     "<seed:tool_call>\n<function=get_weather>\n<parameter=city>Bad "
     "Ems</parameter>\n<parameter=days>2</parameter>\n<parameter=tags>[\"a\", "
     "{\"b\": null}]</parameter>\n</function>\n</seed:tool_call><seed:tool_call>\n<function=now>\n</function>\n</seed:tool_call>",
     "<seed:tool_call><function=get_weather><parameter=city><seed:tool_call>\n</parameter></function></seed:tool_call>",
     "\"<seed:tool_call>\\n\""},
    {"LFM2", "<|tool_call_start|>[get_weather(city='Bad Ems', days=2, tags=['a', {'b': None}]), now()]<|tool_call_end|>",
     "<|tool_call_start|>[get_weather(city='it\\'s \"a\", (b)')]<|tool_call_end|>", "\"it's \\\"a\\\", (b)\""},
    {"LFM2",
     "<|tool_call_start|>[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Bad Ems\", \"days\": 2, \"tags\": [\"a\", {\"b\": "
     "null}]}}, {\"name\": \"now\", \"arguments\": {}}]<|tool_call_end|>",
     "<|tool_call_start|>[get_weather(city='it's so')]<|tool_call_end|>", "\"it's so\""},
    {"LLAMA4_PYTHON", "[get_weather(city=\"Bad Ems\", days=2, tags=(\"a\", {\"b\": None})), now()]",
     "[get_weather(city=\"\"\"a\n\"b\" \\u00e9\"\"\")]", "\"a\\n\\\"b\\\" \\u00e9\""},
    {"LLAMA4_PYTHON", "<|python_start|>[get_weather(city=Bad Ems, days=2, tags=[\"a\", {\"b\": null}]), now()]<|python_end|>",
     "[get_weather(\"Ulm)\")]", "\"Ulm)\""},
    {"LLAMA4",
     "<|python_start|>{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Bad Ems\", \"days\": 2, \"tags\": [\"a\", {\"b\": "
     "null}]}}<|python_end|>{\"name\": \"now\", \"parameters\": {}}",
     "{\"name\": \"get_weather\", \"parameters\": {\"city\": \"<|python_end|>\"}}", "\"<|python_end|>\""},
    {"LLAMA32_PYTHON", "[get_weather(city='Bad Ems', days=2, tags=['a', {'b': None}]), now()]", "[get_weather(city='[now()]')]",
     "\"[now()]\""},
    {"FUNCTIONARY32", ">>>get_weather\n{\"city\": \"Bad Ems\", \"days\": 2, \"tags\": [\"a\", {\"b\": null}]}\n>>>now\n{}",
     ">>>get_weather\n{\"city\": \">>>now\\n\"}", "\">>>now\\n\""},
    {"APERTUS",
     "<|tools_prefix|>[{\"get_weather\": {\"city\": \"Bad Ems\", \"days\": 2, \"tags\": [\"a\", {\"b\": null}]}}, {\"now\": "
     "{}}]<|tools_suffix|>",
     "<|tools_prefix|>[{\"get_weather\": {\"city\": \"]<|tools_suffix|>\"}}]<|tools_suffix|>", "\"]<|tools_suffix|>\""},
    {"TOOL_CALLS",
     "<tool_calls>[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Bad Ems\", \"days\": 2, \"tags\": [\"a\", {\"b\": null}]}}, "
     "{\"name\": \"now\", \"arguments\": {}, \"id\": \"x\"}]</tool_calls>",
     "<tool_calls>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"</tool_calls>\"}}\n</tool_calls>", "\"</tool_calls>\""},
    {"HERMES", /* Ernie */
     "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Bad Ems\", \"days\": 2, \"tags\": [\"a\", {\"b\": "
     "null}]}}\n</tool_call>\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>\n",
     "<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"city\": \"</tool_call>\"}}</tool_call>", "\"</tool_call>\""},
    {"OLMO3", "<function_calls>\nget_weather(city='Bad Ems', days=2, tags=['a', {'b': null}])\nnow()\n</function_calls>",
     "<function_calls>\nget_weather(city='</function_calls>')\n</function_calls>", "\"</function_calls>\""},
    {"STEP3",
     "<｜tool_calls_begin｜>\n<｜tool_call_begin｜>function<｜tool_sep｜><steptml:invoke name=\"get_weather\">\n<steptml:parameter "
     "name=\"city\">Bad Ems</steptml:parameter>\n<steptml:parameter name=\"days\">2</steptml:parameter>\n<steptml:parameter "
     "name=\"tags\">[\"a\", {\"b\": null}]</steptml:parameter>\n</steptml:invoke><｜tool_call_end｜>\n<｜tool_call_begin｜>function"
     "<｜tool_sep｜><steptml:invoke name=\"now\">\n</steptml:invoke><｜tool_call_end｜>\n<｜tool_calls_end｜>",
     "<｜tool_calls_begin｜><｜tool_call_begin｜>function<｜tool_sep｜><steptml:invoke name=\"get_weather\"><steptml:parameter "
     "name=\"city\">a < b</steptml:parameter></steptml:invoke><｜tool_call_end｜><｜tool_calls_end｜>",
     "\"a < b\""},
    {"SOLAR",
     "<|tool_calls|><|tool_call:begin|>a1b2c3d4e5<|tool_call:name|>get_weather<|tool_call:args|>{\"city\": \"Bad Ems\", \"days\": 2, "
     "\"tags\": [\"a\", {\"b\": null}]}<|tool_call:end|><|tool_call:begin|><|tool_call:name|>now<|tool_call:args|>{}<|tool_call:end|>"
     "<|calls|>",
     "<|begin|>assistant<|tool_calls|><|tool_call:begin|>0<|tool_call:name|>get_weather<|tool_call:args|>{\"city\": "
     "\"<|tool_call:end|>\"}<|tool_call:end|>",
     "\"<|tool_call:end|>\""},
    {"XLAM",
     "[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Bad Ems\", \"days\": 2, \"tags\": [\"a\", {\"b\": null}]}}, {\"name\": "
     "\"now\", \"arguments\": {}}]",
     "[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"]\"}}]", "\"]\""},
    {"INTERNLM",
     "<|action_start|><|plugin|>\n{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Bad Ems\", \"days\": 2, \"tags\": [\"a\", "
     "{\"b\": null}]}}<|action_end|>\n<|action_start|><|plugin|>\n{\"name\": \"now\", \"parameters\": {}}<|action_end|>\n",
     "<|action_start|><|plugin|>{\"name\": \"get_weather\", \"parameters\": {\"city\": \"<|action_end|>\"}}<|action_end|>",
     "\"<|action_end|>\""},
    {"HUNYUAN3",
     "<tool_calls>\n<tool_call>get_weather<tool_sep>\n<arg_key>city</arg_key>\n<arg_value>Bad Ems</arg_value>\n<arg_key>days</arg_key>\n"
     "<arg_value>2</arg_value>\n<arg_key>tags</arg_key>\n<arg_value>[\"a\", {\"b\": null}]</arg_value>\n</tool_call>\n"
     "<tool_call>now<tool_sep></tool_call>\n</tool_calls>",
     "<tool_calls><tool_call>get_weather<tool_sep><arg_key>city</arg_key><arg_value>\"<arg_key>\"</arg_value></tool_call></tool_calls>",
     "\"\\\"<arg_key>\\\"\""},
    {"MINICPM3",
     "<|tool_call_start|>\n```python\nget_weather(city=\"Bad Ems\",days=2,tags=[\"a\", {\"b\": null}])\nnow()\n```\n<|tool_call_end|>\n",
     "<|tool_call_start|>\n```python\nget_weather(city=\"```\")\n```\n<|tool_call_end|>", "\"```\""},
    {"MINICPM5",
     "<function name=\"get_weather\"><param name=\"city\">Bad Ems</param><param name=\"days\">2</param><param name=\"tags\">[\"a\", "
     "{\"b\": "
     "null}]</param></function>\n<function name=\"now\"></function>",
     "<function name=\"get_weather\"><param name=\"city\"></function></param></function>", "\"</function>\""},
};

static void families(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(FAMILIES); i++) {
        const struct family *f = &FAMILIES[i];
        struct output_options o = options(f->name, NULL);
        expect(f->name, f->calls, WEATHER NOW);
        char *want = mem_printf("call 0 get_weather|arguments {\"city\": %s}|end 0", f->city);
        expect(f->name, f->marks, want);
        free(want);
        if (o.format->bare) continue; /* its calls are the whole answer */
        char *text = mem_printf("I ask. %s", f->calls);
        expect(f->name, text, "content I ask.|" WEATHER NOW);
        free(text);
    }
}

/* Wherever the text was cut: no mark is shown, and arguments that are called whole are a JSON object. */
static void a_cut_call_shows_no_mark(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(FAMILIES); i++) {
        struct output_options o = options(FAMILIES[i].name, NULL);
        size_t len = strlen(FAMILIES[i].calls);
        /* A call without an opening mark is text until its name is there. */
        for (size_t n = o.format->bare ? 26 : 3; n < len; n++) {
            struct seen s;
            run(&o, FAMILIES[i].calls, n, NULL, 0, &s);
            const char *text = strstr(buf_cstr(&s.text), "content ");
            if (text != NULL &&
                strspn(text + strlen("content "), "abcdefghijklmnopqrstuvwxyz \n") < strcspn(text + strlen("content "), "|"))
                fail_msg("%s: cut after %zu bytes, %.*s gives: %s", FAMILIES[i].name, n, (int)n, FAMILIES[i].calls, buf_cstr(&s.text));
            buf_done(&s.text);
        }
    }
}

static void literals(void **state) {
    (void)state;
    expect("LFM2",
           "<|tool_call_start|>[get_weather(city='a\\n\\x41\\U0001F600\\q\\/', days=+1_000, wind=True, tags=(.5, 1., "
           "-2e3,),)]<|tool_call_end|>",
           "call 0 get_weather|arguments {\"city\": \"a\\n\\u0041\\ud83d\\ude00\\\\q/\", \"days\": 1000, \"wind\": true, \"tags\": [0.5, "
           "1.0, -2e3]}|end 0");
    expect("LFM2", "<|tool_call_start|>[now(), ]<|tool_call_end|> ok", "call 0 now|arguments {}|end 0|content ok");
    expect("LFM2", "<|tool_call_start|>[now(x={1: 2, 'k': {}})]<|tool_call_end|>",
           "call 0 now|arguments {\"x\": {\"1\": 2, \"k\": {}}}|end 0");
    expect("LFM2", "<|tool_call_start|>[get_weather('Ulm', 3, tags=[])]<|tool_call_end|>",
           "call 0 get_weather|arguments {\"city\": \"Ulm\", \"days\": 3, \"tags\": []}|end 0");
    expect("LFM2", "<|tool_call_start|>[now(1)]<|tool_call_end|>", "call 0 now|arguments {|end 0 broken");
    expect("LFM2", "<|tool_call_start|>[now(a=f(2))]", "call 0 now|arguments {\"a\": |end 0 broken");
    expect("LLAMA4_PYTHON", "[1] says so, [link](x) too.", "content [1] says so, [link](x) too.");
    expect("LLAMA4_PYTHON", "[unknown(a=1)]", "content [unknown(a=1)]");
    expect("LLAMA4_PYTHON", "See [now()].", "content See [now()].");
    expect("GEMMA4", "<|tool_call>call:get_weather{city:Ulm,days:1,note:\"a\\n\"}<tool_call|>",
           "call 0 get_weather|arguments {\"city\": \"Ulm\", \"days\": 1, \"note\": \"a\\n\"}|end 0");
    expect("GEMMA4", "<|tool_call>call:now{o:{<|\"|>k<|\"|>:[true,<|\"|><|\"|>]}}<tool_call|>",
           "call 0 now|arguments {\"o\": {\"k\": [true, \"\"]}}|end 0");
}

static void recipients(void **state) {
    (void)state;
    struct output_options o = options("FUNCTIONARY32", NULL);
    o.call_open = true;
    expect_with(&o, "all\nI look.>>>now\n{}", "content I look.|call 0 now|arguments {}|end 0");
    expect_with(&o, "get_weather\n{\"city\": \"Ulm\"}", "call 0 get_weather|arguments {\"city\": \"Ulm\"}|end 0");
    expect_with(&o, "all\n>>> print(1)\n1", "content >>> print(1)\n1");
    o.n_tools = 0;
    expect_with(&o, "all\nHi", "content Hi");
    assert_true(toolcall_call_open(o.format, "assistant\n\n>>>", 14));
    assert_false(toolcall_call_open(o.format, "assistant\n\n", 11));
}

/* Where no schema says a value's type, the attribute does. */
static void types_by_attribute(void **state) {
    (void)state;
    expect("DSML_V4",
           "<｜DSML｜tool_calls><｜DSML｜invoke name=\"now\"><｜DSML｜parameter name=\"x\" string=\"true\">5</｜DSML｜parameter>"
           "<｜DSML｜parameter name=\"y\" string=\"false\">5</｜DSML｜parameter><｜DSML｜parameter name=\"z\">a"
           "</｜DSML｜parameter></｜DSML｜invoke></｜DSML｜tool_calls>",
           "call 0 now|arguments {\"x\": \"5\", \"y\": 5, \"z\": \"a\"}|end 0");
    expect("KIMI_K3",
           "<|open|>tools<|sep|><|open|>call tool=\"now\" index=\"1\"<|sep|><|open|>argument key=\"x\" type=\"string\"<|sep|>null"
           "<|close|>argument<|sep|><|open|>argument key=\"y\" type=\"null\"<|sep|>null<|close|>argument<|sep|><|close|>call<|sep|>"
           "<|close|>tools<|sep|>",
           "call 0 now|arguments {\"x\": \"null\", \"y\": null}|end 0");
}

/* Kimi K3 escapes an argument's name, and may write all arguments as one JSON object. */
static void names_as_attributes_and_whole_objects(void **state) {
    (void)state;
#define K3(inner) "<|open|>tools<|sep|><|open|>call tool=\"now\" index=\"1\"<|sep|>" inner "<|close|>call<|sep|><|close|>tools<|sep|>"
    expect("KIMI_K3", K3("<|open|>argument key=\"a &quot;b&quot; &amp;quot; &c\" type=\"string\"<|sep|>x &quot;<|close|>argument<|sep|>"),
           "call 0 now|arguments {\"a \\\"b\\\" &quot; &c\": \"x &quot;\"}|end 0");
    expect("KIMI_K3", K3("<|open|>json type=\"object\"<|sep|>{\"x\": [1, \"</a>\"]}<|close|>json<|sep|>"),
           "call 0 now|arguments {\"x\": [1, \"</a>\"]}|end 0");
    expect("KIMI_K3", K3("<|open|>json type=\"object\"<|sep|>{\"x\": 1<|close|>json<|sep|>"),
           "call 0 now|arguments {\"x\": 1|end 0 broken");
    expect("KIMI_K3",
           "<|open|>tools<|sep|><|open|>call tool=\"now\" index=\"1\"<|sep|><|open|>json type=\"object\"<|sep|>{}<|close|>json<|sep|>"
           "<|close|>call<|sep|><|open|>call tool=\"now\" index=\"2\"<|sep|><|close|>call<|sep|><|close|>tools<|sep|>",
           "call 0 now|arguments {}|end 0|call 1 now|arguments {}|end 1");
#undef K3
}

static void nested_elements(void **state) {
    (void)state;
#define M3(inner) \
    "]<]minimax[>[<tool_call>]<]minimax[>[<invoke name=\"get_weather\">" inner "]<]minimax[>[</invoke>]<]minimax[>[</tool_call>"
    expect("MINIMAX_M3", M3("]<]minimax[>[<tags>]<]minimax[>[</tags>"), "call 0 get_weather|arguments {\"tags\": []}|end 0");
    expect("MINIMAX_M3", M3("]<]minimax[>[<city>]<]minimax[>[</city>"), "call 0 get_weather|arguments {\"city\": \"\"}|end 0");
    expect("MINIMAX_M3", M3("]<]minimax[>[<days>\n3\n]<]minimax[>[</days>]<]minimax[>[<note>null]<]minimax[>[</note>"),
           "call 0 get_weather|arguments {\"days\": \n3\n, \"note\": null}|end 0");
    expect("MINIMAX_M3", M3("oops"), "call 0 get_weather|arguments {|end 0 broken");
#undef M3
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(families),           cmocka_unit_test(a_cut_call_shows_no_mark),
                                       cmocka_unit_test(literals),           cmocka_unit_test(recipients),
                                       cmocka_unit_test(types_by_attribute), cmocka_unit_test(names_as_attributes_and_whole_objects),
                                       cmocka_unit_test(nested_elements)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
