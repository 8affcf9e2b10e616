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
#include "node/names.h"
#include "node/node_priv.h"

enum { OWN = 5 };

static struct coordinator_model *made[8];
static size_t n_made;

static void nothing(void *user) { (void)user; }

static void on_changed(void *user) { ((struct node *)user)->news++; }

static struct node *node_make(void) {
    struct node *n = MEM_NEW(struct node);
    n->id = OWN;
    n->loop = io_loop_create();
    n->changed = (struct io_task){.fn = nothing};
    const struct catalog_events events = {.user = n, .changed = on_changed, .taken = names_taken};
    n->catalog = catalog_create(n->loop, NULL, NULL, &events);
    serve_create(n, 1);
    return n;
}

static void node_gone(struct node *n) {
    for (size_t i = 0; i < n->n_records; i++) {
        record_done(n->records[i]);
        free(n->records[i]);
    }
    io_task_cancel(&n->changed);
    catalog_free(n->catalog);
    serve_free(n);
    while (n_made > 0) free(made[--n_made]);
    io_loop_free(n->loop);
    free(n);
}

/* Another node has a file, or (loaded) an instance of this model. */
static void other_has(struct node *n, uint64_t node, const char *name, const char *id, bool loaded) {
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
    n->records[n->n_records++] = r;
    n->news++;
}

static void own_file(struct node *n, const char *name, const char *id) {
    struct model_card card = {0};
    char path[64];
    snprintf(card.name, sizeof(card.name), "%s", name);
    snprintf(card.id, sizeof(card.id), "%s", id);
    snprintf(path, sizeof(path), "/models/%s-%s.gguf", name, id);
    catalog_add(n->catalog, path, &card);
}

static void own_instance(struct node *n, const char *name, const char *id) {
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
    assert_int_equal(coordinator_open(serve_core(n), 0, &v, m, &e), ERR_OK);
    assert_true(n_made < ARRAY_LEN(made));
    made[n_made++] = m; /* it must outlive the coordinator */
    n->news++;
}

static const char *loaded_name(const struct node *n, size_t i) { return coordinator_get(serve_core(n), i)->name; }

static const char *own_name(const struct node *n, const char *id) { return catalog_find_id(n->catalog, id)->card.name; }

static void the_smallest_id_has_the_name(void **state) {
    (void)state;
    struct node *n = node_make();
    own_file(n, "x", "aaaaaaaaaa");
    own_file(n, "y", "cccccccccc");
    assert_string_equal(own_name(n, "aaaaaaaaaa"), "x");
    other_has(n, OWN + 1, "x", "bbbbbbbbbb", false); /* that node gives way */
    other_has(n, OWN - 1, "y", "cccccccccc", false); /* the same model */
    names_review(n);
    assert_string_equal(own_name(n, "aaaaaaaaaa"), "x");
    assert_string_equal(own_name(n, "cccccccccc"), "y");
    uint64_t news = n->news;
    other_has(n, OWN - 2, "x", "dddddddddd", false);
    names_review(n);
    assert_string_equal(own_name(n, "aaaaaaaaaa"), "x:aaaaaaaa");
    assert_true(n->news > news + 1); /* others are told */
    node_gone(n);
}

static void what_is_loaded_has_the_name(void **state) {
    (void)state;
    struct node *n = node_make();
    own_file(n, "x", "aaaaaaaaaa");
    own_file(n, "y", "bbbbbbbbbb");
    own_instance(n, "x", "aaaaaaaaaa");
    other_has(n, OWN - 1, "x", "cccccccccc", false);
    other_has(n, OWN + 1, "y", "dddddddddd", true);
    names_review(n);
    assert_string_equal(own_name(n, "aaaaaaaaaa"), "x");
    assert_string_equal(own_name(n, "bbbbbbbbbb"), "y:bbbbbbbb");
    node_gone(n);
}

static void of_two_that_are_loaded_one_is_renamed(void **state) {
    (void)state;
    struct node *n = node_make();
    own_instance(n, "x", "aaaaaaaaaa");
    own_instance(n, "y", "bbbbbbbbbb");
    other_has(n, OWN - 1, "x", "cccccccccc", true);
    other_has(n, OWN + 1, "y", "dddddddddd", true);
    names_review(n);
    assert_string_equal(loaded_name(n, 0), "x:aaaaaaaa");
    assert_string_equal(loaded_name(n, 1), "y");
    names_review(n);
    assert_string_equal(loaded_name(n, 0), "x:aaaaaaaa");
    node_gone(n);
}

static void names_are_found(void **state) {
    (void)state;
    struct node *n = node_make();
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
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) assert_string_equal(names_resolve(n, rows[i].asked), rows[i].name);
    node_gone(n);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_smallest_id_has_the_name), cmocka_unit_test(what_is_loaded_has_the_name),
                                       cmocka_unit_test(of_two_that_are_loaded_one_is_renamed), cmocka_unit_test(names_are_found)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
