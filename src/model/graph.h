/* SPDX-License-Identifier: MIT
 * The graph that libllama computes for a model, as engine/probe sees it, and what it says about slices: which value alone passes from one
 * layer to the next, what enters the first layer, and before which layers nothing else is alive. From this comes a row for an architecture
 * that tables/quirks.def does not have (model_quirks_teach). Constants that libllama takes from the number of layers don't show in a graph:
 * a row is a proposal until `caravan verify` has tried it. Pure functions, any thread. */
#ifndef CARAVAN_MODEL_GRAPH_H
#define CARAVAN_MODEL_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum { MODEL_GRAPH_MAX_NODES = 65536, MODEL_GRAPH_MAX_SOURCES = 10, MODEL_GRAPH_NAME = 64 };

struct model_graph_node {
    char name[MODEL_GRAPH_NAME], op[24];
    uint64_t n_values;
    int32_t layer;                 /* whose weights or memory it reads itself; -1: none */
    char weight[MODEL_GRAPH_NAME]; /* a weight that it reads, without "blk.N."; "": none of a layer */
    char table[MODEL_GRAPH_NAME];  /* a weight outside of the layers that it reads; "": none */
    bool embeds;                   /* it looks tokens up in token_embd */
    bool ids;                      /* it looks at token ids in another way */
    bool output;                   /* it reads the output table */
    uint32_t n_src;
    uint32_t src[MODEL_GRAPH_MAX_SOURCES]; /* indices of earlier nodes */
};

/* In the order of computing; the owner frees `node`. */
struct model_graph {
    struct model_graph_node *node;
    uint32_t n, n_layer, n_tokens;
};

/* Notes what a node reads: the name of a source that is no node (a weight, a memory, an input). */
void model_graph_note_leaf(struct model_graph_node *node, const char *leaf);

/* Writes the row for model_quirks_teach. arch, n_embd: of the model. ERR_WHOLE_ONLY: the graph can't be cut; the text says what stands
 * against it. */
err_code model_graph_propose(const struct model_graph *g, const char *arch, uint32_t n_embd, char *ret_row, size_t size, struct err *e);

#endif
