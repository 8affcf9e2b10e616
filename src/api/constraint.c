/* SPDX-License-Identifier: MIT
 * A row for each field, a function for each kind of form. See constraint.h. */
#include "api/constraint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/parse.h"
#include "base/mem.h"
#include "grammar/gbnf.h"
#include "grammar/regex.h"

enum { MAX_CHOICES = 1000, FIELD_SIZE = 64 };

static bool is_absent(yyjson_val *v) { return v == NULL || yyjson_is_null(v); }

/* ---- kinds ---- */

static err_code take_schema(yyjson_val *v, const char *field, struct api_request *r, struct err *e) {
    if (!yyjson_is_obj(v) && !yyjson_is_str(v)) return api_wrong(e, field, "a JSON schema, an object");
    r->format = API_FORMAT_SCHEMA;
    r->schema = yyjson_is_str(v) ? api_keep_str(r, v) : api_keep_json(r, v); /* vLLM's clients also send it as text */
    return ERR_OK;
}

static err_code take_any_object(yyjson_val *v, const char *field, struct api_request *r, struct err *e) {
    if (!yyjson_is_bool(v)) return api_wrong(e, field, "true or false");
    if (yyjson_get_bool(v)) r->format = API_FORMAT_JSON;
    return ERR_OK;
}

static err_code take_grammar(yyjson_val *v, const char *field, struct api_request *r, struct err *e) {
    struct err why = {0};
    if (!yyjson_is_str(v) || strlen(yyjson_get_str(v)) != yyjson_get_len(v)) return api_wrong(e, field, "a grammar in GBNF, as text");
    err_code code = gbnf_check(yyjson_get_str(v), &why);
    if (code != ERR_OK) return err_set_field(e, ERR_INVALID, field, "%s", why.text);
    r->sampling.grammar = mem_strdup(yyjson_get_str(v));
    return ERR_OK;
}

/* Takes the grammar out of a buffer. */
static err_code take_built(struct buf *grammar, const char *field, struct api_request *r, struct err *e) {
    err_code code = grammar->failed ? err_set_field(e, ERR_INVALID, field, "its grammar is too long") : ERR_OK;
    if (code == ERR_OK) r->sampling.grammar = mem_strdup(buf_cstr(grammar));
    buf_done(grammar);
    return code;
}

static err_code take_regex(yyjson_val *v, const char *field, struct api_request *r, struct err *e) {
    struct err why = {0};
    struct buf grammar;
    if (!yyjson_is_str(v)) return api_wrong(e, field, "a regular expression, as text");
    buf_init(&grammar, GBNF_MAX_TEXT);
    err_code code = regex_to_gbnf(yyjson_get_str(v), yyjson_get_len(v), &grammar, &why);
    if (code == ERR_OK) return take_built(&grammar, field, r, e);
    buf_done(&grammar);
    return err_set_field(e, code == ERR_LIMIT ? ERR_INVALID : code, field, "%s", why.text);
}

static void append_literal(yyjson_val *text, struct buf *out) {
    buf_append_byte(out, '"');
    for (size_t i = 0; i < yyjson_get_len(text); i++) {
        unsigned char c = (unsigned char)yyjson_get_str(text)[i];
        if (c < 0x20 || c == '"' || c == '\\') buf_printf(out, "\\x%02X", c);
        else buf_append_byte(out, c);
    }
    buf_append_byte(out, '"');
}

static err_code take_choice(yyjson_val *v, const char *field, struct api_request *r, struct err *e) {
    yyjson_val *choice;
    struct buf grammar;
    size_t i, n = yyjson_arr_size(v);
    if (n == 0 || n > MAX_CHOICES) return api_wrong(e, field, "an array of 1 to 1000 strings");
    buf_init(&grammar, GBNF_MAX_TEXT);
    buf_append_str(&grammar, "root ::= ");
    yyjson_arr_foreach(v, i, n, choice) {
        if (!yyjson_is_str(choice)) {
            buf_done(&grammar);
            return api_wrong(e, field, "an array of 1 to 1000 strings");
        }
        if (i > 0) buf_append_str(&grammar, " | ");
        append_literal(choice, &grammar);
    }
    buf_append_byte(&grammar, '\n');
    return take_built(&grammar, field, r, e);
}

