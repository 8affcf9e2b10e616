/* SPDX-License-Identifier: MIT */
#include "chat/render.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "chat/render_priv.h"
#include "engine/template.h"

enum { SHORT_CONTEXT = 64 << 10 }; /* bytes for which no honest template needs all of its time */

struct known {
    char *tmpl;                /* owned; NULL: the place is free */
    struct chat_caps caps;
    struct err broken;         /* code ERR_OK: it is not */
};

struct chat {
    struct jinja *jinja;
    struct known known[ENGINE_MAX_TEMPLATES];
    size_t next;               /* the place that the next template takes */
};

struct chat *chat_create(const struct jinja_limits *limits) {
    struct chat *c = MEM_NEW(struct chat);
    c->jinja = jinja_create(limits);
    return c;
}

void chat_free(struct chat *c) {
    if (c == NULL) return;
    for (size_t i = 0; i < ENGINE_MAX_TEMPLATES; i++) free(c->known[i].tmpl);
    jinja_free(c->jinja);
    free(c);
}

/* ---- what a template takes ---- */

#define PROBE_USER         "{\"role\":\"user\",\"content\":\"Probe-user\"}"
#define PROBE_PARTS        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Probe-user\"}]}"
#define PROBE_SYSTEM       "{\"role\":\"system\",\"content\":\"Probe-system\"}"
#define PROBE_SYSTEM_PARTS "{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"Probe-system\"}]}"
#define PROBE_CALL(content, arguments) \
    "{\"role\":\"assistant\",\"content\":" content ",\"tool_calls\":[{\"id\":\"probe0001\",\"type\":\"function\",\"function\":" \
    "{\"name\":\"probe_name\",\"arguments\":" arguments "}}]},"
#define PROBE_RESULT "{\"role\":\"tool\",\"name\":\"probe_name\",\"tool_call_id\":\"probe0001\",\"content\":\"Probe-result\"}"
#define PROBE_OBJECT "{\"probe_key\":\"probe-value\"}"
#define PROBE_TEXT   "\"{\\\"probe_key\\\":\\\"probe-value\\\"}\""

/* Renders these messages; false when that fails or when the prompt lacks `wanted`. The prompt is in out. ERR_LIMIT ends the probing. */
static bool probe(struct chat *c, const char *tmpl, const char *messages, const char *wanted, struct buf *out, struct err *e) {
    char *context = mem_printf("{\"messages\":[%s],\"add_generation_prompt\":true,"
                               "\"bos_token\":\"<s>\",\"eos_token\":\"</s>\",\"tools\":null}",
                               messages);
    buf_clear(out);
    *e = (struct err){0};
    err_code code = jinja_render(c->jinja, tmpl, strlen(tmpl), context, strlen(context), 0, out, e);
    free(context);
    return code == ERR_OK && strstr(buf_cstr(out), wanted) != NULL;
}

/* A value that the template took for text: what Python and JavaScript write in its place. */
static bool has_artefact(struct buf *out) {
    const char *text = buf_cstr(out);
    return strstr(text, "[object") != NULL || strstr(text, "None") != NULL || strstr(text, "null") != NULL ||
           strstr(text, "undefined") != NULL;
}

static void probe_tool_calls(struct chat *c, const char *tmpl, struct chat_caps *caps, struct buf *out, struct err *e) {
    static const char as_object[] = PROBE_USER "," PROBE_CALL("\"\"", PROBE_OBJECT) PROBE_RESULT;
    static const char as_text[] = PROBE_USER "," PROBE_CALL("\"\"", PROBE_TEXT) PROBE_RESULT;
    static const char null_object[] = PROBE_USER "," PROBE_CALL("null", PROBE_OBJECT) PROBE_RESULT;
    static const char null_text[] = PROBE_USER "," PROBE_CALL("null", PROBE_TEXT) PROBE_RESULT;
    bool null_object_fits = probe(c, tmpl, null_object, "probe-value", out, e) && strstr(buf_cstr(out), "probe_key") != NULL;
    bool null_clean = null_object_fits && !has_artefact(out);
    caps->object_arguments = null_clean || (probe(c, tmpl, as_object, "probe-value", out, e) && !has_artefact(out));
    caps->tool_calls = caps->object_arguments;
    caps->null_content = null_clean;
    if (caps->tool_calls || e->code == ERR_LIMIT) return;
    caps->null_content = probe(c, tmpl, null_text, "probe-value", out, e) && !has_artefact(out);
    caps->tool_calls = caps->null_content || probe(c, tmpl, as_text, "probe-value", out, e);
}

