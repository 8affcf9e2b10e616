/* SPDX-License-Identifier: MIT
 * What models that can't go back reuse by marks, beside a model that can: an answer asked for again, an edited last message, a history
 * without its thoughts, a shared system prompt. Each must reuse at least nine tenths of what the other one reuses, in rings of 1 to 3
 * stages, with one slot and with several, and get the tokens of a fresh start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "sim/sim_ring.h"

enum { CTX = 4096, BEGIN = 90, END = 91, SYSTEM = 1, USER = 2, ASSISTANT = 3, ANSWER = 60, EVERY = 256 };

struct text {
    int32_t tokens[CTX];
    size_t n;
};

struct world {
    struct sim *sim;
    struct text prompts[2];
    int32_t expected[2][ANSWER];
    size_t n_expected[2], got[2];
    uint32_t cached[2];
    bool stop;
};

static const uint8_t TURNS[FAKE_N_VOCAB] = {[BEGIN] = 1, [END] = 1};

/* ---- chats ---- */

static void put(struct text *t, int32_t token) { t->tokens[t->n++] = token; }

/* n words, which depend on the seed. */
static void put_words(struct text *t, size_t n, uint32_t seed) {
    for (size_t i = 0; i < n; i++) put(t, (int32_t)(10 + (seed * 31 + i * 7 + i * i % 13) % 70));
}

static void put_turn(struct text *t, int32_t role, size_t n, uint32_t seed) {
    put(t, BEGIN);
    put(t, role);
    put_words(t, n, seed);
    put(t, END);
}

static void put_asks(struct text *t) {
    put(t, BEGIN);
    put(t, ASSISTANT);
}

static void regenerate(struct text p[2]) {
    for (int i = 0; i < 2; i++) {
        put_turn(&p[i], SYSTEM, 300, 1);
        put_turn(&p[i], USER, 500, 2);
        put_asks(&p[i]);
    }
}

static void edited(struct text p[2]) {
    for (int i = 0; i < 2; i++) {
        put_turn(&p[i], SYSTEM, 300, 1);
        put_turn(&p[i], USER, 200, 2);
        put_turn(&p[i], ASSISTANT, 300, 3);
        put_turn(&p[i], USER, 100, 4 + (uint32_t)i);
        put_asks(&p[i]);
    }
}

/* Of the answer only the end comes back: the rest was thought. */
static void stripped(struct text p[2], const int32_t *answer, size_t n) {
    for (int i = 0; i < 2; i++) {
        put_turn(&p[i], SYSTEM, 200, 1);
        put_turn(&p[i], USER, 400, 2);
        put_asks(&p[i]);
    }
    for (size_t i = n / 2; i < n; i++) put(&p[1], answer[i]);
    put(&p[1], END);
    put_turn(&p[1], USER, 50, 5);
    put_asks(&p[1]);
}

static void shared(struct text p[2]) {
    for (int i = 0; i < 2; i++) {
        put_turn(&p[i], SYSTEM, 700, 1);
        put_turn(&p[i], USER, 100, 2 + (uint32_t)i);
        put_asks(&p[i]);
    }
}

/* The same without turns: only the distance makes marks, and the end. */
static void shared_text(struct text p[2]) {
    for (int i = 0; i < 2; i++) {
        put_words(&p[i], 2900, 1);
        put_words(&p[i], 100, 2 + (uint32_t)i);
    }
}

/* ---- one ring ---- */

static void submit(struct world *w, size_t i) {
    struct request r;
    request_init(&r);
    r.id = i + 1;
    r.n_tokens = w->prompts[i].n;
    r.tokens = mem_calloc(r.n_tokens, sizeof(*r.tokens));
    memcpy(r.tokens, w->prompts[i].tokens, r.n_tokens * sizeof(*r.tokens));
    r.max_tokens = ANSWER;
    r.ignore_eos = true;
    r.sampling.seed = 7;
    assert_int_equal(sched_submit(sim_sched(w->sim), sim_now(w->sim), &r, NULL), ERR_OK);
    request_done(&r);
}

static void on_event(void *user, clock_us now, const struct request_event *ev) {
    struct world *w = user;
    size_t i = (size_t)ev->id - 1;
    assert_int_not_equal(ev->kind, REQUEST_FAILED);
    if (ev->kind == REQUEST_TOKEN) {
        assert_true(w->got[i] < w->n_expected[i]);
        assert_int_equal(ev->token, w->expected[i][w->got[i]++]);
    }
    if (ev->kind == REQUEST_DONE) w->cached[i] = ev->cached_tokens;
    if (ev->kind == REQUEST_DONE && i == 0) sim_timer(w->sim, now + 1000, 1);
}

