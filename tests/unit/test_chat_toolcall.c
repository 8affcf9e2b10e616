/* SPDX-License-Identifier: MIT
 * The parser of models' texts, for each family: the text comes whole, cut at every place into two pieces, and in single bytes. */
#include "chat/scan.h"
#include "support/output_fixture.h"

/* ---- families ---- */

static void hermes(void **state) {
    (void)state;
    expect("HERMES",
           "Let me look.\n\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Ulm\", \"days\": "
           "2}}\n</tool_call>\n",
           "content Let me look.|call 0 get_weather|arguments {\"city\": \"Ulm\", \"days\": 2}|end 0");
    expect("HERMES",
           "<tool_call>{\"name\":\"now\",\"arguments\":{}}</tool_call>\n<tool_call>\n{\"arguments\": {\"city\":\"}\\\"\"}, "
           "\"name\": "
           "\"get_weather\"}</tool_call>Done.",
           "call 0 now|arguments {}|end 0|call 1 get_weather|arguments {\"city\":\"}\\\"\"}|end 1|content Done.");
    expect("HERMES", "<tool_call>\n{\"name\": \"now\"}}\n</tool_call>", "call 0 now|arguments {}|end 0");
    expect("HERMES", "<tool_call>{\"name\": \"now\", \"arguments\": \"{\\\"a\\\": \\\"\\u00e9\\\"}\"}</tool_call>",
           "call 0 now|arguments {\"a\": \"\xC3\xA9\"}|end 0");
    expect("HERMES", "<tool_call>{\"type\": \"function\", \"function\": {\"name\": \"now\", \"arguments\": null}, \"id\": 7}</tool_call>",
           "call 0 now|arguments {}|end 0");
    expect("HERMES", "<tool_call>{\"name\": \"now\", \"arguments\": {\"a\": \"x\ny\tz\"}}</tool_call>",
           "call 0 now|arguments {\"a\": \"x\\ny\\u0009z\"}|end 0");
    expect("HERMES", "<tool_call>[{\"name\": \"now\", \"arguments\": {}}, {\"name\": \"now\", \"arguments\": {\"x\": 1}}]</tool_call>",
           "call 0 now|arguments {}|end 0|call 1 now|arguments {\"x\": 1}|end 1");
}

static void hermes_not_calls(void **state) {
    (void)state;
    expect("HERMES", "a < b, and <tool> and <tool_cal", "content a < b, and <tool> and");
    expect("HERMES", "Use the <tool_call> tag. <tool_call>\n<tool_call>{\"name\": \"now\", \"arguments\": {}}</tool_call>",
           "content Use the <tool_call> tag. <tool_call>|call 0 now|arguments {}|end 0");
    expect("HERMES", "<tool_call>{\"name\": 7}</tool_call>!", "content <tool_call>{\"name\": 7}</tool_call>!");
    expect("HERMES", "<tool_call>{\"name\": \"no spaces in names\", \"x\": 1}",
           "content <tool_call>{\"name\": \"no spaces in names\", "
           "\"x\": 1}");
    expect("HERMES", "Hi <tool_call>{\"arguments\": {\"a\": [1, 2", "content Hi"); /* cut in the middle: neither text nor a call */
    expect("HERMES", "<tool_call>", "");
    expect("HERMES", "  \n", "content   \n");
    expect("HERMES", "", "");
}

static void hermes_broken(void **state) {
    (void)state;
    expect("HERMES", "<tool_call>{\"name\": \"now\", \"arguments\": {\"a\": 1}", "call 0 now|arguments {\"a\": 1}|end 0");
    expect("HERMES", "<tool_call>{\"name\": \"now\", \"arguments\": \"Ulm\"}</tool_call>", "call 0 now|arguments \"Ulm\"|end 0 broken");
    expect("HERMES", "<tool_call>{\"name\": \"now\", \"arguments\": [1]}</tool_call>", "call 0 now|arguments [1]|end 0 broken");
    expect("HERMES", "<tool_call>{\"name\": \"now\", \"arguments\": 12", "call 0 now|end 0 broken");
    expect("HERMES", "<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Ul",
           "call 0 get_weather|arguments {\"city\": \"Ul|end 0 broken");
    expect("HERMES", "<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"city\": Ulm}}</tool_call>",
           "call 0 get_weather|arguments {\"city\": |end 0 broken");
    expect("HERMES", "<tool_call>{\"name\": \"now\", \"arguments\": {x}}</tool_call>Well.",
           "call 0 now|arguments {|end 0 broken|content Well.");
}

