/* SPDX-License-Identifier: MIT
 * Speculation without a ring: guesses from the text, compared with a plain search; made-up times; and the decisions from both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sched/ngram.h"
#include "sched/spec.h"

static uint64_t dice = 88172645463325252u;

static uint32_t roll(uint32_t n) {
    dice ^= dice << 13; /* xorshift64 (Marsaglia 2003) */
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (uint32_t)(dice % n);
}

/* ---- guesses from the text ---- */

enum { TEXT = 60 }; /* shorter than a hash chain: nothing is overlooked */

/* The length of the longest match (up to the limit), and where it goes on: the latest. */
static uint32_t search(const int32_t *text, uint32_t n, uint32_t *ret_from) {
    uint32_t best = 0;
    for (uint32_t from = n - 1; from > 0; from--) {
        uint32_t length = 0;
        while (length < from && length < SCHED_NGRAM_MOST && text[from - 1 - length] == text[n - 1 - length]) length++;
        if (length > best) {
            best = length;
            *ret_from = from;
        }
    }
    return best >= SCHED_NGRAM_LEAST ? best : 0;
}

static void test_guesses_are_the_longest_match(void **state) {
    (void)state;
    uint32_t n_found = 0;
    for (int round = 0; round < 300; round++) {
        struct sched_ngram *g = sched_ngram_create(TEXT);
        int32_t text[2 * TEXT] = {0}, got[8];
        uint32_t letters = 1 + roll(6);
        for (uint32_t n = 1; n <= TEXT; n++) {
            text[n - 1] = (int32_t)(roll(letters) * 1000003);
            sched_ngram_push(g, text[n - 1]);
            uint32_t from = 0, want = n > 1 ? search(text, n, &from) : 0;
            assert_int_equal(sched_ngram_guess(g, 8, got), want);
            for (uint32_t i = 0; i < 8 && want > 0; i++) { /* past the end, the guesses themselves count as the text */
                int32_t right = from + i < n ? text[from + i] : got[from + i - n];
                assert_int_equal(got[i], right);
                n_found++;
            }
        }
        uint32_t n;
        sched_ngram_push(g, 1); /* full */
        assert_memory_equal(sched_ngram_tokens(g, &n), text, sizeof(int32_t) * TEXT);
        assert_int_equal(n, TEXT);
        sched_ngram_free(g);
    }
    assert_true(n_found > 1000);
}

static void test_a_loop_goes_on(void **state) {
    (void)state;
    struct sched_ngram *g = sched_ngram_create(100);
    int32_t got[10];
    for (int32_t i = 0; i < 7; i++) sched_ngram_push(g, i % 3);
    assert_int_equal(sched_ngram_guess(g, 10, got), 4);
    for (int32_t i = 0; i < 10; i++) assert_int_equal(got[i], (7 + i) % 3);
    sched_ngram_free(g);
}

/* ---- times ---- */

/* Frames of n tokens on stages that compute base + n * each, hops between them. */
static void learn(struct sched_time *time, uint32_t n, uint32_t base, uint32_t each, uint32_t hop) {
    struct wire_trace t[SCHED_TIME_STAGES];
    for (uint32_t i = 0; i < time->n_stage; i++)
        t[i] = (struct wire_trace){.stage = (uint16_t)i, .hop_us = i > 0 ? hop : 0, .compute_us = base + n * each};
    sched_time_learn(time, SCHED_TIME_DECODE, n, t, hop);
}

/* ---- decisions ---- */

struct world {
    struct sched_time time;
    struct sched_drafter drafter;
    struct sched_spec_lessons lessons;
    struct sched_spec spec;
    struct sched_spec_load load;
    uint32_t n_drafted, draft_us;
};

static uint32_t draft_guess(void *user, uint32_t seq, const int32_t *tokens, uint32_t n, uint32_t most, int32_t *ret) {
    struct world *w = user;
    (void)seq;
    for (uint32_t i = 0; i < most; i++) ret[i] = tokens[n - 1] + 1 + (int32_t)i; /* it counts */
    w->n_drafted += most;
    return most;
}

