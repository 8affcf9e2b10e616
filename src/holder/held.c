/* SPDX-License-Identifier: MIT
 * See held.h. The file: {"models": [{"model": ID, "first": N, "end": N}, ...]}, the one that was held last at the end. */
#include "holder/held.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json_file.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/hash.h"

enum { MAX_FILE = 1 << 16 };

struct held {
    char *path; /* NULL: nothing is kept */
    struct record_held list[HELD_MAX];
    uint32_t n;
};

static const struct record_held *find(const struct held *h, const char *model) {
    for (uint32_t i = 0; i < h->n; i++)
        if (strcmp(h->list[i].model, model) == 0) return &h->list[i];
    return NULL;
}

/* At the end of the list. */
static void put(struct held *h, const char *model, uint32_t first, uint32_t end) {
    const struct record_held *old = find(h, model);
    uint32_t at = old ? (uint32_t)(old - h->list) : 0;
    if (old || h->n == HELD_MAX) memmove(&h->list[at], &h->list[at + 1], (--h->n - at) * sizeof(*h->list));
    struct record_held *x = &h->list[h->n++];
    *x = (struct record_held){.first = first, .end = end};
    snprintf(x->model, sizeof(x->model), "%s", model);
}

/* ---- the file ---- */

static err_code read_entry(struct held *h, yyjson_val *v, struct err *e) {
    const char *model = "";
    uint32_t first = 0, end = 0;
    err_code code = json_get_str(v, "model", &model, e);
    if (code == ERR_OK) code = json_get_u32(v, "first", INT32_MAX, &first, e);
    if (code == ERR_OK) code = json_get_u32(v, "end", INT32_MAX, &end, e);
    if (code == ERR_OK && (!model_id_ok(model) || first >= end)) code = err_set(e, ERR_INVALID, "no layers of a model");
    if (code == ERR_OK) put(h, model, first, end);
    return code;
}

static void read_file(struct held *h) {
    struct err e = {0};
    yyjson_doc *doc = NULL;
    yyjson_val *v;
    size_t i, n;
    err_code code = json_file_load(h->path, "the layers that were held", MAX_FILE, &doc, &e);
    yyjson_arr_foreach(json_some(yyjson_obj_get(yyjson_doc_get_root(doc), "models")), i, n, v) if (code == ERR_OK) code =
        read_entry(h, v, &e);
    yyjson_doc_free(doc);
    if (code != ERR_OK && code != ERR_NOT_FOUND)
        log_warn("node", "\"%s\": %s; models may be placed elsewhere than before", h->path, e.text);
}

static void write_file(const struct held *h) {
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, yyjson_mut_doc_get_root(doc), "models");
    struct err e;
    struct buf b;
    buf_init(&b, MAX_FILE);
    for (uint32_t i = 0; i < h->n; i++) {
        yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, list);
        yyjson_mut_obj_add_str(doc, o, "model", h->list[i].model);
        yyjson_mut_obj_add_uint(doc, o, "first", h->list[i].first);
        yyjson_mut_obj_add_uint(doc, o, "end", h->list[i].end);
    }
    json_write(&b, doc);
    if (file_write(h->path, b.data, b.len, &e) != ERR_OK) log_warn("node", "%s", e.text);
    buf_done(&b);
    yyjson_mut_doc_free(doc);
}

/* ---- life ---- */

struct held *held_open(const char *state_dir) {
    struct held *h = MEM_NEW(struct held);
    h->path = state_dir != NULL ? mem_printf("%sheld.json", state_dir) : NULL;
    if (h->path != NULL) read_file(h);
    return h;
}

void held_close(struct held *h) {
    if (!h) return;
    free(h->path);
    free(h);
}

bool held_set(struct held *h, const char *model, uint32_t first, uint32_t end) {
    const struct record_held *old = find(h, model);
    if (!model_id_ok(model) || (old && old->first == first && old->end == end)) return false;
    put(h, model, first, end);
    if (h->path != NULL) write_file(h);
    return true;
}

uint32_t held_newest(const struct held *h, struct record_held *ret, uint32_t max) {
    uint32_t n = h->n < max ? h->n : max;
    for (uint32_t i = 0; i < n; i++) ret[i] = h->list[h->n - 1 - i];
    return n;
}
