/* SPDX-License-Identifier: MIT
 * What happens while a slice's graph runs. libllama's evaluation callback is asked about each node in the order of computing. Answering
 * true to a question makes the scheduler stop behind that node and call again, with the node's value there to be read and to be written.
 *
 * Rows leave: the last layer's result is copied out, and the graph ends there. Rows enter: most slices get them as llama_batch.embd. Others
 * get token ids, as a head does, and the rows replace the value that the graph computed for layer 0 (struct model_entry). If later layers
 * need the replaced value too, it is put back behind the last node of layer 0 that reads the rows.
 *
 * Some layers need a second value of a token, which layer 0 computed for all (model_slice_info.carry). It travels behind the row. In the
 * first slice it is taken out of layer 0. A later slice begins with a layer of zeros. The carried value replaces that which this layer
 * computes, and the rest of the row replaces its result. So later layers find in the graph what they would find in the whole model.
 *
 * Constants that libllama derives from the number of layers stand in the nodes themselves, and are set right before they are computed
 * (struct model_scale). */
#include <llama.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "engine/slice_priv.h"
#include "model/quirks.h"

/* A node has [width][rows] floats side by side. */
static bool has_rows(const struct ggml_tensor *t, size_t width, size_t most, size_t *ret_rows) {
    size_t n = (size_t)ggml_nelements(t);
    *ret_rows = n / width;
    return t->type == GGML_TYPE_F32 && ggml_is_contiguous(t) && n % width == 0 && n / width <= most;
}

static void copy_parts(float *to, size_t to_step, const float *from, size_t from_step, size_t width, size_t rows) {
    for (size_t i = 0; i < rows; i++) memcpy(to + i * to_step, from + i * from_step, width * sizeof(*to));
}

/* Writes a part of rows that are `step` wide into a node. */
static void put_rows(struct slice_graph *g, struct ggml_tensor *t, const float *from, size_t step, size_t width, size_t rows) {
    if (step != width) copy_parts(g->part, width, from, step, width, rows);
    ggml_backend_tensor_set(t, step != width ? g->part : from, 0, ggml_nbytes(t));
}

/* And back. */
static void get_rows(struct slice_graph *g, const struct ggml_tensor *t, float *to, size_t step, size_t width, size_t rows) {
    ggml_backend_tensor_get(t, step != width ? g->part : to, 0, ggml_nbytes(t));
    if (step != width) copy_parts(to, step, g->part, width, width, rows);
}

/* Have the carried values of these rows been seen? */
static bool has_carried(struct slice *s, size_t rows) {
    bool all = s->what.n_carried == 0 || s->graph.carried == rows;
    s->graph.carried = 0;
    return all;
}

static void rows_enter(struct slice *s, struct ggml_tensor *t) {
    struct slice_graph *g = &s->graph;
    size_t rows, step = s->what.n_hidden_in, width = step - s->what.n_carried;
    if (g->give_from == NULL) return; /* libllama's own trial run */
    if (!has_rows(t, width, g->give_room - g->given, &rows) || !has_carried(s, rows)) {
        g->bad = true;
        return;
    }
    if (g->replaced != NULL) {
        ggml_backend_tensor_get(t, g->replaced, 0, ggml_nbytes(t));
        g->entry = t;
    }
    put_rows(g, t, g->give_from, step, width, rows);
    g->give_from += rows * step;
    g->given += (uint32_t)rows;
}

static void rows_leave(struct slice *s, const struct ggml_tensor *t) {
    struct slice_graph *g = &s->graph;
    size_t rows, step = s->what.n_hidden_out, carried = s->what.n_carried, width = step - carried;
    if (g->catch_to == NULL) return;
    if (!has_rows(t, width, g->catch_room - g->caught, &rows) || (s->what.head && !has_carried(s, rows))) {
        g->bad = true;
        return;
    }
    get_rows(g, t, g->catch_to, step, width, rows);
    if (!s->what.head && carried > 0) copy_parts(g->catch_to + width, step, g->given_first + g->caught * step + width, step, carried, rows);
    g->catch_to += rows * step;
    g->caught += (uint32_t)rows;
}

/* The node holds the carried value of the rows whose other part follows. */
static void rows_carry(struct slice *s, struct ggml_tensor *t) {
    struct slice_graph *g = &s->graph;
    size_t rows, carried = s->what.n_carried, step = s->what.head ? s->what.n_hidden_out : s->what.n_hidden_in;
    if ((s->what.head ? g->catch_to : g->give_from) == NULL) return;
    if (!has_rows(t, carried, s->what.head ? g->catch_room - g->caught : g->give_room - g->given, &rows)) {
        g->bad = true;
        return;
    }
    if (s->what.head) get_rows(g, t, g->catch_to + step - carried, step, carried, rows);
    else put_rows(g, t, g->give_from + step - carried, step, carried, rows);
    g->carried = (uint32_t)rows;
}

/* Is it the tensor of this name, or ggml's copy of it on another device ("CUDA0#blk.0.attn_q.weight#0")? */
static bool is_called(const struct ggml_tensor *t, const char *name) {
    size_t len = strlen(name);
    const char *copied = strchr(t->name, '#');
    return strcmp(t->name, name) == 0 || (copied != NULL && strncmp(copied + 1, name, len) == 0 && copied[1 + len] == '#');
}

static bool reads(const struct ggml_tensor *t, const char *name) {
    for (int i = 0; i < GGML_MAX_SRC && t->src[i] != NULL; i++)
        if (is_called(t->src[i], name)) return true;
    return false;
}

/* Do the rows replace this node's value? */
static bool is_entry(const struct slice *s, const struct ggml_tensor *t) {
    const char *name = s->what.in_tensor;
    if (*name == '<') return reads(t, name + 1);
    return *name != '\0' && strcmp(t->name, name) == 0;
}

