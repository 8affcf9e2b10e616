/* SPDX-License-Identifier: MIT
 * See core.h. */
#include "batch/core.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum line_state { LINE_NEW, LINE_RUNS, LINE_AGAIN, LINE_DONE };

struct line {
    uint8_t state, tries; /* tries: that ended with an error of the server */
};

/* A line that is to be asked again. */
struct again {
    uint32_t line;
    clock_us at;
};

struct batch {
    struct batch *next;
    enum batch_state state;
    char *owner, *model; /* owned */
    void *user;
    clock_us expires;
    struct line *lines;
    struct batch_counts counts;
    uint32_t next_new;        /* no line from here on has been asked */
    struct again *again;
    uint32_t n_again, cap_again;
    clock_us pause_until;     /* nothing is asked before: the model said so */
    clock_us pause;           /* how long the last such pause was */
    clock_us absent_since;    /* the model isn't there; 0: it was, at the last answer */
};

struct batch_core {
    struct batch *batches;
    size_t n;
};

/* ---- states ---- */

static const char *const names[BATCH_STATES] = {"validating", "failed",  "in_progress", "finalizing",
                                                "completed",  "expired", "cancelling",  "cancelled"};

#define TO(state) (1u << (state))
static const unsigned followers[BATCH_STATES] = {
    [BATCH_VALIDATING] = TO(BATCH_FAILED) | TO(BATCH_IN_PROGRESS) | TO(BATCH_CANCELLING),
    [BATCH_IN_PROGRESS] = TO(BATCH_FINALIZING) | TO(BATCH_CANCELLING),
    [BATCH_FINALIZING] = TO(BATCH_COMPLETED) | TO(BATCH_EXPIRED),
    [BATCH_CANCELLING] = TO(BATCH_CANCELLED),
};

const char *batch_state_name(enum batch_state state) { return names[state]; }

bool batch_state_of(const char *name, enum batch_state *ret) {
    for (int i = 0; i < BATCH_STATES; i++) {
        if (strcmp(names[i], name) != 0) continue;
        *ret = (enum batch_state)i;
        return true;
    }
    return false;
}

bool batch_state_is_end(enum batch_state state) { return followers[state] == 0; }

void batch_set_state(struct batch *b, enum batch_state to) {
    assert((followers[b->state] & TO(to)) != 0);
    b->state = to;
}

/* ---- batches ---- */

struct batch_core *batch_core_create(void) { return MEM_NEW(struct batch_core); }

struct batch *batch_core_add(struct batch_core *c, const char *owner, clock_us expires, void *user) {
    struct batch *b = MEM_NEW(struct batch), **end = &c->batches;
    *b = (struct batch){.owner = mem_strdup(owner), .model = mem_strdup(""), .user = user, .expires = expires};
    while (*end != NULL) end = &(*end)->next;
    *end = b;
    c->n++;
    return b;
}

static void batch_free(struct batch *b) {
    free(b->owner);
    free(b->model);
    free(b->lines);
    free(b->again);
    free(b);
}

void batch_core_remove(struct batch_core *c, struct batch *b) {
    struct batch **at = &c->batches;
    while (*at != b) at = &(*at)->next;
    *at = b->next;
    c->n--;
    batch_free(b);
}

void batch_core_free(struct batch_core *c) {
    if (c == NULL) return;
    while (c->batches != NULL) batch_core_remove(c, c->batches);
    free(c);
}

size_t batch_core_count(const struct batch_core *c) { return c->n; }

struct batch *batch_core_at(const struct batch_core *c, size_t i) {
    struct batch *b = c->batches;
    while (i-- > 0) b = b->next;
    return b;
}

void batch_begin(struct batch *b, const char *model, uint32_t n_lines, const uint8_t *done) {
    batch_set_state(b, BATCH_IN_PROGRESS);
    free(b->model);
    b->model = mem_strdup(model);
    b->lines = mem_calloc(n_lines + 1, sizeof(*b->lines));
    b->counts = (struct batch_counts){.total = n_lines};
    for (uint32_t i = 0; done != NULL && i < n_lines; i++) {
        if (done[i] == 0) continue;
        b->lines[i].state = LINE_DONE;
        if (done[i] == 2) b->counts.failed++;
        else b->counts.completed++;
    }
}

