/* SPDX-License-Identifier: MIT
 * The inside of the plan: tables of the needs and costs of slices (cost.c), and the search over them (search.c). */
#ifndef CARAVAN_PLAN_PLAN_PRIV_H
#define CARAVAN_PLAN_PLAN_PRIV_H

#include "plan/plan.h"

enum { COST_MAX_NODES = 64 };
/* A divided plan replaces a whole one only if it is faster by more than this. */
#define PLAN_SPLIT_GAIN 1.3
/* For several streams, plans up to this much slower for one stream are compared too. */
#define PLAN_STREAM_SLACK 1.10

/* What layers cost for some tokens (sum.c). */
struct plan_sum {
    double read, macs;          /* bytes that are read; multiplications and additions */
    double chosen, expert_macs; /* of both, what is in experts */
    double plain, plain_chosen; /* of read and chosen, weights in formats of 8 bits and more */
    double half, narrow;        /* macs with weights of 16 bits; see plan_layer.narrow */
    double choosing;            /* layers with experts */
    double launches, handovers; /* of kernels, in those of a plain layer: all; more if experts are in RAM */
};
/* tokens: of one batch. prompt: the tokens of the prompt that they are a part of; 0: each is of another sequence, and decoded. */
void plan_sum_layer(const struct plan_model *m, uint32_t layer, double tokens, double prompt, struct plan_sum *sum);
/* Layers [first, end), without the head. sums: of the layers before each one, one token; NULL: they are not known. */
struct plan_sum plan_sum_layers(const struct plan_model *m, const struct plan_sum *sums, uint32_t first, uint32_t end, double tokens,
                                double prompt);
/* What is computed before a slice's own layers, which begin with `first`. */
void plan_sum_lead(const struct plan_model *m, uint32_t first, double tokens, double prompt, struct plan_sum *sum);
void plan_sum_head(const struct plan_model *m, double tokens, double prompt, struct plan_sum *sum); /* adds it */
double plan_sum_time(const struct plan_sum *sum, const struct plan_device *d); /* seconds */
/* Seconds that the devices of a node compute, one after another, if the slice is spread so. */
double plan_sum_spread(const struct plan_model *m, const struct plan_sum *sums, const struct plan_node *node, uint32_t first, uint32_t end,
                       const struct plan_spread *s, double tokens, double prompt);

/* The nodes whose former slices follow one another from the first layer to the last, in this order, and the list of their layers as the
 * wish (stay.c). Returns how many; 0: there are none. */
uint32_t plan_stay_chain(const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes, uint32_t *chain,
                         struct plan_wish *wish);
/* Is the plan of the former slices about as good as the best one? */
bool plan_stay_pays(const struct plan *before, const struct plan *best, const struct plan_model *m, const struct plan_node *nodes,
                    const struct plan_wish *wish);

struct plan_cost {
    const struct plan_model *m;
    const struct plan_wish *wish;
    const struct plan_node *nodes; /* of the caller, n of them */
    uint32_t n_nodes, n;           /* n: layers */
    uint64_t *need;                /* [first * (n+1) + end]; UINT64_MAX: no legal slice */
    struct plan_sum *sums; /* over layers 0..i-1, one token of one stream */
    uint8_t (*order)[PLAN_MAX_DEVICES]; /* each node's devices, fastest first */
    uint64_t work;
};
void plan_cost_init(struct plan_cost *c, const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes,
                    const struct plan_wish *wish);
void plan_cost_done(struct plan_cost *c);

