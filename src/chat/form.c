/* SPDX-License-Identifier: MIT
 * Brings messages into the form that a template takes. See render.h. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "chat/render_priv.h"

static bool is_str(yyjson_mut_val *v, const char *text) { return yyjson_mut_is_str(v) && yyjson_mut_equals_str(v, text); }

/* Joins the texts of a list of parts, a line for each. NULL: one of the parts is not text. The result belongs to doc. */
static yyjson_mut_val *joined_parts(yyjson_mut_doc *doc, yyjson_mut_val *parts) {
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    bool only_text = true, first = true;
    size_t i, n;
    yyjson_mut_val *part;
    yyjson_mut_arr_foreach(parts, i, n, part) {
        yyjson_mut_val *s = yyjson_mut_obj_get(part, "text");
        yyjson_mut_val *type = yyjson_mut_obj_get(part, "type");
        only_text = yyjson_mut_is_str(s) && (is_str(type, "text") || is_str(type, "input_text") || is_str(type, "output_text"));
        if (!only_text) break;
        if (!first) buf_append_byte(&text, '\n');
        buf_append(&text, yyjson_mut_get_str(s), yyjson_mut_get_len(s));
        first = false;
    }
    yyjson_mut_val *v = only_text ? yyjson_mut_strncpy(doc, buf_cstr(&text), text.len) : NULL;
    buf_done(&text);
    return v;
}

static yyjson_mut_val *one_part(yyjson_mut_doc *doc, yyjson_mut_val *text) {
    yyjson_mut_val *part = yyjson_mut_obj(doc), *list = yyjson_mut_arr(doc);
    yyjson_mut_obj_add_str(doc, part, "type", "text");
    yyjson_mut_obj_add_val(doc, part, "text", text);
    yyjson_mut_arr_append(list, part);
    return list;
}

static void form_content(const struct chat_caps *caps, yyjson_mut_doc *doc, yyjson_mut_val *m) {
    yyjson_mut_val *key = yyjson_mut_str(doc, "content"), *content = yyjson_mut_obj_get(m, "content"), *v = NULL;
    if (content == NULL || yyjson_mut_is_null(content)) {
        if (!caps->null_content) v = yyjson_mut_str(doc, "");
        else if (content == NULL) v = yyjson_mut_null(doc);
        content = v != NULL ? v : content;
    }
    if (yyjson_mut_is_arr(content) && !caps->typed_content) v = joined_parts(doc, content);
    if (yyjson_mut_is_str(content) && caps->typed_content) v = one_part(doc, v != NULL ? v : yyjson_mut_val_mut_copy(doc, content));
    if (v != NULL) yyjson_mut_obj_put(m, key, v);
}

static void form_arguments(const struct chat_caps *caps, yyjson_mut_doc *doc, yyjson_mut_val *function) {
    yyjson_mut_val *arguments = yyjson_mut_obj_get(function, "arguments"), *v = NULL;
    if (yyjson_mut_is_str(arguments) && caps->object_arguments) {
        yyjson_doc *parsed = NULL;
        struct err ignored;
        if (json_parse_exact(yyjson_mut_get_str(arguments), yyjson_mut_get_len(arguments), &parsed, &ignored) == ERR_OK &&
            yyjson_is_obj(yyjson_doc_get_root(parsed)))
            v = yyjson_val_mut_copy(doc, yyjson_doc_get_root(parsed));
        else if (yyjson_mut_get_len(arguments) == 0) v = yyjson_mut_obj(doc); /* some clients send "" for a call without arguments */
        yyjson_doc_free(parsed);
    } else if (yyjson_mut_is_obj(arguments) && !caps->object_arguments) {
        size_t len;
        char *text = yyjson_mut_val_write(arguments, 0, &len);
        v = yyjson_mut_strncpy(doc, text, len);
        free(text);
    }
    if (v != NULL) yyjson_mut_obj_put(function, yyjson_mut_str(doc, "arguments"), v);
}

/* Puts the reasoning of an earlier turn under the key that the template reads. */
static void form_reasoning(const struct chat_caps *caps, yyjson_mut_doc *doc, yyjson_mut_val *m) {
    yyjson_mut_val *reasoning = yyjson_mut_obj_get(m, "reasoning_content");
    if (!yyjson_mut_is_str(reasoning)) reasoning = yyjson_mut_obj_get(m, "reasoning");
    if (caps->reasoning_key == NULL || !yyjson_mut_is_str(reasoning) || yyjson_mut_obj_get(m, caps->reasoning_key) != NULL) return;
    yyjson_mut_obj_add_val(doc, m, caps->reasoning_key, yyjson_mut_val_mut_copy(doc, reasoning));
}

