/* SPDX-License-Identifier: MIT
 * The inside of the scheduler, shared by sched.c (requests, inputs, actions), slot.c (owners of slots, and taking over kept tokens),
 * slot_mark.c (marks), slot_store.c (what goes into stores), frame.c (filling frames) and tokens.c (reading their answers). No other file
 * includes this header. */
#ifndef CARAVAN_SCHED_SCHED_PRIV_H
#define CARAVAN_SCHED_SCHED_PRIV_H

#include "sched/mark.h"
#include "sched/sched.h"
#include "sched/rows.h"
#include "sched/time.h"
#include "sched/turn.h"

enum sched_state { SCHED_QUEUED, SCHED_PREFILL, SCHED_FLIGHT, SCHED_READY, SCHED_END, SCHED_STATE_COUNT };

struct sched_req;
struct sched_list {
    struct sched_req *first, *last;
};

struct sched_req {
    struct request request;
    enum sched_state state;
    struct sched_req *prev, *next; /* in the list of its state, when that has one */
    uint32_t slot;
    const int32_t *input;          /* prompt and replayed tokens: known from the start */
    int32_t *joined;               /* owned: prompt and replayed tokens joined, if there are both */
    uint32_t n_input;
    uint32_t n_sent;               /* positions sent in frames, or taken over */
    uint32_t n_cached;             /* of these, positions taken over */
    bool begun;                    /* it has had a slot: */
    uint32_t n_cached_first;       /* then so many positions were taken over from other requests */
    uint32_t root_number;          /* n_cached > 0: the frame with the operation that took them over */
    bool rooted;                   /* taking over is finished: its prompt may go out */
    bool returns; /* not rooted: goes back to mark `mark_key`, in what was stored as `stored_key`, and waits until all stages
                                    * have, in frame root_number */
    uint64_t mark_key, stored_key; /* 0: none */
    uint32_t marked, mark_at; /* the last position that is marked, 0: none; the next one to mark, or SCHED_MARK_NONE */
    uint32_t shared; /* tokens of its prompt that another sequence has or had, whether it could take them over or not */
    uint64_t stamp; /* of its admission */
    bool follows; /* not rooted: waits until slot `leader` holds `leader_n` tokens that also begin this prompt */
    uint32_t leader, leader_generation, leader_n;
    bool fresh; /* FLIGHT: its prompt has been sent, and no token has come back yet */
    int32_t next_token; /* READY: sampled for position n_sent */
    uint32_t n_ahead; /* positions after n_sent that hold guesses in flight, in one frame or several */
    uint32_t alone; /* tokens that it must still generate before another request may be in flight beside it */
    struct sched_spec spec;
    uint32_t n_completion, max_completion;
    uint32_t kv;                   /* cells reserved */
    uint64_t number;               /* among the requests of its priority (turn.h) */
    clock_us submitted, admitted, first_token, ended;
    struct request_hop *hops; /* [n_stage] */
    enum request_finish finish;
    struct err *why; /* of a failure */
};

/* A slot is owned, kept (without an owner; a request may take over its tokens), dirty (the next frame closes it), or empty. */
struct sched_slot {
    struct sched_req *req;
    uint32_t generation;  /* raised when an owner goes: tokens in flight of an older generation are stale */
    uint64_t variant;     /* the last owner's: its positions serve requests of the same variant only */
    bool dirty;           /* an owner has left positions in the stages */
    bool kept;
    bool stored; /* kept, and the stages were told to save it */
    bool parked; /* kept, and the stages were told to park it */
    uint64_t used; /* kept: stamp of the time its owner went, to find the least recently used slot */
    int32_t *tokens; /* [n_ctx_seq], by position; n are there */
    uint32_t n; /* positions that the slot holds after all frames and operations so far */
    uint32_t n_front; /* positions that the slot held at the front of frame `frame` */
    uint32_t frame; /* the last frame with tokens of this slot */
    uint32_t n_prompt; /* of the last owner, as in struct sched_cut */
    struct result_last last;
};

