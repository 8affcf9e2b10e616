/* SPDX-License-Identifier: MIT
 * Which projector is a model's, by the names and the widths of the files in its folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/projector.h"
#include "support/folder.h"
#include "support/gguf_fixture.h"

static char folder[64];

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/caravan-projector.XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state) {
    (void)state;
    return folder_remove(folder);
}

static void keep(const char *name, struct gguf_fixture *f) {
    char path[200];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(f->file.data, 1, f->file.len, file), f->file.len);
    fclose(file);
    buf_done(&f->file);
}

static void add_model(const char *name, uint32_t width) {
    struct gguf_fixture f;
    gguf_fixture_open(&f, "llama");
    gguf_fixture_u32(&f, "llama", "embedding_length", width);
    gguf_fixture_close(&f);
    keep(name, &f);
}

/* key: where its header says how wide its rows are. bias: how long its last layer's bias is; 0: it has none. */
static void add_any_projector(const char *name, const char *key, uint32_t width, uint32_t bias) {
    struct gguf_fixture f;
    gguf_fixture_open(&f, "clip");
    model_write_u32(&f.w, key, width);
    if (bias > 0) gguf_fixture_tensor(&f, "mm.2.bias", MODEL_TYPE_F32, 1, bias, 1);
    gguf_fixture_close(&f);
    keep(name, &f);
}

static void add_projector(const char *name, uint32_t width) { add_any_projector(name, "clip.vision.projection_dim", width, 0); }

/* The name of the projector that the model gets; "": none. */
static const char *found(const char *model, uint32_t width) {
    static struct model_projector p;
    char path[200];
    snprintf(path, sizeof(path), "%s/%s", folder, model);
    if (!model_projector_find(path, width, &p)) return "";
    return strrchr(p.path, '/') + 1;
}

static void test_the_only_one(void **state) {
    (void)state;
    add_model("Some-Model-Q4_K_M.gguf", 64);
    assert_string_equal(found("Some-Model-Q4_K_M.gguf", 64), "");
    add_projector("mmproj-F16.gguf", 64);
    assert_string_equal(found("Some-Model-Q4_K_M.gguf", 64), "mmproj-F16.gguf");
    assert_string_equal(found("Some-Model-Q4_K_M.gguf", 128), "");
    add_model("Any-Q4_K_M.gguf", 64); /* neither name says anything */
    assert_string_equal(found("Some-Model-Q4_K_M.gguf", 64), "mmproj-F16.gguf");
    assert_string_equal(found("Any-Q4_K_M.gguf", 64), "mmproj-F16.gguf");
}

static void test_the_width_is_read(void **state) {
    (void)state;
    add_any_projector("mmproj.gguf", "clip.audio.projection_dim", 64, 0);
    assert_string_equal(found("model.gguf", 64), "mmproj.gguf");
    assert_string_equal(found("model.gguf", 128), "");
    add_any_projector("mmproj.gguf", "clip.vision.projection_dim", 512, 64); /* the bias tells the truth */
    assert_string_equal(found("model.gguf", 64), "mmproj.gguf");
    assert_string_equal(found("model.gguf", 512), "");
    add_projector("mmproj.gguf", 0); /* it says nothing */
    assert_string_equal(found("model.gguf", 64), "mmproj.gguf");
}

/* The folder may list the files in any order. */
static void test_the_best_of_several(void **state) {
    (void)state;
    static const char *const names[] = {"Some-VL-7B-Q4_K_M.gguf", "Some-VL-7B-Q8_0.gguf"};
    for (size_t i = 0; i < 2; i++) add_model(names[i], 64);
    add_projector("mmproj-Some-VL-7B-Q4_K_M.gguf", 64);
    add_projector("mmproj-Some-VL-7B-Q8_0.gguf", 64);
    for (size_t i = 0; i < 2; i++) assert_string_equal(found(names[i], 64) + strlen("mmproj-"), names[i]);
    assert_int_equal(folder_remove(folder), 0);
    assert_int_equal(make_folder(NULL), 0);
    static const char *const alike[] = {"mmproj-BF16.gguf", "mmproj-F16.gguf"};
    for (size_t large = 0; large < 2; large++) {
        for (size_t i = 0; i < 2; i++) add_any_projector(alike[i], "clip.vision.projection_dim", 64, i == large ? 64 : 0);
        assert_string_equal(found(names[0], 64), alike[large]);
    }
}

