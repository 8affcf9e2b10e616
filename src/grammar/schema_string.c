/* SPDX-License-Identifier: MIT
 * Texts: lengths, patterns, formats, one or several at once. See schema_priv.h. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/format.h"
#include "grammar/product.h"
#include "grammar/schema_priv.h"
#include "grammar/schema_shape_priv.h"
#include "grammar/schema_write_priv.h"

enum { STEPS_WORK = 8 /* this many steps of a product count as 1 */ };

err_code schema_write_product(struct schema *s, const struct regex_part *parts, size_t n, const char *shared, unsigned number,
                              bool *ret_any) {
    struct buf rules;
    uint64_t most = STEPS_WORK * (s->max_work > s->work ? s->max_work - s->work : 0), left = most;
    buf_init(&rules, GBNF_MAX_TEXT);
    buf_append_str(&rules, shared);
    schema_write_generic(&rules);
    err_code code = product_write(parts, n, buf_cstr(&rules), number, &left, &s->text, ret_any);
    buf_done(&rules);
    err_code worked = schema_work(s, (most - left) / STEPS_WORK);
    return code == ERR_OK ? worked : code;
}

/* ---- parts ---- */

static err_code add_regex(struct schema *s, yyjson_val *at, const char *keyword, const char *text, size_t len, struct regex_parts *parts) {
    const char *why = "";
    err_code code = regex_read(text, len, parts, &why);
    if (code == ERR_OK || (code == ERR_INVALID && !s->loose))
        return code == ERR_OK ? code : schema_fail(s, code, at, "\"%s\": %s", keyword, why);
    return schema_leave_out(s, at, "\"%s\": %s", keyword, why);
}

static err_code add_part(struct schema *s, yyjson_val *at, char *text, bool negated, struct regex_parts *parts) {
    if (parts->n < REGEX_MAX_PARTS) {
        parts->list[parts->n++] = (struct regex_part){.text = text, .negated = negated, .max = UINT64_MAX};
        return ERR_OK;
    }
    free(text);
    return schema_leave_out(s, at, "too much is asked of one text");
}

/* Is a part, alone, about the text's length? */
static bool has_length(const struct regex_parts *parts, uint64_t min, uint64_t max) {
    for (size_t i = 0; i < parts->n; i++)
        if (!parts->list[i].negated && parts->list[i].min >= min && parts->list[i].max <= max) return true;
    return min == 0 && max >= GBNF_MAX_REPEAT;
}

static char *length_text(uint64_t min, uint64_t max) {
    unsigned least = min > GBNF_MAX_REPEAT ? GBNF_MAX_REPEAT : (unsigned)min;
    return max >= GBNF_MAX_REPEAT ? mem_printf("char{%u,}", least) : mem_printf("char{%u,%u}", least, (unsigned)max);
}

/* One of the listed texts. */
static char *listed_text(const struct schema_shape *shape) {
    struct buf out;
    size_t n = 0, len;
    buf_init(&out, GBNF_MAX_TEXT);
    buf_append_byte(&out, '(');
    for (size_t i = 0; i < shape->n_values; i++) {
        if (!yyjson_is_str(shape->values[i])) continue;
        buf_append_str(&out, n++ > 0 ? " | " : "");
        schema_write_inside(&out, yyjson_get_str(shape->values[i]), yyjson_get_len(shape->values[i]));
    }
    buf_append_byte(&out, ')');
    buf_cstr(&out);
    return (char *)buf_detach(&out, &len);
}

