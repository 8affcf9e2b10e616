/* SPDX-License-Identifier: MIT
 * See listing.h. */
#include "node/listing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "node/status.h"

enum { NODE_NAME_SIZE = 96 };

/* The node's name; where several have it, with the beginning of its id: "vm (3fa2c1b0)". */
static const char *list_node(const struct listing *l, const struct record *r, char ret[NODE_NAME_SIZE]) {
    size_t same = 0;
    for (size_t i = 0; i < l->n_records; i++) same += strcmp(l->records[i]->name, r->name) == 0;
    snprintf(ret, NODE_NAME_SIZE, same > 1 ? "%.64s (%08x)" : "%.64s", r->name, (unsigned)(r->id >> 32));
    return ret;
}

static void list_stage(const struct listing *l, yyjson_mut_doc *doc, yyjson_mut_val *stages, const struct record *r,
                       const struct record_stage *s) {
    yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, stages);
    char node[NODE_NAME_SIZE];
    yyjson_mut_obj_add_strcpy(doc, o, "node", list_node(l, r, node));
    yyjson_mut_obj_add_uint(doc, o, "stage", s->stage);
    yyjson_mut_obj_add_uint(doc, o, "first_layer", s->first);
    yyjson_mut_obj_add_uint(doc, o, "last_layer", s->end - 1);
    status_progress(doc, o, s);
    yyjson_mut_obj_add_uint(doc, o, "bytes", s->bytes);
}

static void list_instance(const struct listing *l, yyjson_mut_doc *doc, yyjson_mut_val *instances, const struct record *by,
                          const struct record_model *m) {
    yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, instances), *stages = yyjson_mut_obj_add_arr(doc, o, "stages");
    uint64_t done = 0, all = 0;
    char node[NODE_NAME_SIZE];
    for (size_t i = 0; i < l->n_records; i++)
        for (uint32_t k = 0; k < l->records[i]->n_stages; k++) {
            const struct record_stage *s = &l->records[i]->stages[k];
            if (strcmp(s->instance, m->instance) != 0) continue;
            list_stage(l, doc, stages, l->records[i], s);
            done += s->phase == STAGE_LOADING ? s->progress : 100;
            all += 100;
        }
    yyjson_mut_obj_add_strcpy(doc, o, "instance", m->instance);
    yyjson_mut_obj_add_uint(doc, o, "replica", m->replica);
    yyjson_mut_obj_add_strcpy(doc, o, "coordinator", list_node(l, by, node));
    yyjson_mut_obj_add_str(doc, o, "state", status_model(m));
    if (all < 100ULL * m->n_stage) all = 100ULL * m->n_stage; /* the stages of which their holders have not spoken yet */
    if (m->failed) yyjson_mut_obj_add_str(doc, o, "error", err_name(m->trouble));
    yyjson_mut_obj_add_uint(doc, o, "progress", m->ready ? 100 : all ? 100 * done / all : 0);
    yyjson_mut_obj_add_uint(doc, o, "n_stage", m->n_stage);
    yyjson_mut_obj_add_int(doc, o, "since", m->created);
    yyjson_mut_obj_add_uint(doc, o, "requests", l->requests(l->user, m->instance));
    yyjson_mut_obj_add_uint(doc, o, "parallel", m->wish.parallel);
    yyjson_mut_obj_add_uint(doc, o, "context", m->n_ctx);
    yyjson_mut_obj_add_strcpy(doc, o, "message", m->message);
}

static const struct model_card *list_card(const struct listing *l, const char *name) {
    for (size_t i = 0; i < l->n_records; i++)
        for (uint32_t k = 0; k < l->records[i]->n_cards; k++)
            if (strcmp(l->records[i]->cards[k].name, name) == 0) return &l->records[i]->cards[k];
    return NULL;
}

