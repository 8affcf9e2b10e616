/* SPDX-License-Identifier: MIT
 * A value is alone at a border between layers if all paths from what was computed before the border to what is computed behind it go
 * through that value. Paths are counted (modulo a prime, so a wrong answer has a chance of 1 in four billion): those to the
 * value times those from it are then as many as there are in all.
 *
 * Where no value is alone, all layers may read one that layer 0 computed with a weight of its own. If some value is alone without the paths
 * from there to later layers, the two travel together (model_entry.carry). */
#include "model/graph.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "model/layout.h"
#include "model/quirks.h"

static const uint64_t PRIME = 4294967291u;
enum { NONE = -1 };

static bool starts_with(const char *s, const char *start) { return strncmp(s, start, strlen(start)) == 0; }

/* The layer of "cache_k_l12" and its like; -1: another name. */
static int32_t layer_of_memory(const char *leaf) {
    const char *at = strrchr(leaf, 'l');
    int64_t n;
    if (!starts_with(leaf, "cache_") || at == leaf || at[-1] != '_' || !str_parse_i64(at + 1, &n)) return NONE;
    return n >= 0 && n < MODEL_MAX_LAYERS ? (int32_t)n : NONE;
}

void model_graph_note_leaf(struct model_graph_node *node, const char *leaf) {
    const char *rest = NULL;
    int32_t layer = model_layer_of_name(leaf, &rest);
    if (layer >= 0) snprintf(node->weight, sizeof(node->weight), "%s", rest);
    else layer = layer_of_memory(leaf);
    if (layer > node->layer) node->layer = layer;
    if (layer < 0 && strchr(leaf, '.')) snprintf(node->table, sizeof(node->table), "%s", leaf);
    bool table = starts_with(leaf, "token_embd.");
    if (table && strcmp(node->op, "GET_ROWS") == 0) node->embeds = true;
    else if (table || starts_with(leaf, "output")) node->output = true;
    if (starts_with(leaf, "per_layer_token_embd.") || strstr(leaf, "tid2eid")) node->ids = true;
}

/* ---- the value that is alone at a border ---- */

struct paths {
    const struct model_graph *g;
    uint64_t *to, *from;           /* paths that end at a node, and that begin there */
    int32_t *behind;               /* the last layer that a node depends on */
    int32_t carried;               /* the node whose paths from layer 0 to later layers don't count; -1: all paths count */
};

static bool begins(const struct model_graph_node *n, int32_t border) { return n->embeds || (n->layer >= 0 && n->layer < border); }
static bool ends(const struct model_graph_node *n, int32_t border) { return n->output || n->layer >= border; }

/* Does this source of node i not count? */
static bool leaves_out(const struct paths *p, uint32_t i, uint32_t source) { return (int32_t)source == p->carried && p->behind[i] > 0; }

/* Another shape of a value that an earlier node has computed. */
static bool is_view(const struct model_graph_node *n) {
    static const char *const ops[] = {"RESHAPE", "VIEW", "PERMUTE", "TRANSPOSE"};
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        if (strcmp(n->op, ops[i]) == 0) return true;
    return false;
}

/* Counts the paths to and from each node, of those that cross the border. Returns all of them. */
static uint64_t count_paths(const struct paths *p, int32_t border) {
    const struct model_graph *g = p->g;
    uint64_t all = 0;
    for (uint32_t i = 0; i < g->n; i++) {
        const struct model_graph_node *n = &g->node[i];
        p->to[i] = begins(n, border);
        p->from[i] = ends(n, border);
        for (uint32_t k = 0; k < n->n_src; k++)
            if (!leaves_out(p, i, n->src[k])) p->to[i] = (p->to[i] + p->to[n->src[k]]) % PRIME;
        if (ends(n, border)) all = (all + p->to[i]) % PRIME;
    }
    for (uint32_t i = g->n; i-- > 0;)
        for (uint32_t k = 0; k < g->node[i].n_src; k++) {
            uint32_t s = g->node[i].src[k];
            if (leaves_out(p, i, s)) continue;
            p->from[s] = (p->from[s] + p->from[i]) % PRIME;
        }
    return all;
}

/* Do all paths lead through this node? After count_paths. */
static bool is_alone(const struct paths *p, uint32_t i, int32_t border, uint64_t all) {
    const struct model_graph_node *n = &p->g->node[i];
    return all != 0 && !is_view(n) && !ends(n, border) && p->behind[i] < border && p->to[i] * p->from[i] % PRIME == all;
}

