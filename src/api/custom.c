/* SPDX-License-Identifier: MIT
 * Custom tools as functions, and back. See custom.h. */
#include "api/custom.h"

#include <stdlib.h>
#include <string.h>

#include "api/parse.h"
#include "api/tools.h"
#include "base/mem.h"
#include "grammar/regex.h"

/* What the model is told of the text, besides the tool's own description. */
static yyjson_mut_val *describe(yyjson_mut_doc *doc, const char *description, const char *syntax, const char *definition) {
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    buf_append_str(&text, description != NULL ? description : "");
    if (syntax != NULL) buf_printf(&text, "%sThe input matches this %s:\n%s", text.len > 0 ? "\n" : "", syntax, definition);
    yyjson_mut_val *v = yyjson_mut_strncpy(doc, buf_cstr(&text), text.len);
    buf_done(&text);
    return v;
}

/* {"type": "object", "properties": {"input": {"type": "string"}}, ...}; pattern NULL: any text. */
static yyjson_mut_val *make_schema(yyjson_mut_doc *doc, const char *pattern) {
    yyjson_mut_val *schema = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_str(doc, schema, "type", "object");
    yyjson_mut_val *input = yyjson_mut_obj_add_obj(doc, yyjson_mut_obj_add_obj(doc, schema, "properties"), "input");
    yyjson_mut_obj_add_str(doc, input, "type", "string");
    if (pattern != NULL) yyjson_mut_obj_add_strcpy(doc, input, "pattern", pattern);
    yyjson_mut_val *needed = yyjson_mut_obj_add_arr(doc, schema, "required");
    yyjson_mut_arr_add_str(doc, needed, "input");
    yyjson_mut_obj_add_bool(doc, schema, "additionalProperties", false);
    return schema;
}

/* The grammar of the input. *ret_pattern: for a schema; NULL: it is not enforced. Another syntax than "regex" and "lark" is an error. */
static err_code read_grammar(struct api_request *r, yyjson_val *grammar, const char *at, const char **ret_syntax,
                             const char **ret_definition, const char **ret_pattern, struct err *e) {
    yyjson_val *syntax = yyjson_obj_get(grammar, "syntax"), *definition = yyjson_obj_get(grammar, "definition");
    struct err why = {0};
    struct buf gbnf;
    bool regex = yyjson_equals_str(syntax, "regex");
    if (!regex && !yyjson_equals_str(syntax, "lark")) return api_wrong(e, err_place("%s.format.syntax", at).text, "\"lark\" or \"regex\"");
    if (!yyjson_is_str(definition)) return api_wrong(e, err_place("%s.format.definition", at).text, "a string");
    *ret_syntax = regex ? "regular expression" : "lark grammar";
    *ret_definition = api_keep_str(r, definition);
    r->unchecked |= !regex;
    if (!regex) return ERR_OK;
    buf_init(&gbnf, 1 << 20);
    err_code code = regex_to_gbnf(*ret_definition, yyjson_get_len(definition), &gbnf, &why);
    buf_done(&gbnf);
    if (code == ERR_INVALID) return err_set_field(e, code, err_place("%s.format.definition", at).text, "%s", why.text);
    if (code == ERR_OK) *ret_pattern = arena_printf(r->arena, "^(?:%s)$", *ret_definition);
    else r->unchecked = true; /* it may be right, and says more than a grammar can */
    return ERR_OK;
}

err_code api_custom_add(struct api_request *r, yyjson_val *spec, const char *at, struct err *e) {
    yyjson_val *format = yyjson_obj_get(spec, "format"), *description = yyjson_obj_get(spec, "description");
    yyjson_val *inner = yyjson_obj_get(format, "grammar");
    const char *syntax = NULL, *definition = NULL, *pattern = NULL;
    err_code code = ERR_OK;
    if (yyjson_equals_str(yyjson_obj_get(format, "type"), "grammar"))
        code = read_grammar(r, inner != NULL ? inner : format, at, &syntax, &definition, &pattern, e);
    if (code != ERR_OK) return code;
    yyjson_mut_doc *made = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(made);
    yyjson_mut_obj_add_val(made, root, "description", describe(made, yyjson_get_str(description), syntax, definition));
    yyjson_mut_obj_add_val(made, root, "parameters", make_schema(made, pattern));
    yyjson_doc *doc = yyjson_mut_doc_imut_copy(made, NULL);
    code = api_tools_add(r, yyjson_obj_get(spec, "name"), yyjson_doc_get_root(doc), "parameters", at, e);
    if (code == ERR_OK) r->has_custom = r->tools[r->n_tools - 1].custom = true;
    yyjson_doc_free(doc);
    yyjson_mut_doc_free(made);
    return code;
}

bool api_custom_is(const struct api_request *r, const char *name, size_t len) {
    for (size_t i = 0; i < r->n_tools && r->has_custom; i++)
        if (strlen(r->tools[i].name) == len && memcmp(r->tools[i].name, name, len) == 0) return r->tools[i].custom;
    return false;
}

const char *api_custom_arguments(struct api_request *r, yyjson_val *input) {
    return yyjson_is_str(input) ? arena_printf(r->arena, "{\"input\":%s}", api_keep_json(r, input)) : "{}";
}

/* Reads the arguments, with `end` after them. */
static bool take_input(const char *arguments, size_t len, const char *end, struct buf *out) {
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    buf_append(&text, arguments, len);
    buf_append_str(&text, end);
    yyjson_doc *doc = json_read(buf_cstr(&text), text.len);
    yyjson_val *input = yyjson_obj_get(yyjson_doc_get_root(doc), "input");
    bool found = yyjson_is_str(input);
    if (found) buf_append(out, yyjson_get_str(input), yyjson_get_len(input));
    yyjson_doc_free(doc);
    buf_done(&text);
    return found;
}

void api_custom_input(const char *arguments, size_t len, struct buf *out) {
    enum { LONGEST_CUT = 11 }; /* bytes: half of "\\ud83d\\ude00" */
    if (take_input(arguments, len, "", out)) return;
    for (size_t cut = 0; cut <= LONGEST_CUT && cut <= len; cut++)
        if (take_input(arguments, len - cut, "\"}", out)) return;
}
