/* SPDX-License-Identifier: MIT */
#include "chat/render.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "chat/derive.h"
#include "chat/render_priv.h"
#include "chat/toolcall_words.h"
#include "engine/template.h"

enum {
    KNOWN = 16,               /* templates that stay parsed */
    SHORT_CONTEXT = 64 << 10  /* bytes of messages for which no sound template needs all of its steps */
};

struct known {
    char *tmpl;                    /* owned; NULL: a free place */
    struct jinja_template *parsed; /* NULL: it can't be parsed */
    struct chat_caps caps;
    const struct toolcall_format *format; /* owned */
    const struct toolcall_reasoning *reasoning;
    struct err broken;             /* why the template is not used; code ERR_OK: it is used */
};

struct chat {
    struct jinja_limits limits;
    struct known known[KNOWN];
    size_t next;                   /* the place of the next template */
};

struct chat *chat_create(const struct jinja_limits *limits) {
    struct chat *c = MEM_NEW(struct chat);
    c->limits = limits != NULL ? *limits : jinja_limits_default();
    return c;
}

static void forget(struct known *k) {
    free(k->tmpl);
    toolcall_format_free(k->format);
    jinja_free(k->parsed);
    *k = (struct known){0};
}

void chat_free(struct chat *c) {
    if (c == NULL) return;
    for (size_t i = 0; i < KNOWN; i++) forget(&c->known[i]);
    free(c);
}

/* ---- templates ---- */

/* Says a template's error in words for people. */
static err_code explain(const struct err *why, enum jinja_end end, struct err *e) {
    char text[sizeof(why->text)];
    snprintf(text, sizeof(text), "%s", why->text);
    switch (end) {
    case JINJA_RAISED: return err_set(e, ERR_INVALID, "the model's chat template refuses these messages: %s", text);
    case JINJA_FAILED: return err_set(e, ERR_INVALID, "the model's chat template fails on these messages: %s", text);
    case JINJA_OUT_FULL: return err_set(e, ERR_LIMIT, "%s", text);
    default: return err_set(e, ERR_TEMPLATE, "the model's chat template %s", text);
    }
}

static void set_broken(struct known *k, const struct err *why) {
    k->broken = *why;
    err_hint(&k->broken, "it did so before and is not tried again; use /v1/completions with a prompt that you formatted yourself");
}

/* Parses it and finds out what it takes. */
static void get_to_know(struct chat *c, struct known *k) {
    struct err why = {0};
    char text[sizeof(why.text)];
    k->format = toolcall_detect(k->tmpl);
    k->reasoning = toolcall_detect_reasoning(k->tmpl);
    err_code code = jinja_parse(k->tmpl, strlen(k->tmpl), &k->parsed, &why);
    if (code == ERR_OK && chat_probe(k->parsed, &c->limits, &k->caps, &why) != ERR_OK) {
        explain(&why, JINJA_TOO_LONG, &why);
        set_broken(k, &why);
    } else if (code != ERR_OK) {
        snprintf(text, sizeof(text), "%s", why.text);
        err_set(&k->broken, code == ERR_LIMIT ? ERR_TEMPLATE : ERR_UNSUPPORTED, "the model's chat template cannot be parsed: %s", text);
        err_hint(&k->broken, "use /v1/completions with a prompt that you formatted yourself");
    } else {
        k->format = chat_derive(k->parsed, k->tmpl, &c->limits, &k->caps);
    }
}

static struct known *know(struct chat *c, const char *tmpl) {
    for (size_t i = 0; i < KNOWN; i++)
        if (c->known[i].tmpl != NULL && strcmp(c->known[i].tmpl, tmpl) == 0) return &c->known[i];
    struct known *k = &c->known[c->next];
    c->next = (c->next + 1) % KNOWN;
    forget(k);
    k->tmpl = mem_strdup(tmpl);
    get_to_know(c, k);
    return k;
}

err_code chat_caps(struct chat *c, const char *tmpl, struct chat_caps *ret, struct err *e) {
    const struct known *k = know(c, tmpl);
    if (k->broken.code != ERR_OK && e != NULL) *e = k->broken;
    if (k->broken.code == ERR_OK) *ret = k->caps;
    return k->broken.code;
}

/* ---- rendering ---- */

/* Takes the place of the text of a message that is to be continued, so that the template can't trim or interpret the text. */
static const char CONTINUED[] = "CaravanContinuesHere";

