/* SPDX-License-Identifier: MIT
 * The numbers of a named model (tables/shapes.def), for shapes.c (names) and shapes_write.c (the header that they become). */
#ifndef CARAVAN_PAPER_SHAPES_PRIV_H
#define CARAVAN_PAPER_SHAPES_PRIV_H

#include <stdbool.h>

#include "paper/shapes.h"

struct shape {
    const char *name, *arch;
    uint32_t n_layer, n_embd, n_vocab, n_ctx;
    uint32_t heads, heads_kv, head; /* with MLA `head` is that of V */
    uint32_t ff;                    /* of the feed-forward of layers without experts */
    uint32_t experts, used, ff_expert, ff_shared;
    uint32_t ff_latent; /* the width that experts work at, where it is another one */
    uint32_t dense;     /* leading layers without experts */
    uint32_t moe_every; /* experts in each so-many-th layer; 0: in all */
    uint32_t rank_q, rank_kv, nope; /* MLA: ranks; K's part without positions, 0: as V's. K's part with positions has 64 */
    uint32_t out_groups, out_rank;  /* attention's output in groups of a low rank */
    uint32_t index_heads, index_head;  /* the indexer of sparse attention */
    uint32_t window, period;           /* sliding window: in all but each so-many-th layer */
    uint32_t full_heads_kv, full_head; /* of layers without a window, where they differ; their V is their K, unless full_v */
    uint32_t kv_shared;                /* the last so many layers use other layers' K and V */
    uint32_t per_layer;                /* width of the embedding that each layer has of its own */
    uint32_t full_every;               /* recurrent layers: all but each so-many-th */
    uint32_t linear_heads, linear_groups, linear_head, state; /* of recurrent layers; state 0: as linear_head */
    bool kda;            /* recurrent layers of Kimi's kind */
    bool gated;          /* attention's output has a gate */
    bool ungated;        /* the feed-forward has none */
    bool full_v;         /* layers without a window have V of their own */
    bool shared_wide;    /* the feed-forward of layers that use other layers' K and V is twice as wide */
    bool tied;           /* the output table is the embedding */
    const char *pattern; /* one kind for each layer, repeated: M recurrent, * attention, E experts, none of which has the others' parts */
    const char *own;     /* the format that it is published in, where that is a small one */
};

/* ERR_INVALID: there is no such quantisation. */
err_code shapes_write(const struct shape *s, const char *quant, const char *name, struct model_gguf **ret, struct err *e);

#endif