/* Marks a tool's result as an error in its text, if the template wouldn't show that. */
static void form_error(const struct chat_caps *caps, yyjson_mut_doc *doc, yyjson_mut_val *m) {
    yyjson_mut_val *content = yyjson_mut_obj_get(m, "content");
    if (caps->is_error || !yyjson_mut_is_true(yyjson_mut_obj_get(m, "is_error")) || !yyjson_mut_is_str(content)) return;
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    buf_append_str(&text, "Error: ");
    buf_append(&text, yyjson_mut_get_str(content), yyjson_mut_get_len(content));
    yyjson_mut_obj_put(m, yyjson_mut_str(doc, "content"), yyjson_mut_strncpy(doc, buf_cstr(&text), text.len));
    buf_done(&text);
}

static void form_message(const struct chat_caps *caps, yyjson_mut_doc *doc, yyjson_mut_val *m) {
    if (!caps->developer_role && is_str(yyjson_mut_obj_get(m, "role"), "developer"))
        yyjson_mut_obj_put(m, yyjson_mut_str(doc, "role"), yyjson_mut_str(doc, "system"));
    form_error(caps, doc, m);
    form_content(caps, doc, m);
    form_reasoning(caps, doc, m);
    yyjson_mut_val *calls = yyjson_mut_obj_get(m, "tool_calls"), *call;
    if (calls != NULL && (!yyjson_mut_is_arr(calls) || yyjson_mut_arr_size(calls) == 0))
        yyjson_mut_obj_remove_key(m, "tool_calls"); /* null and [] mean no calls, but templates ask whether the key is there */
    size_t i, n;
    yyjson_mut_arr_foreach(yyjson_mut_obj_get(m, "tool_calls"), i, n, call) {
        form_arguments(caps, doc, yyjson_mut_obj_get(call, "function"));
    }
}

/* Puts the text of a system message before that of a user message. */
static void prepend(yyjson_mut_doc *doc, yyjson_mut_val *user, yyjson_mut_val *system) {
    yyjson_mut_val *texts[] = {yyjson_mut_obj_get(system, "content"), yyjson_mut_obj_get(user, "content")};
    if (yyjson_mut_is_arr(texts[0]) && yyjson_mut_is_arr(texts[1])) {
        yyjson_mut_val *part;
        while ((part = yyjson_mut_arr_remove_last(texts[0])) != NULL) yyjson_mut_arr_prepend(texts[1], part);
        return;
    }
    if (!yyjson_mut_is_str(texts[0]) || !yyjson_mut_is_str(texts[1])) return;
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    buf_append(&text, yyjson_mut_get_str(texts[0]), yyjson_mut_get_len(texts[0]));
    buf_append_str(&text, "\n\n");
    buf_append(&text, yyjson_mut_get_str(texts[1]), yyjson_mut_get_len(texts[1]));
    yyjson_mut_obj_put(user, yyjson_mut_str(doc, "content"), yyjson_mut_strncpy(doc, buf_cstr(&text), text.len));
    buf_done(&text);
}

/* Adds the text of a system message to the message of the user or the system before it. False: there is no such message. */
static bool append_late(yyjson_mut_doc *doc, yyjson_mut_val *list, yyjson_mut_val *system) {
    yyjson_mut_val *last = yyjson_mut_arr_get_last(list), *role = yyjson_mut_obj_get(last, "role");
    if (!is_str(role, "user") && !is_str(role, "system")) return false;
    prepend(doc, system, last);
    yyjson_mut_obj_put(last, yyjson_mut_str(doc, "content"), yyjson_mut_val_mut_copy(doc, yyjson_mut_obj_get(system, "content")));
    return true;
}

