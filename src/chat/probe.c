/* SPDX-License-Identifier: MIT
 * Finds out what a template takes by rendering small chats with it. See render.h. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "chat/render_priv.h"

struct prober {
    struct jinja_template *t;
    const struct jinja_limits *limits;
    struct buf out;   /* the last prompt */
    struct err why;   /* of the last failure */
    bool over;        /* a limit was met, and would be met again */
};

/* ---- one probe ---- */

#define USER         "{\"role\":\"user\",\"content\":\"Probe-user\"}"
#define USER_PARTS   "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Probe-user\"}]}"
#define SYSTEM       "{\"role\":\"system\",\"content\":\"Probe-system\"}"
#define SYSTEM_PARTS "{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"Probe-system\"}]}"
#define RESULT       "{\"role\":\"tool\",\"name\":\"probe_name\",\"tool_call_id\":\"probe0001\",\"content\":\"Probe-result\"}"
#define CALL         "\"tool_calls\":[{\"id\":\"probe0001\",\"type\":\"function\",\"function\":{\"name\":\"probe_name\",\"arguments\":%s}}]"

/* Renders these messages. False: that fails, or the prompt lacks `wanted`. */
static bool probe(struct prober *p, const char *messages, const char *wanted) {
    if (p->over) return false;
    char *text = mem_printf(
        "{\"messages\":[%s],\"add_generation_prompt\":true,\"bos_token\":\"<s>\",\"eos_token\":\"</s>\",\"tools\":null}", messages);
    yyjson_doc *doc = json_read(text, strlen(text));
    yyjson_mut_doc *variables = yyjson_doc_mut_copy(doc, NULL);
    enum jinja_end end;
    buf_clear(&p->out);
    err_code code = jinja_render(p->t, yyjson_mut_doc_get_root(variables), 0, p->limits, &p->out, &end, &p->why);
    p->over = code == ERR_LIMIT;
    yyjson_mut_doc_free(variables);
    yyjson_doc_free(doc);
    free(text);
    return code == ERR_OK && strstr(buf_cstr(&p->out), wanted) != NULL;
}

/* ---- tool calls ---- */

struct shown {
    bool value;        /* the arguments are in the prompt */
    bool escaped;      /* as JSON within JSON: the template was given text and wants an object */
    bool python;       /* as Python shows a mapping: the template was given an object and wants text */
    size_t artefacts;  /* words in the prompt that stand for a missing value */
};

static size_t count(const char *text, const char *word) {
    size_t n = 0;
    for (; (text = strstr(text, word)) != NULL; text += strlen(word)) n++;
    return n;
}

static struct shown probe_call(struct prober *p, const char *content, const char *arguments) {
    char *call = mem_printf(CALL, arguments);
    char *messages = mem_printf(USER ",{\"role\":\"assistant\",\"content\":%s,%s}," RESULT, content, call);
    struct shown s = {.value = probe(p, messages, "probe-value")};
    const char *text = buf_cstr(&p->out);
    if (s.value)
        s = (struct shown){.value = true,
                           .escaped = strstr(text, "\\\"probe_key") != NULL,
                           .python = strstr(text, "'probe_key'") != NULL,
                           .artefacts = count(text, "None") + count(text, "null") + count(text, "undefined")};
    free(messages);
    free(call);
    return s;
}

static void probe_calls(struct prober *p, struct chat_caps *caps) {
    static const char object[] = "{\"probe_key\":\"probe-value\"}", text[] = "\"{\\\"probe_key\\\":\\\"probe-value\\\"}\"";
    const struct shown objects[] = {probe_call(p, "\"\"", object), probe_call(p, "null", object)};
    const struct shown texts[] = {probe_call(p, "\"\"", text), probe_call(p, "null", text)};
    const struct shown *o = &objects[!objects[0].value], *t = &texts[!texts[0].value];
    caps->tool_calls = o->value || t->value;
    caps->object_arguments = o->value && (!o->python || !t->value || t->escaped);
    const struct shown *chosen = caps->object_arguments ? objects : texts;
    /* Only words that null adds count: the template's own text may contain "null". */
    caps->null_content = chosen[1].value && (!chosen[0].value || chosen[1].artefacts <= chosen[0].artefacts);
}

/* ---- reasoning ---- */

/* Finds the key of a message from which the template takes the reasoning of earlier turns. NULL: it shows none. */
static const char *probe_reasoning(struct prober *p, const struct chat_caps *caps) {
    static const char *const keys[] = {"reasoning_content", "reasoning", "thinking", "thought", "thoughts"};
    const char *arguments = caps->object_arguments ? "{}" : "\"{}\"", *user = caps->typed_content ? USER_PARTS : USER;
    const char *answer = caps->typed_content ? "[{\"type\":\"text\",\"text\":\"Probe-answer\"}]" : "\"Probe-answer\"";
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (!jinja_names(p->t, keys[i])) continue;
        char *call = mem_printf(CALL, arguments);
        char *calls = mem_printf("%s,{\"role\":\"assistant\",\"content\":\"\",\"%s\":\"Probe-thought\",%s}," RESULT, user, keys[i], call);
        char *plain = mem_printf("%s,{\"role\":\"assistant\",\"content\":%s,\"%s\":\"Probe-thought\"}", user, answer, keys[i]);
        bool found = probe(p, calls, "Probe-thought") || probe(p, plain, "Probe-thought");
        free(call);
        free(calls);
        free(plain);
        if (found) return keys[i];
    }
    return NULL;
}

/* ---- all ---- */

err_code chat_probe(struct jinja_template *t, const struct jinja_limits *limits, struct chat_caps *ret, struct err *e) {
    struct prober p = {.t = t, .limits = limits};
    struct chat_caps caps = {
        .developer_role = jinja_names(t, "developer"), .tools = jinja_reads(t, "tools"), .is_error = jinja_names(t, "is_error")};
    buf_init(&p.out, 1 << 20);
    if (!probe(&p, USER, "Probe-user")) caps.typed_content = probe(&p, USER_PARTS, "Probe-user");
    caps.system_role = probe(&p, caps.typed_content ? SYSTEM_PARTS "," USER_PARTS : SYSTEM "," USER, "Probe-system");
    caps.late_system = probe(&p, caps.typed_content ? USER_PARTS "," SYSTEM_PARTS : USER "," SYSTEM, "Probe-system");
    probe_calls(&p, &caps);
    caps.reasoning_key = probe_reasoning(&p, &caps);
    buf_done(&p.out);
    if (p.over && e != NULL) *e = p.why;
    if (!p.over) *ret = caps; /* a template may refuse a probe: that tells something, too */
    return p.over ? p.why.code : ERR_OK;
}
