/* SPDX-License-Identifier: MIT
 * Models' names in the cluster: each stands for one model, and is found however people write it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "loading/names.h"

enum { OWN = 5 };

/* The parts of a node that know names. */
struct place {
    struct io_loop *loop;
    struct news news;
    struct records records;
    struct coordinator *core;
    struct catalog *catalog;
    struct serve *serve;
    struct names *names;
};

static struct coordinator_model *made[8];
static size_t n_made;

static void nothing(void *user) { (void)user; }

static void on_changed(void *user) { news_own(&((struct place *)user)->news); }

static bool on_taken(void *user, const char *name, const char *id) { return names_taken(((struct place *)user)->names, name, id); }

static struct place *place_make(void) {
    struct place *n = MEM_NEW(struct place);
    n->loop = io_loop_create();
    news_init(&n->news, n->loop, nothing, NULL);
    const struct catalog_events events = {.user = n, .changed = on_changed, .taken = on_taken};
    n->core = coordinator_create(OWN, 1);
    n->catalog = catalog_create(n->loop, NULL, NULL, &events);
    n->serve = serve_create(&(struct serve_parts){.self = OWN, .core = n->core, .records = &n->records, .news = &n->news});
    n->names = names_create(&(struct names_parts){
        .self = OWN, .core = n->core, .records = &n->records, .catalog = n->catalog, .serve = n->serve, .news = &n->news});
    return n;
}

static void place_gone(struct place *n) {
    records_done(&n->records);
    news_done(&n->news);
    names_free(n->names);
    catalog_free(n->catalog);
    coordinator_free(n->core);
    serve_free(n->serve);
    while (n_made > 0) free(made[--n_made]);
    io_loop_free(n->loop);
    free(n);
}

/* Another node has a file, or (loaded) an instance of this model. */
static void other_has(struct place *n, uint64_t node, const char *name, const char *id, bool loaded) {
    struct record *r = MEM_NEW(struct record);
    r->id = node;
    if (loaded) {
        r->n_models = 1;
        snprintf(r->models[0].name, sizeof(r->models[0].name), "%s", name);
        snprintf(r->models[0].facts.digest, sizeof(r->models[0].facts.digest), "%s", id);
    } else {
        r->n_cards = 1;
        r->cards = mem_calloc(1, sizeof(*r->cards));
        snprintf(r->cards[0].name, sizeof(r->cards[0].name), "%s", name);
        snprintf(r->cards[0].id, sizeof(r->cards[0].id), "%s", id);
    }
    records_put(&n->records, r, true, 0);
    news_other(&n->news);
}

static void own_file(struct place *n, const char *name, const char *id) {
    struct model_card card = {0};
    char path[64];
    snprintf(card.name, sizeof(card.name), "%s", name);
    snprintf(card.id, sizeof(card.id), "%s", id);
    snprintf(path, sizeof(path), "/models/%s-%s.gguf", name, id);
    catalog_add(n->catalog, path, &card);
}

static void own_instance(struct place *n, const char *name, const char *id) {
    static const struct plan_model plan = {.n_layer = 1};
    struct coordinator_model *m = MEM_NEW(struct coordinator_model);
    struct record own = {.id = OWN};
    const struct record *records[] = {&own};
    const struct coordinator_view v = {.records = records, .n_linked = 1, .n_records = 1};
    struct err e = {0};
    m->plan = &plan;
    m->arch = "llama";
    snprintf(m->id, sizeof(m->id), "%s", id);
    snprintf(m->record.name, sizeof(m->record.name), "%s", name);
    snprintf(m->record.facts.digest, sizeof(m->record.facts.digest), "%s", id);
    assert_int_equal(coordinator_open(n->core, 0, &v, m, &e), ERR_OK);
    assert_true(n_made < ARRAY_LEN(made));
    made[n_made++] = m; /* it must outlive the coordinator */
    news_other(&n->news);
}

static const char *loaded_name(const struct place *n, size_t i) { return coordinator_get(n->core, i)->name; }

static const char *own_name(const struct place *n, const char *id) { return catalog_find_id(n->catalog, id)->card.name; }

static void the_smallest_id_has_the_name(void **state) {
    (void)state;
    struct place *n = place_make();
    own_file(n, "x", "aaaaaaaaaa");
    own_file(n, "y", "cccccccccc");
    assert_string_equal(own_name(n, "aaaaaaaaaa"), "x");
    other_has(n, OWN + 1, "x", "bbbbbbbbbb", false); /* that node gives way */
    other_has(n, OWN - 1, "y", "cccccccccc", false); /* the same model */
    names_review(n->names);
    assert_string_equal(own_name(n, "aaaaaaaaaa"), "x");
    assert_string_equal(own_name(n, "cccccccccc"), "y");
    uint64_t news = n->news.count;
    other_has(n, OWN - 2, "x", "dddddddddd", false);
    names_review(n->names);
    assert_string_equal(own_name(n, "aaaaaaaaaa"), "x:aaaaaaaa");
    assert_true(n->news.count > news + 1); /* others are told */
    place_gone(n);
}

static void what_is_loaded_has_the_name(void **state) {
    (void)state;
    struct place *n = place_make();
    own_file(n, "x", "aaaaaaaaaa");
    own_file(n, "y", "bbbbbbbbbb");
    own_instance(n, "x", "aaaaaaaaaa");
    other_has(n, OWN - 1, "x", "cccccccccc", false);
    other_has(n, OWN + 1, "y", "dddddddddd", true);
    names_review(n->names);
    assert_string_equal(own_name(n, "aaaaaaaaaa"), "x");
    assert_string_equal(own_name(n, "bbbbbbbbbb"), "y:bbbbbbbb");
    place_gone(n);
}

static void of_two_that_are_loaded_one_is_renamed(void **state) {
    (void)state;
    struct place *n = place_make();
    own_instance(n, "x", "aaaaaaaaaa");
    own_instance(n, "y", "bbbbbbbbbb");
    other_has(n, OWN - 1, "x", "cccccccccc", true);
    other_has(n, OWN + 1, "y", "dddddddddd", true);
    names_review(n->names);
    assert_string_equal(loaded_name(n, 0), "x:aaaaaaaa");
    assert_string_equal(loaded_name(n, 1), "y");
    names_review(n->names);
    assert_string_equal(loaded_name(n, 0), "x:aaaaaaaa");
    place_gone(n);
}

static void names_are_found(void **state) {
    (void)state;
    struct place *n = place_make();
    own_file(n, "Llama", "aaaaaaaaaa");
    own_instance(n, "loaded", "bbbbbbbbbb");
    other_has(n, OWN + 1, "far", "cccccccccc", false);
    other_has(n, OWN + 2, "FAR", "dddddddddd", true);
    static const struct {
        const char *asked, *name;
    } rows[] = {{"Llama", "Llama"},
                {"llama:latest", "Llama"},
                {"LOADED", "loaded"},
                {"far", "far"},
                {"FAR:latest", "FAR"},
                {"none", "none"},
                {"/models/Llama-aaaaaaaaaa.gguf", "Llama"},
                {"/models/none.gguf", "/models/none.gguf"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) assert_string_equal(names_resolve(n->names, rows[i].asked), rows[i].name);
    place_gone(n);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_smallest_id_has_the_name), cmocka_unit_test(what_is_loaded_has_the_name),
                                       cmocka_unit_test(of_two_that_are_loaded_one_is_renamed), cmocka_unit_test(names_are_found)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
