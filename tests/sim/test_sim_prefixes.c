/* SPDX-License-Identifier: MIT
 * Many requests with few beginnings, on a virtual clock, in a ring that can keep every beginning once: in its slots, and in little memory
 * beside them. Then each beginning is computed once, whatever the order of the requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "sim/sim_ring.h"

enum {
    BEGINNING = 150, /* tokens */
    QUESTION = 6,
    ANSWER = 4,
    CLIENTS = 4,
    FIRST = 60, /* requests that make the beginnings known */
    ALL = 400,
    MAX_STEPS = 4000000
};

struct run {
    struct sim *sim;
    uint32_t n_beginnings, n_sent, n_done, n_anew;
};

/* Its beginning, and a question that nobody else asks. */
static void submit(struct run *r) {
    uint32_t which = sim_between(r->sim, 0, r->n_beginnings - 1);
    struct request q;
    request_init(&q);
    q.id = ++r->n_sent;
    q.n_tokens = BEGINNING + QUESTION;
    q.tokens = mem_calloc(q.n_tokens, sizeof(*q.tokens));
    for (uint32_t i = 0; i < BEGINNING; i++) q.tokens[i] = (int32_t)((i * 31 + which * 7) % FAKE_N_VOCAB);
    for (uint32_t i = 0; i < QUESTION; i++) q.tokens[BEGINNING + i] = (int32_t)(r->n_sent * (i + 3) % FAKE_N_VOCAB);
    q.max_tokens = ANSWER;
    q.ignore_eos = true;
    struct err e;
    if (sched_submit(sim_sched(r->sim), sim_now(r->sim), &q, &e) != ERR_OK) fail_msg("%s", e.text);
    request_done(&q);
}

static void on_event(void *user, clock_us now, const struct request_event *ev) {
    struct run *r = user;
    if (ev->kind != REQUEST_DONE) return;
    r->n_anew += ev->id > FIRST && ev->cached_tokens < BEGINNING / 2;
    r->n_done++;
    sim_timer(r->sim, now + 1, 0);
}

static void on_timer(void *user, clock_us now, uint64_t what) {
    (void)now;
    (void)what;
    if (((struct run *)user)->n_sent < ALL) submit(user);
}

static void on_frame(void *user, clock_us now, const struct sched_action *f) {
    (void)user;
    (void)now;
    (void)f;
}

/* Returns how many requests computed their beginning anew. room: for so many sequences beside the cells of four. */
static uint32_t run(uint64_t seed, uint32_t n_stage, uint32_t n_beginnings, uint32_t room) {
    static const struct sim_callbacks cb = {.on_event = on_event, .on_frame = on_frame, .on_timer = on_timer};
    struct sim_config c = {.seed = seed,
                           .n_stage = n_stage,
                           .n_layer = 4,
                           .n_seq = CLIENTS,
                           .n_ctx_seq = 200,
                           .n_ctx = 200 * CLIENTS,
                           .n_batch = 64,
                           .n_queue = CLIENTS,
                           .latency_us = 200000,
                           .delay_us = 100,
                           .jitter_us = 50,
                           .batch_us = 1000,
                           .token_us = 100,
                           .prefix_cache = true,
                           .store_least = 20,
                           .room = room};
    struct run r = {.n_beginnings = n_beginnings};
    r.sim = sim_create(&c, &cb, &r);
    for (uint32_t i = 0; i < CLIENTS; i++) submit(&r);
    assert_true(sim_run(r.sim, MAX_STEPS));
    assert_string_equal(sim_broken(r.sim), "");
    assert_int_equal(r.n_done, ALL);
    sim_free(r.sim);
    return r.n_anew;
}

/* The ring learns from what it loses that memory is scarce, so a few may be computed anew. */
static void test_each_beginning_is_kept(void **state) {
    (void)state;
    enum { SEEDS = 20, ONE_IN = 200 };
    static const uint32_t beginnings[] = {2, 4, 8};
    for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++) {
        uint32_t anew = 0, n = 0;
        for (uint64_t seed = 1; seed <= SEEDS; seed++)
            for (uint32_t n_stage = 1; n_stage <= 2; n_stage++, n += ALL - FIRST) anew += run(seed, n_stage, beginnings[i], beginnings[i]);
        if (anew > n / ONE_IN) fail_msg("of %u requests with %u beginnings %u computed theirs anew", n, beginnings[i], anew);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_beginning_is_kept)};
    return cmocka_run_group_tests_name("sim_prefixes", tests, NULL, NULL);
}
