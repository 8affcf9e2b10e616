/* SPDX-License-Identifier: MIT
 * The inside of the scheduler, shared by sched.c (requests, inputs, actions), sched_frame.c (what goes into a frame) and sched_tokens.c
 * (what came back of one). Nobody else includes this. */
#ifndef CARAVAN_PIPELINE_SCHED_PRIV_H
#define CARAVAN_PIPELINE_SCHED_PRIV_H

#include "pipeline/sched.h"

enum sched_state { SCHED_QUEUED, SCHED_PREFILL, SCHED_FLIGHT, SCHED_READY, SCHED_END, SCHED_STATE_COUNT };

struct sched_req;
struct sched_list { struct sched_req *first, *last; };

struct sched_req {
    struct request request;
    enum sched_state state;
    struct sched_req *prev, *next; /* in the list of its state, when that has one */
    uint32_t slot;
    uint32_t n_input;              /* prompt and replayed tokens: known from the start */
    uint32_t n_sent;               /* positions that have gone into frames */
    int32_t next_token;            /* READY: sampled for position n_sent */
    uint32_t n_ahead;              /* positions behind those that are guesses in flight */
    struct sched_spec spec;
    uint32_t n_completion, max_completion;
    uint32_t kv;                   /* cells reserved */
    clock_us submitted, admitted, first_token, ended;
    struct request_hop *hops;      /* [n_stage] */
    enum request_finish finish;
    struct err *why;               /* of a failure */
};

struct sched_slot {
    struct sched_req *req;
    uint32_t generation;  /* raised when an owner goes: what is in flight of another generation is stale */
    bool dirty;           /* an owner has left something behind in the stages */
    uint32_t rewind;      /* refused guesses stand in the stages from this position on; 0: none do */
    bool clear;           /* a new owner has it: remove what the old one left, with the next frame */
};

/* What a frame in flight carries, to understand its answer. */
struct sched_part { uint32_t slot, generation, n_tokens; };
struct sched_expect { uint32_t slot, generation; uint16_t index, flags; int32_t pos, token; };
struct sched_flight {
    uint32_t number;
    bool decode;       /* carries decode tokens */
    bool guesses;      /* carries guesses */
    bool faulted;      /* a stage could not compute it: its answer may be empty */
    uint32_t batch;    /* of an EVAL */
    uint32_t n_tokens; /* in all */
    struct sched_part *parts;     /* [n_seq] */
    size_t n_parts;
    struct sched_expect *expect;  /* [n_batch] */
    size_t n_expect;
};

enum sched_eval_state { SCHED_EVAL_NONE, SCHED_EVAL_WAITING, SCHED_EVAL_RUNNING };

/* An action that waits to be pulled. */
struct sched_item {
    enum sched_action_kind kind;
    enum request_event_kind event;
    struct sched_req *req;         /* OPEN, and events but TOKEN and those of an EVAL; freed after its last event */
    uint32_t seq, generation;      /* OPEN */
    uint64_t id;
    uint32_t completion;
    struct engine_sample sample;   /* TOKEN */
    struct err *why;               /* FAILED of an EVAL; owned */
    bool cancelled;                /* DONE of an EVAL */
    uint32_t batch;                /* LOGITS */
};

struct sched {
    struct sched_config config;
    struct sched_slot *slots;           /* [n_seq] */
    struct sched_list queue, prefill, ready, ended;
    uint32_t n_state[SCHED_STATE_COUNT];
    uint32_t kv_reserved;
    uint32_t next_number;
    struct sched_flight *flights;       /* [n_credit], oldest at flight_first */
    uint32_t flight_first, n_flight, n_flight_decode, n_flight_guesses;
    bool prefill_last;
    struct engine_op *ops;              /* [n_seq] */
    struct engine_token *tokens;        /* [n_batch] */
    struct sched_cost cost;
    uint16_t *answered;                 /* [n_batch]: which of the expected answers results[i] is */
    struct result *results;             /* [n_batch], of the TOKENS being handled; LOGITS actions point at them */
    size_t n_results;
    enum sched_eval_state eval_state;
    struct request_eval eval;
    uint32_t eval_sent, eval_answered;  /* batches */
    uint32_t eval_pos;
    clock_us eval_submitted;
    bool draining;
    struct err *broken;                 /* sched_fail_all was called */
    struct sched_item *items;           /* actions to pull: items[item_first .. n_items) */
    size_t item_first, n_items, items_cap;
    struct sched_req *delivered;        /* its last event was pulled: freed with the next call */
    struct err *delivered_why;
    struct request_event event;         /* of the action being pulled */
    uint64_t n_frames, n_tokens;
};

/* sched.c */
void sched_set_state(struct sched *s, struct sched_req *r, enum sched_state to);
void sched_end(struct sched *s, clock_us now, struct sched_req *r, enum request_finish finish);
void sched_fail(struct sched *s, clock_us now, struct sched_req *r, const struct err *why);
void sched_slot_release(struct sched *s, uint32_t slot);
void sched_eval_end(struct sched *s, bool cancelled, const struct err *why);
struct sched_item *sched_push(struct sched *s, enum sched_action_kind kind);

/* sched_frame.c: makes the next frame if there is one to send and a credit for it. */
bool sched_frame_build(struct sched *s, struct sched_action *ret);

#endif
