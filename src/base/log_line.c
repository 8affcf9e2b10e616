/* SPDX-License-Identifier: MIT
 * See log_line.h. */
#include "base/log_line.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

/* A text of bounded size. What comes when it is full is left out, whole characters at a time. */
struct out {
    char *text;
    size_t len, max;
};

static void put(struct out *o, const char *text, size_t len) {
    if (len > o->max - o->len) return;
    memcpy(o->text + o->len, text, len);
    o->len += len;
}

static void put_text(struct out *o, const char *text) { put(o, text, strlen(text)); }

/* One character of `text`, of `len` bytes, as it may stand in a line. Returns the bytes that it took. */
static size_t put_char(struct out *o, const char *text, size_t len, bool quoted) {
    bool whole;
    size_t n = str_utf8_next(text, len, &whole);
    if ((unsigned char)*text < ' ' || *text == 0x7F) put(o, " ", 1);
    else if (!whole) put(o, "?", 1);
    else if (quoted && (*text == '"' || *text == '\\')) put(o, (char[]){'\\', *text}, 2);
    else put(o, text, n);
    return n > 0 ? n : len; /* 0: the text ends within a character */
}

/* How many of the first bytes stand in a line as they are. */
static size_t plain_bytes(const char *text, size_t len, bool quoted) {
    size_t n = 0;
    while (n < len && text[n] >= ' ' && text[n] < 0x7F && !(quoted && (text[n] == '"' || text[n] == '\\'))) n++;
    return n;
}

static void put_bytes(struct out *o, const char *text, size_t len, bool quoted) {
    while (len > 0) {
        size_t before = o->len, room = o->max - o->len, n = plain_bytes(text, len < room ? len : room, quoted);
        if (n > 0) put(o, text, n);
        else n = put_char(o, text, len, quoted);
        if (o->len == before) return; /* it is full */
        text += n;
        len -= n;
    }
}

static void put_clean(struct out *o, const char *text, bool quoted) { put_bytes(o, text, strlen(text), quoted); }

/* At most so many bytes. */
static void put_some(struct out *o, const char *text, size_t most) { put_bytes(o, text, strnlen(text, most), false); }

static void put_number(struct out *o, int64_t number) {
    char text[24], *at = text + sizeof(text);
    uint64_t left = number < 0 ? -(uint64_t)number : (uint64_t)number;
    do *--at = (char)('0' + left % 10);
    while ((left /= 10) > 0);
    if (number < 0) *--at = '-';
    put(o, at, (size_t)(text + sizeof(text) - at));
}

/* ---- text ---- */

static void put_head(struct out *o, const struct log_line *l) {
    enum { DATE = 10, TIME = 12, LEVEL = 5 }; /* how long they are, without the letter between the first two */
    size_t len = strlen(l->time), level = strlen(l->level);
    put_some(o, l->time, DATE);
    put_text(o, " ");
    if (len > DATE + 1) put_some(o, l->time + DATE + 1, TIME);
    put_text(o, " ");
    put_some(o, l->level, level);
    put_text(o, &"      "[level < LEVEL ? level : LEVEL]);
    put_clean(o, l->process, false);
    if (l->process[0] != '\0') put_text(o, " ");
    put_clean(o, l->area, false);
    put_text(o, ": ");
}

/* In quotes where it could be taken for several fields. */
static void put_value(struct out *o, const char *text) {
    bool quoted = text[0] == '\0' || strpbrk(text, " =\"") != NULL;
    if (quoted) put_text(o, "\"");
    put_clean(o, text, quoted);
    if (quoted) put_text(o, "\"");
}

static void put_fields(struct out *o, const struct log_line *l) {
    for (size_t i = 0; i < l->n_fields; i++) {
        const struct log_field *f = &l->fields[i];
        put_text(o, " ");
        put_clean(o, f->name, false);
        put_text(o, "=");
        if (f->text != NULL) put_value(o, f->text);
        else put_number(o, f->number);
    }
}

