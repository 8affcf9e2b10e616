/* SPDX-License-Identifier: MIT
 * The head's scheduler decides which tokens travel in each frame. It keeps every stage busy, and lets no request wait for ever. It is a
 * sans-I/O core: inputs are calls with the time as an argument, and the caller pulls actions with sched_next until there is none. The
 * scheduler owns a request from its submission to its last event. It knows no socket, thread, clock or engine. Owner: the head stage's
 * compute thread.
 *
 * A request: QUEUED -> PREFILL (it has a slot; chunks of its prompt go out one after another) -> FLIGHT (all its known tokens are in the
 * ring) <-> READY (a sampled token has come back and may be sent) -> END. A request for which nobody waits gives its slot to another one,
 * and goes back from PREFILL or READY to QUEUED. Slots are libllama's sequence numbers. A request with a slot is
 * the slot's owner. When the owner ends, the scheduler keeps the slot's tokens for requests that begin the same way, or an operation at the
 * front of the next frame removes them. Frames keep their order, so the slot may have a new owner at once. Answers for the old owner carry
 * an old generation number, and are dropped. */
#ifndef CARAVAN_SCHED_SCHED_H
#define CARAVAN_SCHED_SCHED_H

#include "base/clock.h"
#include "engine/engine.h"
#include "wire/request.h"
#include "wire/result.h"
#include "sched/spec.h"
#include "sched/stored.h"

struct sched_config {
    uint32_t n_stage;     /* 1 to REQUEST_MAX_HOPS */
    uint32_t n_seq;       /* slots, at most FRAME_MAX_SEQ */
    uint32_t n_ctx_seq;   /* positions a sequence may have */
    uint32_t n_ctx;       /* KV cells for all sequences together */
    uint32_t n_batch;     /* most tokens in a frame */
    uint32_t n_vocab;     /* token ids are below this; 0: not known */
    uint32_t n_queue;     /* requests that may wait for a slot */
    uint32_t n_credit;    /* frames in flight at most; 0: as sched_policy says */
    uint32_t n_draft;     /* guesses that travel with a decode token at most; 0: no speculation */
    bool draft_always;    /* always n_draft guesses, even if they do not pay */
    bool draft_alone;     /* guesses go only while one sequence runs, and nothing else travels until their answer, because the stages can
                           * take positions back only then */
    uint32_t n_guess;     /* guesses that the tail can make at once with the model's own layers; 0: none */
    bool draft_once;      /* a sequence's guesses go in one frame at a time, because the stages can take back a part of that only */
    struct sched_drafter drafter; /* a small model, borrowed; or none */
    bool can_remove;      /* the stages can take back the end of a sequence (engine_info) */
    uint32_t mark_every;  /* they can't, but keep copies of states: tokens from one mark to the next where nothing else calls for one;
                           * 0: no marks (sched/mark.h) */
    bool mark_whole;      /* a mark is all that the stages need of its sequence */
    const uint8_t *turns; /* [n_vocab], borrowed: 1 for tokens that begin or end a turn of a chat; NULL: not known */
    bool prefix_cache;    /* keeps the positions of finished requests while there is room, for requests that begin the same way */
    uint32_t store_least; /* sequences of so many positions go into the stages' stores; 0: they have none (sched/stored.h) */
    bool store_lasts;     /* the stores outlive the ring: kept sequences are saved when there is nothing else to do; else when they are
                           * given up */
    uint32_t latency_us;  /* how long a prompt may delay the tokens of decoding requests (policy.h) */
    bool embeds;          /* the model gives vectors of texts, and generates nothing */
    bool at_once;         /* with embeds: a text has to be in one frame */
    bool exact;           /* one class of batch shapes: decode frames of 1 to 3 tokens, prompt chunks of multiples of 64, 8, 4 */
};

enum sched_action_kind {
    SCHED_ACTION_NONE,
    SCHED_ACTION_OPEN,   /* tell the tail the sampling parameters of `seq`, before any later frame */
    SCHED_ACTION_FRAME,  /* compute: ops, then tokens */
    SCHED_ACTION_EVENT,  /* tell the submitter; pieces of text are empty: the caller fills them in */
    SCHED_ACTION_LOGITS  /* the answer to one batch of an EVAL */
};
struct sched_action {
    enum sched_action_kind kind;
    uint32_t seq, generation;                 /* OPEN */
    const struct request *request;            /* OPEN; EVENT: its request, NULL of most tokens and of an EVAL */
    uint32_t number;                          /* FRAME */
    const struct engine_op *ops;              /* FRAME */
    size_t n_ops;
    const struct engine_token *tokens;        /* FRAME: n_tokens <= n_batch; 0: operations only */
    const float *const *rows;                 /* FRAME: [n_tokens]: the rows of tokens with ENGINE_TOKEN_ROW; NULL: there are none */
    size_t n_tokens;
    struct request_event *event;              /* EVENT */
    uint64_t id;                              /* LOGITS: the EVAL's; OPEN: the request's */
    uint32_t batch;                           /* LOGITS: which of its batches */
    const struct result *results;             /* LOGITS: rows in the order of the batch; they point into the payload of sched_tokens */
    size_t n_results;
};

