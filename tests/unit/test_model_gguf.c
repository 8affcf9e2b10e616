/* SPDX-License-Identifier: MIT
 * GGUF headers: a well-formed header is read as it stands, and each kind of malformed one is refused with the field's name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "model/gguf.h"
#include "support/gguf_fixture.h"
#include "support/folder.h"

static err_code read_bytes(const void *data, size_t len, struct model_gguf **ret, struct err *e) {
    struct model_part part = {data, len, len};
    *e = (struct err){0};
    return model_gguf_from_parts("m.gguf", &part, 1, ret, e);
}

/* The bytes must be refused with this code and a text that holds `part`. */
static void assert_refused(const void *data, size_t len, err_code code, const char *part) {
    struct model_gguf *g = NULL;
    struct err e;
    assert_int_equal(read_bytes(data, len, &g, &e), code);
    assert_int_equal(e.code, code);
    assert_null(g);
    if (!strstr(e.text, part)) fail_msg("\"%s\" is not in \"%s\"", part, e.text);
}

static void assert_fixture_refused(struct gguf_fixture *f, err_code code, const char *part) {
    assert_refused(f->file.data, f->file.len, code, part);
    buf_done(&f->file);
}

static struct model_gguf *read_fixture(const struct gguf_fixture *f) {
    struct model_gguf *g = NULL;
    struct err e;
    if (read_bytes(f->file.data, f->file.len, &g, &e)) fail_msg("%s", e.text);
    return g;
}

/* Where `text` stands in the file. */
static size_t find(const struct gguf_fixture *f, const char *text) {
    const uint8_t *at = memmem(f->file.data, f->file.len, text, strlen(text));
    assert_non_null(at);
    return (size_t)(at - f->file.data);
}

static void metadata_of_every_type_is_read(void **state) {
    (void)state;
    struct gguf_fixture f;
    const uint8_t nested[] = {MODEL_KV_U8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7, 8, MODEL_KV_STR, 0, 0, 0, 1, 0,
                              0,           0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 'x'};
    gguf_fixture_open(&f, "llama");
    model_write_u32(&f.w, "a.u32", 4000000000u);
    model_write_f32(&f.w, "a.f32", 1.5f);
    model_write_bool(&f.w, "a.bool", 1);
    model_write_str(&f.w, "a.str", "camel");
    model_write_array(&f.w, "a.list", MODEL_KV_I16, 3);
    model_write_raw(&f.w, (uint8_t[]){1, 0, 0xff, 0xff, 3, 0}, 6);
    model_write_array(&f.w, "a.words", MODEL_KV_STR, 2);
    model_write_element(&f.w, "one", 3);
    model_write_element(&f.w, "", 0);
    model_write_array(&f.w, "a.nested", MODEL_KV_ARRAY, 2);
    model_write_raw(&f.w, nested, sizeof(nested));
    gguf_fixture_tensor(&f, "t", MODEL_TYPE_F32, 1, 8, 1);
    gguf_fixture_close(&f);
    struct model_gguf *g = read_fixture(&f);
    uint64_t u = 0;
    double d = 0;
    bool b = false;
    const char *s = NULL;
    size_t len = 0;
    assert_int_equal(model_gguf_n_kv(g), 8);
    assert_true(model_kv_uint(model_gguf_find(g, "a.u32"), 0, &u) && u == 4000000000u);
    assert_true(model_kv_float(model_gguf_find(g, "a.f32"), 0, &d) && d == 1.5);
    assert_true(model_kv_bool(model_gguf_find(g, "a.bool"), &b) && b);
    assert_true(model_kv_str(model_gguf_find(g, "a.str"), &s, &len) && len == 5 && memcmp(s, "camel", 5) == 0);
    assert_true(model_kv_uint(model_gguf_find(g, "a.list"), 2, &u) && u == 3);
    assert_false(model_kv_uint(model_gguf_find(g, "a.list"), 1, &u)); /* -1 */
    assert_false(model_kv_uint(model_gguf_find(g, "a.list"), 3, &u));
    assert_int_equal(model_gguf_find(g, "a.words")->n, 2);
    assert_int_equal(model_gguf_find(g, "a.nested")->size, sizeof(nested));
    assert_null(model_gguf_find(g, "a.absent"));
    assert_false(model_kv_uint(NULL, 0, &u));
    assert_string_equal(model_gguf_arch(g), "llama");
    assert_int_equal(strlen(model_gguf_id(g)), 64);
    model_gguf_free(g);
    buf_done(&f.file);
}

