/* SPDX-License-Identifier: MIT
 * Texts whose vector is wanted, in the scheduler: pieces or whole, nothing kept and nothing taken over, answers that don't fit refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "sched/sched.h"
#include "wire/frame.h"

enum { WIDTH = 3, N_BATCH = 8, N_CTX = 32 };

static struct sched *open_sched(bool at_once) {
    struct sched_config c = {.n_stage = 2,
                             .n_seq = 4,
                             .n_ctx_seq = N_CTX,
                             .n_ctx = 4 * N_CTX,
                             .n_batch = N_BATCH,
                             .n_vocab = 100,
                             .n_queue = 8,
                             .can_remove = true,
                             .prefix_cache = false,
                             .embeds = true,
                             .at_once = at_once};
    return sched_create(&c);
}

static err_code submit(struct sched *s, uint64_t id, size_t n, bool embed, struct err *e) {
    struct request r;
    request_init(&r);
    r.id = id;
    r.embed = embed;
    r.tokens = mem_calloc(n, sizeof(*r.tokens));
    r.n_tokens = n;
    for (size_t i = 0; i < n; i++) r.tokens[i] = (int32_t)(i % 90);
    err_code code = sched_submit(s, 0, &r, e);
    request_done(&r);
    return code;
}

struct seen {
    size_t frames, tokens, largest, cut, pooled, started, vectors, done, failed, by_id[8];
    uint32_t n_vector;
};

/* Answers the frame as a tail would; with_vector: as it should, else with something else in place of the vector. */
static err_code answer(struct sched *s, const struct sched_action *a, uint8_t flags, uint32_t n_row, struct seen *seen) {
    struct buf b;
    uint8_t row[4 * WIDTH] = {0};
    struct engine_token tokens[N_BATCH];
    uint32_t n = 0, number = a->number, n_tokens = (uint32_t)a->n_tokens;
    memcpy(tokens, a->tokens, n_tokens * sizeof(*tokens));
    buf_init(&b, 1 << 16);
    for (uint32_t i = 0; i < n_tokens; i++) {
        bool ends = i + 1 == n_tokens || tokens[i + 1].seq != tokens[i].seq;
        seen->cut += ends && tokens[i].flags == 0; /* the text goes on in another frame */
        if (tokens[i].flags == 0) continue;
        assert_int_equal(tokens[i].flags, ENGINE_TOKEN_POOL);
        struct result r = {
            .seq = tokens[i].seq, .index = (uint16_t)i, .pos = tokens[i].pos, .flags = flags, .logits = row, .n_logits = n_row};
        result_put(&r, &b);
        n++;
        seen->pooled++;
    }
    err_code code = sched_tokens(s, 1, number, n, 0, b.data, b.len, 0, NULL);
    struct sched_action next;
    struct sched_action pending = {0};
    while (code == ERR_OK && sched_next(s, 1, &next)) {
        if (next.kind != SCHED_ACTION_EVENT) {
            pending = next;
            if (next.kind == SCHED_ACTION_FRAME) break;
            continue;
        }
        const struct request_event *ev = next.event;
        seen->started += ev->kind == REQUEST_STARTED;
        seen->done += ev->kind == REQUEST_DONE;
        seen->failed += ev->kind == REQUEST_FAILED;
        if (ev->kind != REQUEST_VECTOR) continue;
        seen->vectors++;
        seen->by_id[ev->id]++;
        seen->n_vector = ev->n_vector;
        assert_memory_equal(ev->vector, row, sizeof(row));
    }
    buf_done(&b);
    if (pending.kind == SCHED_ACTION_FRAME) {
        seen->frames++;
        seen->tokens += pending.n_tokens;
        seen->largest = pending.n_tokens > seen->largest ? pending.n_tokens : seen->largest;
        if (code == ERR_OK) code = answer(s, &pending, flags, n_row, seen);
    }
    return code;
}

static err_code drive(struct sched *s, uint8_t flags, uint32_t n_row, struct seen *seen) {
    struct sched_action a;
    while (sched_next(s, 1, &a)) {
        if (a.kind == SCHED_ACTION_EVENT) seen->started += a.event->kind == REQUEST_STARTED;
        if (a.kind != SCHED_ACTION_FRAME) continue;
        seen->frames++;
        seen->tokens += a.n_tokens;
        seen->largest = a.n_tokens > seen->largest ? a.n_tokens : seen->largest;
        err_code code = answer(s, &a, flags, n_row, seen);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

static void pieces(void **state) {
    (void)state;
    struct sched *s = open_sched(false);
    struct seen seen = {0};
    struct err e = {0};
    for (uint64_t id = 1; id <= 5; id++) assert_int_equal(submit(s, id, 20, true, &e), ERR_OK);
    assert_int_equal(submit(s, 6, N_CTX, true, &e), ERR_OK); /* as long as the context: no generated token needs a position */
    assert_int_equal(submit(s, 7, N_CTX + 1, true, &e), ERR_LIMIT);
    assert_int_equal(drive(s, RESULT_VECTOR, WIDTH, &seen), ERR_OK);
    assert_int_equal(seen.tokens, 5 * 20 + N_CTX); /* the same text again is computed again: its rows are pooled */
    assert_true(seen.vectors == 6 && seen.done == 6 && seen.pooled == 6 && seen.started == 6 && seen.failed == 0);
    for (int id = 1; id <= 6; id++) assert_int_equal(seen.by_id[id], 1);
    assert_true(seen.cut > 0);
    assert_int_equal(seen.n_vector, WIDTH);
    assert_true(sched_idle(s));
    sched_free(s);
}

static void in_one_frame(void **state) {
    (void)state;
    struct sched *s = open_sched(true);
    struct seen seen = {0};
    struct err e = {0};
    assert_int_equal(submit(s, 1, N_BATCH + 1, true, &e), ERR_LIMIT);
    assert_non_null(strstr(e.text, "takes 8 at most"));
    assert_int_equal(submit(s, 1, 3, true, &e), ERR_OK);
    assert_int_equal(submit(s, 2, N_BATCH, true, &e), ERR_OK);
    assert_int_equal(submit(s, 3, 6, true, &e), ERR_OK);
    assert_int_equal(drive(s, RESULT_VECTOR, WIDTH, &seen), ERR_OK);
    assert_true(seen.vectors == 3 && seen.done == 3 && seen.largest == N_BATCH && seen.tokens == 3 + N_BATCH + 6 && seen.cut == 0);
    sched_free(s);
}

static void text_is_not_written(void **state) {
    (void)state;
    struct sched *s = open_sched(false);
    struct err e = {0};
    assert_int_equal(submit(s, 1, 3, false, &e), ERR_UNSUPPORTED);
    assert_non_null(strstr(e.text, "writes no text"));
    sched_free(s);
}

static void answers_that_do_not_fit(void **state) {
    (void)state;
    static const struct {
        uint8_t flags;
        uint32_t n_row;
    } bad[] = {{0, 0}, {RESULT_LOGITS, WIDTH}, {RESULT_VECTOR, 0}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct sched *s = open_sched(false);
        struct seen seen = {0};
        struct err e = {0};
        assert_int_equal(submit(s, 1, 3, true, &e), ERR_OK);
        assert_int_equal(drive(s, bad[i].flags, bad[i].n_row, &seen), ERR_PROTOCOL);
        assert_int_equal(seen.vectors, 0);
        sched_free(s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(pieces), cmocka_unit_test(in_one_frame), cmocka_unit_test(text_is_not_written),
                                       cmocka_unit_test(answers_that_do_not_fit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