enum batch_state batch_state(const struct batch *b) { return b->state; }
void *batch_user(const struct batch *b) { return b->user; }
const char *batch_model(const struct batch *b) { return b->model; }
struct batch_counts batch_counts(const struct batch *b) { return b->counts; }
clock_us batch_waits_until(const struct batch *b, clock_us now) { return b->pause_until > now ? b->pause_until : 0; }
bool batch_line_is_done(const struct batch *b, uint32_t line) { return b->lines[line].state == LINE_DONE; }

/* ---- which line is next ---- */

/* The first of the lines that are asked again and whose time has come; n_again: none. */
static uint32_t due_again(const struct batch *b, clock_us now) {
    uint32_t best = b->n_again;
    for (uint32_t i = 0; i < b->n_again; i++)
        if (b->again[i].at <= now && (best == b->n_again || b->again[i].line < b->again[best].line)) best = i;
    return best;
}

static bool has_line(struct batch *b, clock_us now) {
    if (b->state != BATCH_IN_PROGRESS || b->pause_until > now || b->expires <= now) return false;
    while (b->next_new < b->counts.total && b->lines[b->next_new].state == LINE_DONE) b->next_new++;
    return b->next_new < b->counts.total || due_again(b, now) < b->n_again;
}

static uint32_t running_of_model(const struct batch_core *c, const char *model) {
    uint32_t n = 0;
    for (const struct batch *b = c->batches; b != NULL; b = b->next) n += strcmp(b->model, model) == 0 ? b->counts.running : 0;
    return n;
}

/* Lines of this owner that are in flight at this model. */
static uint32_t running_of_owner(const struct batch_core *c, const struct batch *of) {
    uint32_t n = 0;
    for (const struct batch *b = c->batches; b != NULL; b = b->next)
        if (strcmp(b->model, of->model) == 0 && strcmp(b->owner, of->owner) == 0) n += b->counts.running;
    return n;
}

static uint32_t take_line(struct batch *b, clock_us now) {
    uint32_t at = due_again(b, now), line;
    if (at < b->n_again) {
        line = b->again[at].line;
        b->again[at] = b->again[--b->n_again];
    } else {
        line = b->next_new++;
    }
    b->lines[line].state = LINE_RUNS;
    b->counts.running++;
    return line;
}

bool batch_core_next(struct batch_core *c, clock_us now, batch_places_fn places, void *user, struct batch **ret, uint32_t *ret_line) {
    struct batch *best = NULL;
    uint32_t least = 0;
    for (struct batch *b = c->batches; b != NULL; b = b->next) {
        if (!has_line(b, now) || running_of_model(c, b->model) >= places(user, b->model)) continue;
        uint32_t running = running_of_owner(c, b);
        if (best != NULL && running >= least) continue;
        best = b;
        least = running;
    }
    if (best == NULL) return false;
    *ret = best;
    *ret_line = take_line(best, now);
    return true;
}

/* ---- answers ---- */

/* What an answer says about asking again. The gateway has tried other copies and targets before it answers so. */
enum lesson {
    LESSON_FINAL,  /* the same request gets the same answer */
    LESSON_WAIT,   /* there is no room now: for no line of the batch */
    LESSON_ABSENT, /* the model isn't there now; it may come back */
    LESSON_BROKEN  /* something broke: it may work another time */
};

static enum lesson lesson_of(int status, uint32_t retry_s) {
    switch (status) {
    case 429: return retry_s > 0 ? LESSON_WAIT : LESSON_FINAL; /* without a time: it can't ever fit a quota */
    case 503:
    case 507: return LESSON_WAIT;
    case 404: return LESSON_ABSENT;
    case 408:
    case 500:
    case 502:
    case 504: return LESSON_BROKEN;
    default: return LESSON_FINAL;
    }
}

