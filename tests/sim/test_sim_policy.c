/* SPDX-License-Identifier: MIT
 * The promises of the scheduler's policy, on a virtual clock: rounds close to the shortest possible, tokens within the latency budget while
 * prompts are read, and no request that waits for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "sched/policy.h"
#include "sim/sim_ring.h"

enum { MAX_REQUESTS = 600, MAX_STEPS = 4000000 };

struct watched {
    clock_us submitted, started, first, last, ended;
    uint32_t n_tokens;
};

struct run {
    struct sim *sim;
    struct watched all[MAX_REQUESTS];
    uint32_t n_done;
    clock_us watch_from, budget, longest_gap; /* between tokens from then on, until five are done */
    uint32_t n_gaps, n_late;       /* late: more than a tenth over the budget */
    uint32_t n_later;              /* requests that timers submit */
    uint32_t later_prompt, later_tokens;
};

static void on_event(void *user, clock_us now, const struct request_event *ev) {
    struct run *r = user;
    struct watched *w = &r->all[ev->id];
    if (ev->kind == REQUEST_STARTED) {
        w->started = now;
    } else if (ev->kind == REQUEST_TOKEN) {
        if (w->n_tokens++ > 0 && r->watch_from != 0 && now >= r->watch_from && r->n_done < 5) {
            clock_us gap = now - w->last;
            r->n_gaps++;
            r->n_late += gap > r->budget + r->budget / 10;
            r->longest_gap = gap > r->longest_gap ? gap : r->longest_gap;
        }
        w->first = w->first == 0 ? now : w->first;
        w->last = now;
    } else {
        assert_int_equal(ev->kind, REQUEST_DONE);
        w->ended = now;
        r->n_done++;
    }
}

static void on_frame(void *user, clock_us now, const struct sched_action *f) {
    (void)user;
    (void)now;
    (void)f;
}

static void submit(struct run *r, uint32_t id, uint32_t n_prompt, uint32_t n_tokens) {
    struct request q;
    request_init(&q);
    q.id = id;
    q.n_tokens = n_prompt;
    q.tokens = mem_calloc(n_prompt, sizeof(*q.tokens));
    for (uint32_t i = 0; i < n_prompt; i++) q.tokens[i] = (int32_t)((i * 31 + id * 7) % FAKE_N_VOCAB);
    q.max_tokens = (int32_t)n_tokens;
    q.ignore_eos = true;
    struct err e;
    if (sched_submit(sim_sched(r->sim), sim_now(r->sim), &q, &e) != ERR_OK) fail_msg("request %u: %s", id, e.text);
    request_done(&q);
    r->all[id].submitted = sim_now(r->sim);
}

static void on_timer(void *user, clock_us now, uint64_t what) {
    struct run *r = user;
    (void)now;
    submit(r, (uint32_t)what, r->later_prompt, r->later_tokens);
}

static struct run *start(const struct sim_config *c) {
    static const struct sim_callbacks cb = {.on_event = on_event, .on_frame = on_frame, .on_timer = on_timer};
    struct run *r = MEM_NEW(struct run);
    r->sim = sim_create(c, &cb, r);
    return r;
}

static void finish(struct run *r, uint32_t n) {
    assert_true(sim_run(r->sim, MAX_STEPS));
    assert_string_equal(sim_broken(r->sim), "");
    assert_int_equal(r->n_done, n);
}

static void run_free(struct run *r) {
    sim_free(r->sim);
    free(r);
}

static struct sim_config config_of(uint32_t n_stage, uint32_t n_seq, uint32_t batch_us, uint32_t token_us) {
    return (struct sim_config){.seed = 1,
                               .n_stage = n_stage,
                               .n_layer = n_stage,
                               .n_seq = n_seq,
                               .n_ctx_seq = 4200,
                               .n_ctx = 4200 * n_seq,
                               .n_batch = 512,
                               .n_queue = MAX_REQUESTS,
                               .latency_us = 200000,
                               .batch_us = batch_us,
                               .token_us = token_us};
}

/* ---- groups ---- */

/* Mean time from a token to the next, of n streams. */
static double round_us(uint32_t n_stage, uint32_t n, uint32_t batch_us, uint32_t token_us, uint32_t delay_us) {
    struct sim_config c = config_of(n_stage, n, batch_us, token_us);
    c.delay_us = delay_us;
    struct run *r = start(&c);
    for (uint32_t i = 0; i < n; i++) submit(r, i, 4, 400);
    finish(r, n);
    clock_us last = 0, first = UINT64_MAX;
    for (uint32_t i = 0; i < n; i++) {
        last = r->all[i].ended > last ? r->all[i].ended : last;
        first = r->all[i].first < first ? r->all[i].first : first;
    }
    run_free(r);
    return (double)(last - first) / 399;
}

/* The shortest round that any number of groups gives: all groups through one stage, or one group through all stages and links. */
static double best_us(uint32_t n_stage, uint32_t n, uint32_t batch_us, uint32_t token_us, uint32_t delay_us) {
    double best = 0;
    for (uint32_t groups = 1; groups <= n && groups <= sched_policy_credit(n_stage); groups++) {
        double stage = batch_us + (double)((n + groups - 1) / groups) * token_us + 1, trip = n_stage * (stage + delay_us);
        double us = stage * groups > trip ? stage * groups : trip;
        best = best == 0 || us < best ? us : best;
    }
    return best;
}

