/* SPDX-License-Identifier: MIT
 * Speculation: a decoding sequence travels with guesses at its next tokens, so that one trip around the ring gives several. The tail
 * samples behind each of them in turn and stops at the first that isn't what it sampled: what comes out is what would have come out
 * anyway, only sooner. Refused positions are removed at the front of the next frame.
 *
 * While one sequence runs alone, most stages have nothing to do most of the time. Further guesses follow it then, frame behind frame,
 * before the first is answered (Butler et al., PipeInfer, 2024), as many as the stages have done with by the time that a refusal is
 * known and the right token comes: they delay nothing. As long as guesses come true, a token takes what the slowest stage takes, not a
 * trip.
 *
 * How many guesses, if any, is decided by evidence alone: how often those of this kind came true in this sequence (guesses that are not
 * sent are checked too, at no cost), against what one more position costs in the stages, as their measured times say. Sans-I/O, pure but
 * for what it is given; owner: the scheduler. */
#ifndef CARAVAN_SCHED_SPEC_H
#define CARAVAN_SCHED_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sched/time.h"
#include "wire/stage.h"

enum {
    SCHED_SPEC_MOST = STAGE_MAX_DRAFT, /* guesses that may travel with one token */
    SCHED_SPEC_EXACT = 2
};/* with --exact: the whole run is at most 3 tokens, one class of batch shapes */

/* A second source of guesses beside the sequence's own text: a small model. */
struct sched_drafter {
    /* Up to `most` guesses at what follows tokens[0 .. n) of sequence seq; returns how many. NULL: there is none. */
    uint32_t (*guess)(void *user, uint32_t seq, const int32_t *tokens, uint32_t n, uint32_t most, int32_t *ret);
    uint32_t (*cost_us)(void *user); /* of one guess, as measured */
    void *user;
};

/* ---- one sequence ---- */

enum sched_guess { SCHED_GUESS_SHORT, SCHED_GUESS_MIDDLE, SCHED_GUESS_LONG /* match in the text */, SCHED_GUESS_DRAFT, SCHED_GUESS_KINDS };
struct sched_ngram;
struct sched_spec {
    struct sched_ngram *text;            /* NULL: no speculation here */
    struct sched_spec_kind {
        float tried, hit;                /* decaying counts */
        bool on;
        uint32_t passed_over;            /* guesses not sent since the last that was */
        uint32_t n_probes;               /* tries of what might pay */
    } kinds[SCHED_GUESS_KINDS];
    int32_t guesses[SCHED_SPEC_MOST];    /* the last ones, sent or not */
    uint32_t n_guesses, at;              /* guesses[at] is for the next token; at == n_guesses: none is */
    uint32_t n_given;                    /* guesses[.. n_given) have been sent */
    uint32_t n_frames, n_each;           /* frames that may be under way one behind another; guesses in each that follows */
    bool always, probes;                 /* whether it pays or not; a few, to see whether it does */
    enum sched_guess kind;
    uint32_t n_sent, n_accepted;         /* over the sequence's life */
};
/* n: tokens that the sequence may have in all. */
void sched_spec_start(struct sched_spec *sp, uint32_t n);
void sched_spec_done(struct sched_spec *sp);
/* A token of the text: of the prompt, or (sampled) checked against the guess for it. */
void sched_spec_push(struct sched_spec *sp, int32_t token, bool sampled);

/* The frame that is being filled. */
struct sched_spec_load {
    uint32_t n_others;    /* tokens in it besides: of other sequences, placed and to be placed */
    float expected;       /* tokens that will come of those */
    uint32_t groups;      /* frames that travel one behind another, this one included */
    uint32_t most;        /* guesses that it may take here */
    uint32_t frames; /* frames that may follow one another with this sequence alone; 1: others run, or the stages can't take it back */
    bool always; /* as many as there may be, whether it pays or not */
};
/* Guesses to send: how many, in sp->guesses; *ret_expected: tokens that will come of it, its own included. */
uint32_t sched_spec_choose(struct sched_spec *sp, const struct sched_time *time, const struct sched_drafter *drafter, uint32_t seq,
                           const struct sched_spec_load *load, float *ret_expected);
/* Guesses for one more frame behind n_flight others, all of which carry this sequence and nothing else: how many, at most `most`, from
 * *ret on (valid until the next call). 0: no more for now. */
uint32_t sched_spec_follow(struct sched_spec *sp, const struct sched_time *time, uint32_t n_flight, uint32_t most, const int32_t **ret);

#endif
