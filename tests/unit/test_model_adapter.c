/* SPDX-License-Identifier: MIT
 * Adapters: which files fit a model, and the part of one that belongs to a slice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "model/adapter.h"
#include "support/gguf_fixture.h"

enum { LAYERS = 6 };

/* A model and an adapter, both in memory. */
struct pair {
    struct gguf_fixture model, adapter;
    struct model_gguf *g, *a;
    struct model_layout *l;
};

static struct model_gguf *read_header(const char *name, const struct gguf_fixture *f) {
    struct model_gguf *g = NULL;
    struct err e = {0};
    struct model_part part = {f->file.data, f->file.len, f->file.len};
    if (model_gguf_from_parts(name, &part, 1, &g, &e) != ERR_OK) fail_msg("%s", e.text);
    return g;
}

static void begin(struct pair *p, const char *arch, bool tied) {
    struct err e = {0};
    memset(p, 0, sizeof(*p));
    gguf_fixture_llama(&p->model, "llama", LAYERS, tied);
    gguf_fixture_close(&p->model);
    p->g = read_header("model.gguf", &p->model);
    if (model_layout_create(p->g, &p->l, &e) != ERR_OK) fail_msg("%s", e.text);
    gguf_fixture_open(&p->adapter, arch);
}

static void kind(struct pair *p, const char *general, const char *type) {
    model_write_str(&p->adapter.w, "general.type", general);
    model_write_str(&p->adapter.w, "adapter.type", type);
}

/* Matrices of rank 4 for a tensor of `in` x `out`. */
static void change(struct pair *p, const char *name, uint64_t in, uint64_t out) {
    char full[80];
    snprintf(full, sizeof(full), "%s.lora_a", name);
    gguf_fixture_tensor(&p->adapter, full, MODEL_TYPE_F32, 2, in, 4);
    snprintf(full, sizeof(full), "%s.lora_b", name);
    gguf_fixture_tensor(&p->adapter, full, MODEL_TYPE_F16, 2, 4, out);
}

static void end(struct pair *p) {
    gguf_fixture_close(&p->adapter);
    p->a = read_header("adapter.gguf", &p->adapter);
}

static void done(struct pair *p) {
    model_layout_free(p->l);
    model_gguf_free(p->g);
    model_gguf_free(p->a);
    buf_done(&p->model.file);
    buf_done(&p->adapter.file);
}

static void assert_refused(struct pair *p, err_code code, const char *why) {
    struct err e = {0};
    end(p);
    assert_int_equal(model_adapter_check(p->a, p->l, &e), code);
    if (strstr(e.text, why) == NULL) fail_msg("expected \"%s\" in: %s", why, e.text);
    done(p);
}

/* ---- which files fit ---- */

static void other_files_are_refused(void **state) {
    (void)state;
    struct pair p;
    begin(&p, "llama", false);
    assert_refused(&p, ERR_UNSUPPORTED, "is no adapter");
    begin(&p, "llama", false);
    kind(&p, "adapter", "dora");
    assert_refused(&p, ERR_UNSUPPORTED, "another type than LoRA");
    begin(&p, "qwen2", false);
    kind(&p, "adapter", "lora");
    assert_refused(&p, ERR_INVALID, "for the architecture \"qwen2\", and the model's is \"llama\"");
    begin(&p, "llama", false);
    kind(&p, "adapter", "lora");
    model_write_array(&p.adapter.w, "adapter.alora.invocation_tokens", MODEL_KV_U32, 1);
    model_write_raw(&p.adapter.w, (uint8_t[4]){1}, 4);
    assert_refused(&p, ERR_UNSUPPORTED, "aLoRA");
}