static uint32_t draft_cost(void *user) { return ((struct world *)user)->draft_us; }

/* Another sequence of the same model. */
static void world_begin(struct world *w) {
    sched_spec_done(&w->spec);
    sched_spec_start(&w->spec, 4000, &w->lessons);
    sched_spec_push(&w->spec, -1, false);
}

/* Two stages of 10 ms and `each` us a token, hops of `hop` us. */
static void world_make(struct world *w, uint32_t each, uint32_t hop) {
    memset(w, 0, sizeof(*w));
    sched_time_init(&w->time, 2);
    for (uint32_t i = 0; i < 30; i++) learn(&w->time, 1 + i % 3, 10000 - each, each, hop);
    world_begin(w);
    w->load = (struct sched_spec_load){.groups = 1, .most = 16, .frames = 1};
}

static uint32_t choose(struct world *w) {
    float expected;
    uint32_t n = sched_spec_choose(&w->spec, &w->time, &w->drafter, 0, &w->load, &expected);
    assert_true(expected >= 1 && expected <= 1 + (float)n);
    return n;
}

/* Decodes n tokens of a text that is `next`'s; returns how many guesses travelled in the last trip. */
static uint32_t decode(struct world *w, uint32_t n, int32_t (*next)(uint32_t at)) {
    uint32_t sent = 0, at = 0;
    while (at < n) {
        sent = choose(w);
        int32_t guesses[SCHED_SPEC_MOST];
        memcpy(guesses, w->spec.guesses, sizeof(guesses));
        sched_spec_push(&w->spec, next(at), true);
        for (uint32_t i = 0; i < sent && guesses[i] == next(at); i++) {
            at++;
            sched_spec_push(&w->spec, next(at), true);
        }
        at++;
    }
    return sent;
}

static int32_t loop_of_50(uint32_t at) { return (int32_t)(at % 50); }

static uint32_t salt;

static int32_t noise(uint32_t at) {
    uint32_t h = (at + salt + 1) * 2654435761u; /* the same for each place, for every caller */
    h = (h ^ h >> 15) * 2246822519u;
    return (int32_t)((h ^ h >> 13) % 16);
}

static int32_t counting(uint32_t at) { return (int32_t)at; }

static void test_it_pays_on_repetition(void **state) {
    (void)state;
    struct world w;
    world_make(&w, 100, 20000);
    assert_int_equal(decode(&w, 600, loop_of_50), 16);
    sched_spec_done(&w.spec);
    world_make(&w, 3300, 20000); /* a position costs a third of a whole pass: fewer, but some */
    uint32_t n = decode(&w, 600, loop_of_50);
    assert_true(n > 0);
    sched_spec_done(&w.spec);
    world_make(&w, 9900, 0); /* the cost of a position and of a pass: none */
    w.load.most = 8;
    assert_int_equal(decode(&w, 600, loop_of_50), 0);
    sched_spec_done(&w.spec);
}

static void test_it_does_not_on_noise(void **state) {
    (void)state;
    struct world w;
    world_make(&w, 3000, 0);
    decode(&w, 300, noise);
    uint32_t before = w.spec.n_sent;
    salt = 1000000;
    decode(&w, 600, noise);
    assert_true(w.spec.n_sent - before < 600 / 10); /* next to nothing is sent any more */
    sched_spec_done(&w.spec);
}

/* Guesses that aren't sent are checked too, so no trip is wasted to find out that they would pay by now. */
static void test_it_learns_without_sending(void **state) {
    (void)state;
    struct world w;
    world_make(&w, 3000, 0);
    for (int i = 0; i < SCHED_GUESS_KINDS; i++) w.spec.kinds[i].tried = 20; /* all was wrong */
    decode(&w, 50, loop_of_50);
    assert_int_equal(choose(&w), 0);
    uint32_t before = w.spec.n_sent;
    decode(&w, 30, loop_of_50);
    assert_true(w.spec.n_sent > before);
    sched_spec_done(&w.spec);
}

