/* SPDX-License-Identifier: MIT
 * The simulated ring: a heap of future events, links as delays, stages as state. */
#include "sim/sim_ring.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "wire/stage.h"

static const uint64_t EPOCH = 0x100000007;
static const clock_us KILL_NOTICE_US = 50;

/* ---- future events ---- */

enum sim_kind { SIM_DELIVER, SIM_FREE, SIM_TIMER, SIM_LOST };
struct sim_event {
    clock_us at;
    uint64_t order;      /* of events at the same time */
    enum sim_kind kind;
    uint32_t stage;
    uint64_t what;       /* TIMER */
    uint8_t *bytes;      /* DELIVER; owned */
    size_t len;
    clock_us sent;
};

struct inbox {
    struct sim_event *frames;
    size_t first, n, cap;
};

struct sim_stage {
    struct sim *sim;
    uint32_t number;
    struct engine engine;
    struct stage *core;
    bool busy, dead;
    clock_us elapsed;          /* of the computation that runs now */
    clock_us link_free;        /* outgoing link: when its last byte is on the way */
    clock_us link_last;        /* and when its last frame arrives: order is kept */
    struct inbox inbox;
    struct sim_event out[8];   /* frames that leave when the computation ends */
    size_t n_out;
};

struct sim {
    struct sim_config config;
    struct sim_callbacks cb;
    void *user;
    uint64_t random;
    clock_us now;
    uint64_t order;
    struct sim_event *heap;
    size_t n_heap, heap_cap;
    struct sim_stage stages[SIM_MAX_STAGE];
    struct sched *sched;
    uint32_t most_in_flight;
    uint64_t errors, lost;
    char broken[400];
};

uint64_t sim_random(struct sim *s) {
    uint64_t z = (s->random += 0x9E3779B97F4A7C15u); /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

uint32_t sim_between(struct sim *s, uint32_t least, uint32_t most) { return least + (uint32_t)(sim_random(s) % (most - least + 1)); }

static bool before(const struct sim_event *a, const struct sim_event *b) { return a->at != b->at ? a->at < b->at : a->order < b->order; }

static void heap_push(struct sim *s, struct sim_event ev) {
    if (s->n_heap == s->heap_cap) {
        s->heap_cap = s->heap_cap * 2 + 64;
        s->heap = mem_realloc(s->heap, s->heap_cap, sizeof(*s->heap));
    }
    ev.order = s->order++;
    size_t i = s->n_heap++;
    for (; i > 0 && before(&ev, &s->heap[(i - 1) / 2]); i = (i - 1) / 2) s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = ev;
}

static struct sim_event heap_pop(struct sim *s) {
    struct sim_event top = s->heap[0], last = s->heap[--s->n_heap];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < s->n_heap; i = child) {
        if (child + 1 < s->n_heap && before(&s->heap[child + 1], &s->heap[child])) child++;
        if (!before(&s->heap[child], &last)) break;
        s->heap[i] = s->heap[child];
    }
    s->heap[i] = last;
    return top;
}

static void inbox_push(struct inbox *b, struct sim_event ev) {
    if (b->n == b->cap) {
        b->cap = b->cap * 2 + 16;
        b->frames = mem_realloc(b->frames, b->cap, sizeof(*b->frames));
    }
    b->frames[b->n++] = ev;
}

/* ---- links ---- */

/* The frame as bytes, kept until the computation that made it has ended. */
static void stage_puts(struct sim_stage *st, const struct stage_out *out) {
    for (size_t i = 0; i < out->n; i++) {
        const struct stage_out_frame *f = &out->frames[i];
        struct frame_header h = f->header;
        h.sent_us = 1;
        struct sim_event ev = {.len = FRAME_HEADER_SIZE + h.payload_len};
        ev.bytes = mem_alloc(ev.len);
        frame_header_put(ev.bytes, &h);
        size_t at = FRAME_HEADER_SIZE;
        for (size_t p = 0; p < f->n_parts; p++) {
            memcpy(ev.bytes + at, f->parts[p].data, f->parts[p].len);
            at += f->parts[p].len;
        }
        assert(at == ev.len && st->n_out < 8);
        st->out[st->n_out++] = ev;
    }
}

