/* SPDX-License-Identifier: MIT
 * Speculation: a decoding sequence travels with guesses at its next tokens, so that one trip around the ring gives several tokens. The tail
 * samples after each guess in turn, and stops at the first guess that isn't the token it sampled. So the text is the same as without
 * guesses, and comes sooner. Refused positions are removed at the front of the next frame.
 *
 * While one sequence runs alone, most stages are idle most of the time. Then further guesses follow in frames of their own before the first
 * frame is answered (Butler et al., PipeInfer, 2024): as many frames as the stages finish before the frame that corrects a refused guess
 * arrives, so they delay nothing. As long as guesses come true, a token takes as long as the slowest stage, not a whole trip.
 *
 * Guesses come from the sequence's own text, from a small model in the head's process, or from the model's own layers for multi-token
 * prediction. Those are in the tail: it makes them right after it has sampled, if the frame asked for them, and they come back with the
 * sampled token, for the sequence's next frame.
 *
 * Two measurements decide how many guesses are sent: how often guesses of this kind came true in this sequence (guesses that are not sent
 * are checked, too, at no cost), and how long the stages take for one more position. A sequence begins with what those before it have
 * taught about the model. Sans-I/O; it changes only the values that it is given. Owner: the scheduler. */
#ifndef CARAVAN_SCHED_SPEC_H
#define CARAVAN_SCHED_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"
#include "sched/time.h"
#include "wire/stage.h"

enum {
    SCHED_SPEC_MOST = STAGE_MAX_DRAFT, /* guesses that may travel with one token */
    SCHED_SPEC_EXACT = 2
};/* with --exact: the whole run is at most 3 tokens, one class of batch shapes */

/* A second source of guesses, beside the sequence's own text: a small model. */
struct sched_drafter {
    /* Up to `most` guesses at what follows tokens[0 .. n) of sequence seq; returns how many. NULL: there is none. */
    uint32_t (*guess)(void *user, uint32_t seq, const int32_t *tokens, uint32_t n, uint32_t most, int32_t *ret);
    uint32_t (*cost_us)(void *user); /* of one guess, as measured */
    void *user;
};

/* ---- one sequence ---- */

enum sched_guess {
    SCHED_GUESS_SHORT,
    SCHED_GUESS_MIDDLE,
    SCHED_GUESS_LONG /* match in the text */,
    SCHED_GUESS_DRAFT,
    SCHED_GUESS_MTP,
    SCHED_GUESS_KINDS
};
/* What the model's sequences have taught; one for all of them. All zeros: nothing yet. */
struct sched_spec_lessons {
    struct sched_spec_lesson {
        float tried, hit;                /* decaying counts */
        bool on;                         /* such guesses paid when they were weighed last */
        uint32_t passed_over;            /* guesses that were not sent, since the last that was sent */
        uint32_t n_probes;               /* tries of guesses that might pay, one after another in vain */
        uint32_t n_sent;                 /* frames with guesses that gain little, since the last without */
    } kinds[SCHED_GUESS_KINDS];
};

struct sched_ngram;
struct sched_spec {
    struct sched_ngram *text;            /* NULL: no speculation here */
    struct sched_spec_lessons *lessons;  /* borrowed */
    struct sched_spec_kind {
        float tried, hit;                /* decaying counts */
        bool on;
    } kinds[SCHED_GUESS_KINDS];
    int32_t guesses[SCHED_SPEC_MOST];    /* the last ones, sent or not */
    uint32_t n_guesses, at;              /* guesses[at] is for the next token; at == n_guesses: none is */
    uint32_t n_given;                    /* guesses[.. n_given) have been sent */
    uint32_t n_frames, n_each;           /* frames that may be under way at once; guesses in each follow-up frame */
    bool always, probes;                 /* send guesses whether they pay or not; send a few, to see whether they pay */
    enum sched_guess kind;
    struct engine_guess own[ENGINE_MAX_GUESS]; /* of the model's own layers, after the last sampled token */
    uint32_t n_own, n_ask;               /* how many there are; how many are wanted after the next one */
    int32_t unsent;                      /* the first of those that gave way to another kind, for the next token; -1: there is none */
    uint32_t n_sent, n_accepted;         /* over the sequence's life */
    uint32_t n_own_sent, n_own_accepted; /* of these, guesses of the model's own layers */
    uint32_t n_small_sent, n_small_accepted; /* and of the small model */
};
/* n: tokens that the sequence may have in all. */
void sched_spec_start(struct sched_spec *sp, uint32_t n, struct sched_spec_lessons *lessons);
void sched_spec_done(struct sched_spec *sp);
/* Adds a token of the text. sampled: a generated token, which is compared with the guess for it; else it is the prompt's. */
void sched_spec_push(struct sched_spec *sp, int32_t token, bool sampled);

/* A sent guess came true. */
void sched_spec_accept(struct sched_spec *sp);
/* The model's own layers guess that these follow the token that was pushed last, or is pushed next; n 0: they have no guess. */
void sched_spec_offer(struct sched_spec *sp, const struct engine_guess *guesses, uint32_t n);

/* The frame that is being filled. */
struct sched_spec_load {
    uint32_t n_others;    /* tokens of other sequences that are in the frame, or will be */
    float expected;       /* tokens that the other sequences are expected to give */
    uint32_t groups;      /* frames under way at once, this one included */
    uint32_t most;        /* guesses that it may take here */
    uint32_t most_own;    /* guesses that the model's own layers can make at once; 0: there are no such layers */
    float own_us;         /* microseconds that one of those takes */
    uint32_t frames; /* frames that may follow one another with this sequence alone; 1: others run, or the stages can't take it back */
    bool always; /* as many as there may be, even if they do not pay */
};
/* How many of sp->guesses to send; *ret_expected: tokens that they are expected to give, the sure one included. sp->n_ask: how many the
 * tail is to make for the next frame. */
uint32_t sched_spec_choose(struct sched_spec *sp, const struct sched_time *time, const struct sched_drafter *drafter, uint32_t seq,
                           const struct sched_spec_load *load, float *ret_expected);
/* Guesses for one more frame after n_flight others that carry only this sequence: how many, at most `most`, from *ret on (valid until the
 * next call). 0: none for now. */
uint32_t sched_spec_follow(struct sched_spec *sp, const struct sched_time *time, uint32_t n_flight, uint32_t most, const int32_t **ret);

#endif
