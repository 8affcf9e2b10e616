/* SPDX-License-Identifier: MIT
 * How frames are shared between decoding sequences and prompts.
 *
 * Decoding: the sequences are divided into groups, one frame each. With more groups more stages compute at once, but each stage reads its
 * weights more often. Which number is best depends on how a stage's time grows with the size of a batch, so the measured times decide: the
 * chosen number gives the shortest time from one token of a sequence to its next.
 *
 * Prompts, while no sequence decodes: in pieces that follow one another through the stages, of the size that brings the prompt to the tail
 * soonest. While others decode: in pieces so small that the others wait no longer than the latency budget for a token. Prompts that are
 * short beside the budget go first, several of them before the next token, since their readers have no text yet. */
#include "sched/policy.h"

/* From this size on, a CPU uses other kernels, which decode a weight once for several tokens. So this size is tried if its time is
 * unknown. */
enum { WIDE = 4 };
enum { EXACT_DECODE = 3, PREFILL_SHARE = 4, PIECES_PER_STAGE = 16, PIECE_LEAST = 64, PIECE_STEP = 32, PIECE_GROWS = 2 };
/* The number of groups changes only for an improvement of this factor, so that noise doesn't change it to and fro. */
static const float GROUPS_GAIN = 1.08f;
/* Pieces of half the size are preferred unless they cost more than this factor: their estimate is nearer to measured sizes, and other
 * requests wait less for them. */
static const float SMALLER_COST = 1.03f;
/* A larger number of groups is chosen only if its time is shorter by this factor: fewer frames cost every stage less. */
static const float ONE_MORE_GAIN = 1.02f;
/* The budget is at least this many rounds without a prompt. Else prompts would starve where one token already takes that long. */
static const float BUDGET_ROUNDS = 2.0f;
/* Sizes of pieces, the largest first; the last is always allowed. */
static const uint32_t PIECES[] = {2048, 1536, 1024, 768, 512, 384, 256, 192, 128, 96, 64, 48, 32, 16};
enum { N_PIECES = sizeof(PIECES) / sizeof(PIECES[0]) };

static uint32_t min_u32(uint32_t a, uint32_t b) { return a < b ? a : b; }

static uint32_t max_u32(uint32_t a, uint32_t b) { return a > b ? a : b; }

/* Two frames for each stage keep it busy where links take as long as the stages; two more cover the time of the tail's answers. A single
 * stage has no other stage to overlap with. */
uint32_t sched_policy_credit(uint32_t n_stage) { return n_stage == 1 ? 1 : 2 * n_stage + 2; }

/* ---- groups ---- */

static uint32_t group_size(const struct sched_load *load, uint32_t groups) { return (load->n_decoding + groups - 1) / groups; }

static float round_of(const struct sched_load *load, uint32_t groups) {
    return sched_time_cycle(load->time, SCHED_TIME_DECODE, group_size(load, groups), groups);
}

/* If the groups are small now, and fewer groups would have a size that was never measured: that number of groups; else 0. */
static uint32_t untried(const struct sched_load *load, uint32_t now) {
    uint32_t groups = load->n_decoding / WIDE;
    bool wide = groups > 0 && group_size(load, now) < WIDE;
    return wide && !sched_time_seen(load->time, SCHED_TIME_DECODE, group_size(load, groups)) ? groups : 0;
}

uint32_t sched_policy_groups(const struct sched_load *load) {
    uint32_t most = min_u32(load->n_decoding, load->n_credit);
    if (load->n_stage == 1 || most <= 1) return 1;
    if (!sched_time_known(load->time, SCHED_TIME_DECODE)) return min_u32(most, load->n_stage);
    uint32_t now = min_u32(load->groups > 0 ? load->groups : load->n_stage, most), best = 1;
    if (untried(load, now) > 0) return untried(load, now);
    float time = round_of(load, 1);
    for (uint32_t groups = 2; groups <= most; groups++) {
        float t = round_of(load, groups);
        if (t * ONE_MORE_GAIN < time) {
            time = t;
            best = groups;
        }
    }
    return time * GROUPS_GAIN < round_of(load, now) ? best : now;
}

/* ---- prompts ---- */

/* Filling and emptying a line of k stages costs k - 1 pieces' time, so a prompt travels in many pieces; but a piece must not be so small
 * that reading the weights takes longer than computing with them. Before anything has been measured: a guess. */
static uint32_t piece_guess(const struct sched_load *load) {
    uint32_t pieces = PIECES_PER_STAGE * load->n_stage;
    uint32_t size = (load->prompt_tokens / pieces + PIECE_STEP - 1) / PIECE_STEP * PIECE_STEP;
    return min_u32(max_u32(size, PIECE_LEAST), load->n_batch);
}

