/* SPDX-License-Identifier: MIT
 * A node keeps lists from one start to the next: models that were loaded by hand, and models that were unloaded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/file.h"
#include "loading/saved.h"
#include "support/node_fixture.h"

static const char *program;

struct place {
    struct bench *bench;
    char folder[64], file[96]; /* the state folder, and the file in it */
    struct saved *saved;
};

static void place_open(struct place *p) {
    char folder[] = "/tmp/caravan-saved.XXXXXX";
    *p = (struct place){.bench = bench_make(program)};
    assert_non_null(mkdtemp(folder));
    snprintf(p->folder, sizeof(p->folder), "%s/", folder);
    snprintf(p->file, sizeof(p->file), "%s/models.json", folder);
}

static void place_save_opens(struct place *p) {
    struct bench *b = p->bench;
    p->saved =
        saved_open(&(struct saved_parts){.state_dir = p->folder, .node_name = "own", .core = b->core, .files = b->files, .news = &b->news});
}

/* The node is started again. */
static void place_starts_again(struct place *p) {
    saved_close(p->saved);
    bench_free(p->bench);
    p->bench = bench_make(program);
    place_save_opens(p);
}

static void place_close(struct place *p) {
    saved_close(p->saved);
    bench_free(p->bench);
    unlink(p->file);
    assert_int_equal(rmdir(p->folder), 0);
}

static void load(struct bench *b, const char *name, bool kept) {
    const char *source = getenv("CARAVAN_SOURCE");
    struct serve_file *file = NULL;
    struct load_wish wish = {0};
    struct err e = {0};
    char path[512];
    assert_non_null(source);
    snprintf(path, sizeof(path), "%s/models/caravan-demo.gguf", source);
    assert_int_equal(files_open_now(b->files, path, &file, &e), ERR_OK);
    wish_set(&wish, WISH_KEPT, kept);
    wish_set(&wish, WISH_CTX, 77);
    assert_int_equal(serve_open(b->serve, file, name, &wish, &e), ERR_OK);
    news_own(&b->news);
}

static void unload(struct bench *b, const char *name) {
    struct coordinator_view v = serve_view(b->serve);
    struct err e = {0};
    assert_int_equal(coordinator_unload(b->core, clock_now(), &v, name, &e), ERR_OK);
    serve_act(b->serve);
    news_own(&b->news);
}

/* ---- tests ---- */

static void a_model_loaded_by_hand_comes_back(void **state) {
    (void)state;
    struct place p;
    place_open(&p);
    place_save_opens(&p);
    load(p.bench, "kept", true);
    load(p.bench, "passing", false);
    saved_update(p.saved);
    place_starts_again(&p);
    const struct orphans *o = coordinator_orphans(p.bench->core);
    assert_int_equal(o->n, 1); /* a model that a request had loaded is not kept */
    const struct orphan *one = orphans_find(o, "kept");
    assert_non_null(one);
    assert_int_equal(one->node, bench_self(p.bench));
    assert_int_equal(one->wish.ctx, 77);
    assert_string_equal(one->node_name, "own");
    assert_true(one->from > clock_now()); /* others may look after it by now */
    place_close(&p);
}

static void an_unloaded_model_stays_unloaded(void **state) {
    (void)state;
    struct place p;
    place_open(&p);
    place_save_opens(&p);
    load(p.bench, "kept", true);
    saved_update(p.saved);
    unload(p.bench, "kept");
    saved_update(p.saved);
    place_starts_again(&p);
    assert_int_equal(coordinator_orphans(p.bench->core)->n, 0);
    assert_true(unloads_time(coordinator_unloads(p.bench->core), "kept") > 0);
    place_close(&p);
}

static void the_file_is_written_when_it_changes(void **state) {
    (void)state;
    struct place p;
    place_open(&p);
    place_save_opens(&p);
    load(p.bench, "kept", true);
    saved_update(p.saved);
    assert_int_equal(unlink(p.file), 0);
    saved_update(p.saved); /* nothing has changed */
    news_own(&p.bench->news);
    saved_update(p.saved); /* nothing of it */
    assert_int_not_equal(access(p.file, F_OK), 0);
    unload(p.bench, "kept");
    saved_update(p.saved);
    assert_int_equal(access(p.file, F_OK), 0);
    place_close(&p);
}

static void a_broken_file_stops_no_node(void **state) {
    (void)state;
    struct place p;
    place_open(&p);
    assert_int_equal(file_write(p.file, "{\"models\":[{", 12, NULL), ERR_OK);
    place_save_opens(&p);
    assert_int_equal(coordinator_orphans(p.bench->core)->n, 0);
    load(p.bench, "kept", true);
    saved_update(p.saved);
    place_starts_again(&p);
    assert_non_null(orphans_find(coordinator_orphans(p.bench->core), "kept"));
    place_close(&p);
}

static void without_a_folder_nothing_is_kept(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct saved *s = saved_open(&(struct saved_parts){.node_name = "own", .core = b->core, .files = b->files, .news = &b->news});
    load(b, "kept", true);
    saved_update(s);
    saved_close(s);
    bench_free(b);
}

int main(int argc, char **argv) {
    if (argc > 2 && strcmp(argv[1], "stage") == 0) return bench_stage();
    program = argv[0];
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_model_loaded_by_hand_comes_back),
                                       cmocka_unit_test(an_unloaded_model_stays_unloaded),
                                       cmocka_unit_test(the_file_is_written_when_it_changes), cmocka_unit_test(a_broken_file_stops_no_node),
                                       cmocka_unit_test(without_a_folder_nothing_is_kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