static err_code find_out(struct chat *c, const char *tmpl, struct chat_caps *caps, struct err *e) {
    struct buf out;
    struct err why = {0};
    buf_init(&out, 1 << 20);
    *caps = (struct chat_caps){.developer_role = strstr(tmpl, "developer") != NULL, .tools = strstr(tmpl, "tools") != NULL};
    bool plain = probe(c, tmpl, PROBE_USER, "Probe-user", &out, &why);
    if (!plain && why.code != ERR_LIMIT && why.code != ERR_UNSUPPORTED)
        caps->typed_content = probe(c, tmpl, PROBE_PARTS, "Probe-user", &out, &why);
    if (why.code != ERR_LIMIT && why.code != ERR_UNSUPPORTED)
        caps->system_role = probe(c, tmpl, caps->typed_content ? PROBE_SYSTEM_PARTS "," PROBE_PARTS : PROBE_SYSTEM "," PROBE_USER,
                                  "Probe-system", &out, &why);
    if (why.code != ERR_LIMIT && why.code != ERR_UNSUPPORTED) probe_tool_calls(c, tmpl, caps, &out, &why);
    buf_done(&out);
    if (why.code != ERR_LIMIT && why.code != ERR_UNSUPPORTED) return ERR_OK; /* it may refuse a probe: that is an answer */
    if (e != NULL) *e = why;
    return why.code;
}

static struct known *find_known(struct chat *c, const char *tmpl) {
    for (size_t i = 0; i < ENGINE_MAX_TEMPLATES; i++)
        if (c->known[i].tmpl != NULL && strcmp(c->known[i].tmpl, tmpl) == 0) return &c->known[i];
    return NULL;
}

static struct known *add_known(struct chat *c, const char *tmpl) {
    struct known *k = &c->known[c->next];
    c->next = (c->next + 1) % ENGINE_MAX_TEMPLATES;
    free(k->tmpl);
    *k = (struct known){.tmpl = mem_strdup(tmpl)};
    return k;
}

static void set_broken(struct known *k, const struct err *why) {
    k->broken = *why;
    err_hint(&k->broken, "it did so before and is not tried again; use /v1/completions with a prompt that you formatted yourself");
}

err_code chat_caps(struct chat *c, const char *tmpl, struct chat_caps *ret, struct err *e) {
    struct known *k = find_known(c, tmpl);
    if (k == NULL) {
        struct chat_caps caps;
        struct err why = {0};
        err_code code = find_out(c, tmpl, &caps, &why);
        if (code != ERR_OK && jinja_timed_out(c->jinja)) set_broken(add_known(c, tmpl), &why);
        if (code != ERR_OK && e != NULL) *e = why;
        if (code != ERR_OK) return code;
        k = add_known(c, tmpl);
        k->caps = caps;
    }
    if (k->broken.code != ERR_OK && e != NULL) *e = k->broken;
    if (k->broken.code == ERR_OK) *ret = k->caps;
    return k->broken.code;
}

/* ---- rendering ---- */

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

static err_code make_context(const struct chat_input *in, const struct chat_caps *caps, struct buf *ret, struct err *e) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc), *messages = NULL;
    yyjson_mut_doc_set_root(doc, root);
    err_code code = chat_form(caps, in->messages, doc, &messages, e);
    if (code == ERR_OK) {
        yyjson_mut_obj_add_val(doc, root, "messages", messages);
        yyjson_mut_obj_add_bool(doc, root, "add_generation_prompt", in->add_generation_prompt);
        yyjson_mut_obj_add_str(doc, root, "bos_token", in->bos != NULL ? in->bos : "");
        yyjson_mut_obj_add_str(doc, root, "eos_token", in->eos != NULL ? in->eos : "");
        bool tools = in->tools != NULL && yyjson_arr_size(in->tools) > 0;
        yyjson_mut_obj_add_val(doc, root, "tools", tools ? yyjson_val_mut_copy(doc, in->tools) : yyjson_mut_null(doc));
        if (in->documents != NULL) yyjson_mut_obj_add_val(doc, root, "documents", yyjson_val_mut_copy(doc, in->documents));
        code = add_extra(doc, root, in->extra, e);
    }
    if (code == ERR_OK) json_write(ret, doc);
    yyjson_mut_doc_free(doc);
    return code;
}

