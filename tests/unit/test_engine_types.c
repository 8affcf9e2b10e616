/* SPDX-License-Identifier: MIT
 * The table of tensor types is ggml's own: names, block sizes and bytes, and none missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ggml.h>

#include "model/types.h"

static void the_table_is_ggmls(void **state) {
    (void)state;
    for (uint32_t i = 0; i < GGML_TYPE_COUNT || i < MODEL_TYPE_END; i++) {
        const struct model_type_info *t = model_type_get(i);
        bool there = i < GGML_TYPE_COUNT && ggml_blck_size((enum ggml_type)i) > 0 && ggml_type_size((enum ggml_type)i) > 0;
        assert_true(there == (t != NULL));
        if (!there) continue;
        assert_string_equal(t->name, ggml_type_name((enum ggml_type)i));
        assert_int_equal(t->block, ggml_blck_size((enum ggml_type)i));
        assert_int_equal(t->bytes, ggml_type_size((enum ggml_type)i));
    }
}

static void names_are_found_in_any_case(void **state) {
    (void)state;
    uint32_t type = 0;
    assert_true(model_type_parse("Q4_k", &type) && type == GGML_TYPE_Q4_K);
    assert_true(model_type_parse("f16", &type) && type == GGML_TYPE_F16);
    assert_false(model_type_parse("q4", &type));
    assert_int_equal(model_type_bytes(GGML_TYPE_Q4_K, 512), 288);
    assert_int_equal(model_type_bytes(GGML_TYPE_Q4_K, 500), 0);
    assert_int_equal(model_type_bytes(4, 32), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_table_is_ggmls), cmocka_unit_test(names_are_found_in_any_case)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
