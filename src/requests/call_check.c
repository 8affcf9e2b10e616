/* SPDX-License-Identifier: MIT
 * Compares what the model has written with the schemas of which its grammar said only a part. See call_priv.h. */
#include <string.h>

#include "base/mem.h"
#include "grammar/check.h"
#include "requests/call_check.h"

/* One JSON text against a schema's text. */
static enum check_verdict judge(const char *schema, const char *text, size_t len, struct buf *why) {
    yyjson_doc *rules = schema != NULL ? json_read(schema, strlen(schema)) : NULL;
    yyjson_doc *value = yyjson_read(text, len, YYJSON_READ_ALLOW_INVALID_UNICODE);
    enum check_verdict v = CHECK_FITS;
    if (rules != NULL && value != NULL) v = check_value(yyjson_doc_get_root(rules), yyjson_doc_get_root(value), why);
    yyjson_doc_free(rules);
    yyjson_doc_free(value);
    return v;
}

static const struct toolcall_tool *tool_named(const struct api_request *r, const char *name) {
    for (size_t i = 0; i < r->n_tools; i++)
        if (strcmp(r->tools[i].name, name) == 0) return &r->tools[i];
    return NULL;
}

/* A value that doesn't fit: why, and an error where its schema is strict. */
static err_code complain(const char *what, bool strict, const struct buf *why, bool *ret_fits, struct err *e) {
    *ret_fits = false;
    err_set(e, ERR_ENGINE, "%s does not fit its %sschema: %.*s", what, strict ? "strict " : "", (int)(why->len < 250 ? why->len : 250),
            why->len > 0 ? (const char *)why->data : "");
    return strict ? ERR_ENGINE : ERR_OK;
}

static err_code check_choice(const struct call *call, const struct api_choice_text *c, struct buf *why, bool *ret_fits, struct err *e) {
    const struct api_request *r = &call->request;
    err_code code = ERR_OK;
    bool called = false;
    for (size_t i = 0; i < c->n_items && code == ERR_OK; i++) {
        const struct api_item *item = &c->items[i];
        if (item->kind != API_CALL) continue;
        called = true;
        const struct toolcall_tool *tool = call->form.partial_tools && item->whole ? tool_named(r, item->name) : NULL;
        size_t len;
        const char *text = api_item_text(c, item, &len);
        if (tool != NULL && judge(tool->parameters, text, len, why) != CHECK_FITS)
            code = complain("a tool call", tool->strict, why, ret_fits, e);
    }
    if (code != ERR_OK || called || !call->form.partial_format || c->finish == API_FINISH_LENGTH || c->text.len == 0) return code;
    if (judge(r->schema, (const char *)c->text.data, c->text.len, why) == CHECK_FITS) return ERR_OK;
    return complain("the answer", r->strict, why, ret_fits, e);
}

err_code call_check(const struct call *call, bool *ret_fits, struct err *e) {
    struct buf why;
    err_code code = ERR_OK;
    *ret_fits = true;
    if (!call->form.partial_format && !call->form.partial_tools) return ERR_OK;
    buf_init(&why, 4096);
    for (uint32_t i = 0; i < call->answer.n_choices && code == ERR_OK; i++)
        code = check_choice(call, &call->answer.choices[i], &why, ret_fits, e);
    buf_done(&why);
    return code;
}
