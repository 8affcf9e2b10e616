/* SPDX-License-Identifier: MIT */
#include "sched/spec.h"

#include <assert.h>
#include <string.h>

#include "sched/ngram.h"

/* How much of the old counts is kept at each try, so that recent guesses weigh most: in a sequence, and over all of them. */
static const float KIND_KEEP = 0.95f, LESSON_KEEP = 0.98f;
/* Speculation of a kind starts when it promises this many times the tokens per second, and stops below the second figure. */
static const float GAIN_ON = 1.1f, GAIN_OFF = 1.0f;
/* Guesses of the model's own layers cost the tail's time before they are seen, so they have to promise more to begin with. */
static const float GAIN_ON_OWN = 1.3f;
/* How much a follow-up frame may delay the frame that corrects a refused guess, as a fraction of the slowest stage's time. */
static const float LATE = 0.2f;
/* A guess is sent ahead only if the chance that it and all guesses before it come true is at least this: computing it costs energy, even
 * in stages that would be idle. */
static const float CHANCE_LEAST = 0.25f, CHANCE_MOST = 0.98f;
/* Frames follow only while at least this share of the guesses comes true: where stages share cores, wasted work slows them down. */
static const float FOLLOW_LEAST = 0.6f;
/* If only the measured cost speaks against sending guesses, a few are sent this rarely, to measure again; more rarely after each try in
 * vain. Where guesses gain little, a token goes without them as rarely, for the same reason. */
enum { PROBE_EVERY = 64, PROBE_DOUBLES = 4, PROBE_MOST = 2, PROBE_FOLLOW = 8 };
static const float GAIN_LITTLE = 1.5f;
/* The assumed hits and tries of each kind before the model's first guess. A sequence begins with as many tries, and the model's share of
 * hits, but at least LESSON_LEAST: wrong guesses in one text say little of another, and some are never checked unless they are sent. */
static const float PRIOR_TRIED = 2.0f, PRIOR_HIT[SCHED_GUESS_KINDS] = {0.8f, 1.2f, 1.6f, 1.4f, 1.4f}, LESSON_LEAST = 0.25f;
enum { MIDDLE_MATCH = 4, LONG_MATCH = 8 };

/* ---- the text ---- */

void sched_spec_start(struct sched_spec *sp, uint32_t n, struct sched_spec_lessons *lessons) {
    memset(sp, 0, sizeof(*sp));
    sp->lessons = lessons;
    for (int i = 0; i < SCHED_GUESS_KINDS; i++) sp->kinds[i].on = lessons->kinds[i].on;
    sp->unsent = -1;
    sp->text = sched_ngram_create(n);
}

void sched_spec_done(struct sched_spec *sp) {
    sched_ngram_free(sp->text);
    sp->text = NULL;
}

static void count(struct sched_spec *sp, enum sched_guess kind, bool hit) {
    struct sched_spec_kind *k = &sp->kinds[kind];
    struct sched_spec_lesson *l = &sp->lessons->kinds[kind];
    k->tried = k->tried * KIND_KEEP + 1;
    k->hit = k->hit * KIND_KEEP + hit;
    l->tried = l->tried * LESSON_KEEP + 1;
    l->hit = l->hit * LESSON_KEEP + hit;
}

void sched_spec_push(struct sched_spec *sp, int32_t token, bool sampled) {
    if (sampled && sp->unsent >= 0) count(sp, SCHED_GUESS_MTP, sp->unsent == token);
    sp->unsent = -1;
    if (sampled && sp->at < sp->n_guesses) {
        bool hit = sp->guesses[sp->at] == token;
        count(sp, sp->kind, hit);
        sp->at = hit ? sp->at + 1 : sp->n_guesses;
        sp->n_frames = hit ? sp->n_frames : 0;
    }
    sched_ngram_push(sp->text, token);
}

void sched_spec_accept(struct sched_spec *sp) {
    sp->n_accepted++;
    sp->n_own_accepted += sp->kind == SCHED_GUESS_MTP;
    sp->n_small_accepted += sp->kind == SCHED_GUESS_DRAFT;
}

void sched_spec_offer(struct sched_spec *sp, const struct engine_guess *guesses, uint32_t n) {
    assert(n <= ENGINE_MAX_GUESS);
    memcpy(sp->own, guesses, n * sizeof(*guesses));
    sp->n_own = n;
}

/* ---- how many ---- */