static void other_tensors_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint64_t in, out;
        const char *why;
    } cases[] = {
        {"blk.9.attn_q.weight", 128, 32, "the model has no tensor \"blk.9.attn_q.weight\""},
        {"blk.1.attn_q.weight", 96, 32, "tensor \"blk.1.attn_q.weight.lora_a\": 96 x 4 does not fit the model's 128 x 32"},
        {"blk.1.attn_q.weight", 128, 64, "tensor \"blk.1.attn_q.weight.lora_b\": 4 x 64 does not fit"},
    };
    struct pair p;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        begin(&p, "llama", false);
        kind(&p, "adapter", "lora");
        change(&p, cases[i].name, cases[i].in, cases[i].out);
        assert_refused(&p, ERR_INVALID, cases[i].why);
    }
    begin(&p, "llama", false);
    kind(&p, "adapter", "lora");
    gguf_fixture_tensor(&p.adapter, "blk.1.attn_q.weight.lora_a", MODEL_TYPE_F32, 2, 128, 4);
    assert_refused(&p, ERR_INVALID, "tensor \"blk.1.attn_q.weight.lora_b\" is missing");
    begin(&p, "llama", false);
    kind(&p, "adapter", "lora");
    gguf_fixture_tensor(&p.adapter, "blk.1.attn_q.weight", MODEL_TYPE_F32, 2, 128, 32);
    assert_refused(&p, ERR_UNSUPPORTED, "neither a lora_a nor a lora_b");
    begin(&p, "llama", true);
    kind(&p, "adapter", "lora");
    change(&p, "token_embd.weight", 4, 128);
    assert_refused(&p, ERR_UNSUPPORTED, "the model's output table, too");
}

/* The first matrix of an embedding has a row for each token. */
static void an_embedding_is_looked_up(void **state) {
    (void)state;
    struct pair p;
    struct err e = {0};
    begin(&p, "llama", false);
    kind(&p, "adapter", "lora");
    gguf_fixture_tensor(&p.adapter, "token_embd.weight.lora_a", MODEL_TYPE_F32, 2, 4, 40);
    gguf_fixture_tensor(&p.adapter, "token_embd.weight.lora_b", MODEL_TYPE_F32, 2, 4, 128);
    end(&p);
    assert_int_equal(model_adapter_check(p.a, p.l, &e), ERR_OK);
    done(&p);
}

/* ---- parts ---- */

static bool read_fixture(void *user, uint32_t part, uint64_t offset, void *buf, size_t len) {
    const struct buf *file = user;
    if (part != 0 || offset > file->len || len > file->len - offset) return false;
    memcpy(buf, file->data + offset, len);
    return true;
}

static void fill(struct pair *p) {
    begin(p, "llama", false);
    kind(p, "adapter", "lora");
    model_write_f32(&p->adapter.w, "adapter.lora.alpha", 8);
    change(p, "output.weight", 128, 40);
    change(p, "blk.1.attn_q.weight", 128, 32);
    change(p, "blk.2.ffn_down.weight", 128, 32);
    change(p, "blk.4.attn_k.weight", 128, 32);
    end(p);
}

/* The slice's file, read as a GGUF. */
static struct model_gguf *cut(struct pair *p, uint32_t first, uint32_t last, uint8_t **ret_file, uint64_t *ret_bytes) {
    struct err e = {0};
    struct model_slice *s = NULL;
    struct model_gguf *g = NULL;
    FILE *f = NULL;
    if (model_adapter_slice(p->a, p->l, first, last, &s, &e) != ERR_OK) fail_msg("%s", e.text);
    if (model_slice_open(s, read_fixture, &p->adapter.file, &f, &e) != ERR_OK) fail_msg("%s", e.text);
    size_t len = (size_t)model_slice_info(s)->file_size;
    *ret_file = mem_alloc(len + 1);
    *ret_bytes = model_slice_info(s)->bytes_weights;
    assert_int_equal(fread(*ret_file, 1, len + 1, f), len);
    fclose(f);
    struct model_part part = {*ret_file, len, len};
    if (model_gguf_from_parts("slice", &part, 1, &g, &e) != ERR_OK) fail_msg("%s", e.text);
    model_slice_free(s);
    return g;
}

static void assert_from(const struct pair *p, const struct model_gguf *g, const uint8_t *file, const char *name, const char *source) {
    const struct model_tensor *t = model_gguf_find_tensor(g, name), *from = model_gguf_find_tensor(p->a, source);
    assert_non_null(t);
    assert_int_equal(t->bytes, from->bytes);
    assert_memory_equal(file + t->offset, p->adapter.file.data + from->offset, t->bytes);
}

