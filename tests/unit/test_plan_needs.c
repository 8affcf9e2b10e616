/* SPDX-License-Identifier: MIT
 * What slices of the demo model take, as a forked process has asked libllama; the needs of a plan that follow from it; JSON both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "model/types.h"
#include "os/runtime.h"
#include "plan/model.h"
#include "plan/needs.h"

static struct model_gguf *gguf;
static struct model_layout *layout;
static struct engine_load load;
static struct needs needs;

static void each_class_is_measured(void **state) {
    (void)state;
    const struct needs_slice *all = &needs.slices[NEEDS_WHOLE];
    assert_int_equal(all->first, 0);
    assert_int_equal(all->end, layout->n_layer);
    for (int i = 0; i < NEEDS_CLASSES; i++) {
        const struct needs_slice *s = &needs.slices[i];
        assert_true(s->end > s->first && s->weights > 0 && s->kv > 0 && s->compute > 0 && s->process > 0);
        assert_int_equal((s->first == 0) + 2 * (s->end == layout->n_layer), i);
        assert_true(s->weights <= all->weights && s->kv <= all->kv && s->process < 256 << 20);
    }
    assert_int_equal(all->kv,
                     (uint64_t)load.n_ctx * load.n_seq * layout->n_layer * model_kv_token_bytes(layout, 0, MODEL_TYPE_F16, MODEL_TYPE_F16));
}

/* In a model that libllama cannot load nothing is known, and nothing else happens. */
static void what_fails_stays_unknown(void **state) {
    (void)state;
    struct engine_load bad = load;
    struct needs none;
    snprintf(bad.cache_type_k, sizeof(bad.cache_type_k), "q9");
    needs_measure(gguf, layout, &bad, &none);
    for (int i = 0; i < NEEDS_CLASSES; i++) assert_int_equal(none.slices[i].end, 0);
}

/* libllama makes tables of all cells, so such a load would take gigabytes just to be measured. */
static void a_load_of_very_many_cells_is_not_measured(void **state) {
    (void)state;
    struct engine_load many = load;
    struct needs none = needs;
    many.n_ctx = 1000000;
    many.n_seq = 64;
    needs_measure(gguf, layout, &many, &none);
    for (int i = 0; i < NEEDS_CLASSES; i++) assert_int_equal(none.slices[i].end, 0);
}

static struct plan_source *source(void) {
    struct model_load_shape shape = {.n_ctx = load.n_ctx,
                                     .n_seq = load.n_seq,
                                     .n_ubatch = engine_load_ubatch(&load),
                                     .type_k = MODEL_TYPE_F16,
                                     .type_v = MODEL_TYPE_F16};
    return plan_source_create(layout, &shape, "demo");
}

static uint64_t sum(const struct needs_slice *s) {
    uint64_t rest = s->compute + s->process;
    return s->weights + s->kv + (rest > MODEL_ESTIMATE_FIXED ? rest : MODEL_ESTIMATE_FIXED);
}

static void assert_near(uint64_t a, uint64_t b) { assert_true(a < b + b / 50 && b < a + a / 50); }

static void plans_need_what_was_measured(void **state) {
    (void)state;
    struct plan_source *s = source();
    const struct plan_model *m = plan_source_model(s);
    uint64_t estimated = m->need(m->user, 0, 4);
    plan_source_measuring(s);
    assert_true(m->pending);
    plan_source_measured(s, NULL);
    assert_false(m->pending);
    assert_int_equal(m->need(m->user, 0, 4), estimated);
    plan_source_measured(s, &needs);
    for (int i = 0; i < NEEDS_CLASSES; i++)
        assert_near(m->need(m->user, needs.slices[i].first, needs.slices[i].end), sum(&needs.slices[i]));
    plan_source_correct(s, 1, 2); /* what is known is not corrected by what other nodes report */
    assert_near(m->need(m->user, 0, layout->n_layer), sum(&needs.slices[NEEDS_WHOLE]));
    plan_source_free(s);
}

/* A processor with larger layouts, such as one with AMX. */
static void layouts_of_the_processor_count(void **state) {
    (void)state;
    struct plan_source *s = source();
    const struct plan_model *m = plan_source_model(s);
    struct needs larger = needs;
    for (int i = 0; i < NEEDS_CLASSES; i++) {
        larger.slices[i].weights += larger.slices[i].weights / 10;
        larger.slices[i].process += 20 << 20; /* and a large vocabulary */
    }
    plan_source_measured(s, &larger);
    for (int i = 0; i < NEEDS_CLASSES; i++)
        assert_near(m->need(m->user, larger.slices[i].first, larger.slices[i].end), sum(&larger.slices[i]));
    plan_source_free(s);
}