static void on_frame(void *user, clock_us now, const struct sched_action *f) {
    (void)user;
    (void)now;
    (void)f;
}

static void on_timer(void *user, clock_us now, uint64_t what) {
    (void)now;
    submit(user, (size_t)what);
}

static struct fake_params whole(void) {
    return (struct fake_params){.end = 6, .n_layer = 6, .n_ctx_seq = CTX, .n_ctx = CTX, .n_batch = 512};
}

static void expect(struct world *w, size_t i) {
    struct fake_params p = whole();
    w->n_expected[i] = fake_reference(&p, w->prompts[i].tokens, w->prompts[i].n, 7, true, ANSWER, w->expected[i], &w->stop);
}

/* Tokens that the second prompt takes over from the first. */
static uint32_t reused(struct world *w, uint32_t n_stage, uint32_t n_seq, bool keeps_state, bool mark_whole, uint32_t lose_one_in) {
    struct sim_config c = {.seed = 3,
                           .n_stage = n_stage,
                           .n_layer = 6,
                           .n_seq = n_seq,
                           .n_ctx_seq = CTX,
                           .n_ctx = CTX * n_seq,
                           .n_batch = 512,
                           .n_queue = 8,
                           .prefix_cache = true,
                           .keeps_state = keeps_state,
                           .mark_every = keeps_state ? EVERY : 0,
                           .mark_whole = mark_whole,
                           .turns = TURNS,
                           .lose_one_in = lose_one_in,
                           .batch_us = 100,
                           .token_us = 10,
                           .delay_us = 500};
    struct sim_callbacks cb = {.on_event = on_event, .on_frame = on_frame, .on_timer = on_timer};
    w->got[0] = w->got[1] = 0;
    w->sim = sim_create(&c, &cb, w);
    sim_timer(w->sim, 2000, 0);
    assert_true(sim_run(w->sim, 100000));
    assert_string_equal(sim_broken(w->sim), "");
    assert_true(w->got[0] == w->n_expected[0] && w->got[1] == w->n_expected[1]);
    sim_free(w->sim);
    return w->cached[1];
}

static void compare(const char *name, struct world *w) {
    uint32_t least = UINT32_MAX, plain = reused(w, 1, 1, false, false, 0);
    for (size_t i = 0; i < 2; i++) assert_true(w->prompts[i].n + ANSWER <= CTX);
    for (uint32_t n_stage = 1; n_stage <= 3; n_stage++) {
        for (uint32_t n_seq = 1; n_seq <= 4; n_seq += 3) {
            for (int kind = 0; kind < 2; kind++) {
                uint32_t n = reused(w, n_stage, n_seq, true, kind == 1, 0);
                least = n < least ? n : least;
            }
        }
    }
    print_message("%s: %u of %u tokens, %u where the end can be taken back\n", name, least, (unsigned)w->prompts[1].n, plain);
    assert_true(least * 10 >= plain * 9);
    assert_int_equal(reused(w, 3, 4, true, false, 1), 0); /* every mark is lost: a fresh start, and the same tokens */
    assert_int_equal(reused(w, 3, 4, true, true, 1), 0);
}

static void run_case(const char *name, void (*make)(struct text p[2])) {
    struct world *w = MEM_NEW(struct world);
    make(w->prompts);
    expect(w, 0);
    expect(w, 1);
    compare(name, w);
    free(w);
}

static void test_regenerate(void **state) {
    (void)state;
    run_case("regenerate", regenerate);
}

static void test_edited(void **state) {
    (void)state;
    run_case("edited last message", edited);
}

static void test_shared(void **state) {
    (void)state;
    run_case("shared system prompt", shared);
}

static void test_shared_text(void **state) {
    (void)state;
    run_case("shared text without turns", shared_text);
}

static void test_stripped(void **state) {
    (void)state;
    struct world *w = MEM_NEW(struct world);
    stripped(w->prompts, NULL, 0);
    expect(w, 0);
    struct text none[2] = {0};
    memcpy(w->prompts, none, sizeof(none));
    stripped(w->prompts, w->expected[0], w->n_expected[0]);
    expect(w, 1);
    compare("thoughts stripped", w);
    free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_regenerate), cmocka_unit_test(test_edited),      cmocka_unit_test(test_stripped),
        cmocka_unit_test(test_shared),     cmocka_unit_test(test_shared_text),
    };
    return cmocka_run_group_tests_name("sim_marks", tests, NULL, NULL);
}
