/* SPDX-License-Identifier: MIT
 * See batch_text.h. */
#include "manage/batch_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "batch/input.h"
#include "batch/line.h"
#include "io/sign.h"

enum { MAX_FILE = 1 << 30 };

static void add_missing(yyjson_mut_doc *doc, yyjson_mut_val *o, const char *field, const char *text) {
    if (text != NULL && yyjson_mut_is_obj(o) && yyjson_mut_obj_get(o, field) == NULL) yyjson_mut_obj_add_strcpy(doc, o, field, text);
}

/* A line that isn't a JSON object stays as it is: the check says what is wrong with it. */
static void complete(const char *text, size_t len, uint32_t number, const struct batch_given *given, struct buf *out) {
    yyjson_doc *read = NULL;
    char id[32];
    if (json_parse_body(text, len, &read, NULL) != ERR_OK || !yyjson_is_obj(yyjson_doc_get_root(read))) {
        buf_append(out, text, len);
        buf_append_byte(out, '\n');
        yyjson_doc_free(read);
        return;
    }
    yyjson_mut_doc *doc = yyjson_doc_mut_copy(read, NULL);
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    snprintf(id, sizeof(id), "line-%u", number);
    add_missing(doc, root, "custom_id", id);
    add_missing(doc, root, "method", "POST");
    add_missing(doc, root, "url", given->endpoint);
    add_missing(doc, yyjson_mut_obj_get(root, "body"), "model", given->model);
    json_write(out, doc);
    buf_append_byte(out, '\n');
    yyjson_mut_doc_free(doc);
    yyjson_doc_free(read);
}

/* Blank lines stay, so that errors of the node have the numbers of the file. */
static void complete_all(const struct buf *file, const struct batch_given *given, struct buf *out) {
    const char *at = (const char *)file->data, *end = at + file->len;
    for (uint32_t number = 1; at < end; number++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at)), *next = stop != NULL ? stop + 1 : end;
        size_t len = (size_t)((stop != NULL ? stop : end) - at);
        while (len > 0 && strchr(" \t\r", at[len - 1]) != NULL && at[len - 1] != '\0') len--;
        if (len > 0) complete(at, len, number, given, out);
        else buf_append_byte(out, '\n');
        at = next;
    }
}

static err_code check(const char *path, const struct batch_given *given, struct batch_text *t, struct err *e) {
    struct batch_input *in = batch_input_create(given->endpoint, BATCH_MAX_LINES);
    size_t n_faults;
    batch_input_push(in, t->lines.data, t->lines.len);
    batch_input_end(in);
    const struct batch_fault *f = batch_input_faults(in, &n_faults);
    batch_input_lines(in, &t->n);
    err_code code = ERR_OK;
    if (n_faults > 0) {
        char where[32] = "";
        if (f->line > 0) snprintf(where, sizeof(where), " line %u", f->line);
        code = err_set(e, ERR_INVALID, "\"%.120s\"%s: %.220s", path, where, f->message);
        if (strcmp(f->param, "body.model") == 0 && given->model == NULL) err_hint(e, "--model NAME is for lines that name none");
        else if (strcmp(f->code, "mismatched_endpoint") == 0) err_hint(e, "--endpoint says what the lines ask: %s", batch_endpoints());
        else if (n_faults > 1) err_hint(e, "%zu%s lines are wrong", n_faults, n_faults == BATCH_MAX_FAULTS ? " or more" : "");
    }
    batch_input_free(in);
    return code;
}

err_code batch_text_read(const char *path, const struct batch_given *given, struct batch_text *ret, struct err *e) {
    struct batch_text t = {0};
    struct buf file;
    uint8_t hash[IO_SHA256_SIZE];
    buf_init(&file, MAX_FILE);
    buf_init(&t.lines, SIZE_MAX - 1);
    err_code code = file_read(path, "input file", &file, e);
    if (code == ERR_OK) complete_all(&file, given, &t.lines);
    if (code == ERR_OK && t.lines.failed) code = err_set(e, ERR_MEMORY, "there is no memory for \"%.120s\"", path);
    if (code == ERR_OK) code = check(path, given, &t, e);
    buf_done(&file);
    if (code != ERR_OK) {
        batch_text_done(&t);
        return code;
    }
    io_sha256(t.lines.data, t.lines.len, hash);
    str_hex(hash, sizeof(hash), t.hash);
    *ret = t;
    return ERR_OK;
}

void batch_text_done(struct batch_text *t) { buf_done(&t->lines); }