static void stage_sends(struct sim *s, struct sim_stage *st) {
    for (size_t i = 0; i < st->n_out; i++) {
        struct sim_event ev = st->out[i];
        const struct sim_config *c = &s->config;
        clock_us start = s->now > st->link_free ? s->now : st->link_free;
        st->link_free = start + (c->bytes_per_us > 0 ? ev.len / c->bytes_per_us : 0);
        clock_us at = st->link_free + (c->n_stage > 1 ? c->delay_us + sim_random(s) % (c->jitter_us + 1) : 0);
        st->link_last = at > st->link_last ? at : st->link_last;
        ev.at = st->link_last;
        ev.sent = s->now;
        ev.kind = SIM_DELIVER;
        ev.stage = (st->number + 1) % c->n_stage;
        heap_push(s, ev);
    }
    st->n_out = 0;
}

static void break_ring(struct sim *s, const char *why) {
    if (s->broken[0] == '\0') snprintf(s->broken, sizeof(s->broken), "%s", why);
    heap_push(s, (struct sim_event){.at = s->now + KILL_NOTICE_US, .kind = SIM_LOST});
}

/* ---- stages ---- */

static clock_us stage_clock(void *user) {
    const struct sim_stage *st = user;
    return st->sim->now + st->elapsed;
}

static void on_eval(void *user, size_t n) {
    struct sim_stage *st = user;
    st->elapsed += st->sim->config.batch_us + n * st->sim->config.token_us;
}

static bool on_fail(void *user) {
    struct sim *s = ((struct sim_stage *)user)->sim;
    bool fail = s->config.fail_one_in > 0 && sim_random(s) % s->config.fail_one_in == 0;
    s->errors += fail;
    return fail;
}

static bool on_lacks(void *user) { return ((struct sim_stage *)user)->sim->errors > 0; }

static bool on_lose(void *user) {
    struct sim *s = ((struct sim_stage *)user)->sim;
    bool lose = s->config.lose_one_in > 0 && sim_random(s) % s->config.lose_one_in == 0;
    s->lost += lose;
    return lose;
}

static void stage_busy(struct sim *s, struct sim_stage *st) {
    st->busy = true;
    heap_push(s, (struct sim_event){.at = s->now + st->elapsed, .kind = SIM_FREE, .stage = st->number});
}

static void head_fault(struct sim *s, const uint8_t *payload, size_t len) {
    struct stage_fault f;
    struct err e;
    if (stage_fault_decode(payload, len, &f, &e) != ERR_OK) break_ring(s, e.text);
    else if (f.frame >= 0) sched_fault_frame(s->sched, s->now, (uint32_t)f.frame, &f.err);
    else sched_fault_seq(s->sched, s->now, (uint32_t)f.seq, (uint32_t)f.generation, &f.err);
}

static void head_receives(struct sim *s, const struct frame_header *h, const uint8_t *payload, uint32_t hop_us);

/* Carries out the scheduler's actions until it makes a frame, which keeps the head busy. */
static void head_pump(struct sim *s) {
    struct sim_stage *st = &s->stages[0];
    struct sched_action a;
    struct stage_out out;
    while (!st->busy && !st->dead && sched_next(s->sched, s->now, &a)) {
        struct sched_counts n;
        sched_count(s->sched, &n);
        s->most_in_flight = n.in_flight > s->most_in_flight ? n.in_flight : s->most_in_flight;
        switch (a.kind) {
        case SCHED_ACTION_EVENT: s->cb.on_event(s->user, s->now, a.event); break;
        case SCHED_ACTION_LOGITS: s->cb.on_logits(s->user, s->now, &a); break;
        case SCHED_ACTION_OPEN: {
            const struct stage_open open = {.seq = a.seq, .generation = a.generation, .sampling = a.request->sampling};
            stage_begin_open(st->core, &open, &out);
            stage_puts(st, &out);
            stage_sends(s, st);
            break;
        }
        default:
            s->cb.on_frame(s->user, s->now, &a);
            st->elapsed = 1;
            stage_begin(st->core, a.number, a.ops, a.n_ops, a.tokens, a.rows, a.n_tokens, &out);
            stage_puts(st, &out);
            stage_busy(s, st);
        }
    }
}

