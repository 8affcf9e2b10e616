/* SPDX-License-Identifier: MIT
 * POST /api/chat and /api/generate: Ollama's requests to the internal one, events to lines of JSON or one object. Pure. Shapes: Ollama's
 * API document, and the fields that its JavaScript client reads. Streams unless told not to. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "api/media.h"
#include "api/ollama_priv.h"
#include "api/openai_priv.h"
#include "api/tools.h"

/* ---- request ---- */

static err_code wrong_message(struct err *e, size_t i, const char *what, const char *expected) {
    return err_set_field(e, ERR_INVALID, err_place("messages[%zu]%s", i, what).text, "expected %s", expected);
}

static err_code parse_calls(yyjson_val *list, size_t i, struct api_request *r, yyjson_mut_val *message, struct err *e) {
    yyjson_val *call;
    size_t k, n;
    if (list == NULL || yyjson_is_null(list)) return ERR_OK;
    if (!yyjson_is_arr(list)) return wrong_message(e, i, ".tool_calls", "an array");
    yyjson_arr_foreach(list, k, n, call) {
        yyjson_val *function = yyjson_obj_get(call, "function"), *name = yyjson_obj_get(function, "name"), *id = yyjson_obj_get(call, "id");
        yyjson_val *arguments = yyjson_obj_get(function, "arguments");
        if (!yyjson_is_str(name)) return wrong_message(e, i, ".tool_calls", "calls with a function's name");
        if (arguments != NULL && !yyjson_is_obj(arguments) && !yyjson_is_str(arguments))
            return wrong_message(e, i, ".tool_calls", "arguments that are an object");
        const char *made = arena_printf(r->arena, "call_%zu_%zu", i, k);
        api_chat_call(r, message, yyjson_is_str(id) ? api_keep_str(r, id) : made, api_keep_str(r, name), api_keep_arguments(r, arguments));
    }
    return ERR_OK;
}

