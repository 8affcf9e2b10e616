/* SPDX-License-Identifier: MIT
 * Errors: the field that one is about goes with it, through texts put before it and through the encoding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/err.h"
#include "base/field.h"

static void the_field_is_named_twice(void **state) {
    (void)state;
    struct err e = {0};
    assert_int_equal(err_set_field(&e, ERR_INVALID, err_place("messages[%d].role", 3).text, "expected %s", "a string"), ERR_INVALID);
    assert_string_equal(e.field, "messages[3].role");
    assert_string_equal(e.text, "field \"messages[3].role\": expected a string");
    err_prefix(&e, "stage %d", 1);
    assert_string_equal(e.field, "messages[3].role");
    err_set(&e, ERR_BUSY, "the field \"x\": is only text");
    assert_string_equal(e.field, "");
    assert_int_equal(err_set_field(NULL, ERR_LIMIT, "x", "y"), ERR_LIMIT);
    err_in_field(NULL, "x");
    err_in_object(NULL, "x");
}

static void an_outer_field_takes_over(void **state) {
    (void)state;
    struct err e = {0};
    err_set_field(&e, ERR_INVALID, "top_k", "expected a whole number");
    err_in_object(&e, "options");
    assert_string_equal(e.field, "options.top_k");
    assert_string_equal(e.text, "field \"options.top_k\": expected a whole number");
    err_in_field(&e, "body");
    assert_string_equal(e.field, "body");
    assert_string_equal(e.text, "field \"body\": field \"options.top_k\": expected a whole number");
    err_set(&e, ERR_INVALID, "no field");
    err_in_object(&e, "options");
    assert_string_equal(e.text, "no field");
    assert_string_equal(e.field, "");
}

static void long_names_are_cut_between_characters(void **state) {
    (void)state;
    struct err e = {0};
    char name[ERR_FIELD_SIZE + 10];
    memset(name, 'x', sizeof(name));
    memcpy(name + ERR_FIELD_SIZE - 2, "\xC3\xA9", 3);
    err_set_field(&e, ERR_INVALID, name, "long");
    assert_int_equal(strlen(e.field), ERR_FIELD_SIZE - 2);
    err_in_object(&e, "outer");
    assert_int_equal(strncmp(e.field, "outer.xxx", 9), 0);
}

static void the_field_travels(void **state) {
    (void)state;
    struct err e = {0}, back;
    struct buf out;
    buf_init(&out, 4096);
    err_set_field(&e, ERR_INVALID, "logit_bias", "the model has no token 9");
    err_hint(&e, "leave it out");
    field_encode(err_fields(), &e, &out);
    assert_int_equal(field_decode(err_fields(), out.data, out.len, &back, NULL), ERR_OK);
    assert_int_equal(back.code, ERR_INVALID);
    assert_string_equal(back.text, e.text);
    assert_string_equal(back.hint, e.hint);
    assert_string_equal(back.field, "logit_bias");
    buf_done(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_field_is_named_twice),
        cmocka_unit_test(an_outer_field_takes_over),
        cmocka_unit_test(long_names_are_cut_between_characters),
        cmocka_unit_test(the_field_travels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