static void head_receives(struct sim *s, const struct frame_header *h, const uint8_t *payload, uint32_t hop_us) {
    struct err e = {0};
    struct stage_lost lost;
    if (h->type == FRAME_LOST) {
        if (stage_lost_decode(payload, h->payload_len, &lost, &e) != ERR_OK) break_ring(s, e.text);
        else
            for (uint32_t i = 0; i < lost.n; i++) sched_lost(s->sched, s->now, stage_lost_key(&lost, i));
    } else if (h->type == FRAME_FAULT) {
        head_fault(s, payload, h->payload_len);
    } else if (h->type != FRAME_TOKENS ||
               sched_tokens(s->sched, s->now, h->number, h->n_tokens, h->n_trace, payload, h->payload_len, hop_us, &e) != ERR_OK) {
        break_ring(s, e.text[0] != '\0' ? e.text : "head: an unexpected frame");
    }
}

/* Handles arrived frames while nothing is being computed. */
static void stage_work(struct sim *s, struct sim_stage *st) {
    struct inbox *b = &st->inbox;
    while (!st->busy && !st->dead && b->first < b->n) {
        struct sim_event ev = b->frames[b->first++];
        struct frame_header h;
        struct err e = {0};
        err_code code = frame_header_get(ev.bytes, FRAME_LINK_RING, &h, &e);
        uint32_t hop_us = (uint32_t)(ev.at - ev.sent), wait_us = (uint32_t)(s->now - ev.at);
        if (code == ERR_OK && st->number == 0) {
            head_receives(s, &h, ev.bytes + FRAME_HEADER_SIZE, hop_us + wait_us);
            head_pump(s); /* results are pulled before their bytes go */
        } else if (code == ERR_OK) {
            struct stage_out out;
            st->elapsed = 1;
            code = stage_receive(st->core, &h, ev.bytes + FRAME_HEADER_SIZE, hop_us, wait_us, &out, &e);
            if (code == ERR_OK) {
                stage_puts(st, &out);
                stage_busy(s, st);
            }
        }
        if (code != ERR_OK) {
            break_ring(s, e.text);
            st->dead = true;
        }
        free(ev.bytes);
    }
    if (b->first == b->n) b->first = b->n = 0;
    if (st->number == 0) head_pump(s);
}

/* ---- the whole ---- */

static void open_stages(struct sim *s) {
    const struct sim_config *c = &s->config;
    uint32_t first = 0;
    for (uint32_t i = 0; i < c->n_stage; i++) {
        struct sim_stage *st = &s->stages[i];
        uint32_t left = c->n_stage - i - 1, most = c->n_layer - left - first;
        uint32_t n = left == 0 ? most : sim_between(s, 1, most);
        *st = (struct sim_stage){.sim = s, .number = i};
        struct fake_params p = {.first = first,
                                .n_guess = c->n_guess,
                                .end = first + n,
                                .n_layer = c->n_layer,
                                .n_seq = c->n_seq,
                                .n_ctx_seq = c->n_ctx_seq,
                                .n_ctx = c->n_ctx,
                                .n_batch = c->n_batch,
                                .loop = c->loop,
                                .keeps_state = c->keeps_state,
                                .marks = c->mark_every > 0,
                                .mark_whole = c->mark_whole,
                                .room = c->room,
                                .lose = on_lose,
                                .lacks = on_lacks,
                                .shapes = c->exact,
                                .on_eval = on_eval,
                                .fail = on_fail,
                                .user = st};
        first += n;
        fake_engine_open(&p, &st->engine);
        struct stage_config sc = {
            .engine = &st->engine, .stage = i, .n_stage = c->n_stage, .epoch = EPOCH, .dtype = c->dtype, .clock = stage_clock, .user = st};
        struct err e;
        err_code code = stage_create(&sc, &st->core, &e);
        assert(code == ERR_OK);
        (void)code;
    }
}

