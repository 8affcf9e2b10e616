/* SPDX-License-Identifier: MIT
 * See threads.h. */
#include "stage/threads.h"

#include <assert.h>
#include <string.h>

enum {
    WATCH_FRAMES = 4,       /* and at least WATCH_US of computing between two looks at the processor time; */
    WATCH_LONG_FRAMES = 2,  /* of long frames as many as these, and at least WATCH_LONG_US */
    TRY_FRAMES = 3,         /* that count in a trial, and at least TRY_US of computing */
    TRY_MOST = 32,          /* but not more frames than this */
    PASSED_MOST = 64,       /* a trial ends without a result after so many frames of sizes whose time is not known */
    SURELY_LOST = 2,        /* frames after which a trial that is much slower ends */
};
static const float WATCH_US = 20000, WATCH_LONG_US = 80000, TRY_US = 60000;
static const float BUSY = 0.85f;        /* threads wait if the process used less than this part of their time */
static const float GAIN_FEWER = 0.9f;   /* of the time that is needed now: a smaller number of threads must get below it */
static const float GAIN_MORE = 0.96f;   /* 16 threads take 0.94 of the time of 15 */
static const float SPARE = 0.5f;         /* of a processor that is idle: then a trial with more threads may gain */
static const float SLOWER = 1.5f, MUCH_SLOWER = 3;
static const float NEW_SHARE = 0.4f, OFF_MOST = 4; /* weight of a new time in the mean; a longer one counts as OFF_MOST times the mean */
static const clock_us WAIT_LEAST = 2000000, WAIT_MOST = 30000000, LOOK_EVERY = 500000;

/* Sizes are powers of two, and the middle between two of them. */
static uint32_t size_of(uint32_t n) {
    uint32_t log = 0;
    while (n >> (log + 1) != 0) log++;
    uint32_t i = 2 * log + (log > 0 && (n & 1u << (log - 1)) != 0);
    return i < STAGE_THREADS_SIZES ? i : STAGE_THREADS_SIZES - 1;
}

void stage_threads_init(struct stage_threads *t, uint32_t most) {
    assert(most >= 1);
    *t = (struct stage_threads){.most = most};
    for (int i = 0; i < STAGE_THREADS_KINDS; i++)
        t->paces[i] = (struct stage_threads_pace){.count = most, .now = most, .fewer_wait = WAIT_LEAST, .more_wait = WAIT_LEAST};
}

/* ---- trials ---- */

static void clear(struct stage_threads_pace *p) {
    p->frames = p->passed = 0;
    p->wall = p->cpu = p->expected = 0;
}

static void set_state(struct stage_threads_pace *p, enum stage_threads_state state, uint32_t threads) {
    assert((state == STAGE_THREADS_WATCH) == (threads == p->count)); /* a trial is of another number */
    assert(state == p->state || state == STAGE_THREADS_WATCH || p->state == STAGE_THREADS_WATCH);
    p->state = state;
    p->now = threads;
    clear(p);
}

static void begin(struct stage_threads_pace *p, enum stage_threads_state state, uint32_t threads) {
    p->best = p->count;
    p->best_ratio = 1;
    set_state(p, state, threads);
}

static clock_us longer(clock_us wait) { return 2 * wait < WAIT_MOST ? 2 * wait : WAIT_MOST; }

/* Trials that bring nothing become rarer. So do those with more threads when their gain did not last. */
static void wait_for_next(struct stage_threads_pace *p, clock_us now, bool fewer, bool won) {
    if (fewer) {
        p->fewer_wait = won ? WAIT_LEAST : longer(p->fewer_wait);
        p->fewer_at = won ? now : now + p->fewer_wait;
        if (won) p->more_wait = p->more_won == 0 || now > p->more_won + WAIT_MOST ? WAIT_LEAST : longer(p->more_wait);
    } else if (won) {
        p->more_won = now;
    } else {
        p->more_wait = longer(p->more_wait);
    }
    if (fewer && !won) return;
    p->more_at = now + p->more_wait;
    p->anyway_at = now + WAIT_MOST;
}

/* The best number is chosen if it gains enough. */
static void decide(struct stage_threads_pace *p, clock_us now) {
    bool fewer = p->state == STAGE_THREADS_TRY_FEWER, won = p->best_ratio < (fewer ? GAIN_FEWER : GAIN_MORE);
    wait_for_next(p, now, fewer, won);
    if (won) {
        p->count = p->best;
        memset(p->us, 0, sizeof(p->us));
    }
    set_state(p, STAGE_THREADS_WATCH, p->count);
}

