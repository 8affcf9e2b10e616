/* SPDX-License-Identifier: MIT
 * What identifies a model's weights: the same for the same file, another one when a header or the weights differ; files that are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/sample.h"
#include "support/gguf_fixture.h"

static void write_file(const char *path, const struct buf *bytes) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes->data, 1, bytes->len, f), bytes->len);
    assert_int_equal(fclose(f), 0);
}

static void sample_of(const char *path, char ret[MODEL_SAMPLE_SIZE]) {
    struct model_gguf *g = NULL;
    struct err e = {0};
    if (model_gguf_open(path, &g, &e) != ERR_OK || model_sample(g, ret, &e) != ERR_OK) fail_msg("%s", e.text);
    model_gguf_free(g);
}

static void make_path(char path[64]) {
    snprintf(path, 64, "/tmp/caravan-sample-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
}

/* Headers and sizes are equal, and one tensor's bytes are others, as after more training. */
static void other_weights_have_another_sample(void **state) {
    struct gguf_fixture f;
    char path[64], first[MODEL_SAMPLE_SIZE], again[MODEL_SAMPLE_SIZE], other[MODEL_SAMPLE_SIZE];
    struct model_gguf *g = NULL;
    (void)state;
    make_path(path);
    gguf_fixture_llama(&f, "llama", 4, false);
    gguf_fixture_close(&f);
    write_file(path, &f.file);
    sample_of(path, first);
    sample_of(path, again);
    assert_string_equal(first, again);
    assert_int_equal(strlen(first), MODEL_SAMPLE_SIZE - 1);
    assert_int_equal(model_gguf_open(path, &g, NULL), ERR_OK);
    for (size_t i = 0; i < model_gguf_n_tensors(g); i++) {
        const struct model_tensor *t = model_gguf_tensor(g, i);
        uint8_t *byte = f.file.data + t->offset + t->bytes / 2;
        *byte ^= 1;
        write_file(path, &f.file);
        sample_of(path, other);
        assert_string_not_equal(first, other);
        *byte ^= 1;
    }
    model_gguf_free(g);
    unlink(path);
    buf_done(&f.file);
}

static void another_header_has_another_sample(void **state) {
    char path[64], samples[2][MODEL_SAMPLE_SIZE];
    (void)state;
    make_path(path);
    for (uint32_t i = 0; i < 2; i++) {
        struct gguf_fixture f;
        gguf_fixture_llama(&f, "llama", 4, false);
        model_write_u32(&f.w, "general.version", i);
        gguf_fixture_close(&f);
        write_file(path, &f.file);
        sample_of(path, samples[i]);
        buf_done(&f.file);
    }
    assert_string_not_equal(samples[0], samples[1]);
    unlink(path);
}

static void a_file_that_was_cut_is_an_error(void **state) {
    struct gguf_fixture f;
    struct model_gguf *g = NULL;
    char path[64], sample[MODEL_SAMPLE_SIZE] = "kept";
    struct err e = {0};
    (void)state;
    make_path(path);
    gguf_fixture_llama(&f, "llama", 4, false);
    gguf_fixture_close(&f);
    write_file(path, &f.file);
    assert_int_equal(model_gguf_open(path, &g, &e), ERR_OK);
    assert_int_equal(truncate(path, (off_t)f.file.len / 2), 0);
    assert_int_equal(model_sample(g, sample, &e), ERR_IO);
    assert_non_null(strstr(e.text, path));
    unlink(path);
    assert_int_equal(model_sample(g, sample, &e), ERR_NOT_FOUND);
    assert_string_equal(sample, "kept");
    model_gguf_free(g);
    buf_done(&f.file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_weights_have_another_sample),
        cmocka_unit_test(another_header_has_another_sample),
        cmocka_unit_test(a_file_that_was_cut_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