static void list_model(const struct listing *l, yyjson_mut_doc *doc, yyjson_mut_val *models, const char *name) {
    yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, models), *nodes, *instances;
    const struct model_card *card = list_card(l, name);
    char node[NODE_NAME_SIZE];
    bool ready = false, failed = false, loading = false, waiting = false;
    yyjson_mut_obj_add_strcpy(doc, o, "name", name);
    if (card) {
        yyjson_mut_obj_add_strcpy(doc, o, "id", card->id);
        yyjson_mut_obj_add_uint(doc, o, "bytes", card->bytes);
        yyjson_mut_obj_add_strcpy(doc, o, "quantisation", card->quant);
        yyjson_mut_obj_add_strcpy(doc, o, "architecture", card->arch);
        yyjson_mut_obj_add_uint(doc, o, "layers", card->n_layer);
        yyjson_mut_obj_add_uint(doc, o, "parameters", card->params);
        yyjson_mut_obj_add_uint(doc, o, "context_trained", card->n_ctx);
    }
    nodes = yyjson_mut_obj_add_arr(doc, o, "files");
    for (size_t i = 0; i < l->n_records; i++)
        for (uint32_t k = 0; k < l->records[i]->n_cards; k++)
            if (strcmp(l->records[i]->cards[k].name, name) == 0) yyjson_mut_arr_add_strcpy(doc, nodes, list_node(l, l->records[i], node));
    instances = yyjson_mut_obj_add_arr(doc, o, "instances");
    for (size_t i = 0; i < l->n_records; i++)
        for (uint32_t k = 0; k < l->records[i]->n_models; k++) {
            const struct record_model *m = &l->records[i]->models[k];
            if (strcmp(m->name, name) != 0) continue;
            list_instance(l, doc, instances, l->records[i], m);
            ready |= m->ready;
            failed |= m->failed;
            loading |= !m->ready && !m->failed && m->n_stage > 0;
            waiting |= !m->ready && !m->failed && m->n_stage == 0;
        }
    yyjson_mut_obj_add_str(doc, o, "state", ready ? "ready" : loading ? "loading" : waiting ? "waiting" : failed ? "failed" : "not loaded");
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* The names of all files and instances, each once, in order. The caller frees the array. */
static const char **list_names(const struct listing *l, size_t *ret_n) {
    size_t n = 0, kept = 0;
    for (size_t i = 0; i < l->n_records; i++) n += l->records[i]->n_cards + l->records[i]->n_models;
    const char **names = mem_calloc(n, sizeof(*names));
    n = 0;
    for (size_t i = 0; i < l->n_records; i++) {
        for (uint32_t k = 0; k < l->records[i]->n_cards; k++) names[n++] = l->records[i]->cards[k].name;
        for (uint32_t k = 0; k < l->records[i]->n_models; k++) names[n++] = l->records[i]->models[k].name;
    }
    if (n > 1) qsort(names, n, sizeof(*names), by_text);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || strcmp(names[kept - 1], names[i]) != 0) names[kept++] = names[i];
    *ret_n = kept;
    return names;
}

/* The files of this node's models folder that cannot be used, and why. */
static void list_bad(const struct listing *l, yyjson_mut_doc *doc, yyjson_mut_val *root) {
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, root, "unusable");
    const struct catalog_bad *bad;
    for (size_t i = 0; (bad = catalog_get_bad(l->catalog, i)) != NULL; i++) {
        if (!bad->settled) continue; /* it may be being written */
        yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, list);
        yyjson_mut_obj_add_strcpy(doc, o, "file", bad->path);
        yyjson_mut_obj_add_strcpy(doc, o, "message", bad->why);
    }
    yyjson_mut_obj_add_uint(doc, root, "left_out", catalog_left_out(l->catalog));
}

static int by_name(const void *a, const void *b) {
    const struct record *x = *(const struct record *const *)a, *y = *(const struct record *const *)b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : (x->id > y->id) - (x->id < y->id);
}

yyjson_mut_val *listing_make(const struct listing *given, yyjson_mut_doc *doc) {
    const struct record **records = mem_calloc(given->n_records, sizeof(*records)); /* the same order each time */
    struct listing sorted = *given;
    const struct listing *l = &sorted;
    for (size_t i = 0; i < given->n_records; i++) records[i] = given->records[i];
    if (given->n_records > 1) qsort(records, given->n_records, sizeof(*records), by_name);
    sorted.records = records;
    yyjson_mut_val *root = yyjson_mut_obj(doc), *models = yyjson_mut_obj_add_arr(doc, root, "models");
    size_t count;
    const char **names = list_names(l, &count);
    for (size_t i = 0; i < count; i++) list_model(l, doc, models, names[i]);
    list_bad(l, doc, root);
    free(names);
    free(records);
    return root;
}