static void llama(void **state) {
    (void)state;
    expect("LLAMA3", "{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Oslo\"}}",
           "call 0 get_weather|arguments {\"city\": \"Oslo\"}|end 0");
    expect("LLAMA3",
           "\n<|python_tag|>{\"type\": \"function\", \"name\": \"now\", \"parameters\": {}}; {\"name\": \"get_weather\", "
           "\"parameters\": {\"days\": 1.5e3}}",
           "call 0 now|arguments {}|end 0|call 1 get_weather|arguments {\"days\": 1.5e3}|end 1");
    expect("LLAMA3", "{\"name\": \"Ada\", \"parameters\": {\"age\": 3}}", "content {\"name\": \"Ada\", \"parameters\": {\"age\": 3}}");
    expect("LLAMA3", "{\"a\": {\"name\": \"now\"}} {\"name\": \"now\"}", "content {\"a\": {\"name\": \"now\"}} {\"name\": \"now\"}");
    expect("LLAMA3", "So {\"name\": \"now\"}", "content So {\"name\": \"now\"}");
    expect("LLAMA3", "<|python_tag|>print(1)", "content print(1)");
}

static void mistral(void **state) {
    (void)state;
    expect("MISTRAL",
           "[TOOL_CALLS][{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Rom\"}, \"id\": \"abcdefghi\"}, {\"name\": "
           "\"now\", \"arguments\": {}}]",
           "call 0 get_weather|arguments {\"city\": \"Rom\"}|end 0|call 1 now|arguments {}|end 1");
    expect("MISTRAL_ARGS", "Yes.[TOOL_CALLS]get_weather[ARGS]{\"city\": \"Rom\"}[TOOL_CALLS]now[CALL_ID]x12345678[ARGS]{}",
           "content Yes.|call 0 get_weather|arguments {\"city\": \"Rom\"}|end 0|call 1 now|arguments {}|end 1");
    expect("MISTRAL_ARGS", "[TOOL_CALLS] [{\"name\": \"now\", \"arguments\": {}}]", "call 0 now|arguments {}|end 0");
    expect("MISTRAL", "[TOOL_CALLS]not json [ARGS", "content not json [ARGS");
    struct output_options o = options("MISTRAL_ARGS", "[THINK]");
    expect_with(&o, "[THINK]Hm. [TOOL\n[/THINK]\nWell. [TOOL_CALLS]now[ARGS]{}",
                "reasoning Hm. [TOOL|content Well.|call 0 now|arguments {}|end 0");
}

static void deepseek(void **state) {
    (void)state;
    expect("DEEPSEEK_R1",
           "I ask.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>"
           "get_weather\n```json\n{\"city\": \"Bonn\"}\n```"
           "<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>"
           "now\n```json\n{}\n```<｜tool▁call▁end｜>"
           "<｜tool▁calls▁end｜>",
           "content I ask.|call 0 get_weather|arguments {\"city\": \"Bonn\"}|end 0|call 1 now|arguments {}|end 1");
    expect("DEEPSEEK_V31",
           "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{\"city\": "
           "\"Bonn\"}<｜tool▁call▁end｜>"
           "<｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
           "call 0 get_weather|arguments {\"city\": \"Bonn\"}|end 0|call 1 now|arguments {}|end 1");
    expect("DEEPSEEK_V31", "<｜tool▁calls▁begin｜>nothing<｜tool▁calls▁end｜>", "content nothing");
    struct output_options o = options("DEEPSEEK_R1", "</think>");
    o.reasoning_open = true;
    expect_with(&o, "Hm, <b> </thin\n\n</think>\n\nYes.", "reasoning Hm, <b> </thin|content Yes.");
}

static void kimi(void **state) {
    (void)state;
    expect("KIMI",
           "Ok <|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{\"city\": "
           "\"Kiel\"}"
           "<|tool_call_end|><|tool_call_begin|>functions.now:1<|tool_call_argument_begin|>{}<|tool_call_end|>"
           "<|tool_calls_section_end|>",
           "content Ok|call 0 get_weather|arguments {\"city\": \"Kiel\"}|end 0|call 1 now|arguments {}|end 1");
}

