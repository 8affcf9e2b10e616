/* SPDX-License-Identifier: MIT
 * What a gateway remembers of its models' answers: how they begin where the prompt leaves it open; and that streams follow it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/api.h"
#include "requests/habits.h"
#include "support/call_fixture.h"

static void two_in_a_row_are_a_habit(void **state) {
    (void)state;
    struct habits *h = habits_create();
    assert_int_equal(habits_get(h, "a"), HABIT_UNKNOWN);
    habits_learn(h, "a", true); /* it may have written about the marks */
    assert_int_equal(habits_get(h, "a"), HABIT_UNKNOWN);
    habits_learn(h, "a", true);
    assert_int_equal(habits_get(h, "a"), HABIT_UNMARKED);
    assert_int_equal(habits_get(h, "b"), HABIT_UNKNOWN);
    habits_learn(h, "a", false);
    assert_int_equal(habits_get(h, "a"), HABIT_MARKED);
    habits_learn(h, "a", true);
    assert_int_equal(habits_get(h, "a"), HABIT_UNKNOWN);
    habits_free(h);
}

static void few_models_are_remembered(void **state) {
    (void)state;
    struct habits *h = habits_create();
    char name[16];
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "m%u", i);
        habits_learn(h, name, false);
    }
    assert_int_equal(habits_get(h, "m0"), HABIT_UNKNOWN);
    assert_int_equal(habits_get(h, "m99"), HABIT_MARKED);
    habits_free(h);
}

/* ---- streams ---- */

#define CHAT "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"

/* A stream in which the model writes these texts, and in which this part is to be found. */
static void stream(struct fixture *f, const char *first, const char *rest, const char *part) {
    ask(f, &api_openai_chat, CHAT);
    run_until(f, is_running);
    struct backend_call *call = last_asked(f, ASKED_SUBMIT);
    send_token(call, first);
    send_token(call, rest);
    send_done(call);
    expect_status(f, 200, part);
}

/* The template knows both marks, and puts none at the prompt's end. */
static void streams_follow_the_habit(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    f->model.chat_template =
        "{% for m in messages %}{{ m.content }}{% if m.thought %}<think>{{ m.thought }}</think>{% endif %}{% endfor %}";
    stream(f, "Good", " day.", "\"content\":\"Good day.\""); /* nothing is known yet: the text waits a little */
    stream(f, "Good", " day.", "\"content\":\"Good\"");      /* text at once */
    stream(f, "I think.", "</think>Yes.", "\"content\":\"I think.\""); /* for once it was wrong */
    stream(f, "I think.", "</think>Yes.", "\"reasoning_content\":\"I think.\"");
    stream(f, "I", " think.</think>Yes.", "\"reasoning_content\":\"I\""); /* reasoning at once */
    stream(f, "I", " think.</think>Yes.", "\"content\":\"Yes.\"");
    /* For once it is wrong the other way: then the answer is not lost. */
    stream(f, "Good", " day.", "\"content\":\"Good day.\"");
    stream(f, "Good", " day.", "\"content\":\"Good\"");
    fixture_close(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(two_in_a_row_are_a_habit), cmocka_unit_test(few_models_are_remembered),
                                       cmocka_unit_test(streams_follow_the_habit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
