/* SPDX-License-Identifier: MIT
 * A model's card: its name, type and size at a glance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "model/card.h"
#include "support/gguf_fixture.h"

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
        {"caf\xE9.gguf", "caf_", 0},
        {"two\nlines.gguf", "two_lines", 0},
        {"caf\xC3\xA9.gguf", "caf\xC3\xA9", 0},
        {".gguf", ".gguf", 0},
        {"", "", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char name[MODEL_NAME_SIZE];
        model_card_name(cases[i].path, name, sizeof(name));
        assert_string_equal(name, cases[i].name);
        assert_int_equal(model_card_part(cases[i].path), cases[i].part);
    }
    char brief[4];
    model_card_name("abcdefgh.gguf", brief, sizeof(brief));
    assert_string_equal(brief, "abc");
}

static void tags(void **state) {
    (void)state;
    char name[MODEL_NAME_SIZE], small[16];
    model_card_tag("x", "0123456789abcdef", name, sizeof(name));
    assert_string_equal(name, "x:01234567");
    model_card_tag("caf\xC3\xA9s", "0123456789abcdef", small, 14); /* cut at the end of a character */
    assert_string_equal(small, "caf:01234567");
}

static void what_is_asked_for_fits(void **state) {
    (void)state;
    static const struct {
        const char *asked, *name;
        enum model_fit fit;
    } rows[] = {
        {"x", "x", MODEL_FIT_EXACT},
        {"x:latest", "x", MODEL_FIT_TAG},
        {"x", "x:latest", MODEL_FIT_TAG},
        {"X:Latest", "x", MODEL_FIT_LETTERS},
        {"X", "x", MODEL_FIT_LETTERS},
        {"x:8b", "x", MODEL_FIT_NONE},
        {"x", "x:8b", MODEL_FIT_NONE},
        {"xy", "x", MODEL_FIT_NONE},
        {":latest", ":latest", MODEL_FIT_EXACT},
        {"", "x", MODEL_FIT_NONE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) assert_int_equal(model_card_fit(rows[i].asked, rows[i].name), rows[i].fit);
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

/* Layers that only guess are none that a slice is made of, in any list of a model's layers. */
static void layers_that_guess(void **state) {
    (void)state;
    struct gguf_fixture f;
    struct model_gguf *g = NULL;
    struct model_card c;
    struct err e = {0};
    gguf_fixture_open(&f, "mimo2");
    gguf_fixture_u32(&f, "mimo2", "block_count", 9);
    gguf_fixture_u32(&f, "mimo2", "nextn_predict_layers", 1);
    gguf_fixture_close(&f);
    const struct model_part part = {f.file.data, f.file.len, f.file.len};
    assert_int_equal(model_gguf_from_parts("model.gguf", &part, 1, &g, &e), ERR_OK);
    model_card_make(g, &c);
    assert_int_equal(c.n_layer, 8);
    model_gguf_free(g);
    buf_done(&f.file);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(names), cmocka_unit_test(tags), cmocka_unit_test(what_is_asked_for_fits),
                                       cmocka_unit_test(the_demo_model), cmocka_unit_test(layers_that_guess)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
