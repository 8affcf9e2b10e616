/* SPDX-License-Identifier: MIT
 * Answers as bytes: what was recorded is replayed, event for event; what is not an entry is refused, wherever it is cut or changed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cache/entry.h"

static const struct api_usage USAGE = {.prompt_tokens = 11, .completion_tokens = 7, .cached_tokens = 3};

static void add_text(struct entry_writer *w, enum api_event_kind kind, uint32_t choice, const char *text) {
    const struct api_event ev = {.kind = kind, .choice = choice, .text = text, .len = strlen(text)};
    entry_add(w, &ev, -1);
}

static void add_begin(struct entry_writer *w, uint32_t choice) {
    const struct api_event ev = {.kind = API_BEGIN, .choice = choice, .prompt_tokens = 11 + choice, .cached_tokens = 3};
    entry_add(w, &ev, -1);
}

static void add_finish(struct entry_writer *w, uint32_t choice, enum api_finish finish, int stop) {
    const struct api_event ev = {.kind = API_FINISH, .choice = choice, .text = "", .finish = finish};
    entry_add(w, &ev, stop);
}

static void add_call(struct entry_writer *w, const char *name, const char *arguments) {
    const struct api_event call = {.kind = API_CALL, .text = name, .len = strlen(name), .id = "call_1"},
                           end = {.kind = API_CALL_END, .whole = true};
    entry_add(w, &call, -1);
    add_text(w, API_ARGUMENTS, 0, arguments);
    entry_add(w, &end, -1);
}

/* Two choices, whose events come mixed: reasoning, text, two calls; and text with tokens, ended by a stop string. */
static void record(struct entry_writer *w) {
    struct api_top top[2] = {{.piece = "ab", .len = 2, .logprob = -0.5f}, {.piece = "\xFF", .len = 1, .logprob = -INFINITY}};
    struct api_token tokens[2] = {{.piece = "ab", .len = 2, .logprob = -0.5f, .n_top = 2, .top = top, .text_end = 2},
                                  {.piece = "c", .len = 1, .logprob = 0, .text_start = 2, .text_end = 3}};
    const struct api_event text = {.kind = API_TEXT, .choice = 1, .text = "abc", .len = 3, .tokens = tokens, .n_tokens = 2},
                           last = {.kind = API_TEXT, .choice = 1, .text = "", .start = 3, .tokens = tokens, .n_tokens = 1};
    add_begin(w, 0);
    add_begin(w, 1);
    add_text(w, API_REASONING, 0, "think");
    entry_add(w, &text, -1);
    add_text(w, API_REASONING, 0, "ing");
    add_text(w, API_TEXT, 0, "\xC3\xA4");
    add_text(w, API_TEXT, 0, "bc");
    entry_add(w, &last, -1);
    add_finish(w, 1, API_FINISH_STOP, 2);
    add_call(w, "add", "{\"a\":1}");
    add_call(w, "sub", "{}");
    add_finish(w, 0, API_FINISH_CALLS, -1);
}

static void encode(struct buf *out) {
    struct entry_writer w;
    buf_init(out, ENTRY_MAX);
    entry_writer_init(&w);
    record(&w);
    assert_int_equal(entry_finish(&w, 1234567, &USAGE, out), ERR_OK);
    entry_writer_done(&w);
}

