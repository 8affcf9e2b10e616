/* SPDX-License-Identifier: MIT
 * Grammars that begin after a word: the word cut at any place, the region in which it does not count, the token that continues after it. */
#include <llama.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "engine/trigger.h"
#include "support/sampler_fixture.h"

enum { MAX_HISTORY = 512 };

static int32_t history[MAX_HISTORY];

/* ---- the word ---- */

static struct engine_lazy lazy_of(const char *word, const char *open, const char *close) {
    struct engine_lazy l = {.triggers = {(char *)(uintptr_t)word},
                            .n_triggers = 1,
                            .skip_open = (char *)(uintptr_t)open,
                            .skip_close = (char *)(uintptr_t)close};
    return l;
}

/* The place at which the word is complete, the same for all cuts of the text; 0: nowhere. */
static size_t fired_at(const struct engine_lazy *l, const char *text) {
    size_t want = SIZE_MAX, len = strlen(text);
    for (size_t step = 1; step <= len; step++) {
        struct engine_trigger t;
        size_t got = 0, used = 0;
        engine_trigger_init(&t, l);
        for (size_t at = 0; at < len && got == 0; at += step)
            if (engine_trigger_push(&t, text + at, len - at < step ? len - at : step, &used)) got = at + used;
        if (want == SIZE_MAX) want = got;
        assert_int_equal(got, want);
    }
    return want;
}

static void the_word_is_found_wherever_it_is_cut(void **state) {
    (void)state;
    struct engine_lazy l = lazy_of("<call>", NULL, NULL);
    assert_int_equal(fired_at(&l, "so <ca <call> x"), 13);
    assert_int_equal(fired_at(&l, "<<call>"), 7);
    assert_int_equal(fired_at(&l, "<call >"), 0);
    l.at_start = true;
    assert_int_equal(fired_at(&l, " \n<call>"), 8);
    assert_int_equal(fired_at(&l, "x<call>"), 0);
}

static void a_region_is_left_alone(void **state) {
    (void)state;
    struct engine_lazy l = lazy_of("<call>", "<t>", "</t>");
    assert_int_equal(fired_at(&l, "<t> <call> </t>"), 0);
    assert_int_equal(fired_at(&l, "<t> <call> </t> <call>"), 22);
    assert_int_equal(fired_at(&l, "<call> <t>"), 6);
    l.skipping = true;
    assert_int_equal(fired_at(&l, "<call> </t>"), 0);
    assert_int_equal(fired_at(&l, "<call></t><call>"), 16);
    l.at_start = true;
    assert_int_equal(fired_at(&l, "hm </t>\n\n<call>"), 15);
}

/* ---- the sampler ---- */

static struct engine_sampling params(const char *word, const char *grammar) {
    struct engine_sampling p;
    engine_sampling_init(&p);
    p.temperature = 1;
    p.top_k = 0;
    p.top_p = 1;
    p.min_p = 0;
    p.generated_from = 5;
    p.grammar = mem_strdup(grammar);
    p.lazy.triggers[0] = mem_strdup(word);
    p.lazy.n_triggers = 1;
    return p;
}

static int32_t generated(const char *text) {
    int32_t *tokens = NULL;
    size_t n = 0;
    fixture_ok(engine_vocab_tokenize(vocab, text, strlen(text), false, true, &tokens, &n, &fixture_err));
    memcpy(history + 5, tokens, n * sizeof(*tokens));
    free(tokens);
    return 5 + (int32_t)n;
}

/* Draws from `from` to the end, n at most, and appends the text. */
static void draw_on(struct engine_sampler *s, int32_t from, int n, struct buf *out) {
    struct engine_sample t = {0};
    for (int i = 0; i < n && !t.end; i++) {
        fixture_ok(engine_sampler_sample(s, scratch, logits, history, from - 1 + i, &t, &fixture_err));
        history[from + i] = t.token;
        if (!t.end) engine_vocab_piece(vocab, t.token, out);
    }
}

