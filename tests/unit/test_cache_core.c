/* SPDX-License-Identifier: MIT
 * The response cache's decisions on a virtual clock: hits, misses, ages, requests that wait for one another, leaders that fail or go, the
 * size in memory; and thousands of random events, after which nobody waits for ever and no answer is given for another key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cache/cache.h"

static const struct cache_wish PLAIN = {.look = true, .keep = true, .max_age = INT64_MAX}, AFRESH = {.keep = true, .max_age = INT64_MAX};

struct world {
    struct cache *c;
    int64_t now;
};

static void key_of(unsigned number, uint8_t key[CACHE_KEY_SIZE]) {
    memset(key, 0, CACHE_KEY_SIZE);
    memcpy(key, &number, sizeof(number));
}

static struct world open_world(int64_t ttl_s, size_t memory) {
    const struct cache_limits limits = {.ttl_s = ttl_s, .memory = memory};
    return (struct world){.c = cache_create(&limits), .now = 1000000};
}

static void ask_with(struct world *w, unsigned number, struct cache_ticket *t, const struct cache_wish *wish) {
    uint8_t key[CACHE_KEY_SIZE];
    key_of(number, key);
    cache_ask(w->c, w->now, key, wish, t);
}

static void ask(struct world *w, unsigned number, struct cache_ticket *t) { ask_with(w, number, t, &PLAIN); }

/* The store's answer: text, made `age` seconds ago; NULL: none. */
static void found(struct world *w, unsigned number, const char *text, int64_t age) {
    uint8_t key[CACHE_KEY_SIZE];
    key_of(number, key);
    cache_found(w->c, w->now, key, text, text != NULL ? strlen(text) : 0, w->now - age);
}

static void done(struct world *w, struct cache_ticket *t, const char *text) {
    cache_done(w->c, w->now, t, text, text != NULL ? strlen(text) : 0);
}

static void expect(struct world *w, enum cache_action_kind kind, const struct cache_ticket *t, const char *text) {
    struct cache_action a;
    if (!cache_next(w->c, &a)) fail_msg("expected action %d, there is none", kind);
    if (a.kind != kind || a.ticket != t) fail_msg("expected action %d, got %d", kind, a.kind);
    if (text == NULL) return;
    assert_int_equal(a.len, strlen(text));
    assert_memory_equal(a.data, text, a.len);
}

static void expect_nothing(struct world *w) {
    struct cache_action a;
    if (cache_next(w->c, &a)) fail_msg("there is action %d, none was expected", a.kind);
}

/* A request that nothing is known of: the store is asked, and the request computes. */
static void computes(struct world *w, unsigned number, struct cache_ticket *t) {
    ask(w, number, t);
    expect(w, CACHE_LOOK, NULL, NULL);
    found(w, number, NULL, 0);
    expect(w, CACHE_COMPUTE, t, NULL);
    expect_nothing(w);
}

static void a_miss_then_hits(void **state) {
    struct world w = open_world(100, 1 << 20);
    struct cache_ticket a = {0}, b = {0};
    struct cache_action action;
    (void)state;
    computes(&w, 1, &a);
    done(&w, &a, "answer");
    expect(&w, CACHE_KEEP, NULL, "answer");
    w.now += 30;
    ask(&w, 1, &b);
    assert_true(cache_next(w.c, &action));
    assert_int_equal(action.kind, CACHE_HIT);
    assert_int_equal(action.age_s, 30);
    assert_null(b.place);
    expect_nothing(&w);
    cache_free(w.c);
}

static void the_store_answers(void **state) {
    struct world w = open_world(100, 1 << 20);
    struct cache_ticket a = {0}, b = {0};
    (void)state;
    ask(&w, 1, &a);
    expect(&w, CACHE_LOOK, NULL, NULL);
    found(&w, 1, "kept", 99);
    expect(&w, CACHE_HIT, &a, "kept");
    ask(&w, 1, &b); /* it is in memory now */
    expect(&w, CACHE_HIT, &b, "kept");
    w.now += 1; /* too old now */
    ask(&w, 1, &a);
    expect(&w, CACHE_LOOK, NULL, NULL);
    found(&w, 1, "kept", 100); /* the store should have forgotten it */
    expect(&w, CACHE_COMPUTE, &a, NULL);
    cache_leave(w.c, &a);
    cache_free(w.c);
}

/* A store's clock may be ahead: such an answer expires all the same. */
static void an_answer_from_the_future_is_new(void **state) {
    struct world w = open_world(100, 1 << 20);
    struct cache_ticket a = {0};
    struct cache_action action;
    (void)state;
    ask(&w, 1, &a);
    expect(&w, CACHE_LOOK, NULL, NULL);
    found(&w, 1, "kept", -1000000);
    assert_true(cache_next(w.c, &action));
    assert_int_equal(action.age_s, 0);
    w.now += 100;
    ask(&w, 1, &a);
    expect(&w, CACHE_LOOK, NULL, NULL);
    cache_leave(w.c, &a);
    cache_free(w.c);
}