err_code schema_write_string_parts(struct schema *s, const struct schema_set *set, const struct schema_shape *shape,
                                   struct regex_parts *parts) {
    yyjson_val *at = set->n > 0 ? set->items[0].v : s->root;
    err_code code = ERR_OK;
    if (shape->listed) return add_part(s, at, listed_text(shape), false, parts);
    for (size_t i = 0; i < shape->n_patterns && code == ERR_OK; i++)
        code = add_regex(s, at, "pattern", yyjson_get_str(shape->patterns[i]), yyjson_get_len(shape->patterns[i]), parts);
    for (size_t i = 0; i < shape->n_formats && code == ERR_OK; i++) {
        const struct format *f = format_named(yyjson_get_str(shape->formats[i]));
        if (f != NULL && f->writes != NULL) code = add_regex(s, at, "format", f->writes, strlen(f->writes), parts);
        else if (f != NULL && f->allows != NULL)
            code = schema_leave_out(s, at, "\"format\": \"%s\" cannot be expressed in a grammar", f->name);
    }
    if (code == ERR_OK && !has_length(parts, shape->min_length, shape->max_length))
        code = add_part(s, at, length_text(shape->min_length, shape->max_length), false, parts);
    return code;
}

/* ---- all of them ---- */

static size_t count_positive(const struct regex_parts *parts) {
    size_t n = 0;
    for (size_t i = 0; i < parts->n; i++) n += !parts->list[i].negated;
    return n;
}

/* Writes the first condition only. */
static err_code write_first(struct schema *s, yyjson_val *at, const struct regex_parts *parts, struct buf *out, bool *ret_any) {
    size_t first = 0;
    while (first < parts->n && parts->list[first].negated) first++;
    *ret_any = true;
    if (first == parts->n) buf_append_str(out, "string");
    else buf_printf(out, "\"\\\"\" ");
    if (first < parts->n) {
        buf_append_str(out, parts->list[first].text);
        buf_append_str(out, " \"\\\"\"");
    }
    return schema_leave_out(s, at, "\"pattern\", \"format\" and lengths of one text are too much for a grammar");
}

static err_code write_parts(struct schema *s, yyjson_val *at, struct regex_parts *parts, struct buf *out, bool *ret_any) {
    unsigned number = 0;
    if (count_positive(parts) == 0 && parts->n > 0) {
        err_code code = add_part(s, at, mem_strdup("char*"), false, parts);
        if (code != ERR_OK) return code;
    }
    *ret_any = true;
    if (parts->n == 0) {
        buf_append_str(out, "string");
        return ERR_OK;
    }
    if (parts->n == 1) {
        buf_append_str(out, "\"\\\"\" ");
        buf_append_str(out, parts->list[0].text);
        buf_append_str(out, " \"\\\"\"");
        return ERR_OK;
    }
    err_code code = schema_extra(s, &number);
    if (code != ERR_OK) return code;
    code = s->simple ? ERR_LIMIT : schema_write_product(s, parts->list, parts->n, "", number, ret_any);
    if (code == ERR_LIMIT) return write_first(s, at, parts, out, ret_any);
    if (code == ERR_OK && *ret_any) buf_printf(out, "\"\\\"\" p%u-0 \"\\\"\"", number);
    return code;
}

err_code schema_write_string(struct schema *s, const struct schema_set *set, const struct schema_shape *shape, struct buf *out,
                             bool *ret_any) {
    yyjson_val *at = set->n > 0 ? set->items[0].v : s->root;
    struct regex_parts parts = {.n = 0};
    struct schema_shape less = *shape;
    *ret_any = false;
    if (shape->min_length > shape->max_length) return ERR_OK;
    err_code code = schema_write_string_parts(s, set, shape, &parts);
    if (code == ERR_OK) code = write_parts(s, at, &parts, out, ret_any);
    regex_parts_done(&parts);
    if (code != ERR_OK || *ret_any || shape->n_formats == 0 || shape->n_patterns == 0) return code;
    less.n_formats = 0; /* a grammar writes only some texts of a format: the pattern may require others */
    code = schema_write_string_parts(s, set, &less, &parts);
    if (code == ERR_OK) code = write_parts(s, at, &parts, out, ret_any);
    if (code == ERR_OK) code = schema_leave_out(s, at, "\"format\" beside this \"pattern\" cannot be expressed");
    regex_parts_done(&parts);
    return code;
}