static void test_hysteresis_and_probes(void **state) {
    (void)state;
    struct world w;
    world_make(&w, 9900, 0);
    decode(&w, 200, loop_of_50);
    uint32_t before = w.spec.n_sent;
    decode(&w, 1000, loop_of_50); /* the text says yes, the cost says no: one small try in 64 */
    uint32_t sent = w.spec.n_sent - before;
    assert_true(sent > 0 && sent <= 1000 / 64 * 2 + 2);
    struct sched_spec_kind *k = &w.spec.kinds[SCHED_GUESS_LONG];
    k->on = false;
    sched_time_init(&w.time, 2);
    for (uint32_t i = 0; i < 30; i++) learn(&w.time, 1 + i % 3, 500, 9500, 0);
    w.lessons.kinds[SCHED_GUESS_LONG].passed_over = 0;
    assert_int_equal(choose(&w), 0); /* a gain of about 5 %: not enough to begin ... */
    k->on = true;
    assert_true(choose(&w) > 0);     /* ... but to go on */
    sched_spec_done(&w.spec);
}

static void test_others_come_first(void **state) {
    (void)state;
    struct world w;
    world_make(&w, 2000, 1000);
    decode(&w, 600, loop_of_50);
    uint32_t alone = choose(&w), before = alone;
    assert_true(alone > 0);
    for (uint32_t others = 1; others <= 64; others *= 4) { /* the fuller the frame, the dearer a place */
        w.load = (struct sched_spec_load){.n_others = others, .expected = (float)others, .groups = 2, .most = 16, .frames = 1};
        uint32_t n = choose(&w);
        assert_true(n <= before);
        before = n;
    }
    w.load = (struct sched_spec_load){.groups = 1, .frames = 1};
    assert_int_equal(choose(&w), 0);
    w.load.most = 16;
    assert_true(w.spec.kinds[SCHED_GUESS_LONG].on && choose(&w) == alone); /* no room once is no evidence against it */
    sched_spec_done(&w.spec);
}

static void test_small_model(void **state) {
    (void)state;
    struct world w;
    world_make(&w, 100, 20000);
    w.drafter = (struct sched_drafter){.guess = draft_guess, .cost_us = draft_cost, .user = &w};
    w.draft_us = 500;
    assert_int_equal(decode(&w, 300, counting), 16); /* the text never repeats itself, but the small model knows it */
    assert_true(w.n_drafted > 0);
    w.n_drafted = 0;
    w.draft_us = 6000;
    decode(&w, 1000, noise);
    assert_true(w.n_drafted < 300); /* of 16000 */
    sched_spec_done(&w.spec);
    world_make(&w, 100, 20000);
    w.drafter = (struct sched_drafter){.guess = draft_guess, .cost_us = draft_cost, .user = &w};
    w.draft_us = 80000; /* slower than the ring */
    w.n_drafted = 0;
    decode(&w, 300, counting);
    assert_true(w.n_drafted < 20);
    sched_spec_done(&w.spec);
}

/* ---- the model's own layers ---- */

/* Decodes n tokens of a text that never repeats itself, with guesses of the model's own layers, which come with each answer if they were
 * asked for; right: they are. Returns how many were asked for in all. */
static uint32_t decode_own(struct world *w, uint32_t n, bool right) {
    static int32_t next;
    uint32_t asked = 0;
    for (int32_t end = next + (int32_t)n; next < end;) {
        uint32_t sent = choose(w), ask = w->spec.n_ask;
        struct engine_guess own[ENGINE_MAX_GUESS];
        int32_t guesses[SCHED_SPEC_MOST];
        bool hit = true;
        assert_true(ask <= w->load.most_own);
        memcpy(guesses, w->spec.guesses, sizeof(guesses));
        for (uint32_t i = 0; i <= sent && hit; i++, next++) {
            hit = i < sent && guesses[i] == next;
            sched_spec_push(&w->spec, next, true);
        }
        for (uint32_t i = 0; i < ask; i++) own[i].token = right ? next + (int32_t)i : next + 1000;
        sched_spec_offer(&w->spec, own, ask);
        asked += ask;
    }
    return asked;
}

