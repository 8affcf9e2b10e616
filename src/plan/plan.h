/* SPDX-License-Identifier: MIT
 * The plan: which node carries which layers. A pure function of the model's needs, the nodes' offers, the links and the wishes; no I/O,
 * any thread. It explains its choice (plan_explain), predicts what a token will cost (plan_predict), and, when the model doesn't fit,
 * says what is missing and what would help. The method and its formulae: docs/PLANNER.md. It doesn't measure or load:
 * coordinator/instance carries a plan out. */
#ifndef CARAVAN_PLAN_PLAN_H
#define CARAVAN_PLAN_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "../../tables/placements.def"

/* The limit plan_wish.work for a loop that waits for the plan: about 20 ms. Plans for fleets of similar nodes are proven within it. */
#define PLAN_LOOP_WORK 100000
enum { PLAN_MAX_STAGES = 64, PLAN_MAX_LAYERS = 1024, PLAN_MAX_DEVICES = 8, PLAN_MOE_ALL = -1, PLAN_MOE_AUTO = -2 };

/* Memory that weights are computed from, and its speed. 0 means not known: then a guess is used instead (cost.c). */
struct plan_device {
    char name[32];
    bool gpu;
    bool shared;      /* a GPU whose memory is part of the node's RAM: what it takes is missing there */
    uint64_t memory;  /* bytes it offers */
    double bandwidth; /* bytes of weights per second in decoding */
    double flops;     /* operations per second in prefill */
    double layer_s;   /* seconds that a layer takes besides reading it: launching kernels, waiting for other cores */
    double unpack;    /* of the time of reading a weight of fewer than 8 bits, the fraction that unpacking takes; 0: a GPU's usual one */
    double expert_s;  /* seconds more in each layer with experts, for choosing them */
};

/* The device's figure, or the guess that replaces an unknown one. */
double plan_device_bandwidth(const struct plan_device *d);

/* One node's offer. */
struct plan_node {
    uint64_t id;
    char name[64];
    uint64_t memory; /* bytes it offers to this model, RAM and GPUs together */
    bool fetches;    /* it has none of the model's weights, and would have to fetch its slice */
    bool cut_off;    /* but it cannot connect to the node that it would fetch them from */
    uint64_t room;   /* bytes of weights that its disk can take, if it fetches */
    uint32_t had_first, had_end; /* the layers of the model that it held last; had_end 0: none, or it is not known */
    int32_t cpu_moe; /* first layers of a slice whose experts stay in RAM while the rest is on GPUs; PLAN_MOE_ALL, or as the plan likes */
    uint32_t n_devices;
    struct plan_device devices[PLAN_MAX_DEVICES];
};

/* Adds the beginning of its id to the name of each node that shares its name: "vm (3fa2c1b0)". ids: of the nodes; NULL: nodes[].id. */
void plan_tell_apart(struct plan_node *nodes, uint32_t n, const uint64_t *ids);

/* Can a node connect to another one's port? Stages of one ring must be able to. */
enum plan_reach { PLAN_REACHES, PLAN_REACH_UNKNOWN /* it has not been tried yet */, PLAN_REACHES_NOT };

/* From one node to another. */
struct plan_link {
    double rtt_s;      /* there and back; 0: not known */
    double throughput; /* bytes per second; 0: not known */
    enum plan_reach reach;
};

/* The cost of a layer for one token. */
struct plan_layer {
    double dense;          /* bytes of weights that every token reads */
    double expert;         /* bytes of all experts */
    double share;          /* the fraction of them that one token reads */
    double macs;           /* multiplications and additions of one token */
    double expert_macs;    /* of them, those in experts */
    double plain, plain_expert; /* of dense and expert, the fractions in formats of 8 bits and more a weight */
    double half;           /* of macs outside of experts, the fraction with weights of 16 bits */
    double narrow;         /* macs outside of experts, times (4096 / width of the model)^2 - 1: smaller matrices fill a GPU less */
    double kv_position;    /* bytes of K and V of one position */
    double attention;      /* multiplications and additions of one token with one position */
    uint32_t window;       /* positions that attention covers; 0: all */
    double state;          /* bytes of recurrent state */
    double launches;       /* kernels, in those of a plain layer; 0: 1 */
};

