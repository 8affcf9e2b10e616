/* SPDX-License-Identifier: MIT */
#include "pipeline/sched_spec.h"

#include <assert.h>
#include <string.h>

#include "pipeline/sched_ngram.h"

/* Evidence fades: what counts is how a sequence goes now. */
static const float KIND_KEEP = 0.95f;
/* Speculation of a kind starts when it promises this much, and ends when it brings nothing. */
static const float GAIN_ON = 1.1f, GAIN_OFF = 1.0f;
/* What is guessed but never sent is tried this rarely, if only the measured cost speaks against it. */
enum { PROBE_EVERY = 64, PROBE_MOST = 2 };
/* What is believed before anything was seen, worth so many tries. */
static const float PRIOR_TRIED = 2.0f, PRIOR_HIT[SCHED_GUESS_KINDS] = {0.8f, 1.2f, 1.6f, 1.4f};
enum { MIDDLE_MATCH = 4, LONG_MATCH = 8 };

/* ---- the text --------------------------------------------------------------------------------------------------------------- */

void sched_spec_start(struct sched_spec *sp, uint32_t n) {
    memset(sp, 0, sizeof *sp);
    sp->text = sched_ngram_create(n);
}

void sched_spec_done(struct sched_spec *sp) {
    sched_ngram_free(sp->text);
    sp->text = NULL;
}

void sched_spec_push(struct sched_spec *sp, int32_t token, bool sampled) {
    if (sampled && sp->at < sp->n_guesses) {
        struct sched_spec_kind *k = &sp->kinds[sp->kind];
        bool hit = sp->guesses[sp->at] == token;
        k->tried = k->tried * KIND_KEEP + 1;
        k->hit = k->hit * KIND_KEEP + hit;
        sp->at = hit ? sp->at + 1 : sp->n_guesses;
    }
    sched_ngram_push(sp->text, token);
}

/* ---- how many --------------------------------------------------------------------------------------------------------------- */

static float acceptance(const struct sched_spec *sp, enum sched_guess kind) {
    const struct sched_spec_kind *k = &sp->kinds[kind];
    return (k->hit + PRIOR_HIT[kind]) / (k->tried + PRIOR_TRIED);
}

struct choice { uint32_t n; float gain, expected; };

/* Time between two frames of the same sequences, of n tokens each; drafting_us more are spent in the head on each. */
static float cycle_us(const struct sched_time *t, uint32_t n, uint32_t groups, float drafting_us) {
    float trip, slowest = sched_time_frame(t, SCHED_TIME_DECODE, n, &trip), queue = (slowest + drafting_us) * (float)groups;
    return queue > trip + drafting_us ? queue : trip + drafting_us;
}

/* The number of guesses that gives the most tokens per time, over what none gives. A guess comes true with probability p, and counts only
 * if those before it did. */
static struct choice best_number(const struct sched_time *t, const struct sched_spec_load *load, uint32_t most, float p, float guess_us) {
    float base = (load->expected + 1) / cycle_us(t, load->n_others + 1, load->groups, 0);
    struct choice best = {.expected = 1};
    float expected = 1, chance = p;
    for (uint32_t n = 1; n <= most; n++, chance *= p) {
        expected += chance;
        float cycle = cycle_us(t, load->n_others + 1 + n, load->groups, guess_us * (float)n);
        float gain = (load->expected + expected) / cycle / base;
        if (gain > best.gain) {
            best = (struct choice){.n = n, .gain = gain, .expected = expected};
        }
    }
    return best;
}

/* What the evidence says for this kind: with hysteresis, and a rare small try of what might pay after all. */
static struct choice weigh(struct sched_spec *sp, const struct sched_time *t, const struct sched_spec_load *load, enum sched_guess kind,
                           float guess_us) {
    struct sched_spec_kind *k = &sp->kinds[kind];
    float p = acceptance(sp, kind);
    struct choice none = {.expected = 1};
    if (load->most == 0) {
        return none;
    }
    struct choice best = best_number(t, load, load->most, p, guess_us);
    k->on = best.gain > (k->on ? GAIN_OFF : GAIN_ON);
    if (k->on) {
        return best;
    }
    bool might = 1 + p > GAIN_ON; /* if positions cost nothing */
    if (might && ++k->passed_over >= PROBE_EVERY) {
        uint32_t n = load->most < PROBE_MOST ? load->most : PROBE_MOST;
        return (struct choice){.n = n, .gain = 0, .expected = 1 + p};
    }
    return none;
}

static enum sched_guess kind_of(uint32_t match) {
    return match >= LONG_MATCH ? SCHED_GUESS_LONG : match >= MIDDLE_MATCH ? SCHED_GUESS_MIDDLE : SCHED_GUESS_SHORT;
}

/* As many as there may be: the text's own where it has a good match, else the small model's. */
static enum sched_guess always(const struct sched_spec *sp, const struct sched_drafter *drafter, const struct sched_spec_load *load,
                               uint32_t match, struct choice *ret) {
    bool draft = drafter->guess != NULL && match < LONG_MATCH;
    enum sched_guess kind = draft ? SCHED_GUESS_DRAFT : kind_of(match);
    float p = acceptance(sp, kind), chance = p;
    *ret = (struct choice){.n = draft || match > 0 ? load->most : 0, .expected = 1};
    for (uint32_t i = 0; i < ret->n; i++, chance *= p) {
        ret->expected += chance;
    }
    return kind;
}

static enum sched_guess by_evidence(struct sched_spec *sp, const struct sched_time *time, const struct sched_drafter *drafter,
                                    const struct sched_spec_load *load, uint32_t match, struct choice *ret) {
    enum sched_guess kind = kind_of(match);
    *ret = (struct choice){.expected = 1};
    if (!sched_time_known(time, SCHED_TIME_DECODE)) {
        return kind;
    }
    if (match > 0) {
        *ret = weigh(sp, time, load, kind, 0);
    }
    if (drafter->guess != NULL) {
        struct choice other = weigh(sp, time, load, SCHED_GUESS_DRAFT, (float)drafter->cost_us(drafter->user));
        if (other.n > 0 && (ret->n == 0 || other.gain > ret->gain)) {
            *ret = other;
            kind = SCHED_GUESS_DRAFT;
        }
    }
    return kind;
}

uint32_t sched_spec_choose(struct sched_spec *sp, const struct sched_time *time, const struct sched_drafter *drafter, uint32_t seq,
                           const struct sched_spec_load *load, float *ret_expected) {
    assert(load->most <= SCHED_SPEC_MOST);
    uint32_t match = sched_ngram_guess(sp->text, load->most > 0 ? load->most : 1, sp->guesses);
    struct choice choice;
    sp->kind = load->always ? always(sp, drafter, load, match, &choice) : by_evidence(sp, time, drafter, load, match, &choice);
    if (sp->kind == SCHED_GUESS_DRAFT) {
        uint32_t n_tokens;
        const int32_t *tokens = sched_ngram_tokens(sp->text, &n_tokens);
        choice.n = drafter->guess(drafter->user, seq, tokens, n_tokens, choice.n, sp->guesses);
        match = choice.n;
    }
    sp->at = 0;
    sp->n_guesses = choice.n > 0 ? choice.n : match > 0; /* one that isn't sent is checked all the same */
    if (choice.n > 0) {
        sp->kinds[sp->kind].passed_over = 0;
    }
    sp->n_sent += choice.n;
    *ret_expected = choice.expected;
    return choice.n;
}
