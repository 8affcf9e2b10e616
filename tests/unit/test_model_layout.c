/* SPDX-License-Identifier: MIT
 * The layer table, memory estimates, and where the table of architectures lets a model be cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/estimate.h"
#include "model/quirks.h"
#include "support/gguf_fixture.h"

struct layout_case {
    struct gguf_fixture f;
    struct model_gguf *g;
    struct model_layout *l;
};

static err_code finish(struct layout_case *c, struct err *e) {
    gguf_fixture_close(&c->f);
    struct model_part part = {c->f.file.data, c->f.file.len, c->f.file.len};
    *e = (struct err){0};
    c->g = NULL;
    c->l = NULL;
    err_code code = model_gguf_from_parts("m.gguf", &part, 1, &c->g, e);
    return code ? code : model_layout_create(c->g, &c->l, e);
}

static void must(struct layout_case *c) {
    struct err e;
    if (finish(c, &e)) fail_msg("%s", e.text);
}

static void done(struct layout_case *c) {
    model_layout_free(c->l);
    model_gguf_free(c->g);
    buf_done(&c->f.file);
}

static void layers_have_their_tensors(void **state) {
    (void)state;
    struct layout_case c;
    gguf_fixture_llama(&c.f, "llama", 4, false);
    must(&c);
    uint64_t f16 = 128 * 32 * 2, q4 = 128 * 32 / 32 * 18;
    assert_int_equal(c.l->n_layer, 4);
    assert_int_equal(c.l->n_embd, 128);
    assert_int_equal(c.l->n_vocab, 40);
    assert_int_equal(c.l->n_ctx_train, 512);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(c.l->layers[i].bytes, 2 * f16 + q4);
        assert_int_equal(c.l->layers[i].n_tensors, 3);
        for (uint32_t k = 0; k < 3; k++)
            assert_int_equal(model_layer_of_name(model_gguf_tensor(c.g, c.l->layers[i].tensors[k])->name, NULL), i);
    }
    assert_int_equal(c.l->bytes_embd, 128 * 40 * 4);
    assert_int_equal(c.l->bytes_output, 128 * 40 / 32 * 34);
    assert_int_equal(c.l->bytes_shared, 128 * 4);
    assert_int_equal(c.l->bytes_total, c.l->bytes_embd + c.l->bytes_output + c.l->bytes_shared + 4 * (2 * f16 + q4));
    assert_false(c.l->tied);
    /* 2 heads of 128 / 4 for K and for V */
    assert_int_equal(c.l->layers[0].n_k, 64);
    assert_int_equal(model_kv_token_bytes(c.l, 0, MODEL_TYPE_F16, MODEL_TYPE_Q8_0), 128 + 68);
    done(&c);
}

/* gpt2, starcoder, mpt: past the last learned position libllama aborts. */
static void learned_positions_bound_the_context(void **state) {
    (void)state;
    struct layout_case c;
    struct err e = {0};
    uint32_t n_ctx = 0;
    gguf_fixture_llama(&c.f, "gpt2", 2, false);
    gguf_fixture_tensor(&c.f, "position_embd.weight", MODEL_TYPE_F32, 2, 128, 256); /* fewer than the file says it was trained with */
    must(&c);
    assert_int_equal(c.l->n_pos, 256);
    assert_int_equal(model_layout_ctx(c.l, 0, &n_ctx, &e), ERR_OK);
    assert_int_equal(n_ctx, 256);
    assert_int_equal(model_layout_ctx(c.l, 256, &n_ctx, &e), ERR_OK);
    assert_int_equal(n_ctx, 256);
    assert_int_equal(model_layout_ctx(c.l, 257, &n_ctx, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "257 positions is more than the model can: it has learned 256"));
    assert_non_null(strstr(e.hint, "--ctx 256"));
    assert_int_equal(n_ctx, 256);
    done(&c);
    gguf_fixture_llama(&c.f, "llama", 2, false); /* positions that are computed have no end */
    must(&c);
    assert_int_equal(c.l->n_pos, 0);
    assert_int_equal(model_layout_ctx(c.l, 100000, &n_ctx, &e), ERR_OK);
    assert_int_equal(n_ctx, 100000);
    assert_int_equal(model_layout_ctx(c.l, 0, &n_ctx, &e), ERR_OK);
    assert_int_equal(n_ctx, 512);
    done(&c);
}