static void test_rounds(void **state) {
    (void)state;
    static const struct {
        uint32_t n_stage, n, batch_us, token_us, delay_us;
    } cases[] = {
        {2, 2, 0, 1000, 20},     {2, 8, 0, 1000, 20},   {2, 8, 4000, 50, 20}, {4, 4, 1000, 1000, 100}, {4, 16, 2000, 300, 100},
        {2, 6, 500, 500, 20000}, {3, 7, 3000, 0, 1000}, {6, 30, 200, 400, 0}, {1, 8, 1000, 100, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double us = round_us(cases[i].n_stage, cases[i].n, cases[i].batch_us, cases[i].token_us, cases[i].delay_us);
        double best = best_us(cases[i].n_stage, cases[i].n, cases[i].batch_us, cases[i].token_us, cases[i].delay_us);
        print_message("%u stages, %u streams, %u + n x %u us, links of %u us: a round takes %.0f us, the best would %.0f\n",
                      cases[i].n_stage, cases[i].n, cases[i].batch_us, cases[i].token_us, cases[i].delay_us, us, best);
        assert_true(us < best * 1.15);
    }
}

/* ---- latency ---- */

/* Three streams while four long prompts are read, after a first one has shown what prompts cost. Returns how long these took. */
static clock_us read_beside(uint32_t n_stage, uint32_t latency_us) {
    struct sim_config c = config_of(n_stage, 8, 2000, 300);
    c.latency_us = latency_us;
    struct run *r = start(&c);
    submit(r, 10, 1000, 1);
    assert_true(sim_run(r->sim, MAX_STEPS));
    for (uint32_t i = 0; i < 3; i++) submit(r, i, 4, 2000);
    r->watch_from = sim_now(r->sim) + 200000;
    r->budget = latency_us;
    r->later_prompt = 4000;
    r->later_tokens = 1;
    for (uint32_t i = 3; i < 7; i++) sim_timer(r->sim, r->watch_from + i, i);
    finish(r, 8);
    clock_us read = 0;
    for (uint32_t i = 3; i < 7; i++) read = r->all[i].ended > read ? r->all[i].ended : read;
    read -= r->watch_from;
    print_message("%u stages, a budget of %u ms: %u of %u tokens were late, the worst after %llu ms; prompts read in %llu ms\n", n_stage,
                  latency_us / 1000, r->n_late, r->n_gaps, (unsigned long long)r->longest_gap / 1000, (unsigned long long)read / 1000);
    assert_int_equal(r->n_late, 0);
    run_free(r);
    return read;
}

static void test_latency(void **state) {
    (void)state;
    for (uint32_t n_stage = 1; n_stage <= 4; n_stage++) assert_true(read_beside(n_stage, 400000) < read_beside(n_stage, 50000));
}

/* ---- fairness ---- */

/* Short prompts come for a long time, and take all of it: a long one is read all the same before they end. */
static void test_long_prompt_not_starved(void **state) {
    (void)state;
    struct sim_config c = config_of(2, 64, 500, 100);
    struct run *r = start(&c);
    submit(r, 0, 4000, 1);
    r->later_prompt = 100;
    r->later_tokens = 1;
    for (uint32_t i = 1; i < 500; i++) sim_timer(r->sim, sim_now(r->sim) + i * 9800, i); /* 9.8 ms for work that takes about 10 */
    finish(r, 500);
    uint32_t before = 0, waited = 0;
    for (uint32_t i = 1; i < 500; i++) {
        before += r->all[i].ended < r->all[0].ended;
        waited += r->all[i].first - r->all[i].submitted > 400000;
    }
    print_message("the long prompt was read after %llu ms, %u short ones before it; %u short ones waited over 400 ms\n",
                  (unsigned long long)(r->all[0].first - r->all[0].submitted) / 1000, before, waited);
    assert_true(before > 5 && before < 450); /* short ones pass, but not all */
    run_free(r);
}

/* A big request waits for cells: small ones that come after it don't pass it, and those before it do end. */
static void test_big_request_not_overtaken(void **state) {
    (void)state;
    struct sim_config c = config_of(2, 4, 500, 50);
    c.n_ctx = 5000;
    c.prefix_cache = true;
    struct run *r = start(&c);
    for (uint32_t i = 0; i < 40; i++) {
        submit(r, i, 20, 300);
        if (i == 4) submit(r, 100, 3000, 1000);
    }
    finish(r, 41);
    for (uint32_t i = 0; i < 40; i++)
        assert_true(i <= 4 ? r->all[i].started <= r->all[100].started : r->all[i].started >= r->all[100].started);
    run_free(r);
}

/* Streams of one length that begin together end together: decoding goes round. */
static void test_decoding_is_fair(void **state) {
    (void)state;
    for (uint32_t n = 2; n <= 31; n += 29) {
        struct sim_config c = config_of(3, n, 1000, 100);
        struct run *r = start(&c);
        for (uint32_t i = 0; i < n; i++) submit(r, i, 8, 500);
        finish(r, n);
        clock_us first = UINT64_MAX, last = 0, begun = r->all[0].submitted;
        for (uint32_t i = 0; i < n; i++) {
            first = r->all[i].ended < first ? r->all[i].ended : first;
            last = r->all[i].ended > last ? r->all[i].ended : last;
        }
        print_message("%u streams: the first ended after %llu ms, the last after %llu\n", n, (unsigned long long)(first - begun) / 1000,
                      (unsigned long long)(last - begun) / 1000);
        assert_true((last - begun) * 9 < (first - begun) * 10);
        run_free(r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_latency),
        cmocka_unit_test(test_long_prompt_not_starved),
        cmocka_unit_test(test_big_request_not_overtaken),
        cmocka_unit_test(test_decoding_is_fair),
    };
    return cmocka_run_group_tests_name("sim_policy", tests, NULL, NULL);
}