/* The last node that is alone before layer `border` and looks like `like` (NULL: anything); -1: there is none. */
static int32_t alone(const struct paths *p, int32_t border, const struct model_graph_node *like) {
    uint64_t all = count_paths(p, border);
    for (uint32_t i = p->g->n; i-- > 0;) {
        const struct model_graph_node *n = &p->g->node[i];
        bool fits = like == NULL || (n->n_values == like->n_values && strcmp(n->op, like->op) == 0);
        if (fits && is_alone(p, i, border, all)) return (int32_t)i;
    }
    return NONE;
}

static void find_depths(const struct paths *p) {
    for (uint32_t i = 0; i < p->g->n; i++) {
        const struct model_graph_node *n = &p->g->node[i];
        p->behind[i] = n->layer;
        for (uint32_t k = 0; k < n->n_src; k++)
            if (p->behind[n->src[k]] > p->behind[i]) p->behind[i] = p->behind[n->src[k]];
    }
}

/* ---- names ---- */

/* Can the node be found by its name, and by no other's? ggml numbers nodes without a name, and adds words to those of views. */
static bool has_name(const struct model_graph *g, uint32_t at) {
    const char *name = g->node[at].name;
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n; i++) n += strcmp(g->node[i].name, name) == 0;
    return n == 1 && !starts_with(name, "node_") && *name != '\0' && strchr(name, ' ') == NULL;
}

/* "WEIGHT>OP" for a node without a name: it is the first of its operation after the one that reads that weight. */
static bool put_structure(const struct model_graph *g, uint32_t at, char *ret, size_t size) {
    for (uint32_t i = at; i-- > 0;) {
        const struct model_graph_node *n = &g->node[i];
        if (strcmp(n->op, g->node[at].op) == 0) return false;
        if (n->weight[0] == '\0' || n->layer != (int32_t)g->n_layer - 1) continue;
        snprintf(ret, size, "%s>%s", n->weight, g->node[at].op);
        return true;
    }
    return false;
}

/* The last layer's result: the value that has the name of an earlier layer's result `inner`, with the last layer's number in it; else one
 * that looks like that. */
static int32_t find_result(const struct paths *p, const struct model_graph_node *inner) {
    const struct model_graph *g = p->g;
    char name[MODEL_GRAPH_NAME + 16];
    const char *number = strrchr(inner->name, '-');
    uint64_t all = count_paths(p, (int32_t)g->n_layer);
    if (number != NULL) {
        snprintf(name, sizeof(name), "%.*s%" PRIu32, (int)(number + 1 - inner->name), inner->name, g->n_layer - 1);
        for (uint32_t i = g->n; i-- > 0;)
            if (strcmp(g->node[i].name, name) == 0 && is_alone(p, i, (int32_t)g->n_layer, all)) return (int32_t)i;
    }
    return alone(p, (int32_t)g->n_layer, inner);
}

/* The result's name in any slice: with the layer's number left out, if it ends with that. */
static bool put_result(const struct model_graph *g, uint32_t at, char *ret, size_t size) {
    char number[16];
    if (!has_name(g, at)) return put_structure(g, at, ret, size);
    snprintf(ret, size, "%s", g->node[at].name);
    size_t n = (size_t)snprintf(number, sizeof(number), "-%" PRIu32, g->n_layer - 1), len = strlen(ret);
    if (len > n && strcmp(ret + len - n, number) == 0) ret[len - n + 1] = '\0';
    return true;
}

/* ---- the proposal ---- */

/* The smallest number at whose multiples nothing but one value of the entry's width is alive; 0: there is none. */
static uint32_t find_period(const struct paths *p, uint64_t n_values, int32_t *ret_inner) {
    bool legal[MODEL_MAX_LAYERS + 1] = {false};
    uint32_t n = p->g->n_layer;
    for (uint32_t b = 1; b < n; b++) {
        int32_t at = alone(p, (int32_t)b, NULL);
        legal[b] = at >= 0 && p->g->node[at].n_values == n_values;
        if (legal[b]) *ret_inner = at;
    }
    for (uint32_t period = 1; period < n; period++) {
        uint32_t b = period;
        while (b < n && legal[b]) b += period;
        if (b >= n) return period;
    }
    return 0;
}

/* Does a node of a layer behind layer 0 read this value, which layer 0 computes with a weight that no other node reads? */
static bool may_carry(const struct paths *p, uint32_t at, uint64_t n_values) {
    const struct model_graph_node *n = &p->g->node[at];
    bool read = false, own = n->layer == 0 && n->weight[0] != '\0' && n->n_values == n_values;
    for (uint32_t i = 0; i < p->g->n && own; i++) {
        const struct model_graph_node *other = &p->g->node[i];
        if (i != at && other->layer == 0 && strcmp(other->weight, n->weight) == 0) own = false;
        for (uint32_t k = 0; k < other->n_src; k++) read = read || (other->src[k] == at && p->behind[i] > 0);
    }
    return own && read;
}