/* What a GPU needs to compute is what was measured on it; RAM beside it keeps the estimate. */
static void gpus_count_as_measured(void **state) {
    (void)state;
    struct plan_source *s = source();
    const struct plan_model *m = plan_source_model(s);
    struct needs on_gpus = needs;
    struct plan_parts before, after;
    m->parts(m->user, 0, 4, &before);
    on_gpus.slices[NEEDS_FIRST].gpu = 5 << 20;
    on_gpus.slices[NEEDS_FIRST].apart = 7 << 20;
    plan_source_measured(s, &on_gpus);
    m->parts(m->user, 0, 4, &after);
    assert_int_equal(after.gpu, 5 << 20);
    assert_int_equal(after.apart, 2 << 20);
    assert_int_equal(before.process, MODEL_ESTIMATE_FIXED);
    assert_int_equal(after.process, needs.slices[NEEDS_FIRST].process); /* in RAM, even where GPUs compute everything */
    assert_true(after.beside >= after.ram && after.beside >= before.gpu);
    m->parts(m->user, 4, 8, &after); /* of this class nothing is known */
    assert_true(after.gpu > 7 << 20);
    plan_source_free(s);
}

static void json_both_ways(void **state) {
    (void)state;
    yyjson_mut_doc *doc = json_new();
    struct needs again, some = needs;
    struct err e = {0};
    struct buf b;
    yyjson_doc *read = NULL;
    buf_init(&b, 1 << 16);
    some.slices[NEEDS_MIDDLE] = (struct needs_slice){0};
    some.slices[NEEDS_LAST].gpu = 5;
    some.slices[NEEDS_LAST].apart = 6;
    needs_put(&some, doc, yyjson_mut_doc_get_root(doc));
    json_write(&b, doc);
    assert_int_equal(json_parse(buf_cstr(&b), b.len, &read, &e), ERR_OK);
    assert_int_equal(needs_get(yyjson_doc_get_root(read), &again, &e), ERR_OK);
    assert_memory_equal(&again, &some, sizeof(some));
    yyjson_doc_free(read);
    static const char *const bad[] = {"[]", "{\"whole\": {\"first\": 4, \"end\": 4}}", "{\"last\": {\"first\": 1, \"end\": 99999999}}",
                                      "{\"last\": {\"first\": 1, \"end\": 2, \"kv\": -1}}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(json_parse(bad[i], strlen(bad[i]), &read, &e), ERR_OK);
        assert_int_not_equal(needs_get(yyjson_doc_get_root(read), &again, &e), ERR_OK);
        yyjson_doc_free(read);
    }
    yyjson_mut_doc_free(doc);
    buf_done(&b);
}

static void the_key_tells_ways_of_loading_apart(void **state) {
    (void)state;
    struct engine_load other = load;
    char *a = needs_key("id", &load), *b = needs_key("id", &other);
    assert_string_equal(a, b);
    free(b);
    other.n_ctx++;
    b = needs_key("id", &other);
    assert_string_not_equal(a, b);
    free(a);
    free(b);
}

static int measure(void **state) {
    (void)state;
    const char *root = getenv("CARAVAN_SOURCE");
    char *path = mem_printf("%s/models/caravan-demo.gguf", root ? root : ".");
    struct err e = {0};
    engine_load_init(&load);
    load.n_ctx = 1024;
    load.n_seq = 2;
    snprintf(load.backends, sizeof(load.backends), "%s", os_backends_dir);
    bool open = model_gguf_open(path, &gguf, &e) == ERR_OK && model_layout_create(gguf, &layout, &e) == ERR_OK;
    free(path);
    if (!open) return -1;
    needs_measure(gguf, layout, &load, &needs);
    return 0;
}

static int done(void **state) {
    (void)state;
    model_layout_free(layout);
    model_gguf_free(gguf);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_class_is_measured),
                                       cmocka_unit_test(what_fails_stays_unknown),
                                       cmocka_unit_test(a_load_of_very_many_cells_is_not_measured),
                                       cmocka_unit_test(plans_need_what_was_measured),
                                       cmocka_unit_test(layouts_of_the_processor_count),
                                       cmocka_unit_test(gpus_count_as_measured),
                                       cmocka_unit_test(json_both_ways),
                                       cmocka_unit_test(the_key_tells_ways_of_loading_apart)};
    return cmocka_run_group_tests(tests, measure, done);
}
