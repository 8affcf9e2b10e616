/* SPDX-License-Identifier: MIT
 * A ring of this process's own: real stage children with real TLS links over loopback, for `verify`, `perplexity` and benchmarks. Blocking:
 * each call runs the ring's own loop until it is done. One thread. A child that crashes makes the call return an error; the caller lives
 * on. */
#ifndef CARAVAN_NODE_PRIVATE_RING_H
#define CARAVAN_NODE_PRIVATE_RING_H

#include "wire/request.h"
#include "wire/stage.h"

struct private_ring_config {
    const char *program;      /* path of this binary */
    const char *path;         /* the GGUF */
    const char *model_id;     /* model_gguf_id */
    const uint32_t *bounds;   /* n_stage + 1 layer numbers: 0 ... n_layer */
    uint32_t n_stage;
    struct engine_load load;
    uint8_t dtype;            /* hidden states on the wire: enum frame_dtype */
    struct stage_options options;
    const struct model_adapter *adapters; /* [n_adapters] */
    uint32_t n_adapters;
    const char *draft;        /* a small model that guesses; NULL: none */
    bool forced;              /* cut even where tables/quirks.def says not to */
    uint16_t (*via)(void *user,
                    uint16_t port); /* the port that stages dial instead of `port`, for a test's relay in between; NULL: they dial `port` */
    void *via_user;
};

struct private_ring;

/* Starts the children and waits until all are ready. The error of a stage that fails is returned as it said it. */
err_code private_ring_start(const struct private_ring_config *config, struct private_ring **ret, struct err *e);
/* The head's description of itself (n_vocab, n_ctx, ...), and the sum of all stages' memory. */
const struct engine_info *private_ring_info(const struct private_ring *r, uint32_t stage);

/* Runs explicit batches (EVAL). on_logits is called for each batch, in order; rows are valid during the call. */
typedef void (*private_ring_logits_fn)(void *user, const struct request_logits *l);
err_code private_ring_eval(struct private_ring *r, const struct request_eval *ev, private_ring_logits_fn on_logits, void *user,
                           struct err *e);
/* Text to tokens by the head's vocabulary; caller frees *ret_tokens. */
err_code private_ring_tokenize(struct private_ring *r, const char *text, size_t len, bool bos, bool special, int32_t **ret_tokens,
                               size_t *ret_n, struct err *e);
/* Runs n requests at once; on_event gets their events (ids are 1 to n, set here). Returns when all have ended; a FAILED one is the error.
 */
typedef void (*private_ring_event_fn)(void *user, const struct request_event *ev);
err_code private_ring_run(struct private_ring *r, struct request *requests, size_t n, private_ring_event_fn on_event, void *user,
                          struct err *e);

/* Ends the children. NULL is fine. */
void private_ring_stop(struct private_ring *r);

#endif