static void glm(void **state) {
    (void)state;
    expect("GLM",
           "\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>New \"York\"\n</arg_value>\n<arg_key>days</arg_key>\n"
           "<arg_value>3</arg_value>\n</tool_call>\n<tool_call>now\n</tool_call>",
           "call 0 get_weather|arguments {\"city\": \"New \\\"York\\\"\\n\", \"days\": 3}|end 0|call 1 now|arguments {}|end 1");
    expect("GLM",
           "<tool_call>get_weather<arg_key>wind</arg_key><arg_value>True</arg_value><arg_key>tags</arg_key><arg_value>[1, \"a\"]"
           "</arg_value><arg_key>note</arg_key><arg_value>null</arg_value><arg_key>free</arg_key><arg_value>x y</arg_value>"
           "</tool_call>",
           "call 0 get_weather|arguments {\"wind\": true, \"tags\": [1, \"a\"], \"note\": null, \"free\": \"x y\"}|end 0");
    expect("GLM", "<tool_call>now</tool_call>", "call 0 now|arguments {}|end 0");
    expect("GLM", "<tool_call>this is prose\n", "content <tool_call>this is prose\n");
    expect("GLM", "<tool_call>now\n<arg_key>a</arg_key>oops", "call 0 now|arguments {\"a\": |end 0 broken");
}

static void qwen_coder(void **state) {
    (void)state;
    expect("QWEN3_CODER",
           "I'll look.\n<tool_call>\n<function=get_weather>\n<parameter=city>\nBad\nEms\n</parameter>\n<parameter=days>\n5\n"
           "</parameter>\n<parameter=units>\nc\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=now>"
           "\n</function>"
           "\n</tool_call>",
           "content I'll look.|call 0 get_weather|arguments {\"city\": \"Bad\\nEms\", \"days\": 5, \"units\": \"c\"}|end 0|"
           "call 1 now|arguments {}|end 1");
    expect("QWEN3_CODER", "<function=get_weather><parameter=city>a < b</parameter></function>.",
           "call 0 get_weather|arguments {\"city\": \"a < b\"}|end 0|content .");
    expect("QWEN3_CODER", "I look.\n<function=now>\n</function>\n</tool_call>", "content I look.|call 0 now|arguments {}|end 0");
    expect("QWEN3_CODER", "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>", "call 0 now|arguments {}|end 0");
    expect("MINIMAX",
           "<minimax:tool_call>\n<invoke name=\"get_weather\">\n<parameter name=\"city\">Rom</parameter>\n</invoke>\n"
           "</minimax:tool_call>",
           "call 0 get_weather|arguments {\"city\": \"Rom\"}|end 0");
}

static void harmony(void **state) {
    (void)state;
    expect("HARMONY",
           "<|channel|>analysis<|message|>The user <3 greets.<|end|><|start|>assistant<|channel|>final<|message|>"
           "Hello!<|return|>",
           "reasoning The user <3 greets.|content Hello!");
    expect("HARMONY",
           "<|channel|>analysis<|message|>Need it.<|end|><|start|>assistant<|channel|>commentary<|message|>I look.<|end|>"
           "<|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"
           "{\"city\":\"Ulm\"}<|call|>",
           "reasoning Need it.|content I look.|call 0 get_weather|arguments {\"city\":\"Ulm\"}|end 0");
    expect("HARMONY", " to=functions.now<|channel|>commentary json<|message|>{}", "call 0 now|arguments {}|end 0");
    expect("HARMONY", "<|channel|>commentary to=functions.now<|message|><|call|>", "call 0 now|arguments {}|end 0");
    expect("HARMONY", "<|channel|>commentary to=functions.now<|message|>{\"a\": 1", "call 0 now|arguments {\"a\": 1|end 0 broken");
    expect("HARMONY", "Just text.", "content Just text.");
    expect("HARMONY", "<|channel|>analysis<|message|>a<|channel|>final<|message|>b<|end|><|start|>assist", "reasoning a|content b");
    expect("HARMONY", "<|channel|>final", "");
    expect("HARMONY", "<|channel|>analysis<|channel|>final<|message|>So.", "content So.");
    expect("HARMONY", "<|channel|>final<|channel|>analysis<|message|>Hm.", "reasoning Hm.");
    expect("HARMONY",
           "<|channel|>analysis<|message|>Plan.<|end|><|start|>assistant<|channel|>commentary to=assistant<|channel|>final<|message|>So.",
           "reasoning Plan.|content So.");
    expect("HARMONY", "<|channel|>final<|message|>b<|end|>assistant", "content b");
}