static void tensors_stand_where_the_file_says(void **state) {
    (void)state;
    struct gguf_fixture f;
    gguf_fixture_llama(&f, "llama", 4, false);
    gguf_fixture_close(&f);
    struct model_gguf *g = read_fixture(&f);
    assert_int_equal(model_gguf_n_tensors(g), f.n_tensors);
    for (size_t i = 0; i < f.n_tensors; i++) {
        const struct model_tensor *t = model_gguf_tensor(g, i);
        assert_string_equal(t->name, f.tensor[i].name);
        assert_ptr_equal(model_gguf_find_tensor(g, t->name), t);
        assert_int_equal(t->bytes, f.tensor[i].bytes);
        for (uint64_t b = 0; b < t->bytes; b++) assert_int_equal(f.file.data[t->offset + b], gguf_fixture_byte(i, b));
    }
    assert_null(model_gguf_find_tensor(g, "blk.9.attn_q.weight"));
    model_gguf_free(g);
    buf_done(&f.file);
}

/* A file that ends early is refused, at every place. */
static void every_truncation_is_refused(void **state) {
    (void)state;
    struct gguf_fixture f;
    gguf_fixture_llama(&f, "llama", 2, false);
    gguf_fixture_close(&f);
    struct model_gguf *g = read_fixture(&f);
    const struct model_tensor *last = model_gguf_tensor(g, model_gguf_n_tensors(g) - 1);
    size_t end = (size_t)(last->offset + last->bytes);
    model_gguf_free(g);
    for (size_t len = 0; len < end; len += len < 4096 ? 1 : 97) {
        struct err e;
        assert_int_equal(read_bytes(f.file.data, len, &g, &e), ERR_FORMAT);
        assert_true(e.text[0] != '\0');
    }
    assert_refused(f.file.data, end - 1, ERR_FORMAT, "tensor \"blk.1.ffn_down.weight\": offset");
    buf_done(&f.file);
}

static void a_header_alone_is_enough(void **state) {
    (void)state;
    struct gguf_fixture f;
    struct model_gguf *whole, *g = NULL;
    struct err e = {0};
    size_t len;
    gguf_fixture_llama(&f, "llama", 2, false);
    gguf_fixture_close(&f);
    whole = read_fixture(&f);
    const uint8_t *header = model_gguf_header(whole, 0, &len);
    struct model_part part = {header, len, f.file.len};
    assert_int_equal(model_gguf_from_parts("m.gguf", &part, 1, &g, &e), ERR_OK);
    assert_string_equal(model_gguf_id(g), model_gguf_id(whole));
    model_gguf_free(g);
    part.file_size++; /* another file: another id */
    assert_int_equal(model_gguf_from_parts("m.gguf", &part, 1, &g, &e), ERR_OK);
    assert_string_not_equal(model_gguf_id(g), model_gguf_id(whole));
    model_gguf_free(g);
    part.header_len = len - 33;
    assert_int_equal(model_gguf_from_parts("m.gguf", &part, 1, &g, &e), ERR_FORMAT);
    assert_non_null(strstr(e.text, "before it is complete"));
    model_gguf_free(whole);
    buf_done(&f.file);
}