static void test_own_layers(void **state) {
    (void)state;
    struct world w;
    world_make(&w, 100, 20000);
    w.load.most_own = 4;
    w.load.own_us = 500;
    assert_true(decode_own(&w, 600, true) > 0);
    assert_int_equal(w.spec.n_ask, 4);
    assert_int_equal(choose(&w), 4); /* the text never repeats itself */
    assert_true(w.spec.n_own_sent > 400);
    assert_int_equal(choose(&w), 0); /* guesses are for one frame */
    uint32_t before = w.spec.n_own_sent;
    w.load.own_us = 6000;
    decode_own(&w, 100, false);
    assert_true(decode_own(&w, 1000, false) < 1000 / 64 * 4 + 4); /* wrong ones are hardly asked for any more */
    assert_true(w.spec.n_own_sent - before < 300);
    sched_spec_done(&w.spec);
    world_make(&w, 100, 20000);
    w.load.most_own = 4;
    w.load.own_us = 80000; /* slower than the ring */
    assert_true(decode_own(&w, 1000, true) < 1000 / 64 * 4 + 4);
    w.load.most_own = 0;
    assert_int_equal(decode_own(&w, 100, true), 0);
    sched_spec_done(&w.spec);
    world_make(&w, 100, 20000); /* wrong guesses that never travel, because the text's are better: they are found out */
    w.load.most_own = 4;
    w.load.own_us = 6000;
    decode(&w, 600, loop_of_50);
    w.spec.kinds[SCHED_GUESS_MTP] = (struct sched_spec_kind){.tried = 20, .hit = 20, .on = true};
    uint32_t asked = 0, trips = 0;
    for (uint32_t at = 600; at < 4000; at++, trips++) {
        enum { FAR = 999999 };
        const struct engine_guess wrong[4] = {{FAR}, {FAR}, {FAR}, {FAR}};
        uint32_t sent = choose(&w);
        asked += w.spec.n_ask;
        for (uint32_t i = 0; i < sent; i++, at++) sched_spec_push(&w.spec, loop_of_50(at), true);
        sched_spec_push(&w.spec, loop_of_50(at), true);
        sched_spec_offer(&w.spec, wrong, w.spec.n_ask);
    }
    assert_int_equal(w.spec.n_own_sent, 0);
    assert_true(asked < 2 * trips);
    sched_spec_done(&w.spec);
    world_make(&w, 9900, 0);
    w.load.most_own = 4;
    w.load.always = true; /* whether it pays or not */
    decode_own(&w, 100, true);
    assert_int_equal(choose(&w), 4);
    assert_int_equal(w.spec.n_ask, 4);
    sched_spec_done(&w.spec);
}

/* What one sequence has taught, the next one knows. */
static void test_sequences_learn_from_each_other(void **state) {
    (void)state;
    struct world w;
    world_make(&w, 5000, 0);
    w.load.most_own = 4;
    w.load.own_us = 8000; /* right guesses, too dear */
    uint32_t asked = 0, tried = 0;
    for (int i = 0; i < 30; i++, world_begin(&w)) {
        uint32_t n = decode_own(&w, 100, true);
        asked += n;
        tried += n > 0;
    }
    assert_true(tried >= 3 && asked <= 6 * 2); /* 3000 tokens: tries after 64, 128, 256, 512, 1024 and 1024 more */
    w.load.own_us = 100; /* they have become cheap */
    decode_own(&w, 40, true);
    w.load.own_us = 5000; /* a gain that is not enough to begin, but to go on: in another sequence, too */
    world_begin(&w);
    choose(&w);
    assert_true(w.spec.n_ask > 0);
    sched_spec_done(&w.spec);
    world_make(&w, 5000, 20000); /* wrong in all texts so far, and right again */
    w.load.most_own = 4;
    w.lessons.kinds[SCHED_GUESS_MTP] = (struct sched_spec_lesson){.tried = 200};
    for (int i = 0; i < 3 && !w.lessons.kinds[SCHED_GUESS_MTP].on; i++, world_begin(&w)) decode_own(&w, 1000, true);
    assert_true(w.lessons.kinds[SCHED_GUESS_MTP].on);
    sched_spec_done(&w.spec);
}