struct sched; /* opaque */

struct sched *sched_create(const struct sched_config *config);
void sched_free(struct sched *s); /* NULL is fine */

/* What the stages' stores have from an earlier ring; before the first request. */
void sched_store_add(struct sched *s, const struct sched_stored *x);
/* What an operation SAVE or KEEP of the frame that was pulled last puts into them; NULL: there is no such key. */
const struct sched_stored *sched_store_find(const struct sched *s, uint64_t key);
/* Takes over *r's contents (left as request_init leaves it) on success. r->tokens must be there. ERR_BUSY: the queue is full; ERR_LIMIT:
 * longer than the context; ERR_INVALID: empty, an id in use, a token out of range; ERR_UNAVAILABLE: draining. On failure the caller tells
 * the submitter. */
err_code sched_submit(struct sched *s, clock_us now, struct request *r, struct err *e);
/* Ends the request in any state; its DONE (CANCELLED) follows. An unknown id is ignored (it may just have ended). */
void sched_cancel(struct sched *s, clock_us now, uint64_t id);
/* Takes over *ev's contents on success. Runs alone: after the requests that run now, before the waiting ones. ERR_BUSY: the scheduler
 * already has an evaluation; ERR_LIMIT: a batch over n_batch, or its logits over what a TOKENS frame holds; LOGITS for each batch and then
 * a DONE event, or FAILED. */
err_code sched_eval(struct sched *s, clock_us now, struct request_eval *ev, struct err *e);
/* A TOKENS payload came back. hop_us: its travel time from the tail. ERR_PROTOCOL (without any change) if it does not answer the oldest
 * frame in flight: then the ring is broken. The payload must stay until the next input: pull all actions first. */
err_code sched_tokens(struct sched *s, clock_us now, uint32_t number, uint32_t n_results, uint16_t n_trace, const uint8_t *payload,
                      size_t len, uint32_t hop_us, struct err *e);
/* A stage failed to compute a frame (all its requests fail; its TOKENS still comes, without results), or to open a sequence. */
void sched_fault_frame(struct sched *s, clock_us now, uint32_t number, const struct err *why);
void sched_fault_seq(struct sched *s, clock_us now, uint32_t seq, uint32_t generation, const struct err *why);
/* A stage did not keep this mark, or could not go back to it: it is given up, and a request that was going back to it begins elsewhere. */
void sched_lost(struct sched *s, clock_us now, uint64_t key);
/* A stage's process crashed: the requests in flight may be the cause, and fail with `why`. sched_fail_all follows. */
void sched_fail_flight(struct sched *s, clock_us now, const struct err *why);
/* The ring is gone: all requests fail with `why`, and later submissions too. */
void sched_fail_all(struct sched *s, clock_us now, const struct err *why);
/* Refuses new requests from now on; running and waiting requests are finished. */
void sched_drain(struct sched *s);

/* The next action, or false. Pointers in it are valid until the next call of any function here. */
bool sched_next(struct sched *s, clock_us now, struct sched_action *ret);

/* The requests in flight: any of them may be the cause of a crash. At most n_seq ids; returns how many there are. */
size_t sched_in_flight(const struct sched *s, uint64_t *ret_ids);

/* For tests, logs and the node's status. idle: no request, no frame in flight, every slot clean or kept. */
struct sched_counts {
    uint32_t queued, running, in_flight;
    uint32_t slots_free;   /* without an owner */
    uint32_t slots_kept;   /* of these, slots with tokens that a request can take over */
    uint32_t kv_reserved, kv_kept; /* cells */
    uint64_t frames, tokens, reused; /* so far; reused: tokens taken over instead of computed */
};
void sched_count(const struct sched *s, struct sched_counts *ret);
bool sched_idle(const struct sched *s);
/* Positions that the stages hold for a slot once every frame has been computed. */
uint32_t sched_slot_held(const struct sched *s, uint32_t slot);

#endif