static float acceptance(const struct sched_spec *sp, enum sched_guess kind) {
    const struct sched_spec_kind *k = &sp->kinds[kind];
    const struct sched_spec_lesson *l = &sp->lessons->kinds[kind];
    float known = (l->hit + PRIOR_HIT[kind]) / (l->tried + PRIOR_TRIED);
    known = known > LESSON_LEAST ? known : LESSON_LEAST;
    return (k->hit + known * PRIOR_TRIED) / (k->tried + PRIOR_TRIED);
}

/* How many guesses go with the token, and how many frames are under way. */
struct choice {
    uint32_t n, frames;
    float gain, expected;
    bool probes;
};

static bool sends(const struct choice *c) { return c->n > 0 || c->frames > 1; }

/* The time from one frame of some sequences to their next, for frames of n tokens. The head spends drafting_us more on each frame. */
static float cycle_us(const struct sched_time *t, uint32_t n, uint32_t groups, float drafting_us) {
    float trip, slowest = sched_time_frame(t, SCHED_TIME_DECODE, n, &trip), queue = (slowest + drafting_us) * (float)groups;
    return queue > trip + drafting_us ? queue : trip + drafting_us;
}

/* How many frames of n tokens the stages finish before the frame that corrects a refused guess arrives. */
static uint32_t frames_of(const struct sched_time *t, uint32_t n, uint32_t most) {
    float trip, slowest = sched_time_crowded(t, n, &trip);
    float frames = slowest > 0 ? trip / slowest + LATE : 1;
    return frames < 1 ? 1 : frames < (float)most ? (uint32_t)frames : most;
}

/* Tokens per microsecond with this many frames of n tokens under way. A run of guesses that come true, each with probability p, is
 * 1 / (1 - p) tokens long. It costs one whole trip, and a share of a trip for each further frame. */
static float follow_rate(const struct sched_time *t, uint32_t n, uint32_t frames, float p) {
    float trip, all = 1;
    sched_time_crowded(t, n, &trip);
    p = p < CHANCE_MOST ? p : CHANCE_MOST;
    for (uint32_t i = 0; i < n; i++) all *= p;
    return 1 / (1 - p) / (trip + trip / (float)frames * all / (1 - all));
}

/* The number of guesses that gives the most tokens per time, compared with none. A guess comes true with probability p, and counts only if
 * all guesses before it came true. */
static struct choice best_number(const struct sched_time *t, const struct sched_spec_load *load, uint32_t most, float p, float guess_us) {
    float base = (load->expected + 1) / cycle_us(t, load->n_others + 1, load->groups, 0);
    struct choice best = {.frames = 1, .expected = 1};
    float expected = 0, chance = 1;
    for (uint32_t n = 0; n <= most; n++, chance *= p) {
        expected += chance;
        uint32_t frames = p < FOLLOW_LEAST ? 1 : frames_of(t, 1 + n, load->frames);
        float cycle = cycle_us(t, load->n_others + 1 + n, load->groups, guess_us * (float)n);
        float rate = frames > 1 ? follow_rate(t, 1 + n, frames, p) : (load->expected + expected) / cycle;
        if (rate / base > best.gain && (n > 0 || frames > 1))
            best = (struct choice){.n = n, .frames = frames, .gain = rate / base, .expected = expected};
    }
    return best;
}

/* Guesses that might pay are to be tried. Each try in vain doubles the wait for the next one. */
static bool is_probed(struct sched_spec_lesson *l) {
    uint32_t doubles = l->n_probes < PROBE_DOUBLES ? l->n_probes : PROBE_DOUBLES;
    if (++l->passed_over < (uint32_t)PROBE_EVERY << doubles) return false;
    l->n_probes++;
    return true;
}

/* Guesses that gain little are left out now and then: else nothing would show any more that a token alone has become cheaper. */
static bool is_left_out(struct sched_spec_lesson *l, float gain) {
    l->n_sent = gain < GAIN_LITTLE ? l->n_sent + 1 : 0;
    if (l->n_sent < PROBE_EVERY) return false;
    l->n_sent = 0;
    return true;
}