static void ask_again(struct batch *b, uint32_t line, clock_us at) {
    if (b->n_again == b->cap_again) {
        b->cap_again = b->cap_again > 0 ? 2 * b->cap_again : 16;
        b->again = mem_realloc(b->again, b->cap_again, sizeof(*b->again));
    }
    b->lines[line].state = LINE_AGAIN;
    b->again[b->n_again++] = (struct again){line, at};
}

/* The batch asks nothing for a while: twice as long as the last time, or as long as it was told. Answers that were under way say the same
 * thing again: they don't make the pause longer. */
static void take_pause(struct batch *b, clock_us now, uint32_t retry_s) {
    clock_us told = (clock_us)retry_s * 1000000;
    if (b->pause_until <= now) {
        b->pause = b->pause == 0 ? BATCH_WAIT_US : 2 * b->pause;
        if (b->pause > BATCH_WAIT_MAX_US) b->pause = BATCH_WAIT_MAX_US;
        b->pause_until = now + b->pause;
    }
    if (b->pause_until < now + told) b->pause_until = now + told;
}

static bool asks_again(struct batch *b, uint32_t line, clock_us now, enum lesson lesson, uint32_t retry_s) {
    struct line *l = &b->lines[line];
    if (lesson == LESSON_ABSENT && b->absent_since == 0) b->absent_since = now;
    if (lesson == LESSON_ABSENT && now - b->absent_since >= BATCH_ABSENT_US) return false;
    if (lesson == LESSON_BROKEN && ++l->tries >= BATCH_TRIES) return false;
    if (lesson == LESSON_BROKEN) {
        ask_again(b, line, now + ((clock_us)BATCH_WAIT_US << l->tries));
    } else {
        take_pause(b, now, retry_s);
        ask_again(b, line, b->pause_until);
    }
    return true;
}

enum batch_verdict batch_answered(struct batch *b, uint32_t line, clock_us now, int status, uint32_t retry_s) {
    bool good = status >= 200 && status < 300;
    assert(b->lines[line].state == LINE_RUNS);
    b->counts.running--;
    b->lines[line].state = LINE_NEW;
    if (b->state != BATCH_IN_PROGRESS) return BATCH_DROP;
    enum lesson lesson = lesson_of(status, retry_s);
    if (lesson != LESSON_FINAL && asks_again(b, line, now, lesson, retry_s)) return BATCH_AGAIN;
    b->lines[line].state = LINE_DONE;
    if (lesson == LESSON_FINAL) b->pause = b->absent_since = 0; /* the model is there */
    if (good) b->counts.completed++;
    else b->counts.failed++;
    return good ? BATCH_KEEP : BATCH_KEEP_FAILED;
}

void batch_gave_up(struct batch *b, uint32_t line) {
    assert(b->lines[line].state == LINE_RUNS);
    b->counts.running--;
    ask_again(b, line, 0);
}

/* ---- ends ---- */

struct batch *batch_core_finished(const struct batch_core *c, clock_us now, bool *ret_expired) {
    for (struct batch *b = c->batches; b != NULL; b = b->next) {
        if (b->state != BATCH_IN_PROGRESS) continue;
        bool all = b->counts.completed + b->counts.failed == b->counts.total;
        if (!all && b->expires > now) continue;
        *ret_expired = !all;
        return b;
    }
    return NULL;
}

static void sooner(clock_us *wake, clock_us at) {
    if (*wake == 0 || at < *wake) *wake = at;
}

clock_us batch_core_wake(const struct batch_core *c, clock_us now) {
    clock_us wake = 0;
    for (const struct batch *b = c->batches; b != NULL; b = b->next) {
        if (b->state != BATCH_IN_PROGRESS) continue;
        sooner(&wake, b->expires);
        bool more = b->next_new < b->counts.total;
        if (b->pause_until > now && (more || b->n_again > 0)) sooner(&wake, b->pause_until);
        for (uint32_t i = 0; i < b->n_again; i++)
            if (b->again[i].at > now) sooner(&wake, b->again[i].at);
    }
    return wake;
}