static void other_files_are_refused(void **state) {
    (void)state;
    struct gguf_fixture f;
    gguf_fixture_llama(&f, "llama", 1, false);
    gguf_fixture_close(&f);
    f.file.data[0] = 'X';
    assert_refused(f.file.data, f.file.len, ERR_FORMAT, "not a GGUF file");
    f.file.data[0] = 'G';
    f.file.data[4] = 1;
    assert_refused(f.file.data, f.file.len, ERR_UNSUPPORTED, "version 1");
    f.file.data[4] = 4;
    assert_refused(f.file.data, f.file.len, ERR_UNSUPPORTED, "version 4");
    f.file.data[4] = 0;
    f.file.data[7] = 3;
    assert_refused(f.file.data, f.file.len, ERR_UNSUPPORTED, "big-endian");
    f.file.data[4] = 3;
    f.file.data[7] = 0;
    bytes_put_u64(f.file.data + 8, UINT64_MAX);
    assert_refused(f.file.data, f.file.len, ERR_FORMAT, "tensors and");
    bytes_put_u64(f.file.data + 8, 5);
    bytes_put_u64(f.file.data + 16, UINT64_MAX / 2);
    assert_refused(f.file.data, f.file.len, ERR_FORMAT, "metadata keys do not fit");
    buf_done(&f.file);
}

static void bad_metadata_is_refused(void **state) {
    (void)state;
    struct gguf_fixture f;
    gguf_fixture_open(&f, "llama");
    model_write_bool(&f.w, "a.bool", 1);
    model_write_array(&f.w, "a.list", MODEL_KV_U32, 1);
    model_write_raw(&f.w, (uint8_t[4]){0}, 4);
    gguf_fixture_close(&f);
    size_t truth = find(&f, "a.bool") + 6 + 4, type = truth - 4, list = find(&f, "a.list") + 6 + 4;
    f.file.data[truth] = 2;
    assert_refused(f.file.data, f.file.len, ERR_FORMAT, "metadata key \"a.bool\": a truth value");
    f.file.data[truth] = 1;
    f.file.data[type] = 77;
    assert_refused(f.file.data, f.file.len, ERR_FORMAT, "metadata key \"a.bool\": unknown value type");
    f.file.data[type] = MODEL_KV_BOOL;
    bytes_put_u64(f.file.data + list + 4, UINT64_C(0x4000000000000001)); /* times 4 wraps round to 4 */
    assert_refused(f.file.data, f.file.len, ERR_FORMAT, "metadata key \"a.list\": 4611686018427387905 elements");
    bytes_put_u32(f.file.data + list, 13);
    assert_refused(f.file.data, f.file.len, ERR_FORMAT, "unknown element type");
    f.file.data[find(&f, "a.list") + 2] = '\0';
    assert_refused(f.file.data, f.file.len, ERR_FORMAT, "NUL byte");
    buf_done(&f.file);
}

static void deep_nesting_is_refused(void **state) {
    (void)state;
    struct gguf_fixture f;
    gguf_fixture_open(&f, "llama");
    model_write_array(&f.w, "a.deep", MODEL_KV_ARRAY, 1);
    for (int i = 0; i < 100; i++) model_write_raw(&f.w, (uint8_t[12]){MODEL_KV_ARRAY, 0, 0, 0, 1}, 12);
    gguf_fixture_close(&f);
    assert_fixture_refused(&f, ERR_FORMAT, "metadata key \"a.deep\": arrays are nested too deeply");
}

static void duplicates_are_refused(void **state) {
    (void)state;
    struct gguf_fixture f;
    gguf_fixture_open(&f, "llama");
    model_write_u32(&f.w, "a.x", 1);
    model_write_u32(&f.w, "a.x", 2);
    gguf_fixture_close(&f);
    assert_fixture_refused(&f, ERR_FORMAT, "metadata key \"a.x\" appears twice");
    gguf_fixture_open(&f, "llama");
    gguf_fixture_tensor(&f, "t", MODEL_TYPE_F32, 1, 8, 1);
    gguf_fixture_tensor(&f, "t", MODEL_TYPE_F32, 1, 8, 1);
    gguf_fixture_close(&f);
    assert_fixture_refused(&f, ERR_FORMAT, "tensor \"t\" appears twice");
    gguf_fixture_open(&f, NULL);
    gguf_fixture_close(&f);
    assert_fixture_refused(&f, ERR_FORMAT, "\"general.architecture\" is missing");
}