static void test_a_text_model_beside_one_that_sees(void **state) {
    (void)state;
    add_model("Qwen2.5-VL-7B-Instruct-Q4_K_M.gguf", 64);
    add_model("Qwen2.5-7B-Instruct-Q4_K_M.gguf", 64);
    add_model("Llama-3-8B-Q4_K_M.gguf", 64);
    add_projector("mmproj-Qwen2.5-VL-7B-Instruct-f16.gguf", 64);
    assert_string_equal(found("Qwen2.5-VL-7B-Instruct-Q4_K_M.gguf", 64), "mmproj-Qwen2.5-VL-7B-Instruct-f16.gguf");
    assert_string_equal(found("Qwen2.5-7B-Instruct-Q4_K_M.gguf", 64), "");
    assert_string_equal(found("Llama-3-8B-Q4_K_M.gguf", 64), "");
}

/* Few letters that two names share say nothing: "M" stands in "mmproj", "F1" in "F16"; nor do those of the word "mmproj" itself. */
static void test_letters_by_chance(void **state) {
    (void)state;
    add_model("Qwen3-VL-8B-Q4_K_M.gguf", 64);
    add_model("Mistral-7B-Q4_K_M.gguf", 64);
    add_model("F1-7B-Q4_K_M.gguf", 64);
    add_model("Prometheus-7B-Q4_K_M.gguf", 64);
    add_projector("mmproj-F16.gguf", 64);
    assert_string_equal(found("Qwen3-VL-8B-Q4_K_M.gguf", 64), "mmproj-F16.gguf");
}

/* A projector under the name of one quantisation is for the others, too, and for a model whose own name says nothing, if no model of this
 * width has a better claim. */
static void test_no_better_claim(void **state) {
    (void)state;
    add_model("Qwen2.5-VL-7B-Instruct-Q4_K_M.gguf", 64);
    add_model("Qwen2.5-VL-7B-Instruct-UD-Q8_0.gguf", 64);
    add_model("Qwen2.5-VL-3B-Instruct-Q4_K_M.gguf", 32);
    add_model("mine.gguf", 32);
    add_projector("mmproj-Qwen2.5-VL-7B-Instruct-Q4_K_M.gguf", 64);
    add_projector("mmproj-Qwen2.5-VL-7B-small.gguf", 32);
    assert_string_equal(found("Qwen2.5-VL-7B-Instruct-UD-Q8_0.gguf", 64), "mmproj-Qwen2.5-VL-7B-Instruct-Q4_K_M.gguf");
    assert_string_equal(found("Qwen2.5-VL-3B-Instruct-Q4_K_M.gguf", 32), "mmproj-Qwen2.5-VL-7B-small.gguf");
    assert_string_equal(found("mine.gguf", 32), "");
}

/* One that is named: its header may be wrong about its rows, its matrices can't be. */
static void test_named(void **state) {
    (void)state;
    struct gguf_fixture f;
    struct err e = {0};
    char path[200];
    gguf_fixture_open(&f, "clip");
    model_write_u32(&f.w, "clip.vision.projection_dim", 512);
    gguf_fixture_tensor(&f, "v.position_embd.weight", MODEL_TYPE_F32, 2, 32, 128);
    gguf_fixture_tensor(&f, "mm.1.weight", MODEL_TYPE_F32, 2, 32, 64);
    gguf_fixture_close(&f);
    keep("mmproj.gguf", &f);
    snprintf(path, sizeof(path), "%s/mmproj.gguf", folder);
    assert_int_equal(model_projector_check(path, 512, &e), ERR_OK);
    assert_int_equal(model_projector_check(path, 64, &e), ERR_OK);
    assert_int_equal(model_projector_check(path, 128, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "is the projector of another model: its rows have 512 numbers, this model's have 128"));
    add_model("model.gguf", 64);
    snprintf(path, sizeof(path), "%s/model.gguf", folder);
    assert_int_equal(model_projector_check(path, 64, &e), ERR_UNSUPPORTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_only_one, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_the_width_is_read, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_the_best_of_several, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_a_text_model_beside_one_that_sees, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_letters_by_chance, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_no_better_claim, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_named, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