struct sim *sim_create(const struct sim_config *c, const struct sim_callbacks *cb, void *user) {
    struct sim *s = MEM_NEW(struct sim);
    s->config = *c;
    s->cb = *cb;
    s->user = user;
    s->random = c->seed;
    s->now = 1000;
    open_stages(s);
    struct sched_config sc = {.n_stage = c->n_stage,
                              .n_seq = c->n_seq,
                              .n_ctx_seq = c->n_ctx_seq,
                              .n_ctx = c->n_ctx,
                              .n_batch = c->n_batch,
                              .n_vocab = FAKE_N_VOCAB,
                              .n_queue = c->n_queue,
                              .n_credit = c->n_credit,
                              .exact = c->exact,
                              .prefix_cache = c->prefix_cache,
                              .latency_us = c->latency_us,
                              .can_remove = !c->keeps_state,
                              .mark_every = c->mark_every,
                              .mark_whole = c->mark_whole,
                              .turns = c->turns,
                              .store_least = c->store_least,
                              .store_lasts = c->store_lasts,
                              .n_draft = c->n_draft,
                              .draft_always = c->draft_always,
                              .draft_alone = c->draft_alone,
                              .n_guess = c->n_guess,
                              .draft_once = c->draft_once,
                              .drafter = c->drafter};
    s->sched = sched_create(&sc);
    return s;
}

void sim_free(struct sim *s) {
    sched_free(s->sched);
    for (size_t i = 0; i < s->n_heap; i++) free(s->heap[i].bytes);
    for (uint32_t i = 0; i < s->config.n_stage; i++) {
        struct sim_stage *st = &s->stages[i];
        stage_free(st->core);
        st->engine.ops->close(st->engine.self);
        for (size_t k = st->inbox.first; k < st->inbox.n; k++) free(st->inbox.frames[k].bytes);
        for (size_t k = 0; k < st->n_out; k++) free(st->out[k].bytes);
        free(st->inbox.frames);
    }
    free(s->heap);
    free(s);
}

void sim_timer(struct sim *s, clock_us at, uint64_t what) { heap_push(s, (struct sim_event){.at = at, .kind = SIM_TIMER, .what = what}); }

void sim_kill(struct sim *s, uint32_t stage) {
    s->stages[stage].dead = true;
    heap_push(s, (struct sim_event){.at = s->now + KILL_NOTICE_US, .kind = SIM_LOST});
}

static void head_loses_ring(struct sim *s) {
    struct err why;
    err_set(&why, ERR_CLOSED, "a stage is gone");
    sched_fail_all(s->sched, s->now, &why);
    s->stages[0].busy = false;
    head_pump(s);
}

bool sim_run(struct sim *s, size_t max_steps) {
    head_pump(s);
    while (s->n_heap > 0) {
        if (max_steps-- == 0) return false;
        struct sim_event ev = heap_pop(s);
        s->now = ev.at;
        struct sim_stage *st = &s->stages[ev.stage];
        switch (ev.kind) {
        case SIM_DELIVER:
            inbox_push(&st->inbox, ev);
            stage_work(s, st);
            break;
        case SIM_FREE:
            st->busy = false;
            if (!st->dead) stage_sends(s, st);
            stage_work(s, st);
            break;
        case SIM_TIMER:
            s->cb.on_timer(s->user, s->now, ev.what);
            head_pump(s);
            break;
        case SIM_LOST: head_loses_ring(s); break;
        }
    }
    return true;
}

clock_us sim_now(const struct sim *s) { return s->now; }
struct sched *sim_sched(struct sim *s) { return s->sched; }
const struct engine *sim_engine(const struct sim *s, uint32_t stage) { return &s->stages[stage].engine; }
uint32_t sim_most_in_flight(const struct sim *s) { return s->most_in_flight; }
uint64_t sim_errors_injected(const struct sim *s) { return s->errors; }
uint64_t sim_marks_lost(const struct sim *s) { return s->lost; }
const char *sim_broken(const struct sim *s) { return s->broken; }
