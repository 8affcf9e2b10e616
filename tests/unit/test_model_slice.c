/* SPDX-License-Identifier: MIT
 * Slices as files: their headers, and their bytes, each of which comes from its place in the original. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "os/pages.h"
#include "model/quirks.h"
#include "model/slice.h"
#include "support/gguf_fixture.h"

/* A model in memory, and a slice of it read back as a file. */
struct slice_case {
    struct gguf_fixture f;
    struct model_gguf *g, *virt;
    struct model_layout *l;
    struct model_slice *s;
    uint8_t *file;
    size_t len;
};

static bool read_fixture(void *user, uint32_t part, uint64_t offset, void *buf, size_t len) {
    const struct buf *file = user;
    if (part != 0 || offset > file->len || len > file->len - offset) return false;
    memcpy(buf, file->data + offset, len);
    return true;
}

static void load(struct slice_case *c, const char *arch, uint32_t n_layer, bool tied) {
    struct err e = {0};
    memset(c, 0, sizeof(*c));
    gguf_fixture_llama(&c->f, arch, n_layer, tied);
    if (strcmp(arch, "gpt2") == 0) gguf_fixture_tensor(&c->f, "position_embd.weight", MODEL_TYPE_F32, 2, 128, 512);
    if (strcmp(arch, "rwkv7") == 0) {
        gguf_fixture_tensor(&c->f, "blk.0.attn_norm.weight", MODEL_TYPE_F32, 1, 128, 1);
        model_write_array(&c->f.w, "rwkv7.ple.layers", MODEL_KV_U32, 2);
        model_write_raw(&c->f.w, (uint8_t[8]){1, 0, 0, 0, 4}, 8);
    }
    gguf_fixture_close(&c->f);
    struct model_part part = {c->f.file.data, c->f.file.len, c->f.file.len};
    if (model_gguf_from_parts("m.gguf", &part, 1, &c->g, &e) || model_layout_create(c->g, &c->l, &e)) fail_msg("%s", e.text);
}

static void cut(struct slice_case *c, uint32_t first, uint32_t end) {
    struct err e = {0};
    FILE *f = NULL;
    if (model_slice_create_forced(c->g, c->l, first, end, &c->s, &e)) fail_msg("%s", e.text);
    if (model_slice_open(c->s, read_fixture, &c->f.file, &f, &e)) fail_msg("%s", e.text);
    c->len = (size_t)model_slice_info(c->s)->file_size;
    c->file = mem_alloc(c->len + 1);
    assert_int_equal(fread(c->file, 1, c->len + 1, f), c->len);
    assert_true(feof(f));
    fclose(f);
    struct model_part part = {c->file, c->len, c->len};
    if (model_gguf_from_parts("slice", &part, 1, &c->virt, &e)) fail_msg("%s", e.text);
}

static void put_away(struct slice_case *c) {
    model_gguf_free(c->virt);
    free(c->file);
    model_slice_free(c->s);
    c->virt = NULL;
    c->file = NULL;
    c->s = NULL;
}

static void done(struct slice_case *c) {
    put_away(c);
    model_layout_free(c->l);
    model_gguf_free(c->g);
    buf_done(&c->f.file);
}

/* The slice's tensor `name` is the original's `source`, byte for byte. */
static void assert_from(const struct slice_case *c, const char *name, const char *source) {
    const struct model_tensor *t = model_gguf_find_tensor(c->virt, name), *from = model_gguf_find_tensor(c->g, source);
    assert_non_null(t);
    assert_int_equal(t->type, from->type);
    assert_int_equal(t->bytes, from->bytes);
    assert_memory_equal(c->file + t->offset, c->f.file.data + from->offset, t->bytes);
}

static const struct model_tensor *assert_made(const struct slice_case *c, const char *name, uint64_t rows, const char *bytes, size_t len) {
    const struct model_tensor *t = model_gguf_find_tensor(c->virt, name);
    assert_non_null(t);
    assert_int_equal(t->ne[1], rows);
    for (uint64_t i = 0; i < t->bytes; i++) assert_int_equal(c->file[t->offset + i], bytes[i % len]);
    return t;
}

/* Its memory can be found and given back. */
static const struct model_tensor *assert_unread(const struct slice_case *c, const char *name, uint64_t rows) {
    return assert_made(c, name, rows, PAGES_UNREAD, PAGES_UNREAD_LEN);
}

static const struct model_tensor *assert_zeros(const struct slice_case *c, const char *name, uint64_t rows) {
    return assert_made(c, name, rows, "", 1);
}