static void bad_tensors_are_refused(void **state) {
    (void)state;
    struct gguf_fixture f;
    gguf_fixture_open(&f, "llama");
    gguf_fixture_tensor(&f, "aa", MODEL_TYPE_Q4_0, 2, 64, 2);
    gguf_fixture_tensor(&f, "bb", MODEL_TYPE_F32, 1, 8, 1);
    gguf_fixture_close(&f);
    uint8_t *dims = f.file.data + find(&f, "aa") + 2, *ne = dims + 4, *type = ne + 16, *offset = type + 4,
            *second = f.file.data + find(&f, "bb") + 2 + 4 + 8 + 4;
    bytes_put_u32(dims, 5);
    assert_refused(f.file.data, f.file.len, ERR_FORMAT, "tensor \"aa\": more than 4 dimensions");
    bytes_put_u32(dims, 2);
    bytes_put_u64(ne, 0);
    assert_refused(f.file.data, f.file.len, ERR_FORMAT, "tensor \"aa\": its dimensions are zero");
    bytes_put_u64(ne, UINT64_C(1) << 33);
    bytes_put_u64(ne + 8, UINT64_C(1) << 33); /* the product wraps round to 0 */
    assert_refused(f.file.data, f.file.len, ERR_FORMAT, "absurdly large");
    bytes_put_u64(ne, 63);
    bytes_put_u64(ne + 8, 2);
    assert_refused(f.file.data, f.file.len, ERR_FORMAT, "tensor \"aa\": its row length");
    bytes_put_u64(ne, 64);
    bytes_put_u32(type, 4);
    assert_refused(f.file.data, f.file.len, ERR_UNSUPPORTED, "tensor \"aa\": unknown type 4");
    bytes_put_u32(type, MODEL_TYPE_Q4_0);
    bytes_put_u64(offset, 1);
    assert_refused(f.file.data, f.file.len, ERR_FORMAT, "tensor \"aa\": its offset is not aligned");
    bytes_put_u64(offset, UINT64_MAX - 31);
    assert_refused(f.file.data, f.file.len, ERR_FORMAT, "lies outside of the file");
    bytes_put_u64(offset, 0);
    bytes_put_u64(second, 64);
    assert_refused(f.file.data, f.file.len, ERR_FORMAT, "tensor \"bb\" overlaps tensor \"aa\"");
    buf_done(&f.file);
}

static void bad_alignment_is_refused(void **state) {
    (void)state;
    static const uint32_t wrong[] = {0, 3, 48, 1u << 21};
    struct gguf_fixture f;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        gguf_fixture_open(&f, "llama");
        model_write_u32(&f.w, "general.alignment", wrong[i]);
        gguf_fixture_close(&f);
        assert_fixture_refused(&f, ERR_FORMAT, "metadata key \"general.alignment\": not a power of two");
    }
}

/* ---- files and parts ---- */

static char folder[] = "/tmp/caravan-gguf-XXXXXX";

static void write_file(const char *name, const struct gguf_fixture *f) {
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(f->file.data, 1, f->file.len, out), f->file.len);
    fclose(out);
}

/* Part no of count, with one tensor. */
static void write_part(const char *name, uint32_t no, uint32_t count, uint32_t total) {
    struct gguf_fixture f;
    char tensor[32];
    gguf_fixture_open(&f, no == 0 ? "llama" : NULL);
    model_write_u32(&f.w, "split.no", no);
    model_write_u32(&f.w, "split.count", count);
    model_write_u32(&f.w, "split.tensors.count", total);
    snprintf(tensor, sizeof(tensor), "part%u", no);
    gguf_fixture_tensor(&f, tensor, MODEL_TYPE_F32, 1, 8, 1);
    gguf_fixture_close(&f);
    write_file(name, &f);
    buf_done(&f.file);
}

static err_code open_in_folder(const char *name, struct model_gguf **ret, struct err *e) {
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    *e = (struct err){0};
    return model_gguf_open(path, ret, e);
}