static void names_of_layers_are_parsed(void **state) {
    (void)state;
    const char *rest = NULL;
    assert_int_equal(model_layer_of_name("blk.12.attn_q.weight", &rest), 12);
    assert_string_equal(rest, "attn_q.weight");
    assert_int_equal(model_layer_of_name("blk.0.x", NULL), 0);
    static const char *const others[] = {"output.weight", "blk.", "blk.x.y", "blk.1", "blk.01.x", "blk.-1.x", "blk.99999999999999.x"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) assert_int_equal(model_layer_of_name(others[i], NULL), -1);
}

static void prediction_layers_are_not_dealt_out(void **state) {
    (void)state;
    struct layout_case c;
    gguf_fixture_llama(&c.f, "glm4moe", 5, false);
    gguf_fixture_u32(&c.f, "glm4moe", "nextn_predict_layers", 1);
    must(&c);
    assert_int_equal(c.l->n_block, 5);
    assert_int_equal(c.l->n_layer, 4);
    assert_true(c.l->layers[4].nextn);
    done(&c);
}

static void models_that_lack_something_are_refused(void **state) {
    (void)state;
    struct layout_case c;
    struct err e;
    gguf_fixture_open(&c.f, "llama");
    assert_int_equal(finish(&c, &e), ERR_FORMAT);
    assert_non_null(strstr(e.text, "llama.block_count"));
    done(&c);
    gguf_fixture_open(&c.f, "clip"); /* what lies beside models */
    assert_int_equal(finish(&c, &e), ERR_UNSUPPORTED);
    assert_non_null(strstr(e.text, "it is a projector, not a model"));
    assert_non_null(strstr(e.hint, "--mmproj"));
    done(&c);
    gguf_fixture_open(&c.f, "llama");
    model_write_str(&c.f.w, "general.type", "adapter");
    assert_int_equal(finish(&c, &e), ERR_UNSUPPORTED);
    assert_non_null(strstr(e.text, "it is an adapter, not a model"));
    done(&c);
    gguf_fixture_open(&c.f, "llama");
    gguf_fixture_u32(&c.f, "llama", "block_count", 100000);
    assert_int_equal(finish(&c, &e), ERR_FORMAT);
    assert_non_null(strstr(e.text, "from 1 to 1024"));
    done(&c);
    gguf_fixture_open(&c.f, "llama");
    gguf_fixture_u32(&c.f, "llama", "block_count", 2);
    gguf_fixture_u32(&c.f, "llama", "embedding_length", 128);
    assert_int_equal(finish(&c, &e), ERR_FORMAT);
    assert_non_null(strstr(e.text, "token_embd.weight"));
    done(&c);
    gguf_fixture_llama(&c.f, "llama", 2, false);
    gguf_fixture_tensor(&c.f, "blk.2.attn_q.weight", MODEL_TYPE_F32, 1, 8, 1);
    assert_int_equal(finish(&c, &e), ERR_FORMAT);
    assert_non_null(strstr(e.text, "\"blk.2.attn_q.weight\" is of a layer"));
    done(&c);
}