static void draw_text(const struct engine_sampling *p, int32_t from, int n, struct buf *out) {
    struct engine_sampler *s = NULL;
    fixture_ok(engine_sampler_create(vocab, MAX_HISTORY, p, &s, &fixture_err));
    buf_clear(out);
    draw_on(s, from, n, out);
    engine_sampler_free(s);
}

static void wavy_logits(void) {
    for (uint32_t i = 0; i < n_vocab; i++) logits[i] = 3.0f * (float)sin((double)i * 0.7);
}

static bool all_digits(struct buf *b) { return b->len > 0 && strspn(buf_cstr(b), "0123456789") == b->len; }

static void the_grammar_waits_for_its_word(void **state) {
    (void)state;
    struct engine_sampling p = params("<call>", "root ::= [0-9]{6}");
    struct buf out;
    buf_init(&out, 1 << 16);
    wavy_logits();
    for (p.seed = 0; p.seed < 10; p.seed++) {
        draw_text(&p, generated("Well, <cal"), 20, &out);
        assert_false(all_digits(&out));
        draw_text(&p, generated("Well, <call>"), 40, &out);
        assert_int_equal(out.len, 6);
        assert_true(all_digits(&out));
    }
    /* a control token can be the word */
    free(p.lazy.triggers[0]);
    p.lazy.triggers[0] = mem_strdup("<|im_start|>");
    draw_text(&p, generated("Well<|im_start|>"), 40, &out);
    assert_true(out.len == 6 && all_digits(&out));
    engine_sampling_done(&p);
    buf_done(&out);
}

/* Some token of several letters, all plain. */
static int32_t long_token(struct buf *text) {
    for (int32_t t = 300; t < (int32_t)n_vocab; t++) {
        buf_clear(text);
        if (!engine_vocab_piece(vocab, t, text) && text->len >= 4 && strspn(buf_cstr(text), "abcdefghijklmnopqrstuvwxyz") == text->len)
            return t;
    }
    fail();
    return -1;
}

static void a_token_may_go_on_behind_the_word(void **state) {
    (void)state;
    struct buf text, out;
    buf_init(&text, 4096);
    buf_init(&out, 1 << 16);
    int32_t token = long_token(&text);
    char *word = mem_strndup((const char *)text.data, text.len - 2);
    char *fits = mem_printf("root ::= \"%s\" [0-9]{3}", buf_cstr(&text) + text.len - 2);
    struct engine_sampling p = params(word, fits);
    wavy_logits();
    history[5] = token;
    draw_text(&p, 6, 20, &out);
    assert_int_equal(out.len, 3);
    assert_true(all_digits(&out));
    /* the letters after the word break the grammar, so even a very likely token is not chosen */
    free(p.grammar);
    p.grammar = mem_strdup("root ::= \"#\" [0-9]{3}");
    logits[token] = 30;
    for (p.seed = 0; p.seed < 10; p.seed++) {
        draw_text(&p, 5, 1, &out);
        assert_int_not_equal(history[5], token);
    }
    history[5] = token;
    struct engine_sampler *s = NULL;
    struct engine_sample t;
    struct err e = {0};
    fixture_ok(engine_sampler_create(vocab, MAX_HISTORY, &p, &s, &fixture_err));
    assert_int_equal(engine_sampler_sample(s, scratch, logits, history, 5, &t, &e), ERR_INVALID);
    engine_sampler_free(s);
    engine_sampling_done(&p);
    free(word);
    free(fits);
    buf_done(&text);
    buf_done(&out);
}