static err_code refuse_tags(yyjson_val *v, const char *field, struct api_request *r, struct err *e) {
    (void)v;
    (void)r;
    return err_set_field(e, ERR_UNSUPPORTED, field, "structural tags are not supported");
}

/* {"type": "text" | "json_object" | "json_schema", ...} */
static err_code take_response_format(yyjson_val *v, const char *field, struct api_request *r, struct err *e) {
    const char *type = yyjson_get_str(yyjson_obj_get(v, "type"));
    yyjson_val *outer = yyjson_obj_get(v, "json_schema"), *schema = yyjson_obj_get(v, "schema");
    char at[FIELD_SIZE];
    if (type == NULL) return api_wrong(e, field, "an object with a \"type\"");
    if (strcmp(type, "text") == 0) return ERR_OK;
    if (strcmp(type, "json_object") == 0 && is_absent(schema)) {
        r->format = API_FORMAT_JSON;
        return ERR_OK;
    }
    if (strcmp(type, "json_object") == 0) return take_schema(schema, "response_format.schema", r, e);
    snprintf(at, sizeof(at), "%s.type", field);
    if (strcmp(type, "json_schema") != 0) return api_wrong(e, at, "\"text\", \"json_object\" or \"json_schema\"");
    r->strict = yyjson_is_true(yyjson_obj_get(outer, "strict"));
    if (is_absent(outer) && !is_absent(schema)) return take_schema(schema, "response_format.schema", r, e); /* as llama-server has it */
    return take_schema(yyjson_obj_get(outer, "schema"), "response_format.json_schema.schema", r, e);
}

/* ---- fields ---- */

typedef err_code (*take_fn)(yyjson_val *v, const char *field, struct api_request *r, struct err *e);

struct row {
    const char *outer, *key; /* outer NULL: a field of the body */
    take_fn take;
};

static const struct row ROWS[] = {
    {NULL, "response_format", take_response_format},
    {NULL, "json_schema", take_schema},
    {NULL, "guided_json", take_schema},
    {NULL, "guided_regex", take_regex},
    {NULL, "guided_choice", take_choice},
    {NULL, "guided_grammar", take_grammar},
    {NULL, "regex", take_regex},
    {NULL, "ebnf", take_grammar},
    {"structured_outputs", "json", take_schema},
    {"structured_outputs", "json_object", take_any_object},
    {"structured_outputs", "regex", take_regex},
    {"structured_outputs", "choice", take_choice},
    {"structured_outputs", "grammar", take_grammar},
    {"structured_outputs", "structural_tag", refuse_tags},
};

/* Does this field ask for a form? {"type": "text"} and false don't. */
static bool asks(const struct row *row, yyjson_val *v) {
    if (row->take == take_response_format) return !yyjson_equals_str(yyjson_obj_get(v, "type"), "text");
    return !is_absent(v) && !yyjson_is_false(v);
}

err_code constraint_parse(yyjson_val *root, struct api_request *r, struct err *e) {
    yyjson_val *outputs = yyjson_obj_get(root, "structured_outputs");
    const char *before = r->sampling.grammar != NULL ? "grammar" : NULL;
    if (!is_absent(outputs) && !yyjson_is_obj(outputs)) return api_wrong(e, "structured_outputs", "an object");
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        const struct row *row = &ROWS[i];
        yyjson_val *v = yyjson_obj_get(row->outer != NULL ? outputs : root, row->key);
        if (is_absent(v) || !asks(row, v)) continue;
        const char *field = row->outer != NULL ? arena_printf(r->arena, "%s.%s", row->outer, row->key) : row->key;
        if (before != NULL)
            return err_set_field(e, ERR_INVALID, field, "\"%s\" says already what the answer looks like: leave one of them out", before);
        err_code code = row->take(v, field, r, e);
        if (code != ERR_OK) return code;
        before = r->format_field = field;
    }
    return ERR_OK;
}