/* The bytes of a slice by where libllama may put them, besides weights and KV of its layers. */
struct plan_parts {
    uint64_t in;       /* the embedding table: always in RAM */
    uint64_t out;      /* the output head and what is shared: beside the last layers */
    uint64_t ram, gpu; /* compute buffers: in RAM where no GPU takes part; else on each GPU */
    uint64_t beside;   /* and in RAM beside GPUs, if anything is computed there */
    uint64_t process;  /* else the stage's process itself: the program, the vocabulary, graphs, links */
    uint64_t
        apart; /* more of them on each GPU where experts of its layers are in RAM: it computes prompts with a copy of one tensor of them */
};

/* The needs of a model. `need` gives the bytes that a node must have for layers [first, end): weights, KV and compute buffers. */
struct plan_model {
    const char *name;
    uint32_t n_layer;
    bool (*may)(void *user, uint32_t first, uint32_t end); /* may layers [first, end) be a slice? */
    struct plan_layer lead; /* is computed before the layers of each slice but the first; all 0: nothing is */
    void (*why_not)(void *user, uint32_t first, uint32_t end, struct err *e); /* says why not, and what would be; NULL: it is not known */
    bool wide; /* activations may leave the range of f16 */
    bool pending; /* its needs are being measured: it is not to be placed yet */
    const char *whole_reason; /* why it runs whole only, NULL if it may be cut */
    uint64_t (*need)(void *user, uint32_t first, uint32_t end);
    uint64_t (*weights)(void *user, uint32_t first, uint32_t end); /* bytes of these in a file; NULL: no node has to fetch weights */
    /* Both or neither. NULL: every layer of a slice has an equal part of its need. */
    void (*parts)(void *user, uint32_t first, uint32_t end, struct plan_parts *ret);
    uint64_t (*layers_bytes)(void *user, uint32_t first, uint32_t end); /* weights and KV */
    uint64_t (*experts_bytes)(void *user, uint32_t first, uint32_t end); /* of these, the weights of experts; NULL: there are none */
    void *user;
    const struct plan_layer *layers; /* n_layer of them; NULL: every layer costs what it needs */
    struct plan_layer head; /* the output table and everything else after the last layer */
    uint32_t n_embd; /* width of a hidden state */
    uint32_t n_ctx, n_ubatch; /* positions of a sequence, tokens of a prompt in one step (0: 4096, 512) */
};

/* PLAN_FAST and the others of tables/placements.def; PLAN_LIST: the given number of layers for each node, in the nodes' order. */
enum plan_placement {
#define PLAN_PLACEMENT(id, word, what) PLAN_##id,
    PLACEMENTS(PLAN_PLACEMENT) PLAN_LIST
};
struct plan_wish {
    enum plan_placement placement;
    uint32_t list[PLAN_MAX_STAGES];
    uint32_t n_list;
    uint32_t streams; /* conversations at once; 0: 1 */
    uint32_t prompt; /* tokens of the prompt in predictions; 0: 512 */
    double wire_bytes; /* of one element of a hidden state on a link; 0: 4 */
    uint64_t work; /* slices that the search may try before it returns the best plan so far; 0: no limit */
    /* The link between two nodes, by their ids; NULL: 1 Gbit/s everywhere. */
    struct plan_link (*link)(void *user, uint64_t from, uint64_t to);
    void *link_user;
};

/* A word of tables/placements.def, or "3,1,4". */
err_code plan_wish_parse(const char *text, struct plan_wish *ret, struct err *e);

struct plan_stage {
    uint32_t node; /* index into the given nodes */
    uint32_t first, end;
    uint64_t bytes;
};
struct plan {
    uint32_t n_stage;
    struct plan_stage stages[PLAN_MAX_STAGES];
    uint64_t bytes_whole; /* what one node would need for the whole model */
    uint64_t work; /* slices that the search tried */
    bool stays; /* the nodes had these layers before, and the best plan is not clearly faster */
    bool proven; /* no other plan has a smaller time per token (true up to 16 nodes with placement fast, unless wish.work ended it) */
};

/* A slice on the devices of one node. libllama fills in the order of layers: RAM first, then the GPUs, the output head with the last
 * one. Of a mixture of experts, the experts of the first layers may stay in RAM although these layers are on GPUs. */