/* Pictures stand before the text of their message, as with Ollama. */
static err_code append_images(struct api_request *r, yyjson_val *images, const char *at, struct buf *out, struct err *e) {
    yyjson_val *image;
    size_t i, n;
    if (images != NULL && !yyjson_is_null(images) && !yyjson_is_arr(images))
        return err_set_field(e, ERR_INVALID, at, "expected an array of files as base64");
    yyjson_arr_foreach(json_some(images), i, n, image) {
        err_code code = api_media_add(r, image, at, out, e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

static err_code add_message(struct api_request *r, const char *role, yyjson_val *content, yyjson_val *images, const char *at,
                            yyjson_mut_val **ret, struct err *e) {
    struct buf text;
    buf_init(&text, SIZE_MAX - 1); /* bounded by the body */
    err_code code = append_images(r, images, at, &text, e);
    if (yyjson_is_str(content)) buf_append(&text, yyjson_get_str(content), yyjson_get_len(content));
    if (code == ERR_OK) *ret = api_chat_add(r, role, buf_cstr(&text), text.len);
    buf_done(&text);
    return code;
}

static err_code parse_message(yyjson_val *v, size_t i, struct api_request *r, struct err *e) {
    static const char *const roles[] = {"system", "user", "assistant", "tool"};
    yyjson_val *role = yyjson_obj_get(v, "role"), *content = yyjson_obj_get(v, "content"), *thinking = yyjson_obj_get(v, "thinking");
    yyjson_val *name = yyjson_obj_get(v, "tool_name"), *id = yyjson_obj_get(v, "tool_call_id");
    size_t k = 0;
    while (k < 4 && !yyjson_equals_str(role, roles[k])) k++;
    if (k == 4) return wrong_message(e, i, ".role", "\"system\", \"user\", \"assistant\" or \"tool\"");
    if (content != NULL && !yyjson_is_null(content) && !yyjson_is_str(content)) return wrong_message(e, i, ".content", "a string");
    yyjson_mut_val *m = NULL;
    err_code code = add_message(r, roles[k], content, yyjson_obj_get(v, "images"), err_place("messages[%zu].images", i).text, &m, e);
    if (code != ERR_OK) return code;
    if (yyjson_is_str(thinking)) api_chat_set(r, m, "reasoning_content", yyjson_get_str(thinking), yyjson_get_len(thinking));
    if (yyjson_is_str(name)) api_chat_set(r, m, "name", yyjson_get_str(name), yyjson_get_len(name));
    if (yyjson_is_str(id)) api_chat_set(r, m, "tool_call_id", yyjson_get_str(id), yyjson_get_len(id));
    return parse_calls(yyjson_obj_get(v, "tool_calls"), i, r, m, e);
}

static const struct api_tools_shape tools_shape = {.function = "function", .schema = "parameters"};

static err_code parse_format(yyjson_val *root, struct api_request *r, struct err *e) {
    yyjson_val *v = yyjson_obj_get(root, "format");
    r->format_field = "format";
    if (v == NULL || yyjson_is_null(v) || yyjson_equals_str(v, "")) return ERR_OK;
    if (yyjson_equals_str(v, "json")) {
        r->format = API_FORMAT_JSON;
    } else if (yyjson_is_obj(v)) {
        r->format = API_FORMAT_SCHEMA;
        r->schema = api_keep_json(r, v);
    } else {
        return api_wrong(e, "format", "\"json\" or a JSON schema");
    }
    return ERR_OK;
}

static bool is_effort(yyjson_val *v) {
    static const char *const efforts[] = {"low", "medium", "high", "max"};
    for (size_t i = 0; i < ARRAY_LEN(efforts); i++)
        if (yyjson_equals_str(v, efforts[i])) return true;
    return false;
}

static err_code parse_think(yyjson_val *root, struct api_request *r, struct err *e) {
    yyjson_val *v = yyjson_obj_get(root, "think");
    if (v == NULL || yyjson_is_null(v)) return ERR_OK;
    if (yyjson_is_bool(v)) {
        yyjson_mut_obj_add_bool(r->doc, r->chat_extra, "enable_thinking", yyjson_get_bool(v));
    } else if (is_effort(v)) {
        yyjson_mut_obj_add_bool(r->doc, r->chat_extra, "enable_thinking", true);
        api_chat_set(r, r->chat_extra, "reasoning_effort", yyjson_get_str(v), yyjson_get_len(v));
    } else {
        return api_wrong(e, "think", "true, false, \"low\", \"medium\", \"high\" or \"max\"");
    }
    return ERR_OK;
}

/* Reads "logprobs" and "top_logprobs", which stand beside the messages. */
static err_code parse_logprobs(yyjson_val *root, struct api_request *r, struct err *e) {
    err_code code = json_get_bool(root, "logprobs", &r->logprobs, e);
    uint32_t top = 0;
    if (code == ERR_OK) code = json_get_u32(root, "top_logprobs", ENGINE_MAX_TOP_LOGPROBS, &top, e);
    if (code == ERR_OK && top > 0 && !r->logprobs)
        return err_set_field(e, ERR_INVALID, "top_logprobs", "only allowed with \"logprobs\": true");
    r->sampling.n_top_logprobs = top;
    return code;
}

/* An option that no table knows is refused: nobody can tell whether the answer would mean the same without it. */
static err_code refuse_unknown(yyjson_val *options, struct err *e) {
    yyjson_val *key, *v;
    size_t i, n;
    yyjson_obj_foreach(options, i, n, key, v) {
        const char *name = yyjson_get_str(key);
        bool own = strcmp(name, "num_predict") == 0 || strcmp(name, "num_ctx") == 0 || strcmp(name, "stop") == 0;
        if (own || yyjson_is_null(v) || api_is_parameter(name)) continue;
        err_code code = err_set_field(e, ERR_UNSUPPORTED, err_place("%.80s", name).text, "no option of this name is known here");
        err_hint(e, "leave it out");
        return code;
    }
    return ERR_OK;
}

/* Reads "options": sampling parameters, whose names are ours too. Options for loading stand in tables/fields.def. */
static err_code read_options(yyjson_val *o, struct api_request *r, struct err *e) {
    int64_t limit = -1, context = 0;
    err_code code;
    if ((code = json_get_i64(o, "num_predict", -2, INT32_MAX, &limit, e)) != ERR_OK) return code;
    if ((code = json_get_i64(o, "num_ctx", 0, INT32_MAX, &context, e)) != ERR_OK) return code;
    if ((code = api_parse_stops(yyjson_obj_get(o, "stop"), "stop", r, e)) != ERR_OK) return code;
    r->max_tokens = limit < 0 ? -1 : (int32_t)limit;
    if ((code = api_parse_sampling(o, r, e)) != ERR_OK) return code;
    if ((code = api_refuse_fields(o, e)) != ERR_OK) return code;
    return refuse_unknown(o, e);
}

static err_code parse_options(yyjson_val *root, struct api_request *r, struct err *e) {
    yyjson_val *o = yyjson_obj_get(root, "options");
    if (o == NULL || yyjson_is_null(o)) return ERR_OK;
    if (!yyjson_is_obj(o)) return api_wrong(e, "options", "an object");
    err_code code = read_options(o, r, e);
    if (code != ERR_OK) err_in_object(e, "options");
    return code;
}

/* Reads a duration as Ollama's server does ("1h30m", "-1", "250ms"). A number alone is seconds. */
static bool read_duration(const char *text, double *ret) {
    static const struct {
        const char *name;
        double s;
    } units[] = {{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}};
    double sign = *text == '-' ? -1 : 1, sum = 0;
    const char *at = text + (*text == '-' || *text == '+');
    do {
        char *end;
        size_t k = 0, len;
        if (strspn(at, "0123456789.") == 0) return false;
        double n = strtod(at, &end); /* digits come first: no "inf", no second sign */
        at = end;
        len = strspn(at, "hmnsu");
        while (k < ARRAY_LEN(units) && (strlen(units[k].name) != len || strncmp(units[k].name, at, len) != 0)) k++;
        if (k == ARRAY_LEN(units) && (len > 0 || *at != '\0')) return false;
        sum += n * (len > 0 ? units[k].s : 1);
        at += len;
    } while (*at != '\0');
    *ret = sign * sum;
    return true;
}

err_code api_parse_keep(yyjson_val *root, struct api_request *r, struct err *e) {
    yyjson_val *v = yyjson_obj_get(root, "keep_alive");
    double s = yyjson_get_num(v);
    if (v == NULL || yyjson_is_null(v)) return ERR_OK;
    if (!yyjson_is_num(v) && !(yyjson_is_str(v) && strlen(yyjson_get_str(v)) == yyjson_get_len(v) && read_duration(yyjson_get_str(v), &s)))
        return api_wrong(e, "keep_alive", "seconds, or a duration like \"5m\" (0: unload it afterwards, negative: keep it)");
    r->has_keep = true;
    r->keep_s = s < 0 || s > INT32_MAX ? -1 : (int32_t)ceil(s);
    return ERR_OK;
}

static err_code parse_common(yyjson_val *root, struct api_request *r, struct err *e) {
    err_code code;
    if ((code = api_parse_model(root, r, e)) != ERR_OK) return code;
    api_chat_begin(r);
    r->stream = r->truncates = true;
    if ((code = json_get_bool(root, "truncate", &r->truncates, e)) != ERR_OK) return code;
    if ((code = json_get_bool(root, "stream", &r->stream, e)) != ERR_OK) return code;
    if ((code = api_refuse_fields(root, e)) != ERR_OK) return code;
    if ((code = parse_options(root, r, e)) != ERR_OK) return code;
    if ((code = parse_logprobs(root, r, e)) != ERR_OK) return code;
    if ((code = parse_format(root, r, e)) != ERR_OK) return code;
    if ((code = api_parse_keep(root, r, e)) != ERR_OK) return code;
    return parse_think(root, r, e);
}

static err_code chat_parse(yyjson_val *root, struct api_request *r, struct err *e) {
    err_code code = parse_common(root, r, e);
    yyjson_val *list = yyjson_obj_get(root, "messages"), *message;
    size_t i, n;
    if (code != ERR_OK) return code;
    if (list != NULL && !yyjson_is_null(list) && !yyjson_is_arr(list)) return api_wrong(e, "messages", "an array");
    if (yyjson_arr_size(list) > ENGINE_MAX_MESSAGES)
        return err_set_field(e, ERR_INVALID, "messages", "expected at most %d messages", ENGINE_MAX_MESSAGES);
    yyjson_arr_foreach(list, i, n, message) {
        if ((code = parse_message(message, i, r, e)) != ERR_OK) return code;
    }
    code = api_tools_parse(root, &tools_shape, r, e);
    return code == ERR_OK ? api_chat_end(root, r, e) : code;
}

static err_code generate_parse(yyjson_val *root, struct api_request *r, struct err *e) {
    yyjson_val *prompt = yyjson_obj_get(root, "prompt"), *system = yyjson_obj_get(root, "system"), *images = yyjson_obj_get(root, "images");
    yyjson_mut_val *message;
    bool raw = false;
    err_code code = parse_common(root, r, e);
    if (code == ERR_OK) code = json_get_bool(root, "raw", &raw, e);
    if (code != ERR_OK) return code;
    if (prompt != NULL && !yyjson_is_null(prompt) && !yyjson_is_str(prompt)) return api_wrong(e, "prompt", "a string");
    if (system != NULL && !yyjson_is_null(system) && !yyjson_is_str(system)) return api_wrong(e, "system", "a string");
    if ((code = api_parse_suffix(root, r, e)) != ERR_OK) return code;
    size_t len = yyjson_get_len(prompt);
    if (!yyjson_is_str(prompt) || len == 0) return ERR_OK; /* only asks for the model to be loaded */
    if (raw || r->suffix != NULL) {
        if (yyjson_get_len(images) > 0) return err_set_field(e, ERR_UNSUPPORTED, "images", "not with \"raw\" or \"suffix\"");
        r->prompts = arena_alloc(r->arena, sizeof(*r->prompts));
        r->prompts[r->n_prompts++] = api_prompt_text(r, prompt);
        return ERR_OK;
    }
    if (yyjson_get_len(system) > 0) api_chat_add(r, "system", yyjson_get_str(system), yyjson_get_len(system));
    return add_message(r, "user", prompt, images, "images", &message, e);
}

/* ---- answer ---- */

static void append_head(const struct api_answer *a, struct buf *out) {
    time_t t = (time_t)a->created;
    struct tm tm;
    char when[40];
    gmtime_r(&t, &tm);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
    buf_append_str(out, "{\"model\":");
    text_append_json(out, a->model, strlen(a->model));
    buf_printf(out, ",\"created_at\":\"%s\"", when);
}

static void append_text(struct buf *out, const char *key, const struct buf *text) {
    if (text->len == 0) return;
    buf_printf(out, ",\"%s\":", key);
    text_append_json(out, (const char *)text->data, text->len);
}

static void append_call(const struct api_choice_text *c, const struct api_item *item, struct buf *out) {
    buf_append_str(out, "{\"id\":");
    text_append_json(out, item->id, strlen(item->id));
    buf_append_str(out, ",\"function\":{\"name\":");
    text_append_json(out, item->name, strlen(item->name));
    buf_append_str(out, ",\"arguments\":");
    size_t len;
    const char *arguments = api_item_text(c, item, &len);
    for (size_t i = 0; i < len; i++) /* a line end inside the JSON would end the line of a stream */
        buf_append_byte(out, (uint8_t)arguments[i] < ' ' ? ' ' : (uint8_t)arguments[i]);
    buf_append_str(out, "}}");
}

static void append_end(const struct api_answer *a, struct buf *out) {
    const struct api_usage *u = &a->usage;
    const char *reason = a->n_choices == 0                           ? (a->unloads ? "unload" : "load")
                         : a->choices[0].finish == API_FINISH_LENGTH ? "length"
                                                                     : "stop";
    buf_printf(out, ",\"done\":true,\"done_reason\":\"%s\"", reason);
    if (a->n_choices > 0)
        buf_printf(out,
                   ",\"total_duration\":%" PRIu64 ",\"load_duration\":%" PRIu64 ",\"prompt_eval_count\":%" PRIu64
                   ",\"prompt_eval_duration\":%" PRIu64 ",\"eval_count\":%" PRIu64 ",\"eval_duration\":%" PRIu64,
                   1000 * (u->queued_us + u->prefill_us + u->decode_us), 1000 * u->queued_us, u->prompt_tokens, 1000 * u->prefill_us,
                   u->completion_tokens, 1000 * u->decode_us);
    buf_append_byte(out, '}');
}

static void append_logprobs(const struct api_answer *a, const struct api_token *tokens, size_t n, struct buf *out) {
    if (!a->request->logprobs) return;
    buf_append_str(out, ",\"logprobs\":");
    openai_append_logprobs(tokens, n, out);
}

static void append_message(const char *field, const char *text, size_t len, struct buf *out) {
    buf_append_str(out, ",\"message\":{\"role\":\"assistant\",\"content\":");
    text_append_json(out, field == NULL ? text : "", field == NULL ? len : 0);
    if (field != NULL) {
        buf_printf(out, ",\"%s\":", field);
        text_append_json(out, text, len);
    }
}

void ollama_error(err_code code, const struct err *e, const char *request, struct buf *out) {
    buf_append_str(out, "{\"error\":");
    api_error_append(code, e, out);
    api_error_append_request(request, out);
    buf_append_byte(out, '}');
}

/* Appends a line with the call that has just ended, or with the text of a call that was cut. */
static void stream_call(const struct api_answer *a, struct buf *out) {
    const struct api_choice_text *c = &a->choices[0];
    if (c->n_items == 0 || c->items[c->n_items - 1].kind != API_CALL) return;
    const struct api_item *item = &c->items[c->n_items - 1];
    bool cut = api_item_kind(item) == API_TEXT;
    size_t len;
    const char *text = api_item_text(c, item, &len);
    append_head(a, out);
    append_message(NULL, text, cut ? len : 0, out);
    if (!cut) {
        buf_append_str(out, ",\"tool_calls\":[");
        append_call(c, item, out);
        buf_append_byte(out, ']');
    }
    buf_append_str(out, "},\"done\":false}\n");
}

static void chat_stream(struct api_answer *a, const struct api_event *ev, struct buf *out) {
    switch (ev->kind) {
    case API_TEXT:
    case API_REASONING:
        if (ev->len == 0) break;
        append_head(a, out);
        append_message(ev->kind == API_REASONING ? "thinking" : NULL, ev->text, ev->len, out);
        buf_append_byte(out, '}');
        append_logprobs(a, ev->tokens, ev->n_tokens, out);
        buf_append_str(out, ",\"done\":false}\n");
        break;
    case API_CALL_END: stream_call(a, out); break;
    case API_END:
        append_head(a, out);
        append_message(NULL, "", 0, out);
        buf_append_byte(out, '}');
        append_end(a, out);
        buf_append_byte(out, '\n');
        break;
    case API_FAIL:
        ollama_error(ev->code, ev->err, ev->request, out);
        buf_append_byte(out, '\n');
        break;
    case API_BEGIN:
    case API_PROMPT:
    case API_CALL:
    case API_ARGUMENTS:
    case API_FINISH: break;
    }
}

static void chat_whole(struct api_answer *a, struct buf *out) {
    append_head(a, out);
    const struct api_choice_text none = {0}, *c = a->n_choices > 0 ? &a->choices[0] : &none;
    struct buf content;
    buf_init(&content, SIZE_MAX - 1);
    for (size_t i = 0; i < c->n_items; i++) {
        size_t len;
        const char *text = api_item_text(c, &c->items[i], &len);
        if (api_item_kind(&c->items[i]) == API_TEXT) buf_append(&content, text, len);
    }
    append_message(NULL, buf_cstr(&content), content.len, out);
    buf_done(&content);
    append_text(out, "thinking", &c->reasoning);
    bool calls = false;
    for (size_t i = 0; i < c->n_items; i++) {
        if (api_item_kind(&c->items[i]) != API_CALL) continue;
        buf_append_str(out, calls ? "," : ",\"tool_calls\":[");
        append_call(c, &c->items[i], out);
        calls = true;
    }
    buf_append_str(out, calls ? "]}" : "}");
    append_logprobs(a, c->tokens, c->n_tokens, out);
    append_end(a, out);
}

static void generate_stream(struct api_answer *a, const struct api_event *ev, struct buf *out) {
    bool thinking = ev->kind == API_REASONING;
    if (ev->kind == API_FAIL) {
        ollama_error(ev->code, ev->err, ev->request, out);
    } else if ((ev->kind == API_TEXT || thinking) && ev->len > 0) {
        append_head(a, out);
        buf_append_str(out, thinking ? ",\"response\":\"\",\"thinking\":" : ",\"response\":");
        text_append_json(out, ev->text, ev->len);
        append_logprobs(a, ev->tokens, ev->n_tokens, out);
        buf_append_str(out, ",\"done\":false}");
    } else if (ev->kind == API_END) {
        append_head(a, out);
        buf_append_str(out, ",\"response\":\"\"");
        append_end(a, out);
    } else {
        return;
    }
    buf_append_byte(out, '\n');
}

static void generate_whole(struct api_answer *a, struct buf *out) {
    const struct api_choice_text none = {0}, *c = a->n_choices > 0 ? &a->choices[0] : &none;
    append_head(a, out);
    buf_append_str(out, ",\"response\":");
    text_append_json(out, c->text.len > 0 ? (const char *)c->text.data : "", c->text.len);
    append_text(out, "thinking", &c->reasoning);
    append_logprobs(a, c->tokens, c->n_tokens, out);
    append_end(a, out);
}

const struct api api_ollama_chat = {
    .name = "ollama chat",
    .id_prefix = "ollama-",
    .stream_type = "application/x-ndjson",
    .whole_type = "application/json; charset=utf-8",
    .ping = " ", /* a blank before a line of JSON means nothing */
    .keeps_items = true,
    .may_be_empty = true,
    .parse = chat_parse,
    .stream = chat_stream,
    .whole = chat_whole,
    .error = ollama_error,
};

const struct api api_ollama_generate = {
    .name = "ollama generate",
    .id_prefix = "ollama-",
    .stream_type = "application/x-ndjson",
    .whole_type = "application/json; charset=utf-8",
    .ping = " ",
    .may_be_empty = true,
    .parse = generate_parse,
    .stream = generate_stream,
    .whole = generate_whole,
    .error = ollama_error,
};
