/* SPDX-License-Identifier: MIT
 * Three chats are rendered: the first has a text as its answer, the second a call, the third two calls. The part of the second chat that
 * takes the place of the text is a call, as the model has to write it. Its names and values are known, so the rest of it is marks. */
#include "chat/derive.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "chat/derive_priv.h"
#include "chat/output.h"

#define PARAMETERS "{\"type\":\"object\",\"properties\":{\"probe_key\":{\"type\":\"string\"},\"probe_more\":{\"type\":\"integer\"}}}"
#define TOOL(name) "{\"type\":\"function\",\"function\":{\"name\":\"" name "\",\"description\":\"Probe\",\"parameters\":" PARAMETERS "}}"
#define ARGUMENTS  "{\"probe_key\": \"probe-value\", \"probe_more\": 7}"

static const struct toolcall_tool TOOLS[] = {{.name = DERIVE_NAME, .parameters = PARAMETERS},
                                             {.name = DERIVE_OTHER, .parameters = PARAMETERS}};

/* ---- the template's own calls ---- */

struct renderer {
    struct jinja_template *t;
    const struct jinja_limits *limits;
    const struct chat_caps *caps;
};

/* Renders a chat that ends with a message of the assistant with these fields. False: the template refuses it. */
static bool render(const struct renderer *r, const char *fields, struct buf *out) {
    const char *user = r->caps->typed_content ? "[{\"type\":\"text\",\"text\":\"Probe-user\"}]" : "\"Probe-user\"";
    char *text =
        mem_printf("{\"messages\":[{\"role\":\"user\",\"content\":%s},{\"role\":\"assistant\",%s}],\"add_generation_prompt\":false,"
                   "\"bos_token\":\"\",\"eos_token\":\"\",\"tools\":[%s,%s]}",
                   user, fields, TOOL(DERIVE_NAME), TOOL(DERIVE_OTHER));
    yyjson_doc *doc = json_read(text, strlen(text));
    yyjson_mut_doc *variables = yyjson_doc_mut_copy(doc, NULL);
    struct err ignored = {0};
    enum jinja_end end;
    buf_clear(out);
    err_code code = jinja_render(r->t, yyjson_mut_doc_get_root(variables), 0, r->limits, out, &end, &ignored);
    yyjson_mut_doc_free(variables);
    yyjson_doc_free(doc);
    free(text);
    return code == ERR_OK;
}

static char *call_fields(const struct renderer *r, bool two) {
    const char *arguments = r->caps->object_arguments ? ARGUMENTS : "\"{\\\"probe_key\\\": \\\"probe-value\\\", \\\"probe_more\\\": 7}\"";
    static const char call[] = "{\"id\":\"probe0001\",\"type\":\"function\",\"function\":{\"name\":\"%s\",\"arguments\":%s}}";
    char *first = mem_printf(call, DERIVE_NAME, arguments), *second = mem_printf(call, DERIVE_OTHER, arguments);
    char *fields = mem_printf("\"content\":\"\",\"tool_calls\":[%s%s%s]", first, two ? "," : "", two ? second : "");
    free(first);
    free(second);
    return fields;
}

/* Finds the text that takes the place of the plain answer. NULL: the template refuses the call. */
static char *render_call(const struct renderer *r, const char *plain, bool two) {
    char *fields = call_fields(r, two), *found = NULL;
    struct buf text;
    buf_init(&text, 1 << 20);
    if (render(r, fields, &text)) {
        const char *p = buf_cstr(&text);
        size_t len = text.len, plain_len = strlen(plain), from = 0, end = 0;
        while (from < len && from < plain_len && p[from] == plain[from]) from++;
        while (end < len - from && end < plain_len - from && p[len - 1 - end] == plain[plain_len - 1 - end]) end++;
        found = mem_strndup(p + from, len - from - end);
    }
    buf_done(&text);
    free(fields);
    return found;
}

/* ---- is it read back? ---- */

struct seen {
    struct buf arguments;
    uint32_t calls, whole, right;
    bool text;
};

static bool arguments_are_right(struct buf *arguments) {
    yyjson_doc *got = json_read(buf_cstr(arguments), arguments->len), *want = json_read(ARGUMENTS, strlen(ARGUMENTS));
    bool right = got != NULL && yyjson_equals(yyjson_doc_get_root(got), yyjson_doc_get_root(want));
    yyjson_doc_free(got);
    yyjson_doc_free(want);
    return right;
}

static void see(void *user, const struct output_event *ev) {
    struct seen *s = user;
    if (ev->kind == OUTPUT_CALL) s->calls++;
    if (ev->kind == OUTPUT_CALL) buf_clear(&s->arguments);
    if (ev->kind == OUTPUT_ARGUMENTS) buf_append(&s->arguments, ev->text, ev->len);
    if (ev->kind == OUTPUT_CALL_END) s->whole += ev->whole && arguments_are_right(&s->arguments);
    for (size_t i = 0; ev->kind == OUTPUT_CONTENT && i < ev->len; i++) s->text = s->text || strchr(" \t\r\n", ev->text[i]) == NULL;
}

/* How many calls does the parser find in the text? 0 if one of them is wrong. *ret_text: there is text beside them. */
static uint32_t calls_read(const struct toolcall_format *f, const struct toolcall_reasoning *reasoning, const char *text, bool *ret_text) {
    const struct output_options o = {.format = f, .reasoning = reasoning, .tools = TOOLS, .n_tools = ARRAY_LEN(TOOLS), .seed = 1};
    struct seen s = {.calls = 0};
    buf_init(&s.arguments, 1 << 16);
    struct output *out = output_create(&o, see, &s);
    output_push(out, text, strlen(text));
    output_finish(out);
    output_free(out);
    buf_done(&s.arguments);
    *ret_text = s.text;
    return s.calls == s.whole ? s.calls : 0;
}

/* ---- all ---- */

/* The row stands if nothing can be compared: answers of gpt-oss and Functionary begin in the middle of a header. */
static bool is_beyond(const struct toolcall_format *f) { return f->harmony || f->text_name != NULL; }

const struct toolcall_format *chat_derive(struct jinja_template *t, const char *tmpl, const struct jinja_limits *limits,
                                          const struct chat_caps *caps) {
    const struct toolcall_format *row = toolcall_detect(tmpl);
    const struct toolcall_reasoning *reasoning = toolcall_detect_reasoning(tmpl);
    const struct renderer r = {t, limits, caps};
    struct buf plain;
    if (is_beyond(row) || !caps->tool_calls || !caps->tools) return row;
    buf_init(&plain, 1 << 20);
    char *one = NULL, *two = NULL;
    bool text = false;
    if (render(&r, caps->typed_content ? "\"content\":[{\"type\":\"text\",\"text\":\"Probe-answer\"}]" : "\"content\":\"Probe-answer\"",
               &plain))
        one = render_call(&r, buf_cstr(&plain), false);
    if (one != NULL) two = render_call(&r, buf_cstr(&plain), true);
    if (one != NULL && (row->generic || calls_read(row, reasoning, one, &text) != 1)) {
        struct toolcall_format *made = chat_derive_marks(one, two);
        bool right = made != NULL && calls_read(made, NULL, one, &text) == 1 && !text;
        if (right && two != NULL) right = calls_read(made, NULL, two, &text) == 2 && !text;
        if (right) row = made;
        else toolcall_format_free(made);
    }
    free(one);
    free(two);
    buf_done(&plain);
    return row;
}