err_code chat_form(const struct chat_caps *caps, yyjson_val *messages, yyjson_mut_doc *doc, yyjson_mut_val **ret, struct err *e) {
    yyjson_mut_val *list = yyjson_mut_arr(doc), *held = NULL;
    size_t i, n;
    yyjson_val *from;
    yyjson_arr_foreach(json_some(messages), i, n, from) {
        if (!yyjson_is_obj(from) || !yyjson_is_str(yyjson_obj_get(from, "role")))
            return err_set_field(e, ERR_INVALID, err_place("messages[%zu]", i).text, "expected an object with a \"role\"");
        yyjson_mut_val *m = yyjson_val_mut_copy(doc, from);
        form_message(caps, doc, m);
        yyjson_mut_val *role = yyjson_mut_obj_get(m, "role");
        bool late = yyjson_mut_arr_size(list) > 0 && !caps->late_system;
        if (is_str(role, "system") && (late || !caps->system_role)) {
            if (held == NULL && late && append_late(doc, list, m)) continue;
            if (held != NULL) prepend(doc, m, held);
            held = m;
            continue;
        }
        if (held != NULL && is_str(role, "user")) {
            prepend(doc, m, held);
            held = NULL;
        }
        yyjson_mut_arr_append(list, m);
    }
    if (held != NULL) { /* no user message follows */
        yyjson_mut_obj_put(held, yyjson_mut_str(doc, "role"), yyjson_mut_str(doc, "user"));
        yyjson_mut_arr_append(list, held);
    }
    *ret = list;
    return ERR_OK;
}

/* The variables, besides "enable_thinking", by which templates turn thinking on and off. If a variable has several rows, the first row
 * counts whose word the template names. on, off: the value as JSON; NULL: the template's default stays. */
static const struct {
    const char *name, *word, *on, *off;
} THINKING[] = {
    {"thinking", NULL, "true", "false"},
    {"thinking_mode", "chat", "\"thinking\"", "\"chat\""},
    {"thinking_mode", "off", "\"on\"", "\"off\""},
    {"thinking_mode", NULL, "\"enabled\"", "\"disabled\""},
    {"thinking_option", NULL, "\"on\"", "\"off\""},
    {"thinking_enabled", NULL, "true", "false"},
    {"use_thinking", NULL, "true", "false"},
    {"with_thinking", NULL, "true", "false"},
    {"think", NULL, "true", "false"},
    {"reasoning", NULL, "true", "false"},
    {"enable_reasoning", NULL, "true", "false"},
    {"use_reasoning", NULL, "true", "false"},
    {"reasoning_enabled", NULL, "true", "false"},
    {"thinking_budget", NULL, NULL, "0"},
    {"reasoning_effort", "no_think", NULL, "\"no_think\""},
    {"reasoning_effort", "none", NULL, "\"none\""},
};

static void set_json(yyjson_mut_doc *doc, yyjson_mut_val *root, const char *name, const char *json) {
    yyjson_doc *value = json_read(json, strlen(json));
    yyjson_mut_obj_put(root, yyjson_mut_str(doc, name), yyjson_val_mut_copy(doc, yyjson_doc_get_root(value)));
    yyjson_doc_free(value);
}

/* Passes "reasoning_effort" to a template that calls it "thinking_effort", as one of the words that the template knows. */
static void form_effort(const struct jinja_template *t, yyjson_mut_doc *doc, yyjson_mut_val *root) {
    static const char *const words[][2] = {{"minimal", "low"}, {"xhigh", "max"}};
    const char *effort = yyjson_mut_get_str(yyjson_mut_obj_get(root, "reasoning_effort"));
    if (effort == NULL || jinja_reads(t, "reasoning_effort") || !jinja_reads(t, "thinking_effort")) return;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcmp(effort, words[i][0]) == 0 && !jinja_names(t, effort)) effort = words[i][1];
    if (jinja_names(t, effort) && yyjson_mut_obj_get(root, "thinking_effort") == NULL)
        yyjson_mut_obj_add_str(doc, root, "thinking_effort", effort);
}

void chat_form_thinking(const struct jinja_template *t, yyjson_mut_doc *doc, yyjson_mut_val *root) {
    yyjson_mut_val *on = yyjson_mut_obj_get(root, "enable_thinking");
    form_effort(t, doc, root);
    if (!yyjson_mut_is_bool(on) || jinja_reads(t, "enable_thinking")) return;
    bool thinks = yyjson_mut_get_bool(on);
    for (size_t i = 0; i < ARRAY_LEN(THINKING); i++) {
        const char *value = thinks ? THINKING[i].on : THINKING[i].off;
        yyjson_mut_val *given = yyjson_mut_obj_get(root, THINKING[i].name);
        bool is_free = given == NULL || (!thinks && yyjson_mut_equals_str(given, "none")); /* the template may not know the API's word */
        if (value == NULL || !is_free || !jinja_reads(t, THINKING[i].name)) continue;
        if (THINKING[i].word == NULL || jinja_names(t, THINKING[i].word)) set_json(doc, root, THINKING[i].name, value);
    }
}
