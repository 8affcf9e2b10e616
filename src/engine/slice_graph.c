/* SPDX-License-Identifier: MIT
 * What happens while a slice's graph runs. libllama's evaluation callback is asked about each node in the order of computing. Answering
 * true to a question makes the scheduler stop behind that node and call again, with the node's value there to be read and to be written.
 *
 * Rows leave: the last layer's result is copied out, and the graph ends there. Rows enter: most slices get them as llama_batch.embd. Others
 * get token ids, as a head does, and the rows replace the value that the graph computed for layer 0 (struct model_entry). If later layers
 * need the replaced value too, it is put back behind the last node of layer 0 that reads the rows.
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

static void rows_enter(struct slice_graph *g, struct ggml_tensor *t, size_t width) {
    size_t rows;
    if (g->give_from == NULL) return; /* libllama's own trial run */
    if (!has_rows(t, width, g->give_room - g->given, &rows)) {
        g->bad = true;
        return;
    }
    if (g->replaced != NULL) {
        ggml_backend_tensor_get(t, g->replaced, 0, ggml_nbytes(t));
        g->entry = t;
    }
    ggml_backend_tensor_set(t, g->give_from, 0, ggml_nbytes(t));
    g->give_from += rows * width;
    g->given += (uint32_t)rows;
}

static void rows_leave(struct slice_graph *g, struct ggml_tensor *t, size_t width) {
    size_t rows;
    if (g->catch_to == NULL) return;
    if (!has_rows(t, width, g->catch_room - g->caught, &rows)) {
        g->bad = true;
        return;
    }
    ggml_backend_tensor_get(t, g->catch_to, 0, ggml_nbytes(t));
    g->catch_to += rows * width;
    g->caught += (uint32_t)rows;
}

static bool reads(const struct ggml_tensor *t, const char *name) {
    for (int i = 0; i < GGML_MAX_SRC && t->src[i] != NULL; i++)
        if (strcmp(t->src[i]->name, name) == 0) return true;
    return false;
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
    double n = s->what.n_layer, layer = s->what.first + s->graph.layer; /* libllama computes them just so */
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
    if (s->what.in_tensor[0] != '\0' && strcmp(t->name, s->what.in_tensor) == 0) {
        if (!ask) rows_enter(g, t, s->what.n_hidden_in);
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
    rows_leave(g, t, s->what.n_hidden_out);
    return false; /* the graph ends here */
}

bool slice_graph_watches(const struct slice *s) {
    return !s->what.tail || s->pool.caught || s->what.in_tensor[0] != '\0' || s->what.scale != NULL || s->what.n_mtp > 0;
}

void slice_graph_begin(struct slice *s, size_t n, const float *in, float *out) {
    struct slice_graph *g = &s->graph;
    g->give_from = s->what.in_tensor[0] != '\0' ? in : NULL;
    g->catch_to = out;
    g->give_room = g->catch_room = (uint32_t)n;
    g->given = g->caught = 0;
    g->bad = g->passed = false;
    g->entry = NULL;
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
    if (s->what.restore_after[0] == '\0') return ERR_OK;
    s->graph.replaced = malloc((size_t)s->info.n_batch * s->what.n_hidden_in * sizeof(*s->graph.replaced));
    return s->graph.replaced != NULL ? ERR_OK : err_set(e, ERR_MEMORY, "no memory for %u hidden rows", s->info.n_batch);
}

void slice_graph_done(struct slice *s) { free(s->graph.replaced); }
