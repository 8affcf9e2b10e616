/* SPDX-License-Identifier: MIT
 * Fuzzes the parser of models' answers: the first two bytes choose the family and how the rest is cut. With any cut the same events come
 * out. Ids are as they should be, ends belong to beginnings, and the arguments of a call that ended whole are JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "chat/output.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const FORMATS[] = {
#define TOOLCALL(id, ...) #id,
#include "../../tables/toolcalls.def"
#undef TOOLCALL
};

static const struct toolcall_tool TOOLS[] = {
    {.name = "f", .parameters = "{\"properties\":{\"s\":{\"type\":\"string\"},\"i\":{\"type\":\"integer\"},\"e\":{\"enum\":[1,\"x\"]}}}"},
    {.name = "now"},
};

struct seen {
    struct buf text, arguments;
    enum output_kind kind;
    bool any, open;
};

static void check(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static void see(void *user, const struct output_event *ev) {
    struct seen *s = user;
    if (!s->any || s->kind != ev->kind || ev->kind == OUTPUT_CALL) buf_printf(&s->text, "|%d %u ", ev->kind, ev->call);
    s->any = true;
    s->kind = ev->kind;
    buf_append(&s->text, ev->text != NULL ? ev->text : "", ev->len);
    check(s->open == (ev->kind == OUTPUT_ARGUMENTS || ev->kind == OUTPUT_CALL_END), "a call inside a call, or arguments outside");
    if (ev->kind == OUTPUT_CALL) {
        s->open = true;
        buf_clear(&s->arguments);
        buf_append_str(&s->text, ev->id);
        check(ev->id[0] != '\0' && toolcall_name_valid(ev->text, ev->len), "the name or the id");
    } else if (ev->kind == OUTPUT_ARGUMENTS) {
        buf_append(&s->arguments, ev->text, ev->len);
    } else if (ev->kind == OUTPUT_CALL_END) {
        s->open = false;
        if (!ev->whole) return;
        yyjson_doc *doc = yyjson_read((const char *)s->arguments.data, s->arguments.len, YYJSON_READ_ALLOW_INVALID_UNICODE);
        check(doc != NULL, "whole arguments that are not JSON");
        yyjson_doc_free(doc);
    }
}

static void run(const struct output_options *o, const char *text, size_t len, unsigned cut, struct seen *s) {
    memset(s, 0, sizeof(*s));
    buf_init(&s->text, SIZE_MAX - 1);
    buf_init(&s->arguments, SIZE_MAX - 1);
    struct output *out = output_create(o, see, s);
    unsigned state = cut;
    for (size_t at = 0, n; at < len; at += n) {
        state = state * 1103515245u + 12345u;
        n = cut == 0 ? len : cut == 1 ? 1 : 1 + (state >> 16) % cut;
        if (n > len - at) n = len - at;
        output_push(out, text + at, n);
    }
    output_finish(out);
    check(!s->open, "a call without an end");
    output_free(out);
    buf_done(&s->arguments);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    struct output_options o = {
        .format = toolcall_format_named(FORMATS[data[0] % ARRAY_LEN(FORMATS)]), .tools = TOOLS, .n_tools = ARRAY_LEN(TOOLS), .seed = 1};
    if (data[1] & 64) o.reasoning = toolcall_detect_reasoning(data[1] & 32 ? "<think>" : "[THINK]");
    o.reasoning_open = (data[1] & 128) != 0;
    struct seen whole, cut, bytes;
    const char *text = (const char *)data + 2;
    run(&o, text, size - 2, 0, &whole);
    run(&o, text, size - 2, 2 + data[1] % 32, &cut);
    run(&o, text, size - 2, 1, &bytes);
    check(whole.text.len == cut.text.len && memcmp(buf_cstr(&whole.text), buf_cstr(&cut.text), cut.text.len) == 0, "cut somewhere");
    check(whole.text.len == bytes.text.len && memcmp(buf_cstr(&whole.text), buf_cstr(&bytes.text), bytes.text.len) == 0, "cut everywhere");
    buf_done(&whole.text);
    buf_done(&cut.text);
    buf_done(&bytes.text);
    return 0;
}