static void a_client_bounds_the_age(void **state) {
    struct world w = open_world(1000, 1 << 20);
    struct cache_ticket a = {0}, b = {0}, old = {0};
    struct cache_wish young = PLAIN;
    (void)state;
    young.max_age = 60;
    computes(&w, 1, &a);
    done(&w, &a, "first");
    expect(&w, CACHE_KEEP, NULL, "first");
    w.now += 61;
    ask_with(&w, 1, &a, &young);
    ask(&w, 1, &old); /* any age will do: it gets what is held */
    expect(&w, CACHE_LOOK, NULL, NULL);
    expect(&w, CACHE_HIT, &old, "first");
    ask_with(&w, 1, &b, &young);
    found(&w, 1, "first", 61);
    expect(&w, CACHE_COMPUTE, &a, NULL);
    expect_nothing(&w);
    done(&w, &a, "second");
    expect(&w, CACHE_KEEP, NULL, "second");
    expect(&w, CACHE_HIT, &b, "second");
    cache_free(w.c);
}

static void no_cache_computes_beside_the_others(void **state) {
    struct world w = open_world(1000, 1 << 20);
    struct cache_ticket a = {0}, b = {0}, c = {0};
    (void)state;
    computes(&w, 1, &a);
    ask_with(&w, 1, &b, &AFRESH);
    expect(&w, CACHE_COMPUTE, &b, NULL);
    done(&w, &b, "afresh");
    expect(&w, CACHE_KEEP, NULL, "afresh");
    ask(&w, 1, &c);
    expect(&w, CACHE_HIT, &c, "afresh");
    done(&w, &a, "later");
    expect(&w, CACHE_KEEP, NULL, "later");
    ask(&w, 1, &c);
    expect(&w, CACHE_HIT, &c, "later");
    expect_nothing(&w);
    cache_free(w.c);
}

static void one_computes_for_all(void **state) {
    struct world w = open_world(1000, 1 << 20);
    struct cache_ticket t[10] = {0};
    (void)state;
    for (size_t i = 0; i < 5; i++) ask(&w, 1, &t[i]);
    expect(&w, CACHE_LOOK, NULL, NULL);
    expect_nothing(&w);
    found(&w, 1, NULL, 0);
    expect(&w, CACHE_COMPUTE, &t[0], NULL);
    for (size_t i = 5; i < 10; i++) ask(&w, 1, &t[i]);
    expect_nothing(&w);
    done(&w, &t[0], "answer");
    expect(&w, CACHE_KEEP, NULL, "answer");
    for (size_t i = 1; i < 10; i++) expect(&w, CACHE_HIT, &t[i], "answer");
    expect_nothing(&w);
    cache_free(w.c);
}

static void the_next_one_computes_when_one_fails(void **state) {
    struct world w = open_world(1000, 1 << 20);
    struct cache_ticket t[5] = {0};
    (void)state;
    computes(&w, 1, &t[0]);
    for (size_t i = 1; i < 5; i++) ask(&w, 1, &t[i]);
    cache_leave(w.c, &t[2]); /* its client went */
    cache_leave(w.c, &t[0]);
    expect(&w, CACHE_COMPUTE, &t[1], NULL);
    expect_nothing(&w);
    done(&w, &t[1], NULL); /* its answer is not for others */
    expect(&w, CACHE_COMPUTE, &t[3], NULL);
    done(&w, &t[3], "answer");
    expect(&w, CACHE_KEEP, NULL, "answer");
    expect(&w, CACHE_HIT, &t[4], "answer");
    expect_nothing(&w);
    cache_free(w.c);
}

/* A request may go between the decision and its delivery. */
static void a_decision_is_taken_back(void **state) {
    struct world w = open_world(1000, 0);
    struct cache_ticket a = {0}, b = {0}, c = {0};
    (void)state;
    computes(&w, 1, &a);
    ask(&w, 1, &b);
    ask(&w, 1, &c);
    cache_leave(w.c, &a); /* b is to compute ... */
    cache_leave(w.c, &b); /* ... and leaves before it hears so */
    expect(&w, CACHE_COMPUTE, &c, NULL);
    ask(&w, 1, &a);
    ask(&w, 1, &b);
    done(&w, &c, "answer");
    cache_leave(w.c, &a); /* its answer is there, and it goes before it gets it */
    expect(&w, CACHE_KEEP, NULL, "answer");
    expect(&w, CACHE_HIT, &b, "answer");
    expect_nothing(&w);
    cache_leave(w.c, &a); /* once more does no harm */
    cache_free(w.c);
}