/* The choice for this kind by its hits so far: with hysteresis, and with a rare small try of a kind that might pay again. */
static struct choice weigh(struct sched_spec *sp, const struct sched_time *t, const struct sched_spec_load *load, enum sched_guess kind,
                           float guess_us) {
    struct sched_spec_kind *k = &sp->kinds[kind];
    struct sched_spec_lesson *l = &sp->lessons->kinds[kind];
    float p = acceptance(sp, kind);
    struct choice none = {.frames = 1, .expected = 1};
    if (load->most == 0) return none;
    struct choice best = best_number(t, load, load->most, p, guess_us);
    k->on = best.gain > (k->on ? GAIN_OFF : kind == SCHED_GUESS_MTP ? GAIN_ON_OWN : GAIN_ON);
    l->on = k->on;
    if (k->on) {
        l->n_probes = 0;
        return is_left_out(l, best.gain) ? none : best;
    }
    bool might = 1 + p > GAIN_ON; /* it would pay if more positions cost nothing */
    if (might && is_probed(l)) {
        bool follow = load->frames > 1 && p >= FOLLOW_LEAST && l->n_probes % 2 != 0; /* tries more guesses and more frames in turn */
        uint32_t n = load->most < PROBE_MOST ? load->most : PROBE_MOST;
        return (struct choice){.n = follow ? 0 : n, .frames = follow ? 2 : 1, .expected = follow ? 1 : 1 + p, .probes = true};
    }
    return none;
}

static enum sched_guess kind_of(uint32_t match) {
    return match >= LONG_MATCH ? SCHED_GUESS_LONG : match >= MIDDLE_MATCH ? SCHED_GUESS_MIDDLE : SCHED_GUESS_SHORT;
}