static uint64_t number(const struct slice_case *c, const char *suffix, uint64_t i) {
    uint64_t v = UINT64_MAX;
    model_kv_uint(model_gguf_find_arch(c->virt, suffix), i, &v);
    return v;
}

static void the_whole_is_the_file_itself(void **state) {
    (void)state;
    struct slice_case c;
    load(&c, "llama", 6, false);
    cut(&c, 0, 6);
    assert_int_equal(c.len, c.f.file.len);
    assert_memory_equal(c.file, c.f.file.data, c.len);
    assert_true(model_slice_info(c.s)->whole);
    done(&c);
}

static void the_head_has_the_embedding(void **state) {
    (void)state;
    struct slice_case c;
    load(&c, "llama", 6, false);
    cut(&c, 0, 2);
    const struct model_slice_info *info = model_slice_info(c.s);
    assert_true(info->head && !info->tail && !info->whole);
    assert_int_equal(info->n_hidden_in, 0);
    assert_int_equal(info->n_hidden_out, 128);
    assert_string_equal(info->out_tensor, "l_out-1");
    assert_from(&c, "token_embd.weight", "token_embd.weight");
    assert_from(&c, "blk.1.ffn_down.weight", "blk.1.ffn_down.weight");
    assert_null(model_gguf_find_tensor(c.virt, "blk.2.attn_q.weight"));
    assert_true(assert_unread(&c, "output.weight", 40)->bytes < 40 * 128 / 4); /* a type of about a bit */
    assert_int_equal(number(&c, "block_count", 0), 2);
    assert_non_null(model_gguf_find(c.virt, "tokenizer.ggml.model"));
    done(&c);
}

static void the_middle_has_a_small_vocabulary(void **state) {
    (void)state;
    struct slice_case c;
    const char *s = NULL;
    size_t len = 0;
    load(&c, "llama", 6, false);
    cut(&c, 2, 5);
    assert_from(&c, "blk.0.attn_q.weight", "blk.2.attn_q.weight");
    assert_from(&c, "blk.2.ffn_down.weight", "blk.4.ffn_down.weight");
    assert_null(model_gguf_find_tensor(c.virt, "blk.3.attn_q.weight"));
    assert_from(&c, "output_norm.weight", "output_norm.weight");
    assert_unread(&c, "token_embd.weight", 32);
    assert_unread(&c, "output.weight", 32);
    assert_true(model_kv_str(model_gguf_find(c.virt, "tokenizer.ggml.model"), &s, &len) && len == 8 && memcmp(s, "no_vocab", 8) == 0);
    assert_int_equal(number(&c, "vocab_size", 0), 32);
    assert_int_equal(number(&c, "block_count", 0), 3);
    assert_int_equal(number(&c, "leading_dense_block_count", 0), 1);
    done(&c);
}

static void the_tail_has_the_output(void **state) {
    (void)state;
    struct slice_case c;
    load(&c, "llama", 6, false);
    cut(&c, 4, 6);
    const struct model_slice_info *info = model_slice_info(c.s);
    assert_true(info->tail && !info->head);
    assert_int_equal(info->n_hidden_in, 128);
    assert_int_equal(info->n_hidden_out, 0);
    assert_string_equal(info->out_tensor, "");
    assert_from(&c, "output.weight", "output.weight");
    assert_unread(&c, "token_embd.weight", 40);
    assert_int_equal(number(&c, "vocab_size", 0), 40);
    assert_int_equal(number(&c, "leading_dense_block_count", 0), 0);
    done(&c);
    load(&c, "llama", 6, true);
    cut(&c, 4, 6);
    assert_from(&c, "token_embd.weight", "token_embd.weight"); /* tied: the head needs it */
    assert_null(model_gguf_find_tensor(c.virt, "output.weight"));
    done(&c);
}

static void lists_of_layers_are_cut_and_others_are_not(void **state) {
    (void)state;
    struct slice_case c;
    load(&c, "llama", 4, false);
    cut(&c, 1, 3);
    const struct model_kv *list = model_gguf_find_arch(c.virt, "some.list");
    assert_int_equal(list->n, 2);
    assert_int_equal(number(&c, "some.list", 0), 11);
    assert_int_equal(number(&c, "some.list", 1), 12);
    assert_int_equal(model_gguf_find_arch(c.virt, "rope.dimension_sections")->n, 4);
    assert_int_equal(number(&c, "rope.dimension_sections", 0), 20);
    done(&c);
}