/* The node's devices, fastest first. Returns how many. */
uint32_t plan_device_order(const struct plan_node *node, uint8_t ret[PLAN_MAX_DEVICES]);
bool plan_cost_fits(const struct plan_cost *c, uint32_t node, uint32_t first, uint32_t end);
/* Seconds that `node` computes for one token of one stream; fits must be true. */
double plan_cost_stage(const struct plan_cost *c, uint32_t node, uint32_t first, uint32_t end);
/* As plan_cost_stage for a batch: tokens of different sequences; prompt > 0: consecutive tokens of a prompt of so many. */
double plan_cost_batch(const struct plan_cost *c, uint32_t node, uint32_t first, uint32_t end, double tokens, double prompt);
/* The node's device of RAM; NULL: there is none. */
const struct plan_device *plan_node_ram(const struct plan_node *node);
/* Seconds for `bytes` from one node to another. */
double plan_cost_hop(const struct plan_cost *c, uint32_t from, uint32_t to, double bytes);
double plan_cost_hidden(const struct plan_cost *c); /* bytes of one token's hidden state on a link */
double plan_cost_token(const struct plan_cost *c, const struct plan *p);
/* Bytes that one token reads in [first, end), including the output head if the slice has it. */
double plan_cost_read(const struct plan_cost *c, uint32_t first, uint32_t end);
/* Tokens per second of `streams` conversations together: their groups follow one another through the ring. */
double plan_cost_streams(const struct plan_cost *c, const struct plan *p, uint32_t streams);

#define PLAN_TOKEN_BYTES    64.0     /* the frame that brings a sampled token back to the head */
#define PLAN_STAGE_OVERHEAD 0.0003 /* seconds of frames, wake-ups, sampling, measured with a ring on loopback */

/* The memory that a slice takes on this node. */
uint64_t plan_bytes_on(const struct plan_model *m, const struct plan_node *node, uint32_t first, uint32_t end);
/* Does the node have the memory for layers [first, end), of which `bytes` are needed, and the disk if it must fetch their weights? */
bool plan_holds(const struct plan_model *m, const struct plan_node *node, uint32_t first, uint32_t end, uint64_t bytes);

/* connect.c: picks nodes that can all connect to each other, in their order; index has n places. Returns how many. */
uint32_t plan_connect_pick(const struct plan_node *nodes, uint32_t n, const struct plan_wish *wish, uint32_t *index);

/* Cuts layers for nodes in their order, at least one layer each, so that the sum (largest: the largest) of the slices' costs is smallest.
 * cost: of layers [first, end) on the k-th node, from 0; INFINITY: it cannot hold them. */
struct plan_cuts {
    uint32_t n_layer, n_nodes;
    bool largest;
    double (*cost)(void *user, uint32_t k, uint32_t first, uint32_t end);
    void *user;
};
/* cut.c. ret_bounds: n_nodes + 1 places; the k-th node holds layers bounds[k] to bounds[k + 1] - 1. false: no division. */
bool plan_cut(const struct plan_cuts *p, uint32_t *ret_bounds);

/* Finds the plan with the least time per token over any nodes in any order, with regard to several streams. false: nothing fits. */
bool plan_search(struct plan_cost *c, struct plan *ret);
/* The best cuts for these nodes in this order. balanced: minimises the longest stage instead of the sum. false: no division. */
bool plan_search_cuts(struct plan_cost *c, const uint32_t *nodes, uint32_t n, bool balanced, struct plan *ret);

/* A lower bound on what completing a partial ring still costs (relax.c). Tables of seconds: hop and token [from * n_nodes + to], stage
 * [(node * (n+1) + first) * (n+1) + end], INFINITY if there is no such slice; they must outlive it. limit: the time of the best known
 * plan. */
struct plan_relax;
struct plan_relax *plan_relax_create(uint32_t n_nodes, uint32_t n, const double *hop, const double *token, const double *stage,
                                     double limit);
void plan_relax_free(struct plan_relax *r);
/* Completing a ring of these nodes from `head` to `last` with layers 0..end-1 costs at least plan_relax_left() - plan_relax_price(). */
double plan_relax_left(const struct plan_relax *r, uint8_t head, uint8_t last, uint32_t end);
double plan_relax_price(const struct plan_relax *r, uint64_t set);

#endif
