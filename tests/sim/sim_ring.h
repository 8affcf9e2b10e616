/* SPDX-License-Identifier: MIT
 * A ring in one process on a virtual clock: the real scheduler, stage cores and frame bytes, with fake engines and links of seeded delay,
 * jitter and rate between them. A stage handles one frame at a time, in order, as a stage child does. Everything follows from the seed. */
#ifndef CARAVAN_TESTS_SIM_RING_H
#define CARAVAN_TESTS_SIM_RING_H

#include "sched/sched.h"
#include "stage/stage.h"
#include "support/fake_engine.h"

enum { SIM_MAX_STAGE = 6, SIM_MAX_LAYER = 12 };

struct sim_config {
    uint64_t seed;
    uint32_t n_stage, n_layer;
    uint32_t n_seq, n_ctx_seq, n_ctx, n_batch, n_queue, n_credit;
    uint32_t latency_us;                        /* the scheduler's budget */
    bool exact, prefix_cache;
    bool keeps_state;                           /* engines like recurrent models */
    uint32_t mark_every;                        /* they keep copies of states: sched_config */
    bool mark_whole;
    const uint8_t *turns;
    uint32_t store_least;                       /* stages have stores: sched_config */
    bool store_lasts;
    uint32_t room;                              /* sequences that each stage holds beside its KV cells; 0: any number */
    uint32_t lose_one_in;                       /* copies that a stage does not keep, or loses: one in so many; 0: none */
    uint8_t dtype;
    uint32_t delay_us, jitter_us, bytes_per_us; /* of every link; 0 bytes_per_us: no limit */
    uint32_t batch_us, token_us;                /* the cost of a batch in each stage, and of each token in it */
    uint32_t loop;                              /* of the engine's text: fake_engine.h */
    uint32_t n_draft;                           /* speculation, as sched_config has it */
    bool draft_always, draft_alone, draft_once;
    uint32_t n_guess;                           /* guesses of the model's own layers, in the tail */
    struct sched_drafter drafter;
    uint32_t fail_one_in;                       /* engine errors: one eval in so many; 0: none */
};

struct sim;
/* The caller sees every event, and every frame as the scheduler made it. */
struct sim_callbacks {
    void (*on_event)(void *user, clock_us now, const struct request_event *ev);
    void (*on_frame)(void *user, clock_us now, const struct sched_action *frame);
    void (*on_logits)(void *user, clock_us now, const struct sched_action *logits);
    void (*on_timer)(void *user, clock_us now, uint64_t what);
};

struct sim *sim_create(const struct sim_config *c, const struct sim_callbacks *cb, void *user);
void sim_free(struct sim *s);
uint64_t sim_random(struct sim *s);
uint32_t sim_between(struct sim *s, uint32_t least, uint32_t most);
clock_us sim_now(const struct sim *s);
struct sched *sim_sched(struct sim *s);
const struct engine *sim_engine(const struct sim *s, uint32_t stage);
void sim_timer(struct sim *s, clock_us at, uint64_t what);
void sim_kill(struct sim *s, uint32_t stage);    /* its links close; the head is told */
/* Runs until no event is left. false: some are left after max_steps. */
bool sim_run(struct sim *s, size_t max_steps);
uint32_t sim_most_in_flight(const struct sim *s);
uint64_t sim_errors_injected(const struct sim *s);
uint64_t sim_marks_lost(const struct sim *s);    /* as lose_one_in says */
const char *sim_broken(const struct sim *s);     /* why a link was closed by a stage, "" if none was */

#endif
