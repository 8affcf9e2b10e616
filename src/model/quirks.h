/* SPDX-License-Identifier: MIT
 * How each architecture can be cut in slices (tables/quirks.def, measured with libllama 0.7.0; docs/ARCHITECTURES.md). An architecture
 * that is not in the table runs whole only, unless this process was taught a row for it. Pure functions, any thread, but for
 * model_quirks_teach, which nothing may run beside. */
#ifndef CARAVAN_MODEL_QUIRKS_H
#define CARAVAN_MODEL_QUIRKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "model/layout.h"

enum { MODEL_MAX_STREAMS = 64, MODEL_MAX_ROW = 512 /* bytes of a row as text */, MODEL_MAX_TAUGHT = 64 /* rows */ };
enum model_split { MODEL_SPLIT_EXACT, MODEL_SPLIT_CLOSE, MODEL_SPLIT_WHOLE };

/* Where slices may begin and end. */
enum model_cut_rule {
    MODEL_CUT_ANY,             /* between any two layers */
    MODEL_CUT_PERIOD,          /* at multiples of `period` */
    MODEL_CUT_KINDS /* every slice needs a layer of each kind that the model has (full attention, sliding window, recurrent); and
                                * where the kinds are a rule and not a list in the file, at multiples of the rule's period */
};

/* What model/slice must do beyond the general rules. Unless a comment says otherwise: in slices that are not the first. */
enum model_fixup {
    MODEL_FIX_SQRT_SCALE = 1, /* libllama multiplies given rows by sqrt(n_embd): divide them first */
    MODEL_FIX_EMBD_SCALE = 2, /* libllama multiplies given rows by `<arch>.embedding_scale`: set it to 1 */
    MODEL_FIX_POSITION = 4, /* libllama adds learned positions to given rows: fill that table with zeros */
    MODEL_FIX_RESIDUAL = 8, /* without `residual_scale` libllama takes 1.4 / sqrt(layers): write the whole model's value */
    MODEL_FIX_HEADS = 16, /* libllama takes the head count of layer 0, which is 0 in a recurrent layer: write the largest */
    MODEL_FIX_POOL = 64, /* libllama aborts when every sequence has KV cells of its own: always use one pool for all */
    MODEL_FIX_OUTPUTS = 128, /* in any tail: if only some tokens of a batch are to have logits, libllama gives those of the first tokens in
                              * their place: ask for logits of all */
    MODEL_FIX_STATE = 256, /* it keeps a state that libllama doesn't copy with a sequence: copies and marks take all of it */
    MODEL_FIX_VOCAB = 32 /* libllama recognises it by its vocabulary's size: keep the size in slices without embedding and head */
};

struct model_quirks {
    const char *arch;
    enum model_split split;
    enum model_cut_rule cut;
    uint32_t period; /* MODEL_CUT_PERIOD: of cuts; MODEL_CUT_KINDS: of the rule, when the file has none (1: doesn't matter) */
    uint32_t fixups; /* enum model_fixup, or'ed */
    const char *out; /* the graph's name of the last layer's result; if it ends in '-', the layer's number follows. "TENSOR>OP": it has no
                      * name, but is the first node of that operation after the one that reads blk.N.TENSOR */
    const char *note; /* for MODEL_SPLIT_WHOLE the reason, for people; else a peculiarity, or "" */
};

/* How hidden rows enter a later slice of an architecture that can't be given them in place of tokens (tables/quirks_entry.def). The slice
 * gets token ids as the first slice does, and while its graph runs the rows replace what it computed for them. */
struct model_entry {
    const char *arch;
    const char *tensor; /* the graph's name of the value that the rows replace: what enters layer 0. "<WEIGHT": it has no name, and is the
                         * node that reads this weight */
    /* A token's row is so many residual streams, each as wide as the model; 0: as many as `<arch>.hyper_connection.count` says. If it isn't
     * 1, libllama can't be asked for embeddings, since these have another width. */
    uint32_t streams;
    /* Layers with a tensor whose name begins so look at the token ids themselves. "*": every layer does; "": none does, any id will do. */
    const char *ids;
    const char *restore; /* "": nothing. Else later layers need the replaced value too: it is put back behind the node of this name */
    /* "": nothing. Else all layers read a value that layer 0 computes for itself, with this weight of its own: a token's row has that value
     * behind its residual stream. A later slice begins with a layer of zeros (model_quirks_lead). The rows replace the same value of that
     * layer, and its result, which is then `tensor`. */
    const char *carry;
};

/* Constants of the graph that depend on the whole model (tables/quirks_scale.def). */
enum model_scale_rule {
    MODEL_SCALE_DEPTH, /* 1.4 / sqrt(layers) */
    MODEL_SCALE_SLOPE, /* from 1 in the first layer down to 0 in the last one, and 0.00001 more */
};
struct model_scale {
    const char *arch;
    enum model_scale_rule rule;
    const char *nodes; /* words: the beginning of a SCALE node's name, or "<" and the name of the value that it scales */
};

/* The row for an architecture, or the row of unknown ones (MODEL_SPLIT_WHOLE). Never NULL. */
const struct model_quirks *model_quirks_find(const struct model_layout *l);

/* Makes a row for an architecture, which from then on hides that of the table. text: as model_graph_propose writes it, "ARCHITECTURE
 * period=2 out=l_out- [width=4] [in=hc_init] [ids=*] [carry=WEIGHT]"; with "kinds=..." it is for models with these kinds of layers only;
 * with "whole=REASON" at its end they run whole only. It replaces an earlier row for the same models. ERR_INVALID, ERR_LIMIT. */
err_code model_quirks_teach(const char *text, struct err *e);
/* The text of the row that was taught for this model; "": none was. */
const char *model_quirks_taught(const struct model_layout *l);
/* Has tables/quirks.def a row for the architecture? */
bool model_quirks_listed(const char *arch);
/* Is there a row, in the table or taught? */
bool model_quirks_known(const struct model_layout *l);
/* The number of first layers that show how all are computed: at least `least`, and two groups with a layer of each kind of memory. */
uint32_t model_quirks_sample(const struct model_layout *l, uint32_t least);

/* NULL: rows are given in place of tokens. */
const struct model_entry *model_quirks_entry(const struct model_layout *l);

/* Layers that a slice with the first layer `first` has before its own, so that rows can enter behind them: 0 or 1. */
uint32_t model_quirks_lead(const struct model_layout *l, uint32_t first);
/* Floats of a hidden row that are a carried value (struct model_entry), the last ones. */
uint32_t model_quirks_carried(const struct model_layout *l);

/* NULL: there are no such constants. */
const struct model_scale *model_quirks_scale(const struct model_layout *l);

/* Floats of a hidden row between slices. */
uint32_t model_quirks_width(const struct model_layout *l);

/* May slice [first, end) be made? ERR_WHOLE_ONLY says why the architecture runs whole only. ERR_INVALID names the wrong bound, the
 * nearest legal cut and others. [0, n_layer) is always legal. */
err_code model_quirks_check(const struct model_layout *l, uint32_t first, uint32_t end, struct err *e);

/* May a model of this architecture be served with --exact? ERR_UNSUPPORTED says why not. */
err_code model_quirks_check_exact(const struct model_layout *l, struct err *e);

/* Possible cuts in rising order, 0 and n_layer included, into ret_cuts[max]; returns their number (at most n_layer + 1; 2 means whole
 * only). Slices between neighbouring cuts are legal. Ask model_quirks_check about longer slices: a few architectures exclude certain
 * numbers of layers. */
uint32_t model_quirks_cuts(const struct model_layout *l, uint32_t *ret_cuts, uint32_t max);

#endif