/* A machine that is busy with other work, and is not any more: sizes that are not measured meanwhile change with the others. */
static void test_a_busy_machine_makes_all_frames_slow(void **state) {
    (void)state;
    struct world w;
    world_make(&w, 5000, 0);
    for (int i = 0; i < 200; i++) learn(&w.time, 1, 30000, 0, 0); /* three times as slow, and so are frames of other sizes */
    float trip, three = sched_time_frame(&w.time, SCHED_TIME_DECODE, 3, &trip);
    assert_true(three > 55000 && three < 65000);
    for (int i = 0; i < 200; i++) learn(&w.time, 1, 10000, 0, 0);
    three = sched_time_frame(&w.time, SCHED_TIME_DECODE, 3, &trip);
    assert_true(three > 19000 && three < 21000);
    sched_spec_done(&w.spec);
}

/* What a token alone takes is measured only by tokens alone: while guesses gain little, one in 64 goes without them. */
static void test_little_gain_is_looked_at_again(void **state) {
    (void)state;
    for (uint32_t each = 100; each <= 8000; each += 7900) { /* a great gain, and a little one */
        struct world w;
        world_make(&w, each, 0);
        decode(&w, 200, loop_of_50);
        uint32_t trips = 0, alone = 0;
        for (uint32_t at = 200; at < 3000; at++, trips++) {
            uint32_t n = choose(&w);
            alone += n == 0;
            for (uint32_t i = 0; i < n; i++, at++) sched_spec_push(&w.spec, loop_of_50(at), true);
            sched_spec_push(&w.spec, loop_of_50(at), true);
        }
        assert_true(w.spec.kinds[SCHED_GUESS_LONG].on);
        assert_true(each == 100 ? alone == 0 : alone > 0 && alone <= trips / 64 + 1);
        sched_spec_done(&w.spec);
    }
}

/* ---- frames that follow ---- */

/* A position costs as much as a pass, but most of a trip is spent on the links: guesses travel one by one, as many as the links hold. */
static void test_guesses_follow(void **state) {
    (void)state;
    struct world w;
    const int32_t *next;
    world_make(&w, 9900, 20000);
    w.load.frames = 8;
    decode(&w, 600, loop_of_50); /* they come true */
    assert_int_equal(choose(&w), 0);
    assert_int_equal(w.spec.n_frames, 6); /* a trip of 60 ms, stages of 10 ms */
    uint32_t at = 600, given = 0; /* at: the token that travels; given: guesses after it */
    for (uint32_t i = 1; i < 6; i++) {
        assert_int_equal(sched_spec_follow(&w.spec, &w.time, i, 16, &next), 1);
        assert_int_equal(next[0], loop_of_50(at + given++));
    }
    assert_int_equal(sched_spec_follow(&w.spec, &w.time, 6, 16, &next), 0);
    for (; at < 900; at++) { /* one comes true, one more follows, past any number that is guessed at once */
        sched_spec_push(&w.spec, loop_of_50(at), true);
        assert_int_equal(sched_spec_follow(&w.spec, &w.time, 5, 16, &next), 1);
        assert_int_equal(next[0], loop_of_50(at + given));
    }
    sched_spec_push(&w.spec, -5, true);
    assert_int_equal(sched_spec_follow(&w.spec, &w.time, 0, 16, &next), 0); /* none after a wrong one */
    sched_spec_done(&w.spec);
}