static void others(void **state) {
    (void)state;
    const char *want = "call 0 now|arguments {\"a\": [{}]}|end 0";
    expect("PHI4", "<|tool_call|>[{\"name\": \"now\", \"arguments\": {\"a\": [{}]}}]<|/tool_call|>", want);
    expect("GRANITE", "<tool_call>[{\"name\": \"now\", \"arguments\": {\"a\": [{}]}}]", want);
    expect("GRANITE", "<|tool_call|>[{\"name\": \"now\", \"arguments\": {\"a\": [{}]}}]", want);
    expect("NEMOTRON", "<TOOLCALL>[{\"name\": \"now\", \"arguments\": {\"a\": [{}]}}]</TOOLCALL>", want);
    expect("COMMAND_R",
           "<|START_ACTION|>[\n{\"tool_call_id\": \"0\", \"tool_name\": \"now\", \"parameters\": {\"a\": "
           "[{}]}}\n]<|END_ACTION|>",
           want);
    expect("FUNCTIONARY", "<function=now>{\"a\": [{}]}</function>", want);
    expect("GENERIC", "<tool_call>\n{\"name\": \"now\", \"arguments\": {\"a\": [{}]}}\n</tool_call>", want);
}

/* ---- reasoning ---- */

/* A model that forgets to close its reasoning before it calls. */
static void calls_in_reasoning(void **state) {
    (void)state;
    struct output_options o = options("QWEN3_CODER", "<think>");
    o.reasoning_open = true;
    expect_with(&o, "I look.\n<tool_call>\n<function=now>\n</function>\n</tool_call>", "reasoning I look.|call 0 now|arguments {}|end 0");
    expect_with(&o, "I look.\n<function=now>\n</function>\n</tool_call>", "reasoning I look.|call 0 now|arguments {}|end 0");
    expect_with(&o, "I could <tool_call>\n<function=now>\n</function>\n</tool_call>.</think>No.",
                "reasoning I could <tool_call>\n<function=now>\n</function>\n</tool_call>.|content No.");
    expect_with(&o, "A <tool_call> is a tag. <tool_call><function=now></function></tool_call>",
                "reasoning A <tool_call> is a tag.|call 0 now|arguments {}|end 0");
    expect_with(&o, "A <tool_call><function=other></function></tool_call> of nobody",
                "reasoning A <tool_call><function=other></function></tool_call> of nobody");
    expect_with(&o, "Cut <tool_call>\n<function=no", "reasoning Cut");
    expect_with(&o, "I <think>.</think>A <tool_call><function=now></function></tool_call> B",
                "reasoning I <think>.|content A|call 0 now|arguments {}|end 0|content B");
    o = options("KIMI", "<think>");
    o.reasoning_open = true;
    expect_with(&o,
                "I look.<|tool_calls_section_begin|><|tool_call_begin|>functions.now:0<|tool_call_argument_begin|>{}<|tool_call_end|>"
                "<|tool_calls_section_end|>",
                "reasoning I look.|call 0 now|arguments {}|end 0");
}

/* A mark that is only mentioned waits for the end of the reasoning, but not for ever. */
static void what_waits_in_reasoning_is_bounded(void **state) {
    (void)state;
    struct output_options o = options("HERMES", "<think>");
    o.reasoning_open = true;
    struct buf text;
    struct seen whole, cut;
    size_t cuts[] = {100, OUTPUT_MAX_HELD, OUTPUT_MAX_HELD + 8, OUTPUT_MAX_HELD + 9, OUTPUT_MAX_HELD + 20};
    buf_init(&text, 1 << 24);
    buf_append_str(&text, "A <tool_call>");
    while (text.len < 2 * OUTPUT_MAX_HELD) buf_append_byte(&text, 'x');
    buf_append_str(&text, "<tool_call>{\"name\": \"now\"}</tool_call>");
    run(&o, (const char *)text.data, text.len, NULL, 0, &whole);
    run(&o, (const char *)text.data, text.len, cuts, ARRAY_LEN(cuts), &cut);
    assert_string_equal(buf_cstr(&whole.text), buf_cstr(&cut.text));
    assert_non_null(strstr(buf_cstr(&whole.text), "x|call 0 now|arguments {}|end 0"));
    buf_done(&whole.text);
    buf_done(&cut.text);
    buf_done(&text);
}

