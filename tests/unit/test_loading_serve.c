/* SPDX-License-Identifier: MIT
 * The coordinator core in a node: a model is made out of its file, and the core's actions reach their nodes, with all that they need. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "support/node_fixture.h"

static const char *program;

static struct serve_file *demo(struct bench *b) {
    const char *source = getenv("CARAVAN_SOURCE");
    struct serve_file *file = NULL;
    struct err e = {0};
    char path[512];
    assert_non_null(source);
    snprintf(path, sizeof(path), "%s/models/caravan-demo.gguf", source);
    if (files_open_now(b->files, path, &file, &e) != ERR_OK) fail_msg("%s", e.text);
    return file;
}

static err_code open_as(struct bench *b, struct serve_file *file, const char *name, const struct load_wish *wish, struct err *e) {
    err_code code = serve_open(b->serve, file, name, wish, e);
    if (code == ERR_OK) serve_update(b->serve);
    return code;
}

/* The stage that was ordered here is ready. */
static void ready(struct bench *b) {
    struct stage_report *r = MEM_NEW(struct stage_report);
    memcpy(r->instance, b->ordered.instance, sizeof(r->instance));
    r->epoch = b->ordered.epoch;
    r->stage = b->ordered.stage;
    r->state.phase = STAGE_READY;
    serve_report(b->serve, bench_self(b), r);
    free(r);
}

/* ---- tests ---- */

static void a_model_is_ordered_as_it_was_wished(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct serve_file *file = demo(b);
    struct load_wish wish = {0};
    struct err e = {0};
    b->memory = UINT64_C(1) << 40;
    b->options.latency_ms = 123;
    wish_set(&wish, WISH_CTX, 64);
    wish_set(&wish, WISH_PARALLEL, 3);
    wish_set(&wish, WISH_SPECULATE, 5);
    wish_set_text(&wish, WISH_CACHE_TYPE_K, "q8_0");
    assert_int_equal(open_as(b, file, "demo", &wish, &e), ERR_OK);
    assert_int_equal(b->n_ordered, 1);
    const struct stage_order *o = &b->ordered;
    assert_true(o->first == 0 && o->end == file->layout->n_layer && o->n_stage == 1);
    assert_true(o->load.n_ctx == 64 && o->load.n_seq == 3 && o->options.n_draft == 5);
    assert_string_equal(o->load.cache_type_k, "q8_0");
    assert_string_equal(o->load.cache_type_v, b->load.cache_type_v); /* nothing was said: the node's own option */
    assert_int_equal(o->options.latency_ms, 123);
    assert_string_equal(o->model, file->card.id);
    assert_true(o->need > 0 && o->source_node == bench_self(b) && o->next_node == bench_self(b));
    const struct record_model *m = coordinator_get(b->core, 0);
    assert_false(m->ready);
    assert_int_equal(m->n_ctx, 64);
    assert_int_equal(m->n_layer, file->layout->n_layer);
    ready(b);
    assert_true(coordinator_get(b->core, 0)->ready);
    struct coordinator_claim c;
    assert_true(serve_claimed(b->serve, "demo", &c));
    assert_int_equal(c.node, bench_self(b));
    assert_false(serve_claimed(b->serve, "demi", &c));
    bench_free(b);
}