/* Looks for a value without whose paths another one is alone between any two layers. */
static bool find_carried(struct paths *p, uint64_t n_values, int32_t *ret_inner) {
    for (uint32_t i = 0; i < p->g->n; i++) {
        if (!may_carry(p, i, n_values)) continue;
        p->carried = (int32_t)i;
        if (find_period(p, n_values, ret_inner) == 1) return true;
    }
    p->carried = NONE;
    return false;
}

static err_code whole_only(struct err *e, const char *why) {
    err_set(e, ERR_WHOLE_ONLY, "the model's graph can't be cut: %s", why);
    err_hint(e, "run it on one node that has room for all of it");
    return ERR_WHOLE_ONLY;
}

/* What enters layer 0 of a later slice: by its name, or as "<WEIGHT" by the weight outside of the layers that it alone reads. */
static bool put_entry(const struct model_graph *g, uint32_t at, char *ret, size_t size) {
    const struct model_graph_node *n = &g->node[at];
    uint32_t readers = 0;
    for (uint32_t i = 0; i < g->n; i++) readers += strcmp(g->node[i].table, n->table) == 0;
    bool named = has_name(g, at);
    if (named || n->table[0] != '\0') snprintf(ret, size, "%s%s", named ? "" : "<", named ? n->name : n->table);
    return named || (n->table[0] != '\0' && readers == 1);
}

/* Writes the part of the row that says how rows enter; out: the result's name. false: there is no name for what they replace. */
static bool put_ways(const struct paths *p, uint32_t entry, const char *out, char *ret, size_t size) {
    const struct model_graph *g = p->g;
    bool given = g->node[entry].embeds, ids = false;
    char name[MODEL_GRAPH_NAME * 2];
    for (uint32_t i = 0; i < g->n; i++) ids = ids || g->node[i].ids;
    *ret = '\0';
    if (p->carried != NONE) {
        if (out[strlen(out) - 1] != '-') return false;
        snprintf(ret, size, " in=%s0 carry=%s", out, g->node[p->carried].weight);
    } else if (!given || ids) {
        if (!put_entry(g, entry, name, sizeof(name))) return false;
        snprintf(ret, size, " in=%s", name);
    }
    if (ids) snprintf(ret + strlen(ret), size - strlen(ret), " ids=*");
    return true;
}

static err_code propose(struct paths *p, const char *arch, uint32_t n_embd, char *ret, size_t size, struct err *e) {
    const struct model_graph *g = p->g;
    int32_t entry = alone(p, 0, NULL), inner = NONE;
    char out[MODEL_GRAPH_NAME * 2], ways[MODEL_GRAPH_NAME * 4];
    if (entry < 0) return whole_only(e, "what enters the first layer is not one value");
    uint64_t n_values = g->node[entry].n_values, row = (uint64_t)n_embd * g->n_tokens;
    if (n_values % row != 0 || n_values / row > MODEL_MAX_STREAMS) return whole_only(e, "what enters the first layer has another width");
    uint32_t period = find_period(p, n_values, &inner);
    if (period == 0 && n_values == row && find_carried(p, n_values, &inner)) period = 1;
    if (period == 0) return whole_only(e, "between its layers more than one value is alive");
    int32_t result = find_result(p, &g->node[inner]);
    if (result < 0 || !put_result(g, (uint32_t)result, out, sizeof(out))) return whole_only(e, "its last layer's result can't be told");
    if (!put_ways(p, (uint32_t)entry, out, ways, sizeof(ways))) return whole_only(e, "what enters its first layer has no name");
    snprintf(ret, size, "%s period=%" PRIu32 " width=%" PRIu64 " out=%s%s", arch, period, n_values / row, out, ways);
    return ERR_OK;
}

err_code model_graph_propose(const struct model_graph *g, const char *arch, uint32_t n_embd, char *ret_row, size_t size, struct err *e) {
    struct paths p = {.g = g, .carried = NONE};
    if (g->n == 0 || g->n_layer < 2 || size < MODEL_MAX_ARCH + 5 * MODEL_GRAPH_NAME + 64) return whole_only(e, "it has too few layers");
    p.to = mem_calloc(g->n, sizeof(*p.to));
    p.from = mem_calloc(g->n, sizeof(*p.from));
    p.behind = mem_calloc(g->n, sizeof(*p.behind));
    find_depths(&p);
    err_code code = propose(&p, arch, n_embd, ret_row, size, e);
    free(p.to);
    free(p.from);
    free(p.behind);
    return code;
}