static void a_slice_has_its_layers_part(void **state) {
    (void)state;
    struct pair p;
    uint8_t *file;
    uint64_t bytes;
    float alpha = 0;
    fill(&p);
    struct model_gguf *g = cut(&p, 2, 5, &file, &bytes);
    assert_int_equal(model_gguf_n_tensors(g), 4);
    assert_from(&p, g, file, "blk.0.ffn_down.weight.lora_a", "blk.2.ffn_down.weight.lora_a");
    assert_from(&p, g, file, "blk.2.attn_k.weight.lora_b", "blk.4.attn_k.weight.lora_b");
    memcpy(&alpha, model_gguf_find(g, "adapter.lora.alpha")->data, sizeof(alpha));
    assert_true(alpha == 8);
    assert_int_equal(bytes, 2 * (4 * 128 * 4 + 2 * 4 * 32));
    model_gguf_free(g);
    free(file);
    done(&p);
}

static void the_output_belongs_to_the_tail(void **state) {
    (void)state;
    struct pair p;
    uint8_t *file;
    uint64_t bytes, of[LAYERS] = {0};
    fill(&p);
    struct model_gguf *g = cut(&p, 5, 6, &file, &bytes);
    assert_int_equal(model_gguf_n_tensors(g), 2);
    assert_from(&p, g, file, "output.weight.lora_a", "output.weight.lora_a");
    model_gguf_free(g);
    free(file);
    struct err e = {0};
    struct model_slice *none = NULL;
    assert_int_equal(model_adapter_slice(p.a, p.l, 0, 1, &none, &e), ERR_OK);
    assert_int_equal(model_slice_info(none)->bytes_weights, 0);
    model_slice_free(none);
    model_adapter_bytes(p.a, p.l, of);
    assert_int_equal(of[5], bytes);
    assert_true(of[0] == 0 && of[1] > 0 && of[2] > 0 && of[3] == 0 && of[4] > 0);
    done(&p);
}

/* ---- the option ---- */

static void names_and_scales_are_read(void **state) {
    (void)state;
    struct model_adapter list[MODEL_MAX_ADAPTERS];
    struct err e = {0};
    uint32_t n = 7;
    assert_int_equal(model_adapters_parse("", list, &n, &e), ERR_OK);
    assert_int_equal(n, 0);
    assert_int_equal(model_adapters_parse("a.gguf,/b:c/d.gguf:-0.5,e:x", list, &n, &e), ERR_OK);
    assert_int_equal(n, 3);
    assert_string_equal(list[0].path, "a.gguf");
    assert_true(list[0].scale == 1);
    assert_string_equal(list[1].path, "/b:c/d.gguf");
    assert_true(list[1].scale == -0.5);
    assert_string_equal(list[2].path, "e:x");
    assert_int_equal(model_adapters_parse("a,,b", list, &n, &e), ERR_INVALID);
    assert_int_equal(model_adapters_parse("a:inf", list, &n, &e), ERR_INVALID);
    assert_int_equal(model_adapters_parse("a:1001", list, &n, &e), ERR_INVALID); /* no stage would take it */
    assert_int_equal(model_adapters_parse("1,2,3,4,5,6,7,8,9", list, &n, &e), ERR_LIMIT);
    char text[64];
    assert_int_equal(model_adapters_absolute("nothere.gguf:2", text, sizeof(text), &e), ERR_NOT_FOUND);
    assert_int_equal(model_adapters_absolute("/dev/null:2,/dev/zero", text, sizeof(text), &e), ERR_OK);
    assert_string_equal(text, "/dev/null:2,/dev/zero:1");
    assert_int_equal(model_adapters_absolute("/dev/null:2,/dev/zero", text, 20, &e), ERR_LIMIT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_files_are_refused),        cmocka_unit_test(other_tensors_are_refused),
        cmocka_unit_test(an_embedding_is_looked_up),      cmocka_unit_test(a_slice_has_its_layers_part),
        cmocka_unit_test(the_output_belongs_to_the_tail), cmocka_unit_test(names_and_scales_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
