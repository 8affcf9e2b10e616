/* SPDX-License-Identifier: MIT
 * What is told of a model at a glance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "model/card.h"

static void names(void **state) {
    (void)state;
    static const struct {
        const char *path, *name;
        uint32_t part;
    } cases[] = {
        {"models/caravan-demo.gguf", "caravan-demo", 0},
        {"caravan-demo.gguf", "caravan-demo", 0},
        {"Upper.GGUF", "Upper", 0},
        {"/a/b.c/no-suffix", "no-suffix", 0},
        {"/a/big-00001-of-00003.gguf", "big", 1},
        {"big-00012-of-00030.gguf", "big", 12},
        {"big-0001-of-00003.gguf", "big-0001-of-00003", 0},
        {"big-00001-of-0000x.gguf", "big-00001-of-0000x", 0},
        {"-00001-of-00003.gguf", "-00001-of-00003", 0},
        {".gguf", ".gguf", 0},
        {"", "", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char name[128];
        model_card_name(cases[i].path, name, sizeof(name));
        assert_string_equal(name, cases[i].name);
        assert_int_equal(model_card_part(cases[i].path), cases[i].part);
    }
    char brief[4];
    model_card_name("abcdefgh.gguf", brief, sizeof(brief));
    assert_string_equal(brief, "abc");
}

static void the_demo_model(void **state) {
    (void)state;
    const char *source = getenv("CARAVAN_SOURCE");
    assert_non_null(source);
    char *path = mem_printf("%s/models/caravan-demo.gguf", source);
    struct model_gguf *g = NULL;
    struct model_card c;
    struct err e = {0};
    assert_int_equal(model_gguf_open(path, &g, &e), ERR_OK);
    model_card_make(g, &c);
    assert_string_equal(c.name, "caravan-demo");
    assert_string_equal(c.id, model_gguf_id(g));
    assert_string_equal(c.arch, "llama");
    assert_string_equal(c.quant, "Q8_0");
    assert_int_equal(c.bytes, model_gguf_total_size(g));
    assert_int_equal(c.n_layer, 8);
    assert_true(c.n_ctx > 0 && c.params > c.bytes / 2 && c.params < c.bytes);
    model_gguf_free(g);
    free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(names), cmocka_unit_test(the_demo_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
