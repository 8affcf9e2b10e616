/* SPDX-License-Identifier: MIT
 * A model's facts, for the demo model, whose header is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "model/facts.h"

static void the_demo_model(void **state) {
    (void)state;
    const char *source = getenv("CARAVAN_SOURCE");
    assert_non_null(source);
    char *path = mem_printf("%s/models/caravan-demo.gguf", source), text[64];
    struct model_gguf *g = NULL;
    struct model_layout *l = NULL;
    struct model_facts f;
    struct err e = {0};
    assert_int_equal(model_gguf_open(path, &g, &e), ERR_OK);
    assert_int_equal(model_layout_create(g, &l, &e), ERR_OK);
    model_facts_make(g, l, &f);
    assert_string_equal(f.family, "llama");
    assert_string_equal(f.quantization, "Q8_0");
    assert_int_equal(strlen(f.digest), 64);
    assert_true(f.n_params > 1000000 && f.n_params < f.bytes);
    assert_int_equal(f.n_layer, l->n_layer);
    assert_int_equal(f.pooling, MODEL_POOLING_NONE);
    assert_string_equal(f.fim_pre, "");
    model_token_text_of(g, "tokenizer.ggml.eos_token_id", text, sizeof(text));
    assert_true(text[0] != '\0');
    model_token_text(g, UINT64_MAX, text, sizeof(text));
    assert_string_equal(text, "");
    model_token_text_of(g, "no.such_token_id", text, sizeof(text));
    assert_string_equal(text, "");
    model_layout_free(l);
    model_gguf_free(g);
    free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_demo_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