/* The cache of a layer: a compressed latent, a window, or a state. */
static void layers_know_what_they_keep(void **state) {
    (void)state;
    struct layout_case c;
    gguf_fixture_open(&c.f, "mixed");
    gguf_fixture_u32(&c.f, "mixed", "block_count", 3);
    gguf_fixture_u32(&c.f, "mixed", "embedding_length", 256);
    gguf_fixture_u32(&c.f, "mixed", "attention.head_count", 4);
    gguf_fixture_u32(&c.f, "mixed", "attention.kv_lora_rank", 96);
    gguf_fixture_u32(&c.f, "mixed", "rope.dimension_count", 32);
    gguf_fixture_u32(&c.f, "mixed", "attention.sliding_window", 100);
    model_write_array(&c.f.w, "mixed.attention.sliding_window_pattern", MODEL_KV_BOOL, 3);
    model_write_raw(&c.f.w, (uint8_t[3]){0, 1, 0}, 3);
    gguf_fixture_u32(&c.f, "mixed", "ssm.conv_kernel", 4);
    gguf_fixture_u32(&c.f, "mixed", "ssm.inner_size", 512);
    gguf_fixture_u32(&c.f, "mixed", "ssm.state_size", 16);
    gguf_fixture_u32(&c.f, "mixed", "ssm.group_count", 2);
    gguf_fixture_tensor(&c.f, "token_embd.weight", MODEL_TYPE_F32, 2, 256, 40);
    gguf_fixture_tensor(&c.f, "blk.0.attn_kv_a_mqa.weight", MODEL_TYPE_F32, 1, 8, 1);
    gguf_fixture_tensor(&c.f, "blk.0.attn_k_b.weight", MODEL_TYPE_F32, 1, 8, 1);
    gguf_fixture_tensor(&c.f, "blk.1.attn_k.weight", MODEL_TYPE_F32, 1, 8, 1);
    gguf_fixture_tensor(&c.f, "blk.2.ssm_conv1d.weight", MODEL_TYPE_F32, 1, 8, 1);
    must(&c);
    assert_int_equal(c.l->layers[0].n_k, 96 + 32);
    assert_int_equal(c.l->layers[0].n_v, 0);
    assert_int_equal(c.l->layers[0].window, 0);
    assert_int_equal(c.l->layers[1].n_k, 256);
    assert_int_equal(c.l->layers[1].window, 100);
    assert_int_equal(c.l->layers[2].n_k, 0);
    assert_int_equal(c.l->layers[2].state_bytes, 4 * (3 * (512 + 2 * 2 * 16) + 16 * 512));
    struct model_load_shape shape = {.n_ctx = 4096, .n_seq = 2, .n_ubatch = 128, .type_k = MODEL_TYPE_F16, .type_v = MODEL_TYPE_F16};
    assert_int_equal(model_estimate_slice(c.l, 0, 1, &shape).kv, 2 * 4096 * 128 * 2);
    assert_int_equal(model_estimate_slice(c.l, 1, 2, &shape).kv, 2 * 256 * 512 * 2); /* 2 x 100 + 128 tokens, in steps of 256 */
    shape.n_seq = 4;
    assert_int_equal(model_estimate_slice(c.l, 1, 2, &shape).kv, 768 * 512 * 2); /* 4 x 100 + 128 */
    shape.streams = true;
    assert_int_equal(model_estimate_slice(c.l, 1, 2, &shape).kv, 4 * 256 * 512 * 2); /* each 100 + 128 */
    shape.streams = false;
    shape.n_seq = 2;
    assert_int_equal(model_estimate_slice(c.l, 2, 3, &shape).kv, 2 * c.l->layers[2].state_bytes);
    done(&c);
}

static void slices_weigh_what_the_model_weighs(void **state) {
    (void)state;
    struct layout_case c;
    struct model_load_shape shape = {.n_ctx = 512, .n_seq = 1};
    gguf_fixture_llama(&c.f, "llama", 6, true);
    must(&c);
    struct model_estimate whole = model_estimate_slice(c.l, 0, 6, &shape);
    assert_int_equal(whole.weights, c.l->bytes_total);
    uint64_t sum = model_estimate_slice(c.l, 0, 2, &shape).weights + model_estimate_slice(c.l, 2, 5, &shape).weights +
                   model_estimate_slice(c.l, 5, 6, &shape).weights;
    assert_int_equal(sum, c.l->bytes_total + 2 * c.l->bytes_shared + c.l->bytes_embd); /* tied: head and tail both have the table */
    assert_int_equal(whole.total, whole.weights + whole.kv + whole.compute);
    done(&c);
    gguf_fixture_llama(&c.f, "llama", 6, false); /* two tables: head and tail each get a made one of about a bit */
    must(&c);
    sum = model_estimate_slice(c.l, 0, 3, &shape).weights + model_estimate_slice(c.l, 3, 6, &shape).weights;
    assert_int_equal(model_estimate_slice(c.l, 0, 6, &shape).weights, c.l->bytes_total);
    uint64_t own = c.l->bytes_total + c.l->bytes_shared;
    assert_true(sum >= own + 2 * 128 * 40 / 8 && sum <= own + 2 * 128 * 40 / 4);
    done(&c);
}

/* ---- where to cut ---- */

static uint32_t cuts_of(const char *arch, uint32_t n_layer, uint32_t *cuts, struct layout_case *c) {
    gguf_fixture_llama(&c->f, arch, n_layer, false);
    must(c);
    return model_quirks_cuts(c->l, cuts, MODEL_MAX_LAYERS + 1);
}