static void prompts_are_computed_in_steps_as_the_processor_likes_them(void **state) {
    (void)state;
    static const struct {
        uint32_t measured, said;
        bool exact;
        uint32_t n_ubatch;
    } cases[] = {{0, 0, false, 0}, {512, 0, false, 512}, {64, 0, false, 0}, {512, 128, false, 128}, {512, 0, true, 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bench *b = bench_make(program);
        struct load_wish wish = {0};
        struct err e = {0};
        b->memory = UINT64_C(1) << 40;
        b->profile = (struct profile){.n_devices = 1, .devices = {{.name = "CPU", .step = cases[i].measured}}};
        wish_set(&wish, WISH_EXACT, cases[i].exact);
        if (cases[i].said > 0) wish_set(&wish, WISH_UBATCH, cases[i].said);
        assert_int_equal(open_as(b, demo(b), "demo", &wish, &e), ERR_OK);
        assert_int_equal(b->ordered.load.n_ubatch, cases[i].n_ubatch);
        bench_free(b);
    }
}

static void a_wish_that_cannot_be_is_refused(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct serve_file *file = demo(b);
    struct load_wish wish = {0};
    struct err e = {0};
    wish_set_text(&wish, WISH_CACHE_TYPE_K, "q9_9");
    assert_int_equal(open_as(b, file, "demo", &wish, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "q9_9"));
    memset(&wish, 0, sizeof(wish));
    wish_set_text(&wish, WISH_PLACEMENT, "everywhere");
    assert_int_not_equal(open_as(b, file, "demo", &wish, &e), ERR_OK);
    assert_int_equal(coordinator_count(b->core), 0);
    assert_int_equal(b->n_ordered, 0);
    bench_free(b);
}

static void a_model_is_loaded_once(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct serve_file *file = demo(b);
    struct load_wish wish = {0};
    struct err e = {0};
    b->memory = UINT64_C(1) << 40;
    assert_int_equal(serve_again(b->serve, "demo", &wish, &e), ERR_NOT_FOUND);
    assert_int_equal(open_as(b, file, "demo", &wish, &e), ERR_OK);
    assert_int_equal(open_as(b, file, "demo", &wish, &e), ERR_OK);
    assert_int_equal(coordinator_count(b->core), 1);
    assert_int_equal(b->n_ordered, 1);
    assert_false(coordinator_get(b->core, 0)->wish.kept);
    wish_set(&wish, WISH_KEPT, true);
    assert_int_equal(serve_again(b->serve, "demo", &wish, &e), ERR_OK);
    assert_true(coordinator_get(b->core, 0)->wish.kept); /* now somebody has loaded it by hand */
    wish_set(&wish, WISH_CTX, coordinator_get(b->core, 0)->wish.ctx + 1);
    assert_int_equal(serve_again(b->serve, "demo", &wish, &e), ERR_STALE); /* it is not what was asked for */
    assert_int_equal(open_as(b, file, "demo", &wish, &e), ERR_STALE);
    assert_string_equal(e.field, "ctx");
    wish_set(&wish, WISH_CTX, coordinator_get(b->core, 0)->wish.ctx);
    assert_int_equal(open_as(b, file, "demo", &wish, &e), ERR_OK);
    assert_string_equal(serve_name(b->serve, file->path), "demo");
    serve_rename(b->serve, "demo", "demo:0123");
    assert_string_equal(serve_name(b->serve, file->path), "demo:0123");
    assert_string_equal(coordinator_get(b->core, 0)->name, "demo:0123");
    assert_null(serve_name(b->serve, "/elsewhere.gguf"));
    bench_free(b);
}

/* The other node has the room, and this one has not. */
static void an_order_goes_to_another_node(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct serve_file *file = demo(b);
    const struct load_wish wish = {0};
    struct err e = {0};
    struct stage_order *o = MEM_NEW(struct stage_order);
    b->memory = 1;
    bench_other_serves(b, "another", bench_other(b), true);
    b->records.linked[0]->memory = UINT64_C(1) << 40;
    assert_int_equal(open_as(b, file, "demo", &wish, &e), ERR_OK);
    assert_int_equal(b->n_ordered, 0);
    const struct bench_frame *f = bench_hear(b, FRAME_LOAD);
    assert_int_equal(stage_order_decode(f->payload, f->len, o, &e), ERR_OK);
    assert_int_equal(f->epoch, o->epoch);
    assert_string_equal(o->model, file->card.id);
    assert_int_equal(o->source_node, bench_self(b));
    assert_int_equal(coordinator_get(b->core, 0)->head, bench_other(b));
    struct coordinator_view v = serve_view(b->serve);
    assert_int_equal(coordinator_unload(b->core, clock_now(), &v, "demo", &e), ERR_OK);
    serve_act(b->serve);
    struct stage_unload u;
    f = bench_hear(b, FRAME_UNLOAD);
    assert_int_equal(stage_unload_decode(f->payload, f->len, &u, &e), ERR_OK);
    assert_string_equal(u.instance, o->instance);
    assert_int_equal(u.how, STAGE_UNLOAD_FOR_GOOD);
    assert_int_equal(b->n_unloads, 0);
    assert_null(serve_name(b->serve, file->path)); /* its last copy is gone */
    free(o);
    bench_free(b);
}

static void a_node_that_cannot_be_told_is_a_failure(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct serve_file *file = demo(b);
    const struct load_wish wish = {0};
    struct err e = {0};
    b->memory = 1;
    bench_other_serves(b, "another", bench_other(b), true);
    b->records.linked[0]->memory = UINT64_C(1) << 40;
    err_set(&e, ERR_CLOSED, "bye");
    control_shut(b->own.control, bench_other(b), &e);
    assert_int_equal(open_as(b, file, "demo", &wish, &e), ERR_OK);
    assert_non_null(strstr(coordinator_get(b->core, 0)->message, "cannot be reached"));
    assert_false(coordinator_get(b->core, 0)->ready);
    bench_free(b);
}

static void a_stage_here_is_unloaded_here(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct serve_file *file = demo(b);
    const struct load_wish wish = {0};
    struct err e = {0};
    b->memory = UINT64_C(1) << 40;
    assert_int_equal(open_as(b, file, "demo", &wish, &e), ERR_OK);
    ready(b);
    struct coordinator_view v = serve_view(b->serve);
    assert_int_equal(coordinator_unload(b->core, clock_now(), &v, "demo", &e), ERR_OK);
    serve_act(b->serve);
    assert_int_equal(b->n_unloads, 1);
    assert_int_equal(b->unload_how, STAGE_UNLOAD_FOR_GOOD);
    bench_free(b);
}

int main(int argc, char **argv) {
    if (argc > 2 && strcmp(argv[1], "stage") == 0) return bench_stage();
    program = argv[0];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_is_ordered_as_it_was_wished), cmocka_unit_test(prompts_are_computed_in_steps_as_the_processor_likes_them),
        cmocka_unit_test(a_wish_that_cannot_be_is_refused),    cmocka_unit_test(a_model_is_loaded_once),
        cmocka_unit_test(an_order_goes_to_another_node),       cmocka_unit_test(a_node_that_cannot_be_told_is_a_failure),
        cmocka_unit_test(a_stage_here_is_unloaded_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