static void fix_ups_are_applied(void **state) {
    (void)state;
    struct slice_case c;
    double d = 0;
    load(&c, "gemma", 4, true);
    cut(&c, 0, 2);
    assert_true(model_slice_info(c.s)->input_scale == 1.0f);
    put_away(&c);
    cut(&c, 2, 4);
    assert_true(fabsf(model_slice_info(c.s)->input_scale * sqrtf(128) - 1) < 1e-6f);
    done(&c);
    load(&c, "minicpm", 4, false);
    cut(&c, 2, 4);
    assert_true(model_kv_float(model_gguf_find_arch(c.virt, "embedding_scale"), 0, &d) && d == 1);
    assert_true(model_kv_float(model_gguf_find_arch(c.virt, "residual_scale"), 0, &d) && fabs(d - 0.7) < 1e-6);
    done(&c);
    load(&c, "gpt2", 4, false);
    cut(&c, 0, 2);
    assert_from(&c, "position_embd.weight", "position_embd.weight");
    put_away(&c);
    cut(&c, 2, 4);
    assert_int_equal(assert_zeros(&c, "position_embd.weight", 512)->type, MODEL_TYPE_F32);
    done(&c);
}

/* Rows that replace what the graph computed from token ids: several streams of them; and slices that need the real ids. */
static void rows_enter_by_a_tensor(void **state) {
    (void)state;
    struct slice_case c = {0};
    struct err e = {0};
    load(&c, "bloom", 4, false);
    cut(&c, 0, 2);
    assert_string_equal(model_slice_info(c.s)->in_tensor, ""); /* the head gets tokens as ever */
    put_away(&c);
    cut(&c, 1, 3);
    assert_string_equal(model_slice_info(c.s)->in_tensor, "inp_norm-0");
    assert_true(!model_slice_info(c.s)->ids && !model_slice_info(c.s)->no_embeddings);
    assert_unread(&c, "token_embd.weight", 32);
    done(&c);
    load(&c, "minicpm3", 4, false);
    cut(&c, 0, 2);
    assert_true(model_slice_info(c.s)->scale->rule == MODEL_SCALE_DEPTH && model_slice_info(c.s)->n_layer == 4);
    put_away(&c);
    cut(&c, 0, 4);
    assert_null(model_slice_info(c.s)->scale); /* the whole model knows its layers */
    done(&c);
    load(&c, "talkie", 4, false);
    cut(&c, 1, 3);
    assert_true(model_slice_info(c.s)->ids);
    assert_string_equal(model_slice_info(c.s)->restore_after, "ffn_inp-0");
    assert_from(&c, "token_embd.weight", "token_embd.weight"); /* every layer adds the token's embedding */
    assert_unread(&c, "output.weight", 40);
    done(&c);
    load(&c, "maion-coder", 4, false);
    cut(&c, 0, 2);
    assert_string_equal(model_slice_info(c.s)->out_tensor, "blk.1.post_ffw_norm.weight");
    assert_string_equal(model_slice_info(c.s)->out_op, "ADD");
    done(&c);
    gguf_fixture_llama(&c.f, "qwen4exp", 6, false);
    gguf_fixture_u32(&c.f, "qwen4exp", "hyper_connection.count", 3);
    model_write_array(&c.f.w, "qwen4exp.ple.layers", MODEL_KV_U32, 1);
    model_write_raw(&c.f.w, (uint8_t[4]){4}, 4);
    gguf_fixture_tensor(&c.f, "per_layer_token_embd.weight", MODEL_TYPE_F16, 2, 32, 500);
    gguf_fixture_tensor(&c.f, "blk.4.ple_key.weight", MODEL_TYPE_F16, 2, 128, 32);
    gguf_fixture_close(&c.f);
    struct model_part part = {c.f.file.data, c.f.file.len, c.f.file.len};
    if (model_gguf_from_parts("m.gguf", &part, 1, &c.g, &e) || model_layout_create(c.g, &c.l, &e)) fail_msg("%s", e.text);
    cut(&c, 0, 3);
    assert_null(model_gguf_find_tensor(c.virt, "per_layer_token_embd.weight")); /* libllama wants it only with its layer */
    assert_int_equal(model_gguf_find_arch(c.virt, "ple.layers")->n, 0);
    assert_int_equal(model_slice_info(c.s)->n_hidden_out, 3 * 128);
    put_away(&c);
    cut(&c, 3, 5);
    assert_from(&c, "per_layer_token_embd.weight", "per_layer_token_embd.weight");
    assert_unread(&c, "token_embd.weight", 40); /* the ids have to be ids of the whole vocabulary */
    assert_int_equal(number(&c, "ple.layers", 0), 1);
    const struct model_slice_info *info = model_slice_info(c.s);
    assert_true(info->ids && info->no_embeddings && info->n_hidden_in == 3 * 128 && info->n_hidden_out == 3 * 128);
    done(&c);
}

