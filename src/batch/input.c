/* SPDX-License-Identifier: MIT
 * See input.h. */
#include "batch/input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "batch/line.h"

struct batch_input {
    const char *endpoint;
    uint32_t max_lines;
    struct buf line;             /* the line that has come so far */
    uint64_t at, end;            /* where it begins in the file, and where the bytes end that have come */
    uint32_t number;             /* of it, from 1 */
    bool too_long;               /* it is read over */
    bool stopped;                /* nothing more is looked at */
    char *model;                 /* owned; NULL: no line has named one */
    struct batch_place *places;
    uint32_t n, cap;
    struct batch_fault *faults;
    size_t n_faults;
    struct arena *arena;         /* of the ids */
    struct id_seen {
        const char *id;
        uint32_t line;
    } *ids;                      /* a hash table: a power of two of places, at most half of them taken */
    size_t n_ids, cap_ids;
};

struct batch_input *batch_input_create(const char *endpoint, uint32_t max_lines) {
    struct batch_input *in = MEM_NEW(struct batch_input);
    *in = (struct batch_input){.endpoint = endpoint, .max_lines = max_lines, .number = 1, .arena = arena_create(), .cap_ids = 64};
    in->ids = mem_calloc(in->cap_ids, sizeof(*in->ids));
    in->faults = mem_calloc(BATCH_MAX_FAULTS, sizeof(*in->faults));
    buf_init(&in->line, BATCH_MAX_LINE + 2);
    return in;
}

void batch_input_free(struct batch_input *in) {
    if (in == NULL) return;
    buf_done(&in->line);
    arena_free(in->arena);
    free(in->model);
    free(in->places);
    free(in->faults);
    free(in->ids);
    free(in);
}

static void add_fault(struct batch_input *in, const char *code, uint32_t line, const struct err *e) {
    if (in->n_faults == BATCH_MAX_FAULTS) {
        in->stopped = true;
        return;
    }
    struct batch_fault *f = &in->faults[in->n_faults++];
    f->code = code;
    f->line = line;
    snprintf(f->param, sizeof(f->param), "%s", e->field);
    snprintf(f->message, sizeof(f->message), "%s", e->text);
}

/* ---- ids ---- */

static struct id_seen *find_id(const struct batch_input *in, const char *id) {
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (const char *c = id; *c != '\0'; c++) h = (h ^ (uint8_t)*c) * 0x100000001b3u;
    size_t mask = in->cap_ids - 1, at = h & mask;
    while (in->ids[at].id != NULL && strcmp(in->ids[at].id, id) != 0) at = (at + 1) & mask;
    return &in->ids[at];
}

static void grow_ids(struct batch_input *in) {
    struct id_seen *old = in->ids;
    size_t n = in->cap_ids;
    in->cap_ids = 2 * n;
    in->ids = mem_calloc(in->cap_ids, sizeof(*in->ids));
    for (size_t i = 0; i < n; i++)
        if (old[i].id != NULL) *find_id(in, old[i].id) = old[i];
    free(old);
}

static void check_id(struct batch_input *in, const char *id) {
    struct id_seen *seen = find_id(in, id);
    struct err e;
    if (seen->id != NULL) {
        err_set_field(&e, ERR_INVALID, "custom_id", "\"%.80s\" is that of line %u already", id, seen->line);
        add_fault(in, "duplicate_custom_id", in->number, &e);
        return;
    }
    *seen = (struct id_seen){arena_strdup(in->arena, id), in->number};
    if (2 * ++in->n_ids > in->cap_ids) grow_ids(in);
}

/* ---- lines ---- */

static void check_model(struct batch_input *in, const char *model) {
    struct err e;
    if (in->model == NULL) in->model = mem_strdup(model);
    if (strcmp(in->model, model) == 0) return;
    err_set_field(&e, ERR_INVALID, "body.model", "a batch asks one model: \"%.80s\" in the lines before, \"%.80s\" here", in->model, model);
    add_fault(in, "mismatched_model", in->number, &e);
}

static const char *fault_code(err_code code, const struct err *e) {
    if (code == ERR_JSON) return "invalid_json_line";
    if (strcmp(e->field, "url") == 0) return "mismatched_endpoint";
    return code == ERR_UNSUPPORTED ? "unsupported" : "invalid_request";
}

static void add_place(struct batch_input *in, size_t len) {
    if (in->n == in->cap) {
        in->cap = in->cap > 0 ? 2 * in->cap : 256;
        in->places = mem_realloc(in->places, in->cap, sizeof(*in->places));
    }
    in->places[in->n++] = (struct batch_place){in->at, (uint32_t)len};
}

static void take_line(struct batch_input *in, const char *text, size_t len) {
    struct batch_line line;
    struct err e = {0};
    if (in->n == in->max_lines) {
        err_set(&e, ERR_LIMIT, "a batch has at most %u lines: divide the file", in->max_lines);
        add_fault(in, "too_many_lines", in->number, &e);
        in->stopped = true;
        return;
    }
    add_place(in, len);
    err_code code = batch_line_read(text, len, in->endpoint, &line, &e);
    if (code != ERR_OK) {
        add_fault(in, fault_code(code, &e), in->number, &e);
        return;
    }
    check_id(in, line.custom_id);
    check_model(in, line.model);
    batch_line_done(&line);
}

static bool is_blank(const char *text, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (strchr(" \t\r", text[i]) == NULL) return false;
    return true;
}

static void end_line(struct batch_input *in) {
    const char *text = buf_cstr(&in->line);
    size_t len = in->line.len;
    struct err e = {0};
    if (in->too_long) {
        err_set(&e, ERR_LIMIT, "the line is longer than %d bytes", BATCH_MAX_LINE);
        add_fault(in, "line_too_long", in->number, &e);
    } else if (memchr(text, '\0', len) != NULL || !is_blank(text, len)) {
        take_line(in, text, len);
    }
    in->too_long = false;
    in->number++;
    buf_clear(&in->line);
}

static void add_bytes(struct batch_input *in, const char *data, size_t len) {
    if (in->line.len + len > BATCH_MAX_LINE) in->too_long = true;
    if (!in->too_long) buf_append(&in->line, data, len);
}

void batch_input_push(struct batch_input *in, const void *data, size_t len) {
    const char *at = data;
    while (len > 0 && !in->stopped) {
        const char *end = memchr(at, '\n', len);
        size_t n = end != NULL ? (size_t)(end - at) : len;
        add_bytes(in, at, n);
        in->end += n;
        at += n;
        len -= n;
        if (end == NULL) return;
        end_line(in);
        in->at = ++in->end;
        at++;
        len--;
    }
}

void batch_input_end(struct batch_input *in) {
    struct err e = {0};
    if (!in->stopped && (in->line.len > 0 || in->too_long)) end_line(in);
    if (in->n > 0 || in->n_faults > 0) return;
    err_set(&e, ERR_INVALID, "the file has no lines");
    add_fault(in, "empty_file", 0, &e);
}

const struct batch_fault *batch_input_faults(const struct batch_input *in, size_t *ret_n) {
    *ret_n = in->n_faults;
    return in->faults;
}

const struct batch_place *batch_input_lines(const struct batch_input *in, uint32_t *ret_n) {
    *ret_n = in->n;
    return in->places;
}

const char *batch_input_model(const struct batch_input *in) { return in->model != NULL ? in->model : ""; }