static void frames(void **state) {
    (void)state;
    struct output_options o = options("TOOL_CALLS", "<think> <answer>");
    assert_string_equal(o.reasoning->name, "HUNYUAN");
    expect_with(&o, "<think>\na\n</think>\n<answer>\nIt is <answer>.\n</answer>", "reasoning a|content It is <answer>.");
    o.reasoning_open = true;
    expect_with(&o, "a</think><answer>b</answer><tool_calls>[{\"name\": \"now\"}]</tool_calls>",
                "reasoning a|content b|call 0 now|arguments {}|end 0");
    o = options("HERMES", "<think> <response>");
    expect_with(&o, "<think>a</think>\n\n<response>\nb\n</response>\n", "reasoning a|content b");
    o = options("KIMI_K3", "<|open|> <|sep|>");
    o.reasoning_open = true;
    expect_with(&o, "a<|close|>think<|sep|><|open|>response<|sep|>b<|close|>response<|sep|><|close|>message<|sep|><|end_of_msg|>",
                "reasoning a|content b");
    o = options("SOLAR", "<|think|> <|tool_calls|>");
    expect_with(&o, "<|think|>a<|end|><|begin|>assistant<|content|>b<|end|>", "reasoning a|content b");
    expect_with(&o, "<|content|>b<|flush|>", "content b");
    o = options("GEMMA4", "<|channel>thought\n<channel|>");
    expect_with(&o, "<|channel>thought\na\n<channel|>b", "reasoning a|content b");
    o = options("TOOL_CALLS", "Here are my reasoning steps:\n [BEGIN FINAL RESPONSE] <thinking>");
    assert_string_equal(o.reasoning->name, "APRIEL");
    o.reasoning_open = toolcall_reasoning_open(o.reasoning, "\nHere are my reasoning steps:\n", 30);
    assert_true(o.reasoning_open);
    expect_with(&o, "a\n[BEGIN FINAL RESPONSE]\nb\n[END FINAL RESPONSE]\n", "reasoning a|content b");
}

/* An end of reasoning without a beginning: its mark is not shown, and thought and answer are kept apart. */
static void closed_but_not_opened(void **state) {
    (void)state;
    struct output_options o = options("HERMES", "<think>");
    expect_with(&o, "I think.</think>The answer.", "content I think.\n\nThe answer.");
    expect_with(&o, "</think>\n\nThe </think> tag.", "content The </think> tag.");
}

/* Text at the beginning waits: the mark that closes reasoning says what it was. */
static void closed_but_not_opened_is_known_in_time(void **state) {
    (void)state;
    struct output_options o = options("HERMES", "<think>");
    o.hold = 64;
    expect_with(&o, "I think.</think>The answer.", "reasoning I think.|content The answer.");
    expect_with(&o, "I think.\n\n</think>\n\nIt is </think>.", "reasoning I think.|content It is </think>.");
    expect_with(&o, "</think>Yes.", "content Yes.");
    expect_with(&o, "<think>a</think>b", "reasoning a|content b");
    expect_with(&o, "No thought.", "content No thought.");
    expect_with(&o, "I look.</think><tool_call>{\"name\": \"now\", \"arguments\": {}}</tool_call>",
                "reasoning I look.|call 0 now|arguments {}|end 0");
    expect_with(&o, "I look.<tool_call>{\"name\": \"now\", \"arguments\": {}}</tool_call>",
                "content I look.|call 0 now|arguments {}|end 0");
    char longer[100], *text, *seen;
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    text = mem_printf("%s</think>y", longer); /* it didn't wait that long */
    seen = mem_printf("content %s\n\ny", longer);
    expect_with(&o, text, seen);
    free(text);
    free(seen);
    const struct toolcall_reasoning *r = o.reasoning;
    assert_true(toolcall_reasoning_begins(r, "{{ content.split('</think>')[-1] }}"));
    assert_false(toolcall_reasoning_begins(r, "<think></think>"));
    assert_true(toolcall_reasoning_closed(r, "<think>\n\n</think>\n\n", 19) && !toolcall_reasoning_closed(r, "<think>\n", 8));
}