/* What is replayed, in words. */
static void say(void *user, const struct api_event *ev, int stop) {
    static const char *const names[] = {"begin", "text", "reasoning", "call", "arguments", "end", "finish"};
    struct buf *out = user;
    buf_printf(out, "%u %s", ev->choice, names[ev->kind]);
    if (ev->kind == API_BEGIN) buf_printf(out, " %u %u", ev->prompt_tokens, ev->cached_tokens);
    if (ev->kind == API_CALL || ev->kind == API_ARGUMENTS || ev->kind == API_CALL_END) buf_printf(out, " %u", ev->call);
    if (ev->kind == API_CALL) buf_printf(out, " %s", ev->id);
    if (ev->kind == API_CALL_END) buf_printf(out, " %s", ev->whole ? "whole" : "cut");
    if (ev->kind == API_FINISH) buf_printf(out, " %d stop %d", ev->finish, stop);
    if (ev->kind == API_TEXT || ev->kind == API_FINISH) buf_printf(out, " at %zu", ev->start);
    if (ev->len > 0) buf_printf(out, " '%.*s'", (int)ev->len, ev->text);
    for (size_t i = 0; i < ev->n_tokens; i++) {
        const struct api_token *t = &ev->tokens[i];
        buf_printf(out, " [%.*s %g %zu-%zu", (int)t->len, t->piece, (double)t->logprob, t->text_start, t->text_end);
        for (uint32_t k = 0; k < t->n_top; k++) buf_printf(out, " %zu:%g", t->top[k].len, (double)t->top[k].logprob);
        buf_append_byte(out, ']');
    }
    buf_append_byte(out, '\n');
}

static void what_is_recorded_is_replayed(void **state) {
    static const char wanted[] = "0 begin 11 3\n"
                                 "0 reasoning 'thinking'\n"
                                 "0 text at 0 '\xC3\xA4"
                                 "bc'\n"
                                 "0 call 0 call_1 'add'\n"
                                 "0 arguments 0 '{\"a\":1}'\n"
                                 "0 end 0 whole\n"
                                 "0 call 1 call_1 'sub'\n"
                                 "0 arguments 1 '{}'\n"
                                 "0 end 1 whole\n"
                                 "0 finish 2 stop -1 at 4\n"
                                 "1 begin 12 3\n"
                                 "1 text at 0 'abc' [ab -0.5 0-2 2:-0.5 1:-inf] [c 0 2-3]\n"
                                 "1 text at 3 [ab -0.5 0-2 2:-0.5 1:-inf]\n"
                                 "1 finish 0 stop 2 at 3\n";
    struct buf bytes, said;
    struct entry entry;
    struct err e = {0};
    (void)state;
    encode(&bytes);
    if (entry_open(bytes.data, bytes.len, &entry, &e) != ERR_OK) fail_msg("%s", e.text);
    assert_int_equal(entry.created, 1234567);
    assert_int_equal(entry.n_choices, 2);
    assert_memory_equal(&entry.usage, &USAGE, sizeof(USAGE));
    buf_init(&said, 1 << 16);
    entry_replay(&entry, say, &said);
    assert_string_equal(buf_cstr(&said), wanted);
    buf_done(&said);
    buf_done(&bytes);
}

/* An answer that is written once more begins anew. */
static void begin_forgets_what_was_before(void **state) {
    struct entry_writer w;
    struct buf bytes, said;
    struct entry entry;
    (void)state;
    entry_writer_init(&w);
    add_begin(&w, 0);
    add_text(&w, API_TEXT, 0, "wrong");
    add_finish(&w, 0, API_FINISH_STOP, -1);
    add_begin(&w, 0);
    add_text(&w, API_TEXT, 0, "right");
    add_finish(&w, 0, API_FINISH_STOP, -1);
    buf_init(&bytes, ENTRY_MAX);
    buf_init(&said, 1 << 16);
    assert_int_equal(entry_finish(&w, 1, &USAGE, &bytes), ERR_OK);
    assert_int_equal(entry_open(bytes.data, bytes.len, &entry, NULL), ERR_OK);
    entry_replay(&entry, say, &said);
    assert_string_equal(buf_cstr(&said), "0 begin 11 3\n0 text at 0 'right'\n0 finish 0 stop -1 at 5\n");
    buf_done(&said);
    buf_done(&bytes);
    entry_writer_done(&w);
}

static void what_is_cut_is_refused(void **state) {
    struct buf bytes;
    struct entry entry;
    struct err e = {0};
    (void)state;
    encode(&bytes);
    for (size_t len = 0; len < bytes.len; len++) {
        uint8_t *cut = mem_alloc(len + 1); /* of exactly this length, so that a sanitizer sees a read beyond */
        memcpy(cut, bytes.data, len);
        assert_int_equal(entry_open(cut, len, &entry, &e), ERR_FORMAT);
        free(cut);
    }
    buf_append_byte(&bytes, 0);
    assert_int_equal(entry_open(bytes.data, bytes.len, &entry, &e), ERR_FORMAT);
    buf_done(&bytes);
}