/* The next number to try: 1, 2, 4 ... threads fewer, as long as that gets better; or all threads, and then one more. 0: none. */
static uint32_t next_trial(const struct stage_threads_pace *p, uint32_t most, float ratio) {
    if (p->state == STAGE_THREADS_TRY_MORE) return p->now == most && p->best == p->count && p->count + 1 < most ? p->count + 1 : 0;
    uint32_t step = 2 * (p->count - p->now);
    return step < p->count && !(p->best_ratio < GAIN_FEWER && ratio > p->best_ratio) ? p->count - step : 0;
}

static void end_trial(struct stage_threads *t, struct stage_threads_pace *p, clock_us now, float ratio) {
    if (ratio < p->best_ratio) {
        p->best_ratio = ratio;
        p->best = p->now;
    }
    uint32_t next = next_trial(p, t->most, ratio);
    if (next > 0) set_state(p, p->state, next);
    else decide(p, now);
}

static void try(struct stage_threads *t, struct stage_threads_pace *p, clock_us now, float expected, float wall) {
    bool first = p->frames + p->passed == 0; /* it starts threads, so it counts only if it is hopelessly slow */
    if (expected == 0 || (first && wall < MUCH_SLOWER * expected)) {
        if (++p->passed > PASSED_MOST) end_trial(t, p, now, 1);
        return;
    }
    p->frames++;
    p->wall += wall;
    p->expected += expected;
    float ratio = p->wall / p->expected;
    bool lost = ratio > MUCH_SLOWER || (p->frames >= SURELY_LOST && ratio > SLOWER);
    if (lost || (p->frames >= TRY_FRAMES && p->wall >= TRY_US) || p->frames >= TRY_MOST) end_trial(t, p, now, ratio);
}

/* ---- watching ---- */

clock_us stage_threads_look_at(const struct stage_threads *t) {
    for (int i = 0; i < STAGE_THREADS_KINDS; i++)
        if (t->paces[i].count < t->most) return t->look.at + LOOK_EVERY;
    return UINT64_MAX;
}

/* Whether a further thread would find a processor: one is idle, and not because this stage's own threads wait for frames. */
static bool has_room(const struct stage_threads *t, const struct stage_threads_pace *p) {
    float waits = (float)p->count - t->look.cpu_rate;
    return t->look.n == 0 || (t->look.n > 1 && t->look.idle_rate - (waits > 0 ? waits : 0) >= SPARE);
}

void stage_threads_looked(struct stage_threads *t, clock_us now, clock_us idle_us, clock_us cpu_us) {
    struct stage_threads_look *l = &t->look;
    float time = (float)(now - l->at);
    if (now <= l->at) return;
    if (l->n > 0) {
        l->idle_rate = idle_us > l->idle ? (float)(idle_us - l->idle) / time : 0; /* systems' counters may go back */
        l->cpu_rate = (float)(cpu_us - l->cpu) / time;
    }
    *l = (struct stage_threads_look){now, idle_us, cpu_us, l->idle_rate, l->cpu_rate, l->n + 1};
    for (struct stage_threads_pace *p = t->paces; p < t->paces + STAGE_THREADS_KINDS; p++) {
        if (has_room(t, p) || (p->more_won > 0 && now < p->more_won + WAIT_MOST)) continue;
        p->more_wait = WAIT_LEAST; /* when there is room, that is new */
        p->more_at = now;
    }
}

static void watch(struct stage_threads *t, struct stage_threads_pace *p, clock_us now, float *us, float wall, float cpu) {
    float most = *us * OFF_MOST;
    *us = *us == 0 ? wall : *us + ((wall < most ? wall : most) - *us) * NEW_SHARE;
    p->frames++;
    p->wall += wall;
    p->cpu += cpu;
    bool enough = p->frames >= WATCH_FRAMES && p->wall >= WATCH_US, many = p->frames >= WATCH_LONG_FRAMES && p->wall >= WATCH_LONG_US;
    if (!enough && !many) return;
    bool waits = p->cpu < BUSY * p->wall * (float)p->count;
    clear(p);
    if (waits && p->count > 1 && now >= p->fewer_at) begin(p, STAGE_THREADS_TRY_FEWER, p->count - 1);
    else if (p->count < t->most && (has_room(t, p) ? now >= p->more_at : now >= p->anyway_at)) begin(p, STAGE_THREADS_TRY_MORE, t->most);
}

bool stage_threads_frame(struct stage_threads *t, clock_us now, uint32_t n_tokens, clock_us wall_us, clock_us cpu_us) {
    struct stage_threads_pace *p = &t->paces[n_tokens == 1 ? STAGE_THREADS_SINGLE : STAGE_THREADS_SEVERAL];
    if (t->most < 2 || n_tokens == 0) return false;
    uint32_t before = p->now;
    float *us = &p->us[size_of(n_tokens)];
    if (p->state == STAGE_THREADS_WATCH) watch(t, p, now, us, (float)wall_us, (float)cpu_us);
    else try(t, p, now, *us, (float)wall_us);
    return p->now != before;
}