static uint32_t min_u32(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* Tokens that n guesses are expected to give, the sure one included; each comes true with probability p if the one before it does. */
static float expected_of(uint32_t n, float p) {
    float sum = 1, chance = p;
    for (uint32_t i = 0; i < n; i++, chance *= p) sum += chance;
    return sum;
}

/* As many guesses as allowed: from the text where it has a good match, else from the small model, or from the model's own layers. */
static enum sched_guess always(struct sched_spec *sp, const struct sched_drafter *drafter, const struct sched_spec_load *load,
                               uint32_t match, struct choice *ret) {
    bool draft = drafter->guess != NULL && match < LONG_MATCH, own = !draft && sp->n_own > 0 && match < LONG_MATCH;
    enum sched_guess kind = draft ? SCHED_GUESS_DRAFT : own ? SCHED_GUESS_MTP : kind_of(match);
    bool follows = !draft && !own && match > 0;
    *ret = (struct choice){.n = draft || follows ? load->most
                                : own            ? min_u32(load->most, sp->n_own)
                                                 : 0,
                           .frames = follows ? load->frames : 1};
    ret->expected = expected_of(ret->n, acceptance(sp, kind));
    sp->n_ask = draft ? 0 : min_u32(load->most, load->most_own);
    return kind;
}

/* The guesses of the model's own layers that are there; sets how many are wanted for the next frame: as many as promise the most now. */
static struct choice weigh_own(struct sched_spec *sp, const struct sched_time *t, const struct sched_spec_load *load) {
    struct sched_spec_load own = *load;
    own.frames = 1; /* the tail guesses after what it has sampled, not after other guesses */
    own.most = min_u32(load->most, load->most_own);
    struct choice c = weigh(sp, t, &own, SCHED_GUESS_MTP, load->own_us);
    sp->n_ask = c.probes && sp->n_own > 0 ? 0 : c.n; /* a try is asked for once */
    c.n = min_u32(c.n, sp->n_own);
    c.expected = expected_of(c.n, acceptance(sp, SCHED_GUESS_MTP));
    return c;
}

static enum sched_guess by_evidence(struct sched_spec *sp, const struct sched_time *time, const struct sched_drafter *drafter,
                                    const struct sched_spec_load *load, uint32_t match, struct choice *ret) {
    enum sched_guess kind = kind_of(match);
    *ret = (struct choice){.frames = 1, .expected = 1};
    if (!sched_time_known(time, SCHED_TIME_DECODE)) return kind;
    if (match > 0) *ret = weigh(sp, time, load, kind, 0);
    if (drafter->guess != NULL) {
        struct sched_spec_load waits = *load;
        waits.frames = 1; /* a small model guesses after the text, not after other guesses */
        struct choice other = weigh(sp, time, &waits, SCHED_GUESS_DRAFT, (float)drafter->cost_us(drafter->user));
        if (other.n > 0 && (!sends(ret) || other.gain > ret->gain)) {
            *ret = other;
            kind = SCHED_GUESS_DRAFT;
        }
    }
    if (load->most_own > 0) {
        struct choice own = weigh_own(sp, time, load);
        if (own.n > 0 && (!sends(ret) || own.gain > ret->gain)) {
            *ret = own;
            kind = SCHED_GUESS_MTP;
        }
    }
    return kind;
}

uint32_t sched_spec_choose(struct sched_spec *sp, const struct sched_time *time, const struct sched_drafter *drafter, uint32_t seq,
                           const struct sched_spec_load *load, float *ret_expected) {
    assert(load->most <= SCHED_SPEC_MOST);
    uint32_t match = sched_ngram_guess(sp->text, SCHED_SPEC_MOST, sp->guesses);
    struct choice choice;
    sp->n_ask = 0;
    sp->kind = load->always ? always(sp, drafter, load, match, &choice) : by_evidence(sp, time, drafter, load, match, &choice);
    if (sp->kind == SCHED_GUESS_DRAFT) {
        uint32_t n_tokens;
        const int32_t *tokens = sched_ngram_tokens(sp->text, &n_tokens);
        choice.n = drafter->guess(drafter->user, seq, tokens, n_tokens, choice.n, sp->guesses);
        match = choice.n;
    } else if (sp->kind == SCHED_GUESS_MTP) {
        for (uint32_t i = 0; i < choice.n; i++) sp->guesses[i] = sp->own[i].token;
    }
    sp->unsent = sp->kind != SCHED_GUESS_MTP && sp->n_own > 0 ? sp->own[0].token : -1;
    if (choice.frames > 1) sp->n_ask = 0; /* no answer says where the text ends that is under way */
    sp->n_own = 0;
    sp->at = 0;
    sp->n_guesses = choice.n > 0 ? choice.n : match > 0; /* guesses that are not sent are checked, too */
    if (choice.frames > 1) sp->n_guesses = choice.probes ? PROBE_FOLLOW : SCHED_SPEC_MOST;
    sp->n_given = choice.n;
    sp->n_frames = choice.frames;
    sp->n_each = choice.n + 1;
    sp->always = load->always;
    sp->probes = choice.probes;
    if (sends(&choice)) sp->lessons->kinds[sp->kind].passed_over = 0;
    sp->n_sent += choice.n;
    if (sp->kind == SCHED_GUESS_MTP) sp->n_own_sent += choice.n;
    if (sp->kind == SCHED_GUESS_DRAFT) sp->n_small_sent += choice.n;
    *ret_expected = choice.expected;
    return choice.n;
}

static bool still_pays(const struct sched_spec *sp, const struct sched_time *t) {
    float trip;
    sched_time_frame(t, SCHED_TIME_DECODE, 1, &trip);
    float p = acceptance(sp, sp->kind);
    return p >= FOLLOW_LEAST && follow_rate(t, sp->n_each, sp->n_frames, p) * trip > GAIN_OFF;
}

/* All guesses have been sent. Those that came true are dropped, and new ones are added after the rest, if that still pays and the longer
 * text still continues as the rest says. */
static void go_on(struct sched_spec *sp, const struct sched_time *t) {
    int32_t fresh[SCHED_SPEC_MOST];
    uint32_t n = sp->n_guesses - sp->at;
    if (sp->probes || (!sp->always && !still_pays(sp, t))) return;
    if (sched_ngram_guess(sp->text, SCHED_SPEC_MOST, fresh) == 0 || memcmp(fresh, sp->guesses + sp->at, n * sizeof(*fresh)) != 0) return;
    memcpy(sp->guesses, fresh, sizeof(fresh));
    sp->n_given -= sp->at;
    sp->n_guesses = SCHED_SPEC_MOST;
    sp->at = 0;
}

uint32_t sched_spec_follow(struct sched_spec *sp, const struct sched_time *time, uint32_t n_flight, uint32_t most, const int32_t **ret) {
    if (n_flight >= sp->n_frames) return 0;
    if (sp->n_given == sp->n_guesses) go_on(sp, time);
    float p = acceptance(sp, sp->kind), chance = p;
    for (uint32_t i = sp->at; i < sp->n_given; i++) chance *= p;
    uint32_t n = 0;
    *ret = sp->guesses + sp->n_given;
    while (n < most && n < sp->n_each && sp->n_given < sp->n_guesses && (sp->always || chance >= CHANCE_LEAST)) {
        n++;
        sp->n_given++;
        chance *= p;
    }
    sp->n_sent += n;
    return n;
}