/* Is it the node that reads the weight, or the one that adds to it what an adapter makes of the same rows? */
static bool is_carrier(struct slice *s, const struct ggml_tensor *t) {
    if (s->what.n_carried == 0) return false;
    bool read = reads(t, s->what.carry);
    if (read) s->graph.carrier = t;
    return read || (t->op == GGML_OP_ADD && t->src[0] == s->graph.carrier && t->src[1]->op == GGML_OP_SCALE);
}

/* Is this the last layer's result? Asked about each node once a run, in order. */
static bool is_result(struct slice *s, const struct ggml_tensor *t, bool ask) {
    const char *name = s->what.out_tensor;
    if (*name == '\0') return false;
    if (s->what.out_op[0] == '\0') return strcmp(t->name, name) == 0;
    if (!ask) return t == s->graph.result;
    if (reads(t, name)) s->graph.passed = true;
    else if (s->graph.passed && strcmp(ggml_op_name(t->op), s->what.out_op) == 0) {
        s->graph.passed = false;
        s->graph.result = t;
        return true;
    }
    return false;
}

/* Is the node one of those that the words name? */
static bool is_named(const struct ggml_tensor *t, const char *words) {
    const char *word;
    size_t len;
    while (str_next(&words, ' ', &word, &len)) {
        bool source = *word == '<';
        if (!source && strncmp(t->name, word, len) == 0) return true;
        if (source && strlen(t->src[0]->name) == len - 1 && strncmp(t->src[0]->name, word + 1, len - 1) == 0) return true;
    }
    return false;
}

static float constant_of(const struct slice *s) {
    double n = s->what.n_layer, layer = s->what.first + s->graph.layer - s->what.n_lead; /* libllama computes them just so */
    return s->what.scale->rule == MODEL_SCALE_DEPTH ? 1.4f / sqrtf((float)n) : (float)(1.0 - layer / (n - 1) + 1e-5);
}

/* Asked about each node before it is computed. A graph that libllama uses again keeps the value, which is then written again. */
static void mend_constant(struct slice *s, struct ggml_tensor *t) {
    int64_t layer;
    if (strncmp(t->name, "attn_norm-", 10) == 0 && str_parse_i64(t->name + 10, &layer)) s->graph.layer = (uint32_t)layer;
    if (t->op != GGML_OP_SCALE || !is_named(t, s->what.scale->nodes)) return;
    float v = constant_of(s);
    memcpy(t->op_params, &v, sizeof(v));
}

bool slice_graph_watch(struct ggml_tensor *t, bool ask, void *user) {
    struct slice *s = user;
    struct slice_graph *g = &s->graph;
    if (s->mtp.ctx != NULL && s->mtp.to == NULL && !s->mtp.shares) return !ask; /* most batches: nobody asks for guesses */
    if (ask && s->what.scale != NULL) mend_constant(s, t);
    if (s->mtp.to != NULL && slice_mtp_watch(s, t, ask)) return true;
    if (is_carrier(s, t)) {
        if (!ask) rows_carry(s, t);
        return true;
    }
    if (is_entry(s, t)) {
        if (!ask) rows_enter(s, t);
        return true;
    }
    if (g->entry != NULL && strcmp(t->name, s->what.restore_after) == 0) {
        if (ask) return true;
        ggml_backend_tensor_set(g->entry, g->replaced, 0, ggml_nbytes(g->entry));
        g->entry = NULL;
        return true;
    }
    if (!is_result(s, t, ask)) return !ask;
    if (ask) return true;
    rows_leave(s, t);
    return false; /* the graph ends here */
}

bool slice_graph_watches(const struct slice *s) {
    return !s->what.tail || s->pool.caught || s->what.in_tensor[0] != '\0' || s->what.scale != NULL || s->what.n_mtp > 0;
}

void slice_graph_begin(struct slice *s, size_t n, const float *in, float *out) {
    struct slice_graph *g = &s->graph;
    g->give_from = g->given_first = s->what.in_tensor[0] != '\0' ? in : NULL;
    g->catch_to = out;
    g->give_room = g->catch_room = (uint32_t)n;
    g->given = g->caught = g->carried = 0;
    g->bad = g->passed = false;
    g->entry = NULL;
    g->carrier = NULL;
}

err_code slice_graph_end(struct slice *s, size_t n, struct err *e) {
    struct slice_graph *g = &s->graph;
    bool gives = g->give_from != NULL, catches = g->catch_to != NULL;
    g->give_from = NULL;
    g->catch_to = NULL;
    if (gives && (g->bad || g->given != n))
        return err_set(e, ERR_ENGINE, "the tensor \"%s\" took %u rows of hidden states instead of %zu", s->what.in_tensor, g->given, n);
    if (catches && (g->bad || g->caught != n))
        return err_set(e, ERR_ENGINE, "the tensor \"%s\" gave %u rows of hidden states instead of %zu", s->what.out_tensor, g->caught, n);
    return ERR_OK;
}

err_code slice_graph_room(struct slice *s, struct err *e) {
    struct slice_graph *g = &s->graph;
    size_t floats = (size_t)s->info.n_batch * s->info.n_embd;
    bool restores = s->what.restore_after[0] != '\0', parts = s->what.n_carried > 0;
    if (restores) g->replaced = malloc(floats * sizeof(*g->replaced));
    if (parts) g->part = malloc(floats * sizeof(*g->part));
    if ((restores && g->replaced == NULL) || (parts && g->part == NULL))
        return err_set(e, ERR_MEMORY, "no memory for %u hidden rows", s->info.n_batch);
    return ERR_OK;
}

void slice_graph_done(struct slice *s) {
    free(s->graph.replaced);
    free(s->graph.part);
}