/* The content of a frame in flight, needed to read its answer. */
struct sched_part {
    uint32_t slot, generation, n_tokens;
};
struct sched_expect {
    uint32_t slot, generation;
    uint16_t index, flags;
    int32_t pos, token;
};
struct sched_flight {
    uint32_t number;
    bool decode; /* carries decode tokens */
    bool guesses; /* carries guesses */
    bool leads, follows; /* several frames of one sequence, sent before the first is answered: leads: the first; follows: a later one */
    bool scores; /* carries tokens of a prompt that are answered, each */
    bool faulted; /* a stage could not compute it: its answer may be empty */
    uint32_t batch; /* of an EVAL */
    uint32_t n_tokens; /* in all */
    struct sched_part *parts; /* [n_seq] */
    size_t n_parts;
    struct sched_expect *expect; /* [n_batch] */
    size_t n_expect;
};

enum sched_eval_state { SCHED_EVAL_NONE, SCHED_EVAL_WAITING, SCHED_EVAL_RUNNING };

/* An action that waits to be pulled. */
struct sched_item {
    enum sched_action_kind kind;
    enum request_event_kind event;
    struct sched_req *req; /* OPEN, and events but TOKEN and those of an EVAL; freed after its last event */
    uint32_t seq, generation; /* OPEN */
    uint64_t id;
    uint32_t completion;
    struct engine_sample sample; /* TOKEN */
    struct err *why; /* FAILED of an EVAL; owned */
    bool cancelled; /* DONE of an EVAL */
    uint32_t batch; /* LOGITS */
    const uint8_t *vector; /* VECTOR: points into the payload given to sched_tokens */
    uint32_t n_vector;
};

struct sched {
    struct sched_config config;
    struct sched_slot *slots; /* [n_seq] */
    int32_t *history; /* [n_seq][n_ctx_seq]: the slots' tokens; unused parts of the memory are never touched */
    uint32_t n_owned, n_kept, n_dirty; /* slots */
    uint32_t kv_kept, kv_parked; /* cells that kept slots hold; of these, cells of parked slots */
    uint64_t stamp; /* of the last slot kept, or request admitted */
    struct sched_marks marks;
    struct sched_store store;
    uint32_t store_wait; /* a stage had no room for all that was stored: it is tried again after so many requests; 0: it had */
    uint32_t store_calm; /* requests since it last had none */
    uint32_t n_returning; /* requests that wait until all stages have gone back to a mark */
    struct sched_list queue, prefill, ready, ended; /* queue: in the order of their turns */
    struct sched_turns turns;
    uint32_t n_state[SCHED_STATE_COUNT], n_fresh;
    uint32_t n_alone; /* owners of slots that must be alone in flight */
    bool alone_last; /* the last frame was for such an owner: the next is for the others */
    uint32_t kv_reserved;
    uint32_t next_number;
    struct sched_flight *flights; /* [n_credit], oldest at flight_first */
    uint32_t flight_first, n_flight, n_flight_decode, n_flight_guesses;
    uint32_t led, led_generation; /* the slot that sent its guesses last */
    bool prefill_last;
    clock_us decoded; /* last time that a frame got decode tokens, or that no request was decoding */
    struct engine_op *ops; /* [FRAME_MAX_OPS]: operations of the next frame, in the order of their decision */
    size_t n_ops;
    struct engine_token *tokens; /* [n_batch] */
    const float **rows; /* [n_batch]: of tokens that stand for rows */
    bool frame_rows; /* the frame that is being made has some */
    struct sched_time time;
    struct sched_spec_lessons lessons;
    float own_us; /* running mean: microseconds that a guess of the model's own layers takes in the tail */
    uint32_t groups, groups_decoding; /* number of groups of decoding sequences; number of decoding sequences at that decision */
    uint64_t groups_frame, groups_review; /* n_frames at that decision; number of frames after which to decide again */
    uint16_t *answered; /* [n_batch]: which of the expected answers results[i] is */
    struct result *results; /* [n_batch], of the TOKENS being handled; LOGITS actions point at them */
    size_t n_results;
    enum sched_eval_state eval_state;
    struct request_eval eval;
    uint32_t eval_sent, eval_answered; /* batches */
    uint32_t eval_pos;
    clock_us eval_submitted;
    bool draining;
    struct err *broken; /* sched_fail_all was called */
    struct sched_item *items; /* actions to pull: items[item_first .. n_items) */
    size_t item_first, n_items, items_cap;
    struct sched_req *delivered; /* its last event was pulled; the next call frees it */
    struct err *delivered_why;
    struct request_event event; /* of the action being pulled */
    uint64_t n_frames, n_tokens, n_reused;
};