struct plan_spread {
    uint32_t n_used; /* GPUs, the one with the last layers first */
    uint8_t used[PLAN_MAX_DEVICES]; /* index into the node's devices */
    uint32_t layers[PLAN_MAX_DEVICES]; /* of each device */
    uint64_t bytes[PLAN_MAX_DEVICES]; /* that are taken on it */
    uint32_t n_apart; /* the slice's first layers, whose experts are in RAM; 0: every layer is in one place */
};
/* The fastest GPUs are filled first; the rest goes to RAM, whole layers or, where a token is faster so (or the node asks for it), the
 * experts of layers whose other weights are on GPUs. A node without a device of RAM plans nothing for RAM. false: it doesn't fit. */
bool plan_spread_make(const struct plan_model *m, const struct plan_node *node, uint32_t first, uint32_t end, struct plan_spread *ret);
bool plan_node_has_gpu(const struct plan_node *node);
/* Does it have a GPU and something else, so that slices are spread? */
bool plan_node_spreads(const struct plan_node *node);

/* nodes[0] is the node that was asked. Nodes that can't all connect to each other are never stages of one ring: the nodes that can't
 * connect to most others are left out of rings, and may still hold the whole model. ERR_NO_ROOM: more memory is needed (the text says
 * how much). ERR_WHOLE_ONLY: the model would have to be cut, and must not be. ERR_INVALID: the list does not fit model or nodes. */
err_code plan_make(const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes, const struct plan_wish *wish,
                   struct plan *ret, struct err *e);

/* Plans further copies on the nodes that no earlier plan uses, each as plan_make does; plans[0] is given, the others are written.
 * Returns the number of plans (at most max). */
uint32_t plan_replicas(const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes, const struct plan_wish *wish,
                       struct plan *plans, uint32_t max);

/* What a token will cost. Times in seconds. */
struct plan_figures {
    double stage_s[PLAN_MAX_STAGES]; /* compute of each stage, one stream */
    double hop_s[PLAN_MAX_STAGES]; /* from each stage to the next, the last back to the first; 0 for a single stage */
    double read_bytes; /* weights and KV that one token reads, over all stages */
    double token_s; /* one stream */
    double first_s; /* from the request to the first token, with wish.prompt tokens */
    uint32_t streams;
    double streams_tps; /* tokens per second of all streams together */
    uint32_t slowest; /* index of the slowest stage, or of the hop after it */
    bool slowest_is_hop;
};
void plan_predict(const struct plan *p, const struct plan_model *m, const struct plan_node *nodes, const struct plan_wish *wish,
                  struct plan_figures *ret);

/* The type of hidden states on the links (enum frame_dtype): f32, which changes nothing, unless a smaller type makes a token more than 5
 * % faster, or the first token of a prompt more than 20 %. f16 (bf16 for architectures whose activations exceed its range) before q8_0. */
uint8_t plan_wire_choose(const struct plan *p, const struct plan_model *m, const struct plan_node *nodes, const struct plan_wish *wish);
/* All three: plans, chooses that type and puts its size into the wish, and predicts. Errors as of plan_make. */
err_code plan_try(const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes, struct plan_wish *wish, struct plan *ret,
                  struct plan_figures *ret_figures, struct err *e);
double plan_wire_bytes(uint8_t dtype); /* of one element, for plan_wish.wire_bytes */

/* A paragraph for people: the choice, the reason, and which node carries which layers. */
void plan_explain(const struct plan *p, const struct plan_model *m, const struct plan_node *nodes, struct buf *out);
/* The figures in words: a token's way, the slowest part, first token, one and several streams. */
void plan_explain_figures(const struct plan *p, const struct plan_model *m, const struct plan_node *nodes, const struct plan_wish *wish,
                          struct buf *out);
/* A line for each node that is left out of rings because it can't be connected to, or because its weights don't fit onto its disk;
 * nothing if there is none. Each line begins with '\n'. */
void plan_explain_apart(const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes, const struct plan_wish *wish,
                        struct buf *out);
/* A line for each node that carries nothing, with the reason; nothing if all nodes take part. */
void plan_explain_left_out(const struct plan *p, const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes,
                           const struct plan_wish *wish, struct buf *out);
/* One to three lines on what would help; and, where it is true, that this model runs better without a cluster of these machines. */
void plan_advise(const struct plan *p, const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes,
                 const struct plan_wish *wish, struct buf *out);

#endif