static void parts_are_one_model(void **state) {
    (void)state;
    struct model_gguf *a = NULL, *b = NULL;
    struct err e;
    write_part("m-00001-of-00003.gguf", 0, 3, 3);
    write_part("m-00002-of-00003.gguf", 1, 3, 3);
    assert_int_equal(open_in_folder("m-00001-of-00003.gguf", &a, &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.text, "m-00003-of-00003.gguf"));
    assert_non_null(strstr(e.hint, "3 files"));
    write_part("m-00003-of-00003.gguf", 2, 3, 3);
    assert_int_equal(open_in_folder("m-00001-of-00003.gguf", &a, &e), ERR_OK);
    assert_int_equal(open_in_folder("m-00003-of-00003.gguf", &b, &e), ERR_OK); /* any part may be named */
    assert_string_equal(model_gguf_id(a), model_gguf_id(b));
    assert_int_equal(model_gguf_n_parts(b), 3);
    assert_int_equal(model_gguf_n_tensors(b), 3);
    assert_int_equal(model_gguf_find_tensor(b, "part2")->part, 2);
    assert_string_equal(model_gguf_arch(b), "llama");
    model_gguf_free(a);
    model_gguf_free(b);
}

static void parts_that_do_not_belong_together_are_refused(void **state) {
    (void)state;
    struct model_gguf *g = NULL;
    struct err e;
    write_part("x-00001-of-00002.gguf", 0, 2, 2);
    write_part("x-00002-of-00002.gguf", 0, 2, 2);
    assert_int_equal(open_in_folder("x-00001-of-00002.gguf", &g, &e), ERR_FORMAT);
    assert_non_null(strstr(e.text, "it should be part 2 of 2, but says that it is part 1 of 2"));
    write_part("x-00002-of-00002.gguf", 1, 2, 2);
    write_part("x-00001-of-00002.gguf", 0, 2, 5);
    assert_int_equal(open_in_folder("x-00001-of-00002.gguf", &g, &e), ERR_FORMAT);
    assert_non_null(strstr(e.text, "split.tensors.count"));
    write_part("renamed.gguf", 0, 2, 2);
    assert_int_equal(open_in_folder("renamed.gguf", &g, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "-00001-of-00002.gguf"));
    write_part("y-00001-of-00002.gguf", 7, 2, 2);
    assert_int_equal(open_in_folder("y-00001-of-00002.gguf", &g, &e), ERR_FORMAT);
    assert_int_equal(open_in_folder("absent.gguf", &g, &e), ERR_NOT_FOUND);
    assert_int_equal(open_in_folder(".", &g, &e), ERR_INVALID);
}

/* A header larger than the first read, so that reading on is needed. */
static void long_headers_are_read(void **state) {
    (void)state;
    struct gguf_fixture f;
    struct model_gguf *g = NULL;
    struct err e;
    enum { N = 300000 };
    gguf_fixture_open(&f, "llama");
    model_write_array(&f.w, "a.words", MODEL_KV_STR, N);
    for (int i = 0; i < N; i++) model_write_element(&f.w, "abcdef", 6);
    gguf_fixture_tensor(&f, "t", MODEL_TYPE_F32, 1, 8, 1);
    gguf_fixture_close(&f);
    write_file("long.gguf", &f);
    assert_int_equal(open_in_folder("long.gguf", &g, &e), ERR_OK);
    assert_int_equal(model_gguf_find(g, "a.words")->n, N);
    assert_int_equal(model_gguf_find_tensor(g, "t")->offset + 32, f.file.len);
    model_gguf_free(g);
    buf_done(&f.file);
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    return folder_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metadata_of_every_type_is_read),
        cmocka_unit_test(tensors_stand_where_the_file_says),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(a_header_alone_is_enough),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(bad_metadata_is_refused),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(duplicates_are_refused),
        cmocka_unit_test(bad_tensors_are_refused),
        cmocka_unit_test(bad_alignment_is_refused),
        cmocka_unit_test(parts_are_one_model),
        cmocka_unit_test(parts_that_do_not_belong_together_are_refused),
        cmocka_unit_test(long_headers_are_read),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