static void reasoning(void **state) {
    (void)state;
    struct output_options o = options("HERMES", "{{ '<think>' }}");
    expect_with(&o, "\n<think>\nLet <tool_call> be.\n</think>\n\nIt is <think>.", "reasoning Let <tool_call> be.|content It is <think>.");
    expect_with(&o, "<think>\n\n</think>\n\nHi", "content Hi");
    expect_with(&o, "<think>endless", "reasoning endless");
    expect_with(&o, "No thought.", "content No thought.");
    o.reasoning_open = true;
    expect_with(&o, "<think>\nTwice open.</think><tool_call>{\"name\": \"now\", \"arguments\": {}}</tool_call>",
                "reasoning Twice open.|call 0 now|arguments {}|end 0");
    o.n_tools = 0;
    expect_with(&o, "x</think><tool_call>{\"name\": \"now\", \"arguments\": {}}</tool_call>",
                "reasoning x|content <tool_call>{\"name\": \"now\", \"arguments\": {}}</tool_call>");
    const char *prompt = "<|im_start|>assistant\n<think>\n";
    assert_true(toolcall_reasoning_open(o.reasoning, prompt, strlen(prompt)));
    prompt = "<think>\n\n</think>\n\n";
    assert_false(toolcall_reasoning_open(o.reasoning, prompt, strlen(prompt)));
    assert_false(toolcall_reasoning_open(o.reasoning, "", 0));
}

static void one_call_only(void **state) {
    (void)state;
    struct output_options o = options("HERMES", NULL);
    o.max_calls = 1;
    expect_with(&o,
                "<tool_call>{\"name\": \"now\", \"arguments\": {\"a\": 1}}</tool_call><tool_call>{\"name\": \"now\", \"arguments\": {}}"
                "</tool_call>",
                "call 0 now|arguments {\"a\": 1}|end 0");
}

/* ---- bounds ---- */

static void hostile(void **state) {
    (void)state;
    struct {
        const char *format, *unit;
        size_t repeat;
    } samples[] = {{"HERMES", "<tool_call>", 20000},
                   {"HERMES", "<tool_call>{\"arguments\": {\"", 8000},
                   {"HERMES", " \n", 200000},
                   {"GLM", "<tool_call>now\n<arg_key>", 9000},
                   {"HARMONY", "<|channel|>", 20000},
                   {"HARMONY", "<|start|>x<|message|>", 9000},
                   {"KIMI", "<|tool_calls_section_begin|><|tool_call_begin|>", 5000},
                   {"LLAMA3", "{\"", 100000}};
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        struct output_options o = options(samples[i].format, NULL);
        struct buf text;
        buf_init(&text, 1 << 24);
        for (size_t k = 0; k < samples[i].repeat; k++) buf_append_str(&text, samples[i].unit);
        struct seen a, b;
        size_t cuts[64];
        for (size_t k = 0; k < ARRAY_LEN(cuts); k++) cuts[k] = text.len / 65 * (k + 1);
        run(&o, (const char *)text.data, text.len, NULL, 0, &a);
        run(&o, (const char *)text.data, text.len, cuts, ARRAY_LEN(cuts), &b);
        assert_string_equal(buf_cstr(&a.text), buf_cstr(&b.text));
        buf_done(&a.text);
        buf_done(&b.text);
        buf_done(&text);
    }
}

/* Arguments before the name are held, but not for ever. */
static void held_is_bounded(void **state) {
    (void)state;
    struct output_options o = options("HERMES", NULL);
    struct buf text;
    buf_init(&text, 1 << 24);
    for (int known = 0; known < 2; known++) { /* arguments, or some other key */
        buf_clear(&text);
        buf_append_str(&text, known ? "<tool_call>{\"arguments\": {\"a\": \"" : "<tool_call>{\"other\": {\"a\": \"");
        for (size_t k = 0; k < OUTPUT_MAX_HELD; k++) buf_append_byte(&text, 'x');
        buf_append_str(&text, "\"}, \"name\": \"now\"}</tool_call>");
        for (size_t cut = 0; cut < 3; cut++) {
            struct seen s;
            size_t cuts[] = {OUTPUT_MAX_HELD / 2, OUTPUT_MAX_HELD, OUTPUT_MAX_HELD + 1};
            run(&o, (const char *)text.data, text.len, cuts, cut, &s);
            assert_int_equal(s.text.len, strlen("content ") + text.len);
            buf_done(&s.text);
        }
    }
    buf_done(&text);
}