size_t log_line_text(const struct log_line *l, char ret[LOG_LINE_TEXT + 1]) {
    enum { TAIL = LOG_REQUEST_SIZE + 16 };
    struct out o = {.text = ret, .max = LOG_LINE_TEXT - 2};
    put_head(&o, l);
    o.max -= l->request[0] != '\0' ? TAIL : 0;
    put_clean(&o, l->message, false);
    put_fields(&o, l);
    o.max = LOG_LINE_TEXT - 2;
    if (l->request[0] != '\0') {
        put_text(&o, " (request ");
        put_clean(&o, l->request, false);
        put_text(&o, ")");
    }
    ret[o.len++] = '\n';
    ret[o.len] = '\0';
    return o.len;
}

/* ---- JSON ---- */

static void put_quoted(struct out *o, const char *text) {
    put_text(o, "\"");
    put_clean(o, text, true);
    put_text(o, "\"");
}

static void put_member(struct out *o, const char *name, const char *value) {
    if (value[0] == '\0') return;
    put_text(o, o->len > 1 ? ",\"" : "\"");
    put_text(o, name);
    put_text(o, "\":");
    put_quoted(o, value);
}

/* A field is there whole, or not at all. */
static void put_field(struct out *o, const struct log_field *f, bool first) {
    struct out before = *o;
    put_text(o, first ? "" : ",");
    put_quoted(o, f->name);
    put_text(o, ":");
    if (f->text != NULL) put_quoted(o, f->text);
    else put_number(o, f->number);
    if (o->len + 8 > o->max) *o = before;
}

size_t log_line_json(const struct log_line *l, char ret[LOG_LINE_JSON + 1]) {
    enum { END = 1024 }; /* room for the fields, and for the end of the object */
    struct out o = {.text = ret, .max = LOG_LINE_JSON - END};
    put_text(&o, "{");
    put_member(&o, "time", l->time);
    put_member(&o, "level", l->level);
    put_member(&o, "node", l->node);
    put_member(&o, "process", l->process);
    put_member(&o, "component", l->area);
    put_member(&o, "request_id", l->request);
    put_member(&o, "trace_id", l->trace);
    put_member(&o, "span_id", l->span);
    put_text(&o, ",\"message\":\"");
    put_clean(&o, l->message, true);
    o.max = LOG_LINE_JSON - 4;
    put_text(&o, "\"");
    if (l->n_fields > 0) put_text(&o, ",\"fields\":{");
    size_t begin = o.len;
    for (size_t i = 0; i < l->n_fields && i < LOG_LINE_FIELDS; i++) put_field(&o, &l->fields[i], o.len == begin);
    o.max = LOG_LINE_JSON;
    put_text(&o, l->n_fields > 0 ? "}}\n" : "}\n");
    ret[o.len] = '\0';
    return o.len;
}

/* ---- back ---- */

static const char *member(yyjson_val *root, const char *name) {
    const char *text = yyjson_get_str(yyjson_obj_get(root, name));
    return text != NULL ? text : "";
}

static size_t read_fields(yyjson_val *object, struct log_field *ret) {
    size_t n = 0, i, count;
    yyjson_val *key, *value;
    yyjson_obj_foreach(object, i, count, key, value) {
        if (n == LOG_LINE_FIELDS) break;
        ret[n++] = (struct log_field){.name = yyjson_get_str(key), .text = yyjson_get_str(value), .number = yyjson_get_sint(value)};
    }
    return n;
}

bool log_line_read(yyjson_val *root, struct log_line *ret, struct log_field fields[LOG_LINE_FIELDS]) {
    *ret = (struct log_line){.time = member(root, "time"),
                             .level = member(root, "level"),
                             .node = member(root, "node"),
                             .process = member(root, "process"),
                             .area = member(root, "component"),
                             .request = member(root, "request_id"),
                             .trace = member(root, "trace_id"),
                             .span = member(root, "span_id"),
                             .message = member(root, "message"),
                             .fields = fields};
    ret->n_fields = read_fields(yyjson_obj_get(root, "fields"), fields);
    return ret->time[0] != '\0' && ret->level[0] != '\0' && ret->area[0] != '\0';
}