static uint32_t piece_alone(const struct sched_load *load) {
    if (load->n_stage == 1) return load->n_batch;
    if (!sched_time_known(load->time, SCHED_TIME_PROMPT)) return piece_guess(load);
    uint32_t best = min_u32(PIECE_LEAST, load->n_batch);
    uint32_t tried = max_u32(PIECE_GROWS * sched_time_largest(load->time, SCHED_TIME_PROMPT), piece_guess(load));
    float least = 0;
    for (int i = 0; i < N_PIECES && PIECES[i] >= PIECE_STEP; i++) {
        uint32_t n = PIECES[i];
        if (n > load->n_batch || n > tried)  /* sizes far above the measured ones are not tried at once */
            continue;
        float pieces = (float)((load->prompt_tokens + n - 1) / n);
        float t = (pieces + (float)(load->n_stage - 1)) * sched_time_frame(load->time, SCHED_TIME_PROMPT, n, NULL);
        if (least == 0 || t < SMALLER_COST * least) {
            least = least == 0 || t < least ? t : least;
            best = n;
        }
    }
    return best;
}

/* The size of pieces beside n decode tokens (in exact mode: in frames between theirs), with as many frames under way as there are groups or
 * stages. */
static uint32_t piece_beside(const struct sched_load *load, uint32_t n) {
    uint32_t room = load->exact ? load->n_batch : load->n_batch > n ? load->n_batch - n : 0;
    if (!sched_time_known(load->time, SCHED_TIME_PROMPT)) return min_u32(max_u32(load->n_batch / PREFILL_SHARE, PIECE_STEP), room);
    float budget = (float)load->latency_us, own = BUDGET_ROUNDS * round_of(load, load->groups);
    budget = budget > own ? budget : own;
    uint32_t frames = max_u32(load->groups, load->n_stage), size = PIECES[N_PIECES - 1];
    for (int i = N_PIECES - 2; i >= 0 && PIECES[i] <= room; i--) {
        if (sched_time_cycle(load->time, SCHED_TIME_PROMPT, n + PIECES[i], frames) > budget) break;
        size = PIECES[i];
    }
    return min_u32(size, room);
}

/* Frames with pieces of n tokens that are under way in the stages and on the links when none waits. */
static uint32_t frames_full(const struct sched_load *load, uint32_t n) {
    float trip, slowest = sched_time_frame(load->time, SCHED_TIME_PROMPT, n, &trip);
    float full = slowest > 0 ? trip / slowest : 0;
    return max_u32(load->n_stage, full < (float)load->n_credit ? (uint32_t)full : load->n_credit);
}

/* Is there time for these prompts, and as many again, before a token of another sequence is late? With several stages, frames with tokens
 * go between those with prompts anyway. */
static bool tokens_can_wait(const struct sched_load *load, uint32_t room) {
    if (load->n_stage > 1 || load->exact || !sched_time_known(load->time, SCHED_TIME_PROMPT)) return false;
    float frame = sched_time_frame(load->time, SCHED_TIME_PROMPT, min_u32(room, load->prompt_tokens), NULL);
    return (float)load->waited_us + 2 * frame < (float)load->latency_us;
}

/* ---- both ---- */

static void share_prompts(const struct sched_load *load, struct sched_share *ret) {
    bool alone = load->n_decoding == 0;
    ret->prefill_tokens = alone ? piece_alone(load) : piece_beside(load, ret->decode_tokens);
    if (ret->decode_tokens > 0) return; /* the frame has decode tokens, and goes in any case */
    uint32_t full = frames_full(load, ret->prefill_tokens);
    /* prompts alone: one more frame waits at the slowest stage; else the next frame is kept for the tokens that come back next */
    uint32_t most = alone ? full + 1 : max_u32(full, load->groups);
    if (load->in_flight >= min_u32(most, load->n_credit)) ret->prefill_tokens = 0;
}

void sched_policy_share(const struct sched_load *load, struct sched_share *ret) {
    uint32_t groups = load->exact ? min_u32(load->n_stage == 1 ? 1 : load->n_stage + 1, load->n_credit) : load->groups;
    uint32_t size = groups > 0 ? (load->n_decoding + groups - 1) / groups : 0;
    uint32_t most = load->exact ? min_u32(EXACT_DECODE, load->n_batch) : load->n_batch;
    ret->decode_tokens = load->decode_in_flight < groups ? min_u32(size, most) : 0;
    ret->prefill_first = load->exact && load->n_prefilling > 0 && !load->prefill_last;
    ret->prefill_tokens = 0;
    if (load->n_prefilling > 0) {
        share_prompts(load, ret);
        ret->prefill_first |= ret->prefill_tokens > 0 && tokens_can_wait(load, ret->prefill_tokens);
    }
}