/* The limit falls into the name: it is the same limit wherever the text is cut. */
static void held_ends_in_the_name(void **state) {
    (void)state;
    struct output_options o = options("HERMES", NULL);
    static const char before[] = "<tool_call>{\"other\": \"", after[] = "\", \"name\": \"now\", \"arguments\": {}}</tool_call>";
    struct buf text;
    buf_init(&text, 1 << 24);
    for (size_t over = 0; over < 24; over++) {
        struct seen whole, cut;
        size_t cuts[] = {OUTPUT_MAX_HELD - 1, OUTPUT_MAX_HELD, OUTPUT_MAX_HELD + 1, OUTPUT_MAX_HELD + 2};
        buf_clear(&text);
        buf_append_str(&text, before);
        while (text.len < OUTPUT_MAX_HELD - over) buf_append_byte(&text, 'x');
        buf_append_str(&text, after);
        run(&o, (const char *)text.data, text.len, NULL, 0, &whole);
        run(&o, (const char *)text.data, text.len, cuts, ARRAY_LEN(cuts), &cut);
        assert_string_equal(buf_cstr(&whole.text), buf_cstr(&cut.text));
        buf_done(&whole.text);
        buf_done(&cut.text);
    }
    buf_done(&text);
}

/* ---- what else the table tells ---- */

static void detection(void **state) {
    (void)state;
    static const struct {
        const char *tmpl, *format;
    } samples[] = {{"{{ '<|start|>assistant<|channel|>final<|message|>' }}", "HARMONY"},
                   {"... <tool_call>\\n{\"name\": <function-name>", "HERMES"},
                   {"<tool_call>{{ tc.name }}\\n<arg_key>{{ k }}</arg_key>", "GLM"},
                   {"<tool_call>\\n<function=x>\\n<parameter=y>", "QWEN3_CODER"},
                   {"[TOOL_CALLS] [", "MISTRAL"},
                   {"[TOOL_CALLS]' + name + '[ARGS]", "MISTRAL_ARGS"},
                   {"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>' + '\\n```json", "DEEPSEEK_R1"},
                   {"<｜tool▁calls▁begin｜>"
                    "",
                    "DEEPSEEK_V31"},
                   {"<|tool_calls_section_begin|>", "KIMI"},
                   {"<|start_header_id|> Respond in the format {\"name\": function name, \"parameters\": dictionary", "LLAMA3"},
                   {"{% for m in messages %}<|im_start|>{{ m.role }}", "GENERIC"},
                   {NULL, "GENERIC"}};
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) assert_string_equal(toolcall_detect(samples[i].tmpl)->name, samples[i].format);
    assert_null(toolcall_detect_reasoning("plain"));
    assert_string_equal(toolcall_detect_reasoning("content.split('</think>')")->name, "THINK");
}

static void ids(void **state) {
    (void)state;
    char a[TOOLCALL_MAX_ID], b[TOOLCALL_MAX_ID];
    toolcall_make_id(TOOLCALL_IDS_OPENAI, 1, 0, a);
    toolcall_make_id(TOOLCALL_IDS_OPENAI, 1, 1, b);
    assert_int_equal(strlen(a), 29);
    assert_memory_equal(a, "call_", 5);
    assert_string_not_equal(a, b);
    toolcall_make_id(TOOLCALL_IDS_OPENAI, 2, 0, b);
    assert_string_not_equal(a, b);
    toolcall_make_id(TOOLCALL_IDS_NINE, 1, 0, a);
    assert_int_equal(strlen(a), 9);
}

static void keep_id(void *user, const struct output_event *ev) {
    if (ev->kind == OUTPUT_CALL) buf_printf(user, "%s ", ev->id);
}

static void model_ids(void **state) {
    (void)state;
    struct output_options o = options("KIMI", NULL);
    struct buf got;
    buf_init(&got, 1024);
    struct output *out = output_create(&o, keep_id, &got);
    const char *text = "<|tool_calls_section_begin|><|tool_call_begin|>functions.now:3<|tool_call_argument_begin|>{}<|tool_call_end|>";
    output_push(out, text, strlen(text));
    output_finish(out);
    assert_string_equal(buf_cstr(&got), "functions.now:3 ");
    output_free(out);
    buf_done(&got);
}