static void cuts_follow_the_table(void **state) {
    (void)state;
    uint32_t cuts[MODEL_MAX_LAYERS + 1];
    struct layout_case c;
    struct err e = {0};
    assert_int_equal(cuts_of("llama", 5, cuts, &c), 6);
    assert_int_equal(model_quirks_check(c.l, 1, 2, &e), ERR_OK);
    done(&c);
    assert_int_equal(cuts_of("smollm3", 12, cuts, &c), 4); /* 0 4 8 12 */
    assert_int_equal(cuts[1], 4);
    assert_int_equal(model_quirks_check(c.l, 4, 12, &e), ERR_OK);
    assert_int_equal(model_quirks_check(c.l, 0, 6, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "before layer 6: its layers repeat with a period of 4"));
    assert_string_equal(e.hint, "the nearest legal cut is before layer 4; slices may begin at 4, 8");
    done(&c);
    assert_int_equal(cuts_of("dream", 12, cuts, &c), 2);
    assert_int_equal(model_quirks_check(c.l, 0, 6, &e), ERR_WHOLE_ONLY);
    assert_non_null(strstr(e.text, "\"dream\" runs whole only: it fills in"));
    assert_int_equal(model_quirks_check(c.l, 0, 12, &e), ERR_OK);
    done(&c);
    assert_int_equal(cuts_of("never-heard-of", 12, cuts, &c), 2);
    assert_int_equal(model_quirks_check(c.l, 0, 6, &e), ERR_WHOLE_ONLY);
    assert_non_null(strstr(e.text, "verify"));
    done(&c);
}

static void numbers_of_layers_that_mean_something_are_avoided(void **state) {
    (void)state;
    uint32_t cuts[MODEL_MAX_LAYERS + 1];
    struct layout_case c;
    struct err e = {0};
    assert_int_equal(cuts_of("baichuan", 32, cuts, &c), 2);
    assert_int_equal(model_quirks_check(c.l, 0, 16, &e), ERR_WHOLE_ONLY);
    assert_non_null(strstr(e.text, "with 32 layers runs whole only"));
    done(&c);
    cuts_of("baichuan", 40, cuts, &c);
    assert_int_equal(model_quirks_check(c.l, 0, 32, &e), ERR_INVALID);
    assert_int_equal(model_quirks_check(c.l, 0, 20, &e), ERR_OK);
    done(&c);
    assert_int_equal(cuts_of("smallthinker", 16, cuts, &c), 3); /* 0 8 16: never four layers */
    assert_int_equal(cuts[1], 8);
    done(&c);
}

/* Layers of two kinds: each slice has both. */
static void every_slice_has_every_kind(void **state) {
    (void)state;
    uint32_t cuts[MODEL_MAX_LAYERS + 1];
    struct layout_case c;
    struct err e = {0};
    static const uint8_t pattern[8] = {1, 1, 0, 1, 1, 1, 0, 1};
    gguf_fixture_llama(&c.f, "gemma3", 8, true);
    gguf_fixture_u32(&c.f, "gemma3", "attention.sliding_window", 64);
    model_write_array(&c.f.w, "gemma3.attention.sliding_window_pattern", MODEL_KV_BOOL, 8);
    model_write_raw(&c.f.w, pattern, sizeof(pattern));
    must(&c);
    assert_int_equal(model_quirks_cuts(c.l, cuts, 9), 3); /* 0 3 8 */
    assert_int_equal(cuts[1], 3);
    assert_int_equal(model_quirks_check(c.l, 2, 6, &e), ERR_OK);
    assert_int_equal(model_quirks_check(c.l, 3, 6, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "no layer with full attention"));
    assert_string_equal(e.hint, "slices may begin at 3"); /* neither of its bounds can be moved alone */
    done(&c);
    gguf_fixture_llama(&c.f, "gemma3", 18, true); /* a rule and no list: at its period only */
    gguf_fixture_u32(&c.f, "gemma3", "attention.sliding_window", 64);
    must(&c);
    assert_int_equal(model_quirks_cuts(c.l, cuts, 19), 4);
    assert_int_equal(model_quirks_check(c.l, 0, 9, &e), ERR_INVALID);
    assert_int_equal(model_quirks_check(c.l, 6, 18, &e), ERR_OK);
    done(&c);
}

/* Layers that repeat by a rule: no slice is shorter than the period, not even the last one of a model that is no multiple of it. */
static void a_slice_has_a_whole_period(void **state) {
    (void)state;
    uint32_t cuts[MODEL_MAX_LAYERS + 1];
    struct layout_case c;
    struct err e = {0};
    assert_int_equal(cuts_of("llama4", 10, cuts, &c), 3); /* 0 4 10 */
    assert_int_equal(model_quirks_check(c.l, 4, 10, &e), ERR_OK);
    assert_int_equal(model_quirks_check(c.l, 8, 10, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "it needs 4 layers"));
    assert_string_equal(e.hint, "the nearest legal cut is before layer 4; slices may begin at 4");
    done(&c);
    gguf_fixture_llama(&c.f, "maion-coder", 8, false); /* by the file: every third layer has experts */
    gguf_fixture_u32(&c.f, "maion-coder", "interleave_moe_layer_step", 3);
    must(&c);
    assert_int_equal(model_quirks_cuts(c.l, cuts, 9), 4); /* 0 3 6 8 */
    assert_int_equal(model_quirks_check(c.l, 0, 4, &e), ERR_INVALID);
    done(&c);
}

