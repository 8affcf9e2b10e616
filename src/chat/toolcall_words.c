/* SPDX-License-Identifier: MIT */
#include "chat/toolcall_words.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "chat/text.h"

static void append_tool(struct buf *out, yyjson_val *function) {
    const char *name = yyjson_get_str(yyjson_obj_get(function, "name"));
    yyjson_val *description = yyjson_obj_get(function, "description"), *parameters = yyjson_obj_get(function, "parameters");
    char *schema = parameters != NULL ? yyjson_val_write(parameters, 0, NULL) : NULL;
    buf_append_str(out, "{\"name\": ");
    text_append_json(out, name != NULL ? name : "", name != NULL ? strlen(name) : 0);
    if (yyjson_is_str(description)) {
        buf_append_str(out, ", \"description\": ");
        text_append_json(out, yyjson_get_str(description), yyjson_get_len(description));
    }
    buf_printf(out, ", \"parameters\": %s}\n", schema != NULL ? schema : "{}");
    free(schema);
}

static void append_tools(struct buf *out, yyjson_val *tools) {
    yyjson_val *tool;
    size_t i, n;
    buf_append_str(out, "You can call these functions. Each is described by its name, what it does, and a JSON schema of its arguments.\n"
                        "<tools>\n");
    yyjson_arr_foreach(tools, i, n, tool) append_tool(out, yyjson_obj_get(tool, "function"));
    buf_append_str(out, "</tools>\nTo call a function, write nothing but its name and arguments as JSON between these marks:\n<tool_call>\n"
                        "{\"name\": \"NAME\", \"arguments\": {ARGUMENTS}}\n</tool_call>\n"
                        "Its result is then given to you. Call a function only where it helps; otherwise answer in plain text.");
}

static const char *role_of(yyjson_mut_val *message) {
    const char *role = yyjson_mut_get_str(yyjson_mut_obj_get(message, "role"));
    return role != NULL ? role : "";
}

static void append_content(struct buf *out, yyjson_mut_val *message) {
    yyjson_mut_val *content = yyjson_mut_obj_get(message, "content"), *part;
    size_t i, n;
    if (yyjson_mut_is_str(content)) buf_append(out, yyjson_mut_get_str(content), yyjson_mut_get_len(content));
    yyjson_mut_arr_foreach(content, i, n, part) {
        yyjson_mut_val *text = yyjson_mut_obj_get(part, "text");
        if (yyjson_mut_is_str(text)) buf_append(out, yyjson_mut_get_str(text), yyjson_mut_get_len(text));
    }
}

static void set_text(yyjson_mut_doc *doc, yyjson_mut_val *message, const char *role, struct buf *text) {
    yyjson_mut_obj_put(message, yyjson_mut_str(doc, "role"), yyjson_mut_strcpy(doc, role));
    yyjson_mut_obj_put(message, yyjson_mut_str(doc, "content"), yyjson_mut_strncpy(doc, buf_cstr(text), text->len));
}

static void append_calls(struct buf *out, yyjson_mut_val *calls) {
    yyjson_mut_val *call;
    size_t i, n;
    yyjson_mut_arr_foreach(calls, i, n, call) {
        yyjson_mut_val *function = yyjson_mut_obj_get(call, "function");
        const char *name = yyjson_mut_get_str(yyjson_mut_obj_get(function, "name"));
        const char *arguments = yyjson_mut_get_str(yyjson_mut_obj_get(function, "arguments"));
        if (out->len > 0) buf_append_byte(out, '\n');
        buf_append_str(out, "<tool_call>\n{\"name\": ");
        text_append_json(out, name != NULL ? name : "", name != NULL ? strlen(name) : 0);
        buf_printf(out, ", \"arguments\": %s}\n</tool_call>", arguments != NULL && *arguments != '\0' ? arguments : "{}");
    }
}

static void results_end(yyjson_mut_doc *doc, yyjson_mut_val **open, struct buf *text) {
    if (*open != NULL) set_text(doc, *open, "user", text);
    *open = NULL;
    buf_clear(text);
}

/* Results that follow one another become one user message, since many templates want turns to alternate. */
static void results_to_text(yyjson_mut_doc *doc, yyjson_mut_val *chat) {
    yyjson_mut_arr_iter iter = yyjson_mut_arr_iter_with(chat);
    yyjson_mut_val *m, *open = NULL;
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    while ((m = yyjson_mut_arr_iter_next(&iter)) != NULL) {
        if (strcmp(role_of(m), "tool") != 0) {
            results_end(doc, &open, &text);
            continue;
        }
        if (open != NULL) {
            yyjson_mut_arr_iter_remove(&iter);
            buf_append_byte(&text, '\n');
        } else {
            open = m;
            yyjson_mut_obj_remove_key(m, "tool_call_id");
            yyjson_mut_obj_remove_key(m, "name");
        }
        buf_append_str(&text, "<tool_response>\n");
        append_content(&text, m);
        buf_append_str(&text, "\n</tool_response>");
    }
    results_end(doc, &open, &text);
    buf_done(&text);
}

void toolcall_words(yyjson_mut_doc *doc, yyjson_mut_val *chat, yyjson_val *tools) {
    struct buf text;
    yyjson_mut_val *m, *first = yyjson_mut_arr_get_first(chat);
    size_t i, n;
    buf_init(&text, SIZE_MAX - 1);
    yyjson_mut_arr_foreach(chat, i, n, m) {
        yyjson_mut_val *calls = yyjson_mut_obj_get(m, "tool_calls");
        if (yyjson_mut_arr_size(calls) == 0) continue;
        buf_clear(&text);
        append_content(&text, m);
        append_calls(&text, calls);
        set_text(doc, m, "assistant", &text);
        yyjson_mut_obj_remove_key(m, "tool_calls");
    }
    results_to_text(doc, chat);
    if (yyjson_arr_size(tools) > 0) {
        buf_clear(&text);
        if (strcmp(role_of(first), "system") != 0 && strcmp(role_of(first), "developer") != 0) {
            first = yyjson_mut_obj(doc);
            yyjson_mut_arr_prepend(chat, first);
        }
        append_content(&text, first);
        if (text.len > 0) buf_append_str(&text, "\n\n");
        append_tools(&text, tools);
        set_text(doc, first, "system", &text);
    }
    buf_done(&text);
}