static void the_least_used_leaves_the_memory(void **state) {
    enum { LEN = 1000, FIT = 10 };
    struct world w = open_world(1000, FIT * (LEN + 160));
    struct cache_ticket t = {0};
    char text[LEN + 1];
    (void)state;
    memset(text, 'x', LEN);
    text[LEN] = '\0';
    for (unsigned i = 0; i < FIT; i++) {
        computes(&w, i, &t);
        done(&w, &t, text);
        expect(&w, CACHE_KEEP, NULL, text);
    }
    ask(&w, 0, &t); /* now 1 is the one that was not used for longest */
    expect(&w, CACHE_HIT, &t, text);
    computes(&w, FIT, &t);
    done(&w, &t, text);
    expect(&w, CACHE_KEEP, NULL, text);
    assert_int_equal(cache_held(w.c), FIT * (LEN + 160));
    ask(&w, 0, &t);
    expect(&w, CACHE_HIT, &t, text);
    ask(&w, 1, &t);
    expect(&w, CACHE_LOOK, NULL, NULL);
    cache_leave(w.c, &t);
    cache_free(w.c);
}

/* ---- random schedules ---- */

enum { TICKETS = 24, KEYS = 3, STEPS = 20000 };

struct schedule {
    struct world w;
    struct cache_ticket t[TICKETS];
    unsigned key[TICKETS];
    enum { OUT, WAITS, COMPUTES } is[TICKETS];
    bool looking[KEYS];
    uint64_t seed;
};

static unsigned draw(struct schedule *s, unsigned n) {
    s->seed = s->seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(s->seed >> 33) % n;
}

static void deliver(struct schedule *s) {
    struct cache_action a;
    while (cache_next(s->w.c, &a)) {
        size_t i = a.ticket != NULL ? (size_t)(a.ticket - s->t) : 0;
        unsigned number = 0;
        if (a.key != NULL) memcpy(&number, a.key, sizeof(number));
        switch (a.kind) {
        case CACHE_LOOK:
            assert_false(s->looking[number]);
            s->looking[number] = true;
            break;
        case CACHE_KEEP: assert_int_equal(*(const char *)a.data, 'a' + number); break;
        case CACHE_HIT:
            assert_int_equal(s->is[i], WAITS);
            assert_int_equal(*(const char *)a.data, 'a' + s->key[i]);
            s->is[i] = OUT;
            break;
        case CACHE_COMPUTE:
            assert_int_equal(s->is[i], WAITS);
            s->is[i] = COMPUTES;
            break;
        }
    }
}

static void answer(struct schedule *s, unsigned number) {
    const char text[2] = {(char)('a' + number), '\0'};
    if (!s->looking[number]) return;
    s->looking[number] = false;
    found(&s->w, number, draw(s, 3) == 0 ? text : NULL, draw(s, 20));
}

static void step(struct schedule *s) {
    unsigned i = draw(s, TICKETS), what = draw(s, 8);
    const char text[2] = {(char)('a' + s->key[i]), '\0'};
    if (what == 0) answer(s, draw(s, KEYS));
    else if (what == 1) s->w.now += draw(s, 3);
    else if (what == 2 && s->is[i] != OUT) {
        cache_leave(s->w.c, &s->t[i]);
        s->is[i] = OUT;
    } else if (what == 3 && s->is[i] == COMPUTES) {
        done(&s->w, &s->t[i], draw(s, 4) > 0 ? text : NULL);
        s->is[i] = OUT;
    } else if (what > 3 && s->is[i] == OUT) {
        s->key[i] = draw(s, KEYS);
        ask_with(&s->w, s->key[i], &s->t[i], draw(s, 5) > 0 ? &PLAIN : &AFRESH);
        s->is[i] = WAITS;
    }
    if (draw(s, 4) > 0) deliver(s);
}

/* All that computes ends, and the store answers: then nobody is left. */
static void end(struct schedule *s) {
    for (int round = 0; round < 2 * TICKETS; round++) {
        deliver(s);
        for (unsigned k = 0; k < KEYS; k++) answer(s, k);
        for (size_t i = 0; i < TICKETS; i++)
            if (s->is[i] == COMPUTES) {
                cache_leave(s->w.c, &s->t[i]);
                s->is[i] = OUT;
            }
    }
    for (size_t i = 0; i < TICKETS; i++) assert_int_equal(s->is[i], OUT);
    cache_free(s->w.c);
}

static void nobody_waits_for_ever(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct schedule *s = MEM_NEW(struct schedule);
        s->w = open_world(15, seed % 2 == 0 ? 0 : 2000);
        s->seed = seed;
        for (int i = 0; i < STEPS / 10; i++) step(s);
        end(s);
        free(s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_miss_then_hits),
        cmocka_unit_test(the_store_answers),
        cmocka_unit_test(an_answer_from_the_future_is_new),
        cmocka_unit_test(a_client_bounds_the_age),
        cmocka_unit_test(no_cache_computes_beside_the_others),
        cmocka_unit_test(one_computes_for_all),
        cmocka_unit_test(the_next_one_computes_when_one_fails),
        cmocka_unit_test(a_decision_is_taken_back),
        cmocka_unit_test(the_least_used_leaves_the_memory),
        cmocka_unit_test(nobody_waits_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