static void mark_last(yyjson_mut_doc *doc, yyjson_mut_val *messages) {
    yyjson_mut_val *last = yyjson_mut_arr_get_last(messages), *content = yyjson_mut_obj_get(last, "content");
    bool parts = yyjson_mut_is_arr(content);
    yyjson_mut_val *place = parts ? yyjson_mut_arr_get_last(content) : last;
    yyjson_mut_obj_put(place, yyjson_mut_str(doc, parts ? "text" : "content"), yyjson_mut_str(doc, CONTINUED));
}

/* Cuts the prompt at the mark and appends the message's own text. */
static err_code end_with_last(const struct chat_input *in, size_t start, struct buf *out, struct err *e) {
    yyjson_val *content = yyjson_obj_get(yyjson_arr_get_last(in->messages), "content");
    size_t at = out->len, n = strlen(CONTINUED);
    while (at >= start + n && memcmp(out->data + at - n, CONTINUED, n) != 0) at--;
    if (at < start + n)
        return err_set(e, ERR_UNSUPPORTED, "the model's chat template doesn't show the last message, so it can't be continued");
    out->len = at - n;
    buf_append(out, yyjson_get_str(content), yyjson_get_len(content));
    return ERR_OK;
}

static bool is_reserved(const char *name) {
    static const char *const names[] = {"messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

static err_code add_extra(yyjson_mut_doc *doc, yyjson_mut_val *root, yyjson_val *extra, struct err *e) {
    size_t i, n;
    yyjson_val *key, *value;
    if (extra != NULL && !yyjson_is_obj(extra)) return err_set(e, ERR_INVALID, "the template's further variables are not an object");
    yyjson_obj_foreach(json_some(extra), i, n, key, value) {
        if (is_reserved(yyjson_get_str(key)))
            return err_set(e, ERR_INVALID, "the template's variable \"%.40s\" cannot be set", yyjson_get_str(key));
        yyjson_mut_obj_put(root, yyjson_val_mut_copy(doc, key), yyjson_val_mut_copy(doc, value));
    }
    return ERR_OK;
}

/* Makes the template's variables. */
static err_code make_context(const struct chat_input *in, const struct known *k, yyjson_mut_doc *doc, struct err *e) {
    yyjson_mut_val *root = yyjson_mut_obj(doc), *messages = NULL;
    yyjson_mut_doc_set_root(doc, root);
    err_code code = chat_form(&k->caps, in->messages, doc, &messages, e);
    if (code != ERR_OK) return code;
    if (in->continue_final) mark_last(doc, messages);
    yyjson_mut_obj_add_val(doc, root, "messages", messages);
    yyjson_mut_obj_add_bool(doc, root, "add_generation_prompt", in->add_generation_prompt && !in->continue_final);
    yyjson_mut_obj_add_str(doc, root, "bos_token", in->bos != NULL ? in->bos : "");
    yyjson_mut_obj_add_str(doc, root, "eos_token", in->eos != NULL ? in->eos : "");
    bool tools = in->tools != NULL && yyjson_arr_size(in->tools) > 0;
    yyjson_mut_obj_add_val(doc, root, "tools", tools ? yyjson_val_mut_copy(doc, in->tools) : yyjson_mut_null(doc));
    if (in->documents != NULL) yyjson_mut_obj_add_val(doc, root, "documents", yyjson_val_mut_copy(doc, in->documents));
    code = add_extra(doc, root, in->extra, e);
    if (code == ERR_OK) chat_form_thinking(k->parsed, doc, root);
    return code;
}

/* Gives a message's text to libllama's templates, which take C strings: a NUL becomes U+FFFD. The text belongs to *ret_own, or to the
 * message. */
static const char *plain_text(yyjson_val *content, char **ret_own) {
    const char *text = yyjson_get_str(content);
    size_t len = yyjson_get_len(content);
    *ret_own = NULL;
    if (text == NULL || strlen(text) == len) return text;
    struct buf b;
    buf_init(&b, SIZE_MAX - 1);
    for (size_t i = 0; i < len; i++) buf_append(&b, text[i] != '\0' ? text + i : "\xEF\xBF\xBD", text[i] != '\0' ? 1 : 3);
    *ret_own = mem_strdup(buf_cstr(&b));
    buf_done(&b);
    return *ret_own;
}

/* Renders without Jinja: plain text messages, by a template that is built into libllama. */
static err_code render_built_in(const struct chat_input *in, struct buf *out, struct err *e) {
    size_t n = yyjson_arr_size(in->messages), count = 0, i, max;
    struct engine_message *list = mem_calloc(n, sizeof(*list));
    char **own = mem_calloc(n, sizeof(*own));
    yyjson_val *m;
    err_code code = yyjson_arr_size(in->tools) > 0 ? err_set(e, ERR_UNSUPPORTED, "tools need the model's own chat template") : ERR_OK;
    yyjson_arr_foreach(json_some(in->messages), i, max, m) {
        const char *role = yyjson_get_str(yyjson_obj_get(m, "role")), *content = plain_text(yyjson_obj_get(m, "content"), &own[i]);
        if (code != ERR_OK) continue;
        if (role == NULL || content == NULL || yyjson_obj_get(m, "tool_calls") != NULL)
            code = err_set(e, ERR_UNSUPPORTED, "message %zu: without the model's own template only plain text is possible", i);
        else list[count++] = (struct engine_message){role, content};
    }
    if (in->continue_final && count > 0) list[count - 1].content = CONTINUED;
    if (code == ERR_OK) code = engine_template_render(in->tmpl, list, count, in->add_generation_prompt && !in->continue_final, out, e);
    for (i = 0; i < n; i++) free(own[i]);
    free(own);
    free(list);
    return code;
}

/* Are the messages so short that a template which meets a limit with them must be broken? */
static bool is_short(const struct chat_input *in) {
    size_t len = 0;
    char *text = yyjson_val_write(in->messages, 0, &len);
    free(text);
    return len <= SHORT_CONTEXT;
}

static err_code render_jinja(struct chat *c, const struct chat_input *in, struct known *k, struct buf *out, struct err *e) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    struct err why = {0};
    enum jinja_end end = JINJA_DONE;
    err_code code = make_context(in, k, doc, &why);
    if (code == ERR_OK && jinja_render(k->parsed, yyjson_mut_doc_get_root(doc), in->now, &c->limits, out, &end, &why) != ERR_OK)
        code = explain(&why, end, &why);
    if (end == JINJA_TOO_LONG && is_short(in)) set_broken(k, &why);
    if (code != ERR_OK && e != NULL) *e = why;
    yyjson_mut_doc_free(doc);
    return code;
}

static err_code render_named(struct chat *c, const struct chat_input *in, struct known *k, struct buf *out, struct err *e) {
    struct err ignored = {0};
    err_code code = k == NULL ? ERR_UNSUPPORTED : k->broken.code;
    if (code == ERR_OK) code = render_jinja(c, in, k, out, e);
    else if (code == ERR_UNSUPPORTED) code = render_built_in(in, out, k == NULL ? e : &ignored);
    if (code != ERR_OK && k != NULL && k->broken.code != ERR_OK && e != NULL) *e = k->broken;
    return code;
}

/* Makes messages that tell of the tools, and of earlier calls and results, in words. The caller owns the document. */
static yyjson_doc *in_words(const struct chat_input *in) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *chat = yyjson_val_mut_copy(doc, in->messages);
    toolcall_words(doc, chat, in->tools);
    yyjson_doc *told = yyjson_mut_val_imut_copy(chat, NULL);
    yyjson_mut_doc_free(doc);
    return told;
}