/* All layers need a value of layer 0: a later slice has such a layer of zeros before its own. */
static void a_layer_of_zeros_stands_before_the_slice(void **state) {
    (void)state;
    struct slice_case c = {0};
    load(&c, "rwkv7", 6, false);
    cut(&c, 0, 2);
    const struct model_slice_info *info = model_slice_info(c.s);
    assert_string_equal(info->carry, "blk.0.time_mix_value.weight");
    assert_string_equal(info->in_tensor, "");
    assert_string_equal(info->out_tensor, "l_out-1");
    assert_true(info->n_lead == 0 && info->n_carried == 128 && info->n_hidden_out == 2 * 128);
    assert_from(&c, "blk.0.attn_q.weight", "blk.0.attn_q.weight");
    put_away(&c);
    cut(&c, 2, 5);
    info = model_slice_info(c.s);
    assert_string_equal(info->in_tensor, "l_out-0");
    assert_string_equal(info->out_tensor, "l_out-3");
    assert_true(info->n_lead == 1 && info->n_hidden_in == 2 * 128 && !info->ids && !info->no_embeddings);
    assert_zeros(&c, "blk.0.attn_q.weight", 32);
    assert_true(assert_zeros(&c, "blk.0.ffn_down.weight", 32)->type != MODEL_TYPE_Q4_0); /* a smaller one */
    assert_int_equal(assert_zeros(&c, "blk.0.attn_norm.weight", 1)->type, MODEL_TYPE_F32);
    assert_from(&c, "blk.1.attn_q.weight", "blk.2.attn_q.weight");
    assert_from(&c, "blk.3.ffn_down.weight", "blk.4.ffn_down.weight");
    assert_null(model_gguf_find_tensor(c.virt, "blk.4.attn_q.weight"));
    assert_int_equal(number(&c, "block_count", 0), 4);
    assert_int_equal(number(&c, "leading_dense_block_count", 0), 2); /* the layer of zeros, and layer 2 */
    assert_int_equal(number(&c, "some.list", 0), 10);
    assert_int_equal(number(&c, "some.list", 1), 12);
    assert_int_equal(number(&c, "some.list", 3), 14);
    assert_int_equal(model_gguf_find_arch(c.virt, "ple.layers")->n, 1);
    assert_int_equal(number(&c, "ple.layers", 0), 3); /* layer 4, behind layers 2 and 3 and the layer of zeros */
    put_away(&c);
    cut(&c, 4, 6);
    assert_int_equal(number(&c, "leading_dense_block_count", 0), 1); /* the layer of zeros alone */
    put_away(&c);
    cut(&c, 0, 6);
    assert_string_equal(model_slice_info(c.s)->carry, "");
    done(&c);
}

/* All slices' ranges together are all of the original's tensors, each byte once (tables that several slices need aside). */
static void ranges_are_the_slices_bytes(void **state) {
    (void)state;
    struct slice_case c;
    load(&c, "llama", 6, false);
    uint8_t *seen = mem_zalloc(c.f.file.len);
    for (uint32_t first = 0; first < 6; first += 2) {
        uint64_t sum = 0;
        cut(&c, first, first + 2);
        for (uint32_t i = 0; i < model_slice_n_ranges(c.s); i++) {
            const struct model_range *r = model_slice_range(c.s, i);
            assert_int_equal(r->part, 0);
            sum += r->len;
            for (uint64_t b = r->offset; b < r->offset + r->len; b++) seen[b]++;
        }
        assert_true(sum >= model_slice_info(c.s)->bytes_weights && sum < model_slice_info(c.s)->bytes_weights + 32 * 20);
        put_away(&c);
    }
    for (size_t i = 0; i < c.f.n_tensors; i++) {
        const struct model_tensor *t = model_gguf_tensor(c.g, i);
        uint8_t want = strcmp(t->name, "output_norm.weight") == 0 ? 3 : 1;
        for (uint64_t b = t->offset; b < t->offset + t->bytes; b++) assert_int_equal(seen[b], want);
    }
    free(seen);
    done(&c);
}

static void the_file_can_be_read_from_anywhere(void **state) {
    (void)state;
    struct slice_case c;
    struct err e = {0};
    FILE *f = NULL;
    uint8_t part[300];
    load(&c, "llama", 6, false);
    cut(&c, 1, 4);
    assert_int_equal(model_slice_open(c.s, read_fixture, &c.f.file, &f, &e), ERR_OK);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    assert_int_equal(ftell(f), (long)c.len);
    assert_int_equal(fgetc(f), EOF);
    for (size_t i = 0; i < 200; i++) {
        size_t at = (i * 7919) % c.len, n = c.len - at < sizeof(part) ? c.len - at : sizeof(part);
        assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
        assert_int_equal(fread(part, 1, n, f), n);
        assert_memory_equal(part, c.file + at, n);
    }
    assert_int_equal(fseek(f, -1, SEEK_SET), -1);
    fclose(f);
    done(&c);
}