static void test_guesses_follow_only_where_they_cost_nothing(void **state) {
    (void)state;
    struct world w;
    const int32_t *next;
    world_make(&w, 9900, 0); /* with two stages and no links, two frames fill them */
    w.load.frames = 8;
    decode(&w, 600, loop_of_50);
    choose(&w);
    assert_int_equal(w.spec.n_frames, 2);
    w.load.frames = 1; /* others run */
    choose(&w);
    assert_int_equal(w.spec.n_frames, 1);
    assert_int_equal(sched_spec_follow(&w.spec, &w.time, 1, 16, &next), 0);
    sched_spec_done(&w.spec);
    world_make(&w, 9900, 20000);
    w.load.frames = 8;
    decode(&w, 600, loop_of_50);
    for (int i = 0; i < SCHED_GUESS_KINDS; i++) { /* three in five come true */
        w.spec.kinds[i].hit = w.spec.kinds[i].tried * 0.61f;
        w.lessons.kinds[i].hit = w.lessons.kinds[i].tried * 0.61f;
    }
    assert_int_equal(choose(&w), 0);
    assert_int_equal(sched_spec_follow(&w.spec, &w.time, 1, 16, &next), 1);
    assert_int_equal(sched_spec_follow(&w.spec, &w.time, 2, 16, &next), 1);
    assert_int_equal(sched_spec_follow(&w.spec, &w.time, 3, 16, &next), 0); /* all three in a row: one in four, or less */
    for (int i = 0; i < SCHED_GUESS_KINDS; i++) w.spec.kinds[i].hit = w.spec.kinds[i].tried * 0.5f;
    choose(&w);
    assert_int_equal(w.spec.n_frames, 1);
    sched_spec_done(&w.spec);
}

/* Stages that share a core: each takes twice as long while the other computes. Guesses that seemed to pay are found not to pay, and are
 * given up except for rare small tries. */
static void test_guesses_do_not_follow_on_a_shared_core(void **state) {
    (void)state;
    struct world w;
    const int32_t *next;
    uint32_t n_followed = 0, n_late = 0;
    world_make(&w, 9900, 0);
    w.load.frames = 8;
    w.load.most = 4;
    for (uint32_t at = 0; at < 3000; at++) { /* one token, one frame that follows at most */
        choose(&w);
        for (uint32_t i = 1; i < 8 && sched_spec_follow(&w.spec, &w.time, 1, 16, &next) > 0; i++, at++, n_followed++) {
            n_late += at > 1000;
            struct wire_trace t[2] = {{.stage = 0, .compute_us = 20000}, {.stage = 1, .compute_us = 20000}};
            sched_time_learn_crowd(&w.time, 1, t);
            sched_spec_push(&w.spec, loop_of_50(at), true);
        }
        sched_spec_push(&w.spec, loop_of_50(at), true);
    }
    assert_true(w.time.crowd > 1.9f && w.time.crowd < 2.1f);
    assert_true(n_followed > 8 && n_late < 2000 / 10);
    sched_spec_done(&w.spec);
}

static void test_always(void **state) {
    (void)state;
    struct world w;
    world_make(&w, 9900, 0);
    w.load.always = true;
    assert_int_equal(choose(&w), 0); /* no guess is known yet */
    decode(&w, 100, loop_of_50);
    assert_int_equal(choose(&w), 16);
    w.drafter = (struct sched_drafter){.guess = draft_guess, .cost_us = draft_cost, .user = &w};
    choose(&w);
    assert_int_equal(w.n_drafted, 0); /* the text's own long match is better */
    sched_spec_push(&w.spec, 12345, true);
    assert_int_equal(choose(&w), 16);
    assert_int_equal(w.n_drafted, 16);
    sched_spec_done(&w.spec);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guesses_are_the_longest_match),
        cmocka_unit_test(test_a_loop_goes_on),
        cmocka_unit_test(test_it_pays_on_repetition),
        cmocka_unit_test(test_it_does_not_on_noise),
        cmocka_unit_test(test_it_learns_without_sending),
        cmocka_unit_test(test_hysteresis_and_probes),
        cmocka_unit_test(test_others_come_first),
        cmocka_unit_test(test_small_model),
        cmocka_unit_test(test_own_layers),
        cmocka_unit_test(test_sequences_learn_from_each_other),
        cmocka_unit_test(test_a_busy_machine_makes_all_frames_slow),
        cmocka_unit_test(test_little_gain_is_looked_at_again),
        cmocka_unit_test(test_guesses_follow),
        cmocka_unit_test(test_guesses_follow_only_where_they_cost_nothing),
        cmocka_unit_test(test_guesses_do_not_follow_on_a_shared_core),
        cmocka_unit_test(test_always),
    };
    return cmocka_run_group_tests_name("pipeline_spec", tests, NULL, NULL);
}