/* The way without Jinja: plain text messages, by a template that libllama knows. */
static err_code render_built_in(const struct chat_input *in, struct buf *out, struct err *e) {
    size_t n = yyjson_arr_size(in->messages), count = 0, i, max;
    struct engine_message *list = mem_calloc(n, sizeof(*list));
    yyjson_val *m;
    err_code code = yyjson_arr_size(in->tools) > 0 ? err_set(e, ERR_UNSUPPORTED, "tools need the model's own chat template") : ERR_OK;
    yyjson_arr_foreach(json_some(in->messages), i, max, m) {
        const char *role = yyjson_get_str(yyjson_obj_get(m, "role")), *content = yyjson_get_str(yyjson_obj_get(m, "content"));
        if (code != ERR_OK) break;
        if (role == NULL || content == NULL || yyjson_obj_get(m, "tool_calls") != NULL)
            code = err_set(e, ERR_UNSUPPORTED, "field \"messages[%zu]\": without the model's own template only plain text is possible", i);
        else list[count++] = (struct engine_message){role, content};
    }
    if (code == ERR_OK) code = engine_template_render(in->tmpl, list, count, in->add_generation_prompt, out, e);
    free(list);
    return code;
}

static err_code render_jinja(struct chat *c, const struct chat_input *in, const struct chat_caps *caps, struct buf *out, struct err *e) {
    struct buf context;
    struct err why = {0};
    buf_init(&context, SIZE_MAX - 1);
    err_code code = make_context(in, caps, &context, &why);
    if (code == ERR_OK) {
        code = jinja_render(c->jinja, in->tmpl, strlen(in->tmpl), buf_cstr(&context), context.len, in->now, out, &why);
        struct known *k = find_known(c, in->tmpl);
        if (code != ERR_OK && jinja_timed_out(c->jinja) && context.len <= SHORT_CONTEXT && k != NULL) set_broken(k, &why);
    }
    if (code != ERR_OK && e != NULL) *e = why;
    buf_done(&context);
    return code;
}

err_code chat_render(struct chat *c, const struct chat_input *in, struct buf *out, bool *ret_bos, struct err *e) {
    if (in->tmpl == NULL || *in->tmpl == '\0') return engine_template_render(NULL, &(struct engine_message){"user", ""}, 1, false, out, e);
    size_t n = yyjson_arr_size(in->messages), start = out->len;
    if (n == 0) return err_set(e, ERR_INVALID, "no messages");
    if (n > ENGINE_MAX_MESSAGES) return err_set(e, ERR_LIMIT, "%zu messages, at most %d", n, ENGINE_MAX_MESSAGES);
    struct chat_caps caps;
    struct err why = {0}, ignored = {0};
    bool named = strpbrk(in->tmpl, "{ \n") == NULL; /* "chatml" */
    err_code code = named ? ERR_UNSUPPORTED : chat_caps(c, in->tmpl, &caps, &why);
    if (code == ERR_UNSUPPORTED) {
        code = render_built_in(in, out, named ? e : &ignored);
        if (code != ERR_OK && !named && e != NULL) *e = why;
    } else if (code == ERR_OK) {
        code = render_jinja(c, in, &caps, out, e);
    } else if (e != NULL) {
        *e = why;
    }
    size_t bos_len = in->bos != NULL ? strlen(in->bos) : 0;
    if (code == ERR_OK && ret_bos != NULL)
        *ret_bos = bos_len > 0 && out->len - start >= bos_len && memcmp(out->data + start, in->bos, bos_len) == 0;
    return code;
}