/* Each byte, changed in each bit: refused, or still an answer that can be replayed. */
static void what_is_changed_does_no_harm(void **state) {
    struct buf bytes, said;
    size_t refused = 0, all = 0;
    (void)state;
    encode(&bytes);
    buf_init(&said, 1 << 20);
    for (size_t i = 0; i < bytes.len; i++)
        for (int bit = 0; bit < 8; bit++, all++) {
            struct entry entry;
            bytes.data[i] ^= (uint8_t)(1 << bit);
            buf_clear(&said);
            if (entry_open(bytes.data, bytes.len, &entry, NULL) == ERR_OK) entry_replay(&entry, say, &said);
            else refused++;
            bytes.data[i] ^= (uint8_t)(1 << bit);
        }
    assert_true(refused > all / 3);
    buf_done(&said);
    buf_done(&bytes);
}

/* Events that no answer has, each after a BEGIN: the writer takes them, and the reader does not. */
static void events_out_of_order_are_refused(void **state) {
    struct api_token beyond = {.piece = "x", .len = 1, .text_end = 2}, backwards = {.piece = "x", .len = 1, .text_start = 1};
    const struct api_event cases[] = {
        {.kind = API_ARGUMENTS, .text = "{}", .len = 2},                             /* of no call */
        {.kind = API_CALL_END},                                                      /* of no call */
        {.kind = API_CALL, .text = "f", .len = 1, .id = "i"},                        /* it never ends */
        {.kind = API_TEXT, .text = "x", .len = 1, .tokens = &beyond, .n_tokens = 1}, /* a token beyond the text */
        {.kind = API_TEXT, .text = "x", .len = 1, .tokens = &backwards, .n_tokens = 1},
        {.kind = API_TEXT, .text = "\xC3", .len = 1},                                /* half a character */
        {.kind = API_FINISH, .text = "", .finish = API_FINISH_CALLS + 1},
        {.kind = API_FINISH, .text = ""},                                            /* then there is another FINISH */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct entry_writer w;
        struct buf bytes;
        struct entry entry;
        entry_writer_init(&w);
        buf_init(&bytes, ENTRY_MAX);
        add_begin(&w, 0);
        entry_add(&w, &cases[i], -1);
        add_finish(&w, 0, API_FINISH_STOP, -1);
        assert_int_equal(entry_finish(&w, 1, &USAGE, &bytes), ERR_OK);
        if (entry_open(bytes.data, bytes.len, &entry, NULL) != ERR_FORMAT) fail_msg("case %zu was taken", i);
        buf_done(&bytes);
        entry_writer_done(&w);
    }
}

static void what_is_too_long_is_not_kept(void **state) {
    struct entry_writer w;
    struct buf bytes;
    char *text = mem_alloc(ENTRY_MAX);
    (void)state;
    memset(text, 'x', ENTRY_MAX);
    entry_writer_init(&w);
    add_begin(&w, 0);
    const struct api_event ev = {.kind = API_TEXT, .text = text, .len = ENTRY_MAX};
    entry_add(&w, &ev, -1);
    add_finish(&w, 0, API_FINISH_STOP, -1);
    buf_init(&bytes, 2 * ENTRY_MAX);
    assert_int_equal(entry_finish(&w, 1, &USAGE, &bytes), ERR_LIMIT);
    entry_writer_done(&w);
    assert_int_equal(entry_finish(&w, 1, &USAGE, &bytes), ERR_LIMIT); /* nothing was recorded */
    buf_done(&bytes);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_recorded_is_replayed),    cmocka_unit_test(begin_forgets_what_was_before),
        cmocka_unit_test(what_is_cut_is_refused),          cmocka_unit_test(what_is_changed_does_no_harm),
        cmocka_unit_test(events_out_of_order_are_refused), cmocka_unit_test(what_is_too_long_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