/* A layer without an indexer looks where an earlier one's says, so it is never the first of a slice. */
static void a_slice_begins_with_its_own_indexer(void **state) {
    (void)state;
    uint32_t cuts[MODEL_MAX_LAYERS + 1];
    struct layout_case c;
    struct err e = {0};
    gguf_fixture_llama(&c.f, "hy_v4", 6, false);
    model_write_array(&c.f.w, "hy_v4.attention.indexer.types", MODEL_KV_U32, 6);
    for (uint32_t i = 0; i < 6; i++) {
        char name[64];
        model_write_raw(&c.f.w, (uint8_t[4]){i % 3 == 0}, 4);
        snprintf(name, sizeof(name), "blk.%u.indexer.proj.weight", i);
        if (i % 3 == 0) gguf_fixture_tensor(&c.f, name, MODEL_TYPE_F16, 2, 128, 32);
    }
    must(&c);
    assert_int_equal(model_quirks_cuts(c.l, cuts, 7), 3); /* 0 3 6 */
    assert_int_equal(cuts[1], 3);
    assert_int_equal(model_quirks_check(c.l, 0, 3, &e), ERR_OK);
    assert_int_equal(model_quirks_check(c.l, 4, 6, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "before layer 4: it has no indexer"));
    assert_string_equal(e.hint, "the nearest legal cut is before layer 3; slices may begin at 3");
    done(&c);
}

static const struct model_layout *layout_of(const char *arch) {
    static struct model_layout l;
    snprintf(l.arch, sizeof(l.arch), "%s", arch);
    return &l;
}

static const struct model_quirks *quirks_of(const char *arch) { return model_quirks_find(layout_of(arch)); }

/* No architecture has two rows, and rows that say WHOLE give the reason. */
static void the_table_is_sound(void **state) {
    (void)state;
#define QUIRK(arch, split, cut, period, fixups, out, note) {arch, MODEL_SPLIT_##split, period, out, note},
    static const struct {
        const char *arch;
        enum model_split split;
        uint32_t period;
        const char *out, *note;
    } rows[] = {
#include "../../tables/quirks.def"
    };
#undef QUIRK
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (i) assert_true(strcmp(rows[i - 1].arch, rows[i].arch) < 0);
        assert_ptr_not_equal(quirks_of(rows[i].arch), quirks_of("never-heard-of"));
        assert_true(rows[i].period >= 1 && rows[i].out[0] != '\0');
        if (rows[i].split == MODEL_SPLIT_WHOLE) assert_true(rows[i].note[0] != '\0');
    }
#define QUIRK_ENTRY(arch, tensor, streams, ids, restore, carry) arch,
    static const char *const entries[] = {
#include "../../tables/quirks_entry.def"
    };
#undef QUIRK_ENTRY
    for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
        if (i) assert_true(strcmp(entries[i - 1], entries[i]) < 0);
        assert_string_equal(quirks_of(entries[i])->arch, entries[i]);
        assert_true(quirks_of(entries[i])->split != MODEL_SPLIT_WHOLE);
    }
}

static void one_pool_is_not_exact(void **state) {
    (void)state;
    struct err e = {0};
    assert_int_equal(model_quirks_check_exact(layout_of("llama"), &e), ERR_OK);
    assert_int_equal(model_quirks_check_exact(layout_of("plamo2"), &e), ERR_UNSUPPORTED);
    assert_non_null(strstr(e.text, "\"plamo2\" cannot be served with --exact"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_have_their_tensors),
        cmocka_unit_test(learned_positions_bound_the_context),
        cmocka_unit_test(names_of_layers_are_parsed),
        cmocka_unit_test(one_pool_is_not_exact),
        cmocka_unit_test(prediction_layers_are_not_dealt_out),
        cmocka_unit_test(models_that_lack_something_are_refused),
        cmocka_unit_test(layers_know_what_they_keep),
        cmocka_unit_test(slices_weigh_what_the_model_weighs),
        cmocka_unit_test(cuts_follow_the_table),
        cmocka_unit_test(numbers_of_layers_that_mean_something_are_avoided),
        cmocka_unit_test(every_slice_has_every_kind),
        cmocka_unit_test(a_slice_has_a_whole_period),
        cmocka_unit_test(a_slice_begins_with_its_own_indexer),
        cmocka_unit_test(the_table_is_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
