/* SPDX-License-Identifier: MIT
 * The text of parts, and placeholders. See parts.h. */
#include "api/parts.h"

#include <string.h>

#include "base/mem.h"

static const char *str_of(yyjson_val *part, const char *key) { return yyjson_get_str(yyjson_obj_get(part, key)); }

static void append_val(yyjson_val *v, struct buf *out) { buf_append(out, yyjson_get_str(v), yyjson_get_len(v)); }

/* Appends the line "KEY: TEXT", if the part has this field. */
static void append_line(yyjson_val *part, const char *key, struct buf *out) {
    yyjson_val *v = yyjson_obj_get(part, key);
    if (!yyjson_is_str(v) || yyjson_get_len(v) == 0) return;
    buf_printf(out, "%s: ", key);
    append_val(v, out);
    buf_append_byte(out, '\n');
}

/* Appends "[TYPE: DETAIL]". The detail is the first of these fields that is there and short enough for a name. */
static void append_placeholder(yyjson_val *part, struct buf *out) {
    static const char *const keys[] = {"title", "filename", "tool_name", "name", "media_type", "file_id", "url", "format"};
    yyjson_val *const places[] = {part, yyjson_obj_get(part, "source"), yyjson_obj_get(part, "file"), yyjson_obj_get(part, "image_url"),
                                  yyjson_obj_get(part, "input_audio")};
    const char *type = str_of(part, "type"), *detail = NULL;
    for (size_t i = 0; i < ARRAY_LEN(keys) && detail == NULL; i++)
        for (size_t k = 0; k < ARRAY_LEN(places) && detail == NULL; k++) {
            yyjson_val *v = yyjson_obj_get(places[k], keys[i]);
            if (yyjson_is_str(v) && yyjson_get_len(v) > 0 && yyjson_get_len(v) <= 200) detail = yyjson_get_str(v);
        }
    buf_printf(out, detail != NULL ? "[%.60s: %.200s]" : "[%.60s]", type != NULL ? type : "part", detail);
}

static void new_line(struct buf *out) {
    if (out->len > 0 && out->data[out->len - 1] != '\n') buf_append_byte(out, '\n');
}

static void append_nested(yyjson_val *v, struct buf *out) {
    yyjson_val *part;
    size_t i, n;
    if (yyjson_is_str(v)) append_val(v, out);
    if (yyjson_is_obj(v)) parts_append(v, out);
    yyjson_arr_foreach(json_some(v), i, n, part) {
        if (i > 0) new_line(out);
        if (yyjson_is_str(part)) append_val(part, out);
        else parts_append(part, out);
    }
}

/* Finds the text of a part; NULL: it has none. */
static yyjson_val *text_of(yyjson_val *part) {
    static const char *const keys[] = {"text", "refusal", "content", "output", "stdout"};
    yyjson_val *source = yyjson_obj_get(part, "source");
    const char *kind = str_of(source, "type");
    if (kind != NULL && strcmp(kind, "text") == 0) return yyjson_obj_get(source, "data");
    if (kind != NULL && strcmp(kind, "content") == 0) return yyjson_obj_get(source, "content");
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        yyjson_val *v = yyjson_obj_get(part, keys[i]);
        if (yyjson_is_str(v) || yyjson_is_arr(v) || (yyjson_is_obj(v) && yyjson_obj_get(v, "type") != NULL)) return v;
    }
    return NULL;
}

void parts_append(yyjson_val *part, struct buf *out) {
    yyjson_val *text = text_of(part);
    if (text == yyjson_obj_get(part, "text") && yyjson_is_str(text)) {
        append_val(text, out);
        return;
    }
    new_line(out);
    if (text == NULL) {
        append_placeholder(part, out);
    } else {
        append_line(part, "title", out);
        append_line(part, "source", out);
        append_line(part, "context", out);
        append_nested(text, out);
    }
    new_line(out);
}