/* sched.c */
void sched_set_state(struct sched *s, struct sched_req *r, enum sched_state to);
void sched_end(struct sched *s, clock_us now, struct sched_req *r, enum request_finish finish);
void sched_fail(struct sched *s, clock_us now, struct sched_req *r, const struct err *why);
/* Like sched_fail, for a request whose tokens the stages may not hold: keeps nothing of it. */
void sched_fail_dirty(struct sched *s, clock_us now, struct sched_req *r, const struct err *why);
/* Gives a slot and cells that background requests have to r, which somebody waits for, if enough of them can stop at once. */
void sched_yield_to(struct sched *s, const struct sched_req *r);
void sched_push_event(struct sched *s, struct sched_req *r, enum request_event_kind kind);
void sched_eval_end(struct sched *s, bool cancelled, const struct err *why);
struct sched_item *sched_push(struct sched *s, enum sched_action_kind kind);

/* slot.c */
/* Exact mode: the batch of a prompt of n_prompt tokens that begins at pos is a multiple of the step, up to *ret_end. On a CPU libllama has
 * four classes of batches, each of which gives the same bits: 64 tokens and more, 8 and more, 4 and more, and fewer. So a prompt goes in
 * multiples of 64 as far as possible, then of 8, then of 4. Its last tokens, and all generated tokens, go in batches of 1 to 3 (step 1). */
uint32_t sched_exact_step(const struct sched *s, uint32_t n_prompt, uint32_t pos, uint32_t *ret_end);
/* Gives waiting requests slots, in the order of the queue, while there are slots and cells. */
void sched_slot_admit(struct sched *s, clock_us now);
/* The request's first chunk is about to go out: takes over the tokens that it can. false: not yet, because it waits for tokens that another
 * request is computing. */
bool sched_slot_root(struct sched *s, struct sched_req *r);
/* The owner goes; keep: the slot's positions are valid, and a request may take them over later. */
void sched_slot_release(struct sched *s, uint32_t slot, bool keep);
/* The next frame removes the slot's positions from n on (after a failed speculation). */
void sched_slot_cut(struct sched *s, uint32_t slot, uint32_t n);
/* A token of this slot goes into the frame being made. */
void sched_slot_put(struct sched *s, uint32_t slot, int32_t token, uint32_t pos);
/* Gives up all kept slots. */
void sched_slot_forget(struct sched *s);
/* The evaluation takes slot 0; the stages then hold nothing else. */
void sched_slot_take_eval(struct sched *s);
/* Parks kept slots with the frame being made, the least recently used first, until they hold n cells or every kept slot is parked. */
void sched_slot_park(struct sched *s, uint32_t n);
/* Closes dirty slots: their operations follow those decided so far. */
void sched_slot_close_dirty(struct sched *s);

/* The operations that go with the next frame. */
void sched_slot_op(struct sched *s, enum engine_op_kind kind, uint32_t seq, uint32_t dst, uint32_t p0, int32_t p1);
/* Is there room for the operations of one admission, or of one mark, beside closing and cutting every slot, dropping every
 * mark, and erasing all that is stored, once? */