static bool read_nothing(void *user, uint32_t part, uint64_t offset, void *buf, size_t len) {
    (void)user, (void)part, (void)offset, (void)buf, (void)len;
    return false;
}

static void a_reader_that_fails_fails_the_read(void **state) {
    (void)state;
    struct slice_case c;
    struct err e = {0};
    FILE *f = NULL;
    load(&c, "llama", 6, false);
    cut(&c, 1, 4);
    assert_int_equal(model_slice_open(c.s, read_nothing, NULL, &f, &e), ERR_OK);
    uint8_t *all = mem_alloc(c.len);
    assert_true(fread(all, 1, c.len, f) < c.len);
    assert_true(ferror(f));
    free(all);
    fclose(f);
    assert_int_equal(model_slice_open(c.s, NULL, NULL, &f, &e), ERR_NOT_FOUND); /* "m.gguf" is not there */
    done(&c);
}

static void impossible_slices_are_refused(void **state) {
    (void)state;
    struct slice_case c;
    struct err e = {0};
    load(&c, "llama", 6, false);
    assert_int_equal(model_slice_create(c.g, c.l, 3, 3, &c.s, &e), ERR_INVALID);
    assert_int_equal(model_slice_create(c.g, c.l, 3, 7, &c.s, &e), ERR_INVALID);
    assert_int_equal(model_slice_create_forced(c.g, c.l, 5, 2, &c.s, &e), ERR_INVALID);
    done(&c);
    load(&c, "dream", 6, false);
    assert_int_equal(model_slice_create(c.g, c.l, 0, 3, &c.s, &e), ERR_WHOLE_ONLY);
    assert_int_equal(model_slice_create(c.g, c.l, 0, 6, &c.s, &e), ERR_OK);
    done(&c);
}

/* Two files joined into one. */
static void a_whole_model_of_two_parts_is_joined(void **state) {
    (void)state;
    struct gguf_fixture f[2];
    struct model_part parts[2];
    struct model_gguf *g = NULL;
    struct model_layout *l = NULL;
    struct model_slice *s = NULL;
    struct err e = {0};
    for (uint32_t i = 0; i < 2; i++) {
        if (i == 0) gguf_fixture_llama(&f[0], "llama", 2, false);
        else gguf_fixture_open(&f[1], NULL);
        model_write_u32(&f[i].w, "split.no", i);
        model_write_u32(&f[i].w, "split.count", 2);
        if (i == 1) gguf_fixture_tensor(&f[1], "rope_freqs.weight", MODEL_TYPE_F32, 1, 16, 1);
        gguf_fixture_close(&f[i]);
        parts[i] = (struct model_part){f[i].file.data, f[i].file.len, f[i].file.len};
    }
    if (model_gguf_from_parts("m-00001-of-00002.gguf", parts, 2, &g, &e) || model_layout_create(g, &l, &e)) fail_msg("%s", e.text);
    assert_string_equal(model_gguf_path(g, 1), "m-00002-of-00002.gguf");
    assert_int_equal(model_slice_create(g, l, 0, 2, &s, &e), ERR_OK);
    assert_int_equal(model_slice_info(s)->bytes_weights, l->bytes_total);
    assert_int_equal(model_slice_range(s, model_slice_n_ranges(s) - 1)->part, 1);
    model_slice_free(s);
    model_layout_free(l);
    model_gguf_free(g);
    for (uint32_t i = 0; i < 2; i++) buf_done(&f[i].file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_is_the_file_itself),
        cmocka_unit_test(the_head_has_the_embedding),
        cmocka_unit_test(the_middle_has_a_small_vocabulary),
        cmocka_unit_test(the_tail_has_the_output),
        cmocka_unit_test(lists_of_layers_are_cut_and_others_are_not),
        cmocka_unit_test(fix_ups_are_applied),
        cmocka_unit_test(rows_enter_by_a_tensor),
        cmocka_unit_test(a_layer_of_zeros_stands_before_the_slice),
        cmocka_unit_test(ranges_are_the_slices_bytes),
        cmocka_unit_test(the_file_can_be_read_from_anywhere),
        cmocka_unit_test(a_reader_that_fails_fails_the_read),
        cmocka_unit_test(impossible_slices_are_refused),
        cmocka_unit_test(a_whole_model_of_two_parts_is_joined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