err_code chat_render(struct chat *c, const struct chat_input *in, struct buf *out, struct chat_answer *ret, struct err *e) {
    if (in->tmpl == NULL || *in->tmpl == '\0') return engine_template_render(NULL, &(struct engine_message){"user", ""}, 1, false, out, e);
    size_t n = yyjson_arr_size(in->messages), start = out->len;
    if (n == 0) return err_set(e, ERR_INVALID, "no messages");
    if (n > ENGINE_MAX_MESSAGES) return err_set(e, ERR_LIMIT, "%zu messages, at most %d", n, ENGINE_MAX_MESSAGES);
    bool named = strpbrk(in->tmpl, "{ \n") == NULL; /* "chatml" */
    struct known *k = named ? NULL : know(c, in->tmpl);
    const struct toolcall_format *format = k != NULL ? k->format : toolcall_detect(NULL);
    struct chat_input told = *in;
    yyjson_doc *words = format->generic && in->words ? in_words(in) : NULL;
    if (words != NULL) told.messages = yyjson_doc_get_root(words);
    if (words != NULL) told.tools = NULL;
    err_code code = render_named(c, &told, k, out, e);
    if (code == ERR_OK && in->continue_final) code = end_with_last(&told, start, out, e);
    yyjson_doc_free(words);
    size_t bos_len = in->bos != NULL ? strlen(in->bos) : 0;
    bool has_bos = bos_len > 0 && out->len - start >= bos_len && memcmp(out->data + start, in->bos, bos_len) == 0;
    const struct toolcall_reasoning *reasoning = k != NULL ? k->reasoning : toolcall_detect_reasoning(in->tmpl);
    if (code == ERR_OK && ret != NULL) *ret = (struct chat_answer){.has_bos = has_bos, .format = format, .reasoning = reasoning};
    return code;
}