static void wanted_marks(void **state) {
    (void)state;
    struct output_options o = options("MISTRAL", "[THINK]");
    struct output *out = output_create(&o, keep_id, NULL);
    assert_true(output_wants(out, "[TOOL_CALLS]", 12));
    assert_true(output_wants(out, "[THINK]", 7));
    assert_false(output_wants(out, "</s>", 4));
    assert_false(output_wants(out, "[TOOL_CALLZ", 11));
    output_free(out);
    o.n_tools = 0;
    assert_true(output_needed(&o));
    o.reasoning = NULL;
    assert_false(output_needed(&o));
}

/* ---- the JSON scanner ---- */

static enum scan_result scan_all(const char *text, size_t *ret_used) {
    struct scan s;
    scan_init(&s);
    enum scan_result r = SCAN_MORE;
    size_t i = 0;
    while (r == SCAN_MORE && text[i] != '\0') r = scan_push(&s, text[i++]);
    *ret_used = r == SCAN_END_BEFORE || r == SCAN_BAD ? i - 1 : i;
    return r;
}

static void scanner(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum scan_result r;
        size_t used;
    } samples[] = {{"{}x", SCAN_END, 2},
                   {" {\"a\":[1,-2.5e+7,\"\\u00e9\\n\"],\"b\":{\"c\":null}} ", SCAN_END, 44},
                   {"[true,false]", SCAN_END, 12},
                   {"12,", SCAN_END_BEFORE, 2},
                   {"0.5}", SCAN_END_BEFORE, 3},
                   {"01", SCAN_END_BEFORE, 1},
                   {"\"x\"", SCAN_END, 3},
                   {"[]", SCAN_END, 2},
                   {"{a", SCAN_BAD, 1},
                   {"{\"a\" 1", SCAN_BAD, 5},
                   {"[1,]", SCAN_BAD, 3},
                   {"[1}", SCAN_BAD, 2},
                   {"tru3", SCAN_BAD, 3},
                   {"-x", SCAN_BAD, 1},
                   {"1.x", SCAN_BAD, 2},
                   {"\"\\x", SCAN_BAD, 2},
                   {"\"\\u12g", SCAN_BAD, 5},
                   {"{\"a\":1,}", SCAN_BAD, 7},
                   {"[1", SCAN_MORE, 2},
                   {"}", SCAN_BAD, 0}};
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        size_t used;
        enum scan_result r = scan_all(samples[i].text, &used);
        if (r != samples[i].r || used != samples[i].used)
            fail_msg("%s: result %d after %zu, expected %d after %zu", samples[i].text, r, used, samples[i].r, samples[i].used);
    }
    char deep[SCAN_MAX_DEPTH + 2];
    memset(deep, '[', sizeof(deep));
    deep[SCAN_MAX_DEPTH + 1] = '\0';
    size_t used;
    assert_int_equal(scan_all(deep, &used), SCAN_BAD);
    assert_int_equal(used, SCAN_MAX_DEPTH);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(hermes),
                                       cmocka_unit_test(hermes_not_calls),
                                       cmocka_unit_test(hermes_broken),
                                       cmocka_unit_test(llama),
                                       cmocka_unit_test(mistral),
                                       cmocka_unit_test(deepseek),
                                       cmocka_unit_test(kimi),
                                       cmocka_unit_test(glm),
                                       cmocka_unit_test(qwen_coder),
                                       cmocka_unit_test(harmony),
                                       cmocka_unit_test(others),
                                       cmocka_unit_test(calls_in_reasoning),
                                       cmocka_unit_test(what_waits_in_reasoning_is_bounded),
                                       cmocka_unit_test(frames),
                                       cmocka_unit_test(closed_but_not_opened),
                                       cmocka_unit_test(closed_but_not_opened_is_known_in_time),
                                       cmocka_unit_test(reasoning),
                                       cmocka_unit_test(one_call_only),
                                       cmocka_unit_test(hostile),
                                       cmocka_unit_test(held_is_bounded),
                                       cmocka_unit_test(held_ends_in_the_name),
                                       cmocka_unit_test(detection),
                                       cmocka_unit_test(ids),
                                       cmocka_unit_test(model_ids),
                                       cmocka_unit_test(wanted_marks),
                                       cmocka_unit_test(scanner)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