bool sched_slot_ops_room(const struct sched *s);
/* The first n positions are there: the request's prompt may go out. */
void sched_slot_rooted(struct sched *s, struct sched_req *r, uint32_t n);
/* The request can't go back to the mark: takes over what it can without it. */
void sched_slot_elsewhere(struct sched *s, struct sched_req *r);
/* Positions that the slot holds, for others to take over, when the next frame begins. */
uint32_t sched_slot_front(const struct sched *s, const struct sched_slot *sl);
/* Exact mode: what determines the batches of a sequence. Each run of its prompt, of tokens or of rows, is divided into batches alone. */
struct sched_cut {
    const int32_t *tokens;
    uint32_t n;
    uint32_t n_prompt; /* where the prompt ends; of a sequence that ends earlier: where the run ends that its last token is in */
};
/* Of the first n tokens, which both have, those that were computed in batches of the same class as those of r are; whole pictures only.
 * Without exact mode: all. */
uint32_t sched_slot_same_class(const struct sched *s, const struct sched_cut *of, const struct sched_req *r, uint32_t n);
/* n_prompt of a sequence that is the first n tokens of r. */
uint32_t sched_slot_prompt(const struct sched_req *r, uint32_t n);

/* slot_mark.c */
/* Which marks the request begins like. */
struct sched_mark_set {
    bool has[SCHED_MARKS_MOST];
};
void sched_mark_match(struct sched *s, struct sched_req *r, struct sched_mark_set *ret);
/* Of these, the longest one within the first n tokens; NULL: none. of: the sequence that it is used with, for exact mode; NULL: none. */
const struct sched_mark *sched_mark_within(const struct sched *s, const struct sched_mark_set *set, const struct sched_req *r, uint32_t n,
                                           const struct sched_cut *of);
/* The request goes back to a mark (NULL: none is needed) of n positions in its slot, which is loaded from the store (0: it is not), and
 * waits for the stages. */
void sched_mark_return(struct sched *s, struct sched_req *r, const struct sched_mark *mark, uint64_t stored_key, uint32_t n);
/* The answer to the frame has come: requests that went back with it have done so. */
void sched_mark_returned(struct sched *s, uint32_t frame);
/* Chooses the next position of the request's prompt to mark. */
void sched_mark_plan(struct sched *s, struct sched_req *r);
/* Marks the position that the request has reached, if it is the one to mark. */
void sched_mark_make(struct sched *s, struct sched_req *r);
/* Gives up marks that no sequence begins like any more. */
void sched_mark_sweep(struct sched *s);
/* Gives up marks made with this frame or later. */
void sched_mark_forget(struct sched *s, uint32_t frame);

/* slot_store.c */
/* Does a kept sequence wait to be saved? */
bool sched_store_pending(const struct sched *s);
/* Saves one, with the frame being made. */
void sched_store_save(struct sched *s);
/* A kept slot is about to lose all but its first n_left positions: saves it, if much would be lost. */
void sched_store_spare(struct sched *s, uint32_t slot, uint32_t n_left);
/* Is so much of the slot's sequence in another slot or in the store that the rest would not be stored? */
bool sched_store_is_double(const struct sched *s, const struct sched_slot *sl);
/* A stage has lost this: the others need not have it, either. */
void sched_store_lose(struct sched *s, uint64_t key);
/* Is there no room in the stores for sequences that are elsewhere, too, as far as is known? */
bool sched_store_is_full(const struct sched *s);
/* A request has got a slot. */
void sched_store_admitted(struct sched *s);
/* Gives up what was saved with this frame or later. */
void sched_store_forget(struct sched *s, uint32_t frame);

/* frame.c: makes the next frame if there is one to send and a credit for it. */
bool sched_frame_build(struct sched *s, clock_us now, struct sched_action *ret);

#endif