static void waiting_can_be_taken_back_and_replayed(void **state) {
    (void)state;
    struct engine_sampling p = params("<call>", "root ::= [0-9]{12}");
    struct engine_sampler *s = NULL, *replay = NULL;
    struct engine_sample t = {0};
    struct buf out;
    buf_init(&out, 1 << 16);
    wavy_logits();
    int32_t from = generated("Well, <call>"), first[8];
    fixture_ok(engine_sampler_create(vocab, MAX_HISTORY, &p, &s, &fixture_err));
    draw_on(s, from, 8, &out);
    memcpy(first, history + from, sizeof(first));
    fixture_ok(engine_sampler_sample(s, scratch, logits, history, from - 2, &t, &fixture_err)); /* before the word is complete */
    for (int32_t i = 6; i >= 0; i -= 3) {
        fixture_ok(engine_sampler_sample(s, scratch, logits, history, from - 1 + i, &t, &fixture_err));
        assert_int_equal(t.token, first[i]);
    }
    fixture_ok(engine_sampler_create(vocab, MAX_HISTORY, &p, &replay, &fixture_err));
    fixture_ok(engine_sampler_sample(replay, scratch, logits, history, from + 3, &t, &fixture_err));
    assert_int_equal(t.token, first[4]);
    engine_sampler_free(replay);
    engine_sampler_free(s);
    engine_sampling_done(&p);
    buf_done(&out);
}

/* ---- JSON ---- */

static err_code from_text(const char *text, struct engine_sampling *p, struct err *e) {
    yyjson_doc *doc = NULL;
    fixture_ok(json_parse(text, strlen(text), &doc, &fixture_err));
    err_code code = engine_sampling_from_json(p, yyjson_doc_get_root(doc), e);
    yyjson_doc_free(doc);
    return code;
}

static void json_both_ways(void **state) {
    (void)state;
    struct engine_sampling a, b;
    struct err e = {0};
    struct buf text;
    buf_init(&text, 1 << 16);
    engine_sampling_init(&a);
    engine_sampling_init(&b);
    assert_int_equal(from_text("{\"grammar_lazy\":{\"triggers\":[\"<call>\",\"[T]\"],\"at_start\":true,\"skip\":[\"<t>\",\"</t>\"],"
                               "\"skipping\":true}}",
                               &a, &e),
                     ERR_OK);
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(doc, engine_sampling_to_json(&a, doc));
    json_write(&text, doc);
    yyjson_mut_doc_free(doc);
    assert_int_equal(from_text(buf_cstr(&text), &b, &e), ERR_OK);
    assert_int_equal(b.lazy.n_triggers, 2);
    assert_string_equal(b.lazy.triggers[1], "[T]");
    assert_string_equal(b.lazy.skip_close, "</t>");
    assert_true(b.lazy.at_start && b.lazy.skipping);
    static const char *const wrong[] = {"{\"grammar_lazy\":7}",
                                        "{\"grammar_lazy\":{}}",
                                        "{\"grammar_lazy\":{\"triggers\":[\"\"]}}",
                                        "{\"grammar_lazy\":{\"triggers\":[]}}",
                                        "{\"grammar_lazy\":{\"triggers\":[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\"]}}",
                                        "{\"grammar_lazy\":{\"triggers\":[\"a\"],\"skip\":[\"a\"]}}",
                                        "{\"grammar_lazy\":{\"triggers\":[\"a\"],\"skipping\":true}}"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        assert_int_equal(from_text(wrong[i], &b, &e), ERR_INVALID);
        assert_non_null(strstr(e.text, "grammar_lazy"));
        assert_int_equal(b.lazy.n_triggers, 2);
    }
    engine_sampling_done(&a);
    engine_sampling_done(&b);
    buf_done(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_word_is_found_wherever_it_is_cut),   cmocka_unit_test(a_region_is_left_alone),
        cmocka_unit_test(the_grammar_waits_for_its_word),         cmocka_unit_test(a_token_may_go_on_behind_the_word),
        cmocka_unit_test(waiting_can_be_taken_back_and_replayed), cmocka_unit_test(json_both_ways)};
    return cmocka_run_group_tests(tests, sampler_setup, sampler_teardown);
}
